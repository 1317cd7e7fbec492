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

/* v in the lanes where a < b, zero elsewhere (and where either is NaN). */
static inline vf where_less(vf a, vf b, vf v)
{
#if PEL_LANES == 16
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), v);
#else
    return (vf)((vu)(a < b) & (vu)v);
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

#if PEL_LANES == 16
/* c - a * b, rounded once: the bits of fused(-a, b, c). */
static inline vf less(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
#endif

/* 2^-x for x >= 0, exactly 1 at 0 and exactly 0 from x = 24 on (and for infinity and NaN): weights below 6e-8 of the
 * centre's are none. Relative error 3e-6: minimax polynomial on [-1/2, 1/2] with the constant held at 1. */
static inline vf weight_of(vf x)
{
    const vf magic = splat(0x1.8p23f), t = x + magic;
#if PEL_LANES == 16 /* from -f, and the scaling and the mask in one step: two less, the same bits */
    const vf n = magic - t, minus_f = x + n;
    vf p = less(minus_f, splat(0.009582576f), splat(0.05590683f));
    p = less(minus_f, p, splat(0.24024107f));
    p = less(minus_f, p, splat(0.6931241f));
    p = less(minus_f, p, splat(1.0f));
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, splat(24.0f), _CMP_LT_OQ), p, n);
#else
    const vf f = (t - magic) - x;
    vf p = fused(f, splat(0.009582576f), splat(0.05590683f));
    p = fused(p, f, splat(0.24024107f));
    p = fused(p, f, splat(0.6931241f));
    p = fused(p, f, splat(1.0f));
    return where_less(x, splat(24.0f), (vf)((vu)p - ((vu)t << 23)));
#endif
}

#endif
