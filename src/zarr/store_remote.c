/* SPDX-License-Identifier: MIT
 * A store behind http, https or s3. An object is found by the request that brings its first needed part: the whole chunk,
 * or the index at the end (or start) of a shard; later parts come by ranges, neighbours together (expect).
 *
 * 404 is absence. So is 403 on a chunk or document, because servers that must not list answer so for keys that are not
 * there; but only as long as a document of this store that was readable still is: keys that lapse during a run are an
 * error, never zeros. */
#include "zarr/store_remote.h"

#include "core/bytes.h"
#include "zarr/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef pel__remote_store remote_store;

typedef struct remote_object {
    pel__object base;
    remote_store *store;
    char *url;
    uint8_t *window; /* n bytes at offset are here */
    int64_t offset, n;
} remote_object;

/* ---- answers -------------------------------------------------------------------------------------------------- */

/* What the user can do, by the code that S3 gives or else by the status. */
static const char *advice(const pel__reply *r)
{
    static const struct {
        const char *code, *text;
    } list[] = {
        {"NoSuchBucket", ": there is no such bucket: make it first"},
        {"InvalidAccessKeyId", ": access denied: the server does not know this AWS_ACCESS_KEY_ID"},
        {"SignatureDoesNotMatch", ": access denied: AWS_SECRET_ACCESS_KEY does not belong to this key"},
        {"ExpiredToken", ": access denied: the temporary keys are no longer valid"},
        {"RequestTimeTooSkewed", ": access denied: this machine's clock is wrong"},
        {"QuotaExceeded", ": no space left: the quota is used up"},
        {"XMinioStorageFull", ": no space left on the server"},
        {"EntityTooLarge", ": the object is too large for this server: take smaller blocks (--block)"},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (strcmp(r->reason, list[i].code) == 0)
            return list[i].text;
    switch (r->status) {
    case 401:
    case 403:
        return ": access denied";
    case 413:
        return ": too large for this server: take smaller blocks (--block)";
    case 507:
        return ": no space left on the server";
    default:
        return r->status >= 300 && r->status < 400 ? ": the data are elsewhere" : "";
    }
}

bool pel__remote_fail(const pel__reply *r, const char *url, pel_error *err)
{
    const bool told = r->status >= 300 && r->status < 400 && r->region[0];
    return pel__fail(err, r->status == 404 ? PEL_NOT_FOUND : PEL_IO, "%s: HTTP %d%s%s%s%s%s", url, (int)r->status,
                     r->reason[0] ? " " : "", r->reason, advice(r), told ? ", in region " : "", told ? r->region : "");
}

/* A 403 that may mean "not there"; one that names a wrong key or signature does not. */
static bool may_be_absence(const pel__reply *r)
{
    return r->status == 403 && (r->reason[0] == '\0' || strcmp(r->reason, "AccessDenied") == 0);
}

/* Is what could be read before still readable? */
static bool still_allowed(remote_store *s, pel_error *err)
{
    const pel__request q = {.url = s->proof, .range = PEL__RANGE_NOTHING};
    pel__reply r = {0};
    if (!s->proof)
        return false;
    return pel__http_ask(s->http, &q, &r, err) && r.status == 200;
}

bool pel__remote_there(remote_store *s, const char *url, const pel__reply *r, bool *there, pel_error *err)
{
    pel_error e = {0};
    *there = r->status == 200;
    if (*there || r->status == 404 || r->status == 410)
        return true;
    if (may_be_absence(r) && still_allowed(s, &e))
        return true;
    return e.code ? pel__fail(err, e.code, "%s", e.text) : pel__remote_fail(r, url, err);
}

/* ---- documents ------------------------------------------------------------------------------------------------ */

static bool read_text(pel__store *store, const char *key, size_t limit, char **out, size_t *size, pel_error *err)
{
    remote_store *const s = (remote_store *)store;
    char url[PEL__PATH_MAX];
    pel__reply r = {0};
    if (!pel__url_key(url, sizeof url, s->url, key, err))
        return false;
    const pel__request q = {.url = url, .range = PEL__RANGE_ALL, .n = (int64_t)limit};
    if (!pel__http_ask(s->http, &q, &r, err))
        return false;
    if (r.status != 200) {
        free(r.body);
        if (r.status == 404 || r.status == 410)
            return true;
        if (!may_be_absence(&r))
            return pel__remote_fail(&r, url, err);
        if (!store->refused)
            store->refused = strdup(url);
        return true;
    }
    if (!r.body && !(r.body = calloc(1, 1)))
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    r.body[r.got] = '\0';
    if (!s->proof)
        s->proof = strdup(url);
    *out = (char *)r.body;
    *size = (size_t)r.got;
    return true;
}

/* ---- objects -------------------------------------------------------------------------------------------------- */

static void close_object(pel__object *object)
{
    remote_object *const o = (remote_object *)object;
    free(o->window);
    free(o->url);
    free(o);
}

/* n bytes at offset into dst; an object that ends before is damaged. */
/* NOLINTNEXTLINE(readability-non-const-parameter): written through the request */
static bool fetch(remote_object *o, int64_t offset, uint8_t *dst, int64_t n, pel_error *err)
{
    const pel__request q = {.url = o->url, .range = PEL__RANGE_SPAN, .offset = offset, .n = n, .dst = dst};
    pel__reply r = {0};
    if (!pel__http_ask(o->store->http, &q, &r, err))
        return false;
    if (r.status == 416)
        return pel__fail(err, PEL_DAMAGED, "%s: ends before byte %lld", o->url, (long long)offset);
    if (r.status != 200)
        return pel__remote_fail(&r, o->url, err);
    if (r.got != n)
        return pel__fail(err, PEL_DAMAGED, "%s: %lld bytes at %lld, expected %lld", o->url, (long long)r.got, (long long)offset,
                         (long long)n);
    return true;
}

static bool read_object(pel__object *object, int64_t offset, void *dst, int64_t n, pel_error *err)
{
    remote_object *const o = (remote_object *)object;
    if (n == 0)
        return true;
    if (offset >= o->offset && n <= o->n && offset - o->offset <= o->n - n) {
        memcpy(dst, o->window + (offset - o->offset), (size_t)n);
        return true;
    }
    return fetch(o, offset, dst, n, err);
}

/* The length alone. */
static bool find_size(remote_object *o, bool *there, pel_error *err)
{
    const pel__request q = {.url = o->url, .range = PEL__RANGE_NOTHING};
    pel__reply r = {0};
    if (!pel__http_ask(o->store->http, &q, &r, err) || !pel__remote_there(o->store, o->url, &r, there, err))
        return false;
    o->base.size = r.total;
    if (*there && r.total < 0)
        return pel__fail(err, PEL_UNSUPPORTED, "%s: the server does not tell its length", o->url);
    return true;
}

/* The request that finds the object brings its wanted part along. */
static bool find(remote_object *o, const pel__want *want, bool *there, pel_error *err)
{
    static const enum pel__range ranges[] = {PEL__RANGE_ALL, PEL__RANGE_SPAN, PEL__RANGE_TAIL};
    remote_store *const s = o->store;
    const pel__request q = {.url = o->url, .range = ranges[want->part], .n = want->bytes};
    pel__reply r = {0};
    if (want->part == PEL__WANT_TAIL && atomic_load(&s->no_tail))
        return find_size(o, there, err);
    if (!pel__http_ask(s->http, &q, &r, err))
        return false;
    const bool range_refused = want->part != PEL__WANT_ALL
        && (r.status == 400 || r.status == 405 || r.status == 416 || r.status == 501 || (r.status == 200 && r.total < 0));
    const bool tail_ignored = want->part == PEL__WANT_TAIL && r.status == 200 && r.got == 0;
    if (tail_ignored || (range_refused && want->part == PEL__WANT_TAIL && r.status != 416))
        atomic_store(&s->no_tail, true);
    if (range_refused) {
        free(r.body);
        return find_size(o, there, err);
    }
    const bool ok = pel__remote_there(s, o->url, &r, there, err);
    if (!ok || !*there) {
        free(r.body);
        return ok;
    }
    o->window = r.body;
    o->offset = r.offset;
    o->n = r.got;
    o->base.size = want->part == PEL__WANT_ALL ? r.got : r.total;
    return true;
}

static bool open_object(pel__store *store, const char *key, const pel__want *want, pel__object **out, pel_error *err);
static bool known_object(pel__store *store, const char *key, int64_t bytes, pel__object **out, pel_error *err);

static void close_store(pel__store *store)
{
    remote_store *const s = (remote_store *)store;
    free(s->list);
    pel__http_close(s->http);
    free(s->proof);
    free(s);
}

static const pel__store_type remote_type = {
    .far = true,
    .writes = &pel__store_s3_writes,
    .text = read_text,
    .object = open_object,
    .read = read_object,
    .known = known_object,
    .close_object = close_object,
    .close = close_store,
};

static remote_object *new_object(pel__store *store, const char *key, pel_error *err)
{
    char url[PEL__PATH_MAX];
    if (!pel__url_key(url, sizeof url, ((remote_store *)store)->url, key, err))
        return NULL;
    remote_object *const o = calloc(1, sizeof *o);
    if (!o || !(o->url = strdup(url))) {
        (void)pel__fail(err, PEL_NO_MEMORY, "out of memory");
        free(o);
        return NULL;
    }
    o->base.type = &remote_type;
    o->store = (remote_store *)store;
    return o;
}

static bool known_object(pel__store *store, const char *key, int64_t bytes, pel__object **out, pel_error *err)
{
    remote_object *const o = new_object(store, key, err);
    if (!o)
        return false;
    o->base.size = bytes;
    *out = &o->base;
    return true;
}

static bool open_object(pel__store *store, const char *key, const pel__want *want, pel__object **out, pel_error *err)
{
    bool there = false;
    remote_object *const o = new_object(store, key, err);
    const bool ok = o && find(o, want, &there, err);
    if (ok && there)
        *out = &o->base;
    else if (o)
        close_object(&o->base);
    return ok;
}

static bool keep_listing(remote_store *s, const char *root, const pel_remote *remote, pel_error *err)
{
    char url[PEL__PATH_MAX];
    if (!pel__url_list(url, sizeof url, root, remote, PEL__LIST_MOST, err))
        return false;
    s->list = strdup(url);
    return s->list || pel__fail(err, PEL_NO_MEMORY, "%s: out of memory", root);
}

bool pel__store_open_remote(pel__store **out, const char *root, const pel_remote *remote, pel_error *err)
{
    remote_store *const s = calloc(1, sizeof *s);
    if (!s || !(s->base.root = strdup(root))) {
        free(s);
        return pel__fail(err, PEL_NO_MEMORY, "%s: out of memory", root);
    }
    s->base.type = &remote_type;
    s->base.ahead = 2;
    if (!pel__url_root(s->url, sizeof s->url, root, remote, err)
        || (pel__url_is_s3(root) && !keep_listing(s, root, remote, err))
        || !pel__errands_create(&s->base.errands, PEL__STORE_CREW, err) || !pel__index_cache_create(&s->base.indexes, err)
        || !pel__http_open(&s->http, remote, pel__url_is_s3(root), err)) {
        pel__store_close(&s->base);
        return false;
    }
    *out = &s->base;
    return true;
}
