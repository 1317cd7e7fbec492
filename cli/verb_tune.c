/* SPDX-License-Identifier: MIT
 * `tune`: the table behind `denoise --tune auto`. */
#include "input.h"
#include "limits.h"
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static double gain_db(const pel_candidate *plain, const pel_candidate *c)
{
    return plain->risk > 0 && c->risk > 0 ? 10 * log10(plain->risk / c->risk) : 0;
}

static void print_channel(const pel_run *run, int64_t channel, const char *name)
{
    pel_candidate plain, c;
    const int32_t count = pel_run_candidate_count(run, channel);
    (void)printf("channel %" PRId64 " ", channel);
    (void)put_one_line(stdout, name);
    (void)putchar('\n');
    if (count == 0) {
        (void)printf("  too small to judge by, or neighbours share their noise: the default\n");
        return;
    }
    (void)printf("     estimated error    against default  settings beside the default\n");
    pel_run_candidate(run, channel, 0, &plain);
    for (int32_t i = 0; i < count; i++) {
        pel_run_candidate(run, channel, i, &c);
        (void)printf("  %c  %10.4g +- %-8.2g %+6.2f dB       %s\n", c.chosen ? '*' : ' ', c.risk, c.error, gain_db(&plain, &c),
                     c.settings[0] ? c.settings : "(the default)");
    }
}

static json_object *channel_json(const pel_run *run, int64_t channel)
{
    json_object *list = json_object_new_array();
    for (int32_t i = 0; i < pel_run_candidate_count(run, channel); i++) {
        pel_candidate c;
        pel_run_candidate(run, channel, i, &c);
        json_object *o = json_object_new_object();
        json_object_object_add(o, "settings", json_object_new_string(c.settings));
        json_object_object_add(o, "risk", json_number(c.risk));
        json_object_object_add(o, "error", json_number(c.error));
        json_object_object_add(o, "chosen", json_object_new_boolean(c.chosen));
        json_object_array_add(list, o);
    }
    return list;
}

int verb_tune(const verb *self, int argc, char **argv)
{
    const char *input = NULL, *noise = NULL, *quality = NULL, *joint = NULL;
    input_options in = {0};
    int64_t threads = 0;
    bool json = false, quiet = false;
    const operand operands[] = {{"IN", "CZI, TIFF or Zarr", &input, false}};
    const option options[] = {
        {OPTION_TEXT, "noise", "MODEL", "sigma | gain,offset | gain,background,readout; default: estimated", &noise, 0, 0},
        {OPTION_TEXT, "quality", "VALUE", "fast|standard|strong: the windows that bound the cost (default standard)", &quality, 0, 0},
        {OPTION_TEXT, "channels", "VALUE", "apart (default), joint: as denoise --channels; auto: whichever is better", &joint, 0, 0},
        RUN_INPUT_OPTIONS(in),
        {OPTION_INTEGER, "threads", "N", THREADS_HELP, &threads, 1, 4096},
        {OPTION_FLAG, "quiet", NULL, "no progress", &quiet, 0, 0},
        {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &json, 0, 0},
    };
    const command c = {.verb = self,
                       .text = "Tries a small grid of settings of the denoiser on a fixed sample of the image and estimates the error of each "
                               "without knowing the truth. `denoise` takes the best one (marked *) by itself, unless --tune off.",
                       .operands = operands, .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    if (!command_parse(&c, argc, argv, &code))
        return code;
    pel_error err = {0};
    pel_run *run = NULL;
    pel_setting settings[2];
    int32_t count = 0;
    if (quality)
        settings[count++] = (pel_setting){.name = "quality", .value = quality};
    if (joint)
        settings[count++] = (pel_setting){.name = "channels", .value = joint};
    const pel_remote remote = remote_from_environment();
    const pel_limits limits = limits_here();
    const pel_run_options o = {.filter = "ndsafir", .limits = &limits, .input = input, .noise = noise, .settings = settings, .setting_count = count, .tune = "auto", .threads = (int32_t)threads,
                               .open = input_how(&in, &remote)};
    progress line = progress_start(self->name, quiet);
    stop_install();
    const bool ok = pel_run_plan(&run, &o, progress_show, &line, &err);
    progress_end(&line);
    if (!ok)
        return say_error(self, &err, true);
    const pel_image *image = pel_source_image(pel_run_source(run), 0);
    json_object *channels = json_object_new_array();
    for (int64_t k = 0; k < image->shape[PEL_C]; k++) {
        json_object_array_add(channels, channel_json(run, k));
        if (!json)
            print_channel(run, k, image->channels[k].name);
    }
    if (json)
        json_print(channels);
    else
        json_object_put(channels);
    pel_run_destroy(run);
    return EXIT_DONE;
}
