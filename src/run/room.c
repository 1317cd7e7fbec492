/* SPDX-License-Identifier: MIT
 * What a call without a plan may take: the limit, less the program and what the sources need to be read. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/limits.h"
#include "run/run.h"

#include <stdio.h>

#define MIB ((int64_t)1 << 20)

static int64_t limit_of(char by[PEL_LIMIT_TEXT], const pel_scan *scan)
{
    pel_limits found;
    if (!scan->limits)
        pel__limits_find(&found, "", NULL);
    return pel__limits_memory(by, scan->limits ? scan->limits : &found, scan->memory_bytes);
}

bool pel_room(int64_t *out, pel_source *const *sources, int32_t count, const pel_scan *scan, int64_t least, pel_error *err)
{
    char by[PEL_LIMIT_TEXT], said[PEL__LIMIT_SAID];
    const int32_t threads = scan->threads > 0 ? scan->threads : 1;
    const int64_t limit = limit_of(by, scan);
    int64_t open = 0, input = 0, one = 0, all = 0;
    bool can_be = true;
    for (int32_t i = 0; i < count; i++) {
        can_be = can_be && pel__mul(threads, sources[i]->thread_bytes, &one) && pel__add(one, sources[i]->resident_bytes, &one) && pel__add(input, one, &input);
        open += sources[i]->resident_bytes;
    }
    if (!can_be || !pel__add(input, pel__program_bytes(pel__resident_self() - open, threads), &all) || all > INT64_MAX - MIB - least)
        return pel__fail(err, PEL_NO_MEMORY, "memory: the input needs more than can be");
    *out = limit - all;
    if (*out >= least)
        return true;
    all += least;
    pel__limits_say(said, limit);
    return pel__fail(err, PEL_NO_MEMORY,
                     "memory: needs at least %lld MiB (pixels %lld, reading the input %lld, the rest for the program), the limit is %s%s%s: "
                     "give --memory %lldM",
                     (long long)pel__ceil_div(all, MIB), (long long)pel__ceil_div(least, MIB), (long long)pel__ceil_div(input, MIB), said,
                     by[0] ? ", " : "", by, (long long)pel__ceil_div(all, MIB) + 1);
}
