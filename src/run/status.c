/* SPDX-License-Identifier: MIT
 * Progress as others see it: status.json, written by the worker, and the same facts gathered anew from plan and ledger
 * by anybody who sees the folder. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/own_file.h"
#include "core/owner.h"
#include "core/region.h"
#include "core/text.h"
#include "run/raw_text.h"
#include "run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void pel__books_close(pel__books *b)
{
    pel__ledger_close(b->ledger);
    json_object_put(b->document);
    pel__plan_destroy(&b->plan);
}

/* Counts jobs from the plan's images without opening the input. */
static bool count_jobs(pel__books *b, pel_error *err)
{
    pel_run *run = calloc(1, sizeof *run);
    json_object *images = NULL;
    if (!run)
        return pel__fail(err, PEL_NO_MEMORY, "no memory");
    run->document = b->document;
    (void)snprintf(run->folder, sizeof run->folder, "%s", b->folder);
    (void)json_object_object_get_ex(b->document, "images", &images);
    run->image_count = (int32_t)json_object_array_length(images);
    const bool ok = pel__document_read_plan(run, err);
    for (int32_t i = 0; ok && i < run->image_count; i++) {
        const pel__plan_image *p = &run->plan.images[i];
        b->blocks += pel__grid_cells(&p->bounds, p->block);
        for (int32_t k = p->owned_levels; k < p->layout.level_count; k++) {
            const pel_region shape = pel__region(PEL_AXES, NULL, p->layout.level[k].shape);
            b->jobs += pel__grid_cells(&shape, p->layout.level[k].shard);
        }
    }
    b->jobs += b->blocks;
    b->plan = run->plan;
    free(run);
    return ok;
}

bool pel__books_open(pel__books *b, const char *output, pel_error *err)
{
    memset(b, 0, sizeof *b);
    char path[PEL__PATH_MAX];
    const bool ok = pel_run_folder(b->folder, sizeof b->folder, output, err) &&
                    (pel__document_load(&b->document, b->folder, err) || pel__where(err, "%s: no run belongs to it: ", output)) &&
                    pel__run_output(path, sizeof path, output, b->folder, b->document, err) &&
                    count_jobs(b, err) && pel__ledger_open(&b->ledger, b->folder, pel__document_run(b->document), b->jobs, err);
    if (!ok)
        pel__books_close(b);
    return ok;
}

static json_object *load_json(const char *folder, const char *name)
{
    char path[PEL__PATH_MAX];
    char *text = NULL;
    size_t n = 0;
    if (!pel__path_join(path, sizeof path, folder, name, NULL) || !pel__file_slurp(&text, &n, path, 1 << 20, NULL))
        return NULL;
    json_object *o = json_tokener_parse(text);
    free(text);
    return o;
}

static int64_t member_integer(const json_object *o, const char *name)
{
    json_object *v = NULL;
    return o && json_object_object_get_ex(o, name, &v) ? json_object_get_int64(v) : 0;
}

static void copy_member(char *out, size_t size, const json_object *o, const char *name)
{
    json_object *v = NULL;
    const char *text = o && json_object_object_get_ex(o, name, &v) ? pel__text_or(json_object_get_string(v), "") : "";
    (void)snprintf(out, size, "%s", text);
}

/* Of a folder only: nobody is asked over a network for a status. */
static bool is_gone(const char *output)
{
    return output[0] && !strstr(output, "://") && access(output, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

/* "running" in the file counts only while somebody works: a killed process leaves it behind. "planned" is what was there
 * before anybody worked. */
static void settle_state(pel_status *s, const json_object *file, int64_t jobs)
{
    copy_member(s->state, sizeof s->state, file, "state");
    if (s->workers == 0 && s->blocks_done > 0 && is_gone(s->output))
        (void)snprintf(s->state, sizeof s->state, "output gone");
    else if (s->workers > 0)
        (void)snprintf(s->state, sizeof s->state, "running");
    else if (s->state[0] == '\0' || strcmp(s->state, "planned") == 0)
        (void)snprintf(s->state, sizeof s->state, s->blocks_done == 0 ? "planned" : "interrupted");
    else if (strcmp(s->state, "running") == 0 || (strcmp(s->state, "done") == 0 && s->blocks_done + s->pyramid_done < jobs))
        (void)snprintf(s->state, sizeof s->state, "interrupted");
}

#define WITHOUT_A_WORD "ended without a word: killed, out of memory, or its host went down; the same command goes on"
#define PROCESS "process %lld on %.200s"

/* What a manager that still works keeps in its file; one that ends says so there. */
static void settle_manager(pel_status *s, const char *folder)
{
    char state[16], host[200];
    json_object *const o = load_json(folder, "manager.json");
    copy_member(state, sizeof state, o, "state");
    copy_member(host, sizeof host, o, "host");
    if (strcmp(state, "running") == 0 || strcmp(state, "draining") == 0 || strcmp(state, "finishing") == 0)
        (void)snprintf(s->reason, sizeof s->reason, "the manager, " PROCESS ", " WITHOUT_A_WORD, (long long)member_integer(o, "pid"), host);
    json_object_put(o);
}

/* Who was killed could not say why: what is left of it does. Whoever begins takes back what was told before. */
static void settle_reason(pel_status *s, const json_object *file, const char *folder)
{
    char told[sizeof s->reason], state[16], text[256];
    pel__owner owner;
    copy_member(told, sizeof told, file, "reason");
    copy_member(state, sizeof state, file, "state");
    copy_member(text, sizeof text, file, "owner");
    if (strcmp(s->state, "running") == 0 || strcmp(s->state, "done") == 0) {
        s->reason[0] = '\0';
        return;
    }
    s->silent = !told[0];
    if (told[0])
        (void)snprintf(s->reason, sizeof s->reason, "%s", told);
    else if (strcmp(state, "running") == 0 && !s->reason[0] && pel__owner_parse(&owner, text))
        (void)snprintf(s->reason, sizeof s->reason, PROCESS " " WITHOUT_A_WORD, (long long)owner.pid, owner.host);
    else if (strcmp(state, "running") == 0 && !s->reason[0])
        (void)snprintf(s->reason, sizeof s->reason, "its process " WITHOUT_A_WORD);
    else if (!s->reason[0])
        settle_manager(s, folder);
}

/* Of those that share a run each may have limits of its own: the most that one of them promised. */
static void add_worker(void *arg, const pel_run_worker *w)
{
    pel_status *s = arg;
    if (!w->alive) {
        (void)snprintf(s->reason, sizeof s->reason, PROCESS " " WITHOUT_A_WORD, (long long)w->pid, w->host);
        return;
    }
    s->memory_promised = pel__max(s->memory_promised, w->memory_promised);
    s->memory_limit = pel__max(s->memory_limit, w->memory_limit);
    s->memory_peak = pel__max(s->memory_peak, w->memory_peak);
}

bool pel_run_status(pel_status *out, const char *output, pel_error *err)
{
    pel__books b;
    if (!pel__books_open(&b, output, err))
        return false;
    *out = (pel_status){0};
    json_object *file = load_json(b.folder, "status.json");
    const pel__ledger_totals t = pel__ledger_sums(b.ledger);
    (void)snprintf(out->input, sizeof out->input, "%s", pel__document_text(b.document, "input", "path"));
    if (!pel__run_output(out->output, sizeof out->output, output, b.folder, b.document, NULL))
        out->output[0] = '\0';
    (void)snprintf(out->filter, sizeof out->filter, "%s", pel__document_text(b.document, "settings", "filter"));
    (void)snprintf(out->run, sizeof out->run, "%s", pel__document_run(b.document));
    out->blocks_total = b.blocks;
    out->blocks_done = pel__ledger_count_done(b.ledger, 0, b.blocks);
    out->blocks_failed = pel__ledger_count_failed(b.ledger, 0, b.jobs);
    out->pyramid_total = b.jobs - b.blocks;
    out->pyramid_done = pel__ledger_count_done(b.ledger, b.blocks, b.jobs - b.blocks);
    out->voxels = t.voxels;
    out->clipped = t.clipped;
    out->blocks_damaged = t.damaged;
    out->bytes_written = t.bytes_written;
    out->seconds = t.seconds;
    out->memory_promised = member_integer(file, "memory_promised");
    out->memory_limit = member_integer(file, "memory_limit");
    copy_member(out->memory_by, sizeof out->memory_by, file, "memory_by");
    out->memory_peak = pel__max(t.rss_peak_bytes, member_integer(file, "memory_peak"));
    copy_member(out->last_error, sizeof out->last_error, file, "last_error");
    out->workers = pel__workers_alive(out->worker, sizeof out->worker, b.folder);
    (void)pel_run_each_worker(output, add_worker, out, NULL);
    settle_state(out, file, b.jobs);
    settle_reason(out, file, b.folder);
    json_object_put(file);
    pel__books_close(&b);
    return true;
}

typedef struct {
    pel__ledger *ledger;
    pel_on_failure *failure;
    void *arg;
} failure_arg;

static bool visit_failure(void *arg, const pel__ledger_record *r, pel_error *err)
{
    const failure_arg *f = arg;
    if (!r->ok && pel__ledger_failed(f->ledger, r->job))
        f->failure(f->arg, r->job, r->attempt, r->host, r->error);
    return true;
}

bool pel_run_failures(const char *output, pel_on_failure *failure, void *arg, pel_error *err)
{
    pel__books b;
    if (!pel__books_open(&b, output, err))
        return false;
    failure_arg f = {.ledger = b.ledger, .failure = failure, .arg = arg};
    const bool ok = pel__ledger_each(b.ledger, visit_failure, &f, err);
    pel__books_close(&b);
    return ok;
}

typedef struct {
    int64_t block;
    pel_on_try *each;
    void *arg;
} history_arg;

static bool visit_try(void *arg, const pel__ledger_record *r, pel_error *err)
{
    const history_arg *h = arg;
    if (h->block >= 0 && r->job != h->block)
        return true;
    const pel_try t = {.block = r->job, .done = r->ok, .attempt = r->attempt, .at_us = r->at_us, .seconds = r->seconds,
                       .memory_peak = r->rss_bytes, .host = r->host, .text = r->ok ? "" : r->error};
    h->each(h->arg, &t);
    return true;
}

bool pel_run_history(const char *output, int64_t block, pel_on_try *each, void *arg, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    history_arg h = {.block = block, .each = each, .arg = arg};
    json_object *document = NULL;
    const bool ok = pel_run_folder(folder, sizeof folder, output, err) && pel__document_load(&document, folder, err) &&
                    pel__ledger_all(folder, pel__document_run(document), visit_try, &h, err);
    json_object_put(document);
    return ok;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

static void add_integer(json_object *o, const char *name, int64_t v)
{
    json_object_object_add(o, name, json_object_new_int64(v));
}

static json_object *status_json(pel_run *run, const char *state)
{
    const pel__ledger_totals t = pel__ledger_sums(run->ledger);
    const int64_t blocks = run->plan.block_count, jobs = run->plan.job_count, resident = pel__resident_bytes();
    char last[512], names[160];
    pel__pipeline_names(run->pipeline, names, sizeof names);
    pel__ledger_last_error(run->ledger, last, sizeof last);
    json_object *o = json_object_new_object();
    json_object_object_add(o, "state", json_object_new_string(state));
    json_object_object_add(o, "filter", json_object_new_string(names));
    pel__raw_text_show(o, "input", run->input);
    pel__raw_text_show(o, "output", run->output);
    add_integer(o, "blocks_done", pel__ledger_count_done(run->ledger, 0, blocks));
    add_integer(o, "blocks_total", blocks);
    add_integer(o, "failed", pel__ledger_count_failed(run->ledger, 0, jobs));
    add_integer(o, "pyramid_done", pel__ledger_count_done(run->ledger, blocks, jobs - blocks));
    add_integer(o, "pyramid_total", jobs - blocks);
    add_integer(o, "voxels", t.voxels);
    add_integer(o, "clipped", t.clipped);
    add_integer(o, "blocks_damaged", t.damaged);
    add_integer(o, "bytes_written", t.bytes_written);
    add_integer(o, "memory_promised", run->plan.memory.total);
    add_integer(o, "memory_limit", run->request.memory_bytes);
    json_object_object_add(o, "memory_by", json_object_new_string(run->memory_by));
    add_integer(o, "memory_peak", pel__max(t.rss_peak_bytes, resident));
    add_integer(o, "memory_now", resident);
    pel__raw_text_show(o, "last_error", last);
    pel__raw_text_show(o, "reason", run->reason);
    char owner[256];
    pel__owner self;
    pel__owner_self(&self);
    pel__owner_text(&self, owner, sizeof owner);
    json_object_object_add(o, "owner", json_object_new_string(owner));
    add_integer(o, "threads", run->request.threads);
    json_object_object_add(o, "seconds", json_object_new_double(run->started > 0 ? pel__now() - run->started : 0));
    return o;
}

static const char *text_of(json_object *o)
{
    return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* Over what is there: on a full disk only the old file has room. A reader who comes meanwhile may find nothing to read. */
static bool write_in_place(const char *folder, const char *text, size_t n)
{
    const int fd = pel__open_own(folder, "status.json", O_WRONLY, NULL);
    if (fd < 0)
        return false;
    const bool ok = pwrite(fd, text, n, 0) == (ssize_t)n && ftruncate(fd, (off_t)n) == 0;
    return close(fd) == 0 && ok;
}

static bool write_whole(const char *folder, json_object *o, pel_error *err)
{
    char path[PEL__PATH_MAX];
    const char *const text = text_of(o);
    if (!text)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory", folder);
    const pel__piece piece[] = {{text, strlen(text)}, {"\n", 1}};
    return pel__path_join(path, sizeof path, folder, "status.json", err) &&
           (pel__file_replace(path, piece, 2, err) || write_in_place(folder, text, piece[0].n));
}

bool pel_run_note_stop(const char *run, const char *reason, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    if (!pel_run_folder(folder, sizeof folder, run, err))
        return false;
    json_object *const o = load_json(folder, "status.json");
    if (!json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        return true; /* nobody has begun */
    }
    json_object_object_add(o, "reason", json_object_new_string(reason));
    const bool ok = write_whole(folder, o, err);
    json_object_put(o);
    return ok;
}

bool pel__status_write(pel_run *run, const char *state, pel_error *err)
{
    json_object *o = status_json(run, state);
    const char *text = text_of(o);
    bool ok = text && pel__worker_write(run->folder, text, err);
    if (run->finishing) /* of many that share a run, none speaks for the whole */
        ok = write_whole(run->folder, o, err) && ok;
    json_object_put(o);
    return ok;
}

bool pel__status_begin(pel_run *run, pel_error *err)
{
    json_object *o = status_json(run, "planned");
    const bool ok = write_whole(run->folder, o, err);
    json_object_put(o);
    return ok;
}
