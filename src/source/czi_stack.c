/* SPDX-License-Identifier: MIT
 * Tiles that hold a whole series along T or Z, as line scans do: each becomes as many tiles as it holds planes, which lie one behind the
 * other in its payload. What cannot be told for sure stays as it is, and is refused when read. */
#include "source/czi.h"

#include "core/bytes.h"
#include "core/error.h"

#include <stdlib.h>

#define MOST_SLICES (1 << 22) /* of a file: 256 MB of tiles */

bool pel__czi_keep_stack(pel__czi *czi, int64_t tile, int32_t size, pel_error *err)
{
    const int32_t n = czi->stack_count;
    if ((n & (n - 1)) == 0) { /* 0, 1, 2, 4, …: full */
        pel__czi_stack *const grown = realloc(czi->stacks, (n ? 2 * (size_t)n : 1) * sizeof *grown);
        if (!grown)
            return pel__fail(err, PEL_NO_MEMORY, "no memory for the directory");
        czi->stacks = grown;
    }
    czi->stacks[czi->stack_count++] = (pel__czi_stack){.tile = tile, .size = size};
    return true;
}

/* Plain planes, all of them there, and coordinates that can be counted. */
static bool can_be_split(const pel__czi *czi, const pel__czi_stack *s)
{
    const pel__czi_tile *t = &czi->tiles[s->tile];
    pel__file *const file = t->part < czi->part_count ? czi->parts[t->part].file : NULL;
    const int64_t plane = pel__czi_decoded_bytes(t), start = t->stack_axis == 'T' ? t->t : t->z;
    pel__czi_subblock sub;
    int64_t bytes = 0;
    return (t->stack_axis == 'T' || t->stack_axis == 'Z') && t->compression == PEL__CZI_RAW && !(t->flags & PEL__CZI_DOUBTED) && file &&
           t->stored_w == t->w && t->stored_h == t->h && plane > 0 && start <= INT32_MAX - s->size && pel__mul(plane, s->size, &bytes) &&
           bytes <= pel__file_size(file) && pel__czi_read_subblock(&sub, file, t->position, NULL) && sub.data_size >= bytes;
}

static void split(pel__czi *czi, pel__czi_stack *s)
{
    pel__czi_tile *const t = &czi->tiles[s->tile];
    const char axis = t->stack_axis;
    t->stack_axis = 0;
    t->flags |= PEL__CZI_SLICE;
    s->first = czi->tile_count;
    for (int32_t k = 1; k < s->size; k++) {
        pel__czi_tile *const next = &czi->tiles[czi->tile_count++];
        *next = *t;
        *(axis == 'T' ? &next->t : &next->z) += k;
    }
}

bool pel__czi_unstack(pel__czi *czi, pel_error *err)
{
    int64_t more = 0;
    int32_t kept = 0;
    for (int32_t i = 0; i < czi->stack_count; i++) {
        const pel__czi_stack s = czi->stacks[i];
        if (s.size < 2 || more + s.size > MOST_SLICES || !can_be_split(czi, &s))
            continue;
        more += s.size - 1;
        czi->stacks[kept++] = s;
    }
    czi->stack_count = kept;
    if (kept == 0)
        return true;
    pel__czi_tile *const grown = realloc(czi->tiles, (size_t)(czi->tile_count + more) * sizeof *grown);
    if (!grown || czi->tile_count + more > INT32_MAX)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for the %lld planes of its tiles", czi->base.path, (long long)more);
    czi->tiles = grown;
    for (int32_t i = 0; i < kept; i++)
        split(czi, &czi->stacks[i]);
    return true;
}

int64_t pel__czi_slice(const pel__czi *czi, int64_t tile)
{
    int32_t low = 0, high = czi->stack_count; /* the last stack whose slices begin at or before it */
    while (high - low > 1) {
        const int32_t mid = low + (high - low) / 2;
        *(czi->stacks[mid].first <= tile ? &low : &high) = mid;
    }
    return tile >= czi->stacks[low].first ? tile - czi->stacks[low].first + 1 : 0;
}
