/* SPDX-License-Identifier: MIT
 * For tests: runs any filter without a noise model over a whole image in memory, cut into blocks with exactly the halo
 * that the filter asks for, each block handed over as a dense copy so that any read outside of it would show. */
#ifndef PEL_TESTS_FILTER_RUN_H
#define PEL_TESTS_FILTER_RUN_H

#include "core/block.h"
#include "core/budget.h"
#include "core/bytes.h"
#include "core/region.h"
#include "filter/filter.h"

#include <stdlib.h>

typedef struct filter_run {
    const pel__filter_type *type;
    pel__values values;
    pel_image image;         /* shape and dtype of the source */
    int64_t block[PEL_AXES]; /* 0: the whole axis */
    int32_t threads;
    bool fetch;              /* the filter takes its input part by part */
    int64_t parts;           /* how many it has taken */
} filter_run;

typedef struct filter_fetching {
    filter_run *run;
    const pel_block *in;
    pel_region allowed;
} filter_fetching;

static inline bool filter_fetch(void *arg, const pel_block *part, pel_error *err)
{
    filter_fetching *f = arg;
    if (!pel__region_inside(&part->region, &f->allowed))
        return pel__fail(err, PEL_ARGUMENT, "a part outside of the halo");
    pel__block_copy(part, f->in);
    f->run->parts++;
    return true;
}

static inline void filter_begin(filter_run *r, const pel__filter_type *type, const int64_t shape[PEL_AXES], pel_dtype dtype)
{
    *r = (filter_run){.type = type, .threads = 1};
    pel__values_init(&r->values, type->params, type->param_count);
    memcpy(r->image.shape, shape, sizeof r->image.shape);
    r->image.dtype = dtype;
}

/* Names and values in turn, NULL at the end; then resolves and checks. */
static inline bool filter_set(filter_run *r, const char *const *settings, pel_error *err)
{
    for (; settings && *settings; settings += 2) {
        if (!pel__values_set(&r->values, settings[0], settings[1], err))
            return false;
    }
    return r->type->resolve(&r->values, &r->image, err) && r->type->check(&r->values, &r->image, err);
}

/* Memory of n bytes, aligned as the budget's is, its end at the end of the allocation: sanitizers see what runs over. */
static inline void *filter_memory(int64_t n)
{
    void *p = aligned_alloc(64, (size_t)pel__max(64, pel__round_up(n, 64)));
    if (p)
        memset(p, 0xff, (size_t)n); /* NaN everywhere */
    return p;
}

static inline bool filter_block(filter_run *r, pel__pool *pool, const pel_block *in, const pel_block *out,
                                const pel_region *cell, pel_error *err)
{
    int64_t before[PEL_AXES], after[PEL_AXES];
    const pel_region bounds = pel__region(PEL_AXES, NULL, r->image.shape);
    r->type->halo(&r->values, &r->image, before, after);
    const pel_region from = pel__region_grow(cell, before, after, &bounds);
    void *pixels = filter_memory(pel__region_voxels(&from) * (int64_t)pel_dtype_size(in->dtype));
    void *scratch = filter_memory(r->type->block_bytes(&r->values, &r->image, &from, cell));
    void *thread_scratch = filter_memory(r->type->thread_bytes(&r->values, &r->image) * r->threads);
    bool ok = false;
    if (pixels && scratch && thread_scratch) {
        const pel_block part = pel__block_dense(&from, in->dtype, r->fetch ? NULL : pixels), result = pel__block_view(out, cell);
        filter_fetching fetching = {.run = r, .in = in, .allowed = from};
        if (!r->fetch)
            pel__block_copy(&part, in);
        const pel__filter_call call = {.fetch = filter_fetch, .fetch_arg = &fetching, .values = &r->values, .image = &r->image, .in = &part, .out = &result, .pool = pool,
                                       .scratch = scratch, .thread_scratch = thread_scratch};
        ok = r->type->apply(&call, err);
    }
    free(thread_scratch);
    free(scratch);
    free(pixels);
    return ok;
}

static inline bool filter_all(filter_run *r, float *dst, const void *src, pel_error *err)
{
    pel__pool *pool = NULL;
    const pel_region bounds = pel__region(PEL_AXES, NULL, r->image.shape);
    const pel_block in = pel__block_dense(&bounds, r->image.dtype, (void *)(uintptr_t)src), out = pel__block_dense(&bounds, PEL_F32, dst);
    int64_t cell[PEL_AXES];
    bool ok = pel__pool_create(&pool, r->threads, err);
    for (int a = 0; a < PEL_AXES; a++)
        cell[a] = r->block[a] ? pel__min(r->block[a], r->image.shape[a]) : r->image.shape[a];
    for (int64_t i = 0; ok && i < pel__grid_cells(&bounds, cell); i++) {
        const pel_region one = pel__grid_cell(&bounds, cell, i);
        ok = filter_block(r, pool, &in, &out, &one, err);
    }
    pel__pool_destroy(pool);
    return ok;
}

#endif
