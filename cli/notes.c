/* SPDX-License-Identifier: MIT
 * See notes.h. */
#include "notes.h"

#include <inttypes.h>
#include <stdio.h>

json_object *note_json(const pel_note *n)
{
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "kind", json_object_new_string(n->kind));
    json_object_object_add(o, "text", json_object_new_string(n->text));
    json_object_object_add(o, "count", json_object_new_int64(n->count));
    json_object_object_add(o, "harmless", json_object_new_boolean(n->harmless));
    return o;
}

static json_object *run_note_json(const pel_note *n)
{
    json_object *const o = note_json(n);
    json_object_object_add(o, "image", json_object_new_int(n->image));
    json_object_object_add(o, "images", json_object_new_int(n->images));
    return o;
}

static void print_note(FILE *to, const char *label, const pel_note *n)
{
    (void)fputs(label, to);
    (void)put_one_line(to, n->text);
    if (n->images > 1)
        (void)fprintf(to, " (image %" PRId32 " and %" PRId32 " more)", n->image, n->images - 1);
    else if (n->image > 0)
        (void)fprintf(to, " (image %" PRId32 ")", n->image);
    (void)fputc('\n', to);
}

void print_plan_notes(FILE *to, const pel_run *run)
{
    pel_note n;
    for (int32_t i = 0; pel_run_note(run, i, &n); i++)
        print_note(to, "  note     ", &n);
}

json_object *plan_notes_json(const pel_run *run)
{
    json_object *const list = json_object_new_array();
    pel_note n;
    for (int32_t i = 0; pel_run_note(run, i, &n); i++)
        json_object_array_add(list, run_note_json(&n));
    return list;
}

typedef struct {
    FILE *to;
    const char *label;
    bool all;
    json_object *list;
} telling;

static void tell(void *arg, const pel_note *n)
{
    const telling *const t = arg;
    if (t->list)
        json_object_array_add(t->list, run_note_json(n));
    else if (t->all || !n->harmless)
        print_note(t->to, t->label, n);
}

void print_run_notes(FILE *to, const char *run, const char *label, bool all)
{
    telling t = {.to = to, .label = label, .all = all};
    pel_status s;
    (void)pel_run_each_note(run, tell, &t, NULL);
    if (pel_run_status(&s, run, NULL) && s.blocks_damaged > 0)
        (void)fprintf(to, "%s%" PRId64 " block%s had tiles of the input in %s, or in the margin around, that are damaged or too short: what is missing read as zero.\n", label, s.blocks_damaged,
                      s.blocks_damaged == 1 ? "" : "s", s.blocks_damaged == 1 ? "it" : "them");
}

json_object *run_notes_json(const char *run)
{
    telling t = {.list = json_object_new_array()};
    (void)pel_run_each_note(run, tell, &t, NULL);
    return t.list;
}
