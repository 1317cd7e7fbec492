/* SPDX-License-Identifier: MIT
 * The small grid that `--tune auto` chooses from, beside the default: wide kernels without aggregation for sparse
 * fluorescence, narrow ones with it for textured scenes. docs/denoising.md has what was measured. */
#include "filter/ndsafir.h"

#include <string.h>

/* steps: windows that grow in other steps, for detail and for strong regular texture; dim: for hardly any light. */
#define PLANE(steps, dim)                                              \
    "",                                                                \
    "aggregate=no strength=0.2 patch=y=2,x=2",                         \
    "aggregate=no strength=0.25 patch=y=2,x=2",                        \
    "aggregate=no strength=0.35 patch=y=2,x=2",                        \
    "aggregate=no strength=0.5",                                       \
    dim,                                                               \
    "aggregate=last strength=1 patch=y=2,x=2",                         \
    "aggregate=last strength=1.2 patch=y=2,x=2",                       \
    "aggregate=last strength=1.4 patch=y=4,x=4",                       \
    "aggregate=last strength=1 patch=y=5,x=5",                         \
    "aggregate=last strength=1.4 patch=y=2,x=2 scales=2 " steps,       \
    "aggregate=last strength=1.8 patch=y=2,x=2 scales=2 " steps,       \
    "aggregate=last strength=1.4 scales=2 " steps,                     \
    "aggregate=last strength=1.8 scales=2 " steps,                     \
    "aggregate=last strength=1.7 patch=y=5,x=5 scales=2 " steps,       \
    "aggregate=last strength=2.2 patch=y=5,x=5 scales=2 " steps,       \
    "aggregate=no strength=0.5 scales=1"

static const char *const plane_fast[] = {PLANE("radius-xy=1,3,4", "aggregate=last strength=0.5 patch=y=5,x=5")};
static const char *const plane[] = {PLANE("radius-xy=1,3,5,7", "aggregate=no strength=0.7")};

/* Windows up to 16 want narrower kernels. */
static const char *const plane_strong[] = {
    "",
    "aggregate=no strength=0.2 patch=y=2,x=2",
    "aggregate=no strength=0.25 patch=y=2,x=2",
    "aggregate=no strength=0.35 patch=y=2,x=2",
    "aggregate=no strength=0.35",
    "aggregate=no strength=0.5",
    "aggregate=last strength=1 patch=y=2,x=2",
    "aggregate=last strength=1.2 patch=y=2,x=2",
    "aggregate=last strength=1.6 patch=y=2,x=2",
    "aggregate=last strength=1.4",
    "aggregate=last strength=1.8",
    "aggregate=last strength=1.8 patch=y=4,x=4",
    "aggregate=last strength=1 patch=y=5,x=5",
    "aggregate=last strength=1.4 patch=y=2,x=2 scales=2 radius-xy=1,3,8,15",
    "aggregate=last strength=1.7 patch=y=5,x=5 scales=2 radius-xy=1,3,6,11,12",
    "aggregate=last strength=2.2 patch=y=5,x=5 scales=2 radius-xy=1,3,6,11,12",
    "aggregate=no strength=0.5 scales=1",
};

/* Slow: the window grows in more steps, for few photons and for texture. */
#define CELLS "coarse-xy=1,2,3,5 coarse-z=1,1,1,1"
#define VOLUME(slow)                                                   \
    "",                                                                \
    "aggregate=last strength=1 patch=z=1,y=1,x=1",                     \
    "aggregate=no strength=0.35 first=2",                              \
    "aggregate=no strength=0.5 first=2",                               \
    "aggregate=no strength=0.7 first=2",                               \
    "aggregate=no strength=0.25 first=2 patch=z=1,y=1,x=1 scales=2 " CELLS " " slow, \
    "aggregate=no strength=0.35 first=2 patch=z=1,y=1,x=1 scales=2 " CELLS " " slow, \
    "aggregate=last strength=0.7 scales=2 " CELLS " " slow,            \
    "aggregate=last strength=1 scales=2 " slow,                        \
    "aggregate=last strength=1.4 scales=2 " slow,                      \
    "aggregate=last strength=2 scales=1 " slow,                        \
    "aggregate=no strength=0.5 first=2 patch=z=1,y=1,x=1 scales=1"

static const char *const volume_fast[] = {VOLUME("radius-xy=1,2,2,3")};
static const char *const volume[] = {VOLUME("radius-xy=1,2,3,5")};
static const char *const volume_strong[] = {VOLUME("radius-xy=1,2,4,8")};

/* Windows and all: what moves slowly is sought over many frames, what jumps in the plane, what rests along t. */
#define FLAT "coarse-xy=1,2,4 coarse-t=1,1,1 "
#define LONG "coarse-xy=1,1,2 coarse-t=1,2,7 "
#define SERIES(wide, rest)                                             \
    "",                                                                \
    "aggregate=no strength=0.35 first=2",                              \
    "aggregate=no strength=0.5 first=2",                               \
    "aggregate=last strength=1 patch=y=3,x=3",                         \
    "aggregate=last strength=1 patch=y=3,x=3 scales=2 " wide,          \
    "aggregate=last strength=1.4 patch=y=3,x=3 scales=2 " wide,        \
    "aggregate=last strength=1.4 patch=y=3,x=3 scales=2 " FLAT wide,   \
    "aggregate=last strength=2 patch=y=3,x=3 scales=2 " FLAT wide,     \
    "aggregate=last strength=1 first=2 patch=y=3,x=3 scales=2 " LONG rest, \
    "aggregate=no strength=0.35 first=2 scales=2 " LONG rest,          \
    "aggregate=no strength=0.5 first=2 scales=2 " LONG rest,           \
    "aggregate=no strength=0.35 first=2 patch=t=1,y=3,x=3 scales=2 " LONG rest, \
    "aggregate=no strength=0.5 first=2 patch=t=1,y=3,x=3 scales=2 " LONG rest, \
    "aggregate=no strength=0.5 first=2 scales=1"

static const char *const series_fast[] = {SERIES("radius-xy=1,2,3 radius-t=1,1,1", "radius-xy=1,1,2 radius-t=1,2,4")};
static const char *const series[] = {SERIES("radius-xy=1,2,5 radius-t=1,1,1", "radius-xy=1,1,2 radius-t=1,2,7")};
static const char *const series_strong[] = {SERIES("radius-xy=1,2,4,8 radius-t=1,1,1,1", "radius-xy=1,2,4 radius-t=1,2,6")};

typedef struct list {
    const char *const *of;
    int32_t count;
} list;

#define LIST(a) {a, (int32_t)(sizeof(a) / sizeof((a)[0]))}

const char *const *pel__ndsafir_tuning(const pel__values *typed, const pel_image *image, int32_t *count)
{
    static const list lists[3][3] = {{LIST(plane_fast), LIST(plane), LIST(plane_strong)},
                                     {LIST(series_fast), LIST(series), LIST(series_strong)},
                                     {LIST(volume_fast), LIST(volume), LIST(volume_strong)}};
    const char *const quality = pel__value_text(typed, "quality");
    const list *l = &lists[image->shape[PEL_Z] > 1 ? 2 : image->shape[PEL_T] > 1][1 - (strcmp(quality, "fast") == 0) + (strcmp(quality, "strong") == 0)];
    *count = l->count;
    return l->of;
}
