/* SPDX-License-Identifier: MIT
 * The verbs that run a filter over an image, and `plan`, which only says what they would do. */
#include "runs.h"

#include "options.h"

#include <stdio.h>
#include <string.h>

/* A filter gets a verb with a line here and one in the table of main.c. */
static const struct {
    const char *verb, *filter;
} filters[] = {{"denoise", "ndsafir"}, {"gaussian", "gaussian"}, {"dog", "dog"}, {"median", "median"}, {"convert", "identity"}};

static const char *filter_of(const char *word)
{
    for (int i = 0; i < COUNT(filters); i++)
        if (strcmp(filters[i].verb, word) == 0)
            return filters[i].filter;
    return NULL;
}

int verb_filter(const verb *self, int argc, char **argv)
{
    return run_filter(self, filter_of(self->name), argc, argv, false);
}

int verb_plan(const verb *self, int argc, char **argv)
{
    const char *const filter = argc > 1 ? filter_of(argv[1]) : NULL;
    if (filter) {
        char name[32];
        (void)snprintf(name, sizeof name, "plan %s", argv[1]);
        const verb both = {name, self->summary, self->run}; /* so that help and mistakes name both words */
        return run_filter(&both, filter, argc - 1, argv + 1, true);
    }
    if (argc > 1 && argv[1][0] != '-')
        return command_wrong(self, "found '%s', expected denoise, gaussian, dog, median or convert", argv[1]);
    int code = EXIT_DONE;
    const char *what = NULL;
    const operand operands[] = {{"VERB", "denoise, gaussian, dog, median or convert, then the words of that verb", &what, false}};
    const command c = {.verb = self, .text = "Prints what the command would do; writes nothing.", .operands = operands,
                       .operand_count = COUNT(operands), .examples = "  pellucid plan denoise embryo.czi embryo.ome.zarr --memory 4G"};
    if (command_parse(&c, argc, argv, &code))
        return command_wrong(self, "expected the verb first, then its words"); /* `plan -- denoise` */
    return code; /* help, or the verb is missing */
}
