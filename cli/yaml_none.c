/* SPDX-License-Identifier: MIT
 * See document.h: a build without libyaml. */
#include "document.h"

json_object *document_from_yaml(const document_text *text, pel_error *err)
{
    (void)set_error(err, PEL_UNSUPPORTED, "%s: this pellucid was built without libyaml (libyaml-dev): write the same as JSON, or build it with that package", text->path);
    return NULL;
}
