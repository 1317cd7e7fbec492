/* SPDX-License-Identifier: MIT
 * The median keeps its promises: the same bits however the image is cut; constants stay; one odd voxel harms nobody.
 * Values against SciPy: test_gauss_scipy.py. */
#include "check.h"
#include "filter_run.h"

#include <math.h>

enum { Z = 9, Y = 23, X = 300 };
static const int64_t shape[PEL_AXES] = {1, 1, Z, Y, X};

static float *scene(void)
{
    float *p = malloc((size_t)(Z * Y * X) * sizeof *p);
    uint32_t state = 3;
    for (int64_t i = 0; p && i < Z * Y * X; i++) {
        state = state * 1664525U + 1013904223U;
        p[i] = (float)(state >> 8) * 0x1p-20f - 7.0f;
    }
    return p;
}

static float *filtered(const float *src, const char *const *settings, const int64_t *block, int32_t threads)
{
    filter_run r;
    pel_error err = {0};
    float *dst = malloc((size_t)(Z * Y * X) * sizeof *dst);
    filter_begin(&r, &pel__filter_median, shape, PEL_F32);
    if (block)
        memcpy(r.block, block, sizeof r.block);
    r.threads = threads;
    if (!filter_set(&r, settings, &err) || !filter_all(&r, dst, src, &err)) {
        CHECK_TEXT(err.text, "no error was expected");
        free(dst);
        return NULL;
    }
    return dst;
}

CASE(blocks_never_change_a_bit)
{
    static const int64_t blocks[][PEL_AXES] = {{1, 1, 1, Y, X}, {1, 1, Z, 1, X}, {1, 1, 5, 7, 1}, {1, 1, 8, 22, 299}, {1, 1, 2, 9, 257}};
    static const char *const settings[][7] = {{"radius", "1", NULL}, {"radius", "z=2,y=0,x=5", "mode", "mirror", "percentile", "10", NULL},
                                              {"radius", "y=3", "mode", "constant", NULL}};
    float *src = scene();
    for (int s = 0; s < 3; s++) {
        float *whole = filtered(src, settings[s], NULL, 1);
        for (int i = 0; i < 5 && whole; i++) {
            float *part = filtered(src, settings[s], blocks[i], 1 + i % 3);
            CHECK(part && memcmp(whole, part, (size_t)(Z * Y * X) * sizeof *part) == 0);
            free(part);
        }
        free(whole);
    }
    free(src);
}

CASE(what_is_alone_goes_and_constants_stay)
{
    static const char *const settings[] = {"radius", "1", NULL};
    float *src = scene();
    for (int64_t i = 0; i < Z * Y * X; i++)
        src[i] = -2.5f;
    src[(4 * Y + 7) * X + 200] = NAN;
    src[(4 * Y + 7) * X + 202] = -INFINITY;
    float *dst = filtered(src, settings, NULL, 2);
    for (int64_t i = 0; dst && i < Z * Y * X; i++)
        CHECK(dst[i] == -2.5f);
    free(dst);
    free(src);
}

int main(void)
{
    RUN(blocks_never_change_a_bit);
    RUN(what_is_alone_goes_and_constants_stay);
    return CHECK_DONE();
}
