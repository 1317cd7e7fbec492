/* SPDX-License-Identifier: MIT
 * zstd frames of known size into memory of known size, one context a thread. */
#ifndef PEL_CODEC_UNZSTD_H
#define PEL_CODEC_UNZSTD_H

#include "pellucid.h"

typedef struct pel__unzstd pel__unzstd; /* a context; one thread at a time */

#define PEL__UNZSTD_BYTES INT64_C(262144) /* a context takes less */

/* Bytes that the frame at src says it holds: -1 = it does not say, -2 = it is no zstd frame. */
int64_t pel__unzstd_size(const void *src, size_t n);

/* Decodes into dst, which holds `capacity` bytes; *got says how many came. *ctx is made on first use (start with NULL).
 * PEL_DAMAGED where the stream does not hold, or gives more than fits. */
bool pel__unzstd_decode(pel__unzstd **ctx, void *dst, size_t capacity, size_t *got, const void *src, size_t n, pel_error *err);
void pel__unzstd_destroy(pel__unzstd *ctx);

/* Undoes the split of 16-bit samples into all low bytes, then all high bytes: n samples into dst. */
void pel__hilo_unpack(uint16_t *dst, const uint8_t *low, const uint8_t *high, int64_t n);

#endif
