/* SPDX-License-Identifier: MIT
 * See stamps.h. 0: never noted; 1: noted with two stamps; else the stamp. */
#include "zarr/stamps.h"

#include "core/bytes.h"
#include "core/error.h"

#include <stdatomic.h>
#include <stdlib.h>

#define NONE 0U
#define DIFFERS 1U

struct pel__stamps {
    int64_t count, every;
    _Atomic uint32_t seen[];
};

bool pel__stamps_create(pel__stamps **out, int64_t cells, int64_t most, pel_error *err)
{
    const int64_t every = pel__max(1, pel__ceil_div(cells, pel__max(1, most))), count = pel__ceil_div(cells, every);
    pel__stamps *const s = calloc(1, sizeof *s + (size_t)count * sizeof s->seen[0]);
    if (!s)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: stamps of %lld chunks", (long long)count);
    s->count = count;
    s->every = every;
    *out = s;
    return true;
}

void pel__stamps_destroy(pel__stamps *s)
{
    free(s);
}

static uint32_t stamp_of(bool there, int64_t bytes, int64_t mtime_ns)
{
    const int64_t both[2] = {bytes, mtime_ns};
    const uint32_t crc = there ? pel__crc32c(1, both, sizeof both) : 2;
    return crc > DIFFERS ? crc : crc + 2;
}

void pel__stamps_note(pel__stamps *s, int64_t cell, bool there, int64_t bytes, int64_t mtime_ns)
{
    const uint32_t stamp = stamp_of(there, bytes, mtime_ns);
    uint32_t before = NONE;
    if (cell % s->every != 0)
        return;
    _Atomic uint32_t *const at = &s->seen[cell / s->every];
    if (!atomic_compare_exchange_strong(at, &before, stamp) && before != stamp)
        atomic_store(at, DIFFERS);
}

int64_t pel__stamps_next(const pel__stamps *s, int64_t cell)
{
    for (int64_t i = pel__ceil_div(cell, s->every); i < s->count; i++)
        if (atomic_load(&s->seen[i]) != NONE)
            return i * s->every;
    return -1;
}

bool pel__stamps_differ(const pel__stamps *s, int64_t cell)
{
    return atomic_load(&s->seen[cell / s->every]) == DIFFERS;
}
