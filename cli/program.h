/* SPDX-License-Identifier: MIT
 * Running other programs: what they say, how they ended, and that they end. A scheduler's command may hang for as long as
 * its server does; it stands in a process group of its own, which is ended after a stated time or when nobody needs it any more. */
#ifndef PELLUCID_CLI_PROGRAM_H
#define PELLUCID_CLI_PROGRAM_H

#include "cli.h"

#include <stddef.h>

typedef struct program_call {
    const char *const *words;          /* NULL at the end */
    char *out, *errors;                /* what it says, ended by 0; errors NULL: to `out`, too. What does not fit is left out */
    size_t out_size, errors_size;
    int64_t seconds;                   /* it is ended after so long; 0: it may take what it takes */
    bool (*unwanted)(const void *arg); /* asked ten times a second: nobody waits for it any more; NULL: somebody does */
    const void *arg;
    int64_t unwanted_seconds;          /* and then it may still take so long */
} program_call;

typedef struct program_end {
    int status;     /* its exit status; 128 + number: killed by a signal; -1: it could not be started, *err */
    bool killed;    /* by a signal, whoever sent it */
    bool timed_out; /* ended by us, after so many seconds */
    bool dropped;   /* ended by us, since it was unwanted */
    bool cut;       /* something it said had no room */
} program_end;

program_end program_run(const program_call *call, pel_error *err);

#endif
