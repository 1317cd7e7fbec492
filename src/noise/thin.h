/* SPDX-License-Identifier: MIT
 * A list of bounded length out of items without number, evenly thinned: when it is full, every second item stays and from then
 * on every second one is taken. No chance is in it: the same items give the same list. */
#ifndef PEL_NOISE_THIN_H
#define PEL_NOISE_THIN_H

#include <stdint.h>
#include <string.h>

typedef struct pel__thin {
    int64_t count, stride, seen; /* begin with {.stride = 1}: one of so many items is in the list */
} pel__thin;

/* Copies the next item of this size into the list (`capacity` items, an even number), or leaves it out. */
static inline void pel__thin_add(pel__thin *t, void *list, int64_t capacity, const void *item, size_t size)
{
    char *const p = list;
    if (t->seen++ % t->stride)
        return;
    if (t->count == capacity) {
        for (int64_t i = 1; i < capacity / 2; i++)
            memcpy(p + (size_t)i * size, p + (size_t)(2 * i) * size, size);
        t->count = capacity / 2;
        t->stride *= 2;
        if ((t->seen - 1) % t->stride)
            return;
    }
    memcpy(p + (size_t)t->count++ * size, item, size);
}

#endif
