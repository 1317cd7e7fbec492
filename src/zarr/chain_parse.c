/* SPDX-License-Identifier: MIT
 * Codec chains from metadata: the list "codecs" of Zarr v3; compressor, filters and order of v2. What is not understood
 * is refused by its name: a chunk decoded by guess is worse than none. */
#include "core/bytes.h"
#include "zarr/chain.h"
#include "zarr/dtype.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_INDEX_BYTES ((int64_t)64 << 20)
#define WAY_OUT "copy the array with zarr-python into one with blosc, zstd or gzip"

/* ---- what both versions have ------------------------------------------------------------------------------- */

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool step_kind(const char *name, enum pel__step_kind *kind)
{
    for (int i = 0; i <= PEL__STEP_FLETCHER32; i++)
        if (is(pel__step_name((enum pel__step_kind)i), name)) {
            *kind = (enum pel__step_kind)i;
            return true;
        }
    return false;
}

static int64_t whole(json_object *o, const char *key, int64_t other)
{
    json_object *const v = pel__json_get(o, key, json_type_int);
    return v ? json_object_get_int64(v) : other;
}

/* .xz or .lzma with the dictionary of its preset; a chain of filters may have the largest. */
static bool set_lzma(pel__step *s, json_object *o, pel_error *err)
{
    const int64_t format = whole(o, "format", 1), preset = whole(o, "preset", pel__json_get(o, "filters", json_type_array) ? 9 : 6);
    if (format != 1 && format != 2)
        return pel__fail(err, PEL_UNSUPPORTED, "codec lzma: format %lld (raw streams) is not read: " WAY_OUT, (long long)format);
    s->level = preset < 0 || (preset & 31) > 9 ? 9 : (int32_t)(preset & 31);
    return true;
}

/* v3 has the codecs of numcodecs under "numcodecs." and their id. */
static const char *base_name(const char *name)
{
    return strncmp(name, "numcodecs.", 10) == 0 ? name + 10 : name;
}

/* A codec from bytes to bytes; its settings in o (NULL: none). */
static bool add_step(pel__zarr_chain *chain, const char *name, json_object *o, pel_error *err)
{
    pel__step s = {0};
    if (!step_kind(base_name(name), &s.kind))
        return pel__fail(err, PEL_UNSUPPORTED, "codec \"%s\" is not understood: " WAY_OUT, name);
    if (chain->steps == PEL__CHAIN_STEPS)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %d codecs in a chain", PEL__CHAIN_STEPS);
    const char *const cname = pel__json_string(o, "cname"), *const location = pel__json_string(o, "location");
    if (cname)
        (void)snprintf(s.cname, sizeof s.cname, "%s", cname);
    s.first = location ? is(location, "start") : s.kind == PEL__STEP_CRC32 || s.kind == PEL__STEP_ADLER32;
    if (location && !s.first && !is(location, "end"))
        return pel__fail(err, PEL_FORMAT, "codec %s: location is \"%.40s\", expected start or end", name, location);
    const int64_t size = whole(o, "elementsize", 4);
    if (s.kind == PEL__STEP_SHUFFLE && (size < 1 || size > 256))
        return pel__fail(err, PEL_FORMAT, "codec shuffle: elementsize is %lld", (long long)size);
    s.typesize = s.kind == PEL__STEP_SHUFFLE ? (int32_t)size : 0;
    if (s.kind == PEL__STEP_LZMA && !set_lzma(&s, o, err))
        return false;
    chain->step[chain->steps++] = s;
    return true;
}

/* The type under a key: a NumPy type string, with or without a byte order, or a name of v3. */
static bool number_type(json_object *o, const char *key, const char *other, pel__filter_type *out)
{
    const char *const told = pel__json_string(o, key), *const text = told ? told : other;
    char with_order[16];
    pel__zarr_type type = {0};
    if (!text)
        return false;
    (void)snprintf(with_order, sizeof with_order, "%s%.12s", strlen(text) == 2 ? text[1] == '1' ? "|" : "<" : "", text);
    if (!pel__zarr_dtype_v2(with_order, &type, NULL) && !pel__zarr_dtype_v3(text, &type, NULL))
        return false;
    *out = (pel__filter_type){type.dtype, type.big};
    return !type.half && !type.boolean;
}

static bool real(pel_dtype t)
{
    return t == PEL_F32 || t == PEL_F64;
}

static bool settings_number(json_object *o, const char *key, double *out)
{
    json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v) || !(json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double)))
        return false;
    *out = json_object_get_double(v);
    return true;
}

/* Is it a codec from numbers to numbers? */
static bool is_filter(const char *name)
{
    return is(name, "delta") || is(name, "fixedscaleoffset") || is(name, "astype") || is(name, "quantize") || is(name, "bitround");
}

/* What such a codec did to the voxels, as its undoing; *nothing: it only rounded them. */
static bool parse_filter(pel__filter_step *f, const char *name, json_object *o, bool *nothing)
{
    const char *const dtype = pel__json_string(o, "dtype");
    *nothing = is(name, "bitround");
    if (*nothing)
        return true;
    if (is(name, "astype")) {
        f->kind = PEL__FILTER_TYPE;
        return number_type(o, "decode_dtype", NULL, &f->to) && number_type(o, "encode_dtype", NULL, &f->from);
    }
    if (!number_type(o, "dtype", NULL, &f->to) || !number_type(o, "astype", dtype, &f->from))
        return false;
    const bool same = f->to.dtype == f->from.dtype;
    if (is(name, "delta")) {
        f->kind = PEL__FILTER_DELTA;
        return same || (!real(f->to.dtype) && !real(f->from.dtype));
    }
    if (is(name, "quantize")) {
        f->kind = PEL__FILTER_TYPE;
        return true;
    }
    f->kind = PEL__FILTER_SCALE;
    return settings_number(o, "scale", &f->scale) && settings_number(o, "offset", &f->offset) && f->scale != 0;
}

/* native: byte orders of its types are not those of the bytes (v3: that is the business of the codec bytes). */
static bool add_filter(pel__zarr_chain *chain, const char *name, json_object *o, bool native, pel_error *err)
{
    pel__filter_step f = {0};
    bool nothing = false;
    const int64_t item = chain->filters ? (int64_t)pel_dtype_size(chain->filter[chain->filters - 1].from.dtype) : chain->item;
    const int64_t voxels = chain->bytes / chain->item;
    if (chain->filters == PEL__CHAIN_FILTERS)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %d filters", PEL__CHAIN_FILTERS);
    if (!parse_filter(&f, name, o, &nothing) || (!nothing && (int64_t)pel_dtype_size(f.to.dtype) != item))
        return pel__fail(err, PEL_UNSUPPORTED, "codec %s with the settings %.120s is not understood: " WAY_OUT, name, o ? json_object_to_json_string(o) : "{}");
    if (nothing)
        return true;
    f.to.big = f.to.big && !native;
    f.from.big = f.from.big && !native;
    if (!pel__mul(voxels, (int64_t)pel_dtype_size(f.from.dtype), &chain->packed))
        return pel__fail(err, PEL_FORMAT, "the chunk's size overflows");
    chain->widest = pel__max(chain->widest, chain->packed);
    chain->filter[chain->filters++] = f;
    return true;
}

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

/* Drafts called the codec bytes "endian". */
static bool is_bytes(const char *name)
{
    return is(name, "bytes") || is(name, "endian");
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
        const bool fits = i == 0 ? is_bytes(name) : i == 1 && strcmp(name, "crc32c") == 0;
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

static bool check_leaf(const pel__zarr_chain *chain, pel_error *err)
{
    if (chain->inner || chain->widest <= PEL__STEP_MAX_BYTES)
        return true;
    return pel__fail(err, PEL_UNSUPPORTED, "a chunk of %lld bytes; pellucid reads chunks below 2 GiB", (long long)chain->bytes);
}

/* How far the list is: codecs from array to array, then one that makes bytes, then those from bytes to bytes. */
typedef struct progress {
    bool bytes, delta;
    int32_t order[PEL_MAX_NDIM]; /* of the axes after the transposes so far */
    int32_t nesting;
} progress;

static bool in_order(const pel__zarr_chain *chain, const progress *p)
{
    for (int32_t i = 0; i < chain->ndim; i++)
        if (p->order[i] != i)
            return false;
    return true;
}

static bool make_bytes(pel__zarr_chain *chain, json_object *configuration, pel_error *err)
{
    const int32_t item = chain->filters ? (int32_t)pel_dtype_size(chain->filter[chain->filters - 1].from.dtype) : chain->item;
    bool swap = false;
    if (!parse_endian(configuration, item, &swap, err))
        return false;
    *(chain->filters ? &chain->swap_packed : &chain->swap) = swap ? item : 0;
    return true;
}

static bool parse_codec(pel__zarr_chain *chain, json_object *entry, progress *p, pel_error *err)
{
    const char *name = NULL;
    json_object *configuration = NULL;
    if (!codec_name(entry, &name, &configuration, err))
        return false;
    const char *const base = base_name(name);
    if (p->bytes && chain->inner)
        return pel__fail(err, PEL_UNSUPPORTED, "codec \"%s\" around whole shards: " WAY_OUT, name);
    if (p->bytes)
        return add_step(chain, name, configuration, err);
    if (is_filter(base)) {
        p->delta = p->delta || is(base, "delta");
        if (p->delta && !in_order(chain, p))
            return pel__fail(err, PEL_UNSUPPORTED, "codec delta beside a transpose: " WAY_OUT);
        return add_filter(chain, base, configuration, true, err);
    }
    if (is(name, "transpose") && p->delta)
        return pel__fail(err, PEL_UNSUPPORTED, "codec delta beside a transpose: " WAY_OUT);
    if (is(name, "transpose"))
        return parse_transpose(configuration, chain->ndim, p->order, err);
    p->bytes = true;
    if (is_bytes(name))
        return make_bytes(chain, configuration, err);
    if (!is(name, "sharding_indexed"))
        return pel__fail(err, PEL_UNSUPPORTED, "codec \"%s\" is not understood where bytes or sharding_indexed is expected: " WAY_OUT, name);
    if (!in_order(chain, p) || chain->filters)
        return pel__fail(err, PEL_UNSUPPORTED, "codec %s around whole shards: " WAY_OUT, chain->filters ? "from numbers to numbers" : "transpose");
    return parse_sharding(chain, configuration, p->nesting, err);
}

bool pel__chain_v3(pel__zarr_chain *chain, json_object *codecs, int32_t ndim, const int64_t *shape, int32_t item,
                   int32_t nesting, pel_error *err)
{
    progress p = {.nesting = nesting};
    if (!pel__chain_init(chain, ndim, shape, item, err))
        return false;
    if (!codecs)
        return pel__fail(err, PEL_FORMAT, "no list of codecs");
    for (int32_t i = 0; i < ndim; i++)
        p.order[i] = i;
    for (size_t i = 0; i < json_object_array_length(codecs); i++)
        if (!parse_codec(chain, json_object_array_get_idx(codecs, i), &p, err))
            return false;
    if (!p.bytes)
        return pel__fail(err, PEL_FORMAT, "codecs: none of them makes bytes");
    pel__chain_order(chain, p.order);
    return check_leaf(chain, err);
}

/* ---- Zarr v2 ----------------------------------------------------------------------------------------------- */

/* Filters come before the compressor; those that work on numbers before those that work on bytes. */
static bool parse_v2_filter(pel__zarr_chain *chain, json_object *filter, pel_error *err)
{
    const char *const id = pel__json_string(filter, "id");
    if (!id)
        return pel__fail(err, PEL_FORMAT, "filters: an entry without an id");
    if (!is_filter(id))
        return add_step(chain, id, filter, err);
    if (chain->steps > 0)
        return pel__fail(err, PEL_UNSUPPORTED, "filter %s behind %s: " WAY_OUT, id, pel__step_name(chain->step[chain->steps - 1].kind));
    return add_filter(chain, id, filter, false, err);
}

static bool parse_filters(pel__zarr_chain *chain, json_object *zarray, pel_error *err)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(zarray, "filters", &value) || !value)
        return true;
    if (!json_object_is_type(value, json_type_array))
        return pel__fail(err, PEL_FORMAT, "filters: expected a list or null");
    for (size_t i = 0; i < json_object_array_length(value); i++)
        if (!parse_v2_filter(chain, json_object_array_get_idx(value, i), err))
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
    if (!id)
        return pel__fail(err, PEL_FORMAT, "compressor: expected an object with an id, or null");
    return add_step(chain, id, value, err);
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
    chain->swap = big && item > 1 ? item : 0;
    return parse_filters(chain, zarray, err) && parse_compressor(chain, zarray, err) && check_leaf(chain, err);
}
