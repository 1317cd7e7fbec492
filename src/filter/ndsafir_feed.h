/* SPDX-License-Identifier: MIT
 * The greater part of ND-SAFIR's work (see ndsafir_kernel.c): two rows of some planes and displacements enter, differences are summed over the
 * patch, weights come out, in one loop. Included once an instruction set, with PEL_LANES given. */
#ifndef PEL_FILTER_NDSAFIR_FEED_H
#define PEL_FILTER_NDSAFIR_FEED_H

#include "filter/ndsafir_kernel.h"
#include "filter/ndsafir_lanes.h"

#include <assert.h>

#define INLINE static inline __attribute__((always_inline))
#define GROUP PEL__ND_GROUP

typedef struct range {
    int64_t from, to;
} range;

/* Rows two by two of some planes, of every displacement of the line or of a group of it. */
typedef struct rows {
    float *at; /* first plane, first row, first displacement, x = 0 */
    int64_t plane, row, shift; /* strides */
} rows;

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

/* ---- box sums along x -------------------------------------------------------------------------------------- */

/* Vectors that continue one, to sum 2 p + 1 neighbours from each of its lanes on. */
#define BEHIND(p) ((2 * (p) + PEL_LANES - 1) / PEL_LANES)
/* Lanes from k on of vectors one after the other. */
#define FROM(v, k) SHIFTED((v)[(k) / PEL_LANES], (v)[(k) / PEL_LANES + 1], (k) % PEL_LANES)

/* ((0+1)+(2+3)) + ((4+5)+6) from each lane of v[0] on, which v[1] … v[BEHIND(p)] continue; p up to 4. */
INLINE vf sum_along_x(const vf *v, const int p)
{
    const vf two[4] = {v[0] + SHIFTED(v[0], v[1], 1), v[1] + SHIFTED(v[1], v[2], 1), v[2] + SHIFTED(v[2], v[2], 1)};
    if (p == 1)
        return two[0] + FROM(v, 2);
    const vf four = two[0] + FROM(two, 2);
    return p == 2   ? four + FROM(v, 4)
           : p == 3 ? four + (FROM(two, 4) + FROM(v, 6))
                    : (four + (FROM(two, 4) + FROM(two, 6))) + FROM(v, 8);
}

/* What comes of sums: themselves or their weights; zero where not valid. */
INLINE vf outcome(vf sum, const bool weigh, lanes valid) { return weigh ? weight_of(sum, valid) : only(valid, sum); }

/* A row of s to w, any p: above 4 neighbours are added from the left. */
static void sum_row(float *w, const float *s, int64_t n, int64_t p, bool weigh, range valid)
{
    for (int64_t x = 0; x < n; x += PEL_LANES) {
        const vf v[4] = {load(s + x), load(s + x + PEL_LANES), load(s + x + 2 * PEL_LANES)};
        vf sum = p == 1 ? sum_along_x(v, 1) : p == 2 ? sum_along_x(v, 2) : p == 3 ? sum_along_x(v, 3) : p == 4 ? sum_along_x(v, 4) : v[0];
        for (int64_t i = 1; i <= 2 * p && p > 4; i++)
            sum += load(s + x + i);
        store(w + x, outcome(sum, weigh, lanes_between(valid.from - x, valid.to - x)));
    }
}

/* ---- box sums over planes and along y ---------------------------------------------------------------------- */

/* Two rows enter, r and r + 1 (r even); those of which they are the last of the patch are complete: r - p and r + 1 - p.
 * Sums over 2 p + 1 rows are those of p pairs of rows and a single one, before or after them. State, for each of the
 * planes, vectors along x and displacements: the sum of the last p pairs, the sums of the last p - 1 pairs; and apart from
 * these, since each turn touches one of them only, the second rows of the last p pairs. */
typedef struct feed {
    const float *in;                    /* row r that enters: first plane, first x */
    int64_t t, z, row, shift;           /* strides between planes, to row r + 1, between displacements */
    int64_t q;                          /* from u to q, 0 if rows are summed as they are … */
    int64_t offset;                     /* … else to the other end */
    int64_t channels, input;            /* jointly compared; from one to the next */
    int64_t planes[2], patch[PEL__ND];  /* planes that enter */
    int64_t vectors, turn;              /* pairs of rows that came before */
    bool early;                         /* nothing is complete yet */
    int64_t finished;                   /* vectors of `whole` … */
    range valid[PEL__ND_GROUP];         /* … and what of them is not zero, each displacement */
    float *state, *singles, *buffer;    /* singles: for this turn's second rows */
    rows sums, whole;                   /* what comes out: sums but for those along x, or weights (sums where rows are summed as they are) */
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

/* Rows r and r + 1 at u, which all displacements share. */
typedef struct ends {
    vf u[2], q[2];
} ends;

INLINE ends ends_at(const feed *f, const float *u, const int kind)
{
    if (kind != PAIRS)
        return (ends){0};
    return (ends){{load(u), load(u + f->row)}, {load(u + f->q), load(u + f->row + f->q)}};
}

/* What enters: a vector of rows r and r + 1 at u, of displacement g. */
INLINE void enter(const feed *f, const float *u, const ends *own, vf *e, const int g, const int kind, const bool odd)
{
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++, u += f->row) {
        const float *other = u + f->offset + g;
        if (kind == PLAIN)
            e[i] = load(u + g * f->shift);
        else if (kind == JOINT)
            e[i] = joint_summand(f, u, other);
        else
            e[i] = summand(own->u[i], own->q[i], load(other), load(other + f->q), odd);
    }
}

/* Where the oldest pair is kept: in floats. */
INLINE int64_t oldest(const feed *f, int64_t count, int64_t p) { return p > 1 ? f->turn % (p - 1) * count * PEL_LANES : 0; }

/* Takes a vector of two rows of one plane and displacement; leaves in its place the sums that they complete. */
INLINE void push(int64_t at, float *state, float *single, vf *e, const int count, const int64_t p)
{
    const int64_t one = count * PEL_LANES;
    float *pairs = state + one;
    const vf two = e[0] + e[1], single_row = e[1];
    if (p == 0)
        return;
    vf sum = two;
    if (p == 2) {
        sum = load(pairs) + two;
        store(pairs, two);
    } else if (p == 3) {
        sum = (load(pairs) + load(pairs + one)) + two; /* either order: the same bits */
        store(pairs + at, two);
    } else if (p > 3) {
        sum = load(pairs + at);
        for (int64_t i = 1; i < p - 1; i++) {
            const int64_t next = at + i * one;
            sum += load(pairs + (next < (p - 1) * one ? next : next - (p - 1) * one));
        }
        sum += two;
        store(pairs + at, two);
    }
    e[0] = load(state) + e[0];
    e[1] = load(single) + sum;
    store(state, sum);
    store(single, single_row);
}

/* Sum along x one vector (or two, of four lanes) behind the one that comes in; `kept` are those between. */
INLINE vf finish(float *kept, vf sum, const int p)
{
    vf v[4] = {load(kept), sum, sum, sum};
    if (BEHIND(p) == 2) {
        v[1] = load(kept + PEL_LANES);
        store(kept + PEL_LANES, sum);
    }
    store(kept, v[1]);
    return sum_along_x(v, p);
}

/* Those of the vector from x on, of each displacement. Where masks are vectors they are made at edges only: the first
 * displacement's pairs begin last, the last one's end first. */
INLINE void valid_lanes(lanes *to, const range *valid, int64_t x, const int count)
{
    const bool edge = PEL_LANES == 16 || x < valid[0].from || x + PEL_LANES > valid[count - 1].to;
#pragma GCC unroll 4
    for (int g = 0; g < count; g++)
        to[g] = edge ? lanes_between(valid[g].from - x, valid[g].to - x) : lanes_between(0, PEL_LANES);
}

/* planes: 1: none to be summed, 3: three along the axis of stride f->z. Each step is done for all displacements before the
 * next one: a vector's way to its weight is a hundred cycles long, and the machine looks ahead only so far. */
INLINE void feed_rows(const feed *given, const int count, const int p, const int planes, const int kind)
{
    const feed f = *given;
    const int64_t at = oldest(&f, count, p);
    float *state = f.state, *singles = f.singles;
    for (int64_t v = 0; v < f.finished + BEHIND(p); v++) {
        const float *u = f.in + v * PEL_LANES;
        float *out = f.whole.at + (v - BEHIND(p)) * PEL_LANES, *kept = f.buffer;
        const bool full = v >= BEHIND(p);
        vf before[2 * GROUP], two[2 * GROUP];
        lanes valid[GROUP];
        valid_lanes(valid, f.valid, (v - BEHIND(p)) * PEL_LANES, count);
        if (planes == 3) {
            const ends own = ends_at(&f, u, kind), next = ends_at(&f, u + f.z, kind);
#pragma GCC unroll 4
            for (int g = 0; g < count; g++) {
                enter(&f, u, &own, two + 2 * g, g, kind, false);
                enter(&f, u + f.z, &next, before + 2 * g, g, kind, false);
                two[2 * g] += before[2 * g];
                two[2 * g + 1] += before[2 * g + 1];
            }
            u += 2 * f.z;
        }
        for (int64_t z = planes - 1; z < f.planes[1]; z++, u += f.z, out += f.whole.plane) {
            const ends own = ends_at(&f, u, kind);
            vf e[2 * GROUP];
#pragma GCC unroll 4
            for (int g = 0; g < count; g++)
                enter(&f, u, &own, e + 2 * g, g, kind, false);
            for (int i = 0; i < 2 * count && planes == 3; i++) {
                const vf entered = e[i];
                e[i] = two[i] + entered;
                two[i] = before[i] + entered;
                before[i] = entered;
            }
#pragma GCC unroll 4
            for (int g = 0; g < count; g++)
                push(at, state + g * PEL_LANES, singles + g * PEL_LANES, e + 2 * g, count, p);
            state += p * count * PEL_LANES;
            singles += count * PEL_LANES;
            if (f.early)
                continue;
#pragma GCC unroll 8
            for (int i = 0; i < 2 * count; i++)
                e[i] = finish(kept + i * BEHIND(p) * PEL_LANES, e[i], p);
            kept += 2 * count * BEHIND(p) * PEL_LANES;
            if (full) {
#pragma GCC unroll 8
                for (int i = 0; i < 2 * count; i++)
                    store(out + i / 2 * f.whole.shift + i % 2 * f.whole.row, outcome(e[i], kind != PLAIN, valid[i / 2]));
            }
        }
    }
}

/* Any patch, odd voxels left out: but for the sums along x. */
INLINE void feed_slowly(const feed *f, const int count)
{
    const int64_t p = f->patch[PEL__NY], pt = f->patch[0], pz = f->patch[1], all = 2 * count * PEL_LANES;
    const int kind = f->q == 0 ? PLAIN : f->channels > 1 ? JOINT : PAIRS;
    const int64_t at = oldest(f, count, p);
    float *state = f->state, *singles = f->singles;
    for (int64_t v = 0; v < f->vectors; v++) {
        float *out = f->sums.at + v * PEL_LANES;
        for (int64_t i = 0; i < f->planes[0] * f->planes[1]; i++) {
            const float *u = f->in + i / f->planes[1] * f->t + i % f->planes[1] * f->z + v * PEL_LANES;
            const ends own = ends_at(f, u, kind);
            for (int g = 0; g < count; g++) {
                vf e[2];
                enter(f, u, &own, e, g, kind, true);
                store(f->buffer + i * all + 2 * g * PEL_LANES, e[0]);
                store(f->buffer + i * all + (2 * g + 1) * PEL_LANES, e[1]);
            }
        }
        for (int64_t t = 0; t < f->planes[0] - 2 * pt; t++) {
            for (int64_t z = 0; z < f->planes[1] - 2 * pz; z++, out += f->sums.plane, state += p * count * PEL_LANES, singles += count * PEL_LANES) {
                for (int g = 0; g < count; g++) {
                    const float *in = f->buffer + (t * f->planes[1] + z) * all + 2 * g * PEL_LANES;
                    vf e[2] = {load(in), load(in + PEL_LANES)};
                    for (int64_t i = 1; i < (2 * pt + 1) * (2 * pz + 1); i++) {
                        const float *next = in + (i / (2 * pz + 1) * f->planes[1] + i % (2 * pz + 1)) * all;
                        e[0] += load(next);
                        e[1] += load(next + PEL_LANES);
                    }
                    push(at, state + g * PEL_LANES, singles + g * PEL_LANES, e, count, p);
                    store(out + g * f->sums.shift, e[0]);
                    store(out + g * f->sums.shift + f->sums.row, e[1]);
                }
            }
        }
    }
}

/* Each a function of its own: together they are more than a compiler takes in at once. */
#define FEED(count, p, planes, kind)                                                                              \
    static __attribute__((noinline)) void feed_##count##_##p##_##planes##_##kind(const feed *f) { feed_rows(f, count, p, planes, kind); }
#define FEED_KIND(count, kind)                                                                                    \
    FEED(count, 1, 1, kind) FEED(count, 1, 3, kind) FEED(count, 2, 1, kind) FEED(count, 2, 3, kind)               \
    FEED(count, 3, 1, kind) FEED(count, 3, 3, kind) FEED(count, 4, 1, kind) FEED(count, 4, 3, kind)
FEED_KIND(1, PLAIN)
FEED_KIND(1, PAIRS)
FEED_KIND(1, JOINT)
FEED_KIND(2, PLAIN)
FEED_KIND(2, PAIRS)
FEED_KIND(2, JOINT)
FEED_KIND(3, PLAIN)
FEED_KIND(3, PAIRS)
FEED_KIND(4, PLAIN)
FEED_KIND(4, PAIRS)

/* By p - 1 and whether three planes are summed. */
typedef void feed_function(const feed *f);
#define FEEDS(count, kind)                                                                                        \
    {{feed_##count##_1_1_##kind, feed_##count##_1_3_##kind}, {feed_##count##_2_1_##kind, feed_##count##_2_3_##kind}, \
     {feed_##count##_3_1_##kind, feed_##count##_3_3_##kind}, {feed_##count##_4_1_##kind, feed_##count##_4_3_##kind}}
static feed_function *const feeds[GROUP][3][4][2] = { /* by count - 1 and kind */
    {FEEDS(1, PLAIN), FEEDS(1, PAIRS), FEEDS(1, JOINT)},
    {FEEDS(2, PLAIN), FEEDS(2, PAIRS), FEEDS(2, JOINT)},
    {FEEDS(3, PLAIN), FEEDS(3, PAIRS)},
    {FEEDS(4, PLAIN), FEEDS(4, PAIRS)},
};

/* Of up to GROUP displacements. Returns whether sums along x are done, too. */
static bool feed_any(const feed *given, int64_t count)
{
    feed copy = *given;
    const feed *f = &copy;
    const int64_t p = f->patch[PEL__NY];
    int planes = 0;
    if (f->planes[0] == 1 && f->patch[0] == 0 && f->patch[1] <= 1)
        planes = f->patch[1] ? 3 : 1;
    if (f->planes[1] == 1 && f->patch[1] == 0 && f->patch[0] <= 1) { /* the same along t */
        planes = f->patch[0] ? 3 : 1;
        copy.planes[1] = f->planes[0];
        copy.z = f->t;
    }
    const int kind = f->q == 0 ? PLAIN : f->channels > 1 ? JOINT : PAIRS;
    feed_function *const whole = p >= 1 && p <= 4 ? feeds[count - 1][kind][p - 1][planes == 3] : NULL;
    if (whole && p == f->patch[PEL__NX] && planes > 0 && !f->odd) {
        whole(f);
        return true;
    }
    switch (count) {
    case 1: feed_slowly(given, 1); break;
    case 2: feed_slowly(given, 2); break;
    case 3: feed_slowly(given, 3); break;
    case 4: feed_slowly(given, 4); break;
    default: assert(count < 0); break;
    }
    return false;
}

#endif
