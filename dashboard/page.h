/* SPDX-License-Identifier: MIT
 * The page: sections in the order in which people look. */
#ifndef PELLUCID_DASHBOARD_PAGE_H
#define PELLUCID_DASHBOARD_PAGE_H

#include "html.h"

typedef struct page_options {
    const char *output, *version;
    bool beside; /* the page lies in the run's folder: it links to its neighbours, and reloads itself while work goes on */
} page_options;

void page_print(FILE *page, const facts *f, const page_options *options);

/* settings.c: what made the result, for a paper or a ticket. */
void put_settings(FILE *page, const facts *f, const page_options *options);

#endif
