/* SPDX-License-Identifier: MIT
 * The audit: every file that the ledger names, against the disk. Files are checked in batches on all threads. */
#include "core/bytes.h"
#include "core/error.h"
#include "run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BATCH 256
#define READ_AT_ONCE (1 << 18)

typedef struct {
    pel__ledger_file file;
    int64_t job;
    bool missing, damaged;
    char found[96];
} entry;

typedef struct {
    pel_run *run;
    pel__audit *out;
    bool deep;
    entry batch[BATCH];
    int32_t count;
    int64_t expected;   /* files of the plan, for the progress */
    int64_t *bad;       /* jobs that do not hold */
    int64_t bad_count, bad_room;
} auditor;

static bool checksum_file(pel__file *f, uint32_t *crc, pel_error *err)
{
    char *buffer = malloc(READ_AT_ONCE);
    bool ok = buffer != NULL;
    *crc = 0;
    for (int64_t at = 0; ok && at < pel__file_size(f); at += READ_AT_ONCE) {
        size_t got = 0;
        ok = pel__file_read_some(f, at, buffer, READ_AT_ONCE, &got, err);
        *crc = pel__crc32c(*crc, buffer, got);
    }
    free(buffer);
    return ok;
}

static bool check_one(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    auditor *a = arg;
    entry *e = &a->batch[index];
    char path[PEL__PATH_MAX];
    struct stat st;
    pel__file *f = NULL;
    uint32_t crc = e->file.crc32c;
    if (!pel__path_join(path, sizeof path, a->run->output, e->file.path, err))
        return false;
    if (e->file.bytes < 0) {
        e->damaged = stat(path, &st) == 0;
        (void)snprintf(e->found, sizeof e->found, "a file where none belongs");
    } else if (!a->deep) {
        e->missing = stat(path, &st) != 0;
        e->damaged = !e->missing && st.st_size != e->file.bytes;
        (void)snprintf(e->found, sizeof e->found, "another length");
    } else if (!pel__file_open(&f, path, NULL)) {
        e->missing = true;
    } else {
        e->damaged = pel__file_size(f) != e->file.bytes || !checksum_file(f, &crc, NULL) || crc != e->file.crc32c;
        (void)snprintf(e->found, sizeof e->found, "%lld bytes, checksum %08x, expected %lld, %08x",
                       (long long)pel__file_size(f), (unsigned)crc, (long long)e->file.bytes, (unsigned)e->file.crc32c);
    }
    pel__file_close(f);
    return true;
}

static bool keep_bad_job(auditor *a, int64_t job, pel_error *err)
{
    if (a->bad_count > 0 && a->bad[a->bad_count - 1] == job)
        return true;
    if (a->bad_count == a->bad_room) {
        const int64_t room = a->bad_room > 0 ? 2 * a->bad_room : 64;
        int64_t *bad = realloc(a->bad, (size_t)room * sizeof *bad);
        if (!bad)
            return pel__fail(err, PEL_NO_MEMORY, "audit: no memory");
        a->bad = bad;
        a->bad_room = room;
    }
    a->bad[a->bad_count++] = job;
    return true;
}

static bool check_batch(auditor *a, pel_error *err)
{
    if (!pel__pool_run(a->run->pool, PEL__READ_NEXT, a->count, check_one, a, err))
        return false;
    for (int32_t i = 0; i < a->count; i++) {
        const entry *e = &a->batch[i];
        a->out->files += e->file.bytes >= 0;
        a->out->missing += e->missing;
        a->out->damaged += e->damaged;
        if (!e->missing && !e->damaged)
            continue;
        if (!a->out->first[0])
            (void)snprintf(a->out->first, sizeof a->out->first, "%.120s (job %lld): %s", e->file.path, (long long)e->job,
                           e->missing ? "missing" : e->found);
        if (!keep_bad_job(a, e->job, err))
            return false;
    }
    a->count = 0;
    if (a->run->on_progress && a->deep) {
        const pel_progress p = {.phase = "audit", .done = a->out->files, .total = a->expected};
        if (!a->run->on_progress(a->run->progress_arg, &p)) {
            atomic_store(&a->run->stop, true);
            return pel__fail(err, PEL_INTERRUPTED, "interrupted during the audit");
        }
    }
    return true;
}

static bool visit(void *arg, const pel__ledger_record *record, pel_error *err)
{
    auditor *a = arg;
    for (int32_t i = 0; record->ok && i < record->file_count; i++) {
        a->batch[a->count++] = (entry){.file = record->files[i], .job = record->job};
        if (a->count == BATCH && !check_batch(a, err))
            return false;
    }
    return true;
}

static bool mark_bad(const auditor *a, pel_error *err)
{
    for (int64_t i = 0; i < a->bad_count; i++) {
        const pel__ledger_record r = {.job = a->bad[i], .withdraw = true, .error = "audit: a file of this job is missing or damaged"};
        pel__run_log(a->run, "audit: job %lld does not hold and will be done again", (long long)a->bad[i]);
        if (!pel__ledger_append(a->run->ledger, &r, err))
            return false;
    }
    return true;
}

bool pel__run_audit(pel_run *run, bool deep, bool mark, pel__audit *out, pel_error *err)
{
    *out = (pel__audit){0};
    auditor *a = calloc(1, sizeof *a);
    if (!a)
        return pel__fail(err, PEL_NO_MEMORY, "audit: no memory");
    pel_plan_summary summary;
    pel_run_summary(run, &summary);
    *a = (auditor){.run = run, .out = out, .deep = deep, .expected = summary.files};
    const bool ok = pel__ledger_each(run->ledger, visit, a, err) && check_batch(a, err) && (!mark || mark_bad(a, err));
    free(a->bad);
    free(a);
    return ok;
}
