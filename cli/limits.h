/* SPDX-License-Identifier: MIT
 * What a verb may take: the limits of the system with those that the scheduler of this job writes into the environment. */
#ifndef PELLUCID_LIMITS_H
#define PELLUCID_LIMITS_H

#include "cli.h"

pel_limits limits_here(void);

/* Says when --memory SIZE is more than this process may have; `within`: it will not be used beyond that. */
void limits_warn(const verb *self, const pel_limits *here, int64_t memory, bool within);

/* "…, threads" in words, with what bounds them. */
const char *limits_text_threads(char *out, size_t size, const pel_plan_summary *s);

#define MEMORY_HELP "resident memory stays below it (default: half of what machine, control group, scheduler and ulimit -v allow)"
#define MEMORY_OPTION(m) {OPTION_SIZE, "memory", "SIZE", MEMORY_HELP, &(m), 0, 0}
#define THREADS_HELP "default: as many as affinity, control group and scheduler allow"

#endif
