/* SPDX-License-Identifier: MIT
 * The order in which blocks of a sweep go out: those that hand on rows one after the other, so that a task has them together. */
#ifndef PEL_ENGINE_ORDER_H
#define PEL_ENGINE_ORDER_H

#include "pellucid.h"

/* Numbers of all blocks of a run, from its books; NULL where they do not tell. Free it. */
bool pel__order_read(int64_t **out, const char *output, int64_t blocks, pel_error *err);

#endif
