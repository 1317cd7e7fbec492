/* SPDX-License-Identifier: MIT
 * See phantom.h: the phantom's options to text and back. */
#include "source/phantom.h"

#include "core/bytes.h"
#include "core/number.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LARGEST_SIDE (INT64_C(1) << 30)
#define LARGEST_ORIGIN (INT64_C(1) << 30)

static const char axes[] = "tczyx";

static bool check_image(const pel_phantom_options *o, pel_error *err)
{
    int64_t voxels = 0;
    for (int a = 0; a < PEL_AXES; a++)
        if (o->size[a] < 1 || o->size[a] > LARGEST_SIDE)
            return pel__fail(err, PEL_ARGUMENT, "phantom: size %c=%" PRId64 ": must be 1 to %" PRId64, axes[a], o->size[a], LARGEST_SIDE);
    for (int a = 0; a < PEL_AXES; a++)
        if (!(o->pixel_size[a] >= 0.0 && o->pixel_size[a] < 1e9) || o->origin[a] < -LARGEST_ORIGIN || o->origin[a] > LARGEST_ORIGIN)
            return pel__fail(err, PEL_ARGUMENT, "phantom: axis %c: pixel size %g or origin %" PRId64 " out of range", axes[a], o->pixel_size[a], o->origin[a]);
    if (!pel__product(o->size, PEL_AXES, &voxels) || voxels > INT64_MAX / 8)
        return pel__fail(err, PEL_ARGUMENT, "phantom: more voxels than a 64-bit number counts");
    if (o->scenes < 1 || o->scenes > 1000)
        return pel__fail(err, PEL_ARGUMENT, "phantom: %d scenes: must be 1 to 1000", o->scenes);
    return true;
}

bool pel__phantom_check(const pel_phantom_options *o, pel_error *err)
{
    if (!check_image(o, err))
        return false;
    if (o->size[PEL_C] > 4096)
        return pel__fail(err, PEL_ARGUMENT, "phantom: %" PRId64 " channels: at most 4096", o->size[PEL_C]);
    if (o->dtype != PEL_U8 && o->dtype != PEL_U16 && o->dtype != PEL_F32)
        return pel__fail(err, PEL_ARGUMENT, "phantom: data type %s: must be uint8, uint16 or float32",
                         pel_dtype_name(o->dtype) ? pel_dtype_name(o->dtype) : "unknown");
    if (!(o->brightness >= 0.0 && o->brightness <= 1e4))
        return pel__fail(err, PEL_ARGUMENT, "phantom: brightness %g: must be 0 to 10000", o->brightness);
    return true;
}

/* ---- to text ------------------------------------------------------------------------------------------------- */

static void append(char *text, size_t size, const char *fmt, ...) PEL_PRINTF(3, 4);
static void append(char *text, size_t size, const char *fmt, ...)
{
    const size_t used = strlen(text);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text + used, size - used, fmt, args);
    va_end(args);
}

static void append_number(char *text, size_t size, const char *before, double v)
{
    char digits[PEL__NUMBER_SIZE];
    pel__number_text(digits, v, 15);
    append(text, size, "%s%s", before, digits);
}

static void put_name(char *text, size_t size, const pel_phantom_options *o)
{
    append(text, size, "%s:t=%" PRId64 ",c=%" PRId64 ",z=%" PRId64 ",y=%" PRId64 ",x=%" PRId64, o->truth ? "phantom-truth" : "phantom",
           o->size[PEL_T], o->size[PEL_C], o->size[PEL_Z], o->size[PEL_Y], o->size[PEL_X]);
    append(text, size, ";seed=%" PRIu64, o->seed);
    append_number(text, size, ";noise=", o->gain);
    append_number(text, size, ",", o->offset);
    append_number(text, size, ";background=", o->background);
    append_number(text, size, ";brightness=", o->brightness);
    append(text, size, ";dtype=%s;scenes=%d", pel_dtype_name(o->dtype), o->scenes);
    append(text, size, ";origin=%" PRId64 ",%" PRId64, o->origin[PEL_Y], o->origin[PEL_X]);
    append_number(text, size, ";pixel=", o->pixel_size[PEL_Z]);
    append_number(text, size, ",", o->pixel_size[PEL_Y]);
    append_number(text, size, ",", o->pixel_size[PEL_X]);
    append_number(text, size, ";interval=", o->pixel_size[PEL_T]);
}

bool pel_phantom_name(char *name, size_t size, const pel_phantom_options *o, pel_error *err)
{
    if (!pel__phantom_check(o, err))
        return false;
    char text[768] = "";
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c)
        return pel__fail(err, PEL_NO_MEMORY, "phantom: no memory for its name");
    const locale_t before = uselocale(c); /* of this thread: numbers with a point whatever the program speaks */
    put_name(text, sizeof text, o);
    (void)uselocale(before);
    freelocale(c);
    if (strlen(text) >= size)
        return pel__fail(err, PEL_ARGUMENT, "phantom: the name needs %zu bytes, %zu given", strlen(text) + 1, size);
    memcpy(name, text, strlen(text) + 1);
    return true;
}

/* ---- from text ----------------------------------------------------------------------------------------------- */

static bool bad(const char *field, const char *expected, pel_error *err)
{
    return pel__fail(err, PEL_ARGUMENT, "phantom: \"%s\": expected %s", field, expected);
}

/* n numbers with commas between, nothing behind. */
static bool numbers(const char *value, double *out, int n)
{
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        out[i] = strtod(value, &end);
        if (end == value || !isfinite(out[i]) || *end != (i + 1 < n ? ',' : '\0'))
            return false;
        value = end + 1;
    }
    return true;
}

static bool integers(const char *value, int64_t *out, int n)
{
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        const long long v = strtoll(value, &end, 10);
        if (end == value || *end != (i + 1 < n ? ',' : '\0'))
            return false;
        out[i] = v;
        value = end + 1;
    }
    return true;
}

/* "t=1,c=2,z=64,y=512,x=512": any order; an axis left out keeps 1, y and x must be there. */
static bool parse_size(pel_phantom_options *o, const char *field, pel_error *err)
{
    const char *p = field;
    bool seen[PEL_AXES] = {false};
    for (int a = 0; a < PEL_AXES; a++)
        o->size[a] = 1;
    for (;;) {
        const char *axis = *p ? strchr(axes, *p) : NULL;
        char *end = NULL;
        if (!axis || p[1] != '=' || seen[axis - axes])
            return bad(field, "a size like t=1,c=2,z=64,y=512,x=512", err);
        seen[axis - axes] = true;
        o->size[axis - axes] = strtoll(p + 2, &end, 10);
        if (end == p + 2 || (*end && *end != ','))
            return bad(field, "whole numbers behind the axes", err);
        if (!*end)
            break;
        p = end + 1;
    }
    return (seen[PEL_Y] && seen[PEL_X]) || bad(field, "at least y and x in the size", err);
}

static bool set_camera(pel_phantom_options *o, const char *key, const char *value, bool *ok)
{
    double v[2] = {0};
    if (strcmp(key, "noise") == 0) {
        *ok = numbers(value, v, 2);
        o->gain = v[0];
        o->offset = v[1];
    } else if (strcmp(key, "background") == 0) {
        *ok = numbers(value, &o->background, 1);
    } else if (strcmp(key, "brightness") == 0) {
        *ok = numbers(value, &o->brightness, 1);
    } else if (strcmp(key, "dtype") == 0) {
        *ok = pel_dtype_parse(&o->dtype, value);
    } else {
        return false;
    }
    return true;
}

static bool set_place(pel_phantom_options *o, const char *key, const char *value, bool *ok)
{
    char *end = NULL;
    if (strcmp(key, "seed") == 0) {
        o->seed = strtoull(value, &end, 10);
        *ok = *value && !*end;
    } else if (strcmp(key, "scenes") == 0) {
        int64_t n = 0;
        *ok = integers(value, &n, 1) && n >= 1 && n <= 1000;
        o->scenes = (int32_t)n;
    } else if (strcmp(key, "origin") == 0) {
        *ok = integers(value, &o->origin[PEL_Y], 2);
    } else if (strcmp(key, "pixel") == 0) {
        *ok = numbers(value, &o->pixel_size[PEL_Z], 3);
    } else if (strcmp(key, "interval") == 0) {
        *ok = numbers(value, &o->pixel_size[PEL_T], 1);
    } else {
        return false;
    }
    return true;
}

static bool parse_field(pel_phantom_options *o, char *field, bool *sized, pel_error *err)
{
    char *equals = strchr(field, '=');
    if (!equals)
        return bad(field, "name=value", err);
    if (equals == field + 1 && strchr(axes, field[0])) {
        *sized = true;
        return parse_size(o, field, err);
    }
    char key[32] = "";
    bool ok = false;
    if ((size_t)(equals - field) < sizeof key)
        memcpy(key, field, (size_t)(equals - field));
    if (!set_camera(o, key, equals + 1, &ok) && !set_place(o, key, equals + 1, &ok))
        return bad(field, "one of seed, noise, background, brightness, dtype, scenes, origin, pixel, interval", err);
    return ok || bad(field, "a value of the right kind", err);
}

static bool parse_name(pel_phantom_options *out, const char *name, pel_error *err)
{
    pel_phantom_options o = PEL_PHANTOM_DEFAULTS;
    char text[1024];
    const char *colon = strchr(name, ':');
    if (!colon || strlen(colon + 1) >= sizeof text)
        return bad(name, "phantom:SIZE;SETTING=…, at most 1000 bytes", err);
    memcpy(text, colon + 1, strlen(colon + 1) + 1);
    o.truth = strncmp(name, "phantom-truth:", 14) == 0;
    bool sized = false;
    char *rest = NULL;
    for (char *field = strtok_r(text, ";", &rest); field; field = strtok_r(NULL, ";", &rest))
        if (!parse_field(&o, field, &sized, err))
            return false;
    if (!sized)
        return bad(name, "a size like t=1,c=2,z=64,y=512,x=512", err);
    if (!pel__phantom_check(&o, err))
        return false;
    *out = o;
    return true;
}

bool pel__phantom_parse(pel_phantom_options *out, const char *name, pel_error *err)
{
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c)
        return pel__fail(err, PEL_NO_MEMORY, "phantom: no memory for its name");
    const locale_t before = uselocale(c);
    const bool ok = parse_name(out, name, err);
    (void)uselocale(before);
    freelocale(c);
    return ok;
}
