/* SPDX-License-Identifier: MIT
 * One noise model a channel for the whole data set, given as text or estimated once from a fixed sample: at most 64
 * windows of 256 x 256 voxels, cells of a grid through each image, one from each of as many equal stretches of the grid,
 * the same at every call and none twice. */
#include "noise/noise.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "noise/spectrum.h"
#include "run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 256
#define WINDOWS 64
#define MOST_GAIN 1e15 /* squares of what is computed with them stay within float32 */
#define MOST_OFFSET 1e30
#define LEAST_LOW 0.01 /* of the power at low frequencies over the variance */
#define MOST_LOW 1000.0

/* One channel's text: "sigma", "gain,offset" or "gain,background,readout", each with ",low=S" behind it or not. */
static bool parse_one(pel_noise *out, const char *text, size_t n, pel_error *err)
{
    static const char low[] = "low=";
    double v[3] = {0}, low_frequency = 1;
    int count = 0;
    bool ok = true;
    for (size_t at = 0; ok; count++) {
        const size_t k = strcspn(text + at, ",;");
        if (count > 0 && strncmp(text + at, low, sizeof low - 1) == 0) {
            ok = at + k == n && pel__parse_number(text + at + sizeof low - 1, k - (sizeof low - 1), &low_frequency) && low_frequency >= LEAST_LOW && low_frequency <= MOST_LOW;
            break;
        }
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
                         "noise: found \"%.*s\", expected sigma > 0, or gain,offset, or gain,background,readout with gain > 0; behind it "
                         ",low=S where neighbours share noise, S from %g to %g",
                         (int)n, text, LEAST_LOW, MOST_LOW);
    *out = (pel_noise){.low_frequency = low_frequency, .gain = count == 1 ? 0 : v[0],
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

/* What looks at the samples. */
typedef struct {
    bool (*add)(void *to, const float *pixels, int64_t ny, int64_t nx, pel_error *err);
    void *to;
} looker;

static bool add_to_estimator(void *to, const float *pixels, int64_t ny, int64_t nx, pel_error *err)
{
    return pel__noise_estimator_add(to, pixels, 1, ny, nx, err);
}

/* Means of 2 x 2 pixels; in place of the pixels. */
static bool add_means(void *to, const float *pixels, int64_t ny, int64_t nx, pel_error *err)
{
    float means[WINDOW / 2 * WINDOW / 2];
    for (int64_t y = 0; y < ny / 2; y++) {
        for (int64_t x = 0; x < nx / 2; x++) {
            const float *p = pixels + 2 * (y * nx + x);
            means[y * (nx / 2) + x] = 0.25f * (p[0] + p[1] + p[nx] + p[nx + 1]);
        }
    }
    return pel__noise_estimator_add(to, means, 1, ny / 2, nx / 2, err);
}

static bool add_to_spectrum(void *to, const float *pixels, int64_t ny, int64_t nx, pel_error *err)
{
    return pel__spectrum_add(to, pixels, ny, nx, err);
}

static bool add_window(const looker *l, pel_source *source, int32_t image, const pel_region *r, void *raw, float *pixels,
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
    return l->add(l->to, pixels, r->shape[PEL_Y], r->shape[PEL_X], err);
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

static bool add_windows(const looker *l, pel_source *source, const sample *s, pel_error *err)
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
        ok = add_window(l, source, image, &r, raw, pixels, &why) || why.code == PEL_DAMAGED; /* one tile does not spoil the rest */
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

#define CORRELATED 1.3    /* power at low frequencies over the variance that white noise under structure stays below … */
#define SURE 1.25         /* … but not where residuals grow as much when a pixel is skipped */
#define MOST_POWER 200.0  /* at low frequencies over the variance; beyond it is structure */

/* Where high frequencies are nearly empty of noise, what is there says little about gain beside offset: means of 2 x 2 pixels
 * tell that. The line's height stays at the middle of the grey values; the spectrum gives it. */
static bool tilt_line(pel_noise *out, pel_source *source, const sample *s, pel_error *err)
{
    pel__noise_estimator *e = NULL;
    pel__noise_fit fit = {0};
    bool ok = pel__noise_estimator_create(&e, pel__saturation(pel_source_image(source, s->first)), err);
    const looker l = {add_means, e};
    ok = ok && add_windows(&l, source, s, err);
    const double middle = out->cloud[PEL_NOISE_CLOUD / 2][0];
    if (ok && pel__noise_estimator_fit(e, &fit, NULL) && fit.gain * middle + fit.offset > 0) {
        const double scale = (out->gain * middle + out->offset) / (fit.gain * middle + fit.offset);
        out->gain = fit.poisson ? scale * fit.gain : 0;
        out->offset = scale * fit.offset;
        out->gain_error = scale * fit.gain_error;
        out->offset_error = scale * fit.offset_error;
    }
    pel__noise_estimator_destroy(e);
    return ok;
}

/* Neighbours may share their noise: how, and the line as it then is. */
static bool correct_line(pel_noise *out, pel_source *source, const sample *s, const pel__noise_fit *white, pel_error *err)
{
    const pel_image *im = pel_source_image(source, s->first);
    const bool whole = im->dtype != PEL_F32 && im->dtype != PEL_F64;
    pel__spectrum *spectrum = NULL;
    pel__spectrum_fit fit;
    pel_noise line = *out;
    bool ok = tilt_line(&line, source, s, err) && pel__spectrum_create(&spectrum, line.gain, line.offset, pel__saturation(im), whole ? 1 : 0, err);
    const looker l = {add_to_spectrum, spectrum};
    for (int pass = 0; ok && pass < PEL__SPECTRUM_PASSES; pass++) {
        ok = add_windows(&l, source, s, err);
        pel__spectrum_end_pass(spectrum);
    }
    if (ok)
        pel__spectrum_result(spectrum, &fit);
    pel__spectrum_destroy(spectrum);
    if (!ok || fit.cells == 0 || !isfinite(fit.low_frequency) ||
        (fit.low_frequency < CORRELATED && white->skipped[0] < SURE && white->skipped[1] < SURE))
        return ok;
    out->gain = line.gain * fit.variance;
    out->offset = line.offset * fit.variance;
    out->gain_error = line.gain_error * fit.variance;
    out->offset_error = line.offset_error * fit.variance;
    out->low_frequency = fmin(fmax(fit.low_frequency, 1), MOST_POWER);
    memcpy(out->rho, fit.rho, sizeof out->rho);
    for (int i = 0; i < PEL_NOISE_CLOUD; i++)
        out->cloud[i][1] *= fit.variance;
    (void)snprintf(out->remark, sizeof out->remark, "neighbouring pixels share their noise (correlation %.2f along y, %.2f along x): averages keep %.1f times the variance of white noise",
                   fit.rho[0], fit.rho[1], out->low_frequency);
    return true;
}

static bool estimate(pel_noise *out, pel_source *source, const sample *s, pel_error *err)
{
    pel__noise_estimator *e = NULL;
    pel__noise_fit fit = {0};
    bool ok = pel__noise_estimator_create(&e, pel__saturation(pel_source_image(source, s->first)), err);
    const looker l = {add_to_estimator, e};
    ok = ok && add_windows(&l, source, s, err) && pel__noise_estimator_fit(e, &fit, err);
    pel__noise_estimator_destroy(e);
    *out = (pel_noise){.gain = fit.poisson ? fit.gain : 0, .offset = fit.offset, .gain_error = fit.gain_error,
                       .offset_error = fit.offset_error, .r2 = fit.r2, .saturated = fit.saturated, .pairs = fit.blocks, .low_frequency = 1};
    memcpy(out->cloud, fit.cloud, sizeof out->cloud);
    (void)snprintf(out->remark, sizeof out->remark, "%s", fit.remark);
    char image[32] = "";
    if (s->first == s->last && source->image_count > 1)
        (void)snprintf(image, sizeof image, "image %d: ", (int)s->first);
    ok = ok && (!fit.doubtful || correct_line(out, source, s, &fit, err));
    return ok || pel__where(err, "%s: %snoise of channel %lld: ", source->path, image, (long long)s->channel);
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
