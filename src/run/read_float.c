/* SPDX-License-Identifier: MIT
 * Pixels as float32 whatever their type: for pictures and bindings, which do not want ten types. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/error.h"
#include "source/source.h"

#include <stdlib.h>
#include <string.h>

#define PIECE 1024

/* Narrower values at the end of `out` become floats from the beginning on: none is written over before it was read. */
static void widen(float *out, const uint8_t *raw, pel_dtype dtype, int64_t voxels)
{
    const int64_t size = (int64_t)pel_dtype_size(dtype);
    uint64_t piece[PIECE];
    for (int64_t i = 0; i < voxels; i += PIECE) {
        const int64_t n = pel__min(PIECE, voxels - i);
        memcpy(piece, raw + i * size, (size_t)(n * size));
        pel__to_float(out + i, piece, dtype, n);
    }
}

bool pel_read_float(pel_source *source, int32_t image, const pel_region *region, float *out, pel_error *err)
{
    int64_t voxels = 0, bytes = 0;
    if (!pel__source_check_region(source, image, region, err))
        return false;
    const pel_image *const im = pel_source_image(source, image);
    const int64_t size = (int64_t)pel_dtype_size(im->dtype);
    if (!pel__product(region->shape, PEL_AXES, &voxels) || !pel__mul(voxels, pel__max(size, (int64_t)sizeof *out), &bytes))
        return pel__fail(err, PEL_ARGUMENT, "a region with more voxels than can be");
    if (voxels == 0)
        return true;
    const bool narrow = size <= (int64_t)sizeof *out;
    void *const own = narrow ? NULL : malloc((size_t)bytes);
    if (!narrow && !own)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %lld bytes of pixels", (long long)bytes);
    uint8_t *const raw = narrow ? (uint8_t *)out + voxels * ((int64_t)sizeof *out - size) : own;
    const pel_block b = pel__block_dense(region, im->dtype, raw);
    const bool ok = pel_source_read(source, image, &b, err);
    if (ok)
        widen(out, raw, im->dtype, voxels);
    free(own);
    return ok;
}
