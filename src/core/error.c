/* SPDX-License-Identifier: MIT
 * See error.h. The value is fixed-size so that it can be copied, kept in a job and passed between threads. */
#include "core/error.h"

#undef pel__fail
#undef pel__fail_errno
#undef pel__where

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* snprintf may cut in the middle of a UTF-8 sequence: drop the incomplete tail. */
static void trim_utf8(char *text, size_t size)
{
    size_t n = strnlen(text, size - 1);
    text[n] = '\0';
    if (n + 1 < size)
        return;
    size_t i = n;
    while (i > 0 && ((unsigned char)text[i - 1] & 0xC0) == 0x80)
        i--;
    if (i == 0)
        return;
    const unsigned char lead = (unsigned char)text[i - 1];
    const size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (n - (i - 1) < need)
        text[i - 1] = '\0';
}

PEL_PRINTF(3, 0) static void set_text(pel_error *err, int32_t code, const char *fmt, va_list args)
{
    err->code = code;
    (void)vsnprintf(err->text, sizeof err->text, fmt, args);
    trim_utf8(err->text, sizeof err->text);
}

bool pel__fail(pel_error *err, int32_t code, const char *fmt, ...)
{
    if (!err)
        return false;
    va_list args;
    va_start(args, fmt);
    set_text(err, code, fmt, args);
    va_end(args);
    return false;
}

bool pel__fail_errno(pel_error *err, int number, const char *fmt, ...)
{
    if (!err)
        return false;
    va_list args;
    va_start(args, fmt);
    set_text(err, number == ENOENT || number == ENOTDIR ? PEL_NOT_FOUND : number == ENOMEM ? PEL_NO_MEMORY : PEL_IO, fmt, args);
    va_end(args);
    char reason[128] = "";
    const char *text = strerror_r(number, reason, sizeof reason);
    const size_t used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof err->text - used, ": %s", text);
    trim_utf8(err->text, sizeof err->text);
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
    (void)vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    const size_t used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof err->text - used, "%s", old);
    trim_utf8(err->text, sizeof err->text);
    return false;
}
