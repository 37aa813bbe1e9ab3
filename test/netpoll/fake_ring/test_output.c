/* Sends: one at a time, each byte once, whatever the kernel takes of it. */
#include "owner.h"

#include <criterion/criterion.h>
#include <errno.h>
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

TestSuite(output, .init = open_owner);

/* The text that a send shows the kernel. */
static const struct iovec *shown(const struct fake_op *send)
{
    const struct msghdr *message = (const struct msghdr *)(uintptr_t)send->sqe.addr;
    cr_assert_eq(message->msg_iovlen, 1);
    return message->msg_iov;
}

static void expect_send_of(const char *text)
{
    struct fake_op *send = send_of(&owner);
    cr_assert_not_null(send);
    cr_assert_eq(shown(send)->iov_len, strlen(text));
    cr_assert_eq(memcmp(shown(send)->iov_base, text, strlen(text)), 0);
}

static void take_bytes(int res)
{
    fake_ring_complete(send_of(&owner), res, 0);
    wait_all();
    wait_once();
}

Test(output, is_sent_and_asked_for_until_there_is_none)
{
    cr_assert_eq(owner_start_output(&owner, "all of it"), 0);
    wait_once();
    expect_send_of("all of it");
    take_bytes(9);
    cr_assert_null(send_of(&owner));
    cr_assert_eq(owner_start_output(&owner, "again"), 0);
    wait_once();
    expect_send_of("again");
    take_bytes(5);
    close_owner();
}

Test(output, short_sends_go_on_where_they_stopped)
{
    static const char text[] = "one byte at a time";
    cr_assert_eq(owner_start_output(&owner, text), 0);
    wait_once();
    for (size_t i = 0; i < strlen(text); i++) {
        expect_send_of(text + i);
        take_bytes(1);
    }
    cr_assert_null(send_of(&owner));
    cr_assert_eq(owner.output_count, strlen(text));
    close_owner();
}

Test(output, a_send_that_would_block_is_made_again)
{
    static const int errors[] = {-EAGAIN, -EINTR};
    cr_assert_eq(owner_start_output(&owner, "later"), 0);
    wait_once();
    for (int i = 0; i < 6; i++) {
        expect_send_of("later");
        cr_assert_neq(send_of(&owner)->sqe.ioprio & IORING_RECVSEND_POLL_FIRST, 0,
                      "it would spin until the socket has room");
        take_bytes(errors[i % 2]);
    }
    cr_assert_eq(owner.output_count, 0);
    expect_send_of("later");
    take_bytes(2);
    expect_send_of("ter");
    take_bytes(3);
    close_owner();
}

Test(output, an_error_is_told_once_and_ends_the_sending)
{
    cr_assert_eq(owner_start_output(&owner, "into the void"), 0);
    wait_once();
    take_bytes(-EPIPE);
    cr_assert_eq(owner.output_count, 1);
    cr_assert_eq(owner.output_result, -EPIPE);
    cr_assert_null(send_of(&owner));
    close_owner();
}

Test(output, a_long_text_is_sent_in_bounded_pieces)
{
    static char text[600 * 1024];
    memset(text, 'x', sizeof text - 1);
    cr_assert_eq(owner_start_output(&owner, text), 0);
    wait_once();
    while (send_of(&owner) != NULL) {
        size_t n = shown(send_of(&owner))->iov_len;
        cr_assert_leq(n, 256 * 1024);
        take_bytes((int)n);
    }
    cr_assert_eq(strlen(owner.output), 0);
    cr_assert_eq(owner.output_count, 3);
    close_owner();
}

static void send_more(struct owner *from)
{
    from->on_output_empty = NULL;
    cr_assert_eq(owner_start_output(from, "second"), 0);
}

/* What another thread flushed between the last look at the output and the backend's rest. */
Test(output, that_is_started_again_while_the_backend_asks_for_it)
{
    owner.on_output_empty = send_more;
    cr_assert_eq(owner_start_output(&owner, "first"), 0);
    wait_once();
    take_bytes(5);
    expect_send_of("second");
    take_bytes(3);
    expect_send_of("ond");
    take_bytes(3);
    cr_assert_null(send_of(&owner));
    close_owner();
}

Test(output, that_memory_refuses_is_told_to_the_caller)
{
    fake_alloc_refuse(1);
    cr_assert_eq(owner_start_output(&owner, "no"), -ENOMEM);
    fake_alloc_refuse(0);
    wait_once();
    cr_assert_null(send_of(&owner));
    close_owner();
}
