/* SPDX-License-Identifier: MIT
 * What `status` tells of a run that is spread over machines. */
#ifndef PELLUCID_CLI_CLUSTER_STATUS_H
#define PELLUCID_CLI_CLUSTER_STATUS_H

#include "cli.h"

void cluster_status_print(const char *output);
void cluster_status_json(json_object *o, const char *output);
bool cluster_is_alive(const char *output); /* a manager works on it */

/* Where nobody could say why it stands still, what the scheduler says of the last job that did not end well; it is asked for that. */
void cluster_settle_reason(pel_status *s, const char *output);

/* Every try at a block, or (block -1) every failure; returns an exit code. */
int cluster_history(const verb *self, const char *output, int64_t block, bool json);

#endif
