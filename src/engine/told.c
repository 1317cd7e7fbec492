/* SPDX-License-Identifier: MIT
 * See told.h. */
#include "engine/told.h"

#include <json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pel__told_destroy(pel__told *r, const pel__batch *b)
{
    for (int64_t i = 0; r->text && i < b->count; i++)
        free(r->text[i]);
    free(r->text);
    free(r->done);
}

static int64_t place_of(const pel__batch *b, int64_t block)
{
    for (int64_t i = 0; i < b->count; i++)
        if (b->blocks[i] == block)
            return i;
    return -1;
}

static void read_report(pel__told *r, const pel__batch *b, const char *line, size_t n)
{
    struct json_tokener *t = json_tokener_new();
    json_object *o = t ? json_tokener_parse_ex(t, line, (int)n) : NULL, *v = NULL;
    if (o && json_object_object_get_ex(o, "done", &v) && json_object_is_type(v, json_type_array)) {
        r->reported = true;
        for (size_t i = 0; i < json_object_array_length(v); i++) {
            const int64_t at = place_of(b, json_object_get_int64(json_object_array_get_idx(v, i)));
            if (at >= 0)
                r->done[at] = true;
        }
    }
    if (r->reported && json_object_object_get_ex(o, "failed", &v) && json_object_is_type(v, json_type_object)) {
        json_object_object_foreach(v, name, why)
        {
            const int64_t at = place_of(b, strtoll(name, NULL, 10));
            const char *const text = json_object_get_string(why); /* NULL of a null */
            if (at >= 0 && !r->text[at])
                r->text[at] = strdup(text ? text : "no reason given");
        }
    }
    if (r->reported && json_object_object_get_ex(o, "memory_peak", &v) && json_object_get_int64(v) > r->memory_peak)
        r->memory_peak = json_object_get_int64(v);
    json_object_put(o);
    if (t)
        json_tokener_free(t);
}

bool pel__told_read(pel__told *r, const pel__batch *b, const char *output)
{
    *r = (pel__told){.status = -1};
    if (b) {
        r->done = calloc((size_t)b->count, sizeof *r->done);
        r->text = calloc((size_t)b->count, sizeof *r->text);
        if (!r->done || !r->text)
            return false;
    }
    for (const char *p = output ? output : ""; *p;) {
        const size_t n = strcspn(p, "\n");
        if (*p == '{' && b)
            read_report(r, b, p, n);
        else if (strncmp(p, "@exit ", 6) == 0)
            r->status = (int)strtol(p + 6, NULL, 10);
        else if (strncmp(p, "@held", 5) == 0)
            r->turned_away = true;
        else if (strncmp(p, "@host ", 6) == 0)
            (void)snprintf(r->host, sizeof r->host, "%.*s", (int)n - 6, p + 6);
        else if (n > 0)
            (void)snprintf(r->last, sizeof r->last, "%.*s", (int)n, p);
        p += n + (p[n] == '\n');
    }
    return true;
}

void pel__told_crash(char *out, size_t size, const pel__told *r)
{
    const int status = r->status;
    if (status > 128)
        (void)snprintf(out, size, "killed by signal %d%s%s%s", status - 128, status == 128 + SIGKILL ? " (out of memory?)" : "",
                       r->last[0] ? ": " : "", r->last);
    else if (status < 0)
        (void)snprintf(out, size, "ended without a word%s%s", r->last[0] ? ": " : "", r->last);
    else
        (void)snprintf(out, size, "ended with code %d without a report%s%s", status, r->last[0] ? ": " : "", r->last);
}
