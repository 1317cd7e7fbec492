/* SPDX-License-Identifier: MIT
 * Damaged pieces (tiles, strips, chunks) that a source reads as zero where it was asked to: which ones, and how often. One mechanism for
 * all formats: a member that cannot decode a piece asks here whether to go on, and fills in zeros. Pieces that are too short count, too. */
#ifndef PEL_SOURCE_DAMAGE_H
#define PEL_SOURCE_DAMAGE_H

#include "core/error.h"
#include "pellucid.h"
#include "source/source.h"

bool pel__damage_create(pel__damage **out, bool zero, pel_error *err); /* zero: damaged pieces read as zero; else reading them fails */
void pel__damage_destroy(pel__damage *d);

/* True where piece number `piece` failed because it is damaged, and then reads as zero: it is counted, and why is empty again. Else why says
 * how to go on, if it is damage. Any thread. */
bool pel__damage_take(pel__damage *d, int64_t piece, pel_error *why);

/* A piece that is shorter than it claims, and reads as zero behind its end whatever the rule: counted alike. Any thread. */
void pel__damage_pad(pel__damage *d, int64_t piece, const char *text);

/* Different pieces, at most so many are told apart; the first in words. */
#define PEL__DAMAGE_MOST 4096
int64_t pel__damage_pieces(pel__damage *d, char *first, size_t size);

#endif
