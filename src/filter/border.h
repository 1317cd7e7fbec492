/* SPDX-License-Identifier: MIT
 * What lies beyond the faces of the image, in the words of scipy.ndimage. */
#ifndef PEL_FILTER_BORDER_H
#define PEL_FILTER_BORDER_H

#include <stdint.h>
#include <string.h>

enum pel__border {
    PEL__REFLECT,  /* d c b a | a b c d | d c b a */
    PEL__MIRROR,   /*   d c b | a b c d | c b a   */
    PEL__NEAREST,  /* a a a a | a b c d | d d d d */
    PEL__CONSTANT, /* 0 0 0 0 | a b c d | 0 0 0 0 */
};
#define PEL__BORDER_CHOICES "reflect|mirror|nearest|constant"

static inline enum pel__border pel__border_named(const char *name)
{
    return strcmp(name, "constant") == 0  ? PEL__CONSTANT
           : strcmp(name, "nearest") == 0 ? PEL__NEAREST
           : strcmp(name, "mirror") == 0  ? PEL__MIRROR
                                          : PEL__REFLECT;
}

/* The voxel of an axis of n that stands at coordinate i; -1 where there is none (constant). */
static inline int64_t pel__border_at(enum pel__border mode, int64_t i, int64_t n)
{
    if (i >= 0 && i < n)
        return i;
    if (mode == PEL__CONSTANT)
        return -1;
    if (mode == PEL__NEAREST || n == 1)
        return i < 0 ? 0 : n - 1;
    const int64_t period = mode == PEL__MIRROR ? 2 * (n - 1) : 2 * n;
    i %= period;
    if (i < 0)
        i += period;
    return i < n ? i : mode == PEL__MIRROR ? period - i : period - 1 - i;
}

#endif
