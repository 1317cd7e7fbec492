/* SPDX-License-Identifier: MIT
 * Where voxels of an OME-Zarr image lie and how large they are: units of axes and coordinateTransformations (since 0.4) into
 * pel_image. Scales and translations are read, one after the other; what else moves voxels makes size and place unknown, because
 * half of it would be wrong. */
#include "core/bytes.h"
#include "core/number.h"
#include "source/zarr.h"

#include <math.h>
#include <stdio.h>

/* ---- units --------------------------------------------------------------------------------------------------- */

/* The factor of an SI prefix in front of `base`; 0 where the unit is something else. */
static double prefixed(const char *unit, const char *base)
{
    static const struct {
        const char *name;
        double factor;
    } prefixes[] = {
        {"", 1}, {"micro", 1e-6}, {"nano", 1e-9}, {"milli", 1e-3}, {"centi", 1e-2}, {"deci", 1e-1}, {"pico", 1e-12},
        {"femto", 1e-15}, {"atto", 1e-18}, {"zepto", 1e-21}, {"yocto", 1e-24}, {"hecto", 1e2}, {"kilo", 1e3}, {"mega", 1e6},
        {"giga", 1e9}, {"tera", 1e12}, {"peta", 1e15}, {"exa", 1e18}, {"zetta", 1e21}, {"yotta", 1e24},
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t n = strlen(prefixes[i].name);
        if (strncmp(unit, prefixes[i].name, n) == 0 && strcmp(unit + n, base) == 0)
            return prefixes[i].factor;
    }
    return 0;
}

/* Micrometres or seconds of a unit, 0 where it is none of space (time). Beside the names of the specification those that
 * writers use instead. */
static double unit_size(const char *unit, bool time)
{
    static const struct {
        const char *name;
        bool time;
        double size;
    } units[] = {
        {"micrometer", false, 1}, {"nanometer", false, 1e-3}, {"millimeter", false, 1e3}, {"centimeter", false, 1e4},
        {"meter", false, 1e6}, {"angstrom", false, 1e-4}, {"picometer", false, 1e-6}, {"micron", false, 1},
        {"um", false, 1}, {"\xC2\xB5m", false, 1}, {"\xCE\xBCm", false, 1}, {"nm", false, 1e-3}, {"mm", false, 1e3},
        {"inch", false, 25400}, {"foot", false, 304800}, {"yard", false, 914400}, {"mile", false, 1609344e3},
        {"parsec", false, 3.0856775814913673e22}, {"minute", true, 60}, {"hour", true, 3600}, {"day", true, 86400},
        {"s", true, 1}, {"ms", true, 1e-3},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].time == time && strcmp(units[i].name, unit) == 0)
            return units[i].size;
    return time ? prefixed(unit, "second") : 1e6 * prefixed(unit, "meter");
}

/* ---- transformations ----------------------------------------------------------------------------------------- */

/* What the transformations do to the index i of an axis: scale * i + shift. */
typedef struct placing {
    int32_t ndim;
    double scale[PEL_MAX_NDIM], shift[PEL_MAX_NDIM];
    bool scaled;
    char trouble[160]; /* "" or why none of it can be used */
} placing;

/* The numbers of a scale or translation, one an axis; else the trouble is told. */
static bool vector(json_object *o, const char *type, placing *p, double *out)
{
    json_object *const values = pel__json_get(o, type, json_type_array);
    const char *const path = pel__json_string(o, "path");
    const size_t n = values ? json_object_array_length(values) : 0;
    if (!values && path)
        (void)snprintf(p->trouble, sizeof p->trouble, "the %s is in an array of its own, \"%.60s\"", type, path);
    else if (n != (size_t)p->ndim)
        (void)snprintf(p->trouble, sizeof p->trouble, "the %s has %zu numbers for %d axes", type, n, (int)p->ndim);
    for (size_t i = 0; !p->trouble[0] && i < n; i++) {
        json_object *const v = json_object_array_get_idx(values, i);
        const bool number = json_object_is_type(v, json_type_double) || json_object_is_type(v, json_type_int);
        out[i] = number ? json_object_get_double(v) : NAN;
        if (!isfinite(out[i]))
            (void)snprintf(p->trouble, sizeof p->trouble, "number %zu of the %s is none", i, type);
    }
    return !p->trouble[0];
}

#define DEEPEST 4 /* sequences in sequences */

static void apply_list(json_object *list, placing *p, int depth);

static void apply_one(json_object *o, placing *p, int depth)
{
    double v[PEL_MAX_NDIM];
    const char *const type = pel__json_string(o, "type");
    const bool scale = type && strcmp(type, "scale") == 0, shift = type && strcmp(type, "translation") == 0;
    if (type && strcmp(type, "identity") == 0)
        return;
    if (type && strcmp(type, "sequence") == 0 && depth < DEEPEST) {
        apply_list(pel__json_get(o, "transformations", json_type_array), p, depth + 1);
        return;
    }
    if (!scale && !shift) {
        (void)snprintf(p->trouble, sizeof p->trouble, "a transformation \"%.60s\" is not understood", type ? type : "");
        return;
    }
    if (!vector(o, type, p, v))
        return;
    for (int32_t i = 0; i < p->ndim; i++) {
        p->scale[i] *= scale ? v[i] : 1;
        p->shift[i] = scale ? p->shift[i] * v[i] : p->shift[i] + v[i];
    }
    p->scaled = p->scaled || scale;
}

static void apply_list(json_object *list, placing *p, int depth)
{
    for (size_t k = 0; list && !p->trouble[0] && k < json_object_array_length(list); k++)
        apply_one(json_object_array_get_idx(list, k), p, depth);
}

static void apply(json_object *owner, placing *p)
{
    apply_list(pel__json_get(owner, "coordinateTransformations", json_type_array), p, 0);
}

/* The name of the coordinate system that the first transformation leads to. */
static const char *output_name(json_object *dataset)
{
    json_object *const list = pel__json_get(dataset, "coordinateTransformations", json_type_array);
    json_object *const first = list ? json_object_array_get_idx(list, 0) : NULL;
    const char *const name = pel__json_string(pel__json_get(first, "output", json_type_object), "name");
    return name ? name : pel__json_string(first, "output");
}

json_object *pel__zarr_axes(json_object *multiscale, json_object *dataset)
{
    json_object *const systems = pel__json_get(multiscale, "coordinateSystems", json_type_array);
    const char *const output = output_name(dataset);
    for (size_t i = 0; systems && i < json_object_array_length(systems); i++) {
        json_object *const system = json_object_array_get_idx(systems, i);
        const char *const name = pel__json_string(system, "name");
        if (!output || (name && strcmp(name, output) == 0))
            return pel__json_get(system, "axes", json_type_array);
    }
    return pel__json_get(multiscale, "axes", json_type_array);
}

/* Before 0.4 axes were names, and nothing told a scale. */
static bool could_tell(json_object *axes)
{
    return axes && json_object_array_length(axes) > 0 && json_object_is_type(json_object_array_get_idx(axes, 0), json_type_object);
}

/* ---- into the image ------------------------------------------------------------------------------------------ */

/* "z 2, y 0.5 (unit "pixel")": axes whose scale has no unit that is known. */
static void list_axis(char *text, size_t size, const pel__zarr_axis *axis, double scale)
{
    const size_t n = strlen(text);
    const bool unit = axis->unit[0] != '\0';
    (void)snprintf(text + n, size - n, "%s%.20s %g%s%.40s%s", n ? ", " : "", axis->name, scale, unit ? " (unit \"" : "", axis->unit,
                   unit ? "\")" : "");
}

static void keep_axis(pel_image *image, int32_t k, const placing *p, int32_t i, double unit)
{
    const double scale = fabs(p->scale[i]), size = pel__converted(scale, unit), place = pel__converted(p->shift[i], unit);
    const bool known = size > 0 && isfinite(size) && isfinite(place);
    image->pixel_size[k] = known ? size : 0;
    image->scale[k] = known ? 0 : scale;
    image->place[k] = known ? place : p->shift[i];
}

void pel__zarr_keep_space(pel__zarr_source *s, int32_t number, json_object *multiscale, json_object *dataset,
                          const pel__zarr_axis *axes)
{
    pel_image *const image = &s->base.images[number];
    const pel__zarr_image *const own = &s->list[number];
    placing p = {.ndim = own->array->ndim, .scale = {1, 1, 1, 1, 1, 1, 1, 1}};
    char bare[200] = "", backwards[200] = "";
    apply(dataset, &p);
    if (!pel__json_get(multiscale, "coordinateSystems", json_type_array)) /* else they lead on to other systems */
        apply(multiscale, &p);
    if (!p.trouble[0] && !p.scaled && could_tell(pel__zarr_axes(multiscale, dataset)))
        (void)snprintf(p.trouble, sizeof p.trouble, "no scale is given");
    if (p.trouble[0])
        pel__zarr_note(s, number, PEL__NOTE_METADATA, "Size and place of the voxels are unknown: %s.", p.trouble);
    for (int32_t i = 0; p.scaled && !p.trouble[0] && i < own->array->ndim; i++) {
        const int32_t k = own->axis[i];
        if (k < 0 || k == PEL_C)
            continue;
        const double unit = unit_size(axes[i].unit, k == PEL_T);
        if (!(fabs(p.scale[i]) > 0) || !isfinite(p.scale[i]) || !isfinite(p.shift[i])) {
            pel__zarr_note(s, number, PEL__NOTE_METADATA, "Axis %.20s has the scale %g: its size and place are unknown.", axes[i].name, p.scale[i]);
            continue;
        }
        keep_axis(image, k, &p, i, unit);
        if (image->pixel_size[k] <= 0 && (p.scale[i] != 1 || p.shift[i] != 0))
            list_axis(bare, sizeof bare, &axes[i], p.scale[i]);
        if (p.scale[i] < 0)
            list_axis(backwards, sizeof backwards, &axes[i], p.scale[i]);
    }
    if (bare[0])
        pel__zarr_note(s, number, PEL__NOTE_METADATA, "A scale without a unit that is known is kept, sizes in micrometres or seconds are unknown: %s.", bare);
    if (backwards[0])
        pel__zarr_note(s, number, PEL__NOTE_METADATA, "A negative scale (the axis runs backwards) is taken as positive: %s.", backwards);
}
