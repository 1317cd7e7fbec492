/* SPDX-License-Identifier: MIT
 * See options.h. Hand-made rather than getopt: the tables carry types and help, names are not abbreviated (an
 * abbreviation that works today breaks when an option is added), and a wrong name gets its nearest neighbour. */
#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_WIDTH 100
#define HELP_COLUMN 30

int command_wrong(const verb *self, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_args(self, fmt, args);
    (void)fprintf(stderr, "`pellucid %s --help` lists what it takes\n", self->name);
    va_end(args);
    return EXIT_USAGE;
}

/* ---- nearest name ---------------------------------------------------------------------------------------------- */

#define NAME_MAX_LENGTH 40

/* Edit distance with transpositions of neighbours (the commonest slip of the fingers). */
static int edit_distance(const char *a, const char *b)
{
    const int n = (int)strlen(a), m = (int)strlen(b);
    if (n > NAME_MAX_LENGTH || m > NAME_MAX_LENGTH)
        return NAME_MAX_LENGTH;
    int d[NAME_MAX_LENGTH + 1][NAME_MAX_LENGTH + 1];
    for (int i = 0; i <= n; i++)
        d[i][0] = i;
    for (int j = 0; j <= m; j++)
        d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *nearest_name(const char *word, const char *const *names, int n)
{
    const char *best = NULL;
    int best_distance = (int)strlen(word) / 3 + 2; /* further away is no slip */
    for (int i = 0; i < n; i++) {
        const bool starts = strlen(word) >= 3 && strncmp(names[i], word, strlen(word)) == 0;
        const int distance = starts ? 1 : edit_distance(word, names[i]);
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}

/* ---- help ------------------------------------------------------------------------------------------------------ */

/* Prints text wrapped at HELP_WIDTH, further lines indented to `column`; the cursor stands at `column` already.
 * Columns count characters, not bytes of UTF-8. */
static void print_wrapped(const char *text, int column)
{
    int at = column;
    while (*text) {
        const size_t word = strcspn(text, " \n");
        int width = 0;
        for (size_t i = 0; i < word; i++)
            width += ((unsigned char)text[i] & 0xC0) != 0x80;
        if (at > column && at + 1 + width > HELP_WIDTH) {
            (void)printf("\n%*s", column, "");
            at = column;
        } else if (at > column) {
            (void)putchar(' ');
            at++;
        }
        (void)printf("%.*s", (int)word, text);
        at += width;
        text += word;
        if (*text == '\n') {
            (void)printf("\n%*s", column, "");
            at = column;
        }
        if (*text)
            text++;
    }
    (void)putchar('\n');
}

static void print_entry(const char *left, const char *help)
{
    const int width = printf("  %s", left);
    if (width + 2 > HELP_COLUMN)
        (void)printf("\n%*s", HELP_COLUMN, "");
    else
        (void)printf("%*s", HELP_COLUMN - width, "");
    print_wrapped(help, HELP_COLUMN);
}

static void print_usage(const command *c)
{
    (void)printf("usage: pellucid %s", c->verb->name);
    for (int i = 0; i < c->operand_count; i++)
        (void)printf(c->operands[i].optional ? " [%s]" : " %s", c->operands[i].name);
    if (c->rest_name)
        (void)printf(" %s", c->rest_name);
    (void)printf(" [--option value]\n\n");
    print_wrapped(c->verb->summary, 0);
}

static void print_option(const option *o)
{
    char left[80];
    (void)snprintf(left, sizeof left, "--%s%s", o->name, o->value ? " " : "");
    const size_t n = strlen(left);
    for (size_t i = 0; o->value && o->value[i] && n + i + 1 < sizeof left; i++) {
        left[n + i] = (char)(o->value[i] >= 'a' && o->value[i] <= 'z' ? o->value[i] - 32 : o->value[i]);
        left[n + i + 1] = '\0';
    }
    print_entry(left, o->help);
}

static void print_examples(const char *lines)
{
    (void)puts("\nexamples:");
    while (*lines) {
        lines += strspn(lines, " ");
        const int n = (int)strcspn(lines, "\n");
        (void)printf("  %.*s\n", n, lines);
        lines += n + (lines[n] == '\n');
    }
}

static void print_help(const command *c)
{
    print_usage(c);
    if (c->text) {
        (void)putchar('\n');
        print_wrapped(c->text, 0);
    }
    if (c->operand_count > 0)
        (void)putchar('\n');
    for (int i = 0; i < c->operand_count; i++)
        print_entry(c->operands[i].name, c->operands[i].help);
    if (c->option_count == 0 || c->options[0].kind != OPTION_HEADING)
        (void)puts("\noptions:");
    for (int i = 0; i < c->option_count; i++) {
        const option *const o = &c->options[i];
        if (o->kind == OPTION_HEADING) {
            (void)printf("\n%s:\n", o->help);
            continue;
        }
        print_option(o);
    }
    print_entry("-h, --help", "this text");
    if (c->examples)
        print_examples(c->examples);
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

static bool wrong(const char **why, const char *text)
{
    *why = text;
    return false;
}

bool parse_integer(const char *text, int64_t *out, const char **why)
{
    char *end = NULL;
    const long long v = strtoll(text, &end, 10);
    if (end == text || *end || text[0] == ' ' || v > INT64_MAX / 2 || v < INT64_MIN / 2)
        return wrong(why, "expected a whole number");
    *out = v;
    return true;
}

bool parse_number(const char *text, double *out, const char **why)
{
    char *end = NULL;
    const double v = strtod(text, &end);
    if (end == text || *end || text[0] == ' ' || !(v - v == 0))
        return wrong(why, "expected a number");
    *out = v;
    return true;
}

bool parse_size(const char *text, int64_t *bytes, const char **why)
{
    static const char *const expected = "expected a size such as 300M or 4G (K M G T, 1024-based)";
    static const char letters[] = "KMGT";
    char *end = NULL;
    double v = strtod(text, &end);
    if (end == text || text[0] == ' ' || text[0] == '-' || !(v >= 0))
        return wrong(why, expected);
    const char upper = (char)(*end >= 'a' && *end <= 'z' ? *end - 32 : *end);
    const char *const letter = upper ? strchr(letters, upper) : NULL;
    if (letter) {
        for (const char *p = letters; p <= letter; p++)
            v *= 1024;
        end++;
        if (end[0] == 'i' && end[1] == 'B')
            end++;
    }
    if (*end == 'B')
        end++;
    if (*end || !(v < 9e18))
        return wrong(why, expected);
    *bytes = (int64_t)v;
    return true;
}

/* H:MM:SS or D-HH:MM:SS; a bare number would be minutes to one scheduler and seconds to another. */
bool parse_time(const char *text, int64_t *seconds, const char **why)
{
    static const char *const expected = "expected a time such as 12:00:00, 2-00:00:00, 36h or 90m";
    static const char letters[] = "smhd";
    static const int64_t units[] = {1, 60, 3600, 86400};
    int days = 0, hours = 0, minutes = 0, s = 0, used = 0;
    const bool with_days = sscanf(text, "%5d-%2d:%2d:%2d%n", &days, &hours, &minutes, &s, &used) == 4; // NOLINT(cert-err34-c)
    if (with_days || sscanf(text, "%6d:%2d:%2d%n", &hours, &minutes, &s, &used) == 3) {                // NOLINT(cert-err34-c)
        if (text[used] || minutes > 59 || s > 59 || days < 0 || hours < 0 || minutes < 0 || s < 0)
            return wrong(why, expected);
        *seconds = (with_days ? (int64_t)days * 86400 : 0) + (int64_t)hours * 3600 + (int64_t)minutes * 60 + s;
        return true;
    }
    char *end = NULL;
    const double v = strtod(text, &end);
    const char *const letter = end != text && *end ? strchr(letters, *end) : NULL;
    if (end != text && *end == '\0')
        return wrong(why, "expected a time such as 12:00:00, 36h or 90m; a bare number is minutes to one scheduler and seconds to another");
    if (!letter || end[1] || !(v >= 0) || v > 1e7)
        return wrong(why, expected);
    *seconds = (int64_t)(v * (double)units[letter - letters]);
    return true;
}

/* Splits at commas; calls part(arg, word, index, count) for each. */
static bool each_part(const char *text, bool (*part)(void *arg, const char *word, int index, int count), void *arg,
                      const char **why)
{
    int count = 1;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    for (int i = 0; i < count; i++) {
        const size_t n = strcspn(text, ",");
        char word[64];
        if (n == 0 || n >= sizeof word)
            return wrong(why, "expected a list such as z=1,y=3,x=3 (axes t c z y x)");
        memcpy(word, text, n);
        word[n] = '\0';
        if (!part(arg, word, i, count))
            return false;
        text += n + (text[n] == ',');
    }
    return true;
}

/* The axis of "z=…": its number, and *value behind the sign; -1 where there is no such axis. */
static int named_axis(const char *word, const char **value)
{
    const char *const at = word[0] ? strchr(axis_letters, word[0]) : NULL;
    if (!at || word[1] != '=')
        return -1;
    *value = word + 2;
    return (int)(at - axis_letters);
}

typedef struct axes_target {
    int64_t *values;
    double *lengths;
    axis_range *ranges;
    const char **why;
    unsigned seen;
} axes_target;

static bool once(axes_target *t, int axis)
{
    const unsigned bit = 1U << axis;
    if (t->seen & bit)
        return wrong(t->why, "an axis is given twice");
    t->seen |= bit;
    return true;
}

static bool axes_part(void *arg, const char *word, int index, int count)
{
    axes_target *const t = arg;
    const char *value = word;
    int axis = named_axis(word, &value);
    if (axis < 0 && !strchr(word, '=') && count <= PEL_AXES)
        axis = PEL_AXES - count + index;
    if (axis < 0)
        return wrong(t->why, "expected a list such as z=1,y=3,x=3 (axes t c z y x)");
    if (!once(t, axis))
        return false;
    return t->lengths ? parse_number(value, &t->lengths[axis], t->why) : parse_integer(value, &t->values[axis], t->why);
}

bool parse_axes(const char *text, int64_t out[PEL_AXES], const char **why) // NOLINT(readability-non-const-parameter)
{
    axes_target t = {.values = out, .why = why};
    return each_part(text, axes_part, &t, why);
}

bool parse_lengths(const char *text, double out[PEL_AXES], const char **why) // NOLINT(readability-non-const-parameter)
{
    axes_target t = {.lengths = out, .why = why};
    return each_part(text, axes_part, &t, why);
}

static bool range_part(void *arg, const char *word, int index, int count)
{
    axes_target *const t = arg;
    (void)index;
    (void)count;
    const char *value = word;
    const int axis = named_axis(word, &value);
    if (axis < 0)
        return wrong(t->why, "expected ranges such as t=0:5,c=1,y=100:612 (axes t c z y x)");
    char begin[64];
    (void)snprintf(begin, sizeof begin, "%s", value);
    char *const colon = strchr(begin, ':');
    axis_range r = {0, -1};
    if (colon)
        *colon = '\0';
    if ((begin[0] || !colon) && !parse_integer(begin, &r.begin, t->why))
        return false;
    if (!colon)
        r.end = r.begin + 1;
    else if (colon[1] && !parse_integer(colon + 1, &r.end, t->why))
        return false;
    if (r.begin < 0 || (colon && colon[1] && r.end <= r.begin))
        return wrong(t->why, "expected begin:end with 0 <= begin < end");
    t->ranges[axis] = r;
    return once(t, axis);
}

bool parse_ranges(const char *text, axis_range out[PEL_AXES], const char **why)
{
    axes_target t = {.ranges = out, .why = why};
    return each_part(text, range_part, &t, why);
}

/* ---- the words ------------------------------------------------------------------------------------------------- */

static bool in_range(const option *o, double v)
{
    return (o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max);
}

/* As in_range, and nothing negative where no range is given. */
static bool in_axis_range(const option *o, double v)
{
    return (v >= 0 || o->min < 0) && in_range(o, v);
}

static bool set_axes(const option *o, const char *text, const char **why)
{
    int64_t *const out = o->out;
    if (!parse_axes(text, out, why))
        return false;
    for (int a = 0; a < PEL_AXES; a++)
        if (!in_axis_range(o, (double)out[a]))
            return wrong(why, "a value is out of range");
    return true;
}

static bool set_lengths(const option *o, const char *text, const char **why)
{
    double *const out = o->out;
    if (!parse_lengths(text, out, why))
        return false;
    for (int a = 0; a < PEL_AXES; a++)
        if (!in_axis_range(o, out[a]))
            return wrong(why, "a value is out of range");
    return true;
}

static bool add_to_list(text_list *list, const char *text, const char **why)
{
    if (list->count == LIST_MOST)
        return wrong(why, "given too often");
    list->items[list->count++] = text;
    return true;
}

static const char range[] = "out of range";

static bool set_value(const option *o, const char *text, const char **why)
{
    switch (o->kind) {
    case OPTION_TEXT:
        *(const char **)o->out = text;
        return true;
    case OPTION_INTEGER: {
        int64_t *const v = o->out;
        return parse_integer(text, v, why) && (in_range(o, (double)*v) || wrong(why, range));
    }
    case OPTION_NUMBER: {
        double *const v = o->out;
        return parse_number(text, v, why) && (in_range(o, *v) || wrong(why, range));
    }
    case OPTION_SIZE: {
        int64_t *const v = o->out;
        return parse_size(text, v, why) && (in_range(o, (double)*v) || wrong(why, range));
    }
    case OPTION_AXES:
        return set_axes(o, text, why);
    case OPTION_LENGTHS:
        return set_lengths(o, text, why);
    case OPTION_RANGES:
        return parse_ranges(text, o->out, why);
    case OPTION_TIME: {
        int64_t *const v = o->out;
        return parse_time(text, v, why) && (in_range(o, (double)*v) || wrong(why, range));
    }
    case OPTION_LIST:
        return add_to_list(o->out, text, why);
    case OPTION_FLAG:
    case OPTION_HEADING:
        break;
    }
    return wrong(why, "takes no value");
}

static const option *find_named(const command *c, const char *name, size_t length)
{
    for (int i = 0; i < c->option_count; i++) {
        const option *const o = &c->options[i];
        if (o->kind != OPTION_HEADING && strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return o;
    }
    return NULL;
}

/* An old name is good where no option of the verb has it. */
static const option *find_option(const command *c, const char *name, size_t length)
{
    static const struct { const char *was, *is; } old[] = {{"axes", "input-axes"}};
    const option *found = find_named(c, name, length);
    for (size_t i = 0; !found && i < sizeof old / sizeof old[0]; i++)
        if (strlen(old[i].was) == length && strncmp(old[i].was, name, length) == 0)
            found = find_named(c, old[i].is, strlen(old[i].is));
    return found;
}

#define MAX_OPTIONS 96

static int no_such_option(const command *c, const char *word)
{
    const char *names[MAX_OPTIONS + 1] = {"help"};
    int n = 1;
    for (int i = 0; i < c->option_count && n <= MAX_OPTIONS; i++)
        if (c->options[i].kind != OPTION_HEADING)
            names[n++] = c->options[i].name;
    char plain[64];
    const char *const bare = word + strspn(word, "-");
    (void)snprintf(plain, sizeof plain, "%.*s", (int)strcspn(bare, "="), bare);
    const char *const near = nearest_name(plain, names, n);
    if (near)
        return command_wrong(c->verb, "no option '%s': did you mean '--%s'?", word, near);
    return command_wrong(c->verb, "no option '%s'", word);
}

/* A bare number is mostly one of a scheduler's that counts in MiB. */
static int wrong_size(const command *c, const option *o, const char *value)
{
    char least[32], most[32];
    (void)text_bytes(least, sizeof least, o->min);
    (void)text_bytes(most, sizeof most, o->max);
    if (value[strspn(value, "0123456789")] == '\0')
        return command_wrong(c->verb, "--%s %s is in bytes, which is out of range (%s to %s); for MiB write --%s %sM", o->name, value, least, most, o->name, value);
    return command_wrong(c->verb, "--%s '%s': out of range (%s to %s)", o->name, value, least, most);
}

/* Reads the option at argv[*i]; *i moves over a value in the next word. */
static int read_option(const command *c, int argc, char **argv, int *i)
{
    const char *const word = argv[*i];
    const size_t length = strcspn(word + 2, "=");
    const option *const o = strncmp(word, "--", 2) == 0 ? find_option(c, word + 2, length) : NULL;
    if (!o)
        return no_such_option(c, word);
    const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
    if (o->kind == OPTION_FLAG) {
        if (value)
            return command_wrong(c->verb, "--%s takes no value, found '%s'", o->name, value);
        *(bool *)o->out = true;
        return EXIT_DONE;
    }
    if (!value && *i + 1 < argc && (o->kind == OPTION_LIST || strncmp(argv[*i + 1], "--", 2) != 0))
        value = argv[++*i];
    if (!value)
        return command_wrong(c->verb, "--%s needs a value: --%s %s", o->name, o->name, o->value);
    const char *why = "";
    if (set_value(o, value, &why))
        return EXIT_DONE;
    if (o->kind == OPTION_SIZE && strcmp(why, range) == 0)
        return wrong_size(c, o, value);
    if (o->min != 0 || o->max != 0)
        return command_wrong(c->verb, "--%s '%s': %s (%.15g to %.15g)", o->name, value, why, o->min, o->max);
    return command_wrong(c->verb, "--%s '%s': %s", o->name, value, why);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Operands are gathered to the front of argv, so that the rest is one array. */
static int take_operands(const command *c, int count, char **words)
{
    int used = 0;
    for (; used < c->operand_count && used < count; used++)
        *c->operands[used].out = words[used];
    if (used < c->operand_count && !c->operands[used].optional)
        return command_wrong(c->verb, "%s is missing: %s", c->operands[used].name, c->operands[used].help);
    if (c->rest_name) {
        *c->rest = words + used;
        *c->rest_count = count - used;
    } else if (used < count) {
        return command_wrong(c->verb, "one word too many: '%s'", words[used]);
    }
    return EXIT_DONE;
}

bool command_parse(const command *c, int argc, char **argv, int *exit_code)
{
    if (wants_help(argc, argv)) {
        print_help(c);
        *exit_code = EXIT_DONE;
        return false;
    }
    int words = 1;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            *exit_code = read_option(c, argc, argv, &i);
            if (*exit_code != EXIT_DONE)
                return false;
        } else {
            argv[words++] = argv[i];
        }
    }
    *exit_code = take_operands(c, words - 1, argv + 1);
    return *exit_code == EXIT_DONE;
}
