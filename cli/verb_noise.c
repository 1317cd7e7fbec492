/* SPDX-License-Identifier: MIT
 * pellucid noise: gain and offset of each channel, estimated from the image itself, with the goodness of the fit. */
#include "input.h"
#include "limits.h"
#include "plot.h"
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PANELS_AT_MOST 16
#define SAMPLE_BYTES ((int64_t)8 << 20) /* what the estimate of a channel holds, at most */

typedef struct job {
    const char *path, *plot;
    input_options in;
    pel_noise *drawn; /* of the first channels, for the plot */
    char (*titles)[64];
    int drawn_count;
    int64_t memory;
    bool json, quiet, overwrite;
    progress line;
    pel_error refused; /* the first one */
} job;

static json_object *noise_json(const pel_noise *n, int64_t channel)
{
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "channel", json_object_new_int64(channel));
    json_object_object_add(o, "gain", json_number(n->gain));
    json_object_object_add(o, "offset", json_number(n->offset));
    json_object_object_add(o, "gain_error", json_number(n->gain_error));
    json_object_object_add(o, "offset_error", json_number(n->offset_error));
    json_object_object_add(o, "r2", json_number(n->r2));
    json_object_object_add(o, "saturated", json_number(n->saturated));
    json_object_object_add(o, "pairs", json_object_new_int64(n->pairs));
    json_object_object_add(o, "low_frequency", json_number(n->low_frequency));
    json_object *const rho = json_object_new_array();
    for (int a = 0; a < 2; a++)
        json_object_array_add(rho, json_number(n->rho[a]));
    json_object_object_add(o, "rho", rho);
    json_object_object_add(o, "remark", n->remark[0] ? json_object_new_string(n->remark) : NULL);
    return o;
}

static void print_name(int64_t channel, const char *name)
{
    (void)printf("  channel %" PRId64 "%s", channel, name[0] ? " " : "");
    (void)put_one_line(stdout, name);
    (void)printf(": ");
}

static void print_refusal(int64_t channel, const char *name, const char *reason)
{
    print_name(channel, name);
    (void)printf("refused: ");
    (void)put_one_line(stdout, reason);
    (void)putchar('\n');
}

static void print_noise(const pel_noise *n, const char *name, int64_t channel)
{
    print_name(channel, name);
    if (n->gain == 0)
        (void)printf("Gaussian noise, sigma %.5g\n", sqrt(n->offset > 0 ? n->offset : 0));
    else
        (void)printf("variance = %.5g x mean %+.5g   (gain ± %.2g, offset ± %.2g, R² %.4f, %" PRId64 " pairs)\n", n->gain,
                     n->offset, n->gain_error, n->offset_error, n->r2, n->pairs);
    if (n->saturated > 0)
        (void)printf("    saturated: %.3g %% of the sampled pixels, left out with the blocks around them\n", 100 * n->saturated);
    if (n->remark[0])
        (void)printf("    %s: %s\n", n->low_frequency != 1 ? "note" : "doubtful", n->remark);
}

/* One channel that cannot tell leaves the others what they are worth. */
static void take_refusal(job *j, json_object *list, const char *name, int64_t channel, const pel_error *err)
{
    const char *const where = strstr(err->text, "noise of channel "), *const end = where ? strstr(where, ": ") : NULL;
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "channel", json_object_new_int64(channel));
    json_object_object_add(o, "refused", json_object_new_string(end ? end + 2 : err->text));
    json_object_array_add(list, o);
    if (!j->json)
        print_refusal(channel, name, end ? end + 2 : err->text);
    if (j->refused.code == PEL_OK)
        j->refused = *err;
}

static void keep_for_plot(job *j, const pel_noise *n, int32_t image, int64_t channel)
{
    if (!j->plot || j->drawn_count == PANELS_AT_MOST || n->pairs == 0)
        return;
    (void)snprintf(j->titles[j->drawn_count], sizeof *j->titles, n->gain > 0 ? "image %d channel %d  gain %.4g  offset %.4g" : "image %d channel %d", (int)image, (int)channel,
                   n->gain, n->offset);
    j->drawn[j->drawn_count++] = *n;
}

static pel_file_rule rule_of(const job *j)
{
    return (pel_file_rule){.kind = "png", .inputs = &j->path, .input_count = 1, .overwrite = j->overwrite};
}

static int draw(const verb *self, const job *j)
{
    plot_panel panels[PANELS_AT_MOST];
    pel_error err = {0};
    const pel_file_rule rule = rule_of(j);
    for (int i = 0; i < j->drawn_count; i++) {
        const pel_noise *n = &j->drawn[i];
        panels[i] = (plot_panel){.title = j->titles[i], .x_label = "mean, grey values", .y_label = "variance", .points = n->cloud,
                                 .count = PEL_NOISE_CLOUD, .line = n->offset != 0, .slope = n->gain, .start = n->offset};
    }
    if (j->drawn_count == 0)
        (void)set_error(&err, PEL_FORMAT, "%s: not written: no channel has pairs of mean and variance", j->plot);
    else if (plot_write(j->plot, &rule, panels, j->drawn_count, &err))
        return EXIT_DONE;
    return say_error(self, &err, false);
}

/* The text that `denoise --noise` takes. */
static void print_setting(const pel_noise *noise, int64_t count)
{
    (void)printf("  as a setting: --noise '");
    for (int64_t c = 0; c < count; c++) {
        const pel_noise *const n = &noise[c];
        if (n->gain == 0)
            (void)printf("%s%.6g", c ? ";" : "", sqrt(n->offset > 0 ? n->offset : 0));
        else
            (void)printf("%s%.6g,%.6g", c ? ";" : "", n->gain, n->offset);
        if (n->low_frequency != 1)
            (void)printf(",low=%.4g", n->low_frequency);
    }
    (void)printf("'\n");
}

#define CHANNELS_AT_MOST 64

static bool one_image(job *j, pel_source *source, int32_t image, json_object *images, pel_error *err)
{
    const pel_image *const im = pel_source_image(source, image);
    json_object *const o = json_object_new_object(), *const list = json_object_new_array();
    json_object_object_add(o, "image", json_object_new_int(image));
    json_object_object_add(o, "name", json_object_new_string(im->name));
    json_object_object_add(o, "channels", list);
    json_object_array_add(images, o);
    if (!j->json) {
        (void)printf("image %" PRId32 "%s", image, im->name[0] ? " " : "");
        (void)put_one_line(stdout, im->name);
        (void)putchar('\n');
    }
    static pel_noise values[CHANNELS_AT_MOST];
    bool complete = im->shape[PEL_C] <= CHANNELS_AT_MOST;
    for (int64_t c = 0; c < im->shape[PEL_C]; c++) {
        pel_noise n = {0};
        const bool ok = pel_noise_estimate(&n, source, image, c, progress_show, &j->line, err);
        progress_end(&j->line);
        keep_for_plot(j, &n, image, c);
        if (!ok && err->code != PEL_REFUSED)
            return false;
        if (!ok) {
            complete = false;
            take_refusal(j, list, im->channels[c].name, c, err);
            continue;
        }
        json_object_array_add(list, noise_json(&n, c));
        if (!j->json)
            print_noise(&n, im->channels[c].name, c);
        if (c < CHANNELS_AT_MOST)
            values[c] = n;
    }
    if (!j->json && complete)
        print_setting(values, im->shape[PEL_C]);
    return true;
}

static int run(const verb *self, job *j, pel_source *source)
{
    pel_error err = {0};
    int32_t image = 0, last = 0;
    input_images(source, &j->in, &image, &last);
    json_object *const document = json_object_new_object(), *const images = json_object_new_array();
    json_object_object_add(document, "path", json_object_new_string(j->path));
    json_object_object_add(document, "images", images);
    j->line = progress_start("noise", j->quiet);
    bool ok = true;
    for (; ok && image < last; image++)
        ok = one_image(j, source, image, images, &err);
    if (ok && j->json)
        json_print(document);
    else
        json_object_put(document);
    const pel_error *const why = ok ? &j->refused : &err;
    const int code = why->code == PEL_OK ? EXIT_DONE : say_error(self, why, true);
    const int drawn = j->plot && ok ? draw(self, j) : EXIT_DONE;
    return drawn == EXIT_DONE ? code : drawn;
}

static bool has_room(const verb *self, const job *j, pel_source *source, pel_error *err)
{
    const pel_limits limits = limits_here();
    const pel_scan means = {.threads = 1, .memory_bytes = j->memory, .limits = &limits};
    pel_error why = {0};
    int64_t room = 0;
    limits_warn(self, &limits, j->memory, false);
    return pel_room(&room, &source, 1, &means, SAMPLE_BYTES, &why) || set_error(err, why.code, "%s: %s", j->path, why.text);
}

int verb_noise(const verb *self, int argc, char **argv)
{
    job j = {.in = {.image = -1}};
    const operand operands[] = {{"IN", "a CZI or TIFF file, or an OME-Zarr folder", &j.path, false}};
    const option options[] = {
        {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &j.json, 0, 0},
        INPUT_OPTIONS(j.in),
        SELECT_OPTIONS((j.in).select),
        {OPTION_TEXT, "plot", "OUT.png", "draw the pairs of mean and variance and the line, a panel a channel (at most 16)", &j.plot, 0, 0},
        OVERWRITE_OPTION(j.overwrite),
        MEMORY_OPTION(j.memory),
        {OPTION_FLAG, "quiet", NULL, "no progress line", &j.quiet, 0, 0},
    };
    const command c = {.verb = self, .operands = operands, .operand_count = COUNT(operands), .options = options,
                       .option_count = COUNT(options),
                       .text = "The model is variance = gain x mean + offset in grey values, with offset = readout² - gain x "
                               "background. It is fitted to pairs of local mean and variance from a fixed sample of the whole "
                               "image, the one that denoise takes when no --noise is given. R² says how well the line fits. "
                               "Where neighbouring pixels share their noise (images that were demosaiced, resampled, filtered or compressed) "
                               "it also tells how much more of it averages keep, and `low=` in the setting hands that on. "
                               "Refused, with the reason, where the data cannot tell: saturated, or no plane of 20 x 20 pixels; the other channels are told all the same.",
                       .examples = "  pellucid noise embryo.czi --plot cloud.png"};
    int code = EXIT_DONE;
    pel_source *source = NULL;
    pel_error err = {0};
    if (!command_parse(&c, argc, argv, &code))
        return code;
    const pel_file_rule rule = rule_of(&j);
    if (j.plot && !pel_file_check(j.plot, &rule, &err))
        return say_error(self, &err, false);
    if (!input_open(self, &source, j.path, &j.in, 1, &code))
        return code;
    const pel_remote remote = remote_from_environment();
    if (j.plot && !pel_source_apart(source, j.plot, &remote, &err)) {
        pel_source_destroy(source);
        return say_error(self, &err, false);
    }
    if (!has_room(self, &j, source, &err)) {
        pel_source_destroy(source);
        return say_error(self, &err, true);
    }
    stop_install();
    j.drawn = calloc(PANELS_AT_MOST, sizeof *j.drawn);
    j.titles = calloc(PANELS_AT_MOST, sizeof *j.titles);
    if (j.drawn && j.titles)
        code = run(self, &j, source);
    else
        code = EXIT_FAILED;
    free(j.drawn);
    free(j.titles);
    input_close(self, source);
    return code;
}
