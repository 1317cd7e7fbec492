/* SPDX-License-Identifier: MIT
 * QPTIFF of PerkinElmer and Akoya: pages like the first are channels, whose descriptions hold <Name> and <Color>; thumbnail, levels,
 * label and macro are left out. */
#include "source/tiff_dialect.h"

#include "core/bytes.h"
#include "core/text.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_NAMED 1024

static bool detect(const pel__tiff *t, const pel__tiff_head *head)
{
    char *text = NULL;
    size_t n = 0;
    const bool yes = pel__tiff_tag_text(&head->dir, PEL__TAG_SOFTWARE, 1024, &text, &n, NULL) && text && strncmp(text, "PerkinElmer-QPI", 15) == 0;
    free(text);
    return yes;
}

/* What is between the first <name> and the next mark. */
static void element(const char *xml, const char *name, char *out, size_t size)
{
    const char *at = strstr(xml, name);
    out[0] = '\0';
    if (at)
        (void)snprintf(out, size, "%.*s", (int)pel__min((int64_t)strcspn(at + strlen(name), "<"), (int64_t)size), at + strlen(name));
    pel__text_to_utf8(out);
}

static void name_channel(pel__tiff *t, int32_t page, pel_channel *ch)
{
    char *xml = NULL, name[sizeof ch->name], colour[32];
    unsigned r = 0, g = 0, b = 0;
    if (pel__tiff_page_text(&t->set, page, PEL__TAG_DESCRIPTION, &xml, NULL) && xml) {
        element(xml, "<Name>", name, sizeof name);
        element(xml, "<Color>", colour, sizeof colour);
        if (name[0])
            memcpy(ch->name, name, sizeof name);
        if (sscanf(colour, "%3u,%3u,%3u", &r, &g, &b) == 3 && r < 256 && g < 256 && b < 256)
            ch->rgb = (uint32_t)(r << 16 | g << 8 | b);
    }
    free(xml);
}

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    int32_t *pages = NULL;
    pel__tiff_stack s = {.size = {1, 1, 1}, .order = "czt"};
    bool ok = pel__tiff_main_pages(t, &pages, &s.count, err);
    s.pages = pages;
    s.size[1] = s.count;
    ok = ok && pel__tiff_add_stack(t, &s, err);
    if (ok) {
        pel_image *const im = &t->base.images[0];
        memcpy(im->acquired, head->acquired, sizeof head->acquired);
        if (head->resolution_unit == 3)
            pel__tiff_take_resolution(im, head, 1e4, 1e4);
        for (int64_t c = 0; c < im->shape[PEL_C] && c < s.count && c < MOST_NAMED && im->shape[PEL_C] == s.count; c++)
            name_channel(t, pages[c], pel__tiff_channel(im, c));
        pel__tiff_leave_others(t, pages[0]);
    }
    free(pages);
    return ok;
}

const pel__tiff_dialect pel__tiff_qptiff = {.name = "QPTIFF", .detect = detect, .describe = describe};
