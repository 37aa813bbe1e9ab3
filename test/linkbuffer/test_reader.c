#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(reader, nothing_asked_for_is_nothing_done)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    for (int round = 0; round < 2; round++) {
        const void *out = lb;
        cr_assert_eq(linkbuffer_next(lb, 0, &out), 0);
        cr_assert_null(out);
        out = lb;
        cr_assert_eq(linkbuffer_peek(lb, 0, &out), 0);
        cr_assert_null(out);
        cr_assert_eq(linkbuffer_skip(lb, 0), 0);
        cr_assert_eq(linkbuffer_read(lb, NULL, 0), 0);
        cr_assert_eq(linkbuffer_slice(lb, 0, &slice), 0);
        cr_assert_eq(linkbuffer_len(slice), 0);
        put(slice, 10, 0);
        cr_assert(holds_unread(slice, 10, 0));
        linkbuffer_destroy(slice);
        if (round == 0)
            put(lb, 10, 0);
    }
    cr_assert(holds_unread(lb, 10, 0));
    linkbuffer_destroy(lb);
}

static void refuses(struct linkbuffer *lb, size_t n)
{
    const void *out = lb;
    struct linkbuffer *slice = lb;
    cr_assert_eq(linkbuffer_next(lb, n, &out), -EAGAIN);
    cr_assert_eq(linkbuffer_peek(lb, n, &out), -EAGAIN);
    cr_assert_eq(out, lb);
    cr_assert_eq(linkbuffer_skip(lb, n), -EAGAIN);
    cr_assert_eq(linkbuffer_slice(lb, n, &slice), -EAGAIN);
    cr_assert_null(slice);
}

Test(reader, more_than_there_is_is_refused_and_changes_nothing)
{
    struct linkbuffer *lb = make_buffer();
    uint8_t byte = 7;
    size_t n = 7;
    const void *out = lb;
    refuses(lb, 1);
    refuses(lb, SIZE_MAX);
    cr_assert_eq(linkbuffer_read_byte(lb, &byte), -EAGAIN);
    cr_assert_eq(linkbuffer_until(lb, 'x', &out, &n), -EAGAIN);
    cr_assert_eq(linkbuffer_read(lb, &byte, 1), 0);
    cr_assert_eq(byte, 7);
    cr_assert_eq(n, 7);
    cr_assert_eq(out, lb);
    put_pieces(lb, 30, 3, 0);
    refuses(lb, 91);
    refuses(lb, SIZE_MAX);
    cr_assert(holds_unread(lb, 90, 0));
    linkbuffer_destroy(lb);
}

Test(reader, read_copies_what_there_is)
{
    struct linkbuffer *lb = make_buffer();
    uint8_t into[100];
    put_pieces(lb, 30, 3, 0);
    cr_assert_eq(linkbuffer_read(lb, into, 40), 40);
    cr_assert(pattern_holds(into, 40, 0));
    cr_assert_eq(linkbuffer_read(lb, into, SIZE_MAX), 50);
    cr_assert(pattern_holds(into, 50, 40));
    cr_assert_eq(linkbuffer_read(lb, into, 1), 0);
    linkbuffer_destroy(lb);
}

Test(reader, bytes_come_one_by_one)
{
    struct linkbuffer *lb = make_buffer();
    uint8_t byte;
    put_pieces(lb, 3, 4, 0);
    for (size_t i = 0; i < 12; i++) {
        cr_assert_eq(linkbuffer_read_byte(lb, &byte), 0);
        cr_assert_eq(byte, pattern_at(i));
    }
    cr_assert_eq(linkbuffer_read_byte(lb, &byte), -EAGAIN);
    linkbuffer_destroy(lb);
}

Test(reader, contiguous_data_is_shown_in_place)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    void *into;
    const void *out;
    cr_assert_eq(linkbuffer_reserve(lb, 100000, &into), 0);
    pattern_fill(into, 100000, 0);
    cr_assert_eq(linkbuffer_flush(lb), 100000);
    for (size_t at = 0; at < 100000; at += 1000) {
        cr_assert_eq(linkbuffer_peek(lb, 1000, &out), 0);
        cr_assert_eq(out, (uint8_t *)into + at);
        cr_assert_eq(linkbuffer_next(lb, 1000, &out), 0);
        cr_assert_eq(out, (uint8_t *)into + at);
    }
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_destroy(lb);
}

Test(reader, ranges_of_a_block_that_touch_are_contiguous)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_block *block = linkbuffer_block_create(4000);
    uint8_t *data = linkbuffer_block_data(block);
    const void *out;
    pattern_fill(data, 4000, 0);
    for (size_t at = 0; at < 4000; at += 400) {
        cr_assert_eq(linkbuffer_adopt(lb, block, data + at, 400), 0);
        cr_assert_eq(linkbuffer_flush(lb), 400);
    }
    cr_assert_eq(linkbuffer_next(lb, 100, &out), 0);
    cr_assert_eq(linkbuffer_next(lb, 3000, &out), 0);
    cr_assert_eq(out, data + 100);
    cr_assert_eq(linkbuffer_peek(lb, 900, &out), 0);
    cr_assert_eq(out, data + 3100);
    cr_assert_eq(figures(lb).bytes_copied, 0);
    cr_assert(holds_unread(lb, 900, 3100));
    cr_assert_eq(linkbuffer_skip(lb, 900), 0);
    linkbuffer_release(lb);
    cr_assert_not(linkbuffer_block_is_shared(block));
    linkbuffer_block_release(block);
    linkbuffer_destroy(lb);
}

Test(reader, ranges_in_reverse_or_of_other_blocks_are_not_joined)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_block *block = linkbuffer_block_create(200);
    uint8_t *data = linkbuffer_block_data(block);
    const void *out;
    int calls = 0;
    pattern_fill(data + 100, 100, 0);
    pattern_fill(data, 100, 100);
    cr_assert_eq(linkbuffer_adopt(lb, block, data + 100, 100), 0);
    cr_assert_eq(linkbuffer_adopt(lb, block, data, 100), 0);
    /* Begins where the window before it ends, but is another block. */
    cr_assert_eq(linkbuffer_write_ref(lb, data + 100, 100, count_call, &calls), 0);
    cr_assert_eq(linkbuffer_flush(lb), 300);
    cr_assert_eq(linkbuffer_peek(lb, 150, &out), 0);
    cr_assert(pattern_holds(out, 150, 0));
    cr_assert_eq(figures(lb).bytes_copied, 150);
    cr_assert_eq(linkbuffer_skip(lb, 150), 0);
    cr_assert_eq(linkbuffer_peek(lb, 150, &out), 0);
    cr_assert(pattern_holds(out, 50, 150));
    cr_assert(pattern_holds((const uint8_t *)out + 50, 100, 0));
    cr_assert_eq(figures(lb).bytes_copied, 300);
    cr_assert_eq(calls, 0);
    linkbuffer_destroy(lb);
    cr_assert_eq(calls, 1);
    linkbuffer_block_release(block);
}

Test(reader, pointers_stay_valid_until_release_for_any_mix)
{
    enum {
        HELD = 64
    };
    struct linkbuffer *lb = make_buffer();
    const void *held[HELD];
    size_t size[HELD];
    size_t position[HELD];
    size_t read = 0;
    put_pieces(lb, 37, 500, 0);
    for (size_t i = 0; i < HELD; i++) {
        size[i] = 1 + (i * 53) % 200;
        position[i] = read;
        if (i % 2 == 0) {
            cr_assert_eq(linkbuffer_next(lb, size[i], &held[i]), 0);
            read += size[i];
        } else {
            cr_assert_eq(linkbuffer_peek(lb, size[i], &held[i]), 0);
        }
        if (i % 5 == 0) {
            cr_assert_eq(linkbuffer_skip(lb, 19), 0);
            read += 19;
        }
        put(lb, 29, 37 * 500 + i * 29);
        for (size_t k = 0; k <= i; k++)
            cr_assert(pattern_holds(held[k], size[k], position[k]), "%zu after %zu", k, i);
    }
    cr_assert(holds_unread(lb, 37 * 500 + HELD * 29 - read, read));
    linkbuffer_release(lb);
    cr_assert(holds_unread(lb, 37 * 500 + HELD * 29 - read, read));
    linkbuffer_destroy(lb);
}

Test(reader, consuming_between_peeks_keeps_the_earlier_ones)
{
    struct linkbuffer *lb = make_buffer();
    const void *first;
    const void *second;
    const void *third;
    put_pieces(lb, 8, 100, 0);
    cr_assert_eq(linkbuffer_peek(lb, 10, &first), 0);
    cr_assert_eq(linkbuffer_skip(lb, 8), 0);
    cr_assert_eq(linkbuffer_peek(lb, 10, &second), 0);
    cr_assert_eq(linkbuffer_peek(lb, 500, &third), 0);
    cr_assert(pattern_holds(first, 10, 0));
    cr_assert(pattern_holds(second, 10, 8));
    cr_assert(pattern_holds(third, 500, 8));
    linkbuffer_destroy(lb);
}

Test(reader, growing_peeks_share_one_copy_that_doubles)
{
    enum {
        PIECES = 4096,
        PIECE = 16,
        TOTAL = PIECES * PIECE
    };
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    const void *out;
    put_pieces(lb, PIECE, PIECES, 0);
    size_t before = live_bytes();
    size_t allocs = alloc_count();
    for (size_t n = PIECE; n <= TOTAL; n += PIECE) {
        cr_assert_eq(linkbuffer_peek(lb, n, &out), 0);
        if ((n & (n - 1)) == 0)
            cr_assert(pattern_holds(out, n, 0));
    }
    cr_assert_leq(figures(lb).bytes_copied, 3 * TOTAL);
    cr_assert_leq(alloc_count() - allocs, 16);
    cr_assert_leq(live_bytes() - before, 4 * TOTAL);
    linkbuffer_release(lb);
    cr_assert_leq(figures(lb).blocks, 1);
    cr_assert(holds_unread(lb, TOTAL, 0));
    linkbuffer_destroy(lb);
}

Test(reader, same_peek_again_costs_nothing)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    const void *first;
    const void *out;
    put_pieces(lb, 100, 20, 0);
    cr_assert_eq(linkbuffer_peek(lb, 2000, &first), 0);
    size_t before = live_bytes();
    for (int i = 0; i < 1024; i++) {
        cr_assert_eq(linkbuffer_peek(lb, 2000 - (size_t)i, &out), 0);
        cr_assert_eq(out, first);
    }
    cr_assert_eq(figures(lb).bytes_copied, 2000);
    cr_assert_eq(live_bytes(), before);
    linkbuffer_destroy(lb);
}

Test(reader, sliding_peeks_copy_each_byte_a_few_times_at_most)
{
    enum {
        PIECES = 5000
    };
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    const void *out;
    put_pieces(lb, 1, PIECES, 0);
    for (size_t i = 0; i + 64 <= PIECES; i++) {
        cr_assert_eq(linkbuffer_peek(lb, 64, &out), 0);
        cr_assert(pattern_holds(out, 64, i));
        cr_assert_eq(linkbuffer_skip(lb, 1), 0);
        if (i % 100 == 0)
            linkbuffer_release(lb);
    }
    cr_assert_leq(figures(lb).bytes_copied, 3 * PIECES);
    linkbuffer_destroy(lb);
}

static void check_line(struct linkbuffer *lb, const char *expected)
{
    const void *out;
    size_t n;
    cr_assert_eq(linkbuffer_until(lb, '\n', &out, &n), 0);
    cr_assert_eq(n, strlen(expected));
    cr_assert_eq(memcmp(out, expected, n), 0);
}

static void put_text(struct linkbuffer *lb, const char *text)
{
    cr_assert_eq(linkbuffer_write(lb, text, strlen(text)), 0);
    cr_assert_eq(linkbuffer_flush(lb), strlen(text));
}

Test(reader, until_gives_lines_within_and_across_windows)
{
    struct linkbuffer *lb = make_buffer();
    const void *out;
    size_t n;
    put_text(lb, "one\ntwo\nth");
    check_line(lb, "one\n");
    check_line(lb, "two\n");
    cr_assert_eq(linkbuffer_until(lb, '\n', &out, &n), -EAGAIN);
    put_text(lb, "re");
    cr_assert_eq(linkbuffer_until(lb, '\n', &out, &n), -EAGAIN);
    cr_assert_eq(linkbuffer_len(lb), 4);
    put_text(lb, "e\n\nfour");
    check_line(lb, "three\n");
    check_line(lb, "\n");
    cr_assert_eq(linkbuffer_until(lb, '\n', &out, &n), -EAGAIN);
    cr_assert_eq(linkbuffer_until(lb, 'u', &out, &n), 0);
    cr_assert_eq(n, 3);
    cr_assert_eq(memcmp(out, "fou", 3), 0);
    linkbuffer_destroy(lb);
}

Test(reader, until_finds_what_an_earlier_search_passed_for_another_byte)
{
    struct linkbuffer *lb = make_buffer();
    const void *out;
    size_t n;
    put_text(lb, "abcdef");
    cr_assert_eq(linkbuffer_until(lb, 'x', &out, &n), -EAGAIN);
    cr_assert_eq(linkbuffer_until(lb, 'b', &out, &n), 0);
    cr_assert_eq(n, 2);
    cr_assert_eq(linkbuffer_until(lb, 'x', &out, &n), -EAGAIN);
    cr_assert_eq(linkbuffer_skip(lb, 4), 0);
    put_text(lb, "x");
    cr_assert_eq(linkbuffer_until(lb, 'x', &out, &n), 0);
    cr_assert_eq(n, 1);
    cr_assert_eq(linkbuffer_until(lb, 0, &out, &n), -EAGAIN);
    cr_assert_eq(linkbuffer_write(lb, "q\0", 2), 0);
    cr_assert_eq(linkbuffer_flush(lb), 2);
    cr_assert_eq(linkbuffer_until(lb, 0, &out, &n), 0);
    cr_assert_eq(n, 2);
    linkbuffer_destroy(lb);
}

Test(reader, until_sees_the_bytes_of_a_source_that_was_moved_away_and_refilled)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *other = make_buffer();
    const void *out;
    size_t n;
    put_text(lb, "abc");
    cr_assert_eq(linkbuffer_until(lb, 'x', &out, &n), -EAGAIN);
    cr_assert_eq(linkbuffer_append(other, lb), 0);
    put_text(lb, "x");
    cr_assert_eq(linkbuffer_until(lb, 'x', &out, &n), 0);
    cr_assert_eq(n, 1);
    linkbuffer_destroy(other);
    linkbuffer_destroy(lb);
}

Test(reader, release_frees_what_was_consumed_and_keeps_the_rest)
{
    struct linkbuffer *lb = make_buffer();
    size_t empty = live_bytes();
    put_pieces(lb, 1000, 10, 0);
    size_t full = live_bytes();
    const void *out;
    cr_assert_eq(linkbuffer_next(lb, 5000, &out), 0);
    cr_assert_gt(live_bytes(), full - 100);
    linkbuffer_release(lb);
    cr_assert_leq(live_bytes() - empty, (full - empty) / 2);
    cr_assert(holds_unread(lb, 5000, 5000));
    cr_assert_eq(linkbuffer_skip(lb, 5000), 0);
    linkbuffer_release(lb);
    cr_assert_eq(live_bytes(), empty);
    cr_assert_eq(figures(lb).blocks, 0);
    linkbuffer_destroy(lb);
}

Test(reader, searching_in_vain_does_not_leave_windows_to_walk_over_again)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer_stats stats;
    const void *line;
    size_t n;
    for (size_t i = 0; i < 10000; i++) {
        cr_assert_eq(linkbuffer_write(lb, "x", 1), 0);
        linkbuffer_flush(lb);
        cr_assert_eq(linkbuffer_until(lb, '\n', &line, &n), -EAGAIN);
        linkbuffer_release(lb);
        linkbuffer_stats_read(lb, &stats);
        cr_assert_leq(stats.blocks, 66);
    }
    cr_assert_leq(stats.bytes_copied, 40000);
    cr_assert_eq(linkbuffer_write(lb, "\n", 1), 0);
    linkbuffer_flush(lb);
    cr_assert_eq(linkbuffer_until(lb, '\n', &line, &n), 0);
    cr_assert_eq(n, 10001);
    cr_assert_eq(memchr(line, '\n', n), (const char *)line + 10000);
    linkbuffer_destroy(lb);
}
