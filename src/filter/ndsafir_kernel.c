/* SPDX-License-Identifier: MIT
 * ND-SAFIR on one tile, in the shift form: for each displacement d of half the window, the weights of all pairs
 * (x, x + d) of the tile are made together, from squared differences, box sums over the patch and an exponential.
 * A pair's weight serves both ends, so that the other half of the window comes for free: the weight of x and x - d is
 * the one of the pair that begins at x - d, wherever that is computed.
 *
 * All displacements that differ along x only (a line) go together in one sweep along y, two rows at a time: what a row
 * needs of inputs, sums and averages stays in the first caches while the whole line uses it. For two rows of all planes,
 * differences are summed over the planes of the patch in registers, along y by what the sweep keeps of earlier rows,
 * then along x; then the averages of both ends take all weights of the line.
 *
 * The cost does not depend on the patch, and every sum has a fixed order that depends on nothing but the voxel and d: no
 * running sums; rows are taken in pairs of even global coordinates; the terms of a line at one end of it come in the
 * order of d, and which end comes first is the same for all voxels. Hence the bits do not depend on the tile. Lanes
 * right of a row's end compute with garbage that nobody reads.
 *
 * Compiled once an instruction set, with PEL_LANES and PEL_KERNEL given. */
#include "filter/ndsafir_kernel.h"

#include "filter/ndsafir_lanes.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define GROUP (PEL_LANES == 16 ? 4 : PEL_LANES == 8 ? 2 : 1) /* displacements whose sums fit into the registers */

typedef struct range {
    int64_t from, to;
} range;

/* Rows two by two of some planes, of every displacement of the line or of a group of it. */
typedef struct rows {
    float *at; /* first plane, first row, first displacement, x = 0 */
    int64_t plane, row, shift; /* strides */
} rows;

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
    rows line;                  /* box sums but for those along x, of one group; x from the first that is wanted on */
    rows weights, finals;
    float *planes;              /* differences of all planes, a vector */
} sweep;

INLINE int64_t lowest(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t highest(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t length(range r) { return highest(r.to - r.from, 0); }
INLINE bool within(range r, int64_t at) { return at >= r.from && at < r.to; }
INLINE range both(range a, range b) { return (range){highest(a.from, b.from), lowest(a.to, b.to)}; }
INLINE range grown(range r, int64_t by) { return (range){r.from - by, r.to + by}; }

/* First vector that covers x. */
INLINE int64_t first_lane(int64_t x)
{
    return x >= 0 ? x / PEL_LANES * PEL_LANES : -((-x + PEL_LANES - 1) / PEL_LANES * PEL_LANES);
}

INLINE int64_t vectors(int64_t n) { return (n + PEL_LANES - 1) / PEL_LANES; }

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

/* ---- box sums over planes and along y ---------------------------------------------------------------------- */

/* Two rows enter, r and r + 1 (r even); those of which they are the last of the patch are complete: r - p and r + 1 - p.
 * Sums over 2 p + 1 rows are those of p pairs of rows and a single one, before or after them. State, for each of the
 * planes, vectors along x and displacements: the sum of the last p pairs, the second rows of the last p pairs, the sums
 * of the last p - 1 pairs. */
typedef struct feed {
    const float *in;                    /* row r that enters: first plane, first x */
    int64_t t, z, row, shift;           /* strides between planes, to row r + 1, between displacements */
    int64_t q;                          /* from u to q, 0 if rows are summed as they are … */
    int64_t offset;                     /* … else to the other end */
    int64_t channels, input;            /* jointly compared; from one to the next */
    int64_t planes[2], patch[2];        /* planes that enter */
    int64_t vectors, turn;              /* pairs of rows that came before */
    float *state, *buffer;
    rows out;
    bool odd;
} feed;

/* What is summed: squared differences over u and q, or u itself. */
INLINE vf summand(vf u, vf q, vf other, vf other_q, const bool odd)
{
    const vf difference = u - other, e = (difference * difference) * added(q, other_q);
    return odd ? where_number(e, e) : e;
}

/* The same over all channels. */
INLINE vf joint_summand(const feed *f, const float *u, const float *other)
{
    const int64_t q = f->q, input = f->input;
    vf squares = {0};
    for (int64_t c = 0; c < f->channels; c++) {
        const vf difference = load(u + c * input) - load(other + c * input);
        squares = fused(difference, difference, squares);
    }
    const vf e = squares * added(load(u + q), load(other + q));
    return where_number(e, e);
}

enum { PLAIN, PAIRS, JOINT }; /* rows as they are, pairs in one channel, in all */

/* Two vectors of what enters: rows r and r + 1 at u, for each displacement. */
INLINE void entering(const feed *f, const float *u, vf *e, const int count, const int kind, const bool odd)
{
    const int64_t q = f->q, row = f->row, offset = f->offset;
    if (kind == JOINT) {
#pragma GCC unroll 4
        for (int g = 0; g < count; g++) {
            e[2 * g] = joint_summand(f, u, u + offset + g);
            e[2 * g + 1] = joint_summand(f, u + row, u + row + offset + g);
        }
        return;
    }
    if (kind == PLAIN) {
#pragma GCC unroll 4
        for (int g = 0; g < count; g++) {
            e[2 * g] = load(u + g * f->shift);
            e[2 * g + 1] = load(u + g * f->shift + row);
        }
        return;
    }
    const vf u0 = load(u), q0 = load(u + q), u1 = load(u + row), q1 = load(u + row + q);
    const float *other = u + offset, *other_q = other + q;
#pragma GCC unroll 4
    for (int g = 0; g < count; g++) {
        e[2 * g] = summand(u0, q0, load(other + g), load(other_q + g), odd);
        e[2 * g + 1] = summand(u1, q1, load(other + row + g), load(other_q + row + g), odd);
    }
}

/* Where the oldest are kept: in floats. */
typedef struct slots {
    int64_t single, pair;
} slots;

/* Takes two rows of a plane, a vector; gives the sums that they complete. */
INLINE void push(const feed *f, const slots *at, float *state, float *out, const vf *e, const int count, const int64_t p)
{
    const int64_t one = count * PEL_LANES;
#pragma GCC unroll 4
    for (int g = 0; g < count; g++, out += f->out.shift) {
        float *of = state + g * PEL_LANES, *single = of + one + at->single, *pairs = of + (p + 1) * one;
        const vf e0 = e[2 * g], e1 = e[2 * g + 1];
        if (p == 0) {
            store(out, e0);
            store(out + f->out.row, e1);
            continue;
        }
        const vf two = e0 + e1;
        vf sum = two;
        if (p == 2) {
            sum = load(pairs) + two;
            store(pairs, two);
        } else if (p == 3) {
            sum = (load(pairs) + load(pairs + one)) + two; /* either order: the same bits */
            store(pairs + at->pair, two);
        } else if (p > 3) {
            sum = load(pairs + at->pair);
            for (int64_t i = 1; i < p - 1; i++) {
                const int64_t next = at->pair + i * one;
                sum += load(pairs + (next < (p - 1) * one ? next : next - (p - 1) * one));
            }
            sum += two;
            store(pairs + at->pair, two);
        }
        store(out, load(of) + e0);
        store(out + f->out.row, load(single) + sum);
        store(of, sum);
        store(single, e1);
    }
}

INLINE slots slots_of(const feed *f, int64_t count, int64_t p)
{
    return (slots){p > 0 ? f->turn % p * count * PEL_LANES : 0, p > 1 ? f->turn % (p - 1) * count * PEL_LANES : 0};
}

/* planes: 1: none to be summed, 3: three along the axis of stride f->z. */
INLINE void feed_rows(const feed *given, const int count, const int64_t p, const int planes, const int kind)
{
    const feed f = *given;
    const int64_t one = 2 * p * count * PEL_LANES;
    const slots at = slots_of(&f, count, p);
    float *state = f.state;
    for (int64_t v = 0; v < f.vectors; v++) {
        const float *u = f.in + v * PEL_LANES;
        float *out = f.out.at + v * PEL_LANES;
        vf e[2 * GROUP], before[2 * GROUP], two[2 * GROUP];
        if (planes == 3) {
            entering(&f, u, e, count, kind, false);
            entering(&f, u + f.z, before, count, kind, false);
#pragma GCC unroll 8
            for (int i = 0; i < 2 * count; i++)
                two[i] = e[i] + before[i];
            u += 2 * f.z;
        }
        for (int64_t z = planes - 1; z < f.planes[1]; z++, u += f.z, out += f.out.plane, state += one) {
            entering(&f, u, e, count, kind, false);
            if (planes == 3) {
                vf sum[2 * GROUP];
#pragma GCC unroll 8
                for (int i = 0; i < 2 * count; i++) {
                    sum[i] = two[i] + e[i];
                    two[i] = before[i] + e[i];
                    before[i] = e[i];
                }
                push(&f, &at, state, out, sum, count, p);
            } else {
                push(&f, &at, state, out, e, count, p);
            }
        }
    }
}

static int kind_of(const feed *f) { return f->q == 0 ? PLAIN : f->channels > 1 ? JOINT : PAIRS; }

/* Any patch, odd voxels left out. */
INLINE void feed_slowly(const feed *f, const int count, int64_t p)
{
    const int64_t one = 2 * p * count * PEL_LANES, all = 2 * count * PEL_LANES, pt = f->patch[0], pz = f->patch[1];
    const slots at = slots_of(f, count, p);
    float *state = f->state;
    for (int64_t v = 0; v < f->vectors; v++) {
        float *out = f->out.at + v * PEL_LANES;
        for (int64_t i = 0; i < f->planes[0] * f->planes[1]; i++) {
            vf e[2 * GROUP];
            entering(f, f->in + i / f->planes[1] * f->t + i % f->planes[1] * f->z + v * PEL_LANES, e, count, kind_of(f), true);
            for (int j = 0; j < 2 * count; j++)
                store(f->buffer + i * all + j * PEL_LANES, e[j]);
        }
        for (int64_t t = 0; t < f->planes[0] - 2 * pt; t++) {
            for (int64_t z = 0; z < f->planes[1] - 2 * pz; z++, out += f->out.plane, state += one) {
                vf sum[2 * GROUP];
                const float *in = f->buffer + (t * f->planes[1] + z) * all;
                for (int j = 0; j < 2 * count; j++)
                    sum[j] = load(in + j * PEL_LANES);
                for (int64_t i = 1; i < (2 * pt + 1) * (2 * pz + 1); i++) {
                    const float *next = in + (i / (2 * pz + 1) * f->planes[1] + i % (2 * pz + 1)) * all;
                    for (int j = 0; j < 2 * count; j++)
                        sum[j] += load(next + j * PEL_LANES);
                }
                push(f, &at, state, out, sum, count, p);
            }
        }
    }
}

#define FEED_COUNT(c, p, planes)                                                                                  \
    case (((c) * 8 + (p)) * 4 + (planes)) * 3 + PAIRS: feed_rows(f, c, p, planes, PAIRS); return;
#define FEED(c, p) FEED_COUNT(c, p, 1) FEED_COUNT(c, p, 3)
#define FEED_KIND(c, p, kind)                                                                                     \
    case (((c) * 8 + (p)) * 4 + 1) * 3 + (kind): feed_rows(f, c, p, 1, kind); return;                            \
    case (((c) * 8 + (p)) * 4 + 3) * 3 + (kind): feed_rows(f, c, p, 3, kind); return;
#define FEED_OTHERS(p) FEED_KIND(1, p, PLAIN) FEED_KIND(1, p, JOINT)

/* Of up to GROUP displacements. */
static void feed_any(const feed *given, int64_t count, int64_t p)
{
    feed copy = *given;
    const feed *f = &copy;
    int planes = 0;
    if (f->planes[0] == 1 && f->patch[0] == 0 && f->patch[1] <= 1)
        planes = f->patch[1] ? 3 : 1;
    if (f->planes[1] == 1 && f->patch[1] == 0 && f->patch[0] <= 1) { /* the same along t */
        planes = f->patch[0] ? 3 : 1;
        copy.planes[1] = f->planes[0];
        copy.z = f->t;
    }
    switch (p > 4 || planes == 0 || f->odd ? 0 : ((count * 8 + p) * 4 + planes) * 3 + kind_of(f)) {
        FEED_OTHERS(1) FEED_OTHERS(2) FEED_OTHERS(3) FEED_OTHERS(4)
#if GROUP > 1
        FEED_KIND(2, 1, JOINT) FEED_KIND(2, 2, JOINT) FEED_KIND(2, 3, JOINT) FEED_KIND(2, 4, JOINT)
#endif
        FEED(1, 1) FEED(1, 2) FEED(1, 3) FEED(1, 4)
#if GROUP > 1
        FEED(2, 1) FEED(2, 2) FEED(2, 3) FEED(2, 4)
#endif
#if GROUP > 2
        FEED(3, 1) FEED(3, 2) FEED(3, 3) FEED(3, 4)
        FEED(4, 1) FEED(4, 2) FEED(4, 3) FEED(4, 4)
#endif
    default: break;
    }
    switch (count) {
    case 1: feed_slowly(given, 1, p); break;
#if GROUP > 1
    case 2: feed_slowly(given, 2, p); break;
#endif
#if GROUP > 2
    case 3: feed_slowly(given, 3, p); break;
    case 4: feed_slowly(given, 4, p); break;
#endif
    default: assert(count < 0); break;
    }
}

/* ---- box sums along x, and weights ------------------------------------------------------------------------- */

/* Sums of 2 p + 1 neighbours along x, from s[x] on: ((0+1)+(2+3)) + ((4+5)+6). */
#ifdef SHIFTED
INLINE void sum_row(float *w, const float *s, int64_t n, const int p, const bool weigh)
{
    vf a = load(s), b = load(s + PEL_LANES), two = a + SHIFTED(a, b, 1);
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        const vf c = load(s + x + PEL_LANES + PEL_LANES), two_b = b + SHIFTED(b, c, 1), four = two + SHIFTED(two, two_b, 2);
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
INLINE void sum_row(float *w, const float *row, int64_t n, const int p, const bool weigh)
{
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        const float *s = row + x;
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
static void sum_row_slow(float *w, const float *s, int64_t n, int64_t p, bool weigh)
{
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        vf sum = load(s + x);
        for (int64_t i = 1; i <= 2 * p; i++)
            sum += load(s + x + i);
        store(w + x, weigh ? weight_of(sum) : sum);
    }
}

static void sum_along_x(float *w, const float *s, int64_t n, int64_t p, bool weigh)
{
    switch (p < 1 || p > 4 ? -1 : p * 2 + weigh) {
    case 2: sum_row(w, s, n, 1, false); break;
    case 3: sum_row(w, s, n, 1, true); break;
    case 4: sum_row(w, s, n, 2, false); break;
    case 5: sum_row(w, s, n, 2, true); break;
    case 6: sum_row(w, s, n, 3, false); break;
    case 7: sum_row(w, s, n, 3, true); break;
    case 8: sum_row(w, s, n, 4, false); break;
    case 9: sum_row(w, s, n, 4, true); break;
    default: sum_row_slow(w, s, n, p, weigh);
    }
}

/* Zeroes what of `all` does not lie in `in`, and up to a vector more to each side. */
INLINE void zero_around(float *w, range in, range all)
{
    for (int64_t x = lowest(in.from, all.to); x > all.from; x -= PEL_LANES)
        store(w + x - PEL_LANES, (vf){0});
    for (int64_t x = highest(in.to, all.from); x < all.to; x += PEL_LANES)
        store(w + x, (vf){0});
}

/* Zeroes w where either end of the pair is to be left out. */
static void cut_odd(float *w, const float *u, int64_t offset, int64_t x0, int64_t x1)
{
    for (int64_t x = x0; x < x1; x += PEL_LANES) {
        const vf ends = load(u + x) + load(u + x + offset);
        store(w + x, where_number(ends, load(w + x)));
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

/* State of a group begins there. */
static float *state_of(const sweep *s, float *state, const group *g, const range *planes)
{
    return state + g->first * length(planes[0]) * length(planes[1]) * s->k->stride[PEL__NY] * 2 * s->k->patch[PEL__NY];
}

/* From s->line, where only the sum along x is left to do, to weights of pairs or sums of those over the patch. */
typedef struct finish {
    const rows *to;
    const range *planes; /* of `to`, along t and z: zero where … */
    const range *made;   /* … these (t, z, y) do not have them */
    int64_t grow;        /* what of a row is wanted reaches so much further */
    bool weigh;
} finish;

/* Rows y and y + 1 of a displacement of the group; weights of pairs that leave the image or have an odd end are zero. */
static void finish_shift(const sweep *s, const group *g, const finish *f, int64_t shift, int64_t y)
{
    const pel__ndsafir_tile *k = s->k;
    const int64_t d = g->least + shift, x0 = g->x0 - f->grow, n = g->x1 + f->grow - x0;
    const range wanted = grown(in_tile(s, PEL__NX, d, d), f->grow), image = in_image(k, PEL__NX, d, d);
    float *plane = f->to->at + (g->first + shift) * f->to->shift;
    const float *sums = s->line.at + shift * s->line.shift;
    for (int64_t t = f->planes[0].from; t < f->planes[0].to; t++) {
        for (int64_t z = f->planes[1].from; z < f->planes[1].to; z++, plane += f->to->plane) {
            const bool inside = within(f->made[0], t) && within(f->made[1], z);
            for (int64_t i = 0; i < 2; i++) {
                float *w = plane + i * f->to->row;
                if (inside && within(f->made[2], y + i)) {
                    sum_along_x(w + x0, sums + i * s->line.row, n, k->patch[PEL__NX], f->weigh);
                    if (k->odd)
                        cut_odd(w, k->u + input_at(k, t, z, y + i), s->offset + d, x0, x0 + n);
                    zero_around(w, image, wanted);
                } else if (k->aggregate) {
                    zero_around(w, (range){wanted.to, wanted.to}, wanted);
                }
            }
            sums += inside ? s->line.plane : 0;
        }
    }
}

static void finish_group(const sweep *s, const group *g, const finish *f, int64_t y)
{
    for (int64_t shift = 0; shift < g->count; shift++)
        finish_shift(s, g, f, shift, y);
}

/* Differences of rows r and r + 1; weights of r - p and r + 1 - p. */
static void make_weights(const sweep *s, const group *g, int64_t r, int64_t turn)
{
    const pel__ndsafir_tile *k = s->k;
    const int64_t *p = k->patch, grow = k->aggregate ? p[PEL__NX] : 0, x = g->x0 - grow - p[PEL__NX];
    feed f = {.t = k->stride[PEL__NT], .z = k->stride[PEL__NZ], .row = k->stride[PEL__NY], .q = k->q - k->u, .turn = turn,
              .buffer = s->planes, .out = s->line, .odd = k->odd, .channels = k->channels, .input = k->input};
    f.in = k->u + input_at(k, s->made[0].from - p[0], s->made[1].from - p[1], r) + x;
    for (int i = 0; i < 2; i++) {
        f.planes[i] = length(s->made[i]) + 2 * p[i];
        f.patch[i] = p[i];
    }
    f.offset = s->offset + g->least;
    f.vectors = vectors(g->x1 + grow + p[PEL__NX] - x);
    f.state = state_of(s, s->sums, g, s->made);
    feed_any(&f, g->count, p[PEL__NY]);
    const finish weights = {&s->weights, s->kept, s->made, grow, true};
    finish_group(s, g, &weights, r - p[PEL__NY]);
}

/* Where aggregated: from weights of rows r and r + 1 to their sums over the patch, of rows r - p and r + 1 - p. */
static void make_finals(const sweep *s, const group *g, int64_t r, int64_t turn)
{
    const int64_t *p = s->k->patch, x = g->x0 - p[PEL__NX];
    group one = *g;
    feed f = {.row = s->weights.row, .z = s->weights.plane, .turn = turn, .buffer = s->planes, .out = s->line};
    f.t = f.z * length(s->kept[1]);
    f.vectors = vectors(g->x1 + p[PEL__NX] - x);
    one.count = 1;
    for (int64_t i = 0; i < g->count; i++, one.first++, f.out.at += f.out.shift) {
        f.in = s->weights.at + one.first * s->weights.shift + x;
        for (int a = 0; a < 2; a++) {
            f.planes[a] = length(s->kept[a]);
            f.patch[a] = p[a];
        }
        f.state = state_of(s, s->weight_sums, &one, s->wanted);
        feed_any(&f, 1, p[PEL__NY]);
    }
    const finish finals = {&s->finals, s->wanted, s->wanted, 0, false};
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
    vf num[2], den[2], ss[2];
    const float *w = a->w + x, *y = a->y + x;
#pragma GCC unroll 2
    for (int v = 0; v < wide; v++) {
        num[v] = load(a->num + x + v * PEL_LANES);
        den[v] = load(a->den + x + v * PEL_LANES);
        ss[v] = squares ? load(a->squares + x + v * PEL_LANES) : (vf){0};
    }
#pragma GCC unroll 4
    for (int64_t i = 0; i < a->count; i++, w += a->next_w, y += a->next_y) {
#pragma GCC unroll 2
        for (int v = 0; v < wide; v++) {
            const vf weight = load(w + v * PEL_LANES);
            num[v] = fused(weight, load(y + v * PEL_LANES), num[v]);
            den[v] += weight;
            ss[v] = squares ? fused(weight, weight, ss[v]) : ss[v];
        }
    }
#pragma GCC unroll 2
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
    memory = place(&s->weights, memory, s, kept, s->count);
    s->weights.at += left + (k->aggregate ? p[PEL__NX] : 0);
    if (k->aggregate) {
        memory = place(&s->finals, memory, s, kept, s->count);
        s->finals.at += left;
    }
    s->planes = memory + 2 * PEL__ND_VECTOR;
}

/* Planes and rows are set. */
static void sweep_rows(sweep *s)
{
    const pel__ndsafir_tile *k = s->k;
    const int64_t p = k->patch[PEL__NY], lag = k->aggregate ? 2 * p : p;
    const int64_t most = k->channels > 1 && GROUP > 2 ? 2 : GROUP, groups = (s->count + most - 1) / most;
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
                average_both(s, r - lag + i, i);
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
    for (int64_t row = 0; row < n[PEL__NT] * n[PEL__NZ] * n[PEL__NY]; row++) {
        const int64_t y = row % n[PEL__NY], z = row / n[PEL__NY] % n[PEL__NZ], t = row / n[PEL__NY] / n[PEL__NZ];
        const float *raw = k->y + t * k->stride[PEL__NT] + z * k->stride[PEL__NZ] + y * k->stride[PEL__NY];
        const int64_t count = patches(k, PEL__NT, t) * patches(k, PEL__NZ, z) * patches(k, PEL__NY, y);
        float *num = k->estimate + row * width, *den = k->precision + row * width, *squares = k->width + row * width;
        for (int64_t x = 0; x < width; x++)
            den[x] = squares[x] = k->aggregate && x < n[PEL__NX] ? (float)(count * patches(k, PEL__NX, x)) : 1.0f;
        for (int64_t c = 0; c < k->channels; c++, num += k->result, raw += k->input) {
            for (int64_t x = 0; x < width; x += PEL_LANES)
                store(num + x, load(raw + x) * load(den + x));
        }
    }
}

/* From sums to estimate, precision, width. */
static void end(const pel__ndsafir_tile *k)
{
    const int64_t count = k->result;
    float *restrict num = k->estimate, *restrict den = k->precision, *restrict squares = k->width;
    const float rho = k->rho;
    for (int64_t c = 0; c < k->channels; c++, num += count) {
        for (int64_t i = 0; i < count; i++)
            num[i] = num[i] / den[i];
    }
    for (int64_t i = 0; i < count && !k->last; i++) {
        const float s = squares[i], d = den[i];
        den[i] = d * d / s;
        squares[i] = rho * (__builtin_sqrtf(s) / d);
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
