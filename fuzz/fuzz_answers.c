/* SPDX-License-Identifier: MIT
 * Any bytes as what an HTTP or S3 server says: a header line, or a listing of keys. */
#include "fuzz.h"

#include "zarr/answer.h"

static void read_header(const char *line, size_t n)
{
    static const char *const names[] = {"content-range", "x-amz-checksum-crc32c", "retry-after", "x"};
    char value[128];
    int64_t first = -7, last = -7, total = -7;
    uint32_t crc = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!pel__answer_header(line, n, names[i], value, sizeof value))
            continue;
        if (strlen(value) >= n)
            abort();
        (void)pel__answer_crc32c(value, &crc);
        if (pel__answer_range(value, &first, &last, &total) ? first < 0 || last < first || last == INT64_MAX || (total >= 0 && total <= last)
                                                            : first != -7 || last != -7 || total != -7)
            abort();
    }
    (void)pel__answer_crc32c(line, &crc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *const text = malloc(size + 1), *at = text;
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    read_header(text, size);
    for (const char *key = pel__answer_key(&at); key; key = pel__answer_key(&at))
        if (at > text + size || strlen(key) > size)
            abort();
    free(text);
    return 0;
}
