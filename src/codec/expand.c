/* SPDX-License-Identifier: MIT
 * See expand.h. Each bound follows from the shortest code for the longest run that the format can write:
 *   deflate   a match of 258 bytes takes two bits at least: zlib's 1032 : 1
 *   LZW       a code of 9 bits or more stands for at most 4095 bytes
 *   PackBits  128 bytes of two
 *   zstd      a block of 128 KiB that repeats one byte takes four bytes
 *   LZMA      a repeated match of 273 bytes takes 14 decisions of 0.022 bits each at least
 *   JPEG      a block of 64 samples takes one bit at least; with subsampled colour up to eight bytes come of a sample
 *   JPEG XR   a block of 16 x 16 pixels of 12 bytes takes one bit at least
 *   blosc     as zstd, the best of its inner codecs
 *   LZ4       a length grows by 255 a byte
 * Others (WebP, LERC, JPEG 2000, ...) write a constant picture of any size in a few dozen bytes. */
#include "codec/expand.h"

#include "core/bytes.h"

static const int64_t ratios[] = {
    [PEL__PACK_NONE] = 1, [PEL__PACK_DEFLATE] = 1032, [PEL__PACK_LZW] = 3640, [PEL__PACK_PACKBITS] = 64, [PEL__PACK_ZSTD] = 32768,
    [PEL__PACK_LZMA] = 7100, [PEL__PACK_JPEG] = 4096, [PEL__PACK_JXR] = 24576, [PEL__PACK_BLOSC] = 32768, [PEL__PACK_LZ4] = 255,
    [PEL__PACK_OTHER] = 1 << 21,
};

int64_t pel__expand_ratio(enum pel__packing packing) { return ratios[packing]; }

int64_t pel__expand_most(enum pel__packing packing, int64_t coded)
{
    int64_t most = 0;
    return pel__mul(pel__max(coded, 0), ratios[packing], &most) ? most : INT64_MAX;
}
