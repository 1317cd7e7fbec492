/* SPDX-License-Identifier: MIT
 * Headers of CCTools, which do not compile under our warnings. Included by workqueue_main.c only. */
#ifndef PEL_ENGINE_WORKQUEUE_H
#define PEL_ENGINE_WORKQUEUE_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#include <cctools/link.h>
#include <cctools/work_queue.h>
#pragma GCC diagnostic pop

#endif
