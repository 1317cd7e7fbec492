/* SPDX-License-Identifier: MIT
 * Numbers that the installed header's functions take: one that is out of range gives NULL, false or 0, and writes nothing. */
#include "check.h"

#include "pellucid.h"

#include <limits.h>
#include <stdlib.h>

#define PHANTOM "phantom:t=1,c=2,z=1,y=256,x=256;seed=1"

static const int32_t odd[] = {-1, INT32_MIN, 2, 5, 99, 500, INT32_MAX};
#define ODD (int)(sizeof odd / sizeof odd[0])

CASE(filters_have_bounds)
{
    pel_parameter p, before;
    memset(&before, 0x5A, sizeof before);
    p = before;
    for (int i = 0; i < ODD; i++) {
        if (odd[i] >= 0 && odd[i] < pel_filter_count())
            continue;
        CHECK(!pel_filter_name(odd[i]) && !pel_filter_help(odd[i]) && !pel_filter_needs_noise(odd[i]) && !pel_filter_tunes(odd[i]));
        CHECK_INT(pel_filter_parameter_count(odd[i]), 0);
        CHECK(!pel_filter_parameter(odd[i], 0, &p));
    }
    for (int32_t f = 0; f < pel_filter_count(); f++) {
        const int32_t n = pel_filter_parameter_count(f);
        CHECK(pel_filter_name(f) && pel_filter_help(f));
        CHECK(!pel_filter_parameter(f, -1, &p) && !pel_filter_parameter(f, n, &p) && !pel_filter_parameter(f, INT32_MAX, &p));
        CHECK(memcmp(&p, &before, sizeof p) == 0);
        for (int32_t i = 0; i < n; i++) {
            pel_parameter q = {0};
            CHECK(pel_filter_parameter(f, i, &q) && q.name && q.help);
        }
    }
}

CASE(types_have_bounds)
{
    for (int i = -1; i < 300; i++) {
        const bool known = i >= PEL_U8 && i <= PEL_F64;
        CHECK((pel_dtype_name((pel_dtype)i) != NULL) == known && (pel_dtype_size((pel_dtype)i) > 0) == known);
    }
    pel_error e = {0};
    char name[512];
    pel_phantom_options o = PEL_PHANTOM_DEFAULTS;
    o.dtype = (pel_dtype)77;
    CHECK_FAILS(pel_phantom_name(name, sizeof name, &o, &e), e, PEL_ARGUMENT);
}

CASE(sources_have_bounds)
{
    pel_source *s = NULL;
    pel_error e = {0};
    float pixels[4];
    uint16_t raw[4];
    pel_noise noise;
    uint32_t crc = 0;
    pel_difference d;
    CHECK_OK(pel_source_open(&s, PHANTOM, NULL, &e), e);
    if (!s)
        return;
    const pel_region r = {.ndim = 5, .shape = {1, 1, 1, 2, 2}};
    for (int i = 0; i < ODD; i++) {
        const pel_block b = {.region = r, .dtype = PEL_U16, .stride = {4, 4, 4, 2, 1}, .data = raw};
        CHECK(!pel_source_image(s, odd[i]));
        CHECK_FAILS(pel_source_read(s, odd[i], &b, &e), e, PEL_ARGUMENT);
        CHECK_FAILS(pel_read_float(s, odd[i], &r, pixels, &e), e, PEL_ARGUMENT);
        CHECK_FAILS(pel_noise_estimate(&noise, s, odd[i], 0, NULL, NULL, &e), e, PEL_ARGUMENT);
        CHECK_FAILS(pel_noise_estimate(&noise, s, 0, odd[i], NULL, NULL, &e), e, PEL_ARGUMENT);
        CHECK_FAILS(pel_checksum(&crc, s, odd[i], NULL, &e), e, PEL_ARGUMENT);
        CHECK_FAILS(pel_compare(&d, (pel_source *const[2]){s, s}, (int32_t[2]){0, odd[i]}, NULL, &e), e, PEL_ARGUMENT);
        CHECK_FAILS(pel_compare(&d, (pel_source *const[2]){s, s}, (int32_t[2]){odd[i], 0}, NULL, &e), e, PEL_ARGUMENT);
    }
    pel_source_destroy(s);
}

/* A region outside the image is refused before memory for it is asked for. */
CASE(regions_have_bounds)
{
    static const pel_region wrong[] = {
        {.ndim = 4, .shape = {1, 1, 1, 2}}, {.ndim = 5, .origin = {0, 0, 0, -1, 0}, .shape = {1, 1, 1, 1, 1}},
        {.ndim = 5, .origin = {0, 0, 0, 0, 255}, .shape = {1, 1, 1, 1, 2}}, {.ndim = 5, .shape = {1, 3, 1, 1, 1}},
        {.ndim = 5, .shape = {1, 1, 1, 1, -1}}, {.ndim = 5, .shape = {INT64_C(1) << 20, 1, 1, 1 << 20, 1}},
        {.ndim = 5, .origin = {INT64_MAX, 0, 0, 0, 0}, .shape = {INT64_MAX, 1, 1, 1, 1}}, {.ndim = INT32_MAX, .shape = {1, 1, 1, 1, 1}},
    };
    pel_source *s = NULL;
    pel_error e = {0};
    float pixel = 7;
    CHECK_OK(pel_source_open(&s, PHANTOM, NULL, &e), e);
    for (size_t i = 0; s && i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_FAILS(pel_read_float(s, 0, &wrong[i], &pixel, &e), e, PEL_ARGUMENT);
    CHECK(pixel == 7);
    pel_source_destroy(s);
}

CASE(runs_have_bounds)
{
    const pel_setting quick[] = {{"patch", "y=1,x=1"}, {"radius-xy", "1"}, {"iterations", "1"}};
    const pel_run_options o = {.filter = "ndsafir", .input = PHANTOM, .tune = "auto", .noise = "4,-200", .threads = 1,
                               .settings = quick, .setting_count = 3};
    pel_run *run = NULL;
    pel_error e = {0};
    pel_candidate c, before;
    memset(&before, 0x5A, sizeof before);
    c = before;
    CHECK_OK(pel_run_plan(&run, &o, NULL, NULL, &e), e);
    if (!run)
        return;
    for (int i = 0; i < ODD; i++) {
        CHECK_INT(pel_run_noise_count(run, odd[i]), 0);
        CHECK(!pel_run_noise(run, odd[i], 0) && !pel_run_noise(run, 0, odd[i]));
        CHECK_INT(pel_run_candidate_count(run, odd[i]), 0);
        CHECK(!pel_run_candidate(run, odd[i], 0, &c) && !pel_run_block_done(run, odd[i]));
    }
    CHECK_INT(pel_run_noise_count(run, 0), 2);
    CHECK(pel_run_noise(run, 0, 0) && pel_run_noise(run, 0, 1));
    const int32_t n = pel_run_candidate_count(run, 1);
    CHECK(n > 1 && !pel_run_candidate(run, 1, n, &c) && !pel_run_candidate(run, 1, -1, &c));
    CHECK(memcmp(&c, &before, sizeof c) == 0);
    CHECK(pel_run_candidate(run, 1, n - 1, &c) && c.settings[0]);
    pel_run_destroy(run);
}

int main(void)
{
    RUN(filters_have_bounds);
    RUN(types_have_bounds);
    RUN(sources_have_bounds);
    RUN(regions_have_bounds);
    RUN(runs_have_bounds);
    return CHECK_DONE();
}
