/* SPDX-License-Identifier: MIT
 * Does the picture look right? The middle plane of each channel from the lowest resolution level, small, inside the page. */
#include "html.h"

#include <inttypes.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PANELS 12
#define MOST_PIXELS 60000             /* of all panels together: 80 kB in the page at worst */
#define MOST_READ ((int64_t)4 << 20) /* pixels of one plane: a level that is larger is none for a preview */

typedef struct {
    uint8_t *grey;
    int64_t height, width;
} picture;

/* ---- from pixels to grey ------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Grey values below which 0.5 % and 99.7 % lie, of those that are not zero: what is not written yet is zero. */
static void find_window(const float *v, float *sorted, int64_t n, double *low, double *high)
{
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(v[i]) && v[i] != 0)
            sorted[k++] = v[i];
    qsort(sorted, (size_t)k, sizeof *sorted, by_value);
    *low = k > 0 ? (double)sorted[(int64_t)(0.005 * (double)(k - 1))] : 0;
    *high = k > 0 ? (double)sorted[(int64_t)(0.997 * (double)(k - 1))] : 1;
    if (*high <= *low)
        *high = *low + 1;
}

/* Means over `step` x `step` pixels. */
static void shrink(float *v, int64_t *height, int64_t *width, int64_t step)
{
    const int64_t h = (*height + step - 1) / step, w = (*width + step - 1) / step;
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            double sum = 0;
            int64_t n = 0;
            for (int64_t j = y * step; j < (y + 1) * step && j < *height; j++)
                for (int64_t i = x * step; i < (x + 1) * step && i < *width; i++, n++)
                    sum += (double)v[j * *width + i];
            v[y * w + x] = (float)(sum / (double)n); /* never overtakes what is still to be read */
        }
    *height = h;
    *width = w;
}

static bool to_grey(picture *p, float *v, int64_t pixels)
{
    int64_t step = 1;
    while (((p->height + step - 1) / step) * ((p->width + step - 1) / step) > pixels)
        step++;
    if (step > 1)
        shrink(v, &p->height, &p->width, step);
    const int64_t n = p->height * p->width;
    float *sorted = malloc((size_t)n * sizeof *sorted);
    double low = 0, high = 1;
    p->grey = malloc((size_t)n);
    if (!sorted || !p->grey) {
        free(sorted);
        return false;
    }
    find_window(v, sorted, n, &low, &high);
    free(sorted);
    for (int64_t i = 0; i < n; i++) {
        const double grey = 255 * ((double)v[i] - low) / (high - low);
        p->grey[i] = (uint8_t)(grey >= 255 ? 255 : grey > 0 ? grey + 0.5 : 0);
    }
    return true;
}

static bool read_plane(picture *p, pel_source *source, int32_t image, int64_t channel, int64_t pixels)
{
    const pel_image *m = pel_source_image(source, image);
    const pel_region plane = {.ndim = PEL_AXES, .origin = {m->shape[PEL_T] / 2, channel, m->shape[PEL_Z] / 2, 0, 0},
                              .shape = {1, 1, 1, m->shape[PEL_Y], m->shape[PEL_X]}};
    *p = (picture){.height = m->shape[PEL_Y], .width = m->shape[PEL_X]};
    if (p->height > MOST_READ / p->width)
        return false;
    float *v = malloc((size_t)(p->height * p->width) * sizeof *v);
    const bool ok = v && pel_read_float(source, image, &plane, v, NULL) && to_grey(p, v, pixels);
    free(v);
    return ok;
}

/* ---- into the page ------------------------------------------------------------------------------------------------------- */

static void put_base64(FILE *page, const uint8_t *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < n ? (uint32_t)data[i + 1] << 8 : 0) | (i + 2 < n ? data[i + 2] : 0U);
        const char text[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=', i + 2 < n ? digits[v & 63] : '='};
        (void)fwrite(text, 1, 4, page);
    }
}

static bool put_png(FILE *page, const picture *p)
{
    png_image png = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)p->width, .height = (png_uint_32)p->height, .format = PNG_FORMAT_GRAY};
    png_alloc_size_t n = 0;
    if (!png_image_write_to_memory(&png, NULL, &n, 0, p->grey, (png_int_32)p->width, NULL))
        return false;
    uint8_t *data = malloc(n);
    const bool ok = data && png_image_write_to_memory(&png, data, &n, 0, p->grey, (png_int_32)p->width, NULL);
    if (ok) {
        put(page, "<img width=\"%" PRId64 "\" height=\"%" PRId64 "\" alt=\"middle plane\" src=\"data:image/png;base64,", p->width, p->height);
        put_base64(page, data, n);
        put(page, "\">");
    }
    free(data);
    return ok;
}

static bool put_channel(FILE *page, pel_source *source, int32_t image, int64_t channel, int64_t pixels)
{
    picture p = {0};
    const pel_image *m = pel_source_image(source, image);
    bool ok = read_plane(&p, source, image, channel, pixels);
    if (ok) {
        put(page, "<figure>");
        ok = put_png(page, &p);
        put(page, "<figcaption>");
        if (pel_source_image_count(source) > 1)
            put(page, "image %" PRId32 ", ", image);
        put(page, "channel %" PRId64 " ", channel);
        put_text(page, m->channels[channel].name, 96);
        put(page, "</figcaption></figure>\n");
    }
    free(p.grey);
    return ok;
}

/* Has something been written where the previews are taken from? */
static bool level_exists(const facts *f)
{
    const pel_status *s = &f->status;
    if (s->pyramid_total > 0)
        return s->pyramid_done == s->pyramid_total;
    return s->blocks_done > 0;
}

bool put_preview(FILE *page, const facts *f, const char *output)
{
    pel_source *source = NULL;
    int64_t left = MOST_PANELS, panels = 0;
    bool any = false;
    const pel_open_options options = {.level = f->images[0].levels - 1, .threads = 1};
    if (!level_exists(f) || strstr(output, "://") || !pel_source_open(&source, output, &options, NULL))
        return false;
    for (int32_t i = 0; i < pel_source_image_count(source); i++)
        panels += pel_source_image(source, i)->shape[PEL_C];
    const int64_t pixels = MOST_PIXELS / (panels < left ? panels > 0 ? panels : 1 : left);
    put(page, "<div class=\"pictures\">\n");
    for (int32_t i = 0; i < pel_source_image_count(source); i++)
        for (int64_t c = 0; c < pel_source_image(source, i)->shape[PEL_C] && left > 0; c++, left--)
            any = put_channel(page, source, i, c, pixels) || any;
    put(page, "</div>\n");
    if (panels > MOST_PANELS)
        put(page, "<p class=\"key\">the first %d of %" PRId64 " channels</p>\n", MOST_PANELS, panels);
    pel_source_destroy(source);
    return any;
}
