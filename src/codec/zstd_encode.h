/* SPDX-License-Identifier: MIT
 * zstd frames for chunks of pixels: any decoder reads them; level 1 spends its time where the pixels repay it. */
#ifndef PEL_CODEC_ZSTD_ENCODE_H
#define PEL_CODEC_ZSTD_ENCODE_H

#define ZSTD_STATIC_LINKING_ONLY /* literal compression mode, parameters of a level */
#include <stdbool.h>
#include <zstd.h>

typedef struct pel__zstd_job {
    int level;
    bool checksum;
    const void *src;
    size_t n;
    void *dst;
    size_t capacity; /* at least ZSTD_compressBound(n) */
} pel__zstd_job;

/* One frame that tells its content size. Returns what ZSTD_compress2 does. The bytes depend on the job alone. */
size_t pel__zstd_encode(ZSTD_CCtx *context, const pel__zstd_job *job);

/* The same at level 1 for a plane of single bytes of many pixels. Less room than ZSTD_compressBound(n) is allowed: it may
 * then fail. */
size_t pel__zstd_encode_plane(ZSTD_CCtx *context, const pel__zstd_job *job);

#endif
