/* SPDX-License-Identifier: MIT
 * The data choose the settings: an unbiased estimate of the error of each candidate, on a fixed sample of the image. */
#ifndef PEL_RUN_TUNE_H
#define PEL_RUN_TUNE_H

#include "filter/pipeline.h"
#include "pellucid.h"

#define PEL__MOST_CANDIDATES 24

typedef struct pel__candidate {
    char text[PEL__VALUE_SIZE]; /* what it sets beside the default; "" is the default */
    double risk, error;         /* mean squared error in grey values squared; standard error of its difference to the default's */
} pel__candidate;

/* Of one channel. */
typedef struct pel__tuning {
    pel__candidate list[PEL__MOST_CANDIDATES];
    int32_t count, chosen;
    int64_t voxels; /* of the sample */
} pel__tuning;

#endif
