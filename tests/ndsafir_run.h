/* SPDX-License-Identifier: MIT
 * For tests and benchmarks: runs ND-SAFIR over a whole float32 image in memory, cut into blocks with exactly the halo
 * that the filter asks for, each block handed over as a dense copy so that any read outside of it would show. */
#ifndef PEL_TESTS_NDSAFIR_RUN_H
#define PEL_TESTS_NDSAFIR_RUN_H

#include "core/block.h"
#include "core/budget.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/region.h"
#include "filter/filter.h"

#include <stdlib.h>

typedef struct ndsafir_run {
    pel__values values; /* resolved by ndsafir_prepare */
    pel_image image;
    pel__noise noise[16];
    int64_t block[PEL_AXES]; /* 0: the whole axis */
    int32_t threads;
    bool timed;              /* leave out the poisoning; blocks use memory again, as a run's do */
    pel__budget *budget;     /* where timed; until the process ends */
    void *room[3];           /* pixels, scratch, thread scratch of the last block */
    int64_t room_bytes[3];
    int64_t block_bytes_most, thread_bytes; /* out: what the filter asked for */
    double seconds;                         /* out: wall seconds in the filter itself, blocks not copied in */
    double bytes_a_voxel;                   /* out: of the last block and its halo */
} ndsafir_run;

static inline void ndsafir_begin(ndsafir_run *r, const int64_t shape[PEL_AXES])
{
    memset(r, 0, sizeof *r);
    pel__values_init(&r->values, pel__filter_ndsafir.params, pel__filter_ndsafir.param_count);
    memcpy(r->image.shape, shape, sizeof r->image.shape);
    r->image.dtype = PEL_F32;
    r->threads = 1;
    for (int i = 0; i < 16; i++)
        r->noise[i] = (pel__noise){0, 1, 1};
}

static inline bool ndsafir_prepare(ndsafir_run *r, pel_error *err)
{
    return pel__filter_ndsafir.resolve(&r->values, &r->image, err) && pel__filter_ndsafir.check(&r->values, &r->image, err);
}

/* Where timed as a run has it, from a budget, which asks for huge pages: with small ones a tenth to a fifth slower. */
static inline void *ndsafir_room(ndsafir_run *r, int which, int64_t n)
{
    if (r->timed && n <= r->room_bytes[which])
        return r->room[which];
    if (!r->timed) {
        free(r->room[which]);
        r->room[which] = malloc((size_t)n);
    } else if (r->budget || pel__budget_create(&r->budget, 0, NULL)) {
        pel__budget_free(r->budget, r->room[which], r->room_bytes[which]);
        (void)pel__budget_alloc(r->budget, &r->room[which], n, "room", NULL);
    }
    r->room_bytes[which] = r->room[which] ? n : 0;
    return r->room[which];
}

/* One block: copies what it may read, poisons everything else that it gets; neither where timed and it is the whole image. */
static inline bool ndsafir_block(ndsafir_run *r, pel__pool *pool, const pel_block *in, const pel_block *out, const pel_region *cell, pel_error *err)
{
    int64_t before[PEL_AXES], after[PEL_AXES];
    const pel_region bounds = pel__region(PEL_AXES, NULL, r->image.shape);
    pel__filter_ndsafir.halo(&r->values, &r->image, before, after);
    const pel_region from = pel__region_grow(cell, before, after, &bounds);
    const int64_t n_block = pel__filter_ndsafir.block_bytes(&r->values, &r->image, &from, cell);
    const int64_t n_thread = pel__filter_ndsafir.thread_bytes(&r->values, &r->image) * r->threads;
    float *pixels = ndsafir_room(r, 0, pel__region_voxels(&from) * (int64_t)sizeof *pixels);
    void *scratch = ndsafir_room(r, 1, n_block), *thread_scratch = ndsafir_room(r, 2, n_thread);
    const bool whole = r->timed && pel__region_voxels(&from) == pel__region_voxels(&bounds);
    bool ok = false;
    if (pixels && scratch && thread_scratch) {
        if (!r->timed) {
            memset(scratch, 0xff, (size_t)n_block); /* NaN everywhere */
            memset(thread_scratch, 0xff, (size_t)n_thread);
        }
        pel_block part = whole ? *in : pel__block_dense(&from, PEL_F32, pixels);
        const pel_block result = pel__block_view(out, cell);
        if (!whole)
            pel__block_copy(&part, in);
        /* The arena aligns within what it gets. */
        const pel__filter_call call = {.values = &r->values, .image = &r->image, .noise = r->noise, .in = &part, .out = &result,
                                       .pool = pool, .scratch = scratch, .thread_scratch = thread_scratch};
        const double start = pel__now();
        ok = pel__filter_ndsafir.apply(&call, err);
        r->seconds += pel__now() - start;
    }
    r->block_bytes_most = n_block > r->block_bytes_most ? n_block : r->block_bytes_most;
    r->thread_bytes = n_thread / r->threads;
    r->bytes_a_voxel = (double)n_block / (double)pel__region_voxels(&from);
    return ok;
}

static inline bool ndsafir_all(ndsafir_run *r, float *dst, const float *src, pel_error *err)
{
    pel__pool *pool = NULL;
    const pel_region bounds = pel__region(PEL_AXES, NULL, r->image.shape);
    const pel_block in = pel__block_dense(&bounds, PEL_F32, (void *)(uintptr_t)src), out = pel__block_dense(&bounds, PEL_F32, dst);
    int64_t cell[PEL_AXES];
    bool ok = pel__pool_create(&pool, r->threads, err);
    for (int a = 0; a < PEL_AXES; a++)
        cell[a] = r->block[a] ? pel__min(r->block[a], r->image.shape[a]) : r->image.shape[a];
    const int64_t count = pel__grid_cells(&bounds, cell);
    for (int64_t i = 0; ok && i < count; i++) {
        const pel_region one = pel__grid_cell(&bounds, cell, i);
        ok = ndsafir_block(r, pool, &in, &out, &one, err);
    }
    pel__pool_destroy(pool);
    for (int i = 0; i < 3 && !r->timed; i++) { /* else the next image uses them again */
        free(r->room[i]);
        r->room[i] = NULL;
        r->room_bytes[i] = 0;
    }
    return ok;
}

#endif
