/* SPDX-License-Identifier: MIT
 * Parameters as data. A value is kept as the text that the user typed (or the default), so that the command line, the
 * plan file and its digest all hold the same thing; the getters turn it into numbers. */
#ifndef PEL_FILTER_PARAMS_H
#define PEL_FILTER_PARAMS_H

#include "core/error.h"
#include "pellucid.h"

enum pel__param_kind {
    PEL__NUMBER,   /* 0.01 */
    PEL__INTEGER,  /* 4 */
    PEL__CHOICE,   /* one of `choices`, separated by | */
    PEL__LETTERS,  /* axes: any of t c z y x, each at most once: "tzyx" */
    PEL__PER_AXIS, /* "z=1,y=3,x=3", unnamed axes 0; or positional, last axes: "1,3,3" is z, y, x */
    PEL__PER_STEP, /* radii an iteration, steps separated by comma: "1,2,4,8" */
    PEL__LENGTHS,  /* numbers an axis: "z=1.5,y=3", unnamed axes 0; "1,2,2" the last axes; "2" alone: z, y and x */
    PEL__TWO_LENGTHS, /* two of them: "z=1,y=2,x=2;z=4,y=8,x=8"; "2,8": z, y and x in both */
};

typedef struct pel__param {
    const char *name, *unit, *fallback, *help; /* unit "" for none; fallback "auto" is resolved by the filter, any other stands as it is */
    const char *choices;                       /* PEL__CHOICE only */
    double min, max;
    enum pel__param_kind kind;
    bool exact; /* false: does not change a bit of the result (left out of the plan's digest) */
} pel__param;

#define PEL__MAX_PARAMS 24
#define PEL__VALUE_SIZE 128
#define PEL__MAX_STEPS 16

typedef struct pel__values {
    const pel__param *params;
    int32_t count;
    char text[PEL__MAX_PARAMS][PEL__VALUE_SIZE];
} pel__values;

void pel__values_init(pel__values *v, const pel__param *params, int32_t count); /* all at their fallback */

/* Checks the text against the parameter's kind and range (the fallback passes, whatever it is) and keeps it.
 * PEL_NOT_FOUND: no such parameter; PEL_ARGUMENT: what was found, what is expected. */
bool pel__values_set(pel__values *v, const char *name, const char *text, pel_error *err);

/* The whole of text[0 .. n-1] as a finite number, in the C locale whatever the program's. */
bool pel__parse_number(const char *text, size_t n, double *out);

const char *pel__value_text(const pel__values *v, const char *name); /* the name must exist */
bool pel__value_is_auto(const pel__values *v, const char *name);
bool pel__value_is_open(const pel__values *v, int32_t i); /* left to the data: at its fallback, or auto where that is a choice */
double pel__value_number(const pel__values *v, const char *name);
int64_t pel__value_integer(const pel__values *v, const char *name);
void pel__value_axes(const pel__values *v, const char *name, int64_t out[PEL_AXES]);   /* PER_AXIS */
void pel__value_lengths(const pel__values *v, const char *name, double out[2][PEL_AXES]); /* LENGTHS (out[0]), TWO_LENGTHS */
uint32_t pel__value_letters(const pel__values *v, const char *name);                  /* bit PEL_T .. PEL_X */
int32_t pel__value_steps(const pel__values *v, const char *name, int64_t out[PEL__MAX_STEPS]); /* returns count */

#endif
