/* SPDX-License-Identifier: MIT
 * See input.h. */
#include "input.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *selection_text(selection *s)
{
    const char *const keys[] = {"image", "t", "c", "z", "y", "x"}, *const values[] = {s->position, s->time, s->channel, s->z, s->y, s->x};
    size_t used = 0;
    for (int i = 0; i < COUNT(keys); i++) {
        if (values[i] && used < sizeof s->text)
            used += (size_t)snprintf(s->text + used, sizeof s->text - used, "%s%s=%s", used ? ";" : "", keys[i], values[i]);
    }
    return used > 0 ? s->text : NULL;
}

/* The first of the names that is set and not empty; the environment does not change while the program runs. */
static const char *variable(const char *const *names)
{
    for (; *names; names++) {
        const char *const value = getenv(*names); /* NOLINT(concurrency-mt-unsafe) */
        if (value && value[0])
            return value;
    }
    return NULL;
}

#define VARIABLE(...) variable((const char *const[]){__VA_ARGS__, NULL})

pel_remote remote_from_environment(void)
{
    return (pel_remote){
        .endpoint = VARIABLE("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        .region = VARIABLE("AWS_REGION", "AWS_DEFAULT_REGION"),
        .key_id = VARIABLE("AWS_ACCESS_KEY_ID"),
        .secret = VARIABLE("AWS_SECRET_ACCESS_KEY"),
        .token = VARIABLE("AWS_SESSION_TOKEN"),
        .http_proxy = VARIABLE("http_proxy", "all_proxy", "ALL_PROXY"), /* HTTP_PROXY may be a header's of a CGI program */
        .https_proxy = VARIABLE("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
        .no_proxy = VARIABLE("no_proxy", "NO_PROXY"),
        .ca_file = VARIABLE("AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
    };
}

pel_open_options input_how(input_options *in, const pel_remote *remote)
{
    return (pel_open_options){.select = selection_text(&in->select), .level = (int32_t)in->level, .recover = in->recover, .use_mask = in->mask, .strict = in->strict,
                              .damaged = in->damaged, .flip_streamed = in->flip,
                              .axes = in->axes, .pixel_size = in->pixel_size, .remote = remote};
}

bool input_open(const verb *self, pel_source **out, const char *path, const input_options *in, int64_t threads, int *code)
{
    pel_error err = {0};
    input_options copy = *in;
    const pel_remote remote = remote_from_environment();
    pel_open_options how = input_how(&copy, &remote);
    how.threads = (int32_t)threads;
    if (!pel_source_open(out, path, &how, &err)) {
        *code = say_error(self, &err, true);
        return false;
    }
    const int32_t count = pel_source_image_count(*out);
    if (in->image < count)
        return true;
    say(self, "--image %" PRId64 ": %s has images 0 to %" PRId32, in->image, path, count - 1);
    pel_source_destroy(*out);
    *out = NULL;
    *code = EXIT_USAGE;
    return false;
}

void input_close(const verb *self, pel_source *source)
{
    char first[sizeof(((pel_error *)NULL)->text)] = "";
    const int64_t n = source ? pel_source_damaged(source, first, sizeof first) : 0;
    if (n > 0)
        say(self, "%" PRId64 " tile%s damaged or too short; what is missing read as zero. One of them: %s", n, n == 1 ? " is" : "s are", first);
    pel_source_destroy(source);
}

void input_images(const pel_source *source, const input_options *in, int32_t *first, int32_t *last)
{
    *first = in->image < 0 ? 0 : (int32_t)in->image;
    *last = in->image < 0 ? pel_source_image_count(source) : *first + 1;
}
