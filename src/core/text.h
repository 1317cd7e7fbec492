/* SPDX-License-Identifier: MIT
 * Text that may not be there: a null of a JSON document is a text that json-c gives as NULL. */
#ifndef PEL_CORE_TEXT_H
#define PEL_CORE_TEXT_H

static inline const char *pel__text_or(const char *text, const char *otherwise) { return text ? text : otherwise; }

#endif
