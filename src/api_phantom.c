/* SPDX-License-Identifier: MIT
 * pel_phantom_write: the phantom source on one side, a file writer on the other. Nothing includes this file. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/pool.h"
#include "pellucid.h"
#include "sink/filewriter.h"
#include "source/source.h"

#include <strings.h>

/* Planes up to this many voxels become one CZI tile where the caller does not say. */
#define WHOLE_PLANE (INT64_C(2048) * 2048)

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcasecmp(text + n - m, end) == 0;
}

static bool choose_codec(pel__file_job *job, const char *compression, pel_error *err)
{
    static const struct { const char *name; enum pel__file_codec codec; } codecs[] = {
        {"raw", PEL__FILE_RAW}, {"none", PEL__FILE_RAW}, {"zstd1", PEL__FILE_ZSTD1}, {"deflate", PEL__FILE_DEFLATE},
    };
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++)
        if (!compression || strcmp(compression, codecs[i].name) == 0) {
            job->codec = codecs[i].codec;
            return true;
        }
    return pel__fail(err, PEL_ARGUMENT, "%s: compression \"%s\": must be raw, zstd1 (CZI) or deflate (TIFF)", job->path, compression);
}

static void choose_tiles(pel__file_job *job, const pel_phantom_options *o, bool tiff)
{
    const int64_t y = o->size[PEL_Y], x = o->size[PEL_X], whole = y * x <= WHOLE_PLANE;
    job->overlap = o->overlap;
    if (tiff) { /* whole tiles are stored even where they stick out of the image: no larger than needed */
        job->tile_y = o->tile_y ? o->tile_y : pel__min(512, pel__round_up(y, 16));
        job->tile_x = o->tile_x ? o->tile_x : pel__min(512, pel__round_up(x, 16));
    } else {
        job->tile_y = pel__min(y, o->tile_y ? o->tile_y : whole ? y : 2048);
        job->tile_x = pel__min(x, o->tile_x ? o->tile_x : whole ? x : 2048);
    }
}

static bool phantom_pixels(void *arg, int32_t image, const pel_block *dst, pel_error *err)
{
    pel_source *s = arg;
    return s->type->read(s, image, dst, err);
}

static bool write_file(pel__file_job *job, const pel_phantom_options *o, pel_error *err)
{
    const bool czi = ends_with(job->path, ".czi"), tiff = ends_with(job->path, ".tif") || ends_with(job->path, ".tiff");
    if (!czi && !tiff)
        return pel__fail(err, PEL_ARGUMENT, "%s: the name must end in .czi, .tif or .tiff", job->path);
    if (o->tile_y < 0 || o->tile_x < 0 || o->overlap < 0)
        return pel__fail(err, PEL_ARGUMENT, "%s: tiles and overlap must not be negative", job->path);
    choose_tiles(job, o, tiff);
    if (!choose_codec(job, o->compression, err))
        return false;
    return czi ? pel__czi_write(job, err) : pel__tiff_write(job, err);
}

bool pel_phantom_write(const char *path, const pel_phantom_options *o, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    static const pel_open_options plain = {0};
    char name[1024];
    pel_source *s = NULL;
    pel__pool *pool = NULL;
    bool ok = pel_phantom_name(name, sizeof name, o, err) && pel__source_phantom.open(&s, name, &plain, err) &&
              pel__pool_create(&pool, o->threads > 0 ? o->threads : 1, err);
    if (ok) {
        pel__file_job job = {.path = path, .image_count = s->image_count, .images = s->images, .pixels = phantom_pixels, .pixels_arg = s,
                             .seed = o->seed, .pool = pool, .on_progress = on_progress, .progress_arg = arg};
        ok = write_file(&job, o, err);
    }
    pel__pool_destroy(pool);
    pel__source_phantom.destroy(s);
    return ok;
}
