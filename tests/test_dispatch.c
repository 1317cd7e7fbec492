/* SPDX-License-Identifier: MIT
 * The manager's decisions without a network: a made cluster whose hosts and blocks misbehave by rule, with a clock of its own. */
#include "check.h"
#include "engine/dispatch.h"
#include "engine/told.h"

#include <stdlib.h>

static const pel__dispatch_options usual = {.blocks = 1000, .batch_seconds = 10, .batch_most = 100, .attempts = 3, .host_failures = 3, .hold_seconds = 5,
                                            .memory = 1 << 20, .memory_most = 8 << 20, .straggler_seconds = 5};

typedef struct {
    const char *host;
    int64_t batch; /* -1: idle */
    double ends;
    double comes, goes; /* 0: never */
} worker;

/* What a task on `host` comes to. Blocks 0-3 of a poison run crash everywhere; a rotten host fails at once. */
typedef struct {
    int64_t poison;          /* blocks from there on crash, so many */
    int64_t poison_count;
    const char *rotten;      /* there nothing can be done */
    double rotten_from;      /* since when */
    bool mute;               /* it does not even say so */
    double block_seconds;
    int64_t tries_on_rotten;
    double ended;            /* when all was over; -1: it was hopeless */
    uint64_t dice;
    int32_t losses;          /* of 100 tasks */
    int64_t memory_of_seven; /* block 7 needs so much */
    bool stall;              /* the first task that holds block 30 never ends */
} world;

static uint32_t roll(world *w)
{
    w->dice = w->dice * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(w->dice >> 33) % 100;
}

static bool holds(const pel__batch *b, int64_t from, int64_t count)
{
    for (int64_t i = 0; i < b->count; i++)
        if (b->blocks[i] >= from && b->blocks[i] < from + count)
            return true;
    return false;
}

static bool is_rotten(const world *w, const worker *k, double now)
{
    return w->rotten && strncmp(k->host, w->rotten, strlen(w->rotten)) == 0 && now >= w->rotten_from;
}

static void end_task(pel__dispatch *d, world *w, worker *k, int *runs, double now)
{
    const pel__batch *b = pel__dispatch_find(d, k->batch);
    pel_error err = {0};
    bool done[100] = {false};
    const char *text[100] = {NULL};
    pel__batch_result r = {.ending = PEL__ENDED, .host = k->host, .done = done, .text = text, .now = now, .seconds = now - b->started,
                           .crash = "signal 11"};
    if (is_rotten(w, k, b->started)) {
        w->tries_on_rotten++;
        r.ending = w->mute ? PEL__CRASHED : PEL__ENDED;
        for (int64_t i = 0; i < b->count && !w->mute; i++)
            text[i] = "no library";
    } else if (roll(w) < (uint32_t)w->losses || (k->goes > 0 && now >= k->goes)) {
        r.ending = PEL__LOST;
    } else if (holds(b, w->poison, w->poison_count)) {
        r.ending = PEL__CRASHED;
    } else if (w->memory_of_seven && holds(b, 7, 1) && b->memory < w->memory_of_seven) {
        r.ending = PEL__OUT_OF_MEMORY;
    } else {
        for (int64_t i = 0; i < b->count; i++) {
            done[i] = true;
            runs[b->blocks[i]]++;
        }
    }
    CHECK(pel__dispatch_result(d, k->batch, &r, &err));
    k->batch = -1;
}

static void give(pel__dispatch *d, world *w, worker *k, const pel__batch *b, double now)
{
    const bool slow = w->stall && holds(b, 30, 1);
    const double each = w->block_seconds > 0 ? w->block_seconds : 1;
    const bool quick = is_rotten(w, k, now) || holds(b, w->poison, w->poison_count);
    w->stall = w->stall && !slow;
    k->batch = b->id;
    k->ends = now + (slow ? 1e12 : quick ? 0.001 : each * (double)b->count);
    if (k->goes > 0 && k->goes < k->ends)
        k->ends = k->goes;
    pel__dispatch_started(d, b->id, now);
}

static void give_all(pel__dispatch *d, world *w, worker *workers, int count, double now)
{
    for (int i = 0; i < count; i++) {
        const pel__batch *b = NULL;
        worker *k = &workers[i];
        if (k->batch >= 0 || now < k->comes || (k->goes > 0 && now >= k->goes) || pel__dispatch_held(d, k->host, now) > 0)
            continue;
        b = pel__dispatch_next(d, count, NULL);
        b = b ? b : pel__dispatch_straggler(d, now, NULL);
        if (b)
            give(d, w, k, b, now);
    }
}

static void cancel_needless(pel__dispatch *d, worker *workers, int count, double now)
{
    for (int64_t id = pel__dispatch_needless(d); id >= 0; id = pel__dispatch_needless(d)) {
        const pel__batch_result cancelled = {.ending = PEL__CANCELLED, .now = now};
        for (int i = 0; i < count; i++)
            if (workers[i].batch == id)
                workers[i].batch = -1;
        CHECK(pel__dispatch_result(d, id, &cancelled, NULL));
    }
}

/* Until nothing is left; how long that took, or -1: nothing could be done any more. */
static double simulate(pel__dispatch *d, world *w, worker *workers, int count, int *runs)
{
    double now = 1;
    pel__hold hold;
    for (int step = 0; !pel__dispatch_over(d); step++) {
        CHECK(step < 200000);
        if (step >= 200000)
            return -2;
        give_all(d, w, workers, count, now);
        int first = -1;
        for (int i = 0; i < count; i++)
            if (workers[i].batch >= 0 && (first < 0 || workers[i].ends < workers[first].ends))
                first = i;
        if (first < 0 && pel__dispatch_hopeless(d, now, 5, &hold))
            return -1;
        now = first >= 0 && workers[first].ends < now + 1 ? workers[first].ends : now + 1;
        if (first >= 0 && workers[first].ends <= now)
            end_task(d, w, &workers[first], runs, now);
        while (pel__dispatch_hold(d, now, &hold))
            CHECK(hold.seconds >= 5 && hold.seconds <= 3600 && hold.text && pel__dispatch_held(d, hold.host, now) > 0);
        cancel_needless(d, workers, count, now);
    }
    return now;
}

static pel__dispatch_counts play_with(world *w, const pel__dispatch_options *o, worker *workers, int count, int *runs)
{
    pel__dispatch *d = NULL;
    pel_error err = {0};
    CHECK_OK(pel__dispatch_create(&d, o, NULL, NULL, &err), err);
    memset(runs, 0, 1000 * sizeof *runs);
    w->dice = 7;
    w->ended = simulate(d, w, workers, count, runs);
    const pel__dispatch_counts c = pel__dispatch_count(d);
    CHECK_INT(c.done + c.given_up, w->ended > 0 ? o->blocks : c.done + c.given_up);
    pel__dispatch_destroy(d);
    return c;
}

static pel__dispatch_counts play(world *w, const pel__dispatch_options *o, int *runs)
{
    worker workers[4] = {{.host = "a", .batch = -1}, {.host = "b", .batch = -1}, {.host = "c", .batch = -1}, {.host = "d", .batch = -1}};
    const pel__dispatch_counts c = play_with(w, o, workers, 4, runs);
    CHECK(w->ended > 0);
    return c;
}

CASE(every_block_once_and_batches_grow)
{
    static int runs[1000];
    world w = {0};
    const pel__dispatch_counts c = play(&w, &usual, runs);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(runs[i], 1);
    CHECK(c.batches > 100 && c.batches < 250); /* 10 blocks of a second each in most of them */
    CHECK_INT(c.failures + c.lost + c.crashes + c.twins + c.given_up, 0);
}

CASE(lost_workers_cost_nothing)
{
    static int runs[1000];
    world w = {.losses = 30};
    const pel__dispatch_counts c = play(&w, &usual, runs);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(runs[i], 1);
    CHECK(c.lost > 20);
    CHECK_INT(c.failures + c.given_up, 0);
}

CASE(poison_blocks_are_found_alone_and_given_up)
{
    static int runs[1000];
    world w = {.poison_count = 2};
    const pel__dispatch_counts c = play(&w, &usual, runs);
    CHECK_INT(c.given_up, 2);
    CHECK_INT(c.holds, 0);
    CHECK(c.failures <= 2 * 3 * usual.attempts); /* on one host of several they get three times the tries, to meet another */
    for (int i = 2; i < 1000; i++)
        CHECK_INT(runs[i], 1);
}

static void check_all_once(const int *runs, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++)
        CHECK_INT(runs[i], 1);
}

CASE(rotten_host_costs_no_block_whether_it_speaks_or_not)
{
    static int runs[1000];
    for (int mute = 0; mute < 2; mute++) {
        world w = {.rotten = "c", .mute = mute == 1};
        const pel__dispatch_counts c = play(&w, &usual, runs);
        CHECK_INT(c.given_up, 0);
        CHECK(c.holds >= 1 && w.tries_on_rotten <= 2 + c.holds);
        check_all_once(runs, 1000);
    }
}

/* The host that fails is there at once with eight workers, the one that works a minute later: whoever fails is quick. */
CASE(rotten_host_that_comes_first_costs_no_block)
{
    static int runs[1000];
    for (int n = 0; n < 8; n++) {
        const int64_t blocks[] = {1, 2, 3, 4, 7, 20, 72, 1000};
        pel__dispatch_options o = usual;
        o.blocks = blocks[n];
        worker workers[9] = {{.host = "sound", .batch = -1, .comes = n < 2 ? 5 : 30}};
        for (int i = 1; i < 9; i++)
            workers[i] = (worker){.host = "rotten", .batch = -1};
        world w = {.rotten = "rotten"};
        const pel__dispatch_counts c = play_with(&w, &o, workers, 9, runs);
        CHECK(w.ended > 0);
        CHECK_INT(c.given_up, 0);
        CHECK(c.holds >= 1 && w.tries_on_rotten <= 8 + 9 * c.holds);
        check_all_once(runs, o.blocks);
    }
}

/* Three hosts of seven cannot do anything; all begin together. */
CASE(several_rotten_hosts_cost_no_block)
{
    static int runs[1000];
    static const char *const hosts[] = {"rotten1", "rotten2", "rotten3", "a", "b", "c", "d"};
    worker workers[7];
    for (int i = 0; i < 7; i++)
        workers[i] = (worker){.host = hosts[i], .batch = -1};
    pel__dispatch_options o = usual;
    o.blocks = 72;
    world w = {.rotten = "rotten", .block_seconds = 600};
    CHECK_INT(play_with(&w, &o, workers, 7, runs).given_up, 0);
    CHECK(w.ended > 0);
    check_all_once(runs, 72);
}

/* A disk that is full in the middle of a run; blocks last ten minutes elsewhere, and fail at once there. */
CASE(host_that_goes_bad_costs_no_block)
{
    static int runs[1000];
    pel__dispatch_options o = usual;
    o.blocks = 200;
    world w = {.rotten = "b", .rotten_from = 1500, .block_seconds = 600};
    const pel__dispatch_counts c = play(&w, &o, runs);
    CHECK_INT(c.given_up, 0);
    CHECK(c.holds >= 3 && w.tries_on_rotten <= 2 + c.holds);
    check_all_once(runs, 200);
}

CASE(one_host_on_which_everything_fails_ends_with_a_word)
{
    static int runs[1000];
    for (int mute = 0; mute < 2; mute++) {
        worker workers[2] = {{.host = "rotten", .batch = -1}, {.host = "rotten", .batch = -1}};
        world w = {.rotten = "rotten", .mute = mute == 1};
        const pel__dispatch_counts c = play_with(&w, &usual, workers, 2, runs);
        CHECK(w.ended == -1);
        CHECK_INT(c.holds, 5);
        CHECK_INT(c.given_up, 0);
        CHECK(w.tries_on_rotten < 20);
    }
}

/* After a resume: nothing is left but what fails. */
CASE(one_block_left_that_fails_is_given_up_after_a_hold)
{
    static int runs[1000];
    for (int blocks = 1; blocks <= 2; blocks++) {
        worker one[1] = {{.host = "a", .batch = -1}};
        pel__dispatch_options o = usual;
        o.blocks = blocks;
        world w = {.poison_count = blocks};
        const pel__dispatch_counts c = play_with(&w, &o, one, 1, runs);
        CHECK(w.ended > 5 && w.ended < 60);
        CHECK_INT(c.given_up, blocks);
        CHECK(c.failures <= 4 * blocks);
    }
}

CASE(many_blocks_left_that_all_fail_end_with_a_word)
{
    static int runs[1000];
    worker two[2] = {{.host = "a", .batch = -1}, {.host = "b", .batch = -1}};
    pel__dispatch_options o = usual;
    o.blocks = 12;
    world w = {.poison_count = 12};
    const pel__dispatch_counts c = play_with(&w, &o, two, 2, runs);
    CHECK(w.ended == -1 || c.given_up == 12);
    CHECK(c.failures < 60);
}

/* A damaged tile: many blocks in a row fail on a host that does all others. Also where another host did some and went away, and where
 * both stay. */
CASE(many_poison_blocks_in_a_row_do_not_stop_a_host)
{
    static int runs[1000];
    for (int kind = 0; kind < 3; kind++) {
        worker two[2] = {{.host = "a", .batch = -1}, {.host = "b", .batch = -1, .goes = kind == 1 ? 20 : 0}};
        pel__dispatch_options o = usual;
        o.blocks = 200;
        world w = {.poison = 100, .poison_count = 12};
        const pel__dispatch_counts c = play_with(&w, &o, two, kind == 0 ? 1 : 2, runs);
        CHECK(w.ended > 0 && w.ended < 200 + 60);
        CHECK_INT(c.given_up, 12);
        check_all_once(runs, 100);
        check_all_once(runs + 112, 88);
    }
}

CASE(a_hold_grows_and_a_block_done_ends_it)
{
    pel__dispatch *d = NULL;
    pel_error err = {0};
    CHECK_OK(pel__dispatch_create(&d, &usual, NULL, NULL, &err), err);
    double now = 1, expected = 5;
    pel__hold hold;
    const char *const text[1] = {"no library"};
    const bool done[1] = {true};
    for (int hold_number = 0, tries = 3; hold_number < 13; hold_number++, tries = 1) {
        CHECK(!pel__dispatch_hold(d, now, &hold));
        for (int i = 0; i < tries; i++) {
            const pel__batch *b = pel__dispatch_next(d, 1, &err);
            const pel__batch_result r = {.ending = PEL__ENDED, .host = "a", .text = text, .now = now, .seconds = 1};
            CHECK(pel__dispatch_result(d, b->id, &r, &err));
        }
        CHECK(pel__dispatch_hold(d, now, &hold) && hold.seconds == expected && strcmp(hold.text, "no library") == 0);
        CHECK(pel__dispatch_held(d, "a", now) == expected && pel__dispatch_held(d, "b", now) == 0);
        CHECK(pel__dispatch_hopeless(d, now, 5, &hold) == (hold_number >= 4));
        now += expected;
        CHECK(pel__dispatch_held(d, "a", now) == 0);
        expected = expected * 2 < 3600 ? expected * 2 : 3600;
    }
    const pel__batch *b = pel__dispatch_next(d, 1, &err);
    pel__dispatch_started(d, b->id, now);
    CHECK(!pel__dispatch_hopeless(d, now + 2, 5, &hold)); /* somebody is at work */
    const pel__batch_result good = {.ending = PEL__ENDED, .host = "a", .done = done, .now = now, .seconds = 1};
    CHECK(pel__dispatch_result(d, b->id, &good, &err));
    CHECK(!pel__dispatch_hopeless(d, now, 5, &hold));
    CHECK_INT(pel__dispatch_count(d).given_up, 0);
    pel__dispatch_destroy(d);
}

CASE(everything_at_once_still_ends)
{
    static int runs[1000];
    world w = {.rotten = "a", .poison_count = 3, .losses = 20, .stall = true, .memory_of_seven = 4 << 20};
    const pel__dispatch_counts c = play(&w, &usual, runs);
    CHECK_INT(c.given_up, 3);
    for (int i = 3; i < 1000; i++)
        CHECK(runs[i] >= 1);
}

CASE(memory_doubles_up_to_the_most)
{
    static int runs[1000];
    world w = {.memory_of_seven = 8 << 20};
    CHECK_INT(play(&w, &usual, runs).given_up, 0);
    w.memory_of_seven = 9 << 20;
    CHECK_INT(play(&w, &usual, runs).given_up, 1);
}

CASE(stalled_task_is_repeated_once)
{
    static int runs[1000];
    world w = {.stall = true};
    const pel__dispatch_counts c = play(&w, &usual, runs);
    CHECK_INT(c.twins, 1);
    CHECK_INT(c.done, 1000);
}

static bool is_even(void *arg, int64_t block)
{
    return block % 2 == 0;
}

CASE(done_blocks_are_not_sent_and_the_books_may_correct)
{
    pel__dispatch *d = NULL;
    pel_error err = {0};
    pel__dispatch_options o = usual;
    o.blocks = 4;
    CHECK_OK(pel__dispatch_create(&d, &o, is_even, NULL, &err), err);
    const pel__batch *b = pel__dispatch_next(d, 1, &err);
    CHECK_INT(b->blocks[0], 1);
    const bool done[1] = {true};
    const pel__batch_result r = {.ending = PEL__ENDED, .host = "a", .done = done, .seconds = 1};
    CHECK(pel__dispatch_result(d, b->id, &r, &err));
    pel__dispatch_set(d, 3, true);
    CHECK(pel__dispatch_over(d));
    pel__dispatch_set(d, 0, false);
    CHECK(!pel__dispatch_over(d));
    b = pel__dispatch_next(d, 1, &err);
    CHECK_INT(b->blocks[0], 0);
    CHECK(pel__dispatch_next(d, 1, &err) == NULL);
    pel__dispatch_destroy(d);
}

CASE(an_order_is_kept)
{
    static const int64_t order[] = {0, 2, 4, 1, 3, 5};
    pel__dispatch *d = NULL;
    pel_error err = {0};
    pel__dispatch_options o = usual;
    o.blocks = 6;
    o.order = order;
    CHECK_OK(pel__dispatch_create(&d, &o, NULL, NULL, &err), err);
    for (int i = 0; i < 6; i++)
        CHECK_INT(pel__dispatch_next(d, 1, &err)->blocks[0], order[i]);
    pel__dispatch_destroy(d);
}

CASE(time_is_short_when_the_longest_would_not_end)
{
    pel__dispatch *d = NULL;
    pel_error err = {0};
    const bool done[1] = {true};
    CHECK_OK(pel__dispatch_create(&d, &usual, NULL, NULL, &err), err);
    const pel__batch *b = pel__dispatch_next(d, 1, &err);
    CHECK(!pel__dispatch_is_short(d, 0.5)); /* nothing is known yet */
    CHECK(pel__dispatch_is_short(d, -1));
    const pel__batch_result r = {.ending = PEL__ENDED, .host = "a", .done = done, .now = 1, .seconds = 2};
    CHECK(pel__dispatch_result(d, b->id, &r, &err));
    b = pel__dispatch_next(d, 1, &err);
    CHECK_INT(b->count, 5);
    CHECK(pel__dispatch_is_short(d, 11) && !pel__dispatch_is_short(d, 13));
    pel__dispatch_destroy(d);
}

CASE(what_a_task_says_is_believed_of_its_own_blocks_only)
{
    const int64_t blocks[3] = {7, 8, 12};
    const pel__batch b = {.blocks = blocks, .count = 3};
    pel__told r;
    CHECK(pel__told_read(&r, &b, "@host n1\n{\"done\":[7,9,-1,1e30,\"x\"],\"failed\":{\"12\":\"no disk\",\"13\":\"?\"},\"memory_peak\":5}\nwords\n@exit 1"));
    CHECK(r.reported && r.done[0] && !r.done[1] && !r.done[2] && !r.text[0] && r.text[2] && strcmp(r.text[2], "no disk") == 0);
    CHECK(r.status == 1 && r.memory_peak == 5 && strcmp(r.host, "n1") == 0 && strcmp(r.last, "words") == 0);
    pel__told_destroy(&r, &b);
    static const char *const strange[] = {NULL, "", "{", "{\"done\":7}", "{\"done\":[7", "[7]", "{\"failed\":[]}", "{\"failed\":{\"7\":null}}", "\n\n@host", "@exit \n{}"};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        CHECK(pel__told_read(&r, &b, strange[i]));
        CHECK(!r.reported && !r.done[0] && !r.text[0]);
        pel__told_destroy(&r, &b);
    }
    CHECK(pel__told_read(&r, &b, "{\"done\":[],\"failed\":{\"8\":null}}"));
    CHECK(r.reported && r.text[1]);
    pel__told_destroy(&r, &b);
    char text[200];
    CHECK(pel__told_read(&r, NULL, "{\"done\":[1]}\nbus error\n@exit 139\n"));
    pel__told_crash(text, sizeof text, &r);
    CHECK(strcmp(text, "killed by signal 11: bus error") == 0);
    pel__told_destroy(&r, NULL);
}

int main(void)
{
    RUN(every_block_once_and_batches_grow);
    RUN(lost_workers_cost_nothing);
    RUN(poison_blocks_are_found_alone_and_given_up);
    RUN(rotten_host_costs_no_block_whether_it_speaks_or_not);
    RUN(rotten_host_that_comes_first_costs_no_block);
    RUN(several_rotten_hosts_cost_no_block);
    RUN(host_that_goes_bad_costs_no_block);
    RUN(one_host_on_which_everything_fails_ends_with_a_word);
    RUN(one_block_left_that_fails_is_given_up_after_a_hold);
    RUN(many_blocks_left_that_all_fail_end_with_a_word);
    RUN(many_poison_blocks_in_a_row_do_not_stop_a_host);
    RUN(a_hold_grows_and_a_block_done_ends_it);
    RUN(everything_at_once_still_ends);
    RUN(memory_doubles_up_to_the_most);
    RUN(stalled_task_is_repeated_once);
    RUN(done_blocks_are_not_sent_and_the_books_may_correct);
    RUN(an_order_is_kept);
    RUN(time_is_short_when_the_longest_would_not_end);
    RUN(what_a_task_says_is_believed_of_its_own_blocks_only);
    return CHECK_DONE();
}
