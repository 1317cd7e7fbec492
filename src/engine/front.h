/* SPDX-License-Identifier: MIT
 * The front before a manager whose network is encrypted: pellucid-tls (tls_main.c), a child that ends with the manager, however
 * that ends, and is started again on the same port when it ends by itself. */
#ifndef PEL_ENGINE_FRONT_H
#define PEL_ENGINE_FRONT_H

#include "pellucid.h"

#include <sys/types.h>

typedef struct pel__front {
    const char *program, *key, *address; /* the key: a file; the address: where workers come to */
    int64_t local;                       /* port of the manager, on this machine */
    int64_t port;                        /* 0: any; then the one on which it listens */
    pid_t pid;                           /* 0: there is none */
    int64_t ends;                        /* how often it ended by itself */
} pel__front;

bool pel__front_start(pel__front *f, pel_error *err);
bool pel__front_keep(pel__front *f, pel_error *err); /* called now and then; false: there is none any more, and will be none */
void pel__front_end(pel__front *f);                  /* waits until what is under way has gone out */

#endif
