/* SPDX-License-Identifier: MIT
 * `status` and `verify`: looking at a run from outside. */
#include "cluster_status.h"
#include "input.h"
#include "limits.h"
#include "notes.h"
#include "options.h"
#include "progress.h"
#include "runs.h"
#include "watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void print_status(const pel_status *s, const char *output)
{
    char a[32], b[32], c[32];
    (void)put_one_line(stdout, output);
    (void)printf(": %s%s", s->state, s->reason[0] ? ": " : "");
    (void)put_one_line(stdout, s->reason);
    (void)printf("\n  input     ");
    (void)put_one_line(stdout, s->input);
    (void)printf(", filter %s\n", s->filter);
    if (s->output[0] && strcmp(s->output, output) != 0) { // NOLINT(clang-analyzer-core.NonNullParamChecker): an operand that must be there
        (void)printf("  output    ");
        (void)put_one_line(stdout, s->output);
        (void)putchar('\n');
    }
    if (strcmp(s->state, "output gone") == 0)
        (void)printf("            is not there: moved or deleted; move it back beside the folder of its state, or begin anew with --fresh\n");
    (void)printf("  blocks    %s of %s done, %s failed\n", text_count(a, sizeof a, s->blocks_done),
                 text_count(b, sizeof b, s->blocks_total), text_count(c, sizeof c, s->blocks_failed));
    if (s->pyramid_total > 0)
        (void)printf("  pyramid   %s of %s jobs done\n", text_count(a, sizeof a, s->pyramid_done),
                     text_count(b, sizeof b, s->pyramid_total));
    (void)printf("  written   %s, %s voxels clipped\n", text_bytes(a, sizeof a, (double)s->bytes_written),
                 text_count(b, sizeof b, s->clipped));
    (void)printf("  memory    peak %s, promised %s", text_bytes(a, sizeof a, (double)s->memory_peak), text_bytes(b, sizeof b, (double)s->memory_promised));
    if (s->memory_limit > 0)
        (void)printf(", allowed %s%s%s", text_bytes(a, sizeof a, (double)s->memory_limit), s->memory_by[0] ? ": " : "", s->memory_by);
    (void)putchar('\n');
    if (s->worker[0])
        (void)printf("  worker    %s\n", s->worker);
}

static json_object *status_json(const pel_status *s)
{
    json_object *o = json_object_new_object();
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {
        {"blocks_done", s->blocks_done}, {"blocks_total", s->blocks_total}, {"failed", s->blocks_failed},
        {"pyramid_done", s->pyramid_done}, {"pyramid_total", s->pyramid_total}, {"voxels", s->voxels}, {"clipped", s->clipped},
        {"blocks_damaged", s->blocks_damaged},
        {"bytes_written", s->bytes_written}, {"memory_promised", s->memory_promised}, {"memory_peak", s->memory_peak},
        {"memory_limit", s->memory_limit},
    };
    json_object_object_add(o, "state", json_object_new_string(s->state));
    json_object_object_add(o, "input", json_object_new_string(s->input));
    json_object_object_add(o, "output", json_object_new_string(s->output));
    json_object_object_add(o, "filter", json_object_new_string(s->filter));
    for (int i = 0; i < COUNT(integers); i++)
        json_object_object_add(o, integers[i].name, json_object_new_int64(integers[i].value));
    json_object_object_add(o, "memory_by", json_object_new_string(s->memory_by));
    json_object_object_add(o, "work_seconds", json_number(s->seconds));
    json_object_object_add(o, "worker", json_object_new_string(s->worker));
    json_object_object_add(o, "reason", json_object_new_string(s->reason));
    json_object_object_add(o, "run", json_object_new_string(s->run));
    return o;
}

int verb_status(const verb *self, int argc, char **argv)
{
    const char *output = NULL;
    bool json = false, follow = false, failures = false;
    int64_t block = -1;
    const operand operands[] = {{"OUT", "the output of a run", &output, false}};
    const option options[] = {{OPTION_INTEGER, "block", "N", "every try at this block: host, seconds, peak memory, reason", &block, 0, 1e15},
                              {OPTION_FLAG, "failures", NULL, "every failure of every block, in the order of time", &failures, 0, 0},
                              {OPTION_FLAG, "watch", NULL, "again every two seconds until nobody works on it: progress, workers, memory, failures, the slowest block", &follow, 0, 0},
                              {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &json, 0, 0}};
    const command c = {.verb = self, .text = "Works from any machine that sees the folder; exit code 0 when done, 1 otherwise.",
                       .operands = operands, .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    if (!command_parse(&c, argc, argv, &code))
        return code;
    pel_error err = {0};
    pel_status s;
    if (failures || block >= 0)
        return cluster_history(self, output, failures ? -1 : block, json);
    if (follow && !json && !watch_run(output, &err))
        return say_error(self, &err, true);
    for (;;) {
        if (!pel_run_status(&s, output, &err))
            return say_error(self, &err, true);
        const bool managed = (s.silent || !s.reason[0]) && cluster_is_alive(output);
        if (managed) {
            (void)snprintf(s.state, sizeof s.state, "running");
            s.reason[0] = '\0';
        } else {
            cluster_settle_reason(&s, output);
        }
        if (json) {
            json_object *const o = status_json(&s);
            json_object_object_add(o, "notes", run_notes_json(output));
            cluster_status_json(o, output);
            json_print(o);
        } else {
            print_status(&s, output);
            print_run_notes(stdout, output, "  note      ", true);
            cluster_status_print(output);
        }
        if (!follow || (!s.worker[0] && !managed))
            break;
        (void)nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    }
    if (!json && s.blocks_failed > 0)
        print_failures(stdout, output, 1000);
    return strcmp(s.state, "done") == 0 ? EXIT_DONE : EXIT_FAILED;
}

static json_object *level_list(const int64_t *numbers, int32_t levels)
{
    json_object *o = json_object_new_array();
    for (int32_t k = 0; k < levels; k++)
        json_object_array_add(o, json_object_new_int64(numbers[k]));
    return o;
}

static void print_levels(const pel_verify_result *r)
{
    for (int32_t k = 1; k < r->levels; k++)
        (void)printf("level %-2d %" PRId64 " windows recomputed from level %d, %" PRId64 " voxels differ\n", (int)k, r->level_windows[k],
                     (int)k - 1, r->level_different[k]);
}

static void print_audit(const pel_verify_result *r)
{
    (void)printf("audit:   %" PRId64 " files and %" PRId64 " documents, %" PRId64 " missing, %" PRId64 " damaged\n", r->files, r->documents, r->missing,
                 r->damaged);
    if (r->unlisted)
        (void)printf("strays:  not looked for: the server does not list\n");
    else if (r->strays > 0)
        (void)printf("strays:  %" PRId64 " files that do not belong to this run\n", r->strays);
}

static void print_verified_json(const pel_verify_result *r)
{
    json_object *o = json_object_new_object();
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {{"files", r->files}, {"missing", r->missing}, {"damaged", r->damaged}, {"windows", r->windows},
                    {"voxels", r->voxels}, {"different", r->different}, {"documents", r->documents}, {"strays", r->strays}};
    for (int i = 0; i < COUNT(integers); i++)
        json_object_object_add(o, integers[i].name, json_object_new_int64(integers[i].value));
    json_object_object_add(o, "unlisted", json_object_new_boolean(r->unlisted));
    json_object_object_add(o, "level_windows", level_list(r->level_windows, r->levels));
    json_object_object_add(o, "level_different", level_list(r->level_different, r->levels));
    json_object_object_add(o, "not_recomputed", json_object_new_string(r->no_windows));
    json_object_object_add(o, "first", json_object_new_string(r->first));
    json_print(o);
}

static void print_verified(const pel_verify_result *r)
{
    print_audit(r);
    (void)printf("seams:   %" PRId64 " windows, %" PRId64 " voxels recomputed, %" PRId64 " differ\n", r->windows, r->voxels, r->level_different[0]);
    if (r->no_windows[0]) {
        (void)printf("         not recomputed from the input: ");
        (void)put_one_line(stdout, r->no_windows);
        (void)putchar('\n');
    }
    print_levels(r);
    if (r->first[0]) {
        (void)printf("first:   ");
        (void)put_one_line(stdout, r->first);
        (void)putchar('\n');
    }
}

int verb_verify(const verb *self, int argc, char **argv)
{
    const char *output = NULL, *input = NULL;
    bool json = false, quiet = false;
    int64_t windows = 64, seed = 0, threads = 0;
    const operand operands[] = {{"OUT", "the output of a finished run", &output, false}};
    const option options[] = {
        {OPTION_INTEGER, "windows", "N", "windows to recompute, most of them across block faces (default 64); a quarter as many on each upper level", &windows, 0, 1e9},
        {OPTION_TEXT, "input", "PATH", "where the input is now, if it was moved; without it files are audited all the same", &input, 0, 0},
        {OPTION_INTEGER, "seed", "N", "the same windows each time (default: others each time)", &seed, 0, 1e15},
        {OPTION_INTEGER, "threads", "N", THREADS_HELP, &threads, 1, 4096},
        {OPTION_FLAG, "quiet", NULL, "no progress", &quiet, 0, 0},
        {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &json, 0, 0},
    };
    const command c = {.verb = self,
                       .text = "Audits every file against the ledger, then recomputes windows of the output straight from the\n"
                               "input, and of each upper level from the level below, and compares the bits. Exit code 0: no\n"
                               "hole, no damage, no seam.",
                       .operands = operands, .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    if (!command_parse(&c, argc, argv, &code))
        return code;
    pel_error err = {0};
    pel_run *run = NULL;
    const pel_remote remote = remote_from_environment();
    pel_verify_result r = {0};
    progress line = progress_start(self->name, quiet);
    stop_install();
    const pel_limits limits = limits_here();
    const pel_run_options how = {.input = input, .threads = (int32_t)threads, .limits = &limits, .open.remote = &remote};
    const bool ok = pel_run_open_to_verify(&run, output, &how, &err) &&
                    pel_run_verify(&r, run, windows, (uint64_t)seed, progress_show, &line, &err);
    progress_end(&line);
    pel_run_destroy(run);
    if (!ok)
        return say_error(self, &err, true);
    if (json)
        print_verified_json(&r);
    else
        print_verified(&r);
    print_run_notes(stderr, output, NOTE_LABEL, false);
    return r.missing + r.damaged + r.different + r.strays > 0 ? EXIT_FAILED : EXIT_DONE;
}
