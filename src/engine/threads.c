/* SPDX-License-Identifier: MIT
 * The foreman of one process. Three threads, one a stage, pass items along bounded queues; slots circulate, so memory
 * is what the plan promised, and reading the next block, working this one and writing the last overlap. Failure travels
 * inside the item to the writing thread, which keeps the books. */
#include "core/error.h"
#include "engine/engine.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

typedef struct {
    int64_t job;
    int32_t in, out;
    bool failed;
    pel_error error;
} item;

#define QUEUE_SIZE 4 /* never more items than slots */

/* A queue of items; as a store of free slots only `in` is used. */
typedef struct {
    item items[QUEUE_SIZE];
    int count, first;
    bool closed;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} queue;

static void queue_init(queue *q)
{
    *q = (queue){.count = 0};
    (void)pthread_mutex_init(&q->mutex, NULL);
    (void)pthread_cond_init(&q->changed, NULL);
}

static void queue_finish(queue *q)
{
    (void)pthread_mutex_destroy(&q->mutex);
    (void)pthread_cond_destroy(&q->changed);
}

static void put(queue *q, const item *i)
{
    (void)pthread_mutex_lock(&q->mutex);
    q->items[(q->first + q->count++) % QUEUE_SIZE] = *i;
    (void)pthread_cond_signal(&q->changed);
    (void)pthread_mutex_unlock(&q->mutex);
}

static void close_queue(queue *q)
{
    (void)pthread_mutex_lock(&q->mutex);
    q->closed = true;
    (void)pthread_cond_broadcast(&q->changed);
    (void)pthread_mutex_unlock(&q->mutex);
}

/* Waits for an item; false: closed and empty. */
static bool take(queue *q, item *out)
{
    (void)pthread_mutex_lock(&q->mutex);
    while (q->count == 0 && !q->closed)
        (void)pthread_cond_wait(&q->changed, &q->mutex);
    const bool got = q->count > 0;
    if (got) {
        *out = q->items[q->first];
        q->first = (q->first + 1) % QUEUE_SIZE;
        q->count--;
    }
    (void)pthread_mutex_unlock(&q->mutex);
    return got;
}

typedef struct {
    const pel__jobs *jobs;
    queue free_in, free_out, to_work, to_write;
    pel_error error; /* of giving up; written by the writing thread */
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool done;
} foreman;

static void *reading(void *arg)
{
    foreman *f = arg;
    const pel__jobs *j = f->jobs;
    item slot = {0}, i;
    while (!atomic_load(j->stop) && take(&f->free_in, &slot)) {
        i = (item){.in = slot.in, .out = -1};
        if (atomic_load(j->stop) || !j->next(j->run, &i.job))
            break;
        i.failed = !j->read(j->run, i.job, i.in, &i.error);
        put(&f->to_work, &i);
    }
    close_queue(&f->to_work);
    return NULL;
}

static void work_item(foreman *f, item *i)
{
    const pel__jobs *j = f->jobs;
    item slot = {.in = i->in};
    if (!j->in_is_out)
        (void)take(&f->free_out, &slot);
    i->out = slot.in;
    if (!i->failed && atomic_load(j->stop))
        i->failed = !pel__fail(&i->error, PEL_INTERRUPTED, "interrupted");
    if (!i->failed)
        i->failed = !j->work(j->run, i->job, i->in, i->out, &i->error);
    if (!j->in_is_out)
        put(&f->free_in, &(item){.in = i->in});
}

static void *working(void *arg)
{
    foreman *f = arg;
    item i;
    while (take(&f->to_work, &i)) {
        work_item(f, &i);
        put(&f->to_write, &i);
    }
    close_queue(&f->to_write);
    return NULL;
}

static void write_item(foreman *f, item *i)
{
    const pel__jobs *j = f->jobs;
    if (!i->failed)
        i->failed = !j->write(j->run, i->job, i->out, &i->error);
    if (i->failed && i->error.code != PEL_INTERRUPTED && f->error.code == 0 &&
        !j->failed(j->run, i->job, &i->error, &f->error))
        atomic_store(j->stop, true);
    put(j->in_is_out ? &f->free_in : &f->free_out, &(item){.in = i->out});
}

static void *writing(void *arg)
{
    foreman *f = arg;
    item i;
    while (take(&f->to_write, &i))
        write_item(f, &i);
    (void)pthread_mutex_lock(&f->mutex);
    f->done = true;
    (void)pthread_cond_signal(&f->ended);
    (void)pthread_mutex_unlock(&f->mutex);
    return NULL;
}

/* Waits by the steady clock: one that is set back must not stop the ticks, by which a run hears of Ctrl-C. */
static void make_ended(foreman *f)
{
    pthread_condattr_t steady;
    (void)pthread_condattr_init(&steady);
    (void)pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&f->ended, &steady);
    (void)pthread_condattr_destroy(&steady);
}

/* Ticks until the writing thread has ended. */
static void watch(foreman *f, pel__tick *tick, void *arg)
{
    (void)pthread_mutex_lock(&f->mutex);
    while (!f->done) {
        struct timespec until = {0};
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&f->ended, &f->mutex, &until);
        (void)pthread_mutex_unlock(&f->mutex);
        if (tick && !tick(arg))
            atomic_store(f->jobs->stop, true);
        (void)pthread_mutex_lock(&f->mutex);
    }
    (void)pthread_mutex_unlock(&f->mutex);
}

static bool start_all(foreman *f, pthread_t thread[3], pel_error *err)
{
    void *(*const stage[3])(void *) = {writing, working, reading};
    for (int k = 0; k < 3; k++) {
        const int reason = pthread_create(&thread[k], NULL, stage[k], f);
        if (reason == 0)
            continue;
        close_queue(k < 2 ? &f->to_write : &f->to_work); /* lets those that run come to their end */
        while (--k >= 0)
            (void)pthread_join(thread[k], NULL);
        return pel__fail_errno(err, reason, "cannot start a thread");
    }
    return true;
}

bool pel__engine_threads(const pel__jobs *jobs, pel__tick *tick, void *arg, pel_error *err)
{
    foreman f = {.jobs = jobs};
    pthread_t thread[3];
    queue *const queues[] = {&f.free_in, &f.free_out, &f.to_work, &f.to_write};
    for (int k = 0; k < 4; k++)
        queue_init(queues[k]);
    (void)pthread_mutex_init(&f.mutex, NULL);
    make_ended(&f);
    for (int32_t s = 0; s < jobs->slots; s++) {
        put(&f.free_in, &(item){.in = s});
        put(&f.free_out, &(item){.in = s});
    }
    bool ok = start_all(&f, thread, err);
    if (ok) {
        watch(&f, tick, arg);
        for (int k = 0; k < 3; k++)
            (void)pthread_join(thread[k], NULL);
        if (f.error.code != 0) {
            ok = false;
            if (err)
                *err = f.error;
        } else if (atomic_load(jobs->stop)) {
            ok = pel__fail(err, PEL_INTERRUPTED, "interrupted: the same command goes on where this one stopped");
        }
    }
    for (int k = 0; k < 4; k++)
        queue_finish(queues[k]);
    (void)pthread_mutex_destroy(&f.mutex);
    (void)pthread_cond_destroy(&f.ended);
    return ok;
}
