/* SPDX-License-Identifier: MIT
 * See filewriter.h. Memory is two tiles in flight a thread, each with its pixels and its encoded bytes. */
#include "sink/filewriter.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/folders.h"
#include "core/owner.h"
#include "core/region.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ------------------------------------------------------------------------------------------------ */

bool pel__out_open(pel__out *o, const char *path, pel_error *err)
{
    *o = (pel__out){.fd = -1};
    char tag[PEL__TAG_MAX];
    pel__owner_tag(tag, sizeof tag);
    const char *slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash - path) + 1 : 0;
    if (snprintf(o->path, sizeof o->path, "%s", path) >= (int)sizeof o->path ||
        snprintf(o->temporary, sizeof o->temporary, "%.*s.tmp-%s-%s", folder, path, path + folder, tag) >= (int)sizeof o->temporary)
        return pel__fail(err, PEL_ARGUMENT, "%s: the name is too long", path);
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return pel__fail(err, PEL_ARGUMENT, "%s: is a folder", path);
    o->fd = open(o->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return o->fd >= 0 || pel__fail_errno(err, errno, "%s: cannot create", o->temporary);
}

bool pel__out_at(pel__out *o, int64_t offset, const void *data, int64_t n, pel_error *err)
{
    const uint8_t *p = data;
    while (n > 0) {
        const ssize_t done = pwrite(o->fd, p, (size_t)pel__min(n, 1 << 30), (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return pel__fail_errno(err, done < 0 ? errno : ENOSPC, "%s: cannot write at byte %" PRId64, o->path, offset);
        p += done;
        offset += done;
        n -= done;
    }
    return true;
}

bool pel__out_append(pel__out *o, const void *data, int64_t n, pel_error *err)
{
    if (!pel__out_at(o, o->end, data, n, err))
        return false;
    o->end += n;
    return true;
}

bool pel__out_commit(pel__out *o, pel_error *err)
{
    if (fsync(o->fd) != 0)
        return pel__fail_errno(err, errno, "%s: cannot sync", o->path);
    const int closed = close(o->fd);
    o->fd = -1;
    if (closed != 0 || rename(o->temporary, o->path) != 0) {
        const int number = errno;
        (void)unlink(o->temporary);
        return pel__fail_errno(err, number, "%s: cannot rename from %s", o->path, o->temporary);
    }
    return pel__parents_sync(o->path, 1, NULL, err);
}

void pel__out_abandon(pel__out *o)
{
    if (o->fd < 0)
        return;
    (void)close(o->fd);
    (void)unlink(o->temporary);
    o->fd = -1;
}

/* ---- text ---------------------------------------------------------------------------------------------------- */

char *pel__out_text(void (*put)(FILE *f, const void *arg), const void *arg, size_t *n)
{
    char *text = NULL;
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    FILE *f = c ? open_memstream(&text, n) : NULL;
    if (f) {
        const locale_t before = uselocale(c); /* of this thread, until the text is written */
        put(f, arg);
        (void)uselocale(before);
    }
    if (c)
        freelocale(c);
    if (!f || fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

void pel__out_xml(FILE *f, const char *text)
{
    for (; *text; text++) {
        const char *s = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '"' ? "&quot;" : NULL;
        if (s)
            (void)fputs(s, f);
        else
            (void)fputc(*text, f);
    }
}

/* ---- tiles --------------------------------------------------------------------------------------------------- */

int64_t pel__tiles_across(int64_t size, int64_t tile, int64_t overlap)
{
    return size <= tile ? 1 : pel__ceil_div(size - overlap, tile - overlap);
}

static int64_t across(const pel__file_job *job, int axis)
{
    return pel__tiles_across(job->images[0].shape[axis], axis == PEL_Y ? job->tile_y : job->tile_x, job->overlap);
}

bool pel__tile_count(const pel__file_job *job, int64_t *per_plane, int64_t *all, pel_error *err)
{
    const int64_t *s = job->images[0].shape, factors[] = {job->image_count, s[PEL_T], s[PEL_C], s[PEL_Z], across(job, PEL_Y), across(job, PEL_X)};
    *per_plane = factors[4] * factors[5];
    if (!pel__product(factors, 6, all) || *all > INT32_MAX)
        return pel__fail(err, PEL_ARGUMENT, "%s: more than %d tiles: choose larger tiles", job->path, INT32_MAX);
    return true;
}

pel__tile pel__tile_at(const pel__file_job *job, int64_t index)
{
    const int64_t *s = job->images[0].shape, ny = across(job, PEL_Y), nx = across(job, PEL_X);
    pel__tile t = {.index = index, .m = index % (ny * nx)};
    int64_t rest = index / (ny * nx);
    t.z = rest % s[PEL_Z];
    rest /= s[PEL_Z];
    t.c = rest % s[PEL_C];
    rest /= s[PEL_C];
    t.t = rest % s[PEL_T];
    t.image = (int32_t)(rest / s[PEL_T]);
    t.y = t.m / nx * (job->tile_y - job->overlap);
    t.x = t.m % nx * (job->tile_x - job->overlap);
    t.height = pel__min(job->tile_y, s[PEL_Y] - t.y);
    t.width = pel__min(job->tile_x, s[PEL_X] - t.x);
    return t;
}

typedef struct slot {
    void *raw, *coded;
    int64_t n; /* coded bytes */
} slot;

typedef struct pump {
    const pel__file_job *job;
    const pel__tile_codec *codec;
    int64_t first, raw_bytes, capacity; /* of a batch; of a whole tile; of coded */
    slot *slots;
    int32_t slot_count;
} pump;

static bool make_tile(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    pump *p = arg;
    slot *s = &p->slots[index];
    const pel__file_job *job = p->job;
    const pel__tile t = pel__tile_at(job, p->first + index);
    const int64_t size = (int64_t)pel_dtype_size(job->images[0].dtype), row = p->codec->pad ? job->tile_x : t.width;
    const int64_t rows = p->codec->pad ? job->tile_y : t.height;
    if (p->codec->pad && (t.width < job->tile_x || t.height < job->tile_y))
        memset(s->raw, 0, (size_t)(row * rows * size));
    const int64_t at[PEL_AXES] = {t.t, t.c, t.z, t.y, t.x}, shape[PEL_AXES] = {1, 1, 1, t.height, t.width};
    const pel_block b = {.region = pel__region(PEL_AXES, at, shape), .dtype = job->images[0].dtype, .data = s->raw,
                         .stride = {row * rows, row * rows, row * rows, row, 1}};
    if (!job->pixels(job->pixels_arg, t.image, &b, err))
        return false;
    s->n = p->codec->encode(job, &t, s->raw, row * rows * size, s->coded, p->capacity);
    return s->n > 0 || pel__fail(err, PEL_INTERNAL, "%s: tile %" PRId64 " could not be compressed", job->path, t.index);
}

static void free_slots(pump *p)
{
    for (int32_t i = 0; p->slots && i < p->slot_count; i++) {
        free(p->slots[i].raw);
        free(p->slots[i].coded);
    }
    free(p->slots);
}

static bool make_slots(pump *p, int64_t tiles, pel_error *err)
{
    const int64_t factors[] = {p->job->tile_y, p->job->tile_x, (int64_t)pel_dtype_size(p->job->images[0].dtype)};
    if (!pel__product(factors, 3, &p->raw_bytes) || p->raw_bytes > INT32_MAX / 2)
        return pel__fail(err, PEL_ARGUMENT, "%s: tiles of %" PRId64 " x %" PRId64 " voxels are too large: at most 1 GiB", p->job->path, factors[0], factors[1]);
    p->capacity = p->codec->bound(p->job, p->raw_bytes);
    p->slot_count = (int32_t)pel__min(tiles, 2 * (int64_t)pel__pool_threads(p->job->pool));
    p->slots = calloc((size_t)p->slot_count, sizeof *p->slots);
    for (int32_t i = 0; p->slots && i < p->slot_count; i++) {
        p->slots[i].raw = malloc((size_t)p->raw_bytes);
        p->slots[i].coded = malloc((size_t)p->capacity);
        if (!p->slots[i].raw || !p->slots[i].coded)
            return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for %d tiles of %" PRId64 " bytes", p->job->path, p->slot_count, p->raw_bytes);
    }
    return p->slots || pel__fail(err, PEL_NO_MEMORY, "%s: no memory", p->job->path);
}

static bool report(const pel__file_job *job, int64_t done, int64_t all, int64_t bytes, pel_error *err)
{
    const pel_progress progress = {.phase = "write", .done = done, .total = all, .bytes = bytes};
    if (job->on_progress && !job->on_progress(job->progress_arg, &progress))
        return pel__fail(err, PEL_INTERRUPTED, "%s: stopped after %" PRId64 " of %" PRId64 " tiles; nothing is kept", job->path, done, all);
    return true;
}

bool pel__pump_tiles(const pel__file_job *job, const pel__tile_codec *codec, pel__tile_emit *emit, void *arg, pel_error *err)
{
    pump p = {.job = job, .codec = codec};
    int64_t per_plane = 0, all = 0, bytes = 0;
    bool ok = pel__tile_count(job, &per_plane, &all, err) && make_slots(&p, all, err);
    while (ok && p.first < all) {
        const int64_t n = pel__min(p.slot_count, all - p.first);
        ok = pel__pool_run(job->pool, PEL__COMPUTE_LAST, n, make_tile, &p, err);
        for (int64_t i = 0; ok && i < n; i++) {
            const pel__tile t = pel__tile_at(job, p.first + i);
            bytes += t.height * t.width * (int64_t)pel_dtype_size(job->images[0].dtype);
            ok = emit(arg, &t, p.slots[i].coded, p.slots[i].n, err);
        }
        p.first += n;
        ok = ok && report(job, p.first, all, bytes, err);
    }
    free_slots(&p);
    return ok;
}
