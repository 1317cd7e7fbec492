/* SPDX-License-Identifier: MIT
 * Stands in for the TIFF source where pellucid is built without libtiff: says so instead of "unknown format". */
#include "source/source.h"

#include <string.h>

static enum pel__answer detect(const char *path, bool is_folder, const uint8_t *head, size_t n)
{
    return !is_folder && n >= 4 && (memcmp(head, "II*", 4) == 0 || memcmp(head, "II+", 4) == 0 || memcmp(head, "MM\0*", 4) == 0 || memcmp(head, "MM\0+", 4) == 0)
               ? PEL__YES : PEL__NO;
}

static bool open_none(pel_source **out, const char *path, const pel_open_options *options, pel_error *err)
{
    return pel__fail(err, PEL_UNSUPPORTED, "%s: a TIFF file, and this pellucid was built without libtiff", path);
}

static bool read_none(pel_source *s, int32_t image, const pel_block *dst, pel_error *err) { return pel__fail(err, PEL_INTERNAL, "no TIFF"); }
static void destroy_none(pel_source *s) {}

const pel__source_type pel__source_tiff = {.name = "tiff", .detect = detect, .open = open_none, .read = read_none, .destroy = destroy_none};
