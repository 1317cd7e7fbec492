/* SPDX-License-Identifier: MIT
 * Makes small CZI files in memory, right or wrong in one chosen way, for the tests of the reader. */
#ifndef PEL_TESTS_CZI_MAKE_H
#define PEL_TESTS_CZI_MAKE_H

#include "core/bytes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory and system calls are not the program's own under a sanitizer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

typedef struct make_dimension {
    char letter;
    int32_t start, size, stored; /* stored 0 = size */
} make_dimension;

#define MAKE_DIMENSIONS 16
typedef struct make_tile {
    int32_t pixel, compression;
    uint8_t pyramid;
    int32_t file_part;
    make_dimension dimensions[MAKE_DIMENSIONS]; /* ends at letter 0 */
    const void *data;
    size_t n;
    const char *metadata;
    const void *attachment;
    size_t attachment_n;
} make_tile;

typedef struct make_file {
    uint8_t *data, *entries;
    size_t n, entries_n;
    int32_t count;
    size_t directory, metadata, attachments; /* offsets, for damaging them */
    size_t tiles[64];
} make_file;

static inline const char *make_environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    return value ? value : otherwise;
}

/* Letters without an end, as the format has them. */
static inline void make_letters(uint8_t *p, const char *text)
{
    for (; *text; text++)
        *p++ = (uint8_t)*text;
}

static inline uint8_t *make_grow(make_file *f, size_t more)
{
    f->data = realloc(f->data, f->n + more);
    if (!f->data)
        abort();
    memset(f->data + f->n, 0, more);
    f->n += more;
    return f->data + f->n - more;
}

/* A segment of `used` bytes after its header, padded to 32; returns its offset. */
static inline size_t make_segment(make_file *f, const char *id, size_t used)
{
    const size_t allocated = (used + 31) / 32 * 32, at = f->n;
    uint8_t *p = make_grow(f, 32 + allocated);
    make_letters(p, id);
    pel__store_i64(p + 16, (int64_t)allocated);
    pel__store_i64(p + 24, (int64_t)used);
    return at;
}

static inline void make_begin(make_file *f)
{
    memset(f, 0, sizeof *f);
    (void)make_segment(f, "ZISRAWFILE", 512);
    pel__store_i32(f->data + 32, 1);
    memset(f->data + 48, 0x11, 32); /* both GUIDs */
}

/* The directory entry of a tile; returns its size. */
static inline size_t make_entry(uint8_t *p, const make_tile *t, int64_t position)
{
    int32_t n = 0;
    make_letters(p, "DV");
    pel__store_i32(p + 2, t->pixel);
    pel__store_i64(p + 6, position);
    pel__store_i32(p + 14, t->file_part);
    pel__store_i32(p + 18, t->compression);
    p[22] = t->pyramid;
    for (; n < MAKE_DIMENSIONS && t->dimensions[n].letter; n++) {
        uint8_t *d = p + 32 + 20 * (size_t)n;
        d[0] = (uint8_t)t->dimensions[n].letter;
        pel__store_i32(d + 4, t->dimensions[n].start);
        pel__store_i32(d + 8, t->dimensions[n].size);
        pel__store_i32(d + 16, t->dimensions[n].stored);
    }
    pel__store_i32(p + 28, n);
    return 32 + 20 * (size_t)n;
}

/* The entry alone: for tiles that live elsewhere. */
static inline void make_list(make_file *f, const make_tile *t, int64_t position)
{
    uint8_t entry[32 + 20 * MAKE_DIMENSIONS] = {0};
    const size_t size = make_entry(entry, t, position);
    f->entries = realloc(f->entries, f->entries_n + size);
    if (!f->entries)
        abort();
    memcpy(f->entries + f->entries_n, entry, size);
    f->entries_n += size;
    f->count++;
}

static inline void make_add(make_file *f, const make_tile *t)
{
    uint8_t entry[32 + 20 * MAKE_DIMENSIONS] = {0};
    const size_t size = make_entry(entry, t, (int64_t)f->n), text = t->metadata ? strlen(t->metadata) : 0;
    const size_t fixed = 16 + size > 256 ? 16 + size : 256;
    const size_t at = make_segment(f, "ZISRAWSUBBLOCK", fixed + text + t->n + t->attachment_n);
    uint8_t *p = f->data + at;
    pel__store_i32(p + 32, (int32_t)text);
    pel__store_i32(p + 36, (int32_t)t->attachment_n);
    pel__store_i64(p + 40, (int64_t)t->n);
    memcpy(p + 48, entry, size);
    p += 32 + fixed;
    if (text)
        make_letters(p, t->metadata);
    if (t->n)
        memcpy(p + text, t->data, t->n);
    if (t->attachment_n)
        memcpy(p + text + t->n, t->attachment, t->attachment_n);
    if (f->count < 64)
        f->tiles[f->count] = at;
    make_list(f, t, (int64_t)at);
}

/* Time stamps of `count` doubles. */
static inline void make_stamps(make_file *f, const double *seconds, int32_t count)
{
    const size_t at = make_segment(f, "ZISRAWATTACH", 256 + 8 + 8 * (size_t)count);
    pel__store_i64(f->data + at + 32, 8 + 8 * (int64_t)count);
    pel__store_i32(f->data + at + 288, 8 * count);
    pel__store_i32(f->data + at + 292, count);
    memcpy(f->data + at + 296, seconds, 8 * (size_t)count);
    f->attachments = make_segment(f, "ZISRAWATTDIR", 256 + 128);
    uint8_t *p = f->data + f->attachments;
    pel__store_i32(p + 32, 1);
    make_letters(p + 288, "A1");
    pel__store_i64(p + 288 + 12, (int64_t)at);
    make_letters(p + 288 + 40, "CZTIMS");
    make_letters(p + 288 + 48, "TimeStamps");
    pel__store_i64(f->data + 104, (int64_t)f->attachments);
}

static inline void make_end(make_file *f, const char *xml)
{
    f->directory = make_segment(f, "ZISRAWDIRECTORY", 128 + f->entries_n);
    pel__store_i32(f->data + f->directory + 32, f->count);
    if (f->entries_n)
        memcpy(f->data + f->directory + 160, f->entries, f->entries_n);
    pel__store_i64(f->data + 84, (int64_t)f->directory);
    if (xml) {
        f->metadata = make_segment(f, "ZISRAWMETADATA", 256 + strlen(xml));
        pel__store_i32(f->data + f->metadata + 32, (int32_t)strlen(xml));
        make_letters(f->data + f->metadata + 288, xml);
        pel__store_i64(f->data + 92, (int64_t)f->metadata);
    }
}

static inline void make_free(make_file *f)
{
    free(f->data);
    free(f->entries);
}

static inline void make_write_bytes(const char *path, const void *data, size_t n)
{
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(data, 1, n, out) != n || fclose(out) != 0)
        abort();
}

static inline void make_write(const make_file *f, const char *path)
{
    make_write_bytes(path, f->data, f->n);
}

#endif
