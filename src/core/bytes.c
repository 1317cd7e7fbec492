/* SPDX-License-Identifier: MIT
 * Products of sizes, byte order, and the two checksums. CRC-32C takes the CPU's instruction where there is one; CRC-32 and the
 * fallback go eight bytes a step through tables that are computed once, on first use. */
#include "core/bytes.h"

#include <pthread.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

bool pel__product(const int64_t *factors, int32_t n, int64_t *out)
{
    int64_t p = 1;
    for (int32_t i = 0; i < n; i++) {
        if (factors[i] < 0 || !pel__mul(p, factors[i], &p))
            return false;
    }
    *out = p;
    return true;
}

typedef struct {
    uint32_t t[8][256];
} crc_tables;

static crc_tables crc32_tables, crc32c_tables;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(crc_tables *c, uint32_t polynomial)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;
        for (int k = 0; k < 8; k++)
            v = (v >> 1) ^ (polynomial & (0U - (v & 1U)));
        c->t[0][i] = v;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++)
            c->t[k][i] = (c->t[k - 1][i] >> 8) ^ c->t[0][c->t[k - 1][i] & 0xFF];
    }
}

static void make_tables(void)
{
    fill_tables(&crc32_tables, 0xEDB88320U);
    fill_tables(&crc32c_tables, 0x82F63B78U);
}

static uint32_t crc_by_tables(const crc_tables *c, uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        const uint64_t v = pel__load_u64(p) ^ crc;
        crc = c->t[7][v & 0xFF] ^ c->t[6][(v >> 8) & 0xFF] ^ c->t[5][(v >> 16) & 0xFF] ^ c->t[4][(v >> 24) & 0xFF] ^
              c->t[3][(v >> 32) & 0xFF] ^ c->t[2][(v >> 40) & 0xFF] ^ c->t[1][(v >> 48) & 0xFF] ^ c->t[0][v >> 56];
    }
    for (; n > 0; n--, p++)
        crc = (crc >> 8) ^ c->t[0][(crc ^ *p) & 0xFF];
    return crc;
}

uint32_t pel__crc32(uint32_t crc, const void *data, size_t n)
{
    (void)pthread_once(&tables_once, make_tables);
    return ~crc_by_tables(&crc32_tables, ~crc, data, n);
}

#if defined(__x86_64__)
#define STRIPE ((size_t)1024) /* bytes */
/* x^(8 s - 33) modulo the polynomial, bits reversed: a carry-less product with it and the instruction itself move a
 * checksum past s zero bytes. For s = 1024 and 2048. */
#define PAST_ONE 0x170076fa
#define PAST_TWO 0xa51b6135

__attribute__((target("sse4.2,pclmul"))) static uint64_t past(uint64_t crc, uint64_t factor)
{
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi64_si128((int64_t)factor), 0);
    return __builtin_ia32_crc32di(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* The instruction takes three cycles but can begin one each cycle: three stripes at once, then put together. */
__attribute__((target("sse4.2,pclmul"))) static uint64_t crc32c_stripes(uint64_t crc, const uint8_t *p, size_t stripes)
{
    uint64_t a = crc;
    for (; stripes > 0; stripes--, p += 3 * STRIPE) {
        uint64_t b = 0, c = 0;
        for (size_t i = 0; i < STRIPE; i += 8) {
            a = __builtin_ia32_crc32di(a, pel__load_u64(p + i));
            b = __builtin_ia32_crc32di(b, pel__load_u64(p + STRIPE + i));
            c = __builtin_ia32_crc32di(c, pel__load_u64(p + 2 * STRIPE + i));
        }
        a = past(a, PAST_TWO) ^ past(b, PAST_ONE) ^ c;
    }
    return a;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_cpu(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = crc;
    const size_t stripes = __builtin_cpu_supports("pclmul") ? n / (3 * STRIPE) : 0;
    if (stripes > 0)
        c = crc32c_stripes(c, p, stripes);
    p += stripes * 3 * STRIPE;
    n -= stripes * 3 * STRIPE;
    for (; n >= 8; n -= 8, p += 8)
        c = __builtin_ia32_crc32di(c, pel__load_u64(p));
    uint32_t c32 = (uint32_t)c;
    for (; n > 0; n--, p++)
        c32 = __builtin_ia32_crc32qi(c32, *p);
    return c32;
}
#endif

uint32_t pel__crc32c(uint32_t crc, const void *data, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_cpu(~crc, data, n);
#endif
    (void)pthread_once(&tables_once, make_tables);
    return ~crc_by_tables(&crc32c_tables, ~crc, data, n);
}

/* ---- byte order ------------------------------------------------------------------------------------------------ */

#define SWAP(type, swapped)                             \
    for (int64_t i = 0; i < n; i += (int64_t)sizeof(type)) { \
        type v;                                         \
        memcpy(&v, p + i, sizeof v);                    \
        v = swapped(v);                                 \
        memcpy(p + i, &v, sizeof v);                    \
    }

void pel__swap_items(void *items, int64_t n, int64_t size)
{
    uint8_t *const p = items;
    if (size == 2) {
        SWAP(uint16_t, __builtin_bswap16)
    } else if (size == 4) {
        SWAP(uint32_t, __builtin_bswap32)
    } else if (size == 8) {
        SWAP(uint64_t, __builtin_bswap64)
    } else {
        for (int64_t i = 0; i < n; i += size)
            for (int64_t k = 0; k < size / 2; k++) {
                const uint8_t t = p[i + k];
                p[i + k] = p[i + size - 1 - k];
                p[i + size - 1 - k] = t;
            }
    }
}
#undef SWAP
