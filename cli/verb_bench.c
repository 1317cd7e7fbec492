/* SPDX-License-Identifier: MIT
 * `bench`: how fast this machine denoises, preset by preset, and how long it would take for a file of yours. */
#include "input.h"
#include "limits.h"
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

static const char *const presets[] = {"fast", "standard", "strong"};

#define MADE_NOISE "2,-191"

static const struct {
    const char *name, *image;
} made[] = {
    {"plane 2048 x 2048", "phantom:z=1,y=2048,x=2048;noise=" MADE_NOISE},
    {"stack 64 x 512 x 512", "phantom:z=64,y=512,x=512;noise=" MADE_NOISE},
    {"stack in time 8 x 16 x 256 x 256", "phantom:t=8,z=16,y=256,x=256;noise=" MADE_NOISE},
};

typedef struct {
    int64_t memory, threads;
    const char *noise, *tune;
    input_options in;
} words;

/* Seconds that this image would take with a preset, by a timed sample. Nothing is written: the output only names a place
 * where nothing is. Of made images only the filter counts: nobody has to make them. */
static bool time_one(words *w, const char *image, bool made_image, const char *preset, pel_plan_summary *out, pel_error *err)
{
    char output[64];
    pel_run *run = NULL;
    const pel_remote remote = remote_from_environment();
    const pel_limits limits = limits_here();
    (void)snprintf(output, sizeof output, "pellucid-bench-%ld.ome.zarr", (long)getpid());
    const pel_setting setting = {"quality", preset};
    pel_run_options o = {.filter = "ndsafir", .input = image, .output = output, .settings = &setting, .setting_count = 1, .noise = MADE_NOISE,
                         .memory_bytes = w->memory, .threads = (int32_t)w->threads, .limits = &limits};
    if (!made_image) {
        o.noise = w->noise;
        o.tune = w->tune ? w->tune : "auto";
        o.open = input_how(&w->in, &remote);
    }
    const bool ok = pel_run_plan(&run, &o, NULL, NULL, err) && pel_run_time(run, err);
    if (ok)
        pel_run_summary(run, out);
    if (ok && made_image) {
        out->seconds_estimated -= out->seconds_reading;
        out->seconds_settled = 0;
    }
    pel_run_destroy(run);
    return ok;
}

static json_object *result_json(const char *image, const char *preset, const pel_plan_summary *s)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "image", json_object_new_string(image));
    json_object_object_add(o, "quality", json_object_new_string(preset));
    json_object_object_add(o, "voxels_per_second", json_number((double)s->voxels / s->seconds_estimated));
    json_object_object_add(o, "seconds", json_number(s->seconds_estimated));
    json_object_object_add(o, "seconds_settled", json_number(s->seconds_settled));
    return o;
}

static void print_result(const char *name, const char *preset, const pel_plan_summary *s)
{
    char text[32];
    (void)printf("  %-34s %-10s %8.2f Mvoxel/s   %s for the whole", name, preset, 1e-6 * (double)s->voxels / s->seconds_estimated,
                 text_duration(text, sizeof text, s->seconds_estimated));
    if (s->seconds_settled >= 0.05)
        (void)printf(", after %s for noise and tuning", text_duration(text, sizeof text, s->seconds_settled));
    (void)putchar('\n');
    (void)fflush(stdout);
}

/* name: of a made image, or NULL. */
static bool measure(words *w, const char *name, const char *image, json_object *list, pel_error *err)
{
    for (int i = 0; i < COUNT(presets); i++) {
        pel_plan_summary s;
        if (!time_one(w, image, name != NULL, presets[i], &s, err))
            return false;
        if (list)
            json_object_array_add(list, result_json(name ? name : image, presets[i], &s));
        else
            print_result(name ? name : image, presets[i], &s);
    }
    return true;
}

int verb_bench(const verb *self, int argc, char **argv)
{
    const char *input = NULL;
    bool json = false;
    words w = {0};
    const operand operands[] = {{"IN", "an image of yours; without it made images are measured", &input, true}};
    const option options[] = {
        {OPTION_TEXT, "noise", "MODEL", "of IN: sigma | gain,offset | gain,background,readout; default: estimated", &w.noise, 0, 0},
        {OPTION_TEXT, "tune", "auto|off", "of IN, as denoise --tune: settings are chosen first, which takes time of its own", &w.tune, 0, 0},
        {OPTION_SIZE, "memory", "SIZE", "as for denoise", &w.memory, 0, 0},
        {OPTION_INTEGER, "threads", "N", THREADS_HELP, &w.threads, 1, 4096},
        RUN_INPUT_OPTIONS(w.in),
        {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &json, 0, 0},
    };
    const command c = {.verb = self, .text = "Takes about half a minute; with IN as long as tuning takes besides. Filtering, and of IN reading, are timed on a "
                               "sample of up to a block; writing, which goes on meanwhile, is not.",
                       .examples = "  pellucid bench\n  pellucid bench embryo.czi --memory 16G",
                       .operands = operands, .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    if (!command_parse(&c, argc, argv, &code))
        return code;
    pel_error err = {0};
    json_object *list = json ? json_object_new_array() : NULL;
    bool ok = true;
    if (input)
        ok = measure(&w, NULL, input, list, &err);
    for (int i = 0; ok && !input && i < COUNT(made); i++)
        ok = measure(&w, made[i].name, made[i].image, list, &err);
    if (ok && json)
        json_print(list);
    else
        json_object_put(list);
    return ok ? EXIT_DONE : say_error(self, &err, true);
}
