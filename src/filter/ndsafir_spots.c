/* SPDX-License-Identifier: MIT
 * See ndsafir_spots.h. Worked in small tiles that the first-level cache holds; hits are rare, so that in most tiles the
 * search is all. */
#include "filter/ndsafir_spots.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "filter/border.h"

#include <string.h>

#define ROWS 32   /* of a tile */
#define COLUMNS 128
#define EDGE PEL__SPOTS_REACH
#define RIM 2     /* radius of the spot, and of the rim */
#define WIDTH (COLUMNS + 2 * EDGE + PEL__ND_VECTOR)
#define SIZE ((ROWS + 2 * EDGE) * WIDTH + 3 * PEL__ND_VECTOR)

/* Gaussians by distance from the middle: norm 1, height 1, sum 1. */
static const float spot[3] = {0.838272f, 0.383789f, 0.036831f};
static const float rim[3] = {1.0f, 0.606531f, 0.135335f};
static const float soft[2] = {0.786986f, 0.106507f};

typedef struct tile {
    int64_t origin[PEL_AXES], rows, columns; /* of the voxels that are given to */
    bool by_y, by_x;                         /* axes longer than 1 */
    float *r, *z;                            /* SIZE floats, rows of WIDTH, the tile's first voxel at [EDGE][EDGE] */
    int64_t first[ROWS + 2 * EDGE], last[ROWS + 2 * EDGE]; /* hits of a row of z; none: last < first */
} tile;

int64_t pel__spots_scratch(void) { return 2 * SIZE; }

static void read_residual(const tile *t, const pel_block *residual, const pel_region *image)
{
    const int64_t x0 = t->origin[PEL_X] - EDGE, n = t->columns + 2 * EDGE, width = image->shape[PEL_X];
    const int64_t begin = pel__max(x0, 0), end = pel__min(x0 + n, width);
    int64_t at[PEL_AXES];
    memcpy(at, t->origin, sizeof at);
    at[PEL_X] = begin;
    for (int64_t y = 0; y < t->rows + 2 * EDGE; y++) {
        at[PEL_Y] = pel__border_at(PEL__MIRROR, t->origin[PEL_Y] + y - EDGE, image->shape[PEL_Y]);
        const float *const row = pel__block_at(residual, at);
        float *const to = t->r + y * WIDTH;
        memcpy(to + (begin - x0), row, (size_t)(end - begin) * sizeof *to);
        for (int64_t x = x0; x < begin; x++)
            to[x - x0] = row[pel__border_at(PEL__MIRROR, x, width) - begin];
        for (int64_t x = end; x < x0 + n; x++)
            to[x - x0] = row[pel__border_at(PEL__MIRROR, x, width) - begin];
    }
}

/* Correlations of a row become hits, 1 or 0, none outside of the image. Returns whether there is one. */
static bool mark(tile *t, int64_t y, const pel_region *image, float threshold)
{
    const int64_t gy = t->origin[PEL_Y] + y - EDGE;
    float *const z = t->z + y * WIDTH;
    for (int64_t x = EDGE - RIM; x < EDGE + t->columns + RIM && gy >= 0 && gy < image->shape[PEL_Y]; x++) {
        const int64_t gx = t->origin[PEL_X] + x - EDGE;
        const bool hit = gx >= 0 && gx < image->shape[PEL_X] && z[x] > threshold;
        z[x] = hit ? 1.0f : 0.0f;
        t->first[y] = hit ? pel__min(t->first[y], x) : t->first[y];
        t->last[y] = hit ? x : t->last[y];
    }
    return t->last[y] >= t->first[y];
}

/* Returns whether there is a hit; then z holds them. */
static bool find(tile *t, const pel_region *image, const pel__ndsafir_isa *isa, float threshold)
{
    const pel__ndsafir_search s = {.kernel = {spot[0], spot[1], spot[2]}, .threshold = threshold, .stride = WIDTH, .by_y = t->by_y, .by_x = t->by_x};
    const int64_t y0 = EDGE - RIM, y1 = EDGE + t->rows + RIM, x0 = EDGE - RIM, n = t->columns + 2 * RIM;
    bool above[ROWS + 2 * EDGE], any = false;
    for (int64_t y = y0; y < y1; y++)
        any |= above[y] = isa->search(t->z + y * WIDTH + x0, t->r + y * WIDTH + x0, &s, n);
    if (!any)
        return false;
    any = false;
    for (int64_t y = y0; y < y1; y++) {
        t->first[y] = WIDTH;
        t->last[y] = -1;
        if (above[y] && mark(t, y, image, threshold))
            any = true;
        else
            memset(t->z + y * WIDTH, 0, WIDTH * sizeof *t->z);
    }
    return any;
}

/* Residual smoothed by 3 x 3. */
static float softened(const tile *t, int64_t at)
{
    float line[3];
    for (int64_t k = -1; k <= 1; k++) {
        const float *const p = t->r + at + k;
        line[k + 1] = t->by_y ? soft[0] * p[0] + soft[1] * (p[-WIDTH] + p[WIDTH]) : p[0];
    }
    return t->by_x ? soft[0] * line[1] + soft[1] * (line[0] + line[2]) : line[1];
}

/* What the voxel gets of hits around it: together at most 1. */
static float share(const tile *t, int64_t middle)
{
    float sum = 0;
    for (int64_t dy = -RIM; dy <= RIM; dy++) {
        for (int64_t dx = -RIM; dx <= RIM; dx++)
            sum += (rim[dy < 0 ? -dy : dy] * rim[dx < 0 ? -dx : dx]) * t->z[middle + dy * WIDTH + dx];
    }
    return sum < 1 ? sum : 1.0f;
}

static void give(const tile *t, const pel_block *u)
{
    int64_t at[PEL_AXES];
    memcpy(at, t->origin, sizeof at);
    for (int64_t y = 0; y < t->rows; y++) {
        int64_t first = WIDTH, last = -1; /* columns of z with a hit in reach */
        for (int64_t i = y + EDGE - RIM; i <= y + EDGE + RIM; i++) {
            first = pel__min(first, t->first[i]);
            last = pel__max(last, t->last[i]);
        }
        at[PEL_Y] = t->origin[PEL_Y] + y;
        float *const to = pel__block_at(u, at);
        for (int64_t x = pel__max(0, first - RIM - EDGE); x <= pel__min(t->columns - 1, last + RIM - EDGE); x++) {
            const int64_t middle = (y + EDGE) * WIDTH + x + EDGE;
            const float part = share(t, middle);
            if (part > 0)
                to[x] += part * softened(t, middle);
        }
    }
}

// NOLINTNEXTLINE(readability-non-const-parameter): written through the tile
void pel__spots_give(const pel__spots *s, const pel_region *part, float *scratch)
{
    const int64_t cell[PEL_AXES] = {1, 1, 1, ROWS, COLUMNS}, count = pel__grid_cells(part, cell);
    for (int64_t i = 0; i < count; i++) {
        const pel_region one = pel__grid_cell(part, cell, i);
        tile t = {.rows = one.shape[PEL_Y], .columns = one.shape[PEL_X], .by_y = s->image->shape[PEL_Y] > 1, .by_x = s->image->shape[PEL_X] > 1,
                  .r = scratch, .z = scratch + SIZE};
        memcpy(t.origin, one.origin, sizeof t.origin);
        read_residual(&t, s->residual, s->image);
        if (find(&t, s->image, s->isa, s->threshold))
            give(&t, s->u);
    }
}
