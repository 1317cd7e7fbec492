/* SPDX-License-Identifier: MIT
 * `work` and `block`: a share of a run that exists. Any number of these may run at once, on any number of machines that
 * see the folder; they need no manager and know nothing of each other. */
#include "input.h"
#include "jobs.h"
#include "limits.h"
#include "notes.h"
#include "options.h"
#include "progress.h"
#include "runs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct {
    const char *output, *part, *blocks;
    int64_t memory, threads;
    double seconds;
    bool quiet, report;
} words;

/* Where schedulers tell an array job which of how many it is; a count that a scheduler keeps to itself is typed: auto/N. */
static const struct {
    const char *index, *first, *last, *count;
} schedulers[] = {
    {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", NULL},
    {"SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", NULL},
    {"LSB_JOBINDEX", NULL, "LSB_JOBINDEX_END", NULL},
    {"PBS_ARRAY_INDEX", NULL, NULL, NULL},
    {"PBS_ARRAYID", NULL, NULL, NULL},
    {"AWS_BATCH_JOB_ARRAY_INDEX", NULL, NULL, "AWS_BATCH_JOB_ARRAY_SIZE"},
    {"JOB_COMPLETION_INDEX", NULL, NULL, NULL},
};

static bool number_of(const char *name, int64_t *out)
{
    const char *why = NULL, *text = name ? getenv(name) : NULL; // NOLINT(concurrency-mt-unsafe): no thread has begun
    return text && parse_integer(text, out, &why);
}

/* Fills *k (from 1) and, where it was not typed and the scheduler tells, *n. A typed count stands: then part 3 is part 3
 * too where only `--array=3` is submitted again. */
static bool part_of_scheduler(int64_t *k, int64_t *n)
{
    for (int i = 0; i < COUNT(schedulers); i++) {
        int64_t index = 0, first = 1, last = 0;
        if (!number_of(schedulers[i].index, &index))
            continue;
        const bool from_zero = strstr(schedulers[i].index, "BATCH") || strstr(schedulers[i].index, "COMPLETION");
        if (!number_of(schedulers[i].first, &first))
            first = from_zero ? 0 : 1;
        *k = index - (*n > 0 ? from_zero || first == 0 ? 0 : 1 : first) + 1;
        if (*n > 0)
            return true;
        if (number_of(schedulers[i].last, &last))
            *n = last - first + 1;
        (void)number_of(schedulers[i].count, n);
        return true;
    }
    return false;
}

/* "3/16", "auto", "auto/16". */
static bool read_part(const verb *self, const char *text, pel_share *share, int *code)
{
    const char *why = NULL;
    const char *slash = strchr(text, '/');
    const size_t n = slash ? (size_t)(slash - text) : strlen(text);
    char first[24] = "";
    bool ok = n < sizeof first && (!slash || parse_integer(slash + 1, &share->parts, &why));
    if (ok)
        memcpy(first, text, n);
    if (ok && strcmp(first, "auto") == 0) {
        if (!part_of_scheduler(&share->part, &share->parts)) {
            *code = command_wrong(self, "--part auto: found no array index of Slurm, SGE, LSF, PBS, AWS Batch or Kubernetes in the environment");
            return false;
        }
        ok = share->parts > 0;
    } else {
        ok = ok && slash && parse_integer(first, &share->part, &why) && share->parts > 0;
    }
    if (!ok)
        *code = command_wrong(self, "--part: found \"%s\", expected K/N such as 3/16, auto, or auto/N where the scheduler does not tell N", text);
    return ok;
}

/* "3,7-9" */
static bool read_blocks(const verb *self, const char *text, int64_t **out, int64_t *count, int *code)
{
    int64_t *list = NULL;
    int64_t n = 0;
    for (const char *at = text;;) {
        char *end = NULL;
        const long long first = strtoll(at, &end, 10);
        long long last = first;
        bool ok = end != at && first >= 0;
        if (ok && *end == '-') {
            at = end + 1;
            last = strtoll(at, &end, 10);
            ok = end != at && last >= first && last - first < 10000000;
        }
        int64_t *more = ok && (*end == ',' || *end == '\0') ? realloc(list, (size_t)(n + last - first + 1) * sizeof *list) : NULL;
        if (!more) {
            free(list);
            *code = command_wrong(self, "--blocks: found \"%s\", expected numbers and ranges such as 3,7-9", text);
            return false;
        }
        list = more;
        for (long long b = first; b <= last; b++)
            list[n++] = b;
        if (*end == '\0')
            break;
        at = end + 1;
    }
    *out = list;
    *count = n;
    return true;
}

/* ---- what a manager hears ------------------------------------------------------------------------------------------- */

typedef struct {
    const pel_share *share;
    json_object *failed;
} report_arg;

static void add_failure(void *arg, int64_t block, int32_t attempt, const char *host, const char *text)
{
    report_arg *r = arg;
    char number[24];
    (void)attempt;
    (void)host;
    for (int64_t i = 0; i < r->share->block_count; i++) {
        if (r->share->blocks[i] != block)
            continue;
        (void)snprintf(number, sizeof number, "%" PRId64, block);
        json_object_object_add(r->failed, number, json_object_new_string(text));
    }
}

/* One line: {"done": [numbers], "failed": {"number": "reason"}, "memory_peak": bytes}. */
static void report_share(const pel_run *run, const words *w, const pel_share *share)
{
    json_object *const o = json_object_new_object(), *const done = json_object_new_array();
    report_arg r = {share, json_object_new_object()};
    for (int64_t i = 0; i < share->block_count; i++)
        if (pel_run_block_done(run, share->blocks[i]))
            json_object_array_add(done, json_object_new_int64(share->blocks[i]));
    if ((int64_t)json_object_array_length(done) < share->block_count)
        (void)pel_run_failures(w->output, add_failure, &r, NULL);
    struct rusage self = {0}, children = {0};
    (void)getrusage(RUSAGE_SELF, &self);
    (void)getrusage(RUSAGE_CHILDREN, &children);
    json_object_object_add(o, "done", done);
    json_object_object_add(o, "failed", r.failed);
    json_object_object_add(o, "memory_peak", json_object_new_int64(((int64_t)self.ru_maxrss + children.ru_maxrss) * 1024));
    json_write(stdout, o, JSON_C_TO_STRING_PLAIN);
}

static int work_on(const verb *self, const words *w, const pel_share *share)
{
    pel_error err = {0};
    pel_run *run = NULL;
    const pel_remote remote = remote_from_environment();
    bool finished = false;
    progress line = progress_start(self->name, w->quiet);
    stop_install();
    if (!w->report) /* a manager keeps the page itself */
        line.page = (dashboard){.output = w->output, .version = PELLUCID_VERSION};
    if (share && !w->report) /* what ended it before */
        (void)pel_run_note_stop(w->output, "", NULL);
    if (share) {
        char part[64];
        (void)snprintf(part, sizeof part, "%" PRId64 "/%" PRId64, share->part, share->parts);
        job_note_attempt(w->output, part, w->blocks);
    }
    const int64_t before = w->quiet ? 0 : finished_at(w->output);
    const pel_limits limits = limits_here();
    const pel_run_options how = {.memory_bytes = w->memory, .threads = (int32_t)w->threads, .limits = &limits, .open.remote = &remote};
    if (!w->report)
        limits_warn(self, &limits, w->memory, true);
    bool ok = pel_run_open(&run, w->output, &how, &err);
    if (ok && share)
        ok = pel_run_share(run, share, &finished, progress_show, &line, &err);
    else if (ok)
        ok = finished = pel_run_work(run, progress_show, &line, &err);
    progress_end(&line);
    const bool began = run != NULL;
    if (began && w->report)
        report_share(run, w, share);
    pel_run_destroy(run);
    if (!ok && began && !w->report && (stop_asked() || share)) /* of a share the library notes nothing */
        (void)pel_run_note_stop(w->output, stop_asked() ? stop_words() : err.text, NULL);
    if (began)
        dashboard_end(&line.page);
    if (!ok) {
        const int code = say_error(self, &err, !began);
        return !began && err.code == PEL_NO_MEMORY ? EXIT_USAGE : code;
    }
    pel_status s;
    if (!w->quiet && !print_nothing_to_do(stderr, w->output, before) && pel_run_status(&s, w->output, NULL))
        (void)fprintf(stderr, finished ? "done: %" PRId64 " of %" PRId64 " blocks; every file audited\n"
                                       : "this share is done: %" PRId64 " of %" PRId64 " blocks of the run are\n",
                      s.blocks_done, s.blocks_total);
    if (finished)
        print_run_notes(stderr, w->output, NOTE_LABEL, false);
    return EXIT_DONE;
}

#define LIMITS(w)                                                                                                      \
    {OPTION_SIZE, "memory", "SIZE", MEMORY_HELP, &(w).memory, 0, 0},                                                 \
    {OPTION_INTEGER, "threads", "N", THREADS_HELP, &(w).threads, 1, 4096},                                           \
    {OPTION_NUMBER, "seconds", "S", "begin no block that would not end within S seconds from now", &(w).seconds, 0, 1e9}, \
    {OPTION_FLAG, "quiet", NULL, "no progress", &(w).quiet, 0, 0}

int verb_work(const verb *self, int argc, char **argv)
{
    words w = {0};
    const operand operands[] = {{"OUT", "the output of a run that was prepared or begun", &w.output, false}};
    const option options[] = {
        {OPTION_TEXT, "part", "K/N", "only every N-th block; auto: as the scheduler's array job says; auto/N: where it does not tell N",
         &w.part, 0, 0},
        LIMITS(w),
    };
    const command c = {.verb = self,
                       .text = "Without --part this process does all that is left. With it any number of processes share the run: the "
                               "last one to end makes the upper pyramid levels and the audit.",
                       .examples = "pellucid denoise embryo.czi embryo.ome.zarr --prepare\n"
                                   "  sbatch --array=1-16 --wrap 'pellucid work embryo.ome.zarr --part auto --memory 32G'",
                       .operands = operands, .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    pel_share share = {0};
    if (!command_parse(&c, argc, argv, &code) || (w.part && !read_part(self, w.part, &share, &code)))
        return code;
    if (!w.part && w.seconds > 0)
        share = (pel_share){.part = 1, .parts = 1};
    share.seconds = w.seconds;
    return work_on(self, &w, share.parts > 0 ? &share : NULL);
}

int verb_block(const verb *self, int argc, char **argv)
{
    words w = {0};
    bool finish = false;
    const operand operands[] = {{"OUT", "the output of a run that was prepared or begun", &w.output, false}};
    const option options[] = {
        {OPTION_TEXT, "blocks", "LIST", "numbers of blocks: 417 or 3,7-9", &w.blocks, 0, 0},
        {OPTION_FLAG, "report", NULL, "one line of JSON on standard output: which blocks are done, which failed and why", &w.report, 0, 0},
        {OPTION_FLAG, "finish", NULL, "finish the run when these were the last blocks", &finish, 0, 0},
        LIMITS(w),
    };
    const command c = {.verb = self, .text = "Blocks that are done already cost nothing.", .operands = operands,
                       .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    int64_t *list = NULL, count = 0;
    if (!command_parse(&c, argc, argv, &code))
        return code;
    if (!w.blocks)
        return command_wrong(self, "--blocks is missing: which ones?");
    if (!read_blocks(self, w.blocks, &list, &count, &code))
        return code;
    const pel_share share = {.blocks = list, .block_count = count, .seconds = w.seconds, .keep_open = !finish};
    code = work_on(self, &w, &share);
    free(list);
    return code;
}
