/* SPDX-License-Identifier: MIT
 * Randomness of the phantom: counter-based, so that any voxel can be drawn alone, in any order, on any thread.
 * A key names a place (seed, scene, t, c, z, y); draw number i of a key is a pure function of both. */
#ifndef PEL_SOURCE_PHANTOM_RANDOM_H
#define PEL_SOURCE_PHANTOM_RANDOM_H

#include <stdint.h>

/* A bijection of 64 bits that changes half of them for every bit of x (the finishing step of SplitMix64). */
static inline uint64_t pel__mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static inline uint64_t pel__draw(uint64_t key, uint64_t i) { return pel__mix(key + (i + 1) * UINT64_C(0x9E3779B97F4A7C15)); }

/* The key of place `at` inside the place `key`. */
static inline uint64_t pel__key(uint64_t key, int64_t at) { return pel__draw(pel__mix(key ^ UINT64_C(0xD6E8FEB86659FD93)), (uint64_t)at); }

/* 53 random bits, strictly between 0 and 1; the float has 23 and is strictly between as well. */
static inline double pel__unit(uint64_t bits) { return ((double)(bits >> 12) + 0.5) * 0x1p-52; }
static inline float pel__unitf(uint64_t bits) { return ((float)(bits >> 41) + 0.5f) * 0x1p-23f; }

#endif
