/* SPDX-License-Identifier: MIT
 * Lines of a block into panels and results out of them: what the sums of gauss_kernel.c work on. */
#ifndef PEL_FILTER_GAUSS_PANELS_H
#define PEL_FILTER_GAUSS_PANELS_H

#include "filter/gauss_kernel.h"
#include "pellucid.h"

/* Lines of one source in panels: coordinates first .. end-1 of every group. */
typedef struct pel__panels {
    float *data;
    int64_t first, end, room; /* room: coordinates that fit */
    float ground;             /* taken off all that is read */
} pel__panels;

/* Lines of a task. Along x they are rows of the region, counted in C order; otherwise neighbours in one row. */
typedef struct pel__bundle {
    const pel_region *region; /* from, or to */
    int axis;
    int64_t first, count;     /* along x: number of the first row */
    int64_t at[PEL_AXES];     /* otherwise: the first line, at the region's origin of `axis` */
} pel__bundle;

/* Bundles of `width` lines along `axis` that a region falls into, and one of them. Keeps the region's address. */
int64_t pel__bundles(const pel_region *r, int axis, int64_t width);
pel__bundle pel__bundle_at(const pel_region *r, int axis, int64_t width, int64_t index);

/* Makes p hold coordinates begin .. end-1 of the lines; strips come in order, what is there already stays: its source
 * may have been overwritten with results meanwhile. */
void pel__panels_fill(pel__panels *p, const pel__bundle *b, const pel_block *src, int64_t begin, int64_t end);

/* Coordinates begin .. end-1 of the lines, from panels of `room` coordinates each, into a block of floats. */
void pel__panels_put(const pel__bundle *b, const pel_block *dst, const float *panel, int64_t room, int64_t begin, int64_t end);

#endif
