/* SPDX-License-Identifier: MIT
 * See document.h. */
#include "document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path, size_t *size, pel_error *err)
{
    char why[128];
    FILE *const f = fopen(path, "re");
    char *const bytes = f ? malloc(DOCUMENT_BYTES + 2) : NULL;
    *size = bytes ? fread(bytes, 1, DOCUMENT_BYTES + 1, f) : 0;
    const bool ok = bytes && !ferror(f);
    if (!ok)
        (void)set_error(err, PEL_IO, "%s: cannot be read: %s", path, strerror_r(errno, why, sizeof why));
    else if (*size > DOCUMENT_BYTES)
        (void)set_error(err, PEL_FORMAT, "%s: larger than 1 MiB, no such document is expected", path);
    if (f)
        (void)fclose(f);
    if (ok && *size <= DOCUMENT_BYTES) {
        bytes[*size] = '\0';
        return bytes;
    }
    free(bytes);
    return NULL;
}

static json_object *fail_at(const document_text *t, size_t at, const char *why, pel_error *err)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < at && i < t->size; i++) {
        column = t->bytes[i] == '\n' ? 1 : column + 1;
        line += t->bytes[i] == '\n';
    }
    (void)set_error(err, PEL_FORMAT, "%s:%d:%d: no JSON: %s", t->path, line, column, why);
    return NULL;
}

static json_object *from_json(const document_text *t, pel_error *err)
{
    json_tokener *const reader = json_tokener_new_ex(DOCUMENT_DEPTH);
    if (!reader)
        return NULL;
    json_object *const o = json_tokener_parse_ex(reader, t->bytes, (int)t->size + 1); /* with its end, so that a number ends */
    const enum json_tokener_error code = json_tokener_get_error(reader);
    const size_t end = json_tokener_get_parse_end(reader);
    json_tokener_free(reader);
    if (code != json_tokener_success)
        return fail_at(t, end, code == json_tokener_continue ? "the file ends too early" : json_tokener_error_desc(code), err);
    const size_t blanks = strspn(t->bytes + (end < t->size ? end : t->size), " \t\r\n");
    if (end + blanks >= t->size)
        return o;
    json_object_put(o);
    return fail_at(t, end + blanks, "more behind its end", err);
}

static bool ends_in(const char *path, const char *suffix)
{
    const size_t n = strlen(path), k = strlen(suffix);
    return n >= k && strcmp(path + n - k, suffix) == 0;
}

json_object *document_read(const char *path, bool as_text, pel_error *err)
{
    document_text t = {.path = path, .as_text = as_text};
    char *const bytes = read_file(path, &t.size, err);
    if (!bytes)
        return NULL;
    t.bytes = bytes;
    json_object *const o = ends_in(path, ".yaml") || ends_in(path, ".yml") ? document_from_yaml(&t, err) : from_json(&t, err);
    free(bytes);
    return o;
}
