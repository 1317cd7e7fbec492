/* SPDX-License-Identifier: MIT
 * Gain and offset from the image itself. Blocks of 16 x 16 pixels give pairs of mean and variance, the variance from a
 * mixed second difference (rows 1 -2 1 by columns 1 -2 1, over 6), which is blind to ramps and to edges along the axes
 * and keeps the variance of white noise. They make the cloud, the verdict whether the data can tell, and a line by themselves
 * where the image is small; else the line comes from cells (cells.h), which know structure better.
 *
 * White noise has the same residual where the second difference skips a pixel. Where a fifth of the blocks, the flattest,
 * say otherwise, neighbours share their noise (filtered, resampled, compressed) and the line is too low: the fit says so,
 * and spectrum.h corrects it. Blocks of one grey level tell nothing about a gain: one variance for all. */
#include "noise/noise.h"

#include "noise/cells.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 16
#define CAPACITY 32768      /* pairs kept */
#define SPREAD 0.168        /* standard deviation of a block's variance over it, for Gaussian noise */
#define CUT 5.0             /* spreads from the line at which a pair's weight vanishes */
#define FEWEST 8            /* pairs for a line */
#define BINS 24
#define MARGIN 2            /* pixels around a block that its residuals read */
#define DOUBTFUL 1.07       /* ratio of residuals that the flattest fifth of white noise stays below (0.8 to 1.05) */
#define ONE_LEVEL 0.5       /* of the noise's deviation: a smaller range of means is the noise's own */
#define LEAST_RISE 0.05     /* of the variance over the range of means: less is not told from structure */
#define PLATEAU (SIDE * SIDE / 4) /* pixels of a block at its largest value */

typedef struct pair {
    double mean, variance;
    float along_y, along_x; /* variance by differences that skip a pixel along this axis */
    float top;              /* largest value */
    bool plateau;           /* many pixels have it */
} pair;

struct pel__noise_estimator {
    pair *pairs, *sorted;
    pel__cells cells;
    pel__thin thin; /* of pairs */
    double saturation;
    float largest, flat_top; /* of all blocks; of the constant ones */
    int64_t flat_at_top;
    int64_t pixels, pixels_saturated, blocks, blocks_flat, blocks_odd, blocks_saturated;
};

bool pel__noise_estimator_create(pel__noise_estimator **out, double saturation, pel_error *err)
{
    pel__noise_estimator *e = calloc(1, sizeof *e);
    if (e) {
        e->pairs = malloc(CAPACITY * sizeof *e->pairs);
        e->sorted = malloc(CAPACITY * sizeof *e->sorted);
        e->thin.stride = 1;
        e->saturation = saturation;
        e->largest = e->flat_top = -INFINITY;
    }
    if (!e || !pel__cells_create(&e->cells, err) || !e->pairs || !e->sorted) {
        pel__noise_estimator_destroy(e);
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the noise estimate");
    }
    *out = e;
    return true;
}

void pel__noise_estimator_destroy(pel__noise_estimator *e)
{
    if (!e)
        return;
    pel__cells_destroy(&e->cells);
    free(e->sorted);
    free(e->pairs);
    free(e);
}

/* ---- samples ----------------------------------------------------------------------------------------------- */

/* Mean square of the mixed second difference over the block whose first pixel is p, its arms dy and dx long. */
static double residual(const float *p, int64_t nx, int64_t dy, int64_t dx)
{
    double squares = 0;
    dy *= nx;
    for (int64_t y = 0; y < SIDE; y++) {
        for (int64_t x = 0; x < SIDE; x++) {
            const float *c = p + y * nx + x;
            const double around = (double)c[-dy] + c[dy] + c[-dx] + c[dx], corners = (double)c[-dy - dx] + c[-dy + dx] + c[dy - dx] + c[dy + dx];
            const double r = 4.0 * c[0] - 2.0 * around + corners;
            squares += r * r;
        }
    }
    return squares / (36.0 * SIDE * SIDE);
}

/* What a look over the block's pixels finds. */
typedef struct look {
    double sum;
    float top;
    int64_t at_top, saturated;
    bool odd; /* a value that is no number, in the block or its margin */
} look;

static look look_at(const pel__noise_estimator *e, const float *p, int64_t nx)
{
    look l = {.top = -INFINITY};
    for (int64_t y = -MARGIN; y < SIDE + MARGIN; y++) {
        for (int64_t x = -MARGIN; x < SIDE + MARGIN; x++) {
            const float v = p[y * nx + x];
            l.odd |= !(fabsf(v) < 1e30f);
            if (x < 0 || x >= SIDE || y < 0 || y >= SIDE)
                continue;
            l.sum += v;
            l.saturated += e->saturation > 0 && v >= e->saturation;
            l.at_top = v > l.top ? 1 : l.at_top + (v == l.top);
            l.top = fmaxf(l.top, v);
        }
    }
    return l;
}

static void add_block(pel__noise_estimator *e, const float *p, int64_t nx)
{
    const look l = look_at(e, p, nx);
    e->blocks++;
    e->pixels += (int64_t)SIDE * SIDE;
    e->pixels_saturated += l.saturated;
    e->blocks_odd += l.odd;
    e->blocks_saturated += !l.odd && l.saturated > 0;
    if (l.odd || l.saturated > 0)
        return;
    e->largest = fmaxf(e->largest, l.top);
    const double variance = residual(p, nx, 1, 1);
    e->blocks_flat += variance == 0;
    if (variance == 0 && l.top >= e->flat_top) {
        e->flat_at_top = l.top > e->flat_top ? 1 : e->flat_at_top + 1;
        e->flat_top = l.top;
    }
    if (variance > 0) {
        const pair found = {l.sum / (SIDE * SIDE), variance, (float)residual(p, nx, 2, 1), (float)residual(p, nx, 1, 2),
                            l.top, l.at_top >= PLATEAU};
        pel__thin_add(&e->thin, e->pairs, CAPACITY, &found, sizeof found);
    }
}

bool pel__noise_estimator_add(pel__noise_estimator *e, const float *pixels, int64_t nz, int64_t ny, int64_t nx, pel_error *err)
{
    if (nz < 0 || ny < 0 || nx < 0)
        return pel__fail(err, PEL_ARGUMENT, "a stack of %lld x %lld x %lld pixels", (long long)nz, (long long)ny, (long long)nx);
    for (int64_t z = 0; z < nz; z++) {
        for (int64_t y = MARGIN; y + SIDE + MARGIN <= ny; y += SIDE) {
            for (int64_t x = MARGIN; x + SIDE + MARGIN <= nx; x += SIDE)
                add_block(e, pixels + (z * ny + y) * nx + x, nx);
        }
        pel__cells_add(&e->cells, pixels + z * ny * nx, ny, nx, e->saturation);
    }
    return true;
}

bool pel__noise_estimator_pair(const pel__noise_estimator *e, int64_t i, double *mean, double *variance)
{
    if (i < 0 || i >= e->thin.count)
        return false;
    *mean = e->pairs[i].mean;
    *variance = e->pairs[i].variance;
    return true;
}

/* ---- the line ---------------------------------------------------------------------------------------------- */

typedef struct line {
    double gain, offset;
    double weight, mean_x, sxx, mean_y, syy; /* weighted sums of the last fit */
} line;

static int by_mean(const void *a, const void *b)
{
    const pair *p = a, *q = b;
    if (p->mean != q->mean)
        return p->mean < q->mean ? -1 : 1;
    return (p->variance > q->variance) - (p->variance < q->variance);
}

static int by_value(const void *a, const void *b)
{
    const double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* What the line says at a mean; never quite zero, for the weights. */
static double along(const line *l, double mean, double least)
{
    return fmax(l->gain * mean + l->offset, least);
}

/* Weighted least squares with weights of 1 / line^2 and, where cut > 0, Tukey's by distance in units of the spread.
 * False where fewer than two pairs keep weight: the line stays. */
static bool refit(line *l, const pair *p, int64_t n, double least, double cut)
{
    line s = {0};
    double sxy = 0;
    int64_t used = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < n; i++) {
            const double f = along(l, p[i].mean, least), t = cut > 0 ? (p[i].variance / f - 1) / cut : 0;
            const double w = fabs(t) < 1 ? (1 - t * t) * (1 - t * t) / (f * f) : 0;
            if (pass == 0) {
                s.weight += w;
                s.mean_x += w * p[i].mean;
                s.mean_y += w * p[i].variance;
                used += w > 0;
                continue;
            }
            const double x = p[i].mean - s.mean_x, y = p[i].variance - s.mean_y;
            s.sxx += w * x * x;
            s.syy += w * y * y;
            sxy += w * x * y;
        }
        if (used < 2)
            return false;
        if (pass == 0) {
            s.mean_x /= s.weight;
            s.mean_y /= s.weight;
        }
    }
    s.gain = s.sxx > 0 ? sxy / s.sxx : 0;
    s.offset = s.mean_y - s.gain * s.mean_x;
    *l = s;
    return true;
}

/* Relative spread of the pairs below the line, where no structure is: what counts as far from it. */
static double spread_below(const line *l, const pair *p, int64_t n, double least, double *memory)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        const double z = p[i].variance / along(l, p[i].mean, least) - 1;
        if (z < 0)
            memory[count++] = -z;
    }
    if (count < FEWEST)
        return SPREAD;
    qsort(memory, (size_t)count, sizeof *memory, by_value);
    return fmin(fmax(SPREAD, 1.4826 * memory[count / 2]), 3 * SPREAD);
}

/* A first line through the low side of the cloud: the variance that a fifth of the blocks of like mean stay below. */
static line start(const pair *sorted, int64_t n, double *memory, double *least)
{
    pair bin[BINS];
    line l = {0};
    const int64_t bins = n / 16 < 2 ? 2 : n / 16 > BINS ? BINS : n / 16;
    for (int64_t i = 0; i < n; i++)
        memory[i] = sorted[i].variance;
    qsort(memory, (size_t)n, sizeof *memory, by_value);
    *least = 0.05 * memory[n / 2];
    l.offset = memory[n / 2];
    for (int64_t b = 0; b < bins; b++) {
        const int64_t from = b * n / bins, to = (b + 1) * n / bins;
        bin[b].mean = 0;
        for (int64_t i = from; i < to; i++) {
            bin[b].mean += sorted[i].mean / (double)(to - from);
            memory[i - from] = sorted[i].variance;
        }
        qsort(memory, (size_t)(to - from), sizeof *memory, by_value);
        bin[b].variance = memory[(to - from) / 5] / (1 - 0.85 * SPREAD);
    }
    for (int i = 0; i < 12; i++)
        (void)refit(&l, bin, bins, *least, 0);
    return l;
}

static line fit_line(const pair *sorted, int64_t n, double *memory, double *spread)
{
    double least = 0;
    line l = start(sorted, n, memory, &least);
    for (int i = 0; i < 40; i++) {
        *spread = spread_below(&l, sorted, n, least, memory);
        line next = l;
        if (!refit(&next, sorted, n, least, CUT * *spread))
            break;
        next.gain = 0.5 * (l.gain + next.gain);
        next.offset = 0.5 * (l.offset + next.offset);
        l = next;
    }
    return l;
}

/* ---- the verdict ------------------------------------------------------------------------------------------- */

/* One variance for all: the same weights about a constant, from the median down. */
static double fit_constant(const pair *p, int64_t n, double *memory)
{
    for (int64_t i = 0; i < n; i++)
        memory[i] = p[i].variance;
    qsort(memory, (size_t)n, sizeof *memory, by_value);
    double v = memory[n / 2];
    for (int k = 0; k < 40; k++) {
        double sum = 0, weight = 0;
        for (int64_t i = 0; i < n; i++) {
            const double t = (p[i].variance / v - 1) / (CUT * SPREAD), w = fabs(t) < 1 ? (1 - t * t) * (1 - t * t) : 0;
            sum += w * p[i].variance;
            weight += w;
        }
        v = weight > 0 ? sum / weight : v;
    }
    return v;
}

static bool nothing_to_fit(const pel__noise_estimator *e, pel_error *err)
{
    if (e->blocks == 0)
        return pel__fail(err, PEL_REFUSED, "no samples; planes must be at least %d x %d pixels; give the noise by hand",
                         SIDE + 2 * MARGIN, SIDE + 2 * MARGIN);
    if (2 * (e->blocks_saturated + e->blocks_odd) > e->blocks)
        return pel__fail(err, PEL_REFUSED, "of %lld sampled blocks %lld hold saturated and %lld non-finite pixels; give the noise by hand",
                         (long long)e->blocks, (long long)e->blocks_saturated, (long long)e->blocks_odd);
    return pel__fail(err, PEL_REFUSED, "none of %lld sampled blocks tells the noise; give it by hand", (long long)e->blocks);
}

/* What a share of the blocks stays below, of the ratio of the residual along an axis to the usual one. */
static double ratio_quantile(const pair *p, int64_t n, bool along_x, double share, double *memory)
{
    for (int64_t i = 0; i < n; i++)
        memory[i] = (along_x ? p[i].along_x : p[i].along_y) / p[i].variance;
    qsort(memory, (size_t)n, sizeof *memory, by_value);
    return memory[(int64_t)(share * (double)(n - 1))];
}

static void check_white(const pair *sorted, int64_t n, double *memory, pel__noise_fit *fit)
{
    for (int along_x = 0; along_x < 2; along_x++)
        fit->skipped[along_x] = ratio_quantile(sorted, n, along_x, 0.2, memory);
    fit->doubtful = n >= FEWEST && (fit->skipped[0] >= DOUBTFUL || fit->skipped[1] >= DOUBTFUL);
}

/* One grey level tells the noise there and nothing about a gain. */
static bool one_level(const pair *sorted, int64_t n, double *memory)
{
    for (int64_t i = 0; i < n; i++)
        memory[i] = sorted[i].variance;
    qsort(memory, (size_t)n, sizeof *memory, by_value);
    const double middle = sqrt(memory[n / 2]), range = sorted[n - 1 - n / 100].mean - sorted[n / 100].mean;
    return n >= FEWEST && range < ONE_LEVEL * middle;
}

/* A plateau at the largest value of all is a detector that was full below the end of the type: its blocks are left out.
 * Returns how many stay; *level is that value, or infinity. */
static int64_t drop_plateaus(const pel__noise_estimator *e, pel__noise_fit *fit, float *level)
{
    int64_t n = 0, full = e->flat_top >= e->largest ? e->flat_at_top : 0;
    for (int64_t i = 0; i < e->thin.count; i++)
        full += e->pairs[i].plateau && e->pairs[i].top >= e->largest ? e->thin.stride : 0;
    for (int64_t i = 0; i < e->thin.count; i++) {
        if (full == 0 || e->pairs[i].top < e->largest)
            e->sorted[n++] = e->pairs[i];
    }
    *level = full > 0 ? e->largest : INFINITY;
    fit->saturated += (double)full * SIDE * SIDE / (double)e->pixels;
    qsort(e->sorted, (size_t)n, sizeof *e->sorted, by_mean);
    return n;
}

static void remark(const pel__noise_estimator *e, pel__noise_fit *fit, bool few, bool level)
{
    const char *text = "";
    if (few)
        text = "few samples: one variance for all grey values";
    else if (level)
        text = "one grey level nearly everywhere tells no gain: one variance for all grey values; give gain,offset if bright parts matter";
    else if (!fit->poisson)
        text = "the variance does not grow with the mean: one variance for all grey values";
    else if (fit->saturated > 0.01)
        text = "more than 1 % of the pixels are saturated";
    else if (2 * e->blocks_flat > e->blocks)
        text = "most of the sampled image is constant";
    else if (fit->gain_error > 0.1 * fit->gain)
        text = "the gain is uncertain by more than 10 %";
    else if (fit->r2 < 0.3)
        text = "the line fits poorly: little range of grey values, or texture";
    (void)memcpy(fit->remark, text, strlen(text) + 1);
}

/* The line through the pairs is the first guess and says how well a line fits; the cells make the answer. */
static bool fit_sorted(const pel__noise_estimator *e, int64_t n, float full, bool level, pel__noise_fit *fit, double *memory, pel_error *err)
{
    const pair *sorted = e->sorted;
    pel__line_task task = {.cells = &e->cells, .full = full, .darkest = sorted[n / 100].mean};
    pel__noise_line l = {0};
    if (n >= FEWEST) {
        double spread = SPREAD;
        const line first = fit_line(sorted, n, memory, &spread);
        l.gain = first.gain;
        l.offset = first.offset;
        l.gain_error = first.sxx > 0 ? spread / sqrt(first.sxx) : INFINITY;
        l.offset_error = sqrt(spread * spread / first.weight + l.gain_error * l.gain_error * first.mean_x * first.mean_x);
        fit->r2 = first.syy > 0 ? fmin(1, fmax(0, first.gain * first.gain * first.sxx / first.syy)) : 0;
        if (!pel__noise_line_fit(&task, &l, err))
            return false;
        const double range = sorted[n - 1 - n / 20].mean - sorted[n / 20].mean, middle = l.gain * sorted[n / 2].mean + l.offset;
        fit->poisson = !level && l.gain > 3 * l.gain_error && l.gain * range > LEAST_RISE * middle;
    }
    if (!fit->poisson) {
        const double v = fit_constant(sorted, n, memory);
        l = (pel__noise_line){.offset = v, .offset_error = v * SPREAD / sqrt((double)n)};
        fit->r2 = 0;
        task.level = true;
        if (!pel__noise_line_fit(&task, &l, err))
            return false;
    }
    fit->gain = l.gain;
    fit->gain_error = l.gain_error;
    /* Dimmer than the darkest block the line shall not turn negative. */
    fit->offset = fmax(l.offset, -l.gain * sorted[0].mean);
    fit->offset_error = l.offset_error;
    return true;
}

/* Without any noise, such as a channel that was switched off: the rounding's variance, which leaves constant parts as they are. */
static bool no_noise(const pel__noise_estimator *e, pel__noise_fit *out)
{
    if (e->blocks_flat == 0 || e->blocks_flat + e->blocks_saturated + e->blocks_odd < e->blocks || 2 * (e->blocks_saturated + e->blocks_odd) > e->blocks)
        return false;
    *out = (pel__noise_fit){.offset = 1.0 / 12, .skipped = {1, 1}};
    (void)snprintf(out->remark, sizeof out->remark, "%lld of %lld sampled blocks are constant: there is no noise to measure, and constant parts stay as they are",
                   (long long)e->blocks_flat, (long long)e->blocks);
    return true;
}

bool pel__noise_estimator_fit(const pel__noise_estimator *e, pel__noise_fit *out, pel_error *err)
{
    if (e->thin.count == 0)
        return no_noise(e, out) || nothing_to_fit(e, err);
    double *memory = malloc((size_t)e->thin.count * sizeof *memory);
    if (!memory)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the noise estimate");
    pel__noise_fit fit = {.saturated = (double)e->pixels_saturated / (double)e->pixels};
    float full = INFINITY;
    const int64_t n = fit.blocks = drop_plateaus(e, &fit, &full);
    bool ok = n > 0 || pel__fail(err, PEL_REFUSED, "all sampled blocks are saturated at %.6g; give the noise by hand", (double)e->largest);
    if (ok && n < FEWEST && 2 * (e->blocks_saturated + e->blocks_odd) > e->blocks)
        ok = nothing_to_fit(e, err);
    for (int i = 0; ok && i < PEL__NOISE_CLOUD; i++) {
        fit.cloud[i][0] = e->sorted[i * n / PEL__NOISE_CLOUD].mean;
        fit.cloud[i][1] = e->sorted[i * n / PEL__NOISE_CLOUD].variance;
    }
    *out = fit; /* for a picture, also where it is refused */
    if (ok) {
        const bool level = one_level(e->sorted, n, memory);
        check_white(e->sorted, n, memory, &fit);
        ok = fit_sorted(e, n, full, level, &fit, memory, err);
        remark(e, &fit, n < FEWEST, level);
        *out = fit;
    }
    free(memory);
    return ok;
}
