/* SPDX-License-Identifier: MIT
 * ND-SAFIR keeps its promises: the same bits however the image is cut, whoever computes it and with whatever
 * instructions; constants stay, shifts commute, odd voxels harm nobody. Values against the formulas: test_ndsafir_oracle.py. */
#include "check.h"
#include "filter/ndsafir.h"
#include "filter/ndsafir_tiles.h"
#include "ndsafir_run.h"

#include <math.h>

static uint32_t state = 1;

static float noise(void) /* about normal, variance 1 */
{
    float sum = 0;
    for (int i = 0; i < 12; i++) {
        state = state * 1664525U + 1013904223U;
        sum += (float)(state >> 8) * 0x1p-24f;
    }
    return sum - 6.0f;
}

static int64_t voxels(const int64_t shape[PEL_AXES])
{
    int64_t n = 1;
    for (int a = 0; a < PEL_AXES; a++)
        n *= shape[a];
    return n;
}

/* Edges and a ramp with noise, by global coordinates. */
static float *scene(const int64_t shape[PEL_AXES])
{
    const int64_t n = voxels(shape);
    float *p = malloc((size_t)n * sizeof *p);
    state = 7;
    for (int64_t i = 0; p && i < n; i++) {
        const int64_t x = i % shape[PEL_X], y = i / shape[PEL_X] % shape[PEL_Y], z = i / shape[PEL_X] / shape[PEL_Y] % shape[PEL_Z];
        p[i] = 200.0f + 6.0f * (float)((x + 2 * z) / 7 % 2) + 0.25f * (float)y + noise();
    }
    return p;
}

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static int64_t different(const float *a, const float *b, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += bits(a[i]) != bits(b[i]);
    return count;
}

static bool set_all(ndsafir_run *r, const char *const *settings, pel_error *err)
{
    for (; settings && *settings; settings += 2) {
        if (!pel__values_set(&r->values, settings[0], settings[1], err))
            return false;
    }
    return ndsafir_prepare(r, err);
}

/* Filters src of this shape; the caller frees. NULL on failure, which is reported. */
static float *filtered(const int64_t shape[PEL_AXES], const float *src, const char *const *settings, const int64_t *block, int32_t threads)
{
    ndsafir_run r;
    pel_error err = {0};
    float *dst = malloc((size_t)voxels(shape) * sizeof *dst);
    ndsafir_begin(&r, shape);
    if (block)
        memcpy(r.block, block, sizeof r.block);
    r.threads = threads;
    if (!set_all(&r, settings, &err) || !ndsafir_all(&r, dst, src, &err)) {
        CHECK_TEXT(err.text, "no error was expected");
        free(dst);
        return NULL;
    }
    return dst;
}

/* The settings that the cases below share. */
static const char *const flat[] = {"radius-xy", "1,2,4", NULL};
static const char *const flat_plain[] = {"radius-xy", "1,2,4,8", "aggregate", "no", NULL};
static const char *const deep[] = {"radius-xy", "1,2", "radius-z", "1,2", NULL};
static const char *const deep_aggregated[] = {"radius-xy", "1,2", "radius-z", "1,1", "aggregate", "last", NULL};
static const char *const moving[] = {"radius-xy", "1,2", "radius-t", "1,1", "patch", "t=1,y=1,x=1", NULL};
static const char *const four[] = {"radius-xy", "1,2", "radius-z", "1,1", "radius-t", "0,1", "patch", "z=1,y=1,x=1", NULL};

/* The presets: two scales. */
static const char *const preset[] = {"quality", "fast", NULL};
static const char *const preset_plain[] = {"quality", "fast", "aggregate", "no", "strength", "0.5", NULL};

static void same_for_blocks(const int64_t shape[PEL_AXES], const char *const *settings, const int64_t (*blocks)[PEL_AXES], int count)
{
    float *src = scene(shape), *whole = filtered(shape, src, settings, NULL, 1);
    for (int i = 0; i < count && whole; i++) {
        float *part = filtered(shape, src, settings, blocks[i], 1 + i % 3);
        if (part)
            CHECK_INT(different(whole, part, voxels(shape)), 0);
        free(part);
    }
    free(whole);
    free(src);
}

CASE(blocks_never_change_a_bit_in_a_plane)
{
    static const int64_t shape[] = {1, 1, 1, 97, 131}, blocks[][PEL_AXES] = {
        {1, 1, 1, 32, 32}, {1, 1, 1, 5, 131}, {1, 1, 1, 97, 3}, {1, 1, 1, 16, 130}, {1, 1, 1, 96, 65}, {1, 1, 1, 24, 26}, {1, 1, 1, 41, 17}};
    same_for_blocks(shape, flat, blocks, 7);
    same_for_blocks(shape, flat_plain, blocks, 7);
    same_for_blocks(shape, preset, blocks, 7);
    same_for_blocks(shape, preset_plain, blocks, 7);
}

CASE(blocks_of_one_voxel)
{
    static const int64_t shape[] = {1, 1, 1, 9, 11}, blocks[][PEL_AXES] = {{1, 1, 1, 1, 1}, {1, 1, 1, 8, 10}};
    same_for_blocks(shape, flat, blocks, 2);
    static const int64_t deep_shape[] = {1, 1, 5, 6, 7}, deep_blocks[][PEL_AXES] = {{1, 1, 1, 1, 1}, {1, 1, 4, 5, 6}};
    same_for_blocks(deep_shape, deep, deep_blocks, 2);
    same_for_blocks(deep_shape, deep_aggregated, deep_blocks, 2);
    same_for_blocks(shape, preset, blocks, 2);
    same_for_blocks(deep_shape, preset, deep_blocks, 2);
}

CASE(blocks_never_change_a_bit_in_depth_and_time)
{
    static const int64_t depth[] = {1, 1, 19, 33, 41}, depth_blocks[][PEL_AXES] = {
        {1, 1, 1, 33, 41}, {1, 1, 18, 32, 40}, {1, 1, 7, 11, 13}, {1, 1, 4, 16, 40}};
    same_for_blocks(depth, deep, depth_blocks, 4);
    same_for_blocks(depth, deep_aggregated, depth_blocks, 4);
    same_for_blocks(depth, preset, depth_blocks, 4);
    static const int64_t time[] = {7, 1, 1, 33, 41}, time_blocks[][PEL_AXES] = {{1, 1, 1, 33, 41}, {6, 1, 1, 32, 40}, {3, 1, 1, 11, 40}};
    same_for_blocks(time, moving, time_blocks, 3);
    same_for_blocks(time, preset, time_blocks, 3);
    static const int64_t both[] = {4, 1, 9, 17, 21}, both_blocks[][PEL_AXES] = {{1, 1, 9, 17, 21}, {3, 1, 8, 16, 20}, {2, 1, 2, 7, 9}};
    same_for_blocks(both, four, both_blocks, 3);
}

static void same_for_threads(const int64_t shape[PEL_AXES], const char *const *settings, const int32_t *threads)
{
    float *src = scene(shape), *one = filtered(shape, src, settings, NULL, 1);
    for (; *threads && one; threads++) {
        float *many = filtered(shape, src, settings, NULL, *threads);
        if (many)
            CHECK_INT(different(one, many, voxels(shape)), 0);
        free(many);
    }
    free(one);
    free(src);
}

CASE(threads_never_change_a_bit)
{
    same_for_threads((const int64_t[]){1, 1, 5, 70, 300}, deep, (const int32_t[]){2, 3, 4, 0});
}

static void same_for_isas(const int64_t shape[PEL_AXES], const float *src, const char *const *settings)
{
    static const char *const names[] = {"v2", "avx2", "avx512"};
    const char *with[17] = {"isa", "scalar"};
    for (int i = 0; i < 14 && settings[i]; i++)
        with[i + 2] = settings[i];
    float *scalar = filtered(shape, src, with, NULL, 1);
    for (int i = 0; i < 3 && scalar; i++) {
        ndsafir_run r;
        pel_error err;
        with[1] = names[i];
        ndsafir_begin(&r, shape);
        if (!set_all(&r, with, &err)) {
            printf("  skipped on this machine: %s\n", names[i]);
            continue;
        }
        float *other = filtered(shape, src, with, NULL, 1);
        if (other)
            CHECK_INT(different(scalar, other, voxels(shape)), 0);
        free(other);
    }
    free(scalar);
}

CASE(instruction_sets_never_change_a_bit)
{
    static const int64_t plane[] = {1, 1, 1, 75, 141}, depth[] = {1, 1, 6, 21, 37}, both[] = {3, 1, 4, 12, 21};
    static const char *const wide[] = {"patch", "y=5,x=6", "radius-xy", "1,3", NULL};
    static const char *const small[] = {"patch", "y=2,x=4", "radius-xy", "1,3", NULL};
    static const char *const none[] = {"patch", "0", "radius-xy", "1,3", "aggregate", "no", NULL};
    float *a = scene(plane), *b = scene(depth), *c = scene(both);
    same_for_isas(plane, a, flat);
    same_for_isas(plane, a, flat_plain);
    same_for_isas(plane, a, wide);
    same_for_isas(plane, a, small);
    same_for_isas(plane, a, none);
    same_for_isas(depth, b, deep);
    same_for_isas(depth, b, deep_aggregated);
    same_for_isas(both, c, four);
    a[900] = NAN;
    a[5000] = INFINITY;
    a[7000] = 3e38f;  /* absurd, but finite */
    a[7003] = 1e-40f; /* denormal */
    same_for_isas(plane, a, flat);
    same_for_isas(plane, a, flat_plain);
    free(a);
    free(b);
    free(c);
}

CASE(constants_stay)
{
    static const int64_t shape[] = {1, 1, 4, 20, 23};
    float *src = scene(shape);
    for (int64_t i = 0; i < voxels(shape); i++)
        src[i] = 1234.5f;
    float *dst = filtered(shape, src, deep_aggregated, NULL, 1);
    for (int64_t i = 0; dst && i < voxels(shape); i++)
        CHECK(fabsf(dst[i] - 1234.5f) < 0.001f);
    free(dst);
    free(src);
}

/* A window of a larger image that begins at an even row: away from its faces the result is that of the larger image. */
CASE(shifts_commute)
{
    static const int64_t large[] = {1, 1, 1, 120, 130}, part[] = {1, 1, 1, 97, 101};
    static const int64_t DY = 12, DX = 17, REACH = 30;
    float *src = scene(large), *moved = malloc((size_t)voxels(part) * sizeof *moved);
    for (int64_t i = 0; i < voxels(part); i++)
        moved[i] = src[(i / part[4] + DY) * large[4] + i % part[4] + DX];
    static const char *const aggregated[] = {"radius-xy", "1,2,4,8", NULL};
    float *a = filtered(large, src, aggregated, NULL, 1), *b = filtered(part, moved, aggregated, NULL, 1);
    int64_t unequal = 0;
    for (int64_t y = REACH; a && b && y < part[3] - REACH; y++)
        unequal += different(a + (y + DY) * large[4] + REACH + DX, b + y * part[4] + REACH, part[4] - 2 * REACH);
    CHECK_INT(unequal, 0);
    free(a);
    free(b);
    free(moved);
    free(src);
}

CASE(odd_voxels_stay_and_harm_nobody)
{
    static const int64_t shape[] = {1, 1, 1, 60, 60};
    float *src = scene(shape), *clean = filtered(shape, src, flat, NULL, 1);
    src[30 * 60 + 30] = NAN;
    src[31 * 60 + 33] = -INFINITY;
    float *dst = filtered(shape, src, flat, NULL, 1);
    if (clean && dst) {
        CHECK(dst[30 * 60 + 30] != dst[30 * 60 + 30]);
        CHECK(dst[31 * 60 + 33] == -INFINITY);
        for (int64_t i = 0; i < voxels(shape); i++) {
            const bool odd = i == 30 * 60 + 30 || i == 31 * 60 + 33;
            CHECK(odd || fabsf(dst[i] - clean[i]) < 3.0f);
            const bool far = llabs(i / 60 - 30) > 22 || llabs(i % 60 - 31) > 22; /* beyond the reach of both */
            CHECK(!far || dst[i] == clean[i]);
        }
    }
    free(dst);
    free(clean);
    free(src);
}

CASE(reach_is_the_sum_of_windows_and_patches)
{
    static const int64_t plane[] = {1, 2, 1, 100, 100}, depth[] = {3, 1, 9, 50, 50};
    ndsafir_run r;
    pel_error err = {0};
    int64_t before[PEL_AXES], after[PEL_AXES];
    ndsafir_begin(&r, plane);
    CHECK_OK(set_all(&r, flat_plain, &err), err);
    pel__filter_ndsafir.halo(&r.values, &r.image, before, after);
    CHECK_INT(before[PEL_Y], 27 + 4); /* spots */
    CHECK_INT(after[PEL_X], 27 + 4);
    CHECK_INT(before[PEL_Z] + before[PEL_T] + before[PEL_C], 0);
    ndsafir_begin(&r, plane);
    CHECK_OK(set_all(&r, NULL, &err), err);
    pel__filter_ndsafir.halo(&r.values, &r.image, before, after);
    CHECK_INT(before[PEL_Y], 4 + 2 * (1 + 2 + 4 + 7 + 5 * 3)); /* means of 2 x 2, and what the correction reads */
    CHECK_INT(before[PEL_Z] + before[PEL_T] + before[PEL_C], 0);
    ndsafir_begin(&r, depth);
    CHECK_OK(set_all(&r, four, &err), err);
    pel__filter_ndsafir.halo(&r.values, &r.image, before, after);
    CHECK_INT(before[PEL_T], 1);
    CHECK_INT(before[PEL_Z], 4 + 1); /* aggregated */
    CHECK_INT(before[PEL_X], 5 + 1 + 4);
    CHECK_OK(set_all(&r, (const char *const[]){"spots", "0", NULL}, &err), err);
    pel__filter_ndsafir.halo(&r.values, &r.image, before, after);
    CHECK_INT(before[PEL_X], 5 + 1);
}

CASE(auto_becomes_explicit)
{
    static const int64_t plane[] = {1, 2, 1, 100, 100}, depth[] = {1, 1, 9, 50, 50}, time[] = {5, 1, 1, 50, 50}, one[] = {1, 1, 1, 1, 1};
    ndsafir_run r;
    pel_error err = {0};
    ndsafir_begin(&r, plane);
    CHECK_OK(ndsafir_prepare(&r, &err), err);
    CHECK_TEXT(pel__value_text(&r.values, "radius-xy"), "1,2,4,7");
    CHECK_TEXT(pel__value_text(&r.values, "scales"), "2");
    CHECK_TEXT(pel__value_text(&r.values, "coarse-xy"), "1,2,4,7");
    CHECK_TEXT(pel__value_text(&r.values, "patch"), "y=3,x=3");
    CHECK_TEXT(pel__value_text(&r.values, "axes"), "yx");
    CHECK_TEXT(pel__value_text(&r.values, "aggregate"), "last");
    ndsafir_begin(&r, depth);
    CHECK_OK(ndsafir_prepare(&r, &err), err);
    CHECK_TEXT(pel__value_text(&r.values, "radius-xy"), "1,2,5");
    CHECK_TEXT(pel__value_text(&r.values, "radius-z"), "1,1,1");
    CHECK_TEXT(pel__value_text(&r.values, "radius-t"), "0,0,0");
    CHECK_TEXT(pel__value_text(&r.values, "aggregate"), "last");
    ndsafir_begin(&r, time);
    CHECK_OK(ndsafir_prepare(&r, &err), err);
    CHECK_TEXT(pel__value_text(&r.values, "radius-xy"), "1,2,3");
    CHECK_TEXT(pel__value_text(&r.values, "radius-z"), "0,0,0");
    CHECK_TEXT(pel__value_text(&r.values, "radius-t"), "1,1,4");
    ndsafir_begin(&r, one);
    CHECK_OK(ndsafir_prepare(&r, &err), err);
    const float v = 17.25f;
    float out = 0;
    CHECK_OK(ndsafir_all(&r, &out, &v, &err), err);
    CHECK(out == v);
}

CASE(channels_are_apart_and_each_has_its_noise)
{
    static const int64_t two[] = {1, 2, 1, 40, 50}, one[] = {1, 1, 1, 40, 50};
    const int64_t n = voxels(one);
    pel_error err = {0};
    ndsafir_run r;
    float *src = scene(two), *both = malloc((size_t)(2 * n) * sizeof *both), *single = malloc((size_t)n * sizeof *single);
    ndsafir_begin(&r, two);
    r.noise[0] = (pel__noise){2, -175, 1};
    r.noise[1] = (pel__noise){0, 4, 1};
    r.block[PEL_C] = 1;
    CHECK_OK(ndsafir_prepare(&r, &err) && ndsafir_all(&r, both, src, &err), err);
    for (int c = 0; c < 2; c++) {
        ndsafir_run alone;
        ndsafir_begin(&alone, one);
        alone.noise[0] = r.noise[c];
        CHECK_OK(ndsafir_prepare(&alone, &err) && ndsafir_all(&alone, single, src + c * n, &err), err);
        CHECK_INT(different(single, both + c * n, n), 0);
    }
    free(single);
    free(both);
    free(src);
}

/* Any dtype in, any strides in and out. */
CASE(strides_and_types)
{
    static const int64_t shape[] = {1, 1, 1, 24, 30};
    const int64_t n = voxels(shape);
    const pel_region all = pel__region(PEL_AXES, NULL, shape);
    float *src = scene(shape), *spread = calloc((size_t)(2 * n), sizeof *spread);
    uint16_t *whole = calloc((size_t)(3 * n), sizeof *whole);
    for (int64_t i = 0; i < n; i++)
        src[i] = (float)(whole[3 * i] = (uint16_t)lrintf(src[i]));
    float *want = filtered(shape, src, flat, NULL, 1);
    ndsafir_run r;
    pel_error err = {0};
    pel__pool *pool = NULL;
    ndsafir_begin(&r, shape);
    CHECK_OK(set_all(&r, flat, &err) && pel__pool_create(&pool, 1, &err), err);
    pel_block in = pel__block_dense(&all, PEL_U16, whole), out = pel__block_dense(&all, PEL_F32, spread);
    for (int a = 0; a < PEL_AXES; a++) {
        in.stride[a] *= 3;
        out.stride[a] *= 2;
    }
    void *scratch = malloc((size_t)pel__filter_ndsafir.block_bytes(&r.values, &r.image, &all, &all));
    void *thread_scratch = malloc((size_t)pel__filter_ndsafir.thread_bytes(&r.values, &r.image));
    atomic_bool stop = false;
    pel__filter_call call = {.values = &r.values, .image = &r.image, .noise = r.noise, .in = &in, .out = &out, .pool = pool,
                             .scratch = scratch, .thread_scratch = thread_scratch, .stop = &stop};
    CHECK_OK(pel__filter_ndsafir.apply(&call, &err), err);
    for (int64_t i = 0; want && i < n; i++)
        CHECK(spread[2 * i] == want[i] && spread[2 * i + 1] == 0);
    atomic_store(&stop, true);
    CHECK_FAILS(pel__filter_ndsafir.apply(&call, &err), err, PEL_INTERRUPTED);
    pel__pool_destroy(pool);
    free(thread_scratch);
    free(scratch);
    free(want);
    free(whole);
    free(spread);
    free(src);
}

CASE(memory_is_as_small_as_promised)
{
    static const int64_t shape[] = {1, 1, 1, 4096, 4096}, cell[] = {1, 1, 1, 512, 512};
    ndsafir_run r;
    pel_error err = {0};
    int64_t before[PEL_AXES], after[PEL_AXES];
    const pel_region bounds = pel__region(PEL_AXES, NULL, shape), one = pel__grid_cell(&bounds, cell, 9);
    ndsafir_begin(&r, shape);
    CHECK_OK(ndsafir_prepare(&r, &err), err);
    pel__filter_ndsafir.halo(&r.values, &r.image, before, after);
    const pel_region from = pel__region_grow(&one, before, after, &bounds);
    CHECK(pel__filter_ndsafir.block_bytes(&r.values, &r.image, &from, &one) <= 28 * pel__region_voxels(&from));
    CHECK(pel__filter_ndsafir.thread_bytes(&r.values, &r.image) < 8 << 20);
}

CASE(chi_square_limits)
{
    static const struct { int64_t n; double limit; } known[] = {
        {9, 21.67}, {25, 44.31}, {27, 46.96}, {49, 74.92}, {75, 106.39}, {81, 113.51}, {125, 164.69}, {147, 189.80}};
    for (int i = 0; i < 8; i++)
        CHECK(fabs(pel__chi_square_limit(known[i].n, 0.01) - known[i].limit) < 0.006);
    CHECK(fabs(pel__chi_square_limit(1, 0.05) - 3.8415) < 1e-4);
    CHECK(fabs(pel__chi_square_limit(9261, 0.5) - 9260.3333) < 1e-2);
}

static int32_t drawn(int32_t least, int32_t most)
{
    state = state * 1664525U + 1013904223U;
    return least + (int32_t)((state >> 8) % (uint32_t)(most - least + 1));
}

/* Tiles cover what is wanted once. */
static void covered(const pel__tiles *t, const pel_region *out)
{
    int64_t sum = 0, outside = 0;
    for (int64_t i = 0; i < t->count; i++) {
        const pel_region tile = pel__tiles_at(t, t->first + i);
        sum += pel__region_voxels(&tile);
        outside += !pel__region_inside(&tile, out);
        for (int64_t k = 0; k < i && t->count < 100; k++) {
            const pel_region other = pel__tiles_at(t, t->first + k), common = pel__region_intersect(&tile, &other);
            outside += !pel__region_empty(&common);
        }
    }
    CHECK_INT(sum, pel__region_voxels(out));
    CHECK_INT(outside, 0);
}

/* A tile waits for all of the iteration before that it reads, and for all that read what it replaces. */
CASE(tiles_cover_and_wait_for_what_they_need)
{
    state = 3;
    for (int trial = 0; trial < 200; trial++) {
        const int64_t shape[PEL_AXES] = {drawn(1, 4), 1, drawn(1, 20), drawn(1, 700), drawn(1, 900)};
        const pel_region image = pel__region(PEL_AXES, NULL, shape);
        pel__ndsafir s = {.steps = 2, .channels = 1, .aggregate = drawn(0, 1), .patch = {0, drawn(0, 1), 3, 3}};
        for (int n = 0; n < 2; n++) {
            for (int a = 0; a < PEL__ND; a++)
                s.radius[n][a] = shape[pel__ndsafir_axis(a)] > 1 ? drawn(0, a < PEL__NY ? 2 : 9) : 0;
        }
        pel_region out = image; /* of the second; the first's is as far beyond as it reaches */
        for (int a = 0; a < PEL_AXES; a++) {
            out.origin[a] = drawn(0, (int32_t)shape[a] - 1);
            out.shape[a] = drawn(1, (int32_t)(shape[a] - out.origin[a]));
        }
        int64_t reach[PEL_AXES] = {0}, beyond[PEL_AXES] = {0};
        for (int a = 0; a < PEL__ND; a++) {
            reach[pel__ndsafir_axis(a)] = pel__ndsafir_reach(&s, 1, a);
            beyond[pel__ndsafir_axis(a)] = pel__ndsafir_reach(&s, 0, a);
        }
        const pel_region first = pel__region_grow(&out, reach, reach, &image);
        pel__tiles t[2] = {{.first = 0}};
        const int32_t threads = drawn(1, 9);
        pel__tiles_share(&t[0], &s, 0, &image, &first, threads);
        t[1].first = t[0].count;
        pel__tiles_share(&t[1], &s, 1, &image, &out, threads);
        covered(&t[0], &first);
        covered(&t[1], &out);
        int64_t missed = 0;
        for (int64_t i = t[1].first; i < t[1].first + t[1].count; i++) {
            const pel_region tile = pel__tiles_at(&t[1], i), reads = pel__region_grow(&tile, reach, reach, &image);
            const int64_t needed = pel__tiles_needed(&t[0], &s, 1, &tile);
            for (int64_t k = needed + 1; k < t[0].count; k++) {
                const pel_region before = pel__tiles_at(&t[0], k), its = pel__region_grow(&before, beyond, beyond, &image);
                const pel_region made = pel__region_intersect(&before, &reads), replaced = pel__region_intersect(&its, &tile);
                missed += !pel__region_empty(&made) || !pel__region_empty(&replaced);
            }
            missed += needed < 0 || needed >= t[0].count;
        }
        CHECK_INT(missed, 0);
    }
}

/* More threads than tiles, and tiles of several heights. */
CASE(threads_never_change_a_bit_in_a_plane)
{
    same_for_threads((const int64_t[]){1, 1, 1, 420, 90}, NULL, (const int32_t[]){2, 3, 5, 9, 17, 33, 0});
}

int main(void)
{
    RUN(blocks_never_change_a_bit_in_a_plane);
    RUN(blocks_of_one_voxel);
    RUN(blocks_never_change_a_bit_in_depth_and_time);
    RUN(threads_never_change_a_bit);
    RUN(threads_never_change_a_bit_in_a_plane);
    RUN(tiles_cover_and_wait_for_what_they_need);
    RUN(instruction_sets_never_change_a_bit);
    RUN(constants_stay);
    RUN(shifts_commute);
    RUN(odd_voxels_stay_and_harm_nobody);
    RUN(reach_is_the_sum_of_windows_and_patches);
    RUN(auto_becomes_explicit);
    RUN(channels_are_apart_and_each_has_its_noise);
    RUN(strides_and_types);
    RUN(memory_is_as_small_as_promised);
    RUN(chi_square_limits);
    return CHECK_DONE();
}
