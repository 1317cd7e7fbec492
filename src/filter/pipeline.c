/* SPDX-License-Identifier: MIT
 * See pipeline.h. Between stages pixels are float32 in the block's scratch: first the results of all stages but the last,
 * behind them the scratch of the stage at work. */
#include "filter/pipeline.h"

#include "core/bytes.h"
#include "core/region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the text ----------------------------------------------------------------------------------------------------------- */

#define MOST_WORD 160

static bool next_word(const char **at, char word[MOST_WORD], pel_error *err)
{
    *at += strspn(*at, " \t");
    const size_t n = strcspn(*at, " \t|");
    if (n >= MOST_WORD)
        return pel__fail(err, PEL_ARGUMENT, "then: a word of %zu characters, expected less than %d", n, MOST_WORD);
    memcpy(word, *at, n);
    word[n] = '\0';
    *at += n;
    return true;
}

static bool set_word(pel__stage *s, char *word, pel_error *err)
{
    char *equals = strchr(word, '=');
    if (!equals)
        return pel__fail(err, PEL_ARGUMENT, "then: %s: found \"%s\", expected setting=value", s->type->name, word);
    *equals = '\0';
    const char *name = strncmp(word, "--", 2) == 0 ? word + 2 : word;
    return pel__values_set(&s->values, name, equals + 1, err) || pel__where(err, "then: %s: ", s->type->name);
}

static bool parse_stage(pel__pipeline *pipeline, const char **at, pel_error *err)
{
    char word[MOST_WORD];
    if (!next_word(at, word, err))
        return false;
    if (pipeline->count == PEL__MAX_STAGES)
        return pel__fail(err, PEL_ARGUMENT, "then: more than %d filters in a row", PEL__MAX_STAGES);
    pel__stage *s = &pipeline->stage[pipeline->count];
    s->type = pel__filter_find(word);
    if (!s->type || !s->type->apply)
        return pel__fail(err, PEL_ARGUMENT, "then: found \"%s\", expected the name of a filter", word);
    pel__values_init(&s->values, s->type->params, s->type->param_count);
    for (;;) {
        if (!next_word(at, word, err))
            return false;
        if (word[0] == '\0')
            break;
        if (!set_word(s, word, err))
            return false;
    }
    pipeline->count++;
    return true;
}

bool pel__pipeline_parse(pel__pipeline *pipeline, const char *text, pel_error *err)
{
    if (pipeline->count > 0 && !pel__pipeline_computes(pipeline))
        return pel__fail(err, PEL_ARGUMENT, "then: %s only copies, nothing can follow it", pipeline->stage[0].type->name);
    for (const char *at = text;; at++) {
        if (!parse_stage(pipeline, &at, err))
            return false;
        if (*at == '\0')
            return true;
    }
}

/* ---- what follows from the stages ------------------------------------------------------------------------------------------ */

bool pel__pipeline_computes(const pel__pipeline *pipeline)
{
    return pipeline->stage[0].type->apply != NULL;
}

bool pel__pipeline_needs_noise(const pel__pipeline *pipeline)
{
    return pipeline->stage[0].type->needs_noise;
}

bool pel__pipeline_takes_ground(const pel__pipeline *pipeline)
{
    return pipeline->stage[0].type->takes_ground;
}

bool pel__pipeline_makes_float(const pel__pipeline *pipeline)
{
    for (int32_t k = 0; k < pipeline->count; k++) {
        if (pipeline->stage[k].type->makes_float)
            return true;
    }
    return false;
}

bool pel__pipeline_fetches(const pel__pipeline *pipeline)
{
    return pipeline->stage[0].type->fetches;
}

bool pel__pipeline_stores(const pel__pipeline *pipeline)
{
    return pipeline->stage[pipeline->count - 1].type->stores;
}

/* The image as stage k sees it. */
static pel_image seen_by(const pel_image *image, int32_t k)
{
    pel_image seen = *image;
    if (k > 0)
        seen.dtype = PEL_F32;
    return seen;
}

bool pel__pipeline_resolve(pel__pipeline *pipeline, const pel_image *image, pel_error *err)
{
    for (int32_t k = 0; k < pipeline->count; k++) {
        const pel_image seen = seen_by(image, k);
        if (!pipeline->stage[k].type->resolve(&pipeline->stage[k].values, &seen, err))
            return false;
    }
    return true;
}

bool pel__pipeline_check(const pel__pipeline *pipeline, const pel_image *image, pel_error *err)
{
    for (int32_t k = 0; k < pipeline->count; k++) {
        const pel_image seen = seen_by(image, k);
        const pel__filter_type *type = pipeline->stage[k].type;
        if (k > 0 && type->needs_noise)
            return pel__fail(err, PEL_ARGUMENT, "%s must be the first filter: it needs the noise of the camera", type->name);
        if (!type->check(&pipeline->stage[k].values, &seen, err))
            return false;
    }
    return true;
}

const pel__values *pel__stage_values(const pel__stage *stage, int64_t channel)
{
    return stage->channel_values ? &stage->channel_values[channel % stage->channel_count] : &stage->values;
}

void pel__pipeline_take_channels(pel__pipeline *pipeline, pel__values *values, int64_t count)
{
    free(pipeline->stage[0].channel_values);
    pipeline->stage[0].channel_values = values;
    pipeline->stage[0].channel_count = count;
    pipeline->stage[0].values = values[0];
}

void pel__pipeline_destroy(pel__pipeline *pipeline)
{
    if (!pipeline)
        return;
    free(pipeline->stage[0].channel_values);
    free(pipeline);
}

/* How many different values a stage has; plans hold for the hungriest of them. */
static int64_t variants(const pel__stage *stage)
{
    return stage->channel_values ? stage->channel_count : 1;
}

/* Reach of one stage: the widest of its channels. */
static void stage_halo(const pel__stage *stage, const pel_image *image, int64_t before[PEL_AXES], int64_t after[PEL_AXES])
{
    memset(before, 0, PEL_AXES * sizeof *before);
    memset(after, 0, PEL_AXES * sizeof *after);
    for (int64_t c = 0; c < variants(stage); c++) {
        int64_t b[PEL_AXES], a[PEL_AXES];
        stage->type->halo(pel__stage_values(stage, c), image, b, a);
        for (int i = 0; i < PEL_AXES; i++) {
            before[i] = pel__max(before[i], b[i]);
            after[i] = pel__max(after[i], a[i]);
        }
    }
}

void pel__pipeline_halo(const pel__pipeline *pipeline, const pel_image *image, int64_t before[PEL_AXES], int64_t after[PEL_AXES])
{
    memset(before, 0, PEL_AXES * sizeof *before);
    memset(after, 0, PEL_AXES * sizeof *after);
    for (int32_t k = 0; k < pipeline->count; k++) {
        int64_t b[PEL_AXES], a[PEL_AXES];
        const pel_image seen = seen_by(image, k);
        stage_halo(&pipeline->stage[k], &seen, b, a);
        for (int i = 0; i < PEL_AXES; i++) {
            before[i] += b[i];
            after[i] += a[i];
        }
    }
}

/* regions[k] is what stage k reads, regions[k + 1] what it makes; the last is `out`. */
static void stage_regions(const pel__pipeline *pipeline, const pel_image *image, const pel_region *in, const pel_region *out,
                          pel_region regions[PEL__MAX_STAGES + 1])
{
    regions[pipeline->count] = *out;
    for (int32_t k = pipeline->count - 1; k > 0; k--) {
        int64_t before[PEL_AXES], after[PEL_AXES];
        const pel_image seen = seen_by(image, k);
        stage_halo(&pipeline->stage[k], &seen, before, after);
        const pel_region bounds = pel__region(PEL_AXES, NULL, image->shape);
        regions[k] = pel__region_grow(&regions[k + 1], before, after, &bounds);
    }
    regions[0] = *in;
}

static int64_t between_bytes(const pel__pipeline *pipeline, const pel_region regions[PEL__MAX_STAGES + 1])
{
    int64_t n = 0;
    for (int32_t k = 1; k < pipeline->count; k++)
        n += pel__arena_cost(pel__region_voxels(&regions[k]) * (int64_t)sizeof(float));
    return n;
}

int64_t pel__pipeline_block_bytes(const pel__pipeline *pipeline, const pel_image *image, const pel_region *in, const pel_region *out)
{
    pel_region regions[PEL__MAX_STAGES + 1];
    int64_t most = 0;
    stage_regions(pipeline, image, in, out, regions);
    for (int32_t k = 0; k < pipeline->count; k++) {
        const pel_image seen = seen_by(image, k);
        const pel__stage *stage = &pipeline->stage[k];
        for (int64_t c = 0; c < variants(stage); c++)
            most = pel__max(most, stage->type->block_bytes(pel__stage_values(stage, c), &seen, &regions[k], &regions[k + 1]));
    }
    return between_bytes(pipeline, regions) + most;
}

/* Of several filters the first would have to keep its result for the second, halo and all: not worth its memory. */
bool pel__pipeline_sweeps(const pel__pipeline *pipeline)
{
    return pipeline->count == 1 && pipeline->stage[0].type->sweep_bytes;
}

int64_t pel__pipeline_sweep_bytes(const pel__pipeline *pipeline, const pel_image *image, const pel_region *out)
{
    const pel__stage *stage = &pipeline->stage[0];
    int64_t most = 0;
    for (int64_t c = 0; c < variants(stage); c++)
        most = pel__max(most, stage->type->sweep_bytes(pel__stage_values(stage, c), image, out));
    return most;
}

bool pel__pipeline_sweep_takes(const pel__pipeline *pipeline, const pel_image *image, const pel_region *out, pel_region *in)
{
    const pel__stage *stage = &pipeline->stage[0];
    return pel__pipeline_sweeps(pipeline) && stage->type->sweep_takes(pel__stage_values(stage, 0), image, out, in);
}

int64_t pel__pipeline_thread_bytes(const pel__pipeline *pipeline, const pel_image *image)
{
    int64_t most = 0;
    for (int32_t k = 0; k < pipeline->count; k++) {
        const pel_image seen = seen_by(image, k);
        const pel__stage *stage = &pipeline->stage[k];
        for (int64_t c = 0; c < variants(stage); c++)
            most = pel__max(most, stage->type->thread_bytes(pel__stage_values(stage, c), &seen));
    }
    return most;
}

double pel__pipeline_cost(const pel__pipeline *pipeline, const pel_image *image, const pel_region *in, const pel_region *out)
{
    pel_region regions[PEL__MAX_STAGES + 1];
    double cost = 0;
    stage_regions(pipeline, image, in, out, regions);
    for (int32_t k = 0; k < pipeline->count; k++) {
        const pel_image seen = seen_by(image, k);
        const double voxels = (double)pel__region_voxels(&regions[k + 1]) / (double)pel__region_voxels(out);
        const pel__stage *stage = &pipeline->stage[k];
        for (int64_t c = 0; c < variants(stage); c++)
            cost += voxels / (double)variants(stage) * stage->type->cost(pel__stage_values(stage, c), &seen, &regions[k], &regions[k + 1]);
    }
    return cost;
}

/* ---- work ------------------------------------------------------------------------------------------------------------------ */

bool pel__pipeline_apply(const pel__pipeline *pipeline, const pel__filter_call *call, pel_error *err)
{
    pel_region regions[PEL__MAX_STAGES + 1];
    stage_regions(pipeline, call->image, &call->in->region, &call->out->region, regions);
    uint8_t *between = call->scratch;
    pel_block in = *call->in;
    for (int32_t k = 0; k < pipeline->count; k++) {
        const bool last = k == pipeline->count - 1;
        const pel_image seen = seen_by(call->image, k);
        const pel_block out = last ? *call->out : pel__block_dense(&regions[k + 1], PEL_F32, between);
        if (!last)
            between += pel__arena_cost(pel__region_voxels(&regions[k + 1]) * (int64_t)sizeof(float));
        pel__filter_call stage = *call;
        stage.values = pel__stage_values(&pipeline->stage[k], call->out->region.origin[PEL_C]);
        stage.image = &seen;
        stage.noise = k == 0 ? call->noise : NULL;
        stage.ground = k == 0 ? call->ground : NULL;
        stage.in = &in;
        stage.out = &out;
        stage.scratch = (uint8_t *)call->scratch + between_bytes(pipeline, regions);
        if (!pipeline->stage[k].type->apply(&stage, err))
            return false;
        in = out;
    }
    return true;
}

void pel__pipeline_names(const pel__pipeline *pipeline, char *out, size_t size)
{
    size_t used = 0;
    for (int32_t k = 0; k < pipeline->count && used < size; k++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", k ? ", " : "", pipeline->stage[k].type->name);
}
