/* SPDX-License-Identifier: MIT
 * Nodes of a Zarr hierarchy, v2 and v3: what kind they are, their attributes, and reading boxes of an array. */
#ifndef PEL_ZARR_ARRAY_H
#define PEL_ZARR_ARRAY_H

#include "zarr/chain.h"
#include "zarr/dtype.h"
#include "zarr/stamps.h"
#include "zarr/store.h"

enum pel__node_kind { PEL__NODE_NONE, PEL__NODE_GROUP, PEL__NODE_ARRAY };

/* One node's documents. v2: meta is .zarray or .zgroup, attributes .zattrs; v3: both from zarr.json. */
typedef struct pel__zarr_node {
    enum pel__node_kind kind;
    int32_t format; /* 2 or 3 */
    json_object *meta;
    json_object *attributes; /* NULL: none */
    uint32_t crc32c;         /* of the documents' bytes */
    int64_t bytes;           /* and their length */
    bool stale;              /* the consolidated metadata said otherwise than the array's own document, which is used */
} pel__zarr_node;

/* path "" is the root, "0/1" a node below. A missing node is NONE and true. */
bool pel__zarr_node_read(pel__zarr_node *node, pel__store *store, const char *path, pel_error *err);
void pel__zarr_node_free(pel__zarr_node *node);

/* Takes over the documents of the nodes below from the root's consolidated metadata, if it has any: worth a request each
 * where every one costs a round trip; never where the documents themselves, which cannot be stale, are near. */
bool pel__zarr_consolidated(pel__store *store, const pel__zarr_node *root, pel_error *err);

typedef struct pel__zarr_array {
    pel__store *store; /* borrowed */
    char *path;        /* "" or "0/1/" */
    int32_t format, ndim;
    int64_t shape[PEL_MAX_NDIM];
    int64_t chunk[PEL_MAX_NDIM]; /* of the grid: shards where there are shards */
    pel__zarr_type type;
    uint8_t fill[8];
    bool fill_zero;
    char separator;
    bool prefixed; /* chunk keys begin with "c" */
    bool separator_told;   /* v2: the metadata name one */
    bool separator_unlike; /* the metadata name another one, under which no chunk is */
    bool empty;            /* of a folder: not a single chunk is there */
    char name[PEL_MAX_NDIM][32]; /* of the axes; "" = none */
    pel__zarr_chain chain;
    pel__stamps *stamps; /* of the chunks read; NULL: nobody asked */
    /* Asked when a chunk cannot be decoded: true, it reads as zero; false, reading it fails with why. NULL: it fails. Any thread. */
    bool (*on_damage)(void *arg, int64_t chunk, pel_error *why);
    void *on_damage_arg;
} pel__zarr_array;

/* node must be an array. */
bool pel__zarr_array_open(pel__zarr_array **out, pel__store *store, const char *path, const pel__zarr_node *node,
                          pel_error *err);
void pel__zarr_array_close(pel__zarr_array *array);

/* The documents' members into *array; array_meta.c. */
bool pel__zarr_parse_v2(pel__zarr_array *array, const pel__zarr_node *node, pel_error *err);
bool pel__zarr_parse_v3(pel__zarr_array *array, const pel__zarr_node *node, pel_error *err);

/* Settles the separator by what is stored; array_look.c. */
void pel__zarr_array_look(pel__zarr_array *array);

/* Key of a chunk of the grid, relative to the store; for messages, too. */
bool pel__zarr_chunk_key(const pel__zarr_array *array, const int64_t *grid, char *out, size_t size);

/* Fills a box of voxels; dst is the voxel at r's origin, stride in elements by the array's axes. Any thread. */
bool pel__zarr_array_read(pel__zarr_array *array, pel__codec_shelf *shelf, const pel_region *r, void *dst,
                          const int64_t *stride, pel_error *err);

/* Keeps stamps of at most so many chunks from now on; of a store that is far none. */
bool pel__zarr_array_watch(pel__zarr_array *array, int64_t most, pel_error *err);
int64_t pel__zarr_array_cells(const pel__zarr_array *array); /* chunks of the grid; INT64_MAX: more than can be counted */

int64_t pel__zarr_array_cell(const pel__zarr_array *array, const int64_t *grid); /* its number in C order */

/* Calls each(arg, grid, key) for every chunk with a stamp that looks otherwise now, or did meanwhile. */
typedef bool pel__zarr_on_chunk(void *arg, const int64_t *grid, const char *key);
bool pel__zarr_array_changes(const pel__zarr_array *array, pel__zarr_on_chunk *each, void *arg, pel_error *err);

/* What one reading thread holds. */
int64_t pel__zarr_array_thread_bytes(const pel__zarr_array *array);

/* ---- strided copies (strided.c) ---------------------------------------------------------------------------- */

typedef struct pel__strided {
    int32_t ndim, item;
    int64_t shape[PEL_MAX_NDIM];
    int64_t to[PEL_MAX_NDIM], from[PEL_MAX_NDIM]; /* strides in elements */
} pel__strided;

void pel__strided_copy(const pel__strided *s, void *dst, const void *src); /* s is left as it is */
void pel__strided_fill(const pel__strided *s, void *dst, const uint8_t *value);

#endif
