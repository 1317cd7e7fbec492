/* SPDX-License-Identifier: MIT
 * JPEG XR, decoded by a helper program: the library that knows the format dies on damaged streams, so it runs where its
 * death costs one tile. The protocol between both sides stands here; each side has one .c file.
 *
 *   request : pel__jxr_request, then `bytes` of the stream
 *   answer  : pel__jxr_answer, then `bytes` of pixels, or of text where status is not 0
 *
 * Both sides are built together and run on one machine, so the structs travel as they are. */
#ifndef PEL_CODEC_JXR_H
#define PEL_CODEC_JXR_H

#include "pellucid.h"

#define PEL__JXR_PROGRAM "pellucid-jxr"
#define PEL__JXR_MAGIC 0x31524A50U /* "PJR1" */

typedef struct pel__jxr_request {
    uint32_t magic;
    int32_t pixel;            /* CZI pixel type that the pixels must have: B, G, R order for colour */
    int32_t width, height;    /* wanted; another size is cut or padded with zero at the right and below */
    int64_t bytes;            /* of the stream */
    int64_t decoded;          /* of the answer: width * height * bytes of a pixel */
    int64_t seconds;          /* that it may take; see pel__jxr_seconds */
} pel__jxr_request;

typedef struct pel__jxr_answer {
    uint32_t magic;
    int32_t status;           /* 0 or a pel_code */
    int64_t bytes;
} pel__jxr_answer;

/* What the helper allows itself (address space), and so what it can take: program and libraries (3 MiB measured), the
 * stream, the pixels of a picture that may be up to PEL__JXR_ODD larger each way, and the decoder's two rows of
 * macroblocks (400 bytes a column measured with three samples). */
#define PEL__JXR_BASE_BYTES (12 << 20)
#define PEL__JXR_ODD 64
#define PEL__JXR_COLUMN_BYTES 640
static inline int64_t pel__jxr_helper_bytes(int64_t stream, int64_t width, int64_t height, int64_t pixel_bytes)
{
    return PEL__JXR_BASE_BYTES + stream + (width + PEL__JXR_ODD) * (height + PEL__JXR_ODD) * pixel_bytes +
           width * PEL__JXR_COLUMN_BYTES;
}

/* Seconds that one tile may take: far more than any tile needs, and yet an end. */
static inline int64_t pel__jxr_seconds(int64_t decoded)
{
    return 20 + decoded / (1 << 20);
}

typedef struct pel__jxr pel__jxr; /* one helper process; one thread at a time */

/* Where the helper is, or NULL where it is not (free() it). folder NULL: beside the program that runs, in its
 * ../libexec/pellucid, in the build folder, or where it was installed. */
char *pel__jxr_find(const char *folder);

/* Decodes one stream of request->bytes into `out`, which has request->decoded bytes. *helper is started on first use (begin
 * with NULL), killed when it does not answer in time, and started again for the next call. PEL_DAMAGED: the stream is bad
 * or killed the helper; PEL_IO: no helper could be started. */
bool pel__jxr_decode(pel__jxr **helper, const char *program, const pel__jxr_request *request, const void *stream, void *out,
                     pel_error *err);
void pel__jxr_destroy(pel__jxr *helper); /* ends the process and waits for it */

#endif
