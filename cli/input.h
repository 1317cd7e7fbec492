/* SPDX-License-Identifier: MIT
 * Opening inputs: the options that every verb with an input takes, and the call that obeys them. */
#ifndef PELLUCID_CLI_INPUT_H
#define PELLUCID_CLI_INPUT_H

#include "options.h"

/* A part of the input, as typed: a number or a half-open range each. */
typedef struct selection {
    const char *position, *channel, *time, *z, *y, *x;
    char text[256]; /* as pel_open_options takes it; filled by selection_text */
} selection;

#define SELECT_OPTIONS(s)                                                                                              \
    {OPTION_TEXT, "position", "N|A:B", "only these images (scenes, positions, series), from 0", &(s).position, 0, 0},  \
    {OPTION_TEXT, "channel", "N|A:B", "only these channels", &(s).channel, 0, 0},                                     \
    {OPTION_TEXT, "time", "N|A:B", "only these time points", &(s).time, 0, 0},                                        \
    {OPTION_TEXT, "z", "N|A:B", "only these planes: 10:200 is 10 to 199", &(s).z, 0, 0},                              \
    {OPTION_TEXT, "y", "A:B", "only these rows", &(s).y, 0, 0},                                                       \
    {OPTION_TEXT, "x", "A:B", "only these columns", &(s).x, 0, 0}

/* Keys, endpoint and proxies from the environment, as other programs for S3 and HTTP take them. */
pel_remote remote_from_environment(void);

/* For pel_open_options.select; NULL where nothing was selected. */
const char *selection_text(selection *s);

typedef struct input_options {
    const char *axes, *pixel_size;
    selection select;
    int64_t image, level; /* image -1: all */
    const char *damaged;
    bool recover, mask, strict, flip;
} input_options;

#define STRICT_HELP "refuse an input with pixels missing, left out or in doubt (`info` lists its notes)"
#define DAMAGED_HELP "what a damaged tile, strip or chunk does: refuse, or zero: it reads as zero and is counted (default: zero with --recover, else refuse)"
#define FLIP_HELP "CZI: turn tiles of streamed camera data (compression 1000 and more), which some cameras store upside down"
#define PIXEL_SIZE_HELP "z=1,y=0.5,x=0.5 in micrometres (t in seconds), before what the file says"

#define INPUT_AXES_HELP "bare arrays: a letter of ptczyx an axis; TIFF pages: tyx, or sizes t=4,c=3,z=5, the slowest first"

/* For a verb's table of options. */
#define INPUT_OPTIONS(in)                                                                                          \
    {OPTION_INTEGER, "image", "N", "only this image (scene, position, series), from 0", &(in).image, 0, INT32_MAX}, \
    {OPTION_INTEGER, "level", "N", "Zarr: this resolution level (0 = full)", &(in).level, 0, 64},                   \
    {OPTION_TEXT, "input-axes", "AXES", INPUT_AXES_HELP, &(in).axes, 0, 0}, \
    {OPTION_TEXT, "pixel-size", "SIZES", PIXEL_SIZE_HELP, &(in).pixel_size, 0, 0},                                   \
    {OPTION_FLAG, "recover", NULL, "CZI: walk the segments of a file whose directory is missing or damaged", &(in).recover, 0, 0}, \
    {OPTION_FLAG, "mask", NULL, "CZI: leave out pixels that the file's valid-pixel masks rule out", &(in).mask, 0, 0}, \
    {OPTION_TEXT, "damaged", "RULE", DAMAGED_HELP, &(in).damaged, 0, 0},                                             \
    {OPTION_FLAG, "flip-streamed", NULL, FLIP_HELP, &(in).flip, 0, 0},                                               \
    {OPTION_FLAG, "strict", NULL, STRICT_HELP, &(in).strict, 0, 0}

/* The same for verbs that work with runs, which have no --image. */
#define RUN_INPUT_OPTIONS(in)                                                                           \
    SELECT_OPTIONS((in).select),                                                                         \
    {OPTION_INTEGER, "level", "N", "Zarr: resolution level to read", &(in).level, 0, 64},                \
    {OPTION_TEXT, "input-axes", "AXES", INPUT_AXES_HELP, &(in).axes, 0, 0},                              \
    {OPTION_TEXT, "pixel-size", "SIZES", PIXEL_SIZE_HELP, &(in).pixel_size, 0, 0},                       \
    {OPTION_FLAG, "recover", NULL, "CZI: walk a file whose directory is damaged", &(in).recover, 0, 0},  \
    {OPTION_FLAG, "mask", NULL, "CZI: leave out what valid-pixel masks rule out", &(in).mask, 0, 0},     \
    {OPTION_TEXT, "damaged", "RULE", DAMAGED_HELP, &(in).damaged, 0, 0},                                 \
    {OPTION_FLAG, "flip-streamed", NULL, FLIP_HELP, &(in).flip, 0, 0},                                   \
    {OPTION_FLAG, "strict", NULL, STRICT_HELP, &(in).strict, 0, 0}

/* What the options say, and the remote: borrowed, as long as the options live. */
pel_open_options input_how(input_options *in, const pel_remote *remote);

/* Opens for `threads` readers and checks in->image. On false the reason was said and *code is what the verb returns. */
bool input_open(const verb *self, pel_source **out, const char *path, const input_options *in, int64_t threads, int *code);

/* Closes it (NULL: nothing) and says on standard error what was damaged in it and read as zero. */
void input_close(const verb *self, pel_source *source);

/* The images that in->image means: [*first, *last). */
void input_images(const pel_source *source, const input_options *in, int32_t *first, int32_t *last);

#endif
