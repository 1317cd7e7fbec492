/* SPDX-License-Identifier: MIT
 * The numeric heart of ND-SAFIR: one iteration on one tile, from dense padded float arrays to estimate, precision and
 * interval. Nothing here knows of blocks, images or threads. The same source (ndsafir_kernel.c) is compiled once an
 * instruction set; every build gives the same bits, because all of them do the same operations lane by lane. */
#ifndef PEL_FILTER_NDSAFIR_KERNEL_H
#define PEL_FILTER_NDSAFIR_KERNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEL__NT = 0, PEL__NZ = 1, PEL__NY = 2, PEL__NX = 3, PEL__ND = 4 }; /* axes t z y x of the kernel */
#define PEL__ND_VECTOR INT64_C(16) /* rows are padded to this many floats, the widest vector of any build */
#define PEL__ND_MAX_PATCH 10 /* radius an axis */
#define PEL__ND_GROUP 4      /* displacements that go together */

/* Reading reach of the tile an axis is radius + patch, plus patch again where aggregated; u, q, y are defined that far
 * around it, and a row further, and finite, but for u, which is NaN at voxels to leave out (then `odd` is set). Memory is readable
 * PEL__ND_VECTOR floats further along x. q is the precision 1/v times the exponent's constant, negative: a weight is
 * 2^(sum over the patch of (u_i - u_j)^2 (q_i + q_j)), the square being summed over the channels, if there are several. */
typedef struct pel__ndsafir_tile {
    int64_t n[PEL__ND], radius[PEL__ND], patch[PEL__ND];
    int64_t low[PEL__ND], high[PEL__ND]; /* the image, from the tile's origin: candidates lie in [low, high) */
    int64_t stride[PEL__NX];             /* of u, q, y along t, z, y; a multiple of PEL__ND_VECTOR along y */
    const float *u, *q, *y;              /* at the tile's origin; best aligned at x = -patch (-2 patch if aggregated); q is the same for all channels */
    int64_t channels, input, result;     /* jointly compared; floats from one channel of u and y, of estimate, to the next */
    bool aggregate, odd;
    bool last;                           /* only the estimate is wanted */
    float rho;                           /* half width of the interval in standard deviations */
    /* Results, dense, rows padded to PEL__ND_VECTOR: the estimate, its precision 1/v, rho * sqrt(v). The last two are
     * undefined where last. */
    float *estimate, *precision, *width;
    float *scratch;                      /* pel__ndsafir_scratch floats, aligned to 64 bytes */
    const atomic_bool *stop;             /* may be NULL; checked now and then: results are then undefined */
} pel__ndsafir_tile;

typedef void pel__ndsafir_kernel(const pel__ndsafir_tile *tile);

/* Floats of a result's row. */
static inline int64_t pel__ndsafir_padded(int64_t n) { return (n + PEL__ND_VECTOR - 1) / PEL__ND_VECTOR * PEL__ND_VECTOR; }

/* Floats of a row of u, q, y before x = 0: half of the padding, whole vectors. */
static inline int64_t pel__ndsafir_left(const pel__ndsafir_tile *k)
{
    return (k->stride[PEL__NY] - pel__ndsafir_padded(k->n[PEL__NX])) / 2 / PEL__ND_VECTOR * PEL__ND_VECTOR;
}

/* Floats of scratch for a tile with these n, radius, patch, aggregate and stride[PEL__NY]: for each plane of a sweep what
 * box sums along y keep, sums and weights of two rows; twice where aggregated; differences of all planes, a vector of a group. */
static inline int64_t pel__ndsafir_scratch(const pel__ndsafir_tile *k)
{
    const int64_t times = k->aggregate ? 2 : 1, *p = k->patch, *n = k->n, *r = k->radius, shifts = 2 * r[PEL__NX] + 1;
    const int64_t t = p[PEL__NT] ? n[PEL__NT] + r[PEL__NT] + 2 * (times - 1) * p[PEL__NT] : 1;
    const int64_t z = n[PEL__NZ] + r[PEL__NZ] + 2 * (times - 1) * p[PEL__NZ];
    const int64_t rows = times * shifts * (2 * p[PEL__NY] + 2) + 2 * PEL__ND_GROUP;
    return t * z * rows * k->stride[PEL__NY] + (t + 2 * p[PEL__NT]) * (z + 2 * p[PEL__NZ]) * 2 * PEL__ND_GROUP * PEL__ND_VECTOR + 6 * PEL__ND_VECTOR;
}

/* One row of results: the test against the voxels' earlier estimates (Lepskii), pointwise; all channels or none pass. */
typedef struct pel__ndsafir_row {
    const float *estimate, *precision, *width, *raw;
    const float *u0, *q0;      /* of the last iteration; NULL in the first */
    float *u, *q, *low, *high; /* q NULL in the last iteration; low, high NULL where there is only one */
    int64_t channels;
    struct { int64_t estimate, raw, u, u0, range; } step; /* floats from one channel to the next; range: of low and high */
} pel__ndsafir_row;

/* Correlation of rows with a symmetric kernel of radius 2, the same along y and x. */
typedef struct pel__ndsafir_search {
    float kernel[3], threshold; /* by distance from the middle; above 0 */
    int64_t stride;             /* of the rows */
    bool by_y, by_x;
} pel__ndsafir_search;

/* One build of the kernel. */
typedef struct pel__ndsafir_isa {
    pel__ndsafir_kernel *run;
    void (*settle)(const pel__ndsafir_row *row, int64_t n);
    bool (*copy)(float *dst, const float *src, int64_t n, float factor, int64_t ahead); /* times factor; true: a NaN was among it; fetches what lies so many floats further, too */
    /* dst[i] = sum of voxels 2 i and 2 i + 1 of both rows, times factor. */
    void (*bin)(float *dst, const float *const rows[2], int64_t n, float factor);
    /* dst[2 i] = the sum of taps[k] src[i + k], dst[2 i + 1] that of taps[3 - k] src[i + 1 + k]. */
    void (*spread)(float *dst, const float *src, const float taps[4], int64_t n);
    /* Returns whether one of the results exceeds the threshold. Memory is readable as far as 3 PEL__ND_VECTOR floats beyond
     * the row, and written as far as one. */
    bool (*search)(float *dst, const float *src, const pel__ndsafir_search *s, int64_t n);
} pel__ndsafir_isa;

#define PEL__ND_DECLARE(name)                                                                                     \
    pel__ndsafir_kernel name;                                                                                     \
    void name##_settle(const pel__ndsafir_row *row, int64_t n);                                                   \
    bool name##_copy(float *dst, const float *src, int64_t n, float factor, int64_t ahead);                       \
    void name##_bin(float *dst, const float *const rows[2], int64_t n, float factor);                             \
    void name##_spread(float *dst, const float *src, const float taps[4], int64_t n);                             \
    bool name##_search(float *dst, const float *src, const pel__ndsafir_search *s, int64_t n)

PEL__ND_DECLARE(pel__ndsafir_scalar); /* any machine of this architecture; NEON on arm64 */
#ifdef __x86_64__
PEL__ND_DECLARE(pel__ndsafir_v2); /* x86-64-v2: SSE4.2; multiply-adds emulated, exactly */
PEL__ND_DECLARE(pel__ndsafir_avx2); /* AVX2 and FMA, the part of x86-64-v3 that is used */
PEL__ND_DECLARE(pel__ndsafir_avx512); /* F, VL, BW, DQ: x86-64-v4 */
#endif

#endif
