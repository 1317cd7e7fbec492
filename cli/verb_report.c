/* SPDX-License-Identifier: MIT
 * `report`: the page that a run keeps beside its output, made now, from any machine that sees the folder. */
#include "cluster_status.h"
#include "dashboard.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

/* -o is what fingers type. */
static void spell_out(int argc, char **argv)
{
    static char name[] = "--output";
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "-o") == 0)
            argv[i] = name;
}

static bool write_page(const char *output, const char *page, bool overwrite, pel_error *err)
{
    pel_status s;
    if (!pel_run_status(&s, output, err))
        return false;
    if (!cluster_is_alive(output))
        cluster_settle_reason(&s, output);
    const char *const inputs[] = {s.input, s.output};
    const pel_file_rule rule = {.kind = "html", .inputs = inputs, .input_count = COUNT(inputs), .overwrite = overwrite};
    return dashboard_write(output, page, &rule, PELLUCID_VERSION, err);
}

int verb_report(const verb *self, int argc, char **argv)
{
    const char *output = NULL, *page = NULL;
    bool overwrite = false;
    const operand operands[] = {{"OUT", "the output of a run", &output, false}};
    const option options[] = {{OPTION_TEXT, "output", "PAGE", "the page to write (default: OUT.run/index.html)", &page, 0, 0},
                              OVERWRITE_OPTION(overwrite)};
    const command c = {.verb = self,
                       .text = "One HTML page without scripts or links to elsewhere, to look at or to attach to a paper or a ticket. A run keeps it\n"
                               "up to date by itself in OUT.run/index.html.",
                       .operands = operands, .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    pel_error err = {0};
    spell_out(argc, argv);
    if (!command_parse(&c, argc, argv, &code))
        return code;
    if (!write_page(output, page, overwrite, &err))
        return say_error(self, &err, err.code != PEL_IO);
    char own[RUN_PATH];
    (void)puts(page ? page : run_file(own, output, "index.html"));
    return EXIT_DONE;
}
