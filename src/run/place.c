/* SPDX-License-Identifier: MIT
 * Where a run is: its output, which may be a folder or an address, and its books, which are a folder always: locks,
 * appended lines and renames need a file system. The books lie in OUT.run beside the output; those of an address in
 * NAME.run here; or where --state says. A run is named by its output or by the folder of its books; these say what the
 * output is where that cannot be told from their own name. */
#include "core/error.h"
#include "run/run.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_address(const char *name)
{
    return strstr(name, "://") != NULL;
}

static size_t without_slashes(const char *name)
{
    size_t n = strlen(name);
    while (n > 1 && name[n - 1] == '/')
        n--;
    return n;
}

bool pel__run_folder_of(char *out, size_t size, const char *output, pel_error *err)
{
    size_t n = without_slashes(output), from = 0;
    for (size_t i = 0; is_address(output) && i < n; i++)
        if (output[i] == '/')
            from = i + 1;
    const int k = snprintf(out, size, "%.*s.run", (int)(n - from), output + from);
    return (k > 0 && (size_t)k < size) || pel__fail(err, PEL_ARGUMENT, "%s: path is too long", output);
}

bool pel_run_folder(char *out, size_t size, const char *run, pel_error *err)
{
    char path[PEL__PATH_MAX];
    struct stat st;
    const int n = (int)without_slashes(run);
    if (is_address(run) || snprintf(path, sizeof path, "%.*s/plan.json", n, run) >= (int)sizeof path || stat(path, &st) != 0)
        return pel__run_folder_of(out, size, run, err);
    return snprintf(out, size, "%.*s", n, run) < (int)size || pel__fail(err, PEL_ARGUMENT, "%s: path is too long", run);
}

/* From the root, for a path that need not exist. */
static bool absolute(char *out, size_t size, const char *path, pel_error *err)
{
    char here[PEL__PATH_MAX] = "";
    if (path[0] != '/' && !is_address(path) && !getcwd(here, sizeof here))
        return pel__fail(err, PEL_IO, "%s: the folder that it is in cannot be told", path);
    const int n = snprintf(out, size, "%s%s%.*s", here, here[0] ? "/" : "", (int)without_slashes(path), path);
    return (n > 0 && (size_t)n < size) || pel__fail(err, PEL_ARGUMENT, "%s: path is too long", path);
}

bool pel__run_place(char *out, size_t size, const char *output, const char *folder, pel_error *err)
{
    char usual[PEL__PATH_MAX], a[PEL__PATH_MAX], b[PEL__PATH_MAX];
    if (!pel__run_folder_of(usual, sizeof usual, output, err) || !absolute(a, sizeof a, usual, err) || !absolute(b, sizeof b, folder, err))
        return false;
    out[0] = '\0';
    return (!is_address(output) && strcmp(a, b) == 0) || absolute(out, size, output, err);
}

bool pel__run_output(char *out, size_t size, const char *run, const char *folder, const json_object *document, pel_error *err)
{
    const char *const kept = pel__document_text(document, "place", "output");
    const size_t n = strlen(folder);
    if (is_address(run) && strcmp(kept, run) != 0) {
        char whole[PEL__PATH_MAX];
        if (!absolute(whole, sizeof whole, run, err))
            return false;
        if (strcmp(kept, whole) != 0)
            return pel__fail(err, PEL_REFUSED, "%s: the run in %s has another output, %s", run, folder, kept[0] ? kept : "beside it");
    }
    const bool by_name = strncmp(run, folder, n) != 0 || run[n + strspn(run + n, "/")] != '\0'; /* as its output */
    int k = 0;
    if (kept[0])
        k = snprintf(out, size, "%s", kept);
    else if (by_name)
        k = snprintf(out, size, "%s", run);
    else if (n > 4 && strcmp(folder + n - 4, ".run") == 0)
        k = snprintf(out, size, "%.*s", (int)n - 4, folder);
    return (k > 0 && (size_t)k < size) || pel__fail(err, PEL_FORMAT, "%s/plan.json: does not say what the output is", folder);
}
