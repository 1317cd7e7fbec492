/* SPDX-License-Identifier: MIT
 * The verbs that run a filter over an image, and `plan`, which only says what they would do. */
#include "runs.h"

#include "options.h"

#include <string.h>

int verb_denoise(const verb *self, int argc, char **argv)
{
    return run_filter(self, "ndsafir", argc, argv, false);
}

int verb_convert(const verb *self, int argc, char **argv)
{
    return run_filter(self, "identity", argc, argv, false);
}

int verb_gaussian(const verb *self, int argc, char **argv)
{
    return run_filter(self, "gaussian", argc, argv, false);
}

int verb_dog(const verb *self, int argc, char **argv)
{
    return run_filter(self, "dog", argc, argv, false);
}

int verb_plan(const verb *self, int argc, char **argv)
{
    static const struct {
        const char *word, *name, *filter;
    } planned[] = {{"denoise", "plan denoise", "ndsafir"}, {"gaussian", "plan gaussian", "gaussian"}, {"dog", "plan dog", "dog"},
                   {"convert", "plan convert", "identity"}};
    for (int i = 0; argc > 1 && i < COUNT(planned); i++) {
        const verb both = {planned[i].name, self->summary, self->run}; /* so that help and mistakes name both words */
        if (strcmp(argv[1], planned[i].word) == 0)
            return run_filter(&both, planned[i].filter, argc - 1, argv + 1, true);
    }
    int code = EXIT_DONE;
    const char *what = NULL;
    const operand operands[] = {{"VERB", "denoise, gaussian, dog or convert, then the words of that verb", &what, false}};
    const command c = {.verb = self, .text = "Prints what the command would do; writes nothing.", .operands = operands,
                       .operand_count = COUNT(operands), .examples = "  pellucid plan denoise embryo.czi embryo.ome.zarr --memory 4G"};
    if (!command_parse(&c, argc, argv, &code))
        return code;
    return command_wrong(self, "found %s, expected denoise, gaussian, dog or convert", what);
}
