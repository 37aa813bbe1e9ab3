/* Input that is not wanted: the receive is canceled, and the race of that with everything else. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#define MORE IORING_CQE_F_MORE

static struct owner owner;

static void open_owner(void)
{
    rig_open();
    owner_open_armed(&owner, NP_FD_STREAM, 100);
}

static void close_owner(void)
{
    owner_close(&owner);
    rig_close();
}

TestSuite(pause, .init = open_owner);

/* Input is not wanted any more; the cancellation of the receive is in flight. */
static struct fake_op *pause_input(void)
{
    struct fake_op *receive = receive_of(&owner);
    owner_want_input(&owner, false);
    wait_once();
    struct fake_op *cancel = fake_ring_find_cancel(receive);
    cr_assert_not_null(cancel);
    return cancel;
}

/* Input is wanted again, and comes. */
static void expect_resumed(const char *input)
{
    owner_want_input(&owner, true);
    wait_all();
    wait_once();
    fake_ring_receive(receive_of(&owner), ".", MORE);
    wait_all();
    cr_assert_str_eq(owner.input, input);
    cr_assert_eq(owner.end_count, 0);
}

Test(pause, bytes_that_were_on_their_way_still_arrive)
{
    fake_ring_receive(receive_of(&owner), "queued ", MORE);
    owner_want_input(&owner, false);
    wait_once();
    fake_ring_receive(receive_of(&owner), "late", MORE);
    wait_for_cancellations();
    wait_once();
    cr_assert_str_eq(owner.input, "queued late");
    cr_assert_null(receive_of(&owner));
    expect_resumed("queued late.");
    close_owner();
}

Test(pause, pause_and_resume_within_one_round_cancel_nothing)
{
    owner_want_input(&owner, false);
    owner_want_input(&owner, true);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 0);
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 1);
    close_owner();
}

Test(pause, resume_and_pause_before_the_cancellation_is_answered)
{
    fake_ring_receive(receive_of(&owner), "a", MORE);
    struct fake_op *cancel = pause_input();
    owner_want_input(&owner, true);
    wait_once();
    owner_want_input(&owner, false);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_ASYNC_CANCEL), 1);
    fake_ring_receive(receive_of(&owner), "b", MORE);
    fake_ring_obey(cancel);
    wait_all();
    wait_once();
    cr_assert_null(receive_of(&owner), "received although paused");
    expect_resumed("ab.");
    close_owner();
}

Test(pause, resume_before_the_cancellation_is_answered)
{
    struct fake_op *cancel = pause_input();
    owner_want_input(&owner, true);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 1, "two receives could overtake each other");
    fake_ring_obey(cancel);
    wait_all();
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 2);
    expect_resumed(".");
    close_owner();
}

/* How a receive that is being canceled may end. */
enum ending {
    ENDS_CANCELED,
    ENDS_WITH_BYTES,
    ENDS_WITHOUT_BUFFER,
    ENDING_COUNT
};

static void end_receive(struct fake_op *receive, enum ending ending)
{
    if (ending == ENDS_CANCELED)
        fake_ring_complete(receive, -ECANCELED, 0);
    else if (ending == ENDS_WITH_BYTES)
        fake_ring_receive(receive, "x", 0);
    else
        fake_ring_complete(receive, -ENOBUFS, 0);
}

static void pause_with_answer(int answer, enum ending ending, bool answer_first)
{
    owner_close(&owner);
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    struct fake_op *receive = receive_of(&owner);
    struct fake_op *cancel = pause_input();
    if (answer_first)
        fake_ring_complete(cancel, answer, 0);
    end_receive(receive, ending);
    if (!answer_first)
        fake_ring_complete(cancel, answer, 0);
    wait_for_cancellations();
    cr_assert_null(receive_of(&owner), "received although paused");
    expect_resumed(ending == ENDS_WITH_BYTES ? "x." : ".");
}

Test(pause, every_answer_of_a_cancellation_in_every_order)
{
    static const int answers[] = {0, -ENOENT, -EALREADY};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        for (enum ending ending = ENDS_CANCELED; ending < ENDING_COUNT; ending++) {
            pause_with_answer(answers[i], ending, true);
            pause_with_answer(answers[i], ending, false);
        }
    }
    close_owner();
}

/* In separate rounds: what one of the two says must not be taken for the whole answer. */
Test(pause, the_receive_ends_a_round_after_the_answer)
{
    struct fake_op *receive = receive_of(&owner);
    fake_ring_complete(pause_input(), 0, 0);
    wait_all();
    owner_want_input(&owner, true);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 1);
    fake_ring_complete(receive, -ECANCELED, 0);
    wait_all();
    expect_resumed(".");
    close_owner();
}

Test(pause, a_receive_that_a_cancellation_missed_is_canceled_again)
{
    static const int answers[] = {-ENOENT, -EALREADY};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct fake_op *receive = receive_of(&owner);
        fake_ring_complete(pause_input(), answers[i], 0);
        wait_all();
        wait_once();
        cr_assert_not_null(fake_ring_find_cancel(receive), "receives for ever although paused");
        wait_for_cancellations();
        cr_assert_null(receive_of(&owner));
        owner_want_input(&owner, true);
        wait_once();
    }
    close_owner();
}

Test(pause, the_end_is_told_when_input_is_wanted_again)
{
    fake_ring_obey(pause_input());
    fake_ring_complete(hangup_of(&owner), POLLRDHUP, 0);
    wait_all();
    wait_once();
    cr_assert_eq(owner.end_count, 0);
    cr_assert_null(hangup_of(&owner), "it would complete at once, again and again");
    owner_want_input(&owner, true);
    wait_once();
    fake_ring_receive(receive_of(&owner), "rest", MORE);
    fake_ring_complete(receive_of(&owner), 0, 0);
    wait_all();
    cr_assert_str_eq(owner.input, "rest");
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, 0);
    close_owner();
}

/* The poll stays armed: what follows the peer's end is news, the end itself is told once. */
Test(pause, a_reset_after_the_peers_end_is_told)
{
    fake_ring_obey(pause_input());
    wait_all();
    cr_assert_eq(hangup_of(&owner)->sqe.len, IORING_POLL_ADD_MULTI);
    fake_ring_complete(hangup_of(&owner), POLLRDHUP, MORE);
    wait_all();
    wait_once();
    cr_assert_eq(owner.end_count, 0);
    fake_ring_complete(hangup_of(&owner), POLLERR | POLLHUP | POLLRDHUP, MORE);
    wait_all();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, -ECONNRESET);
    wait_once();
    cr_assert_eq(fake_ring_submitted(IORING_OP_POLL_ADD), 1);
    close_owner();
}

/* That of a connection whose output has ended, too. */
Test(pause, a_hang_up_without_an_error_is_left_to_be_read)
{
    fake_ring_obey(pause_input());
    wait_all();
    fake_ring_complete(hangup_of(&owner), POLLIN | POLLHUP | POLLRDHUP, MORE);
    wait_all();
    cr_assert_eq(owner.end_count, 0);
    owner_want_input(&owner, true);
    wait_once();
    fake_ring_receive(receive_of(&owner), "rest", MORE);
    fake_ring_complete(receive_of(&owner), 0, 0);
    wait_all();
    cr_assert_str_eq(owner.input, "rest");
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, 0);
    close_owner();
}

Test(pause, an_end_that_the_receive_had_already_seen_is_told_once)
{
    struct fake_op *cancel = pause_input();
    fake_ring_complete(receive_of(&owner), 0, 0);
    fake_ring_complete(cancel, -ENOENT, 0);
    fake_ring_complete(hangup_of(&owner), POLLRDHUP | POLLHUP, 0);
    wait_all();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, 0);
    close_owner();
}

Test(pause, a_reset_is_told_though_nothing_receives)
{
    fake_ring_obey(pause_input());
    wait_all();
    fake_ring_complete(hangup_of(&owner), POLLERR | POLLHUP | POLLRDHUP, 0);
    wait_all();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, -ECONNRESET);
    close_owner();
}

Test(pause, a_reset_that_the_receive_and_the_poll_see_is_told_once)
{
    struct fake_op *cancel = pause_input();
    fake_ring_complete(hangup_of(&owner), POLLERR | POLLHUP | POLLRDHUP, 0);
    fake_ring_receive(receive_of(&owner), "too late", MORE);
    fake_ring_complete(receive_of(&owner), -ECONNRESET, 0);
    fake_ring_complete(cancel, -ENOENT, 0);
    wait_all();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, -ECONNRESET);
    close_owner();
}

/* The poll for hang-up of an earlier pause is still there when the peer closes. */
Test(pause, an_orderly_end_after_a_pause_is_no_reset)
{
    fake_ring_obey(pause_input());
    wait_all();
    owner_want_input(&owner, true);
    wait_once();
    fake_ring_complete(receive_of(&owner), 0, 0);
    fake_ring_complete(hangup_of(&owner), POLLIN | POLLHUP | POLLRDHUP, 0);
    wait_all();
    cr_assert_eq(owner.end_count, 1);
    cr_assert_eq(owner.end, 0);
    close_owner();
}
