/* SPDX-License-Identifier: MIT
 * A source without pixels, described by a plan: so a run whose input has gone, or whose numbers are of another version, can be
 * opened to audit it. Names, shapes and the output's type are the plan's; reading fails. */
#include "core/bytes.h"
#include "core/error.h"
#include "run/run.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    pel_source base;
    pel_channel *channels; /* of the image with most of them, for all */
} stand_in;

static bool read_nothing(pel_source *s, int32_t image, const pel_block *dst, pel_error *err)
{
    (void)image;
    (void)dst;
    return pel__fail(err, PEL_INTERNAL, "%s: opened without its pixels", s->path);
}

static void destroy(pel_source *s)
{
    stand_in *const own = (stand_in *)s;
    if (!own)
        return;
    free(own->channels);
    free(own->base.images);
    free(own->base.path);
    free(own);
}

static const pel__source_type type = {.name = "stand-in", .read = read_nothing, .destroy = destroy};

static bool describe(stand_in *s, const pel__plan *plan, pel_dtype dtype, pel_error *err)
{
    int64_t most = 1;
    for (int32_t i = 0; i < plan->image_count; i++)
        most = pel__max(most, plan->images[i].bounds.shape[PEL_C]);
    s->base.images = calloc((size_t)plan->image_count, sizeof *s->base.images);
    s->channels = most < 1 << 20 ? calloc((size_t)most, sizeof *s->channels) : NULL;
    if (!s->base.images || !s->channels)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for %d images", (int)plan->image_count);
    s->base.image_count = plan->image_count;
    for (int32_t i = 0; i < plan->image_count; i++) {
        pel_image *const im = &s->base.images[i];
        const pel__plan_image *const p = &plan->images[i];
        *im = (pel_image){.dtype = dtype, .samples = 1, .channels = s->channels};
        memcpy(im->shape, p->bounds.shape, sizeof im->shape);
        for (int a = 0; a < PEL_AXES; a++)
            im->tile[a] = pel__min(p->block[a], im->shape[a]);
    }
    return true;
}

bool pel__stand_in(pel_source **out, const char *path, const pel__plan *plan, pel_dtype dtype, pel_error *err)
{
    stand_in *const s = calloc(1, sizeof *s);
    if (!s || !(s->base.path = strdup(path))) {
        free(s);
        return pel__fail(err, PEL_NO_MEMORY, "no memory for a run");
    }
    s->base.type = &type;
    if (!describe(s, plan, dtype, err)) {
        destroy(&s->base);
        return false;
    }
    *out = &s->base;
    return true;
}

/* Of a plan that cannot be made anew without the input: steps of the pyramid are 1 or 2 and give the shapes. */
bool pel__plan_is_sound(const pel__plan_image *p)
{
    const pel__layout *const l = &p->layout;
    for (int a = 0; a < PEL_AXES; a++) {
        if (l->level[0].factor[a] != 1 || l->level[0].shape[a] != p->bounds.shape[a])
            return false;
        for (int32_t k = 0; k < l->level_count; k++) {
            const pel__level *const now = &l->level[k], *const below = &l->level[k > 0 ? k - 1 : 0];
            const int64_t step = now->factor[a] / below->factor[a];
            if (step < 1 || step > 2 || now->factor[a] != step * below->factor[a] || now->shape[a] != pel__ceil_div(below->shape[a], step) ||
                now->shard[a] % now->chunk[a] != 0)
                return false;
        }
    }
    return true;
}
