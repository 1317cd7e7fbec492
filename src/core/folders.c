/* SPDX-License-Identifier: MIT
 * See folders.h. A folder that this process has synced up to its root once needs only itself from then on; which these are is
 * kept as hashes in a table of fixed size: what falls out of it is only synced once more. */
#include "core/folders.h"

#include "core/error.h"
#include "core/file.h"
#include "core/retry.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KNOWN 4096

struct pel__folders {
    pthread_mutex_t mutex;
    char *root;
    char **list; /* noted */
    int64_t count, room;
    uint64_t known[KNOWN]; /* hashes of folders whose own entry is on the disk */
};

/* "a/b/c" -> "a/b", "c" -> ".", "/c" -> "/": false where there is nothing above. */
static bool go_up(char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    path[n] = '\0';
    if (strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
        return false;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0)
        path[n++] = '.';
    path[n] = '\0';
    return true;
}

/* Some file systems sync no folders (EINVAL and its kin), some folders may be passed but not opened: no more can be done. */
static bool cannot_be_asked(int number)
{
    return number == EINVAL || number == ENOSYS || number == EOPNOTSUPP || number == EACCES || number == EPERM || number == EROFS;
}

static bool sync_folder(const char *path, bool *lost, pel_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return cannot_be_asked(errno) || pel__fail_errno(err, errno, "%s: cannot open the folder to sync it", path);
    int status;
    do
        status = fsync(fd);
    while (status != 0 && errno == EINTR);
    const int number = errno;
    (void)close(fd);
    *lost = status != 0 && pel__passes(number);
    return status == 0 || cannot_be_asked(number) || pel__fail_errno(err, number, "%s: cannot sync the folder", path);
}

bool pel__folders_create(pel__folders **out, const char *root, pel_error *err)
{
    pel__folders *const f = calloc(1, sizeof *f);
    if (!f || !(f->root = strdup(root))) {
        free(f);
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    }
    for (size_t n = strlen(f->root); n > 1 && f->root[n - 1] == '/'; n--)
        f->root[n - 1] = '\0';
    (void)pthread_mutex_init(&f->mutex, NULL);
    *out = f;
    return true;
}

static void forget(pel__folders *f)
{
    for (int64_t i = 0; i < f->count; i++)
        free(f->list[i]);
    f->count = 0;
}

void pel__folders_destroy(pel__folders *f)
{
    if (!f)
        return;
    forget(f);
    (void)pthread_mutex_destroy(&f->mutex);
    free(f->list);
    free(f->root);
    free(f);
}

/* With the mutex held. */
static bool add(pel__folders *f, const char *folder, pel_error *err)
{
    for (int64_t i = f->count; i > 0; i--) /* mostly the last */
        if (strcmp(f->list[i - 1], folder) == 0)
            return true;
    if (f->count == f->room) {
        const int64_t room = f->room > 0 ? 2 * f->room : 16;
        char **const list = realloc(f->list, (size_t)room * sizeof *list);
        if (!list)
            return pel__fail(err, PEL_NO_MEMORY, "out of memory: the names of %lld folders", (long long)room);
        f->list = list;
        f->room = room;
    }
    f->list[f->count] = strdup(folder);
    if (!f->list[f->count])
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    f->count++;
    return true;
}

bool pel__folders_note(pel__folders *f, const char *path, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    if (strlen(path) >= sizeof folder)
        return pel__fail(err, PEL_ARGUMENT, "%s: path is too long", path);
    memcpy(folder, path, strlen(path) + 1);
    if (!go_up(folder))
        return true;
    (void)pthread_mutex_lock(&f->mutex);
    const bool ok = add(f, folder, err);
    (void)pthread_mutex_unlock(&f->mutex);
    return ok;
}

static uint64_t hash(const char *text)
{
    uint64_t h = 14695981039346656037U; /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 1099511628211U;
    return h ? h : 1;
}

/* True the first time. */
static bool is_new(pel__folders *f, const char *folder)
{
    const uint64_t h = hash(folder);
    uint64_t *const place = &f->known[h % KNOWN];
    const bool fresh = *place != h;
    *place = h;
    return fresh;
}

static bool is_below(const pel__folders *f, const char *folder)
{
    const size_t n = strlen(f->root);
    return strncmp(folder, f->root, n) == 0 && (folder[n] == '\0' || folder[n] == '/');
}

/* The folders above those noted, as far as they were not synced before. */
static bool add_above(pel__folders *f, pel_error *err)
{
    for (int64_t i = 0; i < f->count; i++) { /* grows meanwhile */
        char folder[PEL__PATH_MAX];
        (void)snprintf(folder, sizeof folder, "%s", f->list[i]);
        if (is_below(f, folder) && is_new(f, folder) && go_up(folder) && !add(f, folder, err))
            return false;
    }
    return true;
}

bool pel__folders_sync(pel__folders *f, bool *lost, pel_error *err)
{
    *lost = false;
    (void)pthread_mutex_lock(&f->mutex);
    bool ok = add_above(f, err);
    for (int64_t i = 0; ok && i < f->count; i++)
        ok = sync_folder(f->list[i], lost, err);
    if (!ok)
        memset(f->known, 0, sizeof f->known);
    if (!*lost)
        forget(f);
    (void)pthread_mutex_unlock(&f->mutex);
    return ok;
}

bool pel__parents_sync(const char *path, int levels, bool *lost, pel_error *err)
{
    char folder[PEL__PATH_MAX];
    if (strlen(path) >= sizeof folder)
        return pel__fail(err, PEL_ARGUMENT, "%s: path is too long", path);
    memcpy(folder, path, strlen(path) + 1);
    bool ok = true, failed = false;
    for (int i = 0; ok && i < levels && go_up(folder); i++)
        ok = sync_folder(folder, &failed, err);
    if (lost)
        *lost = failed;
    return ok;
}
