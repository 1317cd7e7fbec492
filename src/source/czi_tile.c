/* SPDX-License-Identifier: MIT
 * One tile: where its bytes lie, what they are, and its pixels. Sizes are checked before memory is asked for: against the
 * directory, the file's length, and what a compressed stream can possibly hold. */
#include "source/czi.h"

#include "codec/expand.h"
#include "codec/jxr.h"
#include "codec/unzstd.h"
#include "core/bytes.h"
#include "core/error.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define SLACK INT64_C(65536)

static const uint8_t mask_guid[16] = {0x67, 0xEA, 0xE3, 0xCB, 0xFC, 0x5B, 0x2B, 0x49,
                                      0xA1, 0x6A, 0xEC, 0xE3, 0x78, 0x03, 0x14, 0x48};

/* ---- scratch ------------------------------------------------------------------------------------------------ */

/* Callers ask for the most that any tile of the file needs, so that a buffer is allocated once and never fragments. */
bool pel__czi_grow(uint8_t **buffer, int64_t *size, int64_t want, pel_error *err)
{
    if (*buffer && *size >= want)
        return true;
    free(*buffer); /* the old content is never needed: no copy */
    *size = 0;
    *buffer = malloc((size_t)pel__max(want, 1));
    if (!*buffer)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %lld bytes of a tile", (long long)want);
    *size = want;
    return true;
}

pel__czi_scratch *pel__czi_scratch_take(pel__czi *czi)
{
    (void)pthread_mutex_lock(&czi->lock);
    pel__czi_scratch *s = czi->free_scratch;
    if (s)
        czi->free_scratch = s->next;
    (void)pthread_mutex_unlock(&czi->lock);
    if (!s) {
        s = calloc(1, sizeof *s);
        if (s)
            s->held = -1;
    }
    return s;
}

void pel__czi_scratch_give(pel__czi *czi, pel__czi_scratch *s)
{
    if (!s)
        return;
    (void)pthread_mutex_lock(&czi->lock);
    s->next = czi->free_scratch;
    czi->free_scratch = s;
    (void)pthread_mutex_unlock(&czi->lock);
}

void pel__czi_scratch_free(pel__czi_scratch *s)
{
    if (!s)
        return;
    free(s->payload);
    free(s->decoded);
    free(s->row);
    free(s->mask);
    pel__unzstd_destroy(s->zstd);
    pel__jxr_destroy(s->jxr);
    free(s);
}

/* Longest compressed stream that a tile of `decoded` bytes may have; what is longer is surplus and not read. JPEG XR packs
 * whole blocks of 16 x 16 pixels. */
static int64_t payload_bound(const pel__czi_tile *t, int64_t decoded)
{
    const int64_t pixel = decoded / t->stored_w / t->stored_h;
    const int64_t packed = t->compression == PEL__CZI_JXR
                               ? pel__round_up(t->stored_w, 16) * pel__round_up(t->stored_h, 16) * pixel : decoded;
    return packed + packed / 4 + SLACK;
}

/* What a stream may unpack to when it holds more than the tile. */
static int64_t surplus_bound(int64_t decoded)
{
    return decoded + decoded / 4 + SLACK;
}

int64_t pel__czi_scratch_bytes(const pel__czi *czi)
{
    int64_t n = (int64_t)sizeof(pel__czi_scratch) + PEL__CZI_ROW_BYTES + 4096;
    n += czi->max_payload;
    n += czi->any_zstd ? surplus_bound(czi->max_decoded) + PEL__UNZSTD_BYTES : czi->max_decoded;
    return n + czi->max_helper + (czi->use_mask ? czi->max_masked : 0);
}

/* Can a payload of n bytes be the tile's pixels? Little claims are believed; rows that a raw one lacks read as zero. */
static bool can_hold(const pel__czi_tile *t, int64_t n, int64_t decoded)
{
    const enum pel__packing packing = t->compression == PEL__CZI_JXR ? PEL__PACK_JXR
                                    : t->compression == PEL__CZI_ZSTD0 || t->compression == PEL__CZI_ZSTD1 ? PEL__PACK_ZSTD : PEL__PACK_NONE;
    const int64_t most = pel__expand_most(packing, n);
    return decoded <= SLACK || decoded - SLACK <= (packing == PEL__PACK_NONE ? pel__max(most, 0) * 2 : most);
}

#define MOST_DISBELIEVED 256

/* Looked at where a claim is larger than all that were believed so far: a few tiles of a file. Of a file that is damaged all
 * over every claim is believed after some looks: each costs a read. */
static bool is_plausible(pel__czi *czi, const pel__czi_tile *t, int64_t decoded)
{
    if (czi->disbelieved >= MOST_DISBELIEVED)
        return true;
    pel__file *const file = t->part < czi->part_count ? czi->parts[t->part].file : NULL;
    pel__czi_subblock sub;
    const bool ok = file && pel__czi_read_subblock(&sub, file, t->position, NULL) && can_hold(t, sub.data_size, decoded);
    czi->disbelieved += !ok;
    return ok;
}

void pel__czi_count_tile(pel__czi *czi, const pel__czi_tile *t)
{
    const int64_t decoded = pel__czi_decoded_bytes(t), masked = czi->use_mask ? ((int64_t)t->stored_w + 7) / 8 * t->stored_h : 0;
    const bool zstd = t->compression == PEL__CZI_ZSTD0 || t->compression == PEL__CZI_ZSTD1;
    const bool jxr = t->compression == PEL__CZI_JXR, whole = zstd || jxr || (t->flags & PEL__CZI_SCALED);
    czi->any_zstd = czi->any_zstd || zstd;
    czi->any_jxr = czi->any_jxr || jxr;
    if (decoded < 0 || decoded > PEL__CZI_LARGEST_TILE || (t->flags & PEL__CZI_DOUBTED))
        return; /* reading it fails */
    const int64_t packed = zstd || jxr ? payload_bound(t, decoded) : 0;
    const int64_t helper = jxr ? pel__jxr_helper_bytes(packed, t->stored_w, t->stored_h, decoded / t->stored_w / t->stored_h) : 0;
    const bool larger = packed > czi->max_payload || helper > czi->max_helper || (whole && decoded > czi->max_decoded) ||
                        masked > czi->max_masked;
    if (!larger || !is_plausible(czi, t, decoded))
        return;
    czi->max_payload = pel__max(czi->max_payload, packed);
    czi->max_helper = pel__max(czi->max_helper, helper);
    czi->max_decoded = whole ? pel__max(czi->max_decoded, decoded) : czi->max_decoded;
    czi->max_masked = pel__max(czi->max_masked, masked);
}

/* ---- where and what ----------------------------------------------------------------------------------------- */

int64_t pel__czi_decoded_bytes(const pel__czi_tile *t)
{
    const pel__czi_pixel *p = pel__czi_pixel_type(t->pixel);
    int64_t n = 0;
    if (!p || !pel__mul(t->stored_w, t->stored_h, &n) || !pel__mul(n, p->bytes, &n))
        return -1;
    return n;
}

static bool has_stream(const uint8_t *head, const pel__czi_tile *t)
{
    static const uint8_t zstd[4] = {0x28, 0xB5, 0x2F, 0xFD}, jxr[4] = {0x49, 0x49, 0xBC, 0x01};
    if (t->compression == PEL__CZI_JXR)
        return memcmp(head, jxr, 4) == 0;
    if (t->compression == PEL__CZI_ZSTD0)
        return memcmp(head, zstd, 4) == 0;
    return memcmp(head + 1, zstd, 4) == 0 || memcmp(head + 3, zstd, 4) == 0;
}

/* Tiles flagged as compressed whose payload is plain pixels exist: exact size, and no stream begins there. */
static bool settle_raw(bool *raw, pel__file *file, const pel__czi_tile *t, const pel__czi_subblock *sub, int64_t size,
                       pel_error *err)
{
    uint8_t head[8];
    *raw = t->compression == PEL__CZI_RAW;
    if (*raw)
        return true;
    if (t->compression >= PEL__CZI_SYSTEM_RAW) {
        *raw = true;
        return sub->data_size == size || pel__fail(err, PEL_UNSUPPORTED, "camera's own format %d, not plain pixels (%lld bytes, "
                                                   "expected %lld)", t->compression, (long long)sub->data_size, (long long)size);
    }
    if (t->compression >= PEL__CZI_CAMERA_RAW || t->compression < 0)
        return pel__fail(err, PEL_UNSUPPORTED, "compression %d, a packing of the camera's own, which pellucid does not read: save the file once in ZEN",
                         t->compression);
    if (t->compression != PEL__CZI_JXR && t->compression != PEL__CZI_ZSTD0 && t->compression != PEL__CZI_ZSTD1)
        return pel__fail(err, PEL_UNSUPPORTED, "compression %d%s, which pellucid does not read", t->compression,
                         t->compression == PEL__CZI_JPEG ? " (JPEG)" : t->compression == PEL__CZI_LZW ? " (LZW)"
                         : t->compression == PEL__CZI_JPEG_LL ? " (lossless JPEG)" : "");
    if (sub->data_size != size || size < (int64_t)sizeof head)
        return true;
    if (!pel__file_read(file, sub->data, head, sizeof head, err))
        return false;
    *raw = !has_stream(head, t);
    return true;
}

static bool open_tile(pel__czi_subblock *out, bool *raw, const pel__czi *czi, const pel__czi_tile *t, pel_error *err)
{
    const int64_t size = pel__czi_decoded_bytes(t);
    pel__file *file = t->part < czi->part_count ? czi->parts[t->part].file : NULL;
    char name[PEL__PATH_MAX];
    if (!file && pel__czi_missing_part(czi, t->part, name, sizeof name))
        return pel__fail(err, PEL_NOT_FOUND, "it lies in part %d of the file set, which is not here: looked for %s", t->part & ~PEL__CZI_PART_MISSING, name);
    if (!file)
        return pel__fail(err, PEL_NOT_FOUND, "it lies in a part of the file set that is not here");
    if (t->flags & PEL__CZI_DOUBTED)
        return pel__fail(err, PEL_DAMAGED, "its sub-block contradicts the directory: one of the two is damaged");
    if (t->stack_axis)
        return pel__fail(err, PEL_UNSUPPORTED, "it holds a whole series along %c, which pellucid does not read", t->stack_axis);
    if (size < 0 || size > PEL__CZI_LARGEST_TILE)
        return pel__fail(err, PEL_DAMAGED, "it is said to hold %d x %d pixels", t->stored_w, t->stored_h);
    if (!pel__czi_read_subblock(out, file, t->position, err))
        return false;
    if (t->flags & PEL__CZI_SLICE) {
        const int64_t before = size * pel__czi_slice(czi, t - czi->tiles); /* checked when it was split */
        out->data += pel__min(before, out->data_size);
        out->data_size = pel__min(size, out->data_size - pel__min(before, out->data_size));
    }
    return settle_raw(raw, file, t, out, size, err);
}

bool pel__czi_missing_part(const pel__czi *czi, uint16_t part, char *text, size_t size)
{
    const int number = part & ~PEL__CZI_PART_MISSING;
    const char *const path = czi->base.path, *const slash = strrchr(path, '/'), *const base = slash ? slash + 1 : path;
    const size_t n = strlen(base);
    if (!(part & PEL__CZI_PART_MISSING) || number == 0 || n < 4 || czi->parts[0].number != 0)
        return false;
    const int used = snprintf(text, size, "%.*s(%d)%s and \"%.*s (%d)%s\" beside it", (int)n - 4, base, number, base + n - 4, (int)n - 4, base, number, base + n - 4);
    return used > 0 && (size_t)used < size;
}

bool pel__czi_where_tile(const pel__czi *czi, int64_t tile, pel_error *err)
{
    const pel__czi_tile *t = &czi->tiles[tile];
    const char *path = t->part < czi->part_count ? pel__file_path(czi->parts[t->part].file) : czi->base.path;
    const bool named = err && strncmp(err->text, path, strlen(path)) == 0;
    return pel__where(err, "%s%stile %lld (C %d, T %d, Z %d, at %lld): ", named ? "" : path, named ? "" : ": ", (long long)tile,
                      t->c, t->t, t->z, (long long)t->position);
}

bool pel__czi_tile_open(pel__czi_subblock *out, bool *raw, const pel__czi *czi, int64_t tile, pel_error *err)
{
    const pel__czi_tile *t = &czi->tiles[tile];
    return open_tile(out, raw, czi, t, err) || pel__czi_where_tile(czi, tile, err);
}

/* ---- pixels ------------------------------------------------------------------------------------------------- */

/* Header of a zstd1 payload: its length and whether hi-lo follows. */
static bool zstd1_header(int64_t *length, bool *hilo, const uint8_t *p, int64_t n, pel_error *err)
{
    *hilo = false;
    *length = n > 0 ? p[0] : 0;
    if (*length == 1)
        return true;
    if (n < 3 || *length != 3 || p[1] != 1)
        return pel__fail(err, PEL_DAMAGED, "zstd1 header %02X %02X %02X, expected 01 or 03 01", n > 0 ? p[0] : 0,
                         n > 1 ? p[1] : 0, n > 2 ? p[2] : 0);
    *hilo = (p[2] & 1) != 0;
    return true;
}

static bool decode_zstd(const pel__czi *czi, pel__czi_scratch *s, const pel__czi_tile *t, int64_t n, int64_t size, pel_error *err)
{
    const int64_t most = pel__max(size, czi->max_decoded);
    int64_t skip = 0;
    size_t got = 0;
    bool hilo = false;
    if (t->compression == PEL__CZI_ZSTD1 && !zstd1_header(&skip, &hilo, s->payload, n, err))
        return false;
    s->held_form = hilo ? PEL__CZI_HILO : 0;
    if (hilo && pel_dtype_size(pel__czi_pixel_type(t->pixel)->dtype) != 2)
        return pel__fail(err, PEL_FORMAT, "hi-lo packing of pixels that do not have 16 bits");
    const int64_t told = pel__unzstd_size(s->payload + skip, (size_t)(n - skip));
    if (told > surplus_bound(size))
        return pel__fail(err, PEL_DAMAGED, "its stream unpacks to %lld bytes, expected %lld", (long long)told, (long long)size);
    if (!pel__czi_grow(&s->decoded, &s->decoded_size, pel__max(told, most), err) ||
        !pel__unzstd_decode(&s->zstd, s->decoded, (size_t)s->decoded_size, &got, s->payload + skip, (size_t)(n - skip), err))
        return false;
    if ((int64_t)got < size) {
        memset(s->decoded + got, 0, (size_t)size - got);
        s->held_form |= PEL__CZI_SHORT;
    }
    return true;
}

static bool decode_jxr(pel__czi *czi, pel__czi_scratch *s, const pel__czi_tile *t, int64_t n, int64_t size, pel_error *err)
{
    const pel__jxr_request request = {PEL__JXR_MAGIC, t->pixel, t->stored_w, t->stored_h, n, size, pel__jxr_seconds(size)};
    if (!czi->jxr_helper)
        return pel__fail(err, PEL_UNSUPPORTED, "it is compressed with JPEG XR; the program " PEL__JXR_PROGRAM
                                               " that decodes it was not found or not built");
    return pel__czi_grow(&s->decoded, &s->decoded_size, pel__max(size, czi->max_decoded), err) &&
           pel__jxr_decode(&s->jxr, czi->jxr_helper, &request, s->payload, s->decoded, err);
}

static bool decode_raw(pel__czi_scratch *s, pel__file *file, const pel__czi_subblock *sub, int64_t size, pel_error *err)
{
    const int64_t n = pel__min(sub->data_size, size);
    if (!pel__czi_grow(&s->decoded, &s->decoded_size, size, err) || !pel__file_read(file, sub->data, s->decoded, (size_t)n, err))
        return false;
    memset(s->decoded + n, 0, (size_t)(size - n));
    return true;
}

static bool decode(pel__czi *czi, pel__czi_scratch *s, const pel__czi_tile *t, const pel__czi_subblock *sub, bool raw,
                   pel_error *err)
{
    const int64_t size = pel__czi_decoded_bytes(t), n = pel__min(sub->data_size, payload_bound(t, size));
    pel__file *file = czi->parts[t->part].file;
    if (!can_hold(t, sub->data_size, size))
        return pel__fail(err, PEL_DAMAGED, "%lld bytes cannot hold its %d x %d pixels", (long long)sub->data_size, t->stored_w,
                         t->stored_h);
    if (raw)
        return decode_raw(s, file, sub, size, err);
    if (!pel__czi_grow(&s->payload, &s->payload_size, pel__max(n, czi->max_payload), err) || !pel__file_read(file, sub->data, s->payload, (size_t)n, err))
        return false;
    return t->compression == PEL__CZI_JXR ? decode_jxr(czi, s, t, n, size, err) : decode_zstd(czi, s, t, n, size, err);
}

/* Offers what the scratch holds to the cache. Buffers larger than a slot (streams with surplus) stay where they are. */
static pel__czi_slot *share(pel__czi *czi, pel__czi_scratch *s)
{
    if (!czi->cache || s->passes || s->decoded_size > czi->max_decoded)
        return NULL;
    pel__czi_slot *slot = pel__czi_cache_put(czi->cache, s->held, &s->decoded, &s->decoded_size, s->held_form);
    if (slot)
        s->held = -1;
    return slot;
}

bool pel__czi_decode(pel__czi_pixels *out, pel__czi *czi, pel__czi_scratch *s, int64_t tile, const pel__czi_subblock *sub,
                     bool raw, pel_error *err)
{
    const pel__czi_tile *t = &czi->tiles[tile];
    *out = (pel__czi_pixels){.w = t->stored_w, .h = t->stored_h};
    if (s->held != tile) {
        out->slot = pel__czi_cache_get(czi->cache, tile, &out->data, &out->form);
        if (out->slot)
            return true;
        s->held = -1;
        s->held_form = 0;
        if (!decode(czi, s, t, sub, raw, err))
            return pel__czi_where_tile(czi, tile, err);
        s->held = tile;
    }
    out->data = s->decoded;
    out->form = s->held_form;
    out->slot = share(czi, s);
    return true;
}

void pel__czi_release(pel__czi *czi, pel__czi_pixels *pixels)
{
    pel__czi_cache_release(czi->cache, pixels->slot);
    *pixels = (pel__czi_pixels){0};
}

/* ---- masks -------------------------------------------------------------------------------------------------- */

/* Finds the mask among the chunks of the attachment: GUID, int32 size, payload, one after the other. */
static bool find_mask(int64_t *at, int64_t *size, pel__file *file, const pel__czi_subblock *sub)
{
    const int64_t end = pel__min(sub->attachment + sub->attachment_size, pel__file_size(file));
    int64_t p = sub->attachment;
    for (int chunks = 0; chunks < 64 && p <= end - 20; chunks++) {
        uint8_t head[20];
        if (!pel__file_read(file, p, head, sizeof head, NULL))
            return false;
        const int64_t n = pel__load_i32(head + 16);
        if (n < 0 || n > end - p - 20)
            return false;
        if (memcmp(head, mask_guid, 16) == 0) {
            *at = p + 20;
            *size = n;
            return true;
        }
        p += 20 + n;
    }
    return false;
}

/* Bits of the part of the mask that lies on the tile: rows packed to whole bytes. */
static bool read_mask(pel__czi_mask *out, pel__czi_scratch *s, const pel__czi_tile *t, pel__file *file, int64_t at, int64_t size,
                      pel_error *err)
{
    uint8_t head[16];
    if (size < 16 || !pel__file_read(file, at, head, sizeof head, NULL))
        return true;
    const int64_t w = pel__load_u32(head), h = pel__load_u32(head + 4), stride = pel__load_u32(head + 12);
    if (pel__load_u32(head + 8) != 0 || stride < (w + 7) / 8 || h > (size - 16) / pel__max(stride, 1))
        return pel__fail(err, PEL_DAMAGED, "its mask of valid pixels (%lld x %lld, %lld bytes a row) does not fit its %lld bytes",
                         (long long)w, (long long)h, (long long)stride, (long long)size);
    const int64_t keep_w = pel__min(w, t->stored_w), keep_h = pel__min(h, t->stored_h), row = (keep_w + 7) / 8;
    if (!pel__czi_grow(&s->mask, &s->mask_size, pel__max(row * keep_h, 1), err))
        return false;
    for (int64_t y = 0; y < keep_h; y++) {
        if (!pel__file_read(file, at + 16 + y * stride, s->mask + y * row, (size_t)row, err))
            return false;
    }
    *out = (pel__czi_mask){s->mask, row, keep_w, keep_h};
    return true;
}

bool pel__czi_load_mask(pel__czi_mask *out, pel__czi *czi, pel__czi_scratch *s, int64_t tile, const pel__czi_subblock *sub,
                        pel_error *err)
{
    const pel__czi_tile *t = &czi->tiles[tile];
    pel__file *file = czi->parts[t->part].file;
    int64_t at = 0, size = 0;
    *out = (pel__czi_mask){0};
    if (!czi->use_mask || sub->attachment_size < 36 || !find_mask(&at, &size, file, sub))
        return true;
    return read_mask(out, s, t, file, at, size, err) || pel__czi_where_tile(czi, tile, err);
}

/* ---- one whole tile ------------------------------------------------------------------------------------------ */

static void hand_out(void *out, const pel__czi_pixels *p, int64_t size)
{
    assert(p->data);
    if (p->form & PEL__CZI_HILO)
        pel__hilo_unpack(out, p->data, p->data + size / 2, size / 2);
    else
        memcpy(out, p->data, (size_t)size);
}

bool pel__czi_tile_pixels(pel__czi *czi, int64_t tile, void *out, int64_t size, pel_error *err)
{
    pel__czi_subblock sub;
    pel__czi_pixels pixels = {0};
    bool raw = false;
    if (tile < 0 || tile >= czi->tile_count || size != pel__czi_decoded_bytes(&czi->tiles[tile]))
        return pel__fail(err, PEL_ARGUMENT, "%s: no tile %lld of %lld bytes", czi->base.path, (long long)tile, (long long)size);
    if (!pel__czi_tile_open(&sub, &raw, czi, tile, err))
        return false;
    pel__czi_scratch *s = pel__czi_scratch_take(czi);
    if (!s)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to read", czi->base.path);
    const bool ok = pel__czi_decode(&pixels, czi, s, tile, &sub, raw, err);
    if (ok)
        hand_out(out, &pixels, size);
    pel__czi_release(czi, &pixels);
    pel__czi_scratch_give(czi, s);
    return ok;
}
