/* SPDX-License-Identifier: MIT
 * Configuration that was written for dask-jobqueue: its words become ours, or are named with what is said here instead. */
#ifndef PELLUCID_CLI_CONFIG_DASK_H
#define PELLUCID_CLI_CONFIG_DASK_H

#include "cli.h"

/* The members of a file as our options, a new object; NULL: *err. scheduler: the one that was typed, NULL: none was.
 * Members that are none of Dask's words stay as they are. Notes go to standard error. */
json_object *config_translate(const verb *self, const char *path, json_object *file, const char *scheduler, pel_error *err);

#endif
