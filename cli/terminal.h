/* SPDX-License-Identifier: MIT
 * What goes to standard output and standard error: names come out of files that others wrote, and a terminal obeys some of their
 * bytes. */
#ifndef PELLUCID_TERMINAL_H
#define PELLUCID_TERMINAL_H

#include <stdio.h>

/* From now on stdout and stderr show control characters and marks that turn the direction of text as text, \u001b for escape, which is right in JSON, too; line ends and tabs
 * pass. Once, before anything is printed. */
void terminal_guard(void);

/* A sequence of ours to the terminal: to rewrite a line. */
void terminal_send(FILE *to, const char *sequence);

#endif
