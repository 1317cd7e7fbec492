/* SPDX-License-Identifier: MIT
 * The configuration files that a site's staff and its users write once: JSON objects whose members are options of `cluster`
 * and `submit`. Their words are put before those that were typed, so that what is typed wins. */
#include "cluster.h"

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
static const char *const about_jobs[] = {"scheduler", "cores", "memory", "time", "queue", "name", "directive", "without", "image", "volume", "program", NULL};
static const char *const about_workers[] = {"workers", "scheduler", "cores", "memory", "time", "queue", "name", "directive", "without", NULL};

typedef struct {
    const char *path;
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

/* False: *code says how it ends. */
static bool add_file(list *l, const verb *self, const source_file *from, int *code)
{
    if (from->optional && access(from->path, F_OK) != 0)
        return true;
    json_object *const o = json_object_from_file(from->path);
    bool ok = o && json_object_is_type(o, json_type_object);
    if (!ok)
        *code = command_wrong(self, "--config %s: cannot be read, expected a JSON object of options", from->path);
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

/* The site's file, the user's file, then the one that was named. */
static int find_files(source_file out[3], char paths[2][PATH_MAX], int argc, char **argv, bool jobs_only)
{
    const char *const named = typed(argc, argv, "config", false), *const workers = typed(argc, argv, "workers", false);
    const char *const site = getenv("PELLUCID_SITE"), *const home = getenv("HOME"), *const xdg = getenv("XDG_CONFIG_HOME"); // NOLINT(concurrency-mt-unsafe)
    const bool no_scheduler = typed(argc, argv, "runner", true) || (workers && strncmp(workers, "local:", 6) == 0);
    int n = 0;
    (void)snprintf(paths[0], PATH_MAX, "%s", site ? site : "/etc/pellucid/cluster.json");
    (void)snprintf(paths[1], PATH_MAX, "%s%s", xdg ? xdg : home ? home : "", xdg ? "/pellucid/cluster.json" : home ? "/.config/pellucid/cluster.json" : "");
    for (int i = 0; i < 2 && (!named || strcmp(named, "none") != 0); i++)
        out[n++] = (source_file){.path = paths[i], .optional = true, .only = jobs_only ? about_jobs : NULL, .never = no_scheduler ? about_workers : NULL};
    if (named && strcmp(named, "none") != 0)
        out[n++] = (source_file){.path = named, .only = jobs_only ? about_jobs : NULL};
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
