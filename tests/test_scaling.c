/* SPDX-License-Identifier: MIT
 * How many worker jobs are asked for (cli/scaling.c), by a clock of the test's own; the states of all schedulers; and what is kept of submissions. */
#include "check.h"

#include "../cli/job_states.h"
#include "../cli/scaling.h"

#include <stdlib.h>

/* ---- one submission --------------------------------------------------------------------------------------------------------- */

static scaling_set hear(scaling_set s, int64_t alive, int64_t ended, bool unknown, int64_t now)
{
    scaling_hear(&s, &(scaling_facts){.alive = alive, .ended = ended, .unknown = unknown}, now);
    return s;
}

CASE(what_was_sent_counts_until_somebody_says_that_it_ended)
{
    scaling_set s = scaling_sent(4, 1000);
    CHECK_INT(s.alive, 4);
    s = hear(s, 0, 0, true, 1001); /* unknown, since it was sent a moment ago: not listed yet */
    CHECK_INT(s.alive, 4);
    s = hear(s, 3, 0, false, 1015); /* a part of it */
    CHECK_INT(s.alive, 4);
    s = hear(s, 3, 1, false, 1030);
    CHECK_INT(s.alive, 3);
    s = hear(s, 0, 1, true, 1045); /* it was seen: now the scheduler may say that it is not known any more */
    CHECK(s.over);
}

CASE(one_that_was_never_listed_is_over_once_it_is_called_unknown_after_a_while)
{
    scaling_set s = hear(scaling_sent(2, 0), 0, 0, true, SCALING_GRACE_S - 1);
    CHECK(!s.over);
    CHECK(hear(s, 0, 0, true, SCALING_GRACE_S).over);
}

CASE(jobs_that_nobody_mentions_end_by_patience_only_and_come_back)
{
    scaling_set s = hear(scaling_sent(4, 0), 4, 0, false, 10);
    s = hear(s, 1, 0, false, 20);
    s = hear(s, 2, 0, false, 30);
    CHECK_INT(s.alive, 4);
    s = hear(s, 1, 0, false, 20 + SCALING_PATIENCE_S);
    CHECK_INT(s.alive, 2); /* two of them were missed all the time, the third now and then */
    s = hear(s, 4, 0, false, 21 + SCALING_PATIENCE_S);
    CHECK_INT(s.alive, 4);
    s = hear(s, 1, 0, false, 22 + SCALING_PATIENCE_S);
    CHECK_INT(s.alive, 4);
}

CASE(a_torn_answer_takes_nothing_away)
{
    scaling_set s = hear(scaling_sent(4, 0), 2, 2, false, 10);
    scaling_hear_torn(&s, 1);
    CHECK_INT(s.alive, 2);
    scaling_hear_torn(&s, 3); /* one was requeued */
    CHECK_INT(s.alive, 3);
    scaling_hear_torn(&s, 30);
    CHECK_INT(s.alive, 4);
}

CASE(one_that_may_not_have_been_taken_counts_for_a_while)
{
    scaling_set s = scaling_sent(3, 100);
    scaling_hear_absent(&s, 100 + SCALING_GRACE_S - 1);
    CHECK_INT(s.alive, 3);
    scaling_hear_absent(&s, 100 + SCALING_GRACE_S);
    CHECK(s.over && s.alive == 0);
}

/* ---- how many ------------------------------------------------------------------------------------------------------------------ */

CASE(no_more_than_the_blocks_left_and_no_less_than_the_least)
{
    scaling s = scaling_begin(2, 8);
    CHECK_INT(scaling_next(&s, 0, 100, 0).submit, 8);
    CHECK_INT(scaling_next(&s, 3, 5, 0).submit, 2);
    CHECK_INT(scaling_next(&s, 0, 1, 0).submit, 2);
    CHECK_INT(scaling_next(&s, 0, 0, 0).submit, 0);
    CHECK_INT(scaling_next(&s, 8, 100, 0).submit, 0);
    CHECK_INT(scaling_next(&s, 11, 100, 0).cancel, 3);
    scaling_bounds(&s, 1, 3);
    CHECK_INT(scaling_next(&s, 8, 100, 0).cancel, 5);
    scaling_bounds(&s, 10, 12);
    CHECK_INT(scaling_next(&s, 8, 100, 0).submit, 4);
}

/* A scheduler that takes arrays up to so many, and so many jobs in all. Returns how many jobs there are in the end, -1: given up. */
static int64_t try(int64_t least, int64_t most, int64_t array, int64_t total, int *refusals)
{
    scaling s = scaling_begin(least, most);
    int64_t alive = 0;
    *refusals = 0;
    for (int i = 0; i < 1000; i++) {
        const int64_t n = scaling_next(&s, alive, 1000, i % 500).submit;
        CHECK(n >= 0 && alive + n <= most);
        if (n == 0)
            return alive;
        if (n <= array && alive + n <= total)
            alive += n;
        else if (++*refusals, !scaling_refused(&s, n, alive, i % 500))
            return -1;
    }
    return -2;
}

CASE(limits_are_learnt)
{
    int refusals = 0;
    CHECK_INT(try(2, 16, 10, 1000, &refusals), 16); /* MaxArraySize */
    CHECK_INT(refusals, 1);
    CHECK_INT(try(2, 16, 1, 1000, &refusals), 16); /* no arrays at all */
    CHECK_INT(refusals, 4);
    CHECK_INT(try(2, 16, 1000, 5, &refusals), 5); /* QOS, association */
    CHECK_INT(try(2, 16, 1000, 2, &refusals), 2);
    CHECK_INT(try(3, 16, 1000, 2, &refusals), -1);
    CHECK_INT(try(0, 4, 1000, 0, &refusals), -1);
    for (int64_t least = 1; least <= 20; least++)
        for (int64_t total = 0; total <= 25; total++)
            for (int64_t array = 1; array <= 25; array += 3)
                CHECK_INT(try(least, 20, array, total, &refusals), total < least ? -1 : total < 20 ? total : 20);
}

CASE(a_limit_of_all_is_tried_again_after_a_while_and_no_end_once_there_were_enough)
{
    scaling s = scaling_begin(2, 4);
    CHECK_INT(scaling_next(&s, 2, 100, 0).submit, 2);
    CHECK(scaling_refused(&s, 2, 2, 0));
    CHECK_INT(scaling_next(&s, 2, 100, 0).submit, 1);
    CHECK(scaling_refused(&s, 1, 2, 0));
    CHECK_INT(scaling_next(&s, 2, 100, SCALING_AGAIN_S - 1).submit, 0);
    CHECK_INT(scaling_next(&s, 1, 100, SCALING_AGAIN_S - 1).submit, 1);
    CHECK_INT(scaling_next(&s, 2, 100, SCALING_AGAIN_S).submit, 1);
    CHECK(scaling_refused(&s, 1, 1, SCALING_AGAIN_S));
}

/* ---- a scheduler that lies by chance ------------------------------------------------------------------------------------------- */

enum { SETS = 400, JOBS = 8 };

typedef struct {
    bool alive[SETS][JOBS];
    int64_t sent_at[SETS];
    scaling_set sets[SETS];
    int64_t jobs[SETS];
    bool ended[SETS][JOBS];
    int count;
} site;

static uint64_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state >> 33;
}

static int64_t really_alive(const site *s)
{
    int64_t n = 0;
    for (int i = 0; i < s->count; i++)
        for (int k = 0; k < JOBS; k++)
            n += s->alive[i][k];
    return n;
}

static void answer(site *s, uint64_t *chance, int64_t now)
{
    const int mood = (int)(random_next(chance) % 5); /* 0: none; 1: torn; 2: some are left out; else all */
    for (int i = 0; i < s->count && mood > 0; i++) {
        scaling_facts f = {0};
        const bool stale = now - s->sent_at[i] < 40;
        bool any = false;
        for (int k = 0; k < s->jobs[i]; k++) {
            const bool told = !stale && (mood > 2 || random_next(chance) % 2);
            any = any || s->alive[i][k];
            f.alive += told && s->alive[i][k];
            s->ended[i][k] = s->ended[i][k] || (told && !s->alive[i][k]);
            f.ended += s->ended[i][k];
        }
        f.unknown = stale || !any;
        if (mood == 1)
            scaling_hear_torn(&s->sets[i], f.alive);
        else if (!s->sets[i].over)
            scaling_hear(&s->sets[i], &f, now);
    }
}

CASE(never_more_than_the_most_whatever_is_answered)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        static site s;
        uint64_t chance = seed;
        scaling all = scaling_begin(1, JOBS);
        s = (site){0};
        for (int64_t now = 0; now < 3000 && s.count < SETS; now += 15) {
            for (int i = 0; i < s.count; i++)
                for (int k = 0; k < JOBS; k++)
                    s.alive[i][k] = s.alive[i][k] && random_next(&chance) % 12 > 0;
            answer(&s, &chance, now);
            int64_t believed = 0;
            for (int i = 0; i < s.count; i++)
                believed += s.sets[i].over ? 0 : s.sets[i].alive;
            CHECK(believed >= really_alive(&s));
            const int64_t n = scaling_next(&all, believed, 1000, now).submit;
            if (n > 0) {
                s.sets[s.count] = scaling_sent(n, now);
                s.sets[s.count].sure = true;
                s.sent_at[s.count] = now;
                s.jobs[s.count] = n;
                for (int k = 0; k < n; k++)
                    s.alive[s.count][k] = true;
                s.count++;
            }
            CHECK(really_alive(&s) <= JOBS);
        }
        CHECK(s.count > 3); /* and work goes on */
    }
}

/* ---- states --------------------------------------------------------------------------------------------------------------------- */

CASE(every_state_but_an_end_is_alive)
{
    static const struct {
        const char *scheduler, *state;
        enum job_class kind;
    } table[] = {
        {"slurm", "PENDING", JOB_WAITS}, {"slurm", "CONFIGURING", JOB_WAITS}, {"slurm", "REQUEUED", JOB_WAITS}, {"slurm", "RUNNING", JOB_RUNS}, {"slurm", "COMPLETING", JOB_RUNS},
        {"slurm", "SUSPENDED", JOB_HELD}, {"slurm", "STOPPED", JOB_HELD}, {"slurm", "REQUEUE_HOLD", JOB_HELD}, {"slurm", "SPECIAL_EXIT", JOB_HELD}, {"slurm", "COMPLETED", JOB_ENDED},
        {"slurm", "CANCELLED by 1001", JOB_ENDED}, {"slurm", "CANCELLED+", JOB_ENDED}, {"slurm", "NODE_FAIL", JOB_ENDED}, {"slurm", "OUT_OF_MEMORY", JOB_ENDED}, {"slurm", "NEW_IN_2030", JOB_HELD},
        {"slurm", "", JOB_HELD}, {"slurm", "COMPLETE", JOB_HELD}, {"pbs", "Q", JOB_WAITS}, {"pbs", "R", JOB_RUNS}, {"pbs", "E", JOB_RUNS}, {"pbs", "H", JOB_HELD}, {"pbs", "S", JOB_HELD},
        {"pbs", "U", JOB_HELD}, {"pbs", "M", JOB_HELD}, {"pbs", "W", JOB_WAITS}, {"pbs", "X", JOB_ENDED}, {"pbs", "F", JOB_ENDED}, {"torque", "C", JOB_ENDED}, {"torque", "H", JOB_HELD},
        {"torque", "X", JOB_HELD}, {"sge", "qw", JOB_WAITS}, {"sge", "hqw", JOB_HELD}, {"sge", "Eqw", JOB_HELD}, {"sge", "r", JOB_RUNS}, {"sge", "Rr", JOB_RUNS}, {"sge", "Rq", JOB_RUNS},
        {"sge", "t", JOB_RUNS}, {"sge", "dr", JOB_HELD}, {"sge", "S", JOB_HELD}, {"sge", "s", JOB_HELD}, {"sge", "T", JOB_HELD}, {"sge", "?", JOB_HELD}, {"lsf", "PEND", JOB_WAITS},
        {"lsf", "RUN", JOB_RUNS}, {"lsf", "PSUSP", JOB_HELD}, {"lsf", "USUSP", JOB_HELD}, {"lsf", "SSUSP", JOB_HELD}, {"lsf", "UNKWN", JOB_HELD}, {"lsf", "ZOMBI", JOB_HELD},
        {"lsf", "DONE", JOB_ENDED}, {"lsf", "EXIT", JOB_ENDED}, {"htcondor", "1", JOB_WAITS}, {"htcondor", "2", JOB_RUNS}, {"htcondor", "3", JOB_HELD}, {"htcondor", "4", JOB_ENDED},
        {"htcondor", "5", JOB_HELD}, {"htcondor", "6", JOB_RUNS}, {"htcondor", "7", JOB_HELD}, {"htcondor", "99", JOB_HELD}, {"another", "DONE", JOB_HELD},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (job_class_of(table[i].scheduler, table[i].state) != table[i].kind) {
            printf("  %s %s is %d, expected %d\n", table[i].scheduler, table[i].state, (int)job_class_of(table[i].scheduler, table[i].state), (int)table[i].kind);
            check_failures++;
        }
}

int main(void)
{
    RUN(what_was_sent_counts_until_somebody_says_that_it_ended);
    RUN(one_that_was_never_listed_is_over_once_it_is_called_unknown_after_a_while);
    RUN(jobs_that_nobody_mentions_end_by_patience_only_and_come_back);
    RUN(a_torn_answer_takes_nothing_away);
    RUN(one_that_may_not_have_been_taken_counts_for_a_while);
    RUN(no_more_than_the_blocks_left_and_no_less_than_the_least);
    RUN(limits_are_learnt);
    RUN(a_limit_of_all_is_tried_again_after_a_while_and_no_end_once_there_were_enough);
    RUN(never_more_than_the_most_whatever_is_answered);
    RUN(every_state_but_an_end_is_alive);
    return CHECK_DONE();
}
