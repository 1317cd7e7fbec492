/* SPDX-License-Identifier: MIT
 * See scan.h. Tasks go to the pool in waves of a few a thread: between two waves the caller's thread reports progress
 * and hears whether it shall stop. A finer scheme would keep the threads busy at the end of each wave; a wave is
 * some ten megabytes a thread, so there is little to win. */
#include "run/scan.h"

#include "core/bytes.h"
#include "core/pool.h"

#define TASKS_A_THREAD 2
#define PARTS 2                        /* of the memory of a thread: see pel__scan_means */
#define LEAST_WINDOW (INT64_C(64) << 10) /* smaller ones read every tile anew for a few pixels */
#define PAGE 4096

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

void pel__scan_window(const pel_image *image, const pel__scan_cut *cut, int64_t window[PEL_AXES])
{
    const int64_t limit = cut->window_bytes / (int64_t)pel_dtype_size(image->dtype);
    for (int a = 0; a < PEL_AXES; a++)
        window[a] = pel__min(pel__max(cut->tile[a], 1), image->shape[a]);
    window[PEL_C] = pel__min(pel__round_up(window[PEL_C], cut->group), image->shape[PEL_C]);
    if (cut->whole_rows)
        window[PEL_X] = image->shape[PEL_X];
    shrink(window, PEL_T, 1, limit);
    shrink(window, PEL_C, cut->group, limit);
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

/* ---- means ------------------------------------------------------------------------------------------------- */

bool pel__scan_begin(pel__scan_means *out, const pel_scan *options, pel_source *const *sources, int32_t count, pel_error *err)
{
    pel_scan fewer = *options;
    int64_t room = 0;
    fewer.threads = (int32_t)pel__max(1, options->threads);
    while (fewer.threads > 1 && !pel_room(&room, sources, count, &fewer, fewer.threads * PARTS * PEL__SCAN_BYTES, NULL))
        fewer.threads--;
    if (!pel_room(&room, sources, count, &fewer, PARTS * LEAST_WINDOW, err))
        return false;
    out->threads = fewer.threads;
    out->window_bytes = pel__min(PEL__SCAN_BYTES, room / fewer.threads / PARTS / PAGE * PAGE);
    return pel__budget_create(&out->budget, fewer.threads * PARTS * out->window_bytes + PAGE, err);
}

void pel__scan_end(pel__scan_means *m)
{
    pel__budget_destroy(m->budget);
    *m = (pel__scan_means){0};
}

int64_t pel__scan_wave(const pel__scan_means *means) { return (int64_t)means->threads * TASKS_A_THREAD; }

bool pel__scan_run(const pel__scan *scan, pel_error *err)
{
    bool ok = false;
    const int32_t threads = scan->means->threads;
    const int64_t stride = pel__round_up(scan->thread_bytes, PAGE), bytes = stride * threads;
    pel__pool *pool = NULL;
    void *memory = NULL;
    if (!pel__pool_create(&pool, threads, err) || !pel__budget_alloc(scan->means->budget, &memory, bytes, scan->phase, err))
        goto cleanup;
    const int64_t most = pel__scan_wave(scan->means);
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
    pel__budget_free(scan->means->budget, memory, bytes);
    pel__pool_destroy(pool);
    return ok;
}
