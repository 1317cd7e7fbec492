/* SPDX-License-Identifier: MIT
 * See document.h: YAML through the events of libyaml. One document; mappings with scalar keys, sequences, scalars; anchors are
 * copied where they are named, and count as often. Plain scalars as in the core schema of YAML 1.2, and 0644 as an octal number,
 * as Kubernetes reads it. */
#include "document.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MOST_ANCHORS 64

typedef struct {
    const document_text *text;
    yaml_parser_t parser;
    yaml_event_t event; /* the one at hand; its type is 0 where there is none */
    int nodes, depth, anchor_count;
    struct {
        char *name;
        json_object *node;
        int nodes;
    } anchors[MOST_ANCHORS];
    pel_error *err;
} reader;

static bool fail_mark(reader *r, const yaml_mark_t *at, const char *why)
{
    return set_error(r->err, PEL_FORMAT, "%s:%zu:%zu: %s", r->text->path, at->line + 1, at->column + 1, why);
}

static bool fail(reader *r, const char *why)
{
    return fail_mark(r, &r->event.start_mark, why);
}

static void drop(reader *r)
{
    yaml_event_delete(&r->event);
    memset(&r->event, 0, sizeof r->event);
}

static bool next(reader *r)
{
    drop(r);
    if (yaml_parser_parse(&r->parser, &r->event))
        return true;
    const yaml_mark_t *const at = r->parser.problem_mark.line || r->parser.problem_mark.column ? &r->parser.problem_mark : &r->parser.mark;
    return fail_mark(r, at, r->parser.problem ? r->parser.problem : "cannot be read");
}

static bool count(reader *r, int nodes)
{
    r->nodes += nodes;
    return r->nodes <= DOCUMENT_NODES || fail(r, "more than 20000 values (aliases count as often as they are named)");
}

/* ---- scalars ------------------------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(text, *list) == 0)
            return true;
    return false;
}

static json_object *number_of(const char *text)
{
    const char *const digits = text + (*text == '-' || *text == '+');
    const bool octal = digits[0] == '0' && digits[1] && digits[strspn(digits, "01234567")] == '\0';
    const bool hex = strncmp(digits, "0x", 2) == 0 && digits[2] && digits[2 + strspn(digits + 2, "0123456789abcdefABCDEF")] == '\0';
    char *end = NULL;
    if (!digits[0] || digits[strspn(digits, hex ? "0123456789abcdefABCDEFx" : "0123456789.eE+-")] || !strpbrk(digits, "0123456789"))
        return NULL;
    errno = 0;
    const long long whole = strtoll(text, &end, octal ? 8 : hex ? 16 : 10);
    if (*end == '\0' && errno == 0)
        return json_object_new_int64(whole);
    const double v = strtod(text, &end);
    return *end == '\0' && isfinite(v) ? json_object_new_double_s(v, text) : NULL;
}

/* A plain scalar may be null, a truth value or a number; in marks it is a text. *is_null: there is no object for it. */
static json_object *scalar(const reader *r, bool *is_null)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL}, *const yes[] = {"true", "True", "TRUE", NULL},
                      *const no[] = {"false", "False", "FALSE", NULL};
    const char *const text = (const char *)r->event.data.scalar.value;
    const bool plain = r->event.data.scalar.plain_implicit && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    *is_null = plain && is_one_of(text, nulls);
    if (*is_null)
        return NULL;
    if (plain && (is_one_of(text, yes) || is_one_of(text, no)))
        return json_object_new_boolean(is_one_of(text, yes));
    json_object *const number = plain && !r->text->as_text ? number_of(text) : NULL;
    return number ? number : json_object_new_string_len(text, (int)r->event.data.scalar.length);
}

/* ---- nodes: each reads what begins with the event at hand, and leaves its last event at hand ------------------------------- */

static bool read_node(reader *r, json_object **out);

static bool check_tag(reader *r, const yaml_char_t *tag)
{
    static const char *const known[] = {"!", YAML_STR_TAG, YAML_MAP_TAG, YAML_SEQ_TAG, YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG, YAML_NULL_TAG, NULL};
    return !tag || is_one_of((const char *)tag, known) || fail(r, "a tag that is not understood");
}

static bool keep_anchor(reader *r, const char *name, json_object *node, int nodes)
{
    if (!name)
        return true;
    if (r->anchor_count == MOST_ANCHORS)
        return fail(r, "more than 64 anchors");
    r->anchors[r->anchor_count].name = strdup(name);
    r->anchors[r->anchor_count].node = json_object_get(node);
    r->anchors[r->anchor_count++].nodes = nodes;
    return true;
}

static int height(json_object *o)
{
    int most = 0;
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, name, value)
        {
            const int h = height(value);
            (void)name;
            most = h > most ? h : most;
        }
    }
    for (size_t i = 0; json_object_is_type(o, json_type_array) && i < json_object_array_length(o); i++) {
        const int h = height(json_object_array_get_idx(o, i));
        most = h > most ? h : most;
    }
    return most + 1;
}

static bool read_alias(reader *r, json_object **out)
{
    const char *const name = (const char *)r->event.data.alias.anchor;
    for (int i = r->anchor_count - 1; i >= 0; i--) {
        if (!r->anchors[i].name || strcmp(r->anchors[i].name, name) != 0)
            continue;
        if (!count(r, r->anchors[i].nodes))
            return false;
        if (r->depth + height(r->anchors[i].node) > DOCUMENT_DEPTH)
            return fail(r, "more than 64 levels");
        return !r->anchors[i].node || json_object_deep_copy(r->anchors[i].node, out, NULL) == 0 || fail(r, "no memory");
    }
    return fail(r, "an alias of no anchor that ended before it");
}

/* "<<": what the other mapping has and this one has not. Takes it. */
static void merge(json_object *o, json_object *from)
{
    if (!from)
        return;
    json_object_object_foreach(from, name, value)
    {
        if (!json_object_object_get_ex(o, name, NULL))
            json_object_object_add(o, name, json_object_get(value));
    }
    json_object_put(from);
}

static bool read_key(reader *r, json_object *o, char **key)
{
    if (r->event.type != YAML_SCALAR_EVENT)
        return fail(r, "a key that is no word");
    const char *const text = (const char *)r->event.data.scalar.value;
    if (strlen(text) != r->event.data.scalar.length)
        return fail(r, "a key that holds a zero byte");
    if (json_object_object_get_ex(o, text, NULL))
        return fail(r, "a key that is there already");
    *key = strdup(text);
    return *key != NULL;
}

/* One key and its value; *more: the mapping that is merged in at the end. */
static bool read_member(reader *r, json_object *o, json_object **more)
{
    char *key = NULL;
    json_object *value = NULL;
    bool ok = read_key(r, o, &key) && next(r) && read_node(r, &value);
    if (ok && strcmp(key, "<<") == 0) {
        ok = (!*more && json_object_is_type(value, json_type_object)) || fail(r, "<< wants one mapping");
        if (ok)
            *more = json_object_get(value);
        json_object_put(value);
    } else if (ok) {
        ok = json_object_object_add(o, key, value) == 0;
    } else {
        json_object_put(value);
    }
    free(key);
    return ok;
}

static bool read_mapping(reader *r, json_object *o)
{
    json_object *more = NULL;
    bool ok = next(r);
    while (ok && r->event.type != YAML_MAPPING_END_EVENT)
        ok = read_member(r, o, &more) && next(r);
    merge(o, more);
    return ok;
}

static bool read_sequence(reader *r, json_object *list)
{
    for (;;) {
        json_object *value = NULL;
        if (!next(r))
            return false;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (!read_node(r, &value)) {
            json_object_put(value);
            return false;
        }
        json_object_array_add(list, value);
    }
}

/* On false *out may hold a part, which the caller puts. */
static bool read_collection(reader *r, json_object **out)
{
    const bool map = r->event.type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *const tag = map ? r->event.data.mapping_start.tag : r->event.data.sequence_start.tag;
    const yaml_char_t *const anchor = map ? r->event.data.mapping_start.anchor : r->event.data.sequence_start.anchor;
    const int before = r->nodes;
    if (!check_tag(r, tag))
        return false;
    if (++r->depth > DOCUMENT_DEPTH)
        return fail(r, "more than 64 levels");
    char *const name = anchor ? strdup((const char *)anchor) : NULL;
    *out = map ? json_object_new_object() : json_object_new_array();
    const bool ok = (map ? read_mapping(r, *out) : read_sequence(r, *out)) && keep_anchor(r, name, *out, r->nodes - before + 1);
    free(name);
    r->depth--;
    return ok;
}

static bool read_scalar(reader *r, json_object **out)
{
    bool is_null = false;
    if (!check_tag(r, r->event.data.scalar.tag))
        return false;
    *out = scalar(r, &is_null);
    return (*out || is_null || fail(r, "no memory")) && keep_anchor(r, (const char *)r->event.data.scalar.anchor, *out, 1);
}

static bool read_node(reader *r, json_object **out)
{
    if (!count(r, 1))
        return false;
    switch (r->event.type) {
    case YAML_ALIAS_EVENT:
        return read_alias(r, out);
    case YAML_SCALAR_EVENT:
        return read_scalar(r, out);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return read_collection(r, out);
    default:
        return fail(r, "a value was expected");
    }
}

static bool read_stream(reader *r, json_object **out)
{
    if (!next(r) || !next(r)) /* the stream's begin, the document's */
        return false;
    if (r->event.type != YAML_DOCUMENT_START_EVENT)
        return fail(r, "an empty document");
    if (!next(r) || !read_node(r, out) || !next(r) || !next(r)) /* the document's end, and what follows */
        return false;
    return r->event.type == YAML_STREAM_END_EVENT || fail(r, "a second document: one is expected");
}

json_object *document_from_yaml(const document_text *text, pel_error *err)
{
    reader *const r = calloc(1, sizeof *r);
    json_object *o = NULL;
    if (!r || !yaml_parser_initialize(&r->parser)) {
        free(r);
        (void)set_error(err, PEL_NO_MEMORY, "%s: no memory", text->path);
        return NULL;
    }
    r->text = text;
    r->err = err;
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text->bytes, text->size);
    const bool ok = read_stream(r, &o);
    for (int i = 0; i < r->anchor_count; i++) {
        free(r->anchors[i].name);
        json_object_put(r->anchors[i].node);
    }
    drop(r);
    yaml_parser_delete(&r->parser);
    free(r);
    if (ok)
        return o;
    json_object_put(o);
    return NULL;
}
