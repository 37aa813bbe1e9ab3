#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(slice, outlives_the_original)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    put_pieces(lb, 100, 10, 0);
    cr_assert_eq(linkbuffer_skip(lb, 50), 0);
    cr_assert_eq(linkbuffer_slice(lb, 500, &slice), 0);
    cr_assert(holds_unread(lb, 450, 550));
    cr_assert_eq(linkbuffer_unread(slice), 500);
    cr_assert_eq(figures(slice).bytes_copied, 0);
    linkbuffer_destroy(lb);
    lb = make_buffer();
    put_pieces(lb, 100, 10, 5000);
    cr_assert(holds_unread(slice, 500, 50));
    const void *out;
    cr_assert_eq(linkbuffer_next(slice, 500, &out), 0);
    cr_assert(pattern_holds(out, 500, 50));
    linkbuffer_destroy(slice);
    linkbuffer_destroy(lb);
}

Test(slice, ends_before_the_original)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    put(lb, 1000, 0);
    cr_assert_eq(linkbuffer_slice(lb, 300, &slice), 0);
    put(slice, 100, 300);
    const void *out;
    cr_assert_eq(linkbuffer_peek(slice, 400, &out), 0);
    cr_assert(pattern_holds(out, 400, 0));
    linkbuffer_destroy(slice);
    cr_assert(holds_unread(lb, 700, 300));
    linkbuffer_destroy(lb);
}

Test(slice, keeps_exactly_the_blocks_it_shows)
{
    enum {
        PIECE = 4096 - 64
    };
    size_t before = live_bytes();
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    put_pieces(lb, PIECE, 8, 0);
    cr_assert_eq(linkbuffer_skip(lb, 2 * PIECE + 10), 0);
    cr_assert_eq(linkbuffer_slice(lb, PIECE, &slice), 0);
    cr_assert_eq(figures(slice).blocks, 2);
    linkbuffer_destroy(lb);
    size_t own = live_bytes() - before;
    cr_assert_geq(own, 2 * 4096);
    cr_assert_leq(own, 2 * 4096 + 256);
    linkbuffer_destroy(slice);
    cr_assert_eq(live_bytes(), before);
}

Test(slice, pointers_outlive_it_and_it_outlives_release)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    const void *peeked;
    put_pieces(lb, 20, 3, 0);
    cr_assert_eq(linkbuffer_peek(lb, 50, &peeked), 0);
    cr_assert_eq(linkbuffer_slice(lb, 30, &slice), 0);
    cr_assert(pattern_holds(peeked, 50, 0));
    linkbuffer_release(lb);
    put_pieces(lb, 20, 3, 60);
    const void *out;
    cr_assert_eq(linkbuffer_peek(lb, 90, &out), 0);
    cr_assert(pattern_holds(out, 90, 30));
    cr_assert(holds_unread(slice, 30, 0));
    linkbuffer_destroy(lb);
    cr_assert(holds_unread(slice, 30, 0));
    linkbuffer_destroy(slice);
}

Test(slice, of_windows_that_nobody_was_shown_copies_and_counts_nothing)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    put_pieces(lb, 500, 1000, 0);
    size_t before = alloc_count();
    cr_assert_eq(linkbuffer_slice(lb, 500 * 990, &slice), 0);
    cr_assert_eq(alloc_count() - before, 1, "the slice itself");
    cr_assert_eq(linkbuffer_slice(lb, 100, &slice), 0, "within a window");
    cr_assert_eq(alloc_count() - before, 3);
    cr_assert(holds_unread(slice, 100, 500 * 990));
    linkbuffer_destroy(slice);
    cr_assert(holds_unread(lb, 4900, 500 * 990 + 100));
    linkbuffer_destroy(lb);
}

/* Every cut of a chain, after every kind of look at its first window. */
Test(slice, keeps_pointers_of_the_original_wherever_the_cut_falls)
{
    enum {
        PIECE = 20,
        TOTAL = 4 * PIECE
    };
    size_t before = live_bytes();
    for (size_t n = 0; n <= TOTAL; n++) {
        for (size_t seen = 0; seen <= PIECE; seen += 4) {
            struct linkbuffer *lb = make_buffer();
            struct linkbuffer *slice;
            const void *consumed;
            const void *peeked = NULL;
            put_pieces(lb, PIECE, 4, 0);
            cr_assert_eq(linkbuffer_next(lb, seen, &consumed), 0);
            size_t len = n < TOTAL - seen ? n : TOTAL - seen;
            if (n % 2 == 0 && len > 0)
                cr_assert_eq(linkbuffer_peek(lb, 1 + len / 2, &peeked), 0);
            cr_assert_eq(linkbuffer_slice(lb, len, &slice), 0);
            put(lb, PIECE, TOTAL);
            cr_assert(holds_unread(lb, TOTAL + PIECE - seen - len, seen + len));
            cr_assert(holds_unread(slice, len, seen));
            linkbuffer_destroy(slice);
            put(lb, 3 * PIECE, 9000);
            cr_assert(pattern_holds(consumed, seen, 0));
            if (peeked != NULL)
                cr_assert(pattern_holds(peeked, 1 + len / 2, seen));
            linkbuffer_release(lb);
            linkbuffer_destroy(lb);
            cr_assert_eq(live_bytes(), before);
        }
    }
}

Test(slice, takes_windows_that_were_settled)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *slice;
    for (size_t i = 0; i < 8; i++)
        put_rest_of_block(lb, 200, i * 200);
    linkbuffer_settle(lb, 1024);
    cr_assert_eq(linkbuffer_slice(lb, 1600, &slice), 0);
    put_rest_of_block(lb, 200, 1600);
    linkbuffer_settle(lb, 1024);
    cr_assert(holds_unread(lb, 200, 1600));
    cr_assert(holds_unread(slice, 1600, 0));
    linkbuffer_destroy(lb);
    linkbuffer_settle(slice, 1024);
    cr_assert(holds_unread(slice, 1600, 0));
    linkbuffer_destroy(slice);
}
