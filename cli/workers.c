/* SPDX-License-Identifier: MIT
 * See cluster.h: keeping workers alive, on this machine, through a scheduler, or on the hosts of an allocation. */
#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (INT64_C(1) << 20)
#define MOST_QUICK_ENDS 20 /* of a process that ends within seconds of its start, before we stop starting it */

static int64_t seconds_now(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* ---- the worker's command --------------------------------------------------------------------------------------------- */

typedef struct {
    char cores[40], memory[40], time[40], port[32], timeout[24], scratch[PATH_MAX + 16], shell[160];
    char *words[48];
} worker_command;

/* Tasks learn from it how much time their worker has. No "$(": HTCondor would take it for a name of its own. */
static int add_shell(worker_command *out, const char **words, int64_t seconds)
{
    (void)snprintf(out->shell, sizeof out->shell, "PELLUCID_START=`date +%%s` PELLUCID_SECONDS=%" PRId64 " PELLUCID_WORKER=$$; "
                   "export PELLUCID_START PELLUCID_SECONDS PELLUCID_WORKER; exec \"$@\"", seconds);
    const char *const shell[] = {"/bin/sh", "-c", out->shell, "sh"};
    memcpy(words, shell, sizeof shell);
    return COUNT(shell);
}

/* Before the worker, where the network is encrypted: it adds an address of its own at the end of the worker's command. */
static int add_tls(const worker_command *out, const char **words, const cluster *c)
{
    const char *const tls[] = {c->words->tls_program ? c->words->tls_program : c->tls_program, "worker", "--key", c->password, "--address", c->address,
                               "--port", out->port, "--"};
    memcpy(words, tls, sizeof tls);
    return COUNT(tls);
}

static void make_command(worker_command *out, const cluster *c)
{
    const char *words[COUNT(out->words)] = {NULL};
    const char *const first[] = {c->words->worker_program, "--password", c->password, "--timeout", out->timeout};
    (void)snprintf(out->timeout, sizeof out->timeout, "%" PRId64, c->words->worker_timeout);
    (void)snprintf(out->port, sizeof out->port, "%" PRId64, c->port);
    int n = c->tls_program[0] ? add_tls(out, words, c) : 0;
    n += c->job.seconds > 0 ? add_shell(out, words + n, c->job.seconds - c->job.lead) : 0;
    memcpy(words + n, first, sizeof first);
    n += COUNT(first);
    if (c->words->worker_scratch) {
        (void)snprintf(out->scratch, sizeof out->scratch, "--workdir=%s", c->words->worker_scratch);
        words[n++] = out->scratch;
    }
    if (c->job.cores > 0) {
        (void)snprintf(out->cores, sizeof out->cores, "--cores=%" PRId64, c->job.cores);
        words[n++] = out->cores;
    }
    if (c->job.memory > 0) {
        (void)snprintf(out->memory, sizeof out->memory, "--memory=%" PRId64, c->job.memory / MIB);
        words[n++] = out->memory;
    }
    if (c->job.seconds > 0) {
        (void)snprintf(out->time, sizeof out->time, "--wall-time=%" PRId64, c->job.seconds - c->job.lead);
        words[n++] = out->time;
    }
    if (!c->tls_program[0]) {
        words[n++] = c->address;
        words[n++] = out->port;
    }
    memcpy(out->words, words, sizeof words);
}

/* ---- processes ----------------------------------------------------------------------------------------------------------- */

static void child_begins(const cluster *c, char *const *words)
{
    (void)setpgid(0, 0); /* Ctrl-C is for us; the children hear of it from the manager */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int fd = run_open(c->output, "log/workers.log", O_WRONLY | O_CREAT | O_APPEND, NULL);
    if (fd >= 0) {
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
    }
    (void)close(STDIN_FILENO);
    (void)open("/dev/null", O_RDONLY);
    (void)execvp(words[0], words); // NOLINT(clang-analyzer-core.NonNullParamChecker): a list that ends with NULL has a first
    _exit(127);
}

/* ---- workers on other hosts: ssh and its like put words together with blanks and give them to a shell, others start them as they
 * are, and most know nothing of the job's environment. So the command is written to a file that all hosts see, and its name is plain. */

static bool is_elsewhere(const cluster *c, int k)
{
    return c->processes[k].host[0] && strcmp(c->processes[k].host, "*") != 0; /* srun knows the hosts, and keeps words apart */
}

static bool is_any_elsewhere(const cluster *c)
{
    for (int k = 0; k < c->process_count; k++)
        if (is_elsewhere(c, k))
            return true;
    return false;
}

static bool script_goes_through(const cluster *c, const char *launcher, pel_error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,=+@%";
    if (!is_any_elsewhere(c) || c->output[strspn(c->output, plain)] == '\0')
        return true;
    return set_error(err, PEL_ARGUMENT, "--runner: %.80s would take apart the name of %.120s: expected no blanks, quotes or other signs of a shell in it",
                     launcher, c->output);
}

static void print_variable(FILE *to, const char *name)
{
    const char *const value = getenv(name);
    char *const words[] = {(char *)(uintptr_t)value, NULL};
    if (!value || !value[0])
        return;
    (void)fprintf(to, "%s=", name);
    script_print_words(to, words);
    (void)fprintf(to, "\"${%s:+:$%s}\"\nexport %s\n", name, name, name);
}

/* A name of its own for each command: a host's view of a shared folder may lag behind. Without it no host elsewhere could begin. */
static bool write_script(cluster *c, pel_error *err)
{
    static const char failed[] = "--runner: %s: cannot write the command for workers on other hosts: %s";
    char reason[128];
    worker_command worker;
    char folder[RUN_PATH];
    make_command(&worker, c);
    char name[100];
    (void)snprintf(name, sizeof name, "submit/runner-%" PRId64 "-%ld.sh", (int64_t)time(NULL), (long)getpid());
    (void)snprintf(c->worker_script, sizeof c->worker_script, "%.3900s", run_file(folder, c->output, name));
    pel_error e = {0};
    FILE *const f = run_write(c->output, name, &e);
    if (!f) /* a link is refused by name, all else is the system's reason */
        return e.code == PEL_REFUSED ? set_error(err, e.code, "%s", e.text) : set_error(err, PEL_IO, failed, c->worker_script, strerror_r(errno, reason, sizeof reason));
    (void)fputs("#!/bin/sh\n# A worker on another host of `pellucid cluster --runner`, with the ways of the host that started it first.\n", f);
    print_variable(f, "PATH");
    print_variable(f, "LD_LIBRARY_PATH");
    for (int i = 0; c->job.prologue && i < c->job.prologue->count; i++)
        (void)fprintf(f, "%s\n", c->job.prologue->items[i]);
    (void)fputs("exec ", f);
    script_print_words(f, worker.words);
    (void)fputc('\n', f);
    const bool ok = fflush(f) == 0;
    const int why = errno;
    const bool closed = fclose(f) == 0;
    return (ok && closed) || set_error(err, PEL_IO, failed, c->worker_script, strerror_r(ok ? errno : why, reason, sizeof reason));
}

typedef struct {
    char group[40], nodes[40], tasks[40], one[24];
} group_words;

/* Which hosts of a heterogeneous job. */
static int add_group(group_words *g, char **words, const cluster *c, int k)
{
    if (c->processes[k].group == 0)
        return 0;
    (void)snprintf(g->group, sizeof g->group, "--het-group=%d", c->processes[k].group - 1);
    (void)snprintf(g->nodes, sizeof g->nodes, "--nodes=%" PRId64, c->processes[k].slots);
    (void)snprintf(g->tasks, sizeof g->tasks, "--ntasks=%" PRId64, c->processes[k].slots);
    (void)snprintf(g->one, sizeof g->one, "--ntasks-per-node=1");
    char *const more[] = {g->group, g->nodes, g->tasks, g->one};
    memcpy(words, more, sizeof more);
    return COUNT(more);
}

/* host "": here. Launched elsewhere by the words of the launcher, then the host, then the command. */
static void start_process(cluster *c, int k)
{
    group_words group;
    worker_command worker;
    char launcher[512], shell[] = "/bin/sh", option_c[] = "-c";
    char *words[96];
    int n = 0;
    make_command(&worker, c);
    (void)snprintf(launcher, sizeof launcher, "%s", c->words->launcher ? c->words->launcher : "");
    if (c->processes[k].host[0]) {
        for (char *p = launcher; *p && n < 32; p += strspn(p, " ")) {
            words[n++] = p;
            p += strcspn(p, " ");
            if (*p)
                *p++ = '\0';
        }
    }
    n += add_group(&group, words + n, c, k);
    if (is_elsewhere(c, k)) {
        words[n++] = c->processes[k].host;
        words[n++] = shell;
        words[n++] = c->worker_script;
    }
    char *const prologue = is_elsewhere(c, k) ? NULL : script_prologue(c->job.prologue);
    char *const before[] = {shell, option_c, prologue, shell};
    for (int i = 0; prologue && i < COUNT(before); i++)
        words[n++] = before[i];
    for (int i = 0; worker.words[i] && !is_elsewhere(c, k); i++)
        words[n++] = worker.words[i];
    words[n] = NULL;
    c->processes[k].began = seconds_now();
    c->processes[k].starts++;
    const pid_t pid = fork();
    if (pid == 0)
        child_begins(c, words);
    free(prologue);
    c->processes[k].pid = pid;
}

static void keep_processes(cluster *c)
{
    for (int k = 0; k < c->process_count; k++) {
        int status = 0;
        if (c->processes[k].pid <= 0 || waitpid(c->processes[k].pid, &status, WNOHANG) != c->processes[k].pid)
            continue;
        c->processes[k].pid = 0;
        if (seconds_now() - c->processes[k].began > 10)
            c->processes[k].starts = 0;
        if (c->processes[k].starts < MOST_QUICK_ENDS)
            start_process(c, k);
        else
            say(c->self, "a worker%s%s ends as soon as it is started; see %s", c->processes[k].host[0] ? " on " : "",
                c->processes[k].host, run_file((char[RUN_PATH]){0}, c->output, "log/workers.log"));
    }
}

static void end_processes(cluster *c)
{
    for (int k = 0; k < c->process_count; k++) {
        if (c->processes[k].pid <= 0)
            continue;
        (void)kill(-c->processes[k].pid, SIGTERM);
        (void)kill(-c->processes[k].pid, SIGCONT); /* one that was stopped hears it only then */
    }
    for (int tries = 0, left = 1; left && tries < 100; tries++) {
        left = 0;
        for (int k = 0; k < c->process_count; k++) {
            if (c->processes[k].pid > 0 && waitpid(c->processes[k].pid, NULL, WNOHANG) != 0)
                c->processes[k].pid = 0;
            left += c->processes[k].pid > 0;
        }
        if (left)
            (void)usleep(100000);
    }
    for (int k = 0; k < c->process_count; k++) {
        if (c->processes[k].pid > 0) {
            (void)kill(-c->processes[k].pid, SIGKILL);
            (void)waitpid(c->processes[k].pid, NULL, 0);
        }
    }
}

/* ---- a scheduler ------------------------------------------------------------------------------------------------------------- */

static job_script worker_job(const cluster *c, worker_command *worker, char log[RUN_PATH], int64_t count)
{
    job_script job = c->job;
    make_command(worker, c);
    job.jobs = count;
    job.workers = true;
    job.words = worker->words;
    job.log = run_file(log, c->output, "log");
    return job;
}

bool workers_check(const cluster *c, pel_error *err)
{
    worker_command worker;
    char log[RUN_PATH];
    const job_script job = worker_job(c, &worker, log, 1);
    return c->kind != CLUSTER_SCHEDULER || script_check(c->self, &job, err);
}

bool workers_script(cluster *c, job_script *job, char path[PATH_MAX], pel_error *err)
{
    worker_command worker;
    char name[128], log[RUN_PATH];
    const char *const own_name = job->name;
    *job = worker_job(c, &worker, log, job->jobs);
    job->name = own_name;
    (void)snprintf(name, sizeof name, "%.100s-workers", c->job.name);
    const bool ok = job_write(path, PATH_MAX, c->output, name, job, err);
    job->words = NULL;
    job->log = NULL;
    return ok;
}

/* ---- all kinds ---------------------------------------------------------------------------------------------------------------- */

bool workers_find(cluster *c, pel_error *err)
{
    if (c->kind == CLUSTER_RUNNER) {
        c->with_launcher = *c->words;
        c->words = &c->with_launcher;
        if (!hosts_find(c, &c->with_launcher, err) || !script_goes_through(c, c->words->launcher, err))
            return false;
        c->most = 0;
        for (int k = 0; k < c->process_count; k++)
            c->most += strcmp(c->processes[k].host, "*") == 0 ? c->processes[k].slots : 1;
    } else if (c->kind == CLUSTER_LOCAL) {
        c->process_count = (int)(c->most < MOST_PROCESSES ? c->most : MOST_PROCESSES);
    }
    return true;
}

bool workers_begin(cluster *c, pel_error *err)
{
    c->last_poll = 0;
    if (c->kind == CLUSTER_SCHEDULER)
        return jobs_begin(c, err);
    scale_begin(c);
    if (is_any_elsewhere(c) && !write_script(c, err))
        return false;
    for (int k = 0; k < c->process_count; k++)
        start_process(c, k);
    return true;
}

void workers_keep(cluster *c, int64_t blocks_left, int64_t connected)
{
    if (c->kind == CLUSTER_SCHEDULER)
        jobs_keep(c, blocks_left, connected);
    else
        keep_processes(c);
}

void workers_end(cluster *c)
{
    if (c->kind == CLUSTER_SCHEDULER)
        jobs_end(c);
    else
        end_processes(c);
    if (c->worker_script[0])
        (void)unlink(c->worker_script);
}
