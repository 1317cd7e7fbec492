/* SPDX-License-Identifier: MIT
 * The error value (pel_error): how functions fill it and add where they were. Text grows leftwards:
 * the innermost function says what was found and expected, each caller may prepend file, tile or block. */
#ifndef PEL_CORE_ERROR_H
#define PEL_CORE_ERROR_H

#include "pellucid.h"

/* Sets code and text and returns false, so that callers write `return pel__fail(err, PEL_FORMAT, "…", …);`.
 * Text that does not fit loses the middle of its longest words, then its own middle, never its end. err may be NULL. */
bool pel__fail(pel_error *err, int32_t code, const char *fmt, ...) PEL_PRINTF(3, 4);

/* The same with the operating system's reason for errno value `number` appended. Code PEL_IO, or PEL_NOT_FOUND for
 * ENOENT and ENOTDIR, PEL_NO_MEMORY for ENOMEM. Of a full disk, quota or memory the text says what to do. */
bool pel__fail_errno(pel_error *err, int number, const char *fmt, ...) PEL_PRINTF(3, 4);

/* Prepends context ("file.czi: tile 41: ") to an error that is set. Returns false, for the same idiom. */
bool pel__where(pel_error *err, const char *fmt, ...) PEL_PRINTF(2, 3);

/* The analyser looks at one file at a time: here it learns that these never return true. */
#ifdef __clang_analyzer__
#define pel__fail(...) (pel__fail(__VA_ARGS__), false)
#define pel__fail_errno(...) (pel__fail_errno(__VA_ARGS__), false)
#define pel__where(...) (pel__where(__VA_ARGS__), false)
#endif

#endif
