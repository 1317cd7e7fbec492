/* SPDX-License-Identifier: MIT
 * Any bytes as the XML of a CZI file whose pixels are right. */
#include "fuzz.h"

#include "../tests/corner.h"
#include "../tests/czi_make.h"

#include "source/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t pixels[12];
    char path[256];
    make_file f;
    pel_source *s = NULL;
    pel_error e = {0};
    (void)fuzz_begin();
    make_begin(&f);
    for (int32_t c = 0; c < 3; c++)
        make_add(&f, &(make_tile){.dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}, {'C', c, 1, 0}, {'S', c / 2, 1, 0}}, .data = pixels, .n = 12});
    f.metadata = make_segment(&f, "ZISRAWMETADATA", 256 + size);
    pel__store_i32(f.data + f.metadata + 32, (int32_t)size);
    memcpy(f.data + f.metadata + 288, data, size);
    pel__store_i64(f.data + 92, (int64_t)f.metadata);
    make_end(&f, NULL);
    fuzz_put("a.czi", f.data, f.n);
    make_free(&f);
    /* Bad XML costs names and sizes, never pixels. */
    if (!pel_source_open(&s, fuzz_path(path, "a.czi"), NULL, &e))
        abort();
    for (int32_t i = 0; i < pel_source_image_count(s); i++)
        if (!corner_is_read_or_refused(s, i, false))
            abort();
    pel_source_destroy(s);
    return 0;
}
