/* The end of a descriptor: closed() comes once, and only when nothing is in flight. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>

#define MORE IORING_CQE_F_MORE

static struct owner owner;

TestSuite(close, .init = rig_open);

Test(close, with_nothing_in_flight)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    owner_remove(&owner);
    wait_once();
    cr_assert_eq(fake_ring_last_timeout(), 0, "slept although closed() was due");
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

/* Receive, poll for hang-up, send and a cancellation are in flight. */
static void open_busy(struct fake_op *ops[4])
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    cr_assert_eq(owner_start_output(&owner, "answer"), 0);
    owner_want_input(&owner, false);
    wait_once();
    ops[0] = receive_of(&owner);
    ops[1] = send_of(&owner);
    ops[2] = hangup_of(&owner);
    ops[3] = fake_ring_find_cancel(ops[0]);
    for (int i = 0; i < 4; i++)
        cr_assert_not_null(ops[i]);
}

/* Ends what is in flight, one completion a round: closed() comes with the last one. */
static void end_one_by_one(struct fake_op **ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(owner.closed_count, 0, "%zu operations are in flight", count - i);
        fake_ring_complete(ops[i], -ECANCELED, 0);
        wait_all();
    }
    cr_assert_eq(owner.closed_count, 1);
}

Test(close, waits_for_receive_send_poll_and_every_cancellation)
{
    struct fake_op *ops[6];
    open_busy(ops);
    owner_remove(&owner);
    wait_once();
    ops[4] = fake_ring_find_cancel(ops[1]);
    ops[5] = fake_ring_find_cancel(ops[2]);
    cr_assert_not_null(ops[4]);
    cr_assert_not_null(ops[5]);
    cr_assert_eq(fake_ring_in_flight(), 6);
    end_one_by_one(ops, 6);
    cr_assert_eq(owner.end_count, 0);
    cr_assert_eq(owner.output_count, 0);
    rig_close();
}

Test(close, waits_for_the_same_in_the_opposite_order)
{
    struct fake_op *ops[4];
    open_busy(ops);
    owner_remove(&owner);
    wait_once();
    struct fake_op *all[6] = {fake_ring_find_cancel(ops[2]),
                              fake_ring_find_cancel(ops[1]),
                              ops[3],
                              ops[2],
                              ops[1],
                              ops[0]};
    end_one_by_one(all, 6);
    rig_close();
}

Test(close, bytes_that_still_come_are_offered_and_their_buffers_go_back)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    struct fake_op *receive = receive_of(&owner);
    fake_ring_receive(receive, "before", MORE);
    wait_once();
    owner_remove(&owner);
    fake_ring_receive(receive, "after", MORE);
    fake_ring_complete(receive, 0, 0);
    wait_for_cancellations();
    cr_assert_str_eq(owner.input, "beforeafter");
    cr_assert_eq(owner.end_count, 0);
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

Test(close, of_a_starved_receive_in_the_same_round)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_complete(receive_of(&owner), -ENOBUFS, 0);
    wait_once();
    owner_remove(&owner);
    wait_once();
    cr_assert_eq(owner.closed_count, 1);
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 1, "a closed connection receives again");
    rig_close();
}

static void remove_from_callback(struct owner *from)
{
    poller.backend->remove(&poller, &from->fd);
}

Test(close, from_its_own_input_with_the_receive_ended)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.on_input = remove_from_callback;
    fake_ring_receive(receive_of(&owner), "quit", 0);
    wait_all();
    cr_assert_eq(owner.closed_count, 1);
    cr_assert_str_eq(owner.input, "quit");
    rig_close();
}

Test(close, from_its_own_input_with_more_in_the_same_batch)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.on_input = remove_from_callback;
    fake_ring_receive(receive_of(&owner), "quit", MORE);
    fake_ring_receive(receive_of(&owner), "more", MORE);
    wait_for_cancellations();
    cr_assert_str_eq(owner.input, "quitmore");
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

Test(close, from_the_end_of_its_input)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.on_end = remove_from_callback;
    fake_ring_complete(receive_of(&owner), 0, 0);
    wait_all();
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

Test(close, from_the_result_of_its_send)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    owner.on_output = remove_from_callback;
    cr_assert_eq(owner_start_output(&owner, "answer"), 0);
    wait_once();
    fake_ring_complete(send_of(&owner), -EPIPE, 0);
    wait_for_cancellations();
    cr_assert_eq(owner.output_result, -EPIPE);
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

Test(close, from_asking_for_output)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    owner.on_output_empty = remove_from_callback;
    cr_assert_eq(owner_start_output(&owner, "answer"), 0);
    wait_once();
    fake_ring_complete(send_of(&owner), 6, 0);
    wait_for_cancellations();
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

Test(close, while_a_send_was_to_be_tried_again)
{
    static const int results[] = {-EAGAIN, -EINTR, 3, -EPIPE};
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        owner_open(&owner, NP_FD_STREAM, 100);
        cr_assert_eq(owner_start_output(&owner, "answer"), 0);
        wait_once();
        struct fake_op *send = send_of(&owner);
        owner_remove(&owner);
        fake_ring_complete(send, results[i], 0);
        wait_all();
        cr_assert_null(send_of(&owner), "a closed connection sends again");
        wait_for_cancellations();
        cr_assert_eq(owner.closed_count, 1);
        cr_assert_eq(owner.output_count, 0);
    }
    rig_close();
}

Test(close, cancels_again_what_a_cancellation_missed)
{
    struct fake_op *ops[4];
    open_busy(ops);
    owner_remove(&owner);
    wait_once();
    for (int i = 0; i < 3; i++)
        fake_ring_complete(fake_ring_find_cancel(ops[i]), i == 1 ? -EALREADY : -ENOENT, 0);
    wait_all();
    wait_once();
    for (int i = 0; i < 3; i++)
        cr_assert_not_null(fake_ring_find_cancel(ops[i]), "nothing ends it any more");
    wait_for_cancellations();
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}
