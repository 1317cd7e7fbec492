/* SPDX-License-Identifier: MIT
 * What a run reads and what it writes must not be the same: input, output and the folder of its state are compared by where
 * they lead, before anything is touched. Names that promise something else than an OME-Zarr are refused here, too. */
#include "core/bytes.h"
#include "core/error.h"
#include "core/inside.h"
#include "core/location.h"
#include "run/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_PLACES 1024 /* of an input: files of a set, arrays of a store */

/* ---- apart ------------------------------------------------------------------------------------------------------- */

static const char *words_of(enum pel__relation r)
{
    static const char *const words[] = {[PEL__SAME] = "is", [PEL__INSIDE] = "lies in", [PEL__AROUND] = "holds"};
    return words[r];
}

/* Of the output or the state, called `name`, against one place of the input. */
static bool apart_from_input(const pel__location *l, const char *what, const char *name, const char *place, pel_error *err)
{
    pel__location in;
    if (strstr(place, "://") ? !pel__location_of_url(&in, place, err) : !pel__location_find(&in, place, err))
        return false;
    const enum pel__relation r = pel__location_relation(l, &in);
    return r == PEL__APART || pel__fail(err, PEL_REFUSED, "%s %s: %s the input, %s: nothing was touched; give another path", what, name,
                                        words_of(r), place);
}

static bool find_output(pel__location *out, const pel_run *run, pel_error *err)
{
    char url[PEL__PATH_MAX] = "";
    return run->sink_type->address(run->output, run->remote, url, sizeof url, err) &&
           (url[0] ? pel__location_of_url(out, url, err) : pel__location_find(out, run->output, err));
}

bool pel_source_apart(const pel_source *source, const char *path, const pel_remote *remote, pel_error *err)
{
    static const pel_remote nobody = {0};
    pel__location own;
    char place[PEL__PATH_MAX];
    if (!source || !path)
        return pel__fail(err, PEL_ARGUMENT, "no source or no path");
    if (!pel__location_find(&own, path, err))
        return false;
    for (int64_t i = 0; source->type->place && i < MOST_PLACES && source->type->place(source, i, remote ? remote : &nobody, place, sizeof place); i++)
        if (place[0] && !apart_from_input(&own, "file", path, place, err))
            return false;
    return true;
}

bool pel__run_check_apart(const pel_run *run, pel_error *err)
{
    const pel__source_type *const type = run->source->type;
    pel__location output, state;
    char place[PEL__PATH_MAX];
    if (!find_output(&output, run, err) || !pel__location_find(&state, run->folder, err))
        return false;
    for (int64_t i = 0; type->place && i < MOST_PLACES && type->place(run->source, i, run->remote, place, sizeof place); i++) {
        if (place[0] && (!apart_from_input(&output, "output", run->output, place, err) ||
                         !apart_from_input(&state, "state", run->folder, place, err)))
            return false;
    }
    return true;
}

/* ---- what stands there ---------------------------------------------------------------------------------------- */

/* Of a folder that is to be written to: a link that leads nowhere is mostly a disk that is not mounted; a file is somebody's. */
static bool check_stands(const char *what, const char *path, pel_error *err)
{
    char bare[PEL__PATH_MAX], target[PEL__PATH_MAX];
    struct stat st;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    (void)snprintf(bare, sizeof bare, "%.*s", (int)n, path);
    if (stat(bare, &st) == 0)
        return S_ISDIR(st.st_mode) || pel__fail(err, PEL_REFUSED, "%s %s: found a file, expected a folder or nothing: move it away, or give another path", what, path);
    const ssize_t k = readlink(bare, target, sizeof target - 1);
    if (k < 0)
        return true;
    target[k] = '\0';
    pel__location l;
    if (pel__location_find(&l, path, NULL) && !pel__location_has_parent(&l, path, err))
        return pel__where(err, "%s %s: found a symbolic link to %s, which does not exist: ", what, path, target);
    return pel__fail(err, PEL_REFUSED, "%s %s: found a symbolic link to %s, which does not exist: make that folder (is its disk mounted?), or remove the link", what,
                     path, target);
}

bool pel__run_check_stands(const pel_run *run, pel_error *err)
{
    return (strstr(run->output, "://") || check_stands("output", run->output, err)) && check_stands("state", run->folder, err);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static bool check_name(const char *output, pel_error *err)
{
    static const char *const files[] = {".czi", ".tif", ".tiff", ".btf", ".lsm", ".stk", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".h5",
                                        ".hdf5", ".ims", ".nd2", ".lif", ".n5", ".npy", ".mrc", ".nii", ".zip", ".gz", ".html", ".json", ".txt"};
    size_t n = strlen(output);
    if (strcmp(output, "-") == 0)
        return pel__fail(err, PEL_ARGUMENT, "'-': an OME-Zarr is a folder and cannot go to standard output: give a name such as NAME.ome.zarr");
    while (n > 1 && output[n - 1] == '/')
        n--;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const size_t m = strlen(files[i]);
        if (n > m && strncasecmp(output + n - m, files[i], m) == 0)
            return pel__fail(err, PEL_ARGUMENT, "%s: an OME-Zarr would be written, which is no %s file: give a name such as NAME.ome.zarr", output,
                             files[i]);
    }
    return true;
}

/* ---- the state's folder ------------------------------------------------------------------------------------------- */

/* The first name in a folder that does not begin as those of a run's files, one that lost its plan or has none yet; "" where
 * there is none. */
static bool stranger(char *name, size_t size, const char *folder, pel_error *err)
{
    static const char *const ours[] = {"lock", ".tmp-", "log", "ledger", "workers", "status.json", "index.html", "jobs", "manager", "verdicts"};
    DIR *const d = opendir(folder);
    name[0] = '\0';
    if (!d && errno == ENOENT)
        return true;
    if (!d)
        return pel__fail(err, PEL_REFUSED, "state %s: found a file or a folder that cannot be read, expected no folder or one of a run", folder);
    const struct dirent *e;
    while (!name[0] && (e = readdir(d))) { /* one thread a stream: safe. NOLINT(concurrency-mt-unsafe) */
        bool known = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
            known = known || strncmp(e->d_name, ours[i], strlen(ours[i])) == 0;
        if (!known)
            (void)snprintf(name, size, "%s", e->d_name);
    }
    (void)closedir(d);
    return true;
}

/* Neither the output nor the books of a run lie among those of another. `own`: the folder that is the run's. */
static bool check_no_run(const char *what, const char *path, const char *own, pel_error *err)
{
    pel__location a, b;
    char folder[PEL__PATH_MAX];
    if (strstr(path, "://") || !pel__inside_run(folder, sizeof folder, path))
        return true;
    if (!pel__location_find(&a, folder, err) || !pel__location_find(&b, own, err))
        return false;
    return pel__location_relation(&a, &b) == PEL__SAME || pel__fail(err, PEL_REFUSED, "%s %s: lies in the folder of another run, %s: give a path outside", what, path, folder);
}

static bool check_state(const pel_run *run, const pel__location *state, const pel__location *output, pel_error *err)
{
    const enum pel__relation r = pel__location_relation(state, output);
    char name[256], plan[PEL__PATH_MAX], store[PEL__PATH_MAX];
    struct stat st;
    if (!check_no_run("state", run->folder, run->folder, err))
        return false;
    if (r != PEL__APART)
        return pel__fail(err, PEL_REFUSED, "state %s: %s the output %s: give a folder beside it with --state", run->folder, words_of(r), run->output);
    if (run->sink_type->around(run->folder, store, sizeof store))
        return pel__fail(err, PEL_REFUSED, "state %s: lies in a Zarr store, %s: give a folder outside with --state", run->folder, store);
    if (!pel__location_has_parent(state, run->folder, err) || !pel__path_join(plan, sizeof plan, run->folder, "plan.json", err))
        return false;
    if (stat(plan, &st) == 0)
        return true;
    return stranger(name, sizeof name, run->folder, err) &&
           (!name[0] || pel__fail(err, PEL_REFUSED, "state %s: holds %.100s and no plan.json, so it is not the folder of a run: give another with --state",
                                  run->folder, name));
}

/* What exists must let us make names in it. */
static bool check_writable(const pel__location *l, const char *path, pel_error *err)
{
    return l->address || faccessat(AT_FDCWD, l->there, W_OK | X_OK, AT_EACCESS) == 0 ||
           pel__fail(err, PEL_REFUSED, "%s: nothing may be written in %s: %s", path, l->there, errno == EROFS ? "it is read-only" : "no permission");
}

bool pel__run_check_names(const pel_run *run, pel_error *err)
{
    pel__location output, state;
    return check_name(run->output, err) && check_no_run("output", run->output, run->folder, err) && find_output(&output, run, err) && pel__location_has_parent(&output, run->output, err) &&
           pel__location_find(&state, run->folder, err) && check_state(run, &state, &output, err) && check_writable(&output, run->output, err) &&
           check_writable(&state, run->folder, err);
}

/* ---- room on the disk ---------------------------------------------------------------------------------------------- */

#define PRESSED 20 /* times: better than images of any camera are compressed */
#define RECORD 256 /* bytes of a ledger record, at least */
#define BOOKS 10   /* files and folders among the books of a run, at least */

/* The folder of the state may lie on another disk than the output. */
static bool check_room_of_books(const pel_run *run, const pel__plan *plan, pel_error *err)
{
    int64_t bytes_free = 0, files_free = 0;
    pel__free_at(run->folder, &bytes_free, &files_free);
    if (bytes_free >= 0 && bytes_free / RECORD < plan->job_count)
        return pel__fail(err, PEL_REFUSED, "%s: no room: %lld KiB are free there, the run keeps at least %lld KiB there: make room, name another folder (--state), or take larger blocks (--block)",
                         run->folder, (long long)(bytes_free >> 10), (long long)pel__ceil_div(plan->job_count, 1024 / RECORD));
    return files_free < 0 || files_free >= BOOKS ||
           pel__fail(err, PEL_REFUSED, "%s: no room: %lld more files can be made there, the run keeps at least %d: make room, or name another folder (--state)", run->folder,
                     (long long)files_free, BOOKS);
}

bool pel__run_check_room(const pel_run *run, const pel__plan *plan, pel_error *err)
{
    int64_t bytes = 0, files = 0, bytes_free = 0, files_free = 0;
    pel__run_needs(run, plan, &bytes, &files);
    pel__run_free(run, &bytes_free, &files_free);
    if (bytes_free >= 0 && bytes / PRESSED > bytes_free)
        return pel__fail(err, PEL_REFUSED, "%s: no room: %lld MiB are free there, the output has %lld MiB before compression", run->output,
                         (long long)(bytes_free >> 20), (long long)(bytes >> 20));
    if (files_free >= 0 && files / PRESSED > files_free)
        return pel__fail(err, PEL_REFUSED, "%s: no room: %lld more files can be made there, the output has %lld: take larger blocks (--block)",
                         run->output, (long long)files_free, (long long)files);
    return check_room_of_books(run, plan, err);
}

/* ---- beginning anew ------------------------------------------------------------------------------------------------ */

static const char *text_of(json_object *o, const char *name)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

/* Does the store say that the run of this plan made it? */
static bool is_made_by(const pel__sink_type *type, const pel__sink_spec *spec, const json_object *document, bool *made, pel_error *err)
{
    char *text = NULL;
    json_object *v = NULL;
    if (!type->provenance(spec, &text, err))
        return false;
    json_object *const o = text ? json_tokener_parse(text) : NULL;
    *made = o && json_object_object_get_ex(document, "created", &v) && strcmp(text_of(o, "created"), json_object_get_string(v)) == 0 &&
            strcmp(text_of(o, "command"), pel__document_text(document, "request", "command")) == 0;
    json_object_put(o);
    free(text);
    return true;
}

/* What the folder of a run speaks for may have been moved away since, and other data be in its place. */
static bool check_made(const pel_run *run, const json_object *document, const char *found, pel_error *err)
{
    const pel__sink_spec spec = {.path = run->output, .remote = run->remote};
    bool made = false;
    if (strcmp(pel__document_text(document, "place", "output"), run->place) != 0)
        return pel__fail(err, PEL_REFUSED, "%s: holds the books of a run with another output: they are not removed", run->folder);
    if (!found[0])
        return true;
    return is_made_by(run->sink_type, &spec, document, &made, err) &&
           (made || pel__fail(err, PEL_REFUSED, "%s: exists (it holds %.100s), but does not say that the run of %s made it: it is not removed. Move it away, "
                                                "or remove it yourself", run->output, found, run->folder));
}

/* What no run of ours made stays. */
bool pel__run_check_ours(const pel_run *run, pel_error *err)
{
    char found[200] = "";
    const pel__sink_spec spec = {.path = run->output, .remote = run->remote};
    json_object *document = NULL;
    if (!run->sink_type->first(&spec, found, sizeof found, err))
        return false;
    const bool known = pel__document_load(&document, run->folder, NULL);
    const bool ok = known ? check_made(run, document, found, err)
                          : !found[0] || pel__fail(err, PEL_REFUSED, "%s: exists (it holds %.100s), and no run of pellucid belongs to it: it is not removed",
                                                   run->output, found);
    json_object_put(document);
    return ok;
}
