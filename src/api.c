/* SPDX-License-Identifier: MIT
 * The tables that name every member, and the public functions that bring rooms together. Nothing includes this file. */
#include "core/error.h"
#include "core/own_file.h"
#include "engine/engine.h"
#include "filter/filter.h"
#include "pellucid.h"
#include "run/run.h"

#include <string.h>

/* ---- filters ------------------------------------------------------------------------------------------------------ */

static const pel__filter_type *const filters[] = {
    &pel__filter_ndsafir,
    &pel__filter_identity,
    &pel__filter_gaussian,
    &pel__filter_dog,
    &pel__filter_median,
};

#define FILTER_COUNT ((int32_t)(sizeof filters / sizeof filters[0]))

const pel__filter_type *pel__filter_find(const char *name)
{
    for (int32_t i = 0; i < FILTER_COUNT; i++) {
        if (strcmp(filters[i]->name, name) == 0)
            return filters[i];
    }
    return NULL;
}

void pel_limits_find(pel_limits *out, const pel_limits *known)
{
    pel__limits_find(out, "", known);
}

/* A filter of no name and no parameters where there is none of that number. */
static const pel__filter_type *filter_at(int32_t filter)
{
    static const pel__filter_type none = {0};
    return filter >= 0 && filter < FILTER_COUNT ? filters[filter] : &none;
}

int32_t pel_filter_count(void) { return FILTER_COUNT; }
const char *pel_filter_name(int32_t filter) { return filter_at(filter)->name; }
const char *pel_filter_help(int32_t filter) { return filter_at(filter)->help; }
bool pel_filter_needs_noise(int32_t filter) { return filter_at(filter)->needs_noise; }
bool pel_filter_tunes(int32_t filter) { return filter_at(filter)->tuning != NULL; }
int32_t pel_filter_parameter_count(int32_t filter) { return filter_at(filter)->param_count; }

bool pel_filter_parameter(int32_t filter, int32_t parameter, pel_parameter *out)
{
    static const char *const expects[] = {
        [PEL__NUMBER] = "a number", [PEL__INTEGER] = "a whole number", [PEL__LETTERS] = "letters of tczyx",
        [PEL__PER_AXIS] = "whole numbers an axis: z=1,y=3,x=3", [PEL__PER_STEP] = "whole numbers a step: 1,2,4",
        [PEL__LENGTHS] = "a number, or numbers an axis: z=1,y=2.5,x=2.5", [PEL__TWO_LENGTHS] = "two numbers S1,S2, or z=..,y=..,x=..;z=..,y=..,x=..",
    };
    if (parameter < 0 || parameter >= pel_filter_parameter_count(filter))
        return false;
    const pel__param *p = &filter_at(filter)->params[parameter];
    *out = (pel_parameter){.name = p->name, .unit = p->unit, .fallback = p->fallback, .help = p->help,
                           .expects = p->kind == PEL__CHOICE ? p->choices : expects[p->kind], .min = p->min, .max = p->max};
    return true;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------ */

static bool work_once(pel_run *run, pel_error *err)
{
    pel_error why = {0};
    while (pel__run_next_phase(run, &why)) {
        const pel__jobs jobs = pel__run_jobs(run);
        if (!pel__engine_threads(&jobs, pel__run_tick, run, err))
            return false;
    }
    if (why.code != 0 && err)
        *err = why;
    return why.code == 0;
}

/* All phases that are there to be done, and those that the audit asks for again. */
static bool work_phases(pel_run *run, pel_error *err)
{
    bool again = true;
    while (again) {
        if (!work_once(run, err) || !pel__run_audited(run, &again, err))
            return false;
    }
    return true;
}

bool pel_run_prepare(pel_run *run, pel_error *err)
{
    return pel__run_prepare(run, err);
}

int pel_run_file(const char *folder, const char *name, int flags, pel_error *err)
{
    return pel__open_own(folder, name, flags, err);
}

bool pel_run_work(pel_run *run, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    const bool ok = pel__run_begin(run, NULL, on_progress, arg, err) && work_phases(run, err);
    return pel__run_end(run, ok, err);
}

bool pel_run_share(pel_run *run, const pel_share *share, bool *finished, pel_on_progress *on_progress, void *arg, pel_error *err)
{
    pel_error why = {0};
    bool ok = pel__run_begin(run, share, on_progress, arg, err) && work_phases(run, err);
    if (ok && pel__run_is_last(run, &why))
        ok = work_phases(run, err);
    if (ok && why.code != 0) {
        ok = false;
        if (err)
            *err = why;
    }
    ok = pel__run_end(run, ok, err);
    *finished = ok && run->finishing;
    return ok;
}

bool pel_run_block_done(const pel_run *run, int64_t block)
{
    return run->ledger && block >= 0 && block < run->plan.block_count && pel__ledger_done(run->ledger, block);
}
