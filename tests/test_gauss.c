/* SPDX-License-Identifier: MIT
 * The Gaussian filters keep their promises: the same bits however the image is cut, whoever computes it and with whatever
 * instructions; constants stay, an impulse becomes the kernel, shifts commute. Values against SciPy: test_gauss_scipy.py. */
#include "check.h"
#include "filter/gauss.h"
#include "filter_run.h"

#include <math.h>

static int64_t voxels(const int64_t shape[PEL_AXES])
{
    int64_t n = 1;
    for (int a = 0; a < PEL_AXES; a++)
        n *= shape[a];
    return n;
}

static uint32_t state = 1;

static float random_value(void)
{
    state = state * 1664525U + 1013904223U;
    return (float)(state >> 8) * 0x1p-24f;
}

static float *scene(const int64_t shape[PEL_AXES])
{
    float *p = malloc((size_t)voxels(shape) * sizeof *p);
    state = 7;
    for (int64_t i = 0; p && i < voxels(shape); i++)
        p[i] = 100.0f + 4000.0f * random_value() * random_value();
    return p;
}

static int64_t different(const float *a, const float *b, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += memcmp(a + i, b + i, sizeof *a) != 0;
    return count;
}

typedef struct task {
    const pel__filter_type *type;
    const char *const *settings;
    const int64_t *block; /* NULL: one block */
    int32_t threads;      /* 0: one */
    pel_dtype dtype;      /* of src; 0 is float32 here */
} task;

/* The caller frees. NULL on failure, which is reported. */
static float *filtered(const int64_t shape[PEL_AXES], const void *src, task t)
{
    filter_run r;
    pel_error err = {0};
    float *dst = malloc((size_t)voxels(shape) * sizeof *dst);
    filter_begin(&r, t.type, shape, t.dtype == 0 ? PEL_F32 : t.dtype);
    if (t.block)
        memcpy(r.block, t.block, sizeof r.block);
    r.threads = t.threads ? t.threads : 1;
    if (!filter_set(&r, t.settings, &err) || !filter_all(&r, dst, src, &err)) {
        CHECK_TEXT(err.text, "no error was expected");
        free(dst);
        return NULL;
    }
    return dst;
}

static const pel__filter_type *const gaussian = &pel__filter_gaussian, *const dog = &pel__filter_dog;
static const char *const two[] = {"sigma", "2", NULL};
static const char *const wide[] = {"sigma", "z=9,y=11,x=14", "mode", "nearest", NULL};
static const char *const uneven[] = {"sigma", "z=0.4,y=0,x=6.3", "mode", "mirror", NULL};
static const char *const in_time[] = {"sigma", "t=1,z=0.7,y=2,x=1", "mode", "constant", NULL};
static const char *const spots[] = {"sigma", "1.2,5", NULL};
static const char *const spots_uneven[] = {"fwhm", "z=1,x=4;z=3,y=5,x=30", "scale", "-2", "offset", "7", NULL};

static void same_for_blocks(const pel__filter_type *type, const int64_t shape[PEL_AXES], const char *const *settings,
                            const int64_t (*blocks)[PEL_AXES], int count)
{
    float *src = scene(shape), *whole = filtered(shape, src, (task){.type = type, .settings = settings});
    for (int i = 0; i < count && whole; i++) {
        float *part = filtered(shape, src, (task){.type = type, .settings = settings, .block = blocks[i], .threads = 1 + i % 3});
        if (part)
            CHECK_INT(different(whole, part, voxels(shape)), 0);
        free(part);
    }
    free(whole);
    free(src);
}

CASE(blocks_never_change_a_bit)
{
    static const int64_t depth[] = {1, 1, 23, 41, 149}, blocks[][PEL_AXES] = {
        {1, 1, 1, 41, 149}, {1, 1, 23, 1, 149}, {1, 1, 23, 41, 1}, {1, 1, 22, 40, 148}, {1, 1, 7, 13, 64}, {1, 1, 5, 3, 17}};
    same_for_blocks(gaussian, depth, two, blocks, 6);
    same_for_blocks(gaussian, depth, wide, blocks, 6);
    same_for_blocks(gaussian, depth, uneven, blocks, 6);
    same_for_blocks(dog, depth, spots, blocks, 6);
    same_for_blocks(dog, depth, spots_uneven, blocks, 6);
    static const int64_t time[] = {6, 2, 5, 18, 20}, time_blocks[][PEL_AXES] = {{1, 1, 5, 18, 20}, {5, 2, 4, 17, 19}, {2, 1, 2, 5, 7}};
    same_for_blocks(gaussian, time, in_time, time_blocks, 3);
    same_for_blocks(dog, time, spots, time_blocks, 3);
}

CASE(blocks_of_one_voxel)
{
    static const int64_t shape[] = {1, 1, 5, 6, 7}, one[][PEL_AXES] = {{1, 1, 1, 1, 1}};
    same_for_blocks(gaussian, shape, two, one, 1);
    same_for_blocks(gaussian, shape, uneven, one, 1);
    same_for_blocks(dog, shape, spots, one, 1);
}

/* Lines longer than a strip, slabs thinner than the block, a kernel of many segments. */
CASE(long_lines_in_blocks)
{
    static const int64_t plane[] = {1, 1, 1, 1, 1500}, stack[] = {1, 1, 700, 3, 5}, tall[] = {1, 1, 2, 900, 30};
    static const int64_t blocks[][PEL_AXES] = {{1, 1, 1, 1, 500}, {1, 1, 129, 2, 3}, {1, 1, 1, 77, 300}};
    static const char *const broad[] = {"sigma", "60", NULL}, *const broad_spots[] = {"fwhm", "50,200", "mode", "nearest", NULL};
    same_for_blocks(gaussian, plane, broad, blocks, 3);
    same_for_blocks(gaussian, stack, broad, blocks, 3);
    same_for_blocks(dog, plane, broad_spots, blocks, 3);
    same_for_blocks(dog, stack, broad_spots, blocks, 3);
    same_for_blocks(dog, tall, broad_spots, blocks, 3);
}

#ifdef __SANITIZE_THREAD__
#define SLOW true
#else
#define SLOW false
#endif

/* Input that comes in parts, of an image with tiles: along the first filtered axis each part is whole. */
CASE(parts_never_change_a_bit)
{
    static const int64_t deep[] = {1, 1, 45, 700, 701}, flat[] = {1, 1, 1, 4100, 4500}, one[] = {1, 1, 1, 20, 50};
    static const struct {
        const int64_t *shape;
        const char *settings[5];
        int64_t parts; /* at least */
    } cases[] = {{deep, {"sigma", "1,2", NULL}, 2}, {flat, {"sigma", "x=1;x=2", NULL}, 2}, {one, {"sigma", "1,2", NULL}, 1}};
    for (int i = 0; i < 3; i++) {
        if (SLOW && cases[i].shape == flat) /* minutes */
            continue;
        filter_run r;
        pel_error err = {0};
        const size_t bytes = (size_t)voxels(cases[i].shape) * sizeof(float);
        float *src = scene(cases[i].shape), *dst = malloc(bytes);
        float *whole = filtered(cases[i].shape, src, (task){.type = dog, .settings = cases[i].settings, .threads = 2});
        filter_begin(&r, dog, cases[i].shape, PEL_F32);
        r.threads = 2;
        r.fetch = true;
        r.image.tile[PEL_Z] = 8;
        r.image.tile[PEL_Y] = 100;
        r.image.tile[PEL_X] = 64;
        CHECK_OK(filter_set(&r, cases[i].settings, &err) && filter_all(&r, dst, src, &err), err);
        CHECK(whole && memcmp(whole, dst, bytes) == 0);
        CHECK(r.parts >= cases[i].parts);
        free(src);
        free(dst);
        free(whole);
    }
}

CASE(threads_never_change_a_bit)
{
    static const int64_t shape[] = {1, 1, 31, 70, 300};
    float *src = scene(shape), *one = filtered(shape, src, (task){.type = dog, .settings = spots});
    for (int32_t threads = 2; threads <= 4 && one; threads++) {
        float *many = filtered(shape, src, (task){.type = dog, .settings = spots, .threads = threads});
        if (many)
            CHECK_INT(different(one, many, voxels(shape)), 0);
        free(many);
    }
    free(one);
    free(src);
}

static void same_for_isas(const pel__filter_type *type, const int64_t shape[PEL_AXES], const float *src, const char *const *settings)
{
    static const char *const names[] = {"avx2", "avx512"};
    const char *with[17] = {"isa", "scalar"};
    for (int i = 0; i < 14 && settings[i]; i++)
        with[i + 2] = settings[i];
    float *scalar = filtered(shape, src, (task){.type = type, .settings = with});
    for (int i = 0; i < 2 && scalar; i++) {
        filter_run r;
        pel_error err;
        with[1] = names[i];
        filter_begin(&r, type, shape, PEL_F32);
        if (!filter_set(&r, with, &err)) {
            printf("  skipped on this machine: %s\n", names[i]);
            continue;
        }
        float *other = filtered(shape, src, (task){.type = type, .settings = with, .threads = 2});
        if (other)
            CHECK_INT(different(scalar, other, voxels(shape)), 0);
        free(other);
    }
    free(scalar);
}

CASE(instruction_sets_never_change_a_bit)
{
    static const int64_t depth[] = {1, 1, 9, 75, 141}, line[] = {1, 1, 1, 2, 900};
    static const char *const broad[] = {"sigma", "60", NULL};
    float *a = scene(depth), *b = scene(line);
    same_for_isas(gaussian, depth, a, two);
    same_for_isas(gaussian, depth, a, wide);
    same_for_isas(dog, depth, a, spots_uneven);
    same_for_isas(gaussian, line, b, broad);
    a[900] = 1e-40f; /* denormal */
    a[5000] = INFINITY;
    a[7000] = 3e38f;
    same_for_isas(gaussian, depth, a, two);
    same_for_isas(dog, depth, a, spots);
    free(a);
    free(b);
}

CASE(constants_stay)
{
    static const int64_t shape[] = {1, 1, 9, 40, 61};
    static const char *const modes[] = {"reflect", "mirror", "nearest"};
    float *src = scene(shape);
    for (int64_t i = 0; i < voxels(shape); i++)
        src[i] = 1234.5f;
    for (int m = 0; m < 3; m++) {
        const char *const settings[] = {"sigma", "z=3,y=11.7,x=40", "mode", modes[m], NULL};
        const char *const pair[] = {"sigma", "3,40", "mode", modes[m], NULL};
        float *dst = filtered(shape, src, (task){.type = gaussian, .settings = settings});
        float *zero = filtered(shape, src, (task){.type = dog, .settings = pair});
        for (int64_t i = 0; dst && zero && i < voxels(shape); i++) {
            CHECK(fabsf(dst[i] - 1234.5f) < 0.001f);
            CHECK(fabsf(zero[i]) < 0.001f);
        }
        free(dst);
        free(zero);
    }
    free(src);
}

static double exact_weight(int64_t k, int64_t radius, double sigma)
{
    double sum = 0;
    for (int64_t j = -radius; j <= radius; j++)
        sum += exp(-0.5 * (double)(j * j) / (sigma * sigma));
    return llabs(k) <= radius ? exp(-0.5 * (double)(k * k) / (sigma * sigma)) / sum : 0;
}

CASE(an_impulse_becomes_the_kernel)
{
    static const int64_t shape[] = {1, 1, 31, 33, 61};
    static const char *const settings[] = {"sigma", "z=2,y=3.4,x=6", "truncate", "3", NULL};
    enum { Z = 15, Y = 16, X = 30 };
    float *src = calloc((size_t)voxels(shape), sizeof *src);
    src[(Z * 33 + Y) * 61 + X] = 1000.0f;
    float *dst = filtered(shape, src, (task){.type = gaussian, .settings = settings, .threads = 2});
    for (int64_t i = 0; dst && i < voxels(shape); i++) {
        const int64_t x = i % 61 - X, y = i / 61 % 33 - Y, z = i / 61 / 33 - Z;
        const double want = 1000 * exact_weight(z, 6, 2) * exact_weight(y, 10, 3.4) * exact_weight(x, 18, 6);
        CHECK(fabs(dst[i] - want) <= 4e-7 * want);
    }
    free(dst);
    free(src);
}

CASE(shifts_commute)
{
    static const int64_t large[] = {1, 1, 1, 120, 330}, part[] = {1, 1, 1, 97, 201};
    enum { DY = 11, DX = 18, REACH = 20 };
    float *src = scene(large), *moved = malloc((size_t)voxels(part) * sizeof *moved);
    for (int64_t i = 0; i < voxels(part); i++)
        moved[i] = src[(i / part[4] + DY) * large[4] + i % part[4] + DX];
    float *a = filtered(large, src, (task){.type = dog, .settings = spots}), *b = filtered(part, moved, (task){.type = dog, .settings = spots});
    for (int64_t y = REACH; a && b && y < part[3] - REACH; y++) {
        for (int64_t x = REACH; x < part[4] - REACH; x++) /* sums close elsewhere: the last bits may differ */
            CHECK(fabsf(a[(y + DY) * large[4] + x + DX] - b[y * part[4] + x]) < 0.002f);
    }
    free(a);
    free(b);
    free(moved);
    free(src);
}

CASE(axes_of_length_one_and_sigma_zero_stay)
{
    static const int64_t dot[] = {1, 1, 1, 1, 1}, plane[] = {3, 2, 1, 20, 30};
    static const char *const constant[] = {"sigma", "t=0,z=5,y=0,x=3", "mode", "constant", NULL}, *const x_only[] = {"sigma", "x=3", "mode", "constant", NULL};
    static const char *const none[] = {"sigma", "0", NULL};
    const float value = 42;
    float *one = filtered(dot, &value, (task){.type = gaussian, .settings = constant});
    CHECK(one && *one == 42);
    float *src = scene(plane), *a = filtered(plane, src, (task){.type = gaussian, .settings = constant});
    float *b = filtered(plane, src, (task){.type = gaussian, .settings = x_only}), *same = filtered(plane, src, (task){.type = gaussian, .settings = none});
    if (a && b && same) {
        CHECK_INT(different(a, b, voxels(plane)), 0);
        CHECK_INT(different(src, same, voxels(plane)), 0);
    }
    free(one);
    free(src);
    free(a);
    free(b);
    free(same);
}

/* What an infinite or missing voxel spoils is exactly what the kernel reaches. */
CASE(odd_voxels_spread_as_far_as_the_kernel)
{
    static const int64_t shape[] = {1, 1, 1, 60, 200};
    static const char *const settings[] = {"sigma", "2", NULL};
    float *src = scene(shape);
    src[30 * 200 + 100] = NAN;
    float *dst = filtered(shape, src, (task){.type = gaussian, .settings = settings});
    for (int64_t i = 0; dst && i < voxels(shape); i++)
        CHECK((dst[i] != dst[i]) == (llabs(i / 200 - 30) <= 8 && llabs(i % 200 - 100) <= 8));
    free(dst);
    free(src);
    static const int64_t blocks[][PEL_AXES] = {{1, 1, 1, 7, 33}, {1, 1, 1, 60, 1}};
    src = scene(shape);
    src[30 * 200 + 100] = NAN;
    float *whole = filtered(shape, src, (task){.type = dog, .settings = spots});
    for (int i = 0; i < 2 && whole; i++) {
        float *part = filtered(shape, src, (task){.type = dog, .settings = spots, .block = blocks[i]});
        for (int64_t v = 0; part && v < voxels(shape); v++)
            CHECK(whole[v] == part[v] || (whole[v] != whole[v] && part[v] != part[v]));
        free(part);
    }
    free(whole);
    free(src);
}

CASE(integers_are_read_as_their_values)
{
    static const int64_t shape[] = {1, 1, 7, 19, 85};
    float *src = scene(shape);
    uint16_t *whole = malloc((size_t)voxels(shape) * sizeof *whole);
    for (int64_t i = 0; i < voxels(shape); i++) {
        whole[i] = (uint16_t)src[i];
        src[i] = whole[i];
    }
    float *a = filtered(shape, src, (task){.type = dog, .settings = spots});
    float *b = filtered(shape, whole, (task){.type = dog, .settings = spots, .dtype = PEL_U16});
    if (a && b)
        CHECK_INT(different(a, b, voxels(shape)), 0);
    free(a);
    free(b);
    free(whole);
    free(src);
}

CASE(reach_is_the_radius)
{
    static const int64_t shape[] = {9, 2, 40, 500, 500};
    filter_run r;
    pel_error err = {0};
    int64_t before[PEL_AXES], after[PEL_AXES];
    static const char *const settings[] = {"fwhm", "50,200", NULL}, *const some[] = {"sigma", "t=1,y=2.1", "truncate", "3", NULL};
    filter_begin(&r, dog, shape, PEL_U16);
    CHECK_OK(filter_set(&r, settings, &err), err);
    dog->halo(&r.values, &r.image, before, after);
    CHECK(before[PEL_T] == 0 && before[PEL_C] == 0 && before[PEL_Z] == 340 && before[PEL_Y] == 340 && after[PEL_X] == 340);
    filter_begin(&r, gaussian, shape, PEL_U16);
    CHECK_OK(filter_set(&r, some, &err), err);
    gaussian->halo(&r.values, &r.image, before, after);
    CHECK(before[PEL_T] == 3 && before[PEL_Z] == 0 && after[PEL_Y] == 6 && after[PEL_X] == 0);
}

CASE(micrometres_and_widths)
{
    static const int64_t shape[] = {1, 1, 40, 50, 60};
    filter_run r;
    pel_error err = {0};
    pel__gauss g;
    static const char *const um[] = {"sigma-um", "0.6", NULL}, *const width[] = {"fwhm", "z=2.3548200450309493,x=4.7096400900618986", NULL};
    filter_begin(&r, gaussian, shape, PEL_U16);
    CHECK_FAILS(filter_set(&r, um, &err), err, PEL_ARGUMENT);
    CHECK(strstr(err.text, "not known") != NULL);
    r.image.pixel_size[PEL_Z] = 0.3;
    r.image.pixel_size[PEL_Y] = r.image.pixel_size[PEL_X] = 0.1;
    CHECK_OK(filter_set(&r, um, &err), err);
    pel__gauss_settings(&g, &r.values, &r.image);
    CHECK(fabs(g.sigma[0][PEL_Z] - 2) < 1e-12 && fabs(g.sigma[0][PEL_Y] - 6) < 1e-12 && fabs(g.sigma[0][PEL_X] - 6) < 1e-12);
    filter_begin(&r, gaussian, shape, PEL_U16);
    CHECK_OK(filter_set(&r, width, &err), err);
    pel__gauss_settings(&g, &r.values, &r.image);
    CHECK(fabs(g.sigma[0][PEL_Z] - 1) < 1e-12 && g.sigma[0][PEL_Y] == 0 && fabs(g.sigma[0][PEL_X] - 2) < 1e-12);
}

CASE(what_cannot_be_meant_is_refused)
{
    static const int64_t shape[] = {2, 3, 4, 50, 60};
    static const struct {
        bool pair;
        const char *settings[6];
        const char *text;
    } bad[] = {
        {false, {NULL}, "expected one of sigma"},
        {false, {"sigma", "1", "fwhm", "2", NULL}, "expected one of sigma"},
        {false, {"sigma", "1,2,3,4,5,6", NULL}, "expected a number"},
        {false, {"sigma", "z=1;y=2", NULL}, "expected a number"},
        {false, {"sigma", "-1", NULL}, "expected a number"},
        {false, {"sigma", "nan", NULL}, "expected a number"},
        {false, {"sigma", "c=2", NULL}, "channels"},
        {false, {"sigma-um", "t=2", NULL}, "micrometres"},
        {false, {"sigma", "900", "truncate", "16", NULL}, "reaches"},
        {true, {"sigma", "2", NULL}, "expected two numbers"},
        {true, {"sigma", "2,8,9", NULL}, "expected two numbers"},
        {true, {"sigma", "z=2,y=8", NULL}, "expected two numbers"},
        {true, {"sigma", "8,2", NULL}, "narrow"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        filter_run r;
        pel_error err = {0};
        filter_begin(&r, bad[i].pair ? dog : gaussian, shape, PEL_U16);
        CHECK_FAILS(filter_set(&r, bad[i].settings, &err), err, PEL_ARGUMENT);
        if (!strstr(err.text, bad[i].text))
            CHECK_TEXT(err.text, bad[i].text);
    }
}

int main(void)
{
    RUN(blocks_never_change_a_bit);
    RUN(blocks_of_one_voxel);
    RUN(long_lines_in_blocks);
    RUN(parts_never_change_a_bit);
    RUN(threads_never_change_a_bit);
    RUN(instruction_sets_never_change_a_bit);
    RUN(constants_stay);
    RUN(an_impulse_becomes_the_kernel);
    RUN(shifts_commute);
    RUN(axes_of_length_one_and_sigma_zero_stay);
    RUN(odd_voxels_spread_as_far_as_the_kernel);
    RUN(integers_are_read_as_their_values);
    RUN(reach_is_the_radius);
    RUN(micrometres_and_widths);
    RUN(what_cannot_be_meant_is_refused);
    return CHECK_DONE();
}
