/* SPDX-License-Identifier: MIT
 * Any texts as the settings of a run over a small image: parts of the input, apart by zero bytes, are what the list below says. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const parameters[] = {"sigma", "radius", "strength", "patch", "radius-xy", "iterations", "axes", "percentile", "fwhm"};
    enum { FILTER, NOISE, THEN, DTYPE, CODEC, CHUNK, BLOCK, VERSION, VALUE, TEXTS };
    char *text[TEXTS] = {NULL}, path[256];
    pel_run *run = NULL;
    pel_error e = {0};
    if (size < 1 || size > 2000)
        return 0;
    (void)fuzz_begin();
    const pel_setting setting = {.name = parameters[data[0] % (sizeof parameters / sizeof parameters[0])]};
    data++;
    size--;
    for (int i = 0; i < TEXTS; i++)
        text[i] = fuzz_part(&data, &size);
    pel_setting given = setting;
    given.value = text[VALUE];
    const bool any = text[VALUE] && text[VALUE][0];
#define GIVEN(k) (text[k] && text[k][0] ? text[k] : NULL)
    const pel_run_options o = {
        .filter = GIVEN(FILTER) ? text[FILTER] : "gaussian", .input = "phantom:t=2,c=2,z=3,y=40,x=50", .output = fuzz_path(path, "nothing/out"),
        .noise = GIVEN(NOISE) ? text[NOISE] : "4,-200", .then = GIVEN(THEN), .dtype = GIVEN(DTYPE), .codec = GIVEN(CODEC), .chunk = GIVEN(CHUNK),
        .block = GIVEN(BLOCK), .ome_version = GIVEN(VERSION), .settings = &given, .setting_count = any, .memory_bytes = INT64_C(1) << 30,
        .threads = 1,
    };
    if (pel_run_plan(&run, &o, NULL, NULL, &e)) {
        pel_plan_summary s;
        pel_run_summary(run, &s);
        if (s.memory_promised > s.memory_limit || s.blocks < 1)
            abort();
    } else {
        fuzz_failed(&e);
    }
    pel_run_destroy(run);
    for (int i = 0; i < TEXTS; i++)
        free(text[i]);
    return 0;
}
