/* SPDX-License-Identifier: MIT
 * A dashboard that needs no port: one self-contained HTML page beside the output, OUT.run/index.html, made from plan and
 * ledger by whoever works on the run or looks at it. Includes pellucid.h only. */
#ifndef PELLUCID_DASHBOARD_H
#define PELLUCID_DASHBOARD_H

#include "pellucid.h"

/* Writes the page of the run beside `output`, aside and renamed. path NULL: index.html in the run's folder; else a file as
 * `rule` has it. Errors: those of pel_run_status and pel_file_write, NO_MEMORY. */
bool dashboard_write(const char *output, const char *path, const pel_file_rule *rule, const char *version, pel_error *err);

/* Keeps the page of a run that this process works on. Begin with the output's path and the program's version (both
 * borrowed); an output of NULL means no page. */
typedef struct dashboard {
    const char *output, *version;
    double due, pause; /* on the steady clock; 0 = not begun */
} dashboard;

/* Call often: rewrites the page every few seconds, less often where that takes long or where others that share the run
 * have just done it. That it cannot be written does not trouble the run. */
void dashboard_tick(dashboard *d);
void dashboard_end(dashboard *d); /* the final page */

#endif
