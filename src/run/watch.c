/* SPDX-License-Identifier: MIT
 * A run looked at from outside, in detail: every job with what the ledger says of it, every process that works. For
 * pages and terminals; what pel_run_status sums up. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "run/run.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- jobs ---------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const pel__books *books;
    pel_on_block *on_block;
    void *arg;
    uint8_t *seen;
} block_arg;

static bool take(int64_t *number, int64_t count)
{
    if (*number < count)
        return true;
    *number -= count;
    return false;
}

/* Image, level and region of a job: the numbering of plan.h, counted from the images alone. */
static void place(pel_run_block *b, const pel__books *books)
{
    int64_t n = b->number;
    for (int32_t i = 0; i < books->plan.image_count; i++) {
        const pel__plan_image *p = &books->plan.images[i];
        b->image = i;
        b->level = 0;
        if (b->number < books->blocks) {
            if (take(&n, pel__grid_cells(&p->bounds, p->block))) {
                b->region = pel__grid_cell(&p->bounds, p->block, n);
                return;
            }
            continue;
        }
        if (i == 0)
            n -= books->blocks;
        for (b->level = p->owned_levels; b->level < p->layout.level_count; b->level++) {
            const pel_region shape = pel__region(PEL_AXES, NULL, p->layout.level[b->level].shape);
            if (take(&n, pel__grid_cells(&shape, p->layout.level[b->level].shard))) {
                b->region = pel__grid_cell(&shape, p->layout.level[b->level].shard, n);
                return;
            }
        }
    }
}

static bool visit_record(void *arg, const pel__ledger_record *r, pel_error *err)
{
    const block_arg *v = arg;
    if (v->seen[r->job])
        return true;
    v->seen[r->job] = 1;
    pel_run_block b = {.number = r->job, .state = r->ok ? PEL_BLOCK_DONE : PEL_BLOCK_FAILED, .attempt = r->attempt, .seconds = r->seconds,
                       .memory_bytes = r->rss_bytes, .at_us = r->at_us, .host = r->host ? r->host : "",
                       .error = r->error && !r->ok ? r->error : ""};
    place(&b, v->books);
    v->on_block(v->arg, &b);
    return true;
}

bool pel_run_each_block(const char *output, pel_on_block *on_block, void *arg, pel_error *err)
{
    pel__books books;
    if (!pel__books_open(&books, output, err))
        return false;
    block_arg v = {.books = &books, .on_block = on_block, .arg = arg, .seen = calloc((size_t)books.jobs + 1, 1)};
    bool ok = v.seen ? pel__ledger_each(books.ledger, visit_record, &v, err)
                     : pel__fail(err, PEL_NO_MEMORY, "no memory to list %lld blocks", (long long)books.jobs);
    for (int64_t i = 0; ok && i < books.jobs; i++) {
        if (v.seen[i])
            continue;
        pel_run_block b = {.number = i, .host = "", .error = ""};
        place(&b, &books);
        on_block(arg, &b);
    }
    free(v.seen);
    pel__books_close(&books);
    return ok;
}

/* ---- workers -------------------------------------------------------------------------------------------------------------- */

static int64_t integer(const json_object *o, const char *name)
{
    json_object *v = NULL;
    return o && json_object_object_get_ex(o, name, &v) ? json_object_get_int64(v) : 0;
}

static void show_worker(const char *folder, const char *name, pel_on_worker *on_worker, void *arg)
{
    char path[PEL__PATH_MAX], host[256];
    char *text = NULL;
    size_t n = 0;
    int64_t pid = 0;
    struct stat st;
    if (!pel__worker_name(name, host, sizeof host, &pid) || !pel__path_join(path, sizeof path, folder, name, NULL) || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    json_object *o = pel__file_slurp(&text, &n, path, 1 << 20, NULL) ? json_tokener_parse(text) : NULL, *seconds = NULL;
    const pel_run_worker w = {
        .host = host, .pid = pid, .alive = pel__worker_alive(path, name),
        .sign_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000,
        .seconds = o && json_object_object_get_ex(o, "seconds", &seconds) ? json_object_get_double(seconds) : 0,
        .threads = (int32_t)integer(o, "threads"), .memory_now = integer(o, "memory_now"), .memory_peak = integer(o, "memory_peak"),
        .memory_promised = integer(o, "memory_promised"), .memory_limit = integer(o, "memory_limit")};
    on_worker(arg, &w);
    json_object_put(o);
    free(text);
}

bool pel_run_each_worker(const char *output, pel_on_worker *on_worker, void *arg, pel_error *err)
{
    char run[PEL__PATH_MAX], folder[PEL__PATH_MAX];
    if (!pel_run_folder(run, sizeof run, output, err) || !pel__path_join(folder, sizeof folder, run, "workers", err))
        return false;
    DIR *d = opendir(folder); /* none: nobody works */
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        show_worker(folder, e->d_name, on_worker, arg);
    if (d)
        (void)closedir(d);
    return true;
}
