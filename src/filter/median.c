/* SPDX-License-Identifier: MIT
 * Median and other ranks over a box around each voxel, as scipy.ndimage.percentile_filter has them. The value of a rank
 * is found bit by bit, from the highest: how many values of the box are smaller than a candidate decides each bit. That
 * takes as many rounds as a value has bits, whatever the rank, and works on a whole row of voxels side by side. */
#include "core/bytes.h"
#include "core/region.h"
#include "filter/border.h"
#include "filter/filter.h"

#include <math.h>
#include <string.h>

#define MOST_WINDOW 4096 /* voxels */
#define MOST_RADIUS 64
#define ROW 256          /* longest row of a tile */
#define SIDE 8           /* of a tile along z and y */

static const pel__param params[] = {
    {.name = "radius", .unit = "voxels", .fallback = "1", .min = 0, .max = MOST_RADIUS, .kind = PEL__LENGTHS, .exact = true,
     .help = "of the box, one for z, y and x or by axis: 1 is a box of 3 x 3 x 3"},
    {.name = "percentile", .unit = "", .fallback = "50", .min = 0, .max = 100, .kind = PEL__NUMBER, .exact = true,
     .help = "which value of the box: 0 the smallest, 50 the median, 100 the largest"},
    {.name = "mode", .unit = "", .fallback = "reflect", .choices = PEL__BORDER_CHOICES, .kind = PEL__CHOICE, .exact = true,
     .help = "what lies beyond the image: abcd goes on as dcba, cba, dddd or 0000"},
};

typedef struct median {
    int64_t radius[PEL_AXES], window, rank;
    enum pel__border border;
    int32_t bits;      /* of a key that may differ */
    int32_t lowest;    /* key 0 is this value, where bits < 32 */
} median;

/* ---- settings ---------------------------------------------------------------------------------------------- */

static bool resolve(pel__values *v, const pel_image *image, pel_error *err)
{
    return true;
}

static void settings(median *m, const pel__values *v, const pel_image *image)
{
    double radius[2][PEL_AXES];
    *m = (median){.window = 1, .border = pel__border_named(pel__value_text(v, "mode")), .bits = 32};
    pel__value_lengths(v, "radius", radius);
    for (int a = 0; a < PEL_AXES; a++) {
        m->radius[a] = image->shape[a] > 1 ? (int64_t)radius[0][a] : 0;
        m->window *= 2 * m->radius[a] + 1;
    }
    m->rank = pel__min(m->window - 1, (int64_t)((double)m->window * pel__value_number(v, "percentile") / 100));
    if (pel_dtype_size(image->dtype) < 4) {
        m->bits = 8 * (int32_t)pel_dtype_size(image->dtype);
        m->lowest = image->dtype == PEL_I8 ? INT8_MIN : image->dtype == PEL_I16 ? INT16_MIN : 0;
    }
}

static bool check(const pel__values *v, const pel_image *image, pel_error *err)
{
    double radius[2][PEL_AXES];
    median m;
    pel__value_lengths(v, "radius", radius);
    for (int a = 0; a < PEL_AXES; a++) {
        if (radius[0][a] != floor(radius[0][a]))
            return pel__fail(err, PEL_ARGUMENT, "radius: found %s, expected whole numbers", pel__value_text(v, "radius"));
    }
    if (radius[0][PEL_C] > 0)
        return pel__fail(err, PEL_ARGUMENT, "radius: c: channels are not filtered into each other");
    settings(&m, v, image);
    if (m.window > MOST_WINDOW)
        return pel__fail(err, PEL_ARGUMENT, "radius: %s is a box of %lld voxels, expected at most %d", pel__value_text(v, "radius"),
                         (long long)m.window, MOST_WINDOW);
    return true;
}

/* ---- keys: integers in the order of the values ------------------------------------------------------------------- */

static void keys_of(const median *m, int32_t *key, const float *value, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int32_t bits = 0;
        const float f = value[i] == value[i] ? value[i] : NAN; /* above infinity */
        memcpy(&bits, &f, sizeof bits);
        key[i] = m->bits < 32 ? (int32_t)f - m->lowest : bits ^ ((bits >> 31) & INT32_MAX);
    }
}

static void values_of(const median *m, float *value, const int32_t *key, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t bits = key[i] ^ ((key[i] >> 31) & INT32_MAX);
        if (m->bits < 32)
            value[i] = (float)(key[i] + m->lowest);
        else
            memcpy(&value[i], &bits, sizeof bits);
    }
}

/* ---- a tile ------------------------------------------------------------------------------------------------ */

/* Memory of one thread: the tile with its surroundings, the box as offsets into it. */
typedef struct bench {
    int32_t *key;
    float *line;
    int32_t *offset;
    int64_t size[PEL_AXES], stride[PEL_AXES];
} bench;

static void tile_shape(const pel_image *image, int64_t tile[PEL_AXES])
{
    const int64_t most[PEL_AXES] = {1, 1, SIDE, SIDE, ROW};
    for (int a = 0; a < PEL_AXES; a++)
        tile[a] = pel__min(most[a], image->shape[a]);
}

static int64_t lay_out(bench *b, const median *m, const int64_t tile[PEL_AXES])
{
    int64_t n = 1;
    for (int a = PEL_X; a >= 0; a--) {
        b->size[a] = tile[a] + 2 * m->radius[a];
        b->stride[a] = n;
        n *= b->size[a];
    }
    return n;
}

static int64_t bench_bytes(const median *m, const pel_image *image)
{
    bench b;
    int64_t tile[PEL_AXES];
    tile_shape(image, tile);
    return 64 + pel__arena_cost(4 * lay_out(&b, m, tile)) + pel__arena_cost(4 * b.size[PEL_X]) +
           pel__arena_cost(4 * m->window);
}

typedef struct work {
    const pel__filter_call *call;
    median m;
    int64_t tile[PEL_AXES], thread_bytes;
} work;

/* Offsets of the box from its lowest corner. */
static void list_box(const median *m, const bench *b)
{
    for (int64_t i = 0; i < m->window; i++) {
        int64_t rest = i, offset = 0;
        for (int a = PEL_X; a >= 0; a--) {
            offset += rest % (2 * m->radius[a] + 1) * b->stride[a];
            rest /= 2 * m->radius[a] + 1;
        }
        b->offset[i] = (int32_t)offset;
    }
}

/* One row of the surroundings, from global coordinates; at[PEL_X] is not looked at. */
static void take_row(const work *w, const bench *b, int32_t *key, int64_t at[PEL_AXES], int64_t x0)
{
    const pel_block *in = w->call->in;
    const int64_t size = w->call->image->shape[PEL_X], n = b->size[PEL_X], begin = in->region.origin[PEL_X];
    const int64_t step = in->stride[PEL_X] * (int64_t)pel_dtype_size(in->dtype), from = pel__max(x0, 0), to = pel__min(x0 + n, size);
    at[PEL_X] = begin;
    const char *row = pel__block_at(in, at);
    if (in->stride[PEL_X] == 1)
        pel__to_float(b->line + (from - x0), row + (from - begin) * step, in->dtype, to - from);
    for (int64_t x = x0; x < x0 + n; x++) {
        const int64_t inside = pel__border_at(w->m.border, x, size);
        if (inside < 0)
            b->line[x - x0] = 0;
        else if (x < from || x >= to || in->stride[PEL_X] != 1)
            pel__to_float(b->line + (x - x0), row + (inside - begin) * step, in->dtype, 1);
    }
    keys_of(&w->m, key, b->line, n);
}

static void take_tile(const work *w, const bench *b, const pel_region *tile)
{
    const int64_t rows = b->size[PEL_T] * b->size[PEL_Z] * b->size[PEL_Y], n = b->size[PEL_X];
    for (int64_t i = 0; i < rows; i++) {
        int64_t at[PEL_AXES] = {i / b->size[PEL_Y] / b->size[PEL_Z], 0, i / b->size[PEL_Y] % b->size[PEL_Z], i % b->size[PEL_Y], 0};
        bool outside = false;
        for (int a = 0; a < PEL_X; a++) {
            at[a] = pel__border_at(w->m.border, at[a] + tile->origin[a] - w->m.radius[a], w->call->image->shape[a]);
            outside |= at[a] < 0;
        }
        if (outside) {
            memset(b->line, 0, (size_t)n * sizeof *b->line);
            keys_of(&w->m, b->key + i * n, b->line, n);
        } else {
            take_row(w, b, b->key + i * n, at, tile->origin[PEL_X] - w->m.radius[PEL_X]);
        }
    }
}

/* The rank's key for n voxels side by side; `key` is the lowest corner of the first one's box. */
static void select_row(const median *m, const bench *b, int32_t *out, const int32_t *key, int64_t n)
{
    int32_t smaller[ROW], candidate[ROW];
    uint32_t found[ROW] = {0};
    const uint32_t flip = m->bits == 32 ? 1U << 31 : 0; /* keys of floats have a sign */
    for (int32_t bit = m->bits - 1; bit >= 0; bit--) {
        for (int64_t x = 0; x < n; x++) {
            candidate[x] = (int32_t)((found[x] | 1U << bit) ^ flip);
            smaller[x] = 0;
        }
        for (int64_t i = 0; i < m->window; i++) {
            const int32_t *k = key + b->offset[i];
            for (int64_t x = 0; x < n; x++)
                smaller[x] += k[x] < candidate[x];
        }
        for (int64_t x = 0; x < n; x++)
            found[x] |= smaller[x] <= m->rank ? 1U << bit : 0;
    }
    for (int64_t x = 0; x < n; x++)
        out[x] = (int32_t)(found[x] ^ flip);
}

static bool run_tile(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const work *w = arg;
    const pel_region tile = pel__grid_cell(&w->call->out->region, w->tile, index);
    bench b;
    if (w->call->stop && atomic_load_explicit(w->call->stop, memory_order_relaxed))
        return pel__fail(err, PEL_INTERRUPTED, "asked to stop");
    pel__arena arena = pel__arena_over((char *)w->call->thread_scratch + worker * w->thread_bytes, w->thread_bytes);
    b.key = pel__arena_take(&arena, 4 * lay_out(&b, &w->m, tile.shape));
    b.line = pel__arena_take(&arena, 4 * b.size[PEL_X]);
    b.offset = pel__arena_take(&arena, 4 * w->m.window);
    if (!b.key || !b.line || !b.offset)
        return pel__fail(err, PEL_INTERNAL, "median: a tile does not fit into its scratch");
    int64_t clipped = 0;
    list_box(&w->m, &b);
    take_tile(w, &b, &tile);
    for (int64_t z = 0; z < tile.shape[PEL_Z]; z++) {
        for (int64_t y = 0; y < tile.shape[PEL_Y]; y++) {
            int32_t key[ROW];
            float value[ROW];
            const int64_t at[PEL_AXES] = {tile.origin[PEL_T], tile.origin[PEL_C], tile.origin[PEL_Z] + z, tile.origin[PEL_Y] + y,
                                          tile.origin[PEL_X]};
            select_row(&w->m, &b, key, b.key + z * b.stride[PEL_Z] + y * b.stride[PEL_Y], tile.shape[PEL_X]);
            values_of(&w->m, value, key, tile.shape[PEL_X]);
            pel__block_put(w->call->out, at, value, tile.shape[PEL_X], &clipped);
        }
    }
    if (clipped > 0)
        atomic_fetch_add(w->call->clipped, clipped);
    return true;
}

static bool apply(const pel__filter_call *call, pel_error *err)
{
    work w = {.call = call};
    settings(&w.m, call->values, call->image);
    tile_shape(call->image, w.tile);
    w.thread_bytes = bench_bytes(&w.m, call->image);
    return pel__pool_run(call->pool, PEL__COMPUTE_LAST, pel__grid_cells(&call->out->region, w.tile), run_tile, &w, err);
}

/* ---- what the plan asks ------------------------------------------------------------------------------------ */

static void halo(const pel__values *v, const pel_image *image, int64_t before[PEL_AXES], int64_t after[PEL_AXES])
{
    median m;
    settings(&m, v, image);
    memcpy(before, m.radius, sizeof m.radius);
    memcpy(after, m.radius, sizeof m.radius);
}

static int64_t block_bytes(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out)
{
    return 0;
}

static int64_t thread_bytes(const pel__values *v, const pel_image *image)
{
    median m;
    settings(&m, v, image);
    return bench_bytes(&m, image);
}

#define NANOSECONDS_A_COMPARISON 0.15

static double cost(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out)
{
    median m;
    settings(&m, v, image);
    return NANOSECONDS_A_COMPARISON * (double)(m.window * m.bits);
}

const pel__filter_type pel__filter_median = {
    .name = "median",
    .help = "median, or another percentile, of a box around each voxel",
    .params = params,
    .param_count = sizeof params / sizeof params[0],
    .stores = true,
    .resolve = resolve,
    .check = check,
    .halo = halo,
    .block_bytes = block_bytes,
    .thread_bytes = thread_bytes,
    .cost = cost,
    .apply = apply,
};
