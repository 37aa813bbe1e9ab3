/* Demands and space for a receiver: what comes together lies together, and memory follows it. */
#include "support.h"

#include <criterion/criterion.h>
#include <linkbuffer/io.h>
#include <string.h>

#define KIB ((size_t)1024)
#define MIB ((size_t)1024 * 1024)

/* As a receiver does it: up to n bytes of the pattern come into what is offered. */
static size_t receive(struct linkbuffer *lb, size_t n, size_t position)
{
    void *into;
    size_t room;
    size_t written = linkbuffer_reserved_len(lb);
    cr_assert_eq(linkbuffer_reserve_input(lb, 1 << 20, &into, &room), 0);
    cr_assert_eq(linkbuffer_reserved_len(lb), written + room);
    n = n < room ? n : room;
    pattern_fill(into, n, position);
    cr_assert_eq(linkbuffer_commit(lb, written + n), 0);
    cr_assert_eq(linkbuffer_flush(lb), written + n);
    return n;
}

/* The same, until n bytes have come. */
static void receive_all(struct linkbuffer *lb, size_t n, size_t position)
{
    for (size_t came = 0; came < n;)
        came += receive(lb, n - came, position + came);
}

/* The same, with the flush that a receiver may do for bytes that turn out not to come. */
static void receive_nothing(struct linkbuffer *lb)
{
    cr_assert_eq(receive(lb, 0, 0), 0);
}

Test(input, of_nothing_is_nothing)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    void *into = lb;
    size_t n = 7;
    cr_assert_eq(linkbuffer_reserve_input(lb, 0, &into, &n), 0);
    cr_assert_null(into);
    cr_assert_eq(n, 0);
    receive_nothing(lb);
    linkbuffer_need(lb, 100);
    receive_nothing(lb);
    receive_nothing(lb);
    cr_assert_eq(live_bytes(), before);
    cr_assert_eq(linkbuffer_len(lb), 0);
    linkbuffer_destroy(lb);
}

Test(input, never_offers_more_than_asked_for)
{
    struct linkbuffer *lb = make_buffer();
    for (size_t max = 1; max <= 200000; max = max * 3 + 1) {
        void *into;
        size_t n;
        cr_assert_eq(linkbuffer_reserve_input(lb, max, &into, &n), 0);
        cr_assert_geq(n, 1);
        cr_assert_leq(n, max);
        pattern_fill(into, n, 0);
        cr_assert_eq(linkbuffer_commit(lb, 0), 0);
    }
    linkbuffer_destroy(lb);
}

Test(input, follows_what_was_written_before)
{
    struct linkbuffer *lb = make_buffer();
    cr_assert_eq(linkbuffer_write_u16_be(lb, 0x0102), 0);
    size_t came = receive(lb, 10, 0);
    uint16_t value;
    cr_assert_eq(linkbuffer_read_u16_be(lb, &value), 0);
    cr_assert_eq(value, 0x0102);
    cr_assert(holds_unread(lb, came, 0));
    linkbuffer_destroy(lb);
}

Test(input, blocks_grow_while_they_are_filled_and_shrink_again)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    size_t sizes[10];
    for (size_t i = 0; i < 10; i++) {
        sizes[i] = receive(lb, SIZE_MAX, 0);
        cr_assert_eq(linkbuffer_skip(lb, sizes[i]), 0);
        linkbuffer_release(lb);
    }
    cr_assert_leq(sizes[0], 4 * KIB);
    for (size_t i = 1; i < 10; i++)
        cr_assert_geq(sizes[i], sizes[i - 1]);
    cr_assert_gt(sizes[9], 32 * KIB);
    cr_assert_leq(sizes[9], 64 * KIB);
    for (size_t i = 0; i < 10; i++)
        receive_all(lb, 10, 0);
    size_t before = live_bytes();
    receive_all(lb, 10, 0);
    cr_assert_leq(live_bytes() - before, 4 * KIB);
    linkbuffer_destroy(lb);
}

Test(input, a_message_that_fits_the_first_block_is_never_copied)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    const void *out;
    linkbuffer_need(lb, 3000);
    for (size_t came = 0; came < 3000; came += 10) {
        receive_all(lb, 10, came);
        receive_nothing(lb);
        cr_assert_eq(linkbuffer_len(lb), came + 10);
    }
    cr_assert_eq(figures(lb).blocks, 1, "pieces that touch are one window");
    cr_assert_eq(linkbuffer_next(lb, 3000, &out), 0);
    cr_assert(pattern_holds(out, 3000, 0));
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_destroy(lb);
}

/* The reader looks once, after all has come. */
Test(input, pieces_that_nobody_looked_at_are_in_one_piece_too)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    const void *out;
    linkbuffer_need(lb, 2000);
    receive_all(lb, 2, 0);
    for (size_t came = 2; came < 2000; came += 6)
        receive_all(lb, 6, came);
    cr_assert_eq(linkbuffer_next(lb, 2000, &out), 0);
    cr_assert(pattern_holds(out, 2000, 0));
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_destroy(lb);
}

Test(input, a_large_message_is_copied_once_at_most_and_costs_what_came)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    const void *out;
    linkbuffer_need(lb, MIB);
    for (size_t came = 0; came < MIB;) {
        came += receive(lb, came < 5000 ? 7 : 3000, came);
        cr_assert_eq(linkbuffer_len(lb), came); /* a look joins the windows */
        if (!HOSTILE)
            cr_assert_leq(live_bytes() - before, 3 * came + 8 * KIB, "%zu bytes came", came);
    }
    size_t unread = linkbuffer_len(lb);
    cr_assert_eq(linkbuffer_next(lb, MIB, &out), 0);
    cr_assert(pattern_holds(out, MIB, 0));
    cr_assert_leq(figures(lb).bytes_copied, MIB);
    cr_assert(holds_unread(lb, unread - MIB, MIB));
    linkbuffer_release(lb);
    cr_assert_eq(linkbuffer_skip(lb, unread - MIB), 0);
    linkbuffer_release(lb);
    linkbuffer_flush(lb);
    cr_assert_eq(live_bytes(), before);
    linkbuffer_destroy(lb);
}

Test(input, claims_allocate_nothing)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    size_t allocs = alloc_count();
    linkbuffer_need(lb, SIZE_MAX);
    linkbuffer_need(lb, MIB);
    cr_assert_eq(alloc_count(), allocs);
    receive_all(lb, 1, 0);
    cr_assert_lt(live_bytes() - before, 8 * KIB, "1 MiB announced, 1 byte sent");
    linkbuffer_settle(lb, 1024);
    cr_assert_lt(live_bytes() - before, 8 * KIB);
    linkbuffer_destroy(lb);
}

/* Large messages have made the blocks large; a claim must not make use of that. */
Test(input, claims_hold_little_after_large_messages_too)
{
    struct linkbuffer *lb = make_buffer();
    for (size_t i = 0; i < 10; i++) {
        cr_assert_eq(linkbuffer_skip(lb, receive(lb, SIZE_MAX, 0)), 0);
        linkbuffer_release(lb);
    }
    size_t before = live_bytes();
    linkbuffer_need(lb, MIB);
    receive_all(lb, 1, 0);
    cr_assert_lt(live_bytes() - before, 8 * KIB);
    linkbuffer_destroy(lb);
}

Test(input, the_block_goes_when_the_demand_is_met)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    linkbuffer_need(lb, 100);
    receive_all(lb, 99, 0);
    receive_all(lb, 1, 99);
    cr_assert_eq(linkbuffer_skip(lb, 100), 0);
    linkbuffer_release(lb);
    cr_assert_eq(live_bytes(), before, "met: nothing is held");
    linkbuffer_destroy(lb);
}

Test(input, the_block_goes_with_the_next_flush_when_the_demand_is_given_up)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    for (size_t n = 0; n < 2; n++) {
        linkbuffer_need(lb, 100);
        receive_all(lb, 50, 0);
        cr_assert_eq(linkbuffer_skip(lb, 50), 0);
        linkbuffer_release(lb);
        linkbuffer_need(lb, n == 0 ? 0 : linkbuffer_len(lb));
        cr_assert_eq(linkbuffer_flush(lb), 0);
        cr_assert_eq(live_bytes(), before);
    }
    linkbuffer_destroy(lb);
}

Test(input, a_demand_counts_from_where_it_was_stated)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    const void *out;
    put(lb, 1000, 0);
    cr_assert_eq(linkbuffer_skip(lb, 1000), 0);
    linkbuffer_need(lb, 50);
    receive_all(lb, 20, 0);
    cr_assert_eq(linkbuffer_skip(lb, 20), 0);
    receive_all(lb, 29, 20);
    receive_all(lb, 1, 49);
    cr_assert_eq(linkbuffer_next(lb, 30, &out), 0);
    cr_assert(pattern_holds(out, 30, 20));
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_destroy(lb);
}

/* Whatever else is written at a held place comes in order, and the place stays usable or goes. */
Test(input, other_writes_at_a_held_place_come_in_order)
{
    for (int kind = 0; kind < 10; kind++) {
        size_t before = live_bytes();
        struct linkbuffer *lb = make_buffer();
        struct linkbuffer *from = make_buffer();
        struct linkbuffer_block *block = linkbuffer_block_create(100);
        uint8_t bytes[5000];
        struct linkbuffer_ref ref = {.data = bytes, .n = 10};
        int calls = 0;
        pattern_fill(bytes, sizeof bytes, 50);
        linkbuffer_need(lb, MIB);
        receive_all(lb, 50, 0);
        size_t n = kind == 1 ? sizeof bytes : 10;
        switch (kind) {
        case 0:
        case 1:
            cr_assert_eq(linkbuffer_write(lb, bytes, n), 0);
            break;
        case 2:
            cr_assert_eq(linkbuffer_write_ref(lb, bytes, n, count_call, &calls), 0);
            break;
        case 3:
            pattern_fill(linkbuffer_block_data(block), n, 50);
            cr_assert_eq(linkbuffer_adopt(lb, block, linkbuffer_block_data(block), n), 0);
            break;
        case 4:
            put(from, n, 50);
            cr_assert_eq(linkbuffer_append(lb, from), 0);
            break;
        case 5:
            cr_assert_eq(linkbuffer_write_direct(lb, 0, &ref), 0);
            break;
        case 6:
            cr_assert_eq(linkbuffer_write(lb, bytes + 10, 5), 0);
            cr_assert_eq(linkbuffer_write_direct(lb, 5, &ref), 0);
            n = 15;
            break;
        case 7:
            cr_assert_eq(linkbuffer_write(lb, bytes, 20), 0);
            cr_assert_eq(linkbuffer_write_ref(lb, bytes, 20, NULL, NULL), 0);
            cr_assert_eq(linkbuffer_commit(lb, 10), 0);
            break;
        case 8:
            cr_assert_eq(linkbuffer_write(lb, bytes + 500, 20), 0);
            cr_assert_eq(linkbuffer_write_direct(lb, 20, &ref), 0);
            cr_assert_eq(linkbuffer_commit(lb, 0), 0);
            n = 0;
            break;
        default:
            cr_assert_eq(linkbuffer_write(lb, bytes + 500, 20), 0);
            cr_assert_eq(linkbuffer_commit(lb, 0), 0);
            n = 0;
            break;
        }
        receive_all(lb, 100, 50 + n);
        receive_all(lb, 100, 150 + n);
        cr_assert(holds_unread(lb, 250 + n, 0), "kind %d", kind);
        linkbuffer_destroy(lb);
        linkbuffer_destroy(from);
        linkbuffer_block_release(block);
        cr_assert_eq(live_bytes(), before, "kind %d", kind);
    }
}

Test(input, the_last_block_of_a_large_message_is_as_large_as_what_it_lacks)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    put(lb, 256 * KIB, 0);
    linkbuffer_need(lb, 256 * KIB + 10);
    size_t before = live_bytes();
    receive_all(lb, 5, 256 * KIB);
    cr_assert_lt(live_bytes() - before, 8 * KIB);
    linkbuffer_destroy(lb);
}

Test(input, settle_moves_what_nobody_can_continue_under_a_demand)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    void *into;
    cr_assert_eq(linkbuffer_reserve(lb, 4000, &into), 0);
    pattern_fill(into, 10, 0);
    cr_assert_eq(linkbuffer_commit(lb, 10), 0);
    cr_assert_eq(linkbuffer_flush(lb), 10);
    linkbuffer_need(lb, MIB);
    linkbuffer_settle(lb, 1024);
    cr_assert_leq(live_bytes() - before, 128);
    cr_assert(holds_unread(lb, 10, 0));
    linkbuffer_destroy(lb);
}

Test(input, settle_leaves_what_a_demand_waits_to_be_continued)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    const void *out;
    linkbuffer_need(lb, 200);
    receive_all(lb, 100, 0);
    linkbuffer_settle(lb, 1024);
    receive_all(lb, 100, 100);
    cr_assert_eq(linkbuffer_next(lb, 200, &out), 0);
    cr_assert(pattern_holds(out, 200, 0));
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_destroy(lb);
}

Test(input, settle_moves_large_blocks_under_a_demand)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    put_rest_of_block(lb, 10, 0);
    linkbuffer_need(lb, MIB);
    linkbuffer_settle(lb, 1024);
    cr_assert_leq(live_bytes() - before, 128);
    receive_all(lb, 10, 10);
    linkbuffer_settle(lb, 1024);
    cr_assert_lt(live_bytes() - before, 8 * KIB);
    cr_assert(holds_unread(lb, 20, 0));
    linkbuffer_destroy(lb);
}

/* What is shown stays as it is while more comes into the same block. */
Test(input, shown_bytes_stay_while_more_comes_behind_them)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    const void *shown[20];
    linkbuffer_need(lb, 4000);
    for (size_t i = 0; i < 20; i++) {
        receive_all(lb, 100, i * 100);
        cr_assert_eq(linkbuffer_peek(lb, (i + 1) * 100, &shown[i]), 0);
    }
    cr_assert_eq(linkbuffer_slice(lb, 1000, &slice), 0);
    receive_all(lb, 100, 2000);
    for (size_t i = 0; i < 20; i++)
        cr_assert(pattern_holds(shown[i], (i + 1) * 100, 0));
    linkbuffer_release(lb);
    receive_all(lb, 2000, 2100);
    cr_assert(holds_unread(lb, 3100, 1000));
    linkbuffer_destroy(lb);
    cr_assert(holds_unread(slice, 1000, 0));
    linkbuffer_destroy(slice);
}

Test(input, ten_bytes_left_of_large_blocks_hold_little_in_ten_thousand_buffers)
{
    enum {
        BUFFERS = 10000
    };
    static struct linkbuffer *buffers[BUFFERS];
    size_t before = live_bytes();
    for (size_t i = 0; i < BUFFERS; i++) {
        buffers[i] = make_buffer();
        put_rest_of_block(buffers[i], 10, i);
        linkbuffer_settle(buffers[i], 1024);
    }
    cr_assert_lt((live_bytes() - before) / BUFFERS, 4 * KIB);
    if (!HOSTILE)
        cr_assert_leq((live_bytes() - before) / BUFFERS, 256);
    for (size_t i = 0; i < BUFFERS; i++) {
        cr_assert(holds_unread(buffers[i], 10, i));
        linkbuffer_destroy(buffers[i]);
    }
}

Test(input, settle_leaves_what_an_unmet_demand_waits_for)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_stats stats;
    const void *bytes;
    size_t came = 0;
    linkbuffer_need(lb, 100000);
    while (came < 100000) {
        void *into;
        size_t n;
        cr_assert_eq(linkbuffer_reserve_input(lb, 100, &into, &n), 0);
        memset(into, 'x', n);
        came += linkbuffer_flush(lb);
        linkbuffer_settle(lb, 1984);
    }
    linkbuffer_stats_read(lb, &stats);
    cr_assert_eq(stats.bytes_copied, 0);
    cr_assert_eq(linkbuffer_next(lb, 100000, &bytes), 0);
    linkbuffer_stats_read(lb, &stats);
    cr_assert_leq(stats.bytes_copied, 100000);
    linkbuffer_destroy(lb);
}
