/* SPDX-License-Identifier: MIT
 * pellucid phantom: a made image whose truth is known, of any size, without holding it in memory. */
#include "limits.h"
#include "options.h"
#include "progress.h"

#include <stdio.h>
#include <string.h>

typedef struct job {
    pel_phantom_options options;
    const char *path, *noise, *dtype, *truth;
    int64_t scenes, seed, threads, tiles[PEL_AXES];
    bool computed, quiet, overwrite;
} job;

static bool read_words(const verb *self, int argc, char **argv, job *j, int *code)
{
    pel_phantom_options *const p = &j->options;
    const operand operands[] = {{"OUT", "a file to write: NAME.czi or NAME.tif; left out with --computed", &j->path, true}};
    const option options[] = {
        {OPTION_AXES, "size", "AXES", "voxels, e.g. t=1,c=2,z=64,y=2048,x=2048 (default z=1,y=512,x=512)", p->size, 1, 1 << 30},
        {OPTION_INTEGER, "scenes", "N", "images in the file, each with objects of its own (default 1)", &j->scenes, 1, 1000},
        {OPTION_INTEGER, "seed", "N", "the same seed gives the same image, bit for bit (default 1)", &j->seed, 0, 9e15},
        {OPTION_TEXT, "dtype", "TYPE", "uint8, uint16 (default) or float32", &j->dtype, 0, 0},
        {OPTION_TEXT, "noise", "G,O", "gain,offset of the camera: variance = gain x mean + offset (default 3.92,-388)", &j->noise, 0, 0},
        {OPTION_NUMBER, "background", "GREY", "grey value without light (default 100)", &p->background, 0, 1e9},
        {OPTION_NUMBER, "brightness", "FACTOR", "on the expected photon counts (default 1)", &p->brightness, 1e-6, 1e6},
        {OPTION_LENGTHS, "voxel", "SIZES", "t in seconds, z y x in micrometres (default t=1,z=0.3,y=0.1,x=0.1)", p->pixel_size, 0, 1e9},
        {OPTION_AXES, "origin", "AXES", "CZI: coordinates of the first voxel, e.g. y=-100,x=50", p->origin, -(1 << 30), 1 << 30},
        {OPTION_AXES, "tiles", "AXES", "CZI mosaic, TIFF tiles: e.g. y=512,x=512", j->tiles, 0, 1 << 20},
        {OPTION_INTEGER, "overlap", "N", "CZI: voxels that neighbouring tiles share (default 0)", &p->overlap, 0, 1 << 20},
        {OPTION_TEXT, "compression", "NAME", "raw (default), CZI: zstd1, TIFF: deflate", &p->compression, 0, 0},
        {OPTION_TEXT, "truth", "OUT", "also the image without noise, as float32: NAME.tif or NAME.ome.zarr", &j->truth, 0, 0},
        {OPTION_FLAG, "computed", NULL, "write nothing; print the name under which every verb computes this image (phantom-truth: instead of phantom: for its truth)", &j->computed, 0, 0},
        OVERWRITE_OPTION(j->overwrite),
        {OPTION_INTEGER, "threads", "N", THREADS_HELP, &j->threads, 1, 1024},
        {OPTION_FLAG, "quiet", NULL, "no progress line", &j->quiet, 0, 0},
    };
    const command c = {.verb = self, .operands = operands, .operand_count = COUNT(operands), .options = options,
                       .option_count = COUNT(options),
                       .text = "Smooth background, filaments and nuclei that move in time, seen by a camera with Poisson and "
                               "Gaussian noise. For trying things out, for tests and for measurements: the truth is known.",
                       .examples = "  pellucid phantom demo.czi --size c=2,z=32,y=1024,x=1024 --tiles y=512,x=512 --overlap 32\n"
                                   "  pellucid phantom demo.tif --size z=16 --noise 3.92,-388 --truth truth.tif\n"
                                   "  pellucid info \"$(pellucid phantom --computed --size z=1000,y=4096,x=4096)\""};
    return command_parse(&c, argc, argv, code);
}

/* "gain,offset" */
static bool parse_noise(const char *text, pel_phantom_options *p)
{
    const char *why = NULL;
    char gain[40];
    const char *const comma = strchr(text, ',');
    if (!comma || (size_t)(comma - text) >= sizeof gain)
        return false;
    (void)snprintf(gain, sizeof gain, "%.*s", (int)(comma - text), text);
    return parse_number(gain, &p->gain, &why) && parse_number(comma + 1, &p->offset, &why);
}

static int settle(const verb *self, job *j)
{
    pel_phantom_options *const p = &j->options;
    if (j->noise && !parse_noise(j->noise, p))
        return command_wrong(self, "--noise '%s': expected gain,offset such as 3.92,-388", j->noise);
    if (j->dtype && !pel_dtype_parse(&p->dtype, j->dtype))
        return command_wrong(self, "--dtype '%s': expected uint8, uint16 or float32", j->dtype);
    if (!j->computed && !j->path)
        return command_wrong(self, "OUT is missing: a file to write (or --computed)");
    p->scenes = (int32_t)j->scenes;
    p->seed = (uint64_t)j->seed;
    p->threads = (int32_t)j->threads;
    p->tile_y = j->tiles[PEL_Y];
    p->tile_x = j->tiles[PEL_X];
    return EXIT_DONE;
}

static int print_name(const verb *self, const job *j)
{
    char name[512];
    pel_error err = {0};
    if (!pel_phantom_name(name, sizeof name, &j->options, &err))
        return say_error(self, &err, false);
    (void)puts(name);
    return EXIT_DONE;
}

static int write_file(const verb *self, const job *j, const char *path, bool truth)
{
    pel_error err = {0};
    pel_phantom_options options = j->options;
    if (truth) {
        options.truth = true;
        options.dtype = PEL_F32;
        options.tile_y = options.tile_x = options.overlap = 0; /* they are the image's; the truth has its own format */
        options.compression = NULL;
    }
    progress line = progress_start(truth ? "phantom, truth" : "phantom", j->quiet);
    const bool ok = pel_phantom_write(path, &options, progress_show, &line, &err);
    progress_end(&line);
    return ok ? EXIT_DONE : say_error(self, &err, false);
}

static bool is_zarr(const char *path)
{
    const size_t n = strlen(path);
    return n >= 5 && strcmp(path + n - 5, ".zarr") == 0;
}

/* The computed truth, converted: a run as any other, whose settings and ledger are of no further use here. */
static bool plan_truth_zarr(pel_run **run, const job *j, pel_error *err)
{
    char name[512];
    pel_phantom_options truth = j->options;
    truth.truth = true;
    truth.dtype = PEL_F32;
    const pel_limits limits = limits_here();
    const pel_run_options options = {.filter = "identity", .input = name, .output = j->truth, .threads = (int32_t)j->threads, .limits = &limits};
    return pel_phantom_name(name, sizeof name, &truth, err) && pel_run_plan(run, &options, NULL, NULL, err);
}

static int write_both(const verb *self, const job *j)
{
    pel_error err = {0};
    pel_run *run = NULL;
    if (j->truth && is_zarr(j->truth) && !plan_truth_zarr(&run, j, &err))
        return say_error(self, &err, false);
    int code = write_file(self, j, j->path, false);
    if (code == EXIT_DONE && j->truth && !run)
        code = write_file(self, j, j->truth, true);
    progress line = progress_start("phantom, truth", j->quiet);
    if (code == EXIT_DONE && run && !pel_run_work(run, progress_show, &line, &err))
        code = say_error(self, &err, false);
    progress_end(&line);
    pel_run_destroy(run);
    return code;
}

/* Before anything is made: an hour later would be late. The image is no input of the truth, but neither may replace the other. */
static int check_files(const verb *self, const job *j)
{
    pel_error err = {0};
    const char *const names[] = {j->path, j->truth};
    for (int i = 0; i < 2; i++) {
        if (!names[i] || (i == 1 && is_zarr(names[i])))
            continue;
        const pel_file_rule rule = {.kind = "phantom", .inputs = names, .input_count = i, .overwrite = j->overwrite};
        if (!pel_file_check(names[i], &rule, &err))
            return say_error(self, &err, false);
    }
    return EXIT_DONE;
}

int verb_phantom(const verb *self, int argc, char **argv)
{
    job j = {.options = PEL_PHANTOM_DEFAULTS, .scenes = 1, .seed = 1, .threads = limits_here().threads};
    int code = EXIT_DONE;
    if (!read_words(self, argc, argv, &j, &code))
        return code;
    code = settle(self, &j);
    if (code != EXIT_DONE)
        return code;
    if (j.computed)
        return print_name(self, &j);
    code = check_files(self, &j);
    if (code != EXIT_DONE)
        return code;
    stop_install();
    return write_both(self, &j);
}
