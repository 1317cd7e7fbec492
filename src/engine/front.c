/* SPDX-License-Identifier: MIT
 * See front.h. */
#include "engine/front.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ENDS 20 /* in the life of a manager */

static void become_front(const pel__front *f, pid_t parent, int output)
{
    char port[24], local[24];
    (void)snprintf(port, sizeof port, "%" PRId64, f->port);
    (void)snprintf(local, sizeof local, "%" PRId64, f->local);
    const char *const words[] = {f->program, "front", "--key", f->key, "--address", f->address, "--port", port, "--to", local,
                                 f->ends > 0 ? "--exactly" : NULL, NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(output, STDOUT_FILENO) >= 0)
        (void)execv(f->program, (char *const *)(uintptr_t)words);
    _exit(127);
}

/* "port N" is all that it says on its output; nothing: it could not. */
static bool read_port(int fd, int64_t *port)
{
    char text[64];
    size_t n = 0;
    while (n + 1 < sizeof text) {
        const ssize_t k = read(fd, text + n, sizeof text - 1 - n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    text[n] = '\0';
    *port = strncmp(text, "port ", 5) == 0 ? strtoll(text + 5, NULL, 10) : 0;
    return *port > 0;
}

bool pel__front_start(pel__front *f, pel_error *err)
{
    int pipe[2];
    int64_t port = 0;
    const pid_t parent = getpid();
    if (pipe2(pipe, O_CLOEXEC) != 0)
        return pel__fail_errno(err, errno, "cannot make a pipe");
    f->pid = fork();
    if (f->pid == 0)
        become_front(f, parent, pipe[1]);
    (void)close(pipe[1]);
    const bool ok = f->pid > 0 && read_port(pipe[0], &port);
    (void)close(pipe[0]);
    if (ok) {
        f->port = port;
        return true;
    }
    if (f->pid > 0)
        (void)waitpid(f->pid, NULL, 0);
    f->pid = 0;
    return pel__fail(err, PEL_IO, "%s: did not begin", f->program);
}

bool pel__front_keep(pel__front *f, pel_error *err)
{
    if (f->pid == 0 || waitpid(f->pid, NULL, WNOHANG) != f->pid)
        return true;
    f->pid = 0;
    if (++f->ends > MOST_ENDS)
        return pel__fail(err, PEL_IO, "%s: ended %d times", f->program, MOST_ENDS);
    return pel__front_start(f, err);
}

void pel__front_end(pel__front *f)
{
    if (f->pid <= 0)
        return;
    (void)kill(f->pid, SIGTERM);
    (void)kill(f->pid, SIGCONT);
    (void)waitpid(f->pid, NULL, 0);
    f->pid = 0;
}
