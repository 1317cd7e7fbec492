/* SPDX-License-Identifier: MIT
 * Exact sampling of the camera noise, a few draws of the counter-based generator a voxel.
 *
 * Poisson: a sum of two independent parts, since Poisson(a + b) = Poisson(a) + Poisson(b). The whole part of a mean below
 * 64 is drawn from its tabulated distribution (inversion, with a guide table that starts the search close to its end); the
 * rest below 1 by plain inversion, which takes one or two steps. Larger means: Hormann's transformed rejection with squeeze
 * (PTRS, "The transformed rejection method for generating Poisson random variables", 1993), exact, and one or two
 * uniform numbers for most draws. Plain rejection for all means was tried first: twice the time, since most voxels of a
 * fluorescence image are dim.
 * Normal: the quantile function of a uniform number; no rejection, one draw. */
#include "source/phantom_noise.h"

#include "core/bytes.h"
#include "source/phantom_random.h"

#include <math.h>
#include <stdlib.h>

#define TABLES 64  /* means 0 .. 63 */
#define LENGTH 160 /* counts of a table; Poisson(63) lies beyond 159 with probability 1e-23 */
#define GUIDES 256
#define STEPS 16   /* of the table of exp(-i / STEPS) */

struct pel__camera {
    double gain, background, readout;
    double decay[STEPS];            /* exp(-i / STEPS) */
    double below[TABLES][LENGTH];   /* [m][k] = P(N <= k) at mean m */
    uint8_t guide[TABLES][GUIDES];  /* first k with P(N <= k) > g / GUIDES */
};

int64_t pel__camera_bytes(void) { return (int64_t)sizeof(pel__camera); }

static void fill_table(pel__camera *c, int m)
{
    double sum = 0.0, p = exp(-(double)m);
    for (int k = 0; k < LENGTH; k++) {
        sum += p;
        c->below[m][k] = sum < 1.0 ? sum : 1.0;
        p *= (double)m / (double)(k + 1);
    }
    c->below[m][LENGTH - 1] = 1.0; /* the search always ends */
    int k = 0;
    for (int g = 0; g < GUIDES; g++) {
        while (c->below[m][k] <= (double)g / GUIDES)
            k++;
        c->guide[m][g] = (uint8_t)k;
    }
}

bool pel__camera_create(pel__camera **out, double gain, double offset, double background, pel_error *err)
{
    const double variance = offset + gain * background;
    if (!(gain >= 0.0 && gain <= 1e6) || !isfinite(offset) || !(fabs(background) <= 1e6))
        return pel__fail(err, PEL_ARGUMENT, "noise: gain %g, offset %g, background %g: gain must be 0 to 1e6, the others finite", gain, offset, background);
    if (!(variance >= 0.0))
        return pel__fail(err, PEL_ARGUMENT, "noise: gain %g and offset %g with background %g make the square of the readout noise %g: it must not "
                         "be negative (offset >= -gain * background = %g)", gain, offset, background, variance, -gain * background);
    pel__camera *c = calloc(1, sizeof *c);
    if (!c)
        return pel__fail(err, PEL_NO_MEMORY, "noise tables of the phantom: %lld bytes", (long long)sizeof *c);
    c->gain = gain;
    c->background = background;
    c->readout = sqrt(variance);
    for (int i = 0; i < STEPS; i++)
        c->decay[i] = exp(-(double)i / STEPS);
    for (int m = 0; m < TABLES; m++)
        fill_table(c, m);
    *out = c;
    return true;
}

void pel__camera_destroy(pel__camera *c) { free(c); }

/* ---- normal -------------------------------------------------------------------------------------------------- */

static double poly(const double *k, double r) /* k[0] + k[1] r + … + k[7] r^7 */
{
    return ((((((k[7] * r + k[6]) * r + k[5]) * r + k[4]) * r + k[3]) * r + k[2]) * r + k[1]) * r + k[0];
}

double pel__normal_quantile(double p)
{
    static const double a[8] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
                                4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double b[8] = {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
                                2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3};
    static const double c[8] = {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
                                1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[8] = {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                                1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9};
    static const double e[8] = {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[8] = {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
                                7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15};
    const double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        const double r = 0.180625 - q * q;
        return q * poly(a, r) / poly(b, r);
    }
    const double r = sqrt(-log(q < 0.0 ? p : 1.0 - p));
    const double v = r <= 5.0 ? poly(c, r - 1.6) / poly(d, r - 1.6) : poly(e, r - 5.0) / poly(f, r - 5.0);
    return q < 0.0 ? -v : v;
}

/* ---- Poisson ------------------------------------------------------------------------------------------------- */

/* Searches count first without branches: which of the likely values comes is a coin toss that no processor predicts. */
static double poisson_table(const pel__camera *c, int m, double u)
{
    const double *below = c->below[m];
    int k = c->guide[m][(int)(u * GUIDES)];
    k += u >= below[k];
    while (u >= below[k])
        k++;
    return (double)k;
}

/* exp(-x), 0 <= x < 1: a table, and the series for what is left of x, below 1 / STEPS; relative error 1e-16. */
static double decay(const pel__camera *c, double x)
{
    const int i = (int)(x * STEPS);
    const double r = (double)i / STEPS - x, r2 = r * r;
    const double low = 1.0 + r + r2 * (0.5 + r * (1.0 / 6)), high = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040) + r2 * (1.0 / 40320));
    return c->decay[i] * (low + r2 * r2 * high);
}

/* Mean below 1. The terms fall fast; past 40 they are below the resolution of u. */
static double poisson_small(const pel__camera *c, double mean, double u)
{
    static const double inverse[4] = {0.0, 1.0, 1.0 / 2, 1.0 / 3};
    double p = decay(c, mean), sum = p;
    int k = u >= sum;
    for (int i = 1; i < 4; i++) {
        p *= mean * inverse[i];
        sum += p;
        k += u >= sum;
    }
    while (k >= 4 && u >= sum + (p *= mean / (double)k) && k < 40) {
        sum += p;
        k++;
    }
    return (double)k;
}

/* ln k!, relative error below 1e-13 for k >= 10, exact product below. */
static double log_factorial(double k)
{
    if (k < 10.0) {
        double p = 1.0;
        for (int i = 2; i <= (int)k; i++)
            p *= (double)i;
        return log(p);
    }
    const double x = k + 1.0, i = 1.0 / (x * x); /* Stirling's series of ln Gamma(k + 1) */
    return (x - 0.5) * log(x) - x + 0.91893853320467274178 + (1.0 / 12 - i * (1.0 / 360 - i * (1.0 / 1260 - i * (1.0 / 1680)))) / x;
}

static double poisson_large(double mean, uint64_t key)
{
    const double slope = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * slope;
    const double inv_alpha = 1.1239 + 1.1328 / (slope - 3.4), bound = 0.9277 - 3.6224 / (slope - 2.0), log_mean = log(mean);
    for (uint64_t i = 0;; i += 2) {
        const double u = pel__unit(pel__draw(key, i)) - 0.5, v = pel__unit(pel__draw(key, i + 1));
        const double us = 0.5 - fabs(u), k = floor((2.0 * a / us + slope) * u + mean + 0.43);
        if (us >= 0.07 && v <= bound)
            return k;
        if (k < 0.0 || (us < 0.013 && v > us))
            continue;
        if (log(v * inv_alpha / (a / (us * us) + slope)) <= k * log_mean - mean - log_factorial(k))
            return k;
    }
}

double pel__poisson(const pel__camera *c, double mean, uint64_t key)
{
    if (mean >= TABLES)
        return poisson_large(mean, key);
    const int m = (int)mean;
    const double rest = poisson_small(c, mean - (double)m, pel__unit(pel__draw(key, 0)));
    return m ? rest + poisson_table(c, m, pel__unit(pel__draw(key, 1))) : rest;
}

/* ---- lines --------------------------------------------------------------------------------------------------- */

void pel__camera_mean(const pel__camera *c, float *y, const float *expected, int64_t n)
{
    const float gain = c->gain > 0.0 ? (float)c->gain : 1.0f, background = (float)c->background;
    for (int64_t i = 0; i < n; i++)
        y[i] = expected[i] * gain + background;
}

void pel__camera_expose(const pel__camera *c, float *y, const float *expected, uint64_t key, int64_t x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t voxel = pel__draw(key, (uint64_t)(x + i));
        const double mean = (double)expected[i];
        const double signal = c->gain > 0.0 ? c->gain * pel__poisson(c, mean, voxel) : mean;
        const double noise = c->readout > 0.0 ? c->readout * pel__normal_quantile(pel__unit(pel__mix(voxel ^ UINT64_C(0x5851F42D4C957F2D)))) : 0.0;
        y[i] = (float)(signal + c->background + noise);
    }
}
