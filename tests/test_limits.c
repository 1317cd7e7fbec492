/* SPDX-License-Identifier: MIT
 * What a process may take, over made trees of /proc and /sys: both versions of control groups, groups in groups, containers. */
#include "check.h"
#include "core/file.h"
#include "core/limits.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define GIB ((int64_t)1 << 30)
#define MOST_FILES 8

typedef struct {
    const char *what;
    const char *cgroup, *mountinfo; /* of /proc/self */
    struct {
        const char *path, *text;
    } file[MOST_FILES];
    int64_t memory;
    const char *memory_by;
    int32_t threads; /* 0: as the affinity says */
} tree;

#define V2 "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1                                                                                           \
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"                                  \
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"                          \
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
#define GROUP "the control group"
#define MACHINE "the machine"
#define AT "/sys/fs/cgroup/"

static const tree trees[] = {
    {"no control groups", NULL, NULL, {{0}}, 16 * GIB, MACHINE, 0},
    {"version 2, no limit", "0::/a\n", V2, {{AT "a/memory.max", "max\n"}, {AT "a/cpu.max", "max 100000\n"}}, 16 * GIB, MACHINE, 0},
    {"version 2", "0::/a\n", V2, {{AT "a/memory.max", "1073741824\n"}, {AT "a/cpu.max", "50000 100000\n"}}, GIB, GROUP, 1},
    {"the group above", "0::/a/b/c\n", V2, {{AT "a/memory.max", "1073741824\n"}, {AT "a/b/memory.max", "max\n"},
     {AT "a/b/c/memory.max", "4294967296\n"}, {AT "a/cpu.max", "100000 100000\n"}, {AT "a/b/c/cpu.max", "max 100000\n"}}, GIB, GROUP, 1},
    {"the group below", "0::/a/b\n", V2, {{AT "a/memory.max", "4294967296\n"}, {AT "a/b/memory.max", "1073741824\n"}}, GIB, GROUP, 0},
    {"throttled before it is killed", "0::/a\n", V2, {{AT "a/memory.max", "4294967296\n"}, {AT "a/memory.high", "2147483648\n"}}, 2 * GIB, GROUP, 0},
    {"more than the machine has", "0::/a\n", V2, {{AT "a/memory.max", "1099511627776\n"}}, 16 * GIB, MACHINE, 0},
    {"a container's mount is its group", "0::/\n", V2, {{AT "memory.max", "1073741824\n"}}, GIB, GROUP, 0},
    {"a name from outside the container", "0::/docker/0123\n", V2, {{AT "memory.max", "1073741824\n"}}, GIB, GROUP, 0},
    {"a name above the container", "0::/../other\n", V2, {{AT "memory.max", "1073741824\n"}, {AT "../other/memory.max", "1024\n"}}, GIB, GROUP, 0},
    {"a container's mount with the name of its group", "4:memory:/docker/0123\n0::/\n",
     "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", {{AT "memory/memory.limit_in_bytes", "1073741824\n"}}, GIB, GROUP, 0},
    {"a group below the container's mount", "4:memory:/docker/0123/job\n",
     "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
     {{AT "memory/memory.limit_in_bytes", "4294967296\n"}, {AT "memory/job/memory.limit_in_bytes", "1073741824\n"}}, GIB, GROUP, 0},
    {"a name that only begins like the mount's", "4:memory:/docker/01234\n",
     "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", {{AT "memory/memory.limit_in_bytes", "1073741824\n"}}, GIB, GROUP, 0},
    {"version 1", "5:memory:/slurm/job_7\n4:cpu,cpuacct:/slurm\n", V1, {{AT "memory/slurm/job_7/memory.limit_in_bytes", "1073741824\n"},
     {AT "memory/memory.limit_in_bytes", "9223372036854771712\n"}, {AT "cpu,cpuacct/slurm/cpu.cfs_quota_us", "90000\n"},
     {AT "cpu,cpuacct/slurm/cpu.cfs_period_us", "100000\n"}, {AT "cpu,cpuacct/cpu.cfs_quota_us", "-1\n"}}, GIB, GROUP, 1},
    {"version 1, no limit", "5:memory:/\n4:cpu,cpuacct:/\n", V1, {{AT "memory/memory.limit_in_bytes", "9223372036854771712\n"},
     {AT "cpu,cpuacct/cpu.cfs_quota_us", "-1\n"}, {AT "cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}, 16 * GIB, MACHINE, 0},
    {"both versions, memory by the first", "5:memory:/a\n0::/a\n",
     V1 "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", {{AT "memory/a/memory.limit_in_bytes", "1073741824\n"}, {AT "unified/a/cgroup.procs", ""}},
     GIB, GROUP, 0},
    {"both versions, memory by the second", "4:cpu,cpuacct:/a\n0::/a\n",
     V1 "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", {{AT "unified/a/memory.max", "1073741824\n"}}, GIB, GROUP, 0},
    {"mounted twice, the second shows the group", "0::/a\n", "20 1 0:22 /b /b rw - cgroup2 cgroup2 rw\n" V2, {{AT "a/memory.max", "1073741824\n"},
     {"/b/memory.max", "2048\n"}}, GIB, GROUP, 0},
    {"a blank in the name", "0::/a b\n", "20 1 0:22 / /sys/c\\040g rw - cgroup2 cgroup2 rw\n", {{"/sys/c g/a b/memory.max", "1073741824\n"}}, GIB, GROUP, 0},
    {"what is no number", "0::/a\n", V2, {{AT "a/memory.max", ""}, {AT "a/memory.high", "-5\n"}, {AT "a/cpu.max", "x y\n"}}, 16 * GIB, MACHINE, 0},
    {"damaged files", ":::\n0:\n0::a\n", "1 2 3\n\n- - -\n25 1 0:22 / /sys/fs/cgroup rw - cgroup2\n", {{AT "memory.max", "1024\n"}}, 16 * GIB, MACHINE, 0},
};

static char root[] = "/tmp/pellucid-limits-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

static void put(const char *path, const char *text)
{
    char whole[1024], folder[1024];
    (void)snprintf(whole, sizeof whole, "%s%s", root, path);
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(whole, '/') - whole), whole);
    CHECK(pel__make_dirs(folder, NULL));
    FILE *const f = fopen(whole, "we");
    CHECK(f != NULL);
    if (f) {
        (void)fputs(text, f);
        (void)fclose(f);
    }
}

static void make_tree(const tree *t)
{
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:           10240 kB\n");
    if (t->cgroup)
        put("/proc/self/cgroup", t->cgroup);
    if (t->mountinfo)
        put("/proc/self/mountinfo", t->mountinfo);
    for (int i = 0; i < MOST_FILES && t->file[i].path; i++)
        put(t->file[i].path, t->file[i].text);
}

CASE(every_tree_gives_its_least_limit)
{
    pel_limits none;
    make_tree(&trees[0]);
    pel__limits_find(&none, root, NULL);
    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++) {
        const tree *const t = &trees[i];
        const int before = check_failures;
        pel_limits l;
        make_tree(t);
        pel__limits_find(&l, root, NULL);
        CHECK(l.memory_bytes == t->memory);
        CHECK(strcmp(l.memory_by, t->memory_by) == 0);
        CHECK(l.threads == (t->threads > 0 && t->threads < none.threads ? t->threads : none.threads));
        if (check_failures != before)
            printf("  in: %s: %lld by %s, %d threads\n", t->what, (long long)l.memory_bytes, l.memory_by, (int)l.threads);
    }
}

/* What the caller knows counts where it is the least. */
CASE(what_the_caller_knows_counts)
{
    pel_limits l, less = {.memory_bytes = 123456789, .memory_by = "a scheduler", .threads = 1, .threads_by = "a scheduler"},
                  more = {.memory_bytes = 64 * GIB, .memory_by = "a scheduler", .threads = 4096, .threads_by = "a scheduler"};
    make_tree(&trees[0]);
    pel__limits_find(&l, root, &less);
    CHECK(l.memory_bytes == 123456789 && strcmp(l.memory_by, "a scheduler") == 0 && l.threads == 1);
    pel__limits_find(&l, root, &more);
    CHECK(l.memory_bytes == 16 * GIB && strcmp(l.memory_by, MACHINE) == 0 && l.threads < 4096);
}

CASE(ulimit_counts)
{
    struct rlimit was;
    pel_limits l;
    char text[PEL_LIMIT_TEXT];
    CHECK(getrlimit(RLIMIT_AS, &was) == 0);
    if (was.rlim_cur != RLIM_INFINITY)
        return;
    make_tree(&trees[0]);
    CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){(rlim_t)8 * GIB, was.rlim_max}) == 0);
    pel__limits_find(&l, root, NULL);
    CHECK(setrlimit(RLIMIT_AS, &was) == 0);
    CHECK(l.memory_bytes == 8 * GIB && strcmp(l.memory_by, "ulimit -v") == 0);
    pel__limits_text(text, sizeof text, &l);
    CHECK(strcmp(text, "ulimit -v's 8.00 GiB") == 0);
}

/* This machine, whatever it is. */
CASE(this_machine_has_limits)
{
    pel_limits l;
    pel__limits_find(&l, "", NULL);
    CHECK(l.memory_bytes > 0 && l.threads > 0 && l.memory_by[0] && l.threads_by[0]);
}

int main(void)
{
    if (!mkdtemp(root))
        return 1;
    RUN(every_tree_gives_its_least_limit);
    RUN(what_the_caller_knows_counts);
    RUN(ulimit_counts);
    RUN(this_machine_has_limits);
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return CHECK_DONE();
}
