/* SPDX-License-Identifier: MIT
 * What the files of the CZI reader share. The way of a file: czi_segments.c finds the segments, czi_directory.c turns the
 * tile directory into a compact array, czi_xml.c reads the metadata, czi_index.c sorts tiles into images and planes,
 * czi_image.c describes the images, czi_tile.c fetches and decodes one tile, czi_read.c paints regions; czi.c holds it
 * together. Offsets and layouts: docs/formats-czi.md.
 *
 * After open everything here is constant except the pool of scratch, so any number of threads may read. */
#ifndef PEL_SOURCE_CZI_H
#define PEL_SOURCE_CZI_H

#include "core/file.h"
#include "source/damage.h"
#include "source/note.h"
#include "source/source.h"

#include <pthread.h>

/* ---- limits: a file beyond them is refused by name ---------------------------------------------------------- */

#define PEL__CZI_MAX_DIMENSIONS 40   /* entries of one tile; the format has 12 known letters */
#define PEL__CZI_MAX_FOLDED 16       /* axes folded into the channels: V I H R B and letters we do not know */
#define PEL__CZI_MAX_CHANNELS 65536
#define PEL__CZI_MAX_IMAGES 65536
#define PEL__CZI_MAX_PARTS 512       /* files of one set */
#define PEL__CZI_PART_MISSING 0x8000 /* in a tile's `part`: it is not here; below this bit its number, 0 = unknown */

/* ---- tiles -------------------------------------------------------------------------------------------------- */

enum pel__czi_flag {
    PEL__CZI_HAS_SCENE = 1,
    PEL__CZI_LEFT_OUT = 2, /* a pyramid tile: never painted */
    PEL__CZI_SCALED = 4,   /* stored at another size than it covers, and yet the data itself */
    PEL__CZI_SLICE = 32,   /* one plane of several in its payload: pel__czi_slice tells which */
    PEL__CZI_FLIPPED = 16, /* stored with its last row first */
    PEL__CZI_DOUBTED = 8,  /* its sub-block says otherwise: it has its place, reading it fails */
};

#define PEL__CZI_NO_M INT32_MIN /* sorts before every mosaic number */

/* One directory entry in 64 bytes: files of 1.2 million tiles are normal. */
typedef struct pel__czi_tile {
    int64_t position;                /* of its segment in its part's file */
    int32_t x, y, w, h;              /* rectangle it covers, raw coordinates */
    int32_t stored_w, stored_h;      /* pixels it holds */
    int32_t t, z, c, scene, m;       /* starts; 0 where the letter is missing, PEL__CZI_NO_M for m */
    int32_t fold;                    /* while parsing: number of its tuple; afterwards: folded channel group */
    int16_t compression;             /* as in the file, -1 where it does not fit */
    uint16_t part;                   /* index of its file in the set */
    uint8_t pixel;                   /* CZI pixel type, 255 where unknown */
    uint8_t pyramid;                 /* the legacy type byte */
    uint8_t flags;
    char stack_axis;                 /* letter of an axis besides X, Y, M with Size other than 1; 0 = none */
} pel__czi_tile;

typedef struct pel__czi_pixel {
    const char *name;                /* NULL = we do not read it */
    uint8_t bytes, samples;
    pel_dtype dtype;                 /* of one sample */
} pel__czi_pixel;

const pel__czi_pixel *pel__czi_pixel_type(int32_t id); /* NULL = unknown or not read */

enum pel__czi_compression {
    PEL__CZI_RAW = 0, PEL__CZI_JPEG = 1, PEL__CZI_LZW = 2, PEL__CZI_JPEG_LL = 3,
    PEL__CZI_JXR = 4, PEL__CZI_ZSTD0 = 5, PEL__CZI_ZSTD1 = 6, PEL__CZI_CAMERA_RAW = 100, PEL__CZI_SYSTEM_RAW = 1000,
};

/* ---- file set ----------------------------------------------------------------------------------------------- */

typedef struct pel__czi_part {
    pel__file *file;                 /* NULL: this part of the set is not there */
    uint8_t primary_guid[16], guid[16];
    int32_t number;                  /* FilePart */
    int64_t directory, metadata, attachments; /* positions, 0 = none */
    bool update_pending;
} pel__czi_part;

/* Distinct starts along the folded axes. letters[0..4] are always V I H R B; unknown letters follow as they appear. */
typedef struct pel__czi_tuples {
    char letters[PEL__CZI_MAX_FOLDED + 1];
    int32_t letter_count;
    int32_t (*tuple)[PEL__CZI_MAX_FOLDED];
    int32_t count, capacity;
    int32_t *slots;                  /* open addressing over the tuples; -1 = free */
    int32_t slot_count, last;
    int32_t low[PEL__CZI_MAX_FOLDED], high[PEL__CZI_MAX_FOLDED]; /* range of starts, set by the index */
} pel__czi_tuples;

bool pel__czi_tuples_find(pel__czi_tuples *t, const int32_t *starts, int32_t *number, pel_error *err);
bool pel__czi_tuples_letter(pel__czi_tuples *t, char letter, int32_t *slot, pel_error *err);

/* ---- metadata ----------------------------------------------------------------------------------------------- */

typedef struct pel__czi_channel_info {
    char id[64], name[96], fluor[64];
    bool has_color, has_window;
    uint32_t rgb;
    double excitation_nm, emission_nm, low, high;
} pel__czi_channel_info;

typedef struct pel__czi_objective {
    char id[64], name[96];
    double magnification, aperture;
} pel__czi_objective;

typedef struct pel__czi_scene_info {
    int32_t index;
    char name[96];
} pel__czi_scene_info;

typedef struct pel__czi_meta {
    double size_um[3];               /* x, y, z; 0 = unknown */
    double interval_s, z_step_um;
    int32_t bits;
    char acquired[40], objective_ref[64];
    pel__czi_channel_info *channels, *displays;
    int32_t channel_count, display_count;
    pel__czi_scene_info *scenes;
    int32_t scene_count;
    pel__czi_objective *objectives;
    int32_t objective_count;
    char trouble[160];               /* why the XML was not read to its end; "" = it was */
} pel__czi_meta;

/* ---- the source --------------------------------------------------------------------------------------------- */

/* An image is a scene; the rest of what is known about it sits in pel_image. */
typedef struct pel__czi_scene {
    int32_t scene;
    int64_t first, count;            /* its run in `order` */
    int32_t max_h;                   /* tallest tile */
    int32_t t_low, z_low;            /* starts of voxel 0 */
    bool uneven;                     /* gray beside colour: channels are laid out by channel_start */
} pel__czi_scene;

/* A tile of several planes. */
typedef struct pel__czi_stack {
    int64_t tile;                    /* its first plane */
    int64_t first;                   /* tiles [first, first + size - 1) are the others */
    int32_t size;
} pel__czi_stack;

typedef struct pel__czi_scratch pel__czi_scratch;
typedef struct pel__czi_cache pel__czi_cache;
typedef struct pel__czi_slot pel__czi_slot;

typedef struct pel__czi {
    pel_source base;
    pel__czi_part *parts;
    int32_t part_count;
    pel__czi_tile *tiles;            /* directory order */
    int64_t tile_count, left_out;    /* left_out: entries without a size, or damaged */
    pel__czi_stack *stacks;          /* as they were found; after pel__czi_unstack those that were split */
    int32_t stack_count;
    int32_t *order;                  /* L0 tiles by image, folded channel, t, z, y */
    int64_t order_count;
    pel__czi_scene *scenes;          /* one an image */
    pel__czi_tuples tuples;
    int32_t c_low, c_count;          /* range of C; groups = fold product * c_count */
    int32_t t_low, t_count, z_low, z_count; /* over all images: what `order` ranks by */
    int64_t groups;
    pel__czi_meta meta;
    int32_t *channel_start;          /* of each group and behind the last; NULL: all groups are gray, or all colour */
    pel_channel *channel_sets[4];    /* shared by images of 1, 3, 4 samples, and by uneven ones */
    pel__notes notes;                /* of the file, for all images */
    pel__notes *image_notes;         /* those and its own, an image each */
    bool use_mask, zero_damaged, flip_streamed; /* see pel_open_options */
    int64_t max_plane_tiles;         /* most tiles of one plane */
    int64_t max_payload;             /* bytes of the longest compressed stream that is read */
    int64_t max_helper;              /* bytes of a JPEG XR decoder process */
    int32_t disbelieved;             /* claims that were left out of these maxima */
    int64_t max_decoded, max_masked; /* bytes of the largest tile that must be decoded whole; of the largest mask */
    bool any_jxr, any_zstd;
    pthread_mutex_t lock;            /* guards the free list of scratch */
    pel__czi_scratch *free_scratch;
    pel__czi_cache *cache;           /* NULL = none */
    bool read_once;                  /* no voxel is asked for twice: tiles that lie whole in a region pass the cache by */
    char *jxr_helper;                /* path of the decoder program; NULL = not found */
} pel__czi;

/* ---- czi_segments.c ----------------------------------------------------------------------------------------- */

#define PEL__CZI_SEGMENT_HEADER 32

typedef struct pel__czi_segment {
    char id[17];
    int64_t position, allocated, used; /* used: already replaced by allocated where the file says 0 */
} pel__czi_segment;

bool pel__czi_read_segment(pel__czi_segment *out, pel__file *file, int64_t position, const char *id, pel_error *err);
bool pel__czi_read_header(pel__czi_part *part, pel_error *err);

/* Fields of a SUBBLOCK segment, checked against the file's size. */
typedef struct pel__czi_subblock {
    int64_t metadata, metadata_size, data, data_size, attachment, attachment_size;
} pel__czi_subblock;

bool pel__czi_read_subblock(pel__czi_subblock *out, pel__file *file, int64_t position, pel_error *err);

/* Calls found(arg, segment) for each segment of a file, hopping over damage; stops where it returns false. */
typedef bool pel__czi_found(void *arg, const pel__czi_segment *segment, pel_error *err);
bool pel__czi_walk(pel__file *file, pel__czi_found *found, void *arg, int64_t *skipped_bytes, pel_error *err);

/* ---- czi_directory.c ---------------------------------------------------------------------------------------- */

/* Appends the tiles of one part's directory to czi->tiles. A part without directory adds nothing. */
bool pel__czi_read_directory(pel__czi *czi, int32_t part, pel_error *err);
/* Appends the tiles that a walk over one part finds; also finds its metadata where the header does not say. */
bool pel__czi_recover(pel__czi *czi, int32_t part, pel_error *err);
void pel__czi_tuples_free(pel__czi_tuples *t);
/* The copy of its entry that the tile's sub-block holds; false: there is no readable one. */
bool pel__czi_read_copy(pel__czi_tile *out, pel__czi *czi, const pel__czi_tile *t);

/* ---- czi_doubt.c -------------------------------------------------------------------------------------------- */

/* Flags tiles whose entry is an outlier that their sub-block contradicts: one damaged number spoils its own tile only. */
bool pel__czi_doubt(pel__czi *czi, pel_error *err);

/* ---- czi_stack.c -------------------------------------------------------------------------------------------- */

bool pel__czi_keep_stack(pel__czi *czi, int64_t tile, int32_t size, pel_error *err);
/* Splits the tiles that hold a series of plain planes; the others keep their stack_axis, and reading them fails. */
bool pel__czi_unstack(pel__czi *czi, pel_error *err);
int64_t pel__czi_slice(const pel__czi *czi, int64_t tile); /* which plane of its payload a tile with PEL__CZI_SLICE is */

/* ---- czi_xml.c, czi_times.c --------------------------------------------------------------------------------- */

/* Never fails for bad XML: meta->trouble says what was wrong. False only for reading errors and lack of memory. */
bool pel__czi_read_meta(pel__czi_meta *meta, const pel__czi_part *part, uint32_t *crc, pel_error *err);
void pel__czi_meta_free(pel__czi_meta *meta);
/* Mean distance of `count` frames in seconds by the clock's stamps; 0 where the file has none, or they do not fit the frames. */
double pel__czi_time_step(const pel__czi_part *part, const pel__czi_meta *meta, int64_t count);

/* ---- czi_index.c, czi_image.c ------------------------------------------------------------------------------- */

bool pel__czi_index(pel__czi *czi, pel_error *err);
bool pel__czi_describe(pel__czi *czi, pel_error *err);
/* The run of one plane in `order`: [first, first + count). group = folded channel. t, z: starts in the file. */
void pel__czi_plane_tiles(const pel__czi *czi, int32_t image, int64_t group, int32_t t, int32_t z, int64_t *first,
                          int64_t *count);

/* ---- czi_tile.c --------------------------------------------------------------------------------------------- */

enum pel__czi_form {
    PEL__CZI_HILO = 1,  /* all low bytes, then all high bytes */
    PEL__CZI_SHORT = 2, /* its stream has less; the rest is zero */
};

/* Decoded pixels of one tile, borrowed from the scratch or from the cache: give them back by pel__czi_release. */
typedef struct pel__czi_pixels {
    const uint8_t *data;
    int64_t w, h;
    uint8_t form;                    /* of the flags below */
    pel__czi_slot *slot;             /* pinned; NULL = of the scratch */
} pel__czi_pixels;

typedef struct pel__czi_mask {
    const uint8_t *bits;             /* NULL = everything is valid */
    int64_t stride, w, h;
} pel__czi_mask;

struct pel__czi_scratch {
    pel__czi_scratch *next;
    uint8_t *payload, *decoded, *row, *mask;
    int64_t payload_size, decoded_size, row_size, mask_size;
    int64_t held;                    /* tile that `decoded` holds, -1 = none */
    uint8_t held_form;
    bool passes;                     /* the tile being decoded will not be wanted again */
    struct pel__unzstd *zstd;
    struct pel__jxr *jxr;
};

#define PEL__CZI_ROW_BYTES (1 << 20)
#define PEL__CZI_LARGEST_TILE (INT64_C(1) << 36) /* bytes decoded: reading a larger one fails */

int64_t pel__czi_decoded_bytes(const pel__czi_tile *t); /* -1 where that cannot be */
bool pel__czi_missing_part(const pel__czi *czi, uint16_t part, char *text, size_t size); /* "x(1).czi" that was looked for; false: no name known */
bool pel__czi_where_tile(const pel__czi *czi, int64_t tile, pel_error *err); /* prepends file and tile; false */
pel__czi_scratch *pel__czi_scratch_take(pel__czi *czi);
void pel__czi_scratch_give(pel__czi *czi, pel__czi_scratch *s);
void pel__czi_scratch_free(pel__czi_scratch *s);
int64_t pel__czi_scratch_bytes(const pel__czi *czi);
void pel__czi_count_tile(pel__czi *czi, const pel__czi_tile *t); /* adds to what reading will need: the codecs, the maxima */
bool pel__czi_grow(uint8_t **buffer, int64_t *size, int64_t want, pel_error *err);

/* How a tile's bytes lie: raw tiles are read by row, others are decoded whole. */
bool pel__czi_tile_open(pel__czi_subblock *out, bool *raw, const pel__czi *czi, int64_t tile, pel_error *err);
bool pel__czi_decode(pel__czi_pixels *out, pel__czi *czi, pel__czi_scratch *s, int64_t tile, const pel__czi_subblock *sub,
                     bool raw, pel_error *err);
void pel__czi_release(pel__czi *czi, pel__czi_pixels *pixels);
bool pel__czi_load_mask(pel__czi_mask *out, pel__czi *czi, pel__czi_scratch *s, int64_t tile, const pel__czi_subblock *sub,
                        pel_error *err);

/* One tile in the file's own pixel type and memory order (B, G, R), rows packed. size must be its exact size. */
bool pel__czi_tile_pixels(pel__czi *czi, int64_t tile, void *out, int64_t size, pel_error *err);

/* ---- czi_cache.c -------------------------------------------------------------------------------------------- */

int64_t pel__czi_slot_bytes(int64_t tile_bytes); /* 0 for 0 */
pel__czi_cache *pel__czi_cache_create(int64_t bytes, int64_t tile_bytes); /* NULL where not one tile fits, or no memory */
void pel__czi_cache_destroy(pel__czi_cache *c);

/* The decoded tile, pinned, or NULL. All of these take a NULL cache. */
pel__czi_slot *pel__czi_cache_get(pel__czi_cache *c, int64_t tile, const uint8_t **data, uint8_t *form);
/* Takes over *data and gives an old buffer (or NULL) in its place; the slot is pinned. NULL: not taken, *data is as it was. */
pel__czi_slot *pel__czi_cache_put(pel__czi_cache *c, int64_t tile, uint8_t **data, int64_t *size, uint8_t form);
void pel__czi_cache_release(pel__czi_cache *c, pel__czi_slot *slot);
void pel__czi_cache_counts(pel__czi_cache *c, int64_t *hits, int64_t *misses);

/* ---- czi_read.c --------------------------------------------------------------------------------------------- */

bool pel__czi_read(pel_source *s, int32_t image, const pel_block *dst, pel_error *err);

/* One plane of all scenes together, painted scene by scene; the region is in raw coordinates: origin t, group, z are starts in
 * the file and the folded group number, y and x raw. For tests and for viewers that want the stage. */
bool pel__czi_plane(pel__czi *czi, const pel_block *dst, pel_error *err);

#endif
