/* SPDX-License-Identifier: MIT
 *
 * pellucid: neighbourhood filters over microscopy images larger than memory.
 *
 * The one installed header: everything a program needs, and the vocabulary that the library's own files share.
 *
 * Conventions that hold for every function here:
 *  - Axes are always t, c, z, y, x in this order (PEL_T .. PEL_X). Coordinates are voxels of the full resolution
 *    image unless a name says otherwise (_um micrometres, _s seconds, _bytes bytes).
 *  - A function that can fail returns bool and takes `pel_error *err` last: false means failed and *err says why;
 *    true leaves *err alone. err may be NULL. The error is a value that the caller owns; there is nothing to free.
 *  - `**out` first: the caller owns what it gets and destroys it with the matching _destroy, which takes NULL.
 *    Any other pointer that a function returns is borrowed from its object and dies with it.
 *  - A handle may be used from one thread at a time unless its functions say "any thread".
 *  - The library prints nothing, never exits, keeps no global state and reads no environment variable.
 */
#ifndef PELLUCID_H
#define PELLUCID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PEL_API __attribute__((visibility("default")))
#define PEL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define PEL_API
#define PEL_PRINTF(f, a)
#endif

/* ---- errors ------------------------------------------------------------------------------------------------ */

/* Numbers are append-only: they are part of the contract. */
enum pel_code {
    PEL_OK = 0,
    PEL_NO_MEMORY = 1,    /* an allocation failed, or the memory limit cannot hold the work */
    PEL_IO = 2,           /* the operating system refused: read, write, open, rename, full disk */
    PEL_NOT_FOUND = 3,    /* no such file, image, block or setting */
    PEL_FORMAT = 4,       /* the file breaks the rules of its format */
    PEL_UNSUPPORTED = 5,  /* the file is right, pellucid does not read this kind; named in the text */
    PEL_DAMAGED = 6,      /* a checksum, a compressed stream or a recorded length does not hold */
    PEL_ARGUMENT = 7,     /* a value from the caller that cannot be meant; the text names it and its range */
    PEL_REFUSED = 8,      /* possible, but not done: other settings in this output, a second writer, … */
    PEL_INTERRUPTED = 9,  /* asked to stop; what is finished stays finished */
    PEL_INCOMPLETE = 10,  /* the work ended with blocks missing or failed; the audit lists them */
    PEL_INTERNAL = 11,    /* a bug of pellucid */
};

/* Zero code means no error. The text is UTF-8, one line, and names file, position, found, expected. */
typedef struct pel_error {
    int32_t code;
    char text[508];
} pel_error;

/* The commit of its source, shortened; "-dirty" behind it where that was changed; "": built from no repository. */
PEL_API const char *pel_commit(void);

/* Names of files are bytes, JSON is UTF-8: '?' in place of each byte that is of no letter. */
PEL_API void pel_text_to_utf8(char *text);

/* ---- regions ----------------------------------------------------------------------------------------------- */

#define PEL_MAX_NDIM 8 /* of any region: arrays in a Zarr store may have more axes than an image */
#define PEL_AXES 5     /* of an image */
enum pel_axis { PEL_T = 0, PEL_C = 1, PEL_Z = 2, PEL_Y = 3, PEL_X = 4 };

/* Half-open box, axis order of the array, shape never negative. {ndim 2, origin 0,0, shape 2,3} holds (0,0)..(1,2)
 * and does not hold (2,0). A region with a zero in its shape is empty and holds nothing. */
typedef struct pel_region {
    int32_t ndim;
    int64_t origin[PEL_MAX_NDIM];
    int64_t shape[PEL_MAX_NDIM];
} pel_region;

/* ---- pixels ------------------------------------------------------------------------------------------------ */

typedef enum pel_dtype {
    PEL_U8 = 0, PEL_I8, PEL_U16, PEL_I16, PEL_U32, PEL_I32, PEL_U64, PEL_I64, PEL_F32, PEL_F64,
} pel_dtype;

PEL_API size_t pel_dtype_size(pel_dtype type);        /* bytes of one voxel; 0: no such type */
PEL_API const char *pel_dtype_name(pel_dtype type);   /* "uint8" … "float64", as NumPy and Zarr v3 spell them; NULL: no such type */
PEL_API bool pel_dtype_parse(pel_dtype *out, const char *name); /* false: no such name; *out untouched */

/* Pixels with their place. `data` points at the voxel at region.origin; strides are in elements, never negative.
 * A block does not own its memory. */
typedef struct pel_block {
    pel_region region;
    pel_dtype dtype;
    int64_t stride[PEL_MAX_NDIM];
    void *data;
} pel_block;

/* ---- images ------------------------------------------------------------------------------------------------ */

typedef struct pel_channel {
    char name[96];
    uint32_t rgb;                     /* 0xRRGGBB */
    double emission_nm, excitation_nm; /* 0 = unknown */
    double window_start, window_end;  /* display range in grey values; equal = unknown */
} pel_channel;

/* What is missing or odd in an input. kind: "missing", "left out", "unreadable", "unfinished", "recovered", "orientation", "mixed types",
 * "resampled", "axes", "metadata"; and, harmless, "converted", "reduced", "set". More may come. */
typedef struct pel_note {
    const char *kind;
    const char *text;      /* one sentence */
    int64_t count;         /* of planes, tiles, pages or files that it is about; 0: it counts nothing */
    bool harmless;         /* of use to know; no pixel is missing, made up or in doubt */
    int32_t image, images; /* of a run: the first image that it is about, and how many images have the same */
} pel_note;

/* One image of a file: a scene, a position, a series. Strings are UTF-8. */
typedef struct pel_image {
    char name[128];
    int64_t shape[PEL_AXES];
    pel_dtype dtype;
    double pixel_size[PEL_AXES];      /* t in seconds, c unused, z y x in micrometres; 0 = unknown */
    double scale[PEL_AXES];           /* the file's number where pixel_size is 0, because it has no unit that is known; 0 = none */
    double place[PEL_AXES];           /* centre of the voxel at coordinate 0, in the unit of pixel_size or scale */
    int64_t origin[PEL_AXES];         /* voxel 0 in the file's own coordinates (CZI: raw coordinates); a selection adds to it */
    int64_t tile[PEL_AXES];           /* reading whole multiples of it is cheapest */
    int32_t samples;                  /* colour samples that the file interleaves: 1, 3 or 4. Axis c then runs
                                         through groups of `samples` channels, in the order R, G, B(, A) */
    bool file_is_bgr;                 /* the file's own order inside such a group is B, G, R(, A) */
    int32_t significant_bits;         /* of an integer dtype: 12, 14, 16 …; 0 = unknown */
    int64_t planes, planes_missing;   /* planes (one t, c, z; colour counts once) expected, and with no pixel in file */
    const pel_channel *channels;      /* shape[PEL_C] of them */
    char compression[64];             /* as a person calls it: "none", "zstd1 with hi-lo", "JPEG XR", "mixed: …" */
    char objective[96];               /* "" = unknown */
    double magnification, aperture;   /* 0 = unknown */
    char acquired[40];                /* ISO 8601, "" = unknown */
    const pel_note *notes;            /* of the whole image, also where a part is selected */
    int32_t note_count;
} pel_image;

/* From one voxel to the next, and the centre of voxel 0: in micrometres (t: seconds) where pixel_size is known, else in the file's own
 * numbers, voxels where it has none. Of channels 1 and 0. */
PEL_API void pel_image_place(const pel_image *image, double step[PEL_AXES], double place[PEL_AXES]);

/* ---- sources ----------------------------------------------------------------------------------------------- */

typedef struct pel_source pel_source;

/* How http://, https:// and s3:// stores are reached; only what is needed of it, the rest NULL or 0. Strings are copied
 * on opening. */
typedef struct pel_remote {
    const char *endpoint;  /* s3: "https://storage.example.org:9000"; NULL = Amazon's */
    const char *region;    /* s3: NULL = "us-east-1" */
    const char *key_id, *secret, *token; /* s3: requests are signed with them; NULL = anonymous; token: temporary keys */
    const char *http_proxy, *https_proxy; /* URLs of the proxies for either kind of address; NULL = none */
    const char *no_proxy;  /* host names to be reached without them, separated by commas */
    const char *ca_file;   /* https: certificates of the authorities to be trusted, PEM; NULL = the system's */
    int32_t attempts;      /* of a request that fails for a passing reason; 0 = 6 */
    int32_t wait_ms;       /* before the second attempt, then twice as long each time; 0 = 250 */
    int32_t stall_s;       /* an attempt slower than 1000 bytes a second for so long has failed; 0 = 60 */
} pel_remote;

typedef struct pel_open_options {
    int32_t level;         /* Zarr: resolution level, 0 = full */
    bool recover;          /* CZI: walk the segments of a file whose directory is missing or damaged */
    bool use_mask;         /* CZI: do not paint pixels that a valid-pixel mask rules out */
    const char *axes;      /* bare arrays: letters of p t c z y x, one an axis, e.g. "pczyx"; NULL = by the file.
                              Along p (positions) each index is an image. TIFF: "tyx", "cyx" or "zyx" for pages of which
                              the file says nothing; or their sizes, the slowest axis first, "t=4,c=3,z=5", which go
                              before what the file says */
    const char *select;    /* a part: "image=0:3;c=2;z=10:200" (numbers or half-open ranges; keys image t c z y x); the
                              source then looks as if it held nothing else. NULL = all */
    const char *pixel_size; /* "z=1,y=0.5,x=0.5" (micrometres; t seconds): goes before what the file says; NULL = the file's */
    bool strict;           /* an image with a note that is not harmless is refused: PEL_REFUSED */
    const char *damaged;   /* "refuse": reading a damaged tile, strip or chunk fails; "zero": it reads as zero and is counted, see
                              pel_source_damaged. NULL = "zero" with `recover`, else "refuse" */
    bool flip_streamed;    /* CZI: tiles of streamed camera data (compression 1000 and more) are stored upside down: turn them */
    const pel_remote *remote; /* NULL = anonymous, no proxy */
    const char *helper_dir; /* where the helper programs (pellucid-jxr) are; NULL = beside the library's install */
    int32_t threads;       /* how many threads will read at once: bounds helper processes and scratch; 0 = 1 */
} pel_open_options;

/* Opens any file or store that pellucid reads; options may be NULL. Errors: NOT_FOUND, IO, FORMAT, UNSUPPORTED,
 * NO_MEMORY. No pixel is read. */
PEL_API bool pel_source_open(pel_source **out, const char *path, const pel_open_options *options, pel_error *err);
PEL_API void pel_source_destroy(pel_source *source);
PEL_API const char *pel_source_format(const pel_source *source); /* "czi", "tiff", "zarr", … */
PEL_API int32_t pel_source_image_count(const pel_source *source);
PEL_API const pel_image *pel_source_image(const pel_source *source, int32_t image); /* borrowed; NULL: no such image */

/* Fills dst->region (5 axes, inside the image) of one image. dst's dtype must be the image's. Voxels that the file
 * does not have are zero. All of the region or nothing: on false the pixels of dst are undefined.
 * Any thread, at most options.threads at once. Errors: IO, DAMAGED, FORMAT, NO_MEMORY, ARGUMENT. */
PEL_API bool pel_source_read(pel_source *source, int32_t image, const pel_block *dst, pel_error *err);

/* Different tiles, strips or chunks (thousands are told apart) that were damaged and read as zero so far, of a source opened so; first
 (may be NULL with size 0): the reason for one of them, "" where there is none. Any thread. */
PEL_API int64_t pel_source_damaged(const pel_source *source, char *first, size_t size);

/* The same as float32 in C order: out holds as many values as the region has voxels (5 axes, inside the image).
 * Integers beyond 2^24 are rounded. Errors: those of pel_source_read. */
PEL_API bool pel_read_float(pel_source *source, int32_t image, const pel_region *region, float *out, pel_error *err);

/* ---- progress and stopping --------------------------------------------------------------------------------- */

typedef struct pel_progress {
    const char *phase;     /* "noise", "blocks", "pyramid", "audit", "checksum", "compare", … */
    int64_t done, total;   /* in the unit of the phase: blocks, files, bytes */
    int64_t bytes;         /* pixel bytes worked so far, for a rate */
    int64_t memory_bytes;  /* resident memory now; 0 = not measured */
} pel_progress;

/* Called now and then, several times a second, from the thread that called the library (never from two at once).
 * Returning false asks to stop: the function then ends soon with PEL_INTERRUPTED. Functions take it with `arg`; NULL
 * where nobody watches. */
typedef bool pel_on_progress(void *arg, const pel_progress *p);

/* ---- limits ------------------------------------------------------------------------------------------------ */

/* What this process may take of its machine, and what sets each limit: "the machine", "the control group", "the affinity",
 * "ulimit -v", or a name that the caller gave. */
#define PEL_LIMIT_TEXT 96
typedef struct pel_limits {
    int64_t memory_bytes;
    int32_t threads;
    char memory_by[64], threads_by[64];
} pel_limits;

/* The least of the machine, its control groups (versions 1 and 2, up the tree), ulimit -v and -d, the processors this process may
 * use, and what the caller knows: the library reads no environment, so that what a scheduler says there (SLURM_MEM_PER_NODE, …)
 * is handed in. Zeros in `known`, or NULL: nothing. */
PEL_API void pel_limits_find(pel_limits *out, const pel_limits *known);

/* ---- going once through an image --------------------------------------------------------------------------- */

/* Called in C order of the planes, each some time after it was read, from the thread that called the library; c is the channel
 * (of a colour group the first). Where reading fails, some planes have been told already. */
typedef void pel_on_plane(void *arg, int64_t t, int64_t c, int64_t z, uint32_t crc32);

/* How; NULL or zeros mean the defaults. Takes 32 MiB a thread and what the source itself needs. Where memory_bytes does not hold
 * that, fewer threads work, then on smaller pieces. */
typedef struct pel_scan {
    int32_t threads;              /* no more than the source was opened for; 0 = 1. The result does not depend on it */
    int64_t memory_bytes;         /* resident memory of this process and its helpers stays below; 0: half of the limits */
    const pel_limits *limits;     /* NULL: as pel_limits_find finds them */
    pel_on_progress *on_progress; /* may be NULL */
    pel_on_plane *on_plane;       /* pel_checksum only; may be NULL */
    void *arg;                    /* for both */
} pel_scan;

/* Bytes left for pixels below scan->memory_bytes beside the program (28 MiB, or what the process holds, where that is more; 1 MiB a
 * thread) and what scan->threads threads take to read from the sources. Of scan the first three members count.
 * Errors: NO_MEMORY where that is less than `least`, with what is needed and what set the limit. */
PEL_API bool pel_room(int64_t *out, pel_source *const *sources, int32_t count, const pel_scan *scan, int64_t least, pel_error *err);

/* CRC-32 (zlib's) over the pixel values of an image, little endian, in C order of t, c, z, y, x. Colour samples that
 * the file interleaves (samples 3 or 4) stay interleaved, in the file's order: t, colour group, z, y, x, sample.
 * Errors: ARGUMENT, NO_MEMORY, INTERRUPTED, those of pel_source_read. */
PEL_API bool pel_checksum(uint32_t *out, pel_source *source, int32_t image, const pel_scan *scan, pel_error *err);

typedef struct pel_difference {
    int64_t voxels, unequal;
    double max_abs, rms;      /* of a - b, in grey values */
    double peak, psnr;        /* peak: range of a's dtype for 8 and 16 bits, otherwise high - low of a's values.
                                 psnr = 20 log10(peak / rms) in dB, infinite where nothing differs */
    double low[2], high[2];   /* of the values of a and of b */
    int64_t first[PEL_AXES];  /* the first unequal voxel in C order; zeros where there is none */
} pel_difference;

/* Compares two images of the same shape; their data types may differ. NaN equals NaN, -0 equals 0. sources[0] and
 * sources[1] must be two open sources (of the same file, if need be).
 * Errors: ARGUMENT (no such image, other shape), NO_MEMORY, INTERRUPTED, those of pel_source_read. */
PEL_API bool pel_compare(pel_difference *out, pel_source *const sources[2], const int32_t images[2], const pel_scan *scan,
                         pel_error *err);

/* ---- filters ----------------------------------------------------------------------------------------------- */

/* A parameter of a filter, for help texts and bindings. */
typedef struct pel_parameter {
    const char *name, *unit, *fallback, *help;
    const char *expects; /* "a number", "one of a|b", "whole numbers an axis: z=1,y=3,x=3", … */
    double min, max;     /* both 0 where they mean nothing */
} pel_parameter;

/* Filters are numbered from 0 to count - 1, parameters likewise. Another number: NULL, false or 0, and nothing is written. */
PEL_API int32_t pel_filter_count(void);
PEL_API const char *pel_filter_name(int32_t filter);
PEL_API const char *pel_filter_help(int32_t filter);
PEL_API bool pel_filter_needs_noise(int32_t filter);
PEL_API bool pel_filter_tunes(int32_t filter); /* has candidates that the data may choose from */
PEL_API int32_t pel_filter_parameter_count(int32_t filter);
PEL_API bool pel_filter_parameter(int32_t filter, int32_t parameter, pel_parameter *out);

/* ---- noise ------------------------------------------------------------------------------------------------- */

#define PEL_NOISE_CLOUD 200

/* Var(Y) = gain * E(Y) + offset in grey values, of one channel of one image. gain 0: Gaussian, variance `offset`. */
typedef struct pel_noise {
    double gain, offset;
    double gain_error, offset_error; /* standard errors; 0 where the values were given */
    double r2;                       /* of the line through mean and variance; 0 where given */
    double saturated;                /* share of the sampled voxels at the top of the range, left out of the fit */
    int64_t pairs;                   /* mean/variance pairs that the line went through; 0 where given */
    double cloud[PEL_NOISE_CLOUD][2]; /* mean and variance of some of them, by mean, for a picture; zeros where given */
    double low_frequency;            /* power of the noise at low frequencies over its variance, once stabilised: 1 for white noise, more
                                      * where neighbouring pixels share it (the sum of its autocorrelation over all distances) */
    double rho[2];                   /* correlation of the noise of neighbours along y, along x; 0 where white or given */
    char remark[160];                /* "" or what makes this estimate doubtful */
} pel_noise;

/* Estimates the noise of one channel from a fixed sample of the whole image (about four million voxels, spread over
 * t, z, y and x; the same for every call).
 * Errors: REFUSED where the data cannot tell, with the reason, and out->cloud filled where there are pairs; those of reading. */
PEL_API bool pel_noise_estimate(pel_noise *out, pel_source *source, int32_t image, int64_t channel,
                                pel_on_progress *on_progress, void *arg, pel_error *err);

/* ---- runs -------------------------------------------------------------------------------------------------- */

typedef struct pel_setting {
    const char *name, *value;
} pel_setting;

/* What to do. Zeros and NULLs mean the defaults. All strings are copied. */
typedef struct pel_run_options {
    const char *filter;       /* "ndsafir", "identity", … */
    const char *input, *output; /* output: a folder or s3://BUCKET/KEY, reached as open.remote says */
    const char *state;        /* local folder of the run's books; NULL: OUT.run beside the output, of an address its last part
                                 with .run in the working directory */
    pel_open_options open;
    const pel_setting *settings; /* of the filter, by parameter name */
    int32_t setting_count;
    const char *then;         /* filters that follow without a copy between, e.g. "dog fwhm=5,20 | gaussian sigma=1";
                                 NULL or "": none */
    const char *tune;         /* "auto": what was left at its default is chosen by the data, channel by channel; "off" or
                                 NULL: the defaults */
    const char *noise;        /* "sigma", "gain,offset" or "gain,background,readout"; `;` between channels; NULL or
                                 "auto": estimated once from the whole image. offset = readout^2 - gain * background */
    int64_t memory_bytes;     /* resident memory of all processes of the run stays below; 0: half of the limit */
    int32_t threads;          /* 0: as many as the limits allow */
    const pel_limits *limits; /* NULL: as pel_limits_find finds them; zeros: those of another machine, which are not known */
    const char *dtype;        /* of the output, NULL: the input's */
    const char *ome_version;  /* "0.5" (default) or "0.4" */
    const char *codec;        /* "blosc:zstd:1:shuffle" (NULL, too), "blosc:lz4:5:bitshuffle", "zstd:3", "gzip:5", "none" */
    const char *chunk, *block; /* "z=32,y=128,x=128"; NULL: chosen by the plan. A block is one shard */
    int32_t levels;           /* resolution levels, 0: down to a plane of 256 */
    const char *command;      /* the command line as typed, kept as provenance; may be NULL */
    bool fresh;               /* throw away what an earlier run left in the output, whatever its settings */
} pel_run_options;

/* What will happen, or is happening. Numbers of the whole run. */
typedef struct pel_plan_summary {
    int32_t image_count, threads, slots; /* slots 2: reading, working and writing overlap; 1: they take turns */
    int64_t blocks, pyramid_jobs;        /* pyramid_jobs: shards of the levels made at the end */
    int64_t block[PEL_AXES], halo[PEL_AXES], chunk[PEL_AXES]; /* of the first image */
    int32_t levels;
    bool sweep;                          /* blocks that follow along y hand on what they share */
    double halo_read;                    /* voxels read / voxels of the image */
    double halo_work;                    /* operations with halo / without */
    int64_t voxels, bytes_in, bytes_out; /* pixels, uncompressed; bytes_out with the pyramid */
    int64_t files;
    int64_t memory_limit, memory_promised; /* bytes */
    pel_limits limits;                     /* of this process; zeros: not known */
    char memory_by[PEL_LIMIT_TEXT];        /* "half of the machine's 24.0 GiB"; "": memory_limit was given */
    char threads_by[PEL_LIMIT_TEXT];       /* "the control group"; "": threads were given */
    int64_t memory_source, memory_filter, memory_buffers, memory_write, memory_base; /* the parts of the promise */
    double seconds_estimated;            /* 0: not timed */
    double seconds_reading;              /* of them, for reading the input (made images: for making it) */
    double seconds_settled;              /* before them, once a run: what noise and tuning took here; 0: the plan was taken over */
    bool rounds;                         /* a filter works in float32 on a type that has more bits */
    bool resumed;                        /* the plan was found in the output, not made anew */
    int64_t bytes_free, files_free;      /* where the output lies or will, now; -1: not known */
} pel_plan_summary;

typedef struct pel_run pel_run;

/* Describes the input, settles the noise, tunes and plans; writes nothing. With output NULL it ends after tuning: such a
 * run serves to look at noise and tuning only. Where the output holds a run with the same
 * settings its plan is taken over; with others: PEL_REFUSED, naming each setting that differs. A plan that cannot fit
 * into the memory: PEL_NO_MEMORY, naming the limit that would do. */
PEL_API bool pel_run_plan(pel_run **out, const pel_run_options *options, pel_on_progress *on_progress, void *arg, pel_error *err);

/* Where the books of a run lie. Everywhere a run is named by its output or by this folder. */
PEL_API bool pel_run_folder(char *out, size_t size, const char *run, pel_error *err);

/* Opens a file of such a folder, as open(2) would with these flags, and gives its descriptor, or -1. name may have folders before it
 * ("log/cluster.log"), which O_CREAT makes. PEL_REFUSED, with the name: a link, something with a second name, or no regular
 * file; nothing that it leads to is touched. */
PEL_API int pel_run_file(const char *folder, const char *name, int flags, pel_error *err);

/* Opens a run (its plan and its input). Of the options memory_bytes, threads, limits and open.remote count (keys are not kept
 * with the run). Here memory_bytes is not taken beyond the limits: where the plan's blocks need more than this process may
 * have, PEL_NO_MEMORY says so. */
PEL_API bool pel_run_open(pel_run **out, const char *run, const pel_run_options *how, pel_error *err);

/* The same for pel_run_verify only; how->input counts, too: NULL means where the plan says. An input that is not there or is another
 * now, and numbers of another version, are no errors unless the input was named: the run is opened without it, and the result says
 * why windows are not recomputed. */
PEL_API bool pel_run_open_to_verify(pel_run **out, const char *run, const pel_run_options *how, pel_error *err);

PEL_API void pel_run_destroy(pel_run *run); /* releases the lock; what is on disk stays */
PEL_API void pel_run_summary(const pel_run *run, pel_plan_summary *out);
PEL_API const pel_source *pel_run_source(const pel_run *run);
PEL_API int32_t pel_run_noise_count(const pel_run *run, int32_t image);                     /* channels; 0: no noise needed, or no such image */
PEL_API const pel_noise *pel_run_noise(const pel_run *run, int32_t image, int32_t channel); /* borrowed; NULL: none */
PEL_API const char *pel_run_setting(const pel_run *run, const char *name); /* resolved text; NULL: no such setting */

/* What the source said of the input when the run was planned, the same of several images once. false: no such number; nothing is
 * written. Texts are borrowed. */
PEL_API bool pel_run_note(const pel_run *run, int32_t number, pel_note *out);

/* One candidate that the data had to choose from. */
typedef struct pel_candidate {
    const char *settings;    /* what it sets beside the default, "" is the default; borrowed */
    double risk, error;      /* estimated mean squared error (grey values squared); standard error of its difference to the default's */
    bool chosen;
} pel_candidate;

/* Candidates of a channel, 0 where nothing was tuned by this process; number 0 is the default. false: there is no such
 * candidate, and nothing is written. */
PEL_API int32_t pel_run_candidate_count(const pel_run *run, int64_t channel);
PEL_API bool pel_run_candidate(const pel_run *run, int64_t channel, int32_t number, pel_candidate *out);

/* Times the filter on a sample of the image and fills seconds_estimated of later summaries. */
PEL_API bool pel_run_time(pel_run *run, pel_error *err);

/* Makes the output with its metadata and the plan beside it, and stops: no block is done. */
PEL_API bool pel_run_prepare(pel_run *run, pel_error *err);

/* Does all that is not done yet: blocks, pyramid, audit; needs the run's lock (PEL_REFUSED while another process
 * works on it). Failed blocks do not stop the rest. PEL_INCOMPLETE: some failed or the audit found holes, see
 * pel_status; PEL_INTERRUPTED: asked to stop, resumable. */
PEL_API bool pel_run_work(pel_run *run, pel_on_progress *on_progress, void *arg, pel_error *err);

/* A share of a run that exists, for processes on any number of machines that see its folder and know nothing of each
 * other. Two that do the same block write the same bytes. */
typedef struct pel_share {
    int64_t part, parts;      /* blocks number n with n % parts == part - 1; part from 1; parts 0: the list below */
    const int64_t *blocks;    /* these blocks, if not done */
    int64_t block_count;
    double seconds;           /* begin no block that would not end within so many seconds from now; 0 = no limit */
    bool keep_open;           /* never finish the run, even when this share was the last */
} pel_share;

/* Works on a share. When all blocks of the whole run are done by then, makes the pyramid and the audit, unless another
 * process is at it. *finished: the run is complete now. Errors: as pel_run_work, about this share only; PEL_INTERRUPTED
 * also where the seconds did not suffice. */
PEL_API bool pel_run_share(pel_run *run, const pel_share *share, bool *finished, pel_on_progress *on_progress, void *arg,
                           pel_error *err);

/* After pel_run_share: is this block done, as far as this process knows? */
PEL_API bool pel_run_block_done(const pel_run *run, int64_t block);

typedef struct pel_status {
    char state[16];                   /* "planned", "running", "interrupted", "incomplete", "done", "output gone" */
    char input[4096];
    char output[4096];
    char filter[32];
    int64_t blocks_done, blocks_total, blocks_failed;
    int64_t pyramid_done, pyramid_total;
    int64_t voxels, clipped;          /* of the finished blocks */
    int64_t blocks_damaged;           /* finished, with damaged tiles of the input in them or in their halo, which read as zero */
    int64_t bytes_written;            /* files of the finished blocks */
    double seconds;                   /* of work, summed over all starts */
    int64_t memory_promised, memory_peak; /* peak measured by the workers */
    int64_t memory_limit;             /* as given to who had the run whole; 0: not known */
    char memory_by[PEL_LIMIT_TEXT];   /* what set it, as in pel_plan_summary; "": it was given, or not known */
    int32_t workers;                  /* processes that work on it now */
    char worker[160];                 /* host and process id of one of them, "" = nobody */
    char last_error[512];
    char reason[512];                 /* why it stands still, where it does and is not done; "" = nobody said */
    bool silent;                      /* it stands still, and nobody said why: reason is "" or tells what was left behind */
    char run[33];                     /* the number that this run alone has; "": begun by a version that gave none */
} pel_status;

/* Progress of a run, from any machine that sees its folder; reads the plan and the ledger only. */
PEL_API bool pel_run_status(pel_status *out, const char *run, pel_error *err);

/* Keeps why a run stands still for those who ask for its status, until somebody works on it again. The library notes what it knows; who stopped it
 * knows more: which signal, whose scheduler. */
PEL_API bool pel_run_note_stop(const char *run, const char *reason, pel_error *err);

/* Calls failure(arg, block, attempt, host, text) for each block that is failed now. */
typedef void pel_on_failure(void *arg, int64_t block, int32_t attempt, const char *host, const char *text);
PEL_API bool pel_run_failures(const char *output, pel_on_failure *failure, void *arg, pel_error *err);

/* Calls on_note for each note of the plan of a run; its texts are borrowed for the call. */
typedef void pel_on_note(void *arg, const pel_note *note);
PEL_API bool pel_run_each_note(const char *run, pel_on_note *on_note, void *arg, pel_error *err);

enum pel_block_state { PEL_BLOCK_OPEN = 0, PEL_BLOCK_DONE = 1, PEL_BLOCK_FAILED = 2 };

/* What is known of one job of a run. Zeros and "" where nothing is; strings are valid while the callback runs. */
typedef struct pel_run_block {
    int64_t number;
    int32_t image, level;  /* level 0: a block; above: a shard of the pyramid that is made at the end */
    pel_region region;     /* in voxels of that level */
    enum pel_block_state state;
    int32_t attempt;       /* of the record that counts */
    double seconds;        /* of work, when done */
    int64_t memory_bytes;  /* peak of the process that did it, until then */
    int64_t at_us;         /* when it was finished or failed, microseconds since 1970 */
    const char *host, *error;
} pel_run_block;

/* Calls on_block once for every block and pyramid job of the run beside an output: those with a record in no
 * particular order, then the open ones. Reads the plan and the ledger only, from any machine that sees the folder. */
typedef void pel_on_block(void *arg, const pel_run_block *block);
PEL_API bool pel_run_each_block(const char *output, pel_on_block *on_block, void *arg, pel_error *err);

/* A process that works on a run, or was killed while it did (alive is false then). Its own figures. */
typedef struct pel_run_worker {
    const char *host;
    int64_t pid;
    bool alive;
    int64_t sign_us;   /* last sign of life, microseconds since 1970 */
    double seconds;    /* since it began */
    int32_t threads;
    int64_t memory_now, memory_peak, memory_promised, memory_limit; /* 0: not known */
} pel_run_worker;

/* Calls on_worker for each, in no particular order. */
typedef void pel_on_worker(void *arg, const pel_run_worker *worker);
PEL_API bool pel_run_each_worker(const char *output, pel_on_worker *on_worker, void *arg, pel_error *err);

/* One try at a block, as the books have it. Strings are borrowed for the call. */
typedef struct pel_try {
    int64_t block;
    bool done;
    int32_t attempt;       /* from 1: one more than failures before it */
    int64_t at_us;         /* microseconds since 1970 */
    double seconds;
    int64_t memory_peak;   /* of the process, bytes; 0 where it failed */
    const char *host, *text; /* text: why it failed */
} pel_try;

/* Calls each for every try at a block (block < 0: at all blocks), in no particular order. */
typedef void pel_on_try(void *arg, const pel_try *t);
PEL_API bool pel_run_history(const char *output, int64_t block, pel_on_try *each, void *arg, pel_error *err);

#define PEL_MOST_LEVELS 24

typedef struct pel_verify_result {
    int64_t files, missing, damaged;     /* the audit: expected, absent, of other length or checksum */
    int64_t windows, voxels;             /* of full resolution, recomputed from the input, most of them across block faces */
    int64_t different;                   /* voxels of all levels whose bits differ */
    char first[256];                     /* the first trouble in words */
    int32_t levels;                      /* resolution levels; of each: windows recomputed, voxels that differ */
    int64_t level_windows[PEL_MOST_LEVELS], level_different[PEL_MOST_LEVELS];
    int64_t documents;                   /* of metadata that the run has; missing and damaged count them, too */
    int64_t strays;                      /* files in the output's own groups and arrays that no run of it made */
    bool unlisted;                       /* the server does not tell what there is: strays cannot be seen */
    char no_windows[600];                /* why nothing was recomputed from the input; "": it was */
} pel_verify_result;

/* Audits every file and document of a run against plan and ledger, looks for files that are none of its own, and recomputes `windows` random windows of the output, most of them
 * across faces of blocks, straight from the input; and a quarter as many, larger ones, of each level above from the level
 * below. seed 0: another choice each time. */
PEL_API bool pel_run_verify(pel_verify_result *out, pel_run *run, int64_t windows, uint64_t seed,
                            pel_on_progress *on_progress, void *arg, pel_error *err);

/* ---- files that a program writes beside a run ------------------------------------------------------------------- */

/* What must not be lost when a picture, a page or a script is written. */
typedef struct pel_file_rule {
    const char *kind;          /* what is written: "png", "html", "script", "phantom" (CZI or TIFF) */
    const char *const *inputs; /* paths that are read: the file is none of them and lies in none (a Zarr store is a folder) */
    int32_t input_count;
    bool overwrite;            /* replace a file of another kind, too; an input never */
} pel_file_rule;

/* May a file be written there? Its suffix fits the kind, its folder exists, it is no input, it lies in no Zarr store and in no folder of
 * a run but INPUT.run, and what is there already is a
 * file of the same kind (of "phantom": one that pellucid made). Else PEL_ARGUMENT or PEL_REFUSED. Touches nothing. */
PEL_API bool pel_file_check(const char *path, const pel_file_rule *rule, pel_error *err);

/* Is the path none of the files and folders that the source reads, such as the other files of its set, and in none of them? Else
 * PEL_REFUSED. Touches nothing. remote: as the source was opened; NULL as there. */
PEL_API bool pel_source_apart(const pel_source *source, const char *path, const pel_remote *remote, pel_error *err);

/* Checks, writes aside, renames: readers see the old file or the new one. Links are followed. */
PEL_API bool pel_file_write(const char *path, const pel_file_rule *rule, const void *data, int64_t n, pel_error *err);

/* ---- the phantom: a made image with known truth -------------------------------------------------------------- */

/* Begin with PEL_PHANTOM_DEFAULTS, set the size, change what you want. */
typedef struct pel_phantom_options {
    int64_t size[PEL_AXES];      /* voxels, each at least 1 */
    int32_t scenes;              /* images in the file, each with objects of its own; 1 .. 1000 */
    uint64_t seed;               /* same seed, same image, bit for bit */
    pel_dtype dtype;             /* PEL_U8, PEL_U16 (rounded, saturated) or PEL_F32 (neither) */
    double gain, offset, background; /* camera: Y = gain N + e, N Poisson, e normal around `background` grey levels with
                                    readout^2 = offset + gain * background; gain 0: no photon statistics */
    double brightness;           /* factor on the expected photon counts (background 2-10, objects 10-500) */
    bool truth;                  /* no noise: the grey values that the camera shows on average, as PEL_F32 */
    double pixel_size[PEL_AXES]; /* as in pel_image */
    int64_t origin[PEL_AXES];    /* CZI: where voxel 0 lies in the file's coordinates; y and x only */
    /* Of files only: */
    int64_t tile_y, tile_x;      /* CZI mosaic, TIFF tile (multiples of 16); 0 = chosen by the image */
    int64_t overlap;             /* CZI: voxels that neighbouring tiles share */
    const char *compression;     /* "raw"; CZI: "zstd1"; TIFF: "deflate"; NULL = "raw" */
    int32_t threads;             /* 0 = 1 */
} pel_phantom_options;

#define PEL_PHANTOM_DEFAULTS                                                                                      \
    {                                                                                                             \
        .size = {1, 1, 1, 512, 512}, .scenes = 1, .seed = 1, .dtype = PEL_U16, .gain = 3.92, .offset = -388.0,    \
        .background = 100.0, .brightness = 1.0, .pixel_size = {1.0, 0.0, 0.3, 0.1, 0.1}                           \
    }

/* Writes OUT.czi or OUT.tif(f) (BigTIFF, OME-TIFF) aside and renames it: never a half file under `path`. Memory is a
 * few tiles a thread, whatever the size. Errors: ARGUMENT, IO, NO_MEMORY, INTERRUPTED. */
PEL_API bool pel_phantom_write(const char *path, const pel_phantom_options *options, pel_on_progress *on_progress, void *arg,
                               pel_error *err);

/* The name under which pel_source_open computes the same pixels without a file, e.g.
 * "phantom:t=1,c=2,z=64,y=512,x=512;seed=1;noise=3.92,-388". 512 bytes are always enough. */
PEL_API bool pel_phantom_name(char *name, size_t size, const pel_phantom_options *options, pel_error *err);

#ifdef __cplusplus
}
#endif
#endif
