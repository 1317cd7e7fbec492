/* SPDX-License-Identifier: MIT
 * Errors of file systems that pass: a file server that restarts, a stale handle, a connection that was lost. Such a call is made
 * again a few times, with back-off. What stays (full disk, no permission, no such file) fails at once. */
#ifndef PEL_CORE_RETRY_H
#define PEL_CORE_RETRY_H

#include <stdbool.h>

/* Of one call: begins as zeros. */
typedef struct pel__retry {
    int tries;
} pel__retry;

/* After a call that failed with errno `reason`: true, after a pause, where it is worth making again. At most five times and 3.2 s in
 * all; EINTR without a pause and without end. Any thread; errno is kept.
 *
 * Never for fsync, fdatasync and close: Linux reports a failed write-back once, so that a second call would succeed although the data
 * are gone. Where one fails for a reason that passes, everything is written anew. */
bool pel__try_again(pel__retry *r, int reason);

/* Is this errno one of those that pass? EINTR, too. */
bool pel__passes(int reason);

#endif
