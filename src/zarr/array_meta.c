/* SPDX-License-Identifier: MIT
 * Array metadata of both versions: strict where a member could change the meaning of the bytes, patient with what real
 * writers leave behind (consolidated_metadata: null, empty lists, fill values of the other number kind). */
#include "core/bytes.h"
#include "zarr/array.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_METADATA ((size_t)64 << 20)

/* ---- nodes ------------------------------------------------------------------------------------------------- */

typedef bool text_of(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err);

/* A document, or NULL where there is none. Its bytes go into the node's checksum. */
static bool read_document_by(text_of *read, pel__zarr_node *node, pel__store *store, const char *key, json_object **out, pel_error *err)
{
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    if (!read(store, key, MAX_METADATA, &text, &size, err))
        return false;
    if (!text)
        return true;
    bool ok = pel__json_parse(out, text, size, key, err);
    node->crc32c = pel__crc32c(node->crc32c, text, size);
    node->bytes += (int64_t)size;
    free(text);
    if (ok && !json_object_is_type(*out, json_type_object)) {
        json_object_put(*out);
        *out = NULL;
        ok = pel__fail(err, PEL_FORMAT, "%s: expected a JSON object", key);
    }
    return ok || pel__where(err, "%s: ", pel__store_root(store));
}

static void document_key(char *key, size_t size, const char *path, const char *name)
{
    (void)snprintf(key, size, "%s%s%s", path, path[0] ? "/" : "", name);
}

static bool read_document(pel__zarr_node *node, pel__store *store, const char *path, const char *name, json_object **out,
                          pel_error *err)
{
    char key[PEL__PATH_MAX];
    document_key(key, sizeof key, path, name);
    return read_document_by(pel__store_text, node, store, key, out, err);
}

static const char *const group_members[] = {"zarr_format", "node_type", "attributes", NULL};
static const char *const array_members[] = {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding",
                                            "fill_value", "codecs", "attributes", "dimension_names", NULL};

/* A list of storage transformers changes where the bytes are; an empty one does nothing. */
static bool no_transformers(json_object *list, pel_error *err)
{
    if (!list || (json_object_is_type(list, json_type_array) && json_object_array_length(list) == 0))
        return true;
    json_object *const first = json_object_is_type(list, json_type_array) ? json_object_array_get_idx(list, 0) : list;
    const char *const name = json_object_is_type(first, json_type_string) ? json_object_get_string(first) : pel__json_string(first, "name");
    return pel__fail(err, PEL_UNSUPPORTED, "storage_transformers: \"%s\" is not understood", name ? name : "");
}

static bool known_members(json_object *meta, const char *kind, const char *const *known, pel_error *err)
{
    json_object_object_foreach(meta, key, value) {
        bool ok = false;
        for (size_t i = 0; known[i]; i++)
            ok = ok || strcmp(known[i], key) == 0;
        if (!ok && strcmp(key, "storage_transformers") == 0) {
            if (!no_transformers(value, err))
                return false;
            ok = true;
        }
        if (!ok && strcmp(key, "consolidated_metadata") == 0) /* of a group a copy of what is below */
            ok = !value || known == group_members;
        json_object *const must = pel__json_get(value, "must_understand", json_type_boolean);
        if (!ok && !(must && !json_object_get_boolean(must)))
            return pel__fail(err, PEL_UNSUPPORTED, "member \"%s\" of the %s's metadata is not understood", key, kind);
    }
    return true;
}

static bool node_v3(pel__zarr_node *node, pel_error *err)
{
    const char *const type = pel__json_string(node->meta, "node_type");
    json_object *const format = pel__json_get(node->meta, "zarr_format", json_type_int);
    node->format = 3;
    if (!format || json_object_get_int64(format) != 3)
        return pel__fail(err, PEL_UNSUPPORTED, "zarr.json: zarr_format is not 3");
    if (!type || (strcmp(type, "array") != 0 && strcmp(type, "group") != 0))
        return pel__fail(err, PEL_FORMAT, "zarr.json: node_type is \"%s\", expected array or group", type ? type : "");
    node->kind = type[0] == 'a' ? PEL__NODE_ARRAY : PEL__NODE_GROUP;
    if (node->kind == PEL__NODE_GROUP && !known_members(node->meta, "group", group_members, err))
        return false;
    node->attributes = json_object_get(pel__json_get(node->meta, "attributes", json_type_object));
    return true;
}

static bool node_v2(pel__zarr_node *node, pel__store *store, const char *path, pel_error *err)
{
    node->format = 2;
    if (!read_document(node, store, path, ".zarray", &node->meta, err))
        return false;
    node->kind = node->meta ? PEL__NODE_ARRAY : PEL__NODE_NONE;
    if (!node->meta && !read_document(node, store, path, ".zgroup", &node->meta, err))
        return false;
    if (!read_document(node, store, path, ".zattrs", &node->attributes, err))
        return false;
    if (node->kind == PEL__NODE_NONE && (node->meta || node->attributes))
        node->kind = PEL__NODE_GROUP;
    return true;
}

/* Consolidated metadata may be older than the array: what decides which voxel is where is held against the array's own document. */
static bool check_own(pel__zarr_node *node, pel__store *store, const char *path, pel_error *err)
{
    char key[PEL__PATH_MAX], where[PEL__PATH_MAX];
    json_object *own = NULL;
    document_key(key, sizeof key, path, node->format == 3 ? "zarr.json" : ".zarray");
    if (node->kind != PEL__NODE_ARRAY || !pel__store_has_kept(store, key))
        return true;
    if (!read_document_by(pel__store_own_text, node, store, key, &own, err))
        return false;
    node->stale = own && pel__json_differs(node->meta, own, where, sizeof where);
    if (!node->stale) {
        json_object_put(own);
        return true;
    }
    json_object_put(node->meta);
    node->meta = own;
    if (node->format == 2)
        return true;
    json_object_put(node->attributes);
    node->attributes = NULL;
    return node_v3(node, err) || pel__where(err, "%s/%s: ", pel__store_root(store), path);
}

bool pel__zarr_node_read(pel__zarr_node *node, pel__store *store, const char *path, pel_error *err)
{
    *node = (pel__zarr_node){0};
    bool ok = read_document(node, store, path, "zarr.json", &node->meta, err);
    if (ok && node->meta) {
        ok = node_v3(node, err) || pel__where(err, "%s/%s: ", pel__store_root(store), path);
    } else if (ok) {
        ok = node_v2(node, store, path, err);
    }
    ok = ok && check_own(node, store, path, err);
    if (!ok)
        pel__zarr_node_free(node);
    return ok;
}

void pel__zarr_node_free(pel__zarr_node *node)
{
    json_object_put(node->meta);
    json_object_put(node->attributes);
    *node = (pel__zarr_node){0};
}

/* ---- consolidated metadata ---------------------------------------------------------------------------------- */

/* "0" or "0/.zarray" of the map to the key of its document. */
static bool keep_documents(pel__store *store, json_object *map, const char *name, pel_error *err)
{
    if (!json_object_is_type(map, json_type_object))
        return true;
    json_object_object_foreach(map, path, document) {
        char key[PEL__PATH_MAX];
        if ((size_t)snprintf(key, sizeof key, "%s%s", path, name) >= sizeof key || !document)
            continue;
        if (!pel__store_keep_document(store, key, document))
            return pel__fail(err, PEL_NO_MEMORY, "out of memory: consolidated metadata");
    }
    return true;
}

bool pel__zarr_consolidated(pel__store *store, const pel__zarr_node *root, pel_error *err)
{
    if (root->kind != PEL__NODE_GROUP)
        return true;
    if (root->format == 3)
        return keep_documents(store, pel__json_get(pel__json_get(root->meta, "consolidated_metadata", json_type_object), "metadata",
                                                   json_type_object), "/zarr.json", err);
    pel__zarr_node unused = {0};
    json_object *document = NULL;
    bool ok = read_document(&unused, store, "", ".zmetadata", &document, err);
    ok = ok && keep_documents(store, pel__json_get(document, "metadata", json_type_object), "", err);
    json_object_put(document);
    return ok;
}

/* ---- what both versions have ------------------------------------------------------------------------------- */

static bool parse_shape(pel__zarr_array *a, json_object *meta, pel_error *err)
{
    int64_t voxels = 0;
    if (!pel__json_int_list(pel__json_get(meta, "shape", json_type_array), 0, a->shape, PEL_MAX_NDIM, &a->ndim, err))
        return pel__where(err, "shape: ");
    if (!pel__product(a->shape, a->ndim, &voxels) || !pel__mul(voxels, 8, &voxels))
        return pel__fail(err, PEL_FORMAT, "shape: the number of voxels overflows");
    return true;
}

static bool parse_chunk(pel__zarr_array *a, json_object *list, pel_error *err)
{
    int32_t n = 0;
    if (!pel__json_int_list(list, 1, a->chunk, PEL_MAX_NDIM, &n, err))
        return pel__where(err, "chunk shape: ");
    if (n != a->ndim)
        return pel__fail(err, PEL_FORMAT, "chunk shape: %d axes, the array has %d", (int)n, (int)a->ndim);
    for (int32_t i = 0; i < n; i++) /* so that origin + chunk never overflows */
        if (a->chunk[i] > (int64_t)1 << 40)
            return pel__fail(err, PEL_UNSUPPORTED, "chunk shape: %lld along axis %d", (long long)a->chunk[i], (int)i);
    return true;
}

static bool keep_fill(pel__zarr_array *a, json_object *meta, pel_error *err)
{
    static const uint8_t zero[8];
    json_object *value = NULL;
    if (!json_object_object_get_ex(meta, "fill_value", &value))
        return pel__fail(err, PEL_FORMAT, "fill_value is missing");
    if (!pel__zarr_fill(value, &a->type, a->format == 2, a->fill, err))
        return false;
    a->fill_zero = memcmp(a->fill, zero, 8) == 0;
    return true;
}

static bool keep_names(pel__zarr_array *a, json_object *list, pel_error *err)
{
    if (!list)
        return true;
    if (json_object_array_length(list) != (size_t)a->ndim)
        return pel__fail(err, PEL_FORMAT, "%zu dimension names, the array has %d axes", json_object_array_length(list),
                         (int)a->ndim);
    for (int32_t i = 0; i < a->ndim; i++) {
        json_object *const v = json_object_array_get_idx(list, (size_t)i);
        if (json_object_is_type(v, json_type_string))
            (void)snprintf(a->name[i], sizeof a->name[i], "%s", json_object_get_string(v));
        else if (v)
            return pel__fail(err, PEL_FORMAT, "dimension name %d is no string", (int)i);
    }
    return true;
}

/* ---- v3 ---------------------------------------------------------------------------------------------------- */

/* {"name", "configuration"} or a bare name: the name, and the configuration or NULL. */
static const char *extension(json_object *meta, const char *key, json_object **configuration)
{
    json_object *const o = pel__json_get(meta, key, json_type_object);
    *configuration = o ? pel__json_get(o, "configuration", json_type_object) : NULL;
    const char *const name = o ? pel__json_string(o, "name") : pel__json_string(meta, key);
    return name ? name : "";
}

static bool parse_keys_v3(pel__zarr_array *a, json_object *meta, pel_error *err)
{
    json_object *configuration = NULL;
    const char *const name = extension(meta, "chunk_key_encoding", &configuration);
    a->prefixed = strcmp(name, "default") == 0;
    if (!a->prefixed && strcmp(name, "v2") != 0)
        return pel__fail(err, PEL_UNSUPPORTED, "chunk_key_encoding \"%s\", expected default or v2", name);
    const char *const separator = pel__json_string(configuration, "separator");
    a->separator = a->prefixed ? '/' : '.';
    a->separator_told = true; /* one way or the other */
    if (!separator)
        return true;
    a->separator = separator[0];
    if (strcmp(separator, "/") != 0 && strcmp(separator, ".") != 0)
        return pel__fail(err, PEL_FORMAT, "chunk_key_encoding: separator \"%s\", expected / or .", separator);
    return true;
}

bool pel__zarr_parse_v3(pel__zarr_array *a, const pel__zarr_node *node, pel_error *err)
{
    json_object *const meta = node->meta;
    json_object *configuration = NULL;
    if (!known_members(meta, "array", array_members, err))
        return false;
    const char *const type = extension(meta, "data_type", &configuration);
    if (!type[0])
        return pel__fail(err, PEL_FORMAT, "data_type: expected the name of a type");
    if (configuration && json_object_object_length(configuration) > 0)
        return pel__fail(err, PEL_UNSUPPORTED, "data type \"%s\" with a configuration: not understood", type);
    if (!pel__zarr_dtype_v3(type, &a->type, err) || !parse_shape(a, meta, err))
        return false;
    const char *const grid = extension(meta, "chunk_grid", &configuration);
    if (strcmp(grid, "regular") != 0)
        return pel__fail(err, PEL_UNSUPPORTED, "chunk_grid \"%s\", expected regular", grid);
    return parse_chunk(a, pel__json_get(configuration, "chunk_shape", json_type_array), err) && parse_keys_v3(a, meta, err)
        && keep_fill(a, meta, err) && keep_names(a, pel__json_get(meta, "dimension_names", json_type_array), err)
        && pel__chain_v3(&a->chain, pel__json_get(meta, "codecs", json_type_array), a->ndim, a->chunk,
                         a->type.item, PEL__CHAIN_NESTING, err);
}

/* ---- v2 ---------------------------------------------------------------------------------------------------- */

bool pel__zarr_parse_v2(pel__zarr_array *a, const pel__zarr_node *node, pel_error *err)
{
    json_object *const meta = node->meta;
    json_object *const format = pel__json_get(meta, "zarr_format", json_type_int);
    const char *const type = pel__json_string(meta, "dtype");
    if (!format || json_object_get_int64(format) != 2)
        return pel__fail(err, PEL_UNSUPPORTED, "zarr_format is not 2");
    if (!type)
        return pel__fail(err, PEL_UNSUPPORTED, "dtype: expected a NumPy type string, found a structure or nothing");
    if (!pel__zarr_dtype_v2(type, &a->type, err) || !parse_shape(a, meta, err)
        || !parse_chunk(a, pel__json_get(meta, "chunks", json_type_array), err) || !keep_fill(a, meta, err))
        return false;
    json_object *value = NULL;
    const bool told = json_object_object_get_ex(meta, "dimension_separator", &value);
    const char *const separator = value ? json_object_get_string(value) : ".";
    if (strcmp(separator, "/") != 0 && strcmp(separator, ".") != 0)
        return pel__fail(err, PEL_FORMAT, "dimension_separator \"%s\", expected / or .", separator);
    a->separator = separator[0];
    a->separator_told = told;
    return keep_names(a, pel__json_get(node->attributes, "_ARRAY_DIMENSIONS", json_type_array), err)
        && pel__chain_v2(&a->chain, meta, a->ndim, a->chunk, a->type.item, a->type.big, err);
}
