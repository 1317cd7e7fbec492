/* SPDX-License-Identifier: MIT
 * A program for bench/zarr_speed.py: times Zarr writing and reading inside the process, on a crew of threads.
 *   tool_zarr_speed STORE CODEC SHAPE CHUNK SHARD THREADS VOXELS BOXES SYNC     lists are T,C,Z,Y,X
 * VOXELS is a file of raw uint16, BOXES a text of ORIGIN:SHAPE;…, SYNC 0 or 1; the round trip goes to STORE-trip. Prints a line an operation: name, wall seconds, processor
 * seconds, peak of resident bytes above what was resident before and the pixels that the operation allocates; and at the end a line "process": peak of the whole process
 * above the pixels that are written and as many that are read. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "run/run.h"
#include "sink/sink.h"
#include "source/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HUGE_PAGE (2 << 20)

typedef struct bench {
    pel__sink_spec spec;
    pel__layout layout;
    pel_image image;
    const pel_image *images[1];
    pel__pool *pool;
    pel_block all;
    const char *boxes;
} bench;

typedef bool operation(bench *b, int64_t *allocated, pel_error *err);

static bool numbers(const char *text, int64_t *out)
{
    return sscanf(text, "%ld,%ld,%ld,%ld,%ld", &out[0], &out[1], &out[2], &out[3], &out[4]) == 5;
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A line of /proc/self/status, in bytes. */
static int64_t status_bytes(const char *name)
{
    char line[256];
    long kib = 0;
    FILE *const f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            (void)sscanf(line + strlen(name), ": %ld", &kib);
    if (f)
        (void)fclose(f);
    return (int64_t)kib << 10;
}

static int64_t peak_bytes; /* of the process so far */

/* VmHWM starts anew from VmRSS. */
static void forget_peak(void)
{
    peak_bytes = pel__max(peak_bytes, status_bytes("VmHWM"));
    const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "5", 1) != 1)
        perror("clear_refs");
    if (fd >= 0)
        (void)close(fd);
}

static bool no_file(void *arg, const pel__file_record *record, pel_error *err)
{
    return true;
}

static bool write_all(bench *b, int64_t *allocated, pel_error *err)
{
    pel__sink *s = NULL;
    if (!pel__sink_omezarr.create(&s, &b->spec, NULL, NULL, err))
        return false;
    void *const scratch = malloc((size_t)pel__sink_omezarr.write_bytes(&b->spec, 0, 0, pel__pool_threads(b->pool)));
    const bool ok = scratch && pel__sink_omezarr.write(s, 0, 0, &b->all, b->pool, scratch, no_file, NULL, err)
        && pel__sink_omezarr.settle(s, no_file, NULL, err)
        && pel__sink_omezarr.finish(s, &b->spec, NULL, NULL, err);
    free(scratch);
    pel__sink_omezarr.destroy(s);
    return ok;
}

/* In huge pages, as NumPy does with its arrays. */
static void *pixels(int64_t bytes)
{
    void *const data = aligned_alloc(HUGE_PAGE, (size_t)pel__round_up(bytes, HUGE_PAGE));
    if (data)
        (void)madvise(data, (size_t)bytes, MADV_HUGEPAGE);
    return data;
}

static bool read_box(bench *b, pel_source *s, const pel_region *r, bool check, pel_error *err)
{
    void *const data = pixels(pel__region_voxels(r) * 2);
    const pel_block dst = pel__block_dense(r, PEL_U16, data);
    bool ok = data && pel__read_region(s, 0, &dst, b->pool, NULL, err);
    if (ok && check && memcmp(data, b->all.data, (size_t)pel__region_voxels(r) * 2) != 0)
        ok = pel__fail(err, PEL_DAMAGED, "other voxels than were written");
    free(data);
    return ok;
}

static bool read_whole(bench *b, bool check, pel_error *err)
{
    pel_source *s = NULL;
    const bool ok = pel_source_open(&s, b->spec.path, NULL, err) && read_box(b, s, &b->all.region, check, err);
    pel_source_destroy(s);
    return ok;
}

static bool read_all(bench *b, int64_t *allocated, pel_error *err)
{
    *allocated = pel__region_voxels(&b->all.region) * 2;
    return read_whole(b, false, err);
}

static bool read_boxes(bench *b, int64_t *allocated, pel_error *err)
{
    pel_source *s = NULL;
    bool ok = pel_source_open(&s, b->spec.path, NULL, err);
    for (const char *at = b->boxes; ok && at; at = strchr(at, ';')) {
        at += *at == ';';
        pel_region r = {.ndim = PEL_AXES};
        const char *const shape = strchr(at, ':');
        ok = shape && numbers(at, r.origin) && numbers(shape + 1, r.shape) && read_box(b, s, &r, false, err);
        *allocated = pel__max(*allocated, pel__region_voxels(&r) * 2);
    }
    pel_source_destroy(s);
    return ok;
}

static bool round_trip(bench *b, int64_t *allocated, pel_error *err)
{
    char path[4096];
    const char *const first = b->spec.path;
    (void)snprintf(path, sizeof path, "%s-trip", first);
    b->spec.path = path;
    const bool ok = write_all(b, allocated, err) && read_all(b, allocated, err);
    b->spec.path = first;
    return ok;
}

static bool timed(const char *name, operation *run, bench *b, pel_error *err)
{
    int64_t allocated = 0;
    forget_peak();
    const int64_t before = status_bytes("VmRSS");
    const double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    const bool ok = run(b, &allocated, err);
    const double w = seconds_of(CLOCK_MONOTONIC) - wall, c = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (ok)
        printf("%s %.4f %.4f %ld\n", name, w, c, (long)pel__max(0, status_bytes("VmHWM") - before - allocated));
    return ok;
}

static bool load(bench *b, const char *path, pel_error *err)
{
    const int64_t n = pel__region_voxels(&b->all.region) * 2;
    FILE *const f = fopen(path, "rb");
    b->all.data = pixels(n);
    const bool ok = f && b->all.data && fread(b->all.data, 1, (size_t)n, f) == (size_t)n;
    if (f)
        (void)fclose(f);
    return ok || pel__fail(err, PEL_IO, "%s: cannot read %ld bytes", path, (long)n);
}

static bool prepare(bench *b, char **argv, pel_error *err)
{
    static pel_channel channel;
    pel__level *const l = &b->layout.level[0];
    if (!numbers(argv[3], l->shape) || !numbers(argv[4], l->chunk) || !numbers(argv[5], l->shard)
        || !pel__codec_parse(&b->spec.codec, argv[2], err))
        return pel__fail(err, PEL_ARGUMENT, "wrong arguments");
    for (int i = 0; i < PEL_AXES; i++)
        l->factor[i] = 1;
    b->layout.level_count = 1;
    b->image = (pel_image){.name = "bench", .dtype = PEL_U16, .channels = &channel};
    memcpy(b->image.shape, l->shape, sizeof l->shape);
    b->images[0] = &b->image;
    b->spec.path = argv[1];
    b->spec.ome_version = 5;
    b->spec.dtype = PEL_U16;
    b->spec.image_count = 1;
    b->spec.images = b->images;
    b->spec.layouts = &b->layout;
    b->spec.provenance = "{}";
    b->boxes = argv[8];
    b->spec.unsynced = strcmp(argv[9], "0") == 0;
    const pel_region whole = pel__region(PEL_AXES, NULL, l->shape);
    b->all = pel__block_dense(&whole, PEL_U16, NULL);
    return load(b, argv[7], err) && pel__pool_create(&b->pool, atoi(argv[6]), err);
}

int main(int argc, char **argv)
{
    pel_error err = {0};
    bench b = {0};
    if (argc != 10) {
        fprintf(stderr, "usage: tool_zarr_speed STORE CODEC SHAPE CHUNK SHARD THREADS VOXELS BOXES SYNC\n");
        return 2;
    }
    const bool ok = prepare(&b, argv, &err) && timed("write", write_all, &b, &err) && timed("read", read_all, &b, &err)
        && timed("boxes", read_boxes, &b, &err) && timed("trip", round_trip, &b, &err) && read_whole(&b, true, &err);
    if (!ok)
        fprintf(stderr, "%s\n", err.text);
    forget_peak();
    if (ok)
        printf("process %ld\n", (long)(peak_bytes - 2 * pel__region_voxels(&b.all.region) * 2));
    pel__pool_destroy(b.pool);
    free(b.all.data);
    return ok ? 0 : 1;
}
