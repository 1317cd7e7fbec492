/* SPDX-License-Identifier: MIT
 * See lock_files.h. No file is ever emptied or written over, so that what is read is whole or of its first moment:
 *   - NAME.owner appears by link or by exclusive creation: of many one succeeds.
 *   - A dead holder is followed, not removed: NAME.next-TOKEN, with his token, appears in the same way, so he has one heir only,
 *     however many saw him dead. The heir then renames his own file over NAME.owner; one who dies before that has an heir of
 *     his own. Who comes late finds another NAME.owner than he judged, and begins anew.
 *   - Sharing and having it whole exclude each other by order: each first puts its own file in place and then looks for others.
 * Whether somebody lives who cannot be asked is told by the age of his file against that of our own, which was touched just
 * before: both by the clock of the file system. Since some take the time of each machine, and clocks differ, he is then watched
 * for some seconds: a file that still changes belongs to the living. */
#include "core/lock_files.h"

#include "core/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_MS 6000 /* three signs of life */
#define MOST_HEIRS 100
#define SHARE_TRIES 5
#define SHARE_PAUSE_MS 100

static void pause_ms(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

static void name_of(char out[96], const pel__lock_files *f, const char *kind, const char *token)
{
    (void)snprintf(out, 96, "%.31s.%s%s", f->name, kind, token);
}

/* ---- our own file -------------------------------------------------------------------------------------------------------- */

static bool write_line(const pel__lock_files *f, int fd)
{
    char owner[256], line[320];
    pel__owner_text(&f->self, owner, sizeof owner);
    const int n = snprintf(line, sizeof line, "%s flock=%s device=%lld\n", owner, f->flocked ? "yes" : "no", (long long)f->device);
    return pwrite(fd, line, (size_t)n, 0) == n;
}

static int create(const pel__lock_files *f, const char *name)
{
    const int fd = openat(f->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd >= 0 && !write_line(f, fd)) {
        const int reason = errno;
        (void)unlinkat(f->dir, name, 0);
        (void)close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

static bool make_temporary(pel__lock_files *f)
{
    name_of(f->temporary, f, "new-", f->self.token);
    f->fd = create(f, f->temporary);
    return f->fd >= 0;
}

bool pel__lock_files_begin(pel__lock_files *f, pel_error *err)
{
    pel__owner_self(&f->self);
    pel__random_token(f->self.token);
    return make_temporary(f) || pel__fail_errno(err, errno, "%s/%s: cannot write the lock", f->folder, f->name);
}

static void forget_temporary(pel__lock_files *f)
{
    if (f->temporary[0])
        (void)unlinkat(f->dir, f->temporary, 0);
    f->temporary[0] = '\0';
}

void pel__lock_files_end(pel__lock_files *f)
{
    forget_temporary(f);
    if (f->fd >= 0)
        (void)close(f->fd);
    f->fd = -1;
}

static bool is_linked(const pel__lock_files *f, const char *name)
{
    struct stat a, b;
    return fstat(f->fd, &a) == 0 && fstatat(f->dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* 0 or a reason; EEXIST: another was there before. An answer that was lost on its way must not deceive us; a file system without
 * hard links has exclusive creation. */
static int put(pel__lock_files *f, const char *name)
{
    if (linkat(f->dir, f->temporary, f->dir, name, 0) == 0)
        return 0;
    const int reason = errno;
    if (reason == EEXIST)
        return is_linked(f, name) ? 0 : EEXIST;
    const int fd = create(f, name);
    if (fd < 0)
        return errno;
    (void)close(fd);
    return 0;
}

/* ---- others' ------------------------------------------------------------------------------------------------------------- */

static int64_t integer_behind(const char *text, const char *name)
{
    const char *const at = strstr(text, name);
    return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

/* 0 or a reason. */
static int read_holder(const pel__lock_files *f, const char *name, pel__holder *out)
{
    char text[512] = "";
    memset(out, 0, sizeof *out);
    const int fd = openat(f->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno;
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    const int reason = n < 0 || fstat(fd, &out->st) != 0 ? errno : S_ISREG(out->st.st_mode) ? 0 : ELOOP;
    (void)close(fd);
    if (reason != 0)
        return reason;
    text[n] = '\0';
    out->known = n > 0 && text[n - 1] == '\n' && pel__owner_parse(&out->who, text);
    if (!out->known) /* of its first moment, or torn by a power cut */
        (void)snprintf(out->who.token, sizeof out->who.token, "%016llx", (unsigned long long)out->st.st_ino);
    out->flocked = strstr(text, " flock=yes") != NULL;
    out->device = integer_behind(text, " device=");
    return 0;
}

/* flock of the same kernel for the same mounted file system: it would have kept us out. */
static bool flock_says_dead(const pel__lock_files *f, const pel__holder *h)
{
    return h->known && f->flocked && h->flocked && f->self.boot[0] && strcmp(f->self.boot, h->who.boot) == 0 && f->device == h->device;
}

/* Seconds since his last sign of life, by the clock of the file system. */
static int64_t age_of(const pel__lock_files *f, const pel__holder *h)
{
    struct stat own;
    if (futimens(f->fd, NULL) != 0 || fstat(f->fd, &own) != 0)
        return 0;
    return (int64_t)own.st_mtim.tv_sec - h->st.st_mtim.tv_sec;
}

/* Of those who cannot be asked: heard of a short time ago. One of the future: of a clock that was set back since. */
static bool is_fresh(const pel__lock_files *f, const pel__holder *h)
{
    const int64_t age = age_of(f, h);
    return age > -PEL__LOCK_ALIVE && age < PEL__LOCK_ALIVE;
}

static enum pel__life ask(const pel__lock_files *f, const pel__holder *h)
{
    const enum pel__life life = h->known ? pel__owner_life(&h->who) : PEL__FAR;
    return life == PEL__FAR && flock_says_dead(f, h) ? PEL__DEAD : life;
}

static bool same_moment(const pel__holder *a, const pel__holder *b)
{
    return a->st.st_ino == b->st.st_ino && a->st.st_mtim.tv_sec == b->st.st_mtim.tv_sec && a->st.st_mtim.tv_nsec == b->st.st_mtim.tv_nsec;
}

static bool is_live(pel__lock_files *f, const char *name, const pel__holder *h)
{
    pel__holder later;
    if (strcmp(h->who.token, f->dead) == 0) /* watched before */
        return false;
    const enum pel__life life = ask(f, h);
    if (life != PEL__FAR)
        return life == PEL__ALIVE;
    if (is_fresh(f, h))
        return true;
    pause_ms(WATCH_MS);
    if (read_holder(f, name, &later) == 0 && !same_moment(h, &later))
        return true;
    (void)snprintf(f->dead, sizeof f->dead, "%s", h->who.token);
    return false;
}

static bool refuse(const pel__lock_files *f, const pel__holder *h, pel_error *err)
{
    char who[96] = "another process";
    if (h->known)
        (void)snprintf(who, sizeof who, "%s, process %lld", h->who.host, (long long)h->who.pid);
    if (ask(f, h) == PEL__ALIVE)
        return pel__fail(err, PEL_REFUSED, "%s/%s: %s is working on this output; wait for it or stop it first", f->folder, f->name, who);
    const int64_t age = age_of(f, h);
    return pel__fail(err, PEL_REFUSED, "%s/%s: %s is working on this output, last heard of %lld s ago; wait for it or stop it first; if it "
                     "was lost, the same command works in %lld s", f->folder, f->name, who, (long long)(age > 0 ? age : 0),
                     (long long)(PEL__LOCK_ALIVE - age));
}

static bool trouble(const pel__lock_files *f, const char *name, int reason, pel_error *err)
{
    if (reason == ELOOP)
        return pel__fail(err, PEL_REFUSED, "%s/%s: found a link or no file, expected a file of the lock: remove it", f->folder, name);
    return pel__fail_errno(err, reason, "%s/%s: cannot read the lock", f->folder, name);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------ */

/* From NAME.owner along the heirs to the last one. first: the token of NAME.owner; name: of the last one's file. */
static bool find_last(const pel__lock_files *f, char first[17], char name[96], pel__holder *last, bool *found, pel_error *err)
{
    pel__holder next;
    name_of(name, f, "owner", "");
    int reason = read_holder(f, name, last);
    *found = reason == 0;
    if (reason == ENOENT)
        return true;
    if (reason != 0)
        return trouble(f, name, reason, err);
    memcpy(first, last->who.token, 17);
    for (int k = 0; k < MOST_HEIRS; k++) {
        char heir[96];
        name_of(heir, f, "next-", last->who.token);
        reason = read_holder(f, heir, &next);
        if (reason == ENOENT)
            return true;
        if (reason != 0)
            return trouble(f, heir, reason, err);
        *last = next;
        memcpy(name, heir, sizeof heir);
    }
    return pel__fail(err, PEL_REFUSED, "%s/%s: too many files of this lock: remove those that begin with %s.next-", f->folder, f->name, f->name);
}

static bool owner_is(const pel__lock_files *f, const char *token)
{
    char name[96];
    pel__holder h;
    name_of(name, f, "owner", "");
    return read_holder(f, name, &h) == 0 && strcmp(h.who.token, token) == 0;
}

/* What heirs left who are not needed any more; those of ours stay, if somebody took us for dead. */
static void remove_heirs(const pel__lock_files *f)
{
    char prefix[96], own[96];
    name_of(prefix, f, "next-", "");
    name_of(own, f, "next-", f->self.token);
    const int fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *const d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) /* one thread a stream. NOLINT(concurrency-mt-unsafe) */
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strcmp(e->d_name, own) != 0)
            (void)unlinkat(f->dir, e->d_name, 0);
    if (d)
        (void)closedir(d);
    else if (fd >= 0)
        (void)close(fd);
}

/* 0, or why not: EAGAIN to look again. */
static int inherit(pel__lock_files *f, const char *first, const pel__holder *dead)
{
    char next[96], owner[96];
    name_of(next, f, "next-", dead->who.token);
    name_of(owner, f, "owner", "");
    const int reason = put(f, next);
    if (reason != 0)
        return reason == EEXIST ? EAGAIN : reason;
    if (!owner_is(f, first)) { /* settled before we came */
        (void)unlinkat(f->dir, next, 0);
        return EAGAIN;
    }
    if (renameat(f->dir, f->temporary, f->dir, owner) != 0 && !owner_is(f, f->self.token)) {
        const int why = errno;
        (void)unlinkat(f->dir, next, 0);
        return why;
    }
    f->temporary[0] = '\0';
    remove_heirs(f);
    return 0;
}

static int become_first(pel__lock_files *f)
{
    char owner[96];
    name_of(owner, f, "owner", "");
    const int reason = put(f, owner);
    if (reason == 0)
        forget_temporary(f);
    return reason == EEXIST ? EAGAIN : reason;
}

bool pel__lock_files_claim(pel__lock_files *f, bool *stale, pel_error *err)
{
    char first[17], name[96];
    pel__holder last;
    bool found = false;
    for (int k = 0; k < MOST_HEIRS; k++) {
        if (!find_last(f, first, name, &last, &found, err))
            return false;
        if (found && is_live(f, name, &last))
            return refuse(f, &last, err);
        const int reason = found ? inherit(f, first, &last) : become_first(f);
        *stale |= found && reason == 0;
        if (reason == 0)
            return true;
        if (reason != EAGAIN)
            return pel__fail_errno(err, reason, "%s/%s: cannot write the lock", f->folder, name);
    }
    return pel__fail(err, PEL_REFUSED, "%s/%s: others begin and end all the time; try again", f->folder, f->name);
}

bool pel__lock_files_holder(pel__lock_files *f, enum pel__holding *what, pel__holder *out, pel_error *err)
{
    char first[17], name[96];
    bool found = false;
    if (!find_last(f, first, name, out, &found, err))
        return false;
    *what = !found ? PEL__NOBODY : is_live(f, name, out) ? PEL__LIVE_HOLDER : PEL__DEAD_HOLDER;
    return true;
}

/* ---- sharing --------------------------------------------------------------------------------------------------------------- */

static bool try_share(pel__lock_files *f, bool *live, bool *stale, pel_error *err)
{
    pel__holder h;
    enum pel__holding what = PEL__NOBODY;
    if (!pel__lock_files_holder(f, &what, &h, err))
        return false;
    *live = what == PEL__LIVE_HOLDER;
    if (what != PEL__DEAD_HOLDER || !f->temporary[0])
        return !*live || refuse(f, &h, err);
    if (!pel__lock_files_claim(f, stale, err)) { /* clears up after him, so that those who come after us need not ask */
        *live = true;
        return false;
    }
    char owner[96];
    name_of(owner, f, "owner", "");
    (void)unlinkat(f->dir, owner, 0);
    return true;
}

bool pel__lock_files_share(pel__lock_files *f, bool *stale, pel_error *err)
{
    char part[96];
    pel_error why = {0};
    bool live = false, ok = false;
    name_of(part, f, "part-", f->self.token);
    const int reason = put(f, part);
    if (reason != 0)
        return pel__fail_errno(err, reason, "%s/%s: cannot write the lock", f->folder, part);
    for (int k = 0; !ok && k < SHARE_TRIES; k++) { /* one who finds us here steps back at once */
        ok = try_share(f, &live, stale, &why);
        if (!ok && !live)
            break;
        if (!ok)
            pause_ms(SHARE_PAUSE_MS);
    }
    forget_temporary(f);
    if (ok)
        return true;
    (void)unlinkat(f->dir, part, 0);
    return pel__fail(err, why.code, "%s", why.text);
}

typedef struct {
    char name[96];
    pel__holder holder;
} part;

/* One who was killed before his file was in its place. */
static void remove_if_dead(const pel__lock_files *f, const char *name)
{
    pel__holder h;
    if (read_holder(f, name, &h) != 0 || strcmp(name, f->temporary) == 0)
        return;
    const enum pel__life life = ask(f, &h);
    if (life == PEL__DEAD || (life == PEL__FAR && !is_fresh(f, &h)))
        (void)unlinkat(f->dir, name, 0);
}

/* Those who share it and are not known to be dead; *live: one who is known to live. */
static bool list_parts(const pel__lock_files *f, DIR *d, part **doubtful, int64_t *count, part *live)
{
    char prefix[96], new[96];
    name_of(prefix, f, "part-", "");
    name_of(new, f, "new-", "");
    for (struct dirent *e = readdir(d); e; e = readdir(d)) { /* one thread a stream. NOLINT(concurrency-mt-unsafe) */
        part p = {0};
        if (strncmp(e->d_name, new, strlen(new)) == 0)
            remove_if_dead(f, e->d_name);
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0 || strlen(e->d_name) >= sizeof p.name)
            continue;
        (void)snprintf(p.name, sizeof p.name, "%s", e->d_name);
        if (read_holder(f, p.name, &p.holder) != 0)
            continue;
        const enum pel__life life = ask(f, &p.holder);
        if (life == PEL__ALIVE || (life == PEL__FAR && is_fresh(f, &p.holder))) {
            *live = p;
            return true;
        }
        if (life == PEL__DEAD) {
            (void)unlinkat(f->dir, p.name, 0);
            continue;
        }
        part *const more = realloc(*doubtful, (size_t)(*count + 1) * sizeof *more);
        if (!more)
            return false;
        *doubtful = more;
        more[(*count)++] = p;
    }
    return true;
}

/* All of them are watched at once. */
static void watch_parts(const pel__lock_files *f, const part *doubtful, int64_t count, part *live)
{
    pel__holder later;
    if (count > 0 && !live->name[0])
        pause_ms(WATCH_MS);
    for (int64_t i = 0; i < count && !live->name[0]; i++) {
        if (read_holder(f, doubtful[i].name, &later) != 0)
            continue;
        if (same_moment(&doubtful[i].holder, &later))
            (void)unlinkat(f->dir, doubtful[i].name, 0);
        else
            *live = doubtful[i];
    }
}

bool pel__lock_files_no_parts(pel__lock_files *f, pel_error *err)
{
    part *doubtful = NULL, live = {0};
    int64_t count = 0;
    remove_heirs(f);
    const int fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *const d = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = d && list_parts(f, d, &doubtful, &count, &live);
    if (!ok)
        (void)pel__fail_errno(err, d ? ENOMEM : errno, "%s: cannot list the lock's files", f->folder);
    if (d)
        (void)closedir(d);
    else if (fd >= 0)
        (void)close(fd);
    if (ok)
        watch_parts(f, doubtful, count, &live);
    free(doubtful);
    return ok && (!live.name[0] || refuse(f, &live.holder, err));
}

/* ---- holding ---------------------------------------------------------------------------------------------------------------- */

static void own_name(const pel__lock_files *f, bool whole, char out[96])
{
    name_of(out, f, whole ? "owner" : "part-", whole ? "" : f->self.token);
}

/* Somebody removed it; or, of a part, somebody took us for dead. */
static bool put_back(pel__lock_files *f, bool whole, bool *sure)
{
    char name[96];
    enum pel__holding what = PEL__NOBODY;
    pel__holder h;
    own_name(f, whole, name);
    const int fd = create(f, name);
    *sure = fd >= 0 || errno == EEXIST;
    if (fd < 0)
        return errno != EEXIST;
    (void)close(f->fd);
    f->fd = fd;
    if (whole)
        return true;
    *sure = pel__lock_files_holder(f, &what, &h, NULL);
    return !*sure || what != PEL__LIVE_HOLDER;
}

bool pel__lock_files_mine(pel__lock_files *f, bool whole, bool *sure)
{
    char name[96], next[96];
    pel__holder h;
    own_name(f, whole, name);
    const int reason = read_holder(f, name, &h);
    *sure = reason == 0 || reason == ENOENT;
    if (reason == ENOENT)
        return put_back(f, whole, sure);
    if (reason != 0 || !h.known) /* the file system is in trouble: later */
        return true;
    if (strcmp(h.who.token, f->self.token) != 0)
        return false;
    name_of(next, f, "next-", f->self.token);
    return !whole || read_holder(f, next, &h) != 0;
}

void pel__lock_files_touch(const pel__lock_files *f, bool whole)
{
    char name[96];
    own_name(f, whole, name);
    (void)utimensat(f->dir, name, NULL, AT_SYMLINK_NOFOLLOW);
}

void pel__lock_files_drop(pel__lock_files *f, bool whole)
{
    char name[96];
    bool sure = false;
    own_name(f, whole, name);
    if (!whole || pel__lock_files_mine(f, true, &sure))
        (void)unlinkat(f->dir, name, 0);
}
