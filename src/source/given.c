/* SPDX-License-Identifier: MIT
 * See given.h. */
#include "source/given.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* A positive number in the C locale, whatever the program's; *end is behind it. */
static bool parse_size(const char *text, const char **end, double *out)
{
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *stop = NULL;
    if (c == (locale_t)0)
        return false;
    errno = 0;
    *out = strtod_l(text, &stop, c);
    freelocale(c);
    *end = stop;
    return stop > text && errno == 0 && *out > 0 && *out < 1e12;
}

static bool parse_sizes(const char *text, double sizes[PEL_AXES])
{
    static const char letters[] = "tczyx";
    for (const char *at = text;;) {
        const char *const letter = *at ? strchr(letters, *at) : NULL;
        const int axis = letter ? (int)(letter - letters) : PEL_C;
        if (axis == PEL_C || at[1] != '=' || sizes[axis] != 0 || !parse_size(at + 2, &at, &sizes[axis]))
            return false;
        if (*at == '\0')
            return true;
        if (*at++ != ',')
            return false;
    }
}

/* Given sizes say what the file's numbers without a unit mean. */
static void keep_size(pel_image *image, int axis, double size)
{
    if (image->scale[axis] > 0)
        image->place[axis] *= size / image->scale[axis];
    image->scale[axis] = 0;
    image->pixel_size[axis] = size;
}

bool pel__source_pixel_size(pel_source *source, const char *text, pel_error *err)
{
    double sizes[PEL_AXES] = {0};
    if (!parse_sizes(text, sizes))
        return pel__fail(err, PEL_ARGUMENT, "pixel size: found \"%s\", expected such as z=1,y=0.5,x=0.5 (micrometres; t seconds)",
                         text);
    for (int32_t i = 0; i < source->image_count; i++)
        for (int a = 0; a < PEL_AXES; a++)
            if (sizes[a] > 0)
                keep_size(&source->images[i], a, sizes[a]);
    return true;
}
