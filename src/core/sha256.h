/* SPDX-License-Identifier: MIT
 * SHA-256 (FIPS 180-4), which signatures of S3 requests are made over. */
#ifndef PEL_CORE_SHA256_H
#define PEL_CORE_SHA256_H

#include <stddef.h>

/* Sixty-four hexadecimal digits and a NUL. */
void pel__sha256_hex(char out[65], const void *data, size_t n);

#endif
