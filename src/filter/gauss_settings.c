/* SPDX-License-Identifier: MIT
 * Parameters of the Gaussian filters: the tables, what cannot be meant, and the numbers that the filter runs with. The
 * words mean what they mean in scipy.ndimage.gaussian_filter. */
#include "filter/gauss.h"

#include "core/bytes.h"

#include <math.h>
#include <string.h>

#if defined(__aarch64__)
#define ISA_CHOICES "auto|scalar"
#else
#define ISA_CHOICES "auto|scalar|avx2|avx512"
#endif

#define MOST_SIGMA 1000
#define TRUNCATE                                                                                                  \
    {.name = "truncate", .unit = "", .fallback = "4", .min = 0.5, .max = 16, .kind = PEL__NUMBER, .exact = true,  \
     .help = "standard deviations after which the kernel ends"}
#define MODE                                                                                                      \
    {.name = "mode", .unit = "", .fallback = "reflect", .choices = PEL__BORDER_CHOICES, .kind = PEL__CHOICE, .exact = true, \
     .help = "what lies beyond the image: abcd goes on as dcba, cba, dddd or 0000"}
#define ISA                                                                                                       \
    {.name = "isa", .unit = "", .fallback = "auto", .choices = ISA_CHOICES, .kind = PEL__CHOICE, .exact = false,  \
     .help = "instruction set; all give the same bits"}

const pel__param pel__gaussian_params[PEL__GAUSSIAN_PARAMS] = {
    {.name = "sigma", .unit = "voxels", .fallback = "none", .min = 0, .max = MOST_SIGMA, .kind = PEL__LENGTHS, .exact = true,
     .help = "standard deviation, one for z, y and x or by axis; 0 leaves an axis alone. Give this, fwhm or sigma-um"},
    {.name = "fwhm", .unit = "voxels", .fallback = "none", .min = 0, .max = 2.5 * MOST_SIGMA, .kind = PEL__LENGTHS, .exact = true,
     .help = "instead of sigma: full width at half maximum, 2.355 standard deviations"},
    {.name = "sigma-um", .unit = "um", .fallback = "none", .min = 0, .max = 1e9, .kind = PEL__LENGTHS, .exact = true,
     .help = "instead of sigma: standard deviation in micrometres, by the image's voxel size"},
    TRUNCATE, MODE, ISA,
};

const pel__param pel__dog_params[PEL__DOG_PARAMS] = {
    {.name = "sigma", .unit = "voxels", .fallback = "none", .min = 0, .max = MOST_SIGMA, .kind = PEL__TWO_LENGTHS, .exact = true,
     .help = "standard deviations of the narrow and the wide Gaussian: narrow minus wide. Give this, fwhm or sigma-um"},
    {.name = "fwhm", .unit = "voxels", .fallback = "none", .min = 0, .max = 2.5 * MOST_SIGMA, .kind = PEL__TWO_LENGTHS, .exact = true,
     .help = "instead of sigma: full widths at half maximum, 2.355 standard deviations"},
    {.name = "sigma-um", .unit = "um", .fallback = "none", .min = 0, .max = 1e9, .kind = PEL__TWO_LENGTHS, .exact = true,
     .help = "instead of sigma: standard deviations in micrometres, by the image's voxel size"},
    TRUNCATE, MODE,
    {.name = "scale", .unit = "", .fallback = "1", .min = -1e9, .max = 1e9, .kind = PEL__NUMBER, .exact = true,
     .help = "the difference is multiplied by it …"},
    {.name = "offset", .unit = "", .fallback = "0", .min = -1e9, .max = 1e9, .kind = PEL__NUMBER, .exact = true,
     .help = "… and this is added: room for negative values in an integer dtype"},
    ISA,
};

/* ---- instruction sets -------------------------------------------------------------------------------------- */

/* NULL: not on this machine, or not in this build. */
static pel__gauss_kernel *kernel_of(const char *isa)
{
    const bool any = strcmp(isa, "auto") == 0;
#ifdef __x86_64__
    if ((any || strcmp(isa, "avx512") == 0) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        return pel__gauss_avx512;
    if ((any || strcmp(isa, "avx2") == 0) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return pel__gauss_avx2;
#endif
    return any || strcmp(isa, "scalar") == 0 ? pel__gauss_scalar : NULL;
}

/* ---- widths ------------------------------------------------------------------------------------------------ */

static const char *const widths[] = {"sigma", "fwhm", "sigma-um"};
enum { SIGMA, FWHM, SIGMA_UM, WIDTHS };

/* Which of the three ways to say it was taken; WIDTHS: none, or more than one. */
static int way_of(const pel__values *v)
{
    int found = WIDTHS, count = 0;
    for (int i = 0; i < WIDTHS; i++) {
        if (strcmp(pel__value_text(v, widths[i]), "none") != 0) {
            found = i;
            count++;
        }
    }
    return count == 1 ? found : WIDTHS;
}

static const char *width_name(int way) { return way < WIDTHS ? widths[way] : "width"; }

static int32_t kernels_of(const pel__values *v) { return v->params == pel__dog_params ? 2 : 1; }

/* Standard deviations in voxels, as asked for; axes of length 1 are not filtered. */
static void sigmas(double out[2][PEL_AXES], const pel__values *v, const pel_image *image)
{
    const int way = way_of(v);
    memset(out, 0, 2 * sizeof *out);
    pel__value_lengths(v, width_name(way), out);
    for (int32_t k = 0; k < kernels_of(v); k++) {
        for (int a = 0; a < PEL_AXES; a++) {
            if (image->shape[a] == 1)
                out[k][a] = 0;
            else if (way == FWHM)
                out[k][a] /= 2.3548200450309493; /* 2 sqrt(2 ln 2) */
            else if (way == SIGMA_UM && out[k][a] > 0)
                out[k][a] /= image->pixel_size[a];
        }
    }
}

static int64_t radius_of(double sigma, double truncate)
{
    return sigma > 0 ? (int64_t)(truncate * sigma + 0.5) : 0;
}

static bool check_way(const pel__values *v, pel_error *err)
{
    return way_of(v) != WIDTHS || pel__fail(err, PEL_ARGUMENT, "width of the Gaussian: expected one of sigma (such as %s), fwhm and sigma-um",
                                            kernels_of(v) == 2 ? "2,8" : "2");
}

/* Nothing depends on the image: settings stay as they were typed. */
bool pel__gauss_resolve(pel__values *v, const pel_image *image, pel_error *err)
{
    return check_way(v, err);
}

static bool check_um(const pel__values *v, const pel_image *image, pel_error *err)
{
    static const char letters[] = "tczyx";
    double um[2][PEL_AXES] = {{0}};
    pel__value_lengths(v, widths[SIGMA_UM], um);
    for (int a = 0; a < PEL_AXES; a++) {
        const bool wanted = um[0][a] > 0 || um[1][a] > 0;
        if (wanted && a == PEL_T)
            return pel__fail(err, PEL_ARGUMENT, "sigma-um: t is not measured in micrometres; use sigma, in frames");
        if (wanted && image->shape[a] > 1 && !(image->pixel_size[a] > 0))
            return pel__fail(err, PEL_ARGUMENT, "sigma-um: the voxel size along %c is not known; use sigma, in voxels", letters[a]);
    }
    return true;
}

bool pel__gauss_check(const pel__values *v, const pel_image *image, pel_error *err)
{
    static const char letters[] = "tczyx";
    double sigma[2][PEL_AXES];
    if (!check_way(v, err) || (way_of(v) == SIGMA_UM && !check_um(v, image, err)))
        return false;
    sigmas(sigma, v, image);
    for (int a = 0; a < PEL_AXES; a++) {
        for (int32_t k = 0; k < kernels_of(v); k++) {
            if (a == PEL_C && sigma[k][a] > 0)
                return pel__fail(err, PEL_ARGUMENT, "%s: c: channels are not filtered into each other", width_name(way_of(v)));
            if (!(sigma[k][a] * pel__value_number(v, "truncate") < PEL__GAUSS_MOST_RADIUS))
                return pel__fail(err, PEL_ARGUMENT, "%s: the kernel along %c reaches %.0f voxels, expected at most %d",
                                 width_name(way_of(v)), letters[a], sigma[k][a] * pel__value_number(v, "truncate"), PEL__GAUSS_MOST_RADIUS);
        }
        if (kernels_of(v) == 2 && sigma[0][a] > sigma[1][a])
            return pel__fail(err, PEL_ARGUMENT, "%s: along %c found %g and then %g, expected the narrow Gaussian first",
                             width_name(way_of(v)), letters[a], sigma[0][a], sigma[1][a]);
    }
    if (!kernel_of(pel__value_text(v, "isa")))
        return pel__fail(err, PEL_UNSUPPORTED, "isa: this machine cannot run %s; auto takes the best that it can", pel__value_text(v, "isa"));
    return true;
}

void pel__gauss_settings(pel__gauss *out, const pel__values *v, const pel_image *image)
{
    *out = (pel__gauss){.kernels = kernels_of(v), .scale = 1, .border = pel__border_named(pel__value_text(v, "mode")),
                        .kernel = kernel_of(pel__value_text(v, "isa"))};
    sigmas(out->sigma, v, image);
    for (int a = 0; a < PEL_AXES; a++) {
        for (int32_t k = 0; k < out->kernels; k++)
            out->radius[k][a] = radius_of(out->sigma[k][a], pel__value_number(v, "truncate"));
        if (out->radius[0][a] > 0 || out->radius[1][a] > 0)
            out->axis[out->axis_count++] = a;
    }
    if (out->axis_count == 0) /* a kernel of one voxel: still goes through the same work */
        out->axis[out->axis_count++] = PEL_X;
    if (out->kernels == 2) {
        out->scale = (float)pel__value_number(v, "scale");
        out->offset = (float)pel__value_number(v, "offset");
    }
}

/* ---- weights ----------------------------------------------------------------------------------------------- */

/* e^x for x <= 0 from plain arithmetic: libraries differ in the last bit from machine to machine. */
static double exponential(double x)
{
    if (x < -700)
        return 0;
    const double n = nearbyint(x * 1.4426950408889634), r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double sum = 1;
    for (int k = 18; k >= 1; k--)
        sum = 1 + sum * r / k;
    return ldexp(sum, (int)n);
}

void pel__gauss_weights(double *weight, int64_t radius, double sigma)
{
    double sum = 1;
    weight[0] = 1;
    for (int64_t k = 1; k <= radius; k++) {
        weight[k] = exponential(-0.5 * ((double)k * (double)k) / (sigma * sigma));
        sum += 2 * weight[k];
    }
    for (int64_t k = 0; k <= radius; k++)
        weight[k] /= sum;
}
