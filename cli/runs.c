/* SPDX-License-Identifier: MIT
 * See runs.h: the words of denoise and convert (the filter's parameters come from its own table), the plan in words, the
 * work itself. */
#include "runs.h"

#include "input.h"
#include "jobs.h"
#include "limits.h"
#include "notes.h"
#include "progress.h"
#include "quote.h"

#include <inttypes.h>
#include <math.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_PARAMETERS 32
#define MOST_OPTIONS (MOST_PARAMETERS + 32 + JOB_OPTIONS)

typedef struct {
    const char *input, *output, *state;
    const char *run; /* what the run is called from here on: its output, or the folder of its books where they lie apart */
    char folder[RUN_PATH];
    const char *then, *tune, *noise, *dtype, *format, *codec, *chunk, *block;
    const char *values[MOST_PARAMETERS];
    pel_remote remote;
    pel_limits limits;
    int64_t memory, threads, levels;
    bool fresh, quiet, json, no_timing, prepare;
    input_options in;
    int32_t filter;
    job_words job; /* `plan` only */
    int64_t nodes;
    char help[MOST_PARAMETERS][320]; /* put together from the filter's table */
} words;

static int32_t filter_number(const char *name)
{
    for (int32_t i = 0; i < pel_filter_count(); i++)
        if (strcmp(pel_filter_name(i), name) == 0)
            return i;
    return -1;
}


static int add_parameters(option *list, words *w)
{
    int n = 0;
    const int32_t count = pel_filter_parameter_count(w->filter);
    if (count > 0)
        list[n++] = (option){OPTION_HEADING, NULL, NULL, "the filter", NULL, 0, 0};
    for (int32_t i = 0; i < count && i < MOST_PARAMETERS; i++) {
        pel_parameter p;
        pel_filter_parameter(w->filter, i, &p);
        (void)snprintf(w->help[i], sizeof w->help[i], "%s (%s; default %s)", p.help, p.expects, p.fallback);
        list[n++] = (option){OPTION_TEXT, p.name, p.unit[0] ? p.unit : "VALUE", w->help[i], &w->values[i], 0, 0};
    }
    if (pel_filter_tunes(w->filter))
        list[n++] = (option){OPTION_TEXT, "tune", "auto|off", "auto (default): what you leave at its default is chosen by the data, channel by channel",
                             &w->tune, 0, 0};
    if (pel_filter_needs_noise(w->filter))
        list[n++] = (option){OPTION_TEXT, "noise", "MODEL",
                             "sigma | gain,offset | gain,background,readout, each with ,low=S where neighbours share noise; ; between channels; default: estimated from the image",
                             &w->noise, 0, 0};
    return n;
}

static int add_common(option *list, words *w)
{
    const option common[] = {
        {OPTION_TEXT, "then", "FILTERS", "filters that follow, without a copy between: \"dog fwhm=5,20 | gaussian sigma=1\"", &w->then, 0, 0},
        {OPTION_HEADING, NULL, NULL, "limits", NULL, 0, 0},
        {OPTION_SIZE, "memory", "SIZE", MEMORY_HELP, &w->memory, 0, 0},
        {OPTION_INTEGER, "threads", "N", THREADS_HELP, &w->threads, 1, 4096},
        {OPTION_HEADING, NULL, NULL, "the output", NULL, 0, 0},
        {OPTION_TEXT, "dtype", "TYPE", "uint8 … float64; integers saturate (default: the input's; of dog float32)", &w->dtype, 0, 0},
        {OPTION_TEXT, "format", "VERSION", "OME-Zarr 0.5 (default; Zarr v3 with shards) or 0.4 (Zarr v2)", &w->format, 0, 0},
        {OPTION_TEXT, "codec", "CODEC", "blosc:zstd:1:shuffle (default), blosc:lz4:5:bitshuffle, zstd:3, gzip:5, none", &w->codec, 0, 0},
        {OPTION_TEXT, "chunk", "SHAPE", "chunk for viewers: z=32,y=128,x=128", &w->chunk, 0, 0},
        {OPTION_TEXT, "block", "SHAPE", "block of work, one shard: z=128,y=512,x=512", &w->block, 0, 0},
        {OPTION_INTEGER, "levels", "N", "resolution levels (default: down to a plane of 256)", &w->levels, 1, 24},
        {OPTION_TEXT, "state", "FOLDER", "the run's books: plan, ledger, log (default: OUT.run beside the output; of an s3://…/NAME, NAME.run here)", &w->state, 0, 0},
        {OPTION_FLAG, "fresh", NULL, "throw away what an earlier run left in the output", &w->fresh, 0, 0},
        {OPTION_FLAG, "prepare", NULL, "make the output and its plan, and stop: `work` does the blocks", &w->prepare, 0, 0},
        {OPTION_HEADING, NULL, NULL, "the input", NULL, 0, 0},
        RUN_INPUT_OPTIONS(w->in),
        {OPTION_HEADING, NULL, NULL, "messages", NULL, 0, 0},
        {OPTION_FLAG, "quiet", NULL, "no progress, no plan", &w->quiet, 0, 0},
        {OPTION_FLAG, "json", NULL, "the plan or the result as JSON on standard output", &w->json, 0, 0},
    };
    memcpy(list, common, sizeof common);
    return COUNT(common);
}

/* A walltime is told from a range of time points by its form: 12:00:00, 36h. */
static void take_walltime(words *w)
{
    const char *why = NULL;
    if (w->in.select.time && parse_time(w->in.select.time, &w->job.time, &why))
        w->in.select.time = NULL;
}

/* --memory and --time are there already: what a job's program may take, and points of time. */
static int add_plan_options(option *list, words *w)
{
    option jobs[JOB_OPTIONS];
    const int count = job_options(jobs, &w->job);
    int n = 0;
    list[n++] = (option){OPTION_FLAG, "no-timing", NULL, "do not time a sample of the image", &w->no_timing, 0, 0};
    for (int i = 0; i < count; i++) {
        if (jobs[i].kind != OPTION_HEADING && strcmp(jobs[i].name, "memory") == 0)
            continue;
        list[n] = jobs[i];
        if (jobs[i].kind == OPTION_TIME)
            list[n].name = "walltime";
        n++;
    }
    list[n++] = (option){OPTION_INTEGER, "nodes", "N", "with --scheduler: jobs to spread the run over (default 1)", &w->nodes, 1, 1e6};
    return n;
}

static bool read_words(const verb *self, int argc, char **argv, words *w, bool only_plan, int *code)
{
    option list[MOST_OPTIONS];
    int n = add_parameters(list, w);
    n += add_common(list + n, w);
    if (only_plan)
        n += add_plan_options(list + n, w);
    const operand operands[] = {{"IN", "CZI, TIFF or Zarr", &w->input, false}, {"OUT", "the OME-Zarr to write: a folder, or s3://BUCKET/KEY", &w->output, false}};
    const command c = {
        .verb = self,
        .text = "Run the same command again after a kill or a crash: it goes on where it was. The state of the run "
                "lies in OUT.run beside the output, or in --state.",
        .operands = operands, .operand_count = COUNT(operands), .options = list, .option_count = n,
    };
    const bool ok = command_parse(&c, argc, argv, code);
    w->run = w->state ? w->state : w->output;
    if (ok && !w->state && strstr(w->output, "://") && pel_run_folder(w->folder, sizeof w->folder, w->output, NULL))
        w->run = w->folder; /* a worker that stands elsewhere would look for it beside itself */
    return ok;
}

/* ---- the plan in words ---------------------------------------------------------------------------------------------- */

static void print_shape(FILE *to, const char *label, const int64_t v[PEL_AXES])
{
    (void)fprintf(to, "%s", label);
    for (int a = 0; a < PEL_AXES; a++)
        (void)fprintf(to, "%s%c=%" PRId64, a ? "," : "", axis_letters[a], v[a]);
}

/* How blocks go over the image, and why: what neighbours share is kept from one to the next, or made anew by each. */
static void print_sweep(FILE *to, const pel_run *run, const pel_plan_summary *s)
{
    const int64_t *const shape = pel_source_image(pel_run_source(run), 0)->shape;
    char cut[64] = "", whole[64] = "";
    for (int a = 0; a < PEL_AXES; a++) {
        char *const list = s->block[a] < shape[a] ? cut : whole;
        const size_t n = strlen(list);
        if (s->halo[a] > 0)
            (void)snprintf(list + n, 64 - n, "%s%c", n ? ", " : "", axis_letters[a]);
    }
    if (!cut[0] && !whole[0])
        return;
    if (s->sweep) {
        (void)fprintf(to, "  sweep    along y, block after block: rows that neighbours share are kept%s%s\n", whole[0] ? "; whole along " : "", whole);
        return;
    }
    if (!cut[0])
        (void)fprintf(to, "  sweep    whole along %s: nothing is read twice\n", whole);
    else
        (void)fprintf(to, "  sweep    none: cut along %s%s%s; each block reads and computes its halo anew, which costs the factors above: the "
                      "cheapest blocks that fit into memory\n", cut, whole[0] ? ", whole along " : "", whole);
}

static void print_noise(FILE *to, const pel_run *run)
{
    const pel_source *source = pel_run_source(run);
    for (int32_t c = 0; c < pel_run_noise_count(run, 0); c++) {
        const pel_noise *n = pel_run_noise(run, 0, c);
        const char *name = pel_source_image(source, 0)->channels[c].name;
        (void)fprintf(to, "  noise    channel %" PRId32 " ", c);
        (void)put_one_line(to, name);
        (void)fprintf(to, ": ");
        if (n->gain > 0)
            (void)fprintf(to, "variance = %.4g x mean %+.4g", n->gain, n->offset);
        else
            (void)fprintf(to, "variance = %.4g everywhere", n->offset);
        if (n->pairs > 0)
            (void)fprintf(to, " (estimated: gain +- %.2g, r2 %.3f, %" PRId64 " pairs)%s%s", n->gain_error, n->r2, n->pairs,
                          n->remark[0] ? "; " : "", n->remark);
        else if (n->low_frequency != 1)
            (void)fprintf(to, ", low-frequency power %.3g times that of white noise", n->low_frequency);
        if (n->saturated > 0)
            (void)fprintf(to, "; %.3g %% saturated", 100 * n->saturated);
        (void)fputc('\n', to);
    }
}

/* The chosen candidate of each channel, with what it is estimated to gain over the default. */
static void print_tuning(FILE *to, const pel_run *run)
{
    const pel_image *image = pel_source_image(pel_run_source(run), 0);
    for (int64_t c = 0; c < image->shape[PEL_C]; c++) {
        pel_candidate plain = {0}, best = {0};
        for (int32_t i = pel_run_candidate_count(run, c) - 1; i >= 0; i--) {
            pel_run_candidate(run, c, i, &plain); /* ends with number 0, the default */
            if (plain.chosen)
                best = plain;
        }
        if (!best.chosen)
            continue;
        (void)fprintf(to, "  tuned    channel %" PRId64 " ", c);
        (void)put_one_line(to, image->channels[c].name);
        (void)fprintf(to, ": %s", best.settings[0] ? best.settings : "the default");
        if (best.risk > 0 && best.risk < plain.risk)
            (void)fprintf(to, " (estimated %.2f dB better than the default)", 10 * log10(plain.risk / best.risk));
        (void)fputc('\n', to);
    }
}

static void print_time(FILE *to, const pel_plan_summary *s)
{
    char a[32], b[32];
    if (s->seconds_estimated < 0.1)
        (void)fprintf(to, "  time     less than 0.1 s on this machine");
    else
        (void)fprintf(to, "  time     about %s on this machine", text_duration(a, sizeof a, s->seconds_estimated));
    if (s->seconds_settled >= 0.5)
        (void)fprintf(to, ", after %s for noise and tuning", text_duration(b, sizeof b, s->seconds_settled));
    (void)fputc('\n', to);
}

/* Only what may not suffice; what cannot is refused. */
static void print_room(FILE *to, const pel_plan_summary *s)
{
    char a[32], b[32];
    if (s->resumed)
        return;
    if (s->bytes_free >= 0 && s->bytes_free < s->bytes_out)
        (void)fprintf(to, "  room     may not suffice: %s free, %s before compression\n", text_bytes(a, sizeof a, (double)s->bytes_free),
                      text_bytes(b, sizeof b, (double)s->bytes_out));
    if (s->files_free >= 0 && s->files_free < s->files)
        (void)fprintf(to, "  room     may not suffice: %s more files can be made, at most %s are needed; larger blocks (--block) need fewer\n",
                      text_count(a, sizeof a, s->files_free), text_count(b, sizeof b, s->files));
}

void print_plan(FILE *to, const pel_run *run, const char *input, const char *output)
{
    pel_plan_summary s;
    char a[32], b[32], threads[PEL_LIMIT_TEXT + 32];
    pel_run_summary(run, &s);
    (void)put_one_line(to, input);
    (void)fprintf(to, " -> ");
    (void)put_one_line(to, output);
    (void)fprintf(to, "%s\n", s.resumed ? " (a run is there: its plan is kept)" : "");
    (void)fprintf(to, "  images   %" PRId32 ": %s voxels, %s of pixels, %d resolution levels\n", s.image_count,
                  text_count(a, sizeof a, s.voxels), text_bytes(b, sizeof b, (double)s.bytes_in), (int)s.levels);
    print_shape(to, "  blocks   ", s.block);
    (void)fprintf(to, ": %s, and %s pyramid jobs at the end\n", text_count(a, sizeof a, s.blocks),
                  text_count(b, sizeof b, s.pyramid_jobs));
    print_shape(to, "  halo     ", s.halo);
    (void)fprintf(to, ": exact; reads %.2f times the image, computes %.2f times\n", s.halo_read, s.halo_work);
    print_sweep(to, run, &s);
    if (s.rounds)
        (void)fprintf(to, "  numbers  float32: %s is rounded to 24 bits\n", pel_dtype_name(pel_source_image(pel_run_source(run), 0)->dtype));
    print_noise(to, run);
    print_tuning(to, run);
    (void)fprintf(to, "  memory   %s promised of %s allowed%s%s; %s, reading and writing %s\n",
                  text_bytes(a, sizeof a, (double)s.memory_promised), text_bytes(b, sizeof b, (double)s.memory_limit), s.memory_by[0] ? ": " : "",
                  s.memory_by, limits_text_threads(threads, sizeof threads, &s), s.slots == 2 ? "overlap with computing" : "take turns with computing (more memory would overlap them)");
    (void)fprintf(to, "  output   at most %s files, %s before compression\n", text_count(a, sizeof a, s.files),
                  text_bytes(b, sizeof b, (double)s.bytes_out));
    print_room(to, &s);
    print_plan_notes(to, run);
    if (s.seconds_estimated > 0)
        print_time(to, &s);
}

static json_object *noise_json(const pel_run *run)
{
    json_object *list = json_object_new_array();
    for (int32_t c = 0; c < pel_run_noise_count(run, 0); c++) {
        const pel_noise *n = pel_run_noise(run, 0, c);
        json_object *o = json_object_new_object();
        json_object_object_add(o, "gain", json_number(n->gain));
        json_object_object_add(o, "offset", json_number(n->offset));
        json_object_object_add(o, "r2", json_number(n->r2));
        json_object_object_add(o, "low_frequency", json_number(n->low_frequency));
        json_object_object_add(o, "estimated", json_object_new_boolean(n->pairs > 0));
        json_object_object_add(o, "saturated", n->pairs > 0 ? json_number(n->saturated) : NULL);
        json_object_array_add(list, o);
    }
    return list;
}

/* What this process may have here, whatever was asked for. */
static json_object *limits_json(const pel_limits *l)
{
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "memory", json_object_new_int64(l->memory_bytes));
    json_object_object_add(o, "memory_by", json_object_new_string(l->memory_by));
    json_object_object_add(o, "threads", json_object_new_int(l->threads));
    json_object_object_add(o, "threads_by", json_object_new_string(l->threads_by));
    return o;
}

json_object *plan_json(const pel_run *run)
{
    pel_plan_summary s;
    pel_run_summary(run, &s);
    json_object *o = json_object_new_object();
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {
        {"images", s.image_count}, {"threads", s.threads}, {"slots", s.slots}, {"blocks", s.blocks},
        {"pyramid_jobs", s.pyramid_jobs}, {"levels", s.levels}, {"voxels", s.voxels}, {"bytes_in", s.bytes_in},
        {"bytes_out", s.bytes_out}, {"files", s.files}, {"bytes_free", s.bytes_free}, {"files_free", s.files_free}, {"memory_limit", s.memory_limit},
        {"memory_promised", s.memory_promised}, {"memory_base", s.memory_base}, {"memory_source", s.memory_source},
        {"memory_filter", s.memory_filter}, {"memory_buffers", s.memory_buffers}, {"memory_write", s.memory_write},
    };
    for (int i = 0; i < COUNT(integers); i++)
        json_object_object_add(o, integers[i].name, json_object_new_int64(integers[i].value));
    json_object_object_add(o, "memory_by", json_object_new_string(s.memory_by));
    json_object_object_add(o, "threads_by", json_object_new_string(s.threads_by));
    json_object_object_add(o, "limits", limits_json(&s.limits));
    json_object_object_add(o, "block", json_axes(s.block));
    json_object_object_add(o, "halo", json_axes(s.halo));
    json_object_object_add(o, "chunk", json_axes(s.chunk));
    json_object_object_add(o, "halo_read", json_number(s.halo_read));
    json_object_object_add(o, "halo_work", json_number(s.halo_work));
    json_object_object_add(o, "seconds_estimated", s.seconds_estimated > 0 ? json_number(s.seconds_estimated) : NULL);
    json_object_object_add(o, "seconds_settled", json_number(s.seconds_settled));
    json_object_object_add(o, "noise", noise_json(run));
    json_object_object_add(o, "notes", plan_notes_json(run));
    json_object_object_add(o, "resumed", json_object_new_boolean(s.resumed));
    return o;
}

/* ---- work -------------------------------------------------------------------------------------------------------------- */

static char *command_line(int argc, char **argv)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    (void)fputs("pellucid", f);
    for (int i = 0; i < argc; i++) {
        (void)fputc(' ', f);
        quote_shell(f, argv[i]);
    }
    (void)fclose(f);
    return text;
}

static pel_run_options options_of(words *w, pel_setting settings[MOST_PARAMETERS])
{
    pel_run_options o = {.filter = pel_filter_name(w->filter), .input = w->input, .output = w->output, .state = w->state, .settings = settings,
                         .then = w->then, .tune = w->tune ? w->tune : "auto", .noise = w->noise, .memory_bytes = w->memory, .dtype = w->dtype,
                         .threads = (int32_t)(w->threads > 0 ? w->threads : w->job.cores),
                         .ome_version = w->format, .codec = w->codec, .chunk = w->chunk, .block = w->block,
                         .levels = (int32_t)w->levels, .fresh = w->fresh, .limits = &w->limits};
    w->limits = limits_here();
    w->remote = remote_from_environment();
    o.open = input_how(&w->in, &w->remote);
    for (int32_t i = 0; i < pel_filter_parameter_count(w->filter) && i < MOST_PARAMETERS; i++) {
        pel_parameter p;
        pel_filter_parameter(w->filter, i, &p);
        if (w->values[i])
            settings[o.setting_count++] = (pel_setting){p.name, w->values[i]};
    }
    return o;
}

typedef struct {
    FILE *to;
    int64_t left;
} failure_arg;

static void print_failure(void *arg, int64_t block, int32_t attempt, const char *host, const char *text)
{
    failure_arg *f = arg;
    if (f->left-- <= 0)
        return;
    (void)fprintf(f->to, "  failed    attempt %d on %s: ", (int)attempt, host);
    (void)put_one_line(f->to, text);
    (void)fputc('\n', f->to);
}

void print_failures(FILE *to, const char *output, int64_t most)
{
    failure_arg f = {to, most};
    (void)pel_run_failures(output, print_failure, &f, NULL);
    if (f.left < 0)
        (void)fprintf(to, "            and %" PRId64 " more: pellucid status %s --failures\n", -f.left, output);
}

static void take_latest(void *arg, const pel_run_block *block)
{
    int64_t *const latest = arg;
    *latest = block->at_us > *latest ? block->at_us : *latest;
}

int64_t finished_at(const char *run)
{
    pel_status s;
    int64_t latest = 0;
    const bool done = pel_run_status(&s, run, NULL) && strcmp(s.state, "done") == 0 && pel_run_each_block(run, take_latest, &latest, NULL);
    return done ? latest : 0;
}

bool print_nothing_to_do(FILE *to, const char *run, int64_t before)
{
    char text[40];
    struct tm local;
    const time_t at = (time_t)(before / 1000000);
    if (before == 0 || finished_at(run) != before || !localtime_r(&at, &local) || !strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local))
        return false;
    (void)fprintf(to, "nothing to do: finished %s; every file audited\n", text);
    return true;
}

static int report(const verb *self, const words *w, int64_t before, bool ok, const pel_error *err)
{
    pel_status s;
    char a[32], b[32], c[32];
    if (pel_run_status(&s, w->run, NULL)) {
        if (!ok && s.blocks_failed > 0)
            print_failures(stderr, w->run, 10);
        if (ok && !w->quiet && !print_nothing_to_do(stderr, w->run, before))
            (void)fprintf(stderr, "done: %s block%s, %s written, %s voxels clipped, peak memory %s; every file audited\n",
                          text_count(a, sizeof a, s.blocks_done), s.blocks_done == 1 ? "" : "s",
                          text_bytes(b, sizeof b, (double)s.bytes_written),
                          text_count(c, sizeof c, s.clipped), text_bytes((char[32]){0}, 32, (double)s.memory_peak));
    }
    if (ok)
        print_run_notes(stderr, w->run, NOTE_LABEL, false);
    return ok ? EXIT_DONE : say_error(self, err, false);
}

static int prepare(const verb *self, pel_run *run, const words *w)
{
    pel_error err = {0};
    const bool ok = pel_run_prepare(run, &err);
    if (ok && w->json)
        json_print(plan_json(run));
    pel_run_destroy(run);
    if (!ok)
        return say_error(self, &err, false);
    dashboard_end(&(dashboard){.output = w->run, .version = PELLUCID_VERSION});
    if (!w->quiet)
        (void)fprintf(stderr, "prepared: `pellucid work %s` does the blocks, or `--part 1/N` … `--part N/N` of it\n", w->run);
    return EXIT_DONE;
}

static int work(const verb *self, pel_run *run, const words *w, progress *line)
{
    pel_error err = {0};
    const int64_t before = finished_at(w->run);
    line->page = (dashboard){.output = w->run, .version = PELLUCID_VERSION};
    const bool ok = pel_run_work(run, progress_show, line, &err);
    progress_end(line);
    if (ok && w->json)
        json_print(plan_json(run));
    pel_run_destroy(run);
    if (!ok && stop_asked())
        (void)pel_run_note_stop(w->run, stop_words(), NULL);
    dashboard_end(&line->page);
    return report(self, w, w->fresh ? 0 : before, ok, &err);
}

/* Timed here with threads that may be more than the processors; there with as many threads as cores. */
static void print_cluster_time(const pel_plan_summary *s, const job_script *job)
{
    char a[32], b[32];
    const int64_t processors = limits_here().threads, busy = s->threads < processors ? s->threads : processors;
    const double core_seconds = s->seconds_estimated * (double)busy, all = core_seconds / (double)job->cores;
    const double block = all / (double)(s->blocks > 0 ? s->blocks : 1);
    const int64_t rounds = (s->blocks + job->jobs - 1) / job->jobs;
    const double limit = (double)(job->seconds - job->lead);
    (void)printf("  cluster  %.1f core-hours; %s on each of %" PRId64 " jobs of %" PRId64 " cores, %s a block\n", core_seconds / 3600,
                 text_duration(a, sizeof a, block * (double)rounds), job->jobs, job->cores, text_duration(b, sizeof b, block));
    if (job->seconds == 0)
        return;
    if (block > limit)
        (void)printf("  walltime too short: not one block ends within %s; take smaller blocks (--block) or more cores\n",
                     text_duration(a, sizeof a, limit));
    else if (block * (double)rounds > limit)
        (void)printf("  walltime fits %.0f blocks a job; submit %.0f times, or over more nodes\n", limit / block,
                     (block * (double)rounds + limit - 1) / limit);
    else
        (void)printf("  walltime fits: all blocks end within it\n");
}

/* The very commands and the script by which a cluster would do the plan. */
static int show_jobs(const verb *self, const pel_run *run, const words *w)
{
    int code = EXIT_DONE;
    job_script job;
    pel_error err = {0};
    pel_plan_summary s;
    char path[PATH_MAX], folder[PATH_MAX] = "", program[PATH_MAX];
    if (!job_fill(self, &w->job, &job, &code))
        return code;
    pel_run_summary(run, &s);
    job.jobs = w->nodes > 0 ? w->nodes : 1;
    job.cores = job.cores > 0 ? job.cores : s.threads;
    job.memory = job_memory_for(s.memory_promised);
    if (s.seconds_estimated > 0)
        print_cluster_time(&s, &job);
    if (w->run[0] != '/' && !getcwd(folder, sizeof folder))
        folder[0] = '\0';
    (void)snprintf(path, sizeof path, "%s%s%s", folder, folder[0] ? "/" : "", w->run);
    if (!own_program(program, sizeof program))
        (void)snprintf(program, sizeof program, "pellucid");
    work_command words_of_job;
    work_command_make(&words_of_job, &job, scheduler_is_container(job.scheduler) ? "pellucid" : program, path);
    job.words = words_of_job.words;
    if (!script_check(self, &job, &err)) {
        (void)say_error(self, &err, false);
        return EXIT_USAGE;
    }
    (void)printf("\nFirst the same words with --prepare in place of `plan`, then this script (`pellucid submit --now` makes and submits it):\n\n");
    script_print(stdout, &job);
    return EXIT_DONE;
}

static void show_words(FILE *to, const pel_run *run, const words *w)
{
    print_plan(to, run, w->input, w->output);
    if (w->run != w->output)
        (void)fprintf(to, "  state    in %s: `pellucid status %s`\n", w->run, w->run);
}

static int show_plan(const verb *self, pel_run *run, const words *w)
{
    pel_error err = {0};
    int code = EXIT_DONE;
    if (!w->no_timing && !pel_run_time(run, &err))
        code = say_error(self, &err, true);
    else if (w->json)
        json_print(plan_json(run));
    else
        show_words(stdout, run, w);
    if (code == EXIT_DONE && !w->json && w->job.scheduler)
        code = show_jobs(self, run, w);
    pel_run_destroy(run);
    return code;
}

int run_filter(const verb *self, const char *filter, int argc, char **argv, bool only_plan)
{
    words w = {.filter = filter_number(filter)};
    int code = EXIT_DONE;
    if (!read_words(self, argc, argv, &w, only_plan, &code))
        return code;
    if (only_plan)
        take_walltime(&w);
    pel_setting settings[MOST_PARAMETERS];
    pel_run_options options = options_of(&w, settings);
    if (!w.prepare && !w.job.scheduler) /* those plan for other machines */
        limits_warn(self, &w.limits, w.memory, false);
    char *typed = command_line(argc, argv);
    options.command = typed;
    progress line = progress_start(argv[0], w.quiet);
    stop_install();
    pel_run *run = NULL;
    pel_error err = {0};
    const bool planned = pel_run_plan(&run, &options, progress_show, &line, &err);
    free(typed);
    progress_end(&line);
    if (!planned) {
        code = say_error(self, &err, true);
        return err.code == PEL_NO_MEMORY ? EXIT_USAGE : code;
    }
    if (only_plan)
        return show_plan(self, run, &w);
    if (!w.quiet)
        show_words(stderr, run, &w);
    return w.prepare ? prepare(self, run, &w) : work(self, run, &w, &line);
}
