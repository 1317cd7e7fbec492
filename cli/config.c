/* SPDX-License-Identifier: MIT
 * The configuration files that a site's staff and its users write once: objects in JSON or YAML whose members are options of
 * `cluster` and `submit`. Their words are put before those that were typed, so that what is typed wins. */
#include "cluster.h"
#include "config_dask.h"
#include "document.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Value of an option that was typed, "" for a flag, NULL: it was not. */
static const char *typed(int argc, char **argv, const char *name, bool flag)
{
    const size_t n = strlen(name);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || strncmp(argv[i] + 2, name, n) != 0)
            continue;
        if (argv[i][n + 2] == '=')
            return argv[i] + n + 3;
        if (argv[i][n + 2] == '\0' && (flag || i + 1 < argc))
            return flag ? "" : argv[i + 1];
    }
    return NULL;
}

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

/* What says how jobs are asked for; of a site's file nothing else concerns `submit`. */
static const char *const about_jobs[] = {"scheduler", "cores", "memory", "memory-per-slot", "time", "queue", "name", "directive", "without", "prologue", "image",
                                         "volume", "template", "ttl", "program", NULL};
static const char *const about_workers[] = {"workers", "scheduler", "cores", "memory", "memory-per-slot", "time", "queue", "name", "directive", "without", "template",
                                            "ttl", NULL};
/* Together all that `cluster` and `submit` take, but for what would stand in a file only to surprise. */
static const char *const about_cluster[] = {"workers", "runner", "hosts", "launcher", "detach", "quiet", "interface", "tls", "port", "attempts", "batch-seconds",
                                            "late-seconds", "poll-seconds", "seconds", "hand-over", "worker-program", "worker-scratch", "worker-timeout", "tls-program",
                                            "parts", "output", "now", NULL};

typedef struct {
    const char *path, *scheduler;    /* scheduler: that was typed; NULL: none was */
    bool optional;                   /* a place where a file may be */
    const char *const *only, *const *never; /* members; NULL: no rule */
} source_file;

typedef struct {
    char **words;
    int count, size;
} list;

static bool add(list *l, const char *word)
{
    if (l->count + 1 >= l->size) {
        const int more = l->size * 2 + 32;
        char **const p = realloc(l->words, (size_t)more * sizeof *p);
        if (!p)
            return false;
        l->words = p;
        l->size = more;
    }
    l->words[l->count] = strdup(word);
    l->words[l->count + 1] = NULL;
    return l->words[l->count++] != NULL;
}

/* --name=value: also a value that begins with a dash stays one. */
static bool add_option(list *l, const char *name, json_object *value)
{
    char word[4096];
    if (json_object_is_type(value, json_type_boolean)) {
        (void)snprintf(word, sizeof word, "--%s", name);
        return !json_object_get_boolean(value) || add(l, word);
    }
    (void)snprintf(word, sizeof word, "--%s=%s", name, json_object_get_string(value));
    return add(l, word);
}

static bool add_member(list *l, const char *name, json_object *value)
{
    if (!json_object_is_type(value, json_type_array))
        return add_option(l, name, value);
    for (size_t i = 0; i < json_object_array_length(value); i++)
        if (!add_option(l, name, json_object_array_get_idx(value, i)))
            return false;
    return true;
}

/* One piece of memory: who reads words moves them about, and frees the whole. */
static char **pack(list *l)
{
    size_t bytes = 0;
    for (int i = 0; i < l->count; i++)
        bytes += strlen(l->words[i]) + 1;
    char **const out = malloc(((size_t)l->count + 1) * sizeof *out + bytes);
    char *at = out ? (char *)(out + l->count + 1) : NULL;
    for (int i = 0; i < l->count; i++) {
        const size_t n = strlen(l->words[i]) + 1;
        if (out) {
            out[i] = memcpy(at, l->words[i], n);
            at += n;
        }
        free(l->words[i]);
    }
    if (out)
        out[l->count] = NULL;
    free(l->words);
    return out;
}

static bool check_names(const verb *self, const char *path, json_object *o, int *code)
{
    const char *names[COUNT(about_jobs) + COUNT(about_cluster)] = {NULL};
    int n = 0;
    for (int i = 0; about_jobs[i]; i++)
        names[n++] = about_jobs[i];
    for (int i = 0; about_cluster[i]; i++)
        names[n++] = about_cluster[i];
    json_object_object_foreach(o, name, value)
    {
        const char *const near = nearest_name(name, names, n);
        (void)value;
        if (is_one_of(name, names))
            continue;
        *code = command_wrong(self, "%s: no option '%s'%s%s%s", path, name, near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
        return false;
    }
    return true;
}

/* The members of a file in our words; NULL: *code says how it ends. */
static json_object *read_members(const verb *self, const source_file *from, int *code)
{
    pel_error err = {0};
    json_object *const file = document_read(from->path, true, &err);
    json_object *o = NULL;
    if (file && json_object_is_type(file, json_type_object))
        o = config_translate(self, from->path, file, from->scheduler, &err);
    json_object_put(file);
    if (!o)
        *code = err.text[0] ? command_wrong(self, "--config: %s", err.text)
                            : command_wrong(self, "--config: %s: expected an object of options, as {\"queue\": \"long\"}", from->path);
    if (o && !check_names(self, from->path, o, code)) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

/* False: *code says how it ends. */
static bool add_file(list *l, const verb *self, const source_file *from, int *code)
{
    if (from->optional && access(from->path, F_OK) != 0)
        return true;
    json_object *const o = read_members(self, from, code);
    bool ok = o != NULL;
    if (ok) {
        json_object_object_foreach(o, name, value)
        {
            if ((!from->only || is_one_of(name, from->only)) && (!from->never || !is_one_of(name, from->never)))
                ok = ok && add_member(l, name, value);
        }
    }
    json_object_put(o);
    return ok;
}

/* DIR/cluster.json, or where there is none DIR/cluster.yaml. */
static void place(char out[PATH_MAX], const char *folder, const char *below)
{
    (void)snprintf(out, PATH_MAX, "%s%s/cluster.json", folder, below);
    if (access(out, F_OK) != 0)
        (void)snprintf(out, PATH_MAX, "%s%s/cluster.yaml", folder, below);
}

/* The site's file, the user's file, then the one that was named. */
static int find_files(source_file out[3], char paths[2][PATH_MAX], int argc, char **argv, bool jobs_only)
{
    const char *const named = typed(argc, argv, "config", false), *const workers = typed(argc, argv, "workers", false);
    const char *const site = getenv("PELLUCID_SITE"), *const home = getenv("HOME"), *const xdg = getenv("XDG_CONFIG_HOME"); // NOLINT(concurrency-mt-unsafe)
    const bool no_scheduler = typed(argc, argv, "runner", true) || (workers && strncmp(workers, "local:", 6) == 0);
    const source_file any = {.scheduler = typed(argc, argv, "scheduler", false), .only = jobs_only ? about_jobs : NULL};
    int n = 0;
    place(paths[0], "/etc", "/pellucid");
    if (site)
        (void)snprintf(paths[0], PATH_MAX, "%s", site);
    paths[1][0] = '\0';
    if (xdg || home)
        place(paths[1], xdg ? xdg : home, xdg ? "/pellucid" : "/.config/pellucid");
    for (int i = 0; i < 2 && (!named || strcmp(named, "none") != 0); i++) {
        out[n] = any;
        out[n].path = paths[i];
        out[n].optional = true;
        out[n++].never = no_scheduler ? about_workers : NULL;
    }
    if (named && strcmp(named, "none") != 0) {
        out[n] = any;
        out[n++].path = named;
    }
    return n;
}

char **config_words(const verb *self, int argc, char **argv, bool jobs_only, int *count, int *code)
{
    char paths[2][PATH_MAX];
    source_file files[3];
    list l = {0};
    *code = EXIT_FAILED;
    bool ok = add(&l, argv[0]);
    const int n = find_files(files, paths, argc, argv, jobs_only);
    for (int i = 0; ok && i < n; i++)
        ok = add_file(&l, self, &files[i], code);
    for (int i = 1; ok && i < argc; i++)
        ok = add(&l, argv[i]);
    *count = l.count;
    char **const words = pack(&l);
    if (ok)
        return words;
    free(words);
    return NULL;
}
