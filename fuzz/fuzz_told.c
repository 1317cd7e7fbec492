/* SPDX-License-Identifier: MIT
 * Any text as what a task of the cluster printed. */
#include "fuzz.h"

#include "engine/told.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int64_t blocks[] = {0, 3, 4, 900};
    static const pel__batch batch = {.blocks = blocks, .count = 4};
    char words[512];
    char *const text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    for (int k = 0; k < 2; k++) {
        pel__told told;
        if (!pel__told_read(&told, k ? &batch : NULL, text))
            abort();
        pel__told_crash(words, sizeof words, &told);
        if (!words[0])
            abort();
        pel__told_destroy(&told, &batch);
    }
    free(text);
    return 0;
}
