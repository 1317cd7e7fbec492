/* SPDX-License-Identifier: MIT
 * Blocks of pixels: views, copies between regions, and conversion with saturation. */
#ifndef PEL_CORE_BLOCK_H
#define PEL_CORE_BLOCK_H

#include "pellucid.h"

/* C-order, dense block over memory of at least voxels * size bytes. */
pel_block pel__block_dense(const pel_region *region, pel_dtype dtype, void *data);

/* The part of b inside r, which must lie inside b. Shares b's memory. */
pel_block pel__block_view(const pel_block *b, const pel_region *r);

/* Address of the voxel at global coordinates `at` (b's ndim of them), which must lie inside. */
void *pel__block_at(const pel_block *b, const int64_t *at);

/* Copies the common part of both regions; same dtype, same ndim. */
void pel__block_copy(const pel_block *dst, const pel_block *src);

/* Sets every voxel to all-zero bits. */
void pel__block_zero(const pel_block *b);

/* True where every voxel of b has all-zero bits. */
bool pel__block_is_zero(const pel_block *b);

/* n voxels of any dtype -> float, and back. Into an integer: round half to even, saturate at the type's ends, NaN
 * becomes 0; *clipped grows by the number of values that saturated or were NaN. Into float32 or float64: kept. */
void pel__to_float(float *dst, const void *src, pel_dtype type, int64_t n);
void pel__from_float(void *dst, pel_dtype type, const float *src, int64_t n, int64_t *clipped);

/* n floats into the voxels of b along its last axis from `at` on, converted like that. */
void pel__block_put(const pel_block *b, const int64_t *at, const float *src, int64_t n, int64_t *clipped);

/* Do values of the type have more bits than a float32? */
bool pel__dtype_wide(pel_dtype type);

/* The same without a float32 between, as exactly as `to` can: for types that are wide. */
void pel__convert_exact(void *dst, pel_dtype to, const void *src, pel_dtype from, int64_t n, int64_t *clipped);

/* Calls row(arg, at, n) for each run along the last axis of r, in C order: `at` is the global coordinate of its first
 * voxel. For code that works line by line over a block of any ndim. Stops at the first false and returns it. */
bool pel__region_rows(const pel_region *r, bool (*row)(void *arg, const int64_t *at, int64_t n), void *arg);

#endif
