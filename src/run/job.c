/* SPDX-License-Identifier: MIT
 * The stages of one job. A block: read it with its halo, filter, convert with saturation, write its shards, pool and
 * write the lower levels that it owns, record. A pyramid job: read the level below, pool, write, record. All buffers
 * belong to the bench, made once for a phase; the stages themselves allocate nothing large. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "filter/downsample.h"
#include "run/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------------------------------ */

typedef struct {
    pel_source *source;
    int32_t image;
    const pel_block *dst;
    const atomic_bool *stop;
    int64_t origin[PEL_AXES], step[PEL_AXES]; /* pieces are cells of a grid through the image's voxel 0 */
    pel_region cells;                         /* in grid units */
} reading;

/* Pieces as large as a plane, unless there are too few of them to keep the crew busy: then bands of whole tiles. */
static void choose_step(reading *r, const pel_image *image, int32_t threads)
{
    int64_t planes = 1;
    for (int a = 0; a < PEL_AXES; a++) {
        r->step[a] = a < PEL_Y ? image->tile[a] : pel__round_up(image->shape[a], image->tile[a]);
        if (a < PEL_Y)
            planes *= pel__ceil_div(r->dst->region.shape[a], r->step[a]);
    }
    if (image->samples > 1)
        r->step[PEL_C] = image->samples; /* interleaved in the file: read together */
    if (planes >= 2 * (int64_t)threads)
        return;
    const int64_t bands = pel__ceil_div(2 * (int64_t)threads, planes);
    const int64_t rows = pel__ceil_div(r->dst->region.shape[PEL_Y], bands);
    r->step[PEL_Y] = pel__round_up(pel__max(1, rows), image->tile[PEL_Y]);
}

/* Of what is far away each thread gets one large piece, so that it always has several tiles on their way. */
static void choose_far_step(reading *r, const pel_image *image, int32_t threads)
{
    int64_t pieces = 1;
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t shape = r->dst->region.shape[a], tiles = pel__ceil_div(shape, image->tile[a]);
        const int64_t parts = pel__min(tiles, pel__ceil_div(threads, pieces));
        r->step[a] = image->tile[a] * pel__ceil_div(tiles, parts);
        pieces *= pel__ceil_div(shape, r->step[a]);
    }
}

static bool read_piece(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const reading *r = arg;
    const int64_t one[PEL_AXES] = {1, 1, 1, 1, 1};
    if (r->stop && atomic_load(r->stop))
        return pel__fail(err, PEL_INTERRUPTED, "interrupted");
    pel_region cell = pel__grid_cell(&r->cells, one, index);
    for (int a = 0; a < PEL_AXES; a++) {
        cell.origin[a] *= r->step[a];
        cell.shape[a] = r->step[a];
    }
    cell = pel__region_intersect(&cell, &r->dst->region);
    const pel_block part = pel__block_view(r->dst, &cell);
    return pel_source_read(r->source, r->image, &part, err);
}

bool pel__read_region(pel_source *source, int32_t image, const pel_block *dst, pel__pool *pool, const atomic_bool *stop,
                      pel_error *err)
{
    reading r = {.source = source, .image = image, .dst = dst, .stop = stop, .cells = {.ndim = PEL_AXES}};
    (source->far ? choose_far_step : choose_step)(&r, pel_source_image(source, image), pel__pool_threads(pool));
    for (int a = 0; a < PEL_AXES; a++) {
        const int64_t first = dst->region.origin[a] / r.step[a];
        r.cells.origin[a] = first;
        r.cells.shape[a] = pel__ceil_div(dst->region.origin[a] + dst->region.shape[a], r.step[a]) - first;
    }
    return pel__pool_run(pool, PEL__READ_NEXT, pel__region_voxels(&r.cells), read_piece, &r, err);
}

/* ---- converting and measuring pixels ------------------------------------------------------------------------------- */

typedef struct {
    int64_t clipped;
    double minimum, maximum, sum;
} band_result;

#define MOST_BANDS 64

typedef struct {
    const pel_block *src, *dst; /* same region, dense; the same block where nothing is converted */
    int64_t voxels, per_band;
    band_result band[MOST_BANDS];
} conversion;

#define CONVERT_AT_ONCE 4096

#define MEASURE_LANES 16

/* Lane by lane, so that the loops become vectors; what is not finite counts nowhere. */
static void measure(band_result *r, const float *v, int64_t n)
{
    float low[MEASURE_LANES], high[MEASURE_LANES];
    double sum[MEASURE_LANES] = {0};
    for (int k = 0; k < MEASURE_LANES; k++) {
        low[k] = INFINITY;
        high[k] = -INFINITY;
    }
    for (int64_t i = 0; i < n; i += MEASURE_LANES) {
        const int lanes = (int)pel__min(MEASURE_LANES, n - i);
        for (int k = 0; k < lanes; k++) {
            const float x = v[i + k];
            const bool finite = x - x == 0.0F;
            low[k] = finite && x < low[k] ? x : low[k];
            high[k] = finite && x > high[k] ? x : high[k];
            sum[k] += finite ? (double)x : 0.0;
        }
    }
    for (int k = 0; k < MEASURE_LANES; k++) {
        r->minimum = fmin(r->minimum, low[k]);
        r->maximum = fmax(r->maximum, high[k]);
        r->sum += sum[k];
    }
}

/* The same for whole numbers of up to 16 bits: their sums are exact in both, and loops like these become vectors. */
#define MEASURE_WHOLE(name, type, order, flip)                                                                    \
    static void name(band_result *r, const void *data, int64_t n)                                                 \
    {                                                                                                             \
        const type *const v = data;                                                                               \
        for (int64_t first = 0; first < n; first += CONVERT_AT_ONCE) {                                            \
            const int64_t end = pel__min(n, first + CONVERT_AT_ONCE);                                             \
            order low = (order)(v[first] ^ (flip)), high = low;                                                   \
            int32_t sum = 0;                                                                                      \
            for (int64_t i = first; i < end; i++) {                                                               \
                const order o = (order)(v[i] ^ (flip));                                                           \
                low = o < low ? o : low;                                                                          \
                high = o > high ? o : high;                                                                       \
                sum += v[i];                                                                                      \
            }                                                                                                     \
            r->minimum = fmin(r->minimum, (type)(low ^ (flip)));                                                  \
            r->maximum = fmax(r->maximum, (type)(high ^ (flip)));                                                 \
            r->sum += sum;                                                                                        \
        }                                                                                                         \
    }
MEASURE_WHOLE(measure_u8, uint8_t, uint8_t, 0)
MEASURE_WHOLE(measure_i8, int8_t, int8_t, 0)
MEASURE_WHOLE(measure_u16, uint16_t, int16_t, 0x8000) /* the oldest x86 vectors know the least and most of signed 16 bits only */
MEASURE_WHOLE(measure_i16, int16_t, int16_t, 0)

/* Of types that float32 does not hold. */
#define MEASURE_WIDE(name, type)                                  \
    static void name(band_result *r, const void *data, int64_t n) \
    {                                                             \
        const type *const v = data;                               \
        for (int64_t i = 0; i < n; i++) {                         \
            const double x = (double)v[i];                        \
            if (!isfinite(x))                                     \
                continue;                                         \
            r->minimum = fmin(r->minimum, x);                     \
            r->maximum = fmax(r->maximum, x);                     \
            r->sum += x;                                          \
        }                                                         \
    }
MEASURE_WIDE(measure_u32, uint32_t)
MEASURE_WIDE(measure_i32, int32_t)
MEASURE_WIDE(measure_u64, uint64_t)
MEASURE_WIDE(measure_i64, int64_t)
MEASURE_WIDE(measure_f64, double)

typedef void measure_whole(band_result *r, const void *data, int64_t n);

static measure_whole *whole_measure(pel_dtype dtype)
{
    static measure_whole *const all[] = {[PEL_U8] = measure_u8, [PEL_I8] = measure_i8, [PEL_U16] = measure_u16, [PEL_I16] = measure_i16, [PEL_U32] = measure_u32,
                                         [PEL_I32] = measure_i32, [PEL_U64] = measure_u64, [PEL_I64] = measure_i64, [PEL_F64] = measure_f64, [PEL_F32] = NULL};
    return all[dtype];
}

static bool convert_band(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    conversion *c = arg;
    band_result *r = &c->band[index];
    *r = (band_result){.minimum = INFINITY, .maximum = -INFINITY};
    const size_t in = pel_dtype_size(c->src->dtype), out = pel_dtype_size(c->dst->dtype);
    const int64_t end = pel__min((index + 1) * c->per_band, c->voxels);
    measure_whole *const whole = c->src == c->dst ? whole_measure(c->src->dtype) : NULL;
    if (whole && index * c->per_band < end) {
        whole(r, (const char *)c->src->data + (size_t)(index * c->per_band) * in, end - index * c->per_band);
        return true;
    }
    measure_whole *const converted = c->src != c->dst ? whole_measure(c->dst->dtype) : NULL;
    float v[CONVERT_AT_ONCE];
    for (int64_t i = index * c->per_band; i < end; i += CONVERT_AT_ONCE) {
        const int64_t n = pel__min(CONVERT_AT_ONCE, end - i);
        pel__to_float(v, (const char *)c->src->data + (size_t)i * in, c->src->dtype, n);
        if (c->src != c->dst && pel__dtype_wide(c->src->dtype)) /* of no filter: those end in float32 */
            pel__convert_exact((char *)c->dst->data + (size_t)i * out, c->dst->dtype, (const char *)c->src->data + (size_t)i * in, c->src->dtype, n,
                               &r->clipped);
        else if (c->src != c->dst)
            pel__from_float((char *)c->dst->data + (size_t)i * out, c->dst->dtype, v, n, &r->clipped);
        if (converted)
            converted(r, (const char *)c->dst->data + (size_t)i * out, n);
        else
            measure(r, v, n);
    }
    return true;
}

/* A part of the block that follows in memory, of one channel; its range is added to that of the channel. */
static bool convert_part(const pel_run *run, const pel_block *src, const pel_block *dst, int64_t voxels, int64_t channel, pel__slot *slot, pel_error *err)
{
    conversion c = {.src = src, .dst = src->data == dst->data ? src : dst, .voxels = voxels};
    c.per_band = pel__ceil_div(c.voxels, MOST_BANDS);
    const int64_t bands = pel__ceil_div(c.voxels, c.per_band);
    if (!pel__pool_run(run->pool, PEL__COMPUTE_LAST, bands, convert_band, &c, err))
        return false;
    for (int64_t i = 0; i < bands; i++) {
        slot->clipped += c.band[i].clipped;
        slot->minimum = fmin(slot->minimum, c.band[i].minimum);
        slot->maximum = fmax(slot->maximum, c.band[i].maximum);
        slot->range[channel][0] = fmin(slot->range[channel][0], c.band[i].minimum);
        slot->range[channel][1] = fmax(slot->range[channel][1], c.band[i].maximum);
        slot->sum += c.band[i].sum;
    }
    return true;
}

static bool clear_statistics(pel__slot *slot, int64_t channels, pel_error *err)
{
    if (channels > slot->range_room) {
        double (*const more)[2] = realloc(slot->range, (size_t)channels * sizeof *more);
        if (!more)
            return pel__fail(err, PEL_NO_MEMORY, "no memory for the ranges of %lld channels", (long long)channels);
        slot->range = more;
        slot->range_room = channels;
    }
    for (int64_t c = 0; c < channels; c++) {
        slot->range[c][0] = INFINITY;
        slot->range[c][1] = -INFINITY;
    }
    slot->minimum = INFINITY;
    slot->maximum = -INFINITY;
    slot->sum = 0;
    return true;
}

/* Fills the slot's statistics, converting src to the slot's out_block unless that is src itself. */
static bool convert(const pel_run *run, const pel_block *src, pel__slot *slot, pel_error *err)
{
    const int64_t *const shape = src->region.shape, channels = shape[PEL_C], all = pel__region_voxels(&src->region);
    const int64_t parts = channels > 1 ? shape[PEL_T] * channels : 1, voxels = all / parts;
    if (!clear_statistics(slot, channels, err))
        return false;
    for (int64_t i = 0; i < parts; i++) {
        pel_block from = *src, to = slot->out_block;
        from.data = (char *)src->data + i * voxels * (int64_t)pel_dtype_size(src->dtype);
        to.data = (char *)slot->out_block.data + i * voxels * (int64_t)pel_dtype_size(slot->out_block.dtype);
        if (!convert_part(run, &from, &to, voxels, i % channels, slot, err))
            return false;
    }
    return true;
}

typedef struct {
    const pel_block *block;
    pel_error *err;
} range_check;

static bool row_fits_float(void *arg, const int64_t *at, int64_t n)
{
    const range_check *c = arg;
    const char *p = pel__block_at(c->block, at);
    for (int64_t i = 0; i < n; i++, p += c->block->stride[PEL_X] * (int64_t)sizeof(double)) {
        double v;
        memcpy(&v, p, sizeof v);
        if (isfinite(v) && !isfinite((float)v))
            return pel__fail(c->err, PEL_UNSUPPORTED, "voxel t=%lld, c=%lld, z=%lld, y=%lld, x=%lld: found %g; filters compute in float32, which ends at 3.4e+38",
                             (long long)at[PEL_T], (long long)at[PEL_C], (long long)at[PEL_Z], (long long)at[PEL_Y], (long long)(at[PEL_X] + i), v);
    }
    return true;
}

/* A double beyond float32 would silently come out as infinity. */
static bool fits_float(const pel_block *b, pel_error *err)
{
    range_check c = {b, err};
    return b->dtype != PEL_F64 || !b->data || pel__region_rows(&b->region, row_fits_float, &c);
}

typedef struct {
    const pel_run *run;
    int32_t image;
    pel__slot *slot;
} fetching;

static bool fetch(void *arg, const pel_block *part, pel_error *err)
{
    const fetching *f = arg;
    const int64_t before = pel__damage_count(f->run->source->damage);
    const bool ok = pel__read_region(f->run->source, f->image, part, f->run->pool, &f->run->stop, err) && fits_float(part, err);
    f->slot->damaged += pel__damage_count(f->run->source->damage) - before;
    return ok;
}

bool pel__filter_region(const pel_run *run, int32_t image, const pel_block *in, pel__slot *slot, pel_error *err)
{
    slot->clipped = 0;
    slot->damaged = 0;
    if (!pel__pipeline_computes(run->pipeline))
        return convert(run, in, slot, err);
    const bool direct = run->dtype == PEL_F32 || pel__pipeline_stores(run->pipeline);
    const pel_block out = direct ? slot->out_block : pel__block_dense(&slot->out_block.region, PEL_F32, run->bench.result);
    atomic_llong clipped = 0;
    fetching from = {run, image, slot};
    const pel__filter_call call = {.fetch = fetch, .fetch_arg = &from, .image = run->images[image],
                                   .noise = run->noise_model ? run->noise_model[image] : NULL, .ground = run->ground, .in = in, .out = &out, .clipped = &clipped,
                                   .pool = run->pool, .scratch = run->bench.filter, .thread_scratch = run->bench.thread, .kept = run->bench.kept,
                                   .stop = &run->stop};
    if (!fits_float(in, err) || !pel__pipeline_apply(run->pipeline, &call, err) || !convert(run, &out, slot, err))
        return false;
    slot->clipped += atomic_load(&clipped);
    return true;
}

/* ---- stages ---------------------------------------------------------------------------------------------------------- */

static bool name_job(pel_error *err, const pel__plan_job *job, int64_t number)
{
    char text[160];
    return pel__where(err, job->level == 0 ? "block %lld %s: " : "pyramid job %lld %s: ", (long long)number,
                      pel__region_text(&job->region, text, sizeof text));
}

/* Would a block begun now end in time? Judged by the longest so far; before the first by nothing. */
static bool time_is_up(const pel_run *run)
{
    const double limit = run->share ? run->share->seconds : 0;
    return limit > 0 && pel__now() - run->started + 1.2 * atomic_load(&run->longest_job) > limit;
}

static bool next(void *arg, int64_t *job)
{
    pel_run *run = arg;
    while (run->next_job < run->phase_end) {
        const int64_t number = pel__run_phase_job(run, run->next_job++);
        if (number < 0 || pel__ledger_done(run->ledger, number))
            continue;
        run->out_of_time = run->phase_level == 0 && time_is_up(run);
        *job = number;
        return !run->out_of_time;
    }
    return false;
}

static bool read_stage(void *arg, int64_t number, int32_t in, pel_error *err)
{
    pel_run *run = arg;
    pel__slot *slot = &run->bench.slot[in];
    const pel__plan_job job = pel__plan_job_at(&run->plan, number);
    const pel__plan_image *p = &run->plan.images[job.image];
    int64_t factor[PEL_AXES];
    const double start = pel__now();
    const pel_region region = job.level == 0 ? pel__run_halo_region(run, job.image, &job.region)
                                             : pel__plan_pooled_from(&p->layout, job.level, &job.region, factor);
    if (!pel__bench_fits(run, &job, &region, err))
        return name_job(err, &job, number);
    slot->in_block = pel__block_dense(&region, job.level == 0 ? run->images[job.image]->dtype : run->dtype, slot->in);
    pel_source *source = job.level == 0 ? run->source : run->below[job.image];
    slot->in_seconds = 0;
    slot->in_damaged = 0;
    if (job.level == 0 && pel__pipeline_fetches(run->pipeline)) {
        slot->in_block.data = NULL; /* the filter takes what it needs when it needs it */
        return true;
    }
    const int64_t before = pel__damage_count(source->damage); /* blocks are read one after the other */
    const bool ok = pel__read_region(source, job.level == 0 ? job.image : 0, &slot->in_block, run->pool, &run->stop, err);
    slot->in_damaged = pel__damage_count(source->damage) - before;
    slot->in_seconds = pel__now() - start;
    return ok || name_job(err, &job, number);
}

static bool work_stage(void *arg, int64_t number, int32_t in, int32_t out, pel_error *err)
{
    pel_run *run = arg;
    const pel__slot *from = &run->bench.slot[in];
    pel__slot *to = &run->bench.slot[out];
    const pel__plan_job job = pel__plan_job_at(&run->plan, number);
    const double start = pel__now(), reading_seconds = from->in_seconds;
    const int64_t reading_damaged = from->in_damaged;
    bool ok = true;
    if (job.level > 0) {
        int64_t factor[PEL_AXES];
        (void)pel__plan_pooled_from(&run->plan.images[job.image].layout, job.level, &job.region, factor);
        to->out_block = pel__block_dense(&job.region, run->dtype, to->out);
        to->clipped = to->damaged = 0;
        ok = pel__downsample(&to->out_block, &from->in_block, factor, run->pool, err) && convert(run, &to->out_block, to, err);
    } else {
        void *memory = run->plan.through ? to->in : to->out;
        run->kept.any = run->kept.any && run->kept_image == job.image;
        run->kept_image = job.image;
        to->out_block = pel__block_dense(&job.region, run->dtype, memory);
        ok = pel__filter_region(run, job.image, &from->in_block, to, err);
    }
    to->seconds = reading_seconds + pel__now() - start;
    to->damaged += reading_damaged;
    return ok || name_job(err, &job, number);
}

typedef struct {
    pel__ledger_file *list;
    int32_t count, room;
} file_list;

static bool add_file(void *arg, const pel__file_record *record, pel_error *err)
{
    file_list *f = arg;
    if (f->count == f->room) {
        const int32_t room = f->room > 0 ? 2 * f->room : 16;
        pel__ledger_file *list = realloc(f->list, (size_t)room * sizeof *list);
        if (!list)
            return pel__fail(err, PEL_NO_MEMORY, "no memory for the names of %d files", (int)room);
        f->list = list;
        f->room = room;
    }
    pel__ledger_file *to = &f->list[f->count++];
    memcpy(to->path, record->path, sizeof to->path);
    to->bytes = record->bytes;
    to->sum = PEL__SUM_XXH3;
    to->digest = record->digest;
    return true;
}

/* The block's part of each lower level that it owns, each pooled from the one before. */
static bool write_lower(pel_run *run, const pel__plan_job *job, const pel_block *block, file_list *files, pel_error *err)
{
    const pel__plan_image *p = &run->plan.images[job->image];
    pel_block above = *block;
    char *memory = run->bench.pyramid;
    for (int32_t k = 1; k < p->owned_levels; k++) {
        int64_t factor[PEL_AXES];
        const pel_region part = pel__plan_level_part(&p->layout, k, &job->region);
        (void)pel__plan_pooled_from(&p->layout, k, &part, factor);
        const pel_block b = pel__block_dense(&part, run->dtype, memory);
        memory += pel__region_voxels(&part) * (int64_t)pel_dtype_size(run->dtype);
        if (!pel__downsample(&b, &above, factor, run->pool, err) ||
            !run->sink_type->write(run->sink, job->image, k, &b, run->pool, run->bench.write, add_file, files, err))
            return false;
        above = b;
    }
    return true;
}

/* All of the job's files, and again where the system lost some on their way to the disk. */
static bool write_files(pel_run *run, const pel__plan_job *job, const pel_block *block, file_list *files, pel_error *err)
{
    pel__retry again = {0};
    bool ok = false;
    do {
        files->count = 0;
        ok = run->sink_type->write(run->sink, job->image, job->level, block, run->pool, run->bench.write, add_file, files, err);
        if (ok && job->level == 0)
            ok = write_lower(run, job, block, files, err);
        ok = run->sink_type->settle(run->sink, add_file, files, ok ? err : NULL) && ok;
    } while (!ok && run->sink_type->again(run->sink, &again));
    return ok;
}

static bool record_job(pel_run *run, int64_t number, const pel__slot *slot, const file_list *files, double seconds, pel_error *err)
{
    const int64_t voxels = pel__region_voxels(&slot->out_block.region);
    const bool any = slot->minimum <= slot->maximum;
    const int64_t channels = run->phase_level == 0 ? slot->out_block.region.shape[PEL_C] : 1;
    const pel__ledger_record r = {.job = number, .ok = true, .voxels = run->phase_level == 0 ? voxels : 0,
                                  .clipped = slot->clipped, .damaged = slot->damaged > 0, .minimum = any ? slot->minimum : NAN,
                                  .maximum = any ? slot->maximum : NAN, .channels = slot->range, .channel_count = channels > 1 ? (int32_t)channels : 0, .mean = slot->sum / (double)voxels, .seconds = seconds,
                                  .rss_bytes = pel__resident_bytes(), .attempt = pel__ledger_attempts(run->ledger, number) + 1,
                                  .files = files->list, .file_count = files->count};
    return pel__ledger_append(run->ledger, &r, err);
}

#define MOST_WRITE_FAILURES 3 /* one after the other: the run ends */

static bool write_stage(void *arg, int64_t number, int32_t out, pel_error *err)
{
    pel_run *run = arg;
    const pel__slot *slot = &run->bench.slot[out];
    const pel__plan_job job = pel__plan_job_at(&run->plan, number);
    file_list files = {0};
    const double start = pel__now();
    if (!pel__lock_keep(run->lock, err)) {
        run->write_failures = MOST_WRITE_FAILURES;
        return false;
    }
    bool ok = write_files(run, &job, &slot->out_block, &files, err);
    const double seconds = slot->seconds + pel__now() - start;
    ok = ok && record_job(run, number, slot, &files, seconds, err);
    free(files.list);
    run->write_failures = ok ? 0 : run->write_failures + 1;
    if (!ok)
        return name_job(err, &job, number);
    atomic_fetch_add(&run->phase_done, 1);
    if (seconds > atomic_load(&run->longest_job))
        atomic_store(&run->longest_job, seconds);
    atomic_fetch_add(&run->bytes_worked, pel__region_voxels(&job.region) * (int64_t)pel_dtype_size(run->dtype));
    pel__run_log(run, "%s %lld done in %.2f s", job.level == 0 ? "block" : "pyramid job", (long long)number, seconds);
    return true;
}

/* The other blocks go on; but when the output itself cannot be written three times running, nothing else will fit. */
static bool failed(void *arg, int64_t number, const pel_error *why, pel_error *err)
{
    pel_run *run = arg;
    pel__run_log(run, "failed: %s", why->text);
    const pel__ledger_record r = {.job = number, .error = why->text, .attempt = pel__ledger_attempts(run->ledger, number) + 1};
    pel_error lost = {0};
    if (!pel__ledger_append(run->ledger, &r, &lost))
        pel__run_log(run, "and the ledger: %s", lost.text);
    if (run->write_failures < MOST_WRITE_FAILURES)
        return true;
    if (err)
        *err = *why;
    return false;
}

pel__jobs pel__run_jobs(pel_run *run)
{
    const bool through = run->phase_level == 0 && run->plan.through;
    return (pel__jobs){.run = run, .next = next, .read = read_stage, .work = work_stage, .write = write_stage, .failed = failed,
                       .slots = run->bench.need.slots, .in_is_out = through, .stop = &run->stop};
}
