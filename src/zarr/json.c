/* SPDX-License-Identifier: MIT
 * See json.h. json-c was chosen because it keeps 64-bit integers and the text of doubles, and takes the NaN tokens
 * that Python writes. */
#include "zarr/json.h"

#include "core/number.h"
#include "core/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64

bool pel__json_parse(json_object **out, const char *text, size_t size, const char *what, pel_error *err)
{
    if (size > INT_MAX - 1)
        return pel__fail(err, PEL_FORMAT, "%s: %zu bytes of JSON", what, size);
    json_tokener *const tok = json_tokener_new_ex(MAX_DEPTH);
    if (!tok)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    /* Not JSON_TOKENER_STRICT: that refuses the NaN and Infinity tokens of Python in attributes. What it adds beside is
     * checked here: nothing but white space may follow. */
    json_object *const doc = json_tokener_parse_ex(tok, text, (int)size);
    const enum json_tokener_error e = json_tokener_get_error(tok);
    const size_t end = json_tokener_get_parse_end(tok);
    json_tokener_free(tok);
    if (e != json_tokener_success || !doc) {
        json_object_put(doc);
        return pel__fail(err, PEL_FORMAT, "%s: not JSON: %s at byte %zu", what,
                         e == json_tokener_continue ? "the document ends too early"
                             : e == json_tokener_success ? "null" : json_tokener_error_desc(e), end);
    }
    const size_t blank = strspn(text + (end < size ? end : size), " \t\r\n");
    if (end + blank < size) {
        json_object_put(doc);
        return pel__fail(err, PEL_FORMAT, "%s: text behind the end of the JSON document, at byte %zu", what, end + blank);
    }
    *out = doc;
    return true;
}

/* ---- builders ---------------------------------------------------------------------------------------------- */

json_object *pel__json_put(json_object *object, const char *key, json_object *value)
{
    if (object && value && json_object_object_add(object, key, value) == 0)
        return object;
    json_object_put(value);
    json_object_put(object);
    return NULL;
}

json_object *pel__json_put_null(json_object *object, const char *key)
{
    if (object && json_object_object_add(object, key, NULL) == 0)
        return object;
    json_object_put(object);
    return NULL;
}

json_object *pel__json_push(json_object *array, json_object *value)
{
    if (array && value && json_object_array_add(array, value) == 0)
        return array;
    json_object_put(value);
    json_object_put(array);
    return NULL;
}

json_object *pel__json_ints(const int64_t *values, int32_t n)
{
    json_object *list = json_object_new_array();
    for (int32_t i = 0; i < n; i++)
        list = pel__json_push(list, json_object_new_int64(values[i]));
    return list;
}

json_object *pel__json_doubles(const double *values, int32_t n)
{
    json_object *list = json_object_new_array();
    for (int32_t i = 0; i < n; i++)
        list = pel__json_push(list, pel__json_double(values[i]));
    return list;
}

/* A locale may print a decimal comma, of one or several bytes: everything that no number is made of becomes a point. */
static void point(char *text)
{
    char *to = text;
    for (const char *p = text; *p; p++) {
        const bool number = strchr("0123456789+-eE.", *p) != NULL;
        if (number)
            *to++ = *p;
        else if (to == text || to[-1] != '.')
            *to++ = '.';
    }
    *to = '\0';
}

json_object *pel__json_double(double value)
{
    char text[PEL__NUMBER_SIZE];
    pel__number_text(text, value, 15);
    point(text);
    if (!strpbrk(text, ".eE"))
        memcpy(text + strlen(text), ".0", 3);
    return json_object_new_double_s(value, text);
}

char *pel__json_text(json_object *document)
{
    if (!document)
        return NULL;
    const char *const text = json_object_to_json_string_ext(
        document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
    if (!text)
        return NULL;
    const size_t n = strlen(text);
    char *const copy = malloc(n + 2);
    if (!copy)
        return NULL;
    memcpy(copy, text, n + 1);
    pel__text_to_utf8(copy);
    copy[n] = '\n';
    copy[n + 1] = '\0';
    return copy;
}

/* ---- difference -------------------------------------------------------------------------------------------- */

static bool differs(json_object *a, json_object *b, char *path, size_t size, int depth);

/* path grows by "/step"; cut back by the caller where no difference was found. */
static bool differs_at(const char *step, json_object *a, json_object *b, char *path, size_t size, int depth)
{
    const size_t used = strlen(path);
    (void)snprintf(path + used, size - used, "%s%s", used ? "/" : "", step);
    if (differs(a, b, path, size, depth + 1))
        return true;
    path[used] = '\0';
    return false;
}

static bool objects_differ(json_object *a, json_object *b, char *path, size_t size, int depth)
{
    json_object_object_foreach(a, key, value) {
        json_object *other = NULL;
        const bool there = json_object_object_get_ex(b, key, &other);
        if (!there) {
            const size_t used = strlen(path);
            (void)snprintf(path + used, size - used, "%s%s", used ? "/" : "", key);
            return true;
        }
        if (differs_at(key, value, other, path, size, depth))
            return true;
    }
    if (json_object_object_length(a) == json_object_object_length(b))
        return false;
    json_object_object_foreach(b, extra, unused) {
        (void)unused;
        if (!json_object_object_get_ex(a, extra, NULL))
            return differs_at(extra, a, NULL, path, size, depth);
    }
    return true;
}

static bool arrays_differ(json_object *a, json_object *b, char *path, size_t size, int depth)
{
    const size_t n = json_object_array_length(a);
    if (n != json_object_array_length(b))
        return true;
    for (size_t i = 0; i < n; i++) {
        char step[24];
        (void)snprintf(step, sizeof step, "%zu", i);
        if (differs_at(step, json_object_array_get_idx(a, i), json_object_array_get_idx(b, i), path, size, depth))
            return true;
    }
    return false;
}

static bool differs(json_object *a, json_object *b, char *path, size_t size, int depth)
{
    if (depth > MAX_DEPTH)
        return true;
    const json_type ta = json_object_get_type(a), tb = json_object_get_type(b);
    if (ta == json_type_object && tb == json_type_object)
        return objects_differ(a, b, path, size, depth);
    if (ta == json_type_array && tb == json_type_array)
        return arrays_differ(a, b, path, size, depth);
    if (ta == json_type_double && tb == json_type_double) /* older versions wrote 0.09999999999999999 for 0.1 */
        return pel__rounded(json_object_get_double(a)) != pel__rounded(json_object_get_double(b));
    const bool numbers = (ta == json_type_int || ta == json_type_double) && (tb == json_type_int || tb == json_type_double);
    if (numbers && ta != tb)
        return json_object_get_double(a) != json_object_get_double(b);
    return !json_object_equal(a, b);
}

bool pel__json_differs(json_object *a, json_object *b, char *path, size_t size)
{
    path[0] = '\0';
    return differs(a, b, path, size, 0);
}

/* ---- lookups ----------------------------------------------------------------------------------------------- */

json_object *pel__json_get(json_object *object, const char *key, json_type type)
{
    json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, key, &value))
        return NULL;
    return json_object_is_type(value, type) ? value : NULL;
}

const char *pel__json_string(json_object *object, const char *key)
{
    json_object *const value = pel__json_get(object, key, json_type_string);
    return value ? json_object_get_string(value) : NULL;
}

bool pel__json_int_list(json_object *list, int64_t least, int64_t *out, int32_t max, int32_t *n, pel_error *err)
{
    if (!json_object_is_type(list, json_type_array))
        return pel__fail(err, PEL_FORMAT, "expected a list of integers");
    const size_t count = json_object_array_length(list);
    if (count > (size_t)max)
        return pel__fail(err, PEL_UNSUPPORTED, "%zu axes, pellucid reads at most %d", count, max);
    for (size_t i = 0; i < count; i++) {
        json_object *const v = json_object_array_get_idx(list, i);
        if (!json_object_is_type(v, json_type_int))
            return pel__fail(err, PEL_FORMAT, "entry %zu is no integer", i);
        out[i] = json_object_get_int64(v);
        if (out[i] < least)
            return pel__fail(err, PEL_FORMAT, "entry %zu is %lld, expected at least %lld", i, (long long)out[i],
                             (long long)least);
    }
    *n = (int32_t)count;
    return true;
}
