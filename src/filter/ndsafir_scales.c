/* SPDX-License-Identifier: MIT
 * See ndsafir_scales.h. */
#include "filter/ndsafir_scales.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"

#include <math.h>
#include <string.h>

int64_t pel__scales_bin(const int64_t shape[PEL_AXES], int axis)
{
    return (axis == PEL_Y || axis == PEL_X) && shape[axis] > 1 ? 2 : 1;
}

pel_region pel__scales_image(const pel_region *fine)
{
    pel_region r = *fine;
    for (int a = PEL_Y; a <= PEL_X; a++)
        r.shape[a] = pel__ceil_div(fine->shape[a], pel__scales_bin(fine->shape, a));
    return r;
}

/* Interpolation takes the next cell to one side and B one more to both: cells (x - 3) / 2 to (x + 3) / 2. */
pel_region pel__scales_cells(const pel_region *out, const pel_region *image)
{
    pel_region r = *out;
    for (int a = PEL_Y; a <= PEL_X; a++) {
        if (pel__scales_bin(image->shape, a) == 1)
            continue;
        const int64_t cells = pel__ceil_div(image->shape[a], 2);
        const int64_t first = pel__max(0, out->origin[a] - 3) / 2;
        const int64_t end = pel__min(cells, (out->origin[a] + out->shape[a] + 2) / 2 + 1);
        r.origin[a] = first;
        r.shape[a] = end - first;
    }
    return r;
}

pel_region pel__scales_voxels(const pel_region *cells, const pel_region *image)
{
    pel_region r = *cells;
    for (int a = PEL_Y; a <= PEL_X; a++) {
        const int64_t n = image->shape[a];
        if (pel__scales_bin(image->shape, a) == 1)
            continue;
        const int64_t end = pel__min(n, 2 * (cells->origin[a] + cells->shape[a]));
        r.origin[a] = 2 * cells->origin[a];
        if (r.origin[a] == n - 1) /* half a cell, alone */
            r.origin[a]--;
        r.shape[a] = end - r.origin[a];
    }
    return r;
}

/* ---- to cells ---------------------------------------------------------------------------------------------------------- */

#define CHUNK 256 /* cells at once */

/* Means of n cells from x0 on, times factor. rows: of voxels, the first at the first cell's. */
static void bin_row(float *dst, const float *const rows[2], int64_t x0, int64_t n, const pel__scales *s, float factor)
{
    const float *const a = rows[0], *const b = rows[1];
    const int64_t width = s->image->shape[PEL_X];
    if (width == 1) {
        dst[0] = (a[0] + b[0]) * (0.5f * factor);
        return;
    }
    factor *= 0.25f;
    const int64_t whole = pel__max(0, pel__min(n, width / 2 - x0));
    s->isa->bin(dst, rows, whole, factor);
    for (int64_t i = whole; i < n; i++) /* the last voxel and, mirrored, the one before */
        dst[i] = ((a[2 * i] + a[2 * i - 1]) + (b[2 * i] + b[2 * i - 1])) * factor;
}

/* The rows of voxels of a row of cells: twice the same where the image is one voxel high, mirrored where half a cell is left. */
static void rows_of(const pel_region *image, int64_t y, int64_t rows[2])
{
    const bool binned = pel__scales_bin(image->shape, PEL_Y) == 2;
    rows[0] = binned ? 2 * y : y;
    rows[1] = !binned ? y : 2 * y + 1 < image->shape[PEL_Y] ? 2 * y + 1 : 2 * y - 1;
}

/* From means of voxels of unit variance to cells of unit variance. */
static float factor_of(const pel_region *image)
{
    return sqrtf((float)(pel__scales_bin(image->shape, PEL_Y) * pel__scales_bin(image->shape, PEL_X)));
}

void pel__scales_read(float *dst, const int64_t at[PEL_AXES], int64_t n, const pel__scales *s,
                      void (*row)(const void *arg, float *dst, const int64_t at[PEL_AXES], int64_t n), const void *arg)
{
    const int64_t width = s->image->shape[PEL_X], bin = pel__scales_bin(s->image->shape, PEL_X);
    const float factor = factor_of(s->image);
    float buffer[2][2 * CHUNK + 1]; /* from one voxel before the cells on */
    int64_t rows[2], here[PEL_AXES];
    memcpy(here, at, sizeof here);
    rows_of(s->image, at[PEL_Y], rows);
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t first = at[PEL_X] + i, count = pel__min(CHUNK, n - i), end = pel__min(width, bin * (first + count));
        const bool half = count == 1 && end < bin * (first + count); /* needs the voxel before, too */
        here[PEL_X] = bin * first - half;
        for (int k = 0; k < 2; k++) {
            here[PEL_Y] = rows[k];
            row(arg, buffer[k] + 1 - half, here, end - here[PEL_X]);
        }
        bin_row(dst + i, (const float *const[2]){buffer[0] + 1, buffer[1] + 1}, first, count, s, factor);
    }
}

void pel__scales_means(float *cells, const int64_t at[PEL_AXES], int64_t n, const pel_block *u, const pel__scales *s)
{
    const float *from[2];
    int64_t rows[2], here[PEL_AXES];
    memcpy(here, at, sizeof here);
    rows_of(s->image, at[PEL_Y], rows);
    here[PEL_X] = pel__scales_bin(s->image->shape, PEL_X) * at[PEL_X];
    for (int k = 0; k < 2; k++) {
        here[PEL_Y] = rows[k];
        from[k] = pel__block_at(u, here);
    }
    bin_row(cells, from, at[PEL_X], n, s, 1.0f);
}

void pel__scales_difference(float *cells, const float *estimate, int64_t n, const pel__scales *s)
{
    const float scale = 1.0f / factor_of(s->image);
    for (int64_t x = 0; x < n; x++) {
        const float d = estimate[x] * scale - cells[x];
        cells[x] = d == d ? d : 0.0f;
    }
}

/* ---- back to voxels ---------------------------------------------------------------------------------------------------- */

/* Of interpolation after B, at the cell k that an even voxel lies in: cells k-2 .. k+1. Odd voxels: k+2 .. k-1. */
static const float taps[4] = {0.0625f, 0.3125f, 0.4375f, 0.1875f};

/* The cells that voxel i takes, nearest the face where that leaves the image, and their weights in the order of cells. */
static void stencil(int64_t i, int64_t cells, bool binned, int64_t at[4], float weight[4])
{
    for (int k = 0; k < 4; k++) {
        const int64_t cell = !binned ? i : i % 2 == 0 ? i / 2 - 2 + k : i / 2 - 1 + k;
        at[k] = pel__max(0, pel__min(cells - 1, cell));
        weight[k] = !binned ? (k == 0 ? 1.0f : 0.0f) : taps[i % 2 == 0 ? k : 3 - k];
    }
}

/* Differences along the row of cells from x0 on, already weighted along y; beyond the faces the last one once more. */
static void across(float *sum, const int64_t at[PEL_AXES], int64_t x0, int64_t n, const pel_block *d, const pel_region *cells, bool binned)
{
    int64_t row[4], here[PEL_AXES];
    float weight[4];
    memcpy(here, at, sizeof here);
    stencil(at[PEL_Y], cells->shape[PEL_Y], binned, row, weight);
    const int64_t begin = pel__max(x0, d->region.origin[PEL_X]), end = pel__min(x0 + n, d->region.origin[PEL_X] + d->region.shape[PEL_X]);
    const float *from[4];
    here[PEL_X] = begin;
    for (int k = 0; k < 4; k++) {
        here[PEL_Y] = row[k];
        from[k] = pel__block_at(d, here);
    }
    for (int64_t i = 0; i < end - begin; i++)
        sum[begin - x0 + i] = (weight[0] * from[0][i] + weight[1] * from[1][i]) + (weight[2] * from[2][i] + weight[3] * from[3][i]);
    for (int64_t x = x0; x < begin; x++)
        sum[x - x0] = sum[begin - x0];
    for (int64_t x = end; x < x0 + n; x++)
        sum[x - x0] = sum[end - 1 - x0];
}

void pel__scales_correct(float *u, const int64_t at[PEL_AXES], int64_t n, const pel_block *differences, const pel__scales *s)
{
    const pel_region cells = pel__scales_image(s->image);
    const bool by_y = cells.shape[PEL_Y] < s->image->shape[PEL_Y], by_x = cells.shape[PEL_X] < s->image->shape[PEL_X];
    float sum[CHUNK + 4], change[2 * CHUNK];
    if (!by_x) { /* one voxel wide */
        across(sum, at, 0, 1, differences, &cells, by_y);
        u[0] += sum[0];
        return;
    }
    for (int64_t x = at[PEL_X]; x < at[PEL_X] + n;) {
        const int64_t first = x / 2, end = pel__min(at[PEL_X] + n, 2 * (first + CHUNK));
        const int64_t count = (end + 1) / 2 - first;
        across(sum, at, first - 2, count + 4, differences, &cells, by_y);
        s->isa->spread(change, sum, taps, count);
        for (; x < end; x++)
            u[x - at[PEL_X]] += change[x - 2 * first];
    }
}
