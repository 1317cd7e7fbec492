/* SPDX-License-Identifier: MIT
 * The memory of a run: the size of each buffer of each phase. The promise is the sum of the largest phase, the run allocates
 * these very buffers, and there is no second formula. */
#include "plan/plan.h"

#include "core/bytes.h"
#include "core/region.h"

#define MIB ((int64_t)1 << 20)
#define BASE_BYTES (28 * MIB)  /* program and libraries, resident (docs/architecture.md says how it was measured) */
#define THREAD_BYTES (1 * MIB) /* touched stack and allocator of a thread */
#define PAGE 4096              /* what the budget counts in */

/* The largest block of a grid, and what is read for it. It lies in the middle, where the borders of the image cut off least of its
 * halo, and least of the halos between filters in a row. */
static void largest_block(const pel__plan *plan, const pel_image *image, const int64_t block[PEL_AXES], pel_region *in, pel_region *out)
{
    *in = *out = (pel_region){.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t size = image->shape[a], before = plan->halo_before[a], halo = before + plan->halo_after[a];
        out->shape[a] = pel__min(block[a], size);
        in->shape[a] = pel__min(out->shape[a] + halo, size);
        out->origin[a] = halo > 0 ? (size - out->shape[a]) / 2 : 0;
        in->origin[a] = pel__min(pel__max(0, out->origin[a] - before), size - in->shape[a]);
    }
}

/* Where nothing is computed or converted in any image one buffer serves reading and writing. */
static bool passes_through(const pel__plan_request *q)
{
    for (int32_t i = 0; i < q->image_count; i++) {
        if (q->images[i]->dtype != q->dtype)
            return false;
    }
    return !pel__pipeline_computes(q->pipeline);
}

/* Voxels of the owned levels below the block itself. */
static int64_t lower_voxels(const pel__plan_image *p, const pel_region *out)
{
    int64_t n = 0;
    for (int32_t k = 1; k < p->owned_levels; k++) {
        const pel_region zero = pel__region(PEL_AXES, NULL, out->shape);
        const pel_region part = pel__plan_level_part(&p->layout, k, &zero);
        n += pel__region_voxels(&part);
    }
    return n;
}

static pel__sink_spec spec_of(const pel__plan_request *q, const pel_image *const *image, const pel__layout *layout)
{
    return (pel__sink_spec){.path = q->output ? q->output : "", .ome_version = q->ome_version, .dtype = q->dtype, .codec = q->codec,
                            .image_count = 1, .images = image, .layouts = layout, .provenance = "{}"};
}

static int64_t write_bytes(const pel__plan_request *q, const pel__plan_image *p, const pel_image *image, int32_t level)
{
    const pel__sink_spec spec = spec_of(q, &image, &p->layout);
    return q->sink->write_bytes(&spec, 0, level, q->threads);
}

pel__buffers pel__plan_region_buffers(const pel__plan_request *q, const pel_image *image, const pel_region *in, const pel_region *out)
{
    const bool computes = pel__pipeline_computes(q->pipeline);
    pel__buffers b = {.slots = 1};
    b.in = pel__region_voxels(in) * (int64_t)pel_dtype_size(image->dtype);
    b.out = pel__region_voxels(out) * (int64_t)pel_dtype_size(q->dtype);
    if (!computes)
        return b;
    if (q->dtype != PEL_F32 && !pel__pipeline_stores(q->pipeline))
        b.result = pel__region_voxels(out) * (int64_t)sizeof(float);
    b.filter = pel__pipeline_block_bytes(q->pipeline, image, in, out);
    b.thread = pel__pipeline_thread_bytes(q->pipeline, image) * q->threads;
    return b;
}

int64_t pel__plan_filter_bytes(const pel__plan_request *q, const pel_image *image, const pel_region *in, const pel_region *out)
{
    return pel__pipeline_sweeps(q->pipeline) ? pel__pipeline_sweep_bytes(q->pipeline, image, out)
                                             : pel__pipeline_block_bytes(q->pipeline, image, in, out);
}

static pel__buffers block_buffers(const pel__plan *plan, const pel__plan_request *q, const pel__plan_image *p, const pel_image *image)
{
    pel_region in, out;
    largest_block(plan, image, p->block, &in, &out);
    pel__buffers b = pel__plan_region_buffers(q, image, &in, &out);
    b.slots = plan->slots;
    b.in = pel__pipeline_fetches(q->pipeline) ? 0 : b.in;
    b.out = passes_through(q) ? 0 : b.out;
    if (pel__pipeline_computes(q->pipeline))
        b.filter = pel__plan_filter_bytes(q, image, &in, &out);
    b.lower = lower_voxels(p, &out) * (int64_t)pel_dtype_size(q->dtype);
    for (int32_t k = 0; k < p->owned_levels; k++)
        b.write = pel__max(b.write, write_bytes(q, p, image, k));
    return b;
}

/* A job of the pyramid holds a shard and what it is pooled from. */
static pel__buffers pyramid_buffers(const pel__plan *plan, const pel__plan_request *q, const pel__plan_image *p, const pel_image *image, int32_t level)
{
    const int64_t size = (int64_t)pel_dtype_size(q->dtype);
    const pel_region shard = pel__region(PEL_AXES, NULL, p->layout.level[level].shard), shape = pel__region(PEL_AXES, NULL, p->layout.level[level].shape);
    const pel_region out = pel__region_intersect(&shard, &shape);
    int64_t factor[PEL_AXES];
    const pel_region from = pel__plan_pooled_from(&p->layout, level, &out, factor);
    return (pel__buffers){.slots = plan->pyramid_slots, .in = pel__region_voxels(&from) * size, .out = pel__region_voxels(&out) * size,
                          .write = write_bytes(q, p, image, level)};
}

/* What reading a level back takes besides, outside the budget. */
static int64_t reading_bytes(const pel__plan_request *q, const pel__plan_image *p, const pel_image *image, int32_t level)
{
    const pel__sink_spec spec = spec_of(q, &image, &p->layout);
    int64_t chunk = 1;
    for (int a = 0; a < PEL_AXES; a++)
        chunk *= p->layout.level[level].chunk[a];
    return INT64_C(3) * q->threads * chunk * (int64_t)pel_dtype_size(q->dtype) + q->sink->read_back_bytes(&spec, 0, level, q->threads);
}

static void keep_larger(pel__buffers *all, const pel__buffers *b)
{
    all->slots = b->slots;
    all->in = pel__max(all->in, b->in);
    all->out = pel__max(all->out, b->out);
    all->result = pel__max(all->result, b->result);
    all->filter = pel__max(all->filter, b->filter);
    all->thread = pel__max(all->thread, b->thread);
    all->lower = pel__max(all->lower, b->lower);
    all->write = pel__max(all->write, b->write);
}

void pel__plan_add_buffers(pel__plan *plan, const pel__plan_request *q, const pel__plan_image *p, const pel_image *image)
{
    const pel__buffers blocks = block_buffers(plan, q, p, image);
    plan->through = passes_through(q);
    keep_larger(&plan->buffers[0], &blocks);
    for (int32_t k = p->owned_levels; k < p->layout.level_count; k++) {
        const pel__buffers level = pyramid_buffers(plan, q, p, image, k);
        keep_larger(&plan->buffers[k], &level);
        plan->reading[k] = pel__max(plan->reading[k], reading_bytes(q, p, image, k - 1));
    }
}

static int64_t pages(int64_t n) { return pel__round_up(n, PAGE); }

int64_t pel__buffers_bytes(const pel__buffers *b)
{
    return b->slots * (pages(b->in) + pages(b->out)) + pages(b->result) + pages(b->filter) + pages(b->thread) + pages(b->lower) + pages(b->write);
}

/* The phase with the largest sum; its reading, if it is of the pyramid, counts. */
static int64_t largest_phase(const pel__plan *plan, int32_t first)
{
    int64_t most = 0;
    for (int32_t k = first; k < PEL__MAX_LEVELS; k++)
        most = pel__max(most, pel__buffers_bytes(&plan->buffers[k]) + plan->reading[k]);
    return most;
}

bool pel__plan_pyramid_costs(const pel__plan *plan)
{
    return largest_phase(plan, 1) > pel__buffers_bytes(&plan->buffers[0]);
}

int64_t pel__program_bytes(int64_t held_bytes, int32_t threads)
{
    return pel__max(BASE_BYTES, held_bytes) + threads * THREAD_BYTES;
}

/* The parts add up to the total; what the pyramid takes beyond the blocks counts as buffers. */
pel__memory pel__plan_memory(const pel__plan *plan, const pel__plan_request *q)
{
    const pel__buffers *const b = &plan->buffers[0];
    pel__memory m = {0};
    m.base = pel__program_bytes(q->resident_bytes - q->source_resident_bytes, q->threads);
    m.source = q->source_resident_bytes + q->threads * q->source_thread_bytes;
    m.filter = b->filter + b->thread;
    m.write = b->write;
    m.buffers = largest_phase(plan, 0) - m.filter - m.write;
    m.total = m.base + m.source + m.filter + m.buffers + m.write;
    return m;
}
