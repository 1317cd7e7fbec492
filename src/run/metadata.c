/* SPDX-License-Identifier: MIT
 * The output's metadata documents as a part of the run: what goes into them of the plan, their checksums in the ledger (records
 * of the number PEL__LEDGER_DOCUMENTS, so that what an older version wrote stays right), and their mending. */
#include "core/error.h"
#include "run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_object *kept_provenance(const pel_run *run)
{
    json_object *o = NULL;
    return run->document && json_object_object_get_ex(run->document, "provenance", &o) && json_object_is_type(o, json_type_object) ? o : NULL;
}

bool pel__run_is_older(const pel_run *run)
{
    return !kept_provenance(run);
}

static json_object *older_provenance(const pel_run *run)
{
    json_object *o = json_object_new_object(), *v = NULL;
    static const char *const names[] = {"program", "created", "settings", "noise"};
    for (int i = 0; i < 4; i++) {
        if (json_object_object_get_ex(run->document, names[i], &v))
            json_object_object_add(o, names[i], json_object_get(v));
    }
    const char *command = pel__document_text(run->document, "request", "command");
    const char *first = pel__document_text(run->document, "input", "name"), *path = first[0] ? first : run->input, *input = strrchr(path, '/');
    json_object_object_add(o, "command", json_object_new_string(command));
    json_object_object_add(o, "input", json_object_new_string(input ? input + 1 : path));
    return o;
}

/* The attributes that go with the pixels: made by whoever begins the run, kept for those who go on. */
bool pel__run_provenance(pel_run *run, pel_error *err)
{
    if (run->provenance)
        return true;
    json_object *const o = pel__run_is_older(run) ? older_provenance(run) : json_object_get(kept_provenance(run));
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    run->provenance = text ? strdup(text) : NULL;
    json_object_put(o);
    return run->provenance || pel__fail(err, PEL_NO_MEMORY, "no memory for the provenance");
}

/* What the ledger says of the documents, once. */
static bool load_known(pel_run *run, pel_error *err)
{
    int32_t count = 0;
    const pel__ledger_file *const files = pel__ledger_documents(run->ledger, &count);
    if (run->known || count == 0)
        return true;
    run->known = calloc((size_t)count, sizeof *run->known);
    if (!run->known)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the names of %d documents", (int)count);
    for (int32_t i = 0; i < count; i++) {
        pel__file_record r = {.bytes = files[i].bytes, .digest = files[i].digest};
        (void)snprintf(r.path, sizeof r.path, "%s", files[i].path);
        if (files[i].sum == PEL__SUM_XXH3)
            run->known[run->known_count++] = r;
    }
    return true;
}

/* What is to be there before the sink is asked for documents. */
static bool make_ready(pel_run *run, pel_error *err)
{
    return pel__run_provenance(run, err) && pel__run_layouts(run, err) && load_known(run, err);
}

typedef struct {
    pel_run *run;
    bool changed;
} keeping;

static bool keep(void *arg, const pel__file_record *r, pel_error *err)
{
    keeping *const k = arg;
    pel_run *const run = k->run;
    for (int32_t i = 0; i < run->known_count; i++) {
        if (strcmp(run->known[i].path, r->path) != 0)
            continue;
        k->changed = k->changed || !pel__digest_equal(&run->known[i].digest, &r->digest);
        run->known[i] = *r;
        return true;
    }
    pel__file_record *const more = realloc(run->known, (size_t)(run->known_count + 1) * sizeof *more);
    if (!more)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the names of %d documents", (int)run->known_count + 1);
    more[run->known_count++] = *r;
    run->known = more;
    k->changed = true;
    return true;
}

static bool record(const keeping *k, pel_error *err)
{
    const pel_run *const run = k->run;
    if (!k->changed)
        return true;
    pel__ledger_file *const files = calloc((size_t)run->known_count + 1, sizeof *files);
    if (!files)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the names of %d documents", (int)run->known_count);
    for (int32_t i = 0; i < run->known_count; i++) {
        files[i] = (pel__ledger_file){.bytes = run->known[i].bytes, .sum = PEL__SUM_XXH3, .digest = run->known[i].digest};
        memcpy(files[i].path, run->known[i].path, sizeof files[i].path);
    }
    const pel__ledger_record r = {.job = PEL__LEDGER_DOCUMENTS, .ok = true, .files = files, .file_count = run->known_count, .attempt = 1};
    const bool ok = pel__ledger_append(run->ledger, &r, err);
    free(files);
    return ok;
}

bool pel__run_create_output(pel_run *run, pel_error *err)
{
    keeping k = {.run = run};
    if (!make_ready(run, err))
        return false;
    const pel__sink_spec spec = pel__run_spec(run);
    return run->sink_type->create(&run->sink, &spec, keep, &k, err) && record(&k, err);
}

bool pel__run_mend_documents(pel_run *run, pel_error *err)
{
    keeping k = {.run = run};
    pel__sink_spec spec = pel__run_spec(run);
    spec.ours = true;
    return run->sink_type->put_documents(run->sink, &spec, keep, &k, err) && record(&k, err);
}

/* What an older version began is finished as it would have. */
bool pel__run_finish_output(pel_run *run, pel_error *err)
{
    keeping k = {.run = run};
    if (!pel__run_is_older(run) && !pel__run_display(run, err))
        return false;
    const pel__sink_spec spec = pel__run_spec(run);
    return run->sink_type->finish(run->sink, &spec, keep, &k, err) && record(&k, err);
}

static bool count_document(void *arg, const pel__document_found *f, pel_error *err)
{
    pel__audit *const a = arg;
    a->documents++;
    a->missing += f->missing;
    a->damaged += f->damaged;
    if ((f->missing || f->damaged) && !a->first[0])
        (void)snprintf(a->first, sizeof a->first, "%.100s: %.150s", f->path, f->missing ? "missing" : f->found);
    return true;
}

bool pel__run_audit_documents(pel_run *run, bool complete, pel__audit *out, pel_error *err)
{
    if (!make_ready(run, err))
        return false;
    if (run->looking && run->known_count == 0) /* of an older ledger: only the input tells what they should hold */
        return true;
    const pel__sink_spec spec = pel__run_spec(run);
    return run->sink_type->audit_documents(run->sink, &spec, complete, count_document, out, err);
}

static bool count_stray(void *arg, const char *name, pel_error *err)
{
    pel__audit *const a = arg;
    if (a->strays++ == 0 && !a->first[0])
        (void)snprintf(a->first, sizeof a->first, "%.120s: does not belong to this run; move it away", name);
    return true;
}

bool pel__run_find_strays(pel_run *run, pel__audit *out, pel_error *err)
{
    pel__names names = {.on_name = count_stray, .arg = out};
    if (!make_ready(run, err))
        return false;
    const pel__sink_spec spec = pel__run_spec(run);
    const bool ok = run->sink_type->strays(run->sink, &spec, &names, err);
    out->unlisted = !names.listed;
    return ok;
}
