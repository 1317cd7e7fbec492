/* SPDX-License-Identifier: MIT
 * Options as data: a verb fills a table, command_parse reads the words into the verb's variables, and the help text is
 * made from the same table. A value may follow as `--name value` or `--name=value`; `--` ends the options. */
#ifndef PELLUCID_CLI_OPTIONS_H
#define PELLUCID_CLI_OPTIONS_H

#include "cli.h"

enum option_kind {
    OPTION_HEADING, /* no option: `help` is a heading in the help text */
    OPTION_FLAG,    /* bool */
    OPTION_TEXT,    /* const char * */
    OPTION_INTEGER, /* int64_t */
    OPTION_NUMBER,  /* double */
    OPTION_SIZE,    /* int64_t bytes: 300M, 4G, 1.5T; 1024-based */
    OPTION_AXES,    /* int64_t[PEL_AXES]: z=1,y=3,x=3, or 1,3,3 for the last axes; axes not named keep their value */
    OPTION_LENGTHS, /* double[PEL_AXES]: the same with fractions, z=0.3,y=0.1,x=0.1 */
    OPTION_RANGES,  /* axis_range[PEL_AXES]: t=0:5,c=1,y=100:612 */
    OPTION_TIME,    /* int64_t seconds: 12:00:00, 2-00:00:00, 36h, 90m, 45s */
    OPTION_LIST,    /* text_list: may be given several times; the value may begin with dashes */
};

/* Half-open; end -1: up to the end of the axis. Initialise to {0, -1}. */
typedef struct axis_range {
    int64_t begin, end;
} axis_range;

#define LIST_MOST 64
typedef struct text_list {
    const char *items[LIST_MOST];
    int count;
} text_list;

typedef struct option {
    enum option_kind kind;
    const char *name;  /* without the dashes */
    const char *value; /* what the help calls the value; NULL for a flag */
    const char *help;
    void *out;         /* the verb's variable, of the type beside the kind; keeps its value where not given */
    double min, max;   /* of a number, integer or size, or of each axis; both 0: anything from 0 (SIZE, AXES, LENGTHS) or at all */
} option;

typedef struct operand {
    const char *name, *help;
    const char **out;
    bool optional; /* optional ones come last; *out keeps its value */
} operand;

typedef struct command {
    const verb *verb;
    const char *text;     /* paragraphs below the summary; NULL for none */
    const char *examples; /* lines, NULL for none */
    const operand *operands;
    int operand_count;
    const option *options;
    int option_count;
    const char *rest_name; /* not NULL: any further words go to *rest, *rest_count */
    char ***rest;
    int *rest_count;
} command;

/* Of verbs that write a file. */
#define OVERWRITE_OPTION(out) {OPTION_FLAG, "overwrite", NULL, "replace a file that is there and of another kind, too; an input never", &(out), 0, 0}

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* True: the verb may run. False: *exit_code is what it returns (help was printed, or the mistake was named). */
bool command_parse(const command *c, int argc, char **argv, int *exit_code);

/* "pellucid VERB: message", how to get help; returns EXIT_USAGE. */
int command_wrong(const verb *self, const char *fmt, ...) PEL_PRINTF(2, 3);

/* The name nearest to `word` among n, or NULL where none is near. */
const char *nearest_name(const char *word, const char *const *names, int n);

/* Parsers of values, for verbs that take them from elsewhere. On false *why says what was expected. */
bool parse_size(const char *text, int64_t *bytes, const char **why);
bool parse_integer(const char *text, int64_t *out, const char **why);
bool parse_number(const char *text, double *out, const char **why);
bool parse_axes(const char *text, int64_t out[PEL_AXES], const char **why);
bool parse_lengths(const char *text, double out[PEL_AXES], const char **why);
bool parse_time(const char *text, int64_t *seconds, const char **why);
bool parse_ranges(const char *text, axis_range out[PEL_AXES], const char **why);

#endif
