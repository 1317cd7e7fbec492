/* SPDX-License-Identifier: MIT
 * See json_path.h. */
#include "json_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *all, *at; /* the directive; where we are in its path */
    char name[256];
    pel_error *err;
} path;

static bool wrong(const path *p, const char *why)
{
    return set_error(p->err, PEL_ARGUMENT, "--directive '%.200s': %s", p->all, why);
}

static bool ends(const path *p)
{
    return *p->at == '=';
}

/* The next name or place; a bracket is another dot. */
static bool step(path *p)
{
    const bool bracket = *p->at == '[';
    size_t n = 0;
    p->at += bracket;
    while (*p->at && !strchr(bracket ? "]=" : ".[=", *p->at)) {
        p->at += p->at[0] == '\\' && p->at[1] == '.';
        if (n + 1 >= sizeof p->name)
            return wrong(p, "a name is too long");
        p->name[n++] = *p->at++;
    }
    p->name[n] = '\0';
    if (n == 0 || *p->at == '\0' || (bracket && *p->at != ']'))
        return wrong(p, "expected a path, = and a value, as in spec.template.spec.containers[0].imagePullPolicy=Always");
    p->at += bracket;
    if (*p->at == '.')
        p->at++;
    else if (*p->at != '[' && *p->at != '=')
        return wrong(p, "expected a dot, [ or = behind ]");
    return true;
}

/* The place in the list that the name says: up to its length for "+". */
static bool place_in(const path *p, json_object *list, size_t *out)
{
    char why[160];
    char *end = NULL;
    const size_t count = json_object_array_length(list);
    const unsigned long long n = strtoull(p->name, &end, 10);
    if (strcmp(p->name, "+") == 0) {
        *out = count;
        return true;
    }
    if (p->name[0] >= '0' && p->name[0] <= '9' && *end == '\0' && n < count) {
        *out = (size_t)n;
        return true;
    }
    (void)snprintf(why, sizeof why, "found '%.40s' for a place in a list of %zu: expected 0 to %zu, or + for one more", p->name, count, count ? count - 1 : 0);
    return wrong(p, why);
}

/* What the name leads to, NULL: nothing is there. */
static bool look(const path *p, json_object *at, json_object **out, size_t *place)
{
    *out = NULL;
    if (json_object_is_type(at, json_type_object)) {
        (void)json_object_object_get_ex(at, p->name, out);
        return strcmp(p->name, "+") != 0 || wrong(p, "+ wants a list, found an object");
    }
    if (!json_object_is_type(at, json_type_array))
        return wrong(p, "leads into a value that has no members");
    if (!place_in(p, at, place))
        return false;
    *out = json_object_array_get_idx(at, *place);
    return true;
}

static void put_in(const path *p, json_object *at, size_t place, json_object *value)
{
    if (json_object_is_type(at, json_type_array))
        json_object_array_put_idx(at, place, value);
    else
        json_object_object_add(at, p->name, value);
}

static bool take_away(const path *p, json_object *at, size_t place)
{
    if (json_object_is_type(at, json_type_object)) {
        json_object_object_del(at, p->name);
        return true;
    }
    return place >= json_object_array_length(at) || json_object_array_del_idx(at, place, 1) == 0;
}

static bool set_last(const path *p, json_object *at)
{
    json_object *old = NULL;
    size_t place = 0;
    if (!look(p, at, &old, &place))
        return false;
    if (strcmp(p->at, "=null") == 0)
        return take_away(p, at, place);
    json_object *value = json_tokener_parse(p->at + 1);
    if (!value)
        value = json_object_new_string(p->at + 1);
    const bool holds = json_object_is_type(old, json_type_array) || json_object_is_type(old, json_type_object);
    if (holds && json_object_get_type(old) != json_object_get_type(value)) {
        json_object_put(value);
        return wrong(p, json_object_is_type(old, json_type_array) ? "would replace a list by what is none" : "would replace an object by what is none");
    }
    put_in(p, at, place, value);
    return true;
}

/* A new object, or a list where "+" follows. */
static json_object *make(const path *p, json_object *at, size_t place)
{
    const bool list = strncmp(p->at, "[+]", 3) == 0 || (p->at[0] == '+' && p->at[1] && strchr(".[=", p->at[1]));
    json_object *const o = list ? json_object_new_array() : json_object_new_object();
    put_in(p, at, place, o);
    return o;
}

static bool place_follows(const char *at)
{
    at += *at == '[';
    const size_t n = strspn(at, "0123456789");
    return n > 0 && at[n] && strchr(".[]=", at[n]);
}

/* First along the path without a change, so that a path that goes wrong leaves nothing behind. */
static bool walk(path *p, json_object *at, bool change)
{
    for (;;) {
        json_object *next = NULL;
        size_t place = 0;
        if (!step(p))
            return false;
        if (ends(p))
            return change ? set_last(p, at) : !at || look(p, at, &next, &place);
        if (at && !look(p, at, &next, &place))
            return false;
        if (!next && place_follows(p->at))
            return wrong(p, "leads to a place in a list that is not there: + makes one");
        at = next || !change ? next : make(p, at, place);
    }
}

bool json_path_set(json_object *document, const char *assignment, pel_error *err)
{
    path look_first = {.all = assignment, .at = assignment, .err = err}, p = look_first;
    if (!strchr(assignment, '='))
        return wrong(&p, "expected a path, = and a value, as in spec.template.spec.containers[0].imagePullPolicy=Always");
    return walk(&look_first, document, false) && walk(&p, document, true);
}
