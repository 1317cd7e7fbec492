/* SPDX-License-Identifier: MIT
 * See tune.h. For Y with variance V = gain E(Y) + offset and a filter f (transform, filter and inverse together), an
 * unbiased estimate of the mean squared error of f(Y) that needs no truth is
 *
 *     mean((f(Y) - Y)^2) - mean(V) + 2 mean(V b (f(Y + e b) - f(Y - e b)) / (2 e)),     b = +1 or -1 at random,
 *
 * Stein's identity with the divergence by a Monte Carlo probe (Ramani, Blu, Unser 2008), in the raw domain. For Poisson
 * noise the identity is one of differences: a step of one count, the gain. Measured with bench/tune.py, where counts are
 * few a whole count speaks against filters that react strongly, half a count for them; the mean of both ranks well. The
 * sample is the same at every call: windows at places of a low-discrepancy sequence
 * over time, depth and plane of the first image. A candidate is taken when it is better than the default by more than
 * half the standard error of that difference, so a doubtful gain changes nothing. Tried and worse: either step alone,
 * probes that move only every fourth or sixteenth voxel, one-sided probes of single voxels. */
#include "run/tune.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_VOXELS 420000 /* of a channel; the estimate's own error is then small against what separates candidates */
#define LEAST_VOXELS 40000   /* an image smaller than this keeps the default */
#define MOST_WINDOWS 16
#define LEAST_SIDE 24        /* of a window, where memory is short */

typedef struct {
    pel_run *run;
    pel__values *values;  /* of each candidate, resolved */
    pel__tuning *tuning;  /* of the channel at work */
    int64_t channel;
    pel_region window[MOST_WINDOWS];
    int32_t window_count;
    int64_t side;         /* of a window along y and x */
    double risk[PEL__MOST_CANDIDATES][MOST_WINDOWS];
    float *raw, *probe, *out[2];
    void *native, *scratch, *thread;
    int64_t raw_bytes, native_bytes, out_bytes, scratch_bytes, thread_bytes;
} tuner;

/* ---- the sample ----------------------------------------------------------------------------------------------------------- */


static void choose_windows(tuner *t)
{
    const pel_image *image = t->run->images[0];
    pel_region r = {.ndim = PEL_AXES};
    const int64_t shape[PEL_AXES] = {3, 1, 8, t->side, t->side};
    for (int a = 0; a < PEL_AXES; a++)
        r.shape[a] = pel__min(shape[a], image->shape[a]);
    const int64_t all = image->shape[PEL_T] * image->shape[PEL_Z] * image->shape[PEL_Y] * image->shape[PEL_X];
    const int64_t wanted = pel__ceil_div(pel__min(SAMPLE_VOXELS, all), pel__region_voxels(&r));
    t->window_count = (int32_t)pel__min(MOST_WINDOWS, pel__max(1, wanted));
    for (int32_t i = 0; i < t->window_count; i++) {
        for (int a = 0; a < PEL_AXES; a++)
            r.origin[a] = (int64_t)(pel__sample_place(i, a) * (double)(image->shape[a] - r.shape[a] + 1));
        r.origin[PEL_C] = t->channel;
        t->window[i] = r;
    }
}

static bool coin(const int64_t at[PEL_AXES], int64_t x)
{
    uint64_t v = (uint64_t)x * 0x9E3779B97F4A7C15U;
    for (int a = 0; a < PEL_X; a++)
        v = (v ^ (uint64_t)at[a]) * 0xBF58476D1CE4E5B9U;
    v ^= v >> 29;
    v *= 0x94D049BB133111EBU;
    return (v >> 40) & 1;
}

typedef struct {
    const pel_block *raw;
    float *probe;
    double step;
    int64_t next;
} probe_arg;

static bool probe_row(void *arg, const int64_t *at, int64_t n)
{
    probe_arg *p = arg;
    const float *y = pel__block_at(p->raw, at);
    for (int64_t i = 0; i < n; i++)
        p->probe[p->next++] = (float)(y[i] + (coin(at, at[PEL_X] + i) ? p->step : -p->step));
    return true;
}

/* ---- one candidate on one window ---------------------------------------------------------------------------------------- */

static bool filter_window(const tuner *t, const pel__values *v, const pel_block *in, const pel_region *window, float *out, pel_error *err)
{
    const pel_run *run = t->run;
    const pel_block to = pel__block_dense(window, PEL_F32, out);
    const pel__filter_call call = {.values = v, .image = run->images[0], .noise = run->noise_model[0], .in = in, .out = &to,
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

typedef struct {
    const pel_block *raw;
    const float *up, *down;
    double gain, offset, step, sum;
    const float *plain;
    int64_t next;
} risk_arg;

/* Adds (f - Y)^2 - V, or the divergence where `plain` is NULL. */
static bool risk_row(void *arg, const int64_t *at, int64_t n)
{
    risk_arg *r = arg;
    const float *y = pel__block_at(r->raw, at);
    for (int64_t i = 0; i < n; i++, r->next++) {
        const double variance = r->gain * y[i] + r->offset;
        if (r->plain) {
            const double d = (double)r->plain[r->next] - y[i];
            r->sum += d * d - variance;
        } else {
            const double slope = ((double)r->up[r->next] - r->down[r->next]) / (2 * r->step);
            r->sum += 2 * variance * (coin(at, at[PEL_X] + i) ? slope : -slope);
        }
    }
    return true;
}

/* Sum over the window of the last term of the formula, with one step. */
static bool divergence(tuner *t, const pel__values *v, const pel_block *raw, const pel_region *w, risk_arg r, double *sum, pel_error *err)
{
    const pel_block probe = pel__block_dense(&raw->region, PEL_F32, t->probe);
    for (int side = 0; side < 2; side++) {
        probe_arg p = {.raw = raw, .probe = t->probe, .step = side == 0 ? r.step : -r.step};
        (void)pel__region_rows(&raw->region, probe_row, &p);
        if (!filter_window(t, v, &probe, w, t->out[side], err))
            return false;
    }
    r.up = t->out[0];
    r.down = t->out[1];
    (void)pel__region_rows(w, risk_row, &r);
    *sum = r.sum;
    return true;
}

static bool try_window(tuner *t, int32_t candidate, int32_t window, const pel_block *whole, pel_error *err)
{
    const pel__values *v = &t->values[candidate];
    const pel_region *w = &t->window[window], in = reach(t, v, w);
    const pel__noise *noise = &t->run->noise_model[0][t->channel];
    const pel_block raw = pel__block_view(whole, &in);
    const bool counts = noise->gain > 0;
    const double steps[2] = {counts ? noise->gain : 0.1 * sqrt(noise->offset), 0.5 * noise->gain};
    risk_arg r = {.raw = &raw, .gain = noise->gain, .offset = noise->offset, .plain = t->out[0]};
    double sums[2] = {0, 0};
    if (!filter_window(t, v, &raw, w, t->out[0], err))
        return false;
    (void)pel__region_rows(w, risk_row, &r);
    for (int k = 0; k < (counts ? 2 : 1); k++) {
        const risk_arg d = {.raw = &raw, .gain = noise->gain, .offset = noise->offset, .step = steps[k]};
        if (!divergence(t, v, &raw, w, d, &sums[k], err))
            return false;
    }
    const double mean = counts ? 0.5 * (sums[0] + sums[1]) : sums[0];
    t->risk[candidate][window] = (r.sum + mean) / (double)pel__region_voxels(w);
    return true;
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------ */

static void measure(tuner *t)
{
    pel_run *run = t->run;
    const pel_image *image = run->images[0];
    const pel__filter_type *type = run->pipeline->stage[0].type;
    t->raw_bytes = t->scratch_bytes = t->thread_bytes = 0;
    t->out_bytes = pel__region_voxels(&t->window[0]) * 4;
    for (int32_t c = 0; c < t->tuning->count; c++) {
        for (int32_t w = 0; w < t->window_count; w++) {
            const pel_region in = reach(t, &t->values[c], &t->window[w]);
            t->raw_bytes = pel__max(t->raw_bytes, pel__region_voxels(&in) * 4);
            t->scratch_bytes = pel__max(t->scratch_bytes, type->block_bytes(&t->values[c], image, &in, &t->window[w]));
        }
        t->thread_bytes = pel__max(t->thread_bytes, type->thread_bytes(&t->values[c], image) * run->request.threads);
    }
    t->raw_bytes *= 2; /* the union of all reaches, which is more than the largest where axes differ */
    t->native_bytes = t->raw_bytes / 4 * (int64_t)pel_dtype_size(image->dtype);
}

/* Windows that fit into the memory beside the program and the open source. */
static void choose_side(tuner *t)
{
    const pel__plan_request *q = &t->run->request;
    const pel_image *image = t->run->images[0];
    const int64_t others = ((int64_t)30 << 20) + q->source_resident_bytes + q->threads * (q->source_thread_bytes + ((int64_t)1 << 20));
    t->side = image->shape[PEL_Z] > 1 ? 80 : image->shape[PEL_T] > 1 ? 112 : 200;
    for (;; t->side /= 2) {
        choose_windows(t);
        measure(t);
        const int64_t all = 2 * t->raw_bytes + 2 * t->out_bytes + t->native_bytes + t->scratch_bytes + t->thread_bytes;
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
                    pel__budget_alloc(run->budget, &p[3], t->out_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &t->native, t->native_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &t->scratch, t->scratch_bytes, "tuning", err) &&
                    pel__budget_alloc(run->budget, &t->thread, t->thread_bytes, "tuning", err);
    t->raw = p[0];
    t->probe = p[1];
    t->out[0] = p[2];
    t->out[1] = p[3];
    return ok;
}

static void free_tuner(tuner *t)
{
    pel__budget *b = t->run->budget;
    pel__budget_free(b, t->raw, t->raw_bytes);
    pel__budget_free(b, t->probe, t->raw_bytes);
    pel__budget_free(b, t->out[0], t->out_bytes);
    pel__budget_free(b, t->out[1], t->out_bytes);
    pel__budget_free(b, t->native, t->native_bytes);
    pel__budget_free(b, t->scratch, t->scratch_bytes);
    pel__budget_free(b, t->thread, t->thread_bytes);
}

/* ---- candidates ---------------------------------------------------------------------------------------------------------------- */

static bool is_typed(const pel__values *typed, const char *name)
{
    for (int32_t i = 0; i < typed->count; i++) {
        if (strcmp(typed->params[i].name, name) == 0)
            return strcmp(typed->text[i], typed->params[i].fallback) != 0;
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
static bool make_candidates(tuner *t, pel_error *err)
{
    pel_run *run = t->run;
    int32_t count = 0;
    const pel__filter_type *type = run->pipeline->stage[0].type;
    const char *const *texts = type->tuning(run->images[0], &count);
    t->tuning->count = 0;
    for (int32_t i = 0; i < count && t->tuning->count < PEL__MOST_CANDIDATES; i++) {
        bool changes = false, known = false;
        pel__values *v = &t->values[t->tuning->count];
        *v = run->typed;
        if (!apply_text(v, &run->typed, texts[i], &changes, err) || !type->resolve(v, run->images[0], err))
            return false;
        if (!type->check(v, run->images[0], NULL))
            continue;
        for (int32_t k = 0; k < t->tuning->count; k++)
            known = known || same_values(v, &t->values[k]);
        if (known)
            continue;
        (void)snprintf(t->tuning->list[t->tuning->count++].text, PEL__VALUE_SIZE, "%s", texts[i]);
    }
    return true;
}

/* The best whose gain over the default is more than half its own error. */
static void choose(tuner *t)
{
    pel__tuning *u = t->tuning;
    u->chosen = 0;
    for (int32_t c = 0; c < u->count; c++) {
        double mean = 0, difference = 0, square = 0;
        for (int32_t w = 0; w < t->window_count; w++) {
            const double d = t->risk[c][w] - t->risk[0][w];
            mean += t->risk[c][w] / t->window_count;
            difference += d / t->window_count;
            square += d * d / t->window_count;
        }
        u->list[c].risk = mean;
        u->list[c].error = t->window_count > 1 ? sqrt(fmax(0, square - difference * difference) / (t->window_count - 1)) : 0;
        if (difference < -0.5 * u->list[c].error && mean < u->list[u->chosen].risk)
            u->chosen = c;
    }
    u->voxels = (int64_t)t->window_count * pel__region_voxels(&t->window[0]);
}

/* ---- a channel, and all ---------------------------------------------------------------------------------------------------------- */

static bool read_window(tuner *t, int32_t window, pel_block *whole, pel_error *err)
{
    pel_run *run = t->run;
    pel_region all = t->window[window];
    for (int32_t c = 0; c < t->tuning->count; c++) {
        const pel_region in = reach(t, &t->values[c], &t->window[window]);
        all = pel__region_union(&all, &in);
    }
    const pel_block native = pel__block_dense(&all, run->images[0]->dtype, t->native);
    *whole = pel__block_dense(&all, PEL_F32, t->raw);
    if (pel__region_voxels(&all) * 4 > t->raw_bytes)
        return pel__fail(err, PEL_INTERNAL, "tuning: a window is larger than planned");
    if (!pel__read_region(run->source, 0, &native, run->pool, NULL, err))
        return false;
    pel__to_float(t->raw, t->native, native.dtype, pel__region_voxels(&all));
    return true;
}

static bool tune_channel(tuner *t, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    const int64_t channels = t->run->images[0]->shape[PEL_C];
    if (!make_candidates(t, err))
        return false;
    choose_side(t);
    bool ok = alloc_tuner(t, err);
    for (int32_t w = 0; ok && w < t->window_count; w++) {
        pel_block whole;
        ok = read_window(t, w, &whole, err);
        for (int32_t c = 0; ok && c < t->tuning->count; c++)
            ok = try_window(t, c, w, &whole, err);
        const pel_progress p = {.phase = "tuning", .done = t->channel * t->window_count + w, .total = channels * t->window_count};
        if (ok && on_progress && !on_progress(arg, &p))
            ok = pel__fail(err, PEL_INTERRUPTED, "interrupted while tuning");
    }
    free_tuner(t);
    if (ok)
        choose(t);
    return ok;
}

/* Is there anything to choose, and enough to judge by? */
static bool may_tune(const pel_run *run)
{
    const pel_image *im = run->images[0];
    return run->pipeline->stage[0].type->tuning &&
           im->shape[PEL_T] * im->shape[PEL_Z] * im->shape[PEL_Y] * im->shape[PEL_X] >= LEAST_VOXELS;
}

bool pel__tune_run(pel_run *run, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    const int64_t channels = run->images[0]->shape[PEL_C];
    if (!may_tune(run))
        return true;
    tuner *t = calloc(1, sizeof *t);
    pel__values *values = calloc(PEL__MOST_CANDIDATES, sizeof *values);
    run->tuning = calloc((size_t)channels, sizeof *run->tuning);
    pel__values *chosen = calloc((size_t)channels, sizeof *chosen);
    bool ok = t && values && run->tuning && chosen;
    if (!ok)
        (void)pel__fail(err, PEL_NO_MEMORY, "tuning: no memory");
    ok = ok && (run->pool || pel__pool_create(&run->pool, run->request.threads, err)) &&
         (run->budget || pel__budget_create(&run->budget, 0, err));
    for (int64_t c = 0; ok && c < channels; c++) {
        *t = (tuner){.run = run, .values = values, .tuning = &run->tuning[c], .channel = c};
        ok = tune_channel(t, on_progress, arg, err);
        if (ok)
            chosen[c] = values[run->tuning[c].chosen];
    }
    free(t);
    free(values);
    if (ok)
        pel__pipeline_take_channels(run->pipeline, chosen, channels);
    else
        free(chosen);
    return ok;
}
