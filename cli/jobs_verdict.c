/* SPDX-License-Identifier: MIT
 * See jobs.h: which job of a scheduler did what, noted by the jobs themselves, and how each job ended, in the words of its scheduler:
 * accounting where there is one, else what it remembers. A verdict once heard is kept in OUT.run/verdicts.jsonl, for schedulers forget. */
#include "jobs_ask.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IDS_SIZE 16384

/* ---- which job is this? ------------------------------------------------------------------------------------------------------- */

static const char *variable(const char *name)
{
    const char *const text = getenv(name); // NOLINT(concurrency-mt-unsafe): no thread has begun
    return text && strcmp(text, "undefined") != 0 ? text : "";
}

/* A number of the job's own description, whose path HTCondor tells; -1: none. */
static long condor_number(const char *name)
{
    char line[256];
    long found = -1;
    const size_t n = strlen(name);
    FILE *const f = variable("_CONDOR_JOB_AD")[0] ? fopen(variable("_CONDOR_JOB_AD"), "re") : NULL;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, n) == 0 && strncmp(line + n, " = ", 3) == 0)
            found = strtol(line + n + 3, NULL, 10);
    if (f)
        (void)fclose(f);
    return found;
}

/* "slurm-12_3", as it is written in OUT.run/jobs; false: in no job. */
static bool own_job(char *out, size_t size)
{
    const char *const array = variable("SLURM_ARRAY_JOB_ID"), *const job = variable("SLURM_JOB_ID"), *const pbs = variable("PBS_JOBID");
    const char *const sge = variable("SGE_ROOT")[0] ? variable("JOB_ID") : "", *const task = variable("SGE_TASK_ID");
    const char *const lsf = variable("LSB_JOBID"), *const index = variable("LSB_JOBINDEX");
    const long cluster = condor_number("ClusterId");
    int n = 0;
    if (array[0])
        n = snprintf(out, size, "slurm-%s_%s", array, variable("SLURM_ARRAY_TASK_ID"));
    else if (job[0])
        n = snprintf(out, size, "slurm-%s", job);
    else if (pbs[0])
        n = snprintf(out, size, "pbs-%.*s", (int)strcspn(pbs, "."), pbs);
    else if (sge[0])
        n = snprintf(out, size, "sge-%s%s%s", sge, task[0] ? "." : "", task);
    else if (lsf[0])
        n = snprintf(out, size, index[0] && strcmp(index, "0") != 0 ? "lsf-%s[%s]" : "lsf-%s", lsf, index);
    else if (cluster >= 0)
        n = snprintf(out, size, "htcondor-%ld.%ld", cluster, condor_number("ProcId"));
    const char *const dash = n > 0 ? strchr(out, '-') : NULL;
    return dash && (size_t)n < size && isdigit((unsigned char)dash[1]) && out[strspn(out, "abcdefghijklmnopqrstuvwxyz0123456789-_.[]")] == '\0';
}

/* A file a job: only its own host writes it. */
void job_note_attempt(const char *output, const char *part, const char *blocks)
{
    char job[128], name[200], host[128] = "";
    struct timespec now = {0};
    if (!own_job(job, sizeof job))
        return;
    (void)snprintf(name, sizeof name, "jobs/%s.jsonl", job);
    FILE *const f = run_append(output, name, NULL);
    if (!f)
        return;
    (void)gethostname(host, sizeof host - 1);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)fprintf(f, "{\"at_us\": %" PRId64 ", \"host\": \"%s\", \"pid\": %ld, \"%s\": \"%s\"}\n", (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, host,
                  (long)getpid(), blocks ? "blocks" : "part", blocks ? blocks : part);
    (void)fclose(f);
}

/* "3/16", "3,7-9" */
static bool concerns(const char *part, const char *blocks, int64_t block)
{
    char *end = NULL;
    if (part[0]) {
        const long long k = strtoll(part, &end, 10), n = *end == '/' ? strtoll(end + 1, NULL, 10) : 0;
        return n > 0 && block % n == k - 1;
    }
    for (const char *p = blocks; *p; p = *end == ',' ? end + 1 : "") {
        const long long first = strtoll(p, &end, 10), last = *end == '-' ? strtoll(end + 1, &end, 10) : first;
        if (first <= block && block <= last)
            return true;
    }
    return false;
}

static void read_attempts(const char *path, const char *name, int64_t block, on_attempt *each, void *arg)
{
    char *line = NULL;
    size_t size = 0;
    char job[160];
    FILE *const f = fopen(path, "re");
    (void)snprintf(job, sizeof job, "%.*s", (int)(strlen(name) - strlen(".jsonl")), name);
    char *const dash = strchr(job, '-');
    while (f && dash && getline(&line, &size, f) > 0) {
        json_object *const o = json_tokener_parse(line);
        if (o && concerns(member_text(o, "part"), member_text(o, "blocks"), block)) {
            const job_attempt a = {.at_us = member_integer(o, "at_us"), .pid = member_integer(o, "pid"), .host = member_text(o, "host"), .job = dash + 1,
                                   .scheduler = job, .part = member_text(o, "part")};
            *dash = '\0';
            each(arg, &a);
            *dash = '-';
        }
        json_object_put(o);
    }
    free(line);
    if (f)
        (void)fclose(f);
}

void jobs_attempts(const char *output, int64_t block, on_attempt *each, void *arg)
{
    char folder[RUN_PATH], path[RUN_PATH + 300];
    DIR *const d = opendir(run_file(folder, output, "jobs"));
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        const size_t n = strlen(e->d_name);
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n > 6 && strcmp(e->d_name + n - 6, ".jsonl") == 0)
            read_attempts(path, e->d_name, block, each, arg);
    }
    if (d)
        (void)closedir(d);
}

/* ---- verdicts --------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    char scheduler[16], job[64], host[64], text[240];
    int64_t at;
    bool good;
} verdict;

typedef struct {
    verdict *list;
    int64_t count, size, known; /* those in the file */
    const char *scheduler;
    verdict now;                /* that is being read, where it takes several lines */
    char failed[120];
    long code;
} verdicts;

static const verdict *find(const verdicts *v, const char *of, const char *job)
{
    for (int64_t i = 0; i < v->count; i++)
        if (strcmp(v->list[i].scheduler, of) == 0 && strcmp(v->list[i].job, job) == 0)
            return &v->list[i];
    return NULL;
}

static void add(verdicts *v, const verdict *one)
{
    if (!one->job[0] || find(v, one->scheduler, one->job))
        return;
    if (v->count == v->size) {
        verdict *const p = realloc(v->list, (size_t)(v->size * 2 + 64) * sizeof *p);
        if (!p)
            return;
        v->list = p;
        v->size = v->size * 2 + 64;
    }
    v->list[v->count++] = *one;
}

/* "2026-11-23T18:22:27", "Mon Nov 23 18:10:33 2026"; local, as schedulers print it. */
static int64_t time_of(const char *text, const char *format)
{
    struct tm t = {.tm_isdst = -1};
    const char *const end = strptime(text, format, &t);
    return end ? (int64_t)mktime(&t) : (int64_t)time(NULL);
}

static void begin(verdicts *v)
{
    v->now = (verdict){.at = (int64_t)time(NULL)};
    (void)snprintf(v->now.scheduler, sizeof v->now.scheduler, "%s", v->scheduler);
    v->failed[0] = '\0';
    v->code = 0;
}

/* exit: "1:0", code and signal. */
static void add_slurm(verdicts *v, const char *state, const char *exit)
{
    if (job_class_of("slurm", state) != JOB_ENDED)
        return;
    char *end = NULL;
    const long code = strtol(exit, &end, 10), number = *end == ':' ? strtol(end + 1, NULL, 10) : 0;
    char killed[40] = "";
    if (number > 0)
        (void)snprintf(killed, sizeof killed, ", signal %ld", number);
    (void)snprintf(v->now.text, sizeof v->now.text, "%.60s, exit code %ld%s", state, code, killed);
    v->now.good = strncmp(state, "COMPLETED", 9) == 0;
    add(v, &v->now);
}

/* Value of NAME= in a line of scontrol. */
static void member_of(char *out, size_t size, const char *line, const char *name)
{
    const char *const at = strstr(line, name);
    const char *const value = at ? at + strlen(name) : "";
    (void)snprintf(out, size, "%.*s", (int)strcspn(value, " "), value);
}

/* sacct: 12_3|TIMEOUT|0:0|n7|2026-11-23T18:22:27; scontrol: JobId=12 … JobState=TIMEOUT … */
static void read_slurm(verdicts *v, char *line)
{
    char *f[5], id[32], array[24], task[24], state[32], code[24], when[40];
    if (!line)
        return;
    begin(v);
    if (strncmp(line, "JobId=", 6) != 0) {
        if (job_split(line, f, 5, "|") < 5)
            return;
        (void)snprintf(v->now.job, sizeof v->now.job, "%s", f[0]);
        (void)snprintf(v->now.host, sizeof v->now.host, "%s", f[3]);
        v->now.at = time_of(f[4], "%Y-%m-%dT%H:%M:%S");
        add_slurm(v, f[1], f[2]);
        return;
    }
    member_of(id, sizeof id, line, "JobId=");
    member_of(array, sizeof array, line, " ArrayJobId=");
    member_of(task, sizeof task, line, " ArrayTaskId=");
    member_of(state, sizeof state, line, " JobState=");
    member_of(code, sizeof code, line, " ExitCode=");
    member_of(when, sizeof when, line, " EndTime=");
    member_of(v->now.host, sizeof v->now.host, line, " NodeList=");
    (void)snprintf(v->now.job, sizeof v->now.job, array[0] ? "%s_%s" : "%s%s", array[0] ? array : id, task);
    v->now.at = time_of(when, "%Y-%m-%dT%H:%M:%S");
    add_slurm(v, state, code);
}

static void end_sge(verdicts *v)
{
    int n = snprintf(v->now.text, sizeof v->now.text, "exit code %ld", v->code);
    if (v->code > 128)
        n += snprintf(v->now.text + n, sizeof v->now.text - (size_t)n, ", signal %ld", v->code - 128);
    if (strcmp(v->failed, "0") != 0)
        (void)snprintf(v->now.text + n, sizeof v->now.text - (size_t)n, ", failed: %s", v->failed);
    v->now.good = v->code == 0 && strcmp(v->failed, "0") == 0;
    add(v, &v->now);
}

/* qacct -j: "name      value" lines, a line of = before each job. */
static void read_sge(verdicts *v, char *line)
{
    if (!line || line[0] == '=') {
        end_sge(v);
        begin(v);
    }
    if (!line)
        return;
    const size_t n = strcspn(line, " ");
    char *const value = line + n + strspn(line + n, " ");
    for (char *end = value + strlen(value); end > value && isspace((unsigned char)end[-1]); end--)
        end[-1] = '\0';
    const size_t used = strlen(v->now.job);
    if (strncmp(line, "jobnumber ", 10) == 0)
        (void)snprintf(v->now.job, sizeof v->now.job, "%s", value);
    else if (strncmp(line, "taskid ", 7) == 0 && strcmp(value, "undefined") != 0)
        (void)snprintf(v->now.job + used, sizeof v->now.job - used, ".%s", value);
    else if (strncmp(line, "hostname ", 9) == 0)
        (void)snprintf(v->now.host, sizeof v->now.host, "%s", value);
    else if (strncmp(line, "end_time ", 9) == 0)
        v->now.at = time_of(value, "%a %b %d %H:%M:%S %Y");
    else if (strncmp(line, "failed ", 7) == 0)
        (void)snprintf(v->failed, sizeof v->failed, "%s", value);
    else if (strncmp(line, "exit_status ", 12) == 0)
        v->code = strtol(value, NULL, 10);
}

static void end_pbs(verdicts *v)
{
    if (v->now.text[0]) { /* it has an exit status: it ended */
        const size_t n = strlen(v->now.text);
        if (v->failed[0])
            (void)snprintf(v->now.text + n, sizeof v->now.text - n, ": %s", v->failed);
        v->now.good = v->code == 0;
        add(v, &v->now);
    }
    begin(v);
}

/* qstat -x -t -f (OpenPBS), qstat -f of a job that is complete (Torque). Beyond 256 the status is that of a signal; negative
 * ones are the server's own, which its comment explains. */
static void read_pbs(verdicts *v, char *line)
{
    if (!line || strncmp(line, "Job Id:", 7) == 0)
        end_pbs(v);
    if (!line)
        return;
    const char *const value = strstr(line, " = "), *const name = line + strspn(line, " \t");
    if (strncmp(line, "Job Id:", 7) == 0) {
        const char *const id = line + 7 + strspn(line + 7, " \t");
        (void)snprintf(v->now.job, sizeof v->now.job, "%.*s", (int)strcspn(id, "."), id);
    } else if (value && strncasecmp(name, "exit_status ", 12) == 0) {
        v->code = strtol(value + 3, NULL, 10);
        const int n = snprintf(v->now.text, sizeof v->now.text, "exit code %ld", v->code);
        if (v->code > 256)
            (void)snprintf(v->now.text + n, sizeof v->now.text - (size_t)n, ", signal %ld", v->code - 256);
    } else if (value && strncmp(name, "exec_host ", 10) == 0) {
        (void)snprintf(v->now.host, sizeof v->now.host, "%.*s", (int)strcspn(value + 3, "/"), value + 3);
    } else if (value && strncmp(name, "comment ", 8) == 0) {
        (void)snprintf(v->failed, sizeof v->failed, "%s", value + 3);
    }
}

/* 12|3|EXIT|140|TERM_RUNLIMIT: job killed after reaching LSF run time limit|node7 */
static void read_lsf(verdicts *v, char *line)
{
    char *f[6] = {0};
    if (!line || job_split(line, f, 6, "|") < 6 || job_class_of("lsf", f[2]) != JOB_ENDED)
        return;
    begin(v);
    (void)snprintf(v->now.job, sizeof v->now.job, strcmp(f[1], "0") != 0 ? "%s[%s]" : "%s", f[0], f[1]);
    (void)snprintf(v->now.host, sizeof v->now.host, "%s", f[5]);
    v->now.good = strcmp(f[2], "DONE") == 0;
    (void)snprintf(v->now.text, sizeof v->now.text, "%s, exit code %s%s%s", f[2], v->now.good ? "0" : f[3], strcmp(f[4], "-") != 0 ? ", " : "",
                   strcmp(f[4], "-") != 0 ? f[4] : "");
    add(v, &v->now);
}

/* Tabs between: cluster, process, status, exit code, signal, why it was removed, where it ran last; undefined where there is nothing. */
static void read_condor(verdicts *v, char *line)
{
    char *f[7] = {0};
    if (!line || job_split(line, f, 7, "\t") < 7 || (f[2][0] != '3' && f[2][0] != '4'))
        return;
    begin(v);
    (void)snprintf(v->now.job, sizeof v->now.job, "%s.%s", f[0], f[1]);
    const char *const at = strchr(f[6], '@');
    (void)snprintf(v->now.host, sizeof v->now.host, "%s", at ? at + 1 : f[6]);
    const bool code = strcmp(f[3], "undefined") != 0, number = strcmp(f[4], "undefined") != 0;
    (void)snprintf(v->now.text, sizeof v->now.text, "%s%s%s%s%s%s%s", f[2][0] == '3' ? "removed" : "completed", code ? ", exit code " : "", code ? f[3] : "",
                   number ? ", signal " : "", number ? f[4] : "", strcmp(f[5], "undefined") != 0 ? ": " : "", strcmp(f[5], "undefined") != 0 ? f[5] : "");
    v->now.good = f[2][0] == '4' && code && strcmp(f[3], "0") == 0;
    add(v, &v->now);
}

static const struct {
    const char *scheduler, *query;
    void (*read)(verdicts *v, char *line);
} schedulers[] = {
    {"slurm", "a=$(sacct -n -X -P -o JobID,State,ExitCode,NodeList,End -j $(echo IDS | tr ' ' ,) 2>/dev/null); if [ -n \"$a\" ]; then echo \"$a\"; else "
              "for j in IDS; do scontrol -o show job $j 2>/dev/null; done; fi", read_slurm},
    {"pbs", "for j in IDS; do qstat -x -t -f $j 2>/dev/null || qstat -x -f $j 2>/dev/null || qstat -f $j 2>/dev/null; done", read_pbs},
    {"sge", "for j in IDS; do qacct -j $j 2>/dev/null; done", read_sge},
    {"lsf", "bjobs -a -noheader -o 'jobid jobindex stat exit_code exit_reason exec_host delimiter=\"|\"' IDS 2>/dev/null", read_lsf},
    {"htcondor", "condor_history IDS -af:t ClusterId ProcId JobStatus ExitCode ExitSignal RemoveReason LastRemoteHost 2>/dev/null", read_condor},
};

/* ---- which jobs to ask for --------------------------------------------------------------------------------------------------------- */

/* One number, and for PBS the brackets of an array. Not those whose every job has its verdict. */
static void add_id(char ids[IDS_SIZE], const verdicts *v, const char *id, int64_t jobs)
{
    char base[40], padded[48];
    int64_t known = 0;
    const size_t n = strlen(ids), digits = strspn(id, "0123456789");
    const bool array = strcmp(v->scheduler, "pbs") == 0 && (jobs > 1 || id[digits] == '[');
    (void)snprintf(base, sizeof base, "%.*s%s", (int)digits, id, array ? "[]" : "");
    (void)snprintf(padded, sizeof padded, "%s ", base);
    for (int64_t i = 0; i < v->count; i++)
        known += strcmp(v->list[i].scheduler, v->scheduler) == 0 && strncmp(v->list[i].job, id, digits) == 0 && !isdigit((unsigned char)v->list[i].job[digits]);
    if (digits > 0 && digits < 24 && known < jobs && !strstr(ids, padded) && n + strlen(padded) < IDS_SIZE)
        (void)snprintf(ids + n, IDS_SIZE - n, "%s", padded);
}

static bool same_scheduler(const char *noted, const char *wanted)
{
    return strcmp(noted, wanted) == 0 || (strcmp(noted, "torque") == 0 && strcmp(wanted, "pbs") == 0);
}

static void gather_ids(char ids[IDS_SIZE], const verdicts *v, const char *output)
{
    char path[RUN_PATH], line[512];
    ids[0] = '\0';
    FILE *const f = run_read(output, "jobs.jsonl");
    while (f && fgets(line, sizeof line, f)) {
        json_object *const o = json_tokener_parse(line);
        if (o && same_scheduler(member_text(o, "scheduler"), v->scheduler))
            add_id(ids, v, member_text(o, "id"), member_integer(o, "jobs"));
        json_object_put(o);
    }
    if (f)
        (void)fclose(f);
    DIR *const d = opendir(run_file(path, output, "jobs"));
    const size_t n = strlen(v->scheduler);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        char job[80];
        const size_t all = strlen(e->d_name);
        if (all < n + 7 || all - n - 7 >= sizeof job || strncmp(e->d_name, v->scheduler, n) != 0 || e->d_name[n] != '-')
            continue;
        (void)snprintf(job, sizeof job, "%.*s", (int)(all - n - 7), e->d_name + n + 1);
        if (!find(v, v->scheduler, job))
            add_id(ids, v, job, INT64_MAX);
    }
    if (d)
        (void)closedir(d);
}

/* ---- the file of verdicts ------------------------------------------------------------------------------------------------------------ */

static void load(verdicts *v, const char *output)
{
    char line[1024];
    FILE *const f = run_read(output, "verdicts.jsonl");
    while (f && fgets(line, sizeof line, f)) {
        json_object *const o = json_tokener_parse(line);
        verdict one = {.at = o ? member_integer(o, "at") : 0, .good = o && member_integer(o, "good") != 0};
        (void)snprintf(one.scheduler, sizeof one.scheduler, "%s", o ? member_text(o, "scheduler") : "");
        (void)snprintf(one.job, sizeof one.job, "%s", o ? member_text(o, "job") : "");
        (void)snprintf(one.host, sizeof one.host, "%s", o ? member_text(o, "host") : "");
        (void)snprintf(one.text, sizeof one.text, "%s", o ? member_text(o, "text") : "");
        add(v, &one);
        json_object_put(o);
    }
    v->known = v->count;
    if (f)
        (void)fclose(f);
}

/* Whoever may not write there only hears them. */
static void save(const verdicts *v, const char *output)
{
    FILE *const f = v->count > v->known ? run_append(output, "verdicts.jsonl", NULL) : NULL;
    for (int64_t i = v->known; f && i < v->count; i++) {
        json_object *const o = json_object_new_object();
        json_object_object_add(o, "scheduler", json_object_new_string(v->list[i].scheduler));
        json_object_object_add(o, "job", json_object_new_string(v->list[i].job));
        json_object_object_add(o, "host", json_object_new_string(v->list[i].host));
        json_object_object_add(o, "text", json_object_new_string(v->list[i].text));
        json_object_object_add(o, "good", json_object_new_int(v->list[i].good));
        json_object_object_add(o, "at", json_object_new_int64(v->list[i].at));
        json_write(f, o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    }
    if (f)
        (void)fclose(f);
}

static void ask(verdicts *v, const char *output, const asking *how)
{
    job_answer a;
    char *const ids = malloc(IDS_SIZE);
    const bool ok = job_answer_make(&a) && ids;
    for (int i = 0; ok && i < COUNT(schedulers); i++) {
        v->scheduler = schedulers[i].scheduler;
        gather_ids(ids, v, output);
        if (!ids[0])
            continue;
        (void)job_ask(&a, schedulers[i].query, ids, how); /* what it said, it said */
        begin(v);
        for (char *line = a.text, *end = NULL; line && *line; line = end) {
            end = strchr(line, '\n');
            if (end)
                *end++ = '\0';
            schedulers[i].read(v, line);
        }
        schedulers[i].read(v, NULL);
    }
    job_answer_free(&a);
    free(ids);
}

void jobs_verdicts(const char *output, const asking *how, on_verdict *each, void *arg)
{
    verdicts v = {0};
    load(&v, output);
    ask(&v, output, how);
    save(&v, output);
    for (int64_t i = 0; each && i < v.count; i++) {
        const job_verdict one = {.scheduler = v.list[i].scheduler, .job = v.list[i].job, .host = v.list[i].host, .text = v.list[i].text,
                                 .at = v.list[i].at, .good = v.list[i].good};
        each(arg, &one);
    }
    free(v.list);
}
