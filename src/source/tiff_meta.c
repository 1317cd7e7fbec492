/* SPDX-License-Identifier: MIT
 * What the descriptions of all dialects share: numbers, units and words, images and their channels, notes. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"
#include "zarr/dtype.h"
#include "core/number.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

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

typedef struct unit {
    const char *name;
    double size;
} unit;

/* Symbols as they are written (Mm is no mm), words in any case. */
static double size_of(const char *name, const unit *units, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, units[i].name) == 0 || (strlen(name) > 3 && strcasecmp(name, units[i].name) == 0))
            return units[i].size;
    return 0.0;
}

double pel__tiff_micrometres(const char *name)
{
    static const unit units[] = {
        {"\xC2\xB5m", 1.0}, {"\xCE\xBCm", 1.0}, {"um", 1.0}, {"\\u00B5m", 1.0}, {"\xB5m", 1.0}, {"micron", 1.0}, {"microns", 1.0}, {"micrometer", 1.0},
        {"micrometers", 1.0}, {"micrometre", 1.0}, {"micrometres", 1.0}, {"microm", 1.0},
        {"nm", 1e-3}, {"nanometer", 1e-3}, {"nanometers", 1e-3}, {"nanometre", 1e-3}, {"nanometres", 1e-3}, {"pm", 1e-6}, {"\xC3\x85", 1e-4}, {"angstrom", 1e-4},
        {"mm", 1e3}, {"millimeter", 1e3}, {"millimeters", 1e3}, {"millimetre", 1e3}, {"millimetres", 1e3},
        {"cm", 1e4}, {"centimeter", 1e4}, {"centimeters", 1e4}, {"centimetre", 1e4}, {"centimetres", 1e4},
        {"dm", 1e5}, {"m", 1e6}, {"meter", 1e6}, {"meters", 1e6}, {"metre", 1e6}, {"metres", 1e6}, {"km", 1e9},
        {"in", 25400.0}, {"inch", 25400.0}, {"inches", 25400.0}, {"ft", 304800.0}, {"thou", 25.4}, {"mil", 25.4},
    };
    return size_of(name, units, sizeof units / sizeof units[0]);
}

double pel__tiff_seconds(const char *name)
{
    static const unit units[] = {
        {"s", 1.0}, {"sec", 1.0}, {"secs", 1.0}, {"second", 1.0}, {"seconds", 1.0},
        {"ms", 1e-3}, {"msec", 1e-3}, {"millisecond", 1e-3}, {"milliseconds", 1e-3},
        {"\xC2\xB5s", 1e-6}, {"\xCE\xBCs", 1e-6}, {"\\u00B5s", 1e-6}, {"\xB5s", 1e-6}, {"us", 1e-6}, {"usec", 1e-6}, {"microsecond", 1e-6}, {"microseconds", 1e-6},
        {"ns", 1e-9}, {"min", 60.0}, {"mins", 60.0}, {"minute", 60.0}, {"minutes", 60.0},
        {"h", 3600.0}, {"hr", 3600.0}, {"hrs", 3600.0}, {"hour", 3600.0}, {"hours", 3600.0}, {"d", 86400.0}, {"day", 86400.0}, {"days", 86400.0},
    };
    return size_of(name, units, sizeof units / sizeof units[0]);
}

bool pel__tiff_word(const char *text, const char *key, const char *ends, char *out, size_t size)
{
    const size_t n = strlen(key);
    out[0] = '\0';
    for (const char *at = text; at && *at; at += strcspn(at, ends), at += *at != '\0') {
        at += strspn(at, " \t");
        if (strncmp(at, key, n) != 0)
            continue;
        const char *value = at + n + strspn(at + n, " \t");
        if (*value != '=')
            continue;
        value += 1 + strspn(value + 1, " \t");
        size_t length = strcspn(value, ends);
        while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
            length--;
        (void)snprintf(out, size, "%.*s", (int)pel__min((int64_t)length, (int64_t)size), value);
        return true;
    }
    return false;
}

double pel__tiff_word_number(const char *text, const char *key, const char *ends, double fallback)
{
    char value[64];
    return pel__tiff_word(text, key, ends, value, sizeof value) && value[0] ? pel__tiff_number(value) : fallback;
}

void pel__tiff_take_resolution(pel_image *im, const pel__tiff_head *head, double um_x, double um_y)
{
    if (head->resolution[0] > 0.0 && um_x > 0.0)
        im->pixel_size[PEL_X] = pel__rounded(um_x / head->resolution[0]);
    if (head->resolution[1] > 0.0 && um_y > 0.0)
        im->pixel_size[PEL_Y] = pel__rounded(um_y / head->resolution[1]);
}

void pel__tiff_unpack(const pel__tiff_geometry *g, const uint8_t *row, int64_t n, void *to)
{
    if (g->dtype == PEL_F32) {
        memcpy(to, row, (size_t)n * 2);
        pel__zarr_widen(to, n);
        return;
    }
    const uint32_t mask = (1U << g->bits) - 1;
    uint32_t held = 0;
    int bits = 0;
    for (int64_t i = 0; i < n; i++) { /* the highest bit comes first */
        for (; bits < g->bits; bits += 8)
            held = held << 8 | *row++;
        bits -= g->bits;
        const uint32_t v = held >> bits & mask;
        if (g->dtype == PEL_U8)
            ((uint8_t *)to)[i] = (uint8_t)v;
        else
            pel__store_u16((uint8_t *)to + 2 * i, (uint16_t)v);
    }
}

bool pel__tiff_same_pixels(const pel__tiff_geometry *a, const pel__tiff_geometry *b)
{
    return a->width == b->width && a->height == b->height && a->samples == b->samples && a->dtype == b->dtype && !a->refusal[0];
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
