/* SPDX-License-Identifier: MIT
 * Which files a job makes, as the plan has it: of a block the shards of its region on each level that blocks own, of a pyramid
 * job those of its own. The ledger is held against this, never the other way round: a record that leaves a file out would
 * otherwise let an error that was overlooked pass for success. */
#include "core/error.h"
#include "run/run.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const pel__ledger_record *record;
    int64_t number; /* of the next file that the plan expects */
    int64_t written; /* of them not left out */
    pel__unexpected *out;
} holding;

/* Records list files in the order of writing; one that does not is searched through. */
static const pel__ledger_file *find(const holding *h, const char *name)
{
    const pel__ledger_record *const r = h->record;
    if (h->number < r->file_count && strcmp(r->files[h->number].path, name) == 0)
        return &r->files[h->number];
    for (int32_t i = 0; i < r->file_count; i++) {
        if (strcmp(r->files[i].path, name) == 0)
            return &r->files[i];
    }
    return NULL;
}

static void hold_part(holding *h, const pel_run *run, const pel__sink_spec *spec, const pel__part *part)
{
    const int64_t count = run->sink_type->file_count(spec, part);
    for (int64_t i = 0; i < count; i++, h->number++) {
        char name[sizeof h->record->files->path];
        run->sink_type->file_name(spec, part, i, name, sizeof name);
        const pel__ledger_file *const f = find(h, name);
        h->written += f && f->bytes >= 0;
        if (!f && h->out->lacking++ == 0)
            (void)snprintf(h->out->first, sizeof h->out->first, "%s", name);
    }
}

bool pel__run_expects(const pel_run *run, const pel__ledger_record *record, pel__unexpected *out)
{
    *out = (pel__unexpected){0};
    const pel__sink_spec spec = pel__run_spec(run);
    const pel__plan_job job = pel__plan_job_at(&run->plan, record->job);
    const pel__plan_image *const p = &run->plan.images[job.image];
    holding h = {.record = record, .out = out};
    pel__part part = {.image = job.image, .level = job.level, .region = job.region};
    hold_part(&h, run, &spec, &part);
    out->hollow = job.level == 0 && h.written == 0 && out->lacking == 0 && (record->maximum >= 1 || record->minimum <= -1); /* fractions may have become zeros */
    for (int32_t k = 1; job.level == 0 && k < p->owned_levels; k++) {
        part.level = k;
        part.region = pel__plan_level_part(&p->layout, k, &job.region);
        hold_part(&h, run, &spec, &part);
    }
    out->expected = h.number;
    out->extra = record->file_count - (h.number - out->lacking); /* names that the plan does not know, or twice the same */
    return out->lacking == 0 && out->extra == 0 && !out->hollow;
}
