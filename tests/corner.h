/* SPDX-License-Identifier: MIT
 * A corner of an image read, for tests and fuzz targets of damaged files: small, and at both ends of every axis. */
#ifndef TESTS_CORNER_H
#define TESTS_CORNER_H

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "pellucid.h"

/* The first or the last 3 x 3 x 3 x 16 x 16 voxels. Returns whether that went as it may: read, or refused with a reason that is
 * no bug of ours. */
static inline bool corner_is_read_or_refused(pel_source *s, int32_t image, bool last)
{
    static uint8_t voxels[3 * 3 * 3 * 16 * 16 * 8];
    const pel_image *im = pel_source_image(s, image);
    int64_t shape[PEL_AXES], origin[PEL_AXES];
    pel_error err = {0};
    for (int a = 0; a < PEL_AXES; a++) {
        shape[a] = pel__min(im->shape[a], a < PEL_Y ? 3 : 16);
        origin[a] = last ? im->shape[a] - shape[a] : 0;
    }
    const pel_region r = pel__region(PEL_AXES, origin, shape);
    const pel_block b = pel__block_dense(&r, im->dtype, voxels);
    return pel_source_read(s, image, &b, &err) || (err.code != PEL_OK && err.code != PEL_INTERNAL && err.text[0]);
}

#endif
