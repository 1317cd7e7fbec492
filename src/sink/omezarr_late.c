/* SPDX-License-Identifier: MIT
 * See omezarr_late.h. Places form a ring: `first` is the oldest under way, `sent` the next to be handed out, `taken` the
 * next to be taken; `begun` is how far the crew has come. */
#include "sink/omezarr_late.h"

#include "core/bytes.h"

#include <pthread.h>
#include <stdlib.h>

struct pel__late {
    pel__store *store;
    pthread_mutex_t mutex;
    pthread_cond_t work, ended;
    pel__late_place place[PEL__LATE_PLACES];
    int64_t first, begun, sent, taken;
    int32_t crew, idle;
    bool closing;
    pthread_t thread[PEL__STORE_CREW];
};

static pel__late_place *at(pel__late *late, int64_t number)
{
    return &late->place[number % PEL__LATE_PLACES];
}

static void commit(pel__late *late, pel__late_place *p)
{
    if (p->record.bytes < 0) {
        p->record.digest = pel__store_absent(late->store, p->record.path);
        p->ok = pel__store_remove(late->store, p->record.path, &p->error);
    } else {
        p->ok = pel__writer_commit(&p->file, &p->error);
    }
}

void pel__late_now(pel__late *late, pel__late_place *place)
{
    commit(late, place);
    place->done = true;
}

/* With the mutex held. */
static void commit_next(pel__late *late)
{
    pel__late_place *const p = at(late, late->begun++);
    if (p->done)
        return;
    (void)pthread_mutex_unlock(&late->mutex);
    commit(late, p);
    (void)pthread_mutex_lock(&late->mutex);
    p->done = true;
    (void)pthread_cond_signal(&late->ended);
}

static void *crew_main(void *arg)
{
    pel__late *const late = arg;
    (void)pthread_mutex_lock(&late->mutex);
    while (!late->closing || late->begun < late->sent) {
        if (late->begun < late->sent) {
            commit_next(late);
            continue;
        }
        late->idle++;
        (void)pthread_cond_wait(&late->work, &late->mutex);
        late->idle--;
    }
    (void)pthread_mutex_unlock(&late->mutex);
    return NULL;
}

bool pel__late_create(pel__late **out, pel__store *store, pel_error *err)
{
    pel__late *const late = calloc(1, sizeof *late);
    if (!late)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    late->store = store;
    (void)pthread_mutex_init(&late->mutex, NULL);
    (void)pthread_cond_init(&late->work, NULL);
    (void)pthread_cond_init(&late->ended, NULL);
    *out = late;
    return true;
}

void pel__late_destroy(pel__late *late)
{
    if (!late)
        return;
    pel__late_drop(late);
    (void)pthread_mutex_lock(&late->mutex);
    late->closing = true;
    (void)pthread_cond_broadcast(&late->work);
    (void)pthread_mutex_unlock(&late->mutex);
    for (int32_t i = 0; i < late->crew; i++)
        (void)pthread_join(late->thread[i], NULL);
    (void)pthread_cond_destroy(&late->work);
    (void)pthread_cond_destroy(&late->ended);
    (void)pthread_mutex_destroy(&late->mutex);
    free(late);
}

pel__late_place *pel__late_take(pel__late *late, pel__on_file *on_file, void *arg, pel_error *err)
{
    if (late->taken - late->first == PEL__LATE_PLACES && !pel__late_trim(late, PEL__LATE_PLACES - 1, on_file, arg, err))
        return NULL;
    if (late->first == late->taken) { /* from the start again: places that are never used cost no memory */
        (void)pthread_mutex_lock(&late->mutex);
        late->first = late->begun = late->sent = late->taken = 0;
        (void)pthread_mutex_unlock(&late->mutex);
    }
    pel__late_place *const p = at(late, late->taken++);
    p->file = (pel__store_writer){.store = NULL};
    p->record.bytes = -1;
    p->record.digest = (pel__digest){0};
    p->done = false;
    return p;
}

/* The crew grows with what there is to wait for. With the mutex held. */
static void wake(pel__late *late)
{
    int64_t waiting = 0;
    for (int64_t i = late->begun; i < late->sent; i++)
        waiting += !at(late, i)->done;
    while (waiting > late->idle && late->crew < PEL__STORE_CREW
           && pthread_create(&late->thread[late->crew], NULL, crew_main, late) == 0) {
        late->crew++;
        waiting--;
    }
    for (int64_t i = pel__min(waiting, late->idle); i > 0; i--)
        (void)pthread_cond_signal(&late->work);
}

void pel__late_send(pel__late *late)
{
    (void)pthread_mutex_lock(&late->mutex);
    late->sent = late->taken;
    wake(late);
    while (late->crew == 0 && late->begun < late->sent) /* no thread to be had: here, then */
        commit_next(late);
    (void)pthread_mutex_unlock(&late->mutex);
}

/* Waits for the oldest and takes it off the ring. */
static pel__late_place *oldest(pel__late *late)
{
    pel__late_place *const p = at(late, late->first);
    (void)pthread_mutex_lock(&late->mutex);
    while (!p->done)
        (void)pthread_cond_wait(&late->ended, &late->mutex);
    late->first++;
    late->begun = pel__max(late->begun, late->first);
    (void)pthread_mutex_unlock(&late->mutex);
    return p;
}

bool pel__late_trim(pel__late *late, int64_t most, pel__on_file *on_file, void *arg, pel_error *err)
{
    while (late->taken - late->first > most && late->first < late->sent) {
        const pel__late_place *const p = oldest(late);
        if (!p->ok && err)
            *err = p->error;
        if (!p->ok || !on_file(arg, &p->record, err)) {
            pel__late_drop(late);
            return false;
        }
    }
    return true;
}

void pel__late_drop(pel__late *late)
{
    while (late->first < late->sent)
        (void)oldest(late);
    for (; late->first < late->taken; late->first++)
        pel__writer_abort(&at(late, late->first)->file);
    (void)pthread_mutex_lock(&late->mutex);
    late->sent = late->begun = late->first;
    (void)pthread_mutex_unlock(&late->mutex);
}
