/* SPDX-License-Identifier: MIT
 * See chunk_filter.h. One number at a time: these filters are rare, and stand before codecs that take far longer. */
#include "codec/chunk_filter.h"

#include "core/bytes.h"

static bool is_real(pel_dtype t)
{
    return t == PEL_F32 || t == PEL_F64;
}

static bool has_sign(pel_dtype t)
{
    return t == PEL_I8 || t == PEL_I16 || t == PEL_I32 || t == PEL_I64;
}

/* The bits of number i, in the machine's order. */
static uint64_t load_bits(const uint8_t *src, int64_t i, const pel__filter_type *t)
{
    const int64_t size = (int64_t)pel_dtype_size(t->dtype);
    uint8_t raw[8] = {0};
    memcpy(raw, src + i * size, (size_t)size);
    if (t->big)
        pel__swap_items(raw, size, size);
    return pel__load_u64(raw);
}

static void store_bits(uint8_t *dst, int64_t i, const pel__filter_type *t, uint64_t bits)
{
    const int64_t size = (int64_t)pel_dtype_size(t->dtype);
    uint8_t raw[8];
    pel__store_u64(raw, bits);
    if (t->big)
        pel__swap_items(raw, size, size);
    memcpy(dst + i * size, raw, (size_t)size);
}

/* An integer, its sign carried to the top. */
static uint64_t load_integer(const uint8_t *src, int64_t i, const pel__filter_type *t)
{
    const uint64_t bits = load_bits(src, i, t), top = (uint64_t)1 << (8 * pel_dtype_size(t->dtype) - 1);
    return has_sign(t->dtype) ? (bits ^ top) - top : bits;
}

static double load_real(const uint8_t *src, int64_t i, const pel__filter_type *t)
{
    const uint64_t bits = load_bits(src, i, t);
    uint8_t raw[8];
    pel__store_u64(raw, bits);
    return t->dtype == PEL_F32 ? (double)pel__load_f32(raw) : pel__load_f64(raw);
}

/* Towards zero, as C converts; what does not fit ends at the nearest end of the type. */
static uint64_t integer_of(double v, pel_dtype t)
{
    const int bits = 8 * (int)pel_dtype_size(t);
    const uint64_t most = UINT64_MAX >> (64 - bits + has_sign(t));
    if (!(v >= 0 || v < 0))
        return 0;
    if (v < 0)
        return !has_sign(t) ? 0 : v <= -(double)most - 1 ? ~most : (uint64_t)(int64_t)v;
    return v >= (double)most ? most : (uint64_t)v;
}

static void store_real(uint8_t *dst, int64_t i, const pel__filter_type *t, double v)
{
    uint8_t raw[8] = {0};
    if (t->dtype == PEL_F32)
        pel__store_f32(raw, (float)v);
    else
        pel__store_f64(raw, v);
    store_bits(dst, i, t, is_real(t->dtype) ? pel__load_u64(raw) : integer_of(v, t->dtype));
}

/* Integers wrap as the encoder's differences did, and sum up in the width of the voxels; reals in their own precision. */
static void undo_delta(const pel__filter_step *f, const uint8_t *src, int64_t n, uint8_t *dst)
{
    uint64_t sum = 0;
    double real = 0;
    for (int64_t i = 0; i < n; i++) {
        if (is_real(f->to.dtype)) {
            real += load_real(src, i, &f->from);
            real = f->to.dtype == PEL_F32 ? (double)(float)real : real;
            store_real(dst, i, &f->to, real);
        } else {
            sum += load_integer(src, i, &f->from);
            store_bits(dst, i, &f->to, sum);
        }
    }
}

/* Numbers of 32 bits are scaled in 32 bits, all others in 64: as NumPy does it. */
static double scaled(const pel__filter_step *f, const uint8_t *src, int64_t i)
{
    if (f->from.dtype == PEL_F32)
        return (double)((float)load_real(src, i, &f->from) / (float)f->scale + (float)f->offset);
    const uint64_t bits = is_real(f->from.dtype) ? 0 : load_integer(src, i, &f->from);
    const double v = is_real(f->from.dtype) ? load_real(src, i, &f->from) : has_sign(f->from.dtype) ? (double)(int64_t)bits : (double)bits;
    return v / f->scale + f->offset;
}

static void convert(const pel__filter_step *f, const uint8_t *src, int64_t i, uint8_t *dst)
{
    if (is_real(f->from.dtype)) {
        store_real(dst, i, &f->to, load_real(src, i, &f->from));
        return;
    }
    const uint64_t v = load_integer(src, i, &f->from);
    const bool sign = has_sign(f->from.dtype);
    if (!is_real(f->to.dtype))
        store_bits(dst, i, &f->to, v);
    else if (f->to.dtype == PEL_F32) /* in one step: by way of 64 bits it would be rounded twice */
        store_real(dst, i, &f->to, (double)(sign ? (float)(int64_t)v : (float)v));
    else
        store_real(dst, i, &f->to, sign ? (double)(int64_t)v : (double)v);
}

void pel__filter_undo(const pel__filter_step *f, const void *src, int64_t n, void *dst)
{
    if (f->kind == PEL__FILTER_DELTA) {
        undo_delta(f, src, n, dst);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (f->kind == PEL__FILTER_SCALE)
            store_real(dst, i, &f->to, scaled(f, src, i));
        else
            convert(f, src, i, dst);
    }
}
