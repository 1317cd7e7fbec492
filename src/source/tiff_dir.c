/* SPDX-License-Identifier: MIT
 * Walks the directories of a TIFF or BigTIFF file with one read each and no library: libtiff's own walk is quadratic in
 * the number of directories, and stacks have hundreds of thousands. Nothing that the file says is trusted: counts are
 * capped, loops are found, every value is checked before it is used. */
#include "source/tiff.h"

#include "core/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_PAGES (INT64_C(1) << 24)
#define MOST_GEOMETRIES 4096
#define MOST_ENTRIES 4096
#define MOST_DESCRIPTION (INT64_C(256) << 20)
#define MOST_TILE_BYTES (INT64_C(1) << 31)

typedef struct walk {
    pel__tiff_set *set;
    pel__file *file;
    int32_t file_index;
    bool big, swap;
    int64_t entries;      /* of the directory in hand */
    uint8_t *buffer;      /* its bytes, from the count on */
    int64_t room;
} walk;

enum tag {
    SUBFILE = 254, WIDTH = 256, LENGTH = 257, BITS = 258, COMPRESSION = 259, PHOTOMETRIC = 262, FILL_ORDER = 266,
    DESCRIPTION = 270, SAMPLES = 277, ROWS_PER_STRIP = 278, X_RESOLUTION = 282, Y_RESOLUTION = 283, PLANAR = 284,
    RESOLUTION_UNIT = 296, DATE_TIME = 306, TILE_WIDTH = 322, TILE_LENGTH = 323, STRIP_OFFSETS = 273, SAMPLE_FORMAT = 339, IMAGE_DEPTH = 32997,
};

/* ---- numbers in the file's byte order ------------------------------------------------------------------------ */

static uint64_t load(const walk *w, const void *p, int bytes)
{
    switch (bytes) {
    case 1: return *(const uint8_t *)p;
    case 2: return w->swap ? __builtin_bswap16(pel__load_u16(p)) : pel__load_u16(p);
    case 4: return w->swap ? __builtin_bswap32(pel__load_u32(p)) : pel__load_u32(p);
    default: return w->swap ? __builtin_bswap64(pel__load_u64(p)) : pel__load_u64(p);
    }
}

static int type_bytes(uint64_t type) /* of the types that hold whole numbers or text; 0 = another */
{
    return type == 1 || type == 2 || type == 6 || type == 7 ? 1 : type == 3 || type == 8 ? 2 : type == 4 || type == 9 || type == 13 ? 4
         : type == 16 || type == 17 || type == 18 || type == 5 ? 8 : 0;
}

static const uint8_t *entry_at(const walk *w, int64_t i) { return w->buffer + (w->big ? 8 + 20 * i : 2 + 12 * i); }

static const uint8_t *find(const walk *w, enum tag tag)
{
    for (int64_t i = 0; i < w->entries; i++)
        if (load(w, entry_at(w, i), 2) == (uint64_t)tag)
            return entry_at(w, i);
    return NULL;
}

/* Where an entry's values are: inside it, or at a place of the file. */
static bool value_bytes(const walk *w, const uint8_t *e, int64_t n, void *out, pel_error *err)
{
    const uint8_t *inside = e + (w->big ? 12 : 8);
    const int64_t count = (int64_t)load(w, e + 4, w->big ? 8 : 4), size = type_bytes(load(w, e + 2, 2));
    int64_t all = 0;
    if (count < 0 || !pel__mul(count, size, &all) || n > all)
        return pel__fail(err, PEL_FORMAT, "tag %d holds too few values", (int)load(w, e, 2));
    if (all <= (w->big ? 8 : 4)) {
        memcpy(out, inside, (size_t)n);
        return true;
    }
    return pel__file_read(w->file, (int64_t)(load(w, inside, w->big ? 8 : 4) & INT64_MAX), out, (size_t)n, err);
}

/* First value of a whole-number tag, `fallback` where the directory lacks it. */
static bool number(const walk *w, enum tag tag, int64_t fallback, int64_t *out, pel_error *err)
{
    const uint8_t *e = find(w, tag);
    *out = fallback;
    if (!e)
        return true;
    const uint64_t type = load(w, e + 2, 2);
    const int size = type_bytes(type);
    uint8_t v[8] = {0};
    if (size == 0 || type == 2 || type == 5 || type == 17 || type == 9 || type == 8 || type == 6)
        return pel__fail(err, PEL_FORMAT, "tag %d has type %d, expected an unsigned number", (int)tag, (int)type);
    if (!value_bytes(w, e, size, v, err))
        return false;
    *out = (int64_t)(load(w, v, size) & INT64_MAX);
    return true;
}

/* The values of a tag that has one for each sample: all must be the same. */
static bool same_numbers(const walk *w, enum tag tag, int64_t fallback, int64_t *out, pel_error *err)
{
    const uint8_t *e = find(w, tag);
    uint8_t v[64] = {0};
    if (!number(w, tag, fallback, out, err) || !e)
        return e == NULL;
    const int size = type_bytes(load(w, e + 2, 2));
    const int64_t n = pel__min((int64_t)(load(w, e + 4, w->big ? 8 : 4) & INT64_MAX), (int64_t)sizeof v / size);
    if (!value_bytes(w, e, n * size, v, err))
        return false;
    for (int64_t i = 0; i < n; i++)
        if ((int64_t)load(w, v + i * size, size) != *out)
            *out = -1; /* refused later, with the reason */
    return true;
}

/* ---- geometries ---------------------------------------------------------------------------------------------- */

static bool choose_dtype(pel__tiff_geometry *g)
{
    static const struct { int32_t bits, format; pel_dtype dtype; } known[] = {
        {8, 1, PEL_U8}, {8, 2, PEL_I8}, {16, 1, PEL_U16}, {16, 2, PEL_I16}, {32, 1, PEL_U32}, {32, 2, PEL_I32}, {64, 1, PEL_U64},
        {64, 2, PEL_I64}, {32, 3, PEL_F32}, {64, 3, PEL_F64},
    };
    const int32_t format = g->format == 4 ? 1 : g->format; /* "undefined": as unsigned */
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].bits == g->bits && known[i].format == format) {
            g->dtype = known[i].dtype;
            return true;
        }
    return false;
}

#define REFUSE(g, ...) (void)snprintf((g)->refusal, sizeof(g)->refusal, __VA_ARGS__)

/* Why such a page cannot be read, in the order in which a person would ask. */
static void judge(pel__tiff_geometry *g, int64_t depth)
{
    const int64_t factors[] = {g->tile_width, g->tile_height, g->planar ? 1 : g->samples, g->bits / 8};
    const bool jpeg = g->compression == 7;
    if (depth != 1)
        REFUSE(g, "pages with a depth of %" PRId64 " are not read", depth);
    else if (g->bits < 0 || g->format < 0)
        REFUSE(g, "samples of different types in one page are not read");
    else if (!choose_dtype(g))
        REFUSE(g, "samples of %d bits with sample format %d are not read", g->bits, g->format);
    else if (!pel__tiff_codec_known(g->compression))
        REFUSE(g, "compression %d (%s) is not read", g->compression, pel__tiff_codec_name(g->compression));
    else if (g->photometric == 6 && !jpeg)
        REFUSE(g, "YCbCr colour without JPEG compression is not read");
    else if (!pel__product(factors, 4, &g->tile_bytes) || g->tile_bytes < 1 || (!pel__tiff_plain(g) && g->tile_bytes > MOST_TILE_BYTES))
        REFUSE(g, "a compressed strip or tile of %" PRId64 " x %" PRId64 " pixels is not read: larger than 2 GiB", g->tile_width, g->tile_height);
}

static bool same_geometry(const pel__tiff_geometry *a, const pel__tiff_geometry *b)
{
    return a->width == b->width && a->height == b->height && a->tile_width == b->tile_width && a->tile_height == b->tile_height &&
           a->samples == b->samples && a->bits == b->bits && a->format == b->format && a->compression == b->compression &&
           a->photometric == b->photometric && a->fill_order == b->fill_order && a->tiled == b->tiled && a->planar == b->planar &&
           a->left_out == b->left_out;
}

/* The list with room for one more entry, or NULL with the old list untouched. */
static void *grown(void *list, int64_t count, int64_t *room, size_t size, pel_error *err)
{
    if (count < *room)
        return list;
    const int64_t want = *room ? 2 * *room : 16;
    void *more = realloc(list, (size_t)want * size);
    if (!more) {
        (void)pel__fail(err, PEL_NO_MEMORY, "no memory for %" PRId64 " entries", want);
        return NULL;
    }
    *room = want;
    return more;
}

static bool keep_geometry(pel__tiff_set *s, pel__tiff_geometry *g, int64_t depth, int32_t *index, pel_error *err)
{
    for (int64_t i = s->geometry_count - 1; i >= 0; i--)
        if (same_geometry(&s->geometries[i], g)) {
            s->geometries[i].file_bytes = pel__max(s->geometries[i].file_bytes, g->file_bytes);
            *index = (int32_t)i;
            return true;
        }
    if (s->geometry_count == MOST_GEOMETRIES)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %d different kinds of pages in one file", MOST_GEOMETRIES);
    void *more = grown(s->geometries, s->geometry_count, &s->geometry_room, sizeof *s->geometries, err);
    if (!more)
        return false;
    s->geometries = more;
    judge(g, depth);
    *index = (int32_t)s->geometry_count;
    s->geometries[s->geometry_count++] = *g;
    return true;
}

static bool sizes(const walk *w, pel__tiff_geometry *g, pel_error *err)
{
    if (!number(w, WIDTH, 0, &g->width, err) || !number(w, LENGTH, 0, &g->height, err))
        return false;
    if (g->width < 1 || g->height < 1 || g->width > INT32_MAX || g->height > INT32_MAX)
        return pel__fail(err, PEL_FORMAT, "size of %" PRId64 " x %" PRId64 " pixels", g->width, g->height);
    if (!number(w, TILE_WIDTH, 0, &g->tile_width, err) || !number(w, TILE_LENGTH, 0, &g->tile_height, err))
        return false;
    g->tiled = find(w, TILE_WIDTH) != NULL;
    if (g->tiled)
        return (g->tile_width >= 1 && g->tile_height >= 1 && g->tile_width <= INT32_MAX && g->tile_height <= INT32_MAX) ||
               pel__fail(err, PEL_FORMAT, "tiles of %" PRId64 " x %" PRId64 " pixels", g->tile_width, g->tile_height);
    g->tile_width = g->width;
    if (!number(w, ROWS_PER_STRIP, g->height, &g->tile_height, err))
        return false;
    if (g->tile_height < 1)
        return pel__fail(err, PEL_FORMAT, "strips of 0 rows");
    g->tile_height = pel__min(g->tile_height, g->height);
    return true;
}

static bool read_geometry(const walk *w, int32_t *index, pel_error *err)
{
    pel__tiff_geometry g = {.file_bytes = pel__file_size(w->file)};
    int64_t samples = 1, bits = 1, format = 1, planar = 1, compression = 1, photometric = 1, subfile = 0, fill = 1, depth = 1;
    bool ok = sizes(w, &g, err) && number(w, SAMPLES, 1, &samples, err) && same_numbers(w, BITS, 1, &bits, err) &&
              same_numbers(w, SAMPLE_FORMAT, 1, &format, err) && number(w, PLANAR, 1, &planar, err) &&
              number(w, COMPRESSION, 1, &compression, err) && number(w, PHOTOMETRIC, 1, &photometric, err) &&
              number(w, SUBFILE, 0, &subfile, err) && number(w, FILL_ORDER, 1, &fill, err) && number(w, IMAGE_DEPTH, 1, &depth, err);
    if (!ok)
        return false;
    if (samples < 1 || samples > 65535)
        return pel__fail(err, PEL_FORMAT, "%" PRId64 " samples a pixel", samples);
    g.samples = (int32_t)samples;
    g.bits = (int32_t)pel__min(bits, 65535);
    g.format = (int32_t)pel__min(format, 65535);
    g.compression = (int32_t)pel__min(compression, 65535);
    g.photometric = (int32_t)pel__min(photometric, 65535);
    g.fill_order = fill == 2 ? 2 : 1;
    g.planar = planar == 2 && samples > 1;
    g.left_out = (subfile & 5) != 0;
    return keep_geometry(w->set, &g, depth, index, err);
}

/* ---- the tags that describe the file ------------------------------------------------------------------------- */

static bool read_text(const walk *w, enum tag tag, int64_t most, char **out, size_t *n, pel_error *err)
{
    const uint8_t *e = find(w, tag);
    *out = NULL;
    *n = 0;
    if (!e || load(w, e + 2, 2) > 2 || load(w, e + 2, 2) < 1)
        return true;
    const int64_t count = (int64_t)(load(w, e + 4, w->big ? 8 : 4) & INT64_MAX);
    if (count > most || count > pel__file_size(w->file))
        return pel__fail(err, PEL_FORMAT, "tag %d holds %" PRId64 " bytes of text, more than the file or the limit of %" PRId64, (int)tag, count, most);
    *out = calloc(1, (size_t)count + 1);
    if (!*out)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %" PRId64 " bytes of text", count);
    if (!value_bytes(w, e, count, *out, err)) {
        free(*out);
        *out = NULL;
        return false;
    }
    *n = strnlen(*out, (size_t)count);
    return true;
}

static double read_ratio(const walk *w, enum tag tag)
{
    const uint8_t *e = find(w, tag);
    uint8_t v[8] = {0};
    if (!e || load(w, e + 2, 2) != 5 || !value_bytes(w, e, 8, v, NULL))
        return 0.0;
    const double over = (double)load(w, v, 4), under = (double)load(w, v + 4, 4);
    return under > 0.0 ? over / under : 0.0;
}

/* "2024:05:17 13:45:00" -> "2024-05-17T13:45:00" */
static void read_date(const walk *w, char out[40])
{
    char *text = NULL;
    size_t n = 0;
    if (read_text(w, DATE_TIME, 64, &text, &n, NULL) && n == 19 && text[4] == ':' && text[7] == ':' && text[10] == ' ') {
        text[4] = text[7] = '-';
        text[10] = 'T';
        memcpy(out, text, 20);
    }
    free(text);
}

static bool read_head(const walk *w, pel__tiff_head *h, pel_error *err)
{
    int64_t unit = 1;
    if (!read_text(w, DESCRIPTION, MOST_DESCRIPTION, &h->description, &h->description_bytes, err))
        return false;
    h->resolution[0] = read_ratio(w, X_RESOLUTION);
    h->resolution[1] = read_ratio(w, Y_RESOLUTION);
    if (number(w, RESOLUTION_UNIT, 2, &unit, NULL))
        h->resolution_unit = (int32_t)pel__min(unit, 100);
    read_date(w, h->acquired);
    if (!number(w, STRIP_OFFSETS, 0, &h->first_strip, NULL))
        h->first_strip = 0;
    if (h->description)
        w->set->crc32c = pel__crc32c(w->set->crc32c, h->description, h->description_bytes);
    return true;
}

/* ---- the walk ------------------------------------------------------------------------------------------------ */

/* The directory at `at` into the buffer. One read where it has up to some 200 entries. */
static bool load_directory(walk *w, int64_t at, int64_t *next, pel_error *err)
{
    const int64_t head = w->big ? 8 : 2, entry = w->big ? 20 : 12, link = w->big ? 8 : 4;
    size_t got = 0;
    if (!pel__file_read_some(w->file, at, w->buffer, (size_t)w->room, &got, err))
        return false;
    if ((int64_t)got < head)
        return pel__fail(err, PEL_DAMAGED, "lies beyond the end of the file");
    const uint64_t entries = load(w, w->buffer, (int)head);
    if (entries < 1 || entries > MOST_ENTRIES)
        return pel__fail(err, PEL_FORMAT, "has %" PRIu64 " entries, expected 1 to %d", entries, MOST_ENTRIES);
    w->entries = (int64_t)entries;
    const int64_t all = head + w->entries * entry + link;
    if (all > (int64_t)got && !pel__file_read(w->file, at, w->buffer, (size_t)all, err))
        return false;
    *next = (int64_t)(load(w, w->buffer + all - link, (int)link) & INT64_MAX);
    return true;
}

static bool keep_page(walk *w, int64_t at, pel_error *err)
{
    pel__tiff_set *s = w->set;
    pel__tiff_page page = {.offset = at, .file = w->file_index};
    if (s->page_count == MOST_PAGES)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %" PRId64 " directories", MOST_PAGES);
    void *more = grown(s->pages, s->page_count, &s->page_room, sizeof *s->pages, err);
    if (!more)
        return false;
    s->pages = more;
    if (!read_geometry(w, &page.geometry, err))
        return false;
    s->pages[s->page_count++] = page;
    s->files[w->file_index].page_count++;
    s->crc32c = pel__crc32c(s->crc32c, &page, sizeof page);
    return true;
}

/* `mark` follows at growing distance: a chain that runs in a circle meets it. */
static bool walk_chain(walk *w, int64_t at, pel__tiff_head *head, pel_error *err)
{
    int64_t mark = 0, patience = 64, next = 0;
    for (int64_t n = 0; at != 0; n++, at = next) {
        if (at == mark)
            return pel__fail(err, PEL_FORMAT, "directory %" PRId64 " at byte %" PRId64 ": the chain of directories runs in a circle", n, at);
        if (n == patience) {
            mark = at;
            patience *= 2;
        }
        if (!load_directory(w, at, &next, err) || (n == 0 && head && !read_head(w, head, err)) || !keep_page(w, at, err))
            return pel__where(err, "directory %" PRId64 " at byte %" PRId64 ": ", n, at);
    }
    return true;
}

static bool read_header(walk *w, int64_t *first, pel_error *err)
{
    uint8_t h[16] = {0};
    size_t got = 0;
    if (!pel__file_read_some(w->file, 0, h, sizeof h, &got, err))
        return false;
    const bool little = memcmp(h, "II", 2) == 0;
    w->swap = !little;
    const uint64_t version = got >= 4 ? load(w, h + 2, 2) : 0;
    if (got < 8 || (!little && memcmp(h, "MM", 2) != 0) || (version != 42 && version != 43))
        return pel__fail(err, PEL_FORMAT, "is no TIFF file: it begins with other bytes");
    w->big = version == 43;
    if (w->big && (got < 16 || load(w, h + 4, 2) != 8))
        return pel__fail(err, PEL_FORMAT, "BigTIFF header with offsets of %d bytes, expected 8", (int)load(w, h + 4, 2));
    *first = (int64_t)(load(w, h + (w->big ? 8 : 4), w->big ? 8 : 4) & INT64_MAX);
    w->set->crc32c = pel__crc32c(w->set->crc32c, h, got);
    return *first != 0 || pel__fail(err, PEL_FORMAT, "has no directory: an unfinished file");
}

static bool keep_file(walk *w, const char *path, pel_error *err)
{
    pel__tiff_set *s = w->set;
    void *more = grown(s->files, s->file_count, &s->file_room, sizeof *s->files, err);
    if (!more)
        return false;
    s->files = more;
    s->files[s->file_count] = (pel__tiff_file){.path = strdup(path), .big = w->big, .swap = w->swap, .first_page = s->page_count};
    w->file_index = (int32_t)s->file_count;
    return s->files[s->file_count++].path || pel__fail(err, PEL_NO_MEMORY, "no memory");
}

bool pel__tiff_walk(pel__tiff_set *set, const char *path, pel__tiff_head *head, pel_error *err)
{
    walk w = {.set = set, .room = 4096};
    int64_t first = 0;
    const int64_t before = set->page_count;
    pel_error trouble = {0};
    if (!pel__file_open(&w.file, path, err))
        return false;
    w.buffer = malloc(8 + 20 * MOST_ENTRIES + 8);
    bool ok = w.buffer != NULL;
    if (!ok)
        (void)pel__fail(&trouble, PEL_NO_MEMORY, "no memory for a directory");
    ok = ok && read_header(&w, &first, &trouble) && keep_file(&w, path, &trouble);
    ok = ok && walk_chain(&w, first, head, &trouble);
    if (!ok && set->recover && set->page_count > before) {
        (void)snprintf(set->broken, sizeof set->broken, "%.150s", trouble.text);
        ok = true;
    }
    free(w.buffer);
    pel__file_close(w.file);
    return ok || pel__fail(err, trouble.code, "%s: %s", path, trouble.text);
}

void pel__tiff_set_finish(pel__tiff_set *set)
{
    for (int64_t i = 0; i < set->file_count; i++)
        free(set->files[i].path);
    free(set->files);
    free(set->pages);
    free(set->geometries);
    *set = (pel__tiff_set){0};
}
