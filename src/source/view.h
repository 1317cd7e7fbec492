/* SPDX-License-Identifier: MIT
 * A part of a source, which looks like a source of its own: some images, and of each a box. Selections by channel, time,
 * plane or rectangle cost no code anywhere else. */
#ifndef PEL_SOURCE_VIEW_H
#define PEL_SOURCE_VIEW_H

#include "source/source.h"

/* Takes `base` (also when it fails). select: "image=0:3;c=2;z=10:200": a number, or a half-open range whose ends may be
 * left out; keys image t c z y x, each at most once. PEL_ARGUMENT for text that cannot be read and for ranges that hold
 * nothing of an image. */
bool pel__source_view(pel_source **out, pel_source *base, const char *select, pel_error *err);

#endif
