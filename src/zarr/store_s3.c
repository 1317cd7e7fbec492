/* SPDX-License-Identifier: MIT
 * The writing half of a store on S3. An object is one PUT of all its bytes, which the server takes whole or not at all, so
 * there are no temporary names. The server holds what was sent against its CRC-32C; of a shard that is no proof of its contents
 * (codec/hash.h), so our own digest of key and contents goes into the object's metadata. An object with both is proven by a
 * HEAD: a copy brings the digest of another key along, and whoever writes it anew writes none. All others are read. */
#include "core/bytes.h"
#include "core/pool.h"
#include "zarr/answer.h"
#include "zarr/store_remote.h"
#include "zarr/url.h"

#include <stdio.h>
#include <stdlib.h>

#define READ_AT_ONCE ((int64_t)64 << 20) /* of a checksum: what one failing connection makes read again */
#define MAX_LIST_BYTES ((int64_t)16 << 20)

static pel__remote_store *remote_of(pel__store *store)
{
    return (pel__remote_store *)store;
}

/* ---- one object ---------------------------------------------------------------------------------------------- */

static bool begin(pel__store_writer *w, const char *key, pel_error *err)
{
    return pel__url_key(w->path, sizeof w->path, remote_of(w->store)->url, key, err);
}

static bool append(pel__store_writer *w, const void *data, int64_t n, pel_error *err)
{
    if (n > w->capacity - w->bytes)
        return pel__fail(err, PEL_INTERNAL, "%s: more than the %lld bytes that were planned", w->path, (long long)w->capacity);
    if (w->room + w->bytes != (const uint8_t *)data)
        memcpy(w->room + w->bytes, data, (size_t)n);
    return true;
}

static bool commit(pel__store_writer *w, pel_error *err)
{
    pel__remote_store *const s = remote_of(w->store);
    const pel__digest digest = pel__writer_digest(w);
    const pel__request q = {.url = w->path, .method = PEL__PUT, .body = w->room, .n = w->bytes, .crc32c = w->crc32c, .digest = &digest};
    pel__reply r = {0};
    if (!pel__http_ask(s->http, &q, &r, err))
        return false;
    if (r.status != 200)
        return pel__remote_fail(&r, w->path, err) || pel__where(err, "PUT ");
    if (!s->proof) /* the root's document, before there are threads */
        s->proof = strdup(w->path);
    return true;
}

static bool head(pel__remote_store *s, const char *key, pel__reply *r, bool *there, pel_error *err)
{
    char url[PEL__PATH_MAX];
    const pel__request q = {.url = url, .range = PEL__RANGE_NOTHING};
    return pel__url_key(url, sizeof url, s->url, key, err) && pel__http_ask(s->http, &q, r, err) && pel__remote_there(s, url, r, there, err);
}

static bool delete_url(pel__remote_store *s, const char *url, pel_error *err)
{
    const pel__request q = {.url = url, .method = PEL__DELETE};
    pel__reply r = {0};
    if (!pel__http_ask(s->http, &q, &r, err))
        return false;
    return r.status == 200 || r.status == 404 || pel__remote_fail(&r, url, err) || pel__where(err, "DELETE ");
}

/* Looks first: there is hardly ever anything to remove, and not everybody who may write may remove. */
static bool remove_object(pel__store *store, const char *key, pel_error *err)
{
    pel__remote_store *const s = remote_of(store);
    char url[PEL__PATH_MAX];
    pel__reply r = {0};
    bool there = false;
    return head(s, key, &r, &there, err) && (!there || (pel__url_key(url, sizeof url, s->url, key, err) && delete_url(s, url, err)));
}

static bool sum_pieces(pel__remote_store *s, const char *url, pel__sum *sum, pel__found *out, pel_error *err)
{
    for (int64_t at = 0; at < out->bytes; at += READ_AT_ONCE) {
        const pel__request q = {.url = url, .range = PEL__RANGE_SPAN, .offset = at, .n = pel__min(READ_AT_ONCE, out->bytes - at),
                                .sum = sum};
        pel__reply r = {0};
        if (!pel__http_ask(s->http, &q, &r, err))
            return false;
        out->readable = r.status == 200 && r.got == q.n;
        if (r.status != 200 && r.status != 404 && r.status != 416)
            return pel__remote_fail(&r, url, err);
        if (!out->readable) /* it changes while we look at it */
            return true;
    }
    out->crc32c = sum->crc32c;
    out->digest = pel__hash_digest(sum->hash);
    return true;
}

static bool sum_object(pel__remote_store *s, const char *key, pel__found *out, pel_error *err)
{
    char url[PEL__PATH_MAX];
    pel__sum sum = {.hash = pel__store_hash(&s->base, key)};
    const bool ok = sum.hash ? pel__url_key(url, sizeof url, s->url, key, err) && sum_pieces(s, url, &sum, out, err)
                             : pel__fail(err, PEL_NO_MEMORY, "out of memory");
    pel__hash_end(sum.hash);
    return ok;
}

static bool look(pel__store *store, const char *key, enum pel__depth depth, pel__found *out, pel_error *err)
{
    pel__reply r = {0};
    if (!head(remote_of(store), key, &r, &out->there, err))
        return false;
    if (!out->there)
        return true;
    if (r.total < 0)
        return pel__fail(err, PEL_UNSUPPORTED, "%s/%s: the server does not tell its length", store->root, key);
    out->bytes = r.total;
    if (depth == PEL__DEPTH_LENGTH)
        return true;
    if (depth == PEL__DEPTH_STORED && r.has_crc32c && r.has_digest) {
        out->crc32c = r.crc32c;
        out->digest = r.digest;
        return true;
    }
    return sum_object(remote_of(store), key, out, err);
}

/* ---- many objects -------------------------------------------------------------------------------------------- */

/* Keys below the root, free() *text; *denied: the server does not list for us. */
static bool list(pel__remote_store *s, const char *url, char **text, bool *denied, pel_error *err)
{
    const pel__request q = {.url = url, .range = PEL__RANGE_ALL, .n = MAX_LIST_BYTES};
    pel__reply r = {0};
    *text = NULL;
    *denied = false;
    if (!pel__http_ask(s->http, &q, &r, err))
        return false;
    *denied = r.status == 403 && (r.reason[0] == '\0' || strcmp(r.reason, "AccessDenied") == 0);
    if (r.status == 200 && (r.body || (r.body = calloc(1, 1)))) {
        r.body[r.got] = '\0';
        *text = (char *)r.body;
        return true;
    }
    free(r.body);
    return *denied || pel__remote_fail(&r, url, err);
}

/* The part of a listed key below the root; NULL where it is not below it. */
static const char *below_root(const pel__remote_store *s, const char *key)
{
    size_t n = 0;
    const char *const prefix = pel__url_prefix(s->base.root, &n);
    if (n == 0)
        return key;
    return strncmp(key, prefix, n) == 0 && key[n] == '/' ? key + n + 1 : NULL;
}

static bool first(pel__store *store, char *name, size_t size, pel_error *err)
{
    pel__remote_store *const s = remote_of(store);
    char *text = NULL;
    bool denied = false;
    if (!list(s, s->list, &text, &denied, err))
        return false;
    char *at = text;
    const char *const key = text ? pel__answer_key(&at) : NULL, *const below = key ? below_root(s, key) : NULL;
    if (key)
        (void)snprintf(name, size, "%s", below && below[0] ? below : key);
    free(text);
    return true; /* where we may not list, objects of others show when they are in the way of ours */
}

/* The keys of one listing; *last: the last of them, "" for none. */
static bool visit_listing(const pel__remote_store *s, char *text, const pel__store_walk *walk, char *last, pel_error *err)
{
    bool ok = true;
    char *at = text;
    last[0] = '\0';
    for (char *key = pel__answer_key(&at); ok && key; key = pel__answer_key(&at)) {
        const char *const below = below_root(s, key);
        (void)snprintf(last, PEL__PATH_MAX, "%s", key);
        ok = !below || !below[0] || walk->on_key(walk->arg, below, err);
    }
    return ok;
}

static bool each(pel__store *store, const pel__store_walk *walk, bool *listed, pel_error *err)
{
    pel__remote_store *const s = remote_of(store);
    char url[PEL__PATH_MAX], last[PEL__PATH_MAX] = "", before[PEL__PATH_MAX] = "";
    bool ok = true, denied = false;
    (void)snprintf(url, sizeof url, "%s", s->list);
    do {
        char *text = NULL;
        (void)snprintf(before, sizeof before, "%s", last);
        ok = list(s, url, &text, &denied, err) && (!text || visit_listing(s, text, walk, last, err));
        *listed = *listed && !denied;
        free(text);
        if (ok && !denied && last[0] && strcmp(last, before) <= 0 && before[0])
            return pel__fail(err, PEL_IO, "%s: the server lists the same keys again", store->root);
    } while (ok && !denied && last[0] && pel__url_list_after(url, sizeof url, s->list, last, err));
    return ok && (denied || !last[0] || pel__fail(err, PEL_INTERNAL, "%s: the listing was cut", store->root));
}

typedef struct {
    pel__remote_store *store;
    const char *key[PEL__LIST_MOST];
    char first[PEL__PATH_MAX]; /* of the listing before */
} removal;

static bool remove_listed(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const removal *const r = arg;
    char url[PEL__PATH_MAX];
    (void)worker;
    return pel__url_key(url, sizeof url, r->store->url, r->key[index], err) && delete_url(r->store, url, err);
}

/* Deletes the keys of one listing; *count: how many there were. */
static bool clear_some(removal *r, pel__pool *crew, int64_t *count, pel_error *err)
{
    char *text = NULL, before[PEL__PATH_MAX];
    (void)snprintf(before, sizeof before, "%s", r->first);
    bool denied = false;
    *count = 0;
    if (!list(r->store, r->store->list, &text, &denied, err))
        return false;
    if (denied || !text)
        return pel__fail(err, PEL_IO, "%s: cannot be listed (HTTP 403 AccessDenied), so it cannot be emptied", r->store->base.root);
    char *at = text;
    for (char *key = pel__answer_key(&at); key && *count < PEL__LIST_MOST; key = pel__answer_key(&at)) {
        const char *const below = below_root(r->store, key);
        if (below)
            r->key[(*count)++] = below;
    }
    (void)snprintf(r->first, sizeof r->first, "%s", *count > 0 ? r->key[0] : "");
    const bool stuck = *count > 0 && strcmp(before, r->first) == 0;
    const bool ok = stuck ? pel__fail(err, PEL_IO, "%s/%s: was deleted and is there again", r->store->base.root, before)
                          : pel__pool_run(crew, PEL__WRITE_FIRST, *count, remove_listed, r, err);
    free(text);
    return ok;
}

/* Lists from the start each time: what was listed before is gone then. */
static bool clear(pel__store *store, pel_error *err)
{
    removal *const r = calloc(1, sizeof *r);
    pel__pool *crew = NULL;
    if (!r || !pel__pool_create(&crew, PEL__STORE_CREW, err)) {
        free(r);
        return r || pel__fail(err, PEL_NO_MEMORY, "out of memory");
    }
    r->store = remote_of(store);
    int64_t count = 1;
    bool ok = true;
    while (ok && count > 0)
        ok = clear_some(r, crew, &count, err);
    pel__pool_destroy(crew);
    free(r);
    return ok;
}

const pel__store_writes pel__store_s3_writes = {
    .begin = begin,
    .append = append,
    .commit = commit,
    .remove = remove_object,
    .look = look,
    .first = first,
    .each = each,
    .clear = clear,
};
