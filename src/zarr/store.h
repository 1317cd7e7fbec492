/* SPDX-License-Identifier: MIT
 * Where a Zarr hierarchy lives: keys ("0/c/0/1/2") to byte strings. Today a folder of the file system; every access of
 * the readers and of the writer goes through these functions, so another kind of store is another set of them. */
#ifndef PEL_ZARR_STORE_H
#define PEL_ZARR_STORE_H

#include "core/error.h"
#include "core/file.h"
#include "pellucid.h"

typedef struct pel__store pel__store;

/* Opens the folder for reading. PEL_NOT_FOUND, PEL_IO. */
bool pel__store_open(pel__store **out, const char *root, pel_error *err);
void pel__store_close(pel__store *store);
const char *pel__store_root(const pel__store *store);

/* A whole small value (a metadata document) with a NUL behind it, free() it. *out is NULL and the result true where
 * the store has no such key. */
bool pel__store_text(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err);

/* An object opened for ranged reads; *out is NULL and the result true where there is none. Anything but absence
 * (no permission, a folder in its place) is an error. */
typedef struct pel__object pel__object;
bool pel__store_object(pel__store *store, const char *key, pel__object **out, pel_error *err);
void pel__object_close(pel__object *object); /* NULL allowed */
int64_t pel__object_size(const pel__object *object);
int64_t pel__object_mtime_ns(const pel__object *object);
bool pel__object_read(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err);

/* Is there a folder under this key? Zarr v2 writers that never recorded their separator are told by it. */
bool pel__store_has_folder(pel__store *store, const char *key);

/* ---- writing ----------------------------------------------------------------------------------------------- */

/* A file that is written piece by piece under a temporary name beside its target and appears whole or not at all.
 * Zero-initialise; begin on first use makes the folders above. abort after commit does nothing. */
typedef struct pel__store_writer {
    int fd_plus_one; /* 0: not begun */
    int64_t bytes;
    uint32_t crc32c; /* of all that was appended */
    char path[PEL__PATH_MAX];
    char temporary[PEL__PATH_MAX + 128];
} pel__store_writer;

bool pel__writer_begin(pel__store_writer *w, const char *root, const char *key, pel_error *err);
bool pel__writer_append(pel__store_writer *w, const void *data, int64_t n, pel_error *err);
bool pel__writer_commit(pel__store_writer *w, pel_error *err); /* sync, rename */
void pel__writer_abort(pel__store_writer *w);

/* Removes the file of a key; true also where there is none. */
bool pel__store_remove(const char *root, const char *key, pel_error *err);

/* Whole document at once: folders made, written aside, synced, renamed. */
bool pel__store_put_text(const char *root, const char *key, const char *text, pel_error *err);

/* Removes every ".tmp-*" file that a killed writer may have left in the folder `key` and below. For the time when
 * nobody writes. */
bool pel__store_sweep(const char *root, const char *key, pel_error *err);

#endif
