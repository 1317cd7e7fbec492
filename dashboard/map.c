/* SPDX-License-Identifier: MIT
 * The block map: a panel an image, time, channel and row of blocks in z, in it one cell a block. Where there are more
 * than can be told apart, a cell stands for several neighbours; of many images each is one cell. */
#include "html.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CELLS 10000
#define MOST_PANELS 96
#define MOST_IMAGES 16 /* with a map of their own */

typedef struct {
    int64_t factor[PEL_AXES], grid[PEL_AXES]; /* grid: in cells */
} scale;

typedef struct {
    int32_t blocks, done, failed;
} cell;

enum look { OPEN, HALF, DONE, FAILED };

static enum look look_of(const cell *c)
{
    return c->failed > 0 ? FAILED : c->done == c->blocks && c->done > 0 ? DONE : c->done > 0 ? HALF : OPEN;
}

static int64_t panels_of(const scale *s) { return s->grid[PEL_T] * s->grid[PEL_C] * s->grid[PEL_Z]; }

static void fit(scale *s, const fact_image *m, int axis)
{
    s->factor[axis] *= 2;
    s->grid[axis] = (m->grid[axis] - 1) / s->factor[axis] + 1;
}

static int longest(const scale *s, int a, int b) { return s->grid[b] >= s->grid[a] ? b : a; }

static scale choose_scale(const fact_image *m, int64_t most_cells, int64_t most_panels)
{
    scale s;
    for (int a = 0; a < PEL_AXES; a++) {
        s.factor[a] = 1;
        s.grid[a] = m->grid[a];
    }
    while (panels_of(&s) > most_panels)
        fit(&s, m, longest(&s, longest(&s, PEL_C, PEL_T), PEL_Z));
    while (panels_of(&s) * s.grid[PEL_Y] * s.grid[PEL_X] > most_cells) {
        const int plane = longest(&s, PEL_Y, PEL_X);
        fit(&s, m, s.grid[plane] > 1 ? plane : longest(&s, longest(&s, PEL_C, PEL_T), PEL_Z));
    }
    return s;
}

static void count_cells(cell *cells, const scale *s, const facts *f, const fact_image *m)
{
    for (int64_t i = 0; i < m->count; i++) {
        int64_t rest = i, at = 0, step = 1;
        for (int a = PEL_AXES - 1; a >= 0; a--) {
            at += rest % m->grid[a] / s->factor[a] * step;
            rest /= m->grid[a];
            step *= s->grid[a];
        }
        cells[at].blocks++;
        cells[at].done += f->state[m->first + i] == PEL_BLOCK_DONE;
        cells[at].failed += f->state[m->first + i] == PEL_BLOCK_FAILED;
    }
}

/* One path a look, a stroke as high as a row for each stretch of cells that look the same. */
static void put_cells(FILE *page, const cell *cells, int64_t rows, int64_t columns, enum look look)
{
    static const char *const names[] = {"o", "h", "d", "f"};
    bool any = false;
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++) {
            const int64_t first = x;
            while (x < columns && look_of(&cells[y * columns + x]) == look)
                x++;
            if (x == first)
                continue;
            if (!any)
                put(page, "<path class=\"%s\" d=\"", names[look]);
            any = true;
            put(page, "M%" PRId64 " %" PRId64 ".5h%" PRId64, first, y, x - first);
        }
    if (any)
        put(page, "\"/>");
}

/* A dot tells a failed cell from a done one in print, too. */
static void put_dots(FILE *page, const cell *cells, int64_t rows, int64_t columns)
{
    bool any = false;
    for (int64_t i = 0; i < rows * columns; i++) {
        if (look_of(&cells[i]) != FAILED)
            continue;
        put(page, "%sM%" PRId64 ".5 %" PRId64 ".5h0", any ? "" : "<path class=\"x\" d=\"", i % columns, i / columns);
        any = true;
    }
    if (any)
        put(page, "\"/>");
}

static void put_grid(FILE *page, int64_t rows, int64_t columns)
{
    if (rows * columns < 2)
        return;
    put(page, "<path class=\"g\" d=\"");
    for (int64_t y = 1; y < rows; y++)
        put(page, "M0 %" PRId64 "h%" PRId64, y, columns);
    for (int64_t x = 1; x < columns; x++)
        put(page, "M%" PRId64 " 0v%" PRId64, x, rows);
    put(page, "\"/>");
}

/* Cells are as wide as the space allows: 4 to 22 pixels. Panels that have labels are not alone. */
static void put_panel(FILE *page, const cell *cells, int64_t rows, int64_t columns, const char *label)
{
    const int64_t side = rows > columns ? rows : columns, fair = (label[0] ? 150 : 300) / side;
    const int64_t size = fair > 22 ? 22 : fair < 4 ? 4 : fair;
    put(page, "<figure><svg role=\"img\" aria-label=\"blocks %s\" viewBox=\"0 0 %" PRId64 " %" PRId64 "\" width=\"%" PRId64 "\">", label,
        columns, rows, columns * size);
    for (int look = OPEN; look <= FAILED; look++)
        put_cells(page, cells, rows, columns, (enum look)look);
    put_grid(page, rows, columns);
    put_dots(page, cells, rows, columns);
    put(page, "</svg>");
    if (label[0])
        put(page, "<figcaption>%s</figcaption>", label);
    put(page, "</figure>\n");
}

/* "t 3, z 0–63", in voxels. */
static void label_panel(char *out, size_t size, const fact_image *m, const scale *s, int64_t panel)
{
    static const char axes[] = "tcz";
    int64_t at[3];
    size_t n = 0;
    for (int a = 2; a >= 0; a--) {
        at[a] = panel % s->grid[a];
        panel /= s->grid[a];
    }
    out[0] = '\0';
    for (int a = 0; a < 3 && n < size; a++) {
        const int64_t step = s->factor[a] * m->block[a], first = at[a] * step;
        const int64_t last = first + step < m->shape[a] ? first + step - 1 : m->shape[a] - 1;
        if (s->grid[a] == 1)
            continue;
        n += (size_t)snprintf(out + n, size - n, "%s%c %" PRId64, n ? ", " : "", axes[a], first);
        if (last > first && n < size)
            n += (size_t)snprintf(out + n, size - n, "–%" PRId64, last);
    }
}

static int64_t put_image(FILE *page, const facts *f, const fact_image *m, int64_t most_cells, int64_t most_panels)
{
    char label[96];
    const scale s = choose_scale(m, most_cells, most_panels);
    const int64_t panels = panels_of(&s), inside = s.grid[PEL_Y] * s.grid[PEL_X];
    cell *cells = calloc((size_t)(panels * inside), sizeof *cells);
    if (!cells)
        return 0;
    count_cells(cells, &s, f, m);
    put(page, "<div class=\"map\">\n");
    for (int64_t p = 0; p < panels; p++) {
        label_panel(label, sizeof label, m, &s, p);
        put_panel(page, cells + p * inside, s.grid[PEL_Y], s.grid[PEL_X], label);
    }
    put(page, "</div>\n");
    free(cells);
    return (m->count + panels * inside - 1) / (panels * inside);
}

/* Many images: a cell each, in rows. */
static int64_t put_images(FILE *page, const facts *f)
{
    const int64_t most = MOST_CELLS, each = (f->image_count + most - 1) / most, count = (f->image_count + each - 1) / each;
    int64_t columns = 1;
    while (columns * columns < count * 2)
        columns++;
    const int64_t rows = (count + columns - 1) / columns;
    cell *cells = calloc((size_t)(rows * columns), sizeof *cells);
    for (int32_t i = 0; cells && i < f->image_count; i++) {
        const fact_image *m = &f->images[i];
        cell *c = &cells[i / each];
        for (int64_t k = m->first; k < m->first + m->count; k++) {
            c->blocks++;
            c->done += f->state[k] == PEL_BLOCK_DONE;
            c->failed += f->state[k] == PEL_BLOCK_FAILED;
        }
    }
    put(page, "<div class=\"map\">\n");
    if (cells)
        put_panel(page, cells, rows, columns, "");
    put(page, "</div>\n<p class=\"key\">%" PRId64 " image%s a cell, row by row</p>\n", each, each == 1 ? "" : "s");
    free(cells);
    return 1;
}

void put_map(FILE *page, const facts *f)
{
    int64_t joined = 1;
    if (f->image_count > MOST_IMAGES) {
        (void)put_images(page, f);
    } else {
        for (int32_t i = 0; i < f->image_count; i++) {
            if (f->image_count > 1) {
                put(page, "<h3>Image %" PRId32 " <small>", i);
                put_text(page, f->images[i].name, 100);
                put(page, "</small></h3>\n");
            }
            const int64_t n = put_image(page, f, &f->images[i], MOST_CELLS / f->image_count, MOST_PANELS / f->image_count);
            joined = n > joined ? n : joined;
        }
    }
    put(page, "<p class=\"key\"><span class=\"fill-done\"></span>done<span class=\"fill-half\"></span>some of a cell done"
              "<span class=\"fill-fail\"></span>failed (with a dot)<span class=\"fill-open\"></span>open");
    if (joined > 1)
        put(page, "; a cell is %" PRId64 " blocks", joined);
    put(page, "</p>\n");
}
