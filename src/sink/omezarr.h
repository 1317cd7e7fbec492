/* SPDX-License-Identifier: MIT
 * What the files of the OME-Zarr sink share: omezarr.c (create, finish, names), omezarr_write.c (pixels),
 * omezarr_meta.c and omezarr_xml.c (documents), omezarr_codec.c (codec as typed). */
#ifndef PEL_SINK_OMEZARR_H
#define PEL_SINK_OMEZARR_H

#include "codec/chunk_codec.h"
#include "sink/sink.h"
#include "zarr/store.h"

struct pel__sink {
    pel__sink_spec spec;
    pel__store *store;
    pel__codec_shelf *shelf;
    struct pel__late *late; /* files on their way; made by the first write */
};

/* The chain behind `bytes` for one inner chunk. Returns the number of steps (0 to 2). */
#define PEL__OME_STEPS 2
int32_t pel__ome_steps(const pel__sink_spec *spec, pel__step *steps);

/* Inner chunks of a shard; 1 where the level has no shards. */
int64_t pel__ome_chunks_per_shard(const pel__level *level);
int64_t pel__ome_chunk_bytes(const pel__sink_spec *spec, const pel__level *level);

/* Key of the shard with these grid coordinates, relative to the store. */
void pel__ome_key(const pel__sink_spec *spec, int32_t image, int32_t level, const int64_t *grid, char *out, size_t size);

/* omezarr_write.c */
int64_t pel__ome_write_bytes(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads);
int64_t pel__ome_read_back_bytes(const pel__sink_spec *spec, int32_t image, int32_t level, int32_t threads);
bool pel__ome_settle(pel__sink *s, pel__on_file *on_file, void *arg, pel_error *err);
bool pel__ome_write(pel__sink *s, int32_t image, int32_t level, const pel_block *b, pel__pool *pool, void *scratch,
                    pel__on_file *on_file, void *arg, pel_error *err);

/* ---- documents --------------------------------------------------------------------------------------------- */

typedef struct pel__ome_doc {
    char key[64];
    char *text;
} pel__ome_doc;

/* The first document is the root's, which holds "pellucid": {…, "complete"}. */
typedef struct pel__ome_docs {
    pel__ome_doc *list;
    int32_t count, room;
} pel__ome_docs;

bool pel__ome_docs_make(pel__ome_docs *docs, const pel__sink_spec *spec, bool complete, pel_error *err);
void pel__ome_docs_free(pel__ome_docs *docs);

/* omezarr_docs.c: them in the store; see sink.h. finish_docs writes over those of the beginning what they end with, the first one last. */
bool pel__ome_put_docs(pel__store *store, const pel__sink_spec *spec, const pel__ome_docs *docs, pel__on_file *on_document, void *arg, pel_error *err);
bool pel__ome_provenance(const pel__sink_spec *spec, char **out, pel_error *err); /* sink.h */
bool pel__ome_finish_docs(pel__store *store, const pel__sink_spec *spec, const pel__ome_docs *before, const pel__ome_docs *docs, pel__on_file *on_document,
                          void *arg, pel_error *err);
bool pel__ome_audit_docs(pel__store *store, const pel__sink_spec *spec, bool complete, pel__on_document *on_document, void *arg, pel_error *err);
bool pel__ome_strays(pel__store *store, const pel__sink_spec *spec, const pel__ome_docs *docs, pel__names *strays, pel_error *err);

/* OME/METADATA.ome.xml of a collection; free() it. NULL: out of memory. */
char *pel__ome_xml(const pel__sink_spec *spec);

/* Colour and display range of a channel as written: never black by mistake, never an empty range. */
uint32_t pel__ome_color(const pel_image *image, int64_t channel);
pel__window pel__ome_window(const pel__sink_spec *spec, int32_t image, int64_t channel);

#endif
