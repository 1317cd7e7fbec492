/* SPDX-License-Identifier: MIT
 * Any bytes as a chunk or shard. The first byte picks the codec chain; the rest is the stored object. None of the chains
 * has a checksum of the data, so that the decoders themselves are reached. */
#include "core/block.h"
#include "core/region.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHAINS 12
#define LITTLE "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
#define SCALE                                                                                                     \
    "{\"name\":\"numcodecs.fixedscaleoffset\",\"configuration\":{\"dtype\":\"<u2\",\"astype\":\"<f8\",\"scale\":3,\"offset\":-7}}"
#define SHARD(chunk, codecs, index, location)                                                                     \
    "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":" chunk ",\"codecs\":" codecs                    \
    ",\"index_codecs\":[" LITTLE index "],\"index_location\":\"" location "\"}}]"

static const char *const chains[CHAINS] = {
    "[" LITTLE ",\"zstd\"]",
    "[" LITTLE ",\"blosc\"]",
    "[" LITTLE ",\"gzip\"]",
    "[" LITTLE ",\"numcodecs.lz4\"]",
    SHARD("[4,4]", "[" LITTLE ",\"zstd\"]", "", "end"),
    SHARD("[4,4]", "[" LITTLE ",\"blosc\"]", "", "start"),
    SHARD("[4,4]", "[" LITTLE ",\"blosc\",\"crc32c\"]", ",\"crc32c\"", "end"),
    SHARD("[4,4]", SHARD("[2,2]", "[" LITTLE "]", "", "end"), "", "end"),
    "[" LITTLE ",\"numcodecs.bz2\"]",
    "[" LITTLE ",\"numcodecs.lzma\"]",
    "[" LITTLE ",\"numcodecs.shuffle\"]",
    "[" SCALE "," LITTLE ",\"numcodecs.bz2\"]",
};

static char folder[64];
static pel_source *sources[CHAINS];

static void chunk_path(char *path, size_t size, int chain)
{
    (void)snprintf(path, size, "%s/%d/c.0.0", folder, chain);
}

static void clean(void)
{
    char path[128];
    for (int i = 0; i < CHAINS; i++) {
        pel_source_destroy(sources[i]);
        chunk_path(path, sizeof path, i);
        (void)unlink(path);
        (void)snprintf(path, sizeof path, "%s/%d/zarr.json", folder, i);
        (void)unlink(path);
        (void)snprintf(path, sizeof path, "%s/%d", folder, i);
        (void)rmdir(path);
    }
    (void)rmdir(folder);
}

static void start(void)
{
    char path[128];
    (void)snprintf(folder, sizeof folder, "/tmp/fuzz-shard-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    for (int i = 0; i < CHAINS; i++) {
        pel_error e = {0};
        (void)snprintf(path, sizeof path, "%s/%d", folder, i);
        (void)mkdir(path, 0700);
        (void)snprintf(path, sizeof path, "%s/%d/zarr.json", folder, i);
        FILE *const f = fopen(path, "w");
        if (!f)
            abort();
        (void)fprintf(f, "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[8,8],\"data_type\":\"uint16\",\"chunk_grid\":{\"name\":"
                         "\"regular\",\"configuration\":{\"chunk_shape\":[8,8]}},\"chunk_key_encoding\":{\"name\":\"default\","
                         "\"configuration\":{\"separator\":\".\"}},\"fill_value\":7,\"codecs\":%s}", chains[i]);
        (void)fclose(f);
        (void)snprintf(path, sizeof path, "%s/%d", folder, i);
        if (!pel_source_open(&sources[i], path, NULL, &e)) {
            (void)fprintf(stderr, "%s\n", e.text);
            abort();
        }
    }
    (void)atexit(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[128];
    uint16_t voxels[64];
    if (!folder[0])
        start();
    if (size < 1)
        return 0;
    const int chain = data[0] % CHAINS;
    chunk_path(path, sizeof path, chain);
    FILE *const f = fopen(path, "wb");
    if (!f)
        abort();
    (void)fwrite(data + 1, 1, size - 1, f);
    (void)fclose(f);
    for (int64_t from = 0; from < 4; from += 3) { /* whole, and a part that cuts chunks */
        const pel_region r = {.ndim = 5, .origin = {0, 0, 0, from, from}, .shape = {1, 1, 1, 8 - from, 8 - from}};
        const pel_block b = pel__block_dense(&r, PEL_U16, voxels);
        pel_error e = {0};
        if (!pel_source_read(sources[chain], 0, &b, &e) && (e.code == 0 || e.code == PEL_INTERNAL))
            abort();
    }
    return 0;
}
