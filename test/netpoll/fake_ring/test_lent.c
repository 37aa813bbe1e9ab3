/* Streams that are read into what their owner lends: when that begins, how it goes, how it ends. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#define MORE IORING_CQE_F_MORE
/* What makes a receive a long one. */
#define LONG_BYTES ((size_t)32 * 1024)
/* Share of one descriptor in a round. */
#define SHARE ((size_t)256 * 1024)
/* Short receives after which the ring is used again. */
#define SHORT_ONES 64

static struct owner owner;
static char long_text[LONG_BYTES + 1];

static void open_owner(void)
{
    memset(long_text, 'x', LONG_BYTES);
    rig_open();
    owner_open_armed(&owner, NP_FD_STREAM, 100);
}

TestSuite(lent, .init = open_owner);

static void close_owner(void)
{
    owner_close(&owner);
    rig_close();
}

static void expect_lent(void)
{
    wait_for_cancellations();
    wait_once();
    cr_assert_null(receive_of(&owner));
    cr_assert_not_null(input_poll_of(&owner));
    cr_assert_eq(input_poll_of(&owner)->sqe.len, IORING_POLL_ADD_MULTI);
}

/* Four long receives; what was counted so far is forgotten. */
static void become_lent(void)
{
    owner.counts_input = true;
    for (int i = 0; i < 4; i++)
        fake_ring_receive(receive_of(&owner), long_text, MORE);
    wait_all();
    expect_lent();
    owner.counts_input = false;
    owner.input_len = 0;
}

/* So much is in the socket, and the poll tells. */
static void arrive(const char *text, int events)
{
    fake_socket_fill(text);
    fake_ring_complete(input_poll_of(&owner), events, MORE);
    wait_all();
}

Test(lent, begins_with_the_fourth_long_receive_and_loses_nothing)
{
    owner.counts_input = true;
    struct fake_op *receive = receive_of(&owner);
    for (int i = 0; i < 4; i++) {
        cr_assert_null(fake_ring_find_cancel(receive));
        fake_ring_receive(receive, long_text, MORE);
        wait_all();
        wait_once();
    }
    cr_assert_not_null(fake_ring_find_cancel(receive));
    cr_assert_null(input_poll_of(&owner), "it could overtake the receive");
    fake_ring_receive(receive, long_text, MORE);
    expect_lent();
    cr_assert_eq(owner.input_len, 5 * LONG_BYTES);
    cr_assert_eq(owner.end_count, 0);
    close_owner();
}

Test(lent, short_receives_in_between_put_it_off)
{
    owner.counts_input = true;
    for (int round = 0; round < 20; round++) {
        fake_ring_receive(receive_of(&owner), long_text, MORE);
        wait_once();
        for (int i = 0; i < 16; i++)
            fake_ring_receive(receive_of(&owner), "x", MORE);
        wait_all();
        wait_once();
    }
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 0);
    close_owner();
}

Test(lent, bytes_are_read_when_the_poll_tells)
{
    become_lent();
    arrive("one", POLLIN);
    cr_assert_str_eq(owner.input, "one");
    cr_assert_eq(fake_socket_reads(), 1, "a short read has emptied the socket");
    arrive(" two", POLLIN);
    cr_assert_str_eq(owner.input, "one two");
    cr_assert_eq(fake_ring_submitted(IORING_OP_POLL_ADD), 1);
    /* A poll that tells too much costs one read. */
    arrive("", POLLIN);
    cr_assert_eq(owner.end_count, 0);
    close_owner();
}

Test(lent, the_end_behind_the_last_bytes_is_read)
{
    become_lent();
    fake_socket_end(0);
    arrive("last", POLLIN | POLLRDHUP);
    cr_assert_str_eq(owner.input, "last");
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, 0);
    close_owner();
}

Test(lent, a_reset_is_told_after_the_bytes)
{
    become_lent();
    fake_socket_end(-ECONNRESET);
    arrive("last", POLLIN | POLLRDHUP | POLLHUP | POLLERR);
    cr_assert_str_eq(owner.input, "last");
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, -ECONNRESET);
    close_owner();
}

Test(lent, memory_that_the_owner_does_not_have_ends_its_input)
{
    become_lent();
    owner.lend_status = -ENOMEM;
    arrive("lost", POLLIN);
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, -ENOMEM);
    close_owner();
}

Test(lent, a_flood_is_read_in_shares)
{
    static char flood[4 * SHARE + 1];
    memset(flood, 'f', sizeof flood - 1);
    become_lent();
    owner.counts_input = true;
    fake_socket_fill(flood);
    fake_ring_complete(input_poll_of(&owner), POLLIN, MORE);
    wait_once();
    /* What the others of a round have left over comes behind them. */
    cr_assert_eq(owner.input_len, 2 * SHARE);
    wait_once();
    cr_assert_eq(fake_ring_last_timeout(), 0, "slept although there was more to read");
    cr_assert_eq(owner.input_len, 3 * SHARE);
    wait_once();
    cr_assert_eq(owner.input_len, 4 * SHARE);
    wait_all();
    wait_once();
    cr_assert_eq(fake_ring_last_timeout(), -1);
    close_owner();
}

static void stop_input(struct owner *from)
{
    owner_want_input(from, false);
}

Test(lent, a_pause_costs_no_operation_and_loses_nothing)
{
    become_lent();
    size_t in_flight = fake_ring_in_flight();
    for (int i = 0; i < 10; i++) {
        owner.input_len = 0;
        owner_want_input(&owner, false);
        wait_once();
        arrive("waits", POLLIN);
        wait_once();
        cr_assert_eq(fake_ring_last_timeout(), -1);
        cr_assert_eq(owner.input_len, 0, "read although paused");
        owner_want_input(&owner, true);
        wait_once();
        cr_assert_eq(owner.input_len, 5);
    }
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 1);
    cr_assert_eq(fake_ring_in_flight(), in_flight);
    close_owner();
}

Test(lent, a_pause_in_the_middle_of_a_flood)
{
    static char flood[SHARE + 1];
    memset(flood, 'f', SHARE);
    become_lent();
    owner.counts_input = true;
    owner.on_input = stop_input;
    arrive(flood, POLLIN);
    cr_assert_lt(owner.input_len, SHARE);
    size_t before = owner.input_len;
    wait_once();
    cr_assert_eq(owner.input_len, before);
    owner.on_input = NULL;
    owner_want_input(&owner, true);
    wait_once();
    cr_assert_eq(owner.input_len, SHARE);
    close_owner();
}

Test(lent, hang_ups_are_told_in_a_pause)
{
    become_lent();
    owner_want_input(&owner, false);
    wait_once();
    fake_ring_complete(input_poll_of(&owner), POLLIN | POLLRDHUP, MORE);
    wait_all();
    cr_assert_eq(owner.end_count, 0, "the peer's end is read in its time");
    fake_ring_complete(input_poll_of(&owner), POLLIN | POLLRDHUP | POLLHUP | POLLERR, MORE);
    wait_all();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, -ECONNRESET);
    close_owner();
}

Test(lent, a_poll_that_ended_is_made_again)
{
    become_lent();
    fake_socket_fill("one");
    fake_ring_complete(input_poll_of(&owner), POLLIN, 0);
    wait_all();
    wait_once();
    arrive(" two", POLLIN);
    cr_assert_str_eq(owner.input, "one two");
    close_owner();
}

Test(lent, ends_after_many_short_receives)
{
    become_lent();
    for (int i = 0; i < SHORT_ONES; i++) {
        cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 1);
        arrive("x", POLLIN);
    }
    wait_for_cancellations();
    wait_once();
    cr_assert_null(input_poll_of(&owner));
    fake_ring_receive(receive_of(&owner), "y", MORE);
    wait_all();
    cr_assert_eq(owner.input_len, SHORT_ONES + 1);
    cr_assert_eq(owner.input[SHORT_ONES], 'y');
    close_owner();
}

/* Urgent data looks like a hang-up that never comes; it must not hide one. */
Test(lent, a_pause_after_it_ended_polls_for_hang_up)
{
    become_lent();
    arrive("", POLLIN | POLLPRI);
    for (int i = 0; i < SHORT_ONES; i++)
        arrive("x", POLLIN);
    wait_for_cancellations();
    wait_once();
    cr_assert_not_null(receive_of(&owner));
    owner_want_input(&owner, false);
    wait_for_cancellations();
    wait_once();
    cr_assert_not_null(hangup_of(&owner));
    close_owner();
}

Test(lent, bytes_that_come_while_it_ends_are_read)
{
    become_lent();
    for (int i = 0; i < SHORT_ONES; i++)
        arrive("x", POLLIN);
    wait_once();
    struct fake_op *cancel = fake_ring_find_cancel(input_poll_of(&owner));
    cr_assert_not_null(cancel);
    arrive("y", POLLIN);
    cr_assert_eq(owner.input[SHORT_ONES], 'y');
    fake_ring_obey(cancel);
    wait_all();
    wait_once();
    cr_assert_not_null(receive_of(&owner));
    close_owner();
}

Test(lent, begins_with_the_fourth_pause_in_a_row)
{
    for (int i = 0; i < 4; i++) {
        cr_assert_not_null(receive_of(&owner));
        owner_want_input(&owner, false);
        wait_for_cancellations();
        owner_want_input(&owner, true);
        wait_once();
    }
    expect_lent();
    close_owner();
}

Test(lent, begins_when_the_ring_is_found_empty_again_and_again)
{
    for (int i = 0; i < 4; i++) {
        fake_ring_complete(receive_of(&owner), -ENOBUFS, 0);
        wait_once();
        wait_once();
    }
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 0);
    expect_lent();
    close_owner();
}

static void remove_owner(struct owner *from)
{
    poller.backend->remove(&poller, &from->fd);
}

Test(lent, is_closed_from_its_own_input)
{
    become_lent();
    owner.on_input = remove_owner;
    arrive("quit", POLLIN);
    wait_for_cancellations();
    cr_assert_str_eq(owner.input, "quit");
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}

Test(lent, is_closed_with_more_to_read)
{
    static char flood[4 * SHARE + 1];
    memset(flood, 'f', 4 * SHARE);
    become_lent();
    owner.counts_input = true;
    fake_socket_fill(flood);
    fake_ring_complete(input_poll_of(&owner), POLLIN, MORE);
    wait_once();
    owner_remove(&owner);
    wait_for_cancellations();
    cr_assert_eq(owner.input_len, 2 * SHARE);
    cr_assert_eq(owner.closed_count, 1);
    rig_close();
}
