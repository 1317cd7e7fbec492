/* SPDX-License-Identifier: MIT
 * The whole store that something is a part of: a level, an array, a field of a plate are opened by paths of their own. */
#include "zarr/store.h"

#include "core/inside.h"
#include "zarr/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool called_zarr(const char *path, size_t n)
{
    return n > 5 && strncasecmp(path + n - 5, ".zarr", 5) == 0;
}

bool pel__store_around(char *out, size_t size, const char *path, const pel_remote *remote)
{
    char root[PEL__PATH_MAX];
    if (!pel__url_is_remote(path))
        return pel__inside_store(out, size, path);
    size_t n = strlen(path), end = n;
    for (size_t i = strcspn(path, ":") + 3; i < n; i++)
        if ((path[i + 1] == '/' || path[i + 1] == '\0') && called_zarr(path, i + 1)) {
            end = i + 1;
            break;
        }
    (void)snprintf(root, sizeof root, "%.*s", (int)end, path);
    return pel__url_root(out, size, root, remote, NULL);
}
