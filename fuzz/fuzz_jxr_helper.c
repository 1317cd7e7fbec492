/* SPDX-License-Identifier: MIT
 * Any bytes as what comes to the JPEG XR helper: which requests it takes, and how it cuts and swaps the pixels of a picture of
 * another size than was asked for. The decoder itself is left out: it dies on damaged streams, which is why it has a process. */
#include "fuzz.h"

int jxr_main(void);
#define main jxr_main
#include "codec/jxr_main.c" // NOLINT(bugprone-suspicious-include)
#undef main

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pel__jxr_request q;
    uint8_t w_odd = 0, h_odd = 0;
    if (size < sizeof q + 2)
        return 0;
    memcpy(&q, data, sizeof q);
    w_odd = data[sizeof q];
    h_odd = data[sizeof q + 1];
    (void)jxr_main;
    if (!sane(&q)) { /* most of them: make one of it that is */
        q.width = 1 + (int32_t)((uint32_t)q.width % 90);
        q.height = 1 + (int32_t)((uint32_t)q.height % 90);
    }
    if (q.width > 2000 || q.height > 2000)
        return 0;
    const format *const f = &formats[(uint32_t)q.pixel % (sizeof formats / sizeof formats[0])];
    const int64_t w = (int64_t)q.width + PEL__JXR_ODD - w_odd % (PEL__JXR_ODD + q.width), h = (int64_t)q.height + PEL__JXR_ODD - h_odd % (PEL__JXR_ODD + q.height);
    const int64_t most_w = w > q.width ? w : q.width, most_h = h > q.height ? h : q.height;
    uint8_t *const out = calloc((size_t)most_h, (size_t)(most_w * f->bytes));
    if (!out)
        abort();
    memset(out, 1, (size_t)(w * h * f->bytes));
    if (w != q.width || h != q.height)
        fit(out, &q, (I32)w, (I32)h, f->bytes);
    if (f->swap)
        swap_samples(out, (int64_t)q.width * q.height, f->bytes, f->swap);
    for (int64_t y = 0; y < q.height; y++)
        for (int64_t x = 0; x < q.width; x++)
            if (out[(y * q.width + x) * f->bytes] != (x < w && y < h))
                abort();
    free(out);
    return 0;
}
