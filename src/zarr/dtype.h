/* SPDX-License-Identifier: MIT
 * Data types and fill values of Zarr metadata. */
#ifndef PEL_ZARR_DTYPE_H
#define PEL_ZARR_DTYPE_H

#include "core/error.h"
#include "pellucid.h"
#include "zarr/json.h"

/* Names of v3 ("uint16"); "bool" reads as uint8 with *boolean set. Others are refused by name. */
bool pel__zarr_dtype_v3(const char *name, pel_dtype *out, bool *boolean, pel_error *err);

/* NumPy type strings of v2 ("<u2"); *big: stored big-endian. */
bool pel__zarr_dtype_v2(const char *name, pel_dtype *out, bool *boolean, bool *big, pel_error *err);

/* Fill value as native bytes, pel_dtype_size(dtype) of them. value NULL (JSON null) is zero where null_is_zero. */
bool pel__zarr_fill(json_object *value, pel_dtype dtype, bool boolean, bool null_is_zero, uint8_t out[8], pel_error *err);

#endif
