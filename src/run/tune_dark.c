/* SPDX-License-Identifier: MIT
 * See tune_dark.h. */
#include "run/tune_dark.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"

#include <math.h>
#include <stdlib.h>

static int by_rank(const void *a, const void *b)
{
    const double p = ((const pel__dark_square *)a)->rank, q = ((const pel__dark_square *)b)->rank;
    return (p > q) - (p < q);
}

static void sum_powers(const pel_block *raw, const pel_region *r, double shift, double out[2][4])
{
    for (int64_t y = 0; y < r->shape[PEL_Y]; y++) {
        const int64_t at[PEL_AXES] = {r->origin[PEL_T], r->origin[PEL_C], r->origin[PEL_Z], r->origin[PEL_Y] + y, r->origin[PEL_X]};
        const float *row = pel__block_at(raw, at);
        for (int64_t x = 0; x < r->shape[PEL_X]; x++) {
            double power = 1;
            for (int k = 0; k < 4; k++, power *= row[x] - shift)
                out[(x + y) % 2][k] += power;
        }
    }
}

int64_t pel__dark_squares(const pel_block *raw, pel__dark_square *out)
{
    const pel_region *w = &raw->region;
    const int64_t cell[PEL_AXES] = {1, 1, 1, PEL__DARK_SIDE, PEL__DARK_SIDE}, cells = pel__grid_cells(w, cell);
    int64_t count = 0;
    for (int64_t i = 0; i < cells; i++) {
        const pel_region r = pel__grid_cell(w, cell, i);
        double rough[2][4] = {{0}};
        sum_powers(raw, &r, 0, rough);
        if (rough[1][0] < 3 || !(fabs(rough[0][1] + rough[1][1]) < (double)INFINITY))
            continue;
        for (int half = 0; half < 2; half++) {
            const double n = rough[half][0], mean = rough[half][1] / n;
            double fine[2][4] = {{0}};
            sum_powers(raw, &r, mean, fine);
            out[count++] = (pel__dark_square){rough[1 - half][1] / rough[1 - half][0], mean, n * fine[half][3] / ((n - 1) * (n - 2))};
        }
    }
    return count;
}

/* The variance of read-out noise, in units of the split, in which light's third cumulant and variance are its mean, read-out
 * noise has none and adds as much to mean and variance: what the mean has above the third cumulant in the darkest
 * tenth of the sample's squares. Of that one its standard error is taken: light is what shows as light. The lots balance
 * third cumulants only; that a minor part of light counts less is measured (docs/denoising.md). */
static double dark_of(const pel__split *split, const pel__dark_square *squares, int64_t n)
{
    const double cube = split->scale * split->scale * split->scale, count = (double)n;
    double mean = 0, skew = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        const double s = squares[i].skew / cube;
        mean += (squares[i].mean + split->shift) / split->scale / count;
        skew += s / count;
        square += s * s / count;
    }
    const double error = sqrt(fmax(0, square - skew * skew) / count);
    const double light = fmin(1, fmax(0, skew - error) / fmax(mean, 1e-3)); /* share of the variance */
    return fmax(0, mean * (1 - light * (0.3 + 0.7 * light)));
}

double pel__dark_variance(const pel__split *split, pel__dark_square *squares, int64_t n)
{
    qsort(squares, (size_t)n, sizeof *squares, by_rank);
    return dark_of(split, squares, pel__ceil_div(n, 10));
}
