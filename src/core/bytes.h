/* SPDX-License-Identifier: MIT
 * Checked arithmetic on sizes, little-endian access to bytes, and the two checksums.
 * Sizes that come from a file or a user go through pel__mul / pel__add / pel__narrow before any use. */
#ifndef PEL_CORE_BYTES_H
#define PEL_CORE_BYTES_H

#include "pellucid.h"

#include <string.h>

/* *out = a op b; false (and *out undefined) where the result does not fit. */
static inline bool pel__mul(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool pel__add(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }

/* Product of n factors, none negative; false on overflow or a negative factor. The empty product is 1. */
bool pel__product(const int64_t *factors, int32_t n, int64_t *out);

/* Ceiling of a / b for a >= 0, b > 0; a rounded up to a multiple of b (caller knows that it fits). */
static inline int64_t pel__ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
static inline int64_t pel__round_up(int64_t a, int64_t b) { return pel__ceil_div(a, b) * b; }
static inline int64_t pel__min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t pel__max(int64_t a, int64_t b) { return a > b ? a : b; }

/* Unaligned little-endian loads and stores. pellucid builds for little-endian machines only (checked by the build). */
#define PEL__LE(name, type)                                                                                       \
    static inline type pel__load_##name(const void *p) { type v; memcpy(&v, p, sizeof v); return v; }            \
    static inline void pel__store_##name(void *p, type v) { memcpy(p, &v, sizeof v); }
PEL__LE(u16, uint16_t)
PEL__LE(u32, uint32_t)
PEL__LE(i32, int32_t)
PEL__LE(u64, uint64_t)
PEL__LE(i64, int64_t)
PEL__LE(f32, float)
PEL__LE(f64, double)
#undef PEL__LE

/* Turns around the bytes of each item, of files in the other order. n: bytes, a multiple of size. */
void pel__swap_items(void *items, int64_t n, int64_t size);

/* CRC-32C (Castagnoli; Zarr's codec and the ledger's): start with 0, chain by passing the last result.
 * "123456789" gives 0xE3069283. */
uint32_t pel__crc32c(uint32_t crc, const void *data, size_t n);

/* CRC-32 (zlib's, of pixel checksums): the same calling rule. "123456789" gives 0xCBF43926. */
uint32_t pel__crc32(uint32_t crc, const void *data, size_t n);

#endif
