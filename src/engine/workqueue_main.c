/* SPDX-License-Identifier: MIT
 * pellucid-manager: hands blocks to Work Queue workers on any number of machines. A task is `pellucid block OUT --blocks …`:
 * coordinates go over the network, pixels never. What to send and what failures mean is dispatch.c's; this file speaks to
 * Work Queue. It is a program of its own because that library is GPL and ends the process on some errors: nothing else links
 * it. `pellucid cluster` starts it. Killed at any moment it loses nothing: the ledger knows what is done.
 * Exit codes as pellucid's: 0 done, 1 blocks were given up or the run is incomplete, 2 refused, 4 stopped. */
#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/lock.h"
#include "core/own_file.h"
#include "engine/dispatch.h"
#include "engine/front.h"
#include "engine/order.h"
#include "engine/told.h"
#include "pellucid.h"
#include "run/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <json.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/workqueue.h"

#define MIB (INT64_C(1) << 20)
#define HOLD_SECONDS 5 /* of a host on which everything fails, at first; shorter where tasks are to be */
#define MOST_HOLDS 5   /* of a host while no other does anything, before the run ends: after a bit more than a minute */
#define MOST_HOLDS_WAITING 9 /* the same while more workers may come: after twenty minutes */
#define HOPELESS_SECONDS 4 /* that it lasts */
#define MOST_TRIES 5 /* of Work Queue, after lost workers, before a task comes back to us */

typedef struct {
    const char *output, *program, *address, *password, *tls; /* tls: the program that encrypts; NULL: nothing does */
    int64_t port, cores, memory, memory_most, attempts, workers, sweep; /* workers: at most; 0: nobody knows */
    double batch_seconds, straggler_seconds, seconds; /* seconds: of our own life; 0: no end */
} options;

typedef struct {
    int task;
    int64_t batch;
    bool started;
} running;

typedef struct {
    options o;
    char folder[PEL__PATH_MAX];
    pel__dispatch *dispatch;
    struct work_queue *queue;
    pel__lock *lock;
    pel__front front; /* before it, where the network is encrypted */
    int64_t *order; /* of the blocks; NULL: as numbered */
    running *list; /* tasks that are out */
    int64_t count, size;
    double began, written;
    bool known;    /* how long a block takes */
    bool draining; /* our time is nearly up: what is out may end, nothing begins */
    int64_t memory_peak;
    int64_t given_up; /* already told */
    bool hopeless;
    double hopeless_since;
    const char *state;
} manager;

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void tell(const char *fmt, ...) PEL_PRINTF(1, 2);

static void tell(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fputs("pellucid cluster: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

/* ---- the network: one address, by a name of the library's that the linker hands to us --------------------------------------- */

static const char *listen_address = "127.0.0.1";

struct link *__wrap_link_serve(int port);
struct link *__wrap_link_serve(int port)
{
    return link_serve_address(listen_address, port);
}

/* ---- the status file --------------------------------------------------------------------------------------------------------- */

static void add_given_up(void *arg, int64_t block, int32_t failures, const char *host, const char *text)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "block", json_object_new_int64(block));
    json_object_object_add(o, "failures", json_object_new_int(failures));
    json_object_object_add(o, "host", json_object_new_string(host));
    json_object_object_add(o, "error", json_object_new_string(text));
    json_object_array_add(arg, o);
}

static void add_host(void *arg, const char *host)
{
    json_object_array_add(arg, json_object_new_string(host));
}

static void add_integers(json_object *o, const manager *m)
{
    struct work_queue_stats s = {0};
    const pel__dispatch_counts c = pel__dispatch_count(m->dispatch);
    if (m->queue)
        work_queue_get_stats(m->queue, &s);
    const struct {
        const char *name;
        int64_t value;
    } all[] = {{"pid", getpid()}, {"port", m->o.tls ? m->front.port : m->queue ? work_queue_port(m->queue) : 0}, {"workers", s.workers_connected},
               {"workers_busy", s.workers_busy}, {"workers_lost", s.workers_lost}, {"cores", s.total_cores},
               {"blocks_done", c.done}, {"blocks_waiting", c.waiting}, {"blocks_out", c.out}, {"blocks_given_up", c.given_up},
               {"tasks", c.batches}, {"tasks_running", s.tasks_running}, {"failures", c.failures}, {"lost", c.lost},
               {"crashes", c.crashes}, {"repeated", c.twins}, {"memory_peak", m->memory_peak}, {"at", (int64_t)time(NULL)}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        json_object_object_add(o, all[i].name, json_object_new_int64(all[i].value));
    json_object_object_add(o, "seconds_per_block", json_object_new_double(c.seconds_per_block));
}

/* False: not written. Once workers may be there that must not end the run. */
static bool put_status(manager *m, const char *state, pel_error *err)
{
    char path[PEL__PATH_MAX], host[256] = "";
    m->state = state;
    m->written = pel__now();
    (void)gethostname(host, sizeof host - 1);
    json_object *o = json_object_new_object(), *given_up = json_object_new_array(), *hosts = json_object_new_array();
    json_object_object_add(o, "state", json_object_new_string(state));
    json_object_object_add(o, "host", json_object_new_string(host));
    json_object_object_add(o, "address", json_object_new_string(m->o.address));
    json_object_object_add(o, "tls", json_object_new_boolean(m->o.tls != NULL));
    add_integers(o, m);
    pel__dispatch_given_up(m->dispatch, add_given_up, given_up);
    pel__dispatch_bad_hosts(m->dispatch, add_host, hosts);
    json_object_object_add(o, "given_up", given_up);
    json_object_object_add(o, "hosts_avoided", hosts);
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
    const pel__piece piece[] = {{text, strlen(text)}, {"\n", 1}};
    const bool ok = pel__path_join(path, sizeof path, m->folder, "manager.json", err) && pel__file_replace(path, piece, 2, err);
    json_object_put(o);
    return ok;
}

static void write_status(manager *m, const char *state)
{
    (void)put_status(m, state, NULL);
}

/* ---- tasks -------------------------------------------------------------------------------------------------------------------- */

static void put_quoted(FILE *to, const char *word)
{
    (void)fputc('\'', to);
    for (; *word; word++)
        (void)(*word == '\'' ? fputs("'\\''", to) : fputc(*word, to));
    (void)fputc('\'', to);
}

static void put_held(void *arg, const char *host)
{
    FILE *const f = arg;
    put_quoted(f, host);
    (void)fputc('|', f);
}

/* A host on hold turns the task away, lest Work Queue gives it there: it knows hosts by names that workers guess of themselves. */
static void put_hold_check(FILE *f, const manager *m)
{
    (void)fputs("case $(uname -n) in ", f);
    pel__dispatch_held_hosts(m->dispatch, pel__now(), put_held, f);
    (void)fputs("'') echo @held; sleep 1; exit 0;; esac; ", f);
}

static void put_blocks(FILE *to, const pel__batch *b)
{
    for (int64_t i = 0; i < b->count;) {
        int64_t k = i;
        while (k + 1 < b->count && b->blocks[k + 1] == b->blocks[k] + 1)
            k++;
        (void)fprintf(to, i > 0 ? ",%" PRId64 : "%" PRId64, b->blocks[i]);
        if (k > i)
            (void)fprintf(to, "-%" PRId64, b->blocks[k]);
        i = k + 1;
    }
}

/* A worker whose time is too short for the task ends, so that its place in the queue goes to a fresh one; Work Queue gives the task
 * to another. (Its own --wall-time cuts tasks off: the manager takes the seconds left for microseconds.) A task that no worker's
 * whole life is long enough for is tried all the same. */
static void put_time_check(FILE *f, int64_t need)
{
    (void)fprintf(f, "if [ \"${PELLUCID_SECONDS:-0}\" -ge %" PRId64 " ] && [ $((PELLUCID_START + PELLUCID_SECONDS - $(date +%%s))) -lt %" PRId64 " ]; "
                     "then kill \"$PELLUCID_WORKER\"; sleep 60; fi; ", need, need);
}

/* NULL batch: the task that finishes the run. The shell stays, so that a signal shows as 128 + its number; the code is told in
 * words, since Work Queue takes some codes for a trouble of its own. So is the host: a worker that cannot resolve its own name
 * sends another. */
static char *command_of(const manager *m, const pel__batch *b)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    (void)fputs("echo @host $(uname -n); ", f);
    put_hold_check(f, m);
    if (b && b->expected > 0)
        put_time_check(f, (int64_t)(1.2 * b->expected) + 2); /* clocks of whole seconds */
    put_quoted(f, m->o.program);
    (void)fputs(b ? " block " : " work ", f);
    put_quoted(f, m->o.output);
    if (b) {
        (void)fputs(" --report --blocks ", f);
        put_blocks(f, b);
    } else {
        (void)fputs(" --part 1/1", f);
    }
    const int64_t memory = b ? b->memory : m->o.memory_most;
    if (memory > 0)
        (void)fprintf(f, " --memory %" PRId64 "M", (memory - memory / 16) / MIB);
    if (m->o.cores > 0)
        (void)fprintf(f, " --threads %" PRId64, m->o.cores);
    (void)fputs(" --quiet 2>&1; code=$?; echo; echo @exit $code", f);
    (void)fclose(f);
    return text;
}

static bool remember(manager *m, int task, int64_t batch, pel_error *err)
{
    if (m->count == m->size) {
        const int64_t more = m->size * 2 + 16;
        running *p = realloc(m->list, (size_t)more * sizeof *p);
        if (!p)
            return pel__fail(err, PEL_NO_MEMORY, "no memory for %lld tasks", (long long)more);
        m->list = p;
        m->size = more;
    }
    m->list[m->count++] = (running){.task = task, .batch = batch};
    return true;
}

static void forget(manager *m, int task)
{
    for (int64_t i = 0; i < m->count; i++)
        if (m->list[i].task == task)
            m->list[i--] = m->list[--m->count];
}

static bool submit(manager *m, const pel__batch *b, pel_error *err)
{
    char *command = command_of(m, b);
    if (!command)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for a task");
    struct work_queue_task *t = work_queue_task_create(command);
    free(command);
    const int64_t memory = b ? b->memory : m->o.memory_most;
    work_queue_task_specify_max_retries(t, MOST_TRIES);
    work_queue_task_specify_priority(t, b ? -(double)b->id : 0); /* as sent out */
    if (m->o.cores > 0)
        work_queue_task_specify_cores(t, (int)m->o.cores);
    if (memory > 0)
        work_queue_task_specify_memory(t, memory / MIB);
    if (m->o.cores > 0 || memory > 0)
        work_queue_task_specify_disk(t, 1);
    return remember(m, work_queue_submit(m->queue, t), b ? b->id : -1, err);
}

/* ---- results -------------------------------------------------------------------------------------------------------------------- */

static enum pel__ending ending_of(const struct work_queue_task *t, const pel__told *r)
{
    switch ((int)t->result) {
    case WORK_QUEUE_RESULT_SUCCESS:
        break;
    case WORK_QUEUE_RESULT_RESOURCE_EXHAUSTION:
        return PEL__OUT_OF_MEMORY;
    case WORK_QUEUE_RESULT_SIGNAL:
    case WORK_QUEUE_RESULT_STDOUT_MISSING:
    case WORK_QUEUE_RESULT_UNKNOWN:
        return PEL__CRASHED;
    default:
        return PEL__LOST;
    }
    if (r->turned_away)
        return PEL__CANCELLED;
    if (r->status == 4) /* it was told to stop */
        return PEL__LOST;
    if (r->reported)
        return PEL__ENDED;
    return r->status == 128 + SIGKILL ? PEL__OUT_OF_MEMORY : PEL__CRASHED;
}

/* manager.jsonl: what processes could not write about themselves. One line a task that ended badly. */
static void note_event(const manager *m, const pel__batch *b, const char *host, const char *what)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_REALTIME, &t);
    json_object *o = json_object_new_object(), *blocks = json_object_new_array();
    for (int64_t i = 0; i < b->count; i++)
        json_object_array_add(blocks, json_object_new_int64(b->blocks[i]));
    json_object_object_add(o, "at_us", json_object_new_int64((int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000));
    json_object_object_add(o, "host", json_object_new_string(host));
    json_object_object_add(o, "text", json_object_new_string(what));
    json_object_object_add(o, "memory", json_object_new_int64(b->memory));
    json_object_object_add(o, "blocks", blocks);
    const int fd = pel__open_own(m->folder, "manager.jsonl", O_WRONLY | O_CREAT | O_APPEND, NULL);
    FILE *f = fd >= 0 ? fdopen(fd, "a") : NULL;
    if (f) {
        (void)fprintf(f, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        (void)fclose(f);
    }
    json_object_put(o);
}

static bool cancel_batch(manager *m, int64_t id, pel_error *err)
{
    for (int64_t i = 0; i < m->count; i++) {
        if (m->list[i].batch != id)
            continue;
        struct work_queue_task *t = work_queue_cancel_by_taskid(m->queue, m->list[i].task);
        if (t)
            work_queue_task_delete(t);
        forget(m, m->list[i].task);
        break;
    }
    const pel__batch_result cancelled = {.ending = PEL__CANCELLED, .now = pel__now()};
    return pel__dispatch_result(m->dispatch, id, &cancelled, err);
}

/* Tasks that no worker has begun come back: to be put together anew, or for good. */
static bool call_back(manager *m, pel_error *err)
{
    for (int64_t i = m->count - 1; i >= 0; i--)
        if (m->list[i].batch >= 0 && work_queue_task_state(m->queue, m->list[i].task) == WORK_QUEUE_TASK_READY &&
            !cancel_batch(m, m->list[i].batch, err))
            return false;
    return true;
}

/* Whatever is in the queue does not know of the hold yet. */
static bool avoid(manager *m, const struct work_queue_task *t, const char *host, pel_error *err)
{
    pel__hold hold;
    const bool fresh = pel__dispatch_hold(m->dispatch, pel__now(), &hold);
    if (fresh)
        tell("host %s is on hold for %.0f s: %" PRId64 " blocks failed there one after the other, the last: %s", hold.host, hold.seconds,
             hold.failures, hold.text);
    const double seconds = pel__dispatch_held(m->dispatch, host, pel__now());
    const size_t n = strcspn(host, ".");
    const bool known = t->hostname && n > 0 && strncmp(t->hostname, host, n) == 0 && (t->hostname[n] == '.' || t->hostname[n] == '\0');
    if (known && seconds > 0)
        work_queue_block_host_with_timeout(m->queue, t->hostname, (time_t)seconds + 1);
    else if (known && pel__dispatch_count(m->dispatch).holds > 0)
        work_queue_unblock_host(m->queue, t->hostname);
    return !fresh || call_back(m, err);
}

/* Everything fails wherever it is tried, and nobody else is there to try: better said than tried for ever. */
static bool is_hopeless(manager *m)
{
    pel__hold hold;
    struct work_queue_stats s = {0};
    work_queue_get_stats(m->queue, &s);
    if (!pel__dispatch_hopeless(m->dispatch, pel__now(), m->o.workers > s.workers_connected ? MOST_HOLDS_WAITING : MOST_HOLDS, &hold))
        m->hopeless_since = pel__now();
    if (pel__now() - m->hopeless_since < HOPELESS_SECONDS)
        return false;
    tell("nothing could be done: whatever was tried on host %s failed, the last: %s", hold.host, hold.text);
    return true;
}

/* What it told, or the address of its worker. */
static const char *name_of(const struct work_queue_task *t, const pel__told *r, char *name, size_t size)
{
    if (r->host[0])
        return r->host;
    (void)snprintf(name, size, "%.*s", t->host ? (int)strcspn(t->host, ":") : 0, t->host ? t->host : "");
    return name[0] ? name : "a lost host";
}

static bool take_batch(manager *m, const struct work_queue_task *t, int64_t id, pel_error *err)
{
    const pel__batch *b = pel__dispatch_find(m->dispatch, id);
    pel__told r;
    char crash[600], name[128];
    if (!b)
        return true;
    pel__batch batch = *b; /* it ends before what was told of it does */
    bool ok = pel__told_read(&r, b, t->output) || pel__fail(err, PEL_NO_MEMORY, "no memory for a result");
    if (ok) {
        pel__told_crash(crash, sizeof crash, &r);
        m->memory_peak = r.memory_peak > m->memory_peak ? r.memory_peak : m->memory_peak;
        const char *const host = name_of(t, &r, name, sizeof name);
        const pel__batch_result result = {.ending = ending_of(t, &r), .host = host, .now = pel__now(), .done = r.done,
                                          .seconds = (double)t->time_workers_execute_last / 1e6,
                                          .text = (const char *const *)r.text, .crash = crash};
        if (result.ending != PEL__ENDED && result.ending != PEL__CANCELLED)
            note_event(m, b, host, result.ending == PEL__LOST ? "the worker was lost, or told to stop" : crash);
        if (result.ending == PEL__CRASHED || result.ending == PEL__OUT_OF_MEMORY)
            tell("a task of %lld blocks on %s %s", (long long)batch.count, host, crash);
        ok = pel__dispatch_result(m->dispatch, id, &result, err) && avoid(m, t, host, err);
    }
    pel__told_destroy(&r, &batch);
    return ok;
}

static int64_t batch_of(const manager *m, int task)
{
    for (int64_t i = 0; i < m->count; i++)
        if (m->list[i].task == task)
            return m->list[i].batch;
    return -1;
}

static void tell_given_up(void *arg, int64_t block, int32_t failures, const char *host, const char *text)
{
    int64_t *fresh = arg;
    if ((*fresh)-- > 0)
        tell("block %" PRId64 " is given up after %d failures, the last on %s: %s", block, (int)failures, host, text);
}

static void watch_trouble(manager *m)
{
    const int64_t now_given_up = pel__dispatch_count(m->dispatch).given_up;
    int64_t fresh = now_given_up - m->given_up; /* they are listed newest first */
    if (fresh > 0)
        pel__dispatch_given_up(m->dispatch, tell_given_up, &fresh);
    m->given_up = now_given_up;
}

/* ---- the loop -------------------------------------------------------------------------------------------------------------------- */

static void note_starts(manager *m)
{
    for (int64_t i = 0; i < m->count; i++) {
        running *r = &m->list[i];
        if (r->batch < 0)
            continue;
        const work_queue_task_state_t state = work_queue_task_state(m->queue, r->task);
        const bool runs = r->started ? state != WORK_QUEUE_TASK_READY : state == WORK_QUEUE_TASK_RUNNING; /* one whose worker was lost waits again */
        if (runs != r->started)
            pel__dispatch_started(m->dispatch, r->batch, runs ? pel__now() : 0);
        r->started = runs;
    }
}

/* Enough in the queue that no worker waits for us, and no more: memory does not grow with the run. Before it is known how long
 * a block takes one for each worker that there may be. */
static int64_t queue_length(const manager *m, int64_t workers)
{
    const int64_t first = m->o.workers > workers ? m->o.workers : workers;
    return m->known ? 2 * workers + 4 : first > 0 ? first : 1;
}

/* The first seconds are learnt: those that were sent out without them are too small, and nobody knows whether they fit into a
 * worker's time. */
static bool note_seconds(manager *m, pel_error *err)
{
    if (m->known || !(pel__dispatch_count(m->dispatch).seconds_per_block > 0))
        return true;
    m->known = true;
    return call_back(m, err);
}

static bool cancel_needless(manager *m, pel_error *err)
{
    for (int64_t id = pel__dispatch_needless(m->dispatch); id >= 0; id = pel__dispatch_needless(m->dispatch))
        if (!cancel_batch(m, id, err))
            return false;
    return true;
}

/* ---- our own time ------------------------------------------------------------------------------------------------------------------ */

/* What runs may end. */
static bool drain(manager *m, pel_error *err)
{
    if (!m->draining && m->o.seconds > 0 && pel__dispatch_is_short(m->dispatch, m->o.seconds - (pel__now() - m->began))) {
        m->draining = true;
        tell("the time is nearly up: nothing more is begun");
        write_status(m, "draining");
        if (!call_back(m, err))
            return false;
    }
    if (m->o.seconds > 0 && (pel__now() - m->began > m->o.seconds || (m->draining && m->count == 0)))
        stop = 1;
    return true;
}

static bool send_out(manager *m, pel_error *err)
{
    struct work_queue_stats s = {0};
    work_queue_get_stats(m->queue, &s);
    const int64_t most = queue_length(m, s.workers_connected);
    pel_error why = {0};
    while (m->count < most) {
        const pel__batch *b = pel__dispatch_next(m->dispatch, s.workers_connected, &why);
        if (!b)
            break;
        if (!submit(m, b, err))
            return false;
    }
    note_starts(m);
    const pel__batch *late = pel__dispatch_straggler(m->dispatch, pel__now(), &why);
    if (late) {
        tell("a task of %" PRId64 " blocks is late: they are repeated elsewhere", late->count);
        if (!submit(m, late, err))
            return false;
    }
    if (why.code != 0 && err)
        *err = why;
    return why.code == 0;
}

static bool work_blocks(manager *m, pel_error *err)
{
    while (!stop && !pel__dispatch_over(m->dispatch)) {
        if (!pel__lock_keep(m->lock, err) || !pel__front_keep(&m->front, err) || !drain(m, err) || (!m->draining && !send_out(m, err)))
            return false;
        struct work_queue_task *t = work_queue_wait(m->queue, 1);
        if (t) {
            const bool ok = take_batch(m, t, batch_of(m, t->taskid), err);
            forget(m, t->taskid);
            work_queue_task_delete(t);
            if (!ok || !note_seconds(m, err))
                return false;
            watch_trouble(m);
        }
        if (!cancel_needless(m, err))
            return false;
        m->hopeless = is_hopeless(m);
        if (m->hopeless)
            return true;
        if (pel__now() - m->written >= 1)
            write_status(m, m->draining ? "draining" : "running");
    }
    return true;
}

/* The last task: pyramid and audit, where the workers' memory is. Its exit code, or -1 after a stop. */
static int finish_run(manager *m, pel_error *err)
{
    if (!submit(m, NULL, err))
        return -1;
    while (!stop) {
        struct work_queue_task *t = pel__front_keep(&m->front, err) ? work_queue_wait(m->queue, 1) : NULL;
        if (err->code != 0)
            return -1;
        if (t && batch_of(m, t->taskid) < 0) {
            pel__told r;
            (void)pel__told_read(&r, NULL, t->output);
            const int status = t->result == WORK_QUEUE_RESULT_SUCCESS && r.status >= 0 ? r.status : 1;
            if (status != 0)
                tell("finishing: %s", r.last[0] ? r.last : "failed");
            forget(m, t->taskid);
            work_queue_task_delete(t);
            return status;
        }
        if (t) {
            forget(m, t->taskid);
            work_queue_task_delete(t);
        }
        if (pel__now() - m->written >= 1)
            write_status(m, "finishing");
        if (m->o.seconds > 0 && pel__now() - m->began > m->o.seconds)
            stop = 1;
    }
    return -1;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------------------------ */

static bool is_done(void *arg, int64_t block)
{
    return pel__ledger_done(arg, block);
}

static bool open_ledger(pel__ledger **out, const manager *m, const pel_status *s, pel_error *err)
{
    return pel__ledger_open(out, m->folder, s->run, s->blocks_total + s->pyramid_total, err);
}

static bool open_books(manager *m, pel_status *s, pel_error *err)
{
    pel__ledger *ledger = NULL;
    const int64_t most = m->o.memory_most > m->o.memory ? m->o.memory_most : m->o.memory;
    m->o.memory_most = most;
    if (!pel_run_status(s, m->o.output, err) || !open_ledger(&ledger, m, s, err))
        return false;
    if (m->o.sweep && !pel__order_read(&m->order, m->o.output, s->blocks_total, err)) {
        pel__ledger_close(ledger);
        return false;
    }
    const pel__dispatch_options o = {.blocks = s->blocks_total, .order = m->order, .batch_seconds = m->o.batch_seconds, .batch_most = 1000,
                                     .attempts = (int32_t)m->o.attempts, .host_failures = 3,
                                     .hold_seconds = m->o.batch_seconds < HOLD_SECONDS ? m->o.batch_seconds : HOLD_SECONDS, .memory = m->o.memory, .memory_most = most,
                                     .straggler_seconds = m->o.straggler_seconds};
    const bool ok = pel__dispatch_create(&m->dispatch, &o, is_done, ledger, err);
    pel__ledger_close(ledger);
    return ok;
}

/* After a finish that found holes: the books tell which blocks to do again. */
static bool read_books_again(manager *m, pel_error *err)
{
    pel_status s;
    pel__ledger *ledger = NULL;
    if (!pel_run_status(&s, m->o.output, err) || !open_ledger(&ledger, m, &s, err))
        return false;
    for (int64_t b = 0; b < s.blocks_total; b++)
        pel__dispatch_set(m->dispatch, b, pel__ledger_done(ledger, b));
    pel__ledger_close(ledger);
    return true;
}

#define LOCK_TRIES 50 /* a tenth of a second each: one whose command was killed hears of it, and ends */

/* Two managers would only do everything twice, yet nobody wants that. */
static bool take_lock(manager *m, pel_error *err)
{
    bool stale = false;
    pel_error why = {0};
    for (int i = 0; i < LOCK_TRIES && !stop; i++) {
        if (pel__lock_take(&m->lock, m->folder, "lock.manager", PEL__LOCK_WHOLE, &stale, &why))
            return true;
        if (why.code != PEL_REFUSED)
            return pel__fail(err, why.code, "%s", why.text);
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    return pel__fail(err, PEL_REFUSED, "%s: another manager works on this run: %s", m->o.output, why.text);
}

/* The port of the last manager if it is free: its workers come back by themselves. */
static bool open_queue(manager *m, pel_error *err)
{
    if (!m->o.tls)
        listen_address = m->o.address;
    if (m->o.port > 0 && !m->o.tls)
        m->queue = work_queue_create((int)m->o.port);
    if (!m->queue)
        m->queue = work_queue_create(0);
    if (!m->queue)
        return pel__fail_errno(err, errno, "cannot listen on %s", listen_address);
    if (m->o.password && !work_queue_specify_password_file(m->queue, m->o.password))
        return pel__fail_errno(err, errno, "%s: cannot read the password", m->o.password);
    (void)work_queue_tune(m->queue, "short-timeout", 10);
    const double patience = m->o.straggler_seconds < 5 ? 5 : m->o.straggler_seconds > 60 ? 60 : m->o.straggler_seconds;
    (void)work_queue_tune(m->queue, "keepalive-interval", patience); /* a worker that hangs holds what it was given last */
    (void)work_queue_tune(m->queue, "keepalive-timeout", patience);
    m->front = (pel__front){.program = m->o.tls, .key = m->o.password, .address = m->o.address, .local = work_queue_port(m->queue), .port = m->o.port};
    return !m->o.tls || pel__front_start(&m->front, err);
}

#define MOST_ROUNDS 3

/* Exit code. */
static int work(manager *m, pel_error *err)
{
    for (int round = 0; round < MOST_ROUNDS; round++) {
        if (!work_blocks(m, err))
            return 1;
        if (stop)
            return 4;
        if (m->hopeless || pel__dispatch_count(m->dispatch).given_up > 0)
            return 1;
        write_status(m, "finishing");
        const int status = finish_run(m, err);
        if (status <= 0)
            return status < 0 ? (stop ? 4 : 1) : 0;
        if (!read_books_again(m, err))
            return 1;
    }
    return 1;
}

static int run_manager(manager *m)
{
    pel_error err = {0};
    pel_status s;
    bool ok = pel_run_folder(m->folder, sizeof m->folder, m->o.output, &err);
    ok = ok && take_lock(m, &err) && open_books(m, &s, &err) && open_queue(m, &err);
    int code = 2;
    if (ok) {
        m->began = m->hopeless_since = pel__now();
        code = put_status(m, "running", &err) ? work(m, &err) : 1; /* nobody would learn the port */
        write_status(m, code == 0 ? "done" : code == 4 ? "stopped" : "incomplete");
        if (code != 4)
            (void)work_queue_shut_down_workers(m->queue, 0);
    }
    if (err.code != 0)
        tell("%s", err.text);
    if (m->queue)
        work_queue_delete(m->queue);
    pel__front_end(&m->front); /* what workers were told last still goes out */
    pel__dispatch_destroy(m->dispatch);
    pel__lock_release(m->lock);
    free(m->order);
    free(m->list);
    return code;
}

static bool number(const char *text, int64_t *out)
{
    char *end = NULL;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0' && *out >= 0;
}

static bool read_options(options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"program", 1, NULL, 'p'}, {"address", 1, NULL, 'a'}, {"password", 1, NULL, 'w'}, {"port", 1, NULL, 'o'},
        {"cores", 1, NULL, 'c'}, {"memory", 1, NULL, 'm'}, {"memory-most", 1, NULL, 'M'}, {"attempts", 1, NULL, 't'},
        {"batch-seconds", 1, NULL, 'b'}, {"straggler-seconds", 1, NULL, 's'},
        {"seconds", 1, NULL, 'e'}, {"workers", 1, NULL, 'k'}, {"sweep", 1, NULL, 'S'}, {"tls", 1, NULL, 'T'}, {0}};
    bool ok = true;
    for (int c = 0; ok && (c = getopt_long(argc, argv, "", names, NULL)) != -1;) { // NOLINT(concurrency-mt-unsafe)
        int64_t n = 0;
        ok = c != '?' && (strchr("pawT", c) || number(optarg, &n));
        const struct {
            int letter;
            int64_t *to;
        } integers[] = {{'o', &o->port}, {'c', &o->cores}, {'m', &o->memory}, {'M', &o->memory_most}, {'t', &o->attempts},
                        {'k', &o->workers}, {'S', &o->sweep}};
        for (int i = 0; ok && i < 7; i++)
            if (integers[i].letter == c)
                *integers[i].to = n;
        if (c == 'p' || c == 'a' || c == 'w' || c == 'T')
            *(c == 'p' ? &o->program : c == 'a' ? &o->address : c == 'w' ? &o->password : &o->tls) = optarg;
        if (c == 'b' || c == 's' || c == 'e')
            *(c == 'b' ? &o->batch_seconds : c == 's' ? &o->straggler_seconds : &o->seconds) = (double)n;
    }
    o->output = ok && optind == argc - 1 ? argv[optind] : NULL;
    return o->output != NULL && o->program && o->attempts > 0;
}

int main(int argc, char **argv)
{
    manager m = {.o = {.address = "127.0.0.1", .attempts = 3, .batch_seconds = 60, .straggler_seconds = 30}};
    if (!read_options(&m.o, argc, argv)) {
        (void)fputs("pellucid-manager is started by `pellucid cluster`, see there\n", stderr);
        return 2;
    }
    const struct sigaction action = {.sa_handler = on_signal};
    for (int i = 0; i < 4; i++)
        (void)sigaction((const int[]){SIGTERM, SIGINT, SIGUSR1, SIGUSR2}[i], &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return run_manager(&m);
}
