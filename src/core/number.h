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

/* To 15 digits, which every decimal number of so many survives: 1e-7 m are 0.1 micrometres, not 0.09999999999999999. */
static inline double pel__rounded(double value)
{
    char text[PEL__NUMBER_SIZE];
    (void)snprintf(text, sizeof text, "%.15g", value);
    return strtod(text, NULL);
}

/* A value in another unit; as it is, with all its digits, where it is in this one. */
static inline double pel__converted(double value, double unit)
{
    return unit == 1 ? value : pel__rounded(value * unit);
}

#endif
