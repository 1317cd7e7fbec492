/* SPDX-License-Identifier: MIT
 * Zeiss LSM: tag 34412 (CZ_LSMINFO) says the sizes; a page is all channels of a plane, beside its thumbnail. Little-endian only. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"
#include "core/number.h"
#include "core/text.h"

#include <inttypes.h>
#include <stdlib.h>

#define INFO_BYTES 272 /* of CZ_LSMINFO, up to what is needed */
#define MOST_COLOURS 65536

typedef struct lsm {
    uint8_t info[INFO_BYTES]; /* zero behind what the file has */
    int64_t size[3];          /* t, c, z */
    int64_t positions;
    uint32_t scan;
} lsm;

/* What the rows of a page are, and whether pages are along time and depth, by ScanType. */
static const struct {
    char rows;
    bool times, depth;
} scans[] = {
    {'y', true, true}, {'z', false, false}, {'t', false, false}, {'y', true, true}, {'z', true, false}, {'t', false, false}, {'y', true, true},
    {'y', true, true}, {'z', false, false}, {'z', true, false}, {'t', false, false},
};

static bool detect(const pel__tiff *t, const pel__tiff_head *head) { return pel__tiff_tag_count(&head->dir, PEL__TAG_LSM) > 0; }

static int64_t positive(const lsm *l, int at) { return pel__max(1, pel__load_i32(l->info + at)); }

static bool load_info(lsm *l, const pel__tiff_head *head, pel_error *err)
{
    const int64_t n = pel__min(pel__tiff_tag_count(&head->dir, PEL__TAG_LSM), INFO_BYTES);
    if (n < 96 || head->dir.swap || !pel__tiff_tag_bytes(&head->dir, PEL__TAG_LSM, 0, l->info, n, NULL))
        return pel__fail(err, PEL_FORMAT, "a Zeiss LSM whose tag %d holds %" PRId64 " bytes, expected 96 or more in little-endian order", PEL__TAG_LSM, n);
    const uint32_t magic = pel__load_u32(l->info);
    if (magic != 0x0300494C && magic != 0x0400494C)
        return pel__fail(err, PEL_FORMAT, "a Zeiss LSM whose tag %d begins with %08X, expected 0300494C or 0400494C", PEL__TAG_LSM, (unsigned)magic);
    l->scan = (uint32_t)l->info[88] | (uint32_t)l->info[89] << 8;
    l->scan = l->scan < sizeof scans / sizeof scans[0] ? l->scan : 0;
    l->size[0] = scans[l->scan].times ? positive(l, 24) : 1;
    l->size[1] = positive(l, 20);
    l->size[2] = scans[l->scan].depth ? positive(l, 16) : 1;
    return pel__mul(positive(l, 264), positive(l, 268), &l->positions) || pel__fail(err, PEL_FORMAT, "a Zeiss LSM of more positions than 63 bits count");
}

static double step(const lsm *l, int at, double unit)
{
    const double v = pel__converted(pel__load_f64(l->info + at), unit);
    return v > 0.0 && v < 1e12 ? v : 0.0;
}

/* Seconds between frames: as set, or from the first to the last stamp. */
static double interval(const lsm *l, const pel__tiff_head *head)
{
    const int64_t at = pel__load_u32(l->info + 132);
    uint8_t head_of[8], first[8], last[8];
    const double set = step(l, 112, 1.0);
    if (set > 0.0 || at == 0 || !pel__file_read(head->dir.file, at, head_of, 8, NULL))
        return set;
    const int64_t n = pel__load_i32(head_of + 4);
    if (n < 2 || !pel__file_read(head->dir.file, at + 8, first, 8, NULL) || !pel__file_read(head->dir.file, at + 8 * n, last, 8, NULL))
        return 0.0;
    const double span = pel__load_f64(last) - pel__load_f64(first);
    return span > 0.0 && span < 1e12 ? span / (double)(n - 1) : 0.0;
}

/* Colours and names of the channels: uint32 size, counts of both, their places from here; names behind their lengths. */
static void take_channels(pel_image *im, const lsm *l, const pel__tiff_head *head)
{
    const int64_t at = pel__load_u32(l->info + 108);
    uint8_t h[24], *block = NULL;
    if (at == 0 || im->samples != 1 || !pel__file_read(head->dir.file, at, h, sizeof h, NULL))
        return;
    const int64_t size = pel__load_u32(h), colours = pel__load_u32(h + 4), names = pel__load_u32(h + 8), colour_at = pel__load_u32(h + 12);
    int64_t name_at = pel__load_u32(h + 16);
    block = size >= 24 && size <= MOST_COLOURS ? malloc((size_t)size) : NULL;
    if (block && pel__file_read(head->dir.file, at, block, (size_t)size, NULL))
        for (int64_t c = 0; c < im->shape[PEL_C]; c++) {
            pel_channel *const ch = pel__tiff_channel(im, c);
            if (c < colours && colour_at + 4 * c + 4 <= size) {
                const uint8_t *rgb = block + colour_at + 4 * c;
                ch->rgb = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
            }
            if (c >= names || name_at + 4 > size)
                continue;
            const int64_t n = pel__load_u32(block + name_at);
            if (n < 2 || n > size - name_at - 4)
                break;
            const size_t length = (size_t)pel__min(n, (int64_t)sizeof ch->name - 1);
            memcpy(ch->name, block + name_at + 4, length);
            ch->name[length] = '\0';
            pel__text_to_utf8(ch->name);
            name_at += 4 + n;
        }
    free(block);
}

static void take_words(pel__tiff *t, const lsm *l, const pel__tiff_head *head)
{
    const int32_t image = t->base.image_count - 1;
    pel_image *const im = &t->base.images[image];
    const char rows = scans[l->scan].rows;
    im->pixel_size[PEL_X] = step(l, 40, 1e6);
    im->pixel_size[PEL_Y] = rows == 'y' ? step(l, 48, 1e6) : rows == 'z' ? step(l, 56, 1e6) : 0.0;
    im->pixel_size[PEL_Z] = rows == 'y' ? step(l, 56, 1e6) : 0.0;
    im->pixel_size[PEL_T] = im->shape[PEL_T] > 1 ? interval(l, head) : 0.0;
    take_channels(im, l, head);
    if (rows != 'y')
        pel__tiff_note(t, image, PEL__NOTE_AXES, 0, "The rows of this LSM are along %c (scan type %u); they are taken for y.", rows, (unsigned)l->scan);
}

/* Positions are images; within one, depth runs faster than time. */
static bool add_images(pel__tiff *t, lsm *l, const pel__tiff_head *head, const int32_t *pages, int64_t n, pel_error *err)
{
    const int64_t samples = t->set.geometries[t->set.pages[pages[0]].geometry].samples;
    int64_t each = 0;
    l->size[1] = l->size[1] % samples == 0 ? l->size[1] / samples : 1;
    if (!pel__product(l->size, 3, &each))
        return pel__fail(err, PEL_FORMAT, "a Zeiss LSM of more planes than 63 bits count");
    for (int64_t i = 0; i < l->positions && (i == 0 || i * each < n); i++) {
        const int64_t from = i * each;
        const pel__tiff_stack s = {.size = {l->size[0], l->size[1], l->size[2]}, .order = "czt", .pages = pages + from,
                                   .count = l->positions == 1 ? n : pel__min(each, n - from)};
        if (!pel__tiff_add_stack(t, &s, err))
            return false;
        take_words(t, l, head);
    }
    if (t->base.image_count < l->positions)
        pel__tiff_note(t, 0, PEL__NOTE_MISSING, l->positions - t->base.image_count, "%" PRId64 " of %" PRId64 " positions have no page in the file.",
                       l->positions - t->base.image_count, l->positions);
    return true;
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    lsm l = {0};
    int32_t *pages = NULL;
    int64_t n = 0;
    if (t->base.identity_size > UINT32_MAX && !head->dir.big)
        return pel__fail(err, PEL_UNSUPPORTED, "a Zeiss LSM of %" PRId64 " bytes is not read: places beyond 4 GiB wrap round in it; save it as CZI with ZEN, or as OME-TIFF "
                         "with Fiji", t->base.identity_size);
    t->long_counts = true;
    const bool ok = load_info(&l, head, err) && pel__tiff_main_pages(t, &pages, &n, err) && add_images(t, &l, head, pages, n, err);
    free(pages);
    return ok;
}

const pel__tiff_dialect pel__tiff_lsm = {.name = "Zeiss LSM", .detect = detect, .describe = describe};
