/* SPDX-License-Identifier: MIT
 * Weighted sums along one axis, as a matrix product: a band of weights times a panel of lines. A tile of outputs (six
 * coordinates by some vectors of lines) stays in registers while one input row after the other is loaded once and used
 * for all of it.
 *
 * The order of a sum is fixed by global coordinates alone: inputs ascending, each with one fused operation, and the sum
 * of every stretch of 64 coordinates (beginning at a multiple of 64) is made from zero and then added to the total. That
 * is what makes the bits independent of blocks and instruction sets; it also keeps the error of a thousand terms at that
 * of a few dozen. Inputs out of an output's reach are left out, not weighted with zero: they may be infinite.
 *
 * Compiled once an instruction set, with PEL_LANES and PEL_KERNEL given. */
#include "filter/gauss_kernel.h"

#include "filter/lanes.h"

#define INLINE static inline __attribute__((always_inline))
#define ROWS PEL__GAUSS_ROWS
#define WIDTH PEL__GAUSS_COLUMNS
#if PEL_LANES == 8
#define VECTORS 2 /* sixteen registers: 12 sums, 2 inputs, a weight */
#else
#define VECTORS 4
#endif

INLINE int64_t lowest(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t highest(int64_t a, int64_t b) { return a > b ? a : b; }

/* Of each output of a tile: its reach. */
typedef struct tile {
    const pel__gauss_panel *p;
    int64_t i, x;                 /* first output, first column */
    int64_t low[ROWS], high[ROWS];
} tile;

INLINE tile tile_at(const pel__gauss_panel *p, int64_t i, int64_t x, const int rows)
{
    tile t = {.p = p, .i = i, .x = x};
    for (int r = 0; r < rows; r++) {
        t.low[r] = highest(0, i + r - p->lines->radius);
        t.high[r] = lowest(p->lines->size, i + r + p->lines->radius + 1);
    }
    return t;
}

/* Inputs from .. to-1, which every output reaches. */
INLINE void add_shared(vf sum[ROWS][VECTORS], const tile *t, int64_t from, int64_t to, const int rows)
{
    const float *in = t->p->in + (from - t->p->first) * WIDTH + t->x;
    const float *w[ROWS];
    for (int r = 0; r < rows; r++)
        w[r] = t->p->lines->row[t->i + r - t->p->lines->begin] + (from - t->low[r]);
    const int64_t n = to - from;
    for (int64_t k = 0; k < n; k++, in += WIDTH) {
        vf v[VECTORS];
        for (int c = 0; c < VECTORS; c++)
            v[c] = load(in + (int64_t)c * PEL_LANES);
        for (int r = 0; r < rows; r++) {
            const vf weight = splat(w[r][k]);
            for (int c = 0; c < VECTORS; c++)
                sum[r][c] = fused(v[c], weight, sum[r][c]);
        }
    }
}

/* Inputs from .. to-1, which only some of the outputs reach. */
INLINE void add_ragged(vf sum[ROWS][VECTORS], const tile *t, int64_t from, int64_t to, const int rows)
{
    for (int64_t j = from; j < to; j++) {
        const float *in = t->p->in + (j - t->p->first) * WIDTH + t->x;
        for (int r = 0; r < rows; r++) {
            if (j < t->low[r] || j >= t->high[r])
                continue;
            const vf weight = splat(t->p->lines->row[t->i + r - t->p->lines->begin][j - t->low[r]]);
            for (int c = 0; c < VECTORS; c++)
                sum[r][c] = fused(load(in + (int64_t)c * PEL_LANES), weight, sum[r][c]);
        }
    }
}

/* `rows` outputs of VECTORS vectors. The results' memory holds the totals. */
INLINE void make_tile(const pel__gauss_panel *p, int64_t i, int64_t x, const int rows)
{
    const tile t = tile_at(p, i, x, rows);
    const int64_t end = t.high[rows - 1], shared = t.low[rows - 1];
    const int64_t shared_end = highest(shared, t.high[0]);
    float *out = p->out + (i - p->begin) * WIDTH + x;
    for (int64_t from = t.low[0]; from < end;) {
        const int64_t to = lowest(end, (from / PEL__GAUSS_SEGMENT + 1) * PEL__GAUSS_SEGMENT);
        const int64_t a = lowest(to, highest(from, shared)), b = highest(a, lowest(to, shared_end));
        vf sum[ROWS][VECTORS];
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < VECTORS; c++)
                sum[r][c] = splat(0.0f);
        }
        add_ragged(sum, &t, from, a, rows);
        if (b > a)
            add_shared(sum, &t, a, b, rows);
        add_ragged(sum, &t, b, to, rows);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < VECTORS; c++) {
                float *o = out + r * WIDTH + (int64_t)c * PEL_LANES;
                store(o, (from == t.low[0] ? splat(0.0f) : load(o)) + sum[r][c]);
            }
        }
        from = to;
    }
}

void PEL_KERNEL(const pel__gauss_panel *p)
{
    for (int64_t i = p->begin; i < p->end; i += ROWS) {
        /* A short last tile is made with outputs that are known already: they get the same bits again. */
        const int64_t first = highest(p->begin, lowest(i, p->end - ROWS));
        for (int64_t x = 0; x < WIDTH; x += (int64_t)VECTORS * PEL_LANES) {
            if (p->end - p->begin >= ROWS) {
                make_tile(p, first, x, ROWS);
            } else {
                for (int64_t one = p->begin; one < p->end; one++)
                    make_tile(p, one, x, 1);
            }
        }
    }
}
