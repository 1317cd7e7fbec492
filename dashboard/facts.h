/* SPDX-License-Identifier: MIT
 * What a person looks at in a run, gathered from plan, ledger and workers: for the page and for the terminal. */
#ifndef PELLUCID_DASHBOARD_FACTS_H
#define PELLUCID_DASHBOARD_FACTS_H

#include "pellucid.h"

#include <json.h>

#define FACTS_WORKERS 24  /* shown; all are counted */
#define FACTS_FAILURES 25 /* the newest */
#define FACTS_NOTES 20   /* the first */
#define FACTS_SLOW 8      /* the slowest */
#define FACTS_HOSTS 16
#define FACTS_RECENT 256 /* latest finished blocks: they tell the speed */

typedef struct fact_block {
    int64_t number, at_us, memory_bytes, voxels;
    int32_t image, level, attempt;
    double seconds;
    pel_region region;
    char host[64], error[512];
} fact_block;

typedef struct fact_worker {
    char host[64];
    pel_run_worker figures; /* its host points nowhere */
} fact_worker;

typedef struct fact_host {
    char name[64];
    int64_t done, failed, memory_peak;
    double seconds;
} fact_host;

typedef struct fact_image {
    const char *name; /* borrowed from the plan */
    int64_t shape[PEL_AXES], block[PEL_AXES], grid[PEL_AXES];
    int64_t first, count; /* numbers of its blocks */
    int32_t levels, owned_levels;
} fact_image;

typedef struct facts {
    pel_status status;
    char folder[4096];
    json_object *plan;
    fact_image *images;
    int32_t image_count;
    int64_t now_us, begun_us; /* begun: the plan was made; 0 = not known */
    int64_t sign_us;          /* the last sign of life; 0 = none */

    /* one entry a block */
    int64_t blocks;
    uint8_t *state;
    float *seconds; /* of the finished ones */

    json_object *manager; /* manager.json of `cluster`, NULL where there was none */
    bool managed;         /* it is at work */
    fact_worker workers[FACTS_WORKERS];
    int32_t worker_count, workers_alive, workers_gone; /* count: shown */
    fact_host hosts[FACTS_HOSTS];
    int32_t host_count;
    bool more_hosts;
    fact_block failures[FACTS_FAILURES]; /* newest first */
    int64_t failure_count;
    fact_block slow[FACTS_SLOW]; /* slowest first */
    int32_t slow_count;
    fact_block *recent; /* newest first */
    int32_t recent_count;

    int64_t finished;      /* blocks with a time */
    double median, longest; /* seconds a block */
    double blocks_per_s, bytes_per_s, left_s; /* 0: not known; bytes of output pixels */
    int64_t memory_limit, memory_promised;
} facts;

/* The run beside an output. facts_destroy frees what is inside. */
bool facts_gather(facts *out, const char *output, pel_error *err);
void facts_destroy(facts *f);

bool facts_running(const facts *f);

/* A member of that type; NULL where there is none, or of what is no object. Borrowed. */
json_object *facts_member(const json_object *o, const char *name, json_type type);

/* The text of a member of plan.json, "" where there is none; borrowed. */
const char *facts_text(const facts *f, const char *section, const char *name);

/* "t=0:1, z=0:8, …": only axes on which the image is longer than 1. */
const char *facts_place(char *out, size_t size, const facts *f, const fact_block *b);

#endif
