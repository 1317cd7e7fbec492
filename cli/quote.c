/* SPDX-License-Identifier: MIT
 * See quote.h. The rules of Slurm and Grid Engine were tried on the real ones (tests/cluster), that of PBS is its qsub's source;
 * where nothing could be tried (LSF, HTCondor) all is refused that the manual does not promise. */
#include "quote.h"

#include <stddef.h>
#include <string.h>

static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,=+@%";

bool quote_is_plain(const char *text)
{
    return text[0] && text[strspn(text, plain)] == '\0';
}

const char *quote_control(const char *text)
{
    for (; text && *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < 32 || c == 127)
            return c == '\n' ? "a line feed" : c == '\t' ? "a tab" : "a control character";
    }
    return NULL;
}

static const char *refuse_none(const char *text, bool path)
{
    (void)text;
    (void)path;
    return NULL;
}

/* ---- shells, and qsub of PBS, which reads its lines in the same way --------------------------------------------------- */

void quote_shell(FILE *to, const char *word)
{
    if (quote_is_plain(word)) {
        (void)fputs(word, to);
        return;
    }
    (void)fputc('\'', to);
    for (; *word; word++) {
        if (*word == '\'')
            (void)fputs("'\\''", to);
        else
            (void)fputc(*word, to);
    }
    (void)fputc('\'', to);
}

static void print_pbs(FILE *to, const char *text, const char *tail, bool path)
{
    (void)path;
    quote_shell(to, text);
    (void)fputs(tail, to);
}

/* Its server gives the path to wordexp(3) on the node. */
static const char *refuse_torque(const char *text, bool path)
{
    return path && !quote_is_plain(text) ? "signs that a shell takes apart" : NULL;
}

const quoting quote_pbs = {print_pbs, refuse_none};
const quoting quote_torque = {print_pbs, refuse_torque};

/* ---- Slurm: marks keep blanks together, within them a backslash keeps the next sign; %% in names of files --------------- */

static void print_slurm(FILE *to, const char *text, const char *tail, bool path)
{
    const bool marks = !quote_is_plain(text);
    (void)fputs(marks ? "\"" : "", to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            (void)fputc('\\', to);
        if (*text == '%' && path)
            (void)fputc('%', to);
        (void)fputc(*text, to);
    }
    (void)fprintf(to, "%s%s", tail, marks ? "\"" : "");
}

static const char *refuse_slurm(const char *text, bool path)
{
    return path && strchr(text, '\\') ? "a backslash, after which Slurm replaces no %j" : NULL;
}

const quoting quote_slurm = {print_slurm, refuse_slurm};

/* ---- Grid Engine: marks keep all but marks and #; paths may be lists of HOST:PATH and hold variables ---------------------- */

static void print_marked(FILE *to, const char *text, const char *tail, bool path)
{
    const char *const mark = quote_is_plain(text) ? "" : "\"";
    (void)path;
    (void)fprintf(to, "%s%s%s%s", mark, text, tail, mark);
}

static const char *refuse_sge(const char *text, bool path)
{
    if (strpbrk(text, "'\"#"))
        return "a quote or #";
    if (!path)
        return NULL;
    for (const char *p = strchr(text, '$'); p; p = strchr(p + 1, '$'))
        if (p[1] >= 'A' && p[1] <= 'Z')
            return "a variable ($NAME), which it replaces";
    return strpbrk(text, ",:") ? "a comma or colon, which begins another path" : NULL;
}

const quoting quote_sge = {print_marked, refuse_sge};

/* ---- LSF: marks; %J and %I in names of files cannot be hidden ------------------------------------------------------------- */

static const char *refuse_lsf(const char *text, bool path)
{
    if (strpbrk(text, "\"$`\\"))
        return "one of \" $ ` \\";
    return path && (strstr(text, "%J") || strstr(text, "%I")) ? "%J or %I, which it replaces" : NULL;
}

const quoting quote_lsf = {print_marked, refuse_lsf};

/* ---- HTCondor: names of files are one word without marks; a dollar before NAME( begins a macro ------------------------------ */

static bool begins_macro(const char *dollar)
{
    const char *p = dollar + 1;
    while (*p == '$' || *p == '_' || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z'))
        p++;
    return *p == '(' || *p == '[';
}

static void print_condor_sign(FILE *to, const char *at)
{
    if (*at == '$' && begins_macro(at))
        (void)fputs("$(DOLLAR)", to);
    else
        (void)fputc(*at, to);
}

static void print_condor_value(FILE *to, const char *text, const char *tail, bool path)
{
    (void)path;
    for (; *text; text++)
        print_condor_sign(to, text);
    (void)fputs(tail, to);
}

/* Blanks part words, single marks keep them together, and both kinds of marks are doubled. */
void quote_condor_argument(FILE *to, const char *word)
{
    const bool marks = word[0] == '\0' || strpbrk(word, " '") != NULL;
    (void)fputs(marks ? "'" : "", to);
    for (; *word; word++) {
        if (*word == '"' || (*word == '\'' && marks))
            (void)fputc(*word, to);
        print_condor_sign(to, word);
    }
    (void)fputs(marks ? "'" : "", to);
}

static const char *refuse_condor(const char *text, bool path)
{
    if (strstr(text, "$$(") || strstr(text, "$$["))
        return "$$( or $$[, which it replaces on the node";
    if (strpbrk(text, "\"\\"))
        return "a double quote or a backslash";
    return path && strchr(text, ' ') ? "a blank" : NULL;
}

const quoting quote_condor = {print_condor_value, refuse_condor};
