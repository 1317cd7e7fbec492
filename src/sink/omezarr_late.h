/* SPDX-License-Identifier: MIT
 * Files that are written and wait for the disk, or objects that wait for the network. A crew that only waits commits many
 * at once, because a file system commits them together, while the pool goes on computing; they are reported in the order
 * in which they were begun. One thread takes places, sends and trims; the place between is any thread's. */
#ifndef PEL_SINK_OMEZARR_LATE_H
#define PEL_SINK_OMEZARR_LATE_H

#include "sink/sink.h"
#include "zarr/store.h"

#define PEL__LATE_PLACES 128
#define PEL__LATE_BYTES (PEL__LATE_PLACES * ((int64_t)sizeof(pel__store_writer) + (int64_t)sizeof(pel__file_record) + 1280)) /* names, hash */

typedef struct pel__late_place {
    pel__store_writer file;
    pel__file_record record; /* bytes -1 beforehand: nothing was written, what is stored under the path is removed */
    bool done, ok;
    pel_error error;
} pel__late_place;

typedef struct pel__late pel__late;

bool pel__late_create(pel__late **out, pel__store *store, pel_error *err);
void pel__late_destroy(pel__late *late); /* waits; NULL allowed */

/* The next place, empty: waits and reports until there is one. NULL: err set. */
pel__late_place *pel__late_take(pel__late *late, pel__on_file *on_file, void *arg, pel_error *err);

/* Commits here and now what there is nothing to wait for. From any thread, before it is sent. */
void pel__late_now(pel__late *late, pel__late_place *place);

/* Hands the places taken and not yet sent to the crew. */
void pel__late_send(pel__late *late);

/* Waits until at most `most` are under way and reports those that came to their place. After a failure none is left. */
bool pel__late_trim(pel__late *late, int64_t most, pel__on_file *on_file, void *arg, pel_error *err);

/* Waits for those that were sent, gives up the others; nothing is reported. */
void pel__late_drop(pel__late *late);

#endif
