/* SPDX-License-Identifier: MIT
 * Any texts as the documents of a store of many: groups, consolidated metadata, plates, wells, collections. Parts of the input,
 * apart by zero bytes, are the documents below in their order; two arrays lie where they may be meant. */
#include "fuzz.h"

#include "../tests/corner.h"

static const char *const names[] = {"zarr.json", ".zgroup", ".zattrs", ".zmetadata", "A/1/zarr.json", "A/1/.zattrs", "OME/zarr.json", "OME/.zattrs",
                                    "OME/METADATA.ome.xml", "s/zarr.json", "s/.zattrs"};
#define NAMES (sizeof names / sizeof names[0])

static void make_arrays(void)
{
    static const char v3[] = "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[1,2,3,9,9],\"data_type\":\"uint16\",\"chunk_grid\":{\"name\":"
                             "\"regular\",\"configuration\":{\"chunk_shape\":[1,1,2,4,4]}},\"chunk_key_encoding\":{\"name\":\"default\"},"
                             "\"fill_value\":7,\"codecs\":[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}]}";
    static const char v2[] = "{\"zarr_format\":2,\"shape\":[1,2,3,9,9],\"chunks\":[1,1,2,4,4],\"dtype\":\"<u2\",\"compressor\":null,"
                             "\"fill_value\":0,\"filters\":null,\"order\":\"C\"}";
    static const char *const at[] = {"0", "A/1/0/0", "s/0"};
    static const char image[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"ome\":{\"version\":\"0.5\",\"multiscales\":[{\"axes\":["
                                "{\"name\":\"t\",\"type\":\"time\"},{\"name\":\"c\",\"type\":\"channel\"},{\"name\":\"z\",\"type\":\"space\"},{\"name\":\"y\","
                                "\"type\":\"space\"},{\"name\":\"x\",\"type\":\"space\"}],\"datasets\":[{\"path\":\"0\",\"coordinateTransformations\":"
                                "[{\"type\":\"scale\",\"scale\":[1,1,1,1,1]}]}]}]}}}";
    char name[64];
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s/zarr.json", at[i]);
        fuzz_put(name, v3, sizeof v3 - 1);
    }
    fuzz_put("1/.zarray", v2, sizeof v2 - 1);
    fuzz_put("A/1/0/zarr.json", image, sizeof image - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pel_source *s = NULL;
    pel_error e = {0};
    if (fuzz_begin())
        make_arrays();
    for (size_t i = 0; i < NAMES; i++) {
        char *const text = fuzz_part(&data, &size);
        if (text && text[0])
            fuzz_put(names[i], text, strlen(text));
        free(text);
    }
    if (pel_source_open(&s, fuzz_folder, NULL, &e)) {
        for (int32_t i = 0; i < pel_source_image_count(s) && i < 4; i++)
            if (!corner_is_read_or_refused(s, i, true))
                abort();
        pel_source_destroy(s);
    } else {
        fuzz_failed(&e);
    }
    for (size_t i = 0; i < NAMES; i++)
        fuzz_drop(names[i]);
    return 0;
}
