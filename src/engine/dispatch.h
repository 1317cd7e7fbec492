/* SPDX-License-Identifier: MIT
 * What a manager of many workers decides: which blocks go out together, what a failure means, when a run of trouble is a
 * host's and when a block's. It knows neither network nor pixels nor clock: time is told to it. One thread. */
#ifndef PEL_ENGINE_DISPATCH_H
#define PEL_ENGINE_DISPATCH_H

#include "pellucid.h"

typedef struct pel__dispatch_options {
    int64_t blocks;
    const int64_t *order;     /* in which they go out; NULL: as numbered. It must live as long */
    double batch_seconds;     /* how long a batch should last */
    int64_t batch_most;       /* blocks in it */
    int32_t attempts;         /* failures of a block on hosts that can do blocks before it is given up */
    int32_t host_failures;    /* different blocks that fail on a host, one after the other, before it is put on hold */
    double hold_seconds;      /* the first hold of a host; each further one lasts twice as long, an hour at most */
    int64_t memory, memory_most; /* of a batch; after out-of-memory twice as much, up to the most; 0: not told */
    double straggler_seconds; /* a batch is late after three times what was expected and so many seconds more */
} pel__dispatch_options;

/* Blocks that go out together. Owned by the dispatch; valid until its result was told. */
typedef struct pel__batch {
    int64_t id;
    const int64_t *blocks;
    int64_t count;
    int64_t memory;
    double expected; /* seconds; 0: nothing is known yet */
    double started;  /* told by pel__dispatch_started; 0: waits */
    int64_t twin;    /* id of the batch that does the same, -1: none */
} pel__batch;

enum pel__ending {
    PEL__ENDED,         /* it told of its blocks: done[], and text[] for those that failed */
    PEL__CRASHED,       /* it ended without a word */
    PEL__OUT_OF_MEMORY,
    PEL__LOST,          /* the worker went away, or was told to go: nobody's fault */
    PEL__CANCELLED,     /* by us */
};

typedef struct pel__batch_result {
    enum pel__ending ending;
    const char *host;
    double now, seconds;
    const bool *done;        /* by place in the batch; NULL: none */
    const char *const *text; /* by place in the batch; NULL or NULL entries: no reason known */
    const char *crash;       /* why it ended, for PEL__CRASHED and the like */
} pel__batch_result;

typedef struct pel__dispatch pel__dispatch;

/* is_done: of a block, before anything begins. */
bool pel__dispatch_create(pel__dispatch **out, const pel__dispatch_options *options, bool (*is_done)(void *arg, int64_t block),
                          void *arg, pel_error *err);
void pel__dispatch_destroy(pel__dispatch *d);

/* The next batch to send out, for so many workers; NULL: nothing waits. */
const pel__batch *pel__dispatch_next(pel__dispatch *d, int64_t workers, pel_error *err);
const pel__batch *pel__dispatch_find(const pel__dispatch *d, int64_t id); /* NULL: it has ended; valid until the next call */
void pel__dispatch_started(pel__dispatch *d, int64_t id, double now);
bool pel__dispatch_result(pel__dispatch *d, int64_t id, const pel__batch_result *r, pel_error *err);

/* Within so many seconds what is out would not end, and one more of its kind not either. */
bool pel__dispatch_is_short(const pel__dispatch *d, double left);

/* Nothing waits and a batch is late: what is left of it as a batch of its own. NULL: none is. */
const pel__batch *pel__dispatch_straggler(pel__dispatch *d, double now, pel_error *err);

/* A batch out there whose blocks were all done by its twin: cancel it. -1: none. */
int64_t pel__dispatch_needless(const pel__dispatch *d);

/* A host on which one block after the other failed and none was done since is on hold: nothing should be sent there. A hold that
 * was not told yet, each told once; false: none. */
typedef struct pel__hold {
    const char *host, *text; /* of the last failure */
    double seconds;
    int64_t failures; /* different blocks in a row */
} pel__hold;
bool pel__dispatch_hold(pel__dispatch *d, double now, pel__hold *out);

void pel__dispatch_held_hosts(const pel__dispatch *d, double now, void (*visit)(void *arg, const char *host), void *arg);
double pel__dispatch_held(const pel__dispatch *d, const char *host, double now); /* for so many seconds; 0: it is not */

/* No host has done anything since one of them was on hold so many times, and none is at it: true for some seconds, it is so. */
bool pel__dispatch_hopeless(const pel__dispatch *d, double now, int32_t holds, pel__hold *out);

/* The books say that a block is not done after all (or is, though nobody told). */
void pel__dispatch_set(pel__dispatch *d, int64_t block, bool done);

typedef struct pel__dispatch_counts {
    int64_t done, waiting, out, given_up;
    int64_t batches, failures, lost, crashes, twins;
    double seconds_per_block; /* 0: unknown */
    int64_t holds;
} pel__dispatch_counts;
pel__dispatch_counts pel__dispatch_count(const pel__dispatch *d);
bool pel__dispatch_over(const pel__dispatch *d); /* nothing waits, nothing is out */

/* Calls visit for each block given up, with its last failure. */
void pel__dispatch_given_up(const pel__dispatch *d,
                            void (*visit)(void *arg, int64_t block, int32_t failures, const char *host, const char *text), void *arg);
/* Hosts that were on hold and have done nothing since. */
void pel__dispatch_bad_hosts(const pel__dispatch *d, void (*visit)(void *arg, const char *host), void *arg);

#endif
