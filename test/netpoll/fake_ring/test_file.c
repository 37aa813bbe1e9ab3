/* Files: sent when there is room, which a poll tells; what is in memory goes on as ever. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

static struct owner owner;

static void open_owner(void)
{
    rig_open();
    owner_open(&owner, NP_FD_STREAM, 100);
}

static void close_owner(void)
{
    owner_close(&owner);
    rig_close();
}

TestSuite(file, .init = open_owner);

static void start(size_t file_bytes, ssize_t file_result)
{
    owner.file_bytes = file_bytes;
    owner.file_result = file_result;
    cr_assert_eq(owner_start_output(&owner, "behind"), 0);
    wait_once();
}

static void tell_room(void)
{
    fake_ring_complete(output_poll_of(&owner), POLLOUT, 0);
    wait_all();
    wait_once();
}

Test(file, waits_for_room_and_is_followed_by_memory)
{
    start(10000, 6000);
    /* The attempt before was in vain, or others have their turn. */
    cr_assert_eq(owner.file_tries, 0);
    cr_assert_not_null(output_poll_of(&owner));
    cr_assert_null(send_of(&owner));
    owner.file_result = -EAGAIN;
    tell_room();
    cr_assert_eq(owner.file_tries, 1);
    cr_assert_eq(owner.output_count, 0);
    owner.file_result = 6000;
    tell_room();
    cr_assert_eq(owner.file_tries, 3);
    cr_assert_eq(owner.file_bytes, 0);
    cr_assert_eq(owner.output_count, 2);
    cr_assert_null(output_poll_of(&owner));
    fake_ring_complete(send_of(&owner), 6, 0);
    wait_all();
    wait_once();
    cr_assert_eq(owner.output_count, 3);
    cr_assert_null(send_of(&owner));
    close_owner();
}

Test(file, lets_others_have_their_turn)
{
    start((size_t)10 << 20, 100000);
    tell_room();
    cr_assert_geq(owner.file_bytes, (size_t)8 << 20);
    cr_assert_leq(owner.file_bytes, (size_t)9 << 20);
    unsigned rounds = 1;
    while (owner.file_bytes > 0) {
        tell_room();
        rounds++;
    }
    cr_assert_leq(rounds, 11);
    close_owner();
}

Test(file, whose_error_is_told_ends_the_output)
{
    start(10000, -EPIPE);
    tell_room();
    cr_assert_eq(owner.output_count, 1);
    cr_assert_eq(owner.output_result, -EPIPE);
    cr_assert_null(output_poll_of(&owner));
    cr_assert_null(send_of(&owner));
    close_owner();
}

Test(file, poll_that_fails_is_told)
{
    start(10000, 100);
    fake_ring_complete(output_poll_of(&owner), -EINVAL, 0);
    wait_all();
    wait_once();
    cr_assert_eq(owner.output_result, -EINVAL);
    cr_assert_eq(owner.file_tries, 0);
    cr_assert_null(output_poll_of(&owner));
    close_owner();
}

Test(file, poll_is_canceled_when_the_owner_leaves)
{
    start(10000, 100);
    struct fake_op *poll = output_poll_of(&owner);
    owner_remove(&owner);
    wait_once();
    cr_assert_not_null(fake_ring_find_cancel(poll));
    wait_for_cancellations();
    cr_assert_eq(owner.closed_count, 1);
    cr_assert_eq(owner.file_tries, 0);
    rig_close();
}

static void leave(struct owner *from)
{
    from->on_output = NULL;
    owner_remove(from);
}

Test(file, owner_may_leave_when_it_is_told_what_was_sent)
{
    start(10000, 100);
    owner.on_output = leave;
    tell_room();
    wait_for_cancellations();
    cr_assert_eq(owner.closed_count, 1);
    cr_assert_eq(owner.file_tries, 1);
    rig_close();
}
