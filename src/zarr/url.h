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

#endif
