/* SPDX-License-Identifier: MIT
 * CRC-32 of an image's pixel values. Threads take bands of whole rows of one plane (of a few planes where the file's
 * tiles are thicker); the pieces' checksums are put together afterwards in C order, as crc(ab) follows from crc(a),
 * crc(b) and the length of b. So the result does not depend on threads or bands, and no plane is ever held whole. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "run/scan.h"

#include <stdlib.h>
#include <zlib.h>

#define INTERLEAVE_PIXELS INT64_C(2048)

typedef struct checksum {
    pel_source *source;
    const pel_image *image;
    int32_t index;
    int64_t window[PEL_AXES];
    pel_region bounds; /* of the image */
    int64_t bands;     /* a plane */
    uint32_t *pieces;  /* [plane][band] */
} checksum;

/* Continues crc over one row of a colour group, samples put in the file's order pixel by pixel. */
static uint32_t crc_colour_row(uint32_t crc, const pel_block *b, const int64_t at[PEL_AXES], const pel_image *im)
{
    const size_t size = pel_dtype_size(b->dtype);
    const int64_t width = b->region.shape[PEL_X];
    uint8_t mixed[INTERLEAVE_PIXELS * 4 * sizeof(double)];
    for (int64_t first = 0; first < width; first += INTERLEAVE_PIXELS) {
        const int64_t n = pel__min(INTERLEAVE_PIXELS, width - first);
        for (int32_t s = 0; s < im->samples; s++) {
            const int32_t channel = im->file_is_bgr && s < 3 ? 2 - s : s;
            const int64_t from[PEL_AXES] = {at[PEL_T], at[PEL_C] + channel, at[PEL_Z], at[PEL_Y], at[PEL_X] + first};
            const uint8_t *const row = pel__block_at(b, from);
            for (int64_t x = 0; x < n; x++)
                memcpy(mixed + (size_t)(x * im->samples + s) * size, row + (size_t)x * size, size);
        }
        crc = pel__crc32(crc, mixed, (size_t)(n * im->samples) * size);
    }
    return crc;
}

/* Continues crc over the rows that b holds of the plane that begins at `at`. */
static uint32_t crc_plane(uint32_t crc, const pel_block *b, const int64_t at[PEL_AXES], const pel_image *im)
{
    if (im->samples == 1) {
        const int64_t n = b->region.shape[PEL_Y] * b->region.shape[PEL_X]; /* dense: rows follow each other */
        return pel__crc32(crc, pel__block_at(b, at), (size_t)n * pel_dtype_size(b->dtype));
    }
    int64_t row[PEL_AXES] = {at[PEL_T], at[PEL_C], at[PEL_Z], at[PEL_Y], at[PEL_X]};
    for (int64_t y = 0; y < b->region.shape[PEL_Y]; y++, row[PEL_Y]++)
        crc = crc_colour_row(crc, b, row, im);
    return crc;
}

static int64_t plane_number(const checksum *c, int64_t t, int64_t channel, int64_t z)
{
    const pel_image *const im = c->image;
    return (t * (im->shape[PEL_C] / im->samples) + channel / im->samples) * im->shape[PEL_Z] + z;
}

static void crc_planes(const checksum *c, const pel_block *b)
{
    const pel_region *const r = &b->region;
    const int64_t band = r->origin[PEL_Y] / c->window[PEL_Y];
    for (int64_t t = r->origin[PEL_T]; t < r->origin[PEL_T] + r->shape[PEL_T]; t++)
        for (int64_t g = r->origin[PEL_C]; g < r->origin[PEL_C] + r->shape[PEL_C]; g += c->image->samples)
            for (int64_t z = r->origin[PEL_Z]; z < r->origin[PEL_Z] + r->shape[PEL_Z]; z++) {
                uint32_t *const piece = &c->pieces[plane_number(c, t, g, z) * c->bands + band];
                const int64_t at[PEL_AXES] = {t, g, z, r->origin[PEL_Y], r->origin[PEL_X]};
                *piece = crc_plane(r->origin[PEL_X] == 0 ? 0 : *piece, b, at, c->image);
            }
}

static bool checksum_task(void *arg, int64_t index, uint8_t *memory, pel_error *err)
{
    const checksum *const c = arg;
    int64_t cell[PEL_AXES];
    memcpy(cell, c->window, sizeof cell);
    cell[PEL_X] = c->image->shape[PEL_X];
    pel_region r = pel__grid_cell(&c->bounds, cell, index);
    /* A window narrower than the image holds one row of one plane: its parts follow each other. */
    for (int64_t x = 0; x < cell[PEL_X]; x += c->window[PEL_X]) {
        r.origin[PEL_X] = x;
        r.shape[PEL_X] = pel__min(c->window[PEL_X], cell[PEL_X] - x);
        const pel_block b = pel__block_dense(&r, c->image->dtype, memory);
        if (!pel_source_read(c->source, c->index, &b, err))
            return false;
        crc_planes(c, &b);
    }
    return true;
}

/* One plane's checksum from its bands. */
static uint32_t join_bands(const checksum *c, int64_t plane, int64_t row_bytes)
{
    uint32_t crc = 0;
    for (int64_t b = 0; b < c->bands; b++) {
        const int64_t rows = pel__min(c->window[PEL_Y], c->image->shape[PEL_Y] - b * c->window[PEL_Y]);
        crc = (uint32_t)crc32_combine(crc, c->pieces[plane * c->bands + b], rows * row_bytes);
    }
    return crc;
}

static uint32_t join_planes(const checksum *c, const pel_scan *scan)
{
    const pel_image *const im = c->image;
    const int64_t row_bytes = im->shape[PEL_X] * im->samples * (int64_t)pel_dtype_size(im->dtype);
    uint32_t crc = 0;
    for (int64_t t = 0; t < im->shape[PEL_T]; t++)
        for (int64_t channel = 0; channel < im->shape[PEL_C]; channel += im->samples)
            for (int64_t z = 0; z < im->shape[PEL_Z]; z++) {
                const uint32_t plane = join_bands(c, plane_number(c, t, channel, z), row_bytes);
                crc = (uint32_t)crc32_combine(crc, plane, im->shape[PEL_Y] * row_bytes);
                if (scan->on_plane)
                    scan->on_plane(scan->arg, t, channel, z, plane);
            }
    return crc;
}

bool pel_checksum(uint32_t *out, pel_source *source, int32_t image, const pel_scan *scan, pel_error *err)
{
    static const pel_scan nothing = {0};
    const pel_image *const im = pel_source_image(source, image);
    if (!im)
        return pel__fail(err, PEL_ARGUMENT, "no image %d, the file has 0 to %d", image, pel_source_image_count(source) - 1);
    checksum c = {.source = source, .image = im, .index = image, .bounds = pel__region(PEL_AXES, NULL, im->shape)};
    pel__scan_window(im, im->tile, im->samples, true, c.window);
    c.bands = pel__ceil_div(im->shape[PEL_Y], c.window[PEL_Y]);
    int64_t cell[PEL_AXES], window_voxels = 0, piece_count = 0, piece_bytes = 0;
    memcpy(cell, c.window, sizeof cell);
    cell[PEL_X] = im->shape[PEL_X];
    const int64_t planes[] = {im->shape[PEL_T], im->shape[PEL_C] / im->samples, im->shape[PEL_Z], c.bands};
    if (!pel__product(planes, 4, &piece_count) || !pel__mul(piece_count, (int64_t)sizeof *c.pieces, &piece_bytes)
        || !pel__product(c.window, PEL_AXES, &window_voxels))
        return pel__fail(err, PEL_NO_MEMORY, "checksum: the image has too many planes to keep a number for each");
    c.pieces = calloc((size_t)piece_count, sizeof *c.pieces);
    if (!c.pieces)
        return pel__fail(err, PEL_NO_MEMORY, "checksum: no memory for %lld pieces", (long long)piece_count);
    const int64_t size = (int64_t)pel_dtype_size(im->dtype);
    const pel__scan s = {.phase = "checksum", .options = scan ? scan : &nothing, .task = checksum_task, .arg = &c,
                         .tasks = pel__grid_cells(&c.bounds, cell), .thread_bytes = window_voxels * size,
                         .total_bytes = pel__region_voxels(&c.bounds) * size};
    const bool ok = pel__scan_run(&s, err);
    if (ok)
        *out = join_planes(&c, s.options);
    free(c.pieces);
    return ok;
}
