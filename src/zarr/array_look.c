/* SPDX-License-Identifier: MIT
 * Which separator the keys of an array's chunks have, by looking: what the metadata say (or leave unsaid) and what is stored are not
 * always the same, and an array read by the wrong keys is all fill value without a word. A folder also tells that no chunk at all
 * is there. */
#include "core/bytes.h"
#include "zarr/array.h"

#include <stdlib.h>
#include <string.h>

#define PROBES 3
#define MOST_OTHERS 1000 /* keys with the other separator that are seen before the listing ends */

/* Is there anything under the key that this chunk has with this separator? Trouble is told when it is read. */
static bool has_chunk(pel__zarr_array *a, char separator, const int64_t *grid)
{
    char key[PEL__PATH_MAX];
    pel__object *object = NULL;
    const pel__want little = {PEL__WANT_HEAD, 1};
    a->separator = separator;
    if (!pel__zarr_chunk_key(a, grid, key, sizeof key))
        return false;
    if (!pel__store_object(a->store, key, &little, &object, NULL))
        return true;
    const bool there = object != NULL;
    pel__object_close(object);
    return there;
}

/* "0/1/2", "c.0.1.2": a key of the array's grid, below the array's path. */
static bool is_key(const pel__zarr_array *a, const char *key, char separator)
{
    if (a->prefixed && *key++ != 'c')
        return false;
    for (int32_t i = 0; i < a->ndim; i++) {
        char *end = NULL;
        if ((i > 0 || a->prefixed) && *key++ != separator)
            return false;
        if (*key < '0' || *key > '9' || (*key == '0' && key[1] >= '0' && key[1] <= '9'))
            return false;
        if (strtoll(key, &end, 10) >= pel__ceil_div(a->shape[i], a->chunk[i]))
            return false;
        key = end;
    }
    return a->ndim == 0 && !a->prefixed ? strcmp(key, "0") == 0 : *key == '\0';
}

typedef struct look {
    const pel__zarr_array *array;
    char separator, other;
    bool any;
    int32_t others;
} look;

static bool on_key(void *arg, const char *key, pel_error *err)
{
    look *const l = arg;
    (void)err;
    l->any = l->any || is_key(l->array, key, l->separator);
    l->others += is_key(l->array, key, l->other);
    return !l->any && l->others < MOST_OTHERS;
}

static bool enter(void *arg, const char *key)
{
    const char *last = key + strlen(key) - 1; /* at the "/" behind */
    (void)arg;
    while (last > key && last[-1] != '/')
        last--;
    return (*last >= '0' && *last <= '9') || *last == 'c';
}

/* By the names in the array's folder. */
static void list(look *l)
{
    char path[PEL__PATH_MAX];
    pel__store *folder = NULL;
    bool listed = false;
    const pel__store_walk walk = {.on_key = on_key, .enter = enter, .arg = l};
    const pel__zarr_array *const a = l->array;
    if (!pel__path_join(path, sizeof path, pel__store_root(a->store), a->path, NULL) || !pel__store_open(&folder, path, NULL, NULL))
        return;
    (void)pel__store_each(folder, &walk, &listed, NULL);
    pel__store_close(folder);
}

/* The first, the last and the middle chunk are looked for: that one of them is all fill value and absent must not make the others
 * so. */
void pel__zarr_array_look(pel__zarr_array *a)
{
    int64_t probe[PROBES][PEL_MAX_NDIM] = {{0}};
    look l = {.array = a, .separator = a->separator, .other = a->separator == '.' ? '/' : '.'};
    if (a->separator_told && pel__store_errands(a->store))
        return; /* each look would cost a journey */
    for (int32_t i = 0; i < a->ndim; i++) {
        probe[1][i] = pel__max(pel__ceil_div(a->shape[i], a->chunk[i]) - 1, 0);
        probe[2][i] = probe[1][i] / 2;
    }
    for (int k = 0; k < PROBES; k++)
        if (has_chunk(a, l.separator, probe[k]))
            return;
    bool other = false;
    for (int k = 0; !other && k < PROBES; k++)
        other = has_chunk(a, l.other, probe[k]);
    if (!pel__store_errands(a->store)) {
        list(&l);
        other = l.others > 0 && !l.any;
        a->empty = !other && !l.any;
    }
    a->separator = other ? l.other : l.separator;
    a->separator_unlike = other && a->separator_told;
}
