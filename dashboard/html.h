/* SPDX-License-Identifier: MIT
 * Small things that every part of the page needs: escaped text, quantities, the parts themselves. */
#ifndef PELLUCID_DASHBOARD_HTML_H
#define PELLUCID_DASHBOARD_HTML_H

#include "facts.h"

#include <stdio.h>

/* fprintf; a page that cannot be written is found out once, at the end. */
void put(FILE *page, const char *fmt, ...) PEL_PRINTF(2, 3);

/* Text from a file or a user: at most `most` bytes of it, marked up for HTML text and for attributes in double quotes;
 * what is no UTF-8 or a control character becomes U+FFFD. */
void put_text(FILE *page, const char *text, size_t most);

#define QUANTITY 48
const char *say_bytes(char out[QUANTITY], double bytes);     /* "1.46 GiB" */
const char *say_duration(char out[QUANTITY], double seconds); /* "2 h 05 min" */
const char *say_seconds(char out[QUANTITY], double seconds);  /* "0.42 s", otherwise as a duration */
const char *say_count(char out[QUANTITY], int64_t n);         /* "1 203 118", with narrow no-break spaces */
const char *say_time(char out[QUANTITY], int64_t us);         /* "2026-11-23 16:29:34 UTC" */

void put_style(FILE *page);

/* map.c: one small drawing a panel of blocks. */
void put_map(FILE *page, const facts *f);

/* chart.c: how many blocks took how long. */
void put_histogram(FILE *page, const facts *f);

/* preview.c, or preview_none.c without libpng: false where there is nothing to show. */
bool put_preview(FILE *page, const facts *f, const char *output);

#endif
