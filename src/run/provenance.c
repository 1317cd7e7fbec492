/* SPDX-License-Identifier: MIT
 * How the output was made, for its attributes: made once, when the run is planned, and kept in plan.json, so that whoever goes on
 * with the run writes the same. Numbers are JSON numbers, times ISO 8601. */
#include "core/error.h"
#include "core/text.h"
#include "filter/params.h"
#include "run/commit.h"
#include "run/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *pel_commit(void)
{
    return PEL__COMMIT;
}

/* ---- settings -------------------------------------------------------------------------------------------------------- */

/* The number as it is written, "0.35", or NULL. */
static json_object *number_of(const char *text, size_t n)
{
    char digits[64];
    double v = 0;
    if (n == 0 || n >= sizeof digits || !pel__parse_number(text, n, &v))
        return NULL;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)n, text);
    json_object *const o = json_tokener_parse(digits); /* as JSON writes numbers; 1e3 and +5 are typed, too */
    if (json_object_is_type(o, json_type_int) || json_object_is_type(o, json_type_double))
        return o;
    json_object_put(o);
    return json_object_new_double(v);
}

/* "1,2,4" as a list, "z=1,y=3" as an object; NULL: neither. */
static json_object *numbers_of(const char *text, size_t n)
{
    const bool named = memchr(text, '=', n) != NULL;
    json_object *const all = named ? json_object_new_object() : json_object_new_array();
    const char *const end = text + n;
    for (const char *at = text; at <= end;) {
        const char *const comma = memchr(at, ',', (size_t)(end - at)), *const stop = comma ? comma : end;
        const char *const sign = memchr(at, '=', (size_t)(stop - at)), *const from = named && sign ? sign + 1 : at;
        json_object *const v = named && !sign ? NULL : number_of(from, (size_t)(stop - from));
        char key[16];
        (void)snprintf(key, sizeof key, "%.*s", sign ? (int)(sign - at) : 0, at);
        if (!v || (named && json_object_object_get_ex(all, key, NULL))) {
            json_object_put(v);
            json_object_put(all);
            return NULL;
        }
        if (named)
            json_object_object_add(all, key, v);
        else
            json_object_array_add(all, v);
        at = stop + 1;
    }
    return all;
}

static json_object *value_of(const char *text, size_t n)
{
    json_object *v = number_of(text, n);
    v = v ? v : numbers_of(text, n);
    return v ? v : json_object_new_string_len(text, (int)n);
}

/* With ; between what holds for one channel (or one of two Gaussians) each: a list. */
json_object *pel__setting_json(const char *text)
{
    if (!strchr(text, ';'))
        return value_of(text, strlen(text));
    json_object *const list = json_object_new_array();
    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, ";");
        json_object_array_add(list, value_of(at, n));
        at += n;
        if (*at == '\0')
            return list;
    }
}

/* What stands elsewhere: the input in its own object, the noise as numbers a channel. */
static json_object *settings_json(json_object *settings)
{
    static const char *const elsewhere[] = {"input", "reading", "filter", "noise", "numeric version"}, *const texts[] = {"dtype", "format", "codec"};
    json_object *const o = json_object_new_object();
    json_object_object_foreach(settings, name, value)
    {
        bool skip = false, text = false;
        for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
            skip = skip || strcmp(name, elsewhere[i]) == 0;
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            text = text || strcmp(name, texts[i]) == 0;
        const char *const is = pel__text_or(json_object_get_string(value), "");
        if (!skip)
            json_object_object_add(o, name, text ? json_object_new_string(is) : pel__setting_json(is));
    }
    return o;
}

/* ---- input and noise --------------------------------------------------------------------------------------------------- */

static void add_text(json_object *o, const char *name, const char *text)
{
    if (text && text[0])
        json_object_object_add(o, name, json_object_new_string(text));
}

static void add_time(json_object *o, const char *name, int64_t ns)
{
    char day[32], text[64];
    const time_t seconds = (time_t)(ns / 1000000000);
    struct tm utc;
    if (ns <= 0 || !gmtime_r(&seconds, &utc) || !strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc))
        return;
    (void)snprintf(text, sizeof text, "%s.%09" PRId64 "Z", day, ns % 1000000000);
    add_text(o, name, text);
}

static json_object *input_json(const pel_run *run, const pel_open_options *open)
{
    json_object *const o = json_object_new_object();
    const char *const slash = strrchr(run->input, '/');
    char *const name = strdup(slash ? slash + 1 : run->input), crc[16];
    if (name)
        pel__text_to_utf8(name);
    add_text(o, "name", name);
    free(name);
    add_text(o, "format", pel_source_format(run->source));
    json_object_object_add(o, "bytes", json_object_new_int64(run->source->identity_size));
    add_time(o, "changed", run->source->identity_mtime_ns);
    (void)snprintf(crc, sizeof crc, "%08x", (unsigned)run->source->identity_crc32c);
    add_text(o, "header_crc32c", crc);
    if (open->level > 0)
        json_object_object_add(o, "level", json_object_new_int(open->level));
    if (open->recover)
        json_object_object_add(o, "recover", json_object_new_boolean(true));
    if (open->use_mask)
        json_object_object_add(o, "mask", json_object_new_boolean(true));
    add_text(o, "damaged", open->damaged);
    add_text(o, "axes", open->axes);
    add_text(o, "select", open->select);
    add_text(o, "pixel_size", open->pixel_size);
    return o;
}

/* The model, an object a channel; the cloud of pairs that it was fitted to stays with the run. */
static json_object *noise_json(json_object *document)
{
    json_object *images = NULL, *const all = json_object_new_array();
    (void)json_object_object_get_ex(document, "noise", &images);
    for (size_t i = 0; i < json_object_array_length(images); i++) {
        json_object *const from = json_object_array_get_idx(images, i), *const channels = json_object_new_array();
        for (size_t c = 0; c < json_object_array_length(from); c++) {
            json_object *const o = json_object_new_object();
            json_object_object_foreach(json_object_array_get_idx(from, c), name, value)
            {
                if (strcmp(name, "cloud") != 0)
                    json_object_object_add(o, name, json_object_get(value));
            }
            json_object_array_add(channels, o);
        }
        json_object_array_add(all, channels);
    }
    return all;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------ */

json_object *pel__provenance_make(const pel_run *run, const pel_open_options *open, json_object *document)
{
    json_object *const o = json_object_new_object(), *settings = NULL, *notes = NULL, *created = NULL;
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    (void)json_object_object_get_ex(document, "settings", &settings);
    (void)json_object_object_get_ex(document, "notes", &notes);
    (void)json_object_object_get_ex(document, "created", &created);
    add_text(o, "version", PEL__VERSION);
    add_text(o, "commit", PEL__COMMIT);
    add_text(o, "numeric_version", PEL__NUMERIC_VERSION);
    json_object_object_add(o, "created", json_object_get(created));
    add_text(o, "host", host);
    json_object_object_add(o, "command", json_object_new_string(pel__document_text(document, "request", "command")));
    json_object_object_add(o, "input", input_json(run, open));
    json_object_object_add(o, "notes", json_object_get(notes));
    add_text(o, "filter", pel__document_text(document, "settings", "filter"));
    json_object_object_add(o, "settings", settings_json(settings));
    json_object_object_add(o, "noise", noise_json(document));
    return o;
}
