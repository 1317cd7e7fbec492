/* SPDX-License-Identifier: MIT
 * See view.h. Reading shifts the region and hands it on; descriptions are copied with smaller shapes. */
#include "source/view.h"

#include "core/bytes.h"
#include "core/region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t begin, end; /* end -1: to the end */
    bool given;
} range;

#define KEYS (PEL_AXES + 1) /* the axes, then the images */
static const char *const key_names[KEYS] = {"t", "c", "z", "y", "x", "image"};

typedef struct {
    pel_source base;
    pel__source_type type; /* bears the name of the format behind it */
    pel_source *inner;
    int32_t first_image;
    range axes[PEL_AXES];
} view;

/* ---- the text --------------------------------------------------------------------------------------------------------- */

static bool digits(const char **at, int64_t *out)
{
    int64_t v = 0;
    const char *from = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (!pel__mul(v, 10, &v) || !pel__add(v, **at - '0', &v))
            return false;
    }
    *out = v;
    return *at > from;
}

/* "7", "3:9", "3:", ":9", ":" */
static bool parse_range(const char **at, range *out)
{
    out->begin = 0;
    out->end = -1;
    out->given = true;
    const bool has_begin = **at >= '0' && **at <= '9';
    if (has_begin && !digits(at, &out->begin))
        return false;
    if (**at != ':') {
        out->end = out->begin + 1;
        return has_begin;
    }
    (*at)++;
    if (**at < '0' || **at > '9')
        return true;
    return digits(at, &out->end) && out->begin < out->end;
}

static bool parse_select(const char *text, range ranges[KEYS])
{
    for (const char *at = text;;) {
        int key = 0;
        size_t n = 0;
        for (; key < KEYS; key++) {
            n = strlen(key_names[key]);
            if (strncmp(at, key_names[key], n) == 0 && at[n] == '=')
                break;
        }
        if (key == KEYS || ranges[key].given)
            return false;
        at += n + 1;
        if (!parse_range(&at, &ranges[key]))
            return false;
        if (*at == '\0')
            return true;
        if (*at++ != ';')
            return false;
    }
}

/* Cuts a range at the size; false where nothing is left, or where a single number lies outside. */
static bool settle(range *r, int64_t size)
{
    if (!r->given || r->end < 0 || r->end > size)
        r->end = size;
    return r->begin < r->end;
}

/* ---- the images --------------------------------------------------------------------------------------------------------- */

static bool cut_image(const view *v, pel_image *im, int32_t number, pel_error *err)
{
    for (int a = 0; a < PEL_AXES; a++) {
        range r = v->axes[a];
        if (!settle(&r, im->shape[a]))
            return pel__fail(err, PEL_ARGUMENT, "%s: image %d has %s from 0 to %lld, the selection begins at %lld", v->inner->path,
                             (int)number, key_names[a], (long long)im->shape[a] - 1, (long long)r.begin);
        im->origin[a] += r.begin;
        im->shape[a] = r.end - r.begin;
        if (a == PEL_C) {
            im->channels += r.begin;
            if (r.begin % im->samples != 0 || im->shape[a] % im->samples != 0)
                im->samples = 1; /* one colour alone is a channel like others */
        }
    }
    im->planes = im->shape[PEL_T] * im->shape[PEL_C] / im->samples * im->shape[PEL_Z];
    im->planes_missing = pel__min(im->planes_missing, im->planes);
    return true;
}

static bool cut_images(view *v, range images, pel_error *err)
{
    if (!settle(&images, v->inner->image_count))
        return pel__fail(err, PEL_ARGUMENT, "%s: has images 0 to %d, the selection begins at %lld", v->inner->path,
                         (int)v->inner->image_count - 1, (long long)images.begin);
    v->first_image = (int32_t)images.begin;
    v->base.image_count = (int32_t)(images.end - images.begin);
    v->base.images = calloc((size_t)v->base.image_count, sizeof *v->base.images);
    if (!v->base.images)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for a selection", v->inner->path);
    for (int32_t i = 0; i < v->base.image_count; i++) {
        v->base.images[i] = v->inner->images[v->first_image + i];
        if (!cut_image(v, &v->base.images[i], v->first_image + i, err))
            return false;
    }
    return true;
}

/* ---- the member ----------------------------------------------------------------------------------------------------------- */

static bool read_part(pel_source *s, int32_t image, const pel_block *dst, pel_error *err)
{
    const view *v = (const view *)s;
    pel_block there = *dst;
    for (int a = 0; a < PEL_AXES; a++)
        there.region.origin[a] += v->axes[a].begin;
    return pel_source_read(v->inner, v->first_image + image, &there, err);
}

static void cache(pel_source *s, int64_t bytes, bool once)
{
    pel__source_cache(((view *)s)->inner, bytes, once);
}

static bool place(const pel_source *s, int64_t index, const pel_remote *remote, char *out, size_t size)
{
    const pel_source *const inner = ((const view *)s)->inner;
    return inner->type->place && inner->type->place(inner, index, remote, out, size);
}

static bool watch(pel_source *s, pel_error *err)
{
    return pel__source_watch(((view *)s)->inner, err);
}

typedef struct {
    const view *v;
    pel__on_change *each;
    void *arg;
} passing;

/* What lies outside the selection was not read, though it may lie in a chunk that was. */
static bool pass_on(void *arg, int32_t image, const pel_region *region, const char *name)
{
    const passing *p = arg;
    const int32_t number = image - p->v->first_image;
    if (number < 0 || number >= p->v->base.image_count)
        return true;
    pel_region here = *region;
    for (int a = 0; a < PEL_AXES; a++)
        here.origin[a] -= p->v->axes[a].begin;
    return p->each(p->arg, number, &here, name);
}

static bool changes(pel_source *s, pel__on_change *each, void *arg, pel_error *err)
{
    passing p = {(const view *)s, each, arg};
    return pel__source_changes(p.v->inner, pass_on, &p, err);
}

static void destroy(pel_source *s)
{
    if (!s)
        return;
    view *v = (view *)s;
    pel_source_destroy(v->inner);
    free(v->base.images);
    free(v->base.path);
    free(v);
}

bool pel__source_view(pel_source **out, pel_source *base, const char *select, pel_error *err)
{
    range ranges[KEYS] = {0};
    view *v = calloc(1, sizeof *v);
    if (!v) {
        pel_source_destroy(base);
        return pel__fail(err, PEL_NO_MEMORY, "no memory for a selection");
    }
    v->inner = base;
    v->type = (pel__source_type){.name = base->type->name, .read = read_part, .destroy = destroy, .cache = cache, .place = place,
                                 .watch = watch, .changes = changes};
    v->base = *base;
    v->base.type = &v->type;
    v->base.images = NULL;
    v->base.damage_is_lent = true;
    v->base.path = strdup(base->path);
    bool ok = v->base.path || pel__fail(err, PEL_NO_MEMORY, "no memory for a selection");
    if (ok && !parse_select(select, ranges))
        ok = pel__fail(err, PEL_ARGUMENT, "selection: found \"%s\", expected such as image=0:3;c=2;z=10:200, each beginning before its end", select);
    memcpy(v->axes, ranges, sizeof v->axes);
    ok = ok && cut_images(v, ranges[PEL_AXES], err);
    if (!ok) {
        destroy(&v->base);
        return false;
    }
    v->base.resident_bytes += v->base.image_count * (int64_t)sizeof(pel_image);
    *out = &v->base;
    return true;
}
