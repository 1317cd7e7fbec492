/* SPDX-License-Identifier: MIT
 * The display range of each channel of a finished output, so that viewers show it with sensible contrast. Least and most are those of
 * all voxels, from the ledger; start and end hold all but a thousandth of the lowest level at either side. They are found digit by digit
 * of 16 bits, a pass over the level each: exact, in little memory, and in any case the same for the same pixels. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "run/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CELL_BYTES ((int64_t)4 << 20)
#define MOST_VOXELS ((int64_t)1 << 24) /* of a channel that are looked at; of larger levels every k-th cell is */
#define DIGITS 65536
#define SHARE 0.001
#define LEAST_WINDOW 2 /* a display range of the input that is no wider means nothing: of a mask, of values from 0 to 1 */

/* ---- the order of values --------------------------------------------------------------------------------------------- */

/* Keys of the type's bits whose order as whole numbers is the order of the values. */
static bool key_of(const char *p, pel_dtype type, uint64_t *key)
{
    const int size = (int)pel_dtype_size(type);
    const uint64_t sign = (uint64_t)1 << (8 * size - 1);
    uint64_t bits = 0;
    memcpy(&bits, p, (size_t)size); /* little-endian machine */
    *key = bits;
    if (type == PEL_F32 || type == PEL_F64) {
        const uint64_t infinite = type == PEL_F32 ? 0x7F800000U : 0x7FF0000000000000U;
        *key = bits & sign ? ~bits & (sign | (sign - 1)) : bits | sign;
        return (bits & infinite) != infinite;
    }
    if (type == PEL_I8 || type == PEL_I16 || type == PEL_I32 || type == PEL_I64)
        *key = bits ^ sign;
    return true;
}

static double value_of(uint64_t key, pel_dtype type)
{
    const int size = (int)pel_dtype_size(type);
    const uint64_t sign = (uint64_t)1 << (8 * size - 1);
    if (type == PEL_F32) {
        const uint32_t bits = (uint32_t)(key & sign ? key ^ sign : ~key);
        float v = 0;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    if (type == PEL_F64) {
        const uint64_t bits = key & sign ? key ^ sign : ~key;
        double v = 0;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    if (type == PEL_I8 || type == PEL_I16 || type == PEL_I32 || type == PEL_I64)
        return key & sign ? (double)(key ^ sign) : -(double)(sign - key);
    return (double)key;
}

/* ---- two ranks of a channel ------------------------------------------------------------------------------------------ */

enum { LOW, HIGH, RANKS };

typedef struct {
    pel_run *run;
    pel_source *level; /* the lowest one of an image, read back */
    const pel_image *image;
    int64_t channel;
    char *cell;                    /* CELL_BYTES */
    int64_t (*count)[DIGITS];      /* of each rank: voxels by the digit of this pass */
    uint64_t prefix[RANKS];        /* the digits so far */
    int64_t rank[RANKS];           /* among the voxels that begin with them */
    int shift;                     /* of the digit of this pass */
    bool first;
} search;

static void count_voxels(search *s, const char *p, int64_t n)
{
    const pel_dtype type = s->image->dtype;
    const int64_t size = (int64_t)pel_dtype_size(type);
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = 0;
        if (!key_of(p + i * size, type, &key))
            continue;
        for (int k = 0; k < RANKS; k++) {
            if (s->first || key >> (s->shift + 16) == s->prefix[k])
                s->count[k][key >> s->shift & (DIGITS - 1)]++;
        }
    }
}

/* Their shape depends on the type alone, not on how the output is cut. */
static bool count_cells(search *s, pel_error *err)
{
    const int64_t *const shape = s->image->shape, plane = 256, size = (int64_t)pel_dtype_size(s->image->dtype);
    const int64_t cell[PEL_AXES] = {1, 1, CELL_BYTES / (plane * plane * size), plane, plane};
    const int64_t origin[PEL_AXES] = {0, s->channel, 0, 0, 0}, whole[PEL_AXES] = {shape[PEL_T], 1, shape[PEL_Z], shape[PEL_Y], shape[PEL_X]};
    const pel_region all = pel__region(PEL_AXES, origin, whole);
    const int64_t cells = pel__grid_cells(&all, cell), step = pel__ceil_div(pel__region_voxels(&all), MOST_VOXELS);
    for (int64_t i = 0; i < cells; i += step) {
        const pel_region part = pel__grid_cell(&all, cell, i);
        const pel_block b = pel__block_dense(&part, s->image->dtype, s->cell);
        if (!pel__read_region(s->level, 0, &b, s->run->pool, &s->run->stop, err))
            return false;
        count_voxels(s, s->cell, pel__region_voxels(&part));
    }
    return true;
}

/* Of n voxels one in a thousand lies below (above) the place. */
static void set_ranks(search *s)
{
    int64_t n = 0;
    for (int i = 0; i < DIGITS; i++)
        n += s->count[LOW][i];
    s->rank[LOW] = (int64_t)floor(SHARE * (double)(n - 1));
    s->rank[HIGH] = (int64_t)ceil((1 - SHARE) * (double)(n - 1));
}

static void take_digit(search *s, int k)
{
    int digit = 0;
    while (digit < DIGITS - 1 && s->rank[k] >= s->count[k][digit])
        s->rank[k] -= s->count[k][digit++];
    s->prefix[k] = s->prefix[k] << 16 | (uint64_t)digit;
}

static bool find_ranks(search *s, pel_error *err)
{
    const int bits = 8 * (int)pel_dtype_size(s->image->dtype);
    memset(s->prefix, 0, sizeof s->prefix);
    s->first = true;
    for (s->shift = bits > 16 ? bits - 16 : 0; s->shift >= 0; s->shift -= 16) {
        memset(s->count, 0, RANKS * sizeof *s->count);
        if (!count_cells(s, err))
            return false;
        if (s->first)
            set_ranks(s);
        s->first = false;
        for (int k = 0; k < RANKS; k++)
            take_digit(s, k);
    }
    return true;
}

/* ---- least and most of all voxels ---------------------------------------------------------------------------------------- */

/* Of blocks without a finite voxel, and of records that anybody wrote, what is not finite counts for nothing. */
static void add_range(pel__window *w, double least, double most)
{
    w->min = isfinite(least) ? fmin(w->min, least) : w->min;
    w->max = isfinite(most) ? fmax(w->max, most) : w->max;
}

/* Of a block of several channels that an older version recorded each gets what is known of all. */
static bool add_record(void *arg, const pel__ledger_record *r, pel_error *err)
{
    pel_run *const run = arg;
    (void)err;
    if (!r->ok || r->job >= run->plan.block_count)
        return true;
    const pel__plan_job job = pel__plan_job_at(&run->plan, r->job);
    pel__window *const w = run->windows[job.image] + job.region.origin[PEL_C];
    const bool apart = r->channel_count == job.region.shape[PEL_C];
    for (int64_t c = 0; c < job.region.shape[PEL_C]; c++)
        add_range(&w[c], apart ? r->channels[c][0] : r->minimum, apart ? r->channels[c][1] : r->maximum);
    return true;
}

/* ---- the range --------------------------------------------------------------------------------------------------------------- */

bool pel__run_keeps_greys(const pel_run *run, int32_t image)
{
    return !pel__pipeline_makes_float(run->pipeline) && run->dtype == run->images[image]->dtype;
}

static bool is_sane(const pel_channel *c, const pel__window *w)
{
    const double wide = c->window_end - c->window_start;
    return wide > LEAST_WINDOW && wide < 1e300 && c->window_start < w->max && c->window_end > w->min;
}

/* Never empty: half the data of a sparse channel may be one value, and all of a channel. */
static void settle(pel__window *w)
{
    if (!(w->min <= w->max))
        *w = (pel__window){0};
    if (w->start >= w->end) {
        w->start = fmin(w->start, w->min);
        w->end = w->max;
    }
    if (w->start >= w->end)
        w->max = w->end = w->start + 1;
}

/* Colours of one pixel share a range: a stretch of each would change them. */
static void share_colours(pel__window *w, const pel_image *image)
{
    for (int64_t c = 0; image->samples > 1 && c < image->shape[PEL_C]; c++) {
        const int64_t first = c - c % image->samples;
        w[first].start = fmin(w[first].start, w[c].start);
        w[first].end = fmax(w[first].end, w[c].end);
    }
    for (int64_t c = 0; image->samples > 1 && c < image->shape[PEL_C]; c++) {
        w[c].start = w[c - c % image->samples].start;
        w[c].end = w[c - c % image->samples].end;
    }
}

static bool image_display(search *s, int32_t image, pel_error *err)
{
    pel_run *const run = s->run;
    const pel_image *const input = run->images[image];
    pel__window *const w = run->windows[image];
    if (!pel__run_open_output(&s->level, run, image, run->plan.images[image].layout.level_count - 1, err))
        return false;
    s->image = pel_source_image(s->level, 0);
    bool ok = s->image->shape[PEL_C] == input->shape[PEL_C] || pel__fail(err, PEL_DAMAGED, "%s: the lowest level has other channels", run->output);
    for (int64_t c = 0; ok && c < input->shape[PEL_C]; c++) {
        const pel_channel *const own = &input->channels[c];
        if (pel__run_keeps_greys(run, image) && is_sane(own, &w[c])) {
            w[c].start = own->window_start;
            w[c].end = own->window_end;
            continue;
        }
        s->channel = c;
        ok = find_ranks(s, err);
        w[c].start = value_of(s->prefix[LOW], s->image->dtype);
        w[c].end = value_of(s->prefix[HIGH], s->image->dtype);
    }
    pel_source_destroy(s->level);
    s->level = NULL;
    if (ok)
        share_colours(w, input);
    for (int64_t c = 0; ok && c < input->shape[PEL_C]; c++)
        settle(&w[c]);
    return ok;
}

void pel__run_free_display(pel_run *run)
{
    for (int32_t i = 0; run->windows && i < run->image_count; i++)
        free(run->windows[i]);
    free(run->windows);
    run->windows = NULL;
}

static bool make_room(pel_run *run, pel_error *err)
{
    pel__run_free_display(run);
    run->windows = calloc((size_t)run->image_count, sizeof *run->windows);
    for (int32_t i = 0; run->windows && i < run->image_count; i++) {
        const int64_t channels = run->images[i]->shape[PEL_C];
        run->windows[i] = calloc((size_t)channels, sizeof *run->windows[i]);
        if (!run->windows[i])
            return pel__fail(err, PEL_NO_MEMORY, "no memory for the display ranges of %lld channels", (long long)channels);
        for (int64_t c = 0; c < channels; c++)
            run->windows[i][c] = (pel__window){.min = INFINITY, .max = -INFINITY};
    }
    return run->windows || pel__fail(err, PEL_NO_MEMORY, "no memory for display ranges");
}

bool pel__run_display(pel_run *run, pel_error *err)
{
    search s = {.run = run};
    void *cell = NULL, *count = NULL;
    const int64_t count_bytes = RANKS * (int64_t)sizeof *s.count;
    pel__budget_set_limit(run->budget, 0); /* the phases have given theirs back; this is less than any of them */
    bool ok = make_room(run, err) && pel__ledger_each(run->ledger, add_record, run, err) &&
              pel__budget_alloc(run->budget, &cell, CELL_BYTES, "display range", err) && pel__budget_alloc(run->budget, &count, count_bytes, "display range", err);
    s.cell = cell;
    s.count = count;
    for (int32_t i = 0; ok && i < run->image_count; i++)
        ok = image_display(&s, i, err) || pel__where(err, "display range of image %d: ", (int)i);
    pel__budget_free(run->budget, cell, CELL_BYTES);
    pel__budget_free(run->budget, count, count_bytes);
    if (!ok)
        pel__run_free_display(run);
    return ok;
}
