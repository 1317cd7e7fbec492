/* SPDX-License-Identifier: MIT
 * The reading half of store.h, over a folder. Absence and every other failure are kept apart: a chunk that is not
 * there is fill value, one that cannot be opened is an error. */
#include "zarr/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct pel__store {
    char *root;
};

struct pel__object {
    pel__file *file;
};

bool pel__store_open(pel__store **out, const char *root, pel_error *err)
{
    struct stat st;
    if (stat(root, &st) != 0)
        return pel__fail_errno(err, errno, "%s: cannot open", root);
    if (!S_ISDIR(st.st_mode))
        return pel__fail(err, PEL_FORMAT, "%s: found a file, expected the folder of a Zarr store", root);
    pel__store *const store = calloc(1, sizeof *store);
    if (!store || !(store->root = strdup(root))) {
        free(store);
        return pel__fail(err, PEL_NO_MEMORY, "%s: out of memory", root);
    }
    *out = store;
    return true;
}

void pel__store_close(pel__store *store)
{
    if (!store)
        return;
    free(store->root);
    free(store);
}

const char *pel__store_root(const pel__store *store)
{
    return store->root;
}

bool pel__store_text(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err)
{
    char path[PEL__PATH_MAX];
    struct stat st;
    *out = NULL;
    *size = 0;
    if (!pel__path_join(path, sizeof path, store->root, key, err))
        return false;
    if (stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return true;
    return pel__file_slurp(out, size, path, limit, err);
}

bool pel__store_object(pel__store *store, const char *key, pel__object **out, pel_error *err)
{
    char path[PEL__PATH_MAX];
    pel_error e = {0};
    *out = NULL;
    if (!pel__path_join(path, sizeof path, store->root, key, err))
        return false;
    pel__file *file = NULL;
    if (!pel__file_open(&file, path, &e)) {
        if (e.code == PEL_NOT_FOUND)
            return true;
        return pel__fail(err, e.code, "%s", e.text);
    }
    pel__object *const object = calloc(1, sizeof *object);
    if (!object) {
        pel__file_close(file);
        return pel__fail(err, PEL_NO_MEMORY, "%s: out of memory", path);
    }
    object->file = file;
    *out = object;
    return true;
}

void pel__object_close(pel__object *object)
{
    if (!object)
        return;
    pel__file_close(object->file);
    free(object);
}

int64_t pel__object_size(const pel__object *object)
{
    return pel__file_size(object->file);
}

int64_t pel__object_mtime_ns(const pel__object *object)
{
    return pel__file_mtime_ns(object->file);
}

bool pel__object_read(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err)
{
    return pel__file_read(object->file, offset, dst, (size_t)n, err);
}

bool pel__store_has_folder(pel__store *store, const char *key)
{
    char path[PEL__PATH_MAX];
    struct stat st;
    return pel__path_join(path, sizeof path, store->root, key, NULL) && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
