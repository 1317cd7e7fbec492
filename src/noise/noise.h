/* SPDX-License-Identifier: MIT
 * The scales: variance stabilisation and its unbiased inverse, and the estimate of the noise from samples.
 * Model: Y = gain N + e, N Poisson, e Gaussian, so Var(Y) = gain E(Y) + offset with offset = readout^2 - gain * background
 * (e_DC in the papers). gain 0 means Gaussian noise of variance `offset`. */
#ifndef PEL_NOISE_NOISE_H
#define PEL_NOISE_NOISE_H

#include "core/error.h"
#include "pellucid.h"

/* t = forward(y), n values; t may be y. Gaussian (gain 0, or below 1e-5 sqrt(offset)): t = y / sigma, so that the noise
 * of t has variance 1 in both cases. NaN stays NaN. */
void pel__stabilise(float *t, const float *y, int64_t n, double gain, double offset);

/* y = inverse(t): closed form of the exact unbiased inverse (Makitalo and Foi 2013). */
void pel__unstabilise(float *y, const float *t, int64_t n, double gain, double offset);

/* Collects samples of one channel and fits the line. Memory is fixed, whatever is added. One thread. */
typedef struct pel__noise_estimator pel__noise_estimator;

#define PEL__NOISE_CLOUD PEL_NOISE_CLOUD

typedef struct pel__noise_fit {
    double gain, offset;
    double gain_error, offset_error; /* standard errors of the line */
    double r2;                       /* of the weighted fit, 0..1 */
    double saturated;                /* share of samples at the top of the range */
    int64_t blocks;                  /* mean/variance pairs the line went through */
    double skipped[2];               /* residuals where a pixel along y, along x is skipped, over the usual ones; white noise: 1 */
    bool doubtful;                   /* neighbours may share their noise: spectrum.h tells, and corrects the line */
    bool poisson;                    /* false: no significant slope, `offset` is sigma squared and gain 0 */
    double cloud[PEL__NOISE_CLOUD][2]; /* mean and variance of some of the pairs, by mean */
    char remark[160];                /* "" or what makes this estimate doubtful */
} pel__noise_fit;

bool pel__noise_estimator_create(pel__noise_estimator **out, double saturation /* 0 = none */, pel_error *err);
void pel__noise_estimator_destroy(pel__noise_estimator *e);

/* A dense stack of planes (nz, ny, nx) of neighbouring pixels. */
bool pel__noise_estimator_add(pel__noise_estimator *e, const float *pixels, int64_t nz, int64_t ny, int64_t nx, pel_error *err);

/* PEL_REFUSED with a reason where the data cannot tell: saturated, no plane of 20 x 20 pixels. The cloud of *out is there nevertheless,
 * but for data without any pair. */
bool pel__noise_estimator_fit(const pel__noise_estimator *e, pel__noise_fit *out, pel_error *err);

/* The cloud for pictures: mean and variance of pair i (0 <= i < fit.blocks). */
bool pel__noise_estimator_pair(const pel__noise_estimator *e, int64_t i, double *mean, double *variance);

#endif
