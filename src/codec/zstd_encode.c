/* SPDX-License-Identifier: MIT
 * See zstd_encode.h. Pixels of a camera are mostly noise, in which the search for repetitions finds next to nothing but
 * takes more than half of the time of level 1; what makes them smaller is the coding of single bytes. So level 1 tries
 * both ways on a sample of each chunk, and searches the whole chunk only where that makes the sample smaller by more than
 * one part in 16; the whole chunk it then makes smaller by about twice as much. Without the search one position in 128 is
 * still looked up, and what is found there taken at full length: empty areas and planes that repeat cost nothing. Higher
 * levels are the library's own. */
#include "codec/zstd_encode.h"

#include <stdint.h>

#define LEAST ((size_t)128 << 10) /* bytes of a chunk for which sampling pays */
#define SAMPLE_SHARE 64           /* of a chunk's bytes, from its middle */
#define WORTH 16
#define STEP 128
#define NOISY 8 /* a plane that takes more than five bits of each byte is noise */

static void set(ZSTD_CCtx *context, ZSTD_cParameter name, int value)
{
    (void)ZSTD_CCtx_setParameter(context, name, value);
}

/* Byte by byte, hardly a search. */
static size_t encode_bytes(ZSTD_CCtx *context, const pel__zstd_job *job)
{
    set(context, ZSTD_c_strategy, ZSTD_fast);
    set(context, ZSTD_c_minMatch, 7);
    set(context, ZSTD_c_targetLength, STEP);
    set(context, ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
    return ZSTD_compress2(context, job->dst, job->capacity, job->src, job->n);
}

/* As the level does for a chunk of `whole` bytes, whatever the length of this piece of it. */
static size_t encode_sample(ZSTD_CCtx *context, const pel__zstd_job *job, size_t whole)
{
    const ZSTD_compressionParameters p = ZSTD_getCParams(job->level, whole, 0);
    set(context, ZSTD_c_strategy, (int)p.strategy);
    set(context, ZSTD_c_minMatch, (int)p.minMatch);
    set(context, ZSTD_c_targetLength, (int)p.targetLength);
    set(context, ZSTD_c_literalCompressionMode, ZSTD_ps_auto);
    return ZSTD_compress2(context, job->dst, job->capacity, job->src, job->n);
}

static bool search_pays(ZSTD_CCtx *context, const pel__zstd_job *job)
{
    pel__zstd_job part = *job;
    part.n = job->n / SAMPLE_SHARE & ~(size_t)7;
    part.src = (const uint8_t *)job->src + (job->n / 2 & ~(size_t)7);
    const size_t searched = encode_sample(context, &part, job->n), bytes = encode_bytes(context, &part);
    return ZSTD_isError(searched) || ZSTD_isError(bytes) || bytes > searched + searched / WORTH;
}

/* The library's own choice again. */
static size_t encode_searched(ZSTD_CCtx *context, const pel__zstd_job *job)
{
    set(context, ZSTD_c_strategy, 0);
    set(context, ZSTD_c_minMatch, 0);
    set(context, ZSTD_c_targetLength, 0);
    set(context, ZSTD_c_literalCompressionMode, ZSTD_ps_auto);
    /* One call over the whole chunk: the frame header then holds the content size, which old readers need. */
    return ZSTD_compress2(context, job->dst, job->capacity, job->src, job->n);
}

static void begin(ZSTD_CCtx *context, const pel__zstd_job *job)
{
    (void)ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
    set(context, ZSTD_c_compressionLevel, job->level);
    set(context, ZSTD_c_checksumFlag, job->checksum);
}

size_t pel__zstd_encode(ZSTD_CCtx *context, const pel__zstd_job *job)
{
    begin(context, job);
    if (job->level == 1 && job->n >= LEAST && !search_pays(context, job))
        return encode_bytes(context, job);
    return encode_searched(context, job);
}

size_t pel__zstd_encode_plane(ZSTD_CCtx *context, const pel__zstd_job *job)
{
    begin(context, job);
    const size_t bytes = encode_bytes(context, job);
    if (ZSTD_isError(bytes) || bytes > job->n / NOISY * (NOISY - 3))
        return bytes;
    const size_t searched = encode_searched(context, job);
    return !ZSTD_isError(searched) && searched <= bytes ? searched : encode_bytes(context, job);
}
