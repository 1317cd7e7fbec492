/* SPDX-License-Identifier: MIT
 * The TIFF source: classic and BigTIFF, OME-TIFF (also of several files), ImageJ hyperstacks, plain stacks of pages.
 * See tiff.h for how its files divide the work, docs/formats-tiff.md for what is read and what is not. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum pel__answer detect(const char *path, bool is_folder, const uint8_t *head, size_t n)
{
    static const uint8_t starts[][4] = {{'I', 'I', 42, 0}, {'M', 'M', 0, 42}, {'I', 'I', 43, 0}, {'M', 'M', 0, 43}};
    for (size_t i = 0; !is_folder && n >= 4 && i < sizeof starts / sizeof starts[0]; i++)
        if (memcmp(head, starts[i], 4) == 0)
            return PEL__YES;
    return !is_folder && pel__tiff_is_ome_xml((const char *)head, n) ? PEL__YES : PEL__NO; /* a companion file names its TIFFs */
}

static void destroy(pel_source *s)
{
    pel__tiff *t = (pel__tiff *)s;
    if (!t)
        return;
    pel__tiff_handles_destroy(t->idle);
    for (int32_t i = 0; i < t->base.image_count; i++) {
        pel__notes_free(&t->images[i].notes);
        free(t->images[i].page);
        free((void *)(uintptr_t)t->base.images[i].channels);
    }
    pel__tiff_set_finish(&t->set);
    if (t->has_mutex)
        (void)pthread_mutex_destroy(&t->mutex);
    free(t->images);
    free(t->base.images);
    free(t->base.path);
    free(t);
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    if (t->set.page_count == 0 && t->set.file_count > 0)
        return pel__fail(err, PEL_FORMAT, "%s: no directory", t->base.path);
    const pel__tiff_dialect *d = pel__tiff_dialect_of(t, head);
    if (t->set.file_count == 0 && d != &pel__tiff_ome)
        return pel__fail(err, PEL_FORMAT, "%s: neither a TIFF file nor OME-XML that names some", t->base.path);
    if (d == &pel__tiff_ome && t->given_order[0] && t->set.file_count > 0)
        d = NULL; /* its XML names each page, which sizes contradict */
    const bool ok = (!d || d->describe(t, head, err)) && pel__tiff_add_rest(t, head, d && t->base.image_count ? d->name : NULL, err);
    return ok || pel__where(err, "%s: ", t->base.path);
}

/* The identity that plans keep is that of the file that was named; what lies beside it is known by this. */
static void keep_other(pel_source *s, const char *path)
{
    struct stat st;
    if (strcmp(path, s->path) == 0 || stat(path, &st) != 0)
        return;
    s->others_size += st.st_size;
    s->others_mtime_ns = pel__max(s->others_mtime_ns, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
}

static void add_up(pel__tiff *t)
{
    pel_source *s = &t->base;
    s->resident_bytes = t->set.page_room * (int64_t)sizeof(pel__tiff_page) + t->set.geometry_room * (int64_t)sizeof(pel__tiff_geometry) +
                        t->set.file_room * (int64_t)(sizeof(pel__tiff_file) + 64);
    for (int32_t i = 0; i < s->image_count; i++) {
        const pel_image *im = &s->images[i];
        s->resident_bytes += im->shape[PEL_T] * t->images[i].groups * im->shape[PEL_Z] * (int64_t)sizeof(int32_t) +
                             im->shape[PEL_C] * (int64_t)sizeof(pel_channel) + (int64_t)(sizeof *im + sizeof t->images[i] + 1024);
        pel__notes_give(&s->images[i], &t->images[i].notes);
    }
    s->identity_crc32c = t->set.crc32c;
    for (int64_t i = 0; i < t->set.file_count; i++)
        keep_other(s, t->set.files[i].path);
    s->thread_bytes = pel__tiff_thread_bytes(t);
}

/* "t=4,c=3,z=5", the slowest axis first; those that are not said are 1. */
static bool parse_sizes(pel__tiff *t, const char *text)
{
    static const char letters[] = "tcz";
    char slow_first[4] = "";
    int n = 0;
    t->given[0] = t->given[1] = t->given[2] = 1;
    for (const char *at = text;; at++) {
        const char *letter = *at ? strchr(letters, *at) : NULL;
        char *end = NULL;
        if (!letter || at[1] != '=' || strchr(slow_first, *at) || at[2] < '0' || at[2] > '9')
            return false;
        const long long v = strtoll(at + 2, &end, 10);
        if (v < 1 || v > INT32_MAX)
            return false;
        t->given[letter - letters] = v;
        slow_first[n++] = *at;
        at = end;
        if (*at == '\0')
            break;
        if (*at != ',')
            return false;
    }
    for (int k = 0; k < 3; k++) /* axes of length 1 may be anywhere */
        if (!strchr(slow_first, letters[k]))
            slow_first[n++] = letters[k];
    for (int i = 0; i < 3; i++)
        t->given_order[i] = slow_first[2 - i];
    return true;
}

/* Pages have one axis of their own, or sizes that only the user can know. */
static bool choose_axis(pel__tiff *t, const char *axes, pel_error *err)
{
    t->page_axis = 'z';
    t->axes_said = axes != NULL;
    if (!axes || strcmp(axes, "yx") == 0 || (strchr(axes, '=') && parse_sizes(t, axes)))
        return true;
    if (strlen(axes) != 3 || !strchr("tcz", axes[0]) || strcmp(axes + 1, "yx") != 0)
        return pel__fail(err, PEL_ARGUMENT, "%s: axes \"%s\" of TIFF pages: must be tyx, cyx or zyx, or sizes such as t=4,c=3,z=5, the slowest first", t->base.path,
                         axes);
    t->page_axis = axes[0];
    return true;
}

static bool identify(pel__tiff *t, pel_error *err)
{
    pel__file *f = NULL;
    if (!pel__file_open(&f, t->base.path, err))
        return false;
    t->base.identity_size = pel__file_size(f);
    t->base.identity_mtime_ns = pel__file_mtime_ns(f);
    pel__file_close(f);
    return true;
}

static bool open_tiff(pel_source **out, const char *path, const pel_open_options *options, pel_error *err)
{
    pel__tiff_head head = {0};
    int32_t first = -1;
    pel__tiff *t = calloc(1, sizeof *t);
    if (!t)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory", path);
    t->base.type = &pel__source_tiff;
    t->base.path = strdup(path);
    t->set.recover = options->recover;
    t->has_mutex = pthread_mutex_init(&t->mutex, NULL) == 0;
    bool ok = (t->base.path && t->has_mutex) || pel__fail(err, PEL_NO_MEMORY, "%s: no memory", path);
    ok = ok && choose_axis(t, options->axes, err) && identify(t, err) && pel__tiff_load_words(t, path, &head, &first, err) && describe(t, &head, err);
    pel__tiff_head_finish(&head);
    if (!ok) {
        destroy(&t->base);
        return false;
    }
    if (t->set.broken[0])
        pel__tiff_note(t, 0, PEL__NOTE_RECOVERED, 0, "Recovered: %s.", t->set.broken);
    add_up(t);
    *out = &t->base;
    return true;
}

static bool place(const pel_source *s, int64_t index, const pel_remote *remote, char *out, size_t size)
{
    const pel__tiff *const t = (const pel__tiff *)s;
    (void)remote;
    return index < t->set.file_count && (size_t)snprintf(out, size, "%s", t->set.files[index].path) < size;
}

const pel__source_type pel__source_tiff = {
    .name = "tiff", .detect = detect, .open = open_tiff, .read = pel__tiff_read, .destroy = destroy, .place = place,
};
