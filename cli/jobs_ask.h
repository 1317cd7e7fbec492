/* SPDX-License-Identifier: MIT
 * Asking schedulers and reading what they say: what jobs_query.c and jobs_verdict.c share. */
#ifndef PELLUCID_CLI_JOBS_ASK_H
#define PELLUCID_CLI_JOBS_ASK_H

#include "jobs.h"
#include "program.h"

#define ANSWER_SIZE (1 << 20)
#define ERRORS_SIZE (1 << 16)

typedef struct job_answer {
    char *text, *errors; /* ANSWER_SIZE, ERRORS_SIZE */
    program_end end;
    char why[300];       /* of one that could not be had: its command's words */
} job_answer;

bool job_answer_make(job_answer *out); /* false: memory; to be freed all the same */
void job_answer_free(job_answer *a);

/* Runs the shell line with every IDS or NAME in it replaced. False: it could not be run, was ended before it ended, or said more than
 * there is room for; `why` tells. What it said until then is there. */
bool job_ask(job_answer *out, const char *line, const char *value, const asking *how);

/* The first line of a text that says something. */
void first_words(char *out, size_t size, const char *text);

/* Splits in place at any of `between`; runs of blanks count once. */
int job_split(char *line, char *fields[], int most, const char *between);

#endif
