/* SPDX-License-Identifier: MIT
 * Data types and fill values of Zarr metadata. */
#ifndef PEL_ZARR_DTYPE_H
#define PEL_ZARR_DTYPE_H

#include "core/error.h"
#include "pellucid.h"
#include "zarr/json.h"

/* A stored type and what it is read as: bool as uint8, float16 as float32. */
typedef struct pel__zarr_type {
    pel_dtype dtype;
    int32_t item; /* bytes of a stored voxel */
    bool boolean, half;
    bool big; /* v2: stored big-endian */
} pel__zarr_type;

/* Names of v3 ("uint16"), NumPy type strings of v2 ("<u2"). Others are refused by name. */
bool pel__zarr_dtype_v3(const char *name, pel__zarr_type *out, pel_error *err);
bool pel__zarr_dtype_v2(const char *name, pel__zarr_type *out, pel_error *err);

/* Fill value as native bytes, pel_dtype_size(type->dtype) of them. In v2 NULL (JSON null) is zero, and integers may
 * stand in quotes. */
bool pel__zarr_fill(json_object *value, const pel__zarr_type *type, bool v2, uint8_t out[8], pel_error *err);

/* n float16 values at `data` become as many float32 values, in place; there is room for them. */
void pel__zarr_widen(void *data, int64_t n);

#endif
