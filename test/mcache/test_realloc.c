/* Blocks that grow and shrink: mcache_expand() and mcache_realloc(). */
#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "load.h"

/* Bytes that differ from those at a class's distance. */
static void fill(unsigned char *block, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        block[i] = (unsigned char)(i % 251);
    }
}

static bool is_filled(const unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (block[i] != i % 251) {
            return false;
        }
    }
    return true;
}

static unsigned char *make_filled(size_t size)
{
    unsigned char *block = mcache_alloc(size);

    cr_assert_not_null(block);
    fill(block, 0, size);
    return block;
}

Test(expand, block_of_a_class_grows_to_the_class)
{
    for (size_t class = 16; class <= MCACHE_CLASS_MAX; class *= 2) {
        size_t size = class / 2 + 1;
        unsigned char *block = make_filled(size);

        cr_assert(mcache_expand(block, size));
        cr_assert(mcache_expand(block, class));
        cr_assert(mcache_expand(block, 0));
        cr_assert_not(mcache_expand(block, class + 1));
        cr_assert_not(mcache_expand(block, 2 * class));
        cr_assert_not(mcache_expand(block, SIZE_MAX));
        cr_assert_eq(mcache_capacity(block), class);
        cr_assert(is_filled(block, size));
        mcache_free(block);
    }
}

/* Takes the addresses behind a block; false when something is there already. */
static bool take_addresses_behind(const void *block, size_t bytes, void **taken)
{
    uintptr_t end = (uintptr_t)block + mcache_capacity(block);
    void *wanted = (void *)((end + 4095) & ~(uintptr_t)4095);

    *taken =
        mmap(wanted, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    return *taken == wanted;
}

static void check_growth(unsigned char *block, size_t size, void *taken)
{
    size_t more = mcache_capacity(block) + (1 << 20);

    cr_assert_not(mcache_expand(block, more), "grew into foreign memory");
    cr_assert(is_filled(block, size));
    cr_assert_eq(munmap(taken, 2 << 20), 0);
    cr_assert(mcache_expand(block, more));
    cr_assert_geq(mcache_capacity(block), more);
    cr_assert_eq(stats_now().system_bytes, mcache_capacity(block));
    cr_assert(is_filled(block, size));
    fill(block, size, more);
    cr_assert(is_filled(block, more));
}

Test(expand, large_block_grows_into_free_addresses_only)
{
    enum {
        TRIES = 16
    };
    size_t size = 5 * MCACHE_CLASS_MAX;
    void *crowded[TRIES];
    int count = 0;
    void *taken;
    unsigned char *block = make_filled(size);

    while (!take_addresses_behind(block, 2 << 20, &taken)) {
        cr_assert_lt(count, TRIES, "no block with free addresses behind it");
        crowded[count++] = block;
        block = make_filled(size);
    }
    for (int i = 0; i < count; i++) {
        mcache_free(crowded[i]);
    }
    check_growth(block, size, taken);
    cr_assert_not(mcache_expand(block, SIZE_MAX / 2));
    cr_assert_not(mcache_expand(block, SIZE_MAX));
    mcache_free(block);
    cr_assert_eq(stats_now().system_bytes, 0);
}

Test(expand, keeps_errno)
{
    void *small = mcache_alloc(16);
    void *large = mcache_alloc(2 * MCACHE_CLASS_MAX);

    errno = EDOM;
    (void)!mcache_expand(small, 16);
    (void)!mcache_expand(large, 3 * MCACHE_CLASS_MAX);
    cr_assert_eq(errno, EDOM);
    mcache_free(small);
    mcache_free(large);
}

/* Factor and divisor give steps inside a class, over one class and over several. */
static unsigned char *walk(unsigned char *block, size_t *size, size_t end, double factor)
{
    while (factor > 1 ? *size < end : *size > end) {
        size_t next = (size_t)((double)*size * factor) + (factor > 1 ? 1 : 0);
        size_t kept = next < *size ? next : *size;

        block = mcache_realloc(block, next);
        cr_assert_not_null(block);
        cr_assert_geq(mcache_capacity(block), next);
        cr_assert(is_filled(block, kept), "%zu to %zu bytes", *size, next);
        fill(block, kept, next);
        *size = next;
    }
    return block;
}

Test(realloc, contents_are_kept_over_class_changes_up_and_down)
{
    static const double factors[] = {1.3, 2.0, 7.7, 100.0};
    struct mcache_stats stats;

    for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++) {
        size_t size = 1;
        unsigned char *block = make_filled(size);

        block = walk(block, &size, 12 * MCACHE_CLASS_MAX, factors[i]);
        block = walk(block, &size, 1, 1 / factors[i]);
        cr_assert_eq(mcache_capacity(block), MCACHE_CLASS_MIN);
        mcache_free(block);
    }
    stats = stats_now();
    cr_assert_eq(stats.live_bytes, 0);
    cr_assert_eq(stats.system_bytes, 0);
    cr_assert_eq(stats.system_alloc_count, stats.system_free_count);
}

Test(realloc, of_nothing_is_an_allocation)
{
    char *block = mcache_realloc(NULL, 1000);
    char *none = mcache_realloc(NULL, 0);

    cr_assert_eq(mcache_capacity(block), 1024);
    cr_assert_eq(mcache_capacity(none), MCACHE_CLASS_MIN);
    mcache_free(block);
    mcache_free(none);
}

Test(realloc, to_zero_bytes_is_a_block_of_the_smallest_class)
{
    for (size_t size = 16; size <= 4 * MCACHE_CLASS_MAX; size *= 2) {
        void *block = mcache_realloc(mcache_alloc(size), 0);

        cr_assert_not_null(block);
        cr_assert_eq(mcache_capacity(block), MCACHE_CLASS_MIN, "size %zu", size);
        mcache_free(block);
    }
    cr_assert_eq(stats_now().live_bytes, 0);
}

Test(realloc, stays_in_place_between_a_quarter_and_all_of_the_capacity)
{
    for (size_t class = 64; class <= 4 * MCACHE_CLASS_MAX; class *= 2) {
        void *block = mcache_alloc(class);
        size_t capacity = mcache_capacity(block);

        cr_assert_eq(mcache_realloc(block, capacity), block);
        cr_assert_eq(mcache_realloc(block, capacity / 4), block);
        cr_assert_eq(mcache_realloc(block, capacity / 2 + 3), block);
        cr_assert_eq(mcache_capacity(block), capacity);
        mcache_free(block);
    }
}

Test(realloc, block_of_which_little_is_used_is_exchanged)
{
    for (size_t class = 64; class <= 4 * MCACHE_CLASS_MAX; class *= 2) {
        unsigned char *block = make_filled(class);
        size_t size = mcache_capacity(block) / 4 - 1;

        block = mcache_realloc(block, size);
        cr_assert_lt(mcache_capacity(block), 2 * size + 17, "size %zu", size);
        cr_assert(is_filled(block, size));
        mcache_free(block);
    }
    cr_assert_eq(stats_now().system_bytes, 0);
}

Test(realloc, failure_leaves_the_block_as_it_was)
{
    static const size_t absurd[] = {SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2, (size_t)1 << 62};

    for (size_t size = 16; size <= 4 * MCACHE_CLASS_MAX; size *= 4) {
        unsigned char *block = make_filled(size);
        size_t capacity = mcache_capacity(block);

        for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
            errno = 0;
            cr_assert_null(mcache_realloc(block, absurd[i]));
            cr_assert_eq(errno, ENOMEM);
            cr_assert_eq(mcache_capacity(block), capacity);
            cr_assert(is_filled(block, size));
        }
        mcache_free(block);
    }
    cr_assert_eq(stats_now().live_bytes, 0);
    cr_assert_eq(stats_now().bad_free_count, 0);
}

Test(realloc, contents_of_aligned_blocks_are_kept)
{
    for (size_t alignment = 1; alignment <= MCACHE_ALIGNMENT_MAX; alignment *= 2) {
        unsigned char *block = mcache_aligned_alloc(alignment, 1000);

        fill(block, 0, 1000);
        block = mcache_realloc(block, 5 * MCACHE_CLASS_MAX);
        cr_assert(is_filled(block, 1000), "alignment %zu", alignment);
        block = mcache_realloc(block, 100);
        cr_assert(is_filled(block, 100), "alignment %zu", alignment);
        mcache_free(block);
    }
}

Test(realloc, success_keeps_errno)
{
    void *block;

    errno = EDOM;
    block = mcache_realloc(NULL, 10);
    block = mcache_realloc(block, 100000);
    block = mcache_realloc(block, 3 * MCACHE_CLASS_MAX);
    block = mcache_realloc(block, 30 * MCACHE_CLASS_MAX);
    block = mcache_realloc(block, 0);
    cr_assert_eq(errno, EDOM);
    mcache_free(block);
}

Test(expand, of_nothing_fails)
{
    cr_assert_not(mcache_expand(NULL, 16));
    cr_assert_eq(stats_now().bad_free_count, 0);
}
