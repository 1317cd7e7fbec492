/* SPDX-License-Identifier: MIT
 * What made the result, for a paper or a ticket: command, version, settings, noise model, the images; links to the files
 * that say it all. */
#include "page.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MOST_SETTINGS 64
#define MOST_CHANNELS 48

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
    json_object *settings = facts_member(f->plan, "settings", json_type_object);
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
    const json_object *remark = facts_member(o, "remark", json_type_string);
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
    if (number(o, "saturated") > 0)
        put(page, "%.3g %% saturated; ", 100 * number(o, "saturated"));
    put_text(page, remark ? json_object_get_string((json_object *)(uintptr_t)remark) : "", 160);
    put(page, "</td></tr>\n");
}

enum { CLOUD_WIDTH = 420, CLOUD_HEIGHT = 230, CLOUD_LEFT = 70, CLOUD_TOP = 20, CLOUD_BOTTOM = 40 };

/* Pairs of mean and variance and the line, as a drawing. */
static void put_cloud(FILE *page, const json_object *o, size_t channel)
{
    const json_object *cloud = facts_member(o, "cloud", json_type_array);
    const size_t n = cloud ? json_object_array_length(cloud) / 2 : 0;
    const double gain = number(o, "gain"), offset = number(o, "offset");
    if (n < 2)
        return;
    const double x0 = json_object_get_double(json_object_array_get_idx(cloud, 0)), x1 = json_object_get_double(json_object_array_get_idx(cloud, 2 * n - 2));
    const double wide = x1 > x0 ? x1 - x0 : 1, top = 2 * fmax(fmax(gain * x1 + offset, offset), 1e-30);
    const double sx = (CLOUD_WIDTH - CLOUD_LEFT - 10) / wide, sy = (CLOUD_HEIGHT - CLOUD_TOP - CLOUD_BOTTOM) / top;
    const int floor_y = CLOUD_HEIGHT - CLOUD_BOTTOM;
    put(page, "<svg width=\"%d\" height=\"%d\" role=\"img\" font-size=\"11\" fill=\"currentColor\"><title>noise of channel %zu</title>\n", CLOUD_WIDTH, CLOUD_HEIGHT, channel);
    put(page, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"currentColor\"/>\n", CLOUD_LEFT, CLOUD_TOP, floor_y, CLOUD_WIDTH - 10);
    for (int k = 0; k < 3; k++) {
        put(page, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"%s\">%.4g</text>", CLOUD_LEFT + 0.5 * k * wide * sx, floor_y + 15, k ? k == 1 ? "middle" : "end" : "start",
            x0 + 0.5 * k * wide);
        put(page, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%.3g</text>\n", CLOUD_LEFT - 5, floor_y - 0.5 * k * top * sy + 4, 0.5 * k * top);
    }
    put(page, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">channel %zu: mean, grey values</text><text x=\"4\" y=\"12\">variance</text>\n",
        (CLOUD_LEFT + CLOUD_WIDTH) / 2, floor_y + 32, channel);
    for (size_t i = 0; i < n; i++) {
        const double x = json_object_get_double(json_object_array_get_idx(cloud, 2 * i)), y = json_object_get_double(json_object_array_get_idx(cloud, 2 * i + 1));
        if (x >= x0 && x <= x1)
            put(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.5\" opacity=\".5\"/>", CLOUD_LEFT + (x - x0) * sx, floor_y - fmin(fmax(y, 0), top) * sy);
    }
    put(page, "\n<path d=\"M%d %.1fL%.1f %.1f\" stroke=\"#c03020\" stroke-width=\"2\"/></svg>\n", CLOUD_LEFT, floor_y - fmax(0, gain * x0 + offset) * sy,
        CLOUD_LEFT + wide * sx, floor_y - fmax(0, gain * x1 + offset) * sy);
}

#define MOST_CLOUDS 8

static void put_noise(FILE *page, const facts *f)
{
    json_object *images = facts_member(f->plan, "noise", json_type_array);
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
    json_object *first = json_object_array_get_idx(images, 0);
    for (size_t c = 0; json_object_is_type(first, json_type_array) && c < json_object_array_length(first) && c < MOST_CLOUDS; c++)
        put_cloud(page, json_object_array_get_idx(first, c), c);
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
