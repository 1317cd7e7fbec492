/* SPDX-License-Identifier: MIT
 * The scene of the phantom: a smooth background, curved filaments, nuclei, vesicles and membranes, all moving and
 * changing brightness over time.
 *
 * Each population lives in a grid of cells. The hash of a cell decides what begins in it, and nothing reaches further
 * than the population's `reach`, so a brick needs only the cells around it: any region of an image of any size costs
 * the same per voxel. Everything is drawn from soft ellipsoids with compact support (polynomials, no exponentials);
 * a filament is a string of small overlapping ones.
 *
 * Bits do not depend on the brick: an object's contribution to a voxel is computed from the voxel's global coordinates,
 * and contributions are added in the order of cells and objects, which is the same for every brick. */
#include "source/phantom_model.h"

#include "core/bytes.h"
#include "source/phantom_random.h"

#include <math.h>

enum population { FILAMENTS, NUCLEI, VESICLES, MEMBRANES, POPULATIONS };

/* Voxels. `reach` >= radius + movement of everything in the population, from the cell's border. */
static const struct { int64_t cell, reach; int32_t count; } populations[POPULATIONS] = {
    [FILAMENTS] = {128, 126, 34},
    [NUCLEI] = {132, 60, 1},
    [VESICLES] = {64, 24, 10},
    [MEMBRANES] = {132, 98, 1},
};

/* Filaments lie nearly flat, as in cells on glass: they reach less far in z. */
static int64_t reach_of(enum population p, int axis) { return p == FILAMENTS && axis == 0 ? 24 : populations[p].reach; }

/* How much of each population a channel sees: its own, and some of the others as labels overlap. */
static const struct {
    const char *name;
    double excitation_nm, emission_nm;
    uint32_t rgb;
    float background, weight[POPULATIONS];
} kinds[PEL__PHANTOM_KINDS] = {
    {"Filaments", 488, 517, 0x33FF66, 4.0f, {1.0f, 0.22f, 0.45f, 0.0f}},
    {"Nuclei", 405, 461, 0x4080FF, 3.0f, {0.04f, 1.0f, 0.0f, 0.06f}},
    {"Vesicles", 561, 603, 0xFF4060, 5.0f, {0.0f, 0.1f, 1.3f, 0.25f}},
    {"Membranes", 640, 668, 0xFFC030, 3.5f, {0.1f, 0.0f, 0.25f, 1.0f}},
};

const char *pel__phantom_kind_name(int64_t c) { return kinds[c % PEL__PHANTOM_KINDS].name; }
uint32_t pel__phantom_kind_rgb(int64_t c) { return kinds[c % PEL__PHANTOM_KINDS].rgb; }
void pel__phantom_kind_waves(int64_t c, double *excitation_nm, double *emission_nm)
{
    *excitation_nm = kinds[c % PEL__PHANTOM_KINDS].excitation_nm;
    *emission_nm = kinds[c % PEL__PHANTOM_KINDS].emission_nm;
}

/* ---- soft ellipsoids ----------------------------------------------------------------------------------------- */

enum profile { SOFT, FLAT, SHELL };

/* q(d) = xx dx^2 + 2 xy dx dy + yy dy^2 + zz dz^2; inside where q < limit. The centre is split into whole voxels and
 * a rest, so that distances are exact to float precision anywhere in the image. */
typedef struct ellipsoid {
    double at[3]; /* z y x */
    float xx, xy, yy, zz, limit, amplitude, edge;
    enum profile profile;
} ellipsoid;

static void row_soft(float *out, int64_t n, float x0, const float k[4], const ellipsoid *e)
{
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)i + x0, q = (k[0] * x + k[1]) * x + k[2];
        const float m = q < 1.0f ? 1.0f - q : 0.0f;
        out[i] += e->amplitude * (m * m * m);
    }
}

static void row_flat(float *out, int64_t n, float x0, const float k[4], const ellipsoid *e)
{
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)i + x0, q = (k[0] * x + k[1]) * x + k[2];
        float m = (1.0f - q) * e->edge;
        m = m < 0.0f ? 0.0f : m > 1.0f ? 1.0f : m;
        out[i] += e->amplitude * (m * m * (3.0f - 2.0f * m));
    }
}

static void row_shell(float *out, int64_t n, float x0, const float k[4], const ellipsoid *e)
{
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)i + x0, q = (k[0] * x + k[1]) * x + k[2];
        const float d = (sqrtf(q > 0.0f ? q : 0.0f) - 1.0f) * e->edge, m = d * d < 1.0f ? 1.0f - d * d : 0.0f;
        out[i] += e->amplitude * (m * m);
    }
}

/* The voxels of one line that can be inside: the roots of the quadratic, widened by one voxel, cut at the brick.
 * `ix` is the whole part of the centre. */
static bool row_span(const pel__brick *b, int64_t ix, const float k[4], float limit, int64_t span[2])
{
    const float c = k[2] - limit, half = 0.5f * k[1] / k[0], disc = half * half - c / k[0];
    if (!(disc > 0.0f))
        return false;
    const float r = sqrtf(disc);
    span[0] = pel__max(b->origin[2], ix + (int64_t)floorf(-half - r) - 1);
    span[1] = pel__min(b->origin[2] + b->shape[2], ix + (int64_t)ceilf(r - half) + 2);
    return span[0] < span[1];
}

static void add_row(const pel__brick *b, const ellipsoid *e, int64_t z, int64_t y, const int64_t ic[3])
{
    const float dz = (float)(z - ic[0]) - (float)(e->at[0] - (double)ic[0]);
    const float dy = (float)(y - ic[1]) - (float)(e->at[1] - (double)ic[1]);
    const float fx = (float)(e->at[2] - (double)ic[2]);
    /* In whole voxels i from ic: x = i - fx. Written as a polynomial in i so that the loop has no subtraction. */
    const float lin = 2.0f * e->xy * dy;
    const float k[4] = {e->xx, lin - 2.0f * e->xx * fx, (e->xx * fx - lin) * fx + e->yy * dy * dy + e->zz * dz * dz, 0.0f};
    int64_t span[2];
    if (!row_span(b, ic[2], k, e->limit, span))
        return;
    float *out = b->data + ((z - b->origin[0]) * b->shape[1] + y - b->origin[1]) * b->shape[2] + span[0] - b->origin[2];
    const float x0 = (float)(span[0] - ic[2]);
    const int64_t n = span[1] - span[0];
    switch (e->profile) {
    case SOFT: row_soft(out, n, x0, k, e); break;
    case FLAT: row_flat(out, n, x0, k, e); break;
    case SHELL: row_shell(out, n, x0, k, e); break;
    }
}

/* Half extent along z and y of q < limit. */
static void extents(const ellipsoid *e, double half[2])
{
    half[0] = sqrt((double)(e->limit / e->zz));
    half[1] = sqrt((double)(e->limit * e->xx / (e->xx * e->yy - e->xy * e->xy)));
}

static void add_ellipsoid(const pel__brick *b, const ellipsoid *e)
{
    double half[2];
    extents(e, half);
    int64_t lo[2], hi[2];
    for (int a = 0; a < 2; a++) {
        lo[a] = pel__max(b->origin[a], (int64_t)floor(e->at[a] - half[a]));
        hi[a] = pel__min(b->origin[a] + b->shape[a], (int64_t)ceil(e->at[a] + half[a]) + 1);
    }
    const int64_t ic[3] = {(int64_t)floor(e->at[0]), (int64_t)floor(e->at[1]), (int64_t)floor(e->at[2])};
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            add_row(b, e, z, y, ic);
}

/* Radii along z, the long and the short axis, which is turned by `angle` in the plane. */
static ellipsoid shape_of(const double at[3], const float radius[3], float angle)
{
    const float s = sinf(angle), c = cosf(angle);
    const float l = 1.0f / (radius[1] * radius[1]), w = 1.0f / (radius[2] * radius[2]);
    ellipsoid e = {.at = {at[0], at[1], at[2]}, .limit = 1.0f, .profile = SOFT};
    e.xx = c * c * l + s * s * w;
    e.yy = s * s * l + c * c * w;
    e.xy = c * s * (l - w);
    e.zz = 1.0f / (radius[0] * radius[0]);
    return e;
}

/* Longer along z, as every microscope sees it. */
#define STRETCH_Z 1.7f

static void add_ball(const pel__brick *b, const double at[3], float radius, float amplitude)
{
    const float q = 1.0f / (radius * radius);
    const ellipsoid e = {.at = {at[0], at[1], at[2]}, .xx = q, .yy = q, .zz = q / (STRETCH_Z * STRETCH_Z), .limit = 1.0f, .amplitude = amplitude};
    for (int a = 0; a < 3; a++) {
        const double r = (double)(a == 0 ? STRETCH_Z * radius : radius);
        if (at[a] + r < (double)b->origin[a] || at[a] - r > (double)(b->origin[a] + b->shape[a]))
            return;
    }
    add_ellipsoid(b, &e);
}

/* ---- smooth fields ------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static float smooth(float f) { return f * f * (3.0f - 2.0f * f); }

static float lattice(uint64_t key, int64_t z, int64_t y, int64_t x)
{
    return pel__unitf(pel__draw(pel__key(key, z) + (uint64_t)y * UINT64_C(0xA24BAED4963EE407), (uint64_t)x));
}

/* Value noise in [0, 1] with lattice spacing `step`: at lattice column ix, blended over z and y. */
static float lattice_column(uint64_t key, int64_t step, int64_t z, int64_t y, int64_t ix)
{
    const int64_t iz = floor_div(z, step), iy = floor_div(y, step);
    const float fz = smooth((float)(z - iz * step) / (float)step), fy = smooth((float)(y - iy * step) / (float)step);
    const float a = lattice(key, iz, iy, ix), b = lattice(key, iz, iy + 1, ix);
    const float c = lattice(key, iz + 1, iy, ix), d = lattice(key, iz + 1, iy + 1, ix);
    const float lo = a + (b - a) * fy, hi = c + (d - c) * fy;
    return lo + (hi - lo) * fz;
}

static float field_at(uint64_t key, int64_t step, const double at[3])
{
    const int64_t z = (int64_t)floor(at[0]), y = (int64_t)floor(at[1]), x = (int64_t)floor(at[2]), ix = floor_div(x, step);
    const float lo = lattice_column(key, step, z, y, ix), hi = lattice_column(key, step, z, y, ix + 1);
    return lo + (hi - lo) * smooth((float)(x - ix * step) / (float)step);
}

static void add_field_row(float *out, int64_t n, const int64_t at[3], uint64_t key, int64_t step, float amplitude)
{
    int64_t ix = floor_div(at[2], step);
    float lo = lattice_column(key, step, at[0], at[1], ix);
    for (int64_t i = 0; i < n; ix++) {
        const float hi = lattice_column(key, step, at[0], at[1], ix + 1);
        const int64_t end = pel__min(n, (ix + 1) * step - at[2]);
        for (; i < end; i++) {
            const float f = (float)(at[2] + i - ix * step) / (float)step;
            out[i] += amplitude * (lo + (hi - lo) * (f * f * (3.0f - 2.0f * f)));
        }
        lo = hi;
    }
}

static void fill_background(const pel__brick *b, uint64_t key, float level)
{
    const uint64_t wide = pel__key(key, 1), fine = pel__key(key, 2);
    float *row = b->data;
    for (int64_t z = 0; z < b->shape[0]; z++)
        for (int64_t y = 0; y < b->shape[1]; y++, row += b->shape[2]) {
            const int64_t at[3] = {b->origin[0] + z, b->origin[1] + y, b->origin[2]};
            for (int64_t x = 0; x < b->shape[2]; x++)
                row[x] = 0.4f * level;
            add_field_row(row, b->shape[2], at, wide, 300, 1.6f * level);
            add_field_row(row, b->shape[2], at, fine, 70, 0.5f * level);
        }
}

/* ---- populations --------------------------------------------------------------------------------------------- */

typedef struct scene {
    const pel__brick *b;
    uint64_t seed;     /* of the population */
    uint64_t density;  /* key of the field that makes some parts of the image crowded and others empty */
    int64_t t;
    float scale;       /* counts an amplitude of 1 makes */
} scene;

/* Uniform in [lo, hi), draw i of an object. */
static float pick(uint64_t key, uint64_t i, float lo, float hi) { return lo + (hi - lo) * pel__unitf(pel__draw(key, i)); }

/* Around 1, its period and phase the object's own. */
static float pulse(const scene *s, uint64_t key, float depth)
{
    const float w = pick(key, 40, 0.05f, 0.35f), phase = pick(key, 41, 0.0f, 6.2831853f);
    return 1.0f + depth * sinf(w * (float)s->t + phase);
}

/* Each object swings along each axis about its resting place: it moves steadily and never leaves its reach. */
static void sway(const scene *s, uint64_t key, float amplitude, double at[3])
{
    for (uint64_t a = 0; a < 3; a++) {
        const float w = pick(key, 42 + 2 * a, 0.03f, 0.2f), phase = pick(key, 43 + 2 * a, 0.0f, 6.2831853f);
        at[a] += (double)(amplitude * (a == 0 ? 0.4f : 1.0f) * sinf(w * (float)s->t + phase));
    }
}

/* Where the object rests; false where the brick is out of reach or the density field leaves the place empty. */
static bool settle(const scene *s, uint64_t key, const int64_t corner[3], enum population p, double at[3])
{
    const int64_t cell = populations[p].cell;
    for (int a = 0; a < 3; a++) {
        const int64_t reach = reach_of(p, a);
        at[a] = (double)corner[a] + (double)cell * pel__unit(pel__draw(key, 30 + (uint64_t)a));
        const int64_t i = (int64_t)floor(at[a]);
        if (i + reach < s->b->origin[a] || i - reach >= s->b->origin[a] + s->b->shape[a])
            return false;
    }
    const float crowd = field_at(s->density, 420, at) * 1.8f - 0.1f;
    return pick(key, 33, 0.0f, 1.0f) < crowd;
}

/* One arm of a filament: a walk at constant step whose curvature changes every 16 steps. */
static void add_arm(const scene *s, uint64_t key, const double start[3], float angle, float radius, float amplitude)
{
    const float step = 0.6f * radius, wiggle = pulse(s, key, 0.35f);
    const int64_t steps = (int64_t)(pick(key, 1, 45.0f, 112.0f) / step);
    const float rise = pick(key, 2, -0.1f, 0.1f) * step;
    float dx = cosf(angle), dy = sinf(angle), turn_c = 1.0f, turn_s = 0.0f;
    double at[3] = {start[0], start[1], start[2]};
    for (int64_t i = 0; i < steps; i++) {
        if (i % 16 == 0) {
            const float turn = wiggle * step * pick(key, 64 + (uint64_t)i / 16, -0.035f, 0.035f);
            turn_c = cosf(turn);
            turn_s = sinf(turn);
        }
        const float nx = dx * turn_c - dy * turn_s, ny = dx * turn_s + dy * turn_c;
        dx = nx;
        dy = ny;
        at[0] += (double)rise;
        at[1] += (double)(dy * step);
        at[2] += (double)(dx * step);
        add_ball(s->b, at, radius, amplitude);
    }
}

static void add_filament(const scene *s, uint64_t key, double at[3])
{
    const float radius = pick(key, 1, 2.4f, 3.6f), u = pick(key, 2, 0.0f, 1.0f);
    const float amplitude = s->scale * (14.0f + 60.0f * u * u) * pulse(s, key, 0.3f) / 1.52f;
    const float angle = pick(key, 3, 0.0f, 6.2831853f);
    sway(s, key, 3.0f, at);
    add_ball(s->b, at, radius, amplitude);
    add_arm(s, pel__key(key, 1), at, angle, radius, amplitude);
    add_arm(s, pel__key(key, 2), at, angle + 3.1415927f, radius, amplitude);
}

/* A soft-edged body with a few bright spots inside. */
static void add_nucleus(const scene *s, uint64_t key, double at[3])
{
    const float radius[3] = {pick(key, 1, 18.0f, 30.0f), pick(key, 2, 30.0f, 44.0f), pick(key, 3, 20.0f, 30.0f)};
    const float angle = pick(key, 4, 0.0f, 3.1415927f), amplitude = s->scale * pick(key, 5, 25.0f, 90.0f) * pulse(s, key, 0.2f);
    sway(s, key, 6.0f, at);
    ellipsoid e = shape_of(at, radius, angle);
    e.profile = FLAT;
    e.edge = 3.0f;
    e.amplitude = amplitude;
    add_ellipsoid(s->b, &e);
    for (uint64_t i = 0; i < 14; i++) {
        const uint64_t k = pel__key(key, (int64_t)i);
        double spot[3];
        for (uint64_t a = 0; a < 3; a++)
            spot[a] = at[a] + (double)pick(k, a, -0.55f, 0.55f) * (double)radius[a == 0 ? 0 : 2];
        add_ball(s->b, spot, pick(k, 3, 4.0f, 9.0f), amplitude * pick(k, 4, 0.15f, 0.9f));
    }
}

/* Small, often dim, sometimes very bright; the sizes have a long tail. */
static void add_vesicle(const scene *s, uint64_t key, double at[3])
{
    const float u = pick(key, 1, 0.0f, 1.0f), v = pick(key, 2, 0.0f, 1.0f);
    const float radius[3] = {3.6f + 8.0f * u * u * u, 2.2f + 6.5f * u * u * u, 2.0f + 5.0f * u * u * u};
    sway(s, key, 10.0f, at);
    ellipsoid e = shape_of(at, radius, pick(key, 3, 0.0f, 3.1415927f));
    e.amplitude = s->scale * (12.0f + 260.0f * v * v * v * v) * pulse(s, key, 0.5f);
    add_ellipsoid(s->b, &e);
}

/* The skin of a cell around its nucleus: same cell of the grid, same key, larger. */
static void add_membrane(const scene *s, uint64_t key, double at[3])
{
    const float grow = pick(key, 6, 1.35f, 1.75f);
    const float radius[3] = {grow * pick(key, 1, 18.0f, 30.0f), grow * pick(key, 2, 30.0f, 44.0f), grow * pick(key, 3, 20.0f, 30.0f)};
    sway(s, key, 6.0f, at);
    ellipsoid e = shape_of(at, radius, pick(key, 4, 0.0f, 3.1415927f));
    const float width = 3.2f / radius[2];
    e.profile = SHELL;
    e.edge = 1.0f / width;
    e.limit = (1.0f + width) * (1.0f + width);
    e.amplitude = s->scale * pick(key, 7, 18.0f, 55.0f) * pulse(s, key, 0.2f);
    add_ellipsoid(s->b, &e);
}

static void add_cell(const scene *s, enum population p, const int64_t cell[3])
{
    const uint64_t key = pel__key(pel__key(pel__key(s->seed, cell[0]), cell[1]), cell[2]);
    const int64_t size = populations[p].cell, corner[3] = {cell[0] * size, cell[1] * size, cell[2] * size};
    for (int32_t i = 0; i < populations[p].count; i++) {
        const uint64_t k = pel__key(key, i);
        double at[3];
        if (!settle(s, k, corner, p, at))
            continue;
        switch (p) {
        case FILAMENTS: add_filament(s, k, at); break;
        case NUCLEI: add_nucleus(s, k, at); break;
        case VESICLES: add_vesicle(s, k, at); break;
        case MEMBRANES: add_membrane(s, k, at); break;
        case POPULATIONS: break;
        }
    }
}

static void add_population(const scene *s, enum population p)
{
    int64_t lo[3], hi[3], cell[3];
    for (int a = 0; a < 3; a++) {
        const int64_t reach = reach_of(p, a), size = populations[p].cell;
        lo[a] = floor_div(s->b->origin[a] - reach, size);
        hi[a] = floor_div(s->b->origin[a] + s->b->shape[a] - 1 + reach, size);
    }
    for (cell[0] = lo[0]; cell[0] <= hi[0]; cell[0]++)
        for (cell[1] = lo[1]; cell[1] <= hi[1]; cell[1]++)
            for (cell[2] = lo[2]; cell[2] <= hi[2]; cell[2]++)
                add_cell(s, p, cell);
}

void pel__phantom_expected(const pel__brick *b, uint64_t seed, int64_t t, int64_t c, float brightness)
{
    const int64_t kind = c % PEL__PHANTOM_KINDS;
    const uint64_t group = pel__key(seed, c / PEL__PHANTOM_KINDS); /* channels beyond the fourth show other objects */
    fill_background(b, pel__key(pel__key(seed, 100), c), brightness * kinds[kind].background);
    for (enum population p = FILAMENTS; p < POPULATIONS; p++) {
        const int64_t stream = p == MEMBRANES ? NUCLEI : (int64_t)p;
        const scene s = {.b = b, .seed = pel__key(group, stream), .density = pel__key(group, 50 + stream), .t = t,
                         .scale = brightness * kinds[kind].weight[p]};
        if (kinds[kind].weight[p] > 0.0f)
            add_population(&s, p);
    }
}
