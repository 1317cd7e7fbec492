/* SPDX-License-Identifier: MIT
 * Pixels of TIFF pages. Uncompressed ones are read straight from the file, only the rows and columns that are wanted.
 * Compressed strips and tiles go through libtiff: one handle for each thread that reads at once, taken from a list of idle
 * ones and given back, with the last decoded strip or tile kept, because row bands ask for the same strip again. libtiff
 * prints nothing: its complaints are collected by the handle and become the error. */
#include "source/tiff.h"

#include "codec/expand.h"
#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "source/damage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tiffio.h>

#define CHUNK_BYTES (INT64_C(1) << 20) /* of uncompressed rows read at once */
#define TABLE_BYTES (INT64_C(64) << 20) /* what libtiff may allocate at once beside pixels: tables of strips */

struct pel__tiff_handle {
    pel__tiff_handle *next;
    TIFF *tiff;
    pel__file *file;
    int32_t file_index;  /* -1 = none open */
    int64_t page;        /* the directory that libtiff is at; -1 = none */
    int64_t cursor;
    void *pixels;        /* a decoded strip or tile, or rows of the file */
    void *unpacked;      /* a row of packed samples as their type */
    void *coded;         /* the compressed strip or tile */
    int64_t room, coded_room, unpacked_room;
    int64_t kept_page, kept_tile; /* what `pixels` holds, -1 = nothing */
    char complaint[300]; /* libtiff's first */
};

/* ---- codecs -------------------------------------------------------------------------------------------------- */

typedef struct codec {
    int32_t id;
    const char *name;
    enum pel__packing packing;
} codec;

static const codec codecs[] = {
    {1, "none", PEL__PACK_NONE}, {2, "CCITT RLE", PEL__PACK_OTHER}, {3, "CCITT fax 3", PEL__PACK_OTHER}, {4, "CCITT fax 4", PEL__PACK_OTHER},
    {5, "LZW", PEL__PACK_LZW}, {6, "old JPEG", PEL__PACK_JPEG}, {7, "JPEG", PEL__PACK_JPEG}, {8, "deflate", PEL__PACK_DEFLATE},
    {32773, "PackBits", PEL__PACK_PACKBITS}, {32946, "deflate", PEL__PACK_DEFLATE}, {33003, "JPEG 2000", PEL__PACK_OTHER},
    {33005, "JPEG 2000", PEL__PACK_OTHER}, {34712, "JPEG 2000", PEL__PACK_OTHER}, {34887, "LERC", PEL__PACK_OTHER}, {34925, "LZMA", PEL__PACK_LZMA},
    {34934, "JPEG XR", PEL__PACK_JXR}, {50000, "zstd", PEL__PACK_ZSTD}, {50001, "WebP", PEL__PACK_OTHER}, {50002, "JPEG XL", PEL__PACK_OTHER},
};

static const codec *codec_of(int32_t compression)
{
    static const codec unknown = {0, "unknown", PEL__PACK_OTHER};
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++)
        if (codecs[i].id == compression)
            return &codecs[i];
    return &unknown;
}

bool pel__tiff_codec_predicts(int32_t compression)
{
    /* Beside them writers leave the tag in pages of pictures (JPEG and its kin), where it means nothing. */
    const enum pel__packing p = codec_of(compression)->packing;
    return p == PEL__PACK_LZW || p == PEL__PACK_DEFLATE || p == PEL__PACK_ZSTD || p == PEL__PACK_LZMA || p == PEL__PACK_JPEG || compression == 50001;
}

const char *pel__tiff_codec_name(int32_t compression) { return codec_of(compression)->name; }

bool pel__tiff_codec_known(int32_t compression)
{
    return compression != 6 && compression >= 1 && compression <= 65535 && TIFFIsCODECConfigured((uint16_t)compression);
}

/* ---- libtiff's view of the file ------------------------------------------------------------------------------ */

static tmsize_t on_read(thandle_t arg, void *data, tmsize_t n)
{
    pel__tiff_handle *h = arg;
    size_t got = 0;
    if (n <= 0 || h->cursor < 0 || !pel__file_read_some(h->file, h->cursor, data, (size_t)n, &got, NULL))
        return 0;
    h->cursor += (int64_t)got;
    return (tmsize_t)got;
}

static tmsize_t on_write(thandle_t arg, void *data, tmsize_t n) { return 0; }

static toff_t on_seek(thandle_t arg, toff_t offset, int whence)
{
    pel__tiff_handle *h = arg;
    const int64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? h->cursor : pel__file_size(h->file);
    if (offset > INT64_MAX || !pel__add(from, (int64_t)offset, &h->cursor))
        h->cursor = -1;
    return (toff_t)h->cursor;
}

static int on_close(thandle_t arg) { return 0; }
static toff_t on_size(thandle_t arg) { return (toff_t)pel__file_size(((pel__tiff_handle *)arg)->file); }

static int on_error(TIFF *tiff, void *arg, const char *module, const char *format, va_list args) PEL_PRINTF(4, 0);
static int on_error(TIFF *tiff, void *arg, const char *module, const char *format, va_list args)
{
    pel__tiff_handle *h = arg;
    if (h->complaint[0])
        return 1;
    (void)vsnprintf(h->complaint, sizeof h->complaint, format, args);
    for (char *p = h->complaint; *p; p++) /* one line, whatever bytes of the file it quotes */
        *p = *p < ' ' ? ' ' : *p;
    return 1;
}

static int on_warning(TIFF *tiff, void *arg, const char *module, const char *format, va_list args) { return 1; }

/* ---- handles ------------------------------------------------------------------------------------------------- */

static void close_handle(pel__tiff_handle *h)
{
    if (h->tiff)
        TIFFClose(h->tiff);
    h->tiff = NULL;
    pel__file_close(h->file);
    h->file = NULL;
    h->file_index = -1;
    h->page = h->kept_page = -1;
}

void pel__tiff_handles_destroy(pel__tiff_handle *first)
{
    while (first) {
        pel__tiff_handle *next = first->next;
        close_handle(first);
        free(first->pixels);
        free(first->coded);
        free(first->unpacked);
        free(first);
        first = next;
    }
}

/* An idle handle, best one that has the file open. */
static pel__tiff_handle *take_handle(pel__tiff *t, int32_t file)
{
    (void)pthread_mutex_lock(&t->mutex);
    pel__tiff_handle **best = &t->idle;
    for (pel__tiff_handle **p = &t->idle; *p; p = &(*p)->next)
        if ((*p)->file_index == file) {
            best = p;
            break;
        }
    pel__tiff_handle *h = *best;
    if (h)
        *best = h->next;
    (void)pthread_mutex_unlock(&t->mutex);
    if (h)
        return h;
    h = calloc(1, sizeof *h);
    if (h) {
        h->file_index = -1;
        h->page = h->kept_page = -1;
    }
    return h;
}

static void give_back(pel__tiff *t, pel__tiff_handle *h)
{
    (void)pthread_mutex_lock(&t->mutex);
    h->next = t->idle;
    t->idle = h;
    (void)pthread_mutex_unlock(&t->mutex);
}

static bool use_file(pel__tiff *t, pel__tiff_handle *h, int32_t file, pel_error *err)
{
    if (h->file_index == file)
        return true;
    close_handle(h);
    if (!pel__file_open(&h->file, t->set.files[file].path, err))
        return false;
    h->file_index = file;
    return true;
}

static bool complain(const pel__tiff_handle *h, int32_t code, const char *what, int64_t number, pel_error *err)
{
    return pel__fail(err, code, "%s: directory %" PRId64 ": %s %" PRId64 ": %s", pel__file_path(h->file), h->page, what, number,
                     h->complaint[0] ? h->complaint : "libtiff gives no reason");
}

/* No codec makes twice as much of what it compresses. */
static int64_t coded_limit(const pel__tiff_geometry *g) { return 2 * g->tile_bytes + 65536; }

/* Not refused, and no strip of the whole file's bytes could be less than what is claimed. */
static bool is_read(const pel__tiff_geometry *g)
{
    const int64_t least = g->tiled ? g->tile_bytes : g->tile_bytes / g->tile_height; /* the last strip may be a row */
    return !g->refusal[0] && least <= pel__expand_most(codec_of(g->compression)->packing, g->file_bytes);
}

static bool open_library(pel__tiff *t, pel__tiff_handle *h, pel_error *err)
{
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    if (!o)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory", t->base.path);
    int64_t most = TABLE_BYTES;
    for (int64_t g = 0; g < t->set.geometry_count; g++)
        if (is_read(&t->set.geometries[g]) && !pel__tiff_plain(&t->set.geometries[g]))
            most = pel__max(most, 2 * t->set.geometries[g].tile_bytes);
    TIFFOpenOptionsSetMaxSingleMemAlloc(o, (tmsize_t)most);
    TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, h);
    TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, h);
    h->cursor = 0;
    h->complaint[0] = '\0';
    h->tiff = TIFFClientOpenExt(pel__file_path(h->file), "rmhc", h, on_read, on_write, on_seek, on_close, on_size, NULL, NULL, o);
    TIFFOpenOptionsFree(o);
    return h->tiff || pel__fail(err, PEL_FORMAT, "%s: %s", pel__file_path(h->file), h->complaint);
}

/* libtiff must see the page as our own walk did: the same file read twice could have changed, and two parsers of a
 * hostile file can disagree. */
static bool check_page(pel__tiff_handle *h, const pel__tiff_geometry *g, pel_error *err)
{
    uint32_t width = 0, height = 0;
    uint16_t bits = 0, samples = 0, planar = 1, compression = 0;
    (void)TIFFGetField(h->tiff, TIFFTAG_IMAGEWIDTH, &width);
    (void)TIFFGetField(h->tiff, TIFFTAG_IMAGELENGTH, &height);
    (void)TIFFGetFieldDefaulted(h->tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    (void)TIFFGetFieldDefaulted(h->tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    (void)TIFFGetFieldDefaulted(h->tiff, TIFFTAG_PLANARCONFIG, &planar);
    (void)TIFFGetFieldDefaulted(h->tiff, TIFFTAG_COMPRESSION, &compression);
    if (compression == COMPRESSION_JPEG && g->photometric == 6)
        (void)TIFFSetField(h->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    const tmsize_t bytes = g->tiled ? TIFFTileSize(h->tiff) : TIFFStripSize(h->tiff);
    if (width != g->width || height != g->height || bits != g->bits || samples != g->samples || (samples > 1 && (planar == 2) != g->planar) ||
        compression != g->compression || (TIFFIsTiled(h->tiff) != 0) != g->tiled || (int64_t)bytes != g->tile_bytes)
        return pel__fail(err, PEL_FORMAT, "%s: directory %" PRId64 ": libtiff sees another layout: %u x %u pixels, %u bits, %u samples, %lld bytes a strip or tile; "
                         "expected %" PRId64 " x %" PRId64 ", %d, %d, %" PRId64, pel__file_path(h->file), h->page, width, height, bits, samples, (long long)bytes,
                         g->width, g->height, g->bits, g->samples, g->tile_bytes);
    return true;
}

static bool use_page(pel__tiff *t, pel__tiff_handle *h, int64_t page, pel_error *err)
{
    const pel__tiff_page *p = &t->set.pages[page];
    if (!use_file(t, h, p->file, err) || (!h->tiff && !open_library(t, h, err)))
        return false;
    h->complaint[0] = '\0';
    if (h->page == page)
        return true;
    h->page = page;
    if (!TIFFSetSubDirectory(h->tiff, (uint64_t)p->offset) || !check_page(h, &t->set.geometries[p->geometry], err)) {
        h->page = -1;
        return err && err->code ? false : complain(h, PEL_FORMAT, "unreadable, at byte", p->offset, err);
    }
    return true;
}

static bool need_room(void **buffer, int64_t *room, int64_t n, pel_error *err)
{
    if (n <= *room)
        return true;
    free(*buffer);
    *buffer = malloc((size_t)n);
    *room = *buffer ? n : 0;
    return *buffer || pel__fail(err, PEL_NO_MEMORY, "no memory for a strip or tile of %" PRId64 " bytes", n);
}

/* ---- placing ------------------------------------------------------------------------------------------------- */

/* What is being read: a rectangle of one page, some of its samples, and where sample s goes. */
typedef struct target {
    const pel_block *dst;
    int64_t at[PEL_AXES];   /* global t, c of sample 0, z; y and x unused */
    int64_t y0, y1, x0, x1; /* wanted pixels */
    int32_t s0, s1;         /* wanted samples */
    pel__damage *damage;
} target;

static void spread(uint8_t *to, int64_t to_step, const uint8_t *from, int64_t from_step, int64_t n, size_t size)
{
    if (to_step == (int64_t)size && from_step == (int64_t)size) {
        memcpy(to, from, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(to + i * to_step, from + i * from_step, size);
}

/* n pixels of row y from column x, `samples` interleaved samples beginning with number `first`; from = NULL: zeros. */
static void place_row(const target *w, const uint8_t *from, int64_t y, int64_t x, int64_t n, int32_t first, int32_t samples)
{
    const size_t size = pel_dtype_size(w->dst->dtype);
    const int32_t s0 = first > w->s0 ? first : w->s0, s1 = first + samples < w->s1 ? first + samples : w->s1;
    for (int32_t s = s0; s < s1; s++) {
        const int64_t at[PEL_AXES] = {w->at[PEL_T], w->at[PEL_C] + s, w->at[PEL_Z], y, x};
        uint8_t *to = pel__block_at(w->dst, at);
        const int64_t step = w->dst->stride[PEL_X] * (int64_t)size;
        if (from)
            spread(to, step, from + (size_t)(s - first) * size, samples * (int64_t)size, n, size);
        else
            for (int64_t i = 0; i < n; i++)
                memset(to + i * step, 0, size);
    }
}

/* ---- uncompressed -------------------------------------------------------------------------------------------- */

/* A rectangle of pixels that lie row by row in the file: rows y0..y1 and columns x0..x1 of the page; `at` is the file's
 * byte of pixel (top, left), `row_bytes` from one row to the next. */
typedef struct plain_part {
    int64_t at, row_bytes, top, left, y0, y1, x0, x1;
    int32_t first, samples;
    bool swap;
} plain_part;

/* Rows that do not lie whole in the file; where they read as zero they are counted and done. Whole rows, so that what is read does not
 * depend on the columns that are wanted. Gives the first row behind those that are left to be read. */
static int64_t pass_missing_rows(pel__tiff_handle *h, const target *w, const plain_part *p, int64_t piece)
{
    const int64_t whole = pel__max(0, pel__file_size(h->file) - p->at) / p->row_bytes;
    const int64_t end = whole < p->y1 - p->top ? pel__max(p->y0, p->top + whole) : p->y1;
    pel_error why = {0};
    if (end == p->y1)
        return end;
    (void)pel__fail(&why, PEL_DAMAGED, "%s: pixels from row %" PRId64 " on lie behind the end of the file, at %" PRId64, pel__file_path(h->file), end,
                    pel__file_size(h->file));
    if (!pel__damage_take(w->damage, piece, &why))
        return p->y1;
    for (int64_t y = end; y < p->y1; y++)
        place_row(w, NULL, y, p->x0, p->x1 - p->x0, p->first, p->samples);
    return end;
}

static bool read_plain(pel__tiff_handle *h, const target *w, const plain_part *p, int64_t piece, pel_error *err)
{
    const int64_t size = (int64_t)pel_dtype_size(w->dst->dtype), pixel = size * p->samples;
    const int64_t skip = (p->x0 - p->left) * pixel, line = (p->x1 - p->x0) * pixel;
    /* Many short pieces of long rows one by one, else whole rows at once. */
    const int64_t rows = line * 4 < p->row_bytes ? 1 : pel__max(1, CHUNK_BYTES / p->row_bytes);
    const int64_t end = pass_missing_rows(h, w, p, piece);
    for (int64_t y = p->y0; y < end; y += rows) {
        const int64_t n = pel__min(rows, end - y), bytes = (n - 1) * p->row_bytes + line;
        int64_t at = 0;
        if (!pel__mul(y - p->top, p->row_bytes, &at) || !pel__add(at, p->at + skip, &at))
            return pel__fail(err, PEL_FORMAT, "%s: pixels lie beyond what 63 bits count", pel__file_path(h->file));
        h->kept_page = -1;
        if (bytes > pel__file_size(h->file) || at > pel__file_size(h->file) - bytes)
            return pel__fail(err, PEL_DAMAGED, "%s: row %" PRId64 " of pixels has %" PRId64 " bytes at %" PRId64 ", the file ends at %" PRId64,
                             pel__file_path(h->file), y, bytes, at, pel__file_size(h->file));
        if (!need_room(&h->pixels, &h->room, bytes, err) || !pel__file_read(h->file, at, h->pixels, (size_t)bytes, err))
            return false;
        for (int64_t i = 0; i < n; i++) {
            uint8_t *row = (uint8_t *)h->pixels + i * p->row_bytes;
            if (p->swap)
                pel__swap_items(row, line - line % size, size);
            place_row(w, row, y + i, p->x0, p->x1 - p->x0, p->first, p->samples);
        }
    }
    return true;
}

/* ---- strips and tiles ---------------------------------------------------------------------------------------- */

/* One strip or tile of the page in hand; y, x: its first pixel; first: its first sample; at, bytes: its place in the file. */
typedef struct tile {
    int64_t number, y, x, at, bytes;
    int32_t first, samples;
} tile;

/* Are there such bytes, and can they be the pixels? Asked before memory is. */
static bool can_hold(const pel__tiff_handle *h, const pel__tiff_geometry *g, const tile *k, int64_t want, pel_error *err)
{
    const char *const what = g->tiled ? "tile" : "strip", *const path = pel__file_path(h->file);
    const codec *const c = codec_of(g->compression);
    const int64_t size = pel__file_size(h->file);
    if (k->bytes > coded_limit(g))
        return pel__fail(err, PEL_FORMAT, "%s: directory %" PRId64 ": %s %" PRId64 " has %" PRId64 " compressed bytes for %" PRId64
                         " bytes of pixels", path, h->page, what, k->number, k->bytes, g->tile_bytes);
    if (k->bytes > size || k->at > size - k->bytes)
        return pel__fail(err, PEL_DAMAGED, "%s: directory %" PRId64 ": %s %" PRId64 " has %" PRId64 " bytes at %" PRId64
                         ", the file ends at %" PRId64, path, h->page, what, k->number, k->bytes, k->at, size);
    if (want > pel__expand_most(c->packing, k->bytes))
        return pel__fail(err, PEL_DAMAGED, "%s: directory %" PRId64 ": %s %" PRId64 ": %" PRId64 " bytes of %s cannot hold its %" PRId64
                         " bytes of pixels (at most %" PRId64 " : 1)", path, h->page, what, k->number, k->bytes, c->name, want,
                         pel__expand_ratio(c->packing));
    return true;
}

/* The bytes are read here and only decoded by libtiff: so memory is what we say it is. */
static bool decode(pel__tiff_handle *h, const pel__tiff_geometry *g, const tile *k, pel_error *err)
{
    const char *what = g->tiled ? "tile" : "strip";
    if (h->kept_page == h->page && h->kept_tile == k->number)
        return true;
    h->kept_page = -1;
    const int64_t rows = g->tiled ? g->tile_height : pel__min(g->tile_height, g->height - k->y);
    const int64_t want = g->tile_bytes / g->tile_height * rows;
    if (!can_hold(h, g, k, want, err))
        return false;
    if (!need_room(&h->pixels, &h->room, want, err) || !need_room(&h->coded, &h->coded_room, k->bytes, err))
        return false;
    if (!pel__file_read(h->file, k->at, h->coded, (size_t)k->bytes, err))
        return pel__where(err, "directory %" PRId64 ", %s %" PRId64 ": ", h->page, what, k->number);
    memset(h->pixels, 0, (size_t)want); /* some decoders call a short stream a success */
    if (TIFFReadFromUserBuffer(h->tiff, (uint32_t)k->number, h->coded, (tmsize_t)k->bytes, h->pixels, (tmsize_t)want) != 1)
        return complain(h, PEL_DAMAGED, what, k->number, err);
    h->kept_page = h->page;
    h->kept_tile = k->number;
    return true;
}

static int64_t piece_number(int64_t page, int64_t number) { return page << 32 | number; }

/* Rows y0 to y1 of the decoded strip or tile, columns x0 to x1. */
static bool place_tile(pel__tiff_handle *h, const pel__tiff_geometry *g, const target *w, const tile *k, const int64_t yx[4], pel_error *err)
{
    const int64_t size = (int64_t)pel_dtype_size(w->dst->dtype), n = g->tile_width * k->samples, row_bytes = g->tile_bytes / g->tile_height;
    const int64_t skip = (yx[2] - k->x) * k->samples * size;
    if (g->packed && !need_room(&h->unpacked, &h->unpacked_room, n * size, err))
        return false;
    for (int64_t y = yx[0]; y < yx[1]; y++) {
        const uint8_t *row = (const uint8_t *)h->pixels + (y - k->y) * row_bytes;
        if (g->packed) {
            pel__tiff_unpack(g, row, n, h->unpacked);
            row = h->unpacked;
        }
        place_row(w, row + skip, y, yx[2], yx[3] - yx[2], k->first, k->samples);
    }
    return true;
}

static bool read_tile(pel__tiff *t, pel__tiff_handle *h, const pel__tiff_geometry *g, const target *w, tile *k, pel_error *err)
{
    const int64_t y0 = pel__max(w->y0, k->y), y1 = pel__min(w->y1, k->y + g->tile_height), x0 = pel__max(w->x0, k->x), x1 = pel__min(w->x1, k->x + g->tile_width);
    int failed = 0;
    const uint64_t at = TIFFGetStrileOffsetWithErr(h->tiff, (uint32_t)k->number, &failed);
    const uint64_t bytes = failed ? 0 : TIFFGetStrileByteCountWithErr(h->tiff, (uint32_t)k->number, &failed);
    if (failed || at > INT64_MAX || bytes > INT64_MAX)
        return complain(h, PEL_FORMAT, "no place for strip or tile", k->number, err);
    if (at == 0 || bytes == 0) { /* sparse: never written */
        for (int64_t y = y0; y < y1; y++)
            place_row(w, NULL, y, x0, x1 - x0, k->first, k->samples);
        return true;
    }
    k->at = (int64_t)at;
    k->bytes = (int64_t)bytes;
    if (pel__tiff_plain(g)) {
        const plain_part p = {.at = k->at, .row_bytes = g->tile_bytes / g->tile_height, .top = k->y, .left = k->x, .y0 = y0, .y1 = y1, .x0 = x0, .x1 = x1,
                              .first = k->first, .samples = k->samples, .swap = t->set.files[h->file_index].swap};
        return read_plain(h, w, &p, piece_number(h->page, k->number), err);
    }
    if (t->long_counts)
        k->bytes = pel__min(k->bytes, pel__max(1, pel__file_size(h->file) - k->at));
    return decode(h, g, k, err) && place_tile(h, g, w, k, (const int64_t[]){y0, y1, x0, x1}, err);
}

/* Does a strip or tile that failed read as zero? */
static bool tile_is_zero(pel__tiff *t, int64_t page, const pel__tiff_geometry *g, const target *w, const tile *k, pel_error *why)
{
    const int64_t x0 = pel__max(w->x0, k->x), x1 = pel__min(w->x1, k->x + g->tile_width);
    if (!pel__damage_take(t->base.damage, piece_number(page, k->number), why))
        return false;
    for (int64_t y = pel__max(w->y0, k->y); y < pel__min(w->y1, k->y + g->tile_height); y++)
        place_row(w, NULL, y, x0, x1 - x0, k->first, k->samples);
    return true;
}

/* A page without a directory. */
static bool read_raw(pel__tiff *t, pel__tiff_handle *h, const pel__tiff_page *page, const target *w, pel_error *err)
{
    const pel__tiff_geometry *g = &t->set.geometries[page->geometry];
    const plain_part p = {.at = page->offset, .row_bytes = g->tile_bytes / g->tile_height, .y0 = w->y0, .y1 = w->y1, .x0 = w->x0, .x1 = w->x1,
                          .samples = g->samples, .swap = t->set.files[page->file].swap};
    return use_file(t, h, page->file, err) && read_plain(h, w, &p, piece_number(page - t->set.pages, 0), err);
}

static bool read_page(pel__tiff *t, pel__tiff_handle *h, int64_t page, const target *w, pel_error *err)
{
    const pel__tiff_geometry *g = &t->set.geometries[t->set.pages[page].geometry];
    if (g->raw)
        return read_raw(t, h, &t->set.pages[page], w, err);
    pel_error unusable = {0};
    if (!use_page(t, h, page, &unusable)) {
        const tile all = {.number = UINT32_MAX, .samples = g->samples};
        const pel__tiff_geometry whole = {.tile_width = g->width, .tile_height = g->height};
        return tile_is_zero(t, page, &whole, w, &all, &unusable) || pel__fail(err, unusable.code, "%s", unusable.text);
    }
    const int64_t across = pel__ceil_div(g->width, g->tile_width), down = pel__ceil_div(g->height, g->tile_height);
    for (int32_t s = g->planar ? w->s0 : 0; s < (g->planar ? w->s1 : 1); s++)
        for (int64_t ty = w->y0 / g->tile_height; ty * g->tile_height < w->y1; ty++)
            for (int64_t tx = w->x0 / g->tile_width; tx * g->tile_width < w->x1; tx++) {
                tile k = {.number = (s * down + ty) * across + tx, .y = ty * g->tile_height, .x = tx * g->tile_width, .first = s,
                          .samples = g->planar ? 1 : g->samples};
                if (k.number > UINT32_MAX)
                    return pel__fail(err, PEL_UNSUPPORTED, "%s: more than 4294967295 strips or tiles in a page", t->base.path);
                pel_error why = {0};
                if (!read_tile(t, h, g, w, &k, &why) && !tile_is_zero(t, page, g, w, &k, &why))
                    return pel__fail(err, why.code, "%s", why.text);
            }
    return true;
}

/* ---- the read call ------------------------------------------------------------------------------------------- */

/* The wanted samples of one page: plane (t, group, z). */
static bool read_plane(pel__tiff *t, pel__tiff_handle *h, const pel__tiff_image *im, target *w, pel_error *err)
{
    const pel_region *r = &w->dst->region;
    const int32_t samples = t->set.geometries[im->geometry].samples;
    const int64_t group = w->at[PEL_C] / samples, zs = t->base.images[im - t->images].shape[PEL_Z];
    const int32_t page = im->page[(w->at[PEL_T] * im->groups + group) * zs + w->at[PEL_Z]];
    w->s0 = (int32_t)pel__max(0, r->origin[PEL_C] - w->at[PEL_C]);
    w->s1 = (int32_t)pel__min(samples, r->origin[PEL_C] + r->shape[PEL_C] - w->at[PEL_C]);
    if (page < 0) {
        for (int64_t y = w->y0; y < w->y1; y++)
            place_row(w, NULL, y, w->x0, w->x1 - w->x0, 0, samples);
        return true;
    }
    return read_page(t, h, page, w, err);
}

bool pel__tiff_read(pel_source *s, int32_t image, const pel_block *dst, pel_error *err)
{
    pel__tiff *t = (pel__tiff *)s;
    const pel__tiff_image *im = &t->images[image];
    const pel_region *r = &dst->region;
    if (pel__region_empty(r))
        return true;
    const int64_t samples = t->set.geometries[im->geometry].samples;
    const int64_t first_page = im->page[(r->origin[PEL_T] * im->groups + r->origin[PEL_C] / samples) * s->images[image].shape[PEL_Z] + r->origin[PEL_Z]];
    pel__tiff_handle *h = take_handle(t, first_page < 0 ? 0 : t->set.pages[first_page].file);
    if (!h)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory", s->path);
    target w = {.dst = dst, .damage = s->damage, .y0 = r->origin[PEL_Y], .y1 = r->origin[PEL_Y] + r->shape[PEL_Y], .x0 = r->origin[PEL_X], .x1 = r->origin[PEL_X] + r->shape[PEL_X]};
    pel_error trouble = {0};
    bool ok = true;
    for (int64_t it = r->origin[PEL_T]; ok && it < r->origin[PEL_T] + r->shape[PEL_T]; it++)
        for (int64_t c = r->origin[PEL_C] / samples * samples; ok && c < r->origin[PEL_C] + r->shape[PEL_C]; c += samples)
            for (int64_t z = r->origin[PEL_Z]; ok && z < r->origin[PEL_Z] + r->shape[PEL_Z]; z++) {
                w.at[PEL_T] = it;
                w.at[PEL_C] = c;
                w.at[PEL_Z] = z;
                ok = read_plane(t, h, im, &w, &trouble);
            }
    give_back(t, h);
    if (!ok && err)
        *err = trouble;
    return ok;
}

int64_t pel__tiff_thread_bytes(const pel__tiff *t)
{
    int64_t most = 0;
    for (int64_t g = 0; g < t->set.geometry_count; g++) {
        const pel__tiff_geometry *k = &t->set.geometries[g];
        if (!is_read(k))
            continue;
        const int64_t striles = pel__ceil_div(k->width, k->tile_width) * pel__ceil_div(k->height, k->tile_height) * (k->planar ? k->samples : 1);
        /* Offsets and counts of the page (16 bytes each), a chunk of rows; or the decoded tile, the compressed one, and
         * as much again for the window of the decoder. A tile that claims more than all bytes of the files can hold is
         * refused before memory is asked for. */
        const int64_t row = k->tile_bytes / k->tile_height, bytes = t->base.identity_size + t->base.others_size;
        const int64_t decoded = pel__min(k->tile_bytes, pel__expand_most(codec_of(k->compression)->packing, bytes));
        const int64_t pixels = pel__tiff_plain(k) ? pel__max(CHUNK_BYTES, row) : 2 * decoded + pel__min(coded_limit(k), bytes);
        const int64_t unpacked = k->packed ? 8 * row / k->bits * (int64_t)pel_dtype_size(k->dtype) : 0;
        most = pel__max(most, pixels + unpacked + 16 * striles);
    }
    return most + (1 << 20);
}
