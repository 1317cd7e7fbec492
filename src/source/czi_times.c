/* SPDX-License-Identifier: MIT
 * The time stamps attachment of a CZI file: what the clock really said, as opposed to the interval that was planned. */
#include "source/czi.h"

#include "core/bytes.h"

#include <math.h>
#include <stdlib.h>

#define ENTRIES_OFFSET 288
#define ENTRY_BYTES 128
#define DATA_OFFSET 288
#define SECONDS_A_DAY 86400.0

/* Some writers give seconds from the start, others days since 1899: those are all about 40000 and close together. */
static double step_of(double first, double last, int64_t count)
{
    const double step = (last - first) / (double)(count - 1);
    const bool days = first > 20000 && last < 80000 && last - first < 400;
    if (!isfinite(step) || step <= 0)
        return 0;
    return days ? step * SECONDS_A_DAY : step;
}

static double read_stamps(pel__file *file, int64_t position, int64_t count)
{
    pel__czi_segment s;
    uint8_t head[16], first[8], last[8];
    if (!pel__czi_read_segment(&s, file, position, "ZISRAWATTACH", NULL))
        return 0;
    const int64_t data = position + DATA_OFFSET;
    if (data > pel__file_size(file) - 8 ||
        !pel__file_read(file, position + PEL__CZI_SEGMENT_HEADER, head, 8, NULL) ||
        !pel__file_read(file, data, head + 8, 8, NULL))
        return 0;
    const int64_t size = pel__min(pel__load_i64(head), pel__file_size(file) - data);
    const int64_t stamps = pel__min(pel__load_i32(head + 12), (size - 8) / 8);
    if (stamps < count || !pel__file_read(file, data + 8, first, 8, NULL) ||
        !pel__file_read(file, data + 8 + 8 * (count - 1), last, 8, NULL))
        return 0;
    return step_of(pel__load_f64(first), pel__load_f64(last), count);
}

double pel__czi_time_step(const pel__czi_part *part, int64_t count)
{
    pel__czi_segment s;
    uint8_t raw[ENTRY_BYTES];
    if (count < 2 || part->attachments == 0 ||
        !pel__czi_read_segment(&s, part->file, part->attachments, "ZISRAWATTDIR", NULL) ||
        !pel__file_read(part->file, part->attachments + PEL__CZI_SEGMENT_HEADER, raw, 4, NULL))
        return 0;
    const int64_t entries = pel__min(pel__load_i32(raw), 4096);
    for (int64_t i = 0; i < entries; i++) {
        const int64_t at = part->attachments + ENTRIES_OFFSET + i * ENTRY_BYTES;
        if (at > pel__file_size(part->file) - ENTRY_BYTES || !pel__file_read(part->file, at, raw, sizeof raw, NULL))
            return 0;
        if (memcmp(raw, "A1", 2) == 0 && memcmp(raw + 40, "CZTIMS", 7) == 0)
            return read_stamps(part->file, pel__load_i64(raw + 12), count);
    }
    return 0;
}
