/* SPDX-License-Identifier: MIT
 * What made the result, for a paper or a ticket: command, version, settings, noise model, the images; links to the files
 * that say it all. */
#include "page.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MOST_SETTINGS 64
#define MOST_CHANNELS 48

static json_object *member(const json_object *o, const char *name, json_type type)
{
    json_object *v = NULL;
    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, type) ? v : NULL;
}

static double number(const json_object *o, const char *name)
{
    json_object *v = NULL;
    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v) ? json_object_get_double(v) : 0;
}

static void put_row(FILE *page, const char *name, const char *value)
{
    put(page, "<tr><td class=\"k\">");
    put_text(page, name, 100);
    put(page, "</td><td>");
    put_text(page, value && value[0] ? value : "–", 400);
    put(page, "</td></tr>\n");
}

static void put_table(FILE *page, const facts *f)
{
    char text[160];
    int left = MOST_SETTINGS;
    put(page, "<div class=\"scroll\"><table>\n");
    put_row(page, "input", f->status.input);
    put_row(page, "program", facts_text(f, NULL, "program"));
    json_object *settings = member(f->plan, "settings", json_type_object);
    if (settings) {
        json_object_object_foreach(settings, name, value)
        {
            if (strcmp(name, "noise") != 0 && left-- > 0) /* stands below, channel by channel */
                put_row(page, strcmp(name, "input") == 0 ? "input file" : name, json_object_get_string(value));
        }
    }
    if (f->image_count > 0) {
        const fact_image *m = &f->images[0];
        const char *more = f->image_count > 1 ? " (the first)" : "";
        (void)snprintf(text, sizeof text, "t %" PRId64 ", c %" PRId64 ", z %" PRId64 ", y %" PRId64 ", x %" PRId64 "%s", m->shape[0], m->shape[1],
                       m->shape[2], m->shape[3], m->shape[4], more);
        put_row(page, "image", text);
        (void)snprintf(text, sizeof text, "t %" PRId64 ", c %" PRId64 ", z %" PRId64 ", y %" PRId64 ", x %" PRId64 "; %" PRId32 " resolution levels",
                       m->block[0], m->block[1], m->block[2], m->block[3], m->block[4], m->levels);
        put_row(page, "block", text);
    }
    put(page, "</table></div>\n");
}

static void put_noise_row(FILE *page, const json_object *o, size_t image, size_t channel, bool many)
{
    const double gain = number(o, "gain"), offset = number(o, "offset"), r2 = number(o, "r2");
    const json_object *remark = member(o, "remark", json_type_string);
    put(page, "<tr><td class=\"k\">");
    if (many)
        put(page, "image %zu, ", image);
    put(page, "channel %zu</td><td>", channel);
    if (gain > 0)
        put(page, "variance = %.5g × mean %s %.5g", gain, offset < 0 ? "−" : "+", fabs(offset));
    else
        put(page, "variance = %.5g everywhere", offset);
    put(page, "</td><td>");
    if (number(o, "pairs") > 0)
        put(page, "<span class=\"%s\">r² %.3f</span>, gain ± %.2g, %.0f pairs", r2 >= 0.9 ? "good" : "bad", r2, number(o, "gain_error"),
            number(o, "pairs"));
    else
        put(page, "given");
    put(page, "</td><td>");
    put_text(page, remark ? json_object_get_string((json_object *)(uintptr_t)remark) : "", 160);
    put(page, "</td></tr>\n");
}

static void put_noise(FILE *page, const facts *f)
{
    json_object *images = member(f->plan, "noise", json_type_array);
    const size_t n = images ? json_object_array_length(images) : 0;
    int left = MOST_CHANNELS;
    if (n == 0)
        return;
    put(page, "<h3>Noise model <small>one for the whole data set, a channel</small></h3>\n<div class=\"scroll\"><table>\n");
    for (size_t i = 0; i < n; i++) {
        json_object *channels = json_object_array_get_idx(images, i);
        for (size_t c = 0; json_object_is_type(channels, json_type_array) && c < json_object_array_length(channels); c++)
            if (left-- > 0)
                put_noise_row(page, json_object_array_get_idx(channels, c), i, c, n > 1);
    }
    put(page, "</table></div>\n");
    if (left < 0)
        put(page, "<p class=\"key\">the first %d; plan.json has all</p>\n", MOST_CHANNELS);
}

static void put_links(FILE *page, const facts *f, const page_options *o)
{
    if (o->beside) {
        put(page, "<p><a href=\"plan.json\">plan.json</a> · <a href=\"status.json\">status.json</a> · <a href=\"log/\">log</a> · "
                  "<a href=\"ledger/\">ledger</a> · <a href=\"workers/\">workers</a></p>\n");
        return;
    }
    put(page, "<p>Plan, ledger and log: <code>");
    put_text(page, f->folder, 1000);
    put(page, "</code></p>\n");
}

void put_settings(FILE *page, const facts *f, const page_options *o)
{
    const char *command = facts_text(f, "request", "command");
    put(page, "<section>\n<h2>How it was made <small>for a paper or a ticket</small></h2>\n");
    if (command[0]) {
        put(page, "<pre>");
        put_text(page, command, 4000);
        put(page, "</pre>\n");
    }
    put_table(page, f);
    put_noise(page, f);
    put_links(page, f, o);
    put(page, "</section>\n");
}
