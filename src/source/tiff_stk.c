/* SPDX-License-Identifier: MIT
 * MetaMorph's STK: one directory, all planes behind each other; tables of the Universal Imaging Corporation (UIC) say what they are.
 * Little-endian only, as MetaMorph. A table's entry in the directory counts planes or pairs, not bytes. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"
#include "core/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { UIC1 = 33628, UIC2 = 33629, UIC3 = 33630 };
enum { X_CALIBRATION = 4, Y_CALIBRATION = 5, CALIBRATION_UNITS = 6, NAME = 7 }; /* of UIC1 */

#define MOST_PAIRS 1024

typedef struct plane {
    double distance, seconds; /* from the plane before; since midnight of day 0 of the Julian calendar */
    int64_t day, ms;
} plane;

static bool detect(const pel__tiff *t, const pel__tiff_head *head)
{
    return pel__tiff_tag_count(&head->dir, UIC1) > 0 || pel__tiff_tag_count(&head->dir, UIC2) > 0;
}

static double ratio(const uint8_t *p) { return pel__load_u32(p + 4) ? (double)pel__load_u32(p) / (double)pel__load_u32(p + 4) : 0.0; }

/* n bytes of the file; NULL where it does not have them. */
static uint8_t *load(const pel__tiff_head *head, int64_t at, int64_t n)
{
    uint8_t *const bytes = at > 0 && n > 0 && n <= pel__file_size(head->dir.file) ? malloc((size_t)n) : NULL;
    if (bytes && pel__file_read(head->dir.file, at, bytes, (size_t)n, NULL))
        return bytes;
    free(bytes);
    return NULL;
}

static double ratio_at(const pel__tiff_head *head, int64_t at)
{
    uint8_t v[8];
    return at > 0 && pel__file_read(head->dir.file, at, v, sizeof v, NULL) ? ratio(v) : 0.0;
}

/* uint32 length, then so many bytes. */
static void text_at(const pel__tiff_head *head, int64_t at, char *out, size_t size)
{
    uint8_t n[4];
    if (at < 1 || !pel__file_read(head->dir.file, at, n, sizeof n, NULL))
        return;
    const size_t length = (size_t)pel__min(pel__load_u32(n), (int64_t)size - 1);
    if (!pel__file_read(head->dir.file, at + 4, out, length, NULL))
        out[0] = '\0';
}

/* The calibration stays as it is where the file has none. */
static void take_calibration(pel_image *im, const pel__tiff_head *head)
{
    const int64_t n = pel__min(pel__tiff_tag_count(&head->dir, UIC1), MOST_PAIRS);
    uint8_t *const pairs = load(head, pel__tiff_tag_place(&head->dir, UIC1), 8 * n);
    double x = 0.0, y = 0.0;
    char unit[32] = "", name[sizeof im->name] = "";
    for (int64_t i = 0; pairs && i < n; i++) {
        const int64_t id = pel__load_u32(pairs + 8 * i), at = pel__load_u32(pairs + 8 * i + 4);
        if (id == X_CALIBRATION)
            x = ratio_at(head, at);
        else if (id == Y_CALIBRATION)
            y = ratio_at(head, at);
        else if (id == CALIBRATION_UNITS)
            text_at(head, at, unit, sizeof unit);
        else if (id == NAME)
            text_at(head, at, name, sizeof name);
    }
    free(pairs);
    im->pixel_size[PEL_X] = x * pel__tiff_micrometres(unit);
    im->pixel_size[PEL_Y] = y * pel__tiff_micrometres(unit);
    pel__text_to_utf8(name);
    if (name[0])
        memcpy(im->name, name, sizeof name);
}

static plane *load_planes(const pel__tiff_head *head, int64_t n)
{
    uint8_t *const rows = load(head, pel__tiff_tag_place(&head->dir, UIC2), 24 * n);
    plane *const planes = rows ? calloc((size_t)n, sizeof *planes) : NULL;
    for (int64_t i = 0; planes && i < n; i++) {
        const uint8_t *p = rows + 24 * i;
        planes[i] = (plane){.distance = ratio(p), .day = pel__load_u32(p + 8), .ms = pel__load_u32(p + 12)};
        planes[i].seconds = (double)planes[i].day * 86400.0 + (double)planes[i].ms / 1000.0;
    }
    free(rows);
    return planes;
}

/* Along z where every plane has a distance, or all but the first have the same; else along t where each has a time of its own. */
static char axis_of(const plane *p, int64_t n)
{
    bool distances = p[0].distance != 0.0, same = p[1].distance != 0.0, times = true;
    for (int64_t i = 1; i < n; i++) {
        distances = distances && p[i].distance != 0.0;
        same = same && p[i].distance == p[1].distance;
        times = times && p[i].seconds != p[i - 1].seconds;
    }
    return distances || same ? 'z' : times ? 't' : '?';
}

static void take_date(pel_image *im, const plane *p)
{
    if (p->day < 1721426 || p->day > 5373484 || p->ms > 86400000) /* years 1 to 9999 */
        return;
    const int64_t a = p->day + 1 + 32044, /* MetaMorph's days begin at midnight */
                  b = (4 * a + 3) / 146097, c = a - 146097 * b / 4, d = (4 * c + 3) / 1461, e = c - 1461 * d / 4, m = (5 * e + 2) / 153;
    (void)snprintf(im->acquired, sizeof im->acquired, "%04d-%02d-%02dT%02d:%02d:%02d", (int)(100 * b + d - 4800 + m / 10), (int)(m + 3 - 12 * (m / 10)),
                   (int)(e - (153 * m + 2) / 5 + 1), (int)(p->ms / 3600000), (int)(p->ms / 60000 % 60), (int)(p->ms / 1000 % 60));
}

/* UIC3: channels that take turns cannot be told from a change of filters. */
static void note_wavelengths(pel__tiff *t, const pel__tiff_head *head, int64_t n)
{
    uint8_t *const w = load(head, pel__tiff_tag_place(&head->dir, UIC3), 8 * pel__min(n, pel__tiff_tag_count(&head->dir, UIC3)));
    for (int64_t i = 1; w && i < pel__min(n, pel__tiff_tag_count(&head->dir, UIC3)); i++)
        if (ratio(w + 8 * i) != ratio(w)) {
            pel__tiff_note(t, 0, PEL__NOTE_AXES, 0, "The planes of the STK have several wavelengths (%g and %g nm); they are not taken for channels.", ratio(w),
                           ratio(w + 8 * i));
            break;
        }
    free(w);
}

/* The strips of the first plane lie behind each other, and so do the planes. */
static bool is_run(const pel__tiff *t, const pel__tiff_head *head)
{
    const pel__tiff_geometry *g = &t->set.geometries[t->set.pages[0].geometry];
    const int64_t strips = pel__ceil_div(g->height, g->tile_height), row = g->tile_bytes / g->tile_height;
    uint8_t last[4];
    if (!pel__tiff_plain(g) || g->tiled || g->planar || pel__tiff_tag_count(&head->dir, PEL__TAG_STRIP_OFFSETS) != strips)
        return false;
    return strips == 1 || (pel__tiff_tag_bytes(&head->dir, PEL__TAG_STRIP_OFFSETS, 4 * (strips - 1), last, 4, NULL) &&
                           (int64_t)pel__load_u32(last) - head->first_strip == row * g->tile_height * (strips - 1));
}

static bool add_planes(pel__tiff *t, const pel__tiff_head *head, int64_t n, char axis, pel_error *err)
{
    pel__tiff_stack s = {.size = {axis == 't' ? n : 1, axis == 'c' ? n : 1, axis == 'z' ? n : 1}, .order = "czt"};
    int32_t *pages = NULL;
    bool ok = pel__tiff_run(t, 0, head->first_strip, n, &pages, &s.count, err);
    s.pages = pages;
    ok = ok && pel__tiff_add_stack(t, &s, err);
    free(pages);
    return ok;
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    const int64_t n = pel__tiff_tag_count(&head->dir, UIC2);
    if (n < 2 || head->dir.swap)
        return n < 2 || pel__fail(err, PEL_UNSUPPORTED, "a MetaMorph STK in big-endian order is not read: save it as OME-TIFF, for example with Fiji");
    if (!is_run(t, head))
        return pel__fail(err, PEL_UNSUPPORTED, "a MetaMorph STK of %" PRId64 " planes that are compressed or in pieces is not read: save it as OME-TIFF, for example with Fiji", n);
    plane *const planes = load_planes(head, n);
    const char found = planes ? axis_of(planes, n) : '?', axis = found == '?' ? t->page_axis : found;
    const bool ok = add_planes(t, head, n, axis, err);
    if (ok) {
        pel_image *im = &t->base.images[0];
        take_calibration(im, head);
        memcpy(im->acquired, head->acquired, sizeof head->acquired);
        if (planes)
            take_date(im, &planes[0]);
        if (found == 'z')
            im->pixel_size[PEL_Z] = planes[1].distance;
        if (found == 't' && planes[n - 1].seconds > planes[0].seconds)
            im->pixel_size[PEL_T] = (planes[n - 1].seconds - planes[0].seconds) / (double)(n - 1);
        if (found == '?')
            pel__tiff_note(t, 0, PEL__NOTE_AXES, n, "The STK has neither distances nor times of its planes; they are taken along %c.", axis);
        note_wavelengths(t, head, n);
    }
    free(planes);
    return ok;
}

const pel__tiff_dialect pel__tiff_stk = {.name = "MetaMorph STK", .detect = detect, .describe = describe};
