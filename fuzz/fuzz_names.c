/* SPDX-License-Identifier: MIT
 * Any text as a name: of a made image, of a place (http, https, s3), as a selection or a pixel size. The first byte says which. */
#include "fuzz.h"

#include "../tests/corner.h"

#include "zarr/url.h"

static void open_phantom(const char *name, const char *select, const char *pixel_size, const char *axes)
{
    pel_source *s = NULL;
    pel_error e = {0};
    const pel_open_options o = {.select = select, .pixel_size = pixel_size, .axes = axes};
    if (!pel_source_open(&s, name, &o, &e)) {
        fuzz_failed(&e);
        return;
    }
    const pel_image *const im = pel_source_image(s, 0);
    for (int a = 0; a < PEL_AXES; a++)
        if (im->shape[a] < 1)
            abort();
    if (im->shape[PEL_Y] <= 4096 && im->shape[PEL_X] <= 4096 && im->shape[PEL_Z] <= 64 && !corner_is_read_or_refused(s, 0, true))
        abort();
    pel_source_destroy(s);
}

static void make_urls(const char *text)
{
    char root[1024], url[1024];
    pel_error e = {0};
    size_t n = 0;
    const pel_remote remote = {.endpoint = "https://127.0.0.1:9000"}, odd = {.endpoint = text, .region = text};
    if (!pel__url_is_remote(text))
        return;
    if (!pel__url_root(root, sizeof root, text, NULL, &e))
        fuzz_failed(&e);
    else if (!pel__url_key(url, sizeof url, root, text, &e))
        fuzz_failed(&e);
    (void)pel__url_root(root, sizeof root, text, &odd, NULL);
    if (pel__url_is_s3(text) && pel__url_list(url, sizeof url, text, &remote, 100, NULL)) {
        const char *const prefix = pel__url_prefix(text, &n);
        if (prefix < text || prefix + n > text + strlen(text))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char plain[] = "phantom:t=2,c=2,z=3,y=20,x=30;scenes=2";
    char name[1100];
    if (size < 1 || size > 1000)
        return 0;
    const int kind = *data++ % 5;
    size--;
    char *const text = fuzz_part(&data, &size);
    if (!text)
        return 0;
    (void)snprintf(name, sizeof name, "phantom:%s", text);
    if (kind == 0)
        open_phantom(name, NULL, NULL, NULL);
    else if (kind == 1)
        make_urls(text);
    else
        open_phantom(plain, kind == 2 ? text : NULL, kind == 3 ? text : NULL, kind == 4 ? text : NULL);
    free(text);
    return 0;
}
