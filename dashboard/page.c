/* SPDX-License-Identifier: MIT
 * See page.h. Is it moving and when will it end; who works; memory; failures; stragglers; does the picture look right. */
#include "page.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_SECONDS 5
#define SILENT_SECONDS 20.0 /* workers speak every two seconds */

static double share(double part, double whole) { return whole > 0 ? fmin(fmax(part / whole, 0), 1) : 0; }

static const char *base_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    return path + n;
}

static double ago(const facts *f, int64_t us) { return fmax((double)(f->now_us - us) * 1e-6, 0); }

/* Never 100 % before it is true. */
static double percent_done(const facts *f)
{
    const pel_status *s = &f->status;
    const double p = 100 * share((double)s->blocks_done, (double)s->blocks_total);
    return s->blocks_done < s->blocks_total && p > 99.9 ? 99.9 : p;
}

/* ---- head ---------------------------------------------------------------------------------------------------------------- */

static void put_head(FILE *page, const facts *f, const page_options *o)
{
    put(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    if (o->beside && facts_running(f))
        put(page, "<meta http-equiv=\"refresh\" content=\"%d\">\n", REFRESH_SECONDS);
    put(page, "<meta name=\"generator\" content=\"pellucid %s\">\n<title>", o->version);
    if (facts_running(f))
        put(page, "%.0f %%", floor(percent_done(f)));
    else
        put_text(page, f->status.state, 40);
    put(page, " · ");
    put_text(page, base_name(o->output), 120);
    put(page, "</title>\n");
    put_style(page);
    put(page, "</head>\n<body>\n");
}

static void put_term(FILE *page, const char *term, const char *value, bool big)
{
    const bool time = strstr(value, "UTC") != NULL;
    put(page, "<div><dt>%s</dt><dd%s>", term, big ? " class=\"big\"" : time ? " class=\"t\"" : "");
    put_text(page, value, 200);
    put(page, "</dd></div>\n");
}

static void put_bar(FILE *page, const facts *f)
{
    const pel_status *s = &f->status;
    const double failed = 100 * share((double)s->blocks_failed, (double)s->blocks_total);
    put(page, "<div class=\"bar\" role=\"progressbar\" aria-valuenow=\"%.0f\" aria-valuemin=\"0\" aria-valuemax=\"100\" "
              "aria-label=\"blocks done\"><b style=\"width:%.3f%%\"></b><i style=\"width:%.3f%%\"></i></div>\n",
        percent_done(f), percent_done(f), failed);
}

/* What the person should do now, in a sentence. */
static const char *advice(const facts *f)
{
    const pel_status *s = &f->status;
    if (strcmp(s->state, "done") == 0)
        return "Every file was found with its recorded length and checksum.";
    if (facts_running(f))
        return s->blocks_done == s->blocks_total ? "All blocks are done; the upper resolution levels and the audit are left."
               : ago(f, f->sign_us) > SILENT_SECONDS ? "No sign of life for a while: look at the log, or at the machine." : "";
    if (strcmp(s->state, "planned") == 0)
        return "Prepared; nobody has begun. “pellucid work” does the blocks.";
    return "Nobody works on it. The same command again goes on where it was; what is finished is not computed again.";
}

static void put_moving(FILE *page, const facts *f, const page_options *o)
{
    char a[QUANTITY], b[QUANTITY], text[3 * QUANTITY];
    const pel_status *s = &f->status;
    const bool running = facts_running(f);
    put(page, "<header>\n<div class=\"row\"><h1>");
    put_text(page, base_name(o->output), 300);
    put(page, "</h1><span class=\"state ");
    put_text(page, s->state, 20);
    put(page, "\">");
    put_text(page, s->state, 20);
    put(page, "</span></div>\n<p>");
    put_text(page, s->filter, 200);
    put(page, " of ");
    put_text(page, s->input, 600);
    put(page, "</p>\n");
    put_bar(page, f);
    put(page, "<dl class=\"facts\">\n");
    (void)snprintf(text, sizeof text, "%s of %s", say_count(a, s->blocks_done), say_count(b, s->blocks_total));
    put_term(page, "blocks done", text, true);
    (void)snprintf(text, sizeof text, "%.*f %%", percent_done(f) < 100 && percent_done(f) > 0 ? 1 : 0, percent_done(f));
    put_term(page, "of the run", text, true);
    if (running && s->blocks_done < s->blocks_total) {
        put_term(page, "left, about", f->blocks_per_s > 0 ? say_duration(a, f->left_s) : "?", true);
        put_term(page, "ends about", f->blocks_per_s > 0 ? say_time(a, f->now_us + (int64_t)(fmin(f->left_s, 1e9) * 1e6)) : "?", false);
    }
    put_term(page, "last sign of life", f->sign_us > 0 ? say_time(a, f->sign_us) : "none", false);
    if (s->blocks_failed > 0)
        put_term(page, "failed", say_count(a, s->blocks_failed), true);
    if (f->bytes_per_s > 0) {
        (void)snprintf(text, sizeof text, "%.1f MB/s", f->bytes_per_s * 1e-6);
        put_term(page, running ? "speed, pixels" : "last speed, pixels", text, false);
    }
    if (s->pyramid_total > 0) {
        (void)snprintf(text, sizeof text, "%s of %s", say_count(a, s->pyramid_done), say_count(b, s->pyramid_total));
        put_term(page, "pyramid, at the end", text, false);
    }
    put_term(page, "written", say_bytes(a, (double)s->bytes_written), false);
    put_term(page, "clipped voxels", say_count(a, s->clipped), false);
    if (s->blocks_damaged > 0)
        put_term(page, "blocks with damaged tiles, read as zero", say_count(a, s->blocks_damaged), true);
    put_term(page, "work, all starts", say_duration(a, s->seconds), false);
    if (f->begun_us > 0)
        put_term(page, "planned", say_time(a, f->begun_us), false);
    put(page, "</dl>\n<p>");
    if (s->reason[0] && !running) {
        put_text(page, s->reason, sizeof s->reason);
        put(page, "</p>\n<p>");
    }
    put(page, "%s</p>\n</header>\n", advice(f));
}

/* ---- workers and memory -------------------------------------------------------------------------------------------------- */

static int64_t integer(const json_object *o, const char *name)
{
    json_object *v = NULL;
    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v) ? json_object_get_int64(v) : 0;
}

/* Of hosts avoided and blocks given up the first ones. */
static void put_manager_list(FILE *page, const facts *f, const char *name, const char *title)
{
    json_object *list = NULL;
    if (!json_object_object_get_ex(f->manager, name, &list) || !json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
        return;
    put(page, "<p class=\"bad\">%s: ", title);
    for (size_t i = 0; i < json_object_array_length(list) && i < 8; i++) {
        json_object *v = json_object_array_get_idx(list, i);
        put(page, "%s", i ? ", " : "");
        if (json_object_is_type(v, json_type_object))
            put(page, "%" PRId64 " (%" PRId64 " failures)", integer(v, "block"), integer(v, "failures"));
        else
            put_text(page, v ? json_object_get_string(v) : "", 64);
    }
    put(page, "%s</p>\n", json_object_array_length(list) > 8 ? ", …" : "");
}

/* Of `cluster`: how many are connected, how much waits, what it gave up. */
static void put_manager(FILE *page, const facts *f)
{
    json_object *host = NULL;
    if (!json_object_is_type(f->manager, json_type_object))
        return;
    (void)json_object_object_get_ex(f->manager, "host", &host);
    put(page, "<p>%s on ", f->managed ? "Manager" : "The last manager was");
    put_text(page, host ? json_object_get_string(host) : "?", 64);
    if (f->managed)
        put(page, ", port %" PRId64 ": <b>%" PRId64 "</b> workers connected, %" PRId64 " tasks running, %" PRId64 " blocks waiting", integer(f->manager, "port"),
            integer(f->manager, "workers"), integer(f->manager, "tasks_running"), integer(f->manager, "blocks_waiting"));
    put(page, "</p>\n");
    put_manager_list(page, f, "hosts_avoided", "hosts avoided");
    put_manager_list(page, f, "given_up", "blocks given up");
}

static void put_workers(FILE *page, const facts *f)
{
    char a[QUANTITY];
    put(page, "<section>\n<h2>Workers <small>%" PRId32 " at work%s</small></h2>\n", f->workers_alive,
        f->workers_gone > 0 ? ", others ended without a word" : "");
    put_manager(page, f);
    if (f->worker_count == 0 && !f->managed)
        put(page, "<p class=\"none\">Nobody is working on this run.</p>\n");
    if (f->worker_count > 0)
        put(page, "<div class=\"scroll\"><table>\n<tr><th>host</th><th class=\"n\">process</th><th class=\"n\">threads</th>"
                  "<th class=\"n\">since</th><th class=\"n\">last sign</th></tr>\n");
    for (int32_t i = 0; i < f->worker_count; i++) {
        const pel_run_worker *w = &f->workers[i].figures;
        put(page, "<tr><td>");
        put_text(page, f->workers[i].host, 64);
        put(page, "</td><td class=\"n\">%" PRId64 "</td><td class=\"n\">%" PRId32 "</td><td class=\"n\">%s</td>", w->pid, w->threads,
            say_duration(a, w->seconds));
        put(page, "<td class=\"n%s\">%s ago%s</td></tr>\n", w->alive ? "" : " bad", say_duration(a, ago(f, w->sign_us)), w->alive ? "" : ", gone");
    }
    if (f->worker_count > 0)
        put(page, "</table></div>\n");
    if (f->workers_alive + f->workers_gone > f->worker_count)
        put(page, "<p class=\"key\">the first %d of %" PRId32 "</p>\n", FACTS_WORKERS, f->workers_alive + f->workers_gone);
    put(page, "</section>\n");
}

/* From 0 to the limit, or to the promise where the limit is not known: peak, what is held now, a tick at the promise. */
static void put_memory_bar(FILE *page, double now, double peak, double promised, double limit)
{
    const double top = fmax(fmax(limit, promised), peak);
    put(page, "<svg viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"memory\">"
              "<rect class=\"bg\" width=\"100\" height=\"4\"/><rect class=\"%s\" width=\"%.2f\" height=\"4\"/>",
        limit > 0 && peak > limit ? "over" : "peak", 100 * share(peak, top));
    if (now > 0)
        put(page, "<rect class=\"now\" width=\"%.2f\" height=\"4\"/>", 100 * share(now, top));
    if (promised > 0)
        put(page, "<rect class=\"tick\" x=\"%.2f\" width=\".4\" height=\"4\"/>", fmin(100 * share(promised, top), 99.6));
    put(page, "</svg>\n");
}

static void put_memory(FILE *page, const facts *f)
{
    char a[QUANTITY], b[QUANTITY], c[QUANTITY];
    const double peak = (double)f->status.memory_peak, promised = (double)f->memory_promised, limit = (double)f->memory_limit;
    put(page, "<section>\n<h2>Memory</h2>\n<div class=\"memory\"><div class=\"row\"><span>peak <b>%s</b></span><span>promised %s</span>"
              "<span>limit %s",
        say_bytes(a, peak), promised > 0 ? say_bytes(b, promised) : "?", limit > 0 ? say_bytes(c, limit) : "?");
    if (f->status.memory_by[0] && f->memory_limit == f->status.memory_limit) {
        put(page, ", ");
        put_text(page, f->status.memory_by, PEL_LIMIT_TEXT);
    }
    put(page, "</span></div>\n");
    put_memory_bar(page, 0, peak, promised, limit);
    put(page, "</div>\n");
    for (int32_t i = 0; i < f->worker_count; i++) {
        const pel_run_worker *w = &f->workers[i].figures;
        if (!w->alive || w->memory_now == 0)
            continue;
        put(page, "<div class=\"memory\"><div class=\"row\"><span>");
        put_text(page, f->workers[i].host, 64);
        put(page, ", %" PRId64 "</span><span>now %s</span></div>\n", w->pid, say_bytes(a, (double)w->memory_now));
        put_memory_bar(page, (double)w->memory_now, (double)w->memory_now, (double)w->memory_promised, (double)w->memory_limit);
        put(page, "</div>\n");
    }
    put(page, "<p class=\"key\">the mark is the promise; the end of the bar is the limit</p>\n</section>\n");
}

/* ---- failures ------------------------------------------------------------------------------------------------------------ */

static void put_failures(FILE *page, const facts *f)
{
    char a[QUANTITY], place[160];
    put(page, "<section>\n<h2>Failures <small>%s</small></h2>\n", f->failure_count > 0 ? say_count(a, f->failure_count) : "none");
    if (f->failure_count == 0) {
        put(page, "<p class=\"none\">No block has failed.</p>\n</section>\n");
        return;
    }
    put(page, "<div class=\"scroll tall\"><table>\n<tr><th class=\"n\">block</th><th>why, and where</th></tr>\n");
    for (int64_t i = 0; i < f->failure_count && i < FACTS_FAILURES; i++) {
        const fact_block *b = &f->failures[i];
        put(page, "<tr><td class=\"n\">%" PRId64 "</td><td class=\"w\">", b->number);
        put_text(page, b->error, 511);
        put(page, "<br><small>%s%s · attempt %" PRId32 " on ", b->level > 0 ? "pyramid, " : "", facts_place(place, sizeof place, f, b), b->attempt);
        put_text(page, b->host, 64);
        put(page, " · %s</small></td></tr>\n", say_time(a, b->at_us));
    }
    put(page, "</table></div>\n");
    if (f->failure_count > FACTS_FAILURES)
        put(page, "<p class=\"key\">the newest %d of %s; `pellucid status` lists all</p>\n", FACTS_FAILURES, say_count(a, f->failure_count));
    put(page, "</section>\n");
}

/* ---- what the source says of its input ------------------------------------------------------------------------------------ */

static void put_notes(FILE *page, const facts *f)
{
    json_object *const list = facts_member(f->plan, "notes", json_type_array);
    const size_t n = list ? json_object_array_length(list) : 0;
    if (n == 0)
        return;
    put(page, "<section>\n<h2>Notes on the input</h2>\n<div class=\"scroll\"><table>\n");
    for (size_t i = 0; i < n && i < FACTS_NOTES; i++) {
        const json_object *const o = json_object_array_get_idx(list, i);
        json_object *const text = facts_member(o, "text", json_type_string), *const kind = facts_member(o, "kind", json_type_string);
        json_object *const harmless = facts_member(o, "harmless", json_type_boolean);
        const int64_t images = integer(o, "images");
        put(page, "<tr><td class=\"k\">");
        put_text(page, kind ? json_object_get_string(kind) : "", 40);
        put(page, "</td><td class=\"w%s\">", harmless && json_object_get_boolean(harmless) ? "" : " bad");
        put_text(page, text ? json_object_get_string(text) : "", 500);
        if (images > 1 || integer(o, "image") > 0)
            put(page, " <small>image %" PRId64 "%s</small>", integer(o, "image"), images > 1 ? " and others" : "");
        put(page, "</td></tr>\n");
    }
    put(page, "</table></div>\n</section>\n");
}

/* ---- stragglers ---------------------------------------------------------------------------------------------------------- */

static void put_slow(FILE *page, const facts *f)
{
    char a[QUANTITY], place[160];
    put(page, "<div class=\"scroll\"><table>\n<tr><th class=\"n\">block</th><th class=\"n\">took</th><th class=\"n\">to median</th>"
              "<th>where</th></tr>\n");
    for (int32_t i = 0; i < f->slow_count && i < 5; i++) {
        const fact_block *b = &f->slow[i];
        put(page, "<tr><td class=\"n\">%" PRId64 "</td><td class=\"n\">%s</td><td class=\"n\">%.1f ×</td><td class=\"s\">", b->number,
            say_seconds(a, b->seconds), f->median > 0 ? b->seconds / f->median : 1);
        put_text(page, b->host, 64);
        put(page, ", %s</td></tr>\n", facts_place(place, sizeof place, f, b));
    }
    put(page, "</table></div>\n");
}

/* A bad host fails or dawdles where others do not. */
static void put_hosts(FILE *page, const facts *f)
{
    char a[QUANTITY], b[QUANTITY];
    if (f->host_count < 2)
        return;
    put(page, "<h3>Hosts</h3>\n<div class=\"scroll\"><table>\n<tr><th>host</th><th class=\"n\">done</th><th class=\"n\">failed</th>"
              "<th class=\"n\">mean a block</th><th class=\"n\">peak memory</th></tr>\n");
    for (int32_t i = 0; i < f->host_count; i++) {
        const fact_host *h = &f->hosts[i];
        put(page, "<tr><td>");
        put_text(page, h->name, 64);
        put(page, "</td><td class=\"n\">%" PRId64 "</td><td class=\"n%s\">%" PRId64 "</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", h->done,
            h->failed > 0 ? " bad" : "", h->failed, h->done > 0 ? say_seconds(a, h->seconds / (double)h->done) : "?",
            say_bytes(b, (double)h->memory_peak));
    }
    put(page, "</table></div>\n");
    if (f->more_hosts)
        put(page, "<p class=\"key\">the first %d hosts</p>\n", FACTS_HOSTS);
}

static void put_stragglers(FILE *page, const facts *f)
{
    char a[QUANTITY];
    put(page, "<section>\n<h2>Seconds a block <small>");
    if (f->finished == 0) {
        put(page, "none finished yet</small></h2>\n</section>\n");
        return;
    }
    put(page, "median %s, slowest %.1f times as long</small></h2>\n", say_seconds(a, f->median), f->median > 0 ? f->longest / f->median : 1);
    put(page, "<div class=\"split\">\n<div>\n");
    put_histogram(page, f);
    put(page, "</div>\n<div>\n");
    put_slow(page, f);
    put(page, "</div>\n</div>\n");
    put_hosts(page, f);
    put(page, "</section>\n");
}

/* ---- the picture --------------------------------------------------------------------------------------------------------- */

static void put_picture(FILE *page, const facts *f, const page_options *o)
{
    char *text = NULL;
    size_t size = 0;
    FILE *aside = open_memstream(&text, &size);
    const bool any = aside && put_preview(aside, f, o->output);
    if (aside)
        (void)fclose(aside);
    put(page, "<div class=\"two\">\n<section>\n<h2>Blocks <small>where they lie in the image</small></h2>\n");
    put_map(page, f);
    put(page, "</section>\n");
    if (any) {
        put(page, "<section>\n<h2>Preview <small>middle plane of the lowest resolution level</small></h2>\n");
        (void)fwrite(text, 1, size, page);
        put(page, "</section>\n");
    }
    put(page, "</div>\n");
    free(text);
}

void page_print(FILE *page, const facts *f, const page_options *options)
{
    char a[QUANTITY];
    put_head(page, f, options);
    put_moving(page, f, options);
    put(page, "<div class=\"two\">\n");
    put_workers(page, f);
    put_memory(page, f);
    put(page, "</div>\n");
    put_failures(page, f);
    put_notes(page, f);
    put_stragglers(page, f);
    put_picture(page, f, options);
    put_settings(page, f, options);
    put(page, "<footer>Written %s by pellucid %s%s</footer>\n</body>\n</html>\n", say_time(a, f->now_us), options->version,
        options->beside && facts_running(f) ? "; the page reloads itself while work goes on" : "");
}
