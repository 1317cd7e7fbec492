/* SPDX-License-Identifier: MIT
 * See submissions.h. */
#include "submissions.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_JOBS 1000000 /* of one submission: more is not believed */

/* ---- in memory ------------------------------------------------------------------------------------------------------------- */

void submissions_clear(submissions *s)
{
    for (int64_t i = 0; i < s->count; i++)
        free(s->list[i].tasks);
    free(s->list);
    *s = (submissions){0};
}

submission *submissions_add(submissions *s, const submission *one)
{
    if (s->count == s->size) {
        submission *const p = realloc(s->list, (size_t)(s->size * 2 + 16) * sizeof *p);
        if (!p)
            return NULL;
        s->list = p;
        s->size = s->size * 2 + 16;
    }
    uint8_t *const tasks = calloc((size_t)one->set.jobs, 1);
    if (!tasks)
        return NULL;
    s->list[s->count] = *one;
    s->list[s->count].tasks = tasks;
    return &s->list[s->count++];
}

submission *submissions_find(const submissions *s, const char *scheduler, const char *id)
{
    for (int64_t i = s->count - 1; i >= 0 && id[0]; i--)
        if (strcmp(s->list[i].id, id) == 0 && strcmp(s->list[i].scheduler, scheduler) == 0)
            return &s->list[i];
    return NULL;
}

static submission *find_name(const submissions *s, const char *scheduler, const char *name)
{
    for (int64_t i = s->count - 1; i >= 0 && name[0]; i--)
        if (strcmp(s->list[i].name, name) == 0 && strcmp(s->list[i].scheduler, scheduler) == 0)
            return &s->list[i];
    return NULL;
}

int64_t submissions_alive(const submissions *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->count; i++)
        n += s->list[i].set.over ? 0 : s->list[i].set.alive;
    return n;
}

/* An array of which one line without an index tells: all of it that is not known otherwise. */
void submission_mark(submission *s, int64_t index, enum task_state state)
{
    const bool all = index == 0 && s->set.jobs > 1;
    const int64_t first = all || index == 0 ? 0 : index - 1, last = all ? s->set.jobs : first + 1;
    for (int64_t i = first; i < last && i < s->set.jobs && !(all && state == TASK_ENDED); i++)
        if (!all || (s->tasks[i] & TASK_STATE) == TASK_UNKNOWN)
            s->tasks[i] = (uint8_t)((s->tasks[i] & ~TASK_STATE) | state);
}

void submission_forget_listed(submission *s)
{
    s->unknown = false;
    for (int64_t i = 0; i < s->set.jobs; i++)
        if ((s->tasks[i] & TASK_STATE) != TASK_ENDED)
            s->tasks[i] &= TASK_LEAVES;
}

scaling_facts submission_facts(const submission *s)
{
    scaling_facts f = {.unknown = s->unknown};
    for (int64_t i = 0; i < s->set.jobs; i++) {
        const int state = s->tasks[i] & TASK_STATE;
        f.alive += state == TASK_RESTS || state == TASK_RUNS;
        f.ended += state == TASK_ENDED;
    }
    return f;
}

/* ---- the file ---------------------------------------------------------------------------------------------------------------- */

static void copy(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text);
}

static bool is_plain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return text[strspn(text, letters)] == '\0';
}

/* {"state": "asked"} before, {"id": "12"} after, {"state": "refused"}, "cancelled" or "over" at the end; the name binds them. */
static bool take_line(submissions *s, json_object *o, bool only_workers, int64_t now)
{
    const char *const id = member_text(o, "id"), *const state = member_text(o, "state"), *const name = member_text(o, "name");
    const char *const scheduler = member_text(o, "scheduler");
    const int64_t jobs = member_integer(o, "jobs"), age = (int64_t)time(NULL) - member_integer(o, "at");
    if (!is_plain(name) || id[strspn(id, "0123456789")] != '\0' || strlen(id) >= sizeof s->list->id || (only_workers && !member_integer(o, "workers")))
        return true;
    submission *known = find_name(s, scheduler, name);
    if (known && known->id[0] && id[0] && strcmp(known->id, id) != 0) /* a name that was taken twice */
        known = NULL;
    if (!known && id[0])
        known = submissions_find(s, scheduler, id);
    if (strcmp(state, "over") == 0 || strcmp(state, "refused") == 0) {
        if (known)
            known->set.over = known->over_noted = true;
        return true;
    }
    if (known && strcmp(state, "cancelled") == 0) /* the scheduler knew it */
        known->set.seen = true;
    if (!known && (id[0] || strcmp(state, "asked") == 0)) {
        submission one = {.workers = member_integer(o, "workers") != 0, .set = scaling_sent(jobs < 1 || jobs > MOST_JOBS ? 1 : jobs, now - (age > 0 ? age : 0))};
        copy(one.scheduler, sizeof one.scheduler, scheduler);
        copy(one.name, sizeof one.name, name);
        known = submissions_add(s, &one);
        if (!known)
            return false;
    }
    if (known && id[0]) {
        copy(known->id, sizeof known->id, id);
        known->set.sure = true;
    }
    return true;
}

bool submissions_load(submissions *out, const char *output, bool only_workers, int64_t now)
{
    char *line = NULL;
    size_t size = 0;
    bool ok = true;
    *out = (submissions){0};
    FILE *const f = run_read(output, "jobs.jsonl");
    while (ok && f && getline(&line, &size, f) > 0) {
        json_object *const o = json_tokener_parse(line);
        ok = !json_object_is_type(o, json_type_object) || take_line(out, o, only_workers, now);
        json_object_put(o);
    }
    free(line);
    if (f)
        (void)fclose(f);
    return ok;
}

/* A line that a killed process left torn is ended first. */
static bool append(int fd, const char *line)
{
    char last = '\n';
    const off_t end = lseek(fd, 0, SEEK_END);
    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n' && write(fd, "\n", 1) != 1)
        return false;
    const size_t n = strlen(line);
    return write(fd, line, n) == (ssize_t)n && fsync(fd) == 0;
}

bool submission_note(const char *output, const submission *s, enum submission_event event, pel_error *err)
{
    static const char *const states[] = {", \"state\": \"asked\"", "", ", \"state\": \"refused\"", ", \"state\": \"over\"", ", \"state\": \"cancelled\""};
    char path[RUN_PATH], line[512], why[128];
    const int fd = run_open(output, "jobs.jsonl", O_RDWR | O_CREAT | O_APPEND, err);
    if (fd < 0)
        return false;
    (void)snprintf(line, sizeof line, "{\"scheduler\": \"%s\", \"id\": \"%s\", \"jobs\": %" PRId64 ", \"workers\": %s, \"at\": %lld, \"name\": \"%s\"%s}\n",
                   s->scheduler, s->id, s->set.jobs, s->workers ? "true" : "false", (long long)time(NULL), s->name, states[event]);
    const bool ok = append(fd, line);
    const int number = errno;
    (void)close(fd);
    return ok || set_error(err, PEL_IO, "%s: cannot write: %s", run_file(path, output, "jobs.jsonl"), strerror_r(number, why, sizeof why));
}

/* ---- names ------------------------------------------------------------------------------------------------------------------- */

/* FNV-1a of the path, in letters that every scheduler takes. */
static void run_word(char out[8], const char *output)
{
    static const char letters[] = "abcdefghijkmnopqrstuvwxyz2345678";
    uint64_t h = 0xcbf29ce484222325U;
    for (const char *p = output; *p; p++)
        h = (h ^ (unsigned char)*p) * 0x100000001b3U;
    h ^= h >> 32;
    for (int i = 0; i < 7; i++, h /= 32)
        out[i] = letters[h % 32];
    out[7] = '\0';
}

void submission_name(char *out, size_t size, int most, const char *name, const char *output, const submissions *all)
{
    char word[8], number[24];
    int64_t next = all->count + 1;
    run_word(word, output);
    for (bool taken = true; taken; next++) {
        const int n = snprintf(number, sizeof number, "-%s-%" PRId64, word, next), room = most - n;
        (void)snprintf(out, size, "%.*s%s", room > 1 ? room : 1, name, number);
        taken = false;
        for (int64_t i = 0; i < all->count; i++)
            taken = taken || strcmp(all->list[i].name, out) == 0;
    }
}
