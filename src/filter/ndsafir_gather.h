/* SPDX-License-Identifier: MIT
 * What a tile of ND-SAFIR reads: the rows of the block in and around it, in a dense padded array. Where they leave the image
 * they are mirrored by global coordinates, so that the kernel knows of no borders. */
#ifndef PEL_FILTER_NDSAFIR_GATHER_H
#define PEL_FILTER_NDSAFIR_GATHER_H

#include "filter/ndsafir.h"

typedef struct pel__gather {
    const pel__ndsafir_isa *isa;
    const pel_region *image;
    int64_t first[PEL__ND], size[PEL__ND]; /* global coordinates of the first voxel, which may lie outside; how many */
    int64_t left, stride;                  /* floats before a row's first voxel, and from row to row */
} pel__gather;

/* Copies a channel of block b (its first is 0), times factor; padding is zero, as is the row before the first and the one behind
 * the last. Returns whether a NaN was among it. */
bool pel__gather_channel(const pel__gather *g, const pel_block *b, int64_t channel, float factor, float *dst);

#endif
