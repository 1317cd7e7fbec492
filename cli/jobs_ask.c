/* SPDX-License-Identifier: MIT
 * See jobs_ask.h. */
#include "jobs_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int job_ask(char *answer, size_t size, const char *line, const char *ids)
{
    char *text = NULL;
    size_t n = 0;
    pel_error err = {0};
    FILE *const f = open_memstream(&text, &n);
    if (!f)
        return -1;
    for (const char *p = line; *p;) {
        const bool place = strncmp(p, "IDS", 3) == 0;
        (void)fprintf(f, "%.*s", place ? (int)strlen(ids) : 1, place ? ids : p);
        p += place ? 3 : 1;
    }
    (void)fclose(f);
    const char *const words[] = {"/bin/sh", "-c", text, NULL};
    const int status = text ? run_program(answer, size, words, &err) : -1;
    free(text);
    return status;
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
