/* What a receive may end with, and what comes out at the owner. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define MORE IORING_CQE_F_MORE

TestSuite(receive, .init = rig_open);

static struct owner owner;

Test(receive, bytes_arrive_in_order_and_the_receive_stays_armed)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_receive(receive_of(&owner), "one ", MORE);
    fake_ring_receive(receive_of(&owner), "two ", MORE | IORING_CQE_F_SOCK_NONEMPTY);
    wait_once();
    fake_ring_receive(receive_of(&owner), "three", MORE);
    wait_once();
    cr_assert_str_eq(owner.input, "one two three");
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 1);
    owner_close(&owner);
    rig_close();
}

Test(receive, a_successful_last_completion_is_followed_by_a_new_receive)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_receive(receive_of(&owner), "last ", 0);
    wait_once();
    cr_assert_str_eq(owner.input, "last ");
    wait_once();
    fake_ring_receive(receive_of(&owner), "first", MORE);
    wait_once();
    cr_assert_str_eq(owner.input, "last first");
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 2);
    owner_close(&owner);
    rig_close();
}

/* Of a unix socket each receive ends with its first bytes. */
Test(receive, single_receives_follow_each_other)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    owner.fd.flags |= NP_FD_UNIX;
    owner_want_input(&owner, true);
    wait_once();
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(receive_of(&owner)->sqe.ioprio & IORING_RECV_MULTISHOT, 0);
        fake_ring_receive(receive_of(&owner), "abc", 0);
        wait_once();
        wait_once();
    }
    fake_ring_complete(receive_of(&owner), 0, 0);
    wait_once();
    cr_assert_str_eq(owner.input, "abcabcabc");
    cr_assert_eq(owner.end_count, 1);
    owner_close(&owner);
    rig_close();
}

Test(receive, running_out_of_buffers_again_and_again_loses_nothing)
{
    char expected[RING_LEAST * (1 + 2 + 4) + 1] = "";
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    for (int round = 0; round < 3; round++) {
        while (fake_ring_buffers() > 0) {
            char text[2] = {(char)('a' + fake_ring_buffers() % 26), '\0'};
            strcat(expected, text);
            fake_ring_receive(receive_of(&owner), text, MORE);
        }
        fake_ring_complete(receive_of(&owner), -ENOBUFS, 0);
        wait_all();
        expect_full_ring();
        wait_once();
        cr_assert_not_null(receive_of(&owner));
    }
    cr_assert_str_eq(owner.input, expected);
    cr_assert_eq(owner.end_count, 0);
    owner_close(&owner);
    rig_close();
}

/* A refill does not bring a receive back that ended for want of a buffer. */
Test(receive, a_receive_that_ended_for_want_of_a_buffer_is_made_again_without_more_news)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    for (int round = 0; round < 3; round++) {
        fake_ring_complete(receive_of(&owner), -ENOBUFS, 0);
        wait_once();
        wait_once();
        cr_assert_not_null(receive_of(&owner));
    }
    cr_assert_eq(owner.end_count, 0);
    fake_ring_receive(receive_of(&owner), "alive", MORE);
    wait_once();
    cr_assert_str_eq(owner.input, "alive");
    owner_close(&owner);
    rig_close();
}

Test(receive, no_bytes_with_more_to_come_is_the_end)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_receive(receive_of(&owner), "bye", MORE);
    fake_ring_complete(receive_of(&owner), 0, IORING_CQE_F_SOCK_NONEMPTY);
    wait_once();
    wait_once();
    cr_assert_str_eq(owner.input, "bye");
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, 0);
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 1);
    owner_close(&owner);
    rig_close();
}

/* The kernel keeps it to itself; later ones it tells. */
Test(receive, a_reset_that_was_there_before_it_is_asked_for_when_the_socket_is_empty)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_socket_set_error(-ECONNRESET);
    fake_ring_receive(receive_of(&owner), "a", MORE | IORING_CQE_F_SOCK_NONEMPTY);
    wait_once();
    cr_assert_eq(fake_socket_asked(), 0);
    fake_ring_receive(receive_of(&owner), "b", MORE);
    wait_once();
    cr_assert_str_eq(owner.input, "ab");
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, -ECONNRESET);
    owner_close(&owner);
    rig_close();
}

Test(receive, nobody_asks_for_a_reset_twice_unless_it_is_armed_again)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    for (int i = 0; i < 3; i++) {
        fake_ring_receive(receive_of(&owner), "x", MORE);
        wait_once();
    }
    cr_assert_eq(fake_socket_asked(), 1);
    fake_ring_complete(receive_of(&owner), -ENOBUFS, 0);
    wait_once();
    wait_once();
    fake_ring_receive(receive_of(&owner), "x", MORE);
    wait_once();
    cr_assert_eq(fake_socket_asked(), 2);
    owner_close(&owner);
    rig_close();
}

Test(receive, a_buffer_that_comes_with_an_error_goes_back)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_complete_with_buffer(receive_of(&owner), -ECONNRESET, 0);
    wait_once();
    cr_assert_eq(owner.input_len, 0);
    cr_assert_eq(owner.end, -ECONNRESET);
    expect_full_ring();
    owner_close(&owner);
    rig_close();
}

Test(receive, a_buffer_that_comes_with_the_end_goes_back)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_complete_with_buffer(receive_of(&owner), 0, 0);
    wait_once();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, 0);
    expect_full_ring();
    owner_close(&owner);
    rig_close();
}

Test(receive, bytes_before_a_reset_come_first)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_receive(receive_of(&owner), "said ", MORE);
    fake_ring_receive(receive_of(&owner), "before", MORE);
    fake_ring_complete(receive_of(&owner), -ECONNRESET, 0);
    wait_once();
    cr_assert_str_eq(owner.input, "said before");
    cr_assert_eq(owner.end, -ECONNRESET);
    owner_close(&owner);
    rig_close();
}

Test(receive, an_interrupted_wait_is_no_error_and_submits_later)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    owner_want_input(&owner, true);
    fake_ring_fail_wait(-EINTR);
    wait_once();
    cr_assert_null(receive_of(&owner));
    wait_once();
    fake_ring_receive(receive_of(&owner), "heard", MORE);
    fake_ring_fail_wait(-EINTR);
    wait_once();
    wait_once();
    cr_assert_str_eq(owner.input, "heard");
    owner_close(&owner);
    rig_close();
}

Test(receive, a_failed_wait_is_told)
{
    fake_ring_fail_wait(-EBADF);
    cr_assert_eq(poller.backend->wait(&poller, 0), -EBADF);
    rig_close();
}

Test(receive, errors_that_pass_by_are_followed_by_a_new_receive)
{
    static const int errors[] = {-EAGAIN, -EINTR, -ECANCELED};
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fake_ring_complete(receive_of(&owner), errors[i], 0);
        wait_once();
        wait_once();
        cr_assert_not_null(receive_of(&owner));
        fake_ring_receive(receive_of(&owner), "x", MORE);
        wait_once();
    }
    cr_assert_eq(owner.end_count, 0);
    cr_assert_str_eq(owner.input, "xxx");
    owner_close(&owner);
    rig_close();
}

Test(receive, completions_that_overflow_their_queue_arrive_in_order)
{
    fake_ring_limit_completions(8);
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    for (int i = 0; i < 8; i++)
        fake_ring_receive(receive_of(&owner), (char[]){(char)('a' + i), '\0'}, MORE);
    /* With no room the kernel ends the receive; what it says last waits outside the queue. */
    fake_ring_receive(receive_of(&owner), "i", 0);
    wait_once();
    cr_assert_str_eq(owner.input, "abcdefgh");
    wait_once();
    cr_assert_eq(fake_ring_last_timeout(), 0, "slept although completions were waiting");
    cr_assert_str_eq(owner.input, "abcdefghi");
    wait_once();
    fake_ring_receive(receive_of(&owner), "j", MORE);
    wait_once();
    cr_assert_str_eq(owner.input, "abcdefghij");
    owner_close(&owner);
    rig_close();
}

/* The kernel shows 20 completions a call. */
Test(receive, a_wait_does_not_sleep_on_deferred_work)
{
    static struct owner many[45];
    for (int i = 0; i < 45; i++)
        owner_open_armed(&many[i], NP_FD_ACCEPT, 100 + i);
    for (int i = 0; i < 45; i++)
        fake_ring_complete(fake_ring_find(IORING_OP_ACCEPT, 100 + i), 200 + i, MORE);
    for (int i = 0; i < 45; i++) {
        if (i % 20 == 0) {
            wait_once();
            cr_assert_eq(fake_ring_last_timeout(), 0);
        }
        cr_assert_eq(many[i].accept_count, 1);
    }
    wait_once();
    cr_assert_eq(fake_ring_last_timeout(), -1);
    for (int i = 0; i < 45; i++)
        owner_close(&many[i]);
    rig_close();
}

Test(receive, kept_blocks_leave_the_ring_for_good)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.keeps_blocks = true;
    for (int i = 0; i < 100; i++) {
        fake_ring_receive(receive_of(&owner), (char[]){(char)('A' + i % 26), '\0'}, MORE);
        wait_once();
        expect_full_ring();
    }
    for (int i = 0; i < 100; i++)
        cr_assert_eq(*(char *)linkbuffer_block_data(owner.kept[i]), 'A' + i % 26);
    owner_close(&owner);
    rig_close();
}

Test(receive, a_block_that_memory_refuses_is_filled_in_later)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.keeps_blocks = true;
    fake_alloc_refuse(32 * 1024);
    for (int i = 0; i < 3; i++)
        fake_ring_receive(receive_of(&owner), "kept", MORE);
    wait_once();
    cr_assert_eq(fake_ring_buffers(), RING_LEAST - 3);
    wait_once();
    cr_assert_eq(fake_ring_buffers(), RING_LEAST - 3);
    cr_assert_gt(fake_ring_last_timeout(), 0);
    cr_assert_leq(fake_ring_last_timeout(), 100 * 1000000, "nothing tries again");
    fake_alloc_refuse(0);
    wait_once();
    expect_full_ring();
    cr_assert_str_eq(owner.input, "keptkeptkept");
    owner_close(&owner);
    rig_close();
}

Test(receive, an_empty_ring_that_cannot_be_refilled_does_not_spin)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.keeps_blocks = true;
    fake_alloc_refuse(32 * 1024);
    while (fake_ring_buffers() > 0)
        fake_ring_receive(receive_of(&owner), "x", MORE);
    fake_ring_complete(receive_of(&owner), -ENOBUFS, 0);
    wait_all();
    wait_once();
    cr_assert_null(receive_of(&owner), "it would end at once, again and again");
    wait_once();
    cr_assert_gt(fake_ring_last_timeout(), 0);
    /* What needs no block does not wait for one. */
    struct owner listener;
    owner_open_armed(&listener, NP_FD_ACCEPT, 101);
    cr_assert_not_null(fake_ring_find(IORING_OP_ACCEPT, 101));
    fake_alloc_refuse(0);
    wait_once();
    cr_assert_not_null(receive_of(&owner));
    cr_assert_eq(owner.input_len, RING_LEAST);
    owner_close(&listener);
    owner_close(&owner);
    rig_close();
}
