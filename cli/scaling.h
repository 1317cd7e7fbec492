/* SPDX-License-Identifier: MIT
 * How many worker jobs to ask a scheduler for, and how many to take back. Pure: it knows numbers and seconds of the caller's clock,
 * neither schedulers nor files. What may be alive counts as alive: a job ends when somebody said so, never because nobody said anything. */
#ifndef PELLUCID_CLI_SCALING_H
#define PELLUCID_CLI_SCALING_H

#include <stdbool.h>
#include <stdint.h>

#define SCALING_GRACE_S 60     /* a job that was just submitted may not be listed, or be called unknown, for so long */
#define SCALING_PATIENCE_S 300 /* jobs that no answer lists for so long have ended, though nobody says so */
#define SCALING_AGAIN_S 600    /* a limit that was learnt is tried again after so long */

/* One submission: an array of jobs, or one. */
typedef struct scaling_set {
    int64_t jobs, at;      /* asked for, and when */
    bool sure;             /* the scheduler gave it a number. False: sent, and not known whether it took effect */
    bool seen;             /* an answer knew of it */
    bool missed;           /* there are jobs that the last answers did not list ... */
    int64_t missed_since;  /* ... since then, ... */
    int64_t missed_least;  /* ... so many at least in each of them */
    int64_t alive;         /* at most so many of its jobs are */
    bool over;             /* none is, nor will be */
} scaling_set;

/* What a whole answer says about a submission. */
typedef struct scaling_facts {
    int64_t alive; /* are listed, in whatever state but an end */
    int64_t ended; /* known to have ended, now or at any time before, and not alive */
    bool unknown;  /* the scheduler says that there is no such job */
} scaling_facts;

scaling_set scaling_sent(int64_t jobs, int64_t now);
void scaling_hear(scaling_set *s, const scaling_facts *f, int64_t now);
void scaling_hear_torn(scaling_set *s, int64_t alive); /* an answer that is not whole: what it lists is alive, what it does not list may be */

/* Of one that is not sure, a whole answer to the question for its name: it is not there. */
void scaling_hear_absent(scaling_set *s, int64_t now);

typedef struct scaling {
    int64_t least, most;               /* as asked for */
    int64_t array_most;                /* learnt: no larger array is taken; 0: not known */
    int64_t total_most, total_at;      /* learnt: no more jobs are taken, and when that was said; -1: not known */
    bool had_least;                    /* there were as many as asked for, once */
} scaling;

typedef struct scaling_step {
    int64_t submit, cancel; /* jobs, at once; 0: none */
} scaling_step;

scaling scaling_begin(int64_t least, int64_t most);
void scaling_bounds(scaling *s, int64_t least, int64_t most); /* others from now on */

/* After a whole answer. blocks_left: no more workers than work. */
scaling_step scaling_next(scaling *s, int64_t alive, int64_t blocks_left, int64_t now);

/* An array of so many, or one job, was refused for good while so many were alive. False: less than the least can be had, and never were. */
bool scaling_refused(scaling *s, int64_t jobs, int64_t alive, int64_t now);

#endif
