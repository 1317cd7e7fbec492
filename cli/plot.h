/* SPDX-License-Identifier: MIT
 * A small plot as a PNG: points, a line, axes with numbers. */
#ifndef PEL_CLI_PLOT_H
#define PEL_CLI_PLOT_H

#include <stdbool.h>
#include <stdint.h>

/* One panel: points (x, y), and y = slope x + start where `line`. */
typedef struct plot_panel {
    const char *title, *x_label, *y_label; /* of the letters that plot.c has */
    const double (*points)[2];
    int count;
    bool line;
    double slope, start;
} plot_panel;

/* Panels one below the other. False with a reason in `why`. */
bool plot_write(const char *path, const plot_panel *panels, int count, const char **why);

#endif
