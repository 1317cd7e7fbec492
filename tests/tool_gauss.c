/* SPDX-License-Identifier: MIT
 * For benchmarks: runs a Gaussian filter over a float32 or uint16 image in memory and prints its best times.
 *     tool_gauss dog Z,Y,X THREADS REPEAT [name value]...    pixels on standard input, result on standard output */
#include "filter/gauss.h"
#include "filter_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static double now(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool timed(const filter_run *r, pel__pool *pool, const float *src, float *dst, int repeat, pel_error *err)
{
    const pel_region all = pel__region(PEL_AXES, NULL, r->image.shape);
    const pel_block in = pel__block_dense(&all, PEL_F32, (void *)(uintptr_t)src), out = pel__block_dense(&all, PEL_F32, dst);
    const int64_t scratch_bytes = r->type->block_bytes(&r->values, &r->image, &all, &all);
    void *scratch = filter_memory(scratch_bytes);
    void *thread = filter_memory(r->type->thread_bytes(&r->values, &r->image) * r->threads);
    const pel__filter_call call = {.values = &r->values, .image = &r->image, .in = &in, .out = &out, .pool = pool,
                                   .scratch = scratch, .thread_scratch = thread};
    double best = 1e9, processor = 1e9;
    bool ok = scratch && thread;
    for (int i = 0; ok && i < repeat; i++) {
        const double start = now(CLOCK_MONOTONIC), began = now(CLOCK_PROCESS_CPUTIME_ID);
        ok = r->type->apply(&call, err);
        const double took = now(CLOCK_MONOTONIC) - start, worked = now(CLOCK_PROCESS_CPUTIME_ID) - began;
        best = took < best ? took : best;
        processor = worked < processor ? worked : processor;
    }
    (void)fprintf(stderr, "%.6f seconds, %.6f of processors, %.1f Mvoxel/s, %.0f MiB of scratch\n", best, processor, 1e-6 * (double)pel__region_voxels(&all) / best,
                  (double)scratch_bytes / 1048576);
    free(scratch);
    free(thread);
    return ok;
}

int main(int argc, char **argv)
{
    int64_t shape[PEL_AXES] = {1, 1, 1, 1, 1};
    if (argc < 5 || sscanf(argv[2], "%" SCNd64 ",%" SCNd64 ",%" SCNd64, &shape[PEL_Z], &shape[PEL_Y], &shape[PEL_X]) != 3)
        return 2;
    filter_run r;
    pel_error err = {0};
    pel__pool *pool = NULL;
    filter_begin(&r, strcmp(argv[1], "dog") == 0 ? &pel__filter_dog : &pel__filter_gaussian, shape, PEL_F32);
    r.threads = (int32_t)strtol(argv[3], NULL, 10);
    const size_t n = (size_t)(shape[PEL_Z] * shape[PEL_Y] * shape[PEL_X]);
    float *src = malloc(n * sizeof *src), *dst = malloc(n * sizeof *dst);
    bool ok = src && dst && fread(src, sizeof *src, n, stdin) == n && filter_set(&r, (const char *const *)argv + 5, &err) &&
              pel__pool_create(&pool, r.threads, &err) && timed(&r, pool, src, dst, (int)strtol(argv[4], NULL, 10), &err);
    if (!ok)
        (void)fprintf(stderr, "%s\n", err.text);
    ok = ok && fwrite(dst, sizeof *dst, n, stdout) == n;
    pel__pool_destroy(pool);
    free(src);
    free(dst);
    return ok ? 0 : 1;
}
