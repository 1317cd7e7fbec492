/* SPDX-License-Identifier: MIT
 * What the source says of the input, as a part of the plan: the same note of several images once. */
#include "core/bytes.h"
#include "core/text.h"
#include "run/run.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NOTES 100 /* different ones, of a collection of thousands of images */

static const char *text_of(const json_object *o, const char *name)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, name, &v) ? pel__text_or(json_object_get_string(v), "") : "";
}

static int64_t integer_of(const json_object *o, const char *name)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, name, &v) ? json_object_get_int64(v) : 0;
}

static bool is_same(const json_object *o, const pel_note *n)
{
    return strcmp(text_of(o, "text"), n->text) == 0 && strcmp(text_of(o, "kind"), n->kind) == 0;
}

static json_object *note_json(const pel_note *n, int32_t image)
{
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "kind", json_object_new_string(n->kind));
    json_object_object_add(o, "text", json_object_new_string(n->text));
    json_object_object_add(o, "count", json_object_new_int64(n->count));
    json_object_object_add(o, "harmless", json_object_new_boolean(n->harmless));
    json_object_object_add(o, "image", json_object_new_int(image));
    json_object_object_add(o, "images", json_object_new_int(1));
    return o;
}

static void add_note(json_object *list, const pel_note *n, int32_t image)
{
    static const pel_note rest = {.kind = "left out", .text = "There are more notes than are listed here (`pellucid info` lists all)."};
    const size_t count = json_object_array_length(list);
    const pel_note *const kept = count < MOST_NOTES ? n : &rest;
    for (size_t i = 0; i < count; i++) {
        json_object *const o = json_object_array_get_idx(list, i);
        if (is_same(o, n) || (kept != n && is_same(o, kept))) {
            json_object_object_add(o, "images", json_object_new_int64(integer_of(o, "images") + 1));
            return;
        }
    }
    json_object_array_add(list, note_json(kept, image));
}

json_object *pel__run_source_notes(const pel_run *run)
{
    json_object *const list = json_object_new_array();
    for (int32_t i = 0; i < run->image_count; i++)
        for (int32_t k = 0; k < run->images[i]->note_count; k++)
            add_note(list, &run->images[i]->notes[k], i);
    return list;
}

static bool read_note(const json_object *document, size_t number, pel_note *out)
{
    json_object *list = NULL, *harmless = NULL;
    if (!json_object_object_get_ex(document, "notes", &list) || !json_object_is_type(list, json_type_array) || number >= json_object_array_length(list))
        return false;
    const json_object *const o = json_object_array_get_idx(list, number);
    if (!json_object_is_type(o, json_type_object))
        return false;
    *out = (pel_note){.kind = text_of(o, "kind"), .text = text_of(o, "text"), .count = integer_of(o, "count"),
                      .harmless = json_object_object_get_ex(o, "harmless", &harmless) && json_object_get_boolean(harmless),
                      .image = (int32_t)pel__min(INT32_MAX, integer_of(o, "image")), .images = (int32_t)pel__min(INT32_MAX, integer_of(o, "images"))};
    return true;
}

bool pel_run_note(const pel_run *run, int32_t number, pel_note *out)
{
    return number >= 0 && run->document && read_note(run->document, (size_t)number, out);
}

bool pel_run_each_note(const char *run, pel_on_note *on_note, void *arg, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    json_object *document = NULL;
    pel_note n;
    if (!pel_run_folder(folder, sizeof folder, run, err) || !pel__document_load(&document, folder, err))
        return false;
    for (size_t i = 0; read_note(document, i, &n); i++)
        on_note(arg, &n);
    json_object_put(document);
    return true;
}
