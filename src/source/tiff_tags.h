/* SPDX-License-Identifier: MIT
 * Values of one directory of a TIFF file. Nothing that the file says is trusted: counts are capped, every value is checked before
 * it is used. Dialects look up their own tags here. */
#ifndef PEL_SOURCE_TIFF_TAGS_H
#define PEL_SOURCE_TIFF_TAGS_H

#include "core/error.h"
#include "core/file.h"

enum pel__tiff_tag {
    PEL__TAG_SUBFILE = 254, PEL__TAG_WIDTH = 256, PEL__TAG_LENGTH = 257, PEL__TAG_BITS = 258, PEL__TAG_COMPRESSION = 259, PEL__TAG_PHOTOMETRIC = 262,
    PEL__TAG_FILL_ORDER = 266, PEL__TAG_DESCRIPTION = 270, PEL__TAG_STRIP_OFFSETS = 273, PEL__TAG_SAMPLES = 277, PEL__TAG_ROWS_PER_STRIP = 278,
    PEL__TAG_STRIP_COUNTS = 279, PEL__TAG_X_RESOLUTION = 282, PEL__TAG_Y_RESOLUTION = 283, PEL__TAG_PLANAR = 284, PEL__TAG_RESOLUTION_UNIT = 296,
    PEL__TAG_SOFTWARE = 305, PEL__TAG_DATE_TIME = 306, PEL__TAG_PREDICTOR = 317, PEL__TAG_TILE_WIDTH = 322, PEL__TAG_TILE_LENGTH = 323,
    PEL__TAG_SAMPLE_FORMAT = 339, PEL__TAG_DEPTH = 32997, PEL__TAG_LSM = 34412,
};

#define PEL__TIFF_MOST_TEXT (INT64_C(256) << 20)

typedef struct pel__tiff_directory {
    pel__file *file;
    bool big, swap;       /* BigTIFF; other byte order than ours */
    int64_t entries;
    uint8_t *buffer;      /* the directory's bytes, from the count on */
    int64_t room;         /* of the buffer: what the first read takes */
} pel__tiff_directory;

/* The directory at byte `at`, and where the next one is (0: none). One read where it has up to some 200 entries. */
bool pel__tiff_directory_load(pel__tiff_directory *d, int64_t at, int64_t *next, pel_error *err);
bool pel__tiff_directory_room(pel__tiff_directory *d, pel_error *err); /* allocates the buffer */
void pel__tiff_directory_finish(pel__tiff_directory *d); /* closes the file, frees the buffer */

uint64_t pel__tiff_load(const pel__tiff_directory *d, const void *p, int bytes); /* in the file's byte order */

/* How many values the tag has; 0 where the directory lacks it. */
int64_t pel__tiff_tag_count(const pel__tiff_directory *d, int tag);

/* Where in the file its values are, if they are not in the directory itself; for tags whose count is not one of values. */
int64_t pel__tiff_tag_place(const pel__tiff_directory *d, int tag);

/* n bytes of the tag's values from byte `from` on, in the file's byte order. PEL_FORMAT where it has fewer, or is not there. */
bool pel__tiff_tag_bytes(const pel__tiff_directory *d, int tag, int64_t from, void *out, int64_t n, pel_error *err);

/* First value of a whole-number tag, `fallback` where the directory lacks it. */
bool pel__tiff_tag_number(const pel__tiff_directory *d, int tag, int64_t fallback, int64_t *out, pel_error *err);

/* A tag that has a value for each sample: -1 where they are not all the same. */
bool pel__tiff_tag_same(const pel__tiff_directory *d, int tag, int64_t fallback, int64_t *out, pel_error *err);

/* Text with a NUL behind it; NULL where there is none. free() it. Longer than `most`: PEL_FORMAT. */
bool pel__tiff_tag_text(const pel__tiff_directory *d, int tag, int64_t most, char **out, size_t *n, pel_error *err);

double pel__tiff_tag_ratio(const pel__tiff_directory *d, int tag); /* 0 where there is none */

#endif
