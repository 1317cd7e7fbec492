/* SPDX-License-Identifier: MIT
 * http.h in a build without libcurl. */
#include "zarr/http.h"

bool pel__http_open(pel__http **out, const pel_remote *remote, bool s3, pel_error *err)
{
    (void)out;
    (void)remote;
    (void)s3;
    return pel__fail(err, PEL_UNSUPPORTED, "this pellucid was built without libcurl: it knows no http, https or s3");
}

void pel__http_close(pel__http *http)
{
    (void)http;
}

bool pel__http_ask(pel__http *http, const pel__request *q, pel__reply *reply, pel_error *err)
{
    (void)http;
    (void)q;
    (void)reply;
    return pel__fail(err, PEL_INTERNAL, "no http");
}
