/* SPDX-License-Identifier: MIT
 * See config_dask.h. */
#include "config_dask.h"
#include "options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { SAME, WALLTIME, SECONDS, ACCOUNT, LINES, PROCESSES, NOTE, REFUSE };

/* Words of dask-jobqueue as of today and as they once were, with dashes. ours: an option, or what is said instead. */
static const struct {
    const char *theirs;
    enum kind kind;
    const char *ours;
} words[] = {
    {"walltime", WALLTIME, "time"},
    {"death-timeout", SECONDS, "worker-timeout"},
    {"local-directory", SAME, "worker-scratch"},
    {"n-workers", SAME, "workers"},
    {"account", ACCOUNT, "directive"},
    {"project", ACCOUNT, "directive"},
    {"job-extra-directives", LINES, "directive"},
    {"job-extra", LINES, "directive"},
    {"job-directives-skip", LINES, "without"},
    {"header-skip", LINES, "without"},
    {"job-script-prologue", LINES, "prologue"},
    {"env-extra", LINES, "prologue"},
    {"processes", PROCESSES, "a job is one process with all its cores: say \"cores\""},
    {"job-cpu", REFUSE, "say \"cores\", and \"without\" and \"directive\" where the scheduler wants another number"},
    {"job-mem", REFUSE, "say \"memory\", and \"without\" and \"directive\" where the scheduler wants another number"},
    {"resource-spec", REFUSE, "say it as \"directive\", and \"without\" for the line that it replaces"},
    {"log-directory", REFUSE, "logs lie in OUT.run/log; \"directive\" adds a line of its own"},
    {"job-script-epilogue", REFUSE, "a job ends with its program"},
    {"worker-extra-args", REFUSE, "these are words of Dask's worker"},
    {"extra", REFUSE, "these are words of Dask's worker"},
    {"minimum", REFUSE, "say \"workers\": \"2..16\""},
    {"maximum", REFUSE, "say \"workers\": \"2..16\""},
    {"minimum-jobs", REFUSE, "say \"workers\": \"2..16\""},
    {"maximum-jobs", REFUSE, "say \"workers\": \"2..16\""},
    {"scheduler-options", NOTE, "the page is OUT.run/index.html, and \"interface\" and \"port\" are words of their own"},
    {"dashboard-address", NOTE, "the page is OUT.run/index.html"},
    {"shared-temp-directory", NOTE, "keys lie in OUT.run"},
    {"shebang", NOTE, "scripts begin with #!/bin/sh"},
    {"python", NOTE, "no Python is needed"},
    {"nanny", NOTE, "the manager watches its workers"},
    {"protocol", NOTE, "\"tls\": true encrypts"},
    {"security", NOTE, "\"tls\": true encrypts"},
    {"disk", NOTE, "blocks go to the output, not to the nodes"},
    {"silence-logs", NOTE, "\"quiet\": true says less"},
    {"config-name", NOTE, "--config names the file"},
    {"use-stdin", NOTE, "each scheduler is given its script in its own way"},
};

/* What says on whose account a job runs, for schedulers that have a word for it. */
static const char *account_line(const char *scheduler)
{
    static const char *const lines[][2] = {{"slurm", "--account="}, {"pbs", "-A "}, {"torque", "-A "}, {"sge", "-P "}, {"lsf", "-P "}};
    for (int i = 0; i < COUNT(lines); i++)
        if (scheduler && strcmp(lines[i][0], scheduler) == 0)
            return lines[i][1];
    return NULL;
}

typedef struct {
    const verb *self;
    const char *path, *scheduler;
    json_object *out;
    pel_error *err;
} translation;

static bool refuse(const translation *t, const char *theirs, const char *why)
{
    return set_error(t->err, PEL_ARGUMENT, "%.200s: \"%.60s\" of dask-jobqueue: %.160s", t->path, theirs, why);
}

/* Lists add up, other values are replaced. */
static void give(const translation *t, const char *name, json_object *value)
{
    json_object *list = NULL;
    const bool many = strcmp(name, "directive") == 0 || strcmp(name, "without") == 0 || strcmp(name, "prologue") == 0;
    if (!many) {
        json_object_object_add(t->out, name, value);
        return;
    }
    if (!json_object_object_get_ex(t->out, name, &list) || !json_object_is_type(list, json_type_array)) {
        json_object *const first = list ? json_object_get(list) : NULL;
        list = json_object_new_array();
        if (first)
            json_object_array_add(list, first);
        json_object_object_add(t->out, name, list);
    }
    if (!json_object_is_type(value, json_type_array)) {
        json_object_array_add(list, value);
        return;
    }
    for (size_t i = 0; i < json_object_array_length(value); i++)
        json_object_array_add(list, json_object_get(json_object_array_get_idx(value, i)));
    json_object_put(value);
}

static bool give_text(const translation *t, const char *name, const char *before, const char *text, const char *after)
{
    char line[1024];
    if (snprintf(line, sizeof line, "%s%s%s", before, text, after) >= (int)sizeof line)
        return refuse(t, name, "too long");
    give(t, name, json_object_new_string(line));
    return true;
}

static bool give_account(const translation *t, const char *theirs, const char *account)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/@+";
    const char *const line = account_line(t->scheduler);
    if (!line)
        return refuse(t, theirs, "say it as \"directive\" in this scheduler's words");
    if (account[strspn(account, letters)])
        return refuse(t, theirs, "expected letters, digits and _-.:/@+");
    return give_text(t, "directive", line, account, "");
}

/* 600, "600s", "10m" */
static bool give_seconds(const translation *t, const char *theirs, const char *ours, const char *text)
{
    const char *why = NULL;
    int64_t seconds = 0;
    if (!parse_integer(text, &seconds, &why) && !parse_time(text, &seconds, &why))
        return refuse(t, theirs, "expected seconds, or a time such as 10m");
    give(t, ours, json_object_new_int64(seconds));
    return true;
}

/* A text, a list, or HTCondor's names with values. */
static bool give_lines(const translation *t, const char *ours, json_object *value)
{
    if (!json_object_is_type(value, json_type_object)) {
        give(t, ours, json_object_get(value));
        return true;
    }
    bool ok = true;
    json_object_object_foreach(value, name, text)
    {
        char before[300];
        (void)snprintf(before, sizeof before, "%.280s = ", name);
        ok = ok && give_text(t, ours, before, text ? json_object_get_string(text) : "", "");
    }
    return ok;
}

static bool is_empty(json_object *value)
{
    return !value || (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0) ||
           (json_object_is_type(value, json_type_string) && json_object_get_string_len(value) == 0);
}

static bool give_their(const translation *t, int k, json_object *value)
{
    const char *const theirs = words[k].theirs, *const ours = words[k].ours, *const text = json_object_get_string(value);
    const char *const colon = strchr(text, ':');
    switch (words[k].kind) {
    case SAME:
        give(t, ours, json_object_get(value));
        return true;
    case WALLTIME: /* LSF's has no seconds */
        return give_text(t, ours, "", text, colon && !strchr(colon + 1, ':') ? ":00" : "");
    case SECONDS:
        return give_seconds(t, theirs, ours, text);
    case ACCOUNT:
        return give_account(t, theirs, text);
    case LINES:
        return give_lines(t, ours, value);
    case PROCESSES:
        return strcmp(text, "1") == 0 || refuse(t, theirs, ours);
    case NOTE:
        say(t->self, "%s: \"%s\" of dask-jobqueue does nothing here: %s", t->path, theirs, ours);
        return true;
    case REFUSE:
        break;
    }
    return refuse(t, theirs, ours);
}

/* Our own words are spelled with dashes; theirs with either. */
static bool give_member(const translation *t, const char *name, json_object *value)
{
    char dashed[64];
    (void)snprintf(dashed, sizeof dashed, "%s", name);
    for (char *p = dashed; *p; p++)
        if (*p == '_')
            *p = '-';
    if (is_empty(value))
        return true;
    for (int k = 0; k < COUNT(words); k++)
        if (strcmp(words[k].theirs, dashed) == 0)
            return give_their(t, k, value);
    give(t, strlen(name) < sizeof dashed ? dashed : name, json_object_get(value));
    return true;
}

/* The section of dask-jobqueue's own file: `jobqueue: slurm: …`. NULL where *err says why. */
static json_object *section(translation *t, json_object *queues)
{
    json_object *found = NULL;
    int count = 0;
    json_object_object_foreach(queues, name, members)
    {
        if (!json_object_is_type(members, json_type_object) || (t->scheduler && strcmp(t->scheduler, name) != 0))
            continue;
        found = members;
        count++;
    }
    if (count != 1) {
        (void)set_error(t->err, PEL_ARGUMENT, "%.200s: \"jobqueue\" has %d sections of %.40s: give --scheduler, one that is there", t->path, count,
                        t->scheduler ? t->scheduler : "schedulers");
        return NULL;
    }
    json_object_object_foreach(queues, key, value)
    {
        if (value == found && !t->scheduler)
            t->scheduler = key;
    }
    return found;
}

json_object *config_translate(const verb *self, const char *path, json_object *file, const char *scheduler, pel_error *err)
{
    json_object *queues = NULL, *own = NULL;
    translation t = {self, path, scheduler, json_object_new_object(), err};
    if (json_object_object_get_ex(file, "jobqueue", &queues) && json_object_is_type(queues, json_type_object)) {
        file = section(&t, queues);
        if (file)
            json_object_object_add(t.out, "scheduler", json_object_new_string(t.scheduler));
    } else if (!scheduler && json_object_object_get_ex(file, "scheduler", &own) && own) {
        t.scheduler = json_object_get_string(own);
    }
    bool ok = file != NULL;
    if (ok) {
        json_object_object_foreach(file, name, value)
        {
            ok = ok && give_member(&t, name, value);
        }
    }
    if (ok)
        return t.out;
    json_object_put(t.out);
    return NULL;
}
