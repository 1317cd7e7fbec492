/* SPDX-License-Identifier: MIT
 * See script.h: the schedulers of containers, whose job is a JSON document. */
#include "document.h"
#include "json_path.h"
#include "script.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)

static json_object *text(const char *s)
{
    return json_object_new_string(s);
}

static json_object *number(int64_t v)
{
    return json_object_new_int64(v);
}

/* Adds a member to o and returns it, so that documents are built from the outside inwards. */
static json_object *put(json_object *o, const char *name, json_object *value)
{
    json_object_object_add(o, name, value);
    return value;
}

static json_object *member(json_object *o, const char *name)
{
    json_object *found = NULL;
    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &found) ? found : NULL;
}

/* The member, made where it is not there or of another type. */
static json_object *object_in(json_object *o, const char *name)
{
    json_object *const found = member(o, name);
    return json_object_is_type(found, json_type_object) ? found : put(o, name, json_object_new_object());
}

static json_object *list_in(json_object *o, const char *name)
{
    json_object *const found = member(o, name);
    return json_object_is_type(found, json_type_array) ? found : put(o, name, json_object_new_array());
}

/* A path that begins with none of the document's own members is one of the pod's. */
static bool set_in(json_object *document, json_object *pod, const char *directive, pel_error *err)
{
    static const char *const tops[] = {"apiVersion", "kind", "metadata", "spec"};
    const size_t n = strcspn(directive, ".[=");
    bool top = !pod;
    for (int i = 0; i < COUNT(tops); i++)
        top = top || (strlen(tops[i]) == n && strncmp(tops[i], directive, n) == 0);
    return json_path_set(top ? document : pod, directive, err);
}

/* What the job is stays ours, whatever the directives say of all else. Takes the document on false. */
static bool set_directives(const job_script *j, json_object *document, json_object *pod, const char *command_path, pel_error *err)
{
    json_object *found = NULL;
    bool ok = json_pointer_get(document, command_path, &found) == 0;
    json_object *ours = NULL;
    ok = ok && json_object_deep_copy(found, &ours, NULL) == 0;
    for (int i = 0; ok && j->directives && i < j->directives->count; i++) {
        ok = set_in(document, pod, j->directives->items[i], err);
        found = NULL;
        if (ok && (json_pointer_get(document, command_path, &found) != 0 || !json_object_equal(found, ours)))
            ok = set_error(err, PEL_ARGUMENT, "--directive '%.300s' takes away the command of the job", j->directives->items[i]);
    }
    json_object_put(ours);
    if (!ok)
        json_object_put(document);
    return ok;
}

static void print_document(FILE *to, json_object *document)
{
    json_write(to, document, JSON_PRETTY);
}

/* Kubernetes replaces $(NAME) in commands, and two dollars by one. */
static json_object *command_word(const char *word, bool two_dollars)
{
    char *copy = NULL;
    size_t size = 0;
    FILE *const f = open_memstream(&copy, &size);
    for (; f && *word; word++)
        (void)fputs(*word == '$' && two_dollars ? "$$" : (char[]){*word, '\0'}, f);
    if (f)
        (void)fclose(f);
    json_object *const o = text(copy ? copy : "");
    free(copy);
    return o;
}

static json_object *command_words(const job_script *j, bool two_dollars)
{
    json_object *const list = json_object_new_array();
    char index[40];
    char *const prologue = script_prologue(j->prologue);
    const char *const shell[] = {"/bin/sh", "-c", prologue, "sh"};
    (void)snprintf(index, sizeof index, j->jobs > 1 ? "auto/%" PRId64 : "1/1", j->jobs);
    for (int i = 0; prologue && i < COUNT(shell); i++)
        json_object_array_add(list, command_word(shell[i], two_dollars));
    free(prologue);
    for (int i = 0; j->words[i]; i++)
        json_object_array_add(list, strcmp(j->words[i], JOB_INDEX) == 0 ? text(index) : command_word(j->words[i], two_dollars));
    return list;
}

/* ---- Kubernetes ---------------------------------------------------------------------------------------------------- */

/* Names of objects there: lower-case letters, digits and dashes. */
static void put_name(json_object *metadata, const char *member, const char *name)
{
    char out[56];
    size_t n = 0;
    for (; *name && n + 1 < sizeof out; name++) {
        const char c = (char)(*name >= 'A' && *name <= 'Z' ? *name + 32 : *name);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out[n++] = c;
        else if (n > 0 && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n > 0 && out[n - 1] == '-')
        n--;
    out[n] = '\0';
    (void)put(metadata, member, text(n > 0 ? out : "pellucid"));
}

static void put_amounts(const job_script *j, json_object *o)
{
    char memory[32];
    if (j->cores > 0)
        (void)put(o, "cpu", number(j->cores));
    if (j->memory > 0) {
        (void)snprintf(memory, sizeof memory, "%" PRId64 "Mi", j->memory / MIB);
        (void)put(o, "memory", text(memory));
    }
}

/* CLAIM:/path */
static void put_volumes(const job_script *j, json_object *pod, json_object *container)
{
    if (!j->volumes || j->volumes->count == 0)
        return;
    json_object *const volumes = list_in(pod, "volumes"), *const mounts = list_in(container, "volumeMounts");
    for (int i = 0; i < j->volumes->count; i++) {
        char name[24], claim[256];
        const char *const colon = strchr(j->volumes->items[i], ':');
        (void)snprintf(name, sizeof name, "data-%d", i);
        (void)snprintf(claim, sizeof claim, "%.*s", (int)(colon - j->volumes->items[i]), j->volumes->items[i]);
        json_object *const volume = json_object_new_object(), *const mount = json_object_new_object();
        (void)put(volume, "name", text(name));
        (void)put(put(volume, "persistentVolumeClaim", json_object_new_object()), "claimName", text(claim));
        (void)put(mount, "name", text(name));
        (void)put(mount, "mountPath", text(colon + 1));
        json_object_array_add(volumes, volume);
        json_object_array_add(mounts, mount);
    }
}

/* What a template may say only if it is what we say. */
static void note_other(const verb *self, const job_script *j, json_object *o, const char *name, const char *ours)
{
    json_object *const theirs = member(o, name);
    if (self && theirs && strcmp(json_object_get_string(theirs), ours) != 0)
        say(self, "%s: %s of the template gives way to ours (%s)", j->pod, name, ours);
}

/* The template's container called pellucid, else its first one, else a new one; it comes first. */
static json_object *our_container(json_object *pod)
{
    json_object *const list = list_in(pod, "containers");
    size_t at = 0;
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (strcmp(member_text(json_object_array_get_idx(list, i), "name"), "pellucid") == 0)
            at = i;
    json_object *const first = json_object_get(json_object_array_get_idx(list, 0)), *const found = json_object_get(json_object_array_get_idx(list, at));
    json_object *const c = json_object_is_type(found, json_type_object) ? found : json_object_new_object();
    if (at > 0)
        json_object_array_put_idx(list, at, json_object_get(first));
    json_object_put(first);
    if (c != found)
        json_object_put(found);
    json_object_array_put_idx(list, 0, c);
    return c;
}

static bool put_container(const verb *self, const job_script *j, json_object *pod, pel_error *err)
{
    json_object *const c = our_container(pod);
    if (!member(c, "name"))
        (void)put(c, "name", text("pellucid"));
    if (j->image)
        note_other(self, j, c, "image", j->image);
    if (j->image)
        (void)put(c, "image", text(j->image));
    if (!member(c, "image"))
        return set_error(err, PEL_ARGUMENT, "--image is missing: the template names none");
    note_other(self, j, c, "command", "the run's part");
    note_other(self, j, c, "args", "the run's part");
    json_object_object_del(c, "args");
    (void)put(c, "command", command_words(j, true));
    json_object *const resources = object_in(c, "resources");
    put_amounts(j, object_in(resources, "requests"));
    put_amounts(j, object_in(resources, "limits"));
    put_volumes(j, pod, c);
    return true;
}

/* Pods that are evicted, preempted or lose their node do not count against the retries. */
static void put_failure_policy(json_object *spec)
{
    json_object *const rules = put(put(spec, "podFailurePolicy", json_object_new_object()), "rules", json_object_new_array());
    json_object *const rule = json_object_new_object(), *const condition = json_object_new_object();
    json_object_array_add(rules, rule);
    (void)put(rule, "action", text("Ignore"));
    json_object *const conditions = put(rule, "onPodConditions", json_object_new_array());
    json_object_array_add(conditions, condition);
    (void)put(condition, "type", text("DisruptionTarget"));
    (void)put(condition, "status", text("True"));
}

/* The pod of the template, which is a Pod, what a Job holds of one, or a pod's spec alone; an empty one without a template. NULL: *err. */
static json_object *read_template(const job_script *j, pel_error *err)
{
    if (!j->pod)
        return json_object_new_object();
    json_object *const file = document_read(j->pod, false, err);
    json_object *const inner = member(file, "template"), *const deep = member(member(file, "spec"), "template");
    json_object *const found = deep ? deep : inner ? inner : file, *out = NULL;
    if (json_object_is_type(member(found, "spec"), json_type_object)) {
        out = json_object_get(found);
        json_object_object_del(out, "apiVersion");
        json_object_object_del(out, "kind");
    } else if (json_object_is_type(member(found, "containers"), json_type_array)) {
        out = json_object_new_object();
        (void)put(out, "spec", json_object_get(found));
    } else if (file) {
        (void)set_error(err, PEL_FORMAT, "%s: expected a Pod: an object with `spec` and in it `containers`", j->pod);
    }
    json_object_put(file);
    return out;
}

/* No name of its own: the server makes one for each submission. A name that was typed stands. */
static void put_metadata(const job_script *j, json_object *d, json_object *pod)
{
    char stem[64];
    json_object *const m = put(d, "metadata", json_object_new_object());
    (void)snprintf(stem, sizeof stem, "%.54s", j->name);
    if (j->named)
        put_name(m, "name", stem);
    else
        (void)put(m, "generateName", text("pellucid-"));
    (void)put(object_in(m, "labels"), "app.kubernetes.io/name", text("pellucid"));
    json_object *const below = object_in(pod, "metadata");
    json_object_object_del(below, "name");
    (void)put(object_in(below, "labels"), "app.kubernetes.io/name", text("pellucid"));
}

/* NULL: *err. self: says what of a template gives way. */
static json_object *kubernetes_job(const verb *self, const job_script *j, pel_error *err)
{
    json_object *const template = read_template(j, err), *const d = template ? json_object_new_object() : NULL;
    if (!d)
        return NULL;
    (void)put(d, "apiVersion", text("batch/v1"));
    (void)put(d, "kind", text("Job"));
    put_metadata(j, d, template);
    json_object *const spec = put(d, "spec", json_object_new_object());
    (void)put(spec, "completions", number(j->jobs));
    (void)put(spec, "parallelism", number(j->jobs));
    (void)put(spec, "completionMode", text("Indexed"));
    (void)put(spec, "backoffLimit", number(3 * j->jobs));
    (void)put(spec, "ttlSecondsAfterFinished", number(j->ttl));
    put_failure_policy(spec);
    json_object *const pod = object_in(put(spec, "template", template), "spec");
    note_other(self, j, pod, "restartPolicy", "Never");
    (void)put(pod, "restartPolicy", text("Never"));
    if (j->seconds > 0) {
        (void)put(pod, "activeDeadlineSeconds", number(j->seconds));
        (void)put(pod, "terminationGracePeriodSeconds", number(j->lead));
    }
    if (j->queue)
        (void)put(pod, "priorityClassName", text(j->queue));
    if (put_container(self, j, pod, err))
        return set_directives(j, d, pod, "/spec/template/spec/containers/0/command", err) ? d : NULL;
    json_object_put(d);
    return NULL;
}

void script_print_kubernetes(FILE *to, const job_script *j)
{
    pel_error err = {0};
    json_object *const d = kubernetes_job(NULL, j, &err);
    if (d)
        print_document(to, d);
}

/* ---- AWS Batch ------------------------------------------------------------------------------------------------------- */

static void add_requirement(json_object *list, const char *type, int64_t value)
{
    char v[32];
    json_object *const o = json_object_new_object();
    (void)snprintf(v, sizeof v, "%" PRId64, value);
    (void)put(o, "type", text(type));
    (void)put(o, "value", text(v));
    json_object_array_add(list, o);
}

static json_object *aws_job(const job_script *j, pel_error *err)
{
    json_object *const d = json_object_new_object();
    (void)put(d, "jobName", text(j->name));
    (void)put(d, "jobQueue", text(j->queue));
    (void)put(d, "jobDefinition", text(j->image));
    if (j->jobs > 1)
        (void)put(put(d, "arrayProperties", json_object_new_object()), "size", number(j->jobs));
    json_object *const c = put(d, "containerOverrides", json_object_new_object());
    (void)put(c, "command", command_words(j, false));
    json_object *const list = put(c, "resourceRequirements", json_object_new_array());
    if (j->cores > 0)
        add_requirement(list, "VCPU", j->cores);
    if (j->memory > 0)
        add_requirement(list, "MEMORY", j->memory / MIB);
    (void)put(put(d, "retryStrategy", json_object_new_object()), "attempts", number(5));
    if (j->seconds > 0)
        (void)put(put(d, "timeout", json_object_new_object()), "attemptDurationSeconds", number(j->seconds));
    return set_directives(j, d, NULL, "/containerOverrides/command", err) ? d : NULL;
}

void script_print_aws(FILE *to, const job_script *j)
{
    pel_error err = {0};
    json_object *const d = aws_job(j, &err);
    if (d)
        print_document(to, d);
}

/* A path with other bytes in their place would be another path. */
static bool check_utf8(const job_script *j, json_object *d, pel_error *err)
{
    char *const text = json_text(d, JSON_PRETTY);
    const bool same = text && strcmp(text, json_object_to_json_string_ext(d, JSON_PRETTY)) == 0;
    free(text);
    return same || set_error(err, PEL_ARGUMENT, "%s: its job is described in JSON, which cannot hold names that are not UTF-8: rename the output and its folders", scheduler_name(j->scheduler));
}

bool script_check_json(const verb *self, const job_script *j, pel_error *err)
{
    const bool kubernetes = strcmp(scheduler_name(j->scheduler), "kubernetes") == 0;
    json_object *const d = kubernetes ? kubernetes_job(self, j, err) : aws_job(j, err);
    if (self && kubernetes && j->named && d)
        say(self, "--name %s: Kubernetes takes no second Job of this name before the first is deleted, %" PRId64 " s after its end", j->name, j->ttl);
    const bool ok = d && check_utf8(j, d, err);
    json_object_put(d);
    return ok;
}
