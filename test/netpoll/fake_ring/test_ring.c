/* The ring of blocks: as many as are used, shared out in turn when there are too few. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>

#define MORE IORING_CQE_F_MORE
/* Registered, and so the most that the ring can hold. */
#define RING_MOST 256U
/* Unused blocks are looked after in this time. */
#define SHRINK_MS 2000
#define MANY      40

static struct owner owner;
static struct owner many[MANY];

TestSuite(ring, .init = rig_open);

static void open_many(void)
{
    for (int i = 0; i < MANY; i++)
        owner_open_armed(&many[i], NP_FD_STREAM, 200 + i);
}

static void close_many(void)
{
    for (int i = 0; i < MANY; i++)
        owner_close(&many[i]);
}

/* Every block is taken, and one more receive wants one. */
static void run_out(struct owner *from)
{
    from->counts_input = true;
    while (fake_ring_buffers() > 0)
        fake_ring_receive(receive_of(from), "x", MORE);
    fake_ring_complete(receive_of(from), -ENOBUFS, 0);
    wait_all();
    wait_once();
}

/* A connection of its own each time: one that runs out again and again leaves the ring. */
static void grow_to(size_t count)
{
    while (ring_target() < count) {
        owner_open_armed(&owner, NP_FD_STREAM, 100);
        run_out(&owner);
        owner_close(&owner);
    }
    cr_assert_eq(ring_target(), count);
    expect_full_ring();
}

Test(ring, starts_small_and_doubles_when_it_runs_out)
{
    cr_assert_eq(ring_target(), RING_LEAST);
    for (size_t count = 2 * RING_LEAST; count <= RING_MOST; count *= 2) {
        owner_open_armed(&owner, NP_FD_STREAM, 100);
        run_out(&owner);
        cr_assert_eq(ring_target(), count);
        expect_full_ring();
        cr_assert_not_null(receive_of(&owner));
        owner_close(&owner);
    }
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    run_out(&owner);
    cr_assert_eq(ring_target(), RING_MOST, "more than there are slots");
    owner_close(&owner);
    rig_close();
}

/* Many that find no block in the same round have all found it too small by one step. */
Test(ring, doubles_once_a_round)
{
    open_many();
    for (int i = 0; i < 10; i++)
        fake_ring_complete(receive_of(&many[i]), -ENOBUFS, 0);
    wait_once();
    wait_once();
    cr_assert_eq(ring_target(), 2 * RING_LEAST);
    close_many();
    rig_close();
}

Test(ring, gives_back_what_was_not_needed_and_then_sleeps)
{
    grow_to(64);
    size_t bytes = fake_alloc_live_bytes();
    grow_to(128);
    for (size_t count = 128; count > RING_LEAST; count /= 2) {
        cr_assert_eq(ring_target(), count);
        fake_clock_pass(SHRINK_MS);
        if (count == 128) /* it had just run out */
            fake_clock_pass(SHRINK_MS);
        expect_full_ring();
    }
    cr_assert_eq(ring_target(), RING_LEAST);
    fake_clock_pass(SHRINK_MS);
    cr_assert_eq(ring_target(), RING_LEAST);
    cr_assert_lt(fake_alloc_live_bytes(), bytes);
    cr_assert_eq(np_wheel_next(&poller.wheel), UINT64_MAX, "a timer goes on for nothing");
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_ring_receive(receive_of(&owner), "as before", MORE);
    wait_once();
    cr_assert_str_eq(owner.input, "as before");
    owner_close(&owner);
    rig_close();
}

/* 40 of 64 blocks in a round, each time. */
Test(ring, keeps_what_is_needed)
{
    grow_to(64);
    fake_ring_show(64);
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.counts_input = true;
    for (int window = 0; window < 5; window++) {
        for (int i = 0; i < 40; i++)
            fake_ring_receive(receive_of(&owner), "x", MORE);
        wait_once();
        wait_once();
        fake_clock_pass(SHRINK_MS);
        cr_assert_eq(ring_target(), 64);
    }
    owner_close(&owner);
    rig_close();
}

/* The kernel has taken them already: they are not in the ring, though nobody has seen them. */
Test(ring, withdraws_nothing_while_completions_wait)
{
    grow_to(64);
    fake_clock_pass(SHRINK_MS);
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.counts_input = true;
    for (int i = 0; i < 30; i++)
        fake_ring_receive(receive_of(&owner), "x", MORE);
    fake_clock_pass(SHRINK_MS);
    cr_assert_eq(ring_target(), 64);
    wait_all();
    cr_assert_eq(owner.input_len, 30);
    expect_full_ring();
    owner_close(&owner);
    rig_close();
}

Test(ring, stays_as_it_is_when_memory_refuses_more)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    fake_alloc_refuse(32 * 1024);
    run_out(&owner);
    cr_assert_eq(ring_target(), RING_LEAST);
    expect_full_ring();
    wait_once();
    cr_assert_eq(fake_ring_last_timeout(), -1, "tries again and again what was only wished for");
    fake_alloc_refuse(0);
    owner_close(&owner);
    rig_close();
}

static size_t armed_count(void)
{
    size_t count = 0;
    for (int i = 0; i < MANY; i++)
        count += receive_of(&many[i]) != NULL;
    return count;
}

/* Keeps blocks, which memory does not make up for, until only so many are left. */
static void leave_blocks(size_t count)
{
    owner_open_armed(&owner, NP_FD_STREAM, 100);
    owner.keeps_blocks = true;
    owner.counts_input = true;
    fake_alloc_refuse(32 * 1024);
    while (fake_ring_buffers() > count)
        fake_ring_receive(receive_of(&owner), "x", MORE);
    wait_all();
    wait_once();
    cr_assert_eq(fake_ring_buffers(), count);
}

Test(ring, few_blocks_go_round)
{
    open_many();
    leave_blocks(5);
    for (int i = 0; i < MANY; i++)
        fake_ring_complete(receive_of(&many[i]), -ENOBUFS, 0);
    wait_all();
    for (int first = 0; first < MANY; first += 5) {
        cr_assert_eq(armed_count(), 5, "there are only 5 blocks");
        for (int i = first; i < first + 5; i++) {
            cr_assert_not_null(receive_of(&many[i]), "not in the order in which they starved");
            fake_ring_complete(receive_of(&many[i]), -ENOBUFS, 0);
        }
        wait_once();
    }
    fake_alloc_refuse(0);
    wait_once();
    wait_once();
    cr_assert_eq(armed_count(), MANY);
    close_many();
    owner_close(&owner);
    rig_close();
}

Test(ring, who_has_not_starved_is_armed_whatever_there_is)
{
    leave_blocks(1);
    open_many();
    cr_assert_eq(armed_count(), MANY);
    fake_alloc_refuse(0);
    close_many();
    owner_close(&owner);
    rig_close();
}

Test(ring, a_starved_connection_closes_and_pauses_without_a_block)
{
    open_many();
    leave_blocks(0);
    for (int i = 0; i < 2; i++)
        fake_ring_complete(receive_of(&many[i]), -ENOBUFS, 0);
    wait_all();
    wait_once();
    owner_remove(&many[0]);
    owner_want_input(&many[1], false);
    wait_once();
    cr_assert_eq(many[0].closed_count, 1);
    cr_assert_not_null(hangup_of(&many[1]), "its reset would not be seen");
    fake_alloc_refuse(0);
    for (int i = 1; i < MANY; i++)
        owner_close(&many[i]);
    owner_close(&owner);
    rig_close();
}
