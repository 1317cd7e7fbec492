/* SPDX-License-Identifier: MIT
 * See lock.h. A lock file stays when released (empty): removing it would let two processes lock two files of one name. */
#include "run/lock.h"

#include "core/error.h"
#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ALIVE_SECONDS 120 /* what another host has not touched for this long is dead */
#define QUIET_SECONDS 15

struct pel__lock {
    int fd;
    bool whole;
};

static void own_host(char *out, size_t size)
{
    if (gethostname(out, size - 1) != 0)
        (void)snprintf(out, size, "unknown");
    out[size - 1] = '\0';
}

static void own_text(char *out, size_t size)
{
    char host[64];
    own_host(host, sizeof host);
    (void)snprintf(out, size, "%s, process %ld\n", host, (long)getpid());
}

static void read_text(int fd, char *out, size_t size)
{
    const ssize_t n = pread(fd, out, size - 1, 0);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

static bool same_host(const char *text)
{
    char own[64];
    own_host(own, sizeof own);
    const size_t n = strlen(own);
    return strncmp(text, own, n) == 0 && text[n] == ',';
}

static bool fresh(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && time(NULL) - st.st_mtime < ALIVE_SECONDS;
}

/* The text names who has it whole; in a shared lock it is empty, or left by somebody dead. */
static bool write_text(int fd, bool whole)
{
    char text[160] = "";
    if (whole)
        own_text(text, sizeof text);
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, strlen(text), 0) >= 0;
}

bool pel__lock_take(pel__lock **out, const char *folder, const char *name, enum pel__lock_kind kind, bool *was_stale,
                    pel_error *err)
{
    char path[PEL__PATH_MAX], text[160];
    const bool whole = kind == PEL__LOCK_WHOLE;
    if (!pel__path_join(path, sizeof path, folder, name, err))
        return false;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return pel__fail_errno(err, errno, "%s: cannot create the lock", path);
    const bool held = flock(fd, (whole ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    read_text(fd, text, sizeof text);
    if (held || (text[0] && !same_host(text) && fresh(fd))) {
        (void)close(fd);
        return pel__fail(err, PEL_REFUSED, "%s: %s is working on this output; wait for it or stop it first", path,
                         text[0] ? text : "another process");
    }
    *was_stale = text[0] != '\0';
    pel__lock *lock = calloc(1, sizeof *lock);
    if (!lock || ((whole || *was_stale) && !write_text(fd, whole))) {
        free(lock);
        (void)close(fd);
        return pel__fail_errno(err, errno, "%s: cannot write the lock", path);
    }
    lock->fd = fd;
    lock->whole = whole;
    *out = lock;
    return true;
}

void pel__lock_touch(pel__lock *lock)
{
    if (lock && lock->whole)
        (void)futimens(lock->fd, NULL);
}

void pel__lock_release(pel__lock *lock)
{
    if (!lock)
        return;
    if (lock->whole)
        (void)!ftruncate(lock->fd, 0);
    (void)close(lock->fd);
    free(lock);
}

/* ---- workers ---------------------------------------------------------------------------------------------------------- */

static bool worker_path(char *out, size_t size, const char *folder, pel_error *err)
{
    char host[64], name[128];
    own_host(host, sizeof host);
    (void)snprintf(name, sizeof name, "workers/%s,%ld.json", host, (long)getpid());
    return pel__path_join(out, size, folder, name, err);
}

bool pel__worker_write(const char *folder, const char *json, pel_error *err)
{
    char path[PEL__PATH_MAX], workers[PEL__PATH_MAX];
    const pel__piece piece[] = {{json, strlen(json)}, {"\n", 1}};
    return worker_path(path, sizeof path, folder, err) && pel__path_join(workers, sizeof workers, folder, "workers", err) &&
           pel__make_dirs(workers, err) && pel__file_replace(path, piece, 2, err);
}

void pel__worker_remove(const char *folder)
{
    char path[PEL__PATH_MAX];
    if (worker_path(path, sizeof path, folder, NULL))
        (void)unlink(path);
}

/* A killed process that nobody has waited for still has its number. */
static bool is_running(pid_t pid)
{
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kill(pid, 0) == 0 || errno == EPERM;
    read_text(fd, text, sizeof text);
    (void)close(fd);
    const char *end = strrchr(text, ')'); /* "1234 (name) S …" */
    return !end || !end[1] || (end[2] != 'Z' && end[2] != 'X');
}

/* On this host the process is asked, elsewhere the age of the file. */
bool pel__worker_alive(const char *path, const char *name)
{
    struct stat st;
    const char *comma = strrchr(name, ',');
    if (!comma || name[0] == '.' || stat(path, &st) != 0)
        return false;
    if (same_host(name))
        return is_running((pid_t)strtol(comma + 1, NULL, 10));
    return time(NULL) - st.st_mtime < ALIVE_SECONDS;
}

/* A sign of life comes every two seconds; one that stays away, as that of a host that was lost, is worth saying. */
static void describe(char *out, size_t size, const char *path, const char *name)
{
    struct stat st;
    const char *comma = strrchr(name, ',');
    const int64_t age = stat(path, &st) == 0 ? (int64_t)time(NULL) - st.st_mtime : 0;
    const int n = snprintf(out, size, "%.*s, process %ld", (int)(comma - name), name, strtol(comma + 1, NULL, 10));
    if (age >= QUIET_SECONDS && n > 0 && (size_t)n < size)
        (void)snprintf(out + n, size - (size_t)n, ", last seen %lld s ago", (long long)age);
}

int32_t pel__workers_alive(char *out, size_t size, const char *folder)
{
    char workers[PEL__PATH_MAX], path[PEL__PATH_MAX];
    int32_t count = 0;
    out[0] = '\0';
    DIR *d = pel__path_join(workers, sizeof workers, folder, "workers", NULL) ? opendir(workers) : NULL;
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        if (!pel__path_join(path, sizeof path, workers, e->d_name, NULL) || !pel__worker_alive(path, e->d_name))
            continue;
        if (count++ == 0)
            describe(out, size, path, e->d_name);
    }
    if (d)
        (void)closedir(d);
    return count;
}
