/* SPDX-License-Identifier: MIT
 * How many blocks took how long: stragglers are the bars far to the right of the median. */
#include "html.h"

#include <inttypes.h>
#include <math.h>

#define BINS 32
#define WIDTH 480.0
#define HEIGHT 110.0
#define STRAGGLER 3.0 /* times the median */

static void put_labels(FILE *page, const facts *f, double top)
{
    char a[QUANTITY];
    const double middle = f->median / top * WIDTH;
    const char *anchor = middle > WIDTH * 0.7 ? "end" : "start";
    put(page, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"2\" y2=\"%.0f\"/>", middle, middle, HEIGHT);
    put(page, "<text class=\"m\" x=\"%.1f\" y=\"12\" text-anchor=\"%s\">median %s</text>", middle + (anchor[0] == 'e' ? -5 : 5), anchor,
        say_seconds(a, f->median));
    put(page, "<line class=\"axis\" x1=\"0\" x2=\"%.0f\" y1=\"%.0f\" y2=\"%.0f\"/>", WIDTH, HEIGHT, HEIGHT);
    put(page, "<text x=\"0\" y=\"%.0f\">0 s</text>", HEIGHT + 15);
    put(page, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%s a block</text>", WIDTH, HEIGHT + 15, say_seconds(a, top));
}

void put_histogram(FILE *page, const facts *f)
{
    int64_t count[BINS] = {0}, most = 1;
    const double top = f->longest > 0 ? f->longest : 1e-3;
    for (int64_t i = 0; i < f->finished; i++) {
        const double place = (double)f->seconds[i] / top * BINS;
        const int bin = place >= BINS - 1 ? BINS - 1 : place > 0 ? (int)place : 0;
        most = ++count[bin] > most ? count[bin] : most;
    }
    put(page, "<svg class=\"chart\" role=\"img\" aria-label=\"histogram of seconds a block\" viewBox=\"0 -4 %.0f %.0f\">", WIDTH,
        HEIGHT + 24);
    for (int i = 0; i < BINS; i++) {
        if (count[i] == 0)
            continue;
        /* a single block among thousands must still be seen */
        const double tall = fmax((double)count[i] / (double)most * (HEIGHT - 20), 3), begin = top * i / BINS;
        put(page, "<rect%s x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%" PRId64 " from %.3g s</title></rect>",
            begin > STRAGGLER * f->median ? " class=\"tail\"" : "", i * WIDTH / BINS + 1, HEIGHT - tall, WIDTH / BINS - 2, tall, count[i], begin);
    }
    put_labels(page, f, top);
    put(page, "</svg>\n");
}
