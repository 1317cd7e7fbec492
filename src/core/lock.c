/* SPDX-License-Identifier: MIT
 * See lock.h. The file NAME itself is what flock is asked for; its text names the holder of the whole, for people and for
 * versions of this program that knew no other file. It stays when released (empty): removing it would let two processes lock two
 * files of one name. */
#include "core/lock.h"

#include "core/error.h"
#include "core/lock_files.h"
#include "core/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define BEAT_SECONDS 2
#define AWAY_MS 5000 /* two signs of life are missing: better asked before anything is written */
#define BEAT_STACK ((size_t)256 << 10)

struct pel__lock {
    pel__lock_files files;
    int fd; /* of NAME */
    bool whole, beating, ending;
    atomic_bool lost;
    atomic_llong heard_ms; /* by a clock that also counts while the machine sleeps */
    pthread_mutex_t mutex; /* files and ending */
    pthread_cond_t changed;
    pthread_t beat;
};

static int64_t awake_or_not_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- flock ---------------------------------------------------------------------------------------------------------------- */

/* False: another holds it. Anything but that is a file system without flock: the files must do. */
static bool ask_flock(pel__lock *l)
{
    int result = 0;
    do {
        result = flock(l->fd, (l->whole ? LOCK_EX : LOCK_SH) | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    l->files.flocked = result == 0;
    return result == 0 || errno != EWOULDBLOCK;
}

static void read_text(int fd, char *out, size_t size)
{
    const ssize_t n = pread(fd, out, size - 1, 0);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

/* The text names who has it whole; in a shared lock it is empty, or left by somebody dead. */
static bool write_text(const pel__lock *l)
{
    char text[160] = "";
    if (l->whole)
        (void)snprintf(text, sizeof text, "%s, process %lld\n", l->files.self.host, (long long)l->files.self.pid);
    return ftruncate(l->fd, 0) == 0 && pwrite(l->fd, text, strlen(text), 0) >= 0;
}

/* Of a version that wrote nothing but this text: "host, process 4711". */
static bool older_lives(const pel__lock *l, const char *text)
{
    struct stat theirs, ours;
    const size_t n = strlen(l->files.self.host);
    if (strncmp(text, l->files.self.host, n) == 0 && text[n] == ',') {
        const char *const number = strstr(text, "process ");
        return !l->files.flocked && number && pel__process_runs(strtoll(number + 8, NULL, 10));
    }
    return futimens(l->files.fd, NULL) == 0 && fstat(l->files.fd, &ours) == 0 && fstat(l->fd, &theirs) == 0 &&
           ours.st_mtim.tv_sec - theirs.st_mtim.tv_sec < PEL__LOCK_ALIVE;
}

/* ---- signs of life --------------------------------------------------------------------------------------------------------- */

/* With the mutex held. */
static void beat_once(pel__lock *l)
{
    bool sure = false;
    if (!pel__lock_files_mine(&l->files, l->whole, &sure)) {
        atomic_store(&l->lost, true);
        return;
    }
    pel__lock_files_touch(&l->files, l->whole);
    if (l->whole)
        (void)futimens(l->fd, NULL);
    if (sure)
        atomic_store(&l->heard_ms, awake_or_not_ms());
}

static void *beating(void *arg)
{
    pel__lock *const l = arg;
    (void)pthread_mutex_lock(&l->mutex);
    while (!l->ending && !atomic_load(&l->lost)) {
        struct timespec until = {0};
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += BEAT_SECONDS;
        if (pthread_cond_timedwait(&l->changed, &l->mutex, &until) == ETIMEDOUT && !l->ending)
            beat_once(l);
    }
    (void)pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* Signals are for the program's own threads. */
static bool start_beat(pel__lock *l, pel_error *err)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    atomic_store(&l->heard_ms, awake_or_not_ms());
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, BEAT_STACK);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int reason = pthread_create(&l->beat, &attributes, beating, l);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    l->beating = reason == 0;
    return l->beating || pel__fail_errno(err, reason, "%s/%s: cannot start a thread", l->files.folder, l->files.name);
}

static void end_beat(pel__lock *l)
{
    if (!l->beating)
        return;
    (void)pthread_mutex_lock(&l->mutex);
    l->ending = true;
    (void)pthread_cond_signal(&l->changed);
    (void)pthread_mutex_unlock(&l->mutex);
    (void)pthread_join(l->beat, NULL);
    l->beating = false;
}

bool pel__lock_keep(pel__lock *l, pel_error *err)
{
    if (!l)
        return true;
    if (!atomic_load(&l->lost) && awake_or_not_ms() - atomic_load(&l->heard_ms) > AWAY_MS) {
        (void)pthread_mutex_lock(&l->mutex);
        if (!atomic_load(&l->lost))
            beat_once(l);
        (void)pthread_mutex_unlock(&l->mutex);
    }
    return !atomic_load(&l->lost) || pel__fail(err, PEL_REFUSED, "%s/%s: another process took this run over, since nothing was heard of this "
                                               "one for %d s; it ends here and leaves the run to the other", l->files.folder, l->files.name,
                                               PEL__LOCK_ALIVE);
}

/* ---- taking and releasing --------------------------------------------------------------------------------------------------- */

static pel__lock *make_lock(const char *folder, const char *name, bool whole)
{
    pel__lock *const l = calloc(1, sizeof *l);
    pthread_condattr_t steady;
    if (!l)
        return NULL;
    l->whole = whole;
    l->fd = l->files.dir = l->files.fd = -1;
    (void)snprintf(l->files.folder, sizeof l->files.folder, "%s", folder);
    (void)snprintf(l->files.name, sizeof l->files.name, "%s", name);
    (void)pthread_mutex_init(&l->mutex, NULL);
    (void)pthread_condattr_init(&steady);
    (void)pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->changed, &steady);
    (void)pthread_condattr_destroy(&steady);
    return l;
}

static void free_lock(pel__lock *l)
{
    pel__lock_files_end(&l->files);
    if (l->fd >= 0)
        (void)close(l->fd);
    if (l->files.dir >= 0)
        (void)close(l->files.dir);
    (void)pthread_cond_destroy(&l->changed);
    (void)pthread_mutex_destroy(&l->mutex);
    free(l);
}

static bool open_files(pel__lock *l, pel_error *err)
{
    struct stat st;
    pel__lock_files *const f = &l->files;
    f->dir = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir < 0)
        return pel__fail_errno(err, errno, "%s: cannot open the folder", f->folder);
    l->fd = pel__open_own_at(f->dir, f->name, O_RDWR | O_CREAT, f->folder, err);
    if (l->fd < 0)
        return pel__where(err, "cannot create the lock: ");
    if (fstat(l->fd, &st) == 0)
        f->device = (int64_t)st.st_dev;
    return true;
}

static bool take_files(pel__lock *l, const char *text, bool *stale, pel_error *err)
{
    pel__holder h;
    enum pel__holding what = PEL__NOBODY;
    if (!pel__lock_files_begin(&l->files, err))
        return false;
    if (text[0] && pel__lock_files_holder(&l->files, &what, &h, NULL) && what == PEL__NOBODY && older_lives(l, text))
        return pel__fail(err, PEL_REFUSED, "%s/%s: %s is working on this output; wait for it or stop it first", l->files.folder, l->files.name, text);
    if (!l->whole)
        return pel__lock_files_share(&l->files, stale, err);
    if (!pel__lock_files_claim(&l->files, stale, err))
        return false;
    if (pel__lock_files_no_parts(&l->files, err))
        return true;
    pel__lock_files_drop(&l->files, true);
    return false;
}

bool pel__lock_take(pel__lock **out, const char *folder, const char *name, enum pel__lock_kind kind, bool *was_stale,
                    pel_error *err)
{
    char text[160] = "";
    pel__lock *const l = make_lock(folder, name, kind == PEL__LOCK_WHOLE);
    if (!l)
        return pel__fail(err, PEL_NO_MEMORY, "%s/%s: no memory for the lock", folder, name);
    bool ok = open_files(l, err);
    if (ok) {
        ok = ask_flock(l);
        read_text(l->fd, text, sizeof text);
        ok = ok || pel__fail(err, PEL_REFUSED, "%s/%s: %s is working on this output; wait for it or stop it first", folder, name,
                             text[0] ? text : "another process");
    }
    *was_stale = text[0] != '\0';
    ok = ok && take_files(l, text, was_stale, err);
    if (!ok) {
        free_lock(l);
        return false;
    }
    ok = !(l->whole || *was_stale) || write_text(l) || pel__fail_errno(err, errno, "%s/%s: cannot write the lock", folder, name);
    if (!ok || !start_beat(l, err)) {
        pel__lock_release(l);
        return false;
    }
    *out = l;
    return true;
}

void pel__lock_release(pel__lock *l)
{
    if (!l)
        return;
    end_beat(l);
    if (!atomic_load(&l->lost)) {
        if (l->whole)
            (void)!ftruncate(l->fd, 0);
        pel__lock_files_drop(&l->files, l->whole);
    }
    free_lock(l);
}
