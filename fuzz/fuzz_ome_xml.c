/* SPDX-License-Identifier: MIT
 * Any bytes as the description of a TIFF file of four pages: OME-XML, ImageJ's, or neither. */
#include "fuzz.h"

#include "../tests/corner.h"

#include "source/source.h"

#define PAGES 4
#define ENTRIES 10

static uint8_t *entry(uint8_t *p, uint16_t tag, uint16_t type, uint32_t count, uint32_t value)
{
    pel__store_u16(p, tag);
    pel__store_u16(p + 2, type);
    pel__store_u32(p + 4, count);
    pel__store_u32(p + 8, value);
    return p + 12;
}

/* Header, 64 bytes of pixels, the directories, the description. */
static size_t write_tiff(uint8_t *out, const uint8_t *text, size_t n)
{
    const uint32_t page = 2 + 12 * ENTRIES + 4, first = 8 + 64, description = first + PAGES * page;
    memcpy(out, "II*\0", 4);
    pel__store_u32(out + 4, first);
    for (uint32_t i = 0; i < PAGES; i++) {
        uint8_t *p = out + first + i * page;
        pel__store_u16(p, ENTRIES - (i > 0));
        p += 2;
        p = entry(p, 256, 4, 1, 8);
        p = entry(p, 257, 4, 1, 8);
        p = entry(p, 258, 3, 1, 8);
        p = entry(p, 259, 3, 1, 1);
        p = entry(p, 262, 3, 1, 1);
        if (i == 0)
            p = entry(p, 270, 2, (uint32_t)n, description);
        p = entry(p, 273, 4, 1, 8);
        p = entry(p, 277, 3, 1, 1);
        p = entry(p, 278, 4, 1, 8);
        p = entry(p, 279, 4, 1, 64);
        pel__store_u32(p, i + 1 < PAGES ? first + (i + 1) * page : 0);
    }
    memcpy(out + description, text, n);
    return description + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[256];
    pel_source *s = NULL;
    pel_error e = {0};
    (void)fuzz_begin();
    if (size < 8) /* such a value would lie inside its entry */
        return 0;
    uint8_t *const file = calloc(1, size + 4096);
    if (!file)
        abort();
    const size_t n = write_tiff(file, data, size);
    fuzz_put("a.ome.tif", file, n);
    free(file);
    for (int recover = 0; recover < 2; recover++) {
        if (!pel_source_open(&s, fuzz_path(path, "a.ome.tif"), &(pel_open_options){.recover = recover}, &e)) {
            fuzz_failed(&e);
            continue;
        }
        for (int32_t i = 0; i < pel_source_image_count(s) && i < 3; i++)
            if (!corner_is_read_or_refused(s, i, false) || !corner_is_read_or_refused(s, i, true))
                abort();
        pel_source_destroy(s);
        s = NULL;
    }
    return 0;
}
