/* SPDX-License-Identifier: MIT
 * The hall: the one place where the contracts meet. A run is an input, a filter, an output, a plan, and a local folder
 * (place.c: <output>.run beside the output, if nothing else is said) with
 *     plan.json     what was settled, once
 *     ledger/       what is finished (ledger.h)
 *     log/          one text file a process
 *     lock, lock.*  who is working on it now (core/lock.h)
 *     workers/      a file for each process that works on it now
 *     status.json   progress, rewritten every few seconds */
#ifndef PEL_RUN_RUN_H
#define PEL_RUN_RUN_H

#include "core/budget.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/lock.h"
#include "core/pool.h"
#include "filter/pipeline.h"
#include "pellucid.h"
#include "plan/plan.h"
#include "run/job.h"
#include "run/ledger.h"
#include "run/tune.h"
#include "run/workers.h"
#include "sink/sink.h"
#include "source/source.h"

#include <json.h>
#include <stdatomic.h>

#define PEL__SLOTS 2
#define PEL__VERSION "0.1.0"
#define PEL__NUMERIC_VERSION "2" /* raised when the same settings give other bits */

/* Two slots that share a number: `in` belongs to the reading stage and then to work, `out` to work and then to the
 * writing stage; never the same job's unless nothing is computed. */
typedef struct pel__slot {
    void *in;
    pel_block in_block;
    double in_seconds; /* of reading */
    void *out;
    pel_block out_block;
    int64_t clipped;
    int64_t in_damaged, damaged; /* pieces of the input that were damaged and read as zero: while reading, in all */
    double minimum, maximum, sum;
    double (*range)[2]; /* least and most of each channel of out_block; the first above the second: none is finite */
    int64_t range_room;
    double seconds; /* of reading and working, without waiting */
} pel__slot;

/* Memory of the stages, allocated once for all jobs of a phase. */
typedef struct pel__bench {
    pel__slot slot[PEL__SLOTS];
    pel__buffers need;
    void *result, *filter, *thread, *pyramid, *write;
    pel__kept *kept; /* of a phase of blocks that sweep */
} pel__bench;

struct pel_run {
    char input[PEL__PATH_MAX], output[PEL__PATH_MAX], folder[PEL__PATH_MAX];
    char place[PEL__PATH_MAX]; /* the output as plan.json has to say it; "": it lies beside the folder */
    pel_remote *remote;        /* how input and output are reached; strings are its own */
    pel_source *source;
    const pel_image **images; /* of the source */
    int32_t image_count;

    /* settled */
    pel__pipeline *pipeline;
    const pel__sink_type *sink_type;
    pel_noise **noise;        /* an image each, shape[PEL_C] of them; NULL where the filter needs none */
    pel__noise **noise_model; /* the same for the filter */
    float *ground;            /* ground_count of them, one a channel (filter.h); NULL where the filter takes none */
    int64_t ground_count;
    pel_dtype dtype;
    pel__codec codec;
    int32_t ome_version;
    pel__plan plan;
    pel__plan_request request;
    pel_limits limits;               /* of this process; zeros: not known */
    char memory_by[PEL_LIMIT_TEXT];  /* as in pel_plan_summary */
    char threads_by[PEL_LIMIT_TEXT];
    json_object *document; /* plan.json */
    char *provenance;
    pel__window **windows; /* display ranges, an image each, one a channel; NULL: nothing is finished yet */
    pel__file_record *known; /* metadata documents as they are stored, by the ledger and by what was written since */
    int32_t known_count;
    pel__values typed;     /* of the first filter, as typed, before "auto" was resolved */
    pel__tuning *tuning;   /* one a channel; NULL where nothing was tuned in this process */
    bool resumed, fresh;
    bool moved;             /* the input lies elsewhere than the plan says */
    bool looking;           /* opened to audit only, the source is a stand-in (stand_in.c) */
    bool other_numbers;     /* looking: made by another numeric version */
    char no_windows[600];   /* why windows cannot be recomputed from the input; "": they can */
    double seconds_estimated, seconds_reading, seconds_settled; /* as in pel_plan_summary */

    /* at work */
    pel__lock *lock, *finish_lock;
    const pel_share *share; /* NULL: the whole run */
    bool finishing;         /* pyramid and audit are ours to do */
    char reason[512]; /* why it ends before it is done */
    bool out_of_time;
    bool repaired, audited; /* the audit found harm and its jobs are done again; all is done and it found none */
    pel__ledger *ledger;
    pel__sink *sink;
    pel__layout *layouts;
    pel__pool *pool;
    pel__budget *budget;
    pel__bench bench;
    pel__kept kept;       /* by the last block, of kept_image, for the next one */
    int32_t kept_image;
    pel_source **below;   /* pyramid phase: the level below of each image, read back */
    int32_t phase_level;  /* 0: blocks */
    int64_t next_job, phase_end, phase_first;
    int64_t phase_total, phase_before; /* jobs of the phase that are ours, and those done when it began */
    atomic_llong phase_done;           /* since then */
    _Atomic double longest_job;        /* seconds */
    atomic_llong bytes_worked;
    atomic_bool stop;
    int32_t write_failures; /* one after the other */
    int log_fd;
    double started, last_status;
    pel_on_progress *on_progress;
    void *progress_arg;
};

/* setup.c */
bool pel__run_take_means(pel_run *run, pel_error *err); /* threads and books of memory, if they are not there yet; they live as long as the run */
pel__sink_spec pel__run_spec(const pel_run *run);
bool pel__run_layouts(pel_run *run, pel_error *err); /* of the plan, for the sink */
bool pel__run_open_output(pel_source **out, const pel_run *run, int32_t image, int32_t level, pel_error *err);

/* apart.c; touches nothing */
bool pel__run_check_apart(const pel_run *run, pel_error *err); /* neither output nor state is, holds or lies in the input */
bool pel__run_check_names(const pel_run *run, pel_error *err); /* of a new run: what output and state may be called and lie in */
bool pel__run_check_stands(const pel_run *run, pel_error *err); /* folders or nothing, where output and state lead */
bool pel__run_check_room(const pel_run *run, const pel__plan *plan, pel_error *err); /* on the disk: what cannot fit however well it is compressed */
bool pel__run_check_ours(const pel_run *run, pel_error *err);  /* before --fresh: only what a run of ours made is removed */

/* summary.c: the whole output, uncompressed; and what is free where it lies, -1: not known */
void pel__run_needs(const pel_run *run, const pel__plan *plan, int64_t *bytes, int64_t *files);
void pel__run_free(const pel_run *run, int64_t *bytes, int64_t *files);
void pel__free_at(const char *path, int64_t *bytes, int64_t *files); /* on the disk where it lies or will lie; -1: not known */

/* place.c */
bool pel__run_folder_of(char *out, size_t size, const char *output, pel_error *err); /* where the books of an output lie */
/* The output's name to be kept in the books; "" where it follows from theirs. */
bool pel__run_place(char *out, size_t size, const char *output, const char *folder, pel_error *err);
/* The output of the run that was named `run` and has its books in folder. */
bool pel__run_output(char *out, size_t size, const char *run, const char *folder, const json_object *document, pel_error *err);

/* document.c: plan.json */
json_object *pel__document_make(const pel_run *run, const pel_run_options *options);
pel_open_options pel__document_open_options(const json_object *document); /* how its input was opened; strings are the document's */
bool pel__document_load(json_object **out, const char *folder, pel_error *err); /* PEL_NOT_FOUND: no run there */
void pel__document_set_input(json_object *document, const char *path); /* it was moved */
bool pel__document_save(const pel_run *run, pel_error *err);
bool pel__document_read_images(pel__plan *out, const json_object *document, const char *folder, pel_error *err);
void pel__document_take_names(pel_run *run); /* the images are called as when the run began, whatever the input's file is called now */
bool pel__document_read_plan(pel_run *run, pel_error *err);  /* images' blocks and layouts into run->plan */
bool pel__document_read_noise(pel_run *run, pel_error *err);
void pel__document_read_ground(pel_run *run); /* zeros where the plan has none */
bool pel__document_read_channels(pel_run *run, pel_error *err); /* tuned settings into the pipeline */
bool pel__document_same(const pel_run *run, const json_object *now, pel_error *err); /* PEL_REFUSED lists differences */
const char *pel__document_text(const json_object *document, const char *section, const char *name); /* "" if absent */
const char *pel__document_run(const json_object *document); /* the number of the run; "": made before runs had one, or no document */

/* notes.c */
json_object *pel__run_source_notes(const pel_run *run); /* as plan.json keeps them */

/* provenance.c; the document has settings, request, noise and notes */
json_object *pel__provenance_make(const pel_run *run, const pel_open_options *open, json_object *document);
json_object *pel__setting_json(const char *text); /* "0.35" as a number, "1,2,4" and "a;b" as lists, "z=1,y=3" as an object */

/* estimate.c */
bool pel__noise_parse(pel_noise *out, int64_t channels, const char *text, pel_error *err);
double pel__saturation(const pel_image *image); /* grey value of a full detector; 0: not known */
double pel__sample_place(int64_t i, int axis); /* of sample i, in [0, 1) along the axis */
bool pel__noise_of_run(pel_run *run, pel_on_progress *on_progress, void *arg, pel_error *err);

/* tune.c: settings of the first filter, channel by channel, from the data */
bool pel__tune_run(pel_run *run, pel_on_progress *on_progress, void *arg, pel_error *err);

/* stand_in.c: a source without pixels, from a plan */
bool pel__stand_in(pel_source **out, const char *path, const pel__plan *plan, pel_dtype dtype, pel_error *err);
bool pel__plan_is_sound(const pel__plan_image *p);

/* input.c */
void pel__run_input_text(const pel_source *source, char *out, size_t size); /* the identity, as plan.json keeps it */
/* Looks again at the input: PEL_INCOMPLETE where it changed since it was opened. Jobs that read chunks which changed are withdrawn. */
bool pel__run_input_holds(pel_run *run, pel_error *err);

/* job.c: the stages; pel__jobs of a phase */
pel_region pel__run_halo_region(const pel_run *run, int32_t image, const pel_region *block); /* what is read for it */
bool pel__bench_alloc(pel_run *run, int32_t level, pel_error *err);
int64_t pel__run_room(const pel_run *run); /* for buffers while no phase of the plan is at work: the limit less program and input */
bool pel__bench_window(pel_run *run, int32_t image, const pel_region *in, const pel_region *out, pel_error *err); /* for one region, in slot 0 */
void pel__bench_free(pel_run *run);
bool pel__bench_fits(const pel_run *run, const pel__plan_job *job, const pel_region *in, pel_error *err); /* or an error that names the buffer */
pel__jobs pel__run_jobs(pel_run *run);
bool pel__read_region(pel_source *source, int32_t image, const pel_block *dst, pel__pool *pool, const atomic_bool *stop,
                      pel_error *err);
bool pel__filter_region(const pel_run *run, int32_t image, const pel_block *in, pel__slot *slot, pel_error *err); /* into the slot's out_block, which has its region, dtype and memory */

/* work.c: what pel_run_work does around the engine */
bool pel__run_begin(pel_run *run, const pel_share *share, pel_on_progress *on_progress, void *arg, pel_error *err);
bool pel__run_prepare(pel_run *run, pel_error *err);
int64_t pel__run_phase_job(const pel_run *run, int64_t index); /* the job behind a number of the phase */
bool pel__run_next_phase(pel_run *run, pel_error *err); /* false with no error set: no phase left */
bool pel__run_is_last(pel_run *run, pel_error *err);    /* of a share: may it finish the run? */
/* Of a run that is ours to finish, all of it done: the audit. *again: it found harm for the first time, and phases are left. */
bool pel__run_audited(pel_run *run, bool *again, pel_error *err);
bool pel__run_tick(void *run);
bool pel__run_end(pel_run *run, bool ok, pel_error *err);
void pel__run_log(pel_run *run, const char *fmt, ...) PEL_PRINTF(2, 3);
int64_t pel__resident_self(void);  /* of this process, now */
int64_t pel__resident_bytes(void); /* of this process and its children, now */

/* expect.c */
typedef struct pel__unexpected {
    int64_t expected, lacking, extra; /* files of the plan; of these not in the record; of the record not in the plan */
    bool hollow;                      /* no file of the block at all, though by the record there are voxels other than zero */
    char first[256];                  /* that is lacking */
} pel__unexpected;
/* Does the record of a finished job list exactly the files that the plan has for it? The layouts must be there. */
bool pel__run_expects(const pel_run *run, const pel__ledger_record *record, pel__unexpected *out);

/* audit.c */
typedef struct pel__audit {
    int64_t files, missing, damaged;
    int64_t documents, strays; /* metadata documents, which missing and damaged count too; files of nobody in our groups and arrays */
    bool unlisted;             /* the server does not tell what there is: strays cannot be seen */
    char first[256];
} pel__audit;

/* metadata.c; the ledger is open */
bool pel__run_provenance(pel_run *run, pel_error *err);
bool pel__run_is_older(const pel_run *run); /* begun by a version before 2026-12, whose plans hold no provenance */
bool pel__run_create_output(pel_run *run, pel_error *err); /* makes the sink; of a run that was begun before documents are mended */
bool pel__run_mend_documents(pel_run *run, pel_error *err);
/* display.c: of a run whose jobs are all done: fills windows. Before, does the display range of the input hold for the output? */
bool pel__run_display(pel_run *run, pel_error *err);
bool pel__run_keeps_greys(const pel_run *run, int32_t image);
void pel__run_free_display(pel_run *run);
bool pel__run_finish_output(pel_run *run, pel_error *err);
bool pel__run_audit_documents(pel_run *run, bool complete, pel__audit *out, pel_error *err); /* adds to out */
bool pel__run_find_strays(pel_run *run, pel__audit *out, pel_error *err);

/* Every record of a finished job against the plan, and every file against its record, as closely as `how` says. With `mark`, jobs that do not hold are withdrawn so
 * that the next start repairs them. An error where the records themselves have gone. */
bool pel__run_audit(pel_run *run, enum pel__look how, bool mark, pel__audit *out, pel_error *err);

/* status.c: plan and ledger of a run, opened by anybody who sees its folder, without the input. */
typedef struct pel__books {
    pel__ledger *ledger;
    json_object *document;
    pel__plan plan; /* its images only: bounds, block, layout */
    char folder[PEL__PATH_MAX];
    int64_t blocks, jobs;
} pel__books;
bool pel__books_open(pel__books *b, const char *output, pel_error *err); /* on false there is nothing to close */
void pel__books_close(pel__books *b);
bool pel__status_write(pel_run *run, const char *state, pel_error *err); /* of a process that works */
bool pel__status_begin(pel_run *run, pel_error *err); /* of a run that was prepared and has no worker yet */

#endif
