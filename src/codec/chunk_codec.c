/* SPDX-License-Identifier: MIT
 * See chunk_codec.h. Blosc is called through its _ctx functions with one thread: the plain ones share a global lock
 * and read the environment. zstd contexts are kept, because making one costs more than a small chunk. */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_estimate*: what a context will take */
#include "codec/chunk_codec.h"

#include "codec/blosc_encode.h"
#include "codec/chunk_rare.h"
#include "codec/zstd_encode.h"
#include "core/bytes.h"

#include <blosc.h>
#include <libdeflate.h>
#include <lz4.h>
#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

struct pel__codec_state {
    pel__codec_state *next; /* on the shelf */
    ZSTD_CCtx *zstd_enc;
    ZSTD_DCtx *zstd_dec;
    struct libdeflate_compressor *deflate;
    int32_t deflate_level;
    struct libdeflate_decompressor *inflate;
    uint8_t *buffer[PEL__STATE_BUFFERS];
    int64_t room[PEL__STATE_BUFFERS];
};

struct pel__codec_shelf {
    pthread_mutex_t lock;
    pel__codec_state *first;
};

static const char *const step_names[] = {"blosc", "zstd", "gzip", "zlib", "lz4", "crc32c", "bz2", "lzma", "shuffle", "crc32", "adler32", "fletcher32"};

const char *pel__step_name(enum pel__step_kind kind)
{
    return step_names[kind];
}

/* ---- states ------------------------------------------------------------------------------------------------ */

static void state_destroy(pel__codec_state *state)
{
    if (!state)
        return;
    (void)ZSTD_freeCCtx(state->zstd_enc);
    (void)ZSTD_freeDCtx(state->zstd_dec);
    libdeflate_free_compressor(state->deflate);
    libdeflate_free_decompressor(state->inflate);
    for (int32_t i = 0; i < PEL__STATE_BUFFERS; i++)
        free(state->buffer[i]);
    free(state);
}

bool pel__codec_shelf_create(pel__codec_shelf **out, pel_error *err)
{
    pel__codec_shelf *shelf = calloc(1, sizeof *shelf);
    if (!shelf)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    (void)pthread_mutex_init(&shelf->lock, NULL);
    *out = shelf;
    return true;
}

void pel__codec_shelf_destroy(pel__codec_shelf *shelf)
{
    if (!shelf)
        return;
    while (shelf->first) {
        pel__codec_state *const state = shelf->first;
        shelf->first = state->next;
        state_destroy(state);
    }
    (void)pthread_mutex_destroy(&shelf->lock);
    free(shelf);
}

pel__codec_state *pel__codec_take(pel__codec_shelf *shelf, pel_error *err)
{
    (void)pthread_mutex_lock(&shelf->lock);
    pel__codec_state *state = shelf->first;
    if (state)
        shelf->first = state->next;
    (void)pthread_mutex_unlock(&shelf->lock);
    if (!state && !(state = calloc(1, sizeof *state)))
        (void)pel__fail(err, PEL_NO_MEMORY, "out of memory");
    return state;
}

void pel__codec_put(pel__codec_shelf *shelf, pel__codec_state *state)
{
    if (!state)
        return;
    (void)pthread_mutex_lock(&shelf->lock);
    state->next = shelf->first;
    shelf->first = state;
    (void)pthread_mutex_unlock(&shelf->lock);
}

uint8_t *pel__codec_buffer(pel__codec_state *state, int32_t number, int64_t n, pel_error *err)
{
    if (n <= state->room[number] && state->buffer[number])
        return state->buffer[number];
    free(state->buffer[number]);
    state->room[number] = 0;
    const size_t want = (size_t)pel__round_up(n > 0 ? n : 1, 64);
    state->buffer[number] = aligned_alloc(64, want);
    if (!state->buffer[number]) {
        (void)pel__fail(err, PEL_NO_MEMORY, "out of memory: %zu bytes for a chunk", want);
        return NULL;
    }
    state->room[number] = (int64_t)want;
    return state->buffer[number];
}

/* ---- sizes ------------------------------------------------------------------------------------------------- */

int64_t pel__step_bound(const pel__step *step, int64_t n)
{
    switch (step->kind) {
    case PEL__STEP_BLOSC:
        return n + BLOSC_MAX_OVERHEAD;
    case PEL__STEP_ZSTD:
        return (int64_t)ZSTD_compressBound((size_t)n);
    case PEL__STEP_GZIP:
        return (int64_t)libdeflate_gzip_compress_bound(NULL, (size_t)n);
    case PEL__STEP_ZLIB:
        return (int64_t)libdeflate_zlib_compress_bound(NULL, (size_t)n);
    case PEL__STEP_LZ4:
        return 4 + n + n / 255 + 16;
    case PEL__STEP_CRC32C:
        return n + 4;
    default:
        return n;
    }
}

/* Byte-shuffled zstd at level 1 of whole elements is made here, all else by the library. */
static bool own_blosc(const pel__step *step, int64_t n)
{
    const int32_t size = step->typesize;
    return strcmp(step->cname, "zstd") == 0 && step->level == 1 && step->shuffle == 1 && step->blocksize == 0
        && (size == 1 || size == 2 || size == 4 || size == 8) && n % size == 0 && n > 0;
}

static int64_t zstd_encoder_bytes(int32_t level, int64_t n)
{
    return (int64_t)ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(level, (unsigned long long)n, 0));
}

int64_t pel__step_encode_bytes(const pel__step *step, int64_t n)
{
    const int64_t small = 64 << 10;
    switch (step->kind) {
    case PEL__STEP_BLOSC: {
        if (own_blosc(step, n))
            return small + pel__blosc_room(step->typesize) + zstd_encoder_bytes(1, PEL__BLOSC_PLANE);
        /* its own blocks, three of them, the inner compressor's tables; measured with the heap's slack */
        const int64_t block = pel__min(n, step->blocksize > 0 ? step->blocksize : 2 << 20);
        const bool zstd = strcmp(step->cname, "zstd") == 0;
        const int32_t level = step->level < 9 ? 2 * step->level - 1 : ZSTD_maxCLevel();
        return (512 << 10) + 4 * block + (zstd ? zstd_encoder_bytes(level, block) : 512 << 10);
    }
    case PEL__STEP_ZSTD:
        return small + zstd_encoder_bytes(step->level, n);
    case PEL__STEP_GZIP:
    case PEL__STEP_ZLIB:
        return 2 << 20;
    case PEL__STEP_LZ4:
        return small;
    default:
        return 0;
    }
}

int64_t pel__step_decode_bytes(const pel__step *step, int64_t n)
{
    switch (step->kind) {
    case PEL__STEP_BLOSC: /* three of its blocks (512 KiB and more), twice that in the heap of a thread: measured */
        return (512 << 10) + 6 * pel__min(n, 1 << 20);
    case PEL__STEP_ZSTD:
        return 256 << 10;
    case PEL__STEP_GZIP:
    case PEL__STEP_ZLIB:
        return 64 << 10;
    case PEL__STEP_BZ2:
        return 4 << 20;
    case PEL__STEP_LZMA:
        return pel__lzma_decode_bytes(step);
    default:
        return 0;
    }
}

/* ---- encode ------------------------------------------------------------------------------------------------ */

static bool zstd_encode(pel__codec_state *state, const pel__step *step, pel__codec_io *io, pel_error *err)
{
    if (!state->zstd_enc && !(state->zstd_enc = ZSTD_createCCtx()))
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: zstd context");
    const pel__zstd_job job = {.level = step->level, .checksum = step->checksum, .src = io->src, .n = (size_t)io->n, .dst = io->dst,
                               .capacity = (size_t)io->capacity};
    const size_t r = pel__zstd_encode(state->zstd_enc, &job);
    if (ZSTD_isError(r))
        return pel__fail(err, PEL_INTERNAL, "zstd: %s", ZSTD_getErrorName(r));
    io->got = (int64_t)r;
    return true;
}

static bool deflate_encode(pel__codec_state *state, const pel__step *step, pel__codec_io *io, pel_error *err)
{
    if (state->deflate && state->deflate_level != step->level) {
        libdeflate_free_compressor(state->deflate);
        state->deflate = NULL;
    }
    if (!state->deflate && !(state->deflate = libdeflate_alloc_compressor(step->level)))
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: gzip context");
    state->deflate_level = step->level;
    const size_t n = (size_t)io->n, capacity = (size_t)io->capacity;
    const size_t r = step->kind == PEL__STEP_GZIP ? libdeflate_gzip_compress(state->deflate, io->src, n, io->dst, capacity)
                                                  : libdeflate_zlib_compress(state->deflate, io->src, n, io->dst, capacity);
    if (r == 0)
        return pel__fail(err, PEL_INTERNAL, "%s: %zu bytes did not fit", pel__step_name(step->kind), n);
    io->got = (int64_t)r;
    return true;
}

static bool own_blosc_encode(pel__codec_state *state, const pel__step *step, pel__codec_io *io, pel_error *err)
{
    pel__blosc_job job = {.src = io->src, .n = io->n, .dst = io->dst, .typesize = step->typesize};
    job.room = pel__codec_buffer(state, 0, pel__blosc_room(step->typesize), err);
    if (!job.room)
        return false;
    if (!state->zstd_enc && !(state->zstd_enc = ZSTD_createCCtx()))
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: zstd context");
    if (io->capacity < io->n + BLOSC_MAX_OVERHEAD)
        return pel__fail(err, PEL_INTERNAL, "blosc: no room");
    io->got = pel__blosc_encode(state->zstd_enc, &job);
    return true;
}

/* libblosc asks for its blocks anew for each chunk, aligned. glibc before 2.38 cuts slivers off such blocks and keeps the first
 * seven of a size back for the thread; they then lie between the freed block and the next, so that the heap grows by seven
 * blocks a thread. With as many small pieces kept back already no sliver stays. */
static void fill_small_bins(void)
{
    enum { KEPT = 7, BINS = 5 }; /* of 32 to 96 bytes */
    void *volatile piece[BINS * KEPT]; /* volatile: not to be optimised away */
    for (size_t i = 0; i < BINS * KEPT; i++)
        piece[i] = malloc(24 + 16 * (i % BINS));
    for (size_t i = 0; i < BINS * KEPT; i++)
        free(piece[i]);
}

static bool blosc_encode(pel__codec_state *state, const pel__step *step, pel__codec_io *io, pel_error *err)
{
    if (io->n > PEL__STEP_MAX_BYTES)
        return pel__fail(err, PEL_ARGUMENT, "blosc: a chunk of %lld bytes is beyond its 2 GiB", (long long)io->n);
    if (own_blosc(step, io->n))
        return own_blosc_encode(state, step, io, err);
    fill_small_bins();
    const int r = blosc_compress_ctx(step->level, step->shuffle, (size_t)step->typesize, (size_t)io->n, io->src, io->dst,
                                     (size_t)io->capacity, step->cname, (size_t)step->blocksize, 1);
    if (r <= 0)
        return pel__fail(err, PEL_INTERNAL, "blosc: %s failed with %d", step->cname, r);
    io->got = r;
    return true;
}

static bool lz4_encode(pel__codec_io *io, pel_error *err)
{
    if (io->n > PEL__STEP_MAX_BYTES)
        return pel__fail(err, PEL_ARGUMENT, "lz4: a chunk of %lld bytes is beyond its 2 GiB", (long long)io->n);
    const int room = (int)pel__min(io->capacity - 4, INT32_MAX);
    const int r = LZ4_compress_default(io->src, (char *)io->dst + 4, (int)io->n, room);
    if (r <= 0 && io->n > 0)
        return pel__fail(err, PEL_INTERNAL, "lz4 failed with %d", r);
    pel__store_u32(io->dst, (uint32_t)io->n);
    io->got = 4 + (int64_t)r;
    return true;
}

static bool crc32c_encode(pel__codec_io *io, pel_error *err)
{
    if (io->capacity < io->n + 4)
        return pel__fail(err, PEL_INTERNAL, "crc32c: no room");
    memcpy(io->dst, io->src, (size_t)io->n);
    pel__store_u32((uint8_t *)io->dst + io->n, pel__crc32c(0, io->src, (size_t)io->n));
    io->got = io->n + 4;
    return true;
}

bool pel__step_encode(pel__codec_state *state, const pel__step *step, pel__codec_io *io, pel_error *err)
{
    switch (step->kind) {
    case PEL__STEP_BLOSC:
        return blosc_encode(state, step, io, err);
    case PEL__STEP_ZSTD:
        return zstd_encode(state, step, io, err);
    case PEL__STEP_GZIP:
    case PEL__STEP_ZLIB:
        return deflate_encode(state, step, io, err);
    case PEL__STEP_LZ4:
        return lz4_encode(io, err);
    case PEL__STEP_CRC32C:
        return crc32c_encode(io, err);
    default:
        break;
    }
    return pel__fail(err, PEL_INTERNAL, "no such codec: %d", (int)step->kind);
}

/* ---- decode ------------------------------------------------------------------------------------------------ */

static bool too_long(pel_error *err, const char *name, int64_t capacity)
{
    return pel__fail(err, PEL_DAMAGED, "%s: more than the expected %lld bytes", name, (long long)capacity);
}

static bool zstd_decode(pel__codec_state *state, pel__codec_io *io, pel_error *err)
{
    if (!state->zstd_dec && !(state->zstd_dec = ZSTD_createDCtx()))
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: zstd context");
    /* Takes several frames, skippable frames, and frames that do not tell their content size. */
    const size_t r = ZSTD_decompressDCtx(state->zstd_dec, io->dst, (size_t)io->capacity, io->src, (size_t)io->n);
    if (ZSTD_isError(r))
        return pel__fail(err, PEL_DAMAGED, "zstd: %s (room for %lld bytes)", ZSTD_getErrorName(r),
                         (long long)io->capacity);
    io->got = (int64_t)r;
    return true;
}

/* Members one after the other, as gzip allows; one stream for zlib. */
static bool inflate_decode(pel__codec_state *state, pel__codec_io *io, pel_error *err)
{
    const uint8_t *const src = io->src;
    uint8_t *const dst = io->dst;
    const size_t n = (size_t)io->n, capacity = (size_t)io->capacity;
    if (!state->inflate && !(state->inflate = libdeflate_alloc_decompressor()))
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: gzip context");
    const bool gzip = n >= 2 && src[0] == 0x1f && src[1] == 0x8b;
    const char *const name = gzip ? "gzip" : "zlib";
    size_t in = 0, out = 0;
    do {
        size_t used = 0, made = 0;
        const size_t left = n - in, room = capacity - out;
        const enum libdeflate_result r = gzip
            ? libdeflate_gzip_decompress_ex(state->inflate, src + in, left, dst + out, room, &used, &made)
            : libdeflate_zlib_decompress_ex(state->inflate, src + in, left, dst + out, room, &used, &made);
        if (r == LIBDEFLATE_INSUFFICIENT_SPACE)
            return too_long(err, name, io->capacity);
        if (r != LIBDEFLATE_SUCCESS)
            return pel__fail(err, PEL_DAMAGED, "%s: the stream is damaged or ends too early", name);
        in += used;
        out += made;
    } while (gzip && in < n);
    if (in != n)
        return pel__fail(err, PEL_DAMAGED, "%s: %zu bytes behind the end of the stream", name, n - in);
    io->got = (int64_t)out;
    return true;
}

static bool blosc_decode(pel__codec_io *io, pel_error *err)
{
    const int64_t n = io->n;
    size_t bytes = 0;
    if (n < BLOSC_MIN_HEADER_LENGTH || n > INT32_MAX)
        return pel__fail(err, PEL_DAMAGED, "blosc: a stream of %lld bytes", (long long)n);
    if (blosc_cbuffer_validate(io->src, (size_t)n, &bytes) < 0)
        return pel__fail(err, PEL_DAMAGED, "blosc: the header does not hold (stored %lld bytes)", (long long)n);
    const int64_t stored = pel__load_u32((const uint8_t *)io->src + 12);
    if (stored != n)
        return pel__fail(err, PEL_DAMAGED, "blosc: %lld bytes stored, the header says %lld", (long long)n,
                         (long long)stored);
    if ((int64_t)bytes > io->capacity)
        return too_long(err, "blosc", io->capacity);
    if (bytes > 0) {
        const int r = blosc_decompress_ctx(io->src, io->dst, (size_t)io->capacity, 1);
        if (r < 0 || (size_t)r != bytes)
            return pel__fail(err, PEL_DAMAGED, "blosc: the stream does not decode (%d)", r);
    }
    io->got = (int64_t)bytes;
    return true;
}

static bool lz4_decode(pel__codec_io *io, pel_error *err)
{
    const uint8_t *const src = io->src;
    const int64_t n = io->n;
    if (n < 4 || n > INT32_MAX)
        return pel__fail(err, PEL_DAMAGED, "lz4: a stream of %lld bytes", (long long)n);
    const int64_t bytes = pel__load_u32(src);
    if (bytes > io->capacity || bytes > INT32_MAX)
        return too_long(err, "lz4", io->capacity);
    const int r = LZ4_decompress_safe((const char *)src + 4, io->dst, (int)(n - 4), (int)bytes);
    if (r != bytes)
        return pel__fail(err, PEL_DAMAGED, "lz4: the stream does not decode (%d)", r);
    io->got = bytes;
    return true;
}

bool pel__step_sums(enum pel__step_kind kind)
{
    return kind == PEL__STEP_CRC32C || kind >= PEL__STEP_CRC32;
}

static uint32_t sum_of(enum pel__step_kind kind, const uint8_t *p, int64_t n)
{
    switch (kind) {
    case PEL__STEP_CRC32:
        return pel__crc32(0, p, (size_t)n);
    case PEL__STEP_ADLER32:
        return (uint32_t)adler32_z(1, p, (size_t)n);
    case PEL__STEP_FLETCHER32:
        return pel__fletcher32(p, n);
    default:
        return pel__crc32c(0, p, (size_t)n);
    }
}

bool pel__step_sum_check(const pel__step *step, const uint8_t **at, int64_t *n, pel_error *err)
{
    const char *const name = pel__step_name(step->kind);
    if (*n < 4)
        return pel__fail(err, PEL_DAMAGED, "%s: only %lld bytes stored", name, (long long)*n);
    const uint8_t *const bytes = *at + (step->first ? 4 : 0);
    const uint32_t stored = pel__load_u32(step->first ? *at : *at + *n - 4), found = sum_of(step->kind, bytes, *n - 4);
    if (stored != found)
        return pel__fail(err, PEL_DAMAGED, "%s: 0x%08x stored, the bytes give 0x%08x", name, stored, found);
    *at = bytes;
    *n -= 4;
    return true;
}

bool pel__step_crc32c_check(const void *src, int64_t n, int64_t *got, pel_error *err)
{
    static const pel__step step = {.kind = PEL__STEP_CRC32C};
    const uint8_t *at = src;
    *got = n;
    return pel__step_sum_check(&step, &at, got, err);
}

static bool sum_decode(const pel__step *step, pel__codec_io *io, pel_error *err)
{
    const uint8_t *at = io->src;
    int64_t n = io->n;
    if (!pel__step_sum_check(step, &at, &n, err))
        return false;
    if (n > io->capacity)
        return too_long(err, pel__step_name(step->kind), io->capacity);
    memcpy(io->dst, at, (size_t)n);
    io->got = n;
    return true;
}

bool pel__step_decode(pel__codec_state *state, const pel__step *step, pel__codec_io *io, pel_error *err)
{
    switch (step->kind) {
    case PEL__STEP_BLOSC:
        return blosc_decode(io, err);
    case PEL__STEP_ZSTD:
        return zstd_decode(state, io, err);
    case PEL__STEP_GZIP:
    case PEL__STEP_ZLIB:
        return inflate_decode(state, io, err);
    case PEL__STEP_LZ4:
        return lz4_decode(io, err);
    case PEL__STEP_BZ2:
        return pel__bz2_decode(io, err);
    case PEL__STEP_LZMA:
        return pel__lzma_decode(step, io, err);
    case PEL__STEP_SHUFFLE:
        return pel__unshuffle(step, io, err);
    default:
        return sum_decode(step, io, err);
    }
}
