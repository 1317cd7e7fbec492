/* SPDX-License-Identifier: MIT
 * From tiles to images: which tiles are full resolution, which scenes there are, where each plane's tiles lie.
 *
 * The index is one array of tile numbers sorted by (image, channel group, t, z, y): 4 bytes a tile. A plane is found by
 * binary search, so holes in the grid cost nothing. */
#include "source/czi.h"

#include "core/bytes.h"
#include "core/error.h"

#include <stdlib.h>

typedef struct range {
    int32_t low, high;
    bool any;
} range;

static void widen(range *r, int32_t v)
{
    r->low = !r->any || v < r->low ? v : r->low;
    r->high = !r->any || v > r->high ? v : r->high;
    r->any = true;
}

/* ---- scenes ------------------------------------------------------------------------------------------------- */

/* Some channels of a file may lack the letter S while others have it: their tiles belong to the lowest scene. */
static void settle_missing_scenes(pel__czi *czi)
{
    range scenes = {0};
    for (int64_t i = 0; i < czi->tile_count; i++) {
        if (czi->tiles[i].flags & PEL__CZI_HAS_SCENE)
            widen(&scenes, czi->tiles[i].scene);
    }
    for (int64_t i = 0; i < czi->tile_count; i++) {
        if (!(czi->tiles[i].flags & PEL__CZI_HAS_SCENE))
            czi->tiles[i].scene = scenes.low;
    }
}

/* Place of a scene in the ascending list, or where it would go. */
static int32_t scene_place(const pel__czi_scene *scenes, int32_t n, int32_t scene)
{
    int32_t low = 0, high = n;
    while (low < high) {
        const int32_t mid = low + (high - low) / 2;
        if (scenes[mid].scene < scene)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool list_scenes(pel__czi *czi, pel_error *err)
{
    int32_t n = 0, capacity = 0, last = 0;
    for (int64_t i = 0; i < czi->tile_count; i++) {
        const pel__czi_tile *t = &czi->tiles[i];
        if ((t->flags & PEL__CZI_LEFT_OUT) || (n > 0 && t->scene == czi->scenes[last].scene))
            continue;
        last = scene_place(czi->scenes, n, t->scene);
        if (last < n && czi->scenes[last].scene == t->scene)
            continue;
        if (n == PEL__CZI_MAX_IMAGES)
            return pel__fail(err, PEL_UNSUPPORTED, "%s: more than %d scenes", czi->base.path, PEL__CZI_MAX_IMAGES);
        if (n == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            pel__czi_scene *grown = realloc(czi->scenes, (size_t)capacity * sizeof *grown);
            if (!grown)
                return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for %d scenes", czi->base.path, capacity);
            czi->scenes = grown;
        }
        memmove(czi->scenes + last + 1, czi->scenes + last, (size_t)(n - last) * sizeof *czi->scenes);
        czi->scenes[last] = (pel__czi_scene){.scene = t->scene};
        n++;
    }
    czi->base.image_count = n;
    return true;
}

/* ---- the grid of planes ------------------------------------------------------------------------------------- */

static bool count_of(const range *r, const char *axis, int64_t *product, int32_t *count, const char *path, pel_error *err)
{
    const int64_t n = r->any ? (int64_t)r->high - r->low + 1 : 1;
    if (n > INT32_MAX || !pel__mul(*product, n, product) || *product > INT32_MAX)
        return pel__fail(err, PEL_UNSUPPORTED, "%s: the tiles run from %d to %d along %s: more planes than can be counted",
                         path, r->low, r->high, axis);
    *count = (int32_t)n;
    return true;
}

/* Ranges over the tiles that are not left out. Folded axes first: V I H R B, unknown letters, then C fastest. */
static bool set_grid(pel__czi *czi, pel_error *err)
{
    range z = {0}, c = {0}, t = {0}, fold[PEL__CZI_MAX_FOLDED] = {{0}};
    int64_t groups = 1, planes = 1;
    int32_t unused = 0, last = -1;
    for (int64_t i = 0; i < czi->tile_count; i++) {
        const pel__czi_tile *tile = &czi->tiles[i];
        if (tile->flags & PEL__CZI_LEFT_OUT)
            continue;
        widen(&z, tile->z);
        widen(&c, tile->c);
        widen(&t, tile->t);
        for (int32_t a = 0; tile->fold != last && a < czi->tuples.letter_count; a++)
            widen(&fold[a], czi->tuples.tuple[tile->fold][a]);
        last = tile->fold;
    }
    for (int32_t a = 0; a < czi->tuples.letter_count; a++) {
        const char name[2] = {czi->tuples.letters[a], '\0'};
        if (!count_of(&fold[a], name, &groups, &unused, czi->base.path, err))
            return false;
        czi->tuples.low[a] = fold[a].low;
        czi->tuples.high[a] = fold[a].high;
    }
    if (!count_of(&c, "C", &groups, &czi->c_count, czi->base.path, err))
        return false;
    if (groups > PEL__CZI_MAX_CHANNELS)
        return pel__fail(err, PEL_UNSUPPORTED, "%s: %lld channels and views, this program reads at most %d", czi->base.path,
                         (long long)groups, PEL__CZI_MAX_CHANNELS);
    planes = groups;
    if (!count_of(&t, "T", &planes, &czi->t_count, czi->base.path, err) ||
        !count_of(&z, "Z", &planes, &czi->z_count, czi->base.path, err))
        return false;
    czi->c_low = c.low;
    czi->t_low = t.low;
    czi->z_low = z.low;
    czi->groups = groups;
    return true;
}

/* Channel group of a tuple at C = c_low. */
static int64_t fold_group(const pel__czi *czi, int32_t tuple)
{
    int64_t g = 0;
    for (int32_t a = 0; a < czi->tuples.letter_count; a++) {
        const int64_t n = (int64_t)czi->tuples.high[a] - czi->tuples.low[a] + 1;
        g = g * n + (czi->tuples.tuple[tuple][a] - czi->tuples.low[a]);
    }
    return g * czi->c_count;
}

/* Number of a plane in the grid without scenes: the grid was checked to have fewer than 2^31. */
static int64_t plane_rank(const pel__czi *czi, int64_t group, int32_t t, int32_t z)
{
    return (group * czi->t_count + ((int64_t)t - czi->t_low)) * czi->z_count + ((int64_t)z - czi->z_low);
}

/* Replaces tuple numbers by channel groups. */
static void fold_channels(pel__czi *czi)
{
    for (int64_t i = 0; i < czi->tile_count; i++) {
        pel__czi_tile *t = &czi->tiles[i];
        if (!(t->flags & PEL__CZI_LEFT_OUT))
            t->fold = (int32_t)(fold_group(czi, t->fold) + ((int64_t)t->c - czi->c_low));
    }
}

/* ---- full resolution or pyramid ------------------------------------------------------------------------------ */

static bool is_smaller(const pel__czi_tile *t)
{
    return t->stored_w <= t->w && t->stored_h <= t->h && (t->stored_w < t->w || t->stored_h < t->h);
}

static int compare_int64(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t unfolded_rank(const pel__czi *czi, const pel__czi_tile *t)
{
    return plane_rank(czi, fold_group(czi, t->fold) + ((int64_t)t->c - czi->c_low), t->t, t->z);
}

/* A tile stored smaller than it covers is a pyramid tile if its type byte says so, or if its plane has a full tile; some
 * pyramids have type 0 throughout. Without a full twin it is the data itself, e.g. of an anisotropic fast scan. */
static bool sort_out_untyped(pel__czi *czi, pel_error *err)
{
    int64_t n = 0;
    int64_t *full = malloc((size_t)pel__max(czi->tile_count, 1) * sizeof *full);
    if (!full)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to sort its tiles", czi->base.path);
    for (int64_t i = 0; i < czi->tile_count; i++) {
        const pel__czi_tile *t = &czi->tiles[i];
        if (t->stored_w == t->w && t->stored_h == t->h) {
            const int64_t rank = unfolded_rank(czi, t);
            if (n == 0 || full[n - 1] != rank)
                full[n++] = rank;
        }
    }
    qsort(full, (size_t)n, sizeof *full, compare_int64);
    for (int64_t i = 0; i < czi->tile_count; i++) {
        pel__czi_tile *t = &czi->tiles[i];
        if (!is_smaller(t) || (t->flags & PEL__CZI_LEFT_OUT))
            continue;
        const int64_t rank = unfolded_rank(czi, t);
        if (bsearch(&rank, full, (size_t)n, sizeof *full, compare_int64))
            t->flags |= PEL__CZI_LEFT_OUT;
    }
    free(full);
    return true;
}

static bool classify(pel__czi *czi, pel_error *err)
{
    bool untyped = false;
    for (int64_t i = 0; i < czi->tile_count; i++) {
        pel__czi_tile *t = &czi->tiles[i];
        if (t->stored_w == t->w && t->stored_h == t->h)
            continue;
        t->flags |= PEL__CZI_SCALED;
        if (is_smaller(t) && t->pyramid != 0)
            t->flags |= PEL__CZI_LEFT_OUT;
        else
            untyped = untyped || is_smaller(t);
    }
    return !untyped || (set_grid(czi, err) && sort_out_untyped(czi, err));
}

/* ---- the order ---------------------------------------------------------------------------------------------- */

typedef struct sort_key {
    uint64_t plane; /* image, then plane */
    int32_t y, tile;
} sort_key;

static int compare_keys(const void *a, const void *b)
{
    const sort_key *x = a, *y = b;
    if (x->plane != y->plane)
        return x->plane < y->plane ? -1 : 1;
    if (x->y != y->y)
        return x->y < y->y ? -1 : 1;
    return (x->tile > y->tile) - (x->tile < y->tile);
}

static int64_t fill_keys(const pel__czi *czi, sort_key *keys, bool *sorted)
{
    int64_t n = 0;
    *sorted = true;
    for (int64_t i = 0; i < czi->tile_count; i++) {
        const pel__czi_tile *t = &czi->tiles[i];
        if (t->flags & PEL__CZI_LEFT_OUT)
            continue;
        const int32_t image = scene_place(czi->scenes, czi->base.image_count, t->scene);
        keys[n] = (sort_key){(uint64_t)image << 32 | (uint64_t)plane_rank(czi, t->fold, t->t, t->z), t->y, (int32_t)i};
        *sorted = *sorted && (n == 0 || compare_keys(&keys[n - 1], &keys[n]) < 0);
        n++;
    }
    return n;
}

static bool sort_tiles(pel__czi *czi, pel_error *err)
{
    bool sorted = false;
    sort_key *keys = malloc((size_t)pel__max(czi->tile_count, 1) * sizeof *keys);
    if (!keys)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to sort its tiles", czi->base.path);
    const int64_t n = fill_keys(czi, keys, &sorted);
    if (!sorted)
        qsort(keys, (size_t)n, sizeof *keys, compare_keys);
    czi->order = malloc((size_t)pel__max(n, 1) * sizeof *czi->order);
    if (!czi->order) {
        free(keys);
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to sort its tiles", czi->base.path);
    }
    czi->order_count = n;
    for (int64_t i = 0, begin = 0; i < n; i++) {
        begin = keys[begin].plane == keys[i].plane ? begin : i;
        czi->max_plane_tiles = pel__max(czi->max_plane_tiles, i - begin + 1);
        pel__czi_scene *s = &czi->scenes[keys[i].plane >> 32];
        const pel__czi_tile *t = &czi->tiles[keys[i].tile];
        s->first = s->count == 0 ? i : s->first;
        s->count++;
        s->max_h = t->h > s->max_h ? t->h : s->max_h;
        czi->order[i] = keys[i].tile;
        if (czi->flip_streamed && t->compression >= PEL__CZI_SYSTEM_RAW)
            czi->tiles[keys[i].tile].flags |= PEL__CZI_FLIPPED;
    }
    free(keys);
    return true;
}

bool pel__czi_index(pel__czi *czi, pel_error *err)
{
    settle_missing_scenes(czi);
    if (!classify(czi, err) || !list_scenes(czi, err))
        return false;
    if (czi->base.image_count == 0)
        return pel__fail(err, PEL_FORMAT, "%s: there is no image in this CZI file (%lld tiles in its directory): metadata only, "
                                          "or a run that was stopped before the first image", czi->base.path,
                         (long long)czi->tile_count);
    if (!set_grid(czi, err))
        return false;
    fold_channels(czi);
    return sort_tiles(czi, err);
}

/* First entry in [low, high) of `order` whose plane is not below `rank`. */
static int64_t first_not_below(const pel__czi *czi, int64_t low, int64_t high, int64_t rank)
{
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        const pel__czi_tile *t = &czi->tiles[czi->order[mid]];
        if (plane_rank(czi, t->fold, t->t, t->z) < rank)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void pel__czi_plane_tiles(const pel__czi *czi, int32_t image, int64_t group, int32_t t, int32_t z, int64_t *first,
                          int64_t *count)
{
    const pel__czi_scene *s = &czi->scenes[image];
    const int64_t rank = plane_rank(czi, group, t, z), end = s->first + s->count;
    *first = first_not_below(czi, s->first, end, rank);
    *count = first_not_below(czi, *first, end, rank + 1) - *first;
}
