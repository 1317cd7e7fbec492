/* SPDX-License-Identifier: MIT
 * ND-SAFIR on one tile, in the shift form: for each displacement d of half the window, the weights of all pairs
 * (x, x + d) of the tile are made together, from squared differences, box sums over the patch and an exponential.
 * A pair's weight serves both ends, so that the other half of the window comes for free: the weight of x and x - d is
 * the one of the pair that begins at x - d, wherever that is computed.
 *
 * The cost does not depend on the patch, and every sum has a fixed order that depends on nothing but the voxel: box
 * sums are trees over the patch (no running sums), candidates come in the order of d, first x + d, then x - d. Hence
 * the bits do not depend on the tile. Lanes right of a row's end compute with garbage that nobody reads.
 *
 * Compiled once an instruction set, with PEL_LANES and PEL_KERNEL given. */
#include "filter/ndsafir_kernel.h"

#include "filter/ndsafir_lanes.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* Planes (t, z) of rows y, laid out as the tile's inputs along x. */
typedef struct stage {
    float *base;
    int64_t t0, z0, y0, planes_z, rows, stride;
} stage;

typedef struct job {
    const pel__ndsafir_tile *k;
    stage sums;     /* box sums along y */
    stage weights;
    float *line;    /* sums over the planes of the patch, one row */
    int64_t d[PEL__ND], offset; /* this displacement; the same in elements of u */
    bool both;      /* pairs of the tile and of the tile moved by -d are made in one go … */
    bool moved;     /* … or these are the pairs of the moved tile only */
} job;

typedef struct box {
    int64_t y0, y1, x0, x1;
} box;

INLINE int64_t lowest(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t highest(int64_t a, int64_t b) { return a > b ? a : b; }

static float *row_of(const stage *s, int64_t t, int64_t z, int64_t y)
{
    return s->base + (((t - s->t0) * s->planes_z + (z - s->z0)) * s->rows + (y - s->y0)) * s->stride;
}

/* First vector that covers x. */
INLINE int64_t first_lane(int64_t x)
{
    return x >= 0 ? x / PEL_LANES * PEL_LANES : -((-x + PEL_LANES - 1) / PEL_LANES * PEL_LANES);
}

/* ---- where ------------------------------------------------------------------------------------------------- */

/* Pairs whose ends both lie in the image begin in [*low, *high) along an axis. */
INLINE void valid(const job *j, int axis, int64_t *low, int64_t *high)
{
    *low = j->k->low[axis] - lowest(j->d[axis], 0);
    *high = j->k->high[axis] - highest(j->d[axis], 0);
}

/* Whether row (t, z, y) holds any such pair. */
static bool in_image(const job *j, int64_t t, int64_t z, int64_t y)
{
    const int64_t at[PEL__NX] = {t, z, y};
    for (int a = 0; a < PEL__NX; a++) {
        int64_t low, high;
        valid(j, a, &low, &high);
        if (at[a] < low || at[a] >= high)
            return false;
    }
    return true;
}

/* The area of pairs that a stage must hold: tile or moved tile grown by `grow`, cut at the image (but for x) where
 * `cut`, then grown by `reach`. */
typedef struct area {
    int64_t grow[PEL__ND], reach[PEL__ND];
    bool cut;
} area;

/* What part of plane (t, z) the tile (moved by -d) needs, united with *b. */
static void unite(box *b, const job *j, bool moved, const area *r, int64_t t, int64_t z)
{
    const int64_t at[2] = {t, z};
    int64_t from[PEL__ND], to[PEL__ND];
    for (int a = 0; a < PEL__ND; a++) {
        from[a] = (moved ? -j->d[a] : 0) - r->grow[a];
        to[a] = from[a] + j->k->n[a] + 2 * r->grow[a];
        if (r->cut && a != PEL__NX) {
            int64_t low, high;
            valid(j, a, &low, &high);
            from[a] = highest(from[a], low);
            to[a] = lowest(to[a], high);
        }
        if (from[a] >= to[a])
            return;
        from[a] -= r->reach[a];
        to[a] += r->reach[a];
        if (a < 2 && (at[a] < from[a] || at[a] >= to[a]))
            return;
    }
    if (b->y1 <= b->y0)
        *b = (box){from[PEL__NY], to[PEL__NY], from[PEL__NX], to[PEL__NX]};
    else
        *b = (box){lowest(b->y0, from[PEL__NY]), highest(b->y1, to[PEL__NY]), lowest(b->x0, from[PEL__NX]), highest(b->x1, to[PEL__NX])};
}

/* Where pairs begin that this job needs on plane (t, z). Empty: y1 <= y0. */
static box needed(const job *j, const area *r, int64_t t, int64_t z)
{
    box b = {0};
    if (j->both || !j->moved)
        unite(&b, j, false, r, t, z);
    if (j->both || j->moved)
        unite(&b, j, true, r, t, z);
    return b;
}

/* Planes that this job may need, grown: [low, high) along t and z. */
static void plane_range(const job *j, const int64_t grow[2], int64_t low[2], int64_t high[2])
{
    for (int a = PEL__NT; a <= PEL__NZ; a++) {
        const int64_t d = j->d[a];
        low[a] = (j->both ? lowest(0, -d) : j->moved ? -d : 0) - grow[a];
        high[a] = (j->both ? highest(0, -d) : j->moved ? -d : 0) + j->k->n[a] + grow[a];
    }
}

static void place(stage *s, const job *j, const int64_t grow[PEL__ND], float *memory)
{
    int64_t low[2], high[2];
    plane_range(j, grow, low, high);
    const int64_t up = j->both ? highest(0, j->d[PEL__NY]) : j->moved ? j->d[PEL__NY] : 0;
    const int64_t down = j->both ? lowest(0, j->d[PEL__NY]) : j->moved ? j->d[PEL__NY] : 0;
    s->stride = j->k->stride[PEL__NY];
    s->t0 = low[PEL__NT];
    s->z0 = low[PEL__NZ];
    s->y0 = -up - grow[PEL__NY];
    s->planes_z = high[PEL__NZ] - low[PEL__NZ];
    s->rows = j->k->n[PEL__NY] + up - down + 2 * grow[PEL__NY];
    s->base = memory + pel__ndsafir_left(j->k);
}

/* ---- box sums along y -------------------------------------------------------------------------------------- */

/* Sums of two, four and eight rows that ended one, two, … rows ago. */
typedef struct history {
    vf e1, two1, two2, four1, four2, four3, four4, eight1;
} history;

/* Takes row e, returns the sum of the last 2 p + 1 rows: the tree of tree_sum(). */
INLINE vf push(history *h, vf e, const int p)
{
    const vf two = h->e1 + e, four = h->two2 + two, eight = h->four4 + four;
    const vf sum = p == 0 ? e : p == 1 ? h->two1 + e : p == 2 ? h->four1 + e : p == 3 ? h->four3 + (h->two1 + e) : h->eight1 + e;
    h->eight1 = eight;
    h->four4 = h->four3;
    h->four3 = h->four2;
    h->four2 = h->four1;
    h->four1 = four;
    h->two2 = h->two1;
    h->two1 = two;
    h->e1 = e;
    return sum;
}

/* One row of what is summed: squared differences over u and q, or weights where q is NULL. */
INLINE vf summand(const float *u, const float *q, int64_t offset, bool odd)
{
    if (!q)
        return load(u);
    const vf difference = load(u) - load(u + offset);
    const vf e = (difference * difference) * (load(q) + load(q + offset));
    return odd ? where_number(e, e) : e;
}

typedef struct column {
    const float *u, *q;  /* first row that enters; q NULL: sum u itself */
    int64_t stride, offset, rows;
    float *sum;          /* row of the first sum */
    int64_t sum_stride;
} column;

INLINE void sum_column(const column *c, const int p, const bool plain, const bool odd)
{
    history h = {0};
    const float *u = c->u, *q = plain ? NULL : c->q;
    float *sum = c->sum;
    for (int i = 0; i < 2 * p; i++) {
        (void)push(&h, summand(u, q, c->offset, odd), p);
        u += c->stride;
        q = plain ? NULL : q + c->stride;
    }
    for (int64_t y = 0; y < c->rows; y++) {
        store(sum, push(&h, summand(u, q, c->offset, odd), p));
        u += c->stride;
        q = plain ? NULL : q + c->stride;
        sum += c->sum_stride;
    }
}

/* Any p: the last 2 p + 1 rows kept and added from the oldest. */
static void sum_column_slow(const column *c, const int64_t p, const bool odd)
{
    vf kept[2 * PEL__ND_MAX_PATCH + 1];
    const int64_t n = 2 * p + 1;
    for (int64_t y = 0; y < c->rows + 2 * p; y++) {
        kept[y % n] = summand(c->u + y * c->stride, c->q ? c->q + y * c->stride : NULL, c->offset, odd);
        if (y < 2 * p)
            continue;
        vf sum = kept[(y + 1) % n];
        for (int64_t i = 2; i <= n; i++)
            sum += kept[(y + i) % n];
        store(c->sum + (y - 2 * p) * c->sum_stride, sum);
    }
}

static void sum_columns(const column *c, int64_t p, bool odd)
{
    switch (p * 4 + (c->q ? 0 : 2) + odd) {
    case 0: sum_column(c, 0, false, false); break;
    case 1: sum_column(c, 0, false, true); break;
    case 4: sum_column(c, 1, false, false); break;
    case 5: sum_column(c, 1, false, true); break;
    case 8: sum_column(c, 2, false, false); break;
    case 9: sum_column(c, 2, false, true); break;
    case 12: sum_column(c, 3, false, false); break;
    case 13: sum_column(c, 3, false, true); break;
    case 16: sum_column(c, 4, false, false); break;
    case 17: sum_column(c, 4, false, true); break;
    case 2: case 3: sum_column(c, 0, true, false); break;
    case 6: case 7: sum_column(c, 1, true, false); break;
    case 10: case 11: sum_column(c, 2, true, false); break;
    case 14: case 15: sum_column(c, 3, true, false); break;
    case 18: case 19: sum_column(c, 4, true, false); break;
    default: sum_column_slow(c, p, odd);
    }
}

/* Fills j->sums with box sums along y over the planes that the box along t and z will want: of squared differences,
 * or of j->weights. */
static void vertical(const job *j, const int64_t grow[PEL__ND], bool of_weights)
{
    const pel__ndsafir_tile *k = j->k;
    const int64_t *p = k->patch;
    const area r = {.grow = {grow[0], grow[1], grow[2], grow[3]}, .reach = {p[0], p[1], 0, p[3]}, .cut = true};
    int64_t low[2], high[2];
    plane_range(j, (const int64_t[]){grow[0] + p[0], grow[1] + p[1]}, low, high);
    for (int64_t t = low[0]; t < high[0]; t++) {
        for (int64_t z = low[1]; z < high[1]; z++) {
            const box b = needed(j, &r, t, z);
            if (b.y1 <= b.y0)
                continue;
            const int64_t in = t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + (b.y0 - p[PEL__NY]) * k->stride[PEL__NY];
            const float *u = of_weights ? row_of(&j->weights, t, z, b.y0 - p[PEL__NY]) : k->u + in;
            column c = {.stride = k->stride[PEL__NY], .offset = j->offset, .rows = b.y1 - b.y0, .sum_stride = j->sums.stride};
            for (int64_t x = first_lane(b.x0); x < b.x1; x += PEL_LANES) {
                c.u = u + x;
                c.q = of_weights ? NULL : k->q + in + x;
                c.sum = row_of(&j->sums, t, z, b.y0) + x;
                sum_columns(&c, p[PEL__NY], k->odd);
            }
        }
    }
}

/* ---- box sums along t, z and x, and weights ---------------------------------------------------------------- */

/* Sum of 2 p + 1 neighbours along x, as push() adds rows: ((0+1)+(2+3)) + ((4+5)+6). */
INLINE vf tree_sum(const float *s, const int64_t p)
{
    if (p == 0)
        return load(s);
    const vf a = load(s - p) + load(s - p + 1);
    if (p == 1)
        return a + load(s + 1);
    if (p > 4) {
        vf sum = a;
        for (int64_t i = 2 - p; i <= p; i++)
            sum += load(s + i);
        return sum;
    }
    const vf b = a + (load(s - p + 2) + load(s - p + 3));
    if (p == 2)
        return b + load(s + 2);
    const vf c = load(s - p + 4) + load(s - p + 5);
    if (p == 3)
        return b + (c + load(s + 3));
    return (b + (c + (load(s + 2) + load(s + 3)))) + load(s + 4);
}

INLINE void finish_row(float *w, const float *s, int64_t x0, int64_t x1, const int64_t p, const bool weigh)
{
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        const vf sum = tree_sum(s + x, p);
        store(w + x, weigh ? weight_of(sum) : sum);
    }
}

static void finish_rows(float *w, const float *s, int64_t x0, int64_t x1, int64_t p, bool weigh)
{
    switch (weigh ? p : -1 - p) {
    case 0: finish_row(w, s, x0, x1, 0, true); break;
    case 1: finish_row(w, s, x0, x1, 1, true); break;
    case 2: finish_row(w, s, x0, x1, 2, true); break;
    case 3: finish_row(w, s, x0, x1, 3, true); break;
    case 4: finish_row(w, s, x0, x1, 4, true); break;
    case -1: finish_row(w, s, x0, x1, 0, false); break;
    case -2: finish_row(w, s, x0, x1, 1, false); break;
    case -3: finish_row(w, s, x0, x1, 2, false); break;
    case -4: finish_row(w, s, x0, x1, 3, false); break;
    case -5: finish_row(w, s, x0, x1, 4, false); break;
    default: finish_row(w, s, x0, x1, p, weigh);
    }
}

/* Sum of j->sums over the planes of the patch around (t, z), row y. */
static const float *across_planes(const job *j, int64_t t, int64_t z, int64_t y, int64_t x0, int64_t x1)
{
    const int64_t pt = j->k->patch[PEL__NT], pz = j->k->patch[PEL__NZ];
    if (pt == 0 && pz == 0)
        return row_of(&j->sums, t, z, y);
    const int64_t plane = j->sums.rows * j->sums.stride;
    const float *first = row_of(&j->sums, t - pt, z - pz, y);
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        vf sum = load(first + x);
        for (int64_t a = 0; a <= 2 * pt; a++) {
            for (int64_t b = a == 0; b <= 2 * pz; b++)
                sum += load(first + (a * j->sums.planes_z + b) * plane + x);
        }
        store(j->line + x, sum);
    }
    return j->line;
}

/* Zeroes w where a pair does not lie within the image: [x0, x1) of row y of plane (t, z). */
static void cut_at_image(const job *j, float *w, int64_t x0, int64_t x1)
{
    int64_t low, high;
    valid(j, PEL__NX, &low, &high);
    for (int64_t x = x0; x < lowest(low, x1); x++)
        w[x] = 0;
    for (int64_t x = highest(x0, high); x < x1; x++)
        w[x] = 0;
}

/* Zeroes w where either end of the pair is to be left out. */
static void cut_odd(const job *j, float *w, int64_t at, int64_t x0, int64_t x1)
{
    const float *u = j->k->u + at;
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        const vf ends = load(u + x) + load(u + x + j->offset);
        store(w + x, where_number(ends, load(w + x)));
    }
}

/* From j->sums to j->weights: weights of pairs, or (not weigh) their sums over the patch. Weights to be summed are zero
 * where they leave the image; others are not read there. */
static void horizontal(const job *j, const int64_t grow[PEL__ND], bool weigh)
{
    const pel__ndsafir_tile *k = j->k;
    const area r = {.grow = {grow[0], grow[1], grow[2], grow[3]}, .cut = !(k->aggregate && weigh)};
    int64_t low[2], high[2];
    plane_range(j, grow, low, high);
    for (int64_t t = low[0]; t < high[0]; t++) {
        for (int64_t z = low[1]; z < high[1]; z++) {
            const box b = needed(j, &r, t, z);
            const int64_t x0 = first_lane(b.x0), p = k->patch[PEL__NX];
            for (int64_t y = b.y0; y < b.y1; y++) {
                float *w = row_of(&j->weights, t, z, y);
                if (!in_image(j, t, z, y)) {
                    memset(w + x0, 0, (size_t)(first_lane(b.x1 - 1) + PEL_LANES - x0) * sizeof *w);
                    continue;
                }
                const float *s = across_planes(j, t, z, y, first_lane(b.x0 - p), b.x1 + p);
                finish_rows(w, s, x0, b.x1, p, weigh);
                if (k->odd)
                    cut_odd(j, w, t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + y * k->stride[PEL__NY], x0, b.x1);
                cut_at_image(j, w, b.x0, b.x1);
            }
        }
    }
}

/* ---- averages ---------------------------------------------------------------------------------------------- */

typedef struct accumulator {
    float *num, *den, *squares; /* of one row */
    const float *w1, *y1, *w2, *y2; /* weights and data of x + d and of x - d; NULL: not now */
} accumulator;

INLINE void add_row(const accumulator *a, int64_t n, const bool one, const bool two, const bool squares)
{
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        vf num = load(a->num + x), den = load(a->den + x), ss = squares ? load(a->squares + x) : (vf){0};
        if (one) {
            const vf w = load(a->w1 + x);
            num = fused(w, load(a->y1 + x), num);
            den += w;
            ss = fused(w, w, ss);
        }
        if (two) {
            const vf w = load(a->w2 + x);
            num = fused(w, load(a->y2 + x), num);
            den += w;
            ss = fused(w, w, ss);
        }
        store(a->num + x, num);
        store(a->den + x, den);
        if (squares)
            store(a->squares + x, ss);
    }
}

static void accumulate(const job *j)
{
    const pel__ndsafir_tile *k = j->k;
    const int64_t *n = k->n, *d = j->d, width = pel__ndsafir_padded(n[PEL__NX]);
    const bool squares = !k->aggregate;
    for (int64_t row = 0; row < n[PEL__NT] * n[PEL__NZ] * n[PEL__NY]; row++) {
        const int64_t y = row % n[PEL__NY], z = row / n[PEL__NY] % n[PEL__NZ], t = row / n[PEL__NY] / n[PEL__NZ];
        const float *raw = k->y + t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + y * k->stride[PEL__NY];
        const bool one = (j->both || !j->moved) && in_image(j, t, z, y);
        const bool two = (j->both || j->moved) && in_image(j, t - d[PEL__NT], z - d[PEL__NZ], y - d[PEL__NY]);
        accumulator a = {.num = k->estimate + row * width, .den = k->precision + row * width, .squares = k->width + row * width};
        a.y1 = raw + j->offset;
        a.y2 = raw - j->offset;
        if (one)
            a.w1 = row_of(&j->weights, t, z, y);
        if (two)
            a.w2 = row_of(&j->weights, t - d[PEL__NT], z - d[PEL__NZ], y - d[PEL__NY]) - d[PEL__NX];
        if (one && two)
            squares ? add_row(&a, n[PEL__NX], true, true, true) : add_row(&a, n[PEL__NX], true, true, false);
        else if (one || two)
            add_row(&a, n[PEL__NX], one, two, squares);
    }
}

/* ---- one displacement, all displacements ------------------------------------------------------------------- */

static void pairs(job *j, float *memory)
{
    static const int64_t none[PEL__ND] = {0};
    const pel__ndsafir_tile *k = j->k;
    const int64_t *p = k->patch, *grow = k->aggregate ? p : none;
    const int64_t sums_grow[PEL__ND] = {grow[0] + p[0], grow[1] + p[1], grow[2], grow[3] + p[3]};
    place(&j->weights, j, grow, memory);
    place(&j->sums, j, sums_grow, memory + pel__ndsafir_stage(k));
    vertical(j, grow, false);
    horizontal(j, grow, true);
    if (k->aggregate) {
        vertical(j, none, true);
        horizontal(j, none, false);
    }
    accumulate(j);
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
    for (int64_t row = 0; row < n[PEL__NT] * n[PEL__NZ] * n[PEL__NY]; row++) {
        const int64_t y = row % n[PEL__NY], z = row / n[PEL__NY] % n[PEL__NZ], t = row / n[PEL__NY] / n[PEL__NZ];
        const float *raw = k->y + t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + y * k->stride[PEL__NY];
        const int64_t count = patches(k, PEL__NT, t) * patches(k, PEL__NZ, z) * patches(k, PEL__NY, y);
        for (int64_t x = 0; x < width; x++) {
            const float w = k->aggregate && x < n[PEL__NX] ? (float)(count * patches(k, PEL__NX, x)) : 1.0f;
            k->estimate[row * width + x] = w * raw[x];
            k->precision[row * width + x] = w;
            k->width[row * width + x] = w;
        }
    }
}

/* From sums to estimate, precision, width. */
static void end(const pel__ndsafir_tile *k)
{
    const int64_t *n = k->n, count = n[PEL__NT] * n[PEL__NZ] * n[PEL__NY] * pel__ndsafir_padded(n[PEL__NX]);
    float *restrict num = k->estimate, *restrict den = k->precision, *restrict squares = k->width;
    const float rho = k->rho;
    for (int64_t i = 0; i < count && k->aggregate; i++)
        num[i] = num[i] / den[i];
    for (int64_t i = 0; i < count && !k->aggregate; i++) {
        const float s = squares[i], d = den[i];
        num[i] = num[i] / d;
        den[i] = d * d / s;
        squares[i] = rho * (__builtin_sqrtf(s) / d);
    }
}

static void one_displacement(job *j)
{
    const pel__ndsafir_tile *k = j->k;
    const int64_t *d = j->d;
    j->offset = d[PEL__NT] * k->stride[PEL__NT] + d[PEL__NZ] * k->stride[PEL__NZ] + d[PEL__NY] * k->stride[PEL__NY] + d[PEL__NX];
    /* Where tile and moved tile share no plane there is nothing to share: less memory in two goes. */
    j->both = d[PEL__NT] < k->n[PEL__NT] && d[PEL__NZ] < k->n[PEL__NZ] && -d[PEL__NZ] < k->n[PEL__NZ];
    for (int go = 0; go < (j->both ? 1 : 2); go++) {
        j->moved = go == 1;
        pairs(j, k->scratch);
    }
}

void PEL_KERNEL(const pel__ndsafir_tile *k)
{
    const int64_t *r = k->radius;
    job j = {.k = k};
    j.line = k->scratch + 2 * pel__ndsafir_stage(k) + pel__ndsafir_left(k);
    begin(k);
    for (int64_t t = 0; t <= r[PEL__NT]; t++) {
        for (int64_t z = t ? -r[PEL__NZ] : 0; z <= r[PEL__NZ]; z++) {
            for (int64_t y = t || z ? -r[PEL__NY] : 0; y <= r[PEL__NY]; y++) {
                if (k->stop && atomic_load_explicit(k->stop, memory_order_relaxed))
                    return;
                for (int64_t x = t || z || y ? -r[PEL__NX] : 1; x <= r[PEL__NX]; x++) {
                    memcpy(j.d, (const int64_t[]){t, z, y, x}, sizeof j.d);
                    one_displacement(&j);
                }
            }
        }
    }
    end(k);
}
