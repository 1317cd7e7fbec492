/* SPDX-License-Identifier: MIT
 * The blueprint: which blocks, which halo, which files, how much memory. A pure function of its inputs: nothing here
 * opens a file or looks at the machine. */
#ifndef PEL_PLAN_PLAN_H
#define PEL_PLAN_PLAN_H

#include "filter/pipeline.h"
#include "pellucid.h"
#include "sink/sink.h"

/* What the plan follows from. Pointers are borrowed for the call. */
typedef struct pel__plan_request {
    const pel__pipeline *pipeline; /* resolved */
    const pel__sink_type *sink;
    const char *output; /* its path or address; NULL: none */
    int32_t image_count;
    const pel_image *const *images;
    pel_dtype dtype; /* of the output */
    pel__codec codec;
    int32_t ome_version;
    int64_t chunk[PEL_AXES], block[PEL_AXES]; /* 0 an axis: chosen here */
    int32_t levels;                           /* 0: chosen here */
    int64_t resident_bytes; /* of this process when it plans: a program that uses the library may hold much besides */
    int64_t source_resident_bytes, source_thread_bytes;
    int64_t source_tile_bytes; /* of a decoded tile that the source could keep; 0 = it keeps none */
    int64_t memory_bytes;
    const char *memory_by; /* what sets that, for messages; "": the caller */
    bool memory_bound;     /* there is no more for this process, whatever it is asked to take */
    int32_t threads;
} pel__plan_request;

/* The parts of the promise, in bytes; they add up to total. */
typedef struct pel__memory {
    int64_t base;    /* program, libraries, thread stacks */
    int64_t source;  /* the open input, scratch of its reading threads, decoded tiles that it keeps */
    int64_t filter;  /* scratch of the filter */
    int64_t buffers; /* blocks read, worked and waiting to be written, with their lower levels */
    int64_t write;   /* compression */
    int64_t total;
    int64_t kept_tiles; /* the part of `source` for decoded tiles: what is left over, as far as it helps */
} pel__memory;

/* The buffers of a phase in bytes, each as large as any of its jobs needs it. The plan counts these, the run allocates them. */
typedef struct pel__buffers {
    int32_t slots;   /* of in and out */
    int64_t in, out; /* a slot: what is read, what is to be written */
    int64_t result;  /* of the filters, float32, before it is converted */
    int64_t filter, thread; /* scratch of a block; of all threads */
    int64_t lower;   /* levels below a block */
    int64_t write;   /* compression */
} pel__buffers;

/* The program itself with its threads; held_bytes: what the process has resident before it begins, but for the input. */
int64_t pel__program_bytes(int64_t held_bytes, int32_t threads);

int64_t pel__buffers_bytes(const pel__buffers *b); /* their sum, in whole pages */

/* One image cut up. Blocks are cells of a regular grid from voxel 0; each owns one shard (format 0.4: whole chunks) on
 * each of the levels below `owned_levels`. The levels above are made at the end, one job a shard. */
typedef struct pel__plan_image {
    pel_region bounds;
    int64_t block[PEL_AXES];
    int64_t first_block, block_count;
    int32_t owned_levels;
    int64_t first_pyramid[PEL__MAX_LEVELS], pyramid_count[PEL__MAX_LEVELS]; /* level >= owned_levels */
    pel__layout layout;
} pel__plan_image;

/* Jobs are numbered: first the blocks of all images, then the pyramid jobs, lower levels of an image first. */
typedef struct pel__plan {
    int32_t image_count;
    pel__plan_image *images;
    int64_t halo_before[PEL_AXES], halo_after[PEL_AXES];
    int64_t block_count, job_count;
    int32_t slots;         /* 2: a block is read and another one written while one is worked; 1: less memory */
    int32_t pyramid_slots; /* the same for jobs of the pyramid */
    bool through;          /* nothing is computed or converted: one buffer serves reading and writing */
    pel__buffers buffers[PEL__MAX_LEVELS]; /* [0] of the blocks, the others of the jobs of each level */
    int64_t reading[PEL__MAX_LEVELS];      /* besides, to read back the level below */
    pel__memory memory;
    double halo_read, halo_work;
    bool sweep; /* blocks along y hand on what they share: they are worked in that order */
} pel__plan;

/* Finds the cheapest blocks that fit. PEL_NO_MEMORY names the limit that would do; PEL_ARGUMENT a chunk or block that
 * cannot be. *out is destroyed with pel__plan_destroy. */
bool pel__plan_make(pel__plan *out, const pel__plan_request *request, pel_error *err);

/* Numbers jobs and fits slots and memory to a plan whose blocks and layout are settled (read back from a run). */
bool pel__plan_settle(pel__plan *plan, const pel__plan_request *request, pel_error *err);
void pel__plan_destroy(pel__plan *plan);

/* What job `number` is: its image, level and region in voxels of that level. Level 0 is a block. */
typedef struct pel__plan_job {
    int32_t image, level;
    pel_region region;
} pel__plan_job;
pel__plan_job pel__plan_job_at(const pel__plan *plan, int64_t number);

/* Blocks in the order of work: the number of the index-th, and how many in a row best stay in one process. */
int64_t pel__plan_turn(const pel__plan *plan, int64_t index);
int64_t pel__plan_stretch(const pel__plan *plan);

/* The part of a block that it owns on a level below owned_levels, in voxels of that level. */
pel_region pel__plan_level_part(const pel__layout *layout, int32_t level, const pel_region *block);

/* Region of level - 1 that a region of `level` is pooled from, and the step's factor an axis. */
pel_region pel__plan_pooled_from(const pel__layout *layout, int32_t level, const pel_region *r, int64_t factor[PEL_AXES]);

/* Pixels of a shard at most, so that it fits into one file of the output whatever compression makes of it. */
int64_t pel__most_shard_bytes(const pel__plan_request *request);

/* memory.c: the buffers of one region on its own; those of an image's phases into the plan, which has halo and slots, each as large as
 * any image needs it; do jobs of the pyramid take more than blocks? Then the promise. */
pel__buffers pel__plan_region_buffers(const pel__plan_request *request, const pel_image *image, const pel_region *in, const pel_region *out);
void pel__plan_add_buffers(pel__plan *plan, const pel__plan_request *request, const pel__plan_image *p, const pel_image *image);
bool pel__plan_pyramid_costs(const pel__plan *plan);
pel__memory pel__plan_memory(const pel__plan *plan, const pel__plan_request *request);
int64_t pel__plan_filter_bytes(const pel__plan_request *request, const pel_image *image, const pel_region *in, const pel_region *out);

/* layout.c: levels and chunks of one image for a given block; *owned counts the levels that blocks write. */
void pel__layout_chunk(const pel__plan_request *request, const pel_image *image, int64_t chunk[PEL_AXES]);
bool pel__layout_make(pel__layout *out, int32_t *owned, const pel__plan_request *request, const pel_image *image,
                      const int64_t block[PEL_AXES], pel_error *err);

#endif
