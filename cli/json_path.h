/* SPDX-License-Identifier: MIT
 * One value of a JSON document set by its path: a.b.0.c=value, a.b[0].c=value. */
#ifndef PELLUCID_CLI_JSON_PATH_H
#define PELLUCID_CLI_JSON_PATH_H

#include "cli.h"

/* The value is JSON where it is JSON, a text otherwise; null takes the member away. A place in a list is a number that it has,
 * or + behind its last. What is no object gets no members, and a list or an object is replaced only by one of its kind.
 * "\." is a dot within a name. On false the document is as it was. */
bool json_path_set(json_object *document, const char *assignment, pel_error *err);

#endif
