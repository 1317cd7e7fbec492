/* SPDX-License-Identifier: MIT
 * See dtype.h. */
#include "zarr/dtype.h"

#include "core/bytes.h"

#include <math.h>
#include <stdlib.h>

bool pel__zarr_dtype_v3(const char *name, pel_dtype *out, bool *boolean, pel_error *err)
{
    *boolean = strcmp(name, "bool") == 0;
    if (*boolean)
        *out = PEL_U8;
    if (*boolean || pel_dtype_parse(out, name))
        return true;
    return pel__fail(err, PEL_UNSUPPORTED, "data type \"%s\": pellucid reads integers of 8 to 64 bits, float32, float64 and bool",
                     name);
}

bool pel__zarr_dtype_v2(const char *name, pel_dtype *out, bool *boolean, bool *big, pel_error *err)
{
    static const char *const kinds[] = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"};
    *boolean = strcmp(name, "|b1") == 0;
    *big = name[0] == '>';
    if (*boolean) {
        *out = PEL_U8;
        return true;
    }
    for (int i = 0; i < 10; i++) {
        const bool order = name[0] == '<' || name[0] == '>' || (name[0] == '|' && i < 2);
        if (order && strcmp(name + 1, kinds[i]) == 0) {
            *out = (pel_dtype)i;
            return true;
        }
    }
    return pel__fail(err, PEL_UNSUPPORTED, "data type \"%s\": pellucid reads u1 to u8, i1 to i8, f4, f8 and |b1", name);
}

/* ---- fill values ------------------------------------------------------------------------------------------- */

/* "0x7fc00000": the bits, printed from the highest. */
static bool fill_bits(const char *text, size_t size, uint8_t *out)
{
    if (strlen(text) != 2 + 2 * size || text[0] != '0' || text[1] != 'x' || strspn(text + 2, "0123456789abcdefABCDEF") != 2 * size)
        return false;
    const uint64_t bits = strtoull(text + 2, NULL, 16);
    memcpy(out, &bits, size); /* little-endian machine */
    return true;
}

static bool fill_real(json_object *value, size_t size, uint8_t *out)
{
    double v = 0;
    if (json_object_is_type(value, json_type_string)) {
        const char *const text = json_object_get_string(value);
        if (fill_bits(text, size, out))
            return true;
        if (strcmp(text, "NaN") == 0)
            v = (double)NAN;
        else if (strcmp(text, "Infinity") == 0)
            v = (double)INFINITY;
        else if (strcmp(text, "-Infinity") == 0)
            v = -(double)INFINITY;
        else
            return false;
    } else if (json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int)) {
        v = json_object_get_double(value);
    } else {
        return false;
    }
    if (size == 4)
        pel__store_f32(out, (float)v);
    else
        pel__store_f64(out, v);
    return true;
}

/* In the wild an integer array may carry 0.0. */
static bool fill_integer(json_object *value, pel_dtype dtype, uint8_t *out)
{
    const size_t size = pel_dtype_size(dtype);
    const bool has_sign = dtype == PEL_I8 || dtype == PEL_I16 || dtype == PEL_I32 || dtype == PEL_I64;
    const int bits = 8 * (int)size;
    if (json_object_is_type(value, json_type_double)) {
        const double v = json_object_get_double(value);
        if (!(fabs(v) < 9e15) || v != (double)(int64_t)v)
            return false;
    } else if (!json_object_is_type(value, json_type_int)) {
        return false;
    }
    const int64_t v = json_object_get_int64(value); /* saturates, as does the next */
    const uint64_t u = json_object_get_uint64(value);
    const uint64_t top = UINT64_MAX >> (64 - bits + has_sign);
    if (v < 0 ? !has_sign || v < -(int64_t)top - 1 : u > top)
        return false;
    const uint64_t raw = v < 0 ? (uint64_t)v : u;
    memcpy(out, &raw, size);
    return true;
}

bool pel__zarr_fill(json_object *value, pel_dtype dtype, bool boolean, bool null_is_zero, uint8_t out[8], pel_error *err)
{
    memset(out, 0, 8);
    bool ok = false;
    if (!value)
        ok = null_is_zero;
    else if (boolean && json_object_is_type(value, json_type_boolean))
        ok = true, out[0] = json_object_get_boolean(value) != 0;
    else if (dtype == PEL_F32 || dtype == PEL_F64)
        ok = fill_real(value, pel_dtype_size(dtype), out);
    else
        ok = fill_integer(value, dtype, out);
    if (ok)
        return true;
    const char *const text = value ? json_object_to_json_string(value) : "null";
    return pel__fail(err, PEL_FORMAT, "fill_value: found %.60s, expected a value of %s", text ? text : "?",
                     boolean ? "bool" : pel_dtype_name(dtype));
}
