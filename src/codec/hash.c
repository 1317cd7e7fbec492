/* SPDX-License-Identifier: MIT
 * See hash.h, over libxxhash. */
#include "codec/hash.h"

#include <string.h>
#include <xxhash.h>

pel__hash *pel__hash_begin(const char *place, const char *run)
{
    XXH3_state_t *const s = XXH3_createState();
    if (!s)
        return NULL;
    (void)XXH3_128bits_reset(s);
    (void)XXH3_128bits_update(s, place, strlen(place) + 1);
    if (run[0])
        (void)XXH3_128bits_update(s, run, strlen(run) + 1);
    return s;
}

void pel__hash_add(pel__hash *h, const void *data, int64_t n)
{
    if (n > 0)
        (void)XXH3_128bits_update(h, data, (size_t)n);
}

pel__digest pel__hash_digest(const pel__hash *h)
{
    XXH128_canonical_t canonical;
    pel__digest d;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(h));
    memcpy(d.byte, canonical.digest, sizeof d.byte);
    return d;
}

void pel__hash_copy(pel__hash *to, const pel__hash *from)
{
    XXH3_copyState(to, from);
}

void pel__hash_end(pel__hash *h)
{
    (void)XXH3_freeState(h);
}
