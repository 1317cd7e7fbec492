/* SPDX-License-Identifier: MIT
 * XXH3-128 over the place of a file (its key in the store, with the NUL behind it) and then its bytes, piece by piece. A shard
 * ends in its own CRC-32C, so the CRC-32C of a whole one depends on its length alone; this sees the contents, and by the place
 * also a file that lies under the name of another. */
#ifndef PEL_CODEC_HASH_H
#define PEL_CODEC_HASH_H

#include "core/digest.h"

typedef struct XXH3_state_s pel__hash; /* the library's */

pel__hash *pel__hash_begin(const char *place); /* NULL: no memory */
void pel__hash_add(pel__hash *h, const void *data, int64_t n);
pel__digest pel__hash_digest(const pel__hash *h); /* of what was added so far */
void pel__hash_copy(pel__hash *to, const pel__hash *from);
void pel__hash_end(pel__hash *h); /* NULL allowed */

#endif
