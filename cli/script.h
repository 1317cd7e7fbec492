/* SPDX-License-Identifier: MIT
 * Job scripts: the text by which each scheduler is asked for N equal jobs. What the jobs run is the caller's. */
#ifndef PELLUCID_CLI_SCRIPT_H
#define PELLUCID_CLI_SCRIPT_H

#include "options.h"

#include <stdio.h>

typedef struct scheduler scheduler;

typedef struct job_script {
    const scheduler *scheduler;
    const char *name;
    int64_t jobs, cores, memory; /* of each job; bytes; 0: not asked for */
    int64_t seconds;             /* walltime; 0: the site's default */
    int64_t lead;                /* seconds before the walltime at which a signal is asked for */
    const char *queue;           /* partition, queue; NULL: the site's default */
    const char *log;             /* folder of the jobs' output; NULL: the scheduler's own place */
    const char *image;           /* containers: image, or AWS Batch job definition */
    const text_list *volumes;    /* Kubernetes: CLAIM:/path */
    const char *pod;             /* Kubernetes: file of a pod that ours is laid over; NULL: none */
    int64_t ttl;                 /* Kubernetes: seconds after its end at which the Job is deleted */
    bool named;                  /* `name` was typed */
    const text_list *prologue;   /* lines of shell before the command */
    bool slot_memory;            /* LSF: rusage[mem] is a slot's */
    const text_list *directives; /* added as they stand; to JSON as a.b.c=value */
    const text_list *without;    /* directives that the site forbids: lines that name one of these words are left out */
    char *const *words;          /* the command, NULL at the end; a word that is JOB_INDEX stands for k/N of this job */
    bool workers;                /* not parts of a run but workers: equal, no index, not to be repeated by the scheduler */
} job_script;

/* In place of the word by which a job learns which of how many it is. */
#define JOB_INDEX "\1"

/* NULL: no such scheduler. Names: slurm pbs torque sge lsf htcondor kubernetes aws-batch. */
const scheduler *scheduler_find(const char *name);
const char *scheduler_names(void);
const char *scheduler_name(const scheduler *s);
bool scheduler_is_container(const scheduler *s); /* paths are those inside an image */

/* The shell line that submits the script file "$1". */
const char *scheduler_submit_line(const scheduler *s);

/* Whether every text of the user can be said to this scheduler; else which, why, and the way out. Before anything is printed. */
bool script_check(const verb *self, const job_script *job, pel_error *err);

void script_print(FILE *to, const job_script *job);
void script_print_words(FILE *to, char *const *words); /* for a shell; NULL at the end */

/* script_json.c: a Kubernetes indexed Job, an AWS Batch array job. */
void script_print_kubernetes(FILE *to, const job_script *job);
void script_print_aws(FILE *to, const job_script *job);
bool script_check_json(const verb *self, const job_script *job, pel_error *err); /* self: says what gives way; NULL: nothing */

/* The shell that does the prologue and then its words, for those that start a program and no script: "/bin/sh -c TEXT sh", in
 * memory of the caller; NULL: there is no prologue, or no memory. */
char *script_prologue(const text_list *prologue);

#endif
