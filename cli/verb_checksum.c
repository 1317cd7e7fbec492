/* SPDX-License-Identifier: MIT
 * pellucid checksum: CRC-32 of the pixel values of any source. Two files with the same numbers hold the same pixels,
 * whatever their format, compression and tiling. */
#include "input.h"
#include "limits.h"
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct job {
    const char *path;
    input_options in;
    int64_t threads, memory;
    pel_limits limits;
    bool json, planes, quiet;
    /* of the image under way */
    progress line;
    int32_t image;
    json_object *plane_list;
} job;

static json_object *crc_json(uint32_t crc)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%08" PRIx32, crc);
    return json_object_new_string(text);
}

static bool on_progress(void *arg, const pel_progress *now)
{
    job *const j = arg;
    return progress_show(&j->line, now);
}

static void on_plane(void *arg, int64_t t, int64_t c, int64_t z, uint32_t crc)
{
    job *const j = arg;
    if (!j->planes)
        return;
    if (!j->json) {
        progress_end(&j->line);
        (void)printf("%08" PRIx32 "  image %" PRId32 " t %" PRId64 " c %" PRId64 " z %" PRId64 "\n", crc, j->image, t, c, z);
        return;
    }
    json_object *const o = json_object_new_object();
    json_object_object_add(o, "t", json_object_new_int64(t));
    json_object_object_add(o, "c", json_object_new_int64(c));
    json_object_object_add(o, "z", json_object_new_int64(z));
    json_object_object_add(o, "crc32", crc_json(crc));
    json_object_array_add(j->plane_list, o);
}

/* One image; in JSON its object goes to `images`. */
static bool one_image(job *j, pel_source *source, json_object *images, pel_error *err)
{
    const pel_image *const im = pel_source_image(source, j->image);
    const pel_scan scan = {.threads = (int32_t)j->threads, .memory_bytes = j->memory, .limits = &j->limits, .on_progress = on_progress, .on_plane = on_plane, .arg = j};
    json_object *const o = json_object_new_object();
    j->plane_list = json_object_new_array();
    json_object_object_add(o, "image", json_object_new_int(j->image));
    json_object_object_add(o, "name", json_object_new_string(im->name));
    json_object_array_add(images, o);
    if (j->planes)
        json_object_object_add(o, "planes", j->plane_list);
    uint32_t crc = 0;
    const bool ok = pel_checksum(&crc, source, j->image, &scan, err);
    progress_end(&j->line);
    if (ok && !j->json) {
        (void)printf("%08" PRIx32 "  image %" PRId32 "%s", crc, j->image, im->name[0] ? " " : "");
        (void)put_one_line(stdout, im->name);
        (void)putchar('\n');
    }
    json_object_object_add(o, "crc32", crc_json(crc));
    if (!j->planes)
        json_object_put(j->plane_list);
    return ok;
}

static int run(const verb *self, job *j, pel_source *source)
{
    int32_t last = 0;
    pel_error err = {0};
    input_images(source, &j->in, &j->image, &last);
    json_object *const document = json_object_new_object(), *const images = json_object_new_array();
    json_object_object_add(document, "path", json_object_new_string(j->path));
    json_object_object_add(document, "format", json_object_new_string(pel_source_format(source)));
    json_object_object_add(document, "images", images);
    j->line = progress_start("checksum", j->quiet);
    bool ok = true;
    for (; ok && j->image < last; j->image++)
        ok = one_image(j, source, images, &err);
    if (ok && j->json)
        json_print(document);
    else
        json_object_put(document);
    return ok ? EXIT_DONE : say_error(self, &err, true);
}

int verb_checksum(const verb *self, int argc, char **argv)
{
    job j = {.in = {.image = -1}, .limits = limits_here()};
    j.threads = j.limits.threads;
    const operand operands[] = {{"IN", "a CZI or TIFF file, or an OME-Zarr folder", &j.path, false}};
    const option options[] = {
        {OPTION_FLAG, "planes", NULL, "also every plane (one t, c, z)", &j.planes, 0, 0},
        {OPTION_FLAG, "json", NULL, "one JSON document on standard output", &j.json, 0, 0},
        INPUT_OPTIONS(j.in),
        SELECT_OPTIONS((j.in).select),
        {OPTION_INTEGER, "threads", "N", "readers at once (" THREADS_HELP ")", &j.threads, 1, 1024},
        MEMORY_OPTION(j.memory),
        {OPTION_FLAG, "quiet", NULL, "no progress line", &j.quiet, 0, 0},
    };
    const command c = {.verb = self, .operands = operands, .operand_count = COUNT(operands), .options = options,
                       .option_count = COUNT(options),
                       .text = "The values count in the order t, c, z, y, x (x fastest), little endian, whatever the file's own "
                               "order, compression and tiling. Colour samples that a file interleaves stay interleaved, in the "
                               "file's order.",
                       .examples = "  pellucid checksum embryo.czi\n  pellucid checksum embryo.czi --planes --json"};
    int code = EXIT_DONE;
    pel_source *source = NULL;
    if (!command_parse(&c, argc, argv, &code) || !input_open(self, &source, j.path, &j.in, j.threads, &code))
        return code;
    stop_install();
    limits_warn(self, &j.limits, j.memory, false);
    code = run(self, &j, source);
    input_close(self, source);
    return code;
}
