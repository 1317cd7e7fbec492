/* SPDX-License-Identifier: MIT
 * Directory entries that the rest of the file contradicts. Each sub-block holds a copy of its entry. Where the two differ the
 * directory counts: programs that move tiles rewrite the directory only. But one damaged number must not make an image of
 * 10^9 columns, 10^6 planes or another type, nor hide a tile. So the few entries that stand apart from all others
 * are compared with their copies, and where the copy says otherwise the tile is doubted: it takes the place that the copy
 * gives it, and reading it fails. Files without such outliers are not read at all.
 *
 * An outlier is a start (T, Z, C, S, ...) that few tiles have at the end of its range, with a gap to the next or many more tiles
 * there; the few tiles without which the image would be half as wide or high; a size unlike the stored one along one axis
 * only; a rare pixel type; one of several entries that name the same sub-block. */
#include "source/czi.h"

#include "core/bytes.h"
#include "core/error.h"

#include <stdlib.h>

#define FEW 16      /* tiles that may be outliers of one kind at once */
#define ROUNDS 64   /* at most so many damaged entries are found one after the other */
#define STARTS (4 + PEL__CZI_MAX_FOLDED) /* T, Z, C, S, folded letters */
#define MANY 4      /* others are so many times as many as outliers */

static int32_t start_of(const pel__czi *czi, const pel__czi_tile *t, int axis)
{
    switch (axis) {
    case 0: return t->t;
    case 1: return t->z;
    case 2: return t->c;
    case 3: return t->scene;
    default: return czi->tuples.tuple[t->fold][axis - 4];
    }
}

/* ---- one tile and its copy ----------------------------------------------------------------------------------- */

static bool same_starts(const pel__czi *czi, const pel__czi_tile *a, const pel__czi_tile *b)
{
    for (int k = 0; k < 4 + czi->tuples.letter_count; k++)
        if (start_of(czi, a, k) != start_of(czi, b, k))
            return false;
    return true;
}

/* Another size, or further away than a corrected stage position can be. */
static bool elsewhere(const pel__czi_tile *a, const pel__czi_tile *b)
{
    return a->w != b->w || a->h != b->h || a->stored_w != b->stored_w || a->stored_h != b->stored_h ||
           llabs((int64_t)a->x - b->x) > (int64_t)a->w + b->w || llabs((int64_t)a->y - b->y) > (int64_t)a->h + b->h;
}

static bool agrees(const pel__czi *czi, const pel__czi_tile *a, const pel__czi_tile *b)
{
    return same_starts(czi, a, b) && !elsewhere(a, b) && a->pixel == b->pixel;
}

/* Reads the tile's copy; true where the tile is doubted from now on. */
static bool doubt(pel__czi *czi, pel__czi_tile *t)
{
    pel__czi_tile copy;
    if ((t->flags & PEL__CZI_DOUBTED) || !pel__czi_read_copy(&copy, czi, t) || agrees(czi, t, &copy))
        return false;
    copy.flags |= PEL__CZI_DOUBTED;
    *t = copy;
    return true;
}

/* ---- starts along T, Z, C, S, ... ---------------------------------------------------------------------------- */

/* The end of a range: the outermost value, the next one, and how many tiles have them. Values are negated for the low end. */
typedef struct range_end {
    int64_t value, next, count, next_count;
} range_end;

static void extend(range_end *e, int64_t v, int64_t n)
{
    if (e->count == 0 || v > e->value) {
        *e = (range_end){.value = v, .next = e->value, .count = n, .next_count = e->count};
    } else if (v == e->value) {
        e->count += n;
    } else if (e->next_count == 0 || v > e->next) {
        e->next = v;
        e->next_count = n;
    } else if (v == e->next) {
        e->next_count += n;
    }
}

static bool stands_apart(const range_end *e)
{
    return e->count <= FEW && e->next_count > 0 && (e->value - e->next > 1 || e->count <= e->next_count / MANY);
}

/* ---- what all tiles say ---------------------------------------------------------------------------------------- */

/* Axis 0: x, 1: y; side 0: towards low, 1: towards high. */
typedef struct side {
    int64_t count, rest_low, rest_top; /* tiles beyond the middle; where the others lie */
} side;

typedef struct outlook {
    range_end starts[STARTS][2];
    int64_t low[2], top[2], middle[2];
    side sides[2][2];
    int64_t odd, types[UINT8_MAX + 1];
} outlook;

static int64_t low_of(const pel__czi_tile *t, int axis) { return axis ? t->y : t->x; }
static int64_t high_of(const pel__czi_tile *t, int axis) { return axis ? (int64_t)t->y + t->h : (int64_t)t->x + t->w; }

/* Stored larger than it covers, or smaller along one axis only: what no pyramid does, but at its edges. */
static bool oddly_scaled(const pel__czi_tile *t)
{
    return t->stored_w > t->w || t->stored_h > t->h || (t->stored_w == t->w) != (t->stored_h == t->h);
}

/* Beyond the middle of the range, towards one of its ends. */
static bool is_beyond(const outlook *o, const pel__czi_tile *t, int axis, int towards)
{
    return towards ? high_of(t, axis) > o->middle[axis] : low_of(t, axis) < o->middle[axis];
}

static void extend_both(range_end *ends, int64_t v, int64_t n)
{
    extend(&ends[0], v, n);
    extend(&ends[1], -v, n);
}

/* Tiles of one tuple mostly follow each other. */
static void look_at_letters(outlook *o, const pel__czi *czi)
{
    for (int64_t i = 0, end = 0; i < czi->tile_count; i = end) {
        for (end = i + 1; end < czi->tile_count && czi->tiles[end].fold == czi->tiles[i].fold;)
            end++;
        for (int k = 4; k < 4 + czi->tuples.letter_count; k++)
            extend_both(o->starts[k], start_of(czi, &czi->tiles[i], k), end - i);
    }
}

static void look_at_sides(outlook *o, const pel__czi *czi)
{
    for (int axis = 0; axis < 2; axis++) {
        o->middle[axis] = o->low[axis] + (o->top[axis] - o->low[axis]) / 2;
        o->sides[axis][0] = o->sides[axis][1] = (side){.rest_low = INT64_MAX, .rest_top = INT64_MIN};
    }
    for (int64_t i = 0; i < czi->tile_count; i++) {
        const pel__czi_tile *t = &czi->tiles[i];
        for (int k = 0; k < 4; k++) {
            side *const d = &o->sides[k / 2][k % 2];
            if (is_beyond(o, t, k / 2, k % 2)) {
                d->count++;
            } else {
                d->rest_low = pel__min(d->rest_low, low_of(t, k / 2));
                d->rest_top = pel__max(d->rest_top, high_of(t, k / 2));
            }
        }
    }
}

static void look(outlook *o, const pel__czi *czi)
{
    *o = (outlook){.low = {INT64_MAX, INT64_MAX}, .top = {INT64_MIN, INT64_MIN}};
    for (int64_t i = 0; i < czi->tile_count; i++) {
        const pel__czi_tile *t = &czi->tiles[i];
        for (int k = 0; k < 4; k++)
            extend_both(o->starts[k], start_of(czi, t, k), 1);
        for (int axis = 0; axis < 2; axis++) {
            o->low[axis] = pel__min(o->low[axis], low_of(t, axis));
            o->top[axis] = pel__max(o->top[axis], high_of(t, axis));
        }
        o->odd += oddly_scaled(t);
        o->types[t->pixel]++;
    }
    look_at_letters(o, czi);
    look_at_sides(o, czi);
}

/* ---- who stands apart ------------------------------------------------------------------------------------------ */

static bool apart_by_start(const outlook *o, const pel__czi *czi, const pel__czi_tile *t)
{
    for (int k = 0; k < 4 + czi->tuples.letter_count; k++) {
        const int64_t v = start_of(czi, t, k);
        if ((v == o->starts[k][0].value && stands_apart(&o->starts[k][0])) || (-v == o->starts[k][1].value && stands_apart(&o->starts[k][1])))
            return true;
    }
    return false;
}

/* Few tiles reach into a half of the range that the others leave empty. */
static bool half_is_empty(const outlook *o, int64_t tiles, int axis, int towards)
{
    const side *const d = &o->sides[axis][towards];
    const int64_t others = tiles - d->count;
    return d->count <= FEW && others > 0 && (d->count <= others / MANY || (o->top[axis] - o->low[axis]) / 8 >= d->rest_top - d->rest_low);
}

static bool apart_by_place(const outlook *o, int64_t tiles, const pel__czi_tile *t)
{
    for (int k = 0; k < 4; k++)
        if (half_is_empty(o, tiles, k / 2, k % 2) && is_beyond(o, t, k / 2, k % 2))
            return true;
    return false;
}

static bool anything_apart(const outlook *o, const pel__czi *czi)
{
    bool any = o->odd > 0 && o->odd <= FEW;
    for (int k = 0; k < 4; k++)
        any = any || half_is_empty(o, czi->tile_count, k / 2, k % 2);
    for (int k = 0; k < 2 * (4 + czi->tuples.letter_count); k++)
        any = any || stands_apart(&o->starts[k / 2][k % 2]);
    for (int k = 0; k <= UINT8_MAX; k++)
        any = any || (o->types[k] > 0 && o->types[k] <= FEW && o->types[k] < czi->tile_count);
    return any;
}

static bool stands_out(const outlook *o, const pel__czi *czi, const pel__czi_tile *t)
{
    return (o->odd <= FEW && oddly_scaled(t)) || (o->types[t->pixel] <= FEW && o->types[t->pixel] < czi->tile_count) ||
           apart_by_place(o, czi->tile_count, t) || apart_by_start(o, czi, t);
}

/* ---- several entries for one sub-block ------------------------------------------------------------------------ */

typedef struct place {
    int64_t position;
    int32_t part, tile;
} place;

static int by_place(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    if (x->position != y->position)
        return x->position < y->position ? -1 : 1;
    return (x->tile > y->tile) - (x->tile < y->tile);
}

/* They keep the places that the directory gives them: it is where they point to that is wrong. */
static void doubt_strangers(pel__czi *czi, const place *first, int64_t n)
{
    pel__czi_tile copy;
    int64_t rightful = 0;
    if (!pel__czi_read_copy(&copy, czi, &czi->tiles[first->tile]))
        return;
    for (int64_t i = 0; i < n; i++)
        rightful += agrees(czi, &czi->tiles[first[i].tile], &copy);
    for (int64_t i = 0; rightful > 0 && i < n; i++)
        if (!agrees(czi, &czi->tiles[first[i].tile], &copy))
            czi->tiles[first[i].tile].flags |= PEL__CZI_DOUBTED;
}

static bool is_ascending(const pel__czi *czi)
{
    for (int64_t i = 1; i < czi->tile_count; i++) {
        const pel__czi_tile *a = &czi->tiles[i - 1], *b = &czi->tiles[i];
        if (a->part > b->part || (a->part == b->part && a->position >= b->position))
            return false;
    }
    return true;
}

static bool doubt_shared(pel__czi *czi, pel_error *err)
{
    const int64_t n = czi->tile_count;
    if (is_ascending(czi))
        return true;
    place *const list = malloc((size_t)pel__max(n, 1) * sizeof *list);
    if (!list)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to sort its tiles", czi->base.path);
    for (int64_t i = 0; i < n; i++)
        list[i] = (place){czi->tiles[i].position, czi->tiles[i].part, (int32_t)i};
    qsort(list, (size_t)n, sizeof *list, by_place);
    for (int64_t i = 0, end = 0; i < n; i = end) {
        for (end = i + 1; end < n && list[end].part == list[i].part && list[end].position == list[i].position;)
            end++;
        if (end - i > 1)
            doubt_strangers(czi, &list[i], end - i);
    }
    free(list);
    return true;
}

bool pel__czi_doubt(pel__czi *czi, pel_error *err)
{
    outlook o;
    if (!doubt_shared(czi, err))
        return false;
    bool found = czi->tile_count > 1;
    for (int round = 0; found && round < ROUNDS; round++) {
        found = false;
        look(&o, czi);
        if (!anything_apart(&o, czi))
            break;
        for (int64_t i = 0; i < czi->tile_count; i++)
            if (stands_out(&o, czi, &czi->tiles[i]))
                found = doubt(czi, &czi->tiles[i]) || found;
    }
    return true;
}
