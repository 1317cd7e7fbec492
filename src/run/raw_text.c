/* SPDX-License-Identifier: MIT
 * See raw_text.h. */
#include "run/raw_text.h"

#include "core/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BESIDE " bytes"
#define MOST_NAME 100

/* Text as UTF-8, NULL: no memory. */
static char *shown(const char *text)
{
    char *const copy = strdup(text);
    if (copy)
        pel__text_to_utf8(copy);
    return copy;
}

void pel__raw_text_show(json_object *o, const char *name, const char *text)
{
    char *const copy = shown(pel__text_or(text, ""));
    json_object_object_add(o, name, json_object_new_string(pel__text_or(copy, "")));
    free(copy);
}

static char *encode(const char *text)
{
    char *const out = malloc(3 * strlen(text) + 1);
    char *to = out;
    for (const uint8_t *p = (const uint8_t *)text; out && *p; p++)
        if (*p >= 0x80 || *p == '%')
            to += snprintf(to, 4, "%%%02X", (unsigned)*p);
        else
            *to++ = (char)*p;
    if (out)
        *to = '\0';
    return out;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place. Ends where a byte is 0 or no byte follows a '%'. */
static void decode(char *text)
{
    char *to = text;
    for (const char *p = text; *p; p++) {
        int byte = (uint8_t)*p;
        if (*p == '%') {
            const int high = digit(p[1]), low = high < 0 ? -1 : digit(p[2]);
            byte = low < 0 ? 0 : 16 * high + low;
            p += 2;
        }
        if (byte == 0)
            break;
        *to++ = (char)byte;
    }
    *to = '\0';
}

static bool add_in(json_object *section)
{
    json_object *more = json_object_new_object();
    bool ok = more != NULL;
    json_object_object_foreach(section, name, value)
    {
        char beside[MOST_NAME + sizeof BESIDE];
        const char *const text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
        char *const copy = shown(text);
        if (copy && strcmp(copy, text) != 0 && strlen(name) <= MOST_NAME) {
            char *const bytes = encode(text);
            (void)snprintf(beside, sizeof beside, "%s" BESIDE, name);
            ok = ok && bytes && json_object_object_add(more, beside, json_object_new_string(bytes)) == 0 && json_object_set_string(value, copy) == 1;
            free(bytes);
        }
        ok = ok && copy;
        free(copy);
    }
    json_object_object_foreach(more, beside, bytes)
        ok = ok && json_object_object_add(section, beside, json_object_get(bytes)) == 0;
    json_object_put(more);
    return ok;
}

bool pel__raw_text_add(json_object *document)
{
    bool ok = true;
    json_object_object_foreach(document, name, section)
    {
        (void)name;
        if (json_object_is_type(section, json_type_object))
            ok = add_in(section) && ok;
    }
    return ok;
}

static void take_in(json_object *section)
{
    json_object_object_foreach(section, beside, bytes) /* the member that we stand on may be removed */
    {
        const size_t n = strlen(beside), end = sizeof BESIDE - 1;
        char name[MOST_NAME + 1];
        json_object *text = NULL;
        if (n <= end || n - end > MOST_NAME || strcmp(beside + n - end, BESIDE) != 0 || !json_object_is_type(bytes, json_type_string))
            continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)(n - end), beside);
        char *const raw = strdup(json_object_get_string(bytes));
        if (raw && json_object_object_get_ex(section, name, &text) && json_object_is_type(text, json_type_string)) {
            decode(raw);
            (void)json_object_set_string(text, raw);
        }
        free(raw);
        json_object_object_del(section, beside);
    }
}

void pel__raw_text_take(json_object *document)
{
    json_object_object_foreach(document, name, section)
    {
        (void)name;
        if (json_object_is_type(section, json_type_object))
            take_in(section);
    }
}
