/* SPDX-License-Identifier: MIT
 * The codec chain of a chunk: what lies between the stored bytes and voxels in memory. Transposes, v2's order "F" and
 * byte order are folded into strides and one swap; sharding holds the chain of its inner chunks. */
#ifndef PEL_ZARR_CHAIN_H
#define PEL_ZARR_CHAIN_H

#include "codec/chunk_codec.h"
#include "codec/chunk_filter.h"
#include "core/error.h"
#include "pellucid.h"
#include "zarr/json.h"

#define PEL__CHAIN_STEPS 6
#define PEL__CHAIN_FILTERS 4
#define PEL__CHAIN_NESTING 3 /* shards in shards */

typedef struct pel__zarr_chain {
    int32_t ndim;
    int64_t shape[PEL_MAX_NDIM];  /* of the decoded chunk */
    int64_t stride[PEL_MAX_NDIM]; /* elements from voxel to voxel in the decoded bytes, by the array's axes */
    int64_t bytes;                /* of the decoded chunk */
    int64_t packed, widest;       /* as the filters leave it, and the most on the way there */
    int32_t item;                 /* bytes of a voxel */
    int32_t swap;                 /* bytes of what is turned round at last, 0: nothing */
    int32_t swap_packed;          /* the same before filters are undone */
    pel__filter_step filter[PEL__CHAIN_FILTERS]; /* in the order of encoding */
    int32_t filters;
    pel__step step[PEL__CHAIN_STEPS]; /* in the order of encoding */
    int32_t steps;
    /* sharding_indexed: shape is the shard's, nothing above but item and ndim is used */
    struct pel__zarr_chain *inner;
    int64_t grid[PEL_MAX_NDIM]; /* inner chunks an axis */
    int64_t entries;            /* all of them */
    bool index_first, index_swap, index_crc32c;
} pel__zarr_chain;

void pel__chain_free(pel__zarr_chain *chain); /* what it points at */

/* The chain of chunks of this shape from the list "codecs" of Zarr v3; of compressor, filters and order of v2
 * (big: the dtype says '>'). Unknown codecs: PEL_UNSUPPORTED, named. */
bool pel__chain_v3(pel__zarr_chain *chain, json_object *codecs, int32_t ndim, const int64_t *shape, int32_t item,
                   int32_t nesting, pel_error *err);
bool pel__chain_v2(pel__zarr_chain *chain, json_object *zarray, int32_t ndim, const int64_t *shape, int32_t item, bool big,
                   pel_error *err);

/* Sets ndim, shape, item, bytes and C-order strides; refuses chunks that cannot be held. */
bool pel__chain_init(pel__zarr_chain *chain, int32_t ndim, const int64_t *shape, int32_t item, pel_error *err);
void pel__chain_order(pel__zarr_chain *chain, const int32_t *order); /* strides where encoded axis i is axis order[i] */

/* Most stored bytes taken for a chunk: far above what any encoder makes of it. */
int64_t pel__chain_stored_max(const pel__zarr_chain *chain);
/* Most bytes that n stored ones can be decoded to. */
int64_t pel__chain_expands_to(const pel__zarr_chain *chain, int64_t n);
int64_t pel__chain_index_bytes(const pel__zarr_chain *chain);

/* What one thread holds while it decodes: buffers and library contexts. */
int64_t pel__chain_thread_bytes(const pel__zarr_chain *chain);

/* The innermost chain: that of the smallest unit of reading. */
const pel__zarr_chain *pel__chain_leaf(const pel__zarr_chain *chain);

/* Decodes n stored bytes of a leaf into raw (chain->bytes of room; laid out by chain->stride). Uses buffers 1 and 2 of
 * the state. */
bool pel__chain_decode(const pel__zarr_chain *chain, pel__codec_state *state, const uint8_t *stored, int64_t n,
                       uint8_t *raw, pel_error *err);

/* "blosc (lz4) + crc32c in shards": as a person reads it. */
void pel__chain_text(const pel__zarr_chain *chain, char *text, size_t size);

#endif
