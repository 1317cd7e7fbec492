/* SPDX-License-Identifier: MIT
 * Zeiss CZI: opens a file or a set of files, and the member of the table of formats. See czi.h for the way of a file. */
#include "source/czi.h"

#include "codec/jxr.h"
#include "core/bytes.h"
#include "core/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- the set of files ---------------------------------------------------------------------------------------- */

static bool add_part(pel__czi *czi, const char *path, pel_error *err)
{
    pel__czi_part part = {0};
    pel__czi_part *grown = realloc(czi->parts, ((size_t)czi->part_count + 1) * sizeof *grown);
    if (!grown)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to open it", path);
    czi->parts = grown;
    if (!pel__file_open(&part.file, path, err))
        return false;
    if (!pel__czi_read_header(&part, err)) {
        pel__file_close(part.file);
        return false;
    }
    czi->parts[czi->part_count++] = part;
    return true;
}

/* True where the last part added is number k of the set of the first; otherwise it is closed again. A name alone proves
 * nothing: copies are called "name (1)" too. */
static bool belongs(pel__czi *czi, int32_t k)
{
    const pel__czi_part *p = &czi->parts[czi->part_count - 1];
    if (p->number == k && memcmp(p->primary_guid, czi->parts[0].primary_guid, 16) == 0 &&
        memcmp(p->guid, czi->parts[0].guid, 16) != 0)
        return true;
    pel__file_close(p->file);
    czi->part_count--;
    return false;
}

/* base.czi has its further parts in base(1).czi or "base (1).czi". */
static bool add_siblings(pel__czi *czi, pel_error *err)
{
    const char *path = czi->base.path;
    const size_t n = strlen(path);
    if (czi->parts[0].number != 0 || n < 4 || strcasecmp(path + n - 4, ".czi") != 0)
        return true;
    for (int32_t k = 1, found = 1; found && k < PEL__CZI_MAX_PARTS; k++) {
        found = 0;
        for (int form = 0; form < 2 && !found; form++) {
            char name[PEL__PATH_MAX];
            pel_error why = {0};
            const int used = snprintf(name, sizeof name, "%.*s%s(%d)%s", (int)n - 4, path, form ? " " : "", k, path + n - 4);
            if (used < 0 || (size_t)used >= sizeof name)
                continue;
            if (add_part(czi, name, &why))
                found = belongs(czi, k);
            else if (why.code == PEL_NO_MEMORY || why.code == PEL_IO)
                return pel__fail(err, why.code, "%s", why.text);
        }
    }
    return true;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

/* Starts afresh after a directory of which only a part could be read. */
static void forget_tiles(pel__czi *czi, int64_t before)
{
    czi->tile_count = before;
    while (czi->stack_count > 0 && czi->stacks[czi->stack_count - 1].tile >= before)
        czi->stack_count--;
    if (before == 0) {
        pel__czi_tuples_free(&czi->tuples);
        memset(&czi->tuples, 0, sizeof czi->tuples);
    }
}

static bool read_part(pel__czi *czi, int32_t part, bool recover, pel_error *err)
{
    pel_error why = {0};
    const int64_t before = czi->tile_count;
    const bool has_directory = czi->parts[part].directory != 0;
    if (has_directory && pel__czi_read_directory(czi, part, &why) && (czi->tile_count > before || !recover))
        return true;
    if (recover && (why.code == PEL_OK || why.code == PEL_DAMAGED || why.code == PEL_FORMAT)) {
        forget_tiles(czi, before);
        return pel__czi_recover(czi, part, err);
    }
    if (!has_directory)
        return part > 0 || pel__fail(err, PEL_DAMAGED, "%s: it has no tile directory, so it was not closed properly; the option "
                                                       "\"recover\" searches the file for its tiles", czi->base.path);
    (void)pel__fail(err, why.code, "%s", why.text);
    if (why.code == PEL_DAMAGED)
        (void)pel__where(err, "the tile directory is damaged (the option \"recover\" searches the file for its tiles): ");
    return false;
}

static bool read_identity(pel__czi *czi, pel_error *err)
{
    for (int32_t i = 0; i < czi->part_count; i++) {
        uint8_t raw[112];
        pel__file *file = czi->parts[i].file;
        if (!pel__file_read(file, 0, raw, sizeof raw, err))
            return false;
        czi->base.identity_crc32c = pel__crc32c(czi->base.identity_crc32c, raw, sizeof raw);
        czi->base.identity_size += pel__file_size(file);
        czi->base.identity_mtime_ns = pel__max(czi->base.identity_mtime_ns, pel__file_mtime_ns(file));
    }
    return true;
}

static bool find_helper(pel__czi *czi, const pel_open_options *options, pel_error *err)
{
    if (!czi->any_jxr)
        return true;
    czi->jxr_helper = pel__jxr_find(options->helper_dir);
    if (czi->jxr_helper || pel__note_add(&czi->notes, PEL__NOTE_UNREADABLE, 0, "Tiles compressed with JPEG XR cannot be read here: the program "
                                         PEL__JXR_PROGRAM " was not found."))
        return true;
    return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for notes", czi->base.path);
}

static void add_up_memory(pel__czi *czi)
{
    int64_t n = (int64_t)sizeof *czi + czi->tile_count * (int64_t)sizeof *czi->tiles + czi->order_count * 4;
    n += (int64_t)czi->base.image_count * (int64_t)(sizeof *czi->base.images + sizeof *czi->scenes + 16 * sizeof(void *));
    n += czi->stack_count * 2 * (int64_t)sizeof *czi->stacks;
    n += czi->tuples.capacity * (int64_t)(sizeof *czi->tuples.tuple + 8);
    for (int i = 0; i < 4; i++)
        n += czi->channel_sets[i] ? czi->groups * (i + 1 + (i > 0)) * (int64_t)sizeof(pel_channel) : 0; /* uneven: less than that */
    n += czi->channel_start ? (czi->groups + 1) * (int64_t)sizeof *czi->channel_start : 0;
    for (int32_t i = 0; i < czi->base.image_count; i++)
        n += (int64_t)czi->image_notes[i].count * 256;
    n += ((int64_t)czi->meta.channel_count + czi->meta.display_count) * 2 * (int64_t)sizeof(pel__czi_channel_info);
    n += (int64_t)czi->meta.scene_count * 2 * (int64_t)sizeof(pel__czi_scene_info);
    czi->base.resident_bytes = n + 65536;
    czi->base.kept_tile_bytes = pel__czi_slot_bytes(czi->max_decoded);
    czi->base.thread_bytes = pel__czi_scratch_bytes(czi) + czi->max_plane_tiles * 8;
}

static bool open_parts(pel__czi *czi, const pel_open_options *options, pel_error *err)
{
    if (!add_part(czi, czi->base.path, err) || !add_siblings(czi, err) || !read_identity(czi, err))
        return false;
    for (int32_t i = 0; i < czi->part_count; i++) {
        if (!read_part(czi, i, options->recover, err))
            return false;
    }
    return pel__czi_read_meta(&czi->meta, &czi->parts[0], &czi->base.identity_crc32c, err);
}

static bool open_czi(pel_source **out, const char *path, const pel_open_options *options, pel_error *err)
{
    pel__czi *czi = calloc(1, sizeof *czi);
    if (!czi)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to open it", path);
    (void)pthread_mutex_init(&czi->lock, NULL);
    czi->base.type = &pel__source_czi;
    czi->use_mask = options->use_mask;
    czi->zero_damaged = pel__damage_is_zero(options);
    czi->flip_streamed = options->flip_streamed;
    czi->base.path = strdup(path);
    if (!czi->base.path) {
        (void)pel__fail(err, PEL_NO_MEMORY, "%s: no memory to open it", path);
        goto fail;
    }
    if (!open_parts(czi, options, err) || !pel__czi_doubt(czi, err) || !pel__czi_unstack(czi, err) || !pel__czi_index(czi, err))
        goto fail;
    for (int64_t i = 0; i < czi->order_count; i++)
        pel__czi_count_tile(czi, &czi->tiles[czi->order[i]]);
    const double step = pel__czi_time_step(&czi->parts[0], &czi->meta, czi->t_count);
    czi->meta.interval_s = step > 0 ? step : czi->meta.interval_s;
    if (!find_helper(czi, options, err) || !pel__czi_describe(czi, err))
        goto fail;
    add_up_memory(czi);
    *out = &czi->base;
    return true;
fail:
    pel__source_czi.destroy(&czi->base);
    return false;
}

static void destroy_czi(pel_source *s)
{
    pel__czi *czi = (pel__czi *)s;
    if (!czi)
        return;
    while (czi->free_scratch) {
        pel__czi_scratch *next = czi->free_scratch->next;
        pel__czi_scratch_free(czi->free_scratch);
        czi->free_scratch = next;
    }
    pel__czi_cache_destroy(czi->cache);
    for (int32_t i = 0; i < czi->part_count; i++)
        pel__file_close(czi->parts[i].file);
    for (int32_t i = 0; czi->image_notes && i < czi->base.image_count; i++)
        pel__notes_free(&czi->image_notes[i]);
    for (int i = 0; i < 4; i++)
        free(czi->channel_sets[i]);
    free(czi->channel_start);
    free(czi->image_notes);
    pel__notes_free(&czi->notes);
    free(czi->base.images);
    free(czi->scenes);
    free(czi->order);
    free(czi->stacks);
    free(czi->tiles);
    free(czi->parts);
    free(czi->jxr_helper);
    pel__czi_tuples_free(&czi->tuples);
    pel__czi_meta_free(&czi->meta);
    (void)pthread_mutex_destroy(&czi->lock);
    free(czi->base.path);
    free(czi);
}

static void cache_czi(pel_source *s, int64_t bytes, bool once)
{
    pel__czi *czi = (pel__czi *)s;
    pel__czi_cache_destroy(czi->cache);
    czi->cache = pel__czi_cache_create(bytes, czi->max_decoded);
    czi->read_once = once;
}

static enum pel__answer detect_czi(const char *path, bool is_folder, const uint8_t *head, size_t n)
{
    return !is_folder && n >= 10 && memcmp(head, "ZISRAWFILE", 10) == 0 ? PEL__YES : PEL__NO;
}

static bool place_czi(const pel_source *s, int64_t index, const pel_remote *remote, char *out, size_t size)
{
    const pel__czi *const czi = (const pel__czi *)s;
    (void)remote;
    if (index >= czi->part_count)
        return false;
    const pel__file *const file = czi->parts[index].file;
    return (size_t)snprintf(out, size, "%s", file ? pel__file_path(file) : "") < size;
}

const pel__source_type pel__source_czi = {
    .name = "czi",
    .detect = detect_czi,
    .open = open_czi,
    .read = pel__czi_read,
    .destroy = destroy_czi,
    .cache = cache_czi,
    .place = place_czi,
};
