/* SPDX-License-Identifier: MIT
 * The buffers of a phase: those of the plan (plan/memory.c), from a budget that holds no more than they are together. A job that
 * needs a larger one fails by the buffer's name. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "run/run.h"

#include <stdlib.h>
#include <string.h>

pel_region pel__run_halo_region(const pel_run *run, int32_t image, const pel_region *block)
{
    int64_t before[PEL_AXES], after[PEL_AXES];
    pel__pipeline_halo(run->pipeline, run->images[image], before, after);
    return pel__region_grow(block, before, after, &run->plan.images[image].bounds);
}

static bool alloc_buffers(pel_run *run, const pel__buffers *need, pel_error *err)
{
    pel__bench *const b = &run->bench;
    pel__budget *const from = run->budget;
    b->need = *need;
    for (int32_t s = 0; s < need->slots; s++) {
        if (!pel__budget_alloc(from, &b->slot[s].in, need->in, "block to read", err) ||
            !pel__budget_alloc(from, &b->slot[s].out, need->out, "block to write", err))
            return false;
    }
    return pel__budget_alloc(from, &b->result, need->result, "result", err) && pel__budget_alloc(from, &b->filter, need->filter, "filter", err) &&
           pel__budget_alloc(from, &b->thread, need->thread, "filter threads", err) &&
           pel__budget_alloc(from, &b->pyramid, need->lower, "lower levels", err) &&
           pel__budget_alloc(from, &b->write, need->write, "compression", err);
}

/* The promise without what is no buffer: program, input, and of a level of the pyramid the reading of the one below. */
static int64_t budget_bytes(const pel_run *run, int32_t level)
{
    const pel__memory *const m = &run->plan.memory;
    return m->total - m->base - m->source - run->plan.reading[level];
}

bool pel__bench_alloc(pel_run *run, int32_t level, pel_error *err)
{
    pel__bench_free(run);
    pel__budget_set_limit(run->budget, budget_bytes(run, level));
    run->kept = (pel__kept){.any = false};
    run->bench.kept = level == 0 && run->plan.sweep ? &run->kept : NULL;
    return alloc_buffers(run, &run->plan.buffers[level], err);
}

int64_t pel__run_room(const pel_run *run)
{
    const pel__memory *const m = &run->plan.memory;
    return run->request.memory_bytes - m->base - (m->source - m->kept_tiles);
}

bool pel__bench_window(pel_run *run, int32_t image, const pel_region *in, const pel_region *out, pel_error *err)
{
    const pel__buffers need = pel__plan_region_buffers(&run->request, run->images[image], in, out);
    pel__bench *const b = &run->bench;
    pel__bench_free(run);
    pel__budget_set_limit(run->budget, pel__max(1, pel__run_room(run))); /* not of the plan's phases: who asks for a window has chosen its size */
    if (!alloc_buffers(run, &need, err))
        return false;
    b->slot[0].in_block = pel__block_dense(in, run->images[image]->dtype, b->slot[0].in);
    b->slot[0].out_block = pel__block_dense(out, run->dtype, b->slot[0].out);
    return true;
}

void pel__bench_free(pel_run *run)
{
    pel__bench *const b = &run->bench;
    for (int32_t s = 0; s < PEL__SLOTS; s++) {
        pel__budget_free(run->budget, b->slot[s].in, b->need.in);
        pel__budget_free(run->budget, b->slot[s].out, b->need.out);
        free(b->slot[s].range);
    }
    pel__budget_free(run->budget, b->result, b->need.result);
    pel__budget_free(run->budget, b->filter, b->need.filter);
    pel__budget_free(run->budget, b->thread, b->need.thread);
    pel__budget_free(run->budget, b->pyramid, b->need.lower);
    pel__budget_free(run->budget, b->write, b->need.write);
    memset(b, 0, sizeof *b);
}

static bool holds(const char *name, int64_t have, int64_t want, pel_error *err)
{
    return want <= have || pel__fail(err, PEL_NO_MEMORY, "%s: needs %lld bytes, the plan has %lld for it: a bug of pellucid", name, (long long)want, (long long)have);
}

/* Of a block: what the filter and the levels below want. */
static bool block_fits(const pel_run *run, const pel__plan_job *job, const pel_region *in, pel_error *err)
{
    const pel__buffers *const have = &run->bench.need;
    const pel__plan_image *const p = &run->plan.images[job->image];
    int64_t lower = 0;
    for (int32_t k = 1; k < p->owned_levels; k++) {
        const pel_region part = pel__plan_level_part(&p->layout, k, &job->region);
        lower += pel__region_voxels(&part) * (int64_t)pel_dtype_size(run->dtype);
    }
    if (!holds("lower levels", have->lower, lower, err))
        return false;
    if (!pel__pipeline_computes(run->pipeline))
        return true;
    const pel__buffers alone = pel__plan_region_buffers(&run->request, run->images[job->image], in, &job->region);
    return holds("result", have->result, alone.result, err) && holds("filter threads", have->thread, alone.thread, err) &&
           holds("filter", have->filter, pel__plan_filter_bytes(&run->request, run->images[job->image], in, &job->region), err);
}

bool pel__bench_fits(const pel_run *run, const pel__plan_job *job, const pel_region *in, pel_error *err)
{
    const pel__buffers *const have = &run->bench.need;
    const bool block = job->level == 0, fetches = block && pel__pipeline_fetches(run->pipeline), through = block && run->plan.through;
    const int64_t size_in = (int64_t)pel_dtype_size(block ? run->images[job->image]->dtype : run->dtype), size_out = (int64_t)pel_dtype_size(run->dtype);
    return holds("block to read", have->in, fetches ? 0 : pel__region_voxels(in) * size_in, err) &&
           holds("block to write", through ? have->in : have->out, pel__region_voxels(&job->region) * size_out, err) &&
           (!block || block_fits(run, job, in, err));
}
