/* SPDX-License-Identifier: MIT
 * The whole store that something is a part of: a level, an array, a field of a plate are opened by paths of their own. */
#include "zarr/store.h"

#include "core/inside.h"
#include "zarr/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool called_zarr(const char *path, size_t n)
{
    return n > 5 && strncasecmp(path + n - 5, ".zarr", 5) == 0;
}

#define MOST_DOCUMENT ((size_t)64 << 20)

/* Has a folder far away a document of Zarr? Who cannot be asked has none. */
static bool has_document(const char *root, const pel_remote *remote)
{
    static const char *const names[] = {"zarr.json", ".zgroup", ".zattrs"};
    pel__store *store = NULL;
    bool found = false;
    for (size_t i = 0; !found && i < sizeof names / sizeof names[0]; i++) {
        char *text = NULL;
        size_t n = 0;
        if (!store && !pel__store_open(&store, root, remote, NULL))
            return false;
        found = pel__store_text(store, names[i], MOST_DOCUMENT, &text, &n, NULL) && text;
        free(text);
    }
    pel__store_close(store);
    return found;
}

/* Where no name says where a store begins: upwards through groups without a gap. */
static void climb(char *root, const pel_remote *remote)
{
    char up[PEL__PATH_MAX];
    (void)snprintf(up, sizeof up, "%s", root);
    for (;;) {
        const char *const after = strstr(up, "://");
        char *slash = strrchr(up, '/');
        while (slash && slash[1] == '\0' && slash > after + 3) { /* a slash at the end */
            *slash = '\0';
            slash = strrchr(up, '/');
        }
        if (!after || !slash || slash < after + 3 || !memchr(after + 3, '/', (size_t)(slash - after) - 3)) /* the bucket or host is next */
            return;
        *slash = '\0';
        if (!has_document(up, remote))
            return;
        (void)snprintf(root, PEL__PATH_MAX, "%s", up);
    }
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
    if (end == n && !called_zarr(root, n))
        climb(root, remote);
    return pel__url_root(out, size, root, remote, NULL);
}
