/* SPDX-License-Identifier: MIT
 * The manager's decisions without a network: a made cluster whose hosts and blocks misbehave by rule, with a clock of its own. */
#include "check.h"
#include "engine/dispatch.h"

#include <stdlib.h>

static const pel__dispatch_options usual = {.blocks = 1000, .batch_seconds = 10, .batch_most = 100, .attempts = 3, .host_failures = 3,
                                            .memory = 1 << 20, .memory_most = 8 << 20, .straggler_seconds = 5};

typedef struct {
    const char *host;
    int64_t batch; /* -1: idle */
    double ends;
} worker;

/* What a task on `host` comes to. Blocks 0-3 of a poison run crash everywhere; a rotten host fails at once. */
typedef struct {
    int64_t poison;          /* blocks below it crash */
    const char *rotten;
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

static bool holds(const pel__batch *b, int64_t below, int64_t exactly)
{
    for (int64_t i = 0; i < b->count; i++)
        if (b->blocks[i] < below || b->blocks[i] == exactly)
            return true;
    return false;
}

static void end_task(pel__dispatch *d, world *w, worker *k, int *runs, double now)
{
    const pel__batch *b = pel__dispatch_find(d, k->batch);
    pel_error err = {0};
    bool done[100] = {false};
    const char *text[100] = {NULL};
    pel__batch_result r = {.ending = PEL__ENDED, .host = k->host, .done = done, .text = text, .seconds = now - b->started, .crash = "signal 11"};
    if (w->rotten && strcmp(k->host, w->rotten) == 0) {
        for (int64_t i = 0; i < b->count; i++)
            text[i] = "no library";
    } else if (roll(w) < (uint32_t)w->losses) {
        r.ending = PEL__LOST;
    } else if (holds(b, w->poison, -1)) {
        r.ending = PEL__CRASHED;
    } else if (w->memory_of_seven && holds(b, 0, 7) && b->memory < w->memory_of_seven) {
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
    const bool slow = w->stall && holds(b, 0, 30);
    const bool rotten = w->rotten && strcmp(k->host, w->rotten) == 0;
    w->stall = w->stall && !slow;
    k->batch = b->id;
    k->ends = now + (slow ? 1e12 : rotten ? 0.001 : (double)b->count);
    pel__dispatch_started(d, b->id, now);
}

/* Until nothing is left; how long that took, or -1 if it never ends. */
static double simulate(pel__dispatch *d, world *w, worker *workers, int count, int *runs)
{
    double now = 0;
    for (int step = 0; step < 100000 && !pel__dispatch_over(d); step++) {
        for (int i = 0; i < count; i++) {
            const pel__batch *b = NULL;
            if (workers[i].batch >= 0 || pel__dispatch_is_bad(d, workers[i].host))
                continue;
            b = pel__dispatch_next(d, count, NULL);
            b = b ? b : pel__dispatch_straggler(d, now, NULL);
            if (b)
                give(d, w, &workers[i], b, now);
        }
        int first = -1;
        for (int i = 0; i < count; i++)
            if (workers[i].batch >= 0 && (first < 0 || workers[i].ends < workers[first].ends))
                first = i;
        if (first < 0)
            return -1;
        now = workers[first].ends < now + 1 ? workers[first].ends : now + 1;
        if (workers[first].ends <= now)
            end_task(d, w, &workers[first], runs, now);
        (void)pel__dispatch_bad_host(d);
        for (int64_t id = pel__dispatch_needless(d); id >= 0; id = pel__dispatch_needless(d)) {
            const pel__batch_result cancelled = {.ending = PEL__CANCELLED};
            for (int i = 0; i < count; i++)
                if (workers[i].batch == id)
                    workers[i].batch = -1;
            CHECK(pel__dispatch_result(d, id, &cancelled, NULL));
        }
    }
    return pel__dispatch_over(d) ? now : -1;
}

static pel__dispatch_counts play(world *w, const pel__dispatch_options *o, int *runs)
{
    worker workers[4] = {{"a", -1, 0}, {"b", -1, 0}, {"c", -1, 0}, {"d", -1, 0}};
    pel__dispatch *d = NULL;
    pel_error err = {0};
    CHECK_OK(pel__dispatch_create(&d, o, NULL, NULL, &err), err);
    memset(runs, 0, 1000 * sizeof *runs);
    w->dice = 7;
    const double took = simulate(d, w, workers, 4, runs);
    CHECK(took >= 0);
    const pel__dispatch_counts c = pel__dispatch_count(d);
    CHECK_INT(c.done + c.given_up, o->blocks);
    pel__dispatch_destroy(d);
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
    world w = {.poison = 2};
    const pel__dispatch_counts c = play(&w, &usual, runs);
    CHECK_INT(c.given_up, 2);
    CHECK_INT(c.bad_hosts, 0);
    CHECK(c.failures <= 2 * 3 * usual.attempts); /* on one host of several they get three times the tries, to meet another */
    for (int i = 2; i < 1000; i++)
        CHECK_INT(runs[i], 1);
}

CASE(rotten_host_is_avoided_and_its_victims_forgiven)
{
    static int runs[1000];
    world w = {.rotten = "c"};
    const pel__dispatch_counts c = play(&w, &usual, runs);
    CHECK_INT(c.bad_hosts, 1);
    CHECK_INT(c.given_up, 0);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(runs[i], 1);
}

CASE(everything_at_once_still_ends)
{
    static int runs[1000];
    world w = {.rotten = "a", .poison = 3, .losses = 20, .stall = true, .memory_of_seven = 4 << 20};
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

int main(void)
{
    RUN(every_block_once_and_batches_grow);
    RUN(lost_workers_cost_nothing);
    RUN(poison_blocks_are_found_alone_and_given_up);
    RUN(rotten_host_is_avoided_and_its_victims_forgiven);
    RUN(everything_at_once_still_ends);
    RUN(memory_doubles_up_to_the_most);
    RUN(stalled_task_is_repeated_once);
    RUN(done_blocks_are_not_sent_and_the_books_may_correct);
    return CHECK_DONE();
}
