/* SPDX-License-Identifier: MIT
 * Where a Zarr hierarchy lives: keys ("0/c/0/1/2") to byte strings. A folder of the file system (store_folder.c), or
 * objects behind http://, https:// or s3:// (store_remote.c); every access of the readers and of the writer goes through
 * these functions. Folders (store_write.c) and S3 (store_s3.c) can be written to. */
#ifndef PEL_ZARR_STORE_H
#define PEL_ZARR_STORE_H

#include "codec/hash.h"
#include "core/error.h"
#include "core/file.h"
#include "core/folders.h"
#include "core/retry.h"
#include "pellucid.h"
#include "zarr/errand.h"
#include "zarr/index_cache.h"
#include "zarr/json.h"

#include <stdatomic.h>

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
int64_t pel__object_mtime_ns(const pel__object *object); /* 0 of a store that is far */
bool pel__object_read(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err); /* any thread */

/* An object of known length, without asking for it. */
bool pel__store_known_object(pel__store *store, const char *key, int64_t bytes, pel__object **out, pel_error *err);

/* What costs a journey is asked for ahead: NULL of a store that is near. Each of `threads` reading threads should have
 * pel__store_ahead requests on their way; neighbouring pieces of an object are fetched together. */
pel__errands *pel__store_errands(const pel__store *store);
pel__index_cache *pel__store_indexes(const pel__store *store); /* NULL: reading an index costs nothing */
int32_t pel__store_ahead(const pel__store *store);
void pel__store_readers(pel__store *store, int32_t threads);

#define PEL__STORE_WINDOW ((int64_t)2 << 20)
#define PEL__STORE_GAP ((int64_t)1 << 18)      /* between pieces, rather fetched along than asked for apart */
#define PEL__STORE_CONNECTION ((int64_t)1 << 20) /* what one open connection holds */

/* Takes documents by key, from consolidated metadata: pel__store_text of a remote store then answers from them. */
bool pel__store_keep_document(pel__store *store, const char *key, json_object *document);
bool pel__store_has_kept(const pel__store *store, const char *key);
/* Of a document that was taken: the one that is stored under its key. */
bool pel__store_own_text(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err);
int64_t pel__store_resident_bytes(const pel__store *store);

/* The whole store that a path is a part of, itself or one above it: a folder with its links resolved, or a URL. False: a
 * folder that is in none. Of what is remote the name says where it begins (NAME.zarr), else the documents above it do. */
bool pel__store_around(char *out, size_t size, const char *path, const pel_remote *remote);

/* The URL of a remote store. */
bool pel__store_address(char *out, size_t size, const char *root, const pel_remote *remote, pel_error *err);

/* ---- writing ----------------------------------------------------------------------------------------------- */

/* Opens for reading and writing; a folder need not exist yet. PEL_ARGUMENT for what cannot be written to. */
bool pel__store_create(pel__store **out, const char *root, const pel_remote *remote, pel_error *err);

/* From now on digests bind the number of a run (codec/hash.h); "" or NULL: of none. */
void pel__store_bind(pel__store *store, const char *run);
pel__hash *pel__store_hash(const pel__store *store, const char *key); /* NULL: no memory */
pel__digest pel__store_absent(const pel__store *store, const char *key); /* of an object that is left out: of its key and run */

/* By its name: does this store take an object in one request? Then the caller of begin gives memory for all of it, and
 * no object may have more than PEL__STORE_MOST bytes. */
bool pel__store_gathers(const char *root);
#define PEL__STORE_MOST ((int64_t)5 << 30)
#define PEL__STORE_CREW 16 /* objects that are worth waiting for beside each other, on a disk or over a network */

/* An object that is written piece by piece and appears whole or not at all. Zero-initialise. abort after commit does
 * nothing. Any thread, one writer a key. */
typedef struct pel__store_writer {
    pel__store *store; /* NULL: not begun */
    int64_t bytes;
    uint32_t crc32c;   /* of all that was appended; of a store that is far */
    pel__hash *hash;   /* of the key and all that was appended */
    uint8_t *room;     /* store that gathers: capacity bytes, given by the caller before begin */
    int64_t capacity;
    int fd;            /* folder */
    int64_t sent;      /* folder: bytes that were told to go to the disk */
    bool unsynced;     /* folder: the system may take its time: the name may outlive the bytes when the power fails */
    char path[PEL__PATH_MAX]; /* folder: of the file; S3: URL */
    char temporary[PEL__PATH_MAX + 128];
} pel__store_writer;

bool pel__writer_begin(pel__store_writer *w, pel__store *store, const char *key, pel_error *err);
bool pel__writer_append(pel__store_writer *w, const void *data, int64_t n, pel_error *err); /* data may lie in room already */
pel__digest pel__writer_digest(const pel__store_writer *w); /* of what was appended so far; between begin and commit */
bool pel__writer_commit(pel__store_writer *w, pel_error *err); /* under its key when true; of a folder lasting after pel__store_sync */
void pel__writer_abort(pel__store_writer *w);

/* Whole document at once. */
bool pel__store_put_text(pel__store *store, const char *key, const char *text, pel_error *err);

/* Removes the object of a key; true also where there is none. */
bool pel__store_remove(pel__store *store, const char *key, pel_error *err);

/* Makes the names of all that was committed or removed since the last time last through a power cut. One call for many files. */
bool pel__store_sync(pel__store *store, pel_error *err);

/* After a commit or a sync that failed: true, after a pause, where all that was written since the last sync is worth writing again: the
 * system has lost it for a reason that passes, and said so once. */
bool pel__store_write_again(pel__store *store, pel__retry *again);

/* What is stored under a key, as closely as asked: its length; also the checksums, by what the store itself vouches for or
 * else by reading it; also the checksums, in any case by reading. */
enum pel__depth { PEL__DEPTH_LENGTH, PEL__DEPTH_STORED, PEL__DEPTH_READ };
typedef struct pel__found {
    bool there, readable; /* a folder: not readable is a finding; anything remote that fails is an error */
    int64_t bytes;
    pel__digest digest; /* of key, run and contents; of what is not there pel__store_absent */
    uint32_t crc32c;    /* of the contents: what older versions recorded */
} pel__found;
bool pel__store_look(pel__store *store, const char *key, enum pel__depth depth, pel__found *out, pel_error *err);

/* Name of anything in the store but what a killed writer may have left; "" where it is empty or not there. */
bool pel__store_first(pel__store *store, char *name, size_t size, pel_error *err);

/* Calls on_key for every key but what a killed writer may have left; folders that enter (called with a "/" behind) does not
 * want are passed by where that saves time. *listed: false where the server does not list for us. */
typedef struct pel__store_walk {
    bool (*on_key)(void *arg, const char *key, pel_error *err);
    bool (*enter)(void *arg, const char *key);
    void *arg;
} pel__store_walk;
bool pel__store_each(pel__store *store, const pel__store_walk *walk, bool *listed, pel_error *err);

/* Removes all that is in the store, and a folder itself. */
bool pel__store_clear(pel__store *store, pel_error *err);

/* Removes what a killed writer may have left, but for the temporary files of which `keep` says that their writer lives. */
typedef bool pel__keep(void *arg, const char *name);
bool pel__store_sweep(pel__store *store, pel__keep *keep, void *arg, pel_error *err);

/* ---- kinds (inside zarr/store*.c) --------------------------------------------------------------------------- */

/* The writing half of a kind. */
typedef struct pel__store_writes {
    bool (*begin)(pel__store_writer *w, const char *key, pel_error *err);
    bool (*append)(pel__store_writer *w, const void *data, int64_t n, pel_error *err); /* bytes and checksums are the caller's */
    bool (*commit)(pel__store_writer *w, pel_error *err);
    void (*abort)(pel__store_writer *w); /* NULL: nothing to do */
    bool (*remove)(pel__store *store, const char *key, pel_error *err);
    bool (*sync)(pel__store *store, pel_error *err); /* NULL: what is committed lasts */
    bool (*look)(pel__store *store, const char *key, enum pel__depth depth, pel__found *out, pel_error *err);
    bool (*first)(pel__store *store, char *name, size_t size, pel_error *err);
    bool (*each)(pel__store *store, const pel__store_walk *walk, bool *listed, pel_error *err);
    bool (*clear)(pel__store *store, pel_error *err);
    bool (*sweep)(pel__store *store, pel_error *err); /* NULL: a writer that is killed leaves nothing */
} pel__store_writes;

extern const pel__store_writes pel__store_folder_writes, pel__store_s3_writes;

typedef struct pel__store_type {
    bool far; /* every request costs a journey */
    const pel__store_writes *writes; /* NULL: read only */
    bool (*text)(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err);
    bool (*object)(pel__store *store, const char *key, const pel__want *want, pel__object **out, pel_error *err);
    bool (*read)(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err);
    bool (*known)(pel__store *store, const char *key, int64_t bytes, pel__object **out, pel_error *err); /* of far stores */
    void (*close_object)(pel__object *object);
    void (*close)(pel__store *store);
} pel__store_type;

/* Every kind's own structs begin with these. */
struct pel__store {
    const pel__store_type *type;
    char *root;
    char *refused;
    pel__errands *errands;
    pel__index_cache *indexes;
    int32_t ahead;
    json_object *documents; /* text by key; NULL: none */
    int64_t document_bytes;
    atomic_uint temporaries; /* folder: names given out */
    atomic_bool lost;        /* folder: a sync failed for a reason that passes */
    pel__keep *keep;         /* folder: while it is swept */
    void *keep_arg;
    pel__folders *folders;   /* folder: those with changed entries; NULL: opened for reading */
    char run[PEL__DIGEST_TEXT]; /* part of all digests; "": of no run */
};

struct pel__object {
    const pel__store_type *type;
    int64_t size, mtime_ns; /* mtime_ns: of a folder's files */
};

bool pel__store_open_folder(pel__store **out, const char *root, bool must_exist, pel_error *err);
bool pel__store_open_remote(pel__store **out, const char *root, const pel_remote *remote, pel_error *err);

#endif
