/* SPDX-License-Identifier: MIT
 * Is the input at the end what it was when the run began? It is opened once more and known by length, time and header of all
 * its files; the chunks of a Zarr folder by length and time at their first reading. */
#include "core/error.h"
#include "core/region.h"
#include "run/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void pel__run_input_text(const pel_source *source, char *out, size_t size)
{
    (void)snprintf(out, size, "%" PRId64 " bytes, changed %" PRId64 ", header %08x", source->identity_size, source->identity_mtime_ns,
                   (unsigned)source->identity_crc32c);
}

typedef struct {
    pel_run *run;
    int64_t chunks, withdrawn;
    char first[256];
    pel_error error;
} change;

static bool withdraw(change *c, int64_t job)
{
    const pel__ledger_record r = {.job = job, .withdraw = true, .error = "a chunk of the input changed after it was read"};
    c->withdrawn++;
    return pel__ledger_append(c->run->ledger, &r, &c->error);
}

static bool withdraw_range(change *c, int64_t first, int64_t count)
{
    for (int64_t job = first; job < first + count; job++)
        if (pel__ledger_done(c->run->ledger, job) && !withdraw(c, job))
            return false;
    return true;
}

/* The blocks that read some of the region, and the levels above that are made of them at the end. */
static bool withdraw_readers(change *c, int32_t image, const pel_region *region)
{
    const pel__plan_image *p = &c->run->plan.images[image];
    for (int64_t i = 0; i < p->block_count; i++) {
        const pel_region block = pel__grid_cell(&p->bounds, p->block, i), read = pel__run_halo_region(c->run, image, &block),
                         both = pel__region_intersect(&read, region);
        if (!pel__region_empty(&both) && !withdraw_range(c, p->first_block + i, 1))
            return false;
    }
    for (int32_t k = p->owned_levels; k < p->layout.level_count; k++)
        if (!withdraw_range(c, p->first_pyramid[k], p->pyramid_count[k]))
            return false;
    return true;
}

static bool note_change(void *arg, int32_t image, const pel_region *region, const char *name)
{
    change *c = arg;
    if (c->chunks++ == 0)
        (void)snprintf(c->first, sizeof c->first, "%s", name);
    return withdraw_readers(c, image, region);
}

static bool chunks_hold(pel_run *run, pel_error *err)
{
    change c = {.run = run};
    if (!pel__source_changes(run->source, note_change, &c, err))
        return c.error.code ? pel__fail(err, c.error.code, "%s", c.error.text) : false;
    return c.chunks == 0 ||
           pel__fail(err, PEL_INCOMPLETE, "%s: %" PRId64 " chunks changed after they were read, the first is %.100s; %" PRId64
                     " jobs that used them are taken back: when nothing writes the input any more, the same command does them again",
                     run->input, c.chunks, c.first, c.withdrawn);
}

/* With the files of a set beside the one that was named. */
static void full_text(const pel_source *source, char *out, size_t size)
{
    char text[96];
    pel__run_input_text(source, text, sizeof text);
    if (source->others_mtime_ns == 0)
        (void)snprintf(out, size, "%s", text);
    else
        (void)snprintf(out, size, "%s; others %" PRId64 " bytes, changed %" PRId64, text, source->others_size, source->others_mtime_ns);
}

bool pel__run_input_holds(pel_run *run, pel_error *err)
{
    char was[200], is[200];
    pel_error why = {0};
    pel_source *now = NULL;
    pel_open_options open = pel__document_open_options(run->document);
    open.remote = run->remote;
    open.threads = 1;
    if (!pel_source_open(&now, run->input, &open, &why))
        return pel__fail(err, PEL_INCOMPLETE, "the input cannot be opened any more, so nobody knows whether it changed while the run read it: %s",
                         why.text);
    full_text(run->source, was, sizeof was);
    full_text(now, is, sizeof is);
    pel_source_destroy(now);
    if (strcmp(was, is) != 0)
        return pel__fail(err, PEL_INCOMPLETE, "%s: changed while the run read it (was %s, now %s): the output may hold parts of both states. "
                         "When nothing writes the input any more, begin anew with --fresh", run->input, was, is);
    return chunks_hold(run, err);
}
