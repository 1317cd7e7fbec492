/* SPDX-License-Identifier: MIT
 * See location.h. */
#include "core/location.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_LINKS 40

/* ---- finding --------------------------------------------------------------------------------------------------- */

/* Puts name before the rest. */
static bool put_before(char rest[PEL__PATH_MAX], const char *name)
{
    const size_t n = strlen(name), old = strlen(rest), slash = old > 0;
    if (n + slash + old >= PEL__PATH_MAX)
        return false;
    memmove(rest + n + slash, rest, old + 1);
    memcpy(rest, name, n);
    if (slash)
        rest[n] = '/';
    return true;
}

/* Cuts the last name off the path; "a" leaves ".", "/a" leaves "/". */
static void cut_last(char *path, char *name, size_t size)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    char *const slash = strrchr(path, '/');
    (void)snprintf(name, size, "%s", slash ? slash + 1 : path);
    if (!slash)
        (void)snprintf(path, PEL__PATH_MAX, ".");
    else
        slash[slash == path] = '\0';
}

/* A link that leads to nothing: its target takes the place of the path. */
static bool follow(char path[PEL__PATH_MAX], bool *followed)
{
    char target[PEL__PATH_MAX], whole[PEL__PATH_MAX], name[PEL__PATH_MAX];
    struct stat st;
    *followed = false;
    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode))
        return true;
    const ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    if (target[0] == '/') {
        memcpy(path, target, (size_t)n + 1);
    } else {
        cut_last(path, name, sizeof name);
        if (!pel__path_join(whole, sizeof whole, path, target, NULL))
            return false;
        memcpy(path, whole, strlen(whole) + 1);
    }
    *followed = true;
    return true;
}

/* Moves the last name of the path to the rest. Where ".." is met, the folder before it does not exist: where it leads is not
 * known, and once somebody has made that folder it may be a place that is in use. */
static bool step_up(char path[PEL__PATH_MAX], char rest[PEL__PATH_MAX], const char *whole, pel_error *err)
{
    char name[PEL__PATH_MAX];
    cut_last(path, name, sizeof name);
    if (strcmp(name, "..") == 0)
        return pel__fail(err, PEL_REFUSED, "%s: %s does not exist, so .. leads nowhere from there: give the path without it", whole, path);
    return strcmp(name, ".") == 0 || !name[0] || put_before(rest, name) || pel__fail(err, PEL_ARGUMENT, "%s: path is too long", whole);
}

bool pel__location_find(pel__location *out, const char *path, pel_error *err)
{
    char now[PEL__PATH_MAX], real[PATH_MAX];
    int links = 0;
    out->address = false;
    out->there[0] = out->rest[0] = '\0';
    if (!path[0] || (size_t)snprintf(now, sizeof now, "%s", path) >= sizeof now)
        return pel__fail(err, PEL_ARGUMENT, "path \"%.80s\" is empty or too long", path);
    while (!realpath(now, real)) {
        bool followed = false;
        if (errno != ENOENT && errno != ENOTDIR)
            return pel__fail_errno(err, errno, "%s: cannot tell where it leads", path);
        if (!follow(now, &followed) || (followed && ++links > MOST_LINKS))
            return pel__fail_errno(err, ELOOP, "%s: cannot tell where it leads", path);
        if (!followed && !step_up(now, out->rest, path, err))
            return false;
    }
    (void)snprintf(out->there, sizeof out->there, "%s", real);
    return true;
}

/* ---- addresses ------------------------------------------------------------------------------------------------- */

static int hexadecimal(char c)
{
    const char *const digits = "0123456789abcdef", *const at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes n bytes to the end of out; false where they do not fit. */
static bool put_decoded(char *out, size_t size, const char *text, bool lower)
{
    size_t used = strlen(out);
    for (size_t i = 0; text[i]; i++) {
        char c = text[i];
        if (c == '%' && hexadecimal(text[i + 1]) >= 0 && hexadecimal(text[i + 2]) >= 0) {
            c = (char)(hexadecimal(text[i + 1]) << 4 | hexadecimal(text[i + 2]));
            i += 2;
        }
        if (used + 1 >= size)
            return false;
        out[used++] = (char)(lower && c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    out[used] = '\0';
    return true;
}

bool pel__location_of_url(pel__location *out, const char *url, pel_error *err)
{
    const char *const after = strstr(url, "://"), *const host = after ? after + 3 : url;
    const bool secure = strncmp(url, "https:", 6) == 0;
    const char *const port = secure ? ":443" : ":80";
    char authority[512];
    size_t n = strcspn(host, "/");
    const size_t path = n, p = strlen(port);
    *out = (pel__location){.address = true};
    if (n > p && strncmp(host + n - p, port, p) == 0)
        n -= p;
    if ((size_t)snprintf(authority, sizeof authority, "%.*s", (int)n, host) >= sizeof authority ||
        !put_decoded(out->there, sizeof out->there, authority, true) || !put_decoded(out->there, sizeof out->there, host + path, false))
        return pel__fail(err, PEL_ARGUMENT, "%.200s…: the address is too long", url);
    for (size_t k = strlen(out->there); k > 0 && out->there[k - 1] == '/'; k--)
        out->there[k - 1] = '\0';
    return true;
}

/* ---- comparing ------------------------------------------------------------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    if (strcmp(a, b) == 0)
        return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Does `name` begin with the names of `first`? */
static bool begins_with(const char *name, const char *first)
{
    const size_t n = strlen(first);
    return strncmp(name, first, n) == 0 && (n == 0 || name[n] == '\0' || name[n] == '/');
}

/* Is b, or a folder that b is in, what a leads to? */
static bool reaches(const pel__location *a, const pel__location *b)
{
    char part[PEL__PATH_MAX];
    if (a->address)
        return begins_with(b->there, a->there);
    if (a->rest[0])
        return same_file(a->there, b->there) && b->rest[0] && begins_with(b->rest, a->rest);
    (void)snprintf(part, sizeof part, "%s", b->there);
    for (;;) {
        char name[PEL__PATH_MAX];
        if (same_file(part, a->there))
            return true;
        if (strcmp(part, "/") == 0)
            return false;
        cut_last(part, name, sizeof name);
    }
}

enum pel__relation pel__location_relation(const pel__location *a, const pel__location *b)
{
    if (a->address != b->address)
        return PEL__APART;
    const bool down = reaches(a, b), up = reaches(b, a);
    return down && up ? PEL__SAME : down ? PEL__AROUND : up ? PEL__INSIDE : PEL__APART;
}

bool pel__location_has_parent(const pel__location *l, const char *path, pel_error *err)
{
    struct stat st;
    if (l->address)
        return true;
    const char *const slash = strchr(l->rest, '/');
    if (slash)
        return pel__fail(err, PEL_REFUSED, "%s: the folder that it is to be in does not exist; the nearest that does is %s: make what is "
                         "missing below it, or give another path", path, l->there);
    if (l->rest[0] && stat(l->there, &st) == 0 && !S_ISDIR(st.st_mode))
        return pel__fail(err, PEL_REFUSED, "%s: %s is a file, expected a folder", path, l->there);
    return true;
}

bool pel__location_path(char *out, size_t size, const pel__location *l, pel_error *err)
{
    if (l->rest[0])
        return pel__path_join(out, size, l->there, l->rest, err);
    return (size_t)snprintf(out, size, "%s", l->there) < size || pel__fail(err, PEL_ARGUMENT, "%s: path is too long", l->there);
}
