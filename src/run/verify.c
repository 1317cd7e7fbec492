/* SPDX-License-Identifier: MIT
 * The proof of no seams on a finished run: the audit, then windows of the output recomputed and compared bit by bit. Those
 * of level 0 from the input with their own halo, across faces of the block grid; those of each level above from the level
 * below as it is stored, across faces of the shards. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "filter/downsample.h"
#include "run/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096
#define UPPER_PART 4 /* of each level above 0 one window for so many of level 0; they are larger and cost no filter */

/* t c z y x: of level 0, of the levels above */
static const int64_t window_side[PEL_AXES] = {1, 1, 6, 24, 24}, upper_side[PEL_AXES] = {1, 1, 8, 64, 64};

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

/* A window around a place; three times out of four the place lies on a face of the grid on each axis cut. */
static pel_region choose_window(const int64_t size[PEL_AXES], const int64_t grid[PEL_AXES], const int64_t side[PEL_AXES], uint64_t *state)
{
    pel_region r = {.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t faces = (size[a] - 1) / grid[a];
        int64_t centre = random_below(state, size[a]);
        if (faces > 0 && random_below(state, 4) > 0)
            centre = grid[a] * (1 + random_below(state, faces));
        r.origin[a] = pel__min(pel__max(0, centre - side[a] / 2), pel__max(0, size[a] - side[a])); /* whole, where there is room */
        r.shape[a] = pel__min(side[a], size[a] - r.origin[a]);
    }
    return r;
}

typedef struct {
    pel_run *run;
    pel_source **written; /* the output, one source an image and level, opened when it is needed */
    int64_t windows;      /* of level 0 */
    uint64_t state;
    pel_verify_result *out;
} verifier;

static bool level_source(verifier *v, int32_t image, int32_t level, pel_source **out, pel_error *err)
{
    pel_source **const s = &v->written[(int64_t)image * PEL__MAX_LEVELS + level];
    if (!*s && !pel__run_open_output(s, v->run, image, level, err))
        return false;
    *out = *s;
    return true;
}

static void compare_window(const verifier *v, int32_t image, int32_t level, const pel_block *computed, const void *stored)
{
    const size_t size = pel_dtype_size(computed->dtype);
    const int64_t voxels = pel__region_voxels(&computed->region);
    const char *a = computed->data, *b = stored;
    int64_t different = 0;
    for (int64_t i = 0; i < voxels; i++)
        different += memcmp(a + (size_t)i * size, b + (size_t)i * size, size) != 0;
    v->out->level_windows[level]++;
    v->out->level_different[level] += different;
    v->out->windows += level == 0;
    v->out->voxels += level == 0 ? voxels : 0;
    v->out->different += different;
    char text[160], name[32] = "";
    if (level > 0)
        (void)snprintf(name, sizeof name, " level %d", (int)level);
    if (different > 0 && !v->out->first[0])
        (void)snprintf(v->out->first, sizeof v->out->first, "image %d%s window %s: %" PRId64 " of %" PRId64 " voxels differ%s", (int)image,
                       name, pel__region_text(&computed->region, text, sizeof text), different, voxels,
                       level > 0 ? " from the level below" : "");
}

/* What is read for a window, which is made smaller until there is memory for both and for what is stored of it. */
static pel_region fit_window(const pel_run *run, int32_t image, pel_region *window)
{
    int64_t before[PEL_AXES], after[PEL_AXES];
    pel__pipeline_halo(run->pipeline, run->images[image], before, after);
    for (int a = PEL_Z;; a = a == PEL_X ? PEL_Z : a + 1) {
        const pel_region in = pel__region_grow(window, before, after, &run->plan.images[image].bounds);
        const pel__buffers need = pel__plan_region_buffers(&run->request, run->images[image], &in, window);
        if (pel__region_voxels(window) == 1 || pel__buffers_bytes(&need) + need.out + PAGE <= pel__run_room(run))
            return in;
        window->shape[a] = pel__ceil_div(window->shape[a], 2);
    }
}

static bool verify_window(verifier *v, int32_t image, pel_region *window, pel_error *err)
{
    pel_run *run = v->run;
    const pel_region in = fit_window(run, image, window);
    void *stored = NULL;
    pel_source *written = NULL;
    pel__slot *slot = &run->bench.slot[0];
    bool ok = level_source(v, image, 0, &written, err) && pel__bench_window(run, image, &in, window, err) &&
              pel__budget_alloc(run->budget, &stored, run->bench.need.out, "window", err);
    if (ok) {
        const pel_block there = pel__block_dense(window, run->dtype, stored);
        ok = pel__read_region(run->source, image, &slot->in_block, run->pool, NULL, err) &&
             pel__filter_region(run, image, &slot->in_block, slot, err) &&
             pel__read_region(written, 0, &there, run->pool, NULL, err);
    }
    if (ok)
        compare_window(v, image, 0, &slot->out_block, stored);
    pel__budget_free(run->budget, stored, run->bench.need.out);
    return ok;
}

/* A window of a level above 0, pooled once more from the level below. */
static bool verify_upper(verifier *v, int32_t image, int32_t level, const pel_region *window, pel_error *err)
{
    pel_run *run = v->run;
    const size_t size = pel_dtype_size(run->dtype);
    int64_t factor[PEL_AXES];
    const pel_region from = pel__plan_pooled_from(&run->plan.images[image].layout, level, window, factor);
    const int64_t bytes = pel__region_voxels(window) * (int64_t)size, from_bytes = pel__region_voxels(&from) * (int64_t)size;
    void *below = NULL, *computed = NULL, *stored = NULL;
    pel_source *source_below = NULL, *source = NULL;
    pel__bench_free(run);
    pel__budget_set_limit(run->budget, pel__max(1, pel__run_room(run)));
    const bool room = pel__budget_alloc(run->budget, &below, from_bytes, "window of the level below", err) &&
                      pel__budget_alloc(run->budget, &computed, bytes, "window", err) &&
                      pel__budget_alloc(run->budget, &stored, bytes, "window", err);
    const pel_block in = pel__block_dense(&from, run->dtype, below), out = pel__block_dense(window, run->dtype, computed),
                    there = pel__block_dense(window, run->dtype, stored);
    const bool ok = room && level_source(v, image, level - 1, &source_below, err) && level_source(v, image, level, &source, err) &&
                    pel__read_region(source_below, 0, &in, run->pool, NULL, err) && pel__read_region(source, 0, &there, run->pool, NULL, err) &&
                    pel__downsample(&out, &in, factor, run->pool, err);
    if (ok)
        compare_window(v, image, level, &out, stored);
    pel__budget_free(run->budget, below, from_bytes);
    pel__budget_free(run->budget, computed, bytes);
    pel__budget_free(run->budget, stored, bytes);
    return ok;
}

/* An image that has the level: of those that do not the next one that does. */
static int32_t choose_image(verifier *v, int32_t level)
{
    const pel__plan *plan = &v->run->plan;
    int32_t image = (int32_t)random_below(&v->state, plan->image_count);
    while (plan->images[image].layout.level_count <= level)
        image = (image + 1) % plan->image_count;
    return image;
}

static bool verify_one(verifier *v, int32_t level, pel_error *err)
{
    const int32_t image = choose_image(v, level);
    const pel__plan_image *p = &v->run->plan.images[image];
    if (level == 0) {
        pel_region window = choose_window(p->bounds.shape, p->block, window_side, &v->state);
        return verify_window(v, image, &window, err);
    }
    const pel__level *l = &p->layout.level[level];
    const pel_region window = choose_window(l->shape, l->shard, upper_side, &v->state);
    return verify_upper(v, image, level, &window, err);
}

static int64_t windows_of(const verifier *v, int32_t level)
{
    if (v->run->other_numbers || (level == 0 && v->run->looking))
        return 0;
    return level == 0 ? v->windows : pel__ceil_div(v->windows, UPPER_PART);
}

static bool verify_level(verifier *v, int32_t level, pel_progress *p, pel_error *err)
{
    for (int64_t i = 0; i < windows_of(v, level); i++, p->done++) {
        if (!verify_one(v, level, err))
            return false;
        if (v->run->on_progress && !v->run->on_progress(v->run->progress_arg, p))
            return pel__fail(err, PEL_INTERRUPTED, "interrupted while verifying");
    }
    return true;
}

static bool verify_windows(verifier *v, pel_error *err)
{
    const pel__plan *plan = &v->run->plan;
    pel_progress p = {.phase = "verify"};
    for (int32_t i = 0; i < plan->image_count; i++)
        v->out->levels = (int32_t)pel__max(v->out->levels, plan->images[i].layout.level_count);
    for (int32_t k = 0; k < v->out->levels; k++)
        p.total += windows_of(v, k);
    v->written = calloc((size_t)plan->image_count * PEL__MAX_LEVELS, sizeof(pel_source *));
    if (!v->written)
        return pel__fail(err, PEL_NO_MEMORY, "no memory to read the output");
    bool ok = true;
    for (int32_t k = 0; ok && k < v->out->levels; k++)
        ok = verify_level(v, k, &p, err);
    return ok;
}

static void end_windows(verifier *v)
{
    pel__bench_free(v->run);
    for (int64_t i = 0; v->written && i < (int64_t)v->run->plan.image_count * PEL__MAX_LEVELS; i++)
        pel_source_destroy(v->written[i]);
    free(v->written);
}

bool pel_run_verify(pel_verify_result *out, pel_run *run, int64_t windows, uint64_t seed, pel_on_progress *on_progress, void *arg,
                    pel_error *err)
{
    *out = (pel_verify_result){0};
    verifier v = {.run = run, .out = out, .windows = windows, .state = seed ? seed : (uint64_t)time(NULL)};
    pel__audit audit = {0};
    (void)snprintf(out->no_windows, sizeof out->no_windows, "%s", run->no_windows);
    run->on_progress = on_progress;
    run->progress_arg = arg;
    if (!run->ledger && !pel__ledger_open(&run->ledger, run->folder, pel__document_run(run->document), run->plan.job_count, err))
        return false;
    bool ok = pel__run_take_means(run, err) && pel__run_audit(run, PEL__LOOK_READ, false, &audit, err) &&
              pel__run_find_strays(run, &audit, err);
    out->files = audit.files;
    out->missing = audit.missing + run->plan.job_count - pel__ledger_count_done(run->ledger, 0, run->plan.job_count);
    out->damaged = audit.damaged;
    out->documents = audit.documents;
    out->strays = audit.strays;
    out->unlisted = audit.unlisted;
    (void)snprintf(out->first, sizeof out->first, "%s", audit.first);
    ok = ok && (out->missing + out->damaged > 0 || verify_windows(&v, err));
    end_windows(&v);
    return ok;
}
