/* SPDX-License-Identifier: MIT
 * The dialects of TIFF, in the order in which they are asked. */
#include "source/tiff_dialect.h"

static const pel__tiff_dialect *const dialects[] = {
    &pel__tiff_ome,
    &pel__tiff_ndtiff,
    &pel__tiff_stk,
    &pel__tiff_lsm,
    &pel__tiff_imagej,
    &pel__tiff_shaped,
    &pel__tiff_scanimage,
    &pel__tiff_svs,
    &pel__tiff_qptiff,
};

const pel__tiff_dialect *pel__tiff_dialect_of(const pel__tiff *t, const pel__tiff_head *head)
{
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++)
        if (dialects[i]->detect(t, head))
            return dialects[i];
    return NULL;
}
