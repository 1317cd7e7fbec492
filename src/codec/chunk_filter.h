/* SPDX-License-Identifier: MIT
 * Array filters of Zarr chunks, as numcodecs names them: they turn voxels into numbers of another kind before these become bytes, and
 * are undone after decompression: delta, fixedscaleoffset, astype. */
#ifndef PEL_CODEC_CHUNK_FILTER_H
#define PEL_CODEC_CHUNK_FILTER_H

#include "pellucid.h"

enum pel__filter_kind { PEL__FILTER_DELTA, PEL__FILTER_SCALE, PEL__FILTER_TYPE };

/* A type of numbers in a buffer. */
typedef struct pel__filter_type {
    pel_dtype dtype;
    bool big; /* big-endian */
} pel__filter_type;

typedef struct pel__filter_step {
    enum pel__filter_kind kind;
    pel__filter_type to, from; /* undoing: of the voxels, of the numbers that stand for them */
    double scale, offset;      /* SCALE: voxel = number / scale + offset */
} pel__filter_step;

/* Undoes the filter on n numbers at src; dst has room for them and does not overlap. */
void pel__filter_undo(const pel__filter_step *f, const void *src, int64_t n, void *dst);

#endif
