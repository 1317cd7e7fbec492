/* SPDX-License-Identifier: MIT
 * Pure algebra of half-open boxes (pel_region). All regions of one call have the same ndim. */
#ifndef PEL_CORE_REGION_H
#define PEL_CORE_REGION_H

#include "pellucid.h"

pel_region pel__region(int32_t ndim, const int64_t *origin /* NULL = zeros */, const int64_t *shape);
bool pel__region_empty(const pel_region *r);
bool pel__region_equal(const pel_region *a, const pel_region *b);
bool pel__region_inside(const pel_region *a, const pel_region *b); /* a within b; an empty a is inside anything */

/* Voxels; the caller's regions come from images whose voxel count was checked at open, so this cannot overflow. */
int64_t pel__region_voxels(const pel_region *r);

/* Common part; empty (shape with a zero, origin at the larger of both) where there is none. */
pel_region pel__region_intersect(const pel_region *a, const pel_region *b);

/* Smallest box that holds both; an empty one adds nothing. */
pel_region pel__region_union(const pel_region *a, const pel_region *b);

/* Grown by `before` towards lower and `after` towards higher coordinates, then cut at `bounds`. */
pel_region pel__region_grow(const pel_region *r, const int64_t *before, const int64_t *after, const pel_region *bounds);

/* Regular grid of cells of shape `cell` from the origin of `bounds`; last cells are cut at the bounds.
 * Count of cells an axis; the cell of a C-order index. */
void pel__grid_shape(const pel_region *bounds, const int64_t *cell, int64_t *count);
int64_t pel__grid_cells(const pel_region *bounds, const int64_t *cell);
pel_region pel__grid_cell(const pel_region *bounds, const int64_t *cell, int64_t index);

/* "[0:1, 3:4, 0:64]" into text, for messages; always terminated. */
const char *pel__region_text(const pel_region *r, char *text, size_t size);

#endif
