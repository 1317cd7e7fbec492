/* SPDX-License-Identifier: MIT
 * A store that is a folder. Absence and every other failure are kept apart: a chunk that is not there is fill value, one
 * that cannot be opened is an error. */
#include "zarr/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct folder_store {
    pel__store base;
    char *proof; /* a document that could be read */
} folder_store;

typedef struct folder_object {
    pel__object base;
    pel__file *file;
} folder_object;

static void close_store(pel__store *store)
{
    free(((folder_store *)store)->proof);
    pel__folders_destroy(store->folders);
    free(store);
}

/* What is not there although a link names it was there once: contents that git-annex or DataLad have not fetched, a disk that is not
 * mounted. Taken for absent, its voxels would be zero. The way up from the key ends at the first folder that is there. */
static bool no_dangling_link(const pel__store *store, char *path, pel_error *err)
{
    const size_t root = strlen(store->root);
    struct stat st;
    for (size_t n = strlen(path); n > root; n = (size_t)(strrchr(path, '/') - path)) {
        path[n] = '\0';
        if (lstat(path, &st) != 0)
            continue;
        if (!S_ISLNK(st.st_mode) || stat(path, &st) == 0)
            return true;
        return pel__fail(err, PEL_IO, "%s: a link to what is not there: get its contents (git annex get, datalad get) or mount the disk that it leads to", path);
    }
    return true;
}

static bool read_text(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err)
{
    char path[PEL__PATH_MAX];
    struct stat st;
    if (!pel__path_join(path, sizeof path, store->root, key, err))
        return false;
    if (stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return no_dangling_link(store, path, err);
    if (!pel__file_slurp(out, size, path, limit, err))
        return false;
    folder_store *const s = (folder_store *)store;
    if (!s->proof)
        s->proof = strdup(path);
    return true;
}

/* A chunk that is not there is fill value; but not if the whole store has gone: unmounted, moved or deleted meanwhile. */
static bool still_there(const pel__store *store, pel_error *err)
{
    const char *const proof = ((const folder_store *)store)->proof;
    return !proof || access(proof, F_OK) == 0 || pel__fail_errno(err, errno, "%s: could be read before", proof);
}

static void close_object(pel__object *object)
{
    pel__file_close(((folder_object *)object)->file);
    free(object);
}

static bool read_object(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err)
{
    return pel__file_read(((folder_object *)object)->file, offset, dst, (size_t)n, err);
}

static bool open_object(pel__store *store, const char *key, const pel__want *want, pel__object **out, pel_error *err);

static const pel__store_type folder = {
    .writes = &pel__store_folder_writes,
    .text = read_text,
    .object = open_object,
    .read = read_object,
    .close_object = close_object,
    .close = close_store,
};

static bool open_object(pel__store *store, const char *key, const pel__want *want, pel__object **out, pel_error *err)
{
    char path[PEL__PATH_MAX];
    pel_error e = {0};
    pel__file *file = NULL;
    (void)want;
    if (!pel__path_join(path, sizeof path, store->root, key, err))
        return false;
    if (!pel__file_open(&file, path, &e)) {
        if (e.code == PEL_NOT_FOUND)
            return still_there(store, err) && no_dangling_link(store, path, err);
        return pel__fail(err, e.code, "%s", e.text);
    }
    folder_object *const object = calloc(1, sizeof *object);
    if (!object) {
        pel__file_close(file);
        return pel__fail(err, PEL_NO_MEMORY, "%s: out of memory", path);
    }
    object->base = (pel__object){.type = &folder, .size = pel__file_size(file), .mtime_ns = pel__file_mtime_ns(file)};
    object->file = file;
    *out = &object->base;
    return true;
}

bool pel__store_open_folder(pel__store **out, const char *root, bool must_exist, pel_error *err)
{
    struct stat st;
    if (must_exist && stat(root, &st) != 0)
        return pel__fail_errno(err, errno, "%s: cannot open", root);
    if (must_exist && !S_ISDIR(st.st_mode))
        return pel__fail(err, PEL_FORMAT, "%s: found a file, expected the folder of a Zarr store", root);
    folder_store *const s = calloc(1, sizeof *s);
    if (!s || !(s->base.root = strdup(root))) {
        free(s);
        return pel__fail(err, PEL_NO_MEMORY, "%s: out of memory", root);
    }
    s->base.type = &folder;
    if (!must_exist && !pel__folders_create(&s->base.folders, root, err)) {
        free(s->base.root);
        free(s);
        return false;
    }
    *out = &s->base;
    return true;
}
