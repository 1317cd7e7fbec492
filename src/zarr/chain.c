/* SPDX-License-Identifier: MIT
 * See chain.h: sizes and decoding. The parsing of both metadata versions is in chain_parse.c. */
#include "zarr/chain.h"

#include "codec/expand.h"
#include "core/bytes.h"

#include <stdio.h>
#include <stdlib.h>

#define SLACK (64 << 10)

void pel__chain_free(pel__zarr_chain *chain)
{
    if (!chain->inner)
        return;
    pel__chain_free(chain->inner);
    free(chain->inner);
    chain->inner = NULL;
}

void pel__chain_order(pel__zarr_chain *chain, const int32_t *order)
{
    int64_t stride = 1;
    for (int32_t i = chain->ndim - 1; i >= 0; i--) {
        chain->stride[order[i]] = stride;
        stride *= chain->shape[order[i]];
    }
}

bool pel__chain_init(pel__zarr_chain *chain, int32_t ndim, const int64_t *shape, int32_t item, pel_error *err)
{
    *chain = (pel__zarr_chain){.ndim = ndim, .item = item};
    int32_t order[PEL_MAX_NDIM];
    for (int32_t i = 0; i < ndim; i++) {
        chain->shape[i] = shape[i];
        order[i] = i;
    }
    if (!pel__product(shape, ndim, &chain->bytes) || !pel__mul(chain->bytes, item, &chain->bytes))
        return pel__fail(err, PEL_FORMAT, "the chunk's size overflows");
    chain->packed = chain->widest = chain->bytes;
    pel__chain_order(chain, order);
    return true;
}

const pel__zarr_chain *pel__chain_leaf(const pel__zarr_chain *chain)
{
    while (chain->inner)
        chain = chain->inner;
    return chain;
}

int64_t pel__chain_stored_max(const pel__zarr_chain *chain)
{
    return chain->widest + chain->widest / 8 + SLACK;
}

/* By the codecs' own limits, from the last step to the first. */
int64_t pel__chain_expands_to(const pel__zarr_chain *chain, int64_t n)
{
    static const enum pel__packing packing[] = {
        [PEL__STEP_BLOSC] = PEL__PACK_BLOSC, [PEL__STEP_ZSTD] = PEL__PACK_ZSTD, [PEL__STEP_GZIP] = PEL__PACK_DEFLATE,
        [PEL__STEP_ZLIB] = PEL__PACK_DEFLATE, [PEL__STEP_LZ4] = PEL__PACK_LZ4, [PEL__STEP_CRC32C] = PEL__PACK_NONE,
        [PEL__STEP_BZ2] = PEL__PACK_OTHER, [PEL__STEP_LZMA] = PEL__PACK_LZMA, [PEL__STEP_SHUFFLE] = PEL__PACK_NONE, [PEL__STEP_CRC32] = PEL__PACK_NONE,
        [PEL__STEP_ADLER32] = PEL__PACK_NONE, [PEL__STEP_FLETCHER32] = PEL__PACK_NONE,
    };
    for (int32_t i = chain->steps - 1; i >= 0; i--)
        n = pel__expand_most(packing[chain->step[i].kind], n);
    return n;
}

int64_t pel__chain_index_bytes(const pel__zarr_chain *chain)
{
    return 16 * chain->entries + (chain->index_crc32c ? 4 : 0);
}

int64_t pel__chain_thread_bytes(const pel__zarr_chain *chain)
{
    int64_t n = 0;
    for (; chain->inner; chain = chain->inner)
        n += pel__chain_index_bytes(chain) + 4 * chain->entries; /* and the list of those to read */
    n += pel__chain_stored_max(chain) + chain->bytes; /* as stored, as voxels */
    int32_t copies = chain->filters;
    for (int32_t i = 0; i < chain->steps; i++) {
        n += pel__step_decode_bytes(&chain->step[i], chain->packed);
        copies += !pel__step_sums(chain->step[i].kind);
    }
    copies += chain->filters && chain->swap_packed;
    if (copies > 1)
        n += pel__min(copies - 1, 2) * pel__chain_stored_max(chain);
    return n + SLACK;
}

/* ---- decode ------------------------------------------------------------------------------------------------ */

/* Bytes on their way from what is stored to voxels: each step and filter writes into buffers 1 and 2 in turn, the last one into raw. */
typedef struct flow {
    const pel__zarr_chain *chain;
    pel__codec_state *state;
    const uint8_t *at;
    int64_t n;
    uint8_t *raw;
    int32_t turn;
} flow;

static uint8_t *next_buffer(flow *f, bool last, pel_error *err)
{
    uint8_t *const to = last ? f->raw : pel__codec_buffer(f->state, 1 + f->turn, pel__chain_stored_max(f->chain), err);
    f->turn = 1 - f->turn;
    return to;
}

/* From last to first, with the room that a chunk's stored bytes may have. Checksums need no buffer. */
static bool undo_steps(flow *f, pel_error *err)
{
    const pel__zarr_chain *const chain = f->chain;
    for (int32_t i = chain->steps - 1; i >= 0; i--) {
        const pel__step *const s = &chain->step[i];
        if (pel__step_sums(s->kind)) {
            if (!pel__step_sum_check(s, &f->at, &f->n, err))
                return false;
            continue;
        }
        /* A checksum in front of the compressor is decoded with its voxels, four bytes more than raw has. */
        const bool last = i == 0 && chain->filters == 0;
        uint8_t *const to = next_buffer(f, last, err);
        pel__codec_io io = {.src = f->at, .n = f->n, .dst = to, .capacity = i == 0 ? chain->packed : pel__chain_stored_max(chain)};
        if (!to || !pel__step_decode(f->state, s, &io, err))
            return false;
        f->at = to;
        f->n = io.got;
    }
    return true;
}

static bool undo_filters(flow *f, pel_error *err)
{
    const pel__zarr_chain *const chain = f->chain;
    const int64_t voxels = chain->bytes / chain->item;
    for (int32_t i = chain->filters - 1; i >= 0; i--) {
        if (i == chain->filters - 1 && chain->swap_packed) { /* what is stored is not ours to change */
            uint8_t *const turned = next_buffer(f, false, err);
            if (!turned)
                return false;
            memcpy(turned, f->at, (size_t)f->n);
            pel__swap_items(turned, f->n, chain->swap_packed);
            f->at = turned;
        }
        uint8_t *const to = next_buffer(f, i == 0, err);
        if (!to)
            return false;
        pel__filter_undo(&chain->filter[i], f->at, voxels, to);
        f->at = to;
        f->n = voxels * (int64_t)pel_dtype_size(chain->filter[i].to.dtype);
    }
    return true;
}

bool pel__chain_decode(const pel__zarr_chain *chain, pel__codec_state *state, const uint8_t *stored, int64_t n,
                       uint8_t *raw, pel_error *err)
{
    flow f = {.chain = chain, .state = state, .at = stored, .n = n, .raw = raw};
    if (!undo_steps(&f, err))
        return false;
    if (f.n != chain->packed)
        return pel__fail(err, PEL_DAMAGED, "%lld bytes decoded, expected %lld", (long long)f.n, (long long)chain->packed);
    if (!undo_filters(&f, err))
        return false;
    if (f.at != raw)
        memcpy(raw, f.at, (size_t)f.n);
    if (chain->swap)
        pel__swap_items(raw, f.n, chain->swap);
    return true;
}

void pel__chain_text(const pel__zarr_chain *chain, char *text, size_t size)
{
    const pel__zarr_chain *const leaf = pel__chain_leaf(chain);
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < leaf->steps && used < size; i++) {
        const pel__step *const s = &leaf->step[i];
        const bool named = s->kind == PEL__STEP_BLOSC && s->cname[0];
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s%s", i ? " + " : "", pel__step_name(s->kind),
                                 named ? " (" : "", named ? s->cname : "", named ? ")" : "");
    }
    if (leaf->steps == 0)
        used = (size_t)snprintf(text, size, "none");
    if (chain->inner && used < size)
        (void)snprintf(text + used, size - used, ", sharded");
}
