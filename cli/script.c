/* SPDX-License-Identifier: MIT
 * See script.h: the schedulers whose job is a shell script with directives, and HTCondor's description. */
#include "quote.h"
#include "script.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)

struct scheduler {
    const char *name, *prefix; /* of a directive */
    void (*directives)(FILE *to, const job_script *job);
    void (*print)(FILE *to, const job_script *job); /* NULL: a shell script */
    const char *index;                              /* text of k/N in a shell script; %s is N */
    const char *submit;                             /* shell line; "$1" is the file */
    const quoting *quoting;                         /* NULL: JSON quotes all */
    const char *queue, *log;                        /* the directives in which texts of the user stand */
};

/* ---- words and lines ------------------------------------------------------------------------------------------- */

static bool is_left_out(const job_script *job, const char *line)
{
    for (int i = 0; job->without && i < job->without->count; i++)
        if (strstr(line, job->without->items[i]))
            return true;
    return false;
}

static void directive(FILE *to, const job_script *job, const char *fmt, ...) PEL_PRINTF(3, 4);

static void directive(FILE *to, const job_script *job, const char *fmt, ...)
{
    char line[4600];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (!is_left_out(job, line))
        (void)fprintf(to, "%s%s\n", job->scheduler->prefix, line);
}

/* The directive with a text of the user behind it, in memory of the caller; NULL: no memory, or it is left out. */
static char *text_line(const job_script *job, const char *before, const char *text, const char *tail, bool path)
{
    char *line = NULL;
    size_t size = 0;
    FILE *const f = open_memstream(&line, &size);
    if (!f)
        return NULL;
    (void)fputs(before, f);
    job->scheduler->quoting->print(f, text, tail, path);
    if (fclose(f) == 0 && !is_left_out(job, line))
        return line;
    free(line);
    return NULL;
}

static void text_directive(FILE *to, const job_script *job, const char *before, const char *text, const char *tail)
{
    char *const line = text_line(job, before, text, tail, text == job->log);
    if (line)
        (void)fprintf(to, "%s%s\n", job->scheduler->prefix, line);
    free(line);
}

static void queue_directive(FILE *to, const job_script *job)
{
    if (job->queue)
        text_directive(to, job, job->scheduler->queue, job->queue, "");
}

static void log_directive(FILE *to, const job_script *job, const char *tail)
{
    if (job->log)
        text_directive(to, job, job->scheduler->log, job->log, tail);
}

static void added_directives(FILE *to, const job_script *job)
{
    for (int i = 0; job->directives && i < job->directives->count; i++)
        (void)fprintf(to, "%s%s\n", job->scheduler->prefix, job->directives->items[i]);
}

static const char *clock_text(char out[32], int64_t seconds)
{
    (void)snprintf(out, 32, "%" PRId64 ":%02" PRId64 ":%02" PRId64, seconds / 3600, seconds / 60 % 60, seconds % 60);
    return out;
}

static bool is_array(const job_script *job)
{
    return job->jobs > 1;
}

/* ---- directives of each scheduler ------------------------------------------------------------------------------- */

/* Slurm looks every half minute and sends the signal at the last look before its time; by then the program, which knows the
 * clock, should have ended by itself. */
static int64_t slurm_notice(int64_t lead)
{
    return lead > 120 ? lead - 60 : lead / 2;
}

static void slurm(FILE *to, const job_script *j)
{
    char t[32];
    directive(to, j, "--job-name=%s", j->name);
    if (is_array(j))
        directive(to, j, "--array=1-%" PRId64, j->jobs);
    directive(to, j, "--nodes=1");
    directive(to, j, "--ntasks=1");
    if (j->cores > 0)
        directive(to, j, "--cpus-per-task=%" PRId64, j->cores);
    if (j->memory > 0)
        directive(to, j, "--mem=%" PRId64 "M", j->memory / MIB);
    if (j->seconds > 0) {
        directive(to, j, "--time=%s", clock_text(t, j->seconds));
        directive(to, j, "--signal=B:USR1@%" PRId64, slurm_notice(j->lead));
    }
    if (j->workers) /* one that is preempted comes back late, and counts as alive until then: a new one is asked for instead */
        directive(to, j, "--no-requeue");
    queue_directive(to, j);
    log_directive(to, j, is_array(j) ? "/slurm-%A_%a.out" : "/slurm-%j.out");
}

static void pbs_common(FILE *to, const job_script *j)
{
    char t[32];
    directive(to, j, "-N %.15s", j->name);
    if (j->seconds > 0)
        directive(to, j, "-l walltime=%s", clock_text(t, j->seconds));
    queue_directive(to, j);
    directive(to, j, "-j oe");
    log_directive(to, j, "/");
    if (!j->workers || (is_array(j) && strcmp(j->scheduler->name, "pbs") == 0)) /* PBS takes no array that may not be run again */
        directive(to, j, "-r y");
    else
        directive(to, j, "-r n");
}

static void pbs(FILE *to, const job_script *j)
{
    char cores[40] = "", memory[40] = "";
    if (j->cores > 0)
        (void)snprintf(cores, sizeof cores, ":ncpus=%" PRId64, j->cores);
    if (j->memory > 0)
        (void)snprintf(memory, sizeof memory, ":mem=%" PRId64 "mb", j->memory / MIB);
    pbs_common(to, j);
    if (is_array(j))
        directive(to, j, "-J 1-%" PRId64, j->jobs);
    directive(to, j, "-l select=1%s%s", cores, memory);
}

static void torque(FILE *to, const job_script *j)
{
    pbs_common(to, j);
    if (is_array(j))
        directive(to, j, "-t 1-%" PRId64, j->jobs);
    directive(to, j, "-l nodes=1:ppn=%" PRId64, j->cores > 0 ? j->cores : 1);
    if (j->memory > 0)
        directive(to, j, "-l mem=%" PRId64 "mb", j->memory / MIB);
}

/* Grid Engine counts memory a slot; -notify sends SIGUSR2 before the end, s_rt SIGUSR1 at its time. */
static void sge(FILE *to, const job_script *j)
{
    const int64_t slots = j->cores > 0 ? j->cores : 1;
    char t[32];
    directive(to, j, "-S /bin/sh");
    directive(to, j, "-N %s", j->name);
    if (is_array(j))
        directive(to, j, "-t 1-%" PRId64, j->jobs);
    if (slots > 1)
        directive(to, j, "-pe smp %" PRId64, slots);
    if (j->memory > 0)
        directive(to, j, "-l h_vmem=%" PRId64 "M", (j->memory / MIB + slots - 1) / slots);
    if (j->seconds > 0) {
        directive(to, j, "-l h_rt=%s", clock_text(t, j->seconds));
        directive(to, j, "-l s_rt=%s", clock_text(t, j->seconds - j->lead));
    }
    directive(to, j, "-notify");
    queue_directive(to, j);
    if (j->workers)
        directive(to, j, "-r n");
    directive(to, j, "-cwd");
    directive(to, j, "-j y");
    log_directive(to, j, "");
}

static void lsf(FILE *to, const job_script *j)
{
    if (is_array(j))
        directive(to, j, "-J \"%s[1-%" PRId64 "]\"", j->name, j->jobs);
    else
        directive(to, j, "-J %s", j->name);
    directive(to, j, "-n %" PRId64, j->cores > 0 ? j->cores : 1);
    directive(to, j, "-R \"span[hosts=1]\"");
    if (j->memory > 0) {
        directive(to, j, "-M %" PRId64 "MB", j->memory / MIB);
        const int64_t slots = j->slot_memory && j->cores > 0 ? j->cores : 1;
        directive(to, j, "-R \"rusage[mem=%" PRId64 "MB]\"", (j->memory / MIB + slots - 1) / slots);
    }
    if (j->seconds > 0) {
        const int64_t minutes = (j->seconds + 59) / 60;
        directive(to, j, "-W %" PRId64 ":%02" PRId64, minutes / 60, minutes % 60);
        directive(to, j, "-wa USR1");
        directive(to, j, "-wt %" PRId64, (j->lead + 59) / 60);
    }
    if (j->workers)
        directive(to, j, "-rn");
    queue_directive(to, j);
    log_directive(to, j, is_array(j) ? "/lsf-%J_%I.out" : "/lsf-%J.out");
}

void script_print_words(FILE *to, char *const *words)
{
    for (int i = 0; words[i]; i++) {
        (void)fputs(i ? " " : "", to);
        quote_shell(to, words[i]);
    }
}

/* Each line for itself, as in a script, whatever it ends in; not one of them holds a line feed. */
char *script_prologue(const text_list *prologue)
{
    char *out = NULL;
    size_t size = 0;
    FILE *const f = prologue && prologue->count > 0 ? open_memstream(&out, &size) : NULL;
    if (!f)
        return NULL;
    for (int i = 0; i < prologue->count; i++) {
        (void)fputs("eval ", f);
        quote_shell(f, prologue->items[i]);
        (void)fputs("; ", f);
    }
    (void)fputs("exec \"$@\"", f);
    (void)fclose(f);
    return out;
}

/* ---- the scripts -------------------------------------------------------------------------------------------------- */

static void print_words(FILE *to, const job_script *j)
{
    for (int i = 0; j->words[i]; i++) {
        (void)fputs(i ? " " : "", to);
        if (strcmp(j->words[i], JOB_INDEX) != 0)
            quote_shell(to, j->words[i]);
        else if (is_array(j))
            (void)fprintf(to, "%s/%" PRId64, j->scheduler->index, j->jobs);
        else
            (void)fputs("1/1", to);
    }
    (void)fputc('\n', to);
}

/* exec: the program takes the shell's place, so that signals for the job reach it. */
static void print_shell(FILE *to, const job_script *j)
{
    (void)fputs("#!/bin/sh\n", to);
    j->scheduler->directives(to, j);
    added_directives(to, j);
    for (int i = 0; j->prologue && i < j->prologue->count; i++)
        (void)fprintf(to, "%s\n", j->prologue->items[i]);
    (void)fputs("exec ", to);
    print_words(to, j);
}

static void print_condor_limits(FILE *to, const job_script *j)
{
    if (j->cores > 0)
        directive(to, j, "request_cpus = %" PRId64, j->cores);
    if (j->memory > 0)
        directive(to, j, "request_memory = %" PRId64 "M", j->memory / MIB);
    if (j->seconds > 0)
        directive(to, j, "allowed_job_duration = %" PRId64, j->seconds);
    directive(to, j, "kill_sig = SIGTERM");
    if (j->seconds > 0)
        directive(to, j, "job_max_vacate_time = %" PRId64, j->lead);
    if (j->queue)
        text_directive(to, j, "+AccountingGroup = \"", j->queue, "\"");
    char *const line = j->log ? text_line(j, "output = ", j->log, "", true) : NULL;
    if (line) { /* who leaves it out wants neither */
        text_directive(to, j, "output = ", j->log, "/condor-$(Cluster)_$(Process).out");
        text_directive(to, j, "error = ", j->log, "/condor-$(Cluster)_$(Process).err");
        text_directive(to, j, "log = ", j->log, "/condor-$(Cluster).log");
    }
    free(line);
}

static void print_condor_command(FILE *to, const job_script *j)
{
    char *const prologue = script_prologue(j->prologue);
    (void)fputs("executable = ", to);
    quote_condor.print(to, prologue ? "/bin/sh" : j->words[0], "\n", true);
    if (is_array(j))
        (void)fputs("part = $(Process) + 1\n", to);
    (void)fputs("arguments = \"", to);
    if (prologue) {
        (void)fputs("-c ", to);
        quote_condor_argument(to, prologue);
        (void)fputs(" sh ", to);
    }
    for (int i = prologue ? 0 : 1; j->words[i]; i++) {
        (void)fputs(i > (prologue ? 0 : 1) ? " " : "", to);
        if (strcmp(j->words[i], JOB_INDEX) != 0)
            quote_condor_argument(to, j->words[i]);
        else if (is_array(j))
            (void)fprintf(to, "$INT(part)/%" PRId64, j->jobs);
        else
            (void)fputs("1/1", to);
    }
    (void)fputs("\"\n", to);
    free(prologue);
}

/* A part that ends with code 4 was stopped or ran out of time: worth another go. */
static void print_condor(FILE *to, const job_script *j)
{
    (void)fprintf(to, "universe = vanilla\nbatch_name = %s\n", j->name);
    print_condor_command(to, j);
    (void)fputs("transfer_executable = False\nshould_transfer_files = NO\n", to);
    print_condor_limits(to, j);
    if (!j->workers)
        (void)fputs("max_retries = 5\nretry_until = ExitCode =!= 4\n", to);
    else /* one that was evicted waits again: a new one is asked for instead */
        (void)fputs("periodic_remove = JobStatus == 1 && NumJobStarts > 0\n", to);
    added_directives(to, j);
    (void)fprintf(to, "queue %" PRId64 "\n", j->jobs);
}

static const scheduler schedulers[] = {
    {"slurm", "#SBATCH ", slurm, NULL, "auto", "exec sbatch \"$1\"", &quote_slurm, "--partition=", "--output="},
    {"pbs", "#PBS ", pbs, NULL, "auto", "exec qsub \"$1\"", &quote_pbs, "-q ", "-o "},
    {"torque", "#PBS ", torque, NULL, "auto", "exec qsub \"$1\"", &quote_torque, "-q ", "-o "},
    {"sge", "#$ ", sge, NULL, "auto", "exec qsub \"$1\"", &quote_sge, "-q ", "-o "},
    {"lsf", "#BSUB ", lsf, NULL, "auto", "exec bsub < \"$1\"", &quote_lsf, "-q ", "-o "},
    {"htcondor", "", NULL, print_condor, NULL, "exec condor_submit \"$1\"", &quote_condor, "+AccountingGroup = ", "output = "},
    {"kubernetes", "", NULL, script_print_kubernetes, NULL, "exec kubectl create -f \"$1\"", NULL, NULL, NULL},
    {"aws-batch", "", NULL, script_print_aws, NULL, "exec aws batch submit-job --cli-input-json \"file://$1\"", NULL, NULL, NULL},
};

const scheduler *scheduler_find(const char *name)
{
    for (int i = 0; i < COUNT(schedulers); i++)
        if (strcmp(schedulers[i].name, name) == 0)
            return &schedulers[i];
    return NULL;
}

const char *scheduler_names(void)
{
    return "slurm, pbs, torque, sge, lsf, htcondor, kubernetes, aws-batch";
}

const char *scheduler_name(const scheduler *s)
{
    return s->name;
}

bool scheduler_is_container(const scheduler *s)
{
    return s->print == script_print_kubernetes || s->print == script_print_aws;
}

const char *scheduler_submit_line(const scheduler *s)
{
    return s->submit;
}

void script_print(FILE *to, const job_script *job)
{
    (job->scheduler->print ? job->scheduler->print : print_shell)(to, job);
}

/* ---- what cannot be said ------------------------------------------------------------------------------------------------ */

/* In a message a control character is a question mark. */
static const char *shown(char out[200], const char *text)
{
    (void)snprintf(out, 200, "%s", text);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127)
            *p = '?';
    return out;
}

static bool check_text(const job_script *j, const char *before, const char *text, pel_error *err)
{
    const bool path = text == j->log;
    char copy[200];
    char *const line = text && j->scheduler->quoting ? text_line(j, before, text, "", path) : NULL;
    const char *why = line ? quote_control(text) : NULL;
    if (line && !why)
        why = j->scheduler->quoting->refuse(text, path);
    free(line);
    return !why || set_error(err, PEL_ARGUMENT, "%s: `%s` cannot hold %s, found in \"%s\": %s, or leave that line out with --without '%s'", j->scheduler->name,
                             before, why, shown(copy, text), path ? "rename the output's folder" : "take another --queue", before);
}

static bool check_word(const job_script *j, const char *word, bool program, pel_error *err)
{
    char copy[200];
    const char *why = quote_control(word);
    if (strcmp(word, JOB_INDEX) == 0)
        return true;
    if (!why && j->scheduler->quoting == &quote_condor && (program || strstr(word, "$$")))
        why = quote_condor.refuse(word, program);
    return !why || set_error(err, PEL_ARGUMENT, "%s: the job's command cannot hold %s, found in \"%s\": rename it, or give it a link with another name",
                             j->scheduler->name, why, shown(copy, word));
}

bool script_check(const verb *self, const job_script *j, pel_error *err)
{
    bool ok = check_text(j, j->scheduler->queue, j->queue, err) && check_text(j, j->scheduler->log, j->log, err);
    for (int i = 0; ok && j->words[i]; i++)
        ok = check_word(j, j->words[i], i == 0, err);
    return ok && (!scheduler_is_container(j->scheduler) || script_check_json(self, j, err));
}
