/* SPDX-License-Identifier: MIT
 * What a process may take: memory and processors, by the least of the limits that the system sets it. */
#ifndef PEL_CORE_LIMITS_H
#define PEL_CORE_LIMITS_H

#include "pellucid.h"

/* The least of `known` (what the caller was told, zeros for nothing; NULL: nothing), the machine, the control groups (both
 * versions, each with all that it lies in), `ulimit -v` and `-d`, and the affinity of processors. Files are looked for below
 * `root`: "" is this system, tests have trees of their own. */
void pel__limits_find(pel_limits *out, const char *root, const pel_limits *known);

/* "the control group's 1.00 GiB" */
void pel__limits_text(char *out, size_t size, const pel_limits *l);

/* Memory to keep below: what was asked for (then `by` is ""), or for 0 half of the limits, which `by` names. */
int64_t pel__limits_memory(char by[PEL_LIMIT_TEXT], const pel_limits *l, int64_t asked_bytes);

/* A limit as a message says it; a number that was typed as schedulers count, in MiB or KiB, with how to write it. */
#define PEL__LIMIT_SAID 128
void pel__limits_say(char out[PEL__LIMIT_SAID], int64_t bytes);

#endif
