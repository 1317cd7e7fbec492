/* SPDX-License-Identifier: MIT
 * Pixels into shards. The chunks of a shard are encoded on the pool in batches of a few per thread; while one batch is
 * encoded, one worker appends the batch before it to its file, in C order, and syncs the file when the shard is full. So
 * memory is bounded by two batches and not by the shard, and the bytes are the same for every number of threads. Where a
 * file is one chunk, the batch is made of files instead: each worker writes its own, and while the next batch is encoded
 * a crew that only waits for the disk syncs and renames them, many at once, because a file system commits them together.
 * A store that takes objects in one request gets each file from memory: that of a whole shard, or of each chunk of two
 * batches; the crew then waits for the network. */
#include "core/block.h"
#include "core/budget.h"
#include "core/bytes.h"
#include "core/region.h"
#include "sink/omezarr.h"

#include <pthread.h>
#include <stdio.h>

#define BATCH_BYTES ((int64_t)2 << 20) /* raw, of one thread's part of a batch; at least two chunks */
#define MAX_PART 32                     /* chunks of a thread's part */
#define MISSING UINT64_MAX
#define FILES 64             /* of a batch where chunks are files, at least; two batches are open at once */
#define MOST_FILES 256
#define SYNCER_BYTES (32 << 10) /* of a thread that waits for the disk */

/* One encoded chunk of a batch; bytes -1: every voxel is zero, nothing is stored. */
typedef struct slot {
    int64_t bytes;
    uint8_t *data;
    pel__file_record record; /* where a chunk is a file */
} slot;

/* Some chunks of one shard, in C order from number `first`. */
typedef struct batch {
    pel_region shard; /* at full size, also beyond the image */
    int64_t first, n; /* n 0: no batch */
    bool last;        /* the shard ends with it */
    slot *slot;
    pel__store_writer *file; /* where a chunk is a file, of each slot */
} batch;

/* What the tasks of one write call share. */
typedef struct work {
    pel__sink *sink;
    const pel_block *block;
    const pel__level *level;
    int32_t image, level_number;
    pel__step step[PEL__OME_STEPS];
    int32_t steps;
    int64_t chunk_bytes, bound;
    int64_t slots;           /* of a batch */
    batch coming, going;     /* being encoded, being stored */
    uint8_t **gather;        /* a raw chunk per worker */
    uint8_t **encoded;       /* where a chunk is a file of a folder: an encoded one per worker */
    uint8_t *room;           /* where a shard is gathered: all of it */
    int64_t room_bytes;
    bool gathers;
    uint8_t *index;          /* of the shard being stored */
    pel__store_writer file;  /* the shard being stored */
    pel__file_record record; /* of it */
    pel_region files;        /* the shards of this call */
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

static bool sharded(const pel__level *level)
{
    return pel__ome_chunks_per_shard(level) > 1;
}

static int64_t slot_count(const pel__sink_spec *spec, const pel__level *level, int32_t threads)
{
    const int64_t part = pel__max(2, pel__min(MAX_PART, BATCH_BYTES / pel__ome_chunk_bytes(spec, level)));
    if (sharded(level))
        return pel__min(pel__ome_chunks_per_shard(level), threads * part);
    if (pel__store_gathers(spec->path))
        return pel__max(PEL__STORE_CREW, threads);
    return pel__min(pel__max(FILES, 2 * (int64_t)threads), MOST_FILES);
}

/* Of a shard that is gathered, at worst. */
static int64_t room_bytes(const pel__sink_spec *spec, const pel__level *level, int64_t bound)
{
    return pel__store_gathers(spec->path) && sharded(level) ? pel__ome_chunks_per_shard(level) * bound + index_bytes(level) : 0;
}

/* Shards keep every encoded chunk of two batches; files one a worker, or of two batches where they are gathered, and two
 * batches of open files. */
static int64_t scratch_bytes(const pel__sink_spec *spec, const pel__level *level, int32_t threads)
{
    pel__step step[PEL__OME_STEPS];
    const int32_t steps = pel__ome_steps(spec, step);
    const int64_t chunk = pel__ome_chunk_bytes(spec, level), slots = slot_count(spec, level, threads);
    const int64_t bound = chain_bound(step, steps, chunk), encoded = pel__arena_cost(bound), list = pel__arena_cost(threads * (int64_t)sizeof(uint8_t *));
    const int64_t two = 2 * pel__arena_cost(slots * (int64_t)sizeof(slot));
    const int64_t kept = pel__store_gathers(spec->path) ? 2 * slots : threads;
    const int64_t files = 2 * pel__arena_cost(slots * (int64_t)sizeof(pel__store_writer)) + list + kept * encoded;
    return two + (sharded(level) ? 2 * slots * encoded : files) + list + threads * pel__arena_cost(chunk)
        + pel__arena_cost(index_bytes(level)) + pel__arena_cost(room_bytes(spec, level, bound));
}

int64_t pel__ome_write_bytes(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads)
{
    const pel__level *const l = &spec->layouts[image].level[level];
    pel__step step[PEL__OME_STEPS];
    const int32_t steps = pel__ome_steps(spec, step);
    int64_t libraries = 0;
    for (int32_t i = 0; i < steps; i++)
        libraries += pel__step_encode_bytes(&step[i], pel__ome_chunk_bytes(spec, l));
    const int64_t waiting = pel__store_gathers(spec->path) ? PEL__STORE_CONNECTION : SYNCER_BYTES;
    return scratch_bytes(spec, l, threads) + threads * libraries + (sharded(l) ? 1 : PEL__STORE_CREW) * waiting;
}

/* Reading threads of a remote store fetch stretches of shards or whole chunks. */
int64_t pel__ome_read_back_bytes(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads)
{
    const pel__level *const l = &spec->layouts[image].level[level];
    pel__step step[PEL__OME_STEPS];
    if (!pel__store_is_remote(spec->path))
        return 0;
    const int64_t bound = chain_bound(step, pel__ome_steps(spec, step), pel__ome_chunk_bytes(spec, l));
    const int64_t fetched = sharded(l) ? pel__max(PEL__STORE_WINDOW, index_bytes(l)) + bound : bound;
    return threads * (PEL__STORE_CONNECTION + fetched);
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
        pel__codec_io io = {.src = from, .n = n, .dst = s->data, .capacity = w->bound};
        ok = pel__step_encode(state, &w->step[i], &io, err);
        from = s->data;
        n = io.got;
    }
    pel__codec_put(w->sink->shelf, state);
    if (ok && w->steps == 0 && raw != s->data)
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
    const bool stored_raw = w->steps == 0 || w->step[0].kind == PEL__STEP_CRC32C; /* gathered where it is stored */
    const uint8_t *const raw = gather(w, chunk, stored_raw ? s->data : w->gather[worker]);
    return all_zero(raw, w->chunk_bytes) || encode(w, raw, s, err);
}

/* ---- shards ------------------------------------------------------------------------------------------------ */

static bool append_batch(work *w, pel_error *err)
{
    const batch *const b = &w->going;
    for (int64_t i = 0; i < b->n; i++) {
        const slot *const s = &b->slot[i];
        uint8_t *const entry = w->index + 16 * (b->first + i);
        pel__store_u64(entry, s->bytes < 0 ? MISSING : (uint64_t)w->file.bytes);
        pel__store_u64(entry + 8, s->bytes < 0 ? MISSING : (uint64_t)s->bytes);
        if (s->bytes < 0)
            continue;
        if (!w->file.store && !pel__writer_begin(&w->file, w->sink->store, w->record.path, err))
            return false;
        if (!pel__writer_append(&w->file, s->data, s->bytes, err))
            return false;
    }
    return true;
}

static bool end_shard(work *w, pel_error *err)
{
    w->record.bytes = -1;
    w->record.crc32c = 0;
    if (!w->file.store)
        return pel__store_remove(w->sink->store, w->record.path, err);
    const int64_t n = index_bytes(w->level);
    pel__store_u32(w->index + n - 4, pel__crc32c(0, w->index, (size_t)n - 4));
    if (!pel__writer_append(&w->file, w->index, n, err) || !pel__writer_commit(&w->file, err))
        return false;
    w->record.bytes = w->file.bytes;
    w->record.crc32c = w->file.crc32c;
    return true;
}

static bool store_batch(work *w, pel_error *err)
{
    const batch *const b = &w->going;
    int64_t grid[PEL_AXES];
    if (b->n == 0)
        return true;
    for (int i = 0; i < PEL_AXES; i++)
        grid[i] = b->shard.origin[i] / w->level->shard[i];
    pel__ome_key(&w->sink->spec, w->image, w->level_number, grid, w->record.path, sizeof w->record.path);
    if (b->first == 0)
        w->file = (pel__store_writer){.room = w->room, .capacity = w->room_bytes, .unsynced = w->sink->spec.unsynced};
    return append_batch(w, err) && (!b->last || end_shard(w, err));
}

/* Task 0 stores the batch that is going, the others encode the chunks of the one that is coming. */
static bool shard_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    work *const w = arg;
    if (i == 0)
        return store_batch(w, err);
    const pel_region chunk = pel__grid_cell(&w->coming.shard, w->level->chunk, w->coming.first + i - 1);
    return encode_chunk(w, &chunk, &w->coming.slot[i - 1], worker, err);
}

/* What came is going. */
static void move_on(work *w)
{
    const batch done = w->going;
    w->going = w->coming;
    w->coming = (batch){.slot = done.slot, .file = done.file};
}

/* Runs the tasks, reports the shard that was completed, and moves on: what came is going. */
static bool run_batch(work *w, pel__pool *pool, pel__on_file *on_file, void *arg, pel_error *err)
{
    if (!pel__pool_run(pool, PEL__WRITE_FIRST, 1 + w->coming.n, shard_task, w, err))
        return false;
    if (w->going.n > 0 && w->going.last && !on_file(arg, &w->record, err))
        return false;
    move_on(w);
    return true;
}

static bool write_shards(work *w, pel__pool *pool, pel__on_file *on_file, void *arg, pel_error *err)
{
    const int64_t count = pel__grid_cells(&w->files, w->level->shard), chunks = pel__ome_chunks_per_shard(w->level);
    bool ok = true;
    for (int64_t i = 0; ok && i < count; i++) {
        const pel_region cell = pel__grid_cell(&w->files, w->level->shard, i);
        for (int64_t first = 0; ok && first < chunks; first += w->slots) {
            w->coming.shard = pel__region(PEL_AXES, cell.origin, w->level->shard);
            w->coming.first = first;
            w->coming.n = pel__min(w->slots, chunks - first);
            w->coming.last = first + w->coming.n == chunks;
            ok = run_batch(w, pool, on_file, arg, err);
        }
    }
    ok = ok && run_batch(w, pool, on_file, arg, err); /* the last one is still going */
    pel__writer_abort(&w->file);
    return ok;
}

/* ---- a chunk a file ---------------------------------------------------------------------------------------- */

static bool store_chunk(const work *w, const slot *s, pel__store_writer *file, pel_error *err)
{
    *file = (pel__store_writer){.room = w->gathers ? s->data : NULL, .capacity = w->bound, .unsynced = !w->gathers && w->sink->spec.unsynced};
    if (s->bytes < 0)
        return w->gathers || pel__store_remove(w->sink->store, s->record.path, err);
    return pel__writer_begin(file, w->sink->store, s->record.path, err) && pel__writer_append(file, s->data, s->bytes, err)
        && (!file->unsynced || pel__writer_commit(file, err)); /* with nothing to wait for it is done here */
}

static bool file_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    const work *const w = arg;
    slot *const s = &w->coming.slot[i];
    const pel_region cell = pel__grid_cell(&w->files, w->level->chunk, w->coming.first + i);
    const pel_region chunk = pel__region(PEL_AXES, cell.origin, w->level->chunk);
    int64_t grid[PEL_AXES];
    for (int k = 0; k < PEL_AXES; k++)
        grid[k] = cell.origin[k] / w->level->chunk[k];
    pel__ome_key(&w->sink->spec, w->image, w->level_number, grid, s->record.path, sizeof s->record.path);
    if (!w->gathers)
        s->data = w->encoded[worker];
    return encode_chunk(w, &chunk, s, worker, err) && store_chunk(w, s, &w->coming.file[i], err);
}

static bool sync_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    const work *const w = arg;
    slot *const s = &w->going.slot[i];
    pel__store_writer *const file = &w->going.file[i];
    s->record.bytes = s->bytes < 0 ? -1 : file->bytes;
    s->record.crc32c = s->bytes < 0 ? 0 : file->crc32c;
    if (s->bytes < 0)
        return !w->gathers || pel__store_remove(w->sink->store, s->record.path, err);
    return !file->store || pel__writer_commit(file, err);
}

/* The batch that is going, handed to the crew by a thread of its own. */
typedef struct syncing {
    work *work;
    pel__pool *syncers;
    pel_error error;
    bool ok;
} syncing;

static void *sync_going(void *arg)
{
    syncing *const s = arg;
    s->ok = pel__pool_run(s->syncers, PEL__WRITE_FIRST, s->work->going.n, sync_task, s->work, &s->error);
    return NULL;
}

/* Encodes and writes what is coming while what is going is synced. */
static bool run_files(work *w, pel__pool *pool, pel__pool *syncers, pel_error *err)
{
    syncing s = {.work = w, .syncers = syncers, .ok = true};
    pthread_t thread;
    const bool beside = w->going.n > 0 && pthread_create(&thread, NULL, sync_going, &s) == 0;
    const bool ok = w->coming.n == 0 || pel__pool_run(pool, PEL__WRITE_FIRST, w->coming.n, file_task, w, err);
    if (beside)
        (void)pthread_join(thread, NULL);
    else if (w->going.n > 0)
        (void)sync_going(&s);
    if (ok && !s.ok && err)
        *err = s.error;
    return ok && s.ok;
}

static void abort_files(const batch *b)
{
    for (int64_t i = 0; i < b->n; i++)
        pel__writer_abort(&b->file[i]);
}

static bool write_files(work *w, pel__pool *pool, pel__on_file *on_file, void *arg, pel_error *err)
{
    const int64_t count = pel__grid_cells(&w->files, w->level->chunk);
    pel__pool *syncers = NULL;
    bool ok = pel__pool_create(&syncers, !w->gathers && w->sink->spec.unsynced ? 1 : (int32_t)pel__min(PEL__STORE_CREW, count), err);
    for (int64_t first = 0; ok && first < count + w->slots; first += w->slots) { /* once more for the last to go */
        w->coming.first = first;
        w->coming.n = pel__max(0, pel__min(w->slots, count - first));
        memset(w->coming.file, 0, (size_t)w->coming.n * sizeof *w->coming.file); /* none is open */
        ok = run_files(w, pool, syncers, err);
        for (int64_t i = 0; ok && i < w->going.n; i++)
            ok = on_file(arg, &w->going.slot[i].record, err);
        if (ok)
            move_on(w);
    }
    abort_files(&w->coming);
    abort_files(&w->going);
    pel__pool_destroy(syncers);
    return ok;
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

static bool carve_batch(const work *w, pel__arena *arena, batch *b)
{
    b->slot = pel__arena_take(arena, w->slots * (int64_t)sizeof(slot));
    if (!sharded(w->level))
        b->file = pel__arena_take(arena, w->slots * (int64_t)sizeof *b->file);
    bool ok = b->slot && (sharded(w->level) || b->file);
    if (!sharded(w->level) && !w->gathers)
        return ok;
    for (int64_t i = 0; ok && i < w->slots; i++)
        ok = (b->slot[i].data = pel__arena_take(arena, w->bound)) != NULL;
    return ok;
}

static uint8_t **carve_workers(pel__arena *arena, int32_t threads, int64_t bytes)
{
    uint8_t **const list = pel__arena_take(arena, threads * (int64_t)sizeof(uint8_t *));
    for (int32_t i = 0; list && i < threads; i++)
        if (!(list[i] = pel__arena_take(arena, bytes)))
            return NULL;
    return list;
}

static bool carve(work *w, void *scratch, int64_t size, int32_t threads)
{
    pel__arena arena = pel__arena_over(scratch, size);
    w->slots = slot_count(&w->sink->spec, w->level, threads);
    w->gather = carve_workers(&arena, threads, w->chunk_bytes);
    w->index = pel__arena_take(&arena, index_bytes(w->level));
    w->room_bytes = room_bytes(&w->sink->spec, w->level, w->bound);
    w->room = pel__arena_take(&arena, w->room_bytes);
    if (w->room_bytes > 0 && !w->room)
        return false;
    if (!sharded(w->level) && !w->gathers && !(w->encoded = carve_workers(&arena, threads, w->bound)))
        return false;
    return w->gather && (w->index || !sharded(w->level)) && carve_batch(w, &arena, &w->coming) && carve_batch(w, &arena, &w->going);
}

/* The contract's parameters. NOLINTNEXTLINE(readability-function-size) */
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
    w.gathers = pel__store_gathers(spec->path);
    w.chunk_bytes = pel__ome_chunk_bytes(spec, l);
    w.bound = chain_bound(w.step, w.steps, w.chunk_bytes);
    if (!carve(&w, scratch, scratch_bytes(spec, l, threads), threads))
        return pel__fail(err, PEL_INTERNAL, "scratch of a shard does not fit what was declared");
    if (sharded(l))
        return write_shards(&w, pool, on_file, arg, err);
    return write_files(&w, pool, on_file, arg, err);
}
