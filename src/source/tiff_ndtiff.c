/* SPDX-License-Identifier: MIT
 * Micro-Manager's NDTiff: a file NDTiff.index beside the pages says what each is. It is not read yet, and so these files are only where
 * the user says what their pages are. */
#include "source/tiff_dialect.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define METADATA 51123 /* of Micro-Manager, in every page */

static bool detect(const pel__tiff *t, const pel__tiff_head *head)
{
    char path[PEL__PATH_MAX];
    struct stat st;
    const char *slash = strrchr(t->base.path, '/');
    const int folder = slash ? (int)(slash - t->base.path) + 1 : 0;
    return pel__tiff_tag_count(&head->dir, METADATA) > 0 &&
           snprintf(path, sizeof path, "%.*sNDTiff.index", folder, t->base.path) < (int)sizeof path && stat(path, &st) == 0;
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    return t->axes_said || pel__fail(err, PEL_UNSUPPORTED, "a Micro-Manager NDTiff, whose NDTiff.index says what each page is, is not read: save it as OME-TIFF or OME-Zarr, or say "
                                     "what the pages of this file are: --input-axes t=4,c=3,z=5");
}

const pel__tiff_dialect pel__tiff_ndtiff = {.name = "NDTiff", .detect = detect, .describe = describe};
