/* SPDX-License-Identifier: MIT
 * See workers.h. */
#include "run/workers.h"

#include "core/error.h"
#include "core/file.h"
#include "core/own_file.h"

#include <dirent.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ALIVE_SECONDS 120 /* what another host has not touched for this long is dead */
#define QUIET_SECONDS 15
#define MAX_TEXT ((size_t)1 << 20)

static bool worker_path(char *out, size_t size, const char *folder, pel_error *err)
{
    char name[160];
    pel__owner self;
    pel__owner_self(&self);
    (void)snprintf(name, sizeof name, "workers/%s,%lld,%s.json", self.host, (long long)self.pid, self.token);
    return pel__path_join(out, size, folder, name, err);
}

bool pel__worker_write(const char *folder, const char *json, pel_error *err)
{
    char path[PEL__PATH_MAX];
    const pel__piece piece[] = {{json, strlen(json)}, {"\n", 1}};
    return worker_path(path, sizeof path, folder, err) && pel__make_own_folder(folder, "workers", err) &&
           pel__file_replace(path, piece, 2, err);
}

void pel__worker_remove(const char *folder)
{
    char path[PEL__PATH_MAX];
    if (worker_path(path, sizeof path, folder, NULL))
        (void)unlink(path);
}

bool pel__worker_name(const char *name, char *host, size_t size, int64_t *pid)
{
    const char *const comma = strchr(name, ',');
    if (!comma || name[0] == '.')
        return false;
    (void)snprintf(host, size, "%.*s", (int)(comma - name), name);
    *pid = strtoll(comma + 1, NULL, 10);
    return true;
}

static bool read_owner(const char *path, pel__owner *out)
{
    char *text = NULL;
    size_t n = 0;
    json_object *v = NULL;
    if (!pel__file_slurp(&text, &n, path, MAX_TEXT, NULL))
        return false;
    json_object *const o = json_tokener_parse(text);
    const bool found = o && json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, "owner", &v) &&
                       json_object_is_type(v, json_type_string) && pel__owner_parse(out, json_object_get_string(v));
    json_object_put(o);
    free(text);
    return found;
}

/* Where it can be asked the process is; elsewhere the age of the file tells. */
bool pel__worker_alive(const char *path, const char *name)
{
    struct stat st;
    pel__owner owner, self;
    char host[256];
    int64_t pid = 0;
    if (!pel__worker_name(name, host, sizeof host, &pid) || stat(path, &st) != 0)
        return false;
    if (read_owner(path, &owner)) {
        const enum pel__life life = pel__owner_life(&owner);
        return life == PEL__FAR ? time(NULL) - st.st_mtime < ALIVE_SECONDS : life == PEL__ALIVE;
    }
    pel__owner_self(&self);
    if (strcmp(host, self.host) == 0)
        return pel__process_runs(pid);
    return time(NULL) - st.st_mtime < ALIVE_SECONDS;
}

/* A sign of life comes every two seconds; one that stays away, as that of a host that was lost, is worth saying. */
static void describe(char *out, size_t size, const char *path, const char *name)
{
    struct stat st;
    char host[256] = "";
    int64_t pid = 0;
    (void)pel__worker_name(name, host, sizeof host, &pid);
    const int64_t age = stat(path, &st) == 0 ? (int64_t)time(NULL) - st.st_mtime : 0;
    const int n = snprintf(out, size, "%s, process %lld", host, (long long)pid);
    if (age >= QUIET_SECONDS && n > 0 && (size_t)n < size)
        (void)snprintf(out + n, size - (size_t)n, ", last seen %lld s ago", (long long)age);
}

int32_t pel__workers_alive(char *out, size_t size, const char *folder)
{
    char workers[PEL__PATH_MAX], path[PEL__PATH_MAX];
    int32_t count = 0;
    out[0] = '\0';
    DIR *d = pel__path_join(workers, sizeof workers, folder, "workers", NULL) ? opendir(workers) : NULL;
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        if (!pel__path_join(path, sizeof path, workers, e->d_name, NULL) || !pel__worker_alive(path, e->d_name))
            continue;
        if (count++ == 0)
            describe(out, size, path, e->d_name);
    }
    if (d)
        (void)closedir(d);
    return count;
}

/* The token is the third word from the end of host-pid-token, whatever follows: looked for as such. */
static bool token_in(const char *name, char token[17])
{
    for (const char *at = strchr(name, '-'); at; at = strchr(at + 1, '-')) {
        const size_t n = strcspn(at + 1, "-.");
        if (!pel__is_token(at + 1, n))
            continue;
        (void)snprintf(token, 17, "%.16s", at + 1);
        return true;
    }
    return false;
}

bool pel__worker_keeps(void *folder, const char *name)
{
    char workers[PEL__PATH_MAX], path[PEL__PATH_MAX], token[17], end[32];
    bool kept = false;
    if (!token_in(name, token) || !pel__path_join(workers, sizeof workers, folder, "workers", NULL))
        return false;
    (void)snprintf(end, sizeof end, ",%s.json", token);
    DIR *d = opendir(workers);
    for (struct dirent *e = d ? readdir(d) : NULL; e && !kept; e = readdir(d)) {
        const size_t n = strlen(e->d_name);
        kept = n > strlen(end) && strcmp(e->d_name + n - strlen(end), end) == 0 &&
               pel__path_join(path, sizeof path, workers, e->d_name, NULL) && pel__worker_alive(path, e->d_name);
    }
    if (d)
        (void)closedir(d);
    return kept;
}
