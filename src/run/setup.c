/* SPDX-License-Identifier: MIT
 * Opening a run: describe the input, settle the settings and the noise, plan or take over the plan that is there. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"
#include "run/run.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory and threads: as given, else half of what this process may have, and as many as it may. `within`: what is given does not
 * go beyond that either. */
static void settle_limits(pel_run *run, const pel_run_options *o, bool within)
{
    pel_limits *const l = &run->limits;
    if (o->limits)
        *l = *o->limits;
    else
        pel__limits_find(l, "", NULL);
    run->request.memory_bound = within && l->memory_bytes > 0 && o->memory_bytes > l->memory_bytes;
    run->request.memory_bytes = pel__limits_memory(run->memory_by, l, o->memory_bytes);
    if (run->request.memory_bound) {
        run->request.memory_bytes = l->memory_bytes;
        pel__limits_text(run->memory_by, sizeof run->memory_by, l);
    }
    run->request.threads = o->threads > 0 ? o->threads : (int32_t)pel__max(1, l->threads);
    if (o->threads <= 0)
        (void)snprintf(run->threads_by, sizeof run->threads_by, "%s", l->threads_by);
}

static bool copy_path(char *out, size_t size, const char *path, pel_error *err)
{
    const int k = snprintf(out, size, "%s", path);
    return (k > 0 && (size_t)k < size) || pel__fail(err, PEL_ARGUMENT, "path \"%.80s\" is empty or too long", path);
}

static bool settle_output(pel_run *run, const pel_run_options *o, pel_error *err)
{
    const bool floats = pel__pipeline_makes_float(run->pipeline);
    run->dtype = floats ? PEL_F32 : run->images[0]->dtype;
    if (o->dtype && !pel_dtype_parse(&run->dtype, o->dtype))
        return pel__fail(err, PEL_ARGUMENT, "dtype: found %s, expected uint8 … float64", o->dtype);
    const char *version = o->ome_version ? o->ome_version : "0.5";
    if (strcmp(version, "0.5") != 0 && strcmp(version, "0.4") != 0)
        return pel__fail(err, PEL_ARGUMENT, "format: found %s, expected 0.5 or 0.4", version);
    run->ome_version = strcmp(version, "0.4") == 0 ? 4 : 5;
    if (o->codec ? !pel__codec_parse(&run->codec, o->codec, err) : (run->codec = pel__codec_default(), false))
        return false;
    run->codec.crc32c = run->ome_version == 5;
    for (int32_t i = 1; i < run->image_count; i++) {
        if (run->images[i]->dtype != run->images[0]->dtype && !o->dtype && !floats)
            return pel__fail(err, PEL_UNSUPPORTED, "%s: image %d is %s, image 0 is %s: give --dtype", run->input, (int)i,
                             pel_dtype_name(run->images[i]->dtype), pel_dtype_name(run->images[0]->dtype));
    }
    return true;
}

static bool settle_values(pel_run *run, const pel_run_options *o, pel_error *err)
{
    pel__stage *first = &run->pipeline->stage[0];
    for (int32_t i = 0; i < o->setting_count; i++) {
        if (!pel__values_set(&first->values, o->settings[i].name, o->settings[i].value, err))
            return false;
    }
    run->typed = first->values;
    if ((o->then && o->then[0] && !pel__pipeline_parse(run->pipeline, o->then, err)) ||
        !pel__pipeline_resolve(run->pipeline, run->images[0], err))
        return false;
    for (int32_t i = 0; i < run->image_count; i++) {
        if (!pel__pipeline_check(run->pipeline, run->images[i], err))
            return pel__where(err, "%s: image %d: ", run->input, (int)i);
    }
    return true;
}

static bool alloc_noise(pel_run *run, pel_error *err)
{
    run->noise = calloc((size_t)run->image_count, sizeof(pel_noise *));
    run->noise_model = calloc((size_t)run->image_count, sizeof(pel__noise *));
    if (!run->noise || !run->noise_model)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the noise");
    for (int32_t i = 0; i < run->image_count; i++) {
        const size_t channels = (size_t)run->images[i]->shape[PEL_C];
        run->noise[i] = calloc(channels, sizeof(pel_noise));
        run->noise_model[i] = calloc(channels, sizeof(pel__noise));
        if (!run->noise[i] || !run->noise_model[i])
            return pel__fail(err, PEL_NO_MEMORY, "no memory for the noise of %zu channels", channels);
    }
    return true;
}

static void copy_models(pel_run *run)
{
    for (int32_t i = 0; i < run->image_count; i++) {
        for (int64_t c = 0; c < run->images[i]->shape[PEL_C]; c++)
            run->noise_model[i][c] = (pel__noise){run->noise[i][c].gain, run->noise[i][c].offset, run->noise[i][c].low_frequency};
    }
}

/* Was this left to the data in the run that is there, and are the data the same? Then its choice is taken over. */
static bool is_known(const pel_run *run, const char *name)
{
    char now[96];
    pel__run_input_text(run->source, now, sizeof now);
    char names[160];
    pel__pipeline_names(run->pipeline, names, sizeof names);
    if (run->looking)
        return run->document != NULL;
    return run->document && strcmp(pel__document_text(run->document, "request", name), "auto") == 0 &&
           strcmp(pel__document_text(run->document, "settings", "filter"), names) == 0 &&
           strcmp(pel__document_text(run->document, "settings", "input"), now) == 0;
}

typedef struct {
    pel_on_progress *call;
    void *arg;
} watcher;

static bool settle_noise(pel_run *run, const char *text, const watcher *w, pel_error *err)
{
    if (!pel__pipeline_needs_noise(run->pipeline))
        return true;
    if (!alloc_noise(run, err))
        return false;
    bool ok = true;
    if (text && strcmp(text, "auto") != 0 && !run->looking) {
        for (int32_t i = 0; ok && i < run->image_count; i++)
            ok = pel__noise_parse(run->noise[i], run->images[i]->shape[PEL_C], text, err);
    } else if (is_known(run, "noise")) {
        ok = pel__document_read_noise(run, err);
    } else {
        ok = pel__noise_of_run(run, w->call, w->arg, err);
    }
    copy_models(run);
    return ok;
}

/* The first voxel of a channel: any value within the range will do, and this one costs one tile. */
static float first_voxel(pel_run *run, int64_t channel)
{
    pel_region one = {.ndim = PEL_AXES, .origin = {0, channel, 0, 0, 0}, .shape = {1, 1, 1, 1, 1}};
    pel_error damaged = {0}; /* told when a block comes there */
    float v = 0;
    return pel_read_float(run->source, 0, &one, &v, &damaged) && isfinite(v) ? v : 0;
}

/* Of the first image for all of them: they are of one camera. Floats have none: so filters in a row give the bits of one
 * run after the other, whose first voxel in between nobody knows beforehand. */
static bool settle_ground(pel_run *run, pel_error *err)
{
    const pel_dtype type = run->images[0]->dtype;
    if (!pel__pipeline_takes_ground(run->pipeline) || type == PEL_F32 || type == PEL_F64)
        return true;
    for (int32_t i = 0; i < run->image_count; i++)
        run->ground_count = pel__max(run->ground_count, run->images[i]->shape[PEL_C]);
    run->ground = calloc((size_t)run->ground_count, sizeof *run->ground);
    if (!run->ground)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %lld channels", (long long)run->ground_count);
    if (run->document)
        pel__document_read_ground(run);
    else
        for (int64_t c = 0; c < run->images[0]->shape[PEL_C]; c++)
            run->ground[c] = first_voxel(run, c);
    return true;
}

/* After the noise, which it needs, and before the plan, which follows from it. */
static bool settle_tuning(pel_run *run, const char *text, const watcher *w, pel_error *err)
{
    if (!text || strcmp(text, "off") == 0)
        return true;
    if (strcmp(text, "auto") != 0)
        return pel__fail(err, PEL_ARGUMENT, "tune: found %s, expected auto or off", text);
    return is_known(run, "tune") ? pel__document_read_channels(run, err) : pel__tune_run(run, w->call, w->arg, err);
}

/* "z=32,y=128" for chunks and blocks; zeros where not named. */
static bool parse_shape(int64_t out[PEL_AXES], const char *name, const char *text, pel_error *err)
{
    memset(out, 0, PEL_AXES * sizeof *out);
    if (!text || strcmp(text, "auto") == 0)
        return true;
    const pel__param p = {.name = name, .fallback = "auto", .unit = "", .help = "", .min = 1, .max = 1 << 30, .kind = PEL__PER_AXIS};
    pel__values v;
    pel__values_init(&v, &p, 1);
    if (!pel__values_set(&v, name, text, err))
        return false;
    pel__value_axes(&v, name, out);
    return true;
}

static bool make_request(pel_run *run, const pel_run_options *o, pel_error *err)
{
    run->request = (pel__plan_request){
        .pipeline = run->pipeline, .sink = run->sink_type, .output = run->output, .image_count = run->image_count,
        .images = run->images, .dtype = run->dtype, .codec = run->codec, .ome_version = run->ome_version,
        .levels = o->levels, .resident_bytes = pel__resident_self(), .source_resident_bytes = run->source->resident_bytes,
        .source_thread_bytes = run->source->thread_bytes, .source_tile_bytes = run->source->kept_tile_bytes,
        .memory_bytes = run->request.memory_bytes, .memory_by = run->memory_by, .memory_bound = run->request.memory_bound, .threads = run->request.threads};
    return parse_shape(run->request.chunk, "chunk", o->chunk, err) && parse_shape(run->request.block, "block", o->block, err);
}

/* The output as it is now: nothing, or a run of ours; anything else is refused. */
static bool look_at_output(pel_run *run, bool fresh, pel_error *err)
{
    pel_error why = {0};
    char name[200];
    if (!fresh && pel__document_load(&run->document, run->folder, &why))
        return true;
    if (!fresh && why.code != PEL_NOT_FOUND) {
        if (err)
            *err = why;
        return false;
    }
    if (fresh)
        return pel__run_check_ours(run, err);
    const pel__sink_spec spec = {.path = run->output, .remote = run->remote};
    if (!run->sink_type->first(&spec, name, sizeof name, err))
        return false;
    if (name[0])
        return pel__fail(err, PEL_REFUSED, "%s: exists (it holds %.100s), and no run of pellucid belongs to it (%s/plan.json is missing): "
                         "give another output", run->output, name, run->folder);
    return true;
}

/* A run that is there goes on, whatever its names. */
static bool check_places(pel_run *run, bool fresh, pel_error *err)
{
    return pel__run_check_apart(run, err) && pel__run_check_stands(run, err) && look_at_output(run, fresh, err) && (run->document || pel__run_check_names(run, err));
}

/* plan.json may have been changed by anybody: its blocks and levels must be what they would be if they were made now. */
static bool check_plan(const pel_run *run, pel_error *err)
{
    for (int32_t i = 0; i < run->plan.image_count; i++) {
        const pel__plan_image *p = &run->plan.images[i];
        pel__plan_request q = run->request;
        pel__layout layout;
        int32_t owned = 0;
        memcpy(q.chunk, p->layout.level[0].chunk, sizeof q.chunk);
        q.levels = p->layout.level_count;
        const bool same = memcmp(p->bounds.shape, run->images[i]->shape, sizeof run->images[i]->shape) == 0 &&
                          pel__layout_make(&layout, &owned, &q, run->images[i], p->block, NULL) &&
                          owned == p->owned_levels && layout.level_count == p->layout.level_count &&
                          memcmp(layout.level, p->layout.level, (size_t)layout.level_count * sizeof *layout.level) == 0;
        if (!same)
            return pel__fail(err, PEL_FORMAT, "%s/plan.json: image %d: blocks and levels do not fit each other or the input; "
                             "begin anew with --fresh", run->folder, (int)i);
    }
    return true;
}

static bool take_plan_as_it_is(pel_run *run, pel_error *err)
{
    run->resumed = true;
    if (!pel__document_read_plan(run, err))
        return false;
    for (int32_t i = 0; i < run->plan.image_count; i++)
        if (!pel__plan_is_sound(&run->plan.images[i]))
            return pel__fail(err, PEL_FORMAT, "%s/plan.json: image %d: found blocks or levels that do not follow from each other, expected what pellucid wrote (was the file changed?): "
                             "put it back as it was, or begin anew with --fresh", run->folder, (int)i);
    return pel__plan_settle(&run->plan, &run->request, err);
}

static bool plan_or_resume(pel_run *run, const pel_run_options *o, pel_error *err)
{
    if (!run->document) {
        if (!pel__plan_make(&run->plan, &run->request, err))
            return false;
        run->document = pel__document_make(run, o);
        return run->document != NULL || pel__fail(err, PEL_NO_MEMORY, "no memory for the plan");
    }
    if (run->looking)
        return take_plan_as_it_is(run, err);
    json_object *now = pel__document_make(run, o); /* without images: the plan is taken from the one that is there */
    const bool same = now ? pel__document_same(run, now, err) : pel__fail(err, PEL_NO_MEMORY, "no memory for the plan");
    json_object_put(now);
    run->resumed = true;
    run->moved = same && strcmp(pel__document_text(run->document, "input", "path"), run->input) != 0;
    if (run->moved)
        pel__document_set_input(run->document, run->input);
    pel__document_take_names(run);
    return same && pel__document_read_plan(run, err) && check_plan(run, err) && pel__plan_settle(&run->plan, &run->request, err);
}

/* Before noise and tuning, which take their time: chunks and blocks that do not go together, memory that holds not even the settings as they are. */
static bool check_request(const pel_run *run, pel_error *err)
{
    pel__plan plan = {0};
    const bool ok = run->document || (pel__plan_make(&plan, &run->request, err) && pel__run_check_room(run, &plan, err));
    pel__plan_destroy(&plan);
    return ok;
}

static bool open_stand_in(pel_run *run, const pel_run_options *o, pel_error *err)
{
    json_object *d = NULL;
    pel__plan plan = {0};
    pel_dtype dtype = PEL_U8;
    const bool ok = pel__document_load(&d, run->folder, err) && pel__document_read_images(&plan, d, run->folder, err) &&
                    (pel_dtype_parse(&dtype, o->dtype) || pel__fail(err, PEL_FORMAT, "%s/plan.json: dtype is %s", run->folder, o->dtype)) &&
                    pel__stand_in(&run->source, run->input, &plan, dtype, err);
    pel__plan_destroy(&plan);
    json_object_put(d);
    return ok;
}

static bool open_input(pel_run *run, const pel_run_options *o, pel_error *err)
{
    pel_open_options open = o->open;
    open.threads = run->request.threads;
    if (!(run->looking ? open_stand_in(run, o, err) : pel_source_open(&run->source, run->input, &open, err)))
        return false;
    run->image_count = pel_source_image_count(run->source);
    if (run->image_count < 1)
        return pel__fail(err, PEL_FORMAT, "%s: holds no image", run->input);
    run->images = calloc((size_t)run->image_count, sizeof *run->images);
    if (!run->images)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %d images", (int)run->image_count);
    for (int32_t i = 0; i < run->image_count; i++)
        run->images[i] = pel_source_image(run->source, i);
    return true;
}

static bool copy_text(const char **out, const char *text)
{
    *out = text ? strdup(text) : NULL;
    return !text || *out;
}

/* The run reads its output back and looks at it long after the caller's strings have gone. */
static bool keep_remote(pel_run *run, const pel_remote *from, pel_error *err)
{
    if (!from)
        return true;
    pel_remote *const r = run->remote = calloc(1, sizeof *r);
    if (!r)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for a run");
    r->attempts = from->attempts;
    r->wait_ms = from->wait_ms;
    r->stall_s = from->stall_s;
    return (copy_text(&r->endpoint, from->endpoint) && copy_text(&r->region, from->region) && copy_text(&r->key_id, from->key_id) &&
            copy_text(&r->secret, from->secret) && copy_text(&r->token, from->token) && copy_text(&r->http_proxy, from->http_proxy) &&
            copy_text(&r->https_proxy, from->https_proxy) && copy_text(&r->no_proxy, from->no_proxy) && copy_text(&r->ca_file, from->ca_file)) ||
           pel__fail(err, PEL_NO_MEMORY, "no memory for a run");
}

static void free_remote(pel_remote *r)
{
    const char *const texts[] = {r ? r->endpoint : NULL, r ? r->region : NULL, r ? r->key_id : NULL, r ? r->secret : NULL,
                                 r ? r->token : NULL, r ? r->http_proxy : NULL, r ? r->https_proxy : NULL, r ? r->no_proxy : NULL,
                                 r ? r->ca_file : NULL};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free((void *)(uintptr_t)texts[i]);
    free(r);
}

/* Where its output and its books lie. */
static bool place_run(pel_run *run, const pel_run_options *o, pel_error *err)
{
    if (!o->output)
        return true;
    if (o->state && strstr(o->state, "://"))
        return pel__fail(err, PEL_ARGUMENT, "state: found %s, expected a local folder", o->state);
    return copy_path(run->output, sizeof run->output, o->output, err) &&
           (o->state ? copy_path(run->folder, sizeof run->folder, o->state, err)
                     : pel__run_folder_of(run->folder, sizeof run->folder, o->output, err)) &&
           pel__run_place(run->place, sizeof run->place, run->output, run->folder, err);
}

static bool new_run(pel_run **out, const pel_run_options *o, bool looking, pel_error *err)
{
    pel_run *run = calloc(1, sizeof *run);
    if (!run)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for a run");
    run->log_fd = -1;
    run->looking = looking;
    run->sink_type = &pel__sink_omezarr;
    char real[PATH_MAX];
    const char *absolute = realpath(o->input, real); /* workers may stand in another folder; a computed image has no path */
    *out = run;
    return copy_path(run->input, sizeof run->input, absolute ? absolute : o->input, err) && keep_remote(run, o->open.remote, err) &&
           place_run(run, o, err);
}

static bool find_filter(pel_run *run, const char *name, pel_error *err)
{
    const pel__filter_type *type = pel__filter_find(name ? name : "identity");
    if (!type)
        return pel__fail(err, PEL_ARGUMENT, "filter: found %s, which pellucid does not have", name);
    run->pipeline = calloc(1, sizeof *run->pipeline);
    if (!run->pipeline)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for settings");
    run->pipeline->count = 1;
    run->pipeline->stage[0].type = type;
    pel__values_init(&run->pipeline->stage[0].values, type->params, type->param_count);
    return true;
}

/* Limits of this process bind what is there already (settle_limits); LOOK: without the input. */
enum mode { BEGIN, GO_ON, LOOK };

static bool plan_run(pel_run **out, const pel_run_options *o, enum mode mode, const watcher *w, pel_error *err)
{
    pel_run *run = NULL;
    const double start = pel__now();
    if (!o->input)
        return pel__fail(err, PEL_ARGUMENT, "a run needs an input");
    const bool ok = new_run(&run, o, mode == LOOK, err) && (settle_limits(run, o, mode != BEGIN), find_filter(run, o->filter, err)) && open_input(run, o, err) &&
                    settle_values(run, o, err) && settle_output(run, o, err) && (o->output == NULL || check_places(run, o->fresh, err)) &&
                    make_request(run, o, err) && (o->output == NULL || check_request(run, err)) &&
                    settle_noise(run, o->noise, w, err) && settle_ground(run, err) && settle_tuning(run, o->tune, w, err) &&
                    (run->seconds_settled = pel__now() - start, true) && (o->output == NULL || plan_or_resume(run, o, err));
    if (!ok) {
        pel_run_destroy(run);
        return false;
    }
    run->fresh = o->fresh;
    run->seconds_settled = run->resumed ? 0 : run->seconds_settled;
    *out = run;
    return true;
}

bool pel_run_plan(pel_run **out, const pel_run_options *o, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    const watcher w = {on_progress, arg};
    return plan_run(out, o, BEGIN, &w, err);
}

/* The options that a plan was made with, as far as they matter for going on with it. Strings live in the document. */
static pel_run_options options_of(const json_object *d, pel_setting settings[PEL__MAX_PARAMS], const pel__filter_type *filter)
{
    pel_run_options o = {.filter = filter->name, .settings = settings};
    for (int32_t i = 0; i < filter->param_count; i++) {
        const char *value = pel__document_text(d, "settings", filter->params[i].name);
        if (value[0] && !strchr(value, ';')) /* with ; it was tuned apart for the channels: read back from there */
            settings[o.setting_count++] = (pel_setting){filter->params[i].name, value};
    }
    o.tune = pel__document_text(d, "request", "tune");
    o.input = pel__document_text(d, "input", "path");
    o.open = pel__document_open_options(d);
    o.noise = pel__document_text(d, "request", "noise");
    o.then = pel__document_text(d, "request", "then");
    o.dtype = pel__document_text(d, "settings", "dtype");
    o.ome_version = pel__document_text(d, "settings", "format");
    o.codec = pel__document_text(d, "settings", "codec");
    return o;
}

static bool open_run(pel_run **out, const char *output, const pel_run_options *how, enum mode mode, pel_error *err)
{
    char folder[PEL__PATH_MAX], path[PEL__PATH_MAX];
    json_object *d = NULL;
    pel_setting settings[PEL__MAX_PARAMS];
    if (!pel_run_folder(folder, sizeof folder, output, err) || !pel__document_load(&d, folder, err))
        return pel__where(err, "%s: no run belongs to it: ", output);
    char name[64] = ""; /* of the first filter; the others are in "then" */
    const char *names = pel__document_text(d, "settings", "filter");
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(names, ","), names);
    const pel__filter_type *filter = pel__filter_find(name);
    bool ok = (filter || pel__fail(err, PEL_UNSUPPORTED, "%s/plan.json: filter %s is not one of this pellucid", folder, name)) &&
              pel__run_output(path, sizeof path, output, folder, d, err);
    if (ok) {
        const watcher nobody = {NULL, NULL};
        pel_run_options o = options_of(d, settings, filter);
        o.input = how->input ? how->input : o.input;
        o.output = path;
        o.state = folder;
        o.open.remote = how->open.remote;
        o.memory_bytes = how->memory_bytes;
        o.threads = how->threads;
        o.limits = how->limits;
        ok = plan_run(out, &o, mode, &nobody, err);
    }
    json_object_put(d);
    return ok;
}

bool pel_run_open(pel_run **out, const char *output, const pel_run_options *how, pel_error *err)
{
    pel_run_options here = *how;
    here.input = NULL;
    return open_run(out, output, &here, GO_ON, err);
}

/* The numeric version that a run was made by, if it is not ours; "" else. */
static bool other_numbers(const char *run, char *out, size_t size, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    json_object *d = NULL;
    if (!pel_run_folder(folder, sizeof folder, run, err) || !pel__document_load(&d, folder, err))
        return pel__where(err, "%s: no run belongs to it: ", run);
    const char *version = pel__document_text(d, "settings", "numeric version");
    (void)snprintf(out, size, "%s", strcmp(version, PEL__NUMERIC_VERSION) != 0 ? version : "");
    json_object_put(d);
    return true;
}

bool pel_run_open_to_verify(pel_run **out, const char *run, const pel_run_options *how, pel_error *err)
{
    pel_run_options here = *how;
    char version[32];
    pel_error why = {0};
    if (!other_numbers(run, version, sizeof version, err))
        return false;
    if (!version[0] && open_run(out, run, &here, GO_ON, &why))
        return true;
    if (!version[0] && (here.input || why.code == PEL_NO_MEMORY || why.code == PEL_ARGUMENT)) { /* the caller's words are wrong */
        if (err)
            *err = why;
        return false;
    }
    here.input = NULL;
    if (!open_run(out, run, &here, LOOK, err))
        return false;
    pel_run *const r = *out;
    r->other_numbers = version[0] != '\0';
    if (r->other_numbers)
        (void)snprintf(r->no_windows, sizeof r->no_windows, "the numbers are of version %s, this pellucid computes those of version %s", version,
                       PEL__NUMERIC_VERSION);
    else
        (void)snprintf(r->no_windows, sizeof r->no_windows, "%s (moved? --input PATH says where it is)", why.text);
    return true;
}

bool pel__run_take_means(pel_run *run, pel_error *err)
{
    return (run->pool || pel__pool_create(&run->pool, run->request.threads, err)) && (run->budget || pel__budget_create(&run->budget, 0, err));
}

void pel_run_destroy(pel_run *run)
{
    if (!run)
        return;
    pel__bench_free(run);
    pel__budget_destroy(run->budget);
    pel__pool_destroy(run->pool);
    if (run->sink)
        run->sink_type->destroy(run->sink);
    pel__ledger_close(run->ledger);
    pel__lock_release(run->finish_lock);
    pel__lock_release(run->lock);
    for (int32_t i = 0; i < run->image_count; i++) {
        if (run->noise)
            free(run->noise[i]);
        if (run->noise_model)
            free(run->noise_model[i]);
    }
    if (run->log_fd >= 0)
        (void)close(run->log_fd);
    free(run->ground);
    free(run->noise);
    free(run->noise_model);
    pel__pipeline_destroy(run->pipeline);
    free(run->tuning);
    free(run->images);
    free(run->layouts);
    free(run->provenance);
    pel__run_free_display(run);
    free(run->known);
    json_object_put(run->document);
    pel__plan_destroy(&run->plan);
    pel_source_destroy(run->source);
    free_remote(run->remote);
    free(run);
}

bool pel__run_layouts(pel_run *run, pel_error *err)
{
    if (run->layouts)
        return true;
    run->layouts = calloc((size_t)run->image_count, sizeof *run->layouts);
    if (!run->layouts)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %d images", (int)run->image_count);
    for (int32_t i = 0; i < run->image_count; i++)
        run->layouts[i] = run->plan.images[i].layout;
    return true;
}


pel__sink_spec pel__run_spec(const pel_run *run)
{
    const bool older = pel__run_is_older(run);
    return (pel__sink_spec){.path = run->output, .remote = run->remote, .ome_version = run->ome_version, .dtype = run->dtype, .codec = run->codec,
                            .image_count = run->image_count, .images = run->images, .layouts = run->layouts,
                            .keep = pel__worker_keeps, .keep_arg = (void *)run->folder, .run = pel__document_run(run->document), .provenance = run->provenance, .ours = run->resumed,
                            .windows = run->windows, .older = older, .other_greys = !older && !pel__run_keeps_greys(run, 0), .known = run->known, .known_count = run->known_count};
}

bool pel__run_open_output(pel_source **out, const pel_run *run, int32_t image, int32_t level, pel_error *err)
{
    char path[PEL__PATH_MAX], name[16];
    const pel_open_options open = {.level = level, .threads = run->request.threads, .remote = run->remote};
    (void)snprintf(name, sizeof name, "%d", (int)image);
    if (run->image_count == 1)
        return pel_source_open(out, run->output, &open, err);
    return pel__path_join(path, sizeof path, run->output, name, err) && pel_source_open(out, path, &open, err);
}
