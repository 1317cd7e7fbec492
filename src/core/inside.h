/* SPDX-License-Identifier: MIT
 * Folders whose contents are somebody's own: Zarr stores, and the folders of runs. */
#ifndef PEL_CORE_INSIDE_H
#define PEL_CORE_INSIDE_H

#include "core/error.h"

/* The outermost Zarr store that a path is in or is itself, where it leads: through groups without a gap, or beyond one with a
 * name that says so. False: in none. */
bool pel__inside_store(char *out, size_t size, const char *path);

/* The innermost folder of a run (plan and lock) that a path is in or is itself. */
bool pel__inside_run(char *out, size_t size, const char *path);

#endif
