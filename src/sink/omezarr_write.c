/* SPDX-License-Identifier: MIT
 * Pixels into shards. The chunks of a shard are encoded on the pool into a ring of a few per thread; whoever completes the
 * next one in C order appends it, and those behind it that are ready, to the file. So memory is bounded by the ring and
 * not by the shard, nobody waits for the slowest of a batch, and the bytes are the same for every number of threads. The
 * full file is left to a crew that waits for the disk (omezarr_late.h) while the pool goes on with the next shard or level.
 * Where a file is one chunk, each worker writes its own. A store that takes objects in one request gets each file from
 * memory: that of a whole shard, or of each chunk of two batches; the crew then waits for the network. */
#include "core/block.h"
#include "core/budget.h"
#include "core/bytes.h"
#include "core/region.h"
#include "sink/omezarr.h"
#include "sink/omezarr_late.h"

#include <pthread.h>
#include <stdio.h>

#define PART_BYTES ((int64_t)4 << 20) /* raw, of one thread's part of the ring; at least four chunks */
#define MAX_PART 64                   /* chunks of a thread's part */
#define MISSING UINT64_MAX
#define FILES (PEL__LATE_PLACES / 2) /* of a batch where chunks are files; two batches are under way */
#define SYNCER_BYTES (32 << 10)      /* of a thread that waits for the disk */

/* One encoded chunk of the ring; bytes -1: every voxel is zero, nothing is stored. */
typedef struct slot {
    int64_t bytes;
    uint8_t *data;
    bool ready;
} slot;

/* The shard under way. The mutex guards what follows it, and `ready` of the slots. */
typedef struct ring {
    pel_region shard; /* at full size, also beyond the image */
    int64_t chunks, slots;
    slot *slot;
    uint8_t *index;
    pel__late_place *place;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int64_t appended; /* chunks, in C order */
    bool appending;   /* somebody is at it */
    bool failed;
    pel_error error;
} ring;

/* What the tasks of one write call share. */
typedef struct work {
    pel__sink *sink;
    const pel_block *block;
    const pel__level *level;
    int32_t image, level_number;
    pel__step step[PEL__OME_STEPS];
    int32_t steps;
    int64_t chunk_bytes, bound;
    bool gathers;            /* the store wants each file from memory */
    bool unsynced;
    uint8_t **gather;        /* a raw chunk per worker */
    ring ring;               /* where there are shards */
    uint8_t *room;           /* where a shard is gathered: all of it */
    int64_t room_bytes;
    int64_t files, first;    /* where a chunk is a file: of a batch, and the first of this one */
    uint8_t **encoded;       /* an encoded one per worker; of two batches where they are gathered */
    pel__late_place *place[FILES];
    pel_region region;       /* of this call */
    pel__on_file *on_file;
    void *arg;
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

/* Chunks of the ring, or files of a batch. */
static int64_t slot_count(const pel__sink_spec *spec, const pel__level *level, int32_t threads)
{
    const int64_t part = pel__max(4, pel__min(MAX_PART, PART_BYTES / pel__ome_chunk_bytes(spec, level)));
    if (sharded(level))
        return pel__min(pel__ome_chunks_per_shard(level), threads * part);
    if (pel__store_gathers(spec->path))
        return pel__min(pel__max(PEL__STORE_CREW, threads), FILES);
    return FILES;
}

/* Encoded chunks of which each has memory of its own. */
static int64_t encoded_count(const pel__sink_spec *spec, const pel__level *level, int32_t threads)
{
    if (sharded(level))
        return slot_count(spec, level, threads);
    return pel__store_gathers(spec->path) ? 2 * slot_count(spec, level, threads) : threads;
}

/* Of a shard that is gathered, at worst. */
static int64_t room_bytes(const pel__sink_spec *spec, const pel__level *level, int64_t bound)
{
    return pel__store_gathers(spec->path) && sharded(level) ? pel__ome_chunks_per_shard(level) * bound + index_bytes(level) : 0;
}

static int64_t list_cost(int64_t n)
{
    return pel__arena_cost(n * (int64_t)sizeof(uint8_t *));
}

static int64_t scratch_bytes(const pel__sink_spec *spec, const pel__level *level, int32_t threads)
{
    pel__step step[PEL__OME_STEPS];
    const int32_t steps = pel__ome_steps(spec, step);
    const int64_t chunk = pel__ome_chunk_bytes(spec, level), count = encoded_count(spec, level, threads);
    const int64_t bound = chain_bound(step, steps, chunk);
    const int64_t lists = list_cost(threads) + (sharded(level) ? pel__arena_cost(count * (int64_t)sizeof(slot)) : list_cost(count));
    return lists + threads * pel__arena_cost(chunk) + count * pel__arena_cost(bound) + pel__arena_cost(index_bytes(level))
        + pel__arena_cost(room_bytes(spec, level, bound));
}

int64_t pel__ome_write_bytes(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads)
{
    const pel__level *const l = &spec->layouts[image].level[level];
    pel__step step[PEL__OME_STEPS];
    const int32_t steps = pel__ome_steps(spec, step);
    int64_t libraries = 0;
    for (int32_t i = 0; i < steps; i++)
        libraries += pel__step_encode_bytes(&step[i], pel__ome_chunk_bytes(spec, l));
    const int64_t waiting = pel__store_gathers(spec->path) ? (sharded(l) ? 1 : PEL__STORE_CREW) * PEL__STORE_CONNECTION
                                                           : (int64_t)PEL__STORE_CREW * SYNCER_BYTES;
    return scratch_bytes(spec, l, threads) + threads * libraries + PEL__LATE_BYTES + waiting;
}

/* Reading threads of a remote store fetch stretches of shards or whole chunks. */
int64_t pel__ome_read_back_bytes(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads)
{
    const pel__level *const l = &spec->layouts[image].level[level];
    pel__step step[PEL__OME_STEPS];
    if (!pel__store_is_remote(spec->path))
        return 0;
    const int64_t bound = chain_bound(step, pel__ome_steps(spec, step), pel__ome_chunk_bytes(spec, l));
    const int64_t fetched = sharded(l) ? pel__max(PEL__STORE_WINDOW, bound) + index_bytes(l) : bound;
    return pel__max(2 * (int64_t)threads, PEL__STORE_CREW + (int64_t)threads) * (PEL__STORE_CONNECTION + fetched) + PEL__INDEX_CACHE_BYTES;
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

/* By one worker at a time, in C order. */
static bool append_chunk(work *w, int64_t i, pel_error *err)
{
    ring *const r = &w->ring;
    const slot *const s = &r->slot[i % r->slots];
    pel__store_writer *const file = &r->place->file;
    pel__store_u64(r->index + 16 * i, s->bytes < 0 ? MISSING : (uint64_t)file->bytes);
    pel__store_u64(r->index + 16 * i + 8, s->bytes < 0 ? MISSING : (uint64_t)s->bytes);
    if (s->bytes < 0)
        return true;
    return (file->store || pel__writer_begin(file, w->sink->store, r->place->record.path, err))
        && pel__writer_append(file, s->data, s->bytes, err);
}

/* With the mutex held: appends what is ready, unless another worker is at it. */
static void append_ready(work *w)
{
    ring *const r = &w->ring;
    if (r->appending)
        return;
    r->appending = true;
    while (!r->failed && r->appended < r->chunks && r->slot[r->appended % r->slots].ready) {
        pel_error error = {0};
        (void)pthread_mutex_unlock(&r->mutex);
        const bool ok = append_chunk(w, r->appended, &error); /* nobody else changes the number */
        (void)pthread_mutex_lock(&r->mutex);
        r->slot[r->appended % r->slots].ready = false;
        r->appended++;
        if (!ok) {
            r->failed = true;
            r->error = error;
        }
        (void)pthread_cond_broadcast(&r->changed);
    }
    r->appending = false;
}

/* Chunk i has its slot when the one before it there is in the file. Those in front were begun before and wait for nobody. */
static void wait_for_slot(ring *r, int64_t i)
{
    (void)pthread_mutex_lock(&r->mutex);
    while (!r->failed && i >= r->appended + r->slots)
        (void)pthread_cond_wait(&r->changed, &r->mutex);
    (void)pthread_mutex_unlock(&r->mutex);
}

static bool shard_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    work *const w = arg;
    ring *const r = &w->ring;
    slot *const s = &r->slot[i % r->slots];
    const pel_region chunk = pel__grid_cell(&r->shard, w->level->chunk, i);
    pel_error error = {0};
    wait_for_slot(r, i);
    const bool ok = encode_chunk(w, &chunk, s, worker, &error);
    (void)pthread_mutex_lock(&r->mutex);
    if (!ok && !r->failed) {
        r->failed = true;
        r->error = error;
        (void)pthread_cond_broadcast(&r->changed);
    }
    s->ready = ok;
    append_ready(w);
    const bool failed = r->failed;
    if (failed && err)
        *err = r->error;
    (void)pthread_mutex_unlock(&r->mutex);
    return !failed;
}

static bool end_shard(work *w, pel_error *err)
{
    ring *const r = &w->ring;
    if (!r->place->file.store)
        return true;
    const int64_t n = index_bytes(w->level);
    pel__store_u32(r->index + n - 4, pel__crc32c(0, r->index, (size_t)n - 4));
    if (!pel__writer_append(&r->place->file, r->index, n, err))
        return false;
    r->place->record.bytes = r->place->file.bytes;
    r->place->record.digest = pel__writer_digest(&r->place->file);
    return true;
}

static bool write_shard(work *w, int64_t number, pel__pool *pool, pel_error *err)
{
    ring *const r = &w->ring;
    const pel_region cell = pel__grid_cell(&w->region, w->level->shard, number);
    int64_t grid[PEL_AXES];
    if (w->gathers && !pel__late_trim(w->sink->late, 0, w->on_file, w->arg, err)) /* there is one room */
        return false;
    r->place = pel__late_take(w->sink->late, w->on_file, w->arg, err);
    if (!r->place)
        return false;
    for (int i = 0; i < PEL_AXES; i++)
        grid[i] = cell.origin[i] / w->level->shard[i];
    pel__ome_key(&w->sink->spec, w->image, w->level_number, grid, r->place->record.path, sizeof r->place->record.path);
    r->place->file = (pel__store_writer){.room = w->room, .capacity = w->room_bytes, .unsynced = w->unsynced};
    r->shard = pel__region(PEL_AXES, cell.origin, w->level->shard);
    r->appended = 0;
    if (!pel__pool_run(pool, PEL__WRITE_FIRST, r->chunks, shard_task, w, err) || !end_shard(w, err))
        return false;
    if (w->unsynced)
        pel__late_now(w->sink->late, r->place);
    pel__late_send(w->sink->late);
    return true;
}

static bool write_shards(work *w, pel__pool *pool, pel_error *err)
{
    const int64_t count = pel__grid_cells(&w->region, w->level->shard);
    bool ok = true;
    w->ring.chunks = pel__ome_chunks_per_shard(w->level);
    (void)pthread_mutex_init(&w->ring.mutex, NULL);
    (void)pthread_cond_init(&w->ring.changed, NULL);
    for (int64_t i = 0; ok && i < count; i++)
        ok = write_shard(w, i, pool, err);
    (void)pthread_mutex_destroy(&w->ring.mutex);
    (void)pthread_cond_destroy(&w->ring.changed);
    return ok;
}

/* ---- a chunk a file ---------------------------------------------------------------------------------------- */

static bool store_chunk(const work *w, const slot *s, pel__late_place *place, pel_error *err)
{
    pel__store_writer *const file = &place->file;
    *file = (pel__store_writer){.room = w->gathers ? s->data : NULL, .capacity = w->bound, .unsynced = w->unsynced};
    if (s->bytes >= 0 && (!pel__writer_begin(file, w->sink->store, place->record.path, err)
                          || !pel__writer_append(file, s->data, s->bytes, err)))
        return false;
    place->record.bytes = s->bytes < 0 ? -1 : file->bytes;
    if (s->bytes >= 0)
        place->record.digest = pel__writer_digest(file);
    if (w->unsynced)
        pel__late_now(w->sink->late, place);
    return true;
}

static bool file_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    const work *const w = arg;
    const int64_t number = w->first + i;
    slot s = {.data = w->encoded[w->gathers ? number % (2 * w->files) : worker]};
    const pel_region cell = pel__grid_cell(&w->region, w->level->chunk, number);
    const pel_region chunk = pel__region(PEL_AXES, cell.origin, w->level->chunk);
    int64_t grid[PEL_AXES];
    for (int k = 0; k < PEL_AXES; k++)
        grid[k] = cell.origin[k] / w->level->chunk[k];
    pel__file_record *const record = &w->place[i]->record;
    pel__ome_key(&w->sink->spec, w->image, w->level_number, grid, record->path, sizeof record->path);
    return encode_chunk(w, &chunk, &s, worker, err) && store_chunk(w, &s, w->place[i], err);
}

/* Encodes and writes a batch while the one before is synced. */
static bool write_files(work *w, pel__pool *pool, pel_error *err)
{
    const int64_t count = pel__grid_cells(&w->region, w->level->chunk);
    bool ok = true;
    for (w->first = 0; ok && w->first < count; w->first += w->files) {
        const int64_t n = pel__min(w->files, count - w->first);
        ok = pel__late_trim(w->sink->late, w->files, w->on_file, w->arg, err);
        for (int64_t i = 0; ok && i < n; i++)
            ok = (w->place[i] = pel__late_take(w->sink->late, w->on_file, w->arg, err)) != NULL;
        ok = ok && pel__pool_run(pool, PEL__WRITE_FIRST, n, file_task, w, err);
        if (ok)
            pel__late_send(w->sink->late);
    }
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

static uint8_t **carve_list(pel__arena *arena, int64_t n, int64_t bytes)
{
    uint8_t **const list = pel__arena_take(arena, n * (int64_t)sizeof(uint8_t *));
    for (int64_t i = 0; list && i < n; i++)
        if (!(list[i] = pel__arena_take(arena, bytes)))
            return NULL;
    return list;
}

static bool carve_ring(work *w, pel__arena *arena)
{
    ring *const r = &w->ring;
    r->index = pel__arena_take(arena, index_bytes(w->level));
    r->slot = pel__arena_take(arena, r->slots * (int64_t)sizeof(slot));
    w->room = pel__arena_take(arena, w->room_bytes);
    bool ok = r->index && r->slot && w->room;
    for (int64_t i = 0; ok && i < r->slots; i++) {
        r->slot[i] = (slot){.data = pel__arena_take(arena, w->bound)};
        ok = r->slot[i].data != NULL;
    }
    return ok;
}

static bool carve(work *w, void *scratch, int64_t size, int32_t threads)
{
    const pel__sink_spec *const spec = &w->sink->spec;
    pel__arena arena = pel__arena_over(scratch, size);
    w->gather = carve_list(&arena, threads, w->chunk_bytes);
    if (!w->gather)
        return false;
    w->room_bytes = room_bytes(spec, w->level, w->bound);
    w->ring.slots = w->files = slot_count(spec, w->level, threads);
    if (sharded(w->level))
        return carve_ring(w, &arena);
    w->encoded = carve_list(&arena, encoded_count(spec, w->level, threads), w->bound);
    return w->encoded != NULL;
}

/* Until the scratch is free again. What failed leaves nothing under way. */
static bool end_write(work *w, bool ok, pel_error *err)
{
    if (!ok)
        pel__late_drop(w->sink->late);
    return ok && (!w->gathers || pel__late_trim(w->sink->late, 0, w->on_file, w->arg, err));
}

/* The contract's parameters. NOLINTNEXTLINE(readability-function-size) */
bool pel__ome_write(pel__sink *s, int32_t image, int32_t level, const pel_block *b, pel__pool *pool, void *scratch,
                    pel__on_file *on_file, void *arg, pel_error *err)
{
    const pel__sink_spec *const spec = &s->spec;
    const pel__level *const l = &spec->layouts[image].level[level];
    const int32_t threads = pel__pool_threads(pool);
    work w = {.sink = s, .block = b, .level = l, .image = image, .level_number = level, .region = b->region, .on_file = on_file, .arg = arg};
    if (!check_block(spec, l, b, err))
        return pel__where(err, "image %d level %d: ", (int)image, (int)level);
    if (!s->late && !pel__late_create(&s->late, s->store, err))
        return false;
    w.steps = pel__ome_steps(spec, w.step);
    w.gathers = pel__store_gathers(spec->path);
    w.unsynced = spec->unsynced && !w.gathers;
    w.chunk_bytes = pel__ome_chunk_bytes(spec, l);
    w.bound = chain_bound(w.step, w.steps, w.chunk_bytes);
    if (!carve(&w, scratch, scratch_bytes(spec, l, threads), threads))
        return pel__fail(err, PEL_INTERNAL, "scratch of a shard does not fit what was declared");
    return end_write(&w, sharded(l) ? write_shards(&w, pool, err) : write_files(&w, pool, err), err);
}

bool pel__ome_settle(pel__sink *s, pel__on_file *on_file, void *arg, pel_error *err)
{
    return (!s->late || pel__late_trim(s->late, 0, on_file, arg, err)) && pel__store_sync(s->store, err);
}
