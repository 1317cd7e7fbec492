/* SPDX-License-Identifier: MIT
 * What a run ever gave to schedulers, kept in OUT.run/jobs.jsonl: a line before a submission, one after it, one when it is over. Whoever comes
 * next, a manager after one that was killed too, knows from it what may be alive. */
#ifndef PELLUCID_CLI_SUBMISSIONS_H
#define PELLUCID_CLI_SUBMISSIONS_H

#include "cli.h"
#include "scaling.h"

enum task_state { TASK_UNKNOWN, TASK_RESTS, TASK_RUNS, TASK_ENDED }; /* rests: waits, is held: alive as one that runs */
#define TASK_STATE 3
#define TASK_LEAVES 4 /* beside the state: was cancelled */

typedef struct submission {
    char scheduler[16], id[24]; /* id: digits; "": not known whether it took effect */
    char name[128];             /* unique to it; "": noted by an older pellucid, or parts */
    bool workers;
    bool unknown;               /* the last answer says that there is no such job */
    bool over_noted;            /* its end stands in the file */
    uint8_t *tasks;             /* of its jobs: a state, and perhaps TASK_LEAVES */
    scaling_set set;
} submission;

typedef struct submissions {
    submission *list;
    int64_t count, size;
} submissions;

/* False: memory. A file that is not there holds none. now: of the steady clock that the sets count in. */
bool submissions_load(submissions *out, const char *output, bool only_workers, int64_t now);
void submissions_clear(submissions *s);

/* NULL: memory. */
submission *submissions_add(submissions *s, const submission *one);

/* The one with this number; NULL: none. */
submission *submissions_find(const submissions *s, const char *scheduler, const char *id);

/* May be alive, all together. */
int64_t submissions_alive(const submissions *s);

/* Job `index` of it (from 1; 0: a job that is no array). */
void submission_mark(submission *s, int64_t index, enum task_state state);
void submission_forget_listed(submission *s); /* before the next answer; ends are kept */
scaling_facts submission_facts(const submission *s);

enum submission_event { SUBMISSION_ASKED, SUBMISSION_TAKEN, SUBMISSION_REFUSED, SUBMISSION_OVER, SUBMISSION_CANCELLED };

/* Appends its line; on the disk before it returns. */
bool submission_note(const char *output, const submission *s, enum submission_event event, pel_error *err);

/* "pellucid-k3w9x2a-12": the name, the run (by its place), and which of its submissions. At most so many letters. */
void submission_name(char *out, size_t size, int most, const char *name, const char *output, const submissions *all);

#endif
