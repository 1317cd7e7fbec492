/* SPDX-License-Identifier: MIT
 * See params.h. One parser a kind; a setter runs it once to check, a getter once more to read, so text and number can
 * never disagree. Numbers are read in the C locale whatever the program's. */
#include "filter/params.h"

#include <assert.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char axis_letters[] = "tczyx";

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool pel__parse_number(const char *text, size_t n, double *out)
{
    char copy[64];
    char *end = NULL;
    if (n == 0 || n >= sizeof copy)
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    (void)pthread_once(&c_locale_once, make_c_locale);
    errno = 0;
    *out = strtod_l(copy, &end, c_locale);
    return *end == '\0' && errno == 0 && *out - *out == 0.0;
}

static bool parse_integer(const char *text, size_t n, double *out)
{
    return pel__parse_number(text, n, out) && *out == (double)(int64_t)*out;
}

static bool in_range(const pel__param *p, double v)
{
    return v >= p->min && v <= p->max;
}

static bool has_choice(const char *choices, const char *text)
{
    const size_t n = strlen(text);
    for (const char *c = choices; *c;) {
        const size_t k = strcspn(c, "|");
        if (k == n && strncmp(c, text, n) == 0)
            return true;
        c += k + (c[k] == '|');
    }
    return false;
}

static bool parse_letters(const char *text, uint32_t *out)
{
    uint32_t set = 0;
    for (; *text; text++) {
        const char *at = strchr(axis_letters, *text);
        if (!at || (set & 1U << (at - axis_letters)))
            return false;
        set |= 1U << (at - axis_letters);
    }
    *out = set;
    return set != 0;
}

/* "z=1,y=3" or "1,3,3" (the last axes), in text[0 .. size-1]. */
static bool parse_numbers(const pel__param *p, const char *text, size_t size, double out[PEL_AXES])
{
    const char *const end = text + size;
    int32_t commas = 0, position = 0;
    for (const char *c = text; c < end; c++)
        commas += *c == ',';
    if (commas >= PEL_AXES)
        return false;
    memset(out, 0, PEL_AXES * sizeof *out);
    uint32_t seen = 0;
    for (const char *c = text;; position++) {
        const char *const comma = memchr(c, ',', (size_t)(end - c));
        size_t n = (size_t)((comma ? comma : end) - c);
        int32_t axis = PEL_AXES - 1 - commas + position;
        const char *letter = n > 0 && *c ? strchr(axis_letters, *c) : NULL;
        if (letter && n > 2 && c[1] == '=') {
            axis = (int32_t)(letter - axis_letters);
            c += 2;
            n -= 2;
        }
        double v = 0;
        if ((seen & 1U << axis) || !pel__parse_number(c, n, &v) || !in_range(p, v))
            return false;
        seen |= 1U << axis;
        out[axis] = v;
        c += n;
        if (c++ == end)
            return true;
    }
}

static bool parse_axes(const pel__param *p, const char *text, int64_t out[PEL_AXES])
{
    double v[PEL_AXES];
    if (!parse_numbers(p, text, strlen(text), v))
        return false;
    for (int a = 0; a < PEL_AXES; a++) {
        out[a] = (int64_t)v[a];
        if ((double)out[a] != v[a])
            return false;
    }
    return true;
}

/* As parse_numbers; one number alone is meant for z, y and x. */
static bool parse_lengths(const pel__param *p, const char *text, size_t size, double out[PEL_AXES])
{
    if (!parse_numbers(p, text, size, out))
        return false;
    if (!memchr(text, ',', size) && !memchr(text, '=', size))
        out[PEL_Z] = out[PEL_Y] = out[PEL_X];
    return true;
}

static bool parse_two_lengths(const pel__param *p, const char *text, double out[2][PEL_AXES])
{
    const char *const semicolon = strchr(text, ';'), *const comma = strchr(text, ',');
    const char *const middle = semicolon ? semicolon : comma;
    if (!middle || (!semicolon && (strchr(comma + 1, ',') || strchr(text, '='))))
        return false;
    return parse_lengths(p, text, (size_t)(middle - text), out[0]) && parse_lengths(p, middle + 1, strlen(middle + 1), out[1]);
}

static int32_t parse_steps(const pel__param *p, const char *text, int64_t out[PEL__MAX_STEPS])
{
    int32_t count = 0;
    for (const char *c = text;; c++) {
        const size_t n = strcspn(c, ",");
        double v = 0;
        if (count == PEL__MAX_STEPS || !parse_integer(c, n, &v) || !in_range(p, v))
            return 0;
        out[count++] = (int64_t)v;
        c += n;
        if (*c == '\0')
            return count;
    }
}

static bool text_fits(const pel__param *p, const char *text)
{
    int64_t whole[PEL__MAX_STEPS > PEL_AXES ? PEL__MAX_STEPS : PEL_AXES];
    double lengths[2][PEL_AXES];
    uint32_t set = 0;
    double v = 0;
    switch (p->kind) {
    case PEL__NUMBER: return pel__parse_number(text, strlen(text), &v) && in_range(p, v);
    case PEL__INTEGER: return parse_integer(text, strlen(text), &v) && in_range(p, v);
    case PEL__CHOICE: return has_choice(p->choices, text);
    case PEL__LETTERS: return parse_letters(text, &set);
    case PEL__PER_AXIS: return parse_axes(p, text, whole);
    case PEL__PER_STEP: return parse_steps(p, text, whole) > 0;
    case PEL__LENGTHS: return parse_lengths(p, text, strlen(text), lengths[0]);
    case PEL__TWO_LENGTHS: return parse_two_lengths(p, text, lengths);
    }
    return false;
}

static void expectation(const pel__param *p, char *text, size_t size)
{
    switch (p->kind) {
    case PEL__CHOICE: (void)snprintf(text, size, "one of %s", p->choices); break;
    case PEL__LETTERS: (void)snprintf(text, size, "letters of tczyx, each once, such as tzyx"); break;
    case PEL__PER_AXIS:
        (void)snprintf(text, size, "whole numbers %g to %g an axis, such as z=1,y=3,x=3", p->min, p->max);
        break;
    case PEL__PER_STEP: (void)snprintf(text, size, "whole numbers %g to %g a step, such as 1,2,4", p->min, p->max); break;
    case PEL__LENGTHS: (void)snprintf(text, size, "a number %g to %g, or an axis, such as z=1,y=2.5,x=2.5", p->min, p->max); break;
    case PEL__TWO_LENGTHS:
        (void)snprintf(text, size, "two numbers %g to %g, such as 2,8, or z=1,y=2,x=2;z=4,y=8,x=8", p->min, p->max);
        break;
    case PEL__INTEGER: (void)snprintf(text, size, "a whole number %g to %g", p->min, p->max); break;
    case PEL__NUMBER: (void)snprintf(text, size, "a number %g to %g", p->min, p->max); break;
    }
}

static int32_t find(const pel__values *v, const char *name)
{
    for (int32_t i = 0; i < v->count; i++) {
        if (strcmp(v->params[i].name, name) == 0)
            return i;
    }
    return -1;
}

void pel__values_init(pel__values *v, const pel__param *params, int32_t count)
{
    assert(count <= PEL__MAX_PARAMS);
    v->params = params;
    v->count = count;
    for (int32_t i = 0; i < count; i++)
        (void)snprintf(v->text[i], sizeof v->text[i], "%s", params[i].fallback);
}

bool pel__values_set(pel__values *v, const char *name, const char *text, pel_error *err)
{
    const int32_t i = find(v, name);
    if (i < 0)
        return pel__fail(err, PEL_NOT_FOUND, "no setting is called %s", name);
    const pel__param *p = &v->params[i];
    const bool is_fallback = strcmp(text, p->fallback) == 0;
    if (strlen(text) >= PEL__VALUE_SIZE || (!is_fallback && !text_fits(p, text))) {
        char want[160];
        expectation(p, want, sizeof want);
        return pel__fail(err, PEL_ARGUMENT, "%s: found \"%.80s\", expected %s%s", name, text, want,
                         strcmp(p->fallback, "auto") == 0 ? " (or auto)" : "");
    }
    (void)snprintf(v->text[i], sizeof v->text[i], "%s", text);
    return true;
}

const char *pel__value_text(const pel__values *v, const char *name)
{
    const int32_t i = find(v, name);
    assert(i >= 0);
    return v->text[i];
}

bool pel__value_is_auto(const pel__values *v, const char *name)
{
    return strcmp(pel__value_text(v, name), "auto") == 0;
}

bool pel__value_is_open(const pel__values *v, int32_t i)
{
    const char *const choices = v->params[i].choices;
    return strcmp(v->text[i], choices && strstr(choices, "auto") ? "auto" : v->params[i].fallback) == 0;
}

double pel__value_number(const pel__values *v, const char *name)
{
    const char *text = pel__value_text(v, name);
    double number = 0;
    const bool ok = pel__parse_number(text, strlen(text), &number);
    assert(ok);
    (void)ok;
    return number;
}

int64_t pel__value_integer(const pel__values *v, const char *name)
{
    return (int64_t)pel__value_number(v, name);
}

void pel__value_axes(const pel__values *v, const char *name, int64_t out[PEL_AXES])
{
    const bool ok = parse_axes(&v->params[find(v, name)], pel__value_text(v, name), out);
    assert(ok);
    (void)ok;
}

void pel__value_lengths(const pel__values *v, const char *name, double out[2][PEL_AXES])
{
    const pel__param *p = &v->params[find(v, name)];
    const char *text = pel__value_text(v, name);
    const bool ok = p->kind == PEL__LENGTHS ? parse_lengths(p, text, strlen(text), out[0]) : parse_two_lengths(p, text, out);
    assert(ok);
    (void)ok;
}

uint32_t pel__value_letters(const pel__values *v, const char *name)
{
    uint32_t set = 0;
    const bool ok = parse_letters(pel__value_text(v, name), &set);
    assert(ok);
    (void)ok;
    return set;
}

int32_t pel__value_steps(const pel__values *v, const char *name, int64_t out[PEL__MAX_STEPS])
{
    return parse_steps(&v->params[find(v, name)], pel__value_text(v, name), out);
}
