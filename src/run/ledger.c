/* SPDX-License-Identifier: MIT
 * See ledger.h. In memory a job is two time stamps, a state and a count of failures: 21 bytes, so that a million
 * blocks cost 21 MB. */
#include "run/ledger.h"

#include "core/bytes.h"
#include "core/error.h"
#include "core/file.h"
#include "core/folders.h"
#include "core/own_file.h"
#include "core/owner.h"
#include "core/retry.h"
#include "core/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum state { UNKNOWN = 0, DONE = 1, FAILED = 2 };

struct pel__ledger {
    pthread_mutex_t mutex; /* the state below: the writing stage changes it while others look */
    char folder[PEL__PATH_MAX];
    int64_t jobs;
    pel__ledger_file *documents; /* of the latest record of them */
    int32_t document_count;
    int64_t documents_at_us;
    uint8_t *state;
    int32_t *attempts;
    int64_t *at_us, *failed_at_us; /* of the record that decides, of the last failure */
    pel__ledger_totals totals;
    bool repeated;         /* a job was finished twice: the totals count both */
    char run[PEL__DIGEST_TEXT];
    int64_t foreign, future; /* records that do not count */
    char last_error[sizeof(((pel_error *)NULL)->text)];
    int fd;    /* own file, -1 until the first record */
    bool torn; /* its last line is not whole */
    char path[PEL__PATH_MAX];
};

static int64_t now_us(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Whose records count, while they are read. */
typedef struct {
    const char *run;       /* "": those that name none */
    const uint8_t *wanted; /* by job, others are passed over; NULL: all */
    int64_t jobs, latest_us;
    int64_t foreign, future; /* found: of another run, later than latest_us */
} sieve;

/* No clock of a worker is a year ahead. One that is set back to 1970 is wrong, too. */
#define YEAR_US (INT64_C(366) * 86400 * 1000000)
#define PROGRAM_US INT64_C(1798761600000000) /* 2027-01-01 */

static sieve sieve_of(const char *run)
{
    return (sieve){.run = run, .latest_us = pel__max(now_us(), PROGRAM_US) + YEAR_US};
}

/* ---- reading one record -------------------------------------------------------------------------------------- */

static json_object *member(json_object *o, const char *name)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, name, &v) ? v : NULL;
}

static int64_t integer(json_object *o, const char *name)
{
    return json_object_get_int64(member(o, name));
}

static double number(json_object *o, const char *name)
{
    return json_object_get_double(member(o, name));
}

/* The JSON object of a line whose checksum holds, or NULL. `n` without the newline. */
static json_object *checked_line(const char *line, size_t n)
{
    if (n < 10 || line[8] != ' ')
        return NULL;
    char *end = NULL;
    char digits[9] = {0};
    memcpy(digits, line, 8);
    const unsigned long crc = strtoul(digits, &end, 16);
    if (*end != '\0' || (uint32_t)crc != pel__crc32c(0, line + 9, n - 9))
        return NULL;
    struct json_tokener *t = json_tokener_new();
    json_object *o = t ? json_tokener_parse_ex(t, line + 9, (int)(n - 9)) : NULL;
    if (t)
        json_tokener_free(t);
    if (o && !json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        o = NULL;
    }
    return o;
}

static void read_checksum(pel__ledger_file *file, json_object *v)
{
    if (json_object_is_type(v, json_type_string) && pel__digest_parse(&file->digest, json_object_get_string(v)))
        file->sum = PEL__SUM_XXH3;
    const int64_t n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
    if (n >= 0 && n <= UINT32_MAX) {
        file->sum = PEL__SUM_CRC32C;
        file->crc32c = (uint32_t)n;
    }
}

static double number_or_nan(json_object *v)
{
    return json_object_is_type(v, json_type_double) || json_object_is_type(v, json_type_int) ? json_object_get_double(v) : NAN;
}

static bool read_channels(json_object *o, pel__ledger_record *r)
{
    json_object *const list = member(o, "channels");
    const size_t n = list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    r->channels = n > 0 ? calloc(n, sizeof *r->channels) : NULL;
    for (size_t i = 0; r->channels && i < n; i++) {
        json_object *const pair = json_object_array_get_idx(list, i);
        for (size_t k = 0; k < 2; k++)
            r->channels[i][k] = json_object_is_type(pair, json_type_array) ? number_or_nan(json_object_array_get_idx(pair, k)) : NAN;
    }
    r->channel_count = (int32_t)n;
    return n == 0 || r->channels;
}

static bool read_files(json_object *o, pel__ledger_file **out, int32_t *count)
{
    json_object *list = member(o, "files");
    const size_t n = list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    pel__ledger_file *files = calloc(n + 1, sizeof *files);
    if (!files)
        return false;
    for (size_t i = 0; i < n; i++) {
        json_object *f = json_object_array_get_idx(list, i);
        if (!json_object_is_type(f, json_type_array) || json_object_array_length(f) != 3)
            continue;
        (void)snprintf(files[i].path, sizeof files[i].path, "%s", pel__text_or(json_object_get_string(json_object_array_get_idx(f, 0)), ""));
        files[i].bytes = json_object_get_int64(json_object_array_get_idx(f, 1));
        read_checksum(&files[i], json_object_array_get_idx(f, 2));
    }
    *out = files;
    *count = (int32_t)n;
    return true;
}

/* A ledger of another run in the place of ours has the same jobs and the same names. A time that nothing can be later than would
 * never be replaced. */
static bool counts(sieve *s, json_object *o)
{
    const bool foreign = strcmp(pel__text_or(json_object_get_string(member(o, "run")), ""), s->run) != 0, future = integer(o, "at") > s->latest_us;
    s->foreign += foreign;
    s->future += !foreign && future;
    return !foreign && !future;
}

/* Calls visit with the record of one line; lines that do not count are passed over. */
static bool visit_line(sieve *s, pel__ledger_visit *visit, void *arg, const char *line, size_t n, pel_error *err)
{
    json_object *o = checked_line(line, n);
    if (!o || !counts(s, o)) {
        json_object_put(o);
        return true;
    }
    pel__ledger_file *files = NULL;
    pel__ledger_record r = {.job = integer(o, "job"), .ok = json_object_get_boolean(member(o, "ok")),
                            .damaged = json_object_get_boolean(member(o, "damaged")),
                            .withdraw = json_object_get_boolean(member(o, "withdraw")),
                            .voxels = integer(o, "voxels"), .clipped = integer(o, "clipped"),
                            .minimum = number_or_nan(member(o, "min")), .maximum = number_or_nan(member(o, "max")), .mean = number(o, "mean"),
                            .seconds = number(o, "seconds"), .rss_bytes = integer(o, "rss"),
                            .attempt = (int32_t)integer(o, "attempt"), .at_us = integer(o, "at")};
    json_object *host = member(o, "host"), *error = member(o, "error");
    r.host = pel__text_or(json_object_get_string(host), "");
    r.error = pel__text_or(json_object_get_string(error), "");
    bool ok = read_files(o, &files, &r.file_count) && read_channels(o, &r);
    r.files = files;
    ok = ok ? visit(arg, &r, err) : pel__fail(err, PEL_NO_MEMORY, "ledger: no memory for a record");
    free(files);
    free(r.channels);
    json_object_put(o);
    return ok;
}

/* Told from the first letters of a record, as this program writes them: parsing the lines of 100,000 blocks takes seconds. */
static bool is_wanted(const sieve *s, const char *line, size_t n)
{
    static const char first[] = "{\"job\":";
    if (!s->wanted || n < 9 + sizeof first || memcmp(line + 9, first, sizeof first - 1) != 0)
        return true;
    const long long job = strtoll(line + 9 + sizeof first - 1, NULL, 10);
    return job < 0 || job >= s->jobs || s->wanted[job];
}

/* Every whole line of one ledger file. */
static bool visit_file(const char *path, sieve *s, pel__ledger_visit *visit, void *arg, pel_error *err)
{
    FILE *const f = pel__file_stream(path, err);
    if (!f)
        return false;
    char *line = NULL;
    size_t size = 0;
    ssize_t n = 0;
    bool ok = true;
    while (ok && (n = getline(&line, &size, f)) > 0) {
        if (line[n - 1] == '\n' && is_wanted(s, line, (size_t)n))
            ok = visit_line(s, visit, arg, line, (size_t)n - 1, err);
    }
    free(line);
    (void)fclose(f);
    return ok;
}

static bool visit_all(const char *folder, sieve *s, pel__ledger_visit *visit, void *arg, pel_error *err)
{
    DIR *d = opendir(folder);
    if (!d && errno == ENOTDIR)
        return pel__fail(err, PEL_IO, "%s: found a file, expected the folder of the ledger: put the folder back, or remove the file: what was done is done again", folder);
    if (!d)
        return errno == ENOENT || pel__fail_errno(err, errno, "%s: cannot open the ledger", folder);
    bool ok = true;
    for (struct dirent *e = readdir(d); ok && e; e = readdir(d)) {
        const size_t n = strlen(e->d_name);
        char path[PEL__PATH_MAX];
        if (n < 6 || strcmp(e->d_name + n - 6, ".jsonl") != 0)
            continue;
        ok = pel__path_join(path, sizeof path, folder, e->d_name, err) && visit_file(path, s, visit, arg, err);
    }
    (void)closedir(d);
    return ok;
}

/* ---- the state ------------------------------------------------------------------------------------------------- */

/* Records are files that others may have written: a total ends at the largest number and never shrinks. */
static void grow(int64_t *total, int64_t by)
{
    if (!pel__add(*total, pel__max(0, by), total))
        *total = INT64_MAX;
}

static void add_to_totals(pel__ledger *l, const pel__ledger_record *r)
{
    grow(&l->totals.voxels, r->voxels);
    grow(&l->totals.clipped, r->clipped);
    grow(&l->totals.damaged, r->damaged);
    l->totals.seconds += r->seconds;
    l->totals.rss_peak_bytes = pel__max(l->totals.rss_peak_bytes, r->rss_bytes);
    for (int32_t i = 0; i < r->file_count; i++)
        grow(&l->totals.bytes_written, r->files[i].bytes);
}

/* The order of reading does not matter: of the records that finish or withdraw a job the latest decides, a plain failure
 * counts only where nothing was ever finished. */
static void note(pel__ledger *l, const pel__ledger_record *r)
{
    if (r->job < 0 || r->job >= l->jobs)
        return;
    if (!r->ok) {
        l->attempts[r->job]++;
        l->failed_at_us[r->job] = pel__max(l->failed_at_us[r->job], r->at_us);
    }
    if ((r->ok || r->withdraw) && r->at_us >= l->at_us[r->job]) {
        l->at_us[r->job] = r->at_us;
        l->state[r->job] = r->ok ? DONE : FAILED;
    } else if (l->state[r->job] == UNKNOWN) {
        l->state[r->job] = FAILED;
    }
}

static bool note_documents(pel__ledger *l, const pel__ledger_record *r, pel_error *err)
{
    if (!r->ok || r->at_us < l->documents_at_us)
        return true;
    pel__ledger_file *const files = calloc((size_t)r->file_count + 1, sizeof *files);
    if (!files)
        return pel__fail(err, PEL_NO_MEMORY, "ledger: no memory for the names of %d documents", (int)r->file_count);
    if (r->file_count > 0)
        memcpy(files, r->files, (size_t)r->file_count * sizeof *files);
    free(l->documents);
    l->documents = files;
    l->document_count = r->file_count;
    l->documents_at_us = r->at_us;
    return true;
}

const pel__ledger_file *pel__ledger_documents(const pel__ledger *l, int32_t *count)
{
    *count = l->document_count;
    return l->documents;
}

static bool note_record(void *arg, const pel__ledger_record *r, pel_error *err)
{
    pel__ledger *l = arg;
    if (r->job == PEL__LEDGER_DOCUMENTS)
        return note_documents(l, r, err);
    if (r->job >= 0 && r->job < l->jobs && l->at_us[r->job] > 0 && (r->ok || r->withdraw))
        l->repeated = true;
    note(l, r);
    if (r->ok)
        add_to_totals(l, r);
    return true;
}

static bool total_record(void *arg, const pel__ledger_record *r, pel_error *err)
{
    if (r->ok)
        add_to_totals(arg, r);
    return true;
}

typedef struct {
    const pel__ledger *ledger;
    pel__ledger_visit *visit;
    void *arg;
} filter_arg;

/* Passes on the record that counts: of a finished job the one that finished it, of a failed one the last failure. */
static bool visit_current(void *arg, const pel__ledger_record *r, pel_error *err)
{
    const filter_arg *f = arg;
    const pel__ledger *l = f->ledger;
    if (r->job < 0 || r->job >= l->jobs || (l->state[r->job] == DONE) != r->ok ||
        r->at_us != (r->ok ? l->at_us[r->job] : l->failed_at_us[r->job]))
        return true;
    return f->visit(f->arg, r, err);
}

static bool each(const pel__ledger *l, const uint8_t *wanted, pel__ledger_visit *visit, void *arg, pel_error *err)
{
    filter_arg f = {.ledger = l, .visit = visit, .arg = arg};
    sieve s = sieve_of(l->run);
    s.wanted = wanted;
    s.jobs = l->jobs;
    return visit_all(l->folder, &s, visit_current, &f, err);
}

/* One pass; where a job was finished or withdrawn again a second one, since only then it is known which records count. */
static bool read_all(pel__ledger *l, const uint8_t *wanted, pel_error *err)
{
    sieve s = sieve_of(l->run);
    s.wanted = wanted;
    s.jobs = l->jobs;
    if (!visit_all(l->folder, &s, note_record, l, err))
        return false;
    l->foreign = s.foreign;
    l->future = s.future;
    if (!l->repeated)
        return true;
    l->totals = (pel__ledger_totals){0};
    return each(l, wanted, total_record, l, err);
}

bool pel__ledger_open(pel__ledger **out, const char *folder, const char *run, int64_t jobs, pel_error *err)
{
    return pel__ledger_open_some(out, folder, run, jobs, NULL, err);
}

bool pel__ledger_open_some(pel__ledger **out, const char *folder, const char *run, int64_t jobs, const uint8_t *wanted, pel_error *err)
{
    pel__ledger *l = calloc(1, sizeof *l);
    if (!l)
        return pel__fail(err, PEL_NO_MEMORY, "ledger: no memory");
    (void)pthread_mutex_init(&l->mutex, NULL);
    l->fd = -1;
    l->jobs = jobs;
    (void)snprintf(l->run, sizeof l->run, "%s", run);
    l->state = calloc((size_t)jobs + 1, sizeof *l->state);
    l->attempts = calloc((size_t)jobs + 1, sizeof *l->attempts);
    l->at_us = calloc((size_t)jobs + 1, sizeof *l->at_us);
    l->failed_at_us = calloc((size_t)jobs + 1, sizeof *l->failed_at_us);
    bool ok = l->state && l->attempts && l->at_us && l->failed_at_us;
    if (!ok)
        (void)pel__fail(err, PEL_NO_MEMORY, "ledger: no memory for %lld jobs", (long long)jobs);
    ok = ok && pel__path_join(l->folder, sizeof l->folder, folder, "ledger", err) &&
         read_all(l, wanted, err);
    if (!ok) {
        pel__ledger_close(l);
        return false;
    }
    *out = l;
    return true;
}

void pel__ledger_close(pel__ledger *l)
{
    if (!l)
        return;
    if (l->fd >= 0)
        (void)close(l->fd);
    (void)pthread_mutex_destroy(&l->mutex);
    free(l->state);
    free(l->attempts);
    free(l->at_us);
    free(l->failed_at_us);
    free(l->documents);
    free(l);
}

static uint8_t state_of(pel__ledger *l, int64_t job)
{
    (void)pthread_mutex_lock(&l->mutex);
    const uint8_t state = l->state[job];
    (void)pthread_mutex_unlock(&l->mutex);
    return state;
}

bool pel__ledger_done(pel__ledger *l, int64_t job) { return state_of(l, job) == DONE; }
bool pel__ledger_failed(pel__ledger *l, int64_t job) { return state_of(l, job) == FAILED; }

int32_t pel__ledger_attempts(pel__ledger *l, int64_t job)
{
    (void)pthread_mutex_lock(&l->mutex);
    const int32_t attempts = l->attempts[job];
    (void)pthread_mutex_unlock(&l->mutex);
    return attempts;
}

pel__ledger_totals pel__ledger_sums(pel__ledger *l)
{
    (void)pthread_mutex_lock(&l->mutex);
    const pel__ledger_totals totals = l->totals;
    (void)pthread_mutex_unlock(&l->mutex);
    return totals;
}

void pel__ledger_last_error(pel__ledger *l, char *out, size_t size)
{
    (void)pthread_mutex_lock(&l->mutex);
    (void)snprintf(out, size, "%s", l->last_error);
    (void)pthread_mutex_unlock(&l->mutex);
}

static int64_t count(pel__ledger *l, int64_t first, int64_t n, uint8_t state)
{
    int64_t found = 0;
    (void)pthread_mutex_lock(&l->mutex);
    for (int64_t i = first; i < first + n; i++)
        found += l->state[i] == state;
    (void)pthread_mutex_unlock(&l->mutex);
    return found;
}

int64_t pel__ledger_count_done(pel__ledger *l, int64_t first, int64_t n) { return count(l, first, n, DONE); }
int64_t pel__ledger_count_failed(pel__ledger *l, int64_t first, int64_t n) { return count(l, first, n, FAILED); }

bool pel__ledger_each(const pel__ledger *l, pel__ledger_visit *visit, void *arg, pel_error *err)
{
    return each(l, NULL, visit, arg, err);
}

void pel__ledger_ignored(const pel__ledger *l, int64_t *foreign, int64_t *future)
{
    *foreign = l->foreign;
    *future = l->future;
}

static bool visit_job(void *arg, const pel__ledger_record *r, pel_error *err)
{
    const filter_arg *f = arg;
    return r->job < 0 || f->visit(f->arg, r, err);
}

bool pel__ledger_all(const char *folder, const char *run, pel__ledger_visit *visit, void *arg, pel_error *err)
{
    char path[PEL__PATH_MAX];
    filter_arg f = {.visit = visit, .arg = arg};
    sieve s = sieve_of(run);
    return pel__path_join(path, sizeof path, folder, "ledger", err) && visit_all(path, &s, visit_job, &f, err);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void host_name(char *out, size_t size)
{
    if (gethostname(out, size - 1) != 0)
        (void)snprintf(out, size, "unknown");
    out[size - 1] = '\0';
}

/* A file whose name may not last is no use: the next record begins another. */
static bool open_own_file(pel__ledger *l, bool *lost, pel_error *err)
{
    char name[200], tag[PEL__TAG_MAX], run[PEL__PATH_MAX];
    (void)snprintf(run, sizeof run, "%.*s", (int)(strlen(l->folder) - strlen("/ledger")), l->folder);
    pel__owner_tag(tag, sizeof tag);
    (void)snprintf(name, sizeof name, "ledger/%s-%" PRId64 ".jsonl", tag, now_us());
    if (!pel__path_join(l->path, sizeof l->path, run, name, err))
        return false;
    l->fd = pel__open_own(run, name, O_WRONLY | O_CREAT | O_APPEND, err);
    if (l->fd >= 0 && pel__parents_sync(l->path, 3, lost, err))
        return true;
    if (l->fd >= 0) {
        (void)close(l->fd);
        (void)unlink(l->path);
        l->fd = -1;
    }
    return pel__where(err, "cannot create the ledger: ");
}

/* Of a file that was left out nothing, in a run without a number. */
static json_object *checksum_json(const pel__ledger_file *file, const char *run)
{
    char text[PEL__DIGEST_TEXT] = "";
    if (file->sum == PEL__SUM_CRC32C)
        return json_object_new_int64(file->crc32c);
    return json_object_new_string(file->sum == PEL__SUM_XXH3 && (file->bytes >= 0 || run[0]) ? pel__digest_text(&file->digest, text) : "");
}

static json_object *files_json(const pel__ledger_record *r, const char *run)
{
    json_object *list = json_object_new_array();
    for (int32_t i = 0; i < r->file_count; i++) {
        json_object *f = json_object_new_array();
        json_object_array_add(f, json_object_new_string(r->files[i].path));
        json_object_array_add(f, json_object_new_int64(r->files[i].bytes));
        json_object_array_add(f, checksum_json(&r->files[i], run));
        json_object_array_add(list, f);
    }
    return list;
}

static json_object *finite_or_null(double v)
{
    return isfinite(v) ? json_object_new_double(v) : NULL;
}

static json_object *channels_json(const pel__ledger_record *r)
{
    json_object *const list = json_object_new_array();
    for (int32_t i = 0; i < r->channel_count; i++) {
        json_object *const pair = json_object_new_array();
        json_object_array_add(pair, finite_or_null(r->channels[i][0]));
        json_object_array_add(pair, finite_or_null(r->channels[i][1]));
        json_object_array_add(list, pair);
    }
    return list;
}

static json_object *record_json(const pel__ledger_record *r, const char *run, const char *host)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "job", json_object_new_int64(r->job));
    if (run[0])
        json_object_object_add(o, "run", json_object_new_string(run));
    json_object_object_add(o, "at", json_object_new_int64(r->at_us));
    json_object_object_add(o, "host", json_object_new_string(host));
    json_object_object_add(o, "pid", json_object_new_int64(getpid()));
    json_object_object_add(o, "attempt", json_object_new_int(r->attempt));
    json_object_object_add(o, "ok", json_object_new_boolean(r->ok));
    if (!r->ok) {
        json_object_object_add(o, "error", json_object_new_string(r->error));
        if (r->withdraw)
            json_object_object_add(o, "withdraw", json_object_new_boolean(true));
        return o;
    }
    json_object_object_add(o, "files", files_json(r, run));
    json_object_object_add(o, "voxels", json_object_new_int64(r->voxels));
    json_object_object_add(o, "clipped", json_object_new_int64(r->clipped));
    if (r->damaged)
        json_object_object_add(o, "damaged", json_object_new_boolean(true));
    json_object_object_add(o, "min", finite_or_null(r->minimum));
    json_object_object_add(o, "max", finite_or_null(r->maximum));
    if (r->channel_count > 0)
        json_object_object_add(o, "channels", channels_json(r));
    json_object_object_add(o, "mean", json_object_new_double(r->mean));
    json_object_object_add(o, "seconds", json_object_new_double(r->seconds));
    json_object_object_add(o, "rss", json_object_new_int64(r->rss_bytes));
    return o;
}

/* A write that was cut short goes on where it stopped: the file is this process's alone. */
static bool write_all(pel__ledger *l, const char *p, size_t left, pel_error *err)
{
    pel__retry again = {0};
    while (left > 0) {
        const ssize_t k = write(l->fd, p, left);
        if (k < 0 && pel__try_again(&again, errno))
            continue;
        if (k <= 0)
            return pel__fail_errno(err, k < 0 ? errno : ENOSPC, "%s: cannot write the ledger", l->path);
        l->torn = true;
        p += k;
        left -= (size_t)k;
    }
    l->torn = false;
    return true;
}

/* Records in a file that has no name any more would be lost with the process. */
static bool has_name(const pel__ledger *l, pel_error *err)
{
    struct stat st;
    if (fstat(l->fd, &st) != 0)
        return pel__fail_errno(err, errno, "%s: cannot look at the ledger", l->path);
    return st.st_nlink > 0 || pel__fail(err, PEL_IO, "%s: was removed while the run worked; begin anew with another output, or remove what is there", l->path);
}

/* Mostly one write() a record; the checksum finds it torn after a crash. What a failed write left of a line is ended first,
 * so that it does not take the next one along. */
static bool append_line(pel__ledger *l, const char *json, bool *lost, pel_error *err)
{
    const size_t n = strlen(json), size = n + 12;
    char *line = malloc(size);
    if (!line)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory for a record", l->path);
    const int k = snprintf(line, size, "%s%08x %s\n", l->torn ? "\n" : "", (unsigned)pel__crc32c(0, json, n), json);
    const bool ok = write_all(l, line, (size_t)k, err);
    free(line);
    if (ok && fdatasync(l->fd) != 0) {
        *lost = pel__passes(errno);
        return pel__fail_errno(err, errno, "%s: cannot sync the ledger", l->path);
    }
    return ok && has_name(l, err);
}

/* *lost: the record may not be on the disk, for a reason that passes. */
static bool append_record(pel__ledger *l, const pel__ledger_record *r, bool *lost, pel_error *err)
{
    if (l->fd < 0 && !open_own_file(l, lost, err))
        return false;
    char host[64] = "";
    host_name(host, sizeof host);
    json_object *o = record_json(r, l->run, host);
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    const bool ok = text ? append_line(l, text, lost, err) : pel__fail(err, PEL_NO_MEMORY, "%s: no memory", l->path);
    json_object_put(o);
    return ok;
}

bool pel__ledger_append(pel__ledger *l, const pel__ledger_record *record, pel_error *err)
{
    pel__ledger_record r = *record;
    const int64_t before = r.job < 0 ? l->documents_at_us : pel__max(l->at_us[r.job], l->failed_at_us[r.job]);
    r.at_us = before;
    pel__retry again = {0};
    bool ok = false, lost = false;
    do { /* a record that is written again is a later one: it alone counts */
        lost = false;
        r.at_us = pel__max(now_us(), r.at_us + 1); /* a clock set back must not make an old record win */
        ok = append_record(l, &r, &lost, err);
    } while (!ok && lost && pel__try_again(&again, EIO));
    if (r.job == PEL__LEDGER_DOCUMENTS)
        return ok && note_documents(l, &r, err);
    (void)pthread_mutex_lock(&l->mutex);
    if (ok)
        note(l, &r);
    if (ok && r.ok)
        add_to_totals(l, &r);
    if (!r.ok)
        (void)snprintf(l->last_error, sizeof l->last_error, "%s", r.error);
    (void)pthread_mutex_unlock(&l->mutex);
    return ok;
}
