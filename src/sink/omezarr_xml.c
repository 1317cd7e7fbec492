/* SPDX-License-Identifier: MIT
 * OME/METADATA.ome.xml of a bioformats2raw collection: the least that the OME 2016-06 schema accepts, one Image per
 * group, in the same order, pixels elsewhere (MetadataOnly). */
#include "core/bytes.h"
#include "sink/omezarr.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct text {
    char *at;
    size_t used, room;
    bool bad;
} text;

static void add(text *t, const char *fmt, ...) PEL_PRINTF(2, 3);

static void add(text *t, const char *fmt, ...)
{
    char piece[512];
    va_list args;
    va_start(args, fmt);
    const int k = vsnprintf(piece, sizeof piece, fmt, args);
    va_end(args);
    if (t->bad || k < 0 || (size_t)k >= sizeof piece) {
        t->bad = true;
        return;
    }
    const size_t n = (size_t)k;
    if (t->used + n + 1 > t->room) {
        const size_t room = 2 * t->room + n + 1024;
        char *const grown = realloc(t->at, room);
        if (!grown) {
            t->bad = true;
            return;
        }
        t->at = grown;
        t->room = room;
    }
    memcpy(t->at + t->used, piece, n + 1);
    t->used += n;
}

/* Attribute text: the five special characters escaped, control characters (illegal in XML) as spaces. */
static void add_escaped(text *t, const char *s)
{
    for (; *s; s++) {
        const unsigned char ch = (unsigned char)*s;
        if (ch == '<')
            add(t, "&lt;");
        else if (ch == '>')
            add(t, "&gt;");
        else if (ch == '&')
            add(t, "&amp;");
        else if (ch == '"')
            add(t, "&quot;");
        else
            add(t, "%c", ch < 0x20 ? ' ' : ch);
    }
}

/* The schema has no 64-bit integers; double is its nearest word. */
static const char *ome_type(pel_dtype dtype)
{
    switch (dtype) {
    case PEL_F32:
        return "float";
    case PEL_F64:
    case PEL_U64:
    case PEL_I64:
        return "double";
    default:
        return pel_dtype_name(dtype);
    }
}

/* %g prints a decimal comma in some locales; sizes are written from an integer instead: picometres, 12 digits. */
static void add_size(text *t, const char *name, double value, const char *unit)
{
    const double fine = value * 1e6 + 0.5;
    if (!(value > 0) || fine >= 9e17 || fine < 1)
        return;
    const int64_t v = (int64_t)fine;
    add(t, " %s=\"%lld.%06lld\" %sUnit=\"%s\"", name, (long long)(v / 1000000), (long long)(v % 1000000), name, unit);
}

static void add_channel(text *t, const pel_image *image, int32_t number, int64_t c)
{
    const uint32_t rgba = pel__ome_color(image, c) << 8 | 0xFF;
    int32_t color = 0;
    memcpy(&color, &rgba, sizeof color);
    add(t, "   <Channel ID=\"Channel:%d:%lld\" SamplesPerPixel=\"1\" Color=\"%d\"", (int)number, (long long)c, (int)color);
    if (image->channels && image->channels[c].name[0]) {
        add(t, " Name=\"");
        add_escaped(t, image->channels[c].name);
        add(t, "\"");
    }
    add(t, "/>\n");
}

static void add_image(text *t, const pel__sink_spec *spec, int32_t number)
{
    const pel_image *const image = spec->images[number];
    const int64_t *const n = image->shape;
    add(t, " <Image ID=\"Image:%d\" Name=\"", (int)number);
    add_escaped(t, image->name);
    add(t, "\">\n  <Pixels ID=\"Pixels:%d\" DimensionOrder=\"XYZCT\" Type=\"%s\" BigEndian=\"false\"", (int)number,
        ome_type(spec->dtype));
    add(t, " SizeX=\"%lld\" SizeY=\"%lld\" SizeZ=\"%lld\" SizeC=\"%lld\" SizeT=\"%lld\"", (long long)n[PEL_X],
        (long long)n[PEL_Y], (long long)n[PEL_Z], (long long)n[PEL_C], (long long)n[PEL_T]);
    add_size(t, "PhysicalSizeX", image->pixel_size[PEL_X], "\xC2\xB5m");
    add_size(t, "PhysicalSizeY", image->pixel_size[PEL_Y], "\xC2\xB5m");
    add_size(t, "PhysicalSizeZ", image->pixel_size[PEL_Z], "\xC2\xB5m");
    add_size(t, "TimeIncrement", image->pixel_size[PEL_T], "s");
    add(t, ">\n");
    for (int64_t c = 0; c < n[PEL_C]; c++)
        add_channel(t, image, number, c);
    add(t, "   <MetadataOnly/>\n  </Pixels>\n </Image>\n");
}

char *pel__ome_xml(const pel__sink_spec *spec)
{
    text t = {0};
    add(&t, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\" "
            "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
            "xsi:schemaLocation=\"http://www.openmicroscopy.org/Schemas/OME/2016-06 "
            "http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd\">\n");
    for (int32_t i = 0; i < spec->image_count; i++)
        add_image(&t, spec, i);
    add(&t, "</OME>\n");
    if (t.bad) {
        free(t.at);
        return NULL;
    }
    return t.at;
}
