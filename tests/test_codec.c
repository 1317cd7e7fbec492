/* SPDX-License-Identifier: MIT
 * zstd frames of level 1 beside the library's own: decoded to the same bytes, as small where there is something to find, hardly
 * larger where there is only noise. */
#include "check.h"
#include "codec/zstd_encode.h"

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
            fprintf(stderr, "kind %zu: %.1f %%\n", i, size);
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

int main(void)
{
    RUN(level_one);
    RUN(small_chunks_and_other_levels_are_the_librarys);
    return CHECK_DONE();
}
