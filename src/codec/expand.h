/* SPDX-License-Identifier: MIT
 * How much a compressed stream can unpack to at most: one table for every codec of every format. What a file claims
 * beyond it is refused before a buffer is sized by it. */
#ifndef PEL_CODEC_EXPAND_H
#define PEL_CODEC_EXPAND_H

#include <stdint.h>

enum pel__packing {
    PEL__PACK_NONE, PEL__PACK_DEFLATE, PEL__PACK_LZW, PEL__PACK_PACKBITS, PEL__PACK_ZSTD, PEL__PACK_LZMA, PEL__PACK_JPEG,
    PEL__PACK_JXR, PEL__PACK_BLOSC, PEL__PACK_LZ4, PEL__PACK_OTHER,
};

/* Bytes out of one byte in, at most. */
int64_t pel__expand_ratio(enum pel__packing packing);
/* Bytes that `coded` bytes can unpack to at most; what does not fit into 63 bits is INT64_MAX. */
int64_t pel__expand_most(enum pel__packing packing, int64_t coded);

#endif
