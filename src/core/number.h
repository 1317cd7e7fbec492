/* SPDX-License-Identifier: MIT
 * Numbers as text that gives the same number back. */
#ifndef PEL_CORE_NUMBER_H
#define PEL_CORE_NUMBER_H

#include <stdio.h>
#include <stdlib.h>

#define PEL__NUMBER_SIZE 40

/* As few digits as do, but not fewer than `least`; decimal point of the locale. */
static inline void pel__number_text(char text[PEL__NUMBER_SIZE], double value, int least)
{
    text[0] = '\0';
    for (int digits = least; digits <= 17 && (digits == least || strtod(text, NULL) != value); digits++)
        (void)snprintf(text, PEL__NUMBER_SIZE, "%.*g", digits, value);
}

#endif
