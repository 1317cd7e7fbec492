/* SPDX-License-Identifier: MIT
 * A program for tests/test_zarr_readers.py: writes small OME-Zarr stores with known pixels, and reads any store.
 *   tool_zarr write STORE 4|5 DTYPE CODEC SHAPE CHUNK SHARD [IMAGES]     lists are T,C,Z,Y,X
 *   tool_zarr info  STORE [LEVEL [AXES]]                  a line an image: shape, dtype, pixel size, name, channels
 *   tool_zarr dump  STORE IMAGE ORIGIN SHAPE [LEVEL [AXES]]    raw voxels on standard output
 * Voxel value = (31 t + 17 c + 7 z + 3 y + x) mod 251 except that x < 16, y < 16 is zero; two more levels, factor 2 in
 * y and x, hold the same formula of their own coordinates. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "sink/sink.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>

static bool numbers(const char *text, int64_t *out)
{
    return sscanf(text, "%ld,%ld,%ld,%ld,%ld", &out[0], &out[1], &out[2], &out[3], &out[4]) == 5;
}

static bool fill_row(void *arg, const int64_t *at, int64_t n)
{
    const pel_block *const b = arg;
    for (int64_t i = 0; i < n; i++) {
        const int64_t x = at[4] + i, to[5] = {at[0], at[1], at[2], at[3], x};
        const bool zero = x < 16 && at[3] < 16;
        const float v = zero ? 0 : (float)((31 * at[0] + 17 * at[1] + 7 * at[2] + 3 * at[3] + x) % 251);
        int64_t clipped = 0;
        pel__from_float(pel__block_at(b, to), b->dtype, &v, 1, &clipped);
    }
    return true;
}

static bool no_file(void *arg, const pel__file_record *record, pel_error *err)
{
    (void)arg;
    (void)err;
    char text[PEL__DIGEST_TEXT];
    printf("%s %lld %s\n", record->path, (long long)record->bytes, pel__digest_text(&record->digest, text));
    return true;
}

static bool write_level(const pel__sink_spec *spec, pel__sink *s, int32_t image, int32_t level, pel__pool *pool, pel_error *err)
{
    const pel__level *const l = &spec->layouts[image].level[level];
    const pel_region all = pel__region(PEL_AXES, NULL, l->shape);
    void *const data = calloc((size_t)pel__region_voxels(&all), pel_dtype_size(spec->dtype));
    void *const scratch = calloc(1, (size_t)pel__sink_omezarr.write_bytes(spec, image, level, pel__pool_threads(pool)));
    pel_block b = pel__block_dense(&all, spec->dtype, data);
    (void)pel__region_rows(&all, fill_row, &b);
    const bool ok = pel__sink_omezarr.write(s, image, level, &b, pool, scratch, no_file, NULL, err)
        && pel__sink_omezarr.settle(s, no_file, NULL, err);
    free(scratch);
    free(data);
    return ok;
}

static void make_layout(pel__layout *layout, const int64_t *shape, const int64_t *chunk, const int64_t *shard)
{
    layout->level_count = 3;
    for (int32_t k = 0; k < 3; k++) {
        for (int i = 0; i < PEL_AXES; i++) {
            pel__level *const l = &layout->level[k];
            l->factor[i] = i >= PEL_Y ? 1 << k : 1;
            l->shape[i] = pel__ceil_div(shape[i], l->factor[i]);
            l->chunk[i] = chunk[i];
            l->shard[i] = shard[i];
        }
    }
}

static bool write_store(const pel__sink_spec *spec, pel_error *err)
{
    pel__pool *pool = NULL;
    pel__sink *s = NULL;
    bool ok = pel__pool_create(&pool, 2, err) && pel__sink_omezarr.create(&s, spec, NULL, NULL, err);
    for (int32_t i = 0; ok && i < spec->image_count; i++)
        for (int32_t k = 0; ok && k < spec->layouts[i].level_count; k++)
            ok = write_level(spec, s, i, k, pool, err);
    ok = ok && pel__sink_omezarr.finish(s, spec, NULL, NULL, err);
    if (s)
        pel__sink_omezarr.destroy(s);
    if (pool)
        pel__pool_destroy(pool);
    return ok;
}

static bool do_write(int argc, char **argv, pel_error *err)
{
    int64_t shape[5], chunk[5], shard[5];
    pel__sink_spec spec = {.provenance = "{\"command\": \"tool_zarr\"}"};
    if (argc < 9 || !numbers(argv[6], shape) || !numbers(argv[7], chunk) || !numbers(argv[8], shard)
        || !pel_dtype_parse(&spec.dtype, argv[4]) || !pel__codec_parse(&spec.codec, argv[5], err)) {
        return pel__fail(err, PEL_ARGUMENT, "write: wrong arguments");
    }
    spec.path = argv[2];
    spec.ome_version = atoi(argv[3]);
    spec.image_count = argc > 9 ? atoi(argv[9]) : 1;
    pel_channel *const channels = calloc((size_t)shape[1], sizeof *channels);
    for (int64_t c = 0; c < shape[1]; c++)
        (void)snprintf(channels[c].name, sizeof channels[c].name, "Ch <%lld> \xC3\xA9", (long long)c);
    pel_image image = {.name = "test & image", .dtype = spec.dtype, .pixel_size = {2.5, 0, 0.75, 0.2, 0.1}, .channels = channels,
                       .significant_bits = 12};
    memcpy(image.shape, shape, sizeof shape);
    const pel_image *images[8];
    pel__layout *const layouts = calloc(8, sizeof *layouts);
    for (int i = 0; i < 8; i++) {
        images[i] = &image;
        make_layout(&layouts[i], shape, chunk, shard);
    }
    spec.images = images;
    spec.layouts = layouts;
    const bool ok = write_store(&spec, err);
    free(layouts);
    free(channels);
    return ok;
}

static bool open_store(pel_source **out, int argc, char **argv, int first, pel_error *err)
{
    pel_open_options options = {0};
    options.level = argc > first ? atoi(argv[first]) : 0;
    options.axes = argc > first + 1 ? argv[first + 1] : NULL;
    return pel_source_open(out, argv[2], &options, err);
}

static bool do_info(int argc, char **argv, pel_error *err)
{
    pel_source *s = NULL;
    if (argc < 3 || !open_store(&s, argc, argv, 3, err))
        return false;
    for (int32_t i = 0; i < pel_source_image_count(s); i++) {
        const pel_image *const m = pel_source_image(s, i);
        printf("%ld,%ld,%ld,%ld,%ld %s %g,%g,%g,%g tile %ld,%ld,%ld,%ld,%ld [%s] \"%s\"", m->shape[0], m->shape[1], m->shape[2],
               m->shape[3], m->shape[4], pel_dtype_name(m->dtype), m->pixel_size[0], m->pixel_size[2], m->pixel_size[3],
               m->pixel_size[4], m->tile[0], m->tile[1], m->tile[2], m->tile[3], m->tile[4], m->compression, m->name);
        for (int64_t c = 0; c < m->shape[PEL_C]; c++)
            printf(" \"%s\" %06x %g %g", m->channels[c].name, m->channels[c].rgb, m->channels[c].window_start, m->channels[c].window_end);
        for (int32_t k = 0; k < m->note_count; k++)
            printf(" note: %s", m->notes[k].text);
        printf("\n");
    }
    pel_source_destroy(s);
    return true;
}

static bool do_dump(int argc, char **argv, pel_error *err)
{
    pel_source *s = NULL;
    pel_region r = {.ndim = PEL_AXES};
    if (argc < 6 || !numbers(argv[4], r.origin) || !numbers(argv[5], r.shape))
        return pel__fail(err, PEL_ARGUMENT, "dump: wrong arguments");
    if (!open_store(&s, argc, argv, 6, err))
        return false;
    const int32_t image = atoi(argv[3]);
    const pel_dtype dtype = pel_source_image(s, image)->dtype;
    const size_t n = (size_t)pel__region_voxels(&r);
    void *const data = malloc(n * pel_dtype_size(dtype) + 1);
    const pel_block b = pel__block_dense(&r, dtype, data);
    const bool ok = pel_source_read(s, image, &b, err);
    if (ok)
        (void)fwrite(data, pel_dtype_size(dtype), n, stdout);
    free(data);
    pel_source_destroy(s);
    return ok;
}

int main(int argc, char **argv)
{
    pel_error err = {0};
    const char *const verb = argc > 2 ? argv[1] : "";
    const bool ok = strcmp(verb, "write") == 0 ? do_write(argc, argv, &err)
        : strcmp(verb, "info") == 0            ? do_info(argc, argv, &err)
        : strcmp(verb, "dump") == 0            ? do_dump(argc, argv, &err)
                                               : pel__fail(&err, PEL_ARGUMENT, "usage: tool_zarr write|info|dump ...");
    if (!ok)
        fprintf(stderr, "%s\n", err.text);
    return ok ? 0 : 1;
}
