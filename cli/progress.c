/* SPDX-License-Identifier: MIT
 * See progress.h. */
#include "progress.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define TERMINAL_SECONDS 0.2
#define LOG_SECONDS 30.0

static double now_seconds(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t resident_bytes(void)
{
    FILE *const f = fopen("/proc/self/statm", "r");
    if (!f)
        return 0;
    int64_t total = 0, resident = 0;
    const int n = fscanf(f, "%" SCNd64 " %" SCNd64, &total, &resident); // NOLINT(cert-err34-c): the kernel writes it
    (void)fclose(f);
    return n == 2 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

progress progress_start(const char *label, bool quiet)
{
    return (progress){.label = label, .quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
}

/* What done and total count; NULL: bytes. */
static const char *unit_of(const char *phase)
{
    static const char *const units[][2] = {
        {"checksum", NULL}, {"compare", NULL}, {"blocks", "blocks"}, {"pyramid", "shards"}, {"audit", "files"},
        {"verify", "windows"}, {"noise", "samples"}, {"tuning", "samples"}, {"write", "tiles"},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(phase, units[i][0]) == 0)
            return units[i][1];
    return "steps";
}

/* Columns of the terminal: a line that wraps cannot be rewritten. */
static int terminal_columns(void)
{
    struct winsize size = {0};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

/* ", 12.3 MiB/s, 4 min 05 s left", without what is not known. */
static void rate_text(char *out, size_t size, const progress *p, const pel_progress *now, double seconds)
{
    char rate[32], left[32];
    const int64_t fresh = now->done - p->first_done, bytes = now->bytes - p->first_bytes;
    size_t n = 0;
    out[0] = '\0';
    if (bytes > 0 && seconds > 0)
        n = (size_t)snprintf(out, size, ", %s/s", text_bytes(rate, sizeof rate, (double)bytes / seconds));
    if (fresh > 0 && n < size)
        (void)snprintf(out + n, size - n, ", %s left",
                       text_duration(left, sizeof left, (double)(now->total - now->done) / (double)fresh * seconds));
}

static void print_line(const progress *p, const pel_progress *now, double seconds)
{
    char line[256], done[32], total[32], rate[80], memory[32];
    const char *const unit = unit_of(p->phase);
    if (unit) {
        (void)text_count(done, sizeof done, now->done);
        (void)text_count(total, sizeof total, now->total);
    } else {
        (void)text_bytes(done, sizeof done, (double)now->done);
        (void)text_bytes(total, sizeof total, (double)now->total);
    }
    rate_text(rate, sizeof rate, p, now, seconds);
    (void)text_bytes(memory, sizeof memory, (double)(now->memory_bytes > 0 ? now->memory_bytes : resident_bytes()));
    const double percent = now->total > 0 ? 100.0 * (double)now->done / (double)now->total : 100.0;
    const bool named = strcmp(p->label, p->phase) != 0 && strcmp(p->phase, "blocks") != 0;
    (void)snprintf(line, sizeof line, "%s%s%s: %s of %s%s%s (%.0f %%)%s, memory %s", p->label, named ? ", " : "",
                   named ? p->phase : "", done, total, unit ? " " : "", unit ? unit : "", percent, rate, memory);
    if (p->terminal) {
        terminal_send(stderr, "\r");
        (void)fprintf(stderr, "%.*s", terminal_columns(), line);
        terminal_send(stderr, "\033[K");
    } else {
        (void)fprintf(stderr, "%s\n", line);
    }
}

bool progress_show(void *arg, const pel_progress *now)
{
    progress *const p = arg;
    dashboard_tick(&p->page);
    if (p->quiet)
        return !stop_asked();
    const double time = now_seconds();
    const char *const phase = now->phase ? now->phase : "";
    if (p->started == 0 || strncmp(p->phase, phase, sizeof p->phase - 1) != 0) {
        (void)snprintf(p->phase, sizeof p->phase, "%s", phase);
        p->first_done = now->done;
        p->first_bytes = now->bytes;
        p->started = time;
        if (p->last == 0)
            p->last = time; /* short work shows no line at all */
    }
    if (time - p->last >= (p->terminal ? TERMINAL_SECONDS : LOG_SECONDS)) {
        p->last = time;
        p->shown = true;
        print_line(p, now, time - p->started);
    }
    return !stop_asked();
}

void progress_end(progress *p)
{
    if (p->terminal && p->shown)
        terminal_send(stderr, "\r\033[K");
    p->shown = false;
}
