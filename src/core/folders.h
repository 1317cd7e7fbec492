/* SPDX-License-Identifier: MIT
 * Names that last. A file that was synced and renamed is safe only once its folder has been synced, too, and where that
 * folder is new, the folder above it: else a power cut may take the name away. Folders are collected and synced together,
 * each once, because a file system commits them together. */
#ifndef PEL_CORE_FOLDERS_H
#define PEL_CORE_FOLDERS_H

#include "pellucid.h"

typedef struct pel__folders pel__folders;

/* root: the folder below which files are named; it and all above a file up to the folder that holds root are looked after. */
bool pel__folders_create(pel__folders **out, const char *root, pel_error *err);
void pel__folders_destroy(pel__folders *f); /* NULL allowed */

/* The entry of this file in its folder has changed. Any thread. */
bool pel__folders_note(pel__folders *f, const char *path, pel_error *err);

/* Syncs every folder noted since the last time; the first time that a folder is noted also those above it. *lost: it failed for a
 * reason that passes (core/retry.h); the folders stay noted, and what changed in them is to be written again. */
bool pel__folders_sync(pel__folders *f, bool *lost, pel_error *err);

/* Syncs the folder that holds `path` and the ones above it, `levels` in all; *lost as above, may be NULL. */
bool pel__parents_sync(const char *path, int levels, bool *lost, pel_error *err);

#endif
