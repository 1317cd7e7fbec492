/* SPDX-License-Identifier: MIT
 * See html.h. */
#include "html.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

void put(FILE *page, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vfprintf(page, fmt, args);
    va_end(args);
}

/* Length of the well-formed UTF-8 sequence at `s`, 0 where there is none. Surrogates, overlong forms and what lies
 * beyond U+10FFFF are none. */
static size_t sequence(const unsigned char *s, size_t left)
{
    const size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return n;
}

static const char *entity(unsigned char c)
{
    switch (c) {
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '&': return "&amp;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return c < 0x20 || c == 0x7F ? "\xEF\xBF\xBD" : NULL;
    }
}

void put_text(FILE *page, const char *text, size_t most)
{
    const unsigned char *s = (const unsigned char *)text;
    const size_t all = strlen(text), end = all < most ? all : most;
    for (size_t i = 0, n = 0; i < end; i += n > 0 ? n : 1) {
        n = sequence(s + i, all - i);
        const char *instead = n == 1 ? entity(s[i]) : n == 0 ? "\xEF\xBF\xBD" : NULL;
        if (instead)
            (void)fputs(instead, page);
        else
            (void)fwrite(s + i, 1, n, page);
    }
    if (all > most)
        (void)fputs("…", page);
}

/* ---- quantities ---------------------------------------------------------------------------------------------------------- */

const char *say_bytes(char out[QUANTITY], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 5; u++)
        bytes /= 1024;
    (void)snprintf(out, QUANTITY, "%.*f %s", u == 0 || bytes >= 100 ? 0 : bytes >= 10 ? 1 : 2, bytes, units[u]);
    return out;
}

const char *say_duration(char out[QUANTITY], double seconds)
{
    if (!(seconds >= 0) || seconds > 1e11) {
        (void)snprintf(out, QUANTITY, "?");
        return out;
    }
    const int64_t s = (int64_t)(seconds + 0.5);
    if (s < 60)
        (void)snprintf(out, QUANTITY, "%" PRId64 " s", s);
    else if (s < 3600)
        (void)snprintf(out, QUANTITY, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, QUANTITY, "%" PRId64 " h %02" PRId64 " min", s / 3600, s % 3600 / 60);
    else
        (void)snprintf(out, QUANTITY, "%" PRId64 " d %" PRId64 " h", s / 86400, s % 86400 / 3600);
    return out;
}

const char *say_seconds(char out[QUANTITY], double seconds)
{
    if (seconds >= 100 || !(seconds >= 0))
        return say_duration(out, seconds);
    (void)snprintf(out, QUANTITY, "%.*f s", seconds >= 10 ? 1 : seconds >= 1 ? 2 : 3, seconds);
    return out;
}

const char *say_count(char out[QUANTITY], int64_t n)
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%" PRId64, n);
    size_t at = 0;
    for (int i = 0; i < length && at < QUANTITY - 4; i++) {
        if (i > 0 && (length - i) % 3 == 0 && length > 4 && digits[i - 1] != '-')
            at += (size_t)snprintf(out + at, QUANTITY - at, "\xE2\x80\xAF"); /* narrow no-break space */
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *say_time(char out[QUANTITY], int64_t us)
{
    const time_t t = (time_t)(us / 1000000);
    struct tm utc;
    if (us <= 0 || !gmtime_r(&t, &utc) || strftime(out, QUANTITY, "%Y-%m-%d %H:%M:%S UTC", &utc) == 0)
        (void)snprintf(out, QUANTITY, "?");
    return out;
}

/* ---- looks --------------------------------------------------------------------------------------------------------------- */

/* Colours of Okabe and Ito: blue, vermilion and grey stay apart for every kind of colour vision. */
void put_style(FILE *page)
{
    (void)fputs(
        "<style>\n"
        ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1c2128;--soft:#5b6572;--line:#dfe3e8;--done:#0072b2;"
        "--half:#7cbbe0;--fail:#d55e00;--open:#d3d8de;--mark:#1c2128;--warn:#b35900;--ok:#007a5a}\n"
        "@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1d2127;--text:#e4e7eb;--soft:#9aa4b0;--line:#333a43;"
        "--done:#4aa8e0;--half:#2a6289;--fail:#ff8533;--open:#3a424c;--mark:#e4e7eb;--warn:#ffb066;--ok:#4cc9a4}}\n"
        "*{box-sizing:border-box}\n"
        "body{margin:0 auto;padding:1rem;max-width:70rem;background:var(--bg);color:var(--text);"
        "font:15px/1.45 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Liberation Sans\",sans-serif;overflow-wrap:anywhere}\n"
        "h1{font-size:1.25rem;margin:0}h2{font-size:1rem;margin:0 0 .6rem}h2 small,h3 small{font-weight:400;color:var(--soft)}"
        "h3{font-size:.9rem;margin:.9rem 0 .3rem}p{margin:.4rem 0}\n"
        "header,section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1.1rem;margin:0 0 .8rem}\n"
        "header p{color:var(--soft)}.row{display:flex;flex-wrap:wrap;gap:.3rem 1rem;align-items:baseline;justify-content:space-between}\n"
        ".state{border-radius:1rem;padding:.1rem .7rem;font-weight:600;color:#fff;background:#5b6572}"
        ".state.running{background:#0072b2}.state.done{background:#00795a}.state.incomplete{background:#b84f00}\n"
        ".bar{position:relative;height:1.1rem;border-radius:.55rem;background:var(--open);overflow:hidden;display:flex;margin:.7rem 0}"
        ".bar b{background:var(--done)}.bar i{background:var(--fail)}\n"
        "dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.5rem,1fr));gap:.6rem 1rem;margin:.4rem 0}"
        "dl.facts dt{color:var(--soft);font-size:.8rem}dl.facts dd{margin:0;font-variant-numeric:tabular-nums;white-space:nowrap}dl.facts dd.t{font-size:.87rem}"
        "dl.facts dd.big{font-size:1.35rem;font-weight:600;line-height:1.2}\n"
        ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:0 .8rem;align-items:start}"
        ".two>section{height:calc(100% - .8rem)}\n"
        ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}"
        "th{text-align:left;font-weight:500;color:var(--soft)}th,td{padding:.22rem .7rem .22rem 0;border-bottom:1px solid var(--line);"
        "vertical-align:top}td.n,th.n{text-align:right;white-space:nowrap}th{white-space:nowrap}tr:last-child td{border-bottom:0}td.k{color:var(--soft);white-space:nowrap}td.w{min-width:14rem}td.s{color:var(--soft)}"
        ".tall{max-height:26rem;overflow-y:auto}td.w small{color:var(--soft);font-size:.92em}\n"
        ".split{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));gap:.6rem 2rem;align-items:start}\n",
        page);
    (void)fputs(
        ".memory{margin:.6rem 0}.memory svg{display:block;width:100%;height:1.1rem;border-radius:.3rem}"
        ".memory .row{font-size:.87rem}\n"
        "svg .d{stroke:var(--done)}svg .h{stroke:var(--half)}svg .f{stroke:var(--fail)}svg .o{stroke:var(--open)}"
        "svg .x{stroke:var(--card)}svg .g{stroke:var(--card);stroke-width:.08}.map path{fill:none;stroke-width:1}"
        ".map .x{stroke-width:.3;stroke-linecap:round}.map .g{stroke-width:.07}\n"
        ".map{display:flex;flex-wrap:wrap;gap:.7rem}.map figure,.pictures figure{margin:0}"
        "figcaption{font-size:.75rem;color:var(--soft)}.map svg{display:block;max-width:100%}\n"
        ".key{font-size:.8rem;color:var(--soft);margin:.5rem 0 0}.key span{display:inline-block;width:.8rem;height:.8rem;border-radius:.15rem;"
        "margin:0 .3rem 0 .9rem;vertical-align:-.1rem}.key span:first-child{margin-left:0}\n"
        ".pictures{display:flex;flex-wrap:wrap;gap:.8rem}.pictures img{display:block;width:12.6rem;max-width:100%;height:auto;border-radius:.3rem}\n"
        ".chart{display:block;width:100%;height:auto;max-width:34rem}.chart rect{fill:var(--done)}.chart .tail{fill:var(--fail)}"
        ".chart line{stroke:var(--mark);stroke-dasharray:4 3}.chart .axis{stroke:var(--line);stroke-dasharray:none}"
        ".chart text{fill:var(--soft);font-size:12px}.chart text.m{fill:var(--text)}\n"
        ".fill-done{background:var(--done)}.fill-half{background:var(--half)}.fill-fail{background:var(--fail)}.fill-open{background:var(--open)}\n"
        "rect.bg{fill:var(--open)}rect.now{fill:var(--done)}rect.peak{fill:var(--half)}rect.over{fill:var(--fail)}"
        "rect.tick{fill:var(--mark)}\n"
        "code,pre{font:.85rem/1.4 ui-monospace,\"Liberation Mono\",Menlo,Consolas,monospace}pre{white-space:pre-wrap;margin:.3rem 0;"
        "background:var(--bg);border-radius:.4rem;padding:.6rem .7rem}a{color:var(--done)}.good{color:var(--ok)}.bad{color:var(--warn)}"
        ".none{color:var(--soft)}footer{color:var(--soft);font-size:.8rem;padding:0 .3rem}\n"
        "@media print{body{background:#fff}section{break-inside:avoid}}\n"
        "</style>\n",
        page);
}
