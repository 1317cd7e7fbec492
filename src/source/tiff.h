/* SPDX-License-Identifier: MIT
 * What the files of the TIFF source share. A file is walked once by tiff_dir.c: every directory becomes a page of 16
 * bytes that points at one of few geometries. A dialect (tiff_dialect.h) says which page is which plane of which image.
 * tiff_read.c reads pixels: uncompressed ones straight from the file, the rest through libtiff, one handle a thread. */
#ifndef PEL_SOURCE_TIFF_H
#define PEL_SOURCE_TIFF_H

#include "core/error.h"
#include "core/file.h"
#include "source/note.h"
#include "source/source.h"
#include "source/tiff_tags.h"

#include <pthread.h>

/* What pages have in common. A tile of a striped page is a strip: as wide as the page. */
typedef struct pel__tiff_geometry {
    int64_t width, height, tile_width, tile_height;
    int64_t tile_bytes;    /* decoded */
    int64_t file_bytes;    /* of the largest file that has such pages */
    int32_t samples;       /* a pixel */
    int32_t bits, format;  /* as the file has them */
    int32_t compression, predictor, photometric, fill_order;
    bool tiled, planar, left_out; /* left_out: reduced resolution or a mask */
    bool packed;           /* samples that are no type of ours: fewer bits, float16 */
    bool raw;              /* no directory: uncompressed rows from the page's offset on */
    pel_dtype dtype;
    char refusal[112];     /* "" or why pellucid does not read such pages */
} pel__tiff_geometry;

typedef struct pel__tiff_page {
    int64_t offset; /* of its directory, or of its pixels where its geometry is raw */
    int32_t geometry, file;
} pel__tiff_page;

typedef struct pel__tiff_file {
    char *path;
    bool big, swap; /* BigTIFF; other byte order than ours */
    int64_t first_page, page_count; /* its part of the set's pages */
} pel__tiff_file;

typedef struct pel__tiff_set {
    pel__tiff_file *files;
    pel__tiff_page *pages;
    pel__tiff_geometry *geometries;
    int64_t file_count, file_room, page_count, page_room, geometry_count, geometry_room;
    bool recover;
    char broken[160];  /* recover: what ended the walk of a file early */
    uint32_t crc32c;   /* of headers, descriptions and places of directories */
} pel__tiff_set;

/* The tags of the first page that describe the whole file. */
typedef struct pel__tiff_head {
    char *description; /* malloc; NULL = none */
    size_t description_bytes;
    double resolution[2]; /* x, y: pixels a unit; 0 = unknown */
    int32_t resolution_unit;
    char acquired[40];    /* DateTime as ISO 8601 */
    int64_t first_strip;  /* where its pixels begin; 0 = unknown */
    pel__tiff_directory dir; /* for tags that only some dialects have; no file: there is none */
} pel__tiff_head;

/* Walks all directories of one more file; its pages are appended. head may be NULL. */
bool pel__tiff_walk(pel__tiff_set *set, const char *path, pel__tiff_head *head, pel_error *err);
/* A page without a directory: rows of the pixels of page `like`, from byte `at` of the same file on. It takes the place of *page; -1:
 * it is one more, and *page is its number. */
bool pel__tiff_raw_page(pel__tiff_set *set, int32_t like, int64_t at, int32_t *page, pel_error *err);
void pel__tiff_head_finish(pel__tiff_head *head);
/* The directory of a page, its file open; finish it. */
bool pel__tiff_page_directory(const pel__tiff_set *set, int64_t page, pel__tiff_directory *d, pel_error *err);
/* A text tag of one page, at most 1 MiB; NULL where it has none. free() it. */
bool pel__tiff_page_text(const pel__tiff_set *set, int64_t page, int tag, char **out, pel_error *err);
void pel__tiff_set_finish(pel__tiff_set *set);

/* One image beside its pel_image. A plane (t, group, z) is all samples of one page. */
typedef struct pel__tiff_image {
    int32_t *page;       /* of plane (t * groups + group) * z_size + z; -1 = missing */
    int64_t groups;      /* channels / samples of a page */
    int32_t geometry;
    pel__notes notes;
} pel__tiff_image;

typedef struct pel__tiff_handle pel__tiff_handle;

typedef struct pel__tiff {
    pel_source base;
    pel__tiff_set set;
    pel__tiff_image *images;
    int64_t planes, channels; /* of all images so far: some hundred bytes of XML can claim any number */
    bool long_counts;    /* LSM: what a strip takes is said as it is decoded, which may lead beyond the end */
    char page_axis;      /* of plain stacks: 't', 'c' or 'z' */
    bool axes_said;      /* by the user */
    int64_t given[3];    /* t, c, z as the user says them */
    char given_order[4]; /* "": nothing was said; else the axes from the fastest */
    pthread_mutex_t mutex;
    bool has_mutex;
    pel__tiff_handle *idle;
} pel__tiff;

/* Room for n more images, zeroed. */
bool pel__tiff_add_images(pel__tiff *t, int32_t n, pel_error *err);
/* shape (with c in groups times samples), dtype, tile, samples, channels, compression, pages (all -1) of an image whose
 * geometry is chosen. groups etc. are >= 1. PEL_FORMAT / UNSUPPORTED where the geometry cannot be read. */
bool pel__tiff_shape_image(pel__tiff *t, int32_t image, int32_t geometry, const int64_t tgz[3], pel_error *err);
void pel__tiff_count_missing(pel__tiff *t, int32_t image);
void pel__tiff_note(pel__tiff *t, int32_t image, enum pel__note_kind kind, int64_t count, const char *fmt, ...) PEL_PRINTF(5, 6);
double pel__tiff_number(const char *text); /* C locale; 0 where there is none, or no finite one */
double pel__tiff_micrometres(const char *unit); /* of one unit of length; 0 = unknown */
bool pel__tiff_same_pixels(const pel__tiff_geometry *a, const pel__tiff_geometry *b); /* may one take the place of the other? */

/* A row of n samples of a packed geometry as those of its dtype; `to` has room for them. */
void pel__tiff_unpack(const pel__tiff_geometry *g, const uint8_t *row, int64_t n, void *to);

/* Pixels that lie in the file as they are, but for their byte order. */
static inline bool pel__tiff_plain(const pel__tiff_geometry *g) { return g->compression == 1 && g->fill_order == 1 && !g->packed; }

bool pel__tiff_codec_known(int32_t compression); /* by this libtiff */
bool pel__tiff_codec_predicts(int32_t compression); /* libtiff undoes its predictors, or it has no use for any */
const char *pel__tiff_codec_name(int32_t compression);
bool pel__tiff_read(pel_source *s, int32_t image, const pel_block *dst, pel_error *err);
void pel__tiff_handles_destroy(pel__tiff_handle *first);
int64_t pel__tiff_thread_bytes(const pel__tiff *t);

#endif
