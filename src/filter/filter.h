/* SPDX-License-Identifier: MIT
 * The contract of a filter: one const pel__filter_type a filter, one file a member (its kernels beside it), one line in
 * the table of api.c. Parameters are data: the CLI's help, the plan and the docs come from the same table. A filter is
 * a pure function of global coordinates: its result at a voxel does not depend on how the image was cut. */
#ifndef PEL_FILTER_FILTER_H
#define PEL_FILTER_FILTER_H

#include "core/block.h"
#include "core/budget.h"
#include "core/error.h"
#include "core/pool.h"
#include "filter/params.h"
#include "pellucid.h"

#include <stdatomic.h>

/* Noise of one channel: Var(Y) = gain * E(Y) + offset, in grey values. gain 0: Gaussian of variance `offset`.
 * low_frequency: see pel_noise; averages of neighbours that share their noise vary by so many times more. */
typedef struct pel__noise {
    double gain, offset, low_frequency;
} pel__noise;

/* What a filter left in its scratch for a block further along y: whose block it was. */
typedef struct pel__kept {
    bool any;
    pel_region block;
    int64_t rows; /* of the filter's own: how many along y there is room for */
} pel__kept;

/* One block to work. Neither locks nor allocates: all memory comes with the call. */
typedef struct pel__filter_call {
    const pel__values *values;   /* resolved */
    const pel_image *image;
    const pel__noise *noise;     /* image->shape[PEL_C] of them, NULL where the filter does not need it */
    const float *ground;         /* as many, for filters that take one: a value within the image's range, or 0; NULL: 0 everywhere */
    const pel_block *in;         /* any dtype; out's region grown by the halo, cut at the image */
    const pel_block *out;        /* no halo; float32 with dense rows, but any dtype and stride for filters that store */
    atomic_llong *clipped;       /* grows by the values that an integer `out` could not hold; NULL where it is float32 */
    /* For filters that fetch: in->data may be NULL. Then this fills part->region, within in's region, with in's dtype. */
    bool (*fetch)(void *arg, const pel_block *part, pel_error *err);
    void *fetch_arg;
    pel__pool *pool;
    void *scratch;               /* block_bytes(…) of them, content undefined unless kept */
    void *thread_scratch;        /* pool threads * thread_bytes(…), content undefined */
    pel__kept *kept;             /* NULL, or scratch is sweep_bytes, always the same memory, untouched since *kept was set */
    const atomic_bool *stop;     /* may be NULL; when true: end soon with PEL_INTERRUPTED */
} pel__filter_call;

typedef struct pel__filter_type {
    const char *name, *help;
    const pel__param *params;
    int32_t param_count;
    bool needs_noise;
    bool takes_ground; /* its sums keep more digits where a value near the image's own is taken off first */
    bool fetches;     /* can take its input part by part: a block with its halo need not be in memory */
    bool stores;      /* can write results of any dtype: no float32 block of them is needed before they are converted */
    bool makes_float; /* results may be negative or fractions: float32 unless the user says otherwise */
    /* Replaces "auto" texts by explicit values for this image. */
    bool (*resolve)(pel__values *v, const pel_image *image, pel_error *err);
    /* Pure: may these (resolved) values run on this image? */
    bool (*check)(const pel__values *v, const pel_image *image, pel_error *err);
    /* Exact reach an axis: out at i depends on in at [i - before, i + after] and nothing else. */
    void (*halo)(const pel__values *v, const pel_image *image, int64_t before[PEL_AXES], int64_t after[PEL_AXES]);
    /* Scratch of one call with these regions; upper bounds, exact enough to plan with. */
    int64_t (*block_bytes)(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out);
    /* Sweep: blocks that follow each other along y may hand on what they share. Scratch then, where that is possible for
     * this block; what a block in the middle of a sweep still takes (false: all of its input). NULL: it never is. */
    int64_t (*sweep_bytes)(const pel__values *v, const pel_image *image, const pel_region *out);
    bool (*sweep_takes)(const pel__values *v, const pel_image *image, const pel_region *out, pel_region *in);
    int64_t (*thread_bytes)(const pel__values *v, const pel_image *image);
    /* Work on a voxel of `out`, that on the halo shared out, in nanoseconds of one core: roughly, for comparing plans. */
    double (*cost)(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out);
    bool (*apply)(const pel__filter_call *call, pel_error *err);
    /* Candidates that the data may choose from, e.g. "aggregate=no strength=0.5"; the first is "", the default. Within
     * the cost that the values, not yet resolved, ask for. NULL: nothing to choose. */
    const char *const *(*tuning)(const pel__values *typed, const pel_image *image, int32_t *count);
    const char *joint; /* "setting=value": all channels are worked jointly (then the halo says so); the data may choose it. NULL: never */
} pel__filter_type;

/* By name; NULL if there is none. The table is in api.c. */
const pel__filter_type *pel__filter_find(const char *name);

extern const pel__filter_type pel__filter_identity;
extern const pel__filter_type pel__filter_gaussian;
extern const pel__filter_type pel__filter_dog;
extern const pel__filter_type pel__filter_median;
extern const pel__filter_type pel__filter_ndsafir;

#endif
