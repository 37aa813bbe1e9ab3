#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_mapped(void *block)
{
    unsigned char resident;
    void *page = (void *)((uintptr_t)block & ~(uintptr_t)4095);

    return mincore(page, 1, &resident) == 0 || errno != ENOMEM;
}

#define KEPT_MAX ((size_t)32 << 20)

static size_t retained(void)
{
    struct mcache_stats stats;

    mcache_stats_read(&stats);
    return stats.retained_bytes;
}

static void *fill(size_t size)
{
    void *block = mcache_alloc(size);

    cr_assert_not_null(block);
    memset(block, 0x5a, size);
    return block;
}

Test(large, mapping_serves_the_next_block_of_its_size)
{
    void *block = fill(5 * MCACHE_CLASS_MAX);
    void *again;

    mcache_free(block);
    cr_assert_geq(retained(), 5 * MCACHE_CLASS_MAX);
    again = mcache_alloc(5 * MCACHE_CLASS_MAX);
    cr_assert_eq(again, block);
    cr_assert_lt(retained(), 5 * MCACHE_CLASS_MAX);
    mcache_free(again);
    again = mcache_calloc(1, 5 * MCACHE_CLASS_MAX);
    cr_assert_eq(again, block);
    for (size_t i = 0; i < 5 * MCACHE_CLASS_MAX; i++) {
        cr_assert_eq(((char *)again)[i], 0);
    }
    mcache_free(again);
}

Test(large, mapping_does_not_serve_much_smaller_or_any_larger_ones)
{
    void *block = fill(8 * MCACHE_CLASS_MAX);
    void *smaller;
    void *larger;

    mcache_free(block);
    smaller = mcache_alloc(6 * MCACHE_CLASS_MAX);
    cr_assert_neq(smaller, block);
    cr_assert_leq(mcache_capacity(smaller), 7 * MCACHE_CLASS_MAX);
    larger = mcache_alloc(9 * MCACHE_CLASS_MAX);
    cr_assert_neq(larger, block);
    mcache_free(larger);
    mcache_free(smaller);
}

Test(large, smallest_mapping_that_fits_is_taken)
{
    void *blocks[] = {fill(44 * MCACHE_CLASS_MAX / 10), fill(41 * MCACHE_CLASS_MAX / 10),
                      fill(43 * MCACHE_CLASS_MAX / 10)};
    void *block;

    for (size_t i = 0; i < 3; i++) {
        mcache_free(blocks[i]);
    }
    block = mcache_alloc(4 * MCACHE_CLASS_MAX);
    cr_assert_eq(block, blocks[1]);
    mcache_free(block);
}

Test(large, kept_mappings_stay_within_a_quarter_of_the_limit)
{
    enum {
        COUNT = 40
    };
    const struct mcache_options options = {.retain_limit = (size_t)64 << 20};
    void *blocks[COUNT];

    cr_assert_eq(mcache_configure(&options), 0);
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = fill(2 * MCACHE_CLASS_MAX);
    }
    for (int i = 0; i < COUNT; i++) {
        mcache_free(blocks[i]);
        cr_assert_leq(retained(), (size_t)16 << 20);
    }
    cr_assert_geq(retained(), (size_t)12 << 20);
}

Test(large, kept_mappings_go_back_by_decay, .timeout = 60)
{
    const struct mcache_options options = {.decay_ms = 20};
    void *block = fill(2 * MCACHE_CLASS_MAX);

    cr_assert_eq(mcache_configure(&options), 0);
    mcache_free(block);
    cr_assert(is_mapped(block));
    while (mcache_tick() > 0) {
        usleep(1000);
    }
    cr_assert_not(is_mapped(block));
}

Test(large, trim_gives_kept_mappings_back)
{
    void *block = fill(2 * MCACHE_CLASS_MAX);

    mcache_free(block);
    cr_assert(is_mapped(block));
    cr_assert_geq(mcache_trim(), 2 * MCACHE_CLASS_MAX);
    cr_assert_not(is_mapped(block));
    cr_assert_eq(retained(), 0);
}

Test(large, huge_block_goes_back_to_the_system_at_free)
{
    for (size_t size = KEPT_MAX; size <= 4 * KEPT_MAX; size = size * 2 - 1) {
        char *block = mcache_alloc(size);

        cr_assert_not_null(block);
        cr_assert_geq(mcache_capacity(block), size);
        block[0] = 1;
        block[mcache_capacity(block) - 1] = 1;
        cr_assert(is_mapped(block));
        mcache_free(block);
        cr_assert_not(is_mapped(block));
    }
}

Test(large, a_page_more_than_the_largest_class_does_not_double)
{
    void *block = mcache_alloc(MCACHE_CLASS_MAX + 4096);

    cr_assert_lt(mcache_capacity(block), MCACHE_CLASS_MAX + (128 << 10));
    mcache_free(block);
}

Test(large, many_live_at_once_keep_their_content)
{
    enum {
        COUNT = 40
    };
    unsigned char *blocks[COUNT];
    size_t size = MCACHE_CLASS_MAX * 5 + 123;

    for (int i = 0; i < COUNT; i++) {
        blocks[i] = mcache_alloc(size);
        cr_assert_not_null(blocks[i]);
        blocks[i][0] = (unsigned char)i;
        blocks[i][size - 1] = (unsigned char)i;
    }
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(blocks[i][0], i);
        cr_assert_eq(blocks[i][size - 1], i);
        mcache_free(blocks[i]);
    }
}
