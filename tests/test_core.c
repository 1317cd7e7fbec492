/* SPDX-License-Identifier: MIT
 * Units of the foundation: errors, arithmetic, checksums, regions, blocks, conversion, files, pool, budget. */
#include "check.h"
#include "core/block.h"
#include "core/budget.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/file.h"
#include "core/pool.h"
#include "core/region.h"
#include "core/turns.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

CASE(error_text_grows_leftwards)
{
    pel_error e = {0};
    CHECK(!pel__fail(&e, PEL_FORMAT, "found %d, expected %d", 3, 4));
    CHECK(!pel__where(&e, "tile %d: ", 7));
    CHECK(strcmp(e.text, "tile 7: found 3, expected 4") == 0);
    CHECK_INT(e.code, PEL_FORMAT);
    CHECK(!pel__fail(NULL, PEL_IO, "nobody listens"));
}

/* Whole letters of UTF-8 only. */
static bool is_text(const char *s)
{
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        const int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
        if ((c & 0xC0) == 0x80)
            return false;
        for (int i = 0; i < more; i++)
            if (((unsigned char)*++s & 0xC0) != 0x80)
                return false;
    }
    return true;
}

CASE(error_text_keeps_its_end)
{
    pel_error e = {0};
    char path[3000], words[3000];
    for (size_t i = 0; i + 2 < sizeof path; i += 2)
        memcpy(path + i, i % 40 ? "\xC3\xA4" : "/x", 3);
    for (size_t i = 0; i + 2 < sizeof words; i += 2)
        memcpy(words + i, "a ", 3);
    for (size_t n = 0; n < sizeof path - 2; n += 2) {
        CHECK(!pel__fail(&e, PEL_IO, "%s: found 3, expected 4", path + n));
        CHECK(!pel__where(&e, "%s/b: tile %d: ", path + n, 7));
        CHECK(strstr(e.text, ": tile 7: ") && strstr(e.text, ": found 3, expected 4"));
        CHECK(is_text(e.text));
        (void)pel__fail_errno(&e, ENOSPC, "%s: cannot write", path + n);
        CHECK(strstr(e.text, ": cannot write: No space left on device"));
        (void)pel__fail(&e, PEL_IO, "begins %s, the reason", words + n);
        CHECK(strncmp(e.text, "begins ", 7) == 0 && strstr(e.text, ", the reason") && is_text(e.text));
    }
    CHECK(strlen(e.text) < 30);
    (void)pel__fail(&e, PEL_IO, "%s", path);
    CHECK(strlen(e.text) > 480);
}

CASE(product_finds_overflow)
{
    int64_t p = 0;
    CHECK(pel__product((const int64_t[]){1 << 20, 1 << 20, 1 << 20}, 3, &p) && p == (int64_t)1 << 60);
    CHECK(!pel__product((const int64_t[]){1 << 20, 1 << 20, 1 << 20, 1 << 20}, 4, &p));
    CHECK(!pel__product((const int64_t[]){2, -1}, 2, &p));
    CHECK(pel__product(NULL, 0, &p) && p == 1);
}

CASE(checksums_have_their_check_values)
{
    CHECK_INT(pel__crc32c(0, "123456789", 9), 0xE3069283);
    CHECK_INT(pel__crc32(0, "123456789", 9), 0xCBF43926);
    CHECK_INT(pel__crc32c(pel__crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
    CHECK_INT(pel__crc32(pel__crc32(0, "123456", 6), "789", 3), 0xCBF43926);
}

/* Long runs go in stripes, short ones byte by byte: any division of the same bytes must give the same. */
CASE(checksums_do_not_depend_on_the_pieces)
{
    static uint8_t data[20011];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i >> 3 ^ i);
    for (size_t first = 0; first < 9; first++)
        for (size_t n = 3060; n < sizeof data - first; n += 1501) {
            uint32_t pieces = 77;
            for (size_t i = 0; i < n; i += 7)
                pieces = pel__crc32c(pieces, data + first + i, n - i < 7 ? n - i : 7);
            CHECK_INT(pel__crc32c(77, data + first, n), pieces);
        }
}

static pel_region box2(int64_t y, int64_t x, int64_t h, int64_t w)
{
    return pel__region(2, (const int64_t[]){y, x}, (const int64_t[]){h, w});
}

CASE(items_are_turned_around_whole)
{
    static const uint8_t from[] = "abcdefghijklmnopqrstuvwx";
    for (int64_t size = 1; size <= 12; size++) {
        uint8_t got[24];
        const int64_t n = 24 - 24 % size;
        memcpy(got, from, sizeof got);
        pel__swap_items(got, n, size);
        for (int64_t i = 0; i < 24; i++)
            CHECK_INT(got[i], i < n ? from[i / size * size + size - 1 - i % size] : from[i]);
    }
}

CASE(regions_are_half_open)
{
    const pel_region a = box2(0, 0, 2, 3), b = box2(1, 2, 5, 5), c = box2(2, 0, 1, 1);
    const pel_region ab = pel__region_intersect(&a, &b), ac = pel__region_intersect(&a, &c);
    const pel_region want = box2(1, 2, 1, 1), hull = pel__region_union(&a, &b), all = box2(0, 0, 6, 7);
    CHECK(pel__region_equal(&ab, &want));
    CHECK(pel__region_empty(&ac));
    CHECK(pel__region_equal(&hull, &all));
    CHECK(pel__region_inside(&want, &a) && !pel__region_inside(&b, &a) && pel__region_inside(&ac, &want));
    const pel_region grown = pel__region_grow(&want, (const int64_t[]){2, 1}, (const int64_t[]){0, 9}, &all);
    const pel_region expect = box2(0, 1, 2, 6);
    CHECK(pel__region_equal(&grown, &expect));
    char text[64];
    CHECK(strcmp(pel__region_text(&b, text, sizeof text), "[1:6, 2:7]") == 0);
    char tiny[5];
    CHECK_INT(strlen(pel__region_text(&b, tiny, sizeof tiny)), 4);
}

CASE(grid_covers_every_voxel_once)
{
    const pel_region bounds = box2(-3, 5, 7, 10);
    const int64_t cell[] = {3, 4};
    unsigned char seen[7][10] = {{0}};
    CHECK_INT(pel__grid_cells(&bounds, cell), 9);
    for (int64_t i = 0; i < 9; i++) {
        const pel_region r = pel__grid_cell(&bounds, cell, i);
        CHECK(pel__region_inside(&r, &bounds));
        for (int64_t y = 0; y < r.shape[0]; y++) {
            for (int64_t x = 0; x < r.shape[1]; x++)
                seen[r.origin[0] + y + 3][r.origin[1] + x - 5]++;
        }
    }
    int64_t ones = 0;
    for (int i = 0; i < 70; i++)
        ones += (&seen[0][0])[i] == 1;
    CHECK_INT(ones, 70);
}

CASE(block_copy_moves_the_common_part)
{
    uint16_t src[6 * 5], dst[4 * 7];
    for (int i = 0; i < 30; i++)
        src[i] = (uint16_t)(100 + i);
    memset(dst, 0, sizeof dst);
    const pel_region rs = box2(0, 0, 6, 5), rd = box2(2, 3, 4, 7);
    const pel_block s = pel__block_dense(&rs, PEL_U16, src), d = pel__block_dense(&rd, PEL_U16, dst);
    pel__block_copy(&d, &s);
    for (int y = 0; y < 4; y++) {
        for (int x = 0; x < 7; x++)
            CHECK_INT(dst[y * 7 + x], x < 2 ? 100 + (y + 2) * 5 + x + 3 : 0);
    }
    CHECK(!pel__block_is_zero(&d));
    pel__block_zero(&d);
    CHECK(pel__block_is_zero(&d));
    uint16_t whole[30];
    const pel_block w = pel__block_dense(&rs, PEL_U16, whole);
    pel__block_copy(&w, &s); /* dense on both sides: one run */
    CHECK(memcmp(whole, src, sizeof src) == 0);
}

CASE(integers_saturate_and_are_counted)
{
    const float in[] = {-5.0f, -0.4f, 0.5f, 1.5f, 65535.4f, 65536.0f, NAN, INFINITY};
    uint16_t out[8];
    int64_t clipped = 0;
    pel__from_float(out, PEL_U16, in, 8, &clipped);
    const uint16_t want[] = {0, 0, 0, 2, 65535, 65535, 0, 65535};
    CHECK(memcmp(out, want, sizeof want) == 0);
    CHECK_INT(clipped, 4);
    const float big[] = {4294967296.0f, 4294967040.0f, -1.0f};
    uint32_t wide[3];
    clipped = 0;
    pel__from_float(wide, PEL_U32, big, 3, &clipped);
    CHECK(wide[0] == UINT32_MAX && wide[1] == 4294967040U && wide[2] == 0);
    CHECK_INT(clipped, 2);
    float back[8];
    pel__to_float(back, out, PEL_U16, 8);
    CHECK(back[4] == 65535.0f && back[3] == 2.0f);
}

/* Every half and what lies just beside it, over all values of 16 bits and beyond. */
CASE(short_integers_round_half_to_even)
{
    static const pel_dtype types[] = {PEL_U8, PEL_I8, PEL_U16, PEL_I16};
    static const float least[] = {0, -128, 0, -32768}, most[] = {255, 127, 65535, 32767};
    for (int k = 0; k < 4; k++) {
        int64_t wrong = 0;
        for (int twice = -140000; twice <= 140000; twice++) {
            const float half = 0.5f * (float)twice;
            const float in[] = {nextafterf(half, -INFINITY), half, nextafterf(half, INFINITY)};
            char stored[8];
            float back[3];
            int64_t clipped = 0, outside = 0;
            pel__from_float(stored, types[k], in, 3, &clipped);
            pel__to_float(back, stored, types[k], 3);
            for (int i = 0; i < 3; i++) {
                const float want = fminf(fmaxf(rintf(in[i]), least[k]), most[k]);
                outside += want != rintf(in[i]);
                wrong += back[i] != want;
            }
            wrong += clipped != outside;
        }
        CHECK_INT(wrong, 0);
    }
}

CASE(files_are_replaced_whole)
{
    char folder[] = "/tmp/pellucid-test-XXXXXX";
    pel_error e = {0};
    CHECK(mkdtemp(folder) != NULL);
    char path[PEL__PATH_MAX], deep[PEL__PATH_MAX];
    CHECK_OK(pel__path_join(deep, sizeof deep, folder, "a/b", &e), e);
    CHECK_OK(pel__make_dirs(deep, &e), e);
    CHECK_OK(pel__make_dirs(deep, &e), e);
    CHECK_OK(pel__path_join(path, sizeof path, deep, "x", &e), e);
    CHECK_FAILS(pel__make_dirs("/proc/nowhere/x", &e), e, PEL_NOT_FOUND);
    const pel__piece pieces[] = {{"hello ", 6}, {"world", 5}};
    CHECK_OK(pel__file_replace(path, pieces, 2, &e), e);
    char *text = NULL;
    size_t n = 0;
    CHECK_OK(pel__file_slurp(&text, &n, path, 100, &e), e);
    CHECK(n == 11 && strcmp(text, "hello world") == 0);
    free(text);
    CHECK_FAILS(pel__file_slurp(&text, &n, path, 10, &e), e, PEL_FORMAT);
    CHECK_FAILS(pel__file_replace("/tmp/pellucid-no-such-folder/x", pieces, 2, &e), e, PEL_NOT_FOUND);
    pel__file *f = NULL;
    CHECK_OK(pel__file_open(&f, path, &e), e);
    char part[8] = "";
    CHECK_OK(pel__file_read(f, 6, part, 5, &e), e);
    CHECK(strcmp(part, "world") == 0);
    CHECK_FAILS(pel__file_read(f, 8, part, 5, &e), e, PEL_DAMAGED);
    CHECK_FAILS(pel__file_read(f, -1, part, 5, &e), e, PEL_DAMAGED);
    pel__file_close(f);
    CHECK_FAILS(pel__file_open(&f, folder, &e), e, PEL_FORMAT);
    char command[PEL__PATH_MAX];
    (void)unlink(path);
    (void)rmdir(deep);
    (void)pel__path_join(command, sizeof command, folder, "a", NULL);
    (void)rmdir(command);
    CHECK(rmdir(folder) == 0); /* nothing temporary was left */
}

enum { TURNS = 600, BACK = 9 };

typedef struct {
    pel__turns turns;
    int made[TURNS]; /* no atomics: what an ended task wrote must be visible */
    atomic_int early;
} turns_arg;

/* Each needs the one BACK before it, and those below; each ninth is short. */
static bool in_turn(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    turns_arg *a = arg;
    pel__turn turn;
    pel__turns_take(&a->turns, &turn);
    pel__turns_wait(&a->turns, turn.number - BACK);
    int sum = 0;
    for (int64_t i = 0; i <= turn.number - BACK; i++)
        sum += a->made[i];
    atomic_fetch_add(&a->early, sum != (turn.number >= BACK ? turn.number - BACK + 1 : 0));
    for (volatile int i = 0; i < (turn.number % 9 ? 10000 : 100); i++)
        continue;
    a->made[turn.number] = 1;
    pel__turns_end(&a->turns, &turn);
    return true;
}

CASE(turns_wait_for_all_up_to_a_number)
{
    pel_error e = {0};
    pel__pool *pool = NULL;
    turns_arg *arg = calloc(1, sizeof *arg);
    CHECK_OK(pel__pool_create(&pool, 4, &e), e);
    pel__turns_init(&arg->turns);
    CHECK_OK(pel__pool_run(pool, PEL__COMPUTE_LAST, TURNS, in_turn, arg, &e), e);
    CHECK_INT(arg->early, 0);
    CHECK_INT(arg->turns.next, TURNS);
    CHECK(!arg->turns.first && !arg->turns.last);
    pel__turns_finish(&arg->turns);
    pel__pool_destroy(pool);
    free(arg);
}

typedef struct {
    atomic_int hits[1000];
    int64_t fail_at;
} pool_arg;

static bool hit(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    pool_arg *p = arg;
    (void)worker;
    atomic_fetch_add(&p->hits[index], 1);
    return index < p->fail_at || pel__fail(err, PEL_DAMAGED, "task %d", (int)index);
}

CASE(pool_runs_each_task_once)
{
    pel_error e = {0};
    pel__pool *pool = NULL;
    CHECK_FAILS(pel__pool_create(&pool, 0, &e), e, PEL_ARGUMENT);
    CHECK_OK(pel__pool_create(&pool, 4, &e), e);
    pool_arg *arg = calloc(1, sizeof *arg);
    arg->fail_at = 1000;
    CHECK_OK(pel__pool_run(pool, PEL__COMPUTE_LAST, 1000, hit, arg, &e), e);
    int64_t ones = 0;
    for (int i = 0; i < 1000; i++)
        ones += arg->hits[i] == 1;
    CHECK_INT(ones, 1000);
    memset(arg, 0, sizeof *arg);
    arg->fail_at = 10;
    CHECK_FAILS(pel__pool_run(pool, PEL__WRITE_FIRST, 1000, hit, arg, &e), e, PEL_DAMAGED);
    CHECK(strcmp(e.text, "task 10") == 0);
    int64_t ran = 0;
    for (int i = 0; i < 1000; i++)
        ran += arg->hits[i];
    CHECK(ran < 1000);
    CHECK_OK(pel__pool_run(pool, PEL__READ_NEXT, 0, hit, arg, &e), e);
    free(arg);
    pel__pool_destroy(pool);
    pel__pool_destroy(NULL);
}

CASE(budget_keeps_its_limit)
{
    pel_error e = {0};
    pel__budget *b = NULL;
    void *p = NULL, *q = NULL;
    CHECK_OK(pel__budget_create(&b, 1 << 20, &e), e);
    CHECK_OK(pel__budget_alloc(b, &p, 1000000, "first", &e), e);
    CHECK_FAILS(pel__budget_alloc(b, &q, 1 << 16, "second", &e), e, PEL_NO_MEMORY);
    CHECK_TEXT(e.text, "second");
    CHECK(q == NULL);
    pel__budget_free(b, p, 1000000);
    CHECK_INT(pel__budget_used(b), 0);
    CHECK_OK(pel__budget_alloc(b, &q, 1 << 20, "all", &e), e);
    CHECK_INT(pel__budget_peak(b), 1 << 20);
    pel__budget_free(b, q, 1 << 20);
    pel__budget_destroy(b);
    char memory[256];
    pel__arena a = pel__arena_over(memory, sizeof memory);
    CHECK(pel__arena_take(&a, 1) == memory && pel__arena_take(&a, 65) == memory + 64);
    CHECK(pel__arena_take(&a, 65) == NULL && pel__arena_take(&a, 64) == memory + 192);
}

int main(void)
{
    RUN(error_text_grows_leftwards);
    RUN(error_text_keeps_its_end);
    RUN(product_finds_overflow);
    RUN(checksums_have_their_check_values);
    RUN(checksums_do_not_depend_on_the_pieces);
    RUN(items_are_turned_around_whole);
    RUN(regions_are_half_open);
    RUN(grid_covers_every_voxel_once);
    RUN(block_copy_moves_the_common_part);
    RUN(integers_saturate_and_are_counted);
    RUN(short_integers_round_half_to_even);
    RUN(files_are_replaced_whole);
    RUN(pool_runs_each_task_once);
    RUN(turns_wait_for_all_up_to_a_number);
    RUN(budget_keeps_its_limit);
    return CHECK_DONE();
}
