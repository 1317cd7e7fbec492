/* SPDX-License-Identifier: MIT
 * What our writers of CZI and TIFF write our readers read: bytes of the input choose size, type, tiles, compression; the file
 * must hold the made image's voxels, names and sizes, or be refused before it is written. */
#include "fuzz.h"

#include <math.h>

static int64_t pick(const uint8_t **data, size_t *size, int64_t least, int64_t most)
{
    const int64_t v = *size > 0 ? **data : 0;
    *data += *size > 0;
    *size -= *size > 0;
    return least + v % (most - least + 1);
}

static void choose(pel_phantom_options *o, const uint8_t *data, size_t size)
{
    static const pel_dtype types[] = {PEL_U8, PEL_U16, PEL_F32, PEL_I32};
    static const char *const packed[] = {NULL, "raw", "zstd1", "deflate"};
    *o = (pel_phantom_options)PEL_PHANTOM_DEFAULTS;
    o->size[PEL_T] = pick(&data, &size, 1, 3);
    o->size[PEL_C] = pick(&data, &size, 1, 3);
    o->size[PEL_Z] = pick(&data, &size, 1, 4);
    o->size[PEL_Y] = pick(&data, &size, 1, 90);
    o->size[PEL_X] = pick(&data, &size, 1, 90);
    o->scenes = (int32_t)pick(&data, &size, 1, 3);
    o->dtype = types[pick(&data, &size, 0, 3)];
    o->tile_y = pick(&data, &size, 0, 1) ? 16 * pick(&data, &size, 0, 5) : pick(&data, &size, 0, 99);
    o->tile_x = pick(&data, &size, 0, 1) ? 16 * pick(&data, &size, 0, 5) : pick(&data, &size, 0, 99);
    o->overlap = pick(&data, &size, 0, 12);
    o->compression = packed[pick(&data, &size, 0, 3)];
    o->origin[PEL_Y] = pick(&data, &size, 0, 255) - 128;
    o->origin[PEL_X] = 1000 * (pick(&data, &size, 0, 255) - 128);
    o->threads = (int32_t)pick(&data, &size, 0, 2);
    o->truth = pick(&data, &size, 0, 7) == 0;
    o->seed = 5;
}

static void compare(const char *name, const char *path, const pel_phantom_options *o)
{
    pel_source *s[2] = {NULL, NULL};
    pel_error e = {0};
    pel_difference d;
    if (!pel_source_open(&s[0], name, NULL, &e) || !pel_source_open(&s[1], path, NULL, &e) ||
        pel_source_image_count(s[0]) != pel_source_image_count(s[1])) {
        (void)fprintf(stderr, "%s: %s\n", name, e.text);
        abort();
    }
    for (int32_t i = 0; i < o->scenes; i++) {
        const pel_image *const a = pel_source_image(s[0], i), *const b = pel_source_image(s[1], i);
        if (!pel_compare(&d, s, (int32_t[2]){i, i}, NULL, &e) || d.unequal > 0 || a->dtype != b->dtype || b->planes_missing != 0 ||
            fabs(a->pixel_size[PEL_X] - b->pixel_size[PEL_X]) > 1e-9 || strcmp(a->channels[0].name, b->channels[0].name) != 0) {
            (void)fprintf(stderr, "%s: image %d: %lld voxels differ: %s\n", name, (int)i, (long long)d.unequal, e.text);
            abort();
        }
    }
    pel_source_destroy(s[0]);
    pel_source_destroy(s[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[256], name[512];
    pel_phantom_options o;
    pel_error e = {0};
    if (size < 1)
        return 0;
    (void)fuzz_begin();
    const char *const file = data[0] % 2 ? "a.czi" : "a.ome.tif";
    choose(&o, data + 1, size - 1);
    if (!pel_phantom_name(name, sizeof name, &o, &e) || !pel_phantom_write(fuzz_path(path, file), &o, NULL, NULL, &e))
        fuzz_failed(&e);
    else
        compare(name, path, &o);
    fuzz_drop(file);
    return 0;
}
