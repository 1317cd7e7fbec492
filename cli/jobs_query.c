/* SPDX-License-Identifier: MIT
 * See jobs.h: which of the submitted jobs are alive, and why they wait, in the words of their scheduler. An answer is whole where the command
 * ended well, or failed only since it does not know some of the jobs, and says so; everything else is no answer, and tells of what it lists only. */
#include "job_states.h"
#include "jobs_ask.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS_SIZE 16384
#define MOST_REASONS 64
#define MOST_ALONE 8 /* questions for one job each, in one round */

typedef struct adapter adapter;

typedef struct {
    const adapter *scheduler;
    submissions *all;
    job_counts *counts;
    on_job *each;
    void *arg;
    char id[64], state[16], reason[400]; /* of the job that is being read, where it takes several lines */
    struct {
        char id[24], text[200];
    } reasons[MOST_REASONS]; /* told apart from the list of jobs */
    int reason_count;
    int64_t asked, unknown, foreign; /* submissions; lines that say that a job is not known; lines that say that something went wrong */
    bool names_unknown;              /* numbers of jobs that are not known follow */
    bool (*wanted)(const submission *s, const void *arg);
    const void *wanted_arg;
} query;

struct adapter {
    const char *name, *ask, *find, *cancel;
    void (*read)(query *q, char *line);             /* a line of the answer, NULL at its end */
    bool (*read_unknown)(query *q, const char *line); /* a line that says that a job is not known */
    bool commas, brackets;                          /* between the numbers; after that of an array */
    bool alone;                                     /* only a question for one job says whether it is not known */
};

/* ---- what is found ----------------------------------------------------------------------------------------------------- */

/* The submission that a job's name begins with the number of. */
static submission *owner_of(const query *q, const char *id)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%.*s", (int)(strspn(id, "0123456789") < 23 ? strspn(id, "0123456789") : 23), id);
    submission *const s = submissions_find(q->all, q->scheduler->name, digits);
    return s && q->wanted(s, q->wanted_arg) ? s : NULL;
}

/* Jobs first to last of an array; 0: no array. */
static void found(query *q, const char *id, int64_t index, const char *state, const char *reason)
{
    static const char *const words[] = {"pending", "running", "held", "ended"};
    submission *const s = owner_of(q, id);
    const enum job_class kind = job_class_of(q->scheduler->name, state);
    if (!s)
        return;
    submission_mark(s, index, kind == JOB_ENDED ? TASK_ENDED : kind == JOB_RUNS ? TASK_RUNS : TASK_RESTS);
    if (kind == JOB_ENDED)
        return;
    q->counts->pending += kind == JOB_WAITS;
    q->counts->running += kind == JOB_RUNS;
    q->counts->other += kind == JOB_HELD;
    if (q->each)
        q->each(q->arg, &(job_seen){.scheduler = q->scheduler->name, .id = id, .index = index, .kind = kind, .state = words[kind], .reason = reason});
}

static void is_unknown(query *q, const char *id)
{
    submission *const s = owner_of(q, id);
    q->unknown++;
    if (s)
        s->unknown = true;
}

/* The number behind some words. */
static const char *behind(const char *line, const char *words)
{
    const char *const at = strstr(line, words);
    return at ? at + strlen(words) + strcspn(at + strlen(words), "0123456789") : NULL;
}

/* ---- Slurm --------------------------------------------------------------------------------------------------------------- */

static void read_slurm(query *q, char *line) /* 12_3|PENDING|Resources */
{
    char *f[3] = {0};
    if (!line || job_split(line, f, 3, "|") < 2)
        return;
    const char *const task = strchr(f[0], '_');
    found(q, f[0], task ? strtoll(task + 1, NULL, 10) : 0, f[1], f[2] ? f[2] : "");
}

/* Of several jobs it leaves out those that it does not know, of one it says so. */
static bool unknown_slurm(query *q, const char *line)
{
    if (q->asked != 1 || !strstr(line, "Invalid job id specified"))
        return false;
    q->unknown++;
    for (int64_t i = 0; i < q->all->count; i++)
        if (strcmp(q->all->list[i].scheduler, q->scheduler->name) == 0 && q->all->list[i].id[0] && q->wanted(&q->all->list[i], q->wanted_arg))
            q->all->list[i].unknown = true;
    return true;
}

/* ---- LSF ----------------------------------------------------------------------------------------------------------------- */

static void read_lsf(query *q, char *line) /* 12|3|PEND|reason */
{
    char *f[4] = {0};
    if (line && job_split(line, f, 4, "|") >= 3)
        found(q, f[0], strtoll(f[1], NULL, 10), f[2], f[3] && strcmp(f[3], "-") != 0 ? f[3] : "");
}

static bool unknown_lsf(query *q, const char *line) /* Job <12> is not found */
{
    const char *const id = behind(line, "Job <");
    if (!id || !strstr(line, "is not found"))
        return false;
    is_unknown(q, id);
    return true;
}

/* ---- HTCondor ------------------------------------------------------------------------------------------------------------- */

/* Tabs between: 12, 0, 5, why it is held, why no machine took it; undefined where there is nothing to say. */
static void read_condor(query *q, char *line)
{
    char *f[5] = {0};
    if (!line || job_split(line, f, 5, "\t") < 3 || f[0][0] == '\0' || f[0][strspn(f[0], "0123456789")] != '\0')
        return;
    const char *const why = f[2][0] == '5' ? f[3] : f[2][0] == '1' ? f[4] : NULL;
    found(q, f[0], strtoll(f[1], NULL, 10) + 1, f[2], why && strcmp(why, "undefined") != 0 ? why : "");
}

static bool unknown_condor(query *q, const char *line) /* it leaves them out */
{
    (void)q;
    (void)line;
    return false;
}

/* ---- PBS, Torque ------------------------------------------------------------------------------------------------------------ */

/* A job that was read to its end. 12[].head is the array as a whole, whose jobs are told, too. */
static void end_pbs(query *q)
{
    const char *const index = strchr(q->id, '[');
    if (q->id[0] && !strstr(q->id, "[]"))
        found(q, q->id, index ? strtoll(index + 1, NULL, 10) : 0, q->state, q->reason);
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
    } else if (strncmp(line, "qstat:", 6) == 0) {
        q->foreign++;
    }
}

/* qstat: Unknown Job Id 12.head; qstat: Unknown Job Id Error 12.head; qstat: 12.head Job has finished, use -x or -H … */
static bool unknown_pbs(query *q, const char *line)
{
    const char *const finished = strstr(line, "Job has finished") ? behind(line, "qstat:") : NULL;
    const char *const id = finished ? finished : behind(line, "Unknown Job Id");
    submission *const s = finished ? owner_of(q, finished) : NULL;
    for (int64_t i = 0; s && i < s->set.jobs; i++)
        submission_mark(s, s->set.jobs > 1 ? i + 1 : 0, TASK_ENDED);
    if (id)
        is_unknown(q, id);
    return id != NULL;
}

/* ---- Grid Engine ------------------------------------------------------------------------------------------------------------- */

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

/* "1-7:1", "2,4": the tasks that still wait; "": a job that is no array. */
static void found_tasks(query *q, const char *id, const char *tasks, const char *state)
{
    const char *const reason = told_reason(q, id);
    if (!isdigit((unsigned char)tasks[0]))
        found(q, id, 0, state, reason);
    for (const char *p = tasks; isdigit((unsigned char)*p);) {
        char *end = NULL;
        const long long first = strtoll(p, &end, 10);
        long long last = first, step = 1;
        if (*end == '-')
            last = strtoll(end + 1, &end, 10);
        if (*end == ':')
            step = strtoll(end + 1, &end, 10);
        for (long long k = first; step > 0 && k <= last && k - first < 1000000; k += step)
            found(q, id, k, state, reason);
        p = *end == ',' ? end + 1 : "";
    }
}

/* 12 0.55500 name user qw 11/23/2026 16:00:00 [queue] slots [tasks] */
static void read_sge(query *q, char *line)
{
    char *f[12];
    if (!line)
        return;
    if (!strchr(" 0123456789", line[0])) {
        read_sge_reason(q, line);
        return;
    }
    const int n = job_split(line, f, 12, " \t");
    if (n < 8)
        return;
    const int slots = f[7][strspn(f[7], "0123456789")] == '\0' ? 7 : 8; /* no queue yet */
    found_tasks(q, f[0], n > slots + 1 ? f[slots + 1] : "", f[4]);
}

/* "Following jobs do not exist: ", and on the next lines their numbers. */
static bool unknown_sge(query *q, const char *line)
{
    const bool begins = strncmp(line, "Following jobs do not exist", 27) == 0;
    if (begins)
        q->names_unknown = true;
    else if (!q->names_unknown || line[strspn(line, "0123456789, \t\r")] != '\0')
        return q->names_unknown = false;
    for (const char *p = begins ? "" : line + strspn(line, ", \t"); isdigit((unsigned char)*p); p += strspn(p, ", \t")) {
        is_unknown(q, p);
        p += strspn(p, "0123456789");
    }
    return true;
}

/* ---- all ------------------------------------------------------------------------------------------------------------------------ */

/* IDS: the numbers, blank or comma between them. NAME: that of a submission. find prints the numbers of jobs of this name, nothing where there is none. */
static const adapter schedulers[] = {
    {.name = "slurm", .ask = "exec squeue -h -r -t all -o '%i|%T|%r' -j IDS", .find = "exec squeue -h -t all -o %F -n NAME", .cancel = "exec scancel IDS",
     .read = read_slurm, .read_unknown = unknown_slurm, .commas = true, .alone = true},
    {.name = "pbs", .ask = "set -f; exec qstat -t -f IDS", .find = "exec qselect -N NAME", .cancel = "set -f; exec qdel IDS", .read = read_pbs, .read_unknown = unknown_pbs,
     .brackets = true},
    /* Slurm's qstat has no -t, its qselect is missing, and it fails in silence where it knows none of the jobs. */
    {.name = "torque", .ask = "set -f; a=$(qstat -t -f IDS 2>&1); s=$?; [ $s != 2 ] || exec qstat -f $(echo 'IDS' | tr -d '[]'); printf '%s\\n' \"$a\"; exit $s",
     .find = "a=$(qstat -f) || [ -z \"$a\" ] || exit 1; printf '%s\\n' \"$a\" | awk '/^Job Id:/ { id = $3 } $1 == \"Job_Name\" && $3 == \"NAME\" { print id }'",
     .cancel = "set -f; exec qdel IDS", .read = read_pbs, .read_unknown = unknown_pbs, .brackets = true},
    {.name = "sge", .ask = "qstat -j IDS 2>&1; exec qstat",
     .find = "a=$(qstat -j NAME 2>&1); s=$?; printf '%s\\n' \"$a\" | sed -n 's/^job_number: *//p'; case \"$a\" in *'do not exist'*) exit 0; esac; "
             "[ $s = 0 ] || printf '%s\\n' \"$a\" >&2; exit $s",
     .cancel = "s=0; for j in IDS; do case $j in *.*) qdel ${j%.*} -t ${j#*.};; *) qdel $j;; esac || s=1; done; exit $s", .read = read_sge, .read_unknown = unknown_sge,
     .commas = true},
    {.name = "lsf", .ask = "exec bjobs -noheader -o 'jobid jobindex stat pend_reason delimiter=\"|\"' IDS",
     .find = "a=$(bjobs -a -noheader -o 'jobid job_name delimiter=\"|\"' -J 'NAME*' 2>&1); s=$?; case \"$a\" in *'is not found'*|*'No matching job'*) exit 0; esac; "
             "[ $s = 0 ] || { printf '%s\\n' \"$a\" >&2; exit $s; }; printf '%s\\n' \"$a\" | awk -F'|' '$2 == \"NAME\" || index($2, \"NAME[\") == 1 { print $1 }'",
     .cancel = "set -f; exec bkill IDS", .read = read_lsf, .read_unknown = unknown_lsf},
    {.name = "htcondor", .ask = "exec condor_q IDS -af:t ClusterId ProcId JobStatus HoldReason LastRejMatchReason",
     .find = "exec condor_q -constraint 'JobBatchName == \"NAME\"' -af ClusterId", .cancel = "exec condor_rm IDS", .read = read_condor, .read_unknown = unknown_condor},
};

static const adapter *adapter_of(const char *name)
{
    for (int i = 0; i < COUNT(schedulers); i++)
        if (strcmp(schedulers[i].name, name) == 0)
            return &schedulers[i];
    return NULL;
}

/* false: there is no room for all of them. */
static bool list_ids(char ids[IDS_SIZE], query *q, char between)
{
    size_t n = 0;
    q->asked = 0;
    ids[0] = '\0';
    for (int64_t i = 0; i < q->all->count; i++) {
        const submission *const s = &q->all->list[i];
        if (strcmp(s->scheduler, q->scheduler->name) != 0 || !s->id[0] || !q->wanted(s, q->wanted_arg))
            continue;
        if (n + strlen(s->id) + 4 > IDS_SIZE)
            return false;
        n += (size_t)snprintf(ids + n, IDS_SIZE - n, "%.*s%s%s", n ? 1 : 0, &between, s->id, q->scheduler->brackets && s->set.jobs > 1 ? "[]" : "");
        q->asked++;
    }
    return true;
}

static void read_lines(query *q, char *text, bool errors)
{
    for (char *line = text, *end = NULL; line && *line; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        if (q->scheduler->read_unknown(q, line))
            continue;
        if (errors)
            q->foreign += line[strspn(line, " \t\r")] != '\0';
        else
            q->scheduler->read(q, line);
    }
    if (!errors)
        q->scheduler->read(q, NULL);
}

/* Each that was asked for is listed, or said not to be known. */
static bool all_are_told(const query *q)
{
    for (int64_t i = 0; i < q->all->count; i++) {
        const submission *const s = &q->all->list[i];
        if (strcmp(s->scheduler, q->scheduler->name) == 0 && s->id[0] && q->wanted(s, q->wanted_arg) && !s->unknown && submission_facts(s).alive == 0 &&
            submission_facts(s).ended < s->set.jobs)
            return false;
    }
    return true;
}

/* The front end of Torque over Slurm says nothing at all where it knows none of them. */
static bool is_silent_end(query *q, const job_answer *a)
{
    if (strcmp(q->scheduler->name, "torque") != 0 || a->end.status != 153 || a->errors[0] || a->text[strspn(a->text, " \r\n")] != '\0')
        return false;
    for (int64_t i = 0; i < q->all->count; i++)
        if (strcmp(q->all->list[i].scheduler, "torque") == 0 && q->wanted(&q->all->list[i], q->wanted_arg))
            q->all->list[i].unknown = true;
    return true;
}

/* True: a whole answer. */
static bool ask(query *q, job_answer *a, const asking *how)
{
    char ids[IDS_SIZE];
    const bool room = list_ids(ids, q, q->scheduler->commas ? ',' : ' ');
    if (q->asked == 0)
        return true;
    q->unknown = q->foreign = 0;
    const bool ran = job_ask(a, q->scheduler->ask, ids, how);
    const bool silent = ran && is_silent_end(q, a);
    read_lines(q, a->text, false);
    q->names_unknown = false;
    read_lines(q, a->errors, true);
    if (!room)
        (void)snprintf(a->why, sizeof a->why, "more jobs than fit into one question");
    return room && ran && (a->end.status == 0 || silent || (q->unknown > 0 && q->foreign == 0 && all_are_told(q)));
}

static bool is_one(const submission *s, const void *arg)
{
    return s == arg;
}

/* Those of which nothing was said, each alone. */
static bool ask_alone(query *q, job_answer *a, const asking *how)
{
    const query before = *q;
    job_counts none = {0};
    int asked = 0;
    bool whole = true;
    for (int64_t i = 0; whole && i < q->all->count && asked < MOST_ALONE && before.asked > 1; i++) {
        submission *const s = &q->all->list[i];
        const scaling_facts f = submission_facts(s);
        if (strcmp(s->scheduler, q->scheduler->name) != 0 || !s->id[0] || !before.wanted(s, before.wanted_arg) || f.alive + f.ended > 0)
            continue;
        q->wanted = is_one;
        q->wanted_arg = s;
        q->counts = &none;
        q->each = NULL;
        whole = ask(q, a, how);
        asked++;
    }
    *q = before;
    return whole;
}

static bool is_wanted(const submission *s, const void *arg)
{
    (void)arg;
    return !s->set.over;
}

bool jobs_ask_for(submissions *all, const asking *how, job_report *out)
{
    job_answer a;
    query *const q = malloc(sizeof *q);
    bool ok = job_answer_make(&a) && q, whole = ok;
    out->counts = (job_counts){0};
    (void)snprintf(out->why, sizeof out->why, "%s", ok ? "" : "out of memory");
    for (int64_t i = 0; i < all->count; i++)
        submission_forget_listed(&all->list[i]);
    for (int i = 0; ok && whole && i < COUNT(schedulers); i++) {
        *q = (query){.scheduler = &schedulers[i], .all = all, .counts = &out->counts, .each = out->each, .arg = out->arg, .wanted = is_wanted};
        whole = ask(q, &a, how) && (!schedulers[i].alone || ask_alone(q, &a, how));
        if (!whole)
            (void)snprintf(out->why, sizeof out->why, "%s: %s", schedulers[i].name, a.why);
    }
    job_answer_free(&a);
    free(q);
    return whole;
}

bool jobs_query(const char *output, job_counts *out, on_job *each, void *arg, char *why, size_t size)
{
    submissions all;
    job_report r = {.each = each, .arg = arg};
    const bool ok = submissions_load(&all, output, false, 0) && jobs_ask_for(&all, &(asking){.seconds = ASK_SECONDS}, &r);
    *out = r.counts;
    (void)snprintf(why, size, "%s", r.why);
    submissions_clear(&all);
    return ok;
}

bool jobs_find(char ids[][24], int most, int *count, const char *by, const char *name, const asking *how)
{
    job_answer a;
    const adapter *const s = adapter_of(by);
    *count = 0;
    const bool ok = job_answer_make(&a) && s && name[0] && job_ask(&a, s->find, name, how) && a.end.status == 0;
    for (const char *p = ok ? a.text : ""; *p && *count < most; p += strcspn(p, "\n"), p += strspn(p, "\r\n")) {
        const char *const id = p + strspn(p, " \t");
        const size_t n = strspn(id, "0123456789");
        bool known = n == 0 || n >= 24;
        for (int i = 0; i < *count; i++)
            known = known || (strncmp(ids[i], id, n) == 0 && ids[i][n] == '\0');
        if (!known)
            (void)snprintf(ids[(*count)++], 24, "%.*s", (int)n, id);
    }
    job_answer_free(&a);
    return ok;
}

bool jobs_cancel(const char *by, const char *ids, const asking *how, char *why, size_t size)
{
    job_answer a;
    const adapter *const s = adapter_of(by);
    const bool ok = job_answer_make(&a) && s && job_ask(&a, s->cancel, ids, how) && a.end.status == 0;
    (void)snprintf(why, size, "%s", s && a.text && a.errors ? a.why : "out of memory");
    job_answer_free(&a);
    return ok;
}

void jobs_id_text(char *out, size_t size, const submission *s, int64_t index)
{
    const adapter *const a = adapter_of(s->scheduler);
    const char *const between = strcmp(s->scheduler, "slurm") == 0 ? "_" : strcmp(s->scheduler, "sge") == 0 || strcmp(s->scheduler, "htcondor") == 0 ? "." : "[";
    if (s->set.jobs == 1 || index == 0)
        (void)snprintf(out, size, "%s%s", s->id, s->set.jobs > 1 && a && a->brackets ? "[]" : "");
    else
        (void)snprintf(out, size, "%s%s%" PRId64 "%s", s->id, between, index - (strcmp(s->scheduler, "htcondor") == 0), between[0] == '[' ? "]" : "");
}
