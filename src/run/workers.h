/* SPDX-License-Identifier: MIT
 * Every process that works on a run has a file in workers/: its name says host, process and a token, its text is JSON, with
 * who it is (owner.h) under "owner"; its age tells whether one lives that cannot be asked. */
#ifndef PEL_RUN_WORKERS_H
#define PEL_RUN_WORKERS_H

#include "core/owner.h"
#include "pellucid.h"

bool pel__worker_write(const char *folder, const char *json, pel_error *err);
void pel__worker_remove(const char *folder);

/* Host and process of the file "host,1234,token.json", or "host,1234.json" as older versions called it. */
bool pel__worker_name(const char *name, char *host, size_t size, int64_t *pid);
bool pel__worker_alive(const char *path, const char *name);

/* How many live, and one of them as "host, process 1234" ("" where there is none). */
int32_t pel__workers_alive(char *out, size_t size, const char *folder);

/* Does a temporary file of this name (".tmp-host-1234-token-…") belong to one of them? */
bool pel__worker_keeps(void *folder, const char *name);

#endif
