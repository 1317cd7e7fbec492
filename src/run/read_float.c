/* SPDX-License-Identifier: MIT
 * Pixels as float32 whatever their type: for pictures and bindings, which do not want ten types. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/error.h"

#include <stdlib.h>

bool pel_read_float(pel_source *source, int32_t image, const pel_region *region, float *out, pel_error *err)
{
    const pel_image *const im = pel_source_image(source, image);
    if (!im)
        return pel__fail(err, PEL_ARGUMENT, "no image %d, the file has 0 to %d", image, pel_source_image_count(source) - 1);
    int64_t voxels = 0, bytes = 0;
    if (region->ndim != PEL_AXES || !pel__product(region->shape, PEL_AXES, &voxels)
        || !pel__mul(voxels, (int64_t)pel_dtype_size(im->dtype), &bytes))
        return pel__fail(err, PEL_ARGUMENT, "a region of %d axes, or with more voxels than can be", region->ndim);
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
