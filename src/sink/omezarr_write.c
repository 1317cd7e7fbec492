/* SPDX-License-Identifier: MIT
 * Pixels into shards. The chunks of a shard are encoded on the pool in batches of a few per thread and appended to
 * the file in C order, so that memory is bounded by the batch and not by the shard, and the bytes are the same for
 * every number of threads. Where a file is one chunk, the batch is made of files instead and each worker writes its own. */
#include "core/block.h"
#include "core/budget.h"
#include "core/bytes.h"
#include "core/region.h"
#include "sink/omezarr.h"
#include "zarr/store.h"

#include <stdio.h>

#define SLOTS_PER_THREAD 4
#define MISSING UINT64_MAX

/* One encoded chunk of the batch; bytes -1: every voxel is zero, nothing is stored. */
typedef struct slot {
    int64_t bytes;
    uint8_t *data;
    pel__file_record record; /* where a chunk is a file */
} slot;

/* What the tasks of one write call share. */
typedef struct work {
    pel__sink *sink;
    const pel_block *block;
    const pel__level *level;
    int32_t image, level_number;
    pel__step step[PEL__OME_STEPS];
    int32_t steps;
    int64_t chunk_bytes, bound;
    int64_t slots;
    slot *slot;
    uint8_t **gather;        /* a raw chunk per worker */
    uint8_t *index;          /* of a shard */
    pel_region shard;        /* at full size, also beyond the image */
    pel_region files;        /* the shards of this call */
    int64_t first;           /* number of the batch's first chunk in the shard, or of its first file */
} work;

/* Encoded size of one chunk at worst. */
static int64_t chain_bound(const pel__step *step, int32_t n, int64_t bytes)
{
    for (int32_t i = 0; i < n; i++)
        bytes = pel__step_bound(&step[i], bytes);
    return bytes;
}

static int64_t index_bytes(const pel__level *level)
{
    const int64_t n = pel__ome_chunks_per_shard(level);
    return n > 1 ? 16 * n + 4 : 0;
}

static int64_t slot_count(const pel__level *level, int32_t threads)
{
    const int64_t n = pel__ome_chunks_per_shard(level), want = (int64_t)threads * SLOTS_PER_THREAD;
    return n > 1 ? pel__min(n, want) : want;
}

static int64_t scratch_bytes(const pel__sink_spec *spec, const pel__level *level, int32_t threads)
{
    pel__step step[PEL__OME_STEPS];
    const int32_t steps = pel__ome_steps(spec, step);
    const int64_t chunk = pel__ome_chunk_bytes(spec, level), slots = slot_count(level, threads);
    return pel__arena_cost(slots * (int64_t)sizeof(slot)) + slots * pel__arena_cost(chain_bound(step, steps, chunk))
        + pel__arena_cost(threads * (int64_t)sizeof(uint8_t *)) + threads * pel__arena_cost(chunk)
        + pel__arena_cost(index_bytes(level));
}

int64_t pel__ome_write_bytes(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads)
{
    const pel__level *const l = &spec->layouts[image].level[level];
    pel__step step[PEL__OME_STEPS];
    const int32_t steps = pel__ome_steps(spec, step);
    int64_t libraries = 0;
    for (int32_t i = 0; i < steps; i++)
        libraries += pel__step_encode_bytes(&step[i], pel__ome_chunk_bytes(spec, l));
    return scratch_bytes(spec, l, threads) + threads * libraries;
}

/* ---- one chunk --------------------------------------------------------------------------------------------- */

/* Do the voxels of view lie one behind the other? */
static bool dense(const pel_block *view)
{
    int64_t stride = 1;
    for (int32_t i = view->region.ndim - 1; i >= 0; i--) {
        if (view->region.shape[i] > 1 && view->stride[i] != stride)
            return false;
        stride *= view->region.shape[i];
    }
    return true;
}

static bool all_zero(const uint8_t *p, int64_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, (size_t)n - 1) == 0);
}

/* The chunk's raw bytes at full size, zeros beyond the image: either in place or gathered into `room`. */
static const uint8_t *gather(const work *w, const pel_region *chunk, uint8_t *room)
{
    const pel_region inside = pel__region_intersect(chunk, &w->block->region);
    const pel_block from = pel__block_view(w->block, &inside);
    if (pel__region_equal(&inside, chunk) && dense(&from))
        return from.data;
    if (!pel__region_equal(&inside, chunk))
        memset(room, 0, (size_t)w->chunk_bytes);
    const pel_block whole = pel__block_dense(chunk, w->block->dtype, room);
    const pel_block to = pel__block_view(&whole, &inside);
    pel__block_copy(&to, &from);
    return room;
}

/* Runs the chain; the result ends in s->data. At most two steps: compressor, crc32c; the latter works in place. */
static bool encode(const work *w, const uint8_t *raw, slot *s, pel_error *err)
{
    const void *from = raw;
    int64_t n = w->chunk_bytes;
    bool ok = true;
    pel__codec_state *const state = pel__codec_take(w->sink->shelf, err);
    if (!state)
        return false;
    for (int32_t i = 0; ok && i < w->steps; i++) {
        if (w->step[i].kind == PEL__STEP_CRC32C && from == s->data) {
            pel__store_u32(s->data + n, pel__crc32c(0, s->data, (size_t)n));
            n += 4;
            continue;
        }
        ok = pel__step_encode(state, &w->step[i], from, n, s->data, w->bound, &n, err);
        from = s->data;
    }
    pel__codec_put(w->sink->shelf, state);
    if (ok && w->steps == 0)
        memcpy(s->data, raw, (size_t)n);
    s->bytes = n;
    return ok;
}

static bool encode_chunk(const work *w, const pel_region *chunk, slot *s, int32_t worker, pel_error *err)
{
    const pel_region inside = pel__region_intersect(chunk, &w->block->region);
    s->bytes = -1;
    if (pel__region_empty(&inside))
        return true;
    const uint8_t *const raw = gather(w, chunk, w->gather[worker]);
    return all_zero(raw, w->chunk_bytes) || encode(w, raw, s, err);
}

/* ---- shards ------------------------------------------------------------------------------------------------ */

static bool shard_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    const work *const w = arg;
    const pel_region chunk = pel__grid_cell(&w->shard, w->level->chunk, w->first + i);
    return encode_chunk(w, &chunk, &w->slot[i], worker, err);
}

static bool append_batch(const work *w, int64_t n, pel__store_writer *file, const char *key, pel_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        const slot *const s = &w->slot[i];
        uint8_t *const entry = w->index + 16 * (w->first + i);
        pel__store_u64(entry, s->bytes < 0 ? MISSING : (uint64_t)file->bytes);
        pel__store_u64(entry + 8, s->bytes < 0 ? MISSING : (uint64_t)s->bytes);
        if (s->bytes < 0)
            continue;
        if (file->fd_plus_one == 0 && !pel__writer_begin(file, w->sink->spec.path, key, err))
            return false;
        if (!pel__writer_append(file, s->data, s->bytes, err))
            return false;
    }
    return true;
}

static bool end_shard(const work *w, pel__store_writer *file, pel__file_record *record, pel_error *err)
{
    record->bytes = -1;
    record->crc32c = 0;
    if (file->fd_plus_one == 0)
        return pel__store_remove(w->sink->spec.path, record->path, err);
    const int64_t n = index_bytes(w->level);
    pel__store_u32(w->index + n - 4, pel__crc32c(0, w->index, (size_t)n - 4));
    if (!pel__writer_append(file, w->index, n, err) || !pel__writer_commit(file, err))
        return false;
    record->bytes = file->bytes;
    record->crc32c = file->crc32c;
    return true;
}

static bool write_shard(work *w, const pel_region *cell, pel__pool *pool, pel__file_record *record, pel_error *err)
{
    pel__store_writer file = {0};
    const int64_t chunks = pel__ome_chunks_per_shard(w->level);
    bool ok = true;
    int64_t grid[PEL_AXES];
    for (int i = 0; i < PEL_AXES; i++)
        grid[i] = cell->origin[i] / w->level->shard[i];
    pel__ome_key(&w->sink->spec, w->image, w->level_number, grid, record->path, sizeof record->path);
    w->shard = pel__region(PEL_AXES, cell->origin, w->level->shard);
    for (w->first = 0; ok && w->first < chunks; w->first += w->slots) {
        const int64_t n = pel__min(w->slots, chunks - w->first);
        ok = pel__pool_run(pool, PEL__WRITE_FIRST, n, shard_task, w, err) && append_batch(w, n, &file, record->path, err);
    }
    ok = ok && end_shard(w, &file, record, err);
    pel__writer_abort(&file);
    return ok;
}

static bool write_shards(work *w, pel__pool *pool, pel__on_file *on_file, void *arg, pel_error *err)
{
    const int64_t count = pel__grid_cells(&w->files, w->level->shard);
    for (int64_t i = 0; i < count; i++) {
        pel__file_record record = {0};
        const pel_region cell = pel__grid_cell(&w->files, w->level->shard, i);
        if (!write_shard(w, &cell, pool, &record, err) || !on_file(arg, &record, err))
            return false;
    }
    return true;
}

/* ---- a chunk a file ---------------------------------------------------------------------------------------- */

static bool store_chunk(const work *w, slot *s, pel_error *err)
{
    pel__file_record *const record = &s->record;
    pel__store_writer file = {0};
    record->bytes = -1;
    record->crc32c = 0;
    if (s->bytes < 0)
        return pel__store_remove(w->sink->spec.path, record->path, err);
    const bool ok = pel__writer_begin(&file, w->sink->spec.path, record->path, err)
        && pel__writer_append(&file, s->data, s->bytes, err) && pel__writer_commit(&file, err);
    pel__writer_abort(&file);
    record->bytes = file.bytes;
    record->crc32c = file.crc32c;
    return ok;
}

static bool file_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    const work *const w = arg;
    slot *const s = &w->slot[i];
    const pel_region cell = pel__grid_cell(&w->files, w->level->chunk, w->first + i);
    const pel_region chunk = pel__region(PEL_AXES, cell.origin, w->level->chunk);
    int64_t grid[PEL_AXES];
    for (int k = 0; k < PEL_AXES; k++)
        grid[k] = cell.origin[k] / w->level->chunk[k];
    pel__ome_key(&w->sink->spec, w->image, w->level_number, grid, s->record.path, sizeof s->record.path);
    return encode_chunk(w, &chunk, s, worker, err) && store_chunk(w, s, err);
}

static bool write_files(work *w, pel__pool *pool, pel__on_file *on_file, void *arg, pel_error *err)
{
    const int64_t count = pel__grid_cells(&w->files, w->level->chunk);
    for (w->first = 0; w->first < count; w->first += w->slots) {
        const int64_t n = pel__min(w->slots, count - w->first);
        if (!pel__pool_run(pool, PEL__WRITE_FIRST, n, file_task, w, err))
            return false;
        for (int64_t i = 0; i < n; i++)
            if (!on_file(arg, &w->slot[i].record, err))
                return false;
    }
    return true;
}

/* ---- write ------------------------------------------------------------------------------------------------- */

static bool check_block(const pel__sink_spec *spec, const pel__level *l, const pel_block *b, pel_error *err)
{
    char text[128];
    const pel_region bounds = pel__region(PEL_AXES, NULL, l->shape);
    bool whole = b->region.ndim == PEL_AXES && b->dtype == spec->dtype && pel__region_inside(&b->region, &bounds);
    for (int i = 0; whole && i < PEL_AXES; i++) {
        const int64_t end = b->region.origin[i] + b->region.shape[i];
        whole = b->region.origin[i] % l->shard[i] == 0 && (end % l->shard[i] == 0 || end == l->shape[i]);
    }
    return whole || pel__fail(err, PEL_ARGUMENT, "block %s of %s is not made of whole shards",
                              pel__region_text(&b->region, text, sizeof text), pel_dtype_name(b->dtype));
}

static bool carve(work *w, void *scratch, int64_t size, int32_t threads)
{
    pel__arena arena = pel__arena_over(scratch, size);
    w->slots = slot_count(w->level, threads);
    w->slot = pel__arena_take(&arena, w->slots * (int64_t)sizeof(slot));
    w->gather = pel__arena_take(&arena, threads * (int64_t)sizeof(uint8_t *));
    w->index = pel__arena_take(&arena, index_bytes(w->level));
    bool ok = w->slot && w->gather && (w->index || index_bytes(w->level) == 0);
    for (int64_t i = 0; ok && i < w->slots; i++)
        ok = (w->slot[i].data = pel__arena_take(&arena, w->bound)) != NULL;
    for (int32_t i = 0; ok && i < threads; i++)
        ok = (w->gather[i] = pel__arena_take(&arena, w->chunk_bytes)) != NULL;
    return ok;
}

bool pel__ome_write(pel__sink *s, int32_t image, int32_t level, const pel_block *b, pel__pool *pool, void *scratch,
                    pel__on_file *on_file, void *arg, pel_error *err)
{
    const pel__sink_spec *const spec = &s->spec;
    const pel__level *const l = &spec->layouts[image].level[level];
    const int32_t threads = pel__pool_threads(pool);
    work w = {.sink = s, .block = b, .level = l, .image = image, .level_number = level, .files = b->region};
    if (!check_block(spec, l, b, err))
        return pel__where(err, "image %d level %d: ", (int)image, (int)level);
    w.steps = pel__ome_steps(spec, w.step);
    w.chunk_bytes = pel__ome_chunk_bytes(spec, l);
    w.bound = chain_bound(w.step, w.steps, w.chunk_bytes);
    if (!carve(&w, scratch, scratch_bytes(spec, l, threads), threads))
        return pel__fail(err, PEL_INTERNAL, "scratch of a shard does not fit what was declared");
    if (pel__ome_chunks_per_shard(l) > 1)
        return write_shards(&w, pool, on_file, arg, err);
    return write_files(&w, pool, on_file, arg, err);
}
