/* SPDX-License-Identifier: MIT
 * plan.json: what was settled when the run began. Section "settings" is what the result depends on: a later command
 * must agree with every member of it or is refused with the list of differences. "request" keeps what was left to the
 * plan ("auto"), "input" where the pixels are and how to know them again, "place" the output where it does not lie beside
 * this folder, "images" the blocks and levels, "provenance" what the output's attributes say; plans of versions before 2026-12 have none. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/digest.h"
#include "core/folders.h"
#include "core/owner.h"
#include "core/region.h"
#include "core/retry.h"
#include "core/text.h"
#include "run/raw_text.h"
#include "run/run.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MOST_PLAN_BYTES ((size_t)256 << 20)

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void add_text(json_object *o, const char *name, const char *text)
{
    json_object_object_add(o, name, json_object_new_string(text ? text : ""));
}

static void add_integer(json_object *o, const char *name, int64_t v)
{
    json_object_object_add(o, name, json_object_new_int64(v));
}

static void add_axes(json_object *o, const char *name, const int64_t v[PEL_AXES])
{
    json_object *list = json_object_new_array();
    for (int a = 0; a < PEL_AXES; a++)
        json_object_array_add(list, json_object_new_int64(v[a])); // NOLINT(clang-analyzer-core.NullDereference): a plan has its images
    json_object_object_add(o, name, list);
}

static json_object *input_json(const pel_run *run, const pel_open_options *open)
{
    json_object *o = json_object_new_object();
    add_text(o, "path", run->input);
    add_text(o, "format", pel_source_format(run->source));
    add_integer(o, "level", open->level);
    add_text(o, "axes", open->axes);
    add_text(o, "select", open->select);
    add_text(o, "pixel_size", open->pixel_size);
    json_object_object_add(o, "recover", json_object_new_boolean(open->recover));
    json_object_object_add(o, "use_mask", json_object_new_boolean(open->use_mask));
    add_text(o, "damaged", open->damaged);
    json_object_object_add(o, "flip_streamed", json_object_new_boolean(open->flip_streamed));
    return o;
}

/* Mean, variance, mean, variance, … with few digits, for the picture of the report. */
static json_object *cloud_json(const pel_noise *n)
{
    json_object *cloud = json_object_new_array();
    for (int i = 0; n->pairs > 0 && i < PEL_NOISE_CLOUD; i++) {
        for (int k = 0; k < 2; k++) {
            char text[32];
            (void)snprintf(text, sizeof text, "%.4g", n->cloud[i][k]);
            json_object_array_add(cloud, json_object_new_double_s(n->cloud[i][k], text));
        }
    }
    return cloud;
}

static json_object *noise_json(const pel_run *run)
{
    json_object *images = json_object_new_array();
    for (int32_t i = 0; run->noise && i < run->image_count; i++) {
        json_object *channels = json_object_new_array();
        for (int64_t c = 0; c < run->images[i]->shape[PEL_C]; c++) {
            const pel_noise *n = &run->noise[i][c];
            json_object *o = json_object_new_object();
            json_object_object_add(o, "gain", json_object_new_double(n->gain));
            json_object_object_add(o, "offset", json_object_new_double(n->offset));
            json_object_object_add(o, "gain_error", json_object_new_double(n->gain_error));
            json_object_object_add(o, "offset_error", json_object_new_double(n->offset_error));
            json_object_object_add(o, "r2", json_object_new_double(n->r2));
            json_object_object_add(o, "saturated", json_object_new_double(n->saturated));
            add_integer(o, "pairs", n->pairs);
            json_object_object_add(o, "low_frequency", json_object_new_double(n->low_frequency));
            json_object *const rho = json_object_new_array();
            for (int k = 0; k < 2; k++)
                json_object_array_add(rho, json_object_new_double(n->rho[k]));
            json_object_object_add(o, "rho", rho);
            add_text(o, "remark", n->remark);
            if (i == 0)
                json_object_object_add(o, "cloud", cloud_json(n));
            json_object_array_add(channels, o);
        }
        json_object_array_add(images, channels);
    }
    return images;
}

static json_object *ground_json(const pel_run *run)
{
    json_object *all = json_object_new_array();
    for (int64_t c = 0; c < run->ground_count; c++)
        json_object_array_add(all, json_object_new_double((double)run->ground[c]));
    return all;
}

/* "3.92,-388;…" with all digits, images separated by |: the noise as a setting that can be compared. */
static json_object *noise_text(const pel_run *run)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    for (int32_t i = 0; f && run->noise && i < run->image_count; i++) {
        for (int64_t c = 0; c < run->images[i]->shape[PEL_C]; c++) {
            const pel_noise *n = &run->noise[i][c];
            (void)fprintf(f, "%s%.17g,%.17g", c ? ";" : i ? "|" : "", n->gain, n->offset);
            if (n->low_frequency != 1)
                (void)fprintf(f, ",low=%.17g", n->low_frequency);
        }
    }
    if (f)
        (void)fclose(f);
    json_object *o = json_object_new_string(text ? text : "");
    free(text);
    return o;
}

/* One text, or one a channel with ; between where they were tuned apart and differ. */
static void add_channels(json_object *o, const char *name, const pel__stage *stage, int32_t param)
{
    char text[2048] = "";
    size_t used = 0;
    bool differ = false;
    for (int64_t c = 0; stage->channel_values && c < stage->channel_count; c++) {
        const char *value = pel__stage_values(stage, c)->text[param];
        differ = differ || strcmp(value, stage->values.text[param]) != 0;
        if (used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", c ? ";" : "", value);
    }
    add_text(o, name, differ ? text : stage->values.text[param]);
}

/* Settings of the first filter under their own names, of those that follow as "2 dog: sigma". */
static void add_values(json_object *o, const pel__stage *stage, int32_t k)
{
    for (int32_t i = 0; i < stage->values.count; i++) {
        const pel__param *p = &stage->values.params[i];
        char name[96];
        if (k == 0)
            (void)snprintf(name, sizeof name, "%s", p->name);
        else
            (void)snprintf(name, sizeof name, "%d %s: %s", (int)k + 1, stage->type->name, p->name);
        if (p->exact)
            add_channels(o, name, stage, i);
    }
}

/* What is as it always was is not named: older plans must agree with it. */
static void reading_text(const pel_open_options *o, char *text, size_t size)
{
    const bool zero = pel__damage_is_zero(o);
    const char *const damaged = zero == o->recover ? "" : zero ? ", damaged zero" : ", damaged refuse"; /* recover alone means zero */
    (void)snprintf(text, size, "level %d%s%s%s%s%s%s%s%s%s%s", (int)o->level, o->recover ? ", recover" : "", damaged,
                   o->use_mask ? ", mask" : "", o->flip_streamed ? ", streamed flipped" : "", o->axes ? ", axes " : "", o->axes ? o->axes : "",
                   o->select ? ", only " : "", o->select ? o->select : "", o->pixel_size ? ", pixel size " : "", o->pixel_size ? o->pixel_size : "");
}

static json_object *settings_json(const pel_run *run, const pel_run_options *options)
{
    json_object *o = json_object_new_object();
    char text[512];
    pel__run_input_text(run->source, text, sizeof text);
    add_text(o, "input", text);
    reading_text(&options->open, text, sizeof text);
    add_text(o, "reading", text);
    pel__pipeline_names(run->pipeline, text, sizeof text);
    add_text(o, "filter", text);
    add_text(o, "numeric version", PEL__NUMERIC_VERSION);
    for (int32_t k = 0; k < run->pipeline->count; k++)
        add_values(o, &run->pipeline->stage[k], k);
    json_object_object_add(o, "noise", noise_text(run));
    add_text(o, "dtype", pel_dtype_name(run->dtype));
    add_text(o, "format", run->ome_version == 4 ? "0.4" : "0.5");
    pel__codec_text(&run->codec, text, sizeof text);
    add_text(o, "codec", text);
    return o;
}

static json_object *request_json(const pel_run_options *options)
{
    json_object *o = json_object_new_object();
    add_text(o, "noise", options->noise ? options->noise : "auto");
    add_text(o, "chunk", options->chunk ? options->chunk : "auto");
    add_text(o, "block", options->block ? options->block : "auto");
    add_integer(o, "levels", options->levels);
    pel__raw_text_show(o, "command", options->command);
    add_text(o, "then", options->then);
    add_text(o, "tune", options->tune ? options->tune : "off");
    return o;
}

/* A number that no other run has, for checksums and records to name it by. */
static void add_run(json_object *o)
{
    char high[17], low[17], run[PEL__DIGEST_TEXT];
    pel__random_token(high);
    pel__random_token(low);
    (void)snprintf(run, sizeof run, "%s%s", high, low);
    add_text(o, "run", run);
}

/* What the data had to choose from, and what they chose. */
static json_object *tuning_json(const pel_run *run)
{
    json_object *channels = json_object_new_array();
    for (int64_t c = 0; run->tuning && c < run->images[0]->shape[PEL_C]; c++) {
        const pel__tuning *t = &run->tuning[c];
        json_object *o = json_object_new_object(), *list = json_object_new_array();
        add_integer(o, "voxels", t->voxels);
        add_integer(o, "chosen", t->chosen);
        for (int32_t k = 0; k < t->count; k++) {
            json_object *one = json_object_new_object();
            add_text(one, "settings", t->list[k].text);
            json_object_object_add(one, "risk", json_object_new_double(t->list[k].risk));
            json_object_object_add(one, "error", json_object_new_double(t->list[k].error));
            json_object_array_add(list, one);
        }
        json_object_object_add(o, "candidates", list);
        json_object_array_add(channels, o);
    }
    return channels;
}

static json_object *image_json(const pel__plan_image *p, const pel_image *image)
{
    json_object *o = json_object_new_object(), *levels = json_object_new_array();
    add_text(o, "name", image->name);
    add_axes(o, "shape", image->shape);
    add_axes(o, "block", p->block);
    add_integer(o, "owned_levels", p->owned_levels);
    for (int32_t k = 0; k < p->layout.level_count; k++) {
        json_object *l = json_object_new_object();
        add_axes(l, "shape", p->layout.level[k].shape);
        add_axes(l, "factor", p->layout.level[k].factor);
        add_axes(l, "chunk", p->layout.level[k].chunk);
        add_axes(l, "shard", p->layout.level[k].shard);
        json_object_array_add(levels, l);
    }
    json_object_object_add(o, "levels", levels);
    return o;
}

json_object *pel__document_make(const pel_run *run, const pel_run_options *options)
{
    json_object *o = json_object_new_object();
    char when[32] = "";
    const time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    add_integer(o, "pellucid_plan", 1);
    add_text(o, "program", PEL__VERSION);
    add_text(o, "created", when);
    add_run(o);
    json_object_object_add(o, "input", input_json(run, &options->open));
    json_object *place = json_object_new_object();
    add_text(place, "output", run->place);
    json_object_object_add(o, "place", place);
    json_object_object_add(o, "settings", settings_json(run, options));
    json_object_object_add(o, "request", request_json(options));
    json_object_object_add(o, "noise", noise_json(run));
    if (run->ground)
        json_object_object_add(o, "ground", ground_json(run));
    json_object_object_add(o, "tuning", tuning_json(run));
    json_object_object_add(o, "notes", pel__run_source_notes(run));
    json_object_object_add(o, "provenance", pel__provenance_make(run, &options->open, o));
    json_object *images = json_object_new_array();
    for (int32_t i = 0; i < run->plan.image_count; i++)
        json_object_array_add(images, image_json(&run->plan.images[i], run->images[i]));
    json_object_object_add(o, "images", images);
    return o;
}

void pel__document_set_input(json_object *document, const char *path)
{
    json_object *input = NULL, *name = NULL;
    if (!json_object_object_get_ex(document, "input", &input))
        return;
    char was[PEL__PATH_MAX];
    (void)snprintf(was, sizeof was, "%s", pel__document_text(document, "input", "path"));
    if (!json_object_object_get_ex(input, "name", &name)) /* the output's documents go on to bear the first one */
        add_text(input, "name", strrchr(was, '/') ? strrchr(was, '/') + 1 : was);
    add_text(input, "path", path);
}

static bool save_text(const char *path, const char *text, pel_error *err)
{
    const pel__piece piece[] = {{text, strlen(text)}, {"\n", 1}};
    pel__retry again = {0};
    bool ok = false, lost = false;
    do {
        lost = false;
        ok = pel__file_replace(path, piece, 2, err) && pel__parents_sync(path, 2, &lost, err); /* the run's folder may be new */
    } while (!ok && lost && pel__try_again(&again, EIO));
    return ok;
}

bool pel__document_save(const pel_run *run, pel_error *err)
{
    char path[PEL__PATH_MAX];
    json_object *copy = NULL;
    const bool made = json_object_deep_copy(run->document, &copy, NULL) == 0 && pel__raw_text_add(copy);
    const char *text = made ? json_object_to_json_string_ext(copy, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
    bool ok = text ? pel__path_join(path, sizeof path, run->folder, "plan.json", err) : pel__fail(err, PEL_NO_MEMORY, "no memory to write the plan");
    if (ok)
        ok = save_text(path, text, err);
    json_object_put(copy);
    return ok;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static json_object *member(const json_object *o, const char *name, json_type type)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, type) ? v : NULL;
}

bool pel__document_load(json_object **out, const char *folder, pel_error *err)
{
    char path[PEL__PATH_MAX];
    char *text = NULL;
    size_t n = 0;
    struct stat st;
    if (!pel__path_join(path, sizeof path, folder, "plan.json", err))
        return false;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return pel__fail(err, PEL_FORMAT, "%s: found a folder or device, expected the file of a plan: put it back, or remove it and give another output", path);
    if (!pel__file_slurp(&text, &n, path, MOST_PLAN_BYTES, err))
        return false;
    json_object *o = json_tokener_parse(text);
    free(text);
    json_object *version = o ? member(o, "pellucid_plan", json_type_int) : NULL;
    const int64_t found = version ? json_object_get_int64(version) : -1;
    if (found != 1 || !member(o, "settings", json_type_object) || !member(o, "images", json_type_array) ||
        !member(o, "input", json_type_object) || !member(o, "request", json_type_object)) {
        json_object_put(o);
        return pel__fail(err, PEL_FORMAT, "%s: found no plan of version 1, expected what pellucid wrote there", path);
    }
    pel__digest run;
    if (json_object_object_get_ex(o, "run", NULL) && !pel__digest_parse(&run, pel__document_run(o))) {
        json_object_put(o);
        return pel__fail(err, PEL_FORMAT, "%s: member \"run\" is not the 32 hexadecimal digits that pellucid wrote there: put the file back as it was, "
                         "or begin anew with --fresh", path);
    }
    pel__raw_text_take(o);
    *out = o;
    return true;
}

const char *pel__document_text(const json_object *document, const char *section, const char *name)
{
    const json_object *s = member(document, section, json_type_object);
    json_object *v = NULL;
    return s && json_object_object_get_ex(s, name, &v) ? pel__text_or(json_object_get_string(v), "") : "";
}

static const char *text_or_null(const json_object *d, const char *section, const char *name)
{
    const char *text = pel__document_text(d, section, name);
    return text[0] ? text : NULL;
}

pel_open_options pel__document_open_options(const json_object *d)
{
    return (pel_open_options){.level = (int32_t)strtol(pel__document_text(d, "input", "level"), NULL, 10),
                              .recover = strcmp(pel__document_text(d, "input", "recover"), "true") == 0,
                              .use_mask = strcmp(pel__document_text(d, "input", "use_mask"), "true") == 0,
                              .damaged = text_or_null(d, "input", "damaged"),
                              .flip_streamed = strcmp(pel__document_text(d, "input", "flip_streamed"), "true") == 0,
                              .axes = text_or_null(d, "input", "axes"), .select = text_or_null(d, "input", "select"),
                              .pixel_size = text_or_null(d, "input", "pixel_size")};
}

const char *pel__document_run(const json_object *document)
{
    const json_object *const v = document ? member(document, "run", json_type_string) : NULL;
    return v ? pel__text_or(json_object_get_string((json_object *)(uintptr_t)v), "") : "";
}

static bool read_axes(const json_object *o, const char *name, int64_t least, int64_t out[PEL_AXES])
{
    json_object *list = member(o, name, json_type_array);
    if (!list || json_object_array_length(list) != PEL_AXES)
        return false;
    for (int a = 0; a < PEL_AXES; a++) {
        out[a] = json_object_get_int64(json_object_array_get_idx(list, (size_t)a));
        if (out[a] < least || out[a] > (int64_t)1 << 48)
            return false;
    }
    return true;
}

static bool read_level(const json_object *o, pel__level *l)
{
    return read_axes(o, "shape", 1, l->shape) && read_axes(o, "factor", 1, l->factor) && read_axes(o, "chunk", 1, l->chunk) &&
           read_axes(o, "shard", 1, l->shard);
}

static bool read_image(const json_object *o, pel__plan_image *p)
{
    int64_t shape[PEL_AXES];
    json_object *levels = member(o, "levels", json_type_array), *owned = member(o, "owned_levels", json_type_int);
    if (!read_axes(o, "shape", 1, shape) || !read_axes(o, "block", 1, p->block) || !levels || !owned)
        return false;
    int64_t voxels = 0;
    if (!pel__product(shape, PEL_AXES, &voxels) || voxels > (int64_t)1 << 58 || !pel__product(p->block, PEL_AXES, &voxels) ||
        voxels > (int64_t)1 << 40)
        return false;
    p->bounds = pel__region(PEL_AXES, NULL, shape);
    const size_t n = json_object_array_length(levels);
    const int64_t own = json_object_get_int64(owned);
    if (n < 1 || n > PEL__MAX_LEVELS || own < 1 || own > (int64_t)n)
        return false;
    p->layout.level_count = (int32_t)n;
    p->owned_levels = (int32_t)own;
    for (size_t k = 0; k < n; k++) {
        if (!read_level(json_object_array_get_idx(levels, k), &p->layout.level[k]))
            return false;
    }
    return true;
}

bool pel__document_read_images(pel__plan *out, const json_object *document, const char *folder, pel_error *err)
{
    json_object *images = member(document, "images", json_type_array);
    const size_t n = json_object_array_length(images);
    if (n < 1 || n > INT32_MAX)
        return pel__fail(err, PEL_FORMAT, "%s/plan.json: found %zu images, expected one at least", folder, n);
    out->images = calloc(n, sizeof *out->images);
    if (!out->images)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the plan of %zu images", n);
    out->image_count = (int32_t)n;
    for (size_t i = 0; i < n; i++) {
        if (!read_image(json_object_array_get_idx(images, i), &out->images[i]))
            return pel__fail(err, PEL_FORMAT, "%s/plan.json: image %zu: blocks or levels are not as pellucid writes them", folder, i);
    }
    return true;
}

void pel__document_take_names(pel_run *run)
{
    const json_object *const images = member(run->document, "images", json_type_array);
    for (int32_t i = 0; images && i < run->image_count; i++) {
        const json_object *const o = json_object_array_get_idx(images, (size_t)i);
        json_object *const name = o ? member(o, "name", json_type_string) : NULL;
        pel_image *const image = &run->source->images[i];
        if (name)
            (void)snprintf(image->name, sizeof image->name, "%s", json_object_get_string(name));
    }
}

bool pel__document_read_plan(pel_run *run, pel_error *err)
{
    if (!pel__document_read_images(&run->plan, run->document, run->folder, err))
        return false;
    if (run->plan.image_count != run->image_count)
        return pel__fail(err, PEL_FORMAT, "%s/plan.json: found %d images, expected %d as the input has", run->folder,
                         (int)run->plan.image_count, (int)run->image_count);
    return true;
}

static bool read_noise(const json_object *o, pel_noise *n)
{
    json_object *gain = member(o, "gain", json_type_double), *offset = member(o, "offset", json_type_double), *remark = NULL;
    if (!gain || !offset)
        return false;
    n->gain = json_object_get_double(gain);
    n->offset = json_object_get_double(offset);
    n->gain_error = json_object_get_double(member(o, "gain_error", json_type_double));
    n->offset_error = json_object_get_double(member(o, "offset_error", json_type_double));
    n->r2 = json_object_get_double(member(o, "r2", json_type_double));
    n->saturated = json_object_get_double(member(o, "saturated", json_type_double));
    json_object *low = member(o, "low_frequency", json_type_double), *rho = member(o, "rho", json_type_array);
    n->low_frequency = low ? json_object_get_double(low) : 1; /* older plans know white noise only */
    for (size_t k = 0; rho && k < 2; k++)
        n->rho[k] = json_object_get_double(json_object_array_get_idx(rho, k));
    json_object *cloud = member(o, "cloud", json_type_array);
    for (size_t i = 0; cloud && i < json_object_array_length(cloud) && i < 2 * (size_t)PEL_NOISE_CLOUD; i++)
        n->cloud[i / 2][i % 2] = json_object_get_double(json_object_array_get_idx(cloud, i));
    n->pairs = json_object_get_int64(member(o, "pairs", json_type_int));
    if (json_object_object_get_ex(o, "remark", &remark))
        (void)snprintf(n->remark, sizeof n->remark, "%s", pel__text_or(json_object_get_string(remark), ""));
    return true;
}

bool pel__document_read_noise(pel_run *run, pel_error *err)
{
    json_object *images = member(run->document, "noise", json_type_array);
    for (int32_t i = 0; i < run->image_count; i++) {
        json_object *channels = images ? json_object_array_get_idx(images, (size_t)i) : NULL;
        for (int64_t c = 0; c < run->images[i]->shape[PEL_C]; c++) {
            const json_object *o = json_object_is_type(channels, json_type_array)
                                       ? json_object_array_get_idx(channels, (size_t)c) : NULL;
            if (!o || !read_noise(o, &run->noise[i][c]))
                return pel__fail(err, PEL_FORMAT, "%s/plan.json: no noise for image %d, channel %lld", run->folder, (int)i,
                                 (long long)c);
        }
    }
    return true;
}

void pel__document_read_ground(pel_run *run)
{
    const json_object *all = member(run->document, "ground", json_type_array);
    for (int64_t c = 0; c < run->ground_count; c++) {
        const double v = all ? json_object_get_double(json_object_array_get_idx(all, (size_t)c)) : 0;
        run->ground[c] = fabs(v) <= FLT_MAX ? (float)v : 0;
    }
}

/* Piece number `channel` of "a;b;c", or the whole where there is no ;. */
static void piece_of(char *out, size_t size, const char *text, int64_t channel)
{
    const char *at = text;
    for (int64_t c = 0; c < channel && strchr(at, ';'); c++)
        at = strchr(at, ';') + 1;
    (void)snprintf(out, size, "%.*s", (int)strcspn(at, ";"), at);
}

bool pel__document_read_channels(pel_run *run, pel_error *err)
{
    pel__stage *stage = &run->pipeline->stage[0];
    const int64_t channels = run->images[0]->shape[PEL_C];
    pel__values *values = calloc((size_t)channels, sizeof *values);
    if (!values)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the settings of %lld channels", (long long)channels);
    bool ok = true;
    for (int64_t c = 0; c < channels; c++) {
        values[c] = stage->values;
        for (int32_t i = 0; ok && i < stage->values.count; i++) {
            const pel__param *p = &stage->values.params[i];
            char text[PEL__VALUE_SIZE];
            piece_of(text, sizeof text, pel__document_text(run->document, "settings", p->name), c);
            ok = !p->exact || !pel__value_is_open(&run->typed, i) || pel__values_set(&values[c], p->name, text, err);
        }
    }
    for (int64_t c = 0; ok && c < channels; c++)
        ok = stage->type->check(&values[c], run->images[0], err);
    if (ok)
        pel__pipeline_take_channels(run->pipeline, values, channels);
    else
        free(values);
    return ok;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static const char *setting(const json_object *settings, const char *name)
{
    json_object *value = NULL;
    return json_object_object_get_ex(settings, name, &value) ? pel__text_or(json_object_get_string(value), "(not set)") : "(not set)";
}

/* "; a was 1, now 2" appended for each member of `now` that `then` has otherwise. Another level is another array, with documents of
 * its own: that the input looks different says nothing then. */
static void list_differences(FILE *f, const json_object *then, const json_object *now, const char *program)
{
    const bool read_alike = strcmp(setting(then, "reading"), setting(now, "reading")) == 0;
    json_object_object_foreach(now, name, value)
    {
        const char *was = setting(then, name), *is = pel__text_or(json_object_get_string(value), "(not set)");
        if (strcmp(was, is) == 0 || (!read_alike && strcmp(name, "input") == 0))
            continue;
        if (strcmp(name, "numeric version") == 0)
            (void)fprintf(f, "; the run was begun by numeric version %.20s, this pellucid has %.20s and would make other bits: go on with the "
                          "version that began it (program %.40s)", was, is, program);
        else
            (void)fprintf(f, "; %s was %.100s, now %.100s", name, was, is);
    }
}

/* Chunk, block and levels count only where this command gives them; then they must be the typed ones of before. */
static void list_requests(FILE *f, const json_object *then, const json_object *now)
{
    static const char *const names[] = {"chunk", "block", "levels"};
    for (int i = 0; i < 3; i++) {
        const char *is = pel__document_text(now, "request", names[i]), *was = pel__document_text(then, "request", names[i]);
        if (strcmp(is, i < 2 ? "auto" : "0") != 0 && strcmp(is, was) != 0)
            (void)fprintf(f, "; %s was %s, now %s", names[i], was, is);
    }
}

bool pel__document_same(const pel_run *run, const json_object *now, pel_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return pel__fail(err, PEL_NO_MEMORY, "no memory to compare plans");
    const char *was = pel__document_text(run->document, "place", "output");
    if (strcmp(was, run->place) != 0)
        (void)fprintf(f, "; output was %s, now %s", was[0] ? was : "beside the folder", run->place[0] ? run->place : run->output);
    list_differences(f, member(run->document, "settings", json_type_object), member(now, "settings", json_type_object),
                     pel__text_or(json_object_get_string(member(run->document, "program", json_type_string)), "unknown"));
    list_requests(f, run->document, now);
    (void)fclose(f);
    const bool same = size == 0;
    if (!same)
        (void)pel__fail(err, PEL_REFUSED, "%s: begun with other settings: %s. Use the same, another output, or --fresh to begin anew",
                        run->place[0] ? run->folder : run->output, text + 2);
    free(text);
    return same;
}
