/* SPDX-License-Identifier: MIT
 * See jobs.h: which of the noted jobs wait or run, and why they wait, in the words of their scheduler. */
#include "jobs_ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_SIZE (1 << 20)
#define MOST_REASONS 64

typedef struct {
    const char *scheduler;
    bool only_workers;
    char ids[16384]; /* blank between them */
    int64_t count;
    job_counts *counts;
    on_job *each;
    void *arg;
    char id[64], state[16], reason[400]; /* of the job that is being read, where it takes several lines */
    struct {
        char id[24], text[200];
    } reasons[MOST_REASONS]; /* told apart from the list of jobs */
    int reason_count;
} query;

/* ---- the noted jobs --------------------------------------------------------------------------------------------------- */

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
    char path[RUN_PATH];
    char line[512];
    FILE *const f = fopen(run_file(path, output, "jobs.jsonl"), "re");
    while (f && fgets(line, sizeof line, f)) {
        json_object *const o = json_tokener_parse(line);
        if (o && strcmp(member_text(o, "scheduler"), q->scheduler) == 0 && (!q->only_workers || member_integer(o, "workers")))
            add_id(q, member_text(o, "id"), member_integer(o, "jobs"));
        json_object_put(o);
    }
    if (f)
        (void)fclose(f);
}

/* ---- what each scheduler says -------------------------------------------------------------------------------------------- */

static void found(query *q, const char *state, const char *reason, int64_t jobs)
{
    if (strcmp(state, "pending") == 0)
        q->counts->pending += jobs;
    else if (strcmp(state, "running") == 0)
        q->counts->running += jobs;
    else
        q->counts->other += jobs;
    if (q->each)
        q->each(q->arg, state, reason, jobs);
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
    if (line && job_split(line, f, 3, "|") == 3)
        found(q, one_of(f[1], " PENDING CONFIGURING REQUEUED ", " RUNNING COMPLETING "), f[2], 1);
}

static void read_lsf(query *q, char *line) /* 12|3|PEND|reason */
{
    char *f[4] = {0};
    if (line && job_split(line, f, 4, "|") >= 3 && strcmp(f[2], "DONE") != 0 && strcmp(f[2], "EXIT") != 0)
        found(q, one_of(f[2], " PEND ", " RUN "), f[3] && strcmp(f[3], "-") != 0 ? f[3] : "", 1);
}

/* Tabs between: 12, 0, 5, why it is held, why no machine took it; undefined where there is nothing to say. */
static void read_condor(query *q, char *line)
{
    char *f[5] = {0};
    if (!line || job_split(line, f, 5, "\t") < 3 || f[0][strspn(f[0], "0123456789")] != '\0')
        return;
    const char *const state = f[2][0] == '1' ? "pending" : f[2][0] == '2' || f[2][0] == '6' ? "running" : f[2][0] == '5' ? "held" : "";
    const char *const why = f[2][0] == '5' ? f[3] : f[2][0] == '1' ? f[4] : NULL;
    if (state[0])
        found(q, state, why && strcmp(why, "undefined") != 0 ? why : "", 1);
}

/* A job that was read to its end. 12[].head is the array as a whole, whose jobs are told, too. */
static void end_pbs(query *q)
{
    const char *const state = one_of(q->state, " Q W T ", " R E ");
    if (q->id[0] && !strstr(q->id, "[]") && !strchr("CFXM", q->state[0]))
        found(q, strcmp(state, "H") == 0 ? "held" : state, q->reason, 1);
    q->id[0] = q->state[0] = q->reason[0] = '\0';
}

/* "Job Id: 12[1].head", then "    name = value", long values going on behind a tab. */
static void read_pbs(query *q, char *line)
{
    static const char job[] = "Job Id:";
    char name[64];
    if (!line || strncmp(line, job, sizeof job - 1) == 0)
        end_pbs(q);
    if (!line)
        return;
    const char *value = strstr(line, " = ");
    if (strncmp(line, job, sizeof job - 1) == 0) {
        value = line + sizeof job - 1;
        (void)snprintf(q->id, sizeof q->id, "%s", value + strspn(value, " \t"));
    } else if (value) {
        const char *const first = line + strspn(line, " \t");
        (void)snprintf(name, sizeof name, "%.*s", (int)(value - first), first);
        value += 3;
        if (strcmp(name, "job_state") == 0)
            (void)snprintf(q->state, sizeof q->state, "%s", value);
        if (strcmp(name, "comment") == 0)
            (void)snprintf(q->reason, sizeof q->reason, "%s", value);
    }
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

static const char *told_reason(const query *q, const char *id)
{
    for (int i = 0; i < q->reason_count; i++)
        if (strcmp(q->reasons[i].id, id) == 0)
            return q->reasons[i].text;
    return "";
}

/* Of `qstat -j`: "job_number: 12", then perhaps "error reason 1: …" or "scheduling info: …"; the first reason counts. */
static void read_sge_reason(query *q, char *line)
{
    const char *const colon = strchr(line, ':');
    const char *const text = colon ? colon + 1 + strspn(colon + 1, " ") : "";
    if (strncmp(line, "job_number:", 11) == 0)
        (void)snprintf(q->id, sizeof q->id, "%s", text);
    const bool reason = strncmp(line, "error reason", 12) == 0 || strncmp(line, "scheduling info:", 16) == 0;
    if (!reason || !q->id[0] || q->reason_count == MOST_REASONS || told_reason(q, q->id)[0])
        return;
    (void)snprintf(q->reasons[q->reason_count].id, sizeof q->reasons[0].id, "%.23s", q->id);
    (void)snprintf(q->reasons[q->reason_count++].text, sizeof q->reasons[0].text, "%.199s", text);
}

/* 12 0.55500 name user qw 11/23/2026 16:00:00 [queue] slots [tasks] */
static void read_sge(query *q, char *line)
{
    char *f[12], padded[40], list[16400];
    if (!line)
        return;
    if (!strchr(" 0123456789", line[0])) {
        read_sge_reason(q, line);
        return;
    }
    const int n = job_split(line, f, 12, " \t");
    if (n < 8)
        return;
    (void)snprintf(padded, sizeof padded, ",%.30s,", f[0]);
    (void)snprintf(list, sizeof list, ",%s,", q->ids);
    if (!strstr(list, padded))
        return;
    const bool waits = strstr(f[4], "qw") != NULL, running = strchr(f[4], 'r') || strchr(f[4], 't');
    const char *const tasks = waits && n > 8 ? f[8] : "";
    const char *const state = strchr(f[4], 'E') ? "error" : strchr(f[4], 'h') ? "held" : waits ? "pending" : running ? "running" : f[4];
    found(q, state, told_reason(q, f[0]), tasks_in(tasks));
}

/* IDS: the numbers, blank or comma between them. read: a line of the answer, NULL at its end. */
static const struct {
    const char *scheduler, *query, *cancel;
    void (*read)(query *q, char *line);
    bool commas;
} schedulers[] = {
    {"slurm", "exec squeue -h -r -o '%i|%T|%r' -j IDS", "exec scancel IDS", read_slurm, true},
    {"pbs", "exec qstat -t -f IDS", "exec qdel IDS", read_pbs, false},
    {"torque", "qstat -t -f IDS 2>/dev/null || exec qstat -f $(echo 'IDS' | tr -d '[]')", "exec qdel IDS", read_pbs, false}, /* Slurm's has no -t */
    {"sge", "qstat -j IDS 2>/dev/null; exec qstat", "exec qdel IDS", read_sge, true},
    {"lsf", "exec bjobs -noheader -o 'jobid jobindex stat pend_reason delimiter=\"|\"' IDS", "exec bkill IDS", read_lsf, false},
    {"htcondor", "exec condor_q IDS -af:t ClusterId ProcId JobStatus HoldReason LastRejMatchReason", "exec condor_rm IDS", read_condor, false},
};

static void join_with_commas(char *ids)
{
    for (; *ids; ids++)
        if (*ids == ' ')
            *ids = ',';
}

/* What the answer is about can be read though it ends with an error: jobs that ended long ago are not known any more. */
static void read_answer(query *q, char *answer, void (*read)(query *q, char *line))
{
    for (char *line = answer, *end = NULL; line && *line; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        read(q, line);
    }
    read(q, NULL);
}

bool jobs_query(const char *output, bool only_workers, job_counts *out, on_job *each, void *arg)
{
    char *const answer = malloc(ANSWER_SIZE);
    query *const q = malloc(sizeof *q);
    bool ok = answer && q;
    *out = (job_counts){0};
    for (int i = 0; ok && i < COUNT(schedulers); i++) {
        *q = (query){.scheduler = schedulers[i].scheduler, .only_workers = only_workers, .counts = out, .each = each, .arg = arg};
        read_jobs(q, output);
        if (q->count == 0)
            continue;
        if (schedulers[i].commas)
            join_with_commas(q->ids);
        const int status = job_ask(answer, ANSWER_SIZE, schedulers[i].query, q->ids);
        if (status < 0 || status == 127)
            ok = false;
        else
            read_answer(q, answer, schedulers[i].read);
    }
    free(answer);
    free(q);
    return ok;
}

void jobs_cancel(const char *output)
{
    char *const answer = malloc(ANSWER_SIZE);
    query *const q = malloc(sizeof *q);
    for (int i = 0; answer && q && i < COUNT(schedulers); i++) {
        *q = (query){.scheduler = schedulers[i].scheduler, .only_workers = true};
        read_jobs(q, output);
        if (q->count > 0)
            (void)job_ask(answer, ANSWER_SIZE, schedulers[i].cancel, q->ids);
    }
    free(answer);
    free(q);
}
