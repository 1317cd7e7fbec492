/* SPDX-License-Identifier: MIT
 * See note.h. */
#include "source/note.h"

#include "core/text.h"
#include "source/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_NOTES 32

static const struct {
    const char *word;
    bool harmless;
} kinds[PEL__NOTE_KINDS] = {
    [PEL__NOTE_MISSING] = {"missing", false},
    [PEL__NOTE_LEFT_OUT] = {"left out", false},
    [PEL__NOTE_UNREADABLE] = {"unreadable", false},
    [PEL__NOTE_UNFINISHED] = {"unfinished", false},
    [PEL__NOTE_RECOVERED] = {"recovered", false},
    [PEL__NOTE_ORIENTATION] = {"orientation", false},
    [PEL__NOTE_MIXED_TYPES] = {"mixed types", false},
    [PEL__NOTE_RESAMPLED] = {"resampled", false},
    [PEL__NOTE_AXES] = {"axes", false},
    [PEL__NOTE_METADATA] = {"metadata", false},
    [PEL__NOTE_CONVERTED] = {"converted", true},
    [PEL__NOTE_REDUCED] = {"reduced", true},
    [PEL__NOTE_SET] = {"set", true},
};

static bool make_room(pel__notes *n)
{
    if (n->count < n->room)
        return true;
    const int32_t room = n->room > 0 ? 2 * n->room : 4;
    pel_note *const grown = realloc(n->list, (size_t)room * sizeof *grown);
    if (!grown)
        return false;
    n->list = grown;
    n->room = room;
    return true;
}

static bool put(pel__notes *n, enum pel__note_kind kind, int64_t count, char *text)
{
    if (!text || !make_room(n)) {
        free(text);
        return false;
    }
    pel__text_to_utf8(text); /* names from files are bytes, and terminals obey control characters */
    for (char *at = text; *at; at++)
        *at = (unsigned char)*at < 0x20 || *at == 0x7F ? ' ' : *at;
    n->list[n->count++] = (pel_note){.kind = kinds[kind].word, .text = text, .count = count, .harmless = kinds[kind].harmless, .images = 1};
    return true;
}

bool pel__note_args(pel__notes *n, enum pel__note_kind kind, int64_t count, const char *fmt, va_list args)
{
    char *text = NULL;
    if (n->count > MOST_NOTES)
        return true;
    if (n->count == MOST_NOTES)
        return put(n, PEL__NOTE_LEFT_OUT, 0, strdup("There is more to say of this image than is listed here."));
    return vasprintf(&text, fmt, args) >= 0 && put(n, kind, count, text);
}

bool pel__note_add(pel__notes *n, enum pel__note_kind kind, int64_t count, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const bool ok = pel__note_args(n, kind, count, fmt, args);
    va_end(args);
    return ok;
}

bool pel__note_planes(pel__notes *n, const pel_image *im)
{
    return im->planes_missing == 0 ||
           pel__note_add(n, PEL__NOTE_MISSING, im->planes_missing, "%" PRId64 " of %" PRId64 " planes %s missing in the input and read%s as zero.",
                         im->planes_missing, im->planes, im->planes_missing == 1 ? "is" : "are", im->planes_missing == 1 ? "s" : "");
}

bool pel__notes_copy(pel__notes *to, const pel__notes *from)
{
    for (int32_t i = 0; i < from->count; i++) {
        if (!put(to, PEL__NOTE_MISSING, 0, strdup(from->list[i].text)))
            return false;
        const char *const text = to->list[to->count - 1].text;
        to->list[to->count - 1] = from->list[i];
        to->list[to->count - 1].text = text;
    }
    return true;
}

void pel__notes_free(pel__notes *n)
{
    for (int32_t i = 0; i < n->count; i++)
        free((void *)(uintptr_t)n->list[i].text);
    free(n->list);
    *n = (pel__notes){0};
}

void pel__notes_give(pel_image *image, const pel__notes *notes)
{
    image->notes = notes->list;
    image->note_count = notes->count;
}

bool pel__notes_refuse(const pel_source *s, pel_error *err)
{
    const pel_note *first = NULL;
    int32_t image = 0;
    int64_t more = -1;
    for (int32_t i = 0; i < s->image_count; i++) {
        for (int32_t k = 0; k < s->images[i].note_count; k++) {
            const pel_note *const n = &s->images[i].notes[k];
            if (!first && !n->harmless) {
                first = n;
                image = i;
            }
            more += !n->harmless;
        }
    }
    char rest[80] = "";
    if (more > 0)
        (void)snprintf(rest, sizeof rest, " And %" PRId64 " more (`pellucid info` lists them).", more);
    return !first || pel__fail(err, PEL_REFUSED, "%s: image %d: %s%s Refused as --strict asks", s->path, (int)image, first->text, rest);
}
