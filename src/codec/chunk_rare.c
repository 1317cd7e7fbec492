/* SPDX-License-Identifier: MIT
 * See chunk_rare.h. */
#include "codec/chunk_rare.h"

#include "core/bytes.h"

#include <bzlib.h>
#include <lzma.h>

bool pel__bz2_decode(pel__codec_io *io, pel_error *err)
{
    bz_stream s = {0};
    if (io->n > INT32_MAX || io->capacity > INT32_MAX)
        return pel__fail(err, PEL_DAMAGED, "bz2: a stream of %lld bytes", (long long)io->n);
    if (BZ2_bzDecompressInit(&s, 0, 0) != BZ_OK)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: bz2");
    s.next_in = (char *)(uintptr_t)io->src;
    s.avail_in = (unsigned int)io->n;
    s.next_out = io->dst;
    s.avail_out = (unsigned int)io->capacity;
    const int r = BZ2_bzDecompress(&s);
    const bool whole = r == BZ_STREAM_END && s.avail_in == 0;
    io->got = io->capacity - (int64_t)s.avail_out;
    (void)BZ2_bzDecompressEnd(&s);
    if (whole)
        return true;
    if (r == BZ_MEM_ERROR)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: bz2");
    return pel__fail(err, PEL_DAMAGED, "bz2: the stream is damaged or has more than %lld bytes (%d)", (long long)io->capacity, r);
}

/* Its dictionary, by the preset that the store names, and a little. */
int64_t pel__lzma_decode_bytes(const pel__step *step)
{
    static const int64_t dictionary[] = {1 << 18, 1 << 20, 2 << 20, 4 << 20, 4 << 20, 8 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20};
    return dictionary[step->level >= 0 && step->level <= 9 ? step->level : 9] + (1 << 20);
}

/* .xz and the older .lzma, told by their first bytes. */
bool pel__lzma_decode(const pel__step *step, pel__codec_io *io, pel_error *err)
{
    lzma_stream s = LZMA_STREAM_INIT;
    lzma_ret r = lzma_auto_decoder(&s, (uint64_t)pel__lzma_decode_bytes(step), 0);
    s.next_in = io->src;
    s.avail_in = (size_t)io->n;
    s.next_out = io->dst;
    s.avail_out = (size_t)io->capacity;
    if (r == LZMA_OK)
        r = lzma_code(&s, LZMA_FINISH);
    io->got = io->capacity - (int64_t)s.avail_out;
    const bool whole = r == LZMA_STREAM_END && s.avail_in == 0;
    lzma_end(&s);
    if (whole)
        return true;
    if (r == LZMA_MEM_ERROR)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: lzma");
    if (r == LZMA_MEMLIMIT_ERROR)
        return pel__fail(err, PEL_DAMAGED, "lzma: the stream asks for more memory than its preset");
    return pel__fail(err, PEL_DAMAGED, "lzma: the stream is damaged or has more than %lld bytes (%d)", (long long)io->capacity, (int)r);
}

/* A tail that fills no element is stored as it is. */
bool pel__unshuffle(const pel__step *step, pel__codec_io *io, pel_error *err)
{
    const int64_t size = step->typesize, count = io->n / size;
    const uint8_t *const src = io->src;
    uint8_t *const dst = io->dst;
    if (io->n > io->capacity)
        return pel__fail(err, PEL_DAMAGED, "shuffle: %lld bytes, expected %lld", (long long)io->n, (long long)io->capacity);
    for (int64_t i = 0; i < count; i++)
        for (int64_t b = 0; b < size; b++)
            dst[i * size + b] = src[b * count + i];
    memcpy(dst + count * size, src + count * size, (size_t)(io->n - count * size));
    io->got = io->n;
    return true;
}

/* HDF5's: words of 16 bits, the high byte first; sums that are folded before they overflow. */
uint32_t pel__fletcher32(const uint8_t *p, int64_t n)
{
    uint32_t a = 0, b = 0;
    for (int64_t left = n / 2; left > 0;) {
        const int64_t some = pel__min(left, 360);
        left -= some;
        for (int64_t i = 0; i < some; i++, p += 2) {
            a += (uint32_t)p[0] << 8 | p[1];
            b += a;
        }
        a = (a & 0xFFFF) + (a >> 16);
        b = (b & 0xFFFF) + (b >> 16);
    }
    if (n % 2) {
        a += (uint32_t)p[0] << 8;
        b += a;
        a = (a & 0xFFFF) + (a >> 16);
        b = (b & 0xFFFF) + (b >> 16);
    }
    a = (a & 0xFFFF) + (a >> 16);
    b = (b & 0xFFFF) + (b >> 16);
    return b << 16 | a;
}
