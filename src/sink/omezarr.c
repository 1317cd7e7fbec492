/* SPDX-License-Identifier: MIT
 * The OME-Zarr sink: creates the store, names its files, marks it complete. Pixels are written in omezarr_write.c,
 * the documents made in omezarr_meta.c. docs/formats-zarr.md draws what comes out. */
#include "sink/omezarr.h"

#include "core/bytes.h"
#include "core/region.h"
#include "zarr/json.h"
#include "zarr/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_INDEX_ENTRIES ((int64_t)1 << 20)
#define MAX_DOCUMENT ((size_t)64 << 20)

/* ---- names ------------------------------------------------------------------------------------------------- */

int64_t pel__ome_chunks_per_shard(const pel__level *level)
{
    int64_t n = 1;
    for (int i = 0; i < PEL_AXES; i++)
        n *= level->shard[i] / level->chunk[i];
    return n;
}

int64_t pel__ome_chunk_bytes(const pel__sink_spec *spec, const pel__level *level)
{
    int64_t n = (int64_t)pel_dtype_size(spec->dtype);
    for (int i = 0; i < PEL_AXES; i++)
        n *= level->chunk[i];
    return n;
}

void pel__ome_key(const pel__sink_spec *spec, int32_t image, int32_t level, const int64_t *grid, char *out, size_t size)
{
    char prefix[24] = "";
    if (spec->image_count > 1)
        (void)snprintf(prefix, sizeof prefix, "%d/", (int)image);
    (void)snprintf(out, size, "%s%d/%s%lld/%lld/%lld/%lld/%lld", prefix, (int)level, spec->ome_version == 5 ? "c/" : "",
                   (long long)grid[0], (long long)grid[1], (long long)grid[2], (long long)grid[3], (long long)grid[4]);
}

static int64_t file_count(const pel__sink_spec *spec, int32_t image, int32_t level)
{
    const pel__level *const l = &spec->layouts[image].level[level];
    const pel_region bounds = pel__region(PEL_AXES, NULL, l->shape);
    return pel__grid_cells(&bounds, l->shard);
}

static void file_name(const pel__sink_spec *spec, int32_t image, int32_t level, int64_t index, char *out, size_t size)
{
    const pel__level *const l = &spec->layouts[image].level[level];
    const pel_region bounds = pel__region(PEL_AXES, NULL, l->shape);
    int64_t count[PEL_MAX_NDIM], grid[PEL_AXES];
    pel__grid_shape(&bounds, l->shard, count);
    for (int i = PEL_AXES - 1; i >= 0; i--) {
        grid[i] = index % count[i];
        index /= count[i];
    }
    pel__ome_key(spec, image, level, grid, out, size);
}

/* ---- checks ------------------------------------------------------------------------------------------------ */

static bool check_level(const pel__sink_spec *spec, const pel__level *l, pel_error *err)
{
    int64_t bytes = 0, chunks = 1;
    if (!pel__product(l->chunk, PEL_AXES, &bytes) || !pel__mul(bytes, (int64_t)pel_dtype_size(spec->dtype), &bytes)
        || bytes > PEL__STEP_MAX_BYTES)
        return pel__fail(err, PEL_ARGUMENT, "a chunk of more than 2 GiB");
    for (int i = 0; i < PEL_AXES; i++) {
        if (l->shape[i] < 1 || l->chunk[i] < 1 || l->shard[i] < l->chunk[i] || l->factor[i] < 1)
            return pel__fail(err, PEL_ARGUMENT, "axis %d: shape, chunk, shard and factor must be positive, shard >= chunk", i);
        if (l->shard[i] % l->chunk[i] != 0)
            return pel__fail(err, PEL_ARGUMENT, "axis %d: shard %lld is no multiple of chunk %lld", i,
                             (long long)l->shard[i], (long long)l->chunk[i]);
        if (!pel__mul(chunks, l->shard[i] / l->chunk[i], &chunks) || chunks > MAX_INDEX_ENTRIES)
            return pel__fail(err, PEL_ARGUMENT, "a shard of more than %lld chunks", (long long)MAX_INDEX_ENTRIES);
    }
    if (spec->ome_version == 4 && chunks != 1)
        return pel__fail(err, PEL_ARGUMENT, "OME-Zarr 0.4 has no shards: shard must equal chunk");
    return true;
}

static bool check_codec(const pel__sink_spec *spec, pel_error *err)
{
    char text[64];
    pel__codec again;
    if ((int)spec->codec.kind < 0 || spec->codec.kind > PEL__CODEC_BLOSC || (int)spec->codec.shuffle < 0
        || spec->codec.shuffle > PEL__BITSHUFFLE)
        return pel__fail(err, PEL_ARGUMENT, "codec: no such kind");
    pel__codec_text(&spec->codec, text, sizeof text);
    return pel__codec_parse(&again, text, err); /* the one list of names and ranges */
}

static bool check_spec(const pel__sink_spec *spec, pel_error *err)
{
    if (spec->ome_version != 4 && spec->ome_version != 5)
        return pel__fail(err, PEL_ARGUMENT, "OME-Zarr 0.%d: expected 0.4 or 0.5", (int)spec->ome_version);
    if (spec->image_count < 1)
        return pel__fail(err, PEL_ARGUMENT, "no image to write");
    if (!check_codec(spec, err))
        return false;
    for (int32_t k = 0; k < spec->image_count; k++) {
        const pel__layout *const layout = &spec->layouts[k];
        if (layout->level_count < 1 || layout->level_count > PEL__MAX_LEVELS)
            return pel__fail(err, PEL_ARGUMENT, "image %d: %d levels, expected 1 to %d", (int)k, (int)layout->level_count,
                             PEL__MAX_LEVELS);
        for (int32_t i = 0; i < layout->level_count; i++)
            if (!check_level(spec, &layout->level[i], err))
                return pel__where(err, "image %d level %d: ", (int)k, (int)i);
    }
    return true;
}

/* ---- create ------------------------------------------------------------------------------------------------ */

static bool refuse(pel_error *err, const char *path, const char *key, const char *what)
{
    return pel__fail(err, PEL_REFUSED, "%s/%s: %s: the folder is not touched; choose another output or move it away", path,
                     key, what);
}

/* Both documents without the member that says whether the store is complete. */
static bool same_json(const char *old, size_t size, const char *text, char *where, size_t where_size)
{
    json_object *a = NULL, *b = NULL;
    bool same = false;
    where[0] = '\0';
    if (pel__json_parse(&a, old, size, "", NULL) && pel__json_parse(&b, text, strlen(text), "", NULL)) {
        json_object *const docs[2] = {a, b};
        for (int i = 0; i < 2; i++) {
            json_object *const attributes = pel__json_get(docs[i], "attributes", json_type_object);
            json_object *const p = pel__json_get(attributes ? attributes : docs[i], "pellucid", json_type_object);
            if (p)
                json_object_object_del(p, "complete");
        }
        same = !pel__json_differs(a, b, where, where_size);
    }
    json_object_put(a);
    json_object_put(b);
    return same;
}

/* *there: the document exists already, and is the same. */
static bool check_document(const pel__sink_spec *spec, const pel__ome_doc *doc, bool *there, pel_error *err)
{
    char path[PEL__PATH_MAX], where[200], what[300];
    char *old = NULL;
    size_t size = 0;
    pel_error e = {0};
    *there = false;
    if (!pel__path_join(path, sizeof path, spec->path, doc->key, err))
        return false;
    struct stat st;
    if (lstat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return errno == ENOENT || refuse(err, spec->path, doc->key, "a file stands where a folder is needed");
    if (!pel__file_slurp(&old, &size, path, MAX_DOCUMENT, &e))
        return refuse(err, spec->path, doc->key, "unreadable");
    const bool xml = strstr(doc->key, ".xml") != NULL;
    const bool same = xml ? strcmp(old, doc->text) == 0 : same_json(old, size, doc->text, where, sizeof where);
    free(old);
    *there = same;
    if (same)
        return true;
    if (xml || !where[0])
        return refuse(err, spec->path, doc->key, "other content than this run would write");
    (void)snprintf(what, sizeof what, "differs from what this run would write, in \"%s\"", where);
    return refuse(err, spec->path, doc->key, what);
}

/* A folder without our root document must be empty, apart from what a killed start may have left. */
static bool check_empty(const char *path, pel_error *err)
{
    DIR *const d = opendir(path);
    if (!d && errno == ENOENT)
        return true;
    if (!d && errno == ENOTDIR)
        return pel__fail(err, PEL_REFUSED, "%s: a file, expected no file or a folder of ours; it is not touched", path);
    if (!d)
        return pel__fail_errno(err, errno, "%s: cannot list", path);
    bool ok = true;
    const struct dirent *e;
    while (ok && (e = readdir(d))) /* one thread a stream: safe. NOLINT(concurrency-mt-unsafe) */
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strncmp(e->d_name, ".tmp-", 5) != 0)
            ok = refuse(err, path, e->d_name, "found in a folder that is no store of this run");
    (void)closedir(d);
    return ok;
}

/* Every document is looked at before the first is written. The root's comes first, so that a start that was killed
 * half way is known as ours. */
static bool put_documents(const pel__sink_spec *spec, const pel__ome_docs *docs, pel_error *err)
{
    bool *const there = calloc((size_t)docs->count, sizeof *there);
    if (!there)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory: metadata");
    bool ok = true;
    for (int32_t i = 0; ok && i < docs->count; i++) {
        ok = check_document(spec, &docs->list[i], &there[i], err);
        if (ok && i == 0 && !there[0])
            ok = check_empty(spec->path, err);
    }
    for (int32_t i = 0; ok && i < docs->count; i++)
        ok = there[i] || pel__store_put_text(spec->path, docs->list[i].key, docs->list[i].text, err);
    free(there);
    return ok;
}

static void destroy(pel__sink *s)
{
    if (!s)
        return;
    pel__codec_shelf_destroy(s->shelf);
    free(s);
}

static bool create(pel__sink **out, const pel__sink_spec *spec, pel_error *err)
{
    pel__ome_docs docs = {0};
    pel__sink *s = NULL;
    bool ok = false;
    if (!check_spec(spec, err) || !pel__ome_docs_make(&docs, spec, false, err)) {
        (void)pel__where(err, "%s: ", spec->path);
        goto cleanup;
    }
    s = calloc(1, sizeof *s);
    if (!s) {
        (void)pel__fail(err, PEL_NO_MEMORY, "out of memory");
        goto cleanup;
    }
    s->spec = *spec;
    if (!pel__codec_shelf_create(&s->shelf, err) || !put_documents(spec, &docs, err))
        goto cleanup;
    *out = s;
    s = NULL;
    ok = true;
cleanup:
    destroy(s);
    pel__ome_docs_free(&docs);
    return ok;
}

/* ---- finish ------------------------------------------------------------------------------------------------ */

static bool finish(pel__sink *s, pel_error *err)
{
    pel__ome_docs docs = {0};
    if (!pel__store_sweep(s->spec.path, "", err) || !pel__ome_docs_make(&docs, &s->spec, true, err))
        return false;
    const bool ok = pel__store_put_text(s->spec.path, docs.list[0].key, docs.list[0].text, err);
    pel__ome_docs_free(&docs);
    return ok;
}

const pel__sink_type pel__sink_omezarr = {
    .name = "omezarr",
    .create = create,
    .write_bytes = pel__ome_write_bytes,
    .write = pel__ome_write,
    .file_count = file_count,
    .file_name = file_name,
    .finish = finish,
    .destroy = destroy,
};
