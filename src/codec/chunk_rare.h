/* SPDX-License-Identifier: MIT
 * Codecs of Zarr chunks that few stores have: decoders of bzip2 and xz, the byte shuffle, and the checksums of numcodecs. */
#ifndef PEL_CODEC_CHUNK_RARE_H
#define PEL_CODEC_CHUNK_RARE_H

#include "codec/chunk_codec.h"

bool pel__bz2_decode(pel__codec_io *io, pel_error *err);
bool pel__lzma_decode(const pel__step *step, pel__codec_io *io, pel_error *err);
int64_t pel__lzma_decode_bytes(const pel__step *step); /* what its decoder may allocate */
bool pel__unshuffle(const pel__step *step, pel__codec_io *io, pel_error *err);
uint32_t pel__fletcher32(const uint8_t *p, int64_t n);

#endif
