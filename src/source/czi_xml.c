/* SPDX-License-Identifier: MIT
 * The XML of a CZI file, read as a stream through expat. Only exact paths count: other branches reuse the same names with
 * other values. Bad XML is no reason to refuse the pixels; what was read up to the damage is kept and the trouble noted. */
#include "source/czi.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/number.h"

#include <expat.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define XML_OFFSET 288 /* of the segment */
#define PIECE_BYTES 65536
#define LONGEST_TOKEN (16 << 20) /* expat holds one tag whole: a longer one is damage */
#define MOST_XML (1 << 29)
#define LIST_MAX 65536

typedef struct state {
    pel__czi_meta *meta;
    XML_Parser parser;
    locale_t c_locale;
    char path[256];
    size_t path_length;
    int32_t too_deep; /* elements below the deepest path that fits */
    char text[512];
    size_t text_length;
    int axis;         /* of the Distance we are in: 0 x, 1 y, 2 z, -1 other */
    bool no_memory;
} state;

/* ---- values ------------------------------------------------------------------------------------------------- */

static double number(const state *s, const char *text)
{
    const double v = strtod_l(text, NULL, s->c_locale);
    return isfinite(v) ? v : 0;
}

static int axis_of(const char *id)
{
    return strcmp(id, "X") == 0 ? 0 : strcmp(id, "Y") == 0 ? 1 : strcmp(id, "Z") == 0 ? 2 : -1;
}

/* "#AARRGGBB" or "#RRGGBB" */
static bool color(uint32_t *rgb, const char *text)
{
    char *end = NULL;
    if (text[0] != '#')
        return false;
    const unsigned long v = strtoul(text + 1, &end, 16);
    if ((end - text != 9 && end - text != 7) || *end)
        return false;
    *rgb = (uint32_t)(v & 0xFFFFFF);
    return true;
}

static void keep(char *out, size_t size, const char *text)
{
    size_t n = strnlen(text, size - 1);
    while (text[n] && n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--; /* never half a UTF-8 sequence */
    memcpy(out, text, n);
    out[n] = '\0';
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)out[i] < ' ' ? ' ' : out[i];
}

static void keep_if_empty(char *out, size_t size, const char *text)
{
    if (!out[0])
        keep(out, size, text);
}

static const char *attribute(const char **attributes, const char *name)
{
    for (; attributes[0]; attributes += 2) {
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    }
    return "";
}

/* One more element at the end of a list that grows by doubling; NULL where there is no memory or too many. */
static void *append(state *s, void **list, int32_t *count, size_t size)
{
    const int32_t n = *count;
    if (n >= LIST_MAX)
        return NULL;
    if ((n & (n - 1)) == 0) { /* 0, 1, 2, 4, …: full */
        void *grown = realloc(*list, (n ? 2 * (size_t)n : 1) * size);
        if (!grown) {
            s->no_memory = true;
            return NULL;
        }
        *list = grown;
    }
    *count = n + 1;
    return memset((char *)*list + (size_t)n * size, 0, size);
}

/* ---- what each path means ------------------------------------------------------------------------------------ */

#define IMAGE "/ImageDocument/Metadata/Information/Image/"
#define CHANNEL IMAGE "Dimensions/Channels/Channel"
#define DISPLAY "/ImageDocument/Metadata/DisplaySetting/Channels/Channel"
#define OBJECTIVE "/ImageDocument/Metadata/Information/Instrument/Objectives/Objective"
#define DISTANCE "/ImageDocument/Metadata/Scaling/Items/Distance"

static void begin_channel(state *s, const char **attributes)
{
    pel__czi_channel_info *c = append(s, (void **)&s->meta->channels, &s->meta->channel_count, sizeof *c);
    if (!c)
        return;
    keep(c->id, sizeof c->id, attribute(attributes, "Id"));
    keep(c->name, sizeof c->name, attribute(attributes, "Name"));
}

static void begin_display(state *s, const char **attributes)
{
    pel__czi_channel_info *c = append(s, (void **)&s->meta->displays, &s->meta->display_count, sizeof *c);
    if (!c)
        return;
    keep(c->id, sizeof c->id, attribute(attributes, "Id"));
    keep(c->name, sizeof c->name, attribute(attributes, "Name"));
    c->high = 1;
}

static void begin_objective(state *s, const char **attributes)
{
    pel__czi_objective *o = append(s, (void **)&s->meta->objectives, &s->meta->objective_count, sizeof *o);
    if (!o)
        return;
    keep(o->id, sizeof o->id, attribute(attributes, "Id"));
    keep(o->name, sizeof o->name, attribute(attributes, "Name"));
}

static void begin_scene(state *s, const char **attributes)
{
    const char *index = attribute(attributes, "Index");
    pel__czi_scene_info *scene = append(s, (void **)&s->meta->scenes, &s->meta->scene_count, sizeof *scene);
    if (!scene)
        return;
    scene->index = index[0] ? (int32_t)strtol(index, NULL, 10) : s->meta->scene_count - 1;
    keep(scene->name, sizeof scene->name, attribute(attributes, "Name"));
}

static void begin(state *s, const char **attributes)
{
    const char *p = s->path;
    if (strcmp(p, CHANNEL) == 0)
        begin_channel(s, attributes);
    else if (strcmp(p, DISPLAY) == 0)
        begin_display(s, attributes);
    else if (strcmp(p, OBJECTIVE) == 0)
        begin_objective(s, attributes);
    else if (strcmp(p, IMAGE "Dimensions/S/Scenes/Scene") == 0)
        begin_scene(s, attributes);
    else if (strcmp(p, IMAGE "ObjectiveSettings/ObjectiveRef") == 0)
        keep(s->meta->objective_ref, sizeof s->meta->objective_ref, attribute(attributes, "Id"));
    else if (strcmp(p, DISTANCE) == 0)
        s->axis = axis_of(attribute(attributes, "Id"));
}

/* name is what follows the channel's path. */
static void end_in_channel(const state *s, pel__czi_channel_info *c, const char *name)
{
    const char *text = s->text;
    if (strcmp(name, "/Color") == 0)
        c->has_color = color(&c->rgb, text);
    else if (strcmp(name, "/Fluor") == 0 || strcmp(name, "/DyeName") == 0)
        keep(c->fluor, sizeof c->fluor, text);
    else if (strcmp(name, "/ShortName") == 0 || strcmp(name, "/Name") == 0)
        keep_if_empty(c->name, sizeof c->name, text);
    else if (strcmp(name, "/ExcitationWavelength") == 0 || strcmp(name, "/DyeMaxExcitation") == 0)
        c->excitation_nm = fmax(0, number(s, text));
    else if (strcmp(name, "/EmissionWavelength") == 0 || strcmp(name, "/DyeMaxEmission") == 0)
        c->emission_nm = fmax(0, number(s, text));
    else if (strcmp(name, "/Low") == 0)
        c->low = fmin(1, fmax(0, number(s, text))), c->has_window = true;
    else if (strcmp(name, "/High") == 0)
        c->high = fmin(1, fmax(0, number(s, text))), c->has_window = true;
}

static void end_in_objective(const state *s, pel__czi_objective *o, const char *name)
{
    if (strcmp(name, "/NominalMagnification") == 0)
        o->magnification = fmax(0, number(s, s->text));
    else if (strcmp(name, "/LensNA") == 0)
        o->aperture = fmax(0, number(s, s->text));
    else if (strcmp(name, "/Manufacturer/Model") == 0)
        keep_if_empty(o->name, sizeof o->name, s->text);
}

static void end(state *s)
{
    const char *p = s->path;
    pel__czi_meta *m = s->meta;
    if (strncmp(p, CHANNEL "/", sizeof CHANNEL) == 0 && m->channel_count > 0)
        end_in_channel(s, &m->channels[m->channel_count - 1], p + sizeof CHANNEL - 1);
    else if (strncmp(p, DISPLAY "/", sizeof DISPLAY) == 0 && m->display_count > 0)
        end_in_channel(s, &m->displays[m->display_count - 1], p + sizeof DISPLAY - 1);
    else if (strncmp(p, OBJECTIVE "/", sizeof OBJECTIVE) == 0 && m->objective_count > 0)
        end_in_objective(s, &m->objectives[m->objective_count - 1], p + sizeof OBJECTIVE - 1);
    else if (strcmp(p, DISTANCE "/Value") == 0 && s->axis >= 0)
        m->size_um[s->axis] = fmax(0, pel__converted(number(s, s->text), 1e6)); /* the file has metres */
    else if (strcmp(p, IMAGE "ComponentBitCount") == 0)
        m->bits = (int32_t)fmin(64, fmax(0, number(s, s->text)));
    else if (strcmp(p, IMAGE "AcquisitionDateAndTime") == 0)
        keep(m->acquired, sizeof m->acquired, s->text);
    else if (strcmp(p, IMAGE "Dimensions/T/Positions/Interval/Increment") == 0)
        m->interval_s = fmax(0, number(s, s->text));
    else if (strcmp(p, IMAGE "Dimensions/Z/Positions/Interval/Increment") == 0)
        m->z_step_um = fabs(number(s, s->text));
}

/* ---- expat -------------------------------------------------------------------------------------------------- */

static void on_begin(void *arg, const char *name, const char **attributes)
{
    state *s = arg;
    const size_t n = strlen(name);
    s->text_length = 0;
    if (s->too_deep > 0 || s->path_length + n + 2 > sizeof s->path) {
        s->too_deep++;
        return;
    }
    s->path[s->path_length] = '/';
    memcpy(s->path + s->path_length + 1, name, n + 1);
    s->path_length += n + 1;
    begin(s, attributes);
}

static void on_end(void *arg, const char *name)
{
    state *s = arg;
    if (s->too_deep > 0) {
        s->too_deep--;
        return;
    }
    s->text[s->text_length] = '\0';
    end(s);
    s->path_length -= strlen(name) + 1;
    s->path[s->path_length] = '\0';
    s->text_length = 0;
}

static void on_text(void *arg, const char *text, int n)
{
    state *s = arg;
    const size_t room = sizeof s->text - 1 - s->text_length;
    const size_t k = (size_t)n < room ? (size_t)n : room;
    memcpy(s->text + s->text_length, text, k);
    s->text_length += k;
}

/* No CZI has a document type; entities are an attacker's tool. */
static void on_doctype(void *arg, const char *name, const char *system, const char *public_id, int internal)
{
    state *s = arg;
    (void)XML_StopParser(s->parser, XML_FALSE);
}

/* Feeds one piece; false at the end of what can be parsed. */
static bool feed(state *s, const char *piece, size_t n, int64_t fed, bool last)
{
    if (XML_Parse(s->parser, piece, (int)n, last) == XML_STATUS_ERROR) {
        (void)snprintf(s->meta->trouble, sizeof s->meta->trouble, "The XML metadata is damaged at line %lu (%s); names and sizes "
                                                                  "behind it are not known.",
                       (unsigned long)XML_GetCurrentLineNumber(s->parser), XML_ErrorString(XML_GetErrorCode(s->parser)));
        return false;
    }
    if (!last && fed - (int64_t)XML_GetCurrentByteIndex(s->parser) > LONGEST_TOKEN) {
        (void)snprintf(s->meta->trouble, sizeof s->meta->trouble, "The XML metadata is damaged: one tag is longer than %d bytes.",
                       LONGEST_TOKEN);
        return false;
    }
    return true;
}

static bool parse(state *s, pel__file *file, int64_t position, int64_t size, uint32_t *crc, pel_error *err)
{
    char *piece = malloc(PIECE_BYTES);
    bool ok = piece || pel__fail(err, PEL_NO_MEMORY, "%s: no memory to read the metadata", pel__file_path(file));
    for (int64_t at = 0; ok && at < size;) {
        const size_t n = (size_t)pel__min(PIECE_BYTES, size - at);
        ok = pel__file_read(file, position + at, piece, n, err);
        if (!ok)
            break;
        *crc = pel__crc32c(*crc, piece, n);
        const size_t text = strnlen(piece, n); /* some writers pad with NULs */
        at += (int64_t)n;
        if (!feed(s, piece, text, at, text < n || at == size) || text < n)
            break;
    }
    free(piece);
    if (ok && s->no_memory)
        ok = pel__fail(err, PEL_NO_MEMORY, "%s: no memory for the metadata", pel__file_path(file));
    return ok;
}

/* Where the XML lies; size 0 where there is none to be read, with the trouble noted. */
static bool find_xml(int64_t *size, pel__czi_meta *meta, const pel__czi_part *part, pel_error *err)
{
    pel__czi_segment segment;
    pel_error why = {0};
    uint8_t raw[4];
    *size = 0;
    if (part->metadata == 0)
        return true;
    if (!pel__czi_read_segment(&segment, part->file, part->metadata, "ZISRAWMETADATA", &why)) {
        (void)snprintf(meta->trouble, sizeof meta->trouble, "The XML metadata is not where the header says; names and pixel sizes "
                                                            "are not known.");
        return why.code != PEL_IO || pel__fail(err, why.code, "%s", why.text);
    }
    const int64_t left = pel__file_size(part->file) - part->metadata - XML_OFFSET;
    if (left <= 0)
        return true;
    if (!pel__file_read(part->file, part->metadata + PEL__CZI_SEGMENT_HEADER, raw, sizeof raw, err))
        return false;
    const int32_t told = pel__load_i32(raw);
    if (told < 0 || told > left || told > MOST_XML)
        (void)snprintf(meta->trouble, sizeof meta->trouble, "The XML metadata says it has %d bytes, which cannot be.", told);
    else
        *size = told;
    return true;
}

bool pel__czi_read_meta(pel__czi_meta *meta, const pel__czi_part *part, uint32_t *crc, pel_error *err)
{
    state s = {.meta = meta, .axis = -1};
    int64_t size = 0;
    bool ok = false;
    if (!find_xml(&size, meta, part, err))
        return false;
    if (size == 0)
        return true;
    s.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    s.parser = XML_ParserCreate("UTF-8");
    if (!s.c_locale || !s.parser) {
        (void)pel__fail(err, PEL_NO_MEMORY, "%s: no memory to read the metadata", pel__file_path(part->file));
        goto cleanup;
    }
    XML_SetUserData(s.parser, &s);
    XML_SetElementHandler(s.parser, on_begin, on_end);
    XML_SetCharacterDataHandler(s.parser, on_text);
    XML_SetStartDoctypeDeclHandler(s.parser, on_doctype);
    ok = parse(&s, part->file, part->metadata + XML_OFFSET, size, crc, err);
cleanup:
    if (s.parser)
        XML_ParserFree(s.parser);
    if (s.c_locale)
        freelocale(s.c_locale);
    return ok;
}

void pel__czi_meta_free(pel__czi_meta *meta)
{
    free(meta->channels);
    free(meta->displays);
    free(meta->scenes);
    free(meta->objectives);
}
