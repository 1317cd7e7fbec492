/* SPDX-License-Identifier: MIT
 * Asking schedulers and reading what they say: what jobs_query.c and jobs_verdict.c share. */
#ifndef PELLUCID_CLI_JOBS_ASK_H
#define PELLUCID_CLI_JOBS_ASK_H

#include "jobs.h"

/* Runs the shell line with every IDS in it replaced; its exit status, 127: no such program, -1: it could not be run. */
int job_ask(char *answer, size_t size, const char *line, const char *ids);

/* Splits in place at any of `between`; runs of blanks count once. */
int job_split(char *line, char *fields[], int most, const char *between);

#endif
