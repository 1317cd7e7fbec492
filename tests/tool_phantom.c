/* SPDX-License-Identifier: MIT
 * A small program for the Python tests.
 *   tool_phantom write PHANTOM OUT [tile=Y,X] [overlap=N] [compression=C] [threads=N]
 *   tool_phantom read NAME IMAGE > dense little-endian pixels in the order t c z y x
 *   tool_phantom regions NAME IMAGE: reads 200 random regions on four threads and compares each with the whole image
 * NAME is a phantom's name or any file that pellucid reads. */
#include "core/block.h"
#include "core/pool.h"
#include "core/error.h"
#include "core/region.h"
#include "pellucid.h"
#include "source/phantom.h"
#include "source/phantom_random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(const pel_error *e)
{
    (void)fprintf(stderr, "%s\n", e->text);
    return 10 + e->code;
}

static int write_file(int argc, char **argv)
{
    pel_phantom_options o;
    pel_error e = {0};
    if (!pel__phantom_parse(&o, argv[2], &e))
        return complain(&e);
    for (int i = 4; i < argc; i++) {
        char *value = strchr(argv[i], '='), *end = NULL;
        if (!value)
            return 2;
        value++;
        if (strncmp(argv[i], "tile=", 5) == 0) {
            o.tile_y = strtoll(value, &end, 10);
            o.tile_x = strtoll(end + 1, NULL, 10);
        } else if (strncmp(argv[i], "overlap=", 8) == 0) {
            o.overlap = strtoll(value, NULL, 10);
        } else if (strncmp(argv[i], "threads=", 8) == 0) {
            o.threads = (int32_t)strtol(value, NULL, 10);
        } else {
            o.compression = value;
        }
    }
    return pel_phantom_write(argv[3], &o, NULL, NULL, &e) ? 0 : complain(&e);
}

typedef struct whole {
    pel_source *source;
    int32_t image;
    pel_block block;
} whole;

static bool read_whole(whole *w, const char *name, int32_t image, pel_error *e)
{
    const pel_open_options four = {.threads = 4};
    if (!pel_source_open(&w->source, name, &four, e))
        return false;
    w->image = image;
    const pel_image *im = pel_source_image(w->source, image);
    if (!im)
        return pel__fail(e, PEL_NOT_FOUND, "no image %d", image);
    const pel_region r = pel__region(PEL_AXES, NULL, im->shape);
    if (pel__region_voxels(&r) > (1 << 27)) /* hostile files claim what they like */
        return pel__fail(e, PEL_NO_MEMORY, "more voxels than this tool reads");
    w->block = pel__block_dense(&r, im->dtype, malloc((size_t)pel__region_voxels(&r) * pel_dtype_size(im->dtype)));
    return w->block.data ? pel_source_read(w->source, image, &w->block, e) : pel__fail(e, PEL_NO_MEMORY, "no memory");
}

static bool same_region(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const whole *w = arg;
    const pel_image *im = pel_source_image(w->source, w->image);
    pel_region r = pel__region(PEL_AXES, NULL, im->shape);
    for (uint64_t a = 0; a < PEL_AXES; a++) {
        const int64_t n = im->shape[a], limit = index % 3 == 0 ? 1 : index % 3 == 1 && n > 30 ? 30 : n;
        r.shape[a] = 1 + (int64_t)(pel__draw((uint64_t)index, 2 * a) % (uint64_t)limit);
        r.origin[a] = (int64_t)(pel__draw((uint64_t)index, 2 * a + 1) % (uint64_t)(n - r.shape[a] + 1));
    }
    const size_t size = pel_dtype_size(im->dtype), n = (size_t)pel__region_voxels(&r);
    char *got = malloc(n * size), *want = malloc(n * size), text[128];
    const pel_block g = pel__block_dense(&r, im->dtype, got), t = pel__block_dense(&r, im->dtype, want);
    bool ok = pel_source_read(w->source, w->image, &g, err);
    pel__block_copy(&t, &w->block);
    if (ok && memcmp(got, want, n * size) != 0)
        ok = pel__fail(err, PEL_INTERNAL, "region %s differs from the whole image", pel__region_text(&r, text, sizeof text));
    free(got);
    free(want);
    return ok;
}

static int read_pixels(const char *name, int32_t image, bool regions)
{
    whole w = {0};
    pel_error e = {0};
    pel__pool *pool = NULL;
    bool ok = read_whole(&w, name, image, &e);
    if (ok && regions) {
        ok = pel__pool_create(&pool, 4, &e) && pel__pool_run(pool, PEL__READ_NEXT, 200, same_region, &w, &e);
    } else if (ok) {
        const size_t n = (size_t)pel__region_voxels(&w.block.region) * pel_dtype_size(w.block.dtype);
        ok = fwrite(w.block.data, 1, n, stdout) == n;
    }
    pel__pool_destroy(pool);
    free(w.block.data);
    pel_source_destroy(w.source);
    return ok ? 0 : complain(&e);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "write") == 0)
        return write_file(argc, argv);
    if (argc == 4 && (strcmp(argv[1], "read") == 0 || strcmp(argv[1], "regions") == 0))
        return read_pixels(argv[2], (int32_t)strtol(argv[3], NULL, 10), argv[1][2] == 'g');
    return 2;
}
