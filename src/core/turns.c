/* SPDX-License-Identifier: MIT
 * See turns.h. Numbers only grow, so a list to whose end they are added is sorted, and its first is the lowest under way. */
#include "core/turns.h"

#include <stddef.h>

void pel__turns_init(pel__turns *t)
{
    *t = (pel__turns){.next = 0};
    (void)pthread_mutex_init(&t->mutex, NULL);
    (void)pthread_cond_init(&t->ended, NULL);
}

void pel__turns_finish(pel__turns *t)
{
    (void)pthread_cond_destroy(&t->ended);
    (void)pthread_mutex_destroy(&t->mutex);
}

void pel__turns_take(pel__turns *t, pel__turn *turn)
{
    (void)pthread_mutex_lock(&t->mutex);
    *turn = (pel__turn){.number = t->next++, .before = t->last};
    *(t->last ? &t->last->after : &t->first) = turn;
    t->last = turn;
    (void)pthread_mutex_unlock(&t->mutex);
}

void pel__turns_wait(pel__turns *t, int64_t last)
{
    (void)pthread_mutex_lock(&t->mutex);
    while (t->first && t->first->number <= last)
        (void)pthread_cond_wait(&t->ended, &t->mutex);
    (void)pthread_mutex_unlock(&t->mutex);
}

void pel__turns_end(pel__turns *t, pel__turn *turn)
{
    (void)pthread_mutex_lock(&t->mutex);
    *(turn->before ? &turn->before->after : &t->first) = turn->after;
    *(turn->after ? &turn->after->before : &t->last) = turn->before;
    (void)pthread_cond_broadcast(&t->ended);
    (void)pthread_mutex_unlock(&t->mutex);
}
