/* SPDX-License-Identifier: MIT
 * See store.h: hands on to the kind of store. */
#include "zarr/store.h"

#include "core/bytes.h"
#include "zarr/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool pel__store_is_remote(const char *root)
{
    return pel__url_is_remote(root);
}

bool pel__store_address(char *out, size_t size, const char *root, const pel_remote *remote, pel_error *err)
{
    return pel__url_root(out, size, root, remote, err);
}

bool pel__store_open(pel__store **out, const char *root, const pel_remote *remote, pel_error *err)
{
    return pel__url_is_remote(root) ? pel__store_open_remote(out, root, remote, err) : pel__store_open_folder(out, root, true, err);
}

bool pel__store_create(pel__store **out, const char *root, const pel_remote *remote, pel_error *err)
{
    if (pel__url_is_remote(root) && !pel__url_is_s3(root))
        return pel__fail(err, PEL_ARGUMENT, "%.300s: nothing can be written there: expected a folder or s3://BUCKET/KEY", root);
    return pel__url_is_s3(root) ? pel__store_open_remote(out, root, remote, err) : pel__store_open_folder(out, root, false, err);
}

void pel__store_close(pel__store *store)
{
    if (!store)
        return;
    pel__errands_destroy(store->errands);
    pel__index_cache_destroy(store->indexes);
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
    return store->document_bytes + (store->indexes ? PEL__INDEX_CACHE_BYTES : 0);
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

bool pel__store_has_kept(const pel__store *store, const char *key)
{
    return kept(store, key, 0, key) != NULL;
}

bool pel__store_own_text(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err)
{
    *out = NULL;
    *size = 0;
    return store->type->text(store, key, limit, out, size, err);
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

int64_t pel__object_mtime_ns(const pel__object *object)
{
    return object->mtime_ns;
}

bool pel__object_read(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err)
{
    return object->type->read(object, offset, dst, n, err);
}

bool pel__store_known_object(pel__store *store, const char *key, int64_t bytes, pel__object **out, pel_error *err)
{
    return store->type->known(store, key, bytes, out, err);
}

pel__errands *pel__store_errands(const pel__store *store)
{
    return store->errands;
}

pel__index_cache *pel__store_indexes(const pel__store *store)
{
    return store->indexes;
}

int32_t pel__store_ahead(const pel__store *store)
{
    return store->ahead > 0 ? store->ahead : 1;
}

void pel__store_readers(pel__store *store, int32_t threads)
{
    if (store->type->far)
        store->ahead = (int32_t)pel__max(2, pel__ceil_div(PEL__STORE_CREW, threads));
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

bool pel__store_gathers(const char *root)
{
    return pel__url_is_s3(root);
}

void pel__store_bind(pel__store *store, const char *run)
{
    (void)snprintf(store->run, sizeof store->run, "%s", run ? run : "");
}

pel__hash *pel__store_hash(const pel__store *store, const char *key)
{
    return pel__hash_begin(key, store->run);
}

pel__digest pel__store_absent(const pel__store *store, const char *key)
{
    pel__hash *const h = pel__store_hash(store, key);
    const pel__digest d = h ? pel__hash_digest(h) : (pel__digest){0};
    pel__hash_end(h);
    return d;
}

static void end_writer(pel__store_writer *w)
{
    pel__hash_end(w->hash);
    w->hash = NULL;
    w->store = NULL;
}

bool pel__writer_begin(pel__store_writer *w, pel__store *store, const char *key, pel_error *err)
{
    w->store = store;
    w->bytes = w->sent = 0;
    w->crc32c = 0;
    w->hash = pel__store_hash(store, key);
    if (!w->hash)
        (void)pel__fail(err, PEL_NO_MEMORY, "out of memory");
    else if (store->type->writes->begin(w, key, err))
        return true;
    end_writer(w);
    return false;
}

bool pel__writer_append(pel__store_writer *w, const void *data, int64_t n, pel_error *err)
{
    if (!w->store->type->writes->append(w, data, n, err))
        return false;
    if (w->store->type->far)
        w->crc32c = pel__crc32c(w->crc32c, data, (size_t)n);
    pel__hash_add(w->hash, data, n);
    w->bytes += n;
    return true;
}

pel__digest pel__writer_digest(const pel__store_writer *w)
{
    return pel__hash_digest(w->hash);
}

bool pel__writer_commit(pel__store_writer *w, pel_error *err)
{
    const bool ok = w->store->type->writes->commit(w, err);
    end_writer(w);
    return ok;
}

void pel__writer_abort(pel__store_writer *w)
{
    if (w->store && w->store->type->writes->abort)
        w->store->type->writes->abort(w);
    end_writer(w);
}

bool pel__store_put_text(pel__store *store, const char *key, const char *text, pel_error *err)
{
    pel__store_writer w = {0};
    w.capacity = (int64_t)strlen(text);
    if (store->type->far && !(w.room = malloc((size_t)w.capacity)))
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    const bool ok = pel__writer_begin(&w, store, key, err) && pel__writer_append(&w, text, w.capacity, err) && pel__writer_commit(&w, err);
    pel__writer_abort(&w);
    free(w.room);
    return ok;
}

bool pel__store_remove(pel__store *store, const char *key, pel_error *err)
{
    return store->type->writes->remove(store, key, err);
}

bool pel__store_sync(pel__store *store, pel_error *err)
{
    return !store->type->writes->sync || store->type->writes->sync(store, err);
}

bool pel__store_write_again(pel__store *store, pel__retry *again)
{
    return atomic_exchange(&store->lost, false) && pel__try_again(again, EIO);
}

bool pel__store_look(pel__store *store, const char *key, enum pel__depth depth, pel__found *out, pel_error *err)
{
    *out = (pel__found){.readable = true};
    if (!store->type->writes->look(store, key, depth, out, err))
        return false;
    if (!out->there)
        out->digest = pel__store_absent(store, key);
    return true;
}

bool pel__store_first(pel__store *store, char *name, size_t size, pel_error *err)
{
    name[0] = '\0';
    return store->type->writes->first(store, name, size, err);
}

bool pel__store_each(pel__store *store, const pel__store_walk *walk, bool *listed, pel_error *err)
{
    *listed = true;
    return store->type->writes->each(store, walk, listed, err);
}

bool pel__store_clear(pel__store *store, pel_error *err)
{
    return store->type->writes->clear(store, err);
}

bool pel__store_sweep(pel__store *store, pel__keep *keep, void *arg, pel_error *err)
{
    store->keep = keep;
    store->keep_arg = arg;
    return !store->type->writes->sweep || store->type->writes->sweep(store, err);
}
