/* SPDX-License-Identifier: MIT
 * Who made a file: a process, told apart from every other one of any host, container or time, and whether it still lives. */
#ifndef PEL_CORE_OWNER_H
#define PEL_CORE_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pel__owner {
    char host[64];  /* letters, digits, '.', '_' and '-' only */
    char boot[40];  /* of the kernel, since it was started; "": not known */
    char token[17]; /* 16 hexadecimal digits by chance */
    int64_t pid, space, start; /* in which PID namespace; when the process began, in ticks since boot; 0: not known */
} pel__owner;

void pel__owner_self(pel__owner *out); /* the same of each call of a process */

/* "host=n7 pid=4711 boot=… space=… start=… token=…", as it is kept in files, which may hold anything. */
void pel__owner_text(const pel__owner *o, char *text, size_t size);
bool pel__owner_parse(pel__owner *out, const char *text);

/* "<host>-<pid>-<token>" of this process: part of every name that no other process may use. */
void pel__owner_tag(char *out, size_t size);
#define PEL__TAG_MAX 112

void pel__random_token(char out[17]);
bool pel__is_token(const char *text, size_t n);

/* FAR: of another kernel or PID namespace, or hidden: only its signs of life can tell. */
enum pel__life { PEL__DEAD, PEL__ALIVE, PEL__FAR };
enum pel__life pel__owner_life(const pel__owner *o);
bool pel__process_runs(int64_t pid); /* of this PID namespace; one that nobody has waited for does not run */

#endif
