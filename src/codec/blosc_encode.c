/* SPDX-License-Identifier: MIT
 * See blosc_encode.h. A buffer is: 16 bytes of header (version 2, version of the codec's format 1, flags, size of an element,
 * then as u32 the raw length, the length of a block, the length of it all), the u32 start of each block, the blocks. A block
 * has its elements' first bytes, then their second bytes, …; each such plane is a stream of its own: i32 length, a zstd
 * frame, or the bytes themselves where the length says so. The last block is one stream if it is shorter than the others. */
#include "codec/blosc_encode.h"

#include "core/bytes.h"

#define HEADER 16
#define SHUFFLED 0x01
#define PLAIN 0x02 /* not compressed */
#define ZSTD_FORMAT (4 << 5)

static int64_t block_bytes(int32_t typesize)
{
    return typesize * PEL__BLOSC_PLANE;
}

int64_t pel__blosc_room(int32_t typesize)
{
    return block_bytes(typesize);
}

/* ---- planes of bytes --------------------------------------------------------------------------------------- */

#define SHUFFLE(name, type)                                                                                       \
    static void name(uint8_t *restrict dst, const uint8_t *restrict src, int64_t count)                           \
    {                                                                                                             \
        for (int64_t k = 0; k < (int64_t)sizeof(type); k++)                                                       \
            for (int64_t i = 0; i < count; i++) {                                                                 \
                type v;                                                                                           \
                memcpy(&v, src + i * (int64_t)sizeof v, sizeof v);                                                \
                dst[k * count + i] = (uint8_t)(v >> (8 * k));                                                     \
            }                                                                                                     \
    }
SHUFFLE(shuffle_16, uint16_t)
SHUFFLE(shuffle_32, uint32_t)
SHUFFLE(shuffle_64, uint64_t)

static void shuffle(uint8_t *dst, const uint8_t *src, int64_t n, int32_t typesize)
{
    if (typesize == 1)
        memcpy(dst, src, (size_t)n);
    else if (typesize == 2)
        shuffle_16(dst, src, n / 2);
    else if (typesize == 4)
        shuffle_32(dst, src, n / 4);
    else
        shuffle_64(dst, src, n / 8);
}

/* ---- streams ----------------------------------------------------------------------------------------------- */

/* Where the next stream goes, and where the buffer may end. */
typedef struct out {
    uint8_t *at, *end;
} out;

static bool put_stream(out *o, ZSTD_CCtx *context, const uint8_t *src, int64_t n)
{
    const int64_t room = o->end - o->at - 4;
    if (room < 0)
        return false;
    const pel__zstd_job job = {.level = 1, .src = src, .n = (size_t)n, .dst = o->at + 4, .capacity = (size_t)pel__min(room, n)};
    size_t got = pel__zstd_encode_plane(context, &job);
    if (ZSTD_isError(got) || (int64_t)got >= n) { /* as it is */
        if (room < n)
            return false;
        memcpy(o->at + 4, src, (size_t)n);
        got = (size_t)n;
    }
    pel__store_u32(o->at, (uint32_t)got);
    o->at += 4 + got;
    return true;
}

static bool put_block(out *o, ZSTD_CCtx *context, const pel__blosc_job *job, int64_t first)
{
    const int64_t whole = pel__min(block_bytes(job->typesize), job->n), n = pel__min(whole, job->n - first);
    const int64_t streams = n == whole ? job->typesize : 1;
    shuffle(job->room, job->src + first, n, job->typesize);
    for (int64_t i = 0; i < streams; i++)
        if (!put_stream(o, context, job->room + i * (n / streams), n / streams))
            return false;
    return true;
}

/* Planes too short to be split for a decoder are one stream. */
#define LEAST_PLANE 128

int64_t pel__blosc_encode(ZSTD_CCtx *context, const pel__blosc_job *job)
{
    const int64_t block = pel__min(block_bytes(job->typesize), job->n), blocks = block > 0 ? pel__ceil_div(job->n, block) : 0;
    out o = {.at = job->dst + HEADER + 4 * blocks, .end = job->dst + HEADER + job->n};
    bool ok = blocks > 0 && block / job->typesize >= LEAST_PLANE && o.at < o.end;
    for (int64_t i = 0; ok && i < blocks; i++) {
        pel__store_u32(job->dst + HEADER + 4 * i, (uint32_t)(o.at - job->dst));
        ok = put_block(&o, context, job, i * block);
    }
    uint8_t flags = ZSTD_FORMAT | SHUFFLED;
    if (!ok) {
        flags |= PLAIN;
        memcpy(job->dst + HEADER, job->src, (size_t)job->n);
        o.at = job->dst + HEADER + job->n;
    }
    const uint8_t head[4] = {2, 1, flags, (uint8_t)job->typesize};
    memcpy(job->dst, head, sizeof head);
    pel__store_u32(job->dst + 4, (uint32_t)job->n);
    pel__store_u32(job->dst + 8, (uint32_t)block);
    pel__store_u32(job->dst + 12, (uint32_t)(o.at - job->dst));
    return o.at - job->dst;
}
