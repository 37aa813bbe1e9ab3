/* What is received: how much of it, into how much memory, and its end. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(conn_input, .timeout = 60);

/* What a handler may leave of the peer's bytes in memory: its bound, and what a backend had in
 * hand when it was reached. */
#define UNREAD_MAX ((size_t)8 << 20)

struct intake {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    struct event ends;
    struct event gate;   /* what the handler waits for */
    atomic_bool consume; /* from here on the handler takes what comes; set before a post */
    size_t wanted;
    size_t received; /* of pattern 1; touched in turns only */
    enum netpoll_close_reason reason;
};

#define INTAKE_INIT                                                                        \
    {                                                                                      \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .ends = EVENT_INIT, .gate = EVENT_INIT, \
    }

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct intake *intake = arg;
    (void)conn;
    intake->reason = reason;
    event_add(&intake->ends);
}

static void start(struct rig *rig, struct intake *intake, enum netpoll_handler mode,
                  netpoll_conn_fn *on_request)
{
    struct netpoll_conn_options options = {.on_connect = grab_conn,
                                           .on_request = on_request,
                                           .on_disconnect = note_end,
                                           .handler = mode,
                                           .arg = intake};
    rig_start(rig, &options);
}

static void finish(struct rig *rig, struct intake *intake)
{
    netpoll_conn_release(intake->grab.conn);
    rig_finish_when_idle(rig);
}

static void take_all(struct netpoll_conn *conn, struct intake *intake)
{
    const void *data;
    size_t n = netpoll_conn_len(conn);
    CHECK(netpoll_conn_next(conn, n, &data) == 0);
    CHECK(pattern_matches(1, intake->received, data, n));
    intake->received += n;
}

/* A peer that sends without end, as far as the server lets it. */
struct pump {
    int fd;
    size_t total;
    _Atomic size_t sent; /* the test looks at it while it grows; orders nothing */
};

static void *run_pump(void *arg)
{
    struct pump *pump = arg;
    char piece[65536];
    while (pump->sent < pump->total) {
        pattern_fill(1, pump->sent, piece, sizeof piece);
        if (client_try_send(pump->fd, piece, sizeof piece) != sizeof piece)
            return NULL;
        pump->sent += sizeof piece;
    }
    client_end_sending(pump->fd);
    return NULL;
}

/* Waits at the first bytes until the gate opens. */
static void wait_then_take(struct netpoll_conn *conn, void *arg)
{
    struct intake *intake = arg;
    event_add(&intake->requests);
    event_wait(&intake->gate, 1);
    take_all(conn, intake);
}

/* Comes and goes on the same poller: what came before it has been looked at. */
static void pass_by(const struct rig *rig)
{
    int fd = rig_dial(rig);
    WAIT_UNTIL(rig_stats(rig).connections == 2);
    client_close(fd);
    WAIT_UNTIL(rig_stats(rig).connections == 1);
}

Test(conn_input, a_slow_handler_bounds_what_is_received)
{
    struct intake intake = INTAKE_INIT;
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {.on_request = wait_then_take, .arg = &intake};
    struct pump pump = {.total = (size_t)64 << 20};
    pthread_t thread;
    rig_start(&rig, &options);
    pump.fd = rig_dial(&rig);
    cr_assert_eq(pthread_create(&thread, NULL, run_pump, &pump), 0);
    event_wait(&intake.requests, 1);
    WAIT_UNTIL(rig_stats(&rig).bytes_in >= (size_t)256 << 10);
    for (unsigned i = 0; i < 20; i++)
        pass_by(&rig);
    cr_assert_leq(rig_stats(&rig).bytes_in, UNREAD_MAX);
    cr_assert_lt(pump.sent, pump.total);
    event_add(&intake.gate);
    pthread_join(thread, NULL);
    cr_assert(client_sees_end(pump.fd));
    client_close(pump.fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(intake.received, pump.total, "no byte was lost");
}

#define PIECE  ((size_t)4000)
#define PIECES ((size_t)60)

/* Pieces that come one by one while the handler is busy. Receives that were copied. */
static uint64_t receive_pieces(size_t pinned_bytes)
{
    struct intake intake = INTAKE_INIT;
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {.on_request = wait_then_take,
                                           .input_pinned_bytes = pinned_bytes,
                                           .on_disconnect = note_end,
                                           .arg = &intake};
    char piece[PIECE];
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (size_t i = 0; i < PIECES; i++) {
        pattern_fill(1, i * PIECE, piece, PIECE);
        client_send(fd, piece, PIECE);
        WAIT_UNTIL(rig_stats(&rig).bytes_in == (i + 1) * PIECE);
    }
    uint64_t copied = rig_stats(&rig).pin_limits;
    event_add(&intake.gate);
    client_end_sending(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    event_wait(&intake.ends, 1);
    rig_finish_when_idle(&rig);
    cr_assert_eq(intake.received, PIECES * PIECE);
    return copied;
}

Test(conn_input, small_pieces_for_a_busy_handler_do_not_keep_a_large_block_each)
{
    cr_assert_eq(receive_pieces(NETPOLL_INPUT_PINNED_BYTES_MAX), 0);
    cr_assert_geq(receive_pieces((size_t)40 << 10), 3);
}

/* Consumes nothing until it may. */
static void leave_until_told(struct netpoll_conn *conn, void *arg)
{
    struct intake *intake = arg;
    if (atomic_load(&intake->consume))
        take_all(conn, intake);
    else
        event_add(&intake->requests);
}

TEST_BOTH_MODES(conn_input, a_message_above_the_limit_ends_the_connection)
{
    struct intake intake = INTAKE_INIT;
    struct rig rig = {.expected_logs = 1};
    struct pump pump = {.total = (size_t)64 << 20};
    pthread_t thread;
    start(&rig, &intake, *mode, leave_until_told);
    pump.fd = rig_dial(&rig);
    cr_assert_eq(pthread_create(&thread, NULL, run_pump, &pump), 0);
    event_wait(&intake.ends, 1);
    cr_assert_eq(intake.reason, NETPOLL_CLOSE_ERROR);
    cr_assert_geq(rig_stats(&rig).bytes_in, NETPOLL_MESSAGE_BYTES_DEFAULT);
    cr_assert_leq(rig_stats(&rig).bytes_in, NETPOLL_MESSAGE_BYTES_DEFAULT + UNREAD_MAX);
    pthread_join(thread, NULL);
    client_close(pump.fd);
    finish(&rig, &intake);
}

static void take_in_turn(struct netpoll_conn *conn, void *arg)
{
    take_all(conn, arg);
}

TEST_BOTH_MODES(conn_input, what_a_handler_left_is_all_there_later)
{
    struct intake intake = INTAKE_INIT;
    struct rig rig = {0};
    struct pump pump = {.total = (size_t)4 << 20};
    start(&rig, &intake, *mode, leave_until_told);
    pump.fd = rig_dial(&rig);
    run_pump(&pump);
    WAIT_UNTIL(rig_stats(&rig).bytes_in == pump.total);
    atomic_store(&intake.consume, true);
    run_in_turn(intake.grab.conn, take_in_turn, &intake);
    netpoll_conn_release(intake.grab.conn);
    cr_assert(client_sees_end(pump.fd));
    event_wait(&intake.ends, 1);
    cr_assert_eq(intake.received, pump.total);
    client_close(pump.fd);
    rig_finish_when_idle(&rig);
}

/* Takes the whole message in one piece. */
static void take_message(struct netpoll_conn *conn, void *arg)
{
    struct intake *intake = arg;
    const void *data;
    event_add(&intake->requests);
    int status = netpoll_conn_next(conn, intake->wanted, &data);
    CHECK(status == 0 || status == -EAGAIN);
    if (status != 0)
        return;
    CHECK(pattern_matches(1, 0, data, intake->wanted));
    intake->received += intake->wanted;
    CHECK(netpoll_conn_write(conn, "+", 1) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

TEST_BOTH_MODES(conn_input, a_large_message_comes_in_one_piece_and_two_turns)
{
    struct intake intake = INTAKE_INIT;
    struct rig rig = {0};
    struct pump pump = {.total = (size_t)8 << 20};
    char answer;
    intake.wanted = pump.total;
    start(&rig, &intake, *mode, take_message);
    pump.fd = rig_dial(&rig);
    run_pump(&pump);
    cr_assert_eq(client_receive(pump.fd, &answer, 1), 1);
    cr_assert_eq(event_count(&intake.requests), 2, "one that asked, one that took");
    netpoll_conn_release(intake.grab.conn);
    cr_assert(client_sees_end(pump.fd));
    client_close(pump.fd);
    rig_finish_when_idle(&rig);
}

/* Takes all but what does not make 100 bytes. */
static void take_hundreds(struct netpoll_conn *conn, void *arg)
{
    struct intake *intake = arg;
    size_t n = netpoll_conn_len(conn) / 100 * 100;
    CHECK(netpoll_conn_skip(conn, n) == 0);
    intake->received += n;
    netpoll_conn_set_data(conn, intake);
    event_add(&intake->requests);
}

static void copy_received(struct netpoll_conn *conn, void *arg)
{
    *(size_t *)arg = ((struct intake *)netpoll_conn_data(conn))->received;
}

static size_t read_received(struct intake *intake)
{
    size_t received;
    run_in_turn(intake->grab.conn, copy_received, &received);
    return received;
}

TEST_BOTH_MODES(conn_input, an_idle_connection_holds_no_block)
{
    struct intake intake = INTAKE_INIT;
    struct rig rig = {0};
    char request[5000] = {0};
    start(&rig, &intake, *mode, take_hundreds);
    int fd = rig_dial(&rig);
    client_send(fd, request, 4950);
    event_wait(&intake.requests, 1);
    WAIT_UNTIL(conn_stats(intake.grab.conn).unread == 50);
    cr_assert_eq(conn_stats(intake.grab.conn).held_blocks, 1);
    client_send(fd, request, 50);
    WAIT_UNTIL(conn_stats(intake.grab.conn).unread == 0);
    struct netpoll_conn_stats stats = conn_stats(intake.grab.conn);
    cr_assert_eq(stats.held_blocks, 0);
    cr_assert_eq(stats.held_bytes, 0);
    cr_assert_eq(stats.bytes_in, 5000);
    cr_assert_eq(stats.unsent, 0);
    client_close(fd);
    finish(&rig, &intake);
}

TEST_BOTH_MODES(conn_input, ten_unread_bytes_hold_less_than_a_kilobyte)
{
    struct intake intake = INTAKE_INIT;
    struct rig rig = {0};
    char request[20000] = {0};
    start(&rig, &intake, *mode, take_hundreds);
    int fd = rig_dial(&rig);
    client_send(fd, request, 10);
    event_wait(&intake.requests, 1);
    cr_assert_eq(conn_stats(intake.grab.conn).unread, 10);
    WAIT_UNTIL(conn_stats(intake.grab.conn).held_bytes < 1024);
    /* The same behind a large message. */
    client_send(fd, request, sizeof request);
    WAIT_UNTIL(read_received(&intake) == sizeof request);
    cr_assert_eq(conn_stats(intake.grab.conn).unread, 10);
    WAIT_UNTIL(conn_stats(intake.grab.conn).held_bytes < 1024);
    client_close(fd);
    finish(&rig, &intake);
}

/* What a byte that is copied may take. */
#ifdef LB_HOSTILE
#    define COPY_FACTOR 16 /* the hostile build copies into blocks of 16 bytes on purpose */
#else
#    define COPY_FACTOR 3
#endif

/* As a network delivers them: two segments of 1,448 bytes at a time. */
TEST_BOTH_MODES(conn_input, unread_segments_hold_little_more_than_themselves)
{
    struct intake intake = INTAKE_INIT;
    struct rig rig = {.pollers = 1};
    char segment[2896];
    size_t sent = 0;
    start(&rig, &intake, *mode, leave_until_told);
    int fd = rig_dial(&rig);
    event_wait(&intake.grab.connects, 1);
    size_t before = live_bytes();
    while (sent < (size_t)200 << 10) {
        pattern_fill(1, sent, segment, sizeof segment);
        client_send(fd, segment, sizeof segment);
        sent += sizeof segment;
        WAIT_UNTIL(rig_stats(&rig).bytes_in == sent);
    }
    WAIT_UNTIL(live_bytes() - before < COPY_FACTOR * sent);
    atomic_store(&intake.consume, true);
    run_in_turn(intake.grab.conn, take_in_turn, &intake);
    client_close(fd);
    finish(&rig, &intake);
    cr_assert_eq(intake.received, sent);
}

/* The end may come with the last bytes, on every kind of socket. */
static void expect_ends(enum netpoll_handler mode, const char *listen)
{
    struct rig rig = {.listen = listen};
    struct netpoll_conn_options options = {.on_request = echo_copy, .handler = mode};
    char answer[8];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 300; i++) {
        int fd = rig_dial(&rig);
        client_send(fd, "request", 7);
        client_end_sending(fd);
        CHECK(client_receive(fd, answer, sizeof answer) == 7);
        client_close(fd);
    }
    rig_finish_when_idle(&rig);
}

TEST_BOTH_MODES(conn_input, the_end_may_come_with_the_last_bytes)
{
    expect_ends(*mode, NULL);
}

TEST_BOTH_MODES(conn_input, the_end_may_come_with_the_last_bytes_of_a_unix_stream)
{
    char listen[64];
    snprintf(listen, sizeof listen, "unix:@netpoll-ends-%d", (int)getpid());
    expect_ends(*mode, listen);
}

/* Unread input at which a connection stops receiving: conn.h. */
#define INPUT_BOUND ((size_t)256 * 1024)

struct slow_reader {
    _Atomic bool go;
    _Atomic size_t offered;
    _Atomic int reason;
    struct event ends;
};

static void read_when_told(struct netpoll_conn *conn, void *arg)
{
    struct slow_reader *reader = arg;
    WAIT_UNTIL(atomic_load(&reader->go));
    size_t n = netpoll_conn_len(conn);
    CHECK(netpoll_conn_skip(conn, n) == 0);
    atomic_fetch_add(&reader->offered, n);
}

static void note_reason(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct slow_reader *reader = arg;
    (void)conn;
    atomic_store(&reader->reason, (int)reason);
    event_add(&reader->ends);
}

/* A unix peer that closes hangs up at once, also while the input rests at its bound. */
Test(conn_input, what_a_unix_peer_sent_before_it_closed_is_offered)
{
    struct slow_reader reader = {.ends = EVENT_INIT};
    char listen[64];
    static const char piece[4096];
    snprintf(listen, sizeof listen, "unix:@netpoll-test-%d", (int)getpid());
    struct rig rig = {.listen = listen};
    struct netpoll_conn_options options = {
        .on_request = read_when_told, .on_disconnect = note_reason, .arg = &reader};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    size_t sent = 0;
    while (sent < (size_t)INPUT_BOUND + 8 * sizeof piece) {
        size_t n = client_try_send(fd, piece, sizeof piece);
        sent += n;
        if (n < sizeof piece)
            break;
    }
    client_close(fd);
    WAIT_UNTIL(rig_stats(&rig).bytes_in >= INPUT_BOUND);
    atomic_store(&reader.go, true);
    event_wait(&reader.ends, 1);
    cr_assert_eq(atomic_load(&reader.offered), sent);
    cr_assert_eq(atomic_load(&reader.reason), NETPOLL_CLOSE_EOF);
    rig_finish_when_idle(&rig);
}

/* Urgent data makes a receive stop short with more behind it: tcp(7). */
Test(conn_input, bytes_behind_urgent_data_are_received)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    char echoed[4];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 20; i++) {
        int fd = rig_dial(&rig);
        client_send(fd, "a", 1);
        CHECK(send(fd, "!", 1, MSG_OOB) == 1);
        client_send(fd, "bcd", 3);
        cr_assert_eq(client_receive(fd, echoed, 4), 4);
        cr_assert_arr_eq(echoed, "abcd", 4);
        client_close(fd);
    }
    rig_finish_when_idle(&rig);
}
