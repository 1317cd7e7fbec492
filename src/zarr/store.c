/* SPDX-License-Identifier: MIT
 * The reading half of store.h: hands on to the kind of store. */
#include "zarr/store.h"

#include "zarr/url.h"

#include <stdlib.h>
#include <string.h>

bool pel__store_is_remote(const char *root)
{
    return pel__url_is_remote(root);
}

bool pel__store_open(pel__store **out, const char *root, const pel_remote *remote, pel_error *err)
{
    return pel__url_is_remote(root) ? pel__store_open_remote(out, root, remote, err) : pel__store_open_folder(out, root, err);
}

void pel__store_close(pel__store *store)
{
    if (!store)
        return;
    json_object_put(store->documents);
    free(store->root);
    free(store->refused);
    store->type->close(store);
}

const char *pel__store_root(const pel__store *store)
{
    return store->root;
}

const char *pel__store_refused(const pel__store *store)
{
    return store->refused ? store->refused : "";
}

/* ---- documents ----------------------------------------------------------------------------------------------- */

bool pel__store_keep_document(pel__store *store, const char *key, json_object *document)
{
    if (!store->documents && !(store->documents = json_object_new_object()))
        return false;
    const char *const text = document ? json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN) : NULL;
    json_object *const value = text ? json_object_new_string(text) : NULL;
    if (!value || json_object_object_add(store->documents, key, value) != 0) {
        json_object_put(value);
        return false;
    }
    store->document_bytes += (int64_t)(strlen(text) + strlen(key)) + 256;
    return true;
}

int64_t pel__store_resident_bytes(const pel__store *store)
{
    return store->document_bytes;
}

static const char *kept(const pel__store *store, const char *node, size_t n, const char *name)
{
    char key[PEL__PATH_MAX];
    json_object *value = NULL;
    if (!store->documents || n + strlen(name) + 1 > sizeof key)
        return NULL;
    memcpy(key, node, n);
    memcpy(key + n, name, strlen(name) + 1);
    return json_object_object_get_ex(store->documents, key, &value) ? json_object_get_string(value) : NULL;
}

/* A node of which any document was consolidated has no others. */
static bool all_kept(const pel__store *store, const char *key, const char **text)
{
    static const char *const names[] = {"zarr.json", ".zarray", ".zgroup"};
    const char *const slash = strrchr(key, '/');
    const size_t n = slash ? (size_t)(slash - key) + 1 : 0;
    *text = kept(store, key, n, key + n);
    bool any = *text != NULL;
    for (int i = 0; i < 3; i++)
        any = any || kept(store, key, n, names[i]);
    return any;
}

bool pel__store_text(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err)
{
    const char *text = NULL;
    *out = NULL;
    *size = 0;
    if (!all_kept(store, key, &text))
        return store->type->text(store, key, limit, out, size, err);
    if (!text)
        return true;
    *out = strdup(text);
    *size = strlen(text);
    return *out || pel__fail(err, PEL_NO_MEMORY, "out of memory");
}

/* ---- objects ------------------------------------------------------------------------------------------------- */

bool pel__store_object(pel__store *store, const char *key, const pel__want *want, pel__object **out, pel_error *err)
{
    *out = NULL;
    return store->type->object(store, key, want, out, err);
}

void pel__object_close(pel__object *object)
{
    if (object)
        object->type->close_object(object);
}

int64_t pel__object_size(const pel__object *object)
{
    return object->size;
}

bool pel__object_read(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err)
{
    return object->type->read(object, offset, dst, n, err);
}

bool pel__object_expect(pel__object *object, int64_t offset, int64_t n, pel_error *err)
{
    return !object->type->expect || object->type->expect(object, offset, n, err);
}

bool pel__store_windows(const pel__store *store)
{
    return store->type->windows;
}

bool pel__store_has_folder(pel__store *store, const char *key)
{
    return store->type->has_folder(store, key);
}
