/* The end of a connection: what is still sent, what the peer sees, and why it ended. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <linkbuffer/linkbuffer.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

TestSuite(conn_end, .timeout = 60);

#define LARGE ((size_t)8 << 20)

/* What became of a connection. */
struct fate {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    struct event cancels;
    struct event ends;
    struct event released; /* memory given to netpoll_conn_write_ref() */
    enum netpoll_close_reason reason;
    char *large; /* LARGE bytes of pattern 1 */
};

#define FATE_INIT                                                                             \
    {                                                                                         \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .cancels = EVENT_INIT, .ends = EVENT_INIT, \
        .released = EVENT_INIT,                                                               \
    }

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct fate *fate = arg;
    CHECK(!netpoll_conn_is_active(conn));
    fate->reason = reason;
    event_add(&fate->ends);
}

static void note_cancel(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct fate *)arg)->cancels);
}

static void note_release(void *arg)
{
    event_add(&((struct fate *)arg)->released);
}

static void consume_all(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    event_add(&((struct fate *)arg)->requests);
}

/* Queues the large answer without copying it. */
static void answer_large(struct netpoll_conn *conn, struct fate *fate)
{
    CHECK(netpoll_conn_write_ref(conn, fate->large, LARGE, note_release, fate) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
}

static struct netpoll_conn_options options_for(struct fate *fate, enum netpoll_handler mode,
                                               netpoll_conn_fn *on_request)
{
    fate->large = malloc(LARGE);
    CHECK(fate->large != NULL);
    pattern_fill(1, 0, fate->large, LARGE);
    return (struct netpoll_conn_options){.on_connect = grab_conn,
                                         .on_request = on_request,
                                         .on_disconnect = note_end,
                                         .on_cancel = note_cancel,
                                         .handler = mode,
                                         .arg = fate};
}

/* The handle is let go, and the rig ends. */
static void finish(struct rig *rig, struct fate *fate)
{
    netpoll_conn_release(fate->grab.conn);
    rig_finish_when_idle(rig);
    free(fate->large);
}

static void expect_large(int fd)
{
    char *data = malloc(LARGE);
    CHECK(data != NULL);
    CHECK(client_receive(fd, data, LARGE) == LARGE);
    CHECK(pattern_matches(1, 0, data, LARGE));
    free(data);
}

/* Answers when the peer has sent all; lets the handle go so that the connection may end. */
static void answer_at_end(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    const void *data;
    if (netpoll_conn_next(conn, 1 << 16, &data) != NETPOLL_EOF)
        return;
    CHECK(netpoll_conn_is_active(conn));
    consume_all(conn, fate);
    answer_large(conn, fate);
}

TEST_BOTH_MODES(conn_end, a_half_close_is_answered_in_full)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, answer_at_end);
    char request[1000] = {0};
    options.on_connect = NULL;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, request, sizeof request);
    client_end_sending(fd);
    expect_large(fd);
    cr_assert(client_sees_end(fd));
    event_wait(&fate.ends, 1);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_EOF);
    cr_assert_eq(event_count(&fate.cancels), 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(event_count(&fate.released), 1);
    free(fate.large);
}

static void answer_and_close(struct netpoll_conn *conn, void *arg)
{
    consume_all(conn, arg);
    answer_large(conn, arg);
    CHECK(netpoll_conn_close(conn) == 0);
    CHECK(netpoll_conn_close(conn) == -ENOTCONN);
    CHECK(!netpoll_conn_is_active(conn));
}

TEST_BOTH_MODES(conn_end, close_sends_what_was_flushed)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, answer_and_close);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    event_wait(&fate.requests, 1);
    expect_large(fd);
    cr_assert(client_sees_end(fd));
    event_wait(&fate.ends, 1);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_USER);
    cr_assert_eq(event_count(&fate.released), 1);
    client_close(fd);
    finish(&rig, &fate);
}

static void answer_a_little_and_close(struct netpoll_conn *conn, void *arg)
{
    struct fate *fate = arg;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    CHECK(netpoll_conn_write(conn, fate->large, 65536) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
    CHECK(netpoll_conn_close(conn) == 0);
    event_add(&fate->requests);
}

TEST_BOTH_MODES(conn_end, close_with_unread_input_does_not_cost_the_answer)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, answer_a_little_and_close);
    char answer[65536];
    rig_start(&rig, &options);
    /* Most of the answer is still on this side when the connection is closed. */
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, fate.large, 1 << 20);
    cr_assert_eq(client_receive(fd, answer, sizeof answer), sizeof answer);
    cr_assert(pattern_matches(1, 0, answer, sizeof answer));
    cr_assert(client_sees_end(fd), "the end comes although this side is still open");
    client_close(fd);
    event_wait(&fate.ends, 1);
    cr_assert_eq(event_count(&fate.requests), 1, "no request after close");
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_USER);
    finish(&rig, &fate);
}

static void answer_and_abort(struct netpoll_conn *conn, void *arg)
{
    answer_large(conn, arg);
    CHECK(netpoll_conn_abort(conn) == 0);
    CHECK(netpoll_conn_write(conn, "x", 1) == -ENOTCONN);
    CHECK(netpoll_conn_flush(conn) == -ENOTCONN);
    event_add(&((struct fate *)arg)->requests);
}

TEST_BOTH_MODES(conn_end, abort_resets_and_drops_what_is_queued)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, answer_and_abort);
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&fate.ends, 1);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_USER);
    event_wait(&fate.released, 1);
    cr_assert(client_sees_reset(fd));
    client_close(fd);
    finish(&rig, &fate);
    cr_assert_eq(event_count(&fate.released), 1);
}

TEST_BOTH_MODES(conn_end, a_reset_by_the_peer_ends_it)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, consume_all);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, fate.large, 100000);
    event_wait(&fate.requests, 1);
    client_reset(fd);
    event_wait(&fate.ends, 1);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_RESET);
    cr_assert_eq(event_count(&fate.cancels), 1);
    finish(&rig, &fate);
}

/* Keeps a poller from its work. */
struct hold {
    struct event holds;
    struct event may_go;
};

static void hold_poller(struct netpoll_timer *timer, void *arg)
{
    (void)timer;
    struct hold *hold = arg;
    event_add(&hold->holds);
    event_wait(&hold->may_go, 1);
}

/* At work until it is told that this is in vain. */
static void work_in_vain(struct netpoll_conn *conn, void *arg)
{
    consume_all(conn, arg);
    event_wait(&((struct fate *)arg)->cancels, 1);
}

static void expect_reset_behind_bytes(enum netpoll_handler mode, netpoll_conn_fn *on_request)
{
    struct fate fate = FATE_INIT;
    struct hold hold = {EVENT_INIT, EVENT_INIT};
    struct netpoll_timer *timer;
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = options_for(&fate, mode, on_request);
    rig_start(&rig, &options);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 0, hold_poller, &hold, &timer), 0);
    event_wait(&hold.holds, 1);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    client_reset(fd);
    event_add(&hold.may_go);
    event_wait(&fate.requests, 1);
    event_wait(&fate.ends, 1);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_RESET);
    cr_assert_eq(event_count(&fate.cancels), 1);
    netpoll_timer_release(timer);
    finish(&rig, &fate);
}

/* A receive of io_uring that stays armed is told of the bytes only when both are there before it.
 */
Test(conn_end, a_reset_that_comes_with_bytes_is_seen_when_nothing_is_answered)
{
    expect_reset_behind_bytes(NETPOLL_HANDLER_INLINE, consume_all);
}

Test(conn_end, a_reset_that_comes_with_bytes_is_seen_while_a_handler_is_at_work)
{
    expect_reset_behind_bytes(NETPOLL_HANDLER_POOL, work_in_vain);
}

static void answer_only(struct netpoll_conn *conn, void *arg)
{
    consume_all(conn, arg);
    answer_large(conn, arg);
}

TEST_BOTH_MODES(conn_end, a_reset_is_seen_while_output_holds_up_input)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, answer_only);
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    client_send(fd, "x", 1);
    event_wait(&fate.requests, 1);
    (void)conn_stats(fate.grab.conn);
    client_reset(fd);
    event_wait(&fate.ends, 1);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_RESET);
    event_wait(&fate.released, 1);
    finish(&rig, &fate);
}

static void close_it(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_close(conn) == 0);
}

TEST_BOTH_MODES(conn_end, the_peer_sees_the_end_at_once)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, consume_all);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&fate.grab.connects, 1);
    int64_t start = now_ms();
    cr_assert_eq(netpoll_conn_post(fate.grab.conn, close_it, NULL), 0);
    cr_assert(client_sees_end(fd));
    cr_assert_lt(now_ms() - start, 500, "ten times 50 ms");
    event_wait(&fate.ends, 1);
    client_close(fd);
    finish(&rig, &fate);
}

TEST_BOTH_MODES(conn_end, close_may_be_called_in_on_connect)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, consume_all);
    options.on_connect = close_it;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    cr_assert(client_sees_end(fd));
    event_wait(&fate.ends, 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_USER);
    cr_assert_eq(event_count(&fate.requests), 0);
    free(fate.large);
}

TEST_BOTH_MODES(conn_end, a_retained_connection_answers_after_the_peers_end)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, consume_all);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    client_end_sending(fd);
    event_wait(&fate.cancels, 1);
    event_wait(&fate.requests, 1);
    cr_assert(netpoll_conn_is_active(fate.grab.conn));
    answer_large(fate.grab.conn, &fate);
    expect_large(fd);
    cr_assert_eq(event_count(&fate.ends), 0);
    netpoll_conn_retain(fate.grab.conn);
    netpoll_conn_release(fate.grab.conn);
    netpoll_conn_release(fate.grab.conn);
    cr_assert(client_sees_end(fd));
    event_wait(&fate.ends, 1);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_EOF);
    client_close(fd);
    rig_finish_when_idle(&rig);
    free(fate.large);
}

static void refuse_detached(struct netpoll_conn *conn, int fd, struct linkbuffer *unread, void *arg)
{
    (void)conn;
    (void)fd;
    (void)unread;
    (void)arg;
    check_failed(__FILE__, __LINE__, "what was refused is not called");
}

/* Every call that a thread with a handle may make. */
static void expect_not_connected(struct netpoll_conn *conn, struct fate *fate)
{
    char address[NETPOLL_ADDRESS_BYTES];
    void *room;
    struct linkbuffer *lb;
    cr_assert_eq(linkbuffer_create(&lb), 0);
    cr_assert(!netpoll_conn_is_active(conn));
    cr_assert_eq(netpoll_conn_reserve(conn, 1, &room), -ENOTCONN);
    cr_assert_eq(netpoll_conn_commit(conn, 0), -ENOTCONN);
    cr_assert_eq(netpoll_conn_write(conn, "x", 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_write_ref(conn, "x", 1, note_release, fate), -ENOTCONN);
    cr_assert_eq(netpoll_conn_append(conn, lb), -ENOTCONN);
    cr_assert_eq(netpoll_conn_flush(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_close(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_abort(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_post(conn, close_it, NULL), -ENOTCONN);
    cr_assert_eq(netpoll_conn_peer(conn, address, sizeof address), -ENOTCONN);
    cr_assert_eq(netpoll_conn_local(conn, address, sizeof address), -ENOTCONN);
    cr_assert_eq(netpoll_conn_flush_wait(conn, NETPOLL_TIMEOUT_NONE), -ENOTCONN);
    cr_assert_eq(netpoll_conn_shutdown_write(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_set_timeout(conn, NETPOLL_IDLE_TIMEOUT, 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_set_deadline(conn, NETPOLL_READ_DEADLINE, 1), -ENOTCONN);
    cr_assert_eq(netpoll_conn_pause(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_resume(conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_detach(conn, refuse_detached, NULL), -ENOTCONN);
    linkbuffer_destroy(lb);
}

TEST_BOTH_MODES(conn_end, a_handle_is_safe_after_the_end)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, consume_all);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&fate.grab.connects, 1);
    client_reset(fd);
    event_wait(&fate.ends, 1);
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    expect_not_connected(fate.grab.conn, &fate);
    cr_assert_eq(event_count(&fate.released), 0, "what was refused was not taken");
    finish(&rig, &fate);
}

TEST_BOTH_MODES(conn_end, the_first_reason_stays)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, consume_all);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_end_sending(fd);
    event_wait(&fate.grab.connects, 1);
    event_wait(&fate.cancels, 1);
    cr_assert_eq(netpoll_conn_close(fate.grab.conn), 0);
    cr_assert_eq(netpoll_conn_abort(fate.grab.conn), -ENOTCONN);
    event_wait(&fate.ends, 1);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_USER);
    client_close(fd);
    finish(&rig, &fate);
}

TEST_BOTH_MODES(conn_end, close_timeout_ms)
{
    struct fate fate = FATE_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = options_for(&fate, *mode, answer_and_close);
    options.close_timeout_ms = 200;
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    int64_t start = now_ms();
    client_send(fd, "x", 1);
    event_wait(&fate.ends, 1);
    int64_t took = now_ms() - start;
    cr_assert_geq(took, 200);
    cr_assert_lt(took, 2000, "%d ms", (int)took);
    cr_assert_eq(fate.reason, NETPOLL_CLOSE_USER);
    cr_assert(client_sees_reset(fd));
    client_close(fd);
    finish(&rig, &fate);
}
