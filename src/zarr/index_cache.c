/* SPDX-License-Identifier: MIT
 * See index_cache.h. A short list, searched from its start: an entry saves a request over a network. */
#include "zarr/index_cache.h"

#include "core/error.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ENTRIES 256

typedef struct entry {
    char *key; /* NULL: none */
    uint8_t *index;
    int64_t object_bytes, bytes;
    uint64_t used;
} entry;

struct pel__index_cache {
    pthread_mutex_t mutex;
    entry list[MOST_ENTRIES];
    int64_t held;
    uint64_t clock;
};

bool pel__index_cache_create(pel__index_cache **out, pel_error *err)
{
    pel__index_cache *const c = calloc(1, sizeof *c);
    if (!c)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    (void)pthread_mutex_init(&c->mutex, NULL);
    *out = c;
    return true;
}

static void drop(pel__index_cache *c, entry *e)
{
    c->held -= e->bytes;
    free(e->key);
    free(e->index);
    *e = (entry){0};
}

void pel__index_cache_destroy(pel__index_cache *c)
{
    for (int i = 0; c && i < MOST_ENTRIES; i++)
        drop(c, &c->list[i]);
    if (c)
        (void)pthread_mutex_destroy(&c->mutex);
    free(c);
}

static entry *find(pel__index_cache *c, const char *key)
{
    for (int i = 0; i < MOST_ENTRIES; i++)
        if (c->list[i].key && strcmp(c->list[i].key, key) == 0)
            return &c->list[i];
    return NULL;
}

bool pel__index_cache_get(pel__index_cache *c, const char *key, int64_t *object_bytes, uint8_t **index)
{
    (void)pthread_mutex_lock(&c->mutex);
    entry *const e = find(c, key);
    uint8_t *const copy = e && index ? malloc((size_t)e->bytes) : NULL;
    const bool ok = e && (copy || !index);
    if (ok) {
        e->used = ++c->clock;
        *object_bytes = e->object_bytes;
    }
    if (ok && index) {
        memcpy(copy, e->index, (size_t)e->bytes);
        *index = copy;
    }
    (void)pthread_mutex_unlock(&c->mutex);
    return ok;
}

/* An empty place, or that of the entry which was not used for longest, until there is room. */
static entry *make_room(pel__index_cache *c, int64_t bytes)
{
    for (;;) {
        entry *oldest = NULL, *empty = NULL;
        for (int i = 0; i < MOST_ENTRIES; i++) {
            entry *const e = &c->list[i];
            if (!e->key)
                empty = e;
            else if (!oldest || e->used < oldest->used)
                oldest = e;
        }
        if (empty && c->held + bytes <= PEL__INDEX_CACHE_BYTES)
            return empty;
        drop(c, oldest);
    }
}

void pel__index_cache_put(pel__index_cache *c, const char *key, int64_t object_bytes, const uint8_t *index, int64_t bytes)
{
    if (bytes > PEL__INDEX_CACHE_BYTES / 4) /* it would push out all others */
        return;
    entry new = {.key = strdup(key), .index = malloc((size_t)bytes), .object_bytes = object_bytes, .bytes = bytes};
    if (!new.key || !new.index) {
        free(new.key);
        free(new.index);
        return;
    }
    memcpy(new.index, index, (size_t)bytes);
    (void)pthread_mutex_lock(&c->mutex);
    entry *const known = find(c, key);
    if (known)
        drop(c, known);
    entry *const at = make_room(c, bytes);
    new.used = ++c->clock;
    *at = new;
    c->held += bytes;
    (void)pthread_mutex_unlock(&c->mutex);
}
