/* SPDX-License-Identifier: MIT
 * The metadata documents as they lie in the store: looked at, written, and written again where they are lost or altered; and
 * what lies between them that is none of ours. Their texts are made in omezarr_meta.c. */
#include "core/bytes.h"
#include "sink/omezarr.h"
#include "zarr/json.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_DOCUMENT ((size_t)64 << 20)

enum state { RIGHT, ABSENT, NO_DOCUMENT, OTHER }; /* NO_DOCUMENT: empty, or no JSON at all */

typedef struct {
    enum state state;
    bool unfinished;    /* of the root's: not marked as complete */
    bool of_this_run;   /* of the root's: begun by this very run, whatever else differs */
    char where[200];    /* of OTHER: what differs */
    bool written;       /* by us, now */
    pel__digest digest; /* as it is stored */
} looked;

typedef struct {
    pel__store *store;
    const pel__sink_spec *spec;
    const pel__ome_docs *docs;
    looked *found;
} documents;

/* ---- comparing ----------------------------------------------------------------------------------------------- */

static json_object *run_of(json_object *doc)
{
    json_object *const attributes = pel__json_get(doc, "attributes", json_type_object);
    return pel__json_get(attributes ? attributes : doc, "pellucid", json_type_object);
}

static bool take_complete(json_object *doc)
{
    json_object *const run = run_of(doc), *v = NULL;
    const bool complete = run && json_object_object_get_ex(run, "complete", &v) && json_object_get_boolean(v);
    if (run)
        json_object_object_del(run, "complete");
    return complete;
}

/* Display ranges are known when the run has ended. */
static void drop_windows(json_object *doc)
{
    json_object *const attributes = pel__json_get(doc, "attributes", json_type_object);
    json_object *const ome = attributes ? pel__json_get(attributes, "ome", json_type_object) : doc;
    json_object *const channels = pel__json_get(pel__json_get(ome, "omero", json_type_object), "channels", json_type_array);
    for (size_t i = 0; channels && i < json_object_array_length(channels); i++) {
        json_object *const channel = json_object_array_get_idx(channels, i);
        if (json_object_is_type(channel, json_type_object))
            json_object_object_del(channel, "window");
    }
}

/* Both documents without the member that says whether the store is complete. */
static void compare_json(looked *out, const pel__sink_spec *spec, const char *old, size_t size, const char *text)
{
    json_object *a = NULL, *b = NULL;
    if (!pel__json_parse(&a, old, size, "", NULL)) {
        out->state = NO_DOCUMENT;
        return;
    }
    if (pel__json_parse(&b, text, strlen(text), "", NULL)) {
        out->unfinished = !take_complete(a);
        (void)take_complete(b);
        if (!spec->windows && !spec->older) {
            drop_windows(a);
            drop_windows(b);
        }
        json_object *const mine = run_of(b), *const theirs = run_of(a);
        char where[sizeof out->where];
        out->of_this_run = mine && theirs && !pel__json_differs(theirs, mine, where, sizeof where);
        out->state = pel__json_differs(a, b, out->where, sizeof out->where) ? OTHER : RIGHT;
    }
    json_object_put(a);
    json_object_put(b);
}

static const pel__digest *known_digest(const pel__sink_spec *spec, const char *key)
{
    for (int32_t i = 0; i < spec->known_count; i++) {
        if (strcmp(spec->known[i].path, key) == 0)
            return &spec->known[i].digest;
    }
    return NULL;
}

static bool digest_of(pel__digest *out, const pel__store *store, const char *key, const char *text, size_t n, pel_error *err)
{
    pel__hash *const h = pel__store_hash(store, key);
    if (!h)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: metadata");
    pel__hash_add(h, text, (int64_t)n);
    *out = pel__hash_digest(h);
    pel__hash_end(h);
    return true;
}

/* A document is right that is as this run recorded it, by whatever version, or as it would be written now. */
static bool look_at(const documents *d, int32_t number, pel_error *err)
{
    const pel__ome_doc *const doc = &d->docs->list[number];
    looked *const out = &d->found[number];
    char *old = NULL;
    size_t size = 0;
    pel_error e = {0};
    *out = (looked){.state = ABSENT};
    if (!pel__store_text(d->store, doc->key, MAX_DOCUMENT, &old, &size, &e)) {
        if (pel__store_is_remote(pel__store_root(d->store))) /* it may be there */
            return pel__fail(err, e.code, "%s", e.text);
        out->state = OTHER;
        (void)snprintf(out->where, sizeof out->where, "unreadable");
        return true;
    }
    if (!old)
        return true;
    const bool xml = strstr(doc->key, ".xml") != NULL, ok = digest_of(&out->digest, d->store, doc->key, old, size, err);
    if (xml)
        out->state = strcmp(old, doc->text) == 0 ? RIGHT : size == 0 ? NO_DOCUMENT : OTHER;
    else
        compare_json(out, d->spec, old, size, doc->text);
    const pel__digest *const known = known_digest(d->spec, doc->key);
    if (ok && known && pel__digest_equal(known, &out->digest))
        out->state = RIGHT;
    free(old);
    return ok;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static bool refuse(const documents *d, int32_t number, pel_error *err)
{
    const looked *const f = &d->found[number];
    char what[300] = "other content than this run would write";
    if (strcmp(f->where, "unreadable") == 0)
        (void)snprintf(what, sizeof what, "unreadable");
    else if (f->where[0])
        (void)snprintf(what, sizeof what, "differs from what this run would write, in \"%s\"", f->where);
    return pel__fail(err, PEL_REFUSED, "%s/%s: %s: nothing there is touched; choose another output or move it away%s", pel__store_root(d->store),
                     d->docs->list[number].key, what, d->spec->ours ? ". If this is the run's output, remove that document, and the same command writes it anew" : "");
}

static bool refuse_stranger(const documents *d, const char *name, pel_error *err)
{
    return pel__fail(err, PEL_REFUSED, "%s/%s: found in a place that is no store of this run: nothing there is touched; choose another output or move it away",
                     pel__store_root(d->store), name);
}

static bool first_stranger(void *arg, const char *name, pel_error *err)
{
    char *const out = arg;
    if (!out[0])
        (void)snprintf(out, PEL__PATH_MAX, "%s", name);
    return true;
}

/* Without the root's document: a new output must be empty, apart from what a killed start may have left; one that the run's
 * folder speaks for may hold what the plan has, and nothing else. */
static bool check_place(const documents *d, pel_error *err)
{
    char name[PEL__PATH_MAX] = "";
    pel__names strays = {.on_name = first_stranger, .arg = name};
    if (!d->spec->ours)
        return pel__store_first(d->store, name, sizeof name, err) && (!name[0] || refuse_stranger(d, name, err));
    return pel__ome_strays(d->store, d->spec, d->docs, &strays, err) && (!name[0] || refuse_stranger(d, name, err));
}

static bool check_root(const documents *d, pel_error *err)
{
    const looked *const root = &d->found[0];
    if (root->state == ABSENT || (root->state == NO_DOCUMENT && d->spec->ours))
        return check_place(d, err);
    return root->state == RIGHT || (d->spec->ours && root->of_this_run) || refuse(d, 0, err);
}

static bool look_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    const documents *const d = arg;
    (void)worker;
    if (i == 0)
        return true;
    return look_at(d, (int32_t)i, err) && (d->spec->ours || d->found[i].state <= ABSENT || refuse(d, (int32_t)i, err));
}

static bool put_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    const documents *const d = arg;
    const pel__ome_doc *const doc = &d->docs->list[i];
    (void)worker;
    if (d->found[i].state == RIGHT && !d->found[i].written)
        return true;
    d->found[i].state = RIGHT;
    d->found[i].written = true;
    return pel__store_put_text(d->store, doc->key, doc->text, err) && digest_of(&d->found[i].digest, d->store, doc->key, doc->text, strlen(doc->text), err);
}

static pel__pool *crew_of(const pel__store *store, const pel__ome_docs *docs, pel_error *err)
{
    pel__pool *crew = NULL;
    const bool remote = pel__store_is_remote(pel__store_root(store));
    return pel__pool_create(&crew, remote ? (int32_t)pel__min(PEL__STORE_CREW, docs->count) : 1, err) ? crew : NULL;
}

static bool report(const documents *d, pel__on_file *on_document, void *arg, pel_error *err)
{
    bool ok = true;
    for (int32_t i = 0; on_document && ok && i < d->docs->count; i++) {
        pel__file_record r = {.bytes = 0, .digest = d->found[i].digest};
        (void)snprintf(r.path, sizeof r.path, "%s", d->docs->list[i].key);
        ok = on_document(arg, &r, err);
    }
    return ok;
}

static bool put_below_root(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    return i == 0 || put_task(arg, i, worker, err);
}

/* The root's document first, or last: where it says complete. */
static bool put_and_sync(documents *d, pel__pool *crew, bool root_first, pel_error *err)
{
    pel__retry again = {0};
    bool ok = false;
    do {
        ok = (!root_first || put_task(d, 0, 0, err)) && pel__pool_run(crew, PEL__WRITE_FIRST, d->docs->count, put_below_root, d, err) &&
             (root_first || put_task(d, 0, 0, err)) && pel__store_sync(d->store, err);
    } while (!ok && pel__store_write_again(d->store, &again));
    return ok;
}

/* Every document is looked at before the first is written. The root's comes first, so that a start that was killed
 * half way is known as ours. */
bool pel__ome_put_docs(pel__store *store, const pel__sink_spec *spec, const pel__ome_docs *docs, pel__on_file *on_document, void *arg, pel_error *err)
{
    documents d = {.store = store, .spec = spec, .docs = docs, .found = calloc((size_t)docs->count, sizeof *d.found)};
    pel__pool *const crew = crew_of(store, docs, err);
    bool ok = crew && (d.found || pel__fail(err, PEL_NO_MEMORY, "out of memory: metadata"));
    ok = ok && look_at(&d, 0, err) && check_root(&d, err) && pel__pool_run(crew, PEL__READ_NEXT, docs->count, look_task, &d, err);
    ok = ok && put_and_sync(&d, crew, true, err) && report(&d, on_document, arg, err);
    pel__pool_destroy(crew);
    free(d.found);
    return ok;
}

/* What the end of the run makes of a document is written over what was written at its beginning, and over nothing else: not over what
 * was finished before, nor over what another version recorded. */
static bool is_to_be_finished(const pel__store *store, const pel__sink_spec *spec, const pel__ome_doc *before, const pel__ome_doc *doc, bool *out, pel_error *err)
{
    pel__digest digest;
    const pel__digest *const known = known_digest(spec, doc->key);
    if (!digest_of(&digest, store, before->key, before->text, strlen(before->text), err))
        return false;
    *out = strcmp(before->text, doc->text) != 0 && (!known || pel__digest_equal(known, &digest));
    return true;
}

static bool report_finished(const documents *d, const bool *written, pel__on_file *on_document, void *arg, pel_error *err)
{
    bool ok = true;
    for (int32_t i = 0; on_document && ok && i < d->docs->count; i++) {
        pel__file_record r = {.bytes = 0, .digest = d->found[i].digest};
        (void)snprintf(r.path, sizeof r.path, "%s", d->docs->list[i].key);
        ok = !written[i] || on_document(arg, &r, err);
    }
    return ok;
}

bool pel__ome_finish_docs(pel__store *store, const pel__sink_spec *spec, const pel__ome_docs *before, const pel__ome_docs *docs, pel__on_file *on_document,
                          void *arg, pel_error *err)
{
    documents d = {.store = store, .spec = spec, .docs = docs, .found = calloc((size_t)docs->count, sizeof *d.found)};
    bool *const written = calloc((size_t)docs->count, sizeof *written);
    pel__pool *const crew = crew_of(store, docs, err);
    bool ok = crew && ((d.found && written) || pel__fail(err, PEL_NO_MEMORY, "out of memory: metadata"));
    for (int32_t i = 0; ok && i < docs->count; i++) {
        ok = is_to_be_finished(store, spec, &before->list[i], &docs->list[i], &written[i], err);
        written[i] = written[i] || i == 0;
        d.found[i].state = written[i] ? ABSENT : RIGHT;
    }
    ok = ok && put_and_sync(&d, crew, false, err) && report_finished(&d, written, on_document, arg, err);
    pel__pool_destroy(crew);
    free(written);
    free(d.found);
    return ok;
}

/* ---- auditing ------------------------------------------------------------------------------------------------------ */

static bool audit_task(void *arg, int64_t i, int32_t worker, pel_error *err)
{
    (void)worker;
    return look_at(arg, (int32_t)i, err);
}

static void tell(const documents *d, int32_t i, bool complete, pel__document_found *out)
{
    const looked *const f = &d->found[i];
    *out = (pel__document_found){.path = d->docs->list[i].key, .missing = f->state == ABSENT, .damaged = f->state > ABSENT};
    if (f->state == NO_DOCUMENT)
        (void)snprintf(out->found, sizeof out->found, "empty, or no document at all");
    else if (strcmp(f->where, "unreadable") == 0)
        (void)snprintf(out->found, sizeof out->found, "found a folder or what cannot be read, expected a document: move it away, and the same command writes it anew");
    else if (f->state == OTHER && f->where[0])
        (void)snprintf(out->found, sizeof out->found, "differs in \"%.150s\" from what this run wrote", f->where);
    else if (f->state == OTHER)
        (void)snprintf(out->found, sizeof out->found, "differs from what this run wrote");
    if (i != 0 || f->state != RIGHT || !complete || !f->unfinished)
        return;
    out->damaged = true;
    (void)snprintf(out->found, sizeof out->found, "does not say that the store is complete");
}

bool pel__ome_audit_docs(pel__store *store, const pel__sink_spec *spec, bool complete, pel__on_document *on_document, void *arg, pel_error *err)
{
    pel__ome_docs docs = {0};
    if (!pel__ome_docs_make(&docs, spec, complete, err))
        return false;
    documents d = {.store = store, .spec = spec, .docs = &docs, .found = calloc((size_t)docs.count, sizeof *d.found)};
    pel__pool *const crew = crew_of(store, &docs, err);
    bool ok = crew && (d.found || pel__fail(err, PEL_NO_MEMORY, "out of memory: metadata"));
    ok = ok && pel__pool_run(crew, PEL__READ_NEXT, docs.count, audit_task, &d, err);
    for (int32_t i = 0; ok && i < docs.count; i++) {
        pel__document_found f;
        tell(&d, i, complete, &f);
        ok = on_document(arg, &f, err);
    }
    pel__pool_destroy(crew);
    free(d.found);
    pel__ome_docs_free(&docs);
    return ok;
}

/* ---- strays ---------------------------------------------------------------------------------------------------------- */

static bool take_number(const char **at, int64_t below, int64_t *out)
{
    const size_t n = strspn(*at, "0123456789");
    if (n == 0 || n > 18)
        return false;
    *out = strtoll(*at, NULL, 10);
    *at += n;
    return *out < below;
}

/* Is this the name of a shard that the plan has? */
static bool is_shard(const pel__sink_spec *spec, const char *key)
{
    const char *at = key;
    char again[256];
    int64_t image = 0, level = 0, grid[PEL_AXES];
    if (spec->image_count > 1 && (!take_number(&at, spec->image_count, &image) || *at++ != '/'))
        return false;
    if (!take_number(&at, spec->layouts[image].level_count, &level) || *at++ != '/')
        return false;
    const pel__level *const l = &spec->layouts[image].level[level];
    if (spec->ome_version == 5 && strncmp(at, "c/", 2) == 0)
        at += 2;
    for (int i = 0; i < PEL_AXES; i++) {
        if (!take_number(&at, pel__ceil_div(l->shape[i], l->shard[i]), &grid[i]) || *at++ != (i < PEL_AXES - 1 ? '/' : '\0'))
            return false;
    }
    pel__ome_key(spec, (int32_t)image, (int32_t)level, grid, again, sizeof again);
    return strcmp(again, key) == 0;
}

static bool is_document(const pel__ome_docs *docs, const char *key)
{
    for (int32_t i = 0; i < docs->count; i++) {
        if (strcmp(docs->list[i].key, key) == 0)
            return true;
    }
    return false;
}

/* Folders of the root and of an image that are named by words hold what other programs added: labels, tables. Those named
 * by numbers are levels and images, ours alone. */
static bool is_foreign(const pel__sink_spec *spec, const char *key)
{
    for (int depth = 0; depth < (spec->image_count > 1 ? 2 : 1); depth++) {
        const char *const slash = strchr(key, '/');
        if (!slash)
            return false;
        const size_t n = (size_t)(slash - key);
        if (strspn(key, "0123456789") != n)
            return !(depth == 0 && spec->image_count > 1 && n == 3 && strncmp(key, "OME", n) == 0);
        key = slash + 1;
    }
    return false;
}

typedef struct {
    const pel__sink_spec *spec;
    const pel__ome_docs *docs;
    const pel__names *strays;
} search;

static bool visit_key(void *arg, const char *key, pel_error *err)
{
    const search *const s = arg;
    return is_foreign(s->spec, key) || is_shard(s->spec, key) || is_document(s->docs, key) || s->strays->on_name(s->strays->arg, key, err);
}

static bool enter_folder(void *arg, const char *key)
{
    return !is_foreign(((const search *)arg)->spec, key);
}

bool pel__ome_strays(pel__store *store, const pel__sink_spec *spec, const pel__ome_docs *docs, pel__names *strays, pel_error *err)
{
    search s = {.spec = spec, .docs = docs, .strays = strays};
    const pel__store_walk walk = {.on_key = visit_key, .enter = enter_folder, .arg = &s};
    return pel__store_each(store, &walk, &strays->listed, err);
}

/* ---- whose store is it? ----------------------------------------------------------------------------------------- */

static char *run_text(const char *text, size_t n)
{
    json_object *o = NULL;
    char *out = NULL;
    if (pel__json_parse(&o, text, n, "", NULL) && run_of(o))
        out = strdup(json_object_to_json_string_ext(run_of(o), JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    return out;
}

bool pel__ome_provenance(const pel__sink_spec *spec, char **out, pel_error *err)
{
    static const char *const roots[] = {"zarr.json", ".zattrs"};
    pel__store *store = NULL;
    *out = NULL;
    bool ok = pel__store_create(&store, spec->path, spec->remote, err);
    for (int i = 0; ok && !*out && i < 2; i++) {
        char *text = NULL;
        size_t n = 0;
        ok = pel__store_text(store, roots[i], MAX_DOCUMENT, &text, &n, err);
        *out = ok && text ? run_text(text, n) : NULL;
        free(text);
    }
    pel__store_close(store);
    return ok;
}
