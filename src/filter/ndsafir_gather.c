/* SPDX-License-Identifier: MIT
 * See ndsafir_gather.h. */
#include "filter/ndsafir_gather.h"

#include "core/bytes.h"
#include "filter/border.h"

#include <string.h>

#define ROWS_AHEAD 4 /* that are fetched while one is copied: rows are too short for the machine to foresee the next */

/* The block's row from global `origin` on, the next one `step` floats behind it. Returns whether a NaN was among it. */
static bool copy_row(const pel__gather *g, float *dst, const float *row, int64_t origin, int64_t step, float factor)
{
    const int64_t image = g->image->shape[PEL_X], x0 = g->first[PEL__NX], last = x0 + g->size[PEL__NX];
    const int64_t begin = pel__max(x0, 0), end = pel__min(last, image);
    bool odd = g->isa->copy(dst + (begin - x0), row + (begin - origin), end - begin, factor, ROWS_AHEAD * step);
    for (int64_t x = x0; x < begin; x++)
        dst[x - x0] = row[pel__border_at(PEL__MIRROR, x, image) - origin] * factor;
    for (int64_t x = end; x < last; x++)
        dst[x - x0] = row[pel__border_at(PEL__MIRROR, x, image) - origin] * factor;
    for (int64_t x = x0; x < begin; x++)
        odd |= dst[x - x0] != dst[x - x0];
    for (int64_t x = end; x < last; x++)
        odd |= dst[x - x0] != dst[x - x0];
    return odd;
}

bool pel__gather_channel(const pel__gather *g, const pel_block *b, int64_t channel, float factor, float *dst)
{
    const int64_t *const size = g->size, *const first = g->first, *const image = g->image->shape;
    const int64_t rows = size[PEL__NT] * size[PEL__NZ] * size[PEL__NY], right = g->left + size[PEL__NX];
    int64_t at[PEL_AXES] = {0};
    bool odd = false;
    at[PEL_C] = b->region.origin[PEL_C] + channel;
    at[PEL_X] = b->region.origin[PEL_X];
    memset(dst, 0, (size_t)g->stride * sizeof *dst);
    memset(dst + (rows + 1) * g->stride, 0, (size_t)g->stride * sizeof *dst);
    for (int64_t i = 0; i < rows; i++) {
        dst += g->stride;
        at[PEL_T] = pel__border_at(PEL__MIRROR, first[PEL__NT] + i / size[PEL__NY] / size[PEL__NZ], image[PEL_T]);
        at[PEL_Z] = pel__border_at(PEL__MIRROR, first[PEL__NZ] + i / size[PEL__NY] % size[PEL__NZ], image[PEL_Z]);
        at[PEL_Y] = pel__border_at(PEL__MIRROR, first[PEL__NY] + i % size[PEL__NY], image[PEL_Y]);
        memset(dst, 0, (size_t)g->left * sizeof *dst);
        odd |= copy_row(g, dst + g->left, pel__block_at(b, at), at[PEL_X], b->stride[PEL_Y], factor);
        memset(dst + right, 0, (size_t)(g->stride - right) * sizeof *dst);
    }
    return odd;
}
