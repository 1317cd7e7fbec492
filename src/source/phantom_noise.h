/* SPDX-License-Identifier: MIT
 * The camera of the phantom: Y = gain N + e, N Poisson, e normal with mean `background` and deviation `readout`. */
#ifndef PEL_SOURCE_PHANTOM_NOISE_H
#define PEL_SOURCE_PHANTOM_NOISE_H

#include "core/error.h"
#include "pellucid.h"

typedef struct pel__camera pel__camera;

/* gain 0: no photon statistics, one grey level an expected count. offset = readout^2 - gain * background;
 * PEL_ARGUMENT where that makes readout^2 negative. */
bool pel__camera_create(pel__camera **out, double gain, double offset, double background, pel_error *err);
void pel__camera_destroy(pel__camera *c);
int64_t pel__camera_bytes(void);

/* Grey values that the camera shows on average: what a perfect denoiser would return. */
void pel__camera_mean(const pel__camera *c, float *y, const float *expected, int64_t n);

/* Noisy grey values of voxels x .. x + n - 1 of the line that `key` names. Any thread. May work in place. */
void pel__camera_expose(const pel__camera *c, float *y, const float *expected, uint64_t key, int64_t x, int64_t n);

/* Inverse of the normal distribution function, 0 < p < 1 (Wichura's AS 241, relative error about 1e-16). */
double pel__normal_quantile(double p);

/* One draw of the Poisson distribution of this mean (0 <= mean < 1e9), from the key's own stream. */
double pel__poisson(const pel__camera *c, double mean, uint64_t key);

#endif
