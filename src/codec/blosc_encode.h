/* SPDX-License-Identifier: MIT
 * Blosc buffers of byte-shuffled zstd at level 1, the default of integers and floats. What libblosc makes of the same settings
 * is searched for repetitions throughout; here each plane of bytes is coded as suits it. Any blosc reads them. */
#ifndef PEL_CODEC_BLOSC_ENCODE_H
#define PEL_CODEC_BLOSC_ENCODE_H

#include "codec/zstd_encode.h"
#include "pellucid.h"

#define PEL__BLOSC_PLANE ((int64_t)128 << 10) /* bytes: as much as zstd codes with one table */

typedef struct pel__blosc_job {
    const uint8_t *src;
    int64_t n;
    uint8_t *dst;     /* room for n + 16 bytes */
    uint8_t *room;    /* pel__blosc_room(typesize) bytes */
    int32_t typesize; /* 1, 2, 4 or 8, of which n is a multiple */
} pel__blosc_job;

int64_t pel__blosc_room(int32_t typesize);

/* Returns the length of the buffer, at most n + 16. */
int64_t pel__blosc_encode(ZSTD_CCtx *context, const pel__blosc_job *job);

#endif
