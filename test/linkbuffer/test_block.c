#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(block, payload_less_the_overhead_fills_its_size_class)
{
    for (size_t size = 128; size <= (size_t)1 << 20; size *= 2) {
        size_t before = live_bytes();
        struct linkbuffer_block *block = linkbuffer_block_create(size - LINKBUFFER_BLOCK_OVERHEAD);
        cr_assert_not_null(block);
        cr_assert_eq(live_bytes() - before, size);
        cr_assert_eq(linkbuffer_block_capacity(block), size - LINKBUFFER_BLOCK_OVERHEAD);
        linkbuffer_block_release(block);
        cr_assert_eq(live_bytes(), before);
    }
}

Test(block, capacity_covers_the_request_and_may_be_written)
{
    const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 65536, 3000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct linkbuffer_block *block = linkbuffer_block_create(sizes[i]);
        cr_assert_not_null(block);
        uint8_t *data = linkbuffer_block_data(block);
        size_t capacity = linkbuffer_block_capacity(block);
        cr_assert_geq(capacity, sizes[i]);
        cr_assert_eq((uintptr_t)data % 16, 0);
        pattern_fill(data, capacity, i);
        cr_assert(pattern_holds(data, capacity, i));
        cr_assert_eq(linkbuffer_block_capacity(block), capacity);
        linkbuffer_block_release(block);
    }
}

Test(block, absurd_capacity_is_enomem)
{
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - LINKBUFFER_BLOCK_OVERHEAD + 1, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        errno = 0;
        cr_assert_null(linkbuffer_block_create(sizes[i]));
        cr_assert_eq(errno, ENOMEM);
    }
}

Test(block, lives_until_the_last_count_is_dropped)
{
    size_t before = live_bytes();
    struct linkbuffer_block *block = linkbuffer_block_create(100);
    pattern_fill(linkbuffer_block_data(block), 100, 7);
    linkbuffer_block_retain(block);
    linkbuffer_block_retain(block);
    linkbuffer_block_release(block);
    linkbuffer_block_release(block);
    cr_assert(pattern_holds(linkbuffer_block_data(block), 100, 7));
    cr_assert_gt(live_bytes(), before);
    linkbuffer_block_release(block);
    cr_assert_eq(live_bytes(), before);
    linkbuffer_block_release(NULL);
}

Test(block, is_shared_while_anybody_else_shows_it)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_block *block = linkbuffer_block_create(100);
    uint8_t *data = linkbuffer_block_data(block);
    cr_assert_not(linkbuffer_block_is_shared(block));
    linkbuffer_block_retain(block);
    cr_assert(linkbuffer_block_is_shared(block));
    linkbuffer_block_release(block);
    cr_assert_not(linkbuffer_block_is_shared(block));

    cr_assert_eq(linkbuffer_adopt(lb, block, data, 10), 0);
    cr_assert_eq(linkbuffer_flush(lb), 10);
    cr_assert(linkbuffer_block_is_shared(block));
    cr_assert_eq(linkbuffer_skip(lb, 10), 0);
    cr_assert(linkbuffer_block_is_shared(block), "consumed bytes are held until release");
    linkbuffer_release(lb);
    cr_assert_not(linkbuffer_block_is_shared(block));
    linkbuffer_destroy(lb);
    linkbuffer_block_release(block);
}
