/* SPDX-License-Identifier: MIT
 * Text that may not be there: a null of a JSON document is a text that json-c gives as NULL. */
#ifndef PEL_CORE_TEXT_H
#define PEL_CORE_TEXT_H

static inline const char *pel__text_or(const char *text, const char *otherwise) { return text ? text : otherwise; }

/* Names of files are bytes; what goes to documents must be UTF-8, or nobody can read them: '?' for each byte that is of no letter. */
void pel__text_to_utf8(char *text);

#endif
