/* SPDX-License-Identifier: MIT
 * Memory for pixels. Every large buffer comes from one budget, which knows the limit, what is handed out and the peak.
 * Buffers are page-aligned, zero at first, given back to the system when freed (mmap), so that resident memory follows
 * what the budget says. */
#ifndef PEL_CORE_BUDGET_H
#define PEL_CORE_BUDGET_H

#include "pellucid.h"

typedef struct pel__budget pel__budget;

bool pel__budget_create(pel__budget **out, int64_t limit_bytes, pel_error *err); /* limit 0 = none */
void pel__budget_set_limit(pel__budget *b, int64_t limit_bytes); /* what is handed out stays */
void pel__budget_destroy(pel__budget *b); /* all buffers must have been freed */

/* PEL_NO_MEMORY names the limit, what is in use and what was asked. Any thread. n = 0 gives NULL and true. */
bool pel__budget_alloc(pel__budget *b, void **out, int64_t n, const char *what, pel_error *err);
void pel__budget_free(pel__budget *b, void *p, int64_t n); /* p may be NULL */
int64_t pel__budget_used(const pel__budget *b);
int64_t pel__budget_peak(const pel__budget *b);

/* Carves a caller's memory into aligned pieces (64 bytes), for scratch whose size was declared before. */
typedef struct pel__arena {
    uint8_t *base;
    int64_t size, used;
} pel__arena;

pel__arena pel__arena_over(void *memory, int64_t size);
void *pel__arena_take(pel__arena *a, int64_t n); /* NULL where it does not fit: the declared size was wrong */
static inline int64_t pel__arena_cost(int64_t n) { return (n + 63) / 64 * 64; } /* what take(n) uses up */

#endif
