/* SPDX-License-Identifier: MIT
 * JPEG XR, decoded by a helper program: the library that knows the format dies on damaged streams, so it runs where its
 * death costs one tile. The protocol between both sides stands here; each side has one .c file.
 *
 *   request : pel__jxr_request, then `bytes` of the stream      (little endian, packed by its members' sizes)
 *   answer  : pel__jxr_answer, then `bytes` of pixels, or of text where status is not 0
 */
#ifndef PEL_CODEC_JXR_H
#define PEL_CODEC_JXR_H

#include "pellucid.h"

#define PEL__JXR_PROGRAM "pellucid-jxr"
#define PEL__JXR_MAGIC 0x31524A50U /* "PJR1" */

typedef struct pel__jxr_request {
    uint32_t magic;
    int32_t pixel;            /* CZI pixel type that the pixels must have: B, G, R order for colour */
    int32_t width, height;    /* wanted; another size is cut or padded with zero at the right and below */
    int64_t bytes;
} pel__jxr_request;

typedef struct pel__jxr_answer {
    uint32_t magic;
    int32_t status;           /* 0 or a pel_code */
    int64_t bytes;
} pel__jxr_answer;

typedef struct pel__jxr pel__jxr; /* one helper process; one thread at a time */

/* Where the helper is, or NULL where it is not (free() it). folder NULL: beside the program that runs, its
 * ../libexec/pellucid, or where it was installed. */
char *pel__jxr_find(const char *folder);

/* Bytes that helper process may take to decode a stream into `decoded` bytes, all told. */
int64_t pel__jxr_helper_bytes(int64_t decoded);

/* Decodes one stream of request->bytes into `out`, exactly `size` bytes. *helper is started on first use (begin with NULL),
 * killed when it does not answer in time, and started again for the next call. PEL_DAMAGED: the stream is bad or killed the
 * helper; PEL_IO: no helper could be started. */
bool pel__jxr_decode(pel__jxr **helper, const char *program, const pel__jxr_request *request, const void *stream, void *out,
                     int64_t size, pel_error *err);
void pel__jxr_destroy(pel__jxr *helper); /* ends the process and waits for it */

#endif
