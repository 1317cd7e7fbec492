/* SPDX-License-Identifier: MIT
 * What ND-SAFIR does voxel by voxel to a row, outside of the sums: into a tile, and the test of what comes out of it.
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

bool NAMED(PEL_KERNEL, _copy)(float *dst, const float *src, int64_t n, float factor)
{
    vu odd = {0};
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        const vf v = get(src, x, n);
        odd |= (vu)(v != v); /* NOLINT(misc-redundant-expression): true for NaN */
        put(dst, x, n, v * splat(factor));
    }
    uint32_t any = 0;
    for (int i = 0; i < PEL_LANES; i++)
        any |= odd[i];
    return any != 0;
}
