/* Scans of values and targets: portable, SSE4.2 and AVX2. */
#include "scan.h"

#include <stdatomic.h>
#include <stdbool.h>

static bool ends_value(uint8_t byte)
{
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

static bool ends_target(uint8_t byte)
{
    return byte < 0x21 || byte > 0x7e;
}

static size_t portable_value(const uint8_t *data, size_t from, size_t n)
{
    while (from < n && !ends_value(data[from]))
        from++;
    return from;
}

static size_t portable_target(const uint8_t *data, size_t from, size_t n)
{
    while (from < n && !ends_target(data[from]))
        from++;
    return from;
}

static const struct nh_scanner portable = {
    .name = "portable", .value = portable_value, .target = portable_target};

#if defined(__x86_64__)
#    include <immintrin.h>

/* Ranges of bytes to find, from and to, as pcmpestri takes them. */
static const char value_ranges[16] = "\x00\x08\x0a\x1f\x7f\x7f";
static const char target_ranges[16] = "\x00\x20\x7f\xff";

#    define SSE __attribute__((target("sse4.2")))
#    define AVX __attribute__((target("avx2")))

SSE static inline size_t sse_find(const uint8_t *data, size_t from, size_t n, const char *ranges,
                                  int ranges_len)
{
    __m128i wanted = _mm_loadu_si128((const __m128i *)(const void *)ranges);
    for (; n - from >= 16; from += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(data + from));
        int at = _mm_cmpestri(wanted, ranges_len, bytes, 16,
                              _SIDD_UBYTE_OPS | _SIDD_CMP_RANGES | _SIDD_LEAST_SIGNIFICANT);
        if (at != 16)
            return from + (size_t)at;
    }
    return from;
}

SSE static size_t sse_value(const uint8_t *data, size_t from, size_t n)
{
    return portable_value(data, sse_find(data, from, n, value_ranges, 6), n);
}

SSE static size_t sse_target(const uint8_t *data, size_t from, size_t n)
{
    return portable_target(data, sse_find(data, from, n, target_ranges, 4), n);
}

/* Bits of the bytes that end a value. Signed compares: 0x80 up are negative, and belong to it. */
AVX static inline uint32_t avx_value_ends(__m256i bytes)
{
    __m256i is_low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
    __m256i is_high = _mm256_cmpgt_epi8(_mm256_setzero_si256(), bytes);
    __m256i is_tab = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\t'));
    __m256i is_del = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f));
    __m256i is_allowed = _mm256_or_si256(is_high, is_tab);
    __m256i ends = _mm256_or_si256(_mm256_andnot_si256(is_allowed, is_low), is_del);
    return (uint32_t)_mm256_movemask_epi8(ends);
}

/* Likewise for a target: 0x80 up are below 0x21 as signed ones, and end it. */
AVX static inline uint32_t avx_target_ends(__m256i bytes)
{
    __m256i is_low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x21), bytes);
    __m256i is_del = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f));
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(is_low, is_del));
}

AVX static size_t avx_value(const uint8_t *data, size_t from, size_t n)
{
    for (; n - from >= 32; from += 32) {
        uint32_t ends =
            avx_value_ends(_mm256_loadu_si256((const __m256i *)(const void *)(data + from)));
        if (ends != 0)
            return from + (size_t)__builtin_ctz(ends);
    }
    return sse_value(data, from, n);
}

AVX static size_t avx_target(const uint8_t *data, size_t from, size_t n)
{
    for (; n - from >= 32; from += 32) {
        uint32_t ends =
            avx_target_ends(_mm256_loadu_si256((const __m256i *)(const void *)(data + from)));
        if (ends != 0)
            return from + (size_t)__builtin_ctz(ends);
    }
    return sse_target(data, from, n);
}

static const struct nh_scanner sse = {.name = "sse4.2", .value = sse_value, .target = sse_target};
static const struct nh_scanner avx = {.name = "avx2", .value = avx_value, .target = avx_target};

const struct nh_scanner *const *nh_scanners(void)
{
    static const struct nh_scanner *const all[] = {&portable, &sse, &avx, NULL};
    static const struct nh_scanner *const without_avx[] = {&portable, &sse, NULL};
    static const struct nh_scanner *const neither[] = {&portable, NULL};
    if (!__builtin_cpu_supports("sse4.2"))
        return neither;
    return __builtin_cpu_supports("avx2") ? all : without_avx;
}
#else
const struct nh_scanner *const *nh_scanners(void)
{
    static const struct nh_scanner *const all[] = {&portable, NULL};
    return all;
}
#endif

const struct nh_scanner *nh_scanner(void)
{
    /* Relaxed: every thread that chooses chooses the same constant. */
    static _Atomic(const struct nh_scanner *) chosen;
    const struct nh_scanner *best = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (best != NULL)
        return best;
    const struct nh_scanner *const *all = nh_scanners();
    while (*all != NULL)
        best = *all++;
    atomic_store_explicit(&chosen, best, memory_order_relaxed);
    return best;
}
