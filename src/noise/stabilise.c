/* SPDX-License-Identifier: MIT
 * Variance stabilisation: the generalised Anscombe transform and the closed form of its exact unbiased inverse. Plain
 * loops over independent values in fixed-order float32, so that a value's bits do not depend on its neighbours. */
#include "noise/noise.h"

#include <math.h>

/* Also where the gain is so small beside the read-out noise that the transform would leave float32's precision
 * (t above 2e5): the variance then hardly depends on the mean. */
static bool is_gaussian(double gain, double offset)
{
    return gain == 0 || (offset > 0 && gain < 1e-5 * sqrt(offset));
}

void pel__stabilise(float *t, const float *y, int64_t n, double gain, double offset)
{
    if (is_gaussian(gain, offset)) {
        const float sigma = (float)sqrt(offset);
        for (int64_t i = 0; i < n; i++)
            t[i] = y[i] / sigma;
        return;
    }
    const float g = (float)gain, shift = (float)(0.375 * gain * gain + offset), scale = (float)(2 / gain);
    for (int64_t i = 0; i < n; i++) {
        const float v = g * y[i] + shift;
        t[i] = scale * sqrtf(v < 0 ? 0.0f : v); /* NaN stays NaN */
    }
}

/* q below is the count that a stabilised mean t stands for, plus (readout / gain)^2; below the t of no light it is 0.
 * Readout and background cancel but for offset / gain, so that they need not be known apart. */
void pel__unstabilise(float *y, const float *t, int64_t n, double gain, double offset)
{
    if (is_gaussian(gain, offset)) {
        const float sigma = (float)sqrt(offset);
        for (int64_t i = 0; i < n; i++)
            y[i] = t[i] * sigma;
        return;
    }
    const float g = (float)gain, dark = (float)(offset / gain), darkest = 1.2247449f; /* 2 sqrt(3/8) */
    for (int64_t i = 0; i < n; i++) {
        const float v = t[i] < darkest ? darkest : t[i], r = 1.0f / v;
        const float q = 0.25f * v * v + ((0.76546554f * r - 1.375f) * r + 0.30618622f) * r - 0.125f;
        y[i] = g * (q < 0 ? 0.0f : q) - dark;
    }
}
