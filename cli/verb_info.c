/* SPDX-License-Identifier: MIT
 * pellucid info: what is in a file, as a person wants to read it, or as JSON. No pixel is read. */
#include "input.h"
#include "notes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct settings {
    const char *path;
    input_options in;
    bool json, all;
} settings;

static double image_bytes(const pel_image *im)
{
    double n = (double)pel_dtype_size(im->dtype);
    for (int a = 0; a < PEL_AXES; a++)
        n *= (double)im->shape[a];
    return n;
}

/* ---- for programs ---------------------------------------------------------------------------------------------- */

static json_object *channel_json(const pel_channel *ch)
{
    json_object *const o = json_object_new_object();
    char colour[16];
    (void)snprintf(colour, sizeof colour, "#%06" PRIx32, ch->rgb & 0xFFFFFF);
    json_object_object_add(o, "name", json_object_new_string(ch->name));
    json_object_object_add(o, "colour", json_object_new_string(colour));
    json_object_object_add(o, "excitation_nm", ch->excitation_nm > 0 ? json_number(ch->excitation_nm) : NULL);
    json_object_object_add(o, "emission_nm", ch->emission_nm > 0 ? json_number(ch->emission_nm) : NULL);
    const bool window = ch->window_end > ch->window_start;
    json_object_object_add(o, "window_start", window ? json_number(ch->window_start) : NULL);
    json_object_object_add(o, "window_end", window ? json_number(ch->window_end) : NULL);
    return o;
}

static json_object *pixel_size_json(const pel_image *im)
{
    static const struct { int axis; const char *name; } sizes[] = {
        {PEL_T, "t_s"}, {PEL_Z, "z_um"}, {PEL_Y, "y_um"}, {PEL_X, "x_um"}};
    json_object *const o = json_object_new_object();
    for (int i = 0; i < COUNT(sizes); i++) {
        const double v = im->pixel_size[sizes[i].axis];
        json_object_object_add(o, sizes[i].name, v > 0 ? json_number(v) : NULL);
    }
    return o;
}

static json_object *place_json(const pel_image *im)
{
    double step[PEL_AXES], place[PEL_AXES];
    pel_image_place(im, step, place);
    json_object *const o = json_object_new_object();
    for (int a = 0; a < PEL_AXES; a++)
        if (a != PEL_C)
            json_object_object_add(o, (char[]){axis_letters[a], 0}, json_number(place[a]));
    return o;
}

static json_object *text_or_null(const char *text)
{
    return text[0] ? json_object_new_string(text) : NULL;
}

static void add_microscope(json_object *o, const pel_image *im)
{
    json_object_object_add(o, "objective", text_or_null(im->objective));
    json_object_object_add(o, "magnification", im->magnification > 0 ? json_number(im->magnification) : NULL);
    json_object_object_add(o, "aperture", im->aperture > 0 ? json_number(im->aperture) : NULL);
    json_object_object_add(o, "acquired", text_or_null(im->acquired));
}

/* As the file has them. */
static json_object *sample_order(const pel_image *im)
{
    static const char *const orders[2][2] = {{"rgb", "rgba"}, {"bgr", "bgra"}};
    return im->samples > 1 ? json_object_new_string(orders[im->file_is_bgr][im->samples > 3]) : NULL;
}

static json_object *image_json(const pel_image *im, int32_t index)
{
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "image", json_object_new_int(index));
    json_object_object_add(o, "name", json_object_new_string(im->name));
    json_object_object_add(o, "axes", json_object_new_string(axis_letters));
    json_object_object_add(o, "shape", json_axes(im->shape));
    json_object_object_add(o, "dtype", json_object_new_string(pel_dtype_name(im->dtype)));
    json_object_object_add(o, "significant_bits", im->significant_bits > 0 ? json_object_new_int(im->significant_bits) : NULL);
    json_object_object_add(o, "bytes", json_object_new_int64((int64_t)image_bytes(im)));
    json_object_object_add(o, "pixel_size", pixel_size_json(im));
    json_object_object_add(o, "origin", json_axes(im->origin));
    json_object_object_add(o, "place", place_json(im));
    json_object_object_add(o, "tile", json_axes(im->tile));
    json_object_object_add(o, "compression", json_object_new_string(im->compression));
    json_object_object_add(o, "samples", json_object_new_int(im->samples));
    json_object_object_add(o, "sample_order", sample_order(im));
    json_object_object_add(o, "planes", json_object_new_int64(im->planes));
    json_object_object_add(o, "planes_missing", json_object_new_int64(im->planes_missing));
    json_object *const channels = json_object_new_array();
    for (int64_t c = 0; c < im->shape[PEL_C]; c++)
        json_object_array_add(channels, channel_json(&im->channels[c]));
    json_object_object_add(o, "channels", channels);
    add_microscope(o, im);
    json_object *const notes = json_object_new_array();
    for (int32_t i = 0; i < im->note_count; i++)
        json_object_array_add(notes, note_json(&im->notes[i]));
    json_object_object_add(o, "notes", notes);
    return o;
}

static void print_json(const settings *s, const pel_source *source, int32_t first, int32_t last)
{
    json_object *const document = json_object_new_object();
    json_object_object_add(document, "path", json_object_new_string(s->path));
    json_object_object_add(document, "format", json_object_new_string(pel_source_format(source)));
    json_object_object_add(document, "image_count", json_object_new_int(pel_source_image_count(source)));
    json_object *const images = json_object_new_array();
    for (int32_t i = first; i < last; i++)
        json_object_array_add(images, image_json(pel_source_image(source, i), i));
    json_object_object_add(document, "images", images);
    json_print(document);
}

/* ---- for people ------------------------------------------------------------------------------------------------ */

static void print_label(const char *label)
{
    (void)printf("  %-12s ", label);
}

static void print_shape(const pel_image *im)
{
    char size[32];
    print_label("shape");
    for (int a = 0; a < PEL_AXES; a++)
        (void)printf("%s%c %" PRId64, a ? ", " : "", axis_letters[a], im->shape[a]);
    (void)printf("; %s", pel_dtype_name(im->dtype));
    if (im->significant_bits > 0 && im->significant_bits < (int32_t)(8 * pel_dtype_size(im->dtype)))
        (void)printf(" (%" PRId32 " bits used)", im->significant_bits);
    (void)printf("; %s\n", text_bytes(size, sizeof size, image_bytes(im)));
    if (im->samples > 1) {
        print_label("colour");
        (void)printf("%" PRId32 " samples a pixel, in the file as %s\n", im->samples, im->file_is_bgr ? "B, G, R" : "R, G, B");
    }
}

static void print_pixel_size(const pel_image *im)
{
    print_label("voxel");
    bool any = false;
    for (int a = PEL_Z; a <= PEL_X; a++)
        if (im->pixel_size[a] > 0) {
            (void)printf("%s%c %.6g µm", any ? ", " : "", axis_letters[a], im->pixel_size[a]);
            any = true;
        }
    if (im->pixel_size[PEL_T] > 0) {
        (void)printf("%severy %.6g s", any ? ", " : "", im->pixel_size[PEL_T]);
        any = true;
    }
    (void)printf("%s\n", any ? "" : "size unknown");
    if (im->pixel_size[PEL_X] > 0 && im->pixel_size[PEL_Y] > 0) {
        print_label("field");
        (void)printf("%.5g x %.5g", (double)im->shape[PEL_X] * im->pixel_size[PEL_X], (double)im->shape[PEL_Y] * im->pixel_size[PEL_Y]);
        if (im->pixel_size[PEL_Z] > 0 && im->shape[PEL_Z] > 1)
            (void)printf(" x %.5g", (double)im->shape[PEL_Z] * im->pixel_size[PEL_Z]);
        (void)printf(" µm (x, y%s)\n", im->pixel_size[PEL_Z] > 0 && im->shape[PEL_Z] > 1 ? ", z" : "");
    }
}

static void print_place(const pel_image *im)
{
    double step[PEL_AXES], place[PEL_AXES];
    bool any = false;
    pel_image_place(im, step, place);
    for (int a = PEL_Z; a <= PEL_X; a++)
        any = any || place[a] != 0;
    if (!any)
        return;
    print_label("place");
    for (int a = PEL_Z; a <= PEL_X; a++)
        (void)printf("%s%c %.8g%s", a > PEL_Z ? ", " : "", axis_letters[a], place[a], im->pixel_size[a] > 0 ? " µm" : "");
    (void)putchar('\n');
}

#define CHANNELS_SHOWN 32

static void print_channels(const pel_image *im, bool all)
{
    for (int64_t c = 0; c < im->shape[PEL_C]; c++) {
        const pel_channel *const ch = &im->channels[c];
        print_label(c == 0 ? "channels" : "");
        if (c >= CHANNELS_SHOWN && !all) {
            (void)printf("… and %" PRId64 " more (--all shows them)\n", im->shape[PEL_C] - c);
            return;
        }
        (void)printf("%2" PRId64 "  ", c);
        const int width = put_one_line(stdout, ch->name[0] ? ch->name : "(no name)");
        (void)printf("%*s #%06" PRIx32, width < 20 ? 20 - width : 0, "", ch->rgb & 0xFFFFFF);
        if (ch->excitation_nm > 0)
            (void)printf("  excitation %.4g nm", ch->excitation_nm);
        if (ch->emission_nm > 0)
            (void)printf("  emission %.4g nm", ch->emission_nm);
        (void)putchar('\n');
    }
}

static void print_storage(const pel_image *im)
{
    print_label("tiles");
    (void)printf("%" PRId64 " x %" PRId64 " (x, y)", im->tile[PEL_X], im->tile[PEL_Y]);
    for (int a = PEL_T; a <= PEL_Z; a++)
        if (im->tile[a] > (a == PEL_C ? im->samples : 1)) /* colour samples go together anyway */
            (void)printf(", %c %" PRId64, axis_letters[a], im->tile[a]);
    (void)printf("; compression ");
    (void)put_one_line(stdout, im->compression[0] ? im->compression : "unknown");
    (void)putchar('\n');
    print_label("planes");
    (void)printf("%" PRId64, im->planes);
    if (im->planes_missing > 0)
        (void)printf(", %" PRId64 " of them without a pixel in the file (they read as 0)", im->planes_missing);
    (void)putchar('\n');
}

static void print_microscope(const pel_image *im)
{
    if (im->objective[0] || im->magnification > 0 || im->aperture > 0) {
        print_label("objective");
        (void)put_one_line(stdout, im->objective[0] ? im->objective : "(no name)");
        if (im->magnification > 0)
            (void)printf(", %gx", im->magnification);
        if (im->aperture > 0)
            (void)printf(", NA %g", im->aperture);
        (void)putchar('\n');
    }
    if (im->acquired[0]) {
        print_label("acquired");
        (void)put_one_line(stdout, im->acquired);
        (void)putchar('\n');
    }
}

static void print_name(const pel_image *im, int32_t index)
{
    (void)printf("image %" PRId32 "%s", index, im->name[0] ? " \"" : "");
    (void)put_one_line(stdout, im->name);
    (void)printf("%s", im->name[0] ? "\"" : "");
}

static void print_image(const pel_image *im, int32_t index, bool all)
{
    (void)putchar('\n');
    print_name(im, index);
    (void)putchar('\n');
    print_shape(im);
    print_pixel_size(im);
    print_place(im);
    print_channels(im, all);
    print_storage(im);
    print_microscope(im);
    for (int32_t i = 0; i < im->note_count; i++) {
        print_label(i == 0 ? "note" : "");
        (void)put_one_line(stdout, im->notes[i].text);
        (void)putchar('\n');
    }
}

/* A plate has hundreds of positions that differ in name and place only: one line is enough for each further one. */
static bool same_kind(const pel_image *a, const pel_image *b)
{
    for (int i = 0; i < PEL_AXES; i++)
        if (a->pixel_size[i] != b->pixel_size[i])
            return false;
    return memcmp(a->shape, b->shape, sizeof a->shape) == 0 && a->dtype == b->dtype
           && strcmp(a->compression, b->compression) == 0 && a->planes_missing == b->planes_missing
           && a->note_count == b->note_count;
}

static void print_text(const settings *s, const pel_source *source, int32_t first, int32_t last)
{
    char size[32];
    const int32_t count = pel_source_image_count(source);
    double total = 0;
    for (int32_t i = 0; i < count; i++)
        total += image_bytes(pel_source_image(source, i));
    (void)put_one_line(stdout, s->path);
    (void)printf(": %s, %" PRId32 " image%s, %s of pixels\n", pel_source_format(source), count,
                 count == 1 ? "" : "s", text_bytes(size, sizeof size, total));
    const pel_image *shown = NULL;
    for (int32_t i = first; i < last; i++) {
        const pel_image *const im = pel_source_image(source, i);
        if (shown && !s->all && same_kind(shown, im)) {
            print_name(im, i);
            (void)printf(": as the one before\n");
        } else {
            print_image(im, i, s->all);
            shown = im;
        }
    }
}

static bool read_words(const verb *self, int argc, char **argv, settings *s, int *code)
{
    const operand operands[] = {{"IN", "a CZI or TIFF file, or an OME-Zarr folder", &s->path, false}};
    const option options[] = {
        {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &s->json, 0, 0},
        INPUT_OPTIONS(s->in),
        SELECT_OPTIONS((s->in).select),
        {OPTION_FLAG, "all", NULL, "every image and channel in full, also those that are as the one before", &s->all, 0, 0},
    };
    const command c = {.verb = self, .operands = operands, .operand_count = COUNT(operands), .options = options,
                       .option_count = COUNT(options),
                       .examples = "  pellucid info embryo.czi\n  pellucid info embryo.czi --json"};
    return command_parse(&c, argc, argv, code);
}

int verb_info(const verb *self, int argc, char **argv)
{
    settings s = {.in = {.image = -1}};
    int code = EXIT_DONE;
    pel_source *source = NULL;
    if (!read_words(self, argc, argv, &s, &code) || !input_open(self, &source, s.path, &s.in, 1, &code))
        return code;
    int32_t first = 0, last = 0;
    input_images(source, &s.in, &first, &last);
    if (s.json)
        print_json(&s, source, first, last);
    else
        print_text(&s, source, first, last);
    pel_source_destroy(source);
    return code;
}
