/* SPDX-License-Identifier: MIT
 * The steady clock: for how long something took, and until when to wait. */
#ifndef PEL_CORE_CLOCK_H
#define PEL_CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Seconds. */
static inline double pel__now(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Whole milliseconds. */
static inline int64_t pel__now_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#endif
