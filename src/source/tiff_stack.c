/* SPDX-License-Identifier: MIT
 * Pages along t, c and z: what all dialects share, and plain stacks of pages. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- kinds of pages ------------------------------------------------------------------------------------------ */

static bool is_colour(const pel__tiff_geometry *g) { return g->photometric == 2 || g->photometric == 6; }

/* Pages that may be planes of one image. How their pixels are stored does not matter. */
static bool alike(const pel__tiff_geometry *a, const pel__tiff_geometry *b)
{
    return pel__tiff_same_pixels(a, b) && !a->refusal[0] && !a->left_out && !b->left_out && is_colour(a) == is_colour(b);
}

static const pel__tiff_geometry *geometry_of(const pel__tiff *t, int64_t page) { return &t->set.geometries[t->set.pages[page].geometry]; }

bool pel__tiff_main_pages(const pel__tiff *t, int32_t **pages, int64_t *count, pel_error *err)
{
    const int64_t n = t->set.files[0].page_count;
    int32_t *list = malloc((size_t)pel__max(1, n) * sizeof *list);
    *pages = list;
    *count = 0;
    if (!list)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %" PRId64 " pages", n);
    for (int64_t p = 0; p < n; p++)
        if (alike(geometry_of(t, p), geometry_of(t, *count ? list[0] : p)))
            list[(*count)++] = (int32_t)p;
    return *count > 0 || pel__fail(err, PEL_UNSUPPORTED, "%s", geometry_of(t, 0)->refusal[0] ? geometry_of(t, 0)->refusal : "all pages are reduced copies or masks");
}

bool pel__tiff_pages(const pel__tiff *t, int64_t first, int64_t n, int32_t **pages, int64_t *count, pel_error *err)
{
    n = pel__min(n, t->set.files[0].page_count - first);
    *pages = malloc((size_t)pel__max(1, n) * sizeof **pages);
    *count = 0;
    if (!*pages)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %" PRId64 " pages", n);
    while (*count < n && alike(geometry_of(t, first + *count), geometry_of(t, first))) {
        (*pages)[*count] = (int32_t)(first + *count);
        (*count)++;
    }
    return true;
}

void pel__tiff_leave_others(pel__tiff *t, int32_t page)
{
    for (int64_t g = 0; g < t->set.geometry_count; g++)
        if (!alike(geometry_of(t, page), &t->set.geometries[g]))
            t->set.geometries[g].left_out = true;
}

bool pel__tiff_run(pel__tiff *t, int32_t like, int64_t at, int64_t n, int32_t **pages, int64_t *count, pel_error *err)
{
    const pel__tiff_geometry *g = geometry_of(t, like);
    const int64_t row = g->tile_bytes / g->tile_height, room = t->base.identity_size - at;
    int64_t bytes = 0;
    *pages = NULL;
    *count = 0;
    if (!pel__tiff_plain(g) || g->planar || g->tiled || g->refusal[0] || at < 1 || !pel__mul(row, g->height, &bytes) || bytes < 1)
        return pel__fail(err, PEL_UNSUPPORTED, "planes behind one directory are read only where they are uncompressed strips of samples side by side");
    n = pel__max(0, pel__min(n, room / bytes));
    *pages = malloc((size_t)pel__max(1, n) * sizeof **pages);
    if (!*pages)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %" PRId64 " planes", n);
    for (; *count < n; (*count)++) {
        (*pages)[*count] = *count == 0 ? like : -1; /* the directory's own pixels are those of the first plane */
        if (!pel__tiff_raw_page(&t->set, like, at + *count * bytes, &(*pages)[*count], err))
            return false;
    }
    return true;
}

/* ---- stacks -------------------------------------------------------------------------------------------------- */

static int axis_of(char letter) { return letter == 't' ? 0 : letter == 'c' ? 1 : 2; } /* in sizes of t, c, z */

static void name_after_file(pel__tiff *t, int32_t image)
{
    const char *slash = strrchr(t->base.path, '/'), *name = slash ? slash + 1 : t->base.path;
    char *out = t->base.images[image].name;
    if (image == 0)
        (void)snprintf(out, sizeof t->base.images[image].name, "%s", name);
    else
        (void)snprintf(out, sizeof t->base.images[image].name, "%.100s (%d)", name, image + 1);
}

static void place_pages(pel__tiff_image *im, const int64_t size[3], const char *order, const int32_t *pages, int64_t count)
{
    int64_t at[3] = {0};
    for (int64_t k = 0; k < count; k++) {
        im->page[(at[0] * size[1] + at[1]) * size[2] + at[2]] = pages[k];
        for (int i = 0; i < 3; i++) {
            const int a = axis_of(order[i]);
            if (++at[a] < size[a])
                break;
            at[a] = 0;
        }
    }
}

/* More pages than the words say: they went on along the slowest axis that is in use. */
static int64_t lengthen(int64_t size[3], const char *order, int64_t count)
{
    int slowest = axis_of(order[0]);
    for (int i = 0; i < 3; i++)
        if (size[axis_of(order[i])] > 1)
            slowest = axis_of(order[i]);
    const int64_t others = size[0] * size[1] * size[2] / size[slowest];
    size[slowest] = pel__ceil_div(count, others);
    return slowest;
}

/* Sizes of the user's: they go before those of the words, for the first image, and for others where they fit. */
static bool take_given(const pel__tiff *t, pel__tiff_stack *s, pel_error *err)
{
    const int64_t *g = t->given;
    int64_t planes = 0;
    if (!t->given_order[0])
        return true;
    const bool counted = pel__product(g, 3, &planes), fits = counted && s->count <= planes && planes - s->count < planes / g[axis_of(t->given_order[2])];
    if (fits) {
        memcpy(s->size, g, sizeof s->size);
        s->order = t->given_order;
    }
    return fits || t->base.image_count > 0 ||
           pel__fail(err, PEL_ARGUMENT, "axes t=%" PRId64 ", c=%" PRId64 ", z=%" PRId64 " are %" PRId64 " planes, the file has %" PRId64 " pages of one kind", g[0], g[1], g[2],
                     planes, s->count);
}

static bool settle_sizes(const pel__tiff_stack *s, int64_t size[3], int64_t *planes, pel_error *err)
{
    memcpy(size, s->size, sizeof s->size);
    if (size[0] < 1 || size[1] < 1 || size[2] < 1 || !pel__product(size, 3, planes))
        return pel__fail(err, PEL_FORMAT, "%" PRId64 " times, %" PRId64 " channels, %" PRId64 " sections are no sizes of an image", size[0], size[1], size[2]);
    if (s->count > *planes)
        (void)lengthen(size, s->order, s->count);
    return true;
}

bool pel__tiff_add_stack(pel__tiff *t, const pel__tiff_stack *words, pel_error *err)
{
    const int32_t image = t->base.image_count;
    int64_t size[3], said = 0;
    pel__tiff_stack own = *words, *const s = &own;
    if (!take_given(t, s, err))
        return false;
    if (s->count < 1)
        return pel__fail(err, PEL_DAMAGED, "image %d: none of its planes is in the file", image);
    if (!settle_sizes(s, size, &said, err) || !pel__tiff_add_images(t, 1, err) ||
        !pel__tiff_shape_image(t, image, t->set.pages[s->pages[0]].geometry, size, err))
        return false;
    place_pages(&t->images[image], size, s->order, s->pages, s->count);
    name_after_file(t, image);
    pel__tiff_count_missing(t, image);
    if (s->count > said)
        pel__tiff_note(t, image, PEL__NOTE_AXES, s->count - said,
                       "The file says %" PRId64 " planes and has %" PRId64 " pages: t %" PRId64 ", c %" PRId64 ", z %" PRId64 " are taken to be longer.",
                       said, s->count, size[0], size[1], size[2]);
    return true;
}

/* ---- the rest ------------------------------------------------------------------------------------------------ */

typedef struct rest {
    uint8_t *used;   /* a byte a page */
    int32_t *kind;   /* of each geometry: the first one alike; -1: not read */
    int32_t *pages;
    int64_t most;
} rest;

static void mark_used(const pel__tiff *t, rest *r)
{
    for (int32_t i = 0; i < t->base.image_count; i++) {
        const int64_t n = t->base.images[i].shape[PEL_T] * t->images[i].groups * t->base.images[i].shape[PEL_Z];
        for (int64_t k = 0; k < n; k++)
            if (t->images[i].page[k] >= 0)
                r->used[t->images[i].page[k]] = 1;
    }
}

static void sort_kinds(const pel__tiff_set *s, rest *r)
{
    for (int32_t g = 0; g < s->geometry_count; g++) {
        r->kind[g] = s->geometries[g].refusal[0] || s->geometries[g].left_out ? -1 : g;
        for (int32_t k = 0; r->kind[g] >= 0 && k < g; k++)
            if (r->kind[k] == k && alike(&s->geometries[k], &s->geometries[g])) {
                r->kind[g] = k;
                break;
            }
    }
}

static bool add_kind(pel__tiff *t, const rest *r, int32_t kind, const char *words, pel_error *err)
{
    const pel__tiff_set *s = &t->set;
    int64_t n = 0;
    for (int64_t p = 0; p < r->most; p++)
        if (!r->used[p] && r->kind[s->pages[p].geometry] == kind)
            r->pages[n++] = (int32_t)p;
    if (n == 0)
        return true;
    pel__tiff_stack stack = {.size = {1, 1, 1}, .order = "czt", .pages = r->pages, .count = n};
    stack.size[axis_of(t->page_axis)] = n;
    if (!pel__tiff_add_stack(t, &stack, err))
        return false;
    if (words)
        pel__tiff_note(t, t->base.image_count - 1, PEL__NOTE_AXES, n, "%" PRId64 " pages that the %s words of the file do not name; they are taken along %c.", n, words, t->page_axis);
    return true;
}

static int64_t pages_of(const pel__tiff_set *s, int32_t geometry)
{
    int64_t n = 0;
    for (int64_t p = 0; p < s->page_count; p++)
        n += s->pages[p].geometry == geometry;
    return n;
}

static void note_left_out(pel__tiff *t)
{
    for (int32_t g = 0; g < t->set.geometry_count; g++) {
        const pel__tiff_geometry *k = &t->set.geometries[g];
        if (k->refusal[0])
            pel__tiff_note(t, 0, PEL__NOTE_LEFT_OUT, pages_of(&t->set, g), "%" PRId64 " pages of %" PRId64 " x %" PRId64 " pixels are left out: %s.", pages_of(&t->set, g), k->width, k->height, k->refusal);
        else if (k->left_out)
            pel__tiff_note(t, 0, PEL__NOTE_REDUCED, pages_of(&t->set, g), "%" PRId64 " pages of %" PRId64 " x %" PRId64 " pixels are left out: reduced copies, masks, labels or overviews.", pages_of(&t->set, g), k->width,
                           k->height);
    }
}

bool pel__tiff_add_rest(pel__tiff *t, const pel__tiff_head *head, const char *words, pel_error *err)
{
    const pel__tiff_set *s = &t->set;
    const int32_t before = t->base.image_count;
    rest r = {.most = s->page_count};
    r.used = calloc(1, (size_t)pel__max(1, r.most));
    r.kind = calloc((size_t)pel__max(1, s->geometry_count), sizeof *r.kind);
    r.pages = calloc((size_t)pel__max(1, r.most), sizeof *r.pages);
    bool ok = (r.used && r.kind && r.pages) || pel__fail(err, PEL_NO_MEMORY, "no memory for %" PRId64 " pages", r.most);
    if (ok) {
        mark_used(t, &r);
        sort_kinds(s, &r);
    }
    for (int32_t g = 0; ok && g < s->geometry_count; g++)
        ok = r.kind[g] != g || add_kind(t, &r, g, words, err);
    free(r.used);
    free(r.kind);
    free(r.pages);
    if (ok && t->base.image_count == 0)
        return pel__fail(err, PEL_UNSUPPORTED, "%s", s->geometries[0].refusal[0] ? s->geometries[0].refusal : "all pages are reduced copies or masks");
    if (ok)
        note_left_out(t);
    for (int32_t i = before; ok && i < t->base.image_count; i++) {
        memcpy(t->base.images[i].acquired, head->acquired, sizeof head->acquired);
        const double um = head->resolution_unit == 3 ? 1e4 : 0.0; /* centimetres mean something; inches are mostly a printer's 72 or 300 */
        pel__tiff_take_resolution(&t->base.images[i], head, um, um);
    }
    return ok;
}
