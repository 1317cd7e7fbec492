/* SPDX-License-Identifier: MIT
 * What the verbs that make or show runs share. */
#ifndef PELLUCID_CLI_RUNS_H
#define PELLUCID_CLI_RUNS_H

#include "cli.h"

#include <stdio.h>

/* `denoise IN OUT …`: reads the words of a verb that runs this filter, plans, and works; with `only_plan` it shows the
 * plan and stops. argv[0] is the verb's word. */
int run_filter(const verb *self, const char *filter, int argc, char **argv, bool only_plan);

/* The plan as a person reads it. */
void print_plan(FILE *to, const pel_run *run, const char *input, const char *output);
json_object *plan_json(const pel_run *run);

/* When the last job of a run that is done was finished, microseconds since 1970; 0: it is not done. */
int64_t finished_at(const char *run);

/* That there was nothing to do, where a run was finished at `before` and still is; false: it was not so. */
bool print_nothing_to_do(FILE *to, const char *run, int64_t before);

/* The last failure of each block that is not done; where there are more than `most`, how many more. */
void print_failures(FILE *to, const char *output, int64_t most);

#endif
