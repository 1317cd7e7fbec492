/* SPDX-License-Identifier: MIT
 * The small grid that `--tune auto` chooses from, beside the default: wide kernels without aggregation for sparse
 * fluorescence, narrow ones with it for textured scenes. docs/denoising.md has what was measured. */
#include "filter/ndsafir.h"

#include <string.h>

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

/* Windows and all: what moves slowly is sought over many frames, what jumps in the plane, what rests along t. */
#define SERIES(wide, rest)                                             \
    "",                                                                \
    "aggregate=no strength=0.35 first=2",                              \
    "aggregate=no strength=0.5 first=2",                               \
    "aggregate=no strength=0.5",                                       \
    "aggregate=no strength=0.7 patch=t=1,y=3,x=3",                     \
    "aggregate=no strength=0.7 patch=y=3,x=3 first=2",                 \
    "aggregate=last strength=1",                                       \
    "aggregate=last strength=1.4 patch=y=3,x=3",                       \
    "aggregate=last strength=2 patch=y=3,x=3",                         \
    "aggregate=last strength=1 first=2 patch=y=3,x=3 " wide,           \
    "aggregate=last strength=2 patch=y=3,x=3 " wide,                   \
    "aggregate=no strength=0.5 first=2 patch=t=1,y=3,x=3 " rest

static const char *const series_fast[] = {SERIES("radius-xy=1,2,3 radius-t=1,1,1", "radius-xy=1,1,2 radius-t=1,2,4")};
static const char *const series[] = {SERIES("radius-xy=1,2,5 radius-t=1,1,1", "radius-xy=1,1,2 radius-t=1,2,7")};
static const char *const series_strong[] = {SERIES("radius-xy=1,2,4,8 radius-t=1,1,1,1", "radius-xy=1,2,4 radius-t=1,2,6")};

#define LIST(a) *count = (int32_t)(sizeof(a) / sizeof((a)[0])); return a

const char *const *pel__ndsafir_tuning(const pel__values *typed, const pel_image *image, int32_t *count)
{
    const char *const quality = pel__value_text(typed, "quality");
    if (image->shape[PEL_Z] > 1) {
        LIST(volume);
    }
    if (image->shape[PEL_T] > 1 && strcmp(quality, "fast") == 0) {
        LIST(series_fast);
    }
    if (image->shape[PEL_T] > 1 && strcmp(quality, "strong") == 0) {
        LIST(series_strong);
    }
    if (image->shape[PEL_T] > 1) {
        LIST(series);
    }
    LIST(plane);
}
