/* SPDX-License-Identifier: MIT
 * See input.h. */
#include "input.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *selection_text(selection *s)
{
    const char *const keys[] = {"image", "t", "c", "z", "y", "x"}, *const values[] = {s->position, s->time, s->channel, s->z, s->y, s->x};
    size_t used = 0;
    for (int i = 0; i < COUNT(keys); i++) {
        if (values[i] && used < sizeof s->text)
            used += (size_t)snprintf(s->text + used, sizeof s->text - used, "%s%s=%s", used ? ";" : "", keys[i], values[i]);
    }
    return used > 0 ? s->text : NULL;
}

bool input_open(const verb *self, pel_source **out, const char *path, const input_options *in, int64_t threads, int *code)
{
    pel_error err = {0};
    selection select = in->select;
    const pel_open_options how = {.select = selection_text(&select), .level = (int32_t)in->level, .recover = in->recover, .use_mask = in->mask, .axes = in->axes, .pixel_size = in->pixel_size,
                                  .threads = (int32_t)threads};
    if (!pel_source_open(out, path, &how, &err)) {
        *code = say_error(self, &err, true);
        return false;
    }
    const int32_t count = pel_source_image_count(*out);
    if (in->image < count)
        return true;
    say(self, "--image %" PRId64 ": %s has images 0 to %" PRId32, in->image, path, count - 1);
    pel_source_destroy(*out);
    *out = NULL;
    *code = EXIT_USAGE;
    return false;
}

void input_images(const pel_source *source, const input_options *in, int32_t *first, int32_t *last)
{
    *first = in->image < 0 ? 0 : (int32_t)in->image;
    *last = in->image < 0 ? pel_source_image_count(source) : *first + 1;
}
