/* SPDX-License-Identifier: MIT
 * ImageJ's and Fiji's hyperstacks: lines "key=value" in the first description. Above 4 GiB one directory stands for all planes. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"
#include "core/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

static bool detect(const pel__tiff *t, const pel__tiff_head *head) { return head->description && strncmp(head->description, "ImageJ=", 7) == 0; }

static bool word(const pel__tiff_head *head, const char *key, char *out, size_t size) { return pel__tiff_word(head->description, key, "\r\n", out, size); }
static double number(const pel__tiff_head *head, const char *key, double fallback) { return pel__tiff_word_number(head->description, key, "\r\n", fallback); }

static int64_t count(const pel__tiff_head *head, const char *key)
{
    const double v = number(head, key, 1.0);
    return v >= 1.0 && v <= 1e9 ? (int64_t)v : 1;
}

/* An interval that is less than 0 is one that was counted backwards. */
static double interval(const pel__tiff_head *head)
{
    char unit[64];
    const double seconds = word(head, "tunit", unit, sizeof unit) ? pel__tiff_seconds(unit) : 1.0;
    const double every = fabs(number(head, "finterval", 0.0)), fps = number(head, "fps", 0.0);
    return every > 0.0 ? every * seconds : fps > 0.0 ? 1.0 / fps : 0.0;
}

/* `unit` is that of x, and of y and z where they have none of their own. A spacing of 1 is not written. */
static void take_scale(pel_image *im, const pel__tiff_head *head)
{
    char text[64];
    double um[3] = {0.0}; /* x, y, z */
    const bool said = word(head, "unit", text, sizeof text);
    um[0] = said ? pel__tiff_micrometres(text) : 0.0;
    const double spacing = number(head, "spacing", said && um[0] > 0.0 && im->shape[PEL_Z] > 1 ? 1.0 : 0.0);
    if (um[0] == 0.0 && head->resolution_unit == 3)
        um[0] = 1e4;
    um[1] = word(head, "yunit", text, sizeof text) ? pel__tiff_micrometres(text) : um[0];
    um[2] = word(head, "zunit", text, sizeof text) ? pel__tiff_micrometres(text) : um[0];
    pel__tiff_take_resolution(im, head, um[0], um[1]);
    im->pixel_size[PEL_Z] = pel__converted(fabs(spacing), um[2]);
    im->pixel_size[PEL_T] = im->shape[PEL_T] < 2 ? 0.0 : interval(head);
}

/* Sizes t, c, z. False where the words contradict each other: then all is along z. */
static bool take_sizes(const pel__tiff_head *head, const pel__tiff_geometry *g, int64_t size[3], int64_t *images)
{
    int64_t named = 0;
    *images = count(head, "images");
    size[0] = count(head, "frames");
    size[1] = count(head, "channels");
    size[2] = count(head, "slices");
    if (g->samples > 1 && size[1] == g->samples && size[0] * size[2] == *images)
        size[1] = 1; /* some writers count the colours of a pixel */
    if (pel__product(size, 3, &named) && named == *images)
        return true;
    const bool said = named != 1;
    size[0] = size[1] = 1;
    size[2] = *images;
    return !said;
}

static const char *order(const pel__tiff_head *head)
{
    static const char *const known[] = {"czt", "ctz", "zct", "ztc", "tcz", "tzc"};
    char text[16];
    if (word(head, "order", text, sizeof text))
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if (strcasecmp(text, known[i]) == 0)
                return known[i];
    return known[0];
}

static void take_window(pel_image *im, const pel__tiff_head *head)
{
    if (im->shape[PEL_C] != 1)
        return;
    pel__tiff_channel(im, 0)->window_start = number(head, "min", 0.0);
    pel__tiff_channel(im, 0)->window_end = number(head, "max", 0.0);
}

/* All planes behind the first directory, or a directory each; *n = 0 where ImageJ would not write such pages. */
static bool find_pages(pel__tiff *t, const pel__tiff_head *head, int64_t images, int32_t **pages, int64_t *n, pel_error *err)
{
    const pel__tiff_geometry *g = &t->set.geometries[t->set.pages[0].geometry];
    if (t->set.page_count == 1 && images > 1 && pel__tiff_plain(g) && head->first_strip > 0 && !g->planar)
        return pel__tiff_run(t, 0, head->first_strip, images, pages, n, err);
    if (!pel__tiff_main_pages(t, pages, n, err))
        return false;
    *n = *n == t->set.page_count ? *n : 0;
    return true;
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    const pel__tiff_geometry g = t->set.geometries[t->set.pages[0].geometry];
    int64_t images = 0;
    int32_t *pages = NULL;
    pel__tiff_stack s = {.order = order(head)};
    const bool agree = take_sizes(head, &g, s.size, &images);
    bool ok = find_pages(t, head, images, &pages, &s.count, err);
    s.pages = pages;
    ok = ok && (s.count == 0 || pel__tiff_add_stack(t, &s, err));
    free(pages);
    if (!ok || t->base.image_count == 0)
        return ok;
    take_scale(&t->base.images[0], head);
    take_window(&t->base.images[0], head);
    if (!agree)
        pel__tiff_note(t, 0, PEL__NOTE_AXES, images, "The ImageJ words channels, slices and frames are not images=%" PRId64 "; the pages are taken along z.", images);
    return true;
}

const pel__tiff_dialect pel__tiff_imagej = {.name = "ImageJ", .detect = detect, .describe = describe};
