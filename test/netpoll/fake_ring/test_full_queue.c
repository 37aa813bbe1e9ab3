/* No entry of the submission queue can be had: nothing is lost, everything is tried again. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>

#define MORE IORING_CQE_F_MORE

static struct owner owner;

TestSuite(full_queue, .init = rig_open);

static void expect_retry(void)
{
    wait_once();
    cr_assert_geq(fake_ring_last_timeout(), 0, "nothing tries again");
    cr_assert_leq(fake_ring_last_timeout(), 100 * 1000000);
}

Test(full_queue, once_is_made_up_for_at_once)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    owner_want_input(&owner, true);
    fake_ring_refuse_entries(1);
    wait_once();
    cr_assert_not_null(receive_of(&owner));
    owner_close(&owner);
    rig_close();
}

Test(full_queue, a_receive_waits_for_room)
{
    static struct owner many[5];
    fake_ring_refuse_entries(FAKE_RING_FOR_EVER);
    for (int i = 0; i < 5; i++) {
        owner_open(&many[i], NP_FD_STREAM, 100 + i);
        owner_want_input(&many[i], true);
    }
    expect_retry();
    expect_retry();
    fake_ring_refuse_entries(0);
    wait_once();
    for (int i = 0; i < 5; i++) {
        cr_assert_not_null(receive_of(&many[i]));
        owner_close(&many[i]);
    }
    rig_close();
}

Test(full_queue, a_pause_waits_for_room)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_refuse_entries(FAKE_RING_FOR_EVER);
    owner_want_input(&owner, false);
    expect_retry();
    fake_ring_receive(receive_of(&owner), "meanwhile", MORE);
    wait_once();
    cr_assert_str_eq(owner.input, "meanwhile");
    fake_ring_refuse_entries(0);
    wait_once();
    cr_assert_not_null(fake_ring_find_cancel(receive_of(&owner)));
    cr_assert_not_null(hangup_of(&owner));
    owner_close(&owner);
    rig_close();
}

/* Room for the cancellation of the receive and for nothing else. */
Test(full_queue, half_a_pause_is_finished_later)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner_want_input(&owner, false);
    fake_ring_leave_entries(1);
    expect_retry();
    fake_ring_refuse_entries(0);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 1);
    cr_assert_not_null(hangup_of(&owner));
    owner_close(&owner);
    rig_close();
}

Test(full_queue, the_start_of_a_send_waits_for_room)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    fake_ring_refuse_entries(FAKE_RING_FOR_EVER);
    cr_assert_eq(owner_start_output(&owner, "answer"), 0);
    expect_retry();
    fake_ring_refuse_entries(0);
    wait_once();
    cr_assert_not_null(send_of(&owner));
    cr_assert_eq(owner.output_count, 0);
    owner_close(&owner);
    rig_close();
}

Test(full_queue, the_rest_of_a_send_waits_for_room)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    cr_assert_eq(owner_start_output(&owner, "answer"), 0);
    wait_once();
    fake_ring_complete(send_of(&owner), 2, 0);
    fake_ring_refuse_entries(FAKE_RING_FOR_EVER);
    wait_once();
    expect_retry();
    cr_assert_eq(owner.output_count, 1);
    cr_assert_eq(owner.output_result, 2);
    fake_ring_refuse_entries(0);
    wait_once();
    cr_assert_not_null(send_of(&owner));
    cr_assert_str_eq(owner.output, "swer");
    owner_close(&owner);
    rig_close();
}

Test(full_queue, a_send_that_waits_for_room_does_not_hold_up_a_close)
{
    owner_open(&owner, NP_FD_STREAM, 100);
    fake_ring_refuse_entries(FAKE_RING_FOR_EVER);
    cr_assert_eq(owner_start_output(&owner, "answer"), 0);
    expect_retry();
    owner_remove(&owner);
    wait_once();
    cr_assert_eq(owner.closed_count, 1);
    fake_ring_refuse_entries(0);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_SENDMSG), 0);
    rig_close();
}

static void close_without_room(enum np_fd_kind kind, uint8_t opcode)
{
    owner_open_armed(&owner, kind, 100);
    struct fake_op *input = fake_ring_find(opcode, 100);
    cr_assert_not_null(input);
    fake_ring_refuse_entries(FAKE_RING_FOR_EVER);
    owner_remove(&owner);
    expect_retry();
    expect_retry();
    cr_assert_eq(owner.closed_count, 0);
    fake_ring_refuse_entries(0);
    wait_once();
    cr_assert_not_null(fake_ring_find_cancel(input), "nothing ends it any more");
    wait_for_cancellations();
    cr_assert_eq(owner.closed_count, 1);
}

Test(full_queue, the_close_of_a_stream_waits_for_room)
{
    close_without_room(NP_FD_STREAM, IORING_OP_RECV);
    rig_close();
}

Test(full_queue, the_close_of_a_listener_waits_for_room)
{
    close_without_room(NP_FD_ACCEPT, IORING_OP_ACCEPT);
    rig_close();
}

Test(full_queue, the_close_of_a_wake_up_waits_for_room)
{
    close_without_room(NP_FD_POLL, IORING_OP_POLL_ADD);
    rig_close();
}

/* Its receive ends by itself while the cancellation waits for room. */
Test(full_queue, a_close_that_waits_for_room_ends_with_its_operation)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_refuse_entries(FAKE_RING_FOR_EVER);
    owner_remove(&owner);
    wait_once();
    fake_ring_complete(receive_of(&owner), 0, 0);
    wait_once();
    cr_assert_eq(owner.closed_count, 1);
    fake_ring_refuse_entries(0);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 0);
    rig_close();
}

static void remove_from_callback(struct owner *from)
{
    poller.backend->remove(&poller, &from->fd);
}

Test(full_queue, inside_a_callback)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.on_input = remove_from_callback;
    fake_ring_receive(receive_of(&owner), "quit", MORE);
    fake_ring_refuse_entries(FAKE_RING_FOR_EVER);
    wait_all();
    expect_retry();
    fake_ring_refuse_entries(0);
    wait_for_cancellations();
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}
