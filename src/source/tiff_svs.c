/* SPDX-License-Identifier: MIT
 * Aperio's SVS: the first page is the slide, others of its size are further focal planes; thumbnail, levels, label and macro are left
 * out. The description says "Aperio …|MPP = 0.2500|AppMag = 40". */
#include "source/tiff_dialect.h"

#include <stdlib.h>
#include <string.h>

static bool detect(const pel__tiff *t, const pel__tiff_head *head) { return head->description && strncmp(head->description, "Aperio ", 7) == 0; }

static bool describe(pel__tiff *t, const pel__tiff_head *head, pel_error *err)
{
    int32_t *pages = NULL;
    pel__tiff_stack s = {.size = {1, 1, 1}, .order = "czt"};
    bool ok = pel__tiff_main_pages(t, &pages, &s.count, err);
    s.pages = pages;
    s.size[2] = s.count;
    ok = ok && pel__tiff_add_stack(t, &s, err);
    if (ok) {
        pel_image *const im = &t->base.images[0];
        const double um = pel__tiff_word_number(head->description, "MPP", "\r\n|", 0.0), zoom = pel__tiff_word_number(head->description, "AppMag", "\r\n|", 0.0);
        memcpy(im->acquired, head->acquired, sizeof head->acquired);
        im->pixel_size[PEL_X] = im->pixel_size[PEL_Y] = um > 0.0 ? um : 0.0;
        im->magnification = zoom > 0.0 ? zoom : 0.0;
        pel__tiff_leave_others(t, pages[0]);
    }
    free(pages);
    return ok;
}

const pel__tiff_dialect pel__tiff_svs = {.name = "Aperio SVS", .detect = detect, .describe = describe};
