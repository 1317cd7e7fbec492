/* SPDX-License-Identifier: MIT
 * Writes CZI (ZISRAW): file header, metadata XML, one sub-block a tile, directory. The layout is drawn in
 * docs/phantom.md. The header is written last, so that a torn file is no CZI at all. */
#include "sink/filewriter.h"

#include "core/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#define SEGMENT_HEAD 32
#define FILE_HEADER 544 /* whole segment */
#define FIXED_PART 256  /* of a sub-block: enough for 10 dimensions */
#define MOST_DIMENSIONS 7
#define ENTRY_BYTES(n) (32 + 20 * (n))

typedef struct writer {
    const pel__file_job *job;
    pel__out out;
    int64_t tiles, per_plane;
    int64_t *position; /* of each sub-block */
    int64_t metadata_at, directory_at;
} writer;

static int32_t pixel_type(pel_dtype type) { return type == PEL_U8 ? 0 : type == PEL_U16 ? 1 : 2; }
static const char *pixel_name(pel_dtype type) { return type == PEL_U8 ? "Gray8" : type == PEL_U16 ? "Gray16" : "Gray32Float"; }

/* ---- bytes --------------------------------------------------------------------------------------------------- */

static void put_segment(uint8_t *p, const char *id, int64_t used)
{
    memset(p, 0, SEGMENT_HEAD);
    for (int i = 0; id[i]; i++) /* the rest of the 16 bytes stays zero */
        p[i] = (uint8_t)id[i];
    pel__store_i64(p + 16, pel__round_up(used, 32));
    pel__store_i64(p + 24, used);
}

static uint8_t *put_dimension(uint8_t *p, char letter, int64_t start, int64_t size)
{
    memset(p, 0, 20);
    p[0] = (uint8_t)letter;
    pel__store_i32(p + 4, (int32_t)start);
    pel__store_i32(p + 8, (int32_t)size);
    pel__store_f32(p + 12, (float)start);
    pel__store_i32(p + 16, (int32_t)size);
    return p + 20;
}

static int32_t dimension_count(const writer *w) { return 5 + (w->job->image_count > 1) + (w->per_plane > 1); }

/* The directory entry of a tile; the sub-block holds a copy. Returns its bytes. */
static int64_t put_entry(const writer *w, const pel__tile *t, int64_t position, uint8_t *p)
{
    const pel_image *im = &w->job->images[t->image];
    memset(p, 0, 32);
    p[0] = 'D';
    p[1] = 'V';
    pel__store_i32(p + 2, pixel_type(im->dtype));
    pel__store_i64(p + 6, position);
    pel__store_i32(p + 18, w->job->codec == PEL__FILE_ZSTD1 ? 6 : 0);
    pel__store_i32(p + 28, dimension_count(w));
    uint8_t *d = p + 32;
    d = put_dimension(d, 'X', im->origin[PEL_X] + t->x, t->width);
    d = put_dimension(d, 'Y', im->origin[PEL_Y] + t->y, t->height);
    d = put_dimension(d, 'Z', t->z, 1);
    d = put_dimension(d, 'C', t->c, 1);
    d = put_dimension(d, 'T', t->t, 1);
    if (w->job->image_count > 1)
        d = put_dimension(d, 'S', t->image, 1);
    if (w->per_plane > 1)
        d = put_dimension(d, 'M', t->m, 1);
    return d - p;
}

static bool pad_segment(writer *w, int64_t used, pel_error *err)
{
    static const uint8_t zeros[32];
    return pel__out_append(&w->out, zeros, pel__round_up(used, 32) - used, err);
}

/* ---- tiles --------------------------------------------------------------------------------------------------- */

static int64_t bound(const pel__file_job *job, int64_t raw_bytes)
{
    return job->codec == PEL__FILE_ZSTD1 ? raw_bytes + 3 + (int64_t)ZSTD_compressBound((size_t)raw_bytes) : raw_bytes;
}

/* zstd1: a small header, then the frame. 16-bit samples go in as all low bytes, then all high bytes; they are laid out
 * at the end of `out`, behind the room that the frame can need. */
static int64_t encode(const pel__file_job *job, const pel__tile *tile, void *raw, int64_t raw_bytes, void *out, int64_t capacity)
{
    uint8_t *to = out;
    const uint8_t *from = raw;
    if (job->codec != PEL__FILE_ZSTD1) {
        memcpy(to, from, (size_t)raw_bytes);
        return raw_bytes;
    }
    const bool hilo = job->images[0].dtype == PEL_U16;
    const int64_t head = hilo ? 3 : 1, n = raw_bytes / 2;
    if (hilo) {
        uint8_t *planes = to + capacity - raw_bytes;
        for (int64_t i = 0; i < n; i++) {
            planes[i] = from[2 * i];
            planes[n + i] = from[2 * i + 1];
        }
        from = planes;
        to[0] = 3;
        to[1] = to[2] = 1;
    } else {
        to[0] = 1;
    }
    const size_t done = ZSTD_compress(to + head, ZSTD_compressBound((size_t)raw_bytes), from, (size_t)raw_bytes, 1);
    return ZSTD_isError(done) ? 0 : head + (int64_t)done;
}

static bool emit(void *arg, const pel__tile *t, const void *data, int64_t n, pel_error *err)
{
    writer *w = arg;
    uint8_t head[SEGMENT_HEAD + FIXED_PART] = {0};
    const int64_t used = FIXED_PART + n;
    w->position[t->index] = w->out.end;
    put_segment(head, "ZISRAWSUBBLOCK", used);
    pel__store_i64(head + 40, n);
    (void)put_entry(w, t, w->out.end, head + 48);
    return pel__out_append(&w->out, head, sizeof head, err) && pel__out_append(&w->out, data, n, err) && pad_segment(w, used, err);
}

/* ---- metadata ------------------------------------------------------------------------------------------------ */

static void put_channels(FILE *f, const pel_image *im, bool display)
{
    const double most = im->dtype == PEL_U8 ? 255.0 : im->dtype == PEL_U16 ? 65535.0 : 1.0;
    (void)fputs("<Channels>", f);
    for (int64_t c = 0; c < im->shape[PEL_C]; c++) {
        const pel_channel *ch = &im->channels[c];
        (void)fprintf(f, "<Channel Id=\"Channel:%" PRId64 "\" Name=\"", c);
        pel__out_xml(f, ch->name);
        (void)fprintf(f, "\"><Color>#FF%06X</Color>", (unsigned)ch->rgb);
        if (display && most > 1.0)
            (void)fprintf(f, "<Low>%.9g</Low><High>%.9g</High>", ch->window_start / most, ch->window_end / most);
        if (!display)
            (void)fprintf(f, "<PixelType>%s</PixelType>", pixel_name(im->dtype));
        if (!display && ch->excitation_nm > 0.0)
            (void)fprintf(f, "<ExcitationWavelength>%.9g</ExcitationWavelength>", ch->excitation_nm);
        if (!display && ch->emission_nm > 0.0)
            (void)fprintf(f, "<EmissionWavelength>%.9g</EmissionWavelength>", ch->emission_nm);
        (void)fputs("</Channel>", f);
    }
    (void)fputs("</Channels>", f);
}

static void put_scenes(FILE *f, const pel__file_job *job)
{
    (void)fputs("<S><Scenes>", f);
    for (int32_t i = 0; i < job->image_count; i++) {
        (void)fprintf(f, "<Scene Index=\"%d\" Name=\"", i);
        pel__out_xml(f, job->images[i].name);
        (void)fputs("\"/>", f);
    }
    (void)fputs("</Scenes></S>", f);
}

/* Extent of all images along one axis: scenes lie side by side. */
static int64_t extent(const pel__file_job *job, int axis)
{
    int64_t lo = INT64_MAX, hi = INT64_MIN;
    for (int32_t i = 0; i < job->image_count; i++) {
        lo = pel__min(lo, job->images[i].origin[axis]);
        hi = pel__max(hi, job->images[i].origin[axis] + job->images[i].shape[axis]);
    }
    return hi - lo;
}

static void put_information(FILE *f, const writer *w)
{
    const pel__file_job *job = w->job;
    const pel_image *im = &job->images[0];
    (void)fprintf(f, "<Information><Application><Name>pellucid</Name></Application><Image><SizeX>%" PRId64 "</SizeX><SizeY>%" PRId64 "</SizeY>",
                  extent(job, PEL_X), extent(job, PEL_Y));
    (void)fprintf(f, "<SizeZ>%" PRId64 "</SizeZ><SizeC>%" PRId64 "</SizeC><SizeT>%" PRId64 "</SizeT>", im->shape[PEL_Z], im->shape[PEL_C], im->shape[PEL_T]);
    if (job->image_count > 1)
        (void)fprintf(f, "<SizeS>%d</SizeS>", job->image_count);
    if (w->per_plane > 1)
        (void)fprintf(f, "<SizeM>%" PRId64 "</SizeM>", w->per_plane);
    (void)fprintf(f, "<PixelType>%s</PixelType><ComponentBitCount>%d</ComponentBitCount><Dimensions>", pixel_name(im->dtype), 8 * (int)pel_dtype_size(im->dtype));
    put_channels(f, im, false);
    if (im->pixel_size[PEL_T] > 0.0)
        (void)fprintf(f, "<T><Positions><Interval><Start>0</Start><Increment>%.17g</Increment></Interval></Positions></T>", im->pixel_size[PEL_T]);
    if (im->pixel_size[PEL_Z] > 0.0)
        (void)fprintf(f, "<Z><Positions><Interval><Start>0</Start><Increment>%.17g</Increment></Interval></Positions></Z>", im->pixel_size[PEL_Z]);
    if (job->image_count > 1)
        put_scenes(f, job);
    (void)fputs("</Dimensions></Image></Information>", f);
}

static void put_document(FILE *f, const void *arg)
{
    const writer *w = arg;
    static const char letters[] = "TCZYX";
    const pel_image *im = &w->job->images[0];
    (void)fputs("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<ImageDocument><Metadata>", f);
    put_information(f, w);
    (void)fputs("<Scaling><Items>", f);
    for (int a = PEL_X; a >= PEL_Z; a--)
        if (im->pixel_size[a] > 0.0)
            (void)fprintf(f, "<Distance Id=\"%c\"><Value>%.17g</Value><DefaultUnitFormat>\xC2\xB5m</DefaultUnitFormat></Distance>", letters[a],
                          im->pixel_size[a] * 1e-6);
    (void)fputs("</Items></Scaling><DisplaySetting>", f);
    put_channels(f, im, true);
    (void)fputs("</DisplaySetting></Metadata></ImageDocument>\n", f);
}

static bool write_metadata(writer *w, pel_error *err)
{
    size_t n = 0;
    char *xml = pel__out_text(put_document, w, &n);
    if (!xml || n > INT32_MAX / 2) {
        free(xml);
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for the metadata", w->job->path);
    }
    uint8_t head[SEGMENT_HEAD + FIXED_PART] = {0};
    const int64_t used = FIXED_PART + (int64_t)n;
    put_segment(head, "ZISRAWMETADATA", used);
    pel__store_i32(head + 32, (int32_t)n);
    w->metadata_at = w->out.end;
    const bool ok = pel__out_append(&w->out, head, sizeof head, err) && pel__out_append(&w->out, xml, (int64_t)n, err) && pad_segment(w, used, err);
    free(xml);
    return ok;
}

/* ---- directory and header ------------------------------------------------------------------------------------ */

#define CHUNK 512 /* entries made at once */

static bool write_directory(writer *w, pel_error *err)
{
    uint8_t head[SEGMENT_HEAD + 128] = {0};
    const int64_t entry = ENTRY_BYTES(dimension_count(w)), used = 128 + w->tiles * entry;
    uint8_t *buffer = malloc((size_t)(CHUNK * ENTRY_BYTES(MOST_DIMENSIONS)));
    if (!buffer)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for the directory", w->job->path);
    put_segment(head, "ZISRAWDIRECTORY", used);
    pel__store_i32(head + 32, (int32_t)w->tiles);
    w->directory_at = w->out.end;
    bool ok = pel__out_append(&w->out, head, sizeof head, err);
    for (int64_t first = 0; ok && first < w->tiles; first += CHUNK) {
        int64_t n = 0;
        for (int64_t i = first; i < pel__min(first + CHUNK, w->tiles); i++) {
            const pel__tile t = pel__tile_at(w->job, i);
            n += put_entry(w, &t, w->position[i], buffer + n);
        }
        ok = pel__out_append(&w->out, buffer, n, err);
    }
    free(buffer);
    return ok && pad_segment(w, used, err);
}

/* A version 4 UUID from the seed (the finishing step of SplitMix64 twice). */
static void put_guid(uint8_t *p, uint64_t seed)
{
    for (uint64_t i = 1; i <= 2; i++) {
        uint64_t v = seed + i * UINT64_C(0x9E3779B97F4A7C15);
        v = (v ^ (v >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        v = (v ^ (v >> 27)) * UINT64_C(0x94D049BB133111EB);
        pel__store_u64(p + 8 * (i - 1), v ^ (v >> 31));
    }
    p[7] = (uint8_t)((p[7] & 0x0F) | 0x40);
    p[8] = (uint8_t)((p[8] & 0x3F) | 0x80);
}

static bool write_header(writer *w, pel_error *err)
{
    uint8_t head[FILE_HEADER] = {0};
    put_segment(head, "ZISRAWFILE", FILE_HEADER - SEGMENT_HEAD);
    pel__store_i32(head + 32, 1);
    put_guid(head + 48, w->job->seed);
    put_guid(head + 64, w->job->seed);
    pel__store_i64(head + 84, w->directory_at);
    pel__store_i64(head + 92, w->metadata_at);
    return pel__out_at(&w->out, 0, head, sizeof head, err);
}

static bool check(const pel__file_job *job, pel_error *err)
{
    const pel_dtype type = job->images[0].dtype;
    if (type != PEL_U8 && type != PEL_U16 && type != PEL_F32)
        return pel__fail(err, PEL_UNSUPPORTED, "%s: CZI cannot hold %s", job->path, pel_dtype_name(type));
    if (job->codec == PEL__FILE_DEFLATE)
        return pel__fail(err, PEL_ARGUMENT, "%s: CZI knows no deflate: use raw or zstd1", job->path);
    if (job->tile_y < 1 || job->tile_x < 1 || job->overlap < 0 || job->overlap >= pel__min(job->tile_y, job->tile_x))
        return pel__fail(err, PEL_ARGUMENT, "%s: tiles of %" PRId64 " x %" PRId64 " with overlap %" PRId64 ": the overlap must be smaller than a tile", job->path,
                         job->tile_y, job->tile_x, job->overlap);
    for (int32_t i = 0; i < job->image_count; i++)
        for (int a = 0; a < PEL_AXES; a++)
            if (job->images[i].origin[a] < INT32_MIN || job->images[i].origin[a] + job->images[i].shape[a] > INT32_MAX)
                return pel__fail(err, PEL_ARGUMENT, "%s: image %d lies outside the 32-bit coordinates of CZI", job->path, i);
    return true;
}

bool pel__czi_write(const pel__file_job *job, pel_error *err)
{
    static const pel__tile_codec codec = {.bound = bound, .encode = encode};
    static const uint8_t zeros[FILE_HEADER];
    writer w = {.job = job, .out = {.fd = -1}};
    if (!check(job, err) || !pel__tile_count(job, &w.per_plane, &w.tiles, err))
        return false;
    w.position = malloc((size_t)w.tiles * sizeof *w.position);
    bool ok = w.position || pel__fail(err, PEL_NO_MEMORY, "%s: no memory for the places of %" PRId64 " tiles", job->path, w.tiles);
    ok = ok && pel__out_open(&w.out, job->path, err) && pel__out_append(&w.out, zeros, sizeof zeros, err);
    ok = ok && write_metadata(&w, err) && pel__pump_tiles(job, &codec, emit, &w, err);
    ok = ok && write_directory(&w, err) && write_header(&w, err) && pel__out_commit(&w.out, err);
    pel__out_abandon(&w.out);
    free(w.position);
    return ok;
}
