/* SPDX-License-Identifier: MIT
 * CZI segments: the 32-byte header that begins each, the file header, the fixed part of a tile, and the walk over a file
 * whose directory cannot be trusted. Every position and size from the file is checked against the file's size here. */
#include "source/czi.h"

#include "core/bytes.h"
#include "core/error.h"

#include <stdio.h>
#include <stdlib.h>

#define ALIGNMENT 32
#define SCAN_BYTES (1 << 20)

static bool parse_segment(pel__czi_segment *out, const uint8_t *raw, int64_t position)
{
    memcpy(out->id, raw, 16);
    out->id[16] = '\0';
    out->position = position;
    out->allocated = pel__load_i64(raw + 16);
    out->used = pel__load_i64(raw + 24);
    if (out->used == 0)
        out->used = out->allocated;
    return out->allocated >= 0 && out->used >= 0;
}

/* The id as text for a message: bytes of a damaged file are not for terminals. */
static const char *printable(char *text, const char *id)
{
    int n = 0;
    for (; n < 16 && id[n]; n++)
        text[n] = id[n] >= ' ' && id[n] <= '~' ? id[n] : '?';
    text[n] = '\0';
    return text;
}

bool pel__czi_read_segment(pel__czi_segment *out, pel__file *file, int64_t position, const char *id, pel_error *err)
{
    uint8_t raw[PEL__CZI_SEGMENT_HEADER];
    char text[17];
    if (position < 0 || position > pel__file_size(file) - PEL__CZI_SEGMENT_HEADER)
        return pel__fail(err, PEL_DAMAGED, "%s: a %s segment should be at %lld, the file has %lld bytes",
                         pel__file_path(file), id, (long long)position, (long long)pel__file_size(file));
    if (!pel__file_read(file, position, raw, sizeof raw, err))
        return false;
    const bool sane = parse_segment(out, raw, position);
    if (strcmp(out->id, id) != 0)
        return pel__fail(err, PEL_DAMAGED, "%s: found \"%s\" at %lld, expected %s", pel__file_path(file),
                         printable(text, out->id), (long long)position, id);
    if (!sane)
        return pel__fail(err, PEL_DAMAGED, "%s: the %s segment at %lld says it has %lld bytes, %lld used",
                         pel__file_path(file), id, (long long)position, (long long)out->allocated, (long long)out->used);
    return true;
}

bool pel__czi_read_header(pel__czi_part *part, pel_error *err)
{
    uint8_t raw[112];
    pel__czi_segment segment;
    if (!pel__czi_read_segment(&segment, part->file, 0, "ZISRAWFILE", err) ||
        !pel__file_read(part->file, 0, raw, sizeof raw, err))
        return false;
    memcpy(part->primary_guid, raw + 48, 16);
    memcpy(part->guid, raw + 64, 16);
    part->number = pel__load_i32(raw + 80);
    part->directory = pel__load_i64(raw + 84);
    part->metadata = pel__load_i64(raw + 92);
    part->update_pending = pel__load_i32(raw + 100) != 0;
    part->attachments = pel__load_i64(raw + 104);
    return true;
}

/* Layout: docs/formats-czi.md. The fixed part grows with the number of dimensions of *this* copy of the entry. */
bool pel__czi_read_subblock(pel__czi_subblock *out, pel__file *file, int64_t position, pel_error *err)
{
    uint8_t raw[80];
    pel__czi_segment segment;
    const char *path = pel__file_path(file);
    const int64_t size = pel__file_size(file);
    if (!pel__czi_read_segment(&segment, file, position, "ZISRAWSUBBLOCK", err))
        return false;
    if (position > size - (int64_t)sizeof raw)
        return pel__fail(err, PEL_DAMAGED, "%s: the tile at %lld is cut off by the end of the file", path,
                         (long long)position);
    if (!pel__file_read(file, position, raw, sizeof raw, err))
        return false;
    const int32_t n = pel__load_i32(raw + 76);
    if (raw[48] != 'D' || raw[49] != 'V' || n < 1 || n > PEL__CZI_MAX_DIMENSIONS)
        return pel__fail(err, PEL_DAMAGED, "%s: the tile at %lld has no readable entry (%d dimensions)", path,
                         (long long)position, n);
    const int64_t fixed = pel__max(256, 48 + 20 * (int64_t)n);
    out->metadata = position + 32 + fixed;
    out->metadata_size = pel__load_i32(raw + 32);
    out->attachment_size = pel__load_i32(raw + 36);
    out->data_size = pel__load_i64(raw + 40);
    if (out->metadata_size < 0 || out->attachment_size < 0 || out->data_size < 0)
        return pel__fail(err, PEL_DAMAGED, "%s: the tile at %lld has negative sizes", path, (long long)position);
    out->data = out->metadata + out->metadata_size;
    if (out->data > size || out->data_size > size - out->data)
        return pel__fail(err, PEL_DAMAGED, "%s: the tile at %lld has %lld bytes of pixels at %lld, the file ends at %lld",
                         path, (long long)position, (long long)out->data_size, (long long)out->data, (long long)size);
    out->attachment = out->data + out->data_size;
    return true;
}

/* ---- the walk ---------------------------------------------------------------------------------------------- */

static bool is_known(const char *id)
{
    return strncmp(id, "ZISRAW", 6) == 0 || strcmp(id, "DELETED") == 0;
}

static bool plausible(const pel__czi_segment *s, int64_t file_size)
{
    return is_known(s->id) && s->allocated <= file_size && s->position <= file_size - s->allocated;
}

/* The next 32-aligned place at or behind `from` that begins with a segment's name; file size where there is none.
 * Pieces start small: in a file of many short damages each search ends soon. */
static bool find_next(int64_t *at, pel__file *file, int64_t from, uint8_t *piece, pel_error *err)
{
    const int64_t size = pel__file_size(file);
    size_t want = 4096;
    for (int64_t p = pel__round_up(from, ALIGNMENT); p < size - PEL__CZI_SEGMENT_HEADER;) {
        size_t got = 0;
        if (!pel__file_read_some(file, p, piece, want, &got, err))
            return false;
        for (size_t i = 0; i + PEL__CZI_SEGMENT_HEADER <= got; i += ALIGNMENT) {
            if (memcmp(piece + i, "ZISRAW", 6) == 0 || memcmp(piece + i, "DELETED", 8) == 0) {
                *at = p + (int64_t)i;
                return true;
            }
        }
        p += (int64_t)want;
        want = want < SCAN_BYTES ? 4 * want : want;
    }
    *at = size;
    return true;
}

static bool walk(pel__file *file, pel__czi_found *found, void *arg, int64_t *skipped_bytes, uint8_t *piece, pel_error *err)
{
    const int64_t size = pel__file_size(file);
    int64_t position = 0;
    while (position <= size - PEL__CZI_SEGMENT_HEADER) {
        uint8_t raw[PEL__CZI_SEGMENT_HEADER];
        pel__czi_segment s;
        if (!pel__file_read(file, position, raw, sizeof raw, err))
            return false;
        const bool sane = parse_segment(&s, raw, position);
        if (sane && is_known(s.id) && !found(arg, &s, err))
            return false;
        int64_t next = 0;
        if (sane && plausible(&s, size)) {
            next = pel__round_up(position + PEL__CZI_SEGMENT_HEADER + s.allocated, ALIGNMENT);
        } else {
            if (!find_next(&next, file, position + ALIGNMENT, piece, err))
                return false;
            *skipped_bytes += next - position;
        }
        position = next;
    }
    return true;
}

bool pel__czi_walk(pel__file *file, pel__czi_found *found, void *arg, int64_t *skipped_bytes, pel_error *err)
{
    uint8_t *piece = malloc(SCAN_BYTES);
    if (!piece)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to search it", pel__file_path(file));
    *skipped_bytes = 0;
    const bool ok = walk(file, found, arg, skipped_bytes, piece, err);
    free(piece);
    return ok;
}
