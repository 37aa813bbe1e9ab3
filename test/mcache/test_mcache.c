#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

Test(mcache, payloads_are_aligned)
{
    void *blocks[64];

    for (size_t size = 1; size <= 4 * MCACHE_CLASS_MAX; size = size * 3 / 2 + 1) {
        uintptr_t alignment = size > 2048 ? 64 : 16;

        for (size_t i = 0; i < 64; i++) {
            blocks[i] = mcache_alloc(size);
            cr_assert_not_null(blocks[i]);
            cr_assert_eq((uintptr_t)blocks[i] % alignment, 0, "size %zu", size);
        }
        for (size_t i = 0; i < 64; i++) {
            mcache_free(blocks[i]);
        }
    }
}

Test(mcache, capacity_is_the_next_power_of_two)
{
    for (size_t power = 16; power <= MCACHE_CLASS_MAX; power *= 2) {
        void *exact = mcache_alloc(power);
        void *below = mcache_alloc(power - 1);
        void *least = mcache_alloc(power / 2 + 1);

        cr_assert_eq(mcache_capacity(exact), power);
        cr_assert_eq(mcache_capacity(below), power);
        cr_assert_eq(mcache_capacity(least), power);
        mcache_free(exact);
        mcache_free(below);
        mcache_free(least);
    }
}

Test(mcache, capacity_of_every_block_of_a_span_is_its_class)
{
    enum {
        COUNT = 3000
    };
    void *blocks[COUNT];

    for (size_t size = 16; size <= 1024; size *= 2) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = mcache_alloc(size);
            cr_assert_eq(mcache_capacity(blocks[i]), size);
        }
        for (size_t i = 0; i < COUNT; i++) {
            mcache_free(blocks[i]);
        }
    }
}

Test(mcache, alloc_capacity_takes_the_larger_of_both)
{
    void *more = mcache_alloc_capacity(10, 5000);
    void *less = mcache_alloc_capacity(5000, 10);
    void *large = mcache_alloc_capacity(10, 3 * MCACHE_CLASS_MAX);

    cr_assert_eq(mcache_capacity(more), 8192);
    cr_assert_eq(mcache_capacity(less), 8192);
    cr_assert_geq(mcache_capacity(large), 3 * MCACHE_CLASS_MAX);
    mcache_free(more);
    mcache_free(less);
    mcache_free(large);
}

Test(mcache, zero_bytes_are_a_block_and_null_is_none)
{
    void *first = mcache_alloc(0);
    void *second = mcache_alloc(0);
    struct mcache_stats stats;

    cr_assert_not_null(first);
    cr_assert_neq(first, second);
    cr_assert_eq(mcache_capacity(first), MCACHE_CLASS_MIN);
    mcache_free(first);
    mcache_free(second);
    mcache_free(NULL);
    cr_assert_eq(mcache_capacity(NULL), 0);
    mcache_stats_read(&stats);
    cr_assert_eq(stats.classes[0].free_count, 2);
    cr_assert_eq(stats.bad_free_count, 0);
}

Test(mcache, absurd_sizes_are_refused)
{
    size_t sizes[] = {SIZE_MAX,         SIZE_MAX - 1,         SIZE_MAX - 4095,
                      SIZE_MAX / 2 + 1, SIZE_MAX / 2,         SIZE_MAX / 2 - 4096,
                      (size_t)1 << 62,  SIZE_MAX - (4 << 20), SIZE_MAX / 2 - (4 << 20)};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        errno = 0;
        cr_assert_null(mcache_alloc(sizes[i]), "size %zx", sizes[i]);
        cr_assert_eq(errno, ENOMEM);
        errno = 0;
        cr_assert_null(mcache_alloc_capacity(1, sizes[i]));
        cr_assert_eq(errno, ENOMEM);
    }
}

Test(mcache, success_keeps_errno)
{
    void *small;
    void *large;

    errno = EDOM;
    small = mcache_alloc(100);
    large = mcache_alloc(2 * MCACHE_CLASS_MAX);
    mcache_free(small);
    mcache_free(large);
    cr_assert_eq(errno, EDOM);
}

struct live {
    unsigned char *block;
    size_t size;
    unsigned char fill;
};

static void check_fill(const struct live *live)
{
    for (size_t i = 0; i < live->size; i++) {
        cr_assert_eq(live->block[i], live->fill, "byte %zu of %zu", i, live->size);
    }
}

Test(mcache, live_blocks_never_overlap)
{
    enum {
        COUNT = 600,
        STEPS = 40000
    };
    static struct live live[COUNT];
    uint32_t seed = 7;

    for (int step = 0; step < STEPS; step++) {
        struct live *one = &live[next_random(&seed) % COUNT];

        if (one->block != NULL) {
            check_fill(one);
            mcache_free(one->block);
            one->block = NULL;
            continue;
        }
        one->size = next_random(&seed) % ((size_t)16 << next_random(&seed) % 13) + 1;
        if (step % 2000 == 0) {
            one->size = MCACHE_CLASS_MAX + next_random(&seed) % MCACHE_CLASS_MAX;
        }
        one->fill = (unsigned char)next_random(&seed);
        one->block = mcache_alloc(one->size);
        cr_assert_not_null(one->block);
        memset(one->block, one->fill, one->size);
    }
    for (int i = 0; i < COUNT; i++) {
        if (live[i].block != NULL) {
            check_fill(&live[i]);
            mcache_free(live[i].block);
        }
    }
}

Test(mcache, stats_are_exact)
{
    struct mcache_stats stats;
    void *blocks[300];
    void *large = mcache_alloc(MCACHE_CLASS_MAX + 1);

    for (int i = 0; i < 300; i++) {
        blocks[i] = mcache_alloc(1000);
    }
    for (int i = 0; i < 100; i++) {
        mcache_free(blocks[i]);
    }
    mcache_stats_read(&stats);
    cr_assert_eq(stats.classes[6].size, 1024);
    cr_assert_eq(stats.classes[6].alloc_count, 300);
    cr_assert_eq(stats.classes[6].free_count, 100);
    cr_assert_eq(stats.classes[7].alloc_count, 0);
    cr_assert_eq(stats.live_bytes, (size_t)200 * 1024);
    cr_assert_eq(stats.system_alloc_count, 1);
    cr_assert_eq(stats.system_free_count, 0);
    cr_assert_eq(stats.system_bytes, mcache_capacity(large));
    cr_assert(stats.segment_bytes > 0);
    for (int i = 100; i < 300; i++) {
        mcache_free(blocks[i]);
    }
    mcache_free(large);
    mcache_stats_read(&stats);
    cr_assert_eq(stats.classes[6].free_count, 300);
    cr_assert_eq(stats.live_bytes, 0);
    cr_assert_eq(stats.system_free_count, 1);
    cr_assert_eq(stats.system_bytes, 0);
}
