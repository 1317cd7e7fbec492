/* SPDX-License-Identifier: MIT
 * Who works on a run. One process may have it whole, or any number may share it, never both. The locks are held by the
 * kernel (flock), so they die with their processes; the text of the file says who has it whole, and its age keeps hosts
 * apart where the file system does not carry locks between them. */
#ifndef PEL_RUN_LOCK_H
#define PEL_RUN_LOCK_H

#include "pellucid.h"

typedef struct pel__lock pel__lock;

enum pel__lock_kind { PEL__LOCK_WHOLE, PEL__LOCK_SHARED };

/* The lock file `name` in `folder`. PEL_REFUSED names the host and process that hold it. *was_stale: a former holder of
 * the whole ended without releasing. */
bool pel__lock_take(pel__lock **out, const char *folder, const char *name, enum pel__lock_kind kind, bool *was_stale,
                    pel_error *err);
void pel__lock_touch(pel__lock *lock); /* still alive: call every few seconds */
void pel__lock_release(pel__lock *lock);

/* Every process that works on a run has a file in workers/: its name says host and process, its text is JSON, its age
 * whether it lives. */
bool pel__worker_write(const char *folder, const char *json, pel_error *err);
void pel__worker_remove(const char *folder);

/* How many live, and one of them as "host, process 1234" ("" where there is none). */
bool pel__worker_alive(const char *path, const char *name); /* of the file "host,1234.json" */
int32_t pel__workers_alive(char *out, size_t size, const char *folder);

#endif
