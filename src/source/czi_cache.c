/* SPDX-License-Identifier: MIT
 * Decoded tiles that are likely to be wanted again: blocks and halos cut through tiles, and a compressed tile is decoded
 * whole for each of them. A fixed number of slots, each as large as the largest tile, least recently used first to go.
 * A slot that a thread paints from is pinned. Decoding happens outside the lock, into the thread's scratch; the buffers
 * are then swapped, so nothing is copied. */
#include "source/czi.h"

#include "core/bytes.h"

#include <stdlib.h>

struct pel__czi_slot {
    int64_t tile;                    /* -1 = empty */
    pel__czi_slot *older, *newer;    /* order of use */
    pel__czi_slot *chain;            /* of the same hash */
    uint8_t *data;
    int64_t size;
    int32_t pins;
    uint8_t form;
};

struct pel__czi_cache {
    pthread_mutex_t lock;
    pel__czi_slot *slots, *oldest, *newest, **heads;
    int64_t count, hits, misses;
};

static pel__czi_slot **head_of(const pel__czi_cache *c, int64_t tile)
{
    return &c->heads[((uint64_t)tile * UINT64_C(0x9E3779B97F4A7C15) >> 20) % (uint64_t)c->count];
}

static void unlink_use(pel__czi_cache *c, pel__czi_slot *s)
{
    *(s->older ? &s->older->newer : &c->oldest) = s->newer;
    *(s->newer ? &s->newer->older : &c->newest) = s->older;
}

static void make_newest(pel__czi_cache *c, pel__czi_slot *s)
{
    s->older = c->newest;
    s->newer = NULL;
    *(c->newest ? &c->newest->newer : &c->oldest) = s;
    c->newest = s;
}

static pel__czi_slot *find(const pel__czi_cache *c, int64_t tile)
{
    pel__czi_slot *s = *head_of(c, tile);
    while (s && s->tile != tile)
        s = s->chain;
    return s;
}

static void forget(pel__czi_cache *c, pel__czi_slot *s)
{
    if (s->tile < 0)
        return;
    pel__czi_slot **at = head_of(c, s->tile);
    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
    s->tile = -1;
}

/* With a page for the allocator. */
int64_t pel__czi_slot_bytes(int64_t tile_bytes)
{
    return tile_bytes > 0 ? tile_bytes + (int64_t)sizeof(pel__czi_slot) + (int64_t)sizeof(pel__czi_slot *) + 4096 : 0;
}

pel__czi_cache *pel__czi_cache_create(int64_t bytes, int64_t tile_bytes)
{
    const int64_t count = tile_bytes > 0 ? pel__min(bytes / pel__czi_slot_bytes(tile_bytes), 1 << 20) : 0;
    if (count < 1)
        return NULL;
    pel__czi_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->count = count;
    c->slots = calloc((size_t)count, sizeof *c->slots);
    c->heads = calloc((size_t)count, sizeof(pel__czi_slot *));
    (void)pthread_mutex_init(&c->lock, NULL);
    for (int64_t i = 0; c->slots && i < count; i++) {
        c->slots[i].tile = -1;
        make_newest(c, &c->slots[i]);
    }
    if (c->slots && c->heads)
        return c;
    pel__czi_cache_destroy(c);
    return NULL;
}

void pel__czi_cache_destroy(pel__czi_cache *c)
{
    if (!c)
        return;
    for (int64_t i = 0; c->slots && i < c->count; i++)
        free(c->slots[i].data);
    free(c->slots);
    free(c->heads);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

pel__czi_slot *pel__czi_cache_get(pel__czi_cache *c, int64_t tile, const uint8_t **data, uint8_t *form)
{
    if (!c)
        return NULL;
    (void)pthread_mutex_lock(&c->lock);
    pel__czi_slot *s = find(c, tile);
    *(s ? &c->hits : &c->misses) += 1;
    if (s) {
        s->pins++;
        unlink_use(c, s);
        make_newest(c, s);
        *data = s->data;
        *form = s->form;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return s;
}

pel__czi_slot *pel__czi_cache_put(pel__czi_cache *c, int64_t tile, uint8_t **data, int64_t *size, uint8_t form)
{
    if (!c)
        return NULL;
    (void)pthread_mutex_lock(&c->lock);
    pel__czi_slot *s = find(c, tile) ? NULL : c->oldest; /* another thread may have been faster */
    while (s && s->pins > 0)
        s = s->newer;
    if (s) {
        uint8_t *const old = s->data;
        const int64_t old_size = s->size;
        forget(c, s);
        s->tile = tile;
        s->form = form;
        s->data = *data;
        s->size = *size;
        *data = old;
        *size = old_size;
        s->pins = 1;
        s->chain = *head_of(c, tile);
        *head_of(c, tile) = s;
        unlink_use(c, s);
        make_newest(c, s);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return s;
}

void pel__czi_cache_release(pel__czi_cache *c, pel__czi_slot *slot)
{
    if (!slot)
        return;
    (void)pthread_mutex_lock(&c->lock);
    slot->pins--;
    (void)pthread_mutex_unlock(&c->lock);
}

void pel__czi_cache_counts(pel__czi_cache *c, int64_t *hits, int64_t *misses)
{
    (void)pthread_mutex_lock(&c->lock);
    *hits = c->hits;
    *misses = c->misses;
    (void)pthread_mutex_unlock(&c->lock);
}
