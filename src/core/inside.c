/* SPDX-License-Identifier: MIT
 * See inside.h. */
#include "core/inside.h"

#include "core/location.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static bool has(const char *folder, const char *name)
{
    char path[PEL__PATH_MAX];
    return pel__path_join(path, sizeof path, folder[0] ? folder : "/", name, NULL) && access(path, F_OK) == 0;
}

static bool has_document(const char *folder)
{
    return has(folder, "zarr.json") || has(folder, ".zgroup") || has(folder, ".zarray") || has(folder, ".zattrs");
}

static bool called_zarr(const char *path, size_t n)
{
    return n > 5 && strncasecmp(path + n - 5, ".zarr", 5) == 0;
}

/* "/a/b" becomes "/a", "/a" becomes ""; the length. */
static size_t step_up(char *path, size_t n)
{
    while (n > 0 && path[--n] != '/')
        continue;
    path[n] = '\0';
    return n;
}

bool pel__inside_store(char *out, size_t size, const char *path)
{
    pel__location l;
    bool found = false, gap = false;
    if (!pel__location_find(&l, path, NULL))
        return false;
    for (size_t n = strlen(l.there); n > 0; n = step_up(l.there, n)) {
        const bool document = has_document(l.there);
        if (document && (!gap || called_zarr(l.there, n)) && (size_t)snprintf(out, size, "%s", l.there) < size)
            found = true;
        gap = found && !document;
    }
    return found;
}

bool pel__inside_run(char *out, size_t size, const char *path)
{
    pel__location l;
    if (!pel__location_find(&l, path, NULL))
        return false;
    for (size_t n = strlen(l.there); n > 0; n = step_up(l.there, n))
        if (has(l.there, "plan.json") && has(l.there, "lock"))
            return (size_t)snprintf(out, size, "%s", l.there) < size;
    return false;
}
