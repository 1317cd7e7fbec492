/* SPDX-License-Identifier: MIT
 * Files that a program writes beside a run: a picture, a page, a script. What is there already is lost only if it is of the
 * same kind, or if the caller says so; an input never. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/file.h"
#include "core/inside.h"
#include "core/location.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_BYTES 65536

/* The first bytes of a file, and for TIFF those at its first directory. */
typedef struct look {
    uint8_t *head;
    size_t n;
} look;

typedef struct kind {
    const char *name, *what, *same; /* same: what it may replace */
    const char *suffixes[3];        /* of the names that it may have; none: any that is not another kind's */
    bool (*is)(const look *l, pel__file *f);
} kind;

static bool holds(const look *l, const char *text)
{
    return memmem(l->head, l->n, text, strlen(text)) != NULL;
}

static bool is_png(const look *l, pel__file *f)
{
    (void)f;
    return l->n >= 8 && memcmp(l->head, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static bool is_html(const look *l, pel__file *f)
{
    size_t at = l->n >= 3 && memcmp(l->head, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    (void)f;
    while (at < l->n && strchr(" \t\r\n", l->head[at]) && l->head[at])
        at++;
    const char *const text = (const char *)l->head + at;
    return (l->n - at >= 14 && strncasecmp(text, "<!doctype html", 14) == 0) || (l->n - at >= 5 && strncasecmp(text, "<html", 5) == 0);
}

/* Job scripts have many forms; all of ours name the program. */
static bool is_script(const look *l, pel__file *f)
{
    (void)f;
    return !memchr(l->head, 0, l->n) && holds(l, "pellucid");
}

/* Recordings are worth more than a phantom: only what pellucid made itself is replaced by another. */
static bool is_czi(const look *l, pel__file *f)
{
    (void)f;
    return l->n >= 10 && memcmp(l->head, "ZISRAWFILE", 10) == 0 && holds(l, "<Name>pellucid</Name>");
}

/* BigTIFF, whose first directory lies behind the first plane. */
static bool is_tiff(const look *l, pel__file *f)
{
    size_t got = 0;
    if (l->n < 16 || memcmp(l->head, "II+\0", 4) != 0)
        return false;
    const uint64_t at = pel__load_u64(l->head + 8);
    const look directory = {malloc(LOOK_BYTES), 0};
    bool ok = directory.head && at <= (uint64_t)pel__file_size(f) &&
              pel__file_read_some(f, (int64_t)at, directory.head, LOOK_BYTES, &got, NULL);
    ok = ok && holds(&(look){directory.head, got}, "Creator=\"pellucid\"");
    free(directory.head);
    return ok;
}

static bool is_phantom(const look *l, pel__file *f)
{
    return is_czi(l, f) || is_tiff(l, f);
}

static const kind kinds[] = {
    {"png", "a PNG picture", "PNG picture", {".png"}, is_png},
    {"html", "an HTML page", "HTML page", {".html", ".htm"}, is_html},
    {"script", "a job script", "job script of pellucid", {NULL}, is_script},
    {"phantom", "a CZI or TIFF file", "CZI or TIFF file that pellucid made", {".czi", ".tif", ".tiff"}, is_phantom},
};

/* Suffixes that promise something to a reader: text has none of them. */
static const char *const taken[] = {".czi", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".svg", ".zarr", ".html", ".htm", ".lsm", ".stk",
                                    ".h5", ".ims", ".nd2", ".lif", ".zip", ".gz"};

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcasecmp(text + n - m, end) == 0;
}

static bool check_name(const char *path, const kind *k, pel_error *err)
{
    if (strcmp(path, "-") == 0)
        return pel__fail(err, PEL_ARGUMENT, "'-': %s is not written to standard output by this option: give the name of a file", k->what);
    if (strstr(path, "://"))
        return pel__fail(err, PEL_ARGUMENT, "%s: %s is written to a file on this machine, not to an address", path, k->what);
    bool fits = !k->suffixes[0];
    char list[64] = "";
    for (int i = 0; i < 3 && k->suffixes[i]; i++) {
        fits = fits || ends_with(path, k->suffixes[i]);
        (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? " or " : "", k->suffixes[i]);
    }
    for (size_t i = 0; !k->suffixes[0] && i < sizeof taken / sizeof taken[0]; i++)
        if (ends_with(path, taken[i]))
            return pel__fail(err, PEL_ARGUMENT, "%s: %s would be written, which is no %s file: give another name", path, k->what, taken[i]);
    return fits || pel__fail(err, PEL_ARGUMENT, "%s: %s would be written: the name must end in %s", path, k->what, list);
}

static bool check_inputs(const char *path, const pel__location *own, const pel_file_rule *rule, pel_error *err)
{
    static const char *const how[] = {[PEL__SAME] = "is", [PEL__INSIDE] = "lies in", [PEL__AROUND] = "is a folder that holds"};
    for (int32_t i = 0; i < rule->input_count; i++) {
        pel__location in;
        if (!rule->inputs[i] || !rule->inputs[i][0] || strstr(rule->inputs[i], "://") || !pel__location_find(&in, rule->inputs[i], NULL))
            continue;
        const enum pel__relation r = pel__location_relation(own, &in);
        if (r != PEL__APART)
            return pel__fail(err, PEL_REFUSED, "%s: %s the input %s, which is not written to: give another name", path, how[r], rule->inputs[i]);
    }
    return true;
}

/* The folder of a run that is an input's, INPUT.run, may be written to. */
static bool is_of_input(const char *folder, const pel_file_rule *rule)
{
    pel__location run, own;
    char name[PEL__PATH_MAX];
    for (int32_t i = 0; i < rule->input_count; i++) {
        size_t n = rule->inputs[i] ? strlen(rule->inputs[i]) : 0;
        while (n > 1 && rule->inputs[i][n - 1] == '/')
            n--;
        if (n > 0 && !strstr(rule->inputs[i], "://") && (size_t)snprintf(name, sizeof name, "%.*s.run", (int)n, rule->inputs[i]) < sizeof name &&
            pel__location_find(&run, name, NULL) && pel__location_find(&own, folder, NULL) && pel__location_relation(&own, &run) == PEL__SAME)
            return true;
    }
    return false;
}

/* What lies in a store or among the books of a run would be taken for a part of it, or be removed with it. */
static bool check_place(const char *path, const pel_file_rule *rule, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    if (pel__inside_store(folder, sizeof folder, path))
        return pel__fail(err, PEL_REFUSED, "%s: lies in a Zarr store, %s, which is not written to: give a name outside", path, folder);
    return !pel__inside_run(folder, sizeof folder, path) || is_of_input(folder, rule) ||
           pel__fail(err, PEL_REFUSED, "%s: lies in the folder of a run, %s, which is not written to: give a name outside", path, folder);
}

static bool check_old(const char *path, const char *real, const kind *k, const pel_file_rule *rule, pel_error *err)
{
    struct stat st;
    pel__file *f = NULL;
    look l = {NULL, 0};
    if (stat(real, &st) != 0)
        return true;
    if (!S_ISREG(st.st_mode))
        return pel__fail(err, PEL_REFUSED, "%s: found a %s, expected a file or nothing: give another name", path,
                         S_ISDIR(st.st_mode) ? "folder" : "device or pipe");
    if (rule->overwrite || st.st_size == 0)
        return true;
    l.head = malloc(LOOK_BYTES);
    const bool same = l.head && pel__file_open(&f, real, NULL) && pel__file_read_some(f, 0, l.head, LOOK_BYTES, &l.n, NULL) && k->is(&l, f);
    pel__file_close(f);
    free(l.head);
    return same || pel__fail(err, PEL_REFUSED, "%s: exists and is no %s: it is not replaced; give another name, or --overwrite", path, k->same);
}

static bool check_folder(const char *path, const char *real, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    const char *const slash = strrchr(real, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash && slash > real ? (int)(slash - real) : 1, real);
    return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0 || pel__fail(err, PEL_REFUSED, "%s: nothing may be written in the folder %s", path, folder);
}

static bool check(const char *path, const pel_file_rule *rule, char *real, size_t size, pel_error *err)
{
    const kind *k = NULL;
    pel__location own;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, rule->kind) == 0)
            k = &kinds[i];
    if (!k)
        return pel__fail(err, PEL_ARGUMENT, "%s: found %s, expected png, html, script or phantom", path, rule->kind);
    return check_name(path, k, err) && pel__location_find(&own, path, err) && check_inputs(path, &own, rule, err) &&
           check_place(path, rule, err) && pel__location_has_parent(&own, path, err) && pel__location_path(real, size, &own, err) && check_old(path, real, k, rule, err) &&
           check_folder(path, real, err);
}

bool pel_file_check(const char *path, const pel_file_rule *rule, pel_error *err)
{
    char real[PEL__PATH_MAX];
    return check(path, rule, real, sizeof real, err);
}

bool pel_file_write(const char *path, const pel_file_rule *rule, const void *data, int64_t n, pel_error *err)
{
    char real[PEL__PATH_MAX];
    return check(path, rule, real, sizeof real, err) && pel__file_replace(real, &(pel__piece){data, (size_t)n}, 1, err);
}
