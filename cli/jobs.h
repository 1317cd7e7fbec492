/* SPDX-License-Identifier: MIT
 * What the verbs that ask a scheduler for jobs share: their options, the script, starting programs and hearing them. */
#ifndef PELLUCID_CLI_JOBS_H
#define PELLUCID_CLI_JOBS_H

#include "job_states.h"
#include "script.h"
#include "submissions.h"

#include <sys/types.h>

typedef struct job_words {
    const char *scheduler, *name, *queue, *image, *pod, *program;
    int64_t cores, memory, time, ttl;
    bool slot_memory;
    text_list directives, without, volumes, prologue;
} job_words;

#define JOB_OPTIONS 15 /* job_options adds at most so many */
int job_options(option *list, job_words *w);

/* Checks the words and fills what does not depend on the command; false: *code says how it ends. */
bool job_fill(const verb *self, const job_words *w, job_script *out, int *code);

/* What the program is told of a job's memory: the rest is for the system's own and for the page cache of its files. */
int64_t job_program_memory(int64_t memory);
int64_t job_memory_for(int64_t promised); /* what to ask for where the program wants so much */
int64_t job_lead(int64_t seconds);        /* time before the end of a job at which it should stop */

/* The words of `pellucid work OUT --part …` for a job; as many as fit into words[]. numbers: room for their text. */
typedef struct work_command {
    char memory[32], threads[32], seconds[32];
    char *words[16];
} work_command;
void work_command_make(work_command *out, const job_script *job, const char *program, const char *output);

/* Writes the script into OUT.run/submit/NAME (made if need be). path: PATH_MAX bytes. */
bool job_write(char *path, size_t size, const char *output, const char *name, const job_script *job, pel_error *err);

/* How a scheduler's command is run: ended after so many seconds, and so long after nobody waits for it any more. */
typedef struct asking {
    int64_t seconds, unwanted_seconds;
    bool (*unwanted)(const void *arg);
    const void *arg;
} asking;
#define ASK_SECONDS 120 /* where nothing else is said */

/* Gives the file to the scheduler; what that says goes to `said`. UNKNOWN: it failed without a no, was ended, or told no number: it may have
 * taken effect. MISSING: there is no such command, and nothing took effect. */
enum submit_outcome { SUBMIT_TAKEN, SUBMIT_REFUSED, SUBMIT_UNKNOWN, SUBMIT_MISSING };
enum submit_outcome job_submit(char *said, size_t size, char id[24], const job_script *job, const char *path, const asking *how);

/* jobs_query.c: what the schedulers say about the jobs that were submitted. */
typedef struct job_counts {
    int64_t pending, running, other; /* other: held, suspended, in error, in a state that is not known */
} job_counts;

typedef struct job_seen {
    const char *scheduler, *id; /* id: as the scheduler writes it */
    int64_t index;              /* in its array, from 1; 0: no array */
    enum job_class kind;
    const char *state, *reason; /* "pending", "running", "held" */
} job_seen;
typedef void on_job(void *arg, const job_seen *job);

typedef struct job_report {
    on_job *each; /* of those alive; may be NULL */
    void *arg;
    job_counts counts;
    char why[400]; /* of an answer that could not be had */
} job_report;

/* Marks the jobs of all submissions that are not over. False: there is no whole answer; what is marked was listed all the same. */
bool jobs_ask_for(submissions *all, const asking *how, job_report *out);

/* The same for all that a run ever submitted, parts too. */
bool jobs_query(const char *output, job_counts *out, on_job *each, void *arg, char *why, size_t size);

/* Numbers of the jobs of this name. False: no whole answer. */
bool jobs_find(char ids[][24], int most, int *count, const char *by, const char *name, const asking *how);

/* ids: with blanks between. False: the command failed, *why. */
bool jobs_cancel(const char *by, const char *ids, const asking *how, char *why, size_t size);

/* One job of a submission as its scheduler calls it, "12_3"; index 0: all of it, "12[]". */
void jobs_id_text(char *out, size_t size, const submission *s, int64_t index);

/* jobs_verdict.c: which job did what, and how jobs ended. */
void job_note_attempt(const char *output, const char *part, const char *blocks); /* by a job, of itself: "3/16", or "3,7-9" */

typedef struct job_attempt {
    int64_t at_us, pid;
    const char *host, *scheduler, *job, *part; /* part: "" where it was given blocks */
} job_attempt;
typedef void on_attempt(void *arg, const job_attempt *a);
void jobs_attempts(const char *output, int64_t block, on_attempt *each, void *arg); /* those that had this block to do */

typedef struct job_verdict {
    const char *scheduler, *job, *host, *text; /* "12_3", "n7", "TIMEOUT, exit code 0, signal 15" */
    int64_t at;
    bool good;
} job_verdict;
typedef void on_verdict(void *arg, const job_verdict *v);
void jobs_verdicts(const char *output, const asking *how, on_verdict *each, void *arg); /* asks for those not heard yet; each: NULL or all */

/* Runs a program to its end with standard output and error into `out`; its exit status, or -1 with *err. */
int run_program(char *out, size_t size, const char *const *words, pel_error *err);

/* Absolute path of this program, and of another that lies beside it. */
bool own_program(char *out, size_t size);
bool program_beside(char *out, size_t size, const char *name);

#endif
