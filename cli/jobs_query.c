/* SPDX-License-Identifier: MIT
 * See jobs.h: which of the noted jobs wait or run, and why they wait, in the words of their scheduler. */
#include "jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_SIZE (1 << 20)

typedef struct {
    const char *scheduler;
    bool only_workers;
    char ids[16384]; /* blank between them */
    int64_t count;
    job_counts *counts;
    on_job *each;
    void *arg;
} query;

/* ---- the noted jobs --------------------------------------------------------------------------------------------------- */

static const char *text_of(json_object *o, const char *name)
{
    json_object *v = NULL;
    const char *const text = json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;
    return text ? text : "";
}

static int64_t number_of(json_object *o, const char *name)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, name, &v) ? json_object_get_int64(v) : 0;
}

/* PBS calls an array 12[]. */
static void add_id(query *q, const char *id, int64_t jobs)
{
    const size_t n = strlen(q->ids);
    const bool array = jobs > 1 && (strcmp(q->scheduler, "pbs") == 0 || strcmp(q->scheduler, "torque") == 0);
    if (id[0] == '\0' || id[strspn(id, "0123456789")] != '\0' || n + strlen(id) + 4 > sizeof q->ids)
        return;
    (void)snprintf(q->ids + n, sizeof q->ids - n, "%s%s%s", n ? " " : "", id, array ? "[]" : "");
    q->count++;
}

static void read_jobs(query *q, const char *output)
{
    char path[4200];
    char line[512];
    (void)snprintf(path, sizeof path, "%s.run/jobs.jsonl", output);
    FILE *const f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        json_object *const o = json_tokener_parse(line);
        if (o && strcmp(text_of(o, "scheduler"), q->scheduler) == 0 && (!q->only_workers || number_of(o, "workers")))
            add_id(q, text_of(o, "id"), number_of(o, "jobs"));
        json_object_put(o);
    }
    if (f)
        (void)fclose(f);
}

/* ---- what each scheduler says -------------------------------------------------------------------------------------------- */

static void found(query *q, const char *id, const char *state, const char *reason, int64_t jobs)
{
    if (strcmp(state, "pending") == 0)
        q->counts->pending += jobs;
    else if (strcmp(state, "running") == 0)
        q->counts->running += jobs;
    else
        q->counts->other += jobs;
    if (q->each)
        q->each(q->arg, id, state, reason);
}

/* Splits in place at any of `between`; runs of blanks count once. */
static int split(char *line, char *fields[], int most, const char *between)
{
    int n = 0;
    const bool blanks = between[0] == ' ';
    for (char *p = line + (blanks ? strspn(line, between) : 0); *p && n < most;) {
        fields[n++] = p;
        p += strcspn(p, between);
        if (*p)
            *p++ = '\0';
        if (blanks)
            p += strspn(p, between);
    }
    return n;
}

static const char *one_of(const char *state, const char *pending, const char *running)
{
    char padded[40];
    (void)snprintf(padded, sizeof padded, " %.30s ", state);
    return strstr(pending, padded) ? "pending" : strstr(running, padded) ? "running" : state;
}

static void read_slurm(query *q, char *line) /* 12_3|PENDING|Resources */
{
    char *f[3];
    if (split(line, f, 3, "|") == 3)
        found(q, f[0], one_of(f[1], " PENDING CONFIGURING REQUEUED ", " RUNNING COMPLETING "), f[2], 1);
}

static void read_lsf(query *q, char *line) /* 12|3|PEND|reason */
{
    char *f[4] = {0};
    if (split(line, f, 4, "|") >= 3 && strcmp(f[2], "DONE") != 0 && strcmp(f[2], "EXIT") != 0)
        found(q, f[0], one_of(f[2], " PEND ", " RUN "), f[3] ? f[3] : "", 1);
}

static void read_condor(query *q, char *line) /* 12 1 reason */
{
    char *f[3] = {0};
    const int n = split(line, f, 2, " ");
    if (n == 2 && strchr("125", f[1][0]))
        found(q, f[0], f[1][0] == '1' ? "pending" : f[1][0] == '2' ? "running" : "held", f[1] + 2, 1);
}

/* 12[3].head name user 00:00:00 R queue */
static void read_pbs(query *q, char *line)
{
    char *f[8];
    if (split(line, f, 8, " \t") == 6 && f[0][strspn(f[0], "0123456789")] && !strstr(f[0], "[]"))
        found(q, f[0], one_of(f[4], " Q W H T ", " R E "), f[4][0] == 'H' ? "held" : "", 1);
}

/* "1-7:1", "2,4": how many tasks still wait */
static int64_t tasks_in(const char *text)
{
    int64_t n = 0;
    for (const char *p = text; *p;) {
        char *end = NULL;
        const long long first = strtoll(p, &end, 10);
        long long last = first, step = 1;
        if (end == p)
            break;
        if (*end == '-')
            last = strtoll(end + 1, &end, 10);
        if (*end == ':')
            step = strtoll(end + 1, &end, 10);
        n += step > 0 && last >= first ? (last - first) / step + 1 : 1;
        p = *end == ',' ? end + 1 : "";
    }
    return n > 0 ? n : 1;
}

/* 12 0.55500 name user qw 11/23/2026 16:00:00 [queue] slots [tasks] */
static void read_sge(query *q, char *line)
{
    char *f[12], padded[40], list[16400];
    const int n = split(line, f, 12, " \t");
    if (n < 8)
        return;
    (void)snprintf(padded, sizeof padded, " %.30s ", f[0]);
    (void)snprintf(list, sizeof list, " %s ", q->ids);
    if (!strstr(list, padded))
        return;
    const bool waits = strstr(f[4], "qw") != NULL;
    const char *const tasks = waits && n > 8 ? f[8] : "";
    const char *const state = strchr(f[4], 'E') ? "error" : strchr(f[4], 'h') ? "held" : waits ? "pending" : strchr(f[4], 'r') || strchr(f[4], 't') ? "running" : f[4];
    found(q, f[0], state, strchr(f[4], 'E') ? "see qstat -explain E" : "", tasks_in(tasks));
}

/* %s: the numbers, blank or comma between them. */
static const struct {
    const char *scheduler, *query, *cancel;
    void (*read)(query *q, char *line);
    bool commas;
} schedulers[] = {
    {"slurm", "exec squeue -h -r -o '%%i|%%T|%%r' -j %s", "exec scancel %s", read_slurm, true},
    {"pbs", "exec qstat -t %s", "exec qdel %s", read_pbs, false},
    {"torque", "exec qstat -t %s", "exec qdel %s", read_pbs, false},
    {"sge", "qstat; : %s", "exec qdel %s", read_sge, false},
    {"lsf", "exec bjobs -noheader -o 'jobid jobindex stat pend_reason delimiter=\"|\"' %s", "exec bkill %s", read_lsf, false},
    {"htcondor", "exec condor_q %s -af ClusterId JobStatus HoldReason", "exec condor_rm %s", read_condor, false},
};

static int ask(char *answer, size_t size, const char *format, const char *ids)
{
    char line[17000];
    pel_error err = {0};
    const char *const percent = strstr(format, "%s");
    int n = 0;
    for (const char *p = format; p < percent && n < (int)sizeof line - 2; p += *p == '%' ? 2 : 1)
        line[n++] = *p;
    (void)snprintf(line + n, sizeof line - (size_t)n, "%s%s", ids, percent + 2);
    const char *const words[] = {"/bin/sh", "-c", line, NULL};
    return run_program(answer, size, words, &err);
}

static void join_with_commas(char *ids)
{
    for (; *ids; ids++)
        if (*ids == ' ')
            *ids = ',';
}

bool jobs_query(const char *output, bool only_workers, job_counts *out, on_job *each, void *arg)
{
    char *const answer = malloc(ANSWER_SIZE);
    bool ok = answer != NULL;
    *out = (job_counts){0};
    for (int i = 0; ok && i < COUNT(schedulers); i++) {
        query q = {.scheduler = schedulers[i].scheduler, .only_workers = only_workers, .counts = out, .each = each, .arg = arg};
        read_jobs(&q, output);
        if (q.count == 0)
            continue;
        if (schedulers[i].commas)
            join_with_commas(q.ids);
        const int status = ask(answer, ANSWER_SIZE, schedulers[i].query, q.ids);
        if (status < 0 || status == 127)
            ok = false;
        if (status != 0) /* jobs that ended long ago are not known any more */
            continue;
        for (char *line = answer, *end = NULL; line && *line; line = end) {
            end = strchr(line, '\n');
            if (end)
                *end++ = '\0';
            schedulers[i].read(&q, line);
        }
    }
    free(answer);
    return ok;
}

void jobs_cancel(const char *output)
{
    char *const answer = malloc(ANSWER_SIZE);
    for (int i = 0; answer && i < COUNT(schedulers); i++) {
        query q = {.scheduler = schedulers[i].scheduler, .only_workers = true};
        read_jobs(&q, output);
        if (q.count > 0)
            (void)ask(answer, ANSWER_SIZE, schedulers[i].cancel, q.ids);
    }
    free(answer);
}
