/* SPDX-License-Identifier: MIT
 * pellucid-jxr: decodes JPEG XR streams for its parent, one after the other, over descriptor 0; ends when that closes.
 * The decoding library crashes and hangs on damaged streams, so this process gives itself limits of memory and time and has
 * no file open. The only file that knows libjxr. The protocol is in jxr.h. */
#include "codec/jxr.h"

#include <JXRGlue.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0 /* sanitizers reserve terabytes of addresses */
#endif

typedef struct format {
    int32_t pixel, bytes;
    const GUID *guid;
    int32_t swap; /* bytes of a sample where the library delivers R, G, B; 0 = already in order */
} format;

static const format formats[] = {
    {0, 1, &GUID_PKPixelFormat8bppGray, 0},       {1, 2, &GUID_PKPixelFormat16bppGray, 0},
    {2, 4, &GUID_PKPixelFormat32bppGrayFloat, 0}, {3, 3, &GUID_PKPixelFormat24bppBGR, 0},
    {3, 3, &GUID_PKPixelFormat24bppRGB, 1},       {4, 6, &GUID_PKPixelFormat48bppRGB, 2},
    {8, 12, &GUID_PKPixelFormat96bppRGBFloat, 4}, {9, 4, &GUID_PKPixelFormat32bppBGRA, 0},
};

/* ---- talking ------------------------------------------------------------------------------------------------ */

static bool read_all(void *data, int64_t n)
{
    for (char *p = data; n > 0;) {
        const ssize_t k = read(0, p, (size_t)n);
        if (k > 0) {
            p += k;
            n -= k;
        } else if (k == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static bool write_all(const void *data, int64_t n)
{
    for (const char *p = data; n > 0;) {
        const ssize_t k = write(0, p, (size_t)n);
        if (k > 0) {
            p += k;
            n -= k;
        } else if (k == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static bool answer(int32_t status, const void *data, int64_t n)
{
    const pel__jxr_answer a = {PEL__JXR_MAGIC, status, n};
    return write_all(&a, sizeof a) && write_all(data, n);
}

static bool refuse(int32_t status, const char *why)
{
    return answer(status, why, (int64_t)strlen(why));
}

/* ---- limits ------------------------------------------------------------------------------------------------- */

static void limit(int what, int64_t value)
{
    struct rlimit r;
    if (getrlimit(what, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max == RLIM_INFINITY || (rlim_t)value < r.rlim_max ? (rlim_t)value : r.rlim_max;
    (void)setrlimit(what, &r);
}

/* For the coming tile: memory, processor time on top of what was used (less than the parent waits: a stream that does not end is told from a
 * computer that is busy), and a clock in case the parent is gone. */
static void limit_for(const pel__jxr_request *q)
{
    struct rusage used;
    const int64_t seconds = q->seconds;
    if (!SANITIZED)
        limit(RLIMIT_AS, pel__jxr_helper_bytes(q->bytes, q->width, q->height, q->decoded / q->width / q->height));
    if (getrusage(RUSAGE_SELF, &used) == 0)
        limit(RLIMIT_CPU, used.ru_utime.tv_sec + used.ru_stime.tv_sec + (seconds > 3 ? seconds - 3 : 1));
    (void)alarm((unsigned)seconds + 5);
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* From here on the process can read and write what it has open, ask for memory, and end; anything else (files, network,
 * programs) gets "not permitted". A stream that takes over the decoder finds nothing to take. Where the kernel has no such
 * filter, the limits must do. */
static void shut_in(void)
{
#if defined(ARCHITECTURE) && !SANITIZED
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    static struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(read), ALLOW(write), ALLOW(brk), ALLOW(mmap), ALLOW(munmap), ALLOW(mremap), ALLOW(mprotect), ALLOW(madvise),
        ALLOW(exit), ALLOW(exit_group), ALLOW(rt_sigreturn), ALLOW(rt_sigprocmask), ALLOW(restart_syscall), ALLOW(futex),
        ALLOW(getrusage), ALLOW(prlimit64), ALLOW(setitimer), ALLOW(clock_gettime),
#ifdef SYS_alarm
        ALLOW(alarm), ALLOW(setrlimit), ALLOW(getrlimit), ALLOW(gettimeofday),
#endif
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    const struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
#undef ALLOW
#endif
}

/* ---- decoding ----------------------------------------------------------------------------------------------- */

static void swap_samples(uint8_t *pixels, int64_t count, int32_t bytes, int64_t sample)
{
    for (int64_t i = 0; i < count; i++, pixels += bytes) {
        uint8_t keep[4];
        memcpy(keep, pixels, (size_t)sample);
        memcpy(pixels, pixels + 2 * sample, (size_t)sample);
        memcpy(pixels + 2 * sample, keep, (size_t)sample);
    }
}

static const format *find_format(int32_t pixel, const GUID *guid)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (formats[i].pixel == pixel && (!guid || IsEqualGUID(guid, formats[i].guid)))
            return &formats[i];
    }
    return NULL;
}

/* Pyramid tiles at the edge decode one row short: cut or pad with zero at the right and below, in place. */
static void fit(uint8_t *pixels, const pel__jxr_request *q, int32_t w, int32_t h, int32_t bytes)
{
    const size_t from = (size_t)w * (size_t)bytes, to = (size_t)q->width * (size_t)bytes, keep = from < to ? from : to;
    const int32_t rows = h < q->height ? h : q->height;
    for (int32_t i = 0; i < rows; i++) {
        const size_t y = (size_t)(from < to ? rows - 1 - i : i); /* growing rows move from the last one on */
        memmove(pixels + y * to, pixels + y * from, keep);
        memset(pixels + y * to + keep, 0, to - keep);
    }
    memset(pixels + (size_t)rows * to, 0, (size_t)(q->height - rows) * to);
}

/* Decodes into fresh memory. NULL, or what is wrong. */
static const char *copy_pixels(PKImageDecode *decoder, const pel__jxr_request *q, uint8_t **out)
{
    GUID guid;
    I32 w = 0, h = 0;
    if (Failed(decoder->GetSize(decoder, &w, &h)) || Failed(decoder->GetPixelFormat(decoder, &guid)))
        return "no size or pixel format in the stream";
    const format *f = find_format(q->pixel, &guid);
    if (!f)
        return "its pixels are of another type than the directory says";
    if (w < 1 || h < 1 || w > (int64_t)q->width + PEL__JXR_ODD || h > (int64_t)q->height + PEL__JXR_ODD ||
        (int64_t)w * f->bytes > INT32_MAX)
        return "its size is another than the directory says";
    const int64_t most_w = w > q->width ? w : q->width, most_h = h > q->height ? h : q->height;
    *out = calloc((size_t)most_h, (size_t)(most_w * f->bytes));
    if (!*out)
        return "no memory for its pixels";
    const PKRect all = {0, 0, w, h};
    if (Failed(decoder->Copy(decoder, &all, *out, (U32)(w * f->bytes))))
        return "damaged";
    if (w != q->width || h != q->height)
        fit(*out, q, w, h, f->bytes);
    if (f->swap)
        swap_samples(*out, (int64_t)q->width * q->height, f->bytes, f->swap);
    return NULL;
}

static const char *decode(const pel__jxr_request *q, uint8_t *stream, uint8_t **out)
{
    struct WMPStream *s = NULL;
    PKImageDecode *decoder = NULL;
    const char *wrong = "no memory";
    if (Failed(CreateWS_Memory(&s, stream, (size_t)q->bytes)))
        return wrong;
    if (!Failed(PKImageDecode_Create_WMP(&decoder)))
        wrong = Failed(decoder->Initialize(decoder, s)) ? "no JPEG XR stream" : copy_pixels(decoder, q, out);
    if (decoder)
        (void)decoder->Release(&decoder);
    (void)s->Close(&s);
    return wrong;
}

/* ---- the loop ----------------------------------------------------------------------------------------------- */

static bool sane(const pel__jxr_request *q)
{
    const format *f = find_format(q->pixel, NULL);
    return q->magic == PEL__JXR_MAGIC && f && q->width > 0 && q->height > 0 && q->width <= INT64_MAX / f->bytes / q->height &&
           q->bytes >= 0 && q->seconds > 0 && q->seconds < 1000000 &&
           q->decoded == (int64_t)q->width * q->height * f->bytes;
}

static bool serve(const pel__jxr_request *q)
{
    limit_for(q);
    uint8_t *stream = malloc(q->bytes > 0 ? (size_t)q->bytes : 1), *out = NULL;
    if (!stream || !read_all(stream, q->bytes)) {
        free(stream);
        return false;
    }
    const char *wrong = decode(q, stream, &out);
    (void)alarm(0);
    const bool ok = wrong ? refuse(PEL_DAMAGED, wrong) : answer(0, out, q->decoded);
    free(stream);
    free(out);
    return ok;
}

int main(void)
{
    pel__jxr_request q;
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_DUMPABLE, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    for (int fd = 3; fd < 256; fd++)
        (void)close(fd);
    shut_in();
    while (read_all(&q, sizeof q)) {
        if (!sane(&q))
            return 2;
        if (!serve(&q))
            return 3;
    }
    return 0;
}
