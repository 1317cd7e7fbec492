/* SPDX-License-Identifier: MIT
 * The tile directory of a CZI file into an array of 64 bytes a tile. The directory of a long light-sheet run has hundreds of
 * megabytes, so it is read in pieces and never held beside the array; nothing of the tiles themselves is touched. */
#include "source/czi.h"

#include "core/bytes.h"
#include "core/error.h"

#include <ctype.h>
#include <stdlib.h>

#define ENTRY_FIXED 32
#define ENTRY_DIMENSION 20
#define ENTRY_MAX (ENTRY_FIXED + ENTRY_DIMENSION * PEL__CZI_MAX_DIMENSIONS)
#define ENTRY_MIN (ENTRY_FIXED + 2 * ENTRY_DIMENSION) /* X and Y at least */
#define PIECE_BYTES (4 << 20)
#define ENTRIES_OFFSET 160 /* of the segment */

static const pel__czi_pixel pixel_types[] = {
    [0] = {"Gray8", 1, 1, PEL_U8},      [1] = {"Gray16", 2, 1, PEL_U16},  [2] = {"Gray32Float", 4, 1, PEL_F32},
    [3] = {"Bgr24", 3, 3, PEL_U8},      [4] = {"Bgr48", 6, 3, PEL_U16},   [8] = {"Bgr96Float", 12, 3, PEL_F32},
    [9] = {"Bgra32", 4, 4, PEL_U8},     [12] = {"Gray32", 4, 1, PEL_I32}, [13] = {"Gray64Float", 8, 1, PEL_F64},
};

const pel__czi_pixel *pel__czi_pixel_type(int32_t id)
{
    if (id < 0 || id >= (int32_t)(sizeof pixel_types / sizeof pixel_types[0]) || !pixel_types[id].name)
        return NULL;
    return &pixel_types[id];
}

/* ---- tuples of folded starts --------------------------------------------------------------------------------- */

static uint32_t tuple_hash(const int32_t *starts)
{
    uint32_t h = 2166136261U;
    for (int i = 0; i < PEL__CZI_MAX_FOLDED; i++)
        h = (h ^ (uint32_t)starts[i]) * 16777619U;
    return h ^ (h >> 15);
}

static bool tuples_grow(pel__czi_tuples *t, pel_error *err)
{
    const int32_t capacity = t->capacity ? 2 * t->capacity : 64;
    if (capacity > PEL__CZI_MAX_CHANNELS * 2)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %d combinations of views, phases and the like",
                         PEL__CZI_MAX_CHANNELS);
    int32_t(*tuple)[PEL__CZI_MAX_FOLDED] = realloc(t->tuple, (size_t)capacity * sizeof *tuple);
    if (tuple)
        t->tuple = tuple;
    int32_t *slots = malloc((size_t)capacity * 2 * sizeof *slots);
    if (!tuple || !slots) {
        free(slots);
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the directory");
    }
    free(t->slots);
    t->slots = slots;
    t->slot_count = capacity * 2;
    t->capacity = capacity;
    for (int32_t i = 0; i < t->slot_count; i++)
        slots[i] = -1;
    for (int32_t i = 0; i < t->count; i++) {
        uint32_t k = tuple_hash(t->tuple[i]) % (uint32_t)t->slot_count;
        while (slots[k] >= 0)
            k = (k + 1) % (uint32_t)t->slot_count;
        slots[k] = i;
    }
    return true;
}

bool pel__czi_tuples_find(pel__czi_tuples *t, const int32_t *starts, int32_t *number, pel_error *err)
{
    const size_t bytes = PEL__CZI_MAX_FOLDED * sizeof *starts;
    if (t->count > 0 && memcmp(t->tuple[t->last], starts, bytes) == 0) {
        *number = t->last;
        return true;
    }
    if (t->count == t->capacity && !tuples_grow(t, err))
        return false;
    uint32_t k = tuple_hash(starts) % (uint32_t)t->slot_count;
    while (t->slots[k] >= 0 && memcmp(t->tuple[t->slots[k]], starts, bytes) != 0)
        k = (k + 1) % (uint32_t)t->slot_count;
    if (t->slots[k] < 0) {
        memcpy(t->tuple[t->count], starts, bytes);
        t->slots[k] = t->count++;
    }
    t->last = t->slots[k];
    *number = t->last;
    return true;
}

bool pel__czi_tuples_letter(pel__czi_tuples *t, char letter, int32_t *slot, pel_error *err)
{
    if (t->letter_count == 0) {
        memcpy(t->letters, "VIHRB", 5);
        t->letter_count = 5;
    }
    for (*slot = 0; *slot < t->letter_count; (*slot)++) {
        if (t->letters[*slot] == letter)
            return true;
    }
    if (t->letter_count == PEL__CZI_MAX_FOLDED)
        return pel__fail(err, PEL_UNSUPPORTED, "more than %d kinds of axes", PEL__CZI_MAX_FOLDED);
    t->letters[t->letter_count++] = letter;
    return true;
}

void pel__czi_tuples_free(pel__czi_tuples *t)
{
    free(t->tuple);
    free(t->slots);
}

/* ---- one entry ---------------------------------------------------------------------------------------------- */

static bool set_extent(int32_t *start, int32_t *size, int32_t *stored, const uint8_t *dimension)
{
    *start = pel__load_i32(dimension + 4);
    *size = pel__load_i32(dimension + 8);
    *stored = pel__load_i32(dimension + 16);
    if (*stored == 0)
        *stored = *size;
    return *size > 0 && *stored > 0 && (int64_t)*start + *size <= INT32_MAX;
}

/* Puts one dimension into the tile. *seen collects 1 for X, 2 for Y. */
static bool add_dimension(pel__czi_tile *t, const uint8_t *d, pel__czi_tuples *tuples, int32_t *folded, int *seen,
                          pel_error *err)
{
    const char letter = (char)toupper(d[0]);
    const int32_t start = pel__load_i32(d + 4), size = pel__load_i32(d + 8);
    int32_t slot = 0;
    switch (letter) {
    case 'X':
        *seen |= 1;
        return set_extent(&t->x, &t->w, &t->stored_w, d) || pel__fail(err, PEL_DAMAGED, "X from %d has size %d", start, size);
    case 'Y':
        *seen |= 2;
        return set_extent(&t->y, &t->h, &t->stored_h, d) || pel__fail(err, PEL_DAMAGED, "Y from %d has size %d", start, size);
    case 'M':
        t->m = start == INT32_MIN ? INT32_MIN + 1 : start;
        return true; /* its size is the tile count in old pyramids: no meaning for us */
    case 'Z': t->z = start; break;
    case 'C': t->c = start; break;
    case 'T': t->t = start; break;
    case 'S':
        t->scene = start;
        t->flags |= PEL__CZI_HAS_SCENE;
        break;
    default:
        if (letter < '!' || letter > '~')
            return pel__fail(err, PEL_DAMAGED, "an axis is named by byte %d", d[0]);
        if (!pel__czi_tuples_letter(tuples, letter, &slot, err))
            return false;
        folded[slot] = start;
        break;
    }
    if (size != 1 && size != 0 && !t->stack_axis)
        t->stack_axis = letter;
    return true;
}

/* raw holds 32 + 20 n bytes, n checked by the caller. */
static bool parse_entry(pel__czi_tile *t, const uint8_t *raw, int32_t n, pel__czi_tuples *tuples, pel_error *err)
{
    int32_t folded[PEL__CZI_MAX_FOLDED] = {0};
    int seen = 0;
    *t = (pel__czi_tile){.m = PEL__CZI_NO_M};
    const int32_t pixel = pel__load_i32(raw + 2), compression = pel__load_i32(raw + 18);
    t->pixel = pel__czi_pixel_type(pixel) ? (uint8_t)pixel : 255;
    t->position = pel__load_i64(raw + 6);
    t->compression = compression >= 0 && compression <= INT16_MAX ? (int16_t)compression : -1;
    t->pyramid = raw[22];
    for (int32_t i = 0; i < n; i++) {
        if (!add_dimension(t, raw + ENTRY_FIXED + ENTRY_DIMENSION * (int64_t)i, tuples, folded, &seen, err))
            return false;
    }
    if (seen != 3)
        return pel__fail(err, PEL_DAMAGED, "no X or no Y axis");
    return pel__czi_tuples_find(tuples, folded, &t->fold, err);
}

/* Planes of a tile that holds a series along one axis, behind X and Y in the order of the entry, so that they lie one behind the other; 0
 * where it is otherwise. */
static int32_t stack_size(const uint8_t *raw, int32_t n)
{
    int32_t size = 0;
    int planar = 0;
    for (int32_t i = 0; i < n; i++) {
        const uint8_t *const d = raw + ENTRY_FIXED + ENTRY_DIMENSION * (int64_t)i;
        const char letter = (char)toupper(d[0]);
        const int32_t here = pel__load_i32(d + 8), stored = pel__load_i32(d + 16);
        planar += letter == 'X' || letter == 'Y';
        if (letter == 'X' || letter == 'Y' || letter == 'M' || here == 0 || here == 1)
            continue;
        if (size != 0 || planar != 2 || here < 0 || (stored != 0 && stored != here))
            return 0;
        size = here;
    }
    return size;
}

/* Checks schema and dimension count of the entry at raw, of which `have` bytes are there; gives its size. */
static bool entry_size(size_t *size, int32_t *n, const uint8_t *raw, size_t have, pel_error *err)
{
    if (have < ENTRY_FIXED)
        return pel__fail(err, PEL_DAMAGED, "the directory ends inside it");
    if (raw[0] == 'D' && raw[1] == 'E')
        return pel__fail(err, PEL_UNSUPPORTED, "it is of the old kind \"DE\", which pellucid does not read");
    if (raw[0] != 'D' || raw[1] != 'V')
        return pel__fail(err, PEL_DAMAGED, "found bytes %02X %02X, expected \"DV\"", raw[0], raw[1]);
    *n = pel__load_i32(raw + 28);
    if (*n < 1 || *n > PEL__CZI_MAX_DIMENSIONS)
        return pel__fail(err, PEL_DAMAGED, "it has %d dimensions, expected 1 to %d", *n, PEL__CZI_MAX_DIMENSIONS);
    *size = ENTRY_FIXED + ENTRY_DIMENSION * (size_t)*n;
    if (*size > have)
        return pel__fail(err, PEL_DAMAGED, "the directory ends inside it");
    return true;
}

/* ---- the directory ------------------------------------------------------------------------------------------ */

/* FilePart 0 in a part's own directory means that part; a number names a member of the set. */
static uint16_t resolve_part(const pel__czi *czi, int32_t here, int32_t number)
{
    if (number == 0 || number == czi->parts[here].number)
        return (uint16_t)here;
    for (int32_t i = 0; i < czi->part_count; i++) {
        if (czi->parts[i].number == number)
            return (uint16_t)i;
    }
    return (uint16_t)(PEL__CZI_PART_MISSING | (number > 0 && number < PEL__CZI_PART_MISSING ? number : 0)); /* reading the tile says so */
}

static bool reserve(pel__czi *czi, int64_t more, pel_error *err)
{
    int64_t bytes = 0;
    if (!pel__add(czi->tile_count, more, &bytes) || bytes > INT32_MAX ||
        !pel__mul(bytes, (int64_t)sizeof *czi->tiles, &bytes))
        return pel__fail(err, PEL_UNSUPPORTED, "%lld more tiles than this program counts", (long long)more);
    pel__czi_tile *tiles = realloc(czi->tiles, (size_t)pel__max(bytes, 1));
    if (!tiles)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the directory of %lld tiles", (long long)more);
    czi->tiles = tiles;
    return true;
}

typedef struct reader {
    pel__file *file;
    int64_t position, end; /* of what is not yet in `piece` */
    uint8_t *piece;
    size_t have, at;
    uint32_t crc;
} reader;

/* Moves what is left to the front and fills up behind it. */
static bool refill(reader *r, pel_error *err)
{
    memmove(r->piece, r->piece + r->at, r->have - r->at);
    r->have -= r->at;
    r->at = 0;
    const size_t more = (size_t)pel__min(PIECE_BYTES - (int64_t)r->have, r->end - r->position);
    if (!pel__file_read(r->file, r->position, r->piece + r->have, more, err))
        return false;
    r->crc = pel__crc32c(r->crc, r->piece + r->have, more);
    r->have += more;
    r->position += (int64_t)more;
    return true;
}

/* An entry without a size covers nothing: other readers pass it over, and so do we, counted. One that is damaged otherwise (a negative size,
 * none at all) only where damaged tiles read as zero. */
static bool leave_out(pel__czi *czi, const uint8_t *raw, int32_t n)
{
    bool empty = false;
    for (int32_t i = 0; i < n; i++) {
        const uint8_t *const d = raw + ENTRY_FIXED + ENTRY_DIMENSION * (int64_t)i;
        empty = empty || (strchr("XxYy", d[0]) && d[0] && pel__load_i32(d + 8) == 0);
    }
    czi->left_out += empty || czi->zero_damaged;
    return empty || czi->zero_damaged;
}

static bool read_entries(pel__czi *czi, int32_t part, reader *r, int64_t count, pel_error *err)
{
    for (int64_t i = 0; i < count; i++) {
        size_t size = 0;
        int32_t n = 0;
        if (r->have - r->at < ENTRY_MAX && r->position < r->end && !refill(r, err))
            return false;
        const uint8_t *raw = r->piece + r->at;
        pel__czi_tile *tile = &czi->tiles[czi->tile_count];
        pel_error why = {0};
        if (!entry_size(&size, &n, raw, r->have - r->at, &why) || !(parse_entry(tile, raw, n, &czi->tuples, &why) || leave_out(czi, raw, n))) {
            (void)pel__fail(err, why.code, "%s", why.text);
            return pel__where(err, "%s: directory entry %lld of %lld: ", pel__file_path(r->file), (long long)i, (long long)count);
        }
        r->at += size;
        if (why.code != PEL_OK)
            continue;
        tile->part = resolve_part(czi, part, pel__load_i32(raw + 14));
        if (tile->stack_axis && !pel__czi_keep_stack(czi, czi->tile_count, stack_size(raw, n), err))
            return false;
        czi->tile_count++;
    }
    return true;
}

/* Where the entries lie, how many there are. */
static bool open_directory(reader *r, int64_t *count, pel__file *file, int64_t position, pel_error *err)
{
    pel__czi_segment s;
    uint8_t raw[4];
    if (!pel__czi_read_segment(&s, file, position, "ZISRAWDIRECTORY", err))
        return false;
    const char *path = pel__file_path(file);
    if (s.used > pel__file_size(file) - position - PEL__CZI_SEGMENT_HEADER)
        return pel__fail(err, PEL_DAMAGED, "%s: the directory at %lld has %lld bytes, the file ends before that", path,
                         (long long)position, (long long)s.used);
    if (!pel__file_read(file, position + PEL__CZI_SEGMENT_HEADER, raw, sizeof raw, err))
        return false;
    *count = pel__load_i32(raw);
    r->file = file;
    r->position = position + ENTRIES_OFFSET;
    r->end = pel__max(r->position, position + PEL__CZI_SEGMENT_HEADER + s.used);
    if (*count < 0 || *count > (r->end - r->position) / ENTRY_MIN)
        return pel__fail(err, PEL_DAMAGED, "%s: the directory at %lld says %lld tiles, its %lld bytes cannot hold them", path,
                         (long long)position, (long long)*count, (long long)s.used);
    return true;
}

bool pel__czi_read_directory(pel__czi *czi, int32_t part, pel_error *err)
{
    const pel__czi_part *p = &czi->parts[part];
    reader r = {.crc = czi->base.identity_crc32c};
    int64_t count = 0;
    bool ok = false;
    if (p->directory == 0)
        return true;
    if (!open_directory(&r, &count, p->file, p->directory, err))
        return false;
    r.piece = malloc(PIECE_BYTES);
    if (!r.piece)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory to read the directory", pel__file_path(p->file));
    if (!reserve(czi, count, err)) {
        (void)pel__where(err, "%s: ", pel__file_path(p->file));
        goto cleanup;
    }
    ok = read_entries(czi, part, &r, count, err);
    czi->base.identity_crc32c = r.crc;
cleanup:
    free(r.piece);
    return ok;
}

bool pel__czi_read_copy(pel__czi_tile *out, pel__czi *czi, const pel__czi_tile *t)
{
    pel__file *const file = t->part < czi->part_count ? czi->parts[t->part].file : NULL;
    pel__czi_subblock sub;
    uint8_t raw[ENTRY_MAX];
    size_t size = 0, got = 0;
    int32_t n = 0;
    if (!file || !pel__czi_read_subblock(&sub, file, t->position, NULL) ||
        !pel__file_read_some(file, t->position + 48, raw, sizeof raw, &got, NULL) || !entry_size(&size, &n, raw, got, NULL) ||
        !parse_entry(out, raw, n, &czi->tuples, NULL))
        return false;
    out->position = t->position;
    out->part = t->part;
    return true;
}

/* ---- recovery ----------------------------------------------------------------------------------------------- */

typedef struct recovery {
    pel__czi *czi;
    int32_t part;
    int64_t capacity, damaged;
} recovery;

static bool recover_tile(recovery *r, const pel__czi_segment *s, pel_error *err)
{
    pel__czi *czi = r->czi;
    pel__file *file = czi->parts[r->part].file;
    uint8_t raw[ENTRY_MAX];
    pel__czi_subblock sub;
    size_t size = 0, got = 0;
    int32_t n = 0;
    pel__czi_tile tile;
    if (!pel__file_read_some(file, s->position + 48, raw, sizeof raw, &got, err))
        return false;
    if (!pel__czi_read_subblock(&sub, file, s->position, NULL) || !entry_size(&size, &n, raw, got, NULL) ||
        !parse_entry(&tile, raw, n, &czi->tuples, NULL)) {
        r->damaged++;
        return true;
    }
    if (czi->tile_count == r->capacity) {
        const int64_t more = pel__max(1024, r->capacity / 2);
        if (!reserve(czi, more, err))
            return false;
        r->capacity += more;
    }
    tile.position = s->position; /* where it was found, whatever its own copy says */
    tile.part = (uint16_t)r->part;
    if (tile.stack_axis && !pel__czi_keep_stack(czi, czi->tile_count, stack_size(raw, n), err))
        return false;
    czi->tiles[czi->tile_count++] = tile;
    return true;
}

static bool recover_segment(void *arg, const pel__czi_segment *s, pel_error *err)
{
    recovery *r = arg;
    pel__czi_part *p = &r->czi->parts[r->part];
    if (strcmp(s->id, "ZISRAWSUBBLOCK") == 0)
        return recover_tile(r, s, err);
    if (strcmp(s->id, "ZISRAWMETADATA") == 0 && p->metadata == 0)
        p->metadata = s->position;
    if (strcmp(s->id, "ZISRAWATTDIR") == 0 && p->attachments == 0)
        p->attachments = s->position;
    return true;
}

bool pel__czi_recover(pel__czi *czi, int32_t part, pel_error *err)
{
    recovery r = {.czi = czi, .part = part, .capacity = czi->tile_count};
    int64_t skipped = 0;
    const int64_t before = czi->tile_count;
    pel__czi_part *p = &czi->parts[part];
    pel__czi_segment s;
    if (p->metadata != 0 && !pel__czi_read_segment(&s, p->file, p->metadata, "ZISRAWMETADATA", NULL))
        p->metadata = 0;
    if (p->attachments != 0 && !pel__czi_read_segment(&s, p->file, p->attachments, "ZISRAWATTDIR", NULL))
        p->attachments = 0;
    if (!pel__czi_walk(p->file, recover_segment, &r, &skipped, err))
        return false;
    if (!pel__note_add(&czi->notes, PEL__NOTE_RECOVERED, r.damaged, "The tile directory was not readable; %lld tiles were found by walking over the "
                       "file, %lld damaged ones left out, %lld bytes belong to no segment.",
                       (long long)(czi->tile_count - before), (long long)r.damaged, (long long)skipped))
        return pel__fail(err, PEL_NO_MEMORY, "no memory for notes");
    return true;
}
