#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "load.h"

enum {
    ALIGNMENTS = 22, /* 1 to 2 MiB */
    EACH = 3,
    SIZES = 14,
    BLOCKS = EACH * SIZES
};

static void list_sizes(size_t alignment, size_t sizes[SIZES])
{
    const size_t all[SIZES] = {0,
                               1,
                               7,
                               100,
                               alignment - 1,
                               alignment,
                               alignment + 1,
                               3 * alignment,
                               4095,
                               65537,
                               MCACHE_CLASS_MAX - 1,
                               MCACHE_CLASS_MAX,
                               MCACHE_CLASS_MAX + 1,
                               3 * MCACHE_CLASS_MAX + 5};

    memcpy(sizes, all, sizeof(all));
}

/* The first and the last byte of each block tell whether it overlaps another. */
static void check_alignment(size_t alignment)
{
    size_t sizes[SIZES];
    unsigned char *blocks[BLOCKS];

    list_sizes(alignment, sizes);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = sizes[i % SIZES];

        blocks[i] = mcache_aligned_alloc(alignment, size);
        cr_assert_not_null(blocks[i], "alignment %zu, size %zu", alignment, size);
        cr_assert_eq((uintptr_t)blocks[i] % alignment, 0, "alignment %zu, size %zu", alignment,
                     size);
        cr_assert_geq(mcache_capacity(blocks[i]), size < MCACHE_CLASS_MIN ? MCACHE_CLASS_MIN : size,
                      "alignment %zu, size %zu", alignment, size);
        blocks[i][0] = (unsigned char)i;
        blocks[i][mcache_capacity(blocks[i]) - 1] = (unsigned char)i;
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        cr_assert_eq(blocks[i][0], i, "alignment %zu", alignment);
        cr_assert_eq(blocks[i][mcache_capacity(blocks[i]) - 1], i, "alignment %zu", alignment);
        mcache_free(blocks[i]);
    }
}

Test(aligned_alloc, every_alignment_with_any_size)
{
    struct mcache_stats stats;

    for (unsigned shift = 0; shift < ALIGNMENTS; shift++) {
        check_alignment((size_t)1 << shift);
    }
    cr_assert_eq((size_t)1 << (ALIGNMENTS - 1), MCACHE_ALIGNMENT_MAX);
    stats = stats_now();
    cr_assert_eq(stats.live_bytes, 0);
    cr_assert_eq(stats.system_bytes, 0);
    cr_assert_eq(stats.bad_free_count, 0);
    mcache_trim();
    cr_assert_eq(stats_now().segment_bytes, 0);
}

Test(aligned_alloc, many_blocks_of_the_largest_alignment)
{
    enum {
        COUNT = 20
    };
    unsigned char *blocks[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = mcache_aligned_alloc(MCACHE_ALIGNMENT_MAX, 1000);
        cr_assert_eq((uintptr_t)blocks[i] % MCACHE_ALIGNMENT_MAX, 0);
        memset(blocks[i], (int)i, 1000);
    }
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(blocks[i][0], i);
        cr_assert_eq(blocks[i][999], i);
        mcache_free(blocks[i]);
    }
}

Test(aligned_alloc, alignment_that_is_none_is_refused)
{
    static const size_t alignments[] = {0,
                                        3,
                                        6,
                                        24,
                                        4095,
                                        4097,
                                        MCACHE_ALIGNMENT_MAX - 1,
                                        MCACHE_ALIGNMENT_MAX + 1,
                                        2 * MCACHE_ALIGNMENT_MAX,
                                        SIZE_MAX,
                                        SIZE_MAX / 2 + 1};

    for (size_t i = 0; i < sizeof(alignments) / sizeof(alignments[0]); i++) {
        errno = 0;
        cr_assert_null(mcache_aligned_alloc(alignments[i], 100), "%zu", alignments[i]);
        cr_assert_eq(errno, EINVAL, "%zu", alignments[i]);
    }
}

Test(aligned_alloc, absurd_sizes_are_refused)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2,
                                   SIZE_MAX / 2 - MCACHE_ALIGNMENT_MAX, (size_t)1 << 62};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t alignment = 1; alignment <= MCACHE_ALIGNMENT_MAX; alignment *= 2) {
            errno = 0;
            cr_assert_null(mcache_aligned_alloc(alignment, sizes[i]), "size %zx", sizes[i]);
            cr_assert_eq(errno, ENOMEM);
        }
    }
}

Test(aligned_alloc, success_keeps_errno)
{
    void *small;
    void *large;

    errno = EDOM;
    small = mcache_aligned_alloc(256, 10);
    large = mcache_aligned_alloc(MCACHE_ALIGNMENT_MAX, 10);
    cr_assert_eq(errno, EDOM);
    mcache_free(small);
    mcache_free(large);
}
