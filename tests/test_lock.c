/* SPDX-License-Identifier: MIT
 * The lock of a folder where flock works, where it does not, and for processes that are killed: many at once, and never two. The
 * program has a flock of its own, so that it can fail as on file systems without it. */
#include "check.h"
#include "core/clock.h"
#include "core/lock.h"
#include "core/own_file.h"
#include "core/owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int flock_reason; /* 0: it works */

int flock(int fd, int how)
{
    if (flock_reason == 0)
        return (int)syscall(SYS_flock, fd, how);
    errno = flock_reason;
    return -1;
}

static char folder[64];

static void new_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/pellucid-lock-XXXXXX");
    if (!mkdtemp(folder))
        abort();
}

static int32_t files_of(const char *beginning)
{
    int32_t n = 0;
    DIR *const d = opendir(folder);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.' && strncmp(e->d_name, beginning, strlen(beginning)) == 0;
    (void)closedir(d);
    return n;
}

static void remove_folder(void)
{
    char command[128];
    DIR *const d = opendir(folder);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        (void)unlinkat(dirfd(d), e->d_name, 0);
    (void)closedir(d);
    (void)snprintf(command, sizeof command, "%s", folder);
    (void)rmdir(command);
}

/* What a killed holder leaves. */
static void leave_dead(enum pel__lock_kind kind)
{
    const pid_t pid = fork();
    if (pid == 0) {
        pel__lock *l = NULL;
        bool stale = false;
        _exit(pel__lock_take(&l, folder, "lock", kind, &stale, NULL) ? 0 : 1);
    }
    int status = 0;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

static const int reasons[] = {0, ENOSYS, ENOLCK, EOPNOTSUPP};

CASE(whole_and_shared_exclude_each_other)
{
    for (int i = 0; i < 4; i++) {
        pel_error e = {0};
        pel__lock *a = NULL, *b = NULL, *c = NULL;
        bool stale = true;
        new_folder();
        flock_reason = reasons[i];
        CHECK_OK(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
        CHECK(!stale);
        CHECK_FAILS(pel__lock_take(&b, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
        CHECK_TEXT(e.text, ", process ");
        CHECK_FAILS(pel__lock_take(&b, folder, "lock", PEL__LOCK_SHARED, &stale, &e), e, PEL_REFUSED);
        CHECK_OK(pel__lock_take(&b, folder, "lock.finish", PEL__LOCK_WHOLE, &stale, &e), e);
        pel__lock_release(b);
        CHECK_OK(pel__lock_keep(a, &e), e);
        pel__lock_release(a);
        CHECK_OK(pel__lock_take(&a, folder, "lock", PEL__LOCK_SHARED, &stale, &e), e);
        CHECK_OK(pel__lock_take(&b, folder, "lock", PEL__LOCK_SHARED, &stale, &e), e);
        CHECK(!stale);
        CHECK_FAILS(pel__lock_take(&c, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
        pel__lock_release(a);
        CHECK_FAILS(pel__lock_take(&c, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
        pel__lock_release(b);
        CHECK_OK(pel__lock_take(&c, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
        pel__lock_release(c);
        CHECK_INT(files_of("lock."), 1); /* lock.finish: what flock is asked for stays */
        remove_folder();
    }
    flock_reason = 0;
}

CASE(the_dead_hinder_nobody)
{
    static const enum pel__lock_kind kinds[] = {PEL__LOCK_WHOLE, PEL__LOCK_SHARED};
    for (int i = 0; i < 16; i++) {
        pel_error e = {0};
        pel__lock *a = NULL;
        bool stale = false;
        new_folder();
        flock_reason = reasons[i / 4];
        leave_dead(kinds[i % 2]);
        leave_dead(PEL__LOCK_SHARED); /* clears up after the one before */
        leave_dead(kinds[i % 2]);
        const double began = pel__now();
        CHECK_OK(pel__lock_take(&a, folder, "lock", kinds[i / 2 % 2], &stale, &e), e);
        CHECK(pel__now() - began < 3);
        CHECK_INT(stale, kinds[i % 2] == PEL__LOCK_WHOLE);
        pel__lock_release(a);
        CHECK(files_of("lock.owner") == 0 && files_of("lock.next") == 0 && files_of("lock.new") == 0);
        remove_folder();
    }
    flock_reason = 0;
}

/* ---- many at once ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    atomic_int go, inside, together, won;
} arena;

/* Of those who begin together nobody is let in while another is. */
static void contend(arena *a)
{
    pel__lock *l = NULL;
    bool stale = false;
    while (!atomic_load(&a->go))
        continue;
    if (!pel__lock_take(&l, folder, "lock", PEL__LOCK_WHOLE, &stale, NULL))
        _exit(0);
    atomic_fetch_add(&a->won, 1);
    if (atomic_fetch_add(&a->inside, 1) != 0)
        atomic_fetch_add(&a->together, 1);
    while (atomic_load(&a->go) == 1) /* until all have tried */
        (void)usleep(1000);
    atomic_fetch_sub(&a->inside, 1);
    pel__lock_release(l);
    _exit(0);
}

#define TAKERS 6

static void one_wins(arena *a)
{
    pid_t pid[TAKERS];
    *a = (arena){0};
    for (int k = 0; k < TAKERS; k++) {
        pid[k] = fork();
        if (pid[k] == 0)
            contend(a);
    }
    (void)usleep(2000);
    atomic_store(&a->go, 1);
    int ended = 0;
    for (int tries = 0; ended < TAKERS - 1 && tries < 10000; tries++) {
        ended += waitpid(-1, NULL, WNOHANG) > 0;
        (void)usleep(500);
    }
    atomic_store(&a->go, 2);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    CHECK_INT(atomic_load(&a->won), 1);
    CHECK_INT(atomic_load(&a->together), 0);
}

CASE(of_many_who_follow_a_dead_one_one_wins_a_hundred_times)
{
    arena *const a = mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < 100 && check_failures == 0; round++) {
        new_folder();
        flock_reason = round % 5 == 0 ? 0 : ENOLCK;
        if (round % 4 != 3) /* else nobody was there */
            leave_dead(PEL__LOCK_WHOLE);
        one_wins(a);
        CHECK(files_of("lock.owner") == 0 && files_of("lock.next") == 0 && files_of("lock.new") == 0);
        remove_folder();
    }
    (void)munmap(a, sizeof *a);
    flock_reason = 0;
}

/* ---- many who come, go and are killed ---------------------------------------------------------------------------------------- */

#define CROWD 5

typedef struct {
    atomic_int whole[CROWD], shared[CROWD]; /* process that is inside; 0: none */
    atomic_int wrong, taken;
} crowd;

static bool runs(int pid)
{
    return pid != 0 && pel__process_runs(pid);
}

/* Whoever is inside looks whether another is there who must not be. */
static void look_around(crowd *c, int self, bool whole)
{
    for (int k = 0; k < CROWD; k++)
        if (k != self && (runs(atomic_load(&c->whole[k])) || (whole && runs(atomic_load(&c->shared[k])))))
            atomic_fetch_add(&c->wrong, 1);
}

static void come_and_go(crowd *c, int self, unsigned seed)
{
    for (;;) {
        pel__lock *l = NULL;
        bool stale = false;
        seed = seed * 1103515245U + 12345U;
        const bool whole = seed >> 16 & 1U;
        if (!pel__lock_take(&l, folder, "lock", whole ? PEL__LOCK_WHOLE : PEL__LOCK_SHARED, &stale, NULL))
            continue;
        atomic_int *const place = whole ? &c->whole[self] : &c->shared[self];
        atomic_store(place, (int)getpid());
        look_around(c, self, whole);
        (void)usleep(300 + (seed >> 20) % 500);
        look_around(c, self, whole);
        atomic_fetch_add(&c->taken, 1);
        atomic_store(place, 0);
        pel__lock_release(l);
    }
}

static pid_t enter(crowd *c, int self, unsigned seed)
{
    const pid_t pid = fork();
    if (pid == 0)
        come_and_go(c, self, seed);
    return pid;
}

CASE(killed_at_any_moment_and_never_two)
{
    crowd *const c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid[CROWD];
    unsigned seed = 1;
    new_folder();
    flock_reason = ENOSYS;
    for (int k = 0; k < CROWD; k++)
        pid[k] = enter(c, k, seed++);
    for (int round = 0; round < 200; round++) {
        seed = seed * 1103515245U + 12345U;
        const int k = (int)(seed >> 16) % CROWD;
        (void)usleep((seed >> 18) % 8000);
        (void)kill(pid[k], SIGKILL);
        (void)waitpid(pid[k], NULL, 0);
        atomic_store(&c->whole[k], 0);
        atomic_store(&c->shared[k], 0);
        pid[k] = enter(c, k, seed);
    }
    for (int k = 0; k < CROWD; k++) {
        (void)kill(pid[k], SIGKILL);
        (void)waitpid(pid[k], NULL, 0);
    }
    CHECK_INT(atomic_load(&c->wrong), 0);
    CHECK(atomic_load(&c->taken) > 20);
    pel__lock *l = NULL;
    bool stale = false;
    pel_error e = {0};
    CHECK_OK(pel__lock_take(&l, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
    pel__lock_release(l);
    CHECK_INT(files_of("lock.owner") + files_of("lock.part") + files_of("lock.next"), 0);
    remove_folder();
    (void)munmap(c, sizeof *c);
    flock_reason = 0;
}

/* ---- other hosts --------------------------------------------------------------------------------------------------------------- */

static void write_holder(const char *name, const char *line, int64_t age)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const f = fopen(path, "w");
    (void)fputs(line, f);
    (void)fclose(f);
    const struct timespec t = {.tv_sec = time(NULL) - age};
    (void)utimensat(AT_FDCWD, path, (struct timespec[]){t, t}, 0);
}

#define ELSEWHERE "host=n7 pid=1 boot=b space=4 start=9 token=00000000000000aa flock=no device=1\n"

CASE(of_another_host_the_age_tells)
{
    pel_error e = {0};
    pel__lock *a = NULL;
    bool stale = false;
    new_folder();
    write_holder("lock.owner", ELSEWHERE, 3);
    CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
    CHECK_TEXT(e.text, "n7, process 1 is working on this output, last heard of");
    CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_SHARED, &stale, &e), e, PEL_REFUSED);
    write_holder("lock.owner", "torn", 3); /* unknown: as of another host */
    CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
    write_holder("lock.owner", ELSEWHERE, 500); /* watched for some seconds, with all parts at once */
    write_holder("lock.part-00000000000000ab", ELSEWHERE, 500);
    write_holder("lock.part-00000000000000ac", ELSEWHERE, 500);
    const double began = pel__now();
    CHECK_OK(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
    CHECK(stale && pel__now() - began > 5);
    pel__lock_release(a);
    CHECK_INT(files_of("lock."), 0);
    write_holder("lock.part-00000000000000ab", ELSEWHERE, 3);
    CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
    remove_folder();
}

static void *keep_alive(void *arg)
{
    for (int i = 0; i < 40 && !atomic_load((atomic_bool *)arg); i++) {
        write_holder("lock.owner", ELSEWHERE, 3600 - i); /* by a clock that is an hour late */
        (void)usleep(500000);
    }
    return NULL;
}

CASE(a_clock_that_is_wrong_costs_nobody_his_lock)
{
    pel_error e = {0};
    pel__lock *a = NULL;
    bool stale = false;
    pthread_t other;
    atomic_bool end = false;
    new_folder();
    write_holder("lock.owner", ELSEWHERE, 3600);
    CHECK_INT(pthread_create(&other, NULL, keep_alive, &end), 0);
    CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
    atomic_store(&end, true);
    (void)pthread_join(other, NULL);
    remove_folder();
}

CASE(who_was_taken_for_dead_learns_it)
{
    pel_error e = {0};
    pel__lock *a = NULL;
    bool stale = false;
    new_folder();
    CHECK_OK(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
    CHECK_OK(pel__lock_keep(a, &e), e);
    write_holder("lock.owner", ELSEWHERE, 0);
    (void)usleep(2600000);
    CHECK_FAILS(pel__lock_keep(a, &e), e, PEL_REFUSED);
    CHECK_TEXT(e.text, "took this run over");
    pel__lock_release(a);
    CHECK_INT(files_of("lock.owner"), 1); /* the other's */
    remove_folder();
}

CASE(a_lock_file_that_was_removed_comes_back)
{
    pel_error e = {0};
    pel__lock *a = NULL, *b = NULL;
    bool stale = false;
    char path[128];
    new_folder();
    flock_reason = ENOLCK;
    CHECK_OK(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e);
    (void)snprintf(path, sizeof path, "%s/lock.owner", folder);
    CHECK_INT(unlink(path), 0);
    (void)usleep(2600000);
    CHECK_OK(pel__lock_keep(a, &e), e);
    CHECK_FAILS(pel__lock_take(&b, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
    pel__lock_release(a);
    remove_folder();
    flock_reason = 0;
}

/* ---- links, odd contents --------------------------------------------------------------------------------------------------------- */

CASE(what_is_no_plain_file_is_refused)
{
    static const char *const names[] = {"lock", "lock.owner", "lock.next-00000000000000aa"};
    for (int i = 0; i < 3; i++) {
        pel_error e = {0};
        pel__lock *a = NULL;
        bool stale = false;
        char victim[128], path[128];
        struct stat st;
        new_folder();
        (void)snprintf(victim, sizeof victim, "%s/thesis", folder);
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        write_holder("thesis", "twenty years", 500);
        if (i == 2)
            write_holder("lock.owner", ELSEWHERE, 500);
        CHECK_INT(symlink(victim, path), 0);
        CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
        CHECK_TEXT(e.text, names[i]);
        CHECK(stat(victim, &st) == 0 && st.st_size == 12);
        if (i == 0) {
            CHECK_INT(unlink(path), 0);
            CHECK_INT(link(victim, path), 0);
            CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
            CHECK(stat(victim, &st) == 0 && st.st_size == 12);
            CHECK_INT(unlink(path), 0);
            CHECK_INT(mkfifo(path, 0600), 0);
            CHECK_FAILS(pel__lock_take(&a, folder, "lock", PEL__LOCK_WHOLE, &stale, &e), e, PEL_REFUSED);
        }
        remove_folder();
    }
}

CASE(an_owner_is_told_from_any_text)
{
    pel__owner o, self, again;
    char text[256];
    pel__owner_self(&self);
    pel__owner_text(&self, text, sizeof text);
    CHECK(pel__owner_parse(&o, text));
    CHECK(strcmp(o.token, self.token) == 0 && strcmp(o.host, self.host) == 0 && o.pid == self.pid && o.start == self.start);
    CHECK_INT(pel__owner_life(&o), self.boot[0] && self.space && self.start ? PEL__ALIVE : PEL__FAR);
    pel__owner_self(&again);
    CHECK(strcmp(again.token, self.token) == 0);
    o.start += 1; /* its number, used again */
    CHECK(pel__owner_life(&o) != PEL__ALIVE);
    o.space += 1;
    CHECK_INT(pel__owner_life(&o), PEL__FAR);
    static const char *const bad[] = {"", "host=a", "host= pid=1 token=00000000000000aa", "host=a pid=0 token=00000000000000aa",
                                      "host=../a pid=1 token=00000000000000aa", "host=a pid=1 token=../../../../etcaa",
                                      "host=a pid=99999999999999999999 token=00000000000000aa", "host=a pid=1 token=00000000000000AA"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!pel__owner_parse(&o, bad[i]));
}

int main(void)
{
    RUN(whole_and_shared_exclude_each_other);
    RUN(the_dead_hinder_nobody);
    RUN(of_many_who_follow_a_dead_one_one_wins_a_hundred_times);
    RUN(killed_at_any_moment_and_never_two);
    RUN(of_another_host_the_age_tells);
    RUN(a_clock_that_is_wrong_costs_nobody_his_lock);
    RUN(who_was_taken_for_dead_learns_it);
    RUN(a_lock_file_that_was_removed_comes_back);
    RUN(what_is_no_plain_file_is_refused);
    RUN(an_owner_is_told_from_any_text);
    return CHECK_DONE();
}
