/* SPDX-License-Identifier: MIT
 * `status --watch`: the first five things that a person looks at, on a terminal, for those who come over SSH. */
#ifndef PELLUCID_CLI_WATCH_H
#define PELLUCID_CLI_WATCH_H

#include "cli.h"

/* Shows the run until nobody works on it: on a terminal in place, otherwise one picture below the other. */
bool watch_run(const char *output, pel_error *err);

#endif
