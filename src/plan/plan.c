/* SPDX-License-Identifier: MIT
 * Choosing blocks. Every block shape whose sides are a chunk times a power of two is a candidate; of those that fit
 * into the memory the cheapest wins. Cost counts the filter's operations on block and halo and the bytes read; a large
 * block pays a little for what a kill would lose and for the ragged end of the pipeline, a small one for its files. */
#include "plan/plan.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((int64_t)1 << 20)
#define BASE_BYTES (28 * MIB)        /* program and libraries, resident (docs/architecture.md says how it was measured) */
#define THREAD_BYTES (1 * MIB)       /* touched stack and allocator of a thread */
#define MOST_SHARD_BYTES (1024 * MIB)
#define WIDE_HALO 64                 /* voxels: with so wide a halo larger shards are the lesser evil */
#define MOST_WIDE_SHARD_BYTES (4096 * MIB)
#define MOST_CHUNKS 32768            /* inner chunks of a shard: the index stays below 512 KiB */
#define WAIT_NANOSECONDS 4.0         /* for the disk, a voxel, where reading and writing do not overlap with computing */
#define READ_NANOSECONDS 4.0         /* of one core for reading and decoding a voxel, roughly */

/* The largest block of a grid, and what is read for it. */
static void largest_block(const pel__plan *plan, const pel_image *image, const int64_t block[PEL_AXES], pel_region *in,
                          pel_region *out)
{
    *in = *out = (pel_region){.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t size = image->shape[a];
        out->shape[a] = pel__min(block[a], size);
        in->shape[a] = pel__min(out->shape[a] + plan->halo_before[a] + plan->halo_after[a], size);
        out->origin[a] = pel__min(plan->halo_before[a], size - out->shape[a]);
    }
}

/* Voxels of the owned levels below the block itself. */
static int64_t pyramid_voxels(const pel__plan_image *p, const pel_region *out)
{
    int64_t n = 0;
    for (int32_t k = 1; k < p->owned_levels; k++) {
        const pel_region zero = pel__region(PEL_AXES, NULL, out->shape);
        const pel_region part = pel__plan_level_part(&p->layout, k, &zero);
        n += pel__region_voxels(&part);
    }
    return n;
}

static pel__sink_spec spec_of(const pel__plan_request *q, const pel__layout *layouts)
{
    return (pel__sink_spec){.path = q->output ? q->output : "", .ome_version = q->ome_version, .dtype = q->dtype, .codec = q->codec,
                            .image_count = 1, .images = q->images, .layouts = layouts, .provenance = "{}"};
}

/* Compression: the hungriest level. */
static int64_t write_bytes(const pel__plan_request *q, const pel__plan_image *p)
{
    const pel__sink_spec spec = spec_of(q, &p->layout);
    int64_t most = 0;
    for (int32_t k = 0; k < p->layout.level_count; k++)
        most = pel__max(most, q->sink->write_bytes(&spec, 0, k, q->threads));
    return most;
}

/* `slots` pyramid jobs hold a shard each, what it is pooled from, and the scratch of reading that. */
static int64_t pyramid_job_bytes(const pel__plan_request *q, const pel__plan_image *p, int32_t slots)
{
    const int64_t size = (int64_t)pel_dtype_size(q->dtype);
    int64_t most = 0;
    for (int32_t k = p->owned_levels; k < p->layout.level_count; k++) {
        const pel__level *l = &p->layout.level[k];
        const pel_region shard = pel__region(PEL_AXES, NULL, l->shard), shape = pel__region(PEL_AXES, NULL, l->shape);
        const pel_region r = pel__region_intersect(&shard, &shape);
        int64_t factor[PEL_AXES], chunk = 1;
        const pel_region from = pel__plan_pooled_from(&p->layout, k, &r, factor);
        for (int a = 0; a < PEL_AXES; a++)
            chunk *= p->layout.level[k - 1].chunk[a];
        const pel__sink_spec spec = spec_of(q, &p->layout);
        const int64_t reading = INT64_C(3) * q->threads * chunk * size + q->sink->read_back_bytes(&spec, 0, k - 1, q->threads);
        most = pel__max(most, slots * (pel__region_voxels(&r) + pel__region_voxels(&from)) * size + reading);
    }
    return most;
}

static int64_t buffer_bytes(const pel__plan_request *q, const pel__plan_image *p, const pel_image *image,
                            const pel_region *in, const pel_region *out, int32_t slots)
{
    const int64_t size_in = (int64_t)pel_dtype_size(image->dtype), size_out = (int64_t)pel_dtype_size(q->dtype);
    const int64_t voxels_in = pel__pipeline_fetches(q->pipeline) ? 0 : pel__region_voxels(in), voxels_out = pel__region_voxels(out);
    const bool through = !pel__pipeline_computes(q->pipeline) && image->dtype == q->dtype; /* one buffer serves reading and writing */
    int64_t n = slots * voxels_in * size_in + pyramid_voxels(p, out) * size_out;
    if (!through)
        n += slots * voxels_out * size_out;
    if (pel__pipeline_computes(q->pipeline) && q->dtype != PEL_F32 && !pel__pipeline_stores(q->pipeline))
        n += voxels_out * 4; /* the filter's float32 result before it is converted */
    return n;
}

static pel__memory memory_of(const pel__plan *plan, const pel__plan_request *q, const pel__plan_image *p,
                             const pel_image *image, int32_t slots)
{
    pel_region in, out;
    largest_block(plan, image, p->block, &in, &out);
    pel__memory m = {0};
    m.base = BASE_BYTES + q->threads * THREAD_BYTES;
    m.source = q->source_resident_bytes + q->threads * q->source_thread_bytes;
    m.filter = (pel__pipeline_sweeps(q->pipeline) ? pel__pipeline_sweep_bytes(q->pipeline, image, &out)
                                                  : pel__pipeline_block_bytes(q->pipeline, image, &in, &out)) +
               q->threads * pel__pipeline_thread_bytes(q->pipeline, image);
    m.buffers = buffer_bytes(q, p, image, &in, &out, slots);
    m.write = write_bytes(q, p);
    m.buffers = pel__max(m.buffers, pyramid_job_bytes(q, p, 1) - m.filter);
    m.total = m.base + m.source + m.filter + m.buffers + m.write;
    return m;
}

/* What a typical block takes: in a sweep along y only what is new. */
static bool taken_region(const pel__plan_request *q, const pel_image *image, const pel_region *in, const pel_region *out, pel_region *taken)
{
    *taken = *in;
    return pel__pipeline_sweep_takes(q->pipeline, image, out, taken);
}

/* Voxels that are decoded for that: whole tiles of the source, of which it cuts some at its faces. A sweep cuts none. */
static double voxels_decoded(const pel_image *image, const pel_region *taken, bool sweep)
{
    double n = 1;
    for (int a = 0; a < PEL_AXES; a++) {
        const bool cuts = taken->shape[a] < image->shape[a] && !(sweep && a == PEL_Y);
        n *= (double)pel__min(image->shape[a], taken->shape[a] + (cuts ? image->tile[a] - 1 : 0));
    }
    return n;
}

/* Cost of a voxel of the image when it is cut into blocks like this. */
static double cost_of(const pel__plan *plan, const pel__plan_request *q, const pel_image *image, const int64_t block[PEL_AXES],
                      int32_t slots)
{
    pel_region in, out;
    largest_block(plan, image, block, &in, &out);
    pel_region taken;
    const bool sweep = taken_region(q, image, &in, &out, &taken);
    const double voxels = (double)pel__region_voxels(&out), read = voxels_decoded(image, &taken, sweep) / voxels;
    double all = 1;
    for (int a = 0; a < PEL_AXES; a++)
        all *= (double)image->shape[a];
    const double waiting = slots == 1 ? WAIT_NANOSECONDS : 0;
    const double cost = pel__pipeline_cost(q->pipeline, image, &taken, &out) + READ_NANOSECONDS * read + waiting;
    const double lost_at_end = 0.3 * voxels / all, overhead = 0.2 * (double)MIB / voxels;
    return cost * (1.0 + lost_at_end + overhead + 0.02 * fmax(0.0, log2(voxels / (32.0 * (double)MIB))));
}

/* One side of a candidate: chunk * 2^step, the whole axis when it reaches its end; -1 past the last one. Channels by the
 * chunk, or all where the filter needs all for any. */
static int64_t side_of(const pel__plan *plan, const pel__plan_request *q, const pel_image *image, const int64_t chunk[PEL_AXES], int axis,
                       int step)
{
    if (q->block[axis] > 0)
        return step == 0 ? pel__min(q->block[axis], pel__round_up(image->shape[axis], chunk[axis])) : -1;
    if (axis == PEL_C)
        return step == 0 ? chunk[axis] : step == 1 && plan->halo_before[axis] > 0 && chunk[axis] < image->shape[axis] ? image->shape[axis] : -1;
    if (step > 40 || (step > 0 && chunk[axis] << (step - 1) >= image->shape[axis]))
        return -1;
    return pel__min(chunk[axis] << step, pel__round_up(image->shape[axis], chunk[axis]));
}

static bool too_large(const pel__plan *plan, const pel__plan_request *q, const int64_t block[PEL_AXES], const int64_t chunk[PEL_AXES])
{
    int64_t bytes = 0, voxels = 0, per_chunk = 0, widest = 0;
    for (int a = 0; a < PEL_AXES; a++)
        widest = pel__max(widest, pel__max(plan->halo_before[a], plan->halo_after[a]));
    if (!pel__product(block, PEL_AXES, &voxels) || !pel__product(chunk, PEL_AXES, &per_chunk) ||
        !pel__mul(voxels, (int64_t)pel_dtype_size(q->dtype), &bytes))
        return true;
    return bytes > pel__most_shard_bytes(q) || bytes > (widest >= WIDE_HALO ? MOST_WIDE_SHARD_BYTES : MOST_SHARD_BYTES) || voxels / per_chunk > MOST_CHUNKS;
}

typedef struct {
    double cost;
    int32_t slots;
    pel__plan_image image;
    pel__memory memory;
    int64_t least_memory; /* of any candidate that was tried */
} choice;

/* Would this block do, and better than the best so far? */
static bool try_block(choice *best, const pel__plan *plan, const pel__plan_request *q, const pel_image *image,
                      const int64_t block[PEL_AXES], pel_error *err)
{
    pel__plan_image p = {.bounds = pel__region(PEL_AXES, NULL, image->shape)};
    memcpy(p.block, block, sizeof p.block);
    if (!pel__layout_make(&p.layout, &p.owned_levels, q, image, block, err))
        return false;
    for (int32_t slots = 2; slots >= 1; slots--) {
        const pel__memory m = memory_of(plan, q, &p, image, slots);
        const double full = cost_of(plan, q, image, block, slots);
        if (best->least_memory == 0 || m.total < best->least_memory)
            best->least_memory = m.total;
        if (m.total > q->memory_bytes || (best->cost > 0 && full >= best->cost))
            continue;
        best->cost = full;
        best->slots = slots;
        best->image = p;
        best->memory = m;
    }
    return true;
}

static bool choose_block(choice *best, const pel__plan *plan, const pel__plan_request *q, const pel_image *image, pel_error *err)
{
    int64_t chunk[PEL_AXES], b[PEL_AXES];
    pel__layout_chunk(q, image, chunk);
    int step[PEL_AXES] = {0};
    bool first = true;
    for (;;) {
        for (int a = 0; a < PEL_AXES; a++)
            b[a] = side_of(plan, q, image, chunk, a, step[a]);
        if ((first || !too_large(plan, q, b, chunk)) && !try_block(best, plan, q, image, b, err))
            return false;
        first = false;
        int a = PEL_X;
        while (a >= 0 && side_of(plan, q, image, chunk, a, ++step[a]) < 0)
            step[a--] = 0;
        if (a < 0)
            return true;
    }
}

static bool refuse_memory(const pel__plan_request *q, const pel_image *image, int64_t least, pel_error *err)
{
    const char *const by = q->memory_by ? q->memory_by : "";
    char cure[64];
    (void)snprintf(cure, sizeof cure, q->memory_bound ? "work where there are %lld MiB" : "give --memory %lldM", (long long)pel__ceil_div(least, MIB) + 1);
    return pel__fail(err, PEL_NO_MEMORY, "memory: image %s needs at least %lld MiB with %d threads, the limit is %lld MiB%s%s: %s%s",
                     image->name, (long long)pel__ceil_div(least, MIB), (int)q->threads, (long long)(q->memory_bytes / MIB),
                     by[0] ? ", " : "", by, cure, q->threads > 1 ? ", or with fewer threads, or smaller chunks" : "");
}

static void keep_largest(pel__memory *all, const pel__memory *m)
{
    if (m->total > all->total)
        *all = *m;
}

bool pel__plan_make(pel__plan *out, const pel__plan_request *q, pel_error *err)
{
    pel__plan plan = {.image_count = q->image_count, .slots = 2};
    plan.images = calloc((size_t)q->image_count, sizeof *plan.images);
    choice *best = calloc(1, sizeof *best);
    bool ok = plan.images && best;
    if (!ok)
        (void)pel__fail(err, PEL_NO_MEMORY, "no memory to plan %d images", (int)q->image_count);
    for (int32_t i = 0; ok && i < q->image_count; i++) {
        const pel_image *image = q->images[i];
        pel__pipeline_halo(q->pipeline, image, plan.halo_before, plan.halo_after);
        memset(best, 0, sizeof *best);
        ok = choose_block(best, &plan, q, image, err);
        if (ok && best->cost <= 0)
            ok = refuse_memory(q, image, best->least_memory, err);
        if (ok)
            plan.images[i] = best->image;
    }
    ok = ok && pel__plan_settle(&plan, q, err);
    free(best);
    if (!ok) {
        pel__plan_destroy(&plan);
        return false;
    }
    *out = plan;
    return true;
}

void pel__plan_destroy(pel__plan *plan)
{
    free(plan->images);
    memset(plan, 0, sizeof *plan);
}

/* Blocks of an image along an axis. */
static int64_t blocks_along(const pel__plan_image *p, int axis) { return pel__ceil_div(p->bounds.shape[axis], p->block[axis]); }

int64_t pel__plan_turn(const pel__plan *plan, int64_t index)
{
    int32_t i = 0;
    if (!plan->sweep)
        return index;
    while (i < plan->image_count - 1 && index >= plan->images[i + 1].first_block)
        i++;
    const pel__plan_image *p = &plan->images[i];
    const int64_t across = blocks_along(p, PEL_X), along = blocks_along(p, PEL_Y), at = (index - p->first_block) % (across * along);
    return index - at + at % along * across + at / along;
}

int64_t pel__plan_stretch(const pel__plan *plan)
{
    return plan->sweep ? blocks_along(&plan->images[0], PEL_Y) : 1;
}

static void number_jobs(pel__plan *plan)
{
    int64_t next = 0;
    for (int32_t i = 0; i < plan->image_count; i++) {
        pel__plan_image *p = &plan->images[i];
        p->first_block = next;
        p->block_count = pel__grid_cells(&p->bounds, p->block);
        next += p->block_count;
    }
    plan->block_count = next;
    for (int32_t i = 0; i < plan->image_count; i++) {
        pel__plan_image *p = &plan->images[i];
        for (int32_t k = p->owned_levels; k < p->layout.level_count; k++) {
            const pel_region shape = pel__region(PEL_AXES, NULL, p->layout.level[k].shape);
            p->first_pyramid[k] = next;
            p->pyramid_count[k] = pel__grid_cells(&shape, p->layout.level[k].shard);
            next += p->pyramid_count[k];
        }
    }
    plan->job_count = next;
}

/* The costs of the halo over all images, by their typical block. */
static void weigh_halo(pel__plan *plan, const pel__plan_request *q)
{
    double voxels = 0, read = 0, work = 0, bare = 0;
    for (int32_t i = 0; i < plan->image_count; i++) {
        pel_region in, out, taken;
        largest_block(plan, q->images[i], plan->images[i].block, &in, &out);
        (void)taken_region(q, q->images[i], &in, &out, &taken);
        const double n = (double)pel__region_voxels(&plan->images[i].bounds);
        voxels += n;
        read += n * (double)pel__region_voxels(&taken) / (double)pel__region_voxels(&out);
        work += n * pel__pipeline_cost(q->pipeline, q->images[i], &taken, &out);
        const pel_region whole = plan->images[i].bounds;
        bare += n * pel__pipeline_cost(q->pipeline, q->images[i], &whole, &whole);
    }
    plan->halo_read = voxels > 0 ? read / voxels : 1;
    plan->halo_work = bare > 0 ? work / bare : 1;
}

/* Tiles that a stretch of the axis touches, `cut` of them at its ends; they may overlap by an eighth. */
static int64_t tiles_along(const pel_image *image, int axis, int64_t stretch, int64_t cut)
{
    const int64_t shape = image->shape[axis], tile = image->tile[axis];
    const int64_t all = shape <= tile ? 1 : pel__ceil_div(shape + shape / 8, tile);
    return pel__min(all, pel__ceil_div(stretch, tile) + cut);
}

/* Bytes of the decoded tiles that a stretch of x in the depth and height of a block touches. */
static int64_t tile_bytes(const pel__plan_request *q, const pel_image *image, const pel_region *in, int64_t stretch, int64_t cut)
{
    const int64_t factors[] = {q->source_tile_bytes, in->shape[PEL_T], pel__ceil_div(in->shape[PEL_C], image->samples),
                               in->shape[PEL_Z], tiles_along(image, PEL_Y, in->shape[PEL_Y], cut),
                               tiles_along(image, PEL_X, stretch, cut)};
    int64_t bytes = 0;
    return pel__product(factors, 6, &bytes) ? bytes : INT64_MAX;
}

/* Neighbouring blocks and their halos cut through the same compressed tiles: memory that is left over keeps those of a row
 * of blocks, or at least those of one block; less would be overwritten before it is wanted. An eighth of it stays free. */
static void spend_the_rest(pel__plan *plan, const pel__plan_request *q)
{
    const int64_t rest = (q->memory_bytes - plan->memory.total) / 8 * 7;
    int64_t row = 0, one = 0;
    for (int32_t i = 0; q->source_tile_bytes > 0 && i < plan->image_count; i++) {
        const pel_image *image = q->images[i];
        pel_region in, out;
        pel__pipeline_halo(q->pipeline, image, plan->halo_before, plan->halo_after);
        largest_block(plan, image, plan->images[i].block, &in, &out);
        row = pel__max(row, tile_bytes(q, image, &in, image->shape[PEL_X], 1));
        one = pel__max(one, tile_bytes(q, image, &in, in.shape[PEL_X], 0));
    }
    plan->memory.kept_tiles = one <= rest ? pel__min(row, rest) : 0;
    plan->memory.source += plan->memory.kept_tiles;
    plan->memory.total += plan->memory.kept_tiles;
}

bool pel__plan_settle(pel__plan *plan, const pel__plan_request *q, pel_error *err)
{
    for (plan->slots = 2; plan->slots >= 1; plan->slots--) {
        plan->memory = (pel__memory){0};
        plan->pyramid_slots = 2;
        int32_t worst = 0;
        for (int32_t i = 0; i < plan->image_count; i++) {
            pel__pipeline_halo(q->pipeline, q->images[i], plan->halo_before, plan->halo_after);
            const pel__memory m = memory_of(plan, q, &plan->images[i], q->images[i], plan->slots);
            worst = m.total > plan->memory.total ? i : worst;
            if (pyramid_job_bytes(q, &plan->images[i], 2) > m.filter + m.buffers)
                plan->pyramid_slots = 1;
            keep_largest(&plan->memory, &m);
        }
        if (plan->memory.total <= q->memory_bytes) {
            plan->sweep = pel__pipeline_sweeps(q->pipeline);
            number_jobs(plan);
            weigh_halo(plan, q);
            spend_the_rest(plan, q);
            return true;
        }
        if (plan->slots == 1)
            return refuse_memory(q, q->images[worst], plan->memory.total, err);
    }
    return false;
}

pel__plan_job pel__plan_job_at(const pel__plan *plan, int64_t number)
{
    for (int32_t i = 0; i < plan->image_count; i++) {
        const pel__plan_image *p = &plan->images[i];
        if (number >= p->first_block && number < p->first_block + p->block_count)
            return (pel__plan_job){i, 0, pel__grid_cell(&p->bounds, p->block, number - p->first_block)};
        for (int32_t k = p->owned_levels; k < p->layout.level_count; k++) {
            const pel_region shape = pel__region(PEL_AXES, NULL, p->layout.level[k].shape);
            if (number >= p->first_pyramid[k] && number < p->first_pyramid[k] + p->pyramid_count[k])
                return (pel__plan_job){i, k, pel__grid_cell(&shape, p->layout.level[k].shard, number - p->first_pyramid[k])};
        }
    }
    return (pel__plan_job){-1, 0, {0}};
}
