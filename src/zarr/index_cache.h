/* SPDX-License-Identifier: MIT
 * Indexes of shards that were read from far away, so that each is asked for once although many boxes are read of a shard.
 * Bounded; what was not used for longest goes first. */
#ifndef PEL_ZARR_INDEX_CACHE_H
#define PEL_ZARR_INDEX_CACHE_H

#include "pellucid.h"

#define PEL__INDEX_CACHE_BYTES ((int64_t)4 << 20)

typedef struct pel__index_cache pel__index_cache;

bool pel__index_cache_create(pel__index_cache **out, pel_error *err);
void pel__index_cache_destroy(pel__index_cache *c); /* NULL allowed */

/* A copy of the index (free() it) of the shard that is the object `key`, and the object's length. index
 * may be NULL: the length only. False: it is not known. Any thread. */
bool pel__index_cache_get(pel__index_cache *c, const char *key, int64_t *object_bytes, uint8_t **index);
void pel__index_cache_put(pel__index_cache *c, const char *key, int64_t object_bytes, const uint8_t *index, int64_t bytes);

#endif
