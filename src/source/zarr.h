/* SPDX-License-Identifier: MIT
 * What the files of the Zarr source share: zarr.c (opening, reading) and zarr_ome.c (OME metadata into images). */
#ifndef PEL_SOURCE_ZARR_H
#define PEL_SOURCE_ZARR_H

#include "source/source.h"
#include "zarr/array.h"

/* One image: the array of the chosen level, and which image axis each of its axes is. */
typedef struct pel__zarr_image {
    pel__zarr_array *array;
    int32_t axis[PEL_MAX_NDIM]; /* PEL_T … PEL_X, or -1: length 1, left out */
    pel_channel *channels;
    char **notes;
} pel__zarr_image;

typedef struct pel__zarr_source {
    pel_source base; /* images run along with `list` */
    pel__store *store;
    pel__codec_shelf *shelf;
    pel__zarr_image *list;
} pel__zarr_source;

/* The object with the OME keys: attributes.ome (0.5) or the attributes themselves (0.4); NULL where there is none. */
json_object *pel__zarr_ome(const pel__zarr_node *node, pel_error *err);

/* Image `number` from the multiscales of the group at path. Opens the array. */
bool pel__zarr_ome_image(pel__zarr_source *s, int32_t number, const char *path, const pel__zarr_node *group, int32_t level,
                         pel_error *err);

/* Image `number` from a bare array; axes as in pel_open_options. */
bool pel__zarr_bare_image(pel__zarr_source *s, int32_t number, const char *path, const pel__zarr_node *node,
                          const char *axes, pel_error *err);

/* Adds a sentence to the image's notes; without memory it is lost, which harms nobody. */
void pel__zarr_note(pel__zarr_source *s, int32_t number, const char *fmt, ...) PEL_PRINTF(3, 4);

#endif
