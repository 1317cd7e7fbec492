/* SPDX-License-Identifier: MIT
 * See plot.h. Canvas of RGB pixels, a font of 5 x 7 dots drawn twice as large, numbers at round steps. */
#include "plot.h"

#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if PELLUCID_PNG
#include <png.h>

enum { WIDTH = 720, HEIGHT = 440, LEFT = 120, RIGHT = 20, TOP = 34, BOTTOM = 64, DOTS = 2, ADVANCE = 6 * DOTS };

static const uint32_t black = 0x202020, grey = 0xD8D8D8, blue = 0x2060C0, red = 0xC03020;

/* Rows of five dots from the top, five bits each. */
static const char letters[] = "0123456789.-+=,abcdefghijklmnopqrstuvwxyz";
static const uint64_t shapes[] = {
    0x3a33ae62e, 0x11842108e, 0x3a213221f, 0x78217043e, 0x08ca97c42, 0x7e1e0862e, 0x1910f462e, 0x7c2222108, 0x3a317462e, 0x3a317844c,
    0x00000018c, 0x0000f8000, 0x0084f9080, 0x001f07c00, 0x000003088, 0x000e0be2f, 0x4216cc63e, 0x000e8422e, 0x042d9c62f, 0x000e8fe0e,
    0x1928e2108, 0x01f18bc2e, 0x4216cc631, 0x100c2108e, 0x080610a4c, 0x4212a6292, 0x30842108e, 0x001aad631, 0x0016cc631, 0x000e8c62e,
    0x001e8fa10, 0x000d9bc21, 0x0016cc210, 0x000e8383e, 0x211c42126, 0x00118c66d, 0x00118c544, 0x00118d6aa, 0x001151151, 0x00118bc2e,
    0x001f1111f,
};

typedef struct canvas {
    uint8_t *rgb;
    int64_t width, height;
} canvas;

static void dot(const canvas *c, int64_t x, int64_t y, uint32_t colour)
{
    if (x < 0 || y < 0 || x >= c->width || y >= c->height)
        return;
    uint8_t *const p = c->rgb + 3 * (y * c->width + x);
    p[0] = (uint8_t)(colour >> 16);
    p[1] = (uint8_t)(colour >> 8);
    p[2] = (uint8_t)colour;
}

static void box(const canvas *c, int64_t x, int64_t y, int64_t w, int64_t h, uint32_t colour)
{
    for (int64_t i = 0; i < h; i++) {
        for (int64_t k = 0; k < w; k++)
            dot(c, x + k, y + i, colour);
    }
}

/* Capitals as small letters; what the font has not is a gap. */
static void text(const canvas *c, int64_t x, int64_t y, const char *s, uint32_t colour)
{
    for (; *s; s++, x += ADVANCE) {
        const char letter = (char)(*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s);
        const char *const at = strchr(letters, letter);
        for (int i = 0; at && i < 35; i++) {
            if (shapes[at - letters] >> (34 - i) & 1)
                box(c, x + (int64_t)(i % 5) * DOTS, y + (int64_t)(i / 5) * DOTS, DOTS, DOTS, colour);
        }
    }
}

/* ---- axes -------------------------------------------------------------------------------------------------- */

typedef struct axis {
    double low, high, step;
} axis;

/* Round numbers around [low, high]. */
static axis axis_of(double low, double high)
{
    if (!(high > low))
        high = low + 1;
    const double rough = (high - low) / 6, unit = pow(10, floor(log10(rough))), r = rough / unit;
    const double step = unit * (r <= 1 ? 1 : r <= 2 ? 2 : r <= 5 ? 5 : 10);
    return (axis){floor(low / step) * step, ceil(high / step) * step, step};
}

static int64_t place(const axis *a, double v, int64_t length)
{
    return (int64_t)lround((v - a->low) / (a->high - a->low) * (double)length);
}

typedef struct frame {
    axis x, y;
    int64_t left, top, width, height;
} frame;

static void draw_axes(const canvas *c, const frame *f, const plot_panel *p)
{
    char number[32];
    for (int i = 0; f->x.low + i * f->x.step <= f->x.high + 0.5 * f->x.step && i < 20; i++) {
        const double v = f->x.low + i * f->x.step;
        const int64_t x = f->left + place(&f->x, v, f->width);
        (void)snprintf(number, sizeof number, "%g", fabs(v) < 1e-9 * f->x.step ? 0.0 : v);
        box(c, x, f->top, 1, f->height, grey);
        text(c, x - (int64_t)strlen(number) * ADVANCE / 2, f->top + f->height + 8, number, black);
    }
    for (int i = 0; f->y.low + i * f->y.step <= f->y.high + 0.5 * f->y.step && i < 20; i++) {
        const double v = f->y.low + i * f->y.step;
        const int64_t y = f->top + f->height - place(&f->y, v, f->height);
        (void)snprintf(number, sizeof number, "%g", fabs(v) < 1e-9 * f->y.step ? 0.0 : v);
        box(c, f->left, y, f->width, 1, grey);
        text(c, f->left - 8 - (int64_t)strlen(number) * ADVANCE, y - 7, number, black);
    }
    box(c, f->left, f->top, 2, f->height, black);
    box(c, f->left, f->top + f->height - 1, f->width, 2, black);
    text(c, f->left + (f->width - (int64_t)strlen(p->x_label) * ADVANCE) / 2, f->top + f->height + 34, p->x_label, black);
    text(c, 8, f->top - 24, p->y_label, black);
    text(c, f->left + f->width - (int64_t)strlen(p->title) * ADVANCE, f->top - 24, p->title, red);
}

/* The 98th hundredth, half as much again: a few outliers shall not squeeze the rest. */
static double upper(const plot_panel *p)
{
    double *const y = malloc((size_t)p->count * sizeof *y), most = 0;
    for (int i = 0; y && i < p->count; i++) {
        int k = i;
        for (; k > 0 && y[k - 1] > p->points[i][1]; k--)
            y[k] = y[k - 1];
        y[k] = p->points[i][1];
    }
    most = y ? 1.5 * y[(p->count - 1) * 98 / 100] : p->points[0][1];
    free(y);
    return most;
}

static void draw_panel(const canvas *c, const plot_panel *p, int64_t top)
{
    double high = 0;
    frame f = {.left = LEFT, .top = top + TOP, .width = WIDTH - LEFT - RIGHT, .height = HEIGHT - TOP - BOTTOM};
    f.x = axis_of(p->points[0][0], p->points[p->count - 1][0]);
    high = upper(p);
    for (int k = 0; p->line && k < 2; k++)
        high = fmax(high, p->slope * (k ? f.x.high : f.x.low) + p->start);
    f.y = axis_of(0, high);
    draw_axes(c, &f, p);
    for (int i = 0; i < p->count; i++) {
        const int64_t x = f.left + place(&f.x, p->points[i][0], f.width), y = f.top + f.height - place(&f.y, fmin(p->points[i][1], f.y.high), f.height);
        box(c, x - 1, y - 1, 3, 3, blue);
    }
    for (int64_t x = 0; p->line && x <= 4 * f.width; x++) {
        const double mean = f.x.low + (f.x.high - f.x.low) * (double)x / (4.0 * (double)f.width), v = p->slope * mean + p->start;
        if (v >= f.y.low && v <= f.y.high)
            box(c, f.left + x / 4, f.top + f.height - place(&f.y, v, f.height) - 1, 2, 2, red);
    }
}

bool png_write(const char *path, const pel_file_rule *rule, const void *pixels, int64_t width, int64_t height, bool colour, pel_error *err)
{
    char *bytes = NULL;
    size_t n = 0;
    png_image png = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height,
                     .format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY};
    FILE *const f = open_memstream(&bytes, &n);
    if (!f)
        return set_error(err, PEL_NO_MEMORY, "%s: no memory for the picture", path);
    const bool made = png_image_write_to_stdio(&png, f, 0, pixels, 0, NULL) != 0, whole = fclose(f) == 0;
    const bool ok = made && whole ? pel_file_write(path, rule, bytes, (int64_t)n, err)
                                  : set_error(err, PEL_NO_MEMORY, "%s: no memory for the picture: %s", path, png.message);
    free(bytes);
    return ok;
}

bool plot_write(const char *path, const pel_file_rule *rule, const plot_panel *panels, int count, pel_error *err)
{
    canvas c = {NULL, WIDTH, (int64_t)HEIGHT * count};
    const size_t bytes = (size_t)(3 * c.width * c.height);
    c.rgb = malloc(bytes);
    if (!c.rgb)
        return set_error(err, PEL_NO_MEMORY, "%s: no memory for the plot", path);
    memset(c.rgb, 255, bytes);
    for (int i = 0; i < count; i++) {
        if (panels[i].count > 0)
            draw_panel(&c, &panels[i], (int64_t)HEIGHT * i);
    }
    const bool ok = png_write(path, rule, c.rgb, c.width, c.height, true, err);
    free(c.rgb);
    return ok;
}

#else

bool png_write(const char *path, const pel_file_rule *rule, const void *pixels, int64_t width, int64_t height, bool colour, pel_error *err)
{
    (void)rule;
    (void)pixels;
    (void)width;
    (void)height;
    (void)colour;
    return set_error(err, PEL_UNSUPPORTED, "%s: this build has no PNG", path);
}

bool plot_write(const char *path, const pel_file_rule *rule, const plot_panel *panels, int count, pel_error *err)
{
    (void)panels;
    return png_write(path, rule, NULL, 0, count, true, err);
}

#endif
