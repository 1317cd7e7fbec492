/* SPDX-License-Identifier: MIT
 * The contract of a file format: one const pel__source_type a format, one file (or czi_*.c family) a member, one line
 * in source.c's table. The dispatcher in source.c checks what a member promises; members never call each other. */
#ifndef PEL_SOURCE_SOURCE_H
#define PEL_SOURCE_SOURCE_H

#include "core/error.h"
#include "pellucid.h"

typedef struct pel__damage pel__damage;

enum pel__answer { PEL__NO, PEL__YES };

/* A piece of the input that looks otherwise than when it was read: where it lies in an image, and its name. False stops. */
typedef bool pel__on_change(void *arg, int32_t image, const pel_region *region, const char *name);

typedef struct pel__source_type {
    const char *name; /* "czi" */
    /* Is this path mine? Decided from the path and its first `n` bytes (n = 0 for a folder). Pure, reads nothing. */
    enum pel__answer (*detect)(const char *path, bool is_folder, const uint8_t *head, size_t n);
    /* On false *out is untouched and err set. options is never NULL. Fills the whole base struct below. */
    bool (*open)(pel_source **out, const char *path, const pel_open_options *options, pel_error *err);
    /* See pel_source_read; the dispatcher has checked image, region, dtype. Any thread. */
    bool (*read)(pel_source *s, int32_t image, const pel_block *dst, pel_error *err);
    void (*destroy)(pel_source *s); /* NULL allowed, and half-built objects */
    void (*cache)(pel_source *s, int64_t bytes, bool once); /* see pel__source_cache; NULL = it would not help */
    /* Name of file, folder or URL number `index` that pixels come from (the whole
     * store of an array in it); "": none of that number;
     * false: no more. NULL = they come from nowhere. */
    bool (*place)(const pel_source *s, int64_t index, const pel_remote *remote, char *out, size_t size);
    /* See pel__source_watch, _changes; NULL where the identity of the whole says it all. */
    bool (*watch)(pel_source *s, pel_error *err);
    bool (*changes)(pel_source *s, pel__on_change *each, void *arg, pel_error *err);
} pel__source_type;

/* Every format's own struct begins with this. The member allocates and frees what it points at. */
struct pel_source {
    const pel__source_type *type;
    char *path;
    int32_t image_count;
    pel_image *images;
    int64_t resident_bytes;  /* what the open source holds: directory, metadata */
    int64_t kept_tile_bytes; /* what one decoded tile takes in the cache (pel__source_cache); 0 = a cache would not help */
    int64_t thread_bytes;    /* scratch that one reading thread may hold on top of dst, helper processes included */
    bool far;                /* every tile costs a journey: a reading thread has several on their way, if it is asked for several at once */
    /* Identity for the plan: changes when the pixels may have changed. */
    int64_t identity_size, identity_mtime_ns;
    uint32_t identity_crc32c; /* of the header and metadata bytes */
    pel__damage *damage;    /* see damage.h; made by source.c after opening */
    bool damage_is_lent;        /* another source owns it */
    int64_t others_size, others_mtime_ns; /* of the set's files that identity_size and _mtime leave out: sum, newest; 0: none */
};

/* Do the options say that damaged pieces (tiles, strips, chunks) read as zero? */
bool pel__damage_is_zero(const pel_open_options *options);

/* How many times a damaged or short piece was read as zero: where it rises during a reading, that one had damage in it. d may be NULL. */
int64_t pel__damage_count(pel__damage *d);

/* Is there such an image, and the region inside it? */
bool pel__source_check_region(const pel_source *s, int32_t image, const pel_region *region, pel_error *err);

/* Lets the source keep up to `bytes` of decoded pixels on top of resident_bytes and thread_bytes, for regions that cut
 * through compressed tiles. `once`: no voxel will be asked for twice, so what lies whole in a region need not be kept. Without this
 * call it keeps none. While no thread reads. */
void pel__source_cache(pel_source *s, int64_t bytes, bool once);

/* From now on the source keeps in mind how the pieces (chunks in files of their own) looked that it reads; at most 4 MiB. */
bool pel__source_watch(pel_source *s, pel_error *err);

/* Calls each for every piece that was read since and changed after its first reading. While no thread reads. */
bool pel__source_changes(pel_source *s, pel__on_change *each, void *arg, pel_error *err);

extern const pel__source_type pel__source_czi;
extern const pel__source_type pel__source_tiff;
extern const pel__source_type pel__source_zarr;
extern const pel__source_type pel__source_phantom; /* computed: path is a name like "phantom:t=1,c=2,z=64,y=512,x=512;seed=1" */

#endif
