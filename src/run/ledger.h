/* SPDX-License-Identifier: MIT
 * The day-book of a run: what is finished, in append-only files.
 *
 * Folder `ledger/` holds one file a writing process, <host>-<pid>-<token>-<start>.jsonl. A record is one line:
 *
 *     crc32c of the JSON text, 8 hex digits | one space | JSON object | newline
 *
 * A record counts if and only if its checksum holds; a torn last line is no record. The state of the run is the union
 * of all files, read in the order of their records' "at" (microseconds since 1970), the later record of a job winning.
 * Members: job, run (which each record of it names; none in a run without a number), at, host, pid, attempt, and either
 *   ok: true, files: [[path, bytes, checksum]…] (checksum: XXH3-128 of path, run and contents, 32 hex digits; a number, of older
 *       versions: CRC-32C of the contents; bytes -1: left out, all fill value), voxels, clipped, damaged: true where damaged tiles of the input read
 *       as zero, min, max (null: no voxel is finite), mean, channels: [[min, max]…] of a block of several, seconds, rss — the files are in place and synced before the record is written; or
 *   ok: false, error: text, withdraw: true where it takes back what was done (the audit found it missing or damaged).
 * Job -1 (PEL__LEDGER_DOCUMENTS): files are the metadata documents of the output as they are stored.
 * A failure that does not withdraw never undoes a job that another process finished. */
#ifndef PEL_RUN_LEDGER_H
#define PEL_RUN_LEDGER_H

#include "core/digest.h"
#include "pellucid.h"

typedef struct pel__ledger_file {
    char path[256];
    int64_t bytes;
    enum { PEL__SUM_NONE, PEL__SUM_CRC32C, PEL__SUM_XXH3 } sum; /* which was recorded; NONE: none that can be read, nothing fits it */
    pel__digest digest; /* XXH3: of path, run and contents */
    uint32_t crc32c;    /* CRC32C: of the contents, by versions that knew no other */
} pel__ledger_file;

#define PEL__LEDGER_DOCUMENTS (-1) /* the "job" of records that list the output's metadata documents; older versions pass them over */

typedef struct pel__ledger_record {
    int64_t job;
    bool ok, withdraw;
    bool damaged; /* damaged pieces of the input read as zero */
    int64_t voxels, clipped;
    double minimum, maximum, mean, seconds; /* NaN: no voxel is finite */
    double (*channels)[2]; /* least and most of each, where there are several; the first above the second: none is finite */
    int32_t channel_count;
    int64_t rss_bytes;
    int32_t attempt;
    int64_t at_us;
    const char *host;  /* borrowed: valid while the callback runs */
    const char *error; /* when not ok */
    const pel__ledger_file *files;
    int32_t file_count;
} pel__ledger_record;

/* Sums over the records that count now. */
typedef struct pel__ledger_totals {
    int64_t voxels, clipped, damaged, bytes_written, rss_peak_bytes; /* damaged: jobs */
    double seconds;
} pel__ledger_totals;

typedef struct pel__ledger pel__ledger;

/* Replays folder/ledger (which may be missing: nothing done yet). run: the plan's number, "" where it has none; jobs: how many the plan has. */
bool pel__ledger_open(pel__ledger **out, const char *folder, const char *run, int64_t jobs, pel_error *err);
/* Only what is said of the jobs j with wanted[j]; the others are as if nobody had tried them, and the totals leave them out.
 * Costs a fraction of reading all, for processes that do a few blocks of many. wanted is read during the call only. */
bool pel__ledger_open_some(pel__ledger **out, const char *folder, const char *run, int64_t jobs, const uint8_t *wanted, pel_error *err);
void pel__ledger_close(pel__ledger *l);

/* Any thread, while one appends. */
bool pel__ledger_done(pel__ledger *l, int64_t job);
bool pel__ledger_failed(pel__ledger *l, int64_t job);
int32_t pel__ledger_attempts(pel__ledger *l, int64_t job); /* failed ones */
int64_t pel__ledger_count_done(pel__ledger *l, int64_t first, int64_t count);
int64_t pel__ledger_count_failed(pel__ledger *l, int64_t first, int64_t count);
pel__ledger_totals pel__ledger_sums(pel__ledger *l);
void pel__ledger_last_error(pel__ledger *l, char *out, size_t size); /* of this process's failures; "" for none */

/* Appends and syncs one record; fills in at, host and pid. One thread at a time. */
bool pel__ledger_append(pel__ledger *l, const pel__ledger_record *record, pel_error *err);

/* Calls visit for the record that counts of every job that has one, in no particular order. Reads the files again;
 * memory is one line. Stops at the first false. */
typedef bool pel__ledger_visit(void *arg, const pel__ledger_record *record, pel_error *err);
bool pel__ledger_each(const pel__ledger *l, pel__ledger_visit *visit, void *arg, pel_error *err);

/* Records that were found whole when it was opened and do not count: of another run, of a time more than a year from now. */
void pel__ledger_ignored(const pel__ledger *l, int64_t *foreign, int64_t *future);

/* The metadata documents as they were recorded last; NULL and 0: never. Valid until the next record of them is appended. */
const pel__ledger_file *pel__ledger_documents(const pel__ledger *l, int32_t *count);

/* Calls visit for every record of folder/ledger that holds, but those of documents. */
bool pel__ledger_all(const char *folder, const char *run, pel__ledger_visit *visit, void *arg, pel_error *err);

#endif
