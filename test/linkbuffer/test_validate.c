/* The checks of builds with assertions see damage. Reaches into the buffer to do it. */
#include "linkbuffer.h"
#include "support.h"

#include <criterion/criterion.h>
#include <signal.h>

#ifndef NDEBUG

static struct linkbuffer *filled(void)
{
    struct linkbuffer *lb = make_buffer();
    put_pieces(lb, 100, 3, 0);
    cr_assert_eq(linkbuffer_len(lb), 300);
    cr_assert_eq(linkbuffer_write(lb, "abc", 3), 0);
    return lb;
}

Test(validate, a_wrong_sum_of_readable_bytes_is_seen, .signal = SIGABRT)
{
    struct linkbuffer *lb = filled();
    lb->reader.len--;
    linkbuffer_release(lb);
}

Test(validate, a_wrong_last_window_is_seen, .signal = SIGABRT)
{
    struct linkbuffer *lb = filled();
    lb->reader.last = lb->reader.first;
    linkbuffer_release(lb);
}

Test(validate, a_window_outside_its_block_is_seen, .signal = SIGABRT)
{
    struct linkbuffer *lb = filled();
    lb->reader.first->data += 1 << 20;
    linkbuffer_release(lb);
}

Test(validate, a_block_without_a_count_is_seen, .signal = SIGABRT)
{
    struct linkbuffer *lb = filled();
    atomic_store(&lb->reader.first->block->count, 0);
    linkbuffer_release(lb);
}

Test(validate, more_consumed_than_flushed_is_seen, .signal = SIGABRT)
{
    struct linkbuffer *lb = filled();
    atomic_store(&lb->consumed, 301);
    linkbuffer_flush(lb);
}

Test(validate, room_that_is_not_there_is_seen, .signal = SIGABRT)
{
    struct linkbuffer *lb = filled();
    lb->writer.room = 60000;
    linkbuffer_flush(lb);
}

Test(validate, a_wrong_sum_of_written_bytes_is_seen, .signal = SIGABRT)
{
    struct linkbuffer *lb = filled();
    lb->writer.len++;
    linkbuffer_flush(lb);
}

#endif
