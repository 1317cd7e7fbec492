/* SPDX-License-Identifier: MIT
 * OME-Zarr written and read back: every format, codec and shape gives the same voxels; damage is found and never read
 * as pixels; a store of another run is refused and left alone. */
#include "check.h"
#include "core/block.h"
#include "core/bytes.h"
#include "core/file.h"
#include "core/region.h"
#include "sink/omezarr.h"
#include "source/source.h"
#include "zarr/json.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

static char folder[64];

/* ---- a store and its truth --------------------------------------------------------------------------------- */

typedef struct fixture {
    char path[128];
    pel_image image;
    const pel_image *images[3];
    pel_channel channels[8];
    pel__layout layouts[3];
    pel__sink_spec spec;
    uint8_t *truth; /* level 0, dense */
} fixture;

static int64_t voxels(const int64_t *shape)
{
    return shape[0] * shape[1] * shape[2] * shape[3] * shape[4];
}

/* Noise, with a box of zeros at the origin that covers whole chunks where chunks are small. */
static void make_truth(fixture *f)
{
    const size_t item = pel_dtype_size(f->spec.dtype);
    const int64_t *const n = f->image.shape, count = voxels(n);
    uint64_t state = 88172645463325252u;
    f->truth = calloc((size_t)count, item);
    for (int64_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        const int64_t x = i % n[4], y = i / n[4] % n[3];
        if (x < 16 && y < 16)
            continue;
        const float v = (float)(state % 100);
        int64_t clipped = 0;
        pel__from_float(f->truth + (size_t)i * item, f->spec.dtype, &v, 1, &clipped);
    }
}

/* NOLINTNEXTLINE(readability-function-size): calls that read like a table's lines */
static void make_fixture(fixture *f, const char *name, int32_t version, pel_dtype dtype, const char *codec,
                         const int64_t shape[5], const int64_t chunk[5], const int64_t shard[5])
{
    pel_error e = {0};
    memset(f, 0, sizeof *f);
    (void)snprintf(f->path, sizeof f->path, "%s/%s", folder, name);
    memcpy(f->image.shape, shape, sizeof f->image.shape);
    f->image.dtype = dtype;
    f->image.channels = f->channels;
    f->image.pixel_size[PEL_X] = 0.1;
    (void)snprintf(f->image.name, sizeof f->image.name, "image of %s", name);
    for (int i = 0; i < 3; i++) {
        f->images[i] = &f->image;
        f->layouts[i].level_count = 1;
        pel__level *const l = &f->layouts[i].level[0];
        for (int k = 0; k < PEL_AXES; k++) {
            l->shape[k] = shape[k];
            l->chunk[k] = chunk[k];
            l->shard[k] = version == 4 ? chunk[k] : shard[k];
            l->factor[k] = 1;
        }
    }
    f->spec = (pel__sink_spec){.path = f->path, .ome_version = version, .dtype = dtype, .image_count = 1, .images = f->images,
                               .layouts = f->layouts, .provenance = "{\"command\": \"denoise\", \"settings\": {\"p\": 0.5}}"};
    CHECK_OK(pel__codec_parse(&f->spec.codec, codec, &e), e);
    make_truth(f);
}

typedef struct records {
    pel__file_record list[2048];
    int32_t count;
} records;

static bool keep_record(void *arg, const pel__file_record *record, pel_error *err)
{
    records *const r = arg;
    if (r && r->count < 2048)
        r->list[r->count++] = *record;
    return true;
}

static bool write_pixels(fixture *f, pel__sink *s, int32_t image, int32_t threads, records *r, pel_error *err)
{
    pel__pool *pool = NULL;
    if (!pel__pool_create(&pool, threads, err))
        return false;
    const pel_region all = pel__region(PEL_AXES, NULL, f->image.shape);
    const pel_block b = pel__block_dense(&all, f->spec.dtype, f->truth);
    void *const scratch = malloc((size_t)pel__sink_omezarr.write_bytes(&f->spec, image, 0, threads));
    const bool ok = pel__sink_omezarr.write(s, image, 0, &b, pool, scratch, keep_record, r, err)
        && pel__sink_omezarr.settle(s, keep_record, r, err);
    free(scratch);
    pel__pool_destroy(pool);
    return ok;
}

static bool write_store(fixture *f, int32_t threads, records *r, pel_error *err)
{
    pel__sink *s = NULL;
    bool ok = pel__sink_omezarr.create(&s, &f->spec, NULL, NULL, err);
    for (int32_t i = 0; ok && i < f->spec.image_count; i++)
        ok = write_pixels(f, s, i, threads, r, err);
    ok = ok && pel__sink_omezarr.finish(s, &f->spec, NULL, NULL, err);
    pel__sink_omezarr.destroy(s);
    return ok;
}

/* Reads a box and compares with the truth: 0 equal, 1 differs, -1 error. */
static int compare_box(fixture *f, pel_source *s, int32_t image, const pel_region *box, pel_error *err)
{
    const size_t item = pel_dtype_size(f->spec.dtype);
    const pel_region all = pel__region(PEL_AXES, NULL, f->image.shape);
    const size_t bytes = (size_t)pel__region_voxels(box) * item;
    uint8_t *const got = malloc(bytes + 1), *const want = malloc(bytes + 1);
    memset(got, 0xA5, bytes);
    const pel_block dst = pel__block_dense(box, f->spec.dtype, got), copy = pel__block_dense(box, f->spec.dtype, want);
    const pel_block truth = pel__block_dense(&all, f->spec.dtype, f->truth);
    pel__block_copy(&copy, &truth);
    const bool ok = pel_source_read(s, image, &dst, err);
    const int answer = !ok ? -1 : memcmp(got, want, bytes) != 0;
    free(got);
    free(want);
    return answer;
}

static int compare_all(fixture *f, pel_error *err)
{
    pel_source *s = NULL;
    int answer = -1;
    if (!pel_source_open(&s, f->path, NULL, err))
        return -1;
    const pel_region all = pel__region(PEL_AXES, NULL, f->image.shape);
    answer = compare_box(f, s, pel_source_image_count(s) - 1, &all, err);
    pel_source_destroy(s);
    return answer;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void drop(fixture *f)
{
    free(f->truth);
    f->truth = NULL;
    (void)nftw(f->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- cases ------------------------------------------------------------------------------------------------- */

CASE(codec_words)
{
    static const char *const good[][2] = {
        {"blosc", "blosc:zstd:1:shuffle"}, {"blosc:lz4", "blosc:lz4:5:bitshuffle"}, {"blosc:zstd", "blosc:zstd:1:shuffle"}, {"blosc:lz4:9:noshuffle", "blosc:lz4:9:noshuffle"},
        {"zstd", "zstd:3"}, {"zstd:-5", "zstd:-5"}, {"gzip:9", "gzip:9"}, {"none", "none"}, {"zstd:3:nocrc32c", "zstd:3:nocrc32c"},
    };
    static const char *const bad[] = {"", "blosc:", "blosc:lz5", "blosc:lz4:10", "blosc:lz4:5:bits", "blosc:lz4:5:shuffle:1", "zstd:",
                                      "zstd:23", "gzip:10", "gzip:1x", "none:1", "lzma", "a:b:c:d:e:f:g:h:i"};
    pel_error e = {0};
    pel__codec c;
    char text[64];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_OK(pel__codec_parse(&c, good[i][0], &e), e);
        pel__codec_text(&c, text, sizeof text);
        CHECK_TEXT(text, good[i][1]);
        CHECK_INT(strlen(text), strlen(good[i][1]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(pel__codec_parse(&c, bad[i], &e), e, PEL_ARGUMENT);
}

static const char *const codecs[] = {"blosc", "blosc:zstd:1:shuffle", "zstd:1", "gzip:1", "none", "none:nocrc32c", "zstd:3:nocrc32c"};

CASE(round_trips)
{
    static const int64_t shapes[][3][5] = {
        {{2, 2, 5, 50, 67}, {1, 1, 2, 16, 16}, {1, 1, 4, 32, 32}}, /* ragged in every way */
        {{1, 1, 1, 33, 65}, {1, 1, 1, 16, 16}, {1, 1, 1, 32, 32}}, /* last blocks of one voxel */
        {{1, 3, 1, 16, 16}, {1, 1, 1, 16, 16}, {1, 1, 1, 16, 16}}, /* nothing but zeros */
        {{3, 1, 7, 17, 19}, {2, 1, 3, 17, 19}, {2, 1, 9, 17, 19}}, /* chunks over whole planes */
        {{1, 1, 1, 1, 1}, {1, 1, 8, 64, 64}, {1, 1, 16, 64, 64}},  /* an image smaller than anything */
    };
    pel_error e = {0};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
            for (int32_t version = 4; version <= 5; version++) {
                fixture f;
                make_fixture(&f, "round.ome.zarr", version, PEL_U16, codecs[i], shapes[k][0], shapes[k][1], shapes[k][2]);
                CHECK_OK(write_store(&f, 3, NULL, &e), e);
                CHECK_INT(compare_all(&f, &e), 0);
                drop(&f);
            }
}

CASE(every_dtype)
{
    static const int64_t shape[5] = {1, 2, 3, 40, 41}, chunk[5] = {1, 1, 2, 16, 16}, shard[5] = {1, 1, 2, 32, 48};
    pel_error e = {0};
    for (int dtype = PEL_U8; dtype <= PEL_F64; dtype++)
        for (int32_t version = 4; version <= 5; version++) {
            fixture f;
            make_fixture(&f, "dtype.ome.zarr", version, (pel_dtype)dtype, "blosc", shape, chunk, shard);
            f.spec.codec = pel__codec_default();
            CHECK_OK(write_store(&f, 2, NULL, &e), e);
            CHECK_INT(compare_all(&f, &e), 0);
            pel_source *s = NULL;
            CHECK_OK(pel_source_open(&s, f.path, NULL, &e), e);
            CHECK_INT(s && pel_source_image(s, 0)->dtype == (pel_dtype)dtype, 1);
            pel_source_destroy(s);
            drop(&f);
        }
}

CASE(boxes)
{
    static const int64_t shape[5] = {2, 2, 9, 50, 67}, chunk[5] = {1, 1, 2, 16, 16}, shard[5] = {1, 1, 4, 32, 32};
    pel_error e = {0};
    for (int32_t version = 4; version <= 5; version++) {
        fixture f;
        pel_source *s = NULL;
        uint32_t state = 12345;
        make_fixture(&f, "boxes.ome.zarr", version, PEL_I32, "blosc", shape, chunk, shard);
        CHECK_OK(write_store(&f, 2, NULL, &e), e);
        CHECK_OK(pel_source_open(&s, f.path, NULL, &e), e);
        for (int i = 0; s && i < 200; i++) {
            pel_region box = {.ndim = 5};
            for (int k = 0; k < 5; k++) {
                state = state * 1664525u + 1013904223u;
                box.origin[k] = (state >> 8) % shape[k];
                state = state * 1664525u + 1013904223u;
                box.shape[k] = 1 + (state >> 8) % (shape[k] - box.origin[k]);
            }
            if (i % 10 == 0) /* whole chunks: the direct way */
                for (int k = 0; k < 5; k++) {
                    box.origin[k] = box.origin[k] / chunk[k] * chunk[k];
                    box.shape[k] = pel__min(chunk[k], shape[k] - box.origin[k]);
                }
            CHECK_INT(compare_box(&f, s, 0, &box, &e), 0);
        }
        pel_source_destroy(s);
        drop(&f);
    }
}

typedef struct reader {
    fixture *f;
    pel_source *s;
    uint32_t seed;
    int wrong;
} reader;

static void *read_boxes(void *arg)
{
    reader *const r = arg;
    for (int i = 0; i < 40; i++) {
        pel_region box = {.ndim = 5};
        pel_error e = {0};
        for (int k = 0; k < 5; k++) {
            r->seed = r->seed * 1664525u + 1013904223u;
            box.origin[k] = (r->seed >> 8) % r->f->image.shape[k];
            box.shape[k] = r->f->image.shape[k] - box.origin[k];
        }
        r->wrong += compare_box(r->f, r->s, 0, &box, &e) != 0;
    }
    return NULL;
}

CASE(many_threads_read_at_once)
{
    static const int64_t shape[5] = {1, 2, 5, 50, 67}, chunk[5] = {1, 1, 2, 16, 16}, shard[5] = {1, 1, 4, 32, 32};
    pel_error e = {0};
    fixture f;
    pel_source *s = NULL;
    pthread_t crew[4];
    reader readers[4];
    make_fixture(&f, "crew.ome.zarr", 5, PEL_U16, "blosc:zstd:1:shuffle", shape, chunk, shard);
    CHECK_OK(write_store(&f, 4, NULL, &e), e);
    CHECK_OK(pel_source_open(&s, f.path, NULL, &e), e);
    for (uint32_t i = 0; s && i < 4; i++) {
        readers[i] = (reader){.f = &f, .s = s, .seed = i};
        CHECK(pthread_create(&crew[i], NULL, read_boxes, &readers[i]) == 0);
    }
    for (int i = 0; s && i < 4; i++) {
        (void)pthread_join(crew[i], NULL);
        CHECK_INT(readers[i].wrong, 0);
    }
    pel_source_destroy(s);
    drop(&f);
}

/* By the library's one call over name, NUL and contents. */
static bool is_digest_of(const pel__digest *d, const char *name, const char *data, size_t n)
{
    const size_t k = strlen(name) + 1;
    char *const all = malloc(k + n);
    memcpy(all, name, k);
    memcpy(all + k, data, n);
    const XXH128_hash_t h = XXH3_128bits(all, k + n);
    free(all);
    char want[40], text[PEL__DIGEST_TEXT];
    (void)snprintf(want, sizeof want, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    pel__digest back;
    return strcmp(pel__digest_text(d, text), want) == 0 && pel__digest_parse(&back, want) && pel__digest_equal(&back, d);
}

CASE(threads_do_not_matter)
{
    static const int64_t shape[5] = {1, 2, 9, 70, 67}, chunk[5] = {1, 1, 2, 16, 16}, shard[5] = {1, 1, 4, 64, 64};
    static records one, many;
    pel_error e = {0};
    for (int32_t version = 4; version <= 5; version++) {
        fixture f;
        make_fixture(&f, "threads.ome.zarr", version, PEL_U16, "blosc:zstd:1:shuffle", shape, chunk, shard);
        one.count = many.count = 0;
        CHECK_OK(write_store(&f, 1, &one, &e), e);
        CHECK_OK(write_store(&f, 7, &many, &e), e);
        const pel__part whole = {.region = pel__region(PEL_AXES, NULL, shape)};
        CHECK_INT(one.count, pel__sink_omezarr.file_count(&f.spec, &whole));
        CHECK_INT(one.count, many.count);
        for (int32_t i = 0; i < one.count; i++) {
            char name[256], path[512];
            char *text = NULL;
            size_t size = 0;
            pel__sink_omezarr.file_name(&f.spec, &whole, i, name, sizeof name);
            CHECK(strcmp(name, one.list[i].path) == 0);
            CHECK(strcmp(name, many.list[i].path) == 0);
            CHECK_INT(one.list[i].bytes, many.list[i].bytes);
            CHECK(pel__digest_equal(&one.list[i].digest, &many.list[i].digest));
            (void)snprintf(path, sizeof path, "%s/%s", f.path, name);
            const bool there = pel__file_slurp(&text, &size, path, 1 << 30, NULL);
            CHECK_INT(there ? (int64_t)size : -1, one.list[i].bytes);
            if (there)
                CHECK(is_digest_of(&one.list[i].digest, name, text, size));
            free(text);
        }
        drop(&f);
    }
}

CASE(zeros_make_no_file)
{
    static const int64_t shape[5] = {1, 1, 2, 64, 64}, chunk[5] = {1, 1, 1, 16, 16}, shard[5] = {1, 1, 2, 32, 32};
    static records r;
    pel_error e = {0};
    for (int32_t version = 4; version <= 5; version++) {
        fixture f;
        pel__sink *s = NULL;
        make_fixture(&f, "zeros.ome.zarr", version, PEL_U16, "blosc", shape, chunk, shard);
        CHECK_OK(write_store(&f, 2, NULL, &e), e);
        memset(f.truth, 0, (size_t)voxels(shape) * 2); /* the same run again, now all zero: old files must go */
        r.count = 0;
        CHECK_OK(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e);
        CHECK_OK(s && write_pixels(&f, s, 0, 2, &r, &e), e);
        pel__sink_omezarr.destroy(s);
        CHECK_INT(r.count, version == 5 ? 4 : 32);
        for (int32_t i = 0; i < r.count; i++) {
            char path[512];
            CHECK_INT(r.list[i].bytes, -1);
            (void)snprintf(path, sizeof path, "%s/%s", f.path, r.list[i].path);
            CHECK(access(path, F_OK) != 0);
        }
        CHECK_INT(compare_all(&f, &e), 0);
        drop(&f);
    }
}

CASE(collections)
{
    static const int64_t shape[5] = {1, 2, 2, 20, 30}, chunk[5] = {1, 1, 2, 16, 16}, shard[5] = {1, 1, 2, 32, 32};
    pel_error e = {0};
    for (int32_t version = 4; version <= 5; version++) {
        fixture f;
        pel_source *s = NULL;
        make_fixture(&f, "collection.ome.zarr", version, PEL_U16, "blosc", shape, chunk, shard);
        f.spec.image_count = 3;
        CHECK_OK(write_store(&f, 2, NULL, &e), e);
        CHECK_INT(compare_all(&f, &e), 0);
        CHECK_OK(pel_source_open(&s, f.path, NULL, &e), e);
        CHECK_INT(s ? pel_source_image_count(s) : 0, 3);
        pel_source_destroy(s);
        drop(&f);
    }
}

/* ---- other runs' stores ------------------------------------------------------------------------------------ */

static uint64_t snapshot_sum;

static int add_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    snapshot_sum = snapshot_sum * 31 + pel__crc32c(0, path, strlen(path)) + (uint64_t)st->st_size + (uint64_t)st->st_mtim.tv_nsec;
    return 0;
}

/* Changes when any file below changes, comes or goes. */
static uint64_t snapshot(const char *path)
{
    snapshot_sum = 0;
    (void)nftw(path, add_entry, 16, FTW_PHYS);
    return snapshot_sum;
}

static void check_refused(fixture *f, const char *text)
{
    pel_error e = {0};
    pel__sink *s = NULL;
    const uint64_t before = snapshot(f->path);
    CHECK_FAILS(pel__sink_omezarr.create(&s, &f->spec, NULL, NULL, &e), e, PEL_REFUSED);
    CHECK_TEXT(e.text, text);
    CHECK_INT(snapshot(f->path), before);
}

static bool put_file(const char *path, const char *text)
{
    const pel__piece piece = {text, strlen(text)};
    return pel__file_replace(path, &piece, 1, NULL);
}

CASE(same_run_is_taken_over_others_refused)
{
    static const int64_t shape[5] = {1, 1, 2, 64, 64}, chunk[5] = {1, 1, 1, 16, 16}, shard[5] = {1, 1, 2, 32, 32};
    pel_error e = {0};
    for (int32_t version = 4; version <= 5; version++) {
        fixture f;
        pel__sink *s = NULL;
        char path[512];
        make_fixture(&f, "refuse.ome.zarr", version, PEL_U16, "blosc", shape, chunk, shard);
        CHECK_OK(write_store(&f, 2, NULL, &e), e);
        const uint64_t before = snapshot(f.path);
        CHECK_OK(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e);
        pel__sink_omezarr.destroy(s);
        CHECK_INT(snapshot(f.path), before);
        f.spec.provenance = "{\"command\": \"denoise\", \"settings\": {\"p\": 0.25}}";
        check_refused(&f, "settings/p");
        f.spec.provenance = "{\"command\": \"denoise\", \"settings\": {\"p\": 0.5}}";
        f.spec.codec.level = 3;
        check_refused(&f, "clevel");
        f.spec.codec.level = 5;
        (void)snprintf(path, sizeof path, "%s/0/%s", f.path, version == 5 ? "zarr.json" : ".zarray");
        CHECK(unlink(path) == 0); /* a start that was killed half way */
        CHECK_OK(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e);
        pel__sink_omezarr.destroy(s);
        CHECK_INT(compare_all(&f, &e), 0);
        CHECK(put_file(path, "{}"));
        check_refused(&f, "0/");
        CHECK(put_file(path, "no json"));
        check_refused(&f, "other content");
        drop(&f);
        make_fixture(&f, "refuse.ome.zarr", version, PEL_U16, "blosc", shape, chunk, shard);
        CHECK(mkdir(f.path, 0777) == 0);
        (void)snprintf(path, sizeof path, "%s/thesis.txt", f.path);
        CHECK(put_file(path, "my only copy"));
        check_refused(&f, "thesis.txt");
        CHECK(unlink(path) == 0);
        CHECK_OK(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e); /* an empty folder is fine */
        pel__sink_omezarr.destroy(s);
        drop(&f);
    }
}

CASE(complete_only_after_finish_and_swept)
{
    static const int64_t shape[5] = {1, 1, 2, 64, 64}, chunk[5] = {1, 1, 1, 16, 16}, shard[5] = {1, 1, 2, 32, 32};
    pel_error e = {0};
    fixture f;
    pel__sink *s = NULL;
    pel_source *source = NULL;
    char path[512];
    make_fixture(&f, "finish.ome.zarr", 5, PEL_U16, "blosc", shape, chunk, shard);
    CHECK_OK(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e);
    CHECK_OK(write_pixels(&f, s, 0, 2, NULL, &e), e);
    CHECK_OK(pel_source_open(&source, f.path, NULL, &e), e);
    CHECK_INT(source ? pel_source_image(source, 0)->note_count : 0, 1);
    pel_source_destroy(source);
    (void)snprintf(path, sizeof path, "%s/0/c/0/0/0/0/.tmp-host-1-1-0", f.path);
    CHECK(put_file(path, "left by a kill"));
    CHECK_OK(pel__sink_omezarr.finish(s, &f.spec, NULL, NULL, &e), e);
    CHECK(access(path, F_OK) != 0);
    pel__sink_omezarr.destroy(s);
    source = NULL;
    CHECK_OK(pel_source_open(&source, f.path, NULL, &e), e);
    CHECK_INT(source ? pel_source_image(source, 0)->note_count : 1, 0);
    pel_source_destroy(source);
    drop(&f);
}

CASE(wrong_blocks_and_layouts)
{
    static const int64_t shape[5] = {1, 1, 2, 64, 64}, chunk[5] = {1, 1, 1, 16, 16}, shard[5] = {1, 1, 2, 32, 32};
    pel_error e = {0};
    fixture f;
    pel__sink *s = NULL;
    pel__pool *pool = NULL;
    make_fixture(&f, "wrong.ome.zarr", 5, PEL_U16, "blosc", shape, chunk, shard);
    CHECK_OK(pel__pool_create(&pool, 1, &e), e);
    CHECK_OK(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e);
    pel_region part = pel__region(5, (const int64_t[]){0, 0, 0, 16, 0}, (const int64_t[]){1, 1, 2, 32, 64});
    pel_block b = pel__block_dense(&part, PEL_U16, f.truth);
    CHECK_FAILS(pel__sink_omezarr.write(s, 0, 0, &b, pool, NULL, keep_record, NULL, &e), e, PEL_ARGUMENT);
    CHECK_TEXT(e.text, "whole shards");
    pel__sink_omezarr.destroy(s);
    pel__pool_destroy(pool);
    f.layouts[0].level[0].shard[4] = 40;
    CHECK_FAILS(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e, PEL_ARGUMENT);
    f.layouts[0].level[0].shard[4] = 32;
    f.spec.provenance = "[1]";
    CHECK_FAILS(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e, PEL_ARGUMENT);
    f.spec.provenance = "{";
    CHECK_FAILS(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e, PEL_FORMAT);
    f.spec.provenance = NULL;
    f.spec.ome_version = 4;
    CHECK_FAILS(pel__sink_omezarr.create(&s, &f.spec, NULL, NULL, &e), e, PEL_ARGUMENT);
    drop(&f);
}

/* ---- damage ------------------------------------------------------------------------------------------------ */

static void flip(const char *path, int64_t bit)
{
    uint8_t byte = 0;
    const int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pread(fd, &byte, 1, bit / 8) == 1);
    byte = (uint8_t)(byte ^ 1 << bit % 8);
    CHECK(pwrite(fd, &byte, 1, bit / 8) == 1);
    (void)close(fd);
}

CASE(every_flipped_bit_is_found)
{
    static const int64_t shape[5] = {1, 1, 2, 64, 64}, chunk[5] = {1, 1, 1, 16, 16}, shard[5] = {1, 1, 2, 32, 32};
    pel_error e = {0};
    for (size_t i = 0; i < 5; i++) { /* the codecs with crc32c */
        fixture f;
        pel_source *s = NULL;
        char path[512];
        struct stat st;
        const pel_region box = pel__region(5, (const int64_t[]){0, 0, 0, 32, 32}, (const int64_t[]){1, 1, 2, 32, 32});
        make_fixture(&f, "flip.ome.zarr", 5, PEL_U16, codecs[i], shape, chunk, shard);
        CHECK_OK(write_store(&f, 2, NULL, &e), e);
        CHECK_OK(pel_source_open(&s, f.path, NULL, &e), e);
        (void)snprintf(path, sizeof path, "%s/0/c/0/0/0/1/1", f.path);
        CHECK(stat(path, &st) == 0);
        CHECK_INT(compare_box(&f, s, 0, &box, &e), 0);
        int64_t found = 0, tried = 0;
        for (int64_t bit = 0; bit < 8 * st.st_size; bit += 7) {
            flip(path, bit);
            e.code = 0;
            found += compare_box(&f, s, 0, &box, &e) == -1 && e.code == PEL_DAMAGED;
            tried++;
            flip(path, bit);
        }
        CHECK_INT(found, tried);
        CHECK_TEXT(e.text, "0/c/0/0/0/1/1");
        CHECK_INT(compare_box(&f, s, 0, &box, &e), 0);
        pel_source_destroy(s);
        drop(&f);
    }
}

CASE(every_torn_shard_is_found)
{
    static const int64_t shape[5] = {1, 1, 2, 64, 64}, chunk[5] = {1, 1, 1, 16, 16}, shard[5] = {1, 1, 2, 32, 32};
    pel_error e = {0};
    fixture f;
    pel_source *s = NULL;
    char path[512];
    char *whole = NULL;
    size_t size = 0;
    const pel_region box = pel__region(5, (const int64_t[]){0, 0, 0, 32, 32}, (const int64_t[]){1, 1, 2, 32, 32});
    make_fixture(&f, "torn.ome.zarr", 5, PEL_U16, "blosc", shape, chunk, shard);
    CHECK_OK(write_store(&f, 2, NULL, &e), e);
    CHECK_OK(pel_source_open(&s, f.path, NULL, &e), e);
    (void)snprintf(path, sizeof path, "%s/0/c/0/0/0/1/1", f.path);
    CHECK_OK(pel__file_slurp(&whole, &size, path, 1 << 20, &e), e);
    for (int64_t n = 0; n < (int64_t)size; n += 13) {
        CHECK(truncate(path, n) == 0);
        CHECK_INT(compare_box(&f, s, 0, &box, &e), -1);
        CHECK_INT(e.code, PEL_DAMAGED);
        const pel__piece piece = {whole, size};
        CHECK_OK(pel__file_replace(path, &piece, 1, &e), e);
    }
    CHECK(unlink(path) == 0 && mkdir(path, 0777) == 0); /* a folder in a chunk's place is no absence */
    CHECK_INT(compare_box(&f, s, 0, &box, &e), -1);
    CHECK(rmdir(path) == 0 && mkfifo(path, 0666) == 0); /* nor is a pipe, and it must not make us wait */
    CHECK_INT(compare_box(&f, s, 0, &box, &e), -1);
    CHECK(unlink(path) == 0); /* absence is zeros */
    CHECK_INT(compare_box(&f, s, 0, &box, &e), 1);
    free(whole);
    pel_source_destroy(s);
    drop(&f);
}

static int temporaries;

static int count_temporary(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    temporaries += strncmp(path + ftw->base, ".tmp-", 5) == 0;
    return 0;
}

/* A full disk, played by a limit on the size of files: in a child, because the limit stays. */
static bool write_with_limit(fixture *f)
{
    const pid_t child = fork();
    if (child == 0) {
        pel_error e = {0};
        const struct rlimit limit = {3000, 3000};
        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        const bool ok = write_store(f, 2, NULL, &e);
        _exit(!ok && e.code == PEL_IO && strstr(e.text, "/0/") ? 0 : 1);
    }
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* An absent chunk is zeros; an absent store, gone after it was opened, is an error. */
CASE(a_store_that_goes_away)
{
    const int64_t shape[5] = {1, 1, 1, 40, 40}, chunk[5] = {1, 1, 1, 8, 8}, shard[5] = {1, 1, 1, 8, 8};
    for (int32_t version = 4; version <= 5; version++) {
        fixture f;
        pel_error e = {0};
        pel_source *s = NULL;
        char aside[160];
        make_fixture(&f, "leaves", version, PEL_U16, "none", shape, chunk, shard);
        records r = {0};
        CHECK_OK(write_store(&f, 1, &r, &e), e);
        CHECK_OK(pel_source_open(&s, f.path, NULL, &e), e);
        const pel_region all = pel__region(PEL_AXES, NULL, shape);
        (void)snprintf(aside, sizeof aside, "%s-aside", f.path);
        CHECK(compare_box(&f, s, 0, &all, &e) == 0);
        CHECK(rename(f.path, aside) == 0);
        CHECK(compare_box(&f, s, 0, &all, &e) == -1);
        CHECK(strstr(e.text, "could be read before") != NULL);
        CHECK(rename(aside, f.path) == 0);
        CHECK(compare_box(&f, s, 0, &all, &e) == 0);
        pel_source_destroy(s);
        drop(&f);
    }
}

CASE(full_disk_leaves_old_files_whole)
{
    static const int64_t shape[5] = {1, 1, 2, 64, 64}, chunk[5] = {1, 1, 1, 64, 64}, shard[5] = {1, 1, 2, 64, 64};
    pel_error e = {0};
    for (int32_t version = 4; version <= 5; version++) {
        fixture f;
        make_fixture(&f, "full.ome.zarr", version, PEL_U16, "none", shape, chunk, shard);
        CHECK_OK(write_store(&f, 2, NULL, &e), e);
        CHECK(write_with_limit(&f));
        temporaries = 0;
        (void)nftw(f.path, count_temporary, 16, FTW_PHYS);
        CHECK_INT(temporaries, 0);
        CHECK_INT(compare_all(&f, &e), 0);
        drop(&f);
    }
}

/* ---- hostile metadata -------------------------------------------------------------------------------------- */

#define V3(shape, type, grid, keys, fill, codecs, more)                                                           \
    "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":" shape ",\"data_type\":" type                            \
    ",\"chunk_grid\":{\"name\":\"regular\",\"configuration\":{\"chunk_shape\":" grid "}},\"chunk_key_encoding\":" keys \
    ",\"fill_value\":" fill ",\"codecs\":" codecs more "}"
#define U16 "\"uint16\""
#define KEYS "{\"name\":\"default\"}"
#define LITTLE "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
#define BYTES "[" LITTLE "]"
#define SHARD(chunk, index, location)                                                                             \
    "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":" chunk ",\"codecs\":" BYTES ",\"index_codecs\":" index \
    ",\"index_location\":" location "}}]"

static void check_metadata(const char *name, const char *text, int32_t code, const char *says)
{
    char path[128], file[256];
    pel_error e = {0};
    pel_source *s = NULL;
    (void)snprintf(path, sizeof path, "%s/meta.zarr", folder);
    (void)snprintf(file, sizeof file, "%s/%s", path, name);
    (void)mkdir(path, 0777);
    CHECK(put_file(file, text));
    const bool ok = pel_source_open(&s, path, NULL, &e);
    if (ok != (code == 0) || (!ok && e.code != code) || (!ok && !strstr(e.text, says))) {
        printf("  %s\n  gave code %d \"%s\", expected %d \"%s\"\n", text, e.code, e.text, code, says);
        check_failures++;
    }
    if (ok)
        pel_source_destroy(s);
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

CASE(hostile_metadata_v3)
{
    static const struct {
        const char *text;
        int32_t code;
        const char *says;
    } cases[] = {
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", BYTES, ""), 0, ""},
        {V3("[8,8]", U16, "[4,4]", "\"default\"", "0", "[" LITTLE ",\"crc32c\"]", ",\"dimension_names\":null"), 0, ""},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", BYTES, ",\"consolidated_metadata\":null,\"storage_transformers\":[]"), 0, ""},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", BYTES, ",\"new\":{\"must_understand\":false}"), 0, ""},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", SHARD("[2,2]", "[" LITTLE "]", "\"start\""), ""), 0, ""},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", BYTES, ",\"new\":1"), PEL_UNSUPPORTED, "\"new\""},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", BYTES, ",\"storage_transformers\":[{\"name\":\"x\"}]"), PEL_UNSUPPORTED, "storage_transformers"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", BYTES, "") "x", PEL_FORMAT, "behind the end"},
        {V3("[8,8]", U16, "[4,0]", KEYS, "0", BYTES, ""), PEL_FORMAT, "chunk shape"},
        {V3("[8,8]", U16, "[4]", KEYS, "0", BYTES, ""), PEL_FORMAT, "chunk shape"},
        {V3("[8,-8]", U16, "[4,4]", KEYS, "0", BYTES, ""), PEL_FORMAT, "shape"},
        {V3("[8,8.5]", U16, "[4,4]", KEYS, "0", BYTES, ""), PEL_FORMAT, "shape"},
        {V3("[4611686018427387904,8]", U16, "[4,4]", KEYS, "0", BYTES, ""), PEL_FORMAT, "overflow"},
        {V3("[99999999999999999999999,1]", U16, "[4,4]", KEYS, "0", BYTES, ""), PEL_FORMAT, "overflow"},
        {V3("[8,8]", U16, "[1000000,1000000]", KEYS, "0", BYTES, ""), PEL_UNSUPPORTED, "2 GiB"},
        {V3("[8,8]", U16, "[9000000000000000,4]", KEYS, "0", BYTES, ""), PEL_UNSUPPORTED, "chunk shape"},
        {V3("[0,8]", U16, "[4,4]", KEYS, "0", BYTES, ""), PEL_FORMAT, "length 0"},
        {V3("[1,1,1,1,1,1,8,8,8]", U16, "[1,1,1,1,1,1,8,8,8]", KEYS, "0", BYTES, ""), PEL_UNSUPPORTED, "axes"},
        {V3("[8,8]", "\"complex64\"", "[4,4]", KEYS, "0", BYTES, ""), PEL_UNSUPPORTED, "complex64"},
        {V3("[8,8]", "{\"name\":\"numpy.datetime64\"}", "[4,4]", KEYS, "0", BYTES, ""), PEL_UNSUPPORTED, "numpy.datetime64"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "65536", BYTES, ""), PEL_FORMAT, "fill_value"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "-1", BYTES, ""), PEL_FORMAT, "fill_value"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "null", BYTES, ""), PEL_FORMAT, "fill_value"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "\"NaN\"", BYTES, ""), PEL_FORMAT, "fill_value"},
        {V3("[8,8]", U16, "[4,4]", "{\"name\":\"new\"}", "0", BYTES, ""), PEL_UNSUPPORTED, "chunk_key_encoding"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", "[]", ""), PEL_FORMAT, "none of them"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", "[\"bytes\"]", ""), PEL_FORMAT, "endian"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", "[" LITTLE ",\"pcodec\"]", ""), PEL_UNSUPPORTED, "pcodec"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", "[\"vlen-utf8\"]", ""), PEL_UNSUPPORTED, "vlen-utf8"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", "[{\"name\":\"transpose\",\"configuration\":{\"order\":[0,0]}}," LITTLE "]", ""), PEL_FORMAT, "permutation"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", "[{\"name\":\"transpose\",\"configuration\":{\"order\":[0,2]}}," LITTLE "]", ""), PEL_FORMAT, "permutation"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", SHARD("[3,2]", BYTES, "\"end\""), ""), PEL_FORMAT, "divide"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", SHARD("[2,2]", "[" LITTLE ",\"gzip\"]", "\"end\""), ""), PEL_UNSUPPORTED, "gzip"},
        {V3("[8,8]", U16, "[4,4]", KEYS, "0", SHARD("[2,2]", "[" LITTLE "]", "\"middle\""), ""), PEL_FORMAT, "index_location"},
        {V3("[8,8]", U16, "[1048576,1048576]", KEYS, "0", SHARD("[1,1]", "[" LITTLE "]", "\"end\""), ""), PEL_UNSUPPORTED, "inner chunks"},
        {"{\"zarr_format\":3,\"node_type\":\"thing\"}", PEL_FORMAT, "node_type"},
        {"{\"zarr_format\":4,\"node_type\":\"array\"}", PEL_UNSUPPORTED, "zarr_format"},
        {"{\"zarr_format\":3,\"node_type\":\"array\"}", PEL_FORMAT, "data_type"},
        {"{\"zarr_format\":3,\"node_type\":\"group\"}", PEL_UNSUPPORTED, "multiscales"},
        {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"ome\":{\"version\":\"0.9\"}}}", PEL_UNSUPPORTED, "0.9"},
        {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"ome\":{\"version\":\"0.5\",\"multiscales\":[{\"datasets\":[{\"path\":\"../x\"}]}]}}}", PEL_FORMAT, "../x"},
        {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"ome\":{\"version\":\"0.5\",\"multiscales\":[{\"datasets\":[{\"path\":\"0\"}]}]}}}", PEL_FORMAT, "no array"},
        {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"ome\":{\"version\":\"0.5\",\"multiscales\":[]}}}", PEL_FORMAT, "multiscales"},
        {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"ome\":{\"version\":\"0.5\",\"plate\":{}}}}", PEL_FORMAT, "plate"},
        {"", PEL_FORMAT, "JSON"},
        {"[]", PEL_FORMAT, "object"},
        {"{\"a\":", PEL_FORMAT, "ends too early"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_metadata("zarr.json", cases[i].text, cases[i].code, cases[i].says);
    char deep[1000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    check_metadata("zarr.json", deep, PEL_FORMAT, "JSON");
}

/* Index entries that point nowhere; no checksum, so that nothing else finds them. */
CASE(hostile_index)
{
    static const uint64_t entries[][2] = {
        {1u << 20, 8}, {UINT64_MAX - 1, 8}, {0, UINT64_MAX - 1}, {INT64_MAX, 8}, {UINT64_MAX, 8}, {8, UINT64_MAX}, {60, 9}, {0, 7}, {0, 9}, {0, 0},
    };
    char path[128], file[256];
    pel_error e = {0};
    pel_source *s = NULL;
    uint16_t voxels_read[16];
    (void)snprintf(path, sizeof path, "%s/index.zarr", folder);
    (void)mkdir(path, 0777);
    (void)snprintf(file, sizeof file, "%s/zarr.json", path);
    CHECK(put_file(file, V3("[4,4]", U16, "[4,4]", "{\"name\":\"default\",\"configuration\":{\"separator\":\".\"}}", "7",
                            SHARD("[2,2]", "[" LITTLE "]", "\"end\""), "")));
    CHECK_OK(pel_source_open(&s, path, NULL, &e), e);
    (void)snprintf(file, sizeof file, "%s/c.0.0", path);
    const pel_region all = pel__region(5, NULL, (const int64_t[]){1, 1, 1, 4, 4});
    const pel_block b = pel__block_dense(&all, PEL_U16, voxels_read);
    for (size_t i = 0; s && i < sizeof entries / sizeof *entries; i++) {
        uint8_t shard[8 + 64]; /* one inner chunk of 2 x 2, the index of four */
        memset(shard, 1, 8);
        memset(shard + 8, 0xFF, 64);
        memcpy(shard + 8 + 16, entries[i], 16);
        const pel__piece piece = {shard, sizeof shard};
        CHECK_OK(pel__file_replace(file, &piece, 1, &e), e);
        CHECK_FAILS(pel_source_read(s, 0, &b, &e), e, PEL_DAMAGED);
        CHECK_TEXT(e.text, "c.0.0: inner chunk 1: ");
    }
    pel_source_destroy(s);
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#define V2(shape, chunks, dtype, compressor, filters, order)                                                      \
    "{\"zarr_format\":2,\"shape\":" shape ",\"chunks\":" chunks ",\"dtype\":" dtype ",\"compressor\":" compressor          \
    ",\"fill_value\":null,\"filters\":" filters ",\"order\":" order "}"

CASE(hostile_metadata_v2)
{
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "\"<u2\"", "null", "null", "\"C\""), 0, "");
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "\">f8\"", "{\"id\":\"zlib\"}", "[]", "\"F\""), 0, "");
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "\"<c8\"", "null", "null", "\"C\""), PEL_UNSUPPORTED, "<c8");
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "\"|O\"", "null", "null", "\"C\""), PEL_UNSUPPORTED, "|O");
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "[[\"a\",\"<u2\"]]", "null", "null", "\"C\""), PEL_UNSUPPORTED, "dtype");
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "\"<u2\"", "{\"id\":\"lzma\",\"format\":3}", "null", "\"C\""), PEL_UNSUPPORTED, "lzma");
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "\"<u2\"", "null", "[{\"id\":\"packbits\"}]", "\"C\""), PEL_UNSUPPORTED, "packbits");
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "\"<u2\"", "null", "[{\"id\":\"delta\",\"dtype\":\"<u4\"}]", "\"C\""), PEL_UNSUPPORTED, "delta");
    check_metadata(".zarray", V2("[8,8]", "[4,4]", "\"<u2\"", "null", "null", "\"K\""), PEL_FORMAT, "order");
    check_metadata(".zarray", "{\"zarr_format\":2}", PEL_UNSUPPORTED, "dtype");
    check_metadata(".zgroup", "{\"zarr_format\":2}", PEL_UNSUPPORTED, "multiscales");
    check_metadata("readme.txt", "nothing here", PEL_FORMAT, "no Zarr store");
}

CASE(json_differences)
{
    json_object *a = NULL, *b = NULL;
    char path[100];
    pel_error e = {0};
    static const char one[] = "{\"a\": {\"b\": [1, 2.0, {\"c\": 18446744073709551615}]}, \"d\": NaN}";
    static const char two[] = "{\"d\": 1, \"a\": {\"b\": [1, 2, {\"c\": 18446744073709551614}]}}";
    CHECK_OK(pel__json_parse(&a, one, strlen(one), "one", &e), e);
    CHECK_OK(pel__json_parse(&b, two, strlen(two), "two", &e), e);
    CHECK(pel__json_differs(a, b, path, sizeof path));
    CHECK_TEXT(path, "a/b/2/c");
    json_object_put(a);
    json_object_put(b);
    static const double values[] = {0.1, 1, 1e300, 3.25, 1e-7, 0.30000000000000004, 123456789.125};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        json_object *const v = pel__json_double(values[i]);
        char *const text = pel__json_text(v);
        CHECK(strtod(text, NULL) == values[i]);
        CHECK(strpbrk(text, ".e") != NULL);
        free(text);
        json_object_put(v);
    }
}

int main(void)
{
    const char *const tmp = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.30s/pellucid-zarr-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    RUN(codec_words);
    RUN(round_trips);
    RUN(every_dtype);
    RUN(boxes);
    RUN(many_threads_read_at_once);
    RUN(threads_do_not_matter);
    RUN(zeros_make_no_file);
    RUN(collections);
    RUN(same_run_is_taken_over_others_refused);
    RUN(complete_only_after_finish_and_swept);
    RUN(wrong_blocks_and_layouts);
    RUN(every_flipped_bit_is_found);
    RUN(every_torn_shard_is_found);
    RUN(a_store_that_goes_away);
    RUN(full_disk_leaves_old_files_whole);
    RUN(hostile_metadata_v3);
    RUN(hostile_metadata_v2);
    RUN(hostile_index);
    RUN(json_differences);
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return CHECK_DONE();
}
