/* SPDX-License-Identifier: MIT
 * See order.h. */
#include "engine/order.h"

#include "core/error.h"

#include <stdlib.h>

typedef struct {
    pel_run_block *blocks;
    int64_t count, size;
} block_list;

static void add_block(void *arg, const pel_run_block *b)
{
    block_list *l = arg;
    if (b->level == 0 && b->number < l->size && l->count < l->size)
        l->blocks[l->count++] = *b;
}

/* Along y within a column of blocks, column by column. */
static int by_turn(const void *pa, const void *pb)
{
    static const int axes[] = {PEL_T, PEL_C, PEL_Z, PEL_X, PEL_Y};
    const pel_run_block *a = pa, *b = pb;
    if (a->image != b->image)
        return a->image < b->image ? -1 : 1;
    for (size_t i = 0; i < sizeof axes / sizeof axes[0]; i++) {
        const int64_t x = a->region.origin[axes[i]], y = b->region.origin[axes[i]];
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

bool pel__order_read(int64_t **out, const char *output, int64_t blocks, pel_error *err)
{
    block_list l = {.blocks = calloc((size_t)blocks + 1, sizeof *l.blocks), .size = blocks};
    bool ok = l.blocks || pel__fail(err, PEL_NO_MEMORY, "no memory for %lld blocks", (long long)blocks);
    ok = ok && pel_run_each_block(output, add_block, &l, err);
    int64_t *order = ok && l.count == blocks ? calloc((size_t)blocks + 1, sizeof *order) : NULL;
    if (order) {
        qsort(l.blocks, (size_t)blocks, sizeof *l.blocks, by_turn);
        for (int64_t i = 0; i < blocks; i++)
            order[i] = l.blocks[i].number;
    }
    free(l.blocks);
    *out = order;
    return ok;
}
