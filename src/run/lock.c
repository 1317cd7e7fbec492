/* SPDX-License-Identifier: MIT
 * See lock.h. The file stays when released (empty): removing it would let two processes lock two files of one name. */
#include "run/lock.h"

#include "core/error.h"
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ALIVE_SECONDS 120 /* a holder on another host that has not touched its lock for this long is dead */

struct pel__lock {
    int fd;
};

static void own_text(char *out, size_t size)
{
    char host[64] = "unknown";
    (void)gethostname(host, sizeof host - 1);
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
    char own[128];
    own_text(own, sizeof own);
    const size_t n = strcspn(own, ",");
    return strncmp(text, own, n) == 0 && text[n] == ',';
}

static bool fresh(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && time(NULL) - st.st_mtime < ALIVE_SECONDS;
}

static bool refuse(const char *path, const char *text, pel_error *err)
{
    return pel__fail(err, PEL_REFUSED, "%s: %s is working on this output; wait for it or stop it first", path,
                     text[0] ? text : "another process");
}

bool pel__lock_take(pel__lock **out, const char *folder, bool *was_stale, pel_error *err)
{
    char path[PEL__PATH_MAX], text[160];
    if (!pel__path_join(path, sizeof path, folder, "lock", err))
        return false;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return pel__fail_errno(err, errno, "%s: cannot create the lock", path);
    const bool held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    read_text(fd, text, sizeof text);
    if (held || (text[0] && !same_host(text) && fresh(fd))) {
        (void)close(fd);
        return refuse(path, text, err);
    }
    *was_stale = text[0] != '\0';
    own_text(text, sizeof text);
    pel__lock *lock = calloc(1, sizeof *lock);
    if (!lock || ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0) {
        free(lock);
        (void)close(fd);
        return pel__fail_errno(err, errno, "%s: cannot write the lock", path);
    }
    lock->fd = fd;
    *out = lock;
    return true;
}

void pel__lock_touch(pel__lock *lock)
{
    if (lock)
        (void)futimens(lock->fd, NULL);
}

void pel__lock_release(pel__lock *lock)
{
    if (!lock)
        return;
    (void)!ftruncate(lock->fd, 0);
    (void)close(lock->fd);
    free(lock);
}

void pel__lock_holder(char *out, size_t size, const char *folder)
{
    char path[PEL__PATH_MAX];
    out[0] = '\0';
    if (!pel__path_join(path, sizeof path, folder, "lock", NULL))
        return;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    char text[160];
    read_text(fd, text, sizeof text);
    const bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (text[0] && (held || (!same_host(text) && fresh(fd))))
        (void)snprintf(out, size, "%s", text);
    (void)close(fd);
}
