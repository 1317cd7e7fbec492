/* SPDX-License-Identifier: MIT
 * Any bytes as a directive with a path (the first line) and the YAML document that it changes (the rest). */
#include "fuzz.h"

#include "../cli/document.h"
#include "../cli/json_path.h"

static int64_t nodes(json_object *o, int depth)
{
    int64_t n = 1;
    if (depth > 4 * DOCUMENT_DEPTH)
        abort();
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, name, value)
        {
            n += nodes(value, depth + 1) + (name == NULL);
        }
    }
    for (size_t i = 0; json_object_is_type(o, json_type_array) && i < json_object_array_length(o); i++)
        n += nodes(json_object_array_get_idx(o, i), depth + 1);
    return n;
}

static void change(json_object *document, const char *directive)
{
    pel_error err = {0};
    json_object *before = NULL;
    if (json_object_deep_copy(document, &before, NULL) != 0)
        abort();
    if (!json_path_set(document, directive, &err) && (!err.text[0] || !json_object_equal(before, document)))
        abort();
    json_object_put(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *const end = memchr(data, '\n', size);
    const size_t first = end ? (size_t)(end - data) : size, rest = end ? first + 1 : size;
    char *const directive = calloc(1, first + 1), *const text = calloc(1, size - rest + 1);
    if (!directive || !text)
        abort();
    memcpy(directive, data, first);
    memcpy(text, data + rest, size - rest);
    for (int as_text = 0; as_text < 2; as_text++) {
        pel_error err = {0};
        const document_text t = {.path = "d.yaml", .bytes = text, .size = size - rest, .as_text = as_text != 0};
        json_object *const o = document_from_yaml(&t, &err);
        if (o && nodes(o, 0) > DOCUMENT_NODES)
            abort();
        if (json_object_is_type(o, json_type_object))
            change(o, directive);
        json_object_put(o);
    }
    free(directive);
    free(text);
    return 0;
}
