/* One direction ends, the other goes on. */
#include "../support/pattern.h"
#include "rig.h"

#include <linkbuffer/linkbuffer.h>

#include <netpoll/timer.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(conn_half_close, .timeout = 60);

#define LARGE ((size_t)8 << 20)

/* A connection, and pattern 1 to be sent on it. */
struct talk {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    struct event ends;
    struct event released;
    enum netpoll_close_reason reason;
    /* Relaxed: looked for again until it is there. */
    _Atomic uint64_t consumed;
    char *large;
};

#define TALK_INIT                                                                              \
    {                                                                                          \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .ends = EVENT_INIT, .released = EVENT_INIT, \
    }

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct talk *talk = arg;
    (void)conn;
    talk->reason = reason;
    event_add(&talk->ends);
}

static void note_release(void *arg)
{
    event_add(&((struct talk *)arg)->released);
}

static void consume_all(struct netpoll_conn *conn, void *arg)
{
    struct talk *talk = arg;
    size_t n = netpoll_conn_len(conn);
    CHECK(netpoll_conn_skip(conn, n) == 0);
    atomic_fetch_add_explicit(&talk->consumed, n, memory_order_relaxed);
    event_add(&talk->requests);
}

static int start(struct rig *rig, struct talk *talk, enum netpoll_handler mode,
                 netpoll_conn_fn *on_request)
{
    struct netpoll_conn_options options = {.on_connect = grab_conn,
                                           .on_request = on_request,
                                           .on_disconnect = note_end,
                                           .handler = mode,
                                           .arg = talk};
    talk->large = malloc(LARGE);
    CHECK(talk->large != NULL);
    pattern_fill(1, 0, talk->large, LARGE);
    rig_start(rig, &options);
    int fd = client_dial_narrow(rig->address, 4096);
    event_wait(&talk->grab.connects, 1);
    return fd;
}

static void finish(struct rig *rig, struct talk *talk)
{
    netpoll_conn_release(talk->grab.conn);
    rig_finish_when_idle(rig);
    free(talk->large);
}

static void expect_large(int fd)
{
    char *data = malloc(LARGE);
    CHECK(data != NULL);
    CHECK(client_receive(fd, data, LARGE) == LARGE);
    CHECK(pattern_matches(1, 0, data, LARGE));
    free(data);
}

static void queue_large(struct netpoll_conn *conn, struct talk *talk)
{
    CHECK(netpoll_conn_write_ref(conn, talk->large, LARGE, note_release, talk) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
}

/* The peer's end first: the answer is whole although it is written by a thread that takes part
 * only when the end has been seen. */
TEST_BOTH_MODES(conn_half_close, an_answer_that_is_written_after_the_peers_end_is_whole)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &talk, *mode, consume_all);
    client_send(fd, "request", 7);
    client_end_sending(fd);
    WAIT_UNTIL(netpoll_conn_is_at_end(talk.grab.conn));
    cr_assert(netpoll_conn_is_active(talk.grab.conn));
    queue_large(talk.grab.conn, &talk);
    netpoll_conn_release(talk.grab.conn);
    expect_large(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    event_wait(&talk.ends, 1);
    cr_assert_eq(talk.reason, NETPOLL_CLOSE_EOF);
    rig_finish_when_idle(&rig);
    cr_assert_eq(event_count(&talk.released), 1);
    free(talk.large);
}

static void answer_by_and_by(struct netpoll_conn *conn, void *arg)
{
    struct talk *talk = arg;
    size_t piece = LARGE / 64;
    size_t sent = (size_t)(uintptr_t)netpoll_conn_data(conn);
    (void)arg;
    CHECK(netpoll_conn_write(conn, talk->large + sent, piece) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
    sent += piece;
    netpoll_conn_set_data(conn, (void *)(uintptr_t)sent);
    if (sent < LARGE)
        CHECK(netpoll_conn_post(conn, answer_by_and_by, talk) == 0);
}

static void begin_answer_at_end(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    if (netpoll_conn_next(conn, 1000, &data) == NETPOLL_EOF) {
        consume_all(conn, arg);
        CHECK(netpoll_conn_post(conn, answer_by_and_by, arg) == 0);
    }
}

/* In many turns after the end. */
TEST_BOTH_MODES(conn_half_close, an_answer_may_take_many_turns)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &talk, *mode, begin_answer_at_end);
    netpoll_conn_release(talk.grab.conn);
    client_send(fd, "request", 7);
    client_end_sending(fd);
    expect_large(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(talk.reason, NETPOLL_CLOSE_EOF);
    free(talk.large);
}

static void expect_no_more_output(struct netpoll_conn *conn)
{
    struct linkbuffer *lb;
    void *room;
    CHECK(netpoll_conn_reserve(conn, 1, &room) == -EPIPE);
    CHECK(netpoll_conn_commit(conn, 0) == -EPIPE);
    CHECK(netpoll_conn_write(conn, "x", 1) == -EPIPE);
    CHECK(netpoll_conn_write_ref(conn, "x", 1, NULL, NULL) == -EPIPE);
    CHECK(linkbuffer_create(&lb) == 0);
    CHECK(netpoll_conn_append(conn, lb) == -EPIPE);
    linkbuffer_destroy(lb);
    CHECK(netpoll_conn_flush(conn) == -EPIPE);
    CHECK(netpoll_conn_shutdown_write(conn) == 0);
}

static void answer_and_end(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_write(conn, "answer", 6) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
    CHECK(netpoll_conn_shutdown_write(conn) == 0);
    expect_no_more_output(conn);
    consume_all(conn, arg);
}

static void end_output_once(struct netpoll_conn *conn, void *arg)
{
    struct talk *talk = arg;
    if (event_count(&talk->requests) == 0) {
        answer_and_end(conn, arg);
        return;
    }
    expect_no_more_output(conn);
    consume_all(conn, arg);
}

/* Input goes on, as long as the peer likes. */
TEST_BOTH_MODES(conn_half_close, input_comes_after_the_end_of_output)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {0};
    char back[6];
    int fd = start(&rig, &talk, *mode, end_output_once);
    client_send(fd, "x", 1);
    cr_assert_eq(client_receive(fd, back, 6), 6);
    cr_assert(client_sees_end(fd));
    cr_assert(netpoll_conn_is_active(talk.grab.conn));
    cr_assert_not(netpoll_conn_is_at_end(talk.grab.conn));
    client_send(fd, talk.large, LARGE);
    WAIT_UNTIL(atomic_load_explicit(&talk.consumed, memory_order_relaxed) == LARGE + 1);
    client_close(fd);
    WAIT_UNTIL(netpoll_conn_is_at_end(talk.grab.conn));
    finish(&rig, &talk);
    cr_assert_eq(talk.reason, NETPOLL_CLOSE_EOF, "reason %d", (int)talk.reason);
}

static void note_round(struct netpoll_timer *timer, void *arg)
{
    (void)timer;
    event_add(arg);
}

/* A round that began after this call was made has ended. */
static void let_the_poller_look(const struct rig *rig)
{
    struct event rounds = EVENT_INIT;
    for (uint32_t i = 1; i <= 2; i++) {
        struct netpoll_timer *timer;
        CHECK(netpoll_timer_after(rig->runtime, 1, note_round, &rounds, &timer) == 0);
        event_wait(&rounds, i);
        netpoll_timer_release(timer);
    }
}

/* Both sides have ended, which hangs up the socket; what came before is still to be read. */
TEST_BOTH_MODES(conn_half_close, input_that_rests_survives_the_ends_of_both_sides)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {.pollers = 1};
    char back[6];
    int fd = start(&rig, &talk, *mode, end_output_once);
    client_send(fd, "x", 1);
    cr_assert_eq(client_receive(fd, back, 6), 6);
    cr_assert(client_sees_end(fd));
    cr_assert_eq(netpoll_conn_pause(talk.grab.conn), 0);
    client_send(fd, talk.large, 20000);
    client_close(fd);
    let_the_poller_look(&rig);
    cr_assert_eq(netpoll_conn_resume(talk.grab.conn), 0);
    WAIT_UNTIL(netpoll_conn_is_at_end(talk.grab.conn));
    finish(&rig, &talk);
    cr_assert_eq(atomic_load_explicit(&talk.consumed, memory_order_relaxed), 20001);
    cr_assert_eq(talk.reason, NETPOLL_CLOSE_EOF, "reason %d", (int)talk.reason);
}

/* From another thread, with much of the output on its way. */
TEST_BOTH_MODES(conn_half_close, the_end_comes_after_what_is_queued)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &talk, *mode, consume_all);
    queue_large(talk.grab.conn, &talk);
    cr_assert_gt(netpoll_conn_unsent(talk.grab.conn), 0);
    cr_assert_eq(netpoll_conn_shutdown_write(talk.grab.conn), 0);
    expect_no_more_output(talk.grab.conn);
    expect_large(fd);
    cr_assert(client_sees_end(fd));
    client_send(fd, talk.large, 100000);
    WAIT_UNTIL(atomic_load_explicit(&talk.consumed, memory_order_relaxed) == 100000);
    client_close(fd);
    finish(&rig, &talk);
    cr_assert_eq(event_count(&talk.released), 1);
    cr_assert_eq(talk.reason, NETPOLL_CLOSE_EOF);
}

/* What was never flushed is not sent. */
TEST_BOTH_MODES(conn_half_close, what_was_not_flushed_is_not_sent)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &talk, *mode, consume_all);
    cr_assert_eq(netpoll_conn_write_ref(talk.grab.conn, talk.large, 1000, note_release, &talk), 0);
    cr_assert_eq(netpoll_conn_shutdown_write(talk.grab.conn), 0);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    finish(&rig, &talk);
    cr_assert_eq(event_count(&talk.released), 1);
}

/* Both ends have come: nothing is left to wait for. */
TEST_BOTH_MODES(conn_half_close, close_after_it_ends_the_connection)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &talk, *mode, consume_all);
    queue_large(talk.grab.conn, &talk);
    cr_assert_eq(netpoll_conn_shutdown_write(talk.grab.conn), 0);
    cr_assert_eq(netpoll_conn_close(talk.grab.conn), 0);
    cr_assert_eq(netpoll_conn_shutdown_write(talk.grab.conn), -ENOTCONN);
    expect_large(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    finish(&rig, &talk);
    cr_assert_eq(talk.reason, NETPOLL_CLOSE_USER);
    cr_assert_eq(event_count(&talk.released), 1);
}

/* A pause holds up the input, not the end of the output. */
TEST_BOTH_MODES(conn_half_close, the_end_is_sent_while_paused)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &talk, *mode, consume_all);
    cr_assert_eq(netpoll_conn_pause(talk.grab.conn), 0);
    queue_large(talk.grab.conn, &talk);
    cr_assert_eq(netpoll_conn_shutdown_write(talk.grab.conn), 0);
    expect_large(fd);
    cr_assert(client_sees_end(fd));
    client_send(fd, "x", 1);
    cr_assert_eq(netpoll_conn_resume(talk.grab.conn), 0);
    event_wait(&talk.requests, 1);
    client_close(fd);
    finish(&rig, &talk);
}

/* A server that shuts down does not wait for the input of one that has said all. */
TEST_BOTH_MODES(conn_half_close, a_shutdown_ends_it)
{
    struct talk talk = TALK_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &talk, *mode, consume_all);
    cr_assert_eq(netpoll_conn_shutdown_write(talk.grab.conn), 0);
    cr_assert(client_sees_end(fd));
    netpoll_conn_release(talk.grab.conn);
    cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
    client_close(fd);
    rig_finish(&rig);
    cr_assert_eq(talk.reason, NETPOLL_CLOSE_SHUTDOWN);
    free(talk.large);
}

struct kept {
    struct event told;
    int fd;
};

static void keep_detached(struct netpoll_conn *conn, int fd, struct linkbuffer *unread, void *arg)
{
    struct kept *kept = arg;
    (void)conn;
    CHECK(unread == NULL);
    kept->fd = fd;
    event_add(&kept->told);
}

/* Also when the descriptor leaves before the last of it, and stays open. */
TEST_BOTH_MODES(conn_half_close, the_end_is_sent_by_a_connection_that_is_detached)
{
    struct talk talk = TALK_INIT;
    struct kept kept = {.told = EVENT_INIT};
    struct rig rig = {0};
    int fd = start(&rig, &talk, *mode, consume_all);
    queue_large(talk.grab.conn, &talk);
    cr_assert_eq(netpoll_conn_shutdown_write(talk.grab.conn), 0);
    cr_assert_eq(netpoll_conn_detach(talk.grab.conn, keep_detached, &kept), 0);
    expect_large(fd);
    cr_assert(client_sees_end(fd));
    event_wait(&kept.told, 1);
    cr_assert_geq(kept.fd, 0);
    cr_assert_eq(close(kept.fd), 0);
    client_close(fd);
    finish(&rig, &talk);
}
