/* SPDX-License-Identifier: MIT
 * OME-Zarr metadata (0.1 to 0.5) into pel_image: axes, level, pixel sizes, channels. Patient with what is only for
 * viewers, strict with what decides which voxel is where. */
#include "core/bytes.h"
#include "source/zarr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CHANNELS 65536
#define MAX_ALL_CHANNELS (INT64_C(1) << 20)

json_object *pel__zarr_ome(const pel__zarr_node *node, pel_error *err)
{
    json_object *const ome = pel__json_get(node->attributes, "ome", json_type_object);
    if (!ome)
        return node->attributes;
    const char *const version = pel__json_string(ome, "version");
    if (version && strcmp(version, "0.5") != 0 && strncmp(version, "0.6", 3) != 0) {
        (void)pel__fail(err, PEL_UNSUPPORTED, "OME-Zarr version \"%s\": pellucid reads up to 0.6; an array in it can be opened by its path", version);
        return NULL;
    }
    return ome;
}

/* ---- axes -------------------------------------------------------------------------------------------------- */

#define NO_AXIS {"", "", ""}
#define NO_AXES {NO_AXIS, NO_AXIS, NO_AXIS, NO_AXIS, NO_AXIS, NO_AXIS, NO_AXIS, NO_AXIS}

/* Without axes (0.1, 0.2): t c z y x. Strings (0.3) or objects (since 0.4). */
static bool parse_axes(json_object *list, int32_t ndim, pel__zarr_axis *out, pel_error *err)
{
    static const char *const five[PEL_AXES] = {"t", "c", "z", "y", "x"};
    const size_t n = list ? json_object_array_length(list) : PEL_AXES;
    if (n != (size_t)ndim)
        return pel__fail(err, PEL_FORMAT, "multiscales: %zu axes, the array has %d", n, (int)ndim);
    for (size_t i = 0; i < n; i++) {
        json_object *const o = list ? json_object_array_get_idx(list, i) : NULL;
        const char *const type = pel__json_string(o, "type"), *const unit = pel__json_string(o, "unit");
        const char *const name = !list ? five[i]
            : json_object_is_type(o, json_type_string) ? json_object_get_string(o)
                                                       : pel__json_string(o, "name");
        if (!name)
            return pel__fail(err, PEL_FORMAT, "multiscales: axis %zu has no name", i);
        out[i] = (pel__zarr_axis){.name = name, .type = type ? type : "", .unit = unit ? unit : ""};
    }
    return true;
}

static int32_t axis_of(const char *name, const char *type)
{
    static const char letters[] = "tczyx"; /* in the order of enum pel_axis */
    const char low = (char)(name[0] | 0x20);
    const char *const p = name[0] && !name[1] ? strchr(letters, low) : NULL;
    if (p && *p)
        return (int32_t)(p - letters);
    if (strcmp(type, "time") == 0 || strcmp(name, "time") == 0)
        return PEL_T;
    if (strcmp(type, "channel") == 0 || strcmp(name, "channel") == 0)
        return PEL_C;
    return PEL__AXIS_NONE;
}

/* Which image axis each array axis is; one that is none must have length 1. */
static bool map_axes(pel__zarr_image *own, const pel__zarr_axis *axes, pel_error *err)
{
    bool seen[PEL_AXES] = {false};
    const pel__zarr_array *const a = own->array;
    for (int32_t i = 0; i < a->ndim; i++) {
        const int32_t k = axis_of(axes[i].name, axes[i].type);
        if (own->axis[i] == PEL__AXIS_POSITION)
            continue;
        own->axis[i] = k;
        if (k >= 0 && seen[k])
            return pel__fail(err, PEL_FORMAT, "two axes \"%s\"", axes[i].name);
        if (k < 0 && a->shape[i] != 1)
            return pel__fail(err, PEL_UNSUPPORTED, "axis \"%s\" of length %lld: pellucid reads t, c, z, y, x", axes[i].name,
                             (long long)a->shape[i]);
        if (k >= 0)
            seen[k] = true;
    }
    if (!seen[PEL_Y] || !seen[PEL_X])
        return pel__fail(err, PEL_FORMAT, "no axes y and x");
    return true;
}

/* ---- image ------------------------------------------------------------------------------------------------- */

static const char *last_part(const char *path)
{
    const char *p = path + strlen(path);
    while (p > path && p[-1] == '/')
        p--;
    while (p > path && p[-1] != '/')
        p--;
    return p;
}

/* What is stored does not look as the metadata say. */
static void note_chunks(pel__zarr_source *s, int32_t number)
{
    const pel__zarr_array *const a = s->list[number].array;
    if (a->separator_unlike)
        pel__zarr_note(s, number, PEL__NOTE_METADATA, "The metadata name another separator of chunk keys; no chunk has it, they are read with \"%c\".", a->separator);
    if (a->empty)
        pel__zarr_note(s, number, PEL__NOTE_MISSING, "0 of %lld chunks are there: all voxels have the fill value.", (long long)pel__zarr_array_cells(a));
}

/* Shape, tile, type, channels without names: all that the array itself tells. */
static bool keep_array(pel__zarr_source *s, int32_t number, pel_error *err)
{
    pel_image *const image = &s->base.images[number];
    pel__zarr_image *const own = &s->list[number];
    const pel__zarr_array *const a = own->array;
    const pel__zarr_chain *const leaf = pel__chain_leaf(&a->chain);
    for (int i = 0; i < PEL_AXES; i++)
        image->shape[i] = image->tile[i] = 1;
    for (int32_t i = 0; i < a->ndim; i++) {
        if (a->shape[i] < 1)
            return pel__fail(err, PEL_FORMAT, "axis %d has length 0: there is nothing to read", (int)i);
        if (own->axis[i] < 0)
            continue;
        image->shape[own->axis[i]] = a->shape[i];
        image->tile[own->axis[i]] = pel__min(leaf->shape[i], a->shape[i]);
    }
    if (image->shape[PEL_C] > MAX_CHANNELS)
        return pel__fail(err, PEL_UNSUPPORTED, "%lld channels", (long long)image->shape[PEL_C]);
    s->channels += image->shape[PEL_C]; /* one array can be named by any number of images */
    if (s->channels > MAX_ALL_CHANNELS)
        return pel__fail(err, PEL_UNSUPPORTED, "%lld channels in images 0 to %d", (long long)s->channels, (int)number);
    own->channels = calloc((size_t)image->shape[PEL_C], sizeof *own->channels);
    if (!own->channels)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    image->channels = own->channels;
    image->dtype = a->type.dtype;
    image->samples = 1;
    image->planes = image->shape[PEL_T] * image->shape[PEL_C] * image->shape[PEL_Z];
    pel__chain_text(&a->chain, image->compression, sizeof image->compression);
    (void)snprintf(image->name, sizeof image->name, "%.*s", (int)strcspn(last_part(s->base.path), "/"),
                   last_part(s->base.path));
    note_chunks(s, number);
    if (a->type.half)
        pel__zarr_note(s, number, PEL__NOTE_CONVERTED, "The data type is float16; it is read as float32.");
    if (a->type.boolean)
        pel__zarr_note(s, number, PEL__NOTE_CONVERTED, "The data type is bool; it is read as uint8, 0 or 1.");
    return true;
}

static double number_or(json_object *o, const char *key, double other)
{
    json_object *value = NULL;
    if (!o || !json_object_object_get_ex(o, key, &value) || !value)
        return other;
    const bool number = json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int);
    const double v = number ? json_object_get_double(value) : other;
    return isfinite(v) ? v : other;
}

static void keep_channels(pel__zarr_image *own, const pel_image *image, json_object *ome)
{
    json_object *const list = pel__json_get(pel__json_get(ome, "omero", json_type_object), "channels", json_type_array);
    for (int64_t c = 0; list && c < image->shape[PEL_C] && (size_t)c < json_object_array_length(list); c++) {
        json_object *const o = json_object_array_get_idx(list, (size_t)c);
        json_object *const window = pel__json_get(o, "window", json_type_object);
        const char *const label = pel__json_string(o, "label"), *const color = pel__json_string(o, "color");
        pel_channel *const channel = &own->channels[c];
        if (label)
            (void)snprintf(channel->name, sizeof channel->name, "%s", label);
        const char *const hex = color && color[0] == '#' ? color + 1 : color;
        if (hex && strspn(hex, "0123456789abcdefABCDEF") >= 6)
            channel->rgb = (uint32_t)strtoul((char[]){hex[0], hex[1], hex[2], hex[3], hex[4], hex[5], 0}, NULL, 16);
        channel->window_start = number_or(window, "start", 0);
        channel->window_end = number_or(window, "end", channel->window_start);
    }
}

/* The path of a level must stay inside the store. */
static bool level_path(char *out, size_t size, const char *group, json_object *dataset, pel_error *err)
{
    const char *const path = pel__json_string(dataset, "path");
    if (!path || !path[0] || path[0] == '/' || strstr(path, ".."))
        return pel__fail(err, PEL_FORMAT, "multiscales: the path of the level is \"%s\"", path ? path : "");
    const int n = snprintf(out, size, "%s%s%s", group, group[0] ? "/" : "", path);
    return (n > 0 && (size_t)n < size) || pel__fail(err, PEL_FORMAT, "multiscales: the path of the level is too long");
}

static bool open_level(pel__zarr_source *s, int32_t number, const char *path, pel_error *err)
{
    pel__zarr_node node = {0};
    if (!pel__zarr_node_read(&node, s->store, path, err))
        return false;
    s->base.identity_size += node.bytes;
    s->base.identity_crc32c = pel__crc32c(s->base.identity_crc32c, &node.crc32c, sizeof node.crc32c);
    s->absent = node.kind == PEL__NODE_NONE;
    const bool ok = node.kind != PEL__NODE_ARRAY
        ? pel__fail(err, PEL_FORMAT, "%s: the metadata names this level, but no array is there", path)
        : pel__zarr_array_open(&s->list[number].array, s->store, path, &node, err);
    if (ok && node.stale)
        pel__zarr_note(s, number, PEL__NOTE_METADATA, "The consolidated metadata of the store are older than %s: its own document is used.", path);
    pel__zarr_node_free(&node);
    return ok;
}

static bool check_version(const pel__zarr_node *group, json_object *multiscale, pel_error *err)
{
    const char *const version = pel__json_string(multiscale, "version");
    static const char *const known[] = {"0.1", "0.2", "0.3", "0.4", "0.5"};
    if (!version || group->format == 3)
        return true;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(version, known[i]) == 0)
            return true;
    return pel__fail(err, PEL_UNSUPPORTED, "OME-Zarr version \"%s\": pellucid reads up to 0.5 on Zarr v2; an array in it can be opened by its path", version);
}

bool pel__zarr_ome_image(pel__zarr_source *s, int32_t number, const char *path, const pel__zarr_node *group, int32_t level,
                         pel_error *err)
{
    pel_error e = {0};
    pel__zarr_axis axes[PEL_MAX_NDIM] = NO_AXES;
    char full[PEL__PATH_MAX];
    json_object *const ome = pel__zarr_ome(group, &e);
    if (e.code)
        return pel__fail(err, e.code, "%s", e.text);
    json_object *const list = pel__json_get(ome, "multiscales", json_type_array);
    json_object *const multiscale = list ? json_object_array_get_idx(list, 0) : NULL;
    json_object *const datasets = pel__json_get(multiscale, "datasets", json_type_array);
    const int64_t levels = datasets ? (int64_t)json_object_array_length(datasets) : 0;
    if (levels < 1)
        return pel__fail(err, PEL_FORMAT, "group \"%s\": no multiscales with datasets", path);
    if (level < 0 || level >= levels)
        return pel__fail(err, PEL_NOT_FOUND, "level %d: the image has levels 0 to %lld", (int)level, (long long)levels - 1);
    json_object *const dataset = json_object_array_get_idx(datasets, (size_t)level);
    if (!check_version(group, multiscale, err) || !level_path(full, sizeof full, path, dataset, err)
        || !open_level(s, number, full, err))
        return false;
    if (!parse_axes(pel__zarr_axes(multiscale, dataset), s->list[number].array->ndim, axes, err) || !map_axes(&s->list[number], axes, err)
        || !keep_array(s, number, err))
        return pel__where(err, "%s: ", full);
    pel__zarr_keep_space(s, number, multiscale, dataset, axes);
    keep_channels(&s->list[number], &s->base.images[number], ome);
    const char *const name = pel__json_string(multiscale, "name");
    if (name && name[0])
        (void)snprintf(s->base.images[number].name, sizeof s->base.images[number].name, "%s", name);
    return true;
}

/* ---- bare arrays ------------------------------------------------------------------------------------------- */

/* "p" or "position" of the names an array may bear. */
static bool is_position(const char *name)
{
    return (name[0] | 0x20) == 'p' && (name[1] == '\0' || strcmp(name + 1, "osition") == 0);
}

/* Which axis is that of positions, if any: told by the names; two are one too many. */
static bool find_positions(pel__zarr_image *own, const pel__zarr_axis *axes, int32_t *found, pel_error *err)
{
    *found = -1;
    for (int32_t i = 0; i < own->array->ndim; i++) {
        if (!is_position(axes[i].name))
            continue;
        if (*found >= 0)
            return pel__fail(err, PEL_ARGUMENT, "two axes of positions");
        *found = i;
        own->axis[i] = PEL__AXIS_POSITION;
    }
    return true;
}

/* Letters from the caller, else the array's own names if all are known, else the last ones of t c z y x. */
static bool bare_axes(const pel__zarr_array *a, const char *letters, pel__zarr_axis *out, char text[][2], pel_error *err)
{
    const char *const all = "tczyx";
    bool named = !letters;
    for (int32_t i = 0; named && i < a->ndim; i++)
        named = a->name[i][0] && (axis_of(a->name[i], "") >= 0 || is_position(a->name[i]));
    if (!letters && !named && a->ndim > PEL_AXES)
        return pel__fail(err, PEL_UNSUPPORTED, "an array of %d axes without names: say what they are, for example axes ptczyx",
                         (int)a->ndim);
    if (letters && strlen(letters) != (size_t)a->ndim)
        return pel__fail(err, PEL_ARGUMENT, "axes \"%s\": the array has %d axes", letters, (int)a->ndim);
    if (letters && strspn(letters, "ptczyx") != strlen(letters))
        return pel__fail(err, PEL_ARGUMENT, "axes \"%s\": expected letters of p t c z y x", letters);
    for (int32_t i = 0; i < a->ndim; i++) {
        text[i][0] = letters ? letters[i] : named ? '?' : all[PEL_AXES - a->ndim + i];
        text[i][1] = '\0';
        out[i] = (pel__zarr_axis){.name = named ? a->name[i] : text[i], .type = "", .unit = ""};
    }
    return true;
}

/* Images 1, 2, … along the axis of positions look like the first. */
static void repeat_image(pel__zarr_source *s)
{
    char name[sizeof s->base.images[0].name];
    (void)snprintf(name, sizeof name, "%s", s->base.images[0].name);
    for (int32_t i = 0; i < s->base.image_count; i++) {
        pel_image *const image = &s->base.images[i];
        *image = s->base.images[0];
        s->list[i] = s->list[0];
        s->list[i].shares = i > 0;
        s->list[i].position = i;
        (void)snprintf(image->name, sizeof image->name, "%.100s %d", name, (int)i);
    }
}

bool pel__zarr_bare_images(pel__zarr_source *s, const char *path, const pel__zarr_node *node, const char *axes, pel_error *err)
{
    pel__zarr_axis named[PEL_MAX_NDIM] = NO_AXES;
    char text[PEL_MAX_NDIM][2];
    int32_t positions = -1;
    pel__zarr_image own = {0};
    bool ok = pel__zarr_array_open(&own.array, s->store, path, node, err) && bare_axes(own.array, axes, named, text, err)
        && find_positions(&own, named, &positions, err) && map_axes(&own, named, err)
        && pel__zarr_make_room(s, positions < 0 ? 1 : own.array->shape[positions], err);
    if (!ok) {
        pel__zarr_array_close(own.array);
        return false;
    }
    s->list[0] = own;
    for (int32_t i = 1; i < s->base.image_count; i++)
        s->list[i].shares = true;
    if (!keep_array(s, 0, err))
        return false;
    if (positions >= 0)
        repeat_image(s);
    return true;
}
