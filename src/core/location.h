/* SPDX-License-Identifier: MIT
 * Where a path leads, whatever it is called: through links, by way of "..", from another folder, as the mount of another
 * place. Two paths can be compared before either of them exists. */
#ifndef PEL_CORE_LOCATION_H
#define PEL_CORE_LOCATION_H

#include "core/error.h"
#include "core/file.h"

typedef struct pel__location {
    bool address;              /* `there` is HOST/PATH of a URL, decoded; nothing of it is looked at */
    char there[PEL__PATH_MAX]; /* real path of the part that exists */
    char rest[PEL__PATH_MAX];  /* names below it that do not exist yet; "" where all does */
} pel__location;

/* Follows links, also those that lead to what is not there yet. An error where a folder on the way cannot be looked into. */
bool pel__location_find(pel__location *out, const char *path, pel_error *err);

/* Of http://… and https://…; the scheme and its usual port make no difference. */
bool pel__location_of_url(pel__location *out, const char *url, pel_error *err);

enum pel__relation { PEL__APART, PEL__SAME, PEL__INSIDE, PEL__AROUND };

/* What a is to b. Files and folders are compared by device and inode. */
enum pel__relation pel__location_relation(const pel__location *a, const pel__location *b);

/* All but the last name exists, as a folder. */
bool pel__location_has_parent(const pel__location *l, const char *path, pel_error *err);

/* The whole path that it leads to. */
bool pel__location_path(char *out, size_t size, const pel__location *l, pel_error *err);

#endif
