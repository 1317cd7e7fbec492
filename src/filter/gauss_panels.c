/* SPDX-License-Identifier: MIT
 * Lines of a block into panels and results out of them: lines along x are turned, others are copied side by side. */
#include "filter/gauss_panels.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"

#include <string.h>

#define COLUMNS PEL__GAUSS_COLUMNS

static void row_place(const pel__bundle *b, int64_t row, int64_t at[PEL_AXES])
{
    for (int a = PEL_Y; a >= 0; a--) {
        at[a] = b->region->origin[a] + row % b->region->shape[a];
        row /= b->region->shape[a];
    }
    at[PEL_X] = b->region->origin[PEL_X];
}

int64_t pel__bundles(const pel_region *r, int axis, int64_t width)
{
    const int64_t rows = pel__region_voxels(r) / pel__max(1, r->shape[PEL_X]);
    return axis == PEL_X ? pel__ceil_div(rows, width) : rows / r->shape[axis] * pel__ceil_div(r->shape[PEL_X], width);
}

pel__bundle pel__bundle_at(const pel_region *r, int axis, int64_t width, int64_t index)
{
    pel__bundle b = {.region = r, .axis = axis, .first = index * width};
    if (axis == PEL_X) {
        b.count = pel__min(width, pel__region_voxels(r) / r->shape[PEL_X] - b.first);
        return b;
    }
    const int64_t across = pel__ceil_div(r->shape[PEL_X], width), x = index % across * width;
    int64_t rest = index / across;
    for (int a = PEL_Y; a >= 0; a--) {
        b.at[a] = r->origin[a] + (a == axis ? 0 : rest % r->shape[a]);
        rest /= a == axis ? 1 : r->shape[a];
    }
    b.at[PEL_X] = r->origin[PEL_X] + x;
    b.count = pel__min(width, r->shape[PEL_X] - x);
    return b;
}

/* Voxels that are floats side by side need no conversion. */
static bool is_plain(const pel_block *b) { return b->dtype == PEL_F32 && b->stride[PEL_X] == 1; }

/* n voxels of a row as floats. */
static void read_voxels(float *dst, const pel_block *b, const char *src, int64_t n)
{
    const int64_t step = b->stride[PEL_X] * (int64_t)pel_dtype_size(b->dtype);
    if (is_plain(b)) {
        memcpy(dst, src, (size_t)n * sizeof *dst);
        return;
    }
    if (b->stride[PEL_X] == 1) {
        pel__to_float(dst, src, b->dtype, n);
        return;
    }
    for (int64_t x = 0; x < n; x++)
        pel__to_float(dst + x, src + x * step, b->dtype, 1);
}

static void write_voxels(const pel_block *b, float *dst, const float *src, int64_t n)
{
    if (b->stride[PEL_X] == 1) {
        memcpy(dst, src, (size_t)n * sizeof *src);
        return;
    }
    for (int64_t x = 0; x < n; x++)
        dst[x * b->stride[PEL_X]] = src[x];
}

static void take_off(float *v, float ground, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] -= ground;
}

#define LINE 64 /* bytes of a cache line */
#define AHEAD 4 /* rows that are fetched before they are needed */

static void read_across(const pel__panels *p, const pel__bundle *b, const pel_block *src, int64_t begin, int64_t end)
{
    const int64_t size = src->stride[PEL_X] * (int64_t)pel_dtype_size(src->dtype), ahead = size * b->count;
    const int64_t far = AHEAD * src->stride[b->axis] * (int64_t)pel_dtype_size(src->dtype);
    int64_t at[PEL_AXES];
    memcpy(at, b->at, sizeof at);
    for (at[b->axis] = begin; at[b->axis] < end; at[b->axis]++) {
        const char *from = pel__block_at(src, at);
        for (int64_t i = 0; i < ahead && at[b->axis] + AHEAD < end; i += LINE) /* pages apart: no machine guesses them */
            __builtin_prefetch(from + far + i);
        for (int64_t x = 0; x < b->count; x += COLUMNS) {
            float *to = p->data + (x / COLUMNS * p->room + at[b->axis] - p->first) * COLUMNS;
            const int64_t n = pel__min(COLUMNS, b->count - x);
            read_voxels(to, src, from + x * size, n);
            if (p->ground != 0)
                take_off(to, p->ground, n);
            memset(to + n, 0, (size_t)(COLUMNS - n) * sizeof *to);
        }
    }
}

static void write_across(const pel__bundle *b, const pel_block *dst, const float *panel, int64_t room, int64_t begin, int64_t end)
{
    int64_t at[PEL_AXES];
    memcpy(at, b->at, sizeof at);
    for (at[b->axis] = begin; at[b->axis] < end; at[b->axis]++) {
        float *to = pel__block_at(dst, at);
        for (int64_t x = 0; x < b->count; x += COLUMNS)
            write_voxels(dst, to + x * dst->stride[PEL_X], panel + (x / COLUMNS * room + at[b->axis] - begin) * COLUMNS,
                         pel__min(COLUMNS, b->count - x));
    }
}

#define TURN 16 /* voxels of a row that are turned at once */

typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* Four rows of four become four columns. */
static inline void turn_four(float *const dst[4], const float *const src[4])
{
    const quad a = *(const quad *)src[0], b = *(const quad *)src[1], c = *(const quad *)src[2], d = *(const quad *)src[3];
    const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(quad *)dst[0] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(quad *)dst[1] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(quad *)dst[2] = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(quad *)dst[3] = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/* TURN voxels of COLUMNS rows into a panel, or back. */
static void turn_in(float *panel, const float *const row[COLUMNS])
{
    for (int64_t r = 0; r < COLUMNS; r += 4) {
        for (int64_t x = 0; x < TURN; x += 4) {
            float *const to = panel + x * COLUMNS + r;
            turn_four((float *const[]){to, to + COLUMNS, to + 2 * COLUMNS, to + 3 * COLUMNS},
                      (const float *const[]){row[r] + x, row[r + 1] + x, row[r + 2] + x, row[r + 3] + x});
        }
    }
}

static void turn_out(float *const row[COLUMNS], const float *panel)
{
    for (int64_t r = 0; r < COLUMNS; r += 4) {
        for (int64_t x = 0; x < TURN; x += 4) {
            const float *const from = panel + x * COLUMNS + r;
            turn_four((float *const[]){row[r] + x, row[r + 1] + x, row[r + 2] + x, row[r + 3] + x},
                      (const float *const[]){from, from + COLUMNS, from + 2 * COLUMNS, from + 3 * COLUMNS});
        }
    }
}

/* Addresses of voxel x of up to COLUMNS rows from number `first` on; the rest are those of the last one. */
static void find_rows(char *row[COLUMNS], const pel__bundle *b, const pel_block *block, int64_t first, int64_t x)
{
    for (int64_t r = 0; r < COLUMNS; r++) {
        int64_t at[PEL_AXES];
        row_place(b, b->first + pel__min(first + r, b->count - 1), at);
        at[PEL_X] = x;
        row[r] = pel__block_at(block, at);
    }
}

static void read_along(const pel__panels *p, const pel__bundle *b, const pel_block *src, int64_t begin, int64_t end)
{
    float tile[COLUMNS * TURN] = {0}, turned[TURN * COLUMNS];
    const int64_t size = src->stride[PEL_X] * (int64_t)pel_dtype_size(src->dtype);
    for (int64_t g = 0; g < b->count && begin < end; g += COLUMNS) {
        char *row[COLUMNS];
        const float *floats[COLUMNS];
        find_rows(row, b, src, g, begin);
        for (int64_t x = begin; x < end; x += TURN) {
            const int64_t n = pel__min(TURN, end - x);
            const bool direct = n == TURN && is_plain(src);
            float *to = p->data + (g / COLUMNS * p->room + x - p->first) * COLUMNS;
            for (int64_t r = 0; r < COLUMNS; r++) {
                floats[r] = direct ? (const float *)(void *)row[r] + (x - begin) : tile + r * TURN;
                if (!direct)
                    read_voxels(tile + r * TURN, src, row[r] + (x - begin) * size, n);
            }
            turn_in(n == TURN ? to : turned, floats);
            if (n < TURN)
                memcpy(to, turned, (size_t)(n * COLUMNS) * sizeof *turned);
            if (p->ground != 0)
                take_off(to, p->ground, n * COLUMNS);
        }
    }
}

static void write_along(const pel__bundle *b, const pel_block *dst, const float *panel, int64_t room, int64_t begin, int64_t end)
{
    float tile[COLUMNS * TURN], whole[TURN * COLUMNS] = {0};
    for (int64_t g = 0; g < b->count; g += COLUMNS) {
        char *row[COLUMNS];
        float *floats[COLUMNS];
        const int64_t rows = pel__min(COLUMNS, b->count - g);
        find_rows(row, b, dst, g, begin);
        for (int64_t x = begin; x < end; x += TURN) {
            const int64_t n = pel__min(TURN, end - x);
            const bool direct = n == TURN && rows == COLUMNS && is_plain(dst);
            const float *from = panel + (g / COLUMNS * room + x - begin) * COLUMNS;
            for (int64_t r = 0; r < COLUMNS; r++)
                floats[r] = direct ? (float *)(void *)row[r] + (x - begin) : tile + r * TURN;
            if (n < TURN)
                memcpy(whole, from, (size_t)(n * COLUMNS) * sizeof *whole);
            turn_out(floats, n < TURN ? whole : from);
            for (int64_t r = 0; r < rows && !direct; r++)
                write_voxels(dst, (float *)(void *)row[r] + (x - begin) * dst->stride[PEL_X], floats[r], n);
        }
    }
}

void pel__panels_fill(pel__panels *p, const pel__bundle *b, const pel_block *src, int64_t begin, int64_t end)
{
    const int64_t kept = pel__max(0, p->end - begin);
    for (int64_t g = 0; kept > 0 && begin > p->first && g * COLUMNS < b->count; g++) {
        float *group = p->data + g * p->room * COLUMNS;
        memmove(group, group + (begin - p->first) * COLUMNS, (size_t)(kept * COLUMNS) * sizeof *group);
    }
    p->first = begin;
    const int64_t from = begin + kept;
    p->end = pel__max(end, from);
    if (b->axis == PEL_X)
        read_along(p, b, src, from, end);
    else
        read_across(p, b, src, from, end);
}

void pel__panels_put(const pel__bundle *b, const pel_block *dst, const float *panel, int64_t room, int64_t begin, int64_t end)
{
    if (b->axis == PEL_X)
        write_along(b, dst, panel, room, begin, end);
    else
        write_across(b, dst, panel, room, begin, end);
}
