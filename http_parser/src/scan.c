/* Scans of values and targets: portable, SSE2 and AVX2. */
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

/* Every processor of this kind has the first: pcmpestri of SSE4.2 needs no fewer instructions, and
 * takes longer. */
#    define SSE static inline __attribute__((always_inline))
#    define AVX __attribute__((target("avx2")))

/* Bits of the bytes that end a value. Signed compares: 0x80 up are negative, and belong to it. */
SSE uint32_t sse_value_ends(__m128i bytes)
{
    __m128i is_low = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), bytes);
    __m128i is_high = _mm_cmpgt_epi8(_mm_setzero_si128(), bytes);
    __m128i is_tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i is_del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    __m128i ends = _mm_or_si128(_mm_andnot_si128(_mm_or_si128(is_high, is_tab), is_low), is_del);
    return (uint32_t)_mm_movemask_epi8(ends);
}

/* Likewise for a target: 0x80 up are below 0x21 as signed ones, and end it. */
SSE uint32_t sse_target_ends(__m128i bytes)
{
    __m128i is_low = _mm_cmpgt_epi8(_mm_set1_epi8(0x21), bytes);
    __m128i is_del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(is_low, is_del));
}

SSE __m128i sse_load(const uint8_t *data)
{
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

/* The last 16 bytes once more, without those before `from`. n is at least 16. */
#    define SSE_TAIL(ends, data, from, n)                                          \
        uint32_t found = ends(sse_load((data) + (n)-16)) >> (16 - ((n) - (from))); \
        return found != 0 ? (from) + (size_t)__builtin_ctz(found) : (n)

static size_t sse_value(const uint8_t *data, size_t from, size_t n)
{
    if (n < 16)
        return portable_value(data, from, n);
    for (; n - from >= 16; from += 16) {
        uint32_t ends = sse_value_ends(sse_load(data + from));
        if (ends != 0)
            return from + (size_t)__builtin_ctz(ends);
    }
    SSE_TAIL(sse_value_ends, data, from, n);
}

static size_t sse_target(const uint8_t *data, size_t from, size_t n)
{
    if (n < 16)
        return portable_target(data, from, n);
    for (; n - from >= 16; from += 16) {
        uint32_t ends = sse_target_ends(sse_load(data + from));
        if (ends != 0)
            return from + (size_t)__builtin_ctz(ends);
    }
    SSE_TAIL(sse_target_ends, data, from, n);
}

/* As sse_value_ends(). */
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

/* As sse_target_ends(). */
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

static const struct nh_scanner sse = {.name = "sse2", .value = sse_value, .target = sse_target};
static const struct nh_scanner avx = {.name = "avx2", .value = avx_value, .target = avx_target};

const struct nh_scanner *const *nh_scanners(void)
{
    static const struct nh_scanner *const all[] = {&portable, &sse, &avx, NULL};
    static const struct nh_scanner *const without_avx[] = {&portable, &sse, NULL};
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
