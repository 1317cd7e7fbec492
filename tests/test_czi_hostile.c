/* SPDX-License-Identifier: MIT
 * Damaged and hostile CZI files: never a crash, a hang or an unbounded allocation; an error that names the place, or the
 * pixels that are still there. */
#include "check.h"
#include "corner.h"
#include "czi_make.h"

#include "codec/jxr.h"
#include "core/block.h"
#include "core/region.h"
#include "source/czi.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <zstd.h>

static char path[] = "/tmp/pellucid-hostile-XXXXXX";
static const char *shared, *helpers;

static const uint8_t ramp[12] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21};

/* Two scenes, three tiles, one compressed, a pyramid tile, metadata. */
static void make_sample(make_file *f)
{
    uint8_t packed[256];
    make_begin(f);
    for (int32_t i = 0; i < 3; i++) {
        make_tile t = {.dimensions = {{'X', 4 * i, 4, 0}, {'Y', -2, 3, 0}, {'C', i % 2, 1, 0}, {'S', i / 2, 1, 0}, {'M', i, 1, 0}},
                       .data = ramp, .n = 12, .metadata = "<METADATA />"};
        if (i == 1) {
            t.compression = 5;
            t.n = ZSTD_compress(packed, sizeof packed, ramp, 12, 1);
            t.data = packed;
        }
        make_add(f, &t);
    }
    make_add(f, &(make_tile){.pyramid = 2, .dimensions = {{'X', 0, 8, 4}, {'Y', 0, 6, 3}, {'S', 0, 1, 0}}, .data = ramp, .n = 12});
    make_end(f, "<ImageDocument><Metadata><Scaling><Items><Distance Id=\"X\"><Value>1e-7</Value></Distance></Items></Scaling>"
                "</Metadata></ImageDocument>");
}

/* Reads the first and the last corner of some images; a failure must say something. */
static void read_corners(pel_source *s)
{
    for (int32_t i = 0; i < pel_source_image_count(s) && i < 4; i++)
        CHECK(corner_is_read_or_refused(s, i, false) && corner_is_read_or_refused(s, i, true));
}

/* Opens these bytes, with and without recovery, and reads. */
static void survive(const void *data, size_t n)
{
    make_write_bytes(path, data, n);
    for (int recover = 0; recover < 2; recover++) {
        pel_source *s = NULL;
        pel_error err = {0};
        const pel_open_options options = {.recover = recover, .use_mask = recover, .damaged = recover ? NULL : "zero", .helper_dir = "/nowhere"};
        if (pel_source_open(&s, path, &options, &err)) {
            read_corners(s);
            pel_source_destroy(s);
        } else {
            CHECK(err.code != PEL_OK && err.text[0]);
        }
    }
}

static bool opens(const make_file *f, bool recover, pel_source **s, pel_error *err)
{
    *err = (pel_error){0};
    *s = NULL;
    make_write(f, path);
    return pel_source_open(s, path, &(pel_open_options){.recover = recover, .helper_dir = "/nowhere"}, err);
}

static bool read_first(pel_source *s, int32_t image, int64_t c, uint8_t *out, pel_error *err)
{
    const int64_t origin[PEL_AXES] = {0, c, 0, 0, 0}, shape[PEL_AXES] = {1, 1, 1, 3, 4};
    const pel_region r = pel__region(PEL_AXES, origin, shape);
    const pel_block b = pel__block_dense(&r, PEL_U8, out);
    return pel_source_read(s, image, &b, err);
}

/* ---- whole files -------------------------------------------------------------------------------------------- */

CASE(truncation_anywhere)
{
    make_file f;
    make_sample(&f);
    for (size_t n = 0; n < f.n; n += n < 700 ? 13 : 32)
        survive(f.data, n);
    for (size_t n = 32; n < f.n; n += 32)
        survive(f.data, n - 1);
    make_free(&f);
}

/* Every byte of the file in turn becomes 0, 255 and something with another bit. */
CASE(every_byte_changed)
{
    make_file f;
    make_sample(&f);
    for (size_t i = 10; i < f.n; i++) {
        const uint8_t was = f.data[i];
        if (was == 0 && i % 8 != 0) /* most of the file is spare */
            continue;
        static const uint8_t how[] = {0x00, 0xFF, 0x80, 0x01};
        f.data[i] = (uint8_t)(was ^ how[i % 4]) == was ? (uint8_t)(was ^ 0x40) : (uint8_t)(was ^ how[i % 4]);
        survive(f.data, f.n);
        f.data[i] = was;
    }
    make_free(&f);
}

/* ---- the directory ------------------------------------------------------------------------------------------- */

CASE(directory_numbers)
{
    static const struct {
        size_t at;      /* in the directory segment */
        int32_t value;
        int32_t code;
        const char *says;
    } damages[] = {
        {32, -1, PEL_DAMAGED, "says -1 tiles"},
        {32, INT32_MAX, PEL_DAMAGED, "says 2147483647 tiles"},
        {32, 5, PEL_DAMAGED, "entry 4 of 5"},
        {32, 0, PEL_FORMAT, "no image in this CZI file"},
        {160, 0x4544, PEL_UNSUPPORTED, "old kind \"DE\""},
        {160, 0x5858, PEL_DAMAGED, "expected \"DV\""},
        {160 + 28, 0, PEL_DAMAGED, "0 dimensions, expected 1 to 40"},
        {160 + 28, 41, PEL_DAMAGED, "41 dimensions"},
        {160 + 28, -5, PEL_DAMAGED, "-5 dimensions"},
        {160 + 28, INT32_MAX, PEL_DAMAGED, "2147483647 dimensions"},
        {160 + 32, 'Y', PEL_DAMAGED, "no X or no Y"},
        {160 + 32, 7, PEL_DAMAGED, "named by byte 7"},
        {160 + 32 + 8, -4, PEL_DAMAGED, "has size -4"},
        {160 + 32 + 16, -4, PEL_DAMAGED, "X from 0 has size 4"},
        {160 + 32 + 4, INT32_MAX - 1, PEL_DAMAGED, "X from 2147483646 has size 4"},
        {16, -1, PEL_DAMAGED, "says it has -1 bytes"},
        {24, INT32_MAX, PEL_DAMAGED, "the file ends before that"},
        {24, 100, PEL_DAMAGED, "cannot hold them"},
    };
    for (size_t k = 0; k < sizeof damages / sizeof damages[0]; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        make_sample(&f);
        uint8_t *p = f.data + f.directory + damages[k].at;
        if (damages[k].at == 160)
            memcpy(p, &damages[k].value, 2);
        else if (damages[k].at == 16 || damages[k].at == 24)
            pel__store_i64(p, damages[k].value);
        else
            pel__store_i32(p, damages[k].value);
        CHECK_FAILS(opens(&f, false, &s, &err), err, damages[k].code);
        CHECK_TEXT(err.text, damages[k].says);
        CHECK_TEXT(err.text, path);
        if (damages[k].code == PEL_DAMAGED)
            CHECK_TEXT(err.text, "\"recover\"");
        pel_source_destroy(s);
        make_free(&f);
    }
}

CASE(directory_positions)
{
    static const int64_t positions[] = {0, 1, -32, INT64_MAX, INT64_MIN, 544, 1 << 30};
    for (size_t k = 0; k < sizeof positions / sizeof positions[0]; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        uint8_t pixels[12] = {0};
        make_sample(&f);
        pel__store_i64(f.data + 84, positions[k]); /* 544 is the first tile */
        CHECK_FAILS(opens(&f, false, &s, &err), err, PEL_DAMAGED);
        CHECK_TEXT(err.text, "\"recover\"");
        CHECK_OK(opens(&f, true, &s, &err), err);
        if (s) {
            CHECK_INT(pel_source_image_count(s), 2);
            CHECK_TEXT(pel_source_image(s, 0)->notes[0].text, "4 tiles were found by walking");
            CHECK(pel_source_image(s, 0)->pixel_size[PEL_X] > 0.09);
            CHECK_OK(read_first(s, 1, 0, pixels, &err), err);
            CHECK(memcmp(pixels, ramp, 12) == 0);
        }
        pel_source_destroy(s);
        make_free(&f);
    }
}

/* A tile's place in the directory is wrong: the image opens, that tile fails by name, the others read. */
CASE(tile_positions)
{
    static const int64_t positions[] = {0, 7, -1, INT64_MAX, INT64_MIN, 1 << 20};
    for (size_t k = 0; k < sizeof positions / sizeof positions[0]; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        uint8_t pixels[12];
        make_sample(&f);
        pel__store_i64(f.data + f.directory + 160 + 6, positions[k]);
        CHECK_OK(opens(&f, false, &s, &err), err);
        if (s) {
            CHECK_FAILS(read_first(s, 0, 0, pixels, &err), err, PEL_DAMAGED);
            CHECK_TEXT(err.text, "tile 0 (C 0, T 0, Z 0");
            CHECK_OK(read_first(s, 1, 0, pixels, &err), err);
        }
        pel_source_destroy(s);
        make_free(&f);
    }
}

CASE(tile_numbers)
{
    static const struct {
        size_t at;
        int64_t value;
        const char *says;
    } damages[] = {
        {32, -1, "negative sizes"},        {36, -1, "negative sizes"},   {40, -1, "negative sizes"},
        {40, INT64_MAX, "the file ends"},  {40, 1 << 20, "the file ends"}, {32, 1 << 20, "the file ends"},
        {48, 0, "no readable entry"},      {76, 0, "(0 dimensions)"},    {76, 41, "(41 dimensions)"},
        {0, 0, "expected ZISRAWSUBBLOCK"}, {16, -64, "says it has -64 bytes"},
    };
    for (size_t k = 0; k < sizeof damages / sizeof damages[0]; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        uint8_t pixels[12];
        make_sample(&f);
        uint8_t *p = f.data + f.tiles[0] + damages[k].at;
        if (damages[k].at == 40 || damages[k].at == 16)
            pel__store_i64(p, damages[k].value);
        else
            pel__store_i32(p, (int32_t)damages[k].value);
        CHECK_OK(opens(&f, false, &s, &err), err);
        if (s) {
            CHECK_FAILS(read_first(s, 0, 0, pixels, &err), err, PEL_DAMAGED);
            CHECK_TEXT(err.text, damages[k].says);
        }
        pel_source_destroy(s);
        make_free(&f);
    }
}

/* Planes, channels and pixels that no memory holds are refused before memory is asked for. */
CASE(enormous_claims)
{
    static const struct {
        char letter;
        int32_t start, size;
        int32_t code;
    } claims[] = {{'C', 70000, 1, PEL_UNSUPPORTED}, {'V', INT32_MAX, 1, PEL_UNSUPPORTED}, {'Z', INT32_MIN, 1, PEL_UNSUPPORTED},
                  {'T', 1 << 30, 1, PEL_OK}, {'S', INT32_MIN, 1, PEL_OK}};
    for (size_t k = 0; k < sizeof claims / sizeof claims[0]; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        make_begin(&f);
        make_add(&f, &(make_tile){.dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}}, .data = ramp, .n = 12});
        make_add(&f, &(make_tile){.dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}, {claims[k].letter, claims[k].start, claims[k].size, 0}},
                                  .data = ramp, .n = 12});
        make_end(&f, NULL);
        const bool ok = opens(&f, false, &s, &err);
        CHECK_INT(err.code, claims[k].code);
        if (ok)
            read_corners(s);
        pel_source_destroy(s);
        make_free(&f);
    }
}

/* A tile of 2^31 x 2^31 pixels, and one that is merely far too large for its few bytes. */
CASE(enormous_tiles)
{
    static const int32_t sides[] = {INT32_MAX, 200000, 60000};
    uint8_t packed[64];
    for (size_t k = 0; k < 3; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        uint8_t pixels[12];
        make_begin(&f);
        make_add(&f, &(make_tile){.compression = 5, .dimensions = {{'X', 0, sides[k], 0}, {'Y', 0, sides[k], 0}}, .data = packed,
                                  .n = ZSTD_compress(packed, sizeof packed, ramp, 12, 1)});
        make_end(&f, NULL);
        if (opens(&f, false, &s, &err))
            CHECK_FAILS(read_first(s, 0, 0, pixels, &err), err, PEL_DAMAGED);
        else
            CHECK_INT(err.code, PEL_FORMAT);
        pel_source_destroy(s);
        make_free(&f);
    }
}

/* ---- recovery ----------------------------------------------------------------------------------------------- */

/* Sizes that wrap, are zero or lie: the walk finds the next segment and every tile that is whole. */
CASE(recovery_hops_over_damage)
{
    static const int64_t sizes[] = {0, -32, INT64_MAX, INT64_MAX - 31, 1 << 30, 31};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        uint8_t pixels[12] = {0};
        make_sample(&f);
        pel__store_i64(f.data + 84, 0);
        pel__store_i64(f.data + f.tiles[1] + 16, sizes[k]);
        CHECK_OK(opens(&f, true, &s, &err), err);
        if (s) {
            CHECK_OK(read_first(s, 1, 0, pixels, &err), err); /* the tile behind the damage */
            CHECK(memcmp(pixels, ramp, 12) == 0);
        }
        pel_source_destroy(s);
        make_free(&f);
    }
}

/* The directory breaks off in its second entry, after one that names an axis nobody knows; or says that there is nothing. */
CASE(recovery_forgets_the_broken_directory)
{
    for (int empty = 0; empty < 2; empty++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        make_sample(&f);
        uint8_t *first = f.data + f.directory + 160;
        first[32 + 40] = 'Q';
        make_letters(first + 32 + 100, "XX");
        if (empty)
            pel__store_i32(f.data + f.directory + 32, 0);
        CHECK_OK(opens(&f, true, &s, &err), err);
        if (s) {
            CHECK_INT(pel_source_image(s, 0)->shape[PEL_C], 2);
            for (int32_t i = 0; i < pel_source_image(s, 0)->note_count; i++)
                CHECK(!strstr(pel_source_image(s, 0)->notes[i].text, "does not know"));
        }
        pel_source_destroy(s);
        make_free(&f);
    }
}

CASE(recovery_over_rubbish)
{
    make_file f;
    pel_source *s = NULL;
    pel_error err = {0};
    uint8_t pixels[12] = {0};
    make_sample(&f);
    pel__store_i64(f.data + 84, -1);
    memset(f.data + f.tiles[0], 0x5A, f.tiles[1] - f.tiles[0]);
    CHECK_OK(opens(&f, true, &s, &err), err);
    if (s) {
        CHECK_TEXT(pel_source_image(s, 0)->notes[0].text, "3 tiles were found");
        CHECK_OK(read_first(s, 0, 1, pixels, &err), err);
        CHECK(memcmp(pixels, ramp, 12) == 0);
    }
    pel_source_destroy(s);
    make_free(&f);
}

/* A whole CZI inside an attachment (a slide preview): its tiles are not ours. */
CASE(recovery_skips_attachments)
{
    make_file inner, f;
    pel_source *s = NULL;
    pel_error err = {0};
    make_sample(&inner);
    make_begin(&f);
    make_add(&f, &(make_tile){.dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}}, .data = ramp, .n = 12});
    const size_t at = make_segment(&f, "ZISRAWATTACH", 256 + inner.n);
    memcpy(f.data + at + 288, inner.data, inner.n);
    CHECK_OK(opens(&f, true, &s, &err), err);
    if (s)
        CHECK_TEXT(pel_source_image(s, 0)->notes[0].text, "1 tiles were found");
    pel_source_destroy(s);
    make_free(&inner);
    make_free(&f);
}

/* ---- metadata ----------------------------------------------------------------------------------------------- */

CASE(bad_xml_is_no_obstacle)
{
    static const char *const texts[] = {
        "<ImageDocument><Metadata>", "not xml", "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><x>&b;</x>",
        "<a><b></a></b>", "<ImageDocument \xFF=''>",
    };
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        make_begin(&f);
        make_add(&f, &(make_tile){.dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}}, .data = ramp, .n = 12});
        make_end(&f, texts[k]);
        CHECK_OK(opens(&f, false, &s, &err), err);
        if (s)
            CHECK_TEXT(pel_source_image(s, 0)->notes[0].text, "XML metadata is damaged");
        pel_source_destroy(s);
        make_free(&f);
    }
}

CASE(metadata_numbers)
{
    static const int32_t sizes[] = {-1, INT32_MAX, 1 << 20};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        make_file f;
        pel_source *s = NULL;
        pel_error err = {0};
        make_sample(&f);
        pel__store_i32(f.data + f.metadata + 32, sizes[k]);
        CHECK_OK(opens(&f, false, &s, &err), err);
        if (s)
            CHECK(pel_source_image(s, 0)->note_count >= 2);
        pel_source_destroy(s);
        make_free(&f);
    }
}

/* ---- JPEG XR ------------------------------------------------------------------------------------------------ */

static bool no_children(void)
{
    errno = 0;
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD;
}

static uint8_t *load(const char *name, size_t *n)
{
    char file[4096];
    (void)snprintf(file, sizeof file, "%s/czi/%s", shared, name);
    FILE *f = fopen(file, "rb");
    uint8_t *data = f ? malloc(1 << 20) : NULL;
    *n = data ? fread(data, 1, 1 << 20, f) : 0;
    if (f)
        (void)fclose(f);
    return data;
}

/* The decoder dies on many of these; we never do, and the next good stream decodes. */
CASE(jxr_bit_flips)
{
    static const char *const names[] = {"syn_gray16_jxr.czi", "syn_bgr24_jxr.czi", "syn_gray8_jxrq800.czi"};
    uint32_t random = 12345;
    int damaged = 0, survived = 0;
    for (size_t k = 0; k < 3; k++) {
        size_t n = 0;
        uint8_t *file = load(names[k], &n);
        char *program = pel__jxr_find(helpers);
        if (!file || !program) {
            printf("  skipped: no %s\n", file ? "helper program" : names[k]);
            free(file);
            free(program);
            return;
        }
        const uint8_t *tile = file + 544;
        const int64_t size = pel__load_i64(tile + 40);
        const int32_t w = pel__load_i32(tile + 48 + 32 + 16), h = pel__load_i32(tile + 48 + 52 + 16);
        uint8_t *stream = malloc((size_t)size), *out = malloc(1 << 20), *good = malloc(1 << 20);
        const int32_t pixel = pel__load_i32(tile + 50), bytes = pixel == 3 ? 3 : pixel + 1;
        const pel__jxr_request q = {PEL__JXR_MAGIC, pixel, w, h, size, (int64_t)w * h * bytes, 60};
        const size_t at = 544 + 288 + (size_t)pel__load_i32(tile + 32);
        pel__jxr *helper = NULL;
        pel_error err = {0};
        CHECK_OK(pel__jxr_decode(&helper, program, &q, file + at, good, &err), err);
        for (int i = 0; i < 100; i++) {
            memcpy(stream, file + at, (size_t)size);
            random = random * 1664525 + 1013904223;
            stream[(random >> 3) % (uint32_t)size] ^= (uint8_t)(1U << (random % 8));
            err.code = 0;
            if (pel__jxr_decode(&helper, program, &q, stream, out, &err)) {
                survived++;
            } else {
                damaged++;
                CHECK_INT(err.code, PEL_DAMAGED);
            }
            if (i % 10 == 0) {
                CHECK_OK(pel__jxr_decode(&helper, program, &q, file + at, out, &err), err);
                CHECK(memcmp(out, good, (size_t)q.decoded) == 0);
            }
        }
        pel__jxr_destroy(helper);
        CHECK(no_children());
        free(stream);
        free(out);
        free(good);
        free(program);
        free(file);
    }
    printf("  300 flipped bits: %d refused or fatal to the helper, %d decoded to something\n", damaged, survived);
    CHECK(damaged > 10);
}

/* A program that answers nothing, one that is not there, one that ends at once. */
CASE(jxr_bad_helpers)
{
    const pel__jxr_request q = {PEL__JXR_MAGIC, 0, 4, 3, 12, 12, 1};
    pel__jxr *helper = NULL;
    pel_error err = {0};
    uint8_t out[12];
    CHECK_FAILS(pel__jxr_decode(&helper, "/nowhere/pellucid-jxr", &q, ramp, out, &err), err, PEL_IO);
    CHECK_TEXT(err.text, "cannot start /nowhere/pellucid-jxr");
    CHECK_FAILS(pel__jxr_decode(&helper, "/bin/false", &q, ramp, out, &err), err, PEL_DAMAGED);
    CHECK_TEXT(err.text, "status 1");
    CHECK_FAILS(pel__jxr_decode(&helper, "/bin/true", &q, ramp, out, &err), err, PEL_DAMAGED);
    CHECK_FAILS(pel__jxr_decode(&helper, "/usr/bin/yes", &q, ramp, out, &err), err, PEL_IO); /* neither answers nor ends by itself */
    CHECK_TEXT(err.text, "did not end within 1 s");
    CHECK(helper == NULL);
    CHECK(no_children());
}

typedef struct good_stream {
    uint8_t *file, *out;
    char *program;
    const uint8_t *stream;
    pel__jxr_request q;
} good_stream;

static bool load_good(good_stream *g)
{
    size_t n = 0;
    g->file = load("syn_gray16_jxr.czi", &n);
    g->program = pel__jxr_find(helpers);
    if (!g->file || !g->program) {
        printf("  skipped: no %s\n", g->file ? "helper program" : "sample");
        free(g->file);
        free(g->program);
        return false;
    }
    const uint8_t *tile = g->file + 544;
    const int32_t w = pel__load_i32(tile + 48 + 32 + 16), h = pel__load_i32(tile + 48 + 52 + 16);
    g->q = (pel__jxr_request){PEL__JXR_MAGIC, 1, w, h, pel__load_i64(tile + 40), 2 * (int64_t)w * h, 60};
    g->out = malloc((size_t)g->q.decoded);
    g->stream = tile + 288 + pel__load_i32(tile + 32);
    return true;
}

static void free_good(good_stream *g)
{
    free(g->file);
    free(g->out);
    free(g->program);
}

/* The program dies without a word: its helper ends by itself. */
CASE(jxr_orphan_ends)
{
    good_stream g;
    int status = 0, ends[2];
    pid_t orphan = 0;
    if (!load_good(&g))
        return;
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* orphans come to us */
    CHECK_INT(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        pel__jxr *helper = NULL;
        if (pel__jxr_decode(&helper, g.program, &g.q, g.stream, g.out, NULL) &&
            write(ends[1], helper, sizeof orphan) == (ssize_t)sizeof orphan) /* its first member is the pid */
            (void)raise(SIGKILL);
        _exit(1);
    }
    CHECK_INT(read(ends[0], &orphan, sizeof orphan), sizeof orphan);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    CHECK(waitpid(orphan, &status, 0) == orphan && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(no_children());
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    free_good(&g);
}

/* The helper may not open files or sockets: the kernel says so, where it can and the build is no sanitizer's. */
static void check_shut_in(pid_t pid)
{
    char name[64], line[256];
    int mode = -1;
    (void)snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
    FILE *f = fopen(name, "r");
    while (f && fgets(line, sizeof line, f))
        mode = strncmp(line, "Seccomp:", 8) == 0 ? (int)strtol(line + 8, NULL, 10) : mode;
    if (f)
        (void)fclose(f);
    CHECK(SANITIZED || mode == 2 || mode == -1);
}

/* The helper was killed between two tiles: the next one starts another. */
CASE(jxr_killed_helper)
{
    good_stream g;
    pel__jxr *helper = NULL;
    pel_error err = {0};
    pid_t pid;
    if (!load_good(&g))
        return;
    CHECK_OK(pel__jxr_decode(&helper, g.program, &g.q, g.stream, g.out, &err), err);
    memcpy(&pid, helper, sizeof pid); /* its first member */
    check_shut_in(pid);
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_OK(pel__jxr_decode(&helper, g.program, &g.q, g.stream, g.out, &err), err);
    pel__jxr_destroy(helper);
    CHECK(no_children());
    free_good(&g);
}

CASE(jxr_without_helper)
{
    make_file f;
    pel_source *s = NULL;
    pel_error err = {0};
    uint8_t pixels[12];
    make_begin(&f);
    make_add(&f, &(make_tile){.compression = 4, .dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}}, .data = ramp, .n = 11});
    make_end(&f, NULL);
    CHECK_OK(opens(&f, false, &s, &err), err);
    if (s) {
        CHECK_TEXT(pel_source_image(s, 0)->notes[0].text, "pellucid-jxr was not found");
        CHECK_FAILS(read_first(s, 0, 0, pixels, &err), err, PEL_UNSUPPORTED);
    }
    pel_source_destroy(s);
    make_free(&f);
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

typedef struct reader {
    pel_source *s;
    uint32_t crc;
    bool ok;
} reader;

static void *read_many(void *arg)
{
    reader *r = arg;
    const pel_image *im = pel_source_image(r->s, 0);
    const pel_region all = pel__region(PEL_AXES, NULL, im->shape);
    const size_t n = (size_t)pel__region_voxels(&all) * pel_dtype_size(im->dtype);
    uint8_t *data = malloc(n);
    const pel_block b = pel__block_dense(&all, im->dtype, data);
    r->ok = data != NULL;
    for (int i = 0; r->ok && i < 5; i++) {
        r->ok = pel_source_read(r->s, 0, &b, NULL);
        r->crc = r->ok ? pel__crc32(r->crc, data, n) : 0;
    }
    free(data);
    return NULL;
}

CASE(four_threads_read_the_same)
{
    static const char *const names[] = {"syn_gray16_jxr.czi", "syn_gray16_zstd1hilo.czi", "syn_gray16_raw.czi"};
    uint32_t crc = 0;
    for (size_t k = 0; k < 3; k++) {
        char file[4096];
        pel_source *s = NULL;
        pthread_t threads[4];
        reader readers[4];
        (void)snprintf(file, sizeof file, "%s/czi/%s", shared, names[k]);
        if (!pel_source_open(&s, file, &(pel_open_options){.helper_dir = helpers, .threads = 4}, NULL)) {
            printf("  skipped: no %s\n", names[k]);
            return;
        }
        if (k < 2)
            pel__source_cache(s, ((pel__czi *)s)->max_decoded * 3 / 2, false); /* one slot for four threads */
        for (int i = 0; i < 4; i++) {
            readers[i] = (reader){.s = s};
            CHECK_INT(pthread_create(&threads[i], NULL, read_many, &readers[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            (void)pthread_join(threads[i], NULL);
            CHECK(readers[i].ok);
            crc = crc ? crc : readers[i].crc; /* the three files hold the same pixels */
            CHECK_INT(readers[i].crc, crc);
        }
        pel_source_destroy(s);
        CHECK(no_children());
    }
}

int main(void)
{
    shared = make_environment("PELLUCID_SHARED", SHARED_FOLDER);
    helpers = make_environment("PELLUCID_HELPERS", NULL);
    const int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    (void)close(fd);
    RUN(truncation_anywhere);
    RUN(every_byte_changed);
    RUN(directory_numbers);
    RUN(directory_positions);
    RUN(tile_positions);
    RUN(tile_numbers);
    RUN(enormous_claims);
    RUN(enormous_tiles);
    RUN(recovery_hops_over_damage);
    RUN(recovery_forgets_the_broken_directory);
    RUN(recovery_over_rubbish);
    RUN(recovery_skips_attachments);
    RUN(bad_xml_is_no_obstacle);
    RUN(metadata_numbers);
    RUN(jxr_bit_flips);
    RUN(jxr_bad_helpers);
    RUN(jxr_killed_helper);
    RUN(jxr_orphan_ends);
    RUN(jxr_without_helper);
    RUN(four_threads_read_the_same);
    (void)unlink(path);
    return CHECK_DONE();
}
