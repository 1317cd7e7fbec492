/* SPDX-License-Identifier: MIT
 * See block.h. Copies work run by run along the last axis; where both sides are dense over trailing axes these are
 * merged first, so that one memcpy moves as much as possible. */
#include "core/block.h"

#include "core/bytes.h"
#include "core/region.h"

#include <float.h>
#include <math.h>
#include <string.h>

pel_block pel__block_dense(const pel_region *region, pel_dtype dtype, void *data)
{
    pel_block b = {.region = *region, .dtype = dtype, .data = data};
    int64_t stride = 1;
    for (int32_t a = region->ndim - 1; a >= 0; a--) {
        b.stride[a] = stride;
        stride *= region->shape[a];
    }
    return b;
}

void *pel__block_at(const pel_block *b, const int64_t *at)
{
    int64_t offset = 0;
    for (int32_t a = 0; a < b->region.ndim; a++)
        offset += (at[a] - b->region.origin[a]) * b->stride[a];
    return (char *)b->data + offset * (int64_t)pel_dtype_size(b->dtype);
}

pel_block pel__block_view(const pel_block *b, const pel_region *r)
{
    pel_block v = *b;
    v.region = *r;
    v.data = pel__block_at(b, r->origin);
    return v;
}

bool pel__region_rows(const pel_region *r, bool (*row)(void *arg, const int64_t *at, int64_t n), void *arg)
{
    if (pel__region_empty(r))
        return true;
    const int32_t last = r->ndim - 1;
    int64_t at[PEL_MAX_NDIM];
    memcpy(at, r->origin, sizeof at);
    for (;;) {
        if (!row(arg, at, r->shape[last]))
            return false;
        int32_t a = last - 1;
        while (a >= 0 && ++at[a] == r->origin[a] + r->shape[a]) {
            at[a] = r->origin[a];
            a--;
        }
        if (a < 0)
            return true;
    }
}

typedef struct {
    const pel_block *dst, *src;
    size_t size;
} copy_arg;

static void copy_strided(const copy_arg *c, char *d, const char *s, int64_t n)
{
    const int32_t last = c->dst->region.ndim - 1;
    const int64_t ds = c->dst->stride[last] * (int64_t)c->size, ss = c->src->stride[last] * (int64_t)c->size;
    for (int64_t i = 0; i < n; i++)
        memcpy(d + i * ds, s + i * ss, c->size);
}

static bool copy_row(void *arg, const int64_t *at, int64_t n)
{
    const copy_arg *c = arg;
    char *d = pel__block_at(c->dst, at);
    const char *s = pel__block_at(c->src, at);
    const int32_t last = c->dst->region.ndim - 1;
    if (c->dst->stride[last] == 1 && c->src->stride[last] == 1)
        memcpy(d, s, (size_t)n * c->size);
    else
        copy_strided(c, d, s, n);
    return true;
}

/* Are the last two axes of r one contiguous run in b? */
static bool joins(const pel_block *b, const pel_region *r)
{
    const int32_t last = r->ndim - 1;
    return b->stride[last] == 1 && b->stride[last - 1] == r->shape[last];
}

/* Folds the last axis into the one before while both blocks are contiguous there. Only coordinates relative to the
 * common region matter afterwards, so all three are rebased to origin 0. */
static void merge_axes(pel_block *d, pel_block *s, pel_region *r)
{
    while (r->ndim > 1 && joins(d, r) && joins(s, r)) {
        const int32_t last = r->ndim - 1;
        r->shape[last - 1] *= r->shape[last];
        r->ndim--;
        d->stride[last - 1] = s->stride[last - 1] = 1;
    }
    memset(r->origin, 0, sizeof r->origin);
    d->region = s->region = *r;
}

void pel__block_copy(const pel_block *dst, const pel_block *src)
{
    pel_region r = pel__region_intersect(&dst->region, &src->region);
    if (pel__region_empty(&r))
        return;
    pel_block d = pel__block_view(dst, &r), s = pel__block_view(src, &r);
    merge_axes(&d, &s, &r);
    copy_arg c = {.dst = &d, .src = &s, .size = pel_dtype_size(dst->dtype)};
    (void)pel__region_rows(&r, copy_row, &c);
}

static bool zero_row(void *arg, const int64_t *at, int64_t n)
{
    const pel_block *b = arg;
    const size_t size = pel_dtype_size(b->dtype);
    char *p = pel__block_at(b, at);
    const int64_t step = b->stride[b->region.ndim - 1];
    if (step == 1) {
        memset(p, 0, (size_t)n * size);
    } else {
        for (int64_t i = 0; i < n; i++)
            memset(p + i * step * (int64_t)size, 0, size);
    }
    return true;
}

void pel__block_zero(const pel_block *b)
{
    (void)pel__region_rows(&b->region, zero_row, (void *)(uintptr_t)b);
}

static bool bytes_are_zero(const char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static bool row_is_zero(void *arg, const int64_t *at, int64_t n)
{
    const pel_block *b = arg;
    const size_t size = pel_dtype_size(b->dtype);
    const char *p = pel__block_at(b, at);
    const int64_t step = b->stride[b->region.ndim - 1];
    if (step == 1)
        return bytes_are_zero(p, (size_t)n * size);
    for (int64_t i = 0; i < n; i++) {
        if (!bytes_are_zero(p + i * step * (int64_t)size, size))
            return false;
    }
    return true;
}

bool pel__block_is_zero(const pel_block *b)
{
    return pel__region_rows(&b->region, row_is_zero, (void *)(uintptr_t)b);
}

#define TO_FLOAT(name, type)                                                                                      \
    case name: {                                                                                                  \
        const char *s = src;                                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                                         \
            type v;                                                                                               \
            memcpy(&v, s + i * (int64_t)sizeof v, sizeof v);                                                      \
            dst[i] = (float)v;                                                                                    \
        }                                                                                                         \
        break;                                                                                                    \
    }

void pel__to_float(float *dst, const void *src, pel_dtype type, int64_t n)
{
    switch (type) {
        TO_FLOAT(PEL_U8, uint8_t)
        TO_FLOAT(PEL_I8, int8_t)
        TO_FLOAT(PEL_U16, uint16_t)
        TO_FLOAT(PEL_I16, int16_t)
        TO_FLOAT(PEL_U32, uint32_t)
        TO_FLOAT(PEL_I32, int32_t)
        TO_FLOAT(PEL_U64, uint64_t)
        TO_FLOAT(PEL_I64, int64_t)
        TO_FLOAT(PEL_F32, float)
        TO_FLOAT(PEL_F64, double)
    }
}

#define HALF_TO_EVEN 0x1.8p23f /* added and taken away, it rounds floats of up to 22 bits */
#define COUNTED_AT_ONCE 4096

/* Types of up to 16 bits, without a branch or a call, so that the loop becomes vectors. `below` and `above` are the first
 * integers outside the type. */
#define FROM_FLOAT_SHORT(name, type, below, above)                                                                \
    case name: {                                                                                                  \
        type *const d = dst; /* NOLINT(bugprone-macro-parentheses): a type */                                     \
        for (int64_t first = 0; first < n; first += COUNTED_AT_ONCE) {                                            \
            int32_t bad = 0;                                                                                      \
            for (int64_t i = first; i < pel__min(n, first + COUNTED_AT_ONCE); i++) {                              \
                const float x = src[i], more = x < (below) ? (below) : x, t = more > (above) ? (above) : more;    \
                const float r = (t + HALF_TO_EVEN) - HALF_TO_EVEN;                                                \
                const bool low = r <= (below), high = r >= (above), nan = r != r;                                 \
                const float v = low ? (below) + 1 : high ? (above) - 1 : r;                                       \
                bad += low | high | nan;                                                                          \
                d[i] = (type)(int32_t)(nan ? 0.0f : v);                                                           \
            }                                                                                                     \
            *clipped += bad;                                                                                      \
        }                                                                                                         \
        break;                                                                                                    \
    }

/* lo and hi are the first floats outside the type: comparing in float decides saturation exactly also where the
 * type's last value (2^32 - 1, 2^64 - 1) is no float. */
#define FROM_FLOAT(name, type, smallest, largest, below, above)                                                   \
    case name: {                                                                                                  \
        char *d = dst;                                                                                            \
        int64_t bad = 0;                                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                         \
            const float r = rintf(src[i]);                                                                        \
            const bool low = r <= (below), high = r >= (above), nan = r != r;                                     \
            bad += low | high | nan;                                                                              \
            const type v = low ? (smallest) : high ? (largest) : nan ? 0 : (type)r;                               \
            memcpy(d + i * (int64_t)sizeof v, &v, sizeof v);                                                      \
        }                                                                                                         \
        *clipped += bad;                                                                                          \
        break;                                                                                                    \
    }

void pel__from_float(void *dst, pel_dtype type, const float *src, int64_t n, int64_t *clipped)
{
    switch (type) {
        FROM_FLOAT_SHORT(PEL_U8, uint8_t, -1.0f, 256.0f)
        FROM_FLOAT_SHORT(PEL_I8, int8_t, -129.0f, 128.0f)
        FROM_FLOAT_SHORT(PEL_U16, uint16_t, -1.0f, 65536.0f)
        FROM_FLOAT_SHORT(PEL_I16, int16_t, -32769.0f, 32768.0f)
        FROM_FLOAT(PEL_U32, uint32_t, 0, UINT32_MAX, -1.0f, 0x1p32f)
        FROM_FLOAT(PEL_I32, int32_t, INT32_MIN, INT32_MAX, -0x1.000002p31f, 0x1p31f)
        FROM_FLOAT(PEL_U64, uint64_t, 0, UINT64_MAX, -1.0f, 0x1p64f)
        FROM_FLOAT(PEL_I64, int64_t, INT64_MIN, INT64_MAX, -0x1.000002p63f, 0x1p63f)
    case PEL_F32:
        memcpy(dst, src, (size_t)n * sizeof *src);
        break;
    case PEL_F64:
        for (int64_t i = 0; i < n; i++)
            pel__store_f64((char *)dst + i * 8, src[i]);
        break;
    }
}

void pel__block_put(const pel_block *b, const int64_t *at, const float *src, int64_t n, int64_t *clipped)
{
    char *dst = pel__block_at(b, at);
    const int64_t step = b->stride[b->region.ndim - 1] * (int64_t)pel_dtype_size(b->dtype);
    if (b->stride[b->region.ndim - 1] == 1) {
        pel__from_float(dst, b->dtype, src, n, clipped);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        pel__from_float(dst + i * step, b->dtype, src + i, 1, clipped);
}

/* ---- beyond float32 ------------------------------------------------------------------------------------------ */

_Static_assert(LDBL_MANT_DIG >= 64, "a long double holds every integer of 64 bits");

bool pel__dtype_wide(pel_dtype type)
{
    return type == PEL_U32 || type == PEL_I32 || type == PEL_U64 || type == PEL_I64 || type == PEL_F64;
}

#define LOAD(tag, type)               \
    case tag: {                       \
        type v;                       \
        memcpy(&v, src, sizeof v);    \
        return (long double)v;        \
    }

static long double load_exact(const void *src, pel_dtype from)
{
    switch (from) {
        LOAD(PEL_U8, uint8_t)
        LOAD(PEL_I8, int8_t)
        LOAD(PEL_U16, uint16_t)
        LOAD(PEL_I16, int16_t)
        LOAD(PEL_U32, uint32_t)
        LOAD(PEL_I32, int32_t)
        LOAD(PEL_U64, uint64_t)
        LOAD(PEL_I64, int64_t)
        LOAD(PEL_F32, float)
        LOAD(PEL_F64, double)
    }
    return 0;
}

/* Rounds to the nearest, ties to even; false where the type cannot hold it. What is no number becomes 0. */
static bool to_integer(long double v, pel_dtype to, uint64_t *bits)
{
    const bool has_sign = to == PEL_I8 || to == PEL_I16 || to == PEL_I32 || to == PEL_I64;
    const uint64_t top = UINT64_MAX >> (64 - 8 * (int)pel_dtype_size(to) + has_sign);
    const long double high = (long double)top, low = has_sign ? -high - 1 : 0, r = rintl(v);
    const bool fits = r >= low && r <= high;
    const long double kept = fits ? r : isnan(v) ? 0 : v > 0 ? high : low;
    *bits = kept < 0 ? (uint64_t)(int64_t)kept : (uint64_t)kept;
    return fits;
}

void pel__convert_exact(void *dst, pel_dtype to, const void *src, pel_dtype from, int64_t n, int64_t *clipped)
{
    const int64_t in = (int64_t)pel_dtype_size(from), out = (int64_t)pel_dtype_size(to);
    for (int64_t i = 0; i < n; i++) {
        const long double v = load_exact((const char *)src + i * in, from);
        char *const at = (char *)dst + i * out;
        uint64_t bits = 0;
        if (to == PEL_F32) {
            pel__store_f32(at, (float)v);
        } else if (to == PEL_F64) {
            pel__store_f64(at, (double)v);
        } else {
            *clipped += !to_integer(v, to, &bits);
            memcpy(at, &bits, (size_t)out); /* little-endian machine */
        }
    }
}
