/* SPDX-License-Identifier: MIT
 * The audit: every file that the ledger names, against what is stored. Files are checked in batches on all threads. */
#include "core/error.h"
#include "run/run.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 256

typedef struct {
    pel__ledger_file file;
    int64_t job;
    bool missing, damaged;
    char found[160];
} entry;

typedef struct {
    pel_run *run;
    pel__audit *out;
    enum pel__look how;
    pel__pool *crew;
    entry batch[BATCH];
    int32_t count;
    int64_t expected;   /* files of the plan, for the progress */
    int64_t *bad;       /* jobs that do not hold */
    int64_t bad_count, bad_room;
} auditor;

/* Of records of older versions the CRC-32C, which tells damage, not exchange: docs/formats-run.md. */
static bool same_checksum(const pel__ledger_file *file, const pel__file_found *f)
{
    if (file->sum == PEL__SUM_CRC32C)
        return f->crc32c == file->crc32c;
    return file->sum == PEL__SUM_XXH3 && pel__digest_equal(&f->digest, &file->digest);
}

static void tell_checksums(entry *e, const pel__file_found *f)
{
    char found[PEL__DIGEST_TEXT] = "", expected[PEL__DIGEST_TEXT] = "none";
    if (e->file.sum == PEL__SUM_CRC32C) {
        (void)snprintf(found, sizeof found, "%08x", (unsigned)f->crc32c);
        (void)snprintf(expected, sizeof expected, "%08x", (unsigned)e->file.crc32c);
    } else {
        (void)pel__digest_text(&f->digest, found);
        if (e->file.sum == PEL__SUM_XXH3)
            (void)pel__digest_text(&e->file.digest, expected);
    }
    (void)snprintf(e->found, sizeof e->found, "%lld bytes, checksum %s, expected %lld, %s", (long long)f->bytes, found,
                   (long long)e->file.bytes, expected);
}

static bool check_one(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    auditor *a = arg;
    entry *e = &a->batch[index];
    pel__file_found f;
    const enum pel__look how = e->file.bytes < 0 ? PEL__LOOK_LENGTH : a->how;
    if (!a->run->sink_type->look(a->run->sink, e->file.path, how, &f, err))
        return false;
    if (e->file.bytes < 0) {
        e->damaged = f.there;
        (void)snprintf(e->found, sizeof e->found, "a file where none belongs");
    } else if (!f.there) {
        e->missing = true;
    } else if (!f.readable) {
        e->damaged = true;
        (void)snprintf(e->found, sizeof e->found, "cannot be read to its end");
    } else if (how == PEL__LOOK_LENGTH) {
        e->damaged = f.bytes != e->file.bytes;
        (void)snprintf(e->found, sizeof e->found, "another length");
    } else {
        e->damaged = f.bytes != e->file.bytes || !same_checksum(&e->file, &f);
        tell_checksums(e, &f);
    }
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
    if (!pel__pool_run(a->crew, PEL__READ_NEXT, a->count, check_one, a, err))
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
    if (a->run->on_progress && a->how != PEL__LOOK_LENGTH) {
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

/* Those who wait for a network may be more than those who work. */
static bool find_crew(auditor *a, pel_error *err)
{
    pel_run *const run = a->run;
    const pel__sink_spec spec = pel__run_spec(run);
    if (!run->sink && !run->sink_type->open(&run->sink, &spec, err))
        return false;
    const int32_t threads = pel__pool_threads(run->pool), wanted = run->sink_type->lookers(run->sink, threads);
    a->crew = run->pool;
    return wanted <= threads || pel__pool_create(&a->crew, wanted, err);
}

bool pel__run_audit(pel_run *run, enum pel__look how, bool mark, pel__audit *out, pel_error *err)
{
    *out = (pel__audit){0};
    auditor *a = calloc(1, sizeof *a);
    if (!a)
        return pel__fail(err, PEL_NO_MEMORY, "audit: no memory");
    pel_plan_summary summary;
    pel_run_summary(run, &summary);
    *a = (auditor){.run = run, .out = out, .how = how, .expected = summary.files};
    const bool ok = find_crew(a, err) && pel__ledger_each(run->ledger, visit, a, err) && check_batch(a, err) && (!mark || mark_bad(a, err));
    if (a->crew != run->pool)
        pel__pool_destroy(a->crew);
    free(a->bad);
    free(a);
    return ok;
}
