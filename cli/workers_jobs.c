/* SPDX-License-Identifier: MIT
 * See cluster.h: workers that are jobs of a scheduler. Which may be alive stands in `submissions`, how many to ask for in `scaling`; here both meet the scheduler.
 * While it does not answer, nothing is submitted: no answer is not "no jobs". */
#include "cluster.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_SUBMISSIONS 32    /* in one poll */
#define STOP_SECONDS 5         /* for a submission that is on its way when we are asked to stop */
#define CANCEL_SECONDS 30
#define CANCEL_ROUNDS 5
#define IDS_SIZE 16384

static int64_t seconds_now(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* ---- asking ----------------------------------------------------------------------------------------------------------------- */

/* Asked to stop, or the manager has ended: whatever a scheduler would answer, it is late. */
static bool is_unwanted(const void *arg)
{
    const cluster *const c = arg;
    siginfo_t info = {0};
    return stop_asked() || (c->manager > 0 && waitid(P_PID, (id_t)c->manager, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == c->manager);
}

static asking how(const cluster *c, int64_t unwanted_seconds)
{
    return (asking){.seconds = c->words->answer, .unwanted = is_unwanted, .arg = c, .unwanted_seconds = unwanted_seconds};
}

static void note(cluster *c, submission *s, enum submission_event event)
{
    pel_error err = {0};
    if (!submission_note(c->output, s, event, &err))
        say(c->self, "%s", err.text);
    s->over_noted = s->over_noted || event == SUBMISSION_REFUSED || event == SUBMISSION_OVER;
}

/* A submission of which nobody knows whether it took effect is found by its name. False: no answer. `at`: the list may move. */
static bool settle_by_name(cluster *c, int64_t at, const asking *ask)
{
    char ids[8][24];
    int count = 0;
    const submission one = c->jobs.list[at];
    if (!jobs_find(ids, COUNT(ids), &count, one.scheduler, one.name, ask))
        return false;
    for (int i = 0; i < count; i++) { /* more than one: somebody's wrapper tried again */
        submission *const s = i == 0 ? &c->jobs.list[at] : submissions_find(&c->jobs, one.scheduler, ids[i]) ? NULL : submissions_add(&c->jobs, &one);
        if (!s)
            continue;
        (void)snprintf(s->id, sizeof s->id, "%.23s", ids[i]);
        s->set.sure = true;
        note(c, s, SUBMISSION_TAKEN);
    }
    return true;
}

static bool settle(cluster *c, const asking *ask)
{
    for (int64_t i = 0; i < c->jobs.count; i++) {
        if (c->jobs.list[i].set.over || c->jobs.list[i].set.sure)
            continue;
        if (!settle_by_name(c, i, ask))
            return false;
        if (!c->jobs.list[i].set.sure)
            scaling_hear_absent(&c->jobs.list[i].set, seconds_now());
        if (c->jobs.list[i].set.over)
            note(c, &c->jobs.list[i], SUBMISSION_REFUSED);
    }
    return true;
}

/* "12_3", "12[3]", "12.3" of a job that ended, as accounting tells. */
static void take_verdict(void *arg, const job_verdict *v)
{
    cluster *const c = arg;
    char id[24];
    const size_t n = strspn(v->job, "0123456789");
    (void)snprintf(id, sizeof id, "%.*s", n < 24 ? (int)n : 0, v->job);
    submission *s = submissions_find(&c->jobs, v->scheduler, id);
    s = s || strcmp(v->scheduler, "pbs") != 0 ? s : submissions_find(&c->jobs, "torque", id);
    const int64_t index = v->job[n] ? strtoll(v->job + n + 1, NULL, 10) + (strcmp(v->scheduler, "htcondor") == 0) : 0;
    const int64_t at = index > 0 ? index - 1 : 0;
    if (s && at < s->set.jobs && (s->tasks[at] & TASK_STATE) == TASK_UNKNOWN)
        submission_mark(s, index, TASK_ENDED);
}

/* Some were not listed, and nobody said that they are not known: accounting may know that they ended. */
static bool some_are_missed(const cluster *c)
{
    for (int64_t i = 0; i < c->jobs.count; i++) {
        const submission *const s = &c->jobs.list[i];
        const scaling_facts f = submission_facts(s);
        if (!s->set.over && s->set.sure && (f.alive + f.ended < s->set.jobs || f.alive < s->set.alive))
            return true;
    }
    return false;
}

static void hear(cluster *c, bool whole)
{
    for (int64_t i = 0; i < c->jobs.count; i++) {
        submission *const s = &c->jobs.list[i];
        const scaling_facts f = submission_facts(s);
        if (s->set.over || !s->set.sure)
            continue;
        if (whole)
            scaling_hear(&s->set, &f, seconds_now());
        else
            scaling_hear_torn(&s->set, f.alive);
        if (s->set.over && !s->over_noted)
            note(c, s, SUBMISSION_OVER);
    }
}

/* What is alive, as far as anybody can know. False: the scheduler does not answer. */
static bool look(cluster *c)
{
    const asking ask = how(c, 0);
    job_report r = {0};
    const bool named = settle(c, &ask);
    const bool whole = named && jobs_ask_for(&c->jobs, &ask, &r);
    if (whole && some_are_missed(c))
        jobs_verdicts(c->output, &ask, take_verdict, c);
    if (named)
        hear(c, whole);
    if (is_unwanted(c))
        return false;
    if (!whole && !c->silent)
        say(c->self, "the scheduler does not answer (%s): nothing is submitted until it does", r.why[0] ? r.why : "asked for a job by its name");
    else if (whole && c->silent)
        say(c->self, "the scheduler answers again: %" PRId64 " jobs of this run may be alive", submissions_alive(&c->jobs));
    c->silent = !whole;
    return whole;
}

/* ---- submitting ------------------------------------------------------------------------------------------------------------- */

static void say_once(cluster *c, const char *text)
{
    if (strncmp(c->limit_said, text, sizeof c->limit_said - 1) == 0)
        return;
    (void)snprintf(c->limit_said, sizeof c->limit_said, "%.511s", text);
    say(c->self, "%s", text);
}

/* For good: learn from it. */
static bool take_refusal(cluster *c, int64_t jobs)
{
    const char *const by = scheduler_name(c->job.scheduler);
    const int64_t alive = submissions_alive(&c->jobs);
    const bool hope = scaling_refused(&c->scaling, jobs, alive, seconds_now());
    char text[900];
    if (jobs > 1)
        (void)snprintf(text, sizeof text, "%s takes no array of %" PRId64 " (%.400s): fewer at a time", by, jobs, c->said);
    else if (hope)
        (void)snprintf(text, sizeof text, "%s takes no more than %" PRId64 " jobs of this run (%.400s): that must do for %" PRId64 "..%" PRId64, by, alive, c->said,
                       c->scaling.least, c->scaling.most);
    else
        (void)snprintf(text, sizeof text, "%s takes %" PRId64 " jobs of this run, expected at least %" PRId64 ": %.400s; ask for fewer or smaller ones (--workers, --cores, --memory, --time), "
                       "or for another --queue", by, alive, c->scaling.least > 0 ? c->scaling.least : 1, c->said);
    if (jobs > 1 ? c->limit_said[0] == '\0' : true)
        say_once(c, text);
    c->given_up = !hope;
    return hope;
}

static submission *new_submission(cluster *c, int64_t count)
{
    submission one = {.workers = true, .set = scaling_sent(count, seconds_now())};
    const char *const by = scheduler_name(c->job.scheduler);
    const bool short_names = strcmp(by, "pbs") == 0 || strcmp(by, "torque") == 0;
    (void)snprintf(one.scheduler, sizeof one.scheduler, "%s", by);
    submission_name(one.name, sizeof one.name, short_names ? 15 : 60, c->job.name, c->output, &c->jobs);
    return submissions_add(&c->jobs, &one);
}

/* True: they were taken. */
static bool submit(cluster *c, int64_t count)
{
    char path[PATH_MAX], id[24];
    pel_error err = {0};
    const asking ask = how(c, STOP_SECONDS);
    submission *const s = new_submission(c, count);
    job_script job = c->job;
    job.jobs = count;
    job.name = s ? s->name : "";
    if (!s || !workers_script(c, &job, path, &err) || !submission_note(c->output, s, SUBMISSION_ASKED, &err)) {
        say_once(c, s ? err.text : "out of memory");
        if (s)
            s->set.over = true;
        return false;
    }
    const enum submit_outcome outcome = job_submit(c->said, sizeof c->said, id, &job, path, &ask);
    (void)snprintf(s->id, sizeof s->id, "%s", id);
    s->set.sure = outcome == SUBMIT_TAKEN;
    if (s->set.sure)
        note(c, s, SUBMISSION_TAKEN);
    if (outcome == SUBMIT_UNKNOWN && !is_unwanted(c))
        say(c->self, "%s does not say whether it took %" PRId64 " jobs called %s (%s): they count as alive until it does", scheduler_name(job.scheduler), count, s->name, c->said);
    if (outcome == SUBMIT_TAKEN || outcome == SUBMIT_UNKNOWN)
        return s->set.sure;
    const asking again = how(c, 0); /* who says no may have done it all the same */
    const int64_t at = s - c->jobs.list;
    if (outcome == SUBMIT_REFUSED && !settle_by_name(c, at, &again))
        return false;
    if (c->jobs.list[at].set.sure)
        return true;
    c->jobs.list[at].set.over = true;
    note(c, &c->jobs.list[at], SUBMISSION_REFUSED);
    return take_refusal(c, count);
}

/* ---- cancelling -------------------------------------------------------------------------------------------------------------- */

/* Appends; false: there is no room. */
static bool add_id(char ids[IDS_SIZE], const submission *s, int64_t index)
{
    const size_t n = strlen(ids);
    char id[64];
    jobs_id_text(id, sizeof id, s, index);
    if (n + strlen(id) + 2 > IDS_SIZE)
        return false;
    (void)snprintf(ids + n, IDS_SIZE - n, "%s%s", n ? " " : "", id);
    return true;
}

/* So many of those that are more than there should be; the newest first. */
static int64_t choose(cluster *c, char ids[IDS_SIZE], int64_t count, enum task_state state)
{
    for (int64_t i = c->jobs.count - 1; i >= 0; i--) {
        submission *const s = &c->jobs.list[i];
        for (int64_t k = s->set.jobs - 1; k >= 0 && count > 0 && s->id[0] && !s->set.over && strcmp(s->scheduler, scheduler_name(c->job.scheduler)) == 0; k--) {
            if (s->tasks[k] != state || !add_id(ids, s, k + 1)) /* not those that leave already */
                continue;
            s->tasks[k] |= TASK_LEAVES;
            count--;
        }
    }
    return count;
}

static int64_t leaving(const cluster *c)
{
    int64_t n = 0;
    for (int64_t i = 0; i < c->jobs.count; i++)
        for (int64_t k = 0; k < c->jobs.list[i].set.jobs && !c->jobs.list[i].set.over; k++)
            n += (c->jobs.list[i].tasks[k] & TASK_LEAVES) && (c->jobs.list[i].tasks[k] & TASK_STATE) != TASK_ENDED;
    return n;
}

static void cancel_some(cluster *c, int64_t count)
{
    char ids[IDS_SIZE] = "", why[300];
    const asking ask = how(c, STOP_SECONDS);
    count -= leaving(c);
    if (count <= 0)
        return;
    const int64_t rest = choose(c, ids, count, TASK_RESTS);
    (void)choose(c, ids, rest, TASK_RUNS);
    if (ids[0] && !jobs_cancel(scheduler_name(c->job.scheduler), ids, &ask, why, sizeof why))
        say(c->self, "%s: cannot cancel %.200s: %s", scheduler_name(c->job.scheduler), ids, why);
}

/* All that may be alive, of one scheduler. True: it was told. */
static bool cancel_all_of(cluster *c, const char *by, const asking *ask, char *why, size_t size)
{
    char ids[IDS_SIZE] = "";
    bool ok = true;
    for (int64_t i = 0; i < c->jobs.count; i++) {
        const submission *const s = &c->jobs.list[i];
        if (s->set.over || !s->set.sure || strcmp(s->scheduler, by) != 0)
            continue;
        if (!add_id(ids, s, 0)) {
            ok = jobs_cancel(by, ids, ask, why, size) && ok;
            ids[0] = '\0';
            (void)add_id(ids, s, 0);
        }
    }
    return (!ids[0] || jobs_cancel(by, ids, ask, why, size)) && ok;
}

static bool cancel_round(cluster *c, const asking *ask, char *why, size_t size)
{
    bool ok = true;
    for (int64_t i = 0; i < c->jobs.count; i++) {
        bool first = !c->jobs.list[i].set.over && c->jobs.list[i].set.sure;
        for (int64_t k = 0; k < i && first; k++)
            first = c->jobs.list[k].set.over || !c->jobs.list[k].set.sure || strcmp(c->jobs.list[k].scheduler, c->jobs.list[i].scheduler) != 0;
        if (first)
            ok = cancel_all_of(c, c->jobs.list[i].scheduler, ask, why, size) && ok;
    }
    return ok;
}

static bool any_unsure(const cluster *c, const char **name)
{
    for (int64_t i = 0; i < c->jobs.count; i++) {
        *name = c->jobs.list[i].name;
        if (!c->jobs.list[i].set.over && !c->jobs.list[i].set.sure)
            return true;
    }
    return false;
}

static void note_cancelled(cluster *c)
{
    for (int64_t i = 0; i < c->jobs.count; i++)
        if (!c->jobs.list[i].set.over && c->jobs.list[i].set.sure)
            note(c, &c->jobs.list[i], SUBMISSION_CANCELLED);
}

/* Nothing of us stays behind. Where the command fails, since some have ended meanwhile or for another reason, it is asked which are left. */
static void cancel_all(cluster *c)
{
    const int64_t answer = c->words->answer < CANCEL_SECONDS ? c->words->answer : CANCEL_SECONDS;
    const asking ask = {.seconds = answer};
    const char *name = "";
    char why[300] = "";
    for (int round = 0; round < CANCEL_ROUNDS; round++) {
        if (round > 0)
            (void)sleep(1);
        const bool named = settle(c, &ask);
        const bool told = cancel_round(c, &ask, why, sizeof why);
        if (told)
            note_cancelled(c);
        if (told && named && !any_unsure(c, &name))
            return;
        job_report r = {0};
        if (!told && jobs_ask_for(&c->jobs, &ask, &r)) {
            hear(c, true);
            if (submissions_alive(&c->jobs) == 0)
                return;
        }
    }
    if (any_unsure(c, &name))
        say(c->self, "it is not known whether jobs called %s were submitted: look for them, and cancel them if they are there", name);
    if (why[0])
        say(c->self, "the workers' jobs cannot be cancelled: %s; their numbers stand in %s, the same command finds them again", why,
            run_file((char[RUN_PATH]){0}, c->output, "jobs.jsonl"));
}

/* ---- the care ------------------------------------------------------------------------------------------------------------------ */

bool jobs_begin(cluster *c, pel_error *err)
{
    c->scaling = scaling_begin(c->least, c->most);
    if (!submissions_load(&c->jobs, c->output, true, seconds_now()))
        return set_error(err, PEL_NO_MEMORY, "out of memory");
    scale_begin(c);
    if (c->last[0]) /* workers that look for a manager elsewhere would only keep others from being submitted */
        cancel_all(c);
    return true;
}

/* Jobs that ended are replaced while there is work for them. */
void jobs_keep(cluster *c, int64_t blocks_left, int64_t connected)
{
    const int64_t now = seconds_now();
    if (scale_hear(c)) {
        scaling_bounds(&c->scaling, c->least, c->most);
        c->last_poll = 0;
    }
    if (c->given_up || (c->last_poll > 0 && now - c->last_poll < c->words->poll))
        return;
    const bool whole = look(c);
    c->last_poll = seconds_now();
    for (int i = 0; whole && i < MOST_SUBMISSIONS && !is_unwanted(c); i++) {
        const int64_t sent = submissions_alive(&c->jobs), here = connected < c->most ? connected : c->most, alive = here > sent ? here : sent;
        const scaling_step step = scaling_next(&c->scaling, alive, blocks_left, seconds_now());
        if (step.cancel > 0)
            cancel_some(c, step.cancel);
        if (step.submit == 0 || !submit(c, step.submit))
            break;
    }
}

void jobs_end(cluster *c)
{
    cancel_all(c);
    submissions_clear(&c->jobs);
}
