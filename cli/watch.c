/* SPDX-License-Identifier: MIT
 * See watch.h. What is shown is gathered by the dashboard's room, so that page and terminal say the same. */
#include "watch.h"

#include "facts.h"
#include "options.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define EVERY_SECONDS 2
#define BAR 32
#define WORKERS_SHOWN 6
#define FAILURES_SHOWN 3

typedef struct {
    bool terminal;
    int columns, lines; /* lines: of the picture that stands there */
} screen;

/* One line, cut where the terminal ends, so that the next picture finds its beginning. Control characters, which texts
 * of files may hold, would not be shown but obeyed. */
static void line(screen *s, const char *fmt, ...) PEL_PRINTF(2, 3);
static void line(screen *s, const char *fmt, ...)
{
    char text[1024];
    int column = 0;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (const char *at = text; *at; at++) {
        const unsigned char c = (unsigned char)*at;
        column += (c & 0xC0) != 0x80;
        if (s->terminal && column >= s->columns)
            break;
        (void)putchar(c < 0x20 || c == 0x7F ? '?' : c);
    }
    (void)putchar('\n');
    s->lines++;
}

static void fill_bar(char out[BAR + 3], double part, double mark)
{
    const int full = (int)(part * BAR + 0.5), at = mark > 0 ? (int)(mark * (BAR - 1) + 0.5) : -1;
    out[0] = '[';
    for (int i = 0; i < BAR; i++)
        out[1 + i] = i == at ? '|' : i < full ? '#' : '.';
    out[BAR + 1] = ']';
    out[BAR + 2] = '\0';
}

static double share(double part, double whole) { return whole > 0 ? part < whole ? part / whole : 1 : 0; }

static void show_progress(screen *s, const facts *f, const char *output)
{
    char bar[BAR + 3], a[32], b[32], c[32];
    const pel_status *st = &f->status;
    const double done = share((double)st->blocks_done, (double)st->blocks_total);
    fill_bar(bar, done, 0);
    line(s, "%s: %s, %s", output, st->state, st->filter);
    line(s, "  %s %.1f %%  %s of %s blocks, %s failed", bar, st->blocks_done < st->blocks_total && done > 0.999 ? 99.9 : 100 * done,
         text_count(a, sizeof a, st->blocks_done), text_count(b, sizeof b, st->blocks_total), text_count(c, sizeof c, st->blocks_failed));
    if (st->blocks_done == st->blocks_total && st->pyramid_total > 0)
        line(s, "  pyramid   %s of %s jobs", text_count(a, sizeof a, st->pyramid_done), text_count(b, sizeof b, st->pyramid_total));
    else if (f->blocks_per_s > 0 && facts_running(f))
        line(s, "  speed     %.1f MB/s of pixels; about %s left", f->bytes_per_s * 1e-6, text_duration(a, sizeof a, f->left_s));
    if (f->sign_us > 0)
        line(s, "  last sign %s ago", text_duration(a, sizeof a, f->now_us > f->sign_us ? (double)(f->now_us - f->sign_us) * 1e-6 : 0));
}

static void show_workers(screen *s, const facts *f)
{
    char a[32], bar[BAR + 3], b[32], c[32];
    line(s, "  workers   %" PRId32 " at work%s", f->workers_alive, f->managed ? ", and a manager" : "");
    for (int32_t i = 0; i < f->worker_count && i < WORKERS_SHOWN; i++) {
        const pel_run_worker *w = &f->workers[i].figures;
        line(s, "            %s, process %" PRId64 ": %" PRId32 " threads, %s%s", f->workers[i].host, w->pid, w->threads,
             text_bytes(a, sizeof a, (double)w->memory_now), w->alive ? "" : "; gone without a word");
    }
    const double peak = (double)f->status.memory_peak, limit = (double)f->memory_limit, promised = (double)f->memory_promised;
    const double top = limit > promised ? limit : promised;
    fill_bar(bar, share(peak, top), share(promised, top));
    line(s, "  %s peak %s, promised (|) %s, limit %s", bar, text_bytes(a, sizeof a, peak), text_bytes(b, sizeof b, promised),
         limit > 0 ? text_bytes(c, sizeof c, limit) : "?");
}

static void show_blocks(screen *s, const facts *f)
{
    char place[160];
    for (int64_t i = 0; i < f->failure_count && i < FAILURES_SHOWN; i++) {
        const fact_block *b = &f->failures[i];
        line(s, "  failed    attempt %" PRId32 " on %s: %s", b->attempt, b->host, b->error);
    }
    if (f->failure_count > FAILURES_SHOWN)
        line(s, "            and %" PRId64 " more: --failures", f->failure_count - FAILURES_SHOWN);
    if (f->slow_count > 0)
        line(s, "  slowest   block %" PRId64 " (%s): %.3g s, %.1f times the median", f->slow[0].number, facts_place(place, sizeof place, f, &f->slow[0]),
             f->slow[0].seconds, f->median > 0 ? f->longest / f->median : 1);
}

static void look_at_terminal(screen *s)
{
    struct winsize size = {0};
    s->terminal = isatty(STDOUT_FILENO) == 1;
    s->columns = s->terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

bool watch_run(const char *output, pel_error *err)
{
    screen s = {0};
    for (bool running = true; running;) {
        facts f;
        if (!facts_gather(&f, output, err))
            return false;
        running = facts_running(&f);
        look_at_terminal(&s);
        char back[32];
        (void)snprintf(back, sizeof back, "\033[%dA\033[J", s.lines);
        if (s.terminal && s.lines > 0)
            terminal_send(stdout, back);
        s.lines = 0;
        show_progress(&s, &f, output);
        show_workers(&s, &f);
        show_blocks(&s, &f);
        (void)fflush(stdout);
        facts_destroy(&f);
        if (running)
            (void)nanosleep(&(struct timespec){.tv_sec = EVERY_SECONDS}, NULL);
    }
    return true;
}
