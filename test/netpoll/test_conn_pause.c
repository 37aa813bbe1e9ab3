/* Connections that the user pauses and resumes. */
#include "../support/pattern.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

TestSuite(conn_pause, .timeout = 60);

#define LARGE ((size_t)2 << 20)

/* A connection whose handler checks and consumes pattern 1. */
struct reader {
    struct grab grab; /* first: see grab_conn() */
    struct event requests;
    struct event cancels;
    struct event ends;
    struct event posts;
    enum netpoll_close_reason reason;
    /* Relaxed: what is asserted lies behind an event or is looked for again. */
    _Atomic uint64_t consumed;
    bool pauses; /* it pauses in every call */
};

#define READER_INIT                                                                           \
    {                                                                                         \
        .grab = GRAB_INIT, .requests = EVENT_INIT, .cancels = EVENT_INIT, .ends = EVENT_INIT, \
        .posts = EVENT_INIT                                                                   \
    }

static void note_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct reader *reader = arg;
    (void)conn;
    reader->reason = reason;
    event_add(&reader->ends);
}

static void note_cancel(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct reader *)arg)->cancels);
}

static void note_post(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(&((struct reader *)arg)->posts);
}

static uint64_t consumed(struct reader *reader)
{
    return atomic_load_explicit(&reader->consumed, memory_order_relaxed);
}

static void consume_all(struct netpoll_conn *conn, void *arg)
{
    struct reader *reader = arg;
    size_t n = netpoll_conn_len(conn);
    const void *data;
    CHECK(netpoll_conn_next(conn, n, &data) == 0);
    CHECK(pattern_matches(1, consumed(reader), data, n));
    atomic_fetch_add_explicit(&reader->consumed, n, memory_order_relaxed);
    if (reader->pauses)
        CHECK(netpoll_conn_pause(conn) == 0);
    event_add(&reader->requests);
}

static int start(struct rig *rig, struct reader *reader, enum netpoll_handler mode,
                 netpoll_conn_fn *on_request)
{
    struct netpoll_conn_options options = {.on_connect = grab_conn,
                                           .on_request = on_request,
                                           .on_disconnect = note_end,
                                           .on_cancel = note_cancel,
                                           .handler = mode,
                                           .arg = reader};
    rig->pollers = 1;
    rig_start(rig, &options);
    int fd = rig_dial(rig);
    event_wait(&reader->grab.connects, 1);
    return fd;
}

static void finish(struct rig *rig, struct reader *reader)
{
    netpoll_conn_release(reader->grab.conn);
    rig_finish_when_idle(rig);
}

/* A pause, and the poller has looked at it more than once. */
static void pause_and_settle(const struct rig *rig, struct reader *reader)
{
    CHECK(netpoll_conn_pause(reader->grab.conn) == 0);
    uint64_t wakeups = rig_stats(rig).wakeups;
    WAIT_UNTIL(netpoll_conn_pause(reader->grab.conn) == 0 && rig_stats(rig).wakeups > wakeups + 2);
}

/* As much of pattern 1 as fits into sockets that nobody reads. */
static size_t send_until_full(int fd, const char *data)
{
    size_t sent = 0;
    while (sent < LARGE) {
        ssize_t n = send(fd, data + sent, LARGE - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    return sent;
}

static char *pattern_1(void)
{
    char *data = malloc(LARGE);
    CHECK(data != NULL);
    pattern_fill(1, 0, data, LARGE);
    return data;
}

TEST_BOTH_MODES(conn_pause, nothing_is_received_until_it_is_resumed)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &reader, *mode, consume_all);
    char *data = pattern_1();
    pause_and_settle(&rig, &reader);
    size_t sent = send_until_full(fd, data);
    pause_and_settle(&rig, &reader);
    cr_assert_eq(rig_stats(&rig).bytes_in, 0);
    cr_assert_eq(event_count(&reader.requests), 0);
    /* However often it was paused. */
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    client_send(fd, data + sent, LARGE - sent);
    WAIT_UNTIL(consumed(&reader) == LARGE);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0, "it may be resumed when it is not");
    client_close(fd);
    finish(&rig, &reader);
    cr_assert_eq(reader.reason, NETPOLL_CLOSE_EOF);
    free(data);
}

TEST_BOTH_MODES(conn_pause, posts_run_meanwhile)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &reader, *mode, consume_all);
    char *data = pattern_1();
    pause_and_settle(&rig, &reader);
    client_send(fd, data, 1000);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(netpoll_conn_post(reader.grab.conn, note_post, &reader), 0);
    event_wait(&reader.posts, 100);
    cr_assert_eq(event_count(&reader.requests), 0);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    WAIT_UNTIL(consumed(&reader) == 1000);
    client_close(fd);
    finish(&rig, &reader);
    free(data);
}

static void write_some(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    CHECK(netpoll_conn_write(conn, "hello", 5) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

TEST_BOTH_MODES(conn_pause, output_goes_on)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &reader, *mode, consume_all);
    char back[5];
    pause_and_settle(&rig, &reader);
    run_in_turn(reader.grab.conn, write_some, NULL);
    cr_assert_eq(client_receive(fd, back, 5), 5);
    write_some(reader.grab.conn, NULL);
    cr_assert_eq(client_receive(fd, back, 5), 5);
    client_close(fd);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    finish(&rig, &reader);
}

/* What the handler was not called for comes after, and nothing is called twice. */
TEST_BOTH_MODES(conn_pause, a_handler_may_pause)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    reader.pauses = true;
    int fd = start(&rig, &reader, *mode, consume_all);
    char *data = pattern_1();
    for (unsigned i = 1; i <= 50; i++) {
        size_t end = i * (LARGE / 50);
        client_send(fd, data + (i - 1) * (LARGE / 50), LARGE / 50);
        while (consumed(&reader) < end) {
            uint64_t requests = event_count(&reader.requests);
            cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
            event_wait(&reader.requests, requests + 1);
            cr_assert_eq(event_count(&reader.requests), requests + 1);
        }
    }
    client_close(fd);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    finish(&rig, &reader);
    free(data);
}

static void take_one_and_pause(struct netpoll_conn *conn, void *arg)
{
    struct reader *reader = arg;
    const void *data;
    CHECK(netpoll_conn_next(conn, 1, &data) == 0);
    CHECK(pattern_matches(1, consumed(reader), data, 1));
    atomic_fetch_add_explicit(&reader->consumed, 1, memory_order_relaxed);
    CHECK(netpoll_conn_pause(conn) == 0);
    CHECK(netpoll_conn_pause(conn) == 0);
    event_add(&reader->requests);
}

/* Nor is it called for what has been received already. */
TEST_BOTH_MODES(conn_pause, what_a_handler_leaves_when_it_pauses_waits)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    char data[20];
    int fd = start(&rig, &reader, *mode, take_one_and_pause);
    pattern_fill(1, 0, data, sizeof data);
    client_send(fd, data, sizeof data);
    for (unsigned i = 1; i <= sizeof data; i++) {
        event_wait(&reader.requests, i);
        pause_and_settle(&rig, &reader);
        cr_assert_eq(netpoll_conn_post(reader.grab.conn, note_post, &reader), 0);
        event_wait(&reader.posts, i);
        cr_assert_eq(event_count(&reader.requests), i);
        cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    }
    client_close(fd);
    finish(&rig, &reader);
    cr_assert_eq(event_count(&reader.requests), sizeof data);
}

struct toggler {
    struct reader *reader;
    atomic_bool stop; /* orders nothing */
};

static void *toggle(void *arg)
{
    struct toggler *toggler = arg;
    struct netpoll_conn *conn = toggler->reader->grab.conn;
    while (!atomic_load_explicit(&toggler->stop, memory_order_relaxed)) {
        CHECK(netpoll_conn_pause(conn) == 0);
        sched_yield();
        CHECK(netpoll_conn_resume(conn) == 0);
    }
    return NULL;
}

/* Several threads at once; the last of them resumes, as they all do. */
TEST_BOTH_MODES(conn_pause, threads_that_pause_and_resume_lose_nothing)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    struct toggler toggler = {.reader = &reader};
    pthread_t threads[2];
    int fd = start(&rig, &reader, *mode, consume_all);
    char *data = pattern_1();
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, toggle, &toggler) == 0);
    for (size_t sent = 0; sent < LARGE; sent += LARGE / 256)
        client_send(fd, data + sent, LARGE / 256);
    atomic_store_explicit(&toggler.stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    WAIT_UNTIL(consumed(&reader) == LARGE);
    client_close(fd);
    finish(&rig, &reader);
    free(data);
}

/* The data, then the end. */
TEST_BOTH_MODES(conn_pause, an_end_that_comes_meanwhile_is_seen_after_the_data)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &reader, *mode, consume_all);
    char *data = pattern_1();
    pause_and_settle(&rig, &reader);
    client_send(fd, data, 100000);
    client_end_sending(fd);
    pause_and_settle(&rig, &reader);
    cr_assert_not(netpoll_conn_is_at_end(reader.grab.conn));
    cr_assert_eq(event_count(&reader.requests), 0);
    cr_assert_eq(event_count(&reader.cancels), 0);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    WAIT_UNTIL(consumed(&reader) == 100000);
    WAIT_UNTIL(netpoll_conn_is_at_end(reader.grab.conn));
    cr_assert(netpoll_conn_is_active(reader.grab.conn), "it is retained");
    netpoll_conn_release(reader.grab.conn);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(reader.reason, NETPOLL_CLOSE_EOF);
    cr_assert_eq(event_count(&reader.cancels), 1);
    free(data);
}

/* The peer's end waits to be read when ours comes: the system calls that a hang-up. */
TEST_BOTH_MODES(conn_pause, an_end_of_our_own_meanwhile_costs_no_input)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &reader, *mode, consume_all);
    char *data = pattern_1();
    pause_and_settle(&rig, &reader);
    client_send(fd, data, 100000);
    client_end_sending(fd);
    cr_assert_eq(netpoll_conn_shutdown_write(reader.grab.conn), 0);
    cr_assert(client_sees_end(fd));
    pause_and_settle(&rig, &reader);
    cr_assert_eq(event_count(&reader.cancels), 0);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    WAIT_UNTIL(netpoll_conn_is_at_end(reader.grab.conn));
    WAIT_UNTIL(consumed(&reader) == 100000);
    client_close(fd);
    finish(&rig, &reader);
    cr_assert_eq(reader.reason, NETPOLL_CLOSE_EOF);
    free(data);
}

/* The end has come before: what is unread waits all the same. */
TEST_BOTH_MODES(conn_pause, a_handler_may_pause_at_the_end)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    reader.pauses = true;
    int fd = start(&rig, &reader, *mode, consume_all);
    char *data = pattern_1();
    client_send(fd, data, 1000);
    event_wait(&reader.requests, 1);
    uint64_t requests = event_count(&reader.requests);
    client_send(fd, data + 1000, 1000);
    client_end_sending(fd);
    pause_and_settle(&rig, &reader);
    cr_assert_eq(event_count(&reader.requests), requests);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    WAIT_UNTIL(consumed(&reader) == 2000);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), 0);
    WAIT_UNTIL(netpoll_conn_is_at_end(reader.grab.conn));
    client_close(fd);
    finish(&rig, &reader);
    cr_assert_eq(reader.reason, NETPOLL_CLOSE_EOF);
    free(data);
}

/* With and without bytes that nobody has received. */
TEST_BOTH_MODES(conn_pause, a_reset_is_told)
{
    for (unsigned i = 0; i < 2; i++) {
        struct reader reader = READER_INIT;
        struct rig rig = {0};
        int fd = start(&rig, &reader, *mode, consume_all);
        char *data = pattern_1();
        pause_and_settle(&rig, &reader);
        client_send(fd, data, i == 0 ? 0 : 1000);
        client_reset(fd);
        event_wait(&reader.cancels, 1);
        event_wait(&reader.ends, 1);
        cr_assert_eq(reader.reason, NETPOLL_CLOSE_RESET);
        cr_assert_eq(netpoll_conn_pause(reader.grab.conn), -ENOTCONN);
        cr_assert_eq(event_count(&reader.requests), 0);
        finish(&rig, &reader);
        free(data);
    }
}

TEST_BOTH_MODES(conn_pause, a_paused_connection_can_be_closed)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &reader, *mode, consume_all);
    pause_and_settle(&rig, &reader);
    client_send(fd, "x", 1);
    cr_assert_eq(netpoll_conn_close(reader.grab.conn), 0);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    event_wait(&reader.ends, 1);
    cr_assert_eq(reader.reason, NETPOLL_CLOSE_USER);
    cr_assert_eq(netpoll_conn_pause(reader.grab.conn), -ENOTCONN);
    cr_assert_eq(netpoll_conn_resume(reader.grab.conn), -ENOTCONN);
    finish(&rig, &reader);
    cr_assert_eq(event_count(&reader.requests), 0);
}

/* Nothing keeps it: a server that ends does not wait for its resume. */
TEST_BOTH_MODES(conn_pause, a_shutdown_ends_it)
{
    struct reader reader = READER_INIT;
    struct rig rig = {0};
    int fd = start(&rig, &reader, *mode, consume_all);
    pause_and_settle(&rig, &reader);
    netpoll_conn_release(reader.grab.conn);
    cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    rig_finish(&rig);
    cr_assert_eq(reader.reason, NETPOLL_CLOSE_SHUTDOWN);
}
