/* SPDX-License-Identifier: MIT
 * The small grid that `--tune auto` chooses from, beside the default: wide kernels without aggregation for sparse
 * fluorescence, narrow ones with it for textured scenes. docs/denoising.md has what was measured. */
#include "filter/ndsafir.h"

static const char *const plane[] = {
    "",
    "aggregate=no strength=0.25",
    "aggregate=no strength=0.35",
    "aggregate=no strength=0.5",
    "aggregate=no strength=0.7",
    "aggregate=no strength=0.5 patch=y=2,x=2",
    "aggregate=last strength=0.7",
    "aggregate=last strength=1.4",
    "aggregate=last strength=1.4 patch=y=2,x=2",
    "aggregate=last strength=1.8 patch=y=2,x=2",
    "aggregate=last strength=1.2 patch=y=4,x=4",
    "aggregate=last strength=1.7 patch=y=5,x=5",
    "aggregate=last strength=2.2 patch=y=5,x=5",
};

static const char *const volume[] = {
    "",
    "aggregate=no strength=0.35",
    "aggregate=no strength=0.5",
    "aggregate=no strength=0.7",
    "aggregate=no strength=1.4",
    "aggregate=no strength=0.7 patch=z=1,y=2,x=2",
    "aggregate=last strength=1",
    "aggregate=last strength=1.4",
};

static const char *const series[] = {
    "",
    "aggregate=no strength=0.35",
    "aggregate=no strength=0.5",
    "aggregate=no strength=0.7",
    "aggregate=no strength=1.4",
    "aggregate=no strength=0.7 patch=t=1,y=1,x=1",
    "aggregate=last strength=1",
    "aggregate=last strength=1.4",
};

#define LIST(a) *count = (int32_t)(sizeof(a) / sizeof((a)[0])); return a

const char *const *pel__ndsafir_tuning(const pel_image *image, int32_t *count)
{
    if (image->shape[PEL_Z] > 1) {
        LIST(volume);
    }
    if (image->shape[PEL_T] > 1) {
        LIST(series);
    }
    LIST(plane);
}
