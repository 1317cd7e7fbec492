/* SPDX-License-Identifier: MIT
 * CRC-32 of an image's pixel values. Threads take bands of whole rows of one plane (of a few planes where the file's
 * tiles are thicker); the pieces' checksums are put together afterwards in C order, as crc(ab) follows from crc(a),
 * crc(b) and the length of b. So the result does not depend on threads or bands, and no plane is ever held whole. Nor are the
 * checksums of all planes: what is held are those of the planes that one row of windows covers, a slab. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "run/scan.h"
#include "source/source.h"

#include <zlib.h>

#define INTERLEAVE_PIXELS INT64_C(2048)
#define PIECE_PART 16 /* a slab has at most one checksum for so many bytes of a window: those of all slabs fit beside the windows */

typedef struct checksum {
    pel_source *source;
    const pel_image *image;
    int32_t index;
    int64_t window[PEL_AXES];
    pel_region bounds; /* of the image */
    int64_t bands;     /* a plane */
    /* A slab: consecutive planes in C order and all windows that touch them. Along the first axis on which windows are thicker
     * than a plane it is as thick as they are, along those behind it whole; windows of one plane: one band is a slab. */
    int64_t axis, window_planes, inner; /* planes of that axis, of a window along it, of all axes behind it */
    int64_t slab_pieces, slab_tasks, slabs; /* slabs: that are held */
    uint32_t *pieces;  /* [slab % slabs][plane of it][band] */
    const pel_scan *options;
    pel__scan_means means;
    uint32_t plane_crc, crc; /* of what is joined: the bands of a plane, all planes before it */
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

static int64_t groups_of(const checksum *c) { return c->image->shape[PEL_C] / c->image->samples; }

static int64_t plane_number(const checksum *c, int64_t t, int64_t channel, int64_t z)
{
    return (t * groups_of(c) + channel / c->image->samples) * c->image->shape[PEL_Z] + z;
}

static int64_t slabs_along(const checksum *c) { return pel__ceil_div(c->axis, c->window_planes); }

/* The first plane of a slab; that of the next is its end. */
static int64_t slab_plane(const checksum *c, int64_t slab)
{
    const int64_t n = slabs_along(c);
    return (slab / n * c->axis + slab % n * c->window_planes) * c->inner;
}

static uint32_t *piece_of(const checksum *c, int64_t plane, int64_t band)
{
    if (c->slab_tasks == 1 && c->slab_pieces == 1)
        return &c->pieces[(plane * c->bands + band) % c->slabs];
    const int64_t slab = plane / c->inner / c->axis * slabs_along(c) + plane / c->inner % c->axis / c->window_planes;
    return &c->pieces[slab % c->slabs * c->slab_pieces + (plane - slab_plane(c, slab)) * c->bands + band];
}

static void crc_planes(const checksum *c, const pel_block *b)
{
    const pel_region *const r = &b->region;
    const int64_t band = r->origin[PEL_Y] / c->window[PEL_Y];
    for (int64_t t = r->origin[PEL_T]; t < r->origin[PEL_T] + r->shape[PEL_T]; t++)
        for (int64_t g = r->origin[PEL_C]; g < r->origin[PEL_C] + r->shape[PEL_C]; g += c->image->samples)
            for (int64_t z = r->origin[PEL_Z]; z < r->origin[PEL_Z] + r->shape[PEL_Z]; z++) {
                uint32_t *const piece = piece_of(c, plane_number(c, t, g, z), band);
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

/* The next band in C order. */
static void join_band(checksum *c, int64_t plane, int64_t band)
{
    const pel_image *const im = c->image;
    const int64_t row_bytes = im->shape[PEL_X] * im->samples * (int64_t)pel_dtype_size(im->dtype);
    const int64_t rows = pel__min(c->window[PEL_Y], im->shape[PEL_Y] - band * c->window[PEL_Y]);
    c->plane_crc = (uint32_t)crc32_combine(band == 0 ? 0 : c->plane_crc, *piece_of(c, plane, band), rows * row_bytes);
    if (band + 1 < c->bands)
        return;
    c->crc = (uint32_t)crc32_combine(c->crc, c->plane_crc, im->shape[PEL_Y] * row_bytes);
    const int64_t z = im->shape[PEL_Z], groups = groups_of(c);
    if (c->options->on_plane)
        c->options->on_plane(c->options->arg, plane / z / groups, plane / z % groups * im->samples, plane % z, c->plane_crc);
}

/* The slabs whose last window has ended. */
static void join_slabs(void *arg, int64_t first, int64_t count)
{
    checksum *const c = arg;
    if (c->slab_tasks == 1 && c->slab_pieces == 1) {
        for (int64_t k = first; k < first + count; k++)
            join_band(c, k / c->bands, k % c->bands);
        return;
    }
    for (int64_t slab = first / c->slab_tasks; slab < (first + count) / c->slab_tasks; slab++)
        for (int64_t plane = slab_plane(c, slab); plane < slab_plane(c, slab + 1); plane++)
            for (int64_t band = 0; band < c->bands; band++)
                join_band(c, plane, band);
}

/* False where a slab is too much to hold. */
static bool cut_slabs(checksum *c)
{
    const pel_image *const im = c->image;
    const int64_t shape[] = {im->shape[PEL_T], groups_of(c), im->shape[PEL_Z]};
    const int64_t window[] = {c->window[PEL_T], pel__ceil_div(c->window[PEL_C], im->samples), c->window[PEL_Z]};
    int first = 0;
    while (first < 3 && window[first] == 1)
        first++;
    c->bands = pel__ceil_div(im->shape[PEL_Y], c->window[PEL_Y]);
    c->axis = c->window_planes = c->inner = c->slab_pieces = c->slab_tasks = 1;
    if (first == 3)
        return true;
    c->axis = shape[first];
    c->window_planes = window[first];
    c->slab_tasks = c->bands;
    for (int a = first + 1; a < 3; a++) {
        c->inner *= shape[a];
        c->slab_tasks *= pel__ceil_div(shape[a], window[a]);
    }
    c->slab_pieces = window[first] * c->inner; /* no more than the image has voxels, nor is their product with bands */
    c->slab_pieces *= c->bands;
    return c->slab_pieces <= c->means.window_bytes / PIECE_PART;
}

/* Windows, made thinner where a slab of them would be too much to hold. */
static void choose_slabs(checksum *c)
{
    static const int thin[] = {PEL_T, PEL_C, PEL_Z};
    const pel__scan_cut cut = {.tile = c->image->tile, .group = c->image->samples, .whole_rows = true, .window_bytes = c->means.window_bytes};
    pel__scan_window(c->image, &cut, c->window);
    for (int k = 0; !cut_slabs(c); k++)
        c->window[thin[k]] = thin[k] == PEL_C ? c->image->samples : 1;
}

bool pel_checksum(uint32_t *out, pel_source *source, int32_t image, const pel_scan *scan, pel_error *err)
{
    static const pel_scan nothing = {0};
    const pel_image *const im = pel_source_image(source, image);
    if (!im)
        return pel__fail(err, PEL_ARGUMENT, "no image %d, the file has 0 to %d", image, pel_source_image_count(source) - 1);
    checksum c = {.source = source, .image = im, .index = image, .bounds = pel__region(PEL_AXES, NULL, im->shape),
                  .options = scan ? scan : &nothing};
    if (!pel__scan_begin(&c.means, c.options, &source, 1, err))
        return pel__where(err, "%s: ", source->path);
    choose_slabs(&c);
    int64_t cell[PEL_AXES];
    memcpy(cell, c.window, sizeof cell);
    cell[PEL_X] = im->shape[PEL_X];
    c.slabs = pel__ceil_div(pel__scan_wave(&c.means), c.slab_tasks) + 1; /* a wave may begin and end within one */
    const int64_t size = (int64_t)pel_dtype_size(im->dtype), pieces_bytes = c.slabs * c.slab_pieces * (int64_t)sizeof *c.pieces;
    const pel_region window = pel__region(PEL_AXES, NULL, c.window);
    const pel__scan s = {.phase = "checksum", .options = c.options, .means = &c.means, .task = checksum_task, .ended = join_slabs, .arg = &c,
                         .tasks = pel__grid_cells(&c.bounds, cell), .thread_bytes = pel__region_voxels(&window) * size,
                         .total_bytes = pel__region_voxels(&c.bounds) * size};
    void *pieces = NULL;
    bool ok = pel__budget_alloc(c.means.budget, &pieces, pieces_bytes, "checksums", err);
    c.pieces = pieces;
    ok = ok && pel__scan_run(&s, err);
    if (ok)
        *out = c.crc;
    pel__budget_free(c.means.budget, pieces, pieces_bytes);
    pel__scan_end(&c.means);
    return ok;
}
