/* SPDX-License-Identifier: MIT
 * See spectrum.h. Cells of 16 x 16 pixels by their cosine transform, each in units of what the white line says of its mean.
 * Those count around which the image is flattest: a cell's neighbours, whose noise is another's, choose it, so that choosing
 * biases nothing. The logarithm of their mean spectrum is a smooth even function of frequency for any short kernel that
 * the noise went through; structure adds to it at low frequencies and never takes away. So a polynomial in w^2 is fitted
 * along the low side, once straight and once bent, and their mean is taken: the straight one is a little low for kernels
 * that end abruptly, the bent one a little high where there is structure (docs/denoising.md, section 3). What the type's
 * rounding adds, 1/12 of a step's square, is known; frequencies at which it is most of what is there do not count. */
#include "noise/spectrum.h"

#include "noise/thin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 16
#define STEP 8             /* pixels from cell to cell */
#define APART (SIDE / STEP) /* cells to the next one that shares no pixel */
#define LOW 25             /* u^2 + v^2 below it: where flatness is judged */
#define LOWEST 2           /* u^2 + v^2 below it do not count in the fit */
#define FLATTEST 0.15      /* share of the cells */
#define FEWEST 8           /* cells, if there are as many */
#define CLIPPED 0.02       /* share of a cell's pixels at the ends of the range from which it is left out */
#define FLOOR 4.0          /* times the rounding: less power than this does not count */
#define ABOVE 0.1          /* of the logarithm: what is as far above the fit counts by half */
#define ROUNDS 30
#define EXCESS 1.2         /* times the fit: more than this at a frequency is structure */
#define KEPT 32768         /* flatnesses */
#define TERMS 6
#define PI 3.14159265358979323846

struct pel__spectrum {
    double gain, offset, saturation, step;
    int pass;
    double basis[SIDE][SIDE];
    float *flatness; /* of KEPT cells, thinned */
    pel__thin thin;
    float limit;     /* cells up to this flatness are taken */
    double power[SIDE][SIDE], rounding;
    pel__spectrum_fit fit;
};

bool pel__spectrum_create(pel__spectrum **out, double gain, double offset, double saturation, double step, pel_error *err)
{
    pel__spectrum *s = calloc(1, sizeof *s);
    if (s) {
        s->gain = gain;
        s->offset = offset;
        s->saturation = saturation;
        s->step = step;
        s->thin.stride = 1;
        s->flatness = malloc(KEPT * sizeof *s->flatness);
        s->fit = (pel__spectrum_fit){.variance = 1, .low_frequency = 1};
        for (int u = 0; u < SIDE; u++) {
            for (int i = 0; i < SIDE; i++)
                s->basis[u][i] = sqrt((u ? 2.0 : 1.0) / SIDE) * cos(PI * (2 * i + 1) * u / (2 * SIDE));
        }
    }
    if (!s || !s->flatness) {
        pel__spectrum_destroy(s);
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the noise estimate");
    }
    *out = s;
    return true;
}

void pel__spectrum_destroy(pel__spectrum *s)
{
    if (!s)
        return;
    free(s->flatness);
    free(s);
}

/* ---- cells ------------------------------------------------------------------------------------------------- */

/* Power by frequency of the cell whose first pixel is p, in units of what the line says; false: it does not count. */
static bool transform(const pel__spectrum *s, const float *p, int64_t nx, double power[SIDE][SIDE], double *line)
{
    double rows[SIDE][SIDE], sum = 0;
    int64_t clipped = 0;
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            const float v = p[y * nx + x];
            if (!(fabsf(v) < 1e15f))
                return false;
            clipped += v == 0 || (s->saturation > 0 && v >= s->saturation);
            sum += v;
        }
    }
    const double mean = sum / (SIDE * SIDE);
    *line = s->gain * mean + s->offset;
    if ((double)clipped >= CLIPPED * SIDE * SIDE || !(*line > 0))
        return false;
    for (int y = 0; y < SIDE; y++) {
        for (int u = 0; u < SIDE; u++) {
            rows[y][u] = 0;
            for (int x = 0; x < SIDE; x++)
                rows[y][u] += s->basis[u][x] * ((double)p[y * nx + x] - mean);
        }
    }
    for (int v = 0; v < SIDE; v++) {
        for (int u = 0; u < SIDE; u++) {
            double c = 0;
            for (int y = 0; y < SIDE; y++)
                c += s->basis[v][y] * rows[y][u];
            power[v][u] = c * c / *line;
        }
    }
    return true;
}

/* Mean power at low frequencies, those along the axes left out: ramps and long edges have theirs there. */
static float low_power(double power[SIDE][SIDE])
{
    double sum = 0;
    int count = 0;
    for (int v = 1; v * v < LOW; v++) {
        for (int u = 1; u * u + v * v < LOW; u++, count++)
            sum += power[v][u];
    }
    return (float)(sum / count);
}

/* Mean of the up to eight neighbours of cell (y, x) that share no pixel with it and count; its own where there is none. */
static float flatness_of(const float *grid, int64_t ny, int64_t nx, int64_t y, int64_t x)
{
    double sum = 0;
    int count = 0;
    for (int64_t j = y - APART; j <= y + APART; j += APART) {
        for (int64_t i = x - APART; i <= x + APART; i += APART) {
            if (j < 0 || j >= ny || i < 0 || i >= nx || (j == y && i == x) || !(grid[j * nx + i] >= 0))
                continue;
            sum += grid[j * nx + i];
            count++;
        }
    }
    return count ? (float)(sum / count) : grid[y * nx + x];
}

static void take_cell(pel__spectrum *s, const float *p, int64_t nx)
{
    double power[SIDE][SIDE], line = 0;
    if (!transform(s, p, nx, power, &line))
        return;
    for (int v = 0; v < SIDE; v++) {
        for (int u = 0; u < SIDE; u++)
            s->power[v][u] += power[v][u];
    }
    s->rounding += s->step * s->step / 12 / line;
    s->fit.cells++;
}

bool pel__spectrum_add(pel__spectrum *s, const float *pixels, int64_t ny, int64_t nx, pel_error *err)
{
    const int64_t cy = ny < SIDE ? 0 : (ny - SIDE) / STEP + 1, cx = nx < SIDE ? 0 : (nx - SIDE) / STEP + 1;
    float *const grid = malloc((size_t)(cy * cx + 1) * sizeof *grid);
    if (!grid)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the noise estimate");
    for (int64_t i = 0; i < cy * cx; i++) {
        double power[SIDE][SIDE], line = 0;
        grid[i] = transform(s, pixels + (i / cx * nx + i % cx) * STEP, nx, power, &line) ? low_power(power) : -1;
    }
    for (int64_t i = 0; i < cy * cx; i++) {
        if (grid[i] < 0)
            continue;
        const float flatness = flatness_of(grid, cy, cx, i / cx, i % cx);
        if (s->pass == 0)
            pel__thin_add(&s->thin, s->flatness, KEPT, &flatness, sizeof flatness);
        else if (flatness <= s->limit)
            take_cell(s, pixels + (i / cx * nx + i % cx) * STEP, nx);
    }
    free(grid);
    return true;
}

/* ---- the fit ----------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float p = *(const float *)a, q = *(const float *)b;
    return (p > q) - (p < q);
}

static double frequency(int u) { return PI * u / SIDE; }

/* The logarithm of the power is t[0] - t[1] w_y^2 - t[2] w_x^2 - t[3] w_y^4 - t[4] w_x^4 - t[5] w_y^2 w_x^2. */
static void terms_at(double w_y, double w_x, double out[TERMS])
{
    const double y = w_y * w_y, x = w_x * w_x;
    out[0] = 1;
    out[1] = -y;
    out[2] = -x;
    out[3] = -y * y;
    out[4] = -x * x;
    out[5] = -y * x;
}

static double log_power(const double t[TERMS], double w_y, double w_x)
{
    double at[TERMS], sum = 0;
    terms_at(w_y, w_x, at);
    for (int i = 0; i < TERMS; i++)
        sum += t[i] * at[i];
    return sum;
}

/* Solves the n x n normal equations a x = b; what cannot be told is 0. */
static void solve(double a[TERMS][TERMS + 1], int n, double x[TERMS])
{
    for (int i = 0; i < n; i++) {
        const double pivot = a[i][i];
        for (int j = 0; j < n; j++) {
            if (j == i)
                continue;
            const double factor = pivot > 1e-12 ? a[j][i] / pivot : 0;
            for (int k = i; k <= TERMS; k++)
                a[j][k] -= factor * a[i][k];
        }
    }
    for (int i = 0; i < n; i++)
        x[i] = a[i][i] > 1e-12 ? a[i][TERMS] / a[i][i] : 0;
}

/* Does the mean spectrum at (v, u) say something about the noise? */
static bool counts(const pel__spectrum *s, int v, int u)
{
    return v > 0 && u > 0 && v * v + u * u >= LOWEST && s->power[v][u] > FLOOR * s->rounding;
}

/* Along the low side of the logarithms, with so many terms. */
static void fit_terms(const pel__spectrum *s, int terms, double t[TERMS])
{
    memset(t, 0, TERMS * sizeof *t);
    for (int round = 0; round < ROUNDS; round++) {
        double a[TERMS][TERMS + 1] = {{0}};
        for (int i = 0; i < SIDE * SIDE; i++) {
            const int v = i / SIDE, u = i % SIDE;
            double at[TERMS];
            if (!counts(s, v, u))
                continue;
            terms_at(frequency(v), frequency(u), at);
            const double value = log(s->power[v][u] - s->rounding), over = round ? fmax(0, value - log_power(t, frequency(v), frequency(u))) : 0;
            const double weight = 1 / (1 + over * over / (ABOVE * ABOVE));
            for (int j = 0; j < terms; j++) {
                for (int k = 0; k < terms; k++)
                    a[j][k] += weight * at[j] * at[k];
                a[j][TERMS] += weight * at[j] * value;
            }
        }
        solve(a, terms, t);
    }
}

/* Mean power over all frequencies: measured where that is noise, else fitted. */
static double mean_power(const pel__spectrum *s, const double t[TERMS])
{
    double sum = 0;
    for (int v = 0; v < SIDE; v++) {
        for (int u = 0; u < SIDE; u++) {
            const double fitted = exp(fmin(log_power(t, frequency(v), frequency(u)), t[0] + 1)), found = s->power[v][u];
            sum += v == 0 || u == 0 || (counts(s, v, u) && found > EXCESS * fitted) ? fitted : found;
        }
    }
    return sum / (SIDE * SIDE);
}

/* Correlation at distance 1 of noise whose log-spectrum along an axis is -fall w^2 - bend w^4. */
static double next_correlation(double fall, double bend)
{
    double all = 0, next = 0;
    for (int i = 0; i < 256; i++) {
        const double w = PI * (i + 0.5) / 256, p = exp(fmin(1, -fall * w * w - bend * w * w * w * w));
        all += p;
        next += p * cos(w);
    }
    return next / all;
}

static void end_flatness(pel__spectrum *s)
{
    const int64_t n = s->thin.count, wanted = (int64_t)(FLATTEST * (double)n), least = n < FEWEST ? n : FEWEST;
    qsort(s->flatness, (size_t)n, sizeof *s->flatness, by_value);
    s->limit = n ? s->flatness[(wanted > least ? wanted : least) - 1] : -1;
}

static void end_power(pel__spectrum *s)
{
    pel__spectrum_fit *const fit = &s->fit;
    double straight[TERMS], bent[TERMS], t[TERMS];
    if (fit->cells == 0)
        return;
    for (int i = 0; i < SIDE * SIDE; i++)
        s->power[i / SIDE][i % SIDE] /= (double)fit->cells;
    s->rounding /= (double)fit->cells;
    fit_terms(s, 3, straight);
    fit_terms(s, TERMS, bent);
    for (int i = 0; i < TERMS; i++)
        t[i] = 0.5 * (straight[i] + bent[i]);
    for (int a = 0; a < 2; a++)
        fit->rho[a] = next_correlation(t[1 + a], t[3 + a]);
    fit->variance = mean_power(s, t);
    fit->low_frequency = exp(t[0]) / fit->variance;
}

void pel__spectrum_end_pass(pel__spectrum *s)
{
    static void (*const ends[PEL__SPECTRUM_PASSES])(pel__spectrum *) = {end_flatness, end_power};
    ends[s->pass++](s);
}

void pel__spectrum_result(const pel__spectrum *s, pel__spectrum_fit *out) { *out = s->fit; }
