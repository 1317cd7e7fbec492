/* SPDX-License-Identifier: MIT
 * How ND-SAFIR's iterations are cut into tiles for the threads, and which tiles of the iteration before a tile waits for. Any
 * cut gives the same bits. */
#ifndef PEL_FILTER_NDSAFIR_TILES_H
#define PEL_FILTER_NDSAFIR_TILES_H

#include "filter/ndsafir.h"

/* The tiles of one iteration: a grid, of which the lowest rows may be cut finer. */
typedef struct pel__tiles {
    pel_region early, late; /* late: empty where all are alike */
    int64_t shape[PEL_AXES], late_shape[PEL_AXES];
    int64_t first, count;   /* numbers: the tiles of one iteration follow those of the one before */
} pel__tiles;

/* Voxels of the largest tile in any iteration. */
void pel__tiles_largest(const pel__ndsafir *s, const pel_region *image, int64_t shape[PEL_AXES]);

/* Those of an iteration whose results cover `out`; first is given. */
void pel__tiles_share(pel__tiles *t, const pel__ndsafir *s, int32_t step, const pel_region *image, const pel_region *out, int32_t threads);

pel_region pel__tiles_at(const pel__tiles *t, int64_t number);

/* The last tile of iteration step - 1 (not of the last iteration) that has to end before this one of iteration `step` may begin: all
 * that it reads are made then, and nobody reads what it replaces any more. */
int64_t pel__tiles_needed(const pel__tiles *before, const pel__ndsafir *s, int32_t step, const pel_region *tile);

#endif
