/* SPDX-License-Identifier: MIT
 * The noise room: the transform makes the noise's variance 1 and its inverse is unbiased; the estimator finds gain and
 * offset, and says so when it cannot. */
#include "check.h"
#include "noise/noise.h"
#include "noise/spectrum.h"

#include <math.h>
#include <stdlib.h>

static uint64_t state = 1;

static double uniform(void)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return ((double)(state >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static double poisson(double mean)
{
    double count = 0, left = mean;
    while (left > 30) { /* by parts, so that exp stays above zero */
        double p = 1;
        const double end = exp(-30.0);
        while ((p *= uniform()) > end)
            count++;
        left -= 30;
    }
    double p = 1;
    const double end = exp(-left);
    while ((p *= uniform()) > end)
        count++;
    return count;
}

static const double gain = 2, background = 100, readout = 5, offset = 5 * 5 - 2 * 100;

static float detected(double photons)
{
    return (float)(gain * poisson(photons) + background + readout * normal());
}

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

CASE(stabilised_noise_has_variance_one)
{
    enum { N = 20000 };
    static float y[N], t[N];
    static const double photons[] = {5, 20, 120, 1000};
    state = 3;
    for (int k = 0; k < 4; k++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < N; i++)
            y[i] = detected(photons[k]);
        pel__stabilise(t, y, N, gain, offset);
        for (int i = 0; i < N; i++)
            sum += t[i];
        for (int i = 0; i < N; i++)
            squares += (t[i] - sum / N) * (t[i] - sum / N);
        CHECK(fabs(squares / N - 1) < 0.05);
    }
}

CASE(inverse_of_the_mean_is_the_mean)
{
    enum { N = 200000 };
    static const double photons[] = {0.2, 0.5, 1, 2, 5, 20, 120};
    static float y[N], t[N];
    state = 5;
    for (int k = 0; k < 7; k++) { /* no read-out noise: the exact case */
        double sum = 0, raw = 0;
        float mean, back;
        for (int i = 0; i < N; i++)
            raw += y[i] = (float)(10 * poisson(photons[k]) + 50);
        pel__stabilise(t, y, N, 10, -500);
        for (int i = 0; i < N; i++)
            sum += t[i];
        mean = (float)(sum / N);
        pel__unstabilise(&back, &mean, 1, 10, -500);
        CHECK(fabs(back - raw / N) < 10 * 0.03);
    }
}

CASE(gaussian_noise_is_scaled)
{
    const float y[] = {-3, 0, 4.5f, 1000};
    float t[4], back[4];
    pel__stabilise(t, y, 4, 0, 9);
    CHECK(t[0] == -1 && t[1] == 0 && t[2] == 1.5f);
    pel__unstabilise(back, t, 4, 0, 9);
    for (int i = 0; i < 4; i++)
        CHECK(fabsf(back[i] - y[i]) <= 1e-6f * fabsf(y[i]));
}

CASE(tiny_gains_keep_their_precision)
{
    static const double gains[] = {1e-3, 1e-4, 1e-6, 1e-12, 1e-30};
    for (int k = 0; k < 5; k++) {
        const float y[] = {-20, 0, 3, 500, 60000};
        float t[5], back[5];
        pel__stabilise(t, y, 5, gains[k], 25);
        pel__unstabilise(back, t, 5, gains[k], 25);
        for (int i = 0; i < 5; i++)
            CHECK(fabsf(back[i] - y[i]) < 5 * 0.05f);
        CHECK(fabsf(t[2] - t[1] - 3.0f / 5.0f) < 0.05f);
    }
}

CASE(bits_do_not_depend_on_neighbours)
{
    enum { N = 37 };
    float y[N], whole[N], one;
    state = 11;
    for (int i = 0; i < N; i++)
        y[i] = detected(i);
    y[7] = NAN;
    pel__stabilise(whole, y, N, gain, offset);
    for (int i = 0; i < N; i++) {
        pel__stabilise(&one, y + i, 1, gain, offset);
        CHECK(bits(one) == bits(whole[i]));
    }
    CHECK(whole[7] != whole[7]);
    pel__unstabilise(y, whole, N, gain, offset);
    for (int i = 0; i < N; i++) {
        pel__unstabilise(&one, whole + i, 1, gain, offset);
        CHECK(bits(one) == bits(y[i]));
    }
}

/* ---- the estimator ----------------------------------------------------------------------------------------- */

enum { SIDE = 400 };
static float plane[SIDE * SIDE];

static bool fit_plane(pel__noise_fit *fit, double saturation, pel_error *err)
{
    pel__noise_estimator *e = NULL;
    const bool ok = pel__noise_estimator_create(&e, saturation, err) && pel__noise_estimator_add(e, plane, 1, SIDE, SIDE, err) &&
                    pel__noise_estimator_fit(e, fit, err);
    pel__noise_estimator_destroy(e);
    return ok;
}

CASE(ramps_give_gain_and_offset)
{
    static const double peak[] = {5, 20, 100};
    for (int k = 0; k < 3; k++) {
        pel__noise_estimator *e = NULL;
        pel__noise_fit fit;
        pel_error err = {0};
        state = (uint64_t)k + 20;
        CHECK_OK(pel__noise_estimator_create(&e, 0, &err), err);
        for (int copy = 0; copy < (k == 0 ? 12 : 4); copy++) {
            for (int i = 0; i < SIDE * SIDE; i++)
                plane[i] = detected(peak[k] * (i % SIDE) / SIDE);
            CHECK_OK(pel__noise_estimator_add(e, plane, 1, SIDE, SIDE, &err), err);
        }
        CHECK_OK(pel__noise_estimator_fit(e, &fit, &err), err);
        CHECK(fit.poisson);
        CHECK(fabs(fit.gain / gain - 1) < 0.03);
        CHECK(fabs(fit.offset / offset - 1) < 0.03);
        CHECK(fabs(fit.gain - gain) < 4 * fit.gain_error);
        CHECK(fit.remark[0] == '\0' && fit.r2 > 0.5);
        pel__noise_estimator_destroy(e);
    }
}

CASE(blobs_edges_and_hot_pixels_do_not_mislead)
{
    pel__noise_fit fit;
    pel_error err = {0};
    state = 31;
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int row = i / SIDE;
        const double x = i % SIDE, y = row, dx = fmod(x, 50) - 25, dy = fmod(y, 50) - 25;
        double photons = 2 + 40 * exp(-(dx * dx + dy * dy) / 60) + (x + 0.6 * y > 350 ? 25 : 0);
        plane[i] = detected(photons) + (uniform() < 1e-4 ? 4000.0f : 0.0f);
    }
    CHECK_OK(fit_plane(&fit, 0, &err), err);
    CHECK(fit.poisson && fabs(fit.gain / gain - 1) < 0.1 && fabs(fit.offset / offset - 1) < 0.1);
}

CASE(constant_variance_is_gaussian)
{
    pel__noise_fit fit;
    pel_error err = {0};
    state = 37;
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = (float)(100 + 0.5 * (i % SIDE) + 7 * normal());
    CHECK_OK(fit_plane(&fit, 0, &err), err);
    CHECK(!fit.poisson && fit.gain == 0 && fabs(sqrt(fit.offset) / 7 - 1) < 0.02);
    CHECK_TEXT(fit.remark, "does not grow");
}

CASE(one_level_tells_a_sigma_and_no_gain)
{
    pel__noise_fit fit;
    pel_error err = {0};
    state = 41;
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = (float)(1000 + 3 * normal());
    CHECK_OK(fit_plane(&fit, 0, &err), err);
    CHECK_TEXT(fit.remark, "one grey level");
    CHECK(!fit.poisson && fit.gain == 0 && fabs(sqrt(fit.offset) / 3 - 1) < 0.02);
    for (int i = 0; i < SIDE * SIDE; i++) /* two are enough */
        plane[i] = detected(i % SIDE < SIDE / 2 ? 5 : 50);
    CHECK_OK(fit_plane(&fit, 0, &err), err);
    CHECK(fit.poisson && fabs(fit.gain / gain - 1) < 0.03 && fabs(fit.offset / offset - 1) < 0.03);
}

/* A ramp seen by the detector, then smoothed with weights 1 `side` 1 along y, x or both. */
static void smoothed(bool along_y, bool along_x, float side)
{
    static float copy[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = detected(50.0 * (i % SIDE) / SIDE);
    for (int pass = 0; pass < 2; pass++) {
        const int step = pass ? 1 : SIDE;
        if (!(pass ? along_x : along_y))
            continue;
        memcpy(copy, plane, sizeof copy);
        for (int i = step; i < SIDE * SIDE - step; i++)
            plane[i] = (copy[i - step] + side * copy[i] + copy[i + step]) / (2 + side);
    }
}

CASE(shared_noise_is_noticed)
{
    pel__noise_fit fit = {0};
    pel_error err = {0};
    state = 47;
    for (int k = 0; k < 4; k++) {
        smoothed(k & 1, k & 2, 4);
        CHECK_OK(fit_plane(&fit, 0, &err), err);
        CHECK(fit.doubtful == (k > 0));
        CHECK((fit.skipped[0] > 1.25) == (k & 1) && (fit.skipped[1] > 1.25) == (k >> 1));
    }
}

static void show_twice(pel__spectrum_fit *out, double saturation)
{
    pel__noise_fit white;
    pel_error err = {0};
    pel__spectrum *s = NULL;
    CHECK_OK(fit_plane(&white, saturation, &err), err);
    CHECK_OK(pel__spectrum_create(&s, white.gain, white.offset, saturation, 0, &err), err);
    for (int pass = 0; pass < PEL__SPECTRUM_PASSES; pass++) {
        CHECK_OK(pel__spectrum_add(s, plane, SIDE, SIDE, &err), err);
        pel__spectrum_end_pass(s);
    }
    pel__spectrum_result(s, out);
    pel__spectrum_destroy(s);
    out->variance *= white.gain; /* what the tests below want: a pixel's gain */
}

/* Weights 1 `side` 1 leave (2 + side^2) / (2 + side)^2 of the variance and all power at frequency 0; neighbours then
 * have 2 side / (2 + side^2) in common. */
CASE(spectrum_of_shared_noise)
{
    pel__spectrum_fit fit;
    state = 59;
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 2; i++) {
            const double side = i ? 3 : 6, left = (2 + side * side) / ((2 + side) * (2 + side)), next = 2 * side / (2 + side * side);
            const double variance = (k & 1 ? left : 1) * (k & 2 ? left : 1);
            smoothed(k & 1, k & 2, (float)side);
            show_twice(&fit, 0);
            CHECK(fabs(fit.low_frequency * variance - 1) < 0.2);
            CHECK(fabs(fit.variance / (gain * variance) - 1) < 0.08);
            CHECK(fabs(fit.rho[0] - (k & 1 ? next : 0)) < 0.05 && fabs(fit.rho[1] - (k & 2 ? next : 0)) < 0.05);
        }
    }
}

CASE(spectrum_without_a_cell_is_that_of_white_noise)
{
    pel_error err = {0};
    pel__spectrum *s = NULL;
    pel__spectrum_fit fit;
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = i % 7 ? NAN : 3;
    CHECK_OK(pel__spectrum_create(&s, 1, 1, 0, 1, &err), err);
    for (int pass = 0; pass < PEL__SPECTRUM_PASSES; pass++) {
        CHECK_OK(pel__spectrum_add(s, plane, SIDE, SIDE, &err), err);
        CHECK_OK(pel__spectrum_add(s, plane, 15, 15, &err), err);
        CHECK_OK(pel__spectrum_add(s, plane, 0, 0, &err), err);
        pel__spectrum_end_pass(s);
    }
    pel__spectrum_result(s, &fit);
    pel__spectrum_destroy(s);
    CHECK(fit.cells == 0 && fit.low_frequency == 1 && fit.variance == 1);
}

CASE(a_detector_that_is_full_below_the_end_of_the_type)
{
    pel__noise_fit fit;
    pel_error err = {0};
    state = 53;
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = fminf(detected(100.0 * (i % SIDE) / SIDE), 230); /* what more than 65 photons give */
    CHECK_OK(fit_plane(&fit, 0, &err), err);
    CHECK(fit.saturated > 0.1);
    CHECK_TEXT(fit.remark, "saturated");
    CHECK(fit.poisson && fabs(fit.gain / gain - 1) < 0.1);
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = fminf(detected(500), 230 + (i == 5));
    CHECK_FAILS(fit_plane(&fit, 230, &err), err, PEL_REFUSED);
    CHECK_TEXT(err.text, "saturated");
}

CASE(says_when_it_cannot_tell)
{
    pel__noise_fit fit;
    pel__noise_estimator *e = NULL;
    pel_error err = {0};
    memset(plane, 0, sizeof plane); /* no noise: the rounding's */
    CHECK_OK(fit_plane(&fit, 0, &err), err);
    CHECK(fit.gain == 0 && fit.offset == 1.0 / 12);
    CHECK_TEXT(fit.remark, "constant");
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = 255;
    CHECK_FAILS(fit_plane(&fit, 255, &err), err, PEL_REFUSED);
    CHECK_TEXT(err.text, "saturated");
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = NAN;
    CHECK_FAILS(fit_plane(&fit, 0, &err), err, PEL_REFUSED);
    CHECK_TEXT(err.text, "non-finite");
    CHECK_OK(pel__noise_estimator_create(&e, 0, &err), err);
    CHECK_FAILS(pel__noise_estimator_fit(e, &fit, &err), err, PEL_REFUSED);
    CHECK_TEXT(err.text, "no samples");
    CHECK_OK(pel__noise_estimator_add(e, plane, 3, 10, 500, &err), err); /* too low for a block */
    CHECK_FAILS(pel__noise_estimator_fit(e, &fit, &err), err, PEL_REFUSED);
    pel__noise_estimator_destroy(e);
    pel__noise_estimator_destroy(NULL);
}

/* More pairs than are kept: memory stays, the answer too. */
CASE(any_number_of_samples)
{
    pel__noise_estimator *e = NULL;
    pel__noise_fit fit;
    pel_error err = {0};
    double mean, variance;
    state = 43;
    CHECK_OK(pel__noise_estimator_create(&e, 0, &err), err);
    for (int k = 0; k < 70; k++) {
        for (int i = 0; i < SIDE * SIDE; i++)
            plane[i] = (float)(sqrt(4.0 + (i % SIDE)) * normal() + (i % SIDE)); /* variance = mean + 4 */
        CHECK_OK(pel__noise_estimator_add(e, plane, 1, SIDE, SIDE, &err), err);
    }
    CHECK_OK(pel__noise_estimator_fit(e, &fit, &err), err);
    CHECK(fit.poisson && fabs(fit.gain - 1) < 0.01 && fabs(fit.offset - 4) < 0.3);
    CHECK(fit.blocks > 10000 && fit.blocks <= 32768);
    CHECK(pel__noise_estimator_pair(e, fit.blocks - 1, &mean, &variance));
    CHECK(!pel__noise_estimator_pair(e, fit.blocks, &mean, &variance));
    pel__noise_estimator_destroy(e);
}

int main(void)
{
    RUN(stabilised_noise_has_variance_one);
    RUN(inverse_of_the_mean_is_the_mean);
    RUN(gaussian_noise_is_scaled);
    RUN(tiny_gains_keep_their_precision);
    RUN(bits_do_not_depend_on_neighbours);
    RUN(ramps_give_gain_and_offset);
    RUN(blobs_edges_and_hot_pixels_do_not_mislead);
    RUN(constant_variance_is_gaussian);
    RUN(one_level_tells_a_sigma_and_no_gain);
    RUN(shared_noise_is_noticed);
    RUN(spectrum_of_shared_noise);
    RUN(spectrum_without_a_cell_is_that_of_white_noise);
    RUN(a_detector_that_is_full_below_the_end_of_the_type);
    RUN(says_when_it_cannot_tell);
    RUN(any_number_of_samples);
    return CHECK_DONE();
}
