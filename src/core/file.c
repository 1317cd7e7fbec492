/* SPDX-License-Identifier: MIT
 * See file.h. Only positioned calls, so that threads share a descriptor without a cursor. */
#include "core/file.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/owner.h"
#include "core/retry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct pel__file {
    char *path;
    int fd;
    int64_t size, mtime_ns;
};

static int open_to_read(const char *path)
{
    pel__retry again = {0};
    int fd = -1;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe in a file's place must not make us wait */
    } while (fd < 0 && pel__try_again(&again, errno));
    return fd;
}

/* The server has forgotten our handle: the same file under a new one, in the place of the old. Another file stays out: what was
 * read of this one would not fit. */
static void open_anew(const pel__file *f)
{
    struct stat st;
    const int fd = open_to_read(f->path);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size == f->size && (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec == f->mtime_ns)
        (void)dup3(fd, f->fd, O_CLOEXEC);
    (void)close(fd);
}

FILE *pel__file_stream(const char *path, pel_error *err)
{
    struct stat st;
    const int fd = open_to_read(path);
    const bool there = fd >= 0 && fstat(fd, &st) == 0;
    FILE *const f = there && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    if (f)
        return f;
    if (there && !S_ISREG(st.st_mode))
        (void)pel__fail(err, PEL_REFUSED, "%s: found no regular file; it is not read: remove it", path);
    else
        (void)pel__fail_errno(err, errno, "%s: cannot open", path);
    if (fd >= 0)
        (void)close(fd);
    return NULL;
}

bool pel__file_open(pel__file **out, const char *path, pel_error *err)
{
    struct stat st;
    pel__file *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(path))) {
        free(f);
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to open it", path);
    }
    f->fd = open_to_read(path);
    if (f->fd < 0 || fstat(f->fd, &st) != 0) {
        (void)pel__fail_errno(err, errno, "%s: cannot open", path);
        pel__file_close(f);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        pel__file_close(f);
        return pel__fail(err, PEL_FORMAT, "%s: found a folder or device, expected a file", path);
    }
    f->size = st.st_size;
    f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    *out = f;
    return true;
}

void pel__file_close(pel__file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        (void)close(f->fd);
    free(f->path);
    free(f);
}

const char *pel__file_path(const pel__file *f) { return f->path; }
int64_t pel__file_size(const pel__file *f) { return f->size; }
int64_t pel__file_mtime_ns(const pel__file *f) { return f->mtime_ns; }
int pel__file_fd(const pel__file *f) { return f->fd; }

bool pel__file_read_some(pel__file *f, int64_t offset, void *dst, size_t n, size_t *got, pel_error *err)
{
    size_t done = 0;
    pel__retry again = {0};
    while (done < n) {
        const size_t most = n - done < 0x40000000 ? n - done : 0x40000000; /* Linux moves at most 2 GiB a call */
        const ssize_t k = pread(f->fd, (char *)dst + done, most, offset + (int64_t)done);
        if (k < 0 && pel__try_again(&again, errno)) {
            if (errno == ESTALE)
                open_anew(f);
            continue;
        }
        if (k < 0)
            return pel__fail_errno(err, errno, "%s: cannot read %zu bytes at %lld", f->path, n, (long long)offset);
        if (k == 0)
            break;
        done += (size_t)k;
    }
    *got = done;
    return true;
}

bool pel__file_read(pel__file *f, int64_t offset, void *dst, size_t n, pel_error *err)
{
    size_t got = 0;
    if (offset < 0)
        return pel__fail(err, PEL_DAMAGED, "%s: position %lld is negative", f->path, (long long)offset);
    if (!pel__file_read_some(f, offset, dst, n, &got, err))
        return false;
    if (got != n)
        return pel__fail(err, PEL_DAMAGED, "%s: file ends early: found %zu of %zu bytes expected at %lld", f->path, got, n,
                         (long long)offset);
    return true;
}

bool pel__file_slurp(char **out, size_t *size, const char *path, size_t limit, pel_error *err)
{
    pel__file *f = NULL;
    char *text = NULL;
    bool ok = false;
    if (!pel__file_open(&f, path, err))
        return false;
    if ((uint64_t)f->size > limit) {
        (void)pel__fail(err, PEL_FORMAT, "%s: %lld bytes, expected at most %zu", path, (long long)f->size, limit);
        goto cleanup;
    }
    text = malloc((size_t)f->size + 1);
    if (!text) {
        (void)pel__fail(err, PEL_NO_MEMORY, "%s: no memory for %lld bytes", path, (long long)f->size);
        goto cleanup;
    }
    if (!pel__file_read(f, 0, text, (size_t)f->size, err))
        goto cleanup;
    text[f->size] = '\0';
    *size = (size_t)f->size;
    *out = text;
    text = NULL;
    ok = true;
cleanup:
    free(text);
    pel__file_close(f);
    return ok;
}

static bool write_pieces(int fd, const pel__piece *pieces, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        const char *p = pieces[i].data;
        size_t left = pieces[i].n;
        while (left > 0) {
            const ssize_t k = write(fd, p, left < 0x40000000 ? left : 0x40000000);
            if (k < 0 && errno == EINTR)
                continue;
            if (k < 0)
                return false;
            p += k;
            left -= (size_t)k;
        }
    }
    return true;
}

/* ".tmp-<host>-<pid>-<token>-<count>" beside the target: never a chunk's name, never another writer's, on any node. */
static bool temporary_name(char *out, size_t size, const char *path)
{
    static atomic_uint_fast64_t counter;
    char tag[PEL__TAG_MAX];
    pel__owner_tag(tag, sizeof tag);
    const char *slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash - path + 1) : 0;
    const int k = snprintf(out, size, "%.*s.tmp-%s-%llu", folder, path, tag, (unsigned long long)atomic_fetch_add(&counter, 1));
    return k > 0 && (size_t)k < size;
}

/* 0 or the reason. */
static int replace_once(const char *temporary, const char *path, const pel__piece *pieces, int32_t n)
{
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    int reason = write_pieces(fd, pieces, n) && fdatasync(fd) == 0 ? 0 : errno;
    if (close(fd) != 0 && reason == 0)
        reason = errno;
    if (reason == 0 && rename(temporary, path) != 0)
        reason = errno;
    if (reason != 0)
        (void)unlink(temporary);
    return reason;
}

bool pel__file_replace(const char *path, const pel__piece *pieces, int32_t n, pel_error *err)
{
    char temporary[PEL__PATH_MAX];
    pel__retry again = {0};
    int reason = 0;
    do { /* everything anew: what a failed sync left is not to be trusted */
        if (!temporary_name(temporary, sizeof temporary, path))
            return pel__fail(err, PEL_ARGUMENT, "%s: path is too long", path);
        reason = replace_once(temporary, path, pieces, n);
    } while (reason != 0 && pel__try_again(&again, reason));
    return reason == 0 || pel__fail_errno(err, reason, "%s: cannot write", path);
}

static int make_dir(const char *path)
{
    pel__retry again = {0};
    int result = 0;
    do {
        result = mkdir(path, 0777);
    } while (result != 0 && pel__try_again(&again, errno));
    return result;
}

bool pel__make_dirs(const char *path, pel_error *err)
{
    char part[PEL__PATH_MAX];
    const size_t n = strlen(path);
    if (n >= sizeof part)
        return pel__fail(err, PEL_ARGUMENT, "%s: path is too long", path);
    memcpy(part, path, n + 1);
    size_t made = n; /* from the end back to a folder that can be made: mostly the last */
    while (make_dir(part) != 0 && errno == ENOENT && made > 0) {
        while (made > 0 && path[--made] != '/')
            continue;
        part[made] = '\0';
    }
    for (size_t i = 1; i <= n; i++) {
        if (i < made || (path[i] != '/' && path[i] != '\0'))
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (make_dir(part) != 0 && errno != EEXIST)
            return pel__fail_errno(err, errno, "%s: cannot create the folder", part);
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return pel__fail_errno(err, errno, "%s: cannot look at the folder", path);
    if (!S_ISDIR(st.st_mode))
        return pel__fail(err, PEL_IO, "%s: found a file, expected a folder", path);
    return true;
}

bool pel__path_join(char *out, size_t size, const char *folder, const char *name, pel_error *err)
{
    const size_t n = strlen(folder);
    const int k = snprintf(out, size, "%s%s%s", folder, n > 0 && folder[n - 1] == '/' ? "" : "/", name);
    if (k < 0 || (size_t)k >= size)
        return pel__fail(err, PEL_ARGUMENT, "%s/%s: path is too long", folder, name);
    return true;
}
