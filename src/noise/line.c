/* SPDX-License-Identifier: MIT
 * The line variance = gain x mean + offset through the cells. Structure adds to a cell's energy and never takes away, so
 * each band of each cell is put in one of twelve classes by how flat the *other* bands of the cell and its neighbours
 * are, in units of the line's variance. As bands of white noise are independent, choosing this way biases nothing. What a
 * class and band has on average above the flattest classes is its structure: it is divided out as far as it is
 * significant, and the class counts the less the more there was. Then the line is fitted anew, until it stays. */
#include "noise/cells.h"

#include <math.h>
#include <stdlib.h>

#define BANDS PEL__CELL_BANDS
#define CLASSES 12
#define FLATTEST 3          /* classes that are taken for flat */
#define FIRST_FLAT 3        /* their bands from here on: the lower ones may have structure even there */
#define OUTLIER 4.0         /* standard deviations above a class's mean at which a cell's band no longer counts */
#define TRUST 0.03          /* structure, as a share of the noise, at which a class counts by half */
#define TOO_MUCH 0.6        /* and by nothing */
#define ROUNDS 16
#define BINS 24             /* of brightness, for the first guess */
#define LOW_SIDE 0.2        /* a bin above the first guess by this share of it counts by half */
#define SUBSAMPLE 4096      /* for quantiles */

/* Upper ends of the classes, as shares of the cells: finer where the structure is. */
static const double class_end[CLASSES] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.875, 0.925, 0.9625, 1};

typedef struct state {
    const pel__cell *cell; /* n of them */
    int64_t n;
    double coefficients[BANDS], counts[BANDS];
    unsigned char *class;  /* n x BANDS */
    float *scratch, *spare;
    double gain, offset, least, darkest, overlap;
    double excess[BANDS][CLASSES], trust[BANDS][CLASSES]; /* structure over noise; weight */
    double limit[BANDS][CLASSES];                         /* ratio to the line from which it is an outlier */
    double inside[BANDS];                                 /* mean of white noise that is no outlier, over its mean */
    bool level;
} state;

static double along(const state *s, double mean)
{
    return fmax(s->gain * mean + s->offset, s->least);
}

static int by_value(const void *a, const void *b)
{
    const float p = *(const float *)a, q = *(const float *)b;
    return (p > q) - (p < q);
}

/* Share of a chi-squared distribution of 2 a degrees below 2 x: the series of the incomplete gamma function. */
static double share_below(double a, double x)
{
    double term = 1, sum = 1;
    for (int k = 1; k < 200; k++)
        sum += term *= x / (a + k);
    return sum * exp(-x) * pow(x, a) / tgamma(a + 1);
}

/* Cutting off outliers lowers the mean of what is none, too: a chi-squared mean below a limit is known. */
static double mean_inside(double coefficients)
{
    const double x = coefficients / 2 * (1 + OUTLIER * sqrt(2 / coefficients));
    return share_below(coefficients / 2 + 1, x) / share_below(coefficients / 2, x);
}

/* ---- classes ----------------------------------------------------------------------------------------------- */

static void classify(state *s, int band)
{
    float *t = s->scratch, *sorted = s->spare;
    const int64_t step = (s->n + SUBSAMPLE - 1) / SUBSAMPLE;
    int64_t m = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const pel__cell *c = &s->cell[i];
        const double others = pel__cell_energy(c->energy) - s->counts[band] * c->energy[band];
        t[i] = (float)(others / along(s, c->mean) + c->near / along(s, c->around));
        if (i % step == 0)
            sorted[m++] = t[i];
    }
    qsort(sorted, (size_t)m, sizeof *sorted, by_value);
    float end[CLASSES];
    for (int q = 0; q < CLASSES - 1; q++)
        end[q] = sorted[(int64_t)(class_end[q] * (double)(m - 1))];
    end[CLASSES - 1] = INFINITY;
    for (int64_t i = 0; i < s->n; i++) {
        int q = 0;
        while (t[i] > end[q] && q < CLASSES - 1)
            q++;
        s->class[i * BANDS + band] = (unsigned char)q;
    }
}

/* Mean over a class of the ratio of a band's energy to what the line says, without outliers; *count is of its cells. */
static double class_ratio(state *s, int band, int q, int64_t *count)
{
    float *r = s->scratch;
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (s->class[i * BANDS + band] == q)
            r[n++] = (float)(s->cell[i].energy[band] / (s->coefficients[band] * along(s, s->cell[i].mean)));
    }
    *count = n;
    if (n == 0)
        return 1;
    const int64_t step = (n + 255) / 256;
    int64_t m = 0;
    for (int64_t i = 0; i < n; i += step)
        s->spare[m++] = r[i];
    qsort(s->spare, (size_t)m, sizeof *r, by_value);
    double ratio = s->spare[m / 2] / pow(1 - 2 / (9 * s->coefficients[band]), 3); /* median of chi squared to its mean */
    for (int k = 0; k < 4; k++) {
        const double limit = ratio * (1 + OUTLIER * sqrt(2 / s->coefficients[band]));
        double sum = 0;
        int64_t used = 0;
        for (int64_t i = 0; i < n; i++) {
            if (r[i] < limit) {
                sum += r[i];
                used++;
            }
        }
        ratio = used > 0 ? sum / ((double)used * s->inside[band]) : ratio;
    }
    return ratio;
}

static void weigh_classes(state *s)
{
    double ratio[BANDS][CLASSES], flat = 0, weight = 0;
    int64_t count[BANDS][CLASSES];
    for (int j = 0; j < BANDS; j++) {
        classify(s, j);
        for (int q = 0; q < CLASSES; q++)
            ratio[j][q] = class_ratio(s, j, q, &count[j][q]);
        for (int q = 0; q < FLATTEST && j >= FIRST_FLAT; q++) {
            flat += s->coefficients[j] * (double)count[j][q] * ratio[j][q];
            weight += s->coefficients[j] * (double)count[j][q];
        }
    }
    flat = weight > 0 && flat > 0 ? flat / weight : 1;
    for (int j = 0; j < BANDS; j++) {
        for (int q = 0; q < CLASSES; q++) {
            /* As far as it is known: less of what is within its own error. Below zero, too, where that is chance: cutting
             * chance on one side only would lower the line. */
            const double noise = 2 * s->overlap / (s->coefficients[j] * fmax(1, (double)count[j][q])), over = fmax(-2 * sqrt(noise), ratio[j][q] / flat - 1);
            const double excess = over * over * over / (over * over + noise), structure = fmax(0, excess);
            s->excess[j][q] = excess;
            s->trust[j][q] = over > TOO_MUCH ? 0 : 1 / (1 + structure * structure / (TRUST * TRUST));
            s->limit[j][q] = (1 + excess) * flat * (1 + OUTLIER * sqrt(2 / s->coefficients[j]));
        }
    }
}

/* ---- the first guess --------------------------------------------------------------------------------------- */

/* Which of the bins of like number and brightness a cell is in: ends by quantile of the mean. */
static int bin_ends(state *s, float end[BINS])
{
    const int64_t step = (s->n + SUBSAMPLE - 1) / SUBSAMPLE;
    const int bins = (int)fmin(BINS, (double)s->n / 25);
    int64_t m = 0;
    for (int64_t i = 0; i < s->n; i += step)
        s->spare[m++] = s->cell[i].mean;
    qsort(s->spare, (size_t)m, sizeof *s->spare, by_value);
    for (int b = 0; b < bins; b++)
        end[b] = b + 1 < bins ? s->spare[(b + 1) * m / bins] : INFINITY;
    return bins;
}

static double flatness(const pel__cell *c)
{
    return c->energy[0] + c->energy[1] + c->near;
}

/* Mean and variance of the flattest quarter of the cells between two means, the variance from the two highest bands. */
static bool bin_point(state *s, float from, float to, double point[2])
{
    const double coefficients = s->coefficients[BANDS - 1] + s->coefficients[BANDS - 2];
    int64_t n = 0;
    double used = 0;
    point[0] = point[1] = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (s->cell[i].mean >= from && s->cell[i].mean < to)
            s->scratch[n++] = (float)flatness(&s->cell[i]);
    }
    if (n < 4)
        return false;
    qsort(s->scratch, (size_t)n, sizeof *s->scratch, by_value);
    for (int64_t i = 0; i < s->n; i++) {
        const pel__cell *c = &s->cell[i];
        if (c->mean >= from && c->mean < to && (float)flatness(c) <= s->scratch[n / 4]) {
            point[0] += c->mean;
            point[1] += (c->energy[BANDS - 1] + c->energy[BANDS - 2]) / coefficients;
            used++;
        }
    }
    point[0] /= used;
    point[1] /= used;
    return true;
}

/* A line along the low side of such points: it does not rest on how flat a cell is beside the line, as the next ones do. */
static void first_line(state *s)
{
    float end[BINS];
    double point[BINS][2];
    const int bins = bin_ends(s, end);
    int n = 0;
    for (int b = 0; b < bins; b++)
        n += bin_point(s, b > 0 ? end[b - 1] : -INFINITY, end[b], point[n]);
    s->gain = 0;
    s->offset = INFINITY;
    for (int i = 0; i < n; i++)
        s->offset = fmin(s->offset, point[i][1]);
    s->least = 0.1 * s->offset;
    for (int k = 0; k < 20 && n > 1 && !s->level; k++) {
        double w = 0, x = 0, y = 0, xx = 0, xy = 0;
        for (int i = 0; i < n; i++) {
            const double f = along(s, point[i][0]), over = fmax(0, point[i][1] / f - 1), weight = 1 / (f * f * (1 + over * over / (LOW_SIDE * LOW_SIDE)));
            w += weight;
            x += weight * point[i][0];
            y += weight * point[i][1];
            xx += weight * point[i][0] * point[i][0];
            xy += weight * point[i][0] * point[i][1];
        }
        const double spread = xx / w - x / w * (x / w), gain = spread > 1e-12 * xx / w ? (xy / w - x / w * (y / w)) / spread : 0;
        s->gain = 0.5 * (s->gain + fmax(0, gain));
        s->offset = 0.5 * (s->offset + y / w - fmax(0, gain) * x / w);
    }
}

/* ---- the line ---------------------------------------------------------------------------------------------- */

/* A cell's variance without the structure of its class, and its weight in units of 1 / variance^2. */
static double cell_variance(const state *s, int64_t i, double *weight)
{
    const double line = along(s, s->cell[i].mean);
    double sum = 0, w = 0;
    for (int j = 0; j < BANDS; j++) {
        const int q = s->class[i * BANDS + j];
        const double v = s->cell[i].energy[j] / s->coefficients[j];
        if (v < s->limit[j][q] * line) {
            const double trust = s->trust[j][q] * s->coefficients[j];
            sum += trust * v / ((1 + s->excess[j][q]) * s->inside[j]);
            w += trust;
        }
    }
    *weight = w;
    return w > 0 ? sum / w : 0;
}

/* Weighted moments of a cell's mean m, its neighbours' mean a and its variance v. */
typedef struct moments {
    double weight, m, a, v, mm, ma, aa, mv, av;
    double blur; /* variance that the noise gives a cell's mean */
} moments;

static moments gather(const state *s)
{
    moments t = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < s->n; i++) {
            double w = 0;
            const double v = cell_variance(s, i, &w), line = along(s, s->cell[i].mean), m = s->cell[i].mean, a = s->cell[i].around;
            w /= line * line;
            if (pass == 0) {
                t.weight += w;
                t.m += w * m;
                t.a += w * a;
                t.v += w * v;
                t.blur += w * line / (PEL__CELL * PEL__CELL);
                continue;
            }
            t.mm += w * (m - t.m) * (m - t.m);
            t.ma += w * (m - t.m) * (a - t.a);
            t.aa += w * (a - t.a) * (a - t.a);
            t.mv += w * (m - t.m) * (v - t.v);
            t.av += w * (a - t.a) * (v - t.v);
        }
        double *const sums[] = {&t.m, &t.a, &t.v, &t.blur, &t.mm, &t.ma, &t.aa, &t.mv, &t.av};
        for (int k = pass ? 4 : 0; k < (pass ? 9 : 4) && t.weight > 0; k++)
            *sums[k] /= t.weight;
    }
    return t;
}

/* What a slope is taken along: own m + neighbours' a, the best guess of a cell's mean free of its own noise. */
typedef struct direction {
    double own, neighbours, scale; /* scale: covariance with the true mean */
} direction;

static direction choose(const moments *t)
{
    direction d = {1, 0, 0};
    const double truth = fmax(t->mm - t->blur, 0.02 * t->mm), det = t->mm * t->aa - t->ma * t->ma;
    if (det > 1e-9 * t->mm * t->aa && t->ma > 0) {
        d.own = (truth * t->aa - t->ma * t->ma) / det;
        d.neighbours = (t->mm - truth) * t->ma / det;
        if (d.own < 0)
            d = (direction){0, 1, 0};
    }
    d.scale = fmax(d.own * (t->mm - t->blur) + d.neighbours * t->ma, 0.05 * (d.own * t->mm + d.neighbours * fabs(t->ma)));
    return d;
}

/* Noise in a cell's mean pulls the slope of a plain regression towards zero, but the skewed noise of photons raises mean and
 * variance together. How much of the noise is photons' is not known: between half and all of the darkest part's is taken
 * for read-out. */
static bool refit(state *s, direction *d, moments *t)
{
    *t = gather(s);
    if (!(t->weight > 0) || !(t->v > 0))
        return false;
    *d = choose(t);
    const double readout = 0.5 * fmax(s->gain * s->darkest + s->offset, 0), cell = PEL__CELL * PEL__CELL;
    const double skew = s->gain * fmax(t->blur - readout / cell, 0);
    const double gain = d->scale > 0 && !s->level ? (d->own * (t->mv - skew) + d->neighbours * t->av) / d->scale : 0;
    s->offset = 0.5 * (s->offset + t->v - gain * t->m);
    s->gain = s->level ? 0 : 0.5 * (s->gain + gain);
    s->least = 0.02 * t->v;
    return isfinite(s->gain) && isfinite(s->offset);
}

/* Standard errors from the cells' distance to the line. */
static void errors(const state *s, const direction *d, const moments *t, pel__noise_line *line)
{
    double gain = 0, offset = 0;
    for (int64_t i = 0; i < s->n; i++) {
        double w = 0;
        const double v = cell_variance(s, i, &w), m = s->cell[i].mean, f = along(s, m);
        const double pull = d->scale > 0 && !s->level ? (d->own * (m - t->m) + d->neighbours * (s->cell[i].around - t->a)) / d->scale : 0;
        const double r = w / (f * f) * (v - s->gain * m - s->offset);
        gain += r * r * pull * pull;
        offset += r * r * (1 - t->m * pull) * (1 - t->m * pull);
    }
    line->gain_error = sqrt(s->overlap * gain) / t->weight;
    line->offset_error = sqrt(s->overlap * offset) / t->weight;
}

static bool iterate(state *s, pel__noise_line *line)
{
    direction d = {0};
    moments t = {0};
    first_line(s);
    for (int k = 0; k < ROUNDS; k++) {
        weigh_classes(s);
        if (!refit(s, &d, &t))
            return false;
    }
    line->gain = s->gain;
    line->offset = s->offset;
    errors(s, &d, &t, line);
    return true;
}

bool pel__noise_line_fit(const pel__line_task *task, pel__noise_line *line, pel_error *err)
{
    const size_t n = (size_t)task->cells->thin.count;
    if (n < PEL__FEWEST_CELLS)
        return true;
    pel__cell *cells = malloc(n * sizeof *cells);
    state s = {.cell = cells, .darkest = task->darkest, .level = task->level, .overlap = pel__cells_overlap(task->cells),
               .class = malloc(n * BANDS), .scratch = malloc(n * sizeof(float)), .spare = malloc(n * sizeof(float))};
    const bool ok = (cells && s.class && s.scratch && s.spare) || pel__fail(err, PEL_NO_MEMORY, "no memory for the noise estimate");
    if (ok) {
        for (size_t i = 0; i < n; i++) {
            if (task->cells->kept[i].top < task->full)
                cells[s.n++] = task->cells->kept[i];
        }
        for (int j = 0; j < BANDS; j++) {
            s.coefficients[j] = (double)pel__cell_coefficients(j);
            s.counts[j] = pel__cell_counts(j);
            s.inside[j] = mean_inside(s.coefficients[j]);
        }
        if (s.n >= PEL__FEWEST_CELLS)
            (void)iterate(&s, line);
    }
    free(s.spare);
    free(s.scratch);
    free(s.class);
    free(cells);
    return ok;
}
