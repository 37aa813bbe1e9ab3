/* Slots and descriptor numbers that are in use again: the past does not reach the present. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>

#define MORE IORING_CQE_F_MORE

static struct owner old;
static struct owner young;
static uint64_t old_receive;

/* The old owner's slot and number are the young one's. */
static void reuse(void)
{
    rig_open();
    owner_open_armed(&old, NP_FD_STREAM, 100);
    old_receive = receive_of(&old)->sqe.user_data;
    owner_close(&old);
    owner_open_armed(&young, NP_FD_STREAM, 100);
    cr_assert_eq(old.fd.slot, young.fd.slot);
}

static void close_young(void)
{
    owner_close(&young);
    cr_assert_eq(old.closed_count, 1);
    rig_close();
}

TestSuite(reuse, .init = reuse);

Test(reuse, generations_differ)
{
    cr_assert_neq(receive_of(&young)->sqe.user_data, old_receive);
    close_young();
}

Test(reuse, stale_bytes_reach_nobody_and_their_buffer_goes_back)
{
    fake_ring_post_stale(old_receive, 7);
    cr_assert_eq(fake_ring_buffers(), RING_LEAST - 1);
    wait_all();
    expect_full_ring();
    cr_assert_eq(young.input_len, 0);
    fake_ring_receive(receive_of(&young), "mine", MORE);
    wait_all();
    cr_assert_str_eq(young.input, "mine");
    cr_assert_eq(old.input_len, 0);
    close_young();
}

Test(reuse, a_stale_error_ends_nobody)
{
    fake_ring_post_stale(old_receive, -ECONNRESET);
    wait_all();
    wait_once();
    cr_assert_eq(young.end_count, 0);
    cr_assert_eq(fake_ring_submitted(IORING_OP_RECV), 2);
    close_young();
}

Test(reuse, many_lives_of_one_slot)
{
    for (int i = 0; i < 300; i++) {
        owner_close(&young);
        owner_open_armed(&young, NP_FD_STREAM, 100);
        fake_ring_post_stale(old_receive, 1);
        fake_ring_receive(receive_of(&young), "mine", MORE);
        wait_all();
        cr_assert_str_eq(young.input, "mine");
    }
    close_young();
}
