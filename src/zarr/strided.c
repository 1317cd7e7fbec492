/* SPDX-License-Identifier: MIT
 * Copies and fills between two strided boxes of any axis order: axes of length 1 are dropped, axes that continue each
 * other on both sides are joined, and the fastest axis of the source runs innermost, so that most copies become a few
 * long runs. */
#include "core/bytes.h"
#include "zarr/array.h"

/* Sorts axes by the source's stride, largest first, and joins them. */
static pel__strided simplify(const pel__strided *s)
{
    pel__strided r = {.item = s->item};
    for (int32_t i = 0; i < s->ndim; i++) {
        if (s->shape[i] == 1)
            continue;
        int32_t k = r.ndim++;
        for (; k > 0 && r.from[k - 1] < s->from[i]; k--) {
            r.shape[k] = r.shape[k - 1];
            r.to[k] = r.to[k - 1];
            r.from[k] = r.from[k - 1];
        }
        r.shape[k] = s->shape[i];
        r.to[k] = s->to[i];
        r.from[k] = s->from[i];
    }
    int32_t n = 0;
    for (int32_t i = 0; i < r.ndim; i++) {
        const bool join = n > 0 && r.from[n - 1] == r.shape[i] * r.from[i] && r.to[n - 1] == r.shape[i] * r.to[i];
        const int32_t at = join ? n - 1 : n++;
        r.shape[at] = join ? r.shape[at] * r.shape[i] : r.shape[i];
        r.to[at] = r.to[i];
        r.from[at] = r.from[i];
    }
    r.ndim = n;
    return r;
}

#define COPY_ITEMS(type)                                                                                          \
    for (int64_t i = 0; i < n; i++)                                                                               \
        memcpy(dst + i * to * (int64_t)sizeof(type), src + i * from * (int64_t)sizeof(type), sizeof(type));       \
    return

static void copy_run(uint8_t *dst, int64_t to, const uint8_t *src, int64_t from, int64_t n, int32_t item)
{
    if (to == 1 && from == 1) {
        memcpy(dst, src, (size_t)(n * item));
        return;
    }
    switch (item) {
    case 1:
        COPY_ITEMS(uint8_t);
    case 2:
        COPY_ITEMS(uint16_t);
    case 4:
        COPY_ITEMS(uint32_t);
    default:
        COPY_ITEMS(uint64_t);
    }
}

static void copy_axis(const pel__strided *s, int32_t axis, uint8_t *dst, const uint8_t *src)
{
    if (axis == s->ndim - 1) {
        copy_run(dst, s->to[axis], src, s->from[axis], s->shape[axis], s->item);
        return;
    }
    for (int64_t i = 0; i < s->shape[axis]; i++)
        copy_axis(s, axis + 1, dst + i * s->to[axis] * s->item, src + i * s->from[axis] * s->item);
}

void pel__strided_copy(const pel__strided *s, void *dst, const void *src)
{
    for (int32_t i = 0; i < s->ndim; i++)
        if (s->shape[i] == 0)
            return;
    const pel__strided r = simplify(s);
    if (r.ndim == 0)
        memcpy(dst, src, (size_t)s->item);
    else
        copy_axis(&r, 0, dst, src);
}

static void fill_axis(const pel__strided *s, int32_t axis, uint8_t *dst, const uint8_t *value)
{
    const bool last = axis == s->ndim - 1;
    for (int64_t i = 0; i < s->shape[axis]; i++) {
        uint8_t *const at = dst + i * s->to[axis] * s->item;
        if (last)
            memcpy(at, value, (size_t)s->item);
        else
            fill_axis(s, axis + 1, at, value);
    }
}

static void zero_axis(const pel__strided *s, int32_t axis, uint8_t *dst)
{
    if (axis == s->ndim - 1 && s->to[axis] == 1) {
        memset(dst, 0, (size_t)(s->shape[axis] * s->item));
        return;
    }
    for (int64_t i = 0; i < s->shape[axis]; i++) {
        uint8_t *const at = dst + i * s->to[axis] * s->item;
        if (axis == s->ndim - 1)
            memset(at, 0, (size_t)s->item);
        else
            zero_axis(s, axis + 1, at);
    }
}

void pel__strided_fill(const pel__strided *s, void *dst, const uint8_t *value)
{
    static const uint8_t zero[8];
    pel__strided own = *s;
    for (int32_t i = 0; i < s->ndim; i++) {
        if (s->shape[i] == 0)
            return;
        own.from[i] = s->to[i]; /* order and joining by the destination alone */
    }
    const pel__strided r = simplify(&own);
    if (r.ndim == 0)
        memcpy(dst, value, (size_t)s->item);
    else if (memcmp(value, zero, (size_t)s->item) == 0)
        zero_axis(&r, 0, dst);
    else
        fill_axis(&r, 0, dst, value);
}
