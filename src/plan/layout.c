/* SPDX-License-Identifier: MIT
 * Levels, chunks and shards of one image. Every level halves x and y, and z as well once its voxels are no longer much
 * longer than wide, until the plane fits into 256 voxels. A block owns its part of a level as long as that part is
 * made of whole chunks; above, shards are chosen anew and made at the end of the run. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "plan/plan.h"

#include <string.h>

#define SMALL_PLANE 256

/* A block that was asked for and is smaller than a usual chunk makes the chunk as small. */
void pel__layout_chunk(const pel__plan_request *request, const pel_image *image, int64_t chunk[PEL_AXES])
{
    const int64_t z = pel__min(image->shape[PEL_Z], 32);
    const int64_t side = z >= 16 ? 128 : z >= 4 ? 256 : 512; /* about half a million voxels */
    const int64_t usual[PEL_AXES] = {1, 1, z, side, side};
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t most = request->block[a] > 0 ? pel__min(usual[a], request->block[a]) : usual[a];
        chunk[a] = pel__min(request->chunk[a] > 0 ? request->chunk[a] : most, image->shape[a]);
    }
}

/* Does z take part in the next halving? It does when its voxels are at most 1.5 times as long as those in the plane. */
static bool z_joins(const pel_image *image, const pel__level *level)
{
    const double z = image->pixel_size[PEL_Z] * (double)level->factor[PEL_Z];
    const double plane = image->pixel_size[PEL_X] * (double)level->factor[PEL_X];
    return z > 0 && plane > 0 && z <= 1.5 * plane;
}

static bool next_level(const pel_image *image, const pel__level *last, pel__level *next)
{
    *next = *last;
    const bool halve[PEL_AXES] = {false, false, z_joins(image, last), true, true};
    for (int a = 0; a < PEL_AXES; a++) {
        if (halve[a] && last->shape[a] > 1) {
            next->factor[a] *= 2;
            next->shape[a] = pel__ceil_div(image->shape[a], next->factor[a]);
        }
    }
    return next->shape[PEL_Y] < last->shape[PEL_Y] || next->shape[PEL_X] < last->shape[PEL_X];
}

static void make_levels(pel__layout *out, const pel_image *image, int32_t wanted)
{
    pel__level *l = out->level;
    memcpy(l[0].shape, image->shape, sizeof l[0].shape);
    for (int a = 0; a < PEL_AXES; a++)
        l[0].factor[a] = 1;
    out->level_count = 1;
    while (out->level_count < PEL__MAX_LEVELS) {
        const int32_t n = out->level_count;
        const bool small = l[n - 1].shape[PEL_Y] <= SMALL_PLANE && l[n - 1].shape[PEL_X] <= SMALL_PLANE;
        if (wanted > 0 ? n >= wanted : small)
            return;
        if (!next_level(image, &l[n - 1], &l[n]))
            return;
        out->level_count++;
    }
}

/* Does the block's part of this level consist of whole chunks of the level? An axis with one block always does. */
static bool blocks_own(const pel__level *l, const int64_t shape[PEL_AXES], const int64_t block[PEL_AXES],
                       const int64_t chunk[PEL_AXES])
{
    for (int a = 0; a < PEL_AXES; a++) {
        const bool one_block = block[a] >= shape[a];
        if (!one_block && (block[a] % l->factor[a] != 0 || block[a] / l->factor[a] % chunk[a] != 0))
            return false;
    }
    return true;
}

static void owned_shards(pel__level *l, const int64_t shape[PEL_AXES], const int64_t block[PEL_AXES],
                         const int64_t chunk[PEL_AXES])
{
    for (int a = 0; a < PEL_AXES; a++) {
        l->chunk[a] = pel__min(chunk[a], l->shape[a]);
        l->shard[a] = block[a] >= shape[a] ? pel__round_up(l->shape[a], l->chunk[a]) : block[a] / l->factor[a];
    }
}

/* Shards of the upper levels: doubled in the plane while eight of them (what one is pooled from) are less than a block. */
static void upper_shards(pel__level *l, const int64_t block[PEL_AXES], const int64_t chunk[PEL_AXES])
{
    int64_t most = 1, voxels = 1;
    for (int a = 0; a < PEL_AXES; a++) {
        l->chunk[a] = l->shard[a] = pel__min(chunk[a], l->shape[a]);
        most *= block[a];
        voxels *= l->shard[a];
    }
    for (int a = PEL_X; a >= PEL_Z; a--) {
        while (l->shard[a] < l->shape[a] && voxels * 2 * 8 <= most) {
            l->shard[a] *= 2;
            voxels *= 2;
        }
    }
}

int64_t pel__most_shard_bytes(const pel__plan_request *request)
{
    const int64_t most = request->sink->most_file_bytes(request->output ? request->output : "");
    return most - most / 32;
}

static bool check_shard(const pel__plan_request *request, const pel__level *l, pel_error *err)
{
    int64_t bytes = 0;
    const int64_t most = pel__most_shard_bytes(request);
    if (pel__product(l->shard, PEL_AXES, &bytes) && pel__mul(bytes, (int64_t)pel_dtype_size(request->dtype), &bytes) && bytes <= most)
        return true;
    return pel__fail(err, PEL_ARGUMENT, "block: its file would have up to %lld MiB, %s takes no more than %lld MiB in one piece: choose a smaller one",
                     (long long)(bytes >> 20), request->output, (long long)(most >> 20));
}

bool pel__layout_make(pel__layout *out, int32_t *owned, const pel__plan_request *request, const pel_image *image,
                      const int64_t block[PEL_AXES], pel_error *err)
{
    int64_t chunk[PEL_AXES];
    pel__layout_chunk(request, image, chunk);
    memset(out, 0, sizeof *out);
    make_levels(out, image, request->levels);
    *owned = 0;
    for (int32_t k = 0; k < out->level_count; k++) {
        pel__level *l = &out->level[k];
        if (*owned == k && blocks_own(l, image->shape, block, chunk)) {
            owned_shards(l, image->shape, block, chunk);
            *owned = k + 1;
        } else {
            upper_shards(l, block, chunk);
        }
        if (request->ome_version == 4)
            memcpy(l->shard, l->chunk, sizeof l->shard);
        if (!check_shard(request, l, err))
            return false;
    }
    if (*owned == 0)
        return pel__fail(err, PEL_ARGUMENT,
                         "block t=%lld,z=%lld,y=%lld,x=%lld is not made of whole chunks t=%lld,z=%lld,y=%lld,x=%lld",
                         (long long)block[PEL_T], (long long)block[PEL_Z], (long long)block[PEL_Y], (long long)block[PEL_X],
                         (long long)chunk[PEL_T], (long long)chunk[PEL_Z], (long long)chunk[PEL_Y], (long long)chunk[PEL_X]);
    return true;
}

pel_region pel__plan_level_part(const pel__layout *layout, int32_t level, const pel_region *block)
{
    const pel__level *l = &layout->level[level];
    pel_region r = {.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t end = block->origin[a] + block->shape[a];
        r.origin[a] = block->origin[a] / l->factor[a];
        r.shape[a] = pel__min(l->shape[a], pel__ceil_div(end, l->factor[a])) - r.origin[a];
    }
    return r;
}

pel_region pel__plan_pooled_from(const pel__layout *layout, int32_t level, const pel_region *r, int64_t factor[PEL_AXES])
{
    const pel__level *l = &layout->level[level], *below = l - 1;
    pel_region from = {.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        factor[a] = l->factor[a] / below->factor[a];
        from.origin[a] = r->origin[a] * factor[a];
        from.shape[a] = pel__min(r->shape[a] * factor[a], below->shape[a] - from.origin[a]);
    }
    return from;
}
