/* SPDX-License-Identifier: MIT
 * Faults of file systems and views of other hosts, put before libc with LD_PRELOAD. By the environment:
 *     SHIM_FLOCK=38                 flock fails with this errno
 *     SHIM_HOST, SHIM_BOOT, SHIM_SPACE, SHIM_PID    what gethostname, the kernel's boot number, the PID namespace and getpid say
 *     SHIM_CLOCK=3600               the clock of the day is ahead by so many seconds
 *     SHIM_FAULT="pread:116:2:/0/c/;rename:5:1"     the first 2 calls of pread on a path that holds "/0/c/" fail with errno 116, …;
 *                                   "short" instead of a number: half of what was asked for is done; 1@2 instead of 2: one, after two
 *                                   that are let pass. A close that fails has closed. Errno 0: nothing fails, the calls are told.
 *                                   mmap: of memory that belongs to no file
 *     SHIM_LOSE=1                   a file whose fdatasync fails is empty from then on, as if the disk never had it
 *     SHIM_TOLD=FILE                a line a fault that was made */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))
#define MOST 16

static struct {
    char call[16], part[128];
    int reason; /* -1: short */
    atomic_int spared, left;
} fault[MOST];
static int faults;

__attribute__((constructor)) static void read_faults(void)
{
    const char *at = getenv("SHIM_FAULT");
    for (; at && *at && faults < MOST; at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL) {
        char reason[16] = "", count[32] = "";
        int n = 0, spared = 0;
        if (sscanf(at, "%15[^:;]:%15[^:;]:%31[^:;]:%127[^;]", fault[faults].call, reason, count, fault[faults].part) < 3 ||
            sscanf(count, "%d@%d", &n, &spared) < 1)
            continue;
        atomic_store(&fault[faults].spared, spared);
        fault[faults].reason = strcmp(reason, "short") == 0 ? -1 : atoi(reason);
        atomic_store(&fault[faults++].left, n);
    }
}

static void tell(const char *call, const char *path)
{
    const char *const to = getenv("SHIM_TOLD");
    char line[4300];
    if (!to)
        return;
    const int n = snprintf(line, sizeof line, "%s %s\n", call, path);
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND, 0666);
    syscall(SYS_write, fd, line, (size_t)n);
    syscall(SYS_close, fd);
}

/* 0: go on; -1: half of it; otherwise the errno. */
static int fails(const char *call, const char *path)
{
    for (int i = 0; i < faults; i++) {
        if (strcmp(call, fault[i].call) != 0 || (fault[i].part[0] && !strstr(path, fault[i].part)))
            continue;
        if (atomic_fetch_sub(&fault[i].spared, 1) > 0 || atomic_fetch_sub(&fault[i].left, 1) <= 0)
            continue;
        tell(call, path);
        return fault[i].reason;
    }
    return 0;
}

static int fails_fd(const char *call, int fd)
{
    char link[64], path[4200] = "";
    if (faults == 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return fails(call, path);
}

#define FAIL_IF(reason)                                                                                            \
    if ((reason) > 0) {                                                                                            \
        errno = (reason);                                                                                          \
        return -1;                                                                                                 \
    }

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

/* Of files it is left alone; libc's own calls do not come by. */
void *mmap(void *at, size_t n, int how, int flags, int fd, off_t from)
{
    const int reason = flags & MAP_ANONYMOUS ? fails("mmap", "") : 0;
    if (reason > 0) {
        errno = reason;
        return MAP_FAILED;
    }
    return REAL("mmap", void *(*)(void *, size_t, int, int, int, off_t))(at, n, how, flags, fd, from);
}
void *mmap64(void *at, size_t n, int how, int flags, int fd, off64_t from) { return mmap(at, n, how, flags, fd, from); }

/* ---- reading and writing -------------------------------------------------------------------------------------------- */

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    const int reason = fails_fd("pread", fd);
    FAIL_IF(reason)
    return REAL("pread", ssize_t (*)(int, void *, size_t, off_t))(fd, to, reason < 0 ? (n + 1) / 2 : n, at);
}
ssize_t pread64(int fd, void *to, size_t n, off64_t at) { return pread(fd, to, n, at); }

ssize_t read(int fd, void *to, size_t n)
{
    const int reason = fails_fd("read", fd);
    FAIL_IF(reason)
    return REAL("read", ssize_t (*)(int, void *, size_t))(fd, to, reason < 0 ? (n + 1) / 2 : n);
}

ssize_t write(int fd, const void *from, size_t n)
{
    const int reason = fails_fd("write", fd);
    FAIL_IF(reason)
    return REAL("write", ssize_t (*)(int, const void *, size_t))(fd, from, reason < 0 ? (n + 1) / 2 : n);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
    const int reason = fails_fd("pwrite", fd);
    FAIL_IF(reason)
    return REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, from, reason < 0 ? (n + 1) / 2 : n, at);
}
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) { return pwrite(fd, from, n, at); }

#define SYNC(name)                                                                                                 \
    int name(int fd)                                                                                               \
    {                                                                                                              \
        const int reason = fails_fd(#name, fd);                                                                    \
        if (reason > 0 && getenv("SHIM_LOSE"))                                                                     \
            syscall(SYS_ftruncate, fd, (off_t)0);                                                                  \
        FAIL_IF(reason)                                                                                            \
        return REAL(#name, int (*)(int))(fd);                                                                      \
    }
SYNC(fdatasync)
SYNC(fsync)

int close(int fd)
{
    struct stat st;
    const int reason = faults > 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fails_fd("close", fd) : 0;
    const int result = (int)syscall(SYS_close, fd);
    FAIL_IF(reason)
    return result;
}

/* ---- names ------------------------------------------------------------------------------------------------------------ */

int rename(const char *from, const char *to)
{
    const int reason = fails("rename", to);
    FAIL_IF(reason)
    return REAL("rename", int (*)(const char *, const char *))(from, to);
}

int renameat(int a, const char *from, int b, const char *to)
{
    const int reason = fails("rename", to);
    FAIL_IF(reason)
    return REAL("renameat", int (*)(int, const char *, int, const char *))(a, from, b, to);
}

int mkdir(const char *path, mode_t mode)
{
    const int reason = fails("mkdir", path);
    FAIL_IF(reason)
    return REAL("mkdir", int (*)(const char *, mode_t))(path, mode);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    const int reason = fails("mkdir", path);
    FAIL_IF(reason)
    return REAL("mkdirat", int (*)(int, const char *, mode_t))(dir, path, mode);
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    const int reason = fails("link", to);
    FAIL_IF(reason)
    return REAL("linkat", int (*)(int, const char *, int, const char *, int))(a, from, b, to, flags);
}

static int open_any(int dir, const char *path, int flags, mode_t mode)
{
    const int reason = fails("open", path);
    FAIL_IF(reason)
    const char *const boot = strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? getenv("SHIM_BOOT") : NULL;
    if (!boot)
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    const int fd = (int)syscall(SYS_memfd_create, "boot", 0);
    syscall(SYS_pwrite64, fd, boot, strlen(boot), 0);
    return fd;
}

#define OPEN_MODE(flags, last)                                                                                     \
    mode_t mode = 0;                                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                         \
        va_list args;                                                                                              \
        va_start(args, last);                                                                                      \
        mode = va_arg(args, mode_t);                                                                               \
        va_end(args);                                                                                              \
    }

int open(const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return open_any(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return open_any(AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return open_any(dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return open_any(dir, path, flags, mode);
}

/* ---- views of other hosts ---------------------------------------------------------------------------------------------- */

int flock(int fd, int how)
{
    const char *const reason = getenv("SHIM_FLOCK");
    if (reason) {
        errno = atoi(reason);
        return -1;
    }
    return (int)syscall(SYS_flock, fd, how);
}

int gethostname(char *name, size_t size)
{
    const char *const host = getenv("SHIM_HOST");
    if (!host)
        return REAL("gethostname", int (*)(char *, size_t))(name, size);
    snprintf(name, size, "%s", host);
    return 0;
}

pid_t getpid(void)
{
    const char *const pid = getenv("SHIM_PID");
    return pid ? atoi(pid) : (pid_t)syscall(SYS_getpid);
}

ssize_t readlink(const char *path, char *to, size_t size)
{
    const char *const space = strcmp(path, "/proc/self/ns/pid") == 0 ? getenv("SHIM_SPACE") : NULL;
    if (space)
        return snprintf(to, size, "pid:[%s]", space);
    return syscall(SYS_readlinkat, AT_FDCWD, path, to, size);
}

int clock_gettime(clockid_t which, struct timespec *t)
{
    const char *const ahead = which == CLOCK_REALTIME ? getenv("SHIM_CLOCK") : NULL;
    const int result = (int)syscall(SYS_clock_gettime, which, t);
    t->tv_sec += ahead ? atol(ahead) : 0;
    return result;
}

time_t time(time_t *to)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_REALTIME, &t);
    if (to)
        *to = t.tv_sec;
    return t.tv_sec;
}
