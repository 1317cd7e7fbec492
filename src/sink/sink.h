/* SPDX-License-Identifier: MIT
 * The contract of an output format. Data arrives as blocks that hold whole shards; every file appears whole or not at all,
 * once, and is reported so that the ledger can keep its length and checksum. Where the files lie (a folder, S3) is the
 * sink's business alone: a run keeps its own books in a local folder. */
#ifndef PEL_SINK_SINK_H
#define PEL_SINK_SINK_H

#include "core/digest.h"
#include "core/error.h"
#include "core/pool.h"
#include "core/retry.h"
#include "pellucid.h"

#define PEL__MAX_LEVELS PEL_MOST_LEVELS

/* One resolution level. Level 0 is the full image. A shard holds whole chunks; without shards shard equals chunk. */
typedef struct pel__level {
    int64_t shape[PEL_AXES];
    int64_t factor[PEL_AXES]; /* of level 0 voxels an own voxel, a power of two an axis */
    int64_t chunk[PEL_AXES];
    int64_t shard[PEL_AXES];
} pel__level;

typedef struct pel__layout {
    int32_t level_count;
    pel__level level[PEL__MAX_LEVELS];
} pel__layout;

enum pel__codec_kind { PEL__CODEC_NONE, PEL__CODEC_ZSTD, PEL__CODEC_GZIP, PEL__CODEC_BLOSC };
enum pel__shuffle { PEL__NOSHUFFLE = 0, PEL__SHUFFLE = 1, PEL__BITSHUFFLE = 2 };

/* As typed: "blosc:lz4:5:bitshuffle", "blosc:zstd:1:shuffle", "zstd:3", "gzip:5", "none". */
typedef struct pel__codec {
    enum pel__codec_kind kind;
    int32_t level;
    char cname[16];            /* blosc: lz4, zstd, … */
    enum pel__shuffle shuffle; /* blosc */
    bool crc32c;               /* checksum behind every inner chunk (Zarr v3 only) */
} pel__codec;

bool pel__codec_parse(pel__codec *out, const char *text, pel_error *err);
pel__codec pel__codec_default(void);
void pel__codec_text(const pel__codec *codec, char *text, size_t size);

/* A display range in grey values: least and most of the data, and what is shown as black and as full colour. */
typedef struct pel__window {
    double min, max, start, end;
} pel__window;

/* All that a sink needs to know; what it points at outlives the sink. */
typedef struct pel__sink_spec {
    const char *path;          /* the store, e.g. embryo.ome.zarr or s3://bucket/embryo.ome.zarr */
    const pel_remote *remote;  /* how it is reached; may be NULL */
    int32_t ome_version;       /* 4: OME-Zarr 0.4 on Zarr v2; 5: OME-Zarr 0.5 on Zarr v3 with shards */
    pel_dtype dtype;
    pel__codec codec;
    int32_t image_count;       /* more than one: a bioformats2raw.layout collection with images in 0, 1, 2, … */
    const pel_image *const *images;
    const pel__layout *layouts; /* one an image */
    bool unsynced;             /* files are renamed without waiting for the disk: for measurements */
    bool (*keep)(void *arg, const char *name); /* is the writer of a temporary file alive? NULL: none is */
    void *keep_arg;
    const char *run;           /* number of the run, which digests bind; "" or NULL: none */
    const char *provenance;    /* JSON object text: command, version, settings, noise; kept under "pellucid" in attributes */
    bool ours;                 /* the run was begun before: what lies under the path is its own, whole or harmed */
    pel__window *const *windows; /* an image each, one a channel; NULL: those of the images */
    bool older;                /* begun by a version before 2026-12: documents are as that wrote them */
    bool other_greys;          /* grey values are not those of the images, nor are their display ranges */
    const struct pel__file_record *known; /* metadata documents as they were reported last, whichever version made them */
    int32_t known_count;
} pel__sink_spec;

/* A file that was written, or bytes = -1 for one left out because every voxel in it is the fill value (zero). */
typedef struct pel__file_record {
    char path[256]; /* relative to the store */
    int64_t bytes;
    pel__digest digest; /* XXH3-128 of path, run and contents */
} pel__file_record;

typedef bool pel__on_file(void *arg, const pel__file_record *record, pel_error *err);

/* A metadata document as the audit finds it. */
typedef struct pel__document_found {
    const char *path;
    bool missing, damaged;
    char found[240]; /* of a damaged one: how */
} pel__document_found;

typedef bool pel__on_document(void *arg, const pel__document_found *found, pel_error *err);

/* Calls for names; listed: whether the store tells them at all. */
typedef struct pel__names {
    bool (*on_name)(void *arg, const char *name, pel_error *err);
    void *arg;
    bool listed;
} pel__names;

/* A file as it is found. How closely it is looked at: its length; its checksums, by what the store vouches for or else by
 * reading; its checksums by reading in any case. */
enum pel__look { PEL__LOOK_LENGTH, PEL__LOOK_STORED, PEL__LOOK_READ };
typedef struct pel__file_found {
    bool there, readable;
    int64_t bytes;
    pel__digest digest; /* this and the next: not of LOOK_LENGTH */
    uint32_t crc32c;    /* what older versions recorded */
} pel__file_found;

/* Whole shards of a level, cut at the image. */
typedef struct pel__part {
    int32_t image, level;
    pel_region region;
} pel__part;

typedef struct pel__sink pel__sink;

typedef struct pel__sink_type {
    const char *name;
    /* Groups, arrays and metadata, all before any pixel; on_document (or NULL) is called for each document as it then is stored. A store
     * that holds the very same documents is taken over, of one that is ours those that are lost or altered are written anew;
     * other content under the path: PEL_REFUSED, nothing touched. */
    bool (*create)(pel__sink **out, const pel__sink_spec *spec, pel__on_file *on_document, void *arg, pel_error *err);
    /* The same again for a sink that is there. */
    bool (*put_documents)(pel__sink *s, const pel__sink_spec *spec, pel__on_file *on_document, void *arg, pel_error *err);
    /* Each document against what was reported of it, or else against what would be written now. complete: the store is to say
     * that it is. */
    bool (*audit_documents)(pel__sink *s, const pel__sink_spec *spec, bool complete, pel__on_document *on_document, void *arg, pel_error *err);
    /* Names of all that lies in our groups and arrays and that the spec does not have. */
    bool (*strays)(pel__sink *s, const pel__sink_spec *spec, pel__names *strays, pel_error *err);
    /* For looking only: of the spec path and remote count. */
    bool (*open)(pel__sink **out, const pel__sink_spec *spec, pel_error *err);
    /* Name of anything that lies under the path, "" where there is nothing; and removal of all that does. */
    bool (*first)(const pel__sink_spec *spec, char *name, size_t size, pel_error *err);
    bool (*clear)(const pel__sink_spec *spec, pel_error *err);
    /* The provenance (JSON object text, free() it) of what lies under the path: of whichever run made it; NULL: it says nothing of any. */
    bool (*provenance)(const pel__sink_spec *spec, char **out, pel_error *err);
    /* The URL of a path that is no folder, "" of one that is; and the store of any run or program that a folder lies in. */
    bool (*address)(const char *path, const pel_remote *remote, char *out, size_t size, pel_error *err);
    bool (*around)(const char *path, char *out, size_t size);
    /* Scratch of one write call (all workers together); what reading a level back takes beside the pixels. */
    int64_t (*write_bytes)(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads);
    int64_t (*read_back_bytes)(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads);
    /* Most bytes of a file before compression; INT64_MAX: any. */
    int64_t (*most_file_bytes)(const char *path);
    /* Pixels of spec->dtype covering whole shards of the level (cut at the image); compresses on the pool. Files may still
     * be on their way when it returns. on_file is called on the caller's thread, by this call or a later one, in the order
     * of writing (C order of the shards), once each file is in its final place. One caller at a time. */
    bool (*write)(pel__sink *s, int32_t image, int32_t level, const pel_block *b, pel__pool *pool, void *scratch,
                  pel__on_file *on_file, void *arg, pel_error *err);
    /* Waits until all that was written is in its final place. False, as of write: nothing is on its way any more. */
    bool (*settle)(pel__sink *s, pel__on_file *on_file, void *arg, pel_error *err);
    /* After one of these failed: true, after a pause, where all since the last settle is worth writing again: a sync failed for a
     * reason that passes. */
    bool (*again)(pel__sink *s, pel__retry *retry);
    /* Relative names of all files that a part of a level consists of, as write reports them: count, and the name of number
     * `index` in C order. */
    int64_t (*file_count)(const pel__sink_spec *spec, const pel__part *part);
    void (*file_name)(const pel__sink_spec *spec, const pel__part *part, int64_t index, char *out, size_t size);
    /* Any thread, `lookers` of them are worth while; what is remote and cannot be asked is an error, not a finding. */
    bool (*look)(pel__sink *s, const char *name, enum pel__look how, pel__file_found *out, pel_error *err);
    int32_t (*lookers)(const pel__sink *s, int32_t threads);
    /* Removes what killed writers left. */
    bool (*sweep)(pel__sink *s, pel_error *err);
    /* Marks the store complete: final attributes, with the spec's windows; documents are reported. The root's is written last. */
    bool (*finish)(pel__sink *s, const pel__sink_spec *spec, pel__on_file *on_document, void *arg, pel_error *err);
    void (*destroy)(pel__sink *s);
} pel__sink_type;

extern const pel__sink_type pel__sink_omezarr;

#endif
