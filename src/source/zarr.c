/* SPDX-License-Identifier: MIT
 * The Zarr source: OME-Zarr images (0.1 to 0.5, on Zarr v2 and v3), bioformats2raw collections, bare arrays of up to
 * five axes. Metadata is read at open; a read touches the chunks it needs and nothing else. */
#include "source/zarr.h"

#include "core/bytes.h"
#include "core/region.h"
#include "source/damage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_IMAGES 100000

static enum pel__answer detect(const char *path, bool is_folder, const uint8_t *head, size_t n)
{
    (void)head;
    (void)n;
    return is_folder || pel__store_is_remote(path) ? PEL__YES : PEL__NO;
}

void pel__zarr_note(pel__zarr_source *s, int32_t number, enum pel__note_kind kind, const char *fmt, ...)
{
    pel__zarr_image *const own = &s->list[number];
    if (own->shares)
        return;
    va_list args;
    va_start(args, fmt);
    (void)pel__note_args(&own->notes, kind, 0, fmt, args);
    va_end(args);
    pel__notes_give(&s->base.images[number], &own->notes);
}

static void destroy(pel_source *source)
{
    pel__zarr_source *const s = (pel__zarr_source *)source;
    if (!s)
        return;
    for (int32_t i = 0; s->list && i < s->base.image_count; i++) {
        if (s->list[i].shares)
            continue;
        pel__zarr_array_close(s->list[i].array);
        free(s->list[i].channels);
        pel__notes_free(&s->list[i].notes);
    }
    free(s->list);
    free(s->base.images);
    pel__codec_shelf_destroy(s->shelf);
    pel__store_close(s->store);
    free(s->base.path);
    free(s);
}

/* ---- what is in the store ---------------------------------------------------------------------------------- */

bool pel__zarr_make_room(pel__zarr_source *s, int64_t count, pel_error *err)
{
    if (count < 1 || count > MAX_IMAGES)
        return pel__fail(err, PEL_UNSUPPORTED, "%lld images, expected 1 to %d", (long long)count, MAX_IMAGES);
    s->list = calloc((size_t)count, sizeof *s->list);
    s->base.images = calloc((size_t)count, sizeof *s->base.images);
    if (!s->list || !s->base.images)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: %lld images", (long long)count);
    s->base.image_count = (int32_t)count;
    return true;
}

void pel__zarr_keep_identity(pel__zarr_source *s, const pel__zarr_node *node)
{
    s->base.identity_size += node->bytes;
    s->base.identity_crc32c = pel__crc32c(s->base.identity_crc32c, &node->crc32c, sizeof node->crc32c);
}

/* The newest change of the documents and folders that writers of an array touch. */
static void keep_mtime(pel__zarr_source *s, const char *key)
{
    char path[PEL__PATH_MAX];
    struct stat st;
    if (!pel__path_join(path, sizeof path, s->base.path, key, NULL) || stat(path, &st) != 0)
        return;
    const int64_t t = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    s->base.identity_mtime_ns = pel__max(s->base.identity_mtime_ns, t);
}

static void keep_array_mtime(pel__zarr_source *s, const pel__zarr_array *a)
{
    static const char *const names[] = {"zarr.json", ".zarray", "c", ""};
    char key[PEL__PATH_MAX];
    for (int i = 0; i < 4; i++) {
        (void)snprintf(key, sizeof key, "%s%s", a->path, names[i]);
        keep_mtime(s, key);
    }
}

static bool open_image(pel__zarr_source *s, int32_t number, const char *path, int32_t level, pel_error *err)
{
    pel__zarr_node node = {0};
    s->absent = false;
    if (!pel__zarr_node_read(&node, s->store, path, err))
        return false;
    pel__zarr_keep_identity(s, &node);
    s->absent = node.kind == PEL__NODE_NONE;
    const bool ok = node.kind != PEL__NODE_GROUP ? pel__fail(err, PEL_FORMAT, "image \"%s\": no group there", path)
                                                 : pel__zarr_ome_image(s, number, path, &node, level, err);
    pel__zarr_node_free(&node);
    return ok;
}

/* Wells, fields and series that are named and not there: the rest is read. */
static bool note_holes(pel__zarr_source *s, const pel__zarr_paths *paths, const char *what, pel_error *err)
{
    if (s->base.image_count == 0)
        return pel__fail(err, PEL_FORMAT, "none of the %s is there: %s", what, paths->first);
    for (int32_t i = 0; paths->holes > 0 && i < s->base.image_count; i++) {
        (void)pel__note_add(&s->list[i].notes, PEL__NOTE_MISSING, paths->holes, "Never written and left out: %d of the %s (%s).",
                            (int)paths->holes, what, paths->first);
        pel__notes_give(&s->base.images[i], &s->list[i].notes);
    }
    return true;
}

/* Takes the paths. Fields of a plate are called by their paths, series by their own names. */
static bool open_images(pel__zarr_source *s, pel__zarr_paths *paths, bool call_by_path, int32_t level, pel_error *err)
{
    bool ok = pel__zarr_make_room(s, paths->count, err);
    int32_t there = 0;
    for (int32_t i = 0; ok && i < paths->count; i++) {
        pel_image *const image = &s->base.images[there];
        pel_error e = {0};
        ok = open_image(s, there, paths->list[i], level, &e);
        if (!ok && s->absent)
            pel__zarr_paths_hole(paths, paths->list[i]);
        if (!ok && !s->absent)
            return pel__fail(err, e.code, "%s", e.text);
        if (ok && call_by_path)
            (void)snprintf(image->name, sizeof image->name, "%s", paths->list[i]);
        there += ok;
        ok = true;
    }
    if (ok)
        s->base.image_count = there;
    return ok && note_holes(s, paths, call_by_path ? "wells and fields" : "images of the collection", err);
}

/* A run that was not finished leaves "complete": false. */
static void note_incomplete(pel__zarr_source *s, const pel__zarr_node *root)
{
    json_object *const own = pel__json_get(root->attributes, "pellucid", json_type_object);
    json_object *const complete = pel__json_get(own, "complete", json_type_boolean);
    if (complete && !json_object_get_boolean(complete))
        for (int32_t i = 0; i < s->base.image_count; i++)
            pel__zarr_note(s, i, PEL__NOTE_UNFINISHED, "The run that writes this store is not finished: voxels may be missing (zero).");
}

static bool open_group(pel__zarr_source *s, const pel__zarr_node *root, int32_t level, pel_error *err)
{
    pel_error e = {0};
    json_object *const ome = pel__zarr_ome(root, &e);
    if (e.code)
        return pel__fail(err, e.code, "%s", e.text);
    json_object *const plate = pel__json_get(ome, "plate", json_type_object), *const well = pel__json_get(ome, "well", json_type_object);
    pel__zarr_paths paths = {0};
    bool ok = true;
    if (plate)
        ok = pel__zarr_plate_paths(&paths, s, plate, err);
    else if (pel__json_get(ome, "multiscales", json_type_array))
        return pel__zarr_make_room(s, 1, err) && pel__zarr_ome_image(s, 0, "", root, level, err);
    else if (pel__json_get(ome, "bioformats2raw.layout", json_type_int))
        ok = pel__zarr_collection_paths(&paths, s, err);
    else if (well)
        ok = pel__zarr_well_paths(&paths, "", well, err);
    const bool some = ok && paths.count > 0;
    if (some)
        ok = open_images(s, &paths, plate || well, level, err);
    pel__zarr_paths_free(&paths);
    if (some)
        return ok;
    if (!ok)
        return false;
    if (pel__json_get(ome, "labels", json_type_array))
        return pel__fail(err, PEL_UNSUPPORTED, "a list of labels: give the path of one of them");
    return pel__fail(err, PEL_UNSUPPORTED, "a Zarr group without OME-Zarr metadata (no \"multiscales\"): give the path of an array in it");
}

/* A folder without Zarr's documents: what else it may be. */
static bool no_store(pel__zarr_source *s, pel_error *err)
{
    char *text = NULL;
    size_t size = 0;
    if (!pel__store_text(s->store, "attributes.json", 1 << 24, &text, &size, err))
        return false;
    const bool n5 = text != NULL;
    free(text);
    if (n5)
        return pel__fail(err, PEL_UNSUPPORTED, "an N5 store (attributes.json): copy it into Zarr, for example with n5-zarr in Fiji or tensorstore's driver n5 in Python");
    return pel__fail(err, PEL_FORMAT, "a folder without zarr.json, .zarray, .zgroup or .zattrs: no Zarr store");
}

static bool open_root(pel__zarr_source *s, const pel_open_options *options, pel_error *err)
{
    pel__zarr_node root = {0};
    if (!pel__zarr_node_read(&root, s->store, "", err))
        return false;
    pel__zarr_keep_identity(s, &root);
    bool ok = false;
    const char *const refused = pel__store_refused(s->store);
    if (pel__store_is_remote(s->base.path) && !pel__zarr_consolidated(s->store, &root, err))
        ok = false;
    else if (root.kind == PEL__NODE_NONE && refused[0])
        ok = pel__fail(err, PEL_IO, "%s: HTTP 403: access denied, or nothing is there", refused);
    else if (root.kind == PEL__NODE_NONE && pel__store_is_remote(s->base.path))
        ok = pel__fail(err, PEL_NOT_FOUND, "no zarr.json, .zarray, .zgroup or .zattrs there: no Zarr store");
    else if (root.kind == PEL__NODE_NONE)
        ok = no_store(s, err);
    else if (root.kind == PEL__NODE_GROUP)
        ok = open_group(s, &root, options->level, err);
    else if (options->level != 0)
        ok = pel__fail(err, PEL_NOT_FOUND, "level %d: a bare array has level 0 only", (int)options->level);
    else
        ok = pel__zarr_bare_images(s, "", &root, options->axes, err);
    if (ok)
        note_incomplete(s, &root);
    pel__zarr_node_free(&root);
    return ok;
}

static bool chunk_is_damaged(void *arg, int64_t chunk, pel_error *why)
{
    const pel__zarr_source *const s = arg;
    return pel__damage_take(s->base.damage, chunk, why);
}

static void keep_sizes(pel__zarr_source *s)
{
    s->base.far = pel__store_errands(s->store) != NULL;
    s->base.resident_bytes = (64 << 10) + pel__store_resident_bytes(s->store);
    keep_mtime(s, "zarr.json");
    keep_mtime(s, ".zattrs");
    for (int32_t i = 0; i < s->base.image_count; i++) {
        pel__zarr_array *const a = s->list[i].array;
        a->on_damage = chunk_is_damaged;
        a->on_damage_arg = s;
        if (s->list[i].shares) {
            s->base.resident_bytes += (int64_t)(sizeof(pel_image) + sizeof(pel__zarr_image));
            continue;
        }
        s->base.resident_bytes += (int64_t)(sizeof *a + sizeof(pel_image) + sizeof(pel__zarr_image) + 1024)
            + s->base.images[i].shape[PEL_C] * (int64_t)sizeof(pel_channel);
        s->base.thread_bytes = pel__max(s->base.thread_bytes, pel__zarr_array_thread_bytes(a));
        keep_array_mtime(s, a);
    }
}

static bool open_zarr(pel_source **out, const char *path, const pel_open_options *options, pel_error *err)
{
    pel__zarr_source *const s = calloc(1, sizeof *s);
    if (!s || !(s->base.path = strdup(path))) {
        free(s);
        return pel__fail(err, PEL_NO_MEMORY, "%s: out of memory", path);
    }
    s->base.type = &pel__source_zarr;
    if (!pel__store_open(&s->store, path, options->remote, err)) {
        destroy(&s->base);
        return false;
    }
    pel__store_readers(s->store, options->threads);
    if (!pel__codec_shelf_create(&s->shelf, err) || !open_root(s, options, err)) {
        if (err && strncmp(err->text, path, strlen(path)) != 0)
            (void)pel__where(err, "%s: ", path);
        destroy(&s->base);
        return false;
    }
    keep_sizes(s);
    *out = &s->base;
    return true;
}

/* ---- pixels ------------------------------------------------------------------------------------------------ */

static bool read_zarr(pel_source *source, int32_t image, const pel_block *dst, pel_error *err)
{
    pel__zarr_source *const s = (pel__zarr_source *)source;
    const pel__zarr_image *const own = &s->list[image];
    pel_region box = {.ndim = own->array->ndim};
    int64_t stride[PEL_MAX_NDIM] = {0};
    for (int32_t i = 0; i < box.ndim; i++) {
        const int32_t k = own->axis[i];
        box.origin[i] = k >= 0 ? dst->region.origin[k] : k == PEL__AXIS_POSITION ? own->position : 0;
        box.shape[i] = k < 0 ? 1 : dst->region.shape[k];
        stride[i] = k < 0 ? 0 : dst->stride[k];
    }
    for (int k = 0; k < PEL_AXES; k++) /* an empty axis that the array does not have */
        if (dst->region.shape[k] == 0)
            return true;
    return pel__zarr_array_read(own->array, s->shelf, &box, dst->data, stride, err);
}

/* The store first, then the arrays: they may be links that lead out of it. */
static bool place(const pel_source *source, int64_t index, const pel_remote *remote, char *out, size_t size)
{
    const pel__zarr_source *const s = (const pel__zarr_source *)source;
    if (index == 0)
        return pel__store_around(out, size, s->base.path, remote) || (size_t)snprintf(out, size, "%s", s->base.path) < size;
    out[0] = '\0';
    if (index > s->base.image_count || pel__store_is_remote(s->base.path))
        return false;
    return s->list[index - 1].shares || pel__path_join(out, size, s->base.path, s->list[index - 1].array->path, NULL);
}

/* ---- what changed meanwhile -------------------------------------------------------------------------------- */

static bool watch_zarr(pel_source *source, pel_error *err)
{
    pel__zarr_source *const s = (pel__zarr_source *)source;
    int32_t arrays = 0;
    for (int32_t i = 0; i < s->base.image_count; i++)
        arrays += !s->list[i].shares;
    for (int32_t i = 0; i < s->base.image_count; i++)
        if (!s->list[i].shares && !pel__zarr_array_watch(s->list[i].array, PEL__STAMPS_MOST / pel__max(arrays, 1), err))
            return false;
    return true;
}

typedef struct {
    const pel__zarr_source *s;
    int32_t first; /* image whose array it is */
    pel__on_change *each;
    void *arg;
} changed;

/* The part of an image that lies in a chunk; false where none does. */
static bool part_of_image(const pel__zarr_image *own, const pel_image *image, const int64_t *grid, pel_region *out)
{
    *out = pel__region(PEL_AXES, NULL, image->shape);
    for (int32_t i = 0; i < own->array->ndim; i++) {
        const int64_t begin = grid[i] * own->array->chunk[i], end = begin + own->array->chunk[i];
        if (own->axis[i] == PEL__AXIS_POSITION && (own->position < begin || own->position >= end))
            return false;
        if (own->axis[i] < 0)
            continue;
        out->origin[own->axis[i]] = begin;
        out->shape[own->axis[i]] = pel__min(end, image->shape[own->axis[i]]) - begin;
    }
    return true;
}

/* Images along an axis of positions follow the one that the array belongs to. */
static bool tell_chunk(void *arg, const int64_t *grid, const char *key)
{
    const changed *const c = arg;
    for (int32_t i = c->first; i < c->s->base.image_count && (i == c->first || c->s->list[i].shares); i++) {
        pel_region part;
        if (part_of_image(&c->s->list[i], &c->s->base.images[i], grid, &part) && !c->each(c->arg, i, &part, key))
            return false;
    }
    return true;
}

static bool changes_zarr(pel_source *source, pel__on_change *each, void *arg, pel_error *err)
{
    changed c = {.s = (pel__zarr_source *)source, .each = each, .arg = arg};
    for (; c.first < c.s->base.image_count; c.first++)
        if (!c.s->list[c.first].shares && !pel__zarr_array_changes(c.s->list[c.first].array, tell_chunk, &c, err))
            return false;
    return true;
}

const pel__source_type pel__source_zarr = {
    .name = "zarr",
    .detect = detect,
    .open = open_zarr,
    .read = read_zarr,
    .destroy = destroy,
    .place = place,
    .watch = watch_zarr,
    .changes = changes_zarr,
};
