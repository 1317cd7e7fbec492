/* SPDX-License-Identifier: MIT
 * Reading boxes of a Zarr array. The box is walked chunk by chunk of the grid; shards are opened once a call, their
 * index checked, and only the inner chunks that are needed are read. A chunk that lies whole in the box and is laid out
 * there as it is stored is decoded straight into the caller's memory. Of a store that is far away the next chunks and
 * shards, and the next stretches of inner chunks of a shard, are on their way meanwhile (errand.h). */
#include "zarr/array.h"

#include "core/bytes.h"
#include "core/region.h"

#include <stdio.h>
#include <stdlib.h>

#define MISSING UINT64_MAX

/* What one call carries along. */
typedef struct reading {
    pel__zarr_array *array;
    pel__codec_state *state;
    const pel_region *box;
    uint8_t *dst; /* the voxel at box's origin */
    const int64_t *stride;
    pel__object *object; /* the chunk's or shard's */
    const char *key;     /* of it */
    const uint8_t *near; /* near_n bytes of it from near_offset on that are here already; NULL: none */
    int64_t near_offset, near_n;
} reading;

/* ---- open -------------------------------------------------------------------------------------------------- */

bool pel__zarr_array_open(pel__zarr_array **out, pel__store *store, const char *path, const pel__zarr_node *node,
                          pel_error *err)
{
    pel__zarr_array *const a = calloc(1, sizeof *a);
    const size_t n = strlen(path);
    if (!a || !(a->path = malloc(n + 2))) {
        free(a);
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    }
    (void)snprintf(a->path, n + 2, "%s%s", path, n ? "/" : "");
    a->store = store;
    a->format = node->format;
    const bool ok = node->kind != PEL__NODE_ARRAY ? pel__fail(err, PEL_FORMAT, "no array here")
        : node->format == 3                       ? pel__zarr_parse_v3(a, node, err)
                                                  : pel__zarr_parse_v2(a, node, err);
    if (!ok) {
        (void)pel__where(err, "%s/%s%s: ", pel__store_root(store), a->path, node->format == 3 ? "zarr.json" : ".zarray");
        pel__zarr_array_close(a);
        return false;
    }
    pel__zarr_array_look(a);
    *out = a;
    return true;
}

void pel__zarr_array_close(pel__zarr_array *array)
{
    if (!array)
        return;
    pel__chain_free(&array->chain);
    pel__stamps_destroy(array->stamps);
    free(array->path);
    free(array);
}

int64_t pel__zarr_array_thread_bytes(const pel__zarr_array *array)
{
    const int64_t widened = array->type.half ? pel__chain_leaf(&array->chain)->bytes : 0;
    const pel__zarr_chain *const c = &array->chain;
    const int64_t chunk = pel__chain_stored_max(pel__chain_leaf(c)), index = c->inner ? pel__chain_index_bytes(c) : 0;
    int64_t fetched = 0;
    if (pel__store_errands(array->store))
        fetched = pel__store_ahead(array->store) * (PEL__STORE_CONNECTION + (c->inner ? pel__max(PEL__STORE_WINDOW, chunk) + index : chunk));
    return pel__chain_thread_bytes(&array->chain) + widened + fetched;
}

bool pel__zarr_chunk_key(const pel__zarr_array *a, const int64_t *grid, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "%s%s", a->path, a->prefixed ? "c" : "");
    for (int32_t i = 0; i < a->ndim && used < size; i++) {
        const bool apart = i > 0 || a->prefixed;
        used += (size_t)snprintf(out + used, size - used, "%.*s%lld", (int)apart, &a->separator, (long long)grid[i]);
    }
    if (a->ndim == 0 && !a->prefixed && used < size)
        used += (size_t)snprintf(out + used, size - used, "0");
    return used < size;
}

/* ---- one chunk --------------------------------------------------------------------------------------------- */

static uint8_t *address(const reading *r, const pel_region *part)
{
    int64_t at = 0;
    for (int32_t i = 0; i < part->ndim; i++)
        at += (part->origin[i] - r->box->origin[i]) * r->stride[i];
    return r->dst + at * (int64_t)pel_dtype_size(r->array->type.dtype);
}

/* The copy from a decoded chunk (or, for fills, from nothing) into the part of the box. */
static pel__strided copy_plan(const reading *r, const pel__zarr_chain *leaf, const pel_region *part)
{
    pel__strided s = {.ndim = part->ndim, .item = (int32_t)pel_dtype_size(r->array->type.dtype)};
    for (int32_t i = 0; i < part->ndim; i++) {
        s.shape[i] = part->shape[i];
        s.to[i] = r->stride[i];
        s.from[i] = leaf->stride[i];
    }
    return s;
}

static void fill(const reading *r, const pel_region *part)
{
    const pel__strided s = copy_plan(r, pel__chain_leaf(&r->array->chain), part);
    pel__strided_fill(&s, address(r, part), r->array->fill);
}

/* Does the part of the box in a chunk that failed read as zero? entry: of inner chunks their number, else -1. */
static bool reads_as_zero(const reading *r, const pel_region *chunk, int64_t entry, pel_error *why)
{
    static const uint8_t zero[8] = {0};
    pel__zarr_array *const a = r->array;
    const int64_t id = (int64_t)pel__crc32c(0, r->key, strlen(r->key)) << 24 | ((entry + 1) & 0xFFFFFF);
    if (entry >= 0)
        (void)pel__where(why, "inner chunk %lld: ", (long long)entry);
    pel_error told = *why;
    (void)pel__where(&told, "%s/%s: ", pel__store_root(a->store), r->key);
    if (!a->on_damage || !a->on_damage(a->on_damage_arg, id, &told)) {
        if (entry < 0)
            *why = told;
        return false;
    }
    const pel_region part = pel__region_intersect(chunk, r->box);
    const pel__strided s = copy_plan(r, pel__chain_leaf(&a->chain), &part);
    pel__strided_fill(&s, address(r, &part), zero);
    return true;
}

static bool same_layout(const reading *r, const pel__zarr_chain *leaf, const pel_region *part)
{
    for (int32_t i = 0; i < part->ndim; i++)
        if (part->shape[i] != leaf->shape[i] || (part->shape[i] > 1 && r->stride[i] != leaf->stride[i]))
            return false;
    return true;
}

static bool read_bytes(const reading *r, int64_t offset, uint8_t *dst, int64_t n, pel_error *err)
{
    if (!r->near || offset < r->near_offset || n > r->near_n || offset - r->near_offset > r->near_n - n)
        return pel__object_read(r->object, offset, dst, n, err);
    memcpy(dst, r->near + (offset - r->near_offset), (size_t)n);
    return true;
}

/* Decodes the n bytes at offset of the open object, a leaf chunk at `chunk`, into its part of the box. */
static bool read_leaf(reading *r, const pel__zarr_chain *leaf, int64_t offset, int64_t n, const pel_region *chunk,
                      pel_error *err)
{
    const pel_region part = pel__region_intersect(chunk, r->box);
    if (n > pel__chain_stored_max(leaf))
        return pel__fail(err, PEL_DAMAGED, "%lld bytes stored for a chunk of %lld", (long long)n, (long long)leaf->bytes);
    if (pel__chain_expands_to(leaf, n) < leaf->packed) /* before memory is asked for */
        return pel__fail(err, PEL_DAMAGED, "%lld bytes stored cannot hold a chunk of %lld", (long long)n, (long long)leaf->bytes);
    const bool half = r->array->type.half;
    const bool direct = !half && same_layout(r, leaf, &part);
    const bool plain = leaf->steps + leaf->filters == 0 && n == leaf->bytes; /* stored as it is: no buffer between */
    uint8_t *const raw = direct ? address(r, &part) : pel__codec_buffer(r->state, 3, leaf->bytes * (half ? 2 : 1), err);
    uint8_t *const stored = plain ? raw : pel__codec_buffer(r->state, 0, pel__chain_stored_max(leaf), err);
    if (!raw || !stored || !read_bytes(r, offset, stored, n, err) || !pel__chain_decode(leaf, r->state, stored, n, raw, err))
        return false;
    if (half)
        pel__zarr_widen(raw, leaf->bytes / 2);
    if (!direct) {
        const pel__strided s = copy_plan(r, leaf, &part);
        int64_t first = 0;
        for (int32_t i = 0; i < part.ndim; i++)
            first += (part.origin[i] - chunk->origin[i]) * leaf->stride[i];
        pel__strided_copy(&s, address(r, &part), raw + first * s.item);
    }
    return true;
}

/* ---- shards ------------------------------------------------------------------------------------------------ */

static bool read_chunk(reading *r, const pel__zarr_chain *chain, int64_t offset, int64_t n, const pel_region *chunk,
                       pel_error *err);

/* The index of the shard that is n bytes at offset; free() it. */
static bool read_index(reading *r, const pel__zarr_chain *chain, int64_t offset, int64_t n, uint8_t **out, pel_error *err)
{
    const int64_t bytes = pel__chain_index_bytes(chain);
    int64_t left = bytes;
    const bool outermost = chain == &r->array->chain; /* shards in shards have their own */
    pel__index_cache *const cache = outermost ? pel__store_indexes(r->array->store) : NULL;
    int64_t object_bytes = pel__object_size(r->object);
    if (cache && pel__index_cache_get(cache, r->key, &object_bytes, out))
        return true;
    if (n < bytes)
        return pel__fail(err, PEL_DAMAGED, "shard of %lld bytes, its index alone has %lld", (long long)n, (long long)bytes);
    uint8_t *const index = malloc((size_t)bytes);
    if (!index)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: %lld bytes for the index of a shard", (long long)bytes);
    if (!pel__object_read(r->object, chain->index_first ? offset : offset + n - bytes, index, bytes, err)
        || (chain->index_crc32c && !pel__step_crc32c_check(index, bytes, &left, err))) {
        free(index);
        return pel__where(err, "index: ");
    }
    if (cache)
        pel__index_cache_put(cache, r->key, object_bytes, index, bytes);
    *out = index;
    return true;
}

static uint64_t index_number(const pel__zarr_chain *chain, const uint8_t *index, int64_t i)
{
    const uint64_t v = pel__load_u64(index + 8 * i);
    return chain->index_swap ? __builtin_bswap64(v) : v;
}

static pel_region cell_region(int32_t ndim, const int64_t *origin, const int64_t *cell, const int64_t *grid)
{
    pel_region c = {.ndim = ndim};
    for (int32_t i = 0; i < ndim; i++) {
        c.origin[i] = origin[i] + grid[i] * cell[i];
        c.shape[i] = cell[i];
    }
    return c;
}

/* A shard in the open object: n bytes at offset, its place in the array, and the inner chunks to be read of it. */
typedef struct shard {
    const pel__zarr_chain *chain;
    const uint8_t *index;
    int64_t offset, n;
    const pel_region *whole;
    uint32_t *list;
    int64_t count;
} shard;

static int64_t entry_offset(const shard *s, int64_t i)
{
    return (int64_t)index_number(s->chain, s->index, 2 * i);
}

static int64_t entry_bytes(const shard *s, int64_t i)
{
    return (int64_t)index_number(s->chain, s->index, 2 * i + 1);
}

static pel_region entry_cell(const shard *s, int64_t i)
{
    int64_t grid[PEL_MAX_NDIM];
    for (int32_t k = s->chain->ndim - 1; k >= 0; k--) {
        grid[k] = i % s->chain->grid[k];
        i /= s->chain->grid[k];
    }
    return cell_region(s->chain->ndim, s->whole->origin, s->chain->inner->shape, grid);
}

/* Puts inner chunk i on the list, or fills its place if it is not stored. */
static bool list_entry(reading *r, shard *s, int64_t i, pel_error *err)
{
    const uint64_t at = index_number(s->chain, s->index, 2 * i), bytes = index_number(s->chain, s->index, 2 * i + 1);
    if (at == MISSING && bytes == MISSING) {
        const pel_region cell = entry_cell(s, i), part = pel__region_intersect(&cell, r->box);
        fill(r, &part);
        return true;
    }
    const int64_t most = pel__chain_stored_max(s->chain->inner);
    pel_error why = {0};
    if (at > (uint64_t)s->n || bytes > (uint64_t)s->n - at)
        (void)pel__fail(&why, PEL_DAMAGED, "bytes %llu + %llu, the shard has %lld", (unsigned long long)at, (unsigned long long)bytes, (long long)s->n);
    else if (bytes > (uint64_t)most)
        (void)pel__fail(&why, PEL_DAMAGED, "%llu bytes stored for a chunk of %lld", (unsigned long long)bytes, (long long)s->chain->inner->bytes);
    if (why.code != PEL_OK) {
        const pel_region cell = entry_cell(s, i);
        return reads_as_zero(r, &cell, i, &why) || pel__fail(err, why.code, "%s", why.text);
    }
    s->list[s->count++] = (uint32_t)i;
    return true;
}

static int by_offset(const void *a, const void *b, void *arg)
{
    const int64_t x = entry_offset(arg, *(const uint32_t *)a), y = entry_offset(arg, *(const uint32_t *)b);
    return (x > y) - (x < y);
}

/* Entries that lie near each other and not too much together, fetched at once. */
typedef struct stretch {
    pel__errand errand;
    pel__object *object;
    int64_t offset, n;      /* in the object */
    int64_t first, count;   /* on the shard's list */
    uint8_t *bytes;
} stretch;

static bool fetch_stretch(void *arg, pel_error *err)
{
    stretch *const t = arg;
    t->bytes = malloc((size_t)pel__max(t->n, 1));
    if (!t->bytes)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: %lld bytes", (long long)t->n);
    return pel__object_read(t->object, t->offset, t->bytes, t->n, err);
}

static void plan_stretch(const reading *r, const shard *s, int64_t first, stretch *t)
{
    const int64_t begin = entry_offset(s, s->list[first]);
    int64_t end = begin + entry_bytes(s, s->list[first]), k = first + 1;
    for (; k < s->count; k++) {
        const int64_t at = entry_offset(s, s->list[k]), stop = pel__max(end, at + entry_bytes(s, s->list[k]));
        if (at > end + PEL__STORE_GAP || stop - begin > PEL__STORE_WINDOW)
            break;
        end = stop;
    }
    *t = (stretch){.errand = {.run = fetch_stretch, .arg = t}, .object = r->object, .offset = s->offset + begin, .n = end - begin,
                   .first = first, .count = k - first};
}

static bool read_entry(reading *r, const shard *s, int64_t k, pel_error *err)
{
    const int64_t i = s->list[k];
    const pel_region cell = entry_cell(s, i);
    pel_error why = {0};
    return read_chunk(r, s->chain->inner, s->offset + entry_offset(s, i), entry_bytes(s, i), &cell, &why) || reads_as_zero(r, &cell, i, &why) ||
           pel__fail(err, why.code, "%s", why.text);
}

/* Decodes what has come while the next stretches are on their way. */
static bool read_ahead(reading *r, const shard *s, stretch *ring, int64_t room, pel_error *err)
{
    pel__errands *const errands = pel__store_errands(r->array->store);
    int64_t next = 0, sent = 0, taken = 0;
    bool ok = true;
    while (ok && (taken < sent || next < s->count)) {
        for (; sent - taken < room && next < s->count; sent++) {
            stretch *const t = &ring[sent % room];
            plan_stretch(r, s, next, t);
            next += t->count;
            pel__errand_send(errands, &t->errand);
        }
        stretch *const t = &ring[taken % room];
        if (!(ok = pel__errand_wait(errands, &t->errand, err)))
            break;
        r->near = t->bytes;
        r->near_offset = t->offset;
        r->near_n = t->n;
        for (int64_t k = t->first; ok && k < t->first + t->count; k++)
            ok = read_entry(r, s, k, err);
        r->near = NULL;
        free(t->bytes);
        t->bytes = NULL;
        taken++;
    }
    for (; taken < sent; taken++) { /* after an error; waiting twice does no harm */
        (void)pel__errand_wait(errands, &ring[taken % room].errand, NULL);
        free(ring[taken % room].bytes);
    }
    return ok;
}

/* In the order of the file. */
static bool read_entries(reading *r, const shard *s, pel_error *err)
{
    bool ok = true;
    if (!pel__store_errands(r->array->store) || s->chain->inner->inner) {
        for (int64_t k = 0; ok && k < s->count; k++)
            ok = read_entry(r, s, k, err);
        return ok;
    }
    const int64_t room = pel__store_ahead(r->array->store);
    stretch *const ring = malloc((size_t)room * sizeof *ring);
    ok = ring ? read_ahead(r, s, ring, room, err) : pel__fail(err, PEL_NO_MEMORY, "out of memory");
    free(ring);
    return ok;
}

/* Steps `grid` to the next cell of [low, high) in C order; false after the last. */
static bool next_cell(int32_t ndim, const int64_t *low, const int64_t *high, int64_t *grid)
{
    for (int32_t i = ndim - 1; i >= 0; i--) {
        if (++grid[i] < high[i])
            return true;
        grid[i] = low[i];
    }
    return false;
}

/* Cells of a grid from `origin` that touch the box (which is not empty and lies behind origin). */
static void touched(const pel_region *box, const int64_t *origin, const int64_t *cell, int64_t *low, int64_t *high)
{
    for (int32_t i = 0; i < box->ndim; i++) {
        low[i] = (box->origin[i] - origin[i]) / cell[i];
        high[i] = pel__ceil_div(box->origin[i] + box->shape[i] - origin[i], cell[i]);
    }
}

static bool read_shard(reading *r, const pel__zarr_chain *chain, int64_t offset, int64_t n, const pel_region *whole,
                       pel_error *err)
{
    const pel_region part = pel__region_intersect(whole, r->box);
    int64_t low[PEL_MAX_NDIM] = {0}, high[PEL_MAX_NDIM] = {0}, grid[PEL_MAX_NDIM], cells = 1;
    uint8_t *index = NULL;
    if (!read_index(r, chain, offset, n, &index, err))
        return false;
    touched(&part, whole->origin, chain->inner->shape, low, high);
    for (int32_t k = 0; k < chain->ndim; k++)
        cells *= high[k] - low[k]; /* at most chain->entries */
    memcpy(grid, low, sizeof grid);
    shard s = {.chain = chain, .index = index, .offset = offset, .n = n, .whole = whole};
    s.list = malloc((size_t)pel__max(cells, 1) * sizeof *s.list);
    bool ok = s.list || pel__fail(err, PEL_NO_MEMORY, "out of memory");
    while (ok) {
        int64_t i = 0;
        for (int32_t k = 0; k < chain->ndim; k++)
            i = i * chain->grid[k] + grid[k];
        ok = list_entry(r, &s, i, err);
        if (!next_cell(chain->ndim, low, high, grid))
            break;
    }
    if (ok)
        qsort_r(s.list, (size_t)s.count, sizeof *s.list, by_offset, &s);
    ok = ok && read_entries(r, &s, err);
    free(s.list);
    free(index);
    return ok;
}

static bool read_chunk(reading *r, const pel__zarr_chain *chain, int64_t offset, int64_t n, const pel_region *chunk,
                       pel_error *err)
{
    return chain->inner ? read_shard(r, chain, offset, n, chunk, err) : read_leaf(r, chain, offset, n, chunk, err);
}

/* ---- the grid ---------------------------------------------------------------------------------------------- */

/* A chunk or shard of the grid: opening it brings its bytes or its index along. */
typedef struct cell {
    pel__errand errand;
    pel__zarr_array *array;
    int64_t grid[PEL_MAX_NDIM];
    pel__object *object; /* NULL: there is none */
    char key[PEL__PATH_MAX];
} cell;

static bool open_cell(void *arg, pel_error *err)
{
    cell *const c = arg;
    pel__zarr_array *const a = c->array;
    const pel__zarr_chain *const chain = &a->chain;
    const pel__want all = {PEL__WANT_ALL, pel__chain_stored_max(chain)};
    const pel__want index = {chain->index_first ? PEL__WANT_HEAD : PEL__WANT_TAIL, pel__chain_index_bytes(chain)};
    pel__index_cache *const cache = pel__store_indexes(a->store);
    int64_t bytes = 0;
    if (!pel__zarr_chunk_key(a, c->grid, c->key, sizeof c->key))
        return pel__fail(err, PEL_ARGUMENT, "the key of a chunk is too long");
    if (chain->inner && cache && pel__index_cache_get(cache, c->key, &bytes, NULL))
        return pel__store_known_object(a->store, c->key, bytes, &c->object, err);
    if (!pel__store_object(a->store, c->key, chain->inner ? &index : &all, &c->object, err))
        return false;
    if (a->stamps)
        pel__stamps_note(a->stamps, pel__zarr_array_cell(a, c->grid), c->object != NULL, c->object ? pel__object_size(c->object) : 0,
                         c->object ? pel__object_mtime_ns(c->object) : 0);
    return true;
}

static bool read_cell(reading *r, cell *c, pel_error *err)
{
    static const int64_t zero[PEL_MAX_NDIM];
    const pel_region chunk = cell_region(r->array->ndim, zero, r->array->chunk, c->grid);
    if (!c->object) {
        const pel_region part = pel__region_intersect(&chunk, r->box);
        fill(r, &part);
        return true;
    }
    r->object = c->object;
    r->key = c->key;
    pel_error why = {0};
    const bool ok = read_chunk(r, &r->array->chain, 0, pel__object_size(c->object), &chunk, &why) || reads_as_zero(r, &chunk, -1, &why) ||
                    pel__fail(err, why.code, "%s", why.text);
    pel__object_close(c->object);
    c->object = NULL;
    return ok;
}

/* Cells of the grid, in its order, that are to be read. */
typedef struct walk {
    int64_t low[PEL_MAX_NDIM], high[PEL_MAX_NDIM], grid[PEL_MAX_NDIM];
    bool more;
} walk;

static void send_next(const reading *r, walk *w, cell *c)
{
    c->errand = (pel__errand){.run = open_cell, .arg = c};
    c->array = r->array;
    c->object = NULL;
    memcpy(c->grid, w->grid, sizeof c->grid);
    w->more = next_cell(r->array->ndim, w->low, w->high, w->grid);
    pel__errand_send(pel__store_errands(r->array->store), &c->errand);
}

static bool read_cells(reading *r, walk *w, cell *ring, int64_t room, pel_error *err)
{
    pel__errands *const errands = pel__store_errands(r->array->store);
    int64_t sent = 0, taken = 0;
    bool ok = true;
    while (ok && (w->more || taken < sent)) {
        for (; w->more && sent - taken < room; sent++)
            send_next(r, w, &ring[sent % room]);
        cell *const c = &ring[taken++ % room];
        ok = pel__errand_wait(errands, &c->errand, err) && read_cell(r, c, err);
    }
    for (; taken < sent; taken++) /* after an error */
        if (pel__errand_wait(errands, &ring[taken % room].errand, NULL))
            pel__object_close(ring[taken % room].object);
    return ok;
}

bool pel__zarr_array_read(pel__zarr_array *array, pel__codec_shelf *shelf, const pel_region *box, void *dst,
                          const int64_t *stride, pel_error *err)
{
    static const int64_t zero[PEL_MAX_NDIM];
    if (pel__region_empty(box))
        return true;
    reading r = {.array = array, .box = box, .dst = dst, .stride = stride};
    walk w = {.more = true};
    touched(box, zero, array->chunk, w.low, w.high);
    memcpy(w.grid, w.low, sizeof w.grid);
    int64_t count = 1;
    for (int32_t i = 0; i < box->ndim && count < PEL__STORE_CREW; i++)
        count *= pel__min(w.high[i] - w.low[i], PEL__STORE_CREW);
    const int64_t room = pel__min(count, pel__store_ahead(array->store));
    cell *const ring = malloc((size_t)room * sizeof *ring);
    r.state = ring ? pel__codec_take(shelf, err) : NULL;
    const bool ok = r.state ? read_cells(&r, &w, ring, room, err) : ring ? false : pel__fail(err, PEL_NO_MEMORY, "out of memory");
    if (r.state)
        pel__codec_put(shelf, r.state);
    free(ring);
    return ok;
}
