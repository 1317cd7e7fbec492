/* SPDX-License-Identifier: MIT
 * See downsample.h. Worked row by row: the 1 to 16 source rows under a destination row are added into a row of sums,
 * then halved along x. Edges with an odd size average what exists, so nothing darkens (zarr.md section 8). */
#include "filter/downsample.h"

#include "core/block.h"
#include "core/bytes.h"
#include "core/region.h"

#include <math.h>

typedef struct {
    const pel_block *dst, *src;
    const int64_t *factor;
} job;

#define MAX_ROWS 16 /* two an axis over t c z y */

typedef struct {
    const char *row[MAX_ROWS];
    int32_t count;
} row_set;

/* The source rows that lie under the destination row at `at`; their x begins at factor * at[x]. */
static row_set rows_under(const job *j, const int64_t at[PEL_AXES])
{
    row_set set = {.count = 0};
    pel_region under = {.ndim = PEL_AXES};
    for (int a = 0; a < PEL_AXES; a++) {
        under.origin[a] = at[a] * j->factor[a];
        under.shape[a] = a == PEL_X ? 1 : j->factor[a];
    }
    under = pel__region_intersect(&under, &j->src->region);
    const int64_t rows = pel__region_voxels(&under), size = (int64_t)pel_dtype_size(j->src->dtype);
    const char *const first = rows > 0 ? pel__block_at(j->src, under.origin) : NULL;
    for (int64_t i = 0; i < rows && set.count < MAX_ROWS; i++) {
        int64_t left = i, voxels = 0;
        for (int a = PEL_Y; left > 0 && a >= 0; a--) {
            voxels += left % under.shape[a] * j->src->stride[a];
            left /= under.shape[a];
        }
        set.row[set.count++] = first + voxels * size;
    }
    return set;
}

/* floor(sum / k + 1/2) for any sign, k > 0. */
#define HALF_UP(wide, sum, k)                                                                                     \
    ((2 * (sum) + (k)) >= 0 ? (2 * (sum) + (k)) / (2 * (k)) : -((-(2 * (sum) + (k)) + 2 * (k) - 1) / (2 * (k))))

#define AT_ONCE 256

/* Pairs along x, the number of rows 1 << log: what pyramids are made of, in loops that become vectors. */
#define PAIRS(name, type, wide)                                                                                   \
    static void name(type *dst, const row_set *set, int64_t n, int log) /* NOLINT(bugprone-macro-parentheses) */  \
    {                                                                                                             \
        for (int64_t first = 0; first < n; first += AT_ONCE) {                                                    \
            const int m = n - first < AT_ONCE ? (int)(n - first) : AT_ONCE;                                       \
            wide sum[AT_ONCE];                                                                                    \
            for (int i = 0; i < m; i++)                                                                           \
                sum[i] = (wide)1 << log; /* half of what is divided by */                                         \
            for (int32_t r = 0; r < set->count; r++) {                                                            \
                const type *const from = (const type *)(const void *)set->row[r] + 2 * first;                     \
                for (int i = 0; i < m; i++)                                                                       \
                    sum[i] += (wide)from[2L * i] + (wide)from[2L * i + 1];                                         \
            }                                                                                                     \
            for (int i = 0; i < m; i++)                                                                           \
                dst[first + i] = (type)(sum[i] >> (log + 1)); /* the floor for any sign */                        \
        }                                                                                                         \
    }

#define INTEGER_ROW(name, type, wide)                                                                             \
    PAIRS(name##_pairs, type, wide)                                                                               \
    static void name(void *dst, const row_set *set, int64_t n, int64_t have, int64_t fx)                          \
    {                                                                                                             \
        const bool pairs = fx == 2 && (set->count & (set->count - 1)) == 0;                                       \
        const int64_t whole = pairs ? (have / 2 < n ? have / 2 : n) : 0;                                          \
        if (pairs)                                                                                                \
            name##_pairs(dst, set, whole, __builtin_ctz((unsigned)set->count));                                   \
        for (int64_t i = whole; i < n; i++) {                                                                     \
            const int64_t first = i * fx, last = first + fx <= have ? first + fx : have;                          \
            const wide k = (wide)((last - first) * set->count);                                                   \
            wide sum = 0;                                                                                         \
            for (int32_t r = 0; r < set->count; r++) {                                                            \
                for (int64_t x = first; x < last; x++)                                                            \
                    sum += ((const type *)(const void *)set->row[r])[x];                                          \
            }                                                                                                     \
            ((type *)dst)[i] = (type)HALF_UP(wide, sum, k);                                                       \
        }                                                                                                         \
    }

#define FLOAT_ROW(name, type)                                                                                     \
    static void name(void *dst, const row_set *set, int64_t n, int64_t have, int64_t fx)                          \
    {                                                                                                             \
        for (int64_t i = 0; i < n; i++) {                                                                         \
            const int64_t first = i * fx, last = first + fx <= have ? first + fx : have;                          \
            double sum = 0;                                                                                       \
            for (int32_t r = 0; r < set->count; r++) {                                                            \
                for (int64_t x = first; x < last; x++)                                                            \
                    sum += (double)((const type *)(const void *)set->row[r])[x];                                  \
            }                                                                                                     \
            ((type *)dst)[i] = (type)(sum / (double)((last - first) * set->count));                               \
        }                                                                                                         \
    }

__extension__ typedef __int128 int128;

/* No division by zero: i < n means that i * fx < have, so last > first; and a set has at least one row. */
/* NOLINTBEGIN(clang-analyzer-core.DivideZero) */
INTEGER_ROW(row_u8, uint8_t, int32_t)
INTEGER_ROW(row_i8, int8_t, int32_t)
INTEGER_ROW(row_u16, uint16_t, int32_t)
INTEGER_ROW(row_i16, int16_t, int32_t)
INTEGER_ROW(row_u32, uint32_t, int64_t)
INTEGER_ROW(row_i32, int32_t, int64_t)
INTEGER_ROW(row_u64, uint64_t, int128)
INTEGER_ROW(row_i64, int64_t, int128)
FLOAT_ROW(row_f32, float)
FLOAT_ROW(row_f64, double)
/* NOLINTEND(clang-analyzer-core.DivideZero) */

typedef void row_function(void *dst, const row_set *set, int64_t n, int64_t have, int64_t fx);

static row_function *const row_functions[] = {
    [PEL_U8] = row_u8,   [PEL_I8] = row_i8,   [PEL_U16] = row_u16, [PEL_I16] = row_i16, [PEL_U32] = row_u32,
    [PEL_I32] = row_i32, [PEL_U64] = row_u64, [PEL_I64] = row_i64, [PEL_F32] = row_f32, [PEL_F64] = row_f64,
};

static bool one_row(void *arg, const int64_t *at, int64_t n)
{
    const job *j = arg;
    const row_set set = rows_under(j, at);
    const int64_t first = at[PEL_X] * j->factor[PEL_X];
    const int64_t have = j->src->region.origin[PEL_X] + j->src->region.shape[PEL_X] - first;
    row_functions[j->dst->dtype](pel__block_at(j->dst, at), &set, n, have, j->factor[PEL_X]);
    return true;
}

/* Task: one plane row band of the destination. */
static const int64_t band[PEL_AXES] = {1, 1, 1, 64, INT64_MAX / 4};

static bool one_band(void *arg, int64_t index, int32_t worker, pel_error *err)
{
    const job *j = arg;
    const pel_region cell = pel__grid_cell(&j->dst->region, band, index);
    return pel__region_rows(&cell, one_row, arg);
}

bool pel__downsample(const pel_block *dst, const pel_block *src, const int64_t factor[PEL_AXES], pel__pool *pool, pel_error *err)
{
    job j = {.dst = dst, .src = src, .factor = factor};
    const int64_t bands = pel__grid_cells(&dst->region, band);
    if (pool)
        return pel__pool_run(pool, PEL__WRITE_FIRST, bands, one_band, &j, err);
    for (int64_t i = 0; i < bands; i++)
        (void)one_band(&j, i, 0, err);
    return true;
}
