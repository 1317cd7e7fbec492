/* SPDX-License-Identifier: MIT
 * What the files of the command line share: the table of verbs, exit codes, messages, JSON, text of quantities.
 * The command line includes pellucid.h and its own headers, nothing else of the project. */
#ifndef PELLUCID_CLI_H
#define PELLUCID_CLI_H

#include "pellucid.h"

#include <json.h>
#include <stdarg.h>
#include <stdio.h>

enum exit_code {
    EXIT_DONE = 0,        /* done, and audited where there is something to audit; compare: equal */
    EXIT_FAILED = 1,      /* the run failed or has holes; compare: different */
    EXIT_USAGE = 2,       /* wrong usage, or refused before anything was done */
    EXIT_UNREADABLE = 3,  /* the input cannot be read */
    EXIT_INTERRUPTED = 4, /* asked to stop; the same command goes on */
};

/* One verb: one file cli/verb_NAME.c, one line in the table of main.c. argv[0] is the verb; returns an exit code. */
typedef struct verb {
    const char *name, *summary;
    int (*run)(const struct verb *self, int argc, char **argv);
} verb;

int verb_bench(const verb *self, int argc, char **argv);
int verb_block(const verb *self, int argc, char **argv);
int verb_checksum(const verb *self, int argc, char **argv);
int verb_cluster(const verb *self, int argc, char **argv);
int verb_compare(const verb *self, int argc, char **argv);
int verb_filter(const verb *self, int argc, char **argv);
int verb_info(const verb *self, int argc, char **argv);
int verb_noise(const verb *self, int argc, char **argv);
int verb_plan(const verb *self, int argc, char **argv);
int verb_submit(const verb *self, int argc, char **argv);
int verb_report(const verb *self, int argc, char **argv);
int verb_status(const verb *self, int argc, char **argv);
int verb_tune(const verb *self, int argc, char **argv);
int verb_verify(const verb *self, int argc, char **argv);
int verb_work(const verb *self, int argc, char **argv);
int verb_phantom(const verb *self, int argc, char **argv);
int verb_picture(const verb *self, int argc, char **argv);

/* ---- messages: to standard error, "pellucid VERB: …" ------------------------------------------------------- */

void say(const verb *self, const char *fmt, ...) PEL_PRINTF(2, 3);
void say_args(const verb *self, const char *fmt, va_list args) PEL_PRINTF(2, 0);

/* Says err's text and returns the exit code that goes with it: `while_reading` when only the input was touched. */
int say_error(const verb *self, const pel_error *err, bool while_reading);

/* Sets code and text and returns false, as the library's functions do. */
bool set_error(pel_error *err, int32_t code, const char *fmt, ...) PEL_PRINTF(3, 4);

/* ---- JSON, in UTF-8 whatever the names in it are ------------------------------------------------------------------------------- */

/* The shortest text that reads back as the same number; null where it is no finite number. */
json_object *json_number(double value);
json_object *json_axes(const int64_t values[PEL_AXES]); /* {"t": …, "c": …, "z": …, "y": …, "x": …} */
#define JSON_PRETTY (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)
char *json_text(json_object *document, int flags);       /* to be freed; NULL: no memory */
void json_write(FILE *to, json_object *document, int flags); /* takes it; a line end behind */
void json_print(json_object *document);                  /* takes it; to standard output */

/* ---- members of JSON that others wrote; of an object that is not there, too ------------------------------------------ */

const char *member_text(const json_object *o, const char *name); /* borrowed; "" where there is none */
int64_t member_integer(const json_object *o, const char *name);  /* 0 where there is none */

/* Text from a file or a path, for a person: a line feed becomes \u000a, so that a name cannot pass for a line of ours; for
 * other control characters see terminal.h. Returns the bytes written. */
int put_one_line(FILE *to, const char *text);

/* ---- quantities as a person reads them; the text is returned -------------------------------------------------- */

const char *text_bytes(char *out, size_t size, double bytes);     /* "1.46 GiB" */
const char *text_duration(char *out, size_t size, double seconds); /* "2 h 05 min" */
const char *text_count(char *out, size_t size, int64_t n);        /* "1 203 118" */
extern const char axis_letters[PEL_AXES + 1];                      /* "tczyx" */

/* ---- the books of a run ------------------------------------------------------------------------------------------ */

/* A file among them ("log", "jobs.jsonl"), of the run named by its output or by their folder; returned, too. "" where the
 * name is too long. */
#define RUN_PATH 4200
const char *run_file(char out[RUN_PATH], const char *run, const char *name);

/* Such a file opened for writing, never through a link, in folders that are made: -1 or NULL with the reason. */
int run_open(const char *run, const char *name, int flags, pel_error *err);
/* To read; NULL where there is no such regular file. */
FILE *run_read(const char *run, const char *name);
json_object *run_document(const char *run, const char *name); /* the same as JSON; NULL also where it is none */

FILE *run_append(const char *run, const char *name, pel_error *err);
FILE *run_write(const char *run, const char *name, pel_error *err);

/* ---- being asked to stop (Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2) ----------------------------------------------------------------- */

void stop_install(void); /* from now on the first signal sets the flag, the second one ends the process */
bool stop_asked(void);
int stop_signal(void);
const char *stop_words(void); /* "Ctrl-C", or which signal and what it means; "": none came */ /* the first one that asked; 0: none */

#endif
