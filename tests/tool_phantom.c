/* SPDX-License-Identifier: MIT
 * A small program for the Python tests.
 *   tool_phantom write PHANTOM OUT [tile=Y,X] [overlap=N] [compression=C] [threads=N]
 *   tool_phantom read NAME IMAGE > dense little-endian pixels in the order t c z y x
 * NAME is a phantom's name or any file that pellucid reads. */
#include "core/block.h"
#include "core/region.h"
#include "pellucid.h"
#include "source/phantom.h"
#include "source/source.h"

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

static int read_pixels(const char *name, int32_t image)
{
    static const pel_open_options plain = {0};
    pel_source *s = NULL;
    pel_error e = {0};
    if (!pel__source_phantom.open(&s, name, &plain, &e))
        return complain(&e);
    const pel_region r = pel__region(PEL_AXES, NULL, s->images[image].shape);
    const size_t size = pel_dtype_size(s->images[image].dtype), n = (size_t)pel__region_voxels(&r);
    void *data = malloc(n * size);
    const pel_block b = pel__block_dense(&r, s->images[image].dtype, data);
    const bool ok = data && s->type->read(s, image, &b, &e) && fwrite(data, size, n, stdout) == n;
    free(data);
    s->type->destroy(s);
    return ok ? 0 : complain(&e);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "write") == 0)
        return write_file(argc, argv);
    if (argc == 4 && strcmp(argv[1], "read") == 0)
        return read_pixels(argv[2], (int32_t)strtol(argv[3], NULL, 10));
    return 2;
}
