/* SPDX-License-Identifier: MIT
 * See ndsafir_tiles.h. */
#include "filter/ndsafir_tiles.h"

#include "core/bytes.h"
#include "core/region.h"

#include <math.h>
#include <string.h>

/* Two rows of all planes of a tile, with what sums along y keep of a line of displacements, should stay in the second-level
 * cache (so a wide window wants a narrow tile); sweeps along y should be long. Several frames, where time is searched, so
 * that pairs across time serve both ends, too. */
void pel__tiles_largest(const pel__ndsafir *s, const pel_region *image, int64_t shape[PEL_AXES])
{
    bool deep = s->patch[PEL__NZ] > 0, moving = s->patch[PEL__NT] > 0, wide = false;
    for (int32_t n = 0; n < s->steps; n++) {
        deep |= s->radius[n][PEL__NZ] > 0;
        moving |= s->radius[n][PEL__NT] > 0;
        wide |= s->radius[n][PEL__NX] > 8;
    }
    const int64_t columns = pel__min(deep || wide ? 256 : 512, image->shape[PEL_X]);
    const int64_t rows = pel__max(32, (deep ? pel__min(128, 128 * 128 / columns) : pel__min(512, 256 * 512 / columns)) / s->channels);
    const int64_t most[PEL_AXES] = {moving ? 3 : 1, s->channels, deep ? 8 : 1, rows, columns};
    for (int a = 0; a < PEL_AXES; a++)
        shape[a] = pel__min(most[a], image->shape[a]);
}

/* ---- sharing out --------------------------------------------------------------------------------------------------- */

#define LOWEST_TILE 16 /* rows, where there are threads to share them */
#define WAITS 0.125    /* of a tile, by each thread where it waits for all others: they never run quite alike */

/* Rows that a tile takes beside its own: pairs whose second end lies in it, and those that box sums along y begin with. */
static int64_t margin_rows(const pel__ndsafir *s, int32_t step)
{
    const int64_t patches = s->aggregate && step == s->steps - 1 ? 2 : 1;
    return s->radius[step][PEL__NY] / 2 + 2 * patches * s->patch[PEL__NY];
}

/* Rows of tiles to be shared by threads, as many tiles beside each other. */
typedef struct shares {
    int64_t rows, beside, margin;
    int32_t threads;
    bool last; /* all wait for its end; else only where the next iteration's first tiles need its last ones */
} shares;

/* A way to cut them: heights of tiles, and how many of the rows are cut into lower ones. */
typedef struct cut {
    int64_t height, low, low_rows;
    double time; /* in rows of a tile */
} cut;

static double time_of(const shares *s, const cut *c)
{
    const int64_t high = pel__ceil_div(s->rows - c->low_rows, c->height), low = c->low_rows ? pel__ceil_div(c->low_rows, c->low) : 0;
    const double all = (double)(s->beside * (s->rows + (high + low) * s->margin)) / s->threads;
    if (!s->last && s->beside * (high - 2) >= s->threads)
        return all;
    if (low > 0)
        return all + WAITS * (double)(c->low + s->margin);
    return ((double)pel__ceil_div(s->beside * high, s->threads) + WAITS) * (double)(c->height + s->margin);
}

static void keep_better(cut *best, const shares *s, cut c)
{
    c.time = time_of(s, &c);
    if (c.time < best->time)
        *best = c;
}

/* All heights about equal, or the last of them a quarter as high: as many of these as a high one for each thread. */
static cut best_cut(const shares *s, int64_t most)
{
    const int64_t fewest = pel__ceil_div(s->rows, most);
    cut best = {.time = INFINITY};
    for (int64_t n = fewest; n == fewest || (s->threads > 1 && s->rows / n >= LOWEST_TILE); n++) {
        const int64_t height = pel__ceil_div(s->rows, n), low = height / 4;
        keep_better(&best, s, (cut){.height = height});
        const int64_t low_rows = pel__min(pel__round_up(pel__ceil_div(s->threads * height, s->beside), pel__max(low, 1)), s->rows / 2);
        if (s->last && s->threads > 1 && low >= LOWEST_TILE)
            keep_better(&best, s, (cut){.height = height, .low = low, .low_rows = low_rows});
    }
    return best;
}

void pel__tiles_share(pel__tiles *t, const pel__ndsafir *s, int32_t step, const pel_region *image, const pel_region *out, int32_t threads)
{
    pel__tiles_largest(s, image, t->shape);
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t most = t->shape[a], equal = pel__ceil_div(out->shape[a], pel__ceil_div(out->shape[a], most));
        t->shape[a] = a == PEL_X ? pel__min(most, pel__round_up(equal, PEL__ND_VECTOR)) : equal;
    }
    const int64_t rows = out->shape[PEL_Y], above = pel__ceil_div(rows, t->shape[PEL_Y]);
    const shares all = {rows, pel__grid_cells(out, t->shape) / above, margin_rows(s, step), threads, step == s->steps - 1};
    const cut best = best_cut(&all, t->shape[PEL_Y]);
    t->early = t->late = *out;
    t->early.shape[PEL_Y] = rows - best.low_rows;
    t->late.origin[PEL_Y] += rows - best.low_rows;
    t->late.shape[PEL_Y] = best.low_rows;
    memcpy(t->late_shape, t->shape, sizeof t->shape);
    t->shape[PEL_Y] = best.height;
    t->late_shape[PEL_Y] = best.low;
    t->count = pel__grid_cells(&t->early, t->shape) + (best.low_rows ? pel__grid_cells(&t->late, t->late_shape) : 0);
}

/* ---- one tile ------------------------------------------------------------------------------------------------------ */

pel_region pel__tiles_at(const pel__tiles *t, int64_t number)
{
    const int64_t index = number - t->first, early = pel__grid_cells(&t->early, t->shape);
    return index < early ? pel__grid_cell(&t->early, t->shape, index) : pel__grid_cell(&t->late, t->late_shape, index - early);
}

int64_t pel__tiles_needed(const pel__tiles *before, const pel__ndsafir *s, int32_t step, const pel_region *tile)
{
    int64_t reach[PEL_AXES] = {0}, index = 0;
    for (int a = 0; a < PEL__ND; a++)
        reach[pel__ndsafir_axis(a)] = pel__max(pel__ndsafir_reach(s, step, a), pel__ndsafir_reach(s, step - 1, a));
    const pel_region near = pel__region_grow(tile, reach, reach, &before->early);
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t end = near.origin[a] + near.shape[a] - before->early.origin[a];
        index = index * pel__ceil_div(before->early.shape[a], before->shape[a]) + (end - 1) / before->shape[a];
    }
    return before->first + index;
}
