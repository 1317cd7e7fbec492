/* SPDX-License-Identifier: MIT
 * Tasks of one call of the pool that are begun in the order of their numbers, where each may wait until all up to some lower
 * number have ended: the steps of a computation then need not wait for each other as a whole. */
#ifndef PEL_CORE_TURNS_H
#define PEL_CORE_TURNS_H

#include <pthread.h>
#include <stdint.h>

/* One task under way; lives on its thread's stack. */
typedef struct pel__turn {
    int64_t number;
    struct pel__turn *before, *after;
} pel__turn;

typedef struct pel__turns {
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    int64_t next;
    pel__turn *first, *last; /* under way, by number */
} pel__turns;

void pel__turns_init(pel__turns *t);
void pel__turns_finish(pel__turns *t);

/* Takes the next number, from 0 on. */
void pel__turns_take(pel__turns *t, pel__turn *turn);
/* Until all up to `last` have ended; the caller's own number is above. What they wrote is then visible. They have all been
 * begun by threads that wait for lower numbers only, so it ends. */
void pel__turns_wait(pel__turns *t, int64_t last);
/* The task has ended, well or not. */
void pel__turns_end(pel__turns *t, pel__turn *turn);

#endif
