/* SPDX-License-Identifier: MIT
 * See tune_split.h. n = (Y + offset / gain) / gain has a variance equal to its mean, as counts have, whatever the read-out
 * noise; for counts of light alone, let each of n photons go with probability e into image 2 and else into image 1
 * (thinning): then both are Poisson and independent. For Gaussian noise of variance m, image 2 = e n + sqrt(e (1 - e) m) z.
 * The first leaves a third joint cumulant of -(1 - e)^2 e r where r of the variance is read-out noise, the second one of
 * (1 - e)^2 e (m - r) where the rest is light: so each voxel draws lots, light with probability (m - r) / m, and the
 * two cancel. m is the mean of 5 x 5 pixels; r is told by the darkest parts of the image (tune.c). Where counts are many
 * neither matters, where they are few it decides (docs/denoising.md has figures).
 *
 * With f the filter's result on image 1 over 1 - e, all = image 1 + image 2, w = image 2 - e all, and any c that knows only
 * `all`, the mean of (f - all)^2 - variance - 2 (f - c) w / e is the mean squared error of f. */
#include "run/tune_split.h"

#include "core/block.h"
#include "core/bytes.h"

#include <math.h>

#define SHARE PEL__SPLIT_SHARE
#define TABLE ((int64_t)(sizeof((pel__split *)0)->none / sizeof(double)))

pel__split pel__split_make(double gain, double offset, double saturation)
{
    pel__split s = {.counts = gain > 0 && !(offset > 0 && gain < 1e-5 * sqrt(offset)), .saturation = saturation};
    s.scale = s.counts ? gain : sqrt(offset);
    s.shift = s.counts ? offset / gain : 0;
    s.none[0] = 1;
    for (int64_t n = 1; n < TABLE; n++)
        s.none[n] = (1 - SHARE) * s.none[n - 1];
    return s;
}

pel_noise pel__split_noise(const pel__split *s)
{
    return s->counts ? (pel_noise){.gain = 1} : (pel_noise){.offset = 1 - SHARE};
}

/* ---- random numbers: a hash of where and of the pass, so that the draw is the same for every order ------------------- */

static uint64_t seed_of(const int64_t at[PEL_AXES], int64_t pass)
{
    uint64_t v = ((uint64_t)pass + 1) * 0x9E3779B97F4A7C15U;
    for (int a = 0; a < PEL_AXES; a++) {
        v = (v ^ (uint64_t)at[a]) * 0xBF58476D1CE4E5B9U;
        v ^= v >> 29;
    }
    return v;
}

static double uniform(uint64_t *state)
{
    uint64_t v = *state += 0x9E3779B97F4A7C15U;
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9U;
    v = (v ^ v >> 27) * 0x94D049BB133111EBU;
    v ^= v >> 31;
    return ((double)(v >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t *state)
{
    const double r = sqrt(-2 * log(uniform(state)));
    return r * cos(6.283185307179586 * uniform(state));
}

/* How many of n, a whole number, are taken. */
static double binomial(const pel__split *s, double n, uint64_t *state)
{
    if (n >= (double)TABLE)
        return fmin(n, fmax(0, nearbyint(SHARE * n + sqrt(SHARE * (1 - SHARE) * n) * normal(state))));
    double p = s->none[(int)n], sum = p, k = 0;
    for (const double u = uniform(state); u > sum && k < n; sum += p) {
        p *= (n - k) / (k + 1) * (SHARE / (1 - SHARE));
        k++;
    }
    return k;
}

/* ---- voxels --------------------------------------------------------------------------------------------------------------- */

/* Mean of the 5 x 5 pixels around, of those that are numbers and in the block. */
static double local_mean(const pel__split *s, const pel_block *raw, const int64_t at[PEL_AXES])
{
    const int64_t *origin = raw->region.origin, *shape = raw->region.shape;
    const int64_t y0 = pel__max(at[PEL_Y] - 2, origin[PEL_Y]), y1 = pel__min(at[PEL_Y] + 3, origin[PEL_Y] + shape[PEL_Y]);
    const int64_t x0 = pel__max(at[PEL_X] - 2, origin[PEL_X]), x1 = pel__min(at[PEL_X] + 3, origin[PEL_X] + shape[PEL_X]);
    double sum = 0, count = 0;
    const int64_t first[PEL_AXES] = {at[PEL_T], at[PEL_C], at[PEL_Z], y0, x0};
    const float *row = pel__block_at(raw, first);
    for (int64_t y = y0; y < y1; y++, row += raw->stride[PEL_Y]) {
        for (int64_t x = 0; x < x1 - x0; x++) {
            const bool number = fabsf(row[x]) < INFINITY;
            sum += number ? (double)row[x] : 0;
            count += number;
        }
    }
    return (sum / pel__max(1, count) + s->shift) / s->scale;
}

pel__split_voxel pel__split_at(const pel__split *s, const pel_block *raw, const int64_t at[PEL_AXES], int64_t pass)
{
    const float y = *(const float *)pel__block_at(raw, at);
    if (!(fabsf(y) < INFINITY))
        return (pel__split_voxel){NAN, NAN, NAN};
    uint64_t state = seed_of(at, pass);
    const double n = ((double)y + s->shift) / s->scale, mean = local_mean(s, raw, at), lot = uniform(&state);
    const double variance = s->counts ? fmax(mean, fmax(s->dark, 1e-3)) : 1;
    double taken;
    if (s->counts && lot * variance < variance - s->dark) {
        const double whole = fmax(0, floor(n + uniform(&state))); /* n on average; the rest is shared without chance */
        taken = binomial(s, whole, &state) + SHARE * (n - whole);
    } else {
        taken = SHARE * n + sqrt(SHARE * (1 - SHARE) * variance) * normal(&state);
    }
    return (pel__split_voxel){(float)n, (float)taken, (float)mean};
}

typedef struct {
    const pel__split *split;
    const pel_block *raw, *kept;
    int64_t pass;
} keep_arg;

static bool keep_row(void *arg, const int64_t *at, int64_t n)
{
    const keep_arg *k = arg;
    float *out = pel__block_at(k->kept, at);
    int64_t here[PEL_AXES] = {at[PEL_T], at[PEL_C], at[PEL_Z], at[PEL_Y], 0};
    for (int64_t i = 0; i < n; i++) {
        here[PEL_X] = at[PEL_X] + i;
        const pel__split_voxel v = pel__split_at(k->split, k->raw, here, k->pass);
        out[i] = v.all - v.taken;
    }
    return true;
}

void pel__split_keep(const pel__split *s, const pel_block *raw, const pel_block *kept, const pel_region *part, int64_t pass)
{
    keep_arg k = {s, raw, kept, pass};
    (void)pel__region_rows(part, keep_row, &k);
}

double pel__split_error(const pel__split *s, const pel__split_voxel *v, double found)
{
    const double f = found / (1 - SHARE), miss = f - v->all, w = v->taken - SHARE * v->all;
    const double e = miss * miss - (s->counts ? (double)v->all : 1) - 2 * (f - v->mean) * w / SHARE;
    return e * s->scale * s->scale;
}
