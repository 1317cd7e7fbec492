/* SPDX-License-Identifier: MIT
 * Holds the place of the noise estimator until it lands: delete this file with that commit. Until then a run needs
 * --noise, and says so. */
#include "noise/noise.h"

bool pel__noise_estimator_create(pel__noise_estimator **out, double saturation, pel_error *err)
{
    return pel__fail(err, PEL_UNSUPPORTED, "the noise cannot be estimated yet: give --noise");
}

void pel__noise_estimator_destroy(pel__noise_estimator *e) {}

bool pel__noise_estimator_add(pel__noise_estimator *e, const float *pixels, int64_t nz, int64_t ny, int64_t nx, pel_error *err)
{
    return pel__fail(err, PEL_UNSUPPORTED, "the noise cannot be estimated yet: give --noise");
}

bool pel__noise_estimator_fit(const pel__noise_estimator *e, pel__noise_fit *out, pel_error *err)
{
    return pel__fail(err, PEL_UNSUPPORTED, "the noise cannot be estimated yet: give --noise");
}
