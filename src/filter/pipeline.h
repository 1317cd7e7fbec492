/* SPDX-License-Identifier: MIT
 * Filters one after the other, without a copy of the image between them: the halos add up, each stage works on the
 * region that the next one needs. A pipeline of one is the usual case and costs nothing. */
#ifndef PEL_FILTER_PIPELINE_H
#define PEL_FILTER_PIPELINE_H

#include "filter/filter.h"

#define PEL__MAX_STAGES 4

typedef struct pel__stage {
    const pel__filter_type *type;
    pel__values values;
    pel__values *channel_values; /* where channels were tuned apart: one each; NULL: `values` for all */
    int64_t channel_count;
} pel__stage;

typedef struct pel__pipeline {
    int32_t count;
    pel__stage stage[PEL__MAX_STAGES];
} pel__pipeline;

/* Appends the stages of a text such as "dog fwhm=50,200 | median radius=1": filter name, then settings. */
bool pel__pipeline_parse(pel__pipeline *pipeline, const char *text, pel_error *err);

/* Does it compute anything, or only copy? */
bool pel__pipeline_computes(const pel__pipeline *pipeline);
bool pel__pipeline_needs_noise(const pel__pipeline *pipeline); /* the first stage only: later ones would not see camera noise */

bool pel__pipeline_takes_ground(const pel__pipeline *pipeline); /* likewise */

bool pel__pipeline_makes_float(const pel__pipeline *pipeline); /* any stage: its results are float32 unless the user says otherwise */

bool pel__pipeline_fetches(const pel__pipeline *pipeline);     /* the first stage takes its input part by part */

bool pel__pipeline_stores(const pel__pipeline *pipeline);      /* the last stage writes results of any dtype */

bool pel__pipeline_resolve(pel__pipeline *pipeline, const pel_image *image, pel_error *err);
bool pel__pipeline_check(const pel__pipeline *pipeline, const pel_image *image, pel_error *err);
void pel__pipeline_halo(const pel__pipeline *pipeline, const pel_image *image, int64_t before[PEL_AXES], int64_t after[PEL_AXES]);
/* Sweeps along y (filter.h): does it ever, its scratch then, and what a block in the middle of one still takes. */
bool pel__pipeline_sweeps(const pel__pipeline *pipeline);
int64_t pel__pipeline_sweep_bytes(const pel__pipeline *pipeline, const pel_image *image, const pel_region *out);
bool pel__pipeline_sweep_takes(const pel__pipeline *pipeline, const pel_image *image, const pel_region *out, pel_region *in);
int64_t pel__pipeline_block_bytes(const pel__pipeline *pipeline, const pel_image *image, const pel_region *in, const pel_region *out);
int64_t pel__pipeline_thread_bytes(const pel__pipeline *pipeline, const pel_image *image);
double pel__pipeline_cost(const pel__pipeline *pipeline, const pel_image *image, const pel_region *in, const pel_region *out);

/* call->values is not looked at. */
bool pel__pipeline_apply(const pel__pipeline *pipeline, const pel__filter_call *call, pel_error *err);

/* Gives the first stage values for each channel; takes the array. */
void pel__pipeline_take_channels(pel__pipeline *pipeline, pel__values *values, int64_t count);
const pel__values *pel__stage_values(const pel__stage *stage, int64_t channel);
void pel__pipeline_destroy(pel__pipeline *pipeline);

/* "ndsafir, dog" */
void pel__pipeline_names(const pel__pipeline *pipeline, char *out, size_t size);

#endif
