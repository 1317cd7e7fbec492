/* SPDX-License-Identifier: MIT
 * A vector of PEL_LANES floats and the few operations that plain C operators on it do not give. Each of them yields the
 * same bits in a lane for every PEL_LANES and instruction set: that is all that makes the kernels agree. */
#ifndef PEL_FILTER_LANES_H
#define PEL_FILTER_LANES_H

#include <stdint.h>

#if PEL_LANES > 4
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef float vf __attribute__((vector_size(4 * PEL_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * PEL_LANES)));
typedef float vf_anywhere __attribute__((vector_size(4 * PEL_LANES), aligned(4), may_alias));

static inline vf load(const float *p) { return *(const vf_anywhere *)p; }
static inline void store(float *p, vf v) { *(vf_anywhere *)p = v; }
static inline vf splat(float f) { return f - (vf){0}; }

/* a * b + c, rounded once. */
#if PEL_LANES == 16
static inline vf fused(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
#elif PEL_LANES == 8
static inline vf fused(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
#elif defined(__aarch64__)
static inline vf fused(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
#else
/* Without the instruction: the product is exact in double; the sum is rounded to odd there, after which rounding it
 * to float cannot err (53 bits hold 24 and more than two guard bits). */
typedef double vd __attribute__((vector_size(8 * PEL_LANES)));
typedef int64_t vl __attribute__((vector_size(8 * PEL_LANES)));
static inline vf fused(vf a, vf b, vf c)
{
    const vd p = __builtin_convertvector(a, vd) * __builtin_convertvector(b, vd), d = __builtin_convertvector(c, vd);
    const vd s = p + d, back = s - p, lost = (p - (s - back)) + (d - back);
    const vl bits = (vl)s, inexact = (lost < 0) | (lost > 0), even = (bits & 1) - 1;
    const vl outward = (lost > 0) ^ (s < 0); /* all ones: the true sum is further from zero than s */
    const vl step = (outward & 1) - (~outward & 1);
    return __builtin_convertvector((vd)(bits + (step & inexact & even)), vf);
}
#endif

/* Lanes k .. k + PEL_LANES - 1 of a followed by b, k a constant. */
#if PEL_LANES == 16
#define SHIFTED(a, b, k) ((vf)_mm512_alignr_epi32((__m512i)(b), (__m512i)(a), k))
#elif PEL_LANES == 8
/* The machine shifts the halves apart: `middle` is what lies between. */
static inline __attribute__((always_inline)) vf shifted(vf a, vf b, const int k)
{
    const __m256i low = (__m256i)a, high = (__m256i)b, middle = _mm256_permute2x128_si256(low, high, 0x21);
    switch (k) {
    case 0: return a;
    case 1: return (vf)_mm256_alignr_epi8(middle, low, 4);
    case 2: return (vf)_mm256_alignr_epi8(middle, low, 8);
    case 3: return (vf)_mm256_alignr_epi8(middle, low, 12);
    case 4: return (vf)middle;
    case 5: return (vf)_mm256_alignr_epi8(high, middle, 4);
    case 6: return (vf)_mm256_alignr_epi8(high, middle, 8);
    default: return (vf)_mm256_alignr_epi8(high, middle, 12);
    }
}
#define SHIFTED(a, b, k) shifted(a, b, k)
#else
#define SHIFTED(a, b, k) __builtin_shufflevector(a, b, (k), (k) + 1, (k) + 2, (k) + 3)
#endif

#endif
