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

PEL_API size_t pel_dtype_size(pel_dtype type);        /* bytes of one voxel */
PEL_API const char *pel_dtype_name(pel_dtype type);   /* "uint8" … "float64", as NumPy and Zarr v3 spell them */
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

/* One image of a file: a scene, a position, a series. Strings are UTF-8. */
typedef struct pel_image {
    char name[128];
    int64_t shape[PEL_AXES];
    pel_dtype dtype;
    double pixel_size[PEL_AXES];      /* t in seconds, c unused, z y x in micrometres; 0 = unknown */
    int64_t origin[PEL_AXES];         /* voxel 0 in the file's own coordinates (CZI: raw coordinates) */
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
    const char *const *notes;         /* what is missing or odd, one sentence each */
    int32_t note_count;
} pel_image;

/* ---- sources ----------------------------------------------------------------------------------------------- */

typedef struct pel_source pel_source;

typedef struct pel_open_options {
    int32_t level;         /* Zarr: resolution level, 0 = full */
    bool recover;          /* CZI: walk the segments of a file whose directory is missing or damaged */
    bool use_mask;         /* CZI: do not paint pixels that a valid-pixel mask rules out */
    const char *axes;      /* bare arrays: letters of p t c z y x, one an axis, e.g. "pczyx"; NULL = by the file */
    const char *helper_dir; /* where the helper programs (pellucid-jxr) are; NULL = beside the library's install */
    int32_t threads;       /* how many threads will read at once: bounds helper processes and scratch; 0 = 1 */
} pel_open_options;

/* Opens any file or store that pellucid reads; options may be NULL. Errors: NOT_FOUND, IO, FORMAT, UNSUPPORTED,
 * NO_MEMORY. No pixel is read. */
PEL_API bool pel_source_open(pel_source **out, const char *path, const pel_open_options *options, pel_error *err);
PEL_API void pel_source_destroy(pel_source *source);
PEL_API const char *pel_source_format(const pel_source *source); /* "czi", "tiff", "zarr", … */
PEL_API int32_t pel_source_image_count(const pel_source *source);
PEL_API const pel_image *pel_source_image(const pel_source *source, int32_t image); /* borrowed */

/* Fills dst->region (5 axes, inside the image) of one image. dst's dtype must be the image's. Voxels that the file
 * does not have are zero. All of the region or nothing: on false the pixels of dst are undefined.
 * Any thread, at most options.threads at once. Errors: IO, DAMAGED, FORMAT, NO_MEMORY, ARGUMENT. */
PEL_API bool pel_source_read(pel_source *source, int32_t image, const pel_block *dst, pel_error *err);

#ifdef __cplusplus
}
#endif
#endif
