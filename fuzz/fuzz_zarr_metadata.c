/* SPDX-License-Identifier: MIT
 * Any bytes as a metadata document of a Zarr store. The first byte picks the document (zarr.json, .zarray, .zattrs);
 * arrays "0" (v3) and "1" (v2) exist beside it, so that OME groups find levels. What opens is read from, too. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static void put(const char *name, const void *data, size_t n)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const f = fopen(path, "wb");
    if (!f)
        abort();
    (void)fwrite(data, 1, n, f);
    (void)fclose(f);
}

static void drop(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)remove(path);
}

static void clean(void)
{
    static const char *const names[] = {"0/zarr.json", "1/.zarray", "0", "1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        drop(names[i]);
    (void)rmdir(folder);
}

static void start(void)
{
    static const char v3[] = "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[1,2,3,9,9],\"data_type\":\"uint16\",\"chunk_grid\":{\"name\":"
                             "\"regular\",\"configuration\":{\"chunk_shape\":[1,1,2,4,4]}},\"chunk_key_encoding\":{\"name\":\"default\"},"
                             "\"fill_value\":7,\"codecs\":[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}]}";
    static const char v2[] = "{\"zarr_format\":2,\"shape\":[1,2,3,9,9],\"chunks\":[1,1,2,4,4],\"dtype\":\"<u2\",\"compressor\":null,"
                             "\"fill_value\":0,\"filters\":null,\"order\":\"C\"}";
    char path[128];
    (void)snprintf(folder, sizeof folder, "/tmp/fuzz-zarr-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%d", folder, i);
        (void)mkdir(path, 0700);
    }
    put("0/zarr.json", v3, sizeof v3 - 1);
    put("1/.zarray", v2, sizeof v2 - 1);
    (void)atexit(clean);
}

static void read_corner(pel_source *s, int32_t number)
{
    static uint8_t room[4 * 4 * 4 * 4 * 4 * 8];
    const pel_image *const image = pel_source_image(s, number);
    pel_region r = {.ndim = PEL_AXES};
    for (int i = 0; i < PEL_AXES; i++) {
        r.shape[i] = pel__min(4, image->shape[i]);
        r.origin[i] = image->shape[i] - r.shape[i];
    }
    const pel_block b = pel__block_dense(&r, image->dtype, room);
    (void)pel_source_read(s, number, &b, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"zarr.json", ".zarray", ".zattrs"};
    if (!folder[0])
        start();
    if (size < 1)
        return 0;
    const char *const name = names[data[0] % 3];
    pel_source *s = NULL;
    pel_error e = {0};
    put(name, data + 1, size - 1);
    if (pel_source_open(&s, folder, NULL, &e)) {
        for (int32_t i = 0; i < pel_source_image_count(s) && i < 4; i++)
            read_corner(s, i);
        pel_source_destroy(s);
    } else if (e.code == 0 || e.code == PEL_INTERNAL) {
        abort();
    }
    drop(name);
    return 0;
}
