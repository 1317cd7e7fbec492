/* SPDX-License-Identifier: MIT
 * Where a Zarr hierarchy lives: keys ("0/c/0/1/2") to byte strings. A folder of the file system (store_folder.c), or
 * objects behind http://, https:// or s3:// (store_remote.c); every access of the readers and of the writer goes through
 * these functions. Writing is to folders only. */
#ifndef PEL_ZARR_STORE_H
#define PEL_ZARR_STORE_H

#include "core/error.h"
#include "core/file.h"
#include "pellucid.h"
#include "zarr/json.h"

typedef struct pel__store pel__store;
typedef struct pel__object pel__object;

bool pel__store_is_remote(const char *root); /* by its name */

/* Opens for reading; remote may be NULL. PEL_NOT_FOUND, PEL_IO; of a remote store nothing is asked yet. */
bool pel__store_open(pel__store **out, const char *root, const pel_remote *remote, pel_error *err);
void pel__store_close(pel__store *store);
const char *pel__store_root(const pel__store *store);

/* A whole small value (a metadata document) with a NUL behind it, free() it. *out is NULL and the result true where
 * the store has no such key. */
bool pel__store_text(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err);

/* URL of a document that the server refused to show (403): servers that must not list answer so for what is not there.
 * "" where there was none. */
const char *pel__store_refused(const pel__store *store);

/* What will be read of an object at first: a remote store brings it with the request that finds the object. */
typedef struct pel__want {
    enum { PEL__WANT_ALL, PEL__WANT_HEAD, PEL__WANT_TAIL } part;
    int64_t bytes; /* of head or tail; of ALL: more than this is an error */
} pel__want;

/* An object opened for ranged reads; *out is NULL and the result true where there is none. Anything but absence
 * (no permission, a folder in its place) is an error. Any thread. */
bool pel__store_object(pel__store *store, const char *key, const pel__want *want, pel__object **out, pel_error *err);
void pel__object_close(pel__object *object); /* NULL allowed */
int64_t pel__object_size(const pel__object *object);
bool pel__object_read(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err);

/* These n bytes will be read next, piece by piece: a remote store fetches them at once. n <= PEL__STORE_WINDOW. */
bool pel__object_expect(pel__object *object, int64_t offset, int64_t n, pel_error *err);

#define PEL__STORE_WINDOW ((int64_t)8 << 20)
#define PEL__STORE_GAP ((int64_t)1 << 20)      /* between pieces, rather fetched along than asked for apart */
#define PEL__STORE_CONNECTION ((int64_t)1 << 20) /* what one open connection holds */
bool pel__store_windows(const pel__store *store); /* is pel__object_expect of any use? */

/* Is there a folder under this key? Zarr v2 writers that never recorded their separator are told by it. */
bool pel__store_has_folder(pel__store *store, const char *key);

/* Takes documents by key, from consolidated metadata: pel__store_text of a remote store then answers from them. */
bool pel__store_keep_document(pel__store *store, const char *key, json_object *document);
int64_t pel__store_resident_bytes(const pel__store *store);

/* ---- kinds (inside zarr/store*.c) --------------------------------------------------------------------------- */

typedef struct pel__store_type {
    bool windows;
    bool (*text)(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err);
    bool (*object)(pel__store *store, const char *key, const pel__want *want, pel__object **out, pel_error *err);
    bool (*read)(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err);
    bool (*expect)(pel__object *object, int64_t offset, int64_t n, pel_error *err);
    void (*close_object)(pel__object *object);
    bool (*has_folder)(pel__store *store, const char *key);
    void (*close)(pel__store *store);
} pel__store_type;

/* Every kind's own structs begin with these. */
struct pel__store {
    const pel__store_type *type;
    char *root;
    char *refused;
    json_object *documents; /* text by key; NULL: none */
    int64_t document_bytes;
};

struct pel__object {
    const pel__store_type *type;
    int64_t size;
};

bool pel__store_open_folder(pel__store **out, const char *root, pel_error *err);
bool pel__store_open_remote(pel__store **out, const char *root, const pel_remote *remote, pel_error *err);

/* ---- writing ----------------------------------------------------------------------------------------------- */

/* A file that is written piece by piece under a temporary name beside its target and appears whole or not at all.
 * Zero-initialise; begin on first use makes the folders above. abort after commit does nothing. */
typedef struct pel__store_writer {
    int fd_plus_one; /* 0: not begun */
    int64_t bytes;
    uint32_t crc32c; /* of all that was appended */
    int64_t sent;    /* bytes that were told to go to the disk */
    bool unsynced;   /* the system may take its time: the name may outlive the bytes when the power fails */
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
