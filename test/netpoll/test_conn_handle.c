/* A handle that outlives its server or dialer, and the runtime. */
#include "dial_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>

TestSuite(conn_handle, .timeout = 60);

static const struct netpoll_framer frames = {.kind = NETPOLL_FRAMER_LENGTH, .length = {.bytes = 4}};

static void ignore(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    (void)arg;
}

static void ignore_detached(struct netpoll_conn *conn, int fd, struct linkbuffer *unread, void *arg)
{
    (void)conn;
    (void)fd;
    (void)unread;
    (void)arg;
}

static void expect_nothing_to_read(struct netpoll_conn *conn)
{
    const void *bytes;
    struct linkbuffer *slice;
    char copy;
    size_t n;
    cr_assert_eq(netpoll_conn_next(conn, 1, &bytes), -ENOTCONN);
    cr_assert_eq(netpoll_conn_peek(conn, 1, &bytes), -ENOTCONN);
    cr_assert_eq(netpoll_conn_skip(conn, 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_until(conn, '\n', &bytes, &n), -ENOTCONN);
    cr_assert_eq(netpoll_conn_read(conn, &copy, 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_slice(conn, 1, &slice), -ENOTCONN);
    cr_assert_eq(netpoll_conn_need(conn, 4), -ENOTCONN);
    cr_assert_eq(netpoll_conn_next_frame(conn, &bytes, &n), -ENOTCONN);
    cr_assert_eq(netpoll_conn_wait(conn, 1, DEADLINE_MS), -ENOTCONN);
    cr_assert_eq(netpoll_conn_len(conn), 0);
}

static void expect_nobody_to_write_to(struct netpoll_conn *conn)
{
    void *room;
    cr_assert_eq(netpoll_conn_reserve(conn, 1, &room), -ENOTCONN);
    cr_assert_eq(netpoll_conn_commit(conn, 0), -ENOTCONN);
    cr_assert_eq(netpoll_conn_write(conn, "x", 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_write_ref(conn, "x", 1, NULL, NULL), -ENOTCONN);
    cr_assert_eq(netpoll_conn_flush(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_flush_wait(conn, DEADLINE_MS), -ENOTCONN);
    cr_assert_eq(netpoll_conn_shutdown_write(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_unsent(conn), 0);
}

static void expect_the_rest_to_fail(struct netpoll_conn *conn)
{
    char text[NETPOLL_ADDRESS_BYTES];
    size_t size = sizeof text;
    int one = 1;
    cr_assert_eq(netpoll_conn_close(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_abort(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_pause(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_resume(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_post(conn, ignore, NULL), -ENOTCONN);
    cr_assert_eq(netpoll_conn_detach(conn, ignore_detached, NULL), -ENOTCONN);
    cr_assert_eq(netpoll_conn_add_close_callback(conn, ignore, NULL), -ENOTCONN);
    cr_assert_eq(netpoll_conn_set_timeout(conn, NETPOLL_READ_TIMEOUT, 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_set_deadline(conn, NETPOLL_READ_DEADLINE, 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_peer(conn, text, sizeof text), -ENOTCONN);
    cr_assert_eq(netpoll_conn_local(conn, text, sizeof text), -ENOTCONN);
    cr_assert_eq(netpoll_conn_socket_option(conn, SOL_SOCKET, SO_ERROR, text, &size), -ENOTCONN);
    cr_assert_eq(netpoll_conn_set_socket_option(conn, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one),
                 -ENOTCONN);
    cr_assert(!netpoll_conn_is_active(conn));
}

/* Handles of both ends, which are not connected to each other any more. */
static void keep_both_ends(struct netpoll_conn **server_end, struct netpoll_conn **client_end)
{
    struct grab grab = GRAB_INIT;
    struct dial_rig rig = {
        .server = {.on_request = ignore, .on_connect = grab_conn, .arg = &grab, .framer = &frames},
        .conn = {.framer = &frames},
        .rig.beside_another = true};
    dial_rig_start(&rig);
    *client_end = dial(&rig, rig.rig.address);
    event_wait(&grab.connects, 1);
    *server_end = grab.conn;
    cr_assert_eq(netpoll_conn_close(*server_end), 0);
    cr_assert_eq(netpoll_conn_wait(*client_end, 1, DEADLINE_MS), NETPOLL_EOF);
    cr_assert_eq(netpoll_conn_close(*client_end), 0);
    dial_rig_finish(&rig);
}

Test(conn_handle, it_may_be_asked_when_everything_else_has_gone)
{
    struct netpoll_conn *ends[2];
    size_t before = live_bytes();
    keep_both_ends(&ends[0], &ends[1]);
    for (int i = 0; i < 2; i++) {
        expect_nothing_to_read(ends[i]);
        expect_nobody_to_write_to(ends[i]);
        expect_the_rest_to_fail(ends[i]);
        cr_assert_eq(netpoll_conn_reason(ends[i]), NETPOLL_CLOSE_USER);
        netpoll_conn_release(ends[i]);
    }
    cr_assert_eq(live_bytes(), before, "the last handle takes the rest along");
}
