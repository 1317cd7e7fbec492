/* SPDX-License-Identifier: MIT
 * See pool.h. A call is a node on its caller's stack, linked into the list of its urgency while it has tasks to hand
 * out. A worker takes the next number of the most urgent call; the last one to end wakes the caller. One mutex guards
 * all of it: tasks are milliseconds long, so it is never the bottleneck.
 * A worker without work looks out for a while before it sleeps: callers that have one call after the other come back within
 * microseconds, but a processor that has gone to sleep takes a quarter of a millisecond to wake in a virtual machine. */
#include "core/pool.h"

#include "core/clock.h"
#include "core/error.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct call {
    struct call *next;
    pel__task *task;
    void *arg;
    int64_t count, given, running;
    int64_t failed; /* lowest failed number, count if none */
    pel_error error;
    pthread_cond_t ended;
} call;

typedef struct {
    pel__pool *pool;
    int32_t worker;
    pthread_t thread;
} crew_member;

struct pel__pool {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    call *first[PEL__URGENCIES];
    atomic_bool wanted; /* something in `first`, or closing: to be seen without the mutex */
    int32_t threads;
    bool closing;
    crew_member *crew;
};

static call *next_call(pel__pool *pool, int *urgency)
{
    for (int u = 0; u < PEL__URGENCIES; u++) {
        if (pool->first[u]) {
            *urgency = u;
            return pool->first[u];
        }
    }
    return NULL;
}

static void unlink_call(pel__pool *pool, int urgency, const call *c)
{
    call **p = &pool->first[urgency];
    while (*p && *p != c)
        p = &(*p)->next;
    if (*p)
        *p = c->next;
    atomic_store(&pool->wanted, next_call(pool, &urgency) != NULL || pool->closing);
}

/* With the mutex held: runs one task of c and gives the mutex back held. */
static void run_one(pel__pool *pool, int urgency, call *c, int32_t worker)
{
    const int64_t index = c->given++;
    c->running++;
    if (c->given == c->count)
        unlink_call(pool, urgency, c);
    (void)pthread_mutex_unlock(&pool->mutex);
    pel_error error = {0};
    const bool ok = c->task(c->arg, index, worker, &error);
    (void)pthread_mutex_lock(&pool->mutex);
    c->running--;
    if (!ok) {
        if (c->given < c->count) {
            unlink_call(pool, urgency, c);
            c->given = c->count;
        }
        if (index < c->failed) {
            c->failed = index;
            c->error = error;
        }
    }
    if (c->running == 0 && c->given == c->count)
        (void)pthread_cond_signal(&c->ended);
}

#define LOOK_OUT_S 200e-6

/* Without the mutex: until there is work, or for a while; whoever else wants the processor gets it. */
static void look_out(const pel__pool *pool)
{
    const double until = pel__now() + LOOK_OUT_S;
    while (!atomic_load(&pool->wanted) && pel__now() < until)
        (void)sched_yield();
}

static void *crew_main(void *arg)
{
    const crew_member *me = arg;
    pel__pool *pool = me->pool;
    (void)pthread_mutex_lock(&pool->mutex);
    for (bool looked = false;;) {
        int urgency = 0;
        call *c = next_call(pool, &urgency);
        if (!c && pool->closing)
            break;
        if (c) {
            run_one(pool, urgency, c, me->worker);
        } else if (looked) {
            (void)pthread_cond_wait(&pool->work, &pool->mutex);
        } else {
            (void)pthread_mutex_unlock(&pool->mutex);
            look_out(pool);
            (void)pthread_mutex_lock(&pool->mutex);
        }
        looked = !c && !looked;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

bool pel__pool_create(pel__pool **out, int32_t threads, pel_error *err)
{
    if (threads < 1 || threads > 4096)
        return pel__fail(err, PEL_ARGUMENT, "threads: found %d, expected 1 to 4096", (int)threads);
    pel__pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the thread pool");
    (void)pthread_mutex_init(&pool->mutex, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    pool->crew = calloc((size_t)threads, sizeof *pool->crew);
    if (!pool->crew) {
        pel__pool_destroy(pool);
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %d threads", (int)threads);
    }
    for (int32_t i = 0; i < threads; i++) {
        pool->crew[i] = (crew_member){.pool = pool, .worker = i};
        const int reason = pthread_create(&pool->crew[i].thread, NULL, crew_main, &pool->crew[i]);
        if (reason != 0) {
            pel__pool_destroy(pool);
            return pel__fail_errno(err, reason, "cannot start thread %d of %d", (int)i + 1, (int)threads);
        }
        pool->threads = i + 1;
    }
    *out = pool;
    return true;
}

void pel__pool_destroy(pel__pool *pool)
{
    if (!pool)
        return;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    atomic_store(&pool->wanted, true);
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (int32_t i = 0; i < pool->threads; i++)
        (void)pthread_join(pool->crew[i].thread, NULL);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool->crew);
    free(pool);
}

int32_t pel__pool_threads(const pel__pool *pool)
{
    return pool->threads;
}

static void append_call(pel__pool *pool, enum pel__urgency urgency, call *c)
{
    call **p = &pool->first[urgency];
    while (*p)
        p = &(*p)->next;
    *p = c;
}

bool pel__pool_run(pel__pool *pool, enum pel__urgency urgency, int64_t count, pel__task *task, void *arg, pel_error *err)
{
    if (count <= 0)
        return true;
    call c = {.task = task, .arg = arg, .count = count, .failed = count};
    (void)pthread_cond_init(&c.ended, NULL);
    (void)pthread_mutex_lock(&pool->mutex);
    append_call(pool, urgency, &c);
    atomic_store(&pool->wanted, true);
    (void)pthread_cond_broadcast(&pool->work);
    while (c.running > 0 || c.given < c.count)
        (void)pthread_cond_wait(&c.ended, &pool->mutex);
    (void)pthread_mutex_unlock(&pool->mutex);
    (void)pthread_cond_destroy(&c.ended);
    if (c.failed == count)
        return true;
    if (err)
        *err = c.error;
    return false;
}
