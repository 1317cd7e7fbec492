/* SPDX-License-Identifier: MIT
 * Checksum and comparison against a plain loop over the voxels, on a made source, for many tilings and thread counts. */
#include "check.h"

#include "core/bytes.h"
#include "run/scan.h"
#include "source/source.h"

#include <math.h>
#include <stdlib.h>

/* A value that depends on the place and on nothing else. */
static uint16_t value_at(const int64_t at[PEL_AXES], uint64_t seed)
{
    uint64_t h = seed;
    for (int a = 0; a < PEL_AXES; a++)
        h = (h ^ (uint64_t)at[a]) * UINT64_C(0x9E3779B97F4A7C15) + (h >> 29);
    return (uint16_t)(h >> 40);
}

typedef struct made {
    pel_source base;
    uint64_t seed;
    int64_t odd[PEL_AXES]; /* one voxel that differs by odd_by; -1: none */
    double odd_by;
    bool broken;
} made;

static void put(uint8_t *to, pel_dtype dtype, double v)
{
    const uint16_t u = (uint16_t)v;
    const float f = (float)v;
    if (dtype == PEL_U16)
        memcpy(to, &u, sizeof u);
    else
        memcpy(to, &f, sizeof f);
}

static bool made_read(pel_source *s, int32_t image, const pel_block *dst, pel_error *err)
{
    const made *const m = (const made *)s;
    const pel_region *const r = &dst->region;
    const size_t size = pel_dtype_size(dst->dtype);
    if (m->broken && r->origin[PEL_Y] > 0)
        return pel__fail(err, PEL_DAMAGED, "made: row %" PRId64 " cannot be read", r->origin[PEL_Y]);
    int64_t n = 1;
    for (int a = 0; a < PEL_AXES; a++)
        n *= r->shape[a];
    for (int64_t i = 0; i < n; i++) {
        int64_t at[PEL_AXES], rest = i, offset = 0;
        for (int a = PEL_AXES - 1; a >= 0; a--) {
            offset += rest % r->shape[a] * dst->stride[a];
            at[a] = r->origin[a] + rest % r->shape[a];
            rest /= r->shape[a];
        }
        const bool odd = memcmp(at, m->odd, sizeof at) == 0;
        put((uint8_t *)dst->data + (size_t)offset * size, dst->dtype, value_at(at, m->seed) + (odd ? m->odd_by : 0));
    }
    return true;
}

static const pel__source_type made_type = {.name = "made", .read = made_read};

typedef struct shape {
    int64_t size[PEL_AXES], tile[PEL_AXES];
} shape;

static const pel_channel channels[16];

static void make(made *m, pel_image *im, const shape *s, uint64_t seed)
{
    *im = (pel_image){.dtype = PEL_U16, .samples = 1, .channels = channels};
    memcpy(im->shape, s->size, sizeof im->shape);
    memcpy(im->tile, s->tile, sizeof im->tile);
    static char path[] = "made";
    *m = (made){.base = {.type = &made_type, .path = path, .image_count = 1, .images = im}, .seed = seed, .odd = {-1}};
}

static const shape shapes[] = {
    {{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}},        {{2, 3, 5, 17, 23}, {1, 1, 1, 8, 8}},
    {{3, 2, 7, 31, 9}, {2, 2, 4, 5, 9}},       {{1, 6, 4, 13, 41}, {1, 2, 3, 64, 64}},
    {{2, 3, 1, 100, 3}, {1, 1, 1, 7, 1000}},   {{1, 12, 2, 5, 7}, {1, 12, 1, 1, 1}},
    {{5, 5, 7, 9, 11}, {2, 1, 3, 4, 4}},       {{3, 5, 9, 6, 5}, {1, 2, 2, 6, 5}},     {{2, 3, 40, 4, 4}, {1, 1, 3, 4, 4}},
};

#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

/* The definition, voxel by voxel. */
static uint32_t plain_crc(const made *m, const pel_image *im)
{
    uint32_t crc = 0;
    int64_t at[PEL_AXES];
    for (int64_t t = 0; t < im->shape[0]; t++)
        for (int64_t g = 0; g < im->shape[1]; g += im->samples)
            for (int64_t z = 0; z < im->shape[2]; z++)
                for (int64_t y = 0; y < im->shape[3]; y++)
                    for (int64_t x = 0; x < im->shape[4]; x++)
                        for (int32_t s = 0; s < im->samples; s++) {
                            const int32_t order = im->file_is_bgr && s < 3 ? 2 - s : s;
                            memcpy(at, (int64_t[]){t, g + order, z, y, x}, sizeof at);
                            const uint16_t v = value_at(at, m->seed);
                            crc = pel__crc32(crc, &v, sizeof v);
                        }
    return crc;
}

CASE(checksum_is_the_plain_one_for_every_tiling_and_thread_count)
{
    for (int i = 0; i < SHAPES; i++)
        for (int32_t threads = 1; threads <= 5; threads += 2) {
            made m;
            pel_image im;
            pel_error e = {0};
            uint32_t crc = 0;
            make(&m, &im, &shapes[i], 7);
            CHECK_OK(pel_checksum(&crc, &m.base, 0, &(pel_scan){.threads = threads}, &e), e);
            CHECK_INT(crc, plain_crc(&m, &im));
        }
}

CASE(checksum_interleaves_colour_in_the_order_of_the_file)
{
    for (int32_t samples = 3; samples <= 4; samples++)
        for (int bgr = 0; bgr <= 1; bgr++) {
            made m;
            pel_image im;
            pel_error e = {0};
            uint32_t crc = 0;
            make(&m, &im, &(shape){{2, 12, 3, 11, 5000}, {1, 1, 2, 4, 64}}, 9);
            im.samples = samples;
            im.file_is_bgr = bgr;
            CHECK_OK(pel_checksum(&crc, &m.base, 0, NULL, &e), e);
            CHECK_INT(crc, plain_crc(&m, &im));
        }
}

static void keep_plane(void *arg, int64_t t, int64_t c, int64_t z, uint32_t crc)
{
    int64_t *const seen = arg;
    CHECK_INT((t * 3 + c) * 5 + z, seen[0]);
    seen[0]++;
    seen[1] ^= crc;
}

CASE(checksum_reports_planes_in_order)
{
    made m;
    pel_image im;
    pel_error e = {0};
    uint32_t crc = 0;
    int64_t seen[2] = {0, 0};
    make(&m, &im, &shapes[1], 3);
    CHECK_OK(pel_checksum(&crc, &m.base, 0, &(pel_scan){.threads = 2, .on_plane = keep_plane, .arg = seen}, &e), e);
    CHECK_INT(seen[0], 2 * 3 * 5);
    CHECK(seen[1] != 0);
}

CASE(window_stays_within_its_bytes)
{
    static const shape hard[] = {
        {{10, 3, 2000, 100000, 100000}, {1, 1, 64, 512, 512}}, {{1, 1, 1, 8, INT64_C(1) << 40}, {1, 1, 1, 8, INT64_C(1) << 40}},
        {{1000, 4, 1000, 1000, 1000}, {1000, 4, 1000, 1000, 1000}}, {{1, 3, 1, 1, 1}, {1, 1, 1, 1, 1}},
    };
    for (int i = 0; i < 4; i++)
        for (int rows = 0; rows <= 1; rows++) {
            pel_image im = {.dtype = PEL_F64, .samples = 1};
            int64_t w[PEL_AXES], n = 0;
            const int64_t bytes = i % 2 ? PEL__SCAN_BYTES : 65536;
            memcpy(im.shape, hard[i].size, sizeof im.shape);
            pel__scan_window(&im, &(pel__scan_cut){hard[i].tile, 1, rows, bytes}, w);
            CHECK(pel__product(w, PEL_AXES, &n) && n * 8 <= bytes);
            for (int a = 0; a < PEL_AXES; a++)
                CHECK(w[a] >= 1 && w[a] <= im.shape[a]);
            if (rows && w[PEL_X] < im.shape[PEL_X])
                CHECK(w[PEL_T] == 1 && w[PEL_C] == 1 && w[PEL_Z] == 1 && w[PEL_Y] == 1);
        }
}

CASE(rows_wider_than_a_window_are_put_together)
{
    made m;
    pel_image im;
    pel_error e = {0};
    uint32_t crc = 0;
    make(&m, &im, &(shape){{1, 1, 1, 2, PEL__SCAN_BYTES / 2 + 12345}, {1, 1, 1, 2, 4096}}, 5);
    CHECK_OK(pel_checksum(&crc, &m.base, 0, &(pel_scan){.threads = 2}, &e), e);
    CHECK_INT(crc, plain_crc(&m, &im));
}

static bool compare(pel_difference *d, made *a, made *b, int32_t threads, pel_error *e)
{
    return pel_compare(d, (pel_source *const[]){&a->base, &b->base}, (const int32_t[]){0, 0}, &(pel_scan){.threads = threads}, e);
}

CASE(compare_finds_one_voxel)
{
    for (int i = 1; i < SHAPES; i++)
        for (int32_t threads = 1; threads <= 4; threads += 3) {
            made a, b;
            pel_image ia, ib;
            pel_error e = {0};
            pel_difference d;
            make(&a, &ia, &shapes[i], 7);
            make(&b, &ib, &shapes[i], 7);
            ib.tile[PEL_Y] = 3;
            ib.dtype = PEL_F32;
            CHECK_OK(compare(&d, &a, &b, threads, &e), e);
            CHECK(d.unequal == 0 && d.max_abs == 0 && d.rms == 0 && isinf(d.psnr));
            const int64_t odd[PEL_AXES] = {ia.shape[0] - 1, ia.shape[1] / 2, 0, ia.shape[3] / 2, ia.shape[4] - 1};
            memcpy(b.odd, odd, sizeof odd);
            b.odd_by = 2.5;
            CHECK_OK(compare(&d, &a, &b, threads, &e), e);
            CHECK_INT(d.unequal, 1);
            CHECK(memcmp(d.first, odd, sizeof odd) == 0);
            CHECK(d.max_abs == 2.5 && d.peak == 65535);
            CHECK(fabs(d.rms - 2.5 / sqrt((double)d.voxels)) < 1e-12);
            CHECK(fabs(d.psnr - 20 * log10(65535 / d.rms)) < 1e-9);
        }
}

CASE(compare_does_not_depend_on_threads)
{
    made a, b;
    pel_image ia, ib;
    pel_error e = {0};
    pel_difference d[2];
    make(&a, &ia, &(shape){{1, 2, 9, 300, 400}, {1, 1, 1, 64, 64}}, 7);
    make(&b, &ib, &(shape){{1, 2, 9, 300, 400}, {1, 1, 2, 100, 300}}, 8);
    for (int k = 0; k < 2; k++)
        CHECK_OK(compare(&d[k], &a, &b, 1 + 4 * k, &e), e);
    CHECK(d[0].rms == d[1].rms && d[0].unequal == d[1].unequal && d[0].max_abs == d[1].max_abs);
    CHECK(memcmp(d[0].first, d[1].first, sizeof d[0].first) == 0);
    CHECK(d[0].unequal > 2150000);
}

CASE(nan_equals_nan_and_differs_from_numbers)
{
    made a, b;
    pel_image ia, ib;
    pel_error e = {0};
    pel_difference d;
    make(&a, &ia, &shapes[1], 7);
    make(&b, &ib, &shapes[1], 7);
    ia.dtype = ib.dtype = PEL_F32;
    memcpy(a.odd, (int64_t[PEL_AXES]){1, 1, 1, 1, 1}, sizeof a.odd);
    a.odd_by = NAN;
    CHECK_OK(compare(&d, &a, &b, 2, &e), e);
    CHECK(d.unequal == 1 && isnan(d.max_abs));
    memcpy(b.odd, a.odd, sizeof a.odd);
    b.odd_by = NAN;
    CHECK_OK(compare(&d, &a, &b, 2, &e), e);
    CHECK(d.unequal == 0 && d.max_abs == 0);
}

static bool say_no(void *arg, const pel_progress *p)
{
    CHECK(p->total > 0 && p->done <= p->total);
    return ++*(int *)arg < 2;
}

/* As many planes, windows or bands as a file can claim: nothing is held for each of them. */
CASE(enormous_claims_take_no_memory)
{
    static const shape claims[] = {
        {{INT64_C(1) << 40, 1, 1, 16, 16}, {1, 1, 1, 16, 16}}, {{1, 1, INT64_C(1) << 40, 16, 16}, {1, 1, 64, 16, 16}},
        {{INT64_C(1) << 20, 1, INT64_C(1) << 20, 16, 16}, {4, 1, 4, 16, 16}}, {{1, 1, 1, INT64_C(1) << 50, 16}, {1, 1, 1, 16, 16}},
        {{1, INT64_C(1) << 40, 4, 16, 16}, {1, 8, 4, 16, 16}},
    };
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        made a, b;
        pel_image ia, ib;
        pel_error e = {0};
        pel_difference d;
        uint32_t crc = 0;
        int calls = 0;
        make(&a, &ia, &claims[i], 7);
        make(&b, &ib, &claims[i], 7);
        CHECK_FAILS(pel_checksum(&crc, &a.base, 0, &(pel_scan){.on_progress = say_no, .arg = &calls}, &e), e, PEL_INTERRUPTED);
        CHECK_INT(calls, 2);
        calls = 0;
        CHECK_FAILS(pel_compare(&d, (pel_source *const[2]){&a.base, &b.base}, (int32_t[2]){0, 0},
                                &(pel_scan){.on_progress = say_no, .arg = &calls}, &e), e, PEL_INTERRUPTED);
    }
}

/* Fewer threads, then smaller windows, give the same; what is not enough is refused with what is. */
CASE(little_memory_gives_the_same)
{
    made a, b;
    pel_image ia, ib;
    pel_error e = {0};
    pel_difference d[2];
    uint32_t crc = 0;
    const int64_t mib = INT64_C(1) << 20, limits[] = {90 * mib, 30 * mib, 29 * mib + 200000};
    make(&a, &ia, &(shape){{1, 2, 3, 1000, 700}, {1, 1, 3, 1000, 700}}, 7);
    make(&b, &ib, &(shape){{1, 2, 3, 1000, 700}, {1, 1, 1, 100, 300}}, 8);
    CHECK_OK(compare(&d[0], &a, &b, 4, &e), e);
    for (int i = 0; i < 3; i++) {
        pel__scan_means m = {0};
        CHECK_OK(pel__scan_begin(&m, &(pel_scan){.threads = 4, .memory_bytes = limits[i]}, (pel_source *const[1]){&a.base}, 1, &e), e);
        CHECK(m.window_bytes > 0 && m.threads * (2 * m.window_bytes + mib) <= limits[i] - 28 * mib);
        CHECK(m.window_bytes == PEL__SCAN_BYTES || m.threads == 1);
        pel__scan_end(&m);
        CHECK_OK(pel_checksum(&crc, &a.base, 0, &(pel_scan){.threads = 4, .memory_bytes = limits[i]}, &e), e);
        CHECK_INT(crc, plain_crc(&a, &ia));
        CHECK_OK(pel_compare(&d[1], (pel_source *const[2]){&a.base, &b.base}, (int32_t[2]){0, 0},
                             &(pel_scan){.threads = 4, .memory_bytes = limits[i]}, &e), e);
        CHECK(d[0].rms == d[1].rms && d[0].unequal == d[1].unequal && d[0].max_abs == d[1].max_abs);
    }
    CHECK_FAILS(pel_checksum(&crc, &a.base, 0, &(pel_scan){.memory_bytes = 20 * mib}, &e), e, PEL_NO_MEMORY);
    CHECK_TEXT(e.text, "needs at least 30 MiB");
    CHECK_TEXT(e.text, "the limit is 20 MiB: give --memory 31M");
    const pel_limits small = {.memory_bytes = 20 * mib, .memory_by = "a test", .threads = 1};
    CHECK_FAILS(pel_checksum(&crc, &a.base, 0, &(pel_scan){.limits = &small}, &e), e, PEL_NO_MEMORY);
    CHECK_TEXT(e.text, "the limit is 10 MiB, half of a test's 20 MiB");
    a.base.thread_bytes = INT64_MAX / 2;
    CHECK_FAILS(pel_checksum(&crc, &a.base, 0, &(pel_scan){.threads = 4}, &e), e, PEL_NO_MEMORY);
}

CASE(errors_are_told)
{
    made a, b;
    pel_image ia, ib;
    pel_error e = {0};
    pel_difference d;
    uint32_t crc = 0;
    int calls = 0;
    make(&a, &ia, &shapes[1], 7);
    make(&b, &ib, &shapes[2], 7);
    CHECK_FAILS(compare(&d, &a, &b, 1, &e), e, PEL_ARGUMENT);
    CHECK_TEXT(e.text, "[0:2, 0:3, 0:5, 0:17, 0:23]");
    CHECK_FAILS(pel_checksum(&crc, &a.base, 1, NULL, &e), e, PEL_ARGUMENT);
    make(&a, &ia, &(shape){{20, 1, 1, 2000, 1000}, {1, 1, 1, 64, 64}}, 7);
    CHECK_FAILS(pel_checksum(&crc, &a.base, 0, &(pel_scan){.on_progress = say_no, .arg = &calls}, &e), e, PEL_INTERRUPTED);
    CHECK_INT(calls, 2);
    make(&a, &ia, &(shape){{1, 1, 1, 20000, 1000}, {1, 1, 1, 64, 64}}, 7);
    a.broken = true;
    CHECK_FAILS(pel_checksum(&crc, &a.base, 0, &(pel_scan){.threads = 3}, &e), e, PEL_DAMAGED);
    CHECK_TEXT(e.text, "cannot be read");
}

int main(void)
{
    RUN(checksum_is_the_plain_one_for_every_tiling_and_thread_count);
    RUN(checksum_interleaves_colour_in_the_order_of_the_file);
    RUN(checksum_reports_planes_in_order);
    RUN(window_stays_within_its_bytes);
    RUN(rows_wider_than_a_window_are_put_together);
    RUN(compare_finds_one_voxel);
    RUN(compare_does_not_depend_on_threads);
    RUN(nan_equals_nan_and_differs_from_numbers);
    RUN(enormous_claims_take_no_memory);
    RUN(little_memory_gives_the_same);
    RUN(errors_are_told);
    return CHECK_DONE();
}
