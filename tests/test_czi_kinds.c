/* SPDX-License-Identifier: MIT
 * Kinds of CZI files that no sample shows: made here, one oddity each, read back and compared with what was put in. */
#include "check.h"
#include "czi_make.h"

#include "core/block.h"
#include "core/region.h"
#include "source/czi.h"

#include <dirent.h>
#include <sys/resource.h>
#include <zstd.h>

static char folder[64], path[128];

static pel_source *open_with(const pel_open_options *options)
{
    pel_error err = {0};
    pel_source *s = NULL;
    CHECK_OK(pel_source_open(&s, path, options, &err), err);
    return s;
}

static pel_source *open_made(make_file *f, const char *xml)
{
    make_end(f, xml);
    make_write(f, path);
    make_free(f);
    return open_with(NULL);
}

/* Reads a region as doubles, whatever its type. */
static bool read_values(double *out, pel_source *s, int32_t image, const int64_t *origin, const int64_t *shape, pel_error *err)
{
    const pel_region r = pel__region(PEL_AXES, origin, shape);
    const pel_image *im = pel_source_image(s, image);
    const int64_t n = pel__region_voxels(&r);
    uint8_t *data = malloc((size_t)n * 8);
    const pel_block b = pel__block_dense(&r, im->dtype, data);
    memset(data, 0xEE, (size_t)n * 8);
    const bool ok = pel_source_read(s, image, &b, err);
    for (int64_t i = 0; ok && i < n; i++) {
        switch (im->dtype) {
        case PEL_U8: out[i] = data[i]; break;
        case PEL_U16: out[i] = pel__load_u16(data + 2 * i); break;
        case PEL_I32: out[i] = pel__load_i32(data + 4 * i); break;
        case PEL_F32: out[i] = (double)pel__load_f32(data + 4 * i); break;
        default: out[i] = pel__load_f64(data + 8 * i); break;
        }
    }
    free(data);
    return ok;
}

static double value(pel_source *s, int32_t image, int64_t t, int64_t c, int64_t z, int64_t y, int64_t x)
{
    const int64_t origin[PEL_AXES] = {t, c, z, y, x}, one[PEL_AXES] = {1, 1, 1, 1, 1};
    pel_error err = {0};
    double v = -1;
    CHECK_OK(read_values(&v, s, image, origin, one, &err), err);
    return v;
}

static bool has_note(const pel_image *im, const char *part)
{
    for (int32_t i = 0; i < im->note_count; i++) {
        if (strstr(im->notes[i].text, part))
            return true;
    }
    return false;
}

/* A 4 x 3 tile of bytes first, first + 1, … at C = c. */
static make_tile gray(const uint8_t *pixels, int32_t x, int32_t y, int32_t c)
{
    return (make_tile){.dimensions = {{'X', x, 4, 0}, {'Y', y, 3, 0}, {'C', c, 1, 0}}, .data = pixels, .n = 12};
}

static const uint8_t ramp[12] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21};
static const uint8_t high[12] = {110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121};

/* ---- pixel types -------------------------------------------------------------------------------------------- */

CASE(every_pixel_type)
{
    static const struct {
        int32_t id, samples;
        pel_dtype dtype;
    } types[] = {{0, 1, PEL_U8}, {1, 1, PEL_U16}, {2, 1, PEL_F32}, {3, 3, PEL_U8}, {4, 3, PEL_U16},
                 {8, 3, PEL_F32}, {9, 4, PEL_U8}, {12, 1, PEL_I32}, {13, 1, PEL_F64}};
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
        uint8_t data[2 * 2 * 12];
        const size_t size = pel_dtype_size(types[k].dtype), n = 4 * size * (size_t)types[k].samples;
        for (int32_t i = 0; i < 4 * types[k].samples; i++) {
            const float f = (float)(i + 1);
            const double d = i + 1;
            uint8_t *p = data + (size_t)i * size;
            if (types[k].dtype == PEL_F32)
                memcpy(p, &f, 4);
            else if (types[k].dtype == PEL_F64)
                memcpy(p, &d, 8);
            else
                memset(p, 0, size), *p = (uint8_t)(i + 1);
        }
        make_file f;
        make_begin(&f);
        make_add(&f, &(make_tile){.pixel = types[k].id, .dimensions = {{'X', 0, 2, 0}, {'Y', 0, 2, 0}}, .data = data, .n = n});
        pel_source *s = open_made(&f, NULL);
        if (!s)
            continue;
        const pel_image *im = pel_source_image(s, 0);
        CHECK_INT(im->dtype, types[k].dtype);
        CHECK_INT(im->samples, types[k].samples);
        CHECK_INT(im->shape[PEL_C], types[k].samples);
        CHECK_INT(im->file_is_bgr, types[k].samples > 1);
        for (int32_t c = 0; c < types[k].samples; c++) { /* channels R, G, B, A of the file's B, G, R, A */
            const int32_t at = types[k].samples == 1 ? 0 : c < 3 ? 2 - c : 3;
            CHECK_INT(value(s, 0, 0, c, 0, 1, 1), 3 * types[k].samples + at + 1);
        }
        pel_source_destroy(s);
    }
}

/* Channels of different types: the image has the smallest type that holds all of them. */
CASE(mixed_pixel_types)
{
    static const struct {
        int32_t a, b;
        pel_dtype joined;
    } pairs[] = {{0, 1, PEL_U16}, {0, 2, PEL_F32}, {1, 12, PEL_I32}, {12, 2, PEL_F64}, {2, 13, PEL_F64}, {0, 12, PEL_I32}};
    static const size_t bytes[] = {1, 2, 4, [12] = 4, [13] = 8};
    for (size_t k = 0; k < sizeof pairs / sizeof pairs[0]; k++) {
        uint8_t zero[12 * 8] = {0};
        make_file f;
        make_begin(&f);
        make_tile t = gray(zero, 0, 0, 0);
        t.pixel = pairs[k].a;
        t.n = 12 * bytes[t.pixel];
        make_add(&f, &t);
        t = gray(zero, 0, 0, 1);
        t.pixel = pairs[k].b;
        t.n = 12 * bytes[t.pixel];
        make_add(&f, &t);
        pel_source *s = open_made(&f, NULL);
        if (!s)
            continue;
        CHECK_INT(pel_source_image(s, 0)->dtype, pairs[k].joined);
        CHECK(has_note(pel_source_image(s, 0), "different pixel types"));
        CHECK_INT(value(s, 0, 0, 1, 0, 2, 3), 0);
        pel_source_destroy(s);
    }
}

CASE(gray_beside_color)
{
    const uint16_t wide[12] = {1000, 1001, 1002};
    uint8_t color[36];
    for (int i = 0; i < 36; i++)
        color[i] = (uint8_t)(i + 1);
    make_file f;
    make_begin(&f);
    make_tile t = gray((const uint8_t *)wide, 0, 0, 0);
    t.pixel = 1;
    t.n = 24;
    make_add(&f, &t);
    t = gray(color, 0, 0, 1);
    t.pixel = 3;
    t.n = 36;
    make_add(&f, &t);
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    const pel_image *im = pel_source_image(s, 0);
    CHECK_INT(im->dtype, PEL_U16);
    CHECK_INT(im->shape[PEL_C], 4);
    CHECK_TEXT(im->channels[2].name, "C1 G");
    CHECK_INT(value(s, 0, 0, 0, 0, 0, 1), 1001);
    for (int64_t c = 0; c < 3; c++)
        CHECK_INT(value(s, 0, 0, 1 + c, 0, 0, 1), 6 - c);
    pel_source_destroy(s);
}

/* ---- compression -------------------------------------------------------------------------------------------- */

static size_t zstd1(uint8_t *out, size_t room, const uint16_t *samples, size_t n, bool hilo)
{
    uint8_t split[1024];
    size_t head = 1;
    out[0] = 1;
    memcpy(split, samples, 2 * n);
    if (hilo) {
        make_letters(out, "\x03\x01\x01");
        head = 3;
        for (size_t i = 0; i < n; i++) {
            split[i] = (uint8_t)samples[i];
            split[n + i] = (uint8_t)(samples[i] >> 8);
        }
    }
    return head + ZSTD_compress(out + head, room - head, split, 2 * n, 1);
}

CASE(zstd1_hilo_of_color)
{
    uint16_t samples[36];
    uint8_t packed[1024];
    for (int i = 0; i < 36; i++)
        samples[i] = (uint16_t)(257 * i + 3);
    for (int hilo = 0; hilo < 2; hilo++) {
        make_file f;
        make_begin(&f);
        make_tile t = gray(packed, 5, 6, 0);
        t.pixel = 4;
        t.compression = 6;
        t.n = zstd1(packed, sizeof packed, samples, 36, hilo);
        make_add(&f, &t);
        pel_source *s = open_made(&f, NULL);
        if (!s)
            continue;
        CHECK_TEXT(pel_source_image(s, 0)->compression, hilo ? "zstd1 with hi-lo" : "zstd1");
        for (int64_t c = 0; c < 3; c++)
            CHECK_INT(value(s, 0, 0, c, 0, 2, 1), samples[9 * 3 + 2 - c]);
        pel_source_destroy(s);
    }
}

/* A stream that holds less than the tile (the rest is zero), more (the surplus is ignored), far more (refused). */
CASE(zstd_of_another_size)
{
    uint8_t plain[200000] = {0}, packed[4096];
    memcpy(plain, ramp, 12);
    for (int k = 0; k < 3; k++) {
        static const size_t sizes[] = {6, 400, 200000};
        make_file f;
        make_begin(&f);
        make_tile t = gray(packed, 0, 0, 0);
        t.compression = 5;
        t.n = ZSTD_compress(packed, sizeof packed, plain, sizes[k], 1);
        make_add(&f, &t);
        t.dimensions[2].start = 1; /* read first, so that its pixels lie in the buffer */
        t.n = ZSTD_compress(packed, sizeof packed, high, 12, 1);
        make_add(&f, &t);
        pel_source *s = open_made(&f, NULL);
        if (!s)
            continue;
        CHECK_INT(value(s, 0, 0, 1, 0, 2, 3), 121);
        const int64_t none[PEL_AXES] = {0}, all[PEL_AXES] = {1, 1, 1, 3, 4};
        double v[12];
        pel_error err = {0};
        if (k == 2) {
            CHECK_FAILS(read_values(v, s, 0, none, all, &err), err, PEL_DAMAGED);
            CHECK_TEXT(err.text, "unpacks to 200000 bytes, expected 12");
        } else {
            CHECK_OK(read_values(v, s, 0, none, all, &err), err);
            CHECK_INT(v[5], 15);
            CHECK_INT(v[11], k == 0 ? 0 : 21);
        }
        pel_source_destroy(s);
    }
}

CASE(raw_pixels_under_another_flag)
{
    static const int32_t flags[] = {4, 5, 6, 1001};
    for (int k = 0; k < 4; k++) {
        make_file f;
        make_begin(&f);
        make_tile t = gray(ramp, 0, 0, 0);
        t.compression = flags[k];
        make_add(&f, &t);
        pel_source *s = open_made(&f, NULL);
        if (!s)
            continue;
        CHECK_INT(value(s, 0, 0, 0, 0, 2, 3), 21);
        CHECK_INT(has_note(pel_source_image(s, 0), "upside down"), k == 3);
        pel_source_destroy(s);
    }
}

CASE(foreign_compression_is_named)
{
    static const int32_t flags[] = {1, 2, 104, 1001, 77777};
    for (int k = 0; k < 5; k++) {
        make_file f;
        make_begin(&f);
        make_tile t = gray(ramp, 0, 0, 0);
        t.compression = flags[k];
        t.n = 11;
        make_add(&f, &t);
        pel_source *s = open_made(&f, NULL);
        if (!s)
            continue;
        const int64_t none[PEL_AXES] = {0}, one[PEL_AXES] = {1, 1, 1, 1, 1};
        double v;
        pel_error err = {0};
        CHECK_FAILS(read_values(&v, s, 0, none, one, &err), err, PEL_UNSUPPORTED);
        CHECK_TEXT(err.text, "tile 0");
        pel_source_destroy(s);
    }
}

/* ---- axes --------------------------------------------------------------------------------------------------- */

/* The second tile lacks V and C, and says Q, which nobody knows. */
CASE(missing_and_unknown_letters)
{
    make_file f;
    make_begin(&f);
    make_add(&f, &(make_tile){.dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}, {'V', 1, 1, 0}, {'C', 1, 1, 0}}, .data = ramp, .n = 12});
    make_add(&f, &(make_tile){.dimensions = {{'x', 0, 4, 0}, {'y', 0, 3, 0}, {'q', 1, 1, 0}}, .data = high, .n = 12});
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    const pel_image *im = pel_source_image(s, 0);
    CHECK_INT(im->shape[PEL_C], 8); /* V 0-1, Q 0-1, C 0-1 */
    CHECK_INT(im->planes, 8);
    CHECK_INT(im->planes_missing, 6);
    CHECK(has_note(im, "6 of 8 planes are missing"));
    CHECK(has_note(im, "does not know are counted as channels: Q"));
    CHECK(strcmp(im->channels[2].name, "V0 Q1 C0") == 0);
    CHECK(strcmp(im->channels[5].name, "V1 Q0 C1") == 0);
    CHECK_INT(value(s, 0, 0, 2, 0, 0, 0), 110);
    CHECK_INT(value(s, 0, 0, 5, 0, 0, 0), 10);
    CHECK_INT(value(s, 0, 0, 4, 0, 0, 0), 0);
    pel_source_destroy(s);
}

/* V I H R B fold into the channels in this order, C fastest, and keep holes. */
CASE(folded_axes)
{
    static const char letters[] = "BRHIV"; /* any order in the file */
    make_file f;
    make_begin(&f);
    for (int32_t k = 0; k < 64; k++) {
        uint8_t pixels[12];
        memset(pixels, k + 1, sizeof pixels);
        make_tile t = gray(pixels, 0, 0, 3 + (k & 1));
        for (int a = 0; a < 5; a++)
            t.dimensions[3 + a] = (make_dimension){letters[a], (k >> (a + 1)) & 1, 1, 0};
        if (k != 37)
            make_add(&f, &t);
    }
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    const pel_image *im = pel_source_image(s, 0);
    CHECK_INT(im->shape[PEL_C], 64);
    CHECK_INT(im->planes_missing, 1);
    CHECK(strcmp(im->channels[63].name, "V1 I1 H1 R1 B1 C4") == 0);
    CHECK(strcmp(im->channels[33].name, "V1 I0 H0 R0 B0 C4") == 0);
    for (int32_t k = 0; k < 64; k++)
        CHECK_INT(value(s, 0, 0, k, 0, 1, 1), k == 37 ? 0 : k + 1);
    pel_source_destroy(s);
}

/* With 12 dimensions the fixed part of a tile is 288 bytes, not 256. */
CASE(twelve_dimensions)
{
    make_file f;
    make_begin(&f);
    make_tile t = {.dimensions = {{'X', 0, 4, 0}, {'Y', 0, 3, 0}}, .data = ramp, .n = 12, .metadata = "<METADATA />"};
    for (int i = 0; i < 10; i++)
        t.dimensions[2 + i] = (make_dimension){"ZCTSVIHRBM"[i], 0, 1, 0};
    make_add(&f, &t);
    CHECK_INT(f.n - f.tiles[0], 32 + 288 + 12 + 12 + 8);
    pel_source *s = open_made(&f, NULL);
    if (s)
        CHECK_INT(value(s, 0, 0, 0, 0, 2, 3), 21);
    pel_source_destroy(s);
}

CASE(starts_need_not_be_zero)
{
    make_file f;
    make_begin(&f);
    make_add(&f, &(make_tile){.dimensions = {{'X', -7, 4, 0}, {'Y', 100, 3, 0}, {'Z', -2, 1, 0}, {'T', 5, 1, 0}}, .data = ramp, .n = 12});
    make_add(&f, &(make_tile){.dimensions = {{'X', -7, 4, 0}, {'Y', 100, 3, 0}, {'Z', 1, 1, 0}, {'T', 6, 1, 0}}, .data = high, .n = 12});
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    const pel_image *im = pel_source_image(s, 0);
    CHECK_INT(im->shape[PEL_Z], 4);
    CHECK_INT(im->shape[PEL_T], 2);
    CHECK_INT(im->origin[PEL_Z], -2);
    CHECK_INT(im->origin[PEL_T], 5);
    CHECK_INT(im->origin[PEL_X], -7);
    CHECK_INT(im->planes_missing, 6);
    CHECK_INT(value(s, 0, 0, 0, 0, 0, 0), 10);
    CHECK_INT(value(s, 0, 1, 0, 3, 0, 0), 110);
    CHECK_INT(value(s, 0, 0, 0, 3, 0, 0), 0);
    pel_source_destroy(s);
}

/* A tile that holds a whole time series: the image opens and says so, reading it fails, the others read. */
CASE(series_in_a_tile)
{
    make_file f;
    make_begin(&f);
    make_tile t = gray(ramp, 0, 0, 0);
    t.dimensions[3] = (make_dimension){'T', 0, 100, 0};
    make_add(&f, &t);
    t = gray(high, 0, 0, 1);
    make_add(&f, &t);
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    const int64_t none[PEL_AXES] = {0}, one[PEL_AXES] = {1, 1, 1, 1, 1};
    double v;
    pel_error err = {0};
    CHECK(has_note(pel_source_image(s, 0), "1 tiles hold a whole stack"));
    CHECK_FAILS(read_values(&v, s, 0, none, one, &err), err, PEL_UNSUPPORTED);
    CHECK_TEXT(err.text, "series along T");
    CHECK_INT(value(s, 0, 0, 1, 0, 0, 0), 110);
    pel_source_destroy(s);
}

/* ---- painting ----------------------------------------------------------------------------------------------- */

static make_tile placed(const uint8_t *pixels, int32_t x, int32_t m, bool has_m)
{
    make_tile t = gray(pixels, x, 0, 0);
    if (has_m)
        t.dimensions[3] = (make_dimension){'M', m, 1, 0};
    return t;
}

/* No mosaic number is lowest, then by number, then by place in the directory; the last is on top. */
CASE(paint_order)
{
    static const uint8_t a[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, b[12] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2},
                         c[12] = {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3}, d[12] = {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4};
    make_file f;
    make_begin(&f);
    const make_tile tiles[] = {placed(c, 4, 7, true), placed(b, 2, 3, true), placed(a, 0, 0, false), placed(d, 6, 3, true),
                               placed(b, 20, 1, true), placed(c, 20, 1, true)};
    for (size_t i = 0; i < sizeof tiles / sizeof tiles[0]; i++)
        make_add(&f, &tiles[i]);
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    static const int want[24] = {1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3};
    const int64_t none[PEL_AXES] = {0}, row[PEL_AXES] = {1, 1, 1, 1, 24};
    double v[24];
    pel_error err = {0};
    CHECK_OK(read_values(v, s, 0, none, row, &err), err);
    for (int i = 0; i < 24; i++)
        CHECK_INT(v[i], want[i]);
    pel_source_destroy(s);
}

/* A hidden tile is not even read: this one is damaged. */
CASE(hidden_tiles_are_skipped)
{
    make_file f;
    make_begin(&f);
    make_tile t = placed(ramp, 0, 0, true);
    make_add(&f, &t);
    t = placed(high, 0, 1, true);
    make_add(&f, &t);
    memset(f.data + f.tiles[0], 0, 14);
    pel_source *s = open_made(&f, NULL);
    if (s)
        CHECK_INT(value(s, 0, 0, 0, 0, 0, 0), 110);
    pel_source_destroy(s);
}

/* Scenes become images in ascending order; a tile without S belongs to the lowest. */
CASE(scenes)
{
    make_file f;
    make_begin(&f);
    make_tile t = gray(high, 100, 50, 0);
    t.dimensions[3] = (make_dimension){'S', 9, 1, 0};
    make_add(&f, &t);
    t = gray(ramp, 2, 2, 0);
    t.dimensions[3] = (make_dimension){'S', 4, 1, 0};
    make_add(&f, &t);
    t = gray(high, 2, 2, 1);
    make_add(&f, &t);
    pel_source *s = open_made(&f, "<ImageDocument><Metadata><Information><Image><Dimensions><S><Scenes><Scene Index=\"9\" Name=\"well B2\"/>"
                                  "</Scenes></S></Dimensions></Image></Information></Metadata></ImageDocument>");
    if (!s)
        return;
    CHECK_INT(pel_source_image_count(s), 2);
    CHECK(strcmp(pel_source_image(s, 0)->name, "scene 4") == 0);
    CHECK(strcmp(pel_source_image(s, 1)->name, "well B2") == 0);
    CHECK_INT(pel_source_image(s, 0)->origin[PEL_X], 2);
    CHECK_INT(pel_source_image(s, 1)->origin[PEL_X], 100);
    CHECK_INT(pel_source_image(s, 1)->shape[PEL_C], 2);
    CHECK_INT(pel_source_image(s, 1)->planes_missing, 1);
    CHECK_INT(value(s, 0, 0, 0, 0, 0, 0), 10);
    CHECK_INT(value(s, 0, 0, 1, 0, 0, 0), 110);
    CHECK_INT(value(s, 1, 0, 0, 0, 0, 0), 110);
    CHECK_INT(value(s, 1, 0, 1, 0, 0, 0), 0);
    pel_source_destroy(s);
}

/* ---- pyramids and traps -------------------------------------------------------------------------------------- */

static make_tile scaled(const uint8_t *pixels, int32_t c, int32_t w, int32_t h, uint8_t type)
{
    return (make_tile){.pyramid = type, .data = pixels, .n = 12,
                       .dimensions = {{'X', 0, w, 4}, {'Y', 0, h, 3}, {'C', c, 1, 0}}};
}

CASE(pyramid_tiles_are_left_out)
{
    make_file f;
    make_begin(&f);
    make_tile t = gray(ramp, 0, 0, 0);
    make_add(&f, &t);
    t = scaled(high, 0, 8, 7, 2); /* by its type; sticks out */
    make_add(&f, &t);
    t = scaled(high, 0, 12, 9, 0); /* by its twin */
    make_add(&f, &t);
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    CHECK_INT(pel_source_image(s, 0)->shape[PEL_X], 4);
    CHECK_INT(pel_source_image(s, 0)->shape[PEL_Y], 3);
    CHECK(has_note(pel_source_image(s, 0), "2 tiles of lower resolution"));
    CHECK_INT(value(s, 0, 0, 0, 0, 0, 0), 10);
    pel_source_destroy(s);
}

/* Stored in fewer rows than it covers, and there is no full tile: it is the data, rows are repeated. */
CASE(fast_scan_is_data)
{
    for (int compression = 0; compression < 6; compression += 5) {
        uint8_t packed[256];
        make_file f;
        make_begin(&f);
        make_tile t = scaled(ramp, 0, 4, 12, 0);
        if (compression) {
            t.n = ZSTD_compress(packed, sizeof packed, ramp, 12, 1);
            t.data = packed;
            t.compression = compression;
        }
        make_add(&f, &t);
        pel_source *s = open_made(&f, NULL);
        if (!s)
            continue;
        CHECK_INT(pel_source_image(s, 0)->shape[PEL_Y], 12);
        CHECK(has_note(pel_source_image(s, 0), "1 tiles are stored at another size"));
        for (int64_t y = 0; y < 12; y++)
            CHECK_INT(value(s, 0, 0, 0, 0, y, 2), 12 + 4 * (y / 4));
        pel_source_destroy(s);
    }
}

/* Stored larger than it covers: every other pixel is dropped. */
CASE(palm_is_reduced)
{
    make_file f;
    make_begin(&f);
    make_tile t = scaled(ramp, 0, 2, 3, 0);
    make_add(&f, &t);
    pel_source *s = open_made(&f, NULL);
    if (s) {
        CHECK_INT(pel_source_image(s, 0)->shape[PEL_X], 2);
        CHECK_INT(value(s, 0, 0, 0, 0, 1, 1), 16);
    }
    pel_source_destroy(s);
}

/* ---- random mosaics ------------------------------------------------------------------------------------------ */

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525U + 1013904223U;
    return (uint32_t)(((uint64_t)*state * below) >> 32);
}

#define STAGE 96
typedef struct stage {
    uint16_t pixels[STAGE][STAGE];
    int32_t m[STAGE][STAGE]; /* of what is there now; order of the directory decides among equals */
} stage;

/* A tile of noise somewhere, in one of the ways tiles are stored; painted by the plain rule too. */
static void add_random_tile(make_file *f, stage *truth, uint32_t *state)
{
    const int32_t w = 1 + (int32_t)draw(state, 40), h = 1 + (int32_t)draw(state, 40), m = (int32_t)draw(state, 6) - 1;
    const int32_t x = (int32_t)draw(state, (uint32_t)(STAGE - w + 1)), y = (int32_t)draw(state, (uint32_t)(STAGE - h + 1));
    static uint16_t pixels[1600];
    static uint8_t packed[8192], split[3200];
    const size_t n = (size_t)w * (size_t)h;
    for (size_t i = 0; i < n; i++) {
        pixels[i] = (uint16_t)(1 + draw(state, 65535));
        split[i] = (uint8_t)pixels[i];
        split[n + i] = (uint8_t)(pixels[i] >> 8);
    }
    make_tile t = {.pixel = 1, .data = pixels, .n = 2 * n,
                   .dimensions = {{'X', x - 50, w, 0}, {'Y', y - 20, h, 0}, {m < 0 ? 'Z' : 'M', m < 0 ? 0 : m, 1, 0}}};
    if (draw(state, 2)) {
        make_letters(packed, "\x03\x01\x01");
        t.compression = 6;
        t.n = 3 + ZSTD_compress(packed + 3, sizeof packed - 3, split, 2 * n, 1);
        t.data = packed;
    }
    make_add(f, &t);
    for (int32_t i = 0; i < h; i++) {
        for (int32_t k = 0; k < w; k++) {
            if (m >= truth->m[y + i][x + k]) {
                truth->m[y + i][x + k] = m;
                truth->pixels[y + i][x + k] = pixels[i * w + k];
            }
        }
    }
}

/* Any part of the image, into any part of a larger block, equals the plain painting. */
static void read_part(pel_source *s, const stage *truth, const int64_t *origin, const int64_t *shape)
{
    static uint16_t data[STAGE * STAGE];
    const pel_image *im = pel_source_image(s, 0);
    pel_error err = {0};
    const pel_region all = pel__region(PEL_AXES, NULL, im->shape), part = pel__region(PEL_AXES, origin, shape);
    const pel_block b = pel__block_dense(&all, PEL_U16, data), view = pel__block_view(&b, &part);
    memset(data, 0xEE, sizeof data);
    CHECK_OK(pel_source_read(s, 0, &view, &err), err);
    int wrong = 0;
    for (int64_t y = 0; y < im->shape[PEL_Y]; y++) {
        for (int64_t x = 0; x < im->shape[PEL_X]; x++) {
            const bool inside = y >= origin[PEL_Y] && y < origin[PEL_Y] + shape[PEL_Y] && x >= origin[PEL_X] && x < origin[PEL_X] + shape[PEL_X];
            const uint16_t want = inside ? truth->pixels[y + im->origin[PEL_Y] + 20][x + im->origin[PEL_X] + 50] : 0xEEEE;
            wrong += data[y * im->shape[PEL_X] + x] != want;
        }
    }
    CHECK_INT(wrong, 0);
}

static void read_random_part(pel_source *s, const stage *truth, uint32_t *state)
{
    const pel_image *im = pel_source_image(s, 0);
    int64_t origin[PEL_AXES] = {0}, shape[PEL_AXES] = {1, 1, 1, 1, 1};
    for (int a = PEL_Y; a <= PEL_X; a++) {
        origin[a] = draw(state, (uint32_t)im->shape[a]);
        shape[a] = 1 + draw(state, (uint32_t)(im->shape[a] - origin[a]));
    }
    read_part(s, truth, origin, shape);
}

CASE(random_mosaics)
{
    uint32_t state = 7;
    int64_t all_hits = 0, all_misses = 0;
    for (int k = 0; k < 40; k++) {
        static stage truth;
        make_file f;
        memset(&truth, 0, sizeof truth);
        memset(truth.m, 0xFF, sizeof truth.m); /* -1: nothing has no M either */
        make_begin(&f);
        for (uint32_t n = 1 + draw(&state, 40); n > 0; n--)
            add_random_tile(&f, &truth, &state);
        pel_source *s = open_made(&f, NULL);
        pel__czi *czi = (pel__czi *)s;
        if (s && k % 2) /* room for some tiles, not for all */
            pel__source_cache(s, 3 * (czi->max_decoded + 8192), k % 4 == 1);
        for (int i = 0; s && i < 10; i++)
            read_random_part(s, &truth, &state);
        if (s && czi->cache) {
            int64_t hits = 0, misses = 0;
            pel__czi_cache_counts(czi->cache, &hits, &misses);
            all_hits += hits;
            all_misses += misses;
        }
        pel_source_destroy(s);
    }
    CHECK(all_hits > 20 && all_misses > 20);
}

/* With room for every tile each is decoded once, however the image is cut up. */
CASE(cache_decodes_once)
{
    static stage truth;
    uint32_t state = 99;
    make_file f;
    memset(&truth, 0, sizeof truth);
    memset(truth.m, 0xFF, sizeof truth.m);
    make_begin(&f);
    for (int n = 0; n < 30; n++)
        add_random_tile(&f, &truth, &state);
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    pel__czi *czi = (pel__czi *)s;
    int64_t compressed = 0, hits = 0, misses = 0;
    for (int64_t i = 0; i < czi->tile_count; i++)
        compressed += czi->tiles[i].compression != 0;
    pel__source_cache(s, 40 * (czi->max_decoded + 8192), false);
    for (int i = 0; i < 200; i++)
        read_random_part(s, &truth, &state);
    pel__czi_cache_counts(czi->cache, &hits, &misses);
    CHECK(misses <= compressed);
    CHECK(hits > 10 * misses);
    pel__source_cache(s, 0, false);
    CHECK(czi->cache == NULL);
    read_random_part(s, &truth, &state);
    pel_source_destroy(s);
}

/* What is read once and whole leaves nothing in the cache. */
CASE(cache_is_passed_by)
{
    static stage truth;
    uint32_t state = 5;
    make_file f;
    memset(&truth, 0, sizeof truth);
    memset(truth.m, 0xFF, sizeof truth.m);
    make_begin(&f);
    for (int n = 0; n < 30; n++)
        add_random_tile(&f, &truth, &state);
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    const pel__czi *const czi = (pel__czi *)s;
    int64_t hits = 0, misses = 0;
    pel__source_cache(s, 40 * (czi->max_decoded + 8192), true);
    for (int i = 0; i < 2; i++)
        read_part(s, &truth, (const int64_t[PEL_AXES]){0}, pel_source_image(s, 0)->shape);
    pel__czi_cache_counts(czi->cache, &hits, &misses);
    CHECK(misses > 0);
    CHECK_INT(hits, 0);
    pel_source_destroy(s);
}

/* ---- masks -------------------------------------------------------------------------------------------------- */

CASE(valid_pixel_mask)
{
    uint8_t chunks[20 + 5 + 20 + 16 + 3] = {0};
    static const uint8_t guid[16] = {0x67, 0xEA, 0xE3, 0xCB, 0xFC, 0x5B, 0x2B, 0x49, 0xA1, 0x6A, 0xEC, 0xE3, 0x78, 0x03, 0x14, 0x48};
    pel__store_i32(chunks + 16, 5); /* another chunk first */
    uint8_t *mask = chunks + 25;
    memcpy(mask, guid, 16);
    pel__store_i32(mask + 16, 19);
    pel__store_i32(mask + 20, 4);
    pel__store_i32(mask + 24, 3);
    pel__store_i32(mask + 32, 1);
    mask[36] = 0x90; /* 1001 */
    mask[37] = 0xF0;
    mask[38] = 0x00;
    make_file f;
    make_begin(&f);
    make_tile t = placed(ramp, 0, 0, true);
    make_add(&f, &t);
    t = placed(high, 0, 1, true);
    t.attachment = chunks;
    t.attachment_n = sizeof chunks;
    make_add(&f, &t);
    make_end(&f, NULL);
    make_write(&f, path);
    make_free(&f);
    for (int use = 0; use < 2; use++) {
        pel_source *s = open_with(&(pel_open_options){.use_mask = use});
        if (!s)
            continue;
        CHECK_INT(value(s, 0, 0, 0, 0, 0, 0), 110);
        CHECK_INT(value(s, 0, 0, 0, 0, 0, 1), use ? 11 : 111);
        CHECK_INT(value(s, 0, 0, 0, 0, 0, 3), 113);
        CHECK_INT(value(s, 0, 0, 0, 0, 1, 2), 116);
        CHECK_INT(value(s, 0, 0, 0, 0, 2, 0), use ? 18 : 118);
        pel_source_destroy(s);
    }
}

/* ---- sets of files ------------------------------------------------------------------------------------------- */

static void make_part(const char *name, int32_t number, uint8_t primary, const uint8_t *pixels, int32_t z)
{
    make_file f;
    char at[192];
    make_begin(&f);
    memset(f.data + 48, primary, 16);
    memset(f.data + 64, 0x20 + number, 16);
    pel__store_i32(f.data + 80, number);
    make_tile t = gray(pixels, 0, 0, 0);
    t.dimensions[3] = (make_dimension){'Z', z, 1, 0};
    make_add(&f, &t);
    make_end(&f, NULL);
    (void)snprintf(at, sizeof at, "%s/%s", folder, name);
    make_write(&f, at);
    make_free(&f);
}

CASE(multi_file_sets)
{
    make_part("set.czi", 0, 0x55, ramp, 0);
    make_part("set(1).czi", 1, 0x55, high, 1);
    make_part("set (2).czi", 2, 0x55, ramp, 2);
    make_part("set(3).czi", 3, 0x66, ramp, 3); /* a stranger with the right name */
    char old[sizeof path];
    memcpy(old, path, sizeof old);
    (void)snprintf(path, sizeof path, "%s/set.czi", folder);
    pel_source *s = open_with(NULL);
    if (s) {
        CHECK_INT(pel_source_image(s, 0)->shape[PEL_Z], 3);
        CHECK(has_note(pel_source_image(s, 0), "spread over 3 files"));
        CHECK_INT(value(s, 0, 0, 0, 0, 0, 0), 10);
        CHECK_INT(value(s, 0, 0, 0, 1, 0, 0), 110);
        CHECK_INT(value(s, 0, 0, 0, 2, 0, 0), 10);
    }
    pel_source_destroy(s);
    (void)snprintf(path, sizeof path, "%s/set(1).czi", folder); /* a part alone */
    s = open_with(NULL);
    if (s) {
        CHECK_INT(pel_source_image(s, 0)->shape[PEL_Z], 1);
        CHECK_INT(value(s, 0, 0, 0, 0, 0, 0), 110);
    }
    pel_source_destroy(s);
    memcpy(path, old, sizeof old);
}

/* The directory lists a tile of a part that is not there: reading it fails by name, it is never black. */
CASE(missing_part)
{
    make_file f;
    make_begin(&f);
    make_tile t = gray(ramp, 0, 0, 0);
    make_add(&f, &t);
    t = gray(high, 0, 0, 1);
    t.file_part = 2;
    make_add(&f, &t);
    pel_source *s = open_made(&f, NULL);
    if (!s)
        return;
    const int64_t second[PEL_AXES] = {0, 1, 0, 0, 0}, one[PEL_AXES] = {1, 1, 1, 1, 1};
    double v;
    pel_error err = {0};
    CHECK(has_note(pel_source_image(s, 0), "parts of the file set that are not here"));
    CHECK_INT(value(s, 0, 0, 0, 0, 0, 0), 10);
    CHECK_FAILS(read_values(&v, s, 0, second, one, &err), err, PEL_NOT_FOUND);
    pel_source_destroy(s);
}

/* ---- metadata ----------------------------------------------------------------------------------------------- */

CASE(metadata)
{
    static const char xml[] =
        "<?xml version=\"1.0\"?><ImageDocument><Metadata><Experiment><Scaling><Items><Distance Id=\"X\"><Value>9</Value></Distance></Items>"
        "</Scaling></Experiment><Scaling><Items><Distance Id=\"X\"><Value>1.5E-07</Value></Distance><Distance Id=\"Y\"><Value>2e-007</Value>"
        "</Distance></Items></Scaling><Information><Instrument><Objectives><Objective Id=\"O:2\" Name=\"Plan 20x\"><LensNA>0.8</LensNA>"
        "<NominalMagnification>20</NominalMagnification></Objective><Objective Id=\"O:1\" Name=\"other\"/></Objectives></Instrument><Image>"
        "<SizeX>-1</SizeX><ComponentBitCount>7</ComponentBitCount><AcquisitionDateAndTime>2021-06-15T06:09:43Z</AcquisitionDateAndTime>"
        "<ObjectiveSettings><ObjectiveRef Id=\"O:2\"/></ObjectiveSettings><Dimensions><Channels><Channel Id=\"Channel:0\" Name=\"D&#x41;PI\">"
        "<ExcitationWavelength>353</ExcitationWavelength><EmissionWavelength>465.5</EmissionWavelength><Color>#FF00A1FF</Color></Channel>"
        "<Channel Id=\"Channel:1\"><Color>#FF010203</Color></Channel></Channels><Z><Positions><Interval><Increment>-0.5</Increment></Interval>"
        "</Positions></Z><T><Positions><Interval><Increment>2.5</Increment></Interval></Positions></T></Dimensions></Image></Information>"
        "<DisplaySetting><Channels><Channel Id=\"Channel:1\"><ShortName>EGFP</ShortName><Low>0.1</Low><High>0.5</High></Channel></Channels>"
        "</DisplaySetting></Metadata></ImageDocument>";
    make_file f;
    make_begin(&f);
    make_tile t = gray(ramp, 0, 0, 0);
    make_add(&f, &t);
    t = gray(high, 0, 0, 1);
    t.dimensions[3] = (make_dimension){'T', 1, 1, 0};
    make_add(&f, &t);
    pel_source *s = open_made(&f, xml);
    if (!s)
        return;
    const pel_image *im = pel_source_image(s, 0);
    CHECK_INT(im->pixel_size[PEL_X] * 1e9 + 0.5, 150000000);
    CHECK_INT(im->pixel_size[PEL_Y] * 1e9 + 0.5, 200000000);
    CHECK(im->pixel_size[PEL_Z] == 0.5);
    CHECK(im->pixel_size[PEL_T] == 2.5);
    CHECK_INT(im->significant_bits, 7);
    CHECK(strcmp(im->acquired, "2021-06-15T06:09:43Z") == 0);
    CHECK(strcmp(im->objective, "Plan 20x") == 0);
    CHECK(im->magnification == 20 && im->aperture == 0.8);
    CHECK(strcmp(im->channels[0].name, "DAPI") == 0);
    CHECK(strcmp(im->channels[1].name, "EGFP") == 0);
    CHECK_INT(im->channels[0].rgb, 0x00A1FF);
    CHECK_INT(im->channels[1].rgb, 0x010203);
    CHECK(im->channels[0].excitation_nm == 353 && im->channels[0].emission_nm == 465.5);
    CHECK(im->channels[1].window_start == 26 && im->channels[1].window_end == 128);
    CHECK_INT(im->note_count, 1); /* the missing planes */
    pel_source_destroy(s);
}

CASE(time_stamps)
{
    static const double seconds[3] = {0.5, 4.5, 8.5}, days[3] = {44000, 44000.5, 44001};
    static const char *const xml[] = {NULL, "<ImageDocument><Metadata><Information><Image><AcquisitionDateAndTime>2020-06-18T12:00:00Z</AcquisitionDateAndTime>"
                                            "</Image></Information></Metadata></ImageDocument>"};
    for (int k = 0; k < 2; k++) {
        make_file f;
        make_begin(&f);
        for (int32_t i = 0; i < 3; i++) {
            make_tile t = gray(ramp, 0, 0, 0);
            t.dimensions[3] = (make_dimension){'T', i, 1, 0};
            make_add(&f, &t);
        }
        make_stamps(&f, k ? days : seconds, 3);
        pel_source *s = open_made(&f, xml[k]);
        if (s)
            CHECK(pel_source_image(s, 0)->pixel_size[PEL_T] == (k ? 43200 : 4));
        pel_source_destroy(s);
    }
}

CASE(unfinished_files_say_so)
{
    make_file f;
    make_begin(&f);
    make_tile t = gray(ramp, 0, 0, 0);
    make_add(&f, &t);
    pel__store_i32(f.data + 100, 1);
    pel_source *s = open_made(&f, NULL);
    if (s)
        CHECK(has_note(pel_source_image(s, 0), "update pending"));
    pel_source_destroy(s);
}

/* ---- size ---------------------------------------------------------------------------------------------------- */

/* A light-sheet run of 1.2 million tiles: 2 C x 2000 Z x 300 T. Only the directory exists; the rest of the file is a hole. */
static void write_large(int64_t *size)
{
    make_file f;
    uint8_t piece[1000 * 212];
    make_tile t = {.pixel = 1, .n = 0, .dimensions = {{'X', 0, 512, 512}, {'Y', 0, 512, 512}, {'C', 0, 1, 1}, {'Z', 0, 1, 1},
                                                      {'T', 0, 1, 1}, {'V', 0, 1, 1}, {'B', 0, 1, 1}, {'H', 0, 1, 1}, {'I', 0, 1, 1}}};
    const size_t entry = 212;
    make_begin(&f);
    f.directory = make_segment(&f, "ZISRAWDIRECTORY", 128);
    pel__store_i64(f.data + 84, (int64_t)f.directory);
    pel__store_i64(f.data + f.directory + 16, 128 + 1200000 * (int64_t)entry);
    pel__store_i64(f.data + f.directory + 24, 128 + 1200000 * (int64_t)entry);
    pel__store_i32(f.data + f.directory + 32, 1200000);
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(f.data, 1, f.n, out) != f.n)
        abort();
    for (int64_t i = 0; i < 1200; i++) {
        memset(piece, 0, sizeof piece);
        for (int64_t k = 0; k < 1000; k++) {
            const int64_t n = 1000 * i + k;
            t.dimensions[2].start = (int32_t)(n % 2);
            t.dimensions[3].start = (int32_t)(n / 2 % 2000);
            t.dimensions[4].start = (int32_t)(n / 4000);
            (void)make_entry(piece + k * (int64_t)entry, &t, 300000000 + 32 * n);
        }
        if (fwrite(piece, 1, sizeof piece, out) != sizeof piece)
            abort();
    }
    if (fflush(out) != 0 || ftruncate(fileno(out), 300000000 + 32 * 1200000 + 4096) != 0 || fclose(out) != 0)
        abort();
    *size = (int64_t)f.directory + 160 + 1200000 * (int64_t)entry;
    make_free(&f);
}

CASE(million_tiles)
{
    struct rusage before, after;
    int64_t size = 0;
    write_large(&size);
    (void)getrusage(RUSAGE_SELF, &before);
    pel_source *s = open_with(NULL);
    (void)getrusage(RUSAGE_SELF, &after);
    const double seconds = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                           1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec);
    if (s) {
        printf("  1.2 million tiles (%lld MB of directory): %.2f s of processor, %lld MB held, peak %ld MB\n", (long long)size / 1000000,
               seconds, (long long)s->resident_bytes / 1000000, after.ru_maxrss / 1000);
        CHECK_INT(pel_source_image(s, 0)->planes, 1200000);
        CHECK_INT(pel_source_image(s, 0)->planes_missing, 0);
        CHECK(s->resident_bytes < 100000000);
        CHECK(SANITIZED || after.ru_maxrss < 200000); /* kB of the whole process */
    }
    pel_source_destroy(s);
    (void)unlink(path);
}

/* ---- the house ----------------------------------------------------------------------------------------------- */

static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) /* NOLINT(concurrency-mt-unsafe): our own stream */
        n++;
    if (d)
        (void)closedir(d);
    return n;
}

int main(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/pellucid-czi-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(path, sizeof path, "%s/made.czi", folder);
    const int files = open_files();
    RUN(million_tiles);
    RUN(every_pixel_type);
    RUN(mixed_pixel_types);
    RUN(gray_beside_color);
    RUN(zstd1_hilo_of_color);
    RUN(zstd_of_another_size);
    RUN(raw_pixels_under_another_flag);
    RUN(foreign_compression_is_named);
    RUN(missing_and_unknown_letters);
    RUN(folded_axes);
    RUN(twelve_dimensions);
    RUN(starts_need_not_be_zero);
    RUN(series_in_a_tile);
    RUN(paint_order);
    RUN(hidden_tiles_are_skipped);
    RUN(scenes);
    RUN(pyramid_tiles_are_left_out);
    RUN(fast_scan_is_data);
    RUN(palm_is_reduced);
    RUN(random_mosaics);
    RUN(cache_decodes_once);
    RUN(cache_is_passed_by);
    RUN(valid_pixel_mask);
    RUN(multi_file_sets);
    RUN(missing_part);
    RUN(metadata);
    RUN(time_stamps);
    RUN(unfinished_files_say_so);
    check_failures = 0;
    CHECK_INT(open_files(), files);
    static const char *const left[] = {"made.czi", "set.czi", "set(1).czi", "set (2).czi", "set(3).czi"};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, left[i]);
        (void)unlink(path);
    }
    CHECK_INT(rmdir(folder), 0);
    check_failed += check_failures > 0;
    return CHECK_DONE();
}
