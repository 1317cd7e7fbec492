/* SPDX-License-Identifier: MIT
 * One noise model a channel for the whole data set, given as text or estimated once from a fixed sample: at most 64
 * windows of 256 x 256 voxels, cells of a grid through each image, one from each of as many equal stretches of the grid,
 * the same at every call and none twice. */
#include "noise/noise.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 256
#define WINDOWS 64
#define MOST_GAIN 1e15 /* squares of what is computed with them stay within float32 */
#define MOST_OFFSET 1e30

/* One channel's text: "sigma", "gain,offset" or "gain,background,readout". */
static bool parse_one(pel_noise *out, const char *text, size_t n, pel_error *err)
{
    double v[3] = {0};
    int count = 0;
    bool ok = true;
    for (size_t at = 0; ok; count++) {
        const size_t k = strcspn(text + at, ",;");
        ok = count < 3 && pel__parse_number(text + at, k, &v[count]);
        at += k + 1;
        if (at > n) {
            count++;
            break;
        }
    }
    ok = ok && v[0] > 0 && (count < 3 || v[2] >= 0);
    if (!ok)
        return pel__fail(err, PEL_ARGUMENT,
                         "noise: found \"%.*s\", expected sigma > 0, or gain,offset, or gain,background,readout with gain > 0",
                         (int)n, text);
    *out = (pel_noise){.gain = count == 1 ? 0 : v[0],
                       .offset = count == 1 ? v[0] * v[0] : count == 2 ? v[1] : v[2] * v[2] - v[0] * v[1]};
    if (!(out->gain <= MOST_GAIN && fabs(out->offset) <= MOST_OFFSET && (out->gain > 0 || out->offset > 0)))
        return pel__fail(err, PEL_ARGUMENT, "noise: found \"%.*s\", which makes variance = %g x mean %+g: beyond what float32 can work with",
                         (int)n, text, out->gain, out->offset);
    return true;
}

bool pel__noise_parse(pel_noise *out, int64_t channels, const char *text, pel_error *err)
{
    int64_t given = 1;
    for (const char *c = text; *c; c++)
        given += *c == ';';
    if (given != 1 && given != channels)
        return pel__fail(err, PEL_ARGUMENT, "noise: found %lld models in \"%s\", expected 1 or one for each of %lld channels",
                         (long long)given, text, (long long)channels);
    const char *at = text;
    for (int64_t c = 0; c < channels; c++) {
        const size_t n = strcspn(at, ";");
        if (!parse_one(&out[c], at, n, err))
            return false;
        if (given > 1)
            at += n + (at[n] == ';');
    }
    return true;
}

/* Number i of the sequence for axis k, in [0, 1): the fractional parts of i * (powers of the root of x^6 = x + 1). */
double pel__sample_place(int64_t i, int k)
{
    static const double step[] = {0.8812714616335696, 0.7766393890897682, 0.6844301295853426, 0.6031687406857282,
                                  0.5315553977157913};
    const double v = 0.5 + (double)(i + 1) * step[k];
    return v - floor(v);
}

/* The grid that windows are cells of, for one channel. */
static pel_region window_grid(const pel_image *image, int64_t channel, int64_t cell[PEL_AXES])
{
    pel_region bounds = pel__region(PEL_AXES, NULL, image->shape);
    bounds.origin[PEL_C] = channel;
    bounds.shape[PEL_C] = 1;
    for (int a = 0; a < PEL_AXES; a++)
        cell[a] = a < PEL_Y ? 1 : WINDOW;
    return bounds;
}

/* Window i of n: somewhere in the i-th of n equal stretches of the grid's cells; n is not more than there are cells. */
static pel_region window_at(const pel_image *image, int64_t channel, int64_t i, int64_t n)
{
    int64_t cell[PEL_AXES];
    const pel_region bounds = window_grid(image, channel, cell);
    const int64_t cells = pel__grid_cells(&bounds, cell);
    const int64_t first = (int64_t)((double)i * (double)cells / (double)n), next = (int64_t)((double)(i + 1) * (double)cells / (double)n);
    const int64_t at = first + (int64_t)(pel__sample_place(i, PEL_X) * (double)pel__max(1, next - first));
    return pel__grid_cell(&bounds, cell, pel__min(at, cells - 1));
}

static int64_t windows_of(const pel_image *image, int64_t channel, int64_t most)
{
    int64_t cell[PEL_AXES];
    const pel_region bounds = window_grid(image, channel, cell);
    return pel__min(most, pel__grid_cells(&bounds, cell));
}

/* Of so many windows; beyond it the sample is no longer one of the whole image. */
#define MOST_DAMAGED(windows) ((windows) / 8 + 16)

static bool add_window(pel__noise_estimator *e, pel_source *source, int32_t image, const pel_region *r, void *raw, float *pixels,
                       pel_error *err)
{
    const pel_image *im = pel_source_image(source, image);
    const pel_block b = pel__block_dense(r, im->dtype, raw);
    const int64_t before = pel__damage_count(source->damage);
    if (!pel_source_read(source, image, &b, err))
        return false;
    if (pel__damage_count(source->damage) != before) /* zeros are no noise */
        return pel__fail(err, PEL_DAMAGED, "%s: damaged tiles read as zero in more of the sample than it can do without", source->path);
    pel__to_float(pixels, raw, im->dtype, pel__region_voxels(r));
    return pel__noise_estimator_add(e, pixels, 1, r->shape[PEL_Y], r->shape[PEL_X], err);
}

double pel__saturation(const pel_image *im)
{
    const double bits = im->significant_bits > 0 ? im->significant_bits : im->dtype == PEL_U8 ? 8 : im->dtype == PEL_U16 ? 16 : 0;
    return bits > 0 ? ldexp(1.0, (int)bits) - 1 : 0;
}

typedef struct {
    int32_t first, last; /* images */
    int64_t channel;
    pel_on_progress *on_progress;
    void *arg;
} sample;

static bool add_windows(pel__noise_estimator *e, pel_source *source, const sample *s, pel_error *err)
{
    void *raw = malloc((size_t)WINDOW * WINDOW * 8);
    float *pixels = malloc((size_t)WINDOW * WINDOW * sizeof *pixels);
    bool ok = raw && pixels;
    if (!ok)
        (void)pel__fail(err, PEL_NO_MEMORY, "noise: no memory for a sample");
    const int64_t images = s->last - s->first + 1;
    int64_t seen = 0, damaged = 0;
    pel_error why = {0};
    for (int64_t i = 0; ok && i < WINDOWS; i++) {
        const int64_t most = WINDOWS / images + (i % images < WINDOWS % images), turn = i / images;
        const int32_t image = s->first + (int32_t)(i % images);
        const int64_t n = windows_of(pel_source_image(source, image), s->channel, most);
        if (turn >= n)
            continue;
        const pel_region r = window_at(pel_source_image(source, image), s->channel, turn, n);
        const pel_progress p = {.phase = "noise", .done = i, .total = WINDOWS};
        why.code = PEL_OK;
        seen++;
        ok = add_window(e, source, image, &r, raw, pixels, &why) || why.code == PEL_DAMAGED; /* one tile does not spoil the rest */
        damaged += why.code == PEL_DAMAGED;
        if (!ok || damaged > MOST_DAMAGED(seen))
            ok = pel__fail(err, why.code, "%s", why.text);
        if (ok && s->on_progress && !s->on_progress(s->arg, &p))
            ok = pel__fail(err, PEL_INTERRUPTED, "interrupted while the noise was estimated");
    }
    free(raw);
    free(pixels);
    return ok;
}

static bool estimate(pel_noise *out, pel_source *source, const sample *s, pel_error *err)
{
    pel__noise_estimator *e = NULL;
    pel__noise_fit fit = {0};
    bool ok = pel__noise_estimator_create(&e, pel__saturation(pel_source_image(source, s->first)), err) &&
              add_windows(e, source, s, err) && pel__noise_estimator_fit(e, &fit, err);
    pel__noise_estimator_destroy(e);
    *out = (pel_noise){.gain = fit.poisson ? fit.gain : 0, .offset = fit.offset, .gain_error = fit.gain_error,
                       .offset_error = fit.offset_error, .r2 = fit.r2, .saturated = fit.saturated, .pairs = fit.blocks};
    memcpy(out->cloud, fit.cloud, sizeof out->cloud);
    char image[32] = "";
    if (s->first == s->last && source->image_count > 1)
        (void)snprintf(image, sizeof image, "image %d: ", (int)s->first);
    if (!ok)
        return pel__where(err, "%s: %snoise of channel %lld: ", source->path, image, (long long)s->channel);
    (void)snprintf(out->remark, sizeof out->remark, "%s", fit.remark);
    return true;
}

bool pel_noise_estimate(pel_noise *out, pel_source *source, int32_t image, int64_t channel, pel_on_progress *on_progress,
                        void *arg, pel_error *err)
{
    if (image < 0 || image >= source->image_count)
        return pel__fail(err, PEL_ARGUMENT, "image: found %d, expected 0 to %d", (int)image, (int)source->image_count - 1);
    if (channel < 0 || channel >= source->images[image].shape[PEL_C])
        return pel__fail(err, PEL_ARGUMENT, "channel: found %lld, expected 0 to %lld", (long long)channel,
                         (long long)source->images[image].shape[PEL_C] - 1);
    const sample s = {.first = image, .last = image, .channel = channel, .on_progress = on_progress, .arg = arg};
    return estimate(out, source, &s, err);
}

static bool images_share_channels(const pel_run *run)
{
    for (int32_t i = 1; i < run->image_count; i++) {
        if (run->images[i]->shape[PEL_C] != run->images[0]->shape[PEL_C] || run->images[i]->dtype != run->images[0]->dtype)
            return false;
    }
    return true;
}

/* Scenes of one file were seen by the same detector: where their channels agree they share the model of a channel. */
bool pel__noise_of_run(pel_run *run, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    const bool shared = images_share_channels(run);
    for (int32_t i = 0; i < run->image_count; i++) {
        for (int64_t c = 0; c < run->images[i]->shape[PEL_C]; c++) {
            const sample s = {.first = shared ? 0 : i, .last = shared ? run->image_count - 1 : i, .channel = c,
                              .on_progress = on_progress, .arg = arg};
            if (shared && i > 0)
                run->noise[i][c] = run->noise[0][c];
            else if (!estimate(&run->noise[i][c], run->source, &s, err))
                return false;
        }
    }
    return true;
}
