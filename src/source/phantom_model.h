/* SPDX-License-Identifier: MIT
 * What the phantom shows, before noise: expected photon counts, a pure function of seed and place. */
#ifndef PEL_SOURCE_PHANTOM_MODEL_H
#define PEL_SOURCE_PHANTOM_MODEL_H

#include "pellucid.h"

#define PEL__PHANTOM_KINDS 4 /* channel c shows kind c % 4 */

/* A box of one channel at one time, axes z y x, dense. */
typedef struct pel__brick {
    int64_t origin[3], shape[3];
    float *data;
} pel__brick;

/* Overwrites the brick with the expected counts. The same voxel gets the same bits from every brick that holds it.
 * Any thread; allocates nothing. */
void pel__phantom_expected(const pel__brick *b, uint64_t seed, int64_t t, int64_t c, float brightness);

const char *pel__phantom_kind_name(int64_t c);
uint32_t pel__phantom_kind_rgb(int64_t c);
void pel__phantom_kind_waves(int64_t c, double *excitation_nm, double *emission_nm);

#endif
