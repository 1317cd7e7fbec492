/* SPDX-License-Identifier: MIT
 * The numeric heart of the Gaussian filters: weighted sums along one axis, over many lines at once. Nothing here knows of
 * blocks, images or threads. The same source (gauss_kernel.c) is compiled once an instruction set; every build gives
 * the same bits, because all of them do the same operations lane by lane. */
#ifndef PEL_FILTER_GAUSS_KERNEL_H
#define PEL_FILTER_GAUSS_KERNEL_H

#include <stdint.h>

#define PEL__GAUSS_COLUMNS INT64_C(64) /* lines side by side in a panel */
#define PEL__GAUSS_SEGMENT 64  /* sums are closed where the coordinate is a multiple of it */
#define PEL__GAUSS_ROWS 6      /* outputs that are made at once */

/* Weights of a filtered axis: output i is the sum of row[i - begin][k] * input[low + k] over low <= low + k < high, low
 * and high being i's reach cut at the image, 0 .. size-1. What would lie outside of it is in the weights already. */
typedef struct pel__gauss_lines {
    int64_t size, radius, begin; /* begin: the output that row[0] is for */
    const float *const *row;
} pel__gauss_lines;

/* Outputs begin .. end-1 of a panel of PEL__GAUSS_COLUMNS lines: coordinate j of all lines lies at
 * in + (j - first) * PEL__GAUSS_COLUMNS, coordinate i of the results at out + (i - begin) * PEL__GAUSS_COLUMNS. */
typedef struct pel__gauss_panel {
    const pel__gauss_lines *lines;
    const float *in; /* aligned to 64 bytes, as is out */
    float *out;
    int64_t first, begin, end;
} pel__gauss_panel;

typedef void pel__gauss_kernel(const pel__gauss_panel *panel);

pel__gauss_kernel pel__gauss_scalar; /* any machine of this architecture */
#ifdef __x86_64__
pel__gauss_kernel pel__gauss_avx2;   /* AVX2 and FMA */
pel__gauss_kernel pel__gauss_avx512; /* F, VL, BW, DQ */
#endif

#endif
