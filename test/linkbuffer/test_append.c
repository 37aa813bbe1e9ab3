/* linkbuffer_append(): readable bytes of one buffer moved to the end of another. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>

static void write_pattern(struct linkbuffer *lb, size_t n, size_t position)
{
    void *into;
    cr_assert_eq(linkbuffer_reserve(lb, n, &into), 0);
    pattern_fill(into, n, position);
}

Test(append, to_itself_is_refused)
{
    struct linkbuffer *lb = make_buffer();
    put(lb, 10, 0);
    cr_assert_eq(linkbuffer_append(lb, lb), -EINVAL);
    cr_assert(holds_unread(lb, 10, 0));
    linkbuffer_destroy(lb);
}

Test(append, of_nothing_changes_nothing)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *from = make_buffer();
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    cr_assert_eq(linkbuffer_reserved_len(lb), 0);
    write_pattern(from, 10, 0);
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    cr_assert_eq(linkbuffer_reserved_len(lb), 0, "unflushed bytes stay with the source");
    cr_assert_eq(linkbuffer_flush(from), 10);
    cr_assert(holds_unread(from, 10, 0));
    linkbuffer_destroy(lb);
    linkbuffer_destroy(from);
}

Test(append, moves_in_order_and_leaves_the_source_usable)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *from = make_buffer();
    put(lb, 100, 0);
    write_pattern(lb, 100, 100);
    put_pieces(from, 50, 4, 150);
    cr_assert_eq(linkbuffer_skip(from, 50), 0);
    write_pattern(from, 30, 9000);
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    cr_assert_eq(linkbuffer_len(from), 0);
    cr_assert_eq(linkbuffer_unread(from), 0);
    cr_assert_eq(linkbuffer_len(lb), 100, "readable at the next flush");
    cr_assert_eq(linkbuffer_reserved_len(lb), 250);
    write_pattern(lb, 70, 350);
    cr_assert_eq(linkbuffer_flush(lb), 320);
    cr_assert(holds_unread(lb, 420, 0));
    cr_assert_eq(figures(lb).bytes_copied, 0);

    cr_assert_eq(linkbuffer_flush(from), 30);
    cr_assert(holds_unread(from, 30, 9000));
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    put(from, 40, 0);
    cr_assert(holds_unread(from, 40, 0));
    linkbuffer_destroy(from);
    linkbuffer_destroy(lb);
}

Test(append, takes_the_same_work_for_any_number_of_blocks)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *from = make_buffer();
    const void *out;
    put_pieces(from, 100, 1000, 0);
    cr_assert_eq(linkbuffer_peek(from, 1, &out), 0);
    size_t before = alloc_count();
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    cr_assert_leq(alloc_count() - before, 1);
    cr_assert_eq(linkbuffer_flush(lb), 100000);
    cr_assert_eq(figures(lb).bytes_copied, 0);
    cr_assert(holds_unread(lb, 100000, 0));
    linkbuffer_destroy(from);
    linkbuffer_destroy(lb);
}

Test(append, of_bytes_that_nobody_was_shown_needs_no_memory)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *from = make_buffer();
    const void *out;
    put_pieces(from, 100, 10, 0);
    cr_assert_eq(linkbuffer_next(from, 100, &out), 0);
    alloc_fail_at(1);
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    cr_assert_not(alloc_failed());
    put_pieces(from, 100, 2, 0);
    cr_assert_eq(linkbuffer_peek(from, 50, &out), 0);
    linkbuffer_release(from);
    alloc_fail_at(1);
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    cr_assert_not(alloc_failed());
    linkbuffer_destroy(from);
    linkbuffer_destroy(lb);
}

Test(append, pointers_of_the_source_outlive_append)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *from = make_buffer();
    const void *consumed;
    const void *peeked;
    put(from, 300, 0);
    cr_assert_eq(linkbuffer_next(from, 100, &consumed), 0);
    cr_assert_eq(linkbuffer_peek(from, 50, &peeked), 0);
    cr_assert_eq(linkbuffer_append(lb, from), 0);
    cr_assert_eq(linkbuffer_commit(lb, 10), 0);
    write_pattern(lb, 500, 7000);
    cr_assert_eq(linkbuffer_flush(lb), 510);
    const void *out;
    cr_assert_eq(linkbuffer_next(lb, 510, &out), 0);
    cr_assert(pattern_holds(out, 10, 100));
    linkbuffer_destroy(lb);
    put(from, 1000, 0);
    cr_assert(pattern_holds(consumed, 100, 0));
    cr_assert(pattern_holds(peeked, 50, 100));
    linkbuffer_destroy(from);
}
