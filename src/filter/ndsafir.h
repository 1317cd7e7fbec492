/* SPDX-License-Identifier: MIT
 * ND-SAFIR's settings as numbers, shared by its files: ndsafir_settings.c makes them, ndsafir.c runs with them. */
#ifndef PEL_FILTER_NDSAFIR_H
#define PEL_FILTER_NDSAFIR_H

#include "filter/filter.h"
#include "filter/ndsafir_kernel.h"

typedef struct pel__ndsafir {
    int32_t steps;                                /* iterations */
    int64_t radius[PEL__MAX_STEPS][PEL__ND];      /* of the window */
    int64_t patch[PEL__ND];
    int64_t channels;                             /* compared together: 1, or all of the image */
    bool aggregate;                               /* in the last iteration */
    float spots;                                  /* threshold of ndsafir_spots.h; 0: no search */
    float exponent[PEL__MAX_STEPS];               /* makes -log2(weight) of sum (u_i - u_j)^2 (1/v_i + 1/v_j) */
    const pel__ndsafir_isa *isa;
} pel__ndsafir;

#define PEL__NDSAFIR_PARAMS 19
extern const pel__param pel__ndsafir_params[PEL__NDSAFIR_PARAMS];

bool pel__ndsafir_resolve(pel__values *v, const pel_image *image, pel_error *err);
bool pel__ndsafir_check(const pel__values *v, const pel_image *image, pel_error *err);

/* Of resolved and checked values. */
void pel__ndsafir_settings(pel__ndsafir *out, const pel__values *v, const pel_image *image);

/* The same for the image of cells (ndsafir_scales.h); false where there is none. */
bool pel__ndsafir_coarse(pel__ndsafir *out, const pel__values *v, const pel_image *image);

/* How far iteration `step` (0-based) reads around a voxel, an axis of the kernel. */
int64_t pel__ndsafir_reach(const pel__ndsafir *s, int32_t step, int axis);

/* The value that a chi-square variable of this many degrees of freedom exceeds with this probability. */
double pel__chi_square_limit(int64_t freedom, double probability);

/* Axis of the image of an axis of the kernel. */
static inline int pel__ndsafir_axis(int kernel_axis) { return kernel_axis == PEL__NT ? PEL_T : kernel_axis + 1; }

/* ndsafir_tuning.c: see pel__filter_type.tuning. */
const char *const *pel__ndsafir_tuning(const pel__values *typed, const pel_image *image, int32_t *count);

#endif
