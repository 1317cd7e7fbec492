/* SPDX-License-Identifier: MIT
 * What happens around the engine: take the lock, make or take over the output, clear what a killed writer left, open
 * the books; then phase by phase the blocks and the pyramid levels that no block owns; at the end the audit. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/own_file.h"
#include "core/region.h"
#include "run/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- memory, as the system sees it --------------------------------------------------------------------------------- */

static int64_t status_kib(const char *path, const char *field)
{
    FILE *f = fopen(path, "re");
    char line[256];
    int64_t kib = 0;
    const size_t n = strlen(field);
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, field, n) == 0)
            kib = strtoll(line + n, NULL, 10);
    }
    if (f)
        (void)fclose(f);
    return kib;
}

int64_t pel__resident_self(void)
{
    return status_kib("/proc/self/status", "VmRSS:") * 1024;
}

/* Helper processes (the JPEG XR decoder) are children of the reading threads. */
static int64_t children_kib(void)
{
    char path[64], list[4096] = "";
    int64_t kib = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/children", e->d_name);
        FILE *f = fopen(path, "re");
        if (f && fgets(list, sizeof list, f)) {
            for (char *at = list, *end = NULL; strtol(at, &end, 10) > 0; at = end) {
                (void)snprintf(path, sizeof path, "/proc/%ld/status", strtol(at, NULL, 10));
                kib += status_kib(path, "VmRSS:");
            }
        }
        if (f)
            (void)fclose(f);
    }
    if (d)
        (void)closedir(d);
    return kib;
}

int64_t pel__resident_bytes(void)
{
    return (status_kib("/proc/self/status", "VmRSS:") + children_kib()) * 1024;
}

/* ---- log ----------------------------------------------------------------------------------------------------------- */

static bool open_log(pel_run *run, pel_error *err)
{
    char name[160], tag[PEL__TAG_MAX];
    pel__owner_tag(tag, sizeof tag);
    (void)snprintf(name, sizeof name, "log/%s.log", tag);
    run->log_fd = pel__open_own(run->folder, name, O_WRONLY | O_CREAT | O_APPEND, err);
    return run->log_fd >= 0 || pel__where(err, "cannot create the log: ");
}

void pel__run_log(pel_run *run, const char *fmt, ...)
{
    if (run->log_fd < 0)
        return;
    char line[1024];
    struct timespec t = {0};
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    size_t n = gmtime_r(&t.tv_sec, &utc) ? strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%SZ ", &utc) : 0;
    va_list args;
    va_start(args, fmt);
    const int k = vsnprintf(line + n, sizeof line - n - 1, fmt, args);
    va_end(args);
    n = k > 0 ? (size_t)pel__min((int64_t)n + k, (int64_t)sizeof line - 2) : n;
    line[n++] = '\n';
    (void)!write(run->log_fd, line, n); /* a log that cannot be written must not end the run */
}

/* ---- clearing up ---------------------------------------------------------------------------------------------------- */

static int remove_any(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    return remove(path) != 0 && errno != ENOENT;
}

static void clear_temporaries(char *folder, int depth, char *run)
{
    DIR *const d = opendir(folder);
    const size_t n = strlen(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || n + 1 + strlen(e->d_name) >= PEL__PATH_MAX)
            continue;
        (void)snprintf(folder + n, PEL__PATH_MAX - n, "/%s", e->d_name);
        const bool there = lstat(folder, &st) == 0; /* links are not followed */
        if (there && S_ISDIR(st.st_mode) && depth > 0)
            clear_temporaries(folder, depth - 1, run);
        else if (there && S_ISREG(st.st_mode) && strncmp(e->d_name, ".tmp-", 5) == 0 && !pel__worker_keeps(run, e->d_name))
            (void)unlink(folder);
        folder[n] = '\0';
    }
    if (d)
        (void)closedir(d);
}

static bool remove_tree(const char *path, pel_error *err)
{
    if (nftw(path, remove_any, 32, FTW_PHYS | FTW_DEPTH) != 0 && errno != ENOENT)
        return pel__fail_errno(err, errno, "%s: cannot remove", path);
    return true;
}

static bool begin_anew(const pel_run *run, pel_error *err)
{
    char path[PEL__PATH_MAX], folder[PEL__PATH_MAX];
    const pel__sink_spec spec = {.path = run->output, .remote = run->remote};
    if (!pel__run_check_ours(run, err) || !pel__path_join(path, sizeof path, run->folder, "plan.json", err))
        return false;
    return run->sink_type->clear(&spec, err) && pel__path_join(folder, sizeof folder, run->folder, "ledger", err) &&
           remove_tree(folder, err) && (unlink(path) == 0 || errno == ENOENT || pel__fail_errno(err, errno, "%s: cannot remove", path));
}

/* ---- beginning ------------------------------------------------------------------------------------------------------ */

/* The plan is written before the output, so that an output without plan is never ours. */
static bool make_output(pel_run *run, pel_error *err)
{
    return ((run->resumed && !run->moved) || pel__document_save(run, err)) && pel__run_create_output(run, err);
}

bool pel__run_prepare(pel_run *run, pel_error *err)
{
    bool stale = false;
    if (!pel__make_dirs(run->folder, err) || !pel__lock_take(&run->lock, run->folder, "lock", PEL__LOCK_WHOLE, &stale, err))
        return false;
    const bool ok = (!run->fresh || run->resumed || begin_anew(run, err)) &&
                    pel__ledger_open(&run->ledger, run->folder, pel__document_run(run->document), run->plan.job_count, err) && make_output(run, err) &&
                    (pel__ledger_count_done(run->ledger, 0, run->plan.job_count) > 0 || pel__status_begin(run, err));
    pel__lock_release(run->lock);
    run->lock = NULL;
    return ok;
}

static bool check_share(const pel_run *run, const pel_share *share, pel_error *err)
{
    if (share->parts > 0 && (share->part < 1 || share->part > share->parts))
        return pel__fail(err, PEL_ARGUMENT, "part: found %lld/%lld, expected 1/%lld to %lld/%lld", (long long)share->part,
                         (long long)share->parts, (long long)share->parts, (long long)share->parts, (long long)share->parts);
    for (int64_t i = 0; share->parts == 0 && i < share->block_count; i++) {
        if (share->blocks[i] < 0 || share->blocks[i] >= run->plan.block_count)
            return pel__fail(err, PEL_ARGUMENT, "block: found %lld, expected 0 to %lld", (long long)share->blocks[i],
                             (long long)run->plan.block_count - 1);
    }
    return true;
}

/* Who has the run whole may clear up after those who were killed; who shares it leaves others' files alone. */
static bool clear_up(pel_run *run, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s", run->folder);
    clear_temporaries(folder, 2, run->folder);
    pel__audit audit = {0};
    return run->sink_type->sweep(run->sink, err) && pel__run_audit(run, PEL__LOOK_LENGTH, true, &audit, err);
}

/* Of a list of blocks nothing else is asked; whoever finishes the run reads it all (pel__run_is_last). */
static bool open_ledger(pel_run *run, pel_error *err)
{
    const pel_share *share = run->share;
    if (!share || share->parts > 0)
        return pel__ledger_open(&run->ledger, run->folder, pel__document_run(run->document), run->plan.job_count, err);
    uint8_t *wanted = calloc((size_t)run->plan.job_count + 1, 1);
    if (!wanted)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %lld jobs", (long long)run->plan.job_count);
    for (int64_t i = 0; i < share->block_count; i++)
        wanted[share->blocks[i]] = 1;
    const bool ok = pel__ledger_open_some(&run->ledger, run->folder, pel__document_run(run->document), run->plan.job_count, wanted, err);
    free(wanted);
    return ok;
}

bool pel__run_begin(pel_run *run, const pel_share *share, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    bool stale = false;
    run->share = share;
    run->finishing = share == NULL;
    run->on_progress = on_progress;
    run->progress_arg = arg;
    run->started = pel__now();
    run->phase_level = -1;
    run->repaired = run->audited = false;
    atomic_store(&run->stop, false);
    if (run->looking)
        return pel__fail(err, PEL_ARGUMENT, "%s: was opened to be verified only", run->output);
    if ((share && !check_share(run, share, err)) || !pel__make_dirs(run->folder, err) ||
        !pel__lock_take(&run->lock, run->folder, "lock", share ? PEL__LOCK_SHARED : PEL__LOCK_WHOLE, &stale, err) ||
        !open_log(run, err))
        return false;
    if ((run->fresh && !run->resumed && !begin_anew(run, err)) || !open_ledger(run, err) ||
        !make_output(run, err) || !pel__run_take_means(run, err))
        return false;
    char names[160];
    pel__pipeline_names(run->pipeline, names, sizeof names);
    pel__source_cache(run->source, run->plan.memory.kept_tiles, !pel__pipeline_computes(run->pipeline)); /* no halos */
    if (!pel__source_watch(run->source, err))
        return false;
    pel__run_log(run, "%s %s -> %s, %lld blocks, %lld done%s", names, run->input, run->output,
                 (long long)run->plan.block_count, (long long)pel__ledger_count_done(run->ledger, 0, run->plan.block_count),
                 stale ? "; the last process ended without a word" : "");
    (void)pel__status_write(run, "running", NULL);
    return share || !run->resumed || clear_up(run, err);
}

/* ---- phases ----------------------------------------------------------------------------------------------------------- */

static void close_below(pel_run *run)
{
    for (int32_t i = 0; run->below && i < run->image_count; i++)
        pel_source_destroy(run->below[i]);
    free(run->below);
    run->below = NULL;
}

static bool open_below(pel_run *run, int32_t level, pel_error *err)
{
    close_below(run);
    run->below = calloc((size_t)run->image_count, sizeof *run->below);
    if (!run->below)
        return pel__fail(err, PEL_NO_MEMORY, "no memory to read the output back");
    for (int32_t i = 0; i < run->image_count; i++) {
        const pel__plan_image *p = &run->plan.images[i];
        if (level >= p->owned_levels && level < p->layout.level_count &&
            !pel__run_open_output(&run->below[i], run, i, level - 1, err))
            return false;
    }
    return true;
}

/* Jobs of one pyramid level lie image by image; the phase runs over one image's at a time. */
static bool find_pyramid_phase(const pel_run *run, int32_t *level, int64_t *first, int64_t *end)
{
    for (int32_t k = 1; k < PEL__MAX_LEVELS; k++) {
        for (int32_t i = 0; i < run->plan.image_count; i++) {
            const pel__plan_image *p = &run->plan.images[i];
            if (k < p->owned_levels || k >= p->layout.level_count)
                continue;
            if (pel__ledger_count_done(run->ledger, p->first_pyramid[k], p->pyramid_count[k]) == p->pyramid_count[k])
                continue;
            *level = k;
            *first = p->first_pyramid[k];
            *end = *first + p->pyramid_count[k];
            return true;
        }
    }
    return false;
}

int64_t pel__run_phase_job(const pel_run *run, int64_t index)
{
    const pel_share *s = run->share;
    if (run->phase_level > 0)
        return index;
    if (!s || run->repaired)
        return pel__plan_turn(&run->plan, index);
    if (s->parts == 0)
        return s->blocks[index];
    const int64_t most = pel__max(1, run->plan.block_count / s->parts); /* everybody gets some */
    const int64_t stretch = pel__min(pel__plan_stretch(&run->plan), most);
    return index / stretch % s->parts == s->part - 1 ? pel__plan_turn(&run->plan, index) : -1;
}

static bool begin_phase(pel_run *run, int32_t level, int64_t first, int64_t end, pel_error *err)
{
    run->phase_level = level;
    run->phase_first = run->next_job = first;
    run->phase_end = end;
    run->phase_total = run->phase_before = 0;
    atomic_store(&run->phase_done, 0);
    for (int64_t i = first; i < end; i++) {
        const int64_t job = pel__run_phase_job(run, i);
        run->phase_total += job >= 0;
        run->phase_before += job >= 0 && pel__ledger_done(run->ledger, job);
    }
    return pel__bench_alloc(run, level, err);
}

/* Blocks first. Pyramid levels only when every block is there, each level when the one below is complete. */
bool pel__run_next_phase(pel_run *run, pel_error *err)
{
    const int64_t blocks = run->plan.block_count;
    const bool blocks_done = pel__ledger_count_done(run->ledger, 0, blocks) == blocks, by_list = run->share && run->share->parts == 0 && !run->repaired;
    if (run->phase_level < 0 && !blocks_done)
        return begin_phase(run, 0, 0, by_list ? run->share->block_count : blocks, err);
    int32_t level = 0;
    int64_t first = 0, end = 0;
    const int64_t before = run->phase_level > 0 ? run->phase_first : -1;
    if (!run->finishing || !blocks_done || !find_pyramid_phase(run, &level, &first, &end) || first == before)
        return false;
    return open_below(run, level, err) && begin_phase(run, level, first, end, err);
}

#define STATUS_SECONDS 2.0

static bool still_ours(const pel_run *run, pel_error *err)
{
    return pel__lock_keep(run->lock, err) && pel__lock_keep(run->finish_lock, err);
}

bool pel__run_tick(void *arg)
{
    pel_run *run = arg;
    const double now = pel__now();
    if (now - run->last_status >= STATUS_SECONDS) {
        run->last_status = now;
        if (!still_ours(run, NULL))
            return false;
        (void)pel__status_write(run, "running", NULL);
    }
    if (!run->on_progress)
        return true;
    const pel_progress p = {.phase = run->phase_level == 0 ? "blocks" : "pyramid",
                            .done = run->phase_before + atomic_load(&run->phase_done), .total = run->phase_total,
                            .bytes = atomic_load(&run->bytes_worked), .memory_bytes = pel__resident_bytes()};
    return run->on_progress(run->progress_arg, &p);
}

/* ---- the end ----------------------------------------------------------------------------------------------------------- */

bool pel__run_audited(pel_run *run, bool *again, pel_error *err)
{
    pel__audit audit = {0};
    const int64_t jobs = run->plan.job_count;
    *again = false;
    if (!run->finishing || pel__ledger_count_done(run->ledger, 0, jobs) < jobs)
        return true;
    if (!pel__run_audit(run, PEL__LOOK_STORED, true, &audit, err))
        return false;
    run->audited = audit.missing + audit.damaged == 0;
    if (run->audited)
        return true;
    if (run->repaired)
        return pel__fail(err, PEL_INCOMPLETE, "%s: audit: %lld of %lld files missing, %lld damaged, first %s; the same command repairs them",
                         run->output, (long long)audit.missing, (long long)audit.files, (long long)audit.damaged, audit.first);
    pel__run_log(run, "audit: %lld of %lld files missing, %lld damaged, first %s; their jobs are done again", (long long)audit.missing,
                 (long long)audit.files, (long long)audit.damaged, audit.first);
    run->repaired = *again = true;
    run->phase_level = -1;
    return pel__run_mend_documents(run, err);
}

/* Without the plan nobody knows whose output this is. */
static bool has_plan(const pel_run *run, pel_error *err)
{
    char path[PEL__PATH_MAX];
    return pel__path_join(path, sizeof path, run->folder, "plan.json", err) &&
           (access(path, F_OK) == 0 || pel__fail(err, PEL_INCOMPLETE, "%s: was removed or moved while the run worked: put it back, or remove the output and begin anew", path));
}

static bool finish(pel_run *run, pel_error *err)
{
    char last[sizeof err->text];
    const int64_t jobs = run->plan.job_count, done = pel__ledger_count_done(run->ledger, 0, jobs);
    pel__ledger_last_error(run->ledger, last, sizeof last);
    if (done < jobs)
        return pel__fail(err, PEL_INCOMPLETE, "%s: %lld of %lld jobs are not done, the same command tries them again; the last: %s",
                         run->output, (long long)(jobs - done), (long long)jobs, last);
    return (run->audited || pel__fail(err, PEL_INTERNAL, "%s: was not audited", run->output)) && has_plan(run, err) && pel__run_finish_output(run, err);
}

/* Others may have done their shares meanwhile: the ledger is read anew. Whoever gets the second lock finishes. */
bool pel__run_is_last(pel_run *run, pel_error *err)
{
    pel__ledger *now = NULL;
    pel_error why = {0};
    bool stale = false;
    if (run->share->keep_open || !pel__ledger_open(&now, run->folder, pel__document_run(run->document), run->plan.job_count, err))
        return false;
    pel__ledger_close(run->ledger);
    run->ledger = now;
    if (pel__ledger_count_done(now, 0, run->plan.block_count) < run->plan.block_count)
        return false;
    if (!pel__lock_take(&run->finish_lock, run->folder, "lock.finish", PEL__LOCK_WHOLE, &stale, &why)) {
        if (why.code != PEL_REFUSED && err)
            *err = why;
        return false;
    }
    run->finishing = true;
    return true;
}

/* Of a share that does not finish the run: is all of it done? */
static bool share_is_done(pel_run *run, pel_error *err)
{
    char last[sizeof err->text];
    const int64_t left = run->phase_total - run->phase_before - atomic_load(&run->phase_done);
    if (left <= 0)
        return has_plan(run, err);
    if (run->out_of_time)
        return pel__fail(err, PEL_INTERRUPTED, "%s: %lld blocks of this share are left for want of time", run->output, (long long)left);
    pel__ledger_last_error(run->ledger, last, sizeof last);
    return pel__fail(err, PEL_INCOMPLETE, "%s: %lld blocks of this share are not done; the last: %s", run->output, (long long)left, last);
}

bool pel__run_end(pel_run *run, bool ok, pel_error *err)
{
    close_below(run);
    if (!run->ledger)
        return false;
    pel__bench_free(run);
    ok = still_ours(run, err) && ok;
    ok = ok && pel__run_input_holds(run, err) && (run->finishing ? finish(run, err) : share_is_done(run, err));
    const char *state = ok ? "done" : atomic_load(&run->stop) || run->out_of_time ? "interrupted" : "incomplete";
    if (!ok && err)
        (void)snprintf(run->reason, sizeof run->reason, "%s", err->text);
    pel__run_log(run, "%s%s", run->finishing ? "" : "share ", state);
    (void)pel__status_write(run, state, NULL);
    pel__worker_remove(run->folder);
    pel__lock_release(run->finish_lock);
    pel__lock_release(run->lock);
    run->lock = run->finish_lock = NULL;
    return ok;
}
