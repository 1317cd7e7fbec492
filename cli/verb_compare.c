/* SPDX-License-Identifier: MIT
 * pellucid compare: how far two images are apart. Exit code 0: equal, 1: different. */
#include "input.h"
#include "limits.h"
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct job {
    const char *path[2];
    input_options in;
    int64_t image_b, level_b, threads, memory;
    pel_limits limits;
    double peak;
    bool json, quiet;
    progress line;
} job;

static json_object *difference_json(const pel_difference *d, int32_t a, int32_t b)
{
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "image_a", json_object_new_int(a));
    json_object_object_add(o, "image_b", json_object_new_int(b));
    json_object_object_add(o, "equal", json_object_new_boolean(d->unequal == 0));
    json_object_object_add(o, "voxels", json_object_new_int64(d->voxels));
    json_object_object_add(o, "unequal", json_object_new_int64(d->unequal));
    json_object_object_add(o, "max_abs", json_number(d->max_abs));
    json_object_object_add(o, "rms", json_number(d->rms));
    json_object_object_add(o, "peak", json_number(d->peak));
    json_object_object_add(o, "psnr", json_number(d->psnr)); /* null where nothing differs */
    json_object_object_add(o, "first", d->unequal > 0 ? json_axes(d->first) : NULL);
    json_object_object_add(o, "low_a", json_number(d->low[0]));
    json_object_object_add(o, "high_a", json_number(d->high[0]));
    json_object_object_add(o, "low_b", json_number(d->low[1]));
    json_object_object_add(o, "high_b", json_number(d->high[1]));
    return o;
}

static void print_text(const pel_difference *d, int32_t a, int32_t b)
{
    char voxels[32], unequal[32];
    (void)printf("image %" PRId32, a);
    if (a != b)
        (void)printf(" and %" PRId32, b);
    (void)printf(": %s voxels, ", text_count(voxels, sizeof voxels, d->voxels));
    if (d->unequal == 0) {
        (void)printf("equal (values %g to %g)\n", d->low[0], d->high[0]);
        return;
    }
    (void)printf("%s unequal (%.3g %%)\n", text_count(unequal, sizeof unequal, d->unequal),
                 100.0 * (double)d->unequal / (double)d->voxels);
    (void)printf("  largest difference   %g\n", d->max_abs);
    (void)printf("  RMS difference       %.6g\n", d->rms);
    (void)printf("  PSNR                 %.3f dB (peak %g)\n", d->psnr, d->peak);
    (void)printf("  values               %g to %g, and %g to %g\n", d->low[0], d->high[0], d->low[1], d->high[1]);
    (void)printf("  first difference at ");
    for (int i = 0; i < PEL_AXES; i++)
        (void)printf(" %c %" PRId64 "%s", axis_letters[i], d->first[i], i + 1 < PEL_AXES ? "," : "\n");
}

static bool on_progress(void *arg, const pel_progress *now)
{
    job *const j = arg;
    return progress_show(&j->line, now);
}

static bool one_pair(job *j, pel_source *const sources[2], const int32_t images[2], pel_difference *d, pel_error *err)
{
    const pel_scan scan = {.threads = (int32_t)j->threads, .memory_bytes = j->memory, .limits = &j->limits, .on_progress = on_progress, .arg = j};
    const bool ok = pel_compare(d, sources, images, &scan, err);
    progress_end(&j->line);
    if (ok && j->peak > 0) {
        d->peak = j->peak;
        d->psnr = d->unequal > 0 ? 20 * log10(j->peak / d->rms) : INFINITY;
    }
    return ok;
}

static int run(const verb *self, job *j, pel_source *const sources[2])
{
    pel_error err = {0};
    int32_t first = 0, last = 0;
    input_images(sources[0], &j->in, &first, &last);
    const int32_t count[2] = {pel_source_image_count(sources[0]), pel_source_image_count(sources[1])};
    if (j->in.image < 0 && count[0] != count[1])
        return command_wrong(self, "%s has %" PRId32 " images and %s has %" PRId32 ": choose with --image and --image-b",
                             j->path[0], count[0], j->path[1], count[1]);
    json_object *const document = json_object_new_object(), *const images = json_object_new_array();
    bool ok = true, equal = true;
    j->line = progress_start("compare", j->quiet);
    for (int32_t i = first; ok && i < last; i++) {
        const int32_t pair[2] = {i, j->image_b >= 0 ? (int32_t)j->image_b : i};
        pel_difference d = {0};
        ok = one_pair(j, sources, pair, &d, &err);
        equal = equal && d.unequal == 0;
        if (ok && !j->json)
            print_text(&d, pair[0], pair[1]);
        json_object_array_add(images, difference_json(&d, pair[0], pair[1]));
    }
    json_object_object_add(document, "a", json_object_new_string(j->path[0]));
    json_object_object_add(document, "b", json_object_new_string(j->path[1]));
    json_object_object_add(document, "equal", json_object_new_boolean(equal));
    json_object_object_add(document, "images", images);
    if (ok && j->json)
        json_print(document);
    else
        json_object_put(document);
    if (!ok)
        return say_error(self, &err, true);
    return equal ? EXIT_DONE : EXIT_FAILED;
}

static bool read_words(const verb *self, int argc, char **argv, job *j, int *code)
{
    const operand operands[] = {{"A", "the first image: a CZI or TIFF file, or an OME-Zarr folder", &j->path[0], false},
                                {"B", "the second one, of the same shape; the data type may differ", &j->path[1], false}};
    const option options[] = {
        {OPTION_NUMBER, "peak", "VALUE", "of the PSNR (default: 255, 65535, or the range of A's values for wider types)", &j->peak, 1e-300, 1e300},
        {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &j->json, 0, 0},
        INPUT_OPTIONS(j->in),
        SELECT_OPTIONS((j->in).select),
        {OPTION_INTEGER, "image-b", "N", "the image of B, where it is another number", &j->image_b, 0, INT32_MAX},
        {OPTION_INTEGER, "level-b", "N", "the level of B, where it is another number", &j->level_b, 0, 64},
        {OPTION_INTEGER, "threads", "N", "readers at once (" THREADS_HELP ")", &j->threads, 1, 1024},
        MEMORY_OPTION(j->memory),
        {OPTION_FLAG, "quiet", NULL, "no progress line", &j->quiet, 0, 0},
    };
    const command c = {.verb = self, .operands = operands, .operand_count = COUNT(operands), .options = options,
                       .option_count = COUNT(options),
                       .text = "Exit code 0: equal, 1: different. Both images are read once, in bounded memory.",
                       .examples = "  pellucid compare truth.ome.zarr denoised.ome.zarr\n"
                                   "  pellucid compare a.czi b.ome.zarr --image 2 --json"};
    return command_parse(&c, argc, argv, code);
}

int verb_compare(const verb *self, int argc, char **argv)
{
    job j = {.in = {.image = -1}, .image_b = -1, .level_b = -1, .limits = limits_here()};
    j.threads = j.limits.threads;
    int code = EXIT_DONE;
    pel_source *sources[2] = {NULL, NULL};
    if (!read_words(self, argc, argv, &j, &code))
        return code;
    if (j.image_b >= 0 && j.in.image < 0)
        return command_wrong(self, "--image-b needs --image");
    input_options second = j.in;
    second.image = j.image_b >= 0 ? j.image_b : j.in.image;
    second.level = j.level_b >= 0 ? j.level_b : j.in.level;
    if (input_open(self, &sources[0], j.path[0], &j.in, j.threads, &code)
        && input_open(self, &sources[1], j.path[1], &second, j.threads, &code)) {
        stop_install();
        limits_warn(self, &j.limits, j.memory, false);
        code = run(self, &j, sources);
    }
    input_close(self, sources[0]);
    input_close(self, sources[1]);
    return code;
}
