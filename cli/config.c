/* SPDX-License-Identifier: MIT
 * The configuration file that a site's staff write once: a JSON object whose members are options of `cluster`. Its words
 * are put before those that were typed, so that what is typed wins. */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

static const char *config_path(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}

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

char **config_words(const verb *self, int argc, char **argv, int *count, int *code)
{
    const char *const path = config_path(argc, argv);
    list l = {0};
    bool ok = add(&l, argv[0]);
    if (path) {
        json_object *const o = json_object_from_file(path);
        if (!o || !json_object_is_type(o, json_type_object)) {
            json_object_put(o);
            free(pack(&l));
            *code = command_wrong(self, "--config %s: cannot be read, expected a JSON object of options", path);
            return NULL;
        }
        json_object_object_foreach(o, name, value)
        {
            ok = ok && add_member(&l, name, value);
        }
        json_object_put(o);
    }
    for (int i = 1; i < argc; i++)
        ok = ok && add(&l, argv[i]);
    *count = l.count;
    *code = EXIT_FAILED;
    char **const words = pack(&l);
    if (ok)
        return words;
    free(words);
    return NULL;
}
