/* SPDX-License-Identifier: MIT
 * Cells of 8 x 8 pixels by their cosine transform. Only coefficients that vary along y and x count: the others hold all
 * of a ramp's energy and of edges along the axes. White noise is equally strong in all 49 of them and independent from
 * one to the next, whereas structure is strongest in the lowest, so that a part of them tells whether there is structure
 * without touching the noise in the others. */
#include "noise/cells.h"

#include <math.h>
#include <stdlib.h>

#define SIDE PEL__CELL
#define TILE PEL__CELL_TILE
#define BANDS PEL__CELL_BANDS
#define LEAST 1e-12 /* of the mean's square: a cell's energy below is float32's rounding, the cell a plane */

static const int band_end[BANDS] = {9, 18, 30, 46, 65, 99}; /* of u^2 + v^2 */

static int band_of(int64_t v, int64_t u)
{
    int band = 0;
    while (u * u + v * v >= band_end[band])
        band++;
    return band;
}

int64_t pel__cell_coefficients(int band)
{
    int64_t n = 0;
    for (int64_t v = 1; v < SIDE; v++) {
        for (int64_t u = 1; u < SIDE; u++)
            n += band_of(v, u) == band;
    }
    return n;
}

double pel__cell_counts(int band)
{
    return band < 2 ? 1.0 : 0.5;
}

double pel__cell_energy(const float energy[BANDS])
{
    double sum = 0;
    for (int j = 0; j < BANDS; j++)
        sum += pel__cell_counts(j) * energy[j];
    return sum;
}

bool pel__cells_create(pel__cells *c, pel_error *err)
{
    const double pi = 3.14159265358979323846;
    *c = (pel__cells){.thin = {.stride = 1}};
    c->kept = malloc(PEL__CELLS * sizeof *c->kept);
    c->tile = malloc((size_t)TILE * TILE * sizeof *c->tile);
    c->valid = malloc((size_t)TILE * TILE);
    for (int u = 0; u < SIDE; u++) {
        for (int i = 0; i < SIDE; i++)
            c->basis[u][i] = sqrt((u ? 2.0 : 1.0) / SIDE) * cos(pi * (2 * i + 1) * u / (2 * SIDE));
        for (int v = 0; v < SIDE; v++)
            c->band[v][u] = (unsigned char)band_of(v, u);
    }
    return (c->kept && c->tile && c->valid) || pel__fail(err, PEL_NO_MEMORY, "no memory for the noise estimate");
}

void pel__cells_destroy(pel__cells *c)
{
    free(c->valid);
    free(c->tile);
    free(c->kept);
}

/* Energies of the bands of the cell whose first pixel is p, with values about their mean. */
static void transform(const pel__cells *c, const float *p, int64_t nx, pel__cell *cell)
{
    double rows[SIDE][SIDE], energy[BANDS] = {0};
    for (int y = 0; y < SIDE; y++) {
        for (int u = 1; u < SIDE; u++) {
            rows[y][u] = 0;
            for (int x = 0; x < SIDE; x++)
                rows[y][u] += c->basis[u][x] * ((double)p[y * nx + x] - cell->mean);
        }
    }
    for (int v = 1; v < SIDE; v++) {
        for (int u = 1; u < SIDE; u++) {
            double sum = 0;
            for (int y = 0; y < SIDE; y++)
                sum += c->basis[v][y] * rows[y][u];
            energy[c->band[v][u]] += sum * sum;
        }
    }
    for (int j = 0; j < BANDS; j++)
        cell->energy[j] = (float)energy[j];
}

static bool look_at(const pel__cells *c, const float *p, int64_t nx, double saturation, pel__cell *cell)
{
    double sum = 0;
    float top = -INFINITY, bottom = INFINITY;
    bool odd = false;
    for (int64_t y = 0; y < SIDE; y++) {
        for (int64_t x = 0; x < SIDE; x++) {
            const float v = p[y * nx + x];
            odd |= !(fabsf(v) < 1e15f); /* also what float32 could not square */
            sum += v;
            top = fmaxf(top, v);
            bottom = fminf(bottom, v);
        }
    }
    if (odd || top == bottom || (saturation > 0 && top >= saturation))
        return false;
    cell->mean = (float)(sum / (SIDE * SIDE));
    cell->top = top;
    transform(c, p, nx, cell);
    return pel__cell_energy(cell->energy) > LEAST * cell->mean * cell->mean;
}

/* What the up to eight cells around cell (y, x) of the tile say; false without any. */
static bool look_around(const pel__cells *c, int64_t ny, int64_t nx, int64_t at, pel__cell *cell)
{
    const int64_t y = at / TILE, x = at % TILE;
    double mean = 0, energy = 0;
    int64_t count = 0;
    for (int64_t j = y > 0 ? y - 1 : 0; j <= y + 1 && j < ny; j++) {
        for (int64_t i = x > 0 ? x - 1 : 0; i <= x + 1 && i < nx; i++) {
            const int64_t k = j * TILE + i;
            if (k == at || !c->valid[k])
                continue;
            mean += c->tile[k].mean;
            energy += pel__cell_energy(c->tile[k].energy);
            count++;
        }
    }
    if (count == 0)
        return false;
    cell->around = (float)(mean / (double)count);
    cell->near = (float)(energy / (double)count);
    return true;
}

/* A tile of ny x nx cells, the first pixel at p, whose lines are `line` apart. */
static void add_tile(pel__cells *c, const float *p, int64_t line, const int64_t n[2], double saturation)
{
    for (int64_t y = 0; y < n[0]; y++) {
        for (int64_t x = 0; x < n[1]; x++)
            c->valid[y * TILE + x] = look_at(c, p + (y * line + x) * SIDE, line, saturation, &c->tile[y * TILE + x]);
    }
    for (int64_t y = 0; y < n[0]; y++) {
        for (int64_t x = 0; x < n[1]; x++) {
            const int64_t at = y * TILE + x;
            if (c->valid[at] && look_around(c, n[0], n[1], at, &c->tile[at]))
                pel__thin_add(&c->thin, c->kept, PEL__CELLS, &c->tile[at], sizeof *c->kept);
        }
    }
}

static void add_grid(pel__cells *c, const float *pixels, int64_t line, const int64_t cells[2], double saturation)
{
    for (int64_t y = 0; y < cells[0]; y += TILE) {
        for (int64_t x = 0; x < cells[1]; x += TILE) {
            const int64_t n[2] = {cells[0] - y < TILE ? cells[0] - y : TILE, cells[1] - x < TILE ? cells[1] - x : TILE};
            add_tile(c, pixels + (y * line + x) * SIDE, line, n, saturation);
        }
    }
}

/* Four grids, half a cell apart: more cells between edges. */
void pel__cells_add(pel__cells *c, const float *pixels, int64_t ny, int64_t nx, double saturation)
{
    for (int64_t y = 0; y < SIDE; y += SIDE / 2) {
        for (int64_t x = 0; x < SIDE; x += SIDE / 2) {
            if (y < ny && x < nx)
                add_grid(c, pixels + y * nx + x, nx, (const int64_t[]){(ny - y) / SIDE, (nx - x) / SIDE}, saturation);
        }
    }
}

double pel__cells_overlap(const pel__cells *c)
{
    return c->thin.stride < 4 ? 4.0 / (double)c->thin.stride : 1.0;
}
