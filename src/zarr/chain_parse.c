/* SPDX-License-Identifier: MIT
 * Codec chains from metadata: the list "codecs" of Zarr v3; compressor, filters and order of v2. What is not understood
 * is refused by its name: a chunk decoded by guess is worse than none. */
#include "core/bytes.h"
#include "zarr/chain.h"
#include "zarr/dtype.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_INDEX_BYTES ((int64_t)64 << 20)

/* ---- Zarr v3 ----------------------------------------------------------------------------------------------- */

/* A codec is {"name", "configuration"} or, since v3.1, a bare string. */
static bool codec_name(json_object *codec, const char **name, json_object **configuration, pel_error *err)
{
    *configuration = NULL;
    if (json_object_is_type(codec, json_type_string)) {
        *name = json_object_get_string(codec);
        return true;
    }
    *name = pel__json_string(codec, "name");
    if (!*name)
        return pel__fail(err, PEL_FORMAT, "codecs: an entry without a name");
    *configuration = pel__json_get(codec, "configuration", json_type_object);
    json_object *any = NULL;
    if (!*configuration && json_object_object_get_ex(codec, "configuration", &any) && any)
        return pel__fail(err, PEL_FORMAT, "codec %s: the configuration is no object", *name);
    return true;
}

/* Any member beside those of the list (NULL at its end) may change what the bytes mean. */
static bool only_members(json_object *o, const char *const *names, const char *what, pel_error *err)
{
    if (!o)
        return true;
    json_object_object_foreach(o, key, value) {
        (void)value;
        bool known = false;
        for (int i = 0; names[i]; i++)
            known = known || strcmp(names[i], key) == 0;
        if (!known)
            return pel__fail(err, PEL_UNSUPPORTED, "%s: member \"%s\" is not understood", what, key);
    }
    return true;
}

static bool parse_endian(json_object *configuration, int32_t item, bool *swap, pel_error *err)
{
    static const char *const members[] = {"endian", NULL};
    if (!only_members(configuration, members, "codec bytes", err))
        return false;
    const char *const endian = pel__json_string(configuration, "endian");
    *swap = endian && strcmp(endian, "big") == 0 && item > 1;
    if (endian ? strcmp(endian, "big") != 0 && strcmp(endian, "little") != 0 : item > 1)
        return pel__fail(err, PEL_FORMAT, "codec bytes: endian is \"%s\", expected little or big", endian ? endian : "");
    return true;
}

/* order becomes order after one more transpose: encoded axis i is old encoded axis next[i]. */
static bool parse_transpose(json_object *configuration, int32_t ndim, int32_t *order, pel_error *err)
{
    int64_t next[PEL_MAX_NDIM];
    int32_t old[PEL_MAX_NDIM], n = 0;
    bool seen[PEL_MAX_NDIM] = {false};
    json_object *const list = pel__json_get(configuration, "order", json_type_array);
    if (!list || !pel__json_int_list(list, 0, next, PEL_MAX_NDIM, &n, NULL) || n != ndim)
        return pel__fail(err, PEL_FORMAT, "codec transpose: order is no permutation of %d axes", (int)ndim);
    memcpy(old, order, (size_t)ndim * sizeof *old);
    for (int32_t i = 0; i < ndim; i++) {
        if (next[i] >= ndim || seen[next[i]])
            return pel__fail(err, PEL_FORMAT, "codec transpose: order is no permutation of %d axes", (int)ndim);
        seen[next[i]] = true;
        order[i] = old[next[i]];
    }
    return true;
}

/* bytes and, after it, perhaps crc32c: nothing that would make the index's length depend on its content. */
static bool parse_index_codecs(pel__zarr_chain *chain, json_object *list, pel_error *err)
{
    const size_t n = list ? json_object_array_length(list) : 0;
    const char *name = NULL;
    json_object *configuration = NULL;
    if (n < 1)
        return pel__fail(err, PEL_FORMAT, "sharding_indexed: index_codecs is missing");
    for (size_t i = 0; i < n; i++) {
        if (!codec_name(json_object_array_get_idx(list, i), &name, &configuration, err))
            return false;
        const bool fits = i == 0 ? strcmp(name, "bytes") == 0 : i == 1 && strcmp(name, "crc32c") == 0;
        if (!fits)
            return pel__fail(err, PEL_UNSUPPORTED, "sharding_indexed: codec \"%s\" in the index, expected bytes and crc32c", name);
        if (i == 0 && !parse_endian(configuration, 8, &chain->index_swap, err))
            return false;
        chain->index_crc32c = i == 1;
    }
    return true;
}

static bool parse_index_location(pel__zarr_chain *chain, json_object *configuration, pel_error *err)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(configuration, "index_location", &value))
        return true;
    const char *const text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    chain->index_first = strcmp(text, "start") == 0;
    if (!chain->index_first && strcmp(text, "end") != 0)
        return pel__fail(err, PEL_FORMAT, "sharding_indexed: index_location is \"%s\", expected start or end", text);
    return true;
}

static bool parse_sharding(pel__zarr_chain *chain, json_object *configuration, int32_t nesting, pel_error *err)
{
    static const char *const members[] = {"chunk_shape", "codecs", "index_codecs", "index_location", NULL};
    int64_t inner[PEL_MAX_NDIM];
    int32_t n = 0;
    if (nesting == 0)
        return pel__fail(err, PEL_UNSUPPORTED, "shards in shards, more than %d deep", PEL__CHAIN_NESTING);
    if (!configuration || !only_members(configuration, members, "sharding_indexed", err))
        return configuration ? false : pel__fail(err, PEL_FORMAT, "sharding_indexed: no configuration");
    json_object *const shape = pel__json_get(configuration, "chunk_shape", json_type_array);
    if (!shape || !pel__json_int_list(shape, 1, inner, PEL_MAX_NDIM, &n, err) || n != chain->ndim)
        return pel__fail(err, PEL_FORMAT, "sharding_indexed: chunk_shape is not %d positive integers", (int)chain->ndim);
    for (int32_t i = 0; i < n; i++) {
        if (chain->shape[i] % inner[i] != 0)
            return pel__fail(err, PEL_FORMAT, "sharding_indexed: inner chunks of %lld do not divide the shard of %lld, axis %d",
                             (long long)inner[i], (long long)chain->shape[i], (int)i);
        chain->grid[i] = chain->shape[i] / inner[i];
    }
    if (!pel__product(chain->grid, n, &chain->entries) || chain->entries > MAX_INDEX_BYTES / 16)
        return pel__fail(err, PEL_UNSUPPORTED, "sharding_indexed: more than %lld inner chunks in a shard",
                         (long long)(MAX_INDEX_BYTES / 16));
    if (!parse_index_codecs(chain, pel__json_get(configuration, "index_codecs", json_type_array), err)
        || !parse_index_location(chain, configuration, err))
        return false;
    chain->inner = calloc(1, sizeof *chain->inner);
    if (!chain->inner)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    return pel__chain_v3(chain->inner, pel__json_get(configuration, "codecs", json_type_array), n, inner, chain->item,
                         nesting - 1, err);
}

static bool step_kind(const char *name, enum pel__step_kind *kind)
{
    static const char *const names[] = {"blosc", "zstd", "gzip", "zlib", "lz4"};
    for (int i = 0; i < 5; i++)
        if (strcmp(names[i], name) == 0) {
            *kind = (enum pel__step_kind)i;
            return true;
        }
    return false;
}

static void keep_cname(pel__step *s, json_object *configuration)
{
    const char *const cname = pel__json_string(configuration, "cname");
    if (cname)
        (void)snprintf(s->cname, sizeof s->cname, "%s", cname);
}

static bool add_step(pel__zarr_chain *chain, const char *name, json_object *configuration, pel_error *err)
{
    pel__step s = {0};
    const char *const base = strncmp(name, "numcodecs.", 10) == 0 ? name + 10 : name;
    if (strcmp(name, "crc32c") == 0)
        s.kind = PEL__STEP_CRC32C;
    else if (!step_kind(base, &s.kind))
        return pel__fail(err, PEL_UNSUPPORTED, "codec \"%s\" is not understood", name);
    if (chain->steps == PEL__CHAIN_STEPS)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %d codecs in a chain", PEL__CHAIN_STEPS);
    if (chain->inner)
        return pel__fail(err, PEL_UNSUPPORTED, "codec \"%s\" around whole shards", name);
    keep_cname(&s, configuration);
    chain->step[chain->steps++] = s;
    return true;
}

static bool check_leaf(const pel__zarr_chain *chain, pel_error *err)
{
    if (chain->inner || chain->bytes <= PEL__STEP_MAX_BYTES)
        return true;
    return pel__fail(err, PEL_UNSUPPORTED, "a chunk of %lld bytes; pellucid reads chunks below 2 GiB", (long long)chain->bytes);
}

/* One entry of the list. *phase: 0 before the codec that makes bytes, 1 after it. */
static bool parse_codec(pel__zarr_chain *chain, json_object *entry, int *phase, int32_t *order, int32_t nesting, pel_error *err)
{
    const char *name = NULL;
    json_object *configuration = NULL;
    if (!codec_name(entry, &name, &configuration, err))
        return false;
    if (*phase == 1)
        return add_step(chain, name, configuration, err);
    if (strcmp(name, "transpose") == 0)
        return parse_transpose(configuration, chain->ndim, order, err);
    *phase = 1;
    if (strcmp(name, "bytes") == 0)
        return parse_endian(configuration, chain->item, &chain->swap, err);
    if (strcmp(name, "sharding_indexed") != 0)
        return pel__fail(err, PEL_UNSUPPORTED, "codec \"%s\" is not understood where bytes or sharding_indexed is expected", name);
    for (int32_t i = 0; i < chain->ndim; i++)
        if (order[i] != i)
            return pel__fail(err, PEL_UNSUPPORTED, "codec transpose around whole shards");
    return parse_sharding(chain, configuration, nesting, err);
}

bool pel__chain_v3(pel__zarr_chain *chain, json_object *codecs, int32_t ndim, const int64_t *shape, int32_t item,
                   int32_t nesting, pel_error *err)
{
    int32_t order[PEL_MAX_NDIM] = {0};
    int phase = 0;
    if (!pel__chain_init(chain, ndim, shape, item, err))
        return false;
    if (!codecs)
        return pel__fail(err, PEL_FORMAT, "no list of codecs");
    for (int32_t i = 0; i < ndim; i++)
        order[i] = i;
    for (size_t i = 0; i < json_object_array_length(codecs); i++)
        if (!parse_codec(chain, json_object_array_get_idx(codecs, i), &phase, order, nesting, err))
            return false;
    if (phase == 0)
        return pel__fail(err, PEL_FORMAT, "codecs: none of them makes bytes");
    pel__chain_order(chain, order);
    return check_leaf(chain, err);
}

/* ---- Zarr v2 ----------------------------------------------------------------------------------------------- */

static bool parse_delta(pel__zarr_chain *chain, json_object *filter, pel_error *err)
{
    pel__zarr_type type = {0};
    pel__filter_step f = {.kind = PEL__FILTER_DELTA};
    const char *const dtype = pel__json_string(filter, "dtype"), *const as = pel__json_string(filter, "astype");
    if (!dtype || !pel__zarr_dtype_v2(dtype, &type, NULL) || (as && strcmp(as, dtype) != 0) || type.boolean
        || type.half || type.item != chain->item)
        return pel__fail(err, PEL_UNSUPPORTED, "filter delta from \"%s\" to \"%s\"", dtype ? dtype : "", as ? as : "");
    f.dtype = type.dtype;
    f.big = type.big;
    chain->filter[chain->filters++] = f;
    return true;
}

static bool parse_filter(pel__zarr_chain *chain, json_object *filter, pel_error *err)
{
    const char *const id = pel__json_string(filter, "id");
    if (!id)
        return pel__fail(err, PEL_FORMAT, "filters: an entry without an id");
    if (chain->filters == PEL__CHAIN_FILTERS)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %d filters", PEL__CHAIN_FILTERS);
    if (strcmp(id, "delta") == 0)
        return parse_delta(chain, filter, err);
    if (strcmp(id, "shuffle") != 0)
        return pel__fail(err, PEL_UNSUPPORTED, "filter \"%s\" is not understood", id);
    json_object *const size = pel__json_get(filter, "elementsize", json_type_int);
    const int64_t bytes = size ? json_object_get_int64(size) : 4;
    if (bytes < 1 || bytes > 256)
        return pel__fail(err, PEL_FORMAT, "filter shuffle: elementsize is %lld", (long long)bytes);
    chain->filter[chain->filters++] = (pel__filter_step){.kind = PEL__FILTER_SHUFFLE, .size = (int32_t)bytes};
    return true;
}

static bool parse_filters(pel__zarr_chain *chain, json_object *zarray, pel_error *err)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(zarray, "filters", &value) || !value)
        return true;
    if (!json_object_is_type(value, json_type_array))
        return pel__fail(err, PEL_FORMAT, "filters: expected a list or null");
    for (size_t i = 0; i < json_object_array_length(value); i++)
        if (!parse_filter(chain, json_object_array_get_idx(value, i), err))
            return false;
    return true;
}

static bool parse_compressor(pel__zarr_chain *chain, json_object *zarray, pel_error *err)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(zarray, "compressor", &value))
        return pel__fail(err, PEL_FORMAT, "compressor is missing");
    if (!value)
        return true;
    const char *const id = pel__json_string(value, "id");
    pel__step s = {0};
    if (!id)
        return pel__fail(err, PEL_FORMAT, "compressor: expected an object with an id, or null");
    if (!step_kind(id, &s.kind))
        return pel__fail(err, PEL_UNSUPPORTED, "compressor \"%s\" is not understood", id);
    keep_cname(&s, value);
    chain->step[chain->steps++] = s;
    return true;
}

bool pel__chain_v2(pel__zarr_chain *chain, json_object *zarray, int32_t ndim, const int64_t *shape, int32_t item, bool big,
                   pel_error *err)
{
    if (!pel__chain_init(chain, ndim, shape, item, err))
        return false;
    const char *const order = pel__json_string(zarray, "order");
    if (!order || (strcmp(order, "C") != 0 && strcmp(order, "F") != 0))
        return pel__fail(err, PEL_FORMAT, "order is \"%s\", expected C or F", order ? order : "");
    int32_t axes[PEL_MAX_NDIM];
    for (int32_t i = 0; i < ndim; i++)
        axes[i] = order[0] == 'F' ? ndim - 1 - i : i;
    pel__chain_order(chain, axes);
    chain->swap = big && item > 1;
    return parse_filters(chain, zarray, err) && parse_compressor(chain, zarray, err) && check_leaf(chain, err);
}
