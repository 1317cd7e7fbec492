/* SPDX-License-Identifier: MIT
 * The Gaussian filters' settings as numbers, shared by their files: gauss_settings.c makes them, gauss.c runs with them.
 * The Gaussian is one kernel, the difference of Gaussians two that are taken along together. */
#ifndef PEL_FILTER_GAUSS_H
#define PEL_FILTER_GAUSS_H

#include "filter/border.h"
#include "filter/filter.h"
#include "filter/gauss_kernel.h"

#define PEL__GAUSS_MOST_RADIUS 8192

typedef struct pel__gauss {
    int32_t kernels;              /* 1, or 2: the first minus the second */
    double sigma[2][PEL_AXES];    /* voxels; 0: the axis is not filtered */
    int64_t radius[2][PEL_AXES];
    int32_t axis[PEL_AXES], axis_count; /* filtered by either kernel, in the order of work; at least one */
    enum pel__border border;
    float scale, offset;          /* of the difference */
    pel__gauss_kernel *kernel;
} pel__gauss;

#define PEL__GAUSSIAN_PARAMS 6
#define PEL__DOG_PARAMS 8
extern const pel__param pel__gaussian_params[PEL__GAUSSIAN_PARAMS], pel__dog_params[PEL__DOG_PARAMS];

bool pel__gauss_resolve(pel__values *v, const pel_image *image, pel_error *err);
bool pel__gauss_check(const pel__values *v, const pel_image *image, pel_error *err);

/* Of resolved and checked values. */
void pel__gauss_settings(pel__gauss *out, const pel__values *v, const pel_image *image);

/* Sampled Gaussian, normalised so that weight[0] + 2 (weight[1] + … + weight[radius]) is 1. The same bits everywhere. */
void pel__gauss_weights(double *weight, int64_t radius, double sigma);

#endif
