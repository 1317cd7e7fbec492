/* SPDX-License-Identifier: MIT
 * Pixels as float32 whatever their type: for pictures and bindings, which do not want ten types. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/error.h"
#include "source/source.h"

#include <stdlib.h>

bool pel_read_float(pel_source *source, int32_t image, const pel_region *region, float *out, pel_error *err)
{
    int64_t voxels = 0, bytes = 0;
    if (!pel__source_check_region(source, image, region, err))
        return false;
    const pel_image *const im = pel_source_image(source, image);
    if (!pel__product(region->shape, PEL_AXES, &voxels) || !pel__mul(voxels, (int64_t)pel_dtype_size(im->dtype), &bytes))
        return pel__fail(err, PEL_ARGUMENT, "a region with more voxels than can be");
    if (voxels == 0)
        return true;
    void *const raw = malloc((size_t)bytes);
    if (!raw)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %lld bytes of pixels", (long long)bytes);
    const pel_block b = pel__block_dense(region, im->dtype, raw);
    const bool ok = pel_source_read(source, image, &b, err);
    if (ok)
        pel__to_float(out, raw, im->dtype, voxels);
    free(raw);
    return ok;
}
