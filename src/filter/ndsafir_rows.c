/* SPDX-License-Identifier: MIT
 * What ND-SAFIR does voxel by voxel to a row, outside of the sums: into a tile, the test of what comes out of it, and the
 * rows of its two scales and of the search for spots.
 * Compiled once an instruction set as ndsafir_kernel.c is, with PEL_LANES and PEL_KERNEL given. */
#include "filter/ndsafir_kernel.h"

#include "filter/ndsafir_lanes.h"

#include <math.h>

#define JOINED(a, b) a##b
#define NAMED(a, b) JOINED(a, b)

/* Rows of the block are as long as they are: the last vector goes through this. */
typedef struct lane_row {
    float at[PEL_LANES];
} lane_row;

static inline vf some(const float *p, int64_t n)
{
    lane_row r = {{0}};
    for (int64_t i = 0; i < n; i++)
        r.at[i] = p[i];
    return load(r.at);
}

static inline void put_some(float *p, vf v, int64_t n)
{
    lane_row r;
    store(r.at, v);
    for (int64_t i = 0; i < n; i++)
        p[i] = r.at[i];
}

static inline vf get(const float *p, int64_t x, int64_t n) { return n - x >= PEL_LANES ? load(p + x) : some(p + x, n - x); }

static inline void put(float *p, int64_t x, int64_t n, vf v)
{
    if (n - x >= PEL_LANES)
        store(p + x, v);
    else
        put_some(p + x, v, n - x);
}

static inline vf chosen(vu mask, vf a, vf b) { return (vf)((mask & (vu)a) | (~mask & (vu)b)); }

static inline bool any(vu mask)
{
    uint32_t bits = 0;
    for (int i = 0; i < PEL_LANES; i++)
        bits |= mask[i];
    return bits != 0;
}

/* The first iteration takes every voxel; odd ones stay NaN, and 1 in precision. */
static void first(const pel__ndsafir_row *r, int64_t n)
{
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        const vf raw = get(r->raw, x, n);
        const vu taken = (vu)(raw == raw); /* NOLINT(misc-redundant-expression): false for NaN */
        const vf width = r->q ? get(r->width, x, n) : splat(0.0f);
        if (r->q)
            put(r->q, x, n, chosen(taken, get(r->precision, x, n), splat(1.0f)));
        for (int64_t c = 0; c < r->channels; c++) {
            const vf e = get(r->estimate + c * r->step.estimate, x, n);
            put(r->u + c * r->step.u, x, n, chosen(taken, e, splat(NAN)));
            if (!r->q)
                continue;
            put(r->low + c * r->step.range, x, n, e - width);
            put(r->high + c * r->step.range, x, n, e + width);
        }
    }
}

/* Lanes whose estimates lie in all intervals of the voxel, in every channel. */
static vu inside(const pel__ndsafir_row *r, int64_t x, int64_t n)
{
    const vf raw = get(r->raw, x, n);
    vu taken = (vu)(raw == raw); /* NOLINT(misc-redundant-expression) */
    for (int64_t c = 0; c < r->channels; c++) {
        const vf e = get(r->estimate + c * r->step.estimate, x, n);
        taken &= (vu)(e >= get(r->low + c * r->step.range, x, n)) & (vu)(e <= get(r->high + c * r->step.range, x, n));
    }
    return taken;
}

/* Later ones take what is inside; others keep what they have for good: no interval is left. An odd voxel stays so: its u0
 * and q0 are NaN and 1. */
static void next(const pel__ndsafir_row *r, int64_t n)
{
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        const vu taken = inside(r, x, n);
        const vf width = r->q ? get(r->width, x, n) : splat(0.0f);
        if (r->q)
            put(r->q, x, n, chosen(taken, get(r->precision, x, n), get(r->q0, x, n)));
        for (int64_t c = 0; c < r->channels; c++) {
            float *low = r->low + c * r->step.range, *high = r->high + c * r->step.range;
            const vf e = get(r->estimate + c * r->step.estimate, x, n), below = e - width, above = e + width;
            put(r->u + c * r->step.u, x, n, chosen(taken, e, get(r->u0 + c * r->step.u0, x, n)));
            if (!r->q)
                continue;
            const vf l = get(low, x, n), h = get(high, x, n);
            put(low, x, n, chosen(taken, chosen((vu)(below > l), below, l), splat(INFINITY)));
            put(high, x, n, chosen(taken, chosen((vu)(above < h), above, h), splat(-INFINITY)));
        }
    }
}

void NAMED(PEL_KERNEL, _settle)(const pel__ndsafir_row *r, int64_t n)
{
    if (r->u0)
        next(r, n);
    else
        first(r, n);
}

bool NAMED(PEL_KERNEL, _copy)(float *dst, const float *src, int64_t n, float factor, int64_t ahead)
{
    vu odd = {0};
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        __builtin_prefetch(src + x + ahead);
        const vf v = get(src, x, n);
        odd |= (vu)(v != v); /* NOLINT(misc-redundant-expression): true for NaN */
        put(dst, x, n, v * splat(factor));
    }
    return any(odd);
}

/* ---- scales ------------------------------------------------------------------------------------------------------------ */

/* Lanes of a followed by b: those of even and odd number; and back: both in turns, from the first and from the middle on. */
#if PEL_LANES == 16
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif PEL_LANES == 8
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* Sums of neighbours, two and two, from 2 x on. */
static inline vf pairs(const float *p, int64_t x, int64_t n)
{
    const vf a = get(p, 2 * x, 2 * n), b = get(p, 2 * x + PEL_LANES, 2 * n);
    return EVEN(a, b) + ODD(a, b);
}

void NAMED(PEL_KERNEL, _bin)(float *dst, const float *const rows[2], int64_t n, float factor)
{
    for (int64_t x = 0; x < n; x += PEL_LANES)
        put(dst, x, n, (pairs(rows[0], x, n) + pairs(rows[1], x, n)) * splat(factor));
}

void NAMED(PEL_KERNEL, _spread)(float *dst, const float *src, const float taps[4], int64_t n)
{
    const vf a = splat(taps[0]), b = splat(taps[1]), c = splat(taps[2]), d = splat(taps[3]);
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        const vf s0 = get(src, x, n), s1 = get(src + 1, x, n), s2 = get(src + 2, x, n), s3 = get(src + 3, x, n), s4 = get(src + 4, x, n);
        const vf even = (a * s0 + b * s1) + (c * s2 + d * s3), odd = (d * s1 + c * s2) + (b * s3 + a * s4);
        put(dst, 2 * x, 2 * n, LOW(even, odd));
        put(dst, 2 * x + PEL_LANES, 2 * n, HIGH(even, odd));
    }
}

/* ---- spots ------------------------------------------------------------------------------------------------------------- */

/* Of values on a line: the middle one, the sum of those beside it, of those one further. */
static inline vf weighted(const pel__ndsafir_search *s, vf middle, vf beside, vf further)
{
    return splat(s->kernel[0]) * middle + (splat(s->kernel[1]) * beside + splat(s->kernel[2]) * further);
}

static inline vf down(const pel__ndsafir_search *s, const float *p)
{
    const int64_t row = s->stride;
    return s->by_y ? weighted(s, load(p), load(p - row) + load(p + row), load(p - 2 * row) + load(p + 2 * row)) : load(p);
}

bool NAMED(PEL_KERNEL, _search)(float *dst, const float *src, const pel__ndsafir_search *s, int64_t n)
{
    vu found = {0};
    vf v = down(s, src - 2);
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        const vf next = down(s, src + x - 2 + PEL_LANES), middle = SHIFTED(v, next, 2);
        vf z = s->by_x ? weighted(s, middle, SHIFTED(v, next, 1) + SHIFTED(v, next, 3), v + SHIFTED(v, next, 4)) : middle;
        if (n - x < PEL_LANES)
            z = only(lanes_between(0, n - x), z);
        store(dst + x, z);
        found |= (vu)(z > splat(s->threshold));
        v = next;
    }
    return any(found);
}
