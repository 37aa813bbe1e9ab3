/* Waits and reads of a thread that has no turn, and what ends them. */
#include "dial_rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <linkbuffer/linkbuffer.h>
#include <netpoll/error.h>
#include <netpoll/transform.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Who is not woken stays asleep. */
TestSuite(conn_wait_apart, .timeout = 60);

#define LARGE ((size_t)4 << 20)

/* Only the poller sees that it is idle: no other thread closes it. */
Test(conn_wait_apart, ends_with_the_idle_timeout)
{
    struct dial_rig rig = {.conn = {.idle_timeout_ms = 100}};
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    cr_assert_eq(netpoll_conn_wait(conn, 1, NETPOLL_TIMEOUT_NONE), -ENOTCONN);
    netpoll_conn_release(conn);
    dial_rig_finish(&rig);
}

/* Input that nobody has asked for stands above its bound, and rests, when it is first read. */

static void pour(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    CHECK(netpoll_conn_next(conn, 1, &data) == 0);
    CHECK(netpoll_conn_write_ref(conn, arg, LARGE, NULL, NULL) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
}

static struct netpoll_conn *start_pouring(struct dial_rig *rig)
{
    static char data[LARGE];
    rig->server = (struct netpoll_conn_options){.on_request = pour, .arg = data};
    dial_rig_start(rig);
    struct netpoll_conn *conn = dial(rig, rig->rig.address);
    CHECK(netpoll_conn_write(conn, "x", 1) == 0 && netpoll_conn_flush(conn) == 0);
    WAIT_UNTIL(rig_stats(&rig->rig).input_pauses == 1);
    return conn;
}

static bool read_some(struct netpoll_conn *conn, size_t *got)
{
    static char into[65536];
    ssize_t n = netpoll_conn_read(conn, into, sizeof into);
    CHECK(n >= 0);
    *got += (size_t)n;
    return *got == LARGE;
}

Test(conn_wait_apart, a_reader_that_never_waits_gets_all)
{
    struct dial_rig rig = {0};
    struct netpoll_conn *conn = start_pouring(&rig);
    size_t got = 0;
    WAIT_UNTIL(read_some(conn, &got));
    hang_up(conn);
    dial_rig_finish(&rig);
}

/* As much as it asks for, which is more than what makes its input rest. */
Test(conn_wait_apart, a_reader_that_looks_for_a_large_message_gets_it)
{
    struct dial_rig rig = {0};
    struct netpoll_conn *conn = start_pouring(&rig);
    cr_assert_eq(netpoll_conn_wait(conn, LARGE, 0), -ETIMEDOUT);
    WAIT_UNTIL(netpoll_conn_len(conn) == LARGE);
    cr_assert_eq(netpoll_conn_wait(conn, LARGE, 0), 0);
    hang_up(conn);
    dial_rig_finish(&rig);
}

/* Output */

static void ignore(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    (void)arg;
}

struct sender {
    struct netpoll_conn *conn;
    int status;
};

static void *send_large(void *arg)
{
    static char data[LARGE];
    struct sender *sender = arg;
    CHECK(netpoll_conn_write_ref(sender->conn, data, sizeof data, NULL, NULL) == 0);
    sender->status = netpoll_conn_flush_wait(sender->conn, NETPOLL_TIMEOUT_NONE);
    return NULL;
}

static int status_after_reset(enum netpoll_handler mode)
{
    struct rig rig = {0};
    struct grab grab = GRAB_INIT;
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = ignore, .arg = &grab, .handler = mode};
    pthread_t thread;
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    event_wait(&grab.connects, 1);
    struct sender sender = {.conn = grab.conn};
    CHECK(pthread_create(&thread, NULL, send_large, &sender) == 0);
    /* It waits, and can only go on by the end. */
    WAIT_UNTIL(rig_stats(&rig).bytes_out > 0);
    client_reset(fd);
    CHECK(pthread_join(thread, NULL) == 0);
    netpoll_conn_release(grab.conn);
    rig_finish_when_idle(&rig);
    return sender.status;
}

/* Often: what the end drops is soon gone when the sender wakes. */
TEST_BOTH_MODES(conn_wait_apart, for_output_fails_with_a_reset)
{
    for (unsigned i = 0; i < 30; i++)
        cr_assert_eq(status_after_reset(*mode), -ENOTCONN);
}

/* A transform that holds what it encodes until it is let go on. */
struct holder {
    struct event holds;
    struct event goes_on;
};

static int hold_open(struct netpoll_conn *conn, void *arg, void **state)
{
    (void)conn;
    *state = arg;
    return 0;
}

static int hold_decode(void *state, struct linkbuffer *wire, struct linkbuffer *plain,
                       struct linkbuffer *reply)
{
    (void)state;
    (void)reply;
    return linkbuffer_append(plain, wire);
}

static int hold_encode(void *state, struct linkbuffer *plain, size_t max, struct linkbuffer *wire)
{
    struct holder *holder = state;
    char bytes[16];
    size_t n = linkbuffer_read(plain, bytes, max < sizeof bytes ? max : sizeof bytes);
    event_add(&holder->holds);
    event_wait(&holder->goes_on, 1);
    return linkbuffer_write(wire, bytes, n);
}

static void hold_close(void *state)
{
    (void)state;
}

Test(conn_wait_apart, for_output_sees_what_a_transform_has_taken)
{
    struct holder holder = {.holds = EVENT_INIT, .goes_on = EVENT_INIT};
    struct netpoll_transform transform = {.open = hold_open,
                                          .decode = hold_decode,
                                          .encode = hold_encode,
                                          .close = hold_close,
                                          .arg = &holder};
    struct rig rig = {0};
    struct grab grab = GRAB_INIT;
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = ignore, .transform = &transform, .arg = &grab};
    char got[8];
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&grab.connects, 1);
    cr_assert_eq(netpoll_conn_write(grab.conn, "it waits", 8), 0);
    cr_assert_eq(netpoll_conn_flush(grab.conn), 0);
    event_wait(&holder.holds, 1);
    cr_assert_eq(netpoll_conn_flush_wait(grab.conn, 0), -ETIMEDOUT);
    event_add(&holder.goes_on);
    cr_assert_eq(netpoll_conn_flush_wait(grab.conn, DEADLINE_MS), 0);
    cr_assert_eq(client_receive(fd, got, sizeof got), sizeof got);
    cr_assert_arr_eq(got, "it waits", sizeof got);
    client_close(fd);
    netpoll_conn_release(grab.conn);
    rig_finish_when_idle(&rig);
}
