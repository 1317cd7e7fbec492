/* SPDX-License-Identifier: MIT
 * Any bytes as an image file, CZI or TIFF by their first bytes: opens them with and without recovery and reads two corners of the first images.
 * The entry point is libFuzzer's; replay.c calls it for files. JPEG XR streams go to no helper: that is another program. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_corner(pel_source *s, int32_t image, bool last)
{
    static uint8_t pixels[3 * 3 * 3 * 16 * 16 * 8];
    const pel_image *im = pel_source_image(s, image);
    int64_t shape[PEL_AXES], origin[PEL_AXES];
    pel_error err = {0};
    for (int a = 0; a < PEL_AXES; a++) {
        shape[a] = pel__min(im->shape[a], a < PEL_Y ? 3 : 16);
        origin[a] = last ? im->shape[a] - shape[a] : 0;
    }
    const pel_region r = pel__region(PEL_AXES, origin, shape);
    const pel_block b = pel__block_dense(&r, im->dtype, pixels);
    if (!pel_source_read(s, image, &b, &err) && (err.code == PEL_OK || err.code == PEL_INTERNAL))
        abort(); /* a failure without a reason */
}

static void open_and_read(const char *path, bool recover)
{
    pel_source *s = NULL;
    pel_error err = {0};
    const pel_open_options options = {.recover = recover, .use_mask = recover, .helper_dir = "/nowhere"};
    if (!pel_source_open(&s, path, &options, &err)) {
        if (err.code == PEL_OK || err.code == PEL_INTERNAL)
            abort();
        return;
    }
    if (recover)
        pel__source_cache(s, 1 << 20, true);
    for (int32_t i = 0; i < pel_source_image_count(s) && i < 3; i++) {
        read_corner(s, i, false);
        read_corner(s, i, true);
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
