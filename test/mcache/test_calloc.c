#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "load.h"

enum {
    COUNT = 40
};

static bool is_zero(const unsigned char *block, size_t size)
{
    return size == 0 || (block[0] == 0 && memcmp(block, block + 1, size - 1) == 0);
}

static bool is_one_of(void *const *blocks, const void *block)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (blocks[i] == block) {
            return true;
        }
    }
    return false;
}

static void dirty_and_free(void **blocks, size_t size)
{
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = mcache_alloc(size);
        cr_assert_not_null(blocks[i]);
        memset(blocks[i], 0xff, mcache_capacity(blocks[i]));
    }
    for (size_t i = 0; i < COUNT; i++) {
        mcache_free(blocks[i]);
    }
}

Test(calloc, block_is_zero_though_it_was_dirty_before)
{
    for (size_t size = 16; size <= 2 * MCACHE_CLASS_MAX; size *= 2) {
        void *dirty[COUNT];
        void *blocks[COUNT];
        size_t reused = 0;

        dirty_and_free(dirty, size);
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = mcache_calloc(1, size);
            cr_assert_not_null(blocks[i]);
            cr_assert(is_zero(blocks[i], size), "size %zu", size);
            reused += is_one_of(dirty, blocks[i]);
        }
        cr_assert_gt(reused, 0, "size %zu: no block was dirty before", size);
        for (size_t i = 0; i < COUNT; i++) {
            mcache_free(blocks[i]);
        }
    }
}

/* Fills as much memory with another class first, so that the blocks are cut anew from dirty spans.
 */
Test(calloc, block_is_zero_in_memory_of_another_class)
{
    enum {
        BYTES = 8 << 20,
        SIZE = 1024
    };
    char *blocks[BYTES / SIZE];
    static void *dirty[BYTES / 64];

    for (size_t i = 0; i < BYTES / 64; i++) {
        dirty[i] = mcache_alloc(64);
        memset(dirty[i], 0xff, 64);
    }
    for (size_t i = 0; i < BYTES / 64; i++) {
        mcache_free(dirty[i]);
    }
    mcache_flush();
    for (size_t i = 0; i < BYTES / SIZE; i++) {
        blocks[i] = mcache_calloc(SIZE, 1);
        cr_assert(is_zero((unsigned char *)blocks[i], SIZE), "block %zu", i);
    }
    cr_assert_leq(stats_now().segment_bytes, (size_t)BYTES * 3 / 2,
                  "the memory was not used again");
    for (size_t i = 0; i < BYTES / SIZE; i++) {
        mcache_free(blocks[i]);
    }
}

Test(calloc, class_is_that_of_the_product)
{
    void *small = mcache_calloc(3, 7);
    void *middle = mcache_calloc(100, 41);
    void *large = mcache_calloc(3, MCACHE_CLASS_MAX);

    cr_assert_eq(mcache_capacity(small), 32);
    cr_assert_eq(mcache_capacity(middle), 8192);
    cr_assert_geq(mcache_capacity(large), 3 * MCACHE_CLASS_MAX);
    mcache_free(small);
    mcache_free(middle);
    mcache_free(large);
}

Test(calloc, nothing_of_anything_is_a_block)
{
    void *blocks[] = {mcache_calloc(0, 0), mcache_calloc(0, 100), mcache_calloc(SIZE_MAX, 0)};

    for (size_t i = 0; i < 3; i++) {
        cr_assert_not_null(blocks[i]);
        cr_assert_eq(mcache_capacity(blocks[i]), MCACHE_CLASS_MIN);
        mcache_free(blocks[i]);
    }
}

Test(calloc, product_that_wraps_is_refused)
{
    static const size_t factors[][2] = {
        {SIZE_MAX, 2},         {2, SIZE_MAX},
        {SIZE_MAX, SIZE_MAX},  {(size_t)1 << 32, (size_t)1 << 32},
        {SIZE_MAX / 2 + 1, 2}, {SIZE_MAX / 16 + 2, 16}, /* 16 bytes when it wraps */
        {SIZE_MAX, 1},         {1, SIZE_MAX / 2},
    };

    for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++) {
        errno = 0;
        cr_assert_null(mcache_calloc(factors[i][0], factors[i][1]), "pair %zu", i);
        cr_assert_eq(errno, ENOMEM);
    }
    cr_assert_eq(stats_now().live_bytes, 0);
}

Test(calloc, success_keeps_errno)
{
    void *small;
    void *large;

    errno = EDOM;
    small = mcache_calloc(10, 10);
    large = mcache_calloc(2, MCACHE_CLASS_MAX);
    cr_assert_eq(errno, EDOM);
    mcache_free(small);
    mcache_free(large);
}
