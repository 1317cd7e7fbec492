/* SPDX-License-Identifier: MIT
 * See script.h: the schedulers of containers, whose job is a JSON document. */
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

static json_object *object_in(json_object *o, const char *name)
{
    json_object *found = NULL;
    if (json_object_object_get_ex(o, name, &found) && json_object_is_type(found, json_type_object))
        return found;
    return put(o, name, json_object_new_object());
}

/* "a.b.c=value" into the document; the value as JSON where it is JSON, as a text otherwise. */
static void set_path(json_object *document, const char *directive)
{
    const char *const equals = strchr(directive, '=');
    if (!equals)
        return;
    json_object *at = document;
    char name[256];
    for (const char *p = directive; p < equals;) {
        const size_t n = strcspn(p, ".=");
        (void)snprintf(name, sizeof name, "%.*s", (int)n, p);
        p += n;
        if (*p == '.') {
            at = object_in(at, name);
            p++;
        } else {
            json_object *const value = json_tokener_parse(equals + 1);
            (void)put(at, name, value ? value : text(equals + 1));
        }
    }
}

static void print_document(FILE *to, const job_script *j, json_object *document)
{
    for (int i = 0; j->directives && i < j->directives->count; i++)
        set_path(document, j->directives->items[i]);
    const int flags = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE;
    (void)fprintf(to, "%s\n", json_object_to_json_string_ext(document, flags));
    json_object_put(document);
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
    (void)snprintf(index, sizeof index, j->jobs > 1 ? "auto/%" PRId64 : "1/1", j->jobs);
    for (int i = 0; j->words[i]; i++)
        json_object_array_add(list, strcmp(j->words[i], JOB_INDEX) == 0 ? text(index) : command_word(j->words[i], two_dollars));
    return list;
}

/* ---- Kubernetes ---------------------------------------------------------------------------------------------------- */

/* Names of objects there: lower-case letters, digits and dashes. */
static void put_name(json_object *metadata, const char *name)
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
    (void)put(metadata, "name", text(n > 0 ? out : "pellucid"));
}

static json_object *amounts(const job_script *j)
{
    char memory[32];
    json_object *const o = json_object_new_object();
    if (j->cores > 0)
        (void)put(o, "cpu", number(j->cores));
    if (j->memory > 0) {
        (void)snprintf(memory, sizeof memory, "%" PRId64 "Mi", j->memory / MIB);
        (void)put(o, "memory", text(memory));
    }
    return o;
}

/* CLAIM:/path */
static void put_volumes(const job_script *j, json_object *pod, json_object *container)
{
    if (!j->volumes || j->volumes->count == 0)
        return;
    json_object *const volumes = put(pod, "volumes", json_object_new_array());
    json_object *const mounts = put(container, "volumeMounts", json_object_new_array());
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

static void put_container(const job_script *j, json_object *pod)
{
    json_object *const containers = put(pod, "containers", json_object_new_array());
    json_object *const c = json_object_new_object();
    json_object_array_add(containers, c);
    (void)put(c, "name", text("pellucid"));
    (void)put(c, "image", text(j->image));
    (void)put(c, "command", command_words(j, true));
    json_object *const resources = put(c, "resources", json_object_new_object());
    (void)put(resources, "requests", amounts(j));
    (void)put(resources, "limits", amounts(j));
    put_volumes(j, pod, c);
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

void script_print_kubernetes(FILE *to, const job_script *j)
{
    json_object *const d = json_object_new_object();
    (void)put(d, "apiVersion", text("batch/v1"));
    (void)put(d, "kind", text("Job"));
    put_name(put(d, "metadata", json_object_new_object()), j->name);
    json_object *const spec = put(d, "spec", json_object_new_object());
    (void)put(spec, "completions", number(j->jobs));
    (void)put(spec, "parallelism", number(j->jobs));
    (void)put(spec, "completionMode", text("Indexed"));
    (void)put(spec, "backoffLimit", number(3 * j->jobs));
    put_failure_policy(spec);
    json_object *const pod = put(put(spec, "template", json_object_new_object()), "spec", json_object_new_object());
    (void)put(pod, "restartPolicy", text("Never"));
    if (j->seconds > 0) {
        (void)put(pod, "activeDeadlineSeconds", number(j->seconds));
        (void)put(pod, "terminationGracePeriodSeconds", number(j->lead));
    }
    if (j->queue)
        (void)put(pod, "priorityClassName", text(j->queue));
    put_container(j, pod);
    print_document(to, j, d);
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

void script_print_aws(FILE *to, const job_script *j)
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
    print_document(to, j, d);
}
