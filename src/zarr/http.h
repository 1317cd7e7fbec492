/* SPDX-License-Identifier: MIT
 * One request over HTTP at a time and thread: ranges, whole bodies to be stored, retries with growing pauses, a bound on
 * what is taken in, and signatures for S3. What the answer means is the caller's business (store_remote.c). */
#ifndef PEL_ZARR_HTTP_H
#define PEL_ZARR_HTTP_H

#include "core/error.h"
#include "pellucid.h"

typedef struct pel__http pel__http;

/* Strings of remote are copied; it may be NULL. s3: requests are signed where there is a key, redirects not followed. */
bool pel__http_open(pel__http **out, const pel_remote *remote, bool s3, pel_error *err);
void pel__http_close(pel__http *http); /* NULL allowed */

enum pel__range { PEL__RANGE_ALL, PEL__RANGE_SPAN, PEL__RANGE_TAIL, PEL__RANGE_NOTHING };

enum pel__method { PEL__GET, PEL__PUT, PEL__DELETE };

typedef struct pel__request {
    const char *url;
    enum pel__method method;
    enum pel__range range; /* of GET. SPAN: n bytes at offset; TAIL: the last n; ALL: everything, an error if more than n;
                              NOTHING: the length only (HEAD), and the stored checksum if an S3 server tells it */
    int64_t offset, n;
    uint8_t *dst; /* room for n bytes, or NULL: the reply brings memory of its own */
    bool sum;     /* nothing is kept of the body but its length and checksum */
    const uint8_t *body; /* of PUT: n bytes, sent with their checksum, which a server that knows it holds against them */
    uint32_t crc32c;     /* of the body; with sum, what the checksum goes on from */
} pel__request;

typedef struct pel__reply {
    int32_t status;            /* 200 also for a part and for what has no body; others as they came */
    uint8_t *body;             /* dst, or free() it; a NUL follows in memory of its own */
    int64_t offset, got;       /* which bytes of the object came. A server that takes no TAIL: got 0 */
    int64_t total;             /* the object's length; -1: unknown */
    uint32_t crc32c;           /* of what came (sum), or of the whole object as the server keeps it (has_crc32c) */
    bool has_crc32c;
    char reason[64];           /* code of an S3 error, "" = none */
    char region[32];           /* where the bucket is, if told */
} pel__reply;

/* True for every answer that will not change by asking again; false, with err, for failing connections, 429 and 5xx after
 * the last attempt, bodies that are too long or too short. Any thread. Every request may be sent twice: a PUT that was
 * lost on the way back is the same object again. */
bool pel__http_ask(pel__http *http, const pel__request *q, pel__reply *reply, pel_error *err);

#endif
