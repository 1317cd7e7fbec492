/* SPDX-License-Identifier: MIT
 * See cli.h: messages, JSON and quantities. */
#include "cli.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char axis_letters[PEL_AXES + 1] = "tczyx";

void say_args(const verb *self, const char *fmt, va_list args)
{
    char *text = NULL;
    const int n = vasprintf(&text, fmt, args);
    (void)fprintf(stderr, "pellucid %s: ", self->name);
    (void)put_one_line(stderr, n < 0 ? "no memory for the message" : text);
    (void)fputc('\n', stderr);
    if (n >= 0)
        free(text);
}

void say(const verb *self, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_args(self, fmt, args);
    va_end(args);
}

int say_error(const verb *self, const pel_error *err, bool while_reading)
{
    say(self, "%s", err->text[0] ? err->text : "failed without a reason: a bug of pellucid");
    switch (err->code) {
    case PEL_INTERRUPTED:
        return EXIT_INTERRUPTED;
    case PEL_ARGUMENT:
    case PEL_REFUSED:
        return EXIT_USAGE;
    case PEL_NO_MEMORY: /* that of the input's reader: more than the limit */
        return while_reading ? EXIT_USAGE : EXIT_FAILED;
    default:
        return while_reading ? EXIT_UNREADABLE : EXIT_FAILED;
    }
}

bool set_error(pel_error *err, int32_t code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    err->code = code;
    (void)vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return false;
}

json_object *json_number(double value)
{
    if (!isfinite(value))
        return NULL; /* json-c's null */
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return json_object_new_double_s(value, text);
}

json_object *json_axes(const int64_t values[PEL_AXES])
{
    json_object *const o = json_object_new_object();
    for (int a = 0; a < PEL_AXES; a++) {
        const char name[2] = {axis_letters[a], '\0'};
        json_object_object_add(o, name, json_object_new_int64(values[a]));
    }
    return o;
}

char *json_text(json_object *document, int flags)
{
    const char *const made = json_object_to_json_string_ext(document, flags);
    char *const text = made ? strdup(made) : NULL;
    if (text)
        pel_text_to_utf8(text);
    return text;
}

void json_write(FILE *to, json_object *document, int flags)
{
    char *const text = json_text(document, flags);
    if (text)
        (void)fprintf(to, "%s\n", text);
    free(text);
    json_object_put(document);
}

void json_print(json_object *document)
{
    json_write(stdout, document, JSON_PRETTY);
}

static json_object *member(const json_object *o, const char *name)
{
    json_object *v = NULL;
    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v) ? v : NULL;
}

const char *member_text(const json_object *o, const char *name)
{
    json_object *const v = member(o, name);
    const char *const text = v ? json_object_get_string(v) : NULL;
    return text ? text : "";
}

int64_t member_integer(const json_object *o, const char *name)
{
    return json_object_get_int64(member(o, name));
}

int put_one_line(FILE *to, const char *text)
{
    int written = 0;
    for (const char *end = strchr(text, '\n'); end; end = strchr(text, '\n')) {
        written += fprintf(to, "%.*s\\u000a", (int)(end - text), text);
        text = end + 1;
    }
    return written + fprintf(to, "%s", text);
}

const char *text_bytes(char *out, size_t size, double bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    int unit = 0;
    while (bytes >= 1024 && unit < 6) {
        bytes /= 1024;
        unit++;
    }
    const int digits = unit == 0 || bytes >= 100 ? 0 : bytes >= 10 ? 1 : 2;
    (void)snprintf(out, size, "%.*f %s", digits, bytes, units[unit]);
    return out;
}

const char *text_duration(char *out, size_t size, double seconds)
{
    if (!(seconds < 1e9)) {
        (void)snprintf(out, size, "unknown");
        return out;
    }
    const int64_t s = (int64_t)(seconds + 0.5);
    if (seconds < 10)
        (void)snprintf(out, size, "%.1f s", seconds);
    else if (s < 60)
        (void)snprintf(out, size, "%" PRId64 " s", s);
    else if (s < 3600)
        (void)snprintf(out, size, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, size, "%" PRId64 " h %02" PRId64 " min", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, size, "%" PRId64 " d %02" PRId64 " h", s / 86400, s / 3600 % 24);
    return out;
}

const char *text_count(char *out, size_t size, int64_t n)
{
    char digits[32];
    const int count = snprintf(digits, sizeof digits, "%" PRId64, n);
    size_t k = 0;
    for (int i = 0; i < count && k + 2 < size; i++) {
        if (i > 0 && (count - i) % 3 == 0 && digits[i - 1] != '-')
            out[k++] = ' ';
        out[k++] = digits[i];
    }
    if (size > 0)
        out[k] = '\0';
    return out;
}

const char *run_file(char out[RUN_PATH], const char *run, const char *name)
{
    if (!pel_run_folder(out, RUN_PATH, run, NULL))
        out[0] = '\0';
    const size_t n = strlen(out);
    if (n == 0 || (size_t)snprintf(out + n, RUN_PATH - n, "/%s", name) >= RUN_PATH - n)
        out[0] = '\0';
    return out;
}

int run_open(const char *run, const char *name, int flags, pel_error *err)
{
    char folder[RUN_PATH];
    return pel_run_folder(folder, sizeof folder, run, err) ? pel_run_file(folder, name, flags, err) : -1;
}

FILE *run_read(const char *run, const char *name)
{
    char path[RUN_PATH];
    struct stat st;
    const int fd = open(run_file(path, run, name), O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe in its place makes nobody wait */
    FILE *const f = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    if (fd >= 0 && !f)
        (void)close(fd);
    return f;
}

json_object *run_document(const char *run, const char *name)
{
    FILE *const f = run_read(run, name);
    json_object *const o = f ? json_object_from_fd(fileno(f)) : NULL;
    if (f)
        (void)fclose(f);
    return o;
}

static FILE *run_stream(const char *run, const char *name, int flags, pel_error *err)
{
    const int fd = run_open(run, name, O_WRONLY | O_CREAT | flags, err);
    FILE *const f = fd >= 0 ? fdopen(fd, flags == O_APPEND ? "a" : "w") : NULL;
    if (fd >= 0 && !f)
        (void)close(fd);
    return f;
}

FILE *run_append(const char *run, const char *name, pel_error *err) { return run_stream(run, name, O_APPEND, err); }
FILE *run_write(const char *run, const char *name, pel_error *err) { return run_stream(run, name, O_TRUNC, err); }

/* ---- stop ------------------------------------------------------------------------------------------------------ */

static volatile sig_atomic_t stop_number;

static void on_signal(int number)
{
    stop_number = stop_number != 0 ? stop_number : number;
}

void stop_install(void)
{
    /* Reset after the first one: whoever presses Ctrl-C twice means it. Every state on disk survives that, too. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGUSR1, &action, NULL); /* the early signals of schedulers: Slurm --signal, Grid Engine -notify */
    (void)sigaction(SIGUSR2, &action, NULL);
}

bool stop_asked(void)
{
    return stop_number != 0;
}

int stop_signal(void)
{
    return stop_number;
}

const char *stop_words(void)
{
    switch (stop_number) {
    case 0:
        return "";
    case SIGINT:
        return "stopped by Ctrl-C (SIGINT)";
    case SIGTERM:
        return "asked to end (SIGTERM), as by kill or by a scheduler that cancels the job";
    default:
        return "stopped by the scheduler's early signal (SIGUSR1, SIGUSR2): the job's time was nearly up; what is done stays: submit again";
    }
}
