/* SPDX-License-Identifier: MIT
 * See scaling.h. */
#include "scaling.h"

static int64_t least_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- one submission ------------------------------------------------------------------------------------------------------ */

scaling_set scaling_sent(int64_t jobs, int64_t now)
{
    return (scaling_set){.jobs = jobs, .at = now, .alive = jobs};
}

/* Jobs that nobody says anything about: for a while they are alive. Returns how many still count. */
static int64_t hear_missed(scaling_set *s, int64_t missed, int64_t now)
{
    s->missed_least = s->missed ? least_of(s->missed_least, missed) : missed;
    s->missed_since = s->missed ? s->missed_since : now;
    s->missed = true;
    return now - s->missed_since >= SCALING_PATIENCE_S ? missed - s->missed_least : missed;
}

void scaling_hear(scaling_set *s, const scaling_facts *f, int64_t now)
{
    const int64_t alive = least_of(f->alive, s->jobs), ended = least_of(f->ended, s->jobs - alive);
    int64_t missed = s->jobs - alive - ended;
    s->seen = s->seen || alive + ended > 0;
    if (f->unknown && alive == 0 && (s->seen || now - s->at >= SCALING_GRACE_S))
        missed = 0;
    if (missed > 0)
        missed = hear_missed(s, missed, now);
    else
        s->missed = false;
    s->alive = alive + missed;
    s->over = s->alive == 0;
}

void scaling_hear_torn(scaling_set *s, int64_t alive)
{
    s->seen = s->seen || alive > 0;
    s->alive = most_of(s->alive, least_of(alive, s->jobs));
}

void scaling_hear_absent(scaling_set *s, int64_t now)
{
    s->over = now - s->at >= SCALING_GRACE_S;
    s->alive = s->over ? 0 : s->jobs;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------ */

scaling scaling_begin(int64_t least, int64_t most)
{
    return (scaling){.least = least, .most = most, .total_most = -1};
}

void scaling_bounds(scaling *s, int64_t least, int64_t most)
{
    s->least = least;
    s->most = most;
    s->total_most = -1;
}

scaling_step scaling_next(scaling *s, int64_t alive, int64_t blocks_left, int64_t now)
{
    if (alive > s->most)
        return (scaling_step){.cancel = alive - s->most};
    s->had_least = s->had_least || alive >= most_of(s->least, 1);
    if (blocks_left <= 0)
        return (scaling_step){0};
    int64_t want = most_of(least_of(blocks_left, s->most), s->least);
    if (s->total_most >= 0 && now - s->total_at < SCALING_AGAIN_S)
        want = least_of(want, s->total_most);
    const int64_t more = most_of(want - alive, 0);
    return (scaling_step){.submit = s->array_most > 0 ? least_of(more, s->array_most) : more};
}

bool scaling_refused(scaling *s, int64_t jobs, int64_t alive, int64_t now)
{
    if (jobs > 1) {
        s->array_most = jobs / 2;
        return true;
    }
    s->total_most = alive;
    s->total_at = now;
    return s->had_least || alive >= most_of(s->least, 1);
}
