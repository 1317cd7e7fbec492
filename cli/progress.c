/* SPDX-License-Identifier: MIT
 * See progress.h. */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
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

progress progress_start(const char *label, const char *unit, bool quiet)
{
    const double now = now_seconds();
    return (progress){.label = label, .unit = unit, .quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1,
                      .started = now, .last = now};
}

static void print_line(const progress *p, int64_t done, int64_t total, int64_t bytes, int64_t memory, double seconds)
{
    char a[32], b[32], rate[32], eta[32], mem[32];
    if (p->unit) {
        (void)text_count(a, sizeof a, done);
        (void)text_count(b, sizeof b, total);
    } else {
        (void)text_bytes(a, sizeof a, (double)done);
        (void)text_bytes(b, sizeof b, (double)total);
    }
    const double fresh = (double)(done - p->first_done);
    const double percent = total > 0 ? 100.0 * (double)done / (double)total : 100.0;
    (void)text_bytes(rate, sizeof rate, seconds > 0 ? (double)(bytes - p->first_bytes) / seconds : 0);
    if (fresh > 0)
        (void)text_duration(eta, sizeof eta, (double)(total - done) / fresh * seconds);
    else
        (void)snprintf(eta, sizeof eta, "?");
    (void)text_bytes(mem, sizeof mem, (double)(memory > 0 ? memory : resident_bytes()));
    (void)fprintf(stderr, "%s%s: %s of %s%s%s (%.0f %%), %s/s, %s left, memory %s%s", p->terminal ? "\r" : "", p->label,
                  a, b, p->unit ? " " : "", p->unit ? p->unit : "", percent, rate, eta, mem,
                  p->terminal ? "\033[K" : "\n");
    (void)fflush(stderr);
}

void progress_show(progress *p, int64_t done, int64_t total, int64_t bytes, int64_t memory)
{
    if (p->quiet)
        return;
    if (!p->begun) {
        p->begun = true;
        p->first_done = done;
        p->first_bytes = bytes;
    }
    const double now = now_seconds();
    if (now - p->last < (p->terminal ? TERMINAL_SECONDS : LOG_SECONDS))
        return;
    p->last = now;
    p->shown = true;
    print_line(p, done, total, bytes, memory, now - p->started);
}

void progress_end(progress *p)
{
    if (p->terminal && p->shown)
        (void)fputs("\r\033[K", stderr);
    p->shown = false;
}
