/* SPDX-License-Identifier: MIT
 * See errand.h. One queue, first come, first served. Whoever waits for an errand that nobody has begun does it himself, so
 * that a crew that could not be made costs time and nothing else. */
#include "zarr/errand.h"

#include "core/error.h"

#include <pthread.h>
#include <stdlib.h>

enum { WAITING = 1, RUNNING, DONE };

struct pel__errands {
    pthread_mutex_t mutex;
    pthread_cond_t sent, done;
    pel__errand *first, *last;
    int32_t most, threads, idle, queued;
    bool ending;
    pthread_t thread[];
};

static void unlink_errand(pel__errands *e, pel__errand *one)
{
    pel__errand *before = NULL;
    for (pel__errand *p = e->first; p && p != one; p = p->next)
        before = p;
    if (before)
        before->next = one->next;
    else
        e->first = one->next;
    if (e->last == one)
        e->last = before;
    e->queued--;
}

/* With the mutex held, which is let go meanwhile. */
static void run(pel__errands *e, pel__errand *one)
{
    unlink_errand(e, one);
    one->state = RUNNING;
    (void)pthread_mutex_unlock(&e->mutex);
    one->ok = one->run(one->arg, &one->error);
    (void)pthread_mutex_lock(&e->mutex);
    one->state = DONE;
    (void)pthread_cond_broadcast(&e->done);
}

static void *serve(void *arg)
{
    pel__errands *const e = arg;
    (void)pthread_mutex_lock(&e->mutex);
    while (!e->ending) {
        if (e->first) {
            run(e, e->first);
            continue;
        }
        e->idle++;
        (void)pthread_cond_wait(&e->sent, &e->mutex);
        e->idle--;
    }
    (void)pthread_mutex_unlock(&e->mutex);
    return NULL;
}

bool pel__errands_create(pel__errands **out, int32_t most, pel_error *err)
{
    pel__errands *const e = calloc(1, sizeof *e + (size_t)most * sizeof e->thread[0]);
    if (!e)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    (void)pthread_mutex_init(&e->mutex, NULL);
    (void)pthread_cond_init(&e->sent, NULL);
    (void)pthread_cond_init(&e->done, NULL);
    e->most = most;
    *out = e;
    return true;
}

void pel__errands_destroy(pel__errands *e)
{
    if (!e)
        return;
    (void)pthread_mutex_lock(&e->mutex);
    e->ending = true;
    (void)pthread_cond_broadcast(&e->sent);
    (void)pthread_mutex_unlock(&e->mutex);
    for (int32_t i = 0; i < e->threads; i++)
        (void)pthread_join(e->thread[i], NULL);
    (void)pthread_cond_destroy(&e->done);
    (void)pthread_cond_destroy(&e->sent);
    (void)pthread_mutex_destroy(&e->mutex);
    free(e);
}

void pel__errand_send(pel__errands *e, pel__errand *one)
{
    one->next = NULL;
    one->state = WAITING;
    one->error = (pel_error){0};
    if (!e)
        return;
    (void)pthread_mutex_lock(&e->mutex);
    if (e->last)
        e->last->next = one;
    else
        e->first = one;
    e->last = one;
    e->queued++;
    if (e->queued > e->idle && e->threads < e->most && pthread_create(&e->thread[e->threads], NULL, serve, e) == 0)
        e->threads++;
    (void)pthread_cond_signal(&e->sent);
    (void)pthread_mutex_unlock(&e->mutex);
}

bool pel__errand_wait(pel__errands *e, pel__errand *one, pel_error *err)
{
    if (!e)
        return one->run(one->arg, err);
    (void)pthread_mutex_lock(&e->mutex);
    if (one->state == WAITING)
        run(e, one);
    while (one->state != DONE)
        (void)pthread_cond_wait(&e->done, &e->mutex);
    (void)pthread_mutex_unlock(&e->mutex);
    if (!one->ok && err)
        *err = one->error;
    return one->ok;
}
