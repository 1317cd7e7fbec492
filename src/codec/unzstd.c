/* SPDX-License-Identifier: MIT
 * See unzstd.h. */
#include "codec/unzstd.h"

#include "core/error.h"

#include <zstd.h>

int64_t pel__unzstd_size(const void *src, size_t n)
{
    const unsigned long long size = ZSTD_getFrameContentSize(src, n);
    if (size == ZSTD_CONTENTSIZE_ERROR)
        return -2;
    return size == ZSTD_CONTENTSIZE_UNKNOWN || size > INT64_MAX ? -1 : (int64_t)size;
}

bool pel__unzstd_decode(pel__unzstd **ctx, void *dst, size_t capacity, size_t *got, const void *src, size_t n, pel_error *err)
{
    if (!*ctx)
        *ctx = (pel__unzstd *)ZSTD_createDCtx();
    if (!*ctx)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for a zstd context");
    const size_t k = ZSTD_decompressDCtx((ZSTD_DCtx *)*ctx, dst, capacity, src, n);
    if (ZSTD_isError(k))
        return pel__fail(err, PEL_DAMAGED, "zstd: %s (%zu bytes into at most %zu)", ZSTD_getErrorName(k), n, capacity);
    *got = k;
    return true;
}

void pel__unzstd_destroy(pel__unzstd *ctx)
{
    (void)ZSTD_freeDCtx((ZSTD_DCtx *)ctx);
}

void pel__hilo_unpack(uint16_t *dst, const uint8_t *low, const uint8_t *high, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = (uint16_t)(low[i] | high[i] << 8);
}
