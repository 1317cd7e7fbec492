/* SPDX-License-Identifier: MIT
 * The bytes -> bytes codecs of Zarr chunks: blosc, zstd, gzip, zlib, lz4, crc32c. One step turns a buffer into another;
 * chains of steps are the business of zarr/. Every decoder is given the most bytes that it may produce and never
 * writes beyond; what the library contexts cost is in a state that one thread uses at a time. */
#ifndef PEL_CODEC_CHUNK_CODEC_H
#define PEL_CODEC_CHUNK_CODEC_H

#include "core/error.h"
#include "pellucid.h"

enum pel__step_kind {
    PEL__STEP_BLOSC,
    PEL__STEP_ZSTD,
    PEL__STEP_GZIP, /* decoding takes zlib streams too: old writers store them under this name */
    PEL__STEP_ZLIB,
    PEL__STEP_LZ4, /* numcodecs' framing: u32 length, one raw LZ4 block */
    PEL__STEP_CRC32C,
    PEL__STEP_BZ2, /* from here on nothing is encoded */
    PEL__STEP_LZMA,
    PEL__STEP_SHUFFLE,
    PEL__STEP_CRC32,
    PEL__STEP_ADLER32,
    PEL__STEP_FLETCHER32,
};

typedef struct pel__step {
    enum pel__step_kind kind;
    int32_t level;       /* lzma: the preset */
    char cname[16];      /* blosc: inner compressor */
    int32_t shuffle;     /* blosc: 0 none, 1 bytes, 2 bits */
    int32_t typesize;    /* blosc, shuffle: bytes of an element */
    int64_t blocksize;   /* blosc: 0 = the library's choice */
    bool checksum;       /* zstd: its own frame checksum */
    bool first;          /* checksums: in front of the bytes, not behind */
} pel__step;

#define PEL__STEP_MAX_BYTES ((int64_t)INT32_MAX - 4096) /* of one chunk, raw; blosc's own limit is a little higher */

/* Name for messages: "blosc", "zstd", … */
const char *pel__step_name(enum pel__step_kind kind);

/* Contexts and two growing buffers of one thread. */
typedef struct pel__codec_state pel__codec_state;

/* A shelf of states: take one, use it from one thread, put it back. Any thread. */
typedef struct pel__codec_shelf pel__codec_shelf;

bool pel__codec_shelf_create(pel__codec_shelf **out, pel_error *err);
void pel__codec_shelf_destroy(pel__codec_shelf *shelf); /* all states must have been put back */
pel__codec_state *pel__codec_take(pel__codec_shelf *shelf, pel_error *err); /* NULL: err set */
void pel__codec_put(pel__codec_shelf *shelf, pel__codec_state *state);      /* state may be NULL */

/* Buffer number 0 .. PEL__STATE_BUFFERS-1 of the state with room for n bytes; contents undefined. NULL: err set. */
#define PEL__STATE_BUFFERS 4
uint8_t *pel__codec_buffer(pel__codec_state *state, int32_t number, int64_t n, pel_error *err);

/* Most bytes that encoding n bytes can give. */
int64_t pel__step_bound(const pel__step *step, int64_t n);

/* What the libraries themselves allocate while one thread encodes, or decodes, chunks of n bytes. */
int64_t pel__step_encode_bytes(const pel__step *step, int64_t n);
int64_t pel__step_decode_bytes(const pel__step *step, int64_t n);

/* One conversion: n bytes at src into dst, which has room for capacity bytes and does not overlap; got = bytes made. */
typedef struct pel__codec_io {
    const void *src;
    int64_t n;
    void *dst;
    int64_t capacity;
    int64_t got;
} pel__codec_io;

bool pel__step_encode(pel__codec_state *state, const pel__step *step, pel__codec_io *io, pel_error *err);

/* PEL_DAMAGED where src is no whole valid stream or holds more than capacity bytes. */
bool pel__step_decode(pel__codec_state *state, const pel__step *step, pel__codec_io *io, pel_error *err);

/* Checksums without a copy: checks four of *n bytes at *at against the rest, and cuts them off. */
bool pel__step_sums(enum pel__step_kind kind);
bool pel__step_sum_check(const pel__step *step, const uint8_t **at, int64_t *n, pel_error *err);

/* crc32c without a copy: checks the last four of n bytes against the rest; *got = n - 4. */
bool pel__step_crc32c_check(const void *src, int64_t n, int64_t *got, pel_error *err);

#endif
