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

/* The last failure of each block that is not done; where there are more than `most`, how many more. */
void print_failures(FILE *to, const char *output, int64_t most);

#endif
