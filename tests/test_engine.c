/* SPDX-License-Identifier: MIT
 * The foreman, the ledger and the lock, and a whole run in one process: what the thread sanitizer should see. */
#include "check.h"
#include "core/error.h"
#include "core/file.h"
#include "core/lock.h"
#include "engine/engine.h"
#include "run/ledger.h"
#include "run/workers.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the foreman with jobs that only count ------------------------------------------------------------------------- */

#define JOBS 200

typedef struct {
    int64_t next, in_job[2], out_job[2];
    int reads, works, writes, failures, ticks;
    atomic_int wrong; /* stages run in threads of their own */
    int64_t fail_read, fail_write, stop_at, order;
    bool give_up;
    atomic_bool stop;
} toy;

static bool toy_next(void *run, int64_t *job)
{
    toy *t = run;
    *job = t->next++;
    return *job < JOBS;
}

static bool toy_read(void *run, int64_t job, int32_t in, pel_error *err)
{
    toy *t = run;
    t->reads++;
    t->in_job[in] = job;
    return job != t->fail_read || pel__fail(err, PEL_DAMAGED, "job %d", (int)job);
}

static bool toy_work(void *run, int64_t job, int32_t in, int32_t out, pel_error *err)
{
    toy *t = run;
    t->works++;
    t->wrong += t->in_job[in] != job;
    t->out_job[out] = job;
    if (job == t->stop_at)
        atomic_store(&t->stop, true);
    return true;
}

static bool toy_write(void *run, int64_t job, int32_t out, pel_error *err)
{
    toy *t = run;
    t->writes++;
    t->wrong += t->out_job[out] != job || job < t->order;
    t->order = job;
    return job != t->fail_write || pel__fail(err, PEL_IO, "job %d", (int)job);
}

static bool toy_failed(void *run, int64_t job, const pel_error *why, pel_error *err)
{
    toy *t = run;
    t->failures++;
    t->wrong += why->code == 0;
    return !t->give_up || pel__fail(err, PEL_IO, "gave up at job %d", (int)job);
}

static bool toy_tick(void *arg)
{
    ((toy *)arg)->ticks++;
    return true;
}

static toy toy_new(void)
{
    return (toy){.fail_read = -1, .fail_write = -1, .stop_at = -1};
}

static pel__jobs toy_jobs(toy *t, int32_t slots, bool shared)
{
    return (pel__jobs){.run = t, .next = toy_next, .read = toy_read, .work = toy_work, .write = toy_write,
                       .failed = toy_failed, .slots = slots, .in_is_out = shared, .stop = &t->stop};
}

CASE(every_job_passes_each_stage_once_in_order)
{
    for (int variant = 0; variant < 4; variant++) {
        pel_error e = {0};
        toy t = toy_new();
        const pel__jobs jobs = toy_jobs(&t, 1 + variant % 2, variant >= 2);
        CHECK_OK(pel__engine_threads(&jobs, toy_tick, &t, &e), e);
        CHECK(t.reads == JOBS && t.works == JOBS && t.writes == JOBS && t.failures == 0 && t.wrong == 0);
    }
}

CASE(a_failed_job_is_told_and_the_rest_goes_on)
{
    pel_error e = {0};
    toy t = toy_new();
    t.fail_read = 7;
    t.fail_write = 190;
    const pel__jobs jobs = toy_jobs(&t, 2, false);
    CHECK_OK(pel__engine_threads(&jobs, NULL, NULL, &e), e);
    CHECK(t.failures == 2 && t.works == JOBS - 1 && t.writes == JOBS - 1 && t.wrong == 0);
}

CASE(giving_up_and_stopping_end_the_run)
{
    pel_error e = {0};
    toy t = toy_new();
    t.fail_write = 3;
    t.give_up = true;
    pel__jobs jobs = toy_jobs(&t, 2, false);
    CHECK_FAILS(pel__engine_threads(&jobs, NULL, NULL, &e), e, PEL_IO);
    CHECK_TEXT(e.text, "gave up at job 3");
    CHECK(t.reads < JOBS);
    t = toy_new();
    t.stop_at = 5;
    jobs = toy_jobs(&t, 1, false);
    CHECK_FAILS(pel__engine_threads(&jobs, NULL, NULL, &e), e, PEL_INTERRUPTED);
    CHECK(t.reads < JOBS && t.failures == 0);
}

/* ---- ledger and lock --------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    return remove(path);
}

static char folder[64];

static void new_folder(void)
{
    memcpy(folder, "/tmp/pellucid-test-XXXXXX", 26);
    CHECK(mkdtemp(folder) != NULL);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_one, 8, FTW_PHYS | FTW_DEPTH);
}

static bool count_record(void *arg, const pel__ledger_record *r, pel_error *err)
{
    int64_t *sum = arg;
    *sum += r->ok ? r->files[0].bytes : 0;
    return true;
}

CASE(ledger_replays_what_was_appended)
{
    pel_error e = {0};
    pel__ledger *l = NULL;
    new_folder();
    CHECK_OK(pel__ledger_open(&l, folder, "", 10, &e), e);
    const pel__ledger_file file = {.path = "0/c/0", .bytes = 77, .sum = PEL__SUM_XXH3, .digest = {{1, 2, 0xFF}}};
    CHECK_OK(pel__ledger_append(l, &(pel__ledger_record){.job = 3, .error = "no \"luck\"\n", .attempt = 1}, &e), e);
    CHECK(pel__ledger_failed(l, 3));
    for (int64_t job = 3; job < 6; job++)
        CHECK_OK(pel__ledger_append(l, &(pel__ledger_record){.job = job, .ok = true, .voxels = 5, .files = &file, .file_count = 1}, &e), e);
    pel__ledger_close(l);
    l = NULL;
    CHECK_OK(pel__ledger_open(&l, folder, "", 10, &e), e);
    CHECK(pel__ledger_done(l, 3) && pel__ledger_done(l, 5) && !pel__ledger_done(l, 6));
    CHECK_INT(pel__ledger_attempts(l, 3), 1);
    CHECK_INT(pel__ledger_count_done(l, 0, 10), 3);
    CHECK_INT(pel__ledger_sums(l).voxels, 15);
    CHECK_INT(pel__ledger_sums(l).bytes_written, 3 * 77);
    int64_t sum = 0;
    CHECK_OK(pel__ledger_each(l, count_record, &sum, &e), e);
    CHECK_INT(sum, 3 * 77);
    CHECK_OK(pel__ledger_append(l, &(pel__ledger_record){.job = 4, .error = "a second worker fell over"}, &e), e);
    CHECK(pel__ledger_done(l, 4) && !pel__ledger_failed(l, 4));
    CHECK_OK(pel__ledger_append(l, &(pel__ledger_record){.job = 4, .withdraw = true, .error = "its file is gone"}, &e), e);
    CHECK(!pel__ledger_done(l, 4) && pel__ledger_failed(l, 4));
    pel__ledger_close(l);
    l = NULL;
    CHECK_OK(pel__ledger_open(&l, folder, "", 10, &e), e);
    CHECK(pel__ledger_done(l, 3) && pel__ledger_failed(l, 4) && pel__ledger_attempts(l, 4) == 2);
    CHECK_INT(pel__ledger_sums(l).voxels, 10);
    pel__ledger_close(l);
    remove_folder();
}

CASE(ledger_counts_what_was_done_twice_once)
{
    pel_error e = {0};
    pel__ledger *a = NULL, *b = NULL, *l = NULL;
    new_folder();
    CHECK_OK(pel__ledger_open(&a, folder, "", 10, &e), e);
    CHECK_OK(pel__ledger_open(&b, folder, "", 10, &e), e);
    for (int64_t job = 0; job < 10; job++) {
        CHECK_OK(pel__ledger_append(a, &(pel__ledger_record){.job = job, .ok = true, .voxels = 5}, &e), e);
        CHECK_OK(pel__ledger_append(b, &(pel__ledger_record){.job = job / 2, .ok = true, .voxels = 5}, &e), e);
    }
    pel__ledger_close(a);
    pel__ledger_close(b);
    CHECK_OK(pel__ledger_open(&l, folder, "", 10, &e), e);
    CHECK_INT(pel__ledger_count_done(l, 0, 10), 10);
    CHECK_INT(pel__ledger_sums(l).voxels, 50);
    pel__ledger_close(l);
    remove_folder();
}

CASE(ledger_of_some_jobs_knows_no_others)
{
    pel_error e = {0};
    pel__ledger *l = NULL;
    new_folder();
    CHECK_OK(pel__ledger_open(&l, folder, "", 100, &e), e);
    for (int64_t job = 0; job < 100; job++)
        CHECK_OK(pel__ledger_append(l, &(pel__ledger_record){.job = job, .ok = job % 10 != 7, .voxels = 1, .error = "no"}, &e), e);
    pel__ledger_close(l);
    l = NULL;
    uint8_t wanted[100] = {[1] = 1, [10] = 1, [17] = 1, [99] = 1};
    CHECK_OK(pel__ledger_open_some(&l, folder, "", 100, wanted, &e), e);
    memset(wanted, 0, sizeof wanted); /* it is not kept */
    CHECK(pel__ledger_done(l, 1) && pel__ledger_done(l, 10) && pel__ledger_done(l, 99) && pel__ledger_failed(l, 17));
    CHECK_INT(pel__ledger_attempts(l, 17), 1);
    CHECK_INT(pel__ledger_count_done(l, 0, 100), 3);
    CHECK_INT(pel__ledger_sums(l).voxels, 3);
    CHECK_OK(pel__ledger_append(l, &(pel__ledger_record){.job = 17, .ok = true, .voxels = 1}, &e), e);
    CHECK(pel__ledger_done(l, 17));
    pel__ledger_close(l);
    remove_folder();
}

CASE(lock_keeps_two_apart_and_survives_its_holder)
{
    pel_error e = {0};
    pel__lock *a = NULL, *b = NULL, *c = NULL;
    bool stale = true;
    char text[160];
    new_folder();
    CHECK_INT(pel__workers_alive(text, sizeof text, folder), 0);
    CHECK_OK(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
    CHECK(!stale);
    CHECK_FAILS(pel__lock_take(&b, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
    CHECK_TEXT(e.text, ", process ");
    CHECK_FAILS(pel__lock_take(&b, folder, "lock", PEL__LOCK_SHARED, &stale, &e), e, PEL_REFUSED);
    CHECK_OK(pel__worker_write(folder, "{}", &e), e);
    CHECK_INT(pel__workers_alive(text, sizeof text, folder), 1);
    CHECK_TEXT(text, ", process ");
    pel__worker_remove(folder);
    CHECK_INT(pel__workers_alive(text, sizeof text, folder), 0);
    CHECK_OK(pel__lock_keep(a, &e), e);
    pel__lock_release(a);
    CHECK_OK(pel__lock_take(&b, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
    CHECK(!stale);
    pel__lock_release(b);
    pel__lock_release(NULL);
    CHECK_OK(pel__lock_take(&a, folder, "lock", PEL__LOCK_SHARED, &stale, &e), e);
    CHECK_OK(pel__lock_take(&b, folder, "lock", PEL__LOCK_SHARED, &stale, &e), e);
    CHECK_FAILS(pel__lock_take(&c, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
    pel__lock_release(a);
    pel__lock_release(b);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/lock", folder);
    FILE *f = fopen(path, "w"); /* what a killed process of this host leaves */
    char host[64] = "";
    (void)gethostname(host, sizeof host - 1);
    (void)fprintf(f, "%s, process 1\n", host);
    (void)fclose(f);
    CHECK_OK(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
    CHECK(stale);
    pel__lock_release(a);
    f = fopen(path, "w"); /* another host, alive a moment ago */
    (void)fprintf(f, "elsewhere, process 1\n");
    (void)fclose(f);
    CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
    CHECK_TEXT(e.text, "elsewhere, process 1");
    remove_folder();
}

/* ---- a whole run -------------------------------------------------------------------------------------------------------- */

static bool watch(void *arg, const pel_progress *p)
{
    (*(int *)arg)++;
    return true;
}

CASE(a_run_from_plan_to_verify)
{
    pel_error e = {0};
    char out[128];
    int calls = 0;
    new_folder();
    (void)snprintf(out, sizeof out, "%s/out.ome.zarr", folder);
    const pel_setting settings[] = {{"iterations", "2"}};
    const pel_run_options o = {.filter = "ndsafir", .input = "phantom:t=1,c=2,z=3,y=70,x=65;seed=3;noise=3.92,-388", .output = out,
                               .settings = settings, .setting_count = 1, .noise = "3.92,-388", .threads = 3,
                               .chunk = "z=2,y=32,x=32", .block = "z=2,y=32,x=32", .command = "test"};
    pel_run *run = NULL;
    CHECK_OK(pel_run_plan(&run, &o, watch, &calls, &e), e);
    CHECK_OK(pel_run_work(run, watch, &calls, &e), e);
    pel_run_destroy(run);
    pel_status s;
    CHECK_OK(pel_run_status(&s, out, &e), e);
    CHECK(strcmp(s.state, "done") == 0 && s.blocks_done == 36 && s.voxels == 2 * 3 * 70 * 65);
    CHECK_OK(pel_run_open(&run, out, &(pel_run_options){.threads = 2}, &e), e);
    pel_verify_result r;
    CHECK_OK(pel_run_verify(&r, run, 12, 7, watch, &calls, &e), e);
    CHECK(r.missing == 0 && r.damaged == 0 && r.different == 0 && r.windows == 12);
    pel_run_destroy(run);
    remove_folder();
}

int main(void)
{
    RUN(every_job_passes_each_stage_once_in_order);
    RUN(a_failed_job_is_told_and_the_rest_goes_on);
    RUN(giving_up_and_stopping_end_the_run);
    RUN(ledger_replays_what_was_appended);
    RUN(ledger_counts_what_was_done_twice_once);
    RUN(ledger_of_some_jobs_knows_no_others);
    RUN(lock_keeps_two_apart_and_survives_its_holder);
    RUN(a_run_from_plan_to_verify);
    return CHECK_DONE();
}
