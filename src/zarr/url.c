/* SPDX-License-Identifier: MIT
 * See url.h. */
#include "zarr/url.h"

#include <stdio.h>
#include <string.h>

#define UNRESERVED "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

bool pel__url_is_s3(const char *path)
{
    return strncmp(path, "s3://", 5) == 0;
}

bool pel__url_is_remote(const char *path)
{
    return pel__url_is_s3(path) || strncmp(path, "http://", 7) == 0 || strncmp(path, "https://", 8) == 0;
}

/* Appends n bytes of text at *used, percent-encoding all that is not in `keep`. */
static bool append(char *out, size_t size, size_t *used, const char *text, size_t n, const char *keep)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (*used + 4 > size)
            return false;
        if (strchr(keep, c))
            out[(*used)++] = (char)c;
        else
            *used += (size_t)snprintf(out + *used, 4, "%%%02X", c);
    }
    out[*used] = '\0';
    return true;
}

static bool too_long(const char *path, pel_error *err)
{
    return pel__fail(err, PEL_ARGUMENT, "%.200s…: the address is too long", path);
}

static size_t without_slashes(const char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '/')
        n--;
    return n;
}

/* What was typed is taken as already encoded, except for bytes that no URL can have. */
static bool web_root(char *out, size_t size, const char *path, pel_error *err)
{
    const char *const host = strstr(path, "://") + 3;
    const size_t authority = strcspn(host, "/?#");
    size_t used = 0;
    if (authority == 0)
        return pel__fail(err, PEL_ARGUMENT, "%.300s: no host named", path);
    if (memchr(host, '@', authority))
        return pel__fail(err, PEL_ARGUMENT, "an address with a user name or password in it is not taken");
    if (strpbrk(host, "?#"))
        return pel__fail(err, PEL_ARGUMENT, "%.300s: keys of a store cannot be put behind ? or #", path);
    return append(out, size, &used, path, without_slashes(path), UNRESERVED "/:%!$&'()*+,;=@[]") || too_long(path, err);
}

static bool host_name_fits(const char *bucket, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", bucket[i]))
            return false;
    return n >= 3 && n <= 63;
}

/* Endpoints of others take the bucket in the path; AWS wants it in the host name, where it can be one. */
static bool s3_root(char *out, size_t size, const char *path, const pel_remote *remote, pel_error *err)
{
    const char *const bucket = path + 5;
    const size_t n = strcspn(bucket, "/"), all = without_slashes(bucket);
    const char *const endpoint = remote && remote->endpoint && remote->endpoint[0] ? remote->endpoint : NULL;
    const char *const region = remote && remote->region && remote->region[0] ? remote->region : "us-east-1";
    const bool in_host = !endpoint && host_name_fits(bucket, n);
    int k = 0;
    if (n == 0 || n > 255 || strspn(bucket, UNRESERVED) < n || all < n)
        return pel__fail(err, PEL_ARGUMENT, "%.300s: expected s3://BUCKET/KEY", path);
    if (strspn(region, UNRESERVED) != strlen(region))
        return pel__fail(err, PEL_ARGUMENT, "region \"%.60s\": no name of a region", region);
    if (endpoint && (!pel__url_is_remote(endpoint) || pel__url_is_s3(endpoint)))
        return pel__fail(err, PEL_ARGUMENT, "endpoint \"%.200s\": expected http:// or https://", endpoint);
    if (endpoint) {
        if (!web_root(out, size, endpoint, err))
            return false;
    } else {
        k = snprintf(out, size, "https://%.*s%ss3.%s.amazonaws.com", in_host ? (int)n : 0, bucket, in_host ? "." : "", region);
        if (k < 0 || (size_t)k >= size)
            return too_long(path, err);
    }
    size_t used = strlen(out);
    const size_t from = in_host ? n + (all > n) : 0;
    return ((all <= from) || (append(out, size, &used, "/", 1, "/") && append(out, size, &used, bucket + from, all - from, UNRESERVED "/")))
        || too_long(path, err);
}

bool pel__url_root(char *out, size_t size, const char *path, const pel_remote *remote, pel_error *err)
{
    return pel__url_is_s3(path) ? s3_root(out, size, path, remote, err) : web_root(out, size, path, err);
}

bool pel__url_key(char *out, size_t size, const char *root, const char *key, pel_error *err)
{
    size_t used = (size_t)snprintf(out, size, "%s/", root);
    return (used < size && append(out, size, &used, key, strlen(key), UNRESERVED "/")) || too_long(root, err);
}

const char *pel__url_prefix(const char *path, size_t *n)
{
    const char *p = path + 5 + strcspn(path + 5, "/");
    p += *p == '/';
    *n = without_slashes(p);
    return p;
}

/* The query is sorted, as signatures want it, and every part has a value. */
bool pel__url_list(char *out, size_t size, const char *path, const pel_remote *remote, int32_t most, pel_error *err)
{
    char bucket[300];
    size_t n = 0;
    const char *const prefix = pel__url_prefix(path, &n);
    (void)snprintf(bucket, sizeof bucket, "s3://%.*s", (int)strcspn(path + 5, "/"), path + 5);
    if (!s3_root(out, size, bucket, remote, err))
        return false;
    size_t used = strlen(out);
    const int k = snprintf(out + used, size - used, "/?list-type=2&max-keys=%d%s", (int)most, n ? "&prefix=" : "");
    used += (size_t)k;
    return (used < size && (n == 0 || (append(out, size, &used, prefix, n, UNRESERVED) && append(out, size, &used, "/", 1, UNRESERVED))))
        || too_long(path, err);
}

bool pel__url_list_after(char *out, size_t size, const char *list, const char *key, pel_error *err)
{
    size_t used = (size_t)snprintf(out, size, "%s&start-after=", list);
    return (used < size && append(out, size, &used, key, strlen(key), UNRESERVED)) || too_long(list, err);
}
