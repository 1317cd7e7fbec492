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
    return chain->bytes + chain->bytes / 8 + SLACK;
}

/* By the codecs' own limits, from the last step to the first. */
int64_t pel__chain_expands_to(const pel__zarr_chain *chain, int64_t n)
{
    static const enum pel__packing packing[] = {
        [PEL__STEP_BLOSC] = PEL__PACK_BLOSC, [PEL__STEP_ZSTD] = PEL__PACK_ZSTD, [PEL__STEP_GZIP] = PEL__PACK_DEFLATE,
        [PEL__STEP_ZLIB] = PEL__PACK_DEFLATE, [PEL__STEP_LZ4] = PEL__PACK_LZ4, [PEL__STEP_CRC32C] = PEL__PACK_NONE,
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
    int32_t inner_steps = 0;
    for (int32_t i = 0; i < chain->steps; i++) {
        n += pel__step_decode_bytes(&chain->step[i], chain->bytes);
        inner_steps += chain->step[i].kind != PEL__STEP_CRC32C;
    }
    if (inner_steps > 1)
        n += pel__min(inner_steps - 1, 2) * pel__chain_stored_max(chain);
    return n + (chain->filters ? chain->bytes : 0) + SLACK;
}

/* ---- decode ------------------------------------------------------------------------------------------------ */

/* Decodes the steps from last to first. The step that ends in voxels writes into raw; those before it write into
 * buffers 1 and 2 in turn, with the room that a chunk's stored bytes may have. Checksums need no buffer. */
static bool undo_steps(const pel__zarr_chain *chain, pel__codec_state *state, const uint8_t **at, int64_t *n, uint8_t *raw,
                       pel_error *err)
{
    int32_t turn = 0;
    for (int32_t i = chain->steps - 1; i >= 0; i--) {
        const pel__step *const s = &chain->step[i];
        if (s->kind == PEL__STEP_CRC32C) {
            if (!pel__step_crc32c_check(*at, *n, n, err))
                return false;
            continue;
        }
        /* A checksum in front of the compressor is decoded with its voxels, four bytes more than raw has. */
        const bool last = i == 0;
        const int64_t room = last ? chain->bytes : pel__chain_stored_max(chain);
        uint8_t *const to = last ? raw : pel__codec_buffer(state, 1 + turn, room, err);
        pel__codec_io io = {.src = *at, .n = *n, .dst = to, .capacity = room};
        turn = 1 - turn;
        if (!to || !pel__step_decode(state, s, &io, err))
            return false;
        *at = to;
        *n = io.got;
    }
    return true;
}

bool pel__chain_decode(const pel__zarr_chain *chain, pel__codec_state *state, const uint8_t *stored, int64_t n,
                       uint8_t *raw, pel_error *err)
{
    const uint8_t *at = stored;
    if (!undo_steps(chain, state, &at, &n, raw, err))
        return false;
    if (n != chain->bytes)
        return pel__fail(err, PEL_DAMAGED, "%lld bytes decoded, expected %lld", (long long)n, (long long)chain->bytes);
    if (at != raw)
        memcpy(raw, at, (size_t)n);
    for (int32_t i = chain->filters - 1; i >= 0; i--) {
        uint8_t *const room = pel__codec_buffer(state, 1, n, err);
        if (!room)
            return false;
        pel__filter_undo(&chain->filter[i], raw, n, room);
    }
    if (chain->swap)
        pel__swap_items(raw, n, chain->item);
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
