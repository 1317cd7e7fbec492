/* SPDX-License-Identifier: MIT
 * How a text that users chose (a path, a queue's name) is written where a shell or a scheduler reads it: one rule each. */
#ifndef PELLUCID_CLI_QUOTE_H
#define PELLUCID_CLI_QUOTE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct quoting {
    /* tail: what we add behind the text, within the same word ("/slurm-%j.out"); path: patterns of file names count. */
    void (*print)(FILE *to, const char *text, const char *tail, bool path);
    /* What of the text cannot be said in any spelling ("a quote"); NULL: print says it. */
    const char *(*refuse)(const char *text, bool path);
} quoting;

extern const quoting quote_slurm, quote_pbs, quote_torque, quote_sge, quote_lsf, quote_condor;

void quote_shell(FILE *to, const char *word);
void quote_condor_argument(FILE *to, const char *word); /* within arguments = "…" */

/* Nothing that any shell takes for something else. */
bool quote_is_plain(const char *text);

/* NULL: there is none in the text. No rule says them everywhere, and no name needs them. */
const char *quote_control(const char *text);

#endif
