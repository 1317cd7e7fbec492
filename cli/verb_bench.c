/* SPDX-License-Identifier: MIT
 * `bench`: how fast this machine denoises, preset by preset, and how long it would take for a file of yours. */
#include "input.h"
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

static const char *const presets[] = {"fast", "standard", "strong"};

static const struct {
    const char *name, *image;
} made[] = {
    {"plane 2048 x 2048", "phantom:z=1,y=2048,x=2048;noise=2,-191"},
    {"stack 64 x 512 x 512", "phantom:z=64,y=512,x=512;noise=2,-191"},
    {"stack in time 8 x 16 x 256 x 256", "phantom:t=8,z=16,y=256,x=256;noise=2,-191"},
};

typedef struct {
    int64_t memory, threads;
    const char *noise;
} words;

/* Seconds that this image would take with a preset, by a timed sample. Nothing is written: the output only names a place
 * where nothing is. */
static bool time_one(const words *w, const char *image, const char *noise, const char *preset, pel_plan_summary *out, pel_error *err)
{
    char output[64];
    pel_run *run = NULL;
    (void)snprintf(output, sizeof output, "pellucid-bench-%ld.ome.zarr", (long)getpid());
    const pel_setting setting = {"quality", preset};
    const pel_run_options o = {.filter = "ndsafir", .input = image, .output = output, .settings = &setting, .setting_count = 1,
                               .noise = noise, .memory_bytes = w->memory, .threads = (int32_t)w->threads};
    const bool ok = pel_run_plan(&run, &o, NULL, NULL, err) && pel_run_time(run, err);
    if (ok)
        pel_run_summary(run, out);
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
    return o;
}

static bool measure(const words *w, const char *name, const char *image, const char *noise, json_object *list, pel_error *err)
{
    for (int i = 0; i < COUNT(presets); i++) {
        pel_plan_summary s;
        char text[32];
        if (!time_one(w, image, noise, presets[i], &s, err))
            return false;
        if (list)
            json_object_array_add(list, result_json(name, presets[i], &s));
        else
            (void)printf("  %-34s %-10s %8.2f Mvoxel/s   %s for the whole\n", name, presets[i],
                         1e-6 * (double)s.voxels / s.seconds_estimated, text_duration(text, sizeof text, s.seconds_estimated));
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
        {OPTION_SIZE, "memory", "SIZE", "as for denoise", &w.memory, 0, 0},
        {OPTION_INTEGER, "threads", "N", "default: all processors", &w.threads, 1, 4096},
        {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &json, 0, 0},
    };
    const command c = {.verb = self, .text = "Takes well below a minute. Reading and filtering are timed on a sample, writing is not.",
                       .examples = "pellucid bench\n  pellucid bench embryo.czi --memory 16G",
                       .operands = operands, .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    if (!command_parse(&c, argc, argv, &code))
        return code;
    pel_error err = {0};
    json_object *list = json ? json_object_new_array() : NULL;
    bool ok = true;
    if (input)
        ok = measure(&w, input, input, w.noise, list, &err);
    for (int i = 0; ok && !input && i < COUNT(made); i++)
        ok = measure(&w, made[i].name, made[i].image, "2,-191", list, &err);
    if (ok && json)
        json_print(list);
    else
        json_object_put(list);
    return ok ? EXIT_DONE : say_error(self, &err, true);
}
