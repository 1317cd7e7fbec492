/* SPDX-License-Identifier: MIT
 * What an engine knows of a run: numbered jobs with three stages, and slots to keep them in. No pixel, no format. */
#ifndef PEL_RUN_JOB_H
#define PEL_RUN_JOB_H

#include "pellucid.h"

#include <stdatomic.h>

typedef struct pel__jobs {
    void *run;
    /* The next job to do; false: none left. One thread. */
    bool (*next)(void *run, int64_t *job);
    /* Stages of a job, each called from one thread at a time, different stages from different threads at once:
     * read fills in-slot `in`; work goes from `in` to out-slot `out`; write empties `out` and records the job. */
    bool (*read)(void *run, int64_t job, int32_t in, pel_error *err);
    bool (*work)(void *run, int64_t job, int32_t in, int32_t out, pel_error *err);
    bool (*write)(void *run, int64_t job, int32_t out, pel_error *err);
    /* A stage failed: record it. False: give up the whole run with *err. Same thread as write. */
    bool (*failed)(void *run, int64_t job, const pel_error *why, pel_error *err);
    int32_t slots;     /* of each kind, 1 or 2 */
    bool in_is_out;    /* work hands the in-slot on: slot numbers are shared, a slot is free when its job is written */
    atomic_bool *stop; /* set: hand out nothing more; what is being worked may fail with PEL_INTERRUPTED */
} pel__jobs;

/* Called several times a second from the thread that runs the engine; false asks to stop. */
typedef bool pel__tick(void *arg);

#endif
