/* SPDX-License-Identifier: MIT
 * `cluster`: a run on as many workers as there are. Starts the manager (a program of its own), keeps workers alive until
 * the run is done, and tells how it ended. Whatever dies, the same command goes on: the ledger knows what is done. */
#include "input.h"
#include "cluster.h"
#include "dashboard.h"
#include "limits.h"
#include "notes.h"
#include "progress.h"
#include "quote.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PELLUCID_LIBEXEC
#define PELLUCID_LIBEXEC "/usr/local/libexec/pellucid"
#endif

/* ---- words ------------------------------------------------------------------------------------------------------------- */

static int cluster_options(option *list, cluster_words *w)
{
    const option first[] = {
        {OPTION_HEADING, NULL, NULL, "the workers", NULL, 0, 0},
        {OPTION_TEXT, "workers", "N|A..B", "so many workers, between A and B as blocks are left, or local:N on this machine", &w->workers, 0, 0},
        {OPTION_FLAG, "runner", NULL, "inside an allocation of Slurm, PBS, Grid Engine or LSF: a worker on each of its hosts", &w->runner, 0, 0},
        {OPTION_TEXT, "hosts", "A,B,…", "with --runner: these hosts instead", &w->hosts, 0, 0},
        {OPTION_TEXT, "launcher", "WORDS", "what starts a command on a host (default: ssh -o BatchMode=yes, srun, qrsh or blaunch)", &w->launcher, 0, 0},
        {OPTION_TEXT, "config", "FILE", CONFIG_HELP, &w->config, 0, 0},
        {OPTION_TEXT, "scale", "N|A..B", "of a manager that is at work: so many workers from now on; no other words", &w->scale, 0, 0},
        {OPTION_FLAG, "detach", NULL, "go on without the terminal; what is said goes to OUT.run/log/cluster.log", &w->detach, 0, 0},
        {OPTION_FLAG, "quiet", NULL, "only what goes wrong", &w->quiet, 0, 0},
        {OPTION_HEADING, NULL, NULL, "the network", NULL, 0, 0},
        {OPTION_TEXT, "interface", "NAME", "listen there: ib0, or an address of this machine (default: a private one; loopback for local:N)", &w->interface, 0, 0},
        {OPTION_FLAG, "tls", NULL, "encrypt what goes over the network (TLS 1.3); nobody gets in without the run's password", &w->tls, 0, 0},
        {OPTION_INTEGER, "port", "N", "default: any, or that of the last manager", &w->port, 1, 65535},
        {OPTION_HEADING, NULL, NULL, "the care", NULL, 0, 0},
        {OPTION_INTEGER, "attempts", "N", "failures of a block before it is given up (default 3)", &w->attempts, 1, 100},
        {OPTION_INTEGER, "batch-seconds", "S", "blocks go out together so that a task lasts about so long (default 60)", &w->batch_seconds, 1, 1e6},
        {OPTION_INTEGER, "late-seconds", "S", "a task is repeated elsewhere after three times what is usual and so long more (default 30)",
         &w->straggler_seconds, 1, 1e6},
        {OPTION_INTEGER, "poll-seconds", "S", "between questions to the scheduler (default 15)", &w->poll, 1, 3600},
        {OPTION_INTEGER, "answer-seconds", "S", "a scheduler's command that has not ended by then is ended; that is no answer, and nothing is submitted (default 120)",
         &w->answer, 1, 3600},
        {OPTION_INTEGER, "seconds", "S", "stop after S seconds, as the walltime of this job: begin no task that would not end by then", &w->seconds, 1, 1e9},
        {OPTION_TEXT, "hand-over", "COMMAND", "run that when stopped by --seconds or by the scheduler's early signal (USR1) before the run is done, to submit this job again",
         &w->hand_over, 0, 0},
        {OPTION_TEXT, "worker-program", "PATH", "work_queue_worker as the hosts find it", &w->worker_program, 0, 0},
        {OPTION_TEXT, "worker-scratch", "DIR", "where a worker keeps its scratch (default: $TMPDIR of its job, else /tmp)", &w->worker_scratch, 0, 0},
        {OPTION_INTEGER, "worker-timeout", "S", "a worker that hears of no manager for so long ends (default 300)", &w->worker_timeout, 1, 1e7},
        {OPTION_TEXT, "tls-program", "PATH", "pellucid-tls as the hosts find it (default: this one's)", &w->tls_program, 0, 0},
        {OPTION_TEXT, "program", "PATH", "pellucid as the hosts find it (default: this one)", &w->job.program, 0, 0},
    };
    memcpy(list, first, sizeof first);
    return COUNT(first) + job_options(list + COUNT(first), &w->job);
}

static int read_workers(cluster *c, const char *text)
{
    if (!text)
        return c->kind == CLUSTER_RUNNER ? EXIT_DONE : command_wrong(c->self, "--workers is missing: how many?");
    const bool local = strncmp(text, "local:", 6) == 0;
    if (local)
        c->kind = CLUSTER_LOCAL;
    if (parse_bounds(local ? text + 6 : text, &c->least, &c->most) && (!local || c->least == c->most))
        return EXIT_DONE;
    return command_wrong(c->self, "--workers: found \"%s\", expected N, A..B or local:N", text);
}

static int check_words(cluster *c, cluster_words *w)
{
    if (w->runner && (w->workers || w->job.scheduler))
        return command_wrong(c->self, "--runner takes its workers from the allocation: no --workers, no --scheduler");
    if (w->worker_scratch && (w->worker_scratch[0] != '/' || !quote_is_plain(w->worker_scratch)))
        return command_wrong(c->self, "--worker-scratch '%s': expected an absolute path without blanks, quotes or other signs of a shell: "
                             "work_queue_worker would take it apart", w->worker_scratch);
    c->kind = w->runner ? CLUSTER_RUNNER : CLUSTER_SCHEDULER;
    int code = read_workers(c, w->workers);
    if (code != EXIT_DONE)
        return code;
    if (c->kind == CLUSTER_SCHEDULER) {
        if (!job_fill(c->self, &w->job, &c->job, &code))
            return code;
        if (scheduler_is_container(c->job.scheduler))
            return command_wrong(c->self, "%s has no shared file system with this machine: `pellucid submit` spreads the run in parts",
                                 scheduler_name(c->job.scheduler));
        if (c->job.cores == 0)
            return command_wrong(c->self, "--cores is missing: how many processors has a worker?");
        return EXIT_DONE;
    }
    c->job = (job_script){.jobs = 1, .name = "pellucid", .prologue = &w->job.prologue, .cores = w->job.cores, .memory = w->job.memory, .seconds = w->job.time,
                          .lead = job_lead(w->job.time)};
    if (c->kind == CLUSTER_LOCAL && c->job.cores == 0)
        c->job.cores = limits_here().threads / c->most > 1 ? limits_here().threads / c->most : 1;
    return EXIT_DONE;
}

/* ---- what the manager needs ----------------------------------------------------------------------------------------------- */

/* Those of this machine, unless the workers are elsewhere and it was said what they have. */
static pel_limits limits_of_workers(const cluster *c)
{
    return c->kind != CLUSTER_LOCAL && c->job.memory > 0 ? (pel_limits){0} : limits_here();
}

/* Workers of this machine share half of what it allows. 0: as the limits say. */
static int64_t memory_of_worker(const cluster *c, const pel_limits *limits)
{
    if (c->job.memory > 0)
        return job_program_memory(c->job.memory);
    return c->kind == CLUSTER_LOCAL && c->most > 1 ? limits->memory_bytes / 2 / c->most : 0;
}

/* The run is there, fits into a worker, and is not done. *done: it is. */
static int check_run(cluster *c, bool *done)
{
    pel_error err = {0};
    const pel_remote remote = remote_from_environment();
    pel_run *run = NULL;
    pel_status s;
    pel_plan_summary plan;
    char folder[PATH_MAX];
    const bool apart = strstr(c->words->output, "://") != NULL; /* workers stand elsewhere: named by the folder of its books */
    if (!realpath(apart && pel_run_folder(folder, sizeof folder, c->words->output, NULL) ? folder : c->words->output, c->output)) {
        say(c->self, "%s: no such output; `denoise … --prepare` makes it", c->words->output);
        return EXIT_USAGE;
    }
    if (!pel_run_status(&s, c->output, &err))
        return say_error(c->self, &err, true);
    c->done_before = s.blocks_done;
    *done = strcmp(s.state, "done") == 0;
    if (*done)
        return EXIT_DONE;
    const pel_limits limits = limits_of_workers(c);
    const pel_run_options how = {.memory_bytes = memory_of_worker(c, &limits), .threads = (int32_t)c->job.cores, .limits = &limits, .open.remote = &remote};
    if (c->kind == CLUSTER_LOCAL)
        limits_warn(c->self, &limits, c->job.memory < INT64_MAX / c->most ? c->job.memory * c->most : INT64_MAX, false);
    if (!pel_run_open(&run, c->output, &how, &err)) {
        (void)say_error(c->self, &err, true);
        return EXIT_USAGE;
    }
    pel_run_summary(run, &plan);
    pel_run_destroy(run);
    c->sweep = plan.sweep;
    const int64_t wants = job_memory_for(plan.memory_promised);
    if (c->job.memory == 0 && c->kind != CLUSTER_RUNNER)
        c->job.memory = wants;
    c->task_memory = wants < c->job.memory ? wants : c->job.memory;
    return EXIT_DONE;
}

/* Kept for the life of the run, so that workers of an earlier manager may come back. Only its owner may read it. */
static bool make_password(cluster *c)
{
    unsigned char bytes[32];
    char text[65];
    char path[RUN_PATH];
    (void)snprintf(c->password, sizeof c->password, "%s", run_file(path, c->output, "password"));
    struct stat st;
    if (lstat(c->password, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && (st.st_mode & 077) == 0 && st.st_uid == geteuid() && st.st_size >= 64)
        return true;
    (void)unlink(c->password);
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    const int fd = open(c->password, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    const bool ok = write(fd, text, 64) == 64;
    const int why = errno;
    (void)close(fd);
    errno = why;
    return ok;
}

/* "host address port", and whether it is encrypted, of the manager that the file tells of. */
static void describe_manager(char *out, size_t size, json_object *o)
{
    json_object *host = NULL, *address = NULL, *tls = NULL;
    const bool coded = o && json_object_object_get_ex(o, "tls", &tls) && json_object_get_boolean(tls);
    const bool told = o && json_object_object_get_ex(o, "host", &host) && json_object_object_get_ex(o, "address", &address);
    out[0] = '\0';
    if (told)
        (void)snprintf(out, size, "%.200s %.60s %" PRId64 "%s", member_text(o, "host"), member_text(o, "address"), member_integer(o, "port"),
                       coded ? " tls" : "");
}

/* A program of ours that users do not call: beside this one, in a build folder, or where it was installed. */
static bool find_helper(char path[PATH_MAX], const char *name)
{
    char in_build[64];
    (void)snprintf(in_build, sizeof in_build, "src/%s", name);
    if (program_beside(path, PATH_MAX, name) || program_beside(path, PATH_MAX, in_build))
        return true;
    (void)snprintf(path, PATH_MAX, "%s/%s", PELLUCID_LIBEXEC, name);
    return access(path, X_OK) == 0;
}

/* ---- the manager's process ---------------------------------------------------------------------------------------------------- */

static pid_t start_manager(const cluster *c)
{
    enum { MOST = 15 };
    static const char *const names[MOST] = {"--program", "--address", "--password", "--port", "--cores", "--memory", "--memory-most",
                                            "--attempts", "--batch-seconds", "--straggler-seconds", "--seconds", "--workers", "--sweep"};
    const int64_t life = (c->job.seconds - c->job.lead) / 4, batch = c->words->batch_seconds;
    const int64_t numbers[] = {c->port, c->job.cores, c->task_memory, c->job.memory, c->words->attempts, life > 0 && life < batch ? life : batch,
                               c->words->straggler_seconds, c->words->seconds, c->most, c->sweep};
    char texts[COUNT(numbers)][24];
    const char *const values[3] = {c->program, c->address, c->password};
    const char *words[2 * MOST + 3] = {c->manager_program};
    int n = 1;
    for (int i = 0; i < 3 + COUNT(numbers); i++) {
        if (i >= 3)
            (void)snprintf(texts[i - 3], sizeof texts[0], "%" PRId64, numbers[i - 3]);
        words[n++] = names[i];
        words[n++] = i < 3 ? values[i] : texts[i - 3];
    }
    if (c->tls_program[0]) {
        words[n++] = "--tls";
        words[n++] = c->tls_program;
    }
    words[n++] = c->output;
    words[n] = NULL;
    const pid_t pid = fork();
    if (pid == 0) {
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)execv(c->manager_program, (char *const *)(uintptr_t)words);
        _exit(127);
    }
    return pid;
}

/* Until its file tells the port. False: it ended, *status. */
static bool wait_for_port(cluster *c, int *status)
{
    for (;;) {
        char now[sizeof c->last];
        json_object *const o = run_document(c->output, "manager.json");
        const bool ready = member_integer(o, "pid") == c->manager && member_integer(o, "port") > 0;
        c->port = ready ? member_integer(o, "port") : c->port;
        describe_manager(now, sizeof now, o);
        json_object_put(o);
        if (ready && strcmp(c->last, now) == 0)
            c->last[0] = '\0';
        if (ready)
            return true;
        if (waitpid(c->manager, status, WNOHANG) != 0)
            return false;
        if (stop_asked() && !c->told) {
            c->told = true;
            (void)kill(c->manager, SIGTERM);
        }
        (void)usleep(20000);
    }
}

static void show_progress(const cluster *c, json_object *o, bool last)
{
    static int64_t shown = -1;
    const int64_t done = member_integer(o, "blocks_done"), every = isatty(STDERR_FILENO) ? 1 : 30;
    if (c->words->quiet || !o || (!last && shown >= 0 && time(NULL) - shown < every))
        return;
    shown = time(NULL);
    const int64_t total = done + member_integer(o, "blocks_waiting") + member_integer(o, "blocks_out") + member_integer(o, "blocks_given_up");
    if (every == 1)
        terminal_send(stderr, "\r\033[K");
    (void)fprintf(stderr, "%" PRId64 " of %" PRId64 " blocks, %" PRId64 " workers, %" PRId64 " tasks running%s", done,
                  total, member_integer(o, "workers"), member_integer(o, "tasks_running"), every == 1 && !last ? "" : "\n");
}

/* For those who ask later why it stands still. */
static void note_reason(const cluster *c, int status)
{
    char text[600] = "";
    pel_status s;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_DONE)
        return;
    if (stop_asked())
        (void)snprintf(text, sizeof text, "the manager was %s", stop_words());
    else if (c->given_up)
        (void)snprintf(text, sizeof text, "%s", c->limit_said);
    else if (WIFSIGNALED(status))
        (void)snprintf(text, sizeof text, "the manager was killed by signal %d; the same command goes on", WTERMSIG(status));
    else if (WEXITSTATUS(status) == EXIT_INTERRUPTED)
        (void)snprintf(text, sizeof text, "the manager's time was up (--seconds)");
    else if (pel_run_status(&s, c->output, NULL) && s.blocks_failed > 0)
        (void)snprintf(text, sizeof text, "%" PRId64 " blocks were given up: `status --failures` tells why", s.blocks_failed);
    if (text[0])
        (void)pel_run_note_stop(c->output, text, NULL);
}

/* Until the manager ends; its exit code. */
static int watch(cluster *c)
{
    int status = 0;
    dashboard page = {.output = c->output, .version = PELLUCID_VERSION};
    for (int k = 0; waitpid(c->manager, &status, WNOHANG) == 0; k++) {
        if ((stop_asked() || c->given_up) && !c->told) {
            c->told = true;
            (void)kill(c->manager, SIGTERM);
        }
        if (k % 10 == 0 && !c->told) {
            json_object *const o = run_document(c->output, "manager.json");
            workers_keep(c, member_integer(o, "blocks_waiting") + member_integer(o, "blocks_out") + 1, member_integer(o, "workers"));
            show_progress(c, o, false);
            json_object_put(o);
            dashboard_tick(&page);
        }
        (void)usleep(100000);
    }
    json_object *const o = run_document(c->output, "manager.json");
    show_progress(c, o, true);
    json_object_put(o);
    note_reason(c, status);
    dashboard_end(&page);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

static int run_cluster(cluster *c)
{
    pel_error err = {0};
    int status = 0;
    stop_install();
    if (!workers_find(c, &err))
        return say_error(c->self, &err, false);
    c->manager = start_manager(c);
    if (c->manager < 0 || !wait_for_port(c, &status)) {
        say(c->self, "%s: did not begin", c->manager_program);
        return c->manager > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_USAGE ? EXIT_USAGE : EXIT_FAILED;
    }
    (void)pel_run_note_stop(c->output, "", NULL); /* what ended it before */
    const bool begun = workers_begin(c, &err);
    if (!begun) { /* nobody would ever come to the manager */
        (void)kill(c->manager, SIGTERM);
        c->told = true;
    }
    const int code = watch(c);
    workers_end(c);
    if (c->given_up && code == EXIT_INTERRUPTED && !stop_asked())
        return EXIT_FAILED;
    return begun ? code : say_error(c->self, &err, false);
}

/* ---- begin and end ---------------------------------------------------------------------------------------------------------------- */

static bool detach(const cluster *c)
{
    char log[RUN_PATH];
    pel_error err = {0};
    const int fd = run_open(c->output, "log/cluster.log", O_WRONLY | O_CREAT | O_APPEND, &err), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)run_file(log, c->output, "log/cluster.log");
    if (fd < 0 || null < 0) {
        say(c->self, "%s", fd < 0 ? err.text : "/dev/null: cannot open");
        return false;
    }
    const pid_t pid = fork();
    if (pid > 0) {
        (void)printf("process %ld goes on; `pellucid status %s` shows how far it is, %s what it says\n", (long)pid, c->output, log);
        (void)fflush(stdout);
        _exit(EXIT_DONE);
    }
    (void)setsid();
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    return pid == 0;
}

/* A run that gets no further is not handed over again and again. Who cancels the job (TERM, INT) wants an end. */
static void hand_over(const cluster *c, const pel_status *s)
{
    char said[1024];
    pel_error err = {0};
    if (!c->words->hand_over || (c->told && stop_signal() != SIGUSR1))
        return;
    if (s->blocks_done + s->pyramid_done <= c->done_before) {
        say(c->self, "no block was done: not handed over");
        return;
    }
    const char *const words[] = {"/bin/sh", "-c", c->words->hand_over, NULL};
    const int status = run_program(said, sizeof said, words, &err);
    said[strcspn(said, "\n")] = '\0';
    say(c->self, status == 0 ? "handed over: %s" : "handing over failed: %s", status < 0 ? err.text : said);
}

static int report(const cluster *c, int code)
{
    pel_status s;
    pel_error err = {0};
    if (!pel_run_status(&s, c->output, &err))
        return say_error(c->self, &err, true);
    if (code == EXIT_DONE && !c->words->quiet)
        (void)fprintf(stderr, "done: %" PRId64 " of %" PRId64 " blocks; every file audited\n", s.blocks_done, s.blocks_total);
    if (code == EXIT_DONE)
        print_run_notes(stderr, c->output, NOTE_LABEL, false);
    if (code == EXIT_INTERRUPTED)
        say(c->self, "stopped: %" PRId64 " of %" PRId64 " blocks are done; the same command goes on", s.blocks_done, s.blocks_total);
    if (code == EXIT_INTERRUPTED)
        hand_over(c, &s);
    else if (code == EXIT_FAILED && s.blocks_failed > 0)
        say(c->self, "%" PRId64 " of %" PRId64 " blocks are done; `pellucid status %s --failures` tells why the others failed; the same command tries them again",
            s.blocks_done, s.blocks_total, c->output);
    else if (code == EXIT_FAILED)
        say(c->self, "%" PRId64 " of %" PRId64 " blocks are done; the same command goes on", s.blocks_done, s.blocks_total);
    return code;
}

static int prepare(cluster *c, cluster_words *w)
{
    char found[1024], log[RUN_PATH];
    pel_error err = {0};
    bool done = false;
    int code = check_words(c, w);
    if (code == EXIT_DONE)
        code = check_run(c, &done);
    if (code != EXIT_DONE || done)
        return code == EXIT_DONE ? -1 : code;
    if (!find_helper(c->manager_program, "pellucid-manager")) {
        say(c->self, "%s: no such program; this pellucid was built without Work Queue (coop-computing-tools-dev)", c->manager_program);
        return EXIT_USAGE;
    }
    if (w->tls && !find_helper(c->tls_program, "pellucid-tls")) {
        say(c->self, "--tls: %s: no such program; this pellucid was built without OpenSSL 3 (libssl-dev)", c->tls_program);
        return EXIT_USAGE;
    }
    if (!network_address(c->address, found, sizeof found, w->interface, c->kind == CLUSTER_LOCAL)) {
        say(c->self, "no %s to listen on: give --interface, one of %s", w->interface ? w->interface : "private address", found);
        return EXIT_USAGE;
    }
    (void)mkdir(run_file(log, c->output, "log"), 0777);
    if (!make_password(c)) {
        say(c->self, "%s: cannot write the password: %s", c->password, strerror_r(errno, found, sizeof found));
        return EXIT_FAILED;
    }
    if (!workers_check(c, &err))
        return say_error(c->self, &err, false);
    if (w->job.program)
        (void)snprintf(c->program, sizeof c->program, "%s", w->job.program);
    else if (!own_program(c->program, sizeof c->program))
        return EXIT_FAILED;
    json_object *const o = run_document(c->output, "manager.json");
    c->port = w->port > 0 ? w->port : member_integer(o, "port");
    describe_manager(c->last, sizeof c->last, o);
    json_object_put(o);
    return EXIT_DONE;
}

static int act(const verb *self, cluster_words *w)
{
    cluster *const c = calloc(1, sizeof *c); /* large */
    if (!c) {
        say(self, "out of memory");
        return EXIT_FAILED;
    }
    c->self = self;
    c->words = w;
    int code = prepare(c, w);
    if (code == -1) {
        if (!w->quiet)
            say(self, "%s is done", c->output);
        code = EXIT_DONE;
    } else if (code == EXIT_DONE) {
        code = w->detach && !detach(c) ? EXIT_FAILED : report(c, run_cluster(c));
    }
    free(c);
    return code;
}

int verb_cluster(const verb *self, int argc, char **argv)
{
    cluster_words w = {.attempts = 3, .batch_seconds = 60, .straggler_seconds = 30, .poll = 15, .answer = ASK_SECONDS, .worker_program = "work_queue_worker", .worker_timeout = 300};
    option list[JOB_OPTIONS + 32];
    const int n = cluster_options(list, &w);
    const operand operands[] = {{"OUT", "the output of a run that was prepared or begun", &w.output, false}};
    const command c = {
        .verb = self,
        .text = "Workers need to see the folders of input and output; only numbers of blocks go over the network. Whatever is killed, "
                "workers or this program, the same command goes on where the run was.",
        .examples = "  pellucid cluster embryo.ome.zarr --workers 2..16 --scheduler slurm --cores 40 --memory 220G --time 36:00:00\n"
                    "  pellucid cluster embryo.ome.zarr --runner\n"
                    "  pellucid cluster embryo.ome.zarr --workers local:2",
        .operands = operands, .operand_count = COUNT(operands), .options = list, .option_count = n};
    int code = EXIT_DONE, count = 0;
    char **const words = config_words(self, argc, argv, false, &count, &code);
    if (!words)
        return code;
    if (command_parse(&c, count, words, &code))
        code = w.scale ? scale_ask(self, &w) : act(self, &w);
    free(words);
    return code;
}
