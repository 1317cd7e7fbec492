/* SPDX-License-Identifier: MIT
 * The phantom as a source: a computed image of any size that needs neither file nor memory. What it shows is in
 * phantom_model.c, its noise in phantom_noise.c; here the region that is asked for is cut into bricks that fit the
 * cache, and every line of a brick is made, exposed and stored. */
#include "source/phantom.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"
#include "source/phantom_model.h"
#include "source/phantom_noise.h"
#include "source/phantom_random.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>

/* A brick: long lines make the objects' loops long, and its 256 KiB stay in the second-level cache. */
#define BRICK_X 512
#define BRICK_VOXELS INT64_C(65536)

typedef struct phantom {
    pel_source base;
    pel_phantom_options o;
    pel__camera *camera;
    pel_channel *channels;
} phantom;

static enum pel__answer detect(const char *path, bool is_folder, const uint8_t *head, size_t n)
{
    return strncmp(path, "phantom:", 8) == 0 || strncmp(path, "phantom-truth:", 14) == 0 ? PEL__YES : PEL__NO;
}

static void destroy(pel_source *s)
{
    phantom *p = (phantom *)s;
    if (!p)
        return;
    pel__camera_destroy(p->camera);
    free(p->channels);
    free(p->base.images);
    free(p->base.path);
    free(p);
}

/* ---- description --------------------------------------------------------------------------------------------- */

static void describe_channels(phantom *p)
{
    const double gain = p->o.gain > 0.0 ? p->o.gain : 1.0;
    for (int64_t c = 0; c < p->o.size[PEL_C]; c++) {
        pel_channel *ch = &p->channels[c];
        if (c < PEL__PHANTOM_KINDS)
            (void)snprintf(ch->name, sizeof ch->name, "%s", pel__phantom_kind_name(c));
        else
            (void)snprintf(ch->name, sizeof ch->name, "%s %d", pel__phantom_kind_name(c), (int)(c / PEL__PHANTOM_KINDS) + 1);
        ch->rgb = pel__phantom_kind_rgb(c);
        pel__phantom_kind_waves(c, &ch->excitation_nm, &ch->emission_nm);
        ch->window_start = p->o.background;
        ch->window_end = p->o.background + gain * p->o.brightness * 150.0;
    }
}

static void describe_image(const phantom *p, int32_t index)
{
    static const int64_t best[PEL_AXES] = {1, 1, 8, 128, 512};
    pel_image *im = &p->base.images[index];
    if (p->o.scenes > 1)
        (void)snprintf(im->name, sizeof im->name, "Phantom %d", index + 1);
    else
        (void)snprintf(im->name, sizeof im->name, "Phantom");
    for (int a = 0; a < PEL_AXES; a++) {
        im->shape[a] = p->o.size[a];
        im->pixel_size[a] = p->o.pixel_size[a];
        im->tile[a] = pel__min(best[a], im->shape[a]);
    }
    im->origin[PEL_Y] = p->o.origin[PEL_Y];
    im->origin[PEL_X] = p->o.origin[PEL_X] + index * (p->o.size[PEL_X] + p->o.size[PEL_X] / 8 + 1);
    im->dtype = p->o.truth ? PEL_F32 : p->o.dtype;
    im->samples = 1;
    im->significant_bits = im->dtype == PEL_U8 ? 8 : im->dtype == PEL_U16 ? 16 : 0;
    im->planes = p->o.size[PEL_T] * p->o.size[PEL_C] * p->o.size[PEL_Z];
    im->channels = p->channels;
    (void)snprintf(im->compression, sizeof im->compression, "none (computed)");
}

static bool open_phantom(pel_source **out, const char *path, const pel_open_options *options, pel_error *err)
{
    phantom *p = calloc(1, sizeof *p);
    if (!p)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory", path);
    p->base.type = &pel__source_phantom;
    if (!pel__phantom_parse(&p->o, path, err) || !pel__camera_create(&p->camera, p->o.gain, p->o.offset, p->o.background, err)) {
        destroy(&p->base);
        return false;
    }
    p->base.path = strdup(path);
    p->base.image_count = p->o.scenes;
    p->base.images = calloc((size_t)p->o.scenes, sizeof *p->base.images);
    p->channels = calloc((size_t)p->o.size[PEL_C], sizeof *p->channels);
    if (!p->base.path || !p->base.images || !p->channels) {
        destroy(&p->base);
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for its description", path);
    }
    describe_channels(p);
    for (int32_t i = 0; i < p->o.scenes; i++)
        describe_image(p, i);
    p->base.resident_bytes = pel__camera_bytes() + p->o.scenes * (int64_t)sizeof(pel_image) + p->o.size[PEL_C] * (int64_t)sizeof(pel_channel);
    p->base.thread_bytes = BRICK_VOXELS * (int64_t)sizeof(float);
    p->base.identity_crc32c = pel__crc32c(0, path, strlen(path));
    *out = &p->base;
    return true;
}

/* ---- pixels -------------------------------------------------------------------------------------------------- */

/* Rounds to even and saturates, as the library does everywhere. NaN cannot occur. */
static void store_row(const pel_block *dst, const int64_t at[PEL_AXES], const float *v, int64_t n)
{
    uint8_t *out = pel__block_at(dst, at);
    const int64_t stride = dst->stride[PEL_X];
    int64_t clipped = 0;
    if (stride == 1) {
        pel__from_float(out, dst->dtype, v, n, &clipped);
        return;
    }
    const size_t size = pel_dtype_size(dst->dtype);
    for (int64_t i = 0; i < n; i++)
        pel__from_float(out + (size_t)(i * stride) * size, dst->dtype, v + i, 1, &clipped);
}

static void make_brick(const phantom *p, int32_t image, const pel_block *dst, const pel_region *r, float *scratch)
{
    const int64_t t = r->origin[PEL_T], c = r->origin[PEL_C];
    pel__brick b = {.data = scratch};
    for (int a = 0; a < 3; a++) {
        b.origin[a] = r->origin[PEL_Z + a];
        b.shape[a] = r->shape[PEL_Z + a];
    }
    const uint64_t seed = pel__key(pel__mix(p->o.seed), image), noise = pel__key(pel__key(pel__key(seed, -1), t), c);
    pel__phantom_expected(&b, seed, t, c, (float)p->o.brightness);
    float *row = scratch;
    for (int64_t z = b.origin[0]; z < b.origin[0] + b.shape[0]; z++)
        for (int64_t y = b.origin[1]; y < b.origin[1] + b.shape[1]; y++, row += b.shape[2]) {
            if (p->o.truth)
                pel__camera_mean(p->camera, row, row, b.shape[2]);
            else
                pel__camera_expose(p->camera, row, row, pel__key(pel__key(noise, z), y), b.origin[2], b.shape[2]);
            const int64_t at[PEL_AXES] = {t, c, z, y, b.origin[2]};
            store_row(dst, at, row, b.shape[2]);
        }
}

static bool read_phantom(pel_source *s, int32_t image, const pel_block *dst, pel_error *err)
{
    const phantom *p = (const phantom *)s;
    const pel_region *r = &dst->region;
    if (pel__region_empty(r))
        return true;
    float *scratch = malloc((size_t)BRICK_VOXELS * sizeof *scratch);
    if (!scratch)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for a brick of %lld bytes", s->path, (long long)(BRICK_VOXELS * 4));
    int64_t cell[PEL_AXES] = {1, 1, 1, 1, pel__min(r->shape[PEL_X], BRICK_X)};
    cell[PEL_Y] = pel__min(r->shape[PEL_Y], pel__min(128, BRICK_VOXELS / cell[PEL_X]));
    cell[PEL_Z] = pel__min(r->shape[PEL_Z], BRICK_VOXELS / (cell[PEL_X] * cell[PEL_Y]));
    const int64_t n = pel__grid_cells(r, cell);
    for (int64_t i = 0; i < n; i++) {
        const pel_region part = pel__grid_cell(r, cell, i);
        make_brick(p, image, dst, &part, scratch);
    }
    free(scratch);
    return true;
}

const pel__source_type pel__source_phantom = {
    .name = "phantom", .detect = detect, .open = open_phantom, .read = read_phantom, .destroy = destroy,
};
