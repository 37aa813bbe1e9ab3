#include "support.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

Test(iovec, empty_buffer_and_no_room_give_nothing)
{
    struct linkbuffer *lb = make_buffer();
    struct iovec iov = {.iov_len = 77};
    cr_assert_eq(linkbuffer_iov(lb, &iov, 1), 0);
    put(lb, 10, 0);
    cr_assert_eq(linkbuffer_iov(lb, &iov, 0), 0);
    cr_assert_eq(linkbuffer_iov(lb, &iov, -1), 0);
    cr_assert_eq(linkbuffer_iov(lb, &iov, INT_MIN), 0);
    cr_assert_eq(iov.iov_len, 77);
    linkbuffer_destroy(lb);
}

Test(iovec, shows_windows_in_order_without_consuming)
{
    struct linkbuffer *lb = make_buffer();
    struct iovec iov[8];
    put_pieces(lb, 30, 5, 0);
    cr_assert_eq(linkbuffer_skip(lb, 40), 0);
    cr_assert_eq(linkbuffer_iov(lb, iov, 8), 4);
    size_t position = 40;
    for (int i = 0; i < 4; i++) {
        cr_assert_gt(iov[i].iov_len, 0);
        cr_assert(pattern_holds(iov[i].iov_base, iov[i].iov_len, position));
        position += iov[i].iov_len;
    }
    cr_assert_eq(position, 150);
    cr_assert_eq(linkbuffer_iov(lb, iov, 2), 2);
    cr_assert_eq(linkbuffer_len(lb), 110);
    cr_assert_eq(figures(lb).bytes_copied, 0);
    linkbuffer_destroy(lb);
}

Test(iovec, lengths_add_up_over_copied_and_lent_bytes)
{
    SKIP_IF_HOSTILE();
    struct linkbuffer *lb = make_buffer();
    size_t total = 0;
    uint8_t *memory = malloc(1000000);
    cr_assert_not_null(memory);
    pattern_fill(memory, 1000000, 0);
    for (size_t n = 1; n <= 1000000; n *= 10) {
        cr_assert_eq(linkbuffer_write(lb, memory, n), 0);
        cr_assert_eq(linkbuffer_write_ref(lb, memory, n, NULL, NULL), 0);
        total += 2 * n;
    }
    cr_assert_eq(linkbuffer_flush(lb), total);
    struct iovec iov[32];
    int count = linkbuffer_iov(lb, iov, 32);
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += iov[i].iov_len;
    cr_assert_eq(sum, total);
    cr_assert_eq(linkbuffer_len(lb), total);
    linkbuffer_destroy(lb);
    free(memory);
}

Test(iovec, writev_sends_what_was_written)
{
    struct linkbuffer *lb = make_buffer();
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    put_pieces(lb, 700, 4, 0);
    struct iovec iov[8];
    int count = linkbuffer_iov(lb, iov, 8);
    cr_assert_eq(writev(ends[1], iov, count), 2800);
    uint8_t got[2800];
    cr_assert_eq(read(ends[0], got, sizeof got), (ssize_t)sizeof got);
    cr_assert(pattern_holds(got, sizeof got, 0));
    close(ends[0]);
    close(ends[1]);
    linkbuffer_destroy(lb);
}
