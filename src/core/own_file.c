/* SPDX-License-Identifier: MIT
 * See own_file.h. */
#include "core/own_file.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder_for_all(int dir, uid_t owner)
{
    struct stat st;
    return fstat(dir, &st) == 0 && (st.st_mode & S_IWOTH) && owner != st.st_uid;
}

/* In a folder that everybody may write to, a file of somebody else may be a trap; where a group works together it is theirs. */
static bool check(int fd, int dir, const char *shown, const char *name, pel_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return pel__fail_errno(err, errno, "%s/%s: cannot look at it", shown, name);
    if (!S_ISREG(st.st_mode))
        return pel__fail(err, PEL_REFUSED, "%s/%s: found no regular file; it is not written to: remove it", shown, name);
    if (st.st_nlink > 1)
        return pel__fail(err, PEL_REFUSED, "%s/%s: this file has another name (a hard link), which would change, too; it is not written to: "
                         "copy it or remove it", shown, name);
    if (st.st_uid != geteuid() && st.st_uid != 0 && is_folder_for_all(dir, st.st_uid))
        return pel__fail(err, PEL_REFUSED, "%s/%s: belongs to another user (%ld) in a folder that everybody may write to; it is not written to: "
                         "remove it", shown, name, (long)st.st_uid);
    return true;
}

/* What stands in the way: a link, a folder, or the system's reason. */
static bool say(int dir, const char *shown, const char *name, int reason, pel_error *err)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return pel__fail(err, PEL_REFUSED, "%s/%s: found a symbolic link, expected a file or folder of the run; what it leads to is not "
                         "touched: remove the link", shown, name);
    if (reason == EISDIR || reason == ENOTDIR)
        return pel__fail(err, PEL_REFUSED, "%s/%s: found a %s, expected a %s of the run: move it away", shown, name, reason == EISDIR ? "folder" : "file",
                         reason == EISDIR ? "file" : "folder");
    return pel__fail_errno(err, reason, "%s/%s: cannot open", shown, name);
}

int pel__open_own_at(int dir, const char *name, int flags, const char *shown, pel_error *err)
{
    const int fd = openat(dir, name, (flags & ~O_TRUNC) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (fd < 0) {
        (void)say(dir, shown, name, errno, err);
        return -1;
    }
    const bool ok = check(fd, dir, shown, name, err) &&
                    (!(flags & O_TRUNC) || ftruncate(fd, 0) == 0 || pel__fail_errno(err, errno, "%s/%s: cannot empty it", shown, name));
    if (ok)
        return fd;
    (void)close(fd);
    return -1;
}

static int open_folder(int dir, const char *name, bool make, const char *shown, pel_error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir, name, flags);
    if (fd < 0 && errno == ENOENT && make && (mkdirat(dir, name, 0777) == 0 || errno == EEXIST))
        fd = openat(dir, name, flags);
    if (fd < 0)
        (void)say(dir, shown, name, errno, err);
    return fd;
}

int pel__open_own(const char *folder, const char *name, int flags, pel_error *err)
{
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* it may be reached through a link itself: the user named it */
    if (dir < 0) {
        (void)pel__fail_errno(err, errno, "%s: cannot open the folder", folder);
        return -1;
    }
    const char *slash = NULL;
    while (dir >= 0 && (slash = strchr(name, '/'))) {
        char part[256];
        (void)snprintf(part, sizeof part, "%.*s", (int)(slash - name), name);
        const int below = open_folder(dir, part, flags & O_CREAT, folder, err);
        (void)close(dir);
        dir = below;
        name = slash + 1;
    }
    const int fd = dir >= 0 ? pel__open_own_at(dir, name, flags, folder, err) : -1;
    if (dir >= 0)
        (void)close(dir);
    return fd;
}

bool pel__make_own_folder(const char *folder, const char *name, pel_error *err)
{
    const int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return pel__fail_errno(err, errno, "%s: cannot open the folder", folder);
    const int fd = open_folder(dir, name, true, folder, err);
    (void)close(dir);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}
