/* SPDX-License-Identifier: MIT
 * The metadata documents of an OME-Zarr store: 0.5 on Zarr v3 (one zarr.json a node) and 0.4 on Zarr v2 (.zgroup,
 * .zarray, .zattrs). Written in the plainest form that all readers take: configurations as objects, v2 ones without
 * the members that old readers reject. docs/formats-zarr.md shows them. */
#include "core/bytes.h"
#include "core/number.h"
#include "sink/omezarr.h"
#include "zarr/json.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const axis_names[PEL_AXES] = {"t", "c", "z", "y", "x"};

static json_object *str(const char *s)
{
    return json_object_new_string(s);
}

static json_object *num(int64_t v)
{
    return json_object_new_int64(v);
}

/* {"name": name, "configuration": configuration}. */
static json_object *named(const char *name, json_object *configuration)
{
    json_object *const o = pel__json_put(json_object_new_object(), "name", str(name));
    return pel__json_put(o, "configuration", configuration);
}

/* ---- arrays ------------------------------------------------------------------------------------------------ */

static json_object *bytes_codec(pel_dtype dtype)
{
    if (pel_dtype_size(dtype) == 1)
        return pel__json_put(json_object_new_object(), "name", str("bytes"));
    return named("bytes", pel__json_put(json_object_new_object(), "endian", str("little")));
}

static json_object *blosc_v3(const pel__sink_spec *spec)
{
    static const char *const words[] = {"noshuffle", "shuffle", "bitshuffle"};
    json_object *o = pel__json_put(json_object_new_object(), "typesize", num((int64_t)pel_dtype_size(spec->dtype)));
    o = pel__json_put(o, "cname", str(spec->codec.cname));
    o = pel__json_put(o, "clevel", num(spec->codec.level));
    o = pel__json_put(o, "shuffle", str(words[spec->codec.shuffle]));
    return named("blosc", pel__json_put(o, "blocksize", num(0)));
}

static json_object *compressor_v3(const pel__sink_spec *spec)
{
    json_object *level = pel__json_put(json_object_new_object(), "level", num(spec->codec.level));
    switch (spec->codec.kind) {
    case PEL__CODEC_ZSTD:
        return named("zstd", pel__json_put(level, "checksum", json_object_new_boolean(false)));
    case PEL__CODEC_GZIP:
        return named("gzip", level);
    case PEL__CODEC_BLOSC:
        json_object_put(level);
        return blosc_v3(spec);
    case PEL__CODEC_NONE:
        break;
    }
    json_object_put(level);
    return NULL;
}

static json_object *crc32c_codec(void)
{
    return pel__json_put(json_object_new_object(), "name", str("crc32c"));
}

static json_object *chunk_codecs(const pel__sink_spec *spec)
{
    json_object *list = pel__json_push(json_object_new_array(), bytes_codec(spec->dtype));
    if (spec->codec.kind != PEL__CODEC_NONE)
        list = pel__json_push(list, compressor_v3(spec));
    if (spec->codec.crc32c)
        list = pel__json_push(list, crc32c_codec());
    return list;
}

static json_object *sharding_codec(const pel__sink_spec *spec, const pel__level *level)
{
    json_object *o = pel__json_put(json_object_new_object(), "chunk_shape", pel__json_ints(level->chunk, PEL_AXES));
    o = pel__json_put(o, "codecs", chunk_codecs(spec));
    json_object *const index = pel__json_push(json_object_new_array(), bytes_codec(PEL_U64));
    o = pel__json_put(o, "index_codecs", pel__json_push(index, crc32c_codec()));
    return named("sharding_indexed", pel__json_put(o, "index_location", str("end")));
}

static json_object *fill_value(pel_dtype dtype)
{
    return dtype == PEL_F32 || dtype == PEL_F64 ? pel__json_double(0) : num(0);
}

static json_object *axis_name_list(void)
{
    json_object *list = json_object_new_array();
    for (int i = 0; i < PEL_AXES; i++)
        list = pel__json_push(list, str(axis_names[i]));
    return list;
}

static json_object *array_v3(const pel__sink_spec *spec, const pel__level *level)
{
    json_object *grid = pel__json_put(json_object_new_object(), "chunk_shape", pel__json_ints(level->shard, PEL_AXES));
    json_object *codecs = NULL;
    if (pel__ome_chunks_per_shard(level) > 1)
        codecs = pel__json_push(json_object_new_array(), sharding_codec(spec, level));
    else
        codecs = chunk_codecs(spec);
    json_object *o = pel__json_put(json_object_new_object(), "zarr_format", num(3));
    o = pel__json_put(o, "node_type", str("array"));
    o = pel__json_put(o, "shape", pel__json_ints(level->shape, PEL_AXES));
    o = pel__json_put(o, "data_type", str(pel_dtype_name(spec->dtype)));
    o = pel__json_put(o, "chunk_grid", named("regular", grid));
    json_object *const separator = pel__json_put(json_object_new_object(), "separator", str("/"));
    o = pel__json_put(o, "chunk_key_encoding", named("default", separator));
    o = pel__json_put(o, "fill_value", fill_value(spec->dtype));
    o = pel__json_put(o, "codecs", codecs);
    o = pel__json_put(o, "attributes", json_object_new_object());
    return pel__json_put(o, "dimension_names", axis_name_list());
}

static json_object *compressor_v2(const pel__sink_spec *spec)
{
    static const char *const ids[] = {"", "zstd", "gzip", "blosc"};
    json_object *o = pel__json_put(json_object_new_object(), "id", str(ids[spec->codec.kind]));
    if (spec->codec.kind != PEL__CODEC_BLOSC)
        return pel__json_put(o, "level", num(spec->codec.level));
    o = pel__json_put(o, "cname", str(spec->codec.cname));
    o = pel__json_put(o, "clevel", num(spec->codec.level));
    o = pel__json_put(o, "shuffle", num((int64_t)spec->codec.shuffle));
    return pel__json_put(o, "blocksize", num(0));
}

static json_object *array_v2(const pel__sink_spec *spec, const pel__level *level)
{
    static const char *const types[] = {"|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8"};
    json_object *o = pel__json_put(json_object_new_object(), "zarr_format", num(2));
    o = pel__json_put(o, "shape", pel__json_ints(level->shape, PEL_AXES));
    o = pel__json_put(o, "chunks", pel__json_ints(level->chunk, PEL_AXES));
    o = pel__json_put(o, "dtype", str(types[spec->dtype]));
    if (spec->codec.kind == PEL__CODEC_NONE)
        o = pel__json_put_null(o, "compressor");
    else
        o = pel__json_put(o, "compressor", compressor_v2(spec));
    o = pel__json_put(o, "fill_value", fill_value(spec->dtype));
    o = pel__json_put(o, "order", str("C"));
    o = pel__json_put_null(o, "filters");
    return pel__json_put(o, "dimension_separator", str("/"));
}

/* ---- multiscales ------------------------------------------------------------------------------------------- */

static json_object *axes(const pel_image *image)
{
    static const char *const types[PEL_AXES] = {"time", "channel", "space", "space", "space"};
    json_object *list = json_object_new_array();
    for (int i = 0; i < PEL_AXES; i++) {
        json_object *o = pel__json_put(json_object_new_object(), "name", str(axis_names[i]));
        o = pel__json_put(o, "type", str(types[i]));
        if (i != PEL_C && image->pixel_size[i] > 0)
            o = pel__json_put(o, "unit", str(i == PEL_T ? "second" : "micrometer"));
        list = pel__json_push(list, o);
    }
    return list;
}

static json_object *transformation(const char *type, const double *values)
{
    json_object *const o = pel__json_put(json_object_new_object(), "type", str(type));
    return pel__json_put(o, type, pel__json_doubles(values, PEL_AXES));
}

/* Coordinates mean voxel centres: the mean of f voxels lies (f-1)/2 of the full resolution further on. A part of an image
 * lies where the whole has it, so that parts can be put together again. */
static json_object *dataset(const pel__sink_spec *spec, const pel_image *image, const pel__level *level, int32_t number)
{
    double scale[PEL_AXES], shift[PEL_AXES], step[PEL_AXES];
    bool shifted = false;
    pel_image_place(image, step, shift);
    for (int i = 0; i < PEL_AXES; i++) {
        scale[i] = (double)level->factor[i] * step[i];
        shift[i] += (double)(level->factor[i] - 1) / 2 * step[i];
        shift[i] = spec->older || level->factor[i] == 1 ? shift[i] : pel__rounded(shift[i]);
        shifted = shifted || level->factor[i] > 1 || shift[i] != 0;
    }
    json_object *list = pel__json_push(json_object_new_array(), transformation("scale", scale));
    if (shifted)
        list = pel__json_push(list, transformation("translation", shift));
    char path[16];
    (void)snprintf(path, sizeof path, "%d", (int)number);
    json_object *const o = pel__json_put(json_object_new_object(), "path", str(path));
    return pel__json_put(o, "coordinateTransformations", list);
}

static json_object *multiscales(const pel__sink_spec *spec, int32_t number)
{
    const pel_image *const image = spec->images[number];
    const pel__layout *const layout = &spec->layouts[number];
    json_object *datasets = json_object_new_array();
    for (int32_t i = 0; i < layout->level_count; i++)
        datasets = pel__json_push(datasets, dataset(spec, image, &layout->level[i], i));
    json_object *o = json_object_new_object();
    if (spec->ome_version == 4)
        o = pel__json_put(o, "version", str("0.4"));
    o = pel__json_put(o, "name", str(image->name[0] ? image->name : "image"));
    o = pel__json_put(o, "type", str("mean"));
    o = pel__json_put(o, "axes", axes(image));
    o = pel__json_put(o, "datasets", datasets);
    json_object *const how = pel__json_put(json_object_new_object(), "method", str("pellucid: mean of the voxels below"));
    o = pel__json_put(o, "metadata", how);
    return pel__json_push(json_object_new_array(), o);
}

/* ---- omero ------------------------------------------------------------------------------------------------- */

uint32_t pel__ome_color(const pel_image *image, int64_t channel)
{
    static const uint32_t palette[] = {0x00FF00, 0xFF00FF, 0x00FFFF, 0xFF0000, 0x0000FF, 0xFFFF00, 0xFFFFFF};
    const uint32_t rgb = image->channels ? image->channels[channel].rgb & 0xFFFFFF : 0;
    if (rgb != 0)
        return rgb;
    return image->shape[PEL_C] == 1 ? 0xFFFFFF : palette[channel % 7];
}

static void dtype_range(pel_dtype dtype, double *min, double *max)
{
    const int bits = 8 * (int)pel_dtype_size(dtype);
    const bool has_sign = dtype == PEL_I8 || dtype == PEL_I16 || dtype == PEL_I32 || dtype == PEL_I64;
    *min = 0;
    *max = 1;
    if (dtype == PEL_F32 || dtype == PEL_F64)
        return;
    for (int i = has_sign; i < bits; i++)
        *max *= 2;
    *min = has_sign ? -*max : 0;
    *max -= 1;
}

/* Before there are data: what the type can hold, and the display range of the input where that holds. */
static pel__window first_window(const pel__sink_spec *spec, const pel_image *image, int64_t channel)
{
    pel__window w;
    dtype_range(spec->other_greys ? spec->dtype : image->dtype, &w.min, &w.max);
    const bool counts = w.min == 0 && w.max > 1; /* unsigned integers */
    if (!spec->other_greys && counts && image->significant_bits > 0 && image->significant_bits < 8 * (int32_t)pel_dtype_size(image->dtype))
        w.max = (double)(((uint64_t)1 << image->significant_bits) - 1);
    const pel_channel *const c = image->channels && !spec->other_greys ? &image->channels[channel] : NULL;
    w.start = w.min;
    w.end = w.max;
    if (c && c->window_start < c->window_end && c->window_end - c->window_start < 1e300) {
        w.start = c->window_start;
        w.end = c->window_end;
    }
    w.min = w.start < w.min ? w.start : w.min;
    w.max = w.end > w.max ? w.end : w.max;
    return w;
}

pel__window pel__ome_window(const pel__sink_spec *spec, int32_t image, int64_t channel)
{
    return spec->windows ? spec->windows[image][channel] : first_window(spec, spec->images[image], channel);
}

/* Whole numbers without a fraction, as other writers have them. */
static json_object *grey(double v)
{
    return v > -9e15 && v < 9e15 && v == (double)(int64_t)v ? num((int64_t)v) : pel__json_double(v);
}

static json_object *omero_channel(const pel__sink_spec *spec, int32_t number, int64_t c)
{
    char text[40];
    const pel_image *const image = spec->images[number];
    const pel__window w = pel__ome_window(spec, number, c);
    json_object *window = pel__json_put(json_object_new_object(), "min", grey(w.min));
    window = pel__json_put(window, "max", grey(w.max));
    window = pel__json_put(window, "start", grey(w.start));
    window = pel__json_put(window, "end", grey(w.end));
    (void)snprintf(text, sizeof text, "%06X", pel__ome_color(image, c));
    json_object *o = pel__json_put(json_object_new_object(), "active", json_object_new_boolean(true));
    o = pel__json_put(o, "coefficient", num(1));
    o = pel__json_put(o, "color", str(text));
    o = pel__json_put(o, "family", str("linear"));
    o = pel__json_put(o, "inverted", json_object_new_boolean(false));
    (void)snprintf(text, sizeof text, "Channel %lld", (long long)c);
    const bool has_name = image->channels && image->channels[c].name[0];
    o = pel__json_put(o, "label", str(has_name ? image->channels[c].name : text));
    return pel__json_put(o, "window", window);
}

static json_object *omero(const pel__sink_spec *spec, int32_t number)
{
    const pel_image *const image = spec->images[number];
    json_object *list = json_object_new_array();
    for (int64_t c = 0; c < image->shape[PEL_C]; c++)
        list = pel__json_push(list, omero_channel(spec, number, c));
    const bool grey_only = image->shape[PEL_C] == 1 && pel__ome_color(image, 0) == 0xFFFFFF;
    json_object *rdefs = pel__json_put(json_object_new_object(), "defaultT", num(0));
    rdefs = pel__json_put(rdefs, "defaultZ", num(image->shape[PEL_Z] / 2));
    rdefs = pel__json_put(rdefs, "model", str(grey_only ? "greyscale" : "color"));
    json_object *const o = pel__json_put(json_object_new_object(), "channels", list);
    return pel__json_put(o, "rdefs", rdefs);
}

/* ---- documents --------------------------------------------------------------------------------------------- */

static bool add_text(pel__ome_docs *docs, const char *prefix, const char *name, char *text, pel_error *err)
{
    if (text && docs->count == docs->room) {
        const int32_t room = 2 * docs->room + 16;
        pel__ome_doc *const grown = realloc(docs->list, (size_t)room * sizeof *grown);
        if (grown) {
            docs->list = grown;
            docs->room = room;
        }
    }
    if (!text || docs->count == docs->room) {
        free(text);
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: metadata");
    }
    pel__ome_doc *const d = &docs->list[docs->count++];
    (void)snprintf(d->key, sizeof d->key, "%s%s", prefix, name);
    d->text = text;
    return true;
}

static bool add_json(pel__ome_docs *docs, const char *prefix, const char *name, json_object *o, pel_error *err)
{
    char *const text = pel__json_text(o);
    json_object_put(o);
    return add_text(docs, prefix, name, text, err);
}

/* A group with its attributes (taken over), as the format has it: attributes first, they tell whose store this is. */
static bool add_group(pel__ome_docs *docs, const pel__sink_spec *spec, const char *prefix, json_object *attributes,
                      pel_error *err)
{
    if (spec->ome_version == 5) {
        json_object *o = pel__json_put(json_object_new_object(), "zarr_format", num(3));
        o = pel__json_put(o, "node_type", str("group"));
        return add_json(docs, prefix, "zarr.json", pel__json_put(o, "attributes", attributes), err);
    }
    return add_json(docs, prefix, ".zattrs", attributes, err)
        && add_json(docs, prefix, ".zgroup", pel__json_put(json_object_new_object(), "zarr_format", num(2)), err);
}

/* OME keys: at the top in 0.4, under "ome" with the version in 0.5. Takes over value. */
static json_object *ome_put(const pel__sink_spec *spec, json_object *attributes, const char *key, json_object *value)
{
    if (spec->ome_version == 4)
        return pel__json_put(attributes, key, value);
    json_object *ome = attributes ? pel__json_get(attributes, "ome", json_type_object) : NULL;
    if (!ome) {
        attributes = pel__json_put(attributes, "ome", pel__json_put(json_object_new_object(), "version", str("0.5")));
        ome = attributes ? pel__json_get(attributes, "ome", json_type_object) : NULL;
    }
    if (ome && pel__json_put(json_object_get(ome), key, value)) {
        json_object_put(ome);
        return attributes;
    }
    if (!ome)
        json_object_put(value);
    json_object_put(attributes);
    return NULL;
}

static json_object *image_attributes(const pel__sink_spec *spec, int32_t number, json_object *attributes)
{
    attributes = ome_put(spec, attributes, "multiscales", multiscales(spec, number));
    return ome_put(spec, attributes, "omero", omero(spec, number));
}

static bool add_levels(pel__ome_docs *docs, const pel__sink_spec *spec, int32_t image, const char *prefix, pel_error *err)
{
    const pel__layout *const layout = &spec->layouts[image];
    for (int32_t i = 0; i < layout->level_count; i++) {
        char path[48];
        (void)snprintf(path, sizeof path, "%s%d/", prefix, (int)i);
        if (spec->ome_version == 5) {
            if (!add_json(docs, path, "zarr.json", array_v3(spec, &layout->level[i]), err))
                return false;
            continue;
        }
        json_object *const names = pel__json_put(json_object_new_object(), "_ARRAY_DIMENSIONS", axis_name_list());
        if (!add_json(docs, path, ".zarray", array_v2(spec, &layout->level[i]), err)
            || !add_json(docs, path, ".zattrs", names, err))
            return false;
    }
    return true;
}

static bool add_collection(pel__ome_docs *docs, const pel__sink_spec *spec, json_object *root, pel_error *err)
{
    json_object *series = json_object_new_array();
    char path[24];
    for (int32_t i = 0; i < spec->image_count; i++) {
        (void)snprintf(path, sizeof path, "%d", (int)i);
        series = pel__json_push(series, str(path));
    }
    if (!add_group(docs, spec, "", ome_put(spec, root, "bioformats2raw.layout", num(3)), err)) {
        json_object_put(series);
        return false;
    }
    if (!add_group(docs, spec, "OME/", ome_put(spec, json_object_new_object(), "series", series), err)
        || !add_text(docs, "OME/", "METADATA.ome.xml", pel__ome_xml(spec), err))
        return false;
    for (int32_t i = 0; i < spec->image_count; i++) {
        (void)snprintf(path, sizeof path, "%d/", (int)i);
        if (!add_group(docs, spec, path, image_attributes(spec, i, json_object_new_object()), err)
            || !add_levels(docs, spec, i, path, err))
            return false;
    }
    return true;
}

static bool provenance(json_object **out, const pel__sink_spec *spec, bool complete, pel_error *err)
{
    json_object *o = NULL;
    if (!spec->provenance)
        o = json_object_new_object();
    else if (!pel__json_parse(&o, spec->provenance, strlen(spec->provenance), "provenance", err))
        return false;
    if (o && !json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        return pel__fail(err, PEL_ARGUMENT, "provenance: expected a JSON object");
    }
    o = pel__json_put(o, "complete", json_object_new_boolean(complete));
    *out = pel__json_put(json_object_new_object(), "pellucid", o);
    return *out || pel__fail(err, PEL_NO_MEMORY, "out of memory: metadata");
}

bool pel__ome_docs_make(pel__ome_docs *docs, const pel__sink_spec *spec, bool complete, pel_error *err)
{
    *docs = (pel__ome_docs){0};
    json_object *root = NULL;
    if (!provenance(&root, spec, complete, err))
        return false;
    const bool ok = spec->image_count > 1
        ? add_collection(docs, spec, root, err)
        : add_group(docs, spec, "", image_attributes(spec, 0, root), err) && add_levels(docs, spec, 0, "", err);
    if (!ok)
        pel__ome_docs_free(docs);
    return ok;
}

void pel__ome_docs_free(pel__ome_docs *docs)
{
    for (int32_t i = 0; i < docs->count; i++)
        free(docs->list[i].text);
    free(docs->list);
    *docs = (pel__ome_docs){0};
}
