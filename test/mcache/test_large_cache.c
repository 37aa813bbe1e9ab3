/* Freed blocks above the largest class are kept for the next ones, for a while and within bounds.
 */
#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "load.h"
#include "refusal.h"

#define MIB  ((size_t)1 << 20)
#define HOUR (3600u * 1000)
/* What a mapping has beside the bytes that were asked for: its header, and 64 KiB less a byte. */
#define BESIDE ((size_t)(4 + 64) << 10)

enum {
    AGE_MS = 100,
    COARSE_MS = 10, /* ages are measured with the kernel's coarse clock */
    DEADLINE_MS = 10000,
    PAGE = 4096
};

static void *must(void *block)
{
    cr_assert_not_null(block);
    return block;
}

static char *must_fill(size_t size)
{
    char *block = must(mcache_alloc(size));

    memset(block, 1, size);
    return block;
}

Test(large_cache, freed_block_serves_the_next_request)
{
    size_t maps;
    size_t capacity;
    char *block = must_fill(5 * MIB);

    capacity = mcache_capacity(block);
    mcache_free(block);
    cr_assert_eq(stats_now().system_bytes, 0);
    cr_assert_geq(stats_now().system_retained_bytes, capacity);
    cr_assert_leq(stats_now().system_retained_bytes, capacity + PAGE);
    cr_assert_eq(stats_now().retained_bytes, stats_now().system_retained_bytes);
    maps = mmap_count();
    for (int i = 1; i <= 10; i++) {
        cr_assert_eq(mcache_alloc(5 * MIB), block);
        cr_assert_eq(stats_now().system_reuse_count, (uint64_t)i);
        cr_assert_eq(stats_now().system_bytes, capacity);
        cr_assert_eq(stats_now().system_retained_bytes, 0);
        mcache_free(block);
    }
    cr_assert_eq(mmap_count(), maps);
    cr_assert_eq(stats_now().system_alloc_count, 11);
    cr_assert_eq(stats_now().system_free_count, 11);
    cr_assert_eq(stats_now().segment_bytes, 0);
}

/* A request that does not go up to a bin's end must not get what begins below it. */
Test(large_cache, reused_block_is_never_too_small_and_at_most_a_quarter_too_large)
{
    enum {
        KEPT = 30,
        STEPS = 4000
    };
    uint32_t bits = 3;
    void *live[KEPT] = {NULL};

    configure(4096 * MIB, HOUR);
    for (unsigned step = 0; step < STEPS; step++) {
        size_t size;
        void **slot;

        bits = bits * 1664525u + 1013904223u;
        size = MIB + 1 + (bits >> 8) % (MIB << (bits >> 28) % 5);
        slot = &live[(bits >> 4) % KEPT];
        mcache_free(*slot);
        *slot = must(mcache_alloc(size));
        cr_assert_geq(mcache_capacity(*slot), size);
        cr_assert_leq(mcache_capacity(*slot), (size + BESIDE) / 4 * 5, "for %zu bytes", size);
    }
    cr_assert_geq(stats_now().system_reuse_count, STEPS / 2);
    for (int i = 0; i < KEPT; i++) {
        mcache_free(live[i]);
    }
    cr_assert_eq(stats_now().system_bytes, 0);
}

Test(large_cache, large_mapping_is_not_spent_on_a_small_request)
{
    void *block = must(mcache_alloc(64 * MIB));
    void *other;

    mcache_free(block);
    other = must(mcache_alloc(MIB + MIB / 10));
    cr_assert_lt(mcache_capacity(other), 2 * MIB);
    cr_assert_geq(stats_now().system_retained_bytes, 64 * MIB);
    mcache_free(other);
}

Test(large_cache, tightest_of_a_few_is_taken)
{
    void *tight = must(mcache_alloc(16 * MIB));
    void *wide = must(mcache_alloc(17 * MIB));

    mcache_free(tight);
    mcache_free(wide);
    cr_assert_eq(mcache_alloc(16 * MIB), tight);
    cr_assert_eq(mcache_alloc(16 * MIB), wide);
    mcache_free(tight);
    mcache_free(wide);
}

Test(large_cache, contents_of_zeroed_blocks_are_zero)
{
    size_t size = 3 * MIB + 77;
    char *dirty = must_fill(size);
    char *block;

    mcache_free(dirty);
    block = must(mcache_calloc(1, size));
    cr_assert_eq(block, dirty, "the block is new, so nothing is tested");
    cr_assert(block[0] == 0 && memcmp(block, block + 1, size - 1) == 0);
    mcache_free(block);
}

Test(large_cache, any_alignment_is_served_from_any_mapping)
{
    size_t reused;

    mcache_free(must(mcache_alloc(8 * MIB)));
    for (int i = 0; i < 100; i++) {
        size_t alignment = (size_t)16 << (unsigned)(i * 7) % 18;
        char *block = must(mcache_aligned_alloc(alignment, 6 * MIB));

        cr_assert_eq((uintptr_t)block % alignment, 0);
        cr_assert_geq(mcache_capacity(block), 6 * MIB);
        memset(block, i, mcache_capacity(block));
        mcache_free(block);
    }
    reused = (size_t)stats_now().system_reuse_count;
    cr_assert_geq(reused, 90, "only %zu", reused);
}

static void check_limit(size_t limit, size_t size)
{
    enum {
        COUNT = 24
    };
    void *blocks[COUNT];
    size_t most = 0;

    for (int i = 0; i < COUNT; i++) {
        blocks[i] = must(mcache_alloc(size));
    }
    for (int i = 0; i < COUNT; i++) {
        size_t retained;

        mcache_free(blocks[i]);
        retained = stats_now().retained_bytes;
        cr_assert_leq(retained, limit);
        most = retained > most ? retained : most;
    }
    cr_assert(size > limit / 5 || most >= limit / 64 * 15 - size - BESIDE, "kept only %zu", most);
    (void)mcache_trim();
}

Test(large_cache, retain_limit_holds_at_every_moment)
{
    for (size_t size = MIB + 1; size < 32 * MIB; size = size * 3 / 2) {
        configure(80 * MIB, HOUR);
        check_limit(80 * MIB, size);
        configure(1, HOUR);
        check_limit(1, size);
    }
}

/* Half, the classes' shares, and that of large blocks together. */
Test(large_cache, retain_limit_is_for_all_together)
{
    enum {
        COUNT = 100
    };
    void *blocks[COUNT];

    configure(64 * MIB, HOUR);
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = must(mcache_alloc(2 * MIB));
    }
    for (size_t size = 16; size <= MCACHE_CLASS_MAX; size *= 4) {
        free_chain(alloc_chain(size, 64 * MIB / size / 4));
        mcache_flush();
        cr_assert_leq(stats_now().retained_bytes, 64 * MIB);
    }
    for (int i = 0; i < COUNT; i++) {
        mcache_free(blocks[i]);
        cr_assert_leq(stats_now().retained_bytes, 64 * MIB);
    }
}

Test(large_cache, what_is_larger_than_the_limit_throws_nothing_out)
{
    size_t retained;

    configure(32 * MIB, HOUR);
    mcache_free(must(mcache_alloc(2 * MIB)));
    retained = stats_now().retained_bytes;
    mcache_free(must(mcache_alloc(40 * MIB)));
    cr_assert_eq(stats_now().retained_bytes, retained);
    cr_assert_geq(stats_now().returned_bytes, 40 * MIB);
}

Test(large_cache, oldest_goes_where_the_limit_is_reached)
{
    char *old;
    char *young;

    configure(64 * MIB, HOUR); /* 15 MiB of it */
    old = must(mcache_alloc(6 * MIB));
    young = must(mcache_alloc(4 * MIB));
    mcache_free(old);
    mcache_free(young);
    mcache_free(must(mcache_alloc(8 * MIB)));
    cr_assert_geq(stats_now().returned_bytes, 6 * MIB);
    cr_assert_lt(stats_now().returned_bytes, 8 * MIB);
    cr_assert_eq(mcache_alloc(4 * MIB), young);
    mcache_free(young);
}

Test(large_cache, lowered_limit_costs_a_free_no_more_than_its_own_size)
{
    enum {
        COUNT = 100
    };
    void *blocks[COUNT];
    uint64_t before;

    configure(0, HOUR);
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = must(mcache_alloc(2 * MIB));
    }
    for (int i = 1; i < COUNT; i++) {
        mcache_free(blocks[i]);
    }
    configure(64 * MIB, HOUR);
    before = stats_now().returned_bytes;
    mcache_free(blocks[0]);
    cr_assert_leq(stats_now().returned_bytes - before, 5 * MIB);
}

static void free_burst(size_t size, int count)
{
    char *blocks[64];

    for (int i = 0; i < count; i++) {
        blocks[i] = must_fill(size);
    }
    for (int i = 0; i < count; i++) {
        mcache_free(blocks[i]);
    }
}

Test(large_cache, goes_back_after_one_to_two_times_decay_ms, .timeout = 60)
{
    size_t resident = resident_bytes();
    int64_t start;
    int64_t first = 0;

    configure(0, AGE_MS);
    free_burst(4 * MIB, 16);
    start = now_ms();
    cr_assert_geq(stats_now().retained_bytes, 64 * MIB);
    cr_assert_geq(resident_bytes(), resident + 64 * MIB);
    while (mcache_tick() != 0) {
        if (first == 0 && stats_now().returned_bytes != 0) {
            first = now_ms() - start;
        }
        cr_assert_lt(now_ms() - start, (int64_t)10 * 2 * AGE_MS, "it does not go back");
        pass_ms(1);
    }
    cr_assert_geq(first, AGE_MS - COARSE_MS, "it went back too early");
    cr_assert_eq(stats_now().system_retained_bytes, 0);
    cr_assert_geq(stats_now().returned_bytes, 64 * MIB);
    cr_assert_leq(resident_bytes(), resident + 32 * MIB);
}

/* Blocks of another size, so that none of what is retained is used. */
Test(large_cache, large_allocations_alone_drive_the_decay, .timeout = 60)
{
    int64_t start = now_ms();

    configure(0, 20);
    free_burst(4 * MIB, 16);
    while (stats_now().retained_bytes >= 4 * MIB) {
        cr_assert_lt(now_ms() - start, DEADLINE_MS, "pairs give nothing back");
        mcache_free(must(mcache_alloc(2 * MIB)));
    }
    cr_assert_geq(stats_now().returned_bytes, 64 * MIB);
}

Test(large_cache, what_is_used_every_round_stays_and_the_rest_goes, .timeout = 60)
{
    enum {
        ROUNDS = 8
    };
    uint64_t returned;
    size_t maps;
    int64_t start = now_ms();

    configure(0, AGE_MS);
    free_burst(4 * MIB, 16);
    while (stats_now().retained_bytes > 9 * MIB) {
        cr_assert_lt(now_ms() - start, DEADLINE_MS, "what is not used is kept");
        free_burst(4 * MIB, 2);
    }
    returned = stats_now().returned_bytes;
    maps = mmap_count();
    start = now_ms();
    while (now_ms() - start < (int64_t)ROUNDS * AGE_MS) {
        free_burst(4 * MIB, 2);
    }
    cr_assert_eq(stats_now().returned_bytes, returned);
    cr_assert_eq(mmap_count(), maps);
}

Test(large_cache, one_tick_gives_back_a_bounded_piece_of_a_large_mapping, .timeout = 60)
{
    size_t size = 200 * MIB;
    size_t largest = 0;
    int64_t start = now_ms();

    configure(4096 * MIB, 20);
    mcache_free(must(mcache_alloc(size)));
    while (mcache_tick() != 0) {
        uint64_t before = stats_now().returned_bytes;
        size_t retained = stats_now().retained_bytes;

        cr_assert_lt(now_ms() - start, DEADLINE_MS);
        /* Long enough that everything is due. */
        pass_ms(60);
        (void)mcache_tick();
        before = stats_now().returned_bytes - before;
        largest = before > largest ? (size_t)before : largest;
        cr_assert_eq(stats_now().retained_bytes, retained - before);
    }
    cr_assert_gt(largest, 8 * MIB, "a tick does next to nothing");
    cr_assert_leq(largest, 32 * MIB, "%zu bytes", largest);
    cr_assert_geq(stats_now().returned_bytes, size);
}

/* The end has gone, its addresses may be anybody's. */
Test(large_cache, what_is_left_of_a_mapping_serves_smaller_requests, .timeout = 60)
{
    size_t size = 600 * MIB;
    char *block;
    char *foreign;
    char *left;

    configure(4096 * MIB, 20);
    block = must(mcache_alloc(size));
    mcache_free(block);
    do {
        (void)mcache_tick();
        pass_ms(1);
    } while (stats_now().returned_bytes == 0);
    cr_assert_lt(stats_now().retained_bytes, size);
    foreign = mmap(block + stats_now().retained_bytes, MIB, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    cr_assert_eq(foreign, block + stats_now().retained_bytes);
    memset(foreign, 1, MIB);
    /* The allocation may give back another 32 MiB. */
    size = stats_now().retained_bytes - 40 * MIB;
    left = must(mcache_alloc(size));
    cr_assert_eq(left, block);
    memset(left, 2, MIB);
    memset(left + mcache_capacity(left) - MIB, 2, MIB);
    cr_assert(foreign[0] == 1 && memcmp(foreign, foreign + 1, MIB - 1) == 0);
    mcache_free(left);
    cr_assert_eq(munmap(foreign, MIB), 0);
}

Test(large_cache, trim_does_not_wait)
{
    size_t resident = resident_bytes();
    uint64_t before;
    size_t retained;

    configure(0, HOUR);
    free_burst(4 * MIB, 16);
    before = stats_now().returned_bytes;
    retained = stats_now().retained_bytes;
    cr_assert_eq(mcache_trim(), retained);
    cr_assert_eq(stats_now().returned_bytes - before, retained);
    cr_assert_eq(stats_now().retained_bytes, 0);
    cr_assert_leq(resident_bytes(), resident + 16 * MIB);
}

Test(large_cache, refused_memory_is_made_of_what_is_retained)
{
    void *large;
    void *small;

    mcache_free(must(mcache_alloc(64 * MIB)));
    refusal_start(REFUSED_MMAP, 1, false);
    large = mcache_alloc(4 * MIB);
    cr_assert_eq(refusal_stop(), 1);
    cr_assert_not_null(large);
    cr_assert_eq(stats_now().retained_bytes, 0);
    mcache_free(large);
    refusal_start(REFUSED_MMAP, 1, false);
    small = mcache_alloc(100);
    cr_assert_geq(refusal_stop(), 1);
    cr_assert_not_null(small);
    mcache_free(small);
}
