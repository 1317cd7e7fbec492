/* SPDX-License-Identifier: MIT
 * See jxr.h. The side of the library: starts the helper, talks to it, ends it. */
#include "codec/jxr.h"

#include "core/error.h"

#include <stdlib.h>

char *pel__jxr_find(const char *folder) { (void)folder; return NULL; }
int64_t pel__jxr_helper_bytes(int64_t decoded) { return decoded * 3; }
bool pel__jxr_decode(pel__jxr **helper, const char *program, const pel__jxr_request *request, const void *stream, void *out,
                     int64_t size, pel_error *err)
{
    return pel__fail(err, PEL_UNSUPPORTED, "JPEG XR");
}
void pel__jxr_destroy(pel__jxr *helper) { (void)helper; }
