/* linkbuffer_settle(): what unread bytes cost when they stay. */
#include "support.h"

#include <criterion/criterion.h>

#define KIB ((size_t)1024)

Test(settle, of_nothing_does_nothing)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    linkbuffer_settle(lb, 0);
    linkbuffer_settle(lb, SIZE_MAX);
    cr_assert_eq(live_bytes(), before);
    linkbuffer_destroy(lb);
}

Test(settle, few_bytes_left_of_a_large_block_cost_little)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    put_rest_of_block(lb, 10, 0);
    cr_assert_gt(live_bytes() - before, 64 * KIB);
    linkbuffer_settle(lb, 0);
    cr_assert_lt(live_bytes() - before, KIB);
    cr_assert_eq(linkbuffer_unread(lb), 10);
    cr_assert(holds_unread(lb, 10, 0));
    linkbuffer_destroy(lb);
}

Test(settle, looks_again_at_what_has_been_consumed_since)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    put(lb, 60 * KIB, 0);
    linkbuffer_settle(lb, KIB);
    cr_assert_eq(figures(lb).bytes_copied, 0, "it uses most of its block");
    cr_assert_eq(linkbuffer_skip(lb, 60 * KIB - 10), 0);
    linkbuffer_settle(lb, KIB);
    cr_assert_lt(live_bytes() - before, KIB);
    cr_assert(holds_unread(lb, 10, 60 * KIB - 10));
    linkbuffer_destroy(lb);
}

Test(settle, looks_again_at_the_first_piece_when_others_have_left_its_block)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    struct linkbuffer_block *block = linkbuffer_block_create(60 * KIB);
    uint8_t *data = linkbuffer_block_data(block);
    pattern_fill(data, 2000, 0);
    cr_assert_eq(linkbuffer_adopt(lb, block, data, 2000), 0);
    cr_assert_eq(linkbuffer_flush(lb), 2000);
    put(lb, 5000, 2000);
    linkbuffer_settle(lb, KIB);
    cr_assert_eq(figures(lb).bytes_copied, 0, "shared, and above the limit");
    linkbuffer_block_release(block);
    linkbuffer_settle(lb, KIB);
    cr_assert_lt(live_bytes() - before, 16 * KIB);
    cr_assert(holds_unread(lb, 7000, 0));
    linkbuffer_destroy(lb);
}

Test(settle, leaves_blocks_that_are_well_used_or_shared)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    put(lb, 40 * KIB, 0);
    put_rest_of_block(lb, 5000, 40 * KIB);
    cr_assert_eq(linkbuffer_skip(lb, 10 * KIB), 0);
    cr_assert_eq(linkbuffer_slice(lb, 30 * KIB + 1000, &slice), 0);
    linkbuffer_settle(lb, 3999);
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_settle(lb, 4000);
    cr_assert_eq(figures(lb).bytes_copied, 4000, "small enough to leave a shared block");
    cr_assert(holds_unread(lb, 4000, 41 * KIB - 24));
    cr_assert(holds_unread(slice, 30 * KIB + 1000, 10 * KIB));
    linkbuffer_destroy(lb);
    linkbuffer_destroy(slice);
}

Test(settle, neighbours_share_a_copy)
{
    enum {
        PIECES = 40
    };
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    for (size_t i = 0; i < PIECES; i++)
        put_rest_of_block(lb, 10, i * 10);
    cr_assert_gt(live_bytes() - before, PIECES * 64 * KIB);
    linkbuffer_settle(lb, 0);
    cr_assert_leq(figures(lb).blocks, PIECES / 4);
    cr_assert_lt(live_bytes() - before, 3 * KIB);
    cr_assert(holds_unread(lb, PIECES * 10, 0));
    linkbuffer_destroy(lb);
}

Test(settle, small_pieces_go_into_the_room_of_their_predecessor)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    put_pieces(lb, 10, 60, 0);
    linkbuffer_settle(lb, KIB);
    cr_assert_leq(figures(lb).blocks, 10);
    cr_assert_leq(live_bytes() - before, 3 * 600);
    cr_assert(holds_unread(lb, 600, 0));
    linkbuffer_destroy(lb);
}

Test(settle, lent_memory_is_left_where_it_is)
{
    static uint8_t memory[64 * 1024];
    struct linkbuffer *lb = make_buffer();
    int calls = 0;
    pattern_fill(memory, sizeof memory, 0);
    cr_assert_eq(linkbuffer_write_ref(lb, memory, sizeof memory, count_call, &calls), 0);
    cr_assert_eq(linkbuffer_flush(lb), sizeof memory);
    cr_assert_eq(linkbuffer_skip(lb, sizeof memory - 10), 0);
    linkbuffer_settle(lb, KIB);
    cr_assert_eq(figures(lb).bytes_copied, 0);
    cr_assert_eq(calls, 0);
    cr_assert(holds_unread(lb, 10, sizeof memory - 10));
    linkbuffer_destroy(lb);
    cr_assert_eq(calls, 1);
}

/* The price of a walk over everything at each turn would grow with what is unread. */
Test(settle, does_not_look_twice_behind_the_first_piece)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_block *block = linkbuffer_block_create(60 * KIB);
    uint8_t *data = linkbuffer_block_data(block);
    put(lb, 5000, 0);
    pattern_fill(data, 2000, 5000);
    cr_assert_eq(linkbuffer_adopt(lb, block, data, 2000), 0);
    cr_assert_eq(linkbuffer_flush(lb), 2000);
    linkbuffer_settle(lb, 0);
    linkbuffer_block_release(block);
    linkbuffer_settle(lb, 0);
    cr_assert_eq(figures(lb).bytes_copied, 0);
    cr_assert_eq(linkbuffer_skip(lb, 5000), 0);
    linkbuffer_settle(lb, 0);
    cr_assert_eq(figures(lb).bytes_copied, 2000, "it has become the first one");
    cr_assert(holds_unread(lb, 2000, 5000));
    linkbuffer_destroy(lb);
}

Test(settle, bytes_that_arrive_one_at_a_time_cost_three_times_their_number_at_most)
{
    enum {
        TOTAL = 20000
    };
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_block *hot = linkbuffer_block_create(TOTAL);
    uint8_t *data = linkbuffer_block_data(hot);
    size_t before = live_bytes();
    pattern_fill(data, TOTAL, 0);
    for (size_t i = 0; i < TOTAL; i++) {
        cr_assert_eq(linkbuffer_adopt(lb, hot, data + i, 1), 0);
        cr_assert_eq(linkbuffer_flush(lb), 1);
        linkbuffer_settle(lb, KIB);
        cr_assert_eq(linkbuffer_unread(lb), i + 1);
        cr_assert_leq(live_bytes() - before, 3 * (i + 1) + 128);
    }
    cr_assert_leq(figures(lb).bytes_copied, TOTAL);
    cr_assert_not(linkbuffer_block_is_shared(hot));
    cr_assert(holds_unread(lb, TOTAL, 0));
    linkbuffer_destroy(lb);
    linkbuffer_block_release(hot);
}

Test(settle, again_costs_no_copy)
{
    struct linkbuffer *lb = make_buffer();
    for (size_t i = 0; i < 10; i++)
        put_rest_of_block(lb, 300, i * 300);
    linkbuffer_settle(lb, KIB);
    size_t copied = figures(lb).bytes_copied;
    for (int i = 0; i < 100; i++)
        linkbuffer_settle(lb, KIB);
    cr_assert_eq(figures(lb).bytes_copied, copied);
    linkbuffer_destroy(lb);
}

Test(settle, goes_on_after_peek_slice_and_append_have_changed_the_chain)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    struct linkbuffer *other = make_buffer();
    const void *out;
    size_t position = 0;
    size_t end = 0;
    for (size_t i = 0; i < 300; i++) {
        put_rest_of_block(lb, 50, end);
        end += 50;
        linkbuffer_settle(lb, KIB);
        if (i % 3 == 0)
            cr_assert_eq(linkbuffer_peek(lb, (end - position) / 2 + 1, &out), 0);
        if (i % 7 == 0) {
            cr_assert_eq(linkbuffer_slice(lb, (end - position) / 3, &slice), 0);
            cr_assert(holds_unread(slice, (end - position) / 3, position));
            position += (end - position) / 3;
            linkbuffer_destroy(slice);
        }
        if (i % 11 == 0) {
            cr_assert_eq(linkbuffer_append(other, lb), 0);
            cr_assert_eq(linkbuffer_append(lb, other), 0);
            cr_assert_eq(linkbuffer_flush(other), end - position);
            cr_assert_eq(linkbuffer_append(lb, other), 0);
            cr_assert_eq(linkbuffer_flush(lb), end - position);
        }
        cr_assert(holds_unread(lb, end - position, position));
    }
    linkbuffer_destroy(lb);
    linkbuffer_destroy(other);
}

Test(settle, ends_what_was_consumed)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    const void *out;
    put(lb, 5000, 0);
    cr_assert_eq(linkbuffer_next(lb, 5000, &out), 0);
    linkbuffer_settle(lb, 0);
    cr_assert_eq(live_bytes(), before);
    linkbuffer_destroy(lb);
}
