/* SPDX-License-Identifier: MIT
 * See dispatch.h. A block is waiting, out, done or given up. Fresh blocks go out in order, several at once as the seconds
 * they take are learnt; blocks that were part of a crash go out alone, so that the guilty one is found.
 * A failure tells of the block or of the host. Only hosts that can do blocks judge them: those that have done one, or, where too
 * few are left to tell, that were on hold before. A host that does nothing but fail is put on hold, again and again and ever longer;
 * nothing is given up for what happened there. */
#include "engine/dispatch.h"

#include "core/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { WAITING, OUT, DONE, GIVEN_UP };

typedef struct {
    uint8_t state, alone, doublings, losses;
    int32_t last_failure; /* place in the list + 1; 0: none */
} block;

typedef struct {
    int64_t block;
    int32_t host;
    int32_t before; /* the failure of this block before this one, place + 1 */
    bool excused;   /* the host was at fault, as it seems */
    char *text;
} failure;

typedef struct {
    char *name;
    bool good;           /* a block was done there */
    bool untold;         /* of its hold */
    int64_t streak;      /* different blocks that failed since the last success */
    double streak_began, last_success;
    int64_t last_failed; /* so that one block that fails twice counts once */
    int64_t since;       /* failures from this place on came after the last success */
    char *text;          /* of the last failure */
    int64_t *suspects;   /* blocks of crashed batches since the last success */
    int64_t suspect_count, suspect_size;
    int32_t holds, barren; /* since it did a block; since any host did one */
    double held_seconds, held_until, spared_until;
} host;

/* An orphan's twin ended badly and its blocks went out anew: it may still bring some home, its failures do not count. */
typedef struct {
    pel__batch open;
    int64_t *blocks;
    bool orphan;
} batch;

struct pel__dispatch {
    pel__dispatch_options o;
    block *blocks;
    int64_t cursor;          /* fresh blocks lie behind it */
    int64_t *again;          /* blocks to be tried again, first in first out */
    int64_t again_first, again_count, again_size;
    batch *batches;
    int64_t batch_count, batch_size, next_id;
    failure *failures;
    int64_t failure_count, failure_size;
    host *hosts;
    int32_t host_count, host_size;
    double seconds_per_block;
    pel__dispatch_counts counts;
};

#define MOST_LOSSES 20 /* a block whose workers always vanish is a block's trouble in the end */
#define MOST_DOUBLINGS 8
#define LONGEST_HOLD 3600.0
#define AT_WORK 2.0 /* seconds after which a batch is no longer one that was only turned away */
#define SPARED 100 /* a host without which nothing goes on is on hold for one part in so many of the time */

/* ---- lists that grow ------------------------------------------------------------------------------------------------ */

static bool grow(void *list, int64_t count, int64_t *size, size_t item, pel_error *err)
{
    void **const at = list;
    if (count < *size)
        return true;
    const int64_t more = *size < 16 ? 16 : *size * 2;
    void *const p = realloc(*at, (size_t)more * item);
    if (!p)
        return pel__fail(err, PEL_NO_MEMORY, "manager: no memory for %lld entries", (long long)more);
    *at = p;
    *size = more;
    return true;
}

static bool push_again(pel__dispatch *d, int64_t b, pel_error *err)
{
    if (d->again_first > 0 && d->again_count == d->again_size) {
        memmove(d->again, d->again + d->again_first, (size_t)(d->again_count - d->again_first) * sizeof *d->again);
        d->again_count -= d->again_first;
        d->again_first = 0;
    }
    if (!grow(&d->again, d->again_count, &d->again_size, sizeof *d->again, err))
        return false;
    d->again[d->again_count++] = b;
    return true;
}

static int32_t find_host(pel__dispatch *d, const char *name, pel_error *err)
{
    name = name && name[0] ? name : "unknown";
    for (int32_t i = 0; i < d->host_count; i++)
        if (strcmp(d->hosts[i].name, name) == 0)
            return i;
    int64_t size = d->host_size;
    if (!grow(&d->hosts, d->host_count, &size, sizeof *d->hosts, err))
        return -1;
    d->host_size = (int32_t)size;
    d->hosts[d->host_count] = (host){.name = strdup(name), .last_failed = -1};
    if (!d->hosts[d->host_count].name)
        return (void)pel__fail(err, PEL_NO_MEMORY, "manager: no memory for a host"), -1;
    return d->host_count++;
}

static batch *find_batch(const pel__dispatch *d, int64_t id)
{
    for (int64_t i = 0; i < d->batch_count; i++)
        if (d->batches[i].open.id == id)
            return &d->batches[i];
    return NULL;
}

/* ---- making and ending ------------------------------------------------------------------------------------------------ */

bool pel__dispatch_create(pel__dispatch **out, const pel__dispatch_options *options, bool (*is_done)(void *arg, int64_t block),
                          void *arg, pel_error *err)
{
    pel__dispatch *d = calloc(1, sizeof *d);
    if (d)
        d->blocks = calloc((size_t)options->blocks + 1, sizeof *d->blocks);
    if (!d || !d->blocks) {
        pel__dispatch_destroy(d);
        return pel__fail(err, PEL_NO_MEMORY, "manager: no memory for %lld blocks", (long long)options->blocks);
    }
    d->o = *options;
    for (int64_t b = 0; b < options->blocks; b++) {
        if (is_done && is_done(arg, b)) {
            d->blocks[b].state = DONE;
            d->counts.done++;
        }
    }
    d->counts.waiting = options->blocks - d->counts.done;
    *out = d;
    return true;
}

void pel__dispatch_destroy(pel__dispatch *d)
{
    if (!d)
        return;
    for (int64_t i = 0; i < d->batch_count; i++)
        free(d->batches[i].blocks);
    for (int64_t i = 0; i < d->failure_count; i++)
        free(d->failures[i].text);
    for (int32_t i = 0; i < d->host_count; i++) {
        free(d->hosts[i].name);
        free(d->hosts[i].text);
        free(d->hosts[i].suspects);
    }
    free(d->batches);
    free(d->failures);
    free(d->hosts);
    free(d->again);
    free(d->blocks);
    free(d);
}

/* ---- sending out ---------------------------------------------------------------------------------------------------------- */

static void change(pel__dispatch *d, int64_t b, enum state to)
{
    int64_t *const counts[] = {&d->counts.waiting, &d->counts.out, &d->counts.done, &d->counts.given_up};
    (*counts[d->blocks[b].state])--;
    (*counts[to])++;
    d->blocks[b].state = (uint8_t)to;
}

/* So many that a batch lasts long against its start, few enough that the end finds every worker busy. */
static int64_t fair_count(const pel__dispatch *d, int64_t workers)
{
    int64_t n = 1;
    if (d->seconds_per_block > 0)
        n = d->o.batch_seconds / d->seconds_per_block < (double)d->o.batch_most ? (int64_t)(d->o.batch_seconds / d->seconds_per_block)
                                                                                : d->o.batch_most;
    const int64_t share = d->counts.waiting / (2 * (workers > 0 ? workers : 1)) + 1;
    n = n < share ? n : share;
    return n > 1 ? n : 1;
}

static int64_t memory_of(const pel__dispatch *d, int64_t b)
{
    int64_t m = d->o.memory;
    for (int i = 0; i < d->blocks[b].doublings && m > 0; i++)
        m = m * 2 < d->o.memory_most ? m * 2 : d->o.memory_most;
    return m;
}

static const pel__batch *add_batch(pel__dispatch *d, int64_t *list, int64_t count, pel_error *err)
{
    if (!grow(&d->batches, d->batch_count, &d->batch_size, sizeof *d->batches, err)) {
        free(list);
        return NULL;
    }
    batch *b = &d->batches[d->batch_count++];
    *b = (batch){.blocks = list};
    b->open = (pel__batch){.id = d->next_id++, .blocks = list, .count = count, .memory = memory_of(d, list[0]), .twin = -1,
                           .expected = (double)count * d->seconds_per_block};
    d->counts.batches++;
    return &b->open;
}

/* A block from the list of second tries; -1: none, or its first asks to go alone. */
static int64_t take_again(pel__dispatch *d, bool first)
{
    while (d->again_first < d->again_count) {
        const int64_t b = d->again[d->again_first];
        const bool waits = d->blocks[b].state == WAITING;
        if (waits && !first && (d->blocks[b].alone || d->blocks[b].doublings > 0))
            return -1;
        d->again_first++;
        if (waits)
            return b;
    }
    return -1;
}

static int64_t take_fresh(pel__dispatch *d)
{
    while (d->cursor < d->o.blocks) {
        const int64_t at = d->cursor++, b = d->o.order ? d->o.order[at] : at;
        if (d->blocks[b].state == WAITING)
            return b;
    }
    return -1;
}

/* Fresh blocks first: whoever failed waits until another host may have come. */
const pel__batch *pel__dispatch_next(pel__dispatch *d, int64_t workers, pel_error *err)
{
    if (d->counts.waiting == 0)
        return NULL;
    const int64_t most = fair_count(d, workers);
    int64_t *list = malloc((size_t)most * sizeof *list), n = 0;
    if (!list)
        return (void)pel__fail(err, PEL_NO_MEMORY, "manager: no memory for a batch"), NULL;
    while (n < most) {
        int64_t b = take_fresh(d);
        if (b < 0)
            b = take_again(d, n == 0);
        if (b < 0)
            break;
        list[n++] = b;
        change(d, b, OUT);
        if (d->blocks[b].alone || d->blocks[b].doublings > 0)
            break;
    }
    if (n == 0) {
        free(list);
        return NULL;
    }
    return add_batch(d, list, n, err);
}

const pel__batch *pel__dispatch_find(const pel__dispatch *d, int64_t id)
{
    const batch *b = find_batch(d, id);
    return b ? &b->open : NULL;
}

void pel__dispatch_started(pel__dispatch *d, int64_t id, double now)
{
    batch *b = find_batch(d, id);
    if (b)
        b->open.started = now;
}

bool pel__dispatch_is_short(const pel__dispatch *d, double left)
{
    double longest = 0;
    for (int64_t i = 0; i < d->batch_count; i++)
        longest = d->batches[i].open.expected > longest ? d->batches[i].open.expected : longest;
    return 1.2 * longest > left;
}

const pel__batch *pel__dispatch_straggler(pel__dispatch *d, double now, pel_error *err)
{
    if (d->counts.waiting > 0)
        return NULL;
    for (int64_t i = 0; i < d->batch_count; i++) {
        const pel__batch *late = &d->batches[i].open;
        const double expected = (double)late->count * d->seconds_per_block;
        if (late->twin >= 0 || d->batches[i].orphan || !(late->started > 0) || now - late->started < 3 * expected + d->o.straggler_seconds)
            continue;
        int64_t *list = malloc((size_t)late->count * sizeof *list), n = 0;
        for (int64_t k = 0; list && k < late->count; k++)
            if (d->blocks[late->blocks[k]].state == OUT)
                list[n++] = late->blocks[k];
        if (n == 0) {
            free(list);
            continue;
        }
        const int64_t first = late->id;
        const pel__batch *twin = add_batch(d, list, n, err); /* moves the batches */
        if (!twin)
            return NULL;
        find_batch(d, twin->id)->open.twin = first;
        find_batch(d, first)->open.twin = twin->id;
        d->counts.twins++;
        return twin;
    }
    return NULL;
}

int64_t pel__dispatch_needless(const pel__dispatch *d)
{
    for (int64_t i = 0; i < d->batch_count; i++) {
        const pel__batch *b = &d->batches[i].open;
        const bool double_work = b->twin >= 0 || d->batches[i].orphan;
        int64_t left = 0;
        for (int64_t k = 0; double_work && k < b->count; k++)
            left += d->blocks[b->blocks[k]].state != DONE && d->blocks[b->blocks[k]].state != GIVEN_UP;
        if (double_work && left == 0)
            return b->id;
    }
    return -1;
}

/* ---- results ------------------------------------------------------------------------------------------------------------------ */

static bool again(pel__dispatch *d, int64_t b, pel_error *err)
{
    change(d, b, WAITING);
    return push_again(d, b, err);
}

/* So few blocks that a host on which all of them fail cannot be told from blocks that fail everywhere. */
static bool are_few(const pel__dispatch *d)
{
    return d->counts.waiting + d->counts.out < d->o.host_failures;
}

static bool is_judge(const pel__dispatch *d, const host *h)
{
    return h->good || (h->holds > 0 && are_few(d));
}

typedef struct {
    int32_t judged;       /* failures on hosts that judge */
    int32_t hosts, judges; /* different hosts that are not excused; those of them that judge */
} verdict;

static verdict weigh(const pel__dispatch *d, int64_t b)
{
    verdict v = {0};
    for (int32_t i = d->blocks[b].last_failure; i > 0; i = d->failures[i - 1].before) {
        const failure *f = &d->failures[i - 1];
        const bool judge = is_judge(d, &d->hosts[f->host]);
        bool counted = f->excused;
        v.judged += judge;
        for (int32_t k = d->blocks[b].last_failure; k != i && !counted; k = d->failures[k - 1].before)
            counted = d->failures[k - 1].host == f->host && !d->failures[k - 1].excused;
        v.hosts += !counted;
        v.judges += !counted && judge;
    }
    return v;
}

/* Is there a host that does blocks and has not failed at this one? It should meet it. */
static bool has_hope(const pel__dispatch *d, int64_t b)
{
    for (int32_t i = 0; i < d->host_count; i++) {
        bool tried = !d->hosts[i].good;
        for (int32_t k = d->blocks[b].last_failure; k > 0 && !tried; k = d->failures[k - 1].before)
            tried = d->failures[k - 1].host == i;
        if (!tried)
            return true;
    }
    return false;
}

/* Two hosts agree, one of which can do blocks, or three of which nobody knows that; or those that can had their tries. */
static bool is_poison(const pel__dispatch *d, int64_t b)
{
    const verdict v = weigh(d, b);
    if (v.hosts >= 3 || (v.hosts >= 2 && v.judges >= 1))
        return true;
    return v.judged >= d->o.attempts && (v.judged >= 3 * d->o.attempts || !has_hope(d, b));
}

static void replace_text(char **old, const char *text)
{
    char *const copy = strdup(text ? text : "no reason was told");
    if (copy) {
        free(*old);
        *old = copy;
    }
}

static void lengthen_streak(host *h, int64_t b, double now)
{
    if (h->streak++ == 0)
        h->streak_began = now;
    h->last_failed = b;
}

static bool failed(pel__dispatch *d, int64_t b, int32_t at, const pel__batch_result *r, const char *text, pel_error *err)
{
    host *h = &d->hosts[at];
    if (!grow(&d->failures, d->failure_count, &d->failure_size, sizeof *d->failures, err))
        return false;
    d->failures[d->failure_count++] = (failure){.block = b, .host = at, .before = d->blocks[b].last_failure,
                                                .excused = r->now < h->held_until, .text = strdup(text ? text : "no reason was told")};
    d->blocks[b].last_failure = (int32_t)d->failure_count;
    d->counts.failures++;
    replace_text(&h->text, text);
    if (is_poison(d, b)) {
        change(d, b, GIVEN_UP);
        return true;
    }
    if (h->last_failed != b || (!h->good && are_few(d)))
        lengthen_streak(h, b, r->now);
    d->blocks[b].alone = h->good || !(r->now < h->held_until);
    return again(d, b, err);
}

/* A batch of several blocks crashed: one of them, or the host. */
static bool suspect(pel__dispatch *d, int64_t b, int32_t at, pel_error *err)
{
    host *h = &d->hosts[at];
    if (!grow(&h->suspects, h->suspect_count, &h->suspect_size, sizeof *h->suspects, err))
        return false;
    if (!d->blocks[b].alone)
        h->suspects[h->suspect_count++] = b;
    d->blocks[b].alone = 1;
    return again(d, b, err);
}

/* A block that was out when its batch ended without telling. */
static bool untold(pel__dispatch *d, int64_t b, const batch *from, const pel__batch_result *r, pel_error *err)
{
    block *k = &d->blocks[b];
    const int32_t at = find_host(d, r->host, err);
    if (at < 0)
        return false;
    if (r->ending == PEL__CANCELLED)
        return again(d, b, err);
    if (r->ending == PEL__LOST) {
        if (++k->losses < MOST_LOSSES)
            return again(d, b, err);
        return failed(d, b, at, r, "every worker that took this block was lost", err);
    }
    if (r->ending == PEL__OUT_OF_MEMORY && memory_of(d, b) < d->o.memory_most && k->doublings < MOST_DOUBLINGS) {
        k->doublings++;
        return again(d, b, err);
    }
    if (from->open.count > 1)
        return suspect(d, b, at, err);
    return failed(d, b, at, r, r->crash, err);
}

static void learn(pel__dispatch *d, const pel__batch *b, const pel__batch_result *r)
{
    int64_t done = 0;
    for (int64_t i = 0; r->done && i < b->count; i++)
        done += r->done[i];
    if (!(r->seconds > 0) || r->ending != PEL__ENDED || done < b->count)
        return; /* whoever fails is quick */
    const double each = r->seconds / (double)b->count;
    d->seconds_per_block = d->seconds_per_block > 0 ? 0.7 * d->seconds_per_block + 0.3 * each : each;
}

/* ---- hosts ------------------------------------------------------------------------------------------------------------------- */

/* Blocks given up only for what happened on a host that is at fault get another chance. */
static void forgive(pel__dispatch *d, int64_t from)
{
    for (int64_t i = from; i < d->failure_count; i++) {
        const int64_t b = d->failures[i].block;
        if (d->blocks[b].state == GIVEN_UP && !is_poison(d, b) && push_again(d, b, NULL))
            change(d, b, WAITING);
    }
}

/* Whom the last failures tell of: this host, with all that failed on it since it last did a block. */
static void excuse(pel__dispatch *d, host *h, int32_t at)
{
    for (int64_t i = h->since; i < d->failure_count; i++) {
        failure *f = &d->failures[i];
        if (f->host != at)
            continue;
        f->excused = true;
        if (!h->good)
            d->blocks[f->block].alone = 0;
    }
    for (int64_t i = 0; i < h->suspect_count && !h->good; i++)
        d->blocks[h->suspects[i]].alone = 0;
    h->suspect_count = 0;
    forgive(d, h->since);
}

/* Has another host done blocks while this one failed, or is at it? */
static bool others_do(const pel__dispatch *d, const host *h, double now)
{
    bool busy = false;
    for (int64_t i = 0; i < d->batch_count && !busy; i++)
        busy = d->batches[i].open.started > 0 && d->batches[i].open.started < h->streak_began;
    for (int32_t i = 0; i < d->host_count; i++) {
        const host *k = &d->hosts[i];
        if (k != h && k->good && !(now < k->held_until) && (busy || k->last_success >= h->streak_began))
            return true;
    }
    return false;
}

/* A host that does blocks, when nobody else does, goes on soon: then blocks are as likely at fault as it is. */
static void consider_hold(pel__dispatch *d, host *h, int32_t at, double now)
{
    if (h->streak < d->o.host_failures || now < h->held_until || (h->good && now < h->spared_until && !others_do(d, h, now)))
        return;
    h->held_seconds = h->holds > 0 && 2 * h->held_seconds < LONGEST_HOLD ? 2 * h->held_seconds : h->holds > 0 ? LONGEST_HOLD : d->o.hold_seconds;
    h->held_until = now + h->held_seconds;
    h->spared_until = h->held_until + SPARED * h->held_seconds;
    h->holds++;
    h->barren++;
    h->untold = true;
    d->counts.holds++;
    excuse(d, h, at);
}

static void describe(pel__hold *out, const host *h)
{
    *out = (pel__hold){.host = h->name, .text = h->text, .seconds = h->held_seconds, .failures = h->streak};
}

bool pel__dispatch_hold(pel__dispatch *d, double now, pel__hold *out)
{
    for (int32_t i = 0; i < d->host_count; i++) {
        if (!d->hosts[i].untold)
            continue;
        d->hosts[i].untold = false;
        describe(out, &d->hosts[i]);
        return now < d->hosts[i].held_until;
    }
    return false;
}

double pel__dispatch_held(const pel__dispatch *d, const char *name, double now)
{
    for (int32_t i = 0; i < d->host_count; i++)
        if (strcmp(d->hosts[i].name, name) == 0)
            return now < d->hosts[i].held_until ? d->hosts[i].held_until - now : 0;
    return 0;
}

bool pel__dispatch_hopeless(const pel__dispatch *d, double now, int32_t holds, pel__hold *out)
{
    const host *worst = NULL;
    for (int64_t i = 0; i < d->batch_count; i++)
        if (d->batches[i].open.started > 0 && now - d->batches[i].open.started >= AT_WORK)
            return false;
    for (int32_t i = 0; i < d->host_count; i++) {
        const host *h = &d->hosts[i];
        if (h->barren > 0 && h->barren < holds && now < h->held_until + h->held_seconds)
            return false; /* it had fewer tries, and has them */
        worst = h->barren >= holds ? h : worst;
    }
    if (worst)
        describe(out, worst);
    return worst != NULL;
}

void pel__dispatch_held_hosts(const pel__dispatch *d, double now, void (*visit)(void *arg, const char *host), void *arg)
{
    for (int32_t i = 0; i < d->host_count; i++)
        if (now < d->hosts[i].held_until)
            visit(arg, d->hosts[i].name);
}

void pel__dispatch_bad_hosts(const pel__dispatch *d, void (*visit)(void *arg, const char *host), void *arg)
{
    for (int32_t i = 0; i < d->host_count; i++)
        if (d->hosts[i].holds > 0)
            visit(arg, d->hosts[i].name);
}

/* ---- a result as a whole ------------------------------------------------------------------------------------------------------- */

static void succeeded(pel__dispatch *d, host *h, double now)
{
    h->good = true;
    h->last_success = now;
    h->streak = h->suspect_count = h->holds = 0;
    h->last_failed = -1;
    h->since = d->failure_count;
    h->held_until = 0;
    for (int32_t i = 0; i < d->host_count; i++)
        d->hosts[i].barren = 0;
}

static bool settle(pel__dispatch *d, const batch *b, const pel__batch_result *r, pel_error *err)
{
    const int32_t at = find_host(d, r->host, err);
    const bool crashed = r->ending == PEL__CRASHED && b->open.count > 1 && !b->orphan;
    for (int64_t i = 0; at >= 0 && i < b->open.count; i++) {
        const int64_t n = b->blocks[i];
        if (r->done && r->done[i]) {
            if (d->blocks[n].state != DONE)
                change(d, n, DONE);
            succeeded(d, &d->hosts[at], r->now);
        } else if (d->blocks[n].state == OUT && !b->orphan) {
            const char *const text = r->text ? r->text[i] : NULL;
            if (r->ending == PEL__ENDED && text ? !failed(d, n, at, r, text, err) : !untold(d, n, b, r, err))
                return false;
        }
    }
    if (at >= 0 && crashed) {
        lengthen_streak(&d->hosts[at], -1, r->now);
        replace_text(&d->hosts[at].text, r->crash);
    }
    if (at >= 0)
        consider_hold(d, &d->hosts[at], at, r->now);
    return at >= 0;
}

bool pel__dispatch_result(pel__dispatch *d, int64_t id, const pel__batch_result *r, pel_error *err)
{
    batch *found = find_batch(d, id);
    if (!found)
        return true;
    const batch b = *found;
    *found = d->batches[--d->batch_count];
    batch *twin = b.open.twin >= 0 ? find_batch(d, b.open.twin) : NULL;
    if (twin) {
        twin->open.twin = -1;
        twin->orphan = true;
    }
    d->counts.lost += r->ending == PEL__LOST;
    d->counts.crashes += r->ending == PEL__CRASHED || r->ending == PEL__OUT_OF_MEMORY;
    learn(d, &b.open, r);
    const bool ok = settle(d, &b, r, err);
    free(b.blocks);
    return ok;
}

/* ---- looking ------------------------------------------------------------------------------------------------------------------ */

void pel__dispatch_set(pel__dispatch *d, int64_t b, bool done)
{
    if (done == (d->blocks[b].state == DONE) || (!done && d->blocks[b].state != DONE))
        return;
    if (done)
        change(d, b, DONE);
    else if (push_again(d, b, NULL))
        change(d, b, WAITING);
}

pel__dispatch_counts pel__dispatch_count(const pel__dispatch *d)
{
    pel__dispatch_counts c = d->counts;
    c.seconds_per_block = d->seconds_per_block;
    return c;
}

bool pel__dispatch_over(const pel__dispatch *d)
{
    return d->counts.waiting == 0 && d->counts.out == 0;
}

void pel__dispatch_given_up(const pel__dispatch *d,
                            void (*visit)(void *arg, int64_t block, int32_t failures, const char *host, const char *text), void *arg)
{
    for (int64_t i = d->failure_count - 1; i >= 0; i--) {
        const failure *f = &d->failures[i];
        if (d->blocks[f->block].state != GIVEN_UP || d->blocks[f->block].last_failure != i + 1)
            continue;
        int32_t all = 0;
        for (int32_t k = (int32_t)i + 1; k > 0; k = d->failures[k - 1].before)
            all++;
        visit(arg, f->block, all, d->hosts[f->host].name, f->text);
    }
}
