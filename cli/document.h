/* SPDX-License-Identifier: MIT
 * Documents that people write: JSON, or YAML where the name ends in .yaml or .yml, both as a tree of json-c. */
#ifndef PELLUCID_CLI_DOCUMENT_H
#define PELLUCID_CLI_DOCUMENT_H

#include "cli.h"

/* Bounds of a document, whatever its aliases multiply. */
#define DOCUMENT_BYTES (1 << 20)
#define DOCUMENT_NODES 20000
#define DOCUMENT_DEPTH 64

typedef struct document_text {
    const char *path, *bytes;
    size_t size;
    bool as_text; /* numbers stay as they are spelled: an account 007 is no 7 */
} document_text;

/* NULL: *err begins with FILE:LINE:COLUMN. The caller puts what is returned. */
json_object *document_read(const char *path, bool as_text, pel_error *err);

/* yaml.c, or yaml_none.c in a build without libyaml. */
json_object *document_from_yaml(const document_text *text, pel_error *err);

#endif
