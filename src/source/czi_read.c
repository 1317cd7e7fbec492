/* SPDX-License-Identifier: MIT
 * Paints a region from tiles. Per plane: find the tiles that touch it, put them in paint order (mosaic number with none first,
 * then directory order; the last one painted is on top), leave out those that another hides, paint the rest.
 * Only rows that are needed are read of uncompressed tiles; compressed ones are decoded whole. */
#include "source/czi.h"

#include "codec/unzstd.h"
#include "core/block.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/region.h"

#include <stdlib.h>

#define MOST_GAP 16384   /* bytes between two rows that are cheaper to read than to skip */
#define MOST_HIDDEN 512  /* tiles of one plane and region up to which hidden ones are looked for */
#define RUN_PIXELS 65536 /* of at most 12 bytes: fits into the row buffer */

typedef struct rect {
    int64_t y0, x0, y1, x1;
} rect;

typedef struct hit {
    int32_t m, tile;
} hit;

/* One plane to be painted: where in dst, and which raw rectangle. */
typedef struct job {
    pel__czi *czi;
    pel__czi_scratch *scratch;
    const pel_block *dst;
    int32_t samples;          /* of a channel group in dst: of all, in an uneven image of the one under way */
    int64_t group, group_c;   /* the group under way, its first channel */
    int64_t origin_y, origin_x; /* raw coordinates of dst's coordinate 0 */
    int64_t t, c0, c1, z;     /* dst coordinates of the plane: channels [c0, c1) of one group */
    rect roi;                 /* raw */
} job;

static rect tile_rect(const pel__czi_tile *t)
{
    return (rect){t->y, t->x, (int64_t)t->y + t->h, (int64_t)t->x + t->w};
}

static rect cut(rect a, rect b)
{
    return (rect){pel__max(a.y0, b.y0), pel__max(a.x0, b.x0), pel__min(a.y1, b.y1), pel__min(a.x1, b.x1)};
}

static bool is_empty(rect r)
{
    return r.y0 >= r.y1 || r.x0 >= r.x1;
}

static bool contains(rect outer, rect inner)
{
    return outer.y0 <= inner.y0 && outer.x0 <= inner.x0 && outer.y1 >= inner.y1 && outer.x1 >= inner.x1;
}

/* ---- pixels of the file into voxels of the block -------------------------------------------------------------- */

#define WIDEN(FROM, TO)                                                                                           \
    do {                                                                                                          \
        const FROM *from = src;                                                                                   \
        TO *to = dst; /* NOLINT(bugprone-macro-parentheses): a type */                                            \
        for (int64_t i = 0; i < n; i++)                                                                           \
            to[i * stride] = (TO)from[i * step];                                                                  \
    } while (0)

#define WIDEN_TO(TO)                                                                                              \
    switch (type) {                                                                                               \
    case PEL_U8: WIDEN(uint8_t, TO); break;                                                                       \
    case PEL_U16: WIDEN(uint16_t, TO); break;                                                                     \
    case PEL_I32: WIDEN(int32_t, TO); break;                                                                      \
    case PEL_F32: WIDEN(float, TO); break;                                                                        \
    default: WIDEN(double, TO); break;                                                                            \
    }

/* n samples, `step` apart in the file, `stride` apart in the block. The image's type holds all values of every tile's type
 * (czi_image.c: join), so the conversions that lose something never happen. */
static void widen(void *dst, pel_dtype into, int64_t stride, const void *src, pel_dtype type, int64_t step, int64_t n)
{
    if (into == type && stride == 1 && step == 1) {
        memcpy(dst, src, (size_t)n * pel_dtype_size(type));
        return;
    }
    switch (into) {
    case PEL_U8: WIDEN(uint8_t, uint8_t); break;
    case PEL_U16: WIDEN_TO(uint16_t) break;
    case PEL_I32: WIDEN_TO(int32_t) break;
    case PEL_F32: WIDEN_TO(float) break;
    default: WIDEN_TO(double) break;
    }
}

static const void *opaque(pel_dtype type)
{
    static const uint16_t whole = 0xFFFF; /* little endian: also 255 of 8 bits */
    static const int32_t whole32 = INT32_MAX;
    static const float one = 1;
    static const double one64 = 1;
    return type == PEL_F64 ? (const void *)&one64 : type == PEL_F32 ? (const void *)&one
         : type == PEL_I32 ? (const void *)&whole32 : (const void *)&whole;
}

static void *dst_at(const job *j, int64_t c, int64_t y, int64_t x)
{
    const int64_t at[PEL_AXES] = {j->t, c, j->z, y - j->origin_y, x - j->origin_x};
    return pel__block_at(j->dst, at);
}

/* n pixels of type p at raw (y, x). Gray goes into all of R, G, B; a missing alpha is opaque. */
static void put_run(const job *j, const pel__czi_pixel *p, int64_t y, int64_t x, const uint8_t *src, int64_t n)
{
    const int64_t sample_bytes = (int64_t)pel_dtype_size(p->dtype), stride = j->dst->stride[PEL_X];
    for (int64_t c = j->c0; c < j->c1; c++) {
        const int64_t s = c - j->group_c;
        void *to = dst_at(j, c, y, x);
        if (s == 3 && p->samples < 4)
            widen(to, j->dst->dtype, stride, opaque(p->dtype), p->dtype, 0, n);
        else if (p->samples == 1)
            widen(to, j->dst->dtype, stride, src, p->dtype, 1, n);
        else
            widen(to, j->dst->dtype, stride, src + (s < 3 ? 2 - s : 3) * sample_bytes, p->dtype, p->samples, n);
    }
}

/* ---- one row ------------------------------------------------------------------------------------------------ */

static int64_t stored_at(int64_t v, int32_t stored, int32_t covered)
{
    return stored == covered ? v : v * stored / covered;
}

/* Row of the payload that holds raw row y. */
static int64_t stored_row(const pel__czi_tile *t, int64_t y)
{
    const int64_t row = stored_at(y - t->y, t->stored_h, t->h);
    return t->flags & PEL__CZI_FLIPPED ? t->stored_h - 1 - row : row;
}

static bool is_valid(const pel__czi_mask *m, const pel__czi_tile *t, int64_t y, int64_t x)
{
    const int64_t sy = stored_row(t, y), sx = stored_at(x - t->x, t->stored_w, t->w);
    return sy < m->h && sx < m->w && ((m->bits[sy * m->stride + sx / 8] >> (7 - sx % 8)) & 1);
}

static void put_row(const job *j, const pel__czi_tile *t, int64_t y, int64_t x, const uint8_t *src, int64_t n,
                    const pel__czi_mask *mask)
{
    const pel__czi_pixel *p = pel__czi_pixel_type(t->pixel);
    if (!mask->bits) {
        put_run(j, p, y, x, src, n);
        return;
    }
    for (int64_t i = 0; i < n;) {
        int64_t k = i;
        while (k < n && is_valid(mask, t, y, x + k))
            k++;
        if (k > i)
            put_run(j, p, y, x + i, src + i * p->bytes, k - i);
        i = k + 1;
    }
}

/* Row y, n pixels from x, of a decoded tile: borrowed from it, or made in the row buffer. */
static const uint8_t *decoded_row(const pel__czi_pixels *px, const pel__czi_tile *t, int64_t y, int64_t x, int64_t n, uint8_t *row)
{
    const pel__czi_pixel *p = pel__czi_pixel_type(t->pixel);
    const int64_t sy = stored_row(t, y), first = sy * px->w, total = px->w * px->h * p->samples;
    if (!(t->flags & PEL__CZI_SCALED)) {
        const int64_t at = first + (x - t->x);
        if (!(px->form & PEL__CZI_HILO))
            return px->data + at * p->bytes;
        pel__hilo_unpack((void *)row, px->data + at * p->samples, px->data + total + at * p->samples, n * p->samples);
        return row;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = first + stored_at(x + i - t->x, t->stored_w, t->w);
        if (px->form & PEL__CZI_HILO)
            pel__hilo_unpack((void *)(row + i * p->bytes), px->data + at * p->samples, px->data + total + at * p->samples,
                             p->samples);
        else
            memcpy(row + i * p->bytes, px->data + at * p->bytes, p->bytes);
    }
    return row;
}

static void paint_decoded(const job *j, const pel__czi_tile *t, rect r, const pel__czi_pixels *px, const pel__czi_mask *mask)
{
    for (int64_t y = r.y0; y < r.y1; y++) {
        for (int64_t x = r.x0; x < r.x1; x += RUN_PIXELS) {
            const int64_t n = pel__min(RUN_PIXELS, r.x1 - x);
            put_row(j, t, y, x, decoded_row(px, t, y, x, n, j->scratch->row), n, mask);
        }
    }
}

/* ---- raw tiles ---------------------------------------------------------------------------------------------- */

/* Bytes [at, at + n) of the payload; what the payload does not have is zero. */
static bool read_payload(pel__file *file, const pel__czi_subblock *sub, int64_t at, void *dst, int64_t n, pel_error *err)
{
    const int64_t have = pel__max(0, pel__min(n, sub->data_size - at));
    if (have > 0 && !pel__file_read(file, sub->data + at, dst, (size_t)have, err))
        return false;
    memset((char *)dst + have, 0, (size_t)(n - have));
    return true;
}

/* Straight into the block where its rows are the tile's own rows. */
static bool read_direct(const job *j, const pel__czi_tile *t, rect r, const pel__czi_subblock *sub, pel__file *file, pel_error *err)
{
    const int64_t bytes = pel__czi_pixel_type(t->pixel)->bytes, row = (int64_t)t->stored_w * bytes, n = (r.x1 - r.x0) * bytes;
    const int64_t shift = (r.x0 - t->x) * bytes;
    if (n == row && j->dst->stride[PEL_Y] == r.x1 - r.x0 && !(t->flags & PEL__CZI_FLIPPED))
        return read_payload(file, sub, stored_row(t, r.y0) * row + shift, dst_at(j, j->c0, r.y0, r.x0), n * (r.y1 - r.y0), err);
    for (int64_t y = r.y0; y < r.y1; y++) {
        if (!read_payload(file, sub, stored_row(t, y) * row + shift, dst_at(j, j->c0, y, r.x0), n, err))
            return false;
    }
    return true;
}

static bool fits_direct(const job *j, const pel__czi_tile *t, rect r, const pel__czi_mask *mask)
{
    const pel__czi_pixel *p = pel__czi_pixel_type(t->pixel);
    const bool same = !mask->bits && p->samples == 1 && j->samples == 1 && p->dtype == j->dst->dtype &&
                      j->dst->stride[PEL_X] == 1;
    const int64_t n = r.x1 - r.x0;
    return same && (n * p->bytes >= MOST_GAP || (n == t->stored_w && j->dst->stride[PEL_Y] == n));
}

/* Through the row buffer: as many rows at once as it holds, gaps included where they are small. */
static bool paint_raw(const job *j, const pel__czi_tile *t, rect r, const pel__czi_subblock *sub, const pel__czi_mask *mask,
                      pel_error *err)
{
    pel__file *file = j->czi->parts[t->part].file;
    const int64_t bytes = pel__czi_pixel_type(t->pixel)->bytes, row = (int64_t)t->stored_w * bytes;
    if (fits_direct(j, t, r, mask))
        return read_direct(j, t, r, sub, file, err);
    for (int64_t x = r.x0; x < r.x1; x += RUN_PIXELS) {
        const int64_t n = pel__min(RUN_PIXELS, r.x1 - x), span = n * bytes;
        const int64_t at_once = row - span > MOST_GAP ? 1 : 1 + (PEL__CZI_ROW_BYTES - span) / row;
        for (int64_t y = r.y0; y < r.y1; y += at_once) {
            const int64_t rows = pel__min(at_once, r.y1 - y);
            const int64_t first = pel__min(stored_row(t, y), stored_row(t, y + rows - 1));
            if (!read_payload(file, sub, first * row + (x - t->x) * bytes, j->scratch->row, (rows - 1) * row + span, err))
                return false;
            for (int64_t i = 0; i < rows; i++)
                put_row(j, t, y + i, x, j->scratch->row + (stored_row(t, y + i) - first) * row, n, mask);
        }
    }
    return true;
}

static void note_padding(const job *j, int64_t tile)
{
    pel_error e = {0};
    (void)pel__fail(&e, PEL_DAMAGED, "it has less than the %lld bytes of its pixels", (long long)pel__czi_decoded_bytes(&j->czi->tiles[tile]));
    (void)pel__czi_where_tile(j->czi, tile, &e);
    pel__damage_pad(j->czi->base.damage, tile, e.text);
}

static bool paint_pixels(const job *j, int64_t tile, pel_error *err)
{
    const pel__czi_tile *t = &j->czi->tiles[tile];
    const rect r = cut(tile_rect(t), j->roi);
    pel__czi_subblock sub;
    pel__czi_mask mask;
    pel__czi_pixels pixels;
    bool raw = false;
    if (!pel__czi_tile_open(&sub, &raw, j->czi, tile, err) ||
        !pel__czi_load_mask(&mask, j->czi, j->scratch, tile, &sub, err))
        return false;
    if (raw && sub.data_size < pel__czi_decoded_bytes(t))
        note_padding(j, tile);
    if (raw && !(t->flags & PEL__CZI_SCALED))
        return paint_raw(j, t, r, &sub, &mask, err) || pel__czi_where_tile(j->czi, tile, err);
    j->scratch->passes = j->czi->read_once && contains(j->roi, tile_rect(t));
    if (!pel__czi_decode(&pixels, j->czi, j->scratch, tile, &sub, raw, err))
        return false;
    if (pixels.form & PEL__CZI_SHORT)
        note_padding(j, tile);
    paint_decoded(j, t, r, &pixels, &mask);
    pel__czi_release(j->czi, &pixels);
    return true;
}

static void paint_zeros(const job *j, rect r)
{
    const int64_t origin[PEL_AXES] = {j->t, j->c0, j->z, r.y0 - j->origin_y, r.x0 - j->origin_x};
    const int64_t shape[PEL_AXES] = {1, j->c1 - j->c0, 1, r.y1 - r.y0, r.x1 - r.x0};
    const pel_region region = pel__region(PEL_AXES, origin, shape);
    const pel_block view = pel__block_view(j->dst, &region);
    pel__block_zero(&view);
}

/* A damaged tile whose pixels are zero covers what lies below it like others: what is seen must not depend on the region. */
static bool paint_tile(const job *j, int64_t tile, pel_error *err)
{
    pel_error why = {0};
    if (paint_pixels(j, tile, &why))
        return true;
    if (!pel__damage_take(j->czi->base.damage, tile, &why))
        return pel__fail(err, why.code, "%s", why.text);
    paint_zeros(j, cut(tile_rect(&j->czi->tiles[tile]), j->roi));
    return true;
}

/* ---- one plane ---------------------------------------------------------------------------------------------- */

static int compare_hits(const void *a, const void *b)
{
    const hit *x = a, *y = b;
    if (x->m != y->m)
        return x->m < y->m ? -1 : 1;
    return (x->tile > y->tile) - (x->tile < y->tile);
}

/* Collects the tiles of order[first, first + count) that touch the rectangle. They are sorted by y. */
static int64_t collect(hit *hits, const job *j, int64_t first, int64_t count, int32_t max_h)
{
    const pel__czi *czi = j->czi;
    int64_t low = first, high = first + count, n = 0;
    const int64_t end = high;
    while (low < high) { /* the first tile that may reach down to the rectangle */
        const int64_t mid = low + (high - low) / 2;
        if ((int64_t)czi->tiles[czi->order[mid]].y + max_h <= j->roi.y0)
            low = mid + 1;
        else
            high = mid;
    }
    for (int64_t i = low; i < end; i++) {
        const pel__czi_tile *t = &czi->tiles[czi->order[i]];
        if (t->y >= j->roi.y1)
            break;
        if (!is_empty(cut(tile_rect(t), j->roi)))
            hits[n++] = (hit){t->m, czi->order[i]};
    }
    return n;
}

/* True where one tile painted after hits[i] covers all that hits[i] would show. */
static bool is_hidden(const job *j, const hit *hits, int64_t i, int64_t n)
{
    const rect r = cut(tile_rect(&j->czi->tiles[hits[i].tile]), j->roi);
    for (int64_t k = i + 1; k < n; k++) {
        if (contains(tile_rect(&j->czi->tiles[hits[k].tile]), r))
            return true;
    }
    return false;
}

/* Background is needed unless some tile covers everything. */
static void clear(const job *j, const hit *hits, int64_t n)
{
    for (int64_t i = 0; i < n && !j->czi->use_mask; i++) {
        if (contains(tile_rect(&j->czi->tiles[hits[i].tile]), j->roi))
            return;
    }
    paint_zeros(j, j->roi);
}

/* t and z are starts in the file. `over`: paint over what is there instead of clearing first. */
static bool paint_plane(const job *j, int32_t image, int32_t t, int32_t z, bool over, pel_error *err)
{
    int64_t first = 0, count = 0, n = 0;
    hit *hits = NULL;
    pel__czi_plane_tiles(j->czi, image, j->group, t, z, &first, &count);
    if (count > 0) {
        hits = malloc((size_t)count * sizeof *hits);
        if (!hits)
            return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for %lld tiles of a plane", j->czi->base.path, (long long)count);
        n = collect(hits, j, first, count, j->czi->scenes[image].max_h);
        qsort(hits, (size_t)n, sizeof *hits, compare_hits);
    }
    if (!over)
        clear(j, hits, n);
    bool ok = true;
    const bool look_for_hidden = !j->czi->use_mask && n <= MOST_HIDDEN;
    for (int64_t i = 0; ok && i < n; i++) {
        if (!look_for_hidden || !is_hidden(j, hits, i, n))
            ok = paint_tile(j, hits[i].tile, err);
    }
    free(hits);
    return ok;
}

static bool begin_job(job *j, pel__czi *czi, const pel_block *dst, int32_t samples, pel_error *err)
{
    *j = (job){.czi = czi, .dst = dst, .samples = samples, .scratch = pel__czi_scratch_take(czi)};
    if (!j->scratch)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to read", czi->base.path);
    if (!pel__czi_grow(&j->scratch->row, &j->scratch->row_size, PEL__CZI_ROW_BYTES, err)) {
        pel__czi_scratch_give(czi, j->scratch);
        return false;
    }
    return true;
}

static void set_roi(job *j, int64_t origin_y, int64_t origin_x)
{
    const pel_region *r = &j->dst->region;
    j->origin_y = origin_y;
    j->origin_x = origin_x;
    j->roi.y0 = origin_y + r->origin[PEL_Y];
    j->roi.x0 = origin_x + r->origin[PEL_X];
    j->roi.y1 = j->roi.y0 + r->shape[PEL_Y];
    j->roi.x1 = j->roi.x0 + r->shape[PEL_X];
}

/* The group that channel c0 belongs to. */
static void set_group(job *j, bool uneven)
{
    const int32_t *const start = j->czi->channel_start;
    int64_t low = 0, high = j->czi->groups;
    if (!uneven) {
        j->group = j->c0 / j->samples;
        j->group_c = j->group * j->samples;
        return;
    }
    while (high - low > 1) {
        const int64_t mid = low + (high - low) / 2;
        *(start[mid] <= j->c0 ? &low : &high) = mid;
    }
    j->group = low;
    j->group_c = start[low];
    j->samples = start[low + 1] - start[low];
}

/* The channels of dst group by group, planes in C order. */
static bool paint_all(job *j, int32_t image, const pel__czi_scene *scene, pel_error *err)
{
    const pel_region *r = &j->dst->region;
    const int64_t c_end = r->origin[PEL_C] + r->shape[PEL_C];
    for (j->t = r->origin[PEL_T]; j->t < r->origin[PEL_T] + r->shape[PEL_T]; j->t++) {
        for (j->c0 = r->origin[PEL_C]; j->c0 < c_end; j->c0 = j->c1) {
            set_group(j, scene->uneven);
            j->c1 = pel__min(c_end, j->group_c + j->samples);
            for (j->z = r->origin[PEL_Z]; j->z < r->origin[PEL_Z] + r->shape[PEL_Z]; j->z++) {
                if (!paint_plane(j, image, (int32_t)(scene->t_low + j->t), (int32_t)(scene->z_low + j->z), false, err))
                    return false;
            }
        }
    }
    return true;
}

bool pel__czi_read(pel_source *s, int32_t image, const pel_block *dst, pel_error *err)
{
    pel__czi *czi = (pel__czi *)s;
    const pel_image *im = &s->images[image];
    job j;
    if (!begin_job(&j, czi, dst, im->samples, err))
        return false;
    set_roi(&j, im->origin[PEL_Y], im->origin[PEL_X]);
    const bool ok = paint_all(&j, image, &czi->scenes[image], err);
    pel__czi_scratch_give(czi, j.scratch);
    return ok;
}

bool pel__czi_plane(pel__czi *czi, const pel_block *dst, pel_error *err)
{
    const pel_region *r = &dst->region;
    job j;
    const int64_t t = r->origin[PEL_T], z = r->origin[PEL_Z];
    if (t < czi->t_low || t >= (int64_t)czi->t_low + czi->t_count || z < czi->z_low || z >= (int64_t)czi->z_low + czi->z_count)
        return pel__fail(err, PEL_ARGUMENT, "%s: no plane T %lld, Z %lld", czi->base.path, (long long)t, (long long)z);
    if (!begin_job(&j, czi, dst, czi->base.images[0].samples, err))
        return false;
    set_roi(&j, 0, 0);
    j.t = t;
    j.z = z;
    j.c0 = r->origin[PEL_C];
    j.c1 = j.c0 + r->shape[PEL_C];
    set_group(&j, czi->scenes[0].uneven);
    bool ok = true;
    for (int32_t i = 0; ok && i < czi->base.image_count; i++)
        ok = paint_plane(&j, i, (int32_t)t, (int32_t)z, i > 0, err);
    pel__czi_scratch_give(czi, j.scratch);
    return ok;
}
