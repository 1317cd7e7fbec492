/* SPDX-License-Identifier: MIT
 * ND-SAFIR on one tile, in the shift form: for each displacement d of half the window, the weights of all pairs
 * (x, x + d) of the tile are made together, from squared differences, box sums over the patch and an exponential.
 * A pair's weight serves both ends, so that the other half of the window comes for free: the weight of x and x - d is
 * the one of the pair that begins at x - d, wherever that is computed.
 *
 * The cost does not depend on the patch, and every sum has a fixed order that depends on nothing but the voxel: box
 * sums are trees over the patch (no running sums), candidates come in the order of d, in groups: first all x + d of a
 * group, then all its x - d. Hence the bits do not depend on the tile. Lanes right of a row's end compute with garbage
 * that nobody reads.
 *
 * A group is up to PEL__ND_GROUP neighbouring displacements along x, so that what they share is loaded once. Planes
 * (t, z) pass through in order, and each intermediate array keeps just the planes that are still wanted, so that all of
 * it stays in the second-level cache.
 *
 * Compiled once an instruction set, with PEL_LANES and PEL_KERNEL given. */
#include "filter/ndsafir_kernel.h"

#include "filter/ndsafir_lanes.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define AT_ONCE (PEL_LANES == 16 ? 4 : PEL_LANES == 8 ? 2 : 1) /* displacements whose sums fit into the registers */

/* Some planes (t, z) of rows y, one of each for every displacement of the group; rows as the tile's inputs along x. */
typedef struct stage {
    float *base;
    int64_t slots, rows, y0, stride;
} stage;

typedef struct job {
    const pel__ndsafir_tile *k;
    int64_t d[PEL__ND], offset; /* the first displacement of the group; the same in elements of u */
    int32_t count;              /* displacements in the group: d, d + (0, 0, 0, 1), … */
    bool both;                  /* pairs of the tile and of the tile moved by -d are made in one go … */
    bool moved;                 /* … or these are the pairs of the moved tile only */
    int64_t low[2], high[2];    /* planes that pass, along t and z */
    stage sums, weights, weight_sums, finals; /* sums along y; the last two only where aggregated */
    float *line;                /* sums over the planes of the patch, one row */
} job;

typedef struct box {
    int64_t y0, y1, x0, x1;
    int64_t zero0, zero1; /* along x with what leaves the image, which is zero */
} box;

INLINE int64_t lowest(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t highest(int64_t a, int64_t b) { return a > b ? a : b; }

/* Row y = s->y0 of plane (t, z) for displacement g of the group. */
static float *plane_of(const job *j, const stage *s, int64_t t, int64_t z, int g)
{
    assert(s->slots > 0);
    const int64_t place = (t - j->low[0]) * (j->high[1] - j->low[1]) + (z - j->low[1]);
    return s->base + (place % s->slots * PEL__ND_GROUP + g) * s->rows * s->stride;
}

INLINE int64_t plane_size(const stage *s) { return s->rows * s->stride; }

/* First vector that covers x. */
INLINE int64_t first_lane(int64_t x)
{
    return x >= 0 ? x / PEL_LANES * PEL_LANES : -((-x + PEL_LANES - 1) / PEL_LANES * PEL_LANES);
}

/* ---- where ------------------------------------------------------------------------------------------------- */

/* Pairs whose ends both lie in the image begin in [*low, *high) along this axis, those of one displacement at least. */
INLINE void valid(const job *j, int axis, int64_t *low, int64_t *high)
{
    *low = j->k->low[axis] - lowest(j->d[axis] + (axis == PEL__NX ? j->count - 1 : 0), 0);
    *high = j->k->high[axis] - highest(j->d[axis], 0);
}

/* Whether plane (t, z), row (t, z, y) hold any such pair. */
static bool plane_in_image(const job *j, int64_t t, int64_t z)
{
    int64_t low[2], high[2];
    valid(j, PEL__NT, &low[0], &high[0]);
    valid(j, PEL__NZ, &low[1], &high[1]);
    return t >= low[0] && t < high[0] && z >= low[1] && z < high[1];
}

static bool in_image(const job *j, int64_t t, int64_t z, int64_t y)
{
    int64_t low, high;
    valid(j, PEL__NY, &low, &high);
    return y >= low && y < high && plane_in_image(j, t, z);
}

/* The area of pairs that a stage must hold: tile or moved tile grown by `grow`, cut at the image (along x always)
 * where `cut`, then grown by `reach`. */
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
        const int64_t last = moved && a == PEL__NX ? j->count - 1 : 0;
        from[a] = (moved ? -j->d[a] - last : 0) - r->grow[a];
        to[a] = from[a] + last + j->k->n[a] + 2 * r->grow[a];
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
        *b = (box){from[PEL__NY], to[PEL__NY], .zero0 = from[PEL__NX], .zero1 = to[PEL__NX]};
    else
        *b = (box){lowest(b->y0, from[PEL__NY]), highest(b->y1, to[PEL__NY]), .zero0 = lowest(b->zero0, from[PEL__NX]), .zero1 = highest(b->zero1, to[PEL__NX])};
}

/* Where pairs begin that this job needs on plane (t, z). Empty: y1 <= y0. */
static box needed(const job *j, const area *r, int64_t t, int64_t z)
{
    box b = {0};
    if (j->both || !j->moved)
        unite(&b, j, false, r, t, z);
    if (j->both || j->moved)
        unite(&b, j, true, r, t, z);
    int64_t low, high;
    valid(j, PEL__NX, &low, &high);
    b.x0 = lowest(highest(b.zero0, low - r->reach[PEL__NX]), b.zero1);
    b.x1 = highest(lowest(b.zero1, high + r->reach[PEL__NX]), b.x0);
    return b;
}

/* ---- box sums along y -------------------------------------------------------------------------------------- */

/* Sums of two, four and eight rows that ended one, two, … rows ago. */
typedef struct history {
    vf e1, two1, two2, four1, four2, four3, four4, eight1;
} history;

/* Takes row e, returns the sum of the last 2 p + 1 rows: the tree of finish_row(). */
INLINE vf push(history *h, vf e, const int p)
{
    const vf two = added(h->e1, e), four = h->two2 + two, eight = h->four4 + four;
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

typedef struct column {
    const float *u, *q;  /* first row that enters; q NULL: sum u itself */
    int64_t stride, offset, rows;
    float *sum;          /* row of the first sum */
    int64_t sum_stride, sum_plane;
    bool odd;
} column;

/* What is summed: squared differences over u and q, or u itself. */
INLINE vf summand(vf u, vf q, const float *p, int64_t q_minus_u, bool odd)
{
    const vf difference = u - load(p), e = (difference * difference) * added(q, load(p + q_minus_u));
    return odd ? where_number(e, e) : e;
}

/* One row of `count` neighbouring displacements, one vector wide. */
INLINE void sum_row(const column *c, history *h, const float *u, float *sum, const int p, const int count, const bool odd)
{
    const int64_t q_minus_u = c->q - c->u;
    const vf u0 = load(u), q0 = load(u + q_minus_u);
#pragma GCC unroll 4
    for (int g = 0; g < count; g++) {
        const vf s = push(&h[g], summand(u0, q0, u + c->offset + g, q_minus_u, odd), p);
        if (sum)
            store(sum + g * c->sum_plane, s);
    }
}

/* Six rows a turn: then the sums of up to three rows ago are back in their registers without a move. */
INLINE void sum_column(const column *given, const int p, const int count, const bool odd)
{
    const column c = *given;
    history h[4] = {0};
    const float *u = c.u;
    float *sum = c.sum;
    int64_t rows = c.rows;
#pragma GCC unroll 8
    for (int i = 0; i < 2 * p; i++, u += c.stride)
        sum_row(&c, h, u, NULL, p, count, odd);
    for (; rows >= 6; rows -= 6) {
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++, u += c.stride, sum += c.sum_stride)
            sum_row(&c, h, u, sum, p, count, odd);
    }
    for (; rows > 0; rows--, u += c.stride, sum += c.sum_stride)
        sum_row(&c, h, u, sum, p, count, odd);
}

INLINE void sum_column_plain(const column *given, const int p)
{
    const column c = *given;
    history h = {0};
    const float *u = c.u;
    float *sum = c.sum;
    int64_t rows = c.rows;
#pragma GCC unroll 8
    for (int i = 0; i < 2 * p; i++, u += c.stride)
        (void)push(&h, load(u), p);
    for (; rows >= 6; rows -= 6) {
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++, u += c.stride, sum += c.sum_stride)
            store(sum, push(&h, load(u), p));
    }
    for (; rows > 0; rows--, u += c.stride, sum += c.sum_stride)
        store(sum, push(&h, load(u), p));
}

/* Any p: the last 2 p + 1 rows kept and added from the oldest. */
static void sum_column_slow(const column *c, const int64_t p)
{
    vf kept[2 * PEL__ND_MAX_PATCH + 1];
    const int64_t n = 2 * p + 1;
    for (int64_t y = 0; y < c->rows + 2 * p; y++) {
        const float *u = c->u + y * c->stride;
        kept[y % n] = c->q ? summand(load(u), load(u + (c->q - c->u)), u + c->offset, c->q - c->u, c->odd) : load(u);
        if (y < 2 * p)
            continue;
        vf sum = kept[(y + 1) % n];
        for (int64_t i = 2; i <= n; i++)
            sum += kept[(y + i) % n];
        store(c->sum + (y - 2 * p) * c->sum_stride, sum);
    }
}

static void sum_one(const column *c, int64_t p)
{
    switch (c->q ? p * 2 + c->odd : -1 - p) {
    case 0: sum_column(c, 0, 1, false); break;
    case 1: sum_column(c, 0, 1, true); break;
    case 2: sum_column(c, 1, 1, false); break;
    case 3: sum_column(c, 1, 1, true); break;
    case 4: sum_column(c, 2, 1, false); break;
    case 5: sum_column(c, 2, 1, true); break;
    case 6: sum_column(c, 3, 1, false); break;
    case 7: sum_column(c, 3, 1, true); break;
    case 8: sum_column(c, 4, 1, false); break;
    case 9: sum_column(c, 4, 1, true); break;
    case -1: sum_column_plain(c, 0); break;
    case -2: sum_column_plain(c, 1); break;
    case -3: sum_column_plain(c, 2); break;
    case -4: sum_column_plain(c, 3); break;
    case -5: sum_column_plain(c, 4); break;
    default: sum_column_slow(c, p);
    }
}

/* The same for several displacements of pairs at once, at most `count`; returns how many, 0 where none. */
static int sum_several(const column *c, int64_t p, int count)
{
    const int n = count < AT_ONCE ? count : AT_ONCE;
    if (c->odd || n < 2)
        return 0;
    switch (p * 4 + n - 1) {
    case 1: sum_column(c, 0, 2, false); break;
    case 5: sum_column(c, 1, 2, false); break;
    case 9: sum_column(c, 2, 2, false); break;
    case 13: sum_column(c, 3, 2, false); break;
    case 17: sum_column(c, 4, 2, false); break;
#if PEL_LANES == 16
    case 2: sum_column(c, 0, 3, false); break;
    case 3: sum_column(c, 0, 4, false); break;
    case 6: sum_column(c, 1, 3, false); break;
    case 7: sum_column(c, 1, 4, false); break;
    case 10: sum_column(c, 2, 3, false); break;
    case 11: sum_column(c, 2, 4, false); break;
    case 14: sum_column(c, 3, 3, false); break;
    case 15: sum_column(c, 3, 4, false); break;
#endif
    default: return 0;
    }
    return n;
}

/* Box sums along y of plane (t, z): of squared differences into j->sums. */
static void vertical_pairs(const job *j, const area *r, int64_t t, int64_t z)
{
    const pel__ndsafir_tile *k = j->k;
    const int64_t p = k->patch[PEL__NY];
    const box b = needed(j, r, t, z);
    const int64_t in = t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + (b.y0 - p) * k->stride[PEL__NY];
    float *out = plane_of(j, &j->sums, t, z, 0) + (b.y0 - j->sums.y0) * j->sums.stride;
    column c = {.stride = k->stride[PEL__NY], .rows = b.y1 - b.y0, .sum_stride = j->sums.stride, .odd = k->odd};
    c.sum_plane = plane_size(&j->sums);
    for (int64_t x = first_lane(b.x0); x < b.x1 && c.rows > 0; x += PEL_LANES) {
        c.u = k->u + in + x;
        c.q = k->q + in + x;
        for (int g = 0; g < j->count;) {
            c.offset = j->offset + g;
            c.sum = out + g * c.sum_plane + x;
            const int done = sum_several(&c, p, j->count - g);
            if (done == 0)
                sum_one(&c, p);
            g += done ? done : 1;
        }
    }
}

/* … and of j->weights into j->weight_sums. */
static void vertical_weights(const job *j, const area *r, int64_t t, int64_t z)
{
    const int64_t p = j->k->patch[PEL__NY];
    const box b = needed(j, r, t, z);
    column c = {.stride = j->weights.stride, .rows = b.y1 - b.y0, .sum_stride = j->weight_sums.stride};
    for (int g = 0; g < j->count && c.rows > 0; g++) {
        const float *in = plane_of(j, &j->weights, t, z, g) + (b.y0 - p - j->weights.y0) * c.stride;
        float *out = plane_of(j, &j->weight_sums, t, z, g) + (b.y0 - j->weight_sums.y0) * c.sum_stride;
        for (int64_t x = first_lane(b.x0); x < b.x1; x += PEL_LANES) {
            c.u = in + x;
            c.sum = out + x;
            sum_one(&c, p);
        }
    }
}

/* ---- box sums along t, z and x, and weights ---------------------------------------------------------------- */

/* Rows of the planes of the patch, to be added; n of them. */
INLINE vf planes_at(const float *const *rows, const int64_t n, int64_t x)
{
    vf sum = load(rows[0] + x);
    for (int64_t i = 1; i < n; i++)
        sum += load(rows[i] + x);
    return sum;
}

#ifdef SHIFTED
/* Lanes that begin p left of `now`. */
INLINE vf from_left(vf before, vf now, const int p)
{
    return p == 1 ? SHIFTED(before, now, 15) : p == 2 ? SHIFTED(before, now, 14) : p == 3 ? SHIFTED(before, now, 13) : SHIFTED(before, now, 12);
}

/* Sums of 2 p + 1 neighbours along x, each vector loaded once (of a single row from where it is wanted, which is quicker
 * than a shift more); the trees of push(): ((0+1)+(2+3)) + ((4+5)+6). */
INLINE void finish_row(float *w, const float *const *rows, const int64_t n, int64_t x0, int64_t x1, const int p, const bool weigh)
{
    vf next = planes_at(rows, n, x0), a = from_left(planes_at(rows, n, x0 - PEL_LANES), next, p);
    vf later = planes_at(rows, n, x0 + PEL_LANES), b = from_left(next, later, p), two = a + SHIFTED(a, b, 1);
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        next = later;
        if (n > 1)
            later = planes_at(rows, n, x + PEL_LANES + PEL_LANES);
        const vf c = n > 1 ? from_left(next, later, p) : load(rows[0] + x + PEL_LANES + PEL_LANES - p);
        const vf two_b = b + SHIFTED(b, c, 1), four = two + SHIFTED(two, two_b, 2);
        const vf sum = p == 1   ? two + SHIFTED(a, b, 2)
                       : p == 2 ? four + SHIFTED(a, b, 4)
                       : p == 3 ? four + (SHIFTED(two, two_b, 4) + SHIFTED(a, b, 6))
                                : (four + (SHIFTED(two, two_b, 4) + SHIFTED(two, two_b, 6))) + SHIFTED(a, b, 8);
        store(w + x, weigh ? weight_of(sum) : sum);
        a = b;
        b = c;
        two = two_b;
    }
}
#else
/* Sums of 2 p + 1 neighbours along x, the trees of push(): ((0+1)+(2+3)) + ((4+5)+6). n must be 1. */
INLINE void finish_row(float *w, const float *const *rows, const int64_t n, int64_t x0, int64_t x1, const int p, const bool weigh)
{
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        const float *s = rows[0] + x - p;
        const vf two = load(s) + load(s + 1), four = p > 1 ? two + (load(s + 2) + load(s + 3)) : two;
        const vf sum = p == 1   ? two + load(s + 2)
                       : p == 2 ? four + load(s + 4)
                       : p == 3 ? four + ((load(s + 4) + load(s + 5)) + load(s + 6))
                                : (four + ((load(s + 4) + load(s + 5)) + (load(s + 6) + load(s + 7)))) + load(s + 8);
        store(w + x, weigh ? weight_of(sum) : sum);
    }
}
#endif

/* Any p: neighbours added from the left. */
static void finish_row_slow(float *w, const float *s, int64_t x0, int64_t x1, int64_t p, bool weigh)
{
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        vf sum = load(s + x - p);
        for (int64_t i = 1 - p; i <= p; i++)
            sum += load(s + x + i);
        store(w + x, weigh ? weight_of(sum) : sum);
    }
}

/* n is 1 or, where shifts are cheap, 3. */
static void finish_rows(float *w, const float *const *rows, int64_t n, int64_t x0, int64_t x1, int64_t p, bool weigh)
{
    switch (p < 1 || p > 4 ? -1 : p * 4 + (n == 3 ? 2 : 0) + weigh) {
    case 4: finish_row(w, rows, 1, x0, x1, 1, false); break;
    case 5: finish_row(w, rows, 1, x0, x1, 1, true); break;
    case 8: finish_row(w, rows, 1, x0, x1, 2, false); break;
    case 9: finish_row(w, rows, 1, x0, x1, 2, true); break;
    case 12: finish_row(w, rows, 1, x0, x1, 3, false); break;
    case 13: finish_row(w, rows, 1, x0, x1, 3, true); break;
    case 16: finish_row(w, rows, 1, x0, x1, 4, false); break;
    case 17: finish_row(w, rows, 1, x0, x1, 4, true); break;
#ifdef SHIFTED
    case 6: finish_row(w, rows, 3, x0, x1, 1, false); break;
    case 7: finish_row(w, rows, 3, x0, x1, 1, true); break;
    case 10: finish_row(w, rows, 3, x0, x1, 2, false); break;
    case 11: finish_row(w, rows, 3, x0, x1, 2, true); break;
    case 14: finish_row(w, rows, 3, x0, x1, 3, false); break;
    case 15: finish_row(w, rows, 3, x0, x1, 3, true); break;
    case 18: finish_row(w, rows, 3, x0, x1, 4, false); break;
    case 19: finish_row(w, rows, 3, x0, x1, 4, true); break;
#endif
    default: finish_row_slow(w, rows[0], x0, x1, p, weigh);
    }
}

/* Planes of `from` in the patch around (t, z), in order; returns their number. */
static int64_t planes_around(const job *j, const stage *from, int64_t t, int64_t z, int g, const float **planes)
{
    const int64_t pt = j->k->patch[PEL__NT], pz = j->k->patch[PEL__NZ];
    int64_t n = 0;
    for (int64_t a = -pt; a <= pt; a++) {
        for (int64_t b = -pz; b <= pz; b++)
            planes[n++] = plane_of(j, from, t + a, z + b, g);
    }
    return n;
}

/* Fewer rows to add, if need be one: the sum in j->line. From x0 to x1. */
static int64_t add_planes(const job *j, const float **rows, int64_t n, int64_t x0, int64_t x1)
{
#ifdef SHIFTED
    if (n == 3 && j->k->patch[PEL__NX] >= 1 && j->k->patch[PEL__NX] <= 4)
        return n;
#endif
    if (n == 1)
        return n;
    for (int64_t x = x0; x < x1; x += PEL_LANES)
        store(j->line + x, planes_at(rows, n, x));
    rows[0] = j->line;
    return 1;
}

/* Zeroes w where a pair of displacement g does not lie within the image: [x0, x1) of a row. */
static void cut_at_image(const job *j, float *w, int g, int64_t x0, int64_t x1)
{
    const int64_t d = j->d[PEL__NX] + g, low = j->k->low[PEL__NX] - lowest(d, 0), high = j->k->high[PEL__NX] - highest(d, 0);
    for (int64_t x = x0; x < lowest(low, x1); x++)
        w[x] = 0;
    for (int64_t x = highest(x0, high); x < x1; x++)
        w[x] = 0;
}

/* Zeroes w where either end of the pair is to be left out. */
static void cut_odd(float *w, const float *u, int64_t offset, int64_t x0, int64_t x1)
{
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        const vf ends = load(u + x) + load(u + x + offset);
        store(w + x, where_number(ends, load(w + x)));
    }
}

/* From sums along y to weights of pairs, or (not weigh) to sums over the patch, on plane (t, z). Weights to be summed
 * are zero where they leave the image; others are not read there (but for x, where they are zero, too). */
static void horizontal(const job *j, const stage *from, const stage *to, const area *r, bool weigh, int64_t t, int64_t z)
{
    const pel__ndsafir_tile *k = j->k;
    const box b = needed(j, r, t, z);
    const int64_t p = k->patch[PEL__NX], x0 = first_lane(b.x0), from_x = first_lane(b.x0 - p);
    const float *planes[PEL__ND_PLANES], *rows[PEL__ND_PLANES];
    for (int g = 0; g < j->count && b.y1 > b.y0; g++) {
        float *w = plane_of(j, to, t, z, g) + (b.y0 - to->y0) * to->stride;
        const int64_t n = planes_around(j, from, t, z, g, planes);
        for (int64_t y = b.y0; y < b.y1; y++, w += to->stride) {
            if (!r->cut && !in_image(j, t, z, y)) {
                memset(w + b.zero0, 0, (size_t)(b.zero1 - b.zero0) * sizeof *w);
                continue;
            }
            for (int64_t i = 0; i < n; i++)
                rows[i] = planes[i] + (y - from->y0) * from->stride;
            finish_rows(w, rows, add_planes(j, rows, n, from_x, b.x1 + p), x0, b.x1, p, weigh);
            if (k->odd)
                cut_odd(w, k->u + t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + y * k->stride[PEL__NY], j->offset + g, x0, b.x1);
            cut_at_image(j, w, g, b.zero0, b.zero1);
        }
    }
}

/* ---- averages ---------------------------------------------------------------------------------------------- */

typedef struct accumulator {
    float *num, *den, *squares;     /* of one row */
    const float *w1, *y1, *w2, *y2; /* weights and data of x + d and of x - d, of the group's first; w NULL: not now */
    int64_t plane;                  /* from the weights of one displacement to the next's */
} accumulator;

enum { ONE = 1, TWO = 2 }; /* x + d, x - d */

INLINE void add_row(const accumulator *a, int64_t n, const int count, const int ends, const bool squares)
{
    assert((!(ends & ONE) || a->w1) && (!(ends & TWO) || a->w2));
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        vf num = load(a->num + x), den = load(a->den + x), ss = squares ? load(a->squares + x) : (vf){0};
        for (int i = 0; i < 2 * count; i++) {
            const int64_t g = i % count, sign = i < count ? 1 : -1;
            if (!(ends & (i < count ? ONE : TWO)))
                continue;
            const vf w = load(i < count ? a->w1 + g * a->plane + x : a->w2 + g * a->plane + x - g);
            num = fused(w, load((i < count ? a->y1 : a->y2) + x + sign * g), num);
            den += w;
            ss = squares ? fused(w, w, ss) : ss;
        }
        store(a->num + x, num);
        store(a->den + x, den);
        if (squares)
            store(a->squares + x, ss);
    }
}

static void add_rows(const accumulator *a, int64_t n, int count, bool squares)
{
#define ADD(c, e)                                                                                                 \
    case (c) * 8 + (e) * 2: add_row(a, n, c, e, false); break;                                                    \
    case (c) * 8 + (e) * 2 + 1: add_row(a, n, c, e, true); break;
    switch (count * 8 + (a->w1 ? ONE * 2 : 0) + (a->w2 ? TWO * 2 : 0) + squares) {
        ADD(1, ONE) ADD(1, TWO) ADD(1, ONE | TWO)
        ADD(2, ONE) ADD(2, TWO) ADD(2, ONE | TWO)
        ADD(3, ONE) ADD(3, TWO) ADD(3, ONE | TWO)
        ADD(4, ONE) ADD(4, TWO) ADD(4, ONE | TWO)
    default: break;
    }
#undef ADD
}

/* Adds to plane (t, z) of the tile. */
static void accumulate(const job *j, int64_t t, int64_t z)
{
    const pel__ndsafir_tile *k = j->k;
    const stage *s = k->aggregate ? &j->finals : &j->weights;
    const int64_t *n = k->n, *d = j->d, width = pel__ndsafir_padded(n[PEL__NX]);
    if (t < 0 || t >= n[PEL__NT] || z < 0 || z >= n[PEL__NZ])
        return;
    const int64_t t2 = t - d[PEL__NT], z2 = z - d[PEL__NZ]; /* where the pairs of x - d begin */
    const float *w1 = (j->both || !j->moved) && plane_in_image(j, t, z) ? plane_of(j, s, t, z, 0) : NULL;
    const float *w2 = (j->both || j->moved) && plane_in_image(j, t2, z2) ? plane_of(j, s, t2, z2, 0) : NULL;
    int64_t low, high;
    valid(j, PEL__NY, &low, &high);
    for (int64_t y = 0; y < n[PEL__NY]; y++) {
        const int64_t row = (t * n[PEL__NZ] + z) * n[PEL__NY] + y;
        const float *raw = k->y + t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + y * k->stride[PEL__NY];
        accumulator a = {.num = k->estimate + row * width, .den = k->precision + row * width, .squares = k->width + row * width};
        a.plane = plane_size(s);
        a.y1 = raw + j->offset;
        a.y2 = raw - j->offset;
        const int64_t y2 = y - d[PEL__NY];
        if (w1 && y >= low && y < high)
            a.w1 = w1 + (y - s->y0) * s->stride;
        if (w2 && y2 >= low && y2 < high)
            a.w2 = w2 + (y2 - s->y0) * s->stride - d[PEL__NX];
        add_rows(&a, n[PEL__NX], j->count, !k->last);
    }
}

/* ---- one group of displacements, all displacements --------------------------------------------------------- */

static float *place(const job *j, stage *s, int64_t slots, float *memory)
{
    const pel__ndsafir_tile *k = j->k;
    const int64_t d = j->d[PEL__NY], grow = k->aggregate ? k->patch[PEL__NY] : 0;
    const int64_t up = j->both ? highest(0, d) : j->moved ? d : 0, down = j->both ? lowest(0, d) : j->moved ? d : 0;
    s->slots = slots;
    s->stride = k->stride[PEL__NY];
    s->y0 = -up - grow;
    s->rows = k->n[PEL__NY] + up - down + 2 * grow;
    s->base = memory + pel__ndsafir_left(k);
    return memory + slots * PEL__ND_GROUP * s->rows * s->stride;
}

static void place_all(job *j)
{
    const pel__ndsafir_tile *k = j->k;
    const int64_t *d = j->d, times = k->aggregate ? 2 : 1;
    for (int a = PEL__NT; a <= PEL__NZ; a++) {
        j->low[a] = (j->both ? lowest(0, -d[a]) : j->moved ? -d[a] : 0) - times * k->patch[a];
        j->high[a] = (j->both ? highest(0, -d[a]) : j->moved ? -d[a] : 0) + k->n[a] + times * k->patch[a];
    }
    const int64_t across = j->high[1] - j->low[1]; /* from one t to the next, in planes */
    const int64_t patch = 2 * k->patch[PEL__NT] * across + 2 * k->patch[PEL__NZ] + 1;
    const int64_t pair = j->both ? d[PEL__NT] * across + d[PEL__NZ] + 1 : 1;
    float *memory = place(j, &j->sums, patch, k->scratch);
    memory = place(j, &j->weights, k->aggregate ? 1 : pair, memory);
    if (k->aggregate) {
        memory = place(j, &j->weight_sums, patch, memory);
        memory = place(j, &j->finals, pair, memory);
    }
    j->line = memory + pel__ndsafir_left(k);
}

/* Planes pass in order: sums along y of (t, z), then weights of the plane that thereby has all its neighbours, … */
static void pass_planes(const job *j)
{
    const pel__ndsafir_tile *k = j->k;
    const int64_t *p = k->patch, pt = p[PEL__NT], pz = p[PEL__NZ];
    const int64_t g[PEL__ND] = {k->aggregate ? p[0] : 0, k->aggregate ? p[1] : 0, k->aggregate ? p[2] : 0, k->aggregate ? p[3] : 0};
    const area sums = {.grow = {g[0], g[1], g[2], g[3]}, .reach = {pt, pz, 0, p[PEL__NX]}, .cut = true};
    const area weights = {.grow = {g[0], g[1], g[2], g[3]}, .cut = !k->aggregate};
    const area weight_sums = {.reach = {pt, pz, 0, p[PEL__NX]}, .cut = true}, finals = {.cut = true};
    for (int64_t t = j->low[0]; t < j->high[0]; t++) {
        for (int64_t z = j->low[1]; z < j->high[1]; z++) {
            int64_t ready_t = t - pt, ready_z = z - pz;
            vertical_pairs(j, &sums, t, z);
            horizontal(j, &j->sums, &j->weights, &weights, true, ready_t, ready_z);
            if (k->aggregate) {
                vertical_weights(j, &weight_sums, ready_t, ready_z);
                ready_t -= pt;
                ready_z -= pz;
                horizontal(j, &j->weight_sums, &j->finals, &finals, false, ready_t, ready_z);
            }
            if (j->both || !j->moved)
                accumulate(j, ready_t, ready_z);
            else
                accumulate(j, ready_t + j->d[PEL__NT], ready_z + j->d[PEL__NZ]);
        }
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
    for (int64_t row = 0; row < n[PEL__NT] * n[PEL__NZ] * n[PEL__NY]; row++) {
        const int64_t y = row % n[PEL__NY], z = row / n[PEL__NY] % n[PEL__NZ], t = row / n[PEL__NY] / n[PEL__NZ];
        const float *raw = k->y + t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + y * k->stride[PEL__NY];
        const int64_t count = patches(k, PEL__NT, t) * patches(k, PEL__NZ, z) * patches(k, PEL__NY, y);
        float *num = k->estimate + row * width, *den = k->precision + row * width, *squares = k->width + row * width;
        for (int64_t x = 0; x < width; x += PEL_LANES) {
            store(num + x, load(raw + x));
            store(den + x, splat(1.0f));
            store(squares + x, splat(1.0f));
        }
        for (int64_t x = 0; x < n[PEL__NX] && k->aggregate; x++) {
            den[x] = squares[x] = (float)(count * patches(k, PEL__NX, x));
            num[x] *= den[x];
        }
    }
}

/* From sums to estimate, precision, width. */
static void end(const pel__ndsafir_tile *k)
{
    const int64_t *n = k->n, count = n[PEL__NT] * n[PEL__NZ] * n[PEL__NY] * pel__ndsafir_padded(n[PEL__NX]);
    float *restrict num = k->estimate, *restrict den = k->precision, *restrict squares = k->width;
    const float rho = k->rho;
    for (int64_t i = 0; i < count && k->last; i++)
        num[i] = num[i] / den[i];
    for (int64_t i = 0; i < count && !k->last; i++) {
        const float s = squares[i], d = den[i];
        num[i] = num[i] / d;
        den[i] = d * d / s;
        squares[i] = rho * (__builtin_sqrtf(s) / d);
    }
}

static void one_group(job *j)
{
    const pel__ndsafir_tile *k = j->k;
    const int64_t *d = j->d;
    j->offset = d[PEL__NT] * k->stride[PEL__NT] + d[PEL__NZ] * k->stride[PEL__NZ] + d[PEL__NY] * k->stride[PEL__NY] + d[PEL__NX];
    /* Where tile and moved tile share no plane there is nothing to share: less memory in two goes. */
    j->both = d[PEL__NT] < k->n[PEL__NT] && d[PEL__NZ] < k->n[PEL__NZ] && -d[PEL__NZ] < k->n[PEL__NZ];
    for (int go = 0; go < (j->both ? 1 : 2); go++) {
        j->moved = go == 1;
        place_all(j);
        pass_planes(j);
    }
}

/* All displacements along x, in groups of like size. */
static void one_line(job *j, int64_t t, int64_t z, int64_t y)
{
    const int64_t r = j->k->radius[PEL__NX];
    int64_t x = t || z || y ? -r : 1;
    for (int64_t groups = (r - x + PEL__ND_GROUP) / PEL__ND_GROUP; groups > 0; groups--) {
        memcpy(j->d, (const int64_t[]){t, z, y, x}, sizeof j->d);
        j->count = (int32_t)((r - x + groups) / groups);
        one_group(j);
        x += j->count;
    }
}

void PEL_KERNEL(const pel__ndsafir_tile *k)
{
    const int64_t *r = k->radius;
    job j = {.k = k};
    begin(k);
    for (int64_t t = 0; t <= r[PEL__NT]; t++) {
        for (int64_t z = t ? -r[PEL__NZ] : 0; z <= r[PEL__NZ]; z++) {
            for (int64_t y = t || z ? -r[PEL__NY] : 0; y <= r[PEL__NY]; y++) {
                if (k->stop && atomic_load_explicit(k->stop, memory_order_relaxed))
                    return;
                one_line(&j, t, z, y);
            }
        }
    }
    end(k);
}
