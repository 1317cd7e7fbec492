/* SPDX-License-Identifier: MIT
 * Stands in for tiffwriter.c where pellucid is built without libtiff. */
#include "sink/filewriter.h"

bool pel__tiff_write(const pel__file_job *job, pel_error *err)
{
    return pel__fail(err, PEL_UNSUPPORTED, "%s: this pellucid was built without TIFF", job->path);
}
