/* SPDX-License-Identifier: MIT
 * `cluster OUT --scale A..B`: other bounds for a manager that is at work. Both sides write one small file in OUT.run aside and rename it:
 *
 *     scale.json    what is asked for: {"least": 2, "most": 8, "at_us": …}; only of the manager's own user
 *     scaled.json   what holds: the same, and "kind": "scheduler", "local" or "runner" */
#include "cluster.h"
#include "cluster_status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_WORKERS 100000
#define WAIT_SECONDS 5 /* for the manager's word; a folder over a network may show it later */

bool parse_bounds(const char *text, int64_t *least, int64_t *most)
{
    const char *why = NULL;
    char copy[64];
    (void)snprintf(copy, sizeof copy, "%s", text);
    char *const dots = strstr(copy, "..");
    if (dots)
        *dots = '\0';
    const bool ok = parse_integer(copy, least, &why) && (!dots ? (*most = *least, true) : parse_integer(dots + 2, most, &why));
    return ok && *least >= 0 && *most >= 1 && *most >= *least && *most <= MOST_WORKERS;
}

static bool write_file(const char *output, const char *name, json_object *o, pel_error *err)
{
    char path[RUN_PATH], aside[RUN_PATH + 32], why[128];
    (void)snprintf(aside, sizeof aside, "%s.%ld.new", run_file(path, output, name), (long)getpid());
    char *const text = json_text(o, JSON_C_TO_STRING_PLAIN);
    const size_t n = text ? strlen(text) : 0;
    (void)unlink(aside);
    const int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && n > 0 && write(fd, text, n) == (ssize_t)n;
    const int number = errno;
    free(text);
    ok = fd >= 0 && close(fd) == 0 && ok && rename(aside, path) == 0;
    json_object_put(o);
    return ok || set_error(err, PEL_IO, "%s: cannot write: %s", path, strerror_r(fd < 0 ? number : errno, why, sizeof why));
}

/* Of this user's own file; NULL: there is none. */
static json_object *read_own(const char *output, const char *name)
{
    char path[RUN_PATH], text[512];
    struct stat st;
    const int fd = open(run_file(path, output, name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    const bool own = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid();
    const ssize_t n = own ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        (void)close(fd);
    if (n <= 0)
        return NULL;
    text[n] = '\0';
    return json_tokener_parse(text);
}

static json_object *bounds_json(int64_t least, int64_t most, int64_t at_us)
{
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "least", json_object_new_int64(least));
    json_object_object_add(o, "most", json_object_new_int64(most));
    json_object_object_add(o, "at_us", json_object_new_int64(at_us));
    return o;
}

/* ---- the manager's side ----------------------------------------------------------------------------------------------------- */

static void confirm(const cluster *c)
{
    static const char *const kinds[] = {"local", "scheduler", "runner"};
    pel_error err = {0};
    json_object *const o = bounds_json(c->least, c->most, c->scaled_us);
    json_object_object_add(o, "kind", json_object_new_string(kinds[c->kind]));
    if (!write_file(c->output, "scaled.json", o, &err))
        say(c->self, "%s", err.text);
}

/* What was asked of an earlier manager does not hold any more. */
void scale_begin(cluster *c)
{
    char path[RUN_PATH];
    (void)unlink(run_file(path, c->output, "scale.json"));
    confirm(c);
}

bool scale_hear(cluster *c)
{
    json_object *const o = read_own(c->output, "scale.json");
    const int64_t least = member_integer(o, "least"), most = member_integer(o, "most"), at_us = member_integer(o, "at_us");
    json_object_put(o);
    if (at_us == 0 || at_us == c->scaled_us || least < 0 || most < 1 || most < least || most > MOST_WORKERS)
        return false;
    c->scaled_us = at_us;
    c->least = least;
    c->most = most;
    say(c->self, "asked to keep %" PRId64 "..%" PRId64 " workers from now on", least, most);
    confirm(c);
    return true;
}

/* ---- who asks ------------------------------------------------------------------------------------------------------------------ */

static bool is_confirmed(const char *output, int64_t at_us)
{
    for (int i = 0; i < WAIT_SECONDS * 20; i++) {
        json_object *const o = read_own(output, "scaled.json");
        const bool same = member_integer(o, "at_us") == at_us;
        json_object_put(o);
        if (same)
            return true;
        (void)usleep(50000);
    }
    return false;
}

int scale_ask(const verb *self, const cluster_words *w)
{
    char path[RUN_PATH];
    struct stat st;
    struct timespec now = {0};
    pel_error err = {0};
    int64_t least = 0, most = 0;
    if (!parse_bounds(w->scale, &least, &most))
        return command_wrong(self, "--scale: found \"%s\", expected N or A..B", w->scale);
    const bool there = lstat(run_file(path, w->output, "manager.json"), &st) == 0;
    if (!there && errno == EACCES) {
        say(self, "%s: permission denied: only the user of its manager may scale it", path);
        return EXIT_USAGE;
    }
    if (!there || !cluster_is_alive(w->output)) {
        say(self, "%s: no manager is at work on it; `pellucid cluster %s --workers %s` starts one", w->output, w->output, w->scale);
        return EXIT_USAGE;
    }
    json_object *const o = read_own(w->output, "scaled.json");
    const bool by_jobs = strcmp(member_text(o, "kind"), "scheduler") == 0;
    json_object_put(o);
    if (st.st_uid != geteuid() || !by_jobs) {
        say(self, "%s: %s", w->output, st.st_uid != geteuid() ? "its manager is another user's: only that user may scale it"
                                                               : "its workers are not jobs of a scheduler: stop it, and start it with as many as you like");
        return EXIT_USAGE;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const int64_t at_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    if (!write_file(w->output, "scale.json", bounds_json(least, most, at_us), &err))
        return say_error(self, &err, false);
    const bool told = is_confirmed(w->output, at_us);
    if (!w->quiet)
        (void)fprintf(stderr, told ? "the manager keeps %" PRId64 "..%" PRId64 " workers from now on\n" : "asked for %" PRId64 "..%" PRId64 " workers; the manager has not said yes so far\n",
                      least, most);
    return EXIT_DONE;
}
