/* SPDX-License-Identifier: MIT
 * Pictures as PNG files, and a small plot among them: points, a line, axes with numbers. */
#ifndef PEL_CLI_PLOT_H
#define PEL_CLI_PLOT_H

#include "pellucid.h"

/* One panel: points (x, y), and y = slope x + start where `line`. */
typedef struct plot_panel {
    const char *title, *x_label, *y_label; /* of the letters that plot.c has */
    const double (*points)[2];
    int count;
    bool line;
    double slope, start;
} plot_panel;

/* Panels one below the other. */
bool plot_write(const char *path, const pel_file_rule *rule, const plot_panel *panels, int count, pel_error *err);

/* Rows of bytes, three a pixel with `colour`. */
bool png_write(const char *path, const pel_file_rule *rule, const void *pixels, int64_t width, int64_t height, bool colour, pel_error *err);

#endif
