/* SPDX-License-Identifier: MIT
 * See error.h. The value is fixed-size so that it can be copied, kept in a job and passed between threads. */
#include "core/error.h"

#undef pel__fail
#undef pel__fail_errno
#undef pel__where

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_HEAD 20 /* of a word that is shortened: the end of a path says more than its beginning */
#define KEEP_TAIL 28
#define DOTS "\xE2\x80\xA6"

static bool inside_letter(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Dots in place of the bytes from `from` to `to`, whole letters of UTF-8. */
static void elide(char *text, size_t from, size_t to)
{
    while (from > 0 && inside_letter(text[from]))
        from--;
    while (inside_letter(text[to]))
        to++;
    memcpy(text + from, DOTS, sizeof DOTS - 1);
    memmove(text + from + sizeof DOTS - 1, text + to, strlen(text + to) + 1);
}

static size_t longest_word(const char *text, size_t *at)
{
    size_t most = 0;
    for (size_t i = 0; text[i];) {
        const size_t n = strcspn(text + i, " ");
        if (n > most) {
            most = n;
            *at = i;
        }
        i += n + (text[i + n] == ' ');
    }
    return most;
}

/* What does not fit loses the middle of its longest words, which are paths, and then the middle of itself: never the end,
 * where the reason stands. */
static void put_fitting(pel_error *err, char *text)
{
    const size_t room = sizeof err->text - 1;
    for (size_t n = strlen(text); n > room; n = strlen(text)) {
        size_t at = 0;
        const size_t word = longest_word(text, &at), excess = n - room + sizeof DOTS + 2;
        if (word < KEEP_HEAD + KEEP_TAIL + 16) {
            elide(text, room / 3, room / 3 + excess);
            continue;
        }
        const size_t most = word - KEEP_HEAD - KEEP_TAIL;
        elide(text, at + KEEP_HEAD, at + KEEP_HEAD + (excess < most ? excess : most));
    }
    (void)snprintf(err->text, sizeof err->text, "%s", text);
}

/* Without memory for the whole the text is cut. */
PEL_PRINTF(2, 0) static void set_text(pel_error *err, const char *fmt, va_list args, const char *more)
{
    char *text = NULL, *whole = NULL;
    va_list again;
    va_copy(again, args);
    if (vasprintf(&text, fmt, args) >= 0 && asprintf(&whole, "%s%s", text, more) >= 0)
        put_fitting(err, whole);
    else
        (void)vsnprintf(err->text, sizeof err->text, fmt, again);
    va_end(again);
    free(whole);
    free(text);
}

bool pel__fail(pel_error *err, int32_t code, const char *fmt, ...)
{
    if (!err)
        return false;
    va_list args;
    va_start(args, fmt);
    err->code = code;
    set_text(err, fmt, args, "");
    va_end(args);
    return false;
}

static const char *way_out(int number)
{
    return number == ENOSPC   ? "; make room there, then give the same command again"
           : number == ENOMEM ? "; end other programs, or take fewer threads (--threads) or less memory (--memory)"
           : number == EDQUOT ? "; make room there or have the quota raised, then give the same command again"
                              : "";
}

bool pel__fail_errno(pel_error *err, int number, const char *fmt, ...)
{
    char buffer[128] = "", reason[256];
    if (!err)
        return false;
    (void)snprintf(reason, sizeof reason, ": %s%s", strerror_r(number, buffer, sizeof buffer), way_out(number));
    va_list args;
    va_start(args, fmt);
    err->code = number == ENOENT || number == ENOTDIR ? PEL_NOT_FOUND : number == ENOMEM ? PEL_NO_MEMORY : PEL_IO;
    set_text(err, fmt, args, reason);
    va_end(args);
    return false;
}

bool pel__where(pel_error *err, const char *fmt, ...)
{
    if (!err)
        return false;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, fmt);
    set_text(err, fmt, args, old);
    va_end(args);
    return false;
}
