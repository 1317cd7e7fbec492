/* SPDX-License-Identifier: MIT
 * The proof of no seams on a finished run: the audit, then windows of the output recomputed from the input with their
 * own halo, placed across faces of the block grid, and compared bit by bit. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "run/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WINDOW_SIDE 24 /* voxels in y and x; up to 6 in z */

static uint64_t random_next(uint64_t *state) /* splitmix64 */
{
    uint64_t v = *state += 0x9E3779B97F4A7C15U;
    v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9U;
    v = (v ^ (v >> 27)) * 0x94D049BB133111EBU;
    return v ^ (v >> 31);
}

static int64_t random_below(uint64_t *state, int64_t n)
{
    return (int64_t)(random_next(state) % (uint64_t)n);
}

/* A window around a place; three times out of four the place lies on a face of the block grid on each axis cut. */
static pel_region choose_window(const pel__plan_image *p, uint64_t *state)
{
    static const int64_t side[PEL_AXES] = {1, 1, 6, WINDOW_SIDE, WINDOW_SIDE};
    pel_region r = {.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t size = p->bounds.shape[a], faces = (size - 1) / p->block[a];
        int64_t centre = random_below(state, size);
        if (faces > 0 && random_below(state, 4) > 0)
            centre = p->block[a] * (1 + random_below(state, faces));
        r.origin[a] = pel__max(0, centre - side[a] / 2);
        r.shape[a] = pel__min(side[a], size - r.origin[a]);
    }
    return r;
}

typedef struct {
    pel_run *run;
    pel_source **written; /* the output, one source an image */
    pel_verify_result *out;
} verifier;

static void compare_window(const verifier *v, int32_t image, const pel_region *window, const void *stored)
{
    const pel_run *run = v->run;
    const size_t size = pel_dtype_size(run->dtype);
    const int64_t voxels = pel__region_voxels(window);
    const char *a = run->bench.slot[0].out_block.data, *b = stored;
    int64_t different = 0;
    for (int64_t i = 0; i < voxels; i++)
        different += memcmp(a + (size_t)i * size, b + (size_t)i * size, size) != 0;
    v->out->windows++;
    v->out->voxels += voxels;
    v->out->different += different;
    char text[160];
    if (different > 0 && !v->out->first[0])
        (void)snprintf(v->out->first, sizeof v->out->first, "image %d window %s: %" PRId64 " of %" PRId64 " voxels differ", (int)image,
                       pel__region_text(window, text, sizeof text), different, voxels);
}

static bool verify_window(verifier *v, int32_t image, const pel_region *window, pel_error *err)
{
    pel_run *run = v->run;
    int64_t before[PEL_AXES], after[PEL_AXES];
    pel__pipeline_halo(run->pipeline, run->images[image], before, after);
    const pel_region in = pel__region_grow(window, before, after, &run->plan.images[image].bounds);
    void *stored = NULL;
    pel__slot *slot = &run->bench.slot[0];
    bool ok = pel__bench_window(run, image, &in, window, err) &&
              pel__budget_alloc(run->budget, &stored, run->bench.out_bytes, "window", err);
    if (ok) {
        const pel_block there = pel__block_dense(window, run->dtype, stored);
        ok = pel__read_region(run->source, image, &slot->in_block, run->pool, NULL, err) &&
             pel__filter_region(run, image, &slot->in_block, slot, err) &&
             pel__read_region(v->written[image], 0, &there, run->pool, NULL, err);
    }
    if (ok)
        compare_window(v, image, window, stored);
    pel__budget_free(run->budget, stored, run->bench.out_bytes);
    return ok;
}

static bool open_written(verifier *v, pel_error *err)
{
    v->written = calloc((size_t)v->run->image_count, sizeof *v->written);
    if (!v->written)
        return pel__fail(err, PEL_NO_MEMORY, "no memory to read the output");
    for (int32_t i = 0; i < v->run->image_count; i++) {
        if (!pel__run_open_output(&v->written[i], v->run, i, 0, err))
            return false;
    }
    return true;
}

static bool verify_windows(verifier *v, int64_t windows, uint64_t seed, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    uint64_t state = seed ? seed : (uint64_t)time(NULL);
    const pel__plan *plan = &v->run->plan;
    if (!open_written(v, err))
        return false;
    for (int64_t i = 0; i < windows; i++) {
        const int32_t image = (int32_t)random_below(&state, plan->image_count);
        const pel_region window = choose_window(&plan->images[image], &state);
        const pel_progress p = {.phase = "verify", .done = i, .total = windows};
        if (!verify_window(v, image, &window, err))
            return false;
        if (on_progress && !on_progress(arg, &p))
            return pel__fail(err, PEL_INTERRUPTED, "interrupted while verifying");
    }
    return true;
}

bool pel_run_verify(pel_verify_result *out, pel_run *run, int64_t windows, uint64_t seed, pel_on_progress *on_progress, void *arg,
                    pel_error *err)
{
    *out = (pel_verify_result){0};
    verifier v = {.run = run, .out = out};
    pel__audit audit = {0};
    run->on_progress = on_progress;
    run->progress_arg = arg;
    bool ok = (run->ledger || pel__ledger_open(&run->ledger, run->folder, run->plan.job_count, err)) &&
              pel__run_take_means(run, err) && pel__run_audit(run, PEL__LOOK_READ, false, &audit, err);
    out->files = audit.files;
    out->missing = audit.missing + run->plan.job_count - pel__ledger_count_done(run->ledger, 0, run->plan.job_count);
    out->damaged = audit.damaged;
    (void)snprintf(out->first, sizeof out->first, "%s", audit.first);
    ok = ok && (out->missing + out->damaged > 0 || verify_windows(&v, windows, seed, on_progress, arg, err));
    pel__bench_free(run);
    for (int32_t i = 0; v.written && i < run->image_count; i++)
        pel_source_destroy(v.written[i]);
    free(v.written);
    return ok;
}
