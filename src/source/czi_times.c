/* SPDX-License-Identifier: MIT
 * The time stamps attachment of a CZI file: what the clock really said, as opposed to the interval that was planned. */
#include "source/czi.h"

#include "core/bytes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ENTRIES_OFFSET 288
#define ENTRY_BYTES 128
#define DATA_OFFSET 288
#define SECONDS_A_DAY 86400.0
#define DAYS_TO_1970 25569.0 /* of the clock that counts days since the end of 1899 */

/* The date of the acquisition on that clock; 0 = unknown. The time of day does not matter. */
static double acquired_day(const char *text)
{
    struct tm date = {0};
    char *end = NULL;
    date.tm_year = (int)strtol(text, &end, 10) - 1900;
    if (end == text || *end != '-' || date.tm_year < 0 || date.tm_year > 300)
        return 0;
    date.tm_mon = (int)strtol(end + 1, &end, 10) - 1;
    if (*end != '-')
        return 0;
    date.tm_mday = (int)strtol(end + 1, &end, 10);
    return (double)timegm(&date) / SECONDS_A_DAY + DAYS_TO_1970;
}

/* Some writers give seconds since the session began, others days since 1899, which are all about 40000. Such a number of seconds is not rare,
 * either (5 to 22 hours): the acquisition's date tells, else the planned interval, else a step that cannot be the one or the other. */
static double step_of(double first, double step, const pel__czi_meta *meta)
{
    const double day = acquired_day(meta->acquired), planned = meta->interval_s;
    if (!isfinite(step) || step <= 0)
        return 0;
    if (first <= 20000 || first >= 80000)
        return step;
    if (day > 0 && fabs(first - day) <= 2)
        return step * SECONDS_A_DAY;
    if (planned > 0)
        return fabs(log(step * SECONDS_A_DAY / planned)) < fabs(log(step / planned)) ? step * SECONDS_A_DAY : step;
    if (day > 0 || step >= 1)
        return step;
    return step < 0.001 ? step * SECONDS_A_DAY : 0;
}

/* How many stamps are there before the zeros at the end, which are room that was never used. */
static int64_t used_stamps(pel__file *file, int64_t at, int64_t stamps)
{
    uint8_t raw[4096];
    while (stamps > 0) {
        const int64_t n = pel__min(stamps, (int64_t)sizeof raw / 8);
        if (!pel__file_read(file, at + 8 * (stamps - n), raw, (size_t)n * 8, NULL))
            return 0;
        for (int64_t i = n; i > 0; i--, stamps--)
            if (pel__load_f64(raw + 8 * (i - 1)) != 0)
                return stamps;
    }
    return 0;
}

/* Several tracks stamp each frame one after the other: the first of each frame counts. */
static double read_stamps(pel__file *file, int64_t position, const pel__czi_meta *meta, int64_t count)
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
    const int64_t stamps = used_stamps(file, data + 8, pel__min(pel__load_i32(head + 12), (size - 8) / 8)), tracks = stamps / count;
    if (tracks < 1 || stamps % count != 0 || !pel__file_read(file, data + 8, first, 8, NULL) ||
        !pel__file_read(file, data + 8 + 8 * tracks * (count - 1), last, 8, NULL))
        return 0;
    return step_of(pel__load_f64(first), (pel__load_f64(last) - pel__load_f64(first)) / (double)(count - 1), meta);
}

double pel__czi_time_step(const pel__czi_part *part, const pel__czi_meta *meta, int64_t count)
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
            return read_stamps(part->file, pel__load_i64(raw + 12), meta, count);
    }
    return 0;
}
