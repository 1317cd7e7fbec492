/* SPDX-License-Identifier: MIT
 * json-c made safe to use: strict parsing with limits, builders that pass a failed allocation on instead of crashing,
 * numbers printed the same in every locale, and the first difference between two documents. */
#ifndef PEL_ZARR_JSON_H
#define PEL_ZARR_JSON_H

#include "core/error.h"
#include "pellucid.h"

#include <json-c/json.h>

/* Strict parse of one whole document; json_object_put() it. `what` names it in messages. A document that is just
 * `null` is refused. */
bool pel__json_parse(json_object **out, const char *text, size_t size, const char *what, pel_error *err);

/* Builders. Every value is taken over; a NULL (failed allocation) anywhere makes the whole NULL. */
json_object *pel__json_put(json_object *object, const char *key, json_object *value);
json_object *pel__json_put_null(json_object *object, const char *key);
json_object *pel__json_push(json_object *array, json_object *value);
json_object *pel__json_ints(const int64_t *values, int32_t n);
json_object *pel__json_doubles(const double *values, int32_t n);
json_object *pel__json_double(double value); /* shortest text that reads back the same; must be finite */

/* Text of a document, with a newline at its end; free() it. */
char *pel__json_text(json_object *document);

/* False where equal, of fractions 15 digits; otherwise `path` is where they differ first ("attributes/ome/multiscales/0/axes"). */
bool pel__json_differs(json_object *a, json_object *b, char *path, size_t size);

/* Lookups. NULL where absent or of another type. */
json_object *pel__json_get(json_object *object, const char *key, json_type type);
const char *pel__json_string(json_object *object, const char *key);

/* A list of n integers >= least, nothing else. */
bool pel__json_int_list(json_object *list, int64_t least, int64_t *out, int32_t max, int32_t *n, pel_error *err);

#endif
