#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "load.h"

static int is_mapped(void *block)
{
    unsigned char resident;
    void *page = (void *)((uintptr_t)block & ~(uintptr_t)4095);

    return mincore(page, 1, &resident) == 0 || errno != ENOMEM;
}

Test(large, block_goes_back_to_the_system_at_free_where_nothing_is_retained)
{
    configure(1, 0);
    for (size_t size = MCACHE_CLASS_MAX + 1; size <= (size_t)64 << 20; size = size * 2 - 1) {
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
