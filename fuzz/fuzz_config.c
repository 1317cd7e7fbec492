/* SPDX-License-Identifier: MIT
 * Any bytes as the configuration file of a site. */
#include "fuzz.h"

#include "../cli/cluster.h"

#include <fcntl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const verb self = {.name = "cluster", .summary = "any file"};
    char path[256], word[300], name[] = "cluster", more[] = "--workers=2";
    char *words[] = {name, word, more, NULL};
    if (fuzz_begin() && !freopen("/dev/null", "w", stderr))
        abort();
    (void)setenv("PELLUCID_SITE", "/nowhere", 1);
    (void)setenv("XDG_CONFIG_HOME", "/nowhere", 1);
    fuzz_put("site.json", data, size);
    (void)snprintf(word, sizeof word, "--config=%s", fuzz_path(path, "site.json"));
    for (int jobs_only = 0; jobs_only < 2; jobs_only++) {
        int count = 0, code = -1;
        char **const all = config_words(&self, 3, words, jobs_only, &count, &code);
        if (all ? count < 3 || strcmp(all[count - 1], more) != 0 : code < 1)
            abort();
        free(all);
    }
    return 0;
}
