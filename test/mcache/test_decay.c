/* Free memory goes back to the system: by age, by the limit, at once. */
#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "load.h"

#define MIB   ((size_t)1 << 20)
#define BURST (64 * MIB)
#define HOUR  (3600u * 1000)
/* The shadow of AddressSanitizer and a few spans may stay of a burst. */
#define REST (BURST / 4)

enum {
    SEGMENT = 4 << 20,
    BLOCK = 4096,
    /* Ages are measured with the kernel's coarse clock. */
    COARSE_MS = 10,
    DEADLINE_MS = 10000
};

static void *burst_alloc(void)
{
    return alloc_chain(BLOCK, BURST / BLOCK);
}

static void burst_free(void *chain)
{
    free_chain(chain);
    mcache_flush();
}

Test(decay, free_memory_goes_back_after_one_to_two_times_decay_ms, .timeout = 60)
{
    enum {
        AGE_MS = 150
    };
    size_t resident = resident_bytes();
    int64_t start;
    int64_t first = 0;
    void *chain;

    configure(0, AGE_MS);
    chain = burst_alloc();
    cr_assert_geq(resident_bytes(), resident + BURST);
    start = now_ms();
    burst_free(chain);
    cr_assert_geq(stats_now().retained_bytes, BURST - SEGMENT);
    while (mcache_tick() != 0) {
        if (first == 0 && stats_now().returned_bytes != 0) {
            first = now_ms() - start;
        }
        cr_assert_lt(now_ms() - start, (int64_t)10 * 2 * AGE_MS, "it does not go back");
        pass_ms(1);
    }
    cr_assert_geq(first, AGE_MS - COARSE_MS, "it went back too early");
    cr_assert_eq(stats_now().retained_bytes, 0);
    cr_assert_eq(stats_now().segment_bytes, 0);
    cr_assert_geq(stats_now().returned_bytes, BURST);
    cr_assert_leq(resident_bytes(), resident + REST);
}

static void pairs_until_returned(size_t size)
{
    int64_t start = now_ms();

    burst_free(burst_alloc());
    cr_assert_geq(stats_now().retained_bytes, BURST - SEGMENT);
    while (stats_now().retained_bytes > MIB) {
        cr_assert_lt(now_ms() - start, DEADLINE_MS, "pairs of %zu bytes give nothing back", size);
        for (int i = 0; i < 1000; i++) {
            mcache_free(mcache_alloc(size));
        }
    }
}

Test(decay, allocations_alone_drive_it, .timeout = 60)
{
    size_t resident = resident_bytes();

    configure(0, 20);
    pairs_until_returned(16);
    pairs_until_returned(1000);
    pairs_until_returned(MCACHE_CLASS_MAX);
    cr_assert_geq(stats_now().returned_bytes, 3 * (BURST - SEGMENT));
    cr_assert_leq(resident_bytes(), resident + REST);
}

Test(decay, memory_that_is_used_every_round_is_not_given_back, .timeout = 60)
{
    enum {
        AGE_MS = 50,
        ROUNDS = 12
    };
    size_t used = 16 * MIB;
    uint64_t returned;
    int64_t start;

    configure(0, AGE_MS);
    burst_free(burst_alloc());
    start = now_ms();
    while (stats_now().retained_bytes > 2 * used) {
        cr_assert_lt(now_ms() - start, DEADLINE_MS, "the burst is kept");
        free_chain(alloc_chain(BLOCK, used / BLOCK));
        (void)mcache_tick();
    }
    returned = stats_now().returned_bytes;
    start = now_ms();
    while (now_ms() - start < (int64_t)ROUNDS * AGE_MS) {
        free_chain(alloc_chain(BLOCK, used / BLOCK));
        (void)mcache_tick();
    }
    /* What is left of the burst may go; a round that took what is used would take it each time. */
    cr_assert_leq(stats_now().returned_bytes - returned, 2 * used);
}

/* Allocates blocks of 16 bytes, one live per segment at the end. Returns how many are live. */
static size_t leave_one_per_segment(void *live[], size_t max, size_t bytes)
{
    void *chain = alloc_chain(16, bytes / 16);
    size_t count = 0;
    uintptr_t last = 0;

    while (chain != NULL) {
        void *block = chain;

        chain = *(void **)block;
        if ((uintptr_t)block / SEGMENT == last || count == max) {
            mcache_free(block);
            continue;
        }
        last = (uintptr_t)block / SEGMENT;
        live[count++] = block;
    }
    mcache_flush();
    return count;
}

Test(decay, one_small_block_keeps_no_more_than_its_slice, .timeout = 60)
{
    enum {
        MAX = 32
    };
    size_t bytes = 32 * MIB;
    void *live[MAX];
    size_t count;
    size_t resident;

    configure(0, 20);
    count = leave_one_per_segment(live, MAX, bytes);
    cr_assert(count >= bytes / SEGMENT && count < MAX, "%zu segments", count);
    for (size_t i = 0; i < count; i++) {
        memset(live[i], (int)i + 1, 16);
    }
    resident = resident_bytes();
    cr_assert_geq(stats_now().retained_bytes, bytes * 3 / 4);
    tick_to_the_end(DEADLINE_MS);
    cr_assert_leq(resident_bytes(), resident - bytes * 3 / 4);
    cr_assert_eq(stats_now().retained_bytes, 0);
    cr_assert_geq(stats_now().returned_bytes, bytes * 3 / 4);
    cr_assert_eq(stats_now().segment_bytes, count * SEGMENT);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 16; k++) {
            cr_assert_eq(((unsigned char *)live[i])[k], i + 1);
        }
        mcache_free(live[i]);
    }
    mcache_trim();
    cr_assert_eq(stats_now().segment_bytes, 0);
}

static void check_limit(size_t size, size_t limit)
{
    void *chain = alloc_chain(size, BURST / size);
    size_t step = size < BLOCK ? 1024 : 16;
    size_t most = 0;

    for (size_t i = 0; chain != NULL; i++) {
        void *next = *(void **)chain;

        mcache_free(chain);
        chain = next;
        if (i % step == 0) {
            size_t retained = stats_now().retained_bytes;

            most = retained > most ? retained : most;
        }
    }
    mcache_flush();
    cr_assert_leq(most, limit, "blocks of %zu bytes", size);
    cr_assert_leq(stats_now().retained_bytes, limit, "blocks of %zu bytes", size);
    cr_assert(limit < MIB || most >= limit / 4, "blocks of %zu bytes: kept only %zu", size, most);
}

Test(decay, retain_limit_holds_at_every_moment_of_a_burst, .timeout = 60)
{
    size_t resident = resident_bytes();

    configure(8 * MIB, HOUR);
    cr_assert_eq(stats_now().retain_limit, 8 * MIB);
    for (size_t size = 64; size <= MCACHE_CLASS_MAX; size *= 8) {
        check_limit(size, 8 * MIB);
    }
    cr_assert_leq(resident_bytes(), resident + 8 * MIB + REST);
}

Test(decay, retain_limit_of_one_retains_nothing, .timeout = 60)
{
    configure(1, HOUR);
    for (size_t size = 64; size <= MCACHE_CLASS_MAX; size *= 8) {
        check_limit(size, 1);
    }
}

Test(decay, limit_can_be_lowered_below_what_is_retained, .timeout = 60)
{
    configure(0, 20);
    burst_free(burst_alloc());
    configure(8 * MIB, 20);
    tick_to_the_end(DEADLINE_MS);
    cr_assert_eq(stats_now().segment_bytes, 0);
    burst_free(burst_alloc());
    cr_assert_leq(stats_now().retained_bytes, 8 * MIB);
}

Test(decay, options_of_0_are_the_defaults)
{
    configure(123 * MIB, HOUR);
    cr_assert_eq(stats_now().retain_limit, 123 * MIB);
    configure(0, 0);
    cr_assert_eq(stats_now().retain_limit, MCACHE_RETAIN_LIMIT_DEFAULT);
    configure(123 * MIB, HOUR);
    mcache_configure(NULL);
    cr_assert_eq(stats_now().retain_limit, MCACHE_RETAIN_LIMIT_DEFAULT);
}

Test(decay, default_age_is_what_the_header_says, .timeout = 60)
{
    int64_t start;

    configure(0, HOUR);
    mcache_configure(NULL);
    start = now_ms();
    burst_free(burst_alloc());
    while (stats_now().returned_bytes == 0) {
        cr_assert_lt(now_ms() - start, (int64_t)10 * MCACHE_DECAY_MS_DEFAULT);
        (void)mcache_tick();
        pass_ms(1);
    }
    cr_assert_geq(now_ms() - start, MCACHE_DECAY_MS_DEFAULT - COARSE_MS);
}

/* Free for longer than the default age, which nobody asked for. */
Test(decay, long_age_is_waited_for_and_a_shorter_one_counts_at_once, .timeout = 60)
{
    int64_t start;

    configure(0, HOUR);
    burst_free(burst_alloc());
    start = now_ms();
    while (now_ms() - start < (int64_t)5 * MCACHE_DECAY_MS_DEFAULT / 2) {
        cr_assert_geq(mcache_tick(), BURST - SEGMENT);
        pass_ms(1);
    }
    cr_assert_eq(stats_now().returned_bytes, 0);
    configure(0, 20);
    tick_to_the_end(DEADLINE_MS);
    cr_assert_geq(stats_now().returned_bytes, BURST);
}

Test(decay, tick_of_an_idle_process_has_nothing_to_do, .timeout = 60)
{
    char *live[100];

    configure(0, 20);
    cr_assert_eq(mcache_tick(), 0, "before the first allocation");
    for (size_t i = 0; i < 100; i++) {
        live[i] = mcache_alloc(1000);
    }
    cr_assert_eq(mcache_tick(), 0, "nothing is free");
    burst_free(burst_alloc());
    tick_to_the_end(DEADLINE_MS);
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(mcache_tick(), 0);
        pass_ms(1);
    }
    for (size_t i = 0; i < 100; i++) {
        mcache_free(live[i]);
    }
}

/* A tick ends with the segment that reaches 32 MiB. */
Test(decay, one_tick_gives_back_a_bounded_piece, .timeout = 60)
{
    enum {
        MAX = 80
    };
    void *live[MAX];
    size_t bytes = 160 * MIB;
    size_t count;
    size_t largest = 0;
    int64_t start;

    configure(0, 20);
    count = leave_one_per_segment(live, MAX, bytes);
    start = now_ms();
    while (mcache_tick() != 0) {
        uint64_t before = stats_now().returned_bytes;

        cr_assert_lt(now_ms() - start, DEADLINE_MS);
        /* Long enough that everything is due. */
        pass_ms(50);
        (void)mcache_tick();
        if (stats_now().returned_bytes - before > largest) {
            largest = (size_t)(stats_now().returned_bytes - before);
        }
    }
    cr_assert_gt(largest, 8 * MIB, "a tick does next to nothing");
    cr_assert_leq(largest, 32 * MIB, "%zu bytes", largest);
    for (size_t i = 0; i < count; i++) {
        mcache_free(live[i]);
    }
}

Test(decay, trim_does_not_wait, .timeout = 60)
{
    size_t resident;
    uint64_t returned;
    size_t bytes;

    configure(0, HOUR);
    resident = resident_bytes();
    burst_free(burst_alloc());
    cr_assert_geq(resident_bytes(), resident + BURST);
    returned = stats_now().returned_bytes;
    bytes = mcache_trim();
    cr_assert_geq(bytes, BURST);
    cr_assert_eq(stats_now().returned_bytes - returned, bytes);
    cr_assert_eq(stats_now().retained_bytes, 0);
    cr_assert_eq(stats_now().segment_bytes, 0);
    cr_assert_leq(resident_bytes(), resident + REST);
}

struct live {
    unsigned char *block;
    size_t size;
    unsigned char fill;
};

static void live_end(struct live *live)
{
    for (size_t i = 0; i < live->size; i++) {
        cr_assert_eq(live->block[i], live->fill, "byte %zu of %zu", i, live->size);
    }
    mcache_free(live->block);
    live->block = NULL;
}

static void live_begin(struct live *live, uint32_t bits)
{
    live->size = (size_t)16 << bits % 15;
    live->fill = (unsigned char)(bits >> 8);
    live->block = mcache_alloc(live->size);
    cr_assert_not_null(live->block);
    memset(live->block, live->fill, live->size);
}

Test(decay, contents_of_live_blocks_are_untouched, .timeout = 60)
{
    enum {
        COUNT = 600,
        LENGTH_MS = 1000
    };
    static struct live live[COUNT];
    uint32_t bits = 7;
    int64_t start = now_ms();

    for (unsigned step = 0; now_ms() - start < LENGTH_MS; step++) {
        struct live *one;

        bits = bits * 1664525u + 1013904223u;
        one = &live[(bits >> 8) % COUNT];
        if (one->block != NULL) {
            live_end(one);
        } else {
            live_begin(one, bits >> 8);
        }
        if (step % 50 == 0) {
            (void)mcache_tick();
        }
        if (step % 1000 == 0) {
            mcache_flush();
            configure(step % 3000 == 0 ? MIB : 0, 1 + step % 7);
        }
        if (step % 3000 == 0) {
            mcache_trim();
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (live[i].block != NULL) {
            live_end(&live[i]);
        }
    }
    cr_assert_gt(stats_now().returned_bytes, 0);
    cr_assert_eq(stats_now().live_bytes, 0);
}

Test(decay, reserved_options_must_be_zero)
{
    struct mcache_options options = {.decay_ms = 1};

    for (unsigned i = 0; i < 4; i++) {
        options.reserved[i] = 1;
        cr_assert_eq(mcache_configure(&options), -EINVAL);
        options.reserved[i] = 0;
    }
    cr_assert_eq(mcache_configure(&options), 0);
}
