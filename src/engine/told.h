/* SPDX-License-Identifier: MIT
 * What a task said before it ended: the report of `pellucid block --report`, the host, the exit code. Text from elsewhere: believed only
 * where it speaks of blocks of the task. */
#ifndef PEL_ENGINE_TOLD_H
#define PEL_ENGINE_TOLD_H

#include "engine/dispatch.h"

typedef struct pel__told {
    bool *done;          /* by place in the batch */
    char **text;         /* why a block failed; NULL: not told */
    int64_t memory_peak;
    char last[512];      /* line besides its report */
    char host[128];      /* "" where it could not tell */
    int status;          /* exit code, -1: it could not tell */
    bool reported, turned_away; /* turned_away: its host is on hold, nothing was begun */
} pel__told;

/* b NULL: a task without blocks. False: no memory. Destroy in any case. */
bool pel__told_read(pel__told *r, const pel__batch *b, const char *output);
void pel__told_destroy(pel__told *r, const pel__batch *b);

void pel__told_crash(char *out, size_t size, const pel__told *r); /* how it ended, in words */

#endif
