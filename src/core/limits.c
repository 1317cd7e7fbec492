/* SPDX-License-Identifier: MIT
 * See limits.h. A control group is found in two steps: /proc/self/cgroup names it within its hierarchy, /proc/self/mountinfo
 * tells which part of the hierarchy is mounted where. In a container the mount often begins at the container's own group, and
 * what lies above cannot be seen; a name that does not lie below the mount's root then means the mount itself. A group is
 * bound by every group above it, so all are read up to the mount. */
#include "core/limits.h"

#include "core/bytes.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LINE_BYTES 8192 /* longer lines are passed over: names of the kernel end at 4096 */
#define FALLBACK_BYTES ((int64_t)8 << 30)
#define UNKNOWN_BYTES ((int64_t)4 << 30) /* where the limits are those of another machine */

/* ---- the least of all ---------------------------------------------------------------------------------------------- */

static void bound_memory(pel_limits *l, int64_t bytes, const char *by)
{
    if (bytes <= 0 || (l->memory_bytes > 0 && bytes >= l->memory_bytes))
        return;
    l->memory_bytes = bytes;
    (void)snprintf(l->memory_by, sizeof l->memory_by, "%s", by);
}

static void bound_threads(pel_limits *l, int64_t threads, const char *by)
{
    if (threads <= 0 || threads > INT32_MAX || (l->threads > 0 && threads >= l->threads))
        return;
    l->threads = (int32_t)threads;
    (void)snprintf(l->threads_by, sizeof l->threads_by, "%s", by);
}

/* ---- small files of the system ----------------------------------------------------------------------------------------- */

static FILE *open_file(const char *root, const char *folder, const char *name)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
    return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

/* The next line without its end. */
static bool next_line(FILE *f, char *line, size_t size)
{
    while (fgets(line, (int)size, f)) {
        const size_t n = strcspn(line, "\n");
        const bool whole = line[n] == '\n' || n + 1 < size;
        line[n] = '\0';
        if (whole)
            return true;
        for (int c = fgetc(f); c != '\n' && c != EOF;)
            c = fgetc(f);
    }
    return false;
}

/* Up to two numbers from the beginning of a file; "max" and what is no number end it. How many there are. */
static int read_numbers(const char *root, const char *folder, const char *name, int64_t out[2])
{
    FILE *const f = open_file(root, folder, name);
    char line[128] = "";
    if (!f)
        return 0;
    if (!next_line(f, line, sizeof line))
        line[0] = '\0';
    (void)fclose(f);
    int count = 0;
    for (char *at = line; count < 2; count++) {
        char *end = NULL;
        out[count] = strtoll(at, &end, 10);
        if (end == at)
            break;
        at = end;
    }
    return count;
}

/* Is `word` in a list with commas? */
static bool in_list(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return false;
}

/* ---- where a control group lies -------------------------------------------------------------------------------------------- */

/* A hierarchy: that of a controller of version 1, or "" the one of version 2. */
typedef struct {
    const char *controller;
    char group[PATH_MAX];            /* of this process, in the hierarchy */
    char top[PATH_MAX], at[PATH_MAX]; /* the part of the hierarchy that is mounted, and where */
} hierarchy;

/* "4:memory:/a/b", version 2 "0::/a/b" */
static bool find_group(hierarchy *h, const char *root)
{
    FILE *const f = open_file(root, "/proc/self", "cgroup");
    char line[LINE_BYTES];
    bool found = false;
    while (f && !found && next_line(f, line, sizeof line)) {
        char *const list = strchr(line, ':'), *const path = list ? strchr(list + 1, ':') : NULL;
        if (!path || path[1] != '/')
            continue;
        *path = '\0';
        found = h->controller[0] ? in_list(list + 1, h->controller) : list[1] == '\0';
        if (found)
            (void)snprintf(h->group, sizeof h->group, "%.4000s", path + 1);
    }
    if (f)
        (void)fclose(f);
    return found;
}

/* Blanks in names are written as \040. */
static void copy_name(char *out, size_t size, const char *from)
{
    size_t n = 0;
    for (const char *s = from; *s && n + 1 < size; n++) {
        const bool coded = s[0] == '\\' && strspn(s + 1, "01234567") >= 3;
        out[n] = coded ? (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0')) : s[0];
        s += coded ? 4 : 1;
    }
    out[n] = '\0';
}

/* Words of a line, by blanks; how many. */
static int cut_words(char *line, char **words, int most)
{
    int n = 0;
    for (char *at = line; at && n < most; n++) {
        words[n] = at;
        at = strchr(at, ' ');
        if (at)
            *at++ = '\0';
    }
    return n;
}

/* "36 25 0:31 /top /where rw,nosuid shared:9 - cgroup cgroup rw,memory" */
static bool take_mount(hierarchy *h, char *line)
{
    char *words[32];
    const int n = cut_words(line, words, 32);
    int dash = 6;
    while (dash < n && strcmp(words[dash], "-") != 0)
        dash++;
    if (dash + 3 >= n || strcmp(words[dash + 1], h->controller[0] ? "cgroup" : "cgroup2") != 0)
        return false;
    if (h->controller[0] && !in_list(words[dash + 3], h->controller))
        return false;
    copy_name(h->top, sizeof h->top, words[3]);
    copy_name(h->at, sizeof h->at, words[4]);
    return true;
}

static size_t top_length(const hierarchy *h)
{
    return strcmp(h->top, "/") == 0 ? 0 : strlen(h->top);
}

/* Does the group lie in what is mounted? */
static bool is_mounted(const hierarchy *h)
{
    const size_t n = top_length(h);
    return strncmp(h->group, h->top, n) == 0 && (h->group[n] == '/' || h->group[n] == '\0') && !strstr(h->group, "/..");
}

/* The mount that shows the group, if any does. */
static bool find_mount(hierarchy *h, const char *root)
{
    FILE *const f = open_file(root, "/proc/self", "mountinfo");
    char line[LINE_BYTES];
    bool found = false;
    while (f && !(found && is_mounted(h)) && next_line(f, line, sizeof line))
        found = take_mount(h, line) || found;
    if (f)
        (void)fclose(f);
    return found;
}

/* ---- what the groups say ------------------------------------------------------------------------------------------------------ */

static void read_group(pel_limits *l, const char *root, const char *folder)
{
    static const char *const memory[] = {"memory.max", "memory.high", "memory.limit_in_bytes"};
    int64_t n[2] = {0}, quota[2] = {0}, period[2] = {0};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        if (read_numbers(root, folder, memory[i], n) > 0)
            bound_memory(l, n[0], "the control group");
    }
    if (read_numbers(root, folder, "cpu.max", n) == 2 && n[0] > 0 && n[1] > 0)
        bound_threads(l, pel__ceil_div(n[0], n[1]), "the control group");
    if (read_numbers(root, folder, "cpu.cfs_quota_us", quota) > 0 && read_numbers(root, folder, "cpu.cfs_period_us", period) > 0 &&
        quota[0] > 0 && period[0] > 0)
        bound_threads(l, pel__ceil_div(quota[0], period[0]), "the control group");
}

static void read_hierarchy(pel_limits *l, const char *root, const char *controller)
{
    hierarchy h = {.controller = controller};
    char folder[2 * PATH_MAX];
    if (!find_group(&h, root) || !find_mount(&h, root))
        return;
    const size_t least = strlen(h.at);
    (void)snprintf(folder, sizeof folder, "%s%s", h.at, is_mounted(&h) ? h.group + top_length(&h) : "");
    for (size_t n = strlen(folder); n >= least; n--) {
        if (folder[n] != '\0' && folder[n] != '/')
            continue;
        folder[n] = '\0';
        read_group(l, root, folder);
        if (n == 0)
            return;
    }
}

/* ---- machine and process -------------------------------------------------------------------------------------------------------- */

/* As /proc/meminfo says, which containers may have of their own. */
static int64_t memory_of_machine(const char *root)
{
    FILE *const f = open_file(root, "/proc", "meminfo");
    char line[256];
    long long kib = 0;
    while (f && kib == 0 && next_line(f, line, sizeof line)) {
        if (strncmp(line, "MemTotal:", 9) == 0)
            kib = strtoll(line + 9, NULL, 10);
    }
    if (f)
        (void)fclose(f);
    if (kib > 0 && kib < INT64_MAX / 1024)
        return kib * 1024;
    const int64_t pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? pages * size : FALLBACK_BYTES;
}

static void bound_by_process(pel_limits *l, int kind, const char *by)
{
    struct rlimit limit;
    if (getrlimit(kind, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur <= INT64_MAX)
        bound_memory(l, (int64_t)limit.rlim_cur, by);
}

/* A mask of 1024 processors may be too small for the machine: then a larger one is tried. */
static int64_t processors_of_process(void)
{
    for (int size = 1024; size <= 1 << 20; size *= 4) {
        cpu_set_t *const set = CPU_ALLOC(size);
        if (!set)
            return 0;
        const bool ok = sched_getaffinity(0, CPU_ALLOC_SIZE(size), set) == 0;
        const int n = ok ? CPU_COUNT_S(CPU_ALLOC_SIZE(size), set) : 0;
        CPU_FREE(set);
        if (ok)
            return n;
    }
    return 0;
}

void pel__limits_find(pel_limits *out, const char *root, const pel_limits *known)
{
    const int64_t mine = processors_of_process(), online = sysconf(_SC_NPROCESSORS_ONLN);
    pel_limits l = {0};
    bound_memory(&l, memory_of_machine(root), "the machine");
    bound_threads(&l, pel__max(1, mine > 0 ? mine : online), mine > 0 && mine < online ? "the affinity" : "the machine");
    read_hierarchy(&l, root, "");
    read_hierarchy(&l, root, "memory");
    read_hierarchy(&l, root, "cpu");
    bound_by_process(&l, RLIMIT_AS, "ulimit -v");
    bound_by_process(&l, RLIMIT_DATA, "ulimit -d");
    if (known) {
        bound_memory(&l, known->memory_bytes, known->memory_by);
        bound_threads(&l, known->threads, known->threads_by);
    }
    *out = l;
}

void pel__limits_text(char *out, size_t size, const pel_limits *l)
{
    const double mib = (double)l->memory_bytes / (1 << 20);
    (void)snprintf(out, size, mib < 1024 ? "%s's %.0f MiB" : "%s's %.2f GiB", l->memory_by, mib < 1024 ? mib : mib / 1024);
}

int64_t pel__limits_memory(char by[PEL_LIMIT_TEXT], const pel_limits *l, int64_t asked_bytes)
{
    char text[PEL_LIMIT_TEXT];
    by[0] = '\0';
    if (asked_bytes > 0)
        return asked_bytes;
    pel__limits_text(text, sizeof text, l);
    (void)snprintf(by, PEL_LIMIT_TEXT, "half of %.80s", text);
    return l->memory_bytes > 0 ? l->memory_bytes / 2 : UNKNOWN_BYTES;
}

void pel__limits_say(char out[PEL__LIMIT_SAID], int64_t bytes)
{
    if (bytes < 1 << 20)
        (void)snprintf(out, PEL__LIMIT_SAID, "%lld bytes (a number without a unit is in bytes; for MiB write %lldM)", (long long)bytes, (long long)bytes);
    else
        (void)snprintf(out, PEL__LIMIT_SAID, "%lld MiB", (long long)(bytes >> 20));
}
