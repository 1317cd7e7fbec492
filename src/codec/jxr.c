/* SPDX-License-Identifier: MIT
 * See jxr.h. The side of the library: starts the helper, talks to it over a socket, ends it.
 *
 * posix_spawn, because the program has threads: nothing of ours runs between fork and exec. All our descriptors close on
 * exec, so a helper holds no other helper's socket; when we die, however we die, its socket closes and it ends. */
#include "codec/jxr.h"

#include "codec/paths.h"
#include "core/clock.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct pel__jxr {
    pid_t pid;
    int fd;
};

/* ---- finding it --------------------------------------------------------------------------------------------- */

static char *program_in(const char *folder, const char *below)
{
    char *path = NULL;
    if (asprintf(&path, "%s%s/" PEL__JXR_PROGRAM, folder, below) < 0)
        return NULL;
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

char *pel__jxr_find(const char *folder)
{
    /* The last two: a build folder that was not installed. */
    static const char *const below[] = {"", "/../libexec/pellucid", "/../src/codec", "/src/codec"};
    char self[4096];
    if (folder)
        return program_in(folder, "");
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
        for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
            char *path = program_in(self, below[i]);
            if (path)
                return path;
        }
    }
    return program_in(PEL__LIBEXEC, "");
}

/* ---- starting and ending ------------------------------------------------------------------------------------- */

/* Own process group: a Ctrl-C at the terminal is for the program, which ends its helpers when it is ready. */
static bool set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    return sigemptyset(&none) == 0 && sigfillset(&all) == 0 && posix_spawnattr_setsigmask(attributes, &none) == 0 &&
           posix_spawnattr_setsigdefault(attributes, &all) == 0 && posix_spawnattr_setpgroup(attributes, 0) == 0 &&
           posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP) == 0;
}

/* The socket is the child's descriptor 0, both ways; what its libraries print goes nowhere. */
static bool set_files(posix_spawn_file_actions_t *files, int fd)
{
    return posix_spawn_file_actions_adddup2(files, fd, 0) == 0 &&
           posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0) == 0 &&
           posix_spawn_file_actions_addopen(files, 2, "/dev/null", O_WRONLY, 0) == 0;
}

static bool spawn(pid_t *pid, const char *program, int fd, pel_error *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    char name[] = PEL__JXR_PROGRAM;
    char *const arguments[] = {name, NULL}, *const environment[] = {NULL};
    if (posix_spawn_file_actions_init(&files) != 0)
        return pel__fail(err, PEL_NO_MEMORY, "no memory to start %s", program);
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&files);
        return pel__fail(err, PEL_NO_MEMORY, "no memory to start %s", program);
    }
    int number = ENOMEM;
    if (set_attributes(&attributes) && set_files(&files, fd))
        number = posix_spawn(pid, program, &files, &attributes, arguments, environment);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    if (number != 0) {
        (void)pel__fail_errno(err, number, "cannot start %s", program);
        if (err)
            err->code = PEL_IO;
        return false;
    }
    return true;
}

static bool start(pel__jxr **out, const char *program, pel_error *err)
{
    int fd[2] = {-1, -1};
    pel__jxr *h = malloc(sizeof *h);
    if (!h)
        return pel__fail(err, PEL_NO_MEMORY, "no memory to start %s", program);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0) {
        const int number = errno;
        free(h);
        return pel__fail_errno(err, number, "cannot make a socket for %s", program);
    }
    const bool ok = fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0 && spawn(&h->pid, program, fd[1], err);
    (void)close(fd[1]);
    if (!ok) {
        (void)close(fd[0]);
        free(h);
        return false;
    }
    h->fd = fd[0];
    *out = h;
    return true;
}

/* Ends the helper if it has not ended, and gives its status as waitpid does; 0 where someone else took it. */
static int finish(pel__jxr *h)
{
    int status = 0;
    pid_t got;
    (void)close(h->fd);
    (void)kill(h->pid, SIGKILL);
    do
        got = waitpid(h->pid, &status, 0);
    while (got < 0 && errno == EINTR);
    free(h);
    return got < 0 ? 0 : status;
}

void pel__jxr_destroy(pel__jxr *helper)
{
    if (helper)
        (void)finish(helper);
}

/* ---- talking ------------------------------------------------------------------------------------------------ */

enum outcome { DONE, DIED, TOO_SLOW };

static enum outcome wait_for(int fd, short events, int64_t deadline)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        const int64_t left = deadline - pel__now_ms();
        if (left <= 0)
            return TOO_SLOW;
        const int k = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (k > 0)
            return DONE;
        if (k < 0 && errno != EINTR)
            return DIED;
    }
}

static enum outcome send_all(int fd, const void *data, int64_t n, int64_t deadline)
{
    for (const char *p = data; n > 0;) {
        const ssize_t k = send(fd, p, n < (1 << 20) ? (size_t)n : 1 << 20, MSG_NOSIGNAL);
        if (k > 0) {
            p += k;
            n -= k;
        } else if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            const enum outcome o = wait_for(fd, POLLOUT, deadline);
            if (o != DONE)
                return o;
        } else if (k == 0 || errno != EINTR) {
            return DIED;
        }
    }
    return DONE;
}

static enum outcome receive_all(int fd, void *data, int64_t n, int64_t deadline)
{
    for (char *p = data; n > 0;) {
        const ssize_t k = recv(fd, p, n < (1 << 20) ? (size_t)n : 1 << 20, 0);
        if (k > 0) {
            p += k;
            n -= k;
        } else if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            const enum outcome o = wait_for(fd, POLLIN, deadline);
            if (o != DONE)
                return o;
        } else if (k == 0 || errno != EINTR) {
            return DIED;
        }
    }
    return DONE;
}

/* One request and its answer; *refused is set where the helper said why it could not. */
static enum outcome converse(const pel__jxr *h, const pel__jxr_request *request, const void *stream, void *out, bool *refused,
                             pel_error *err)
{
    const int64_t deadline = pel__now_ms() + 1000 * request->seconds;
    pel__jxr_answer answer = {0};
    char text[256] = "";
    enum outcome o = send_all(h->fd, request, sizeof *request, deadline);
    if (o == DONE)
        o = send_all(h->fd, stream, request->bytes, deadline);
    if (o == DONE)
        o = receive_all(h->fd, &answer, sizeof answer, deadline);
    if (o != DONE)
        return o;
    if (answer.magic != PEL__JXR_MAGIC || answer.bytes < 0)
        return DIED; /* it lost its mind: the same as dead */
    if (answer.status == 0)
        return answer.bytes == request->decoded ? receive_all(h->fd, out, answer.bytes, deadline) : DIED;
    if (answer.bytes >= (int64_t)sizeof text)
        return DIED;
    o = receive_all(h->fd, text, answer.bytes, deadline);
    *refused = o == DONE;
    if (*refused)
        (void)pel__fail(err, answer.status, "JPEG XR: %s", text);
    return o;
}

/* 127 is how a program ends whose libraries are not there: no fault of the stream. */
static bool explain_death(int status, pel_error *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) >= 126)
        return pel__fail(err, PEL_IO, "the JPEG XR decoder program could not run (status %d)", WEXITSTATUS(status));
    if (WIFEXITED(status))
        return pel__fail(err, PEL_DAMAGED, "the JPEG XR stream is damaged: its decoder program ended with status %d",
                         WEXITSTATUS(status));
    if (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGALRM) /* from outside, for want of memory or time */
        return pel__fail(err, PEL_IO, "the JPEG XR decoder program was killed (signal %d)", WTERMSIG(status));
    return pel__fail(err, PEL_DAMAGED, "the JPEG XR stream is damaged: its decoder program died of signal %d", WTERMSIG(status));
}

bool pel__jxr_decode(pel__jxr **helper, const char *program, const pel__jxr_request *request, const void *stream, void *out,
                     pel_error *err)
{
    for (;;) {
        const bool fresh = *helper == NULL;
        bool refused = false;
        if (fresh && !start(helper, program, err))
            return false;
        const enum outcome o = converse(*helper, request, stream, out, &refused, err);
        if (o == DONE && !refused)
            return true;
        /* After a bad stream the decoder's memory cannot be trusted: the next tile gets a new process. */
        const int status = finish(*helper);
        *helper = NULL;
        if (refused)
            return false;
        if (o == TOO_SLOW)
            return pel__fail(err, PEL_IO, "the JPEG XR decoder did not end within %lld s: the stream is damaged, or this computer too busy",
                             (long long)request->seconds);
        if (fresh)
            return explain_death(status, err);
        /* It may have died before, of something else: once more with a new one. */
    }
}
