/* SPDX-License-Identifier: MIT
 * The noise estimate of a raw float32 stack on standard input, as JSON.
 *
 *   tool_noise z,y,x [saturation] */
#include "noise/noise.h"
#include "words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool estimate(const int64_t n[3], double saturation, pel_error *err)
{
    const size_t voxels = (size_t)(n[0] * n[1] * n[2]);
    float *pixels = calloc(voxels, sizeof *pixels);
    pel__noise_estimator *e = NULL;
    pel__noise_fit f;
    const bool ok = pixels && fread(pixels, sizeof *pixels, voxels, stdin) == voxels &&
                    pel__noise_estimator_create(&e, saturation, err) &&
                    pel__noise_estimator_add(e, pixels, n[0], n[1], n[2], err) && pel__noise_estimator_fit(e, &f, err);
    if (ok)
        printf("{\"gain\": %.17g, \"offset\": %.17g, \"gain_error\": %.17g, \"offset_error\": %.17g, \"r2\": %.17g, \"blocks\": %" PRId64
               ", \"poisson\": %s, \"remark\": \"%s\"}\n",
               f.gain, f.offset, f.gain_error, f.offset_error, f.r2, f.blocks, f.poisson ? "true" : "false", f.remark);
    pel__noise_estimator_destroy(e);
    free(pixels);
    return ok;
}

int main(int argc, char **argv)
{
    double n[3], saturation = 0;
    pel_error err = {.text = "standard input is too short"};
    if (argc < 2 || !parse_numbers(argv[1], n, 3) || (argc > 2 && !parse_numbers(argv[2], &saturation, 1))) {
        (void)fprintf(stderr, "tool_noise z,y,x [saturation] < stack\n");
        return 2;
    }
    if (!estimate((const int64_t[]){(int64_t)n[0], (int64_t)n[1], (int64_t)n[2]}, saturation, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return 0;
}
