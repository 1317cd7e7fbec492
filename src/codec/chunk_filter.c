/* SPDX-License-Identifier: MIT
 * See chunk_filter.h. */
#include "codec/chunk_filter.h"

#include "core/bytes.h"

/* Running sums, wrapping as the encoder's differences did: unsigned arithmetic of the width for both signs. */
#define UNDO_DELTA(name, type)                                                                                    \
    static void name(uint8_t *p, int64_t n)                                                                       \
    {                                                                                                             \
        type sum = 0;                                                                                             \
        for (int64_t i = 0; i < n; i++) {                                                                         \
            type v;                                                                                               \
            memcpy(&v, p + i * (int64_t)sizeof v, sizeof v);                                                      \
            sum = (type)(sum + v);                                                                                \
            memcpy(p + i * (int64_t)sizeof v, &sum, sizeof v);                                                    \
        }                                                                                                         \
    }
UNDO_DELTA(undo_delta_8, uint8_t)
UNDO_DELTA(undo_delta_16, uint16_t)
UNDO_DELTA(undo_delta_32, uint32_t)
UNDO_DELTA(undo_delta_64, uint64_t)

UNDO_DELTA(undo_delta_f32, float)
UNDO_DELTA(undo_delta_f64, double)

static void sum_up(uint8_t *p, int64_t n, pel_dtype dtype)
{
    if (dtype == PEL_F32) {
        undo_delta_f32(p, n / 4);
        return;
    }
    if (dtype == PEL_F64) {
        undo_delta_f64(p, n / 8);
        return;
    }
    switch (pel_dtype_size(dtype)) {
    case 1:
        undo_delta_8(p, n);
        return;
    case 2:
        undo_delta_16(p, n / 2);
        return;
    case 4:
        undo_delta_32(p, n / 4);
        return;
    default:
        undo_delta_64(p, n / 8);
        return;
    }
}

/* Byte order is the array's business, later: here it is turned round and back. */
static void undo_delta(const pel__filter_step *f, uint8_t *p, int64_t n)
{
    const int64_t size = (int64_t)pel_dtype_size(f->dtype);
    if (f->big)
        pel__swap_items(p, n - n % size, size);
    sum_up(p, n, f->dtype);
    if (f->big)
        pel__swap_items(p, n - n % size, size);
}

static void undo_shuffle(uint8_t *p, int64_t n, int32_t size, uint8_t *room)
{
    const int64_t count = n / size; /* a tail that fills no element is stored as it is */
    for (int64_t i = 0; i < count; i++)
        for (int32_t b = 0; b < size; b++)
            room[i * size + b] = p[b * count + i];
    memcpy(p, room, (size_t)(count * size));
}

void pel__filter_undo(const pel__filter_step *f, void *data, int64_t n, void *room)
{
    if (f->kind == PEL__FILTER_DELTA)
        undo_delta(f, data, n);
    else
        undo_shuffle(data, n, f->size, room);
}
