/* SPDX-License-Identifier: MIT
 * Any bytes as an image file, CZI or TIFF by their first bytes: opens them with and without recovery and reads two corners of the first images.
 * The entry point is libFuzzer's; replay.c calls it for files. JPEG XR streams go to no helper: that is another program. */
#include "corner.h"

#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_and_read(const char *path, bool recover)
{
    pel_source *s = NULL;
    pel_error err = {0};
    const pel_open_options options = {.recover = recover, .use_mask = recover, .damaged = recover ? NULL : "zero", .helper_dir = "/nowhere"};
    if (!pel_source_open(&s, path, &options, &err)) {
        if (err.code == PEL_OK || err.code == PEL_INTERNAL)
            abort();
        return;
    }
    if (recover)
        pel__source_cache(s, 1 << 20, true);
    for (int32_t i = 0; i < pel_source_image_count(s) && i < 3; i++) {
        if (!corner_is_read_or_refused(s, i, false) || !corner_is_read_or_refused(s, i, true))
            abort();
    }
    pel_source_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    open_and_read(path, false);
    open_and_read(path, true);
    (void)close(fd);
    return 0;
}
