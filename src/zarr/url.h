/* SPDX-License-Identifier: MIT
 * Names of remote stores (http://, https://, s3://) as URLs in the canonical form that signatures are made over. */
#ifndef PEL_ZARR_URL_H
#define PEL_ZARR_URL_H

#include "core/error.h"
#include "pellucid.h"

bool pel__url_is_remote(const char *path);
bool pel__url_is_s3(const char *path);

/* URL of the store's root, without a slash at its end. remote may be NULL. PEL_ARGUMENT for what is no address. */
bool pel__url_root(char *out, size_t size, const char *path, const pel_remote *remote, pel_error *err);

/* URL of a key below the root: everything but letters, digits and -._~/ is percent-encoded. */
bool pel__url_key(char *out, size_t size, const char *root, const char *key, pel_error *err);

/* S3: URL of a request that lists up to `most` keys below the root, in their order. */
bool pel__url_list(char *out, size_t size, const char *path, const pel_remote *remote, int32_t most, pel_error *err);

/* S3: the same for the keys behind one of them, with what lies before the keys below the root. */
bool pel__url_list_after(char *out, size_t size, const char *list, const char *key, pel_error *err);

/* S3: what lies between the bucket's name and the keys below the root, n bytes without slashes at the ends. */
const char *pel__url_prefix(const char *path, size_t *n);

#endif
