/* SPDX-License-Identifier: MIT
 * Files in a folder that others may write to: opened for writing only if they are what they are taken for. A name that is a
 * link, has a second name, or is no file is refused: writing to it would change a file somewhere else. */
#ifndef PEL_CORE_OWN_FILE_H
#define PEL_CORE_OWN_FILE_H

#include "pellucid.h"

/* A descriptor, or -1. name in the folder behind `dir`; shown: the folder's path, for messages. flags as of open: O_TRUNC is
 * done after the check. */
int pel__open_own_at(int dir, const char *name, int flags, const char *shown, pel_error *err);

/* The same below a folder, which must exist: name may have folders before it ("log/n7.log"), which are made with O_CREAT and
 * may not be links either. */
int pel__open_own(const char *folder, const char *name, int flags, pel_error *err);

/* The folder `name` in it, made where it is missing, refused where it is a link. */
bool pel__make_own_folder(const char *folder, const char *name, pel_error *err);

#endif
