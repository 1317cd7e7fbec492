/* SPDX-License-Identifier: MIT
 * See dtype.h. */
#include "zarr/dtype.h"

#include "core/bytes.h"

#include <math.h>
#include <stdlib.h>

bool pel__zarr_dtype_v3(const char *name, pel__zarr_type *out, pel_error *err)
{
    *out = (pel__zarr_type){.boolean = strcmp(name, "bool") == 0, .half = strcmp(name, "float16") == 0};
    out->dtype = out->half ? PEL_F32 : PEL_U8;
    if (!out->boolean && !out->half && !pel_dtype_parse(&out->dtype, name))
        return pel__fail(err, PEL_UNSUPPORTED, "data type \"%s\": pellucid reads integers of 8 to 64 bits, float16, float32, float64 "
                         "and bool", name);
    out->item = out->half ? 2 : (int32_t)pel_dtype_size(out->dtype);
    return true;
}

bool pel__zarr_dtype_v2(const char *name, pel__zarr_type *out, pel_error *err)
{
    static const char *const kinds[] = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "f2", "b1"};
    for (int i = 0; i < 12; i++) {
        const bool one = kinds[i][1] == '1';
        const bool order = name[0] == '<' || name[0] == '>' || (name[0] == '|' && one);
        if (!order || strcmp(name + 1, kinds[i]) != 0)
            continue;
        *out = (pel__zarr_type){.half = i == 10, .boolean = i == 11, .big = name[0] == '>' && !one};
        out->dtype = out->half ? PEL_F32 : out->boolean ? PEL_U8 : (pel_dtype)i;
        out->item = out->half ? 2 : (int32_t)pel_dtype_size(out->dtype);
        return true;
    }
    return pel__fail(err, PEL_UNSUPPORTED, "data type \"%s\": pellucid reads u1 to u8, i1 to i8, f2, f4, f8 and b1", name);
}

/* ---- float16 ----------------------------------------------------------------------------------------------- */

static float half_value(uint16_t bits)
{
    const int exponent = bits >> 10 & 31;
    const uint32_t fraction = bits & 1023, sign = (uint32_t)(bits & 0x8000) << 16;
    const float least = 1.0F / 16777216.0F; /* 2^-24, a unit of the subnormal ones */
    uint32_t wide;
    float v = (float)fraction * least;
    memcpy(&wide, &v, sizeof wide);
    if (exponent == 31)
        wide = 0x7F800000U | fraction << 13;
    else if (exponent > 0)
        wide = (uint32_t)(exponent + 112) << 23 | fraction << 13;
    wide |= sign;
    memcpy(&v, &wide, sizeof v);
    return v;
}

/* The nearest float16, ties to even, as float32: what an array of this type can hold of a fill value. */
static float half_rounded(double v)
{
    int exponent = 0;
    if (!isfinite(v) || v == 0)
        return (float)v;
    (void)frexp(v, &exponent);
    const double unit = ldexp(1.0, exponent < -13 ? -24 : exponent - 11);
    const double rounded = rint(v / unit) * unit;
    return fabs(rounded) > 65504 ? copysignf(INFINITY, (float)v) : (float)rounded;
}

void pel__zarr_widen(void *data, int64_t n)
{
    uint8_t *const p = data;
    for (int64_t i = n - 1; i >= 0; i--) /* from the end: what is written has been read */
        pel__store_f32(p + 4 * i, half_value(pel__load_u16(p + 2 * i)));
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

static bool fill_real(json_object *value, const pel__zarr_type *type, uint8_t *out)
{
    double v = 0;
    if (json_object_is_type(value, json_type_string)) {
        const char *const text = json_object_get_string(value);
        if (fill_bits(text, (size_t)type->item, out)) {
            if (type->half)
                pel__zarr_widen(out, 1);
            return true;
        }
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
    if (type->half)
        pel__store_f32(out, half_rounded(v));
    else if (type->item == 4)
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

/* "0": some writers of v2 put integers into quotes. */
static bool fill_quoted(const char *text, pel_dtype dtype, uint8_t *out)
{
    const char *const digits = text + (text[0] == '-');
    json_object *const value = digits[0] && strspn(digits, "0123456789") == strlen(digits) ? json_tokener_parse(text) : NULL;
    const bool ok = value && json_object_is_type(value, json_type_int) && fill_integer(value, dtype, out);
    json_object_put(value);
    return ok;
}

bool pel__zarr_fill(json_object *value, const pel__zarr_type *type, bool v2, uint8_t out[8], pel_error *err)
{
    memset(out, 0, 8);
    bool ok = false;
    if (!value)
        ok = v2;
    else if (v2 && !type->boolean && type->dtype < PEL_F32 && json_object_is_type(value, json_type_string))
        ok = fill_quoted(json_object_get_string(value), type->dtype, out);
    else if (type->boolean && json_object_is_type(value, json_type_boolean))
        ok = true, out[0] = json_object_get_boolean(value) != 0;
    else if (type->dtype == PEL_F32 || type->dtype == PEL_F64)
        ok = fill_real(value, type, out);
    else
        ok = fill_integer(value, type->dtype, out) && (!type->boolean || out[0] <= 1); /* numbers stand in v2 stores */
    if (ok)
        return true;
    const char *const text = value ? json_object_to_json_string(value) : "null";
    return pel__fail(err, PEL_FORMAT, "fill_value: found %.60s, expected a value of %s", text ? text : "?",
                     type->boolean ? "bool" : type->half ? "float16" : pel_dtype_name(type->dtype));
}
