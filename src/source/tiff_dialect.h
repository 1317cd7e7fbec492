/* SPDX-License-Identifier: MIT
 * A dialect is what one program means by the pages of a TIFF file. One file tiff_NAME.c a dialect, one line in the table of
 * tiff_dialects.c. A dialect finds its words, says how the pages lie along t, c and z by a pel__tiff_stack, and gives sizes,
 * names and times; what it names no pages for becomes an image of its own. docs/formats-tiff.md has a row for each. */
#ifndef PEL_SOURCE_TIFF_DIALECT_H
#define PEL_SOURCE_TIFF_DIALECT_H

#include "source/tiff.h"

typedef struct pel__tiff_dialect {
    const char *name; /* "ImageJ" */
    /* Are the words of this dialect in the first directory? */
    bool (*detect)(const pel__tiff *t, const pel__tiff_head *head);
    /* Adds images; none where its words cannot be used: then all pages are taken as they come. */
    bool (*describe)(pel__tiff *t, const pel__tiff_head *head, pel_error *err);
} pel__tiff_dialect;

extern const pel__tiff_dialect pel__tiff_ome, pel__tiff_stk, pel__tiff_lsm, pel__tiff_imagej, pel__tiff_shaped, pel__tiff_scanimage, pel__tiff_svs, pel__tiff_qptiff, pel__tiff_ndtiff;

/* OME-XML, as far as its first n bytes tell. */
bool pel__tiff_is_ome_xml(const char *text, size_t n);

/* Of a TIFF, which becomes one more *file of the set, or of a file of bare XML, *file -1. */
bool pel__tiff_load_words(pel__tiff *t, const char *path, pel__tiff_head *head, int32_t *file, pel_error *err);

/* The first that knows the words; NULL: none. */
const pel__tiff_dialect *pel__tiff_dialect_of(const pel__tiff *t, const pel__tiff_head *head);

/* Pages of one kind and what they are. */
typedef struct pel__tiff_stack {
    int64_t size[3];      /* t, c, z as the words say; c counts groups of a page's samples */
    const char *order;    /* the axes from the fastest to the slowest, "czt" */
    const int32_t *pages; /* in this order; fewer than the sizes say: the rest is missing; more: the slowest axis that is in use is longer */
    int64_t count;
} pel__tiff_stack;

/* One more image, the last of base.images. A user's own sizes go before those of the words. */
bool pel__tiff_add_stack(pel__tiff *t, const pel__tiff_stack *s, pel_error *err);

/* The pages like the first one that pellucid reads, in their order; free() *pages. */
bool pel__tiff_main_pages(const pel__tiff *t, int32_t **pages, int64_t *count, pel_error *err);

/* Up to n pages from `first` on, up to the first that is of another kind; free() *pages. */
bool pel__tiff_pages(const pel__tiff *t, int64_t first, int64_t n, int32_t **pages, int64_t *count, pel_error *err);

/* Planes without directories, uncompressed one behind the other from byte `at` of the file of `like`, whose pixels they have: at
 * most n, as many as the file holds. free() *pages. */
bool pel__tiff_run(pel__tiff *t, int32_t like, int64_t at, int64_t n, int32_t **pages, int64_t *count, pel_error *err);

/* Pages that no image has yet: those of one kind are an image, along the axis that the user said, else z. `words`: the dialect that
 * did not name them; NULL: nobody did. */
bool pel__tiff_add_rest(pel__tiff *t, const pel__tiff_head *head, const char *words, pel_error *err);

/* Pages of other kinds than that of `page` are copies, labels or overviews. */
void pel__tiff_leave_others(pel__tiff *t, int32_t page);

/* Value of a line "key = value" (blanks as you like) up to the line's end or one of `ends`; false where there is none. */
bool pel__tiff_word(const char *text, const char *key, const char *ends, char *out, size_t size);
double pel__tiff_word_number(const char *text, const char *key, const char *ends, double fallback);

double pel__tiff_seconds(const char *unit); /* 0 = unknown */
void pel__tiff_take_resolution(pel_image *im, const pel__tiff_head *head, double um_x, double um_y); /* of the unit of resolution */
static inline pel_channel *pel__tiff_channel(const pel_image *im, int64_t c) { return (pel_channel *)(uintptr_t)&im->channels[c]; } /* ours, const to the public */

#endif
