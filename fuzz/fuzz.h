/* SPDX-License-Identifier: MIT
 * What fuzz targets share: a folder of their own that is gone at the end, files in it, the parts of an input. A target
 * aborts where a promise is broken; sanitizers and libFuzzer see the rest. */
#ifndef PEL_FUZZ_FUZZ_H
#define PEL_FUZZ_FUZZ_H

#include "pellucid.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_folder[64];

static inline int fuzz_remove(const char *path, const struct stat *st, int type, struct FTW *at) { return remove(path); }
static inline void fuzz_clean(void) { (void)nftw(fuzz_folder, fuzz_remove, 16, FTW_DEPTH | FTW_PHYS); }

/* True the first time: then the folder has been made. */
static inline bool fuzz_begin(void)
{
    if (fuzz_folder[0])
        return false;
    (void)snprintf(fuzz_folder, sizeof fuzz_folder, "/tmp/fuzz-XXXXXX");
    if (!mkdtemp(fuzz_folder) || atexit(fuzz_clean) != 0)
        abort();
    return true;
}

static inline char *fuzz_path(char out[256], const char *name)
{
    if (snprintf(out, 256, "%s/%s", fuzz_folder, name) >= 256)
        abort();
    return out;
}

/* Folders on the way are made. */
static inline void fuzz_put(const char *name, const void *data, size_t n)
{
    char path[256];
    FILE *f = fopen(fuzz_path(path, name), "we");
    for (char *p = path + strlen(fuzz_folder) + 1; !f && (p = strchr(p, '/')); p++) {
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
    f = f ? f : fopen(path, "we");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0)
        abort();
}

static inline void fuzz_drop(const char *name)
{
    char path[256];
    (void)remove(fuzz_path(path, name));
}

/* A function that failed says why, and not that it is our bug. */
static inline void fuzz_failed(const pel_error *err)
{
    if (err->code == PEL_OK || err->code == PEL_INTERNAL || !err->text[0])
        abort();
}

/* The next part of the input, up to a zero byte, as text; free() it. NULL after the last. */
static inline char *fuzz_part(const uint8_t **data, size_t *size)
{
    if (*size == 0)
        return NULL;
    const uint8_t *const end = memchr(*data, 0, *size);
    const size_t n = end ? (size_t)(end - *data) : *size;
    char *const text = malloc(n + 1);
    if (!text)
        abort();
    memcpy(text, *data, n);
    text[n] = '\0';
    *data += n + (end != NULL);
    *size -= n + (end != NULL);
    return text;
}

#endif
