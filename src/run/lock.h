/* SPDX-License-Identifier: MIT
 * One worker at a time on a run. The lock is held by the kernel (flock), so it dies with its process; the file's text
 * says who it is, and its age keeps hosts apart where the file system does not carry locks between them. */
#ifndef PEL_RUN_LOCK_H
#define PEL_RUN_LOCK_H

#include "pellucid.h"

typedef struct pel__lock pel__lock;

/* PEL_REFUSED names the host and process that hold it. *was_stale: a former holder ended without releasing. */
bool pel__lock_take(pel__lock **out, const char *folder, bool *was_stale, pel_error *err);
void pel__lock_touch(pel__lock *lock); /* still alive: call every few seconds */
void pel__lock_release(pel__lock *lock);

/* "host, process 1234", or "" where nobody holds it. */
void pel__lock_holder(char *out, size_t size, const char *folder);

#endif
