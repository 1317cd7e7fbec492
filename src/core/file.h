/* SPDX-License-Identifier: MIT
 * Files: positioned exact reads that any number of threads may share, and writes that appear whole or not at all. */
#ifndef PEL_CORE_FILE_H
#define PEL_CORE_FILE_H

#include "pellucid.h"

#include <stdio.h>

/* Read-only file, opened once, no shared cursor. */
typedef struct pel__file pel__file;

/* To read line by line: a regular file only, so that a pipe or a device in its place makes nobody wait. NULL: err is set. */
FILE *pel__file_stream(const char *path, pel_error *err);

bool pel__file_open(pel__file **out, const char *path, pel_error *err); /* a directory is refused: PEL_FORMAT */
void pel__file_close(pel__file *f);
const char *pel__file_path(const pel__file *f);
int64_t pel__file_size(const pel__file *f); /* at open */
int64_t pel__file_mtime_ns(const pel__file *f);
int pel__file_fd(const pel__file *f); /* borrowed, for libraries that want one */

/* Exactly n bytes at `offset` or an error (PEL_DAMAGED for a file that ends too early). Any thread. */
bool pel__file_read(pel__file *f, int64_t offset, void *dst, size_t n, pel_error *err);

/* Up to n bytes at `offset` into dst; *got says how many (less than n only at the end of the file). Any thread. */
bool pel__file_read_some(pel__file *f, int64_t offset, void *dst, size_t n, size_t *got, pel_error *err);

/* A whole small file into fresh memory, NUL added after its *size bytes; larger than `limit`: PEL_FORMAT.
 * free() it. PEL_NOT_FOUND where there is none. */
bool pel__file_slurp(char **out, size_t *size, const char *path, size_t limit, pel_error *err);

/* A part of a file to be written. */
typedef struct pel__piece {
    const void *data;
    size_t n;
} pel__piece;

/* Writes the pieces under a temporary name in the same folder, syncs, renames over `path`. Readers see the old file
 * or the new one, never a part. On failure the temporary file is gone. Temporary names start with ".tmp-". */
bool pel__file_replace(const char *path, const pel__piece *pieces, int32_t n, pel_error *err);

/* mkdir -p. True also where it exists already as a folder. */
bool pel__make_dirs(const char *path, pel_error *err);

/* Joins with one slash into `out`; PEL_ARGUMENT where it does not fit. */
bool pel__path_join(char *out, size_t size, const char *folder, const char *name, pel_error *err);

#define PEL__PATH_MAX 4096

#endif
