/* SPDX-License-Identifier: MIT
 * See limits.h. What schedulers say of a job on this host, where it is well defined:
 *
 *     Slurm         SLURM_MEM_PER_NODE in MiB, or SLURM_MEM_PER_CPU times the processors; SLURM_CPUS_PER_TASK, where tasks were
 *                   given a number, else SLURM_CPUS_ON_NODE. 0 MiB: all that the node has
 *     PBS, Torque   NCPUS, PBS_NUM_PPN
 *     LSF           LSB_MCPU_HOSTS, "host slots", of a job on one host
 *     Grid Engine   NSLOTS, of a job on one host (NHOSTS)
 *
 * Their limits of memory, where there are others, are control groups or ulimit -v, which the library sees. */
#include "limits.h"

#include "options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((int64_t)1 << 20)

/* 0 where there is none, or no number. */
static int64_t number_of(const char *name)
{
    const char *const text = getenv(name);
    const char *why = NULL;
    int64_t n = 0;
    return text && parse_integer(text, &n, &why) && n > 0 && n < INT64_MAX / (MIB * 4096) ? n : 0;
}

static bool take_threads(pel_limits *l, const char *name)
{
    const int64_t n = number_of(name);
    if (n <= 0 || n > INT32_MAX)
        return false;
    l->threads = (int32_t)n;
    (void)snprintf(l->threads_by, sizeof l->threads_by, "%s", name);
    return true;
}

static void take_memory(pel_limits *l, int64_t mib, const char *name)
{
    l->memory_bytes = mib * MIB;
    (void)snprintf(l->memory_by, sizeof l->memory_by, "%s", name);
}

static void ask_slurm(pel_limits *l)
{
    const int64_t on_node = number_of("SLURM_CPUS_ON_NODE"), per_task = number_of("SLURM_CPUS_PER_TASK");
    const int64_t processors = on_node > 0 ? on_node : per_task > 0 ? per_task : 1;
    const int64_t node = number_of("SLURM_MEM_PER_NODE"), processor = number_of("SLURM_MEM_PER_CPU");
    if (node > 0)
        take_memory(l, node, "SLURM_MEM_PER_NODE");
    else if (processor > 0 && processors <= 4096)
        take_memory(l, processor * processors, "SLURM_MEM_PER_CPU");
    if (!take_threads(l, "SLURM_CPUS_PER_TASK"))
        (void)take_threads(l, "SLURM_CPUS_ON_NODE");
}

/* "host slots": a job on one host, or nothing. */
static void ask_lsf(pel_limits *l)
{
    const char *const text = getenv("LSB_MCPU_HOSTS");
    char host[256];
    int32_t slots = 0;
    int end = 0;
    if (!text || sscanf(text, "%255s %" SCNd32 " %n", host, &slots, &end) != 2 || text[end] != '\0' || slots < 1)
        return;
    l->threads = slots;
    (void)snprintf(l->threads_by, sizeof l->threads_by, "LSB_MCPU_HOSTS");
}

pel_limits limits_here(void)
{
    pel_limits known = {0}, here;
    if (getenv("SLURM_JOB_ID"))
        ask_slurm(&known);
    else if (getenv("PBS_JOBID") && !take_threads(&known, "PBS_NUM_PPN"))
        (void)take_threads(&known, "NCPUS");
    else if (getenv("LSB_JOBID"))
        ask_lsf(&known);
    else if (getenv("JOB_ID") && number_of("NHOSTS") <= 1)
        (void)take_threads(&known, "NSLOTS");
    pel_limits_find(&here, &known);
    return here;
}

void limits_warn(const verb *self, const pel_limits *here, int64_t memory, bool within)
{
    char a[32], b[32];
    if (memory > here->memory_bytes && here->memory_bytes > 0)
        say(self, "--memory %s is more than %s's %s: %s", text_bytes(a, sizeof a, (double)memory), here->memory_by,
            text_bytes(b, sizeof b, (double)here->memory_bytes),
            within ? "that is all it takes" : "the system may kill this process when it takes more");
}

const char *limits_text_threads(char *out, size_t size, const pel_plan_summary *s)
{
    const bool bound = s->threads_by[0] && strcmp(s->threads_by, "the machine") != 0;
    (void)snprintf(out, size, "%" PRId32 " thread%s%s%s", s->threads, s->threads == 1 ? "" : "s", bound ? " by " : "", bound ? s->threads_by : "");
    return out;
}
