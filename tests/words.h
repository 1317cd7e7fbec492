/* SPDX-License-Identifier: MIT
 * Numbers on the command lines of test programs. */
#ifndef PEL_TESTS_WORDS_H
#define PEL_TESTS_WORDS_H

#include <stdbool.h>
#include <stdlib.h>

/* Exactly n numbers separated by commas. */
static inline bool parse_numbers(const char *text, double *out, int n)
{
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        out[i] = strtod(text, &end);
        if (end == text || *end != (i == n - 1 ? '\0' : ','))
            return false;
        text = end + 1;
    }
    return true;
}

#endif
