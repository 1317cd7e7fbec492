/* SPDX-License-Identifier: MIT
 * What `status` tells of a run that is spread: the manager and its workers, jobs as their scheduler sees them, and what
 * befell one block or all that failed. */
#include "cluster_status.h"

#include "jobs.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRESH_SECONDS 60 /* a manager writes its file every second; clocks of hosts differ */

static json_object *member(json_object *o, const char *name)
{
    json_object *v = NULL;
    return o && json_object_object_get_ex(o, name, &v) ? v : NULL;
}

/* ---- the manager and the jobs --------------------------------------------------------------------------------------- */

/* NULL: no manager is at work. */
static json_object *load_manager(const char *output, bool *alive)
{
    json_object *const o = run_document(output, "manager.json");
    const char *const state = member_text(o, "state");
    *alive = (strcmp(state, "running") == 0 || strcmp(state, "draining") == 0 || strcmp(state, "finishing") == 0) && (int64_t)time(NULL) - member_integer(o, "at") < FRESH_SECONDS;
    return o;
}

typedef struct {
    char reason[8][200]; /* the first few different ones */
    int64_t count[8];
    int reasons;
} reasons;

static void note_reason(void *arg, const job_seen *job)
{
    reasons *r = arg;
    if (job->kind == JOB_RUNS || !job->reason[0] || strcmp(job->reason, "None") == 0)
        return;
    int k = 0;
    while (k < r->reasons && strcmp(r->reason[k], job->reason) != 0)
        k++;
    if (k == COUNT(r->reason))
        return;
    if (k == r->reasons)
        (void)snprintf(r->reason[r->reasons++], sizeof r->reason[0], "%s", job->reason);
    r->count[k]++;
}

static bool were_submitted(const char *output)
{
    FILE *const f = run_read(output, "jobs.jsonl");
    if (f)
        (void)fclose(f);
    return f != NULL;
}

/* NULL where it is no list: json-c stops the program that asks for the length of something else. */
static json_object *member_list(json_object *o, const char *name)
{
    json_object *const list = member(o, name);
    return json_object_is_type(list, json_type_array) ? list : NULL;
}

static void print_given_up(json_object *manager)
{
    json_object *const hosts = member_list(manager, "hosts_avoided"), *const blocks = member_list(manager, "given_up");
    for (size_t i = 0; hosts && i < json_object_array_length(hosts); i++) {
        const char *const host = json_object_get_string(json_object_array_get_idx(hosts, i));
        (void)printf("  avoided   host %s: one block after the other failed there, and none was done since\n", host ? host : "");
    }
    for (size_t i = 0; blocks && i < json_object_array_length(blocks) && i < 20; i++) {
        json_object *const b = json_object_array_get_idx(blocks, i);
        (void)printf("  given up  block %" PRId64 " after %" PRId64 " failures, the last on %s: ", member_integer(b, "block"), member_integer(b, "failures"),
                     member_text(b, "host"));
        (void)put_one_line(stdout, member_text(b, "error"));
        (void)putchar('\n');
    }
}

void cluster_status_print(const char *output)
{
    bool alive = false;
    char a[32];
    json_object *const m = load_manager(output, &alive);
    if (alive)
        (void)printf("  manager   %s, port %" PRId64 "%s: %" PRId64 " workers connected, %" PRId64 " tasks running, %s a block\n", member_text(m, "host"),
                     member_integer(m, "port"), json_object_get_boolean(member(m, "tls")) ? " (TLS)" : "", member_integer(m, "workers"), member_integer(m, "tasks_running"),
                     text_duration(a, sizeof a, json_object_get_double(member(m, "seconds_per_block"))));
    print_given_up(m);
    json_object_put(m);
    job_counts n = {0};
    reasons r = {0};
    char why[300];
    if (!were_submitted(output))
        return;
    if (!jobs_query(output, &n, note_reason, &r, why, sizeof why)) {
        (void)printf("  jobs      their scheduler cannot be asked from here, or does not answer: %s\n", why);
        return;
    }
    (void)printf("  jobs      %" PRId64 " pending, %" PRId64 " running, %" PRId64 " held or in error", n.pending, n.running, n.other);
    for (int i = 0; i < r.reasons; i++)
        (void)printf("%s%" PRId64 " %s", i ? ", " : " (", r.count[i], r.reason[i]);
    (void)puts(r.reasons ? ")" : "");
}

void cluster_status_json(json_object *o, const char *output)
{
    bool alive = false;
    json_object *const m = load_manager(output, &alive);
    if (m)
        json_object_object_add(m, "alive", json_object_new_boolean(alive));
    json_object_object_add(o, "manager", m);
    job_counts n = {0};
    reasons r = {0};
    char reason[300];
    if (!were_submitted(output) || !jobs_query(output, &n, note_reason, &r, reason, sizeof reason))
        return;
    json_object *const jobs = json_object_new_object(), *const why = json_object_new_object();
    json_object_object_add(jobs, "pending", json_object_new_int64(n.pending));
    json_object_object_add(jobs, "running", json_object_new_int64(n.running));
    json_object_object_add(jobs, "other", json_object_new_int64(n.other));
    for (int i = 0; i < r.reasons; i++)
        json_object_object_add(why, r.reason[i], json_object_new_int64(r.count[i]));
    json_object_object_add(jobs, "reasons", why);
    json_object_object_add(o, "jobs", jobs);
}

bool cluster_is_alive(const char *output)
{
    bool alive = false;
    json_object_put(load_manager(output, &alive));
    return alive;
}

/* ---- why it stands still -------------------------------------------------------------------------------------------------- */

/* Schedulers' words for what ended a job, in capitals, and what to do about it. */
static const struct {
    const char *words[6], *next;
} ends[] = {
    {{"TIMEOUT", "WALLTIME", "RUNLIMIT", "DEADLINE", "H_RT", "WALL TIME"}, "its walltime was over; what is done stays: submit again, with a longer time or smaller blocks if no block was done"},
    {{"OUT_OF_MEMORY", "MEMLIMIT", "MEMORY", "H_VMEM", " MEM ", NULL}, "its memory was too small; what is done stays: submit again with more memory for a job, or a smaller --memory for the program"},
    {{"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REQUEUE", NULL}, "its host was lost or taken from it; what is done stays: submit again"},
    {{"CANCELLED", "REMOVED", "TERM_OWNER", "TERM_ADMIN", NULL}, "it was cancelled; what is done stays: submit again"},
};

static const char *what_next(const char *verdict)
{
    char capitals[sizeof ((pel_status *)NULL)->reason];
    size_t n = 0;
    for (; verdict[n] && n + 1 < sizeof capitals; n++)
        capitals[n] = (char)toupper((unsigned char)verdict[n]);
    capitals[n] = '\0';
    for (int i = 0; i < COUNT(ends); i++)
        for (int k = 0; k < COUNT(ends[i].words) && ends[i].words[k]; k++)
            if (strstr(capitals, ends[i].words[k]))
                return ends[i].next;
    return "what is done stays: submit again; `status --failures` tells more";
}

typedef struct {
    char *text;
    size_t size;
    int64_t at, sign; /* sign: the last sign of life of a worker, in seconds; jobs that ended before are another story */
} last_verdict;

static void take_sign(void *arg, const pel_run_worker *w)
{
    last_verdict *const last = arg;
    const int64_t sign = w->sign_us / 1000000 - FRESH_SECONDS;
    last->sign = sign > last->sign ? sign : last->sign;
}

static void take_last(void *arg, const job_verdict *v)
{
    last_verdict *const last = arg;
    if (v->good || v->at < last->at || (v->at > 0 && v->at < last->sign))
        return;
    last->at = v->at;
    (void)snprintf(last->text, last->size, "job %s of %s ended%s%s, %s: %s", v->job, v->scheduler, v->host[0] ? " on " : "", v->host, v->text, what_next(v->text));
}

void cluster_settle_reason(pel_status *s, const char *output)
{
    char text[sizeof s->reason] = "";
    last_verdict last = {.text = text, .size = sizeof text};
    if (!s->silent || strcmp(s->state, "output gone") == 0)
        return;
    (void)pel_run_each_worker(output, take_sign, &last, NULL);
    jobs_verdicts(output, &(asking){.seconds = ASK_SECONDS}, take_last, &last);
    if (!text[0])
        return;
    (void)snprintf(s->reason, sizeof s->reason, "%s", text);
    (void)pel_run_note_stop(output, text, NULL); /* for the page; whoever may not write there only hears it */
}

/* ---- tries ---------------------------------------------------------------------------------------------------------------- */

/* A line to be shown, in the order of time: what the processes wrote about themselves, and what the manager saw of those
 * that could not. */
typedef struct {
    int64_t at_us;
    char *line;
} entry;

typedef struct {
    char scheduler[16], job[64];
} job_name;

typedef struct {
    job_name *jobs; /* in which the block was tried */
    size_t job_count;
    int64_t block; /* -1: all */
    bool only_failures;
    entry *list;
    size_t count, size;
} entries;

static void add_entry(entries *e, int64_t at_us, const char *line)
{
    if (e->count == e->size) {
        const size_t more = e->size * 2 + 64;
        entry *const p = realloc(e->list, more * sizeof *p);
        if (!p)
            return;
        e->list = p;
        e->size = more;
    }
    e->list[e->count++] = (entry){at_us, strdup(line)};
}

static void time_text(char out[32], int64_t at_us)
{
    const time_t t = (time_t)(at_us / 1000000);
    struct tm utc;
    if (!gmtime_r(&t, &utc) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        out[0] = '\0';
}

static void add_try(void *arg, const pel_try *t)
{
    entries *const e = arg;
    char line[900], when[32], a[32], b[32];
    if (e->only_failures && t->done)
        return;
    time_text(when, t->at_us);
    if (t->done)
        (void)snprintf(line, sizeof line, "%s block %" PRId64 " done on %s, attempt %d, %s, peak memory %s", when, t->block, t->host,
                       (int)t->attempt, text_duration(a, sizeof a, t->seconds), text_bytes(b, sizeof b, (double)t->memory_peak));
    else
        (void)snprintf(line, sizeof line, "%s block %" PRId64 " failed on %s, attempt %d: %s", when, t->block, t->host, (int)t->attempt, t->text);
    add_entry(e, t->at_us, line);
}

static bool concerns(json_object *blocks, int64_t block)
{
    for (size_t i = 0; blocks && i < json_object_array_length(blocks); i++)
        if (json_object_get_int64(json_object_array_get_idx(blocks, i)) == block)
            return true;
    return block < 0;
}

/* manager.jsonl: {"at_us", "host", "blocks": […], "text"} */
static void add_events(entries *e, const char *output)
{
    char line[900], when[32];
    char *record = NULL;
    size_t size = 0;
    FILE *const f = run_read(output, "manager.jsonl");
    while (f && getline(&record, &size, f) > 0) {
        json_object *const o = json_tokener_parse(record), *const blocks = member(o, "blocks");
        if (o && json_object_is_type(blocks, json_type_array) && concerns(blocks, e->block)) {
            time_text(when, member_integer(o, "at_us"));
            const size_t n = json_object_array_length(blocks);
            const int64_t first = n > 0 ? json_object_get_int64(json_object_array_get_idx(blocks, 0)) : -1;
            (void)snprintf(line, sizeof line, "%s task of %zu block%s from block %" PRId64 " on %s: %s", when, n, n == 1 ? "" : "s", first,
                           member_text(o, "host"), member_text(o, "text"));
            add_entry(e, member_integer(o, "at_us"), line);
        }
        json_object_put(o);
    }
    free(record);
    if (f)
        (void)fclose(f);
}

static void add_verdict(void *arg, const job_verdict *v)
{
    entries *const e = arg;
    char line[900], when[32];
    bool mine = e->block < 0 && !v->good;
    for (size_t i = 0; i < e->job_count && !mine; i++)
        mine = strcmp(e->jobs[i].scheduler, v->scheduler) == 0 && strcmp(e->jobs[i].job, v->job) == 0;
    if (!mine)
        return;
    time_text(when, v->at * 1000000);
    (void)snprintf(line, sizeof line, "%s job %s of %s ended%s%s: %s", when, v->job, v->scheduler, v->host[0] ? " on " : "", v->host, v->text);
    add_entry(e, v->at * 1000000 + 999999, line); /* schedulers count whole seconds: after what happened in it */
}

static void add_attempt(void *arg, const job_attempt *a)
{
    entries *const e = arg;
    char line[900], when[32];
    time_text(when, a->at_us);
    (void)snprintf(line, sizeof line, "%s %s begun on %s in job %s of %s, process %" PRId64, when, a->part[0] ? "its part" : "its task", a->host, a->job,
                   a->scheduler, a->pid);
    add_entry(e, a->at_us, line);
    job_name *const p = realloc(e->jobs, (e->job_count + 1) * sizeof *p);
    if (!p)
        return;
    e->jobs = p;
    (void)snprintf(p[e->job_count].scheduler, sizeof p->scheduler, "%s", a->scheduler);
    (void)snprintf(p[e->job_count++].job, sizeof p->job, "%s", a->job);
}

static int by_time(const void *a, const void *b)
{
    const entry *const x = a, *const y = b;
    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

int cluster_history(const verb *self, const char *output, int64_t block, bool json)
{
    entries e = {.block = block, .only_failures = block < 0};
    pel_error err = {0};
    pel_status s;
    if (!pel_run_status(&s, output, &err))
        return say_error(self, &err, true);
    if (block >= s.blocks_total + s.pyramid_total)
        return command_wrong(self, "--block: found %" PRId64 ", expected less than %" PRId64 ": so many has the run", block, s.blocks_total + s.pyramid_total);
    if (!pel_run_history(output, block, add_try, &e, &err))
        return say_error(self, &err, true);
    add_events(&e, output);
    if (block >= 0)
        jobs_attempts(output, block, add_attempt, &e);
    jobs_verdicts(output, &(asking){.seconds = ASK_SECONDS}, add_verdict, &e);
    free(e.jobs);
    if (e.count > 0)
        qsort(e.list, e.count, sizeof *e.list, by_time);
    json_object *const lines = json_object_new_array();
    for (size_t i = 0; i < e.count; i++) {
        if (json)
            json_object_array_add(lines, json_object_new_string(e.list[i].line));
        else
            (void)puts(e.list[i].line);
        free(e.list[i].line);
    }
    if (!json && e.count == 0)
        (void)puts(block < 0 ? "no block has failed" : "nobody has tried this block");
    if (json)
        json_print(json_object_get(lines));
    json_object_put(lines);
    free(e.list);
    return EXIT_DONE;
}
