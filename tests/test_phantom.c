/* SPDX-License-Identifier: MIT
 * Defends the phantom: the same bits from every region, noise that follows its model, options that survive as text. */
#include "check.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "source/phantom.h"
#include "source/phantom_noise.h"
#include "source/phantom_random.h"
#include "source/source.h"

#include <math.h>
#include <stdlib.h>

static pel_source *open_named(const char *name)
{
    pel_source *s = NULL;
    pel_error e = {0};
    const pel_open_options o = {0};
    CHECK_OK(pel__source_phantom.open(&s, name, &o, &e), e);
    return s;
}

/* Bit for bit, whatever the type. */
static bool same(const void *a, const void *b, size_t n) { return memcmp(a, b, n) == 0; }

/* Dense pixels of a region; free() them. */
static void *pixels(pel_source *s, int32_t image, const int64_t *origin, const int64_t *shape)
{
    pel_error e = {0};
    const pel_region r = pel__region(PEL_AXES, origin, shape);
    void *data = calloc((size_t)pel__region_voxels(&r), pel_dtype_size(s->images[image].dtype));
    const pel_block b = pel__block_dense(&r, s->images[image].dtype, data);
    CHECK_OK(s->type->read(s, image, &b, &e), e);
    return data;
}

/* Random regions of every size, read alone and into a strided window, against the same place of the whole image. */
static void same_bits(const char *name, int32_t image)
{
    pel_source *s = open_named(name);
    const pel_image *im = &s->images[image];
    const int64_t zero[PEL_AXES] = {0};
    const pel_region all = pel__region(PEL_AXES, zero, im->shape);
    void *whole = pixels(s, image, zero, im->shape);
    const pel_block w = pel__block_dense(&all, im->dtype, whole);
    const size_t size = pel_dtype_size(im->dtype);
    for (uint64_t i = 0; i < 60; i++) {
        pel_region r = pel__region(PEL_AXES, zero, zero);
        for (uint64_t a = 0; a < PEL_AXES; a++) {
            const int64_t n = im->shape[a], limit = i % 3 == 0 ? 1 : i % 3 == 1 ? 40 : n;
            r.shape[a] = 1 + (int64_t)(pel__draw(i, 2 * a) % (uint64_t)pel__min(n, limit));
            r.origin[a] = (int64_t)(pel__draw(i, 2 * a + 1) % (uint64_t)(n - r.shape[a] + 1));
        }
        void *part = pixels(s, image, r.origin, r.shape);
        void *want = calloc((size_t)pel__region_voxels(&r), size);
        const pel_block target = pel__block_dense(&r, im->dtype, want);
        pel__block_copy(&target, &w);
        CHECK(memcmp(part, want, (size_t)pel__region_voxels(&r) * size) == 0);
        free(want);
        free(part);
    }
    free(whole);
    s->type->destroy(s);
}

CASE(any_region_gives_the_same_bits)
{
    same_bits("phantom:t=2,c=4,z=9,y=150,x=700;seed=5", 0);
    same_bits("phantom-truth:t=1,c=5,z=70,y=90,x=130;seed=5;scenes=2", 1);
    same_bits("phantom:y=600,x=700;dtype=float32;noise=0,25", 0);
    same_bits("phantom:y=300,x=1;dtype=uint8;noise=0.2,1;background=4", 0);
}

/* Far out in a large image, across the borders of cells of every population. */
CASE(bits_hold_far_from_the_origin)
{
    pel_source *s = open_named("phantom-truth:z=1000,y=20000,x=20000;seed=9");
    const int64_t at[PEL_AXES] = {0, 0, 700, 19000, 18000}, shape[PEL_AXES] = {1, 1, 24, 200, 200};
    float *big = pixels(s, 0, at, shape);
    for (int64_t y = 0; y < 200; y += 40)
        for (int64_t x = 0; x < 200; x += 25) {
            const int64_t sub[PEL_AXES] = {0, 0, at[2] + y / 10, at[3] + y, at[4] + x}, n[PEL_AXES] = {1, 1, 1, 40, 25};
            float *part = pixels(s, 0, sub, n);
            for (int64_t row = 0; row < 40; row++)
                CHECK(same(part + row * 25, big + (y / 10 * 200 + y + row) * 200 + x, 25 * sizeof(float)));
            free(part);
        }
    free(big);
    s->type->destroy(s);
}

CASE(strided_target)
{
    pel_source *s = open_named("phantom:c=2,z=3,y=40,x=50");
    const int64_t zero[PEL_AXES] = {0}, *shape = s->images[0].shape;
    const int64_t n = INT64_C(2) * 3 * 40 * 50;
    uint16_t *dense = pixels(s, 0, zero, shape), *wide = calloc((size_t)(2 * n), sizeof *wide);
    pel_error e = {0};
    pel_block b = {.region = pel__region(PEL_AXES, zero, shape), .dtype = PEL_U16, .data = wide, .stride = {0, 2, 4, 600, 12}};
    CHECK_OK(s->type->read(s, 0, &b, &e), e);
    for (int64_t i = 0; i < n; i++) {
        const int64_t x = i % 50, y = i / 50 % 40, z = i / 2000 % 3, c = i / 6000;
        CHECK_INT(wide[c * 2 + z * 4 + y * 600 + x * 12], dense[i]);
    }
    free(wide);
    free(dense);
    s->type->destroy(s);
}

CASE(seeds_channels_times_and_scenes_differ)
{
    pel_source *a = open_named("phantom-truth:t=3,c=6,z=1,y=200,x=200;seed=1;scenes=2"), *b = open_named("phantom-truth:t=3,c=6,z=1,y=200,x=200;seed=2");
    const int64_t one[PEL_AXES] = {1, 1, 1, 200, 200}, at[4][PEL_AXES] = {{0}, {1}, {0, 1}, {0, 4}};
    float *base = pixels(a, 0, at[0], one);
    for (int i = 0; i < 5; i++) {
        float *other = i < 3 ? pixels(a, 0, at[i + 1], one) : pixels(i == 3 ? a : b, i == 3, at[0], one);
        CHECK(!same(base, other, 40000 * sizeof *base));
        free(other);
    }
    free(base);
    a->type->destroy(a);
    b->type->destroy(b);
}

CASE(normal_quantile)
{
    static const double known[][2] = {{0.5, 0.0}, {0.975, 1.9599639845400545}, {0.025, -1.9599639845400545}, {0.9, 1.2815515655446004},
                                      {1e-10, -6.361340902404056}, {1e-3, -3.090232306167813}, {0.999999, 4.753424308822899}, {1e-15, -7.941345326170998}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        CHECK(fabs(pel__normal_quantile(known[i][0]) - known[i][1]) < 1e-9);
}

/* Pearson's statistic of n draws against the exact probabilities; its expectation is the number of classes - 1. */
static double poisson_misfit(const pel__camera *c, double mean, int *classes)
{
    enum { N = 200000, MOST = 2000 };
    int *count = calloc(MOST + 1, sizeof *count);
    for (uint64_t i = 0; i < N; i++)
        count[(int)pel__poisson(c, mean, pel__draw(77, i))]++;
    double x2 = 0.0, expected = 0.0, seen = 0.0, left = N;
    *classes = 0;
    int sign = 0;
    for (int k = 0; k < MOST; k++) {
        expected += N * exp(k * log(mean) - mean - lgamma_r(k + 1.0, &sign));
        seen += count[k];
        if (expected >= 25.0 && left - expected >= 25.0) {
            x2 += (seen - expected) * (seen - expected) / expected;
            left -= expected;
            expected = seen = 0.0;
            ++*classes;
        }
    }
    x2 += (seen - left) * (seen - left) / left;
    free(count);
    return x2;
}

CASE(poisson_is_exact)
{
    static const double means[] = {0.02, 0.7, 1.0, 3.3, 9.99, 31.5, 63.2, 63.999, 64.0, 70.0, 150.4, 900.0};
    pel__camera *c = NULL;
    pel_error e = {0};
    CHECK_OK(pel__camera_create(&c, 1.0, 0.0, 0.0, &e), e);
    for (size_t i = 0; i < sizeof means / sizeof means[0]; i++) {
        int classes = 0;
        const double x2 = poisson_misfit(c, means[i], &classes);
        /* 5 standard deviations of the chi-square distribution: the seed is fixed, so this never flickers. */
        if (!(fabs(x2 - classes) < 5.0 * sqrt(2.0 * classes) + 1.0))
            printf("  mean %g: misfit %g with %d classes\n", means[i], x2, classes);
        CHECK(fabs(x2 - classes) < 5.0 * sqrt(2.0 * classes) + 1.0);
    }
    CHECK_INT(pel__poisson(c, 0.0, 5), 0);
    pel__camera_destroy(c);
}

/* Noisy minus true over the predicted deviation has mean 0 and variance 1, where bright and where dim. */
static void check_model(const char *settings, double gain, double offset, double rounding)
{
    char noisy[256], truth[256];
    (void)snprintf(noisy, sizeof noisy, "phantom:c=2,z=4,y=400,x=400;dtype=%s", settings);
    (void)snprintf(truth, sizeof truth, "phantom-truth:c=2,z=4,y=400,x=400;dtype=%s", settings);
    pel_source *a = open_named(noisy), *b = open_named(truth);
    const int64_t zero[PEL_AXES] = {0}, n = INT64_C(2) * 4 * 400 * 400, *shape = a->images[0].shape;
    float *y = pixels(a, 0, zero, shape), *f = calloc((size_t)n, sizeof *f), *e = pixels(b, 0, zero, shape);
    pel__to_float(f, y, a->images[0].dtype, n);
    double sum[2] = {0}, square[2] = {0}, count[2] = {0};
    for (int64_t i = 0; i < n; i++) {
        const double variance = gain * (double)e[i] + offset + rounding, d = ((double)f[i] - (double)e[i]) / sqrt(variance);
        const int bright = e[i] > 160.0f;
        sum[bright] += d;
        square[bright] += d * d;
        count[bright] += 1.0;
    }
    for (int i = 0; i < 2; i++) {
        CHECK(count[i] > 5000.0);
        CHECK(fabs(sum[i] / count[i]) < 5.0 / sqrt(count[i]));
        CHECK(fabs(square[i] / count[i] - 1.0) < 5.0 * sqrt(2.5 / count[i]));
    }
    free(y);
    free(f);
    free(e);
    a->type->destroy(a);
    b->type->destroy(b);
}

CASE(noise_follows_the_model)
{
    check_model("float32;noise=3.92,-388", 3.92, -388.0, 0.0);
    check_model("uint16;noise=3.92,-388", 3.92, -388.0, 1.0 / 12);
    check_model("uint16;noise=2,-175.5;background=100", 2.0, -175.5, 1.0 / 12);
    check_model("float32;noise=0,100", 0.0, 100.0, 0.0);
}

CASE(options_survive_as_text)
{
    pel_phantom_options o = PEL_PHANTOM_DEFAULTS, p;
    o.size[PEL_T] = 3;
    o.size[PEL_X] = 77;
    o.seed = UINT64_MAX;
    o.gain = 0.1;
    o.offset = 1.0 / 3;
    o.origin[PEL_Y] = -5;
    o.pixel_size[PEL_Z] = 0.29;
    o.scenes = 4;
    o.truth = true;
    char name[512], again[512];
    pel_error e = {0};
    CHECK_OK(pel_phantom_name(name, sizeof name, &o, &e), e);
    CHECK_OK(pel__phantom_parse(&p, name, &e), e);
    CHECK_OK(pel_phantom_name(again, sizeof again, &p, &e), e);
    CHECK(strcmp(name, again) == 0);
    CHECK(p.seed == UINT64_MAX && p.offset == 1.0 / 3 && p.truth && p.scenes == 4);
    CHECK_INT(p.origin[PEL_Y], -5);
    CHECK_FAILS(pel_phantom_name(name, 20, &o, &e), e, PEL_ARGUMENT);
}

CASE(wrong_options_are_refused)
{
    static const struct { const char *name, *text; } bad[] = {
        {"phantom:", "size"}, {"phantom:seed=1", "size"}, {"phantom:y=5", "y and x"}, {"phantom:y=5,x=0", "must be 1"},
        {"phantom:y=5,x=5,x=6", "size"}, {"phantom:y=5,x=99999999999999999999", "must be 1"}, {"phantom:y=5,x=5;noise=1", "noise"},
        {"phantom:y=5,x=5;noise=2,-500", "must not be negative"}, {"phantom:y=5,x=5;colour=red", "one of"}, {"phantom:y=5,x=5;seed", "name=value"},
        {"phantom:y=5,x=5;dtype=int32", "data type"}, {"phantom:y=5,x=5;brightness=nan", "value"},
        {"phantom:t=1000000000,c=4000,z=1000000000,y=5,x=5", "64-bit"}, {"phantom:y=5q,x=5", "whole numbers"},
    };
    const pel_open_options o = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pel_source *s = NULL;
        pel_error e = {0};
        CHECK_FAILS(pel__source_phantom.open(&s, bad[i].name, &o, &e), e, PEL_ARGUMENT);
        CHECK_TEXT(e.text, bad[i].text);
        CHECK(s == NULL);
    }
}

int main(void)
{
    RUN(any_region_gives_the_same_bits);
    RUN(bits_hold_far_from_the_origin);
    RUN(strided_target);
    RUN(seeds_channels_times_and_scenes_differ);
    RUN(normal_quantile);
    RUN(poisson_is_exact);
    RUN(noise_follows_the_model);
    RUN(options_survive_as_text);
    RUN(wrong_options_are_refused);
    return CHECK_DONE();
}
