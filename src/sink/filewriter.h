/* SPDX-License-Identifier: MIT
 * What the small writers of single files (CZI, TIFF) share: a description of the work, a file that appears under its
 * name only when it is whole, and a pump that makes and encodes tiles on the pool and hands them out in order. */
#ifndef PEL_SINK_FILEWRITER_H
#define PEL_SINK_FILEWRITER_H

#include "core/error.h"
#include "core/pool.h"
#include "pellucid.h"

#include <stdio.h>

enum pel__file_codec { PEL__FILE_RAW, PEL__FILE_ZSTD1, PEL__FILE_DEFLATE };

typedef bool pel__file_pixels(void *arg, int32_t image, const pel_block *dst, pel_error *err); /* any thread */

typedef struct pel__file_job {
    const char *path;
    int32_t image_count;
    const pel_image *images;        /* all of one dtype, size and number of channels */
    pel__file_pixels *pixels;       /* where they come from */
    void *pixels_arg;
    int64_t tile_y, tile_x, overlap; /* each plane is cut into tiles; neighbours share `overlap` voxels */
    enum pel__file_codec codec;
    uint64_t seed;                  /* of identifiers in the file, so that the same job makes the same bytes */
    pel__pool *pool;
    pel_on_progress *on_progress;   /* may be NULL */
    void *progress_arg;
} pel__file_job;

bool pel__czi_write(const pel__file_job *job, pel_error *err);
bool pel__tiff_write(const pel__file_job *job, pel_error *err); /* PEL_UNSUPPORTED where built without libtiff */

/* ---- the file ------------------------------------------------------------------------------------------------ */

typedef struct pel__out {
    int fd;          /* -1: closed */
    int64_t end;     /* bytes appended so far */
    char path[4096], temporary[4096];
} pel__out;

bool pel__out_open(pel__out *o, const char *path, pel_error *err); /* ".tmp-NAME-PID" in the folder of path */
bool pel__out_append(pel__out *o, const void *data, int64_t n, pel_error *err);
bool pel__out_at(pel__out *o, int64_t offset, const void *data, int64_t n, pel_error *err); /* does not move the end */
bool pel__out_commit(pel__out *o, pel_error *err);  /* sync, rename over path */
void pel__out_abandon(pel__out *o);                 /* removes the temporary file; harmless after commit */

/* Text in memory, free() it: put(f, arg) writes it, numbers in the C locale. NULL: no memory. */
char *pel__out_text(void (*put)(FILE *f, const void *arg), const void *arg, size_t *n);
void pel__out_xml(FILE *f, const char *text); /* with the characters that XML reserves escaped */

/* ---- tiles --------------------------------------------------------------------------------------------------- */

typedef struct pel__tile {
    int64_t index;               /* in the order image, t, c, z, y, x */
    int32_t image;
    int64_t t, c, z, m;          /* m: number inside its plane */
    int64_t y, x, height, width; /* place in the image, cut at its border */
} pel__tile;

int64_t pel__tiles_across(int64_t size, int64_t tile, int64_t overlap);
bool pel__tile_count(const pel__file_job *job, int64_t *per_plane, int64_t *all, pel_error *err);
pel__tile pel__tile_at(const pel__file_job *job, int64_t index);

/* How a format turns pixels into bytes: `raw` holds the tile's rows with `row` voxels from one to the next, padded with
 * zeros to whole tiles if pad is set. Returns the number of bytes in `out` (capacity bound bytes), 0 = failed. */
typedef struct pel__tile_codec {
    bool pad;
    int64_t (*bound)(const pel__file_job *job, int64_t raw_bytes);
    int64_t (*encode)(const pel__file_job *job, const pel__tile *tile, void *raw, int64_t raw_bytes, void *out, int64_t capacity);
} pel__tile_codec;

typedef bool pel__tile_emit(void *arg, const pel__tile *tile, const void *data, int64_t n, pel_error *err);

/* Makes all tiles, a batch at a time, and calls emit in order on the caller's thread. */
bool pel__pump_tiles(const pel__file_job *job, const pel__tile_codec *codec, pel__tile_emit *emit, void *arg, pel_error *err);

#endif
