/* SPDX-License-Identifier: MIT
 * A fuzz target without libFuzzer: runs every file of the folders named, then `count` inputs made from them by small
 * changes, the same ones every time. Prints the one line that the test runner counts.
 *   replay_X COUNT FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEEDS 256
#define MAX_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    uint8_t *data;
    size_t size;
} seeds[MAX_SEEDS];
static int seed_count;

static void load(const char *folder, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const f = fopen(path, "rb");
    if (!f || seed_count == MAX_SEEDS)
        exit(2);
    uint8_t *const data = malloc(MAX_BYTES);
    const size_t n = data ? fread(data, 1, MAX_BYTES, f) : 0;
    (void)fclose(f);
    seeds[seed_count].data = data;
    seeds[seed_count++].size = n;
}

static void load_folder(const char *folder)
{
    struct dirent **list = NULL;
    const int n = scandir(folder, &list, NULL, alphasort);
    if (n < 0)
        exit(2);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.')
            load(folder, list[i]->d_name);
        free(list[i]);
    }
    free(list);
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* One to four changes: a bit, a byte, a run moved, a cut, an edge value. */
static size_t change(uint8_t *data, size_t n, uint64_t *state)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, '[', '{', '"', '-', '9'};
    for (uint64_t k = 1 + next(state) % 4; k > 0 && n > 1; k--) {
        const size_t at = (size_t)(next(state) % n), to = (size_t)(next(state) % n);
        switch (next(state) % 5) {
        case 0:
            data[at] = (uint8_t)(data[at] ^ 1u << next(state) % 8);
            break;
        case 1:
            data[at] = (uint8_t)next(state);
            break;
        case 2:
            data[at] = edges[next(state) % sizeof edges];
            break;
        case 3: {
            const size_t run = (size_t)(1 + next(state) % 16), left = n - (at > to ? at : to);
            memmove(data + to, data + at, run < left ? run : left);
            break;
        }
        default:
            n = next(state) % 8 ? n : 1 + at;
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    uint64_t state = 88172645463325252u;
    const long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    uint8_t *const data = malloc(MAX_BYTES);
    for (int i = 2; i < argc; i++)
        load_folder(argv[i]);
    if (!data || seed_count == 0)
        return 2;
    for (int i = 0; i < seed_count; i++)
        (void)LLVMFuzzerTestOneInput(seeds[i].data, seeds[i].size);
    for (long i = 0; i < count; i++) {
        const int s = (int)(next(&state) % (uint64_t)seed_count);
        memcpy(data, seeds[s].data, seeds[s].size);
        (void)LLVMFuzzerTestOneInput(data, change(data, seeds[s].size, &state));
    }
    printf("ok replayed %d seeds and %ld changes of them\n1 passed, 0 failed\n", seed_count, count);
    for (int i = 0; i < seed_count; i++)
        free(seeds[i].data);
    free(data);
    return 0;
}
