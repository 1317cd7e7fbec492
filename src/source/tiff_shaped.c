/* SPDX-License-Identifier: MIT
 * tifffile's own description: JSON with "shape" and, where its user said so, "axes" of all that follows, up to the next such
 * description. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"
#include "core/text.h"
#include "zarr/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_AXES 16
#define MOST_SERIES 65536
#define MOST_TEXT (1 << 20)

typedef struct series {
    json_object *json;
    int64_t shape[MOST_AXES];
    int32_t ndim;
    char axes[MOST_AXES + 1]; /* as long as the shape; all '?' where they are not said */
    bool said;
    int64_t size[3];          /* t, c, z, of pages */
    char order[4];            /* from the fastest */
    int64_t planes;
} series;

static bool begins(const char *text) { return text && strncmp(text, "{\"shape\": [", 11) == 0; }

static bool detect(const pel__tiff *t, const pel__tiff_head *head) { return begins(head->description); }

static bool parse(series *s, const char *text)
{
    *s = (series){0};
    if (strlen(text) > MOST_TEXT || !pel__json_parse(&s->json, text, strlen(text), "description", NULL))
        return false;
    json_object *const list = pel__json_get(s->json, "shape", json_type_array);
    if (!list || !pel__json_int_list(list, 1, s->shape, MOST_AXES, &s->ndim, NULL) || s->ndim < 1)
        return false;
    const char *axes = pel__text_or(pel__json_string(s->json, "axes"), "");
    s->said = strlen(axes) == (size_t)s->ndim;
    memset(s->axes, '?', (size_t)s->ndim);
    if (s->said)
        memcpy(s->axes, axes, (size_t)s->ndim);
    return true;
}

/* The axes inside a page: rows, columns, and samples before or behind them. What is left of the shape runs over pages. */
static bool strip_page(series *s, const pel__tiff_geometry *g)
{
    static const struct { const char *letters; bool samples; } inside[] = {{"YXS", true}, {"SYX", true}, {"YX", false}};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        const char *letters = inside[i].letters;
        const int32_t n = (int32_t)strlen(letters);
        bool fits = s->ndim >= n && (inside[i].samples == (g->samples > 1));
        for (int32_t k = 0; fits && k < n; k++) {
            const int64_t want = letters[k] == 'Y' ? g->height : letters[k] == 'X' ? g->width : g->samples;
            fits = s->shape[s->ndim - n + k] == want;
        }
        if (fits) {
            s->ndim -= n;
            return pel__product(s->shape, s->ndim, &s->planes);
        }
    }
    return false;
}

/* Each letter of t, c, z once; others of length 1 mean nothing. One that we do not know is the axis of pages, if that is free. */
static bool take_axes(series *s, char page_axis)
{
    static const char letters[] = "TCZ";
    int n = 0;
    bool used[3] = {false};
    s->size[0] = s->size[1] = s->size[2] = 1;
    for (int32_t i = s->ndim - 1; i >= 0; i--) {
        const char *at = s->axes[i] ? strchr(letters, s->axes[i]) : NULL;
        if (!at && s->shape[i] > 1)
            at = strchr(letters, page_axis - 'a' + 'A');
        if (!at)
            continue;
        const int k = (int)(at - letters);
        if (used[k])
            return false;
        used[k] = true;
        s->size[k] = s->shape[i];
        s->order[n++] = "tcz"[k];
    }
    for (int k = 0; k < 3; k++)
        if (!used[k])
            s->order[n++] = "tcz"[k];
    return true;
}

/* The words of ImageJ that users hand to tifffile for files of its own kind. */
static double number(const series *s, const char *key)
{
    json_object *v = NULL;
    const bool found = json_object_object_get_ex(s->json, key, &v) && (json_object_is_type(v, json_type_double) || json_object_is_type(v, json_type_int));
    const double d = found ? json_object_get_double(v) : 0.0;
    return isfinite(d) ? fabs(d) : 0.0;
}

static void take_words(pel_image *im, const series *s, const pel__tiff_head *head)
{
    const char *name = pel__json_string(s->json, "name"), *unit = pel__json_string(s->json, "unit");
    const double um = unit ? pel__tiff_micrometres(unit) : head->resolution_unit == 3 ? 1e4 : 0.0;
    memcpy(im->acquired, head->acquired, sizeof head->acquired);
    pel__tiff_take_resolution(im, head, um, um);
    im->pixel_size[PEL_Z] = unit ? number(s, "spacing") * um : 0.0;
    im->pixel_size[PEL_T] = im->shape[PEL_T] > 1 ? number(s, "finterval") : 0.0;
    if (name && name[0]) {
        (void)snprintf(im->name, sizeof im->name, "%s", name);
        pel__text_to_utf8(im->name);
    }
}

static void note_axes(pel__tiff *t, const series *s, char page_axis)
{
    char text[160] = "";
    size_t used = 0;
    int32_t long_axes = 0;
    for (int32_t i = 0; i < s->ndim && used < sizeof text - 24; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRId64, i ? " x " : "", s->shape[i]);
        long_axes += s->shape[i] > 1;
    }
    const int32_t image = t->base.image_count - 1;
    if (!s->said && long_axes > 1)
        pel__tiff_note(t, image, PEL__NOTE_AXES, s->planes, "The file says %s pages and not which axes these are; they are taken along %c. Say them in this order: "
                       "--input-axes t=4,c=3,z=5.", text, page_axis);
    for (int32_t i = 0; s->said && i < s->ndim; i++)
        if (s->shape[i] > 1 && !strchr("TCZ", s->axes[i]))
            pel__tiff_note(t, image, PEL__NOTE_AXES, s->shape[i], "Axis %c of length %" PRId64 " is taken for %c.", s->axes[i], s->shape[i], page_axis);
}

/* A directory each, or one with all planes behind it. */
static bool find_pages(pel__tiff *t, const series *s, int64_t first, int32_t **pages, int64_t *n, pel_error *err)
{
    pel__tiff_directory d = {0};
    json_object *truncated = NULL;
    int64_t at = 0;
    const bool run = s->planes > 1 && json_object_object_get_ex(s->json, "truncated", &truncated) && json_object_get_boolean(truncated);
    if (!run)
        return pel__tiff_pages(t, first, s->planes, pages, n, err);
    const bool ok = pel__tiff_page_directory(&t->set, first, &d, err) && pel__tiff_tag_number(&d, PEL__TAG_STRIP_OFFSETS, 0, &at, err) &&
                    pel__tiff_run(t, (int32_t)first, at, s->planes, pages, n, err);
    pel__tiff_directory_finish(&d);
    return ok;
}

/* One series: pages from `at` on, or one directory with all planes behind it. */
static bool add_series(pel__tiff *t, series *s, const pel__tiff_head *head, int64_t *at, pel_error *err)
{
    const pel__tiff_geometry g = t->set.geometries[t->set.pages[*at].geometry];
    const int64_t first = *at;
    const char page_axis = t->page_axis;
    (*at)++;
    if (!strip_page(s, &g))
        return true; /* not what the page says: it is taken as it comes */
    if (!take_axes(s, page_axis) || !s->said) {
        s->size[0] = page_axis == 't' ? s->planes : 1;
        s->size[1] = page_axis == 'c' ? s->planes : 1;
        s->size[2] = page_axis == 'z' ? s->planes : 1;
        memcpy(s->order, "czt", 4);
    }
    int32_t *pages = NULL;
    pel__tiff_stack stack = {.size = {s->size[0], s->size[1], s->size[2]}, .order = s->order};
    bool ok = find_pages(t, s, first, &pages, &stack.count, err);
    *at = first + (stack.count > 0 && t->set.geometries[t->set.pages[first].geometry].raw ? 1 : pel__max(1, stack.count));
    stack.pages = pages;
    ok = ok && (stack.count == 0 || pel__tiff_add_stack(t, &stack, err));
    free(pages);
    if (ok && stack.count > 0) {
        take_words(&t->base.images[t->base.image_count - 1], s, head);
        note_axes(t, s, page_axis);
    }
    return ok;
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    bool ok = true;
    int64_t at = 0;
    for (int64_t n = 0; ok && n < MOST_SERIES && at < t->set.files[0].page_count; n++) {
        series s = {0};
        char *text = NULL;
        ok = at == 0 || pel__tiff_page_text(&t->set, at, PEL__TAG_DESCRIPTION, &text, err);
        const bool words = ok && begins(at ? text : head->description) && parse(&s, at ? text : head->description);
        ok = ok && (!words || add_series(t, &s, head, &at, err));
        json_object_put(s.json);
        free(text);
        if (!words)
            break;
    }
    return ok;
}

const pel__tiff_dialect pel__tiff_shaped = {.name = "tifffile", .detect = detect, .describe = describe};
