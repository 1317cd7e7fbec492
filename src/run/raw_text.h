/* SPDX-License-Identifier: MIT
 * Names of files are bytes, JSON is UTF-8. A text of a document that is not UTF-8 is written with '?' in place of what is of no letter,
 * and beside it, as "<name> bytes", with %XX for these bytes and for '%', so that the very file is found again. */
#ifndef PEL_RUN_RAW_TEXT_H
#define PEL_RUN_RAW_TEXT_H

#include <json.h>
#include <stdbool.h>

/* A member for reading only: '?' for what is of no letter, nothing beside. NULL is "". */
void pel__raw_text_show(json_object *o, const char *name, const char *text);

/* Of all texts in the sections (members that are objects) of a document. add: before it is written. False: no memory. take: after it
 * was read; the members beside are gone, the texts are what they were. */
bool pel__raw_text_add(json_object *document);
void pel__raw_text_take(json_object *document);

#endif
