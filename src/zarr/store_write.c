/* SPDX-License-Identifier: MIT
 * The writing half of store.h: files that appear whole or not at all, and the sweeping of what a kill left behind. */
#include "zarr/store.h"

#include "core/bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_BACK ((int64_t)4 << 20)

/* Opens a fresh temporary file in the target's folder. The name tells host, process and thread, so that no two
 * writers of a shared folder meet; one that exists was left by a dead namesake. */
static int open_temporary(pel__store_writer *w)
{
    const char *const slash = strrchr(w->path, '/');
    const int folder = slash ? (int)(slash - w->path) + 1 : 0;
    char host[64] = "host";
    (void)gethostname(host, sizeof host - 1);
    for (int attempt = 0; attempt < 1000; attempt++) {
        (void)snprintf(w->temporary, sizeof w->temporary, "%.*s.tmp-%s-%ld-%ld-%d", folder, w->path, host,
                       (long)getpid(), (long)gettid(), attempt);
        const int fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
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

bool pel__writer_begin(pel__store_writer *w, const char *root, const char *key, pel_error *err)
{
    if (!pel__path_join(w->path, sizeof w->path, root, key, err))
        return false;
    int fd = open_temporary(w);
    if (fd < 0 && errno == ENOENT) {
        if (!make_parents(w->path, err))
            return false;
        fd = open_temporary(w);
    }
    if (fd < 0)
        return pel__fail_errno(err, errno, "%s: cannot create a file beside it", w->path);
    w->fd_plus_one = fd + 1;
    w->bytes = 0;
    w->crc32c = 0;
    w->sent = 0;
    return true;
}

bool pel__writer_append(pel__store_writer *w, const void *data, int64_t n, pel_error *err)
{
    const char *p = data;
    int64_t left = n;
    while (left > 0) {
        const ssize_t k = write(w->fd_plus_one - 1, p, (size_t)pel__min(left, 0x40000000));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return pel__fail_errno(err, errno, "%s: cannot write at byte %lld", w->path, (long long)(w->bytes + n - left));
        p += k;
        left -= k;
    }
    w->crc32c = pel__crc32c(w->crc32c, data, (size_t)n);
    w->bytes += n;
    if (!w->unsynced && w->bytes - w->sent >= WRITE_BACK) { /* on its way to the disk by the time of the sync; a hint, errors show there */
        (void)sync_file_range(w->fd_plus_one - 1, w->sent, w->bytes - w->sent, SYNC_FILE_RANGE_WRITE);
        w->sent = w->bytes;
    }
    return true;
}

bool pel__writer_commit(pel__store_writer *w, pel_error *err)
{
    const int fd = w->fd_plus_one - 1;
    bool ok = w->unsynced || fdatasync(fd) == 0;
    int reason = errno;
    w->fd_plus_one = 0;
    if (close(fd) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    if (ok && rename(w->temporary, w->path) != 0) {
        ok = false;
        reason = errno;
    }
    if (ok)
        return true;
    (void)unlink(w->temporary);
    return pel__fail_errno(err, reason, "%s: cannot write", w->path);
}

void pel__writer_abort(pel__store_writer *w)
{
    if (w->fd_plus_one == 0)
        return;
    (void)close(w->fd_plus_one - 1);
    (void)unlink(w->temporary);
    w->fd_plus_one = 0;
}

bool pel__store_remove(const char *root, const char *key, pel_error *err)
{
    char path[PEL__PATH_MAX];
    if (!pel__path_join(path, sizeof path, root, key, err))
        return false;
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR)
        return pel__fail_errno(err, errno, "%s: cannot remove", path);
    return true;
}

bool pel__store_put_text(const char *root, const char *key, const char *text, pel_error *err)
{
    pel__store_writer w = {0};
    if (!pel__writer_begin(&w, root, key, err))
        return false;
    if (!pel__writer_append(&w, text, (int64_t)strlen(text), err)) {
        pel__writer_abort(&w);
        return false;
    }
    return pel__writer_commit(&w, err);
}

/* ---- sweep ------------------------------------------------------------------------------------------------- */

static bool is_folder(const char *path, const struct dirent *e)
{
    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Depth is bounded by what the writer itself creates: image, level, "c", five axes. Links are not followed. */
static bool sweep(const char *folder, int depth, pel_error *err)
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
            ok = depth == 0 || sweep(path, depth - 1, err);
        else if (strncmp(e->d_name, ".tmp-", 5) == 0 && unlink(path) != 0 && errno != ENOENT)
            ok = pel__fail_errno(err, errno, "%s: cannot remove", path);
    }
    (void)closedir(d);
    return ok;
}

bool pel__store_sweep(const char *root, const char *key, pel_error *err)
{
    char path[PEL__PATH_MAX];
    return pel__path_join(path, sizeof path, root, key, err) && sweep(path, 9, err);
}
