/* SPDX-License-Identifier: MIT
 * See scan.h. Tasks go to the pool in waves of a few a thread: between two waves the caller's thread reports progress
 * and hears whether it shall stop. A finer scheme would keep the threads busy at the end of each wave; a wave is
 * some ten megabytes a thread, so there is little to win. */
#include "run/scan.h"

#include "core/budget.h"
#include "core/bytes.h"
#include "core/pool.h"

#define TASKS_A_THREAD 2

static int64_t voxels_of(const int64_t shape[PEL_AXES])
{
    int64_t n = 1;
    for (int a = 0; a < PEL_AXES; a++) {
        /* Windows lie inside an image whose voxel count fits, as the source has promised. */
        n *= shape[a];
    }
    return n;
}

/* The largest multiple of `unit` that axis a may have within `limit` voxels, at least one unit, at most the image. */
static void widen(int64_t window[PEL_AXES], int a, int64_t whole, int64_t limit)
{
    const int64_t unit = window[a];
    const int64_t fit = limit / voxels_of(window);
    if (fit > 1)
        window[a] = fit >= pel__ceil_div(whole, unit) ? whole : unit * fit;
}

static void shrink(int64_t window[PEL_AXES], int a, int64_t unit, int64_t limit)
{
    while (window[a] > unit && voxels_of(window) > limit)
        window[a] = pel__max(unit, pel__ceil_div(window[a], 2 * unit) * unit);
}

void pel__scan_window(const pel_image *image, const int64_t tile[PEL_AXES], int64_t group, bool whole_rows,
                      int64_t window[PEL_AXES])
{
    const int64_t limit = PEL__SCAN_BYTES / (int64_t)pel_dtype_size(image->dtype);
    for (int a = 0; a < PEL_AXES; a++)
        window[a] = pel__min(pel__max(tile[a], 1), image->shape[a]);
    window[PEL_C] = pel__min(pel__round_up(window[PEL_C], group), image->shape[PEL_C]);
    if (whole_rows)
        window[PEL_X] = image->shape[PEL_X];
    shrink(window, PEL_T, 1, limit);
    shrink(window, PEL_C, group, limit);
    shrink(window, PEL_Z, 1, limit);
    shrink(window, PEL_Y, 1, limit);
    shrink(window, PEL_X, 1, limit);
    widen(window, PEL_X, image->shape[PEL_X], limit);
    widen(window, PEL_Y, image->shape[PEL_Y], limit);
}

/* ---- waves ------------------------------------------------------------------------------------------------- */

typedef struct wave {
    const pel__scan *scan;
    uint8_t *memory;
    int64_t stride, first;
} wave;

static bool run_task(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const wave *const w = arg;
    return w->scan->task(w->scan->arg, w->first + index, w->memory + worker * w->stride, err);
}

static bool report(const pel__scan *scan, int64_t done, pel_error *err)
{
    if (!scan->options->on_progress)
        return true;
    const double share = scan->tasks > 0 ? (double)done / (double)scan->tasks : 1;
    const int64_t bytes = done == scan->tasks ? scan->total_bytes : (int64_t)(share * (double)scan->total_bytes);
    const pel_progress now = {.phase = scan->phase, .done = bytes, .total = scan->total_bytes, .bytes = bytes};
    if (scan->options->on_progress(scan->options->arg, &now))
        return true;
    return pel__fail(err, PEL_INTERRUPTED, "%s: stopped as asked", scan->phase);
}

static int32_t threads_of(const pel_scan *options) { return options->threads > 0 ? options->threads : 1; }

int64_t pel__scan_wave(const pel_scan *options) { return (int64_t)threads_of(options) * TASKS_A_THREAD; }

bool pel__scan_run(const pel__scan *scan, pel_error *err)
{
    bool ok = false;
    const int32_t threads = threads_of(scan->options);
    const int64_t stride = pel__round_up(scan->thread_bytes, 4096);
    pel__pool *pool = NULL;
    pel__budget *budget = NULL;
    void *memory = NULL;
    int64_t bytes = 0;
    if (!pel__mul(stride, threads, &bytes))
        return pel__fail(err, PEL_NO_MEMORY, "%s: the windows of %d threads do not fit into memory", scan->phase, threads);
    if (!pel__pool_create(&pool, threads, err) || !pel__budget_create(&budget, 0, err)
        || !pel__budget_alloc(budget, &memory, bytes, scan->phase, err))
        goto cleanup;
    const int64_t most = pel__scan_wave(scan->options);
    for (int64_t first = 0; first < scan->tasks; first += most) {
        if (!report(scan, first, err))
            goto cleanup;
        wave w = {.scan = scan, .memory = memory, .stride = stride, .first = first};
        const int64_t count = pel__min(most, scan->tasks - first);
        if (!pel__pool_run(pool, PEL__READ_NEXT, count, run_task, &w, err))
            goto cleanup;
        scan->ended(scan->arg, first, count);
    }
    ok = report(scan, scan->tasks, err);
cleanup:
    pel__budget_free(budget, memory, bytes);
    pel__budget_destroy(budget);
    pel__pool_destroy(pool);
    return ok;
}
