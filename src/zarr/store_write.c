/* SPDX-License-Identifier: MIT
 * The writing half of a store that is a folder: files that are written under a temporary name beside their place and
 * appear whole or not at all, and the sweeping of what a kill left behind. */
#include "zarr/store.h"

#include "core/bytes.h"
#include "core/owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_BACK ((int64_t)4 << 20)

/* Opens a fresh temporary file in the target's folder. The name tells host, process, its token and thread, so
 * that no two writers of a shared folder meet; one that exists was left by a dead namesake. */
static int open_temporary(pel__store_writer *w)
{
    const char *const slash = strrchr(w->path, '/');
    const int folder = slash ? (int)(slash - w->path) + 1 : 0;
    char tag[PEL__TAG_MAX];
    pel__retry again = {0};
    pel__owner_tag(tag, sizeof tag);
    for (int attempt = 0; attempt < 1000; attempt++) {
        (void)snprintf(w->temporary, sizeof w->temporary, "%.*s.tmp-%s-%ld-%u", folder, w->path, tag,
                       (long)gettid(), atomic_fetch_add(&w->store->temporaries, 1));
        const int fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || (errno != EEXIST && !pel__try_again(&again, errno)))
            return fd;
    }
    return -1;
}

static bool make_parents(const char *path, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    const char *const slash = strrchr(path, '/');
    if (!slash || slash == path)
        return true;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    return pel__make_dirs(folder, err);
}

static bool begin(pel__store_writer *w, const char *key, pel_error *err)
{
    if (!pel__path_join(w->path, sizeof w->path, w->store->root, key, err))
        return false;
    w->fd = open_temporary(w);
    if (w->fd < 0 && errno == ENOENT) {
        if (!make_parents(w->path, err))
            return false;
        w->fd = open_temporary(w);
    }
    if (w->fd < 0 && errno == ENOTDIR)
        return pel__fail(err, PEL_IO, "%s: found a file in the place of a folder on the way there: move it away, and the same command goes on", w->path);
    return w->fd >= 0 || pel__fail_errno(err, errno, "%s: cannot create a file beside it", w->path);
}

static bool append(pel__store_writer *w, const void *data, int64_t n, pel_error *err)
{
    const char *p = data;
    int64_t left = n;
    pel__retry again = {0};
    while (left > 0) {
        const ssize_t k = write(w->fd, p, (size_t)pel__min(left, 0x40000000));
        if (k < 0 && pel__try_again(&again, errno))
            continue;
        if (k < 0)
            return pel__fail_errno(err, errno, "%s: cannot write at byte %lld", w->path, (long long)(w->bytes + n - left));
        p += k;
        left -= k;
    }
    if (!w->unsynced && w->bytes + n - w->sent >= WRITE_BACK) { /* on its way to the disk by the time of the sync; a hint, errors show there */
        (void)sync_file_range(w->fd, w->sent, w->bytes + n - w->sent, SYNC_FILE_RANGE_WRITE);
        w->sent = w->bytes + n;
    }
    return true;
}

static bool move(const pel__store_writer *w)
{
    pel__retry again = {0};
    int result = 0;
    do {
        result = rename(w->temporary, w->path);
    } while (result != 0 && pel__try_again(&again, errno));
    return result == 0;
}

static bool commit(pel__store_writer *w, pel_error *err)
{
    bool ok = w->unsynced || fdatasync(w->fd) == 0;
    int reason = errno;
    if (close(w->fd) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    if (!ok && pel__passes(reason))
        atomic_store(&w->store->lost, true);
    if (ok && !move(w)) {
        ok = false;
        reason = errno;
    }
    if (ok)
        return w->unsynced || !w->store->folders || pel__folders_note(w->store->folders, w->path, err);
    (void)unlink(w->temporary);
    if (reason == EISDIR)
        return pel__fail(err, PEL_IO, "%s: found a folder, expected a file or nothing: move it away, and the same command goes on", w->path);
    return pel__fail_errno(err, reason, "%s: cannot write", w->path);
}

static void give_up(pel__store_writer *w)
{
    (void)close(w->fd);
    (void)unlink(w->temporary);
}

static bool remove_file(pel__store *store, const char *key, pel_error *err)
{
    char path[PEL__PATH_MAX];
    if (!pel__path_join(path, sizeof path, store->root, key, err))
        return false;
    if (unlink(path) == 0)
        return !store->folders || pel__folders_note(store->folders, path, err);
    return errno == ENOENT || errno == ENOTDIR || pel__fail_errno(err, errno, "%s: cannot remove", path);
}

static bool sync_names(pel__store *store, pel_error *err)
{
    bool lost = false;
    const bool ok = !store->folders || pel__folders_sync(store->folders, &lost, err);
    if (lost)
        atomic_store(&store->lost, true);
    return ok;
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

#define READ_AT_ONCE ((size_t)1 << 18)

static bool checksum_file(const pel__store *store, pel__file *f, const char *key, pel__found *out)
{
    char *const buffer = malloc(READ_AT_ONCE);
    pel__hash *const hash = pel__store_hash(store, key);
    bool ok = buffer && hash;
    for (int64_t at = 0; ok && at < pel__file_size(f); at += (int64_t)READ_AT_ONCE) {
        size_t got = 0;
        ok = pel__file_read_some(f, at, buffer, READ_AT_ONCE, &got, NULL);
        out->crc32c = pel__crc32c(out->crc32c, buffer, got);
        pel__hash_add(hash, buffer, (int64_t)got);
    }
    if (ok)
        out->digest = pel__hash_digest(hash);
    pel__hash_end(hash);
    free(buffer);
    return ok;
}

/* 0: there; ENOENT: not there; else why it could not be asked. */
static int find(const char *path, struct stat *st)
{
    pel__retry again = {0};
    while (stat(path, st) != 0) {
        if (!pel__try_again(&again, errno))
            return errno == ENOTDIR ? ENOENT : errno;
    }
    return 0;
}

static bool look(pel__store *store, const char *key, enum pel__depth depth, pel__found *out, pel_error *err)
{
    char path[PEL__PATH_MAX];
    struct stat st;
    pel__file *f = NULL;
    if (!pel__path_join(path, sizeof path, store->root, key, err))
        return false;
    const int reason = find(path, &st);
    out->there = reason == 0;
    if (!out->there)
        return reason == ENOENT || pel__fail_errno(err, reason, "%s: cannot look at it", path);
    out->bytes = st.st_size;
    if (depth == PEL__DEPTH_LENGTH)
        return true;
    out->readable = pel__file_open(&f, path, NULL) && checksum_file(store, f, key, out);
    out->bytes = f ? pel__file_size(f) : out->bytes;
    pel__file_close(f);
    return true;
}

static bool first(pel__store *store, char *name, size_t size, pel_error *err)
{
    DIR *const d = opendir(store->root);
    if (!d && errno == ENOENT)
        return true;
    if (!d && errno == ENOTDIR)
        return pel__fail(err, PEL_REFUSED, "%s: a file, expected no file or a folder of ours; it is not touched", store->root);
    if (!d)
        return pel__fail_errno(err, errno, "%s: cannot list", store->root);
    const struct dirent *e;
    while (!name[0] && (e = readdir(d))) /* one thread a stream: safe. NOLINT(concurrency-mt-unsafe) */
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strncmp(e->d_name, ".tmp-", 5) != 0)
            (void)snprintf(name, size, "%s", e->d_name);
    (void)closedir(d);
    return true;
}

static int remove_any(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st;
    (void)kind;
    (void)place;
    return remove(path) != 0 && errno != ENOENT;
}

static bool clear(pel__store *store, pel_error *err)
{
    if (nftw(store->root, remove_any, 32, FTW_PHYS | FTW_DEPTH) != 0 && errno != ENOENT)
        return pel__fail_errno(err, errno, "%s: cannot remove", store->root);
    return true;
}

/* ---- sweep ------------------------------------------------------------------------------------------------- */

static bool is_folder(const char *path, const struct dirent *e)
{
    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Of a writer who lives and has the store to himself no more than we have. */
static bool is_kept(const pel__store *store, const char *name)
{
    return store->keep && store->keep(store->keep_arg, name);
}

/* Depth is bounded by what the writer itself creates: image, level, "c", five axes. Links are not followed. */
static bool sweep_folder(const pel__store *store, const char *folder, int depth, pel_error *err)
{
    DIR *const d = opendir(folder);
    if (!d)
        return errno == ENOENT || pel__fail_errno(err, errno, "%s: cannot list", folder);
    bool ok = true;
    const struct dirent *e;
    while (ok && (e = readdir(d))) { /* one thread a stream: safe. NOLINT(concurrency-mt-unsafe) */
        char path[PEL__PATH_MAX];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (!pel__path_join(path, sizeof path, folder, e->d_name, NULL))
            continue;
        if (is_folder(path, e))
            ok = depth == 0 || sweep_folder(store, path, depth - 1, err);
        else if (strncmp(e->d_name, ".tmp-", 5) == 0 && !is_kept(store, e->d_name) && unlink(path) != 0 && errno != ENOENT)
            ok = pel__fail_errno(err, errno, "%s: cannot remove", path);
    }
    (void)closedir(d);
    return ok;
}

static bool sweep(pel__store *store, pel_error *err)
{
    return sweep_folder(store, store->root, 9, err);
}

/* ---- each -------------------------------------------------------------------------------------------------- */

#define DEEPEST 12 /* two more than the writer's own folders */

/* path and key are grown in place; links count as what they lead to: a level may lie on another disk. */
static bool walk_folder(char *path, size_t root, int depth, const pel__store_walk *walk, pel_error *err)
{
    const size_t n = strlen(path);
    DIR *const d = opendir(path);
    if (!d)
        return errno == ENOENT || pel__fail_errno(err, errno, "%s: cannot list", path);
    bool ok = true;
    const struct dirent *e;
    while (ok && (e = readdir(d))) { /* one thread a stream: safe. NOLINT(concurrency-mt-unsafe) */
        struct stat st;
        const char *const key = path + root + 1;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strncmp(e->d_name, ".tmp-", 5) == 0 || n + strlen(e->d_name) + 3 > PEL__PATH_MAX)
            continue;
        (void)snprintf(path + n, PEL__PATH_MAX - n, "/%s", e->d_name);
        const bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        const size_t end = strlen(path);
        (void)snprintf(path + end, PEL__PATH_MAX - end, "%s", folder ? "/" : "");
        const bool enter = folder && depth < DEEPEST && walk->enter(walk->arg, key);
        path[end] = '\0';
        if (enter)
            ok = walk_folder(path, root, depth + 1, walk, err);
        else if (!folder)
            ok = walk->on_key(walk->arg, key, err);
        path[n] = '\0';
    }
    (void)closedir(d);
    return ok;
}

static bool each(pel__store *store, const pel__store_walk *walk, bool *listed, pel_error *err)
{
    char path[PEL__PATH_MAX];
    (void)listed;
    (void)snprintf(path, sizeof path, "%s", store->root);
    return walk_folder(path, strlen(path), 0, walk, err);
}

const pel__store_writes pel__store_folder_writes = {
    .begin = begin,
    .append = append,
    .commit = commit,
    .abort = give_up,
    .remove = remove_file,
    .sync = sync_names,
    .look = look,
    .first = first,
    .each = each,
    .clear = clear,
    .sweep = sweep,
};
