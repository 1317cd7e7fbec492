/* SPDX-License-Identifier: MIT
 * See ndsafir_spots.h. Worked in small tiles that the first-level cache holds; hits are rare, so that in most tiles the
 * search is all. */
#include "filter/ndsafir_spots.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"

#include <string.h>

#define ROWS 32   /* of a tile */
#define COLUMNS 96
#define EDGE PEL__SPOTS_REACH
#define RIM 2     /* radius of the spot, and of the rim */
#define WIDTH (COLUMNS + 2 * EDGE)

/* Gaussians by distance from the middle: norm 1, height 1, sum 1. */
static const float spot[3] = {0.838272f, 0.383789f, 0.036831f};
static const float rim[3] = {1.0f, 0.606531f, 0.135335f};
static const float soft[2] = {0.786986f, 0.106507f};

typedef struct tile {
    int64_t origin[PEL_AXES], rows, columns; /* of the voxels that are given to */
    bool by_y, by_x;                         /* axes longer than 1 */
    float *r, *z;                            /* of (ROWS + 2 EDGE) x WIDTH, the tile's first voxel at [EDGE][EDGE] */
    float *line;
} tile;

int64_t pel__spots_scratch(void) { return (2 * (ROWS + 2 * EDGE) + 1) * WIDTH; }

static int64_t mirrored(int64_t i, int64_t n)
{
    if (n == 1)
        return 0;
    i = i < 0 ? -i : i;
    i %= 2 * (n - 1);
    return i < n ? i : 2 * (n - 1) - i;
}

static void read_residual(tile *t, const pel_block *residual, const pel_region *image)
{
    int64_t at[PEL_AXES];
    memcpy(at, t->origin, sizeof at);
    at[PEL_X] = residual->region.origin[PEL_X];
    for (int64_t y = 0; y < t->rows + 2 * EDGE; y++) {
        at[PEL_Y] = mirrored(t->origin[PEL_Y] + y - EDGE, image->shape[PEL_Y]);
        const float *row = pel__block_at(residual, at);
        for (int64_t x = 0; x < t->columns + 2 * EDGE; x++) {
            const float v = row[mirrored(t->origin[PEL_X] + x - EDGE, image->shape[PEL_X]) - at[PEL_X]];
            t->r[y * WIDTH + x] = v == v ? v : 0.0f;
        }
    }
}

/* to = from correlated with a symmetric kernel of radius 2, at rows y0 .. y1 - 1 and columns x0 .. x1 - 1. */
static void correlate(const tile *t, float *to, const float *from, const float kernel[3], int64_t edge)
{
    const float a = kernel[0], b = kernel[1], c = kernel[2];
    const int64_t y0 = EDGE - edge, y1 = EDGE + t->rows + edge, x0 = EDGE - edge, x1 = EDGE + t->columns + edge;
    float *const line = t->line;
    for (int64_t y = y0; y < y1; y++) {
        const float *const p = from + y * WIDTH;
        for (int64_t x = x0 - 2; x < x1 + 2; x++)
            line[x] = t->by_y ? a * p[x] + (b * (p[x - WIDTH] + p[x + WIDTH]) + c * (p[x - 2 * WIDTH] + p[x + 2 * WIDTH])) : p[x];
        for (int64_t x = x0; x < x1; x++)
            to[y * WIDTH + x] = t->by_x ? a * line[x] + (b * (line[x - 1] + line[x + 1]) + c * (line[x - 2] + line[x + 2])) : line[x];
    }
}

/* Correlations become hits, 1 or 0, none outside of the image. Returns whether there is one. */
static bool find(tile *t, const pel_region *image, float threshold)
{
    bool any = false;
    correlate(t, t->z, t->r, spot, RIM);
    for (int64_t y = EDGE - RIM; y < EDGE + t->rows + RIM; y++) {
        const int64_t gy = t->origin[PEL_Y] + y - EDGE;
        const bool row = gy >= 0 && gy < image->shape[PEL_Y];
        for (int64_t x = EDGE - RIM; x < EDGE + t->columns + RIM; x++) {
            const int64_t gx = t->origin[PEL_X] + x - EDGE;
            const bool hit = row && gx >= 0 && gx < image->shape[PEL_X] && t->z[y * WIDTH + x] > threshold;
            t->z[y * WIDTH + x] = hit ? 1.0f : 0.0f;
            any |= hit;
        }
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

static void give(tile *t, const pel_block *u)
{
    int64_t at[PEL_AXES];
    memcpy(at, t->origin, sizeof at);
    for (int64_t y = 0; y < t->rows; y++) {
        at[PEL_Y] = t->origin[PEL_Y] + y;
        float *const to = pel__block_at(u, at);
        for (int64_t x = 0; x < t->columns; x++) {
            const int64_t middle = (y + EDGE) * WIDTH + x + EDGE;
            float sum = 0;
            for (int64_t dy = -RIM; dy <= RIM; dy++) {
                for (int64_t dx = -RIM; dx <= RIM; dx++)
                    sum += (rim[dy < 0 ? -dy : dy] * rim[dx < 0 ? -dx : dx]) * t->z[middle + dy * WIDTH + dx];
            }
            if (sum > 0)
                to[x] += (sum < 1 ? sum : 1.0f) * softened(t, middle);
        }
    }
}

void pel__spots_give(const pel_block *u, const pel_block *residual, const pel_region *part, const pel_region *image, float threshold, float *scratch)
{
    const int64_t cell[PEL_AXES] = {1, 1, 1, ROWS, COLUMNS}, size = (ROWS + 2 * EDGE) * WIDTH, count = pel__grid_cells(part, cell);
    for (int64_t i = 0; i < count; i++) {
        const pel_region one = pel__grid_cell(part, cell, i);
        tile t = {.rows = one.shape[PEL_Y], .columns = one.shape[PEL_X], .by_y = image->shape[PEL_Y] > 1, .by_x = image->shape[PEL_X] > 1,
                  .r = scratch, .z = scratch + size, .line = scratch + 2 * size};
        memcpy(t.origin, one.origin, sizeof t.origin);
        read_residual(&t, residual, image);
        if (find(&t, image, threshold))
            give(&t, u);
    }
}
