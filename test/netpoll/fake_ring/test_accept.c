/* Listeners and wake-ups. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>

#define MORE IORING_CQE_F_MORE

static struct owner owner;

TestSuite(accept, .init = rig_open);

static struct fake_op *accept_of(void)
{
    return fake_ring_find(IORING_OP_ACCEPT, 100);
}

Test(accept, gives_one_descriptor_after_the_other)
{
    owner_open_armed(&owner, NP_FD_ACCEPT, 100);
    cr_assert_eq(accept_of()->sqe.ioprio, IORING_ACCEPT_MULTISHOT);
    for (int fd = 200; fd < 205; fd++)
        fake_ring_complete(accept_of(), fd, MORE);
    wait_all();
    cr_assert_eq(owner.accept_count, 5);
    cr_assert_eq(owner.accepted, 204);
    cr_assert_eq(fake_ring_submitted(IORING_OP_ACCEPT), 1);
    owner_close(&owner);
    rig_close();
}

static void rest(struct owner *listener)
{
    owner_want_input(listener, false);
}

/* As listener.c does: it rests, and asks again when its timer fires. */
Test(accept, that_ran_out_of_descriptors_rests_until_it_is_wanted)
{
    owner_open_armed(&owner, NP_FD_ACCEPT, 100);
    owner.on_end = rest;
    for (unsigned round = 1; round <= 3; round++) {
        fake_ring_complete(accept_of(), -EMFILE, 0);
        wait_all();
        cr_assert_eq(owner.end_count, round);
        cr_assert_eq(owner.end, -EMFILE);
        wait_once();
        wait_once();
        cr_assert_null(accept_of(), "it would fail at once, again and again");
        owner_want_input(&owner, true);
        wait_once();
        cr_assert_not_null(accept_of());
    }
    fake_ring_complete(accept_of(), 200, MORE);
    wait_all();
    cr_assert_eq(owner.accepted, 200);
    owner_close(&owner);
    rig_close();
}

Test(accept, that_ended_with_an_error_of_one_connection_goes_on)
{
    owner_open_armed(&owner, NP_FD_ACCEPT, 100);
    fake_ring_complete(accept_of(), -ECONNABORTED, 0);
    wait_all();
    wait_once();
    fake_ring_complete(accept_of(), 200, 0);
    wait_all();
    wait_once();
    fake_ring_complete(accept_of(), 201, MORE);
    wait_all();
    cr_assert_eq(owner.accept_count, 2);
    owner_close(&owner);
    rig_close();
}

/* A kernel whose multishot accept fails for ever may well accept one by one. */
Test(accept, three_unexpected_errors_in_a_row_end_staying_armed)
{
    owner_open_armed(&owner, NP_FD_ACCEPT, 100);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(accept_of()->sqe.ioprio, IORING_ACCEPT_MULTISHOT);
        fake_ring_complete(accept_of(), -ENOTSOCK, 0);
        wait_all();
        wait_once();
    }
    for (int fd = 200; fd < 210; fd++) {
        cr_assert_eq(accept_of()->sqe.ioprio, 0);
        fake_ring_complete(accept_of(), fd, 0);
        wait_all();
        wait_once();
    }
    cr_assert_eq(owner.accept_count, 10);
    cr_assert_eq(owner.end_count, 3);
    owner_close(&owner);
    rig_close();
}

Test(accept, errors_that_are_to_be_expected_do_not_count)
{
    static const int errors[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM, -ECONNABORTED};
    owner_open_armed(&owner, NP_FD_ACCEPT, 100);
    for (int i = 0; i < 20; i++) {
        fake_ring_complete(accept_of(), errors[i % 5], 0);
        wait_all();
        wait_once();
    }
    for (int i = 0; i < 5; i++) {
        fake_ring_complete(accept_of(), -ENOTSOCK, 0);
        wait_all();
        wait_once();
        fake_ring_complete(accept_of(), 200 + i, MORE);
        wait_all();
    }
    cr_assert_eq(accept_of()->sqe.ioprio, IORING_ACCEPT_MULTISHOT);
    owner_close(&owner);
    rig_close();
}

/* The kernel did not wait: a poll does, and the owner hears nothing of it. */
Test(accept, that_would_block_waits_for_a_poll)
{
    owner_open_armed(&owner, NP_FD_ACCEPT, 100);
    for (int i = 0; i < 3; i++) {
        fake_ring_complete(accept_of(), -EAGAIN, 0);
        wait_all();
        wait_once();
        cr_assert_null(accept_of(), "it would spin until somebody connects");
        fake_ring_complete(fake_ring_find_poll(100, true), POLLIN, 0);
        wait_all();
        wait_once();
        fake_ring_complete(accept_of(), 200 + i, MORE);
        wait_all();
    }
    cr_assert_eq(owner.accept_count, 3);
    cr_assert_eq(owner.end_count, 0);
    owner_close(&owner);
    rig_close();
}

/* A descriptor that was accepted on the way out must not leak: the owner closes it. */
Test(accept, descriptors_that_come_after_the_removal_are_handed_over)
{
    owner_open_armed(&owner, NP_FD_ACCEPT, 100);
    struct fake_op *accept = accept_of();
    owner_remove(&owner);
    fake_ring_complete(accept, 200, MORE);
    wait_all();
    cr_assert_eq(owner.accepted, 200);
    cr_assert_eq(owner.closed_count, 0);
    wait_for_cancellations();
    cr_assert_eq(owner.end_count, 0);
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

static void remove_listener(struct owner *listener)
{
    listener->on_input = NULL;
    poller.backend->remove(&poller, &listener->fd);
}

Test(accept, is_closed_from_its_own_result_with_more_in_the_batch)
{
    owner_open_armed(&owner, NP_FD_ACCEPT, 100);
    owner.on_input = remove_listener;
    for (int fd = 200; fd < 203; fd++)
        fake_ring_complete(accept_of(), fd, MORE);
    wait_for_cancellations();
    cr_assert_eq(owner.accept_count, 3, "who was accepted is not turned away");
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

Test(accept, a_wake_up_that_ended_is_polled_for_again)
{
    owner_open_armed(&owner, NP_FD_POLL, 100);
    struct fake_op *poll_op = fake_ring_find(IORING_OP_POLL_ADD, 100);
    cr_assert_eq(poll_op->sqe.len, IORING_POLL_ADD_MULTI);
    fake_ring_complete(poll_op, POLLIN, MORE);
    fake_ring_complete(poll_op, POLLIN, 0);
    wait_all();
    cr_assert_eq(owner.accept_count, 2);
    cr_assert_eq(owner.accepted, POLLIN);
    wait_once();
    cr_assert_not_null(fake_ring_find(IORING_OP_POLL_ADD, 100));
    owner_close(&owner);
    rig_close();
}
