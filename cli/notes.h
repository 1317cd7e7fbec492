/* SPDX-License-Identifier: MIT
 * What a source says of its input, as the verbs tell it: with the plan, at the end of a run, in its status. */
#ifndef PELLUCID_CLI_NOTES_H
#define PELLUCID_CLI_NOTES_H

#include "cli.h"

json_object *note_json(const pel_note *n);

/* Of a run that was planned by this process. */
void print_plan_notes(FILE *to, const pel_run *run);
json_object *plan_notes_json(const pel_run *run);

/* Of a run named by its output or its folder; all: also what is harmless. */
void print_run_notes(FILE *to, const char *run, const char *label, bool all);
json_object *run_notes_json(const char *run);

#define NOTE_LABEL "note: " /* at the end of a run, also with --quiet: nothing is missing in silence */

#endif
