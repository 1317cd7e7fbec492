/* SPDX-License-Identifier: MIT
 * See budget.h. mmap rather than malloc: freed memory goes back to the system at once, and no heap keeps pieces. */
#include "core/budget.h"

#include "core/bytes.h"
#include "core/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

struct pel__budget {
    pthread_mutex_t mutex;
    int64_t limit, used, peak;
};

#define PAGE 4096
#define HUGE_PAGE (2 << 20)

bool pel__budget_create(pel__budget **out, int64_t limit_bytes, pel_error *err)
{
    pel__budget *b = calloc(1, sizeof *b);
    if (!b)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for the budget");
    (void)pthread_mutex_init(&b->mutex, NULL);
    b->limit = limit_bytes;
    *out = b;
    return true;
}

void pel__budget_set_limit(pel__budget *b, int64_t limit_bytes)
{
    (void)pthread_mutex_lock(&b->mutex);
    b->limit = limit_bytes;
    (void)pthread_mutex_unlock(&b->mutex);
}

void pel__budget_destroy(pel__budget *b)
{
    if (!b)
        return;
    (void)pthread_mutex_destroy(&b->mutex);
    free(b);
}

/* Books n more (n < 0: less). */
static bool book(pel__budget *b, int64_t n)
{
    (void)pthread_mutex_lock(&b->mutex);
    const bool fits = b->limit == 0 || n <= 0 || n <= b->limit - b->used;
    if (fits) {
        b->used += n;
        b->peak = pel__max(b->peak, b->used);
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return fits;
}

bool pel__budget_alloc(pel__budget *b, void **out, int64_t n, const char *what, pel_error *err)
{
    *out = NULL;
    if (n == 0)
        return true;
    if (n < 0 || n > INT64_MAX - PAGE)
        return pel__fail(err, PEL_NO_MEMORY, "%s: %lld bytes cannot be", what, (long long)n);
    const int64_t whole = pel__round_up(n, PAGE);
    if (!book(b, whole))
        return pel__fail(err, PEL_NO_MEMORY, "%s: needs %lld bytes, %lld of the limit of %lld are in use", what, (long long)n,
                         (long long)b->used, (long long)b->limit);
    void *p = mmap(NULL, (size_t)whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        (void)book(b, -whole);
        return pel__fail_errno(err, errno, "%s: the system gives no %lld bytes", what, (long long)n);
    }
    if (whole >= HUGE_PAGE) /* fewer faults; all of it is booked, so pages that are never touched singly cost no promise */
        (void)madvise(p, (size_t)whole, MADV_HUGEPAGE);
    *out = p;
    return true;
}

void pel__budget_free(pel__budget *b, void *p, int64_t n)
{
    if (!p)
        return;
    const int64_t whole = pel__round_up(n, PAGE);
    (void)munmap(p, (size_t)whole);
    (void)book(b, -whole);
}

int64_t pel__budget_used(const pel__budget *b) { return b->used; }
int64_t pel__budget_peak(const pel__budget *b) { return b->peak; }

pel__arena pel__arena_over(void *memory, int64_t size)
{
    return (pel__arena){.base = memory, .size = size};
}

void *pel__arena_take(pel__arena *a, int64_t n)
{
    const int64_t cost = pel__arena_cost(n);
    if (n < 0 || cost > a->size - a->used)
        return NULL;
    void *p = a->base + a->used;
    a->used += cost;
    return p;
}
