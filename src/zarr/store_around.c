/* SPDX-License-Identifier: MIT
 * The whole store that something is a part of: a level, an array, a field of a plate are opened by paths of their own. */
#include "zarr/store.h"

#include "core/location.h"
#include "zarr/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static bool called_zarr(const char *path, size_t n)
{
    return n > 5 && strncasecmp(path + n - 5, ".zarr", 5) == 0;
}

static bool has_document(const char *folder)
{
    static const char *const names[] = {"zarr.json", ".zgroup", ".zarray", ".zattrs"};
    char path[PEL__PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (pel__path_join(path, sizeof path, folder, names[i], NULL) && access(path, F_OK) == 0)
            return true;
    return false;
}

/* Upwards from where the path leads: groups without a gap, or beyond one with a name that says so. */
static bool around_folder(char *out, size_t size, const char *path)
{
    pel__location l;
    bool found = false, gap = false;
    if (!pel__location_find(&l, path, NULL))
        return false;
    for (size_t n = strlen(l.there); n > 0;) {
        const bool has = has_document(l.there);
        if (has && (!gap || called_zarr(l.there, n)) && (size_t)snprintf(out, size, "%s", l.there) < size)
            found = true;
        gap = found && !has;
        while (n > 0 && l.there[--n] != '/')
            continue;
        l.there[n] = '\0';
    }
    return found;
}

bool pel__store_around(char *out, size_t size, const char *path, const pel_remote *remote)
{
    char root[PEL__PATH_MAX];
    if (!pel__url_is_remote(path))
        return around_folder(out, size, path);
    size_t n = strlen(path), end = n;
    for (size_t i = strcspn(path, ":") + 3; i < n; i++)
        if ((path[i + 1] == '/' || path[i + 1] == '\0') && called_zarr(path, i + 1)) {
            end = i + 1;
            break;
        }
    (void)snprintf(root, sizeof root, "%.*s", (int)end, path);
    return pel__url_root(out, size, root, remote, NULL);
}
