/* SPDX-License-Identifier: MIT
 * Reading ahead of a store that is far away: requests go out on a crew of threads that only wait, so that a reading thread
 * has several on their way while it decodes what has come. */
#ifndef PEL_ZARR_ERRAND_H
#define PEL_ZARR_ERRAND_H

#include "pellucid.h"

typedef struct pel__errands pel__errands;

/* One request, in memory of the caller that stays until it was waited for. */
typedef struct pel__errand {
    bool (*run)(void *arg, pel_error *err);
    void *arg;
    /* the crew's */
    struct pel__errand *next;
    int state;
    bool ok;
    pel_error error;
} pel__errand;

/* At most `most` threads, begun as they are needed. */
bool pel__errands_create(pel__errands **out, int32_t most, pel_error *err);
void pel__errands_destroy(pel__errands *e); /* NULL allowed; nothing may be under way */

/* e NULL: it is run when it is waited for. Every errand sent must be waited for. Any thread; errands send none. */
void pel__errand_send(pel__errands *e, pel__errand *one);
bool pel__errand_wait(pel__errands *e, pel__errand *one, pel_error *err);

#endif
