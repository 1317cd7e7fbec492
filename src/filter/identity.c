/* SPDX-License-Identifier: MIT
 * The filter that changes nothing: what `convert` runs. The hall hands its blocks straight from the source to the sink
 * (apply is NULL), so that 64-bit integers and doubles pass without a detour through float32. */
#include "filter/filter.h"

#include <string.h>

static bool resolve(pel__values *v, const pel_image *image, pel_error *err)
{
    return true;
}

static bool check(const pel__values *v, const pel_image *image, pel_error *err)
{
    return true;
}

static void halo(const pel__values *v, const pel_image *image, int64_t before[PEL_AXES], int64_t after[PEL_AXES])
{
    memset(before, 0, PEL_AXES * sizeof *before);
    memset(after, 0, PEL_AXES * sizeof *after);
}

static int64_t block_bytes(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out)
{
    return 0;
}

static int64_t thread_bytes(const pel__values *v, const pel_image *image)
{
    return 0;
}

static double cost(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out)
{
    return 1.0;
}

const pel__filter_type pel__filter_identity = {
    .name = "identity",
    .help = "copies the pixels: another format, chunking, data type, with a pyramid",
    .resolve = resolve,
    .check = check,
    .halo = halo,
    .block_bytes = block_bytes,
    .thread_bytes = thread_bytes,
    .cost = cost,
};
