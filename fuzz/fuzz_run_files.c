/* SPDX-License-Identifier: MIT
 * Any bytes as a file of a run's folder: the first byte says which. Lines of the ledger get the checksum that they need, for
 * without it they are no records. The run itself is made once, by the library. */
#include "fuzz.h"

#include "core/bytes.h"

static const char *const names[] = {"plan.json", "ledger/other-7-1.jsonl", "status.json", "workers/other,7.json", "ledger/other-7-1.jsonl"};
#define NAMES (sizeof names / sizeof names[0])

static char output[256];
static char plan[65536];
static size_t plan_size;

static void make_run(void)
{
    const pel_setting settings[] = {{"sigma", "1"}};
    const pel_run_options o = {.filter = "gaussian", .input = "phantom:t=1,c=2,z=2,y=64,x=64", .output = fuzz_path(output, "out"), .settings = settings,
                               .setting_count = 1, .chunk = "z=1,y=32,x=32", .block = "z=1,y=32,x=32", .threads = 1, .memory_bytes = 1 << 29};
    pel_run *run = NULL;
    pel_error e = {0};
    char path[256];
    if (!pel_run_plan(&run, &o, NULL, NULL, &e) || !pel_run_prepare(run, &e)) {
        (void)fprintf(stderr, "%s\n", e.text);
        abort();
    }
    pel_run_destroy(run);
    FILE *const f = fopen(fuzz_path(path, "out.run/plan.json"), "re");
    plan_size = f ? fread(plan, 1, sizeof plan, f) : 0;
    if (plan_size == 0 || fclose(f) != 0)
        abort();
}

static void put(const char *name, const void *data, size_t n)
{
    char path[256];
    (void)snprintf(path, sizeof path, "out.run/%s", name);
    fuzz_put(path, data, n);
}

/* Each line with its checksum in front. */
static void put_records(const char *name, const uint8_t *data, size_t size)
{
    char *text = NULL, sum[12];
    size_t n = 0;
    FILE *const f = open_memstream(&text, &n);
    if (!f)
        abort();
    while (size > 0) {
        const uint8_t *const end = memchr(data, '\n', size);
        const size_t k = end ? (size_t)(end - data) : size;
        (void)snprintf(sum, sizeof sum, "%08x ", pel__crc32c(0, data, k));
        (void)fwrite(sum, 1, 9, f);
        (void)fwrite(data, 1, k, f);
        (void)fputc('\n', f);
        data += k + (end != NULL);
        size -= k + (end != NULL);
    }
    (void)fclose(f);
    put(name, text, n);
    free(text);
}

static void on_failure(void *arg, int64_t block, int32_t attempt, const char *host, const char *text)
{
    if (!host || !text)
        abort();
}
static void on_block(void *arg, const pel_run_block *b)
{
    if (!b->host || !b->error || b->number < 0)
        abort();
}
static void on_worker(void *arg, const pel_run_worker *w)
{
    if (!w->host)
        abort();
}
static void on_try(void *arg, const pel_try *t)
{
    if (!t->host || !t->text)
        abort();
}

static void look(void)
{
    pel_status s;
    pel_run *run = NULL;
    pel_error e = {0};
    if (!pel_run_status(&s, output, &e))
        fuzz_failed(&e);
    else if (s.blocks_done < 0 || s.blocks_done > s.blocks_total || s.pyramid_done > s.pyramid_total)
        abort();
    (void)pel_run_failures(output, on_failure, NULL, NULL);
    (void)pel_run_each_block(output, on_block, NULL, NULL);
    (void)pel_run_each_worker(output, on_worker, NULL, NULL);
    (void)pel_run_history(output, -1, on_try, NULL, NULL);
    if (pel_run_open(&run, output, &(pel_run_options){.memory_bytes = 1 << 29, .threads = 1}, &e)) {
        pel_plan_summary summary;
        pel_run_summary(run, &summary);
        pel_run_destroy(run);
    } else {
        fuzz_failed(&e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[256];
    if (size < 1)
        return 0;
    if (fuzz_begin())
        make_run();
    const size_t which = data[0] % NAMES;
    if (which == 1)
        put_records(names[which], data + 1, size - 1);
    else
        put(names[which], data + 1, size - 1);
    look();
    (void)snprintf(path, sizeof path, "out.run/%s", names[which]);
    fuzz_drop(path);
    put("plan.json", plan, plan_size);
    return 0;
}
