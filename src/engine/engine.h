/* SPDX-License-Identifier: MIT
 * The contract of a foreman: hand out jobs, keep the stages busy, return when all are done or stopped. An engine sees
 * job.h and ledger.h and nothing else. */
#ifndef PEL_ENGINE_ENGINE_H
#define PEL_ENGINE_ENGINE_H

#include "run/job.h"

/* False: PEL_INTERRUPTED after a stop, or the error with which jobs->failed gave up. Failed jobs alone are no failure. */
typedef bool pel__engine(const pel__jobs *jobs, pel__tick *tick, void *arg, pel_error *err);

/* One process: a reading, a working and a writing thread, and the caller's thread for the tick. */
pel__engine pel__engine_threads;

#endif
