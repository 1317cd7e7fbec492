/* SPDX-License-Identifier: MIT
 * A plan in numbers, and the timed sample that turns operations into seconds. */
#include "core/block.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/location.h"
#include "core/region.h"
#include "run/run.h"

#include <math.h>
#include <string.h>
#include <sys/statvfs.h>

static void add_image(pel_plan_summary *s, const pel_run *run, int32_t image)
{
    const int64_t voxels = pel__region_voxels(&run->plan.images[image].bounds);
    s->voxels += voxels;
    s->bytes_in += voxels * (int64_t)pel_dtype_size(run->images[image]->dtype);
}

void pel__run_needs(const pel_run *run, const pel__plan *plan, int64_t *bytes, int64_t *files)
{
    *bytes = *files = 0;
    for (int32_t i = 0; i < plan->image_count; i++) {
        const pel__layout *const l = &plan->images[i].layout;
        for (int32_t k = 0; k < l->level_count; k++) {
            const pel_region shape = pel__region(PEL_AXES, NULL, l->level[k].shape);
            *bytes += pel__region_voxels(&shape) * (int64_t)pel_dtype_size(run->dtype);
            *files += pel__grid_cells(&shape, l->level[k].shard);
        }
    }
}

void pel__free_at(const char *path, int64_t *bytes, int64_t *files)
{
    pel__location l;
    struct statvfs room;
    int64_t free_bytes = 0;
    *bytes = *files = -1;
    if (!path[0] || !pel__location_find(&l, path, NULL) || statvfs(l.there, &room) != 0)
        return;
    if (pel__mul((int64_t)room.f_bavail, (int64_t)room.f_frsize, &free_bytes))
        *bytes = free_bytes;
    if (room.f_files > 0 && room.f_favail <= INT64_MAX) /* 0: made as they are needed */
        *files = (int64_t)room.f_favail;
}

void pel__run_free(const pel_run *run, int64_t *bytes, int64_t *files)
{
    char url[PEL__PATH_MAX] = "";
    *bytes = *files = -1;
    if (run->output[0] && run->sink_type->address(run->output, run->remote, url, sizeof url, NULL) && !url[0])
        pel__free_at(run->output, bytes, files);
}

void pel_run_summary(const pel_run *run, pel_plan_summary *out)
{
    const pel__plan *plan = &run->plan;
    *out = (pel_plan_summary){
        .image_count = plan->image_count, .threads = run->request.threads, .slots = plan->slots, .blocks = plan->block_count,
        .pyramid_jobs = plan->job_count - plan->block_count, .levels = plan->images[0].layout.level_count,
        .sweep = plan->sweep && plan->images[0].block[PEL_Y] < run->images[0]->shape[PEL_Y], .halo_read = plan->halo_read, .halo_work = plan->halo_work, .memory_limit = run->request.memory_bytes,
        .memory_promised = plan->memory.total, .memory_source = plan->memory.source, .memory_filter = plan->memory.filter,
        .memory_buffers = plan->memory.buffers, .memory_write = plan->memory.write, .memory_base = plan->memory.base,
        .seconds_estimated = run->seconds_estimated, .seconds_reading = run->seconds_reading, .seconds_settled = run->seconds_settled, .resumed = run->resumed};
    out->limits = run->limits;
    memcpy(out->memory_by, run->memory_by, sizeof out->memory_by);
    memcpy(out->threads_by, run->threads_by, sizeof out->threads_by);
    out->rounds = run->pipeline->stage[0].type->apply && pel__dtype_wide(run->images[0]->dtype);
    int64_t after[PEL_AXES];
    pel__pipeline_halo(run->pipeline, run->images[0], out->halo, after);
    for (int a = 0; a < PEL_AXES; a++) /* the last block of an axis in whole chunks ends with the image */
        out->block[a] = pel__min(plan->images[0].block[a], run->images[0]->shape[a]);
    memcpy(out->chunk, plan->images[0].layout.level[0].chunk, sizeof out->chunk);
    for (int32_t i = 0; i < plan->image_count; i++)
        add_image(out, run, i);
    pel__run_needs(run, plan, &out->bytes_out, &out->files);
    pel__run_free(run, &out->bytes_free, &out->files_free);
}

const pel_source *pel_run_source(const pel_run *run)
{
    return run->source;
}

int32_t pel_run_noise_count(const pel_run *run, int32_t image)
{
    return run->noise && image >= 0 && image < run->image_count ? (int32_t)run->images[image]->shape[PEL_C] : 0;
}

const pel_noise *pel_run_noise(const pel_run *run, int32_t image, int32_t channel)
{
    return channel >= 0 && channel < pel_run_noise_count(run, image) ? &run->noise[image][channel] : NULL;
}

const char *pel_run_setting(const pel_run *run, const char *name)
{
    const pel__values *v = &run->pipeline->stage[0].values;
    for (int32_t i = 0; i < v->count; i++) {
        if (strcmp(v->params[i].name, name) == 0)
            return v->text[i];
    }
    return NULL;
}

int32_t pel_run_candidate_count(const pel_run *run, int64_t channel)
{
    return run->tuning && channel >= 0 && channel < run->images[0]->shape[PEL_C] ? run->tuning[channel].count : 0;
}

bool pel_run_candidate(const pel_run *run, int64_t channel, int32_t number, pel_candidate *out)
{
    if (number < 0 || number >= pel_run_candidate_count(run, channel))
        return false;
    const pel__tuning *t = &run->tuning[channel];
    const pel__candidate *c = &t->list[number];
    *out = (pel_candidate){.settings = c->text, .risk = c->risk, .error = c->error, .chosen = number == t->chosen};
    return true;
}

#define SAMPLE_VOXELS ((int64_t)1 << 18) /* to begin with */
#define SAMPLE_SECONDS 3.0               /* that the larger sample may take */

typedef struct {
    double read, filter; /* seconds */
} pace;

/* A part of the first block, of so many voxels at most, in the middle of the first image. */
static pel_region sample_region(const pel__plan_image *p, int64_t most)
{
    pel_region r = {.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++)
        r.shape[a] = pel__min(p->block[a], p->bounds.shape[a]);
    for (int a = 0; pel__region_voxels(&r) > most; a = (a + 1) % PEL_AXES)
        r.shape[a] = pel__max(1, r.shape[a] / 2);
    for (int a = 0; a < PEL_AXES; a++)
        r.origin[a] = (p->bounds.shape[a] - r.shape[a]) / 2;
    return r;
}

/* The better of two turns, of which the first warms up, or one that took its time. */
static bool time_sample(pel_run *run, const pel_region *out, const pel_region *in, pace *took, pel_error *err)
{
    pel__slot *slot = &run->bench.slot[0];
    if (!pel__bench_window(run, 0, in, out, err))
        return false;
    bool ok = true;
    for (int turn = 0; ok && turn < 2 && (turn == 0 || took->filter < 0.2 * SAMPLE_SECONDS); turn++) {
        const double start = pel__now();
        ok = pel__read_region(run->source, 0, &slot->in_block, run->pool, NULL, err);
        const double middle = pel__now();
        ok = ok && pel__filter_region(run, 0, &slot->in_block, slot, err);
        const double end = pel__now();
        *took = turn == 0 ? (pace){middle - start, end - middle} : (pace){fmin(took->read, middle - start), fmin(took->filter, end - middle)};
    }
    return ok;
}

typedef struct {
    pel_region in, out;
    double cost; /* what the filter says, nanoseconds on some machine */
} sample;

static sample sample_of(const pel_run *run, int64_t most)
{
    const pel__plan_image *p = &run->plan.images[0];
    int64_t before[PEL_AXES], after[PEL_AXES];
    pel__pipeline_halo(run->pipeline, run->images[0], before, after);
    sample s = {.out = sample_region(p, most)};
    s.in = pel__region_grow(&s.out, before, after, &p->bounds);
    s.cost = pel__pipeline_cost(run->pipeline, run->images[0], &s.in, &s.out) * (double)pel__region_voxels(&s.out);
    return s;
}

/* Does a sample fit into the memory beside program and input? */
static bool has_room(const pel_run *run, const sample *s)
{
    const pel__buffers need = pel__plan_region_buffers(&run->request, run->images[0], &s->in, &s->out);
    return pel__buffers_bytes(&need) <= pel__run_room(run);
}

/* A small sample, and by its pace one that is as much of a block as may be in some seconds: the larger, the more a halo weighs as it does in the
 * run, and the less the start of the threads. */
static bool time_enough(pel_run *run, pace *took, sample *large, pel_error *err)
{
    sample small = sample_of(run, SAMPLE_VOXELS);
    for (int64_t most = SAMPLE_VOXELS / 2; most > 0 && !has_room(run, &small); most /= 2)
        small = sample_of(run, most);
    bool ok = time_sample(run, &small.out, &small.in, took, err);
    *large = small;
    for (int64_t most = SAMPLE_VOXELS; ok;) {
        const sample next = sample_of(run, most *= 2);
        if (pel__region_voxels(&next.out) == pel__region_voxels(&large->out) || !has_room(run, &next) || next.cost * took->filter > SAMPLE_SECONDS * small.cost)
            break;
        *large = next;
    }
    if (ok && pel__region_voxels(&large->out) > pel__region_voxels(&small.out))
        ok = time_sample(run, &large->out, &large->in, took, err);
    pel__bench_free(run);
    return ok;
}

bool pel_run_time(pel_run *run, pel_error *err)
{
    const pel__plan_image *p = &run->plan.images[0];
    pace took = {0};
    sample s;
    double all = 0;
    if (!pel__run_take_means(run, err) || !time_enough(run, &took, &s, err))
        return false;
    for (int32_t i = 0; i < run->plan.image_count; i++)
        all += (double)pel__region_voxels(&run->plan.images[i].bounds);
    const double bare = pel__pipeline_cost(run->pipeline, run->images[0], &p->bounds, &p->bounds);
    run->seconds_reading = all * run->plan.halo_read * took.read / (double)pel__region_voxels(&s.in);
    run->seconds_estimated = run->seconds_reading + all * bare * run->plan.halo_work * took.filter / s.cost;
    return true;
}
