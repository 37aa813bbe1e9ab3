/* Connections that rest: their receive makes way for a poll, and comes back with the first news. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>

#define MORE    IORING_CQE_F_MORE
#define IDLE_MS 1000
/* It may take a quarter longer. */
#define LATEST_MS (IDLE_MS + IDLE_MS / 4 + 1)

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static struct owner owner;

static void open_owner(void)
{
    rig_open();
    poller.demote_idle_ms = IDLE_MS;
    owner_open_armed(&owner, NP_FD_STREAM, 100);
}

TestSuite(idle, .init = open_owner);

static void close_owner(void)
{
    owner_close(&owner);
    rig_close();
}

static void demote(void)
{
    fake_clock_pass(LATEST_MS);
    wait_for_cancellations();
    wait_once();
    cr_assert_null(receive_of(&owner));
    cr_assert_not_null(input_poll_of(&owner));
    cr_assert_eq(input_poll_of(&owner)->sqe.len, 0, "it is for the first news only");
}

Test(idle, a_receive_without_input_makes_way)
{
    fake_clock_pass(IDLE_MS - 1);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 0, "it has not rested that long");
    fake_clock_pass(LATEST_MS - IDLE_MS + 1);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 1);
    wait_for_cancellations();
    wait_once();
    cr_assert_not_null(input_poll_of(&owner));
    cr_assert_eq(owner.end_count, 0);
    close_owner();
}

Test(idle, the_wait_that_starts_the_search_does_not_sleep)
{
    cr_assert_eq(fake_ring_last_timeout(), 0, "for how long was asked before");
    wait_once();
    cr_assert_eq(fake_ring_last_timeout(), -1);
    close_owner();
}

/* More descriptors than are looked at together: the search is somewhere else when bytes come. */
Test(idle, a_receive_behind_the_search_is_not_forgotten)
{
    static struct np_fd others[1100];
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        others[i].kind = NP_FD_POLL;
        cr_assert_eq(np_fd_table_add(&poller.fds, &others[i]), 0);
    }
    for (unsigned ms = 0; ms < IDLE_MS; ms += 20) {
        demote();
        fake_clock_pass(ms);
        fake_socket_fill("x");
        fake_ring_complete(input_poll_of(&owner), POLLIN, 0);
        wait_once();
        wait_once();
        cr_assert_not_null(receive_of(&owner));
    }
    for (size_t i = 0; i < COUNT_OF(others); i++)
        np_fd_table_remove(&poller.fds, &others[i]);
    close_owner();
}

Test(idle, input_puts_it_off)
{
    for (int i = 0; i < 10; i++) {
        fake_clock_pass(IDLE_MS / 2);
        fake_ring_receive(receive_of(&owner), "x", MORE);
        wait_once();
        wait_once();
    }
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 0);
    close_owner();
}

Test(idle, the_first_bytes_are_read_at_once_and_the_receive_comes_back)
{
    demote();
    fake_socket_fill("hello");
    fake_ring_complete(input_poll_of(&owner), POLLIN, 0);
    wait_once();
    cr_assert_str_eq(owner.input, "hello");
    wait_once();
    fake_ring_receive(receive_of(&owner), " again", MORE);
    wait_once();
    cr_assert_str_eq(owner.input, "hello again");
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 1);
    demote();
    close_owner();
}

Test(idle, the_end_of_a_resting_connection)
{
    demote();
    fake_socket_end(0);
    fake_socket_fill("bye");
    fake_ring_complete(input_poll_of(&owner), POLLIN | POLLRDHUP, 0);
    wait_once();
    cr_assert_str_eq(owner.input, "bye");
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, 0);
    close_owner();
}

Test(idle, the_reset_of_a_resting_connection)
{
    demote();
    fake_socket_end(-ECONNRESET);
    fake_ring_complete(input_poll_of(&owner), POLLIN | POLLRDHUP | POLLHUP | POLLERR, 0);
    wait_once();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, -ECONNRESET);
    close_owner();
}

/* What the receive brings before it ends is as good as a poll. */
Test(idle, bytes_that_come_while_it_makes_way)
{
    fake_clock_pass(LATEST_MS);
    wait_once();
    fake_ring_receive(receive_of(&owner), "late", MORE);
    wait_for_cancellations();
    wait_once();
    cr_assert_str_eq(owner.input, "late");
    cr_assert_null(input_poll_of(&owner), "it does not rest");
    cr_assert_not_null(receive_of(&owner));
    close_owner();
}

Test(idle, the_end_that_comes_while_it_makes_way)
{
    fake_clock_pass(LATEST_MS);
    wait_once();
    fake_ring_complete(receive_of(&owner), 0, 0);
    wait_for_cancellations();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(fake_ring_in_flight(), 0);
    close_owner();
}

Test(idle, a_pause_while_it_rests)
{
    demote();
    owner_want_input(&owner, false);
    wait_for_cancellations();
    wait_once();
    cr_assert_null(input_poll_of(&owner));
    cr_assert_not_null(hangup_of(&owner));
    owner_want_input(&owner, true);
    wait_once();
    fake_socket_fill("resumed");
    fake_ring_complete(input_poll_of(&owner), POLLIN, 0);
    wait_all();
    cr_assert_str_eq(owner.input, "resumed");
    close_owner();
}

Test(idle, who_is_paused_does_not_rest)
{
    owner_want_input(&owner, false);
    wait_for_cancellations();
    wait_once();
    fake_clock_pass(10 * IDLE_MS);
    wait_once();
    cr_assert_null(input_poll_of(&owner));
    owner_want_input(&owner, true);
    wait_once();
    cr_assert_not_null(receive_of(&owner));
    close_owner();
}

Test(idle, a_timer_looks_only_while_there_is_somebody_to_look_at)
{
    demote();
    fake_clock_pass(2 * IDLE_MS);
    cr_assert_eq(np_wheel_next(&poller.wheel), UINT64_MAX);
    fake_ring_complete(input_poll_of(&owner), POLLIN, 0);
    wait_all();
    wait_once();
    cr_assert_neq(np_wheel_next(&poller.wheel), UINT64_MAX);
    demote();
    close_owner();
}

Test(idle, zero_is_never)
{
    owner_close(&owner);
    fake_clock_pass(10 * IDLE_MS);
    poller.demote_idle_ms = 0;
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    cr_assert_eq(np_wheel_next(&poller.wheel), UINT64_MAX);
    close_owner();
}

#define MANY 3000

/* More than the table is looked at in one go; the search has begun when it was small. */
Test(idle, thousands_rest_in_time_and_still_answer)
{
    static struct owner many[MANY];
    for (int i = 0; i < MANY; i++)
        owner_open(&many[i], NP_FD_STREAM, 200 + i);
    for (int i = 0; i < MANY; i++)
        owner_want_input(&many[i], true);
    wait_once();
    cr_assert_eq(fake_ring_in_flight(), MANY + 1);
    fake_clock_pass(LATEST_MS + IDLE_MS / 4);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), MANY + 1);
    fake_ring_obey_all();
    wait_all();
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_POLL_ADD), MANY + 1);
    cr_assert_eq(fake_ring_in_flight(), MANY + 1, "each has one operation, the cheap one");
    for (int i = 0; i < MANY; i += 300) {
        fake_socket_fill("here");
        fake_ring_complete(input_poll_of(&many[i]), POLLIN, 0);
        wait_all();
        cr_assert_str_eq(many[i].input, "here");
        wait_once();
        cr_assert_not_null(receive_of(&many[i]));
    }
    for (int i = 0; i < MANY; i++)
        owner_remove(&many[i]);
    wait_for_cancellations();
    close_owner();
}
