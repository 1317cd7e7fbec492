/* SPDX-License-Identifier: MIT
 * The audit: every record of the ledger against the plan, and every file of it against what is stored. Files are checked in
 * batches on all threads. */
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
    int64_t expected; /* files of the plan, for the progress */
    uint8_t *jobs;    /* what was seen of each: a record, and whether it does not hold */
} auditor;

enum { HAS_RECORD = 1, DOES_NOT_HOLD = 2 };

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
    if (e->file.bytes < 0 && f.there) {
        e->damaged = true;
        (void)snprintf(e->found, sizeof e->found, "a file where none belongs");
    } else if (e->file.bytes < 0) {
        e->damaged = pel__document_run(a->run->document)[0] && !same_checksum(&e->file, &f);
        (void)snprintf(e->found, sizeof e->found, "its record says that it was left out, and its checksum is not that of a left out file of this run");
    } else if (!f.there) {
        e->missing = true;
    } else if (!f.readable) {
        e->damaged = true;
        (void)snprintf(e->found, sizeof e->found, "cannot be read to its end, or is a folder");
    } else if (how == PEL__LOOK_LENGTH) {
        e->damaged = f.bytes != e->file.bytes;
        (void)snprintf(e->found, sizeof e->found, "another length");
    } else {
        e->damaged = f.bytes != e->file.bytes || !same_checksum(&e->file, &f);
        tell_checksums(e, &f);
    }
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
        a->jobs[e->job] |= DOES_NOT_HOLD;
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

/* A record that says other files than the plan is no proof of anything: its job is done again. */
static void check_record(auditor *a, const pel__ledger_record *record)
{
    pel__unexpected u;
    a->jobs[record->job] |= HAS_RECORD;
    if (pel__run_expects(a->run, record, &u))
        return;
    a->jobs[record->job] |= DOES_NOT_HOLD;
    a->out->missing += u.lacking;
    a->out->damaged += u.extra + u.hollow;
    if (a->out->first[0])
        return;
    if (u.lacking > 0)
        (void)snprintf(a->out->first, sizeof a->out->first, "%.120s (job %lld): its record lists %d files, expected %lld, this one among them", u.first,
                       (long long)record->job, (int)record->file_count, (long long)u.expected);
    else if (u.hollow)
        (void)snprintf(a->out->first, sizeof a->out->first, "job %lld: its record leaves out all files of a block with values from %g to %g, expected some",
                       (long long)record->job, record->minimum, record->maximum);
    else
        (void)snprintf(a->out->first, sizeof a->out->first, "job %lld: its record lists %d files, expected %lld", (long long)record->job,
                       (int)record->file_count, (long long)u.expected);
}

static bool visit(void *arg, const pel__ledger_record *record, pel_error *err)
{
    auditor *a = arg;
    if (record->ok)
        check_record(a, record);
    for (int32_t i = 0; record->ok && i < record->file_count; i++) {
        a->batch[a->count++] = (entry){.file = record->files[i], .job = record->job};
        if (a->count == BATCH && !check_batch(a, err))
            return false;
    }
    return true;
}

static bool mark_bad(const auditor *a, pel_error *err)
{
    for (int64_t i = 0; i < a->run->plan.job_count; i++) {
        const pel__ledger_record r = {.job = i, .withdraw = true, .error = "audit: a file of this job is missing or damaged"};
        if (!(a->jobs[i] & DOES_NOT_HOLD))
            continue;
        pel__run_log(a->run, "audit: job %lld does not hold and will be done again", (long long)i);
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

/* What this process remembers as done must be in the files: whoever comes later knows nothing else. */
static bool check_ledger(const auditor *a, pel_error *err)
{
    const pel_run *const run = a->run;
    int64_t gone = 0;
    for (int64_t i = 0; i < run->plan.job_count; i++)
        gone += pel__ledger_done(run->ledger, i) && !(a->jobs[i] & HAS_RECORD);
    return gone == 0 || pel__fail(err, PEL_INCOMPLETE, "%s/ledger: the records of %lld finished jobs are gone; was it removed or moved while the run worked? "
                                  "Put it back, or remove the output and begin anew", run->folder, (long long)gone);
}

static bool is_done(const pel_run *run)
{
    return pel__ledger_count_done(run->ledger, 0, run->plan.job_count) == run->plan.job_count;
}

/* Why jobs that somebody did are open. */
static void tell_ignored(const auditor *a)
{
    int64_t foreign = 0, future = 0;
    pel__ledger_ignored(a->run->ledger, &foreign, &future);
    if (foreign + future == 0)
        return;
    pel__run_log(a->run, "ledger: %lld records of another run and %lld of a time more than a year from now do not count", (long long)foreign, (long long)future);
    if (!a->out->first[0] && !is_done(a->run))
        (void)snprintf(a->out->first, sizeof a->out->first, "ledger: %lld records of another run and %lld of a time more than a year from now, which do not count",
                       (long long)foreign, (long long)future);
}

bool pel__run_audit(pel_run *run, enum pel__look how, bool mark, pel__audit *out, pel_error *err)
{
    *out = (pel__audit){0};
    auditor *a = calloc(1, sizeof *a);
    if (!a)
        return pel__fail(err, PEL_NO_MEMORY, "audit: no memory");
    pel_plan_summary summary;
    pel_run_summary(run, &summary);
    *a = (auditor){.run = run, .out = out, .how = how, .expected = summary.files, .jobs = calloc((size_t)run->plan.job_count + 1, 1)};
    bool ok = a->jobs || pel__fail(err, PEL_NO_MEMORY, "audit: no memory for %lld jobs", (long long)run->plan.job_count);
    ok = ok && pel__run_layouts(run, err) && find_crew(a, err) && pel__ledger_each(run->ledger, visit, a, err) && check_batch(a, err) &&
         check_ledger(a, err) && (tell_ignored(a), true) && (!mark || mark_bad(a, err)) && (how == PEL__LOOK_LENGTH || pel__run_audit_documents(run, !mark && is_done(run), out, err));
    if (a->crew && a->crew != run->pool)
        pel__pool_destroy(a->crew);
    free(a->jobs);
    free(a);
    return ok;
}
