/* SPDX-License-Identifier: MIT
 * One damaged number in the directory of a CZI file spoils its own tile only: the image keeps its extents and its type, no
 * buffer grows, all other tiles read as before, and the place of that tile is refused, not shown as zeros. */
#include "check.h"
#include "czi_make.h"

#include "codec/expand.h"
#include "core/block.h"
#include "core/region.h"
#include "source/czi.h"

#include <zstd.h>

#define ACROSS 5
#define DOWN 4
#define PLANES 2
#define W 8
#define H 6
#define ENTRY (32 + 20 * 6)

static char path[] = "/tmp/pellucid-doubt-XXXXXX";
static const int64_t extents[PEL_AXES] = {1, 1, PLANES, DOWN *H, ACROSS *W};

static int64_t number_of(int64_t x, int64_t y, int64_t z) { return (z * DOWN + y) * ACROSS + x; }

/* A mosaic of 5 x 4 tiles in two planes; tile n holds the value n + 1. `copies`: of n entries the sub-block of the first. */
static void make_mosaic(make_file *f, int32_t compression, bool whole_size)
{
    uint8_t pixels[W * H], packed[256];
    make_begin(f);
    for (int32_t z = 0; z < PLANES; z++)
        for (int32_t y = 0; y < DOWN; y++)
            for (int32_t x = 0; x < ACROSS; x++) {
                memset(pixels, (int)number_of(x, y, z) + 1, sizeof pixels);
                make_tile t = {.compression = compression, .data = pixels, .n = sizeof pixels,
                               .dimensions = {{'X', W * x, W, whole_size ? 0 : W}, {'Y', H * y, H, whole_size ? 0 : H}, {'Z', z, 1, 0},
                                              {'C', 0, 1, 0}, {'T', 0, 1, 0}, {'S', 0, 1, 0}}};
                if (compression == PEL__CZI_ZSTD0) {
                    t.data = packed;
                    t.n = ZSTD_compress(packed, sizeof packed, pixels, sizeof pixels, 1);
                }
                make_add(f, &t);
            }
    make_end(f, NULL);
}

static bool read_tile(pel_source *s, int64_t x, int64_t y, int64_t z, uint8_t *out, pel_error *err)
{
    const int64_t origin[PEL_AXES] = {0, 0, z, H * y, W * x}, shape[PEL_AXES] = {1, 1, 1, H, W};
    const pel_region r = pel__region(PEL_AXES, origin, shape);
    const pel_block b = pel__block_dense(&r, PEL_U8, out);
    return pel_source_read(s, 0, &b, err);
}

/* Every tile but one reads as it was made. */
static void check_tiles(pel_source *s, int64_t spoilt)
{
    uint8_t out[W * H], want[W * H];
    pel_error e = {0};
    for (int64_t n = 0; n < ACROSS * DOWN * PLANES; n++) {
        const int64_t x = n % ACROSS, y = n / ACROSS % DOWN, z = n / ACROSS / DOWN;
        if (n == spoilt) {
            CHECK_FAILS(read_tile(s, x, y, z, out, &e), e, PEL_DAMAGED);
            CHECK_TEXT(e.text, path);
        } else {
            memset(want, (int)n + 1, sizeof want);
            CHECK_OK(read_tile(s, x, y, z, out, &e), e);
            CHECK(memcmp(out, want, sizeof want) == 0);
        }
    }
}

static void check_image(const make_file *f, int64_t spoilt)
{
    pel_source *s = NULL;
    pel_error e = {0};
    make_write(f, path);
    CHECK_OK(pel_source_open(&s, path, NULL, &e), e);
    if (!s)
        return;
    const pel_image *const im = pel_source_image(s, 0);
    CHECK_INT(pel_source_image_count(s), 1);
    CHECK_INT(im->dtype, PEL_U8);
    for (int a = 0; a < PEL_AXES; a++)
        CHECK_INT(im->shape[a], extents[a]);
    CHECK(s->thread_bytes < 4 << 20 && s->resident_bytes < 4 << 20 && s->kept_tile_bytes < 1 << 20);
    if (im->dtype == PEL_U8)
        check_tiles(s, spoilt);
    pel_source_destroy(s);
}

/* X, Y, Z, C, T, S in this order; 4 start, 8 size, 16 stored size. */
#define START(axis) (32 + 20 * (axis) + 4)
#define SIZE(axis) (32 + 20 * (axis) + 8)
#define STORED(axis) (32 + 20 * (axis) + 16)

CASE(one_number)
{
    static const struct {
        int32_t at, value;
    } damages[] = {
        {START(0), 1 << 28}, {START(0), -(1 << 29)}, {START(1), 1 << 30}, {START(1), -100000}, {START(2), 1 << 20}, {START(2), -7},
        {START(2), 9}, {START(3), 70000}, {START(3), 1}, {START(4), INT32_MAX}, {START(4), 3}, {START(5), 1 << 30}, {START(5), 12},
        {SIZE(0), 1 << 28}, {SIZE(0), 3}, {SIZE(1), 1 << 28}, {SIZE(1), 2}, {STORED(0), 1 << 28}, {STORED(0), 4}, {STORED(1), 1 << 28},
        {STORED(1), 1}, {2, 10}, {2, -1}, {2, 2}, {2, 3}, {2, 4},
    };
    for (size_t k = 0; k < 2 * sizeof damages / sizeof damages[0]; k++) {
        make_file f;
        const int64_t spoilt = (int64_t)(k * 7 % (ACROSS * DOWN * PLANES));
        make_mosaic(&f, k % 2 ? PEL__CZI_ZSTD0 : PEL__CZI_RAW, false);
        pel__store_i32(f.data + f.directory + 160 + spoilt * ENTRY + damages[k / 2].at, damages[k / 2].value);
        check_image(&f, spoilt);
        make_free(&f);
        if (check_failures > 0) {
            printf("  damage %zu: at %d value %d\n", k, damages[k / 2].at, damages[k / 2].value);
            return;
        }
    }
}

/* A size of which the stored one is no copy: a raw claim of 2^28 columns. */
CASE(one_size_of_both)
{
    make_file f;
    make_mosaic(&f, PEL__CZI_RAW, true);
    pel__store_i32(f.data + f.directory + 160 + 7 * ENTRY + SIZE(0), 1 << 28);
    check_image(&f, 7);
    make_free(&f);
}

/* Two entries that point to one sub-block: it says whose it is, the other's place is refused. */
CASE(two_entries_for_one)
{
    for (int order = 0; order < 2; order++) {
        make_file f;
        make_mosaic(&f, PEL__CZI_RAW, false);
        const int64_t lost = order ? 3 : 30, taken = order ? 30 : 3;
        pel__store_i64(f.data + f.directory + 160 + lost * ENTRY + 6, (int64_t)f.tiles[taken]);
        check_image(&f, lost);
        make_free(&f);
    }
}

/* A program that moved tiles rewrote the directory only: it counts. */
CASE(moved_tiles)
{
    make_file f;
    pel_source *s = NULL;
    pel_error e = {0};
    uint8_t out[W * H];
    make_mosaic(&f, PEL__CZI_RAW, false);
    for (int32_t k = 0; k < ACROSS * DOWN * PLANES; k++)
        pel__store_i32(f.data + f.directory + 160 + k * ENTRY + START(0), W * (k % ACROSS) + (k % ACROSS) * 2);
    make_write(&f, path);
    CHECK_OK(pel_source_open(&s, path, NULL, &e), e);
    if (s) {
        CHECK_INT(pel_source_image(s, 0)->shape[PEL_X], ACROSS * W + 8);
        CHECK_OK(read_tile(s, 0, 0, 0, out, &e), e);
        CHECK_INT(pel_source_image(s, 0)->note_count, 0);
    }
    pel_source_destroy(s);
    make_free(&f);
}

/* Entry and copy agree on a size that the payload cannot hold: only that tile is refused, before memory is asked for. */
CASE(claims_of_both)
{
    for (int k = 0; k < 2; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error e = {0};
        uint8_t out[W * H];
        make_mosaic(&f, k ? PEL__CZI_ZSTD0 : PEL__CZI_RAW, false);
        const int32_t side = 60000;
        uint8_t *const entries[] = {f.data + f.directory + 160 + 9 * ENTRY, f.data + f.tiles[9] + 48};
        for (int i = 0; i < 2; i++) {
            pel__store_i32(entries[i] + STORED(0), side);
            pel__store_i32(entries[i] + STORED(1), side);
        }
        make_write(&f, path);
        CHECK_OK(pel_source_open(&s, path, NULL, &e), e);
        if (s) {
            CHECK(s->thread_bytes < 4 << 20);
            CHECK_FAILS(read_tile(s, 4, 1, 0, out, &e), e, PEL_DAMAGED);
            CHECK_TEXT(e.text, "cannot hold its 60000 x 60000 pixels");
            CHECK_OK(read_tile(s, 3, 1, 0, out, &e), e);
        }
        pel_source_destroy(s);
        make_free(&f);
    }
}

/* The table against the encoders themselves: runs of one byte, the best that they can do. */
CASE(the_table_of_ratios)
{
    const size_t n = 64 << 20;
    uint8_t *const in = calloc(1, n), *const out = malloc(ZSTD_compressBound(n));
    const size_t packed = in && out ? ZSTD_compress(out, ZSTD_compressBound(n), in, n, 19) : 0;
    CHECK(packed > 0 && (int64_t)n <= pel__expand_most(PEL__PACK_ZSTD, (int64_t)packed));
    CHECK(packed > 0 && (int64_t)n > pel__expand_most(PEL__PACK_DEFLATE, (int64_t)packed)); /* so it is no idle bound */
    CHECK_INT(pel__expand_most(PEL__PACK_NONE, 7), 7);
    CHECK_INT(pel__expand_most(PEL__PACK_DEFLATE, 10), 10320);
    CHECK_INT(pel__expand_most(PEL__PACK_ZSTD, -5), 0);
    CHECK_INT(pel__expand_most(PEL__PACK_OTHER, INT64_MAX / 2), INT64_MAX);
    free(in);
    free(out);
}

int main(void)
{
    const int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0)
        return 2;
    RUN(one_number);
    RUN(one_size_of_both);
    RUN(two_entries_for_one);
    RUN(moved_tiles);
    RUN(claims_of_both);
    RUN(the_table_of_ratios);
    (void)unlink(path);
    return CHECK_DONE();
}
