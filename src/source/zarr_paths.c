/* SPDX-License-Identifier: MIT
 * Where the images of a store are: the series of a collection, the fields of the wells of a plate. Paths come from
 * metadata; no folder is listed, so that this works over HTTP as well. */
#include "source/zarr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_IMAGES 100000
#define MAX_PATH 512
#define MOST_GAP_NEAR 64 /* numbers left out between images of a collection that has no list; far: each costs a journey */
#define MOST_GAP_FAR 4

void pel__zarr_paths_free(pel__zarr_paths *p)
{
    for (int32_t i = 0; i < p->count; i++)
        free(p->list[i]);
    free(p->list);
    *p = (pel__zarr_paths){0};
}

void pel__zarr_paths_hole(pel__zarr_paths *p, const char *path)
{
    const size_t n = strlen(p->first);
    if (n + strlen(path) + 6 < sizeof p->first)
        (void)snprintf(p->first + n, sizeof p->first - n, "%s%s", n ? ", " : "", path);
    else if (n < 3 || strcmp(p->first + n - 3, "…") != 0)
        (void)snprintf(p->first + n, sizeof p->first - n, "…");
    p->holes++;
}

bool pel__zarr_path_inside(const char *path)
{
    return path && path[0] && path[0] != '/' && !strstr(path, "..") && strlen(path) < MAX_PATH;
}

/* Adds "below/path", or "path" where below is "". */
static bool add(pel__zarr_paths *p, const char *below, const char *path, pel_error *err)
{
    if (!pel__zarr_path_inside(path))
        return pel__fail(err, PEL_FORMAT, "path \"%.200s\" leads out of the store", path ? path : "");
    if (p->count == MAX_IMAGES)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %d images", MAX_IMAGES);
    if ((p->count & (p->count - 1)) == 0) {
        char **const more = realloc(p->list, (size_t)(p->count ? 2 * p->count : 1) * sizeof *more);
        if (!more)
            return pel__fail(err, PEL_NO_MEMORY, "out of memory");
        p->list = more;
    }
    if (asprintf(&p->list[p->count], "%s%s%s", below, below[0] ? "/" : "", path) < 0)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    p->count++;
    return true;
}

/* ---- collections ------------------------------------------------------------------------------------------- */

static bool listed_series(pel__zarr_paths *p, json_object *series, pel_error *err)
{
    for (size_t i = 0; i < json_object_array_length(series); i++) {
        json_object *const entry = json_object_array_get_idx(series, i);
        const char *const path = json_object_is_type(entry, json_type_string) ? json_object_get_string(entry) : NULL;
        if (!add(p, "", path, err))
            return pel__where(err, "OME/series: ");
    }
    return true;
}

/* Groups 0, 1, 2, … as far as there are. Numbers may be left out: the images behind them count. */
static bool counted_series(pel__zarr_paths *p, pel__store *store, pel_error *err)
{
    const int32_t most = pel__store_errands(store) ? MOST_GAP_FAR : MOST_GAP_NEAR;
    int32_t seen = 0; /* numbers up to the last image */
    for (int32_t i = 0; i - seen <= most; i++) {
        char path[24];
        pel__zarr_node node = {0};
        (void)snprintf(path, sizeof path, "%d", (int)i);
        if (!pel__zarr_node_read(&node, store, path, err))
            return false;
        const bool there = node.kind != PEL__NODE_NONE;
        pel__zarr_node_free(&node);
        for (; there && seen < i; seen++) {
            char hole[24];
            (void)snprintf(hole, sizeof hole, "%d", (int)seen);
            pel__zarr_paths_hole(p, hole);
        }
        seen += there;
        if (there && !add(p, "", path, err))
            return false;
    }
    return true;
}

bool pel__zarr_collection_paths(pel__zarr_paths *p, pel__zarr_source *s, pel_error *err)
{
    pel__zarr_node ome = {0};
    if (!pel__zarr_node_read(&ome, s->store, "OME", err))
        return false;
    pel__zarr_keep_identity(s, &ome);
    json_object *const attributes = ome.kind == PEL__NODE_NONE ? NULL : pel__zarr_ome(&ome, NULL);
    json_object *const series = pel__json_get(attributes, "series", json_type_array);
    const bool ok = series ? listed_series(p, series, err) : counted_series(p, s->store, err);
    pel__zarr_node_free(&ome);
    return ok && (p->count > 0 || pel__fail(err, PEL_FORMAT, "a bioformats2raw collection without images"));
}

/* ---- plates ------------------------------------------------------------------------------------------------ */

bool pel__zarr_well_paths(pel__zarr_paths *p, const char *path, json_object *well, pel_error *err)
{
    json_object *const images = pel__json_get(well, "images", json_type_array);
    for (size_t i = 0; images && i < json_object_array_length(images); i++)
        if (!add(p, path, pel__json_string(json_object_array_get_idx(images, i), "path"), err))
            return pel__where(err, "well \"%s\": ", path);
    return images || pel__fail(err, PEL_FORMAT, "well \"%s\": no list of images", path);
}

static bool read_well(pel__zarr_paths *p, pel__zarr_source *s, const char *path, pel_error *err)
{
    pel__zarr_node node = {0};
    pel_error e = {0};
    if (!pel__zarr_path_inside(path))
        return pel__fail(err, PEL_FORMAT, "plate: the path of a well is \"%.200s\"", path ? path : "");
    if (!pel__zarr_node_read(&node, s->store, path, err))
        return false;
    pel__zarr_keep_identity(s, &node);
    json_object *const ome = node.kind == PEL__NODE_GROUP ? pel__zarr_ome(&node, &e) : NULL;
    json_object *const well = pel__json_get(ome, "well", json_type_object);
    bool ok = false;
    if (e.code)
        ok = pel__fail(err, e.code, "%s", e.text);
    else if (well)
        ok = pel__zarr_well_paths(p, path, well, err);
    else if (node.kind == PEL__NODE_ARRAY)
        ok = pel__fail(err, PEL_FORMAT, "plate: well \"%s\": found an array, expected a group", path);
    else { /* the list of a plate is made first, and wells are written as they are done */
        pel__zarr_paths_hole(p, path);
        ok = true;
    }
    pel__zarr_node_free(&node);
    return ok;
}

bool pel__zarr_plate_paths(pel__zarr_paths *p, pel__zarr_source *s, json_object *plate, pel_error *err)
{
    json_object *const wells = pel__json_get(plate, "wells", json_type_array);
    for (size_t i = 0; wells && i < json_object_array_length(wells); i++)
        if (!read_well(p, s, pel__json_string(json_object_array_get_idx(wells, i), "path"), err))
            return false;
    return p->count > 0 || pel__fail(err, PEL_FORMAT, "a plate without images%s%s", p->first[0] ? ": not there are " : "", p->first);
}
