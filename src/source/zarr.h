/* SPDX-License-Identifier: MIT
 * What the files of the Zarr source share: zarr.c (opening, reading), zarr_paths.c (where the
 * images are), zarr_ome.c (OME metadata into images) and zarr_space.c (units and transformations). */
#ifndef PEL_SOURCE_ZARR_H
#define PEL_SOURCE_ZARR_H

#include "source/note.h"
#include "source/source.h"
#include "zarr/array.h"

#define PEL__AXIS_NONE (-1)     /* length 1, left out */
#define PEL__AXIS_POSITION (-2) /* each index is an image */

/* An axis as OME metadata name it; "" where unknown. */
typedef struct pel__zarr_axis {
    const char *name, *type, *unit;
} pel__zarr_axis;

/* One image: the array of the chosen level, and which image axis each of its axes is. The images along an axis of
 * positions share array, channels and notes, which belong to the first of them. */
typedef struct pel__zarr_image {
    pel__zarr_array *array;
    int32_t axis[PEL_MAX_NDIM]; /* PEL_T … PEL_X, or one of the above */
    int64_t position;           /* along the axis of positions */
    bool shares;
    pel_channel *channels;
    pel__notes notes;
} pel__zarr_image;

typedef struct pel__zarr_source {
    pel_source base; /* images run along with `list` */
    pel__store *store;
    pel__codec_shelf *shelf;
    pel__zarr_image *list;
    int64_t channels; /* of all images so far */
    bool absent;      /* why opening an image failed: its group or its array was never written */
} pel__zarr_source;

/* Where images are, relative to the store. Zero-initialise. */
typedef struct pel__zarr_paths {
    char **list;
    int32_t count;
    int32_t holes;   /* wells and images that are named and were never written */
    char first[160]; /* paths of the first ones, "A/2, B/1/0" */
} pel__zarr_paths;

void pel__zarr_paths_free(pel__zarr_paths *p);
void pel__zarr_paths_hole(pel__zarr_paths *p, const char *path);
bool pel__zarr_path_inside(const char *path); /* not absolute, no "..", not too long; NULL allowed */
bool pel__zarr_collection_paths(pel__zarr_paths *p, pel__zarr_source *s, pel_error *err);
bool pel__zarr_plate_paths(pel__zarr_paths *p, pel__zarr_source *s, json_object *plate, pel_error *err);
bool pel__zarr_well_paths(pel__zarr_paths *p, const char *path, json_object *well, pel_error *err);

/* Documents of a node count for the plan's idea of the input. */
void pel__zarr_keep_identity(pel__zarr_source *s, const pel__zarr_node *node);

/* The object with the OME keys: attributes.ome (0.5) or the attributes themselves (0.4); NULL where there is none. */
json_object *pel__zarr_ome(const pel__zarr_node *node, pel_error *err);

/* Image `number` from the multiscales of the group at path. Opens the array. */
bool pel__zarr_ome_image(pel__zarr_source *s, int32_t number, const char *path, const pel__zarr_node *group, int32_t level,
                         pel_error *err);

/* The list of axes that a level is told in: of the multiscale, or (0.6) of the coordinate system that its transformation leads to.
 * NULL: there is none. */
json_object *pel__zarr_axes(json_object *multiscale, json_object *dataset);

/* Pixel sizes and place from the coordinateTransformations of a level and of all levels. Its array's axes are known. */
void pel__zarr_keep_space(pel__zarr_source *s, int32_t number, json_object *multiscale, json_object *dataset,
                          const pel__zarr_axis *axes);

/* The image of a bare array, or its images along an axis of positions: all that the source holds. axes as in
 * pel_open_options. */
bool pel__zarr_bare_images(pel__zarr_source *s, const char *path, const pel__zarr_node *node, const char *axes,
                           pel_error *err);

/* Makes the lists for so many images. Once. */
bool pel__zarr_make_room(pel__zarr_source *s, int64_t count, pel_error *err);

/* Adds a sentence to the image's notes; without memory it is lost, which harms nobody. */
void pel__zarr_note(pel__zarr_source *s, int32_t number, enum pel__note_kind kind, const char *fmt, ...) PEL_PRINTF(4, 5);

#endif
