/* SPDX-License-Identifier: MIT
 * See http.h, over libcurl. Each thread that asks takes a handle from a shelf and puts it back, so that there are never
 * more connections than reading threads, and they are kept open. The environment is not asked for anything: proxies and
 * keys come from the caller. */
#include "zarr/http.h"

#include "core/bytes.h"
#include "core/sha256.h"
#include "zarr/answer.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define CONNECT_SECONDS 20L
#define STALL_SECONDS 60
#define LEAST_BYTES_A_SECOND 1000L /* slower than this for so long is no transfer any more */
#define MAX_REDIRECTS 5L
#define MAX_ERROR_BODY (1 << 20)
#define MAX_PAUSE_MS 20000
#define ASK_FIRST_BYTES ((int64_t)1 << 20) /* a body from here on waits a second for the server to say that it takes it (100-continue) */
#define UNSIGNED "UNSIGNED-PAYLOAD" /* TLS keeps the body whole on its way, the checksum behind it */
#define DIGEST "pellucid-xxh3-128" /* of key and contents, kept with an object in its metadata */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

typedef struct shelf_handle {
    CURL *curl;
    struct shelf_handle *next;
} shelf_handle;

struct pel__http {
    pthread_mutex_t mutex;
    shelf_handle *idle;
    struct curl_slist *headers; /* of S3, where a request has none of its own */
    char *key, *secret, *token, *service, *http_proxy, *https_proxy, *no_proxy, *ca_file;
    int32_t attempts, wait_ms, stall_s;
    bool s3;
    atomic_bool proven; /* a server has answered: from then on a refused connection is a passing trouble */
};

/* One attempt. */
typedef struct transfer {
    const pel__request *q;
    pel__reply *reply;
    CURL *curl;
    struct curl_slist *headers; /* of PUT and HEAD */
    int64_t sent;
    bool begun, enough, too_long, no_memory, ranged;
    int64_t first, last, skip, room;
    int64_t retry_seconds, refused; /* bytes of a body that only says why not */
    char why[512];
} transfer;

/* ---- open --------------------------------------------------------------------------------------------------- */

static bool copy(char **out, const char *text)
{
    *out = text && text[0] ? strdup(text) : NULL;
    return *out || !text || !text[0];
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char *line = NULL;
    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    struct curl_slist *const more = curl_slist_append(*list, line);
    free(line);
    if (more)
        *list = more;
    return more != NULL;
}

/* S3 wants the payload's hash among the headers; curl signs every header that it is given. */
static bool add_signed(const pel__http *h, struct curl_slist **list, const char *sha256)
{
    return !h->key || (add_header(list, "x-amz-content-sha256", sha256) && (!h->token || add_header(list, "x-amz-security-token", h->token)));
}

static bool set_up_signing(pel__http *h, const pel_remote *remote)
{
    const char *const region = remote->region && remote->region[0] ? remote->region : "us-east-1";
    if (asprintf(&h->service, "aws:amz:%s:s3", region) < 0) {
        h->service = NULL;
        return false;
    }
    return copy(&h->key, remote->key_id) && copy(&h->secret, remote->secret) && copy(&h->token, remote->token)
        && add_signed(h, &h->headers, EMPTY_SHA256);
}

bool pel__http_open(pel__http **out, const pel_remote *remote, bool s3, pel_error *err)
{
    static const pel_remote none;
    const pel_remote *const r = remote ? remote : &none;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* counts; safe in threads since 7.84 */
        return pel__fail(err, PEL_IO, "libcurl cannot be set up");
    pel__http *const h = calloc(1, sizeof *h);
    if (!h) {
        curl_global_cleanup();
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    }
    (void)pthread_mutex_init(&h->mutex, NULL);
    h->s3 = s3;
    h->attempts = r->attempts > 0 ? r->attempts : 6;
    h->wait_ms = r->wait_ms > 0 ? r->wait_ms : 250;
    h->stall_s = r->stall_s > 0 ? r->stall_s : STALL_SECONDS;
    const bool sign = s3 && r->key_id && r->key_id[0] && r->secret && r->secret[0];
    if (!copy(&h->http_proxy, r->http_proxy) || !copy(&h->https_proxy, r->https_proxy) || !copy(&h->no_proxy, r->no_proxy) || !copy(&h->ca_file, r->ca_file)
        || (sign && !set_up_signing(h, r))) {
        pel__http_close(h);
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    }
    *out = h;
    return true;
}

void pel__http_close(pel__http *h)
{
    if (!h)
        return;
    while (h->idle) {
        shelf_handle *const next = h->idle->next;
        curl_easy_cleanup(h->idle->curl);
        free(h->idle);
        h->idle = next;
    }
    curl_slist_free_all(h->headers);
    (void)pthread_mutex_destroy(&h->mutex);
    free(h->key);
    free(h->secret);
    free(h->token);
    free(h->service);
    free(h->http_proxy);
    free(h->https_proxy);
    free(h->no_proxy);
    free(h->ca_file);
    free(h);
    curl_global_cleanup();
}

static shelf_handle *take(pel__http *h)
{
    (void)pthread_mutex_lock(&h->mutex);
    shelf_handle *one = h->idle;
    if (one)
        h->idle = one->next;
    (void)pthread_mutex_unlock(&h->mutex);
    if (one)
        return one;
    one = calloc(1, sizeof *one);
    if (one && (one->curl = curl_easy_init()))
        return one;
    free(one);
    return NULL;
}

static void put(pel__http *h, shelf_handle *one)
{
    (void)pthread_mutex_lock(&h->mutex);
    one->next = h->idle;
    h->idle = one;
    (void)pthread_mutex_unlock(&h->mutex);
}

/* ---- what comes in ------------------------------------------------------------------------------------------ */

/* Four bytes, most significant first: "n03x6A==". */
static void write_base64(char out[9], uint32_t v)
{
    const uint64_t bits = (uint64_t)v << 4;
    for (int i = 0; i < 6; i++)
        out[i] = PEL__BASE64[bits >> (30 - 6 * i) & 63];
    memcpy(out + 6, "==", 3);
}

static void keep_checksum(pel__reply *r, const char *text)
{
    r->has_crc32c = pel__answer_crc32c(text, &r->crc32c) || r->has_crc32c;
}

/* What a server tells of a whole object. */
static void keep_stored(pel__reply *r, const char *line, size_t n)
{
    char value[128];
    if (pel__answer_header(line, n, "x-amz-checksum-crc32c", value, sizeof value))
        keep_checksum(r, value);
    if (pel__answer_header(line, n, "x-goog-hash", value, sizeof value) && strstr(value, "crc32c="))
        keep_checksum(r, strstr(value, "crc32c=") + 7);
    if (pel__answer_header(line, n, "x-amz-meta-" DIGEST, value, sizeof value) || pel__answer_header(line, n, "x-goog-meta-" DIGEST, value, sizeof value))
        r->has_digest = pel__digest_parse(&r->digest, value);
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    transfer *const t = arg;
    const size_t n = size * count;
    char value[128];
    if (n >= 5 && strncmp(line, "HTTP/", 5) == 0) { /* another answer, after a redirect */
        t->ranged = false;
        t->reply->total = -1;
        t->reply->has_crc32c = t->reply->has_digest = false;
    }
    if (t->q->range == PEL__RANGE_NOTHING)
        keep_stored(t->reply, line, n);
    if (pel__answer_header(line, n, "content-range", value, sizeof value))
        t->ranged = pel__answer_range(value, &t->first, &t->last, &t->reply->total) || t->ranged;
    if (pel__answer_header(line, n, "retry-after", value, sizeof value))
        t->retry_seconds = strtoll(value, NULL, 10);
    if (pel__answer_header(line, n, "x-amz-bucket-region", value, sizeof value))
        (void)snprintf(t->reply->region, sizeof t->reply->region, "%.31s", value);
    return n;
}

static int32_t status_of(const transfer *t)
{
    long status = 0;
    (void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    return (int32_t)status;
}

static int64_t length_of(const transfer *t)
{
    curl_off_t n = -1;
    (void)curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &n);
    return (int64_t)n;
}

/* What part of the object the first byte is, and whether it can fit. False: read no further. */
static bool begin_body(transfer *t, int32_t status)
{
    const pel__request *const q = t->q;
    const bool part = status == 206;
    t->begun = true;
    t->reply->offset = part ? t->first : q->range == PEL__RANGE_SPAN ? q->offset : 0;
    t->skip = part ? 0 : t->reply->offset;
    if (!part && q->range == PEL__RANGE_TAIL) {
        t->enough = true;
        return false;
    }
    if (part || q->range != PEL__RANGE_ALL)
        return true;
    t->too_long = length_of(t) > q->n;
    return !t->too_long;
}

static bool make_space(transfer *t, int64_t more)
{
    pel__reply *const r = t->reply;
    if (t->q->dst || t->q->sum || r->got + more < t->room)
        return true;
    const int64_t known = length_of(t), doubled = pel__max(2 * t->room, r->got + more);
    const int64_t room = 1 + pel__min(t->q->n, pel__max(known > 0 && !t->skip ? pel__min(known, t->q->n) : 4096, doubled));
    uint8_t *const body = realloc(r->body, (size_t)room);
    if (!body)
        return false;
    r->body = body;
    t->room = room;
    return true;
}

static void add_to_sum(pel__sum *sum, const char *data, int64_t n)
{
    sum->crc32c = pel__crc32c(sum->crc32c, data, (size_t)n);
    pel__hash_add(sum->hash, data, n);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    transfer *const t = arg;
    const pel__request *const q = t->q;
    const size_t n = size * count;
    const int32_t status = status_of(t);
    if (q->method != PEL__GET || (status != 200 && status != 206)) {
        const size_t have = strlen(t->why);
        (void)snprintf(t->why + have, sizeof t->why - have, "%.*s", (int)pel__min((int64_t)n, 512), data);
        t->refused += (int64_t)n;
        t->enough = t->refused > MAX_ERROR_BODY;
        return t->enough ? 0 : n;
    }
    if (!t->begun && !begin_body(t, status))
        return 0;
    const int64_t skipped = pel__min(t->skip, (int64_t)n), left = (int64_t)n - skipped;
    const int64_t taken = pel__min(left, q->n - t->reply->got);
    t->skip -= skipped;
    if (!make_space(t, taken)) {
        t->no_memory = true;
        return 0;
    }
    if (taken > 0 && q->sum)
        add_to_sum(q->sum, data + skipped, taken);
    else if (taken > 0)
        memcpy((q->dst ? q->dst : t->reply->body) + t->reply->got, data + skipped, (size_t)taken);
    t->reply->got += taken;
    if (left == taken)
        return n;
    t->enough = status == 200 && q->range == PEL__RANGE_SPAN; /* a server without ranges: the rest is not wanted */
    t->too_long = !t->enough;
    return 0;
}

/* ---- what goes out ------------------------------------------------------------------------------------------ */

static size_t on_send(char *to, size_t size, size_t count, void *arg)
{
    transfer *const t = arg;
    const int64_t n = pel__min((int64_t)(size * count), t->q->n - t->sent);
    if (n > 0)
        memcpy(to, t->q->body + t->sent, (size_t)n);
    t->sent += n;
    return (size_t)n;
}

/* A kept connection that turns out to be closed: the body is sent again over another. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    transfer *const t = arg;
    if (origin != SEEK_SET || offset < 0 || offset > t->q->n)
        return CURL_SEEKFUNC_CANTSEEK;
    t->sent = (int64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* Headers of this request alone: PUT tells the checksum of its body, HEAD asks for that which is kept. */
static bool own_headers(const pel__http *h, transfer *t)
{
    const pel__request *const q = t->q;
    char text[65] = "";
    if (!h->s3 || (q->method == PEL__GET && q->range != PEL__RANGE_NOTHING) || q->method == PEL__DELETE)
        return true;
    if (q->method == PEL__GET)
        return add_signed(h, &t->headers, EMPTY_SHA256) && add_header(&t->headers, "x-amz-checksum-mode", "ENABLED");
    const bool tls = strncmp(q->url, "https:", 6) == 0;
    if (h->key && !tls)
        pel__sha256_hex(text, q->body, (size_t)q->n);
    if (!add_signed(h, &t->headers, tls ? UNSIGNED : text))
        return false;
    write_base64(text, q->crc32c);
    if (!add_header(&t->headers, "x-amz-checksum-crc32c", text) || !add_header(&t->headers, "x-amz-sdk-checksum-algorithm", "CRC32C"))
        return false;
    return !q->digest || add_header(&t->headers, "x-amz-meta-" DIGEST, pel__digest_text(q->digest, text));
}

static void set_up_method(transfer *t)
{
    const pel__request *const q = t->q;
    char range[64];
    if (q->method == PEL__DELETE)
        (void)curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, "DELETE");
    if (q->method == PEL__PUT) {
        (void)curl_easy_setopt(t->curl, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(t->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->n);
        (void)curl_easy_setopt(t->curl, CURLOPT_EXPECT_100_TIMEOUT_MS, q->n >= ASK_FIRST_BYTES ? 1000L : 1L);
        (void)curl_easy_setopt(t->curl, CURLOPT_READFUNCTION, on_send);
        (void)curl_easy_setopt(t->curl, CURLOPT_READDATA, t);
        (void)curl_easy_setopt(t->curl, CURLOPT_SEEKFUNCTION, on_seek);
        (void)curl_easy_setopt(t->curl, CURLOPT_SEEKDATA, t);
    }
    if (q->method != PEL__GET)
        return;
    if (q->range == PEL__RANGE_NOTHING)
        (void)curl_easy_setopt(t->curl, CURLOPT_NOBODY, 1L);
    if (q->range == PEL__RANGE_SPAN)
        (void)snprintf(range, sizeof range, "%lld-%lld", (long long)q->offset, (long long)(q->offset + q->n - 1));
    else
        (void)snprintf(range, sizeof range, "-%lld", (long long)q->n);
    if (q->range == PEL__RANGE_SPAN || q->range == PEL__RANGE_TAIL)
        (void)curl_easy_setopt(t->curl, CURLOPT_RANGE, range);
}

/* ---- one attempt --------------------------------------------------------------------------------------------- */

static void set_up(const pel__http *h, transfer *t, char *error)
{
    CURL *const c = t->curl;
    const pel__request *const q = t->q;
    const bool tls = strncmp(q->url, "https:", 6) == 0;
    const char *const proxy = tls ? h->https_proxy : h->http_proxy;
    curl_easy_reset(c);
    (void)curl_easy_setopt(c, CURLOPT_URL, q->url);
    (void)curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, h->s3 ? 0L : 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    (void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "pellucid");
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, LEAST_BYTES_A_SECOND);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)h->stall_s);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, proxy ? proxy : "");
    (void)curl_easy_setopt(c, CURLOPT_NOPROXY, h->no_proxy ? h->no_proxy : "");
    if (h->ca_file)
        (void)curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_file);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    if (h->key) {
        (void)curl_easy_setopt(c, CURLOPT_AWS_SIGV4, h->service);
        (void)curl_easy_setopt(c, CURLOPT_USERNAME, h->key);
        (void)curl_easy_setopt(c, CURLOPT_PASSWORD, h->secret);
    }
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers ? t->headers : h->headers);
    set_up_method(t);
}

/* <Code>AccessDenied</Code> */
static void keep_reason(transfer *t)
{
    const char *const code = strstr(t->why, "<Code>");
    if (code)
        (void)snprintf(t->reply->reason, sizeof t->reply->reason, "%.*s", (int)pel__min((int64_t)strcspn(code + 6, "<"), 63), code + 6);
}

static bool passes(const pel__http *h, CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return true;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SSL_CONNECT_ERROR:
        return atomic_load(&h->proven);
    default:
        return false;
    }
}

/* Trouble that passes; some of it S3 tells by a code beside a status that otherwise is final. */
static bool status_passes(const pel__reply *r)
{
    static const char *const codes[] = {"RequestTimeout", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "OperationAborted"};
    const int32_t s = r->status;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(r->reason, codes[i]) == 0)
            return true;
    return s == 408 || s == 429 || s == 500 || s == 502 || s == 503 || s == 504;
}

/* Checks what came against what was asked. False with *again where another attempt may help. */
static bool check(transfer *t, bool *again, pel_error *err)
{
    const pel__request *const q = t->q;
    pel__reply *const r = t->reply;
    if (q->method != PEL__GET) {
        r->status = r->status == 201 || r->status == 204 ? 200 : r->status;
        return true;
    }
    if (r->status != 200 && r->status != 206)
        return true;
    if (r->status == 200) {
        r->total = length_of(t);
        return true;
    }
    const bool asked = q->range == PEL__RANGE_SPAN ? t->first == q->offset && t->last < q->offset + q->n : q->range == PEL__RANGE_TAIL;
    if (!t->ranged || !asked)
        return pel__fail(err, PEL_IO, "the server sent another part than bytes %lld + %lld", (long long)q->offset, (long long)q->n);
    *again = r->got != t->last - t->first + 1;
    if (*again)
        return pel__fail(err, PEL_DAMAGED, "%lld bytes came, %lld were announced", (long long)r->got, (long long)(t->last - t->first + 1));
    r->status = 200;
    return true;
}

static bool attempt(pel__http *h, transfer *t, bool *again, pel_error *err)
{
    char error[CURL_ERROR_SIZE] = "";
    *again = false;
    if (!own_headers(h, t))
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    set_up(h, t, error);
    const CURLcode code = curl_easy_perform(t->curl);
    pel__reply *const r = t->reply;
    r->status = status_of(t);
    if (t->no_memory)
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    if (t->too_long)
        return pel__fail(err, PEL_DAMAGED, "more than the %lld bytes that are taken", (long long)t->q->n);
    if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && t->enough)) {
        *again = passes(h, code);
        return pel__fail(err, PEL_IO, "%s", error[0] ? error : curl_easy_strerror(code));
    }
    atomic_store(&h->proven, true);
    keep_reason(t);
    if (status_passes(r)) {
        *again = true;
        return pel__fail(err, PEL_IO, "HTTP %d%s%s", (int)r->status, r->reason[0] ? " " : "", r->reason);
    }
    return check(t, again, err);
}

static void pause_before(const pel__http *h, int32_t attempts_made, int64_t retry_seconds)
{
    int64_t ms = h->wait_ms;
    for (int32_t i = 1; i < attempts_made && ms < MAX_PAUSE_MS; i++)
        ms *= 2;
    ms = pel__min(MAX_PAUSE_MS, pel__max(ms, pel__min(retry_seconds, 3600) * 1000));
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static void forget(const pel__request *q, pel__reply *reply)
{
    if (!q->dst)
        free(reply->body);
    *reply = (pel__reply){.body = q->dst, .total = -1};
}

/* Checksums as they were before the first attempt. */
static bool keep_sum(pel__sum *kept, const pel__sum *sum)
{
    *kept = (pel__sum){.crc32c = sum ? sum->crc32c : 0, .hash = sum ? pel__hash_begin("", "") : NULL};
    if (kept->hash)
        pel__hash_copy(kept->hash, sum->hash);
    return !sum || kept->hash;
}

static void restore_sum(pel__sum *sum, const pel__sum *kept)
{
    if (!sum)
        return;
    sum->crc32c = kept->crc32c;
    pel__hash_copy(sum->hash, kept->hash);
}

bool pel__http_ask(pel__http *h, const pel__request *q, pel__reply *reply, pel_error *err)
{
    pel__sum kept;
    pel_error e = {0};
    *reply = (pel__reply){.body = NULL};
    shelf_handle *const one = keep_sum(&kept, q->sum) ? take(h) : NULL;
    if (!one) {
        pel__hash_end(kept.hash);
        return pel__fail(err, PEL_NO_MEMORY, "out of memory");
    }
    bool ok = false, again = true;
    int32_t made = 0;
    while (!ok && again) {
        transfer t = {.q = q, .reply = reply, .curl = one->curl};
        forget(q, reply);
        restore_sum(q->sum, &kept);
        e = (pel_error){0};
        ok = attempt(h, &t, &again, &e);
        curl_slist_free_all(t.headers);
        again = !ok && again && ++made < h->attempts;
        if (again)
            pause_before(h, made, t.retry_seconds);
    }
    put(h, one);
    pel__hash_end(kept.hash);
    if (ok)
        return true;
    forget(q, reply);
    reply->body = NULL;
    const char *const method = q->method == PEL__PUT ? "PUT " : q->method == PEL__DELETE ? "DELETE " : "";
    return made > 1 ? pel__fail(err, e.code, "%s%s: %s (%d attempts)", method, q->url, e.text, (int)made)
                    : pel__fail(err, e.code, "%s%s: %s", method, q->url, e.text);
}
