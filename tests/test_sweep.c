/* SPDX-License-Identifier: MIT
 * Sweeps: blocks of one column, worked in the order of y with the memory that the block before left, give the same bits
 * as the whole image at once, take every voxel of the input once, and notice when what was left is of no use. */
#include "check.h"
#include "filter_run.h"

/* A run over blocks whose scratch outlives them. */
typedef struct sweep {
    filter_run run;
    pel__kept kept;
    pel__pool *pool;
    void *scratch, *thread_scratch;
    const float *src;
    float *dst;
    int64_t taken; /* voxels of the input */
} sweep;

static bool take(void *arg, const pel_block *part, pel_error *err)
{
    sweep *s = arg;
    const pel_region all = pel__region(PEL_AXES, NULL, s->run.image.shape);
    const pel_block in = pel__block_dense(&all, PEL_F32, (void *)(uintptr_t)s->src);
    if (!pel__region_inside(&part->region, &all))
        return pel__fail(err, PEL_ARGUMENT, "a part outside of the image");
    pel__block_copy(part, &in);
    s->taken += pel__region_voxels(&part->region);
    return true;
}

static int64_t most_scratch(const sweep *s, const int64_t block[PEL_AXES])
{
    const pel_region all = pel__region(PEL_AXES, NULL, s->run.image.shape);
    int64_t most = 0;
    for (int64_t i = 0; i < pel__grid_cells(&all, block); i++) {
        const pel_region cell = pel__grid_cell(&all, block, i);
        most = pel__max(most, s->run.type->sweep_bytes(&s->run.values, &s->run.image, &cell));
    }
    return most;
}

static void begin(sweep *s, const int64_t shape[PEL_AXES], const char *const *settings, const int64_t block[PEL_AXES])
{
    pel_error err = {0};
    *s = (sweep){.taken = 0};
    filter_begin(&s->run, &pel__filter_dog, shape, PEL_F32);
    s->run.threads = 2;
    s->run.image.tile[PEL_Z] = 4;
    s->run.image.tile[PEL_Y] = 16;
    s->run.image.tile[PEL_X] = 32;
    CHECK_OK(filter_set(&s->run, settings, &err) && pel__pool_create(&s->pool, 2, &err), err);
    const pel_region all = pel__region(PEL_AXES, NULL, shape);
    float *src = malloc((size_t)pel__region_voxels(&all) * sizeof *src);
    for (int64_t i = 0; src && i < pel__region_voxels(&all); i++)
        src[i] = (float)((i * 2654435761) % 4093);
    s->src = src;
    s->dst = calloc((size_t)pel__region_voxels(&all), sizeof *s->dst);
    s->scratch = filter_memory(most_scratch(s, block));
    s->thread_scratch = filter_memory(s->run.type->thread_bytes(&s->run.values, &s->run.image) * 2);
}

static void work(sweep *s, const pel_region *cell, pel__kept *kept)
{
    pel_error err = {0};
    int64_t before[PEL_AXES], after[PEL_AXES];
    const pel_region all = pel__region(PEL_AXES, NULL, s->run.image.shape);
    s->run.type->halo(&s->run.values, &s->run.image, before, after);
    const pel_region from = pel__region_grow(cell, before, after, &all);
    const pel_block in = pel__block_dense(&from, PEL_F32, NULL), whole = pel__block_dense(&all, PEL_F32, s->dst);
    const pel_block out = pel__block_view(&whole, cell);
    const pel__filter_call call = {.fetch = take, .fetch_arg = s, .values = &s->run.values, .image = &s->run.image, .in = &in, .out = &out,
                                   .pool = s->pool, .scratch = s->scratch, .thread_scratch = s->thread_scratch, .kept = kept};
    CHECK_OK(s->run.type->apply(&call, &err), err);
}

/* Every voxel against the whole image in one go; then all is given back. */
static void end(sweep *s)
{
    pel_error err = {0};
    const pel_region all = pel__region(PEL_AXES, NULL, s->run.image.shape);
    const size_t bytes = (size_t)pel__region_voxels(&all) * sizeof(float);
    float *whole = malloc(bytes);
    CHECK_OK(filter_all(&s->run, whole, s->src, &err), err);
    CHECK(whole && memcmp(whole, s->dst, bytes) == 0);
    free(whole);
    free((void *)(uintptr_t)s->src);
    free(s->dst);
    free(s->scratch);
    free(s->thread_scratch);
    pel__pool_destroy(s->pool);
}

static pel_region cell_of(const sweep *s, const int64_t block[PEL_AXES], int64_t y, int64_t x)
{
    const pel_region all = pel__region(PEL_AXES, NULL, s->run.image.shape);
    return pel__grid_cell(&all, block, y * pel__ceil_div(all.shape[PEL_X], block[PEL_X]) + x);
}

static const int64_t shape[] = {1, 1, 11, 203, 90}, rows[] = {1, 1, 11, 16, 90}, cells[] = {1, 1, 11, 20, 40};
static const char *const spots[] = {"sigma", "1.2,5", NULL};
static const char *const broad[] = {"sigma", "2,30", NULL};
static const char *const flat[] = {"sigma", "z=1,y=2;z=2,y=6", "mode", "constant", NULL};

CASE(every_voxel_is_taken_once)
{
    static const char *const *const settings[] = {spots, broad, flat};
    for (int k = 0; k < 3; k++) {
        sweep s;
        begin(&s, shape, settings[k], rows);
        for (int64_t y = 0; y < 13; y++) {
            const pel_region cell = cell_of(&s, rows, y, 0);
            work(&s, &cell, &s.kept);
        }
        CHECK_INT(s.taken, 11 * 203 * 90);
        end(&s);
    }
}

CASE(columns_begin_anew)
{
    sweep s;
    begin(&s, shape, spots, cells);
    for (int64_t x = 0; x < 3; x++) {
        for (int64_t y = 0; y < 11; y++) {
            const pel_region cell = cell_of(&s, cells, y, x);
            work(&s, &cell, &s.kept);
        }
    }
    CHECK_INT(s.taken, 11 * 203 * (60 + 70 + 30)); /* columns of 40, 40, 10 with a reach of 20 at their sides */
    end(&s);
}

/* Blocks that another process has done, blocks out of order, a memory that was used for something else meanwhile. */
CASE(gaps_and_returns)
{
    static const struct {
        int64_t y, x;
        bool forget;
    } order[] = {{3, 0, false}, {5, 0, false}, {6, 0, true}, {4, 0, false}, {4, 1, false}, {5, 1, false}, {10, 1, false}, {0, 1, false}};
    sweep s;
    begin(&s, shape, spots, cells);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const pel_region cell = cell_of(&s, cells, order[i].y, order[i].x);
        if (order[i].forget)
            s.kept.any = false;
        work(&s, &cell, &s.kept);
    }
    for (int64_t i = 0; i < 33; i++) { /* the rest, x fastest: nothing is handed on */
        const pel_region cell = cell_of(&s, cells, i / 3, i % 3);
        work(&s, &cell, i % 5 ? &s.kept : NULL);
        s.kept.any = s.kept.any && i % 5;
    }
    end(&s);
}

int main(void)
{
    RUN(every_voxel_is_taken_once);
    RUN(columns_begin_anew);
    RUN(gaps_and_returns);
    return CHECK_DONE();
}
