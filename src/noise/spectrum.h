/* SPDX-License-Identifier: MIT
 * The power spectrum of noise that neighbouring pixels share: demosaiced, resampled, deskewed, reconstructed or compressed
 * images, a little blur. It corrects the line of noise.h, which takes the noise for white and so sees only its highest
 * frequencies. The same planes are shown twice, so that memory is small:
 *
 *     for (int pass = 0; pass < PEL__SPECTRUM_PASSES; pass++) {
 *         for each plane: pel__spectrum_add(s, …);
 *         pel__spectrum_end_pass(s);
 *     } */
#ifndef PEL_NOISE_SPECTRUM_H
#define PEL_NOISE_SPECTRUM_H

#include "core/error.h"

#include <stdint.h>

#define PEL__SPECTRUM_PASSES 2

typedef struct pel__spectrum_fit {
    double variance;      /* of a pixel, over what the white line says */
    double low_frequency; /* power at frequency 0 over the variance: the sum of the autocorrelation; 1 for white noise */
    double rho[2];        /* correlation with the next pixel along y, along x */
    int64_t cells;        /* it was measured in; 0: there was none, the rest is of white noise */
} pel__spectrum_fit;

typedef struct pel__spectrum pel__spectrum;

/* The white line, variance = gain x mean + offset; saturation: values from here on are clipped, 0: none; step: between the
 * values that a pixel can have, 0 for floats. One thread. */
bool pel__spectrum_create(pel__spectrum **out, double gain, double offset, double saturation, double step, pel_error *err);
void pel__spectrum_destroy(pel__spectrum *s);

/* A dense plane. */
bool pel__spectrum_add(pel__spectrum *s, const float *pixels, int64_t ny, int64_t nx, pel_error *err);
void pel__spectrum_end_pass(pel__spectrum *s);

/* After the last pass. */
void pel__spectrum_result(const pel__spectrum *s, pel__spectrum_fit *out);

#endif
