/* SPDX-License-Identifier: MIT
 * Where ND-SAFIR's time goes, and what the machine could do: the kernel's own source with a clock around its stages.
 *
 *   tool_stages_ISA     (one an instruction set; `bench/speed.py` runs the best that the machine can)
 *
 * First the rates of this machine: multiply-adds from registers, vectors read and written in the first cache and in the
 * second. Then each stage alone on data in the first cache, in cycles a vector of pairs. Then whole tiles: cycles a
 * vector of useful pairs of the loop from differences to weights, of the averages and of the rest, operations and
 * vectors of the second cache counted, as shares of the rates. Least of many. A pair is a voxel with one displacement
 * and serves both ends; useful are those that the result needs: margins count as cost. */
#include <stdint.h>

typedef struct clock_of {
    int64_t ticks, vectors; /* vectors: entered, whatever becomes of them */
} clock_of;

enum { FEEDING, AVERAGING, STAGES };
static clock_of clocks[STAGES];
static int64_t ticks(void);
#define TIMED(stage, count, call)                                                                                 \
    do {                                                                                                          \
        const int64_t begin_ticks = ticks();                                                                      \
        call;                                                                                                     \
        clocks[stage].ticks += ticks() - begin_ticks;                                                             \
        clocks[stage].vectors += (count);                                                                         \
    } while (0)

#include "filter/ndsafir_kernel.h"

pel__ndsafir_kernel PEL_KERNEL; /* this program's own */

#include "filter/ndsafir_kernel.c" /* NOLINT(bugprone-suspicious-include): its static functions are wanted */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static int64_t ticks(void)
{
#ifdef __x86_64__
    return (int64_t)__builtin_ia32_rdtsc();
#else
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#endif
}

#define KEEP(v) __asm__ volatile("" : : "r"(v) : "memory")
#ifdef __x86_64__
#define KEEP_VECTOR(v) __asm__ volatile("" : "+v"(v))
#else
#define KEEP_VECTOR(v) __asm__ volatile("" : "+w"(v))
#endif
#define REPEATS 200
#define PATCH 3 /* radius */

static double ticks_a_cycle;

/* Runs `code` `times` times: least ticks of REPEATS, in cycles each. */
#define LEAST(result, times, code)                                                                                \
    do {                                                                                                          \
        int64_t least = INT64_MAX;                                                                                \
        for (int repeat = 0; repeat < REPEATS; repeat++) {                                                        \
            const int64_t begin_ticks = ticks();                                                                  \
            for (int64_t i = 0; i < (times); i++)                                                                 \
                code;                                                                                             \
            least = lowest(least, ticks() - begin_ticks);                                                         \
        }                                                                                                         \
        (result) = (double)least / (ticks_a_cycle > 0 ? ticks_a_cycle : 1) / (double)(times);                     \
    } while (0)

/* ---- what the machine does --------------------------------------------------------------------------------- */

/* Integer products that wait for each other take three cycles each. */
static void calibrate(void)
{
    uint64_t x = 3, factor = 5;
    double three;
    KEEP(&factor);
    LEAST(three, 20000, { __asm__ volatile("" : "+r"(x)); x *= factor; });
    KEEP(x);
    ticks_a_cycle = three / 3;
}

#define HUGE_PAGE (INT64_C(1) << 21)

/* On huge pages where it does not fit the first cache, as a run's memory is. */
static float *room(int64_t floats)
{
    const int64_t unit = floats < 65536 ? 64 : HUGE_PAGE, bytes = (floats * 4 + unit - 1) / unit * unit;
    float *p = aligned_alloc((size_t)unit, (size_t)bytes);
    if (!p)
        exit(1);
    if (unit == HUGE_PAGE)
        (void)madvise(p, (size_t)bytes, MADV_HUGEPAGE);
    for (int64_t i = 0; i < floats; i++)
        p[i] = (float)(i * 7919 % 1009) / 1009;
    return p;
}

/* Twelve chains: latency times the number of units, and some. */
static void __attribute__((noinline)) chains(vf *result, int64_t times)
{
    vf a[12], b = result[0], c = result[1];
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        a[i] = splat((float)i);
    for (int64_t n = 0; n < times; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = fused(a[i], b, c);
    }
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        result[0] += a[i] * splat(1e-9f);
}

static double multiply_adds(void)
{
    vf result[2] = {splat(0.999f), splat(0.001f)};
    double cycles;
    LEAST(cycles, 1, chains(result, 2000));
    KEEP(result);
    return cycles / 2000 / 12;
}

/* Cycles a vector of `floats` floats, read, written, or both in place; eight at a time. */
static double touched(int64_t floats, bool reads, bool writes)
{
    float *p = room(floats);
    vf sum = splat(0);
    double cycles;
    LEAST(cycles, 20, {
        for (float *at = p; at < p + floats; at += 8 * PEL_LANES) {
            _Pragma("GCC unroll 8") for (int j = 0; j < 8; j++)
            {
                vf v = reads ? load(at + j * PEL_LANES) : sum;
                KEEP_VECTOR(v);
                if (writes)
                    store(at + j * PEL_LANES, v);
            }
        }
    });
    KEEP(p);
    free(p);
    return cycles / (double)(floats / PEL_LANES);
}

/* ---- stages alone ------------------------------------------------------------------------------------------ */

#define ROW 96 /* floats of the rows that they work on */

typedef struct alone {
    float *u, *state, *kept, *out;
    feed f;
} alone;

static alone prepare(void)
{
    alone a = {.u = room(4 * 4 * ROW), .state = room(ROW * GROUP * 2 * (PATCH + 1)), .kept = room(8 * ROW), .out = room(8 * ROW)};
    a.f = (feed){.row = 4 * ROW, .q = 2 * ROW, .offset = 5, .channels = 1};
    return a;
}

INLINE void differences(const alone *a)
{
    for (int64_t x = 0; x < ROW; x += PEL_LANES) {
        const ends own = ends_at(&a->f, a->u + x, PAIRS);
#pragma GCC unroll 4
        for (int g = 0; g < GROUP; g++) {
            vf e[2];
            enter(&a->f, a->u + x, &own, e, g, PAIRS, false);
            KEEP_VECTOR(e[0]);
            KEEP_VECTOR(e[1]);
        }
    }
}

INLINE void along_y(const alone *a)
{
    float *state = a->state, *singles = state + PATCH * GROUP * ROW;
    for (int64_t x = 0; x < ROW; x += PEL_LANES, state += PATCH * GROUP * PEL_LANES, singles += GROUP * PEL_LANES) {
#pragma GCC unroll 4
        for (int g = 0; g < GROUP; g++) {
            vf e[2] = {splat(0.1f), splat(0.2f)};
            push(0, state + g * PEL_LANES, singles + g * PEL_LANES, e, GROUP, PATCH);
            KEEP_VECTOR(e[0]);
            KEEP_VECTOR(e[1]);
        }
    }
}

INLINE void along_x(const alone *a, const bool weigh)
{
    const lanes all = lanes_between(0, PEL_LANES);
    for (int64_t x = 0; x < ROW; x += PEL_LANES) {
#pragma GCC unroll 8
        for (int g = 0; g < 2 * GROUP; g++) {
            vf sum = splat(-0.1f);
            KEEP_VECTOR(sum);
            store(a->out + g * ROW + x, outcome(finish(a->kept + g * BEHIND(PATCH) * PEL_LANES, sum, PATCH), weigh, all));
        }
    }
}

#define SHIFTS 4

INLINE void averages(const alone *a, float *sums, float *weights)
{
    const average end = {.num = sums, .den = sums + ROW, .squares = sums + 2 * ROW, .w = weights, .y = a->u, .next_w = ROW, .next_y = 1, .n = ROW, .count = SHIFTS};
    add_row(&end, true);
}

static void row_of(const char *name, double cycles, double operations, double read, double written, double fma)
{
    printf("%-44s %7.2f %10.1f %9.0f%% %9.1f %8.1f\n", name, cycles, operations, 100 * operations * fma / 2 / cycles, read, written);
}

static void stages_alone(double fma)
{
    alone a = prepare();
    float *sums = room(3 * ROW), *weights = room((SHIFTS + 1) * ROW);
    const double vectors_of = ROW / PEL_LANES * 2 * GROUP;
    double cycles, without;
    memset(a.state, 0, ROW * GROUP * 2 * (PATCH + 1) * sizeof(float));
    printf("\nstages alone, patch %d, in the first cache%19s %10s %10s %9s %8s\n", PATCH, "cycles", "operations", "of peak", "read", "written");
    LEAST(cycles, 200, { differences(&a); KEEP(a.u); });
    row_of("differences", cycles / vectors_of, 4, 2 + 2.0 / GROUP, 0, fma);
    LEAST(cycles, 200, { along_y(&a); KEEP(a.state); });
    row_of("sums along y", cycles / vectors_of, 2.5, 2, 1.5, fma);
    LEAST(without, 200, { along_x(&a, false); KEEP(a.out); });
    row_of("sums along x", without / vectors_of, 4, 1, 2, fma);
    LEAST(cycles, 200, { along_x(&a, true); KEEP(a.out); });
    row_of("sums along x and weights", cycles / vectors_of, 16, 1, 2, fma);
    LEAST(cycles, 200, { averages(&a, sums, weights); KEEP(sums); });
    row_of("averages, both ends", 2 * cycles / (ROW / PEL_LANES * SHIFTS), 10, 2 * (2 + 3.0 / SHIFTS), 2 * 3.0 / SHIFTS, fma);
    free(weights);
    free(sums);
    free(a.u);
    free(a.state);
    free(a.kept);
    free(a.out);
}

/* ---- whole tiles ------------------------------------------------------------------------------------------- */

/* Lays the tile out as ndsafir.c does, without aggregation; the image reaches `beyond` to all sides. Returns
 * what to free besides the estimate and the scratch. */
static float *lay_out_tile(pel__ndsafir_tile *k, int64_t beyond)
{
    int64_t size[PEL__ND], reach[PEL__ND], results = 1;
    for (int a = 0; a < PEL__ND; a++) {
        reach[a] = k->radius[a] + k->patch[a];
        size[a] = k->n[a] + 2 * reach[a];
        k->low[a] = k->n[a] > 1 ? -beyond : 0;
        k->high[a] = k->n[a] - k->low[a];
        results *= a == PEL__NX ? pel__ndsafir_padded(k->n[a]) : k->n[a];
    }
    const int64_t pad = (reach[PEL__NX] + PEL__ND_VECTOR - 1) / PEL__ND_VECTOR * PEL__ND_VECTOR + PEL__ND_VECTOR;
    k->stride[PEL__NY] = (pel__ndsafir_padded(k->n[PEL__NX]) + 2 * pad) | PEL__ND_VECTOR;
    k->stride[PEL__NZ] = k->stride[PEL__NY] * size[PEL__NY];
    k->stride[PEL__NT] = k->stride[PEL__NZ] * size[PEL__NZ];
    k->channels = 1;
    k->input = k->stride[PEL__NT] * size[PEL__NT] + 2 * k->stride[PEL__NY];
    k->result = results;
    float *u = room(3 * k->input + PEL__ND_VECTOR);
    const int64_t origin = reach[PEL__NT] * k->stride[PEL__NT] + reach[PEL__NZ] * k->stride[PEL__NZ] + (reach[PEL__NY] + 1) * k->stride[PEL__NY] + pad + k->patch[PEL__NX];
    for (int64_t i = 0; i < k->input; i++)
        u[k->input + i] = -0.05f;
    k->u = u + origin;
    k->q = k->u + k->input;
    k->y = k->q + k->input;
    k->estimate = room(3 * results);
    k->precision = k->estimate + results;
    k->width = k->precision + results;
    k->scratch = room(pel__ndsafir_scratch(k));
    return u;
}

/* Pairs that the result needs: half of the voxels and candidates in the image, but for the voxels themselves. */
static double useful_pairs(const pel__ndsafir_tile *k)
{
    double all = 1, voxels = 1;
    for (int a = 0; a < PEL__ND; a++) {
        int64_t n = 0;
        for (int64_t d = -k->radius[a]; d <= k->radius[a]; d++)
            n += length(both((range){0, k->n[a]}, (range){k->low[a] - d, k->high[a] - d}));
        all *= (double)n;
        voxels *= (double)k->n[a];
    }
    return (all - voxels) / 2;
}

typedef struct rates {
    double fma, near_read, near_write, far_both; /* cycles a vector */
} rates;

static void whole_tile(const char *name, pel__ndsafir_tile k, int64_t beyond, const rates *r)
{
    float *input = lay_out_tile(&k, beyond);
    const double pairs = useful_pairs(&k) / PEL_LANES;
    int64_t whole = INT64_MAX, feeding = INT64_MAX, averaging = INT64_MAX;
    for (int repeat = 0; repeat < 12; repeat++) {
        const int64_t begin_ticks = ticks();
        memset(clocks, 0, sizeof clocks);
        PEL_KERNEL(&k);
        const int64_t took = ticks() - begin_ticks;
        if (took < whole) {
            whole = took;
            feeding = clocks[FEEDING].ticks;
            averaging = clocks[AVERAGING].ticks;
        }
    }
    /* Per vector entered: state read and written; per pair: weights written once, read twice. */
    const double entered = (double)clocks[FEEDING].vectors / pairs, to = 1 / ticks_a_cycle / pairs, cycles = (double)whole * to;
    const double box = k.patch[PEL__NZ] ? 2 : 0, operations = 4 + box + 2.5 + 4 + 12 + 10;
    const double traffic = entered * 1.75 + 1.5; /* a vector read and one written */
    printf("%-34s %9.1f %9.1f %7.1f %7.1f %9.2f %10.1f %7.0f%% %9.1f %7.0f%%\n", name, cycles, (double)feeding * to, (double)averaging * to,
           (double)(whole - feeding - averaging) * to, entered, operations, 100 * operations * r->fma / 2 / cycles, traffic, 100 * traffic * r->far_both / cycles);
    free(k.scratch);
    free(k.estimate);
    free(input);
}

static bool able(void)
{
#if PEL_LANES == 16
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#elif PEL_LANES == 8
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

int main(void)
{
    rates r = {0};
    if (!able()) {
        (void)fprintf(stderr, "not on this machine\n");
        return 77;
    }
    calibrate();
    r.fma = multiply_adds();
    r.near_read = touched(4096, true, false);
    r.near_write = touched(4096, false, true);
    r.far_both = touched(131072, true, true);
    printf("cycles a vector of %d: multiply-add %.2f, read %.2f and written %.2f (16 KiB), read and written back %.2f (512 KiB)\n", PEL_LANES, r.fma, r.near_read,
           r.near_write, r.far_both);
    stages_alone(r.fma);
    printf("\nwhole tiles, cycles a vector of pairs %6s %9s %7s %7s %9s %10s %8s %9s %8s\n", "all", "weights", "ends", "rest", "entered", "operations", "of peak", "2nd cache", "of rate");
    whole_tile("plane 256 x 512, window 8", (pel__ndsafir_tile){.n = {1, 1, 512, 256}, .radius = {0, 0, 8, 8}, .patch = {0, 0, 3, 3}}, 100, &r);
    whole_tile("plane 256 x 512, window 2", (pel__ndsafir_tile){.n = {1, 1, 512, 256}, .radius = {0, 0, 2, 2}, .patch = {0, 0, 3, 3}}, 100, &r);
    whole_tile("depth 8 x 128 x 128, window 1 x 5", (pel__ndsafir_tile){.n = {1, 8, 128, 128}, .radius = {0, 1, 5, 5}, .patch = {0, 1, 1, 1}}, 100, &r);
    whole_tile("3 x 8 x 96 x 96, window 1 x 3 x 8", (pel__ndsafir_tile){.n = {3, 8, 96, 96}, .radius = {1, 3, 8, 8}, .patch = {0, 1, 3, 3}}, 0, &r);
    return 0;
}
