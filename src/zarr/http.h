/* SPDX-License-Identifier: MIT
 * One request over HTTP at a time and thread: ranges, whole bodies to be stored, retries with growing pauses, a bound on
 * what is taken in, and signatures for S3. What the answer means is the caller's business (store_remote.c). */
#ifndef PEL_ZARR_HTTP_H
#define PEL_ZARR_HTTP_H

#include "codec/hash.h"
#include "core/error.h"
#include "pellucid.h"

typedef struct pel__http pel__http;

/* Strings of remote are copied; it may be NULL. s3: requests are signed where there is a key, redirects not followed. */
bool pel__http_open(pel__http **out, const pel_remote *remote, bool s3, pel_error *err);
void pel__http_close(pel__http *http); /* NULL allowed */

enum pel__range { PEL__RANGE_ALL, PEL__RANGE_SPAN, PEL__RANGE_TAIL, PEL__RANGE_NOTHING };

enum pel__method { PEL__GET, PEL__PUT, PEL__DELETE };

/* The two checksums of what was read so far. */
typedef struct pel__sum {
    uint32_t crc32c;
    pel__hash *hash;
} pel__sum;

typedef struct pel__request {
    const char *url;
    enum pel__method method;
    enum pel__range range; /* of GET. SPAN: n bytes at offset; TAIL: the last n; ALL: everything, an error if more than n;
                              NOTHING: the length only (HEAD), and the stored checksums if an S3 server tells them */
    int64_t offset, n;
    uint8_t *dst; /* room for n bytes, or NULL: the reply brings memory of its own */
    pel__sum *sum; /* not NULL: nothing is kept of the body but its length; these go on over it */
    const uint8_t *body; /* of PUT: n bytes, sent with their checksum, which a server that knows it holds against them */
    uint32_t crc32c;     /* of the body */
    const pel__digest *digest; /* of PUT: kept with the object (x-amz-meta-…); NULL: none */
} pel__request;

typedef struct pel__reply {
    int32_t status;            /* 200 also for a part and for what has no body; others as they came */
    uint8_t *body;             /* dst, or free() it; a NUL follows in memory of its own */
    int64_t offset, got;       /* which bytes of the object came. A server that takes no TAIL: got 0 */
    int64_t total;             /* the object's length; -1: unknown */
    uint32_t crc32c;           /* of the whole object as the server keeps it (has_crc32c) */
    pel__digest digest;        /* that was sent with the object and is kept beside it (has_digest) */
    bool has_crc32c, has_digest;
    char reason[64];           /* code of an S3 error, "" = none */
    char region[32];           /* where the bucket is, if told */
} pel__reply;

/* True for every answer that will not change by asking again; false, with err, for failing connections, 429 and 5xx after
 * the last attempt, bodies that are too long or too short. Any thread. Every request may be sent twice: a PUT that was
 * lost on the way back is the same object again. */
bool pel__http_ask(pel__http *http, const pel__request *q, pel__reply *reply, pel_error *err);

#endif
