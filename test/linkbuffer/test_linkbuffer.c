#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

Test(linkbuffer, destroy_accepts_null)
{
    linkbuffer_destroy(NULL);
}

Test(linkbuffer, empty_buffer_is_small_and_owns_no_block)
{
    size_t before = live_bytes();
    struct linkbuffer *lb = make_buffer();
    size_t empty = live_bytes();
    cr_assert_leq(empty - before, 128);
    for (size_t n = 1; n < 3000000; n = n * 3 + 1) {
        const void *out;
        put_pieces(lb, n, 2, 0);
        cr_assert_eq(linkbuffer_next(lb, 2 * n, &out), 0);
        linkbuffer_release(lb);
        struct linkbuffer_stats stats = figures(lb);
        cr_assert_eq(stats.blocks, 0);
        cr_assert_eq(stats.bytes_held, 0);
        cr_assert_eq(live_bytes(), empty);
    }
    linkbuffer_destroy(lb);
    cr_assert_eq(live_bytes(), before);
}

Test(linkbuffer, destroy_gives_everything_back_in_any_state)
{
    size_t before = live_bytes();
    for (int state = 0; state < 32; state++) {
        struct linkbuffer *lb = make_buffer();
        const void *out;
        put_pieces(lb, 500, 4, 0);
        if (state & 1)
            cr_assert_eq(linkbuffer_next(lb, 700, &out), 0);
        if (state & 2)
            cr_assert_eq(linkbuffer_peek(lb, 900, &out), 0);
        if (state & 4)
            put(lb, 10000, 0);
        if (state & 8)
            cr_assert_eq(linkbuffer_write(lb, out = "unflushed", 9), 0);
        if (state & 16)
            cr_assert_eq(linkbuffer_skip(lb, linkbuffer_len(lb)), 0);
        linkbuffer_destroy(lb);
        cr_assert_eq(live_bytes(), before);
    }
}

Test(linkbuffer, stats_count_windows_capacity_and_copies)
{
    struct linkbuffer *lb = make_buffer();
    const void *out;
    put_pieces(lb, 1024 - 64, 3, 0);
    struct linkbuffer_stats stats = figures(lb);
    cr_assert_eq(stats.blocks, 3);
    cr_assert_eq(stats.bytes_held, 3 * (1024 - 64));
    cr_assert_eq(stats.bytes_copied, 0);
    cr_assert_eq(linkbuffer_next(lb, 2000, &out), 0);
    stats = figures(lb);
    cr_assert_eq(stats.bytes_copied, 2000);
    cr_assert_eq(stats.blocks, 4);
    linkbuffer_release(lb);
    stats = figures(lb);
    cr_assert_eq(stats.blocks, 1);
    cr_assert_eq(stats.bytes_copied, 2000);
    linkbuffer_destroy(lb);
}

Test(linkbuffer, unread_follows_flush_and_every_way_to_consume)
{
    struct linkbuffer *lb = make_buffer();
    struct linkbuffer *other = make_buffer();
    struct linkbuffer *slice;
    const void *out;
    uint8_t bytes[10];
    size_t n;
    put_pieces(lb, 100, 10, 0);
    cr_assert_eq(linkbuffer_write(lb, bytes, sizeof bytes), 0);
    cr_assert_eq(linkbuffer_unread(lb), 1000);
    cr_assert_eq(linkbuffer_commit(lb, 0), 0);
    cr_assert_eq(linkbuffer_peek(lb, 250, &out), 0);
    cr_assert_eq(linkbuffer_unread(lb), 1000);
    cr_assert_eq(linkbuffer_next(lb, 250, &out), 0);
    cr_assert_eq(linkbuffer_unread(lb), 750);
    cr_assert_eq(linkbuffer_skip(lb, 50), 0);
    cr_assert_eq(linkbuffer_unread(lb), 700);
    cr_assert_eq(linkbuffer_read(lb, bytes, 10), 10);
    cr_assert_eq(linkbuffer_read_byte(lb, bytes), 0);
    cr_assert_eq(linkbuffer_unread(lb), 689);
    cr_assert_eq(linkbuffer_slice(lb, 89, &slice), 0);
    cr_assert_eq(linkbuffer_unread(lb), 600);
    cr_assert_eq(linkbuffer_unread(slice), 89);
    cr_assert_eq(linkbuffer_until(lb, pattern_at(400), &out, &n), 0);
    cr_assert_eq(linkbuffer_unread(lb), 600 - n);
    cr_assert_eq(linkbuffer_append(other, lb), 0);
    cr_assert_eq(linkbuffer_unread(lb), 0);
    cr_assert_eq(linkbuffer_unread(other), 0);
    cr_assert_eq(linkbuffer_flush(other), 600 - n);
    cr_assert_eq(linkbuffer_unread(other), 600 - n);
    linkbuffer_destroy(slice);
    linkbuffer_destroy(other);
    linkbuffer_destroy(lb);
}

static void *watch(void *arg)
{
    const struct linkbuffer *lb = arg;
    size_t seen;
    size_t most = 0;
    do {
        seen = linkbuffer_unread(lb);
        most = seen > most ? seen : most;
    } while (seen != 777);
    return most <= 1000 ? NULL : arg;
}

Test(linkbuffer, unread_may_be_asked_on_a_third_thread)
{
    struct linkbuffer *lb = make_buffer();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, watch, lb), 0);
    for (size_t i = 0; i < 2000; i++) {
        put(lb, 1000, 0);
        cr_assert_eq(linkbuffer_skip(lb, 1000), 0);
        linkbuffer_release(lb);
    }
    put(lb, 777, 0);
    void *bad = NULL;
    cr_assert_eq(pthread_join(thread, &bad), 0);
    cr_assert_null(bad, "seen more than there ever was, or less than nothing");
    linkbuffer_destroy(lb);
}
