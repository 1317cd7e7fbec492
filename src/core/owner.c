/* SPDX-License-Identifier: MIT
 * See owner.h. Host names and process numbers repeat: two containers may both be "app", process 7. A boot number, the PID
 * namespace and the time of the start do not, and where none of them can be read a random token still keeps names apart. */
#include "core/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The one thing that is kept between calls: a number of this process that never changes. */
static pthread_once_t token_once = PTHREAD_ONCE_INIT;
static uint64_t token_bits;

static uint64_t random_bits(void)
{
    uint64_t bits = 0;
    struct timespec t = {0};
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits)
        return bits;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    bits = (uint64_t)t.tv_sec * 1000000007U + (uint64_t)t.tv_nsec + ((uint64_t)getpid() << 40) + (uint64_t)(uintptr_t)&bits;
    return bits * 0x9E3779B97F4A7C15U;
}

static void set_token(void)
{
    token_bits = random_bits();
}

void pel__random_token(char out[17])
{
    (void)snprintf(out, 17, "%016llx", (unsigned long long)random_bits());
}

/* A child of fork has another one. */
static void own_token(char out[17])
{
    (void)pthread_once(&token_once, set_token);
    (void)snprintf(out, 17, "%016llx", (unsigned long long)(token_bits ^ ((uint64_t)getpid() * 0x9E3779B97F4A7C15U)));
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static void own_host(char *out, size_t size)
{
    if (gethostname(out, size - 1) != 0)
        (void)snprintf(out, size, "unknown");
    out[size - 1] = '\0';
    for (char *c = out; *c; c++)
        if (!is_plain(*c))
            *c = '_';
}

static size_t read_line(const char *path, char *out, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, out, size - 1) : 0;
    if (fd >= 0)
        (void)close(fd);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return strlen(out);
}

static int64_t own_space(void)
{
    char link[64] = "";
    const ssize_t n = readlink("/proc/self/ns/pid", link, sizeof link - 1);
    const char *const number = n > 0 ? strchr(link, '[') : NULL;
    return number ? strtoll(number + 1, NULL, 10) : 0;
}

/* /proc may show the processes of an outer namespace, under other numbers. */
static bool proc_is_ours(void)
{
    char link[32] = "";
    return readlink("/proc/self", link, sizeof link - 1) > 0 && strtoll(link, NULL, 10) == getpid();
}

/* State and start of a process; 0 where it cannot be read. */
static char look_at(int64_t pid, int64_t *start)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    *start = 0;
    if (!proc_is_ours() || read_line(path, text, sizeof text) == 0)
        return 0;
    const char *at = strrchr(text, ')'); /* "1234 (name) S …", the start is field 22 */
    if (!at || at[1] != ' ')
        return 0;
    const char state = at[2];
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    *start = at ? strtoll(at, NULL, 10) : 0;
    return state;
}

void pel__owner_self(pel__owner *out)
{
    *out = (pel__owner){.pid = getpid(), .space = own_space()};
    own_host(out->host, sizeof out->host);
    own_token(out->token);
    char boot[64];
    (void)read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    for (size_t i = 0; boot[i] && i + 1 < sizeof out->boot; i++)
        out->boot[i] = is_plain(boot[i]) ? boot[i] : '_';
    (void)look_at(out->pid, &out->start);
}

void pel__owner_tag(char *out, size_t size)
{
    char host[64], token[17];
    own_host(host, sizeof host);
    own_token(token);
    (void)snprintf(out, size, "%s-%ld-%s", host, (long)getpid(), token);
}

void pel__owner_text(const pel__owner *o, char *text, size_t size)
{
    (void)snprintf(text, size, "host=%s pid=%lld boot=%s space=%lld start=%lld token=%s", o->host, (long long)o->pid, o->boot,
                   (long long)o->space, (long long)o->start, o->token);
}

bool pel__is_token(const char *text, size_t n)
{
    return n == 16 && strspn(text, "0123456789abcdef") >= 16;
}

/* The word behind "name=", up to the next blank. */
static const char *word(const char *text, const char *name, size_t *n)
{
    const size_t length = strlen(name);
    for (const char *at = text; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, name, length) == 0 && at[length] == '=') {
            *n = strcspn(at + length + 1, " \n");
            return at + length + 1;
        }
    }
    *n = 0;
    return "";
}

static bool copy_word(char *out, size_t size, const char *text, const char *name)
{
    size_t n = 0;
    const char *const from = word(text, name, &n);
    for (size_t i = 0; i < n && i + 1 < size; i++)
        if (!is_plain(from[i]))
            return false;
    (void)snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), from);
    return n < size;
}

static int64_t integer_word(const char *text, const char *name)
{
    size_t n = 0;
    const char *const from = word(text, name, &n);
    return n > 0 && n < 19 ? strtoll(from, NULL, 10) : 0;
}

bool pel__owner_parse(pel__owner *out, const char *text)
{
    *out = (pel__owner){.pid = integer_word(text, "pid"), .space = integer_word(text, "space"), .start = integer_word(text, "start")};
    return copy_word(out->host, sizeof out->host, text, "host") && copy_word(out->boot, sizeof out->boot, text, "boot") &&
           copy_word(out->token, sizeof out->token, text, "token") && out->host[0] && out->pid > 0 && out->pid <= INT32_MAX &&
           pel__is_token(out->token, strlen(out->token));
}

static bool ended(char state)
{
    return state == 'Z' || state == 'X';
}

bool pel__process_runs(int64_t pid)
{
    int64_t start = 0;
    if (pid <= 0 || (kill((pid_t)pid, 0) != 0 && errno != EPERM))
        return false;
    return !ended(look_at(pid, &start));
}

enum pel__life pel__owner_life(const pel__owner *o)
{
    pel__owner self;
    int64_t start = 0;
    pel__owner_self(&self);
    if (!o->boot[0] || strcmp(o->boot, self.boot) != 0 || o->space == 0 || o->space != self.space)
        return PEL__FAR;
    if (kill((pid_t)o->pid, 0) != 0 && errno != EPERM)
        return PEL__DEAD;
    const char state = look_at(o->pid, &start);
    if (state == 0 || start == 0 || o->start == 0)
        return PEL__FAR;
    return ended(state) || start != o->start ? PEL__DEAD : PEL__ALIVE;
}
