/* SPDX-License-Identifier: MIT
 * The whole of our test harness: a test program defines cases with CASE(name) and lists them in main through RUN.
 * Each case prints one line "ok name" or "FAIL name"; the last line of a program is "N passed, N failed". */
#ifndef PEL_TESTS_CHECK_H
#define PEL_TESTS_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int check_failures, check_passed, check_failed;

#define CHECK(cond)                                                                                               \
    do {                                                                                                          \
        if (!(cond)) {                                                                                            \
            printf("  %s:%d: not true: %s\n", __FILE__, __LINE__, #cond);                                         \
            check_failures++;                                                                                     \
        }                                                                                                         \
    } while (0)

#define CHECK_INT(a, b)                                                                                           \
    do {                                                                                                          \
        const int64_t check_a = (int64_t)(a), check_b = (int64_t)(b);                                             \
        if (check_a != check_b) {                                                                                 \
            printf("  %s:%d: %s is %" PRId64 ", expected %s = %" PRId64 "\n", __FILE__, __LINE__, #a, check_a, #b, check_b); \
            check_failures++;                                                                                     \
        }                                                                                                         \
    } while (0)

#define CHECK_TEXT(text, part)                                                                                    \
    do {                                                                                                          \
        const char *const check_t = (text);                                                                       \
        if (!strstr(check_t, (part))) {                                                                           \
            printf("  %s:%d: \"%s\" does not hold \"%s\"\n", __FILE__, __LINE__, check_t, (part));               \
            check_failures++;                                                                                     \
        }                                                                                                         \
    } while (0)

/* A call that must succeed / fail with this code; e is a pel_error. */
#define CHECK_OK(call, e)                                                                                         \
    do {                                                                                                          \
        if (!(call)) {                                                                                            \
            printf("  %s:%d: %s failed: %s\n", __FILE__, __LINE__, #call, (e).text);                              \
            check_failures++;                                                                                     \
        }                                                                                                         \
    } while (0)
#define CHECK_FAILS(call, e, want)                                                                                \
    do {                                                                                                          \
        (e).code = 0;                                                                                             \
        if ((call) || (e).code != (want)) {                                                                       \
            printf("  %s:%d: %s: code %d \"%s\", expected code %d\n", __FILE__, __LINE__, #call, (e).code, (e).text, (int)(want)); \
            check_failures++;                                                                                     \
        }                                                                                                         \
    } while (0)

#define CASE(name) static void name(void)
#define RUN(name)                                                                                                 \
    do {                                                                                                          \
        check_failures = 0;                                                                                       \
        name();                                                                                                   \
        printf("%s %s\n", check_failures ? "FAIL" : "ok", #name);                                                 \
        (void)fflush(stdout);                                                                                     \
        if (check_failures)                                                                                       \
            check_failed++;                                                                                       \
        else                                                                                                      \
            check_passed++;                                                                                       \
    } while (0)
#define CHECK_DONE() (printf("%d passed, %d failed\n", check_passed, check_failed), check_failed ? 1 : 0)

#endif
