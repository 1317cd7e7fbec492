/* SPDX-License-Identifier: MIT
 * The files by which a lock is held without flock, inside core/lock*.c: for a lock NAME
 *     NAME.owner         who has it whole
 *     NAME.next-TOKEN    who follows the holder with this token, who is dead
 *     NAME.part-TOKEN    who shares it
 *     NAME.new-TOKEN     one of these before it is in its place
 * Each holds one line: the owner (owner.h) and whether flock worked for him, on which device. */
#ifndef PEL_CORE_LOCK_FILES_H
#define PEL_CORE_LOCK_FILES_H

#include "core/file.h"
#include "core/owner.h"
#include "pellucid.h"

#include <sys/stat.h>

#define PEL__LOCK_ALIVE 120 /* seconds: of whom nothing is heard for longer, is dead if he cannot be asked */

typedef struct pel__holder {
    bool known; /* the line could be read; else only the token, made up of the file's number, and st hold */
    pel__owner who;
    bool flocked;
    int64_t device;
    struct stat st;
} pel__holder;

/* What a lock's functions share. */
typedef struct pel__lock_files {
    int dir, fd;          /* the folder; our own file, under its temporary name or its last one */
    bool flocked;
    int64_t device;       /* of the file that flock is asked for */
    char name[32];
    char folder[PEL__PATH_MAX];
    char temporary[96];   /* our file until it is put in its place; "": it has none any more */
    char dead[17];        /* token of the last holder that was found dead */
    pel__owner self;      /* with a token of this lock */
} pel__lock_files;

enum pel__holding { PEL__NOBODY, PEL__DEAD_HOLDER, PEL__LIVE_HOLDER };

bool pel__lock_files_begin(pel__lock_files *f, pel_error *err); /* dir, name, folder, flocked, device are set */
void pel__lock_files_end(pel__lock_files *f);

/* Whoever holds it whole, and whether he lives. */
bool pel__lock_files_holder(pel__lock_files *f, enum pel__holding *what, pel__holder *out, pel_error *err);

/* Becomes the holder of the whole, or PEL_REFUSED; *stale: of a dead one's. */
bool pel__lock_files_claim(pel__lock_files *f, bool *stale, pel_error *err);

/* Nobody lives who shares it; what the dead left is removed. */
bool pel__lock_files_no_parts(pel__lock_files *f, pel_error *err);

bool pel__lock_files_share(pel__lock_files *f, bool *stale, pel_error *err);

/* Still ours? *sure: the file system could tell. Puts back a file that was removed. */
bool pel__lock_files_mine(pel__lock_files *f, bool whole, bool *sure);
void pel__lock_files_touch(const pel__lock_files *f, bool whole);
void pel__lock_files_drop(pel__lock_files *f, bool whole);

#endif
