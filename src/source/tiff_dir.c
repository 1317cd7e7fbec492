/* SPDX-License-Identifier: MIT
 * Walks the directories of a TIFF or BigTIFF file with one read each and no library: libtiff's own walk is quadratic in
 * the number of directories, and stacks have hundreds of thousands. Nothing that the file says is trusted: counts are
 * capped, loops are found, every value is checked before it is used. */
#include "source/tiff.h"
#include "source/tiff_tags.h"

#include "core/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_PAGES (INT64_C(1) << 24)
#define MOST_GEOMETRIES 4096
#define MOST_PAGE_TEXT (INT64_C(1) << 20)
#define MOST_TILE_BYTES (INT64_C(1) << 31)

typedef struct walk {
    pel__tiff_set *set;
    int32_t file_index;
    bool lsm;                /* the first directory is that of a Zeiss LSM */
    pel__tiff_directory dir; /* in hand */
} walk;

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
    const bool half = g->bits == 16 && format == 3, few = g->bits >= 1 && g->bits < 16 && format == 1;
    g->packed = half || few;
    g->dtype = half ? PEL_F32 : g->bits <= 8 ? PEL_U8 : PEL_U16;
    return g->packed;
}

/* Rows of bits end at a byte. */
static bool count_tile_bytes(pel__tiff_geometry *g)
{
    const int64_t factors[] = {g->tile_width, g->planar ? 1 : g->samples, g->bits};
    int64_t bits = 0;
    return pel__product(factors, 3, &bits) && pel__mul(pel__ceil_div(bits, 8), g->tile_height, &g->tile_bytes) && g->tile_bytes >= 1;
}

#define REFUSE(g, ...) (void)snprintf((g)->refusal, sizeof(g)->refusal, __VA_ARGS__)

/* Why such a page cannot be read, in the order in which a person would ask. */
static void judge(pel__tiff_geometry *g, int64_t depth)
{
    const bool jpeg = g->compression == 7;
    if (depth != 1)
        REFUSE(g, "pages with a depth of %" PRId64 " are not read", depth);
    else if (g->bits < 0 || g->format < 0)
        REFUSE(g, "samples of different types in one page are not read");
    else if (!choose_dtype(g))
        REFUSE(g, "samples of %d bits with sample format %d are not read", g->bits, g->format);
    else if (!pel__tiff_codec_known(g->compression))
        REFUSE(g, "compression %d (%s) is not read", g->compression, pel__tiff_codec_name(g->compression));
    else if (g->packed && (jpeg || (g->predictor != 1 && g->bits != 16)))
        REFUSE(g, "samples of %d bits with %s are not read", g->bits, jpeg ? "JPEG" : "a predictor");
    else if (g->predictor != 1 && !pel__tiff_codec_predicts(g->compression))
        REFUSE(g, "predictor %d with compression %d (%s) is not read; save it without predictor", g->predictor, g->compression,
               pel__tiff_codec_name(g->compression));
    else if (g->photometric == 6 && !jpeg)
        REFUSE(g, "YCbCr colour without JPEG compression is not read");
    else if (!count_tile_bytes(g) || (!pel__tiff_plain(g) && g->tile_bytes > MOST_TILE_BYTES))
        REFUSE(g, "a compressed strip or tile of %" PRId64 " x %" PRId64 " pixels is not read: larger than 2 GiB", g->tile_width, g->tile_height);
}

static bool same_geometry(const pel__tiff_geometry *a, const pel__tiff_geometry *b)
{
    return a->width == b->width && a->height == b->height && a->tile_width == b->tile_width && a->tile_height == b->tile_height &&
           a->samples == b->samples && a->bits == b->bits && a->format == b->format && a->compression == b->compression &&
           a->predictor == b->predictor && a->photometric == b->photometric && a->fill_order == b->fill_order && a->tiled == b->tiled && a->planar == b->planar &&
           a->left_out == b->left_out && a->raw == b->raw;
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
    if (!pel__tiff_tag_number(&w->dir, PEL__TAG_WIDTH, 0, &g->width, err) || !pel__tiff_tag_number(&w->dir, PEL__TAG_LENGTH, 0, &g->height, err))
        return false;
    if (g->width < 1 || g->height < 1 || g->width > INT32_MAX || g->height > INT32_MAX)
        return pel__fail(err, PEL_FORMAT, "size of %" PRId64 " x %" PRId64 " pixels", g->width, g->height);
    if (!pel__tiff_tag_number(&w->dir, PEL__TAG_TILE_WIDTH, 0, &g->tile_width, err) || !pel__tiff_tag_number(&w->dir, PEL__TAG_TILE_LENGTH, 0, &g->tile_height, err))
        return false;
    g->tiled = pel__tiff_tag_count(&w->dir, PEL__TAG_TILE_WIDTH) > 0;
    if (g->tiled)
        return (g->tile_width >= 1 && g->tile_height >= 1 && g->tile_width <= INT32_MAX && g->tile_height <= INT32_MAX) ||
               pel__fail(err, PEL_FORMAT, "tiles of %" PRId64 " x %" PRId64 " pixels", g->tile_width, g->tile_height);
    g->tile_width = g->width;
    if (!pel__tiff_tag_number(&w->dir, PEL__TAG_ROWS_PER_STRIP, g->height, &g->tile_height, err))
        return false;
    if (g->tile_height < 1)
        return pel__fail(err, PEL_FORMAT, "strips of 0 rows");
    g->tile_height = pel__min(g->tile_height, g->height);
    return true;
}

static bool read_geometry(const walk *w, int32_t *index, pel_error *err)
{
    pel__tiff_geometry g = {.file_bytes = pel__file_size(w->dir.file)};
    int64_t samples = 1, bits = 1, format = 1, planar = 1, compression = 1, photometric = 1, subfile = 0, fill = 1, depth = 1, predictor = 1;
    bool ok = sizes(w, &g, err) && pel__tiff_tag_number(&w->dir, PEL__TAG_SAMPLES, 1, &samples, err) && pel__tiff_tag_same(&w->dir, PEL__TAG_BITS, 1, &bits, err) &&
              pel__tiff_tag_same(&w->dir, PEL__TAG_SAMPLE_FORMAT, 1, &format, err) && pel__tiff_tag_number(&w->dir, PEL__TAG_PLANAR, 1, &planar, err) &&
              pel__tiff_tag_number(&w->dir, PEL__TAG_COMPRESSION, 1, &compression, err) && pel__tiff_tag_number(&w->dir, PEL__TAG_PHOTOMETRIC, 1, &photometric, err) &&
              pel__tiff_tag_number(&w->dir, PEL__TAG_SUBFILE, 0, &subfile, err) && pel__tiff_tag_number(&w->dir, PEL__TAG_FILL_ORDER, 1, &fill, err) && pel__tiff_tag_number(&w->dir, PEL__TAG_DEPTH, 1, &depth, err) &&
              pel__tiff_tag_number(&w->dir, PEL__TAG_PREDICTOR, 1, &predictor, err);
    if (!ok)
        return false;
    if (samples < 1 || samples > 65535)
        return pel__fail(err, PEL_FORMAT, "%" PRId64 " samples a pixel", samples);
    g.samples = (int32_t)samples;
    g.bits = (int32_t)pel__min(bits, 65535);
    g.format = (int32_t)pel__min(format, 65535);
    g.compression = (int32_t)pel__min(compression, 65535);
    g.photometric = (int32_t)pel__min(photometric, 65535);
    g.predictor = w->lsm && compression == 1 ? 1 : (int32_t)pel__min(predictor, 65535); /* LSM 510 leaves the tag in uncompressed pages */
    g.fill_order = fill == 2 ? 2 : 1;
    g.planar = planar == 2 && samples > 1;
    g.left_out = (subfile & 5) != 0;
    return keep_geometry(w->set, &g, depth, index, err);
}

/* ---- the tags that describe the file ------------------------------------------------------------------------- */

/* "2024:05:17 13:45:00" -> "2024-05-17T13:45:00" */
static void read_date(const walk *w, char out[40])
{
    char *text = NULL;
    size_t n = 0;
    if (pel__tiff_tag_text(&w->dir, PEL__TAG_DATE_TIME, 64, &text, &n, NULL) && n == 19 && text[4] == ':' && text[7] == ':' && text[10] == ' ') {
        text[4] = text[7] = '-';
        text[10] = 'T';
        memcpy(out, text, 20);
    }
    free(text);
}

static bool read_head(const walk *w, pel__tiff_head *h, pel_error *err)
{
    int64_t unit = 1;
    if (!pel__tiff_tag_text(&w->dir, PEL__TAG_DESCRIPTION, PEL__TIFF_MOST_TEXT, &h->description, &h->description_bytes, err))
        return false;
    h->resolution[0] = pel__tiff_tag_ratio(&w->dir, PEL__TAG_X_RESOLUTION);
    h->resolution[1] = pel__tiff_tag_ratio(&w->dir, PEL__TAG_Y_RESOLUTION);
    if (pel__tiff_tag_number(&w->dir, PEL__TAG_RESOLUTION_UNIT, 2, &unit, NULL))
        h->resolution_unit = (int32_t)pel__min(unit, 100);
    read_date(w, h->acquired);
    if (!pel__tiff_tag_number(&w->dir, PEL__TAG_STRIP_OFFSETS, 0, &h->first_strip, NULL))
        h->first_strip = 0;
    if (h->description)
        w->set->crc32c = pel__crc32c(w->set->crc32c, h->description, h->description_bytes);
    return true;
}

/* ---- the walk ------------------------------------------------------------------------------------------------ */

static bool add_page(pel__tiff_set *s, pel__tiff_page page, pel_error *err)
{
    if (s->page_count == MOST_PAGES)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %" PRId64 " directories", MOST_PAGES);
    void *more = grown(s->pages, s->page_count, &s->page_room, sizeof *s->pages, err);
    if (!more)
        return false;
    s->pages = more;
    s->pages[s->page_count++] = page;
    return true;
}

bool pel__tiff_raw_page(pel__tiff_set *set, int32_t like, int64_t at, int32_t *page, pel_error *err)
{
    pel__tiff_page p = {.offset = at, .file = set->pages[like].file};
    pel__tiff_geometry g = set->geometries[set->pages[like].geometry];
    g.raw = true;
    if (!keep_geometry(set, &g, 1, &p.geometry, err))
        return false;
    if (*page >= 0) {
        set->pages[*page] = p;
        return true;
    }
    *page = (int32_t)set->page_count;
    return add_page(set, p, err);
}

static bool keep_page(walk *w, int64_t at, pel_error *err)
{
    pel__tiff_set *s = w->set;
    pel__tiff_page page = {.offset = at, .file = w->file_index};
    if (!read_geometry(w, &page.geometry, err) || !add_page(s, page, err))
        return false;
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
        const bool ok = pel__tiff_directory_load(&w->dir, at, &next, err);
        w->lsm = n == 0 ? pel__tiff_tag_count(&w->dir, PEL__TAG_LSM) > 0 : w->lsm;
        if (!ok || (n == 0 && head && !read_head(w, head, err)) || !keep_page(w, at, err))
            return pel__where(err, "directory %" PRId64 " at byte %" PRId64 ": ", n, at);
    }
    return true;
}

static bool read_header(walk *w, int64_t *first, pel_error *err)
{
    uint8_t h[16] = {0};
    size_t got = 0;
    if (!pel__file_read_some(w->dir.file, 0, h, sizeof h, &got, err))
        return false;
    const bool little = memcmp(h, "II", 2) == 0;
    w->dir.swap = !little;
    const uint64_t version = got >= 4 ? pel__tiff_load(&w->dir, h + 2, 2) : 0;
    if (got == 0)
        return pel__fail(err, PEL_FORMAT, "is empty: 0 bytes");
    if (got < 8 || (!little && memcmp(h, "MM", 2) != 0) || (version != 42 && version != 43))
        return pel__fail(err, PEL_FORMAT, "is no TIFF file: it begins with other bytes");
    w->dir.big = version == 43;
    if (w->dir.big && (got < 16 || pel__tiff_load(&w->dir, h + 4, 2) != 8))
        return pel__fail(err, PEL_FORMAT, "BigTIFF header with offsets of %d bytes, expected 8", (int)pel__tiff_load(&w->dir, h + 4, 2));
    *first = (int64_t)(pel__tiff_load(&w->dir, h + (w->dir.big ? 8 : 4), w->dir.big ? 8 : 4) & INT64_MAX);
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
    s->files[s->file_count] = (pel__tiff_file){.path = strdup(path), .big = w->dir.big, .swap = w->dir.swap, .first_page = s->page_count};
    w->file_index = (int32_t)s->file_count;
    return s->files[s->file_count++].path || pel__fail(err, PEL_NO_MEMORY, "no memory");
}

/* The directory with the words about the file stays open for those who look for tags of their own. */
static bool keep_head(walk *w, int64_t first, pel__tiff_head *head, pel_error *err)
{
    int64_t next = 0;
    if (!head)
        return true;
    head->dir = w->dir;
    w->dir = (pel__tiff_directory){0};
    return pel__tiff_directory_load(&head->dir, first, &next, err);
}

bool pel__tiff_walk(pel__tiff_set *set, const char *path, pel__tiff_head *head, pel_error *err)
{
    walk w = {.set = set};
    int64_t first = 0;
    const int64_t before = set->page_count;
    pel_error trouble = {0};
    if (!pel__file_open(&w.dir.file, path, err))
        return false;
    bool ok = pel__tiff_directory_room(&w.dir, &trouble) && read_header(&w, &first, &trouble) && keep_file(&w, path, &trouble);
    ok = ok && walk_chain(&w, first, head, &trouble);
    if (!ok && set->recover && set->page_count > before) {
        (void)snprintf(set->broken, sizeof set->broken, "%.150s", trouble.text);
        ok = true;
    }
    ok = ok && keep_head(&w, first, head, &trouble);
    pel__tiff_directory_finish(&w.dir);
    return ok || pel__fail(err, trouble.code, "%s: %s", path, trouble.text);
}

void pel__tiff_head_finish(pel__tiff_head *head)
{
    pel__tiff_directory_finish(&head->dir);
    free(head->description);
    *head = (pel__tiff_head){0};
}

bool pel__tiff_page_directory(const pel__tiff_set *set, int64_t page, pel__tiff_directory *d, pel_error *err)
{
    const pel__tiff_page *p = &set->pages[page];
    const pel__tiff_file *f = &set->files[p->file];
    int64_t next = 0;
    *d = (pel__tiff_directory){.big = f->big, .swap = f->swap};
    return pel__file_open(&d->file, f->path, err) && pel__tiff_directory_room(d, err) && pel__tiff_directory_load(d, p->offset, &next, err);
}

bool pel__tiff_page_text(const pel__tiff_set *set, int64_t page, int tag, char **out, pel_error *err)
{
    pel__tiff_directory d;
    size_t n = 0;
    *out = NULL;
    const bool ok = pel__tiff_page_directory(set, page, &d, err) && pel__tiff_tag_text(&d, tag, MOST_PAGE_TEXT, out, &n, err);
    pel__tiff_directory_finish(&d);
    return ok;
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
