/* SPDX-License-Identifier: MIT
 * See answer.h. */
#include "zarr/answer.h"

#include "core/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool pel__answer_header(const char *line, size_t n, const char *name, char *value, size_t size)
{
    const size_t k = strlen(name);
    if (n <= k || strncasecmp(line, name, k) != 0 || line[k] != ':')
        return false;
    size_t from = k + 1, to = n;
    while (from < to && (line[from] == ' ' || line[from] == '\t'))
        from++;
    while (to > from && (line[to - 1] == '\r' || line[to - 1] == '\n' || line[to - 1] == ' '))
        to--;
    (void)snprintf(value, size, "%.*s", (int)pel__min((int64_t)(to - from), (int64_t)size - 1), line + from);
    return true;
}

bool pel__answer_range(const char *text, int64_t *first, int64_t *last, int64_t *total)
{
    char *end = NULL;
    if (strncasecmp(text, "bytes ", 6) != 0)
        return false;
    const int64_t from = strtoll(text + 6, &end, 10);
    if (*end != '-')
        return false;
    const int64_t to = strtoll(end + 1, &end, 10);
    if (*end != '/' || from < 0 || to < from || to == INT64_MAX)
        return false;
    const int64_t all = strtoll(end + 1, NULL, 10); /* 0 for "*" */
    *first = from;
    *last = to;
    *total = all > to ? all : -1;
    return true;
}

bool pel__answer_crc32c(const char *text, uint32_t *out)
{
    uint64_t bits = 0;
    if (strspn(text, PEL__BASE64) != 6 || strncmp(text + 6, "==", 2) != 0 || (text[8] != '\0' && text[8] != ','))
        return false;
    for (int i = 0; i < 6; i++)
        bits = bits << 6 | (uint64_t)(strchr(PEL__BASE64, text[i]) - PEL__BASE64);
    *out = (uint32_t)(bits >> 4);
    return true;
}

char *pel__answer_key(char **at)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    char *const begin = strstr(*at, "<Key>"), *const end = begin ? strstr(begin, "</Key>") : NULL;
    if (!end)
        return NULL;
    *at = end + 6;
    *end = '\0';
    char *to = begin + 5;
    for (const char *from = to; *from;) {
        const char *rest = from + 1;
        char c = *from;
        for (size_t i = 0; c == '&' && i < sizeof entities / sizeof entities[0]; i++)
            if (strncmp(from, entities[i].name, strlen(entities[i].name)) == 0) {
                c = entities[i].c;
                rest = from + strlen(entities[i].name);
                break;
            }
        *to++ = c;
        from = rest;
    }
    *to = '\0';
    return begin + 5;
}
