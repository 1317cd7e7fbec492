/* SPDX-License-Identifier: MIT
 * Which chunks of an array were rewritten since they were read (stamps.h). Shards count as the one file that they are. */
#include "zarr/array.h"

#include "core/bytes.h"

#include <string.h>

int64_t pel__zarr_array_cells(const pel__zarr_array *array)
{
    int64_t n = 1;
    for (int32_t i = 0; i < array->ndim; i++)
        if (!pel__mul(n, pel__ceil_div(array->shape[i], array->chunk[i]), &n))
            return INT64_MAX;
    return n;
}

bool pel__zarr_array_watch(pel__zarr_array *array, int64_t most, pel_error *err)
{
    const int64_t cells = pel__zarr_array_cells(array);
    if (array->stamps || pel__store_errands(array->store) || cells == INT64_MAX)
        return true;
    return pel__stamps_create(&array->stamps, cells, most, err);
}

/* Where a chunk comes in C order of the grid. */
int64_t pel__zarr_array_cell(const pel__zarr_array *array, const int64_t *grid)
{
    int64_t cell = 0;
    for (int32_t i = 0; i < array->ndim; i++)
        cell = cell * pel__ceil_div(array->shape[i], array->chunk[i]) + grid[i];
    return cell;
}

static void grid_of(const pel__zarr_array *array, int64_t cell, int64_t *grid)
{
    for (int32_t i = array->ndim - 1; i >= 0; i--) {
        const int64_t n = pel__ceil_div(array->shape[i], array->chunk[i]);
        grid[i] = cell % n;
        cell /= n;
    }
}

bool pel__zarr_array_changes(const pel__zarr_array *array, pel__zarr_on_chunk *each, void *arg, pel_error *err)
{
    const pel__want all = {PEL__WANT_ALL, INT64_MAX};
    for (int64_t c = array->stamps ? pel__stamps_next(array->stamps, 0) : -1; c >= 0; c = pel__stamps_next(array->stamps, c + 1)) {
        int64_t grid[PEL_MAX_NDIM];
        char key[PEL__PATH_MAX];
        pel__object *now = NULL;
        grid_of(array, c, grid);
        if (!pel__zarr_chunk_key(array, grid, key, sizeof key))
            return pel__fail(err, PEL_ARGUMENT, "the key of a chunk is too long");
        if (!pel__store_object(array->store, key, &all, &now, err))
            return false;
        pel__stamps_note(array->stamps, c, now != NULL, now ? pel__object_size(now) : 0, now ? pel__object_mtime_ns(now) : 0);
        pel__object_close(now);
        if (pel__stamps_differ(array->stamps, c) && !each(arg, grid, key))
            return false;
    }
    return true;
}
