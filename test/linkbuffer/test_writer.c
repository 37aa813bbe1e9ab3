#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define KIB ((size_t)1024)

static void write_pattern(struct linkbuffer *lb, size_t n, size_t position)
{
    static uint8_t bytes[256 * 1024];
    cr_assert_leq(n, sizeof bytes);
    pattern_fill(bytes, n, position);
    cr_assert_eq(linkbuffer_write(lb, bytes, n), 0);
    memset(bytes, 0, n);
}

Test(writer, nothing_written_changes_nothing)
{
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    int calls = 0;
    void *into = lb;
    struct linkbuffer_block *block = linkbuffer_block_create(10);
    size_t with_block = live_bytes();
    cr_assert_eq(linkbuffer_reserve(lb, 0, &into), 0);
    cr_assert_null(into);
    cr_assert_eq(linkbuffer_write(lb, NULL, 0), 0);
    cr_assert_eq(linkbuffer_write_ref(lb, NULL, 0, NULL, NULL), 0);
    cr_assert_eq(linkbuffer_write_ref(lb, NULL, 0, count_call, &calls), 0);
    cr_assert_eq(calls, 1);
    cr_assert_eq(linkbuffer_adopt(lb, block, linkbuffer_block_data(block), 0), 0);
    cr_assert_not(linkbuffer_block_is_shared(block));
    cr_assert_eq(linkbuffer_commit(lb, 0), 0);
    cr_assert_eq(linkbuffer_flush(lb), 0);
    cr_assert_eq(linkbuffer_reserved_len(lb), 0);
    cr_assert_eq(live_bytes(), with_block);
    linkbuffer_block_release(block);
    cr_assert_eq(live_bytes(), before);
    linkbuffer_destroy(lb);
}

Test(writer, absurd_sizes_are_refused_and_change_nothing)
{
    struct linkbuffer *lb = make_buffer();
    write_pattern(lb, 10, 0);
    void *into = lb;
    cr_assert_eq(linkbuffer_reserve(lb, SIZE_MAX, &into), -ENOMEM);
    cr_assert_eq(linkbuffer_reserve(lb, SIZE_MAX - 10, &into), -ENOMEM);
    cr_assert_eq(linkbuffer_reserve(lb, SIZE_MAX / 2, &into), -ENOMEM);
    cr_assert_eq(into, lb);
    cr_assert_eq(linkbuffer_commit(lb, SIZE_MAX), -EINVAL);
    cr_assert_eq(linkbuffer_commit(lb, 11), -EINVAL);
    cr_assert_eq(linkbuffer_reserved_len(lb), 10);
    cr_assert_eq(linkbuffer_flush(lb), 10);
    cr_assert(holds_unread(lb, 10, 0));
    linkbuffer_destroy(lb);
}

Test(writer, written_bytes_are_readable_after_flush_only)
{
    struct linkbuffer *lb = make_buffer();
    write_pattern(lb, 100, 0);
    cr_assert_eq(linkbuffer_reserved_len(lb), 100);
    cr_assert_eq(linkbuffer_len(lb), 0);
    cr_assert_eq(linkbuffer_unread(lb), 0);
    const void *out;
    cr_assert_eq(linkbuffer_next(lb, 1, &out), -EAGAIN);
    cr_assert_eq(linkbuffer_flush(lb), 100);
    cr_assert_eq(linkbuffer_flush(lb), 0);
    cr_assert_eq(linkbuffer_reserved_len(lb), 0);
    cr_assert(holds_unread(lb, 100, 0));
    linkbuffer_destroy(lb);
}

Test(writer, flushes_interleave_with_reads)
{
    struct linkbuffer *lb = make_buffer();
    size_t written = 0;
    size_t consumed = 0;
    for (size_t i = 1; i < 200; i++) {
        write_pattern(lb, i, written);
        written += i;
        if (i % 3 != 0)
            cr_assert_gt(linkbuffer_flush(lb), 0);
        size_t step = linkbuffer_len(lb) / 2;
        cr_assert_eq(linkbuffer_skip(lb, step), 0);
        consumed += step;
        cr_assert(holds_unread(lb, linkbuffer_len(lb), consumed));
    }
    linkbuffer_destroy(lb);
}

Test(writer, reserved_memory_is_contiguous_and_separate)
{
    struct linkbuffer *lb = make_buffer();
    size_t sizes[] = {1, 15, 16, 100, 5000, 3, 70000, 200000, 9};
    void *into[9];
    size_t position = 0;
    for (size_t i = 0; i < 9; i++)
        cr_assert_eq(linkbuffer_reserve(lb, sizes[i], &into[i]), 0);
    for (size_t i = 0; i < 9; i++) {
        pattern_fill(into[i], sizes[i], position);
        position += sizes[i];
    }
    cr_assert_eq(linkbuffer_reserved_len(lb), position);
    cr_assert_eq(linkbuffer_flush(lb), position);
    cr_assert(holds_unread(lb, position, 0));
    linkbuffer_destroy(lb);
}

Test(writer, commit_keeps_the_first_bytes_wherever_the_cut_falls)
{
    for (size_t keep = 0; keep <= 600; keep++) {
        struct linkbuffer *lb = make_buffer();
        size_t before = live_bytes();
        void *into;
        for (size_t i = 0; i < 6; i++) {
            cr_assert_eq(linkbuffer_reserve(lb, 100, &into), 0);
            pattern_fill(into, 100, i * 100);
        }
        cr_assert_eq(linkbuffer_commit(lb, keep), 0);
        cr_assert_eq(linkbuffer_reserved_len(lb), keep);
        if (keep == 0)
            cr_assert_eq(live_bytes(), before);
        write_pattern(lb, 150, keep);
        cr_assert_eq(linkbuffer_flush(lb), keep + 150);
        cr_assert(holds_unread(lb, keep + 150, 0));
        linkbuffer_destroy(lb);
    }
}

Test(writer, commit_leaves_what_was_flushed_alone)
{
    struct linkbuffer *lb = make_buffer();
    put(lb, 50, 0);
    write_pattern(lb, 50, 1000);
    cr_assert_eq(linkbuffer_commit(lb, 0), 0);
    cr_assert_eq(linkbuffer_flush(lb), 0);
    cr_assert(holds_unread(lb, 50, 0));
    linkbuffer_destroy(lb);
}

Test(writer, lent_memory_is_shown_in_place_and_never_written)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    uint8_t memory[100];
    int calls = 0;
    pattern_fill(memory, 100, 0);
    cr_assert_eq(linkbuffer_write_ref(lb, memory, 40, count_call, &calls), 0);
    cr_assert_eq(linkbuffer_commit(lb, 30), 0);
    write_pattern(lb, 50, 30);
    cr_assert_eq(linkbuffer_flush(lb), 80);
    const void *out;
    cr_assert_eq(linkbuffer_peek(lb, 30, &out), 0);
    cr_assert_eq(out, memory);
    cr_assert_eq(linkbuffer_peek(lb, 60, &out), 0);
    cr_assert(pattern_holds(out, 60, 0));
    linkbuffer_settle(lb, 4096);
    cr_assert(holds_unread(lb, 80, 0));
    linkbuffer_destroy(lb);
    cr_assert_eq(calls, 1);
    cr_assert(pattern_holds(memory, 100, 0), "the spare bytes behind are the caller's");
}

static void end_by_destroy_unflushed(struct linkbuffer *lb)
{
    linkbuffer_destroy(lb);
}

static void end_by_destroy_unpulled(struct linkbuffer *lb)
{
    cr_assert_eq(linkbuffer_flush(lb), 5000);
    linkbuffer_destroy(lb);
}

static void end_by_destroy_unread(struct linkbuffer *lb)
{
    cr_assert_eq(linkbuffer_flush(lb), 5000);
    cr_assert_eq(linkbuffer_len(lb), 5000);
    linkbuffer_destroy(lb);
}

static void end_by_destroy_consumed(struct linkbuffer *lb)
{
    cr_assert_eq(linkbuffer_flush(lb), 5000);
    cr_assert_eq(linkbuffer_skip(lb, 5000), 0);
    linkbuffer_destroy(lb);
}

static void end_by_release(struct linkbuffer *lb)
{
    cr_assert_eq(linkbuffer_flush(lb), 5000);
    cr_assert_eq(linkbuffer_skip(lb, 5000), 0);
    linkbuffer_release(lb);
    linkbuffer_release(lb);
    linkbuffer_destroy(lb);
}

static void end_by_commit(struct linkbuffer *lb)
{
    cr_assert_eq(linkbuffer_commit(lb, 0), 0);
    linkbuffer_destroy(lb);
}

static void end_by_partial_commit(struct linkbuffer *lb)
{
    cr_assert_eq(linkbuffer_commit(lb, 10), 0);
    cr_assert_eq(linkbuffer_flush(lb), 10);
    linkbuffer_destroy(lb);
}

static void end_by_slice(struct linkbuffer *lb)
{
    struct linkbuffer *slices[2];
    cr_assert_eq(linkbuffer_flush(lb), 5000);
    cr_assert_eq(linkbuffer_slice(lb, 2000, &slices[0]), 0);
    cr_assert_eq(linkbuffer_slice(lb, 3000, &slices[1]), 0);
    linkbuffer_destroy(lb);
    linkbuffer_destroy(slices[0]);
    linkbuffer_destroy(slices[1]);
}

static void end_by_append(struct linkbuffer *lb)
{
    struct linkbuffer *other = make_buffer();
    const void *out;
    cr_assert_eq(linkbuffer_flush(lb), 5000);
    cr_assert_eq(linkbuffer_peek(lb, 1, &out), 0);
    cr_assert_eq(linkbuffer_append(other, lb), 0);
    cr_assert_eq(linkbuffer_flush(other), 5000);
    cr_assert_eq(linkbuffer_skip(other, 5000), 0);
    linkbuffer_destroy(other);
    linkbuffer_destroy(lb);
}

static void end_by_peek_copy(struct linkbuffer *lb)
{
    const void *out;
    write_pattern(lb, 10, 0);
    cr_assert_eq(linkbuffer_flush(lb), 5010);
    cr_assert_eq(linkbuffer_peek(lb, 5010, &out), 0);
    linkbuffer_release(lb);
    linkbuffer_destroy(lb);
}

Test(writer, release_of_lent_memory_is_called_once_however_it_ends)
{
    void (*const ends[])(struct linkbuffer *) = {end_by_destroy_unflushed,
                                                 end_by_destroy_unpulled,
                                                 end_by_destroy_unread,
                                                 end_by_destroy_consumed,
                                                 end_by_release,
                                                 end_by_commit,
                                                 end_by_partial_commit,
                                                 end_by_slice,
                                                 end_by_append,
                                                 end_by_peek_copy};
    static const uint8_t memory[5000];
    size_t before = live_bytes();
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int calls = 0;
        struct linkbuffer *lb = make_buffer();
        cr_assert_eq(linkbuffer_write_ref(lb, memory, sizeof memory, count_call, &calls), 0);
        cr_assert_eq(calls, 0);
        ends[i](lb);
        cr_assert_eq(calls, 1, "end %zu: %d calls", i, calls);
        cr_assert_eq(live_bytes(), before, "end %zu", i);
    }
}

Test(writer, release_of_lent_memory_waits_for_the_last_one_who_shows_it)
{
    static const uint8_t memory[100];
    int calls = 0;
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    cr_assert_eq(linkbuffer_write_ref(lb, memory, 100, count_call, &calls), 0);
    cr_assert_eq(linkbuffer_flush(lb), 100);
    cr_assert_eq(linkbuffer_slice(lb, 60, &slice), 0);
    cr_assert_eq(linkbuffer_skip(lb, 40), 0);
    cr_assert_eq(calls, 0);
    linkbuffer_release(lb);
    cr_assert_eq(calls, 0);
    linkbuffer_destroy(lb);
    cr_assert_eq(calls, 0);
    linkbuffer_destroy(slice);
    cr_assert_eq(calls, 1);
}

Test(writer, adopted_range_is_shown_in_place_and_keeps_its_block)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    struct linkbuffer_block *block = linkbuffer_block_create(1000);
    uint8_t *data = linkbuffer_block_data(block);
    pattern_fill(data, 1000, 0);
    cr_assert_eq(linkbuffer_adopt(lb, block, data + 100, 200), 0);
    linkbuffer_block_release(block);
    cr_assert_eq(linkbuffer_flush(lb), 200);
    const void *out;
    cr_assert_eq(linkbuffer_next(lb, 200, &out), 0);
    cr_assert_eq(out, data + 100);
    cr_assert(pattern_holds(out, 200, 100));
    linkbuffer_release(lb);
    cr_assert_eq(live_bytes(), before);
    linkbuffer_destroy(lb);
}

Test(writer, ranges_of_one_block_are_never_written_through)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_block *block = linkbuffer_block_create(1000);
    uint8_t *data = linkbuffer_block_data(block);
    pattern_fill(data, 1000, 0);
    cr_assert_eq(linkbuffer_adopt(lb, block, data, 100), 0);
    cr_assert_eq(linkbuffer_commit(lb, 50), 0);
    write_pattern(lb, 100, 5000);
    cr_assert_eq(linkbuffer_flush(lb), 150);
    const void *out;
    cr_assert_eq(linkbuffer_peek(lb, 150, &out), 0);
    cr_assert(pattern_holds(out, 50, 0));
    cr_assert(pattern_holds((const uint8_t *)out + 50, 100, 5000));
    cr_assert(pattern_holds(data, 1000, 0), "the caller holds a count: the block is shared");
    linkbuffer_destroy(lb);
    linkbuffer_block_release(block);
}

Test(writer, one_large_message_does_not_make_small_ones_dear)
{
    struct linkbuffer *lb = make_buffer();
    for (int round = 0; round < 2; round++) {
        put(lb, 1, 0);
        put(lb, 4096 * KIB, 0);
        cr_assert_eq(linkbuffer_skip(lb, 4096 * KIB + 1), 0);
        linkbuffer_release(lb);
        size_t before = live_bytes();
        put(lb, 1, 0);
        cr_assert_leq(live_bytes() - before, 128);
        cr_assert_eq(linkbuffer_skip(lb, 1), 0);
        linkbuffer_release(lb);
        cr_assert_eq(live_bytes(), before);
    }
    linkbuffer_destroy(lb);
}

Test(writer, after_many_large_messages_a_small_one_costs_a_page_at_most)
{
    struct linkbuffer *lb = make_buffer();
    put_pieces(lb, 256 * KIB, 10, 0);
    size_t before = live_bytes();
    put(lb, 1, 0);
    cr_assert_leq(live_bytes() - before, 4 * KIB);
    put(lb, 1, 0);
    before = live_bytes();
    put(lb, 1, 0);
    cr_assert_leq(live_bytes() - before, 128);
    linkbuffer_destroy(lb);
}

Test(writer, bytes_by_reference_do_not_size_the_blocks_of_copies)
{
    SKIP_IF_HOSTILE();
    static const uint8_t body[200 * 1024];
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *other = make_buffer();
    for (int i = 0; i < 4; i++) {
        size_t before = live_bytes();
        put(other, 200 * KIB, 0);
        size_t foreign = live_bytes() - before;
        write_pattern(lb, 20, 0);
        cr_assert_eq(linkbuffer_write_ref(lb, body, sizeof body, NULL, NULL), 0);
        cr_assert_eq(linkbuffer_append(lb, other), 0);
        write_pattern(lb, 20, 0);
        cr_assert_eq(linkbuffer_flush(lb), sizeof body + 200 * KIB + 40);
        cr_assert_leq(live_bytes() - before - foreign, 3 * 128);
    }
    linkbuffer_destroy(other);
    linkbuffer_destroy(lb);
}

Test(writer, what_commit_takes_back_does_not_size_later_blocks)
{
    struct linkbuffer *lb = make_buffer();
    void *into;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(linkbuffer_reserve(lb, 4000, &into), 0);
        cr_assert_eq(linkbuffer_commit(lb, 10), 0);
        cr_assert_eq(linkbuffer_flush(lb), 10);
    }
    size_t before = live_bytes();
    put(lb, 1, 0);
    cr_assert_leq(live_bytes() - before, 128);
    linkbuffer_destroy(lb);
}

Test(writer, flushes_of_one_size_take_one_block_each)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    for (int i = 0; i < 10; i++) {
        size_t before = alloc_count();
        for (size_t k = 0; k < 30; k++)
            write_pattern(lb, 100, k * 100);
        cr_assert_eq(linkbuffer_flush(lb), 3000);
        if (i >= 2)
            cr_assert_eq(alloc_count() - before, 1);
    }
    linkbuffer_destroy(lb);
}

Test(writer, blocks_of_one_flush_grow)
{
    enum {
        TOTAL = 1 << 20
    };
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    size_t before = live_bytes();
    size_t allocs = alloc_count();
    for (size_t i = 0; i < TOTAL; i++) {
        uint8_t byte = pattern_at(i);
        cr_assert_eq(linkbuffer_write(lb, &byte, 1), 0);
    }
    cr_assert_lt(alloc_count() - allocs, 40);
    cr_assert_lt(live_bytes() - before, (size_t)TOTAL + TOTAL / 8);
    cr_assert_eq(linkbuffer_flush(lb), TOTAL);
    cr_assert(holds_unread(lb, TOTAL, 0));
    linkbuffer_destroy(lb);
}

Test(writer, a_reference_of_an_absurd_length_is_refused)
{
    struct linkbuffer *lb = make_buffer();
    cr_assert_eq(linkbuffer_write_ref(lb, "x", SIZE_MAX, NULL, NULL), -EINVAL);
    cr_assert_eq(linkbuffer_reserved_len(lb), 0);
    linkbuffer_destroy(lb);
}
