/* SPDX-License-Identifier: MIT
 * See dashboard.h: the page as a file, and when it is written. What stands in it is in page.c. */
#include "dashboard.h"

#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EVERY_SECONDS 4.0
#define SHARE 40.0 /* at most one part in so many of the time goes into pages */

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

static bool fail(pel_error *err, const char *path, const char *what, int reason)
{
    char why[128];
    if (err) {
        err->code = PEL_IO;
        (void)snprintf(err->text, sizeof err->text, "%.300s: %s: %s", path, what, strerror_r(reason, why, sizeof why));
    }
    return false;
}

/* "folder/.tmp-<host>-<pid>-<token>-page": cleared with the others of that name if we are killed. */
static bool temporary_name(char *out, size_t size, const char *path)
{
    char host[64] = "unknown";
    uint64_t token = 0;
    (void)!getrandom(&token, sizeof token, GRND_NONBLOCK);
    const char *slash = strrchr(path, '/');
    (void)gethostname(host, sizeof host - 1);
    const int n = snprintf(out, size, "%.*s.tmp-%s-%ld-%016" PRIx64 "-page", slash ? (int)(slash + 1 - path) : 0, path, host, (long)getpid(), token);
    return n > 0 && (size_t)n < size;
}

static bool write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        const ssize_t k = write(fd, text, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        text += k;
        n -= (size_t)k;
    }
    return true;
}

/* No sync: a page that a power cut takes is made again. */
static bool replace_file(const char *path, const char *text, size_t n, pel_error *err)
{
    char aside[4400];
    if (!temporary_name(aside, sizeof aside, path))
        return fail(err, path, "cannot write the page", ENAMETOOLONG);
    const int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail(err, path, "cannot write the page", errno);
    const bool written = write_all(fd, text, n);
    const int reason = written ? 0 : errno;
    const bool closed = close(fd) == 0;
    if (written && closed && rename(aside, path) == 0)
        return true;
    const int why = reason ? reason : errno;
    (void)unlink(aside);
    return fail(err, path, "cannot write the page", why);
}

bool dashboard_write(const char *output, const char *path, const pel_file_rule *rule, const char *version, pel_error *err)
{
    facts f;
    if ((path && !pel_file_check(path, rule, err)) || !facts_gather(&f, output, err))
        return false;
    char own[4200];
    char *text = NULL;
    size_t size = 0;
    (void)snprintf(own, sizeof own, "%s/index.html", f.folder);
    FILE *page = open_memstream(&text, &size);
    if (page)
        page_print(page, &f, &(page_options){.output = f.status.output, .version = version, .beside = path == NULL});
    const bool whole = page && !ferror(page) && fclose(page) == 0;
    const bool ok = !whole ? fail(err, path ? path : own, "no memory for the page", ENOMEM)
                    : path ? pel_file_write(path, rule, text, (int64_t)size, err) : replace_file(own, text, size, err);
    free(text);
    facts_destroy(&f);
    return ok;
}

/* ---- when ---------------------------------------------------------------------------------------------------------------- */

static double now_seconds(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds since anybody wrote it; clocks that differ between hosts only shift the turn. */
static double page_age(const char *output)
{
    char path[4200];
    struct stat st;
    struct timespec t = {0};
    if (!pel_run_folder(path, 4096, output, NULL))
        return -1;
    (void)snprintf(path + strlen(path), sizeof path - strlen(path), "/index.html");
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return stat(path, &st) == 0 ? (double)(t.tv_sec - st.st_mtim.tv_sec) : -1;
}

void dashboard_tick(dashboard *d)
{
    const double before = now_seconds();
    if (!d->output || before < d->due)
        return;
    const double age = d->due > 0 ? page_age(d->output) : -1; /* the first page says that we began */
    if (age >= 0 && age + 1 < d->pause) {
        d->due = before + d->pause - age;
        return;
    }
    (void)dashboard_write(d->output, NULL, NULL, d->version, NULL);
    const double after = now_seconds(), long_pause = (after - before) * SHARE;
    d->pause = long_pause > EVERY_SECONDS ? long_pause : EVERY_SECONDS;
    d->due = after + d->pause;
}

void dashboard_end(dashboard *d)
{
    if (d->output)
        (void)dashboard_write(d->output, NULL, NULL, d->version, NULL);
    d->output = NULL;
}
