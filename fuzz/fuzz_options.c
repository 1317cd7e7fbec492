/* SPDX-License-Identifier: MIT
 * Any texts as the words of a command line, and as the values that its parsers take. */
#include "fuzz.h"

#include "../cli/options.h"

#include <fcntl.h>

static void parse_values(const char *text)
{
    const char *why = NULL;
    int64_t n = 0, axes[PEL_AXES] = {0};
    double x = 0, lengths[PEL_AXES] = {0};
    axis_range ranges[PEL_AXES] = {{0, -1}, {0, -1}, {0, -1}, {0, -1}, {0, -1}};
    if ((!parse_size(text, &n, &why) && !why) || (parse_size(text, &n, &why) && n < 0))
        abort();
    (void)parse_integer(text, &n, &why);
    if (parse_number(text, &x, &why) && !(x - x == 0))
        abort();
    (void)parse_axes(text, axes, &why);
    (void)parse_lengths(text, lengths, &why);
    if (parse_time(text, &n, &why) && n < 0)
        abort();
    if (parse_ranges(text, ranges, &why))
        for (int a = 0; a < PEL_AXES; a++)
            if (ranges[a].begin < 0 || (ranges[a].end >= 0 && ranges[a].end <= ranges[a].begin))
                abort();
}

static void parse_words(int argc, char **argv)
{
    static const verb self = {.name = "fuzz", .summary = "any words"};
    const char *in = NULL, *text = NULL;
    bool flag = false;
    int64_t integer = 3, size = 0, seconds = 0, axes[PEL_AXES] = {0};
    double number = 0, lengths[PEL_AXES] = {0};
    axis_range ranges[PEL_AXES] = {{0, -1}, {0, -1}, {0, -1}, {0, -1}, {0, -1}};
    text_list list = {0};
    const operand operands[] = {{"IN", "an input", &in, true}};
    const option options[] = {
        {OPTION_FLAG, "flag", NULL, "a flag", &flag, 0, 0},           {OPTION_TEXT, "text", "TEXT", "a text", &text, 0, 0},
        {OPTION_INTEGER, "integer", "N", "a number", &integer, 1, 9}, {OPTION_NUMBER, "number", "X", "a fraction", &number, 0, 1},
        {OPTION_SIZE, "size", "BYTES", "a size", &size, 0, 0},        {OPTION_AXES, "axes", "AXES", "axes", axes, 1, 1000},
        {OPTION_LENGTHS, "lengths", "UM", "lengths", lengths, 0, 0},  {OPTION_RANGES, "ranges", "RANGES", "ranges", ranges, 0, 0},
        {OPTION_TIME, "time", "TIME", "a time", &seconds, 0, 0},      {OPTION_LIST, "list", "TEXT", "a list", &list, 0, 0},
    };
    const command c = {.verb = &self, .operands = operands, .operand_count = COUNT(operands), .options = options, .option_count = COUNT(options)};
    int code = -1;
    if (command_parse(&c, argc, argv, &code) ? integer < 1 || integer > 9 || list.count > LIST_MOST || size < 0 : code < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int nothing = -1, out = -1;
    char *words[40] = {NULL};
    int n = 1;
    if (nothing < 0 && ((nothing = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0 || (out = dup(1)) < 0 || !freopen("/dev/null", "w", stderr)))
        abort();
    words[0] = strdup("fuzz");
    while (n < 38 && (words[n] = fuzz_part(&data, &size)))
        n++;
    words[n] = NULL;
    for (int i = 1; i < n; i++)
        parse_values(words[i]);
    char *copy[40];
    memcpy(copy, words, sizeof copy);
    (void)fflush(stdout);
    (void)dup2(nothing, 1); /* help goes there */
    parse_words(n, copy);
    (void)fflush(stdout);
    (void)dup2(out, 1);
    for (int i = 0; i < n; i++)
        free(words[i]);
    return 0;
}
