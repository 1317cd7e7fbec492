/* SPDX-License-Identifier: MIT
 * ScanImage: lines "SI.name = value" of Matlab in the tag Software (since 2016), before that in the description. Channels alternate
 * from page to page. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"
#include "core/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_TEXT (1 << 20)
#define MOST_NUMBERS 64
#define ENDS "\r\n"

static char *words_of(const pel__tiff_head *head)
{
    char *text = NULL;
    size_t n = 0;
    if (pel__tiff_tag_text(&head->dir, PEL__TAG_SOFTWARE, MOST_TEXT, &text, &n, NULL) && text && strncmp(text, "SI.", 3) == 0)
        return text;
    free(text);
    const char *d = head->description;
    return d && head->description_bytes <= MOST_TEXT && (strncmp(d, "state.", 6) == 0 || strstr(d, "scanimage.SI")) ? strdup(d) : NULL;
}

static bool detect(const pel__tiff *t, const pel__tiff_head *head)
{
    char *text = words_of(head);
    free(text);
    return text != NULL;
}

/* The value under the first of these names; NULL ends them. */
static bool value(const char *text, const char *const *names, char *out, size_t size)
{
    for (; *names; names++)
        if (pel__tiff_word(text, *names, ENDS, out, size) && out[0])
            return true;
    return false;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static double number(const char *text, const char *const *names)
{
    char v[64];
    return value(text, names, v, sizeof v) ? pel__tiff_number(v) : 0.0; /* Inf: 0 */
}

static int64_t count(const char *text, const char *const *names)
{
    const double v = number(text, names);
    return v >= 1.0 && v <= 1e9 ? (int64_t)v : 0;
}

static bool is_on(const char *text, const char *const *names)
{
    char v[16];
    return value(text, names, v, sizeof v) && (strcmp(v, "true") == 0 || strcmp(v, "1") == 0);
}

/* Numbers of "[1;2]", "[-1.5 2;3 4]" or "3". */
static int numbers(const char *text, double out[MOST_NUMBERS])
{
    int n = 0;
    for (const char *at = text; *at && n < MOST_NUMBERS; at += strcspn(at, " ;,]")) {
        at += strspn(at, " ;,[]");
        if (*at)
            out[n++] = pel__tiff_number(at);
    }
    return n;
}

static int saved_channels(const char *text, double out[MOST_NUMBERS])
{
    char list[512], name[40];
    int n = 0;
    if (value(text, NAMES("SI.hChannels.channelSave", "scanimage.SI.hChannels.channelSave", "scanimage.SI5.channelsSave", "scanimage.SI4.channelsSave"), list, sizeof list))
        n = numbers(list, out);
    for (int c = 1; strncmp(text, "state.", 6) == 0 && c <= 4; c++) {
        (void)snprintf(name, sizeof name, "state.acq.savingChannel%d", c);
        if (is_on(text, NAMES(name)))
            out[n++] = c;
    }
    if (n == 0)
        out[n++] = 1;
    return n;
}

/* Slices either in turn, all frames of one before the next, or a volume a time (fast). */
static void take_sizes(const char *text, int64_t pages, int64_t channels, pel__tiff_stack *s)
{
    char mode[16] = "";
    const int64_t planes = pel__ceil_div(pages, channels);
    const int64_t slices = count(text, NAMES("SI.hStackManager.numFramesPerVolumeWithFlyback", "SI.hFastZ.numFramesPerVolume", "SI.hStackManager.actualNumSlices",
                                             "SI.hStackManager.numSlices", "scanimage.SI5.stackNumSlices", "scanimage.SI4.stackNumSlices"));
    (void)value(text, NAMES("SI.hStackManager.stackMode"), mode, sizeof mode);
    const bool fast = is_on(text, NAMES("SI.hFastZ.enable", "scanimage.SI5.fastZEnable", "scanimage.SI4.fastZEnable")) ||
                      (strstr(mode, "fast") && is_on(text, NAMES("SI.hStackManager.enable")));
    s->size[1] = channels;
    if (fast && slices > 1) {
        s->size[2] = pel__min(slices, planes);
        s->size[0] = pel__ceil_div(planes, s->size[2]);
        s->order = "czt";
        return;
    }
    const int64_t frames = count(text, NAMES("SI.hStackManager.framesPerSlice", "scanimage.SI5.acqNumFrames", "scanimage.SI4.acqNumFrames", "state.acq.numberOfFrames"));
    const int64_t averaged = pel__max(1, count(text, NAMES("SI.hScan2D.logAverageFactor")));
    s->size[0] = frames ? pel__min(planes, pel__max(1, frames / averaged)) : planes;
    s->size[2] = pel__ceil_div(planes, s->size[0]);
    s->order = "ctz";
}

static void take_field(pel_image *im, const char *text)
{
    char corners[256];
    double v[MOST_NUMBERS], span[2] = {0.0};
    const int n = value(text, NAMES("SI.hRoiManager.imagingFovUm"), corners, sizeof corners) ? numbers(corners, v) : 0;
    for (int i = 2; i + 1 < n; i += 2)
        for (int k = 0; k < 2; k++)
            span[k] = fmax(span[k], fabs(v[i + k] - v[k]));
    if (im->pixel_size[PEL_X] == 0.0 && span[0] > 0.0)
        im->pixel_size[PEL_X] = span[0] / (double)im->shape[PEL_X];
    if (im->pixel_size[PEL_Y] == 0.0 && span[1] > 0.0)
        im->pixel_size[PEL_Y] = span[1] / (double)im->shape[PEL_Y];
}

/* {'GCaMP'; 'tdTomato'}: a name for each channel of the microscope, saved or not. */
static void take_names(pel_image *im, const char *text, const double *saved)
{
    char list[1024];
    if (!value(text, NAMES("SI.hChannels.channelName"), list, sizeof list) || im->samples != 1)
        return;
    int64_t number = 1;
    for (const char *at = strchr(list, '\''); at; number++) {
        const char *const end = strchr(at + 1, '\'');
        for (int64_t c = 0; end && c < im->shape[PEL_C] && c < MOST_NUMBERS; c++)
            if ((int64_t)saved[c] == number && end - at > 1) {
                char *const name = pel__tiff_channel(im, c)->name;
                (void)snprintf(name, sizeof im->channels[c].name, "%.*s", (int)pel__min(end - at - 1, 120), at + 1);
                pel__text_to_utf8(name);
            }
        at = end ? strchr(end + 1, '\'') : NULL;
    }
}

static void take_words(pel__tiff *t, const pel__tiff_head *head, const char *text, const double *saved)
{
    pel_image *const im = &t->base.images[0];
    const double rate = number(text, NAMES("SI.hRoiManager.scanVolumeRate")), period = number(text, NAMES("SI.hRoiManager.scanFramePeriod"));
    const double averaged = fmax(1.0, number(text, NAMES("SI.hScan2D.logAverageFactor")));
    const bool volumes = im->shape[PEL_Z] > 1;
    memcpy(im->acquired, head->acquired, sizeof head->acquired);
    if (head->resolution_unit == 3)
        pel__tiff_take_resolution(im, head, 1e4, 1e4);
    take_field(im, text);
    if (volumes)
        im->pixel_size[PEL_Z] = fabs(number(text, NAMES("SI.hStackManager.actualStackZStepSize", "SI.hStackManager.stackZStepSize", "scanimage.SI5.stackZStepSize",
                                                        "scanimage.SI4.stackZStepSize", "state.acq.zStepSize")));
    if (im->shape[PEL_T] > 1)
        im->pixel_size[PEL_T] = volumes && rate > 0.0 && period > 0.0 && 1.0 / rate > 1.5 * period ? 1.0 / rate : period > 0.0 ? period * averaged : 0.0;
    take_names(im, text, saved);
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    double saved[MOST_NUMBERS] = {0.0};
    int32_t *pages = NULL;
    pel__tiff_stack s = {.order = "ctz"};
    char *text = words_of(head);
    bool ok = text || pel__fail(err, PEL_NO_MEMORY, "no memory for the words of ScanImage");
    ok = ok && pel__tiff_main_pages(t, &pages, &s.count, err);
    if (ok) {
        s.pages = pages;
        take_sizes(text, s.count, saved_channels(text, saved), &s);
        ok = pel__tiff_add_stack(t, &s, err);
    }
    if (ok)
        take_words(t, head, text, saved);
    free(pages);
    free(text);
    return ok;
}

const pel__tiff_dialect pel__tiff_scanimage = {.name = "ScanImage", .detect = detect, .describe = describe};
