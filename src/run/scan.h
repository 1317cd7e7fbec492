/* SPDX-License-Identifier: MIT
 * Going once through all voxels of an image on several threads in bounded memory: what checksum and compare share. */
#ifndef PEL_RUN_SCAN_H
#define PEL_RUN_SCAN_H

#include "core/budget.h"
#include "core/error.h"
#include "pellucid.h"

#define PEL__SCAN_BYTES (INT64_C(16) << 20) /* at most of window_bytes */

/* What a scan may take: each thread twice window_bytes, the two sources' windows or one and what is kept of it. */
typedef struct pel__scan_means {
    int32_t threads;
    int64_t window_bytes;
    pel__budget *budget; /* of as much */
} pel__scan_means;

/* As options->memory_bytes allows: fewer threads than asked for, then smaller windows. PEL_NO_MEMORY where that is not enough. */
bool pel__scan_begin(pel__scan_means *out, const pel_scan *options, pel_source *const *sources, int32_t count, pel_error *err);
void pel__scan_end(pel__scan_means *m);

/* How an image is cut. */
typedef struct pel__scan_cut {
    const int64_t *tile; /* [PEL_AXES] */
    int64_t group;       /* channels come in multiples of it */
    bool whole_rows;     /* x is widened to the image first, so that rows need not be put together */
    int64_t window_bytes;
} pel__scan_cut;

/* A window to read at once: whole tiles, enlarged along x, then y while it stays within window_bytes, made smaller
 * than a tile (t, c, z, then y, then x) where one tile is larger than that. */
void pel__scan_window(const pel_image *image, const pel__scan_cut *cut, int64_t window[PEL_AXES]);

/* memory: thread_bytes of the scan, the thread's own, content undefined. */
typedef bool pel__scan_task(void *arg, int64_t index, uint8_t *memory, pel_error *err);

/* Called in the caller's thread, between tasks, with the numbers of those that have ended since: [first, first + count). */
typedef void pel__scan_ended(void *arg, int64_t first, int64_t count);

typedef struct pel__scan {
    const char *phase;
    const pel_scan *options;
    const pel__scan_means *means;
    int64_t tasks, thread_bytes;
    int64_t total_bytes; /* pixels, for progress; tasks count as equal parts of it */
    pel__scan_task *task;
    pel__scan_ended *ended; /* in the order of their numbers, without a gap */
    void *arg;
} pel__scan;

/* At most so many tasks have begun or ended since `ended` was last called. */
int64_t pel__scan_wave(const pel__scan_means *means);

/* Runs task 0 .. tasks-1, each once, in any order on the threads of the means. */
bool pel__scan_run(const pel__scan *scan, pel_error *err);

#endif
