/* SPDX-License-Identifier: MIT
 * Describes each image of a CZI file in the words of pel_image: shape and type from the tiles (the XML's sizes are hints and
 * often wrong), names, colours and physical sizes from the XML, and notes on whatever is missing or odd. */
#include "source/czi.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what the tiles of one image say ------------------------------------------------------------------------- */

enum kind { KIND_RAW, KIND_ZSTD0, KIND_ZSTD1, KIND_JXR, KIND_SYSTEM_RAW, KIND_JPEG, KIND_LZW, KIND_CAMERA, KIND_OTHER, KINDS };

static const char *const kind_names[KINDS] = {
    "none", "zstd0", "zstd1", "JPEG XR", "none (system raw)", "JPEG", "LZW", "camera", "unknown",
};

static enum kind kind_of(const pel__czi_tile *t)
{
    switch (t->compression) {
    case PEL__CZI_RAW: return KIND_RAW;
    case PEL__CZI_ZSTD0: return KIND_ZSTD0;
    case PEL__CZI_ZSTD1: return KIND_ZSTD1;
    case PEL__CZI_JXR: return KIND_JXR;
    case PEL__CZI_JPEG: case PEL__CZI_JPEG_LL: return KIND_JPEG;
    case PEL__CZI_LZW: return KIND_LZW;
    default:
        return t->compression >= PEL__CZI_SYSTEM_RAW ? KIND_SYSTEM_RAW : t->compression >= PEL__CZI_CAMERA_RAW ? KIND_CAMERA : KIND_OTHER;
    }
}

typedef struct survey {
    int64_t x0, y0, x1, y1;
    int32_t t0, t1, z0, z1;
    pel_dtype dtype;
    int32_t samples;
    int64_t planes;                  /* distinct ones with a tile */
    int64_t kinds[KINDS], pixel_types[16];
    int64_t gray;                    /* tiles of gray groups beside colour ones */
    int64_t scaled, stacked, outside, partless, unread, doubted;
    int64_t tile_w, tile_h, votes;   /* majority vote */
    uint16_t part;                   /* the first that is not here */
    int16_t camera;                  /* compression of the last such tile */
} survey;

/* The smallest type that holds the values of both. */
static pel_dtype join(pel_dtype a, pel_dtype b)
{
    if (a == b)
        return a;
    if (a == PEL_F64 || b == PEL_F64)
        return PEL_F64;
    if (a == PEL_F32 || b == PEL_F32)
        return a == PEL_I32 || b == PEL_I32 ? PEL_F64 : PEL_F32;
    return a == PEL_I32 || b == PEL_I32 ? PEL_I32 : PEL_U16;
}

static void vote(survey *s, const pel__czi_tile *t)
{
    if (s->votes == 0) {
        s->tile_w = t->w;
        s->tile_h = t->h;
    }
    s->votes += s->tile_w == t->w && s->tile_h == t->h ? 1 : -1;
}

static void count_oddities(survey *s, const pel__czi *czi, const pel__czi_tile *t)
{
    const pel__file *file = t->part < czi->part_count ? czi->parts[t->part].file : NULL;
    s->kinds[kind_of(t)]++;
    s->camera = kind_of(t) == KIND_CAMERA ? t->compression : s->camera;
    s->scaled += (t->flags & PEL__CZI_SCALED) != 0;
    s->stacked += t->stack_axis != 0;
    s->partless += file == NULL;
    s->part = file || (s->part & PEL__CZI_PART_MISSING) ? s->part : t->part;
    s->doubted += (t->flags & PEL__CZI_DOUBTED) != 0;
    s->outside += file && (t->position < 0 || t->position > pel__file_size(file) - 288);
}

static bool survey_tile(survey *s, const pel__czi *czi, const pel__czi_tile *t, bool first, pel_error *err)
{
    const pel__czi_pixel *p = pel__czi_pixel_type(t->pixel);
    if (!p)
        return pel__fail(err, PEL_UNSUPPORTED, "%s: the tile at %lld has a pixel type that pellucid does not read (complex numbers, "
                                               "or unknown)", czi->base.path, (long long)t->position);
    if (first)
        *s = (survey){t->x, t->y, (int64_t)t->x + t->w, (int64_t)t->y + t->h, t->t, t->t, t->z, t->z, p->dtype, p->samples};
    s->x0 = pel__min(s->x0, t->x);
    s->y0 = pel__min(s->y0, t->y);
    s->x1 = pel__max(s->x1, (int64_t)t->x + t->w);
    s->y1 = pel__max(s->y1, (int64_t)t->y + t->h);
    s->t0 = t->t < s->t0 ? t->t : s->t0;
    s->t1 = t->t > s->t1 ? t->t : s->t1;
    s->z0 = t->z < s->z0 ? t->z : s->z0;
    s->z1 = t->z > s->z1 ? t->z : s->z1;
    s->dtype = join(s->dtype, p->dtype);
    s->samples = p->samples > s->samples ? p->samples : s->samples;
    s->pixel_types[t->pixel]++;
    vote(s, t);
    count_oddities(s, czi, t);
    s->gray += czi->channel_start && czi->channel_start[t->fold + 1] - czi->channel_start[t->fold] == 1;
    return true;
}

static bool survey_image(survey *s, const pel__czi *czi, int32_t image, pel_error *err)
{
    const pel__czi_scene *scene = &czi->scenes[image];
    const pel__czi_tile *before = NULL;
    for (int64_t i = 0; i < scene->count; i++) {
        const pel__czi_tile *t = &czi->tiles[czi->order[scene->first + i]];
        if (!survey_tile(s, czi, t, i == 0, err))
            return false;
        s->planes += !before || before->fold != t->fold || before->t != t->t || before->z != t->z;
        before = t;
    }
    return true;
}

/* ---- channels ----------------------------------------------------------------------------------------------- */

static const uint32_t palette[] = {0x00FF00, 0xFF00FF, 0x00FFFF, 0xFFFF00, 0xFF0000, 0x0000FF, 0xFF8000, 0xFFFFFF};
static const char *const sample_names[] = {"R", "G", "B", "A"};
static const uint32_t sample_colors[] = {0xFF0000, 0x00FF00, 0x0000FF, 0xFFFFFF};

static const pel__czi_channel_info *find_display(const pel__czi_meta *m, const pel__czi_channel_info *channel, int64_t i)
{
    for (int32_t k = 0; channel && channel->id[0] && k < m->display_count; k++) {
        if (strcmp(m->displays[k].id, channel->id) == 0)
            return &m->displays[k];
    }
    return i >= 0 && i < m->display_count ? &m->displays[i] : NULL;
}

static void set_window(pel_channel *out, const pel__czi_channel_info *display, pel_dtype dtype)
{
    const double top = dtype == PEL_U8 ? 255 : dtype == PEL_U16 ? 65535 : 0;
    if (!display || !display->has_window || top == 0 || !(display->high > display->low))
        return;
    out->window_start = round(display->low * top);
    out->window_end = round(display->high * top);
}

/* The channel whose Id says "Channel:c"; NULL where there is none. */
static const pel__czi_channel_info *channel_by_id(const pel__czi_meta *m, int64_t c)
{
    char id[40];
    (void)snprintf(id, sizeof id, "Channel:%lld", (long long)c);
    for (int32_t i = 0; i < m->channel_count; i++)
        if (strcmp(m->channels[i].id, id) == 0)
            return &m->channels[i];
    return NULL;
}

/* By Id where every channel of the file has one with its own number; else by place. */
static const pel__czi_channel_info *find_channel(const pel__czi *czi, int64_t c)
{
    const pel__czi_meta *m = &czi->meta;
    bool by_id = true;
    for (int64_t k = czi->c_low; by_id && k < (int64_t)czi->c_low + czi->c_count; k++)
        by_id = channel_by_id(m, k) != NULL;
    return by_id ? channel_by_id(m, c) : c >= 0 && c < m->channel_count ? &m->channels[c] : NULL;
}

/* Name, colour and wavelengths of the channel with start c. */
static void fill_channel(pel_channel *out, const pel__czi *czi, int64_t c, pel_dtype dtype)
{
    const pel__czi_meta *m = &czi->meta;
    const pel__czi_channel_info *info = find_channel(czi, c);
    const pel__czi_channel_info *display = find_display(m, info, c);
    const char *name = info && info->name[0] ? info->name : display && display->name[0] ? display->name
                     : info && info->fluor[0] ? info->fluor : display ? display->fluor : "";
    if (name[0])
        (void)snprintf(out->name, sizeof out->name, "%s", name);
    else
        (void)snprintf(out->name, sizeof out->name, "C%lld", (long long)c);
    out->rgb = czi->c_count == 1 ? 0xFFFFFF : palette[(uint64_t)c % (sizeof palette / sizeof palette[0])];
    if (display && display->has_color)
        out->rgb = display->rgb;
    else if (info && info->has_color)
        out->rgb = info->rgb;
    out->excitation_nm = info && info->excitation_nm > 0 ? info->excitation_nm : display ? display->excitation_nm : 0;
    out->emission_nm = info && info->emission_nm > 0 ? info->emission_nm : display ? display->emission_nm : 0;
    set_window(out, display, dtype);
}

/* "V1 I0 " for the folded axes that the file really uses. */
static void fold_label(char *text, size_t size, const pel__czi *czi, int64_t group)
{
    int64_t rest = group / czi->c_count, at[PEL__CZI_MAX_FOLDED] = {0};
    const pel__czi_tuples *t = &czi->tuples;
    size_t used = 0;
    text[0] = '\0';
    for (int32_t a = t->letter_count - 1; a >= 0; a--) {
        const int64_t n = (int64_t)t->high[a] - t->low[a] + 1;
        at[a] = t->low[a] + rest % n;
        rest /= n;
    }
    for (int32_t a = 0; a < t->letter_count && used + 1 < size; a++) {
        if (t->high[a] > t->low[a]) {
            const int k = snprintf(text + used, size - used, "%c%lld ", t->letters[a], (long long)at[a]);
            used += k > 0 ? (size_t)k : 0;
        }
    }
}

/* Gray groups beside colour ones have one channel each, not one a colour. */
static bool lay_out_channels(pel__czi *czi, pel_error *err)
{
    int32_t most = 1;
    int64_t colours = 0;
    int32_t *const start = calloc((size_t)czi->groups + 1, sizeof *start);
    if (!start)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for %lld channels", czi->base.path, (long long)czi->groups);
    for (int64_t i = 0; i < czi->order_count; i++) {
        const pel__czi_tile *t = &czi->tiles[czi->order[i]];
        const pel__czi_pixel *p = pel__czi_pixel_type(t->pixel);
        if (!p || p->samples == 1)
            continue;
        most = p->samples > most ? p->samples : most;
        colours += start[t->fold + 1] == 0;
        start[t->fold + 1] = 1;
    }
    for (int64_t g = 0; g < czi->groups; g++)
        start[g + 1] = start[g] + (start[g + 1] ? most : 1);
    if (colours > 0 && colours < czi->groups)
        czi->channel_start = start;
    else
        free(start);
    return true;
}

/* The channels of images with this many samples; made once, shared by all such images. */
static const pel_channel *channels_for(pel__czi *czi, int32_t most, bool uneven, pel_dtype dtype)
{
    pel_channel **set = &czi->channel_sets[uneven ? 3 : most == 1 ? 0 : most == 3 ? 1 : 2];
    if (*set)
        return *set;
    *set = calloc((size_t)pel__max(1, uneven ? czi->channel_start[czi->groups] : czi->groups * most), sizeof **set);
    for (int64_t g = 0; *set && g < czi->groups; g++) {
        const int64_t first = uneven ? czi->channel_start[g] : g * most;
        const int32_t samples = uneven ? czi->channel_start[g + 1] - czi->channel_start[g] : most;
        char label[128];
        pel_channel base = {0};
        fill_channel(&base, czi, (int64_t)czi->c_low + g % czi->c_count, dtype);
        fold_label(label, sizeof label, czi, g);
        for (int32_t s = 0; s < samples; s++) {
            pel_channel *out = *set + first + s;
            char name[sizeof base.name + sizeof label + 4];
            *out = base;
            if (czi->groups == 1 && samples > 1) /* a plain colour picture */
                (void)snprintf(name, sizeof name, "%s", sample_names[s]);
            else
                (void)snprintf(name, sizeof name, "%s%s%s%s", label, base.name, samples > 1 ? " " : "",
                               samples > 1 ? sample_names[s] : "");
            (void)snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, name);
            if (samples > 1)
                out->rgb = sample_colors[s];
        }
    }
    return *set;
}

/* ---- one image ---------------------------------------------------------------------------------------------- */

static void describe_compression(pel_image *im, const survey *s, bool hilo)
{
    int kinds = 0;
    size_t used = 0;
    for (int k = 0; k < KINDS; k++)
        kinds += s->kinds[k] > 0;
    if (kinds > 1)
        used = (size_t)snprintf(im->compression, sizeof im->compression, "mixed: ");
    for (int k = 0, first = 1; k < KINDS && used + 1 < sizeof im->compression; k++) {
        if (s->kinds[k] == 0)
            continue;
        char id[16] = "";
        if (k == KIND_CAMERA)
            (void)snprintf(id, sizeof id, " %d", s->camera);
        const int n = snprintf(im->compression + used, sizeof im->compression - used, "%s%s%s", first ? "" : ", ", kind_names[k],
                               k == KIND_ZSTD1 && hilo ? " with hi-lo" : id);
        used += n > 0 ? (size_t)n : 0;
        first = 0;
    }
}

static void describe_optics(pel_image *im, const pel__czi_meta *m)
{
    const pel__czi_objective *o = m->objective_count == 1 ? m->objectives : NULL;
    for (int32_t i = 0; i < m->objective_count && m->objective_ref[0]; i++) {
        if (strcmp(m->objectives[i].id, m->objective_ref) == 0)
            o = &m->objectives[i];
    }
    if (!o)
        return;
    (void)snprintf(im->objective, sizeof im->objective, "%s", o->name);
    im->magnification = o->magnification;
    im->aperture = o->aperture;
}

static void name_image(pel_image *im, const pel__czi *czi, int32_t scene)
{
    for (int32_t i = 0; i < czi->meta.scene_count; i++) {
        if (czi->meta.scenes[i].index == scene && czi->meta.scenes[i].name[0]) {
            (void)snprintf(im->name, sizeof im->name, "%s", czi->meta.scenes[i].name);
            return;
        }
    }
    if (czi->base.image_count > 1) {
        (void)snprintf(im->name, sizeof im->name, "scene %d", scene);
        return;
    }
    const char *const slash = strrchr(czi->base.path, '/'), *const file = slash ? slash + 1 : czi->base.path;
    const size_t n = strlen(file), stem = n > 4 && strcasecmp(file + n - 4, ".czi") == 0 ? n - 4 : n;
    (void)snprintf(im->name, sizeof im->name, "%.*s", (int)stem, file);
    pel__text_to_utf8(im->name);
}

static bool describe_geometry(pel__czi *czi, int32_t image, const survey *s, pel_error *err)
{
    pel_image *im = &czi->base.images[image];
    const pel__czi_meta *m = &czi->meta;
    const bool uneven = s->gray > 0 && s->samples > 1;
    im->shape[PEL_T] = (int64_t)s->t1 - s->t0 + 1;
    im->shape[PEL_C] = uneven ? czi->channel_start[czi->groups] : czi->groups * s->samples;
    im->shape[PEL_Z] = (int64_t)s->z1 - s->z0 + 1;
    im->shape[PEL_Y] = s->y1 - s->y0;
    im->shape[PEL_X] = s->x1 - s->x0;
    im->origin[PEL_T] = s->t0;
    im->origin[PEL_Z] = s->z0;
    im->origin[PEL_Y] = s->y0;
    im->origin[PEL_X] = s->x0;
    im->tile[PEL_T] = im->tile[PEL_Z] = 1;
    im->tile[PEL_C] = uneven ? 1 : s->samples;
    im->tile[PEL_Y] = s->tile_h;
    im->tile[PEL_X] = s->tile_w;
    im->pixel_size[PEL_X] = m->size_um[0];
    im->pixel_size[PEL_Y] = m->size_um[1];
    im->pixel_size[PEL_Z] = m->size_um[2] > 0 ? m->size_um[2] : m->z_step_um;
    im->pixel_size[PEL_T] = czi->t_count > 1 ? m->interval_s : 0;
    im->dtype = s->dtype;
    im->samples = uneven ? 1 : s->samples;
    im->file_is_bgr = im->samples > 1;
    const bool whole = s->dtype == PEL_U8 || s->dtype == PEL_U16;
    im->significant_bits = whole && m->bits > 0 && m->bits <= 8 * (int32_t)pel_dtype_size(s->dtype) ? m->bits : 0;
    im->planes = im->shape[PEL_T] * czi->groups * im->shape[PEL_Z];
    im->planes_missing = s->stacked > 0 ? 0 : im->planes - s->planes; /* a stack in a tile: who knows */
    im->channels = channels_for(czi, s->samples, uneven, s->dtype);
    czi->scenes[image].uneven = uneven;
    czi->scenes[image].t_low = s->t0;
    czi->scenes[image].z_low = s->z0;
    return im->channels || pel__fail(err, PEL_NO_MEMORY, "%s: no memory for %lld channels", czi->base.path,
                                     (long long)im->shape[PEL_C]);
}

/* ---- notes of one image -------------------------------------------------------------------------------------- */

static bool note_pixels(pel__notes *n, const pel_image *im, const survey *s)
{
    int types = 0;
    for (int i = 0; i < 16; i++)
        types += s->pixel_types[i] > 0;
    return pel__note_planes(n, im) &&
           (types < 2 || s->gray == 0 || s->samples == 1 ||
            pel__note_add(n, PEL__NOTE_MIXED_TYPES, types, "Channels have different pixel types; all are given as %s, the samples of colour as channels of their own.",
                          pel_dtype_name(im->dtype))) &&
           (types < 2 || (s->gray > 0 && s->samples > 1) || pel__note_add(n, PEL__NOTE_MIXED_TYPES, types, "Channels have different pixel types; all are given as %s with %d sample%s a pixel.",
                                       pel_dtype_name(im->dtype), im->samples, im->samples > 1 ? "s" : "")) &&
           (s->scaled == 0 || pel__note_add(n, PEL__NOTE_RESAMPLED, s->scaled, "%lld tiles are stored at another size than they cover; their pixels are "
                                            "repeated or dropped to fit.", (long long)s->scaled));
}

static bool note_tiles(pel__notes *n, enum pel__note_kind kind, int64_t count, const char *what)
{
    return count == 0 || pel__note_add(n, kind, count, "%lld tiles %s", (long long)count, what);
}

/* What is damaged fails or reads as zero, as the options say. */
static bool note_damaged(pel__notes *n, const pel__czi *czi, int64_t count, const char *what)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%s; %s.", what, czi->zero_damaged ? "they read as zero" : "reading them fails");
    return note_tiles(n, PEL__NOTE_UNREADABLE, count, text);
}

static bool note_partless(pel__notes *n, const pel__czi *czi, const survey *s)
{
    char name[PEL__PATH_MAX];
    if (s->partless == 0 || !pel__czi_missing_part(czi, s->part, name, sizeof name))
        return note_tiles(n, PEL__NOTE_UNREADABLE, s->partless, "are in parts of the file set that are not here; reading them fails.");
    return pel__note_add(n, PEL__NOTE_UNREADABLE, s->partless, "%lld tiles are in parts of the file set that are not here (looked for %s); reading them fails.",
                         (long long)s->partless, name);
}

static bool note_streamed(pel__notes *n, const pel__czi *czi, const survey *s)
{
    if (czi->flip_streamed)
        return note_tiles(n, PEL__NOTE_CONVERTED, s->kinds[KIND_SYSTEM_RAW], "are streamed camera data; they are turned upside down, as was asked for.");
    return note_tiles(n, PEL__NOTE_ORIENTATION, s->kinds[KIND_SYSTEM_RAW], "are streamed camera data; some cameras store them upside down: please check, "
                      "--flip-streamed turns them.");
}

static bool note_unreadable(pel__notes *n, const pel__czi *czi, const survey *s)
{
    const int64_t foreign = s->kinds[KIND_JPEG] + s->kinds[KIND_LZW] + s->kinds[KIND_CAMERA] + s->kinds[KIND_OTHER];
    return note_tiles(n, PEL__NOTE_UNREADABLE, s->stacked, "hold a whole stack or time series each, which pellucid does not read; reading them fails.") &&
           note_damaged(n, czi, s->doubted, "are contradicted by what their own sub-blocks say: their entries in the directory are damaged") &&
           note_damaged(n, czi, s->outside, "lie behind the end of the file, which seems cut off") &&
           note_partless(n, czi, s) && note_streamed(n, czi, s) &&
           note_tiles(n, PEL__NOTE_UNREADABLE, foreign, "are compressed in a way that pellucid does not read; reading them fails. Save the file once in ZEN, which then writes it as other programs read it.");
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

/* Hi-lo is told by the payload's first bytes only: looked up in the first zstd1 tile. */
static bool peek_hilo(const pel__czi *czi)
{
    for (int64_t i = 0; i < czi->order_count; i++) {
        const pel__czi_tile *t = &czi->tiles[czi->order[i]];
        uint8_t head[3];
        pel__czi_subblock sub;
        if (t->compression != PEL__CZI_ZSTD1 || t->part >= czi->part_count)
            continue;
        pel__file *file = czi->parts[t->part].file;
        return file && pel__czi_read_subblock(&sub, file, t->position, NULL) && sub.data_size >= 3 &&
               pel__file_read(file, sub.data, head, 3, NULL) && head[0] == 3 && head[1] == 1 && (head[2] & 1);
    }
    return false;
}

static bool note_file(pel__czi *czi)
{
    int64_t pyramid = 0;
    for (int64_t i = 0; i < czi->tile_count; i++)
        pyramid += (czi->tiles[i].flags & PEL__CZI_LEFT_OUT) != 0;
    bool pending = false;
    for (int32_t i = 0; i < czi->part_count; i++)
        pending = pending || czi->parts[i].update_pending;
    pel__notes *const n = &czi->notes;
    return (!pending || pel__note_add(n, PEL__NOTE_UNFINISHED, 0, "The program that wrote this file had not finished it (update pending).")) &&
           (czi->part_count == 1 || pel__note_add(n, PEL__NOTE_SET, czi->part_count, "The image is spread over %d files.", czi->part_count)) &&
           note_tiles(n, PEL__NOTE_LEFT_OUT, czi->left_out, "have no size in the directory, or a damaged one; they are left out.") &&
           note_tiles(n, PEL__NOTE_REDUCED, pyramid, "of lower resolution (pyramid) are in the file; they are left out.") &&
           (czi->tuples.letter_count <= 5 ||
            pel__note_add(n, PEL__NOTE_AXES, czi->tuples.letter_count - 5, "Axes that pellucid does not know are counted as channels: %.*s.",
                          czi->tuples.letter_count - 5, czi->tuples.letters + 5)) &&
           (czi->meta.trouble[0] == '\0' || pel__note_add(n, PEL__NOTE_METADATA, 0, "%s", czi->meta.trouble));
}

static bool describe_image(pel__czi *czi, int32_t image, bool hilo, pel_error *err)
{
    survey s = {0};
    pel_image *im = &czi->base.images[image];
    pel__notes *const notes = &czi->image_notes[image];
    if (!survey_image(&s, czi, image, err) || !describe_geometry(czi, image, &s, err))
        return false;
    describe_compression(im, &s, hilo);
    describe_optics(im, &czi->meta);
    name_image(im, czi, czi->scenes[image].scene);
    (void)snprintf(im->acquired, sizeof im->acquired, "%s", czi->meta.acquired);
    if (!pel__notes_copy(notes, &czi->notes) || !note_pixels(notes, im, &s) || !note_unreadable(notes, czi, &s))
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for notes", czi->base.path);
    pel__notes_give(im, notes);
    return true;
}

bool pel__czi_describe(pel__czi *czi, pel_error *err)
{
    const size_t n = (size_t)czi->base.image_count;
    czi->base.images = calloc(n, sizeof *czi->base.images);
    czi->image_notes = calloc(n, sizeof *czi->image_notes);
    if (!czi->base.images || !czi->image_notes || !note_file(czi))
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for %zu images", czi->base.path, n);
    if (!lay_out_channels(czi, err))
        return false;
    const bool hilo = peek_hilo(czi);
    for (int32_t i = 0; i < czi->base.image_count; i++) {
        if (!describe_image(czi, i, hilo, err))
            return false;
    }
    return true;
}
