/* SPDX-License-Identifier: MIT
 * The front door of the sources: what it says to files that nobody reads, and which requests it turns away. */
#include "check.h"
#include "czi_make.h"

#include "core/block.h"
#include "core/region.h"
#include "pellucid.h"

#include <sys/stat.h>

static char path[] = "/tmp/pellucid-source-XXXXXX";

static void refuse(const char *bytes, size_t n, int32_t code, const char *says)
{
    pel_source *s = NULL;
    pel_error err = {0};
    make_write_bytes(path, bytes, n);
    CHECK_FAILS(pel_source_open(&s, path, NULL, &err), err, code);
    CHECK_TEXT(err.text, says);
    CHECK_TEXT(err.text, path);
    CHECK(s == NULL);
    pel_source_destroy(s);
}

CASE(strangers_are_named)
{
    refuse("", 0, PEL_FORMAT, "the file is empty");
    refuse("\x89PNG\r\n\x1a\n", 8, PEL_UNSUPPORTED, "PNG picture");
    refuse("\x89HDF\r\n\x1a\n", 8, PEL_UNSUPPORTED, "HDF5");
    refuse("hello, world", 12, PEL_FORMAT, "begins with 68 65 6C 6C 6F 2C 20 77");
    refuse("ZISRAWFILE", 10, PEL_DAMAGED, "ZISRAWFILE");
}

CASE(no_such_path)
{
    pel_source *s = NULL;
    pel_error err = {0};
    CHECK_FAILS(pel_source_open(&s, "/nowhere/at-all.czi", NULL, &err), err, PEL_NOT_FOUND);
    CHECK_FAILS(pel_source_open(&s, "", NULL, &err), err, PEL_ARGUMENT);
    CHECK_FAILS(pel_source_open(&s, NULL, NULL, &err), err, PEL_ARGUMENT);
    CHECK_FAILS(pel_source_open(&s, "/dev/null", NULL, &err), err, PEL_FORMAT);
    CHECK(!pel_source_open(&s, "/nowhere", NULL, NULL)); /* an error may be thrown away */
    pel_source_destroy(NULL);
}

CASE(a_folder_that_is_no_store)
{
    char folder[] = "/tmp/pellucid-folder-XXXXXX";
    pel_source *s = NULL;
    pel_error err = {0};
    CHECK(mkdtemp(folder) != NULL);
    CHECK_FAILS(pel_source_open(&s, folder, NULL, &err), err, PEL_FORMAT);
    CHECK_TEXT(err.text, folder);
    (void)rmdir(folder);
}

static pel_source *open_small(void)
{
    static const uint8_t pixels[12];
    make_file f;
    pel_source *s = NULL;
    pel_error err = {0};
    make_begin(&f);
    make_add(&f, &(make_tile){.dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}}, .data = pixels, .n = 12});
    make_end(&f, NULL);
    make_write(&f, path);
    make_free(&f);
    CHECK_OK(pel_source_open(&s, path, NULL, &err), err);
    return s;
}

CASE(options_are_checked)
{
    pel_source *s = open_small();
    pel_error err = {0};
    pel_source_destroy(s);
    s = NULL;
    CHECK_FAILS(pel_source_open(&s, path, &(pel_open_options){.threads = -1}, &err), err, PEL_ARGUMENT);
    CHECK_FAILS(pel_source_open(&s, path, &(pel_open_options){.level = -1}, &err), err, PEL_ARGUMENT);
}

CASE(regions_are_checked)
{
    static const struct {
        int64_t origin[PEL_AXES], shape[PEL_AXES];
        bool ok;
    } regions[] = {
        {{0, 0, 0, 0, 0}, {1, 1, 1, 3, 4}, true},   {{0, 0, 0, 2, 3}, {1, 1, 1, 1, 1}, true},
        {{0, 0, 0, 3, 4}, {1, 1, 1, 0, 0}, true},   {{0, 0, 0, 0, 1}, {1, 1, 1, 3, 4}, false},
        {{0, 0, 0, -1, 0}, {1, 1, 1, 1, 1}, false}, {{1, 0, 0, 0, 0}, {1, 1, 1, 1, 1}, false},
        {{0, 0, 0, 0, 0}, {2, 1, 1, 1, 1}, false},  {{0, 0, 0, 2, 2}, {1, 1, 1, -1, -1}, false},
    };
    pel_source *s = open_small();
    pel_error err = {0};
    uint8_t data[12];
    if (!s)
        return;
    CHECK(strcmp(pel_source_format(s), "czi") == 0);
    CHECK(pel_source_image(s, 1) == NULL);
    CHECK(pel_source_image(s, -1) == NULL);
    for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++) {
        const pel_region r = pel__region(PEL_AXES, regions[i].origin, regions[i].shape);
        const pel_block b = pel__block_dense(&r, PEL_U8, data);
        if (regions[i].ok)
            CHECK_OK(pel_source_read(s, 0, &b, &err), err);
        else
            CHECK_FAILS(pel_source_read(s, 0, &b, &err), err, PEL_ARGUMENT);
    }
    const pel_region one = pel__region(PEL_AXES, regions[1].origin, regions[1].shape);
    pel_block b = pel__block_dense(&one, PEL_U16, data);
    CHECK_FAILS(pel_source_read(s, 0, &b, &err), err, PEL_ARGUMENT);
    CHECK_TEXT(err.text, "uint8");
    b.dtype = PEL_U8;
    CHECK_FAILS(pel_source_read(s, 7, &b, &err), err, PEL_ARGUMENT);
    b.data = NULL;
    CHECK_FAILS(pel_source_read(s, 0, &b, &err), err, PEL_ARGUMENT);
    b.region.ndim = 4;
    CHECK_FAILS(pel_source_read(s, 0, &b, &err), err, PEL_ARGUMENT);
    pel_source_destroy(s);
}

int main(void)
{
    const int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    (void)close(fd);
    RUN(strangers_are_named);
    RUN(no_such_path);
    RUN(a_folder_that_is_no_store);
    RUN(options_are_checked);
    RUN(regions_are_checked);
    (void)unlink(path);
    return CHECK_DONE();
}
