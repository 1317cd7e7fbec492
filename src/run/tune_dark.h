/* SPDX-License-Identifier: MIT
 * What the darkest parts of a sample tell about read-out noise, for the split of tune_split.h. */
#ifndef PEL_RUN_TUNE_DARK_H
#define PEL_RUN_TUNE_DARK_H

#include "run/tune_split.h"

#define PEL__DARK_SIDE 8 /* of the squares whose means tell what is dark */

typedef struct {
    double rank;       /* mean of half of the square's pixels, as on a chessboard */
    double mean, skew; /* of the other half, whose noise is independent: mean and third cumulant */
} pel__dark_square;

/* Squares of a float window, where all of it is numbers, each twice with its halves' parts changed; how many. */
int64_t pel__dark_squares(const pel_block *raw, pel__dark_square *out);

/* The variance of read-out noise, in units of the split, as the darkest tenth of the n squares tells it; sorts them. */
double pel__dark_variance(const pel__split *split, pel__dark_square *squares, int64_t n);

#endif
