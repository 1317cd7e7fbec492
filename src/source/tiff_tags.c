/* SPDX-License-Identifier: MIT
 * See tiff_tags.h. */
#include "source/tiff_tags.h"

#include "core/bytes.h"

#include <inttypes.h>
#include <stdlib.h>

#define MOST_ENTRIES 4096

/* ---- the directory ------------------------------------------------------------------------------------------- */

uint64_t pel__tiff_load(const pel__tiff_directory *d, const void *p, int bytes)
{
    switch (bytes) {
    case 1: return *(const uint8_t *)p;
    case 2: return d->swap ? __builtin_bswap16(pel__load_u16(p)) : pel__load_u16(p);
    case 4: return d->swap ? __builtin_bswap32(pel__load_u32(p)) : pel__load_u32(p);
    default: return d->swap ? __builtin_bswap64(pel__load_u64(p)) : pel__load_u64(p);
    }
}

bool pel__tiff_directory_room(pel__tiff_directory *d, pel_error *err)
{
    d->room = 4096;
    d->buffer = malloc(8 + 20 * MOST_ENTRIES + 8);
    return d->buffer || pel__fail(err, PEL_NO_MEMORY, "no memory for a directory");
}

void pel__tiff_directory_finish(pel__tiff_directory *d)
{
    pel__file_close(d->file);
    free(d->buffer);
    *d = (pel__tiff_directory){0};
}

bool pel__tiff_directory_load(pel__tiff_directory *d, int64_t at, int64_t *next, pel_error *err)
{
    const int64_t head = d->big ? 8 : 2, entry = d->big ? 20 : 12, link = d->big ? 8 : 4;
    size_t got = 0;
    d->entries = 0;
    if (!pel__file_read_some(d->file, at, d->buffer, (size_t)d->room, &got, err))
        return false;
    if ((int64_t)got < head)
        return pel__fail(err, PEL_DAMAGED, "lies beyond the end of the file");
    const uint64_t entries = pel__tiff_load(d, d->buffer, (int)head);
    if (entries < 1 || entries > MOST_ENTRIES)
        return pel__fail(err, PEL_FORMAT, "has %" PRIu64 " entries, expected 1 to %d", entries, MOST_ENTRIES);
    const int64_t all = head + (int64_t)entries * entry + link;
    if (all > (int64_t)got && !pel__file_read(d->file, at, d->buffer, (size_t)all, err))
        return false;
    d->entries = (int64_t)entries;
    *next = (int64_t)(pel__tiff_load(d, d->buffer + all - link, (int)link) & INT64_MAX);
    return true;
}

/* ---- entries ------------------------------------------------------------------------------------------------- */

static int type_bytes(uint64_t type) /* of the types that hold whole numbers, ratios or text; 0 = another */
{
    return type == 1 || type == 2 || type == 6 || type == 7 ? 1 : type == 3 || type == 8 ? 2 : type == 4 || type == 9 || type == 13 ? 4
         : type == 16 || type == 17 || type == 18 || type == 5 ? 8 : 0;
}

static const uint8_t *find(const pel__tiff_directory *d, int tag)
{
    for (int64_t i = 0; i < d->entries; i++) {
        const uint8_t *const e = d->buffer + (d->big ? 8 + 20 * i : 2 + 12 * i);
        if (pel__tiff_load(d, e, 2) == (uint64_t)tag)
            return e;
    }
    return NULL;
}

static int64_t count_of(const pel__tiff_directory *d, const uint8_t *e) { return (int64_t)(pel__tiff_load(d, e + 4, d->big ? 8 : 4) & INT64_MAX); }

int64_t pel__tiff_tag_count(const pel__tiff_directory *d, int tag)
{
    const uint8_t *e = find(d, tag);
    return e ? count_of(d, e) : 0;
}

int64_t pel__tiff_tag_place(const pel__tiff_directory *d, int tag)
{
    const uint8_t *e = find(d, tag);
    return e ? (int64_t)(pel__tiff_load(d, e + (d->big ? 12 : 8), d->big ? 8 : 4) & INT64_MAX) : 0;
}

/* Where an entry's values are: inside it, or at a place of the file. */
bool pel__tiff_tag_bytes(const pel__tiff_directory *d, int tag, int64_t from, void *out, int64_t n, pel_error *err)
{
    const uint8_t *const e = find(d, tag), *const inside = e ? e + (d->big ? 12 : 8) : NULL;
    int64_t all = 0, at = 0;
    if (!e || !pel__mul(count_of(d, e), type_bytes(pel__tiff_load(d, e + 2, 2)), &all) || from < 0 || n < 0 || n > all || from > all - n)
        return pel__fail(err, PEL_FORMAT, "tag %d holds too few values", tag);
    if (all <= (d->big ? 8 : 4)) {
        memcpy(out, inside + from, (size_t)n);
        return true;
    }
    if (!pel__add((int64_t)(pel__tiff_load(d, inside, d->big ? 8 : 4) & INT64_MAX), from, &at))
        return pel__fail(err, PEL_FORMAT, "tag %d lies beyond what 63 bits count", tag);
    return pel__file_read(d->file, at, out, (size_t)n, err);
}

bool pel__tiff_tag_number(const pel__tiff_directory *d, int tag, int64_t fallback, int64_t *out, pel_error *err)
{
    const uint8_t *e = find(d, tag);
    *out = fallback;
    if (!e)
        return true;
    const uint64_t type = pel__tiff_load(d, e + 2, 2);
    const int size = type_bytes(type);
    uint8_t v[8] = {0};
    if (size == 0 || type == 2 || type == 5 || type == 17 || type == 9 || type == 8 || type == 6)
        return pel__fail(err, PEL_FORMAT, "tag %d has type %d, expected an unsigned number", tag, (int)type);
    if (!pel__tiff_tag_bytes(d, tag, 0, v, size, err))
        return false;
    *out = (int64_t)(pel__tiff_load(d, v, size) & INT64_MAX);
    return true;
}

bool pel__tiff_tag_same(const pel__tiff_directory *d, int tag, int64_t fallback, int64_t *out, pel_error *err)
{
    const uint8_t *e = find(d, tag);
    uint8_t v[64] = {0};
    if (!pel__tiff_tag_number(d, tag, fallback, out, err) || !e)
        return e == NULL;
    const int size = type_bytes(pel__tiff_load(d, e + 2, 2));
    const int64_t n = pel__min(count_of(d, e), (int64_t)sizeof v / size);
    if (!pel__tiff_tag_bytes(d, tag, 0, v, n * size, err))
        return false;
    for (int64_t i = 0; i < n; i++)
        if ((int64_t)pel__tiff_load(d, v + i * size, size) != *out)
            *out = -1; /* refused later, with the reason */
    return true;
}

bool pel__tiff_tag_text(const pel__tiff_directory *d, int tag, int64_t most, char **out, size_t *n, pel_error *err)
{
    const uint8_t *e = find(d, tag);
    *out = NULL;
    *n = 0;
    if (!e || pel__tiff_load(d, e + 2, 2) > 2 || pel__tiff_load(d, e + 2, 2) < 1)
        return true;
    const int64_t count = count_of(d, e);
    if (count > most || count > pel__file_size(d->file))
        return pel__fail(err, PEL_FORMAT, "tag %d holds %" PRId64 " bytes of text, more than the file or the limit of %" PRId64, tag, count, most);
    *out = calloc(1, (size_t)count + 1);
    if (!*out)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %" PRId64 " bytes of text", count);
    if (!pel__tiff_tag_bytes(d, tag, 0, *out, count, err)) {
        free(*out);
        *out = NULL;
        return false;
    }
    *n = strnlen(*out, (size_t)count);
    return true;
}

double pel__tiff_tag_ratio(const pel__tiff_directory *d, int tag)
{
    const uint8_t *e = find(d, tag);
    uint8_t v[8] = {0};
    if (!e || pel__tiff_load(d, e + 2, 2) != 5 || !pel__tiff_tag_bytes(d, tag, 0, v, 8, NULL))
        return 0.0;
    const double over = (double)pel__tiff_load(d, v, 4), under = (double)pel__tiff_load(d, v + 4, 4);
    return under > 0.0 ? over / under : 0.0;
}
