/* SPDX-License-Identifier: MIT
 * zstd frames and blosc buffers of level 1 beside the libraries' own: decoded to the same bytes, as small where there is something to find, hardly
 * larger where there is only noise. */
#include "check.h"
#include "codec/blosc_encode.h"
#include "codec/chunk_codec.h"

#include <blosc.h>

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BYTES ((size_t)512 << 10)

static uint64_t state;

static uint32_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11);
}

/* 16-bit voxels of a camera: nearly Gaussian around 300, sigma 20. */
static void camera(uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        int v = 300 - 120;
        for (int k = 0; k < 12; k++)
            v += (int)(draw() % 21);
        p[i] = (uint8_t)v;
        p[i + 1] = (uint8_t)(v >> 8);
    }
}

/* Labels: a few numbers in runs of five voxels, out of a set of words. */
static void labels(uint8_t *p, size_t n)
{
    uint8_t word[64][10];
    for (int i = 0; i < 64; i++)
        for (int k = 0; k < 10; k++)
            word[i][k] = (uint8_t)draw();
    for (size_t i = 0; i < n; i += 10)
        memcpy(p + i, word[draw() % 64], n - i < 10 ? n - i : 10);
}

static void zeros(uint8_t *p, size_t n)
{
    memset(p, 0, n);
}

/* One noisy plane again and again. */
static void planes(uint8_t *p, size_t n)
{
    camera(p, n / 16);
    for (size_t i = 1; i < 16; i++)
        memcpy(p + i * (n / 16), p, n / 16);
}

/* Half of the chunk empty, half noise. */
static void edge(uint8_t *p, size_t n)
{
    zeros(p, n / 2);
    camera(p + n / 2, n - n / 2);
}

static void bytes(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)draw();
}

/* Frames of both, the sizes of their content told, decoded to what was put in. Returns own size in per cent of the library's. */
static double beside_library(const uint8_t *src, size_t n, int level)
{
    const size_t room = ZSTD_compressBound(n);
    uint8_t *const own = malloc(room), *const other = malloc(room), *const back = malloc(n + 1);
    ZSTD_CCtx *const context = ZSTD_createCCtx();
    pel__zstd_job job = {.level = level, .src = src, .n = n, .dst = own, .capacity = room};
    const size_t got = pel__zstd_encode(context, &job), plain = ZSTD_compress(other, room, src, n, level);
    CHECK(!ZSTD_isError(got));
    CHECK(ZSTD_getFrameContentSize(own, got) == n);
    CHECK(ZSTD_decompress(back, n + 1, own, got) == n);
    CHECK(memcmp(back, src, n) == 0);
    job.dst = other; /* the context has a past now: the same bytes all the same */
    CHECK(pel__zstd_encode(context, &job) == got);
    CHECK(memcmp(own, other, got) == 0);
    (void)ZSTD_freeCCtx(context);
    free(own);
    free(other);
    free(back);
    return 100 * (double)got / (double)plain;
}

CASE(level_one)
{
    static const struct {
        void (*make)(uint8_t *p, size_t n);
        double most;
    } kinds[] = {{camera, 103}, {labels, 100}, {zeros, 200}, {planes, 110}, {edge, 105}, {bytes, 100.1}};
    uint8_t *const src = malloc(BYTES);
    state = 88172645463325252u;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        kinds[i].make(src, BYTES);
        const double size = beside_library(src, BYTES, 1);
        CHECK(size <= kinds[i].most);
        if (size > kinds[i].most)
            (void)fprintf(stderr, "kind %zu: %.1f %%\n", i, size);
    }
    free(src);
}

CASE(small_chunks_and_other_levels_are_the_librarys)
{
    static const size_t sizes[] = {0, 1, 7, 1000, 70000};
    static const int levels[] = {-3, 2, 3, 9};
    uint8_t *const src = malloc(BYTES);
    state = 1;
    camera(src, BYTES);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(beside_library(src, sizes[i], 1) == 100);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        CHECK(beside_library(src, BYTES, levels[i]) == 100);
    free(src);
}

/* ---- blosc --------------------------------------------------------------------------------------------------- */

/* What libblosc, the reference, reads from the buffer: all of it, and a few elements. Length in per cent of its own. */
static double beside_blosc(const uint8_t *src, int64_t n, int32_t typesize)
{
    const size_t room = (size_t)n + BLOSC_MAX_OVERHEAD;
    uint8_t *const own = malloc(room), *const other = malloc(room), *const back = malloc((size_t)n + 1);
    uint8_t *const planes = malloc((size_t)pel__blosc_room(typesize));
    ZSTD_CCtx *const context = ZSTD_createCCtx();
    const pel__blosc_job job = {.src = src, .n = n, .dst = own, .room = planes, .typesize = typesize};
    const int64_t got = pel__blosc_encode(context, &job);
    size_t raw = 0;
    CHECK(got <= (int64_t)room);
    CHECK(blosc_cbuffer_validate(own, (size_t)got, &raw) == 0);
    CHECK_INT(raw, n);
    CHECK_INT(blosc_decompress_ctx(own, back, (size_t)n, 1), n);
    CHECK(memcmp(back, src, (size_t)n) == 0);
    const int64_t count = n / typesize, first = count / 3, some = count - first < 1000 ? count - first : 1000;
    CHECK_INT(blosc_getitem(own, (int)first, (int)some, back), some * typesize);
    CHECK(memcmp(back, src + first * typesize, (size_t)(some * typesize)) == 0);
    const int plain = blosc_compress_ctx(1, BLOSC_SHUFFLE, (size_t)typesize, (size_t)n, src, other, room, "zstd", 0, 1);
    (void)ZSTD_freeCCtx(context);
    free(own);
    free(other);
    free(back);
    free(planes);
    return 100 * (double)got / (double)plain;
}

CASE(blosc_of_every_kind_and_size)
{
    static void (*const kinds[])(uint8_t *p, size_t n) = {camera, labels, zeros, planes, edge, bytes};
    static const int64_t counts[] = {1, 2, 127, 128, 129, 1000, 65536, 131072, 131073, 200001, 262144, 300000};
    const size_t most = (size_t)300000 * 8;
    uint8_t *const src = malloc(most);
    state = 4711;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        kinds[k](src, most);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (int32_t typesize = 1; typesize <= 8; typesize *= 2)
                (void)beside_blosc(src, counts[i] * typesize, typesize);
    }
    free(src);
}

CASE(blosc_is_no_larger_than_the_librarys)
{
    static void (*const kinds[])(uint8_t *p, size_t n) = {camera, zeros, edge, bytes};
    uint8_t *const src = malloc(BYTES);
    state = 11;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        kinds[k](src, BYTES);
        const double size = beside_blosc(src, (int64_t)BYTES, 2);
        CHECK(size <= 101 || kinds[k] == zeros); /* of which both make next to nothing */
    }
    free(src);
}

/* Encodes chunk after chunk as a worker does, with other pieces allocated and freed between; *arg becomes by how much the heap
 * has grown since the second. */
static void *encode_many(void *arg)
{
    uint8_t *const src = malloc(BYTES), *const dst = malloc(BYTES + BLOSC_MAX_OVERHEAD);
    const pel__step step = {.kind = PEL__STEP_BLOSC, .level = 5, .shuffle = 2, .typesize = 2, .cname = "lz4"};
    pel__codec_shelf *shelf = NULL;
    pel_error e = {0};
    size_t begin = 0;
    camera(src, BYTES);
    CHECK_OK(pel__codec_shelf_create(&shelf, &e), e);
    for (int i = 0; i < 40; i++) {
        pel__codec_state *const s = pel__codec_take(shelf, &e);
        pel__codec_io io = {.src = src, .n = BYTES, .dst = dst, .capacity = BYTES + BLOSC_MAX_OVERHEAD};
        CHECK_OK(pel__step_encode(s, &step, &io, &e), e);
        pel__codec_put(shelf, s);
        if (i == 1)
            begin = mallinfo2().arena;
    }
    *(size_t *)arg = mallinfo2().arena - begin;
    pel__codec_shelf_destroy(shelf);
    free(src);
    free(dst);
    return NULL;
}

CASE(blosc_leaves_no_holes)
{
    pthread_t thread;
    size_t grown = 0;
    state = 4;
    CHECK(pthread_create(&thread, NULL, encode_many, &grown) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(grown <= 2 * BYTES); /* what one chunk takes, with room to spare */
}

int main(void)
{
    RUN(blosc_of_every_kind_and_size);
    RUN(blosc_is_no_larger_than_the_librarys);
    RUN(blosc_leaves_no_holes);
    RUN(level_one);
    RUN(small_chunks_and_other_levels_are_the_librarys);
    return CHECK_DONE();
}
