/* SPDX-License-Identifier: MIT
 * See tune.h. The noisy image is split into two with independent noises and the same truth (tune_split.h): what the filter
 * makes of the one, with nine tenths of the light, is judged by the other, a few times with other draws. No assumption
 * about the filter, as derivatives of it would need. The sample is the same at every call: windows at places of a
 * low-discrepancy sequence over time, depth and plane of the first image. A candidate is taken when it is better than the
 * default by more than half the standard error of that difference and by more than 1 % (Gaussian noise: 0.3 %), so a doubtful gain changes nothing.
 * What is clearly worse than the best after a quarter of the draws, over all windows, gets no more of them.
 * Channels that the filter works jointly are tuned as a group, by the mean of their errors, each as a share of its default's.
 *
 * Before this there was Stein's identity with the divergence by random probes of one or half a count (Ramani, Blu, Unser
 * 2008): as good for Gaussian noise; where counts are few it favoured kernels that are too wide by up to 0.56 dB (docs/denoising.md). */
#include "run/tune.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "run/run.h"
#include "run/tune_dark.h"
#include "run/tune_split.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_VOXELS 960000 /* of a channel; the estimate's own error is then small against what separates candidates */
#define LEAST_VOXELS 40000   /* an image smaller than this keeps the default */
#define MOST_WINDOWS 56
#define LEAST_SIDE 24        /* of a window, where memory is short */
#define JUDGED_VOXELS 1300000 /* together in all passes */
#define LEAST_GAIN(counts) ((counts) ? 0.01 : 0.003)     /* of the error: what is not worth leaving the default for */
#define EARLY_SHARE 4        /* one in so many draws is made by all candidates; the others by … */
#define HOPELESS 0.05        /* … those whose error is not above the best's by this share of the default's … */
#define HOPELESS_ERRORS 2    /* … and by so many of its standard errors */
#define STRIP_ROWS 16        /* that one thread takes at once */

/* Of the voxels of a strip that judge. */
typedef struct {
    int64_t count;
    double sum[PEL__MOST_CANDIDATES]; /* of errors */
} strip_sums;

typedef struct {
    pel_run *run;
    pel__values *values;  /* of each candidate, resolved */
    pel__tuning *tuning;  /* of the channels at work */
    int64_t first, channels; /* one, or all where they are worked jointly */
    pel_region window[MOST_WINDOWS];
    int32_t window_count;
    int32_t at_window;    /* that was read last */
    int64_t side;         /* of a window along y and x */
    double (*risk)[PEL__MOST_CANDIDATES][MOST_WINDOWS]; /* by channel of the group; sums over draws */
    pel__split *split;    /* by channel of the group */
    pel__noise *noise;    /* what the filter is told, by channel of the image */
    int64_t passes, judged[PEL__MOST_CANDIDATES]; /* draws, and how many of them a candidate has made; 0: it is out, risk is then beside the default's */
    int32_t left[PEL__MOST_CANDIDATES], left_count; /* candidates that are not out */
    float *raw, *kept, *out;
    strip_sums *sums;     /* one a strip of a window */
    void *native, *scratch, *thread;
    int64_t raw_bytes, native_bytes, out_bytes, sums_bytes, scratch_bytes, thread_bytes;
} tuner;

/* ---- the sample ----------------------------------------------------------------------------------------------------------- */

/* All of a small image, in equal windows side by side (they overlap by a voxel or so where it does not divide). */
static bool cover(tuner *t, const pel_image *image, const int64_t side[PEL_AXES])
{
    pel_region r = {.ndim = PEL_AXES};
    int64_t count[PEL_AXES], all = 1, voxels = 1;
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t n = a == PEL_C ? 1 : image->shape[a];
        count[a] = pel__ceil_div(n, side[a]);
        r.shape[a] = pel__ceil_div(n, count[a]);
        all *= count[a];
        voxels *= n;
        if (all > MOST_WINDOWS)
            return false;
    }
    if (voxels > SAMPLE_VOXELS)
        return false;
    r.shape[PEL_C] = t->channels;
    for (int32_t i = 0; i < all; i++) {
        int64_t left = i;
        for (int a = PEL_AXES - 1; a >= 0; a--) {
            const int64_t k = left % count[a];
            r.origin[a] = a == PEL_C ? t->first : count[a] > 1 ? k * (image->shape[a] - r.shape[a]) / (count[a] - 1) : 0;
            left /= count[a];
        }
        t->window[i] = r;
    }
    t->window_count = (int32_t)all;
    return true;
}

static void choose_windows(tuner *t)
{
    const pel_image *image = t->run->images[0];
    pel_region r = {.ndim = PEL_AXES};
    const int64_t shape[PEL_AXES] = {image->shape[PEL_Z] > 1 ? 3 : 6, 1, 8, t->side, t->side};
    if (cover(t, image, shape))
        return;
    for (int a = 0; a < PEL_AXES; a++)
        r.shape[a] = pel__min(shape[a], image->shape[a]);
    const int64_t all = image->shape[PEL_T] * image->shape[PEL_Z] * image->shape[PEL_Y] * image->shape[PEL_X];
    const int64_t wanted = pel__ceil_div(pel__min(SAMPLE_VOXELS, all), pel__region_voxels(&r));
    r.shape[PEL_C] = t->channels;
    t->window_count = (int32_t)pel__min(MOST_WINDOWS, pel__max(1, wanted));
    for (int32_t i = 0; i < t->window_count; i++) {
        for (int a = 0; a < PEL_AXES; a++)
            r.origin[a] = (int64_t)(pel__sample_place(i, a) * (double)(image->shape[a] - r.shape[a] + 1));
        r.origin[PEL_C] = t->first;
        t->window[i] = r;
    }
}

static bool read_block(tuner *t, const pel_region *r, pel_block *out, pel_error *err)
{
    pel_run *run = t->run;
    const pel_block native = pel__block_dense(r, run->images[0]->dtype, t->native);
    *out = pel__block_dense(r, PEL_F32, t->raw);
    if (pel__region_voxels(r) * 4 > t->raw_bytes)
        return pel__fail(err, PEL_INTERNAL, "tuning: a window is larger than planned");
    if (!pel__read_region(run->source, 0, &native, run->pool, NULL, err))
        return false;
    pel__to_float(t->raw, t->native, native.dtype, pel__region_voxels(r));
    return true;
}

/* One channel of a window (of the group), or of a block. */
static pel_region channel_of(const tuner *t, const pel_region *r, int64_t c)
{
    pel_region one = *r;
    one.origin[PEL_C] = t->first + c;
    one.shape[PEL_C] = 1;
    return one;
}

static bool find_dark(tuner *t, int64_t c, pel_error *err)
{
    pel__split *split = &t->split[c];
    const int64_t most = pel__ceil_div(pel__region_voxels(&t->window[0]), PEL__DARK_SIDE) + t->window[0].shape[PEL_Y];
    pel__dark_square *const squares = malloc((size_t)(2 * most * t->window_count) * sizeof *squares);
    int64_t count = 0;
    bool ok = squares || pel__fail(err, PEL_NO_MEMORY, "tuning: no memory");
    for (int32_t i = 0; ok && i < t->window_count; i++) {
        pel_block raw;
        const pel_region one = channel_of(t, &t->window[i], c);
        t->at_window = i;
        ok = read_block(t, &one, &raw, err);
        if (ok)
            count += pel__dark_squares(&raw, squares + count);
    }
    if (ok && count > 0)
        split->dark = pel__dark_variance(split, squares, count);
    free(squares);
    return ok;
}

/* ---- one candidate on one window ---------------------------------------------------------------------------------------- */

static bool filter_window(const tuner *t, const pel__values *v, const pel_block *in, const pel_region *window, float *out, pel_error *err)
{
    const pel_run *run = t->run;
    const pel_block to = pel__block_dense(window, PEL_F32, out);
    const pel__filter_call call = {.values = v, .image = run->images[0], .noise = t->noise, .in = in, .out = &to,
                                   .pool = run->pool, .scratch = t->scratch, .thread_scratch = t->thread};
    return run->pipeline->stage[0].type->apply(&call, err);
}

static pel_region reach(const tuner *t, const pel__values *v, const pel_region *window)
{
    int64_t before[PEL_AXES], after[PEL_AXES];
    const pel_image *image = t->run->images[0];
    const pel_region bounds = pel__region(PEL_AXES, NULL, image->shape);
    t->run->pipeline->stage[0].type->halo(v, image, before, after);
    return pel__region_grow(window, before, after, &bounds);
}

/* What the crew does with one draw of one window: strips of rows, in an order that is nobody's. */
typedef struct {
    const tuner *t;
    const pel_block *raw, *kept;
    const pel_region *all; /* that is cut into strips */
    int64_t pass;
} draw;

static pel_region strip(const pel_region *r, int64_t index)
{
    const int64_t cell[PEL_AXES] = {1, 1, 1, STRIP_ROWS, r->shape[PEL_X]};
    return pel__grid_cell(r, cell, index);
}

static int64_t strips(const pel_region *r)
{
    const int64_t cell[PEL_AXES] = {1, 1, 1, STRIP_ROWS, r->shape[PEL_X]};
    return pel__grid_cells(r, cell);
}

static bool keep_strip(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const draw *d = arg;
    const pel_region r = strip(d->all, index);
    pel__split_keep(&d->t->split[r.origin[PEL_C] - d->t->first], d->raw, d->kept, &r, d->pass);
    return true;
}

/* Each row adds to its strip's own sums. */
static void judge_row(const draw *d, strip_sums *s, const int64_t at[PEL_AXES], int64_t n)
{
    const tuner *t = d->t;
    const pel__split *split = &t->split[at[PEL_C] - t->first];
    const double top = split->saturation;
    const pel_block results = pel__block_dense(d->all, PEL_F32, t->out); /* of the first candidate; the others' lie behind it */
    const float *found = pel__block_at(&results, at), *y = pel__block_at(d->raw, at);
    const int64_t size = pel__region_voxels(d->all);
    int64_t here[PEL_AXES] = {at[PEL_T], at[PEL_C], at[PEL_Z], at[PEL_Y], 0};
    for (int64_t i = 0; i < n; i++) {
        here[PEL_X] = at[PEL_X] + i;
        if (!(fabsf(y[i]) < INFINITY) || (top > 0 && y[i] >= top))
            continue;
        const pel__split_voxel v = pel__split_at(split, d->raw, here, d->pass);
        s->count++;
        for (int32_t k = 0; k < t->left_count; k++)
            s->sum[t->left[k]] += pel__split_error(split, &v, found[t->left[k] * size + i]);
    }
}

static bool judge_strip(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const draw *d = arg;
    const pel_region r = strip(d->all, index);
    strip_sums *const s = &d->t->sums[index];
    *s = (strip_sums){0};
    for (int64_t y = 0; y < r.shape[PEL_Y]; y++) {
        const int64_t at[PEL_AXES] = {r.origin[PEL_T], r.origin[PEL_C], r.origin[PEL_Z], r.origin[PEL_Y] + y, r.origin[PEL_X]};
        judge_row(d, s, at, r.shape[PEL_X]);
    }
    return true;
}

/* Adds the strips in their order, whoever made them. */
static bool judge_pass(tuner *t, int32_t window, const pel_block *whole, int64_t pass, pel_error *err)
{
    const pel_region *w = &t->window[window];
    const draw d = {.t = t, .raw = whole, .all = w, .pass = pass};
    if (!pel__pool_run(t->run->pool, PEL__COMPUTE_LAST, strips(w), judge_strip, (void *)(uintptr_t)&d, err))
        return false;
    for (int64_t c = 0; c < t->channels; c++) {
        strip_sums all = {0};
        for (int64_t i = 0; i < strips(w); i++) {
            if (strip(w, i).origin[PEL_C] != t->first + c)
                continue;
            all.count += t->sums[i].count;
            for (int32_t k = 0; k < t->tuning->count; k++)
                all.sum[k] += t->sums[i].sum[k];
        }
        for (int32_t k = 0; k < t->left_count; k++)
            t->risk[c][t->left[k]][window] += all.sum[t->left[k]] / (double)pel__max(1, all.count);
    }
    return true;
}

/* What the filter makes of one draw, by every candidate that is left. */
static bool filter_pass(tuner *t, const pel_region *w, const pel_block *whole, int64_t pass, pel_error *err)
{
    const pel_block kept = pel__block_dense(&whole->region, PEL_F32, t->kept);
    const draw d = {.t = t, .raw = whole, .kept = &kept, .all = &whole->region, .pass = pass};
    if (!pel__pool_run(t->run->pool, PEL__COMPUTE_LAST, strips(&whole->region), keep_strip, (void *)(uintptr_t)&d, err))
        return false;
    for (int32_t i = 0; i < t->left_count; i++) {
        const int32_t k = t->left[i];
        const pel_region in = reach(t, &t->values[k], w);
        const pel_block view = pel__block_view(&kept, &in);
        if (!filter_window(t, &t->values[k], &view, w, t->out + k * pel__region_voxels(w), err))
            return false;
    }
    return true;
}

/* Adds each candidate's error in these passes, the mean over judging voxels, by channel. */
static bool try_window(tuner *t, int32_t window, const pel_block *whole, int64_t from, int64_t to, pel_error *err)
{
    for (int64_t pass = from; pass < to; pass++) {
        if (!filter_pass(t, &t->window[window], whole, pass, err) || !judge_pass(t, window, whole, pass, err))
            return false;
    }
    return true;
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------ */

static void measure(tuner *t)
{
    pel_run *run = t->run;
    const pel_image *image = run->images[0];
    const pel__filter_type *type = run->pipeline->stage[0].type;
    t->raw_bytes = t->scratch_bytes = t->thread_bytes = 0;
    t->out_bytes = pel__region_voxels(&t->window[0]) * 4 * t->tuning->count;
    for (int32_t c = 0; c < t->tuning->count; c++) {
        for (int32_t w = 0; w < t->window_count; w++) {
            const pel_region in = reach(t, &t->values[c], &t->window[w]);
            t->raw_bytes = pel__max(t->raw_bytes, pel__region_voxels(&in) * 4);
            t->scratch_bytes = pel__max(t->scratch_bytes, type->block_bytes(&t->values[c], image, &in, &t->window[w]));
        }
        t->thread_bytes = pel__max(t->thread_bytes, type->thread_bytes(&t->values[c], image) * run->request.threads);
    }
    t->sums_bytes = strips(&t->window[0]) * (int64_t)sizeof *t->sums;
    t->raw_bytes *= 2; /* the union of all reaches, which is more than the largest where axes differ */
    t->native_bytes = t->raw_bytes / 4 * (int64_t)pel_dtype_size(image->dtype);
}

/* Windows that fit into the memory beside the program and the open source. */
static void choose_side(tuner *t)
{
    const pel__plan_request *q = &t->run->request;
    const pel_image *image = t->run->images[0];
    const int64_t program = pel__max((int64_t)30 << 20, q->resident_bytes - q->source_resident_bytes);
    const int64_t others = program + q->source_resident_bytes + q->threads * (q->source_thread_bytes + ((int64_t)1 << 20));
    t->side = image->shape[PEL_Z] > 1 ? 80 : image->shape[PEL_T] > 1 ? 96 : 200;
    for (;; t->side /= 2) {
        choose_windows(t);
        measure(t);
        const int64_t all = 2 * t->raw_bytes + t->out_bytes + t->sums_bytes + t->native_bytes + t->scratch_bytes + t->thread_bytes;
        if (all + others <= q->memory_bytes || t->side / 2 < LEAST_SIDE)
            return;
    }
}

static bool alloc_tuner(tuner *t, pel_error *err)
{
    const pel_run *run = t->run;
    void *p[4] = {NULL};
    const bool ok = pel__budget_alloc(run->budget, &p[0], t->raw_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &p[1], t->raw_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &p[2], t->out_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &p[3], t->sums_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &t->native, t->native_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &t->scratch, t->scratch_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &t->thread, t->thread_bytes, "tuning", err);
    t->raw = p[0];
    t->kept = p[1];
    t->out = p[2];
    t->sums = p[3];
    return ok;
}

static void free_tuner(tuner *t)
{
    pel__budget *b = t->run->budget;
    pel__budget_free(b, t->raw, t->raw_bytes);
    pel__budget_free(b, t->kept, t->raw_bytes);
    pel__budget_free(b, t->out, t->out_bytes);
    pel__budget_free(b, t->sums, t->sums_bytes);
    pel__budget_free(b, t->native, t->native_bytes);
    pel__budget_free(b, t->scratch, t->scratch_bytes);
    pel__budget_free(b, t->thread, t->thread_bytes);
}

/* ---- candidates ---------------------------------------------------------------------------------------------------------------- */

static bool is_typed(const pel__values *typed, const char *name)
{
    for (int32_t i = 0; i < typed->count; i++) {
        if (strcmp(typed->params[i].name, name) == 0)
            return !pel__value_is_open(typed, i);
    }
    return true;
}

/* "aggregate=no strength=0.5" upon what the user typed; what was typed stays. *changes: does it set anything at all? */
static bool apply_text(pel__values *v, const pel__values *typed, const char *text, bool *changes, pel_error *err)
{
    *changes = false;
    for (const char *at = text; *at;) {
        char word[64], *equals = NULL;
        const size_t n = strcspn(at, " ");
        (void)snprintf(word, sizeof word, "%.*s", (int)n, at);
        at += n + strspn(at + n, " ");
        equals = strchr(word, '=');
        if (!equals)
            return pel__fail(err, PEL_INTERNAL, "candidate \"%s\" cannot be read", text);
        *equals = '\0';
        if (is_typed(typed, word))
            continue;
        *changes = true;
        if (!pel__values_set(v, word, equals + 1, err))
            return false;
    }
    return true;
}

static bool same_values(const pel__values *a, const pel__values *b)
{
    for (int32_t i = 0; i < a->count; i++) {
        if (strcmp(a->text[i], b->text[i]) != 0)
            return false;
    }
    return true;
}

/* The grid of the filter with what the user typed held fixed; candidates that then fall together are one. */
static bool make_candidates(tuner *t, const pel__values *typed, pel_error *err)
{
    pel_run *run = t->run;
    int32_t count = 0;
    const pel__filter_type *type = run->pipeline->stage[0].type;
    const char *const *texts = type->tuning(&run->typed, run->images[0], &count);
    t->tuning->count = 0;
    for (int32_t i = 0; i < count && t->tuning->count < PEL__MOST_CANDIDATES; i++) {
        bool changes = false, known = false;
        pel__values *v = &t->values[t->tuning->count];
        *v = *typed;
        if (!apply_text(v, typed, texts[i], &changes, err) || !type->resolve(v, run->images[0], err))
            return false;
        if (!type->check(v, run->images[0], NULL))
            continue;
        for (int32_t k = 0; k < t->tuning->count; k++)
            known = known || same_values(v, &t->values[k]);
        if (known)
            continue;
        (void)snprintf(t->tuning->list[t->tuning->count++].text, PEL__VALUE_SIZE, "%s", texts[i]);
    }
    for (int64_t c = 1; c < t->channels; c++)
        t->tuning[c] = t->tuning[0];
    return true;
}

/* Of a candidate beside another, as a mean over the windows: its error, how much that is more, and the standard error of this. */
typedef struct {
    double risk, more, error;
} comparison;

static double risk_of(const tuner *t, int64_t channel, int32_t candidate, int32_t window)
{
    const double risk = t->risk[channel][candidate][window];
    return t->judged[candidate] > 0 ? risk / (double)t->judged[candidate] : risk + t->risk[channel][0][window] / (double)t->judged[0];
}

static comparison compare(const tuner *t, int64_t channel, int32_t candidate, int32_t other)
{
    const double n = t->window_count;
    double square = 0;
    comparison r = {0};
    for (int32_t w = 0; w < t->window_count; w++) {
        const double risk = risk_of(t, channel, candidate, w), d = risk - risk_of(t, channel, other, w);
        r.risk += risk / n;
        r.more += d / n;
        square += d * d / n;
    }
    r.error = n > 1 ? sqrt(fmax(0, square - r.more * r.more) / (n - 1)) : 0;
    return r;
}

/* The same in the mean of the channels, as shares of what the default's error is. */
static comparison compare_all(const tuner *t, int32_t candidate, int32_t other)
{
    comparison r = {0};
    for (int64_t c = 0; c < t->channels; c++) {
        const comparison one = compare(t, c, candidate, other);
        const double share = 1 / (fmax(compare(t, c, 0, 0).risk, 1e-300) * (double)t->channels);
        r.risk += one.risk * share;
        r.more += one.more * share;
        r.error += one.error * share;
    }
    return r;
}

/* What is kept of a candidate that is out: how much more than the default's its error was in the same draws. */
static void keep_difference(tuner *t, int32_t candidate)
{
    for (int64_t c = 0; c < t->channels; c++) {
        for (int32_t w = 0; w < t->window_count; w++)
            t->risk[c][candidate][w] = risk_of(t, c, candidate, w) - risk_of(t, c, 0, w);
    }
    t->judged[candidate] = 0;
}

/* Leaves out what is clearly worse than the best; the default stays, for all are compared with it. */
static void leave_out(tuner *t)
{
    int32_t best = 0, kept = 0;
    for (int32_t i = 0; i < t->left_count; i++) {
        if (compare_all(t, t->left[i], best).more < 0)
            best = t->left[i];
    }
    for (int32_t i = 0; i < t->left_count; i++) {
        const comparison c = compare_all(t, t->left[i], best);
        if (t->left[i] == 0 || !(c.more > fmax(HOPELESS, HOPELESS_ERRORS * c.error)))
            t->left[kept++] = t->left[i];
        else
            keep_difference(t, t->left[i]);
    }
    t->left_count = kept;
}

/* The best whose gain over the default, in the mean of the channels, is more than half its own error, and worth it. */
static void choose(tuner *t)
{
    int32_t chosen = 0;
    double best = 0;
    for (int32_t i = 0; i < t->left_count; i++) {
        const comparison c = compare_all(t, t->left[i], 0);
        if (-c.more > fmax(0.5 * c.error, LEAST_GAIN(t->split[0].counts)) && -c.more > best) {
            chosen = t->left[i];
            best = -c.more;
        }
    }
    for (int64_t c = 0; c < t->channels; c++) {
        t->tuning[c].chosen = chosen;
        t->tuning[c].voxels = (int64_t)t->window_count * pel__region_voxels(&t->window[0]) / t->channels;
        for (int32_t k = 0; k < t->tuning->count; k++) {
            const comparison found = compare(t, c, k, 0);
            t->tuning[c].list[k].risk = found.risk;
            t->tuning[c].list[k].error = found.error;
        }
    }
}

/* ---- a channel, and all ---------------------------------------------------------------------------------------------------------- */

/* With all that any candidate reads. */
static bool read_window(tuner *t, int32_t window, pel_block *whole, pel_error *err)
{
    pel_region all = t->window[window];
    t->at_window = window;
    for (int32_t c = 0; c < t->tuning->count; c++) {
        const pel_region in = reach(t, &t->values[c], &t->window[window]);
        all = pel__region_union(&all, &in);
    }
    return read_block(t, &all, whole, err);
}

static bool start_split(tuner *t, pel_error *err)
{
    const pel_run *run = t->run;
    const int64_t voxels = (int64_t)t->window_count * pel__region_voxels(&t->window[0]) / t->channels;
    t->passes = pel__min(20, pel__max(3, pel__ceil_div(JUDGED_VOXELS, voxels)));
    for (int64_t c = 0; c < t->channels; c++) {
        const pel__noise *model = &run->noise_model[0][t->first + c];
        t->split[c] = pel__split_make(model->gain, model->offset, pel__saturation(run->images[0]));
        const pel_noise noise = pel__split_noise(&t->split[c]);
        t->noise[t->first + c] = (pel__noise){noise.gain, noise.offset, model->low_frequency};
        if (t->split[c].counts && !find_dark(t, c, err))
            return false;
    }
    return true;
}

typedef struct {
    pel_on_progress *call;
    void *arg;
    int64_t done, total; /* channels */
} watcher;

/* These passes over all windows, by all candidates that are left. */
static bool try_all(tuner *t, int64_t from, int64_t to, const watcher *watch, pel_error *err)
{
    bool ok = true;
    for (int32_t w = 0; ok && w < t->window_count; w++) {
        pel_block whole;
        ok = read_window(t, w, &whole, err) && try_window(t, w, &whole, from, to, err);
        const int64_t part = from * t->window_count + w * (to - from);
        const pel_progress p = {.phase = "tuning", .done = watch->done * t->passes * t->window_count + t->channels * part, .total = watch->total * t->passes * t->window_count};
        if (ok && watch->call && !watch->call(watch->arg, &p))
            ok = pel__fail(err, PEL_INTERRUPTED, "interrupted while tuning");
    }
    for (int32_t i = 0; i < t->left_count; i++)
        t->judged[t->left[i]] = to;
    return ok;
}

static void begin_trials(tuner *t)
{
    t->left_count = t->tuning->count;
    for (int32_t k = 0; k < t->tuning->count; k++) {
        t->left[k] = k;
        t->judged[k] = 0;
        for (int64_t c = 0; c < t->channels; c++)
            memset(t->risk[c][k], 0, sizeof t->risk[c][k]);
    }
}

static bool try_candidates(tuner *t, const watcher *watch, pel_error *err)
{
    begin_trials(t);
    if (!start_split(t, err))
        return false;
    const int64_t early = pel__ceil_div(t->passes, EARLY_SHARE);
    if (!try_all(t, 0, early, watch, err))
        return false;
    leave_out(t);
    return try_all(t, early, t->passes, watch, err);
}

/* The draws that split an image have the noise of neighbours independent: they cannot judge where it is shared. */
static bool cannot_judge(const tuner *t)
{
    for (int64_t c = 0; c < t->channels; c++) {
        if (t->run->noise_model[0][t->first + c].low_frequency != 1)
            return true;
    }
    return false;
}

/* One group of channels. */
static bool tune_group(tuner *t, const pel__values *typed, const watcher *watch, pel_error *err)
{
    if (!make_candidates(t, typed, err))
        return false;
    if (cannot_judge(t)) {
        for (int64_t c = 0; c < t->channels; c++)
            t->tuning[c] = (pel__tuning){0};
        return true;
    }
    choose_side(t);
    bool ok = alloc_tuner(t, err);
    for (pel_error why = {0}; ok && !try_candidates(t, watch, &why); why.code = PEL_OK) { /* a damaged tile does not spoil the sample */
        ok = (why.code == PEL_DAMAGED && t->window_count > 1) || pel__fail(err, why.code, "%s", why.text);
        if (ok)
            t->window[t->at_window] = t->window[--t->window_count];
    }
    free_tuner(t);
    if (ok)
        choose(t);
    return ok;
}

/* All channels, in groups of so many; chosen[] and tuning[] by channel. */
static bool tune_all(tuner *t, const pel__values *typed, int64_t group, pel__values *chosen, watcher *watch, pel_error *err)
{
    pel__tuning *const tuning = t->tuning;
    bool ok = true;
    t->channels = group;
    for (t->first = 0; ok && t->first < t->run->images[0]->shape[PEL_C]; t->first += group) {
        t->tuning = tuning + t->first;
        ok = tune_group(t, typed, watch, err);
        for (int64_t c = 0; ok && c < group; c++)
            chosen[t->first + c] = t->values[t->tuning->chosen];
        watch->done += group;
    }
    t->tuning = tuning;
    return ok;
}

/* Is there anything to choose, and enough to judge by? */
static bool may_tune(const pel_run *run)
{
    const pel_image *im = run->images[0];
    return run->pipeline->stage[0].type->tuning &&
           im->shape[PEL_T] * im->shape[PEL_Z] * im->shape[PEL_Y] * im->shape[PEL_X] >= LEAST_VOXELS;
}

/* Does this choice work all channels jointly? Then one needs the others. */
static bool is_joint(const pel_run *run, const pel__values *resolved)
{
    int64_t before[PEL_AXES], after[PEL_AXES];
    run->pipeline->stage[0].type->halo(resolved, run->images[0], before, after);
    return before[PEL_C] + after[PEL_C] > 0;
}

#define WORTH_JOINING 0.03 /* of the error, in the mean of the channels */
#define MOST_LOSS 0.03     /* of the error of any of them */

static bool joint_is_better(const pel__tuning *apart, const pel__tuning *joint, int64_t channels)
{
    double gain = 0, worst = 0;
    for (int64_t c = 0; c < channels; c++) {
        const double a = fmax(apart[c].list[apart[c].chosen].risk, 1e-300), j = fmax(joint[c].list[joint[c].chosen].risk, 1e-300);
        gain += log(a / j) / (double)channels;
        worst = fmax(worst, j / a - 1);
    }
    return gain > WORTH_JOINING && worst < MOST_LOSS;
}

/* The setting that works channels jointly was left open by the user: both ways are tried. */
static bool left_open(const pel_run *run)
{
    const char *const joint = run->pipeline->stage[0].type->joint;
    char name[32] = "";
    if (joint)
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(joint, "="), joint);
    return joint && run->images[0]->shape[PEL_C] > 1 && !is_typed(&run->typed, name);
}

/* The table of a choice that was made jointly says so. */
static void name_joint(pel__tuning *u, const char *joint)
{
    for (int32_t k = 0; k < u->count; k++) {
        char text[PEL__VALUE_SIZE];
        (void)snprintf(text, sizeof text, "%.96s", u->list[k].text);
        (void)snprintf(u->list[k].text, sizeof u->list[k].text, "%s%s%.96s", joint, text[0] ? " " : "", text);
    }
}

static bool try_joint(tuner *t, pel__values *chosen, watcher *watch, pel_error *err)
{
    const pel_run *run = t->run;
    const int64_t channels = run->images[0]->shape[PEL_C];
    pel__tuning *const apart = t->tuning;
    pel__values *both = calloc((size_t)channels, sizeof *both);
    pel__values joint = run->typed;
    bool changes = false;
    t->tuning = calloc((size_t)channels, sizeof *t->tuning);
    bool ok = both && t->tuning;
    if (!ok)
        (void)pel__fail(err, PEL_NO_MEMORY, "tuning: no memory");
    ok = ok && apply_text(&joint, &run->typed, run->pipeline->stage[0].type->joint, &changes, err) && tune_all(t, &joint, channels, both, watch, err);
    if (ok && joint_is_better(apart, t->tuning, channels)) {
        memcpy(apart, t->tuning, (size_t)channels * sizeof *apart);
        memcpy(chosen, both, (size_t)channels * sizeof *chosen);
        for (int64_t c = 0; c < channels; c++)
            name_joint(&apart[c], run->pipeline->stage[0].type->joint);
    }
    free(t->tuning);
    free(both);
    t->tuning = apart;
    return ok;
}

bool pel__tune_run(pel_run *run, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    const int64_t channels = run->images[0]->shape[PEL_C];
    const size_t n = (size_t)channels;
    if (!may_tune(run))
        return true;
    const bool joint = is_joint(run, &run->pipeline->stage[0].values), open = left_open(run);
    watcher watch = {on_progress, arg, 0, channels * (open ? 2 : 1)};
    run->tuning = calloc(n, sizeof *run->tuning);
    pel__values *chosen = calloc(n, sizeof *chosen);
    tuner t = {.run = run, .tuning = run->tuning, .values = calloc(PEL__MOST_CANDIDATES, sizeof *t.values), .risk = calloc(n, sizeof *t.risk),
               .split = calloc(n, sizeof *t.split), .noise = calloc(n, sizeof *t.noise)};
    bool ok = t.values && t.risk && t.split && t.noise && run->tuning && chosen;
    if (!ok)
        (void)pel__fail(err, PEL_NO_MEMORY, "tuning: no memory");
    ok = ok && pel__run_take_means(run, err) &&
         tune_all(&t, &run->typed, joint ? channels : 1, chosen, &watch, err) && (!open || try_joint(&t, chosen, &watch, err));
    free(t.values);
    free(t.risk);
    free(t.split);
    free(t.noise);
    if (ok)
        pel__pipeline_take_channels(run->pipeline, chosen, channels);
    else
        free(chosen);
    return ok;
}
