/* SPDX-License-Identifier: MIT
 * Differences of two images of the same shape, in one pass. Each window keeps its own sums; they are added in the
 * order of the windows, which depends on the images only: the same result, bit for bit, on any number of threads. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "run/scan.h"
#include "source/source.h"

#include <math.h>
#include <stdlib.h>

typedef struct part {
    int64_t unequal, first; /* first: C order number of the first unequal voxel of the image, or INT64_MAX */
    double max_abs, squares;
    double low[2], high[2]; /* of the values of a and b */
} part;

typedef struct compare {
    pel_source *source[2];
    int32_t index[2];
    const pel_image *image[2];
    int64_t window[PEL_AXES], window_voxels;
    pel_region bounds;
    part *parts; /* of the windows under way: [window % wave] */
    int64_t wave, first; /* first: unequal voxel so far, as in part */
    double squares;
    pel_difference *out;
    const pel_scan *options;
    pel__scan_means means;
} compare;

#define ROW 1024

#define ROW_TO_DOUBLE(type)                                                                                       \
    do {                                                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                         \
            type v;                                                                                               \
            memcpy(&v, (const uint8_t *)from + (size_t)i * sizeof v, sizeof v);                                   \
            to[i] = (double)v;                                                                                    \
        }                                                                                                         \
        return;                                                                                                   \
    } while (0)

/* Exact for every type but 64-bit integers beyond 2^53. */
static void to_double(double *to, const void *from, pel_dtype dtype, int64_t n)
{
    switch (dtype) {
    case PEL_U8: ROW_TO_DOUBLE(uint8_t);
    case PEL_I8: ROW_TO_DOUBLE(int8_t);
    case PEL_U16: ROW_TO_DOUBLE(uint16_t);
    case PEL_I16: ROW_TO_DOUBLE(int16_t);
    case PEL_U32: ROW_TO_DOUBLE(uint32_t);
    case PEL_I32: ROW_TO_DOUBLE(int32_t);
    case PEL_U64: ROW_TO_DOUBLE(uint64_t);
    case PEL_I64: ROW_TO_DOUBLE(int64_t);
    case PEL_F32: ROW_TO_DOUBLE(float);
    case PEL_F64: ROW_TO_DOUBLE(double);
    }
}

/* What a comparison of doubles cannot see: 64-bit integers of one type that differ in their low bits. */
static bool same_bits(const pel_block b[2], const uint8_t *const row[2], int64_t i)
{
    const size_t size = pel_dtype_size(b[0].dtype);
    const bool wide = b[0].dtype == PEL_U64 || b[0].dtype == PEL_I64;
    return !wide || b[0].dtype != b[1].dtype || memcmp(row[0] + (size_t)i * size, row[1] + (size_t)i * size, size) == 0;
}

static void note_range(part *p, int which, double v)
{
    p->low[which] = v < p->low[which] ? v : p->low[which];
    p->high[which] = v > p->high[which] ? v : p->high[which];
}

/* The larger one; a NaN wins and stays. */
static void raise_to(double *most, double d)
{
    if (d > *most || isnan(d))
        *most = d;
}

/* The row's part of the sums; `number` is the C order number of its first voxel. */
static void compare_row(part *p, const pel_block b[2], const uint8_t *const row[2], int64_t n, int64_t number)
{
    double v[2][ROW];
    for (int k = 0; k < 2; k++)
        to_double(v[k], row[k], b[k].dtype, n);
    for (int64_t i = 0; i < n; i++) {
        note_range(p, 0, v[0][i]);
        note_range(p, 1, v[1][i]);
        const bool nan_both = v[0][i] != v[0][i] && v[1][i] != v[1][i];
        if (nan_both || (v[0][i] == v[1][i] && same_bits(b, row, i)))
            continue;
        const double d = fabs(v[0][i] - v[1][i]);
        p->unequal++;
        if (number + i < p->first)
            p->first = number + i;
        p->squares += d * d;
        raise_to(&p->max_abs, d);
    }
}

static void compare_blocks(const compare *c, part *p, const pel_block b[2])
{
    const int64_t *const shape = c->bounds.shape;
    const pel_region *const r = &b[0].region;
    int64_t at[PEL_AXES];
    pel_region line = *r; /* one row's start for each of these */
    line.shape[PEL_X] = 1;
    const int64_t rows = pel__region_voxels(&line);
    const int64_t one[PEL_AXES] = {1, 1, 1, 1, 1};
    for (int64_t k = 0; k < rows; k++) {
        const pel_region start = pel__grid_cell(&line, one, k);
        memcpy(at, start.origin, sizeof at);
        for (int64_t x = 0; x < r->shape[PEL_X]; x += ROW) {
            at[PEL_X] = r->origin[PEL_X] + x;
            int64_t number = 0;
            for (int a = 0; a < PEL_AXES; a++)
                number = number * shape[a] + at[a];
            const uint8_t *const row[2] = {pel__block_at(&b[0], at), pel__block_at(&b[1], at)};
            compare_row(p, b, row, pel__min(ROW, r->shape[PEL_X] - x), number);
        }
    }
}

static bool compare_task(void *arg, int64_t index, uint8_t *memory, pel_error *err)
{
    const compare *const c = arg;
    const pel_region r = pel__grid_cell(&c->bounds, c->window, index);
    uint8_t *const second = memory + c->window_voxels * (int64_t)pel_dtype_size(c->image[0]->dtype);
    const pel_block b[2] = {pel__block_dense(&r, c->image[0]->dtype, memory),
                            pel__block_dense(&r, c->image[1]->dtype, second)};
    for (int k = 0; k < 2; k++)
        if (!pel_source_read(c->source[k], c->index[k], &b[k], err))
            return false;
    part *const p = &c->parts[index % c->wave];
    *p = (part){.first = INT64_MAX, .low = {INFINITY, INFINITY}, .high = {-INFINITY, -INFINITY}};
    compare_blocks(c, p, b);
    return true;
}

static double range_of(pel_dtype dtype, double low, double high)
{
    switch (dtype) {
    case PEL_U8:
    case PEL_I8:
        return 255;
    case PEL_U16:
    case PEL_I16:
        return 65535;
    default: /* nothing uses the whole range of wider types: what the values span says more */
        return high - low;
    }
}

static void begin(compare *c, pel_difference *out)
{
    *out = (pel_difference){.voxels = pel__region_voxels(&c->bounds), .low = {INFINITY, INFINITY}, .high = {-INFINITY, -INFINITY}};
    c->out = out;
    c->first = INT64_MAX;
}

/* In the order of the windows: the sums do not depend on threads. */
static void add_up(void *arg, int64_t first, int64_t count)
{
    compare *const c = arg;
    pel_difference *const out = c->out;
    for (int64_t i = first; i < first + count; i++) {
        const part *const p = &c->parts[i % c->wave];
        out->unequal += p->unequal;
        c->squares += p->squares;
        c->first = pel__min(c->first, p->first);
        raise_to(&out->max_abs, p->max_abs);
        for (int k = 0; k < 2; k++) {
            out->low[k] = fmin(out->low[k], p->low[k]);
            out->high[k] = fmax(out->high[k], p->high[k]);
        }
    }
}

static void finish(const compare *c)
{
    pel_difference *const out = c->out;
    int64_t first = c->first;
    out->rms = sqrt(c->squares / (double)out->voxels);
    out->peak = range_of(c->image[0]->dtype, out->low[0], out->high[0]);
    out->psnr = out->unequal > 0 ? 20 * log10(out->peak / out->rms) : INFINITY;
    for (int a = PEL_AXES - 1; a >= 0 && out->unequal > 0; a--) {
        out->first[a] = first % c->bounds.shape[a];
        first /= c->bounds.shape[a];
    }
}

static bool check_shapes(const compare *c, pel_error *err)
{
    for (int k = 0; k < 2; k++)
        if (!c->image[k])
            return pel__fail(err, PEL_ARGUMENT, "no image %d in the %s file, it has 0 to %d", c->index[k],
                             k ? "second" : "first", pel_source_image_count(c->source[k]) - 1);
    const pel_region a = pel__region(PEL_AXES, NULL, c->image[0]->shape), b = pel__region(PEL_AXES, NULL, c->image[1]->shape);
    if (pel__region_equal(&a, &b))
        return true;
    char text[2][128];
    return pel__fail(err, PEL_ARGUMENT, "the images differ in shape (t, c, z, y, x): %s and %s",
                     pel__region_text(&a, text[0], sizeof text[0]), pel__region_text(&b, text[1], sizeof text[1]));
}

static bool compare_images(compare *c, pel_difference *out, pel_error *err)
{
    const size_t size[2] = {pel_dtype_size(c->image[0]->dtype), pel_dtype_size(c->image[1]->dtype)};
    int64_t tile[PEL_AXES];
    for (int a = 0; a < PEL_AXES; a++)
        tile[a] = pel__max(c->image[0]->tile[a], c->image[1]->tile[a]);
    c->bounds = pel__region(PEL_AXES, NULL, c->image[0]->shape);
    pel__scan_window(c->image[size[1] > size[0]], &(pel__scan_cut){.tile = tile, .group = 1, .window_bytes = c->means.window_bytes}, c->window);
    const pel_region window = pel__region(PEL_AXES, NULL, c->window);
    c->window_voxels = pel__region_voxels(&window);
    const pel__scan s = {.phase = "compare", .options = c->options, .means = &c->means, .task = compare_task, .ended = add_up, .arg = c,
                         .tasks = pel__grid_cells(&c->bounds, c->window), .thread_bytes = c->window_voxels * (int64_t)(size[0] + size[1]),
                         .total_bytes = pel__region_voxels(&c->bounds) * (int64_t)size[0]};
    pel_difference found;
    begin(c, &found);
    c->wave = pel__scan_wave(&c->means);
    c->parts = calloc((size_t)c->wave, sizeof *c->parts);
    if (!c->parts)
        return pel__fail(err, PEL_NO_MEMORY, "compare: no memory for %lld windows", (long long)c->wave);
    const bool ok = pel__scan_run(&s, err);
    if (ok) {
        finish(c);
        *out = found;
    }
    free(c->parts);
    return ok;
}

bool pel_compare(pel_difference *out, pel_source *const sources[2], const int32_t images[2], const pel_scan *scan,
                 pel_error *err)
{
    static const pel_scan nothing = {0};
    compare c = {.options = scan ? scan : &nothing, .source = {sources[0], sources[1]}, .index = {images[0], images[1]},
                 .image = {pel_source_image(sources[0], images[0]), pel_source_image(sources[1], images[1])}};
    if (!check_shapes(&c, err))
        return false;
    if (!pel__scan_begin(&c.means, c.options, sources, 2, err))
        return pel__where(err, "%s and %s: ", sources[0]->path, sources[1]->path);
    const bool ok = compare_images(&c, out, err);
    pel__scan_end(&c.means);
    return ok;
}
