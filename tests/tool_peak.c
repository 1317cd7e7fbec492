/* SPDX-License-Identifier: MIT
 * What one core can do at most: fused multiply-adds of floats with the widest vectors of this machine, from registers.
 * Prints 10^9 floating-point operations a second (an addition and a multiplication each), best of several runs. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define CHAINS 12      /* independent ones: latency times the number of units, and some */
#define ROUNDS 20000000

/* The loop of one vector type; the results are used, lest it vanishes. */
#define LOOP(type, set, fma)                                                                                      \
    type a[CHAINS];                                                                                               \
    const type b = set(0.999f), c = set(0.001f);                                                                  \
    for (int i = 0; i < CHAINS; i++)                                                                              \
        a[i] = set((float)i);                                                                                     \
    for (int64_t n = 0; n < ROUNDS; n++) {                                                                        \
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) a[i] = fma(a[i], b, c);                         \
    }                                                                                                             \
    float sum = 0;                                                                                                \
    for (int i = 0; i < CHAINS; i++)                                                                              \
        sum += ((float *)&a[i])[0];                                                                               \
    return sum

#ifdef __x86_64__
#include <immintrin.h>
__attribute__((target("avx512f"))) static float run512(void) { LOOP(__m512, _mm512_set1_ps, _mm512_fmadd_ps); }
__attribute__((target("avx2,fma"))) static float run256(void) { LOOP(__m256, _mm256_set1_ps, _mm256_fmadd_ps); }
#elif defined(__aarch64__)
#include <arm_neon.h>
static float32x4_t neon_fma(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
static float run128(void) { LOOP(float32x4_t, vdupq_n_f32, neon_fma); }
#endif

int main(void)
{
    float (*run)(void) = NULL;
    int lanes = 0;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f")) {
        run = run512;
        lanes = 16;
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        run = run256;
        lanes = 8;
    }
#elif defined(__aarch64__)
    run = run128;
    lanes = 4;
#endif
    double best = 0;
    float sum = 0;
    for (int i = 0; run && i < 5; i++) {
        const double start = seconds();
        sum += run();
        const double rate = 2.0 * lanes * CHAINS * ROUNDS / (seconds() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    (void)printf("%.1f\n", best);
    return sum < 0; /* never */
}
