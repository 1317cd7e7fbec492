/* SPDX-License-Identifier: MIT
 * A fixed crew of threads that everything shares: filters, codecs and readers hand it numbered tasks, so that never
 * more than `threads` of them work at once and scratch memory can be counted per worker. */
#ifndef PEL_CORE_POOL_H
#define PEL_CORE_POOL_H

#include "pellucid.h"

typedef struct pel__pool pel__pool;

/* One numbered task. worker is 0 .. threads-1 and unique among the tasks running now: index scratch with it.
 * Returning false stops the handing out of further tasks of the same call. */
typedef bool pel__task(void *arg, int64_t index, int32_t worker, pel_error *err);

/* Calls waiting at once are served in this order. */
enum pel__urgency { PEL__WRITE_FIRST = 0, PEL__READ_NEXT = 1, PEL__COMPUTE_LAST = 2 };
#define PEL__URGENCIES 3

bool pel__pool_create(pel__pool **out, int32_t threads, pel_error *err);
void pel__pool_destroy(pel__pool *pool); /* no call may be under way */
int32_t pel__pool_threads(const pel__pool *pool);

/* Runs task(arg, 0 .. count-1) on the crew and returns when all that were started have ended: true if all ran and
 * returned true, otherwise false with the error of the lowest-numbered task that failed. Any thread that is not a
 * worker may call, several at once; tasks must not call it. */
bool pel__pool_run(pel__pool *pool, enum pel__urgency urgency, int64_t count, pel__task *task, void *arg, pel_error *err);

#endif
