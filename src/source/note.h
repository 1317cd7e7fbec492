/* SPDX-License-Identifier: MIT
 * What a source says of an image beside its description: one mechanism for all formats. A note has a kind (a word that programs
 * can go by), a sentence, and how much of what it counts. */
#ifndef PEL_SOURCE_NOTE_H
#define PEL_SOURCE_NOTE_H

#include "core/error.h"
#include "pellucid.h"

#include <stdarg.h>

/* In the order of the table in note.c; docs/formats-run.md lists the words. */
enum pel__note_kind {
    PEL__NOTE_MISSING,     /* planes or files that are not there */
    PEL__NOTE_LEFT_OUT,    /* pages or tiles that are there and are not read */
    PEL__NOTE_UNREADABLE,  /* reading some of it fails */
    PEL__NOTE_UNFINISHED,  /* the program that wrote it had not finished */
    PEL__NOTE_RECOVERED,   /* a damaged directory was made up for */
    PEL__NOTE_ORIENTATION, /* may be upside down */
    PEL__NOTE_MIXED_TYPES,
    PEL__NOTE_RESAMPLED,
    PEL__NOTE_AXES,        /* taken for what it may not be */
    PEL__NOTE_METADATA,    /* damaged or not understood; the pixels are right */
    PEL__NOTE_CONVERTED,   /* this and below: nothing that could harm a result */
    PEL__NOTE_REDUCED,     /* copies of lower resolution are not used */
    PEL__NOTE_SET,         /* spread over several files */
    PEL__NOTE_KINDS
};

typedef struct pel__notes {
    pel_note *list;
    int32_t count, room;
} pel__notes;

/* count: of planes, tiles, pages or files that it is about; 0: it counts nothing. An image keeps some dozens; what comes after that is
 * one note that there is more. False: no memory. */
bool pel__note_add(pel__notes *notes, enum pel__note_kind kind, int64_t count, const char *fmt, ...) PEL_PRINTF(4, 5);
bool pel__note_args(pel__notes *notes, enum pel__note_kind kind, int64_t count, const char *fmt, va_list args)
    __attribute__((format(printf, 4, 0)));

/* "1 of 3 planes is missing …", where any is. */
bool pel__note_planes(pel__notes *notes, const pel_image *image);

bool pel__notes_copy(pel__notes *to, const pel__notes *from);
void pel__notes_free(pel__notes *notes);

/* The image points at them from now on. */
void pel__notes_give(pel_image *image, const pel__notes *notes);

/* PEL_REFUSED where an image of the source has a note that is not harmless. */
struct pel_source;
bool pel__notes_refuse(const struct pel_source *source, pel_error *err);

#endif
