/* SPDX-License-Identifier: MIT
 * The CZI reader against values that another reader computed: every plane and tile of the sample files (oracle.tsv in
 * $PELLUCID_SHARED/czi). Rows PYR, and ZOOM other than 1, are about pyramids, which we leave out. */
#include "check.h"
#include "czi_make.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "source/czi.h"

#include <stdlib.h>

#define LETTERS "ZCTSVIHRBM"

typedef struct row {
    char kind[16], file[128], coordinates[64];
    int32_t at[256];             /* by letter, INT32_MIN = not named */
    int64_t box[4], all[4], stored[2], index, count, m[2];
    int scene;                   /* -1 = all */
    int compression;
    bool pyramid, mask;
    double zoom;
    char pixel[16];
    uint32_t crc;
} row;

static const char *shared;

static void parse_coordinates(row *r, const char *text)
{
    for (size_t i = 0; i < 256; i++)
        r->at[i] = INT32_MIN;
    while (*text) {
        const unsigned char letter = (unsigned char)*text++;
        char *end = NULL;
        r->at[letter] = (int32_t)strtol(text, &end, 10);
        text = end;
    }
}

/* Up to n numbers with a comma or two points between them; returns how many there are. */
static int parse_numbers(int64_t *out, int n, const char *text)
{
    int got = 0;
    while (got < n) {
        char *end = NULL;
        out[got] = strtoll(text, &end, 10);
        if (end == text)
            break;
        got++;
        text = end + (*end == ',' ? 1 : strncmp(end, "..", 2) == 0 ? 2 : 0);
    }
    return got;
}

static int64_t parse_number(const char *text)
{
    int64_t v = -99;
    CHECK(parse_numbers(&v, 1, text) == 1);
    return v;
}

static void parse_field(row *r, const char *f)
{
    if (strncmp(f, "scene=", 6) == 0)
        r->scene = strcmp(f + 6, "all") == 0 ? -1 : (int)parse_number(f + 6);
    else if (strncmp(f, "roi=", 4) == 0 || strncmp(f, "log=", 4) == 0)
        CHECK_INT(parse_numbers(r->box, 4, f + 4), 4);
    else if (strncmp(f, "bbox0=", 6) == 0)
        CHECK_INT(parse_numbers(r->box, 4, f + 6), 4);
    else if (strncmp(f, "layer0=", 7) == 0)
        CHECK_INT(parse_numbers(r->box, 4, f + 7), 4);
    else if (strncmp(f, "bbox=", 5) == 0)
        CHECK_INT(parse_numbers(r->all, 4, f + 5), 4);
    else if (strncmp(f, "all=", 4) == 0)
        CHECK_INT(parse_numbers(r->all, 4, f + 4), 4);
    else if (strncmp(f, "phys=", 5) == 0)
        CHECK_INT(parse_numbers(r->stored, 2, f + 5), 2);
    else if (strncmp(f, "M=", 2) == 0)
        CHECK(parse_numbers(r->m, 2, f + 2) >= 1);
    else if (strncmp(f, "comp=", 5) == 0)
        r->compression = (int)parse_number(f + 5);
    else if (strncmp(f, "crc32=", 6) == 0)
        r->crc = (uint32_t)strtoul(f + 6, NULL, 16);
    else if (strncmp(f, "subblocks=", 10) == 0)
        r->count = parse_number(f + 10);
    else if (strncmp(f, "zoom=", 5) == 0)
        r->zoom = strtod(f + 5, NULL);
    else if (strcmp(f, "mask=1") == 0)
        r->mask = true;
    else if (strcmp(f, "pyramid") == 0)
        r->pyramid = true;
    else if (strncmp(f, "gray", 4) == 0 || strncmp(f, "bgr", 3) == 0)
        (void)snprintf(r->pixel, sizeof r->pixel, "%s", f);
}

static bool parse_row(row *r, char *line)
{
    char *save = NULL;
    int field = 0;
    *r = (row){.scene = -2, .index = -1};
    for (char *f = strtok_r(line, "\t\n", &save); f; f = strtok_r(NULL, "\t\n", &save), field++) {
        const bool tile = strcmp(r->kind, "SUBBLK") == 0;
        if (field == 0)
            (void)snprintf(r->kind, sizeof r->kind, "%s", f);
        else if (field == 1)
            (void)snprintf(r->file, sizeof r->file, "%s", f);
        else if ((field == 2 && strcmp(r->kind, "PLANE") == 0) || (field == 3 && tile))
            parse_coordinates(r, f);
        else if (field == 2 && (tile || strcmp(r->kind, "SCENE") == 0))
            r->index = parse_number(f);
        else
            parse_field(r, f);
    }
    return field > 2;
}

/* ---- checks of one row -------------------------------------------------------------------------------------- */

static void check_box(const int64_t *want, int64_t x0, int64_t y0, int64_t x1, int64_t y1)
{
    CHECK_INT(x0, want[0]);
    CHECK_INT(y0, want[1]);
    CHECK_INT(x1 - x0, want[2]);
    CHECK_INT(y1 - y0, want[3]);
}

/* Box of tiles of a scene (-1 = any), with or without pyramid. */
static void check_tiles_box(const int64_t *want, const pel__czi *czi, int scene, bool pyramid)
{
    int64_t x0 = INT64_MAX, y0 = INT64_MAX, x1 = INT64_MIN, y1 = INT64_MIN;
    for (int64_t i = 0; i < czi->tile_count; i++) {
        const pel__czi_tile *t = &czi->tiles[i];
        if ((scene >= 0 && t->scene != scene) || (!pyramid && (t->flags & PEL__CZI_LEFT_OUT)))
            continue;
        x0 = pel__min(x0, t->x);
        y0 = pel__min(y0, t->y);
        x1 = pel__max(x1, (int64_t)t->x + t->w);
        y1 = pel__max(y1, (int64_t)t->y + t->h);
    }
    check_box(want, x0, y0, x1, y1);
}

static void check_file(const row *r, const pel__czi *czi)
{
    int64_t low = INT32_MAX, high = INT32_MIN;
    CHECK_INT(czi->tile_count, r->count);
    check_tiles_box(r->all, czi, -1, true);
    check_tiles_box(r->box, czi, -1, false);
    for (int64_t i = 0; i < czi->tile_count; i++) {
        if (czi->tiles[i].m != PEL__CZI_NO_M) {
            low = pel__min(low, czi->tiles[i].m);
            high = pel__max(high, czi->tiles[i].m);
        }
    }
    CHECK_INT(low, r->m[0]);
    CHECK_INT(high, r->m[1]);
}

static int32_t image_of(const pel__czi *czi, int scene)
{
    for (int32_t i = 0; i < czi->base.image_count; i++) {
        if (czi->scenes[i].scene == scene)
            return i;
    }
    return -1;
}

static void check_scene(const row *r, const pel__czi *czi)
{
    const int32_t i = image_of(czi, (int)r->index);
    CHECK(i >= 0);
    if (i < 0)
        return;
    const pel_image *im = &czi->base.images[i];
    check_box(r->box, im->origin[PEL_X], im->origin[PEL_Y], im->origin[PEL_X] + im->shape[PEL_X],
              im->origin[PEL_Y] + im->shape[PEL_Y]);
    check_tiles_box(r->all, czi, (int)r->index, true);
}

static int32_t at_or(const row *r, char letter, int32_t otherwise)
{
    const int32_t v = r->at[(unsigned char)letter];
    return v == INT32_MIN ? otherwise : v;
}

static int64_t group_of(const row *r, const pel__czi *czi)
{
    int64_t g = 0;
    for (int32_t a = 0; a < czi->tuples.letter_count; a++) {
        const int32_t low = czi->tuples.low[a], n = czi->tuples.high[a] - low + 1;
        g = g * n + at_or(r, czi->tuples.letters[a], low) - low;
    }
    return g * czi->c_count + at_or(r, 'C', czi->c_low) - czi->c_low;
}

/* CRC-32 over pixels in the file's order: channels are planes in memory, B G R interleaved in the file. */
static uint32_t crc_of(const uint8_t *planes, int32_t samples, int64_t pixels, size_t bytes)
{
    if (samples == 1)
        return pel__crc32(0, planes, (size_t)pixels * bytes);
    uint32_t crc = 0;
    for (int64_t i = 0; i < pixels; i++) {
        for (int32_t s = 0; s < samples; s++) {
            const int32_t from = s < 3 ? 2 - s : s;
            crc = pel__crc32(crc, planes + ((size_t)(from * pixels + i)) * bytes, bytes);
        }
    }
    return crc;
}

static const char *pixel_name(const pel_image *im)
{
    return im->samples == 1 ? (im->dtype == PEL_U8 ? "gray8" : im->dtype == PEL_U16 ? "gray16" : "gray32float")
                            : im->dtype == PEL_U8 ? "bgr24" : im->dtype == PEL_U16 ? "bgr48" : "bgr96float";
}

static void check_crc(const row *r, const void *data, const pel_image *im, const char *how)
{
    const uint32_t crc = crc_of(data, im->samples, r->box[2] * r->box[3], pel_dtype_size(im->dtype));
    if (crc != r->crc) {
        printf("  %s %s by %s: crc %08x, expected %08x\n", r->file, r->coordinates, how, crc, r->crc);
        check_failures++;
    }
}

/* The same plane through the front door, in two parts, so that cut tiles are met. */
static void check_read(const row *r, pel__czi *czi, int32_t image, uint8_t *data)
{
    pel_error err = {0};
    const pel_image *im = &czi->base.images[image];
    const int64_t half = r->box[2] / 3, bytes = (int64_t)pel_dtype_size(im->dtype);
    const int64_t origin[PEL_AXES] = {at_or(r, 'T', 0) - im->origin[PEL_T], group_of(r, czi) * im->samples,
                                      at_or(r, 'Z', 0) - im->origin[PEL_Z], r->box[1] - im->origin[PEL_Y],
                                      r->box[0] - im->origin[PEL_X]};
    const int64_t shape[PEL_AXES] = {1, im->samples, 1, r->box[3], r->box[2]};
    const pel_region all = pel__region(PEL_AXES, origin, shape);
    const pel_block block = pel__block_dense(&all, im->dtype, data);
    memset(data, 0xAB, (size_t)(im->samples * r->box[2] * r->box[3] * bytes));
    for (int part = 0; part < 2; part++) {
        pel_region piece = all;
        piece.origin[PEL_X] += part ? half : 0;
        piece.shape[PEL_X] = part ? r->box[2] - half : half;
        const pel_block view = pel__block_view(&block, &piece);
        CHECK_OK(pel_source_read(&czi->base, image, &view, &err), err);
    }
    check_crc(r, data, im, "region");
    CHECK_OK(pel_source_read(&czi->base, image, &block, &err), err);
    check_crc(r, data, im, "plane");
}

static void check_plane(const row *r, pel__czi *czi)
{
    pel_error err = {0};
    const pel_image *im = &czi->base.images[0];
    const int64_t origin[PEL_AXES] = {at_or(r, 'T', czi->t_low), group_of(r, czi) * im->samples, at_or(r, 'Z', czi->z_low), r->box[1],
                                      r->box[0]};
    const int64_t shape[PEL_AXES] = {1, im->samples, 1, r->box[3], r->box[2]};
    const pel_region all = pel__region(PEL_AXES, origin, shape);
    uint8_t *data = malloc((size_t)(pel__region_voxels(&all) * (int64_t)pel_dtype_size(im->dtype)));
    CHECK(data != NULL);
    if (!data)
        return;
    CHECK_TEXT(pixel_name(im), r->pixel);
    const pel_block block = pel__block_dense(&all, im->dtype, data);
    if (r->scene < 0) {
        CHECK_OK(pel__czi_plane(czi, &block, &err), err);
        check_crc(r, data, im, "stage");
    }
    if (r->scene >= 0 || czi->base.image_count == 1)
        check_read(r, czi, r->scene >= 0 ? image_of(czi, r->scene) : 0, data);
    free(data);
}

static void check_tile(const row *r, pel__czi *czi)
{
    pel_error err = {0};
    CHECK(r->index < czi->tile_count);
    if (r->index >= czi->tile_count)
        return;
    const pel__czi_tile *t = &czi->tiles[r->index];
    check_box(r->box, t->x, t->y, (int64_t)t->x + t->w, (int64_t)t->y + t->h);
    CHECK_INT(t->stored_w, r->stored[0]);
    CHECK_INT(t->stored_h, r->stored[1]);
    CHECK_INT(t->z, at_or(r, 'Z', 0));
    CHECK_INT(t->c, at_or(r, 'C', 0));
    CHECK_INT(t->t, at_or(r, 'T', 0));
    CHECK_INT(t->scene, at_or(r, 'S', 0));
    CHECK_INT(t->m == PEL__CZI_NO_M ? -1 : t->m, r->m[0]);
    CHECK_INT(t->compression, r->compression);
    CHECK_INT((t->flags & PEL__CZI_LEFT_OUT) != 0, r->pyramid);
    const int64_t size = pel__czi_decoded_bytes(t);
    void *data = malloc((size_t)size);
    CHECK_OK(pel__czi_tile_pixels(czi, r->index, data, size, &err), err);
    if (pel__crc32(0, data, (size_t)size) != r->crc) {
        printf("  %s tile %" PRId64 ": wrong pixels\n", r->file, r->index);
        check_failures++;
    }
    free(data);
}

/* The whole stage at full resolution, with or without masks of valid pixels. */
static void check_zoom(const row *r)
{
    char path[4096];
    pel_error err = {0};
    pel_source *s = NULL;
    (void)snprintf(path, sizeof path, "%s/czi/%s", shared, r->file);
    CHECK_OK(pel_source_open(&s, path, &(pel_open_options){.use_mask = r->mask}, &err), err);
    if (!s)
        return;
    row stage = *r;
    parse_coordinates(&stage, "");
    pel_region all = {.ndim = PEL_AXES};
    for (int32_t i = 0; i < s->image_count; i++) {
        const pel_region one = pel__region(PEL_AXES, s->images[i].origin, s->images[i].shape);
        all = i == 0 ? one : pel__region_union(&all, &one);
    }
    const int64_t box[4] = {all.origin[PEL_X], all.origin[PEL_Y], all.shape[PEL_X], all.shape[PEL_Y]};
    memcpy(stage.box, box, sizeof stage.box);
    stage.scene = -1;
    (void)snprintf(stage.pixel, sizeof stage.pixel, "%s", pixel_name(&s->images[0]));
    check_plane(&stage, (pel__czi *)s);
    pel_source_destroy(s);
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static pel__czi *open_sample(const char *name)
{
    char path[4096];
    pel_error err = {0};
    pel_source *s = NULL;
    const pel_open_options options = {.helper_dir = make_environment("PELLUCID_HELPERS", NULL)};
    (void)snprintf(path, sizeof path, "%s/czi/%s", shared, name);
    CHECK_OK(pel_source_open(&s, path, &options, &err), err);
    return (pel__czi *)s;
}

static void check_row(const row *r, pel__czi *czi)
{
    if (strcmp(r->kind, "ZOOM") == 0 && r->zoom == 1)
        check_zoom(r);
    if (strcmp(r->kind, "FILE") == 0)
        check_file(r, czi);
    else if (strcmp(r->kind, "SCENE") == 0)
        check_scene(r, czi);
    else if (strcmp(r->kind, "PLANE") == 0)
        check_plane(r, czi);
    else if (strcmp(r->kind, "SUBBLK") == 0)
        check_tile(r, czi);
}

CASE(oracle)
{
    char path[4096], line[1024], open_name[128] = "";
    int64_t rows = 0;
    pel__czi *czi = NULL;
    (void)snprintf(path, sizeof path, "%s/czi/oracle.tsv", shared);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (f && fgets(line, sizeof line, f)) {
        row r;
        const int before = check_failures;
        if (line[0] == '#' || !parse_row(&r, line))
            continue;
        if (strcmp(open_name, r.file) != 0) {
            if (czi)
                pel_source_destroy(&czi->base);
            czi = open_sample(r.file);
            (void)snprintf(open_name, sizeof open_name, "%s", r.file);
        }
        if (czi)
            check_row(&r, czi);
        if (check_failures > before)
            printf("  in row %s %s scene %d, Z %d C %d T %d V %d I %d\n", r.kind, r.file, r.scene, r.at['Z'], r.at['C'], r.at['T'],
                   r.at['V'], r.at['I']);
        rows++;
    }
    if (czi)
        pel_source_destroy(&czi->base);
    if (f)
        (void)fclose(f);
    CHECK_INT(rows, 30 + 13 + 239 + 237 + 4 + 12 + 2);
}

/* The one real mask that there is lies on a pyramid tile that is a whole layer: oracle row PYR, mask=1. */
CASE(mask_of_another_program)
{
    char path[4096];
    pel_error err = {0};
    pel_source *s = NULL;
    (void)snprintf(path, sizeof path, "%s/czi/czitools_1_tileregion.czi", shared);
    CHECK_OK(pel_source_open(&s, path, &(pel_open_options){.use_mask = true}, &err), err);
    pel__czi *czi = (pel__czi *)s;
    int64_t tile = 0;
    while (czi && tile < czi->tile_count && !(czi->tiles[tile].flags & PEL__CZI_LEFT_OUT))
        tile++;
    CHECK(czi && tile < czi->tile_count);
    if (!czi || tile == czi->tile_count)
        return;
    const pel__czi_tile *t = &czi->tiles[tile];
    const int64_t size = pel__czi_decoded_bytes(t);
    pel__czi_scratch *scratch = pel__czi_scratch_take(czi);
    pel__czi_subblock sub;
    pel__czi_mask mask = {0};
    bool raw = false;
    uint8_t *pixels = malloc((size_t)size);
    CHECK_OK(pel__czi_tile_pixels(czi, tile, pixels, size, &err), err);
    CHECK(pel__crc32(0, pixels, (size_t)size) == 0xb3c97727);
    CHECK_OK(pel__czi_tile_open(&sub, &raw, czi, tile, &err) && pel__czi_load_mask(&mask, czi, scratch, tile, &sub, &err), err);
    CHECK(mask.bits != NULL);
    for (int64_t y = 0; mask.bits && y < t->stored_h; y++) {
        for (int64_t x = 0; x < t->stored_w; x++) {
            const bool valid = y < mask.h && x < mask.w && (mask.bits[y * mask.stride + x / 8] & (0x80 >> x % 8));
            if (!valid)
                memset(pixels + 2 * (y * t->stored_w + x), 0, 2);
        }
    }
    CHECK(pel__crc32(0, pixels, (size_t)size) == 0xfaf52fcb);
    free(pixels);
    pel__czi_scratch_give(czi, scratch);
    pel_source_destroy(s);
}

int main(void)
{
    shared = make_environment("PELLUCID_SHARED", SHARED_FOLDER);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/czi/oracle.tsv", shared);
    FILE *f = fopen(path, "r");
    if (!f) {
        printf("skipped: no sample files ($PELLUCID_SHARED/czi)\n");
        return 77;
    }
    (void)fclose(f);
    RUN(oracle);
    RUN(mask_of_another_program);
    return CHECK_DONE();
}
