/* SPDX-License-Identifier: MIT
 * See digest.h. */
#include "core/digest.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

bool pel__digest_equal(const pel__digest *a, const pel__digest *b)
{
    return memcmp(a->byte, b->byte, sizeof a->byte) == 0;
}

const char *pel__digest_text(const pel__digest *d, char out[PEL__DIGEST_TEXT])
{
    for (int i = 0; i < 16; i++) {
        out[2 * i] = digits[d->byte[i] >> 4];
        out[2 * i + 1] = digits[d->byte[i] & 15];
    }
    out[PEL__DIGEST_TEXT - 1] = '\0';
    return out;
}

bool pel__digest_parse(pel__digest *out, const char *text)
{
    if (strlen(text) != PEL__DIGEST_TEXT - 1 || strspn(text, digits) != PEL__DIGEST_TEXT - 1)
        return false;
    for (int i = 0; i < 16; i++)
        out->byte[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
    return true;
}
