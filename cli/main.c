/* SPDX-License-Identifier: MIT
 * pellucid, the command line: finds the verb and runs it. To add a verb: a file verb_NAME.c, its prototype in cli.h, its
 * line in the table below and in meson.build. */
#include "cli.h"
#include "options.h"
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int verb_version(const verb *self, int argc, char **argv)
{
    bool json = false;
    const option options[] = {{OPTION_FLAG, "json", NULL, "one JSON document on standard output", &json, 0, 0}};
    const command c = {.verb = self, .options = options, .option_count = COUNT(options)};
    int code = EXIT_DONE;
    if (!command_parse(&c, argc, argv, &code))
        return code;
    if (!json) {
        (void)puts("pellucid " PELLUCID_VERSION);
        return EXIT_DONE;
    }
    json_object *const document = json_object_new_object();
    json_object_object_add(document, "version", json_object_new_string(PELLUCID_VERSION));
    json_object_object_add(document, "commit", json_object_new_string(pel_commit()));
    json_print(document);
    return EXIT_DONE;
}

/* In the order in which people meet them. */
static const verb verbs[] = {
    {"info", "what is in a file", verb_info},
    {"noise", "gain and offset of each channel, estimated from the image", verb_noise},
    {"tune", "which settings the data choose, with the estimated error of each", verb_tune},
    {"denoise", "the main job: ND-SAFIR into OME-Zarr, block by block", verb_filter},
    {"gaussian", "Gaussian smoothing, any width, as in SciPy", verb_filter},
    {"dog", "difference of Gaussians: spots stay, background goes", verb_filter},
    {"median", "median or another percentile of a box around each voxel", verb_filter},
    {"convert", "no filter: another format, chunking, data type, with a pyramid", verb_filter},
    {"plan", "what one of these would do; writes nothing", verb_plan},
    {"work", "work on a run that exists, whole or a part of it: what array jobs call", verb_work},
    {"block", "work on some blocks of a run: what a cluster worker calls", verb_block},
    {"cluster", "spread a run over workers of a cluster, elastic and watched", verb_cluster},
    {"submit", "the script of an array job for Slurm, PBS, Grid Engine, LSF, HTCondor, Kubernetes, AWS Batch", verb_submit},
    {"status", "progress of a run", verb_status},
    {"report", "the page of a run: progress, workers, memory, failures, block map, settings", verb_report},
    {"verify", "audit of every file, and windows across block faces recomputed", verb_verify},
    {"bench", "how fast this machine denoises, and how long for a file of yours", verb_bench},
    {"compare", "differences of two images: PSNR, unequal voxels", verb_compare},
    {"checksum", "CRC-32 of the pixel values of any source", verb_checksum},
#if PELLUCID_PNG
    {"picture", "planes side by side as a PNG picture", verb_picture},
#endif
    {"phantom", "make an image whose truth is known", verb_phantom},
    {"version", "the version of this program", verb_version},
};

static void print_overview(FILE *to)
{
    (void)fprintf(to, "pellucid: neighbourhood filters over microscopy images larger than memory\n\n"
                      "usage: pellucid VERB … [--option value]\n\n");
    for (int i = 0; i < COUNT(verbs); i++)
        (void)fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    (void)fprintf(to, "  %-10s %s\n", "help", "this text; `help VERB` or `VERB --help` for one verb");
    (void)fprintf(to, "\nAxes are t c z y x; sizes take K M G T (1024-based); --json prints one JSON document.\n"
                      "Exit codes: 0 done, 1 failed or different, 2 wrong usage or refused, 3 input unreadable, 4 interrupted.\n");
}

static const verb *find_verb(const char *name)
{
    for (int i = 0; i < COUNT(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int no_such_verb(const char *word)
{
    const char *names[COUNT(verbs) + 1] = {"help"};
    for (int i = 0; i < COUNT(verbs); i++)
        names[i + 1] = verbs[i].name;
    const char *const near = nearest_name(word, names, COUNT(names));
    if (near)
        (void)fprintf(stderr, "pellucid: no verb '%s': did you mean '%s'? `pellucid help` lists them\n", word, near);
    else
        (void)fprintf(stderr, "pellucid: no verb '%s': `pellucid help` lists them\n", word);
    return EXIT_USAGE;
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stdout);
        return EXIT_DONE;
    }
    const verb *const v = find_verb(argv[1]);
    if (!v)
        return no_such_verb(argv[1]);
    char flag[] = "--help";
    char *words[] = {argv[1], flag, NULL};
    return v->run(v, 2, words);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    const char *const word = argv[1];
    if (strcmp(word, "--version") == 0) {
        (void)puts("pellucid " PELLUCID_VERSION);
        return EXIT_DONE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return help(argc - 1, argv + 1);
    const verb *const v = find_verb(word);
    return v ? v->run(v, argc - 1, argv + 1) : no_such_verb(word);
}

int main(int argc, char **argv)
{
    /* A reader of our output that goes away (`| head`) must not kill a run that is under way. */
    (void)signal(SIGPIPE, SIG_IGN);
    terminal_guard();
    int code = dispatch(argc, argv);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno != EPIPE)
            (void)fprintf(stderr, "pellucid: cannot write to standard output: %s\n", strerror(errno)); // NOLINT(concurrency-mt-unsafe)
        if (code == EXIT_DONE)
            code = EXIT_FAILED;
    }
    return code;
}
