/* SPDX-License-Identifier: MIT
 * See program.h. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 100          /* between looks at the clock */
#define LAST_WORDS_MS 1000   /* a child of its that lives on may keep the pipe open: not for us */
#define TERM_MS 2000         /* between SIGTERM and SIGKILL */

typedef struct {
    int fd; /* -1: at its end */
    char *text;
    size_t size, used;
    bool cut;
} ear;

static int64_t now_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void child_begins(const program_call *call, int out, int errors)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int null = open("/dev/null", O_RDONLY);
    (void)dup2(null, STDIN_FILENO); /* not of the terminal's group any more: it would be stopped when it reads */
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(errors, STDERR_FILENO);
    (void)execvp(call->words[0], (char *const *)(uintptr_t)call->words);
    _exit(127);
}

/* Takes what there is; at the end of what is said the ear is closed. */
static void hear(ear *e)
{
    char rest[512];
    const bool room = e->used + 1 < e->size;
    const ssize_t n = read(e->fd, room ? e->text + e->used : rest, room ? e->size - 1 - e->used : sizeof rest);
    if (n > 0 && room)
        e->used += (size_t)n;
    else if (n > 0)
        e->cut = true;
    else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        (void)close(e->fd);
        e->fd = -1;
    }
}

/* So long, or until something was heard. */
static void listen_for(ear ears[2], int64_t ms)
{
    struct pollfd p[2] = {{.fd = ears[0].fd, .events = POLLIN}, {.fd = ears[1].fd, .events = POLLIN}};
    if (poll(p, 2, (int)ms) <= 0)
        return;
    for (int i = 0; i < 2; i++)
        if (ears[i].fd >= 0 && p[i].revents)
            hear(&ears[i]);
}

/* Heard while it goes: true once it should end. */
static bool is_enough(const program_call *call, program_end *end, int64_t began, int64_t *unwanted_since)
{
    const int64_t now = now_ms();
    if (call->seconds > 0 && now - began >= call->seconds * 1000)
        return end->timed_out = true;
    if (*unwanted_since == 0 && call->unwanted && call->unwanted(call->arg))
        *unwanted_since = now;
    if (*unwanted_since > 0 && now - *unwanted_since >= call->unwanted_seconds * 1000)
        return end->dropped = true;
    return false;
}

static int wait_for_end(const program_call *call, pid_t child, ear ears[2], program_end *end)
{
    const int64_t began = now_ms();
    int64_t unwanted_since = 0, asked = 0, ended = 0;
    int status = 0;
    for (;;) {
        if (!ended && waitpid(child, &status, WNOHANG) != 0)
            ended = now_ms();
        const bool silent = ears[0].fd < 0 && ears[1].fd < 0;
        if (ended && (silent || now_ms() - ended >= LAST_WORDS_MS))
            return status;
        if (!ended && !asked && is_enough(call, end, began, &unwanted_since)) {
            asked = now_ms();
            (void)kill(-child, SIGTERM);
            (void)kill(-child, SIGCONT);
        }
        if (!ended && asked && now_ms() - asked >= TERM_MS)
            (void)kill(-child, SIGKILL);
        if (silent)
            (void)poll(NULL, 0, 10);
        else
            listen_for(ears, ended ? 10 : LOOK_MS);
    }
}

static void end_text(ear *e)
{
    if (e->fd >= 0)
        (void)close(e->fd);
    if (e->text)
        e->text[e->used] = '\0';
}

program_end program_run(const program_call *call, pel_error *err)
{
    program_end end = {.status = -1};
    int out[2] = {-1, -1}, errors[2] = {-1, -1};
    char why[128];
    call->out[0] = '\0';
    if (call->errors)
        call->errors[0] = '\0';
    const bool open = pipe2(out, O_CLOEXEC) == 0 && (!call->errors || pipe2(errors, O_CLOEXEC) == 0);
    const pid_t child = open ? fork() : -1;
    if (child == 0)
        child_begins(call, out[1], call->errors ? errors[1] : out[1]);
    if (child < 0)
        (void)set_error(err, PEL_IO, "%s: cannot start: %s", call->words[0], strerror_r(errno, why, sizeof why));
    if (out[1] >= 0)
        (void)close(out[1]);
    if (errors[1] >= 0)
        (void)close(errors[1]);
    ear ears[2] = {{.fd = out[0], .text = call->out, .size = call->out_size}, {.fd = errors[0], .text = call->errors, .size = call->errors_size}};
    if (child > 0) {
        (void)setpgid(child, child); /* whoever of us is first */
        const int status = wait_for_end(call, child, ears, &end);
        end.killed = WIFSIGNALED(status);
        end.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    end_text(&ears[0]);
    end_text(&ears[1]);
    end.cut = ears[0].cut || ears[1].cut;
    return end;
}
