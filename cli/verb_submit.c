/* SPDX-License-Identifier: MIT
 * `submit`: the script of an array job whose every job does its part of a run. */
#include "cluster.h"
#include "input.h"
#include "jobs.h"
#include "limits.h"
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const char *output, *file, *config;
    job_words job;
    int64_t parts;
    bool now, overwrite;
} words;

/* The run must be there and fit; without --memory the jobs ask for what its plan promises. */
static int fit(const verb *self, const words *w, job_script *job)
{
    pel_error err = {0};
    pel_run *run = NULL;
    const pel_remote remote = remote_from_environment();
    pel_plan_summary s;
    const int64_t memory = job->memory > 0 ? job_program_memory(job->memory) : 0;
    const pel_limits here = memory > 0 ? (pel_limits){0} : limits_here(); /* those of the jobs' hosts are not known */
    const pel_run_options how = {.memory_bytes = memory, .threads = (int32_t)job->cores, .limits = &here, .open.remote = &remote};
    if (!pel_run_open(&run, w->output, &how, &err)) {
        (void)say_error(self, &err, true);
        return EXIT_USAGE;
    }
    pel_run_summary(run, &s);
    pel_run_destroy(run);
    if (job->memory == 0)
        job->memory = job_memory_for(s.memory_promised);
    if (job->jobs > s.blocks) {
        say(self, "--parts %" PRId64 ": the run has %" PRId64 " blocks; so many parts are made", job->jobs, s.blocks);
        job->jobs = s.blocks;
    }
    return EXIT_DONE;
}

/* Arrays are refused whole: Slurm's MaxArraySize and limits of accounts and QOS, max_array_size of PBS, max_aj_tasks of Grid Engine,
 * MAX_JOB_ARRAY_SIZE of LSF. */
static bool is_about_limits(const char *said)
{
    static const char *const hints[] = {"array", "limit", "exceed", "too many", "max"};
    for (int i = 0; i < COUNT(hints); i++)
        if (strcasestr(said, hints[i]))
            return true;
    return false;
}

static int submit(const verb *self, const words *w, const char *output, const job_script *job)
{
    char path[PATH_MAX], said[4096];
    pel_error err = {0};
    pel_status s;
    submission one = {.set = scaling_sent(job->jobs, 0)};
    if (pel_run_status(&s, output, NULL) && strcmp(s.state, "done") == 0) {
        say(self, "%s is done: nothing is submitted", output);
        return EXIT_DONE;
    }
    if (!job_write(path, sizeof path, output, job->name, job, &err))
        return say_error(self, &err, false);
    const enum submit_outcome outcome = job_submit(said, sizeof said, one.id, job, path, &(asking){.seconds = ASK_SECONDS});
    if (outcome != SUBMIT_TAKEN) {
        say(self, "%s: %s %s: %s%s", scheduler_name(job->scheduler), outcome == SUBMIT_UNKNOWN ? "no clear answer to" : "the scheduler refuses", path, said,
            outcome != SUBMIT_UNKNOWN ? "" : "; it may have been submitted all the same: look for it before you submit it again");
        if (outcome != SUBMIT_UNKNOWN && job->jobs > 1 && is_about_limits(said))
            say(self, "fewer --parts than %" PRId64 " may be taken: the scheduler speaks of a limit", job->jobs);
        return outcome == SUBMIT_UNKNOWN ? EXIT_FAILED : EXIT_USAGE;
    }
    (void)snprintf(one.scheduler, sizeof one.scheduler, "%s", scheduler_name(job->scheduler));
    if (!submission_note(output, &one, SUBMISSION_TAKEN, &err))
        return say_error(self, &err, false);
    (void)printf("%s\n", said);
    return EXIT_DONE;
}

static pel_file_rule rule_of(const words *w)
{
    return (pel_file_rule){.kind = "script", .inputs = &w->output, .input_count = 1, .overwrite = w->overwrite};
}

static int show(const verb *self, const words *w, const job_script *job)
{
    pel_error err = {0};
    char *text = NULL;
    size_t n = 0;
    FILE *const f = w->file ? open_memstream(&text, &n) : stdout;
    if (f)
        script_print(f, job);
    bool ok = f && (w->file ? fclose(f) : fflush(f)) == 0;
    const pel_file_rule rule = rule_of(w);
    ok = ok ? !w->file || pel_file_write(w->file, &rule, text, (int64_t)n, &err) : set_error(&err, PEL_IO, "cannot write the script");
    free(text);
    return ok ? EXIT_DONE : say_error(self, &err, false);
}

static int act(const verb *self, words *w)
{
    int code = EXIT_DONE;
    pel_error err = {0};
    job_script job;
    if (!job_fill(self, &w->job, &job, &code))
        return code;
    if (w->parts == 0)
        return command_wrong(self, "--parts is missing: how many jobs?");
    const pel_file_rule rule = rule_of(w);
    if (w->file && !pel_file_check(w->file, &rule, &err))
        return say_error(self, &err, false);
    const bool container = scheduler_is_container(job.scheduler);
    char output[PATH_MAX], log[RUN_PATH], program[PATH_MAX], folder[PATH_MAX];
    const bool apart = strstr(w->output, "://") != NULL; /* jobs stand elsewhere: named by the folder of its books */
    if (!realpath(apart && pel_run_folder(folder, sizeof folder, w->output, NULL) ? folder : w->output, output)) {
        if (!container || w->now) {
            say(self, "%s: no such output; `denoise … --prepare` makes it", w->output);
            return EXIT_USAGE;
        }
        (void)snprintf(output, sizeof output, "%s", w->output); /* a path inside the image */
    }
    job.jobs = w->parts;
    if (access(output, F_OK) == 0) {
        code = fit(self, w, &job);
        if (code != EXIT_DONE)
            return code;
    }
    if (!w->job.program && !container && own_program(program, sizeof program))
        w->job.program = program;
    job.log = run_file(log, output, "log");
    if (access(output, F_OK) == 0)
        (void)mkdir(log, 0777); /* Slurm ends a job whose output has no folder */
    work_command words_of_job;
    work_command_make(&words_of_job, &job, w->job.program ? w->job.program : "pellucid", output);
    job.words = words_of_job.words;
    if (!script_check(self, &job, &err)) {
        (void)say_error(self, &err, false);
        return EXIT_USAGE;
    }
    code = w->now ? submit(self, w, output, &job) : show(self, w, &job);
    w->job.program = NULL; /* it may point at our own `program` */
    return code;
}

int verb_submit(const verb *self, int argc, char **argv)
{
    words w = {0};
    option list[JOB_OPTIONS + 8];
    int n = job_options(list, &w.job);
    const option more[] = {
        {OPTION_INTEGER, "parts", "N", "jobs of the array: each does every N-th block", &w.parts, 1, 1e6},
        {OPTION_TEXT, "program", "PATH", "pellucid as the jobs find it (default: this one; in a container: pellucid)", &w.job.program, 0, 0},
        {OPTION_TEXT, "config", "FILE", CONFIG_HELP, &w.config, 0, 0},
        {OPTION_HEADING, NULL, NULL, "what to do with the script", NULL, 0, 0},
        {OPTION_TEXT, "output", "FILE", "write it there (default: to standard output)", &w.file, 0, 0},
        OVERWRITE_OPTION(w.overwrite),
        {OPTION_FLAG, "now", NULL, "give it to the scheduler and print what that says", &w.now, 0, 0},
    };
    memcpy(list + n, more, sizeof more);
    n += COUNT(more);
    const operand operands[] = {{"OUT", "the output of a run that was prepared or begun", &w.output, false}};
    const command c = {
        .verb = self,
        .text = "Jobs need no manager and know nothing of each other; the last one to end makes the upper pyramid levels and the audit. A job begins "
                "no block that would not end within the walltime. Blocks that are left, for whatever reason, are done by submitting again.",
        .examples = "  pellucid denoise embryo.czi embryo.ome.zarr --prepare\n"
                    "  pellucid submit embryo.ome.zarr --scheduler slurm --parts 7 --cores 76 --memory 220G --time 12:00:00 --now",
        .operands = operands, .operand_count = COUNT(operands), .options = list, .option_count = n};
    int code = EXIT_DONE, count = 0;
    char **const typed = config_words(self, argc, argv, true, &count, &code);
    if (!typed)
        return code;
    if (command_parse(&c, count, typed, &code))
        code = act(self, &w);
    free(typed);
    return code;
}
