/* SPDX-License-Identifier: MIT
 * ND-SAFIR for oracles and benchmarks: reads a float32 image from standard input, writes the result to standard output.
 *
 *   tool_ndsafir t,c,z,y,x gain,offset [name=value …]
 *
 * Names are the filter's parameters, and threads=N, block=T,C,Z,Y,X, repeat=N (prints to stderr the least processor seconds, the
 * least wall seconds, bytes a voxel of the largest block with its halo, bytes a thread, and the least wall seconds that blocks
 * spend in the filter itself). */
#include "ndsafir_run.h"
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool parse_five(const char *text, int64_t out[PEL_AXES])
{
    double v[PEL_AXES];
    if (!parse_numbers(text, v, PEL_AXES))
        return false;
    for (int a = 0; a < PEL_AXES; a++)
        out[a] = (int64_t)v[a];
    return true;
}

static bool setting(ndsafir_run *r, int *repeat, char *text, pel_error *err)
{
    double number = 0;
    char *value = strchr(text, '=');
    if (!value)
        return pel__fail(err, PEL_ARGUMENT, "no = in %s", text);
    *value++ = '\0';
    if (strcmp(text, "threads") == 0 && parse_numbers(value, &number, 1))
        r->threads = (int32_t)number;
    else if (strcmp(text, "repeat") == 0 && parse_numbers(value, &number, 1))
        *repeat = (int)number;
    else if (strcmp(text, "block") == 0)
        return parse_five(value, r->block) || pel__fail(err, PEL_ARGUMENT, "block: five numbers");
    else
        return pel__values_set(&r->values, text, value, err);
    return true;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool work(ndsafir_run *r, int repeat, pel_error *err)
{
    const pel_region all = pel__region(PEL_AXES, NULL, r->image.shape);
    const size_t n = (size_t)pel__region_voxels(&all);
    float *in = calloc(n, sizeof *in), *out = calloc(n, sizeof *out);
    double least = INFINITY, least_wall = INFINITY, least_own = INFINITY;
    bool ok = in && out && fread(in, sizeof *in, n, stdin) == n;
    if (!ok)
        (void)pel__fail(err, PEL_IO, "standard input is too short");
    r->timed = repeat > 1;
    for (int i = 0; ok && i < repeat; i++) {
        const double start = seconds(CLOCK_PROCESS_CPUTIME_ID), start_wall = seconds(CLOCK_MONOTONIC);
        r->seconds = 0;
        ok = ndsafir_all(r, out, in, err);
        least_own = fmin(least_own, r->seconds);
        least = fmin(least, seconds(CLOCK_PROCESS_CPUTIME_ID) - start);
        least_wall = fmin(least_wall, seconds(CLOCK_MONOTONIC) - start_wall);
    }
    if (ok && repeat > 1)
        (void)fprintf(stderr, "%.6f %.6f %.2f %lld %.6f\n", least, least_wall, r->bytes_a_voxel, (long long)r->thread_bytes, least_own);
    ok = ok && fwrite(out, sizeof *out, n, stdout) == n;
    free(out);
    free(in);
    return ok;
}

int main(int argc, char **argv)
{
    static ndsafir_run r;
    pel_error err = {0};
    int64_t shape[PEL_AXES];
    int repeat = 1;
    double noise[2] = {0};
    if (argc < 3 || !parse_five(argv[1], shape) || !parse_numbers(argv[2], noise, 2)) {
        (void)fprintf(stderr, "tool_ndsafir t,c,z,y,x gain,offset [name=value …] < in > out\n");
        return 2;
    }
    ndsafir_begin(&r, shape);
    for (int i = 0; i < 16; i++)
        r.noise[i] = (pel__noise){noise[0], noise[1], 1};
    bool ok = true;
    for (int i = 3; ok && i < argc; i++)
        ok = setting(&r, &repeat, argv[i], &err);
    ok = ok && ndsafir_prepare(&r, &err) && work(&r, repeat, &err);
    if (!ok)
        (void)fprintf(stderr, "%s\n", err.text);
    return ok ? 0 : 1;
}
