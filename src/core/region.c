/* SPDX-License-Identifier: MIT
 * See region.h. Everything here is pure and works axis by axis. */
#include "core/region.h"

#include "core/bytes.h"

#include <inttypes.h>
#include <stdio.h>

pel_region pel__region(int32_t ndim, const int64_t *origin, const int64_t *shape)
{
    pel_region r = {.ndim = ndim};
    for (int32_t a = 0; a < ndim; a++) {
        r.origin[a] = origin ? origin[a] : 0;
        r.shape[a] = shape[a];
    }
    return r;
}

bool pel__region_empty(const pel_region *r)
{
    for (int32_t a = 0; a < r->ndim; a++) {
        if (r->shape[a] == 0)
            return true;
    }
    return false;
}

bool pel__region_equal(const pel_region *a, const pel_region *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int32_t i = 0; i < a->ndim; i++) {
        if (a->origin[i] != b->origin[i] || a->shape[i] != b->shape[i])
            return false;
    }
    return true;
}

bool pel__region_inside(const pel_region *a, const pel_region *b)
{
    if (pel__region_empty(a))
        return true;
    for (int32_t i = 0; i < a->ndim; i++) {
        if (a->origin[i] < b->origin[i] || a->origin[i] - b->origin[i] > b->shape[i] - a->shape[i])
            return false;
    }
    return true;
}

int64_t pel__region_voxels(const pel_region *r)
{
    int64_t n = 1;
    for (int32_t a = 0; a < r->ndim; a++)
        n *= r->shape[a];
    return n;
}

pel_region pel__region_intersect(const pel_region *a, const pel_region *b)
{
    pel_region r = {.ndim = a->ndim};
    for (int32_t i = 0; i < a->ndim; i++) {
        const int64_t lo = pel__max(a->origin[i], b->origin[i]);
        const int64_t hi = pel__min(a->origin[i] + a->shape[i], b->origin[i] + b->shape[i]);
        r.origin[i] = lo;
        r.shape[i] = pel__max(0, hi - lo);
    }
    return r;
}

pel_region pel__region_union(const pel_region *a, const pel_region *b)
{
    if (pel__region_empty(a))
        return *b;
    if (pel__region_empty(b))
        return *a;
    pel_region r = {.ndim = a->ndim};
    for (int32_t i = 0; i < a->ndim; i++) {
        const int64_t lo = pel__min(a->origin[i], b->origin[i]);
        const int64_t hi = pel__max(a->origin[i] + a->shape[i], b->origin[i] + b->shape[i]);
        r.origin[i] = lo;
        r.shape[i] = hi - lo;
    }
    return r;
}

pel_region pel__region_grow(const pel_region *r, const int64_t *before, const int64_t *after, const pel_region *bounds)
{
    pel_region g = *r;
    for (int32_t a = 0; a < r->ndim; a++) {
        g.origin[a] -= before[a];
        g.shape[a] += before[a] + after[a];
    }
    return pel__region_intersect(&g, bounds);
}

void pel__grid_shape(const pel_region *bounds, const int64_t *cell, int64_t *count)
{
    for (int32_t a = 0; a < bounds->ndim; a++)
        count[a] = pel__ceil_div(bounds->shape[a], cell[a]);
}

int64_t pel__grid_cells(const pel_region *bounds, const int64_t *cell)
{
    int64_t n = 1;
    for (int32_t a = 0; a < bounds->ndim; a++)
        n *= pel__ceil_div(bounds->shape[a], cell[a]);
    return n;
}

pel_region pel__grid_cell(const pel_region *bounds, const int64_t *cell, int64_t index)
{
    pel_region r = {.ndim = bounds->ndim};
    for (int32_t a = bounds->ndim - 1; a >= 0; a--) {
        const int64_t count = pel__ceil_div(bounds->shape[a], cell[a]);
        const int64_t start = index % count * cell[a];
        index /= count;
        r.origin[a] = bounds->origin[a] + start;
        r.shape[a] = pel__min(cell[a], bounds->shape[a] - start);
    }
    return r;
}

const char *pel__region_text(const pel_region *r, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (int32_t a = 0; a < r->ndim && used < size; a++) {
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64 ":%" PRId64, a ? ", " : "", r->origin[a],
                                 r->origin[a] + r->shape[a]);
    }
    if (used < size)
        (void)snprintf(text + used, size - used, "]");
    return text;
}
