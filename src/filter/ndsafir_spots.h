/* SPDX-License-Identifier: MIT
 * Isolated bright spots that averaging took away, given back. A spot of which there is no second in the window loses to the
 * many voxels around it; what it lost stands in the residual (raw data less estimate, both stabilised), which is noise of
 * variance 1 elsewhere. The residual is correlated with a spot (a Gaussian, sigma 0.8 pixels, 5 x 5, norm 1); where that
 * exceeds the threshold, with a rim of Gaussian weights around (sigma 1, together at most 1), the residual smoothed a little
 * (Gaussian, sigma 0.5, 3 x 3) is added to the estimate. Plane by plane; beyond the faces it is mirrored, and nothing found. */
#ifndef PEL_FILTER_NDSAFIR_SPOTS_H
#define PEL_FILTER_NDSAFIR_SPOTS_H

#include "filter/ndsafir_kernel.h"
#include "pellucid.h"

#define PEL__SPOTS_REACH 4 /* voxels along y and x around one that decide what it is given */

/* Floats that one thread takes. */
int64_t pel__spots_scratch(void);

typedef struct pel__spots {
    const pel_block *u, *residual; /* no NaN in the latter */
    const pel_region *image;
    const pel__ndsafir_isa *isa;
    float threshold;               /* above 0 */
} pel__spots;

/* Adds what is given back to u, within `part` (of one t, c, z), by what the residuals say within part grown by the reach and
 * cut at the image. */
void pel__spots_give(const pel__spots *s, const pel_region *part, float *scratch);

#endif
