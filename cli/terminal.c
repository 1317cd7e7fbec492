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
    bool first_of_two; /* the last byte began a letter of two that may be one of the controls from 0x80 on */
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

/* The bytes that stand for one; n = 0 while it waits for its second. */
static size_t show(guard *g, unsigned char c, char out[16])
{
    size_t n = 0;
    const bool second = g->first_of_two;
    g->first_of_two = c == 0xC2;
    if (second && c >= 0x80 && c <= 0x9F)
        return (size_t)snprintf(out, 16, "\\u%04x", c);
    if (second)
        out[n++] = (char)0xC2;
    if (g->first_of_two)
        return n;
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
        return n + (size_t)snprintf(out + n, 16 - n, "\\u%04x", c);
    out[n++] = (char)c;
    return n;
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
