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

/* 2^x for x <= 0, exactly 1 at 0 and exactly 0 up to x = -24 (and for infinity and NaN): weights below 6e-8 of the
 * centre's are none. Relative error 3e-6: minimax polynomial on [-1/2, 1/2] with the constant held at 1. */
static inline vf weight_of(vf x)
{
#if PEL_LANES == 16 /* rounding, and the scaling and the mask, in one step each; the same bits */
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
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(splat(-24.0f), x, _CMP_LT_OQ), p, n);
#else
    return where_less(splat(-24.0f), x, (vf)((vu)p + ((vu)t << 23)));
#endif
}

#endif
