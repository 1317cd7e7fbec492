/* SPDX-License-Identifier: MIT
 * Options of the phantom as text: "phantom:t=1,c=2,z=64,y=512,x=512;seed=1;noise=3.92,-388". Fields are separated by
 * ';', in any order, all but the size optional: seed, noise=gain,offset, background, brightness, dtype, scenes,
 * origin=y,x, pixel=z,y,x (micrometres), interval (seconds). "phantom-truth:" is the same image without noise. */
#ifndef PEL_SOURCE_PHANTOM_H
#define PEL_SOURCE_PHANTOM_H

#include "core/error.h"
#include "pellucid.h"

/* Every value in its range, and the image no larger than a signed 64-bit count of bytes. */
bool pel__phantom_check(const pel_phantom_options *o, pel_error *err);

bool pel__phantom_parse(pel_phantom_options *out, const char *name, pel_error *err);

#endif
