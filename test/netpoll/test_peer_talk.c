/* Conversations between two ends: who speaks when, how much, and what both see of the end. */
#include "../support/pattern.h"
#include "dial_rig.h"

#include <linkbuffer/linkbuffer.h>
#include <netpoll/framer.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(peer_talk, .timeout = 60);

#define PINGS 1024

/* A conversation before the first request, on the pool: it waits for its peer. */
static void ping(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    for (uint32_t i = 0; i < PINGS; i++) {
        CHECK(netpoll_conn_write(conn, &i, sizeof i) == 0);
        CHECK(netpoll_conn_flush(conn) == 0);
        CHECK(netpoll_conn_wait(conn, sizeof i, DEADLINE_MS) == 0);
        CHECK(netpoll_conn_next(conn, sizeof i, &data) == 0);
        CHECK(memcmp(data, &i, sizeof i) == 0);
    }
    event_add(arg);
}

Test(peer_talk, on_connect_may_converse)
{
    struct event pinged = EVENT_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = ping, .on_request = echo_copy, .arg = &pinged};
    uint32_t number;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (uint32_t i = 0; i < PINGS; i++) {
        cr_assert_eq(client_receive(fd, &number, sizeof number), sizeof number);
        client_send(fd, &number, sizeof number);
    }
    event_wait(&pinged, 1);
    expect_echo(fd, 1, 1000);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

/* The head says how many bytes follow; 0xff: more than ever will. */
static void wait_for_body(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    (void)arg;
    CHECK(netpoll_conn_next(conn, 1, &data) == 0);
    size_t n = *(const uint8_t *)data;
    if (n == 0xff) {
        CHECK(netpoll_conn_wait(conn, n, 0) == -ETIMEDOUT);
        CHECK(netpoll_conn_wait(conn, n, 1) == -ETIMEDOUT);
    } else {
        CHECK(netpoll_conn_wait(conn, n, DEADLINE_MS) == 0);
        CHECK(netpoll_conn_skip(conn, n) == 0);
    }
    CHECK(netpoll_conn_write(conn, "done", 4) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

/* What a handler has waited for is not what the next one needs. */
Test(peer_talk, a_short_message_may_follow_a_long_one)
{
    static const uint8_t heads[] = {100, 1, 0xff, 2, 50, 0xff, 0xff, 1};
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = wait_for_body};
    uint8_t message[0xff] = {0};
    char back[4];
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < sizeof heads; i++) {
        size_t body = heads[i] == 0xff ? 0 : heads[i];
        message[0] = heads[i];
        client_send(fd, message, 1);
        client_send(fd, message + 1, body);
        cr_assert_eq(client_receive(fd, back, 4), 4);
    }
    client_close(fd);
    rig_finish_when_idle(&rig);
}

static void greet(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_write(conn, "welcome", 7) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

TEST_BOTH_MODES(peer_talk, on_connect_may_speak_first)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = greet, .on_request = echo_copy, .handler = *mode};
    char back[7];
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    cr_assert_eq(client_receive(fd, back, 7), 7);
    cr_assert_eq(memcmp(back, "welcome", 7), 0);
    expect_echo(fd, 1, 1000);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

/* What the ends of one side were told. Relaxed: read when all of them have ended. */
struct told {
    _Atomic unsigned cancels;
    _Atomic unsigned disconnects;
    _Atomic unsigned closes;
};

static void note_close(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    atomic_fetch_add_explicit(&((struct told *)arg)->closes, 1, memory_order_relaxed);
}

static int want_close(struct netpoll_conn *conn, void *arg)
{
    return netpoll_conn_add_close_callback(conn, note_close, arg);
}

static void note_cancel(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    atomic_fetch_add_explicit(&((struct told *)arg)->cancels, 1, memory_order_relaxed);
}

static void note_disconnect(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    (void)conn;
    CHECK(reason == NETPOLL_CLOSE_EOF);
    atomic_fetch_add_explicit(&((struct told *)arg)->disconnects, 1, memory_order_relaxed);
}

#define LEAVERS 100

TEST_BOTH_MODES(peer_talk, every_peer_that_leaves_is_told_once)
{
    struct told told = {0};
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_prepare = want_close,
                                           .on_request = echo_copy,
                                           .on_cancel = note_cancel,
                                           .on_disconnect = note_disconnect,
                                           .handler = *mode,
                                           .arg = &told};
    int fds[LEAVERS];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < LEAVERS; i++) {
        fds[i] = rig_dial(&rig);
        expect_echo(fds[i], i, 100);
    }
    for (unsigned i = 0; i < LEAVERS; i++)
        client_close(fds[i]);
    rig_finish_when_idle(&rig);
    cr_assert_eq(told.cancels, LEAVERS);
    cr_assert_eq(told.disconnects, LEAVERS);
    cr_assert_eq(told.closes, LEAVERS);
}

static void close_and_tell(struct netpoll_conn *conn, void *arg)
{
    CHECK(netpoll_conn_add_close_callback(conn, note_close, arg) == 0);
    CHECK(netpoll_conn_close(conn) == 0);
    CHECK(netpoll_conn_add_close_callback(conn, note_close, arg) == 0);
}

TEST_BOTH_MODES(peer_talk, a_callback_added_by_who_closes_runs)
{
    for (unsigned i = 0; i < 2; i++) {
        struct told told = {0};
        struct rig rig = {0};
        struct netpoll_conn_options options = {
            .on_request = close_and_tell, .handler = *mode, .arg = &told};
        if (i == 1)
            options.on_connect = close_and_tell;
        rig_start(&rig, &options);
        int fd = rig_dial(&rig);
        if (i == 0)
            client_send(fd, "x", 1);
        cr_assert(client_sees_end(fd));
        client_close(fd);
        rig_finish_when_idle(&rig);
        cr_assert_eq(told.closes, 2);
    }
}

static void never(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    (void)arg;
    CHECK(false && "half a request is none");
}

/* Hangs up when the other side has. */
static void *hang_up_at_end(void *arg)
{
    int fd = *(const int *)arg;
    CHECK(client_sees_end(fd));
    client_close(fd);
    return NULL;
}

TEST_BOTH_MODES(peer_talk, half_a_request_does_not_hold_up_a_shutdown)
{
    struct rig rig = {0};
    struct netpoll_framer framer = {.length = {.bytes = 4}};
    struct netpoll_conn_options options = {
        .on_request = never, .handler = *mode, .framer = &framer};
    pthread_t client;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "\0\0\0\x05hell", 8);
    WAIT_UNTIL(rig_stats(&rig).bytes_in == 8);
    CHECK(pthread_create(&client, NULL, hang_up_at_end, &fd) == 0);
    cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
    pthread_join(client, NULL);
    rig_finish(&rig);
}

/* Both sides of a connection, and the order of what they were told. */
struct side {
    struct event closes;
    char order[16];
};

static void note(struct side *side, char what)
{
    size_t n = strlen(side->order);
    CHECK(n + 1 < sizeof side->order);
    side->order[n] = what;
}

static void note_last(struct netpoll_conn *conn, void *arg)
{
    struct side *side = arg;
    (void)conn;
    note(side, 'c');
    event_add(&side->closes);
}

static int note_prepare(struct netpoll_conn *conn, void *arg)
{
    note(arg, 'P');
    return netpoll_conn_add_close_callback(conn, note_last, arg);
}

static void note_disconnect_of(struct netpoll_conn *conn, enum netpoll_close_reason reason,
                               void *arg)
{
    (void)conn;
    note(arg, reason == NETPOLL_CLOSE_EOF ? 'E' : 'U');
}

static void ask_at_once(struct netpoll_conn *conn, void *arg)
{
    note(arg, 'C');
    CHECK(netpoll_conn_write(conn, "x", 1) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

static void note_connect(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    note(arg, 'C');
}

static void answer_and_close(struct netpoll_conn *conn, void *arg)
{
    note(arg, 'R');
    echo_copy(conn, NULL);
    CHECK(netpoll_conn_close(conn) == 0);
}

static void take_answer(struct netpoll_conn *conn, void *arg)
{
    note(arg, 'R');
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
}

TEST_BOTH_MODES(peer_talk, a_server_that_closes_is_seen_from_both_sides)
{
    struct side server = {.closes = EVENT_INIT};
    struct side client = {.closes = EVENT_INIT};
    struct dial_rig rig = {.server = {.on_prepare = note_prepare,
                                      .on_connect = note_connect,
                                      .on_request = answer_and_close,
                                      .on_disconnect = note_disconnect_of,
                                      .handler = *mode,
                                      .arg = &server},
                           .conn = {.on_prepare = note_prepare,
                                    .on_connect = ask_at_once,
                                    .on_request = take_answer,
                                    .on_disconnect = note_disconnect_of,
                                    .handler = *mode,
                                    .arg = &client}};
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    WAIT_UNTIL(netpoll_conn_is_at_end(conn));
    netpoll_conn_release(conn);
    event_wait(&server.closes, 1);
    event_wait(&client.closes, 1);
    dial_rig_finish(&rig);
    cr_assert_str_eq(server.order, "PCRUc");
    cr_assert_str_eq(client.order, "PCREc");
}

/* A server that counts what all its peers send. Relaxed: looked for until it is there. */
static void count_bytes(struct netpoll_conn *conn, void *arg)
{
    size_t n = netpoll_conn_len(conn);
    CHECK(netpoll_conn_skip(conn, n) == 0);
    atomic_fetch_add_explicit((_Atomic uint64_t *)arg, n, memory_order_relaxed);
}

#define SHORT_CONNECTIONS 200

TEST_BOTH_MODES(peer_talk, who_writes_and_closes_loses_nothing)
{
    _Atomic uint64_t bytes = 0;
    struct dial_rig rig = {.server = {.on_request = count_bytes, .handler = *mode, .arg = &bytes},
                           .conn = {.handler = *mode}};
    char data[5000] = {0};
    uint64_t sent = 0;
    dial_rig_start(&rig);
    for (unsigned i = 0; i < SHORT_CONNECTIONS; i++) {
        size_t n = i % 2 == 0 ? 1000 : 5000;
        struct netpoll_conn *conn = dial(&rig, rig.rig.address);
        cr_assert_eq(netpoll_conn_write(conn, data, n), 0);
        cr_assert_eq(netpoll_conn_flush(conn), 0);
        cr_assert_eq(netpoll_conn_close(conn), 0);
        netpoll_conn_release(conn);
        sent += n;
    }
    WAIT_UNTIL(rig_stats(&rig.rig).connections == 0);
    cr_assert_eq(bytes, sent);
    dial_rig_finish(&rig);
}

TEST_BOTH_MODES(peer_talk, ten_thousand_small_writes_come_in_full)
{
    _Atomic uint64_t bytes = 0;
    struct dial_rig rig = {.server = {.on_request = count_bytes, .handler = *mode, .arg = &bytes},
                           .conn = {.handler = *mode}};
    char data[256] = {0};
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    for (unsigned i = 0; i < 10000; i++) {
        cr_assert_eq(netpoll_conn_write(conn, data, sizeof data), 0);
        cr_assert_geq(netpoll_conn_flush(conn), 0);
    }
    WAIT_UNTIL(atomic_load_explicit(&bytes, memory_order_relaxed) == 10000 * sizeof data);
    hang_up(conn);
    dial_rig_finish(&rig);
    cr_assert_eq(bytes, 10000 * sizeof data);
}

#define MEBIBYTE ((size_t)1 << 20)

/* A MiB that waits to be flushed does not take four. */
Test(peer_talk, many_small_writes_take_little_memory)
{
    struct dial_rig rig = {0};
    char data[1024];
#ifdef LB_HOSTILE
    cr_skip_test("the hostile build takes a block for each write on purpose");
#endif
    dial_rig_start(&rig);
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    expect_conn_echo(conn, 1, 1000);
    pattern_fill(1, 0, data, sizeof data);
    size_t before = live_bytes();
    for (size_t n = 0; n < MEBIBYTE; n += sizeof data)
        cr_assert_eq(netpoll_conn_write(conn, data, sizeof data), 0);
    size_t taken = live_bytes() - before;
    cr_assert_geq(taken, MEBIBYTE);
    cr_assert_leq(taken, 4 * MEBIBYTE, "%zu bytes", taken);
    hang_up(conn);
    dial_rig_finish(&rig);
}

#define LINES      20000
#define LINE_BYTES ((size_t)100)
#define TAIL_BYTES ((size_t)100)

/* Lines that tell their number, and a tail that is none. */
struct lines {
    struct event tail;
    unsigned count;
};

static void take_lines(struct netpoll_conn *conn, void *arg)
{
    struct lines *lines = arg;
    const void *data;
    size_t n;
    int status;
    while ((status = netpoll_conn_until(conn, '\n', &data, &n)) == 0) {
        CHECK(n == LINE_BYTES && strtoul(data, NULL, 10) == lines->count);
        lines->count++;
    }
    if (status == -EAGAIN || lines->count < LINES)
        return;
    CHECK(status == NETPOLL_EOF);
    if (netpoll_conn_len(conn) == 0)
        return;
    CHECK(netpoll_conn_len(conn) == TAIL_BYTES);
    CHECK(netpoll_conn_next(conn, TAIL_BYTES, &data) == 0);
    CHECK(memchr(data, '\n', TAIL_BYTES) == NULL);
    event_add(&lines->tail);
}

TEST_BOTH_MODES(peer_talk, lines_and_a_tail)
{
    struct lines lines = {.tail = EVENT_INIT};
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = take_lines, .handler = *mode, .arg = &lines};
    char *text = malloc(LINES * LINE_BYTES + TAIL_BYTES);
    cr_assert_not_null(text);
    memset(text, 'a', LINES * LINE_BYTES + TAIL_BYTES);
    for (unsigned i = 0; i < LINES; i++) {
        sprintf(text + LINE_BYTES * i, "%08u ", i);
        text[LINE_BYTES * i + 9] = 'a';
        text[LINE_BYTES * (i + 1) - 1] = '\n';
    }
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, text, LINES * LINE_BYTES + TAIL_BYTES);
    client_end_sending(fd);
    event_wait(&lines.tail, 1);
    cr_assert_eq(lines.count, LINES);
    client_close(fd);
    rig_finish_when_idle(&rig);
    free(text);
}

#define LARGEST ((size_t)16 << 20)

/* A sender of messages each half as long as the one before. */
struct halves {
    int fd;
    char *data; /* LARGEST bytes of pattern 1 */
};

static void *send_halves(void *arg)
{
    const struct halves *halves = arg;
    for (size_t n = LARGEST; n > 0; n /= 2)
        client_send(halves->fd, halves->data, n);
    client_end_sending(halves->fd);
    return NULL;
}

/* The message that is awaited, and those that were kept. */
struct kept {
    size_t wanted;
    unsigned count;
    struct linkbuffer *messages[32];
};

static void keep_halves(struct netpoll_conn *conn, void *arg)
{
    struct kept *kept = arg;
    while (kept->wanted > 0 &&
           netpoll_conn_slice(conn, kept->wanted, &kept->messages[kept->count]) == 0) {
        kept->wanted /= 2;
        kept->count++;
    }
}

/* What the largest took is not kept for the small ones, and a slice lives as long as it likes. */
TEST_BOTH_MODES(peer_talk, messages_of_every_size_are_kept_whole)
{
    struct kept kept = {.wanted = LARGEST};
    struct halves halves = {.data = malloc(LARGEST)};
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = keep_halves, .handler = *mode, .arg = &kept};
    pthread_t sender;
    const void *data;
    cr_assert_not_null(halves.data);
    pattern_fill(1, 0, halves.data, LARGEST);
    rig_start(&rig, &options);
    halves.fd = rig_dial(&rig);
    CHECK(pthread_create(&sender, NULL, send_halves, &halves) == 0);
    pthread_join(sender, NULL);
    cr_assert(client_sees_end(halves.fd));
    client_close(halves.fd);
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    cr_assert_eq(kept.count, 25);
    for (unsigned i = 0; i < kept.count; i++) {
        size_t n = LARGEST >> i;
        cr_assert_eq(linkbuffer_len(kept.messages[i]), n);
        cr_assert_eq(linkbuffer_next(kept.messages[i], n, &data), 0);
        cr_assert(pattern_matches(1, 0, data, n));
        linkbuffer_destroy(kept.messages[i]);
    }
    rig_finish(&rig);
    free(halves.data);
}
