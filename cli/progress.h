/* SPDX-License-Identifier: MIT
 * The progress line: on a terminal one line that is rewritten, otherwise a line every 30 seconds; to standard error. */
#ifndef PELLUCID_CLI_PROGRESS_H
#define PELLUCID_CLI_PROGRESS_H

#include "cli.h"

typedef struct progress {
    const char *label; /* "denoise" */
    const char *unit;  /* "blocks"; NULL: done and total are bytes */
    bool quiet, terminal, shown;
    double started, last;       /* seconds on the steady clock */
    int64_t first_done, first_bytes; /* what a resumed run had already: it does not count for speed */
    bool begun;
} progress;

progress progress_start(const char *label, const char *unit, bool quiet);

/* bytes: pixels worked so far; memory: resident bytes, 0 = look it up for this process. Cheap: call it often. */
void progress_show(progress *p, int64_t done, int64_t total, int64_t bytes, int64_t memory);
void progress_end(progress *p); /* wipes the line of a terminal */

int64_t resident_bytes(void); /* of this process, now; 0 = not known */

#endif
