/* SPDX-License-Identifier: MIT
 * Zarr v2 filters that are undone after decompression: delta and byte shuffle. Both keep the length. */
#ifndef PEL_CODEC_CHUNK_FILTER_H
#define PEL_CODEC_CHUNK_FILTER_H

#include "pellucid.h"

enum pel__filter_kind { PEL__FILTER_DELTA, PEL__FILTER_SHUFFLE };

typedef struct pel__filter_step {
    enum pel__filter_kind kind;
    pel_dtype dtype; /* delta: of the differences and of the voxels */
    bool big;        /* delta: both are big-endian */
    int32_t size;    /* shuffle: bytes of an element */
} pel__filter_step;

/* Undoes the filter on n bytes in place; `room` has n bytes more, used by shuffle. */
void pel__filter_undo(const pel__filter_step *f, void *data, int64_t n, void *room);

#endif
