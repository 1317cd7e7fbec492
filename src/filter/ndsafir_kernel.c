/* SPDX-License-Identifier: MIT
 * ND-SAFIR on one tile, in the shift form: for each displacement d of half the window, the weights of all pairs
 * (x, x + d) of the tile are made together, from squared differences, box sums over the patch and an exponential.
 * A pair's weight serves both ends, so that the other half of the window comes for free: the weight of x and x - d is
 * the one of the pair that begins at x - d, wherever that is computed.
 *
 * All displacements that differ along x only (a line) go together in one sweep along y, two rows at a time: what a row
 * needs of inputs, sums and averages stays in the first caches while the whole line uses it. For two rows of all planes,
 * one loop goes from differences to weights: they are summed over the planes of the patch in registers, along y by what
 * the sweep keeps of earlier rows, then, one vector behind, along x; then the averages of both ends take all weights of
 * the line.
 *
 * The cost does not depend on the patch, and every sum has a fixed order that depends on nothing but the voxel and d: no
 * running sums; rows are taken in pairs of even global coordinates; the terms of a line at one end of it come in the
 * order of d, and which end comes first is the same for all voxels. Hence the bits do not depend on the tile. Lanes
 * right of a row's end compute with garbage that nobody reads.
 *
 * Compiled once an instruction set, with PEL_LANES and PEL_KERNEL given. */
#include "filter/ndsafir_kernel.h"

#include "filter/ndsafir_feed.h"

#include <string.h>

#ifndef TIMED /* by tests/tool_stages.c, which also wants to know how many vectors there were */
#define TIMED(stage, vectors, call) call
#endif

/* One sweep: planes t and z, rows y of pairs whose weights are wanted. */
typedef struct sweep {
    const pel__ndsafir_tile *k;
    int64_t d[PEL__ND], count;  /* displacements d, d + (0, 0, 0, 1), … */
    int64_t offset;             /* (d without x) in elements of u */
    bool first, second;         /* which ends of pairs may lie in the tile */
    range wanted[PEL__NX];      /* along t, z, y */
    range made[PEL__NX];        /* the same grown by the patch where aggregated, cut at the image */
    range kept[PEL__NX];        /* … not cut: zero there */
    float *sums, *weight_sums;  /* of rows to come */
    float *weights_memory;      /* where rows of weights begin, before x = 0 */
    rows line;                  /* box sums but for those along x, of one group; x from the first that is wanted on */
    rows weights, finals;
    float *planes;              /* differences of all planes, a vector */
} sweep;

/* ---- where ------------------------------------------------------------------------------------------------- */

/* Pairs of displacements from `least` to `most` whose ends both lie in the image begin there, those of one of them at least. */
INLINE range in_image(const pel__ndsafir_tile *k, int axis, int64_t least, int64_t most)
{
    return (range){k->low[axis] - lowest(most, 0), k->high[axis] - highest(least, 0)};
}

/* Where pairs begin of which an end is wanted. */
INLINE range in_tile(const sweep *s, int axis, int64_t least, int64_t most)
{
    const int64_t n = s->k->n[axis];
    return (range){s->second ? lowest(s->first ? 0 : INT64_MAX, -most) : 0, s->second ? highest(s->first ? n : INT64_MIN, n - least) : n};
}

/* Zeroes w where either end of the pair is to be left out. */
static void cut_odd(float *w, const float *u, int64_t offset, int64_t x0, int64_t x1)
{
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        const vf sum = load(u + x) + load(u + x + offset);
        store(w + x, where_number(sum, load(w + x)));
    }
}

INLINE int64_t input_at(const pel__ndsafir_tile *k, int64_t t, int64_t z, int64_t y)
{
    return t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + y * k->stride[PEL__NY];
}

/* ---- two rows ---------------------------------------------------------------------------------------------- */

/* A group of displacements of the line. */
typedef struct group {
    int64_t first, count;  /* in the line */
    int64_t least, most;   /* d along x */
    range x;               /* pairs that are wanted, not cut at the image */
    int64_t x0, x1;        /* final weights: from the first lane on */
} group;

static group group_of(const sweep *s, int64_t first, int64_t count)
{
    group g = {.first = first, .count = count, .least = s->d[PEL__NX] + first};
    g.most = g.least + count - 1;
    g.x = in_tile(s, PEL__NX, g.least, g.most);
    const range x = both(g.x, in_image(s->k, PEL__NX, g.least, g.most));
    g.x0 = first_lane(x.from);
    g.x1 = highest(x.to, x.from);
    return g;
}

/* State of a group: p arrays of sums, one behind the other, then second rows of the last p pairs, an array each. */
static void place_state(feed *f, const sweep *s, float *state, const group *g, const range *planes)
{
    const int64_t p = s->k->patch[PEL__NY], one = length(planes[0]) * length(planes[1]) * s->k->stride[PEL__NY];
    f->state = state + g->first * one * 2 * p;
    f->singles = f->state + g->count * one * (p + (p > 0 ? f->turn % p : 0));
}

/* What is left to do after feed_any, for rows y and y + 1 of weights of pairs or sums of those over the patch. */
typedef struct finish_of {
    const rows *to;
    const range *planes; /* of `to`, along t and z: those of … */
    const range *made;   /* … (t, z, y) are not zero */
    int64_t grow;        /* what of a row is wanted reaches so much further */
    bool weigh, summed;  /* sums along x are there already */
} finish_of;

/* In x of rows of the group: where pairs of one displacement have both ends in the image. */
INLINE range valid_of(const sweep *s, const group *g, int64_t shift, int64_t grow)
{
    const range image = in_image(s->k, PEL__NX, g->least + shift, g->least + shift);
    return (range){image.from - (g->x0 - grow), image.to - (g->x0 - grow)};
}

/* Sums along x where they are not there yet, zero where an end is to be left out. */
static void finish_shift(const sweep *s, const group *g, const finish_of *f, int64_t shift, int64_t y)
{
    const pel__ndsafir_tile *k = s->k;
    const int64_t x0 = g->x0 - f->grow, n = g->x1 + f->grow - x0;
    float *plane = f->to->at + (g->first + shift) * f->to->shift;
    const float *sums = s->line.at + shift * s->line.shift;
    for (int64_t t = f->planes[0].from; t < f->planes[0].to; t++) {
        for (int64_t z = f->planes[1].from; z < f->planes[1].to; z++, plane += f->to->plane) {
            const bool inside = within(f->made[0], t) && within(f->made[1], z);
            for (int64_t i = 0; i < 2 && inside; i++) {
                float *w = plane + i * f->to->row;
                if (!within(f->made[2], y + i))
                    continue;
                if (!f->summed)
                    sum_row(w + x0, sums + i * s->line.row, n, k->patch[PEL__NX], f->weigh, valid_of(s, g, shift, f->grow));
                if (k->odd)
                    cut_odd(w, k->u + input_at(k, t, z, y + i), s->offset + g->least + shift, x0, x0 + n);
            }
            sums += inside ? s->line.plane : 0;
        }
    }
}

static void finish_group(const sweep *s, const group *g, const finish_of *f, int64_t y)
{
    for (int64_t shift = 0; shift < g->count && (s->k->odd || !f->summed); shift++)
        finish_shift(s, g, f, shift, y);
}

/* Where aggregated: weights of rows beyond the image are zero. */
static void zero_rows(const sweep *s, const group *g, int64_t y)
{
    const int64_t planes = length(s->kept[0]) * length(s->kept[1]);
    for (int i = 0; i < 2; i++) {
        float *row = s->weights_memory + i * s->weights.row + g->first * s->weights.shift;
        for (int64_t plane = 0; plane < planes && s->k->aggregate && !within(s->made[2], y + i); plane++, row += s->weights.plane)
            memset(row, 0, (size_t)(g->count * s->weights.shift) * sizeof *row);
    }
}

/* `to` from x of the first row of plane (t, z) on, of the displacement `first`; its planes are those of `planes`. */
static rows rows_from(const rows *to, const range *planes, int64_t t, int64_t z, int64_t first, int64_t x)
{
    rows r = *to;
    r.at += ((t - planes[0].from) * length(planes[1]) + z - planes[1].from) * r.plane + first * r.shift + x;
    return r;
}

/* Differences of rows r and r + 1; weights of r - p and r + 1 - p. */
static void make_weights(const sweep *s, const group *g, int64_t r, int64_t turn)
{
    const pel__ndsafir_tile *k = s->k;
    const int64_t *p = k->patch, grow = k->aggregate ? p[PEL__NX] : 0, x = g->x0 - grow - p[PEL__NX];
    feed f = {.t = k->stride[PEL__NT], .z = k->stride[PEL__NZ], .row = k->stride[PEL__NY], .q = k->q - k->u, .turn = turn,
              .buffer = s->planes, .sums = s->line, .odd = k->odd, .channels = k->channels, .input = k->input};
    f.in = k->u + input_at(k, s->made[0].from - p[0], s->made[1].from - p[1], r) + x;
    for (int i = 0; i < PEL__ND; i++)
        f.patch[i] = p[i];
    for (int i = 0; i < 2; i++)
        f.planes[i] = length(s->made[i]) + 2 * p[i];
    f.offset = s->offset + g->least;
    f.vectors = vectors(g->x1 + grow + p[PEL__NX] - x);
    f.finished = vectors(g->x1 + grow - (g->x0 - grow));
    for (int64_t i = 0; i < g->count; i++)
        f.valid[i] = valid_of(s, g, i, grow);
    f.whole = rows_from(&s->weights, s->kept, s->made[0].from, s->made[1].from, g->first, g->x0 - grow);
    place_state(&f, s, s->sums, g, s->made);
    f.early = r + 1 - p[PEL__NY] < s->kept[2].from;
    bool summed;
    TIMED(FEEDING, 2 * g->count * (f.finished + 1) * f.planes[0] * f.planes[1], summed = feed_any(&f, g->count));
    const finish_of weights = {&s->weights, s->kept, s->made, grow, true, summed};
    finish_group(s, g, &weights, r - p[PEL__NY]);
    zero_rows(s, g, r - p[PEL__NY]);
}

/* Where aggregated: from weights of rows r and r + 1 to their sums over the patch, of rows r - p and r + 1 - p. */
static void make_finals(const sweep *s, const group *g, int64_t r, int64_t turn)
{
    const int64_t *p = s->k->patch, x = g->x0 - p[PEL__NX];
    feed f = {.row = s->weights.row, .z = s->weights.plane, .shift = s->weights.shift, .turn = turn, .buffer = s->planes, .sums = s->line};
    f.in = s->weights.at + g->first * s->weights.shift + x;
    f.t = f.z * length(s->kept[1]);
    f.vectors = vectors(g->x1 + p[PEL__NX] - x);
    f.finished = vectors(g->x1 - g->x0);
    for (int a = 0; a < PEL__ND; a++)
        f.patch[a] = p[a];
    for (int a = 0; a < 2; a++)
        f.planes[a] = length(s->kept[a]);
    for (int64_t i = 0; i < g->count; i++)
        f.valid[i] = valid_of(s, g, i, 0);
    f.whole = rows_from(&s->finals, s->wanted, s->wanted[0].from, s->wanted[1].from, g->first, g->x0);
    place_state(&f, s, s->weight_sums, g, s->wanted);
    f.early = r + 1 - p[PEL__NY] < s->wanted[2].from;
    const bool summed = feed_any(&f, g->count);
    const finish_of finals = {&s->finals, s->wanted, s->wanted, 0, false, summed};
    finish_group(s, g, &finals, r - p[PEL__NY]);
}

/* ---- averages ---------------------------------------------------------------------------------------------- */

typedef struct average {
    float *num, *den, *squares; /* of one row */
    const float *w, *y;         /* weights and data of the first displacement, */
    int64_t next_w, next_y;     /* from there to the next */
    int64_t n, count;
} average;

/* `wide` vectors from x on, their sums in registers. */
INLINE void add_vectors(const average *a, int64_t x, const int wide, const bool squares)
{
    vf num[4], den[4], ss[4];
    const float *w = a->w + x, *y = a->y + x;
#pragma GCC unroll 4
    for (int v = 0; v < wide; v++) {
        num[v] = load(a->num + x + v * PEL_LANES);
        den[v] = load(a->den + x + v * PEL_LANES);
        ss[v] = squares ? load(a->squares + x + v * PEL_LANES) : (vf){0};
    }
#pragma GCC unroll 2
    for (int64_t i = 0; i < a->count; i++, w += a->next_w, y += a->next_y) {
#pragma GCC unroll 4
        for (int v = 0; v < wide; v++) {
            const vf weight = load(w + v * PEL_LANES);
            num[v] = fused(weight, load(y + v * PEL_LANES), num[v]);
            den[v] += weight;
            ss[v] = squares ? fused(weight, weight, ss[v]) : ss[v];
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < wide; v++) {
        store(a->num + x + v * PEL_LANES, num[v]);
        store(a->den + x + v * PEL_LANES, den[v]);
        if (squares)
            store(a->squares + x + v * PEL_LANES, ss[v]);
    }
}

INLINE void add_row(const average *a, const bool squares)
{
    int64_t x = 0;
    for (; x + 3 * PEL_LANES < a->n; x += 4 * PEL_LANES)
        add_vectors(a, x, 4, squares);
    for (; x + PEL_LANES < a->n; x += 2 * PEL_LANES)
        add_vectors(a, x, 2, squares);
    if (x < a->n)
        add_vectors(a, x, 1, squares);
}

/* Of a further channel: the weights' sums are there already. */
static void add_channel(const average *a)
{
    for (int64_t x = 0; x < a->n; x += PEL_LANES) {
        const float *w = a->w + x, *y = a->y + x;
        vf num = load(a->num + x);
#pragma GCC unroll 4
        for (int64_t i = 0; i < a->count; i++, w += a->next_w, y += a->next_y)
            num = fused(load(w), load(y), num);
        store(a->num + x, num);
    }
}

/* Row y of plane (t, z) of the tile. */
static void average_row(const sweep *s, average *a, int64_t t, int64_t z, int64_t y)
{
    const pel__ndsafir_tile *k = s->k;
    const int64_t row = ((t * k->n[PEL__NZ] + z) * k->n[PEL__NY] + y) * pel__ndsafir_padded(k->n[PEL__NX]);
    a->num = k->estimate + row;
    a->den = k->precision + row;
    a->squares = k->width + row;
    if (k->last)
        add_row(a, false);
    else
        add_row(a, true);
    for (int64_t c = 1; c < k->channels; c++) {
        a->num += k->result;
        a->y += k->input;
        add_channel(a);
    }
}

INLINE bool tile_has(const pel__ndsafir_tile *k, int64_t t, int64_t z, int64_t y)
{
    return t >= 0 && t < k->n[PEL__NT] && z >= 0 && z < k->n[PEL__NZ] && y >= 0 && y < k->n[PEL__NY];
}

/* Both ends of the pairs of row y; i: which of two rows that is. */
static void average_both(const sweep *s, int64_t y, int i)
{
    const pel__ndsafir_tile *k = s->k;
    const rows *from = k->aggregate ? &s->finals : &s->weights;
    const int64_t *d = s->d;
    average a = {.count = s->count, .n = k->n[PEL__NX]};
    for (int64_t t = s->wanted[0].from, place = 0; t < s->wanted[0].to; t++) {
        for (int64_t z = s->wanted[1].from; z < s->wanted[1].to; z++, place++) {
            const float *w = from->at + place * from->plane + i * from->row, *raw = k->y + input_at(k, t, z, y);
            if (tile_has(k, t, z, y)) {
                a.w = w;
                a.y = raw + s->offset + d[PEL__NX];
                a.next_w = from->shift;
                a.next_y = 1;
                average_row(s, &a, t, z, y);
            }
            if (tile_has(k, t + d[0], z + d[1], y + d[2])) {
                a.w = w - d[PEL__NX];
                a.y = raw - d[PEL__NX];
                a.next_w = from->shift - 1;
                a.next_y = -1;
                average_row(s, &a, t + d[0], z + d[1], y + d[2]);
            }
        }
    }
}

/* ---- one line of displacements, all lines ------------------------------------------------------------------ */

static float *place(rows *r, float *memory, const sweep *s, int64_t planes, int64_t shifts)
{
    const int64_t stride = s->k->stride[PEL__NY];
    *r = (rows){.at = memory, .shift = stride, .row = shifts * stride, .plane = 2 * shifts * stride};
    return memory + planes * 2 * shifts * stride;
}

static void place_all(sweep *s)
{
    const pel__ndsafir_tile *k = s->k;
    const int64_t kept = length(s->kept[0]) * length(s->kept[1]), left = pel__ndsafir_left(k), *p = k->patch;
    const int64_t state = kept * s->count * k->stride[PEL__NY] * 2 * p[PEL__NY];
    float *memory = k->scratch + PEL__ND_VECTOR;
    s->sums = memory;
    memory += state;
    if (k->aggregate) {
        s->weight_sums = memory;
        memory += state;
    }
    memory = place(&s->line, memory, s, kept, PEL__ND_GROUP);
    memory += 2 * PEL__ND_VECTOR; /* read beyond its end */
    s->weights_memory = memory;
    memory = place(&s->weights, memory, s, kept, s->count);
    s->weights.at += left + (k->aggregate ? p[PEL__NX] : 0);
    if (k->aggregate) {
        memory = place(&s->finals, memory, s, kept, s->count);
        s->finals.at += left;
    }
    memset(s->weights_memory, 0, (size_t)(memory - s->weights_memory) * sizeof *memory); /* what is never written */
    s->planes = memory + 2 * PEL__ND_VECTOR;
}

/* Planes and rows are set. */
static void sweep_rows(sweep *s)
{
    const pel__ndsafir_tile *k = s->k;
    const int64_t p = k->patch[PEL__NY], lag = k->aggregate ? 2 * p : p;
    const int64_t most = k->channels > 1 ? 2 : GROUP, groups = (s->count + most - 1) / most;
    place_all(s);
    const int64_t from = s->wanted[2].from - lag, start = from - ((from - k->low[PEL__NY]) & 1);
    for (int64_t r = start, turn = 0; r - lag < s->wanted[2].to; r += 2, turn++) {
        for (int64_t i = 0, first = 0; i < groups; i++) {
            const int64_t count = (s->count - first + groups - i - 1) / (groups - i);
            const group g = group_of(s, first, count);
            make_weights(s, &g, r, turn);
            if (k->aggregate)
                make_finals(s, &g, r - p, turn);
            first += count;
        }
        for (int i = 0; i < 2; i++) {
            if (within(s->wanted[2], r - lag + i))
                TIMED(AVERAGING, 0, average_both(s, r - lag + i, i));
        }
    }
}

/* Where pairs of planes from t on are wanted, up to t_end. */
static void one_sweep(sweep *s, range t)
{
    const pel__ndsafir_tile *k = s->k;
    s->wanted[0] = t;
    for (int a = 0; a < PEL__NX; a++) {
        const range image = in_image(k, a, s->d[a], s->d[a]);
        const int64_t grow = k->aggregate ? k->patch[a] : 0;
        if (a > 0)
            s->wanted[a] = both(in_tile(s, a, s->d[a], s->d[a]), image);
        s->kept[a] = grown(s->wanted[a], grow);
        s->made[a] = both(s->kept[a], image);
        if (length(s->wanted[a]) == 0)
            return;
    }
    sweep_rows(s);
}

/* Frame by frame, unless the patch has several. */
static void one_line(const pel__ndsafir_tile *k, int64_t dt, int64_t dz, int64_t dy)
{
    const int64_t x = dt || dz || dy ? -k->radius[PEL__NX] : 1;
    sweep s = {.k = k, .d = {dt, dz, dy, x}, .count = k->radius[PEL__NX] - x + 1, .first = true, .second = true};
    s.offset = input_at(k, dt, dz, dy);
    const range t = both(in_tile(&s, PEL__NT, dt, dt), in_image(k, PEL__NT, dt, dt));
    if (s.count <= 0)
        return;
    if (k->patch[PEL__NT] > 0)
        one_sweep(&s, t);
    for (int64_t i = t.from; i < t.to && k->patch[PEL__NT] == 0; i++) {
        s.first = i >= 0 && i < k->n[PEL__NT];
        s.second = i + dt >= 0 && i + dt < k->n[PEL__NT];
        if (s.first || s.second)
            one_sweep(&s, (range){i, i + 1});
    }
}

/* In how many patches of the image a voxel lies, along one axis. */
INLINE int64_t patches(const pel__ndsafir_tile *k, int axis, int64_t at)
{
    return lowest(at + k->patch[axis] + 1, k->high[axis]) - highest(at - k->patch[axis], k->low[axis]);
}

/* The centre itself: weight 1, or, aggregated, once a patch. */
static void begin(const pel__ndsafir_tile *k)
{
    const int64_t *n = k->n, width = pel__ndsafir_padded(n[PEL__NX]);
    float *const across = k->scratch; /* patches along x */
    for (int64_t x = 0; x < width; x++)
        across[x] = k->aggregate && x < n[PEL__NX] ? (float)patches(k, PEL__NX, x) : 1.0f;
    for (int64_t row = 0; row < n[PEL__NT] * n[PEL__NZ] * n[PEL__NY]; row++) {
        const int64_t y = row % n[PEL__NY], z = row / n[PEL__NY] % n[PEL__NZ], t = row / n[PEL__NY] / n[PEL__NZ];
        const float *raw = k->y + input_at(k, t, z, y);
        const int64_t count = k->aggregate ? patches(k, PEL__NT, t) * patches(k, PEL__NZ, z) * patches(k, PEL__NY, y) : 1;
        float *num = k->estimate + row * width, *den = k->precision + row * width, *squares = k->width + row * width;
        for (int64_t x = 0; x < width; x += PEL_LANES) {
            const vf weights = splat((float)count) * load(across + x);
            store(den + x, weights);
            store(squares + x, weights);
            for (int64_t c = 0; c < k->channels; c++)
                store(num + c * k->result + x, load(raw + c * k->input + x) * weights);
        }
    }
}

/* From sums to estimate, precision, width: num/den, 1/v and rho sqrt(v), v = squares/den^2. */
static void end(const pel__ndsafir_tile *k)
{
    for (int64_t i = 0; i < k->result; i += PEL_LANES) {
        const vf den = load(k->precision + i), inv = inverse(den);
        for (int64_t c = 0; c < k->channels; c++) {
            float *const at = k->estimate + c * k->result + i;
            const vf num = load(at), guess = num * inv;
            store(at, fused(fused(-guess, den, num), inv, guess));
        }
        if (k->last)
            continue;
        const vf v = (load(k->width + i) * inv) * inv, root = inverse_root(v);
        store(k->precision + i, root * root);
        store(k->width + i, splat(k->rho) * (v * root));
    }
}

void PEL_KERNEL(const pel__ndsafir_tile *k)
{
    const int64_t *r = k->radius;
    begin(k);
    for (int64_t t = 0; t <= r[PEL__NT]; t++) {
        for (int64_t z = t ? -r[PEL__NZ] : 0; z <= r[PEL__NZ]; z++) {
            for (int64_t y = t || z ? -r[PEL__NY] : 0; y <= r[PEL__NY]; y++) {
                if (k->stop && atomic_load_explicit(k->stop, memory_order_relaxed))
                    return;
                one_line(k, t, z, y);
            }
        }
    }
    end(k);
}
