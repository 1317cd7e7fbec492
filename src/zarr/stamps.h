/* SPDX-License-Identifier: MIT
 * What the chunks (or shards) of an array looked like when they were read first: a stamp of length and time a chunk, four bytes
 * each. So a chunk that is rewritten while somebody reads the array is known again. Of very many chunks every k-th has a stamp. */
#ifndef PEL_ZARR_STAMPS_H
#define PEL_ZARR_STAMPS_H

#include "pellucid.h"

#define PEL__STAMPS_MOST ((int64_t)1 << 20)

typedef struct pel__stamps pel__stamps;

bool pel__stamps_create(pel__stamps **out, int64_t cells, int64_t most, pel_error *err);
void pel__stamps_destroy(pel__stamps *s); /* NULL allowed */

/* A chunk as it is found; not there: there is false. Any thread. */
void pel__stamps_note(pel__stamps *s, int64_t cell, bool there, int64_t bytes, int64_t mtime_ns);

/* From `cell` on the next chunk that has a stamp; -1: none. */
int64_t pel__stamps_next(const pel__stamps *s, int64_t cell);

/* Did it look otherwise at one of the times it was noted? */
bool pel__stamps_differ(const pel__stamps *s, int64_t cell);

#endif
