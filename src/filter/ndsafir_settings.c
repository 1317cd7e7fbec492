/* SPDX-License-Identifier: MIT
 * ND-SAFIR's parameters: the table, what "auto" means for an image, what cannot be meant, and the numbers that the
 * filter runs with. The defaults are the ones that are safe on both natural scenes and fluorescence; docs/denoising.md
 * has the measurements. */
#include "filter/ndsafir.h"

#include "core/bytes.h"
#include "core/region.h"
#include "filter/ndsafir_scales.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#if defined(__aarch64__)
#define ISA_CHOICES "auto|scalar"
#else
#define ISA_CHOICES "auto|scalar|v2|avx2|avx512"
#endif

const pel__param pel__ndsafir_params[PEL__NDSAFIR_PARAMS] = {
    {.name = "patch", .unit = "voxels", .fallback = "auto", .min = 0, .max = PEL__ND_MAX_PATCH, .kind = PEL__PER_AXIS, .exact = true,
     .help = "radius of the patches that are compared; auto: y=3,x=3, with time t=1,y=2,x=2, with depth z=1,y=2,x=2"},
    {.name = "axes", .unit = "", .fallback = "auto", .kind = PEL__LETTERS, .exact = true,
     .help = "axes searched for similar patches, of t z y x; auto: all that are longer than 1"},
    {.name = "channels", .unit = "", .fallback = "apart", .choices = "apart|joint|auto", .kind = PEL__CHOICE, .exact = true,
     .help = "joint: patches are compared over all channels together, for colour and markers of the same structures; auto: the data choose"},
    {.name = "quality", .unit = "", .fallback = "standard", .choices = "fast|standard|strong", .kind = PEL__CHOICE, .exact = true,
     .help = "bounds the cost by the windows that auto means: in a plane 1,2,4 (fast), 1,2,4,7 (standard), 1,2,4,8,16 (strong: much noise)"},
    {.name = "iterations", .unit = "", .fallback = "auto", .min = 1, .max = PEL__MAX_STEPS, .kind = PEL__INTEGER, .exact = true,
     .help = "times that the window grows; auto: by quality, standard 4 in a plane, 3 with depth or time"},
    {.name = "p-value", .unit = "", .fallback = "0.01", .min = 1e-9, .max = 0.5, .kind = PEL__NUMBER, .exact = true,
     .help = "of the chi-square test that two patches differ by noise only; smaller smooths a little more"},
    {.name = "strength", .unit = "", .fallback = "1", .min = 0.01, .max = 100, .kind = PEL__NUMBER, .exact = true,
     .help = "narrowness of the kernel: 0.5 smooths more (sparse fluorescence), 1.5 keeps more (textured scenes)"},
    {.name = "first", .unit = "", .fallback = "auto", .min = 0.01, .max = 100, .kind = PEL__NUMBER, .exact = true,
     .help = "factor on strength in the first iteration; auto: 1.3 in a plane, 1.4 with depth or time"},
    {.name = "aggregate", .unit = "", .fallback = "auto", .choices = "auto|no|last", .kind = PEL__CHOICE, .exact = true,
     .help = "average all patches that hold a voxel, in the last iteration; auto: last"},
    {.name = "radius-xy", .unit = "voxels", .fallback = "auto", .min = 0, .max = 64, .kind = PEL__PER_STEP, .exact = true,
     .help = "window radius along y and x in each iteration; auto: by quality"},
    {.name = "radius-z", .unit = "voxels", .fallback = "auto", .min = 0, .max = 64, .kind = PEL__PER_STEP, .exact = true,
     .help = "window radius along z in each iteration; auto: by quality"},
    {.name = "radius-t", .unit = "frames", .fallback = "auto", .min = 0, .max = 64, .kind = PEL__PER_STEP, .exact = true,
     .help = "window radius along t in each iteration; auto: by quality, 1,1,1 with depth"},
    {.name = "scales", .unit = "", .fallback = "auto", .choices = "auto|1|2", .kind = PEL__CHOICE, .exact = true,
     .help = "2: means of 2 x 2 pixels are filtered, too, and correct the low frequencies; auto: 2 unless radius-xy is given"},
    {.name = "coarse-xy", .unit = "pixels of 2 x 2", .fallback = "auto", .min = 0, .max = 64, .kind = PEL__PER_STEP, .exact = true,
     .help = "with 2 scales: window radius of the means along y and x in each iteration; auto: by quality"},
    {.name = "coarse-z", .unit = "voxels", .fallback = "auto", .min = 0, .max = 64, .kind = PEL__PER_STEP, .exact = true,
     .help = "with 2 scales: window radius of the means along z in each iteration; auto: by quality"},
    {.name = "coarse-t", .unit = "frames", .fallback = "auto", .min = 0, .max = 64, .kind = PEL__PER_STEP, .exact = true,
     .help = "with 2 scales: window radius of the means along t in each iteration; auto: by quality"},
    {.name = "coarse-strength", .unit = "", .fallback = "auto", .min = 0.01, .max = 100, .kind = PEL__NUMBER, .exact = true,
     .help = "with 2 scales: factor on strength for the means; auto: 1.4 with aggregate last, 2.4 without"},
    {.name = "spots", .unit = "sigma", .fallback = "4.3", .min = 0, .max = 1000, .kind = PEL__NUMBER, .exact = true,
     .help = "isolated bright spots that averaging took away are given back where they exceed this; 3.8: more of them, 0: none"},
    {.name = "isa", .unit = "", .fallback = "auto", .choices = ISA_CHOICES, .kind = PEL__CHOICE, .exact = false,
     .help = "instruction set: v2 is x86-64-v2, avx2 v3, avx512 v4, scalar any machine; all give the same bits"},
};

/* ---- instruction sets -------------------------------------------------------------------------------------- */

#define BUILD(name) {name, name##_settle, name##_copy, name##_bin, name##_spread, name##_search}

/* NULL: not on this machine, or not in this build. */
static const pel__ndsafir_isa *isa_of(const char *isa)
{
    const bool any = strcmp(isa, "auto") == 0;
#ifdef __x86_64__
    static const pel__ndsafir_isa avx512 = BUILD(pel__ndsafir_avx512), avx2 = BUILD(pel__ndsafir_avx2), v2 = BUILD(pel__ndsafir_v2);
    if ((any || strcmp(isa, "avx512") == 0) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        return &avx512;
    if ((any || strcmp(isa, "avx2") == 0) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx2;
    if ((any || strcmp(isa, "v2") == 0) && __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
        return &v2;
#endif
    static const pel__ndsafir_isa scalar = BUILD(pel__ndsafir_scalar);
    return any || strcmp(isa, "scalar") == 0 ? &scalar : NULL;
}

/* ---- auto -------------------------------------------------------------------------------------------------- */

static bool set_steps(pel__values *v, const char *name, const int32_t *known, int32_t known_count, int64_t count, pel_error *err)
{
    char text[PEL__VALUE_SIZE];
    size_t used = 0;
    if (!pel__value_is_auto(v, name))
        return true;
    for (int64_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d", i ? "," : "", known[pel__min(i, known_count - 1)]);
    return pel__values_set(v, name, text, err);
}

static bool set_auto(pel__values *v, const char *name, const char *text, pel_error *err)
{
    return !pel__value_is_auto(v, name) || pel__values_set(v, name, text, err);
}

static bool resolve_axes(pel__values *v, const pel_image *image, pel_error *err)
{
    static const char letters[] = "tczyx";
    char text[PEL_AXES + 1] = "";
    size_t n = 0;
    for (int a = 0; a < PEL_AXES; a++) {
        if (a != PEL_C && image->shape[a] > 1)
            text[n++] = letters[a];
    }
    return set_auto(v, "axes", n ? text : "yx", err);
}

/* Windows by quality: how many iterations, and the radii of each; a list that is too short goes on with its last entry. */
typedef struct preset {
    const char *name;
    int64_t count;
    int32_t xy[5], z[4], t[4];
    int32_t cells, cells_xy[5], cells_z[5], cells_t[5]; /* the same of the means of 2 x 2 pixels */
} preset;

static const preset plane_presets[] = {
    {"fast", 3, {1, 2, 4, 8, 16}, {0}, {0}, 3, {1, 2, 3}, {0}, {0}},
    {"standard", 4, {1, 2, 4, 7, 14}, {0}, {0}, 4, {1, 2, 4, 7}, {0}, {0}},
    {"strong", 5, {1, 2, 4, 8, 16}, {0}, {0}, 5, {1, 2, 4, 8, 16}, {0}, {0}},
};
static const preset deep_presets[] = {
    {"fast", 3, {1, 2, 3, 4, 8}, {1, 1, 1, 1}, {1, 1, 1, 1}, 4, {1, 2, 3, 5}, {1, 1, 1, 1}, {1, 1, 1, 1}},
    {"standard", 3, {1, 2, 5, 8, 8}, {1, 1, 1, 1}, {1, 1, 1, 1}, 4, {1, 2, 3, 4}, {1, 1, 1, 2}, {1, 1, 1, 1}},
    {"strong", 3, {1, 2, 8, 8, 8}, {1, 1, 1, 1}, {1, 1, 1, 1}, 4, {1, 2, 4, 8}, {1, 1, 1, 2}, {1, 1, 1, 1}},
};
static const preset series_presets[] = {
    {"fast", 3, {1, 2, 2, 3, 4}, {0}, {1, 1, 3, 4}, 3, {1, 2, 3}, {0}, {1, 1, 3}},
    {"standard", 3, {1, 2, 3, 4, 5}, {0}, {1, 1, 4, 4}, 3, {1, 2, 3}, {0}, {1, 2, 4}},
    {"strong", 3, {1, 2, 5, 5, 6}, {0}, {1, 2, 4, 4}, 3, {1, 2, 5}, {0}, {1, 2, 4}},
};

static const preset *preset_of(const pel__values *v, bool has_z, bool has_t)
{
    const preset *list = has_z ? deep_presets : has_t ? series_presets : plane_presets;
    for (int i = 0; i < 3; i++) {
        if (strcmp(list[i].name, pel__value_text(v, "quality")) == 0)
            return &list[i];
    }
    return &list[1];
}

/* Windows that were given mean what they mean without a second scale. */
static bool resolve_scales(pel__values *v, const preset *p, const pel_image *image, pel_error *err)
{
    int64_t radii[PEL__MAX_STEPS];
    const uint32_t axes = pel__value_letters(v, "axes");
    const bool plane = (axes & 1U << PEL_Y) && (axes & 1U << PEL_X) && image->shape[PEL_Y] > 1 && image->shape[PEL_X] > 1;
    return set_auto(v, "scales", plane && pel__value_is_auto(v, "radius-xy") ? "2" : "1", err) &&
           set_steps(v, "coarse-xy", p->cells_xy, 5, p->cells, err) &&
           set_steps(v, "coarse-z", p->cells_z, p->cells, pel__value_steps(v, "coarse-xy", radii), err) &&
           set_steps(v, "coarse-t", p->cells_t, p->cells, pel__value_steps(v, "coarse-xy", radii), err);
}

/* An explicit list of radii says how many iterations there are. */
static bool resolve_iterations(pel__values *v, int64_t usual, pel_error *err)
{
    static const char *const lists[] = {"radius-xy", "radius-z", "radius-t"};
    int64_t count = usual, radii[PEL__MAX_STEPS];
    char text[PEL__VALUE_SIZE];
    for (int i = 2; i >= 0; i--) {
        if (!pel__value_is_auto(v, lists[i]))
            count = pel__value_steps(v, lists[i], radii);
    }
    (void)snprintf(text, sizeof text, "%d", (int)count);
    return set_auto(v, "iterations", text, err);
}

bool pel__ndsafir_resolve(pel__values *v, const pel_image *image, pel_error *err)
{
    static const int32_t none[4] = {0};
    if (!resolve_axes(v, image, err) || !set_auto(v, "channels", "apart", err))
        return false;
    const uint32_t axes = pel__value_letters(v, "axes");
    const bool has_z = (axes & 1U << PEL_Z) && image->shape[PEL_Z] > 1, has_t = (axes & 1U << PEL_T) && image->shape[PEL_T] > 1;
    const bool plane = !has_z && !has_t;
    const preset *p = preset_of(v, has_z, has_t);
    if (!resolve_scales(v, p, image, err))
        return false;
    if (!set_auto(v, "patch", has_z ? "z=1,y=2,x=2" : has_t ? "t=1,y=2,x=2" : "y=3,x=3", err) || !resolve_iterations(v, p->count, err))
        return false;
    const int64_t count = pel__value_integer(v, "iterations");
    return set_auto(v, "first", plane ? "1.3" : "1.4", err) && set_auto(v, "aggregate", "last", err) &&
           set_auto(v, "coarse-strength", strcmp(pel__value_text(v, "aggregate"), "last") == 0 ? "1.4" : "2.4", err) &&
           set_steps(v, "radius-xy", p->xy, 5, count, err) &&
           set_steps(v, "radius-z", has_z ? p->z : none, 4, count, err) && set_steps(v, "radius-t", has_t ? p->t : none, 4, count, err);
}

/* ---- check ------------------------------------------------------------------------------------------------- */

static const char *const fine_lists[PEL__ND] = {"radius-t", "radius-z", "radius-xy", "radius-xy"};
static const char *const cell_lists[PEL__ND] = {"coarse-t", "coarse-z", "coarse-xy", "coarse-xy"};

/* One radius an iteration in each list. */
static bool check_lists(const pel__values *v, const char *const lists[PEL__ND], int64_t count, pel_error *err)
{
    int64_t radii[PEL__MAX_STEPS];
    for (int a = 0; a < PEL__ND; a++) {
        const int32_t found = pel__value_steps(v, lists[a], radii);
        if (found != count)
            return pel__fail(err, PEL_ARGUMENT, "%s: found %d radii (%s), expected %d: one an iteration", lists[a], (int)found,
                             pel__value_text(v, lists[a]), (int)count);
    }
    return true;
}

bool pel__ndsafir_check(const pel__values *v, const pel_image *image, pel_error *err)
{
    int64_t patch[PEL_AXES], radii[PEL__MAX_STEPS], samples = 1;
    if (pel__value_letters(v, "axes") & 1U << PEL_C)
        return pel__fail(err, PEL_ARGUMENT, "axes: c: channels cannot be searched; --channels joint compares them together");
    if (!check_lists(v, fine_lists, pel__value_integer(v, "iterations"), err) ||
        !check_lists(v, cell_lists, pel__value_steps(v, "coarse-xy", radii), err))
        return false;
    pel__value_axes(v, "patch", patch);
    if (patch[PEL_C])
        return pel__fail(err, PEL_UNSUPPORTED, "patch: c=%d: found a reach over channels; --channels joint compares all of them", (int)patch[PEL_C]);
    for (int a = 0; a < PEL_AXES; a++)
        samples *= 2 * patch[a] + 1;
    if (samples > 9261)
        return pel__fail(err, PEL_ARGUMENT, "patch: %s is %lld voxels, expected at most 9261", pel__value_text(v, "patch"), (long long)samples);
    if (!isa_of(pel__value_text(v, "isa")))
        return pel__fail(err, PEL_UNSUPPORTED, "isa: this machine cannot run %s; auto takes the best that it can", pel__value_text(v, "isa"));
    return true;
}

/* ---- numbers ----------------------------------------------------------------------------------------------- */

/* P(chi-square > x): a finite sum over every second freedom. In logarithms, for large patches. */
static double chi_square_tail(int64_t freedom, double x)
{
    const bool odd = freedom % 2;
    double log_term = (odd ? 0.5 * log(2 * x / 3.14159265358979323846) : log(x / 2)) - x / 2;
    double sum = odd ? erfc(sqrt(x / 2)) : exp(-x / 2);
    for (int64_t r = odd ? 1 : 2; r < freedom; r += 2) {
        sum += exp(log_term);
        log_term += log(x / (double)(r + 2));
    }
    return sum;
}

double pel__chi_square_limit(int64_t freedom, double probability)
{
    double low = 1e-9, high = 10.0 * (double)freedom + 100;
    for (int i = 0; i < 100; i++) {
        const double middle = 0.5 * (low + high);
        if (chi_square_tail(freedom, middle) > probability)
            low = middle;
        else
            high = middle;
    }
    return nearbyint(low * 1e4) * 1e-4; /* the last bits of a machine's exp and log shall not matter */
}

static void fill_radii(pel__ndsafir *s, const pel__values *v, const int64_t shape[PEL_AXES], const char *const lists[PEL__ND])
{
    const uint32_t axes = pel__value_letters(v, "axes");
    for (int a = 0; a < PEL__ND; a++) {
        int64_t radii[PEL__MAX_STEPS];
        const int axis = pel__ndsafir_axis(a);
        (void)pel__value_steps(v, lists[a], radii);
        for (int32_t i = 0; i < s->steps; i++)
            s->radius[i][a] = (axes & 1U << axis) && shape[axis] > 1 ? radii[i] : 0;
    }
}

/* All but steps, windows: of an image of this shape, strength times `factor`. */
static void fill_settings(pel__ndsafir *out, const pel__values *v, const int64_t shape[PEL_AXES], double factor)
{
    int64_t patch[PEL_AXES], samples = 1;
    pel__value_axes(v, "patch", patch);
    for (int a = 0; a < PEL__ND; a++) {
        const int axis = pel__ndsafir_axis(a);
        out->patch[a] = shape[axis] > 1 ? patch[axis] : 0;
        samples *= 2 * out->patch[a] + 1;
    }
    out->aggregate = strcmp(pel__value_text(v, "aggregate"), "last") == 0;
    const bool joint = strcmp(pel__value_text(v, "channels"), "joint") == 0;
    out->channels = joint ? shape[PEL_C] : 1;
    const double lambda = pel__chi_square_limit(samples * out->channels, pel__value_number(v, "p-value"));
    for (int32_t i = 0; i < out->steps; i++) {
        const double strength = factor * pel__value_number(v, "strength") * (i == 0 ? pel__value_number(v, "first") : 1.0);
        out->exponent[i] = (float)(strength * 1.4426950408889634 / (4 * lambda));
    }
    out->isa = isa_of(pel__value_text(v, "isa"));
}

void pel__ndsafir_settings(pel__ndsafir *out, const pel__values *v, const pel_image *image)
{
    *out = (pel__ndsafir){.steps = (int32_t)pel__value_integer(v, "iterations")};
    fill_radii(out, v, image->shape, fine_lists);
    fill_settings(out, v, image->shape, 1.0);
    out->spots = (float)pel__value_number(v, "spots");
}

bool pel__ndsafir_coarse(pel__ndsafir *out, const pel__values *v, const pel_image *image)
{
    int64_t radii[PEL__MAX_STEPS];
    const pel_region fine = pel__region(PEL_AXES, NULL, image->shape), cells = pel__scales_image(&fine);
    if (strcmp(pel__value_text(v, "scales"), "2") != 0 || pel__region_equal(&fine, &cells))
        return false;
    *out = (pel__ndsafir){.steps = pel__value_steps(v, "coarse-xy", radii)};
    fill_radii(out, v, cells.shape, cell_lists);
    fill_settings(out, v, cells.shape, pel__value_number(v, "coarse-strength"));
    return true;
}

int64_t pel__ndsafir_reach(const pel__ndsafir *s, int32_t step, int axis)
{
    const bool twice = s->aggregate && step == s->steps - 1;
    return s->radius[step][axis] + s->patch[axis] * (twice ? 2 : 1);
}
