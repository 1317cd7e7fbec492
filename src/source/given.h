/* SPDX-License-Identifier: MIT
 * What the caller knows about images and the file does not say. */
#ifndef PEL_SOURCE_GIVEN_H
#define PEL_SOURCE_GIVEN_H

#include "source/source.h"

/* Pixel sizes as typed, "z=1,y=0.5,x=0.5" (micrometres; t seconds), into every image: they go before what the file says.
 * PEL_ARGUMENT for text that cannot be read. */
bool pel__source_pixel_size(pel_source *source, const char *text, pel_error *err);

#endif
