/* SPDX-License-Identifier: MIT
 * See job_states.h. Sources: squeue(1) "JOB STATE CODES" (Slurm 24), qstat(1B) of PBS Professional 2022 and of Torque 6, qstat(1) of Grid
 * Engine 8, bjobs of LSF 10, condor_q of HTCondor 23. */
#include "job_states.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Words with a blank on either side. What stands in none is held. */
static const struct {
    const char *scheduler, *waits, *runs, *held, *ended;
} tables[] = {
    {"slurm", " PENDING CONFIGURING POWER_UP_NODE REQUEUED REQUEUE_FED STAGE_IN ", " RUNNING COMPLETING SIGNALING STAGE_OUT RESIZING UPDATE_DB EXPEDITING ",
     " SUSPENDED STOPPED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT REVOKED LAUNCH_FAILED RECONFIG_FAIL ",
     " COMPLETED CANCELLED FAILED TIMEOUT NODE_FAIL PREEMPTED BOOT_FAIL DEADLINE OUT_OF_MEMORY "},
    {"pbs", " Q W T ", " R E B ", " H S U M ", " F X "},    /* M: moved to another server, and alive there */
    {"torque", " Q W T ", " R E ", " H S ", " C "},
    {"lsf", " PEND WAIT PROV FWD_PEND ", " RUN ", " PSUSP USUSP SSUSP UNKWN ZOMBI ", " DONE EXIT POST_DONE POST_ERR "},
    {"htcondor", " 1 ", " 2 6 ", " 5 7 3 ", " 4 "},         /* 3: removed, and in the queue until its host has heard of it */
};

/* Letters of which several stand together: "hqw", "Eqw", "dr", "Rr". */
static enum job_class class_of_letters(const char *state)
{
    if (strchr(state, 'z'))
        return JOB_ENDED;
    if (strpbrk(state, "EhsSTd"))
        return JOB_HELD;
    return strstr(state, "qw") ? JOB_WAITS : strpbrk(state, "rtR") ? JOB_RUNS : JOB_HELD;
}

enum job_class job_class_of(const char *scheduler, const char *state)
{
    char padded[40];
    if (strcmp(scheduler, "sge") == 0)
        return class_of_letters(state);
    (void)snprintf(padded, sizeof padded, " %.*s ", (int)(strcspn(state, " +") < 36 ? strcspn(state, " +") : 36), state); /* CANCELLED+, CANCELLED by 1001 */
    for (size_t i = 0; state[0] && i < sizeof tables / sizeof tables[0]; i++) {
        if (strcmp(tables[i].scheduler, scheduler) != 0)
            continue;
        return strstr(tables[i].waits, padded) ? JOB_WAITS : strstr(tables[i].runs, padded) ? JOB_RUNS : strstr(tables[i].ended, padded) ? JOB_ENDED : JOB_HELD;
    }
    return JOB_HELD;
}
