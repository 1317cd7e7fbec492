/* SPDX-License-Identifier: MIT
 * Two scales: the image and its means of 2 x 2 pixels ("cells"), which are filtered by themselves, reach twice as far for
 * a quarter of the work and have half of the noise. What they say of the low frequencies corrects the fine result:
 *     out = u + up(B (u_cells - means of u)),   B = 1/4 1/2 1/4 along y and x, up = linear interpolation.
 * Cells lie at even global coordinates, so that nothing depends on blocks. An axis of length 1 stays as it is; where the
 * length is odd, the last cell takes the voxel before the last once more, as mirroring at the face has it. */
#ifndef PEL_FILTER_NDSAFIR_SCALES_H
#define PEL_FILTER_NDSAFIR_SCALES_H

#include "filter/ndsafir_kernel.h"
#include "pellucid.h"

#define PEL__SCALES_REACH 4 /* voxels along y and x that the correction reads around one, of the fine result */

/* 1 or 2: voxels in a cell along an axis of an image of this shape. */
int64_t pel__scales_bin(const int64_t shape[PEL_AXES], int axis);

/* The image of cells. */
pel_region pel__scales_image(const pel_region *fine);

/* Cells that the correction of these voxels takes, and voxels that are in these cells. */
pel_region pel__scales_cells(const pel_region *out, const pel_region *image);
pel_region pel__scales_voxels(const pel_region *cells, const pel_region *image);

/* What rows take. */
typedef struct pel__scales {
    const pel_region *image; /* of voxels */
    const pel__ndsafir_isa *isa;
} pel__scales;

/* n cells from `at` on, of unit variance where voxels have it; row() reads a row of voxels of the image. */
void pel__scales_read(float *dst, const int64_t at[PEL_AXES], int64_t n, const pel__scales *s,
                      void (*row)(const void *arg, float *dst, const int64_t at[PEL_AXES], int64_t n), const void *arg);

/* n cells from `at` on: the means of the fine result u. */
void pel__scales_means(float *cells, const int64_t at[PEL_AXES], int64_t n, const pel_block *u, const pel__scales *s);

/* What estimates of n cells, of unit variance, have above such means, in the place of these; 0 where one is NaN. */
void pel__scales_difference(float *cells, const float *estimate, int64_t n, const pel__scales *s);

/* Adds to n voxels at `at` what the block of differences (of cells) says of them. */
void pel__scales_correct(float *u, const int64_t at[PEL_AXES], int64_t n, const pel_block *differences, const pel__scales *s);

#endif
