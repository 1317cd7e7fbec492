/* SPDX-License-Identifier: MIT
 * See jobs.h. */
#include "jobs.h"
#include "quote.h"

#include "program.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (INT64_C(1) << 20)

static bool fail_errno(pel_error *err, const char *what, const char *path)
{
    char why[128];
    return set_error(err, PEL_IO, "%s: cannot %s: %s", path, what, strerror_r(errno, why, sizeof why));
}

/* ---- options ------------------------------------------------------------------------------------------------------ */

int job_options(option *list, job_words *w)
{
    const option all[] = {
        {OPTION_HEADING, NULL, NULL, "the jobs", NULL, 0, 0},
        {OPTION_TEXT, "scheduler", "NAME", "slurm, pbs, torque, sge, lsf, htcondor, kubernetes, aws-batch", &w->scheduler, 0, 0},
        {OPTION_INTEGER, "cores", "N", "processors of a job", &w->cores, 1, 4096},
        {OPTION_SIZE, "memory", "SIZE", "memory of a job (default: as the plan promises)", &w->memory, 64e6, 9e15},
        {OPTION_TIME, "time", "TIME", "walltime of a job: 12:00:00, 2-00:00:00, 36h, 90m", &w->time, 60, 9e7},
        {OPTION_TEXT, "queue", "NAME", "partition, queue, accounting group, job queue", &w->queue, 0, 0},
        {OPTION_TEXT, "name", "NAME", "of the job (default: pellucid)", &w->name, 0, 0},
        {OPTION_LIST, "directive", "TEXT", "a line for the scheduler as it stands: '--mail-type=FAIL'; for Kubernetes and AWS Batch "
                                           "a.b[0].c=value; may be repeated", &w->directives, 0, 0},
        {OPTION_LIST, "without", "WORD", "leave out directives that contain the word, where the site forbids them; may be repeated",
         &w->without, 0, 0},
        {OPTION_LIST, "prologue", "LINE", "a line of shell that each job does before its program: 'module load x'; may be repeated", &w->prologue, 0, 0},
        {OPTION_FLAG, "memory-per-slot", NULL, "LSF: the memory that is reserved is a slot's (where RESOURCE_RESERVE_PER_TASK=Y), not the job's", &w->slot_memory, 0, 0},
        {OPTION_TEXT, "image", "NAME", "Kubernetes: container image; AWS Batch: job definition", &w->image, 0, 0},
        {OPTION_LIST, "volume", "CLAIM:/PATH", "Kubernetes: a volume claim and where the job sees it; may be repeated", &w->volumes, 0, 0},
        {OPTION_TEXT, "template", "FILE", "Kubernetes: a Pod in YAML or JSON under ours: its container called pellucid, or its first, gets the command", &w->pod, 0, 0},
        {OPTION_TIME, "ttl", "TIME", "Kubernetes: a Job is deleted so long after its end (default 168h)", &w->ttl, 1, 9e8},
    };
    memcpy(list, all, sizeof all);
    return COUNT(all);
}

static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return name[0] && name[0] != '-' && name[strspn(name, letters)] == '\0' && strlen(name) <= 100;
}

static const char *wrong_list(const job_words *w, bool container)
{
    for (int i = 0; i < w->directives.count; i++) {
        if (container && !strchr(w->directives.items[i], '='))
            return "--directive: expected a.b.c=value for this scheduler";
    }
    for (int i = 0; i < w->volumes.count; i++) {
        const char *const colon = strchr(w->volumes.items[i], ':');
        if (!colon || colon == w->volumes.items[i] || colon[1] != '/')
            return "--volume: expected CLAIM:/PATH";
    }
    return NULL;
}

/* No name needs them, and no scheduler's lines can hold all of them. */
static int check_controls(const verb *self, const job_words *w)
{
    const char *const texts[] = {w->queue, w->image, w->program, w->pod}, *const names[] = {"queue", "image", "program", "template"};
    const text_list *const lists[] = {&w->directives, &w->without, &w->volumes, &w->prologue};
    const char *const list_names[] = {"directive", "without", "volume", "prologue"};
    for (int i = 0; i < COUNT(texts); i++)
        if (quote_control(texts[i]))
            return command_wrong(self, "--%s: found %s, expected one line", names[i], quote_control(texts[i]));
    for (int i = 0; i < COUNT(lists); i++)
        for (int k = 0; k < lists[i]->count; k++)
            if (quote_control(lists[i]->items[k]))
                return command_wrong(self, "--%s: found %s, expected one line each", list_names[i], quote_control(lists[i]->items[k]));
    return EXIT_DONE;
}

static int check_words(const verb *self, const job_words *w, const scheduler *s)
{
    if (!s)
        return command_wrong(self, "--scheduler: found '%s', expected one of %s", w->scheduler, scheduler_names());
    if (w->name && !is_name(w->name))
        return command_wrong(self, "--name: found '%s', expected letters, digits and _-.", w->name);
    if (check_controls(self, w) != EXIT_DONE)
        return EXIT_USAGE;
    const bool container = scheduler_is_container(s);
    if (container && !w->image && !w->pod)
        return command_wrong(self, "--image is missing: %s runs containers", scheduler_name(s));
    if (strcmp(scheduler_name(s), "aws-batch") == 0 && !w->queue)
        return command_wrong(self, "--queue is missing: AWS Batch has no default job queue");
    const char *const wrong = wrong_list(w, container);
    return wrong ? command_wrong(self, "%s", wrong) : EXIT_DONE;
}

/* Words for other schedulers are no fault, since a site's file may serve several; but nobody may rely on them. */
static void note_unused(const verb *self, const job_words *w, const scheduler *s)
{
    const char *const name = scheduler_name(s);
    const bool kubernetes = strcmp(name, "kubernetes") == 0, container = scheduler_is_container(s);
    const struct {
        bool unused;
        const char *option, *why;
    } all[] = {
        {w->image && !container, "image", "it is for kubernetes and aws-batch"},
        {w->volumes.count > 0 && !kubernetes, "volume", "it is for kubernetes"},
        {w->pod && !kubernetes, "template", "it is for kubernetes"},
        {w->ttl > 0 && !kubernetes, "ttl", "it is for kubernetes"},
        {w->slot_memory && strcmp(name, "lsf") != 0, "memory-per-slot", "it is for lsf"},
        {w->without.count > 0 && container, "without", "take a member out by --directive a.b.c=null"},
    };
    for (int i = 0; i < COUNT(all); i++)
        if (all[i].unused)
            say(self, "--%s has no effect with %s: %s", all[i].option, name, all[i].why);
}

bool job_fill(const verb *self, const job_words *w, job_script *out, int *code)
{
    if (!w->scheduler) {
        *code = command_wrong(self, "--scheduler is missing: one of %s", scheduler_names());
        return false;
    }
    const scheduler *const s = scheduler_find(w->scheduler);
    *code = check_words(self, w, s);
    if (*code != EXIT_DONE)
        return false;
    note_unused(self, w, s);
    *out = (job_script){.scheduler = s, .name = w->name ? w->name : "pellucid", .jobs = 1, .cores = w->cores, .memory = w->memory,
                        .seconds = w->time, .lead = job_lead(w->time), .queue = w->queue, .image = w->image,
                        .volumes = &w->volumes, .directives = &w->directives, .without = &w->without, .prologue = &w->prologue, .pod = w->pod,
                        .ttl = w->ttl > 0 ? w->ttl : 7 * 86400, .named = w->name != NULL, .slot_memory = w->slot_memory};
    return true;
}

int64_t job_program_memory(int64_t memory)
{
    return memory - memory / 16;
}

int64_t job_memory_for(int64_t promised)
{
    const int64_t step = 256 * MIB;
    return (promised + promised / 15 + 32 * MIB + step - 1) / step * step;
}

int64_t job_lead(int64_t seconds)
{
    const int64_t part = seconds / 20;
    return part < 20 ? 20 : part > 300 ? 300 : part;
}

void work_command_make(work_command *out, const job_script *job, const char *program, const char *output)
{
    int n = 0;
    const char *words[COUNT(out->words)] = {program, "work", output, "--part", JOB_INDEX};
    n = 5;
    if (job->memory > 0) {
        (void)snprintf(out->memory, sizeof out->memory, "%" PRId64 "M", job_program_memory(job->memory) / MIB);
        words[n++] = "--memory";
        words[n++] = out->memory;
    }
    if (job->cores > 0) {
        (void)snprintf(out->threads, sizeof out->threads, "%" PRId64, job->cores);
        words[n++] = "--threads";
        words[n++] = out->threads;
    }
    if (job->seconds > 0) {
        (void)snprintf(out->seconds, sizeof out->seconds, "%" PRId64, job->seconds - job->lead);
        words[n++] = "--seconds";
        words[n++] = out->seconds;
    }
    memcpy(out->words, words, sizeof words);
}

/* ---- programs ------------------------------------------------------------------------------------------------------ */

int run_program(char *out, size_t size, const char *const *words, pel_error *err)
{
    return program_run(&(program_call){.words = words, .out = out, .out_size = size}, err).status;
}

bool own_program(char *out, size_t size)
{
    const ssize_t n = readlink("/proc/self/exe", out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

bool program_beside(char *out, size_t size, const char *name)
{
    if (!own_program(out, size))
        return false;
    char *const slash = strrchr(out, '/');
    const size_t at = slash ? (size_t)(slash + 1 - out) : 0;
    (void)snprintf(out + at, size - at, "%s", name);
    return access(out, X_OK) == 0;
}

/* ---- writing and submitting ------------------------------------------------------------------------------------------ */

bool job_write(char *path, size_t size, const char *output, const char *name, const job_script *job, pel_error *err)
{
    char folder[RUN_PATH];
    const int n = snprintf(path, size, "%s", run_file(folder, output, "submit"));
    if (n <= 0 || (size_t)n + 2 + strlen(name) >= size)
        return set_error(err, PEL_ARGUMENT, "%s: the name is too long", output);
    (void)snprintf(path + n, size - (size_t)n, "/%s", name);
    FILE *const f = run_write(output, path + n - strlen("submit"), err);
    if (!f)
        return false;
    script_print(f, job);
    const bool ok = !ferror(f);
    if (fclose(f) != 0 || !ok)
        return fail_errno(err, "write", path);
    return true;
}

/* The job's number in what the scheduler says: behind its usual words, else the first word that begins with a digit. */
static void find_id(char id[24], const char *said)
{
    static const char *const words[] = {"Submitted batch job ", "Your job-array ", "Your job ", "Job <", "submitted to cluster "};
    const char *at = NULL;
    for (int i = 0; i < COUNT(words) && !at; i++) {
        const char *const found = strstr(said, words[i]);
        at = found ? found + strlen(words[i]) : NULL;
    }
    for (const char *p = said; !at && *p; p += strcspn(p, " \t\r\n"), p += strspn(p, " \t\r\n"))
        at = p[strspn(p, "<\"'(")] >= '0' && p[strspn(p, "<\"'(")] <= '9' ? p + strspn(p, "<\"'(") : NULL;
    const size_t n = at ? strspn(at, "0123456789") : 0;
    (void)snprintf(id, 24, "%.*s", n < 24 ? (int)n : 0, at ? at : "");
}

/* Of a command that failed: did the scheduler say no, or could it not be asked? Where it is not sure it may have taken effect. */
static bool is_refusal(const char *said)
{
    static const char *const passing[] = {"timed out", "timeout", "time out", "connect", "communication", "unavailable", "temporar", "try again", "no response", "respond",
                                          "i/o error", "end of file", "broken pipe", "protocol", "reset by peer", "is down", "not running", "busy"};
    static const char *const final[] = {"exceed", "limit", "not permitted", "denied", "invalid", "unknown queue", "reject", "illegal", "not submitted", "violates", "no such queue",
                                        "unauthorized", "cannot use", "not available", "unrecognized", "maximum", "more than", "failed to parse", "unable to open", "unknown option"};
    for (int i = 0; i < COUNT(passing); i++)
        if (strcasestr(said, passing[i]))
            return false;
    for (int i = 0; i < COUNT(final); i++)
        if (strcasestr(said, final[i]))
            return true;
    return false;
}

enum submit_outcome job_submit(char *said, size_t size, char id[24], const job_script *job, const char *path, const asking *how)
{
    pel_error err = {0};
    const char *const words[] = {"/bin/sh", "-c", scheduler_submit_line(job->scheduler), "sh", path, NULL};
    const program_call call = {.words = words, .out = said, .out_size = size, .seconds = how->seconds, .unwanted = how->unwanted, .arg = how->arg,
                               .unwanted_seconds = how->unwanted_seconds};
    const program_end end = program_run(&call, &err);
    for (size_t n = strlen(said); n > 0 && strchr(" \t\r\n", said[n - 1]); n--)
        said[n - 1] = '\0';
    id[0] = '\0';
    if (end.status == 0)
        find_id(id, said);
    if (end.status == 0 && id[0])
        return SUBMIT_TAKEN;
    for (char *p = strchr(said, '\n'); p; p = strchr(p, '\n')) /* a message is one line */
        *p = ' ';
    if (end.status < 0)
        (void)snprintf(said, size, "%s", err.text);
    else if (end.timed_out)
        (void)snprintf(said, size, "no answer within %" PRId64 " s", how->seconds);
    else if (end.dropped)
        (void)snprintf(said, size, "asked to stop before it answered");
    if (end.status < 0 || (!end.killed && (end.status == 126 || end.status == 127)))
        return SUBMIT_MISSING;
    return end.status > 0 && !end.killed && is_refusal(said) ? SUBMIT_REFUSED : SUBMIT_UNKNOWN;
}
