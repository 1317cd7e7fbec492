/* SPDX-License-Identifier: MIT
 * OME-TIFF: the XML in the first directory says which page, of which file, is which plane. It is read in two steps: expat
 * collects the few elements that matter into lists; then files are walked, planes are given their pages, and channels
 * their names. Everything that is named but not there becomes a missing plane with a note, never a guess. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"
#include "core/number.h"

#include <expat.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_IMAGES 65536
#define MOST_FLAT 10000 /* names of files that are compared with each other */
#define MOST_XML ((size_t)256 << 20)
#define MOST_RECORDS (INT64_C(1) << 22)

typedef struct data_record { /* TiffData */
    int64_t ifd, count, first[3]; /* -1 = not said; first in the order z, c, t */
    char *file;                   /* NULL = this one */
    bool self;
    enum { UNSAID, OWN, OTHER } uuid; /* is it that of the file with the XML, whatever the files are called? */
} data_record;

typedef struct pixels_record {
    char name[128], order[8], acquired[40], objective[64];
    int64_t size[3];       /* z, c, t */
    double pixel_size[PEL_AXES], place[PEL_AXES];
    bool placed, loose; /* loose: positions without a unit of length */
    int64_t first_data, data_count, first_channel, channel_count;
} pixels_record;

typedef struct objective_record {
    char id[64], name[96];
    double magnification, aperture;
} objective_record;

typedef struct list {
    void *items;
    int64_t count, room;
} list;

typedef struct ome {
    XML_Parser parser;
    pel_error error;
    list images, data, channels, objectives;
    bool in_pixels;
    char root_uuid[80];
    char metadata_file[256]; /* BinaryOnly: where the words are */
    char text[1024];       /* of UUID or AcquisitionDate */
    size_t text_used;
    bool keep_text;
} ome;

bool pel__tiff_is_ome_xml(const char *text, size_t n)
{
    size_t at = 0;
    while (at < n && strchr(" \n\r\t\xEF\xBB\xBF", text[at]) && text[at])
        at++;
    if (at == n || text[at] != '<')
        return false;
    for (const size_t end = (size_t)pel__min((int64_t)n, (int64_t)at + 8192); at + 5 < end; at++)
        if ((memcmp(text + at, "<OME", 4) == 0 && text[at + 4] && strchr(" >\n\r\t", text[at + 4])) || memcmp(text + at, ":OME ", 5) == 0)
            return true;
    return false;
}

static bool detect(const pel__tiff *t, const pel__tiff_head *head)
{
    return head->description && pel__tiff_is_ome_xml(head->description, head->description_bytes);
}

/* ---- collecting ---------------------------------------------------------------------------------------------- */

/* A new zeroed entry at the end; NULL with o->error set where there are too many or no memory. */
static void *add(ome *o, list *l, size_t size, int64_t most)
{
    if (l->count == l->room && l->count < most) {
        const int64_t want = l->room ? 2 * l->room : 16;
        void *more = realloc(l->items, (size_t)want * size);
        if (more) {
            l->items = more;
            l->room = want;
        }
    }
    if (l->count == l->room || l->count >= most) {
        (void)pel__fail(&o->error, PEL_NO_MEMORY, "OME-XML: more than %" PRId64 " elements of one kind, or no memory for them", l->count);
        (void)XML_StopParser(o->parser, XML_FALSE);
        return NULL;
    }
    void *item = (char *)l->items + (size_t)l->count++ * size;
    memset(item, 0, size);
    return item;
}

static const char *attribute(const char **attributes, const char *name)
{
    for (; *attributes; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    return NULL;
}

static int64_t whole(const char **attributes, const char *name, int64_t fallback)
{
    const char *text = attribute(attributes, name);
    char *end = NULL;
    const long long v = text ? strtoll(text, &end, 10) : 0;
    return text && end != text ? v : fallback;
}

static double number(const char **attributes, const char *name)
{
    const char *text = attribute(attributes, name);
    return text ? pel__tiff_number(text) : 0.0;
}

static void copy(char *out, size_t size, const char *text)
{
    if (text)
        (void)snprintf(out, size, "%s", text);
}

static void begin_pixels(ome *o, pixels_record *p, const char **a)
{
    static const struct { int axis; const char *size, *unit; } lengths[] = {
        {PEL_Z, "PhysicalSizeZ", "PhysicalSizeZUnit"}, {PEL_Y, "PhysicalSizeY", "PhysicalSizeYUnit"}, {PEL_X, "PhysicalSizeX", "PhysicalSizeXUnit"},
    };
    copy(p->order, sizeof p->order, attribute(a, "DimensionOrder"));
    p->size[0] = whole(a, "SizeZ", 1);
    p->size[1] = whole(a, "SizeC", 1);
    p->size[2] = whole(a, "SizeT", 1);
    for (int i = 0; i < 3; i++) {
        const char *unit = attribute(a, lengths[i].unit);
        const double v = pel__converted(number(a, lengths[i].size), unit ? pel__tiff_micrometres(unit) : 1.0);
        p->pixel_size[lengths[i].axis] = v > 0.0 ? v : 0.0;
    }
    const double dt = number(a, "TimeIncrement") * (attribute(a, "TimeIncrementUnit") ? pel__tiff_seconds(attribute(a, "TimeIncrementUnit")) : 1.0);
    p->pixel_size[PEL_T] = dt > 0.0 ? dt : 0.0;
    p->first_data = o->data.count;
    p->first_channel = o->channels.count;
    o->in_pixels = true;
}

static void begin_channel(ome *o, pixels_record *p, const char **a)
{
    pel_channel *c = add(o, &o->channels, sizeof *c, MOST_RECORDS);
    if (!c)
        return;
    p->channel_count++;
    copy(c->name, sizeof c->name, attribute(a, "Name"));
    c->rgb = attribute(a, "Color") ? (uint32_t)whole(a, "Color", 0) >> 8 & 0xFFFFFF : UINT32_MAX; /* RGBA in a signed number */
    c->emission_nm = number(a, "EmissionWavelength");
    c->excitation_nm = number(a, "ExcitationWavelength");
}

static void begin_data(ome *o, pixels_record *p, const char **a)
{
    data_record *d = add(o, &o->data, sizeof *d, MOST_RECORDS);
    if (!d)
        return;
    p->data_count++;
    d->ifd = whole(a, "IFD", -1);
    d->count = whole(a, "PlaneCount", -1);
    d->first[0] = whole(a, "FirstZ", 0);
    d->first[1] = whole(a, "FirstC", 0);
    d->first[2] = whole(a, "FirstT", 0);
    d->self = true;
}

/* Where the first plane lies on the stage. Without a unit it is a "reference frame" of its own, as the schema says. */
static void begin_plane(pixels_record *p, const char **a)
{
    static const struct { int axis; const char *position, *unit; } positions[] = {
        {PEL_Z, "PositionZ", "PositionZUnit"}, {PEL_Y, "PositionY", "PositionYUnit"}, {PEL_X, "PositionX", "PositionXUnit"},
    };
    if (p->placed && (whole(a, "TheZ", 0) != 0 || whole(a, "TheC", 0) != 0 || whole(a, "TheT", 0) != 0))
        return;
    p->placed = true;
    for (int i = 0; i < 3; i++) {
        const char *unit = attribute(a, positions[i].unit);
        const double v = number(a, positions[i].position), um = unit ? pel__tiff_micrometres(unit) : 0.0;
        p->place[positions[i].axis] = v * um;
        p->loose = p->loose || (v != 0.0 && um == 0.0);
    }
}

static void begin_objective(ome *o, const char **a)
{
    objective_record *r = add(o, &o->objectives, sizeof *r, MOST_IMAGES);
    if (!r)
        return;
    copy(r->id, sizeof r->id, attribute(a, "ID"));
    copy(r->name, sizeof r->name, attribute(a, "Model"));
    r->magnification = number(a, "NominalMagnification");
    r->aperture = number(a, "LensNA");
}

static const char *local(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon ? colon + 1 : name;
}

static pixels_record *last_image(const ome *o) { return o->images.count ? (pixels_record *)o->images.items + o->images.count - 1 : NULL; }
static data_record *last_data(const ome *o) { return o->data.count ? (data_record *)o->data.items + o->data.count - 1 : NULL; }

static void XMLCALL on_start(void *arg, const char *qualified, const char **a)
{
    ome *o = arg;
    const char *name = local(qualified);
    pixels_record *p = last_image(o);
    if (strcmp(name, "Image") == 0) {
        pixels_record *n = add(o, &o->images, sizeof *n, MOST_IMAGES);
        if (n)
            copy(n->name, sizeof n->name, attribute(a, "Name"));
    } else if (strcmp(name, "Pixels") == 0 && p) {
        begin_pixels(o, p, a);
    } else if (strcmp(name, "Channel") == 0 && o->in_pixels) {
        begin_channel(o, p, a);
    } else if (strcmp(name, "TiffData") == 0 && o->in_pixels) {
        begin_data(o, p, a);
    } else if (strcmp(name, "Plane") == 0 && o->in_pixels) {
        begin_plane(p, a);
    } else if (strcmp(name, "UUID") == 0 && o->in_pixels && p->data_count) {
        const char *file = attribute(a, "FileName");
        data_record *d = last_data(o);
        if (!d->file && file)
            d->file = strdup(file);
        d->self = false; /* until the text proves to be our own */
        o->keep_text = true;
    } else if (strcmp(name, "AcquisitionDate") == 0 && p) {
        o->keep_text = true;
    } else if (strcmp(name, "Objective") == 0) {
        begin_objective(o, a);
    } else if (strcmp(name, "ObjectiveSettings") == 0 && p) {
        copy(p->objective, sizeof p->objective, attribute(a, "ID"));
    } else if (strcmp(name, "BinaryOnly") == 0) {
        copy(o->metadata_file, sizeof o->metadata_file, attribute(a, "MetadataFile"));
    } else if (strcmp(name, "OME") == 0) {
        copy(o->root_uuid, sizeof o->root_uuid, attribute(a, "UUID"));
    }
    o->text_used = 0;
    o->text[0] = '\0';
}

static void XMLCALL on_text(void *arg, const char *text, int n)
{
    ome *o = arg;
    if (!o->keep_text)
        return;
    const size_t k = (size_t)pel__min(n, (int64_t)(sizeof o->text - 1 - o->text_used));
    memcpy(o->text + o->text_used, text, k);
    o->text_used += k;
    o->text[o->text_used] = '\0';
}

static void end_uuid(const ome *o, data_record *d)
{
    d->uuid = !o->root_uuid[0] || !o->text[0] ? UNSAID : strcmp(o->text, o->root_uuid) == 0 ? OWN : OTHER;
    d->self = d->file == NULL || d->uuid == OWN;
}

static void XMLCALL on_end(void *arg, const char *qualified)
{
    ome *o = arg;
    const char *name = local(qualified);
    if (strcmp(name, "Pixels") == 0)
        o->in_pixels = false;
    else if (strcmp(name, "UUID") == 0 && o->in_pixels && o->data.count && o->keep_text)
        end_uuid(o, last_data(o));
    else if (strcmp(name, "AcquisitionDate") == 0 && last_image(o))
        (void)snprintf(last_image(o)->acquired, sizeof last_image(o)->acquired, "%.39s", o->text);
    o->keep_text = false;
}

/* encoding NULL: as the document says, UTF-8 if it says nothing. */
static void parse_as(ome *o, const pel__tiff_head *head, const char *encoding)
{
    o->parser = XML_ParserCreate(encoding);
    if (!o->parser) {
        (void)pel__fail(&o->error, PEL_NO_MEMORY, "no memory for the OME-XML");
        return;
    }
    XML_SetUserData(o->parser, o);
    XML_SetElementHandler(o->parser, on_start, on_end);
    XML_SetCharacterDataHandler(o->parser, on_text);
    enum XML_Status status = XML_STATUS_OK;
    for (size_t at = 0; status == XML_STATUS_OK && at < head->description_bytes;) {
        const size_t n = (size_t)pel__min(1 << 20, (int64_t)(head->description_bytes - at));
        status = XML_Parse(o->parser, head->description + at, (int)n, at + n == head->description_bytes);
        at += n;
    }
    const enum XML_Error reason = XML_GetErrorCode(o->parser);
    if (status != XML_STATUS_OK && !o->error.code)
        (void)pel__fail(&o->error, PEL_FORMAT, "OME-XML, line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(o->parser), XML_ErrorString(reason));
    XML_ParserFree(o->parser);
    o->parser = NULL;
}

static bool is_utf8(const char *text)
{
    for (const uint8_t *p = (const uint8_t *)text; *p;) {
        const int more = *p < 0x80 ? 0 : *p >= 0xF0 ? 3 : *p >= 0xE0 ? 2 : *p >= 0xC2 ? 1 : -1;
        p++;
        for (int i = 0; i < more; i++, p++)
            if ((*p & 0xC0) != 0x80)
                return false;
        if (more < 0)
            return false;
    }
    return true;
}

/* Some writers promise UTF-8 and write the micro sign as one byte of Latin-1. */
static bool parse(ome *o, const pel__tiff_head *head, pel_error *err)
{
    parse_as(o, head, is_utf8(head->description) ? NULL : "ISO-8859-1");
    return !o->error.code || pel__fail(err, o->error.code, "%s", o->error.text);
}

static void finish(ome *o)
{
    for (int64_t i = 0; i < o->data.count; i++)
        free(((data_record *)o->data.items)[i].file);
    free(o->images.items);
    free(o->data.items);
    free(o->channels.items);
    free(o->objectives.items);
}

/* ---- files of a set ------------------------------------------------------------------------------------------ */

/* The files that were asked for by name so that each is opened once; present ones point into the set. */
typedef struct known_file {
    const char *name; /* borrowed from a data_record */
    int32_t file;     /* -1: not there */
} known_file;

typedef struct resolver {
    pel__tiff *t;
    const ome *o;
    known_file *known;
    int64_t known_count;
    int32_t self;     /* the file that holds the XML; -1 = no TIFF */
    bool renamed;     /* every record names one and the same file, which is not there: it is this one under its old name */
    bool has_own;     /* a record has the UUID of the file that holds the XML: those of others mean other files */
    char missing[128];
    int64_t missing_files;
    int64_t patience; /* placements left: a hostile file could name every plane a million times */
} resolver;

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *back = strrchr(path, '\\');
    if (back && (!slash || back > slash))
        slash = back;
    return slash ? slash + 1 : path;
}

/* A name from inside a file never leads out of its folder: with folders below it, or only its bare name. */
static bool sibling(const pel__tiff *t, const char *name, bool bare, char *path, size_t size)
{
    const char *self = t->base.path, *slash = strrchr(self, '/');
    const int folder = slash ? (int)(slash - self) + 1 : 0;
    name = bare ? base_name(name) : name;
    if (!name[0] || snprintf(path, size, "%.*s%s", folder, self, name) >= (int)size)
        return false;
    for (char *p = path + folder; *p; p++)
        *p = *p == '\\' ? '/' : *p;
    if (path[folder] == '/' || strchr(path + folder, ':'))
        return false;
    for (const char *p = path + folder; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    }
    return true;
}

/* Number of the file at this path, walked now if it was not before; -1 where it cannot be. */
static int32_t open_path(const resolver *r, const char *path, pel_error *trouble)
{
    const pel__tiff_set *s = &r->t->set;
    for (int32_t i = 0; i < s->file_count && i < 2; i++) /* the one that was opened, and the one with the metadata */
        if (strcmp(path, s->files[i].path) == 0)
            return i;
    return pel__tiff_walk(&r->t->set, path, NULL, trouble) ? (int32_t)s->file_count - 1 : -1;
}

/* Several names that end alike mean several files, of which a flat folder can hold one. */
static bool bare_name_is_unique(const resolver *r, const char *name)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->known_count && r->known_count <= MOST_FLAT; i++)
        n += strcmp(base_name(r->known[i].name), base_name(name)) == 0;
    return n == 1;
}

/* Where the name says below the folder, else beside the file that was opened. */
static int32_t open_sibling(const resolver *r, const char *name, pel_error *trouble)
{
    char path[PEL__PATH_MAX];
    const bool plain = strcmp(base_name(name), name) == 0;
    int32_t file = sibling(r->t, name, false, path, sizeof path) ? open_path(r, path, trouble) : -1;
    if (file >= 0 || plain || (trouble->code && trouble->code != PEL_NOT_FOUND) || !bare_name_is_unique(r, name) || !sibling(r->t, name, true, path, sizeof path))
        return file;
    *trouble = (pel_error){0};
    return open_path(r, path, trouble);
}

static bool names_other(const resolver *r, const data_record *d) { return d->file && (!d->self || r->self < 0); }

static int by_name(const void *a, const void *b) { return strcmp(((const known_file *)a)->name, ((const known_file *)b)->name); }

static void note_missing(resolver *r, const char *name)
{
    if (r->missing_files++ == 0)
        (void)snprintf(r->missing, sizeof r->missing, "%.120s", base_name(name));
}

static bool is_renamed(const resolver *r)
{
    const data_record *d = r->o->data.items;
    if (r->self != 0 || r->known_count != 1 || r->known[0].file >= 0)
        return false;
    for (int64_t i = 0; i < r->o->data.count; i++)
        if (!names_other(r, &d[i]) || d[i].uuid == OTHER)
            return false; /* planes of its own, or a mark of its own: the file that is not there is another one */
    return true;
}

/* All names, sorted, once each; then each opened. A file that is there but broken is an error, not a hole. */
static bool find_files(resolver *r, pel_error *err)
{
    const data_record *d = r->o->data.items;
    r->known = calloc((size_t)pel__max(1, r->o->data.count), sizeof *r->known);
    if (!r->known)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the names of files");
    int64_t n = 0;
    for (int64_t i = 0; i < r->o->data.count; i++) {
        r->has_own = r->has_own || d[i].uuid == OWN;
        if (names_other(r, &d[i]))
            r->known[n++] = (known_file){.name = d[i].file, .file = -1};
    }
    qsort(r->known, (size_t)n, sizeof *r->known, by_name);
    for (int64_t i = 0; i < n; i++)
        if (r->known_count == 0 || strcmp(r->known[r->known_count - 1].name, r->known[i].name) != 0)
            r->known[r->known_count++] = r->known[i];
    for (int64_t i = 0; i < r->known_count; i++) {
        pel_error trouble = {0};
        r->known[i].file = open_sibling(r, r->known[i].name, &trouble);
        if (r->known[i].file < 0 && trouble.code && trouble.code != PEL_NOT_FOUND)
            return pel__fail(err, trouble.code, "%s", trouble.text);
        if (r->known[i].file < 0)
            note_missing(r, r->known[i].name);
    }
    r->renamed = is_renamed(r);
    if (r->renamed)
        r->missing_files = 0;
    return true;
}

static int32_t file_of(const resolver *r, const data_record *d)
{
    if (!d->file && d->uuid == OTHER && r->has_own)
        return -1; /* a file whose name is not said */
    if (!names_other(r, d) || r->renamed)
        return r->self;
    const known_file key = {.name = d->file};
    const known_file *k = bsearch(&key, r->known, (size_t)r->known_count, sizeof *r->known, by_name);
    return k ? k->file : -1;
}

/* ---- planes -------------------------------------------------------------------------------------------------- */

/* A counter over z, c, t in the order that the file names. */
typedef struct counter {
    int64_t at[3], size[3]; /* z, c, t */
    int order[3];
} counter;

static bool parse_order(const char *text, int order[3])
{
    static const char letters[] = "ZCT";
    if (strlen(text) != 5 || strncmp(text, "XY", 2) != 0)
        return false;
    for (int i = 0; i < 3; i++) {
        const char *l = strchr(letters, text[2 + i]);
        if (!l)
            return false;
        order[i] = (int)(l - letters);
    }
    return order[0] != order[1] && order[1] != order[2] && order[0] != order[2];
}

static bool step(counter *c) /* false behind the last plane */
{
    for (int i = 0; i < 3; i++) {
        const int axis = c->order[i];
        if (++c->at[axis] < c->size[axis])
            return true;
        c->at[axis] = 0;
    }
    return false;
}

/* The planes of one TiffData element. */
static bool place(resolver *r, int32_t image, const data_record *d, counter c, bool alone, pel_error *err)
{
    pel__tiff_image *im = &r->t->images[image];
    const pel__tiff_set *s = &r->t->set;
    const int32_t file = file_of(r, d);
    if (file < 0)
        return true; /* its planes stay missing */
    const pel__tiff_file *f = &s->files[file];
    int64_t ifd = pel__max(0, d->ifd), left = d->count >= 0 ? d->count : d->ifd >= 0 || !alone ? 1 : f->page_count;
    memcpy(c.at, d->first, sizeof c.at);
    for (int i = 0; i < 3; i++)
        if (c.at[i] < 0 || c.at[i] >= c.size[i])
            return left == 0 || pel__fail(err, PEL_FORMAT, "OME-XML, image %d: TiffData begins at Z %" PRId64 " C %" PRId64 " T %" PRId64 ", outside the image", image,
                                          d->first[0], d->first[1], d->first[2]);
    for (bool more = true; more && left > 0 && ifd < f->page_count; more = step(&c), left--, ifd++) {
        const int64_t page = f->first_page + ifd;
        if (r->patience-- <= 0)
            return pel__fail(err, PEL_FORMAT, "OME-XML, image %d: TiffData elements name the same planes over and over", image);
        const pel__tiff_geometry *g = &s->geometries[s->pages[page].geometry], *want = &s->geometries[im->geometry];
        if (!pel__tiff_same_pixels(g, want))
            return pel__fail(err, PEL_FORMAT, "OME-XML, image %d: directory %" PRId64 " of %s holds %" PRId64 " x %" PRId64 " pixels of %d bits in %d samples, expected %" PRId64
                             " x %" PRId64 " of %d in %d", image, ifd, base_name(f->path), g->width, g->height, g->bits, g->samples, want->width, want->height,
                             want->bits, want->samples);
        im->page[(c.at[2] * c.size[1] + c.at[1]) * c.size[0] + c.at[0]] = (int32_t)page;
    }
    return true;
}

/* The geometry of the first page that the image names and that is there; -1 = none. */
static int32_t first_geometry(const resolver *r, const pixels_record *p)
{
    const data_record *d = p->data_count > 0 ? (const data_record *)r->o->data.items + p->first_data : NULL;
    for (int64_t i = 0; i < p->data_count; i++) {
        const int32_t file = file_of(r, &d[i]);
        const int64_t ifd = pel__max(0, d[i].ifd);
        if (file >= 0 && d[i].count != 0 && ifd < r->t->set.files[file].page_count)
            return r->t->set.pages[r->t->set.files[file].first_page + ifd].geometry;
    }
    return r->self == 0 && p->data_count == 0 && r->o->images.count == 1 ? r->t->set.pages[0].geometry : -1;
}

static bool place_all(resolver *r, int32_t image, const pixels_record *p, int64_t groups, pel_error *err)
{
    static const data_record everything = {.ifd = -1, .count = -1, .self = true};
    const data_record *d = p->data_count ? (const data_record *)r->o->data.items + p->first_data : &everything;
    counter c = {.size = {p->size[0], groups, p->size[2]}};
    r->patience = 4 * p->size[0] * groups * p->size[2] + p->data_count;
    if (!parse_order(p->order, c.order))
        return pel__fail(err, PEL_FORMAT, "OME-XML, image %d: DimensionOrder \"%s\"", image, p->order);
    for (int64_t i = 0; i < pel__max(1, p->data_count); i++)
        if (!place(r, image, &d[i], c, p->data_count <= 1, err))
            return false;
    return true;
}

/* ---- words --------------------------------------------------------------------------------------------------- */

static void name_channel(const ome *o, const pixels_record *p, pel_image *im, int64_t c, int32_t samples)
{
    pel_channel *ch = (pel_channel *)(uintptr_t)&im->channels[c]; /* ours, const to the public */
    if (c / samples >= p->channel_count)
        return;
    const pel_channel *from = (const pel_channel *)o->channels.items + p->first_channel + c / samples;
    char own[sizeof ch->name];
    memcpy(own, ch->name, sizeof own);
    if (from->name[0] && samples == 1)
        memcpy(ch->name, from->name, sizeof ch->name);
    else if (from->name[0])
        (void)snprintf(ch->name, sizeof ch->name, "%.80s %.8s", from->name, im->samples > 1 ? own : "");
    if (from->rgb != UINT32_MAX && samples == 1)
        ch->rgb = from->rgb;
    ch->emission_nm = from->emission_nm > 0.0 ? from->emission_nm : 0.0;
    ch->excitation_nm = from->excitation_nm > 0.0 ? from->excitation_nm : 0.0;
}

static void add_words(const ome *o, const pixels_record *p, pel_image *im, int32_t samples)
{
    memcpy(im->name, p->name, sizeof im->name);
    memcpy(im->acquired, p->acquired, sizeof im->acquired);
    memcpy(im->pixel_size, p->pixel_size, sizeof im->pixel_size);
    for (int i = PEL_Z; i <= PEL_X; i++)
        im->place[i] = im->pixel_size[i] > 0.0 ? p->place[i] : 0.0;
    for (int64_t c = 0; c < im->shape[PEL_C]; c++)
        name_channel(o, p, im, c, samples);
    const objective_record *lens = o->objectives.items;
    for (int64_t i = 0; i < o->objectives.count; i++)
        if (strcmp(lens[i].id, p->objective) == 0 && p->objective[0]) {
            memcpy(im->objective, lens[i].name, sizeof im->objective);
            im->magnification = lens[i].magnification;
            im->aperture = lens[i].aperture;
        }
}

static bool describe_image(resolver *r, int32_t image, pel_error *err)
{
    const pixels_record *p = (const pixels_record *)r->o->images.items + image;
    const int32_t geometry = first_geometry(r, p);
    if (geometry < 0)
        return pel__fail(err, PEL_UNSUPPORTED, "OME-XML, image %d (\"%s\"): none of its planes is in a file that is here%s%s", image, p->name,
                         r->missing[0] ? "; the first that is looked for is " : "", r->missing);
    const int32_t samples = r->t->set.geometries[geometry].samples;
    const int64_t groups = p->size[1] % samples == 0 ? p->size[1] / samples : p->size[1];
    const int64_t tgz[3] = {p->size[2], groups, p->size[0]};
    for (int i = 0; i < 3; i++)
        if (tgz[i] < 1)
            return pel__fail(err, PEL_FORMAT, "OME-XML, image %d: a size of %" PRId64, image, tgz[i]);
    if (!pel__tiff_shape_image(r->t, image, geometry, tgz, err) || !place_all(r, image, p, groups, err))
        return false;
    add_words(r->o, p, &r->t->base.images[image], samples);
    pel__tiff_count_missing(r->t, image);
    if (p->loose)
        pel__tiff_note(r->t, image, PEL__NOTE_METADATA, 0, "Positions of the stage have no unit of length and are left out.");
    if (r->missing_files)
        pel__tiff_note(r->t, image, PEL__NOTE_MISSING, r->missing_files, "%" PRId64 " files of the set are not here, the first is %s.", r->missing_files, r->missing);
    return true;
}

bool pel__tiff_load_words(pel__tiff *t, const char *path, pel__tiff_head *head, int32_t *file, pel_error *err)
{
    char begin[2] = "";
    size_t n = 0;
    pel__file *f = NULL;
    *file = -1;
    if (!pel__file_open(&f, path, err))
        return false;
    bool ok = pel__file_read_some(f, 0, begin, sizeof begin, &n, err);
    pel__file_close(f);
    if (ok && (memcmp(begin, "II", 2) == 0 || memcmp(begin, "MM", 2) == 0)) {
        ok = pel__tiff_walk(&t->set, path, head, err);
        *file = ok ? (int32_t)t->set.file_count - 1 : -1;
    } else if (ok) {
        ok = pel__file_slurp(&head->description, &head->description_bytes, path, MOST_XML, err);
        t->set.crc32c = ok && t->set.file_count == 0 ? pel__crc32c(t->set.crc32c, head->description, head->description_bytes) : t->set.crc32c;
    }
    return ok;
}

/* BinaryOnly: the XML of another file takes the place of this one's. */
static bool borrow_words(resolver *r, ome *o, pel_error *err)
{
    char path[PEL__PATH_MAX];
    pel__tiff_head head = {0};
    pel_error trouble = {0};
    if (!o->metadata_file[0] || !sibling(r->t, o->metadata_file, true, path, sizeof path))
        return pel__fail(err, PEL_UNSUPPORTED, "OME-XML without an Image");
    bool ok = pel__tiff_load_words(r->t, path, &head, &r->self, &trouble);
    finish(o);
    *o = (ome){0};
    if (!ok)
        (void)pel__fail(err, trouble.code, "its metadata are in another file, which may be opened where it lies: %s", trouble.text);
    else if (!head.description || !parse(o, &head, err))
        ok = pel__where(err, "%s: ", path);
    else if (o->images.count == 0)
        ok = pel__fail(err, PEL_UNSUPPORTED, "%s: OME-XML without an Image", path);
    pel__tiff_head_finish(&head);
    return ok;
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    ome o = {0};
    resolver r = {.t = t, .o = &o, .self = t->set.file_count ? 0 : -1};
    bool ok = parse(&o, head, err);
    if (ok && o.images.count == 0)
        ok = borrow_words(&r, &o, err);
    ok = ok && find_files(&r, err) && pel__tiff_add_images(t, (int32_t)o.images.count, err);
    for (int32_t i = 0; ok && i < o.images.count; i++)
        ok = describe_image(&r, i, err);
    free(r.known);
    finish(&o);
    return ok;
}

const pel__tiff_dialect pel__tiff_ome = {.name = "OME-XML", .detect = detect, .describe = describe};
