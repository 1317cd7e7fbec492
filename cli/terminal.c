/* SPDX-License-Identifier: MIT
 * See terminal.h. Both streams are put over their descriptors anew, with a function between that looks at every byte: so no verb can
 * forget it. */
#include "terminal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

typedef struct guard {
    int fd;
    unsigned char held[3]; /* the last bytes, which may begin a letter that is not let through */
    int count;
} guard;

static bool write_whole(int fd, const char *text, size_t n)
{
    while (n > 0) {
        const ssize_t k = write(fd, text, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        text += k;
        n -= (size_t)k;
    }
    return true;
}

/* What is held, as a letter that is shown by its number: a control from 0x80 on, or a mark that turns the direction of all that
 * follows (U+202A to U+202E, U+2066 to U+2069). 0: it is none, or not whole yet. */
static unsigned shown_by_number(const guard *g)
{
    const unsigned char *const h = g->held;
    if (g->count == 2 && h[0] == 0xC2 && h[1] >= 0x80 && h[1] <= 0x9F)
        return h[1];
    if (g->count == 3 && h[0] == 0xE2 && ((h[1] == 0x80 && h[2] >= 0xAA && h[2] <= 0xAE) || (h[1] == 0x81 && h[2] >= 0xA6 && h[2] <= 0xA9)))
        return 0x2000U | (h[1] & 0x3FU) << 6 | (h[2] & 0x3FU);
    return 0;
}

/* May it become such a letter? */
static bool waits(const guard *g)
{
    const unsigned char *const h = g->held;
    return (g->count == 1 && (h[0] == 0xC2 || h[0] == 0xE2)) || (g->count == 2 && h[0] == 0xE2 && (h[1] == 0x80 || h[1] == 0x81));
}

/* The bytes that stand for one and for those held before it; n = 0 while it waits for the next. */
static size_t show(guard *g, unsigned char c, char out[16])
{
    g->held[g->count++] = c;
    const unsigned number = shown_by_number(g);
    if (number == 0 && waits(g))
        return 0;
    const size_t before = number == 0 ? (size_t)g->count - 1 : 0;
    g->count = 0;
    if (number > 0)
        return (size_t)snprintf(out, 16, "\\u%04x", number);
    memcpy(out, g->held, before);
    g->held[g->count++] = c;
    if (before > 0 && waits(g))
        return before;
    g->count = 0;
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
        return before + (size_t)snprintf(out + before, 16 - before, "\\u%04x", c);
    out[before] = (char)c;
    return before + 1;
}

static ssize_t pass(void *cookie, const char *text, size_t size)
{
    guard *const g = cookie;
    char room[4096];
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        n += show(g, (unsigned char)text[i], room + n);
        if (n + 16 > sizeof room || i + 1 == size) {
            if (!write_whole(g->fd, room, n))
                return 0; /* an error to stdio */
            n = 0;
        }
    }
    return (ssize_t)size;
}

static FILE *over(guard *g, int mode)
{
    const cookie_io_functions_t calls = {.write = pass};
    FILE *const f = fopencookie(g, "w", calls);
    if (f)
        (void)setvbuf(f, NULL, mode, mode == _IONBF ? 0 : BUFSIZ);
    return f;
}

void terminal_guard(void)
{
    static guard guards[2] = {{.fd = STDOUT_FILENO}, {.fd = STDERR_FILENO}};
    FILE *const out = over(&guards[0], isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF), *const err = over(&guards[1], _IONBF);
    stdout = out ? out : stdout;
    stderr = err ? err : stderr;
}

void terminal_send(FILE *to, const char *sequence)
{
    (void)fflush(to);
    (void)write_whole(to == stdout ? STDOUT_FILENO : STDERR_FILENO, sequence, strlen(sequence));
}
