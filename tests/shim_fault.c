/* SPDX-License-Identifier: MIT
 * Loaded before the C library (LD_PRELOAD): the n-th call of one kind on a path that holds a text fails with an error, or writes
 * less than it was asked to. PELLUCID_FAULT="call text n error", for instance "fdatasync /out.ome.zarr/0/ 3 5"; error 0 of a
 * write: half of it is written. n 0: every one. A call that closes does close. What failed is counted in the file PELLUCID_FAULT_LOG. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int calls;

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* Does this call fail, and how? -1: no. */
static int fault(const char *call, const char *path)
{
    const char *const text = getenv("PELLUCID_FAULT"), *const log = getenv("PELLUCID_FAULT_LOG");
    char which[32] = "", part[256] = "";
    int n = 0, error = 0;
    if (!text || sscanf(text, "%31s %255s %d %d", which, part, &n, &error) != 4 || strcmp(which, call) != 0 || !strstr(path, part))
        return -1;
    if (n > 0 && atomic_fetch_add(&calls, 1) + 1 != n)
        return -1;
    FILE *const f = log ? fopen(log, "a") : NULL;
    if (f) {
        (void)fprintf(f, "%s %s\n", call, path);
        (void)fclose(f);
    }
    return error;
}

static int fault_of(const char *call, int fd)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return -1;
    path[n] = '\0';
    return fault(call, path);
}

int fdatasync(int fd)
{
    int (*const real)(int) = (int (*)(int))next("fdatasync");
    const int e = fault_of("fdatasync", fd);
    errno = e;
    return e < 0 ? real(fd) : -1;
}

int fsync(int fd)
{
    int (*const real)(int) = (int (*)(int))next("fsync");
    const int e = fault_of("fsync", fd);
    errno = e;
    return e < 0 ? real(fd) : -1;
}

int close(int fd)
{
    int (*const real)(int) = (int (*)(int))next("close");
    struct stat st;
    const int e = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fault_of("close", fd) : -1, closed = real(fd); /* of a folder it says nothing */
    if (e < 0)
        return closed;
    errno = e;
    return -1;
}

int rename(const char *from, const char *to)
{
    int (*const real)(const char *, const char *) = (int (*)(const char *, const char *))next("rename");
    const int e = fault("rename", to);
    errno = e;
    return e < 0 ? real(from, to) : -1;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    int (*const real)(int, const char *, int, const char *) = (int (*)(int, const char *, int, const char *))next("renameat");
    const int e = fault("rename", to);
    errno = e;
    return e < 0 ? real(from_fd, from, to_fd, to) : -1;
}

int unlink(const char *path)
{
    int (*const real)(const char *) = (int (*)(const char *))next("unlink");
    const int e = fault("unlink", path);
    errno = e;
    return e < 0 ? real(path) : -1;
}

ssize_t write(int fd, const void *data, size_t n)
{
    ssize_t (*const real)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))next("write");
    const int e = fault_of("write", fd);
    if (e < 0)
        return real(fd, data, n);
    if (e == 0)
        return real(fd, data, n > 1 ? n / 2 : n);
    errno = e;
    return -1;
}
