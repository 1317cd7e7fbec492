/* SPDX-License-Identifier: MIT
 * From pages to images, for every kind of TIFF: what all kinds share, plain stacks of pages, and ImageJ's hyperstacks. */
#include "source/tiff.h"

#include "core/bytes.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_PLANES (INT64_C(1) << 24)
#define MOST_CHANNELS 65536
#define MOST_ALL_PLANES(pages) ((INT64_C(1) << 25) + 16 * (pages)) /* of all images of a set with so many pages */
#define MOST_ALL_CHANNELS(pages) ((INT64_C(1) << 18) + 4 * (pages))

/* ---- shared -------------------------------------------------------------------------------------------------- */

double pel__tiff_number(const char *text)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    const double v = c ? strtod_l(text, NULL, c) : 0.0;
    if (c)
        freelocale(c);
    return isfinite(v) ? v : 0.0;
}

double pel__tiff_micrometres(const char *unit)
{
    static const struct { const char *name; double um; } units[] = {
        {"\xC2\xB5m", 1.0}, {"\xCE\xBCm", 1.0}, {"um", 1.0}, {"\\u00B5m", 1.0}, {"micron", 1.0}, {"microns", 1.0}, {"micrometer", 1.0}, {"\xB5m", 1.0},
        {"nm", 1e-3}, {"pm", 1e-6}, {"mm", 1e3}, {"cm", 1e4}, {"dm", 1e5}, {"m", 1e6}, {"km", 1e9}, {"\xC3\x85", 1e-4},
        {"in", 25400.0}, {"inch", 25400.0}, {"ft", 304800.0}, {"thou", 25.4}, {"mil", 25.4},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].um;
    return 0.0;
}

void pel__tiff_note(pel__tiff *t, int32_t image, enum pel__note_kind kind, int64_t count, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)pel__note_args(&t->images[image].notes, kind, count, fmt, args);
    va_end(args);
}

bool pel__tiff_add_images(pel__tiff *t, int32_t n, pel_error *err)
{
    const size_t all = (size_t)t->base.image_count + (size_t)n;
    pel_image *a = realloc(t->base.images, all * sizeof *a);
    t->base.images = a ? a : t->base.images;
    pel__tiff_image *b = realloc(t->images, all * sizeof *b);
    t->images = b ? b : t->images;
    if (!a || !b)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %zu images", all);
    memset(a + t->base.image_count, 0, (size_t)n * sizeof *a);
    memset(b + t->base.image_count, 0, (size_t)n * sizeof *b);
    t->base.image_count += n;
    return true;
}

static void default_channels(const pel_image *im, pel_channel *ch)
{
    static const uint32_t colours[] = {0x00FF00, 0xFF0000, 0x0000FF, 0xFF00FF, 0x00FFFF, 0xFFFF00};
    static const uint32_t rgba[] = {0xFF0000, 0x00FF00, 0x0000FF, 0xFFFFFF};
    for (int64_t c = 0; c < im->shape[PEL_C]; c++) {
        if (im->samples > 1) {
            (void)snprintf(ch[c].name, sizeof ch[c].name, "%c", "RGBA"[c % im->samples]);
            ch[c].rgb = rgba[c % im->samples];
        } else {
            (void)snprintf(ch[c].name, sizeof ch[c].name, "Channel %" PRId64, c + 1);
            ch[c].rgb = im->shape[PEL_C] == 1 ? 0xFFFFFF : colours[c % 6];
        }
    }
}

/* Reading part of a strip costs nothing extra where it lies in the file as it is: say so to the plan. */
static int64_t cheap_rows(const pel__tiff_geometry *g)
{
    if (g->tiled || !pel__tiff_plain(g))
        return g->tile_height;
    const int64_t row = g->tile_bytes / g->tile_height;
    return pel__min(g->tile_height, pel__max(16, (INT64_C(1) << 20) / row));
}

static void describe_geometry(pel_image *im, const pel__tiff_geometry *g, const int64_t tgz[3])
{
    const bool colour = (g->photometric == 2 || g->photometric == 6) && (g->samples == 3 || g->samples == 4);
    im->shape[PEL_T] = tgz[0];
    im->shape[PEL_C] = tgz[1] * g->samples;
    im->shape[PEL_Z] = tgz[2];
    im->shape[PEL_Y] = g->height;
    im->shape[PEL_X] = g->width;
    im->dtype = g->dtype;
    im->samples = colour ? g->samples : 1;
    im->significant_bits = g->dtype < PEL_F32 ? g->bits : 0;
    im->planes = tgz[0] * tgz[1] * tgz[2] * (colour ? 1 : g->samples);
    im->tile[PEL_T] = im->tile[PEL_Z] = 1;
    im->tile[PEL_C] = g->planar ? 1 : g->samples;
    im->tile[PEL_Y] = pel__min(cheap_rows(g), g->height);
    im->tile[PEL_X] = pel__min(g->tile_width, g->width);
    (void)snprintf(im->compression, sizeof im->compression, "%s", pel__tiff_codec_name(g->compression));
}

bool pel__tiff_shape_image(pel__tiff *t, int32_t image, int32_t geometry, const int64_t tgz[3], pel_error *err)
{
    const pel__tiff_geometry *g = &t->set.geometries[geometry];
    pel_image *im = &t->base.images[image];
    int64_t planes = 0, channels = 0;
    const int64_t factors[] = {tgz[0], tgz[1], tgz[2]};
    if (g->refusal[0])
        return pel__fail(err, PEL_UNSUPPORTED, "image %d: %s", image, g->refusal);
    if (!pel__product(factors, 3, &planes) || planes < 1 || planes > MOST_PLANES || !pel__mul(tgz[1], g->samples, &channels) || channels > MOST_CHANNELS)
        return pel__fail(err, PEL_FORMAT, "image %d: %" PRId64 " times, %" PRId64 " channels, %" PRId64 " sections: at most %" PRId64 " planes and %d channels", image,
                         tgz[0], tgz[1], tgz[2], MOST_PLANES, MOST_CHANNELS);
    describe_geometry(im, g, tgz);
    const int64_t bytes[] = {planes, channels / tgz[1], g->width, g->height, 8};
    if (!pel__product(bytes, 5, &channels))
        return pel__fail(err, PEL_FORMAT, "image %d: more voxels than a 64-bit number counts", image);
    t->planes += planes;
    t->channels += im->shape[PEL_C];
    if (t->planes > MOST_ALL_PLANES(t->set.page_count) || t->channels > MOST_ALL_CHANNELS(t->set.page_count))
        return pel__fail(err, PEL_FORMAT, "images 0 to %d: %" PRId64 " planes and %" PRId64 " channels, the file has %" PRId64 " pages", image,
                         t->planes, t->channels, t->set.page_count);
    pel_channel *ch = calloc((size_t)im->shape[PEL_C], sizeof *ch);
    t->images[image].page = malloc((size_t)planes * sizeof *t->images[image].page);
    im->channels = ch;
    if (!ch || !t->images[image].page)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %" PRId64 " planes", planes);
    memset(t->images[image].page, 0xFF, (size_t)planes * sizeof *t->images[image].page); /* all -1: missing */
    t->images[image].groups = tgz[1];
    t->images[image].geometry = geometry;
    default_channels(im, ch);
    return true;
}

void pel__tiff_count_missing(pel__tiff *t, int32_t image)
{
    pel_image *im = &t->base.images[image];
    const int64_t all = im->shape[PEL_T] * t->images[image].groups * im->shape[PEL_Z];
    int64_t missing = 0;
    for (int64_t i = 0; i < all; i++)
        missing += t->images[image].page[i] < 0;
    im->planes_missing = missing * (im->planes / all);
    (void)pel__note_planes(&t->images[image].notes, im);
}

/* ---- plain stacks -------------------------------------------------------------------------------------------- */

/* The pages of one geometry are one image, page after page along one axis: z unless the caller says otherwise. The
 * other two have length 1, so that the order of planes is the order of pages. */
static bool describe_stack(pel__tiff *t, int32_t geometry, pel_error *err)
{
    const pel__tiff_set *s = &t->set;
    int64_t n = 0;
    for (int64_t p = 0; p < s->page_count; p++)
        n += s->pages[p].geometry == geometry;
    const int32_t image = t->base.image_count;
    const int64_t tgz[3] = {t->page_axis == 't' ? n : 1, t->page_axis == 'c' ? n : 1, t->page_axis == 'z' ? n : 1};
    if (!pel__tiff_add_images(t, 1, err) || !pel__tiff_shape_image(t, image, geometry, tgz, err))
        return false;
    int64_t z = 0;
    for (int64_t p = 0; p < s->page_count; p++)
        if (s->pages[p].geometry == geometry)
            t->images[image].page[z++] = (int32_t)p;
    const char *slash = strrchr(t->base.path, '/'), *name = slash ? slash + 1 : t->base.path;
    if (image == 0)
        (void)snprintf(t->base.images[image].name, sizeof t->base.images[image].name, "%s", name);
    else
        (void)snprintf(t->base.images[image].name, sizeof t->base.images[image].name, "%.100s (%d)", name, image + 1);
    return true;
}

static int64_t pages_of(const pel__tiff_set *s, int32_t geometry)
{
    int64_t n = 0;
    for (int64_t p = 0; p < s->page_count; p++)
        n += s->pages[p].geometry == geometry;
    return n;
}

static void note_rest(pel__tiff *t)
{
    for (int32_t g = 0; g < t->set.geometry_count; g++) {
        const pel__tiff_geometry *k = &t->set.geometries[g];
        if (k->refusal[0])
            pel__tiff_note(t, 0, PEL__NOTE_LEFT_OUT, pages_of(&t->set, g), "%" PRId64 " pages of %" PRId64 " x %" PRId64 " pixels are left out: %s.", pages_of(&t->set, g), k->width, k->height, k->refusal);
        else if (k->left_out)
            pel__tiff_note(t, 0, PEL__NOTE_REDUCED, pages_of(&t->set, g), "%" PRId64 " pages of %" PRId64 " x %" PRId64 " pixels are left out: marked as reduced copies or masks.", pages_of(&t->set, g), k->width,
                           k->height);
    }
}

/* Resolution in pixels a centimetre means something; inches are mostly a printer's 72 or 300. */
static void take_resolution(pel_image *im, const pel__tiff_head *head, double um)
{
    for (int i = 0; i < 2; i++)
        if (head->resolution[i] > 0.0 && um > 0.0)
            im->pixel_size[i ? PEL_Y : PEL_X] = um / head->resolution[i];
}

bool pel__tiff_describe_plain(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    const pel__tiff_set *s = &t->set;
    for (int32_t g = 0; g < s->geometry_count; g++)
        if (!s->geometries[g].left_out && !s->geometries[g].refusal[0] && !describe_stack(t, g, err))
            return false;
    if (t->base.image_count == 0)
        return pel__fail(err, PEL_UNSUPPORTED, "%s", s->geometries[0].refusal[0] ? s->geometries[0].refusal : "all pages are reduced copies or masks");
    note_rest(t);
    for (int32_t i = 0; i < t->base.image_count; i++) {
        memcpy(t->base.images[i].acquired, head->acquired, sizeof head->acquired);
        take_resolution(&t->base.images[i], head, head->resolution_unit == 3 ? 1e4 : 0.0);
    }
    return true;
}

/* ---- ImageJ -------------------------------------------------------------------------------------------------- */

bool pel__tiff_is_imagej(const pel__tiff_head *head) { return head->description && strncmp(head->description, "ImageJ=", 7) == 0; }

/* Value of "key=value" on a line of its own; "" where there is none. */
static void imagej_value(const pel__tiff_head *head, const char *key, char *out, size_t size)
{
    const size_t n = strlen(key);
    out[0] = '\0';
    for (const char *line = head->description; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && line[n] == '=') {
            (void)snprintf(out, size, "%.*s", (int)strcspn(line + n + 1, "\r\n"), line + n + 1);
            return;
        }
    }
}

static double imagej_number(const pel__tiff_head *head, const char *key, double fallback)
{
    char text[64];
    imagej_value(head, key, text, sizeof text);
    return text[0] ? pel__tiff_number(text) : fallback;
}

static int64_t imagej_count(const pel__tiff_head *head, const char *key)
{
    const double v = imagej_number(head, key, 1.0);
    return v >= 1.0 && v <= 1e9 ? (int64_t)v : 1;
}

static void imagej_scale(pel_image *im, const pel__tiff_head *head)
{
    char unit[64];
    imagej_value(head, "unit", unit, sizeof unit);
    double um = pel__tiff_micrometres(unit);
    if (um == 0.0 && head->resolution_unit == 3)
        um = 1e4;
    take_resolution(im, head, um);
    im->pixel_size[PEL_Z] = fmax(0.0, imagej_number(head, "spacing", 0.0)) * um;
    const double interval = imagej_number(head, "finterval", 0.0), fps = imagej_number(head, "fps", 0.0);
    im->pixel_size[PEL_T] = im->shape[PEL_T] < 2 ? 0.0 : interval > 0.0 ? interval : fps > 0.0 ? 1.0 / fps : 0.0;
}

/* Planes lie c fastest, then z, then t. Pages beyond those that the file has are missing. */
static void imagej_planes(pel__tiff *t, const int64_t tgz[3], int64_t have)
{
    int64_t k = 0;
    for (int64_t it = 0; it < tgz[0]; it++)
        for (int64_t z = 0; z < tgz[2]; z++)
            for (int64_t g = 0; g < tgz[1]; g++, k++)
                if (k < have)
                    t->images[0].page[(it * tgz[1] + g) * tgz[2] + z] = (int32_t)k;
}

/* How many planes of a run without directories lie in the file. */
static int64_t run_planes(const pel__tiff *t, const pel__tiff_head *head)
{
    const pel__tiff_geometry *g = &t->set.geometries[t->set.pages[0].geometry];
    int64_t bytes = 0;
    const int64_t factors[] = {g->width, g->height, g->samples, g->bits / 8};
    if (!pel__product(factors, 4, &bytes) || bytes < 1)
        return 0;
    return pel__max(0, t->base.identity_size - head->first_strip) / bytes;
}

bool pel__tiff_describe_imagej(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    const pel__tiff_geometry *g = &t->set.geometries[t->set.pages[0].geometry];
    const int64_t images = imagej_count(head, "images");
    int64_t tgz[3] = {imagej_count(head, "frames"), imagej_count(head, "channels"), imagej_count(head, "slices")}, named = 0;
    if (!pel__product(tgz, 3, &named) || named != images) {
        tgz[0] = tgz[1] = 1; /* a plain stack, or words that contradict each other */
        tgz[2] = images;
    }
    const bool run = t->set.page_count == 1 && images > 1 && pel__tiff_plain(g) && head->first_strip > 0 && !g->planar;
    for (int64_t p = 1; p < t->set.page_count; p++)
        if (t->set.pages[p].geometry != t->set.pages[0].geometry)
            return pel__tiff_describe_plain(t, head, err); /* not what ImageJ writes */
    if (!run && t->set.page_count != images)
        return pel__tiff_describe_plain(t, head, err);
    if (!pel__tiff_add_images(t, 1, err) || !pel__tiff_shape_image(t, 0, t->set.pages[0].geometry, tgz, err))
        return false;
    t->images[0].run_at = run ? head->first_strip : 0;
    imagej_planes(t, tgz, run ? run_planes(t, head) : t->set.page_count);
    imagej_scale(&t->base.images[0], head);
    const char *slash = strrchr(t->base.path, '/');
    (void)snprintf(t->base.images[0].name, sizeof t->base.images[0].name, "%s", slash ? slash + 1 : t->base.path);
    if (tgz[1] == 1 && g->samples == 1) {
        pel_channel *ch = (pel_channel *)(uintptr_t)t->base.images[0].channels;
        ch->window_start = imagej_number(head, "min", 0.0);
        ch->window_end = imagej_number(head, "max", 0.0);
    }
    pel__tiff_count_missing(t, 0);
    return true;
}
