/* SPDX-License-Identifier: MIT
 * What the two halves of a remote store share: reading (store_remote.c) and writing to S3 (store_s3.c). */
#ifndef PEL_ZARR_STORE_REMOTE_H
#define PEL_ZARR_STORE_REMOTE_H

#include "zarr/http.h"
#include "zarr/store.h"

#include <stdatomic.h>

typedef struct pel__remote_store {
    pel__store base;
    pel__http *http;
    char url[PEL__PATH_MAX];
    char *proof;         /* URL of a document that could be read or was written */
    char *list;          /* S3: URL that lists the first keys */
    atomic_bool no_tail; /* the server does not take "the last n bytes" */
} pel__remote_store;

#define PEL__LIST_MOST 1000 /* keys of one listing */

/* False, with err: status and code of an answer, and what can be done. */
bool pel__remote_fail(const pel__reply *r, const char *url, pel_error *err);

/* Is the object there? False, with err, for what is neither there nor absent. */
bool pel__remote_there(pel__remote_store *s, const char *url, const pel__reply *r, bool *there, pel_error *err);

#endif
