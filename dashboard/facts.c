/* SPDX-License-Identifier: MIT
 * See facts.h. One pass over the jobs keeps a byte and a float a block, and short sorted lists of the extremes. */
#include "facts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MOST_PLAN_BYTES ((long)64 << 20)
#define MANAGER_SECONDS 60 /* a manager writes its file every second; clocks of hosts differ */
#define PAUSE_SECONDS 60.0 /* nothing at all for longer than this and than the longest block: nobody worked */

static bool fail(pel_error *err, int32_t code, const char *text)
{
    if (err) {
        err->code = code;
        (void)snprintf(err->text, sizeof err->text, "%s", text);
    }
    return false;
}

/* ---- the plan ------------------------------------------------------------------------------------------------------------ */

json_object *facts_member(const json_object *o, const char *name, json_type type)
{
    json_object *v = NULL;
    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, type) ? v : NULL;
}

const char *facts_text(const facts *f, const char *section, const char *name)
{
    json_object *v = NULL;
    const json_object *s = section ? facts_member(f->plan, section, json_type_object) : f->plan;
    const char *text = s && json_object_object_get_ex(s, name, &v) ? json_object_get_string(v) : "";
    return text ? text : "";
}

static json_object *load_json(const char *path)
{
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe in its place makes nobody wait */
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    struct stat st;
    char *text = NULL;
    json_object *o = NULL;
    if (in && fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode) && st.st_size < MOST_PLAN_BYTES)
        text = malloc((size_t)st.st_size + 1);
    if (text) {
        text[fread(text, 1, (size_t)st.st_size, in)] = '\0';
        o = json_tokener_parse(text);
    }
    free(text);
    if (in)
        (void)fclose(in);
    return o;
}

static bool read_axes(const json_object *o, const char *name, int64_t out[PEL_AXES])
{
    json_object *list = facts_member(o, name, json_type_array);
    for (int a = 0; a < PEL_AXES; a++) {
        out[a] = list ? json_object_get_int64(json_object_array_get_idx(list, (size_t)a)) : 0;
        if (out[a] < 1)
            return false;
    }
    return true;
}

/* pel_run_status has held the same numbers against their bounds. */
static bool read_images(facts *f)
{
    json_object *list = facts_member(f->plan, "images", json_type_array);
    const size_t n = list ? json_object_array_length(list) : 0;
    f->images = calloc(n + 1, sizeof *f->images);
    int64_t first = 0;
    for (size_t i = 0; f->images && i < n; i++) {
        fact_image *m = &f->images[i];
        const json_object *o = json_object_array_get_idx(list, i);
        json_object *levels = facts_member(o, "levels", json_type_array), *owned = facts_member(o, "owned_levels", json_type_int);
        json_object *name = facts_member(o, "name", json_type_string);
        if (!read_axes(o, "shape", m->shape) || !read_axes(o, "block", m->block))
            return false;
        m->name = name ? json_object_get_string(name) : "";
        m->levels = levels ? (int32_t)json_object_array_length(levels) : 1;
        m->owned_levels = owned ? (int32_t)json_object_get_int64(owned) : 1;
        m->first = first;
        m->count = 1;
        for (int a = 0; a < PEL_AXES; a++) {
            m->grid[a] = (m->shape[a] - 1) / m->block[a] + 1;
            if (m->grid[a] > f->blocks / m->count)
                return false; /* more than the status counted: the file changed between */
            m->count *= m->grid[a];
        }
        first += m->count;
        f->image_count++;
    }
    return f->images && first == f->blocks;
}

static int64_t parse_time(const char *text)
{
    struct tm t = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &t);
    return end && *end == '\0' ? (int64_t)timegm(&t) * 1000000 : 0;
}

/* ---- jobs ---------------------------------------------------------------------------------------------------------------- */

static bool later(const fact_block *a, const fact_block *b) { return a->at_us > b->at_us; }
static bool slower(const fact_block *a, const fact_block *b) { return a->seconds > b->seconds; }

/* Into a sorted list of at most `most`; what falls off the end is forgotten. */
static void keep(fact_block *list, int32_t *count, int32_t most, const fact_block *b, bool before(const fact_block *, const fact_block *))
{
    int32_t at = *count;
    if (at == most && !before(b, &list[most - 1]))
        return;
    if (*count < most)
        (*count)++;
    else
        at = most - 1;
    for (; at > 0 && before(b, &list[at - 1]); at--)
        list[at] = list[at - 1];
    list[at] = *b;
}

static void count_host(facts *f, const pel_run_block *b)
{
    int32_t i = 0;
    while (i < f->host_count && strncmp(f->hosts[i].name, b->host, sizeof f->hosts[i].name - 1) != 0)
        i++;
    if (i == FACTS_HOSTS) {
        f->more_hosts = true;
        return;
    }
    fact_host *h = &f->hosts[i];
    if (i == f->host_count) {
        f->host_count++;
        (void)snprintf(h->name, sizeof h->name, "%s", b->host);
    }
    h->done += b->state == PEL_BLOCK_DONE;
    h->failed += b->state == PEL_BLOCK_FAILED;
    h->seconds += b->seconds;
    h->memory_peak = b->memory_bytes > h->memory_peak ? b->memory_bytes : h->memory_peak;
}

static fact_block copy_block(const pel_run_block *b)
{
    fact_block k = {.number = b->number, .at_us = b->at_us, .memory_bytes = b->memory_bytes, .image = b->image, .level = b->level,
                    .attempt = b->attempt, .seconds = b->seconds, .region = b->region, .voxels = 1};
    for (int a = 0; a < PEL_AXES; a++)
        k.voxels *= b->region.shape[a];
    (void)snprintf(k.host, sizeof k.host, "%s", b->host);
    (void)snprintf(k.error, sizeof k.error, "%s", b->error);
    return k;
}

static void note_block(void *arg, const pel_run_block *b)
{
    facts *f = arg;
    if (b->state == PEL_BLOCK_OPEN)
        return;
    const fact_block k = copy_block(b);
    f->sign_us = k.at_us > f->sign_us ? k.at_us : f->sign_us;
    if (b->state == PEL_BLOCK_FAILED) {
        int32_t shown = f->failure_count < FACTS_FAILURES ? (int32_t)f->failure_count : FACTS_FAILURES;
        keep(f->failures, &shown, FACTS_FAILURES, &k, later);
        f->failure_count++;
    }
    if (b->level > 0 || b->number >= f->blocks)
        return;
    f->state[b->number] = (uint8_t)b->state;
    count_host(f, b);
    if (b->state != PEL_BLOCK_DONE)
        return;
    f->seconds[f->finished++] = (float)b->seconds;
    f->longest = b->seconds > f->longest ? b->seconds : f->longest;
    keep(f->slow, &f->slow_count, FACTS_SLOW, &k, slower);
    keep(f->recent, &f->recent_count, FACTS_RECENT, &k, later);
}

static void note_worker(void *arg, const pel_run_worker *w)
{
    facts *f = arg;
    f->workers_alive += w->alive;
    f->workers_gone += !w->alive;
    f->sign_us = w->sign_us > f->sign_us ? w->sign_us : f->sign_us;
    f->memory_limit = w->memory_limit > f->memory_limit ? w->memory_limit : f->memory_limit;
    f->memory_promised = w->memory_promised > f->memory_promised ? w->memory_promised : f->memory_promised;
    if (f->worker_count == FACTS_WORKERS)
        return;
    fact_worker *k = &f->workers[f->worker_count++];
    (void)snprintf(k->host, sizeof k->host, "%s", w->host);
    k->figures = *w;
    k->figures.host = NULL;
}

static int by_name(const void *a, const void *b)
{
    const fact_worker *x = a, *y = b;
    const int order = strcmp(x->host, y->host);
    return order ? order : (x->figures.pid > y->figures.pid) - (x->figures.pid < y->figures.pid);
}

/* ---- speed --------------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double start_of(const fact_block *b) { return (double)b->at_us * 1e-6 - b->seconds; }

/* From the latest finished blocks back to where nobody worked: a night between two starts must not count as slow work. */
static void measure_speed(facts *f)
{
    qsort(f->seconds, (size_t)f->finished, sizeof *f->seconds, by_value);
    f->median = f->finished > 0 ? (double)f->seconds[f->finished / 2] : 0;
    if (f->recent_count == 0)
        return;
    const double pause = f->longest > PAUSE_SECONDS ? f->longest : PAUSE_SECONDS;
    double begin = start_of(&f->recent[0]);
    double end = (double)f->recent[0].at_us * 1e-6, now = (double)f->now_us * 1e-6;
    int64_t voxels = 0;
    int32_t n = 0;
    for (; n < f->recent_count && (double)f->recent[n].at_us * 1e-6 > begin - pause; n++) {
        begin = start_of(&f->recent[n]) < begin ? start_of(&f->recent[n]) : begin;
        voxels += f->recent[n].voxels;
    }
    if (facts_running(f) && now > end + f->median)
        end = now; /* nothing came for longer than usual: the speed sinks until something does */
    pel_dtype type = PEL_U8;
    (void)pel_dtype_parse(&type, facts_text(f, "settings", "dtype"));
    const double span = end - begin > 1e-3 ? end - begin : 1e-3;
    const pel_status *s = &f->status;
    f->blocks_per_s = n / span;
    f->bytes_per_s = (double)voxels * (double)pel_dtype_size(type) / span;
    f->left_s = (double)(s->blocks_total - s->blocks_done - s->blocks_failed) / f->blocks_per_s;
}

/* ---- all ----------------------------------------------------------------------------------------------------------------- */

bool facts_running(const facts *f) { return strcmp(f->status.state, "running") == 0; }

/* Between two tasks nobody may be at work on blocks while a manager is. */
static void note_manager(facts *f)
{
    char path[4200];
    (void)snprintf(path, sizeof path, "%s/manager.json", f->folder);
    f->manager = load_json(path);
    json_object *v = facts_member(f->manager, "state", json_type_string), *at = facts_member(f->manager, "at", json_type_int);
    const char *state = v ? json_object_get_string(v) : "";
    const int64_t at_us = at ? json_object_get_int64(at) : 0;
    if (at_us <= 0 || at_us > INT64_MAX / 1000000)
        return;
    const bool ended = f->status.reason[0] && !f->status.silent; /* its last sign of life outlives one whose end was seen */
    f->managed = !ended && (strcmp(state, "running") == 0 || strcmp(state, "draining") == 0 || strcmp(state, "finishing") == 0) && f->now_us / 1000000 - at_us < MANAGER_SECONDS;
    f->sign_us = at_us * 1000000 > f->sign_us ? at_us * 1000000 : f->sign_us;
    if (f->managed)
        (void)snprintf(f->status.state, sizeof f->status.state, "running");
}

/* status.json says when somebody who had the run whole last wrote it. */
static void note_status_file(facts *f)
{
    char path[4200];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/status.json", f->folder);
    if (stat(path, &st) != 0)
        return;
    const int64_t at = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    f->sign_us = at > f->sign_us ? at : f->sign_us;
}

static bool prepare(facts *f, const char *output, pel_error *err)
{
    char path[4200];
    struct timespec t = {0};
    if (!pel_run_folder(f->folder, sizeof f->folder, output, err))
        return false;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    f->now_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    (void)snprintf(path, sizeof path, "%s/plan.json", f->folder);
    f->blocks = f->status.blocks_total;
    f->memory_limit = f->status.memory_limit;
    f->memory_promised = f->status.memory_promised;
    f->plan = load_json(path);
    f->state = calloc((size_t)f->blocks + 1, sizeof *f->state);
    f->seconds = calloc((size_t)f->blocks + 1, sizeof *f->seconds);
    f->recent = calloc(FACTS_RECENT, sizeof *f->recent);
    if (!f->state || !f->seconds || !f->recent)
        return fail(err, PEL_NO_MEMORY, "no memory to look at the blocks of the run");
    if (!f->plan || !read_images(f))
        return fail(err, PEL_FORMAT, "plan.json: found no images, or others than a moment ago");
    f->begun_us = parse_time(facts_text(f, NULL, "created"));
    return true;
}

bool facts_gather(facts *out, const char *output, pel_error *err)
{
    memset(out, 0, sizeof *out);
    const bool ok = pel_run_status(&out->status, output, err) && prepare(out, output, err) &&
                    pel_run_each_block(output, note_block, out, err) && pel_run_each_worker(output, note_worker, out, err);
    if (!ok) {
        facts_destroy(out);
        return false;
    }
    note_status_file(out);
    note_manager(out);
    qsort(out->workers, (size_t)out->worker_count, sizeof *out->workers, by_name);
    measure_speed(out);
    return true;
}

void facts_destroy(facts *f)
{
    json_object_put(f->plan);
    json_object_put(f->manager);
    free(f->images);
    free(f->state);
    free(f->seconds);
    free(f->recent);
    memset(f, 0, sizeof *f);
}

const char *facts_place(char *out, size_t size, const facts *f, const fact_block *b)
{
    static const char axes[] = "tczyx";
    size_t n = 0;
    const bool known = b->image < f->image_count;
    if (f->image_count > 1)
        n = (size_t)snprintf(out, size, "image %" PRId32, b->image);
    for (int a = 0; a < PEL_AXES; a++) {
        if ((known && f->images[b->image].shape[a] == 1) || n >= size)
            continue;
        n += (size_t)snprintf(out + n, size - n, "%s%c=%" PRId64 ":%" PRId64, n ? " " : "", axes[a], b->region.origin[a],
                              b->region.origin[a] + b->region.shape[a]);
    }
    if (n == 0)
        (void)snprintf(out, size, "whole");
    return out;
}
