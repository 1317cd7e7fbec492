/* SPDX-License-Identifier: MIT
 * Buffers come from a budget that holds exactly what the plan promised for them: runs of random geometry, with images of one type
 * and of several, have to do with it. */
#include "check.h"
#include "core/file.h"
#include "pellucid.h"

#include <ftw.h>
#include <stdlib.h>

#define MIB ((int64_t)1 << 20)
#define GEOMETRIES 120
#define HELD (300 * MIB)

static char folder[64] = "/dev/shm/pellucid-promise-XXXXXX"; /* many small files, each synced */
static uint64_t state = 20261130;

static int32_t draw(int32_t n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int32_t)((state >> 33) % (uint64_t)n);
}

static const char *pick(const char *const *list, int n) { return list[draw(n)]; }
#define PICK(...) pick((const char *const[]){__VA_ARGS__}, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)))

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

typedef struct {
    char input[256], chunk[80], block[80], output[128];
    pel_setting setting[3];
    pel_run_options o;
} geometry;

static void draw_filter(geometry *g)
{
    pel_run_options *const o = &g->o;
    int32_t n = 0;
    o->filter = PICK("identity", "identity", "gaussian", "dog", "median", "ndsafir");
    if (strcmp(o->filter, "gaussian") == 0)
        g->setting[n++] = (pel_setting){"sigma", PICK("1", "z=0.5,y=3,x=1", "8")};
    if (strcmp(o->filter, "dog") == 0)
        g->setting[n++] = (pel_setting){"fwhm", PICK("2,6", "3,20")};
    if (strcmp(o->filter, "median") == 0)
        g->setting[n++] = (pel_setting){"radius", PICK("1", "z=0,y=2,x=3")};
    if (strcmp(o->filter, "ndsafir") == 0) {
        g->setting[n++] = (pel_setting){"iterations", PICK("1", "2")};
        g->setting[n++] = (pel_setting){"aggregate", PICK("yes", "no")};
        o->noise = "3.92,-388";
    }
    o->settings = g->setting;
    o->setting_count = n;
    o->then = PICK("", "", "", "gaussian sigma=2", "median radius=1 | dog fwhm=2,5");
}

static void draw_geometry(geometry *g)
{
    static const int sides[] = {16, 32, 64};
    *g = (geometry){0};
    const int z = draw(3) > 0 ? 1 + draw(24) : 1, y = 20 + draw(180), x = 20 + draw(180), chunk = sides[draw(3)], deep = z > 1 ? 4 << draw(2) : 1;
    (void)snprintf(g->input, sizeof g->input, "phantom:t=%d,c=%d,z=%d,y=%d,x=%d;seed=%d;noise=3.92,-388;dtype=%s", 1 + draw(2), 1 + draw(3), z, y, x, draw(99),
                   PICK("uint8", "uint16", "float32"));
    g->o = (pel_run_options){.input = g->input, .output = g->output, .threads = 1 + draw(4), .levels = draw(5), .ome_version = PICK("0.4", "0.5"),
                             .codec = PICK("blosc:zstd:1:shuffle", "blosc:lz4:5:bitshuffle", "zstd:3", "gzip:5", "none"), .memory_bytes = 512 * MIB};
    (void)snprintf(g->output, sizeof g->output, "%s/out.ome.zarr", folder);
    if (draw(2)) {
        (void)snprintf(g->chunk, sizeof g->chunk, "z=%d,y=%d,x=%d", deep, chunk, chunk);
        g->o.chunk = g->chunk;
    }
    if (g->o.chunk && draw(2)) {
        (void)snprintf(g->block, sizeof g->block, "z=%d,y=%d,x=%d", deep, chunk * 2, chunk << draw(3));
        g->o.block = g->block;
    }
    if (draw(2))
        g->o.dtype = PICK("uint8", "int16", "uint16", "float32", "float64", "uint32");
    draw_filter(g);
}

/* With as much as it promised, or somewhat less, where that can be: other blocks, one slot. */
static void run_within(geometry *g, bool less)
{
    pel_error e = {0};
    pel_run *run = NULL;
    pel_plan_summary s = {0};
    if (!pel_run_plan(&run, &g->o, NULL, NULL, &e)) {
        CHECK(e.code == PEL_NO_MEMORY || e.code == PEL_ARGUMENT); /* a chunk and a block that do not go together */
        return;
    }
    pel_run_summary(run, &s);
    pel_run_destroy(run);
    run = NULL;
    g->o.memory_bytes = less ? s.memory_promised - (s.memory_filter + s.memory_buffers) / 4 : s.memory_promised;
    if (!pel_run_plan(&run, &g->o, NULL, NULL, &e)) {
        CHECK(less && e.code == PEL_NO_MEMORY);
        return;
    }
    pel_run_summary(run, &s);
    CHECK(s.memory_promised <= g->o.memory_bytes);
    CHECK(s.memory_promised == s.memory_base + s.memory_source + s.memory_filter + s.memory_buffers + s.memory_write);
    CHECK_OK(pel_run_work(run, NULL, NULL, &e), e);
    pel_run_destroy(run);
}

static void run_one(geometry *g, int number)
{
    const int before = check_failures;
    run_within(g, draw(2));
    if (check_failures != before)
        printf("  geometry %d: %s: %s, then \"%s\", dtype %s, chunk %s, block %s, levels %d, threads %d, codec %s, format %s, memory %" PRId64 "\n", number,
               g->o.input, g->o.filter, g->o.then, g->o.dtype ? g->o.dtype : "-", g->chunk, g->block, g->o.levels, g->o.threads, g->o.codec, g->o.ome_version,
               g->o.memory_bytes);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

CASE(runs_do_with_what_was_promised)
{
    for (int i = 0; i < GEOMETRIES; i++) {
        geometry g;
        draw_geometry(&g);
        CHECK(pel__make_dirs(folder, NULL));
        run_one(&g, i);
    }
}

/* The image of `number` in a collection at `root`. */
static bool make_image(const char *root, int number, geometry *g, pel_error *err)
{
    pel_run *run = NULL;
    char output[160];
    (void)snprintf(output, sizeof output, "%s/%d", root, number);
    const pel_run_options o = {.filter = "identity", .input = g->input, .output = output, .state = folder, .threads = 2, .chunk = "y=32,x=32", .levels = 1,
                               .fresh = number > 0};
    char state_folder[160];
    (void)snprintf(state_folder, sizeof state_folder, "%s/state%d", folder, number);
    pel_run_options with = o;
    with.state = state_folder;
    const bool ok = pel_run_plan(&run, &with, NULL, NULL, err) && pel_run_work(run, NULL, NULL, err);
    pel_run_destroy(run);
    return ok;
}

static bool make_collection(char *root, size_t size, pel_error *err)
{
    static const char document[] = "{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {\"ome\": {\"version\": \"0.5\", \"bioformats2raw.layout\": 3}}}";
    char path[160];
    (void)snprintf(root, size, "%s/in.zarr", folder);
    (void)snprintf(path, sizeof path, "%s/zarr.json", root);
    const pel__piece piece = {document, sizeof document - 1};
    bool ok = pel__make_dirs(root, err) && pel__file_replace(path, &piece, 1, err);
    for (int i = 0; ok && i < 3; i++) {
        geometry g;
        draw_geometry(&g);
        ok = make_image(root, i, &g, err);
    }
    return ok;
}

CASE(images_of_several_types_do_with_it_too)
{
    for (int i = 0; i < GEOMETRIES / 4; i++) {
        geometry g;
        char root[128];
        pel_error e = {0};
        draw_geometry(&g);
        CHECK_OK(make_collection(root, sizeof root, &e), e);
        (void)snprintf(g.input, sizeof g.input, "%s", root);
        g.o.dtype = PICK("uint8", "uint16", "float32");
        run_one(&g, i);
    }
}

/* The kernel's mark of the most that was resident, or sets it to what is resident now; 0: not told here. */
static int64_t peak_bytes(bool anew)
{
    char line[128];
    long long kib = 0;
    FILE *f = fopen(anew ? "/proc/self/clear_refs" : "/proc/self/status", anew ? "we" : "re");
    if (f && anew)
        (void)fputs("5", f);
    while (f && !anew && kib == 0 && fgets(line, sizeof line, f))
        kib = strncmp(line, "VmHWM:", 6) == 0 ? strtoll(line + 6, NULL, 10) : 0;
    if (f)
        (void)fclose(f);
    return kib * 1024;
}

static void checksum_beside(int64_t limit, pel_error *e)
{
    pel_source *source = NULL;
    uint32_t crc = 0;
    CHECK_OK(pel_source_open(&source, "phantom:z=8,y=2048,x=2048", &(pel_open_options){.threads = 4}, e), *e);
    (void)peak_bytes(true);
    CHECK_OK(pel_checksum(&crc, source, 0, &(pel_scan){.threads = 4, .memory_bytes = limit}, e), *e);
    CHECK(peak_bytes(false) <= limit);
    CHECK_FAILS(pel_checksum(&crc, source, 0, &(pel_scan){.threads = 4, .memory_bytes = HELD}, e), *e, PEL_NO_MEMORY);
    pel_source_destroy(source);
}

/* A program that holds much already: noise, tuning, plan, run and checksum stay below the limit together with it. */
CASE(what_a_large_host_holds_counts)
{
    pel_error e = {0};
    pel_run *run = NULL;
    pel_plan_summary s = {0};
    char output[128];
    char *const held = malloc(HELD);
    CHECK(held != NULL && pel__make_dirs(folder, NULL));
    if (!held)
        return;
    memset(held, 1, HELD);
    (void)snprintf(output, sizeof output, "%s/out.ome.zarr", folder);
    pel_run_options o = {.filter = "ndsafir", .input = "phantom:z=8,y=320,x=320;noise=3.92,-388", .output = output, .tune = "auto", .threads = 2, .memory_bytes = 400 * MIB};
    (void)peak_bytes(true);
    CHECK_OK(pel_run_plan(&run, &o, NULL, NULL, &e), e);
    pel_run_summary(run, &s);
    CHECK(s.memory_base >= HELD && s.memory_promised <= o.memory_bytes);
    CHECK_OK(pel_run_work(run, NULL, NULL, &e), e);
    CHECK(peak_bytes(false) <= o.memory_bytes);
    pel_run_destroy(run);
    o.fresh = true;
    o.memory_bytes = HELD;
    CHECK_FAILS(pel_run_plan(&run, &o, NULL, NULL, &e), e, PEL_NO_MEMORY);
    checksum_beside(370 * MIB, &e);
    free(held);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    if (!mkdtemp(folder)) {
        (void)snprintf(folder, sizeof folder, "/tmp/pellucid-promise-XXXXXX");
        if (!mkdtemp(folder))
            return 1;
    }
    RUN(runs_do_with_what_was_promised);
    RUN(images_of_several_types_do_with_it_too);
    RUN(what_a_large_host_holds_counts);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return CHECK_DONE();
}
