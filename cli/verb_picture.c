/* SPDX-License-Identifier: MIT
 * pellucid picture: one plane of one or several images side by side in a PNG file, all in the same grey scale, so that
 * before and after can be compared by eye. */
#include "input.h"
#include "limits.h"
#include "plot.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PANELS_AT_MOST 16
#define PIXELS_AT_MOST (INT64_C(200) << 20)
#define GAP 4 /* white pixels between panels */

typedef struct job {
    char **words;
    int word_count;
    input_options in;
    int64_t t, c, z, zoom, memory;
    pel_limits limits;
    axis_range crop[PEL_AXES];
    const char *window;
    bool each, overwrite;
    /* worked out */
    int panels;
    const char *out;
    float *pixels[PANELS_AT_MOST];
    int64_t height[PANELS_AT_MOST], width[PANELS_AT_MOST];
    double low[PANELS_AT_MOST], high[PANELS_AT_MOST];
} job;

/* ---- reading --------------------------------------------------------------------------------------------------- */

/* The plane's part to show; false: it lies outside the image, and that was said. */
static bool choose_region(const verb *self, const job *j, const pel_image *im, const char *path, pel_region *r)
{
    const int64_t plane[PEL_AXES] = {j->t, j->c, j->z >= 0 ? j->z : im->shape[PEL_Z] / 2, 0, 0};
    *r = (pel_region){.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        const bool ranged = a >= PEL_Y;
        const int64_t begin = ranged ? j->crop[a].begin : plane[a];
        const int64_t end = !ranged ? begin + 1 : j->crop[a].end < 0 ? im->shape[a] : j->crop[a].end;
        if (begin < 0 || begin >= end || end > im->shape[a]) {
            say(self, "%s: %c %" PRId64 " to %" PRId64 " is outside the image, which has 0 to %" PRId64, path, axis_letters[a],
                begin, end - 1, im->shape[a] - 1);
            return false;
        }
        r->origin[a] = begin;
        r->shape[a] = end - begin;
    }
    if (r->shape[PEL_Y] <= PIXELS_AT_MOST / r->shape[PEL_X] / j->zoom / j->zoom)
        return true;
    say(self, "%s: a picture of %" PRId64 " x %" PRId64 " pixels is too large: choose a part with --crop", path,
        r->shape[PEL_X] * j->zoom, r->shape[PEL_Y] * j->zoom);
    return false;
}

static pel_scan means_of(const job *j) { return (pel_scan){.threads = 1, .memory_bytes = j->memory, .limits = &j->limits}; }

/* Of the picture with so many panels. */
static void canvas_size(const job *j, int panels, int64_t *width, int64_t *height)
{
    *width = (int64_t)(panels - 1) * GAP;
    *height = 0;
    for (int p = 0; p < panels; p++) {
        *width += j->width[p] * j->zoom;
        *height = j->height[p] * j->zoom > *height ? j->height[p] * j->zoom : *height;
    }
}

/* Is there memory for the panel, and for what is made of it and those before? */
static bool has_room(const job *j, int panel, pel_source *source, const pel_image *im, pel_error *err)
{
    const pel_scan means = means_of(j);
    const int64_t pixels = j->height[panel] * j->width[panel], wide = pel_dtype_size(im->dtype) > sizeof(float) ? (int64_t)pel_dtype_size(im->dtype) : 0;
    int64_t width = 0, height = 0, room = 0;
    canvas_size(j, panel + 1, &width, &height);
    /* the panel, the numbers of its sort and of qsort itself, or the wider ones that it is made of; then canvas and file */
    const int64_t working = pixels * (2 * (int64_t)sizeof(float) > wide ? 2 * (int64_t)sizeof(float) : wide);
    const int64_t most = working > 3 * width * height ? working : 3 * width * height;
    pel_error why = {0};
    return pel_room(&room, &source, 1, &means, pixels * (int64_t)sizeof(float) + most, &why) ||
           set_error(err, why.code, "%s: %s, or choose a part with --crop", j->words[panel], why.text);
}

static int read_panel(const verb *self, job *j, int panel)
{
    int code = EXIT_DONE;
    pel_error err = {0};
    pel_region r;
    pel_source *source = NULL;
    const char *const path = j->words[panel];
    if (!input_open(self, &source, path, &j->in, 1, &code))
        return code;
    const int32_t image = j->in.image < 0 ? 0 : (int32_t)j->in.image;
    const pel_remote remote = remote_from_environment();
    if (!pel_source_apart(source, j->out, &remote, &err)) {
        code = say_error(self, &err, false);
        goto cleanup;
    }
    if (!choose_region(self, j, pel_source_image(source, image), path, &r)) {
        code = EXIT_USAGE;
        goto cleanup;
    }
    j->height[panel] = r.shape[PEL_Y];
    j->width[panel] = r.shape[PEL_X];
    if (!has_room(j, panel, source, pel_source_image(source, image), &err)) {
        code = say_error(self, &err, true);
        goto cleanup;
    }
    j->pixels[panel] = malloc((size_t)(r.shape[PEL_Y] * r.shape[PEL_X]) * sizeof(float));
    if (!j->pixels[panel]) {
        say(self, "no memory for the picture");
        code = EXIT_FAILED;
    } else if (!pel_read_float(source, image, &r, j->pixels[panel], &err)) {
        code = say_error(self, &err, true);
    }
cleanup:
    input_close(self, source);
    return code;
}

/* ---- grey scale ------------------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Grey values below which 0.2 % and 99.8 % of the pixels lie. */
static bool percentiles(const job *j, int panel, double *low, double *high)
{
    const int64_t n = j->height[panel] * j->width[panel];
    float *const sorted = malloc((size_t)n * sizeof *sorted);
    if (!sorted)
        return false;
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(j->pixels[panel][i]))
            sorted[k++] = j->pixels[panel][i];
    qsort(sorted, (size_t)k, sizeof *sorted, by_value);
    *low = k > 0 ? (double)sorted[(int64_t)(0.002 * (double)(k - 1))] : 0;
    *high = k > 0 ? (double)sorted[(int64_t)(0.998 * (double)(k - 1))] : 1;
    free(sorted);
    return true;
}

static int choose_window(const verb *self, job *j)
{
    for (int p = 0; p < j->panels; p++) {
        double v[PEL_AXES] = {0};
        const char *why = NULL;
        if (j->window) {
            if (!strchr(j->window, ',') || !parse_lengths(j->window, v, &why) || v[PEL_X] <= v[PEL_Y])
                return command_wrong(self, "--window '%s': expected two grey values, low,high", j->window);
            j->low[p] = v[PEL_Y];
            j->high[p] = v[PEL_X];
        } else if (p > 0 && !j->each) {
            j->low[p] = j->low[0];
            j->high[p] = j->high[0];
        } else if (!percentiles(j, p, &j->low[p], &j->high[p])) {
            say(self, "no memory for the picture");
            return EXIT_FAILED;
        }
    }
    return EXIT_DONE;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static void paint(const job *j, uint8_t *canvas, int64_t stride, int panel, int64_t left)
{
    const double range = j->high[panel] > j->low[panel] ? j->high[panel] - j->low[panel] : 1;
    for (int64_t y = 0; y < j->height[panel] * j->zoom; y++)
        for (int64_t x = 0; x < j->width[panel] * j->zoom; x++) {
            const float v = j->pixels[panel][y / j->zoom * j->width[panel] + x / j->zoom];
            const double grey = 255 * ((double)v - j->low[panel]) / range;
            canvas[y * stride + left + x] = (uint8_t)(grey >= 255 ? 255 : grey > 0 ? grey + 0.5 : 0);
        }
}

static pel_file_rule rule_of(const job *j)
{
    return (pel_file_rule){.kind = "png", .inputs = (const char *const *)j->words, .input_count = j->panels, .overwrite = j->overwrite};
}

static int draw(const verb *self, const job *j)
{
    int64_t width = 0, height = 0, left = 0;
    canvas_size(j, j->panels, &width, &height);
    uint8_t *const canvas = width > 0 && height > 0 && width <= INT32_MAX ? malloc((size_t)(width * height)) : NULL;
    if (!canvas) {
        say(self, "no memory for a picture of %" PRId64 " x %" PRId64 " pixels", width, height);
        return EXIT_FAILED;
    }
    memset(canvas, 255, (size_t)(width * height));
    for (int p = 0; p < j->panels; p++) {
        paint(j, canvas, width, p, left);
        left += j->width[p] * j->zoom + GAP;
    }
    pel_error err = {0};
    const pel_file_rule rule = rule_of(j);
    const bool ok = png_write(j->out, &rule, canvas, width, height, false, &err);
    free(canvas);
    return ok ? EXIT_DONE : say_error(self, &err, false);
}

/* ---- words ----------------------------------------------------------------------------------------------------- */

static bool read_words(const verb *self, int argc, char **argv, job *j, int *code)
{
    const option options[] = {
        {OPTION_INTEGER, "t", "N", "time (default 0)", &j->t, 0, INT32_MAX},
        {OPTION_INTEGER, "c", "N", "channel (default 0)", &j->c, 0, INT32_MAX},
        {OPTION_INTEGER, "z", "N", "plane (default: the middle one)", &j->z, 0, INT32_MAX},
        {OPTION_RANGES, "crop", "RANGES", "part of the plane, e.g. y=100:612,x=0:512", j->crop, 0, 0},
        {OPTION_INTEGER, "zoom", "N", "each pixel as N x N (default 1)", &j->zoom, 1, 64},
        {OPTION_TEXT, "window", "LOW,HIGH", "grey values shown black and white (default: 0.2 % and 99.8 % of the first image)", &j->window, 0, 0},
        {OPTION_FLAG, "each", NULL, "a grey scale of its own for each image", &j->each, 0, 0},
        OVERWRITE_OPTION(j->overwrite),
        MEMORY_OPTION(j->memory),
        INPUT_OPTIONS(j->in),
    };
    const command c = {.verb = self, .options = options, .option_count = COUNT(options), .rest_name = "IN … OUT.png",
                       .rest = &j->words, .rest_count = &j->word_count,
                       .text = "The images are put side by side, in the grey scale of the first one.",
                       .examples = "  pellucid picture embryo.czi denoised.ome.zarr before-after.png --z 12 --crop y=0:400,x=0:400 --zoom 2"};
    if (!command_parse(&c, argc, argv, code))
        return false;
    *code = EXIT_USAGE;
    if (j->word_count < 2)
        (void)command_wrong(self, "expected at least one image and the picture to write");
    else if (j->word_count - 1 > PANELS_AT_MOST)
        (void)command_wrong(self, "at most %d images side by side", PANELS_AT_MOST);
    else if (j->crop[PEL_T].end >= 0 || j->crop[PEL_C].end >= 0 || j->crop[PEL_Z].end >= 0)
        (void)command_wrong(self, "--crop is for y and x; choose the plane with --t, --c, --z");
    else
        *code = EXIT_DONE;
    return *code == EXIT_DONE;
}

int verb_picture(const verb *self, int argc, char **argv)
{
    job j = {.in = {.image = -1}, .z = -1, .zoom = 1, .limits = limits_here(), .crop = {{0, -1}, {0, -1}, {0, -1}, {0, -1}, {0, -1}}};
    int code = EXIT_DONE;
    if (!read_words(self, argc, argv, &j, &code))
        return code;
    pel_error err = {0};
    j.panels = j.word_count - 1;
    j.out = j.words[j.panels];
    const pel_file_rule rule = rule_of(&j);
    if (!pel_file_check(j.out, &rule, &err))
        return say_error(self, &err, false);
    limits_warn(self, &j.limits, j.memory, false);
    for (int p = 0; p < j.panels && code == EXIT_DONE; p++)
        code = read_panel(self, &j, p);
    if (code == EXIT_DONE)
        code = choose_window(self, &j);
    if (code == EXIT_DONE)
        code = draw(self, &j);
    for (int p = 0; p < j.panels; p++)
        free(j.pixels[p]);
    return code;
}
