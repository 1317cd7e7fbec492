/* SPDX-License-Identifier: MIT
 * The OME-Zarr sink: creates the store, names its files, marks it complete. Pixels are written in omezarr_write.c,
 * the documents made in omezarr_meta.c and kept in omezarr_docs.c. docs/formats-zarr.md draws what comes out. */
#include "sink/omezarr.h"

#include "core/bytes.h"
#include "core/region.h"
#include "sink/omezarr_late.h"
#include "zarr/json.h"

#include <stdio.h>
#include <stdlib.h>

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

static int64_t file_count(const pel__sink_spec *spec, const pel__part *part)
{
    return pel__grid_cells(&part->region, spec->layouts[part->image].level[part->level].shard);
}

static void file_name(const pel__sink_spec *spec, const pel__part *part, int64_t index, char *out, size_t size)
{
    const pel__level *const l = &spec->layouts[part->image].level[part->level];
    const pel_region cell = pel__grid_cell(&part->region, l->shard, index);
    int64_t grid[PEL_AXES];
    for (int i = 0; i < PEL_AXES; i++)
        grid[i] = cell.origin[i] / l->shard[i];
    pel__ome_key(spec, part->image, part->level, grid, out, size);
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

static void destroy(pel__sink *s)
{
    if (!s)
        return;
    pel__late_destroy(s->late);
    pel__codec_shelf_destroy(s->shelf);
    pel__store_close(s->store);
    free(s);
}

static bool open_sink(pel__sink **out, const pel__sink_spec *spec, pel_error *err)
{
    pel__sink *const s = calloc(1, sizeof *s);
    if (!s)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    s->spec = *spec;
    s->spec.known = NULL; /* changes with the run */
    s->spec.known_count = 0;
    if (!pel__store_create(&s->store, spec->path, spec->remote, err) || !pel__codec_shelf_create(&s->shelf, err)) {
        destroy(s);
        return false;
    }
    pel__store_bind(s->store, spec->run);
    *out = s;
    return true;
}

static bool create(pel__sink **out, const pel__sink_spec *spec, pel__on_file *on_document, void *arg, pel_error *err)
{
    pel__ome_docs docs = {0};
    pel__sink *s = NULL;
    bool ok = false;
    if (!check_spec(spec, err) || !pel__ome_docs_make(&docs, spec, false, err)) {
        (void)pel__where(err, "%s: ", spec->path);
        goto cleanup;
    }
    if (!open_sink(&s, spec, err) || !pel__ome_put_docs(s->store, spec, &docs, on_document, arg, err))
        goto cleanup;
    *out = s;
    s = NULL;
    ok = true;
cleanup:
    destroy(s);
    pel__ome_docs_free(&docs);
    return ok;
}

static bool put_documents(pel__sink *s, const pel__sink_spec *spec, pel__on_file *on_document, void *arg, pel_error *err)
{
    pel__ome_docs docs = {0};
    const bool ok = pel__ome_docs_make(&docs, spec, false, err) && pel__ome_put_docs(s->store, spec, &docs, on_document, arg, err);
    pel__ome_docs_free(&docs);
    return ok;
}

static bool audit_documents(pel__sink *s, const pel__sink_spec *spec, bool complete, pel__on_document *on_document, void *arg, pel_error *err)
{
    return pel__ome_audit_docs(s->store, spec, complete, on_document, arg, err);
}

static bool find_strays(pel__sink *s, const pel__sink_spec *spec, pel__names *strays, pel_error *err)
{
    pel__ome_docs docs = {0};
    const bool ok = pel__ome_docs_make(&docs, spec, false, err) && pel__ome_strays(s->store, spec, &docs, strays, err);
    pel__ome_docs_free(&docs);
    return ok;
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

/* A document that can be read tells a server that does not list (403 for what is not there) from one that does not let
 * us in. */
static bool open_to_look(pel__sink **out, const pel__sink_spec *spec, pel_error *err)
{
    static const char *const names[] = {"zarr.json", ".zattrs"};
    pel__sink *s = NULL;
    if (!open_sink(&s, spec, err))
        return false;
    bool ok = true;
    for (int i = 0; ok && i < 2 && pel__store_is_remote(spec->path); i++) {
        char *text = NULL;
        size_t size = 0;
        ok = pel__store_text(s->store, names[i], MAX_DOCUMENT, &text, &size, err);
        free(text);
    }
    if (ok)
        *out = s;
    else
        destroy(s);
    return ok;
}

static bool first(const pel__sink_spec *spec, char *name, size_t size, pel_error *err)
{
    pel__store *store = NULL;
    const bool ok = pel__store_create(&store, spec->path, spec->remote, err) && pel__store_first(store, name, size, err);
    pel__store_close(store);
    return ok;
}

static bool clear(const pel__sink_spec *spec, pel_error *err)
{
    pel__store *store = NULL;
    const bool ok = pel__store_create(&store, spec->path, spec->remote, err) && pel__store_clear(store, err);
    pel__store_close(store);
    return ok;
}

static bool address(const char *path, const pel_remote *remote, char *out, size_t size, pel_error *err)
{
    out[0] = '\0';
    return !pel__store_is_remote(path) || pel__store_address(out, size, path, remote, err);
}

static bool around(const char *path, char *out, size_t size)
{
    return pel__store_around(out, size, path, NULL);
}

static bool look(pel__sink *s, const char *name, enum pel__look how, pel__file_found *out, pel_error *err)
{
    static const enum pel__depth depths[] = {PEL__DEPTH_LENGTH, PEL__DEPTH_STORED, PEL__DEPTH_READ};
    pel__found found;
    if (!pel__store_look(s->store, name, depths[how], &found, err))
        return false;
    *out = (pel__file_found){.there = found.there, .readable = found.readable, .bytes = found.bytes, .digest = found.digest,
                             .crc32c = found.crc32c};
    return true;
}

static int32_t lookers(const pel__sink *s, int32_t threads)
{
    return pel__store_is_remote(s->spec.path) && threads < PEL__STORE_CREW ? PEL__STORE_CREW : threads;
}

static bool sweep(pel__sink *s, pel_error *err)
{
    return pel__store_sweep(s->store, s->spec.keep, s->spec.keep_arg, err);
}

static int64_t most_file_bytes(const char *path)
{
    return pel__store_gathers(path) ? PEL__STORE_MOST : INT64_MAX;
}

static bool write_again(pel__sink *s, pel__retry *retry)
{
    return pel__store_write_again(s->store, retry);
}

/* ---- finish ------------------------------------------------------------------------------------------------ */

static bool finish(pel__sink *s, const pel__sink_spec *spec, pel__on_file *on_document, void *arg, pel_error *err)
{
    pel__ome_docs docs = {0}, before = {0};
    pel__sink_spec beginning = *spec;
    beginning.windows = NULL;
    const bool ok = sweep(s, err) && pel__ome_docs_make(&before, &beginning, false, err) && pel__ome_docs_make(&docs, spec, true, err) &&
                    pel__ome_finish_docs(s->store, spec, &before, &docs, on_document, arg, err);
    pel__ome_docs_free(&before);
    pel__ome_docs_free(&docs);
    return ok;
}

const pel__sink_type pel__sink_omezarr = {
    .name = "omezarr",
    .create = create,
    .put_documents = put_documents,
    .audit_documents = audit_documents,
    .strays = find_strays,
    .open = open_to_look,
    .first = first,
    .clear = clear,
    .provenance = pel__ome_provenance,
    .address = address,
    .around = around,
    .write_bytes = pel__ome_write_bytes,
    .read_back_bytes = pel__ome_read_back_bytes,
    .most_file_bytes = most_file_bytes,
    .write = pel__ome_write,
    .settle = pel__ome_settle,
    .again = write_again,
    .file_count = file_count,
    .file_name = file_name,
    .look = look,
    .lookers = lookers,
    .sweep = sweep,
    .finish = finish,
    .destroy = destroy,
};
