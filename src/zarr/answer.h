/* SPDX-License-Identifier: MIT
 * What servers say, as text: headers of HTTP and listings of S3. Nothing of it is trusted. */
#ifndef PEL_ZARR_ANSWER_H
#define PEL_ZARR_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEL__BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* Is this line of n bytes the header `name`? Then its value, without blanks around, cut to the room. */
bool pel__answer_header(const char *line, size_t n, const char *name, char *value, size_t size);

/* "bytes 0-99/1234": 0 <= *first <= *last < INT64_MAX; *total -1 where it is "*", or no length of
 * such an object. False: nothing is written. */
bool pel__answer_range(const char *text, int64_t *first, int64_t *last, int64_t *total);

/* "n03x6A==", of a whole object, not of the parts of a multipart upload ("...==-3"). False: nothing is written. */
bool pel__answer_crc32c(const char *text, uint32_t *out);

/* The text of the next <Key> of a listing with its entities undone, in place; *at moves on. NULL: no more. */
char *pel__answer_key(char **at);

#endif
