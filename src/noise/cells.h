/* SPDX-License-Identifier: MIT
 * Inside the noise room: spectra of small cells, and the line through their noise. */
#ifndef PEL_NOISE_CELLS_H
#define PEL_NOISE_CELLS_H

#include "core/error.h"
#include "noise/thin.h"

#include <stdint.h>

#define PEL__CELL 8        /* pixels a side */
#define PEL__CELL_BANDS 6  /* of spatial frequency, the lowest first */
#define PEL__CELL_TILE 32  /* cells a side that are looked at together */
#define PEL__CELLS 32768   /* kept */

typedef struct pel__cell {
    float mean, around;            /* of its pixels; of its neighbours' */
    float near;                    /* flatness of the neighbours: pel__cell_energy, their mean */
    float top;                     /* largest value */
    float energy[PEL__CELL_BANDS]; /* sums of squares of the coefficients of a band */
} pel__cell;

typedef struct pel__cells {
    pel__cell *kept, *tile;
    unsigned char *valid; /* of the tile */
    pel__thin thin;       /* of kept */
    double basis[PEL__CELL][PEL__CELL];
    unsigned char band[PEL__CELL][PEL__CELL]; /* of a coefficient */
} pel__cells;

bool pel__cells_create(pel__cells *c, pel_error *err);
void pel__cells_destroy(pel__cells *c);

/* Overlapping cells of a dense plane; those with saturated (0: none) or odd values and constant ones are left out. */
void pel__cells_add(pel__cells *c, const float *pixels, int64_t ny, int64_t nx, double saturation);

/* How many of the cells that are kept share a pixel, about. */
double pel__cells_overlap(const pel__cells *c);

/* Coefficients in a band, and how much a band counts where flatness is judged. */
int64_t pel__cell_coefficients(int band);
double pel__cell_counts(int band);

/* Sum over the bands of what they count. */
double pel__cell_energy(const float energy[PEL__CELL_BANDS]);

typedef struct pel__noise_line {
    double gain, offset, gain_error, offset_error;
} pel__noise_line;

/* What the line is fitted from besides the cells. */
typedef struct pel__line_task {
    const pel__cells *cells;
    float full;     /* cells that reach this value are left out */
    double darkest; /* mean of the darkest part of the image */
    bool level;     /* one variance for all grey values */
} pel__line_task;

#define PEL__FEWEST_CELLS 200

/* Improves *line, the first guess; *line stays where there are fewer than PEL__FEWEST_CELLS. */
bool pel__noise_line_fit(const pel__line_task *task, pel__noise_line *line, pel_error *err);

#endif
