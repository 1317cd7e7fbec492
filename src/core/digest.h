/* SPDX-License-Identifier: MIT
 * 128 bits that tell a file's contents and its place from all others; codec/hash.h makes them. */
#ifndef PEL_CORE_DIGEST_H
#define PEL_CORE_DIGEST_H

#include "pellucid.h"

#define PEL__DIGEST_TEXT 33 /* 32 hexadecimal digits and the NUL */

typedef struct pel__digest {
    uint8_t byte[16]; /* most significant first */
} pel__digest;

bool pel__digest_equal(const pel__digest *a, const pel__digest *b);
const char *pel__digest_text(const pel__digest *d, char out[PEL__DIGEST_TEXT]); /* returns out */
bool pel__digest_parse(pel__digest *out, const char *text); /* false: not 32 lower-case digits */

#endif
