/* SPDX-License-Identifier: MIT
 * Gaussian and difference of Gaussians: separable, axis after axis (t, z, y, x), each a direct sum over the whole kernel.
 * What lies beyond the image's faces is folded into the weights of the outputs near them, in double precision and by
 * global coordinates; so nothing of the result depends on how blocks and tasks lie, and a kernel wider than the axis
 * costs no more than the axis is long.
 *
 * The first pass takes the input, whatever its type, part by part, and leaves float fields that no longer have a halo along
 * its axis; passes between work in place; the last one writes the result. In each pass a task takes some lines that lie
 * side by side into panels (lines along x are turned first), and the kernel makes sums over panels.
 *
 * Sweep: blocks that follow each other along y share most of what the first pass leaves. Then those fields stay in
 * scratch, a ring of rows, and the next block makes only the rows that are new: whatever the width of the kernel, the
 * input is read once. */
#include "filter/gauss.h"

#include "core/bytes.h"
#include "core/region.h"
#include "filter/gauss_panels.h"

#include <math.h>
#include <string.h>

#define COLUMNS PEL__GAUSS_COLUMNS
#define MOST_GROUPS 4                  /* panels side by side that a task works on */
#define STRIP (INT64_C(42) * PEL__GAUSS_ROWS)   /* outputs a line that a task makes at once */
#define PART_BYTES ((int64_t)64 << 20) /* of input taken at once, unless a tile of the source is larger */

/* One block. */
typedef struct work {
    const pel__filter_call *call;
    pel__gauss g;
    pel__gauss_lines lines[2][PEL_AXES]; /* [kernel][pass] */
    const double *weight[2][PEL_AXES];   /* [kernel][pass], from the centre on */
    float *fold[2][PEL_AXES];            /* rows of outputs near a face, one after the other */
    bool sweep;
    int64_t fresh;                       /* in a sweep: the first row along y that the first pass still has to make */
    float *ring;                         /* in a sweep: what the first pass leaves, row y of it at y modulo ring_rows */
    int64_t ring_rows;
    pel_block input, field[2];           /* of the first pass; between passes */
    pel_region out;                      /* this cell */
    pel_region from, to;                 /* this pass: lines read, results */
    int32_t pass, groups;
    int64_t thread_bytes;
} work;

/* ---- geometry ---------------------------------------------------------------------------------------------- */

static int64_t reach(const pel__gauss *g, int axis) { return pel__max(g->radius[0][axis], g->radius[1][axis]); }

static bool near_face(int64_t i, int64_t radius, int64_t size) { return i < radius || i >= size - radius; }

/* Inputs that outputs begin .. end-1 reach. */
static int64_t low_of(int64_t i, int64_t radius) { return pel__max(0, i - radius); }
static int64_t high_of(int64_t i, int64_t radius, int64_t size) { return pel__min(size, i + radius + 1); }

/* Where lines along `axis` must be known for results in `out`. */
static pel_region reached(const pel__gauss *g, const pel_image *image, const pel_region *out, int axis)
{
    pel_region r = *out;
    r.origin[axis] = low_of(out->origin[axis], reach(g, axis));
    r.shape[axis] = high_of(out->origin[axis] + out->shape[axis] - 1, reach(g, axis), image->shape[axis]) - r.origin[axis];
    return r;
}

/* Part of the input that a cell of `out` needs. */
static pel_region cell_input(const pel__gauss *g, const pel_image *image, const pel_region *out)
{
    pel_region r = *out;
    for (int32_t p = 0; p < g->axis_count; p++)
        r = reached(g, image, &r, g->axis[p]);
    return r;
}

/* What the first pass leaves: no halo along its axis, the rest as the later passes need it. */
static pel_region field_region(const pel__gauss *g, const pel_image *image, const pel_region *out)
{
    pel_region r = cell_input(g, image, out);
    r.origin[g->axis[0]] = out->origin[g->axis[0]];
    r.shape[g->axis[0]] = out->shape[g->axis[0]];
    return r;
}

/* What the second pass leaves. */
static pel_region later_region(const pel__gauss *g, const pel_image *image, const pel_region *out)
{
    pel_region r = field_region(g, image, out);
    r.origin[g->axis[1]] = out->origin[g->axis[1]];
    r.shape[g->axis[1]] = out->shape[g->axis[1]];
    return r;
}

/* What the first pass leaves in a sweep: it ends where a tile of the source ends, so that no tile is taken twice. */
static pel_region swept_region(const pel__gauss *g, const pel_image *image, const pel_region *out)
{
    pel_region r = field_region(g, image, out);
    const int64_t end = pel__round_up(r.origin[PEL_Y] + r.shape[PEL_Y], pel__max(1, image->tile[PEL_Y]));
    r.shape[PEL_Y] = pel__min(end, image->shape[PEL_Y]) - r.origin[PEL_Y];
    return r;
}

/* Its rows, wherever along y a block of this height lies. */
static int64_t most_rows(const pel__gauss *g, const pel_image *image, const pel_region *out)
{
    return pel__min(image->shape[PEL_Y], out->shape[PEL_Y] + 2 * reach(g, PEL_Y) + pel__max(1, image->tile[PEL_Y]) - 1);
}

/* Floats of a row of all fields together. */
static int64_t row_floats(const pel__gauss *g, const pel_region *r)
{
    return g->kernels * r->shape[PEL_T] * r->shape[PEL_Z] * r->shape[PEL_X];
}

/* Cells of `out` that are worked one after the other: one of everything before the first filtered axis. */
static pel_region cell_at(const pel__gauss *g, const pel_region *out, int64_t index, int64_t *count)
{
    int64_t cell[PEL_AXES];
    for (int a = 0; a < PEL_AXES; a++)
        cell[a] = a < g->axis[0] || a == PEL_C ? 1 : pel__max(1, out->shape[a]);
    *count = pel__grid_cells(out, cell);
    return pel__grid_cell(out, cell, index);
}

/* Is there something that the next block along y could take over? */
static bool can_sweep(const pel__gauss *g, const pel_image *image, const pel_region *out)
{
    int64_t cells = 0;
    (void)cell_at(g, out, 0, &cells);
    return g->axis_count > 1 && g->axis[0] < PEL_Y && cells == 1 && reach(g, PEL_Y) > 0 && out->shape[PEL_Y] < image->shape[PEL_Y];
}

/* Parts in which the first pass takes the input of a cell where it is not in memory: all of the first axis, of the others
 * whole tiles of the source. They are cells of a grid through the image's voxel 0. */
static void part_shape(const pel__gauss *g, const pel_image *image, const pel_region *from, int64_t part[PEL_AXES])
{
    int64_t bytes = (int64_t)pel_dtype_size(image->dtype);
    for (int a = 0; a < PEL_AXES; a++) {
        part[a] = a == g->axis[0] ? from->origin[a] + from->shape[a] : pel__max(1, image->tile[a]);
        bytes *= pel__min(part[a], from->shape[a]);
    }
    for (int a = PEL_X; a >= 0; a--) {
        for (; part[a] < from->origin[a] + from->shape[a] && 2 * bytes <= PART_BYTES; bytes *= 2)
            part[a] *= 2;
    }
}

static pel_region part_grid(const pel_region *from, const int64_t part[PEL_AXES])
{
    pel_region cells = {.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        cells.origin[a] = from->origin[a] / part[a];
        cells.shape[a] = pel__ceil_div(from->origin[a] + from->shape[a], part[a]) - cells.origin[a];
    }
    return cells;
}

static pel_region part_at(const pel_region *from, const int64_t part[PEL_AXES], int64_t index)
{
    const int64_t one[PEL_AXES] = {1, 1, 1, 1, 1};
    const pel_region cells = part_grid(from, part);
    pel_region r = pel__grid_cell(&cells, one, index);
    for (int a = 0; a < PEL_AXES; a++) {
        r.origin[a] *= part[a];
        r.shape[a] = part[a];
    }
    return pel__region_intersect(&r, from);
}

/* ---- weights ----------------------------------------------------------------------------------------------- */

/* Floats of the rows of outputs begin .. end-1 that are near a face. */
static int64_t fold_floats(const pel__gauss *g, int32_t k, int axis, int64_t size, const pel_region *out)
{
    const int64_t r = g->radius[k][axis], begin = out->origin[axis], end = begin + out->shape[axis];
    int64_t n = 0;
    if (g->border == PEL__CONSTANT)
        return 0;
    for (int64_t i = begin; i < pel__min(end, r); i++)
        n += high_of(i, r, size) - low_of(i, r);
    for (int64_t i = pel__max(begin, pel__max(r, size - r)); i < end; i++)
        n += high_of(i, r, size) - low_of(i, r);
    return n;
}

static int64_t weights_bytes(const pel__gauss *g, const pel_image *image, const pel_region *out)
{
    int64_t n = 0;
    for (int32_t p = 0; p < g->axis_count; p++) {
        const int a = g->axis[p];
        for (int32_t k = 0; k < g->kernels; k++) {
            n += pel__arena_cost((g->radius[k][a] + 1) * (int64_t)sizeof(double)) +
                 pel__arena_cost((2 * g->radius[k][a] + 1) * (int64_t)sizeof(float)) +
                 pel__arena_cost(out->shape[a] * (int64_t)sizeof(float *)) +
                 pel__arena_cost(fold_floats(g, k, a, image->shape[a], out) * (int64_t)sizeof(float));
        }
    }
    return n;
}

/* The same, wherever a block of this shape lies. */
static int64_t most_weights_bytes(const pel__gauss *g, const pel_image *image, const pel_region *out)
{
    int64_t n = 0;
    for (int32_t p = 0; p < g->axis_count; p++) {
        const int a = g->axis[p];
        for (int32_t k = 0; k < g->kernels; k++) {
            const int64_t r = g->radius[k][a], near = pel__min(out->shape[a], 2 * r), taps = pel__min(image->shape[a], 2 * r + 1);
            n += pel__arena_cost((r + 1) * (int64_t)sizeof(double)) + pel__arena_cost((2 * r + 1) * (int64_t)sizeof(float)) +
                 pel__arena_cost(out->shape[a] * (int64_t)sizeof(float *)) + pel__arena_cost(near * taps * (int64_t)sizeof(float));
        }
    }
    return n;
}

/* One axis of one kernel: rows in the middle all are the same one. */
static bool lay_weights(work *w, int32_t k, int32_t p, const pel_region *out, pel__arena *arena)
{
    const pel__gauss *g = &w->g;
    const int a = g->axis[p];
    const int64_t r = g->radius[k][a], size = w->call->image->shape[a], begin = out->origin[a], n = out->shape[a];
    double *weight = pel__arena_take(arena, (r + 1) * (int64_t)sizeof *weight);
    float *middle = pel__arena_take(arena, (2 * r + 1) * (int64_t)sizeof *middle);
    const float **row = pel__arena_take(arena, n * (int64_t)sizeof *row);
    float *fold = pel__arena_take(arena, fold_floats(g, k, a, size, out) * (int64_t)sizeof *fold);
    if (!weight || !middle || !row || !fold)
        return false;
    pel__gauss_weights(weight, r, g->sigma[k][a]);
    for (int64_t i = -r; i <= r; i++)
        middle[i + r] = (float)weight[i < 0 ? -i : i];
    w->fold[k][p] = fold;
    for (int64_t i = begin; i < begin + n; i++) {
        const bool folded = g->border != PEL__CONSTANT && near_face(i, r, size);
        row[i - begin] = folded ? fold : middle + (low_of(i, r) - (i - r));
        fold += folded ? high_of(i, r, size) - low_of(i, r) : 0;
    }
    w->lines[k][p] = (pel__gauss_lines){.size = size, .radius = r, .begin = begin, .row = row};
    w->weight[k][p] = weight;
    return true;
}

typedef struct folding {
    const work *w;
    int32_t k, p;
    int64_t begin, end; /* outputs */
} folding;

#define FOLD_AT_ONCE 16

/* What lies beyond a face weighs where it comes from. */
static bool fold_rows(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const folding *f = arg;
    const work *w = f->w;
    const pel__gauss_lines *l = &w->lines[f->k][f->p];
    double *sum = (double *)(void *)((char *)w->call->thread_scratch + worker * w->thread_bytes);
    const int64_t begin = f->begin + index * FOLD_AT_ONCE, end = pel__min(begin + FOLD_AT_ONCE, f->end);
    for (int64_t i = begin; i < end; i++) {
        if (!near_face(i, l->radius, l->size))
            continue;
        const int64_t low = low_of(i, l->radius), n = high_of(i, l->radius, l->size) - low;
        float *row = w->fold[f->k][f->p] + (l->row[i - l->begin] - w->fold[f->k][f->p]);
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int64_t d = -l->radius; d <= l->radius; d++)
            sum[pel__border_at(w->g.border, i + d, l->size) - low] += w->weight[f->k][f->p][d < 0 ? -d : d];
        for (int64_t j = 0; j < n; j++)
            row[j] = (float)sum[j];
    }
    return true;
}

static bool make_weights(work *w, const pel_region *out, pel__arena *arena, pel_error *err)
{
    for (int32_t k = 0; k < w->g.kernels; k++) {
        for (int32_t p = 0; p < w->g.axis_count; p++) {
            if (!lay_weights(w, k, p, out, arena))
                return pel__fail(err, PEL_INTERNAL, "gaussian: the weights do not fit into their scratch");
            const int a = w->g.axis[p];
            folding f = {.w = w, .k = k, .p = p, .begin = out->origin[a], .end = out->origin[a] + out->shape[a]};
            const int64_t count = w->g.border == PEL__CONSTANT ? 0 : pel__ceil_div(out->shape[a], FOLD_AT_ONCE);
            if (!pel__pool_run(w->call->pool, PEL__COMPUTE_LAST, count, fold_rows, &f, err))
                return false;
        }
    }
    return true;
}

/* ---- a pass ------------------------------------------------------------------------------------------------ */

/* Memory of one thread. */
typedef struct bench {
    pel__panels source[2];
    float *result[2]; /* STRIP coordinates of each group */
} bench;

static int64_t panel_room(const pel__gauss *g, const pel_image *image)
{
    int64_t room = 0;
    for (int32_t p = 0; p < g->axis_count; p++)
        room = pel__max(room, pel__min(image->shape[g->axis[p]], STRIP + 2 * reach(g, g->axis[p])));
    return room;
}

/* A pass needs two sources only where it is the last of several. */
static int32_t source_count(const pel__gauss *g) { return g->axis_count > 1 ? g->kernels : 1; }

static int64_t bench_bytes(const pel__gauss *g, const pel_image *image)
{
    const int64_t panel = MOST_GROUPS * COLUMNS * (int64_t)sizeof(float);
    int64_t widest = 0;
    for (int32_t p = 0; p < g->axis_count; p++)
        widest = pel__max(widest, 2 * reach(g, g->axis[p]) + 1);
    const int64_t bytes = source_count(g) * panel * panel_room(g, image) + g->kernels * panel * STRIP + 128;
    return pel__arena_cost(pel__max(bytes, widest * (int64_t)sizeof(double)));
}

static bool take_bench(bench *b, const work *w, int32_t worker)
{
    pel__arena arena = pel__arena_over((char *)w->call->thread_scratch + worker * w->thread_bytes, w->thread_bytes);
    const int64_t panel = MOST_GROUPS * COLUMNS * (int64_t)sizeof(float), room = panel_room(&w->g, w->call->image);
    bool ok = true;
    for (int32_t k = 0; k < w->g.kernels; k++) {
        b->source[k] = (pel__panels){.room = room};
        if (k < source_count(&w->g))
            ok = ok && (b->source[k].data = pel__arena_take(&arena, panel * room));
        ok = ok && (b->result[k] = pel__arena_take(&arena, panel * STRIP));
    }
    return ok;
}

/* Results of kernel k over the lines of `from`, outputs begin .. end-1. */
static void sum_strip(const work *w, const bench *b, int32_t k, const pel__panels *from, int64_t count, int64_t begin, int64_t end)
{
    for (int64_t g = 0; g * COLUMNS < count; g++) {
        const pel__gauss_panel panel = {.lines = &w->lines[k][w->pass], .in = from->data + g * from->room * COLUMNS,
                                        .out = b->result[k] + g * STRIP * COLUMNS, .first = from->first,
                                        .begin = begin, .end = end};
        w->g.kernel(&panel);
    }
}

static void subtract(const work *w, const bench *b, int64_t count, int64_t rows)
{
    for (int64_t g = 0; g * COLUMNS < count; g++) {
        float *narrow = b->result[0] + g * STRIP * COLUMNS;
        const float *wide = b->result[1] + g * STRIP * COLUMNS;
        for (int64_t i = 0; i < rows * COLUMNS; i++)
            narrow[i] = (narrow[i] - wide[i]) * w->g.scale + w->g.offset;
    }
}

/* Sums are made of what is above the ground, which keeps digits that a small range far from zero would lose. Where the
 * image goes on as zeros, it must stay as it is. */
static float ground_of(const work *w)
{
    return w->call->ground && w->g.border != PEL__CONSTANT ? w->call->ground[w->out.origin[PEL_C]] : 0;
}

static void add_ground(const work *w, const bench *b, int64_t count, int64_t rows)
{
    const float ground = ground_of(w);
    for (int64_t g = 0; g * COLUMNS < count && ground != 0; g++) {
        float *sum = b->result[0] + g * STRIP * COLUMNS;
        for (int64_t i = 0; i < rows * COLUMNS; i++)
            sum[i] += ground; // NOLINT(clang-analyzer-core.NullDereference): a Gaussian has a kernel at least
    }
}

/* Rows first .. *end-1 of field k in the ring, or as many of them as come before it begins anew. */
static pel_block ring_part(const work *w, int32_t k, int64_t first, int64_t *end)
{
    pel_region r = swept_region(&w->g, w->call->image, &w->out);
    const int64_t row = row_floats(&w->g, &r), at = first % w->ring_rows;
    *end = pel__min(*end, first + w->ring_rows - at);
    r.origin[PEL_Y] = first;
    r.shape[PEL_Y] = *end - first;
    pel_block b = pel__block_dense(&r, PEL_F32, w->ring + at * row + k * (row / w->g.kernels));
    b.stride[PEL_Z] = r.shape[PEL_X];
    b.stride[PEL_T] = b.stride[PEL_C] = r.shape[PEL_Z] * r.shape[PEL_X];
    b.stride[PEL_Y] = row;
    return b;
}

/* Coordinates begin .. end-1 of a bundle's lines from wherever this pass takes them. */
static void fill(const work *w, pel__panels *p, const pel__bundle *from, int32_t k, int64_t begin, int64_t end)
{
    if (w->pass != 1 || !w->sweep) {
        pel__panels_fill(p, from, w->pass == 0 ? &w->input : &w->field[k], begin, end);
        return;
    }
    const bool along = from->axis == PEL_Y;
    for (int64_t first = begin, next = end; first < end; first = next) {
        int64_t rows = along ? end : from->at[PEL_Y] + 1;
        const pel_block part = ring_part(w, k, along ? first : from->at[PEL_Y], &rows);
        next = along ? rows : end;
        pel__panels_fill(p, from, &part, begin, next);
    }
}

/* One strip of a bundle: fill, sum, put, for whichever kernels this pass takes together. */
static void work_strip(const work *w, bench *b, const pel__bundle *from, const pel__bundle *to, int32_t only, int64_t begin, int64_t end)
{
    const int a = from->axis;
    const bool first = w->pass == 0, last = w->pass == w->g.axis_count - 1;
    const int64_t low = w->from.origin[a], high = low + w->from.shape[a];
    for (int32_t k = only < 0 ? 0 : only; k < (only < 0 ? w->g.kernels : only + 1); k++) {
        pel__panels *source = &b->source[first || only >= 0 ? 0 : k];
        const int64_t r = first ? reach(&w->g, a) : w->g.radius[k][a];
        source->ground = first ? ground_of(w) : 0;
        if (!first || k == 0)
            fill(w, source, from, k, pel__max(low, begin - r), pel__min(high, end + r));
        sum_strip(w, b, k, source, from->count, begin, end);
        if (!last) {
            int64_t rows = to->at[PEL_Y] + 1;
            const pel_block dst = first && w->sweep ? ring_part(w, k, to->at[PEL_Y], &rows) : w->field[k];
            pel__panels_put(to, &dst, b->result[k], STRIP, begin, end);
        }
    }
    if (last && w->g.kernels == 2)
        subtract(w, b, from->count, end - begin);
    else if (last)
        add_ground(w, b, from->count, end - begin);
    if (last)
        pel__panels_put(to, w->call->out, b->result[0], STRIP, begin, end);
}

static bool stopped(const work *w, pel_error *err)
{
    if (w->call->stop && atomic_load_explicit(w->call->stop, memory_order_relaxed))
        return pel__fail(err, PEL_INTERRUPTED, "asked to stop");
    return true;
}

/* Passes in between take the kernels one by one, bundles of the second after those of the first. */
static bool in_between(const work *w) { return w->pass > 0 && w->pass < w->g.axis_count - 1; }

static bool work_bundle(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const work *w = arg;
    const int a = w->g.axis[w->pass];
    const int64_t width = w->groups * COLUMNS, n = pel__bundles(&w->from, a, width);
    bench b = {0};
    if (!stopped(w, err))
        return false;
    if (!take_bench(&b, w, worker))
        return pel__fail(err, PEL_INTERNAL, "gaussian: panels do not fit into their scratch");
    const pel__bundle from = pel__bundle_at(&w->from, a, width, index % n), to = pel__bundle_at(&w->to, a, width, index % n);
    const int64_t begin = w->to.origin[a], end = begin + w->to.shape[a];
    for (int64_t i = begin; i < end; i += STRIP)
        work_strip(w, &b, &from, &to, in_between(w) ? (int32_t)(index / n) : -1, i, pel__min(i + STRIP, end));
    return true;
}

/* Wide bundles read memory best; but every thread should have several. */
static int32_t choose_groups(const work *w)
{
    const int64_t want = 4 * (int64_t)pel__pool_threads(w->call->pool);
    int32_t groups = MOST_GROUPS;
    while (groups > 1 && pel__bundles(&w->from, w->g.axis[w->pass], groups * COLUMNS) < want)
        groups /= 2;
    return groups;
}

static bool run_pass(work *w, pel_error *err)
{
    const int a = w->g.axis[w->pass];
    w->to = w->from;
    w->to.origin[a] = w->out.origin[a];
    w->to.shape[a] = w->out.shape[a];
    w->groups = choose_groups(w);
    const int64_t count = pel__bundles(&w->from, a, w->groups * COLUMNS) * (in_between(w) ? w->g.kernels : 1);
    if (!pel__pool_run(w->call->pool, PEL__COMPUTE_LAST, count, work_bundle, w, err))
        return false;
    w->from = w->to;
    return true;
}

/* ---- one block --------------------------------------------------------------------------------------------- */

/* Scratch of one block. */
typedef struct needs {
    int64_t ring_bytes, field_bytes, part_bytes, weight_bytes; /* of one field; the ring is of all */
    int32_t fields;
} needs;

static needs needs_of(const pel__gauss *g, const pel_image *image, const pel_region *out, bool sweep)
{
    needs n = {.weight_bytes = sweep ? most_weights_bytes(g, image, out) : weights_bytes(g, image, out)};
    int64_t count = 0, part[PEL_AXES];
    const pel_region cell = cell_at(g, out, 0, &count), from = cell_input(g, image, &cell);
    const pel_region between = sweep ? later_region(g, image, &cell) : field_region(g, image, &cell);
    part_shape(g, image, &from, part);
    n.part_bytes = (int64_t)pel_dtype_size(image->dtype);
    for (int a = 0; a < PEL_AXES; a++)
        n.part_bytes *= pel__min(part[a], from.shape[a]);
    n.part_bytes = pel__arena_cost(sweep ? pel__max(n.part_bytes, PART_BYTES) : n.part_bytes);
    n.fields = g->axis_count == (sweep ? 2 : 1) ? 0 : g->kernels - (pel__region_equal(&between, &cell) ? 1 : 0);
    n.field_bytes = pel__arena_cost(pel__region_voxels(&between) * (int64_t)sizeof(float));
    if (sweep) {
        const pel_region field = field_region(g, image, out);
        n.ring_bytes = pel__arena_cost(row_floats(g, &field) * most_rows(g, image, out) * (int64_t)sizeof(float));
    }
    return n;
}

static int64_t scratch_bytes(const needs *n)
{
    return n->ring_bytes + n->weight_bytes + n->part_bytes + n->fields * n->field_bytes + 128;
}

/* Memory that a block works in, besides the ring. */
typedef struct desk {
    float *field[2];
    void *part;
} desk;

static bool set_desk(desk *d, pel__arena *arena, const needs *n)
{
    bool ok = (d->part = pel__arena_take(arena, n->part_bytes)) != NULL;
    for (int32_t i = 0; i < n->fields; i++)
        ok = ok && (d->field[i] = pel__arena_take(arena, n->field_bytes));
    return ok;
}

/* The fields of a cell: the first one may be the result's own memory, where no axis but those done has a halo. */
static void place_fields(work *w, const desk *d)
{
    const pel_region between = w->sweep ? later_region(&w->g, w->call->image, &w->out) : field_region(&w->g, w->call->image, &w->out);
    const bool shared = pel__region_equal(&between, &w->out);
    for (int32_t k = 0; k < w->g.kernels; k++)
        w->field[k] = shared && k == 0 ? pel__block_view(w->call->out, &w->out)
                                       : pel__block_dense(&between, PEL_F32, d->field[shared ? k - 1 : k]);
}

/* Which rows of the block before can stay? They lie where this one looks for them. */
static void take_over(work *w, const pel_region *out)
{
    pel__kept *k = w->call->kept;
    const pel_region now = swept_region(&w->g, w->call->image, out);
    w->ring_rows = most_rows(&w->g, w->call->image, out);
    w->fresh = now.origin[PEL_Y];
    if (k->any && k->rows >= now.shape[PEL_Y] && can_sweep(&w->g, w->call->image, &k->block)) {
        pel_region then = swept_region(&w->g, w->call->image, &k->block);
        const int64_t begin = then.origin[PEL_Y], end = begin + then.shape[PEL_Y];
        then.origin[PEL_Y] = now.origin[PEL_Y];
        then.shape[PEL_Y] = now.shape[PEL_Y];
        if (pel__region_equal(&then, &now) && begin <= now.origin[PEL_Y] && end > now.origin[PEL_Y]) {
            w->fresh = pel__min(end, now.origin[PEL_Y] + now.shape[PEL_Y]);
            w->ring_rows = k->rows;
        }
    }
    k->any = false;
}

/* The first pass where the input comes in parts. */
static bool run_parts(work *w, void *memory, pel_error *err)
{
    const pel_region whole = w->from;
    int64_t part[PEL_AXES];
    if (pel__region_empty(&whole))
        return true;
    part_shape(&w->g, w->call->image, &whole, part);
    const pel_region grid = part_grid(&whole, part);
    for (int64_t i = 0; i < pel__region_voxels(&grid); i++) {
        w->from = part_at(&whole, part, i);
        w->input = pel__block_dense(&w->from, w->call->in->dtype, memory);
        if (!w->call->fetch(w->call->fetch_arg, &w->input, err) || !run_pass(w, err))
            return false;
    }
    return true;
}

static bool filter_cell(work *w, const pel_region *cell, const desk *d, pel_error *err)
{
    const pel_image *image = w->call->image;
    w->out = *cell;
    w->from = cell_input(&w->g, image, cell);
    w->input = *w->call->in;
    w->pass = 0;
    place_fields(w, d);
    if (!pel__region_inside(&w->from, &w->call->in->region) || w->call->out->stride[PEL_X] != 1)
        return pel__fail(err, PEL_INTERNAL, "gaussian: the block came with too little halo, or rows that are not dense");
    if (w->sweep) {
        const pel_region swept = swept_region(&w->g, image, cell);
        w->from.origin[PEL_Y] = w->fresh;
        w->from.shape[PEL_Y] = swept.origin[PEL_Y] + swept.shape[PEL_Y] - w->fresh;
    }
    if (!(w->call->in->data ? run_pass(w, err) : run_parts(w, d->part, err)))
        return false;
    w->from = field_region(&w->g, image, cell);
    for (w->pass = 1; w->pass < w->g.axis_count; w->pass++) {
        if (!run_pass(w, err))
            return false;
    }
    return true;
}

static bool apply(const pel__filter_call *call, pel_error *err)
{
    const pel_region *out = &call->out->region;
    work w = {.call = call};
    desk d = {0};
    if (pel__region_empty(out))
        return true;
    pel__gauss_settings(&w.g, call->values, call->image);
    w.thread_bytes = bench_bytes(&w.g, call->image);
    w.sweep = call->kept && !call->in->data && can_sweep(&w.g, call->image, out);
    needs n = needs_of(&w.g, call->image, out, w.sweep);
    if (w.sweep) {
        take_over(&w, out);
        const pel_region field = field_region(&w.g, call->image, out);
        n.ring_bytes = pel__arena_cost(row_floats(&w.g, &field) * w.ring_rows * (int64_t)sizeof(float));
    }
    pel__arena arena = pel__arena_over(call->scratch, scratch_bytes(&n));
    if (w.sweep)
        w.ring = pel__arena_take(&arena, n.ring_bytes);
    if (!make_weights(&w, out, &arena, err))
        return false;
    if ((w.sweep && !w.ring) || !set_desk(&d, &arena, &n))
        return pel__fail(err, PEL_INTERNAL, "gaussian: the fields do not fit into their scratch");
    int64_t count = 1;
    for (int64_t i = 0; i < count; i++) {
        const pel_region cell = cell_at(&w.g, out, i, &count);
        if (!filter_cell(&w, &cell, &d, err))
            return false;
    }
    if (w.sweep && call->kept)
        *call->kept = (pel__kept){.any = true, .block = *out, .rows = w.ring_rows};
    return true;
}

/* ---- what the plan asks ------------------------------------------------------------------------------------ */

static void halo(const pel__values *v, const pel_image *image, int64_t before[PEL_AXES], int64_t after[PEL_AXES])
{
    pel__gauss g;
    pel__gauss_settings(&g, v, image);
    for (int a = 0; a < PEL_AXES; a++)
        before[a] = after[a] = reach(&g, a);
}

static int64_t block_bytes(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out)
{
    pel__gauss g;
    pel__gauss_settings(&g, v, image);
    const needs n = needs_of(&g, image, out, false);
    return scratch_bytes(&n);
}

static int64_t sweep_bytes(const pel__values *v, const pel_image *image, const pel_region *out)
{
    pel__gauss g;
    pel__gauss_settings(&g, v, image);
    const needs n = needs_of(&g, image, out, can_sweep(&g, image, out));
    return scratch_bytes(&n);
}

static bool sweep_takes(const pel__values *v, const pel_image *image, const pel_region *out, pel_region *in)
{
    pel__gauss g;
    pel__gauss_settings(&g, v, image);
    *in = cell_input(&g, image, out);
    if (!can_sweep(&g, image, out))
        return false;
    in->origin[PEL_Y] = out->origin[PEL_Y];
    in->shape[PEL_Y] = out->shape[PEL_Y];
    return true;
}

static int64_t thread_bytes(const pel__values *v, const pel_image *image)
{
    pel__gauss g;
    pel__gauss_settings(&g, v, image);
    return bench_bytes(&g, image);
}

/* Inputs that an output along this axis reaches, on average over begin .. end-1. */
static double mean_taps(const pel__gauss *g, int32_t k, int axis, int64_t size, const pel_region *out)
{
    const int64_t r = g->radius[k][axis], begin = out->origin[axis], end = begin + out->shape[axis];
    double sum = 0;
    for (int64_t i = begin; i < end; i++)
        sum += (double)(high_of(i, r, size) - low_of(i, r));
    return sum / (double)pel__max(1, end - begin);
}

#define NANOSECONDS_A_TAP 0.025 /* with AVX2 */
#define TAKING_AND_PUTTING 0.8  /* nanoseconds: a voxel into a panel and its result out again */

static double cost(const pel__values *v, const pel_image *image, const pel_region *in, const pel_region *out)
{
    pel__gauss g;
    double sum = 0;
    pel__gauss_settings(&g, v, image);
    if (pel__region_empty(out))
        return 0;
    pel_region from = *in;
    for (int32_t p = 0; p < g.axis_count; p++) {
        const int a = g.axis[p];
        const double taken = (double)pel__region_voxels(&from);
        double taps = 0;
        from.origin[a] = out->origin[a];
        from.shape[a] = out->shape[a];
        for (int32_t k = 0; k < g.kernels; k++)
            taps += mean_taps(&g, k, a, image->shape[a], out);
        sum += (double)pel__region_voxels(&from) * taps * NANOSECONDS_A_TAP + taken * TAKING_AND_PUTTING;
    }
    return sum / (double)pel__region_voxels(out);
}

const pel__filter_type pel__filter_gaussian = {
    .name = "gaussian",
    .help = "Gaussian smoothing as in SciPy: the whole kernel, any width, by axis",
    .params = pel__gaussian_params,
    .param_count = PEL__GAUSSIAN_PARAMS,
    .resolve = pel__gauss_resolve,
    .check = pel__gauss_check,
    .takes_ground = true,
    .fetches = true,
    .halo = halo,
    .block_bytes = block_bytes,
    .sweep_bytes = sweep_bytes,
    .sweep_takes = sweep_takes,
    .thread_bytes = thread_bytes,
    .cost = cost,
    .apply = apply,
};

const pel__filter_type pel__filter_dog = {
    .name = "dog",
    .help = "difference of Gaussians, narrow minus wide: spots stay, background goes",
    .params = pel__dog_params,
    .param_count = PEL__DOG_PARAMS,
    .makes_float = true,
    .resolve = pel__gauss_resolve,
    .check = pel__gauss_check,
    .takes_ground = true,
    .fetches = true,
    .halo = halo,
    .block_bytes = block_bytes,
    .sweep_bytes = sweep_bytes,
    .sweep_takes = sweep_takes,
    .thread_bytes = thread_bytes,
    .cost = cost,
    .apply = apply,
};
