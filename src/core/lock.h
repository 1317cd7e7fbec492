/* SPDX-License-Identifier: MIT
 * A lock of a folder: one process may have it whole, or any number may share it, never both. Two protections are used together:
 * flock, where the file system has it, and files that tell who holds the lock and since when nothing was heard of him, which
 * need exclusive creation only. docs/formats-run.md draws the files. */
#ifndef PEL_CORE_LOCK_H
#define PEL_CORE_LOCK_H

#include "pellucid.h"

typedef struct pel__lock pel__lock;

enum pel__lock_kind { PEL__LOCK_WHOLE, PEL__LOCK_SHARED };

/* The lock `name` (at most 31 letters) of `folder`. PEL_REFUSED names the host and process that hold it. *was_stale: a former
 * holder of the whole ended without releasing. A thread of its own gives a sign of life every two seconds, whatever the caller
 * does. */
bool pel__lock_take(pel__lock **out, const char *folder, const char *name, enum pel__lock_kind kind, bool *was_stale,
                    pel_error *err);

/* Is it still ours? PEL_REFUSED where another took it over, since this process was away for too long: then nothing more may be
 * written. Cheap unless this process stood still for some seconds. Any thread; NULL: true. */
bool pel__lock_keep(pel__lock *lock, pel_error *err);

void pel__lock_release(pel__lock *lock); /* NULL allowed */

#endif
