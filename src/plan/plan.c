/* SPDX-License-Identifier: MIT
 * Choosing blocks. Every block shape whose sides are a chunk times a power of two is a candidate; of those that fit
 * into the memory the cheapest wins. Cost counts the filter's operations on block and halo and the bytes read; a large
 * block pays a little for what a kill would lose and for the ragged end of the pipeline, a small one for its files. */
#include "plan/plan.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/region.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((int64_t)1 << 20)
#define MOST_SHARD_BYTES (1024 * MIB)
#define WIDE_HALO 64                 /* voxels: with so wide a halo larger shards are the lesser evil */
#define MOST_WIDE_SHARD_BYTES (4096 * MIB)
#define MOST_CHUNKS 32768            /* inner chunks of a shard: the index stays below 512 KiB */
#define WAIT_NANOSECONDS 4.0         /* for the disk, a voxel, where reading and writing do not overlap with computing */
#define READ_NANOSECONDS 4.0         /* of one core for reading and decoding a voxel, roughly */

/* A typical block of a grid, and what is read for it. */
static void typical_block(const pel__plan *plan, const pel_image *image, const int64_t block[PEL_AXES], pel_region *in,
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
    typical_block(plan, image, block, &in, &out);
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

/* Of one image alone, cut like this. */
static pel__memory memory_of(pel__plan *alone, const pel__plan_request *q, const pel__plan_image *p, const pel_image *image, int32_t slots)
{
    alone->slots = slots;
    alone->pyramid_slots = 1;
    memset(alone->buffers, 0, sizeof alone->buffers);
    memset(alone->reading, 0, sizeof alone->reading);
    pel__plan_add_buffers(alone, q, p, image);
    return pel__plan_memory(alone, q);
}

/* Would this block do, and better than the best so far? */
static bool try_block(choice *best, const pel__plan *plan, const pel__plan_request *q, const pel_image *image,
                      const int64_t block[PEL_AXES], pel_error *err)
{
    pel__plan_image p = {.bounds = pel__region(PEL_AXES, NULL, image->shape)};
    memcpy(p.block, block, sizeof p.block);
    if (!pel__layout_make(&p.layout, &p.owned_levels, q, image, block, err))
        return false;
    pel__plan alone = *plan; /* its images are not looked at */
    for (int32_t slots = 2; slots >= 1; slots--) {
        const pel__memory m = memory_of(&alone, q, &p, image, slots);
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
    char cure[64], limit[PEL__LIMIT_SAID];
    pel__limits_say(limit, q->memory_bytes);
    (void)snprintf(cure, sizeof cure, q->memory_bound ? "work where there are %lld MiB" : "give --memory %lldM", (long long)pel__ceil_div(least, MIB) + 1);
    return pel__fail(err, PEL_NO_MEMORY, "memory: image %s needs at least %lld MiB with %d threads, the limit is %s%s%s: %s%s",
                     image->name, (long long)pel__ceil_div(least, MIB), (int)q->threads, limit,
                     by[0] ? ", " : "", by, cure, q->threads > 1 ? ", or with fewer threads, or smaller chunks" : "");
}

/* Blocks of all images that fit into the memory but for `spare`. */
static bool choose_blocks(pel__plan *plan, const pel__plan_request *q, int64_t spare, pel_error *err)
{
    pel__plan_request less = *q;
    choice *best = calloc(1, sizeof *best);
    bool ok = best || pel__fail(err, PEL_NO_MEMORY, "no memory to plan %d images", (int)q->image_count);
    less.memory_bytes -= spare;
    for (int32_t i = 0; ok && i < q->image_count; i++) {
        const pel_image *image = q->images[i];
        pel__pipeline_halo(q->pipeline, image, plan->halo_before, plan->halo_after);
        memset(best, 0, sizeof *best);
        ok = choose_block(best, plan, &less, image, err);
        if (ok && best->cost <= 0)
            ok = refuse_memory(q, image, best->least_memory + spare, err);
        if (ok)
            plan->images[i] = best->image;
    }
    free(best);
    return ok;
}

#define MOST_CHOICES 4

/* Where what the images take together, block by block, is a little more than each seemed to take, they are chosen again. */
bool pel__plan_make(pel__plan *out, const pel__plan_request *q, pel_error *err)
{
    pel__plan plan = {.image_count = q->image_count, .slots = 2};
    plan.images = calloc((size_t)q->image_count, sizeof *plan.images);
    bool ok = plan.images || pel__fail(err, PEL_NO_MEMORY, "no memory to plan %d images", (int)q->image_count), fits = false;
    int64_t spare = 0;
    for (int k = 0; ok && !fits && k < MOST_CHOICES; k++) {
        pel_error why = {0};
        ok = choose_blocks(&plan, q, spare, err);
        fits = ok && pel__plan_settle(&plan, q, &why);
        if (ok && !fits && k == MOST_CHOICES - 1 && err)
            *err = why;
        spare += ok && !fits ? plan.memory.total - q->memory_bytes : 0;
    }
    ok = ok && fits;
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
        typical_block(plan, q->images[i], plan->images[i].block, &in, &out);
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
        typical_block(plan, image, plan->images[i].block, &in, &out);
        row = pel__max(row, tile_bytes(q, image, &in, image->shape[PEL_X], 1));
        one = pel__max(one, tile_bytes(q, image, &in, in.shape[PEL_X], 0));
    }
    plan->memory.kept_tiles = one <= rest ? pel__min(row, rest) : 0;
    plan->memory.source += plan->memory.kept_tiles;
    plan->memory.total += plan->memory.kept_tiles;
}

#define PERIOD 2 /* filters look at places by pairs of voxels (cells of ndsafir) at most: an odd block and its next differ, no more */

/* Blocks along an axis that differ by more than where they lie: those whose halo may touch an end of the image, and some between. */
static int64_t kinds_along(const pel__plan_image *p, int axis, int64_t halo)
{
    const int64_t edge = pel__ceil_div(halo, p->block[axis]) + 1;
    return pel__min(blocks_along(p, axis), 2 * edge + PERIOD);
}

/* The block of kind k along an axis: counted from the beginning in the first half, from the end in the second. */
static int64_t block_of_kind(const pel__plan_image *p, int axis, int64_t kinds, int64_t k)
{
    return k <= kinds / 2 ? k : blocks_along(p, axis) - (kinds - k);
}

/* Scratch of the filter for any block there is: how filters lay out their scratch depends on where a block lies, too. */
static int64_t filter_bytes_of(const pel__plan *plan, const pel__plan_request *q, int32_t i)
{
    const pel__plan_image *p = &plan->images[i];
    int64_t most = 0, count = 1, kinds[PEL_AXES], before[PEL_AXES], after[PEL_AXES];
    pel__pipeline_halo(q->pipeline, q->images[i], before, after);
    for (int a = 0; a < PEL_AXES; a++) {
        kinds[a] = kinds_along(p, a, pel__max(before[a], after[a]));
        count *= kinds[a];
    }
    for (int64_t k = 0; k < count; k++) {
        int64_t rest = k, number = 0, stride = 1;
        for (int a = PEL_AXES - 1; a >= 0; a--) {
            number += stride * block_of_kind(p, a, kinds[a], rest % kinds[a]);
            stride *= blocks_along(p, a);
            rest /= kinds[a];
        }
        const pel_region out = pel__grid_cell(&p->bounds, p->block, number), in = pel__region_grow(&out, before, after, &p->bounds);
        most = pel__max(most, pel__plan_filter_bytes(q, q->images[i], &in, &out));
    }
    return most;
}

static int64_t filter_bytes(const pel__plan *plan, const pel__plan_request *q)
{
    int64_t most = 0;
    for (int32_t i = 0; pel__pipeline_computes(q->pipeline) && i < plan->image_count; i++)
        most = pel__max(most, filter_bytes_of(plan, q, i));
    return most;
}

/* Buffers that hold any job of any image. */
static void add_images(pel__plan *plan, const pel__plan_request *q, int32_t pyramid_slots, int64_t filter)
{
    plan->pyramid_slots = pyramid_slots;
    memset(plan->buffers, 0, sizeof plan->buffers);
    memset(plan->reading, 0, sizeof plan->reading);
    for (int32_t i = 0; i < plan->image_count; i++) {
        pel__pipeline_halo(q->pipeline, q->images[i], plan->halo_before, plan->halo_after);
        pel__plan_add_buffers(plan, q, &plan->images[i], q->images[i]);
    }
    plan->buffers[0].filter = filter;
}

/* The image that takes most alone. */
static int32_t hungriest(const pel__plan *plan, const pel__plan_request *q)
{
    pel__plan alone = *plan;
    int64_t most = 0;
    int32_t at = 0;
    for (int32_t i = 0; i < plan->image_count; i++) {
        pel__pipeline_halo(q->pipeline, q->images[i], alone.halo_before, alone.halo_after);
        const pel__memory m = memory_of(&alone, q, &plan->images[i], q->images[i], plan->slots);
        at = m.total > most ? i : at;
        most = pel__max(most, m.total);
    }
    return at;
}

bool pel__plan_settle(pel__plan *plan, const pel__plan_request *q, pel_error *err)
{
    const int64_t filter = filter_bytes(plan, q);
    for (plan->slots = 2; plan->slots >= 1; plan->slots--) {
        add_images(plan, q, 2, filter);
        if (pel__plan_pyramid_costs(plan))
            add_images(plan, q, 1, filter);
        plan->memory = pel__plan_memory(plan, q);
        if (plan->memory.total <= q->memory_bytes) {
            plan->sweep = pel__pipeline_sweeps(q->pipeline);
            number_jobs(plan);
            weigh_halo(plan, q);
            spend_the_rest(plan, q);
            return true;
        }
        if (plan->slots == 1)
            return refuse_memory(q, q->images[hungriest(plan, q)], plan->memory.total, err);
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
