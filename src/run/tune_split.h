/* SPDX-License-Identifier: MIT
 * One noisy image into two whose noises are independent and whose truth is the same: a filter's result on the one can
 * then be judged by the other, although nobody knows the truth. */
#ifndef PEL_RUN_TUNE_SPLIT_H
#define PEL_RUN_TUNE_SPLIT_H

#include "pellucid.h"

#define PEL__SPLIT_SHARE 0.1 /* of the light, that judges */

typedef struct pel__split {
    bool counts;          /* false: Gaussian noise */
    double scale, shift;  /* a grey value y stands for (y + shift) / scale, whose variance is its mean, or 1 */
    double dark;          /* counts: variance of read-out noise, as the darkest parts tell it */
    double saturation;    /* grey values from here on judge nothing; 0: none */
    double none[128];     /* probability that none of n is taken */
} pel__split;

/* Of one voxel: what the filter gets is all - taken. NaN: no judge. */
typedef struct pel__split_voxel {
    float all, taken, mean; /* mean: of the neighbourhood */
} pel__split_voxel;

pel__split pel__split_make(double gain, double offset, double saturation);

/* `raw`, `kept`: float blocks of the same region, of which `part` is filled. What the filter shall see, in pass 0, 1, …: another
 * draw each. */
void pel__split_keep(const pel__split *s, const pel_block *raw, const pel_block *kept, const pel_region *part, int64_t pass);

/* The voxel at `at`, as pel__split_keep() saw it. */
pel__split_voxel pel__split_at(const pel__split *s, const pel_block *raw, const int64_t at[PEL_AXES], int64_t pass);

/* The noise that what is kept has. */
pel_noise pel__split_noise(const pel__split *s);

/* Mean of squared error that one voxel stands for, in grey values squared: `found` is what the filter made of it. */
double pel__split_error(const pel__split *s, const pel__split_voxel *v, double found);

#endif
