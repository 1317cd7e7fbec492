/* SPDX-License-Identifier: MIT
 * See jobs_ask.h. */
#include "jobs_ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool job_answer_make(job_answer *out)
{
    *out = (job_answer){.text = malloc(ANSWER_SIZE), .errors = malloc(ERRORS_SIZE)};
    return out->text && out->errors;
}

void job_answer_free(job_answer *a)
{
    free(a->text);
    free(a->errors);
}

void first_words(char *out, size_t size, const char *text)
{
    text += strspn(text, " \t\r\n");
    (void)snprintf(out, size, "%.*s", (int)strcspn(text, "\r\n"), text);
}

/* NULL: memory. */
static char *fill_in(const char *line, const char *value)
{
    char *text = NULL;
    size_t n = 0;
    FILE *const f = open_memstream(&text, &n);
    if (!f)
        return NULL;
    for (const char *p = line; *p;) {
        const size_t place = strncmp(p, "IDS", 3) == 0 ? 3 : strncmp(p, "NAME", 4) == 0 ? 4 : 0;
        (void)fprintf(f, "%.*s", place ? (int)strlen(value) : 1, place ? value : p);
        p += place ? place : 1;
    }
    if (fclose(f) == 0)
        return text;
    free(text);
    return NULL;
}

bool job_ask(job_answer *out, const char *line, const char *value, const asking *how)
{
    pel_error err = {0};
    char said[200];
    char *const text = fill_in(line, value);
    const char *const words[] = {"/bin/sh", "-c", text, NULL};
    const program_call call = {.words = words, .out = out->text, .out_size = ANSWER_SIZE, .errors = out->errors, .errors_size = ERRORS_SIZE,
                               .seconds = how->seconds, .unwanted = how->unwanted, .arg = how->arg, .unwanted_seconds = how->unwanted_seconds};
    out->end = text ? program_run(&call, &err) : (program_end){.status = -1};
    free(text);
    first_words(said, sizeof said, out->errors[0] ? out->errors : out->text);
    if (out->end.timed_out)
        (void)snprintf(out->why, sizeof out->why, "no answer within %" PRId64 " s", how->seconds);
    else if (out->end.dropped)
        (void)snprintf(out->why, sizeof out->why, "asked to stop");
    else if (out->end.status < 0)
        (void)snprintf(out->why, sizeof out->why, "%.299s", err.text[0] ? err.text : "out of memory");
    else if (out->end.cut)
        (void)snprintf(out->why, sizeof out->why, "its answer is longer than %d MiB", ANSWER_SIZE >> 20);
    else
        (void)snprintf(out->why, sizeof out->why, "exit status %d%s%s", out->end.status, said[0] ? ": " : "", said);
    return out->end.status >= 0 && !out->end.killed && out->end.status != 126 && out->end.status != 127 && !out->end.timed_out && !out->end.dropped && !out->end.cut;
}

int job_split(char *line, char *fields[], int most, const char *between)
{
    int n = 0;
    const bool blanks = between[0] == ' ';
    for (char *p = line + (blanks ? strspn(line, between) : 0); *p && n < most;) {
        fields[n++] = p;
        p += strcspn(p, between);
        if (*p)
            *p++ = '\0';
        if (blanks)
            p += strspn(p, between);
    }
    return n;
}
