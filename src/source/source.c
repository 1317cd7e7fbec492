/* SPDX-License-Identifier: MIT
 * The front door: finds the member that reads a path, and checks what members promise so that nobody behind has to. */
#include "source/damage.h"
#include "source/given.h"
#include "source/note.h"
#include "source/source.h"
#include "source/view.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/file.h"
#include "core/region.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HEAD_BYTES 4096
#define MAX_VOXELS (INT64_MAX / 16) /* bytes of an image, and twice that, fit into int64_t whatever its type */

/* Asked in this order; the first that says yes opens. */
static const pel__source_type *const formats[] = {
    &pel__source_czi,
    &pel__source_phantom,
    &pel__source_tiff,
    &pel__source_zarr,
};

typedef struct probe {
    const char *path;
    bool exists, is_folder;
    uint8_t head[HEAD_BYTES];
    size_t n;
} probe;

/* A path that does not exist is no error here: some members read names that are not files. */
static bool look(probe *p, pel_error *err)
{
    struct stat st;
    if (stat(p->path, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)
            return true;
        return pel__fail_errno(err, errno, "%s: cannot open", p->path);
    }
    p->exists = true;
    p->is_folder = S_ISDIR(st.st_mode);
    if (p->is_folder)
        return true;
    if (!S_ISREG(st.st_mode))
        return pel__fail(err, PEL_FORMAT, "%s: found a device or pipe, expected a file or a folder", p->path);
    pel__file *f = NULL;
    const bool ok = pel__file_open(&f, p->path, err) && pel__file_read_some(f, 0, p->head, sizeof p->head, &p->n, err);
    pel__file_close(f);
    return ok;
}

/* What the user probably has in hand, for the message. */
static const char *known_stranger(const uint8_t *head, size_t n)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *what;
    } strangers[] = {
        {"\x89PNG", 4, "a PNG picture"},      {"\xFF\xD8\xFF", 3, "a JPEG picture"},
        {"\x89HDF", 4, "an HDF5 file (.h5, .ims)"}, {"\xDA\xCE\xBE\x0A", 4, "a Nikon ND2 file"},
        {"\x70\0\0\0", 4, "a Leica LIF file"}, {"PK\x03\x04", 4, "a zip archive: unpack it (.zip, .ozx of Zarr) and name the folder"},
        {"\x1F\x8B", 2, "a gzip archive"},
        {"\xD0\xCF\x11\xE0", 4, "an OLE document (.zvi, .oib)"}, {"DCIM", 4, "a DICOM file"},
    };
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        if (n >= strangers[i].n && memcmp(head, strangers[i].magic, strangers[i].n) == 0)
            return strangers[i].what;
    }
    return NULL;
}

static bool fail_unknown(const probe *p, pel_error *err)
{
    char readable[128] = "";
    for (size_t i = 0, used = 0; i < sizeof formats / sizeof formats[0] && used < sizeof readable; i++) {
        const int k = snprintf(readable + used, sizeof readable - used, "%s%s", i ? ", " : "", formats[i]->name);
        used += k > 0 ? (size_t)k : 0;
    }
    if (!p->exists)
        return pel__fail(err, PEL_NOT_FOUND, "%s: no such file or folder", p->path);
    if (p->is_folder)
        return pel__fail(err, PEL_FORMAT, "%s: this folder is no image store that pellucid knows (it reads: %s)", p->path,
                         readable);
    if (p->n == 0)
        return pel__fail(err, PEL_FORMAT, "%s: the file is empty", p->path);
    const char *what = known_stranger(p->head, p->n);
    if (what)
        return pel__fail(err, PEL_UNSUPPORTED, "%s: this is %s (pellucid reads: %s)", p->path, what, readable);
    char hex[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < p->n; i++)
        (void)snprintf(hex + 3 * i, 4, " %02X", p->head[i]);
    return pel__fail(err, PEL_FORMAT, "%s: unknown kind of file, it begins with%s (pellucid reads: %s)", p->path, hex,
                     readable);
}

/* ---- promises of members ---------------------------------------------------------------------------------- */

/* NULL, or the promise that is broken. */
static const char *broken_image(const pel_image *im)
{
    int64_t voxels = 0;
    for (int32_t a = 0; a < PEL_AXES; a++) {
        if (im->shape[a] < 1)
            return "an axis without voxels";
        if (im->tile[a] < 1)
            return "a tile without voxels";
    }
    if (!pel__product(im->shape, PEL_AXES, &voxels) || voxels > MAX_VOXELS)
        return "more voxels than 64 bits count";
    if ((uint32_t)im->dtype > PEL_F64)
        return "an unknown data type";
    if (im->samples != 1 && im->samples != 3 && im->samples != 4)
        return "a number of colour samples other than 1, 3, 4";
    if (im->shape[PEL_C] % im->samples != 0)
        return "channels that do not make whole colour groups";
    if (!im->channels)
        return "no channels";
    if (im->note_count < 0 || (im->note_count > 0 && !im->notes))
        return "notes that are not there";
    if (im->planes_missing < 0 || im->planes_missing > im->planes)
        return "more planes missing than expected";
    return NULL;
}

static bool check_promises(const pel_source *s, const pel__source_type *type, pel_error *err)
{
    if (s->type != type || !s->path || s->image_count < 1 || !s->images || s->resident_bytes < 0 || s->thread_bytes < 0)
        return pel__fail(err, PEL_INTERNAL, "the %s reader left its description unfinished", type->name);
    for (int32_t i = 0; i < s->image_count; i++) {
        const char *broken = broken_image(&s->images[i]);
        if (broken)
            return pel__fail(err, PEL_FORMAT, "%s: image %d has %s", s->path, i, broken);
    }
    return true;
}

/* ---- public ------------------------------------------------------------------------------------------------ */

static bool check_options(const pel_open_options *o, const char *path, pel_error *err)
{
    if (o->threads < 0 || o->threads > 4096)
        return pel__fail(err, PEL_ARGUMENT, "%s: %d reading threads, expected 0 to 4096", path, o->threads);
    if (o->damaged && strcmp(o->damaged, "refuse") != 0 && strcmp(o->damaged, "zero") != 0)
        return pel__fail(err, PEL_ARGUMENT, "damaged: found \"%s\", expected refuse or zero", o->damaged);
    if (o->strict && o->damaged && strcmp(o->damaged, "zero") == 0)
        return pel__fail(err, PEL_ARGUMENT, "%s: \"strict\" takes no input with pixels missing, \"damaged zero\" makes some: give one of them", path);
    if (o->level < 0)
        return pel__fail(err, PEL_ARGUMENT, "%s: level %d, expected 0 or more", path, o->level);
    return true;
}

bool pel_source_open(pel_source **out, const char *path, const pel_open_options *options, pel_error *err)
{
    pel_open_options own = {0};
    if (options)
        own = *options;
    if (!path || !*path)
        return pel__fail(err, PEL_ARGUMENT, "no file named");
    if (!check_options(&own, path, err))
        return false;
    own.threads = own.threads ? own.threads : 1;
    probe p = {.path = path};
    if (!look(&p, err))
        return false;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (formats[i]->detect(path, p.is_folder, p.head, p.n) != PEL__YES)
            continue;
        pel_source *s = NULL;
        if (!formats[i]->open(&s, path, &own, err))
            return false;
        if (!check_promises(s, formats[i], err) || (own.pixel_size && !pel__source_pixel_size(s, own.pixel_size, err)) ||
            !pel__damage_create(&s->damage, pel__damage_is_zero(&own), err)) {
            formats[i]->destroy(s);
            return false;
        }
        if (own.select && !pel__source_view(&s, s, own.select, err))
            return false;
        if (own.strict && !pel__notes_refuse(s, err)) {
            pel_source_destroy(s);
            return false;
        }
        *out = s;
        return true;
    }
    return fail_unknown(&p, err);
}

void pel_source_destroy(pel_source *source)
{
    if (!source)
        return;
    pel__damage *const damage = source->damage_is_lent ? NULL : source->damage;
    source->type->destroy(source);
    pel__damage_destroy(damage);
}

void pel__source_cache(pel_source *s, int64_t bytes, bool once)
{
    if (s->type->cache)
        s->type->cache(s, bytes, once);
}

bool pel__source_watch(pel_source *s, pel_error *err)
{
    return !s->type->watch || s->type->watch(s, err);
}

bool pel__source_changes(pel_source *s, pel__on_change *each, void *arg, pel_error *err)
{
    return !s->type->changes || s->type->changes(s, each, arg, err);
}

const char *pel_source_format(const pel_source *source)
{
    return source->type->name;
}

int32_t pel_source_image_count(const pel_source *source)
{
    return source->image_count;
}

const pel_image *pel_source_image(const pel_source *source, int32_t image)
{
    return image >= 0 && image < source->image_count ? &source->images[image] : NULL;
}

bool pel__source_check_region(const pel_source *s, int32_t image, const pel_region *region, pel_error *err)
{
    if (image < 0 || image >= s->image_count)
        return pel__fail(err, PEL_ARGUMENT, "%s: no image %d, it has 0 to %d", s->path, image, s->image_count - 1);
    const pel_image *im = &s->images[image];
    const pel_region all = pel__region(PEL_AXES, NULL, im->shape);
    char want[128], have[128];
    if (region->ndim != PEL_AXES)
        return pel__fail(err, PEL_ARGUMENT, "%s: a region of %d axes, expected %d", s->path, region->ndim, PEL_AXES);
    for (int32_t a = 0; a < PEL_AXES; a++) {
        const int64_t origin = region->origin[a], shape = region->shape[a];
        if (origin < 0 || shape < 0 || shape > im->shape[a] || origin > im->shape[a] - shape)
            return pel__fail(err, PEL_ARGUMENT, "%s: image %d: region %s is not inside %s", s->path, image,
                             pel__region_text(region, want, sizeof want), pel__region_text(&all, have, sizeof have));
    }
    return true;
}

bool pel_source_read(pel_source *source, int32_t image, const pel_block *dst, pel_error *err)
{
    if (!pel__source_check_region(source, image, &dst->region, err))
        return false;
    if (dst->dtype != source->images[image].dtype)
        return pel__fail(err, PEL_ARGUMENT, "%s: image %d is %s, the block for its pixels is another type", source->path, image,
                         pel_dtype_name(source->images[image].dtype));
    if (pel__region_empty(&dst->region))
        return true;
    if (!dst->data)
        return pel__fail(err, PEL_ARGUMENT, "%s: no memory given to read into", source->path);
    return source->type->read(source, image, dst, err);
}
