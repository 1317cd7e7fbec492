/* SPDX-License-Identifier: MIT
 * One step of the pyramid: the mean of 1 or 2 voxels an axis. */
#ifndef PEL_FILTER_DOWNSAMPLE_H
#define PEL_FILTER_DOWNSAMPLE_H

#include "core/pool.h"
#include "pellucid.h"

/* dst voxel i is the mean of the src voxels factor*i .. factor*i + factor-1 (each axis, factor 1 or 2) that lie in src,
 * in their own level's global coordinates; src must hold all of these that the image has. Same dtype. Integers: exact
 * sum, rounded half up. Floats: sum in double in C order. The pool may be NULL. */
bool pel__downsample(const pel_block *dst, const pel_block *src, const int64_t factor[PEL_AXES], pel__pool *pool, pel_error *err);

#endif
