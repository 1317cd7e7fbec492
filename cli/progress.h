/* SPDX-License-Identifier: MIT
 * The progress line: on a terminal one line that is rewritten, otherwise a line every 30 seconds; to standard error. */
#ifndef PELLUCID_CLI_PROGRESS_H
#define PELLUCID_CLI_PROGRESS_H

#include "cli.h"
#include "dashboard.h"

typedef struct progress {
    const char *label; /* "denoise" */
    bool quiet, terminal, shown;
    char phase[24];
    double started, last;            /* of the phase, of the last line; seconds on the steady clock */
    int64_t first_done, first_bytes; /* what a resumed run had already: it does not count for speed */
    dashboard page;                  /* of a run: kept while it works; zeros: none */
} progress;

progress progress_start(const char *label, bool quiet);

/* A pel_on_progress: shows the line, and asks to stop after a signal (see stop_install). arg is the progress. The
 * phase says what done and total count: see unit_of. */
bool progress_show(void *arg, const pel_progress *now);

void progress_end(progress *p); /* wipes the line of a terminal */

int64_t resident_bytes(void); /* of this process, now; 0 = not known */

#endif
