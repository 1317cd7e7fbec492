/* SPDX-License-Identifier: MIT
 * ND-SAFIR in up to four searched dimensions (t, z, y, x), channel by channel or all jointly; docs/denoising.md has the formulas.
 * One block: stabilise the raw voxels, then for each iteration run the kernel on tiles of the block grown by what the
 * later iterations reach, then transform back. A tile copies what it reads into dense padded arrays, mirroring at the
 * image's faces by global coordinates; so neither kernel nor block arrays know of borders, and nothing of the result
 * depends on how blocks and tiles lie. Odd voxels (NaN, infinite, absurd) are NaN in every array and stay as they are.
 * With two scales (ndsafir_scales.h) the means of 2 x 2 voxels ("cells") go through the same after that, in memory that
 * only the fine scale's iterations needed, and correct the fine result.
 * Channels worked jointly share weights, precision and the test, so that a voxel that is odd in one is so in all. */
#include "filter/ndsafir.h"

#include "core/bytes.h"
#include "core/region.h"
#include "core/turns.h"
#include "filter/ndsafir_gather.h"
#include "filter/ndsafir_scales.h"
#include "filter/ndsafir_spots.h"
#include "filter/ndsafir_tiles.h"
#include "noise/noise.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define RHO 3.0f       /* half width of a voxel's intervals, in standard deviations */
#define ABSURD 1e15f   /* in standard deviations of the noise: squares would leave float32 */

/* One channel of one block at one scale, or all of its channels jointly. Arrays cover their own regions. */
typedef struct work {
    const pel__filter_call *call;
    pel__ndsafir s;
    pel_region image, voxels;              /* voxels: the image that the call knows; image: the same, or its cells */
    bool cells;
    pel_region region[PEL__MAX_STEPS + 1]; /* [n]: where iteration n's input must be known; [steps]: the output */
    pel_block raw, u[2], q[2], low, high;  /* low, high: every estimate yet accepted lies in; low > high: frozen. q has one channel */
    pel__tiles tiles[PEL__MAX_STEPS];
    pel__turns turns;
    int64_t thread_bytes;
    pel_block cell;                        /* data NULL: one scale; else of cells, first means of the fine result, then what it is off by */
} work;

/* ---- geometry ---------------------------------------------------------------------------------------------- */

static void regions(work *w, const pel_region *out)
{
    w->region[w->s.steps] = *out;
    for (int32_t n = w->s.steps - 1; n >= 0; n--) {
        int64_t reach[PEL_AXES] = {0};
        for (int a = 0; a < PEL__ND; a++)
            reach[pel__ndsafir_axis(a)] = pel__ndsafir_reach(&w->s, n, a);
        w->region[n] = pel__region_grow(&w->region[n + 1], reach, reach, &w->image);
    }
}

static int64_t results_floats(const pel__ndsafir_tile *k)
{
    return k->n[PEL__NT] * k->n[PEL__NZ] * k->n[PEL__NY] * pel__ndsafir_padded(k->n[PEL__NX]);
}

static int64_t padding(int64_t reach) { return pel__round_up(reach, PEL__ND_VECTOR) + PEL__ND_VECTOR; }

/* How far along x the first voxel of a tile lies behind an aligned place: that is where differences begin. */
static int64_t shift_of(const pel__ndsafir_tile *k) { return (k->aggregate ? 2 : 1) * k->patch[PEL__NX] % PEL__ND_VECTOR; }

/* A tile of this shape in this iteration: strides and sizes, no pointers. Returns floats of one channel's padded input. */
static int64_t lay_out(pel__ndsafir_tile *k, const pel__ndsafir *s, int32_t step, const int64_t shape[PEL_AXES], int64_t *origin)
{
    int64_t size[PEL__ND], reach[PEL__ND];
    for (int a = 0; a < PEL__ND; a++) {
        k->n[a] = shape[pel__ndsafir_axis(a)];
        k->radius[a] = s->radius[step][a];
        k->patch[a] = s->patch[a];
        reach[a] = pel__ndsafir_reach(s, step, a);
        size[a] = k->n[a] + 2 * reach[a];
    }
    const int64_t pad = padding(reach[PEL__NX]);
    size[PEL__NX] = pel__ndsafir_padded(k->n[PEL__NX]) + 2 * pad;
    if (size[PEL__NX] / PEL__ND_VECTOR % 2 == 0) /* an odd number of cache lines: columns then use every set */
        size[PEL__NX] += PEL__ND_VECTOR;
    k->stride[PEL__NY] = size[PEL__NX];
    k->stride[PEL__NZ] = size[PEL__NX] * size[PEL__NY];
    k->stride[PEL__NT] = k->stride[PEL__NZ] * size[PEL__NZ];
    k->last = step == s->steps - 1;
    k->aggregate = s->aggregate && k->last;
    *origin = reach[PEL__NT] * k->stride[PEL__NT] + reach[PEL__NZ] * k->stride[PEL__NZ] + (reach[PEL__NY] + 1) * k->stride[PEL__NY] + pad + shift_of(k);
    k->channels = s->channels;
    k->input = k->stride[PEL__NT] * size[PEL__NT] + 2 * k->stride[PEL__NY]; /* a row more at both ends: rows are read in pairs */
    k->result = results_floats(k);
    return k->input;
}

/* Where the last iteration's estimate is, of u. */
static int32_t result_of(const work *w) { return (w->s.steps - 1) % 2; }

static int64_t float_bytes(int64_t n) { return pel__arena_cost(n * (int64_t)sizeof(float)); }

static int64_t tile_bytes(const pel__ndsafir *s, const pel_region *image)
{
    int64_t tile[PEL_AXES], most = 0, origin = 0;
    pel__tiles_largest(s, image, tile);
    for (int32_t n = 0; n < s->steps; n++) {
        pel__ndsafir_tile k = {0};
        const int64_t input = lay_out(&k, s, n, tile, &origin);
        const int64_t bytes = 2 * float_bytes(s->channels * input) + float_bytes(input) + float_bytes(s->channels * k.result) +
                              2 * float_bytes(k.result) + float_bytes(pel__ndsafir_scratch(&k));
        most = pel__max(most, bytes);
    }
    return most + 64; /* where the caller's memory is not aligned */
}

/* ---- into a tile and out of it ----------------------------------------------------------------------------- */

static pel__gather around_tile(const work *w, int32_t step, const pel__ndsafir_tile *k, const pel_region *tile)
{
    pel__gather g = {.isa = w->s.isa, .image = &w->image, .stride = k->stride[PEL__NY]};
    for (int a = 0; a < PEL__ND; a++) {
        const int64_t reach = pel__ndsafir_reach(&w->s, step, a);
        g.first[a] = tile->origin[pel__ndsafir_axis(a)] - reach;
        g.size[a] = k->n[a] + 2 * reach;
        g.left = a == PEL__NX ? padding(reach) + shift_of(k) - reach : g.left;
    }
    return g;
}

static bool gather_all(const pel__gather *g, const pel__ndsafir_tile *k, const pel_block *b, float *dst)
{
    bool odd = false;
    for (int64_t c = 0; c < k->channels; c++)
        odd |= pel__gather_channel(g, b, c, 1.0f, dst + c * k->input);
    return odd;
}

static void fill(float *p, int64_t n, float value)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = value;
}

static void odd_to_zero(float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = p[i] == p[i] ? p[i] : 0.0f;
}

static void put_results(const work *w, int32_t n, const pel__ndsafir_tile *k, const pel_region *tile)
{
    const int64_t width = pel__ndsafir_padded(k->n[PEL__NX]);
    const int32_t now = n % 2, before = 1 - now;
    const bool last = n == w->s.steps - 1;
    for (int64_t row = 0; row < k->n[PEL__NT] * k->n[PEL__NZ] * k->n[PEL__NY]; row++) {
        int64_t at[PEL_AXES];
        memcpy(at, tile->origin, sizeof at);
        at[PEL_T] += row / k->n[PEL__NY] / k->n[PEL__NZ];
        at[PEL_Z] += row / k->n[PEL__NY] % k->n[PEL__NZ];
        at[PEL_Y] += row % k->n[PEL__NY];
        pel__ndsafir_row r = {.estimate = k->estimate + row * width, .precision = k->precision + row * width, .width = k->width + row * width,
                              .channels = k->channels, .step = {.estimate = k->result, .raw = w->raw.stride[PEL_C], .u = w->u[now].stride[PEL_C],
                                                                .u0 = w->u[before].stride[PEL_C], .range = w->low.stride[PEL_C]}};
        r.raw = pel__block_at(&w->raw, at);
        r.u = pel__block_at(&w->u[now], at);
        if (n > 0) {
            r.u0 = pel__block_at(&w->u[before], at);
            r.q0 = pel__block_at(&w->q[before], at);
        }
        if (w->s.steps > 1) {
            r.low = pel__block_at(&w->low, at);
            r.high = pel__block_at(&w->high, at);
        }
        if (!last)
            r.q = pel__block_at(&w->q[now], at);
        w->s.isa->settle(&r, k->n[PEL__NX]);
    }
}

/* ---- tasks ------------------------------------------------------------------------------------------------- */

static bool stopped(const work *w, pel_error *err)
{
    if (w->call->stop && atomic_load_explicit(w->call->stop, memory_order_relaxed))
        return pel__fail(err, PEL_INTERRUPTED, "asked to stop");
    return true;
}

/* A tile of iteration n. */
static bool run_tile(const work *w, int32_t n, const pel_region *tile, int32_t worker, pel_error *err)
{
    const int32_t before = 1 - n % 2;
    pel__ndsafir_tile k = {.rho = RHO, .stop = w->call->stop};
    int64_t origin = 0;
    if (!stopped(w, err))
        return false;
    const int64_t input = lay_out(&k, &w->s, n, tile->shape, &origin), all = k.channels * input;
    pel__arena arena = pel__arena_over((char *)w->call->thread_scratch + worker * w->thread_bytes, w->thread_bytes);
    k.scratch = pel__arena_take(&arena, pel__ndsafir_scratch(&k) * 4); /* first: the end may lie on small pages */
    float *u = pel__arena_take(&arena, all * 4), *q = pel__arena_take(&arena, input * 4), *y = pel__arena_take(&arena, all * 4);
    k.estimate = pel__arena_take(&arena, k.channels * k.result * 4);
    k.precision = pel__arena_take(&arena, k.result * 4);
    k.width = pel__arena_take(&arena, k.result * 4);
    if (!k.width)
        return pel__fail(err, PEL_INTERNAL, "ndsafir: a tile does not fit into its scratch");
    const pel__gather around = around_tile(w, n, &k, tile);
    for (int a = 0; a < PEL__ND; a++) {
        k.low[a] = -tile->origin[pel__ndsafir_axis(a)];
        k.high[a] = k.low[a] + w->image.shape[pel__ndsafir_axis(a)];
    }
    k.odd = gather_all(&around, &k, n ? &w->u[before] : &w->raw, u);
    if (n)
        (void)pel__gather_channel(&around, &w->q[before], 0, -w->s.exponent[n], q);
    else
        fill(q, input, -w->s.exponent[n]);
    if (n == 0 && !k.odd)
        y = u; /* the same, and without NaN */
    else if (gather_all(&around, &k, &w->raw, y))
        odd_to_zero(y, all);
    k.u = u + origin;
    k.q = q + origin;
    k.y = y + origin;
    w->s.isa->run(&k);
    if (!stopped(w, err))
        return false;
    put_results(w, n, &k, tile);
    return true;
}

/* The next tile, whichever iteration's: iterations do not wait for each other as a whole. */
static bool take_tile(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    work *w = arg;
    int32_t n = 0;
    pel__turn turn;
    pel__turns_take(&w->turns, &turn);
    while (turn.number >= w->tiles[n].first + w->tiles[n].count)
        n++;
    const pel_region tile = pel__tiles_at(&w->tiles[n], turn.number);
    if (n > 0)
        pel__turns_wait(&w->turns, pel__tiles_needed(&w->tiles[n - 1], &w->s, n, &tile));
    const bool ok = run_tile(w, n, &tile, worker, err);
    pel__turns_end(&w->turns, &turn);
    return ok;
}

#define STRIP_ROWS 64 /* of the tasks that only convert */

static pel_region strip(const pel_region *r, int64_t index)
{
    const int64_t cell[PEL_AXES] = {1, r->shape[PEL_C], 1, STRIP_ROWS, r->shape[PEL_X]};
    return pel__grid_cell(r, cell, index);
}

static int64_t strips(const pel_region *r)
{
    const int64_t cell[PEL_AXES] = {1, r->shape[PEL_C], 1, STRIP_ROWS, r->shape[PEL_X]};
    return pel__grid_cells(r, cell);
}

/* Standard deviation that counts as one where averages are made: where neighbours share their noise, an average of n
 * voxels varies by low_frequency / n, not 1 / n (docs/denoising.md, section 3). */
static float unit_of(const pel__noise *noise) { return (float)sqrt(noise->low_frequency); }

/* A row of n voxels of the call's input, stabilised. */
static void stabilised(const void *arg, float *dst, const int64_t at[PEL_AXES], int64_t n)
{
    const work *w = arg;
    const pel_block *in = w->call->in;
    const char *src = pel__block_at(in, at);
    const pel__noise *noise = &w->call->noise[at[PEL_C]];
    const int64_t step = in->stride[PEL_X];
    if (step == 1) {
        pel__to_float(dst, src, in->dtype, n);
    } else {
        for (int64_t x = 0; x < n; x++)
            pel__to_float(dst + x, src + x * step * (int64_t)pel_dtype_size(in->dtype), in->dtype, 1);
    }
    for (int64_t x = 0; x < n; x++)
        dst[x] = fabsf(dst[x]) < INFINITY ? dst[x] : NAN;
    pel__stabilise(dst, dst, n, noise->gain, noise->offset);
    const float unit = unit_of(noise);
    for (int64_t x = 0; x < n; x++) {
        const float v = dst[x] / unit;
        dst[x] = fabsf(v) < ABSURD ? v : NAN;
    }
}

static bool read_row(void *arg, const int64_t *at, int64_t n)
{
    const work *w = arg;
    stabilised(w, pel__block_at(&w->raw, at), at, n);
    return true;
}

/* ---- cells ------------------------------------------------------------------------------------------------------------- */

static pel__scales scales_of(const work *w) { return (pel__scales){.image = &w->voxels, .isa = w->s.isa}; }

static bool read_cells(void *arg, const int64_t *at, int64_t n)
{
    const work *w = arg;
    const pel__scales s = scales_of(w);
    pel__scales_read(pel__block_at(&w->raw, at), at, n, &s, stabilised, w);
    return true;
}

static bool means_row(void *arg, const int64_t *at, int64_t n)
{
    const work *w = arg;
    const pel__scales s = scales_of(w);
    pel__scales_means(pel__block_at(&w->cell, at), at, n, &w->u[result_of(w)], &s);
    return true;
}

static bool difference_row(void *arg, const int64_t *at, int64_t n)
{
    const work *w = arg;
    const pel__scales s = scales_of(w);
    pel__scales_difference(pel__block_at(&w->cell, at), pel__block_at(&w->u[result_of(w)], at), n, &s);
    return true;
}

/* Rows of the first channel: a voxel that is odd in any channel is so in all. */
static bool spread_odd(void *arg, const int64_t *at, int64_t n)
{
    const work *w = arg;
    float *first = pel__block_at(&w->raw, at);
    const int64_t step = w->raw.stride[PEL_C], channels = w->raw.region.shape[PEL_C];
    for (int64_t x = 0; x < n; x++) {
        bool odd = false;
        for (int64_t c = 0; c < channels; c++)
            odd |= first[c * step + x] != first[c * step + x];
        for (int64_t c = 0; odd && c < channels; c++)
            first[c * step + x] = NAN;
    }
    return true;
}

static bool read_strip(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const work *w = arg;
    const pel_region r = strip(&w->region[0], index);
    pel_region first = r;
    first.shape[PEL_C] = 1;
    return stopped(w, err) && pel__region_rows(&r, w->cells ? read_cells : read_row, arg) && (w->s.channels == 1 || pel__region_rows(&first, spread_odd, arg));
}

#define CHUNK 512 /* voxels at once */

static bool write_row(void *arg, const int64_t *at, int64_t n)
{
    const work *w = arg;
    const pel_block *in = w->call->in, *out = w->call->out;
    const char *raw = pel__block_at(in, at);
    const float *u = pel__block_at(&w->u[result_of(w)], at);
    float part[CHUNK];
    const pel__scales scales = scales_of(w);
    const pel__noise *noise = &w->call->noise[at[PEL_C]];
    const float unit = unit_of(noise);
    const int64_t raw_step = in->stride[PEL_X] * (int64_t)pel_dtype_size(in->dtype);
    int64_t here[PEL_AXES], clipped = 0;
    memcpy(here, at, sizeof here);
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t count = pel__min(CHUNK, n - i);
        here[PEL_X] = at[PEL_X] + i;
        const bool odd = w->s.isa->copy(part, u + i, count, 1.0f, 0);
        if (w->cell.data)
            pel__scales_correct(part, here, count, &w->cell, &scales);
        for (int64_t x = 0; x < count; x++)
            part[x] *= unit;
        pel__unstabilise(part, part, count, noise->gain, noise->offset);
        for (int64_t x = 0; x < count && odd; x++) {
            if (u[i + x] != u[i + x])
                pel__to_float(part + x, raw + (i + x) * raw_step, in->dtype, 1);
        }
        pel__block_put(out, here, part, count, &clipped);
    }
    if (clipped > 0)
        atomic_fetch_add(w->call->clipped, clipped);
    return true;
}

/* Of the channels that are worked, those that are wanted. */
static pel_region wanted(const work *w)
{
    return pel__region_intersect(&w->region[w->s.steps], &w->call->out->region);
}

/* Something that is done to each row of a region by itself. */
typedef struct row_task {
    work *w;
    const pel_region *all;
    bool (*row)(void *arg, const int64_t *at, int64_t n); /* arg: the work */
} row_task;

static bool run_strip(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const row_task *t = arg;
    const pel_region r = strip(t->all, index);
    return stopped(t->w, err) && pel__region_rows(&r, t->row, t->w);
}

static bool run_rows(work *w, const pel_region *all, bool (*row)(void *arg, const int64_t *at, int64_t n), pel_error *err)
{
    row_task t = {w, all, row};
    return pel__pool_run(w->call->pool, PEL__COMPUTE_LAST, strips(all), run_strip, &t, err);
}

/* ---- spots -------------------------------------------------------------------------------------------------------------- */

/* What voxels that are wanted take of the fine result, around them along y and x. */
static pel_region around(const work *w, const pel_region *out)
{
    int64_t reach[PEL_AXES] = {0};
    reach[PEL_Y] = reach[PEL_X] = PEL__SPOTS_REACH;
    return pel__region_grow(out, reach, reach, &w->voxels);
}

/* The raw data are not needed any more: residuals take their place, 0 for odd voxels. */
static bool residual_row(void *arg, const int64_t *at, int64_t n)
{
    const work *w = arg;
    const float *u = pel__block_at(&w->u[result_of(w)], at);
    float *raw = pel__block_at(&w->raw, at);
    for (int64_t x = 0; x < n; x++) {
        const float d = raw[x] - u[x];
        raw[x] = d == d ? d : 0.0f;
    }
    return true;
}

static bool spots_strip(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const work *w = arg;
    const pel_region out = wanted(w), r = strip(&out, index);
    const pel__spots s = {.u = &w->u[result_of(w)], .residual = &w->raw, .image = &w->voxels, .isa = w->s.isa, .threshold = w->s.spots};
    float *const scratch = (float *)(void *)((char *)w->call->thread_scratch + worker * w->thread_bytes);
    for (int64_t c = 0; c < r.shape[PEL_C]; c++) {
        pel_region one = r;
        one.origin[PEL_C] += c;
        one.shape[PEL_C] = 1;
        pel__spots_give(&s, &one, scratch);
    }
    return stopped(w, err);
}

static bool keep_spots(work *w, pel_error *err)
{
    const pel_region out = wanted(w), all = around(w, &out);
    return run_rows(w, &all, residual_row, err) &&
           pel__pool_run(w->call->pool, PEL__COMPUTE_LAST, strips(&out), spots_strip, w, err);
}

/* ---- one channel or all jointly, one block -------------------------------------------------------------------------------- */

static bool take_block(pel_block *b, const pel_region *r, pel__arena *arena)
{
    void *memory = pel__arena_take(arena, pel__region_voxels(r) * (int64_t)sizeof(float));
    *b = pel__block_dense(r, PEL_F32, memory);
    return memory != NULL;
}

/* The precision is the same for all channels. */
static pel_region shared(const pel_region *r)
{
    pel_region one = *r;
    one.shape[PEL_C] = 1;
    return one;
}

/* Raw data and result, which are wanted when iterations are done. */
static int64_t lasting_bytes(const work *w)
{
    return float_bytes(pel__region_voxels(&w->region[0])) + float_bytes(pel__region_voxels(&w->region[result_of(w) + 1]));
}

static bool take_lasting(work *w, pel__arena *arena)
{
    return take_block(&w->raw, &w->region[0], arena) && take_block(&w->u[result_of(w)], &w->region[result_of(w) + 1], arena);
}

/* What iterations need beside these. */
static int64_t array_bytes(const work *w)
{
    int64_t bytes = 0;
    for (int i = 0; i < 2 && i < w->s.steps; i++) {
        const pel_region q = shared(&w->region[i + 1]);
        bytes += (i == result_of(w) ? 0 : float_bytes(pel__region_voxels(&w->region[i + 1]))) + float_bytes(pel__region_voxels(&q));
    }
    return bytes + (w->s.steps > 1 ? 2 * float_bytes(pel__region_voxels(&w->region[1])) : 0);
}

static bool take_arrays(work *w, pel__arena *arena)
{
    bool ok = true;
    for (int i = 0; i < 2 && i < w->s.steps; i++) {
        const pel_region q = shared(&w->region[i + 1]);
        ok = ok && (i == result_of(w) || take_block(&w->u[i], &w->region[i + 1], arena)) && take_block(&w->q[i], &q, arena);
    }
    if (w->s.steps > 1)
        ok = ok && take_block(&w->low, &w->region[1], arena) && take_block(&w->high, &w->region[1], arena);
    return ok;
}

static bool check_noise(const pel__noise *noise, int64_t channel, pel_error *err)
{
    const double g = noise->gain, o = noise->offset;
    if (!(g >= 0) || !(fabs(o) < (double)INFINITY) || g > 1e15 || (g == 0 && !(o > 0)))
        return pel__fail(err, PEL_ARGUMENT, "noise of channel %d: gain %g, offset %g; expected a gain above 0, or gain 0 and an offset above 0",
                         (int)channel, g, o);
    return true;
}

/* All iterations at one scale: from the call's input to u. */
static bool iterate(work *w, pel_error *err)
{
    pel__pool *pool = w->call->pool;
    int64_t tiles = 0;
    if (!pel__pool_run(pool, PEL__COMPUTE_LAST, strips(&w->region[0]), read_strip, w, err))
        return false;
    for (int32_t n = 0; n < w->s.steps; n++) {
        w->tiles[n].first = tiles;
        pel__tiles_share(&w->tiles[n], &w->s, n, &w->image, &w->region[n + 1], pel__pool_threads(pool));
        tiles += w->tiles[n].count;
    }
    pel__turns_init(&w->turns);
    const bool ok = pel__pool_run(pool, PEL__COMPUTE_LAST, tiles, take_tile, w, err);
    pel__turns_finish(&w->turns);
    return ok;
}

/* The scales of a block: fine, and where there are two, cells. */
typedef struct scales {
    work fine, coarse;
    bool two;
} scales;

/* Of the channels from this one on, as many as go together. */
static void lay_scales(scales *s, const pel_region *block, int64_t channel)
{
    work *const fine = &s->fine, *const coarse = &s->coarse;
    pel_region out = *block;
    fine->voxels.origin[PEL_C] = out.origin[PEL_C] = channel;
    fine->voxels.shape[PEL_C] = out.shape[PEL_C] = fine->s.channels;
    fine->image = fine->voxels;
    const pel_region wide = fine->s.spots > 0 ? around(fine, &out) : out;
    if (s->two) {
        coarse->voxels = fine->voxels;
        coarse->image = pel__scales_image(&fine->voxels);
        fine->cell.region = pel__scales_cells(&out, &fine->voxels);
        regions(coarse, &fine->cell.region);
        out = pel__scales_voxels(&fine->cell.region, &fine->voxels);
    }
    out = pel__region_union(&out, &wide);
    regions(fine, &out);
}

static void begin_scales(scales *s, const pel__filter_call *call, const pel__values *v, const pel_image *image)
{
    *s = (scales){.fine = {.call = call}, .coarse = {.call = call, .cells = true}};
    pel__ndsafir_settings(&s->fine.s, v, image);
    s->two = pel__ndsafir_coarse(&s->coarse.s, v, image);
    s->fine.voxels = s->fine.image = pel__region(PEL_AXES, NULL, image->shape);
    s->coarse.image = pel__scales_image(&s->fine.voxels);
}

/* Beside what lasts of the voxels first the rest of theirs, then all of the cells. */
static int64_t cell_bytes(const scales *s)
{
    return s->two ? float_bytes(pel__region_voxels(&s->fine.cell.region)) + lasting_bytes(&s->coarse) + array_bytes(&s->coarse) : 0;
}

static int64_t scales_bytes(const scales *s)
{
    return lasting_bytes(&s->fine) + pel__max(array_bytes(&s->fine), cell_bytes(s)) + 64; /* the caller's memory may not be aligned */
}

static int64_t scales_thread_bytes(const scales *s)
{
    const int64_t spots = s->fine.s.spots > 0 ? float_bytes(pel__spots_scratch()) : 0;
    return pel__max(pel__max(tile_bytes(&s->fine.s, &s->fine.image), spots), s->two ? tile_bytes(&s->coarse.s, &s->coarse.image) : 0);
}

static bool filter_cells(scales *s, pel_error *err)
{
    work *const w = &s->coarse;
    w->cell = s->fine.cell;
    return iterate(w, err) && run_rows(w, &w->cell.region, difference_row, err);
}

static bool filter_voxels(work *w, pel_error *err)
{
    return iterate(w, err) &&
           (!w->cell.data || run_rows(w, &w->cell.region, means_row, err)) &&
           (w->s.spots <= 0 || keep_spots(w, err));
}

/* The cells' memory is where the voxels' iterations worked. */
static bool take_all(scales *s, pel_error *err)
{
    const pel__filter_call *call = s->fine.call;
    pel__arena arena = pel__arena_over(call->scratch, scales_bytes(s));
    bool ok = take_lasting(&s->fine, &arena);
    pel__arena again = arena;
    ok = ok && take_arrays(&s->fine, &arena);
    if (s->two)
        ok = ok && take_block(&s->fine.cell, &s->fine.cell.region, &again) && take_lasting(&s->coarse, &again) && take_arrays(&s->coarse, &again);
    return ok || pel__fail(err, PEL_INTERNAL, "ndsafir: the block came with too little scratch");
}

static bool enough_input(const scales *s, const pel_region *in)
{
    const pel_region cells = s->two ? pel__scales_voxels(&s->coarse.region[0], &s->fine.voxels) : s->fine.region[0];
    return pel__region_inside(&s->fine.region[0], in) && pel__region_inside(&cells, in);
}

/* From this channel on, as many as go together. */
static bool filter_channels(scales *s, int64_t channel, pel_error *err)
{
    work *const w = &s->fine;
    const pel__filter_call *call = w->call;
    lay_scales(s, &call->out->region, channel);
    for (int64_t c = channel; c < channel + w->s.channels; c++) {
        if (!check_noise(&call->noise[c], c, err))
            return false;
    }
    if (!enough_input(s, &call->in->region))
        return pel__fail(err, PEL_INTERNAL, "ndsafir: the block came with too little halo");
    if (!take_all(s, err) || !filter_voxels(w, err) || (s->two && !filter_cells(s, err)))
        return false;
    const pel_region made = wanted(w);
    return run_rows(w, &made, write_row, err);
}

static bool apply(const pel__filter_call *call, pel_error *err)
{
    const pel_region *out = &call->out->region;
    scales s;
    begin_scales(&s, call, call->values, call->image);
    s.fine.thread_bytes = s.coarse.thread_bytes = scales_thread_bytes(&s);
    if (pel__region_empty(out))
        return true;
    if (s.fine.s.channels > 1) /* all, whichever are wanted */
        return filter_channels(&s, 0, err);
    for (int64_t c = out->origin[PEL_C]; c < out->origin[PEL_C] + out->shape[PEL_C]; c++) {
        if (!filter_channels(&s, c, err))
            return false;
    }
    return true;
}

/* ---- what the plan asks ------------------------------------------------------------------------------------ */

/* All iterations together, an axis. */
static int64_t whole_reach(const pel__ndsafir *s, int axis)
{
    int64_t sum = 0;
    for (int32_t n = 0; n < s->steps; n++)
        sum += pel__ndsafir_reach(s, n, axis);
    return sum;
}

static void halo(const pel__values *v, const pel_image *image, int64_t before[PEL_AXES], int64_t after[PEL_AXES])
{
    scales s;
    begin_scales(&s, NULL, v, image);
    memset(before, 0, PEL_AXES * sizeof *before);
    before[PEL_C] = s.fine.s.channels - 1;
    for (int a = 0; a < PEL__ND; a++) {
        const int axis = pel__ndsafir_axis(a);
        const int64_t bin = pel__scales_bin(image->shape, axis), cells = s.two && bin > 1 ? PEL__SCALES_REACH : 0;
        const int64_t spots = s.fine.s.spots > 0 && bin > 1 ? PEL__SPOTS_REACH : 0;
        before[axis] = pel__max(pel__max(cells, spots) + whole_reach(&s.fine.s, a), s.two ? cells + bin * whole_reach(&s.coarse.s, a) : 0);
    }
    memcpy(after, before, PEL_AXES * sizeof *after);
}

/* The regions of the channels that go together. */
static void describe(scales *s, const pel__values *v, const pel_image *image, const pel_region *out)
{
    begin_scales(s, NULL, v, image);
    lay_scales(s, out, s->fine.s.channels > 1 ? 0 : out->origin[PEL_C]);
}

static int64_t block_bytes(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out)
{
    scales s;
    describe(&s, v, image, out);
    return scales_bytes(&s);
}

static int64_t thread_bytes(const pel__values *v, const pel_image *image)
{
    scales s;
    begin_scales(&s, NULL, v, image);
    return scales_thread_bytes(&s);
}

/* Pairs of voxels compared, per voxel of the output; aggregating is one half more. */
#define NANOSECONDS_A_PAIR 0.4 /* of a voxel with one displacement, with AVX2 */
#define JOINT_WEIGHTS 0.6      /* the part of it that channels worked jointly share */

static double pairs(const work *w)
{
    double sum = 0;
    for (int32_t n = 0; n < w->s.steps; n++) {
        const pel_region one = shared(&w->region[n + 1]);
        double window = 1;
        for (int a = 0; a < PEL__ND; a++)
            window *= (double)(2 * w->s.radius[n][a] + 1);
        sum += window * (w->s.aggregate && n == w->s.steps - 1 ? 1.5 : 1.0) * (double)pel__region_voxels(&one);
    }
    return sum;
}

static double cost(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out)
{
    scales s;
    describe(&s, v, image, out);
    const int64_t joint = s.fine.s.channels;
    const double channels = joint == 1 ? (double)out->shape[PEL_C] : JOINT_WEIGHTS + (1 - JOINT_WEIGHTS) * (double)joint;
    const double sum = pairs(&s.fine) + (s.two ? pairs(&s.coarse) : 0);
    return NANOSECONDS_A_PAIR * channels * sum / (double)pel__max(1, pel__region_voxels(out));
}

const pel__filter_type pel__filter_ndsafir = {
    .name = "ndsafir",
    .help = "denoises: adaptive patch-based averaging with growing windows (ND-SAFIR), Poisson-Gaussian or Gaussian noise",
    .params = pel__ndsafir_params,
    .param_count = PEL__NDSAFIR_PARAMS,
    .needs_noise = true,
    .stores = true,
    .resolve = pel__ndsafir_resolve,
    .check = pel__ndsafir_check,
    .halo = halo,
    .block_bytes = block_bytes,
    .thread_bytes = thread_bytes,
    .cost = cost,
    .apply = apply,
    .tuning = pel__ndsafir_tuning,
    .joint = "channels=joint",
};
