/* SPDX-License-Identifier: MIT
 * What the verbs that make or show runs share. */
#ifndef PELLUCID_CLI_RUNS_H
#define PELLUCID_CLI_RUNS_H

#include "cli.h"

/* `denoise IN OUT …`: reads the words of a verb that runs this filter, plans, and works; with `only_plan` it shows the
 * plan and stops. argv[0] is the verb's word. */
int run_filter(const verb *self, const char *filter, int argc, char **argv, bool only_plan);

/* The plan as a person reads it. */
void print_plan(FILE *to, const pel_run *run, const char *input, const char *output);
json_object *plan_json(const pel_run *run);

/* Progress of the library shown on one line; asks to stop on Ctrl-C. arg is a `struct watch`. */
struct progress;
typedef struct watch {
    struct progress *line;
    const char *verb;
    const char *phase; /* the one shown now */
    bool quiet;
} watch;
bool watch_progress(void *arg, const pel_progress *p);

#endif
