/* SPDX-License-Identifier: MIT
 * The states of jobs in the words of each scheduler. One that is not in the table is alive: what we do not know, somebody may still pay for. */
#ifndef PELLUCID_CLI_JOB_STATES_H
#define PELLUCID_CLI_JOB_STATES_H

enum job_class {
    JOB_WAITS, /* will begin by itself, or is about to */
    JOB_RUNS,
    JOB_HELD,  /* alive and at rest: held, suspended, in error, elsewhere, on its way out, or in a state that is not known */
    JOB_ENDED,
};

enum job_class job_class_of(const char *scheduler, const char *state);

#endif
