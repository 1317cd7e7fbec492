/* SPDX-License-Identifier: MIT
 * XXH3-128 over the place of a file (its key in the store, with the NUL behind it), the number of the run that wrote it (NUL behind
 * it, too; nothing where it has none), and then its bytes, piece by piece. A shard ends in its own CRC-32C, so the CRC-32C of a whole
 * one depends on its length alone; this sees the contents, by the place also a file that lies under the name of another, and by
 * the run one that another run wrote. */
#ifndef PEL_CODEC_HASH_H
#define PEL_CODEC_HASH_H

#include "core/digest.h"

typedef struct XXH3_state_s pel__hash; /* the library's */

pel__hash *pel__hash_begin(const char *place, const char *run); /* NULL: no memory */
void pel__hash_add(pel__hash *h, const void *data, int64_t n);
pel__digest pel__hash_digest(const pel__hash *h); /* of what was added so far */
void pel__hash_copy(pel__hash *to, const pel__hash *from);
void pel__hash_end(pel__hash *h); /* NULL allowed */

#endif
