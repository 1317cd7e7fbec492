/* SPDX-License-Identifier: MIT
 * What ND-SAFIR's kernel needs beside lanes.h: masks, and the weight. The same rule: the same bits in every lane. */
#ifndef PEL_FILTER_NDSAFIR_LANES_H
#define PEL_FILTER_NDSAFIR_LANES_H

#include "filter/lanes.h"

/* a + b, by the multiplier where adders are the scarcer: a * 1 + b has the same bits. */
static inline vf added(vf a, vf b)
{
#if PEL_LANES > 4
    return fused(a, splat(1.0f), b);
#else
    return a + b;
#endif
}

/* 1/a and 1/sqrt(a) for numbers from 1e-30 to 1e30, by Newton's steps from a guess by the exponent's bits: an error of 1e-7, in
 * a quarter of the time of a division, and (as reciprocals by hardware are not) the same everywhere. */
static inline vf inverse(vf a)
{
    vf x = (vf)(0x7EF311C7u - (vu)a);
    for (int i = 0; i < 3; i++)
        x = fused(x, fused(-a, x, splat(1.0f)), x);
    return x;
}

static inline vf inverse_root(vf a)
{
    const vf half = splat(0.5f) * a;
    vf x = (vf)(0x5F3759DFu - ((vu)a >> 1));
    for (int i = 0; i < 3; i++)
        x = fused(x, fused(-(half * x), x, splat(0.5f)), x);
    return x;
}

/* Which lanes. */
#if PEL_LANES == 16
typedef __mmask16 lanes;
#else
typedef vu lanes;
typedef int32_t vi __attribute__((vector_size(4 * PEL_LANES)));
#endif

/* Those from `from` to before `to`, which may lie beyond either end. */
static inline lanes lanes_between(int64_t from, int64_t to)
{
    const int32_t low = from < 0 ? 0 : from < PEL_LANES ? (int32_t)from : PEL_LANES, high = to < 0 ? 0 : to < PEL_LANES ? (int32_t)to : PEL_LANES;
#if PEL_LANES == 16
    return (lanes)(((1u << high) - 1) & ~((1u << low) - 1));
#elif PEL_LANES == 8
    const vi at = {0, 1, 2, 3, 4, 5, 6, 7};
    return (lanes)(at >= low) & (lanes)(at < high);
#else
    const vi at = {0, 1, 2, 3};
    return (lanes)(at >= low) & (lanes)(at < high);
#endif
}

/* v in those lanes, zero elsewhere. */
static inline vf only(lanes mask, vf v)
{
#if PEL_LANES == 16
    return _mm512_maskz_mov_ps(mask, v);
#else
    return (vf)(mask & (vu)v);
#endif
}

/* v where it is a number, zero where it is NaN. */
static inline vf where_number(vf a, vf v)
{
#if PEL_LANES == 16
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), v);
#else
    return (vf)((vu)(a == a) & (vu)v); /* NOLINT(misc-redundant-expression): false for NaN */
#endif
}

/* 2^x for x <= 0 in those lanes, zero elsewhere; exactly 1 at 0 and exactly 0 up to x = -24 (and for infinity and NaN):
 * weights below 6e-8 of the centre's are none. Relative error 3e-6: minimax polynomial on [-1/2, 1/2] with the constant
 * held at 1. */
static inline vf weight_of(vf x, lanes mask)
{
#if PEL_LANES == 16 /* rounding, and the scaling and the masks, in one step each; the same bits */
    const vf n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    const vf magic = splat(0x1.8p23f), t = x + magic, n = t - magic;
#endif
    const vf f = x - n;
    vf p = fused(f, splat(0.009582576f), splat(0.05590683f));
    p = fused(p, f, splat(0.24024107f));
    p = fused(p, f, splat(0.6931241f));
    p = fused(p, f, splat(1.0f));
#if PEL_LANES == 16
    return _mm512_maskz_scalef_ps(_mm512_mask_cmp_ps_mask(mask, splat(-24.0f), x, _CMP_LT_OQ), p, n);
#else
    return (vf)(mask & (vu)(splat(-24.0f) < x) & ((vu)p + ((vu)t << 23)));
#endif
}

#endif
